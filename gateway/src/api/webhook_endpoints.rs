//! `/v1/webhook_endpoints`: where a merchant wants to be told what.
//!
//! The secret is shown once, in the answer that makes it, and kept sealed: the answer stored for replays is without it,
//! so whoever lost it makes a new endpoint. A URL must never lead into our own network: it is checked here and again at
//! every delivery.

use super::error::{ApiError, shown};
use super::input::{AdminRead, AdminWrite, In, Reply};
use super::list;
use super::params::Params;
use crate::call::{Answer, Call};
use crate::commit::{Refused, Unit};
use crate::payment::flow::{claim, merge_metadata};
use crate::payment::store::{self, Filter};
use crate::security;
use crate::webhook::again::{self, Query, State};
use crate::webhook::endpoint::{EndpointStatus, Sealed, WebhookEndpoint, WebhookEndpointDetails, WebhookSecret};
use crate::webhook::target::{Policy, Target};
use crate::webhook::{new_secret, seal_rolled, seal_secrets};
use crate::{id, wire};
use axum::extract::Path;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::Type;

/// Every event is copied to each: more than a handful is a mistake, as at Stripe.
const MAX_ENDPOINTS: i64 = 16;
const RETRIES: usize = 20;
/// How long an old secret signs on: a day, a week at most.
const OVERLAP_S: i64 = 86_400;
const OVERLAP_MAX_S: i64 = 7 * 86_400;

pub(super) async fn create(mut input: In<AdminWrite>) -> Reply {
    let mut params = input.take();
    let url = params.required_text("url")?;
    check_url(&input, &url)?;
    let enabled_events = enabled_events(&mut params)?.ok_or_else(|| ApiError::missing("enabled_events"))?;
    let description = params.text("description")?;
    let api_version = params.text("api_version")?;
    let mut metadata = BTreeMap::new();
    if let Some(change) = params.metadata("metadata")? {
        merge_metadata(&mut metadata, change);
    }
    if params.boolean("connect")? == Some(true) {
        return Err(ApiError::invalid(
            "parameter_invalid_value",
            "connect",
            "An endpoint hears of its own account alone.",
        ));
    }
    params.finish()?;
    input
        .run(|call| async move {
            room_for_one_more(call).await?;
            let id = id::new(id::prefix::WEBHOOK_ENDPOINT);
            let secret = new_secret().map_err(ApiError::internal)?;
            let sealed = seal_secrets(&call.app.vault, &id, &[secret.as_str()]).map_err(ApiError::internal)?;
            let endpoint = WebhookEndpoint {
                book_id: call.book_id(),
                id,
                version: 1,
                url,
                secret: Sealed(sealed),
                enabled_events,
                status: EndpointStatus::Enabled,
                deleted: false,
                created_at: call.at,
                details: WebhookEndpointDetails {
                    description,
                    api_version,
                    metadata,
                },
            };
            let mut object = wire::webhook_endpoint(&endpoint);
            let stored = Answer::ok(&object);
            let unit = Unit::new(call.book_id()).insert(&endpoint);
            call.app.commit(claim(call, unit, &endpoint.id, Some(&stored))).await?;
            object["secret"] = secret.as_str().into();
            Ok(Answer::ok(&object))
        })
        .await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<AdminRead>) -> Reply {
    input.take().finish()?;
    let endpoint = load(&input.call, &id).await?;
    Ok(Answer::ok(&wire::webhook_endpoint(&endpoint)))
}

pub(super) async fn update(Path(id): Path<String>, mut input: In<AdminWrite>) -> Reply {
    let mut params = input.take();
    let url = params.text("url")?;
    if let Some(url) = &url {
        check_url(&input, url)?;
    }
    let enabled_events = enabled_events(&mut params)?;
    let disabled = params.boolean("disabled")?;
    let description = params.text_change("description")?;
    let metadata = params.metadata("metadata")?;
    params.finish()?;
    let change = |endpoint: &mut WebhookEndpoint| {
        if let Some(url) = &url {
            endpoint.url.clone_from(url);
        }
        if let Some(events) = &enabled_events {
            endpoint.enabled_events.clone_from(events);
        }
        if let Some(disabled) = disabled {
            endpoint.status = if disabled {
                EndpointStatus::Disabled
            } else {
                EndpointStatus::Enabled
            };
        }
        if let Some(description) = &description {
            endpoint.details.description.clone_from(description);
        }
        if let Some(change) = &metadata {
            merge_metadata(&mut endpoint.details.metadata, change.clone());
        }
    };
    input.run(|call| modify(call, &id, change)).await
}

pub(super) async fn delete(Path(id): Path<String>, mut input: In<AdminWrite>) -> Reply {
    input.take().finish()?;
    let change = |endpoint: &mut WebhookEndpoint| {
        endpoint.deleted = true;
        endpoint.status = EndpointStatus::Disabled;
    };
    input.run(|call| modify(call, &id, change)).await
}

/// Makes a new secret; the one before it signs beside it for a while, so that receivers can change over.
pub(super) async fn roll_secret(Path(id): Path<String>, mut input: In<AdminWrite>) -> Reply {
    let mut params = input.take();
    let overlap = params.integer("expires_in")?.unwrap_or(OVERLAP_S);
    if !(0..=OVERLAP_MAX_S).contains(&overlap) {
        return Err(ApiError::invalid(
            "parameter_invalid_integer",
            "expires_in",
            format!("The old secret can sign for 0 to {OVERLAP_MAX_S} more seconds (a week)."),
        ));
    }
    params.finish()?;
    input
        .run(|call| async move {
            let endpoint = load(call, &id).await?;
            let secret = new_secret().map_err(ApiError::internal)?;
            let row_id = id::new(id::prefix::WEBHOOK_SECRET);
            let sealed = seal_rolled(&call.app.vault, &row_id, &secret).map_err(ApiError::internal)?;
            let rolled = WebhookSecret {
                book_id: call.book_id(),
                id: row_id,
                endpoint_id: endpoint.id.clone(),
                secret: Sealed(sealed),
                previous_until: call.at + jiff::SignedDuration::from_secs(overlap),
                created_at: call.at,
            };
            let mut object = wire::webhook_endpoint(&endpoint);
            let stored = Answer::ok(&object);
            let unit = Unit::new(call.book_id()).insert(&rolled);
            call.app.commit(claim(call, unit, &endpoint.id, Some(&stored))).await?;
            object["secret"] = secret.as_str().into();
            Ok(Answer::ok(&object))
        })
        .await
}

/// What was told there, with every attempt.
pub(super) async fn deliveries(Path(id): Path<String>, mut input: In<AdminRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let words = State::ALL.map(State::as_str);
    let status = params.choice("status", &words)?;
    params.finish()?;
    let endpoint = load(&input.call, &id).await?;
    let cursor = |param: &str, id: &Option<String>| -> Result<Option<String>, ApiError> {
        let Some(id) = id else { return Ok(None) };
        match id::to_uuid(id::prefix::DELIVERY, id) {
            Some(event) => Ok(Some(id::from_uuid(id::prefix::EVENT, event))),
            None => Err(ApiError::not_found("delivery", id, param)),
        }
    };
    let query = Query {
        book_id: input.call.book_id(),
        endpoint_id: &endpoint.id,
        state: State::ALL
            .into_iter()
            .find(|state| Some(state.as_str()) == status.as_deref()),
        after: cursor("starting_after", &page.starting_after)?,
        before: cursor("ending_before", &page.ending_before)?,
        limit: page.limit + 1,
    };
    let client = input.call.app.reads.get().await?;
    let mut found = again::deliveries(&**client, &query).await?;
    let has_more = found.len() as i64 > page.limit;
    if has_more {
        // The one too many is the farthest from the cursor.
        found.remove(if query.before.is_some() { 0 } else { found.len() - 1 });
    }
    let data: Vec<Value> = found.iter().map(wire::webhook_delivery).collect();
    let url = format!("/v1/webhook_endpoints/{}/deliveries", endpoint.id);
    Ok(Answer::ok(
        &json!({ "object": "list", "data": data, "has_more": has_more, "url": url }),
    ))
}

pub(super) async fn index(mut input: In<AdminRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    params.finish()?;
    let filters = [Filter {
        condition: "deleted = ",
        value: Box::new(false),
        r#type: Type::BOOL,
    }];
    list::answer(
        &input.call,
        "/v1/webhook_endpoints",
        &page,
        &filters,
        wire::webhook_endpoint,
    )
    .await
}

async fn load(call: &Call, endpoint_id: &str) -> Result<WebhookEndpoint, ApiError> {
    let found: Option<WebhookEndpoint> = if id::is_valid(id::prefix::WEBHOOK_ENDPOINT, endpoint_id) {
        let client = call.app.reads.get().await?;
        store::get(&**client, call.book_id(), endpoint_id).await?
    } else {
        None
    };
    found
        .filter(|endpoint| !endpoint.deleted)
        .ok_or_else(|| ApiError::not_found("webhook endpoint", endpoint_id, "webhook_endpoint"))
}

async fn modify(call: &Call, endpoint_id: &str, change: impl Fn(&mut WebhookEndpoint)) -> Reply {
    for _ in 0..RETRIES {
        let mut endpoint = load(call, endpoint_id).await?;
        change(&mut endpoint);
        let unit = Unit::new(call.book_id()).update(&mut endpoint);
        let answer = Answer::ok(&wire::webhook_endpoint(&endpoint));
        match call.app.commit(claim(call, unit, endpoint_id, Some(&answer))).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

async fn room_for_one_more(call: &Call) -> Result<(), ApiError> {
    let client = call.app.reads.get().await?;
    let rows = client
        .query_typed(
            "SELECT count(*) FROM gateway.webhook_endpoint WHERE book_id = $1 AND NOT deleted",
            &[(&call.book_id(), Type::INT8)],
        )
        .await?;
    let count: i64 = match rows.first() {
        Some(row) => row.try_get(0)?,
        None => 0,
    };
    if count < MAX_ENDPOINTS {
        return Ok(());
    }
    Err(ApiError::invalid(
        "webhook_endpoint_limit",
        "",
        format!("An account has at most {MAX_ENDPOINTS} webhook endpoints: delete one that is not in use."),
    ))
}

fn check_url(input: &In<AdminWrite>, url: &str) -> Result<(), ApiError> {
    let app = &input.call.app;
    let policy = Policy {
        allow_private: app.settings.test_mode,
        // nothing is connected to here
        roots: Arc::new(rustls::RootCertStore::empty()),
        timeout: Duration::ZERO,
    };
    Target::parse(url, &policy).map(drop).map_err(|refused| {
        if refused.is_inward() {
            let mut source = security::Source::found("the address of a webhook endpoint");
            source.key_id = Some(input.key_id.clone());
            let (request, now) = (&input.call.request_id, app.clock.now());
            app.security
                .record(security::Kind::EgressRefused, &source, request, now);
        }
        ApiError::invalid("url_invalid", "url", format!("{refused}."))
    })
}

/// `*`, or names of events. A name that nothing here emits is accepted: it costs nothing and never fires.
fn enabled_events(params: &mut Params) -> Result<Option<Vec<String>>, ApiError> {
    let Some(mut events) = params.texts("enabled_events")? else {
        return Ok(None);
    };
    events.sort();
    events.dedup();
    let part = |part: &str| !part.is_empty() && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    let is_event = |name: &str| name == "*" || (name.contains('.') && name.len() <= 100 && name.split('.').all(part));
    if let Some(wrong) = events.iter().find(|name| !is_event(name)) {
        return Err(ApiError::invalid(
            "parameter_invalid_value",
            "enabled_events",
            format!("Not an event type: {}. Give * for all of them.", shown(wrong)),
        ));
    }
    if events.is_empty() || events.len() > 500 {
        return Err(ApiError::invalid(
            "parameter_invalid_array",
            "enabled_events",
            "Give 1 to 500 event types, or * for all of them.",
        ));
    }
    Ok(Some(events))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_types_are_words_with_dots_or_a_star() {
        let read = |names: &str| enabled_events(&mut Params::from_form(names.as_bytes()).unwrap());
        assert_eq!(
            read("enabled_events[]=refund.created&enabled_events[]=*&enabled_events[]=*")
                .unwrap()
                .unwrap(),
            ["*", "refund.created"]
        );
        assert_eq!(read("x=1").unwrap(), None);
        for wrong in ["charge", "charge.", ".a", "Charge.a", "charge.*", "a..b", "a b.c"] {
            assert!(read(&format!("enabled_events[]={wrong}")).is_err(), "{wrong}");
        }
    }
}
