//! The row of a dispute, field for column.
//!
//! Plain data. Evidence is the merchant's own text and stays in this row: it must never reach a log.

use super::scheme::Timer;
use super::stage::Stage;
use super::state::{Bearer, Standing, Status};
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
    /// where it stands in the network's procedure
    pub stage: Stage,
    /// how new the acquirer's last word is
    pub rank: i16,
    /// principal that the network has, outcome open: its part of account 1130
    pub contested: i64,
    /// principal that is gone for good
    pub lost: i64,
    /// how often principal was taken and returned, and how many fees came alone
    pub takings: i16,
    pub returns: i16,
    pub charges: i16,
    pub borne_by: Bearer,
    /// what is frozen for it right now, by where it came from: the three sum to its part of account 2110
    pub held_pending: i64,
    pub held_available: i64,
    pub held_receivable: i64,
    pub fee: i64,
    /// Stripe's evidence fields that have a value
    pub evidence: BTreeMap<String, String>,
    pub submission_count: i16,
    /// the last round of answers that was used, see [`Stage::round`]
    pub answered: i16,
    pub due_by: Option<Timestamp>,
    pub balance_transaction_ids: Vec<String>,
    pub created_at: Timestamp,
    pub details: DisputeDetails,
    pub operation: Option<Operation>,
    pub request_key: Option<Digest>,
    pub swept: i16,
    pub check_at: Option<Timestamp>,
    /// what is waited for, and when it is due
    pub timer: Option<Timer>,
    pub timer_at: Option<Timestamp>,
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
    /// the key that staged evidence last: above a threshold another one must submit it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub staged_by: Option<String>,
    /// which key submitted evidence last
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submitted_by: Option<String>,
    /// refunds had given back what is disputed before the dispute came
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub double_credit_risk: bool,
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
            stage: self.stage,
            status: self.status,
            rank: self.rank,
            amount: self.amount,
            contested: self.contested,
            lost: self.lost,
            held: self.held_pending + self.held_available + self.held_receivable,
            fee: self.fee,
            takings: self.takings,
            returns: self.returns,
            charges: self.charges,
            borne_by: self.borne_by,
        }
    }
}

/// `gateway.dispute_movement`: a movement of money at the acquirer, booked once. Append-only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct DisputeMovement {
    pub book_id: i64,
    pub id: String,
    pub dispute_id: String,
    pub connector: String,
    /// the acquirer's id of it: unique, whoever tells it and how often
    pub acquirer_id: String,
    /// signed: negative was taken
    pub amount: i64,
    /// signed: negative was given back
    pub fee: i64,
    pub currency: String,
    pub created_at: Timestamp,
}

/// `gateway.dispute_exception`: what a person must decide, because the rules cannot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct DisputeException {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub dispute_id: String,
    pub payment_id: String,
    pub kind: ExceptionKind,
    pub amount: i64,
    pub currency: String,
    /// by when a person should have looked
    pub due_at: Timestamp,
    /// what was decided and why; none while it is open
    pub resolution: Option<String>,
    pub resolved_by: Option<String>,
    pub resolved_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// Why a person must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ExceptionKind {
    /// principal came back after the loss was final; it is in suspense (1910)
    ReturnedAfterLoss,
    /// principal was taken after the win was final; suspense has the claim
    TakenAfterWin,
    /// more came back than had been taken; the rest is in suspense
    ReturnedTooMuch,
    /// won for good, but not all of it came back; it is still contested (1130)
    NotReturned,
    /// refunds, chargebacks and holds together are more than was captured: the payer may be paid twice
    DoubleCredit,
}

impl ExceptionKind {
    /// As it is stored and told.
    pub const fn as_str(self) -> &'static str {
        match self {
            ExceptionKind::ReturnedAfterLoss => "returned_after_loss",
            ExceptionKind::TakenAfterWin => "taken_after_win",
            ExceptionKind::ReturnedTooMuch => "returned_too_much",
            ExceptionKind::NotReturned => "not_returned",
            ExceptionKind::DoubleCredit => "double_credit",
        }
    }
}

impl Row for DisputeMovement {
    const TABLE: Table = Table::DisputeMovement;
    fn book_id(&self) -> i64 {
        self.book_id
    }
    fn id(&self) -> &str {
        &self.id
    }
}

impl Row for DisputeException {
    const TABLE: Table = Table::DisputeException;
    fn book_id(&self) -> i64 {
        self.book_id
    }
    fn id(&self) -> &str {
        &self.id
    }
}

impl Versioned for DisputeException {
    fn version_mut(&mut self) -> &mut i32 {
        &mut self.version
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
