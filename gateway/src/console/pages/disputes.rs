//! Disputes of cards: what waits for an answer by when, the evidence, and the answer itself.

use crate::console::ctx::{Ctx, Fault, Outcome};
use crate::console::query::{Query, text};
use crate::console::role::DISPUTE_ACTS;
use crate::console::view::{Acts, Cell, Facts, Field, Filter, Kind, Table, Tone, View};
use crate::dispute::rows::EVIDENCE;
use serde_json::Value;
use tokio_postgres::types::Type;

/// What waits for an answer, the most urgent first.
pub static WAITING: Query = Query {
    name: "disputes.waiting",
    sql: "SELECT d.*, m.name AS merchant, m.id AS account_id FROM (
              SELECT t.* FROM gateway.dispute t WHERE t.status IN ('needs_response','warning_needs_response')
                 AND ($1::bigint IS NULL OR t.book_id = $1) ORDER BY t.due_by LIMIT 200) d
          JOIN gateway.merchant m ON m.book_id = d.book_id ORDER BY d.due_by",
    types: &[Type::INT8],
};

/// All of them, newest first, older than a cursor.
pub static LIST: Query = Query {
    name: "disputes.list",
    sql: "SELECT d.*, m.name AS merchant, m.id AS account_id FROM gateway.merchant m CROSS JOIN LATERAL (
              SELECT t.* FROM gateway.dispute t WHERE t.book_id = m.book_id AND t.id < $2 AND ($3::text IS NULL OR t.status = $3)
              ORDER BY t.id DESC LIMIT 51) d
          WHERE $1::bigint IS NULL OR m.book_id = $1 ORDER BY d.id DESC LIMIT 51",
    types: &[Type::INT8, Type::TEXT, Type::TEXT],
};

/// One, in whichever book may be seen.
pub static ONE: Query = Query {
    name: "disputes.one",
    sql: "SELECT d.*, m.name AS merchant, m.id AS account_id FROM gateway.merchant m
          CROSS JOIN LATERAL (SELECT t.* FROM gateway.dispute t WHERE t.book_id = m.book_id AND t.id = $2) d
          WHERE $1::bigint IS NULL OR m.book_id = $1",
    types: &[Type::INT8, Type::TEXT],
};

const PAGE: usize = 50;
const STATUSES: [&str; 8] = [
    "needs_response",
    "under_review",
    "won",
    "lost",
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "prevented",
];

/// `GET /disputes`
pub async fn index(ctx: &Ctx) -> Outcome {
    let book = ctx.own_book();
    let view = View::new(ctx.t("disputes.title")).live();
    let filter = Filter {
        action: "/disputes".into(),
        fields: vec![super::payments::choices(ctx, "status", "column.status", &STATUSES)],
        submit: ctx.t("list.search"),
        clear: ctx.t("list.clear"),
        links: Vec::new(),
    };
    let (before, status) = (ctx.query.some("before").unwrap_or("du_~"), ctx.query.some("status"));
    let rows = ctx.rows(&LIST, &[&book, &before, &status]).await?;
    let mut all = table(ctx, &ctx.t("disputes.all"), &rows[..rows.len().min(PAGE)]).empty(ctx.t("disputes.none"));
    if let (true, Some(last)) = (rows.len() > PAGE, rows.get(PAGE - 1)) {
        all.older = ctx.href("/disputes", &[("before", text(last, "id"))]);
        all.older_text = ctx.t("list.older");
    }
    if ctx.query.some("before").is_some() || status.is_some() {
        return Ok(view.with(filter).with(all).into());
    }
    let waiting = ctx.rows(&WAITING, &[&book]).await?;
    let waiting = table(ctx, &ctx.t("disputes.waiting"), &waiting).empty(ctx.t("disputes.no_waiting"));
    Ok(view.with(waiting).with(filter).with(all).into())
}

/// `GET /disputes/{id}`
pub async fn show(ctx: &Ctx) -> Outcome {
    let dispute = load(ctx).await?;
    let status = text(&dispute, "status");
    let waits = matches!(status, "needs_response" | "warning_needs_response") && dispute["operation"].is_null();
    let facts = Facts::new("")
        .fact(ctx.t("column.status"), ctx.status(status))
        .fact(
            ctx.t("disputes.due"),
            if waits {
                ctx.due(&dispute, "due_by")
            } else {
                ctx.time(&dispute, "due_by")
            },
        )
        .fact(ctx.t("column.amount"), ctx.money(&dispute, "amount"))
        .fact(ctx.t("column.reason"), ctx.word(text(&dispute, "reason")))
        .fact_some(ctx.t("disputes.network"), dispute["network_reason_code"].as_str())
        .fact(ctx.t("disputes.stage"), ctx.word(text(&dispute, "stage")))
        .fact(ctx.t("disputes.contested"), ctx.money(&dispute, "contested"))
        .fact(ctx.t("disputes.fee"), ctx.money(&dispute, "fee"))
        .fact(
            ctx.t("column.payment"),
            Cell::link(
                format!("/payments/{}", text(&dispute, "payment_id")),
                text(&dispute, "payment_id"),
            ),
        )
        .fact(ctx.t("column.merchant"), text(&dispute, "merchant"))
        .fact(ctx.t("payment.acquirer"), text(&dispute, "connector"))
        .fact(ctx.t("column.when"), ctx.time(&dispute, "created_at"))
        .fact(ctx.t("disputes.submitted"), dispute["submission_count"].to_string());
    let mut evidence = Facts::new(ctx.t("disputes.evidence"));
    for (name, _) in EVIDENCE {
        evidence = evidence.fact_some(ctx.word(name), dispute["evidence"][name].as_str());
    }
    let mut view = View::new(ctx.f("disputes.one", &[&ctx.word(text(&dispute, "reason"))]))
        .crumb("/disputes", ctx.t("disputes.title"))
        .lead(text(&dispute, "id"))
        .with(facts);
    if !evidence.facts.is_empty() {
        view = view.with(evidence);
    }
    if waits && ctx.is(DISPUTE_ACTS) {
        view = view.with(answer(ctx, &dispute));
    }
    Ok(view.into())
}

/// `POST /disputes/{id}/evidence`: keeps what was written, and sends it when asked to.
pub async fn save(ctx: &Ctx) -> Outcome {
    let dispute = load(ctx).await?;
    let id = text(&dispute, "id");
    let submit = ctx.form.get("submit") == "true";
    let mut parameters: Vec<(String, String)> = Vec::new();
    for (name, is_file) in EVIDENCE {
        // An empty field takes back what was there.
        if let (false, Some((_, value))) = (is_file, ctx.form.0.iter().find(|(field, _)| field == name))
            && (!value.trim().is_empty() || dispute["evidence"][name].is_string())
        {
            parameters.push((format!("evidence[{name}]"), value.trim().to_owned()));
        }
    }
    parameters.push(("submit".into(), submit.to_string()));
    let parameters: Vec<(&str, &str)> = parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    ctx.act(&format!("/v1/disputes/{id}"), text(&dispute, "account_id"), &parameters)
        .await?;
    Ok(ctx.see(&format!("/disputes/{id}"), if submit { "submitted" } else { "saved" }))
}

/// `POST /disputes/{id}/close`: the loss is accepted.
pub async fn accept(ctx: &Ctx) -> Outcome {
    let dispute = load(ctx).await?;
    let id = text(&dispute, "id");
    ctx.act(&format!("/v1/disputes/{id}/close"), text(&dispute, "account_id"), &[])
        .await?;
    Ok(ctx.see(&format!("/disputes/{id}"), "accepted"))
}

/// A list of disputes, wherever one is shown.
pub(super) fn table(ctx: &Ctx, title: &str, rows: &[Value]) -> Table {
    let columns = ctx.columns(&[
        "column.dispute",
        "disputes.due",
        "column.status",
        "column.amount>",
        "column.reason",
        "column.payment",
        "column.merchant",
    ]);
    let mut table = Table::new(title, &columns);
    for row in rows {
        let waits = matches!(text(row, "status"), "needs_response" | "warning_needs_response");
        table.push(vec![
            Cell::link(format!("/disputes/{}", text(row, "id")), text(row, "id")),
            if waits {
                ctx.due(row, "due_by")
            } else {
                Cell::Quiet("–".into())
            },
            ctx.status(text(row, "status")),
            ctx.money(row, "amount"),
            ctx.word(text(row, "reason")).into(),
            Cell::link(
                format!("/payments/{}", text(row, "payment_id")),
                text(row, "payment_id"),
            ),
            text(row, "merchant").into(),
        ]);
    }
    table
}

async fn load(ctx: &Ctx) -> Result<Value, Fault> {
    let id = ctx.params.get("id");
    ctx.row(&ONE, &[&ctx.own_book(), &id]).await?.ok_or(Fault::Missing)
}

fn answer(ctx: &Ctx, dispute: &Value) -> Acts {
    let id = text(dispute, "id");
    let wanted = [
        "uncategorized_text",
        "product_description",
        "customer_name",
        "customer_email_address",
        "customer_purchase_ip",
        "shipping_carrier",
        "shipping_tracking_number",
        "shipping_date",
        "service_date",
        "refund_refusal_explanation",
        "cancellation_rebuttal",
        "duplicate_charge_explanation",
    ];
    let mut form = ctx
        .form(format!("/disputes/{id}/evidence"), "disputes.save")
        .title(ctx.t("disputes.answer"))
        .help(ctx.t("disputes.answer.help"));
    for name in wanted {
        let long = name.ends_with("text")
            || name.ends_with("description")
            || name.ends_with("explanation")
            || name.ends_with("rebuttal");
        let kind = if long { Kind::Long } else { Kind::Text };
        form = form.field(
            Field::new(kind, name, ctx.word(name)).value(dispute["evidence"][name].as_str().unwrap_or_default()),
        );
    }
    let when = [
        ("false".to_owned(), ctx.t("disputes.later")),
        ("true".to_owned(), ctx.t("disputes.now")),
    ];
    let form = form
        .field(Field::choice("submit", ctx.t("disputes.send"), when.to_vec()))
        .tone(Tone::Good);
    let give_up = ctx
        .form(format!("/disputes/{id}/close"), "disputes.accept")
        .title(ctx.t("disputes.give_up"))
        .help(ctx.t("disputes.give_up.help"))
        .tone(Tone::Bad)
        .confirm(ctx.t("disputes.give_up.sure"));
    Acts {
        title: String::new(),
        forms: vec![form, give_up],
    }
}
