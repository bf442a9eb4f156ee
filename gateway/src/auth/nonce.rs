//! Nonces of signed requests in PostgreSQL: the first process that records one has it.
//!
//! Recorded only after the MAC was found right, so that nobody without the secret can fill the table, and before anything is
//! done, so that of two equal requests one is refused wherever they arrive. One insert, durable: a crash must not make an old
//! signature good again.

use super::signature::Nonce;
use crate::app::App;
use tokio_postgres::types::Type;

/// Records a nonce; false when it was recorded before.
pub(super) async fn record(app: &App, nonce: &Nonce) -> Result<bool, crate::api::error::ApiError> {
    let rows = app
        .reads
        .get()
        .await?
        .query_typed(
            "INSERT INTO gateway.nonce (digest, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true",
            &[
                (&nonce.digest.as_slice(), Type::BYTEA),
                (&nonce.expires_at, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    Ok(!rows.is_empty())
}

/// Removes nonces of signatures that are refused for their age.
pub(super) async fn forget(app: &App) -> anyhow::Result<()> {
    app.reads
        .get()
        .await?
        .batch_execute("SELECT gateway.forget_nonces()")
        .await?;
    Ok(())
}
