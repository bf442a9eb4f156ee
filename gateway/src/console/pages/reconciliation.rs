//! Files of acquirers and banks against the books: what was read, and what differs until somebody has explained it. Files are read by
//! `counterfoil reconcile`; what is decided here is a row with a name and a reason, and can be taken back by another one.

use crate::console::ctx::{Ctx, Fault, Outcome};
use crate::console::format;
use crate::console::query::{Query, number, text};
use crate::console::role::BOOK_ACTS;
use crate::console::view::{Cell, Facts, Field, Kind, Section, Table, Tone, View};
use crate::reconciliation::{self, Decision, DecisionError, Request, decide};
use reconcile::cluster::Terms;
use reconcile::{Format, Options};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use tokio_postgres::types::Type;

/// Files, the newest first, older than a cursor.
pub static FILES: Query = Query {
    name: "reconciliation.files",
    sql: "SELECT r.id, r.name, r.format, r.lines, r.matched, r.since, r.until, r.created_by, r.created_at
          FROM gateway.reconciliation r WHERE r.id < $1 ORDER BY r.id DESC LIMIT 51",
    types: &[Type::TEXT],
};

/// What is open, the oldest first.
pub static OPEN: Query = Query {
    name: "reconciliation.open",
    sql: "SELECT b.id, b.kind, b.reference, b.since, b.ours, b.theirs, b.proposal, b.reconciliation_id
          FROM gateway.settlement_break b WHERE b.status = 'open' ORDER BY b.since LIMIT 200",
    types: &[],
};

/// One of them with its file.
pub static ONE: Query = Query {
    name: "reconciliation.one",
    sql: "SELECT b.*, r.name AS file, r.format FROM gateway.settlement_break b JOIN gateway.reconciliation r ON r.id = b.reconciliation_id
          WHERE b.id = $1",
    types: &[Type::TEXT],
};

/// What was decided about it.
pub static DECISIONS: Query = Query {
    name: "reconciliation.decisions",
    sql: "SELECT d.action, d.person, d.reason, d.created_at FROM gateway.settlement_decision d WHERE d.break_id = $1 ORDER BY d.version LIMIT 100",
    types: &[Type::TEXT],
};

const PAGE: usize = 50;

/// `GET /reconciliation`
pub async fn index(ctx: &Ctx) -> Outcome {
    let open = ctx.rows(&OPEN, &[]).await?;
    let columns = ctx.columns(&[
        "reconciliation.break",
        "reconciliation.age",
        "column.what",
        "ledger.reference",
        "reconciliation.ours>",
        "reconciliation.theirs>",
    ]);
    let mut breaks = Table::new(ctx.t("reconciliation.open"), &columns).empty(ctx.t("reconciliation.no_breaks"));
    for row in &open {
        breaks.push(vec![
            Cell::link(format!("/reconciliation/{}", text(row, "id")), text(row, "id")),
            age(ctx, row),
            ctx.word(text(row, "kind")).into(),
            Cell::Code(text(row, "reference").to_owned()),
            amount(&row["ours"]),
            amount(&row["theirs"]),
        ]);
    }
    let before = ctx.query.some("before").unwrap_or("rec_~");
    let files = ctx.rows(&FILES, &[&before]).await?;
    let columns = ctx.columns(&[
        "reconciliation.file",
        "reconciliation.format",
        "column.when",
        "reconciliation.days",
        "reconciliation.lines>",
        "reconciliation.matched>",
        "reconciliation.by",
    ]);
    let mut table = Table::new(ctx.t("reconciliation.files"), &columns).empty(ctx.t("reconciliation.no_files"));
    for row in files.iter().take(PAGE) {
        let day = |field: &str| text(row, field).get(..10).unwrap_or("–").to_owned();
        table.push(vec![
            text(row, "name").into(),
            Cell::Code(text(row, "format").to_owned()),
            ctx.time(row, "created_at"),
            format!("{} – {}", day("since"), day("until")).into(),
            Cell::Number(format::grouped(&number(row, "lines").to_string())),
            Cell::Number(format::share(number(row, "matched"), number(row, "lines"))),
            Cell::Quiet(text(row, "created_by").to_owned()),
        ]);
    }
    if let (true, Some(last)) = (files.len() > PAGE, files.get(PAGE - 1)) {
        table.older = ctx.href("/reconciliation", &[("before", text(last, "id"))]);
        table.older_text = ctx.t("list.older");
    }
    let formats = Format::ALL.map(|format| (format.as_str().to_owned(), format.as_str().to_owned()));
    let read = ctx
        .form("/reconciliation", "reconciliation.read")
        .title(ctx.t("reconciliation.upload"))
        .help(ctx.t("reconciliation.upload.help"))
        .file("file", ctx.t("reconciliation.file"))
        .field(Field::choice("format", ctx.t("reconciliation.format"), formats.to_vec()).value("camt.053"))
        .field(Field::new(Kind::Text, "account", ctx.t("reconciliation.account")));
    let view = View::new(ctx.t("reconciliation.title"))
        .lead(ctx.t("reconciliation.lead"))
        .live()
        .with(breaks)
        .with(table);
    Ok(view.with_some(ctx.is(BOOK_ACTS).then_some(read)).into())
}

/// `POST /reconciliation`: a file is read, whole or not at all. The same file again changes nothing.
pub async fn upload(ctx: &Ctx) -> Outcome {
    let upload = ctx.upload.as_ref().filter(|upload| !upload.content.is_empty());
    let upload = upload.ok_or_else(|| Fault::refused(ctx.t("reconciliation.no_file")))?;
    let format: Format = ctx
        .form
        .get("format")
        .parse()
        .map_err(|_| Fault::refused(ctx.t("reconciliation.no_format")))?;
    let request = Request {
        format,
        name: upload.name.clone(),
        options: Options {
            account: ctx.form.some("account").map(str::to_owned),
            ..Options::default()
        },
        terms: Terms::default(),
        acquirer: None,
        book: None,
        after_gap: false,
    };
    let content = upload.content.clone();
    let file = tokio::task::spawn_blocking(move || kept(&content)).await;
    let file = file.map_err(|error| Fault::Internal(error.to_string()))?;
    let file = file.map_err(|error| Fault::Internal(error.to_string()))?;
    let mut client = ctx.console.app.reads.get().await?;
    let report = reconciliation::run(&mut client, file, &request)
        .await
        .map_err(|error| match error {
            reconciliation::Error::Refused(refused) => Fault::refused(refused.to_string()),
            other => Fault::Internal(other.to_string()),
        })?;
    let done = if report.breaks.is_empty() { "matched" } else { "breaks" };
    Ok(ctx.see("/reconciliation", done))
}

/// A file that has no name any more: it goes when it is closed, however that comes about.
fn kept(content: &[u8]) -> std::io::Result<File> {
    let path = std::env::temp_dir().join(format!("counterfoil-{}", crate::id::random()));
    let mut file = OpenOptions::new()
        .create_new(true)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}

/// `GET /reconciliation/{id}`
pub async fn show(ctx: &Ctx) -> Outcome {
    let found = load(ctx).await?;
    let id = text(&found, "id");
    let open = found["status"] == "open";
    let facts = Facts::new("")
        .fact(
            ctx.t("column.status"),
            ctx.status(if open { "open" } else { "resolved" }),
        )
        .fact(ctx.t("column.what"), ctx.word(text(&found, "kind")))
        .fact(ctx.t("reconciliation.age"), age(ctx, &found))
        .fact(
            ctx.t("reconciliation.file"),
            format!("{} ({})", text(&found, "file"), text(&found, "format")),
        )
        .fact_some(
            ctx.t("ledger.reference"),
            found["reference"].as_str().map(|id| Cell::Code(id.to_owned())),
        );
    let mut view = View::new(ctx.word(text(&found, "kind")))
        .crumb("/reconciliation", ctx.t("reconciliation.title"))
        .lead(id)
        .with(facts)
        .with_some(side(ctx, "reconciliation.ours", &found["ours"]))
        .with_some(side(ctx, "reconciliation.theirs", &found["theirs"]))
        .with_some(side(ctx, "reconciliation.proposal", &found["proposal"]));
    let columns = ctx.columns(&["column.when", "column.what", "reconciliation.by", "column.reason"]);
    let mut decisions =
        Table::new(ctx.t("reconciliation.decisions"), &columns).empty(ctx.t("reconciliation.undecided"));
    for row in ctx.rows(&DECISIONS, &[&id]).await? {
        decisions.push(vec![
            ctx.time(&row, "created_at"),
            ctx.word(text(&row, "action")).into(),
            text(&row, "person").into(),
            text(&row, "reason").into(),
        ]);
    }
    view = view.with(decisions);
    if ctx.is(BOOK_ACTS) {
        let (act, words, tone) = match open {
            true => ("resolve", "reconciliation.resolve", Tone::Good),
            false => ("reopen", "reconciliation.reopen", Tone::Warn),
        };
        let form = ctx
            .form(format!("/reconciliation/{id}/{act}"), words)
            .field(Field::new(Kind::Text, "reason", ctx.t("reconciliation.why")).required())
            .tone(tone);
        view = view.with(form);
    }
    Ok(view.into())
}

/// `POST /reconciliation/{id}/resolve`
pub async fn resolve(ctx: &Ctx) -> Outcome {
    say(ctx, Decision::Resolve).await
}

/// `POST /reconciliation/{id}/reopen`
pub async fn reopen(ctx: &Ctx) -> Outcome {
    say(ctx, Decision::Reopen).await
}

async fn say(ctx: &Ctx, decision: Decision) -> Outcome {
    let id = ctx.params.get("id");
    let person = format!("user:{}", ctx.session.user.name);
    let mut client = ctx.console.app.reads.get().await?;
    let said = decide(&mut client, id, decision, &person, ctx.form.get("reason")).await;
    said.map_err(|error| match error {
        DecisionError::Unknown(_) => Fault::Missing,
        DecisionError::Database(error) => error.into(),
        told => Fault::refused(told.to_string()),
    })?;
    Ok(ctx.see(&format!("/reconciliation/{id}"), "saved"))
}

async fn load(ctx: &Ctx) -> Result<Value, Fault> {
    let id = ctx.params.get("id");
    ctx.row(&ONE, &[&id]).await?.ok_or(Fault::Missing)
}

fn age(ctx: &Ctx, row: &Value) -> Cell {
    match format::timestamp(&row["since"]) {
        Some(since) => Cell::Text(format::distance(ctx.now.duration_since(since).as_secs())),
        None => Cell::Quiet("–".into()),
    }
}

fn amount(side: &Value) -> Cell {
    match (side["amount"].as_i64(), side["currency"].as_str()) {
        (Some(minor), Some(currency)) => Cell::Number(format::money(minor, &currency.to_lowercase())),
        _ => Cell::Quiet("–".into()),
    }
}

/// One side of a break, field by field.
fn side(ctx: &Ctx, title: &str, side: &Value) -> Option<Section> {
    let mut facts = Facts::new(ctx.t(title));
    for (name, value) in side.as_object()? {
        let shown = match (value, name.as_str()) {
            (Value::Null, _) => continue,
            (Value::Number(minor), "amount" | "fee" | "net") => match (minor.as_i64(), side["currency"].as_str()) {
                (Some(minor), Some(currency)) => Cell::Number(format::money(minor, &currency.to_lowercase())),
                _ => Cell::Number(minor.to_string()),
            },
            (Value::String(text), _) => match super::of_object(text) {
                Some(page) => Cell::link(page, text.clone()),
                None => Cell::Text(text.clone()),
            },
            (other, _) => Cell::Code(other.to_string()),
        };
        facts = facts.fact(ctx.word(name), shown);
    }
    Some(facts.into())
}
