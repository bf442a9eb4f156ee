//! Opening books and accounts: idempotent, so that callers open what they need without asking first; closing and
//! reopening an account, which is for finance alone.
//!
//! One round trip each. Closing locks the account's row as a posting does: it waits for those under way, and those after it
//! are refused. What an account held stays in it; one with money on hold cannot be closed.

use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

use crate::{AccountName, BookId};

/// The book with this code (a merchant account id, or `platform`; `A-Z a-z 0-9 _ -`, up to 64), created when there is
/// none. An existing book keeps its name.
pub async fn open_book(client: &impl GenericClient, code: &str, name: &str) -> Result<BookId, tokio_postgres::Error> {
    let row = client
        .query_typed_one(
            "SELECT ledger.open_book($1, $2)",
            &[(&code, Type::TEXT), (&name, Type::TEXT)],
        )
        .await?;
    row.try_get(0).map(BookId)
}

/// Opens the accounts that the book does not have yet; answers how many those were. One round trip.
pub async fn open(
    client: &impl GenericClient,
    book: BookId,
    accounts: &[AccountName],
) -> Result<u64, tokio_postgres::Error> {
    let names: Vec<&str> = accounts.iter().map(AccountName::as_str).collect();
    let row = client
        .query_typed_one(
            "SELECT ledger.open($1, $2)",
            &[(&book.0, Type::INT8), (&names, Type::TEXT_ARRAY)],
        )
        .await?;
    row.try_get::<_, i64>(0).map(i64::unsigned_abs)
}

/// Closes an account, so that further postings are refused; `false` when there is none or pending money is on it.
/// Needs the grants of `ledger_writer`.
pub async fn close(
    client: &impl GenericClient,
    book: BookId,
    account: &AccountName,
) -> Result<bool, tokio_postgres::Error> {
    set_status(client, book, account, "closed").await
}

/// Opens a closed account again; `false` when there is none. Needs the grants of `ledger_writer`.
pub async fn reopen(
    client: &impl GenericClient,
    book: BookId,
    account: &AccountName,
) -> Result<bool, tokio_postgres::Error> {
    set_status(client, book, account, "open").await
}

async fn set_status(
    client: &impl GenericClient,
    book: BookId,
    account: &AccountName,
    status: &str,
) -> Result<bool, tokio_postgres::Error> {
    let params: [(&(dyn postgres_types::ToSql + Sync), Type); 3] = [
        (&book.0, Type::INT8),
        (&account.as_str(), Type::TEXT),
        (&status, Type::TEXT),
    ];
    let row = client
        .query_typed_one("SELECT ledger.set_status($1, $2, $3)", &params)
        .await?;
    Ok(row.try_get::<_, Option<bool>>(0)?.unwrap_or(false))
}
