//! Closing periods: what is dated before the end of the closed period is refused, by the database.
//!
//! A close moves that end on, a reopening moves it back and says why; both are rows for ever, and the last one is the
//! state. A day can be closed once it is over (UTC). Closing waits for the postings under way, so none slips behind it.
//! A journal that cannot wait carries a value date instead ([`Draft::or_value_date`](crate::journal::Draft::or_value_date)).
//! One round trip each; the lock is an advisory one, which postings share and an act has alone.
//! Needs the grants of `ledger_writer`. Must never be called in a transaction that has posted: that would wait for itself
//! to end the postings of others for longer than needed.

use jiff::Timestamp;
use jiff::civil::Date;
use postgres_types::ToSql;
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};

use crate::BookId;

/// Why a period was neither closed nor reopened.
#[derive(Debug, thiserror::Error)]
pub enum PeriodError {
    /// The day is not over yet.
    #[error("a day that is not over cannot be closed")]
    DayNotOver,
    /// A close has to move the end on, a reopening to move it back; or there is no such book.
    #[error("the books are closed up to {0:?}: a close moves that on, a reopening moves it back")]
    OutOfOrder(String),
    /// A name, or the reason of a reopening, is missing.
    #[error("who acts has to be named, and a reopening needs a reason")]
    Unexplained,
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] tokio_postgres::Error),
}

/// A close or a reopening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// The book's code; none for every book.
    pub book: Option<String>,
    /// Its number in that book's list of acts, from 1.
    pub number: i64,
    /// A reopening, not a close.
    pub reopens: bool,
    /// The last closed day since then, in UTC.
    pub up_to: Date,
    /// Why; always there for a reopening.
    pub reason: Option<String>,
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Whether it is the last act of its book: the state as it is.
    pub stands: bool,
}

/// Closes a book, or every book (also those opened later), up to and including a day.
pub async fn close(
    client: &impl GenericClient,
    book: Option<BookId>,
    up_to: Date,
    by: &str,
    reason: Option<&str>,
) -> Result<(), PeriodError> {
    act(
        client,
        "SELECT ledger.close_period($1, $2, $3, $4)",
        book,
        up_to,
        by,
        reason,
    )
    .await
}

/// Reopens a book, or every book, from a day on.
pub async fn reopen(
    client: &impl GenericClient,
    book: Option<BookId>,
    from: Date,
    by: &str,
    reason: &str,
) -> Result<(), PeriodError> {
    let sql = "SELECT ledger.reopen_period($1, $2, $3, $4)";
    act(client, sql, book, from, by, Some(reason)).await
}

/// All acts, the newest first.
pub async fn list(client: &impl GenericClient) -> Result<Vec<Act>, tokio_postgres::Error> {
    client.query_typed(LIST, &[]).await?.iter().map(read).collect()
}

/// The first open instant of a book; none when nothing is closed.
pub async fn closed_until(
    client: &impl GenericClient,
    book: BookId,
) -> Result<Option<Timestamp>, tokio_postgres::Error> {
    let row = client.query_typed_one(CLOSED_UNTIL, &[(&book.0, Type::INT8)]).await?;
    row.try_get(0)
}

async fn act(
    client: &impl GenericClient,
    sql: &str,
    book: Option<BookId>,
    day: Date,
    by: &str,
    reason: Option<&str>,
) -> Result<(), PeriodError> {
    let book = book.map_or(EVERY_BOOK, |b| b.0);
    let params: [(&(dyn ToSql + Sync), Type); 4] = [
        (&book, Type::INT8),
        (&day, Type::DATE),
        (&by, Type::TEXT),
        (&reason, Type::TEXT),
    ];
    client.query_typed_one(sql, &params).await.map(drop).map_err(|e| {
        let Some(db) = e.as_db_error() else {
            return PeriodError::Database(e);
        };
        match (db.code().code(), db.constraint()) {
            ("LG015", _) => PeriodError::OutOfOrder(db.detail().unwrap_or_default().to_owned()),
            (_, Some("period_day_over")) => PeriodError::DayNotOver,
            (_, Some("period_reason" | "period_acted_by_check")) => PeriodError::Unexplained,
            _ => PeriodError::Database(e),
        }
    })
}

fn read(row: &Row) -> Result<Act, tokio_postgres::Error> {
    Ok(Act {
        book: row.try_get("book")?,
        number: row.try_get("act_no")?,
        reopens: row.try_get("reopens")?,
        up_to: row.try_get("up_to")?,
        reason: row.try_get("reason")?,
        by: row.try_get("acted_by")?,
        at: row.try_get("acted_at")?,
        stands: row.try_get("stands")?,
    })
}

/// The number under which the acts on every book are kept; no book has it.
const EVERY_BOOK: i64 = 0;

const LIST: &str = "
    SELECT b.code AS book, p.act_no, p.act = 'reopen' AS reopens, p.up_to, p.reason, p.acted_by, p.acted_at,
           p.act_no = max(p.act_no) OVER (PARTITION BY p.book_id) AS stands
    FROM ledger.period p LEFT JOIN ledger.book b USING (book_id)
    ORDER BY p.acted_at DESC, p.book_id, p.act_no DESC";

// Readers may look at the table, not call the function.
const CLOSED_UNTIL: &str = "
    SELECT max((last.up_to + 1)::timestamp AT TIME ZONE 'UTC')
    FROM (SELECT DISTINCT ON (book_id) up_to FROM ledger.period WHERE book_id IN (0, $1) ORDER BY book_id, act_no DESC) last";
