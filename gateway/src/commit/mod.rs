//! The group committer's gateway half: units in, one transaction for all that are queued, each caller its own answer.
//!
//! A flow builds a [`Unit`] (guarded rows, journals, events, stored answer) and hands it to [`Committer::commit`]; the
//! ledger's group committer takes what is queued and runs [`batch::GatewayBatch`] on it. Nothing else writes these tables.
//! It must never report success before COMMIT.

mod batch;
mod metrics;
mod table;
mod unit;

pub use batch::GatewayBatch;
pub use metrics::CommitMetrics;
pub(crate) use table::qualified;
pub use table::{Row, Table, Versioned};
pub use unit::{Digest, Request, Unit};

use crate::database::Database;
use ledger::group::{GroupCommitter, Options, Snapshot, SubmitError};
use std::sync::Arc;
use tokio::sync::Notify;
use tracing::Instrument;

/// Why a unit was not committed; nothing of it was, except with [`Refused::OutcomeUnknown`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    /// the idempotency key belongs to another request
    #[error("the idempotency key is taken")]
    KeyTaken,
    /// a row has moved, or exists, since it was read: read again
    #[error("a row has moved meanwhile")]
    Conflict {},
    /// the books refuse it
    #[error("the ledger refuses: {0}")]
    Ledger(ledger::Refusal),
    /// it would break this constraint
    #[error("it would break {0}")]
    Constraint(String),
    /// the queue is full or the database is away: nothing was accepted
    #[error("at capacity")]
    Busy,
    /// the connection died with COMMIT in flight
    #[error("the outcome is unknown")]
    OutcomeUnknown,
    /// our fault
    #[error("the database failed: {0}")]
    Database(String),
}

impl Refused {
    /// A row has moved meanwhile.
    pub fn conflict() -> Self {
        Refused::Conflict {}
    }
}

/// Where units go.
pub struct Committer {
    group: GroupCommitter<GatewayBatch>,
    /// rung after a commit that wrote events: deliveries may be due
    pub events: Arc<Notify>,
    /// rung after a commit that the scorer learns from
    pub learned: Arc<Notify>,
}

impl Committer {
    /// Starts the writers.
    pub fn start(database: Database, options: Options) -> Self {
        let group = match database.parts() {
            (config, Some(tls)) => GroupCommitter::start_tls(GatewayBatch::new(), config, tls, options),
            (config, None) => GroupCommitter::start(GatewayBatch::new(), config, options),
        };
        Self {
            group,
            events: Arc::new(Notify::new()),
            learned: Arc::new(Notify::new()),
        }
    }

    /// Commits a unit; returns after COMMIT has answered.
    pub async fn commit(&self, unit: Unit) -> Result<(), Refused> {
        let writes = |table| unit.rows.iter().any(|row| row.table == table);
        let (events, learned) = (writes(Table::Event), writes(Table::RiskHistory));
        let span = tracing::debug_span!("commit", rows = unit.rows.len());
        match self.group.submit(unit).instrument(span).await {
            Ok(answer) => {
                if answer.is_ok() && events {
                    self.events.notify_one();
                }
                if answer.is_ok() && learned {
                    self.learned.notify_one();
                }
                answer
            }
            Err(SubmitError::QueueFull | SubmitError::Closed | SubmitError::Unavailable | SubmitError::Contended) => {
                Err(Refused::Busy)
            }
            Err(SubmitError::Unknown) => Err(Refused::OutcomeUnknown),
            Err(SubmitError::Database(error)) => Err(match error.as_db_error().and_then(|db| db.constraint()) {
                Some(constraint) => Refused::Constraint(constraint.to_owned()),
                None => Refused::Database(error.to_string()),
            }),
        }
    }

    /// Figures of the queue and the writers.
    pub fn metrics(&self) -> Snapshot {
        self.group.metrics()
    }

    /// Takes no more, commits what is queued, returns when done.
    pub async fn shutdown(&self) {
        self.group.shutdown().await;
    }
}

/// Creates or replaces `gateway.commit`: run after the migrations, by the migrator.
pub async fn install(client: &impl tokio_postgres::GenericClient) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(&table::commit_function()).await
}

pub(crate) fn table_name(table: Table) -> &'static str {
    // TABLES has every variant: its own test says so.
    table::TABLES
        .iter()
        .find(|shape| shape.table == table)
        .map_or("", |shape| shape.name)
}
