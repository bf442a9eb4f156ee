//! The row of a dispute, field for column.
//!
//! Plain data. Evidence is the merchant's own text and stays in this row: it must never reach a log.

use super::state::{Funds, Standing, Status};
use crate::commit::{Digest, Row, Table, Versioned};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `gateway.dispute`: a chargeback, or an inquiry that may become one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Dispute {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub payment_id: String,
    pub charge_id: String,
    pub connector: String,
    pub acquirer_id: String,
    pub status: Status,
    pub amount: i64,
    pub currency: String,
    pub reason: String,
    pub network_reason_code: Option<String>,
    pub funds: Funds,
    /// what is frozen for it right now, by where it came from: the three sum to its part of account 2110
    pub held_pending: i64,
    pub held_available: i64,
    pub held_receivable: i64,
    pub fee: i64,
    /// Stripe's evidence fields that have a value
    pub evidence: BTreeMap<String, String>,
    pub submission_count: i16,
    pub due_by: Option<Timestamp>,
    pub balance_transaction_ids: Vec<String>,
    pub created_at: Timestamp,
    pub details: DisputeDetails,
    pub operation: Option<Operation>,
    pub request_key: Option<Digest>,
    pub swept: i16,
    pub check_at: Option<Timestamp>,
}

/// What describes a dispute and moves no money.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct DisputeDetails {
    pub metadata: BTreeMap<String, String>,
    pub is_charge_refundable: bool,
    /// of the card, for showing
    pub brand: String,
}

/// A response that is on its way to the acquirer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// evidence, once
    Submit,
    /// acceptance: the dispute is lost
    Close,
}

/// Every evidence field that Stripe knows; `true` where the value is the id of a file.
pub const EVIDENCE: [(&str, bool); 27] = [
    ("access_activity_log", false),
    ("billing_address", false),
    ("cancellation_policy", true),
    ("cancellation_policy_disclosure", false),
    ("cancellation_rebuttal", false),
    ("customer_communication", true),
    ("customer_email_address", false),
    ("customer_name", false),
    ("customer_purchase_ip", false),
    ("customer_signature", true),
    ("duplicate_charge_documentation", true),
    ("duplicate_charge_explanation", false),
    ("duplicate_charge_id", false),
    ("product_description", false),
    ("receipt", true),
    ("refund_policy", true),
    ("refund_policy_disclosure", false),
    ("refund_refusal_explanation", false),
    ("service_date", false),
    ("service_documentation", true),
    ("shipping_address", false),
    ("shipping_carrier", false),
    ("shipping_date", false),
    ("shipping_documentation", true),
    ("shipping_tracking_number", false),
    ("uncategorized_file", true),
    ("uncategorized_text", false),
];

impl Dispute {
    /// The part that transitions depend on.
    pub fn standing(&self) -> Standing {
        Standing {
            status: self.status,
            funds: self.funds,
            amount: self.amount,
            held: self.held_pending + self.held_available + self.held_receivable,
            fee: self.fee,
        }
    }
}

impl Row for Dispute {
    const TABLE: Table = Table::Dispute;
    fn book_id(&self) -> i64 {
        self.book_id
    }
    fn id(&self) -> &str {
        &self.id
    }
}

impl Versioned for Dispute {
    fn version_mut(&mut self) -> &mut i32 {
        &mut self.version
    }
}
