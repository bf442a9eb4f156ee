//! Ids as the wire shows them: a prefix that names the kind and a time-ordered suffix.
//!
//! The suffix is a UUID v7 in lower-case Crockford base 32 (26 characters), so that ids sort by creation and a primary
//! key serves "newest first" with no second index. It must never carry meaning beyond kind and time.

use crate::clock::Clock;
use std::sync::OnceLock;
use uuid::Uuid;

/// The prefixes in use; one kind of object each.
pub mod prefix {
    #![allow(missing_docs)]
    pub const PAYMENT: &str = "pi";
    pub const CHARGE: &str = "ch";
    pub const REFUND: &str = "re";
    pub const SETUP: &str = "seti";
    pub const DISPUTE: &str = "du";
    pub const CASE: &str = "case";
    pub const CASE_ENTRY: &str = "cae";
    pub const DEADLINE: &str = "dl";
    pub const SANCTION: &str = "san";
    pub const DISPUTE_MOVEMENT: &str = "dum";
    pub const DISPUTE_EXCEPTION: &str = "due";
    pub const REVIEW: &str = "prv";
    pub const EVENT: &str = "evt";
    pub const CUSTOMER: &str = "cus";
    pub const PAYMENT_METHOD: &str = "pm";
    pub const BALANCE_TRANSACTION: &str = "txn";
    pub const WEBHOOK_ENDPOINT: &str = "we";
    pub const REQUEST: &str = "req";
    pub const ACCOUNT: &str = "acct";
    pub const PAYOUT: &str = "po";
    pub const PAYOUT_FILE: &str = "pof";
    pub const BANK_ACCOUNT: &str = "ba";
    pub const RESERVE_LOT: &str = "rsv";
    pub const APPLICATION_FEE: &str = "fee";
    pub const FEE_REFUND: &str = "fr";
    pub const FILE: &str = "file";
    pub const RECEIPT: &str = "rcpt";
    pub const TERMS: &str = "trm";
    pub const CARD: &str = "card";
    pub const KEY: &str = "key";
    pub const WEBHOOK_SECRET: &str = "whs";
    pub const DELIVERY: &str = "whd";
    pub const AUDIT_EVENT: &str = "aud";
    pub const RISK_RULE: &str = "rule";
    pub const VALUE_LIST: &str = "rsl";
    pub const VALUE_LIST_ITEM: &str = "rsli";
    pub const EARLY_FRAUD_WARNING: &str = "issfr";
    pub const BLOCK_APPEAL: &str = "rba";
    pub const RISK_SIGNAL: &str = "rsig";
    pub const RECONCILIATION: &str = "rec";
    pub const SETTLEMENT_BREAK: &str = "brk";
    pub const APPROVAL: &str = "apr";
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A new id of the given kind, ordered by the moment of the call.
pub fn new(prefix: &str) -> String {
    from_uuid(prefix, uuid())
}

/// A new time-ordered UUID. It carries the server's time, or that of the clock which ids [follow].
pub fn uuid() -> Uuid {
    let uuid = Uuid::now_v7();
    let Some(behind) = FOLLOWED
        .get()
        .map(|clock| clock.behind_by().as_millis())
        .filter(|by| *by != 0)
    else {
        return uuid;
    };
    let milliseconds = (uuid.as_u128() >> 80).saturating_add_signed(-behind);
    Uuid::from_u128(milliseconds << 80 | uuid.as_u128() & ((1 << 80) - 1))
}

/// From here on ids carry the time of this clock: for a month of demonstration data, whose ids must be as old as it is.
pub fn follow(clock: Clock) {
    // The first one stays: ids never go back.
    let _ = FOLLOWED.set(clock);
}

static FOLLOWED: OnceLock<Clock> = OnceLock::new();

/// The least id of this kind that can have been made at this moment or later: where a list since then begins.
pub fn floor(prefix: &str, at: jiff::Timestamp) -> String {
    let milliseconds = u128::try_from(at.as_millisecond()).unwrap_or_default();
    from_uuid(prefix, Uuid::from_u128(milliseconds << 80))
}

/// 96 random bits in hexadecimal: for what must not be guessed, as ids may be.
pub fn random() -> String {
    let mut bytes = [0u8; 12];
    rand::RngCore::fill_bytes(&mut rand::rng(), &mut bytes);
    hex::encode(bytes)
}

/// The id that stands for this UUID.
pub fn from_uuid(prefix: &str, uuid: Uuid) -> String {
    let mut id = String::with_capacity(prefix.len() + 27);
    id.push_str(prefix);
    id.push('_');
    let bits = uuid.as_u128();
    for position in (0..26).rev() {
        id.push(ALPHABET[((bits >> (position * 5)) & 31) as usize] as char);
    }
    id
}

/// The UUID that an id of this kind stands for.
pub fn to_uuid(prefix: &str, id: &str) -> Option<Uuid> {
    let suffix = id.strip_prefix(prefix)?.strip_prefix('_')?;
    if suffix.len() != 26 {
        return None;
    }
    suffix
        .bytes()
        .try_fold(0u128, |bits, c| {
            let value = ALPHABET.iter().position(|letter| *letter == c)?;
            (bits >> 123 == 0).then_some(bits << 5 | value as u128)
        })
        .map(Uuid::from_u128)
}

/// The kind that an id names, if it has the shape of one of ours.
pub fn kind(id: &str) -> Option<&str> {
    id.rsplit_once('_').map(|(prefix, _)| prefix)
}

/// Whether a caller's string can be an id of this kind: checked before it reaches a query or a log line.
pub fn is_valid(prefix: &str, id: &str) -> bool {
    id.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .is_some_and(|suffix| {
            !suffix.is_empty() && suffix.len() <= 64 && suffix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_creation() {
        let ids: Vec<String> = (0..1000).map(|_| new(prefix::PAYMENT)).collect();
        let mut sorted = ids.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(ids, sorted);
    }

    #[test]
    fn shape_is_checked() {
        assert!(is_valid("pi", &new("pi")));
        for wrong in ["pi_", "pi", "ch_0", "pi_a/../b", "pi_a b", "pi_\u{0}", "pi_é"] {
            assert!(!is_valid("pi", wrong), "{wrong}");
        }
    }
}
