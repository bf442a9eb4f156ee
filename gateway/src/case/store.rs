//! Reads of cases. All their SQL is here; writes go through units (`commit`).
//!
//! Every read names the merchant's book.

use super::rows::{Case, Entry};
use crate::deadline::Deadline;
use crate::payment::store::{get, row};
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, GenericClient};

/// A case with everything that the wire shows of it.
#[derive(Clone, Debug)]
pub struct Whole {
    /// as it stands
    pub case: Case,
    /// its timeline, oldest first
    pub entries: Vec<Entry>,
    /// what is due
    pub deadlines: Vec<Deadline>,
}

/// This case, with its timeline and what is due.
pub async fn whole(client: &impl GenericClient, book_id: i64, case_id: &str) -> Result<Option<Whole>, Error> {
    let Some(case) = get::<Case>(client, book_id, case_id).await? else {
        return Ok(None);
    };
    Ok(with_all(client, book_id, vec![case]).await?.pop())
}

/// These cases of one book with their timelines and what is due, in their order: two queries, however many they are.
pub async fn with_all(client: &impl GenericClient, book_id: i64, cases: Vec<Case>) -> Result<Vec<Whole>, Error> {
    let ids: Vec<&str> = cases.iter().map(|case| case.id.as_str()).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let entries = entries(client, book_id, &ids).await?;
    let rows = client
        .query_typed(
            "SELECT row_to_json(t)::text FROM gateway.deadline t
             WHERE book_id = $1 AND subject_id = ANY($2) AND check_at IS NOT NULL ORDER BY due_at, id",
            &[(&book_id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
        )
        .await?;
    let deadlines: Vec<Deadline> = rows.iter().map(row).collect::<Result<_, _>>()?;
    let whole = |case: Case| Whole {
        entries: entries.iter().filter(|e| e.case_id == case.id).cloned().collect(),
        deadlines: deadlines.iter().filter(|d| d.subject_id == case.id).cloned().collect(),
        case,
    };
    Ok(cases.into_iter().map(whole).collect())
}

/// The timelines of these cases, oldest first.
pub async fn entries(client: &impl GenericClient, book_id: i64, case_ids: &[&str]) -> Result<Vec<Entry>, Error> {
    let rows = client
        .query_typed(
            "SELECT row_to_json(t)::text FROM gateway.case_entry t WHERE book_id = $1 AND case_id = ANY($2) ORDER BY id",
            &[(&book_id, Type::INT8), (&case_ids, Type::TEXT_ARRAY)],
        )
        .await?;
    rows.iter().map(row).collect()
}

/// The cases of a payment that are not over, oldest first.
pub async fn open_of_payment(client: &impl GenericClient, book_id: i64, payment_id: &str) -> Result<Vec<Case>, Error> {
    let rows = client
        .query_typed(
            "SELECT row_to_json(t)::text FROM gateway.consumer_case t WHERE book_id = $1 AND payment_id = $2
             AND status NOT IN ('not_accepted', 'closed', 'closed_final', 'archived') ORDER BY id",
            &[(&book_id, Type::INT8), (&payment_id, Type::TEXT)],
        )
        .await?;
    rows.iter().map(row).collect()
}

/// The id of a chargeback of this payment whose outcome is open.
pub async fn open_chargeback(
    client: &impl GenericClient,
    book_id: i64,
    payment_id: &str,
) -> Result<Option<String>, Error> {
    let rows = client
        .query_typed(
            "SELECT id FROM gateway.dispute WHERE book_id = $1 AND payment_id = $2
             AND (status IN ('needs_response', 'under_review') OR contested > 0) ORDER BY id LIMIT 1",
            &[(&book_id, Type::INT8), (&payment_id, Type::TEXT)],
        )
        .await?;
    rows.first().map(|row| row.try_get(0)).transpose()
}

/// Whether a card's owner or a merchant has a claim on this much elsewhere: how many cases of this customer are younger than
/// `since`, and how many of them asked for a refund without a return.
pub async fn of_customer(
    client: &impl GenericClient,
    book_id: i64,
    customer_id: &str,
    since: Timestamp,
) -> Result<(i64, i64), Error> {
    let rows = client
        .query_typed(
            "SELECT count(*), count(*) FILTER (WHERE details -> 'decision' ->> 'remedy' = 'refund_only')
             FROM gateway.consumer_case WHERE book_id = $1 AND customer_id = $2 AND created_at >= $3",
            &[
                (&book_id, Type::INT8),
                (&customer_id, Type::TEXT),
                (&since, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    rows.first()
        .map_or(Ok((0, 0)), |row| Ok((row.try_get(0)?, row.try_get(1)?)))
}

/// Other cases of this book with the same piece of evidence.
pub async fn with_digest(
    client: &impl GenericClient,
    book_id: i64,
    digest: &str,
    but: &str,
) -> Result<Vec<String>, Error> {
    let rows = client
        .query_typed(
            "SELECT DISTINCT case_id FROM gateway.case_entry WHERE book_id = $1 AND digest = $2 AND case_id <> $3 LIMIT 20",
            &[(&book_id, Type::INT8), (&digest, Type::TEXT), (&but, Type::TEXT)],
        )
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// The journals about these objects, oldest first, each with its lines.
pub async fn journals(client: &impl GenericClient, book_id: i64, references: &[&str]) -> Result<Vec<Value>, Error> {
    let rows = client
        .query_typed(
            "SELECT jsonb_build_object('id', journal_id, 'code', code, 'reference', reference, 'effective_at', min(effective_at),
                        'lines', jsonb_agg(jsonb_build_object('account', account, 'side', side, 'amount', amount) ORDER BY account, side, amount))::text
             FROM ledger.posting WHERE book_id = $1 AND reference = ANY($2) AND layer = 'posted'
             GROUP BY journal_id, code, reference ORDER BY journal_id",
            &[(&book_id, Type::INT8), (&references, Type::TEXT_ARRAY)],
        )
        .await?;
    rows.iter().map(row).collect()
}

/// Cases of this book whose advance the platform has not got back, oldest first.
pub async fn with_recourse(client: &impl GenericClient, limit: i64) -> Result<Vec<Case>, Error> {
    let rows = client
        .query_typed(
            "SELECT row_to_json(t)::text FROM gateway.consumer_case t WHERE recourse_due > 0 ORDER BY book_id, id LIMIT $1",
            &[(&limit, Type::INT8)],
        )
        .await?;
    rows.iter().map(row).collect()
}
