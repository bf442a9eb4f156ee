//! Reads of disputes. All their SQL is here; writes go through units (`commit`).
//!
//! Every read names the merchant's book, except [`charge_at_acquirer`] and [`refund_at_acquirer`]: there an acquirer speaks,
//! who knows no merchants, and the answer says which book it is.

use super::rows::Dispute;
use super::scheme::Timer;
use crate::payment::rows::{BalanceTransaction, Charge, Refund};
use crate::payment::store::row;
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

/// The dispute that the acquirer knows by this id.
pub async fn by_acquirer(
    client: &impl GenericClient,
    book_id: i64,
    connector: &str,
    acquirer_id: &str,
) -> Result<Option<Dispute>, tokio_postgres::Error> {
    let rows = client
        .query_typed(
            "SELECT row_to_json(t)::text FROM gateway.dispute t WHERE book_id = $1 AND connector = $2 AND acquirer_id = $3",
            &[
                (&book_id, Type::INT8),
                (&connector, Type::TEXT),
                (&acquirer_id, Type::TEXT),
            ],
        )
        .await?;
    rows.first().map(row).transpose()
}

/// The balance transactions of these disputes, oldest first.
pub async fn transactions(
    client: &impl GenericClient,
    book_id: i64,
    disputes: &[Dispute],
) -> Result<Vec<BalanceTransaction>, tokio_postgres::Error> {
    let ids: Vec<&str> = disputes
        .iter()
        .flat_map(|d| &d.balance_transaction_ids)
        .map(String::as_str)
        .collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = client
        .query_typed(
            "SELECT row_to_json(t)::text FROM gateway.balance_transaction t WHERE book_id = $1 AND id = ANY($2) ORDER BY id",
            &[(&book_id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
        )
        .await?;
    rows.iter().map(row).collect()
}

/// The attempt that an acquirer speaks of: by our own reference, else by its payment id.
pub async fn charge_at_acquirer(
    client: &impl GenericClient,
    connector: &str,
    reference: Option<&str>,
    acquirer_id: Option<&str>,
) -> Result<Option<Charge>, tokio_postgres::Error> {
    if let Some(reference) = reference {
        // The primary key leads with the book: one look-up per merchant.
        let rows = client
            .query_typed(
                "SELECT row_to_json(t)::text FROM gateway.merchant m
                 CROSS JOIN LATERAL (SELECT c.* FROM gateway.charge c WHERE c.book_id = m.book_id AND c.id = $1) t
                 WHERE t.connector = $2",
                &[(&reference, Type::TEXT), (&connector, Type::TEXT)],
            )
            .await?;
        if let Some(found) = rows.first() {
            return row(found).map(Some);
        }
    }
    let Some(acquirer_id) = acquirer_id else {
        return Ok(None);
    };
    let rows = client
        .query_typed(
            "SELECT row_to_json(t)::text FROM gateway.charge t WHERE acquirer_id = $1 AND connector = $2",
            &[(&acquirer_id, Type::TEXT), (&connector, Type::TEXT)],
        )
        .await?;
    rows.first().map(row).transpose()
}

/// The refund that an acquirer speaks of: by our own reference, else by its refund id.
pub async fn refund_at_acquirer(
    client: &impl GenericClient,
    reference: Option<&str>,
    acquirer_id: &str,
) -> Result<Option<Refund>, tokio_postgres::Error> {
    if let Some(reference) = reference {
        let rows = client
            .query_typed(
                "SELECT row_to_json(t)::text FROM gateway.merchant m
                 CROSS JOIN LATERAL (SELECT r.* FROM gateway.refund r WHERE r.book_id = m.book_id AND r.id = $1) t",
                &[(&reference, Type::TEXT)],
            )
            .await?;
        if let Some(found) = rows.first() {
            return row(found).map(Some);
        }
    }
    let rows = client
        .query_typed(
            "SELECT row_to_json(t)::text FROM gateway.refund t WHERE acquirer_id = $1",
            &[(&acquirer_id, Type::TEXT)],
        )
        .await?;
    rows.first().map(row).transpose()
}

/// Takes the timers that are due, the longest waiting first; nobody else gets them until the lease is over.
pub(super) async fn claim_timers(
    client: &impl GenericClient,
    now: Timestamp,
    lease: SignedDuration,
    limit: i64,
) -> Result<Vec<(i64, String, Timer)>, tokio_postgres::Error> {
    let rows = client
        .query_typed(
            "UPDATE gateway.dispute t SET timer_at = $2
             FROM (SELECT book_id, id, timer FROM gateway.dispute WHERE timer_at <= $1 ORDER BY timer_at LIMIT $3
                   FOR UPDATE SKIP LOCKED) due
             WHERE t.book_id = due.book_id AND t.id = due.id
             RETURNING t.book_id, t.id, to_json(t.timer)::text",
            &[
                (&now, Type::TIMESTAMPTZ),
                (&(now + lease), Type::TIMESTAMPTZ),
                (&limit, Type::INT8),
            ],
        )
        .await?;
    let timer = |r: &tokio_postgres::Row| {
        let word: String = r.try_get(2)?;
        Ok(serde_json::from_str::<Timer>(&word).ok())
    };
    let mut due = Vec::with_capacity(rows.len());
    for row in &rows {
        if let Some(timer) = timer(row)? {
            due.push((row.try_get(0)?, row.try_get(1)?, timer));
        }
    }
    Ok(due)
}
