//! The seal of the books as background work: a round now and then, beside whatever else the service does.
//!
//! Every process of the service runs it; the ledger lets one work at a time. A failed round is told and tried again, never
//! skipped: what was not sealed waits. The service goes on without its seal, since payments must not stop for it; the metrics
//! say how long that has been.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::Pool;
use jiff::Timestamp;
use ledger::seal::{HeadLog, Keys, SealError, Sealer};
use prometheus::{IntCounter, IntGauge, Registry};

/// How the books are sealed.
#[derive(Clone, Debug)]
pub struct Config {
    /// file with the keys that sign
    pub keys: PathBuf,
    /// the file is made when there is none: for development
    pub make_keys: bool,
    /// directories that get the signed heads
    pub heads: Vec<PathBuf>,
    /// between rounds
    pub every: Duration,
    /// journals in a page at most
    pub page_journals: u32,
}

/// The background work, ready to run.
pub struct Sealing {
    sealer: Sealer,
    every: Duration,
    journals: IntGauge,
    last_round: IntGauge,
    failures: IntCounter,
}

impl Config {
    /// A sealer as configured.
    ///
    /// # Errors
    /// When keys or a directory cannot be had.
    pub fn sealer(&self) -> anyhow::Result<Sealer> {
        let keys = match self.make_keys {
            true => Keys::from_file_or_create(&self.keys),
            false => Keys::from_file(&self.keys),
        };
        let keys = keys.with_context(|| self.keys.display().to_string())?;
        let open =
            |dir: &PathBuf| HeadLog::open(dir).with_context(|| format!("heads of the seal in {}", dir.display()));
        let heads = self.heads.iter().map(open).collect::<anyhow::Result<_>>()?;
        Ok(Sealer::new(keys, heads, self.page_journals))
    }
}

impl Sealing {
    /// Reads keys and directories.
    ///
    /// # Errors
    /// When they cannot be had.
    #[expect(clippy::needless_pass_by_value, reason = "the settings end here")]
    pub fn new(config: Config) -> anyhow::Result<Self> {
        Ok(Self {
            sealer: config.sealer()?,
            every: config.every,
            journals: IntGauge::new(
                "counterfoil_sealed_journals",
                "Journals under the newest head of the seal",
            )?,
            last_round: IntGauge::new(
                "counterfoil_seal_last_round_timestamp_seconds",
                "When a round of sealing last went well, here or in another process",
            )?,
            failures: IntCounter::new(
                "counterfoil_seal_failures_total",
                "Rounds of sealing that failed, and heads that could not be exported",
            )?,
        })
    }

    /// Shows its figures.
    ///
    /// # Errors
    /// When others have their names.
    pub fn register(&self, metrics: &Registry) -> anyhow::Result<()> {
        metrics.register(Box::new(self.journals.clone()))?;
        metrics.register(Box::new(self.last_round.clone()))?;
        metrics.register(Box::new(self.failures.clone()))?;
        Ok(())
    }

    /// Seals until told to stop.
    pub async fn run(mut self, database: Pool, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        loop {
            let rest = self.round(&database).await;
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = &mut stop => return,
            }
        }
    }

    /// How long to rest after it.
    async fn round(&mut self, database: &Pool) -> Duration {
        let mut client = match database.get().await {
            Ok(client) => client,
            Err(error) => {
                self.failures.inc();
                tracing::warn!(%error, "no connection for sealing; trying again");
                return self.every;
            }
        };
        match self.sealer.round(&mut client).await {
            Ok(round) => {
                self.last_round.set(Timestamp::now().as_second());
                if let Some(head) = &round.head {
                    self.journals.set(head.journals);
                }
                for (dir, error) in &round.unexported {
                    self.failures.inc();
                    tracing::error!(dir = %dir.display(), %error, "the head of the seal was not exported; trying again");
                }
                if round.pages > 0 {
                    tracing::debug!(round.pages, round.journals, "sealed");
                }
                round.rest(self.every)
            }
            Err(SealError::Database(error)) => {
                self.failures.inc();
                tracing::warn!(%error, "sealing failed; trying again");
                self.every
            }
            Err(error) => {
                self.failures.inc();
                tracing::error!(%error, "the books cannot be sealed");
                self.every
            }
        }
    }
}
