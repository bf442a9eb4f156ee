//! Group commit: neighbours, races of several committers, lost connections, back-pressure, draining.

use std::sync::Arc;
use std::time::Duration;

use ledger::Refusal;
use ledger::group::{Batch, Failure, Flight, GroupCommitter, Options, Pass, SubmitError};
use ledger::post::LedgerBatch;
use tokio::sync::Semaphore;
use tokio_postgres::Client;

use crate::postgres::Database;
use crate::{assert_proven, available, book, capture, pending, release, room};

/// Units are statements.
struct Statements {
    flight: Flight,
    gate: Arc<Semaphore>,
}

impl Statements {
    fn free() -> Statements {
        Statements {
            flight: Flight::InSteps,
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }
}

impl Batch for Statements {
    type Unit = String;
    type Answer = String;
    type Statements = ();

    async fn prepare(&self, _: &Client) -> Result<(), tokio_postgres::Error> {
        Ok(())
    }

    async fn commit(&self, tx: &Client, (): &(), units: &mut [String], _: Pass) -> Result<Vec<String>, Failure> {
        if self.flight == Flight::InSteps {
            let _turn = self.gate.acquire().await.unwrap();
        }
        assert!(!units.iter().any(|u| u == "panic"), "as asked");
        tx.batch_execute(&units.join(";")).await?;
        Ok(units.to_vec())
    }

    fn flight(&self, _: &[String], _: Pass) -> Flight {
        self.flight
    }
}

async fn notes(db: &Database) -> Vec<i32> {
    let rows = db
        .connect()
        .await
        .query("SELECT n FROM note ORDER BY n", &[])
        .await
        .unwrap();
    rows.iter().map(|r| r.get(0)).collect()
}

async fn with_notes() -> Database {
    let db = Database::new().await;
    db.connect()
        .await
        .batch_execute("CREATE TABLE note (n int PRIMARY KEY)")
        .await
        .unwrap();
    db
}

fn insert(n: i32) -> String {
    format!("INSERT INTO note VALUES ({n})")
}

#[tokio::test]
async fn one_poisonous_unit_fails_alone() {
    for flight in [Flight::InSteps, Flight::Together, Flight::Alone] {
        let db = with_notes().await;
        let committer = GroupCommitter::start(
            Statements {
                flight,
                ..Statements::free()
            },
            db.config.clone(),
            Options {
                writers: 1,
                ..Options::default()
            },
        );
        let units = (0..20).map(|n| committer.submit(if n == 7 { "SELECT 1/0".to_owned() } else { insert(n) }));
        let results = futures_util::future::join_all(units).await;
        for (n, result) in results.iter().enumerate() {
            match result {
                Ok(unit) => assert_eq!(*unit, insert(n as i32)),
                Err(SubmitError::Database(e)) => assert_eq!((n, e.code().unwrap().code()), (7, "22012")),
                Err(e) => panic!("{n}: {e:?}"),
            }
        }
        assert_eq!(notes(&db).await, (0..20).filter(|n| *n != 7).collect::<Vec<_>>());
        committer.shutdown().await;
    }
}

#[tokio::test]
async fn refused_units_do_not_fail_their_neighbours() {
    let db = Database::new().await;
    let client = db.connect().await;
    let book = book(&client, "acct_1").await;
    let committer = GroupCommitter::start(
        LedgerBatch,
        db.config.clone(),
        Options {
            writers: 1,
            ..Options::default()
        },
    );
    committer.submit(vec![capture(book, 101, 1)]).await.unwrap().unwrap();
    let results = futures_util::future::join_all((0..30).map(|_| committer.submit(vec![release(book, 9)]))).await;
    let accepted = results.iter().filter(|r| matches!(r, Ok(Ok(())))).count();
    assert_eq!(accepted, 11);
    assert!(
        results
            .iter()
            .all(|r| matches!(r, Ok(Ok(()) | Err(Refusal::Overdraft(_))))),
        "{results:?}"
    );
    assert_eq!(
        (
            room(&client, book, pending()).await,
            room(&client, book, available()).await
        ),
        (1, 99)
    );
    assert!(committer.metrics().careful > 0);
    committer.shutdown().await;
    assert_proven(&db).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_committers_share_hot_accounts_without_losing_or_doubling() {
    let db = Database::new().await;
    let client = db.connect().await;
    let books = [
        book(&client, "acct_1").await,
        book(&client, "acct_2").await,
        book(&client, "acct_3").await,
    ];
    // Three committers of two writers each are three processes as far as the database can tell.
    let options = Options {
        writers: 2,
        max_batch: 7,
        ..Options::default()
    };
    let committers: Vec<_> = (0..3)
        .map(|_| GroupCommitter::start(LedgerBatch, db.config.clone(), options))
        .collect();
    let units = (0..600usize).map(|i| {
        // Units of two books in both orders would deadlock without sorted locks.
        let mut unit: Vec<_> = books.iter().map(|b| capture(*b, 10, 1)).collect();
        unit.rotate_left(i % 3);
        committers[i % 3].submit(unit)
    });
    let results = futures_util::future::join_all(units).await;
    assert!(results.iter().all(|r| matches!(r, Ok(Ok(())))), "{results:?}");
    for book in books {
        assert_eq!(room(&client, book, pending()).await, 600 * 9);
    }
    assert_eq!(committers.iter().map(|c| c.metrics().retries).sum::<u64>(), 0);
    for committer in &committers {
        committer.shutdown().await;
    }
    assert_proven(&db).await;
}

#[tokio::test]
async fn a_connection_lost_before_commit_is_made_again_and_nothing_is_written_twice() {
    let db = with_notes().await;
    let committer = GroupCommitter::start(
        Statements::free(),
        db.config.clone(),
        Options {
            writers: 1,
            ..Options::default()
        },
    );
    committer.submit(insert(1)).await.unwrap();
    // The backend is ended while it is idle: the next unit meets a dead connection.
    let killed = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    db.connect().await.batch_execute(killed).await.unwrap();
    committer.submit(insert(2)).await.unwrap();
    // A unit that ends its own backend is lost each time, and says so: it was never committed.
    let suicide = format!("{}; SELECT pg_terminate_backend(pg_backend_pid())", insert(3));
    let lost = committer.submit(suicide).await;
    assert!(matches!(lost, Err(SubmitError::Unavailable)), "{lost:?}");
    committer.submit(insert(4)).await.unwrap();
    assert_eq!(notes(&db).await, [1, 2, 4]);
    committer.shutdown().await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_shutdown_drains() {
    let db = with_notes().await;
    let gate = Arc::new(Semaphore::new(0));
    let committer = Arc::new(GroupCommitter::start(
        Statements {
            flight: Flight::InSteps,
            gate: Arc::clone(&gate),
        },
        db.config.clone(),
        Options {
            writers: 1,
            queue: 3,
            max_batch: 1,
            ..Options::default()
        },
    ));
    let submit = |n| {
        let committer = Arc::clone(&committer);
        tokio::spawn(async move { committer.submit(insert(n)).await })
    };
    let first = submit(0);
    while committer.metrics().wait_us.count() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await; // until the writer holds it and waits at the gate
    }
    let queued: Vec<_> = (1..4).map(submit).collect();
    while committer.metrics().queued < 3 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(committer.submit(insert(9)).await, Err(SubmitError::QueueFull)));
    assert_eq!(committer.metrics().rejections, 1);

    let closing = tokio::spawn({
        let committer = Arc::clone(&committer);
        async move { committer.shutdown().await }
    });
    tokio::task::yield_now().await;
    assert!(matches!(committer.submit(insert(9)).await, Err(SubmitError::Closed)));
    gate.add_permits(100);
    closing.await.unwrap();
    for unit in std::iter::once(first).chain(queued) {
        unit.await.unwrap().unwrap();
    }
    assert_eq!(notes(&db).await, [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_panic_in_a_batch_costs_its_units_and_no_more() {
    let db = with_notes().await;
    let committer = GroupCommitter::start(
        Statements::free(),
        db.config.clone(),
        Options {
            writers: 1,
            ..Options::default()
        },
    );
    assert!(matches!(
        committer.submit("panic".into()).await,
        Err(SubmitError::Unknown)
    ));
    committer.submit(insert(1)).await.unwrap();
    assert_eq!(notes(&db).await, [1]);
    committer.shutdown().await;
}

#[tokio::test]
async fn without_a_database_the_answer_is_unavailable() {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(1).user("nobody").dbname("none");
    let options = Options {
        writers: 1,
        connect_patience: Duration::from_millis(10),
        ..Options::default()
    };
    let committer = GroupCommitter::start(Statements::free(), config, options);
    assert!(matches!(
        committer.submit(insert(1)).await,
        Err(SubmitError::Unavailable)
    ));
    committer.shutdown().await;
}

#[tokio::test]
async fn serialization_conflicts_are_retried_until_they_end() {
    let db = with_notes().await;
    let client = db.connect().await;
    // Two writers take two rows in opposite order inside one unit each: PostgreSQL ends one of them with 40P01.
    client
        .batch_execute("INSERT INTO note VALUES (1), (2); CREATE TABLE hit (n int)")
        .await
        .unwrap();
    let committer = GroupCommitter::start(
        Statements::free(),
        db.config.clone(),
        Options {
            writers: 2,
            max_batch: 1,
            ..Options::default()
        },
    );
    let crossing = |a: i32, b: i32| {
        format!(
            "SELECT FROM note WHERE n = {a} FOR UPDATE; SELECT pg_sleep(0.05); SELECT FROM note WHERE n = {b} FOR UPDATE; INSERT INTO hit VALUES ({a})"
        )
    };
    let (x, y) = tokio::join!(committer.submit(crossing(1, 2)), committer.submit(crossing(2, 1)));
    x.unwrap();
    y.unwrap();
    let hits: i64 = client.query_one("SELECT count(*) FROM hit", &[]).await.unwrap().get(0);
    assert_eq!((hits, committer.metrics().units), (2, 2));
    committer.shutdown().await;
}
