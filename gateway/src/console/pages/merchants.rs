//! Merchants: who they are, how they stand, what is missing of them, and the acts that change that. Whoever filed an application is
//! refused as the one who decides about it, by the API and by the database.

use crate::console::ctx::{Ctx, Fault, Outcome};
use crate::console::format;
use crate::console::query::{Query, number, text};
use crate::console::role::MERCHANT_ACTS;
use crate::console::view::{Acts, Cell, Facts, Field, Kind, Notice, Table, Tone, View};
use tokio_postgres::types::Type;

/// Merchants, the newest first, older than a cursor.
pub static LIST: Query = Query {
    name: "merchants.list",
    sql: "SELECT m.id, m.name, m.status, m.country, m.default_currency, m.payouts_paused, m.created_at, m.reverify_at, m.book_id
          FROM gateway.merchant m WHERE m.book_id < $1 AND ($2::text IS NULL OR m.name ILIKE '%' || $2 || '%' OR m.id = $2)
          ORDER BY m.book_id DESC LIMIT 51",
    types: &[Type::INT8, Type::TEXT],
};

/// Keys of one merchant.
pub static KEYS: Query = Query {
    name: "merchants.keys",
    sql: "SELECT k.id, k.kind, k.name, k.hint, k.scopes, k.platform, k.created_at, k.expires_at, k.revoked_at, k.last_used_at
          FROM gateway.api_key k JOIN gateway.merchant m ON m.book_id = k.book_id WHERE m.id = $1 ORDER BY k.created_at DESC LIMIT 100",
    types: &[Type::TEXT],
};

const PAGE: usize = 50;
/// What may be done, with whether a reason is wanted and how it looks.
const ACTS: [(&str, &[&str], bool, Tone); 8] = [
    ("review", &["submitted"], false, Tone::Plain),
    ("approve", &["under_review"], false, Tone::Good),
    ("send_back", &["submitted", "under_review"], true, Tone::Warn),
    ("restrict", &["active"], true, Tone::Warn),
    ("suspend", &["active", "restricted"], true, Tone::Bad),
    ("reinstate", &["restricted", "suspended"], false, Tone::Good),
    ("pause_payouts", &["active", "restricted"], false, Tone::Warn),
    (
        "offboard",
        &[
            "draft",
            "submitted",
            "under_review",
            "active",
            "restricted",
            "suspended",
        ],
        true,
        Tone::Bad,
    ),
];

/// `GET /merchants`
pub async fn index(ctx: &Ctx) -> Outcome {
    let before = ctx
        .query
        .some("before")
        .and_then(|book| book.parse::<i64>().ok())
        .unwrap_or(i64::MAX);
    let sought = ctx.query.some("q");
    let rows = ctx.rows(&LIST, &[&before, &sought]).await?;
    let columns = ctx.columns(&[
        "column.merchant",
        "merchants.id",
        "column.status",
        "merchants.country",
        "column.currency",
        "merchants.since",
        "merchants.reverify",
    ]);
    let mut table = Table::new(String::new(), &columns).empty(ctx.t("merchants.none"));
    for row in rows.iter().take(PAGE) {
        table.push(vec![
            Cell::link(format!("/merchants/{}", text(row, "id")), text(row, "name")),
            Cell::Code(text(row, "id").to_owned()),
            ctx.status(text(row, "status")),
            text(row, "country").into(),
            text(row, "default_currency").to_uppercase().into(),
            ctx.time(row, "created_at"),
            ctx.time(row, "reverify_at"),
        ]);
    }
    if let (true, Some(last)) = (rows.len() > PAGE, rows.get(PAGE - 1)) {
        table.older = ctx.href("/merchants", &[("before", &number(last, "book_id").to_string())]);
        table.older_text = ctx.t("list.older");
    }
    let filter = crate::console::view::Filter {
        action: "/merchants".into(),
        fields: vec![Field::new(Kind::Search, "q", ctx.t("merchants.find")).value(ctx.query.get("q"))],
        submit: ctx.t("list.search"),
        clear: ctx.t("list.clear"),
        links: Vec::new(),
    };
    Ok(View::new(ctx.t("merchants.title")).with(filter).with(table).into())
}

/// `GET /merchants/{id}`
pub async fn show(ctx: &Ctx) -> Outcome {
    let id = ctx.params.get("id");
    if ctx.session.user.account.as_deref().is_some_and(|own| own != id) {
        return Err(Fault::Missing);
    }
    let scoped = ctx
        .session
        .user
        .role
        .scopes()
        .iter()
        .any(|scope| scope.starts_with("admin:"));
    let merchant = ctx.console.app.merchant_by_id(id).await?.ok_or(Fault::Missing)?;
    let (account, details) = (crate::wire::account(&merchant), &merchant.details);
    let status = text(&account, "status");
    let facts = Facts::new("")
        .fact(ctx.t("column.status"), ctx.status(status))
        .fact_some(ctx.t("column.reason"), account["status_reason"].as_str())
        .fact(
            ctx.t("merchants.legal"),
            details.company.name.clone().unwrap_or_else(|| "–".into()),
        )
        .fact_some(
            ctx.t("merchants.number"),
            account["company"]["registration_number"].as_str(),
        )
        .fact(ctx.t("merchants.country"), text(&account, "country"))
        .fact(
            ctx.t("column.currency"),
            text(&account, "default_currency").to_uppercase(),
        )
        .fact_some(
            ctx.t("merchants.mail"),
            account["business_profile"]["support_email"].as_str(),
        )
        .fact(ctx.t("merchants.since"), ctx.time(&account, "created"))
        .fact(ctx.t("merchants.reverify"), ctx.time(&account, "reverify_at"))
        .fact(
            ctx.t("merchants.payouts"),
            ctx.status(if merchant.payouts_paused {
                "paused"
            } else {
                text(&account["settings"]["payouts"]["schedule"], "interval")
            }),
        )
        .fact(
            ctx.t("merchants.reserve"),
            format!("{} %", text(&account["settings"]["reserve"], "percent")),
        )
        .fact_some(
            ctx.t("merchants.returns"),
            account["return_policy"]["window_days"]
                .as_i64()
                .map(|days| ctx.f("merchants.days", &[&days.to_string()])),
        );
    let mut view = View::new(merchant.name.clone())
        .crumb(
            if ctx.own_book().is_none() { "/merchants" } else { "/" },
            ctx.t("merchants.title"),
        )
        .lead(id)
        .with(facts);
    let missing = merchant.missing();
    if !missing.is_empty() {
        view = view.with(Notice::new(
            Tone::Warn,
            ctx.f("merchants.missing", &[&missing.join(", ")]),
        ));
    }
    view = view.with(rates(ctx, &merchant));
    if scoped {
        let keys = ctx.rows(&KEYS, &[&id]).await?;
        view = view.with(super::technical::keys_table(ctx, &keys, false));
    }
    if ctx.is(MERCHANT_ACTS) {
        view = view.with(acts(ctx, id, status, merchant.payouts_paused));
    }
    Ok(view.into())
}

/// `POST /merchants/{id}/{act}`
pub async fn act(ctx: &Ctx) -> Outcome {
    let (id, act) = (ctx.params.get("id"), ctx.params.get("act"));
    let (name, _, reason, _) = ACTS.iter().find(|(name, ..)| *name == act).ok_or(Fault::Missing)?;
    let (path, parameters) = match *name {
        "pause_payouts" => ("payouts", vec![("paused", ctx.form.get("paused"))]),
        name if *reason => (name, vec![("reason", ctx.form.get("reason"))]),
        name => (name, Vec::new()),
    };
    ctx.act(&format!("/v1/accounts/{id}/{path}"), id, &parameters).await?;
    Ok(ctx.see(&format!("/merchants/{id}"), "changed"))
}

fn rates(ctx: &Ctx, merchant: &crate::account::Merchant) -> Facts {
    let currency = &merchant.default_currency;
    let (schedule, rate) = merchant.rate(currency, ctx.now);
    let mut facts = Facts::new(ctx.t("merchants.fees")).fact(
        ctx.t("merchants.rate"),
        format!("{} % + {}", rate.percent, format::money(rate.fixed, currency)),
    );
    if let Some(schedule) = schedule {
        facts = facts.fact(ctx.t("merchants.terms"), Cell::Code(schedule.id.clone()));
    }
    facts
}

fn acts(ctx: &Ctx, id: &str, status: &str, paused: bool) -> Acts {
    let possible = ACTS.iter().filter(|(_, when, ..)| when.contains(&status));
    let forms = possible.map(|(name, _, reason, tone)| {
        let words = match (*name, paused) {
            ("pause_payouts", true) => "merchants.resume_payouts".to_owned(),
            (name, _) => format!("merchants.{name}"),
        };
        let mut form = ctx.form(format!("/merchants/{id}/{name}"), &words).tone(*tone);
        if *name == "pause_payouts" {
            form = form.hidden("paused", (!paused).to_string());
        }
        if *reason {
            form = form.field(Field::new(Kind::Text, "reason", ctx.t("column.reason")).required());
        }
        if *tone == Tone::Bad {
            form = form.confirm(ctx.t("merchants.sure"));
        }
        form
    });
    Acts {
        title: ctx.t("merchants.acts"),
        forms: forms.collect(),
    }
}
