//! Key-encryption keys in HashiCorp Vault's transit engine (OpenBao speaks the same), over its HTTP API.
//!
//! The key never leaves the service: data keys go there to be wrapped and unwrapped, in batches. A name here is
//! `transit/NAME:vN`, with the version that the ciphertext itself carries. Data keys are bound to their subject by
//! `associated_data`; that is why a rotation decrypts and encrypts rather than using `rewrap`, which has no such parameter
//! in the older versions. Errors must never quote a request.

use super::{Key, Kms, KmsError, Subject, Wrapped};
use crate::egress;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Where the transit engine is.
#[derive(Clone)]
pub struct TransitConfig {
    /// scheme, host and port; `http` on loopback alone (an agent on the same machine)
    pub address: String,
    /// where the engine is mounted, `transit` by default
    pub mount: String,
    /// name of the key, of type `aes256-gcm96` or `chacha20-poly1305`
    pub key: String,
    /// file with the token, read for each request: an agent renews it
    pub token_file: PathBuf,
    /// authorities of its certificate
    pub roots: Arc<RootCertStore>,
}

/// A client of one transit key.
pub struct Transit {
    config: TransitConfig,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl std::fmt::Debug for Transit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transit")
            .field("address", &self.config.address)
            .field("key", &self.config.key)
            .finish_non_exhaustive()
    }
}

impl Transit {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// When the address is not `https`, or `http` on loopback, or a name is not a plain word.
    pub fn new(config: TransitConfig) -> Result<Self, KmsError> {
        let url = url::Url::parse(&config.address).map_err(|e| KmsError::Denied(format!("address: {e}")))?;
        let loopback = match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            _ => false,
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
            return Err(KmsError::Denied(
                "the address must be https (plain http only on a loopback address)".into(),
            ));
        }
        let plain = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if !plain(&config.key) || !config.mount.split('/').all(plain) {
            return Err(KmsError::Denied("key and mount are letters, digits, - and _".into()));
        }
        let connector = egress::connector(HttpConnector::new(), CONNECT_TIMEOUT, &config.roots, loopback);
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            config: TransitConfig {
                address: config.address.trim_end_matches('/').to_owned(),
                ..config
            },
        })
    }

    fn name(&self, version: u64) -> String {
        format!("{}/{}:v{version}", self.config.mount, self.config.key)
    }

    /// The version behind a name, if it is of this key.
    fn version(&self, kek: &str) -> Option<u64> {
        kek.strip_prefix(&format!("{}/{}:v", self.config.mount, self.config.key))?
            .parse()
            .ok()
    }

    async fn latest(&self) -> Result<u64, KmsError> {
        let answer = self.ask(Method::GET, "keys", "", None).await?;
        answer["data"]["latest_version"]
            .as_u64()
            .ok_or_else(|| KmsError::Denied("the answer has no latest_version".into()))
    }

    async fn wrap_all(&self, keys: &[(Subject, Key)]) -> Result<Vec<Wrapped>, KmsError> {
        let batch: Vec<Value> = keys
            .iter()
            .map(|(subject, key)| {
                json!({
                    "plaintext": BASE64.encode(key.as_ref()),
                    "associated_data": BASE64.encode(subject.context()),
                })
            })
            .collect();
        let results = self.batch("encrypt", batch).await?;
        results
            .iter()
            .map(|result| {
                let ciphertext = result["ciphertext"]
                    .as_str()
                    .ok_or_else(|| KmsError::Denied(said(result)))?;
                let version = ciphertext
                    .strip_prefix("vault:v")
                    .and_then(|rest| rest.split_once(':'))
                    .and_then(|(version, _)| version.parse().ok())
                    .ok_or_else(|| KmsError::Denied("a ciphertext without a version".into()))?;
                Ok(Wrapped {
                    kek: self.name(version),
                    bytes: ciphertext.as_bytes().to_vec(),
                })
            })
            .collect()
    }

    async fn unwrap_all(&self, wrapped: &[(Subject, Wrapped)]) -> Result<Vec<Key>, KmsError> {
        let mut batch = Vec::with_capacity(wrapped.len());
        for (subject, wrapped) in wrapped {
            let ciphertext = std::str::from_utf8(&wrapped.bytes).ok();
            let (Some(ciphertext), Some(_)) = (ciphertext, self.version(&wrapped.kek)) else {
                return Err(KmsError::Lost(wrapped.kek.clone()));
            };
            batch.push(json!({ "ciphertext": ciphertext, "associated_data": BASE64.encode(subject.context()) }));
        }
        let results = self.batch("decrypt", batch).await?;
        results
            .iter()
            .zip(wrapped)
            .map(|(result, (_, wrapped))| {
                let Some(text) = result["plaintext"].as_str() else {
                    return Err(refused(&said(result), &wrapped.kek));
                };
                let mut plain = Zeroizing::new(Vec::with_capacity(48));
                let decoded = BASE64.decode_vec(text, &mut plain);
                let key: Option<&[u8; 32]> = decoded.ok().and_then(|()| plain.as_slice().try_into().ok());
                key.map(|key| Zeroizing::new(*key))
                    .ok_or_else(|| KmsError::Refused(wrapped.kek.clone()))
            })
            .collect()
    }

    async fn batch(&self, operation: &str, batch: Vec<Value>) -> Result<Vec<Value>, KmsError> {
        let expected = batch.len();
        if expected == 0 {
            return Ok(Vec::new());
        }
        let mut answer = self
            .ask(Method::POST, operation, "", Some(json!({ "batch_input": batch })))
            .await?;
        match answer["data"]["batch_results"].take() {
            Value::Array(results) if results.len() == expected => Ok(results),
            _ => Err(KmsError::Denied(said(&answer))),
        }
    }

    async fn make_version(&self) -> Result<String, KmsError> {
        self.ask(Method::POST, "keys", "/rotate", Some(json!({}))).await?;
        Ok(self.name(self.latest().await?))
    }

    /// The versions up to this one can decrypt no more, and are then deleted.
    async fn retire_version(&self, kek: &str) -> Result<(), KmsError> {
        let version = self.version(kek).ok_or_else(|| KmsError::Lost(kek.to_owned()))?;
        let least = version + 1;
        if least > self.latest().await? {
            return Err(KmsError::Denied(format!(
                "`{kek}` is the key that wraps now; rotate first"
            )));
        }
        let config = json!({ "min_decryption_version": least, "min_encryption_version": least });
        self.ask(Method::POST, "keys", "/config", Some(config)).await?;
        self.ask(
            Method::POST,
            "keys",
            "/trim",
            Some(json!({ "min_available_version": least })),
        )
        .await?;
        Ok(())
    }

    /// One request about our key. A batch whose items all failed is answered 400 with the items: that is an answer.
    async fn ask(&self, method: Method, operation: &str, more: &str, body: Option<Value>) -> Result<Value, KmsError> {
        let TransitConfig {
            address,
            mount,
            key,
            token_file,
            ..
        } = &self.config;
        let token = std::fs::read_to_string(token_file)
            .map(Zeroizing::new)
            .map_err(|e| KmsError::Denied(format!("token file {}: {e}", token_file.display())))?;
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{address}/v1/{mount}/{operation}/{key}{more}"))
            .header("x-vault-token", token.trim())
            .header("x-vault-request", "true") // an agent or a proxy forwards nothing without it
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|_| KmsError::Denied("the token is not a header value".into()))?;
        let exchange = async {
            let answer = self
                .client
                .request(request)
                .await
                .map_err(|e| KmsError::Unreachable(egress::describe(&e)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|_| KmsError::Unreachable(format!("the answer {status} was cut short")))?;
            Ok::<_, KmsError>((status, body.to_bytes()))
        };
        let (status, body) = tokio::time::timeout(TIMEOUT, exchange)
            .await
            .map_err(|_| KmsError::Unreachable(format!("no answer within {} s", TIMEOUT.as_secs())))??;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        match status {
            status if status.is_success() => Ok(answer),
            StatusCode::BAD_REQUEST if answer["data"]["batch_results"].is_array() => Ok(answer),
            StatusCode::TOO_MANY_REQUESTS => Err(KmsError::Unreachable(format!("{status} {}", said(&answer)))),
            status if status.is_server_error() => Err(KmsError::Unreachable(format!("{status} {}", said(&answer)))),
            status => Err(KmsError::Denied(format!("{status} {}", said(&answer)))),
        }
    }
}

impl Kms for Transit {
    fn current(&self) -> BoxFuture<'_, Result<String, KmsError>> {
        async { Ok(self.name(self.latest().await?)) }.boxed()
    }

    fn wrap<'a>(&'a self, keys: &'a [(Subject, Key)]) -> BoxFuture<'a, Result<Vec<Wrapped>, KmsError>> {
        self.wrap_all(keys).boxed()
    }

    fn unwrap<'a>(&'a self, wrapped: &'a [(Subject, Wrapped)]) -> BoxFuture<'a, Result<Vec<Key>, KmsError>> {
        self.unwrap_all(wrapped).boxed()
    }

    fn rotate(&self) -> BoxFuture<'_, Result<String, KmsError>> {
        self.make_version().boxed()
    }

    fn retire<'a>(&'a self, kek: &'a str) -> BoxFuture<'a, Result<(), KmsError>> {
        self.retire_version(kek).boxed()
    }
}

/// A version that was disallowed or trimmed is lost; anything else did not authenticate.
fn refused(said: &str, kek: &str) -> KmsError {
    if said.contains("disallowed by policy") || said.contains("no key found") || said.contains("too old") {
        KmsError::Lost(kek.to_owned())
    } else {
        KmsError::Refused(kek.to_owned())
    }
}

/// The service's own words, one line, bounded.
fn said(answer: &Value) -> String {
    let words = match (&answer["error"], &answer["errors"]) {
        (Value::String(error), _) => error.clone(),
        (_, Value::Array(errors)) => errors.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "),
        _ => "without a reason".to_owned(),
    };
    words
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect()
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 4 << 20;
