//! The schema of the books, embedded. Migrations are immutable once merged.
//!
//! Never touches another schema. Safe to run from several processes at once: an advisory lock of the database is held
//! around all of it, because the migration tool itself takes none.

use tokio_postgres::Client;

/// Why the schema is not up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The lock could not be taken.
    #[error("the database failed")]
    Database(#[from] tokio_postgres::Error),
    /// A migration failed, or an applied one differs from the one embedded here.
    #[error("a migration failed")]
    Migration(#[from] refinery::Error),
}

/// Brings schema `ledger` up to date; answers how many migrations were applied. The role needs CREATEROLE and CREATE on
/// the database (the roles of the ledger are created when absent).
pub async fn migrate(client: &mut Client) -> Result<usize, MigrateError> {
    client.batch_execute(LOCK).await?;
    let run = embedded::migrations::runner()
        .set_migration_table_name("ledger_schema_history")
        .run_async(client)
        .await;
    // Unlock also after a failure; a connection that died has released it by itself.
    let unlocked = client.batch_execute(UNLOCK).await;
    let report = run?;
    unlocked?;
    Ok(report.applied_migrations().len())
}

mod embedded {
    refinery::embed_migrations!("migrations");
}

// "ledger" in ASCII, read as a number: a lock of the database, so databases migrate independently.
const LOCK: &str = "SELECT pg_advisory_lock(119182850745714)";
const UNLOCK: &str = "SELECT pg_advisory_unlock(119182850745714)";
