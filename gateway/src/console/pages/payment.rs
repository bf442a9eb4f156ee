//! One payment: what happened to it, in order, with its journals, events, calls of the acquirer, and why it was judged as it was.
//!
//! What has no index by payment (journals, events) is found near the moments at which the payment is known to have moved, inside
//! its merchant's book, by the time that ids carry.

use super::payments::{card, standing};
use super::reviews;
use crate::console::ctx::{Ctx, Fault, Outcome};
use crate::console::format;
use crate::console::query::{Query, number, text};
use crate::console::role::REFUND_ACTS;
use crate::console::view::{Cell, Facts, Field, Kind, Section, Table, Tone, View};
use crate::id;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// A payment by its id, in whichever book may be seen.
pub static ONE: Query = Query {
    name: "payment.one",
    sql: "SELECT p.*, m.id AS account, m.name AS merchant FROM gateway.merchant m
          CROSS JOIN LATERAL (SELECT t.* FROM gateway.payment t WHERE t.book_id = m.book_id AND t.id = $2) p
          WHERE $1::bigint IS NULL OR m.book_id = $1",
    types: &[Type::INT8, Type::TEXT],
};

/// Its attempts.
pub static CHARGES: Query = Query {
    name: "payment.charges",
    sql: "SELECT c.* FROM gateway.charge c WHERE c.book_id = $1 AND c.payment_id = $2 LIMIT 100",
    types: &[Type::INT8, Type::TEXT],
};

/// Its refunds.
pub static REFUNDS: Query = Query {
    name: "payment.refunds",
    sql: "SELECT r.* FROM gateway.refund r WHERE r.book_id = $1 AND r.payment_id = $2 LIMIT 100",
    types: &[Type::INT8, Type::TEXT],
};

/// Its disputes.
pub static DISPUTES: Query = Query {
    name: "payment.disputes",
    sql: "SELECT d.* FROM gateway.dispute d WHERE d.book_id = $1 AND d.payment_id = $2 LIMIT 100",
    types: &[Type::INT8, Type::TEXT],
};

/// Journals of its objects, recorded around these moments.
pub static JOURNALS: Query = Query {
    name: "payment.journals",
    sql: "SELECT DISTINCT ON (j.journal_id) j.journal_id, j.code, j.reference, j.recorded_at, j.account, j.kind::text[] AS kind, j.amount
          FROM unnest($2::uuid[], $3::uuid[]) AS around (low, high) CROSS JOIN LATERAL (
               SELECT t.* FROM ledger.journal t
               WHERE t.book_id = $1 AND t.journal_id >= around.low AND t.journal_id < around.high AND t.reference = ANY($4)
               ORDER BY t.journal_id LIMIT 50) j
          ORDER BY j.journal_id LIMIT 200",
    types: &[Type::INT8, Type::UUID_ARRAY, Type::UUID_ARRAY, Type::TEXT_ARRAY],
};

/// Events of its objects, made around these moments, with how they were delivered.
pub static EVENTS: Query = Query {
    name: "payment.events",
    sql: "SELECT DISTINCT ON (e.id) e.id, e.type, e.object_id, e.request_id, e.created_at,
                 (SELECT count(*) FROM gateway.delivery d WHERE d.book_id = $1 AND d.event_id = e.id) AS told,
                 (SELECT count(*) FROM gateway.delivery d WHERE d.book_id = $1 AND d.event_id = e.id AND d.delivered_at IS NOT NULL) AS delivered
          FROM unnest($2::text[], $3::text[]) AS around (low, high) CROSS JOIN LATERAL (
               SELECT t.* FROM gateway.event t
               WHERE t.book_id = $1 AND t.id >= around.low AND t.id < around.high AND t.object_id = ANY($4)
               ORDER BY t.id LIMIT 50) e
          ORDER BY e.id LIMIT 200",
    types: &[Type::INT8, Type::TEXT_ARRAY, Type::TEXT_ARRAY, Type::TEXT_ARRAY],
};

/// Around a known moment, to either side.
const NEAR: SignedDuration = SignedDuration::from_secs(5);

/// `GET /payments/{id}`
pub async fn show(ctx: &Ctx) -> Outcome {
    let payment = load(ctx).await?;
    let (book, id) = (number(&payment, "book_id"), text(&payment, "id").to_owned());
    let charges = ctx.rows(&CHARGES, &[&book, &id]).await?;
    let refunds = ctx.rows(&REFUNDS, &[&book, &id]).await?;
    let disputes = ctx.rows(&DISPUTES, &[&book, &id]).await?;
    let (journals, events) = around(ctx, &payment, &charges, &refunds, &disputes).await?;
    let last = charges.iter().find(|charge| charge["id"] == payment["charge_id"]);
    let amount = format::money(number(&payment, "amount"), text(&payment, "currency"));
    let mut view = View::new(ctx.f("payment.title", &[&amount]))
        .crumb("/payments", ctx.t("payments.title"))
        .lead(id.clone())
        .live()
        .with(facts(ctx, &payment, last));
    if let Some(review) = payment["review_id"].as_str()
        && ctx.is(super::RISK)
    {
        let facts = Facts::new("").fact(ctx.t("column.review"), Cell::link(format!("/reviews/{review}"), review));
        view = view.with(facts);
    }
    if let Some(charge) = last {
        view = view.with_some(reviews::reasons(ctx, charge));
    }
    view = view.with(timeline(ctx, &payment, &charges, &refunds, &disputes, &events));
    view = view.with(calls(ctx, &charges)).with_some(given_back(ctx, &refunds));
    if !disputes.is_empty() {
        view = view.with(super::disputes::table(ctx, &ctx.t("payment.disputes"), &disputes));
    }
    view = view
        .with(self::journals(ctx, &payment, &journals))
        .with(told(ctx, &events));
    if let Some(items) = payment["line_items"].as_array() {
        view = view.with(sold(ctx, &payment, items));
    }
    let left = refundable(&payment);
    if ctx.is(REFUND_ACTS) && left > 0 {
        view = view.with(refund_form(ctx, &payment, left));
    }
    Ok(view.into())
}

/// `POST /payments/{id}/refund`
pub async fn refund(ctx: &Ctx) -> Outcome {
    let payment = load(ctx).await?;
    let (id, currency) = (text(&payment, "id"), text(&payment, "currency"));
    let exponent = currency.parse().map_or(2, ledger::Currency::exponent);
    let typed = ctx.form.get("amount");
    let amount = format::minor(typed, exponent)
        .filter(|amount| *amount > 0)
        .ok_or_else(|| Fault::refused(ctx.f("payments.no_amount", &[typed])))?;
    let back = format!("/payments/{id}");
    if amount > refundable(&payment) {
        return Err(Fault::refused(
            ctx.f("payment.too_much", &[&format::money(refundable(&payment), currency)]),
        ));
    }
    if amount > ctx.console.settings.refund_limit {
        let asked = super::approvals::ask_refund(ctx, &payment, amount).await?;
        return Ok(ctx.see(&format!("/approvals/{asked}"), "asked"));
    }
    let amount = amount.to_string();
    let parameters = [
        ("payment_intent", id),
        ("amount", amount.as_str()),
        ("reason", ctx.form.get("reason")),
        ("metadata[console_user]", ctx.session.user.name.as_str()),
    ];
    let parameters: Vec<_> = parameters.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    ctx.act("/v1/refunds", text(&payment, "account"), &parameters).await?;
    Ok(ctx.see(&back, "refunded"))
}

/// The payment of the path.
async fn load(ctx: &Ctx) -> Result<Value, Fault> {
    let id = ctx.params.get("id");
    ctx.row(&ONE, &[&ctx.own_book(), &id]).await?.ok_or(Fault::Missing)
}

/// What may still be given back.
fn refundable(payment: &Value) -> i64 {
    number(payment, "amount_received")
        .saturating_sub(number(payment, "amount_refunded"))
        .saturating_sub(number(payment, "amount_disputed"))
        .max(0)
}

fn facts(ctx: &Ctx, payment: &Value, charge: Option<&Value>) -> Facts {
    let with_failure = {
        let mut row = payment.clone();
        if let (Some(charge), Some(fields)) = (charge, row.as_object_mut()) {
            fields.insert("failure".into(), charge["failure_code"].clone());
        }
        row
    };
    let details = &payment["details"];
    let mut facts = Facts::new("")
        .fact(ctx.t("column.status"), ctx.status(standing(&with_failure)))
        .fact(ctx.t("column.amount"), ctx.money(payment, "amount"))
        .fact(ctx.t("payment.received"), ctx.money(payment, "amount_received"))
        .fact(ctx.t("payment.refunded"), ctx.money(payment, "amount_refunded"))
        .fact(ctx.t("payment.disputed"), ctx.money(payment, "amount_disputed"))
        .fact(
            ctx.t("column.merchant"),
            Cell::link(
                format!("/merchants/{}", text(payment, "account")),
                text(payment, "merchant"),
            ),
        )
        .fact(ctx.t("column.when"), ctx.time(payment, "created_at"))
        .fact_some(ctx.t("column.description"), details["description"].as_str())
        .fact_some(
            ctx.t("payments.customer"),
            payment["customer_id"].as_str().map(|id| Cell::Code(id.into())),
        );
    if let Some(charge) = charge {
        let known = &charge["card"];
        facts = facts
            .fact(ctx.t("column.card"), card(text(known, "brand"), text(known, "last4")))
            .fact_many(
                ctx.t("payment.card_facts"),
                ["funding", "country", "bin"]
                    .iter()
                    .map(|field| text(known, field))
                    .filter(|value| !value.is_empty())
                    .map(|value| Cell::Quiet(value.to_owned()))
                    .collect(),
            );
    }
    if number(payment, "amount_refunded") + number(payment, "amount_disputed") > number(payment, "amount_received") {
        facts = facts.fact(
            ctx.t("payment.double"),
            Cell::Badge {
                tone: Tone::Bad,
                text: ctx.t("payment.double.text"),
            },
        );
    }
    facts
}

/// Where the payment moved, as windows of time, and what is found there.
async fn around(
    ctx: &Ctx,
    payment: &Value,
    charges: &[Value],
    refunds: &[Value],
    disputes: &[Value],
) -> Result<(Vec<Value>, Vec<Value>), Fault> {
    let objects = || std::iter::once(payment).chain(charges).chain(refunds).chain(disputes);
    let mut ids: Vec<String> = objects().map(|object| text(object, "id").to_owned()).collect();
    ids.extend(payment["review_id"].as_str().map(str::to_owned));
    let mut moments: Vec<Timestamp> = objects()
        .flat_map(|object| [&object["created_at"], &object["canceled_at"]])
        .filter_map(format::timestamp)
        .collect();
    // Ids of balance transactions and of the like are made when they become true, and carry the time.
    let carried = objects().flat_map(|object| {
        ["balance_transaction_id", "failure_balance_transaction_id"]
            .map(|field| text(object, field).to_owned())
            .into_iter()
            .chain(
                object["balance_transaction_ids"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|id| id.as_str().map(str::to_owned)),
            )
    });
    moments.extend(
        carried
            .filter_map(|id| id::to_uuid(id::prefix::BALANCE_TRANSACTION, &id))
            .filter_map(|uuid| Timestamp::from_millisecond((uuid.as_u128() >> 80) as i64).ok()),
    );
    moments.sort();
    moments.dedup_by(|later, earlier| later.duration_since(*earlier) < NEAR);
    let floor = |at: Timestamp| Uuid::from_u128(u128::try_from(at.as_millisecond()).unwrap_or_default() << 80);
    let (low, high): (Vec<Uuid>, Vec<Uuid>) = moments
        .iter()
        .map(|at| (floor(*at - NEAR), floor(*at + NEAR + NEAR)))
        .unzip();
    let event = |uuids: &[Uuid]| -> Vec<String> {
        uuids
            .iter()
            .map(|uuid| id::from_uuid(id::prefix::EVENT, *uuid))
            .collect()
    };
    let book = number(payment, "book_id");
    let journals = ctx.rows(&JOURNALS, &[&book, &low, &high, &ids]).await?;
    let (low, high) = (event(&low), event(&high));
    let events = ctx.rows(&EVENTS, &[&book, &low, &high, &ids]).await?;
    Ok((journals, events))
}

fn timeline(
    ctx: &Ctx,
    payment: &Value,
    charges: &[Value],
    refunds: &[Value],
    disputes: &[Value],
    events: &[Value],
) -> Table {
    let mut lines: Vec<(Timestamp, Cell, String)> = Vec::new();
    let mut line = |at: &Value, what: Cell, detail: String| {
        if let Some(at) = format::timestamp(at) {
            lines.push((at, what, detail));
        }
    };
    line(
        &payment["created_at"],
        ctx.t("payment.made").into(),
        text(payment, "id").to_owned(),
    );
    for charge in charges {
        let failure = text(charge, "failure_message");
        line(
            &charge["created_at"],
            ctx.status(text(charge, "status")),
            format!("{} · {} {failure}", text(charge, "connector"), text(charge, "id")),
        );
    }
    for refund in refunds {
        let amount = format::money(number(refund, "amount"), text(refund, "currency"));
        line(
            &refund["created_at"],
            ctx.t("payment.refund").into(),
            format!("{amount} · {}", text(refund, "id")),
        );
    }
    for dispute in disputes {
        line(
            &dispute["created_at"],
            ctx.t("payment.dispute").into(),
            ctx.word(text(dispute, "reason")),
        );
    }
    for event in events {
        line(
            &event["created_at"],
            Cell::Code(text(event, "type").to_owned()),
            text(event, "object_id").to_owned(),
        );
    }
    lines.sort_by_key(|(at, ..)| *at);
    let mut table = Table::new(
        ctx.t("payment.timeline"),
        &ctx.columns(&["column.when", "column.what", "column.detail"]),
    );
    for (at, what, detail) in lines {
        let when = Cell::Time {
            iso: at.to_string(),
            text: format::moment(at, &ctx.zone),
        };
        table.push(vec![when, what, Cell::Quiet(detail)]);
    }
    table
}

fn calls(ctx: &Ctx, charges: &[Value]) -> Table {
    let columns = ctx.columns(&[
        "column.charge",
        "column.when",
        "column.status",
        "column.amount>",
        "payment.acquirer",
        "payment.acquirer_id",
        "payment.routed",
        "column.detail",
    ]);
    let mut table = Table::new(ctx.t("payment.calls"), &columns).empty(ctx.t("payment.no_calls"));
    for charge in charges {
        table.push(vec![
            Cell::Code(text(charge, "id").to_owned()),
            ctx.time(charge, "created_at"),
            ctx.status(text(charge, "status")),
            ctx.money(charge, "amount"),
            text(charge, "connector").into(),
            Cell::Code(text(charge, "acquirer_id").to_owned()),
            Cell::Quiet(charge["routing"]["rule"].as_str().unwrap_or_default().to_owned()),
            match text(charge, "failure_message") {
                "" => Cell::Quiet(ctx.word(text(charge, "decline_code"))),
                message => message.into(),
            },
        ]);
    }
    table
}

fn given_back(ctx: &Ctx, refunds: &[Value]) -> Option<Section> {
    if refunds.is_empty() {
        return None;
    }
    let columns = ctx.columns(&[
        "column.refund",
        "column.when",
        "column.status",
        "column.amount>",
        "column.reason",
    ]);
    let mut table = Table::new(ctx.t("payment.refunds"), &columns);
    for refund in refunds {
        table.push(vec![
            Cell::Code(text(refund, "id").to_owned()),
            ctx.time(refund, "created_at"),
            ctx.status(text(refund, "status")),
            ctx.money(refund, "amount"),
            ctx.word(text(refund, "reason")).into(),
        ]);
    }
    Some(table.into())
}

fn journals(ctx: &Ctx, payment: &Value, journals: &[Value]) -> Table {
    let columns = ctx.columns(&[
        "column.journal",
        "column.when",
        "column.what",
        "column.account",
        "column.debit>",
        "column.credit>",
    ]);
    let mut table = Table::new(ctx.t("payment.journals"), &columns).empty(ctx.t("payment.no_journals"));
    for journal in journals {
        super::ledger::lines(ctx, &mut table, text(payment, "account"), journal);
    }
    table
}

fn told(ctx: &Ctx, events: &[Value]) -> Table {
    let columns = ctx.columns(&[
        "column.event",
        "column.when",
        "column.what",
        "payment.request",
        "payment.delivered>",
    ]);
    let mut table = Table::new(ctx.t("payment.events"), &columns).empty(ctx.t("payment.no_events"));
    for event in events {
        let (told, delivered) = (number(event, "told"), number(event, "delivered"));
        table.push(vec![
            Cell::Code(text(event, "id").to_owned()),
            ctx.time(event, "created_at"),
            Cell::Code(text(event, "type").to_owned()),
            Cell::Quiet(text(event, "request_id").to_owned()),
            Cell::Badge {
                tone: if delivered < told { Tone::Warn } else { Tone::Plain },
                text: format!("{delivered} / {told}"),
            },
        ]);
    }
    table
}

fn sold(ctx: &Ctx, payment: &Value, items: &[Value]) -> Table {
    let columns = ctx.columns(&[
        "payment.item",
        "payment.quantity>",
        "payment.list_price>",
        "payment.deal_price>",
    ]);
    let mut table = Table::new(ctx.t("payment.items"), &columns);
    let currency = text(payment, "currency");
    for item in items {
        let price = |field: &str| match item[field].as_i64() {
            Some(minor) => Cell::Number(format::money(minor, currency)),
            None => Cell::Quiet("–".into()),
        };
        let name = [
            text(item, "name"),
            text(item, "description"),
            text(item, "listing_id"),
            text(item, "sku"),
        ];
        table.push(vec![
            name.into_iter().find(|name| !name.is_empty()).unwrap_or("–").into(),
            Cell::Number(number(item, "quantity").to_string()),
            price("list_price"),
            price("deal_price"),
        ]);
    }
    table
}

fn refund_form(ctx: &Ctx, payment: &Value, left: i64) -> Section {
    let currency = text(payment, "currency");
    let typed = crate::wire::amount(left, currency);
    let typed = typed.split(' ').next().unwrap_or_default();
    let limit = format::money(ctx.console.settings.refund_limit, currency);
    let reasons = ["", "requested_by_customer", "duplicate", "fraudulent"].map(|reason| {
        (
            reason.to_owned(),
            if reason.is_empty() {
                "–".into()
            } else {
                ctx.word(reason)
            },
        )
    });
    ctx.form(
        format!("/payments/{}/refund", text(payment, "id")),
        "payment.refund_now",
    )
    .title(ctx.t("payment.refund"))
    .help(ctx.f("payment.refund.help", &[&limit]))
    .field(
        Field::new(
            Kind::Amount,
            "amount",
            ctx.f("payment.refund.amount", &[&currency.to_uppercase()]),
        )
        .value(typed)
        .required(),
    )
    .field(Field::choice("reason", ctx.t("column.reason"), reasons.to_vec()))
    .field(Field::new(Kind::Text, "note", ctx.t("payment.refund.why")))
    .tone(Tone::Bad)
    .confirm(ctx.t("payment.refund.sure"))
    .into()
}
