//! The seals of the books and of the audit log as background work: a round now and then, beside whatever else the service does.
//!
//! Every process of the service runs it; the ledger lets one work at a time. A failed round is told and tried again, never
//! skipped: what was not sealed waits. The service goes on without its seal, since payments must not stop for it; the metrics
//! say how long that has been.

pub mod push;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::Pool;
use jiff::Timestamp;
use ledger::seal::{HeadLog, JOURNALS, Keys, SealError, Sealer, Series};
use prometheus::{IntCounter, IntGauge, Registry};

use crate::audit_log;

/// How the books are sealed.
#[derive(Clone, Debug)]
pub struct Config {
    /// file with the keys that sign
    pub keys: PathBuf,
    /// the file is made when there is none: for development
    pub make_keys: bool,
    /// directories that get the signed heads
    pub heads: Vec<PathBuf>,
    /// who else gets them
    pub push: push::Config,
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
    push: push::Push,
}

impl Config {
    /// A sealer of the books as configured.
    ///
    /// # Errors
    /// When keys or a directory cannot be had.
    pub fn sealer(&self) -> anyhow::Result<Sealer> {
        self.sealer_of(&JOURNALS, "")
    }

    /// A sealer of this series; its heads are files with this prefix.
    fn sealer_of(&self, series: &'static Series, prefix: &'static str) -> anyhow::Result<Sealer> {
        let keys = match self.make_keys {
            true => Keys::from_file_or_create(&self.keys),
            false => Keys::from_file(&self.keys),
        };
        let keys = keys.with_context(|| self.keys.display().to_string())?;
        let open = |dir: &PathBuf| {
            HeadLog::open_as(dir, prefix).with_context(|| format!("heads of the seal in {}", dir.display()))
        };
        let heads = self.heads.iter().map(open).collect::<anyhow::Result<_>>()?;
        Ok(Sealer::of(series, keys.of_series(series), heads, self.page_journals))
    }
}

impl Sealing {
    /// Reads keys and directories.
    ///
    /// # Errors
    /// When they cannot be had.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        Self::of(config, config.sealer()?, "", "counterfoil_sealed_journals")
    }

    /// The same for the audit log.
    ///
    /// # Errors
    /// When they cannot be had.
    pub fn of_audit_log(config: &Config) -> anyhow::Result<Self> {
        let sealer = config.sealer_of(&audit_log::SERIES, audit_log::HEADS)?;
        Self::of(config, sealer, "audit_", "counterfoil_sealed_audit_events")
    }

    fn of(config: &Config, sealer: Sealer, series: &str, sealed: &str) -> anyhow::Result<Self> {
        Ok(Self {
            sealer,
            push: push::Push::new(&config.push, series).context("targets of the seal's heads")?,
            every: config.every,
            journals: IntGauge::new(sealed, "Rows under the newest head of the seal")?,
            last_round: IntGauge::new(
                format!("counterfoil_{series}seal_last_round_timestamp_seconds"),
                "When a round of sealing last went well, here or in another process",
            )?,
            failures: IntCounter::new(
                format!("counterfoil_{series}seal_failures_total"),
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
        self.push.register(metrics)
    }

    /// Seals until told to stop.
    pub async fn run(mut self, database: Pool, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let _pushing = self.push.start();
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
                    self.push.offer(head);
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
