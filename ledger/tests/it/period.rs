//! Closed periods: refused for everyone, with a value date for what cannot wait, and never slipped past.

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use ledger::post::{PostError, admit, post};
use ledger::{JournalCode, Refusal, period, period::PeriodError};
use uuid::Uuid;

use crate::postgres::Database;
use crate::{assert_proven, book, capture, pending, receivable};

fn day(days_ago: i64) -> jiff::civil::Date {
    Timestamp::now()
        .to_zoned(TimeZone::UTC)
        .date()
        .checked_sub(days_ago.days())
        .unwrap()
}

#[tokio::test]
async fn a_closed_period_refuses_what_is_dated_in_it_and_a_value_date_carries_it_on() {
    let db = Database::new().await;
    let client = db.connect_as("gateway_app").await;
    let finance = db.connect_as("ledger_writer").await;
    let (one, two) = (book(&client, "acct_1").await, book(&client, "acct_2").await);
    period::close(&finance, Some(one), day(2), "ann", None).await.unwrap();
    let open_from = period::closed_until(&client, one).await.unwrap().unwrap();
    assert_eq!(open_from, day(1).to_zoned(TimeZone::UTC).unwrap().timestamp());

    let old = capture(one, 100, 3);
    let refusal = Refusal::PeriodClosed(open_from.to_string());
    match post(&client, &[&old]).await {
        Err(PostError::Refused(found)) => assert_eq!(found, refusal),
        other => panic!("{other:?}"),
    }
    client.batch_execute("BEGIN").await.unwrap();
    let other_book = capture(two, 100, 3);
    assert_eq!(
        admit(&client, &[vec![&old], vec![&other_book]]).await.unwrap(),
        [Err(refusal), Ok(())]
    );
    client.batch_execute("ROLLBACK").await.unwrap();

    let build = |at: Timestamp, memo: Option<serde_json::Value>| {
        let draft = ledger::journal::Draft::new(one, JournalCode::J03, at)
            .or_value_date()
            .debit(receivable(), 10)
            .credit(pending(), 10);
        memo.into_iter().fold(draft, |d, m| d.memo(m)).balance().unwrap()
    };
    let real = "2023-11-14T22:13:20.5Z".parse().unwrap();
    let carried = build(real, Some(serde_json::json!({ "a": 1 })));
    let plain = build(real, None);
    let last = build(open_from - 1.microseconds(), None);
    let first = build(open_from, None);
    post(&client, &[&carried, &plain, &last, &first, &other_book])
        .await
        .unwrap();
    let of = async |id: Uuid| {
        let row = client
            .query_one(
                "SELECT effective_at, memo FROM ledger.journal WHERE journal_id = $1",
                &[&id],
            )
            .await
            .unwrap();
        (row.get::<_, Timestamp>(0), row.get::<_, Option<serde_json::Value>>(1))
    };
    let value_date = "2023-11-14T22:13:20.500000Z";
    assert_eq!(
        of(carried.id()).await,
        (open_from, Some(serde_json::json!({ "a": 1, "value_date": value_date })))
    );
    assert_eq!(
        of(plain.id()).await,
        (open_from, Some(serde_json::json!({ "value_date": value_date })))
    );
    assert_eq!(of(last.id()).await.0, open_from);
    assert_eq!(of(first.id()).await, (open_from, None));
    assert_eq!(of(other_book.id()).await, (other_book.effective_at(), None));
    assert_proven(&db).await;
}

#[tokio::test]
async fn every_book_is_closed_at_once_also_those_opened_later_and_a_reopening_says_why() {
    let db = Database::new().await;
    let client = db.connect_as("ledger_writer").await;
    let one = book(&client, "acct_1").await;
    let posted = async |journal| match post(&client, &[&journal]).await {
        Ok(()) => true,
        Err(PostError::Refused(Refusal::PeriodClosed(_))) => false,
        other => panic!("{other:?}"),
    };
    period::close(&client, None, day(3), "ann", Some("month end"))
        .await
        .unwrap();
    let two = book(&client, "acct_2").await;
    assert!(!posted(capture(one, 5, 1)).await);
    assert!(!posted(capture(two, 5, 1)).await);
    assert!(matches!(
        period::close(&client, None, day(3), "ann", None).await,
        Err(PeriodError::OutOfOrder(_))
    ));
    assert!(matches!(
        period::close(&client, None, day(0), "ann", None).await,
        Err(PeriodError::DayNotOver)
    ));
    assert!(matches!(
        period::reopen(&client, None, day(9), "ann", " ").await,
        Err(PeriodError::Unexplained)
    ));
    assert!(matches!(
        period::reopen(&client, Some(one), day(9), "ann", "late invoice").await,
        Err(PeriodError::OutOfOrder(_)) // never closed by itself
    ));
    let long_ago = "2023-01-01".parse().unwrap();
    period::reopen(&client, None, long_ago, "bob", "late invoice")
        .await
        .unwrap();
    assert!(posted(capture(two, 5, 1)).await);
    period::close(&client, Some(two), day(1), "ann", None).await.unwrap();
    assert!(!posted(capture(two, 5, 1)).await);
    assert!(posted(capture(one, 5, 1)).await);

    let acts = period::list(&client).await.unwrap();
    let told: Vec<_> = acts
        .iter()
        .map(|a| (a.book.as_deref(), a.number, a.reopens, a.by.as_str(), a.stands))
        .collect();
    assert_eq!(
        told,
        [
            (Some("acct_2"), 1, false, "ann", true),
            (None, 2, true, "bob", true),
            (None, 1, false, "ann", false)
        ]
    );
    assert_eq!(acts[1].reason.as_deref(), Some("late invoice"));
    assert_proven(&db).await;
}

/// A posting that has passed its check and not committed yet holds up the close; one that comes later is refused.
#[tokio::test]
async fn no_posting_slips_behind_a_close() {
    let db = Database::new().await;
    let (client, finance) = (db.connect().await, db.connect().await);
    let book = book(&client, "acct_1").await;
    client.batch_execute("BEGIN").await.unwrap();
    post(&client, &[&capture(book, 100, 3)]).await.unwrap();
    let closing = async { period::close(&finance, Some(book), day(1), "ann", None).await.unwrap() };
    let mut closing = std::pin::pin!(closing);
    let watcher = db.connect().await;
    let waits = async {
        loop {
            let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
            if watcher.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 1 {
                return;
            }
        }
    };
    tokio::select! {
        () = &mut closing => panic!("closed around a posting under way"),
        () = waits => {}
    }
    client.batch_execute("COMMIT").await.unwrap();
    closing.await;
    assert!(matches!(
        post(&client, &[&capture(book, 100, 3)]).await,
        Err(PostError::Refused(Refusal::PeriodClosed(_)))
    ));
    assert_proven(&db).await;
}

#[tokio::test]
async fn neither_the_serving_role_nor_the_owner_gets_into_a_closed_period() {
    let db = Database::new().await;
    let owner = db.connect().await;
    let book = book(&owner, "acct_1").await;
    period::close(&owner, None, day(1), "ann", None).await.unwrap();
    let refused = async |client: &tokio_postgres::Client, sql: &str| {
        let error = client.batch_execute(sql).await.expect_err(sql);
        error.as_db_error().unwrap().code().code().to_owned()
    };
    let app = db.connect_as("gateway_app").await;
    let by_hand = format!(
        "SELECT ledger.post(ARRAY[{book}], ARRAY[gen_random_uuid()], ARRAY['J03'], ARRAY['2024-01-01'::timestamptz], NULL, NULL,
                            NULL, NULL, NULL, ARRAY['{{1110.acme.usd,2010.usd}}'], ARRAY['{{D,C}}'], ARRAY['{{5,5}}'])"
    );
    assert_eq!(refused(&app, &by_hand).await, "LG009");
    for sql in [
        "SELECT ledger.close_period(0, '2024-01-01', 'x', NULL)",
        "SELECT ledger.reopen_period(0, '2020-01-01', 'x', 'y')",
        "INSERT INTO ledger.period VALUES (0, 9, 'reopen', '2020-01-01', 'x', 'y', now())",
    ] {
        assert_eq!(refused(&app, sql).await, "42501", "{sql}");
    }
    let insert = format!(
        "INSERT INTO ledger.journal (book_id, journal_id, code, effective_at, account, kind, amount)
         VALUES ({book}, gen_random_uuid(), 'J03', '2024-01-01', '{{1110.acme.usd,2010.usd}}', '{{D,C}}', '{{5,5}}')"
    );
    for sql in [
        insert.as_str(),
        "SET session_replication_role = replica; DELETE FROM ledger.period",
        "UPDATE ledger.period SET up_to = '2020-01-01'",
    ] {
        assert!(
            ["LG009", "LG007"].contains(&refused(&owner, sql).await.as_str()),
            "{sql}"
        );
    }
    assert_eq!(refused(&owner, &insert).await, "LG009"); // with ordinary triggers asleep
}
