//! The review queue: one case after the other, why it is here, what is tied to it, and one key for each decision.

use super::payments::{card, standing};
use crate::console::ctx::{Ctx, Fault, Outcome};
use crate::console::format;
use crate::console::query::{Query, number, text};
use crate::console::role::RISK_ACTS;
use crate::console::view::{Acts, Cell, Facts, Field, Graph, Node, Notice, Section, Table, Tone, View};
use serde_json::Value;
use tokio_postgres::types::Type;

/// What waits, the oldest first.
pub static LIST: Query = Query {
    name: "reviews.list",
    sql: "SELECT r.id, r.created_at, p.amount, p.currency, p.id AS payment_id, c.card->>'brand' AS brand, c.card->>'last4' AS last4,
                 (c.risk->>'score')::int AS score, c.risk->>'level' AS level, c.risk->'reasons'->0->>'message' AS message, m.name AS merchant
          FROM (SELECT r.* FROM gateway.review r WHERE r.open AND ($1::bigint IS NULL OR r.book_id = $1)
                  AND ($2::timestamptz IS NULL OR r.created_at > $2) ORDER BY r.created_at LIMIT 51) r
          JOIN gateway.merchant m ON m.book_id = r.book_id
          JOIN gateway.payment p ON p.book_id = r.book_id AND p.id = r.payment_id
          JOIN gateway.charge c ON c.book_id = r.book_id AND c.id = r.charge_id
          ORDER BY r.created_at",
    types: &[Type::INT8, Type::TIMESTAMPTZ],
};

/// The next one behind the one that was just decided or left.
pub static NEXT: Query = Query {
    name: "reviews.next",
    sql: "SELECT r.id FROM gateway.review r
          WHERE r.open AND ($1::bigint IS NULL OR r.book_id = $1) AND r.id <> $2 ORDER BY r.created_at LIMIT 1",
    types: &[Type::INT8, Type::TEXT],
};

/// A review with its payment and attempt.
pub static ONE: Query = Query {
    name: "reviews.one",
    sql: "SELECT r.*, m.id AS account, m.name AS merchant, row_to_json(p) AS payment, row_to_json(c) AS charge
          FROM gateway.merchant m CROSS JOIN LATERAL (SELECT t.* FROM gateway.review t WHERE t.book_id = m.book_id AND t.id = $2) r
          JOIN gateway.payment p ON p.book_id = r.book_id AND p.id = r.payment_id
          JOIN gateway.charge c ON c.book_id = r.book_id AND c.id = r.charge_id
          WHERE $1::bigint IS NULL OR m.book_id = $1",
    types: &[Type::INT8, Type::TEXT],
};

/// What shares a card, a device or an address with an attempt, among the merchant's last so many. An index for each of the three
/// would cost every payment; this costs who looks.
pub static NEAR: Query = Query {
    name: "reviews.near",
    sql: "SELECT n.id, n.payment_id, n.amount, n.currency, n.created_at, n.status, n.card->>'brand' AS brand, n.card->>'last4' AS last4,
                 (n.risk->>'score')::int AS score, n.risk->>'level' AS level, n.disputed,
                 n.card->>'fingerprint' = $3 AS same_card, n.context->>'device' = $4 AS same_device, n.context->>'ip' = $5 AS same_ip
          FROM (SELECT c.* FROM gateway.charge c WHERE c.book_id = $1 AND c.id < 'ch_~' ORDER BY c.id DESC LIMIT 10000) n
          WHERE n.id <> $2 AND (n.card->>'fingerprint' = $3 OR n.context->>'device' = $4 OR n.context->>'ip' = $5)
          ORDER BY n.id DESC LIMIT 12",
    types: &[Type::INT8, Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT],
};

/// A decision is wanted within this.
const WANTED_WITHIN_HOURS: i64 = 24;
const PAGE: usize = 50;

/// `GET /reviews`
pub async fn index(ctx: &Ctx) -> Outcome {
    let after = ctx
        .query
        .some("after")
        .and_then(|at| at.parse::<jiff::Timestamp>().ok());
    let rows = ctx.rows(&LIST, &[&ctx.own_book(), &after]).await?;
    let columns = ctx.columns(&[
        "column.review",
        "reviews.waiting",
        "column.amount>",
        "column.card",
        "column.risk>",
        "column.reason",
        "column.merchant",
    ]);
    let mut table = Table::new(String::new(), &columns).empty(ctx.t("reviews.none"));
    for row in rows.iter().take(PAGE) {
        table.push(vec![
            Cell::link(format!("/reviews/{}", text(row, "id")), text(row, "id")),
            age(ctx, row),
            ctx.money(row, "amount"),
            card(text(row, "brand"), text(row, "last4")).into(),
            Cell::Badge {
                tone: Tone::of(text(row, "level")),
                text: number(row, "score").to_string(),
            },
            text(row, "message").into(),
            text(row, "merchant").into(),
        ]);
    }
    if let (true, Some(last)) = (rows.len() > PAGE, rows.get(PAGE - 1)) {
        table.older = ctx.href("/reviews", &[("after", text(last, "created_at"))]);
        table.older_text = ctx.t("list.newer");
    }
    let mut view = View::new(ctx.t("reviews.title")).lead(ctx.t("reviews.lead")).live();
    if !rows.is_empty() {
        let start = Facts::new("").fact(
            ctx.t("reviews.begin"),
            Cell::link("/reviews/next", ctx.t("reviews.next")),
        );
        view = view.with(start);
    }
    Ok(view.with(table).into())
}

/// `GET /reviews/next`
pub async fn next(ctx: &Ctx) -> Outcome {
    let left = ctx.query.get("after");
    let found = ctx.row(&NEXT, &[&ctx.own_book(), &left]).await?;
    let path = found.map_or_else(|| "/reviews".to_owned(), |row| format!("/reviews/{}", text(&row, "id")));
    Ok(match ctx.query.get("done") {
        "" => crate::console::Reply::See(path),
        done => ctx.see(&path, done),
    })
}

/// `GET /reviews/{id}`
pub async fn show(ctx: &Ctx) -> Outcome {
    let review = load(ctx).await?;
    let (payment, charge) = (&review["payment"], &review["charge"]);
    let open = review["open"] == true;
    let amount = format::money(number(payment, "amount"), text(payment, "currency"));
    let known = &charge["card"];
    let mut facts = Facts::new("")
        .fact(
            ctx.t("column.status"),
            ctx.status(if open { "open" } else { text(&review, "closed_reason") }),
        )
        .fact(
            ctx.t("column.payment"),
            Cell::link(format!("/payments/{}", text(payment, "id")), text(payment, "id")),
        )
        .fact(ctx.t("reviews.waiting"), age(ctx, &review))
        .fact(ctx.t("column.amount"), ctx.money(payment, "amount"))
        .fact(ctx.t("column.card"), card(text(known, "brand"), text(known, "last4")))
        .fact_many(
            ctx.t("payment.card_facts"),
            ["funding", "country", "bin"]
                .map(|field| Cell::Quiet(text(known, field).to_owned()))
                .to_vec(),
        )
        .fact_some(
            ctx.t("reviews.ip"),
            charge["context"]["ip"].as_str().map(|ip| Cell::Code(ip.to_owned())),
        )
        .fact_some(ctx.t("column.description"), payment["details"]["description"].as_str())
        .fact(
            ctx.t("column.merchant"),
            Cell::link(
                format!("/merchants/{}", text(&review, "account")),
                text(&review, "merchant"),
            ),
        );
    if let Some(model) = charge["risk"]["model"]["model"].as_str() {
        facts = facts.fact(ctx.t("reviews.model"), Cell::Quiet(model.to_owned()));
    }
    let mut view = View::new(ctx.f("reviews.one", &[&amount]))
        .crumb("/reviews", ctx.t("reviews.title"))
        .with(facts);
    if open && ctx.is(RISK_ACTS) {
        view = view.with(acts(ctx, &review));
    }
    view = view.with_some(reasons(ctx, charge));
    let near = near(ctx, &review).await?;
    if near.is_empty() {
        view = view.with(Notice::new(Tone::Plain, ctx.t("reviews.alone")));
    } else {
        view = view.with(graph(ctx, charge, &near)).with(similar(ctx, &near));
    }
    Ok(view.into())
}

/// `POST /reviews/{id}/approve`
pub async fn approve(ctx: &Ctx) -> Outcome {
    decide(ctx, "approve", "approved").await
}

/// `POST /reviews/{id}/reject`
pub async fn reject(ctx: &Ctx) -> Outcome {
    decide(ctx, "reject", "rejected").await
}

/// `POST /reviews/{id}/list`: the card, customer or address goes on a list, and nothing else happens.
pub async fn put_on_list(ctx: &Ctx) -> Outcome {
    let review = load(ctx).await?;
    let (alias, value) = match ctx.form.get("what") {
        "card" => (
            "card_fingerprint_blocklist",
            review["charge"]["card"]["fingerprint"].as_str(),
        ),
        "ip" => ("ip_address_blocklist", review["charge"]["context"]["ip"].as_str()),
        "customer" => ("customer_id_blocklist", review["payment"]["customer_id"].as_str()),
        "trust" => (
            "card_fingerprint_allowlist",
            review["charge"]["card"]["fingerprint"].as_str(),
        ),
        _ => return Err(Fault::refused(ctx.t("reviews.list.what"))),
    };
    let value = value.ok_or_else(|| Fault::refused(ctx.t("reviews.list.unknown")))?;
    let parameters = [("value_list", alias), ("value", value)];
    ctx.act("/v1/radar/value_list_items", text(&review, "account"), &parameters)
        .await?;
    Ok(ctx.see(&format!("/reviews/{}", text(&review, "id")), "listed"))
}

/// Why an attempt was judged as it was: rules and model with their points, the largest first.
pub(super) fn reasons(ctx: &Ctx, charge: &Value) -> Option<Section> {
    let risk = &charge["risk"];
    let decision = text(risk, "decision");
    if decision.is_empty() {
        return None;
    }
    let columns = ctx.columns(&["reviews.rule", "column.reason", "reviews.feature", "reviews.points"]);
    let title = ctx.f(
        "reviews.why",
        &[&number(risk, "score").to_string(), &ctx.word(decision)],
    );
    let mut table = Table::new(title, &columns).empty(ctx.t("reviews.no_reasons"));
    for reason in risk["reasons"].as_array().into_iter().flatten() {
        let points = reason["contribution"].as_f64().unwrap_or_default();
        table.push(vec![
            Cell::Code(text(reason, "code").to_owned()),
            text(reason, "message").into(),
            Cell::Quiet(match reason["value"].as_f64() {
                Some(value) => format!("{} = {value:.6}", text(reason, "feature"))
                    .trim_end_matches('0')
                    .trim_end_matches('.')
                    .to_owned(),
                None => text(reason, "feature").to_owned(),
            }),
            Cell::Points {
                plus: points >= 0.0,
                width: points.abs().clamp(0.0, 100.0) as u8,
                text: format!("{points:+.1}"),
            },
        ]);
    }
    for shadow in risk["shadow"].as_array().into_iter().flatten() {
        table.push(vec![
            Cell::Code(text(shadow, "rule").to_owned()),
            Cell::Quiet(text(shadow, "message").to_owned()),
            ctx.status("shadow"),
            Cell::Quiet(ctx.word(text(shadow, "action"))),
        ]);
    }
    Some(table.into())
}

async fn decide(ctx: &Ctx, how: &str, done: &str) -> Outcome {
    let review = load(ctx).await?;
    let id = text(&review, "id");
    ctx.act(&format!("/v1/reviews/{id}/{how}"), text(&review, "account"), &[])
        .await?;
    Ok(ctx.see(&format!("/reviews/next?after={id}"), done))
}

async fn load(ctx: &Ctx) -> Result<Value, Fault> {
    let id = ctx.params.get("id");
    ctx.row(&ONE, &[&ctx.own_book(), &id]).await?.ok_or(Fault::Missing)
}

fn age(ctx: &Ctx, row: &Value) -> Cell {
    let Some(since) = format::timestamp(&row["created_at"]) else {
        return Cell::Quiet("–".into());
    };
    let seconds = ctx.now.duration_since(since).as_secs();
    Cell::Badge {
        tone: match seconds / 3600 {
            hours if hours < WANTED_WITHIN_HOURS / 2 => Tone::Plain,
            hours if hours < WANTED_WITHIN_HOURS => Tone::Warn,
            _ => Tone::Bad,
        },
        text: format::distance(seconds),
    }
}

fn acts(ctx: &Ctx, review: &Value) -> Acts {
    let id = text(review, "id");
    let captured = review["charge"]["captured"] == true;
    let mut forms = vec![
        ctx.form(format!("/reviews/{id}/approve"), "reviews.approve")
            .tone(Tone::Good)
            .key("a"),
    ];
    forms.push(match captured {
        // What is taken already is given back on the payment's page, as fraud.
        true => ctx
            .form(
                format!("/payments/{}/refund", text(&review["payment"], "id")),
                "reviews.refund",
            )
            .hidden(
                "amount",
                crate::wire::amount(
                    number(&review["payment"], "amount_received"),
                    text(&review["payment"], "currency"),
                )
                .split(' ')
                .next()
                .unwrap_or_default(),
            )
            .hidden("reason", "fraudulent")
            .tone(Tone::Bad)
            .confirm(ctx.t("payment.refund.sure"))
            .key("f"),
        false => ctx
            .form(format!("/reviews/{id}/reject"), "reviews.reject")
            .tone(Tone::Bad)
            .key("r"),
    });
    let what = [
        ("card", "reviews.list.card"),
        ("ip", "reviews.list.ip"),
        ("customer", "reviews.list.customer"),
        ("trust", "reviews.list.trust"),
    ]
    .map(|(what, words)| (what.to_owned(), ctx.t(words)));
    forms.push(
        ctx.form(format!("/reviews/{id}/list"), "reviews.list")
            .field(Field::choice("what", ctx.t("reviews.list.what"), what.to_vec()))
            .key("l"),
    );
    Acts {
        title: ctx.t("reviews.decide"),
        forms,
    }
}

async fn near(ctx: &Ctx, review: &Value) -> Result<Vec<Value>, Fault> {
    let charge = &review["charge"];
    let shown = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let fingerprint = shown(&charge["card"]["fingerprint"]);
    let (device, ip) = (shown(&charge["context"]["device"]), shown(&charge["context"]["ip"]));
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] = [
        &number(review, "book_id"),
        &text(charge, "id"),
        &fingerprint,
        &device,
        &ip,
    ];
    ctx.rows(&NEAR, &values).await
}

fn ties(ctx: &Ctx, row: &Value) -> String {
    let shared = [
        ("same_card", "reviews.same_card"),
        ("same_device", "reviews.same_device"),
        ("same_ip", "reviews.same_ip"),
    ];
    let words = shared
        .iter()
        .filter(|(field, _)| row[*field] == true)
        .map(|(_, words)| ctx.t(words));
    words.collect::<Vec<_>>().join(" · ")
}

fn graph(ctx: &Ctx, charge: &Value, near: &[Value]) -> Graph {
    let nodes = near.iter().map(|row| Node {
        tie: ties(ctx, row),
        text: format!(
            "{} · {}",
            format::money(number(row, "amount"), text(row, "currency")),
            ctx.word(text(row, "status"))
        ),
        href: format!("/payments/{}", text(row, "payment_id")),
        tone: if row["disputed"] == true {
            Tone::Bad
        } else {
            Tone::of(text(row, "level"))
        },
    });
    Graph {
        title: ctx.t("reviews.links"),
        middle: text(charge, "id").to_owned(),
        nodes: nodes.collect(),
    }
}

fn similar(ctx: &Ctx, near: &[Value]) -> Table {
    let columns = ctx.columns(&[
        "column.payment",
        "column.when",
        "column.status",
        "column.amount>",
        "column.card",
        "column.risk>",
        "reviews.tie",
    ]);
    let mut table = Table::new(ctx.t("reviews.similar"), &columns);
    for row in near {
        let disputed = if row["disputed"] == true {
            "disputed"
        } else {
            standing(row)
        };
        table.push(vec![
            Cell::link(
                format!("/payments/{}", text(row, "payment_id")),
                text(row, "payment_id"),
            ),
            ctx.time(row, "created_at"),
            ctx.status(disputed),
            ctx.money(row, "amount"),
            card(text(row, "brand"), text(row, "last4")).into(),
            Cell::Badge {
                tone: Tone::of(text(row, "level")),
                text: number(row, "score").to_string(),
            },
            Cell::Quiet(ties(ctx, row)),
        ]);
    }
    table
}
