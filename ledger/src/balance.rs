//! Balances: derived from the four counters of an account at the moment of asking, or from its lines as of a time.
//!
//! Never stored and never written from here. One statement reads counters and pending money together, so they belong
//! to one moment.

use std::str::FromStr;

use jiff::Timestamp;
use postgres_types::ToSql;
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};

use crate::{AccountName, BookId, Side};

/// The four counters of an account, minor units of its currency, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Debits that are on hold.
    pub debits_pending: i64,
    /// Debits that are booked.
    pub debits_posted: i64,
    /// Credits that are on hold.
    pub credits_pending: i64,
    /// Credits that are booked.
    pub credits_posted: i64,
}

/// An account with its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The account.
    pub account: AccountName,
    /// Its counters.
    pub counters: Counters,
    /// Whether it takes postings.
    pub open: bool,
}

impl Balance {
    /// Booked money, positive on the account's normal side; minor units.
    pub fn posted(&self) -> i128 {
        let net = i128::from(self.counters.debits_posted) - i128::from(self.counters.credits_posted);
        match self.account.chart().normal_side() {
            Side::Debit => net,
            Side::Credit => -net,
        }
    }

    /// Booked money less what is on hold against it: what may still be taken. Minor units.
    pub fn available(&self) -> i128 {
        let held = match self.account.chart().normal_side() {
            Side::Debit => self.counters.credits_pending,
            Side::Credit => self.counters.debits_pending,
        };
        self.posted() - i128::from(held)
    }

    /// Money on hold that will come in when captured. Minor units.
    pub fn incoming(&self) -> i64 {
        match self.account.chart().normal_side() {
            Side::Debit => self.counters.debits_pending,
            Side::Credit => self.counters.credits_pending,
        }
    }
}

/// Balances of these accounts, in the order asked; accounts that the book does not have are left out.
pub async fn balances(
    client: &impl GenericClient,
    book: BookId,
    accounts: &[AccountName],
) -> Result<Vec<Balance>, tokio_postgres::Error> {
    let names: Vec<&str> = accounts.iter().map(AccountName::as_str).collect();
    let rows = client
        .query_typed(OF_ACCOUNTS, &[(&book.0, Type::INT8), (&names, Type::TEXT_ARRAY)])
        .await?;
    rows.iter().map(balance).collect()
}

/// Balances of all accounts of a book, by name.
pub async fn of_book(client: &impl GenericClient, book: BookId) -> Result<Vec<Balance>, tokio_postgres::Error> {
    let rows = client.query_typed(OF_BOOK, &[(&book.0, Type::INT8)]).await?;
    rows.iter().map(balance).collect()
}

/// Which journals count: those that happened, and those that were recorded, before an instant. Neither: all.
///
/// The two are independent: the books of last month as they were known on the fifth are `effective` the first and
/// `recorded` the fifth. What is recorded before an instant is final once no transaction that began before it is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsOf {
    /// Happened before this instant.
    pub effective: Option<Timestamp>,
    /// Recorded before this instant.
    pub recorded: Option<Timestamp>,
}

/// Balances of all accounts of a book as they were, by name: summed up from the lines and from what detached months
/// carried forward, not read from the counters. `open` is as it is now. Reads the book's journals once, in parallel where the
/// server does. SQLSTATE LG017 when the time lies within detached months.
pub async fn as_of(client: &impl GenericClient, book: BookId, at: AsOf) -> Result<Vec<Balance>, tokio_postgres::Error> {
    let params: [(&(dyn ToSql + Sync), Type); 3] = [
        (&book.0, Type::INT8),
        (&at.effective, Type::TIMESTAMPTZ),
        (&at.recorded, Type::TIMESTAMPTZ),
    ];
    let rows = client.query_typed(AS_OF, &params).await?;
    rows.iter().map(balance).collect()
}

fn balance(row: &Row) -> Result<Balance, tokio_postgres::Error> {
    Ok(Balance {
        account: row.try_get::<_, StoredName>("account")?.0,
        counters: Counters {
            debits_pending: row.try_get("debits_pending")?,
            debits_posted: row.try_get("debits_posted")?,
            credits_pending: row.try_get("credits_pending")?,
            credits_posted: row.try_get("credits_posted")?,
        },
        open: row.try_get("open")?,
    })
}

/// An account name as it is read from a row: one that is not in the chart is an error of that column.
pub(crate) struct StoredName(pub AccountName);

impl<'a> postgres_types::FromSql<'a> for StoredName {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let text = <&str as postgres_types::FromSql>::from_sql(ty, raw)?;
        Ok(StoredName(AccountName::from_str(text)?))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TEXT
    }
}

const OF_ACCOUNTS: &str = "
    SELECT a.account, a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted, a.status = 'open' AS open
    FROM unnest($2::text[]) WITH ORDINALITY AS n(account, ord)
    JOIN ledger.account a ON a.book_id = $1 AND a.account = n.account
    ORDER BY n.ord";

const AS_OF: &str = "
    SELECT a.account, coalesce(s.dp, 0) AS debits_pending, coalesce(s.dd, 0) AS debits_posted,
           coalesce(s.cp, 0) AS credits_pending, coalesce(s.cc, 0) AS credits_posted, a.status = 'open' AS open
    FROM ledger.account a LEFT JOIN (
        SELECT account, sum(dp)::bigint AS dp, sum(dd)::bigint AS dd, sum(cp)::bigint AS cp, sum(cc)::bigint AS cc
        FROM (
            SELECT l.account,
                   sum(CASE l.kind WHEN 'd' THEN l.amount WHEN 'x' THEN -l.amount END) AS dp,
                   sum(CASE l.kind WHEN 'D' THEN l.amount END) AS dd,
                   sum(CASE l.kind WHEN 'c' THEN l.amount WHEN 'y' THEN -l.amount END) AS cp,
                   sum(CASE l.kind WHEN 'C' THEN l.amount END) AS cc
            FROM ledger.journal j CROSS JOIN LATERAL unnest(j.account, j.kind, j.amount) AS l(account, kind, amount)
            WHERE j.book_id = $1 AND ($2 IS NULL OR j.effective_at < $2) AND ($3 IS NULL OR j.recorded_at < $3)
            GROUP BY l.account
            UNION ALL
            SELECT account, debits_pending, debits_posted, credits_pending, credits_posted
            FROM ledger.carried WHERE book_id = $1
        ) AS parts
        GROUP BY account
    ) AS s USING (account)
    WHERE a.book_id = $1 AND (SELECT ledger.require_attached($1, $2, $3))
    ORDER BY a.account";

const OF_BOOK: &str = "
    SELECT account, debits_pending, debits_posted, credits_pending, credits_posted, status = 'open' AS open
    FROM ledger.account WHERE book_id = $1 ORDER BY account";
