//! The way out: the one recipe for a client that calls someone else.
//!
//! TLS 1.2 or 1.3 against named roots only, no delay on small writes, a bounded time to connect. It must never fall back
//! to a weaker way, and what it says of a failure never quotes the request.

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A connector over `http` (which brings the resolver) that speaks https, and plain http only if `allow_http`.
pub fn connector<R>(
    mut http: HttpConnector<R>,
    connect_timeout: Duration,
    roots: &Arc<RootCertStore>,
    allow_http: bool,
) -> HttpsConnector<HttpConnector<R>> {
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(connect_timeout));
    http.set_keepalive(Some(Duration::from_secs(60)));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls);
    let builder = if allow_http {
        builder.https_or_http()
    } else {
        builder.https_only()
    };
    // HTTP/1.1: a connection per call in flight, so that one slow answer holds up no other.
    builder.enable_http1().wrap_connector(http)
}

/// The certificates of these PEM files.
///
/// # Errors
/// When a file cannot be read, holds no certificate, or one that is none.
pub fn roots<P: AsRef<Path>>(files: &[P]) -> Result<Arc<RootCertStore>, String> {
    let mut store = RootCertStore::empty();
    for file in files {
        let name = file.as_ref().display();
        let before = store.len();
        for certificate in CertificateDer::pem_file_iter(file).map_err(|e| format!("{name}: {e}"))? {
            let certificate = certificate.map_err(|e| format!("{name}: {e}"))?;
            store.add(certificate).map_err(|e| format!("{name}: {e}"))?;
        }
        if store.len() == before {
            return Err(format!("{name}: no certificate in it"));
        }
    }
    Ok(Arc::new(store))
}

/// A client's error with its causes, which is where the reason is; at most a line.
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect()
}
