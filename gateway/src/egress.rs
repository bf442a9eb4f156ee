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
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls(roots));
    let builder = if allow_http {
        builder.https_or_http()
    } else {
        builder.https_only()
    };
    // HTTP/1.1: a connection per call in flight, so that one slow answer holds up no other.
    builder.enable_http1().wrap_connector(http)
}

/// TLS 1.2 or 1.3 that believes these authorities alone.
pub fn tls(roots: &Arc<RootCertStore>) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_root_certificates(roots.clone())
        .with_no_client_auth()
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

/// The certificates of this PEM file, or none at all.
///
/// # Errors
/// As [`roots`].
pub fn roots_or_none(file: Option<&Path>) -> Result<Arc<RootCertStore>, String> {
    match file {
        Some(file) => roots(&[file]),
        None => Ok(Arc::new(RootCertStore::empty())),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_postgres::TempDir;
    use crate::webhook::target::{Policy, Target, TargetClient};
    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use rustls::ServerConfig;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::net::TcpListener;

    /// A receiver on `https://localhost` whose certificate names `name`, and the file of the authority to believe.
    async fn receiver(name: &str, dir: &TempDir) -> (String, std::path::PathBuf) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let file = dir.path().join(format!("{name}.pem"));
        std::fs::write(&file, made.cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(socket) = acceptor.accept(socket).await else {
                        return;
                    };
                    let service =
                        service_fn(async |_| Ok::<_, hyper::Error>(http::Response::new(Full::new(Bytes::new()))));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        (url, file)
    }

    async fn post(url: &str, roots: Arc<RootCertStore>) -> Result<u16, String> {
        let policy = Policy {
            allow_private: true,
            roots,
            timeout: Duration::from_secs(10),
        };
        let target = Target::parse(url, &policy).unwrap();
        TargetClient::new(&policy)
            .post(&target, http::HeaderMap::new(), Bytes::new())
            .await
            .map(|answer| answer.status.as_u16())
    }

    #[tokio::test]
    async fn only_named_authorities_and_the_right_name_are_believed() {
        let dir = TempDir::new("egress");
        let (right, right_ca) = receiver("localhost", &dir).await;
        let (wrong_name, wrong_name_ca) = receiver("example.com", &dir).await;
        assert_eq!(
            post(&right, roots(&[&right_ca, &wrong_name_ca]).unwrap()).await,
            Ok(200)
        );
        for (url, ca) in [(&right, &wrong_name_ca), (&wrong_name, &wrong_name_ca)] {
            let error = post(url, roots(&[ca]).unwrap()).await.unwrap_err();
            assert!(error.contains("certificate"), "{error}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_an_error() {
        let dir = TempDir::new("egress-roots");
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "nothing").unwrap();
        assert!(roots(&[&empty]).unwrap_err().contains("no certificate"));
        assert!(roots(&[dir.path().join("missing.pem")]).is_err());
        assert!(roots::<&Path>(&[]).unwrap().is_empty());
    }
}
