//! The rows of a case, field for column: the case as it stands, and the entries of its timeline, which are history.
//!
//! Plain data. What people wrote stays in these rows and in the API's answers: it must never reach a log.

use super::rules::Rules;
use super::words::*;
use crate::commit::{Row, Table, Versioned};
use crate::dispute::accounting::Split;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// `gateway.consumer_case`: a dispute between a consumer and a merchant that the platform decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Case {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub status: Status,
    pub r#type: CaseType,
    pub channel: Channel,
    pub payment_id: String,
    pub charge_id: String,
    pub customer_id: Option<String>,
    /// what is asked for, minor units
    pub amount: i64,
    pub currency: String,
    /// in the consumer's words
    pub reason: String,
    /// what is frozen for it right now, by where it came from: the three sum to its part of account 2110
    pub held_pending: i64,
    pub held_available: i64,
    pub held_receivable: i64,
    /// the officer who has it
    pub owner: Option<String>,
    /// the open case about the same payment and issue
    pub duplicate_of: Option<String>,
    /// when it must have been verified
    pub verify_due: Option<Timestamp>,
    pub verified_at: Option<Timestamp>,
    pub decided_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    pub outcome: Option<Outcome>,
    /// the one appeal has been used
    pub appealed: bool,
    /// the refund that carries out the decision
    pub refund_id: Option<String>,
    pub refund_progress: Option<RefundProgress>,
    /// of a refund that failed, what the bank must pay: its part of account 2120
    pub refund_due: i64,
    /// compensation that the bank must pay: its part of account 2130
    pub compensation_due: i64,
    /// what the platform advanced and has not got back: its part of account 1220
    pub recourse_due: i64,
    /// a regulator's reference; while it is frozen the case is not archived
    pub external_ref: Option<String>,
    pub frozen: bool,
    /// of the archived case: SHA-256 over case, timeline and journals, hexadecimal
    pub seal: Option<String>,
    pub created_at: Timestamp,
    pub details: CaseDetails,
}

/// What describes a case and its decisions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaseDetails {
    /// what the payment took, minor units
    pub paid: i64,
    /// the rules it is run by
    pub rules: Rules,
    /// the id of their version; none: the built-in ones
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules_id: Option<String>,
    /// the version of the merchant's return policy that was disclosed with the payment
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_policy_version: Option<u32>,
    /// which of the things bought, by its product code or name
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// the platform's own reference of the consumer
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// who filed it: a key's id
    pub filed_by: String,
    #[allow(missing_docs)]
    pub metadata: BTreeMap<String, String>,
    /// what looks like abuse; for people, it decides nothing
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
    /// why it was not taken up
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_accepted: Option<String>,
    #[allow(missing_docs)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// the merchant was asked and answered, or let its time pass
    pub heard: bool,
    #[allow(missing_docs)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<Offer>,
    #[allow(missing_docs)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    #[allow(missing_docs)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appeal: Option<Appeal>,
    /// what the appeal came to
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appeal_decision: Option<Decision>,
    /// a supervisor owns it
    pub supervised: bool,
    /// deadlines that passed unmet
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub breaches: Vec<Breach>,
    /// the chargeback that suspended it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dispute_id: Option<String>,
    #[allow(missing_docs)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rating: Option<Rating>,
    /// how compensation at the merchant's cost was booked: an appeal may take it back
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compensation: Option<Compensation>,
    /// who did not take it up
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_by: Option<String>,
    /// when a sealed case may be thought of as old
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retained_until: Option<Timestamp>,
}

/// Something that looks like abuse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flag {
    /// `repeated_cases`, `repeated_refund_only`, `reused_evidence`
    pub kind: String,
    /// the figures it rests on
    pub basis: Value,
}

/// What the platform found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Verification {
    pub finding: Finding,
    pub facts: String,
    pub by: String,
    pub at: Timestamp,
}

/// What a merchant offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// of the entry that made it
    pub id: String,
    #[allow(missing_docs)]
    pub remedy: Remedy,
    /// minor units; zero where nothing is refunded
    pub amount: i64,
    #[allow(missing_docs)]
    pub note: Option<String>,
    #[allow(missing_docs)]
    pub by: String,
    #[allow(missing_docs)]
    pub at: Timestamp,
    #[allow(missing_docs)]
    pub accepted: bool,
}

/// What was decided, by whom, on what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    #[allow(missing_docs)]
    pub remedy: Remedy,
    /// what is refunded, minor units
    pub refund: i64,
    /// beyond the price, minor units
    pub compensation: i64,
    #[allow(missing_docs)]
    pub borne_by: Bearer,
    #[allow(missing_docs)]
    pub reasons: String,
    /// ids of the entries that it rests on
    pub evidence: Vec<String>,
    /// why there is more than the price: the rule and the calculation
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
    #[allow(missing_docs)]
    pub officer: String,
    /// the second person, where one is needed
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<String>,
    #[allow(missing_docs)]
    pub at: Timestamp,
    /// the goods are back
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub goods_received: bool,
    /// how other goods were sent
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipment: Option<String>,
}

/// Somebody asks for another look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Appeal {
    pub by: Party,
    pub reason: String,
    pub at: Timestamp,
    /// where the case stood
    pub from: Status,
}

/// Where compensation came from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compensation {
    /// the journal that booked it (J23a)
    pub journal_id: uuid::Uuid,
    /// whose money it was
    pub split: Split,
}

/// A deadline that passed unmet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Breach {
    pub deadline: String,
    pub due_at: Timestamp,
    pub told_at: Timestamp,
}

/// How content the consumer is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Rating {
    /// 1 to 5
    pub score: i64,
    pub comment: Option<String>,
    pub at: Timestamp,
}

/// `gateway.case_entry`: one thing that happened to a case or was said in it. Both sides see the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    #[allow(missing_docs)]
    pub book_id: i64,
    #[allow(missing_docs)]
    pub id: String,
    #[allow(missing_docs)]
    pub case_id: String,
    /// an event's name without `case.`, or `message`, `evidence`
    pub kind: String,
    #[allow(missing_docs)]
    pub party: Party,
    /// a person or a key; none is the service itself
    pub actor: Option<String>,
    /// where the case stood afterwards
    pub status: Status,
    /// who was told
    pub told: Vec<String>,
    /// the journals it booked
    pub journals: Vec<uuid::Uuid>,
    /// SHA-256 of a piece of evidence: the same in several cases is noticed
    pub digest: Option<String>,
    #[allow(missing_docs)]
    pub body: Value,
    #[allow(missing_docs)]
    pub created_at: Timestamp,
}

impl Case {
    /// What is frozen for it, by where the money was.
    pub fn split(&self) -> Split {
        Split {
            pending: self.held_pending,
            available: self.held_available,
            receivable: self.held_receivable,
        }
    }

    /// What is frozen for it: minor units.
    pub fn held(&self) -> i64 {
        self.split().total()
    }

    pub(super) fn hold(&mut self, split: Split) {
        self.held_pending = split.pending;
        self.held_available = split.available;
        self.held_receivable = split.receivable;
    }

    /// Nothing is still to be paid.
    pub fn is_paid(&self) -> bool {
        self.refund_progress != Some(RefundProgress::Open) && self.refund_due == 0 && self.compensation_due == 0
    }

    /// The decision that counts: the appeal's, where there is one.
    pub fn in_force(&self) -> Option<&Decision> {
        self.details.appeal_decision.as_ref().or(self.details.decision.as_ref())
    }
}

impl Row for Case {
    const TABLE: Table = Table::Case;
    fn book_id(&self) -> i64 {
        self.book_id
    }
    fn id(&self) -> &str {
        &self.id
    }
}

impl Versioned for Case {
    fn version_mut(&mut self) -> &mut i32 {
        &mut self.version
    }
}

impl Row for Entry {
    const TABLE: Table = Table::CaseEntry;
    fn book_id(&self) -> i64 {
        self.book_id
    }
    fn id(&self) -> &str {
        &self.id
    }
}
