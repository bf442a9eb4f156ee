//! An HTTP client that shows what came back and judges nothing: no retries, no redirects, no decoding.

use std::ops::Index;
use std::path::Path;
use std::sync::LazyLock;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::Value;

use crate::form;

/// Pooled connections live on a runtime of their own: each test has its own runtime, and a connection dies with its runtime.
static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
});

type Inner = hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// HTTP/1.1 and h2 over TLS that trusts one authority alone.
pub struct Client(Inner);

impl Client {
    pub fn new(authority: &Path) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(authority).expect("the development authority");
        roots.add(certificate).expect("a certificate");
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Self(hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector))
    }
}

/// A request being put together.
#[derive(Clone)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request<'a> {
    client: &'a Client,
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
    described: bool,
}

impl<'a> Request<'a> {
    pub(crate) fn new(client: &'a Client, method: &str, url: String) -> Self {
        Self {
            client,
            method: method.parse().expect("a method"),
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            described: false,
        }
    }

    /// To the API: its answer must be as the API's description says.
    pub(crate) fn described(mut self) -> Self {
        self.described = true;
        self
    }

    /// Bearer with this key.
    pub fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// Basic with this key as the user name, as curl's `-u key:` sends it.
    pub fn basic(self, key: &str) -> Self {
        let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{key}:"));
        self.header("authorization", &format!("Basic {credentials}"))
    }

    /// No authorization at all.
    pub fn no_key(mut self) -> Self {
        self.headers.remove("authorization");
        self
    }

    /// On behalf of this merchant.
    pub fn account(self, id: &str) -> Self {
        self.header("stripe-account", id)
    }

    /// Retries with the same key have one effect.
    pub fn idempotency_key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// Sets a header; bytes that HTTP forbids panic.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header name");
        self.headers
            .insert(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
        self
    }

    /// Parameters as an SDK sends them: in the query of a GET or DELETE, as a form in the body of a POST.
    pub fn params(self, parameters: Value) -> Self {
        let form = form::encode(&parameters);
        self.form(&form)
    }

    /// The same, encoded already.
    pub fn form(mut self, form: &str) -> Self {
        if self.method == Method::POST {
            return self.body("application/x-www-form-urlencoded", form.to_owned());
        }
        if !form.is_empty() {
            self.url = format!("{}?{form}", self.url);
        }
        self
    }

    /// A JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// Any body.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    /// Sends it.
    ///
    /// # Panics
    /// When nothing comes back.
    pub async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.url);
        self.try_send().await.unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// Sends it to a service that may be down or die meanwhile.
    ///
    /// # Errors
    /// When no whole answer came back: it may or may not have taken effect.
    ///
    /// # Panics
    /// When an answer of the API is not as its description says.
    pub async fn try_send(self) -> Result<Answer, Unanswered> {
        let (described, method, url) = (self.described, self.method.clone(), self.url.clone());
        let mut request = http::Request::builder().method(self.method).uri(self.url);
        *request.headers_mut().expect("a valid request") = self.headers;
        let request = request.body(Full::new(self.body)).expect("a valid request");
        let client = self.client.0.clone();
        let exchange = async move {
            let response = client
                .request(request)
                .await
                .map_err(|error| Unanswered(Box::new(error)))?;
            let (head, body) = response.into_parts();
            let body = body
                .collect()
                .await
                .map_err(|error| Unanswered(Box::new(error)))?
                .to_bytes();
            Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                json: serde_json::from_slice(&body).unwrap_or_default(),
                body,
            })
        };
        let answer = RUNTIME.spawn(exchange).await.expect("the client does not panic")?;
        if described {
            crate::description::hold(method.as_str(), &url, &answer);
        }
        Ok(answer)
    }
}

/// No whole answer came back.
#[derive(Debug)]
pub struct Unanswered(Box<dyn std::error::Error + Send + Sync>);

impl std::fmt::Display for Unanswered {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "no answer: {}", self.0)?;
        let mut cause = self.0.source();
        while let Some(inner) = cause {
            write!(out, ": {inner}")?;
            cause = inner.source();
        }
        Ok(())
    }
}

impl std::error::Error for Unanswered {}

/// What came back. `answer["id"]` and `answer["error"]["code"]` read its JSON, null where there is none.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The bytes, for comparing replays.
    pub body: Bytes,
    /// The same as JSON; null when it is none.
    pub json: Value,
}

impl Answer {
    /// The object of a 200.
    ///
    /// # Panics
    /// On any other status, with the answer.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{self}");
        self.json
    }

    /// A text of the answer by its JSON pointer, empty when there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// A header's text, empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Whether the service says that this is the stored answer of an earlier request.
    pub fn replayed(&self) -> bool {
        self.header("idempotent-replayed") == "true"
    }
}

impl Index<&str> for Answer {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        &self.json[name]
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}
