//! Posting and refusals, one by one.

use jiff::Timestamp;
use ledger::post::{PostError, admit, post};
use ledger::{AccountActError, AccountName, BookId, Chart, Currency, JournalCode, Refusal, open};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::postgres::Database;
use crate::{assert_proven, available, book, capture, draft, euro, fee, pending, receivable, release, room, usd};

#[tokio::test]
async fn a_capture_moves_three_accounts() {
    let db = Database::new().await;
    let client = db.connect_as("gateway_app").await;
    let book = book(&client, "acct_1").await;
    post(&client, &[&capture(book, 1000, 29), &capture(book, 500, 1)])
        .await
        .unwrap();
    assert_eq!(room(&client, book, receivable()).await, 1500);
    assert_eq!(room(&client, book, pending()).await, 1470);
    assert_eq!(room(&client, book, fee()).await, 30);
    assert_proven(&db).await;
}

#[tokio::test]
async fn each_refusal_has_its_own_name_and_leaves_nothing_behind() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    let booked = draft(book, JournalCode::J03)
        .debit(receivable(), 10)
        .credit(pending(), 10)
        .key([7; 16])
        .balance()
        .unwrap();
    post(&client, &[&booked]).await.unwrap();
    ledger::close(&client, book, &fee(), "ann", "merged").await.unwrap();

    let simple = || {
        draft(book, JournalCode::J03)
            .debit(receivable(), 10)
            .credit(pending(), 10)
    };
    let elsewhere = draft(BookId(999), JournalCode::J03)
        .debit(receivable(), 10)
        .credit(pending(), 10);
    let unopened = usd(Chart::MerchantDeposit);
    let cases = [
        (simple().id(booked.id()).balance().unwrap(), Refusal::DuplicateJournal),
        (simple().key([7; 16]).balance().unwrap(), Refusal::KeyUsed),
        (
            elsewhere.balance().unwrap(),
            Refusal::UnknownAccount("1110.acme.usd".into()),
        ),
        (
            draft(book, JournalCode::J03)
                .debit(receivable(), 1)
                .credit(unopened.clone(), 1)
                .balance()
                .unwrap(),
            Refusal::UnknownAccount("2040.usd".into()),
        ),
        (capture(book, 100, 5), Refusal::AccountClosed("4010.usd".into())),
        (release(book, 11), Refusal::Overdraft("2010.usd".into())),
        (
            draft(book, JournalCode::J03)
                .debit(receivable(), i64::MAX)
                .credit(pending(), i64::MAX)
                .balance()
                .unwrap(),
            Refusal::CounterOverflow,
        ),
    ];
    for (journal, expected) in cases {
        // The optimistic way names it, except an overdraft, which asks for care.
        match post(&client, &[&journal]).await.unwrap_err() {
            PostError::NeedsCare => assert!(matches!(expected, Refusal::Overdraft(_)), "{expected}"),
            PostError::Refused(refusal) => assert_eq!(refusal, expected),
            PostError::Database(e) => panic!("{expected}: {e:?}"),
        }
        // The careful way names each.
        assert_eq!(admitted(&client, &[vec![&journal]]).await, [Err(expected)]);
    }
    assert_eq!(room(&client, book, pending()).await, 10);
    assert_eq!(count(&client, "SELECT count(*) FROM ledger.journal").await, 1);
    assert_proven(&db).await;
}

#[tokio::test]
async fn admit_judges_in_arrival_order_and_whole_groups() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    let (gain, take, take_all, late_gain) = (
        capture(book, 100, 1),
        release(book, 60),
        release(book, 60),
        capture(book, 50, 1),
    );
    let good_then_bad = [release(book, 10), release(book, 1_000)];
    let groups = [
        vec![&gain],
        vec![&take],
        vec![&take_all],
        good_then_bad.iter().collect(),
        vec![&late_gain],
        vec![&take_all],
    ];
    let overdrawn = Err(Refusal::Overdraft("2010.usd".into()));
    let expected = [Ok(()), Ok(()), overdrawn.clone(), overdrawn, Ok(()), Ok(())];
    assert_eq!(admitted(&client, &groups).await, expected);
}

#[tokio::test]
async fn a_key_is_used_once_per_book_and_inside_one_batch() {
    let db = Database::new().await;
    let client = db.connect().await;
    let (one, two) = (book(&client, "acct_1").await, book(&client, "acct_2").await);
    let keyed = |book| {
        draft(book, JournalCode::J03)
            .debit(receivable(), 5)
            .credit(pending(), 5)
            .key([1; 16])
            .balance()
            .unwrap()
    };
    post(&client, &[&keyed(one), &keyed(two)]).await.unwrap();
    let (a, b) = (keyed(one), keyed(one));
    assert!(matches!(
        post(&client, &[&a, &b]).await,
        Err(PostError::Refused(Refusal::KeyUsed))
    ));
    let fresh = |key| {
        draft(one, JournalCode::J03)
            .debit(receivable(), 5)
            .credit(pending(), 5)
            .key(key)
            .balance()
            .unwrap()
    };
    let (c, d) = (fresh([2; 16]), fresh([2; 16]));
    assert_eq!(
        admitted(&client, &[vec![&c], vec![&d]]).await,
        [Ok(()), Err(Refusal::KeyUsed)]
    );
}

#[tokio::test]
async fn two_currencies_balance_each_by_itself() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    let journal = draft(book, JournalCode::J17)
        .debit(euro(Chart::FxClearing), 90)
        .credit(euro(Chart::FxClearing), 90)
        .debit(usd(Chart::FxClearing), 100)
        .credit(receivable(), 100)
        .memo(serde_json::json!({"rate": "1.1111"}))
        .reference("fx_1")
        .balance()
        .unwrap();
    post(&client, &[&journal]).await.unwrap();
    let trial = ledger::report::trial_balance(&client, Some(book)).await.unwrap();
    assert!(trial.is_balanced());
    assert_eq!(
        trial.totals.iter().map(|t| (t.currency, t.debits)).collect::<Vec<_>>(),
        [(Currency::EUR, 90), (Currency::USD, 100)]
    );
    assert_proven(&db).await;
}

#[tokio::test]
async fn opening_is_idempotent_and_a_closed_account_stays_closed() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    assert_eq!(
        ledger::open_book(&client, "acct_1", "another name").await.unwrap(),
        book
    );
    assert_eq!(open(&client, book, &[pending(), available()]).await.unwrap(), 0);
    ledger::close(&client, book, &available(), "ann", "frozen by FIN-7")
        .await
        .unwrap();
    assert_eq!(open(&client, book, &[available()]).await.unwrap(), 0);
    let (in_, out) = (capture(book, 10, 1), release(book, 5));
    assert!(matches!(
        post(&client, &[&in_, &out]).await,
        Err(PostError::Refused(Refusal::AccountClosed(_)))
    ));
    ledger::reopen(&client, book, &available(), "bob", "FIN-7 is settled")
        .await
        .unwrap();
    post(&client, &[&in_, &out]).await.unwrap();
    let acts = client
        .query(
            "SELECT act, reason, acted_by FROM ledger.account_act ORDER BY act_no",
            &[],
        )
        .await
        .unwrap();
    let acts: Vec<[String; 3]> = acts.iter().map(|row| [row.get(0), row.get(1), row.get(2)]).collect();
    assert_eq!(
        acts,
        [
            ["close", "frozen by FIN-7", "ann"],
            ["reopen", "FIN-7 is settled", "bob"]
        ]
    );
}

#[tokio::test]
async fn what_keeps_an_account_from_closing_is_said() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    let close = async |account: &AccountName, reason: &str| ledger::close(&client, book, account, "ann", reason).await;

    let unknown = AccountName::of(Chart::Equity, Currency::JPY);
    assert!(matches!(close(&unknown, "x").await, Err(AccountActError::Unknown)));
    assert!(matches!(close(&fee(), " ").await, Err(AccountActError::Unexplained)));
    close(&fee(), "x").await.unwrap();
    assert!(matches!(close(&fee(), "x").await, Err(AccountActError::Already(is)) if is == "closed"));

    let held = draft(book, JournalCode::J01)
        .hold(receivable(), pending(), 10, Timestamp::MAX)
        .balance()
        .unwrap();
    post(&client, &[&held]).await.unwrap();
    assert!(matches!(close(&pending(), "x").await, Err(AccountActError::OnHold)));
    // Refused acts leave no trace, and the account as it was.
    let acts: i64 = client
        .query_one("SELECT count(*) FROM ledger.account_act", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(acts, 1);
}

#[tokio::test]
async fn racing_opens_agree_on_one_book() {
    let db = Database::new().await;
    let opens = (0..8).map(|_| async { book(&db.connect().await, "acct_1").await });
    let books = futures_util::future::join_all(opens).await;
    assert!(books.windows(2).all(|w| w[0] == w[1]), "{books:?}");
}

/// Verdicts of the careful way, in a transaction that is rolled back.
async fn admitted(client: &Client, groups: &[Vec<&ledger::journal::Journal>]) -> Vec<Result<(), Refusal>> {
    client.batch_execute("BEGIN").await.unwrap();
    let verdicts = admit(client, groups).await.unwrap();
    client.batch_execute("ROLLBACK").await.unwrap();
    verdicts
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_replayed_journal_id_is_refused_even_in_one_batch() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    let id = Uuid::now_v7();
    let twin = || {
        draft(book, JournalCode::J03)
            .id(id)
            .debit(receivable(), 5)
            .credit(pending(), 5)
            .balance()
            .unwrap()
    };
    let (a, b) = (twin(), twin());
    assert!(matches!(
        post(&client, &[&a, &b]).await,
        Err(PostError::Refused(Refusal::DuplicateJournal))
    ));
    assert_eq!(
        admitted(&client, &[vec![&a], vec![&b]]).await,
        [Ok(()), Err(Refusal::DuplicateJournal)]
    );
}
