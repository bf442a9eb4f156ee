//! Rules and lists of a merchant: written, tried on history, watched, and then in force. All of it by the API, which refuses a rule
//! that decides before it was tried.

use super::payments::{ALL_MERCHANTS, merchant_field};
use crate::console::ctx::{Ctx, Fault, Outcome};
use crate::console::format;
use crate::console::query::{number, text};
use crate::console::role::RISK_ACTS;
use crate::console::view::{Acts, Cell, Facts, Field, Filter, Form, Kind, Section, Table, View};
use serde_json::Value;

const ACTIONS: [&str; 5] = ["score", "allow", "challenge", "review", "block"];
const STATES: [&str; 3] = ["active", "shadow", "disabled"];
const FIELDS: [&str; 8] = [
    "name",
    "code",
    "action",
    "weight",
    "condition",
    "message",
    "state",
    "beats_allow",
];

/// `GET /rules`
pub async fn index(ctx: &Ctx) -> Outcome {
    let (account, filter) = chosen(ctx, "/rules").await?;
    let mut view = View::new(ctx.t("rules.title")).lead(ctx.t("rules.lead")).with(filter);
    let Some(account) = account else { return Ok(view.into()) };
    let rules = ctx.read("/v1/radar/rules", &account, &[]).await?;
    let columns = ctx.columns(&[
        "rules.name",
        "rules.action",
        "rules.weight>",
        "rules.state",
        "rules.condition",
        "rules.tried",
    ]);
    let mut table = Table::new(String::new(), &columns).empty(ctx.t("rules.none"));
    for rule in rules["data"].as_array().into_iter().flatten() {
        table.push(vec![
            Cell::link(format!("/rules/{account}/{}", text(rule, "id")), text(rule, "name")),
            ctx.status(text(rule, "action")),
            Cell::Number(number(rule, "weight").to_string()),
            ctx.status(text(rule, "state")),
            Cell::Code(text(rule, "condition").to_owned()),
            match rule["backtest"].is_object() {
                true => Cell::Quiet(hits(ctx, &rule["backtest"])),
                false => Cell::Quiet(if rule["shipped"] == true {
                    ctx.t("rules.shipped")
                } else {
                    "–".into()
                }),
            },
        ]);
    }
    view = view.with(table);
    if ctx.is(RISK_ACTS) {
        let empty = Value::Null;
        let form = fields(ctx, ctx.form(format!("/rules/{account}"), "rules.make"), &empty, true);
        view = view.with(form.title(ctx.t("rules.new")).help(ctx.t("rules.new.help")));
    }
    Ok(view.into())
}

/// `GET /rules/{account}/{id}`
pub async fn show(ctx: &Ctx) -> Outcome {
    let (account, id) = (ctx.params.get("account"), ctx.params.get("id"));
    let path = format!("/v1/radar/rules/{id}");
    let rule = ctx.read(&path, account, &[]).await?;
    let facts = Facts::new("")
        .fact(ctx.t("rules.state"), ctx.status(text(&rule, "state")))
        .fact(ctx.t("rules.action"), ctx.status(text(&rule, "action")))
        .fact(ctx.t("rules.weight"), number(&rule, "weight").to_string())
        .fact(
            ctx.t("rules.condition"),
            Cell::Code(text(&rule, "condition").to_owned()),
        )
        .fact(ctx.t("rules.message"), text(&rule, "message"))
        .fact(ctx.t("rules.version"), number(&rule, "version").to_string());
    let mut view = View::new(text(&rule, "name"))
        .crumb(format!("/rules?account={account}"), ctx.t("rules.title"))
        .lead(if rule["shipped"] == true {
            ctx.t("rules.shipped")
        } else {
            id.to_owned()
        })
        .with(facts)
        .with_some(trial(ctx, &rule["backtest"]));
    if ctx.is(RISK_ACTS) {
        let days = [("7", "7"), ("30", "30"), ("90", "90")].map(|(value, text)| (value.to_owned(), text.to_owned()));
        let back_test = ctx
            .form(format!("/rules/{account}/{id}/backtest"), "rules.try")
            .title(ctx.t("rules.backtest"))
            .help(ctx.t("rules.backtest.help"))
            .field(Field::choice("days", ctx.t("rules.days"), days.to_vec()).value("30"))
            .key("b");
        let change = fields(
            ctx,
            ctx.form(format!("/rules/{account}/{id}"), "rules.save"),
            &rule,
            false,
        )
        .title(ctx.t("rules.change"));
        view = view.with(Acts {
            title: String::new(),
            forms: vec![back_test, change],
        });
    }
    let versions = ctx.read(&format!("{path}/versions"), account, &[]).await?;
    let columns = ctx.columns(&[
        "rules.version>",
        "rules.state",
        "rules.action",
        "rules.weight>",
        "rules.condition",
    ]);
    let mut table = Table::new(ctx.t("rules.versions"), &columns).empty(ctx.t("rules.no_versions"));
    for version in versions["data"].as_array().into_iter().flatten() {
        table.push(vec![
            Cell::Number(number(version, "version").to_string()),
            ctx.status(text(version, "state")),
            ctx.status(text(version, "action")),
            Cell::Number(number(version, "weight").to_string()),
            Cell::Code(text(version, "condition").to_owned()),
        ]);
    }
    Ok(view.with(table).into())
}

/// `POST /rules/{account}`
pub async fn create(ctx: &Ctx) -> Outcome {
    let account = ctx.params.get("account");
    let rule = ctx.act("/v1/radar/rules", account, &written(ctx)).await?;
    Ok(ctx.see(&format!("/rules/{account}/{}", text(&rule, "id")), "saved"))
}

/// `POST /rules/{account}/{id}`
pub async fn update(ctx: &Ctx) -> Outcome {
    let (account, id) = (ctx.params.get("account"), ctx.params.get("id"));
    let rule = ctx
        .act(&format!("/v1/radar/rules/{id}"), account, &written(ctx))
        .await?;
    Ok(ctx.see(&format!("/rules/{account}/{}", text(&rule, "id")), "saved"))
}

/// `POST /rules/{account}/{id}/backtest`
pub async fn backtest(ctx: &Ctx) -> Outcome {
    let (account, id) = (ctx.params.get("account"), ctx.params.get("id"));
    let days = ctx.form.some("days").unwrap_or("30");
    let rule = ctx
        .act(&format!("/v1/radar/rules/{id}/backtest"), account, &[("days", days)])
        .await?;
    let id = rule["id"].as_str().unwrap_or(id);
    Ok(ctx.see(&format!("/rules/{account}/{id}"), "tried"))
}

/// `GET /lists`
pub async fn lists(ctx: &Ctx) -> Outcome {
    let (account, filter) = chosen(ctx, "/lists").await?;
    let view = View::new(ctx.t("lists.title")).lead(ctx.t("lists.lead")).with(filter);
    let Some(account) = account else { return Ok(view.into()) };
    let lists = ctx.read("/v1/radar/value_lists", &account, &[("limit", "100")]).await?;
    let mut table = Table::new(
        String::new(),
        &ctx.columns(&["lists.alias", "lists.name", "lists.type"]),
    )
    .empty(ctx.t("lists.none"));
    for list in lists["data"].as_array().into_iter().flatten() {
        table.push(vec![
            Cell::link(format!("/lists/{account}/{}", text(list, "id")), text(list, "alias")),
            text(list, "name").into(),
            ctx.word(text(list, "item_type")).into(),
        ]);
    }
    Ok(view.with(table).into())
}

/// `GET /lists/{account}/{id}`
pub async fn list(ctx: &Ctx) -> Outcome {
    let (account, id) = (ctx.params.get("account"), ctx.params.get("id"));
    let list = ctx.read(&format!("/v1/radar/value_lists/{id}"), account, &[]).await?;
    let mut parameters = vec![("value_list", id), ("limit", "50")];
    if let Some(cursor) = ctx.query.some("before") {
        parameters.push(("starting_after", cursor));
    }
    let items = ctx.read("/v1/radar/value_list_items", account, &parameters).await?;
    let rows = items["data"].as_array().cloned().unwrap_or_default();
    let path = format!("/lists/{account}/{id}");
    let mut table = Table::new(
        String::new(),
        &ctx.columns(&["lists.value", "column.when", "lists.expires"]),
    )
    .empty(ctx.t("lists.empty"));
    for item in &rows {
        let cells = vec![
            Cell::Code(text(item, "value").to_owned()),
            ctx.time(item, "created"),
            ctx.time(item, "expires_at"),
        ];
        let remove = ctx
            .form(format!("{path}/remove"), "lists.remove")
            .hidden("item", text(item, "id"));
        table.push_with(
            cells,
            if ctx.is(RISK_ACTS) {
                vec![remove.confirm(ctx.t("lists.remove.sure"))]
            } else {
                Vec::new()
            },
        );
    }
    if let (true, Some(last)) = (items["has_more"] == true, rows.last()) {
        table.older = ctx.href(&path, &[("before", text(last, "id"))]);
        table.older_text = ctx.t("list.older");
    }
    let mut view = View::new(text(&list, "alias"))
        .crumb(format!("/lists?account={account}"), ctx.t("lists.title"))
        .lead(text(&list, "name"))
        .with(table);
    if ctx.is(RISK_ACTS) {
        let form = ctx
            .form(path, "lists.add")
            .title(ctx.t("lists.add.title"))
            .field(Field::new(Kind::Text, "value", ctx.word(text(&list, "item_type"))).required());
        view = view.with(form);
    }
    Ok(view.into())
}

/// `POST /lists/{account}/{id}`
pub async fn add_item(ctx: &Ctx) -> Outcome {
    let (account, id) = (ctx.params.get("account"), ctx.params.get("id"));
    let parameters = [("value_list", id), ("value", ctx.form.get("value"))];
    ctx.act("/v1/radar/value_list_items", account, &parameters).await?;
    Ok(ctx.see(&format!("/lists/{account}/{id}"), "listed"))
}

/// `POST /lists/{account}/{id}/remove`
pub async fn remove_item(ctx: &Ctx) -> Outcome {
    let (account, id) = (ctx.params.get("account"), ctx.params.get("id"));
    ctx.delete(&format!("/v1/radar/value_list_items/{}", ctx.form.get("item")), account)
        .await?;
    Ok(ctx.see(&format!("/lists/{account}/{id}"), "removed"))
}

/// Whose rules: the merchant that was chosen, or the only one there is.
async fn chosen(ctx: &Ctx, path: &str) -> Result<(Option<String>, Section), Fault> {
    let merchants = ctx.rows(&ALL_MERCHANTS, &[&ctx.own_book()]).await?;
    let named = ctx
        .query
        .some("account")
        .filter(|id| merchants.iter().any(|m| text(m, "id") == *id));
    let account = named
        .map(str::to_owned)
        .or_else(|| merchants.first().map(|m| text(m, "id").to_owned()));
    let field = merchant_field(ctx, &merchants).value(account.clone().unwrap_or_default());
    let filter = Filter {
        action: path.to_owned(),
        fields: vec![field],
        submit: ctx.t("list.show"),
        clear: ctx.t("list.clear"),
        links: Vec::new(),
    };
    Ok((account, filter.into()))
}

fn fields(ctx: &Ctx, form: Form, rule: &Value, new: bool) -> Form {
    let options = |values: &[&str]| {
        values
            .iter()
            .map(|value| ((*value).to_owned(), ctx.word(value)))
            .collect::<Vec<_>>()
    };
    let mut form = form;
    if new {
        form = form
            .field(
                Field::new(Kind::Text, "name", ctx.t("rules.name"))
                    .required()
                    .help(ctx.t("rules.name.help")),
            )
            .field(Field::new(Kind::Text, "code", ctx.t("rules.code")).help(ctx.t("rules.code.help")));
    }
    let weight = rule["weight"]
        .as_i64()
        .map(|weight| weight.to_string())
        .unwrap_or_default();
    form.field(
        Field::new(Kind::Long, "condition", ctx.t("rules.condition"))
            .value(text(rule, "condition"))
            .required()
            .help(ctx.t("rules.condition.help")),
    )
    .field(Field::new(Kind::Text, "message", ctx.t("rules.message")).value(text(rule, "message")))
    .field(Field::choice("action", ctx.t("rules.action"), options(&ACTIONS)).value(text(rule, "action")))
    .field(Field::new(Kind::Digits, "weight", ctx.t("rules.weight")).value(weight))
    .field(
        Field::choice("state", ctx.t("rules.state"), options(&STATES)).value(if new {
            "shadow"
        } else {
            text(rule, "state")
        }),
    )
}

fn written(ctx: &Ctx) -> Vec<(&str, &str)> {
    let filled = FIELDS.iter().map(|name| (*name, ctx.form.get(name)));
    filled.filter(|(_, value)| !value.is_empty()).collect()
}

fn hits(ctx: &Ctx, trial: &Value) -> String {
    let (hit, seen) = (number(trial, "flagged"), number(trial, "attempts"));
    ctx.f("rules.hits", &[&hit.to_string(), &format::grouped(&seen.to_string())])
}

/// What a trial on history said, number by number.
fn trial(ctx: &Ctx, trial: &Value) -> Option<Section> {
    let fields = trial.as_object()?;
    let mut facts = Facts::new(ctx.t("rules.trial"));
    for (name, value) in fields
        .iter()
        .filter(|(name, _)| *name != "condition" && *name != "labels_incomplete_since")
    {
        let shown = match value {
            Value::String(text) => text.clone(),
            Value::Null => "–".into(),
            other => other.to_string(),
        };
        facts = facts.fact(ctx.word(name), Cell::Number(shown));
    }
    Some(facts.into())
}
