//! What machines ask the operations listener: alive, ready, and the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus::{Registry, TextEncoder};
use tokio::time::timeout;

use crate::service::{Acquirers, Ready};

/// `/healthz` says that the process runs: restart it if not. `/readyz` says that it can take payments: send none if not.
/// What it says of acquirers changes nothing about that: a payment may have another way, and none is lost.
pub(super) fn routes(ready: Ready, acquirers: Acquirers, draining: Arc<AtomicBool>, metrics: Registry) -> Router {
    let readiness = move || {
        let (ready, acquirers, draining) = (ready.clone(), acquirers.clone(), draining.clone());
        async move {
            let (status, word) = if draining.load(Ordering::Relaxed) {
                (StatusCode::SERVICE_UNAVAILABLE, "draining")
            } else if timeout(PATIENCE, ready()).await == Ok(true) {
                (StatusCode::OK, "ready")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "not ready")
            };
            let mut said = format!("{word}\n");
            for acquirer in acquirers() {
                let (name, breaker, failures) = (&acquirer.connector, acquirer.breaker, acquirer.failures_in_a_row);
                said.push_str(&format!("{name}: breaker {breaker}, {failures} failures in a row\n"));
            }
            (status, said)
        }
    };
    let exposition = move || async move {
        match TextEncoder::new().encode_to_string(&metrics.gather()) {
            Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(exposition))
}

const PATIENCE: Duration = Duration::from_secs(2); // less than the usual probe's own
