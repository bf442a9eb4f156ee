//! What takes two people: one asks, another one decides, and what was decided is carried out under the request's own id, so that a
//! decision that was cut short is carried out by whoever opens it next, once.

use crate::console::ctx::{Ctx, Fault, Outcome};
use crate::console::format;
use crate::console::query::{Query, number, text};
use crate::console::view::{Acts, Cell, Facts, Field, Kind, Notice, Table, Tone, View};
use crate::id;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio_postgres::types::{ToSql, Type};

/// What waits.
pub static OPEN: Query = Query {
    name: "approvals.open",
    sql: "SELECT a.* FROM gateway.approval a WHERE a.status IN ('open','approved') AND ($1::bigint IS NULL OR a.book_id = $1)
          ORDER BY a.created_at LIMIT 200",
    types: &[Type::INT8],
};

/// What was decided lately.
pub static RECENT: Query = Query {
    name: "approvals.recent",
    sql: "SELECT a.* FROM gateway.approval a WHERE a.status NOT IN ('open','approved') AND ($1::bigint IS NULL OR a.book_id = $1)
          ORDER BY a.created_at DESC LIMIT 50",
    types: &[Type::INT8],
};

/// One.
pub static ONE: Query = Query {
    name: "approvals.one",
    sql: "SELECT a.*, m.id AS account, m.name AS merchant FROM gateway.merchant m
          CROSS JOIN LATERAL (SELECT t.* FROM gateway.approval t WHERE t.book_id = m.book_id AND t.id = $2) a
          WHERE $1::bigint IS NULL OR m.book_id = $1",
    types: &[Type::INT8, Type::TEXT],
};

/// Nobody decides about what was asked for longer ago.
const LIVES: SignedDuration = SignedDuration::from_hours(72);

/// `GET /approvals`
pub async fn index(ctx: &Ctx) -> Outcome {
    let book = ctx.own_book();
    let open = ctx.rows(&OPEN, &[&book]).await?;
    let recent = ctx.rows(&RECENT, &[&book]).await?;
    Ok(View::new(ctx.t("approvals.title"))
        .lead(ctx.t("approvals.lead"))
        .live()
        .with(table(ctx, "approvals.open", &open).empty(ctx.t("approvals.none")))
        .with(table(ctx, "approvals.recent", &recent).empty(ctx.t("approvals.none")))
        .into())
}

/// `GET /approvals/{id}`
pub async fn show(ctx: &Ctx) -> Outcome {
    let asked = load(ctx).await?;
    let subject = text(&asked, "subject");
    let facts = Facts::new("")
        .fact(ctx.t("column.status"), ctx.status(text(&asked, "status")))
        .fact(ctx.t("approvals.what"), ctx.word(text(&asked, "kind")))
        .fact(
            ctx.t("approvals.subject"),
            match super::of_object(subject) {
                Some(page) => Cell::link(page, subject),
                None => Cell::Code(subject.to_owned()),
            },
        )
        .fact_some(
            ctx.t("column.amount"),
            asked["amount"].as_i64().map(|_| ctx.money(&asked, "amount")),
        )
        .fact(ctx.t("column.merchant"), text(&asked, "merchant"))
        .fact(ctx.t("column.reason"), text(&asked, "reason"))
        .fact(ctx.t("approvals.maker"), text(&asked, "maker"))
        .fact(ctx.t("column.when"), ctx.time(&asked, "created_at"))
        .fact(ctx.t("approvals.expires"), ctx.due(&asked, "expires_at"))
        .fact_some(ctx.t("approvals.checker"), asked["checker"].as_str())
        .fact_some(ctx.t("approvals.note"), asked["note"].as_str())
        .fact_some(ctx.t("approvals.outcome"), asked["outcome"].as_str());
    let mut view = View::new(ctx.word(text(&asked, "kind")))
        .crumb("/approvals", ctx.t("approvals.title"))
        .lead(text(&asked, "id"))
        .with(facts);
    let mine = same(text(&asked, "maker"), &ctx.session.user.name);
    match text(&asked, "status") {
        "open" if mine => view = view.with(Notice::new(Tone::Plain, ctx.t("approvals.own"))),
        "open" if expired(ctx, &asked) => view = view.with(Notice::new(Tone::Warn, ctx.t("approvals.expired"))),
        "open" | "approved" if ctx.is(super::APPROVERS) => view = view.with(acts(ctx, &asked)),
        _ => {}
    }
    Ok(view.into())
}

/// `POST /approvals/{id}/approve`
pub async fn approve(ctx: &Ctx) -> Outcome {
    let asked = load(ctx).await?;
    let path = format!("/approvals/{}", text(&asked, "id"));
    if text(&asked, "status") != "approved" {
        decide(ctx, &asked, "approved").await?;
    } else if same(text(&asked, "maker"), &ctx.session.user.name) {
        return Err(Fault::Forbidden);
    }
    let carried = carry_out(ctx, &asked).await;
    let (status, outcome) = match &carried {
        Ok(done) => ("done", done.clone()),
        Err(Fault::Refused { message, .. }) => ("failed", message.clone()),
        Err(Fault::Missing) => ("failed", ctx.t("error.missing")),
        // Not known: it stays approved, and is carried out under the same id by whoever tries again.
        Err(_) => return carried.map(|_| ctx.see(&path, "approved")),
    };
    let outcome: String = outcome.chars().take(500).collect();
    let sql =
        "UPDATE gateway.approval SET status = $3, outcome = $4 WHERE book_id = $1 AND id = $2 AND status = 'approved'";
    let values: [(&(dyn ToSql + Sync), Type); 4] = [
        (&number(&asked, "book_id"), Type::INT8),
        (&text(&asked, "id"), Type::TEXT),
        (&status, Type::TEXT),
        (&outcome, Type::TEXT),
    ];
    ctx.console.app.reads.get().await?.execute_typed(sql, &values).await?;
    Ok(ctx.see(
        &path,
        if status == "done" {
            "carried_out"
        } else {
            "not_carried_out"
        },
    ))
}

/// `POST /approvals/{id}/reject`
pub async fn reject(ctx: &Ctx) -> Outcome {
    let asked = load(ctx).await?;
    decide(ctx, &asked, "rejected").await?;
    Ok(ctx.see("/approvals", "rejected"))
}

/// Asks for a refund that one person may not make alone.
pub(super) async fn ask_refund(ctx: &Ctx, payment: &Value, amount: i64) -> Result<String, Fault> {
    let content = json!({ "reason": ctx.form.get("reason") });
    let money = Some((amount, text(payment, "currency")));
    ask(
        ctx,
        number(payment, "book_id"),
        "refund",
        text(payment, "id"),
        money,
        &content,
        ctx.form.get("note"),
    )
    .await
}

/// Asks for something. Asking twice by one form is asking once.
pub(super) async fn ask(
    ctx: &Ctx,
    book: i64,
    kind: &str,
    subject: &str,
    money: Option<(i64, &str)>,
    content: &Value,
    reason: &str,
) -> Result<String, Fault> {
    let reason = match reason.trim() {
        "" => return Err(Fault::refused(ctx.t("approvals.why"))),
        reason => reason.chars().take(500).collect::<String>(),
    };
    let fresh = id::new(id::prefix::APPROVAL);
    let (amount, currency) = money.unzip();
    let mut content = content.clone();
    content["once"] = json!(ctx.form.get("once"));
    let sql = "INSERT INTO gateway.approval (book_id, id, kind, subject, amount, currency, content, reason, maker, created_at, expires_at)
               SELECT $1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, $9, $10, $11
               WHERE NOT EXISTS (SELECT FROM gateway.approval a WHERE a.status = 'open' AND a.book_id = $1 AND a.maker = $9
                                   AND a.subject = $4 AND a.content->>'once' = ($7::text::jsonb)->>'once')";
    let (content, maker, until) = (content.to_string(), &ctx.session.user.name, ctx.now + LIVES);
    let values: [(&(dyn ToSql + Sync), Type); 11] = [
        (&book, Type::INT8),
        (&fresh, Type::TEXT),
        (&kind, Type::TEXT),
        (&subject, Type::TEXT),
        (&amount, Type::INT8),
        (&currency, Type::TEXT),
        (&content, Type::TEXT),
        (&reason, Type::TEXT),
        (maker, Type::TEXT),
        (&ctx.now, Type::TIMESTAMPTZ),
        (&until, Type::TIMESTAMPTZ),
    ];
    let client = ctx.console.app.reads.get().await?;
    if client.execute_typed(sql, &values).await? == 1 {
        return Ok(fresh);
    }
    let known = "SELECT a.id FROM gateway.approval a WHERE a.status = 'open' AND a.book_id = $1 AND a.maker = $2 AND a.subject = $3
                 ORDER BY a.id DESC LIMIT 1";
    let values: [(&(dyn ToSql + Sync), Type); 3] = [(&book, Type::INT8), (maker, Type::TEXT), (&subject, Type::TEXT)];
    let row = client.query_typed_opt(known, &values).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(fresh))
}

async fn decide(ctx: &Ctx, asked: &Value, verdict: &str) -> Result<(), Fault> {
    let me = &ctx.session.user.name;
    if same(text(asked, "maker"), me) {
        return Err(Fault::Refused {
            status: 403,
            message: ctx.t("approvals.own"),
        });
    }
    if expired(ctx, asked) && verdict == "approved" {
        return Err(Fault::refused(ctx.t("approvals.expired")));
    }
    let note = ctx
        .form
        .some("note")
        .map(|note| note.chars().take(500).collect::<String>());
    if verdict == "rejected" && note.is_none() {
        return Err(Fault::refused(ctx.t("approvals.why_not")));
    }
    let sql = "UPDATE gateway.approval SET status = $3, checker = $4, note = $5, decided_at = $6
               WHERE book_id = $1 AND id = $2 AND status = 'open' AND ($3 = 'rejected' OR expires_at > $6)";
    let values: [(&(dyn ToSql + Sync), Type); 6] = [
        (&number(asked, "book_id"), Type::INT8),
        (&text(asked, "id"), Type::TEXT),
        (&verdict, Type::TEXT),
        (me, Type::TEXT),
        (&note, Type::TEXT),
        (&ctx.now, Type::TIMESTAMPTZ),
    ];
    let client = ctx.console.app.reads.get().await?;
    match client.execute_typed(sql, &values).await? {
        1 => Ok(()),
        _ => Err(Fault::Refused {
            status: 409,
            message: ctx.t("approvals.decided"),
        }),
    }
}

/// Does what was approved, under the request's id: once, however often it is tried.
async fn carry_out(ctx: &Ctx, asked: &Value) -> Result<String, Fault> {
    let (id, subject, account) = (text(asked, "id"), text(asked, "subject"), text(asked, "account"));
    match text(asked, "kind") {
        "refund" => {
            let amount = number(asked, "amount").to_string();
            let parameters = [
                ("payment_intent", subject),
                ("amount", amount.as_str()),
                ("reason", asked["content"]["reason"].as_str().unwrap_or_default()),
                ("metadata[approval]", id),
            ];
            let parameters: Vec<_> = parameters.into_iter().filter(|(_, value)| !value.is_empty()).collect();
            let key = format!("approval:{id}");
            let refund = ctx
                .call(http::Method::POST, "/v1/refunds", account, &parameters, Some(&key))
                .await?;
            Ok(text(&refund, "id").to_owned())
        }
        "key_revocation" => {
            let sql = "SELECT gateway.revoke_key($1, $2, $3)";
            let values: [(&(dyn ToSql + Sync), Type); 3] = [
                (&number(asked, "book_id"), Type::INT8),
                (&id, Type::TEXT),
                (&ctx.now, Type::TIMESTAMPTZ),
            ];
            let client = ctx.console.app.reads.get().await?;
            let rows = client.query_typed(sql, &values).await?;
            let ended = rows.first().map(|row| row.try_get::<_, bool>(0)).transpose()?;
            Ok(ctx.t(if ended == Some(true) {
                "approvals.key_ended"
            } else {
                "approvals.key_had_ended"
            }))
        }
        _ => Err(Fault::refused(ctx.t("approvals.unknown"))),
    }
}

async fn load(ctx: &Ctx) -> Result<Value, Fault> {
    let id = ctx.params.get("id");
    ctx.row(&ONE, &[&ctx.own_book(), &id]).await?.ok_or(Fault::Missing)
}

fn same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

fn expired(ctx: &Ctx, asked: &Value) -> bool {
    format::timestamp(&asked["expires_at"]).is_none_or(|at| at <= ctx.now)
}

fn acts(ctx: &Ctx, asked: &Value) -> Acts {
    let id = text(asked, "id");
    let approve = ctx
        .form(format!("/approvals/{id}/approve"), "approvals.approve")
        .field(Field::new(Kind::Text, "note", ctx.t("approvals.note")))
        .tone(Tone::Good);
    let mut forms = vec![approve];
    if text(asked, "status") == "open" {
        forms.push(
            ctx.form(format!("/approvals/{id}/reject"), "approvals.reject")
                .field(Field::new(Kind::Text, "note", ctx.t("approvals.note")).required())
                .tone(Tone::Bad),
        );
    }
    Acts {
        title: ctx.t("reviews.decide"),
        forms,
    }
}

fn table(ctx: &Ctx, title: &str, rows: &[Value]) -> Table {
    let columns = ctx.columns(&[
        "approvals.request",
        "approvals.what",
        "column.amount>",
        "approvals.subject",
        "approvals.maker",
        "column.when",
        "column.status",
        "approvals.checker",
    ]);
    let mut table = Table::new(ctx.t(title), &columns);
    for row in rows {
        table.push(vec![
            Cell::link(format!("/approvals/{}", text(row, "id")), text(row, "id")),
            ctx.word(text(row, "kind")).into(),
            match row["amount"].as_i64() {
                Some(_) => ctx.money(row, "amount"),
                None => Cell::Quiet("–".into()),
            },
            Cell::Code(text(row, "subject").to_owned()),
            text(row, "maker").into(),
            ctx.time(row, "created_at"),
            ctx.status(text(row, "status")),
            text(row, "checker").into(),
        ]);
    }
    table
}
