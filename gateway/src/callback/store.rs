//! The queue of callbacks: `gateway.callback`.

use crate::connector::Callback;
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::types::Type;
use tokio_postgres::{Error, GenericClient};

/// A callback that is due, leased to this caller.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub connector: String,
    pub id: String,
    pub payload: String,
    /// this try included
    pub attempt: i16,
}

/// Stores a callback, due at once; `false` when it was known.
pub(super) async fn insert(
    client: &impl GenericClient,
    connector: &str,
    callback: &Callback,
    payload: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    let stored = client
        .execute_typed(
            "INSERT INTO gateway.callback (connector, id, type, payload, received_at, due_at)
             VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT DO NOTHING",
            &[
                (&connector, Type::TEXT),
                (&callback.id, Type::TEXT),
                (&callback.r#type, Type::TEXT),
                (&payload, Type::TEXT),
                (&now, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(stored == 1)
}

/// Takes due callbacks, oldest first, and counts the try: one that kills its worker is counted too. Nobody else gets
/// them until the lease is over.
pub(super) async fn claim(
    client: &impl GenericClient,
    now: Timestamp,
    lease: SignedDuration,
    limit: i64,
) -> Result<Vec<Due>, Error> {
    let rows = client
        .query_typed(
            "UPDATE gateway.callback t SET due_at = $2, attempt = t.attempt + 1
             FROM (SELECT connector, id FROM gateway.callback WHERE due_at <= $1
                   ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED) due
             WHERE t.connector = due.connector AND t.id = due.id
             RETURNING t.connector, t.id, t.payload, t.attempt",
            &[
                (&now, Type::TIMESTAMPTZ),
                (&(now + lease), Type::TIMESTAMPTZ),
                (&limit, Type::INT8),
            ],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Due {
            connector: row.get(0),
            id: row.get(1),
            payload: row.get(2),
            attempt: row.get(3),
        })
        .collect())
}

/// It is done.
pub(super) async fn done(client: &impl GenericClient, due: &Due, now: Timestamp) -> Result<(), Error> {
    client
        .execute_typed(
            "UPDATE gateway.callback SET processed_at = $3, due_at = NULL, error = NULL WHERE connector = $1 AND id = $2",
            &[
                (&due.connector, Type::TEXT),
                (&due.id, Type::TEXT),
                (&now, Type::TIMESTAMPTZ),
            ],
        )
        .await
        .map(drop)
}

/// It failed; again at `due_at`, or never.
pub(super) async fn failed(
    client: &impl GenericClient,
    due: &Due,
    error: &str,
    due_at: Option<Timestamp>,
) -> Result<(), Error> {
    client
        .execute_typed(
            "UPDATE gateway.callback SET due_at = $3, error = $4 WHERE connector = $1 AND id = $2 AND processed_at IS NULL",
            &[
                (&due.connector, Type::TEXT),
                (&due.id, Type::TEXT),
                (&due_at, Type::TIMESTAMPTZ),
                (&error, Type::TEXT),
            ],
        )
        .await
        .map(drop)
}
