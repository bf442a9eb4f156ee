//! Settings of `counterfoil serve`: one documented default file, compiled in, then the operator's file, then the environment.
//!
//! A setting that is unknown, missing, of the wrong kind or out of range stops the start and is named; nothing is guessed and
//! nothing falls back in silence. Secrets show neither in `Debug` nor in errors.

mod told;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Config, ConfigError, Environment, File, FileFormat};
use serde::Deserialize;

use crate::connector;
use crate::edge::{ClientAuth, Files, Limits};
use crate::egress;
use crate::vault::TransitConfig;

pub use told::{Alerts, Audit, Telemetry};

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The listener of the public API.
    pub api: Listener,
    /// The listener of console, health and metrics.
    pub ops: Listener,
    /// Bounds of each listener.
    pub limits: Limits,
    /// What API keys and their callers may ask for.
    pub access: crate::limit::Settings,
    /// What people of the console may do, and prove.
    pub console: crate::console::Settings,
    /// PostgreSQL.
    pub database: Database,
    /// Card data.
    pub vault: Vault,
    /// The seal of the books.
    pub seal: Seal,
    /// Where the audit log is told.
    pub audit: Audit,
    /// Who is told of security events.
    pub alerts: Alerts,
    /// An acquirer on Stripe's wire.
    pub stripe: Stripe,
    /// Outcomes that are not known.
    pub payments: Payments,
    /// Payers' browsers.
    pub payers: Payers,
    /// Where payouts are paid from.
    pub payouts: Payouts,
    /// The mail server that takes receipts.
    pub mail: Mail,
    /// A bank's host.
    pub iso8583: Iso8583,
    /// The scorer.
    pub risk: crate::risk::Settings,
    /// Chargebacks.
    pub disputes: crate::dispute::Settings,
    /// Events to merchants.
    pub webhooks: Webhooks,
    /// Metrics and traces for a collector.
    pub telemetry: Telemetry,
    /// Logs.
    pub log: Log,
}

/// One socket and its certificate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// IP address and port.
    pub address: SocketAddr,
    /// PEM chain, leaf first.
    pub certificate: PathBuf,
    /// PEM key.
    pub key: PathBuf,
    /// PEM authorities of required client certificates; empty for none.
    pub client_authorities: PathBuf,
}

/// PostgreSQL connections.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// URL of the role that serves.
    pub url: Secret,
    /// URL of the role that reads card data.
    pub vault_url: Secret,
    /// Reading connections.
    pub connections: usize,
    /// Committing connections.
    pub writers: usize,
    /// Replicas that are to follow the primary.
    pub replicas: u32,
}

/// Card data.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vault {
    /// File with the keys.
    pub keys: PathBuf,
    /// Address of a HashiCorp Vault whose transit engine keeps the key-encryption keys; empty: they are in the file.
    pub transit_address: String,
    /// Where the engine is mounted.
    pub transit_mount: String,
    /// Name of the key there.
    pub transit_key: String,
    /// File with the token.
    pub transit_token_file: PathBuf,
    /// PEM file of the authorities of its certificate.
    pub transit_authorities: PathBuf,
}

/// The seal of the books.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// File with the keys that sign.
    pub keys: PathBuf,
    /// Directory of the signed heads.
    pub heads: PathBuf,
    /// A second one; empty for none.
    pub heads_copy: PathBuf,
    /// URLs that get every head, divided by blanks.
    pub push_urls: String,
    /// PUT or POST.
    pub push_method: String,
    /// File with a bearer token for them; empty for none.
    pub push_token_file: PathBuf,
    /// PEM file of the authorities of their certificates.
    pub push_authorities: PathBuf,
    /// Milliseconds between rounds.
    pub every_ms: u64,
    /// Journals in a page at most.
    pub page_journals: u32,
    /// Milliseconds between looks at what was sealed lately.
    pub verify_every_ms: u64,
}

impl Seal {
    /// Who gets the heads besides the directories. The settings have been checked.
    pub fn push(&self) -> crate::seal::push::Config {
        let file = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
        crate::seal::push::Config {
            urls: self.push_urls.split_whitespace().map(str::to_owned).collect(),
            method: match self.push_method.as_str() {
                "POST" => hyper::Method::POST,
                _ => hyper::Method::PUT,
            },
            token_file: file(&self.push_token_file),
            authorities: file(&self.push_authorities),
        }
    }
}

/// Outcomes that are not known.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payments {
    /// Milliseconds until an attempt whose request has not ended is asked about.
    pub ask_after_ms: u32,
    /// Milliseconds until one that the acquirer has never seen is believed lost.
    pub not_received_after_ms: u32,
}

/// The account that payouts are paid from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payouts {
    /// Its holder.
    pub name: String,
    /// Its IBAN; empty for none.
    pub iban: String,
    /// Its bank.
    pub bic: String,
}

impl Payouts {
    /// The debtor of payout files; none when no account is set. The settings have been checked.
    pub fn debtor(&self) -> Option<crate::funds::file::pain001::Debtor> {
        let compact = |text: &str| text.replace(' ', "").to_ascii_uppercase();
        (!self.iban.is_empty()).then(|| crate::funds::file::pain001::Debtor {
            name: self.name.clone(),
            iban: compact(&self.iban),
            bic: compact(&self.bic),
        })
    }
}

/// Payers' browsers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payers {
    /// Scheme and host where they reach the API listener; empty for nowhere.
    pub base_url: String,
}

/// The mail server that takes receipts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// Its name; empty: receipts are kept and not sent.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: crate::receipt::mail::Security,
    /// Empty: no authentication.
    pub username: String,
    /// Of that user.
    pub password: Secret,
    /// The sender.
    pub from: String,
    /// PEM file of the authorities of its certificate.
    pub authorities: PathBuf,
}

impl Mail {
    /// The way to it, when there is one.
    #[must_use]
    pub fn config(&self) -> Option<crate::receipt::mail::Config> {
        (!self.host.is_empty()).then(|| crate::receipt::mail::Config {
            host: self.host.clone(),
            port: self.port,
            security: self.security,
            username: self.username.clone(),
            password: self.password.0.clone().into(),
            from: self.from.clone(),
            authorities: (!self.authorities.as_os_str().is_empty()).then(|| self.authorities.clone()),
        })
    }
}

/// Events told to merchants.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// Authorities whose certificates merchants' endpoints may have.
    pub authorities: PathBuf,
}

/// An acquirer that speaks Stripe's wire.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stripe {
    /// Whether payments may go there.
    pub enabled: bool,
    /// Scheme, host and port.
    pub base_url: String,
    /// Our key there.
    pub secret_key: Secret,
    /// Secret of its webhooks to us.
    pub webhook_secret: Secret,
    /// Further authorities to trust; empty for none.
    pub authorities: PathBuf,
}

/// A bank's host over ISO 8583.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Iso8583 {
    /// Whether payments may go there.
    pub enabled: bool,
    /// Host and port.
    pub address: String,
    /// Authorities of its certificate; empty for plain TCP on a private line.
    pub authorities: PathBuf,
    /// DE 41.
    pub terminal_id: String,
    /// DE 42.
    pub merchant_id: String,
    /// DE 18.
    pub merchant_category: String,
    /// DE 32.
    pub institution_id: String,
    /// Milliseconds for TCP, TLS and sign-on.
    pub connect_ms: u64,
    /// Milliseconds until a missing answer means that the outcome is not known.
    pub answer_ms: u64,
    /// Milliseconds of silence until the line is tested.
    pub echo_ms: u64,
}

/// Logs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A tracing filter.
    pub filter: String,
}

/// A text that must not be printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

/// Why the program does not start. Names the setting; never shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Unknown, missing, or of the wrong kind.
    #[error("{0}")]
    Shape(#[from] ConfigError),
    /// Present, but not usable.
    #[error("setting {name}: {problem}")]
    Value {
        /// As in the file: `section.key`.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

impl Settings {
    /// The defaults, under `file`, under the environment of this process.
    ///
    /// # Errors
    /// [`SettingsError`], naming the first wrong setting.
    pub fn load(file: &Path) -> Result<Self, SettingsError> {
        Self::from_sources(File::from(file).format(FileFormat::Toml), environment())
    }

    fn from_sources(
        file: impl config::Source + Send + Sync + 'static,
        environment: Environment,
    ) -> Result<Self, SettingsError> {
        let settings: Self = Config::builder()
            .add_source(File::from_str(DEFAULTS, FileFormat::Toml))
            .add_source(file)
            .add_source(environment)
            .build()?
            .try_deserialize()?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), SettingsError> {
        if self.api.address == self.ops.address {
            return Err(wrong(
                "ops.address",
                "must differ from api.address: the console is not for checkout services",
            ));
        }
        for (name, value) in self.limits.each() {
            if value == 0 {
                return Err(wrong(name, "must be above 0: no limit can be switched off"));
            }
        }
        if self.console.refund_limit < 0 {
            return Err(wrong("console.refund_limit", "is minor units, 0 or more"));
        }
        for (name, value) in self.access.each() {
            if value == 0 {
                return Err(wrong(name, "must be above 0: nobody could be served"));
            }
        }
        if self.limits.header_count > 100 {
            return Err(wrong("limits.header_count", "must be at most 100"));
        }
        if self.limits.body_memory_bytes < self.limits.body_bytes {
            return Err(wrong("limits.body_memory_bytes", "must be at least limits.body_bytes"));
        }
        for (name, url) in [
            ("database.url", &self.database.url),
            ("database.vault_url", &self.database.vault_url),
        ] {
            if url.0.is_empty() {
                return Err(wrong(name, "must be set"));
            }
            if let Err(error) = crate::database::Database::parse(&url.0) {
                return Err(wrong(name, &error.to_string()));
            }
        }
        for (name, count) in [
            ("database.connections", self.database.connections),
            ("database.writers", self.database.writers),
        ] {
            if count == 0 || count > 1000 {
                return Err(wrong(name, "must be from 1 to 1000"));
            }
        }
        if self.seal.every_ms == 0 || self.seal.every_ms > 3_600_000 {
            return Err(wrong("seal.every_ms", "must be from 1 to 3600000 (an hour)"));
        }
        if self.seal.page_journals == 0 || self.seal.page_journals > 65_536 {
            return Err(wrong("seal.page_journals", "must be from 1 to 65536"));
        }
        if self.seal.heads == self.seal.heads_copy {
            return Err(wrong("seal.heads_copy", "must be another directory than seal.heads"));
        }
        if let Err(error) = crate::seal::push::parse_urls(&self.seal.push_urls) {
            return Err(wrong("seal.push_urls", &error));
        }
        if !["PUT", "POST"].contains(&self.seal.push_method.as_str()) {
            return Err(wrong("seal.push_method", "must be PUT or POST"));
        }
        for (name, value) in [
            ("payments.ask_after_ms", self.payments.ask_after_ms),
            ("payments.not_received_after_ms", self.payments.not_received_after_ms),
        ] {
            if !(1000..=3_600_000).contains(&value) {
                return Err(wrong(name, "must be from 1000 to 3600000 (an hour)"));
            }
        }
        self.check_acquirers()?;
        if let Some(base) = self.payers.base_url()
            && !url::Url::parse(&base)
                .is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.path() == "/" && url.query().is_none())
        {
            return Err(wrong(
                "payers.base_url",
                "must be scheme and host, like https://pay.example",
            ));
        }
        if let Some(debtor) = self.payouts.debtor() {
            if !crate::funds::bank::iban(&debtor.iban) {
                return Err(wrong("payouts.iban", "is not an IBAN: its check digits are wrong"));
            }
            if debtor.name.trim().is_empty() {
                return Err(wrong("payouts.name", "must be the holder of the account"));
            }
            if ![8, 11].contains(&debtor.bic.len()) || !debtor.bic.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return Err(wrong("payouts.bic", "must be a BIC of 8 or 11 letters and digits"));
            }
        }
        if let Some(mail) = self.mail.config()
            && let Err(error) = crate::receipt::mail::Mailer::new(&mail)
        {
            return Err(wrong("mail", &format!("{error:#}")));
        }
        if self.seal.verify_every_ms == 0 {
            return Err(wrong("seal.verify_every_ms", "must be above 0"));
        }
        self.alerts.check()?;
        self.audit.check()?;
        self.telemetry.check()?;
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log.filter) {
            return Err(wrong("log.filter", &error.to_string()));
        }
        Ok(())
    }

    fn check_acquirers(&self) -> Result<(), SettingsError> {
        if !self.stripe.enabled && !self.iso8583.enabled {
            return Err(wrong("stripe.enabled", "no acquirer is enabled: nothing could be paid"));
        }
        if self.iso8583.enabled {
            self.check_bank()?;
        }
        if !self.stripe.enabled {
            return Ok(());
        }
        if !matches!(
            url::Url::parse(&self.stripe.base_url).as_ref().map(url::Url::scheme),
            Ok("https" | "http")
        ) {
            return Err(wrong("stripe.base_url", "must be an http or https URL"));
        }
        for (name, secret) in [
            ("stripe.secret_key", &self.stripe.secret_key),
            ("stripe.webhook_secret", &self.stripe.webhook_secret),
        ] {
            if secret.0.is_empty() {
                return Err(wrong(name, "must be set"));
            }
        }
        Ok(())
    }

    fn check_bank(&self) -> Result<(), SettingsError> {
        let bank = &self.iso8583;
        let port = bank.address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(1..))) {
            return Err(wrong("iso8583.address", "must be host:port"));
        }
        for (name, value) in [
            ("iso8583.terminal_id", &bank.terminal_id),
            ("iso8583.merchant_id", &bank.merchant_id),
            ("iso8583.institution_id", &bank.institution_id),
        ] {
            if value.is_empty() {
                return Err(wrong(name, "must be set: the bank assigns it"));
            }
        }
        for (name, value) in [
            ("iso8583.connect_ms", bank.connect_ms),
            ("iso8583.answer_ms", bank.answer_ms),
            ("iso8583.echo_ms", bank.echo_ms),
        ] {
            if value == 0 || value > 600_000 {
                return Err(wrong(name, "must be from 1 to 600000 (ten minutes)"));
            }
        }
        Ok(())
    }

    /// The acquirers that are enabled.
    #[must_use]
    pub fn connectors(&self) -> connector::Settings {
        let stripe = &self.stripe;
        connector::Settings {
            stripe: stripe.enabled.then(|| connector::stripe::Settings {
                base_url: stripe.base_url.clone(),
                secret_key: stripe.secret_key.expose().to_owned(),
                webhook_secret: stripe.webhook_secret.expose().to_owned(),
                authorities: file(&stripe.authorities),
            }),
            iso8583: self.iso8583.enabled.then(|| connector::iso8583::Settings {
                address: self.iso8583.address.clone(),
                authorities: file(&self.iso8583.authorities),
                terminal_id: self.iso8583.terminal_id.clone(),
                merchant_id: self.iso8583.merchant_id.clone(),
                merchant_category: self.iso8583.merchant_category.clone(),
                institution_id: self.iso8583.institution_id.clone(),
                connect: Duration::from_millis(self.iso8583.connect_ms),
                answer: Duration::from_millis(self.iso8583.answer_ms),
                echo: Duration::from_millis(self.iso8583.echo_ms),
            }),
        }
    }
}

/// A path, unless it is empty.
fn file(path: &Path) -> Option<PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

impl Payers {
    /// Where, if anywhere.
    #[must_use]
    pub fn base_url(&self) -> Option<String> {
        let base = self.base_url.trim_end_matches('/');
        (!base.is_empty()).then(|| base.to_owned())
    }
}

impl Listener {
    /// The files of its certificate.
    #[must_use]
    pub fn files(&self) -> Files {
        let client = match self.client_authorities.as_os_str().is_empty() {
            true => ClientAuth::None,
            false => ClientAuth::Required(self.client_authorities.clone()),
        };
        Files {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            client,
        }
    }
}

impl Vault {
    /// Where the key-encryption keys are, when they are not in the file.
    ///
    /// # Errors
    /// When the authorities cannot be read.
    pub fn transit(&self) -> anyhow::Result<Option<TransitConfig>> {
        if self.transit_address.is_empty() {
            return Ok(None);
        }
        Ok(Some(TransitConfig {
            address: self.transit_address.clone(),
            mount: self.transit_mount.clone(),
            key: self.transit_key.clone(),
            token_file: self.transit_token_file.clone(),
            roots: egress::roots(&[&self.transit_authorities]).map_err(anyhow::Error::msg)?,
        }))
    }
}

impl Secret {
    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

fn environment() -> Environment {
    Environment::with_prefix("COUNTERFOIL")
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true)
}

fn wrong(name: &'static str, problem: &str) -> SettingsError {
    SettingsError::Value {
        name,
        problem: problem.to_string(),
    }
}

/// The documented defaults; also printed by `counterfoil serve --defaults`.
pub const DEFAULTS: &str = include_str!("../../deploy/config.default.toml");

#[cfg(test)]
mod tests;
