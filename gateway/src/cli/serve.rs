//! `counterfoil serve`: production. Starts with right settings or not at all.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::serving::{self, Bound};
use super::shutdown::Shutdown;
use super::{log, print};
use crate::clock::Clock;
use crate::config::{self, DEFAULTS, Listener, Secret, Settings};
use crate::database::Database;
use crate::edge::{self, Reloadable};
use crate::seal;
use crate::service::{Service, ServiceConfig};
use crate::telemetry::{self, Tracing};

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil serve --defaults > counterfoil.toml
  counterfoil serve --config counterfoil.toml --check
  COUNTERFOIL__DATABASE__URL=postgresql://.. counterfoil serve --config counterfoil.toml")]
pub(super) struct Args {
    /// Settings on top of the documented defaults; the environment (COUNTERFOIL__SECTION__KEY) wins over both
    #[arg(long, value_name = "FILE", required_unless_present = "defaults")]
    config: Option<PathBuf>,

    /// Check the settings and the certificates, and exit
    #[arg(long)]
    check: bool,

    /// Print the documented defaults, and exit
    #[arg(long, conflicts_with_all = ["config", "check"])]
    defaults: bool,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let Some(file) = args.config else {
        print::text(DEFAULTS);
        return Ok(());
    };
    let settings = Settings::load(&file).with_context(|| format!("settings of {}", file.display()))?;
    let api_tls = Reloadable::load(settings.api.files()).context("certificate of the API listener")?;
    let ops_tls = Reloadable::load(settings.ops.files()).context("certificate of the operations listener")?;
    if args.check {
        print::line("The settings are good.");
        return Ok(());
    }
    let tracing = settings
        .telemetry
        .config()?
        .map(Tracing::new)
        .transpose()
        .context("setting telemetry")?;
    log::to_stderr(&settings.log.filter, tracing.as_ref())?;
    let shutdown = Shutdown::listen()?;
    let api = Bound {
        listener: bind(&settings.api)?,
        tls: api_tls,
    };
    let ops = Bound {
        listener: bind(&settings.ops)?,
        tls: ops_tls,
    };
    let exporter = tracing.map(|tracing| tracing.exporter);
    let service = Service::start(service_config(&settings, exporter)?)
        .await
        .context("starting the application")?;
    serving::run(service, api, ops, &settings.limits, shutdown, async || Ok(())).await
}

fn bind(listener: &Listener) -> Result<std::net::TcpListener> {
    edge::bind(listener.address).with_context(|| format!("listening on {}", listener.address))
}

fn seal_config(settings: &config::Seal) -> seal::Config {
    let mut heads = vec![settings.heads.clone()];
    if !settings.heads_copy.as_os_str().is_empty() {
        heads.push(settings.heads_copy.clone());
    }
    seal::Config {
        keys: settings.keys.clone(),
        make_keys: false,
        heads,
        push: settings.push(),
        every: Duration::from_millis(settings.every_ms),
        page_journals: settings.page_journals,
        verify_every: Duration::from_millis(settings.verify_every_ms),
    }
}

fn service_config(settings: &Settings, telemetry: Option<telemetry::Exporter>) -> Result<ServiceConfig> {
    let read = |name: &str, secret: &Secret| {
        let database = Database::parse(secret.expose()).with_context(|| format!("setting {name}"))?;
        if database.is_exposed() {
            tracing::warn!(
                setting = name,
                "the server is not verified: add sslmode=verify-full and sslrootcert"
            );
        }
        anyhow::Ok(database)
    };
    Ok(ServiceConfig {
        database: read("database.url", &settings.database.url)?,
        vault_database: read("database.vault_url", &settings.database.vault_url)?,
        connections: settings.database.connections,
        writers: settings.database.writers,
        replicas: settings.database.replicas,
        telemetry,
        vault_keys: settings.vault.keys.clone(),
        transit: settings.vault.transit()?,
        seal: seal_config(&settings.seal),
        audit: settings.audit.export()?,
        alerts: settings.alerts.config()?,
        connectors: settings.connectors(),
        payments: Some(settings.payments.clone()),
        payers_base_url: settings.payers.base_url(),
        payout_bank: settings.payouts.debtor(),
        mail: settings.mail.config(),
        development: false,
        webhook_authorities: (!settings.webhooks.authorities.as_os_str().is_empty())
            .then(|| settings.webhooks.authorities.clone()),
        permissive_scorer: false,
        risk: settings.risk.clone(),
        access: settings.access.clone(),
        console: settings.console.clone(),
        clock: Clock::default(),
        disputes: settings.disputes,
    })
}
