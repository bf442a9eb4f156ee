//! Callbacks of acquirers: proven, stored, answered, and only then processed (law 5).
//!
//! [`receive`] is the whole of what an acquirer waits for: one insert. The [`Processor`] takes due rows, also after a
//! crash and also beside other processes, and hands what they report to the flow concerned; every flow bears repeats. A
//! callback that cannot be processed is tried again, ever later, and then kept with its error for a person.
//!
//! It must never act on a body that its connector has not proven, and never log one.

mod process;
mod store;

pub use process::Processor;

use crate::api::error::ApiError;
use crate::app::App;
use crate::call::Answer;
use crate::connector::CallbackRefused;
use crate::security;
use axum::extract::{Path, State};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::json;
use std::sync::Arc;

/// `POST /hooks/{connector}`: no API key; the connector proves the sender. The body is bounded by the edge.
pub(crate) async fn receive(
    State(app): State<Arc<App>>,
    Path(connector): Path<String>,
    headers: HeaderMap,
    extensions: http::Extensions,
    body: Bytes,
) -> Result<Answer, ApiError> {
    let Some(known) = app.connectors.get(&connector) else {
        return Err(ApiError::not_found("connector", &connector, "connector"));
    };
    let now = app.clock.now();
    let callback = known.parse_callback(&headers, &body, now).map_err(|refused| {
        tracing::warn!(connector, %refused, "callback refused");
        let code = match refused {
            CallbackRefused::Signature(_) => {
                crate::auth::record(&app, &extensions, security::Kind::ForgedCallback, None);
                "signature_invalid"
            }
            CallbackRefused::Malformed(_) => "invalid_request_body",
        };
        ApiError::invalid(code, "", "This is not a callback of that acquirer.")
    })?;
    let payload = std::str::from_utf8(&body)
        .ok()
        .filter(|text| !text.contains('\0'))
        .ok_or_else(|| ApiError::invalid("invalid_request_body", "", "The body is not text."))?;
    let new = {
        let client = app.reads.get().await?;
        store::insert(&**client, known.name(), &callback, payload, now).await?
    };
    tracing::info!(connector, id = callback.id, r#type = callback.r#type, new, "callback");
    app.callbacks.notify_one();
    Ok(Answer::ok(&json!({"received": true})))
}
