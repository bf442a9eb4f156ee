//! The rows that every format is made of: journals by day, and accounts with their counters, from one snapshot.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, IsolationLevel, Portal, Row, Transaction};
use uuid::Uuid;

use super::Options;
use crate::AccountName;
use crate::balance::{Counters, StoredName};
use crate::journal::{Line, LineKind};

/// A journal as it is stored.
pub(super) struct Booked {
    pub book_code: String,
    pub book: i64,
    pub id: Uuid,
    pub code: String,
    pub effective_at: Timestamp,
    pub recorded_at: Timestamp,
    pub reference: Option<String>,
    pub link: Option<Uuid>,
    pub reverses: Option<Uuid>,
    pub hold: Option<Uuid>,
    pub key: Option<Vec<u8>>,
    pub memo: Option<serde_json::Value>,
    pub lines: Vec<Line>,
}

/// An account as it is stored.
pub(super) struct Stored {
    pub book_code: String,
    pub book: i64,
    pub account: AccountName,
    pub counters: Counters,
}

/// Journals come in order of the day (UTC) on which they happened, then by book and id.
pub(super) struct Source<'a> {
    tx: Transaction<'a>,
    journals: Portal,
    done: bool,
    options: Options,
}

impl<'a> Source<'a> {
    pub async fn open(client: &'a mut Client, options: Options) -> Result<Source<'a>, tokio_postgres::Error> {
        let tx = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        let statement = tx.prepare_typed(JOURNALS, &[Type::INT8]).await?;
        let journals = tx.bind(&statement, &[&options.book.map(|b| b.0)]).await?;
        Ok(Source {
            tx,
            journals,
            done: false,
            options,
        })
    }

    pub async fn next_page(&mut self) -> Result<Option<Vec<Booked>>, tokio_postgres::Error> {
        if self.done {
            return Ok(None);
        }
        let rows = self.tx.query_portal(&self.journals, ROWS_PER_FETCH).await?;
        self.done = rows.len() < ROWS_PER_FETCH as usize;
        rows.iter().map(booked).collect::<Result<_, _>>().map(Some)
    }

    /// All accounts of the books, by book and name.
    pub async fn accounts(&self) -> Result<Vec<Stored>, tokio_postgres::Error> {
        let rows = self
            .tx
            .query_typed(ACCOUNTS, &[(&self.options.book.map(|b| b.0), Type::INT8)])
            .await?;
        rows.iter().map(stored).collect()
    }

    /// What the detached months added up to, by book and account; empty when none was detached.
    pub async fn carried(&self) -> Result<Vec<Stored>, tokio_postgres::Error> {
        let rows = self
            .tx
            .query_typed(CARRIED, &[(&self.options.book.map(|b| b.0), Type::INT8)])
            .await?;
        rows.iter().map(stored).collect()
    }

    /// First and last day on which something happened.
    pub async fn days(&self) -> Result<Option<(Date, Date)>, tokio_postgres::Error> {
        let row = self
            .tx
            .query_typed_one(DAYS, &[(&self.options.book.map(|b| b.0), Type::INT8)])
            .await?;
        let (first, last): (Option<Timestamp>, Option<Timestamp>) = (row.try_get(0)?, row.try_get(1)?);
        Ok(first.zip(last).map(|(first, last)| (day(first), day(last))))
    }

    pub async fn close(self) -> Result<(), tokio_postgres::Error> {
        self.tx.rollback().await
    }
}

impl Booked {
    /// The day on which it happened, UTC.
    pub fn day(&self) -> Date {
        day(self.effective_at)
    }

    /// Lines of the posted or of the pending layer, debits positive. A release undoes its pending line.
    pub fn layer(&self, pending: bool) -> impl Iterator<Item = (&AccountName, i128)> {
        self.lines.iter().filter_map(move |l| {
            let amount = i128::from(l.amount);
            let (is_pending, signed) = match l.kind {
                LineKind::Debit => (false, amount),
                LineKind::Credit => (false, -amount),
                LineKind::PendingDebit | LineKind::ReleaseCredit => (true, amount),
                LineKind::PendingCredit | LineKind::ReleaseDebit => (true, -amount),
            };
            (is_pending == pending).then_some((&l.account, signed))
        })
    }
}

impl Stored {
    /// Net of the layer by the counters, debits positive.
    pub fn net(&self, pending: bool) -> i128 {
        let c = &self.counters;
        if pending {
            i128::from(c.debits_pending) - i128::from(c.credits_pending)
        } else {
            i128::from(c.debits_posted) - i128::from(c.credits_posted)
        }
    }
}

fn day(t: Timestamp) -> Date {
    t.to_zoned(TimeZone::UTC).date()
}

fn booked(row: &Row) -> Result<Booked, tokio_postgres::Error> {
    let accounts: Vec<StoredName> = row.try_get("account")?;
    let kinds: Vec<StoredKind> = row.try_get("kind")?;
    let amounts: Vec<i64> = row.try_get("amount")?;
    let lines = accounts.into_iter().zip(kinds).zip(amounts);
    Ok(Booked {
        book_code: row.try_get("book_code")?,
        book: row.try_get("book_id")?,
        id: row.try_get("journal_id")?,
        code: row.try_get("code")?,
        effective_at: row.try_get("effective_at")?,
        recorded_at: row.try_get("recorded_at")?,
        reference: row.try_get("reference")?,
        link: row.try_get("link")?,
        reverses: row.try_get("reverses")?,
        hold: row.try_get("hold_id")?,
        key: row.try_get("idem_key")?,
        memo: row.try_get("memo")?,
        lines: lines
            .map(|((account, kind), amount)| Line {
                account: account.0,
                kind: kind.0,
                amount,
            })
            .collect(),
    })
}

fn stored(row: &Row) -> Result<Stored, tokio_postgres::Error> {
    Ok(Stored {
        book_code: row.try_get("book_code")?,
        book: row.try_get("book_id")?,
        account: row.try_get::<_, StoredName>("account")?.0,
        counters: Counters {
            debits_pending: row.try_get("debits_pending")?,
            debits_posted: row.try_get("debits_posted")?,
            credits_pending: row.try_get("credits_pending")?,
            credits_posted: row.try_get("credits_posted")?,
        },
    })
}

/// A kind of line as it is read from a row.
struct StoredKind(LineKind);

impl<'a> postgres_types::FromSql<'a> for StoredKind {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let letter = <i8 as postgres_types::FromSql>::from_sql(ty, raw)?;
        LineKind::from_letter(letter as u8)
            .map(StoredKind)
            .ok_or_else(|| "not a kind of line".into())
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::CHAR
    }
}

const ROWS_PER_FETCH: i32 = 2048;

const JOURNALS: &str = "
    SELECT j.*, b.code AS book_code FROM ledger.journal j JOIN ledger.book b USING (book_id)
    WHERE $1 IS NULL OR j.book_id = $1
    ORDER BY (j.effective_at AT TIME ZONE 'UTC')::date, j.book_id, j.journal_id";

const ACCOUNTS: &str = "
    SELECT a.*, b.code AS book_code FROM ledger.account a JOIN ledger.book b USING (book_id)
    WHERE $1 IS NULL OR a.book_id = $1
    ORDER BY a.book_id, a.account";

const CARRIED: &str = "
    SELECT c.book_id, c.account, b.code AS book_code,
           sum(c.debits_pending)::bigint AS debits_pending, sum(c.debits_posted)::bigint AS debits_posted,
           sum(c.credits_pending)::bigint AS credits_pending, sum(c.credits_posted)::bigint AS credits_posted
    FROM ledger.carried c JOIN ledger.book b USING (book_id)
    WHERE $1 IS NULL OR c.book_id = $1
    GROUP BY c.book_id, c.account, b.code ORDER BY c.book_id, c.account";

// Where nothing but carried sums is left, the day after the last detached month.
const DAYS: &str = "
    SELECT coalesce(min(j.effective_at), c.day), coalesce(max(j.effective_at), c.day)
    FROM (SELECT (max(month) + interval '1 month') AT TIME ZONE 'UTC' AS day FROM ledger.carried
          WHERE $1 IS NULL OR book_id = $1) AS c
    LEFT JOIN ledger.journal j ON $1 IS NULL OR j.book_id = $1
    GROUP BY c.day";
