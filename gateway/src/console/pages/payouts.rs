//! Payouts, and what each merchant may expect next.

use super::payments::choices;
use crate::console::ctx::{Ctx, Outcome};
use crate::console::query::{Query, text};
use crate::console::view::{Cell, Filter, Table, View};
use tokio_postgres::types::Type;

/// Payouts, newest first, older than a cursor.
pub static LIST: Query = Query {
    name: "payouts.list",
    sql: "SELECT o.*, m.name AS merchant, m.id AS account FROM gateway.merchant m CROSS JOIN LATERAL (
              SELECT t.id, t.status, t.amount, t.currency, t.automatic, t.failure_message, t.arrival_at, t.created_at, t.bank_reference
              FROM gateway.payout t WHERE t.book_id = m.book_id AND t.id < $2 AND ($3::text IS NULL OR t.status = $3)
              ORDER BY t.id DESC LIMIT 51) o
          WHERE $1::bigint IS NULL OR m.book_id = $1 ORDER BY o.id DESC LIMIT 51",
    types: &[Type::INT8, Type::TEXT, Type::TEXT],
};

/// What is pending, available and in reserve, per merchant and currency.
pub static FUNDS: Query = Query {
    name: "payouts.funds",
    sql: "SELECT m.name AS merchant, m.id AS account, m.payouts_paused, f.id AS currency, f.payout_at,
                 coalesce((SELECT b.available FROM ledger.balance b WHERE b.book_id = m.book_id AND b.account = '2010.' || f.id), 0) AS pending,
                 coalesce((SELECT b.available FROM ledger.balance b WHERE b.book_id = m.book_id AND b.account = '2020.' || f.id), 0) AS available,
                 coalesce((SELECT b.available FROM ledger.balance b WHERE b.book_id = m.book_id AND b.account = '2030.' || f.id), 0) AS reserve
          FROM gateway.merchant m JOIN gateway.funds f ON f.book_id = m.book_id
          WHERE $1::bigint IS NULL OR m.book_id = $1 ORDER BY m.book_id, f.id LIMIT 500",
    types: &[Type::INT8],
};

const PAGE: usize = 50;

/// `GET /payouts`
pub async fn index(ctx: &Ctx) -> Outcome {
    let book = ctx.own_book();
    let (before, status) = (ctx.query.some("before").unwrap_or("po_~"), ctx.query.some("status"));
    let rows = ctx.rows(&LIST, &[&book, &before, &status]).await?;
    let columns = ctx.columns(&[
        "payouts.payout",
        "column.when",
        "column.status",
        "column.amount>",
        "payouts.arrives",
        "column.merchant",
        "column.detail",
    ]);
    let mut table = Table::new(ctx.t("payouts.all"), &columns).empty(ctx.t("payouts.none"));
    for row in rows.iter().take(PAGE) {
        table.push(vec![
            Cell::Code(text(row, "id").to_owned()),
            ctx.time(row, "created_at"),
            ctx.status(text(row, "status")),
            ctx.money(row, "amount"),
            ctx.time(row, "arrival_at"),
            text(row, "merchant").into(),
            Cell::Quiet(
                [text(row, "failure_message"), text(row, "bank_reference")]
                    .into_iter()
                    .find(|words| !words.is_empty())
                    .unwrap_or_default()
                    .to_owned(),
            ),
        ]);
    }
    if let (true, Some(last)) = (rows.len() > PAGE, rows.get(PAGE - 1)) {
        table.older = ctx.href("/payouts", &[("before", text(last, "id"))]);
        table.older_text = ctx.t("list.older");
    }
    let columns = ctx.columns(&[
        "column.merchant",
        "column.currency",
        "payouts.pending>",
        "payouts.available>",
        "payouts.reserve>",
        "payouts.next",
    ]);
    let mut funds = Table::new(ctx.t("payouts.funds"), &columns).empty(ctx.t("payouts.no_funds"));
    for row in ctx.rows(&FUNDS, &[&book]).await? {
        funds.push(vec![
            Cell::link(format!("/merchants/{}", text(&row, "account")), text(&row, "merchant")),
            text(&row, "currency").to_uppercase().into(),
            ctx.money(&row, "pending"),
            ctx.money(&row, "available"),
            ctx.money(&row, "reserve"),
            match row["payouts_paused"] == true {
                true => ctx.status("paused"),
                false => ctx.time(&row, "payout_at"),
            },
        ]);
    }
    let filter = Filter {
        action: "/payouts".into(),
        fields: vec![choices(
            ctx,
            "status",
            "column.status",
            &["pending", "in_transit", "paid", "failed", "canceled", "returned"],
        )],
        submit: ctx.t("list.search"),
        clear: ctx.t("list.clear"),
        links: Vec::new(),
    };
    Ok(View::new(ctx.t("payouts.title"))
        .live()
        .with(funds)
        .with(filter)
        .with(table)
        .into())
}
