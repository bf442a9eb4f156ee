//! A server whose handlers tell what they saw, and a client without manners.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::routing::{get, post};
use bytes::Bytes;
use gateway::dev::ca::{self, Certificates};
use gateway::edge::{ClientAuth, Drained, Edge, Files, Limits, Peer, Reloadable, RequestId, Stats};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub struct Server {
    pub address: std::net::SocketAddr,
    pub dir: Folder,
    pub files: Certificates,
    pub tls: Arc<Reloadable>,
    pub stats: Arc<Stats>,
    pub handled: Arc<AtomicU64>,
    pub arrived: Arc<Notify>,
    pub release: Arc<Notify>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<Drained>>,
}

#[derive(Clone)]
struct App {
    handled: Arc<AtomicU64>,
    arrived: Arc<Notify>,
    release: Arc<Notify>,
}

impl Server {
    pub fn start(limits: Limits) -> Self {
        Self::start_with(limits, false)
    }

    pub fn start_with(limits: Limits, client_certificates: bool) -> Self {
        let dir = Folder::new();
        let files = ca::ensure(&dir.0, jiff::Timestamp::now()).expect("certificates");
        let client = if client_certificates {
            ClientAuth::Required(files.authority.clone())
        } else {
            ClientAuth::None
        };
        let tls = Reloadable::load(Files {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            client,
        })
        .expect("loads");
        let app = App {
            handled: Arc::default(),
            arrived: Arc::default(),
            release: Arc::default(),
        };
        let listener = gateway::edge::bind("127.0.0.1:0".parse().expect("address")).expect("binds");
        let edge = Edge::new(listener, Some(tls.clone()), router(app.clone()), limits);
        let (stop, stopped) = oneshot::channel();
        let (address, stats) = (edge.address().expect("bound"), edge.stats());
        let serving = tokio::spawn(edge.serve(async move { drop(stopped.await) }));
        let App {
            handled,
            arrived,
            release,
        } = app;
        Self {
            address,
            dir,
            files,
            tls,
            stats,
            handled,
            arrived,
            release,
            stop: Some(stop),
            serving,
        }
    }

    pub async fn connect(&self, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
        self.connect_as(alpn, None).await.expect("handshake")
    }

    pub async fn connect_as(
        &self,
        alpn: &[&[u8]],
        identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&self.files.authority).expect("authority"))
            .expect("trusts");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS 1.3");
        let builder = builder.with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).expect("identity"),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let tcp = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config))
            .connect(ServerName::try_from("localhost").expect("name"), tcp)
            .await
    }

    pub async fn h2_client(
        &self,
        builder: &h2::client::Builder,
    ) -> (
        h2::client::SendRequest<Bytes>,
        h2::client::Connection<TlsStream<TcpStream>, Bytes>,
    ) {
        let tls = self.connect(&[b"h2"]).await;
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        builder.handshake(tls).await.expect("h2 handshake")
    }

    /// A client certificate by the authority that the server trusts.
    pub fn client_identity(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let read = |file: &str| std::fs::read_to_string(self.dir.0.join(file)).expect("PEM");
        let authority_key = rcgen::KeyPair::from_pem(&read("ca.key")).expect("key");
        let issuer = rcgen::Issuer::from_ca_cert_pem(&read("ca.pem"), authority_key).expect("issuer");
        let key = rcgen::KeyPair::generate().expect("key");
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &issuer).expect("signs");
        (
            certificate.der().clone(),
            PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS#8"),
        )
    }

    pub fn shut_down(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }

    pub async fn drained(self) -> Drained {
        timeout(PATIENCE, self.serving)
            .await
            .expect("drains")
            .expect("no panic")
            .expect("no error")
    }
}

fn router(app: App) -> Router {
    async fn whoami(Extension(peer): Extension<Peer>, Extension(id): Extension<RequestId>) -> String {
        format!(
            "{} {} {}",
            peer.address.ip(),
            peer.common_name.as_deref().unwrap_or("none"),
            id.as_str()
        )
    }
    async fn count(State(app): State<App>, _body: Bytes) {
        app.handled.fetch_add(1, Ordering::Relaxed);
    }
    async fn wait(State(app): State<App>) {
        let released = app.release.notified();
        app.arrived.notify_one();
        released.await;
        app.handled.fetch_add(1, Ordering::Relaxed);
    }
    async fn forever(State(app): State<App>) {
        app.arrived.notify_one();
        std::future::pending::<()>().await;
    }
    async fn panics() -> String {
        let card: Result<u8, String> = "4242".parse().map_err(|_| "4242".to_string());
        card.expect("card");
        String::new()
    }
    Router::new()
        .route("/echo", post(|body: Bytes| async move { body }))
        .route("/whoami", get(whoami))
        .route("/count", post(count))
        .route("/wait", get(wait))
        .route("/forever", get(forever))
        .route("/panic", get(panics))
        .route("/large", get(|| async { Body::from(vec![0; 64 * 1024 * 1024]) }))
        .with_state(app)
}

// ---- a client without manners

pub async fn exchange(client: &mut TlsStream<TcpStream>, request: &str) -> String {
    client.write_all(request.as_bytes()).await.expect("writes");
    client.flush().await.expect("flushes");
    read_answer(client).await
}

/// Reads one answer with a Content-Length.
pub async fn read_answer(client: &mut TlsStream<TcpStream>) -> String {
    let mut answer = Vec::new();
    let read = async {
        loop {
            let text = String::from_utf8_lossy(&answer).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length: usize = header(head, "content-length").parse().unwrap_or(0);
                if body.len() >= length {
                    return text;
                }
            }
            if client.read_buf(&mut answer).await.expect("reads") == 0 {
                return text;
            }
        }
    };
    timeout(PATIENCE, read).await.expect("an answer")
}

pub fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let mut lines = answer.split("\r\n").take_while(|line| !line.is_empty());
    lines
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or("")
}

pub fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

pub fn assert_refused(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let envelope: serde_json::Value = serde_json::from_str(body(answer)).expect("JSON");
    assert_eq!(envelope["error"]["code"], code, "{answer}");
    assert!(
        envelope["error"]["type"].is_string() && envelope["error"]["message"].is_string(),
        "{answer}"
    );
    assert!(header(answer, "request-id").starts_with("req_"), "{answer}");
    assert_eq!(header(answer, "content-type"), "application/json");
}

/// Reads until the other end closes, in whichever way; fails if it never does.
pub async fn assert_closed(client: &mut (impl AsyncReadExt + Unpin)) {
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, client.read_to_end(&mut rest))
        .await
        .expect("the server closes the connection");
}

/// Waits until a counter has exactly this value.
pub async fn settle(counter: &AtomicU64, value: u64) {
    let settled = async {
        while counter.load(Ordering::Relaxed) != value {
            sleep(Duration::from_millis(5)).await;
        }
    };
    if timeout(PATIENCE, settled).await.is_err() {
        panic!("expected {value}, have {}", counter.load(Ordering::Relaxed));
    }
}

pub fn leaf(client: &TlsStream<TcpStream>) -> Vec<u8> {
    client.get_ref().1.peer_certificates().expect("chain")[0].to_vec()
}

pub fn h2_get(path: &str) -> http::Request<()> {
    http::Request::get(format!("https://localhost{path}"))
        .body(())
        .expect("request")
}

/// A ClientHello that offers TLS 1.2 with an AEAD suite and nothing newer (RFC 5246).
pub fn tls_1_2_client_hello() -> Vec<u8> {
    let extensions = [
        [0, 10, 0, 4, 0, 2, 0, 29].as_slice(), // supported_groups: x25519
        [0, 11, 0, 2, 1, 0].as_slice(),        // ec_point_formats: uncompressed
        [0, 13, 0, 4, 0, 2, 4, 3].as_slice(),  // signature_algorithms: ecdsa_secp256r1_sha256
        [0, 23, 0, 0].as_slice(),              // extended_master_secret
    ]
    .concat();
    let mut hello = vec![3, 3];
    hello.extend_from_slice(&[7; 32]); // random
    hello.extend_from_slice(&[0, 0, 2, 0xc0, 0x2b, 1, 0]); // no session; ECDHE-ECDSA-AES128-GCM-SHA256; no compression
    hello.extend_from_slice(&u16::try_from(extensions.len()).expect("short").to_be_bytes());
    hello.extend_from_slice(&extensions);
    let length = u16::try_from(hello.len()).expect("short");
    let mut record = vec![22, 3, 1];
    record.extend_from_slice(&(length + 4).to_be_bytes());
    record.extend_from_slice(&[1, 0]);
    record.extend_from_slice(&length.to_be_bytes());
    record.extend_from_slice(&hello);
    record
}

pub struct Folder(pub PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "counterfoil-edge-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub const PATIENCE: Duration = Duration::from_secs(20);
