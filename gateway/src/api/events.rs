//! `/v1/events`: what happened, in the very bytes that webhooks deliver.

use super::error::ApiError;
use super::input::{AdminRead, AdminWrite, In, Reply};
use super::list;
use super::params::Params;
use crate::call::{Answer, Call};
use crate::commit::Unit;
use crate::event::Event;
use crate::payment::flow::claim;
use crate::payment::store::{self, Filter};
use crate::webhook::{again, event_json};
use crate::{id, wire};
use axum::extract::Path;
use std::collections::HashMap;
use tokio_postgres::types::Type;

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<AdminRead>) -> Reply {
    input.take().finish()?;
    let call = &input.call;
    expands_nothing(call)?;
    let found: Option<Event> = if id::is_valid(id::prefix::EVENT, &id) {
        let client = call.app.reads.get().await?;
        store::get(&**client, call.book_id(), &id).await?
    } else {
        None
    };
    let event = found.ok_or_else(|| ApiError::not_found("event", &id, "id"))?;
    let body = render(call, std::slice::from_ref(&event)).await?.concat();
    Ok(answer(body))
}

/// Has the event delivered again: to one endpoint, or to all that were to have it.
pub(super) async fn retry(Path(id): Path<String>, mut input: In<AdminWrite>) -> Reply {
    let mut params = input.take();
    let endpoint = params.text("webhook_endpoint")?;
    params.finish()?;
    input
        .run(|call| async move {
            // Sending again is not undone by a key that was used before: look first.
            if let Some(answer) = super::idempotency::stored(call).await? {
                return Ok(answer);
            }
            expands_nothing(call)?;
            let known = id::is_valid(id::prefix::EVENT, &id);
            let client = call.app.reads.get().await?;
            let found: Option<Event> = match known {
                true => store::get(&**client, call.book_id(), &id).await?,
                false => None,
            };
            let event = found.ok_or_else(|| ApiError::not_found("event", &id, "id"))?;
            let told = again::again(
                &**client,
                call.book_id(),
                &id,
                endpoint.as_deref(),
                call.app.clock.now(),
            )
            .await?;
            drop(client);
            if told == 0 {
                return Err(match &endpoint {
                    Some(endpoint) => ApiError::not_found("enabled webhook endpoint", endpoint, "webhook_endpoint"),
                    None => ApiError::invalid(
                        "event_not_deliverable",
                        "webhook_endpoint",
                        "No enabled webhook endpoint was to have this event: name the one that shall have it.",
                    ),
                });
            }
            let answer = answer(render(call, std::slice::from_ref(&event)).await?.concat());
            let unit = claim(call, Unit::new(call.book_id()), &event.id, Some(&answer));
            call.app.commit(unit).await?;
            call.app.committer.events.notify_one();
            Ok(answer)
        })
        .await
}

pub(super) async fn index(mut input: In<AdminRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    list::created(&mut params, &mut filters)?;
    types(&mut params, &mut filters)?;
    if let Some(delivered) = params.boolean("delivery_success")? {
        filters.push(Filter {
            condition: "NOT EXISTS (SELECT FROM gateway.delivery d WHERE d.book_id = t.book_id AND d.event_id = t.id \
                        AND d.delivered_at IS NULL) = ?",
            value: Box::new(delivered),
            r#type: Type::BOOL,
        });
    }
    params.finish()?;
    let call = &input.call;
    expands_nothing(call)?;
    let (rows, has_more) = list::rows::<Event>(call, &page, &filters).await?;
    let data = render(call, &rows).await?.join(",");
    Ok(answer(format!(
        r#"{{"object":"list","data":[{data}],"has_more":{has_more},"url":"/v1/events"}}"#
    )))
}

/// `type`, also with `*` as a wildcard, or up to twenty `types[]`.
fn types(params: &mut Params, filters: &mut Vec<Filter>) -> Result<(), ApiError> {
    let one = params.text("type")?;
    let several = params.texts("types")?;
    if one.is_some() && several.is_some() {
        return Err(ApiError::invalid(
            "parameter_conflict",
            "types",
            "You may only specify one of these parameters: type, types.",
        ));
    }
    match one {
        Some(pattern) if pattern.contains('*') => filters.push(list::equals("type LIKE ", like(&pattern))),
        Some(exact) => filters.push(list::equals("type = ", exact)),
        None => {}
    }
    let Some(several) = several else { return Ok(()) };
    if several.len() > 20 {
        return Err(ApiError::invalid(
            "parameter_invalid_array",
            "types",
            "At most 20 event types can be given.",
        ));
    }
    filters.push(Filter {
        condition: "type = ANY(?)",
        value: Box::new(several),
        r#type: Type::TEXT_ARRAY,
    });
    Ok(())
}

fn like(pattern: &str) -> String {
    let mut like = String::with_capacity(pattern.len() + 4);
    for c in pattern.chars() {
        match c {
            '*' => like.push('%'),
            '%' | '_' | '\\' => like.extend(['\\', c]),
            c => like.push(c),
        }
    }
    like
}

/// The events as JSON texts, their objects unchanged.
async fn render(call: &Call, events: &[Event]) -> Result<Vec<String>, ApiError> {
    let ids: Vec<&str> = events.iter().map(|e| e.id.as_str()).collect();
    let client = call.app.reads.get().await?;
    let rows = client
        .query_typed(
            "SELECT event_id, count(*) FROM gateway.delivery
             WHERE book_id = $1 AND event_id = ANY($2) AND due_at IS NOT NULL GROUP BY event_id",
            &[(&call.book_id(), Type::INT8), (&ids, Type::TEXT_ARRAY)],
        )
        .await?;
    let mut pending: HashMap<&str, i64> = HashMap::with_capacity(rows.len());
    for row in &rows {
        pending.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(events
        .iter()
        .map(|e| event_json(e, wire::API_VERSION, pending.get(e.id.as_str()).copied().unwrap_or(0)))
        .collect())
}

fn expands_nothing(call: &Call) -> Result<(), ApiError> {
    match call.expand.first() {
        None => Ok(()),
        Some(path) => Err(ApiError::invalid(
            "parameter_invalid_value",
            "expand",
            format!("This property cannot be expanded ({}).", super::error::shown(path)),
        )),
    }
}

fn answer(body: String) -> Answer {
    Answer {
        status: 200,
        body,
        replayed: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_the_only_special_character() {
        assert_eq!(like("charge.*"), "charge.%");
        assert_eq!(like(r"a_b%c\*"), r"a\_b\%c\\%");
    }
}
