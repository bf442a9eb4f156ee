//! What the scorer has said lately, what came of it, and which models say it.

use crate::console::ctx::{Ctx, Outcome};
use crate::console::format;
use crate::console::query::{Query, number};
use crate::console::view::{Bar, Cell, Chart, Facts, Table, View};
use tokio_postgres::types::Type;

/// The last attempts of each merchant by their score, with what became of them.
pub static BY_SCORE: Query = Query {
    name: "model.by_score",
    sql: "SELECT least(9, (c.risk->>'score')::int / 10) AS band, count(*) AS attempts,
                 count(*) FILTER (WHERE c.status = 'succeeded') AS approved,
                 count(*) FILTER (WHERE c.risk->>'decision' = 'block') AS blocked,
                 count(*) FILTER (WHERE c.risk->>'decision' = 'review') AS reviewed,
                 count(*) FILTER (WHERE c.disputed) AS disputed,
                 count(*) FILTER (WHERE c.risk->'model'->>'model' IS NOT NULL) AS by_model,
                 count(*) FILTER (WHERE c.risk->'model'->'challenger' IS NOT NULL) AS by_challenger,
                 max(c.risk->'model'->>'model') AS champion, max(c.risk->'model'->'challenger'->>'model') AS challenger
          FROM gateway.merchant m CROSS JOIN LATERAL (
               SELECT t.risk, t.status, t.disputed FROM gateway.charge t WHERE t.book_id = m.book_id AND t.id < 'ch_~' ORDER BY t.id DESC LIMIT 10000) c
          WHERE ($1::bigint IS NULL OR m.book_id = $1) AND c.risk->>'score' IS NOT NULL
          GROUP BY 1 ORDER BY 1",
    types: &[Type::INT8],
};

/// `GET /model`
pub async fn show(ctx: &Ctx) -> Outcome {
    let rows = ctx.rows(&BY_SCORE, &[&ctx.own_book()]).await?;
    let columns = ctx.columns(&[
        "model.band",
        "overview.attempts>",
        "overview.rate>",
        "model.reviewed>",
        "model.blocked>",
        "model.disputed>",
        "model.dispute_rate>",
    ]);
    let mut table = Table::new(ctx.t("model.bands"), &columns).empty(ctx.t("overview.quiet"));
    let mut bars = Vec::new();
    let named = |field: &str| {
        rows.iter()
            .filter_map(|row| row[field].as_str())
            .max()
            .map(str::to_owned)
    };
    for row in &rows {
        let band = number(row, "band");
        let label = format!("{}–{}", band * 10, if band == 9 { 100 } else { band * 10 + 9 });
        let (attempts, approved, disputed) = (
            number(row, "attempts"),
            number(row, "approved"),
            number(row, "disputed"),
        );
        table.push(vec![
            label.clone().into(),
            Cell::Number(format::grouped(&attempts.to_string())),
            Cell::Number(format::share(approved, attempts)),
            Cell::Number(number(row, "reviewed").to_string()),
            Cell::Number(number(row, "blocked").to_string()),
            Cell::Number(disputed.to_string()),
            Cell::Number(format::share(disputed, approved)),
        ]);
        bars.push(Bar {
            text: attempts.to_string(),
            label,
            value: attempts,
            part: number(row, "blocked") + number(row, "reviewed"),
        });
    }
    let facts = Facts::new("")
        .fact(
            ctx.t("model.champion"),
            named("champion").unwrap_or_else(|| ctx.t("model.rules_alone")),
        )
        .fact(
            ctx.t("model.challenger"),
            named("challenger").unwrap_or_else(|| "–".into()),
        )
        .fact(
            ctx.t("model.seen"),
            rows.iter().map(|row| number(row, "by_model")).sum::<i64>().to_string(),
        );
    let mut view = View::new(ctx.t("model.title")).lead(ctx.t("model.lead")).with(facts);
    if !bars.is_empty() {
        view = view.with(Chart {
            title: ctx.t("model.chart"),
            unit: String::new(),
            bars,
        });
    }
    Ok(view.with(table).into())
}
