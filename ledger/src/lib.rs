//! The books: a double-entry ledger on PostgreSQL.
mod account;
pub mod balance;
pub mod chart;
mod code;
pub mod export;
pub mod group;
pub mod journal;
mod migrate;
pub mod money;
mod open;
pub mod post;
mod refusal;
pub mod report;
pub mod verify;

pub use account::{AccountName, BookId};
pub use chart::{Chart, Side};
pub use code::{JournalCode, UnknownCode};
pub use migrate::{MigrateError, migrate};
pub use money::{Currency, Money, MoneyError};
pub use open::{close, open, open_book, reopen};
pub use refusal::Refusal;
