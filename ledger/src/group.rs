//! Group commit: many callers, few database transactions.
//!
//! A request does not own a transaction. It hands a *unit* to a [`GroupCommitter`] and waits for its own answer; a few
//! writers, one connection each, take whatever is queued and commit it in one transaction. There is no timer: an idle
//! system commits a lone unit at once, and batches form by themselves while a commit is under way.
//!
//! Cost of a unit that is alone and one statement: that statement, prepared, and its commit; no BEGIN and no COMMIT.
//!
//! Promises to the caller of [`GroupCommitter::submit`]:
//! * `Ok` only after COMMIT has answered.
//! * [`SubmitError::Unknown`] when the connection died with the COMMIT in flight, and only then: it is never retried
//!   here. Every other error means that nothing of the unit was committed.
//! * One unit that makes the database fail does not fail its neighbours: the batch is run again one by one.
//! * The queue is bounded; when it is full the unit is given back as [`SubmitError::QueueFull`] and nothing was done.
//!
//! Never commits a unit twice, and never answers from anything but committed rows.

mod metrics;
mod queue;
mod writer;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, NoTls, Socket};

pub use metrics::{Histogram, Snapshot};

use metrics::Metrics;
use queue::{Queue, Rejected};

/// How units of one kind are written.
pub trait Batch: Send + Sync + 'static {
    /// What a caller wants committed.
    type Unit: Send + 'static;
    /// What the caller learns once it is.
    type Answer: Send + 'static;
    /// What is prepared once on each connection.
    type Statements: Send + Sync;

    /// Prepares a new connection. Must not fail for what only a unit can be blamed for: a writer tries until it succeeds.
    fn prepare(&self, client: &Client) -> impl Future<Output = Result<Self::Statements, tokio_postgres::Error>> + Send;

    /// Writes all units through `tx`, which is inside an open transaction, and gives one answer per unit, in order. The
    /// committer itself begins, commits and rolls back; answers reach callers only after the commit. A unit that is
    /// refused in the ordinary course of things is an answer, not an error. May be called again with the same units,
    /// always in a fresh transaction.
    fn commit(
        &self,
        tx: &Client,
        statements: &Self::Statements,
        units: &mut [Self::Unit],
        pass: Pass,
    ) -> impl Future<Output = Result<Vec<Self::Answer>, Failure>> + Send;

    /// How `commit` will talk to the database for these units in this pass.
    fn flight(&self, units: &[Self::Unit], pass: Pass) -> Flight {
        let _ = (units, pass);
        Flight::InSteps
    }
}

/// How a pass talks to the database, and so how its transaction is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flight {
    /// It waits for answers: BEGIN, its statements, COMMIT.
    InSteps,
    /// It sends all its statements before it first waits and needs no answer of theirs to decide that the transaction may
    /// commit (a refused statement aborts it anyway). BEGIN, the statements and COMMIT travel together: one round trip.
    Together,
    /// It is exactly one statement, which is a transaction by itself: one round trip, and no BEGIN or COMMIT to work off.
    Alone,
}

/// How much care `commit` is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Write as if nothing could be refused; fail with [`Failure::NeedsCare`] when something is.
    Optimistic,
    /// Lock first, judge unit by unit, write what is accepted.
    Careful,
}

/// Why a pass did not fill its transaction.
#[derive(Debug)]
pub enum Failure {
    /// Something in the batch is refused: roll back and come again with [`Pass::Careful`].
    NeedsCare,
    /// The database failed. 40001 and 40P01 are retried; after anything else units are tried one by one.
    Database(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(e: tokio_postgres::Error) -> Failure {
        Failure::Database(e)
    }
}

/// Sizes of a committer.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Writers, each with a connection. 2 to 4 are right for 4 cores.
    pub writers: usize,
    /// Units that may wait; beyond that callers are refused.
    pub queue: usize,
    /// Units per transaction at most: bounds how long locks are held.
    pub max_batch: usize,
    /// How long a taken unit waits for a lost connection to come back before it is given up (nothing written).
    pub connect_patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            writers: 3,
            queue: 4096,
            max_batch: 256,
            connect_patience: Duration::from_secs(5),
        }
    }
}

/// Why a unit has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full; nothing was done. Answer 503 with Retry-After.
    #[error("the commit queue is full")]
    QueueFull,
    /// The committer is shutting down; nothing was done.
    #[error("the committer is closed")]
    Closed,
    /// No connection to the database in time; nothing was done.
    #[error("the database is unavailable")]
    Unavailable,
    /// Conflicts did not end within the retries; nothing was done.
    #[error("too many conflicts")]
    Contended,
    /// The connection died while COMMIT was in flight: committed or not, only the database knows.
    #[error("the outcome of the commit is unknown")]
    Unknown,
    /// This unit made the database fail, by itself; nothing of it was committed.
    #[error("the database failed")]
    Database(#[source] Arc<tokio_postgres::Error>),
}

/// A queue of units and the writers that commit them. Dropping it without [`GroupCommitter::shutdown`] lets the writers
/// drain in the background.
pub struct GroupCommitter<B: Batch> {
    queue: Arc<Queue<Waiting<B>>>,
    metrics: Arc<Metrics>,
    writers: Mutex<Vec<JoinHandle<()>>>,
}

/// A unit in the queue, with the way back to its caller.
struct Waiting<B: Batch> {
    unit: B::Unit,
    since: Instant,
    /// from here to its answer; the transaction that takes it in is linked to it
    span: tracing::Span,
    answer: oneshot::Sender<Result<B::Answer, SubmitError>>,
}

impl<B: Batch> GroupCommitter<B> {
    /// Starts the writers over plain connections. They connect when the first unit comes.
    pub fn start(batch: B, config: Config, options: Options) -> GroupCommitter<B> {
        GroupCommitter::start_tls(batch, config, NoTls, options)
    }

    /// Starts the writers over connections made with `tls`.
    pub fn start_tls<T>(batch: B, config: Config, tls: T, options: Options) -> GroupCommitter<B>
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let queue = Arc::new(Queue::new(options.queue));
        let metrics = Arc::new(Metrics::default());
        let batch = Arc::new(batch);
        let writers = (0..options.writers.max(1))
            .map(|_| {
                let writer = writer::Writer::new(
                    Arc::clone(&batch),
                    Arc::clone(&queue),
                    Arc::clone(&metrics),
                    config.clone(),
                    tls.clone(),
                    options,
                );
                tokio::spawn(writer.run())
            })
            .collect();
        GroupCommitter {
            queue,
            metrics,
            writers: Mutex::new(writers),
        }
    }

    /// Queues a unit and waits for its answer. Dropping the future abandons the answer, not the unit.
    pub async fn submit(&self, unit: B::Unit) -> Result<B::Answer, SubmitError> {
        let (answer, answered) = oneshot::channel();
        let span = tracing::debug_span!("unit");
        self.queue
            .push(Waiting {
                unit,
                since: Instant::now(),
                span,
                answer,
            })
            .map_err(|rejected| match rejected {
                Rejected::Full => {
                    self.metrics.rejected();
                    SubmitError::QueueFull
                }
                Rejected::Closed => SubmitError::Closed,
            })?;
        // A writer that panicked inside `commit` drops the way back: what it had sent is not known here.
        answered.await.unwrap_or(Err(SubmitError::Unknown))
    }

    /// The figures so far.
    pub fn metrics(&self) -> Snapshot {
        self.metrics.snapshot(self.queue.len())
    }

    /// Takes no more units, commits those that are queued, and returns when the writers are done.
    pub async fn shutdown(&self) {
        self.queue.close();
        for writer in self.writers.lock().await.drain(..) {
            let _ = writer.await; // a panic has been reported where it happened
        }
    }
}

impl<B: Batch> Drop for GroupCommitter<B> {
    fn drop(&mut self) {
        self.queue.close();
    }
}
