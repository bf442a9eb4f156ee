//! The wire's objects: rows rendered in Stripe's shape, every documented field present, null when empty.
//!
//! Pure functions. They must never show a field that the merchant may not see, nor leave one out.

mod account;
mod case;
mod dispute;
mod file;
mod funds;
mod money;
mod payment;
mod receipt;
mod risk;
mod setup_intent;
mod terms;
mod webhook_endpoint;

pub use account::account;
pub use case::case;
pub use dispute::dispute;
pub use file::file;
pub use funds::{bank_account, payout, payout_file};
pub use money::{Standing, amount, application_fee, balance, balance_transaction, fee_refund, refund};
pub use payment::{charge, customer, payment_intent, payment_method, review};
pub use receipt::receipt;
pub use risk::{block_appeal, early_fraud_warning, rule, signal, value_list, value_list_item};
pub use setup_intent::setup_intent;
pub use terms::terms;
pub use webhook_endpoint::{webhook_delivery, webhook_endpoint};

use jiff::Timestamp;
use serde_json::{Value, json};

/// The API version whose shape this is.
pub const API_VERSION: &str = "2026-10-28.counterfoil";

/// Unix seconds.
pub fn seconds(at: Timestamp) -> Value {
    json!(at.as_second())
}

/// Unix seconds or null.
pub fn seconds_or_null(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, seconds)
}
