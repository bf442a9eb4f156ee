//! TLS 1.3 and nothing older, X25519MLKEM768 first; certificates that change under a running listener.
//!
//! A reload swaps the whole configuration for handshakes to come; connections that are open keep theirs. A reload that fails
//! changes nothing. Early data (0-RTT) stays off: it can be replayed, and a payment must not be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Where a listener's certificate lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// PEM chain, leaf first.
    pub certificate: PathBuf,
    /// PEM private key of the leaf.
    pub key: PathBuf,
    /// Whether clients must show a certificate.
    pub client: ClientAuth,
}

/// Whether clients must show a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate is asked for.
    #[default]
    None,
    /// A certificate by one of the authorities in this PEM file is required.
    Required(PathBuf),
}

/// Why certificate files are not usable. Names the file, never its content.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read or is not PEM of the expected kind.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The leaf certificate is outside of its validity.
    #[error("{path}: the certificate is not valid now (from {from} until {until}, Unix seconds)")]
    OutOfDate {
        /// The file.
        path: PathBuf,
        /// `notBefore`.
        from: i64,
        /// `notAfter`.
        until: i64,
    },
    /// Key and certificate do not belong together, or rustls refuses them.
    #[error("certificate and key do not make a TLS server: {0}")]
    Rustls(#[from] rustls::Error),
    /// The client authorities cannot verify anyone.
    #[error("client authorities: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// A TLS configuration that can be replaced while it serves.
pub struct Reloadable {
    files: Files,
    current: ArcSwap<Loaded>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    expires: i64,
}

impl Reloadable {
    /// Reads the files and checks that they make a server.
    ///
    /// # Errors
    /// [`TlsError`], naming the file.
    pub fn load(files: Files) -> Result<Arc<Self>, TlsError> {
        let current = ArcSwap::from_pointee(load(&files)?);
        Ok(Arc::new(Self { files, current }))
    }

    /// Reads the files again. New handshakes use what was read; on an error they keep using what there was.
    ///
    /// # Errors
    /// [`TlsError`], naming the file.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(load(&self.files)?));
        Ok(())
    }

    /// Reloads on each SIGHUP for as long as the task runs.
    ///
    /// # Errors
    /// When the signal cannot be listened to.
    pub fn reload_on_hangup(self: &Arc<Self>) -> std::io::Result<tokio::task::JoinHandle<()>> {
        let mut hangups = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
        let this = self.clone();
        Ok(tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                match this.reload() {
                    Ok(()) => tracing::info!(certificate = %this.files.certificate.display(), "certificate reloaded"),
                    Err(error) => tracing::error!(%error, "certificate not reloaded; the old one stays"),
                }
            }
        }))
    }

    /// When the certificate in use expires, in Unix seconds: the metric behind the 30, 14, 7 and 1 day alarms.
    #[must_use]
    pub fn expires(&self) -> i64 {
        self.current.load().expires
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.load().config.clone()
    }
}

/// Common name of a verified peer's leaf certificate.
pub(super) fn common_name(chain: Option<&[CertificateDer<'_>]>) -> Option<Arc<str>> {
    let (_, certificate) = X509Certificate::from_der(chain?.first()?).ok()?;
    certificate
        .subject()
        .iter_common_name()
        .next()?
        .as_str()
        .ok()
        .map(Arc::from)
}

/// SHA-256 of a verified peer's leaf certificate.
pub(super) fn fingerprint(chain: Option<&[CertificateDer<'_>]>) -> Option<[u8; 32]> {
    Some(Sha256::digest(chain?.first()?).into())
}

fn load(files: &Files) -> Result<Loaded, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| file(&files.key, error))?;
    let expires = validity(files, &chain)?;

    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = match &files.client {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Required(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(authorities)? {
                roots.add(authority)?;
            }
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?,
            )
        }
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?; // resumption without server memory; keys rotate by themselves
    Ok(Loaded {
        config: Arc::new(config),
        expires,
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| file(path, error))?;
    if found.is_empty() {
        return Err(file(path, "holds no certificate"));
    }
    Ok(found)
}

/// `notAfter` of the leaf, provided that now lies within its validity.
fn validity(files: &Files, chain: &[CertificateDer<'_>]) -> Result<i64, TlsError> {
    let leaf = chain
        .first()
        .ok_or_else(|| file(&files.certificate, "holds no certificate"))?;
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|error| file(&files.certificate, error))?;
    let (from, until) = (
        leaf.validity().not_before.timestamp(),
        leaf.validity().not_after.timestamp(),
    );
    let now = jiff::Timestamp::now().as_second();
    if now < from || now > until {
        return Err(TlsError::OutOfDate {
            path: files.certificate.clone(),
            from,
            until,
        });
    }
    Ok(until)
}

fn file(path: &Path, reason: impl std::fmt::Display) -> TlsError {
    TlsError::File {
        path: path.to_path_buf(),
        reason: reason.to_string(),
    }
}
