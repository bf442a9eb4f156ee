//! How merchants' systems are tied in: endpoints of webhooks with what was delivered, and API keys. No key and no secret is shown; a
//! key is ended by two people.

use crate::console::ctx::{Ctx, Fault, Outcome};
use crate::console::format;
use crate::console::query::{Query, number, text};
use crate::console::role::TECHNICAL_ACTS;
use crate::console::view::{Cell, Facts, Field, Kind, Table, View};
use serde_json::{Value, json};
use tokio_postgres::types::Type;

/// Endpoints of all merchants, with how much waits for each.
pub static ENDPOINTS: Query = Query {
    name: "technical.endpoints",
    sql: "SELECT e.id, e.url, e.status, e.created_at, cardinality(e.enabled_events) AS events, m.name AS merchant, m.id AS account,
                 (SELECT count(*) FROM (SELECT FROM gateway.delivery d WHERE d.book_id = e.book_id AND d.endpoint_id = e.id
                                        AND d.due_at IS NOT NULL LIMIT 1000) x) AS waiting
          FROM gateway.merchant m JOIN gateway.webhook_endpoint e ON e.book_id = m.book_id
          WHERE NOT e.deleted ORDER BY m.book_id, e.id LIMIT 500",
    types: &[],
};

/// Keys of all merchants, the newest first.
pub static KEYS: Query = Query {
    name: "technical.keys",
    sql: "SELECT k.id, k.kind, k.name, k.hint, k.scopes, k.platform, k.created_at, k.expires_at, k.revoked_at, k.last_used_at, m.name AS merchant
          FROM gateway.api_key k JOIN gateway.merchant m ON m.book_id = k.book_id ORDER BY k.created_at DESC LIMIT 500",
    types: &[],
};

/// One key.
pub static KEY: Query = Query {
    name: "technical.key",
    sql: "SELECT k.id, k.book_id, k.revoked_at, k.expires_at FROM gateway.api_key k WHERE k.id = $1",
    types: &[Type::TEXT],
};

/// `GET /webhooks`
pub async fn webhooks(ctx: &Ctx) -> Outcome {
    let columns = ctx.columns(&[
        "webhooks.url",
        "column.merchant",
        "column.status",
        "webhooks.events>",
        "webhooks.waiting>",
        "column.when",
    ]);
    let mut table = Table::new(String::new(), &columns).empty(ctx.t("webhooks.none"));
    for row in ctx.rows(&ENDPOINTS, &[]).await? {
        table.push(vec![
            Cell::link(
                format!("/webhooks/{}/{}", text(&row, "account"), text(&row, "id")),
                text(&row, "url"),
            ),
            text(&row, "merchant").into(),
            ctx.status(text(&row, "status")),
            Cell::Number(number(&row, "events").to_string()),
            Cell::Number(number(&row, "waiting").to_string()),
            ctx.time(&row, "created_at"),
        ]);
    }
    Ok(View::new(ctx.t("webhooks.title")).live().with(table).into())
}

/// `GET /webhooks/{account}/{id}`
pub async fn endpoint(ctx: &Ctx) -> Outcome {
    let (account, id) = (ctx.params.get("account"), ctx.params.get("id"));
    let path = format!("/v1/webhook_endpoints/{id}");
    let endpoint = ctx.read(&path, account, &[]).await?;
    let events = endpoint["enabled_events"].as_array().into_iter().flatten();
    let facts = Facts::new("")
        .fact(ctx.t("column.status"), ctx.status(text(&endpoint, "status")))
        .fact_some(ctx.t("column.description"), endpoint["description"].as_str())
        .fact(ctx.t("column.when"), ctx.time(&endpoint, "created"))
        .fact_many(
            ctx.t("webhooks.events"),
            events
                .filter_map(Value::as_str)
                .map(|event| Cell::Code(event.to_owned()))
                .collect(),
        );
    let mut parameters = vec![("limit", "50")];
    if let Some(cursor) = ctx.query.some("before") {
        parameters.push(("starting_after", cursor));
    }
    if let Some(status) = ctx.query.some("status") {
        parameters.push(("status", status));
    }
    let told = ctx.read(&format!("{path}/deliveries"), account, &parameters).await?;
    let rows = told["data"].as_array().cloned().unwrap_or_default();
    let columns = ctx.columns(&[
        "column.event",
        "column.what",
        "column.status",
        "webhooks.attempts>",
        "webhooks.last",
        "webhooks.next",
    ]);
    let mut table = Table::new(ctx.t("webhooks.deliveries"), &columns).empty(ctx.t("webhooks.no_deliveries"));
    let here = format!("/webhooks/{account}/{id}");
    for row in &rows {
        let attempts = row["attempts"].as_array().cloned().unwrap_or_default();
        let last = attempts.last().cloned().unwrap_or_default();
        let answer = match (last["status"].as_i64(), last["error"].as_str()) {
            (Some(status), None) => format!("{status} · {} ms", number(&last, "duration_ms")),
            (Some(status), Some(error)) => format!("{status} · {error}"),
            (None, error) => error.unwrap_or("–").to_owned(),
        };
        let again = ctx
            .form(format!("{here}/retry"), "webhooks.retry")
            .hidden("event", text(row, "event"));
        let cells = vec![
            Cell::Code(text(row, "event").to_owned()),
            Cell::Code(text(row, "event_type").to_owned()),
            ctx.status(text(row, "status")),
            Cell::Number(attempts.len().to_string()),
            Cell::Quiet(answer),
            ctx.time(row, "next_attempt"),
        ];
        table.push_with(
            cells,
            if ctx.is(TECHNICAL_ACTS) {
                vec![again]
            } else {
                Vec::new()
            },
        );
    }
    if let (true, Some(last)) = (told["has_more"] == true, rows.last()) {
        table.older = ctx.href(&here, &[("before", text(last, "id"))]);
        table.older_text = ctx.t("list.older");
    }
    Ok(View::new(text(&endpoint, "url"))
        .crumb("/webhooks", ctx.t("webhooks.title"))
        .lead(id)
        .with(facts)
        .with(table)
        .into())
}

/// `POST /webhooks/{account}/{id}/retry`
pub async fn retry(ctx: &Ctx) -> Outcome {
    let (account, id) = (ctx.params.get("account"), ctx.params.get("id"));
    let event = ctx.form.get("event");
    ctx.act(
        &format!("/v1/events/{event}/retry"),
        account,
        &[("webhook_endpoint", id)],
    )
    .await?;
    Ok(ctx.see(&format!("/webhooks/{account}/{id}"), "again"))
}

/// `GET /keys`
pub async fn keys(ctx: &Ctx) -> Outcome {
    let rows = ctx.rows(&KEYS, &[]).await?;
    let table = keys_table(ctx, &rows, ctx.is(TECHNICAL_ACTS));
    Ok(View::new(ctx.t("keys.title"))
        .lead(ctx.t("keys.lead"))
        .with(table)
        .into())
}

/// `POST /keys/{id}/revoke`: asks a second person.
pub async fn ask_to_revoke(ctx: &Ctx) -> Outcome {
    let id = ctx.params.get("id");
    let key = ctx.row(&KEY, &[&id]).await?.ok_or(Fault::Missing)?;
    if !ended(ctx, &key).is_empty() {
        return Err(Fault::refused(ctx.t("keys.ended")));
    }
    let content = json!({});
    let asked = super::approvals::ask(
        ctx,
        number(&key, "book_id"),
        "key_revocation",
        id,
        None,
        &content,
        ctx.form.get("reason"),
    )
    .await?;
    Ok(ctx.see(&format!("/approvals/{asked}"), "asked"))
}

/// Keys, as far as they may be shown.
pub(super) fn keys_table(ctx: &Ctx, rows: &[Value], acts: bool) -> Table {
    let columns = ctx.columns(&[
        "keys.key",
        "keys.name",
        "keys.kind",
        "column.merchant",
        "keys.rights",
        "column.status",
        "keys.used",
        "column.when",
    ]);
    let mut table = Table::new(ctx.t("keys.title"), &columns).empty(ctx.t("keys.none"));
    for row in rows {
        let scopes = row["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let rights = scopes.collect::<Vec<_>>().join(" ");
        let ended = ended(ctx, row);
        let cells = vec![
            Cell::Code(format!("{} · {}", text(row, "id"), text(row, "hint"))),
            text(row, "name").into(),
            ctx.word(text(row, "kind")).into(),
            text(row, "merchant").into(),
            Cell::Quiet(match (rights.is_empty(), row["platform"] == true) {
                (true, true) => ctx.t("keys.platform"),
                (true, false) => ctx.t("keys.all"),
                _ => rights,
            }),
            ctx.status(if ended.is_empty() { "active" } else { ended }),
            ctx.time(row, "last_used_at"),
            ctx.time(row, "created_at"),
        ];
        let revoke = ctx
            .form(format!("/keys/{}/revoke", text(row, "id")), "keys.revoke")
            .field(Field::new(Kind::Text, "reason", ctx.t("column.reason")).required());
        table.push_with(
            cells,
            if acts && ended.is_empty() {
                vec![revoke]
            } else {
                Vec::new()
            },
        );
    }
    table
}

fn ended(ctx: &Ctx, key: &Value) -> &'static str {
    let past = |field: &str| format::timestamp(&key[field]).is_some_and(|at| at <= ctx.now);
    match () {
        () if past("revoked_at") => "revoked",
        () if past("expires_at") => "expired",
        () => "",
    }
}
