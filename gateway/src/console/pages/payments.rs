//! Payments: found by what one knows of them, and exported.
//!
//! A list begins at the end of each merchant's key and looks at so many payments at most: what is rare is not sought through the
//! whole of a book, and the page says so.

use crate::console::ctx::{Ctx, Outcome, Reply};
use crate::console::query::{Query, number, text};
use crate::console::view::{Cell, Field, Filter, Kind, Notice, Table, Tone, View};
use crate::console::{Fault, format};
use crate::id;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;
use tokio_postgres::types::Type;

/// Payments of one merchant or all, newest first, older than a cursor.
pub static LIST: Query = Query {
    name: "payments.list",
    sql: "SELECT f.id, f.status, f.amount, f.currency, f.amount_received, f.amount_refunded, f.amount_disputed, f.created_at, f.customer_id,
                 f.brand, f.last4, f.score, f.level, f.failure, f.description, m.id AS account, m.name AS merchant, f.looked
          FROM gateway.merchant m CROSS JOIN LATERAL (
              SELECT w.id, w.status, w.amount, w.currency, w.amount_received, w.amount_refunded, w.amount_disputed, w.created_at, w.customer_id,
                     c.card->>'brand' AS brand, c.card->>'last4' AS last4, (c.risk->>'score')::int AS score, c.risk->>'level' AS level,
                     coalesce(c.decline_code, c.failure_code) AS failure, w.details->>'description' AS description, w.looked
              FROM (SELECT p.*, row_number() OVER () AS looked FROM (
                        SELECT p.* FROM gateway.payment p
                        WHERE p.book_id = m.book_id AND p.id < $2 AND p.id >= $3 ORDER BY p.id DESC LIMIT 20000) p) w
              LEFT JOIN gateway.charge c ON c.book_id = w.book_id AND c.id = w.charge_id
              WHERE ($4::text IS NULL OR w.status = $4) AND ($5::text IS NULL OR w.currency = $5)
                AND ($6::bigint IS NULL OR w.amount >= $6) AND ($7::bigint IS NULL OR w.amount <= $7)
                AND ($8::text IS NULL OR c.card->>'last4' = $8) AND ($9::text IS NULL OR c.risk->>'level' = $9)
                AND ($10::text IS NULL OR w.customer_id = $10)
              ORDER BY w.id DESC LIMIT $11) f
          WHERE ($1::bigint IS NULL OR m.book_id = $1)
          ORDER BY f.id DESC LIMIT $11",
    types: &[
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::INT8,
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::INT8,
    ],
};

/// Who sells here, for a field of choices.
pub static ALL_MERCHANTS: Query = Query {
    name: "payments.merchants",
    sql: "SELECT m.id, m.name, m.book_id FROM gateway.merchant m WHERE $1::bigint IS NULL OR m.book_id = $1 ORDER BY m.book_id LIMIT 500",
    types: &[Type::INT8],
};

const PAGE: i64 = 50;
const EXPORTED: i64 = 10_000;
/// Behind every id.
const END: &str = "pi_~";

/// `GET /payments`
pub async fn index(ctx: &Ctx) -> Outcome {
    let merchants = ctx.rows(&ALL_MERCHANTS, &[&ctx.own_book()]).await?;
    let (rows, fault) = match found(ctx, &merchants, PAGE + 1).await {
        Ok(rows) => (rows, None),
        Err(Fault::Refused { message, .. }) => (Vec::new(), Some(message)),
        Err(fault) => return Err(fault),
    };
    let more = rows.len() as i64 > PAGE;
    let rows = &rows[..rows.len().min(PAGE as usize)];
    let mut table = table(ctx, rows);
    if more && let Some(last) = rows.last() {
        table.older = ctx.href("/payments", &[("before", text(last, "id"))]);
        table.older_text = ctx.t("list.older");
    }
    if ctx.query.some("before").is_some() {
        table.newest = ctx.href("/payments", &[("before", "")]);
        table.newest_text = ctx.t("list.newest");
    }
    let mut view = View::new(ctx.t("payments.title")).with(filter(ctx, &merchants));
    if let Some(fault) = fault {
        view = view.with(Notice::new(Tone::Bad, fault));
    }
    let narrowed = ["status", "currency", "least", "most", "last4", "level", "customer"];
    if !more && narrowed.iter().any(|name| ctx.query.some(name).is_some()) {
        view = view.with(Notice::new(Tone::Plain, ctx.f("list.searched", &["20,000"])));
    }
    let save = ctx
        .form("/settings/views", "payments.save_view")
        .field(Field::new(Kind::Text, "name", ctx.t("payments.view_name")).required())
        .hidden("href", ctx.href("/payments", &[("before", "")]));
    let view = view.with(table);
    let searched = ctx
        .query
        .0
        .iter()
        .any(|(name, value)| name != "done" && !value.is_empty());
    Ok(view.with_some(searched.then_some(save)).live().into())
}

/// `GET /payments.csv`
pub async fn export(ctx: &Ctx) -> Outcome {
    let merchants = ctx.rows(&ALL_MERCHANTS, &[&ctx.own_book()]).await?;
    let rows = found(ctx, &merchants, EXPORTED).await?;
    let mut out = csv::Writer::from_writer(Vec::new());
    let fields = [
        "id",
        "created_at",
        "account",
        "merchant",
        "status",
        "amount",
        "currency",
        "amount_received",
        "amount_refunded",
        "amount_disputed",
        "brand",
        "last4",
        "score",
        "level",
        "failure",
        "customer_id",
        "description",
    ];
    let written = out.write_record(fields).and_then(|()| {
        rows.iter()
            .try_for_each(|row| out.write_record(fields.iter().map(|field| plain(&row[*field]))))
    });
    let content = written
        .ok()
        .and_then(|()| out.into_inner().ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(Reply::File {
        name: format!("payments-{}.csv", ctx.now.strftime("%Y%m%d-%H%M%S")),
        kind: "text/csv; charset=utf-8",
        content: content.ok_or_else(|| Fault::Internal("an export could not be written".into()))?,
    })
}

/// A list of payments, wherever one is shown.
pub(super) fn table(ctx: &Ctx, rows: &[Value]) -> Table {
    let columns = ctx.columns(&[
        "column.payment",
        "column.when",
        "column.status",
        "column.amount>",
        "column.card",
        "column.risk>",
        "column.merchant",
        "column.description",
    ]);
    let mut table = Table::new(String::new(), &columns).empty(ctx.t("payments.none"));
    for row in rows {
        table.push(vec![
            Cell::link(format!("/payments/{}", text(row, "id")), text(row, "id")),
            ctx.time(row, "created_at"),
            ctx.status(standing(row)),
            ctx.money(row, "amount"),
            card(text(row, "brand"), text(row, "last4")).into(),
            match row["score"].as_i64() {
                Some(score) => Cell::Badge {
                    tone: Tone::of(text(row, "level")),
                    text: score.to_string(),
                },
                None => Cell::Quiet("–".into()),
            },
            text(row, "merchant").into(),
            match text(row, "failure") {
                "" => text(row, "description").into(),
                failure => Cell::Quiet(ctx.word(failure)),
            },
        ]);
    }
    table
}

/// What a person calls a payment's state: what became of the money comes before what became of the payment.
pub(super) fn standing(row: &Value) -> &str {
    match text(row, "status") {
        "succeeded" if number(row, "amount_disputed") > 0 => "disputed",
        "succeeded"
            if number(row, "amount_refunded") >= number(row, "amount_received")
                && number(row, "amount_received") > 0 =>
        {
            "refunded"
        }
        "succeeded" if number(row, "amount_refunded") > 0 => "partially_refunded",
        "requires_payment_method" if !text(row, "failure").is_empty() => "failed",
        status => status,
    }
}

/// `Visa ··4242`
pub(super) fn card(brand: &str, last4: &str) -> String {
    if last4.is_empty() {
        return "–".into();
    }
    let mut letters = brand.chars();
    let brand = letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect::<String>());
    format!("{} ··{last4}", brand.unwrap_or_default())
}

/// A field of choices with everything first.
pub(super) fn choices(ctx: &Ctx, name: &str, label: &str, values: &[&str]) -> Field {
    let mut options = vec![(String::new(), ctx.t("list.any"))];
    options.extend(values.iter().map(|value| ((*value).to_owned(), ctx.word(value))));
    Field::choice(name, ctx.t(label), options).value(ctx.query.get(name))
}

/// The merchant that is asked for, among those that may be seen.
pub(super) fn merchant_field(ctx: &Ctx, merchants: &[Value]) -> Field {
    let mut options = vec![(String::new(), ctx.t("list.all_merchants"))];
    options.extend(
        merchants
            .iter()
            .map(|m| (text(m, "id").to_owned(), text(m, "name").to_owned())),
    );
    Field::choice("account", ctx.t("column.merchant"), options).value(ctx.query.get("account"))
}

/// The book that is asked for: their own, or the one of the merchant that was chosen.
pub(super) fn book(ctx: &Ctx, merchants: &[Value]) -> Option<i64> {
    let chosen = ctx.query.some("account");
    let chosen = chosen.and_then(|id| merchants.iter().find(|m| text(m, "id") == id));
    ctx.own_book().or_else(|| chosen.map(|m| number(m, "book_id")))
}

async fn found(ctx: &Ctx, merchants: &[Value], limit: i64) -> Result<Vec<Value>, Fault> {
    let query = &ctx.query;
    let currency = query.some("currency").map(str::to_lowercase);
    let exponent = currency
        .as_deref()
        .unwrap_or("usd")
        .parse()
        .map_or(2, ledger::Currency::exponent);
    let amount = |name: &str| match query.some(name) {
        Some(typed) => format::minor(typed, exponent)
            .map(Some)
            .ok_or_else(|| Fault::refused(ctx.f("payments.no_amount", &[typed]))),
        None => Ok(None),
    };
    let day = |name: &str| match query.some(name) {
        Some(typed) => typed
            .parse::<Date>()
            .map(Some)
            .map_err(|_| Fault::refused(ctx.f("payments.no_date", &[typed]))),
        None => Ok(None),
    };
    let begin = |day: Date| {
        day.to_zoned(ctx.zone.clone())
            .map_or(Timestamp::UNIX_EPOCH, |at| at.timestamp())
    };
    let from = day("from")?.map_or_else(|| "pi_".to_owned(), |day| id::floor(id::prefix::PAYMENT, begin(day)));
    let until = day("to")?.and_then(|day| day.tomorrow().ok());
    let until = until.map_or_else(|| END.to_owned(), |day| id::floor(id::prefix::PAYMENT, begin(day)));
    let before = match query.some("before") {
        Some(cursor) if cursor < until.as_str() => cursor.to_owned(),
        _ => until,
    };
    let values = (
        book(ctx, merchants),
        query.some("status"),
        amount("least")?,
        amount("most")?,
        query.some("last4"),
        query.some("level"),
        query.some("customer"),
    );
    let (book, status, least, most, last4, level, customer) = values;
    ctx.rows(
        &LIST,
        &[
            &book, &before, &from, &status, &currency, &least, &most, &last4, &level, &customer, &limit,
        ],
    )
    .await
}

fn filter(ctx: &Ctx, merchants: &[Value]) -> Filter {
    let typed = |kind: Kind, name: &str, label: &str| Field::new(kind, name, ctx.t(label)).value(ctx.query.get(name));
    let mut fields = vec![
        choices(
            ctx,
            "status",
            "column.status",
            &[
                "succeeded",
                "requires_capture",
                "requires_payment_method",
                "requires_action",
                "processing",
                "canceled",
            ],
        ),
        choices(ctx, "level", "column.risk", &["normal", "elevated", "highest"]),
        typed(Kind::Text, "currency", "column.currency"),
        typed(Kind::Amount, "least", "payments.least"),
        typed(Kind::Amount, "most", "payments.most"),
        typed(Kind::Digits, "last4", "payments.last4"),
        typed(Kind::Text, "customer", "payments.customer"),
        typed(Kind::Date, "from", "payments.from"),
        typed(Kind::Date, "to", "payments.to"),
    ];
    if ctx.own_book().is_none() {
        fields.insert(0, merchant_field(ctx, merchants));
    }
    let mut links = vec![(ctx.href("/payments.csv", &[("before", "")]), ctx.t("payments.export"))];
    let views = &ctx.session.user.preferences.views;
    links.extend(views.iter().map(|view| (view.href.clone(), view.name.clone())));
    Filter {
        action: "/payments".into(),
        fields,
        submit: ctx.t("list.search"),
        clear: ctx.t("list.clear"),
        links,
    }
}

/// A cell of an export. What a spreadsheet would run is kept a text (OWASP, CSV injection).
fn plain(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => return other.to_string(),
    };
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_spreadsheet_runs_nothing() {
        assert_eq!(plain(&json!("=HYPERLINK(\"x\")")), "'=HYPERLINK(\"x\")");
        assert_eq!(plain(&json!("tea")), "tea");
        assert_eq!(plain(&json!(-5)), "-5", "a number is one");
        assert_eq!(plain(&Value::Null), "");
    }

    #[test]
    fn what_became_of_the_money_comes_first() {
        let of = |received, refunded, disputed| {
            let row = json!({"status": "succeeded", "amount_received": received, "amount_refunded": refunded, "amount_disputed": disputed});
            standing(&row).to_owned()
        };
        assert_eq!(of(100, 0, 0), "succeeded");
        assert_eq!(of(100, 40, 0), "partially_refunded");
        assert_eq!(of(100, 100, 0), "refunded");
        assert_eq!(of(100, 0, 100), "disputed");
        assert_eq!(
            standing(&json!({"status": "requires_payment_method", "failure": "card_declined"})),
            "failed"
        );
        assert_eq!(card("visa", "4242"), "Visa ··4242");
    }
}
