//! A call: who asks, for which merchant, under which idempotency key; and the answer it gets.
//!
//! Every flow takes one. The sweep and the callbacks of acquirers are calls too, without a key. It must never outlive
//! its request.

use crate::app::{App, Merchant};
use crate::audit_log::Trail;
use crate::commit::{Digest, Request};
use crate::event::Event;
use crate::{api::error::ApiError, id};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing::Instrument;

/// One request, or one piece of background work.
pub struct Call {
    /// everything shared
    pub app: Arc<App>,
    /// the merchant it acts for
    pub merchant: Arc<Merchant>,
    /// `req_..`, also in logs and on events
    pub request_id: String,
    /// when it began; one moment for all rows it writes at first
    pub at: Timestamp,
    /// the caller's key, if it sent one
    pub key: Option<IdempotencyKey>,
    /// fields to expand in the answer
    pub expand: Vec<String>,
    /// the object that the answer shows, where it is not the payment that a flow works on: a review
    pub subject: Option<String>,
    /// what it leaves in the audit log
    pub(crate) trail: Trail,
    claimed: AtomicBool,
}

/// A caller's idempotency key with what it is bound to.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    /// as sent
    pub text: String,
    /// digest of the key: what the database keeps
    pub key: Digest,
    /// digest of method, path and parameters
    pub digest: Digest,
    /// method and path
    pub path: String,
}

/// An answer, byte for byte as it is sent and stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status
    pub status: u16,
    /// JSON body
    pub body: String,
    /// it is the stored answer of an earlier request
    pub replayed: bool,
}

impl Answer {
    /// A 200 with this object.
    pub fn ok(object: &Value) -> Self {
        Self {
            status: 200,
            body: object.to_string(),
            replayed: false,
        }
    }

    /// A refusal that counts as an answer (a decline): it is stored and replayed.
    pub fn refusal(error: &ApiError) -> Self {
        Self {
            status: error.status,
            body: error.body(),
            replayed: false,
        }
    }
}

impl Call {
    /// A call under way.
    pub fn new(
        app: Arc<App>,
        merchant: Arc<Merchant>,
        request_id: String,
        key: Option<IdempotencyKey>,
        expand: Vec<String>,
    ) -> Self {
        let at = app.clock.now();
        Self {
            app,
            merchant,
            request_id,
            at,
            key,
            expand,
            subject: None,
            trail: Trail::default(),
            claimed: AtomicBool::new(false),
        }
    }

    /// Background work for a merchant.
    pub fn background(app: Arc<App>, merchant: Arc<Merchant>) -> Self {
        Self::new(app, merchant, id::new(id::prefix::REQUEST), None, Vec::new())
    }

    /// The same with what it leaves in the audit log.
    pub(crate) fn leaving(mut self, trail: Trail) -> Self {
        self.trail = trail;
        self
    }

    /// The merchant's book.
    pub fn book_id(&self) -> i64 {
        self.merchant.book_id
    }

    /// The idempotency row, with the answer when there is one.
    pub fn request(&self, object_id: Option<&str>, answer: Option<&Answer>) -> Option<Request> {
        self.key.as_ref().map(|key| Request {
            book_id: self.book_id(),
            key: key.key,
            digest: key.digest,
            path: key.path.clone(),
            object_id: object_id.map(str::to_owned),
            status: answer.map(|a| a.status),
            body: answer.map(|a| a.body.clone()),
            created_at: self.at,
            expand: (!self.expand.is_empty()).then(|| self.expand.clone()),
        })
    }

    /// This request holds its key: from here on its own errors are its own.
    pub fn mark_claimed(&self) {
        self.claimed.store(true, Ordering::Relaxed);
    }

    /// Whether it holds its key.
    pub fn claimed(&self) -> bool {
        self.claimed.load(Ordering::Relaxed)
    }

    /// An event about an object as it now is.
    pub fn event(&self, r#type: &str, object: &Value) -> Event {
        Event {
            book_id: self.book_id(),
            id: id::new(id::prefix::EVENT),
            r#type: r#type.to_owned(),
            object_id: object.get("id").and_then(Value::as_str).unwrap_or_default().to_owned(),
            object: object.to_string(),
            previous: None,
            request_id: self.key.is_some().then(|| self.request_id.clone()),
            idempotency_key: self.key.as_ref().map(|k| k.text.clone()),
            created_at: self.app.clock.now(),
        }
    }
}

tokio::task_local! {
    /// Microseconds that the running request has spent waiting for an acquirer.
    static AT_ACQUIRER: std::cell::Cell<u64>;
}

/// Runs a call to an acquirer and counts its time as the acquirer's, not ours.
pub async fn at_acquirer<T>(call: impl Future<Output = T>) -> T {
    let begun = std::time::Instant::now();
    let answer = call
        .instrument(tracing::debug_span!("acquirer", otel.kind = "client"))
        .await;
    let spent = begun.elapsed().as_micros() as u64;
    let _ = AT_ACQUIRER.try_with(|total| total.set(total.get() + spent));
    answer
}

/// Runs a request and writes our own time, less the acquirer's, into `Counterfoil-Latency` (milliseconds).
/// Returns the whole time too, and our own.
pub(crate) async fn timed(request: impl Future<Output = Response>) -> (Response, Duration, Duration) {
    let begun = std::time::Instant::now();
    AT_ACQUIRER
        .scope(std::cell::Cell::new(0), async {
            let mut response = request.await;
            let took = begun.elapsed();
            let own = (took.as_micros() as u64).saturating_sub(AT_ACQUIRER.with(std::cell::Cell::get));
            let text = format!("{}.{:03}", own / 1000, own % 1000);
            if let Ok(value) = http::HeaderValue::try_from(text) {
                response.headers_mut().insert("counterfoil-latency", value);
            }
            (response, took, Duration::from_micros(own))
        })
        .await
}
