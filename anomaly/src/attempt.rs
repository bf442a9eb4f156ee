//! The input: one payment attempt and, later, its outcome. Must never carry a card number, an address or a name: every
//! identity is a hash made by [`key`] or, for cards, of the keyed fingerprint.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One attempt to pay, as far as it is known before it is sent to the acquirer. What is `None` was not given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When the attempt was made, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Merchant id, by [`key`].
    pub merchant: u64,
    /// Terminal or listing at the merchant, by [`key`].
    #[serde(default)]
    pub terminal: Option<u64>,
    /// Amount in minor units of `currency`.
    pub amount_minor: i64,
    /// ISO 4217 code.
    pub currency: [u8; 3],
    /// Digits after the decimal point of `currency`.
    pub exponent: u8,
    /// Card fingerprint, by [`key`].
    pub card: Option<u64>,
    /// First 6 or 8 digits of the card.
    pub bin: Option<u32>,
    /// Customer id, by [`key`].
    pub customer: Option<u64>,
    /// Lower-cased e-mail address, by [`key`].
    pub email: Option<u64>,
    /// The buyer's address, never that of the merchant's server.
    pub ip: Option<IpAddr>,
    /// Device or browser id, by [`key`].
    pub device: Option<u64>,
    /// Whether a CVC came with the attempt.
    pub cvc_provided: bool,
    /// Whether the buyer is absent (subscription, instalment): no CVC is expected then.
    pub off_session: bool,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The issuer approved it.
    Approved,
    /// The issuer or the acquirer declined it.
    Declined {
        /// The class of the decline.
        code: DeclineKind,
    },
    /// We blocked it: the issuer never saw it.
    Blocked,
    /// Not known (yet), a time-out for instance. It counts as an attempt, neither approved nor declined.
    Unknown,
}

/// Classes of declines that mean different things about the one who pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeclineKind {
    /// No reason given.
    Generic,
    /// No such card: the number was guessed.
    IncorrectNumber,
    /// Wrong CVC: the CVC was guessed.
    IncorrectCvc,
    /// Wrong or past expiry date.
    Expired,
    /// No money: says nothing about fraud.
    InsufficientFunds,
    /// Reported lost or stolen.
    LostOrStolen,
    /// The issuer suspects fraud.
    Fraudulent,
}

/// What became known about an attempt, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// When it became known, in milliseconds since the Unix epoch: never used before.
    pub known_ms: i64,
    /// What.
    pub verdict: Verdict,
}

/// Whether an attempt was fraud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was: a dispute, an early warning, a refund or a review said so.
    Fraud,
    /// It was not: a review said so, or the time in which one would have heard is over.
    Genuine,
    /// An earlier `Fraud` was wrong: the dispute was won, the cardholder remembered.
    Withdrawn,
}

/// Hash of an id: FNV-1a over its UTF-8 bytes (64 bit, standard offset and prime), then the finalizer of SplitMix64.
/// Stored with history, so the algorithm never changes. Not a secret: hash card numbers with a keyed hash first.
pub fn key(id: &str) -> u64 {
    mix(id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }))
}

/// The finalizer of SplitMix64: spreads every input bit over all output bits.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_the_same_in_every_version() {
        assert_eq!(key(""), mix(0xcbf2_9ce4_8422_2325));
        assert_eq!(
            mix(1),
            0x5692_161d_100b_05e5,
            "published value of SplitMix64's finalizer"
        );
        assert_ne!(key("acct_1"), key("acct_2"));
    }
}
