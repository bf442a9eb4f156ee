//! Months of the journal: partitions made ahead by the program, detached when retention says so.
//!
//! `ledger.journal` is partitioned by the time in its ids. Making a month is safe at any time and from any process.
//! Detaching carries the month's sums forward (`ledger.carried`), so that verification and exports of what remains still
//! prove every balance, and reports as of a time after it count it; it never deletes: the month stays behind as a table of its own.

use jiff::civil::Date;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

/// How many months ahead the service keeps ready: a quarter without a running job loses nothing.
pub const MONTHS_AHEAD: i32 = 3;

/// A part of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its table in schema `ledger`: `journal_2026_11`, or `journal_rest` for what no month has.
    pub name: String,
    /// Whether it is part of the journal; a detached one waits to be archived and dropped.
    pub attached: bool,
    /// Journals in it, by the server's statistics: an estimate.
    pub journals: i64,
    /// Bytes on disk with its indexes.
    pub bytes: i64,
}

/// Makes what is missing of this month and the `months` after it (up to 24); answers the names of the new ones.
pub async fn extend(client: &impl GenericClient, months: i32) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client
        .query_typed("SELECT ledger.extend($1)", &[(&months, Type::INT4)])
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// All parts of the journal, by name.
pub async fn list(client: &impl GenericClient) -> Result<Vec<Partition>, tokio_postgres::Error> {
    let rows = client.query_typed(LIST, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(Partition {
                name: row.try_get(0)?,
                attached: row.try_get(1)?,
                journals: row.try_get(2)?,
                bytes: row.try_get(3)?,
            })
        })
        .collect()
}

/// Takes the oldest month, the one of this day, out of the journal and carries its sums forward; answers the number of
/// its journals. Refused while the month is not over, has open holds or has journals that are not sealed. Needs the owner.
pub async fn detach(client: &impl GenericClient, month: Date) -> Result<u64, tokio_postgres::Error> {
    let row = client
        .query_typed_one("SELECT ledger.detach($1)", &[(&month, Type::DATE)])
        .await?;
    row.try_get::<_, i64>(0).map(i64::unsigned_abs)
}

const LIST: &str = "
    SELECT c.relname::text, i.inhrelid IS NOT NULL, greatest(c.reltuples, 0)::bigint, pg_total_relation_size(c.oid)
    FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
    WHERE c.relnamespace = 'ledger'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^journal_([0-9]{4}_[0-9]{2}|rest)$'
    ORDER BY 1";
