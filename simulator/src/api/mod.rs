//! The endpoints: one route table, one file per group of resources.
//!
//! An endpoint runs under the lock, reads typed parameters, refuses or changes the state, and names its answer; rendering comes
//! later. Parameter refusals are not stored under the idempotency key; everything after is.

mod dispute;
mod intent;
mod list;
mod refund;
mod registry;

use crate::error::ApiError;
use crate::flow::Op;
use crate::object::*;
use crate::params::Params;
use crate::store::{Expand, Snapshot};
use serde_json::Value;

pub use registry::register_endpoint;

/// What an endpoint answers.
pub enum Answer {
    /// 200 with one object as it now is.
    Object(ObjectRef),
    /// 402: the intent carries why.
    Declined(ObjectRef),
    /// 200 with a page of a list, or a search result.
    List {
        /// Objects in order.
        items: Vec<Snapshot>,
        /// Whether more would follow.
        has_more: bool,
        /// `list` or `search_result`.
        kind: &'static str,
    },
    /// 200 with JSON made on the spot.
    Json(Value),
}

/// Runs the endpoint at `path` (below `/v1/`).
pub fn route(method: &str, path: &str, op: &mut Op<'_>, params: &Params) -> Result<Answer, ApiError> {
    let mut parts = [""; 4];
    let mut count = 0;
    for part in path.split('/') {
        let Some(slot) = parts.get_mut(count) else {
            return Err(unknown_url(method, path));
        };
        *slot = part;
        count += 1;
    }
    match (method, &parts[..count]) {
        ("POST", ["payment_intents"]) => intent::create(op, params),
        ("GET", ["payment_intents"]) => list::intents(op, params),
        ("GET", ["payment_intents", "search"]) => list::search_intents(op, params),
        ("GET", ["payment_intents", id]) => Ok(Answer::Object(ObjectRef::Intent(intent::find(op, id)?.id))),
        ("POST", ["payment_intents", id]) => intent::update(op, id, params),
        ("POST", ["payment_intents", id, "confirm"]) => intent::confirm(op, id, params),
        ("POST", ["payment_intents", id, "capture"]) => intent::capture(op, id, params),
        ("POST", ["payment_intents", id, "cancel"]) => intent::cancel(op, id, params),
        ("POST", ["payment_intents", id, "increment_authorization"]) => intent::increment(op, id, params),
        ("GET", ["charges"]) => list::charges(op, params),
        ("GET", ["charges", id]) => list::charge(op, id),
        ("POST", ["refunds"]) => refund::create(op, params),
        ("GET", ["refunds"]) => list::refunds(op, params),
        ("GET", ["refunds", id]) => Ok(Answer::Object(ObjectRef::Refund(refund::find(op, id)?.id))),
        ("POST", ["refunds", id]) => refund::update(op, id, params),
        ("POST", ["refunds", id, "cancel"]) => refund::cancel(op, id),
        ("POST", ["files"]) => Ok(Answer::Json(serde_json::json!({
            "id": format!("file_{}", params.raw("digest").unwrap_or_default()), "object": "file", "purpose": "dispute_evidence",
        }))),
        ("GET", ["disputes"]) => list::disputes(op, params),
        ("GET", ["disputes", id]) => Ok(Answer::Object(ObjectRef::Dispute(dispute::find(op, id)?.id))),
        ("POST", ["disputes", id]) => dispute::update(op, id, params),
        ("POST", ["disputes", id, "close"]) => dispute::close(op, id),
        ("GET", ["radar", "early_fraud_warnings"]) => list::fraud_warnings(op, params),
        ("GET", ["radar", "early_fraud_warnings", id]) => list::fraud_warning(op, id),
        ("GET", ["balance_transactions"]) => list::balance_transactions(op, params),
        ("GET", ["balance_transactions", id]) => list::balance_transaction(op, id),
        ("GET", ["balance"]) => Ok(list::balance(op)),
        ("GET", ["events"]) => list::events(op, params),
        ("GET", ["events", id]) => list::event(op, id),
        ("POST", ["payment_methods"]) => registry::create_method(op, params),
        ("GET", ["payment_methods", id]) => registry::method(op, id),
        ("POST", ["webhook_endpoints"]) => registry::create_endpoint(op, params),
        ("GET", ["webhook_endpoints"]) => list::endpoints(op, params),
        ("DELETE", ["webhook_endpoints", id]) => registry::delete_endpoint(op, id),
        _ => Err(unknown_url(method, path)),
    }
}

/// The snapshot of an answer that names one object.
pub fn resolve(op: &Op<'_>, object: ObjectRef, expand: Expand) -> Result<Snapshot, ApiError> {
    op.store
        .snapshot(object, expand)
        .ok_or_else(|| ApiError::new(500, "api_error", None, "The object is gone."))
}

/// Applies `metadata[k]=v` pairs; an empty `metadata` clears all.
fn merge_metadata(metadata: &mut Metadata, params: &Params) -> Result<(), ApiError> {
    if params.raw("metadata") == Some("") {
        *metadata = Metadata::default();
    }
    for (count, (key, value)) in params.map("metadata").enumerate() {
        if count >= 50 || key.len() > 40 || value.len() > 500 {
            return Err(ApiError::invalid(
                "metadata",
                "Metadata has at most 50 keys of 40 characters and values of 500.",
            ));
        }
        metadata.set(key, value);
    }
    Ok(())
}

fn unknown_url(method: &str, path: &str) -> ApiError {
    ApiError::new(
        404,
        "invalid_request_error",
        None,
        format!("Unrecognized request URL ({method}: /v1/{path})."),
    )
}
