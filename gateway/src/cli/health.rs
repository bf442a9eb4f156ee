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

use crate::service::Ready;

/// `/healthz` says that the process runs: restart it if not. `/readyz` says that it can take payments: send none if not.
pub(super) fn routes(ready: Ready, draining: Arc<AtomicBool>, metrics: Registry) -> Router {
    let readiness = move || {
        let (ready, draining) = (ready.clone(), draining.clone());
        async move {
            if draining.load(Ordering::Relaxed) {
                return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
            }
            match timeout(PATIENCE, ready()).await {
                Ok(true) => (StatusCode::OK, "ready\n"),
                _ => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            }
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
