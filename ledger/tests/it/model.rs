//! A model of the books in plain Rust predicts every answer of PostgreSQL, for random workloads.
//!
//! * [`books`] is the model: it knows lines, counters, holds, keys, periods and reversals, and no SQL.
//! * [`store`] runs the same steps on PostgreSQL: in whole batches with care, and one operation at a time the way a
//!   committer does it. Both must answer as the model does and end with its counters.
//! * [`faults`] breaks the store on purpose, in one place each time, and the comparison must notice.
//!
//! A failure prints its seed; `LEDGER_MODEL_SEED=n` runs it again.

mod books;
mod faults;
mod store;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use tokio_postgres::Client;

use crate::postgres::Database;
use crate::{assert_proven, available, pending, receivable};
use books::{Account, Kind, Model, Op, Step};

#[test]
fn postgres_answers_as_the_model_predicts_in_batches_and_one_by_one() {
    let runtime = runtime();
    let db = runtime.block_on(Database::new());
    if let Err(found) = compare(&runtime, &db, seed(), 48, 1024) {
        panic!("{found}");
    }
    runtime.block_on(assert_proven(&db));
}

/// Runs random workloads against the database and the model until they differ; says how, and with which seed.
fn compare(runtime: &tokio::runtime::Runtime, db: &Database, seed: u64, cases: u32, shrink: u32) -> Result<(), String> {
    let app = runtime.block_on(db.connect_as("gateway_app"));
    let finance = runtime.block_on(db.connect_as("ledger_writer"));
    let case = std::cell::Cell::new(0);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        max_shrink_iters: shrink,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let outcome = runner.run(&prop::collection::vec(step(), 1..14), |steps| {
        case.set(case.get() + 1);
        let told = runtime.block_on(one_case(&app, &finance, &steps, case.get()));
        told.map_err(TestCaseError::fail)
    });
    outcome.map_err(|e| match e {
        TestError::Fail(why, steps) => format!("LEDGER_MODEL_SEED={seed}: {why}\n{steps:#?}"),
        TestError::Abort(why) => format!("LEDGER_MODEL_SEED={seed}: {why}"),
    })
}

/// One workload, on two pairs of books.
async fn one_case(app: &Client, finance: &Client, steps: &[Step], case: u32) -> Result<(), String> {
    let mut model = Model::default();
    let mut batched = store::Store::open(app, finance, &format!("b{case}")).await;
    let mut single = store::Store::open(app, finance, &format!("s{case}")).await;
    for step in steps {
        match step {
            Step::Batch(ops) => {
                let mut plans = Vec::new();
                let mut expected = Vec::new();
                for op in ops {
                    let plan = model.plan(op);
                    expected.push(model.apply(&plan));
                    plans.push(plan);
                }
                let whole = batched.batch(&plans).await?;
                let one_by_one = single.one_by_one(&plans).await?;
                for (way, answers) in [("in a batch", whole), ("one by one", one_by_one)] {
                    for ((plan, answer), expected) in plans.iter().zip(&answers).zip(&expected) {
                        if answer != expected {
                            return Err(format!("{way}: {answer:?} and not {expected:?} to {plan:?}"));
                        }
                    }
                }
            }
            Step::Account { book, account, open } => {
                let expected = model.set_open(*book, *account, *open);
                for store in [&mut batched, &mut single] {
                    let done = store.set_open(*book, *account, *open).await;
                    if done != expected {
                        return Err(format!("{step:?}: {done} and not {expected}"));
                    }
                }
            }
            Step::Period { book, closed } => {
                if model.closed[*book] != *closed {
                    model.closed[*book] = *closed;
                    batched.set_closed(*book, *closed).await;
                    single.set_closed(*book, *closed).await;
                }
            }
        }
    }
    batched.differs(&model).await.map_or(Ok(()), Err)?;
    single.differs(&model).await.map_or(Ok(()), Err)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(op(), 1..10).prop_map(Step::Batch),
        1 => (0..2usize, account(), any::<bool>()).prop_map(|(book, account, open)| Step::Account { book, account, open }),
        1 => (0..2usize, any::<bool>()).prop_map(|(book, closed)| Step::Period { book, closed }),
    ]
}

fn account() -> impl Strategy<Value = Account> {
    prop_oneof![
        Just(Account::Receivable),
        Just(Account::Pending),
        Just(Account::Available)
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![
        4 => (account(), account(), 1..60i64).prop_map(|(debit, credit, amount)| Kind::Move { debit, credit, amount }),
        3 => (2..60i64).prop_map(|amount| Kind::Capture { amount }),
        2 => (any::<bool>(), 1..40i64, any::<bool>())
            .prop_map(|(reserve, amount, lapsed)| Kind::Hold { reserve, amount, lapsed }),
        4 => (0..8usize, 0..40i64, any::<bool>(), any::<bool>())
            .prop_map(|(hold, amount, closing, strict)| Kind::Consume { hold, amount, closing, strict }),
        2 => (0..20usize).prop_map(|target| Kind::Reverse { target }),
    ];
    let rare = prop::bool::weighted(0.2);
    (
        kind,
        0..2usize,
        prop::option::weighted(0.3, 0..5u8),
        rare,
        any::<bool>(),
    )
        .prop_map(|(kind, book, key, old, value_date)| Op {
            kind,
            book,
            key,
            old,
            value_date,
        })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn seed() -> u64 {
    let given = std::env::var("LEDGER_MODEL_SEED").ok().and_then(|s| s.parse().ok());
    given.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0)
}

fn name(account: Account) -> ledger::AccountName {
    match account {
        Account::Receivable => receivable(),
        Account::Pending => pending(),
        Account::Available => available(),
        Account::Fee => crate::fee(),
    }
}
