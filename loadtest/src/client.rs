//! One kept-alive HTTP/1.1 connection over TLS, as thin as a client can be: what it spends is missing to what it measures.
//!
//! It never repeats a request by itself; a lost answer is the caller's to count.

use anyhow::{Context, Result};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// After this an answer is given up; the service's own limits are shorter.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where to connect, and as whom.
#[derive(Clone)]
pub struct Target {
    host: String,
    port: u16,
    tls: TlsConnector,
    authority: HeaderValue,
    authorization: HeaderValue,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status
    pub status: StatusCode,
    /// JSON
    pub body: Bytes,
    /// microseconds of the service's own time, without the acquirer's
    pub own: Option<u64>,
    /// it is the stored answer of an earlier request
    pub replayed: bool,
}

impl Target {
    /// The API of a development installation.
    ///
    /// # Errors
    /// When its authority's certificate cannot be read.
    pub fn new(dev: &crate::dev::Dev) -> Result<Self> {
        let url: Uri = dev.api_url.parse().context("api_url")?;
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&dev.ca_file).context("ca_file")? {
            roots.add(certificate.context("ca_file")?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            host: url.host().context("api_url has no host")?.to_owned(),
            port: url.port_u16().unwrap_or(443),
            tls: TlsConnector::from(Arc::new(config)),
            authority: HeaderValue::from_str(url.authority().context("api_url has no host")?.as_str())?,
            authorization: HeaderValue::from_str(&format!("Bearer {}", dev.secret_key))?,
        })
    }
}

impl Target {
    /// Refuses any other machine than this one.
    ///
    /// # Errors
    /// When the host is not an address of loopback.
    pub fn must_be_loopback(&self) -> Result<()> {
        let address: IpAddr = self.host.parse().context("the host of api_url is not an address")?;
        anyhow::ensure!(
            address.is_loopback(),
            "attacks are for loopback alone, not for {address}"
        );
        Ok(())
    }

    /// A bare TLS connection from this address of our own machine, for what no honest client does; `protocol` is offered by ALPN.
    ///
    /// # Errors
    /// When the service does not take it.
    pub async fn bare(&self, from: IpAddr, protocol: &'static [u8]) -> Result<TlsStream<TcpStream>> {
        let at = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await?
            .next()
            .context("no address")?;
        let socket = if at.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if from.is_ipv4() == at.is_ipv4() {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let tcp = socket.connect(at).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(self.host.clone())?;
        let handshake = self.tls.clone().with_alpn(vec![protocol.to_vec()]).connect(name, tcp);
        Ok(tokio::time::timeout(PATIENCE, handshake).await??)
    }
}

/// One connection; it connects when it is first used, and again after it broke.
pub struct Connection {
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Not connected yet.
    pub fn new(target: Target) -> Self {
        Self { target, sender: None }
    }

    /// POSTs a form under an idempotency key.
    ///
    /// # Errors
    /// When no whole answer came: whether the request had an effect is then not known.
    pub async fn post(&mut self, path: &str, key: &str, form: String) -> Result<Answer> {
        let mut request = Request::new(Full::new(Bytes::from(form)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse()?;
        let headers = request.headers_mut();
        headers.reserve(4);
        headers.insert(HOST, self.target.authority.clone());
        headers.insert(AUTHORIZATION, self.target.authorization.clone());
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert("idempotency-key", HeaderValue::from_str(key)?);
        let exchange = tokio::time::timeout(PATIENCE, self.exchange(request)).await;
        let answer = exchange.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", PATIENCE.as_secs())));
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    /// Connects now, so that the first request does not pay for the handshake.
    ///
    /// # Errors
    /// When the service cannot be reached.
    pub async fn warm(&mut self) -> Result<()> {
        self.ready().await.map(drop)
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer> {
        let response = self.ready().await?.send_request(request).await.context("sending")?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.context("reading the answer")?.to_bytes();
        let own = head.headers.get("counterfoil-latency").and_then(|value| {
            let milliseconds: f64 = value.to_str().ok()?.parse().ok()?;
            Some((milliseconds * 1000.0) as u64)
        });
        Ok(Answer {
            status: head.status,
            body,
            own,
            replayed: head.headers.contains_key("idempotent-replayed"),
        })
    }

    async fn ready(&mut self) -> Result<&mut SendRequest<Full<Bytes>>> {
        if let Some(sender) = &mut self.sender
            && sender.ready().await.is_err()
        {
            self.sender = None; // closed while it rested
        }
        if self.sender.is_none() {
            let target = &self.target;
            let tcp = TcpStream::connect((target.host.as_str(), target.port))
                .await
                .context("connecting")?;
            tcp.set_nodelay(true)?;
            let name = ServerName::try_from(target.host.clone())?;
            let tls = target.tls.connect(name, tcp).await.context("handshake")?;
            let (sender, connection) = http1::handshake(TokioIo::new(tls)).await?;
            tokio::spawn(async move {
                let _ = connection.await; // its error is the request's too
            });
            self.sender = Some(sender);
        }
        self.sender.as_mut().context("not connected")
    }
}
