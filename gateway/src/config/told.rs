//! Settings of what is told to receivers that the operator names: alarms, the audit log, metrics and traces.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::{Secret, SettingsError, wrong};
use crate::audit_log::export;
use crate::webhook::receiver::Receiver;
use crate::{alert, egress, telemetry};
use anyhow::Context;

/// Who is told of security events.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// Receivers, separated by commas; empty for none.
    pub urls: String,
    /// What signs alarms.
    pub secret: Secret,
    /// Authorities whose certificates receivers may have.
    pub authorities: PathBuf,
    /// Milliseconds from one alarm of a kind and key to the next.
    pub quiet_ms: u64,
}

/// Where the audit log is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// A directory for its lines; empty for none.
    pub directory: PathBuf,
    /// A receiver of its lines; empty for none.
    pub url: String,
    /// What signs them.
    pub secret: Secret,
    /// Authorities whose certificates the receiver may have.
    pub authorities: PathBuf,
    /// Milliseconds between looks.
    pub every_ms: u64,
}

/// A collector of metrics and traces.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Where it is; empty for nowhere.
    pub endpoint: String,
    /// File with headers for it; empty for none.
    pub headers_file: PathBuf,
    /// Authorities whose certificates it may have.
    pub authorities: PathBuf,
    /// Milliseconds between two sendings of metrics.
    pub metrics_every_ms: u64,
    /// Of a million requests, so many are traced.
    pub traces_per_million: u32,
}

impl Telemetry {
    /// Where to, if anywhere, and how much.
    ///
    /// # Errors
    /// When the file with headers cannot be read.
    pub fn config(&self) -> anyhow::Result<Option<telemetry::Config>> {
        if self.endpoint.is_empty() {
            return Ok(None);
        }
        let headers = match self.headers_file.as_os_str().is_empty() {
            true => Vec::new(),
            false => std::fs::read_to_string(&self.headers_file)
                .map_err(anyhow::Error::from)
                .and_then(|text| telemetry::headers(&text))
                .with_context(|| format!("telemetry.headers_file {}", self.headers_file.display()))?,
        };
        Ok(Some(telemetry::Config {
            endpoint: self.endpoint.clone(),
            headers,
            authorities: (!self.authorities.as_os_str().is_empty()).then(|| self.authorities.clone()),
            every: Duration::from_millis(self.metrics_every_ms),
            traces_per_million: self.traces_per_million,
        }))
    }

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        if !(100..=3_600_000).contains(&self.metrics_every_ms) {
            return Err(wrong(
                "telemetry.metrics_every_ms",
                "must be from 100 to 3600000 (an hour)",
            ));
        }
        if self.traces_per_million > 1_000_000 {
            return Err(wrong("telemetry.traces_per_million", "must be at most 1000000"));
        }
        if self.endpoint.is_empty() {
            return Ok(());
        }
        let Ok(url) = url::Url::parse(&self.endpoint) else {
            return Err(wrong("telemetry.endpoint", "must be a URL like http://127.0.0.1:4318"));
        };
        let here = match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            _ => false,
        };
        match url.scheme() {
            "https" => Ok(()),
            "http" if here => Ok(()),
            _ => Err(wrong(
                "telemetry.endpoint",
                "must be https, or http to a loopback address",
            )),
        }
    }
}

impl Alerts {
    /// Who is told, with what it needs.
    ///
    /// # Errors
    /// When the authorities cannot be read.
    pub fn config(&self) -> anyhow::Result<alert::Config> {
        let receivers = self
            .each()
            .map(|url| receiver(url, &self.secret, &self.authorities))
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(alert::Config {
            receivers: receivers.into_iter().flatten().collect(),
            quiet: Duration::from_millis(self.quiet_ms),
        })
    }

    fn each(&self) -> impl Iterator<Item = &str> {
        self.urls.split(',').map(str::trim).filter(|url| !url.is_empty())
    }

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        if self.quiet_ms == 0 || self.quiet_ms > 3_600_000 {
            return Err(wrong("alerts.quiet_ms", "must be from 1 to 3600000 (an hour)"));
        }
        for url in self.each() {
            if self.secret.0.is_empty() {
                return Err(wrong("alerts.secret", "must be set: receivers know us by it"));
            }
            check_receiver("alerts.urls", url)?;
        }
        Ok(())
    }
}

impl Audit {
    /// Where to, with what it needs.
    ///
    /// # Errors
    /// When the authorities cannot be read.
    pub fn export(&self) -> anyhow::Result<export::Config> {
        Ok(export::Config {
            directory: (!self.directory.as_os_str().is_empty()).then(|| self.directory.clone()),
            receiver: receiver(&self.url, &self.secret, &self.authorities)?,
            every: Duration::from_millis(self.every_ms),
        })
    }

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        if self.every_ms == 0 || self.every_ms > 60_000 {
            return Err(wrong("audit.every_ms", "must be from 1 to 60000 (a minute)"));
        }
        if !self.directory.as_os_str().is_empty() && !self.directory.is_dir() {
            return Err(wrong("audit.directory", "must be a directory that exists"));
        }
        if !self.url.is_empty() {
            if self.secret.0.is_empty() {
                return Err(wrong("audit.secret", "must be set: the receiver knows us by it"));
            }
            check_receiver("audit.url", &self.url)?;
        }
        Ok(())
    }
}

fn check_receiver(name: &'static str, url: &str) -> Result<(), SettingsError> {
    let none = std::sync::Arc::new(rustls::RootCertStore::empty());
    Receiver::new(url, "", &none)
        .map(drop)
        .map_err(|problem| wrong(name, &problem))
}

fn receiver(url: &str, secret: &Secret, authorities: &Path) -> anyhow::Result<Option<Receiver>> {
    if url.is_empty() {
        return Ok(None);
    }
    let file = (!authorities.as_os_str().is_empty()).then_some(authorities);
    let roots = egress::roots_or_none(file).map_err(anyhow::Error::msg)?;
    Receiver::new(url, secret.expose(), &roots)
        .map(Some)
        .map_err(anyhow::Error::msg)
}
