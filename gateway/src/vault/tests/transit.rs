//! A server that does what the transit engine's documentation says of `encrypt`, `decrypt`, `keys/NAME`, `rotate`, `config`
//! and `trim`, with real keys: batches, `associated_data`, versions, token, and its words for what it refuses.

use super::super::aead::{self, Key, NONCE_LEN};
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub struct TransitServer {
    pub address: String,
    engine: Shared,
    task: tokio::task::JoinHandle<()>,
}

type Shared = Arc<Mutex<Engine>>;

struct Engine {
    token: String,
    sealed: bool,
    versions: BTreeMap<u64, Key>,
    min_decryption: u64,
    largest_batch: usize,
}

impl TransitServer {
    pub async fn start(token: &str) -> Self {
        let engine = Arc::new(Mutex::new(Engine {
            token: token.into(),
            sealed: false,
            versions: BTreeMap::from([(1, aead::fresh_key().unwrap())]),
            min_decryption: 1,
            largest_batch: 0,
        }));
        let router = Router::new()
            .route("/v1/transit/encrypt/{key}", post(encrypt))
            .route("/v1/transit/decrypt/{key}", post(decrypt))
            .route("/v1/transit/keys/{key}", get(read))
            .route("/v1/transit/keys/{key}/rotate", post(rotate))
            .route("/v1/transit/keys/{key}/config", post(configure))
            .route("/v1/transit/keys/{key}/trim", post(trim))
            .layer(middleware::from_fn_with_state(engine.clone(), admit))
            .with_state(engine.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, engine, task }
    }

    pub fn seal(&self, sealed: bool) {
        self.engine.lock().unwrap().sealed = sealed;
    }

    pub fn lose_versions(&self) {
        let mut engine = self.engine.lock().unwrap();
        engine.add_version();
        engine.min_decryption = engine.latest();
    }

    pub fn largest_batch(&self) -> usize {
        self.engine.lock().unwrap().largest_batch
    }
}

impl Drop for TransitServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Engine {
    fn latest(&self) -> u64 {
        *self.versions.keys().last().unwrap()
    }

    fn add_version(&mut self) {
        self.versions.insert(self.latest() + 1, aead::fresh_key().unwrap());
    }

    fn encrypt(&self, item: &Value) -> Result<Value, &'static str> {
        let plain = BASE64.decode(item["plaintext"].as_str().ok_or("missing plaintext to encrypt")?);
        let plain = plain.map_err(|_| "failed to base64-decode plaintext")?;
        let (version, nonce) = (self.latest(), aead::fresh_nonce().unwrap());
        let context = hex::encode(context(item)?);
        let sealed = aead::seal(&self.versions[&version], "transit", 0, &context, nonce, &plain).unwrap();
        let bytes = BASE64.encode([nonce.as_slice(), &sealed].concat());
        Ok(json!({ "ciphertext": format!("vault:v{version}:{bytes}"), "key_version": version }))
    }

    fn decrypt(&self, item: &Value) -> Result<Value, &'static str> {
        let text = item["ciphertext"].as_str().ok_or("missing ciphertext to decrypt")?;
        let (version, bytes) = text
            .strip_prefix("vault:v")
            .and_then(|rest| rest.split_once(':'))
            .ok_or("invalid ciphertext: no prefix")?;
        let version: u64 = version
            .parse()
            .map_err(|_| "invalid ciphertext: version number could not be decoded")?;
        if version < self.min_decryption {
            return Err("ciphertext or signature version is disallowed by policy (too old)");
        }
        let key = self
            .versions
            .get(&version)
            .ok_or("invalid ciphertext: version is too new")?;
        let bytes = BASE64
            .decode(bytes)
            .map_err(|_| "invalid ciphertext: could not decode base64")?;
        let (nonce, sealed) = bytes
            .split_first_chunk::<NONCE_LEN>()
            .ok_or("invalid ciphertext length")?;
        let plain = aead::open(key, "transit", 0, &hex::encode(context(item)?), *nonce, sealed);
        let plain = plain.map_err(|_| "cipher: message authentication failed")?;
        Ok(json!({ "plaintext": BASE64.encode(&*plain) }))
    }

    fn batch(&mut self, body: &Value, each: impl Fn(&Self, &Value) -> Result<Value, &'static str>) -> Response {
        let Some(items) = body["batch_input"].as_array() else {
            return refuse(StatusCode::BAD_REQUEST, "missing batch_input");
        };
        self.largest_batch = self.largest_batch.max(items.len());
        let results: Vec<_> = items.iter().map(|item| each(self, item)).collect();
        let status = match results.iter().all(Result::is_err) {
            true => StatusCode::BAD_REQUEST,
            false => StatusCode::OK,
        };
        let results: Vec<Value> = results
            .into_iter()
            .map(|result| result.unwrap_or_else(|error| json!({ "error": error })))
            .collect();
        (status, Json(json!({ "data": { "batch_results": results } }))).into_response()
    }
}

fn context(item: &Value) -> Result<Vec<u8>, &'static str> {
    BASE64
        .decode(item["associated_data"].as_str().unwrap_or_default())
        .map_err(|_| "failed to base64-decode associated_data")
}

async fn admit(State(engine): State<Shared>, request: Request, next: Next) -> Response {
    let (sealed, token) = {
        let engine = engine.lock().unwrap();
        (engine.sealed, engine.token.clone())
    };
    if sealed {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "Vault is sealed");
    }
    if request.headers().get("x-vault-token").is_none_or(|told| told != &token) {
        return refuse(StatusCode::FORBIDDEN, "permission denied");
    }
    next.run(request).await
}

async fn encrypt(State(engine): State<Shared>, Path(_): Path<String>, Json(body): Json<Value>) -> Response {
    engine.lock().unwrap().batch(&body, Engine::encrypt)
}

async fn decrypt(State(engine): State<Shared>, Path(_): Path<String>, Json(body): Json<Value>) -> Response {
    engine.lock().unwrap().batch(&body, Engine::decrypt)
}

async fn read(State(engine): State<Shared>, Path(key): Path<String>) -> Json<Value> {
    let engine = engine.lock().unwrap();
    let data = json!({
        "name": key, "type": "aes256-gcm96", "latest_version": engine.latest(),
        "min_decryption_version": engine.min_decryption, "min_available_version": 0,
    });
    Json(json!({ "data": data }))
}

async fn rotate(State(engine): State<Shared>, Path(_): Path<String>) -> StatusCode {
    engine.lock().unwrap().add_version();
    StatusCode::NO_CONTENT
}

async fn configure(State(engine): State<Shared>, Path(_): Path<String>, Json(body): Json<Value>) -> Response {
    let mut engine = engine.lock().unwrap();
    let least = body["min_decryption_version"].as_u64().unwrap_or(engine.min_decryption);
    if least > engine.latest() {
        let why = "cannot set min decryption version of a version beyond the latest key version";
        return refuse(StatusCode::BAD_REQUEST, why);
    }
    engine.min_decryption = least;
    StatusCode::NO_CONTENT.into_response()
}

async fn trim(State(engine): State<Shared>, Path(_): Path<String>, Json(body): Json<Value>) -> Response {
    let mut engine = engine.lock().unwrap();
    let least = body["min_available_version"].as_u64().unwrap_or_default();
    if least > engine.min_decryption {
        let why = "cannot set minimum available version to be greater than the minimum decryption version";
        return refuse(StatusCode::BAD_REQUEST, why);
    }
    engine.versions.retain(|version, _| *version >= least);
    StatusCode::NO_CONTENT.into_response()
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "errors": [why] }))).into_response()
}
