//! Holds: opened, consumed in parts, voided; never over-consumed, whatever the order and however many at once.

use jiff::Timestamp;
use ledger::group::{GroupCommitter, Options};
use ledger::journal::Journal;
use ledger::post::{LedgerBatch, PostError, admit, post};
use ledger::{BookId, JournalCode, Refusal, balance};
use uuid::Uuid;

use crate::postgres::Database;
use crate::{assert_proven, available, book, draft, pending, receivable, release};

fn authorization(book: BookId, amount: i64) -> Journal {
    let expires = Timestamp::from_second(1_800_000_000).unwrap();
    draft(book, JournalCode::J01)
        .hold(receivable(), pending(), amount, expires)
        .balance()
        .unwrap()
}

fn captured(book: BookId, hold: Uuid, amount: i64, close_rest: Option<i64>) -> Journal {
    draft(book, JournalCode::J03)
        .consume(hold, receivable(), pending(), amount, close_rest)
        .debit(receivable(), amount)
        .credit(pending(), amount)
        .balance()
        .unwrap()
}

fn void(book: BookId, hold: Uuid, rest: i64) -> Journal {
    draft(book, JournalCode::J02)
        .consume(hold, receivable(), pending(), 0, Some(rest))
        .balance()
        .unwrap()
}

#[tokio::test]
async fn an_authorization_is_captured_in_parts_and_its_rest_is_released() {
    let db = Database::new().await;
    let client = db.connect_as("gateway_app").await;
    let book = book(&client, "acct_1").await;
    let auth = authorization(book, 100);
    post(&client, &[&auth]).await.unwrap();
    let of = async || balance::balances(&client, book, &[pending()]).await.unwrap().remove(0);
    assert_eq!(
        (of().await.posted(), of().await.available(), of().await.incoming()),
        (0, 0, 100)
    );

    post(&client, &[&captured(book, auth.id(), 30, None)]).await.unwrap();
    assert_eq!((of().await.posted(), of().await.incoming()), (30, 70));
    // What is pending cannot be spent.
    assert!(matches!(
        post(&client, &[&release(book, 31)]).await,
        Err(PostError::NeedsCare)
    ));

    post(&client, &[&captured(book, auth.id(), 50, Some(20))])
        .await
        .unwrap();
    assert_eq!((of().await.posted(), of().await.incoming()), (80, 0));
    assert_proven(&db).await;
}

#[tokio::test]
async fn each_misuse_of_a_hold_has_its_own_refusal_both_ways() {
    let db = Database::new().await;
    let client = db.connect().await;
    let (one, two) = (book(&client, "acct_1").await, book(&client, "acct_2").await);
    let (open, spent) = (authorization(one, 100), authorization(one, 10));
    post(&client, &[&open, &spent, &void(one, spent.id(), 10)])
        .await
        .unwrap();
    let other_accounts = draft(one, JournalCode::J02)
        .consume(open.id(), receivable(), available(), 0, Some(100))
        .balance()
        .unwrap();
    let cases = [
        (captured(two, open.id(), 10, None), Refusal::UnknownHold(open.id())),
        (captured(one, Uuid::nil(), 10, None), Refusal::UnknownHold(Uuid::nil())),
        (captured(one, spent.id(), 1, None), Refusal::HoldClosed(spent.id())),
        (other_accounts, Refusal::HoldMismatch(open.id())),
        (captured(one, open.id(), 10, Some(80)), Refusal::HoldMismatch(open.id())),
        (captured(one, open.id(), 101, None), Refusal::HoldExceeded(open.id())),
        (captured(one, open.id(), 90, Some(11)), Refusal::HoldExceeded(open.id())),
    ];
    for (journal, expected) in cases {
        match post(&client, &[&journal]).await {
            Err(PostError::Refused(refusal)) => assert_eq!(refusal, expected),
            other => panic!("{expected}: {other:?}"),
        }
        client.batch_execute("BEGIN").await.unwrap();
        assert_eq!(admit(&client, &[vec![&journal]]).await.unwrap(), [Err(expected)]);
        client.batch_execute("ROLLBACK").await.unwrap();
    }
    // Two takers of one batch who are too much only together.
    let (a, b) = (captured(one, open.id(), 60, None), captured(one, open.id(), 60, None));
    assert!(matches!(
        post(&client, &[&a, &b]).await,
        Err(PostError::Refused(Refusal::HoldExceeded(_)))
    ));
    assert_proven(&db).await;
}

#[tokio::test]
async fn racing_captures_never_take_more_than_the_hold() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    let auth = authorization(book, 100);
    post(&client, &[&auth]).await.unwrap();
    let options = Options {
        writers: 2,
        max_batch: 3,
        ..Options::default()
    };
    let committers = [1, 2].map(|_| GroupCommitter::start(LedgerBatch, db.config.clone(), options));
    let captures = (0..40).map(|i| committers[i % 2].submit(vec![captured(book, auth.id(), 7, None)]));
    let taken = futures_util::future::join_all(captures)
        .await
        .into_iter()
        .filter(|r| matches!(r, Ok(Ok(()))))
        .count();
    assert_eq!(taken, 14); // 14 * 7 = 98
    for committer in committers {
        committer.shutdown().await;
    }
    assert_proven(&db).await;
}

#[tokio::test]
async fn a_hold_opened_and_captured_in_one_batch_is_fine() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    let auth = authorization(book, 100);
    let capture = captured(book, auth.id(), 100, None);
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(
        admit(&client, &[vec![&auth], vec![&capture]]).await.unwrap(),
        [Ok(()), Ok(())]
    );
    post(&client, &[&auth, &capture]).await.unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    let open: i64 = client
        .query_one("SELECT count(*) FROM ledger.hold WHERE status = 'open'", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(open, 0);
    assert_proven(&db).await;
}
