//! The ledger against a real PostgreSQL, fsync on: one server per test binary, one database per test.

mod attack;
mod failures;
mod group;
mod hold;
mod manual;
mod model;
mod partition;
mod period;
mod postgres;
mod posting;
mod receipt;
mod reference;
mod reports;
mod reverse;
mod seal;
mod statement;

use jiff::Timestamp;
use ledger::journal::{Draft, Journal};
use ledger::{AccountName, BookId, Chart, Currency, JournalCode};
use tokio_postgres::Client;

/// A book with the accounts that the tests use, opened.
async fn book(client: &Client, code: &str) -> BookId {
    let book = ledger::open_book(client, code, code).await.unwrap();
    let accounts = [
        receivable(),
        pending(),
        available(),
        fee(),
        euro(Chart::FxClearing),
        usd(Chart::FxClearing),
    ];
    ledger::open(client, book, &accounts).await.unwrap();
    book
}

fn usd(chart: Chart) -> AccountName {
    AccountName::of(chart, Currency::USD)
}

fn euro(chart: Chart) -> AccountName {
    AccountName::of(chart, Currency::EUR)
}

fn receivable() -> AccountName {
    AccountName::new(Chart::AcquirerReceivable, Some("acme"), Currency::USD).unwrap()
}

fn pending() -> AccountName {
    usd(Chart::MerchantPending)
}

fn available() -> AccountName {
    usd(Chart::MerchantAvailable)
}

fn fee() -> AccountName {
    usd(Chart::PlatformFeeRevenue)
}

fn draft(book: BookId, code: JournalCode) -> Draft {
    Draft::new(book, code, Timestamp::from_second(1_700_000_000).unwrap())
}

/// A capture: the amount from the receivable, less a fee, to the merchant.
fn capture(book: BookId, amount: i64, fee_amount: i64) -> Journal {
    draft(book, JournalCode::J03)
        .debit(receivable(), amount)
        .credit(pending(), amount - fee_amount)
        .credit(fee(), fee_amount)
        .balance()
        .unwrap()
}

/// Moves from pending to available; refused when there is not enough.
fn release(book: BookId, amount: i64) -> Journal {
    draft(book, JournalCode::J07)
        .debit(pending(), amount)
        .credit(available(), amount)
        .balance()
        .unwrap()
}

/// Available balance of an account.
async fn room(client: &Client, book: BookId, account: AccountName) -> i128 {
    ledger::balance::balances(client, book, &[account]).await.unwrap()[0].available()
}

/// Nothing in the books is wrong.
async fn assert_proven(db: &postgres::Database) {
    let report = ledger::verify::verify(&mut db.connect().await, |_| {}).await.unwrap();
    assert!(report.is_ok(), "{report:#?}");
}
