//! One writer: a connection, and the loop that takes what is queued and commits it.
//!
//! Round trips per transaction: one when the batch is `one_flight`, else those of the batch (BEGIN travels with its
//! first statement) and one for COMMIT.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, Socket};
use tracing::Instrument;

use super::metrics::Metrics;
use super::queue::Queue;
use super::{Batch, Failure, Flight, Options, Pass, SubmitError, Waiting};

pub(super) struct Writer<B: Batch, T> {
    batch: Arc<B>,
    queue: Arc<Queue<Waiting<B>>>,
    metrics: Arc<Metrics>,
    config: Config,
    tls: T,
    options: Options,
    client: Option<(Client, B::Statements)>,
}

/// How a transaction ended when it did not commit.
enum End {
    /// Rolled back: something in it is refused.
    NeedsCare,
    /// Rolled back by a conflict that another try may not meet.
    Conflict,
    /// Rolled back, or never begun: the connection was lost before COMMIT was sent.
    Lost,
    /// COMMIT was sent and nobody answered.
    Unknown,
    /// Rolled back by an error that will come again.
    Failed(Arc<tokio_postgres::Error>),
}

impl<B, T> Writer<B, T>
where
    B: Batch,
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    pub(super) fn new(
        batch: Arc<B>,
        queue: Arc<Queue<Waiting<B>>>,
        metrics: Arc<Metrics>,
        config: Config,
        tls: T,
        options: Options,
    ) -> Self {
        Writer {
            batch,
            queue,
            metrics,
            config,
            tls,
            options,
            client: None,
        }
    }

    pub(super) async fn run(mut self) {
        let woken = Arc::new(Notify::new());
        loop {
            let taken = self.queue.take(self.options.max_batch, &woken).await;
            if taken.is_empty() {
                return; // closed and drained
            }
            let now = Instant::now();
            let (mut units, mut answers) = (Vec::with_capacity(taken.len()), Vec::with_capacity(taken.len()));
            let span = tracing::debug_span!(parent: None, "group_commit", units = taken.len());
            for waiting in taken {
                self.metrics.waited(now - waiting.since);
                units.push(waiting.unit);
                span.follows_from(&waiting.span);
                answers.push((waiting.answer, waiting.span));
            }
            // A panic in the batch's own code must not take the writer with it. What had been sent is not known.
            let Ok(results) = AssertUnwindSafe(self.settle(&mut units).instrument(span))
                .catch_unwind()
                .await
            else {
                tracing::error!("a batch panicked while it was committed");
                self.client = None;
                continue; // dropping the ways back answers SubmitError::Unknown
            };
            for ((answer, _ends_now), result) in answers.into_iter().zip(results) {
                let _ = answer.send(result); // the caller may have gone; the unit is committed all the same
            }
        }
    }

    /// Commits the units and gives a result for each: all at once, else with care, else one by one.
    async fn settle(&mut self, units: &mut [B::Unit]) -> Vec<Result<B::Answer, SubmitError>> {
        let end = match self.persist(units, Pass::Optimistic).await {
            Err(End::NeedsCare) => {
                self.metrics.needed_care();
                self.persist(units, Pass::Careful).await
            }
            other => other,
        };
        let end = match end {
            Ok(answers) => return answers.into_iter().map(Ok).collect(),
            Err(end) => end,
        };
        let poisoned = matches!(end, End::NeedsCare | End::Failed(_) | End::Conflict);
        if units.len() > 1 && poisoned {
            let mut results = Vec::with_capacity(units.len());
            for unit in units.chunks_mut(1) {
                results.push(match self.persist(unit, Pass::Careful).await {
                    Ok(mut answer) => answer.pop().ok_or(SubmitError::Contended),
                    Err(end) => Err(end.into()),
                });
            }
            return results;
        }
        let error = SubmitError::from(end);
        units.iter().map(|_| Err(error.clone())).collect()
    }

    /// One transaction, again after conflicts and after a connection lost before COMMIT was sent.
    async fn persist(&mut self, units: &mut [B::Unit], pass: Pass) -> Result<Vec<B::Answer>, End> {
        for attempt in 0.. {
            let begun = Instant::now();
            let end = match self.transact(units, pass).await {
                Ok(answers) if answers.len() == units.len() => {
                    self.metrics.committed(units.len(), begun.elapsed());
                    return Ok(answers);
                }
                // Committed, but not one answer per unit: a defect of the batch. Its outcome is not known to us.
                Ok(_) => return Err(End::Unknown),
                Err(end) => end,
            };
            match end {
                // Between the lock and the write another transaction took a key or reversed a journal: it has
                // committed, so the next look sees it.
                End::NeedsCare if pass == Pass::Careful && attempt < CONFLICT_RETRIES => self.metrics.retried(),
                End::Conflict if attempt < CONFLICT_RETRIES => {
                    self.metrics.retried();
                    tokio::time::sleep(jitter(Duration::from_millis(1 << attempt))).await;
                }
                End::Lost if attempt < LOST_RETRIES => self.client = None,
                other => return Err(other),
            }
        }
        Err(End::Conflict)
    }

    async fn transact(&mut self, units: &mut [B::Unit], pass: Pass) -> Result<Vec<B::Answer>, End> {
        let batch = Arc::clone(&self.batch);
        let flight = batch.flight(units, pass);
        let (client, statements) = self.connected().await?;
        match flight {
            Flight::Alone => {
                let filled = batch.commit(client, statements, units, pass).await;
                return filled.map_err(|f| End::of_failure(f, Sent::Alone));
            }
            Flight::Together => {
                // Polled in this order, so sent in this order. COMMIT of a transaction that a statement aborted is a
                // rollback, and the statement's own error says so.
                let (begun, filled, committed) = tokio::join!(
                    biased;
                    client.batch_execute("BEGIN"),
                    batch.commit(client, statements, units, pass),
                    client.batch_execute("COMMIT"),
                );
                begun.map_err(|e| End::of(e, Sent::WithCommit))?;
                let answers = filled.map_err(|f| End::of_failure(f, Sent::WithCommit))?;
                return committed.map(|()| answers).map_err(|e| End::of(e, Sent::Commit));
            }
            Flight::InSteps => {}
        }
        let (begun, filled) = tokio::join!(
            biased;
            client.batch_execute("BEGIN"),
            batch.commit(client, statements, units, pass),
        );
        let filled = begun.map_err(Failure::Database).and(filled);
        match filled {
            Ok(answers) => client
                .batch_execute("COMMIT")
                .await
                .map(|()| answers)
                .map_err(|e| End::of(e, Sent::Commit)),
            Err(failure) => {
                let end = End::of_failure(failure, Sent::BeforeCommit);
                // A rollback that cannot be sent happens by itself when the connection goes.
                if client.batch_execute("ROLLBACK").await.is_err() {
                    self.client = None;
                }
                Err(end)
            }
        }
    }

    /// The connection, made again when it was lost, with backoff up to the patience.
    async fn connected(&mut self) -> Result<(&Client, &B::Statements), End> {
        if self.client.as_ref().is_none_or(|(client, _)| client.is_closed()) {
            self.client = None;
            let since = Instant::now();
            let mut pause = Duration::from_millis(20);
            while self.client.is_none() {
                match self.connect().await {
                    Ok(connected) => self.client = Some(connected),
                    Err(e) if since.elapsed() > self.options.connect_patience => {
                        tracing::error!(error = %e, "no connection to the database");
                        return Err(End::Lost);
                    }
                    Err(_) => {
                        tokio::time::sleep(jitter(pause)).await;
                        pause = (pause * 2).min(Duration::from_secs(1));
                    }
                }
            }
        }
        self.client
            .as_ref()
            .map(|(client, statements)| (client, statements))
            .ok_or(End::Lost)
    }

    async fn connect(&self) -> Result<(Client, B::Statements), tokio_postgres::Error> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        tokio::spawn(async move {
            if let Err(e) = connection.await {
                tracing::warn!(error = %e, "a writer's connection to the database ended");
            }
        });
        let statements = self.batch.prepare(&client).await?;
        Ok((client, statements))
    }
}

/// What was on its way when an error came.
#[derive(Clone, Copy, PartialEq)]
enum Sent {
    /// A statement, and COMMIT not yet.
    BeforeCommit,
    /// A statement, and COMMIT behind it.
    WithCommit,
    /// COMMIT itself.
    Commit,
    /// The one statement, which commits by itself.
    Alone,
}

impl End {
    fn of_failure(failure: Failure, sent: Sent) -> End {
        match failure {
            Failure::NeedsCare => End::NeedsCare,
            Failure::Database(e) => End::of(e, sent),
        }
    }

    fn of(e: tokio_postgres::Error, sent: Sent) -> End {
        match e.code() {
            Some(code) if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED => {
                End::Conflict
            }
            // The server went down (57P..) while it was committing: it may have done so.
            Some(code) if code.code().starts_with("57P") && matches!(sent, Sent::Commit | Sent::Alone) => End::Unknown,
            Some(code) if code.code().starts_with("57P") => End::Lost,
            Some(_) => End::Failed(Arc::new(e)),
            // No SQLSTATE: the connection is gone, or the driver could not encode a parameter.
            None if e.is_closed() || is_io(&e) => match sent {
                Sent::BeforeCommit => End::Lost,
                Sent::WithCommit | Sent::Commit | Sent::Alone => End::Unknown,
            },
            None => End::Failed(Arc::new(e)),
        }
    }
}

impl From<End> for SubmitError {
    fn from(end: End) -> SubmitError {
        match end {
            End::NeedsCare | End::Conflict => SubmitError::Contended,
            End::Lost => SubmitError::Unavailable,
            End::Unknown => SubmitError::Unknown,
            End::Failed(e) => SubmitError::Database(e),
        }
    }
}

fn is_io(e: &tokio_postgres::Error) -> bool {
    std::error::Error::source(e).is_some_and(|s| s.is::<std::io::Error>())
}

/// Between half of `d` and all of it, so that writers which met do not meet again.
fn jitter(d: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    d / 2 + Duration::from_nanos(random % (d.as_nanos() as u64 / 2 + 1))
}

const CONFLICT_RETRIES: u32 = 7;
const LOST_RETRIES: u32 = 2;
