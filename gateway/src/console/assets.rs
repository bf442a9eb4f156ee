//! The stylesheet, the script and the icon: compiled in, served from here, the same for everybody.

use super::Console;
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderValue, header};
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(
            "/assets/console.css",
            get(async || file("text/css; charset=utf-8", STYLE)),
        )
        .route(
            "/assets/console.js",
            get(async || file("text/javascript; charset=utf-8", SCRIPT)),
        )
        .route("/assets/icon.svg", get(async || file("image/svg+xml", ICON)))
        .route("/favicon.ico", get(async || http::StatusCode::NO_CONTENT))
}

fn file(kind: &'static str, content: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        // asked again after an update, and not at every page
        (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=300")),
    ];
    (headers, content).into_response()
}

const STYLE: &str = include_str!("assets/console.css");
const SCRIPT: &str = include_str!("assets/console.js");
const ICON: &str = include_str!("assets/icon.svg");
