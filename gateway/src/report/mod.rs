//! Reports: what finance, merchants and authorities read, each made from one position of the books.
//!
//! [`REPORTS`] is the table of them. A report is its columns and one query over the lines that the books had at a [`Position`]; it
//! reads nothing that can change afterwards, so the same position gives the same bytes for ever ([`Made::render`]). Adding one is
//! a file with its query, and its line in the table. Reads only; the rows are [`Made::rows`] for whoever shows them otherwise.
//! It must never read a status, a balance that is stored, or a clock.

mod account_statement;
mod activity;
mod ageing;
mod balance_sheet;
mod disputes_and_refunds;
mod fees_and_tax;
mod income;
mod merchant_statement;
mod position;
mod reconciliation;
mod render;
mod safeguarding;
mod settlement;
mod trial_balance;
mod unexplained_money;

pub use position::{Position, Which};
pub use render::{Format, decimal};
pub use unexplained_money::REPORT as UNEXPLAINED;

use jiff::Timestamp;
use jiff::civil::Date;
use ledger::{AccountName, BookId, Currency};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

/// Every report, by name.
pub static REPORTS: &[&Report] = &[
    &account_statement::REPORT,
    &activity::REPORT,
    &ageing::REPORT,
    &balance_sheet::REPORT,
    &disputes_and_refunds::REPORT,
    &fees_and_tax::REPORT,
    &income::REPORT,
    &merchant_statement::REPORT,
    &reconciliation::REPORT,
    &safeguarding::REPORT,
    &settlement::REPORT,
    &trial_balance::REPORT,
    &unexplained_money::REPORT,
];

/// A line of the table of reports.
#[derive(Debug)]
pub struct Report {
    /// how it is asked for, `trial_balance`
    pub name: &'static str,
    /// what people call it
    pub title: &'static str,
    /// what it tells, in a sentence
    pub about: &'static str,
    /// what has to be said to make it
    pub needs: Needs,
    /// which time it is about
    pub span: Span,
    /// what a merchant may have of itself; others are the platform's alone
    pub merchants: bool,
    /// two people sign it before a period is closed
    pub signed: bool,
    /// in order; the query gives columns of these names
    pub columns: &'static [Column],
    /// What follows `WITH line AS (..)`, ordered by columns that tell all rows apart. Parameters: [`PRELUDE`]'s.
    sql: &'static str,
}

/// What has to be said to make a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// nothing: of a book, by book, or consolidated
    Nothing,
    /// a book
    Book,
    /// a book and an account of it
    Account,
}

/// Which time a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// a moment: the end
    AsOf,
    /// from the beginning to the end
    Period,
}

/// A column of a report.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// of the query, and in files for programs
    pub name: &'static str,
    /// of its cells
    pub kind: Kind,
}

/// What a cell holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// words and ids
    Text,
    /// a number of things
    Count,
    /// minor units of the row's `currency`
    Money,
    /// a day, UTC
    Day,
    /// a moment
    Moment,
}

/// A column in one line: `text("book")`.
pub(crate) const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

pub(crate) const fn money(name: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Money,
    }
}

pub(crate) const fn count(name: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Count,
    }
}

pub(crate) const fn day(name: &'static str) -> Column {
    Column { name, kind: Kind::Day }
}

pub(crate) const fn moment(name: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Moment,
    }
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Cell {
    Empty,
    Text(String),
    Count(i64),
    Money(i64, Currency),
    Day(Date),
    Moment(Timestamp),
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// one book, with its code; none: all of them
    pub book: Option<(BookId, String)>,
    /// all books as one
    pub consolidated: bool,
    /// of a statement
    pub account: Option<AccountName>,
    /// what happened from here on; none: from the first journal
    pub from: Option<Timestamp>,
    /// what happened before; none: all that the position has
    pub to: Option<Timestamp>,
    /// what the books had recorded
    pub position: Which,
}

/// A report that is made.
#[derive(Clone, Debug)]
pub struct Made {
    /// which
    pub report: &'static Report,
    /// of what
    pub ask: Ask,
    /// from where in the books
    pub position: Position,
    /// cells in the order of the columns
    pub rows: Vec<Vec<Cell>>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// There is no report of this name.
    #[error("there is no report {0}; there are {names}", names = names())]
    Unknown(String),
    /// It is about one book.
    #[error("{0} is about one book: say which")]
    NeedsBook(&'static str),
    /// It is about one account.
    #[error("{0} is about one account of one book: say which, e.g. 2010.usd")]
    NeedsAccount(&'static str),
    /// It ends before it begins.
    #[error("the end is not after the beginning")]
    EmptySpan,
    /// There is no such position.
    #[error("{0}")]
    Position(String),
    /// The time, or the position, lies within detached months (this is the last of them).
    #[error("the report needs journals of detached months ({0}): ask for a later time, or look into their archive")]
    Detached(String),
    /// More rows than a report holds.
    #[error("more than {ROWS_MAX} rows: ask for one book, or for a shorter time")]
    TooLong,
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] tokio_postgres::Error),
}

/// The report of this name; `-` is as good as `_`.
pub fn find(name: &str) -> Result<&'static Report, ReportError> {
    let wanted = name.replace('-', "_");
    let found = REPORTS.iter().find(|report| report.name == wanted);
    found
        .copied()
        .ok_or_else(|| ReportError::Unknown(name.chars().take(64).collect()))
}

/// Makes it.
pub async fn make(client: &impl GenericClient, report: &'static Report, ask: Ask) -> Result<Made, ReportError> {
    if report.needs != Needs::Nothing && ask.book.is_none() {
        return Err(ReportError::NeedsBook(report.name));
    }
    if report.needs == Needs::Account && ask.account.is_none() {
        return Err(ReportError::NeedsAccount(report.name));
    }
    if let (Some(from), Some(to)) = (ask.from, ask.to)
        && from >= to
    {
        return Err(ReportError::EmptySpan);
    }
    let position = position::find(client, &ask.position).await?;
    make_at(client, report, ask, position).await
}

/// Makes it from a position that was found, or of everything that the caller's transaction sees.
pub(crate) async fn make_at(
    client: &impl GenericClient,
    report: &'static Report,
    ask: Ask,
    position: Position,
) -> Result<Made, ReportError> {
    let book = ask.book.as_ref().map(|(book, _)| book.0);
    let account = ask.account.as_ref().map(AccountName::as_str);
    let moment = ask.to.unwrap_or(position.recorded_at);
    // Of what is no journal, that counts which was known by then.
    let known = position.recorded_at;
    let (xid, last_book, last) = (position.xid, position.book, position.journal);
    let params: [(&(dyn ToSql + Sync), Type); 10] = [
        (&xid, Type::INT8),
        (&last_book, Type::INT8),
        (&last, Type::UUID),
        (&book, Type::INT8),
        (&ask.from, Type::TIMESTAMPTZ),
        (&ask.to, Type::TIMESTAMPTZ),
        (&account, Type::TEXT),
        (&moment, Type::TIMESTAMPTZ),
        (&ask.consolidated, Type::BOOL),
        (&known, Type::TIMESTAMPTZ),
    ];
    let sql = format!("{PRELUDE}{}\n    LIMIT {}", report.sql, ROWS_MAX + 1);
    let rows = client.query_typed(&sql, &params).await?;
    if rows.len() > ROWS_MAX {
        return Err(ReportError::TooLong);
    }
    let rows = rows.iter().map(|row| cells(report, row)).collect::<Result<_, _>>()?;
    Ok(Made {
        report,
        ask,
        position,
        rows,
    })
}

fn cells(report: &Report, row: &Row) -> Result<Vec<Cell>, tokio_postgres::Error> {
    let cell = |column: &Column| {
        let name = column.name;
        Ok(match column.kind {
            Kind::Text => row.try_get::<_, Option<String>>(name)?.map(Cell::Text),
            Kind::Count => row.try_get::<_, Option<i64>>(name)?.map(Cell::Count),
            Kind::Day => row.try_get::<_, Option<Date>>(name)?.map(Cell::Day),
            Kind::Moment => row.try_get::<_, Option<Timestamp>>(name)?.map(Cell::Moment),
            Kind::Money => match row.try_get::<_, Option<i64>>(name)? {
                Some(amount) => {
                    let code: String = row.try_get("currency")?;
                    // The ledger's own list: an account of another currency cannot exist.
                    code.parse().ok().map(|currency| Cell::Money(amount, currency))
                }
                None => None,
            },
        }
        .unwrap_or(Cell::Empty))
    };
    report.columns.iter().map(cell).collect()
}

fn names() -> String {
    let names: Vec<&str> = REPORTS.iter().map(|report| report.name).collect();
    names.join(", ")
}

impl From<tokio_postgres::Error> for ReportError {
    fn from(e: tokio_postgres::Error) -> Self {
        match e.as_db_error() {
            Some(db) if db.code().code() == "LG017" => {
                ReportError::Detached(db.detail().unwrap_or_default().to_owned())
            }
            _ => ReportError::Database(e),
        }
    }
}

impl Made {
    /// The column of this name as an index.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.report.columns.iter().position(|column| column.name == name)
    }
}

/// The journal of the position as it was left to us by detached months, and what was posted since: posted lines of the books asked
/// for, that happened before the end. Parameters: $1 $2 $3 the position, $4 the book or NULL, $5 from or NULL, $6 to or NULL, $7
/// the account or NULL, $8 the moment that ages are counted to, $9 whether books are taken as one, $10 when the last journal was recorded.
///
/// What detached months carried forward has no reference, and is dated on the first day of its month.
const PRELUDE: &str = "
    WITH line AS (
        SELECT j.book_id, j.journal_id, j.code, j.effective_at, j.recorded_at, j.reference, j.memo, l.account,
               left(l.account, 4) AS number, right(l.account, 3) AS currency,
               CASE l.kind WHEN 'D' THEN l.amount ELSE 0 END AS debit, CASE l.kind WHEN 'C' THEN l.amount ELSE 0 END AS credit
        FROM ledger.journal j CROSS JOIN LATERAL unnest(j.account, j.kind, j.amount) AS l(account, kind, amount)
        WHERE (j.recorded_xid, j.book_id, j.journal_id) <= ($1::bigint, $2::bigint, $3::uuid)
          AND ($4::bigint IS NULL OR j.book_id = $4) AND ($6::timestamptz IS NULL OR j.effective_at < $6) AND l.kind IN ('D', 'C')
        UNION ALL
        SELECT c.book_id, NULL, NULL, c.month::timestamp AT TIME ZONE 'UTC', c.last_recorded, NULL, NULL, c.account,
               left(c.account, 4), right(c.account, 3), c.debits_posted, c.credits_posted
        FROM ledger.carried c
        WHERE ($4 IS NULL OR c.book_id = $4) AND (SELECT ledger.require_attached($4, least($5::timestamptz, $6), NULL))
    )";

/// More is not a report that anybody reads.
const ROWS_MAX: usize = 1_000_000;

/// The position of a journal is its transaction, its book and its id, in this order.
pub(crate) type Place = (i64, i64, Uuid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_money_has_its_currency() {
        assert!(REPORTS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for report in REPORTS {
            let has = |kind| report.columns.iter().any(|column| column.kind == kind);
            let currency = report.columns.iter().any(|column| column.name == "currency");
            assert!(currency || !has(Kind::Money), "{}", report.name);
            assert!(report.sql.contains("ORDER BY"), "{}", report.name);
            assert!(find(&report.name.replace('_', "-")).is_ok());
        }
        assert!(find("no_such").is_err_and(|error| error.to_string().contains("trial_balance")));
    }
}
