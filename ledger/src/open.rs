//! Opening books and accounts: idempotent, so that callers open what they need without asking first; closing and
//! reopening an account, which is for finance alone and leaves a row of who did it and why.
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

/// Why an account was neither closed nor reopened.
#[derive(Debug, thiserror::Error)]
pub enum AccountActError {
    /// The book has no such account.
    #[error("the book has no account of this name")]
    Unknown,
    /// It is what it was to become.
    #[error("the account is {0} already")]
    Already(String),
    /// Holds are open on it: they have to be captured, voided or expire first.
    #[error("money is on hold in the account: its holds have to end first")]
    OnHold,
    /// Who acts, or why, is missing.
    #[error("who acts and why have to be named")]
    Unexplained,
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] tokio_postgres::Error),
}

/// Closes an account, so that further postings are refused. What it held stays in it. Needs the grants of `ledger_writer`.
pub async fn close(
    client: &impl GenericClient,
    book: BookId,
    account: &AccountName,
    by: &str,
    reason: &str,
) -> Result<(), AccountActError> {
    act(client, book, account, "close", by, reason).await
}

/// Opens a closed account again. Needs the grants of `ledger_writer`.
pub async fn reopen(
    client: &impl GenericClient,
    book: BookId,
    account: &AccountName,
    by: &str,
    reason: &str,
) -> Result<(), AccountActError> {
    act(client, book, account, "reopen", by, reason).await
}

async fn act(
    client: &impl GenericClient,
    book: BookId,
    account: &AccountName,
    act: &str,
    by: &str,
    reason: &str,
) -> Result<(), AccountActError> {
    let params: [(&(dyn postgres_types::ToSql + Sync), Type); 5] = [
        (&book.0, Type::INT8),
        (&account.as_str(), Type::TEXT),
        (&act, Type::TEXT),
        (&by, Type::TEXT),
        (&reason, Type::TEXT),
    ];
    let acted = client
        .query_typed_one("SELECT ledger.act_on_account($1, $2, $3, $4, $5)", &params)
        .await;
    acted.map(drop).map_err(|e| {
        let Some(db) = e.as_db_error() else {
            return AccountActError::Database(e);
        };
        match (db.code().code(), db.constraint()) {
            ("LG001", _) => AccountActError::Unknown,
            ("LG018", _) => AccountActError::Already(db.detail().unwrap_or_default().to_owned()),
            ("LG019", _) => AccountActError::OnHold,
            (_, Some("account_act_explained")) => AccountActError::Unexplained,
            _ => AccountActError::Database(e),
        }
    })
}
