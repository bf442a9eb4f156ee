//! The acquirer's objects as kept in memory and in the log: what can change or differ, nothing that can be derived.
//!
//! A row is immutable once shared: a change replaces it by a changed copy, so a snapshot (a stored answer, an event) is just
//! another reference to the row as it was. Amounts are minor units; times are Unix seconds. No float, no card number.

use crate::card::{Card, Method, Reason};
use crate::id::Id;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// Connected account that owns an object; `None` is the platform itself.
pub type Account = Option<Arc<str>>;

/// What every table row has.
pub trait Row {
    /// Prefix of its id on the wire.
    const PREFIX: &'static str;
    /// Value of its `object` field.
    const OBJECT: &'static str;
    /// Its serial.
    fn id(&self) -> Id;
    /// Its owner.
    fn account(&self) -> &Account;
    /// Unix seconds.
    fn created(&self) -> i64;
}

macro_rules! row {
    ($type:ty, $prefix:literal, $object:literal) => {
        impl Row for $type {
            const PREFIX: &'static str = $prefix;
            const OBJECT: &'static str = $object;
            fn id(&self) -> Id {
                self.id
            }
            fn account(&self) -> &Account {
                &self.account
            }
            fn created(&self) -> i64 {
                self.created
            }
        }
    };
}

/// A payment intent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)] // the fields are the wire's own
pub struct Intent {
    pub id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Account,
    pub created: i64,
    pub amount: i64,
    pub currency: Currency,
    pub status: IntentStatus,
    pub manual_capture: bool,
    /// What the caller asked to be allowed with an authorization.
    #[serde(default, skip_serializing_if = "Flexible::is_none")]
    pub wishes: Flexible,
    pub amount_capturable: i64,
    pub amount_received: i64,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Arc<Method>>,
    /// Oldest first; the last one is `latest_charge`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<Box<Decline>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canceled_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation_reason: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_email: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_url: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup_future_usage: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_descriptor: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_descriptor_suffix: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_group: Option<Box<str>>,
}
row!(Intent, "pi_", "payment_intent");

/// What may be done with an authorization besides one capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flexible {
    /// Several captures.
    pub multicapture: bool,
    /// A capture beyond the authorized amount.
    pub overcapture: bool,
    /// Raises.
    pub incremental: bool,
}

impl Flexible {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// `payment_intent.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum IntentStatus {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    RequiresCapture,
    Succeeded,
    Canceled,
}

/// Why the last attempt failed: `last_payment_error`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decline {
    /// `error.code`.
    pub code: Box<str>,
    /// `error.decline_code`; absent for a failed authentication.
    pub decline_code: Option<Box<str>>,
    /// Shown to the payer.
    pub message: Box<str>,
    /// The failed charge, when an issuer was asked.
    pub charge: Option<Id>,
    /// The card that was tried.
    pub method: Arc<Method>,
}

impl Decline {
    /// A decline for this reason.
    pub fn new(reason: Reason, charge: Option<Id>, method: Arc<Method>) -> Self {
        Self {
            code: reason.code.into(),
            decline_code: (!reason.decline_code.is_empty()).then(|| reason.decline_code.into()),
            message: crate::card::message(reason).into(),
            charge,
            method,
        }
    }
}

/// One attempt at an issuer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Charge {
    pub id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Account,
    pub created: i64,
    pub intent: Id,
    pub amount: i64,
    /// What was authorized at first; zero where it was never raised.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub amount_first: i64,
    #[serde(default, skip_serializing_if = "Flexible::is_none")]
    pub allowed: Flexible,
    pub currency: Currency,
    /// `Some` when declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Box<Decline>>,
    pub captured: bool,
    pub amount_captured: i64,
    pub amount_refunded: i64,
    /// Released without capture: shown as refunded, though no money came back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub authenticated: bool,
    pub method: Arc<Method>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance_transaction: Option<Id>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refunds: Vec<Id>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disputes: Vec<Id>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_email: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_descriptor: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_group: Option<Box<str>>,
}
row!(Charge, "ch_", "charge");

fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl Charge {
    /// The most that can be captured in all: a fifth more than authorized, where that is allowed.
    pub fn maximum(&self) -> i64 {
        if self.allowed.overcapture {
            self.amount + self.amount / 5
        } else {
            self.amount
        }
    }

    /// What can still be refunded.
    pub fn refundable(&self) -> i64 {
        self.amount_captured - self.amount_refunded
    }

    /// The card that was charged.
    pub fn card(&self) -> &Card {
        &self.method.card
    }
}

/// Money on its way back to the cardholder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Refund {
    pub id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Account,
    pub created: i64,
    pub charge: Id,
    pub intent: Id,
    pub amount: i64,
    pub currency: Currency,
    pub status: RefundStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance_transaction: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_balance_transaction: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<Box<str>>,
}
row!(Refund, "re_", "refund");

/// `refund.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum RefundStatus {
    Pending,
    Succeeded,
    Failed,
    Canceled,
}

/// A card-network dispute.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Dispute {
    pub id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Account,
    pub created: i64,
    pub charge: Id,
    pub intent: Id,
    pub amount: i64,
    pub currency: Currency,
    pub reason: Box<str>,
    pub status: DisputeStatus,
    /// Inquiry or chargeback; an escalated inquiry becomes a chargeback.
    pub inquiry: bool,
    /// How far the network's procedure has gone; not Stripe's own, told as `network_stage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_stage: Option<NetworkStage>,
    pub due_by: i64,
    pub submission_count: u8,
    pub evidence: Metadata,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// Each movement of the disputed amount, oldest first.
    pub movements: Vec<Arc<BalanceTransaction>>,
    pub method: Arc<Method>,
}
row!(Dispute, "du_", "dispute");

/// `dispute.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum DisputeStatus {
    WarningNeedsResponse,
    WarningUnderReview,
    WarningClosed,
    NeedsResponse,
    UnderReview,
    Won,
    Lost,
    Prevented,
}

/// `dispute.network_stage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkStage {
    /// A loss that pre-arbitration can still turn.
    Provisional,
    /// Before arbitration.
    PreArbitration,
    /// The network decides.
    Arbitration,
}

/// An early fraud warning.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct FraudWarning {
    pub id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Account,
    pub created: i64,
    pub charge: Id,
    pub intent: Id,
}
row!(FraudWarning, "issfr_", "radar.early_fraud_warning");

/// One movement of the merchant's balance.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct BalanceTransaction {
    pub id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Account,
    pub created: i64,
    pub available_on: i64,
    pub amount: i64,
    pub fee: i64,
    pub currency: Currency,
    pub kind: MovementKind,
    pub source: ObjectRef,
}
row!(BalanceTransaction, "txn_", "balance_transaction");

/// Why money moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MovementKind {
    /// A capture, less the processing fee.
    Charge,
    /// A refund.
    Refund,
    /// A refund that failed and came back.
    RefundFailure,
    /// A disputed amount withdrawn, with the dispute fee.
    Dispute,
    /// A disputed amount reinstated, with its fee.
    DisputeReversal,
}

impl MovementKind {
    /// `type` and `reporting_category`.
    pub fn names(self) -> (&'static str, &'static str) {
        match self {
            MovementKind::Charge => ("charge", "charge"),
            MovementKind::Refund => ("refund", "refund"),
            MovementKind::RefundFailure => ("refund_failure", "refund_failure"),
            MovementKind::Dispute => ("adjustment", "dispute"),
            MovementKind::DisputeReversal => ("adjustment", "dispute_reversal"),
        }
    }
}

/// A card stored by `POST /v1/payment_methods`, or made by naming one in a payment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredMethod {
    /// Its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Account,
    /// The card.
    pub method: Arc<Method>,
    /// Free key-value pairs.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

impl Row for StoredMethod {
    const PREFIX: &'static str = "pm_";
    const OBJECT: &'static str = "payment_method";
    fn id(&self) -> Id {
        self.method.id
    }
    fn account(&self) -> &Account {
        &self.account
    }
    fn created(&self) -> i64 {
        self.method.created
    }
}

/// A webhook target.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Endpoint {
    pub id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Account,
    pub created: i64,
    pub url: Box<str>,
    pub secret: Box<str>,
    /// Event types, or `*`.
    pub enabled_events: Vec<Box<str>>,
    pub description: Option<Box<str>>,
    pub metadata: Metadata,
    pub deleted: bool,
}
row!(Endpoint, "we_", "webhook_endpoint");

/// Something that happened, with the object as it was then.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct EventRow {
    pub id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Account,
    pub created: i64,
    pub kind: std::borrow::Cow<'static, str>,
    pub object: ObjectRef,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<Arc<str>>,
}
row!(EventRow, "evt_", "event");

/// Names one object of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ObjectRef {
    Intent(Id),
    Charge(Id),
    Refund(Id),
    Dispute(Id),
    FraudWarning(Id),
    BalanceTransaction(Id),
    Method(Id),
    Endpoint(Id),
}

/// ISO 4217 code, lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Reads three letters of either case.
    pub fn parse(text: &str) -> Option<Self> {
        let code: [u8; 3] = text.as_bytes().try_into().ok()?;
        code.iter()
            .all(u8::is_ascii_alphabetic)
            .then(|| Self(code.map(|c| c.to_ascii_lowercase())))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("xxx")
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a currency code"))
    }
}

/// String pairs in the order given: a map this small is a list. Copies share it until one is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(Option<Arc<Pairs>>);

type Pairs = Vec<(Box<str>, Box<str>)>;

impl Metadata {
    /// No pairs.
    pub const EMPTY: Self = Self(None);

    /// Value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs().find(|(k, _)| &**k == key).map(|(_, value)| &**value)
    }

    /// Sets a key; an empty value removes it, as on the wire.
    pub fn set(&mut self, key: &str, value: &str) {
        let pairs = Arc::make_mut(self.0.get_or_insert_default());
        pairs.retain(|(k, _)| &**k != key);
        if !value.is_empty() {
            pairs.reserve_exact(1);
            pairs.push((key.into(), value.into()));
        }
    }

    /// Whether it has no pair.
    pub fn is_empty(&self) -> bool {
        self.pairs().next().is_none()
    }

    fn pairs(&self) -> impl Iterator<Item = &(Box<str>, Box<str>)> {
        self.0.iter().flat_map(|pairs| pairs.iter())
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.pairs().map(|(key, value)| (key, value)))
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Metadata;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Metadata((!pairs.is_empty()).then(|| Arc::new(pairs))))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}
