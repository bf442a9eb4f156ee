//! The running service, put together: pools, committer, scorer, connectors, routers and background work.
//!
//! `serve` and `dev` build the same thing from different settings. Readiness is given only after the scorer has its state
//! back. It must never hold a rule of its own.

use crate::alert::{self, Alarms};
use crate::app::{App, Parts, Settings};
use crate::audit_log::{self, AuditEvent};
use crate::clock::Clock;
use crate::commit::{self, Committer, Unit};
use crate::connector;
use crate::database::Database;
use crate::vault::{FileKms, Keys, Kms, SECRETS_REFRESH, Transit, TransitConfig, Vault};
use crate::webhook::deliver::{self, Deliverer};
use crate::webhook::target::Policy;
use crate::{account, api, auth, callback, console, egress, payment, receipt, risk, routing, seal, telemetry, wire};
use anyhow::Context;
use axum::Router;
use futures_util::future::BoxFuture;
use ledger::group::Options;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long one delivery of a webhook may take: receivers are told to answer within this.
const MONTHS_EVERY: Duration = Duration::from_secs(24 * 3600);
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(20);

/// Where the acquirer's callbacks arrive on the API listener.
pub const ACQUIRER_CALLBACK_PATH: &str = "/hooks/stripe";

/// What the service needs to know from outside.
pub struct ServiceConfig {
    /// as role gateway_app
    pub database: Database,
    /// as role vault_app
    pub vault_database: Database,
    /// reading connections
    pub connections: usize,
    /// committing connections
    pub writers: usize,
    /// replicas that are to follow the primary
    pub replicas: u32,
    /// sends metrics and traces to a collector
    pub telemetry: Option<telemetry::Exporter>,
    /// file with the vault's keys, made on the first use when `development`
    pub vault_keys: PathBuf,
    /// the key-encryption keys are there, not in the file
    pub transit: Option<TransitConfig>,
    /// the seal of the books
    pub seal: seal::Config,
    /// where the audit log is told
    pub audit: audit_log::export::Config,
    /// who is told of security events
    pub alerts: alert::Config,
    /// the acquirers
    pub connectors: connector::Settings,
    /// scheme and host where payers' browsers reach the API listener
    pub payers_base_url: Option<String>,
    /// times of the sweep, where they are not the usual ones
    pub payments: Option<crate::config::Payments>,
    /// the account that payouts are paid from
    pub payout_bank: Option<crate::funds::file::pain001::Debtor>,
    /// the mail server that takes receipts
    pub mail: Option<receipt::mail::Config>,
    /// test tokens are accepted, webhook targets on private addresses are allowed, and missing keys are made
    pub development: bool,
    /// authorities that webhook targets' certificates may come from, beside the usual ones
    pub webhook_authorities: Option<PathBuf>,
    /// of the scorer's rules only the lists are kept, so that nothing else is flagged: for benchmarks alone
    pub permissive_scorer: bool,
    /// the scorer
    pub risk: risk::Settings,
    /// how much callers may ask for, and whether they must sign
    pub access: crate::limit::Settings,
    /// the console
    pub console: console::Settings,
    /// what time it is
    pub clock: Clock,
    /// what an operator decides about disputes
    pub disputes: crate::dispute::Settings,
}

/// Whether the service can do its work now.
pub type Ready = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// How each acquirer does, as this process sees it.
pub type Acquirers = Arc<dyn Fn() -> Vec<crate::routing::health::State> + Send + Sync>;

/// The running service.
pub struct Service {
    /// what the API listener serves
    pub api: Router,
    /// what the operations listener serves, beside `/healthz`, `/readyz` and `/metrics`
    pub ops: Router,
    /// behind `/readyz`
    pub ready: Ready,
    /// beside it
    pub acquirers: Acquirers,
    /// behind `/metrics`
    pub metrics: prometheus::Registry,
    /// the shared state
    pub app: Arc<App>,
    stop: watch::Sender<bool>,
    work: Vec<JoinHandle<()>>,
}

/// All schemas up to date; returns how many migrations were applied.
///
/// # Errors
/// When a migration fails or an applied one was changed.
pub async fn migrate(client: &mut tokio_postgres::Client) -> anyhow::Result<usize> {
    let books = ledger::migrate(client).await.context("schema ledger")?;
    // Two starting processes must not run the same migration: the migration tool itself takes no lock.
    client
        .batch_execute("SELECT pg_advisory_lock(hashtext('counterfoil gateway migrations'))")
        .await?;
    let run = embedded::migrations::runner()
        .set_migration_table_name("gateway_schema_history")
        .run_async(client)
        .await;
    let installed = match &run {
        Ok(_) => commit::install(client).await,
        Err(_) => Ok(()),
    };
    client
        .batch_execute("SELECT pg_advisory_unlock(hashtext('counterfoil gateway migrations'))")
        .await?;
    let gateway = run.context("schema gateway")?.applied_migrations().len();
    installed.context("gateway.commit")?;
    Ok(books + gateway)
}

/// How many of the gateway's migrations that this program knows the database has not seen.
///
/// # Errors
/// When the history of migrations cannot be read.
pub async fn missing_migrations(client: &impl tokio_postgres::GenericClient) -> Result<usize, tokio_postgres::Error> {
    let rows = client.query("SELECT version FROM gateway_schema_history", &[]).await?;
    let applied = rows
        .iter()
        .map(|row| row.try_get::<_, i32>(0))
        .collect::<Result<Vec<_>, _>>()?;
    let known = embedded::migrations::runner();
    let missing = known
        .get_migrations()
        .iter()
        .filter(|known| !applied.contains(&known.version()));
    Ok(missing.count())
}

mod embedded {
    refinery::embed_migrations!("migrations");
}

impl Service {
    /// Builds and starts the service.
    ///
    /// # Errors
    /// When the database cannot be reached, the schema is missing, or a setting is wrong.
    pub async fn start(config: ServiceConfig) -> anyhow::Result<Self> {
        let clock = config.clock;
        let reads = config.database.pool(config.connections)?;
        drop(
            reads
                .get()
                .await
                .context("the database cannot be reached as the gateway's role")?,
        );
        let kms = config
            .transit
            .map(|transit| Transit::new(transit).map(|kms| Arc::new(kms) as Arc<dyn Kms>))
            .transpose()?;
        let vault = Arc::new(vault_with(
            &config.vault_database,
            &config.vault_keys,
            config.development,
            kms,
            &clock,
        )?);
        vault.load().await.context("the vault")?;
        let sealings = [
            seal::Sealing::new(&config.seal)?,
            seal::Sealing::of_audit_log(&config.seal)?,
        ];
        let committer = Committer::start(
            config.database,
            Options {
                writers: config.writers,
                ..Options::default()
            },
        );
        let connectors = connector::registry::build(config.connectors, &reads, &clock)?;
        let lists = risk::built_in_lists(&vault, config.development);
        let policies = risk::Policies::new(lists, config.permissive_scorer);
        let file = config.risk.snapshot.clone().filter(|file| !file.as_os_str().is_empty());
        let (scorer, learner, position) =
            risk::history::restore(&reads, anomaly::Config::default(), file.as_deref(), clock.now())
                .await
                .context("the scorer's state")?;
        let mailer = config.mail.as_ref().map(receipt::mail::Mailer::new).transpose()?;
        let usual = match config.development {
            true => Settings::development(),
            false => Settings::default(),
        };
        let asked = config
            .payments
            .map_or((usual.sweep_after, usual.not_received_after), |set| {
                let ms = |ms: u32| jiff::SignedDuration::from_millis(ms.into());
                (ms(set.ask_after_ms), ms(set.not_received_after_ms))
            });
        let app = App::new(Parts {
            reads,
            committer,
            vault,
            scorer,
            policies,
            connectors,
            clock,
            settings: Settings {
                sweep_after: asked.0,
                not_received_after: asked.1,
                payers_base_url: config.payers_base_url,
                payout_bank: config.payout_bank,
                mails_receipts: mailer.is_some(),
                alarm_quiet: config.alerts.quiet,
                disputes: config.disputes,
                ..usual
            },
            access: config.access,
            risk: config.risk,
        });
        if let Err(error) = app.routing.reload(&app.reads, &app.connectors).await {
            // Payments go by the order of the settings until the rules can be read.
            tracing::error!(%error, "the routing rules cannot be followed");
        }
        let (stop, stopped) = watch::channel(false);
        let rebuilt = Arc::new(AtomicBool::new(false));
        let api = api::router(app.clone());
        let mut service = Self {
            ops: operations(app.clone()).merge(console::router(
                app.clone(),
                api.clone(),
                config.console,
                stopped.clone(),
            )),
            api,
            ready: ready(app.clone(), rebuilt.clone()),
            acquirers: {
                let app = app.clone();
                Arc::new(move || app.routing.health.states(app.connectors.names()))
            },
            metrics: prometheus::Registry::new(),
            app,
            stop,
            work: Vec::new(),
        };
        service
            .metrics
            .register(Box::new(commit::CommitMetrics::new(service.app.clone())))?;
        service.app.figures.register(&service.metrics)?;
        service.app.figures.want_replicas(config.replicas);
        service.metrics.register(Box::new(telemetry::Process::default()))?;
        service
            .metrics
            .register(Box::new(service.app.security.metric.clone()))?;
        for metric in service.app.routing.health.metrics() {
            service.metrics.register(metric)?;
        }
        for sealing in &sealings {
            sealing.register(&service.metrics)?;
        }
        service.app.history.register(&service.metrics)?;
        service.app.models.register(&service.metrics)?;
        let refreshed = service.app.policies.refresh(&service.app).await;
        refreshed
            .map_err(|e| anyhow::anyhow!(e.message))
            .context("rules and lists")?;
        rebuilt.store(true, Ordering::Release);
        let (app, until_stopped) = (service.app.clone(), until(stopped.clone()));
        service.work.push(tokio::spawn(risk::history::run(
            app,
            learner,
            position,
            file,
            until_stopped,
        )));
        service.work.push(tokio::spawn(risk::signals::run(
            service.app.clone(),
            until(stopped.clone()),
        )));
        service.work.push(tokio::spawn(risk::models::Models::run(
            service.app.clone(),
            until(stopped.clone()),
        )));
        service.work.push(tokio::spawn(risk::appeals::run(
            service.app.clone(),
            until(stopped.clone()),
        )));
        service.work.push(tokio::spawn(risk::Policies::run(
            service.app.clone(),
            until(stopped.clone()),
        )));
        service.work.push(tokio::spawn(telemetry::run(
            service.app.clone(),
            until(stopped.clone()),
        )));
        if let Some(exporter) = config.telemetry {
            exporter.register(&service.metrics)?;
            let (metrics, stopped) = (service.metrics.clone(), until(stopped.clone()));
            service.work.push(tokio::spawn(exporter.run(metrics, stopped)));
        }
        service
            .work
            .push(tokio::spawn(sweep(service.app.clone(), stopped.clone())));
        service
            .work
            .push(tokio::spawn(follow_rules(service.app.clone(), stopped.clone())));
        service
            .work
            .push(tokio::spawn(months(service.app.clone(), stopped.clone())));
        service
            .work
            .push(tokio::spawn(accounts(service.app.clone(), stopped.clone())));
        service
            .work
            .push(tokio::spawn(funds(service.app.clone(), stopped.clone())));
        service.work.push(tokio::spawn(crate::deadline::run(
            service.app.clone(),
            until(stopped.clone()),
        )));
        service.work.push(tokio::spawn(crate::case::timers::run(
            service.app.clone(),
            until(stopped.clone()),
        )));
        service
            .work
            .push(tokio::spawn(disputes(service.app.clone(), stopped.clone())));
        service
            .work
            .push(tokio::spawn(refresh_vault(service.app.vault.clone(), stopped.clone())));
        service.work.push(tokio::spawn(auth::upkeep::run(
            service.app.clone(),
            until(stopped.clone()),
        )));
        if let Some(mailer) = mailer {
            let app = service.app.clone();
            service.work.push(tokio::spawn(mailer.run(app, until(stopped.clone()))));
        }
        let policy = Policy {
            allow_private: config.development,
            roots: egress::roots_or_none(config.webhook_authorities.as_deref()).map_err(anyhow::Error::msg)?,
            timeout: WEBHOOK_TIMEOUT,
        };
        let deliverer = Deliverer::new(
            deliver::Config::new(wire::API_VERSION, policy),
            service.app.reads.clone(),
            service.app.vault.clone(),
            service.app.clock.clone(),
            service.app.committer.events.clone(),
        )
        .reporting(service.app.security.clone());
        service.work.push(tokio::spawn(deliverer.run(until(stopped.clone()))));
        service.work.push(tokio::spawn(callback::Processor::run(
            service.app.clone(),
            until(stopped.clone()),
        )));
        for sealing in sealings {
            let app = service.app.clone();
            service
                .work
                .push(tokio::spawn(sealing.run(app, until(stopped.clone()))));
        }
        let alarms = Alarms::new(
            config.alerts,
            service.app.reads.clone(),
            service.app.clock.clone(),
            &service.metrics,
        )?;
        service.work.push(tokio::spawn(alarms.run(until(stopped.clone()))));
        service.work.push(tokio::spawn(audit_log::export::run(
            config.audit,
            service.app.reads.clone(),
            service.app.clock.clone(),
            until(stopped),
        )));
        service.note("service start").await?;
        Ok(service)
    }

    /// The service's own beginning and end are in the audit log: what is not in it while it ran did not happen.
    async fn note(&self, action: &str) -> anyhow::Result<()> {
        let version = Some(env!("CARGO_PKG_VERSION").to_owned());
        let event = AuditEvent::of_system(audit_log::PLATFORM, self.app.clock.now(), action, version);
        let unit = Unit::new(event.book_id).insert(&event);
        self.app.commit(unit).await.context("the audit log")
    }

    /// Stops background work and commits what is queued; called after the API has drained.
    pub async fn shutdown(self) {
        if let Err(error) = self.note("service stop").await {
            tracing::error!(
                error = format!("{error:#}"),
                "the end of the service is not in the audit log"
            );
        }
        self.stop.send_replace(true);
        for work in self.work {
            // a panic was reported where it happened
            let _ = work.await;
        }
        self.app.committer.shutdown().await;
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone: that is the end too.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// What time brings to merchants' money.
async fn funds(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    loop {
        if let Err(error) = crate::funds::round::round(&app).await {
            tracing::warn!(error = error.message, "funds cannot be read; trying again");
        }
        if let Err(error) = crate::funds::file::round(&app).await {
            tracing::warn!(error = error.message, "what banks said cannot be applied; trying again");
        }
        tokio::select! {
            () = tokio::time::sleep(app.settings.sweep_every) => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
    }
}

/// What time brings to disputes.
async fn disputes(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    loop {
        if let Err(error) = crate::dispute::clock::round(&app).await {
            tracing::warn!(error = error.message, "timers of disputes cannot be read; trying again");
        }
        tokio::select! {
            () = tokio::time::sleep(app.settings.sweep_every) => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
    }
}

/// What time brings to accounts.
async fn accounts(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    loop {
        if let Err(error) = account::job::round(&app).await {
            tracing::warn!(error = error.message, "lapsed accounts cannot be read; trying again");
        }
        tokio::select! {
            () = tokio::time::sleep(app.settings.accounts_every) => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
    }
}

async fn sweep(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    loop {
        match payment::sweep::round(&app).await {
            Ok(0) => {}
            Ok(swept) => tracing::info!(swept, "sweep"),
            Err(error) => tracing::warn!(error = error.message, "sweep failed; trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(app.settings.sweep_every) => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
    }
}

/// New routing rules are followed by every process, wherever they were made.
async fn follow_rules(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(routing::RELOAD_EVERY) => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        if let Err(error) = app.routing.reload(&app.reads, &app.connectors).await {
            tracing::error!(%error, "new routing rules cannot be followed; the old ones stay");
        }
    }
}

/// What operators may look at beside health and metrics.
fn operations(app: Arc<App>) -> Router {
    Router::new().route(
        "/connectors",
        axum::routing::get(async move || axum::Json(app.routing.health.states(app.connectors.names()))),
    )
}

/// Keeps the months of the journal made ahead. Once a day is thirty times more often than it is needed.
async fn months(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    loop {
        let made = async {
            let client = app.reads.get().await?;
            anyhow::Ok(ledger::partition::extend(&**client, ledger::partition::MONTHS_AHEAD).await?)
        };
        match made.await {
            Ok(made) if made.is_empty() => {}
            Ok(made) => tracing::info!(?made, "months of the journal"),
            Err(error) => tracing::warn!(%error, "no month of the journal was made; trying again tomorrow"),
        }
        tokio::select! {
            () = tokio::time::sleep(MONTHS_EVERY) => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
    }
}

/// The vault over its own connections, with the key-encryption keys of its key file; with `make_keys` that file is made on
/// the first use.
///
/// # Errors
/// When the key file cannot be read or made.
pub fn vault(database: &Database, keys: &Path, make_keys: bool, clock: &Clock) -> anyhow::Result<Vault> {
    vault_with(database, keys, make_keys, None, clock)
}

fn vault_with(
    database: &Database,
    file: &Path,
    make_keys: bool,
    kms: Option<Arc<dyn Kms>>,
    clock: &Clock,
) -> anyhow::Result<Vault> {
    let keys = if make_keys {
        Keys::from_file_or_create(file)
    } else {
        Keys::from_file(file)
    };
    let keys = keys.context("the vault's keys")?;
    let kms = match kms {
        Some(kms) => kms,
        None => Arc::new(FileKms::open(file).context("the vault's keys")?),
    };
    Ok(Vault::open(database.pool(4)?, keys, kms, clock.clone()))
}

/// Keys for secrets that another process made are known here before they are used.
async fn refresh_vault(vault: Arc<Vault>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SECRETS_REFRESH) => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        if let Err(error) = vault.load().await {
            tracing::warn!(%error, "the keys of the vault's secrets could not be read again; the known ones stay");
        }
    }
}

fn ready(app: Arc<App>, rebuilt: Arc<AtomicBool>) -> Ready {
    Arc::new(move || {
        let (app, rebuilt) = (app.clone(), rebuilt.clone());
        Box::pin(async move {
            if !rebuilt.load(Ordering::Acquire) {
                return false;
            }
            let asked = async { app.reads.get().await.ok()?.batch_execute("SELECT 1").await.ok() };
            tokio::time::timeout(Duration::from_secs(2), asked)
                .await
                .is_ok_and(|answer| answer.is_some())
        })
    })
}
