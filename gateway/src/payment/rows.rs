//! The rows of a payment: what the database keeps of it, field for column.
//!
//! Plain data. It must never hold a card number, a CVC or a secret.

use crate::account::Merchant;
use crate::account::rows::ReturnPolicy;
use crate::account::terms::{Kind, Rate};
use crate::commit::{Digest, Row, Table, Versioned};
use crate::connector::{Allowance, ThreeDSecure, Wishes};
use crate::receipt::Locale;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// `gateway.payment`: a payment intent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Payment {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub status: Status,
    pub operation: Option<Operation>,
    pub operation_amount: Option<i64>,
    pub amount: i64,
    pub currency: String,
    pub amount_capturable: i64,
    pub amount_received: i64,
    pub amount_refunded: i64,
    pub amount_disputed: i64,
    /// frozen for cases, minor units
    pub amount_held: i64,
    pub double_credit_risk: bool,
    pub capture_method: CaptureMethod,
    pub customer_id: Option<String>,
    pub payment_method_id: Option<String>,
    pub charge_id: Option<String>,
    pub review_id: Option<String>,
    /// what was sold, as the wire shows it; written once
    pub line_items: Option<Value>,
    /// what a platform takes of it, minor units
    pub application_fee_amount: Option<i64>,
    /// the most that may be captured in all, where its acquirer allows more than the amount; minor units
    pub amount_maximum: Option<i64>,
    pub created_at: Timestamp,
    pub canceled_at: Option<Timestamp>,
    pub details: PaymentDetails,
}

/// What describes a payment and moves no money.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct PaymentDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement_descriptor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement_descriptor_suffix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt_email: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub receipt_locale: Locale,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup_future_usage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmation_method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automatic_payment_methods: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancellation_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_payment_error: Option<Value>,
    /// where the payer is sent after a challenge, as the caller gave it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_url: Option<String>,
    /// `any` or `challenge`; none is `automatic`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_three_d_secure: Option<String>,
    /// what the caller would like to do with an authorization before it is captured
    #[serde(skip_serializing_if = "is_default")]
    pub wishes: Wishes,
    /// what the payer has to do now, as the wire shows it
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_action: Option<Value>,
    /// what the payer is told before the payment is confirmed, and holds ever after
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disclosure: Option<Disclosure>,
    /// random part of the client secret
    pub client_secret: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Who is paid, under which terms: as they were in force when the payment was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disclosure {
    /// legal name of the merchant
    pub payee: String,
    /// the platform's fee, which the merchant pays out of the amount
    pub rate: Rate,
    /// id of the fee schedule
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee_schedule: Option<String>,
    /// id of the terms of service
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms: Option<String>,
    /// the merchant's promise about returns
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_policy: Option<ReturnPolicy>,
}

impl Disclosure {
    /// What holds for this merchant at this moment.
    pub fn of(merchant: &Merchant, currency: &str, at: Timestamp) -> Self {
        let (schedule, rate) = merchant.rate(currency, at);
        let name = merchant.details.company.name.as_ref();
        Self {
            payee: name.unwrap_or(&merchant.name).clone(),
            rate,
            fee_schedule: schedule.map(|s| s.id.clone()),
            terms: merchant.in_force(Kind::TermsOfService, at).map(|t| t.id.clone()),
            return_policy: merchant.details.return_policy.clone(),
        }
    }
}

/// Where a payment stands; Stripe's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Succeeded,
    Canceled,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::RequiresPaymentMethod => "requires_payment_method",
            Status::RequiresConfirmation => "requires_confirmation",
            Status::RequiresAction => "requires_action",
            Status::Processing => "processing",
            Status::RequiresCapture => "requires_capture",
            Status::Succeeded => "succeeded",
            Status::Canceled => "canceled",
        }
    }
}

/// An operation at the acquirer that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Operation {
    Authorize,
    /// the last, or only, capture
    Capture,
    /// a capture that more may follow
    CapturePart,
    /// the authorization is raised
    Increment,
    Void,
}

/// When the money is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum CaptureMethod {
    Automatic,
    Manual,
}

/// `gateway.charge`: one attempt at the acquirer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Charge {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub payment_id: String,
    pub status: ChargeStatus,
    pub amount: i64,
    pub currency: String,
    pub amount_captured: i64,
    pub amount_refunded: i64,
    pub captured: bool,
    pub disputed: bool,
    pub capture_wanted: bool,
    pub payment_method_id: String,
    pub customer_id: Option<String>,
    pub connector: String,
    pub acquirer_id: Option<String>,
    pub acquirer_reference: Option<String>,
    pub hold_id: Option<uuid::Uuid>,
    /// what may be done with it until it is captured
    #[serde(flatten)]
    pub allowance: Allowance,
    pub fee: i64,
    /// what the platform took of it, beside its fee schedule
    pub application_fee_id: Option<String>,
    pub balance_transaction_id: Option<String>,
    pub failure_code: Option<String>,
    pub decline_code: Option<String>,
    pub failure_message: Option<String>,
    pub card: CardFacts,
    pub risk: Risk,
    pub context: RiskContext,
    pub authentication: Option<Authentication>,
    pub operations: i16,
    pub routing: crate::routing::Decision,
    pub mismatch: Option<crate::connector::Mismatch>,
    pub request_key: Option<Digest>,
    pub swept: i16,
    pub check_at: Option<Timestamp>,
    /// where the payer sees the receipt
    pub receipt_url: Option<String>,
    pub created_at: Timestamp,
}

/// Where an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ChargeStatus {
    Pending,
    Unknown,
    /// the acquirer's answer is about something else than was asked
    Mismatched,
    Succeeded,
    Failed,
    Voided,
}

/// What became of a challenge of the payer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Authentication {
    /// random: the last part of the address that the payer comes back to
    pub return_token: String,
    /// the issuer's word, once there is one
    #[serde(skip_serializing_if = "Option::is_none")]
    pub three_d_secure: Option<ThreeDSecure>,
}

/// What may be shown and kept of a card: six first, four last, never the number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct CardFacts {
    pub brand: String,
    pub bin: String,
    pub last4: String,
    pub exp_month: i16,
    pub exp_year: i16,
    pub fingerprint: String,
    pub funding: String,
    pub country: String,
}

/// The scorer's verdict, as stored with the attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Risk {
    pub decision: String,
    pub score: u8,
    pub level: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Value>,
    /// what the trained models said
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<crate::risk::models::Said>,
    /// what the online regression said: a probability
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<f64>,
    /// for a person who looks at the attempt: what moved the model's score
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shapley: Vec<Value>,
    /// rules on trial that fired, with what they would have asked for
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<Value>,
}

/// What the scorer saw, hashed: enough to rebuild its state after a restart, and no personal datum.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct RiskContext {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<std::net::IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminal: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub off_session: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cvc_provided: bool,
}

/// `gateway.refund`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Refund {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub payment_id: String,
    pub charge_id: String,
    pub status: RefundStatus,
    pub amount: i64,
    pub currency: String,
    pub reason: Option<String>,
    pub from_available: i64,
    pub from_pending: i64,
    pub from_receivable: i64,
    /// what the platform pays of it
    pub from_platform: i64,
    /// the case whose decision it carries out
    pub case_id: Option<String>,
    pub acquirer_id: Option<String>,
    pub balance_transaction_id: Option<String>,
    pub failure_balance_transaction_id: Option<String>,
    pub failure_reason: Option<String>,
    pub request_key: Option<Digest>,
    pub swept: i16,
    pub check_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub details: RefundDetails,
}

/// What describes a refund and moves no money.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct RefundDetails {
    pub metadata: BTreeMap<String, String>,
}

/// Where a refund stands. `Unknown` shows as `pending` on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum RefundStatus {
    Pending,
    Unknown,
    Succeeded,
    Failed,
    Canceled,
}

/// `gateway.review`: a payment that a person must judge before it is captured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Review {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub payment_id: String,
    pub charge_id: String,
    pub open: bool,
    pub reason: String,
    pub closed_reason: Option<String>,
    pub created_at: Timestamp,
}

/// `gateway.balance_transaction`: one movement of the merchant's balance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct BalanceTransaction {
    pub book_id: i64,
    pub id: String,
    pub r#type: String,
    pub amount: i64,
    pub fee: i64,
    /// the platform's part of the fee
    pub application_fee: i64,
    pub net: i64,
    pub currency: String,
    pub source_id: String,
    pub payment_id: Option<String>,
    pub journal_id: uuid::Uuid,
    pub description: Option<String>,
    pub available_on: Timestamp,
    pub created_at: Timestamp,
}

/// `gateway.payment_method`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PaymentMethod {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub customer_id: Option<String>,
    pub vault_id: Option<String>,
    pub test_token: Option<String>,
    #[serde(flatten)]
    pub card: CardFacts,
    pub created_at: Timestamp,
    pub details: PaymentMethodDetails,
}

/// What describes a payment method.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct PaymentMethodDetails {
    pub metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_details: Option<Value>,
    /// the network's id of the attempt by which the payer agreed to be charged without being there
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreed_by: Option<String>,
}

/// `gateway.customer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Customer {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub deleted: bool,
    pub created_at: Timestamp,
    pub details: CustomerDetails,
}

/// What is known of a customer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct CustomerDetails {
    pub email: Option<String>,
    pub name: Option<String>,
    pub phone: Option<String>,
    pub description: Option<String>,
    pub address: Option<Value>,
    pub shipping: Option<Value>,
    pub default_payment_method: Option<String>,
    pub metadata: BTreeMap<String, String>,
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
    Payment => Payment, Charge => Charge, Refund => Refund, Review => Review,
    BalanceTransaction => BalanceTransaction, PaymentMethod => PaymentMethod, Customer => Customer,
}
versioned! { Payment, Charge, Refund, Review, PaymentMethod, Customer }
