//! Holds: opened, consumed in parts, voided; never over-consumed, whatever the order and however many at once.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ledger::group::{GroupCommitter, Options};
use ledger::journal::Journal;
use ledger::post::{LedgerBatch, PostError, admit, post};
use ledger::{BookId, JournalCode, Refusal, balance, hold};
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

#[tokio::test]
async fn a_lapsed_hold_may_be_used_unless_the_caller_says_otherwise() {
    let db = Database::new().await;
    let client = db.connect_as("gateway_app").await;
    let book = book(&client, "acct_1").await;
    let auth = authorization(book, 100);
    post(&client, &[&auth]).await.unwrap();
    let expires = Timestamp::from_second(1_800_000_000).unwrap();
    let strict = |at: Timestamp| {
        draft(book, JournalCode::J03)
            .consume(auth.id(), receivable(), pending(), 10, None)
            .unless_expired(at)
            .debit(receivable(), 10)
            .credit(pending(), 10)
            .balance()
            .unwrap()
    };
    let expected = Refusal::HoldExpired(auth.id());
    client.batch_execute("BEGIN").await.unwrap();
    let (just, late) = (strict(expires - Duration::from_micros(1)), strict(expires));
    assert_eq!(
        admit(&client, &[vec![&late], vec![&just]]).await.unwrap(),
        [Err(expected.clone()), Ok(())]
    );
    post(&client, &[&just]).await.unwrap();
    assert!(matches!(post(&client, &[&late]).await, Err(PostError::Refused(found)) if found == expected));
    client.batch_execute("ROLLBACK").await.unwrap();
    post(&client, &[&captured(book, auth.id(), 10, None)]).await.unwrap();
    assert_proven(&db).await;
}

/// Several processes sweep at once, one of them dies half-way: every lapsed hold is released exactly once, no other is.
#[tokio::test]
async fn lapsed_holds_are_released_once_whoever_sweeps_and_whoever_dies() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let hold = |after: i64| {
        draft(book, JournalCode::J01)
            .hold(receivable(), pending(), 10, now + SignedDuration::from_secs(after))
            .balance()
            .unwrap()
    };
    let holds: Vec<Journal> = (-19..=20).map(hold).collect(); // 20 have lapsed, the last of them this very moment
    post(&client, &holds.iter().collect::<Vec<_>>()).await.unwrap();
    assert_eq!(hold::expired(&client, now, 100).await.unwrap().len(), 20);

    // One has claimed when it is killed: what it had in hand is free again.
    let dying = db.connect().await;
    dying.batch_execute("BEGIN").await.unwrap();
    let claim = "SELECT count(*) FROM ledger.claim_expired(to_timestamp(1800000000), 5)";
    assert_eq!(dying.query_one(claim, &[]).await.unwrap().get::<_, i64>(0), 5);
    // Others meanwhile pass over those five and do not wait for them.
    let sweep = async |limit: u32| {
        let mut client = db.connect_as("gateway_app").await;
        let mut swept = Vec::new();
        loop {
            let tx = client.transaction().await.unwrap();
            let claimed = hold::expire(&tx, now, limit).await.unwrap();
            tx.commit().await.unwrap();
            if claimed.is_empty() {
                return swept;
            }
            swept.extend(claimed.into_iter().map(|h| h.hold_id));
        }
    };
    let (a, b, c) = tokio::join!(sweep(1), sweep(2), sweep(3));
    assert_eq!(a.len() + b.len() + c.len(), 15);
    let pid: i32 = dying.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    client
        .query_one("SELECT pg_terminate_backend($1)", &[&pid])
        .await
        .unwrap();
    while dying.simple_query("SELECT 1").await.is_ok() {}
    let mut d = Vec::new();
    while d.len() < 5 {
        d.extend(sweep(9).await); // the server may still be undoing what the dead one did
    }
    let mut all: Vec<Uuid> = [a, b, c, d].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 20);
    let releases =
        "SELECT count(*) FROM ledger.journal WHERE code = 'J02' AND effective_at <= to_timestamp(1800000000)";
    assert_eq!(client.query_one(releases, &[]).await.unwrap().get::<_, i64>(0), 20);
    assert_eq!(hold::expired(&client, now, 100).await.unwrap(), []);
    assert_proven(&db).await;
}
