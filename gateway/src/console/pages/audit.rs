//! The audit log, newest first. That it was looked at is in it too.

use crate::audit_log::{self, Query};
use crate::console::ctx::{Ctx, Outcome};
use crate::console::view::{Cell, Field, Filter, Kind, Table, View};

const PAGE: i64 = 50;

/// `GET /audit`
pub async fn index(ctx: &Ctx) -> Outcome {
    let query = Query {
        actor: ctx.query.some("actor").map(str::to_owned),
        object: ctx.query.some("object").map(str::to_owned),
        after: ctx.query.some("before").and_then(|id| id.parse().ok()),
        limit: PAGE + 1,
        ..Query::default()
    };
    let events = {
        let client = ctx.console.app.reads.get().await?;
        audit_log::events(&**client, &query).await?
    };
    let columns = ctx.columns(&[
        "column.when",
        "audit.actor",
        "audit.role",
        "audit.action",
        "audit.object",
        "audit.result",
        "audit.origin",
        "column.detail",
    ]);
    let mut table = Table::new(String::new(), &columns).empty(ctx.t("audit.none"));
    for event in events.iter().take(PAGE as usize) {
        let object = event.object.as_deref().unwrap_or_default();
        table.push(vec![
            ctx.at(event.at),
            event.actor.as_str().into(),
            Cell::Quiet(ctx.word(&event.role)),
            Cell::Code(event.action.clone()),
            match super::of_object(object) {
                Some(page) => Cell::link(page, object),
                None => Cell::Code(object.to_owned()),
            },
            ctx.status(event.result.as_str()),
            Cell::Quiet(event.origin.clone().unwrap_or_default()),
            Cell::Quiet(event.detail.clone().unwrap_or_default()),
        ]);
    }
    if let (true, Some(last)) = (events.len() as i64 > PAGE, events.get(PAGE as usize - 1)) {
        table.older = ctx.href("/audit", &[("before", &last.id)]);
        table.older_text = ctx.t("list.older");
    }
    let field = |name: &str, label: &str| Field::new(Kind::Text, name, ctx.t(label)).value(ctx.query.get(name));
    let filter = Filter {
        action: "/audit".into(),
        fields: vec![field("actor", "audit.actor"), field("object", "audit.object")],
        submit: ctx.t("list.search"),
        clear: ctx.t("list.clear"),
        links: Vec::new(),
    };
    Ok(View::new(ctx.t("audit.title"))
        .lead(ctx.t("audit.lead"))
        .with(filter)
        .with(table)
        .into())
}
