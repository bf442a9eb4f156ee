//! The rows of schema `risk` that units write: plain data, field for column. They must never hold a name or an address in the
//! clear: what people put on lists is sealed, what the scorer compares is hashed.

use crate::commit::{Row, Table, Versioned};
use crate::payment::rows::Charge;
use crate::webhook::endpoint::Sealed;
use anomaly::{Action, DeclineKind, Outcome, State, Subject, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// `risk.history`: what the scorer learns, in the order in which it became true.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct History {
    pub book_id: i64,
    /// the charge's
    pub id: String,
    pub fact: Fact,
    pub source: Option<Source>,
    /// true for the outcome of an attempt that is there already, as one whose outcome was not known
    #[serde(default)]
    pub resolves: Option<bool>,
    pub at: Timestamp,
}

/// The outcome of an attempt, or a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Fact {
    Approved,
    Blocked,
    Unknown,
    Declined,
    DeclinedIncorrectNumber,
    DeclinedIncorrectCvc,
    DeclinedExpired,
    DeclinedInsufficientFunds,
    DeclinedLostOrStolen,
    DeclinedFraudulent,
    Fraud,
    Genuine,
    Withdrawn,
}

/// Who gave a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Source {
    Review,
    Refund,
    Dispute,
    EarlyFraudWarning,
}

impl Fact {
    /// As the scorer's input, when it is an outcome.
    pub fn outcome(self) -> Result<Outcome, Verdict> {
        let declined = |code| Ok(Outcome::Declined { code });
        match self {
            Fact::Approved => Ok(Outcome::Approved),
            Fact::Blocked => Ok(Outcome::Blocked),
            Fact::Unknown => Ok(Outcome::Unknown),
            Fact::Declined => declined(DeclineKind::Generic),
            Fact::DeclinedIncorrectNumber => declined(DeclineKind::IncorrectNumber),
            Fact::DeclinedIncorrectCvc => declined(DeclineKind::IncorrectCvc),
            Fact::DeclinedExpired => declined(DeclineKind::Expired),
            Fact::DeclinedInsufficientFunds => declined(DeclineKind::InsufficientFunds),
            Fact::DeclinedLostOrStolen => declined(DeclineKind::LostOrStolen),
            Fact::DeclinedFraudulent => declined(DeclineKind::Fraudulent),
            Fact::Fraud => Err(Verdict::Fraud),
            Fact::Genuine => Err(Verdict::Genuine),
            Fact::Withdrawn => Err(Verdict::Withdrawn),
        }
    }
}

impl From<Outcome> for Fact {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Approved => Fact::Approved,
            Outcome::Blocked => Fact::Blocked,
            Outcome::Unknown => Fact::Unknown,
            Outcome::Declined { code } => match code {
                DeclineKind::Generic => Fact::Declined,
                DeclineKind::IncorrectNumber => Fact::DeclinedIncorrectNumber,
                DeclineKind::IncorrectCvc => Fact::DeclinedIncorrectCvc,
                DeclineKind::Expired => Fact::DeclinedExpired,
                DeclineKind::InsufficientFunds => Fact::DeclinedInsufficientFunds,
                DeclineKind::LostOrStolen => Fact::DeclinedLostOrStolen,
                DeclineKind::Fraudulent => Fact::DeclinedFraudulent,
            },
        }
    }
}

impl From<Verdict> for Fact {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Fraud => Fact::Fraud,
            Verdict::Genuine => Fact::Genuine,
            Verdict::Withdrawn => Fact::Withdrawn,
        }
    }
}

impl History {
    /// What became of an attempt.
    pub fn attempt(charge: &Charge, outcome: Outcome, at: Timestamp) -> Self {
        Self {
            book_id: charge.book_id,
            id: charge.id.clone(),
            fact: outcome.into(),
            source: None,
            resolves: None,
            at,
        }
    }

    /// What became of an attempt that is there already: its outcome was not known.
    pub fn resolved(charge: &Charge, outcome: Outcome, at: Timestamp) -> Self {
        Self {
            resolves: Some(true),
            ..Self::attempt(charge, outcome, at)
        }
    }

    /// What became known about an attempt later, and from whom.
    pub fn label(book_id: i64, charge_id: &str, verdict: Verdict, source: Source, at: Timestamp) -> Self {
        Self {
            book_id,
            id: charge_id.to_owned(),
            fact: verdict.into(),
            source: Some(source),
            resolves: None,
            at,
        }
    }
}

/// `risk.rule`: a rule of a merchant, or its version of a shipped one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct RiskRule {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub name: String,
    pub code: String,
    pub action: Action,
    pub weight: u8,
    pub condition: String,
    pub message: String,
    pub state: State,
    pub beats_allow: bool,
    pub deleted: bool,
    pub backtest: Option<Value>,
    pub created_at: Timestamp,
}

impl RiskRule {
    /// As the scorer reads it.
    pub fn rule(&self) -> anomaly::Rule {
        anomaly::Rule {
            name: self.name.clone(),
            code: self.code.clone(),
            action: self.action,
            weight: self.weight,
            condition: self.condition.clone(),
            message: self.message.clone(),
            state: self.state,
            beats_allow: self.beats_allow,
        }
    }
}

/// `risk.rule_version`: a rule as it once was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct RiskRuleVersion {
    pub book_id: i64,
    pub id: String,
    pub rule: Value,
    pub changed_by: Option<String>,
    pub created_at: Timestamp,
}

/// `risk.value_list`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ValueList {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub alias: String,
    pub name: String,
    pub item_type: ItemType,
    pub deleted: bool,
    pub created_at: Timestamp,
    pub details: ValueListDetails,
}

/// What describes a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ValueListDetails {
    pub metadata: BTreeMap<String, String>,
    pub created_by: Option<String>,
}

/// What a list holds; Stripe's words, and `device`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ItemType {
    CardFingerprint,
    CardBin,
    CustomerId,
    Email,
    IpAddress,
    Device,
}

impl ItemType {
    /// All, by their words.
    pub const ALL: [(&str, ItemType); 6] = [
        ("card_fingerprint", ItemType::CardFingerprint),
        ("card_bin", ItemType::CardBin),
        ("customer_id", ItemType::CustomerId),
        ("email", ItemType::Email),
        ("ip_address", ItemType::IpAddress),
        ("device", ItemType::Device),
    ];

    /// The type of this word.
    pub fn named(word: &str) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|(known, _)| *known == word);
        known.map(|(_, item_type)| item_type)
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, item_type)| *item_type == self)
            .map_or("", |(word, _)| word)
    }

    /// The kind of subject in rules.
    pub fn kind(self) -> anomaly::Kind {
        match self {
            ItemType::CardFingerprint => anomaly::Kind::Card,
            ItemType::CardBin => anomaly::Kind::Bin,
            ItemType::CustomerId => anomaly::Kind::Customer,
            ItemType::Email => anomaly::Kind::Email,
            ItemType::IpAddress => anomaly::Kind::Ip,
            ItemType::Device => anomaly::Kind::Device,
        }
    }
}

/// `risk.value_list_item`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ValueListItem {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub list_id: String,
    /// JSON of [`Subject`]
    pub subject: String,
    pub value: Sealed,
    pub deleted: bool,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

impl ValueListItem {
    /// What the scorer compares.
    pub fn subject(&self) -> Option<Subject> {
        serde_json::from_str(&self.subject).ok()
    }
}

/// `risk.early_fraud_warning`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct EarlyFraudWarning {
    pub book_id: i64,
    pub id: String,
    pub charge_id: String,
    pub payment_id: String,
    pub connector: String,
    pub acquirer_id: String,
    pub fraud_type: String,
    pub created_at: Timestamp,
}

/// `risk.alert_dismissal`: the merchant stands by a payment that a network warned of. Its id is the warning's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct AlertDismissal {
    pub book_id: i64,
    pub id: String,
    pub reason: String,
    /// the API key that said so
    pub by_key: String,
    pub created_at: Timestamp,
}

/// `risk.block_appeal`: somebody who was blocked asks for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct BlockAppeal {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub charge_id: String,
    pub payment_id: String,
    pub requested_by: String,
    pub statement: String,
    pub status: AppealStatus,
    pub reason: Option<String>,
    pub overdue: bool,
    pub due_at: Timestamp,
    pub decided_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// Where an appeal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum AppealStatus {
    Open,
    Lifted,
    Upheld,
}

/// `risk.signal`: something noticed about a merchant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Signal {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub kind: String,
    pub subject: String,
    /// `2026-11-24`, UTC
    pub day: String,
    pub evidence: Value,
    pub status: SignalStatus,
    pub note: Option<String>,
    pub created_at: Timestamp,
}

/// Whether somebody has looked at a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum SignalStatus {
    Open,
    Acknowledged,
}

macro_rules! row {
    ($($row:ident => $table:ident),+ $(,)?) => {$(
        impl Row for $row {
            const TABLE: Table = Table::$table;
            fn book_id(&self) -> i64 { self.book_id }
            fn id(&self) -> &str { &self.id }
        }
    )+};
}
macro_rules! versioned {
    ($($row:ident),+ $(,)?) => {$(
        impl Versioned for $row {
            fn version_mut(&mut self) -> &mut i32 { &mut self.version }
        }
    )+};
}
row! {
    History => RiskHistory, RiskRule => RiskRule, RiskRuleVersion => RiskRuleVersion, ValueList => ValueList,
    ValueListItem => ValueListItem, EarlyFraudWarning => EarlyFraudWarning, AlertDismissal => AlertDismissal, BlockAppeal => BlockAppeal,
    Signal => RiskSignal,
}
versioned! { RiskRule, ValueList, ValueListItem, BlockAppeal, Signal }
