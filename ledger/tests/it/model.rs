//! A model of the books in a few lines of Rust predicts every answer of PostgreSQL: for random workloads, committed in
//! batches of random sizes.

use std::collections::HashMap;

use jiff::Timestamp;
use ledger::group::{Batch, Failure, Pass};
use ledger::journal::Journal;
use ledger::post::LedgerBatch;
use ledger::{AccountName, BookId, JournalCode, Refusal, balance};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::postgres::Database;
use crate::{assert_proven, available, book, capture, draft, fee, pending, receivable, release};

#[derive(Clone, Debug)]
enum Op {
    Capture {
        book: usize,
        amount: i64,
    },
    Release {
        book: usize,
        amount: i64,
    },
    Payout {
        book: usize,
        amount: i64,
    },
    Authorize {
        book: usize,
        amount: i64,
    },
    /// Of one of the authorizations made so far, by its index modulo their number.
    Consume {
        hold: usize,
        amount: i64,
        closing: bool,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..2usize, 2..60i64).prop_map(|(book, amount)| Op::Capture { book, amount }),
        (0..2usize, 1..60i64).prop_map(|(book, amount)| Op::Release { book, amount }),
        (0..2usize, 1..60i64).prop_map(|(book, amount)| Op::Payout { book, amount }),
        (0..2usize, 1..60i64).prop_map(|(book, amount)| Op::Authorize { book, amount }),
        (any::<usize>(), 1..60i64, any::<bool>()).prop_map(|(hold, amount, closing)| Op::Consume {
            hold,
            amount,
            closing
        }),
    ]
}

#[derive(Clone, Default)]
struct Model {
    /// Posted money per book and account, positive on the normal side.
    posted: HashMap<(BookId, AccountName), i64>,
    holds: Vec<(BookId, Uuid, i64)>,
}

impl Model {
    /// The answer of one operation on its own, and the books after it.
    fn apply(&mut self, op: &Op, books: &[BookId; 2]) -> (Journal, Result<(), &'static str>) {
        let take = |model: &mut Model, book: BookId, from: AccountName, to: Option<AccountName>, amount: i64| {
            let balance = model.posted.entry((book, from)).or_default();
            if *balance < amount {
                return Err("overdraft");
            }
            *balance -= amount;
            if let Some(to) = to {
                *model.posted.entry((book, to)).or_default() += amount;
            }
            Ok(())
        };
        match *op {
            Op::Capture { book, amount } => {
                let book = books[book];
                *self.posted.entry((book, receivable())).or_default() += amount;
                *self.posted.entry((book, pending())).or_default() += amount - 1;
                *self.posted.entry((book, fee())).or_default() += 1;
                (capture(book, amount, 1), Ok(()))
            }
            Op::Release { book, amount } => {
                let answer = take(self, books[book], pending(), Some(available()), amount);
                (release(books[book], amount), answer)
            }
            Op::Payout { book, amount } => {
                let book = books[book];
                let journal = draft(book, JournalCode::J29a)
                    .debit(available(), amount)
                    .credit(receivable(), amount)
                    .balance()
                    .unwrap();
                let answer = take(self, book, available(), None, amount);
                if answer.is_ok() {
                    *self.posted.entry((book, receivable())).or_default() -= amount;
                }
                (journal, answer)
            }
            Op::Authorize { book, amount } => {
                let journal = draft(books[book], JournalCode::J01)
                    .hold(receivable(), pending(), amount, Timestamp::UNIX_EPOCH)
                    .balance()
                    .unwrap();
                self.holds.push((books[book], journal.id(), amount));
                (journal, Ok(()))
            }
            Op::Consume { hold, amount, closing } => {
                let index = hold % self.holds.len().max(1);
                let (book, id, remaining) = self.holds.get(index).copied().unwrap_or((books[0], Uuid::nil(), 0));
                let rest = closing.then_some((remaining - amount).max(0));
                let journal = draft(book, JournalCode::J03)
                    .consume(id, receivable(), pending(), amount, rest)
                    .debit(receivable(), amount)
                    .credit(pending(), amount)
                    .balance()
                    .unwrap();
                let answer = match remaining {
                    _ if id.is_nil() => Err("unknown_hold"),
                    0 => Err("hold_closed"),
                    r if amount > r => Err("hold_exceeded"),
                    _ => {
                        self.holds[index].2 = if closing { 0 } else { remaining - amount };
                        *self.posted.entry((book, receivable())).or_default() += amount;
                        *self.posted.entry((book, pending())).or_default() += amount;
                        Ok(())
                    }
                };
                (journal, answer)
            }
        }
    }
}

/// One transaction, as a committer runs it; says also whether care was needed.
async fn commit(client: &Client, journals: Vec<Journal>) -> (Vec<Result<(), Refusal>>, bool) {
    let mut units: Vec<Vec<Journal>> = journals.into_iter().map(|j| vec![j]).collect();
    for (pass, careful) in [(Pass::Optimistic, false), (Pass::Careful, true)] {
        client.batch_execute("BEGIN").await.unwrap();
        match LedgerBatch.commit(client, &mut units, pass).await {
            Ok(answers) => {
                client.batch_execute("COMMIT").await.unwrap();
                return (answers, careful);
            }
            Err(Failure::NeedsCare) => client.batch_execute("ROLLBACK").await.unwrap(),
            Err(Failure::Database(e)) => panic!("{e:?}"),
        }
    }
    panic!("the careful pass needs no more care");
}

#[test]
fn postgres_answers_as_the_model_predicts() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let db = runtime.block_on(Database::new());
    let client = runtime.block_on(db.connect_as("gateway_app"));
    let case = std::cell::Cell::new(0);
    let workload = prop::collection::vec(prop::collection::vec(op(), 1..12), 1..10);
    let mut runner = TestRunner::new(Config {
        cases: 96,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&workload, |batches| {
            case.set(case.get() + 1);
            runtime.block_on(async {
                let books = [
                    book(&client, &format!("acct_{}a", case.get())).await,
                    book(&client, &format!("acct_{}b", case.get())).await,
                ];
                let mut model = Model::default();
                for batch in &batches {
                    let (journals, expected): (Vec<_>, Vec<_>) = batch.iter().map(|op| model.apply(op, &books)).unzip();
                    let (answers, careful) = commit(&client, journals).await;
                    let codes: Vec<_> = answers
                        .iter()
                        .map(|a| a.as_ref().map(|_| ()).map_err(Refusal::code))
                        .collect();
                    if careful {
                        prop_assert_eq!(codes, expected, "{:?}", batch);
                    } else if expected.iter().any(Result::is_err) {
                        // A batch is judged by its end: money that came in later in it covers what went out earlier.
                        // The model, which judges item by item, cannot follow; the books are compared by verify.
                        prop_assert!(codes.iter().all(Result::is_ok));
                        return Ok(());
                    }
                }
                for book in books {
                    for b in balance::of_book(&client, book).await.unwrap() {
                        let expected = model.posted.get(&(book, b.account.clone())).copied().unwrap_or(0);
                        prop_assert_eq!(b.posted(), i128::from(expected), "{}", b.account);
                    }
                }
                Ok(())
            })
        })
        .unwrap();
    runtime.block_on(assert_proven(&db));
}
