//! Reads of funds. All its SQL is here; writes go through units (`commit`).

use super::rows::{BankAccount, ReserveLot};
use crate::payment::store::row;
use jiff::Timestamp;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, GenericClient};

/// Sales of one currency whose delay is not over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// their net, minor units
    pub net: i64,
    /// when the first of them is available
    pub next_at: Option<Timestamp>,
    /// every sale up to this balance transaction is available
    pub settled_through: String,
    /// the same without waiting a minute: for what a payout lists
    pub ripe_through: String,
}

/// What is not available yet, looked for after where an earlier look ended. The place moves on only past what has been there for a
/// minute: a sale may be committed later than its id was drawn.
pub async fn unsettled(
    client: &impl GenericClient,
    book_id: i64,
    currency: &str,
    settled_through: &str,
    now: Timestamp,
) -> Result<Unsettled, Error> {
    let sql = "
        WITH sale AS MATERIALIZED (
            SELECT id, net, available_on, created_at FROM gateway.balance_transaction
            WHERE book_id = $1 AND id > $3 AND currency = $2 AND type = 'charge'),
        first AS (SELECT min(id) FILTER (WHERE available_on > $4) AS unripe,
                         min(id) FILTER (WHERE available_on > $4 OR created_at > $4 - interval '1 minute') AS id FROM sale)
        SELECT coalesce(sum(net) FILTER (WHERE available_on > $4), 0)::bigint,
               min(available_on) FILTER (WHERE available_on > $4),
               coalesce(max(sale.id) FILTER (WHERE first.id IS NULL OR sale.id < first.id), $3),
               coalesce(max(sale.id) FILTER (WHERE first.unripe IS NULL OR sale.id < first.unripe), $3)
        FROM sale CROSS JOIN first";
    let rows = client
        .query_typed(
            sql,
            &[
                (&book_id, Type::INT8),
                (&currency, Type::TEXT),
                (&settled_through, Type::TEXT),
                (&now, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    match rows.first() {
        None => Ok(Unsettled::default()),
        Some(row) => Ok(Unsettled {
            net: row.try_get(0)?,
            next_at: row.try_get(1)?,
            settled_through: row.try_get(2)?,
            ripe_through: row.try_get(3)?,
        }),
    }
}

/// Lots that are still held, those first that are released first.
pub async fn lots(
    client: &impl GenericClient,
    book_id: i64,
    currency: &str,
    limit: i64,
) -> Result<Vec<ReserveLot>, Error> {
    let sql = "SELECT row_to_json(t)::text FROM gateway.reserve_lot t
               WHERE book_id = $1 AND currency = $2 AND remaining > 0 ORDER BY release_at, id LIMIT $3";
    let values = [
        (&book_id as &(dyn tokio_postgres::types::ToSql + Sync), Type::INT8),
        (&currency, Type::TEXT),
        (&limit, Type::INT8),
    ];
    client.query_typed(sql, &values).await?.iter().map(row).collect()
}

/// The bank accounts of a book that are in use, newest first.
pub async fn bank_accounts(client: &impl GenericClient, book_id: i64) -> Result<Vec<BankAccount>, Error> {
    let sql = "SELECT row_to_json(t)::text FROM gateway.bank_account t WHERE book_id = $1 AND NOT deleted ORDER BY id DESC LIMIT 100";
    let rows = client.query_typed(sql, &[(&book_id, Type::INT8)]).await?;
    rows.iter().map(row).collect()
}

/// The row of a book's currency, where there is none yet.
pub async fn begin(client: &impl GenericClient, book_id: i64, currency: &str, now: Timestamp) -> Result<(), Error> {
    let sql = "INSERT INTO gateway.funds (book_id, id, version, settled_through, paid_through, check_at, created_at)
               VALUES ($1, $2, 1, '', '', $3, $3) ON CONFLICT DO NOTHING";
    client
        .execute_typed(
            sql,
            &[
                (&book_id, Type::INT8),
                (&currency, Type::TEXT),
                (&now, Type::TIMESTAMPTZ),
            ],
        )
        .await
        .map(drop)
}

/// The book's funds are looked at now, and its next automatic payout is counted from now: its settings were changed.
pub async fn wake(client: &impl GenericClient, book_id: i64, now: Timestamp) -> Result<(), Error> {
    client
        .execute_typed(
            "UPDATE gateway.funds SET check_at = $2, payout_at = NULL, version = version + 1 WHERE book_id = $1",
            &[(&book_id, Type::INT8), (&now, Type::TIMESTAMPTZ)],
        )
        .await
        .map(drop)
}
