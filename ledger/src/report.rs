//! The trial balance: of a book or of all, now or as of a time, by book or consolidated, per currency.
//!
//! Read-only, one statement each, so that all rows of a report belong to one moment. Now is read from the counters; a
//! time in the past is summed up from the lines, which reads the journals once.

use std::collections::BTreeMap;

use postgres_types::ToSql;
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};

use crate::balance::{AsOf, StoredName};
use crate::{AccountName, BookId, Currency};

/// An account's line in the trial balance; minor units, posted layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialRow {
    /// The book's code; empty in a consolidated one.
    pub book_code: String,
    /// The account.
    pub account: AccountName,
    /// Sum of debits.
    pub debits: i128,
    /// Sum of credits.
    pub credits: i128,
}

/// The sums of one currency over all rows; both are equal in sound books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialTotal {
    /// The currency.
    pub currency: Currency,
    /// Sum of debits.
    pub debits: i128,
    /// Sum of credits.
    pub credits: i128,
}

/// A trial balance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrialBalance {
    /// One row per book and account, sorted by both.
    pub rows: Vec<TrialRow>,
    /// One per currency, sorted.
    pub totals: Vec<TrialTotal>,
}

impl TrialRow {
    /// Debits less credits.
    pub fn net(&self) -> i128 {
        self.debits - self.credits
    }
}

impl TrialBalance {
    /// Whether debits equal credits in every currency.
    pub fn is_balanced(&self) -> bool {
        self.totals.iter().all(|t| t.debits == t.credits)
    }

    /// One row per account over all books. What books owe each other (1920) nets to zero here.
    pub fn consolidated(self) -> TrialBalance {
        let mut rows: BTreeMap<AccountName, TrialRow> = BTreeMap::new();
        for row in self.rows {
            match rows.get_mut(&row.account) {
                Some(sum) => (sum.debits, sum.credits) = (sum.debits + row.debits, sum.credits + row.credits),
                None => {
                    let book_code = String::new();
                    rows.insert(row.account.clone(), TrialRow { book_code, ..row });
                }
            }
        }
        TrialBalance {
            rows: rows.into_values().collect(),
            totals: self.totals,
        }
    }

    fn of(rows: &[Row]) -> Result<TrialBalance, tokio_postgres::Error> {
        let mut report = TrialBalance::default();
        for row in rows {
            let row = trial_row(row)?;
            let currency = row.account.currency();
            match report.totals.iter_mut().find(|t| t.currency == currency) {
                Some(total) => {
                    total.debits += row.debits;
                    total.credits += row.credits;
                }
                None => report.totals.push(TrialTotal {
                    currency,
                    debits: row.debits,
                    credits: row.credits,
                }),
            }
            report.rows.push(row);
        }
        report.totals.sort_by_key(|t| t.currency);
        Ok(report)
    }
}

/// The trial balance of one book, or of all of them.
pub async fn trial_balance(
    client: &impl GenericClient,
    book: Option<BookId>,
) -> Result<TrialBalance, tokio_postgres::Error> {
    let rows = client
        .query_typed(TRIAL_BALANCE, &[(&book.map(|b| b.0), Type::INT8)])
        .await?;
    TrialBalance::of(&rows)
}

/// The trial balance of one book, or of all of them, as it was: every account that has a line by then. SQLSTATE LG017 when
/// the time lies within detached months.
pub async fn trial_balance_as_of(
    client: &impl GenericClient,
    book: Option<BookId>,
    at: AsOf,
) -> Result<TrialBalance, tokio_postgres::Error> {
    let book = book.map(|b| b.0);
    let params: [(&(dyn ToSql + Sync), Type); 3] = [
        (&book, Type::INT8),
        (&at.effective, Type::TIMESTAMPTZ),
        (&at.recorded, Type::TIMESTAMPTZ),
    ];
    TrialBalance::of(&client.query_typed(TRIAL_BALANCE_AS_OF, &params).await?)
}

fn trial_row(row: &Row) -> Result<TrialRow, tokio_postgres::Error> {
    Ok(TrialRow {
        book_code: row.try_get("code")?,
        account: row.try_get::<_, StoredName>("account")?.0,
        debits: row.try_get::<_, i64>("debits_posted")?.into(),
        credits: row.try_get::<_, i64>("credits_posted")?.into(),
    })
}

const TRIAL_BALANCE: &str = "
    SELECT b.code, a.account, a.debits_posted, a.credits_posted
    FROM ledger.account a JOIN ledger.book b USING (book_id)
    WHERE $1::bigint IS NULL OR a.book_id = $1
    ORDER BY a.book_id, a.account";

const TRIAL_BALANCE_AS_OF: &str = "
    SELECT b.code, s.account, s.debits_posted, s.credits_posted
    FROM (
        SELECT book_id, account, sum(debits_posted)::bigint AS debits_posted, sum(credits_posted)::bigint AS credits_posted
        FROM (
            SELECT j.book_id, l.account,
                   coalesce(sum(l.amount) FILTER (WHERE l.kind = 'D'), 0) AS debits_posted,
                   coalesce(sum(l.amount) FILTER (WHERE l.kind = 'C'), 0) AS credits_posted
            FROM ledger.journal j CROSS JOIN LATERAL unnest(j.account, j.kind, j.amount) AS l(account, kind, amount)
            WHERE ($1 IS NULL OR j.book_id = $1) AND ($2 IS NULL OR j.effective_at < $2) AND ($3 IS NULL OR j.recorded_at < $3)
            GROUP BY j.book_id, l.account
            UNION ALL
            SELECT book_id, account, debits_posted, credits_posted FROM ledger.carried WHERE $1 IS NULL OR book_id = $1
        ) AS parts
        GROUP BY book_id, account
    ) AS s JOIN ledger.book b USING (book_id)
    WHERE (SELECT ledger.require_attached($1, $2, $3))
    ORDER BY s.book_id, s.account";
