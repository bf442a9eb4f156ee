//! `/v1/audit_events`: who did what with the caller's account, newest first; with a platform's key and no account named, everywhere.
//!
//! Read only: the log is written where things happen. Each look at it is in it.

use super::error::ApiError;
use super::input::{AdminRead, In, Reply};
use super::list;
use super::params::Params;
use crate::audit_log::{AuditEvent, PLATFORM, Query, event, events, export};
use crate::call::Answer;
use crate::id;
use axum::extract::Path;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

pub(super) async fn index(mut input: In<AdminRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let cursor = |param: &str, id: &Option<String>| -> Result<Option<Uuid>, ApiError> {
        let Some(id) = id else { return Ok(None) };
        let known = id::to_uuid(id::prefix::AUDIT_EVENT, id);
        known
            .map(Some)
            .ok_or_else(|| ApiError::not_found("audit event", id, param))
    };
    let (since, until) = created(&mut params)?;
    let query = Query {
        book: book(&input),
        actor: params.text("actor")?,
        object: params.text("object_id")?,
        since,
        until,
        after: cursor("starting_after", &page.starting_after)?,
        before: cursor("ending_before", &page.ending_before)?,
        limit: page.limit + 1,
    };
    params.finish()?;
    let client = input.call.app.reads.get().await?;
    let mut rows = events(&**client, &query).await?;
    let has_more = rows.len() as i64 > page.limit;
    if has_more {
        // The one too many is the farthest from the cursor.
        rows.remove(if query.before.is_some() { 0 } else { rows.len() - 1 });
    }
    let data: Vec<Value> = rows.iter().map(shown).collect();
    Ok(Answer::ok(
        &json!({ "object": "list", "data": data, "has_more": has_more, "url": "/v1/audit_events" }),
    ))
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<AdminRead>) -> Reply {
    input.take().finish()?;
    let missing = || ApiError::not_found("audit event", &id, "id");
    let uuid = id::to_uuid(id::prefix::AUDIT_EVENT, &id).ok_or_else(missing)?;
    let client = input.call.app.reads.get().await?;
    let event = event(&**client, book(&input), uuid).await?;
    Ok(Answer::ok(&shown(&event.ok_or_else(missing)?)))
}

/// Whose events are shown.
fn book(input: &In<AdminRead>) -> Option<i64> {
    let for_another = input.call.merchant.id != input.key_account;
    (!input.platform || for_another).then(|| input.call.book_id())
}

/// `created`, as of every list, as a span of moments: from the first on, before the second.
fn created(params: &mut Params) -> Result<(Option<Timestamp>, Option<Timestamp>), ApiError> {
    let at = |seconds: i64, param: &str| {
        let wrong = || {
            ApiError::invalid(
                "parameter_invalid_integer",
                param,
                "Not a moment in time (unix seconds).",
            )
        };
        Timestamp::from_second(seconds).map_err(|_| wrong())
    };
    let Ok(Some(mut range)) = params.clone().group("created") else {
        return match params.integer("created")? {
            None => Ok((None, None)),
            Some(second) => Ok((
                Some(at(second, "created")?),
                Some(at(second.saturating_add(1), "created")?),
            )),
        };
    };
    params.ignore(&["created"]);
    let mut bounds = [None, None];
    for (name, bound, more) in [("gt", 0, 1), ("gte", 0, 0), ("lt", 1, 0), ("lte", 1, 1)] {
        if let Some(second) = range.integer(name)? {
            let moment = at(second.saturating_add(more), &range.param(name))?;
            bounds[bound] = match (bound, bounds[bound]) {
                (_, None) => Some(moment),
                (0, Some(other)) => Some(moment.max(other)),
                (_, Some(other)) => Some(moment.min(other)),
            };
        }
    }
    range.finish()?;
    Ok((bounds[0], bounds[1]))
}

fn shown(event: &AuditEvent) -> Value {
    json!({
        "id": export::shown_id(event),
        "object": "audit_event",
        "action": event.action,
        "actor": event.actor,
        "created": event.at.as_second(),
        "detail": event.detail,
        "livemode": false,
        "object_id": event.object,
        "of_platform": event.book_id == PLATFORM,
        "origin": event.origin,
        "request_id": event.request_id,
        "result": event.result,
        "role": event.role,
    })
}
