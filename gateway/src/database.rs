//! The way to PostgreSQL: a connection string as libpq reads it, with its TLS.
//!
//! `sslmode` is `disable`, `prefer` (the default: TLS when the server offers it), `require`, `verify-ca` or `verify-full`;
//! `sslrootcert` names the authorities, `sslcert` and `sslkey` a client certificate. As with libpq, only the two `verify`
//! modes prove who the server is, and `require` with an authority verifies as `verify-ca` does. Several hosts with
//! `target_session_attrs=read-write` follow a failover. It must never fall back to a weaker way than the string says, and
//! never show the string: there is a password in it.

mod string;
mod verifier;

use crate::egress;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use string::Parts;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use verifier::Server;

/// Where a database is, as whom to go there, and how the way is protected.
#[derive(Clone)]
pub struct Database {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
    verified: bool,
}

/// Why a connection string is not usable. Never quotes it.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// not a connection string
    #[error("is not a PostgreSQL URL (postgresql://role:password@host:port/database)")]
    Malformed,
    /// a parameter of TLS
    #[error("{0}")]
    Tls(String),
}

/// How sure one can be of the server, in libpq's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Database {
    /// Reads a connection string; the files that it names are read now.
    ///
    /// # Errors
    /// [`DatabaseError`], which names the parameter.
    pub fn parse(text: &str) -> Result<Self, DatabaseError> {
        let parts = Parts::split(text);
        let mut config: tokio_postgres::Config = parts.rest.parse().map_err(|_| DatabaseError::Malformed)?;
        let mode = match parts.sslmode.as_deref() {
            None | Some("prefer") => Mode::Prefer,
            Some("disable") => Mode::Disable,
            Some("require") if parts.sslrootcert.is_some() => Mode::VerifyCa,
            Some("require") => Mode::Require,
            Some("verify-ca") => Mode::VerifyCa,
            Some("verify-full") => Mode::VerifyFull,
            Some(_) => return Err(tls("sslmode is disable, prefer, require, verify-ca or verify-full")),
        };
        config.ssl_mode(match mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            _ => SslMode::Require,
        });
        let tls = match mode {
            Mode::Disable => None,
            _ => Some(MakeRustlsConnect::new(client_config(mode, &parts)?)),
        };
        Ok(Self {
            config,
            tls,
            verified: matches!(mode, Mode::VerifyCa | Mode::VerifyFull),
        })
    }

    /// The same as this role: who connects must be a member of it.
    #[must_use]
    pub fn acting_as(&self, role: &str) -> Self {
        let mut other = self.clone();
        let options = self.config.get_options().map(|options| format!("{options} "));
        other
            .config
            .options(format!("{}-c role={role}", options.unwrap_or_default()));
        other
    }

    /// Connects; the connection ends with the client.
    ///
    /// # Errors
    /// The driver's.
    pub async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                tokio::spawn(run(connection));
                Ok(client)
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                tokio::spawn(run(connection));
                Ok(client)
            }
        }
    }

    /// A pool of connections.
    ///
    /// # Errors
    /// Only when there is no runtime.
    pub fn pool(&self, size: usize) -> anyhow::Result<Pool> {
        let recycling = || ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = match &self.tls {
            Some(tls) => Manager::from_config(self.config.clone(), tls.clone(), recycling()),
            None => Manager::from_config(self.config.clone(), NoTls, recycling()),
        };
        Ok(Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(PATIENCE))
            .build()?)
    }

    /// The settings of the driver without TLS, and TLS where there is any: for whoever makes its own connections.
    pub(crate) fn parts(self) -> (tokio_postgres::Config, Option<MakeRustlsConnect>) {
        (self.config, self.tls)
    }

    /// Whether someone between us and the server could read along or answer in its place.
    pub fn is_exposed(&self) -> bool {
        let here = |host: &Host| match host {
            Host::Tcp(name) => {
                name == "localhost"
                    || name
                        .parse()
                        .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
            }
            #[allow(unreachable_patterns)]
            _ => true,
        };
        !self.verified && !self.config.get_hosts().iter().all(here)
    }
}

/// A server of our own on this machine.
impl From<tokio_postgres::Config> for Database {
    fn from(config: tokio_postgres::Config) -> Self {
        Self {
            config,
            tls: None,
            verified: false,
        }
    }
}

async fn run(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    if let Err(error) = connection.await {
        tracing::warn!(%error, "a database connection ended");
    }
}

fn client_config(mode: Mode, parts: &Parts) -> Result<ClientConfig, DatabaseError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions");
    let builder = match mode {
        Mode::VerifyFull => builder.with_root_certificates(roots(parts)?),
        Mode::VerifyCa => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Server::of_authority(roots(parts)?, &provider)?)),
        _ => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Server::anyone(&provider))),
    };
    let (Some(certificate), key) = (&parts.sslcert, &parts.sslkey) else {
        return Ok(builder.with_no_client_auth());
    };
    let key = key
        .as_deref()
        .ok_or_else(|| tls("sslcert needs sslkey, the key of that certificate"))?;
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| tls(format!("sslcert {certificate}: {error}")))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| tls(format!("sslkey {key}: {error}")))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| tls(format!("sslcert and sslkey: {error}")))
}

fn roots(parts: &Parts) -> Result<Arc<RootCertStore>, DatabaseError> {
    let file = match parts.sslrootcert.as_deref() {
        Some("system") => PathBuf::from(SYSTEM_AUTHORITIES),
        Some(file) => PathBuf::from(file),
        None => {
            return Err(tls(
                "sslmode verify-ca and verify-full need sslrootcert: a PEM file, or system",
            ));
        }
    };
    egress::roots::<&Path>(&[&file]).map_err(|error| tls(format!("sslrootcert {error}")))
}

fn tls(problem: impl Into<String>) -> DatabaseError {
    DatabaseError::Tls(problem.into())
}

const PATIENCE: Duration = Duration::from_secs(5);
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        Database::parse(text).err().expect(text).to_string()
    }

    #[test]
    fn a_wrong_string_is_refused_by_its_parameter_and_never_shown() {
        for (text, says) in [
            ("postgresql://u:hunter2@h/d?sslmode=verify-full", "need sslrootcert"),
            ("postgresql://u:hunter2@h/d?sslmode=allow", "sslmode is"),
            (
                "postgresql://u:hunter2@h/d?sslmode=verify-full&sslrootcert=/no/file",
                "sslrootcert /no/file",
            ),
            ("host=h password=hunter2 sslcert=/no/file", "sslcert needs sslkey"),
            (
                "host=h password=hunter2 sslcert=/no/file sslkey='/no/key'",
                "sslcert /no/file",
            ),
            ("mysql://u:hunter2@h/d", "not a PostgreSQL URL"),
        ] {
            let problem = problem(text);
            assert!(
                problem.contains(says) && !problem.contains("hunter2"),
                "{text}: {problem}"
            );
        }
    }

    #[test]
    fn an_unverified_way_off_this_machine_is_exposed() {
        let exposed = |text: &str| Database::parse(text).expect(text).is_exposed();
        assert!(exposed("postgresql://db1,db2/d?target_session_attrs=read-write"));
        assert!(exposed("postgresql://db1/d?sslmode=require"));
        assert!(exposed("host=db1 sslmode=disable"));
        assert!(!exposed("postgresql://127.0.0.1/d"));
        assert!(!exposed("host=/run/postgresql dbname=d"));
    }
}
