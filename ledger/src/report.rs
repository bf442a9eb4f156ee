//! Reports over whole books: the trial balance.
//!
//! Read-only, one statement each, so that all rows of a report belong to one moment.

use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};

use crate::balance::StoredName;
use crate::{AccountName, BookId, Currency};

/// An account's line in the trial balance; minor units, posted layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialRow {
    /// The book.
    pub book: BookId,
    /// The book's code.
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
}

/// The trial balance of one book, or of all of them.
pub async fn trial_balance(
    client: &impl GenericClient,
    book: Option<BookId>,
) -> Result<TrialBalance, tokio_postgres::Error> {
    let rows = client
        .query_typed(TRIAL_BALANCE, &[(&book.map(|b| b.0), Type::INT8)])
        .await?;
    let mut report = TrialBalance::default();
    for row in &rows {
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

fn trial_row(row: &Row) -> Result<TrialRow, tokio_postgres::Error> {
    Ok(TrialRow {
        book: BookId(row.try_get("book_id")?),
        book_code: row.try_get("code")?,
        account: row.try_get::<_, StoredName>("account")?.0,
        debits: row.try_get::<_, i64>("debits_posted")?.into(),
        credits: row.try_get::<_, i64>("credits_posted")?.into(),
    })
}

const TRIAL_BALANCE: &str = "
    SELECT a.book_id, b.code, a.account, a.debits_posted, a.credits_posted
    FROM ledger.account a JOIN ledger.book b USING (book_id)
    WHERE $1::bigint IS NULL OR a.book_id = $1
    ORDER BY a.book_id, a.account";
