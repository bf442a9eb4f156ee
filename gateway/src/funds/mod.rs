//! A merchant's money after the sale: available after the settlement delay, kept in reserve, owed back, paid out.
//!
//! `round` is what time brings, `payout` what callers and the bank say, `bank` where money is sent, `accounting` and `state`
//! are pure. What is available is what the ledger says; it must never be computed from payments, and a payout's amount must
//! have left the merchant's balance before anybody can send it.

pub mod accounting;
pub mod bank;
pub mod file;
pub mod payout;
pub mod round;
pub mod rows;
pub mod state;
pub mod store;
