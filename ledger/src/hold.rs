//! Holds that have lapsed: which they are, and their release.
//!
//! Who sweeps? The owner of the money's state. A hold that belongs to a payment is released by the payment's own state
//! machine, which also tells the acquirer; it learns of its time by itself or from [`expired`]. [`expire`] is for holds
//! that have no owner outside the books. A lapsed hold stays open until its release (J02) is booked, and may be used until
//! then, because an acquirer may capture late and the books must be able to say so; a caller that wants the contrary says
//! [`Draft::unless_expired`].
//!
//! [`expire`] releases once, however many processes sweep and whenever they are killed: a hold is claimed with SKIP
//! LOCKED, and claim, journal and the hold's own close commit together. One query and one [`post`] per call. It must never
//! be used for holds of payments.

use jiff::Timestamp;
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::balance::StoredName;
use crate::journal::{Draft, Journal};
use crate::post::{PostError, post};
use crate::{AccountName, BookId, JournalCode, Refusal};

/// An open hold whose time has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The book.
    pub book: BookId,
    /// The journal that opened it.
    pub hold_id: Uuid,
    /// The account with the pending debit.
    pub debit: AccountName,
    /// The account with the pending credit.
    pub credit: AccountName,
    /// What is left of it, in minor units.
    pub remaining: i64,
    /// When it lapsed.
    pub expires_at: Timestamp,
}

impl Expired {
    /// Its release (J02), dated when it lapsed, or on the first open day.
    pub fn release(&self) -> Result<Journal, Refusal> {
        Draft::new(self.book, JournalCode::J02, self.expires_at)
            .or_value_date()
            .consume(
                self.hold_id,
                self.debit.clone(),
                self.credit.clone(),
                0,
                Some(self.remaining),
            )
            .balance()
    }
}

/// Up to `limit` open holds that have lapsed by `now`, the oldest first. Takes no lock.
pub async fn expired(
    client: &impl GenericClient,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Expired>, tokio_postgres::Error> {
    list(client, EXPIRED, now, limit).await
}

/// Releases up to `limit` holds that have lapsed by `now` and that no other sweep has in hand. Inside the caller's
/// transaction; they are released when that commits.
pub async fn expire(tx: &impl GenericClient, now: Timestamp, limit: u32) -> Result<Vec<Expired>, PostError> {
    let claimed = list(tx, CLAIM, now, limit).await.map_err(PostError::Database)?;
    let releases = claimed.iter().map(Expired::release).collect::<Result<Vec<_>, _>>();
    let releases = releases.map_err(PostError::Refused)?;
    post(tx, &releases.iter().collect::<Vec<_>>()).await?;
    Ok(claimed)
}

async fn list(
    client: &impl GenericClient,
    sql: &str,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Expired>, tokio_postgres::Error> {
    let rows = client
        .query_typed(sql, &[(&now, Type::TIMESTAMPTZ), (&i64::from(limit), Type::INT8)])
        .await?;
    rows.iter().map(hold).collect()
}

fn hold(row: &Row) -> Result<Expired, tokio_postgres::Error> {
    Ok(Expired {
        book: BookId(row.try_get("book_id")?),
        hold_id: row.try_get("hold_id")?,
        debit: row.try_get::<_, StoredName>("debit_account")?.0,
        credit: row.try_get::<_, StoredName>("credit_account")?.0,
        remaining: row.try_get("remaining")?,
        expires_at: row.try_get("expires_at")?,
    })
}

const EXPIRED: &str = "
    SELECT book_id, hold_id, debit_account, credit_account, remaining, expires_at FROM ledger.hold
    WHERE status = 'open' AND expires_at <= $1 ORDER BY expires_at LIMIT $2";

const CLAIM: &str = "
    SELECT book_id, hold_id, debit_account, credit_account, remaining, expires_at FROM ledger.claim_expired($1, $2)";
