//! Reports: the trial balance, and the statement of an account.
//!
//! Read-only, one statement each, so that all rows of a report belong to one moment. There is no index of lines by
//! account: it would cost every payment, while an account's lines are a slice of its own book's time-ordered key.

use jiff::Timestamp;
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::balance::StoredName;
use crate::{AccountName, BookId, Currency, Side};

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

/// What one journal posted to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementLine {
    /// The journal.
    pub journal: Uuid,
    /// Its code, e.g. `J03`.
    pub code: String,
    /// When it happened.
    pub effective_at: Timestamp,
    /// When the books learned it.
    pub recorded_at: Timestamp,
    /// The gateway's object.
    pub reference: Option<String>,
    /// Net of its lines in minor units, positive on the account's normal side.
    pub amount: i64,
    /// Posted balance after it, positive on the normal side.
    pub balance: i128,
}

/// The last `limit` journals that posted to an account before the journal `before` (or before now), newest first, each with the
/// balance after it: page on with the last journal of a page. Lines follow the journals' ids, which are time-ordered.
pub async fn statement(
    client: &impl GenericClient,
    book: BookId,
    account: &AccountName,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<StatementLine>, tokio_postgres::Error> {
    let (name, limit) = (account.as_str(), i64::from(limit));
    let params: [(&(dyn postgres_types::ToSql + Sync), Type); 4] = [
        (&book.0, Type::INT8),
        (&name, Type::TEXT),
        (&before, Type::UUID),
        (&limit, Type::INT8),
    ];
    let rows = client.query_typed(STATEMENT, &params).await?;
    let sign = match account.chart().normal_side() {
        Side::Debit => 1,
        Side::Credit => -1,
    };
    let mut lines = Vec::with_capacity(rows.len());
    let mut balance = match rows.first() {
        Some(row) => sign * i128::from(row.try_get::<_, i64>("net_at_end")?),
        None => 0,
    };
    for row in &rows {
        let amount = sign as i64 * row.try_get::<_, i64>("net")?;
        lines.push(StatementLine {
            journal: row.try_get("journal_id")?,
            code: row.try_get("code")?,
            effective_at: row.try_get("effective_at")?,
            recorded_at: row.try_get("recorded_at")?,
            reference: row.try_get("reference")?,
            amount,
            balance,
        });
        balance -= i128::from(amount);
    }
    Ok(lines)
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

// The counters say the balance now; what was posted since `before` is taken off it. Debits positive.
const STATEMENT: &str = "
    WITH line AS (
        SELECT j.journal_id, j.code, j.effective_at, j.recorded_at, j.reference, l.net
        FROM ledger.journal j CROSS JOIN LATERAL (
            SELECT sum(CASE u.kind WHEN 'D' THEN u.amount ELSE -u.amount END)::bigint AS net
            FROM unnest(j.account, j.kind, j.amount) AS u(account, kind, amount)
            WHERE u.account = $2 AND u.kind IN ('D', 'C')
        ) AS l
        WHERE j.book_id = $1 AND j.account @> ARRAY[$2] AND l.net IS NOT NULL
          AND ($3 IS NULL OR j.journal_id < $3)
        ORDER BY j.journal_id DESC
        LIMIT $4
    ), later AS (
        SELECT coalesce(sum(CASE l.kind WHEN 'D' THEN l.amount ELSE -l.amount END), 0) AS net
        FROM ledger.journal j CROSS JOIN LATERAL unnest(j.account, j.kind, j.amount) AS l(account, kind, amount)
        WHERE j.book_id = $1 AND j.account @> ARRAY[$2] AND l.account = $2 AND l.kind IN ('D', 'C')
          AND j.journal_id >= $3
    )
    SELECT line.*, (a.debits_posted - a.credits_posted - later.net)::bigint AS net_at_end
    FROM line, later, ledger.account a
    WHERE a.book_id = $1 AND a.account = $2
    ORDER BY line.journal_id DESC";
