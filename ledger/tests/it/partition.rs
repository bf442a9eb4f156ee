//! Months of the journal: made ahead, guarded like the whole, detached without losing a cent of the proof.

use jiff::Timestamp;
use jiff::civil::{Date, date};
use ledger::balance::{self, AsOf};
use ledger::export::{self, Options};
use ledger::journal::{Draft, Journal};
use ledger::post::{PostError, post};
use ledger::statement::{self, Query, StatementError};
use ledger::{BookId, JournalCode, Refusal, partition, report, verify};
use uuid::{NoContext, Uuid};

use crate::postgres::Database;
use crate::seal::seal_all;
use crate::{assert_proven, book, fee, pending, receivable};

const OLD: Date = date(2025, 3, 1);

/// A journal's id as it would have been made on that day.
fn id_of(day: Date) -> Uuid {
    let second = day.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second();
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, second.unsigned_abs(), 0))
}

fn on(day: Date, book: BookId, code: JournalCode) -> Draft {
    let at = day.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
    Draft::new(book, code, at).id(id_of(day))
}

fn sale(day: Date, book: BookId, amount: i64) -> Journal {
    let draft = on(day, book, JournalCode::J03).debit(receivable(), amount);
    draft.credit(pending(), amount - 1).credit(fee(), 1).balance().unwrap()
}

#[tokio::test]
async fn journals_fall_into_their_month_and_strays_into_the_rest() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    post(&client, &[&sale(today, book, 100), &sale(OLD, book, 100)])
        .await
        .unwrap();
    let month = format!("journal_{:04}_{:02}", today.year(), today.month());
    for table in [month.as_str(), "journal_rest"] {
        let row = client
            .query_one(&format!("SELECT count(*) FROM ledger.{table}"), &[])
            .await
            .unwrap();
        assert_eq!(row.get::<_, i64>(0), 1, "{table}");
    }
    assert_proven(&db).await;
}

#[tokio::test]
async fn months_are_made_ahead_once_also_by_the_serving_role() {
    let db = Database::new().await;
    let client = db.connect_as("gateway_app").await;
    let before = partition::list(&client).await.unwrap();
    assert_eq!(before.len(), 4, "this month, two ahead, and the rest: {before:?}");
    assert!(before.iter().all(|p| p.attached));
    assert_eq!(partition::extend(&client, 5).await.unwrap().len(), 3);
    assert_eq!(partition::extend(&client, 5).await.unwrap(), Vec::<String>::new());
    let other = db.connect_as("ledger_writer").await;
    let (one, two) = tokio::join!(partition::extend(&client, 7), partition::extend(&other, 7));
    assert_eq!(
        one.unwrap().len() + two.unwrap().len(),
        2,
        "two processes make each month once"
    );
    assert!(partition::extend(&client, 1000).await.is_err());
    assert!(partition::detach(&client, OLD).await.is_err(), "serving may not detach");
}

#[tokio::test]
async fn every_part_is_guarded_like_the_whole() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let journal = sale(today, book, 100);
    post(&client, &[&journal]).await.unwrap();
    for part in partition::list(&client).await.unwrap() {
        for sql in [
            "UPDATE ledger.{} SET reference = 'x'",
            "DELETE FROM ledger.{}",
            "TRUNCATE ledger.{}",
        ] {
            let sql = sql.replace("{}", &part.name);
            let error = client.batch_execute(&sql).await.expect_err(&sql);
            assert_eq!(error.code().unwrap().code(), "LG007", "{sql}");
            let error = db
                .connect_as("gateway_app")
                .await
                .batch_execute(&sql)
                .await
                .expect_err(&sql);
            assert_eq!(error.code().unwrap().code(), "42501", "{sql}");
        }
    }
    let again = post(&client, &[&journal]).await;
    assert!(
        matches!(again, Err(PostError::Refused(Refusal::DuplicateJournal))),
        "{again:?}"
    );
    assert_proven(&db).await;
}

/// ANALYZE of big months must not keep a snapshot for long (V43).
#[tokio::test]
async fn every_part_is_sampled_lightly() {
    let db = Database::new().await;
    let client = db.connect().await;
    partition::extend(&client, 3).await.unwrap();
    let heavy = "SELECT string_agg(attrelid::regclass || '.' || attname, ' ') FROM pg_attribute
                 WHERE attrelid IN (SELECT relid FROM pg_partition_tree('ledger.journal')) AND attnum > 0
                   AND NOT attisdropped AND (attstattarget BETWEEN 0 AND 10) IS NOT TRUE";
    let heavy: Option<String> = client.query_one(heavy, &[]).await.unwrap().get(0);
    assert_eq!(heavy, None);
}

#[tokio::test]
async fn a_key_is_used_once_over_all_months() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    let keyed = |day| {
        let draft = on(day, book, JournalCode::J03).key([7; 16]);
        draft.debit(receivable(), 5).credit(pending(), 5).balance().unwrap()
    };
    post(&client, &[&keyed(OLD)]).await.unwrap();
    let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let again = post(&client, &[&keyed(today)]).await;
    assert!(matches!(again, Err(PostError::Refused(Refusal::KeyUsed))), "{again:?}");
}

#[tokio::test]
async fn a_detached_month_leaves_its_sums_behind() {
    let db = Database::new().await;
    let mut client = db.connect().await;
    let owner = db.connect_as("ledger_owner").await;
    let made = owner.query_one("SELECT ledger.make_month($1)", &[&OLD]).await.unwrap();
    assert!(made.get::<_, bool>(0));
    let books = [book(&client, "acct_1").await, book(&client, "acct_2").await];
    let hold = on(OLD, books[0], JournalCode::J01)
        .hold(
            receivable(),
            pending(),
            40,
            Timestamp::from_second(1_800_000_000).unwrap(),
        )
        .balance()
        .unwrap();
    let (a, b) = (
        sale(OLD, books[0], 1_000),
        sale(OLD.saturating_add(jiff::Span::new().days(30)), books[1], 77),
    );
    post(&client, &[&hold, &a, &b]).await.unwrap();
    let open = partition::detach(&client, OLD).await.expect_err("a hold is open");
    assert_eq!(open.code().unwrap().code(), "LG008");

    let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let capture = on(today, books[0], JournalCode::J03)
        .consume(hold.id(), receivable(), pending(), 40, None)
        .debit(receivable(), 40)
        .credit(pending(), 40)
        .balance()
        .unwrap();
    post(&client, &[&capture]).await.unwrap();
    assert!(
        partition::detach(&client, today).await.is_err(),
        "the month is not over"
    );
    assert_proven(&db).await;
    let unsealed = partition::detach(&client, OLD).await.expect_err("nothing is sealed");
    let message = unsealed.as_db_error().unwrap().message();
    assert_eq!(message, "3 journals of the month are not sealed");
    seal_all(&db).await;
    assert_eq!(partition::detach(&client, OLD).await.unwrap(), 3);
    assert!(
        partition::detach(&client, OLD).await.is_err(),
        "it is no month of the journal any more"
    );
    assert_proven(&db).await;

    // The month is still there, and still guarded; what it carried is history too.
    let parts = partition::list(&client).await.unwrap();
    assert!(
        parts.iter().any(|p| p.name == "journal_2025_03" && !p.attached),
        "{parts:?}"
    );
    for sql in [
        "DELETE FROM ledger.journal_2025_03",
        "DELETE FROM ledger.carried",
        "UPDATE ledger.carried SET debits_posted = 0",
        "TRUNCATE ledger.carried",
    ] {
        let error = client.batch_execute(sql).await.expect_err(sql);
        assert_eq!(error.code().unwrap().code(), "LG007", "{sql}");
    }
    // What is exported from now on starts with it: 999 + 76 + 40 to the merchants.
    let mut text = Vec::new();
    export::hledger(&mut client, &mut text, Options::default())
        .await
        .unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("carried forward from detached months"), "{text}");
    crate::reports::check_hledger(&text);
    let mut text = Vec::new();
    export::beancount(&mut client, &mut text, Options::default())
        .await
        .unwrap();
    crate::reports::check_beancount(&String::from_utf8(text).unwrap());

    // A forged carried sum is found.
    client
        .batch_execute(
            "ALTER TABLE ledger.carried DISABLE TRIGGER ALL;
             UPDATE ledger.carried SET debits_posted = debits_posted + 1 WHERE account LIKE '1110%' AND book_id = 1",
        )
        .await
        .unwrap();
    let report = verify::verify(&mut client, |_| {}).await.unwrap();
    assert!(!report.is_ok());
}

/// A month with a reversal, a manual journal and a key in it, and the months after it, with a reversal of one of its journals.
#[tokio::test]
async fn reports_and_rules_count_what_detached_months_carried() {
    let db = Database::new().await;
    let client = db.connect().await;
    let owner = db.connect_as("ledger_owner").await;
    owner.query_one("SELECT ledger.make_month($1)", &[&OLD]).await.unwrap();
    let book = book(&client, "acct_1").await;
    let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();

    let (first, second, wrong) = (sale(OLD, book, 500), sale(OLD, book, 300), sale(OLD, book, 7));
    let keyed = on(OLD, book, JournalCode::J03).key([7; 16]);
    let keyed = keyed.debit(receivable(), 5).credit(pending(), 5).balance().unwrap();
    post(&client, &[&first, &second, &wrong, &keyed]).await.unwrap();
    let mirror = |of: &Journal, day| {
        let draft = on(day, book, JournalCode::J26).reverses(of.id());
        let draft = of.lines().iter().fold(draft, |draft, l| match l.kind.letter() {
            'D' => draft.credit(l.account.clone(), l.amount),
            _ => draft.debit(l.account.clone(), l.amount),
        });
        draft.balance().unwrap()
    };
    post(&client, &[&mirror(&wrong, OLD), &mirror(&second, today)])
        .await
        .unwrap();
    let manual = on(OLD, book, JournalCode::J32)
        .debit(receivable(), 9)
        .credit(pending(), 9)
        .balance()
        .unwrap();
    let decided = format!(
        "SELECT ledger.propose({0}, '{1}', now(), 'why', 'T-1', 'ann', ARRAY['1110.acme.usd', '2010.usd'], ARRAY['D', 'C'], ARRAY[9, 9]);
         SELECT ledger.decide({0}, '{1}', 'approved', 'bob', NULL, '{1}')",
        book.0,
        manual.id()
    );
    client.batch_execute(&decided).await.unwrap();
    post(&client, &[&manual, &sale(today, book, 40)]).await.unwrap();
    assert_proven(&db).await;

    let noon = |day: Date| {
        day.at(12, 0, 0, 0)
            .to_zoned(jiff::tz::TimeZone::UTC)
            .unwrap()
            .timestamp()
    };
    let later = AsOf {
        effective: Some(noon(OLD.saturating_add(jiff::Span::new().months(1)))),
        recorded: None,
    };
    let query = |from| Query {
        book,
        account: pending(),
        from,
        to: None,
        after: None,
        limit: 100,
    };
    let balances = balance::as_of(&client, book, later).await.unwrap();
    let trial = report::trial_balance_as_of(&client, None, later).await.unwrap();
    let statement = statement::statement(&client, &query(later.effective)).await.unwrap();
    assert_eq!(statement.opening, 499 + 299 + 5 + 9);

    seal_all(&db).await;
    assert_eq!(partition::detach(&client, OLD).await.unwrap(), 6);
    assert_proven(&db).await;
    // The same answers as before, from what was carried.
    assert_eq!(balance::as_of(&client, book, later).await.unwrap(), balances);
    let now = balance::of_book(&client, book).await.unwrap();
    assert_eq!(balance::as_of(&client, book, AsOf::default()).await.unwrap(), now);
    assert_eq!(report::trial_balance_as_of(&client, None, later).await.unwrap(), trial);
    assert_eq!(
        statement::statement(&client, &query(later.effective)).await.unwrap(),
        statement
    );
    // From the beginning is from what was carried on.
    let whole = statement::statement(&client, &query(None)).await.unwrap();
    assert_eq!(
        (whole.opening, whole.lines, whole.closing),
        (statement.opening, statement.lines, statement.closing)
    );

    // What would need the month's journals says so, in either time and in each report.
    let within = AsOf {
        effective: Some(noon(OLD)),
        recorded: None,
    };
    let before = AsOf {
        effective: None,
        recorded: Some(Timestamp::UNIX_EPOCH),
    };
    for at in [
        before,
        AsOf {
            effective: Some(Timestamp::UNIX_EPOCH),
            ..within
        },
    ] {
        let refused = balance::as_of(&client, book, at).await.expect_err("detached");
        assert_eq!(refused.as_db_error().unwrap().detail(), Some("2025-03"), "{refused:?}");
        let refused = report::trial_balance_as_of(&client, None, at)
            .await
            .expect_err("detached");
        assert_eq!(refused.code().unwrap().code(), "LG017");
    }
    let refused = statement::statement(&client, &query(Some(Timestamp::UNIX_EPOCH))).await;
    assert!(
        matches!(&refused, Err(StatementError::Detached(m)) if m == "2025-03"),
        "{refused:?}"
    );
    // All its journals are dated at midnight, so noon of that day is answered already.
    assert!(balance::as_of(&client, book, within).await.is_ok());

    // Nothing is posted into it any more.
    let late = post(
        &client,
        &[&sale(OLD.saturating_add(jiff::Span::new().days(2)), book, 5)],
    )
    .await;
    assert!(matches!(late, Err(PostError::Refused(Refusal::Malformed))), "{late:?}");

    // The rules still bite above the horizon: the reversal of today and the receipts.
    let attack = "ALTER TABLE ledger.reversal DISABLE TRIGGER ALL; ALTER TABLE ledger.receipt DISABLE TRIGGER ALL;";
    client.batch_execute(attack).await.unwrap();
    for forged in [
        format!("UPDATE ledger.reversal SET reversed_by = gen_random_uuid() WHERE journal_id = '{}'", second.id()),
        format!(
            "INSERT INTO ledger.receipt (book_id, idem_key, journal_id, digest)
             VALUES ({}, '\\x00000000000000000000000000000009', 'ffffffff-0000-7000-8000-000000000000', decode(repeat('00', 64), 'hex'))",
            book.0
        ),
    ] {
        let mut client = db.connect().await;
        client.batch_execute(&format!("BEGIN; {forged}; COMMIT")).await.unwrap();
        assert!(!verify::verify(&mut client, |_| {}).await.unwrap().is_ok(), "{forged}");
        // Put right again for the next one.
        let repair = format!(
            "UPDATE ledger.reversal SET reversed_by = m.journal_id FROM ledger.journal m
              WHERE m.code = 'J26' AND m.reverses = reversal.journal_id;
             DELETE FROM ledger.receipt WHERE journal_id > 'f0000000-0000-7000-8000-000000000000' AND book_id = {}",
            book.0
        );
        client.batch_execute(&repair).await.unwrap();
        assert!(verify::verify(&mut client, |_| {}).await.unwrap().is_ok());
    }
}
