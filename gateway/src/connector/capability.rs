//! What a connector can do. One static table per acquirer, read by routing and shown to callers.
//!
//! It must never say more than the conformance suite has seen.

use serde::{Deserialize, Serialize};

/// A way of paying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// by card number
    Card,
}

impl Method {
    /// The word on the wire and in rules.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Card => "card",
        }
    }
}

/// What an acquirer can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// ways of paying
    pub methods: &'static [Method],
    /// lower-case codes; `None`: every currency
    pub currencies: Option<&'static [&'static str]>,
    /// less than what was authorized may be captured
    pub partial_capture: bool,
    /// an authorization may be captured in several parts
    pub multiple_capture: bool,
    /// more than was authorized may be captured, as far as the authorization says
    pub overcapture: bool,
    /// an authorization may be raised
    pub incremental_authorization: bool,
    /// an accepted refund may stay pending, and be told later
    pub refund_may_pend: bool,
    /// the issuer can be asked to challenge the payer (3-D Secure)
    pub three_d_secure: bool,
    /// it reports chargebacks and takes evidence
    pub disputes: bool,
    /// it knows the published test tokens (`pm_card_visa`) by itself
    pub test_tokens: bool,
}

impl Capabilities {
    /// Whether it takes payments of this kind.
    pub fn takes(&self, method: Method, currency: &str) -> bool {
        self.methods.contains(&method) && self.currencies.is_none_or(|known| known.contains(&currency))
    }
}
