//! Connectors: how an acquirer is spoken to. One folder per acquirer, one line in [`registry::build`], one block in the
//! configuration.
//!
//! A connector translates; it decides nothing and stores nothing. It must never be called inside a database transaction,
//! nor before the intent to call is durable (law 1), and it must never turn "I do not know" into "it failed" (law 4):
//! whatever cannot be proven not to have happened is [`Failure::Unknown`].

mod capability;
#[cfg(test)]
mod conformance;
mod integrity;
pub mod iso8583;
pub mod registry;
pub mod stripe;
#[cfg(test)]
mod test_requests;
#[cfg(test)]
mod test_world;
mod units;

pub use capability::{Capabilities, Method};
pub use registry::{Registry, Settings};
pub use units::Units;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The card of one attempt, as the acquirer needs it. It lives for the length of the call and is wiped after.
#[derive(Clone)]
pub enum CardSource {
    /// a published test token (`pm_card_visa`): the acquirer knows the number, we do not need it
    TestToken(String),
    /// a number from the vault or from this very request
    Number {
        /// digits
        number: Zeroizing<String>,
        /// 1 to 12
        exp_month: i16,
        /// four digits
        exp_year: i16,
        /// only when it came with this very request; it is never stored
        cvc: Option<Zeroizing<String>>,
    },
}

impl std::fmt::Debug for CardSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CardSource(..)")
    }
}

/// What to authorize. `reference` is ours, stable over retries, and doubles as the acquirer's idempotency key.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Authorize {
    pub reference: String,
    pub amount: i64,
    pub currency: String,
    pub card: CardSource,
    /// take the money in the same call
    pub capture: bool,
    pub statement_descriptor: Option<String>,
    /// how the payer may be asked to prove who they are
    pub challenge: Challenge,
    /// the card shall be charged again without the payer: the network is told, and its id of this attempt is wanted
    pub keep: bool,
    /// the network's id of the attempt by which the payer agreed to this one
    pub earlier_transaction: Option<String>,
    /// what the caller would like to do with it before it is captured
    pub wishes: Wishes,
}

/// What a caller would like to do with an authorization, if its acquirer lets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wishes {
    /// take it in several parts
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub multicapture: bool,
    /// take more than was authorized
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub overcapture: bool,
    /// raise it
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub incremental: bool,
}

/// What may be done with an authorization besides taking it once, as its acquirer grants it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Allowance {
    /// it may be taken in several parts
    pub multicapture: bool,
    /// it may be raised
    pub incremental: bool,
    /// the most that may be taken in all, where that is more than was authorized; minor units of ISO 4217
    pub amount_maximum: Option<i64>,
    /// when it lapses, where the acquirer says so
    pub capture_before: Option<jiff::Timestamp>,
}

/// Whether the issuer may, or must, challenge the payer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// the payer is not there: a wish to challenge is a decline
    pub off_session: bool,
    /// the caller cannot show a challenge: a wish to challenge is a decline, though the payer may be there
    pub impossible: bool,
    /// 3-D Secure is asked for even where the issuer would not: `any` (also without the payer's doing) or `challenge`
    pub wanted: Option<&'static str>,
    /// where the payer's browser goes afterwards
    pub return_url: Option<String>,
}

/// The issuer's word on who the payer is. It is bound to the attempt that it was made for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThreeDSecure {
    /// `challenge` or `frictionless`
    pub authentication_flow: Option<String>,
    /// `authenticated`, `attempt_acknowledged`, `failed`, `exempted`, `not_supported`, `processing_error`
    pub result: Option<String>,
    /// why, when it failed
    pub result_reason: Option<String>,
    /// 05, 06, 07; Mastercard 02, 01, 00
    pub electronic_commerce_indicator: Option<String>,
    /// of the directory server
    pub transaction_id: Option<String>,
    /// of the protocol
    pub version: Option<String>,
}

impl ThreeDSecure {
    /// Whether fraud is now the issuer's loss: an authentication, or an attempt at it that the issuer acknowledged
    /// (EMV 3DS transStatus Y or A), with the indicator that says that its cryptogram went with the authorization.
    pub fn shifts_liability(&self) -> bool {
        matches!(self.result.as_deref(), Some("authenticated" | "attempt_acknowledged"))
            && matches!(
                self.electronic_commerce_indicator.as_deref(),
                Some("05" | "06" | "02" | "01")
            )
    }
}

/// What to capture of an authorized payment.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Capture<'a> {
    /// ours, stable over retries: the acquirer's idempotency key
    pub reference: &'a str,
    pub acquirer_id: &'a str,
    /// minor units of ISO 4217
    pub amount: i64,
    pub currency: &'a str,
    /// what was taken of it before, minor units
    pub taken: i64,
    /// what is not taken is released; otherwise more parts may follow
    pub last: bool,
}

/// What to raise an authorized payment to.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Raise<'a> {
    /// ours, stable over retries: the acquirer's idempotency key
    pub reference: &'a str,
    pub acquirer_id: &'a str,
    /// the new whole, minor units of ISO 4217
    pub amount: i64,
    /// what is authorized now
    pub from: i64,
    pub currency: &'a str,
}

/// What to return of a captured payment.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Return<'a> {
    /// our refund's id, stable over retries: the acquirer's idempotency key
    pub reference: &'a str,
    /// of the payment
    pub acquirer_id: &'a str,
    /// minor units of ISO 4217
    pub amount: i64,
    pub currency: &'a str,
    pub reason: Option<&'a str>,
}

/// What to ask about an attempt: by the acquirer's id when it is known, else by our reference.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Inquiry<'a> {
    pub reference: &'a str,
    pub acquirer_id: Option<&'a str>,
    /// what we asked to authorize, in minor units of ISO 4217
    pub amount: i64,
    /// what we asked to raise it to, where nobody knows yet whether it was
    pub raised: Option<i64>,
    pub currency: &'a str,
}

/// The acquirer said yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// the acquirer's payment id
    pub acquirer_id: String,
    /// the id that the acquirer's files use (its charge)
    pub acquirer_reference: Option<String>,
    /// whether the money was taken
    pub captured: bool,
    /// what the issuer said of the payer, where it was asked
    pub three_d_secure: Option<ThreeDSecure>,
    /// the network's id of it, where it was told
    pub network_transaction_id: Option<String>,
    /// what may be done with it while it is not captured
    pub allowance: Allowance,
}

/// The acquirer will decide when the payer has done this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// the acquirer's payment id
    pub acquirer_id: String,
    /// what
    pub next: NextAction,
}

/// What a payer has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextAction {
    /// go there with a browser
    Redirect {
        /// of the issuer's challenge, or a page that leads to it
        url: String,
    },
}

/// The acquirer said no: final, and safe to tell the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decline {
    /// Stripe's error code, e.g. `card_declined`
    pub code: String,
    /// e.g. `insufficient_funds`
    pub decline_code: Option<String>,
    /// for people
    pub message: String,
    /// the acquirer's payment id, when it made one
    pub acquirer_id: Option<String>,
    /// the acquirer's charge id, when it made one
    pub acquirer_reference: Option<String>,
}

/// Why there is no approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// a definite no
    Declined(Decline),
    /// not yet: the payer has to act, then the acquirer decides
    ActionNeeded(Action),
    /// the request cannot have reached the acquirer (connection refused): nothing happened, nothing to sweep
    NotSent(String),
    /// anything may have happened: the sweep asks later
    Unknown(String),
    /// the answer is about something else than was asked: never an approval, never a decline; a person is alarmed
    Mismatch(Mismatch),
}

/// What the acquirer told otherwise than we asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// `amount`, `currency` or `reference`
    pub field: String,
    /// what we asked for
    pub ours: String,
    /// what they say
    pub theirs: String,
    /// the acquirer's payment id, where it told one
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acquirer_id: Option<String>,
    /// it says that the money was taken
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub captured: bool,
    /// what people want done about it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Box<Decision>>,
}

/// What people decided about a mismatch, or one of them proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// what
    pub resolution: Resolution,
    /// why
    pub reason: String,
    /// why one person had to do
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub override_reason: Option<String>,
    /// the key that proposed it
    pub by: String,
    /// the key that agreed; none: it is a proposal
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// when it was proposed
    pub at: jiff::Timestamp,
}

/// How a mismatch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// what the acquirer says is what was paid
    Accept,
    /// whatever the acquirer did is undone there
    Reverse,
}

impl Resolution {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Resolution::Accept => "accept",
            Resolution::Reverse => "reverse",
        }
    }
}

impl Mismatch {
    /// They say something else of this.
    pub fn new(field: &str, ours: String, theirs: String) -> Self {
        Self {
            field: field.to_owned(),
            ours,
            theirs,
            acquirer_id: None,
            captured: false,
            decision: None,
        }
    }
}

/// What an inquiry found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Found {
    /// the acquirer has never seen the reference
    Nothing,
    /// still at work there
    Processing,
    /// it waits for the payer
    ActionNeeded(Action),
    /// authorized, and not captured or not all of it; minor units
    Authorized {
        approval: Approval,
        /// as it stands now, raises included
        amount: i64,
        /// parts that were taken
        captured: i64,
    },
    /// the money was taken, and what was not taken is released; minor units
    Captured {
        approval: Approval,
        amount: i64,
    },
    Declined(Decline),
    Voided {
        acquirer_id: String,
    },
}

/// What an inquiry after a refund found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FoundRefund {
    Nothing,
    Pending {
        acquirer_id: String,
    },
    Succeeded {
        acquirer_id: String,
    },
    Failed {
        acquirer_id: String,
        reason: Option<String>,
    },
}

/// Why a refund failed that was taken back before it succeeded.
pub const CANCELED: &str = "canceled";

/// A refund that the acquirer accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundAccepted {
    /// the acquirer's refund id
    pub acquirer_id: String,
    /// whether the money is already on its way, or the acquirer tells later
    pub succeeded: bool,
}

/// A fact that an acquirer reported by callback, in our words.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Report {
    /// a payment changed (by our reference when the acquirer carries it): ask for its truth
    Payment {
        reference: Option<String>,
        acquirer_id: String,
    },
    /// a refund changed
    Refund {
        reference: Option<String>,
        acquirer_id: String,
        succeeded: Option<bool>,
        failure_reason: Option<String>,
    },
    /// a dispute changed; `kind` says what is new
    Dispute {
        kind: DisputeReport,
        dispute: AcquirerDispute,
    },
    /// a card network warned of fraud, before any dispute
    FraudWarning {
        acquirer_id: String,
        payment_acquirer_id: String,
        fraud_type: String,
    },
    /// nothing we act on
    Ignored,
}

/// What is new about a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DisputeReport {
    Created,
    Updated,
    FundsWithdrawn,
    FundsReinstated,
    Closed,
}

/// A dispute as the acquirer tells it.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct AcquirerDispute {
    pub acquirer_id: String,
    /// the acquirer's payment and charge that it is about
    pub payment_acquirer_id: Option<String>,
    pub charge_acquirer_reference: Option<String>,
    /// our reference of the attempt, when the acquirer repeats it
    pub reference: Option<String>,
    pub status: String,
    pub amount: i64,
    pub currency: String,
    pub reason: String,
    pub network_reason_code: Option<String>,
    /// unix seconds; zero when no answer is possible, none when nothing was told
    pub due_by: Option<i64>,
    /// in which phase of the network's procedure
    pub phase: DisputePhase,
    /// every movement of money about it so far, oldest first; none where the acquirer lists none
    pub moves: Vec<DisputeMove>,
    pub is_charge_refundable: bool,
}

/// A movement of money about a dispute, as the acquirer books it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DisputeMove {
    /// the acquirer's id of it
    pub id: String,
    /// principal in minor units: negative was taken, positive returned, zero for a fee alone
    pub amount: i64,
    /// fee in minor units: positive was taken, negative given back
    pub fee: i64,
    /// lower-case ISO code
    pub currency: String,
}

/// How far the network's procedure has gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DisputePhase {
    /// inquiry and first chargeback
    #[default]
    First,
    /// a loss that pre-arbitration can still turn
    Provisional,
    /// before arbitration
    PreArbitration,
    /// the network decides
    Arbitration,
}

/// A file for a dispute.
#[derive(Clone, Debug)]
pub struct EvidenceFile {
    /// plain: letters, digits, blanks, `-`, `_` and `.`
    pub filename: String,
    /// its media type
    pub media: &'static str,
    /// what is in it
    pub content: bytes::Bytes,
}

/// An acquirer.
pub trait Connector: Send + Sync + 'static {
    /// Its name in the configuration, in account dimensions and in the database.
    fn name(&self) -> &'static str;
    /// What it can do; routing never asks it for anything else.
    fn capabilities(&self) -> &'static Capabilities;
    /// Authorizes, and captures too when asked.
    fn authorize<'a>(&'a self, request: &'a Authorize) -> BoxFuture<'a, Result<Approval, Failure>>;
    /// Captures an authorized payment, in full or in part, and releases the rest unless more parts may follow.
    fn capture<'a>(&'a self, request: Capture<'a>) -> BoxFuture<'a, Result<Approval, Failure>>;
    /// Raises an authorized payment. One that is declined stands as before.
    fn raise<'a>(&'a self, request: Raise<'a>) -> BoxFuture<'a, Result<Approval, Failure>>;
    /// Releases an authorized payment, or what is left of one that was captured in part.
    fn void<'a>(&'a self, reference: &'a str, acquirer_id: &'a str) -> BoxFuture<'a, Result<(), Failure>>;
    /// Returns money of a captured payment.
    fn refund<'a>(&'a self, request: Return<'a>) -> BoxFuture<'a, Result<RefundAccepted, Failure>>;
    /// Takes back a refund that was accepted and has not succeeded yet. Most acquirers cannot.
    fn cancel_refund<'a>(
        &'a self,
        _reference: &'a str,
        _refund_acquirer_id: &'a str,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(std::future::ready(Err(Failure::Declined(Decline {
            code: "refund_not_cancelable".to_owned(),
            decline_code: None,
            message: "This acquirer takes no refund back.".to_owned(),
            acquirer_id: None,
            acquirer_reference: None,
        }))))
    }
    /// Asks what became of an attempt. Never has an effect.
    fn inquire<'a>(&'a self, request: Inquiry<'a>) -> BoxFuture<'a, Result<Found, Failure>>;
    /// Asks what became of a refund. Never has an effect.
    fn inquire_refund<'a>(&'a self, request: Return<'a>) -> BoxFuture<'a, Result<FoundRefund, Failure>>;
    /// Hands over a file that evidence will name; gives the acquirer's id of it. A repeat is harmless.
    fn upload_evidence<'a>(
        &'a self,
        reference: &'a str,
        file: &'a EvidenceFile,
    ) -> BoxFuture<'a, Result<String, Failure>>;
    /// Sends evidence for a dispute; `fields` are Stripe's evidence fields.
    fn submit_evidence<'a>(
        &'a self,
        reference: &'a str,
        dispute_acquirer_id: &'a str,
        fields: &'a serde_json::Map<String, serde_json::Value>,
        submit: bool,
    ) -> BoxFuture<'a, Result<AcquirerDispute, Failure>>;
    /// Accepts a dispute: irreversible, it is lost.
    fn close_dispute<'a>(
        &'a self,
        reference: &'a str,
        dispute_acquirer_id: &'a str,
    ) -> BoxFuture<'a, Result<AcquirerDispute, Failure>>;
    /// Proves that a callback is the acquirer's own and gives its id, type and what it reports.
    fn parse_callback(
        &self,
        headers: &http::HeaderMap,
        body: &[u8],
        now: jiff::Timestamp,
    ) -> Result<Callback, CallbackRefused>;
    /// The report inside a callback that was proven and stored earlier.
    fn report(&self, payload: &str) -> Result<Report, String>;
}

/// A proven callback.
#[derive(Clone, Debug)]
pub struct Callback {
    /// the provider's event id: a repeat is a no-op
    pub id: String,
    /// the provider's event type
    pub r#type: String,
}

/// Why a callback was not believed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallbackRefused {
    /// no or wrong signature, or too old
    #[error("the signature does not match: {0}")]
    Signature(String),
    /// not the shape of a callback
    #[error("the body is not a callback: {0}")]
    Malformed(String),
}
