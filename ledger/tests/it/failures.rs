//! What went wrong in other ledgers and no other test here would notice: the gaps of docs/ledger-failures.md.

use jiff::Timestamp;
use ledger::group::{GroupCommitter, Options};
use ledger::journal::Journal;
use ledger::post::{LedgerBatch, PostError, post};
use ledger::{BookId, JournalCode, Refusal, balance};

use crate::postgres::Database;
use crate::{assert_proven, available, book, capture, draft, fee, pending, release, room};

/// Money of the merchant set aside, as for a payout that is under way.
fn set_aside(book: BookId, amount: i64) -> Journal {
    let expires = Timestamp::from_second(1_800_000_000).unwrap();
    draft(book, JournalCode::J29a)
        .hold(available(), fee(), amount, expires)
        .balance()
        .unwrap()
}

#[tokio::test]
async fn money_on_hold_is_not_there_to_be_spent_or_held_again() {
    let db = Database::new().await;
    let client = db.connect_as("gateway_app").await;
    let book = book(&client, "acct_1").await;
    post(&client, &[&capture(book, 101, 1), &release(book, 100)])
        .await
        .unwrap();
    post(&client, &[&set_aside(book, 80)]).await.unwrap();
    let spend = |amount| {
        let spent = draft(book, JournalCode::J29b).debit(available(), amount);
        spent.credit(fee(), amount).balance().unwrap()
    };
    for refused in [set_aside(book, 80), set_aside(book, 21), spend(21)] {
        let answer = post(&client, &[&refused]).await;
        assert!(matches!(answer, Err(PostError::NeedsCare)), "{answer:?}");
    }
    post(&client, &[&spend(20)]).await.unwrap();
    let left = balance::balances(&client, book, &[available()])
        .await
        .unwrap()
        .remove(0);
    assert_eq!((left.posted(), left.available()), (80, 0));
    assert_proven(&db).await;
}

#[tokio::test]
async fn racing_spenders_of_several_processes_never_overdraw() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    post(&client, &[&capture(book, 101, 1)]).await.unwrap();
    let options = Options {
        max_batch: 4, // many transactions, so that they meet
        ..Options::default()
    };
    let committers: Vec<_> = (0..3)
        .map(|_| GroupCommitter::start(LedgerBatch, db.config.clone(), options))
        .collect();
    let spenders = (0..60usize).map(|i| committers[i % 3].submit(vec![release(book, 9)]));
    let answers = futures_util::future::join_all(spenders).await;
    let spent = answers.iter().filter(|a| matches!(a, Ok(Ok(())))).count();
    let refused = answers
        .iter()
        .filter(|a| matches!(a, Ok(Err(Refusal::Overdraft(_)))))
        .count();
    assert_eq!((spent, refused), (11, 49), "{answers:?}");
    assert_eq!(room(&client, book, pending()).await, 1);
    for committer in &committers {
        committer.shutdown().await;
    }
    assert_proven(&db).await;
}

#[tokio::test]
async fn what_a_rolled_back_transaction_opened_or_posted_was_never_there() {
    let db = Database::new().await;
    let mut client = db.connect_as("gateway_app").await;
    let before = book(&client, "acct_1").await;
    let tx = client.transaction().await.unwrap();
    let gone = book_in(&tx).await;
    post(&tx, &[&capture(gone, 100, 1), &capture(before, 100, 1)])
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(balance::of_book(&client, gone).await.unwrap(), []);
    assert_eq!(room(&client, before, pending()).await, 0);
    for table in ["journal", "receipt", "hold"] {
        let sql = format!("SELECT count(*) FROM ledger.{table}");
        assert_eq!(
            client.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0),
            0,
            "{table}"
        );
    }
    assert_proven(&db).await;
}

async fn book_in(tx: &tokio_postgres::Transaction<'_>) -> BookId {
    let book = ledger::open_book(tx, "acct_2", "acct_2").await.unwrap();
    let accounts = [crate::receivable(), pending(), fee()];
    ledger::open(tx, book, &accounts).await.unwrap();
    book
}
