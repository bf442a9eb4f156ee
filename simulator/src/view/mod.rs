//! The wire's objects, rendered from rows: every documented field, null when empty, because SDKs fail on a missing one.
//!
//! Rendering happens outside the lock, from snapshots. Must never read the clock or the state: the same snapshot always gives the
//! same bytes, which is what makes a replayed answer equal to the first.

/// A nested part of an object, written as it looks on the wire.
macro_rules! part {
    ($name:ident$(<$life:lifetime>)? { $($(#[$meta:meta])* $field:ident: $type:ty),* $(,)? }) => {
        #[derive(Serialize)]
        struct $name$(<$life>)? { $($(#[$meta])* $field: $type),* }
    };
}

mod card;
mod dispute;
mod money;
mod payment;

use crate::id::Named;
use crate::object::*;
use crate::store::{Event, Expanded, Object, Snapshot};
use serde::Serialize;
use serde_json::json;

pub use dispute::EVIDENCE_FIELDS;
pub use payment::payment_error;

/// What every view needs beside its row.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// Where the API listens, for the challenge page's address.
    pub api_url: &'a str,
}

/// Serialises a snapshot.
pub fn snapshot(snapshot: &Snapshot, site: Site<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let mut body = Vec::with_capacity(4096);
    write(&mut body, &snapshot.object, snapshot.expanded.as_deref(), site)?;
    Ok(body)
}

/// Serialises a list.
pub fn list(
    items: &[Snapshot],
    kind: &str,
    url: &str,
    has_more: bool,
    site: Site<'_>,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut body = Vec::with_capacity(256 + 3072 * items.len());
    body.extend_from_slice(format!(r#"{{"object":"{kind}","url":{},"has_more":{has_more}"#, json!(url)).as_bytes());
    if kind == "search_result" {
        body.extend_from_slice(br#","next_page":null"#);
    }
    body.extend_from_slice(br#","data":["#);
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            body.push(b',');
        }
        write(&mut body, &item.object, item.expanded.as_deref(), site)?;
    }
    body.extend_from_slice(b"]}");
    Ok(body)
}

/// Serialises an event; the same bytes each time.
pub fn event(event: &Event, site: Site<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let mut object = Vec::with_capacity(4096);
    write(&mut object, &event.object, None, site)?;
    let object = serde_json::value::RawValue::from_string(String::from_utf8(object).unwrap_or_default())?;
    let row = &event.row;
    let updated = row.kind.ends_with("updated");
    serde_json::to_vec(&EventView {
        id: row.id.named(EventRow::PREFIX),
        object: "event",
        account: row.account.as_deref(),
        api_version: API_VERSION,
        created: row.created,
        data: EventData {
            object: &object,
            previous_attributes: updated.then(|| json!({})),
        },
        livemode: false,
        pending_webhooks: 1,
        request: EventRequest {
            id: row.request.as_deref(),
            idempotency_key: row.idempotency_key.as_deref(),
        },
        kind: &row.kind,
    })
}

fn write(
    body: &mut Vec<u8>,
    object: &Object,
    expanded: Option<&Expanded>,
    site: Site<'_>,
) -> Result<(), serde_json::Error> {
    match object {
        Object::Intent(row) => serde_json::to_writer(body, &payment::intent(row, expanded, site)),
        Object::Charge(row) => serde_json::to_writer(body, &payment::charge(row, expanded, site)),
        Object::Refund(row) => serde_json::to_writer(body, &money::refund(row, expanded, site)),
        Object::BalanceTransaction(row) => serde_json::to_writer(body, &money::balance_transaction(row)),
        Object::Method(row) => serde_json::to_writer(body, &card::method(&row.method, &row.metadata)),
        Object::Dispute(row) => serde_json::to_writer(body, &dispute::dispute(row, expanded, site)),
        Object::FraudWarning(row) => serde_json::to_writer(
            body,
            &json!({
                "id": row.id.named(FraudWarning::PREFIX), "object": FraudWarning::OBJECT, "actionable": true,
                "charge": row.charge.named(Charge::PREFIX), "created": row.created, "fraud_type": "unauthorized_use_of_card",
                "livemode": false, "payment_intent": row.intent.named(Intent::PREFIX),
            }),
        ),
        Object::Endpoint(row) => serde_json::to_writer(
            body,
            &json!({
                "id": row.id.named(Endpoint::PREFIX), "object": Endpoint::OBJECT, "api_version": null, "application": null,
                "created": row.created, "description": row.description, "enabled_events": row.enabled_events,
                "livemode": false, "metadata": row.metadata, "secret": row.secret, "status": "enabled", "url": row.url,
            }),
        ),
    }
}

/// An id, or the object in its place.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Expandable<T> {
    Id(Named),
    Object(Box<T>),
}

/// The name of any object.
pub(crate) fn name(reference: ObjectRef) -> Named {
    match reference {
        ObjectRef::Intent(id) => id.named(Intent::PREFIX),
        ObjectRef::Charge(id) => id.named(Charge::PREFIX),
        ObjectRef::Refund(id) => id.named(Refund::PREFIX),
        ObjectRef::Dispute(id) => id.named(Dispute::PREFIX),
        ObjectRef::FraudWarning(id) => id.named(FraudWarning::PREFIX),
        ObjectRef::BalanceTransaction(id) => id.named(BalanceTransaction::PREFIX),
        ObjectRef::Method(id) => id.named(StoredMethod::PREFIX),
        ObjectRef::Endpoint(id) => id.named(Endpoint::PREFIX),
    }
}

/// A field that is always null here.
pub(crate) type Null = Option<()>;

/// `{}`
#[derive(Serialize)]
pub(crate) struct Empty {}

#[derive(Serialize)]
struct EventView<'a> {
    id: Named,
    object: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    api_version: &'static str,
    created: i64,
    data: EventData<'a>,
    livemode: bool,
    pending_webhooks: u8,
    request: EventRequest<'a>,
    #[serde(rename = "type")]
    kind: &'a str,
}

#[derive(Serialize)]
struct EventData<'a> {
    object: &'a serde_json::value::RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_attributes: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct EventRequest<'a> {
    id: Option<&'a str>,
    idempotency_key: Option<&'a str>,
}

/// The version whose shapes these are.
pub const API_VERSION: &str = "2026-07-29.dahlia";
