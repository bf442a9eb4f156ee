//! How complaints go: causes, times, shares, and the consumer-protection figures of a period. Reads only.
//!
//! One query over committed rows, for one merchant or for all; every figure can be recomputed from what the API shows of
//! the same cases, refunds and disputes. It must never count a case twice, nor a person at all.

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, GenericClient};

/// The report about cases opened from `from` until before `to`; of this book, or of all.
pub async fn report(
    client: &impl GenericClient,
    book_id: Option<i64>,
    from: Timestamp,
    to: Timestamp,
) -> Result<Value, Error> {
    let rows = client
        .query_typed(
            SQL,
            &[
                (&book_id, Type::INT8),
                (&from, Type::TIMESTAMPTZ),
                (&to, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    rows.first().map_or(Ok(Value::Null), crate::payment::store::row)
}

/// Shares are in hundredths of a per cent, times in seconds; a percentile is a value that occurs.
const SQL: &str = "
    WITH c AS MATERIALIZED (
        SELECT *, coalesce(jsonb_array_length(details -> 'breaches'), 0) AS breaches FROM gateway.consumer_case
        WHERE ($1::bigint IS NULL OR book_id = $1) AND created_at >= $2 AND created_at < $3),
    causes AS (
        SELECT type, jsonb_build_object('type', type, 'opened', count(*), 'upheld', count(*) FILTER (WHERE outcome = 'upheld'),
            'settled', count(*) FILTER (WHERE outcome = 'settled'), 'rejected', count(*) FILTER (WHERE outcome = 'rejected'),
            'open', count(*) FILTER (WHERE outcome IS NULL)) AS line, count(*) AS opened FROM c GROUP BY type),
    refunds AS (
        SELECT extract(epoch FROM e.created_at - c.created_at)::bigint AS seconds FROM c
        JOIN gateway.case_entry e ON e.book_id = c.book_id AND e.case_id = c.id
        WHERE e.body ->> 'status' = 'succeeded' AND e.body ->> 'refund' = c.refund_id),
    charges AS (
        SELECT count(*) AS paid FROM gateway.charge WHERE ($1::bigint IS NULL OR book_id = $1)
            AND created_at >= $2 AND created_at < $3 AND captured),
    disputes AS (
        SELECT count(*) AS disputed FROM gateway.dispute WHERE ($1::bigint IS NULL OR book_id = $1)
            AND created_at >= $2 AND created_at < $3 AND status NOT LIKE 'warning%')
    SELECT jsonb_build_object(
        'opened', (SELECT count(*) FROM c),
        'closed', (SELECT count(*) FROM c WHERE outcome IS NOT NULL),
        'closed_bps', (SELECT count(*) FILTER (WHERE outcome IS NOT NULL) * 10000 / greatest(count(*), 1) FROM c),
        'for_consumer', (SELECT count(*) FROM c WHERE outcome IN ('upheld', 'settled')),
        'for_consumer_bps', (SELECT count(*) FILTER (WHERE outcome IN ('upheld', 'settled')) * 10000
            / greatest(count(*) FILTER (WHERE outcome IN ('upheld', 'settled', 'rejected')), 1) FROM c),
        'appealed', (SELECT count(*) FROM c WHERE appealed),
        'breaches', (SELECT coalesce(sum(breaches), 0) FROM c),
        'causes', (SELECT coalesce(jsonb_agg(line ORDER BY opened DESC, type), '[]') FROM causes),
        'channels', (SELECT coalesce(jsonb_object_agg(channel, n), '{}') FROM (SELECT channel, count(*) AS n FROM c GROUP BY 1) x),
        'case_seconds', (SELECT jsonb_build_object('p50', percentile_disc(0.5) WITHIN GROUP (ORDER BY s), 'p95', percentile_disc(0.95) WITHIN GROUP (ORDER BY s))
            FROM (SELECT extract(epoch FROM closed_at - created_at)::bigint AS s FROM c WHERE closed_at IS NOT NULL) x),
        'refund_seconds', (SELECT jsonb_build_object('p50', percentile_disc(0.5) WITHIN GROUP (ORDER BY seconds), 'p95', percentile_disc(0.95) WITHIN GROUP (ORDER BY seconds)) FROM refunds),
        'rating', (SELECT jsonb_build_object('count', count(*), 'sum', coalesce(sum((details -> 'rating' ->> 'score')::int), 0)) FROM c WHERE details ? 'rating'),
        'payments', (SELECT paid FROM charges),
        'chargebacks', (SELECT disputed FROM disputes),
        'chargeback_bps', (SELECT disputed * 10000 / greatest(paid, 1) FROM charges, disputes))::text";
