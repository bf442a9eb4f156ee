//! The seals of the books and of the audit log as background work: a round now and then, beside whatever else the service does.
//!
//! Every process of the service runs it; the ledger lets one work at a time. A failed round is told and tried again, never
//! skipped: what was not sealed waits. The service goes on without its seal, since payments must not stop for it; the metrics
//! say how long that has been.

pub mod push;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::telemetry::table;
use anyhow::Context;
use jiff::Timestamp;
use ledger::seal::verify::{Options, verify_series};
use ledger::seal::{HeadLog, JOURNALS, Keys, SealError, Sealer, Series};
use prometheus::{IntCounter, IntGauge, Registry};

use crate::app::App;
use crate::audit_log;
use crate::security::{Kind, Source};

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
    /// how often the newest pages are verified again
    pub verify_every: Duration,
}

/// The background work, ready to run.
pub struct Sealing {
    sealer: Sealer,
    series: &'static Series,
    keys: Keys,
    verify_every: Duration,
    verify_at: Instant,
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
        let keys = self.keys_of(series)?;
        let open = |dir: &PathBuf| {
            HeadLog::open_as(dir, prefix).with_context(|| format!("heads of the seal in {}", dir.display()))
        };
        let heads = self.heads.iter().map(open).collect::<anyhow::Result<_>>()?;
        Ok(Sealer::of(series, keys, heads, self.page_journals))
    }

    fn keys_of(&self, series: &'static Series) -> anyhow::Result<Keys> {
        let keys = match self.make_keys {
            true => Keys::from_file_or_create(&self.keys),
            false => Keys::from_file(&self.keys),
        };
        let keys = keys.with_context(|| self.keys.display().to_string())?;
        Ok(keys.of_series(series))
    }
}

impl Sealing {
    /// Reads keys and directories.
    ///
    /// # Errors
    /// When they cannot be had.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        Self::of(config, &JOURNALS, config.sealer()?, "", "counterfoil_sealed_journals")
    }

    /// The same for the audit log.
    ///
    /// # Errors
    /// When they cannot be had.
    pub fn of_audit_log(config: &Config) -> anyhow::Result<Self> {
        let series = &audit_log::SERIES;
        let sealer = config.sealer_of(series, audit_log::HEADS)?;
        Self::of(config, series, sealer, "audit_", "counterfoil_sealed_audit_events")
    }

    fn of(
        config: &Config,
        series: &'static Series,
        sealer: Sealer,
        prefix: &str,
        sealed: &str,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            sealer,
            push: push::Push::new(&config.push, prefix).context("targets of the seal's heads")?,
            series,
            keys: config.keys_of(series)?,
            verify_every: config.verify_every,
            verify_at: Instant::now() + config.verify_every,
            every: config.every,
            journals: table::gauge(sealed),
            last_round: table::gauge(&format!("counterfoil_{prefix}seal_last_round_timestamp_seconds")),
            failures: table::counter(&format!("counterfoil_{prefix}seal_failures_total")),
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
    pub async fn run(mut self, app: Arc<App>, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let _pushing = self.push.start();
        loop {
            let rest = self.round(&app).await;
            self.look_again(&app).await;
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = &mut stop => return,
            }
        }
    }

    /// How long to rest after it.
    async fn round(&mut self, app: &App) -> Duration {
        let mut client = match app.reads.get().await {
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
                tracing::error!(%error, series = self.series.noun, "sealing stands still");
                if matches!(error, SealError::Broken(_) | SealError::Rewound { .. }) {
                    self.tampered(app, &error.to_string());
                }
                self.every
            }
        }
    }

    /// Verifies the chain and the rows of its newest pages again, now and then, so that a change is noticed while it is fresh; older
    /// rows are for `verify`, which takes its time.
    async fn look_again(&mut self, app: &App) {
        if self.verify_at > Instant::now() {
            return;
        }
        self.verify_at = Instant::now() + self.verify_every;
        let verified = async {
            let mut client = app.reads.get().await?;
            let pages: i64 = client
                .query_typed_one(&format!("SELECT count(*) FROM {}", self.series.pages), &[])
                .await?
                .try_get(0)?;
            let options = Options {
                keys: Some(&self.keys),
                heads: &[],
                from_page: (pages - NEWEST_PAGES).max(1),
            };
            anyhow::Ok(verify_series(&mut client, self.series, options, |_| {}).await?)
        };
        match verified.await {
            Ok(report) => {
                for check in report.checks.iter().filter(|check| check.wrong > 0) {
                    self.tampered(app, check.first_wrong.as_deref().unwrap_or(check.name));
                }
            }
            Err(error) => tracing::warn!(%error, "sealed rows could not be verified again; trying again"),
        }
    }

    fn tampered(&self, app: &App, what: &str) {
        let source = Source::found(&format!("{}s: {what}", self.series.noun));
        app.security.record(Kind::Tampered, &source, "", app.clock.now());
    }
}

/// How many pages are read again each time.
const NEWEST_PAGES: i64 = 50;
