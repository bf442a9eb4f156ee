//! The rows of funds, field for column.
//!
//! Plain data. It must never hold a bank account's number in clear.

use super::file::pain001::Debtor;
use super::state::Status;
use crate::commit::{Row, Table, Versioned};
use crate::webhook::endpoint::Sealed;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `gateway.funds`: where the round stands in one currency of a book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Funds {
    pub book_id: i64,
    /// the currency
    pub id: String,
    pub version: i32,
    pub settled_through: String,
    pub paid_through: String,
    pub payout_at: Option<Timestamp>,
    pub check_at: Timestamp,
    pub created_at: Timestamp,
}

/// `gateway.reserve_lot`: what a rolling reserve keeps, and until when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ReserveLot {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub currency: String,
    pub amount: i64,
    pub remaining: i64,
    pub release_at: Timestamp,
    pub created_at: Timestamp,
}

/// `gateway.bank_account`: where a merchant is paid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct BankAccount {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub country: String,
    pub currency: String,
    pub last4: String,
    pub routing_number: Option<String>,
    pub bank_name: Option<String>,
    pub fingerprint: String,
    pub number: Sealed,
    /// the latest of a currency is its default
    pub default_since: Option<Timestamp>,
    pub deleted: bool,
    pub created_at: Timestamp,
    pub details: BankAccountDetails,
}

/// What describes a bank account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct BankAccountDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_holder_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_holder_type: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// `gateway.payout`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Payout {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub status: Status,
    pub amount: i64,
    pub currency: String,
    pub destination_id: String,
    pub automatic: bool,
    pub balance_transaction_id: String,
    pub failure_balance_transaction_id: Option<String>,
    pub failure_code: Option<String>,
    pub failure_message: Option<String>,
    pub bank_reference: Option<String>,
    pub arrival_at: Timestamp,
    pub sent_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub details: PayoutDetails,
}

/// What describes a payout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PayoutDetails {
    /// for the merchant's own eyes
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// on the bank statement
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement_descriptor: Option<String>,
    /// the merchant's keys and values
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// an automatic payout pays the movements after this balance transaction ..
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// .. up to this one
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
}

/// `gateway.payout_file`: payouts that a bank was told of together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PayoutFile {
    pub book_id: i64,
    pub id: String,
    pub currency: String,
    pub payouts: i32,
    pub amount: i64,
    pub execution_date: Date,
    pub debtor: Debtor,
    /// SHA-256 of the content, hexadecimal
    pub digest: String,
    pub created_by: String,
    pub created_at: Timestamp,
}

/// `gateway.payout_instruction`: which file a payout is in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PayoutInstruction {
    pub book_id: i64,
    /// the payout
    pub id: String,
    pub file_id: String,
    pub number: i32,
    pub name: String,
}

macro_rules! once {
    ($($row:ident => $table:ident),+ $(,)?) => {$(
        impl Row for $row {
            const TABLE: Table = Table::$table;
            fn book_id(&self) -> i64 { self.book_id }
            fn id(&self) -> &str { &self.id }
        }
    )+};
}
once! { PayoutFile => PayoutFile, PayoutInstruction => PayoutInstruction }

macro_rules! rows {
    ($($row:ident => $table:ident),+ $(,)?) => {$(
        impl Row for $row {
            const TABLE: Table = Table::$table;
            fn book_id(&self) -> i64 { self.book_id }
            fn id(&self) -> &str { &self.id }
        }
        impl Versioned for $row {
            fn version_mut(&mut self) -> &mut i32 { &mut self.version }
        }
    )+};
}
rows! { Funds => Funds, ReserveLot => ReserveLot, BankAccount => BankAccount, Payout => Payout }
