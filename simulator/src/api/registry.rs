//! `/v1/payment_methods` and `/v1/webhook_endpoints`.

use super::{Answer, merge_metadata};
use crate::card::{Card, Method};
use crate::error::ApiError;
use crate::flow::Op;
use crate::object::*;
use crate::params::Params;
use crate::store::Record;
use serde_json::json;
use std::sync::Arc;

pub(super) fn create_method(op: &mut Op<'_>, params: &Params) -> Result<Answer, ApiError> {
    params.only(&["allow_redisplay", "billing_details", "card", "metadata", "type"])?;
    if params.required("type")? != "card" {
        return Err(ApiError::invalid("type", "This acquirer takes cards only."));
    }
    let mut metadata = Metadata::default();
    merge_metadata(&mut metadata, params)?;
    let card = match params.text("card[token]") {
        Some(token) => Card::by_token(&token.replacen("tok_", "pm_card_", 1))
            .ok_or_else(|| ApiError::not_found("token", token).param("card[token]"))?,
        None => Card::by_params(params, "card", op.now_ms)?,
    };
    let method = Method {
        id: op.store.next_id(|store| &store.methods),
        created: op.now(),
        card,
    };
    let object = ObjectRef::Method(method.id);
    let row = StoredMethod {
        account: op.account.clone(),
        method: Arc::new(method),
        metadata,
    };
    op.store.put(Record::Method(Arc::new(row)));
    Ok(Answer::Object(object))
}

pub(super) fn method(op: &Op<'_>, id: &str) -> Result<Answer, ApiError> {
    let row = op
        .store
        .methods
        .find(id, &op.account)
        .ok_or_else(|| ApiError::not_found("PaymentMethod", id))?;
    Ok(Answer::Object(ObjectRef::Method(row.method.id)))
}

pub(super) fn create_endpoint(op: &mut Op<'_>, params: &Params) -> Result<Answer, ApiError> {
    params.only(&[
        "api_version",
        "connect",
        "description",
        "enabled_events",
        "metadata",
        "url",
    ])?;
    let url = params.required("url")?;
    let mut kinds: Vec<Box<str>> = params.list("enabled_events").map(Into::into).collect();
    if kinds.is_empty() {
        kinds.push("*".into());
    }
    let mut metadata = Metadata::default();
    merge_metadata(&mut metadata, params)?;
    let secret = format!("whsec_{}", hex::encode(rand::random::<[u8; 24]>()));
    let object = register_endpoint(op, url, &secret, kinds, params.boxed("description"), metadata)?;
    Ok(Answer::Object(object))
}

/// Adds a webhook target with a secret of the caller's choice.
pub fn register_endpoint(
    op: &mut Op<'_>,
    url: &str,
    secret: &str,
    enabled_events: Vec<Box<str>>,
    description: Option<Box<str>>,
    metadata: Metadata,
) -> Result<ObjectRef, ApiError> {
    let parsed = url.parse::<http::Uri>().ok();
    if !parsed.is_some_and(|uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https"))) {
        return Err(ApiError::invalid(
            "url",
            "Invalid URL: An explicit scheme (such as https) must be provided.",
        )
        .code("url_invalid"));
    }
    let row = Endpoint {
        id: op.store.next_id(|store| &store.endpoints),
        account: op.account.clone(),
        created: op.now(),
        url: url.into(),
        secret: secret.into(),
        enabled_events,
        description,
        metadata,
        deleted: false,
    };
    let object = ObjectRef::Endpoint(row.id);
    op.store.put(Record::Endpoint(Arc::new(row)));
    Ok(object)
}

pub(super) fn delete_endpoint(op: &mut Op<'_>, id: &str) -> Result<Answer, ApiError> {
    let row = op.store.endpoints.find(id, &op.account).filter(|row| !row.deleted);
    let row = row.ok_or_else(|| ApiError::not_found("webhook endpoint", id))?;
    let deleted = Endpoint {
        deleted: true,
        ..(**row).clone()
    };
    op.store.put(Record::Endpoint(Arc::new(deleted)));
    Ok(Answer::Json(
        json!({ "id": id, "object": Endpoint::OBJECT, "deleted": true }),
    ))
}
