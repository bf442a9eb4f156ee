//! The first page: what is going on now, and what waits for somebody.

use crate::console::ctx::{Ctx, Outcome};
use crate::console::query::{Query, number, text};
use crate::console::role;
use crate::console::view::{Bar, Cell, Chart, Notice, Table, Tile, Tone, View};
use crate::console::{Fault, format};
use crate::id;
use jiff::tz::TimeZone;
use serde_json::Value;
use tokio_postgres::types::Type;

/// Attempts since midnight (UTC), by currency: a walk along the end of each merchant's key, kept for seconds.
pub static TODAY: Query = Query {
    name: "overview.today",
    sql: "SELECT coalesce(json_agg(x), '[]') AS currencies FROM (
              SELECT c.currency, count(*) AS attempts, count(*) FILTER (WHERE c.status IN ('succeeded','voided')) AS approved,
                     coalesce(sum(c.amount_captured), 0) AS captured, coalesce(sum(c.amount_refunded), 0) AS refunded,
                     count(*) FILTER (WHERE c.risk->>'decision' IN ('block','review')) AS flagged,
                     count(*) FILTER (WHERE c.status = 'unknown') AS unknown
              FROM gateway.merchant m CROSS JOIN LATERAL
                   (SELECT c.* FROM gateway.charge c
                    WHERE c.book_id = m.book_id AND c.id >= $2
                    ORDER BY c.id DESC LIMIT 20000) c
              WHERE $1::bigint IS NULL OR m.book_id = $1
              GROUP BY c.currency ORDER BY count(*) DESC) x",
    types: &[Type::INT8, Type::TEXT],
};

/// Days that are over: counted once, when they ended.
pub static DAYS: Query = Query {
    name: "overview.days",
    sql: "SELECT d.day, sum(d.attempts)::bigint AS attempts, sum(d.approved)::bigint AS approved
          FROM gateway.merchant m JOIN risk.merchant_day d ON d.book_id = m.book_id
          WHERE ($1::bigint IS NULL OR m.book_id = $1) AND d.day > current_date - 31
          GROUP BY d.day ORDER BY d.day",
    types: &[Type::INT8],
};

/// What is late: each is a look into a small index.
pub static HEALTH: Query = Query {
    name: "overview.health",
    sql: "SELECT (SELECT count(*) FROM (SELECT FROM gateway.charge c WHERE c.check_at IS NOT NULL AND ($1::bigint IS NULL OR c.book_id = $1) LIMIT 1000) x) AS unsettled,
                 (SELECT count(*) FROM (SELECT FROM gateway.callback c WHERE c.due_at IS NOT NULL AND $1::bigint IS NULL LIMIT 1000) x) AS callbacks,
                 (SELECT s.sealed_at FROM ledger.seal s ORDER BY s.page DESC LIMIT 1) AS sealed_at,
                 (SELECT s.total FROM ledger.seal s ORDER BY s.page DESC LIMIT 1) AS sealed,
                 (SELECT min(d.due_by) FROM gateway.dispute d WHERE d.status IN ('needs_response','warning_needs_response')
                      AND ($1::bigint IS NULL OR d.book_id = $1)) AS dispute_due",
    types: &[Type::INT8],
};

/// Alarms of the last day.
pub static ALARMS: Query = Query {
    name: "overview.alarms",
    sql: "SELECT a.kind, a.key_id, a.times, a.first_at, a.last_at, a.detail FROM gateway.alert a
          WHERE a.last_at > now() - interval '1 day' ORDER BY a.id DESC LIMIT 10",
    types: &[],
};

/// Unexplained money: the suspense account of every book.
pub static MERCHANTS: Query = Query {
    name: "overview.suspense",
    sql: "SELECT a.currency, sum(a.debits_posted - a.credits_posted)::bigint AS amount
          FROM ledger.book b JOIN ledger.account a ON a.book_id = b.book_id AND a.account >= '1910' AND a.account < '1911'
          GROUP BY a.currency HAVING sum(a.debits_posted - a.credits_posted) <> 0",
    types: &[],
};

/// `GET /`
pub async fn show(ctx: &Ctx) -> Outcome {
    let book = ctx.own_book();
    let midnight = ctx
        .now
        .to_zoned(TimeZone::UTC)
        .start_of_day()
        .map_or(ctx.now, |day| day.timestamp());
    let since = id::floor(id::prefix::CHARGE, midnight);
    let today = ctx
        .console
        .kept("overview.today", book, &TODAY, &[&book, &since])
        .await?;
    let health = ctx.console.kept("overview.health", book, &HEALTH, &[&book]).await?;
    let waiting = ctx.console.waiting(ctx.session.user.role, book).await?;
    let days = ctx.rows(&DAYS, &[&book]).await?;
    let mut view = View::new(ctx.t("overview.title"))
        .lead(ctx.f("overview.lead", &[&ctx.session.user.name]))
        .live()
        .with(tiles(ctx, &waiting, &health))
        .with(sales(ctx, &today["currencies"]));
    if days.len() > 1 {
        view = view.with(chart(ctx, &days));
    }
    if ctx.is(role::BOOKS) {
        for row in ctx.rows(&MERCHANTS, &[]).await? {
            let amount = format::money(number(&row, "amount"), text(&row, "currency"));
            view = view.with(Notice::new(Tone::Warn, ctx.f("overview.suspense", &[&amount])));
        }
    }
    if ctx.is(role::TECHNICAL) {
        view = view.with(alarms(ctx).await?);
    }
    Ok(view.into())
}

fn tiles(ctx: &Ctx, waiting: &Value, health: &Value) -> Vec<Tile> {
    let mut tiles = Vec::new();
    let tone = |count: i64| if count > 0 { Tone::Warn } else { Tone::Good };
    let mut waits = |field: &str, label: &str, href: &str, note: String| {
        if let Some(count) = waiting[field].as_i64() {
            let tile = Tile::new(ctx.t(label), count.to_string()).tone(tone(count));
            tiles.push(tile.href(href).note(note));
        }
    };
    let due = format::timestamp(&health["dispute_due"]).map_or_else(String::new, |at| {
        ctx.f(
            "overview.next_due",
            &[&format::distance(at.duration_since(ctx.now).as_secs())],
        )
    });
    waits("reviews", "overview.reviews", "/reviews/next", String::new());
    waits("disputes", "overview.disputes", "/disputes", due);
    waits("approvals", "overview.approvals", "/approvals", String::new());
    let unsettled = number(health, "unsettled");
    tiles.push(
        Tile::new(ctx.t("overview.unsettled"), unsettled.to_string())
            .tone(tone(unsettled))
            .note(ctx.t("overview.unsettled.note")),
    );
    if ctx.own_book().is_none() {
        let callbacks = number(health, "callbacks");
        tiles.push(
            Tile::new(ctx.t("overview.callbacks"), callbacks.to_string()).tone(if callbacks > 100 {
                Tone::Warn
            } else {
                Tone::Good
            }),
        );
        let sealed = format::timestamp(&health["sealed_at"]);
        let age = sealed.map_or_else(
            || "–".into(),
            |at| format::distance(ctx.now.duration_since(at).as_secs()),
        );
        tiles.push(
            Tile::new(
                ctx.t("overview.sealed"),
                format::grouped(&number(health, "sealed").to_string()),
            )
            .note(ctx.f("overview.sealed.note", &[&age])),
        );
    }
    tiles
}

fn sales(ctx: &Ctx, currencies: &Value) -> Table {
    let columns = ctx.columns(&[
        "column.currency",
        "overview.attempts>",
        "overview.rate>",
        "overview.captured>",
        "overview.refunded>",
        "overview.flagged>",
    ]);
    let mut table = Table::new(ctx.t("overview.today"), &columns).empty(ctx.t("overview.quiet"));
    for row in currencies.as_array().into_iter().flatten() {
        table.push(vec![
            text(row, "currency").to_uppercase().into(),
            Cell::Number(format::grouped(&number(row, "attempts").to_string())),
            Cell::Number(format::share(number(row, "approved"), number(row, "attempts"))),
            ctx.money(row, "captured"),
            ctx.money(row, "refunded"),
            Cell::Number(number(row, "flagged").to_string()),
        ]);
    }
    table
}

fn chart(ctx: &Ctx, days: &[Value]) -> Chart {
    let bars = days.iter().map(|row| {
        let (attempts, approved) = (number(row, "attempts"), number(row, "approved"));
        Bar {
            label: text(row, "day").to_owned(),
            value: attempts,
            part: approved,
            text: format!("{attempts} · {}", format::share(approved, attempts)),
        }
    });
    Chart {
        title: ctx.t("overview.days"),
        unit: String::new(),
        bars: bars.collect(),
    }
}

async fn alarms(ctx: &Ctx) -> Result<Table, Fault> {
    let columns = ctx.columns(&[
        "column.when",
        "overview.alarm",
        "column.key",
        "overview.times>",
        "column.detail",
    ]);
    let mut table = Table::new(ctx.t("overview.alarms"), &columns).empty(ctx.t("overview.no_alarms"));
    for row in ctx.rows(&ALARMS, &[]).await? {
        table.push(vec![
            ctx.time(&row, "last_at"),
            ctx.word(text(&row, "kind")).into(),
            Cell::Code(text(&row, "key_id").to_owned()),
            Cell::Number(number(&row, "times").to_string()),
            Cell::Quiet(text(&row, "detail").to_owned()),
        ]);
    }
    Ok(table)
}
