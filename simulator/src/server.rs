//! The API listener: HTTP/1.1 on a loopback port, as an SDK expects the acquirer to be.
//!
//! Order of one request: key, faults before, idempotency, endpoint under the lock, log line in the file, answer. No answer leaves
//! before the log holds everything that it tells. Must never log a body: it may hold a card number.

use crate::Simulator;
use crate::api::{self, Answer};
use crate::error::ApiError;
use crate::fault::{Action, Rule};
use crate::flow::Op;
use crate::idempotency::{Begin, Reference, StoredAnswer};
use crate::log::Written;
use crate::object::Account;
use crate::params::Params;
use crate::store::{Expand, Object, Record, Snapshot, Store};
use crate::view::{self, Site};
use base64::Engine;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Serves until `stop` turns true, then lets open requests finish.
pub async fn serve(simulator: Arc<Simulator>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((tcp, _)) => {
                connections.spawn(connection(simulator.clone(), tcp, stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("some connections were cut at shutdown");
    }
}

async fn connection(simulator: Arc<Simulator>, tcp: TcpStream, mut stop: watch::Receiver<bool>) {
    // Without it small answers wait for the peer's acknowledgement.
    let _ = tcp.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request| {
        let (simulator, reset) = (simulator.clone(), reset.clone());
        Box::pin(async move {
            let outcome = answer(&simulator, request).await;
            reset.store(matches!(outcome, Err(Cut { reset: true })), Ordering::Relaxed);
            outcome
        })
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new());
    let mut connection = http.serve_connection(TokioIo::new(tcp), service);
    let mut stopping = false;
    loop {
        tokio::select! {
            _ = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)) => break,
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    }
    if reset.load(Ordering::Relaxed) {
        // Closing with zero linger sends RST instead of FIN.
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}

/// The connection ends without an answer.
#[derive(Debug)]
struct Cut {
    reset: bool,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("connection cut by a fault rule")
    }
}

impl std::error::Error for Cut {}

struct Call {
    method: Method,
    path: String,
    account: Account,
    params: Params,
    request: Arc<str>,
    key: Option<Arc<str>>,
}

/// An answer before it is rendered.
enum Content {
    Snapshot(Snapshot),
    Declined(Snapshot),
    List {
        items: Vec<Snapshot>,
        kind: &'static str,
        has_more: bool,
    },
    Text(u16, Bytes),
}

struct Outcome {
    content: Content,
    replayed: bool,
    written: Written,
}

async fn answer(simulator: &Simulator, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    // The body is always read: an answer before its end would break the connection for the next request.
    let body = match Limited::new(body, BODY_MAX_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => {
            let error = ApiError::new(413, "invalid_request_error", None, "Request body too large.");
            return Ok(refused(&error, &request_id(), &parts.headers, None));
        }
    };
    if let Some(rest) = path.strip_prefix("/challenge/") {
        return Ok(crate::challenge::page(simulator, &parts.method, rest).await);
    }
    let request = request_id();
    let key = idempotency_key(&parts.method, &parts.headers);
    let refuse = |error: ApiError| Ok(refused(&error, &request, &parts.headers, key.as_ref()));
    if let Err(error) = authenticate(simulator, &parts.headers) {
        return refuse(error);
    }
    let Some(endpoint) = path.strip_prefix("/v1/") else {
        let message = format!("Unrecognized request URL ({}: {path}).", parts.method);
        return refuse(ApiError::new(404, "invalid_request_error", None, message));
    };
    if key.as_ref().is_some_and(|key| key.len() > 255) {
        return refuse(ApiError::invalid(
            "Idempotency-Key",
            "Idempotency keys are at most 255 characters.",
        ));
    }
    let params = if parts.method == Method::POST && endpoint == "files" {
        // Nobody looks at evidence here: that it was handed over is all that is kept of it.
        Params::parse(format!("digest={}", hex::encode(&Sha256::digest(&body)[..12])).as_bytes())
    } else if parts.method == Method::POST {
        Params::parse(&body)
    } else {
        Params::parse(parts.uri.query().unwrap_or_default().as_bytes())
    };
    let account = parts
        .headers
        .get("stripe-account")
        .and_then(|account| account.to_str().ok());
    let account = account.filter(|account| !account.is_empty()).map(Arc::from);
    let fault = simulator.faults.for_request(parts.method.as_str(), path, &params);
    let call = Call {
        method: parts.method,
        path: endpoint.to_owned(),
        account,
        params,
        request,
        key,
    };
    let outcome = execute(simulator, &call, fault.as_ref()).await?;
    if !outcome.written.wait().await {
        return Err(Cut { reset: false });
    }
    after(fault.as_ref()).await?;
    let answer = render(simulator, &call, &parts.headers, outcome.content, outcome.replayed);
    Ok(match fault.map(|fault| fault.action) {
        Some(action @ (Action::WrongAmount | Action::WrongCurrency)) => falsified(answer, action).await,
        _ => answer,
    })
}

/// The answer with another amount or currency in it, as a broken acquirer would give it.
async fn falsified(answer: Response<Full<Bytes>>, action: Action) -> Response<Full<Bytes>> {
    let (head, body) = answer.into_parts();
    let bytes = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let mut object: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    for (name, value) in object.as_object_mut().into_iter().flatten() {
        match (name.as_str(), action) {
            ("amount" | "amount_capturable" | "amount_received", Action::WrongAmount) => {
                *value = value
                    .as_i64()
                    .map_or(serde_json::Value::Null, |amount| (amount + 1).into());
            }
            ("currency", Action::WrongCurrency) => *value = "jpy".into(),
            _ => {}
        }
    }
    let body = Bytes::from(object.to_string());
    let mut answer = Response::from_parts(head, Full::new(body.clone()));
    answer
        .headers_mut()
        .insert(http::header::CONTENT_LENGTH, body.len().into());
    answer
}

/// Runs the endpoint, with what a fault does before and instead.
async fn execute(simulator: &Simulator, call: &Call, fault: Option<&Rule>) -> Result<Outcome, Cut> {
    let mut breakage = None;
    if let Some(fault) = fault {
        match fault.action {
            Action::TimeoutBefore => {
                tokio::time::sleep(Duration::from_millis(fault.ms)).await;
                return Err(Cut { reset: false });
            }
            Action::Reset => return Err(Cut { reset: true }),
            Action::RateLimit => {
                let message = "Too many requests in too short a time.";
                let error = ApiError::new(429, "invalid_request_error", Some("rate_limit"), message);
                return Ok(error_outcome(&error));
            }
            Action::ErrorBefore if !fault.stored.unwrap_or(false) => return Ok(error_outcome(&broken())),
            Action::Delay => {
                // The key is taken at once, so that others meet it in flight.
                if let Some(outcome) = begin(&mut simulator.store(), simulator, call) {
                    return Ok(outcome);
                }
                tokio::time::sleep(Duration::from_millis(fault.ms)).await;
                return Ok(run(&mut simulator.store(), simulator, call, None));
            }
            Action::ErrorBefore => {
                breakage = Some(Breakage {
                    works: false,
                    stored: true,
                })
            }
            Action::ErrorAfter => {
                breakage = Some(Breakage {
                    works: true,
                    stored: fault.stored.unwrap_or(true),
                })
            }
            _ => {}
        }
    }
    let mut store = simulator.store();
    if let Some(outcome) = begin(&mut store, simulator, call) {
        return Ok(outcome);
    }
    Ok(run(&mut store, simulator, call, breakage))
}

async fn after(fault: Option<&Rule>) -> Result<(), Cut> {
    match fault.map(|fault| (fault.action, fault.ms)) {
        Some((Action::TimeoutAfter, ms)) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Err(Cut { reset: false })
        }
        Some((Action::ResetAfter, _)) => Err(Cut { reset: true }),
        _ => Ok(()),
    }
}

/// Looks at the idempotency key; gives an answer when the endpoint must not run.
fn begin(store: &mut Store, simulator: &Simulator, call: &Call) -> Option<Outcome> {
    let key = call.key.as_ref()?;
    let path = format!("/v1/{}", call.path);
    match store.keys.begin(
        &call.account,
        key,
        &path,
        call.params.digest(),
        simulator.clock.now_ms(),
    ) {
        Ok(Begin::Execute) => None,
        Ok(Begin::Replay(answer)) => {
            let content = match answer {
                StoredAnswer::Object(snapshot, _) => Content::Snapshot(snapshot),
                StoredAnswer::Declined(snapshot) => Content::Declined(snapshot),
                StoredAnswer::Text(status, body) => Content::Text(status, Bytes::copy_from_slice(body.as_bytes())),
            };
            Some(Outcome {
                content,
                replayed: true,
                written: store.commit(),
            })
        }
        Err(error) => Some(error_outcome(&error)),
    }
}

/// A 500 in place of the endpoint's own answer.
#[derive(Clone, Copy)]
struct Breakage {
    /// Whether the work is done all the same.
    works: bool,
    /// Whether the 500 is what the key gives from now on.
    stored: bool,
}

/// Runs the endpoint under the lock and logs what it did together with the key's answer.
fn run(store: &mut Store, simulator: &Simulator, call: &Call, breakage: Option<Breakage>) -> Outcome {
    let due_before = store.next_due_ms();
    let mut op = Op {
        store,
        now_ms: simulator.clock.now_ms(),
        account: call.account.clone(),
        request: Some(call.request.clone()),
        idempotency_key: call.key.clone(),
        delays: simulator.delays,
        api_url: simulator.api_url.clone(),
    };
    let mut answered = match breakage {
        Some(Breakage { works: false, .. }) => Err(broken()),
        _ => api::route(call.method.as_str(), &call.path, &mut op, &call.params),
    };
    if breakage.is_some_and(|breakage| breakage.stored) {
        answered = Err(broken().began());
    }
    let expand = Expand::parse(call.params.list("expand"));
    let mut concluded = conclude(op, call, answered, expand);
    if breakage.is_some() {
        concluded.content = error_content(&broken());
    }
    if concluded.due_ms != due_before {
        simulator.due.notify_one();
    }
    Outcome {
        content: concluded.content,
        replayed: false,
        written: concluded.written,
    }
}

struct Concluded {
    content: Content,
    written: Written,
    due_ms: Option<i64>,
}

/// Turns an endpoint's answer into content, stores it under the key, and commits.
fn conclude(op: Op<'_>, call: &Call, answered: Result<Answer, ApiError>, expand: Expand) -> Concluded {
    let now_ms = op.now_ms;
    let resolved = answered.and_then(|answer| {
        Ok(match answer {
            Answer::Object(object) => {
                let snapshot = api::resolve(&op, object, expand)?;
                (
                    Content::Snapshot(snapshot.clone()),
                    Some((
                        StoredAnswer::Object(snapshot, expand.0),
                        Reference::Object(object, expand.0),
                    )),
                )
            }
            Answer::Declined(object) => {
                let snapshot = api::resolve(&op, object, Expand(0))?;
                (
                    Content::Declined(snapshot.clone()),
                    Some((StoredAnswer::Declined(snapshot), Reference::Declined(object))),
                )
            }
            Answer::List { items, has_more, kind } => (Content::List { items, kind, has_more }, None),
            Answer::Json(value) => (Content::Text(200, value.to_string().into()), None),
        })
    });
    let (content, stored) = match resolved {
        Ok(resolved) => resolved,
        Err(error) if error.began => {
            let body: Arc<str> = error.body().into();
            let stored = (
                StoredAnswer::Text(error.status, body.clone()),
                Reference::Text(error.status, body),
            );
            (error_content(&error), Some(stored))
        }
        Err(error) => (error_content(&error), None),
    };
    let store = op.store;
    if let Some(key) = &call.key {
        match stored {
            Some((answer, reference)) => {
                if let Some(finished) = store.keys.finish(&call.account, key, answer, reference, now_ms) {
                    store.put(Record::Key(finished));
                }
            }
            None => store.keys.release(&call.account, key),
        }
    }
    let written = store.commit();
    Concluded {
        content,
        written,
        due_ms: store.next_due_ms(),
    }
}

fn render(
    simulator: &Simulator,
    call: &Call,
    headers: &HeaderMap,
    content: Content,
    replayed: bool,
) -> Response<Full<Bytes>> {
    let site = Site {
        api_url: &simulator.api_url,
    };
    let rendered = match &content {
        Content::Snapshot(snapshot) => view::snapshot(snapshot, site).map(|body| (200, Bytes::from(body))),
        Content::Declined(Snapshot {
            object: Object::Intent(intent),
            ..
        }) => view::payment_error(intent, site).map(|body| (402, body.into())),
        Content::Declined(snapshot) => view::snapshot(snapshot, site).map(|body| (402, body.into())),
        Content::List { items, kind, has_more } => {
            view::list(items, kind, &format!("/v1/{}", call.path), *has_more, site).map(|body| (200, body.into()))
        }
        Content::Text(status, body) => Ok((*status, body.clone())),
    };
    let (status, body) = rendered.unwrap_or_else(|_| (500, broken().body().into()));
    let mut response = respond(status, body, &call.request, headers, call.key.as_ref());
    if replayed {
        response
            .headers_mut()
            .insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn refused(error: &ApiError, request: &str, headers: &HeaderMap, key: Option<&Arc<str>>) -> Response<Full<Bytes>> {
    respond(error.status, error.body().into(), request, headers, key)
}

fn respond(
    status: u16,
    body: Bytes,
    request: &str,
    headers: &HeaderMap,
    key: Option<&Arc<str>>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let out = response.headers_mut();
    out.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(request) = HeaderValue::from_str(request) {
        out.insert(REQUEST_ID, request);
    }
    if let Some(key) = key.and_then(|key| HeaderValue::from_str(key).ok()) {
        out.insert(IDEMPOTENCY_KEY, key);
    }
    let version = headers.get(STRIPE_VERSION).cloned();
    out.insert(
        STRIPE_VERSION,
        version.unwrap_or(HeaderValue::from_static(view::API_VERSION)),
    );
    if status == 409 {
        out.insert(SHOULD_RETRY, HeaderValue::from_static("true"));
    }
    response
}

/// Accepts `Bearer` and `Basic` with the configured key, or with any secret-looking one when none is configured.
fn authenticate(simulator: &Simulator, headers: &HeaderMap) -> Result<(), ApiError> {
    let header = headers
        .get(http::header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let basic = || {
        let decoded = base64::engine::general_purpose::STANDARD
            .decode(header.strip_prefix("Basic ")?)
            .ok()?;
        String::from_utf8(decoded).ok()?.split(':').next().map(str::to_owned)
    };
    let key = header
        .strip_prefix("Bearer ")
        .map(str::to_owned)
        .or_else(basic)
        .unwrap_or_default();
    let accepted = match &simulator.secret_key {
        Some(secret) => key == *secret,
        None => ["sk_", "rk_"]
            .iter()
            .any(|prefix| key.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty())),
    };
    if accepted {
        return Ok(());
    }
    let message = if key.is_empty() {
        "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth."
    } else {
        "Invalid API Key provided."
    };
    Err(ApiError::new(401, "invalid_request_error", None, message))
}

fn idempotency_key(method: &Method, headers: &HeaderMap) -> Option<Arc<str>> {
    let key = headers.get(IDEMPOTENCY_KEY).filter(|_| method == Method::POST)?;
    key.to_str().ok().filter(|key| !key.is_empty()).map(Arc::from)
}

fn request_id() -> Arc<str> {
    format!("req_{:014x}", rand::random::<u64>() >> 8).into()
}

fn error_content(error: &ApiError) -> Content {
    Content::Text(error.status, error.body().into())
}

fn error_outcome(error: &ApiError) -> Outcome {
    Outcome {
        content: error_content(error),
        replayed: false,
        written: Written::Already,
    }
}

fn broken() -> ApiError {
    ApiError::new(
        500,
        "api_error",
        None,
        "An error occurred internally with the acquirer.",
    )
}

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("stripe-should-retry");
const BODY_MAX_BYTES: usize = 6 << 20;
const DRAIN: Duration = Duration::from_secs(5);
