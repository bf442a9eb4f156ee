//! The books: every book's accounts, statements, journals, whether debits equal credits, and how far all of it is sealed.

use crate::console::ctx::{Ctx, Fault, Outcome};
use crate::console::format;
use crate::console::query::{Query, number, text};
use crate::console::view::{Cell, Facts, Notice, Table, Tone, View};
use ::ledger::{AccountName, BookId, Chart, JournalCode};
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// Every book with its sums per currency: of accounts, which are few, not of journals.
pub static BOOKS_OF_ALL: Query = Query {
    name: "ledger.books",
    sql: "SELECT b.code, b.name, a.currency, count(*) AS accounts, sum(a.debits_posted)::bigint AS debits, sum(a.credits_posted)::bigint AS credits,
                 coalesce(sum(a.credits_posted - a.debits_posted) FILTER (WHERE a.number IN ('2010','2020','2030')), 0)::bigint AS owed
          FROM ledger.book b JOIN ledger.account a ON a.book_id = b.book_id
          GROUP BY b.book_id, b.code, b.name, a.currency ORDER BY b.book_id, a.currency LIMIT 1000",
    types: &[],
};

/// How far the books are sealed.
pub static SEAL: Query = Query {
    name: "ledger.seal",
    sql: "SELECT s.page, s.total, s.sealed_at, encode(s.head, 'hex') AS head FROM ledger.seal s ORDER BY s.page DESC LIMIT 10",
    types: &[],
};

/// A book by its code.
pub static BOOK: Query = Query {
    name: "ledger.book",
    sql: "SELECT b.book_id, b.code, b.name FROM ledger.book b WHERE b.code = $1",
    types: &[Type::TEXT],
};

/// Its accounts with their balances.
pub static ACCOUNTS: Query = Query {
    name: "ledger.accounts",
    sql: "SELECT b.account, left(b.account, 4) AS number, b.currency, b.posted, b.available, b.debits_posted, b.credits_posted, b.status
          FROM ledger.balance b WHERE b.book_id = $1 ORDER BY b.account LIMIT 1000",
    types: &[Type::INT8],
};

/// Its journals, newest first.
pub static JOURNALS: Query = Query {
    name: "ledger.journals",
    sql: "SELECT j.journal_id, j.code, j.reference, j.effective_at, j.recorded_at, j.account, j.kind::text[] AS kind, j.amount
          FROM ledger.journal j WHERE j.book_id = $1 AND j.journal_id < $2 ORDER BY j.journal_id DESC LIMIT 26",
    types: &[Type::INT8, Type::UUID],
};

/// One of them.
pub static JOURNAL: Query = Query {
    name: "ledger.journal",
    sql: "SELECT j.journal_id, j.code, j.reference, j.effective_at, j.recorded_at, j.link, j.reverses, j.hold_id, j.memo, j.recorded_xid,
                 j.account, j.kind::text[] AS kind, j.amount
          FROM ledger.journal j WHERE j.book_id = $1 AND j.journal_id = $2",
    types: &[Type::INT8, Type::UUID],
};

const PAGE: usize = 25;
const LINES: u32 = 100;

/// `GET /ledger`
pub async fn index(ctx: &Ctx) -> Outcome {
    let books = ctx.rows(&BOOKS_OF_ALL, &[]).await?;
    let seals = ctx.rows(&SEAL, &[]).await?;
    let columns = ctx.columns(&[
        "ledger.book",
        "column.currency",
        "ledger.accounts>",
        "column.debit>",
        "column.credit>",
        "ledger.owed>",
        "ledger.balanced",
    ]);
    let mut table = Table::new(ctx.t("ledger.books"), &columns).empty(ctx.t("ledger.no_books"));
    let mut unbalanced = Vec::new();
    for row in &books {
        let sound = row["debits"] == row["credits"];
        if !sound {
            unbalanced.push(text(row, "code").to_owned());
        }
        table.push(vec![
            Cell::link(format!("/ledger/{}", text(row, "code")), text(row, "name")),
            text(row, "currency").to_uppercase().into(),
            Cell::Number(number(row, "accounts").to_string()),
            ctx.money(row, "debits"),
            ctx.money(row, "credits"),
            ctx.money(row, "owed"),
            balanced(ctx, sound),
        ]);
    }
    let verdict = match unbalanced.is_empty() {
        true => Notice::new(Tone::Good, ctx.t("ledger.sound")),
        false => Notice::new(Tone::Bad, ctx.f("ledger.unsound", &[&unbalanced.join(", ")])),
    };
    let columns = ctx.columns(&["ledger.page>", "ledger.sealed>", "column.when", "ledger.head"]);
    let mut pages = Table::new(ctx.t("ledger.seal"), &columns).empty(ctx.t("ledger.no_seal"));
    for row in &seals {
        pages.push(vec![
            Cell::Number(number(row, "page").to_string()),
            Cell::Number(format::grouped(&number(row, "total").to_string())),
            ctx.time(row, "sealed_at"),
            Cell::Code(text(row, "head").chars().take(16).collect()),
        ]);
    }
    Ok(View::new(ctx.t("ledger.title"))
        .lead(ctx.t("ledger.lead"))
        .with(verdict)
        .with(table)
        .with(pages)
        .into())
}

/// `GET /ledger/{book}`
pub async fn book(ctx: &Ctx) -> Outcome {
    let book = load(ctx).await?;
    let (book_id, code) = (number(&book, "book_id"), text(&book, "code"));
    let accounts = ctx.rows(&ACCOUNTS, &[&book_id]).await?;
    let columns = ctx.columns(&[
        "ledger.account",
        "ledger.name",
        "ledger.type",
        "ledger.posted>",
        "ledger.available>",
        "column.debit>",
        "column.credit>",
    ]);
    let mut tree = Table::new(ctx.t("ledger.trial"), &columns).empty(ctx.t("ledger.no_accounts"));
    for row in &accounts {
        let chart = Chart::from_number(text(row, "number"));
        tree.push(vec![
            Cell::link(
                format!("/ledger/{code}/accounts/{}", text(row, "account")),
                text(row, "account"),
            ),
            chart.map_or("", Chart::title).into(),
            Cell::Quiet(chart.map_or_else(String::new, |chart| ctx.word(chart.account_type().as_str()))),
            ctx.money(row, "posted"),
            ctx.money(row, "available"),
            ctx.money(row, "debits_posted"),
            ctx.money(row, "credits_posted"),
        ]);
    }
    let before = ctx
        .query
        .some("before")
        .and_then(|id| id.parse().ok())
        .unwrap_or(Uuid::max());
    let journals = ctx.rows(&JOURNALS, &[&book_id, &before]).await?;
    let columns = ctx.columns(&[
        "column.journal",
        "column.when",
        "column.what",
        "column.account",
        "column.debit>",
        "column.credit>",
    ]);
    let mut table = Table::new(ctx.t("ledger.journals"), &columns).empty(ctx.t("ledger.no_journals"));
    for journal in journals.iter().take(PAGE) {
        lines(ctx, &mut table, code, journal);
    }
    let path = format!("/ledger/{code}");
    if let (true, Some(last)) = (journals.len() > PAGE, journals.get(PAGE - 1)) {
        table.older = ctx.href(&path, &[("before", text(last, "journal_id"))]);
        table.older_text = ctx.t("list.older");
    }
    if ctx.query.some("before").is_some() {
        table.newest = path;
        table.newest_text = ctx.t("list.newest");
    }
    Ok(View::new(text(&book, "name"))
        .crumb("/ledger", ctx.t("ledger.title"))
        .lead(code)
        .with(tree)
        .with(table)
        .into())
}

/// `GET /ledger/{book}/accounts/{account}`
pub async fn statement(ctx: &Ctx) -> Outcome {
    let book = load(ctx).await?;
    let code = text(&book, "code");
    let account: AccountName = ctx.params.get("account").parse().map_err(|_| Fault::Missing)?;
    let after = ctx.query.some("after").and_then(|cursor| {
        let (at, journal) = cursor.split_once('/')?;
        Some(::ledger::statement::Cursor {
            effective_at: at.parse::<Timestamp>().ok()?,
            journal: journal.parse().ok()?,
        })
    });
    let query = ::ledger::statement::Query {
        book: BookId(number(&book, "book_id")),
        account: account.clone(),
        from: None,
        to: None,
        after,
        limit: LINES,
    };
    let statement = {
        let client = ctx.console.app.reads.get().await?;
        ::ledger::statement::statement(&**client, &query)
            .await
            .map_err(|error| match error {
                ::ledger::statement::StatementError::UnknownAccount(_) => Fault::Missing,
                other => Fault::Internal(other.to_string()),
            })?
    };
    let currency = account.currency();
    let money = |minor: i128| format::money(i64::try_from(minor).unwrap_or(i64::MAX), currency.as_str());
    let columns = ctx.columns(&[
        "column.when",
        "column.journal",
        "column.what",
        "ledger.reference",
        "column.amount>",
        "ledger.balance>",
    ]);
    let mut table = Table::new(ctx.t("ledger.statement"), &columns).empty(ctx.t("ledger.no_lines"));
    for line in &statement.lines {
        table.push(vec![
            ctx.at(line.effective_at),
            Cell::link(format!("/ledger/{code}/journals/{}", line.journal), line.code.clone()),
            what(&line.code).into(),
            reference(line.reference.as_deref().unwrap_or_default()),
            Cell::Number(money(line.amount)),
            Cell::Number(money(line.balance)),
        ]);
    }
    if let Some(next) = &statement.next {
        let cursor = format!("{}/{}", next.effective_at, next.journal);
        table.older = ctx.href(
            &format!("/ledger/{code}/accounts/{}", account.as_str()),
            &[("after", &cursor)],
        );
        table.older_text = ctx.t("list.newer");
    }
    let facts = Facts::new("")
        .fact(ctx.t("ledger.name"), account.chart().title())
        .fact(ctx.t("ledger.opening"), Cell::Number(money(statement.opening)))
        .fact(ctx.t("ledger.closing"), Cell::Number(money(statement.closing)));
    Ok(View::new(account.as_str())
        .crumb("/ledger", ctx.t("ledger.title"))
        .crumb(format!("/ledger/{code}"), text(&book, "name"))
        .with(facts)
        .with(table)
        .into())
}

/// `GET /ledger/{book}/journals/{id}`
pub async fn journal(ctx: &Ctx) -> Outcome {
    let book = load(ctx).await?;
    let id: Uuid = ctx.params.get("id").parse().map_err(|_| Fault::Missing)?;
    let journal = ctx
        .row(&JOURNAL, &[&number(&book, "book_id"), &id])
        .await?
        .ok_or(Fault::Missing)?;
    let code = text(&book, "code");
    let other = |field: &str| {
        journal[field]
            .as_str()
            .map(|id| Cell::link(format!("/ledger/{code}/journals/{id}"), id))
    };
    let facts = Facts::new("")
        .fact(
            ctx.t("column.what"),
            format!("{} {}", text(&journal, "code"), what(text(&journal, "code"))),
        )
        .fact(ctx.t("ledger.reference"), reference(text(&journal, "reference")))
        .fact(ctx.t("ledger.effective"), ctx.time(&journal, "effective_at"))
        .fact(ctx.t("ledger.recorded"), ctx.time(&journal, "recorded_at"))
        .fact_some(ctx.t("ledger.linked"), other("link"))
        .fact_some(ctx.t("ledger.reverses"), other("reverses"))
        .fact_some(ctx.t("ledger.hold"), other("hold_id"))
        .fact_some(
            ctx.t("ledger.memo"),
            (!journal["memo"].is_null()).then(|| Cell::Code(journal["memo"].to_string())),
        );
    let columns = ctx.columns(&[
        "column.journal",
        "column.when",
        "column.what",
        "column.account",
        "column.debit>",
        "column.credit>",
    ]);
    let mut table = Table::new(ctx.t("ledger.lines"), &columns);
    lines(ctx, &mut table, code, &journal);
    Ok(View::new(ctx.f("ledger.one", &[text(&journal, "code")]))
        .crumb("/ledger", ctx.t("ledger.title"))
        .crumb(format!("/ledger/{code}"), text(&book, "name"))
        .lead(id.to_string())
        .with(facts)
        .with(table)
        .into())
}

/// A journal's lines as rows: debits and credits in their columns, what is on hold marked as such.
pub(super) fn lines(ctx: &Ctx, table: &mut Table, book: &str, journal: &Value) {
    let code = text(journal, "code");
    let list = |field: &str| journal[field].as_array().cloned().unwrap_or_default();
    let books = ctx.is(super::BOOKS);
    for (index, ((account, kind), amount)) in list("account").iter().zip(list("kind")).zip(list("amount")).enumerate() {
        let (account, kind) = (
            account.as_str().unwrap_or_default(),
            kind.as_str().unwrap_or_default().to_owned(),
        );
        let currency = account.rsplit('.').next().unwrap_or("usd");
        let money = format::money(amount.as_i64().unwrap_or_default(), currency);
        let money = match kind.as_str() {
            "D" | "C" => money,
            "d" | "c" => format!("{money} {}", ctx.t("ledger.held")),
            _ => format!("{money} {}", ctx.t("ledger.released")),
        };
        let debit = matches!(kind.as_str(), "D" | "d" | "y");
        let (debit, credit) = match debit {
            true => (Cell::Number(money), Cell::Quiet(String::new())),
            false => (Cell::Quiet(String::new()), Cell::Number(money)),
        };
        let id = text(journal, "journal_id");
        let (first, when, words) = match index {
            0 => (
                match books {
                    true => Cell::link(format!("/ledger/{book}/journals/{id}"), code),
                    false => Cell::Code(code.to_owned()),
                },
                ctx.time(journal, "recorded_at"),
                Cell::Text(what(code).to_owned()),
            ),
            _ => (
                Cell::Quiet(String::new()),
                Cell::Quiet(String::new()),
                Cell::Quiet(String::new()),
            ),
        };
        let account = match books {
            true => Cell::link(format!("/ledger/{book}/accounts/{account}"), account),
            false => Cell::Code(account.to_owned()),
        };
        table.push(vec![first, when, words, account, debit, credit]);
    }
}

async fn load(ctx: &Ctx) -> Result<Value, Fault> {
    let code = ctx.params.get("book");
    ctx.row(&BOOK, &[&code]).await?.ok_or(Fault::Missing)
}

fn what(code: &str) -> &'static str {
    code.parse::<JournalCode>().map_or("", JournalCode::title)
}

fn reference(id: &str) -> Cell {
    match super::of_object(id) {
        Some(page) => Cell::link(page, id),
        None => Cell::Code(id.to_owned()),
    }
}

fn balanced(ctx: &Ctx, sound: bool) -> Cell {
    Cell::Badge {
        tone: if sound { Tone::Good } else { Tone::Bad },
        text: ctx.t(if sound { "ledger.yes" } else { "ledger.no" }),
    }
}
