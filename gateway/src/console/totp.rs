//! The second factor: time-based one-time codes (RFC 6238; SHA-1, six digits, 30 seconds, as every authenticator takes them).
//!
//! The secret is derived, never stored. A code is good for its own step and one step to either side, and once. Pure.

use crate::vault::Vault;
use aws_lc_rs::hmac;
use jiff::Timestamp;

/// Bytes of a secret: as long as the hash (RFC 4226, section 4).
const SECRET_BYTES: usize = 20;
const STEP_SECONDS: i64 = 30;
/// Steps that a clock may be off, to either side.
const SLACK: i64 = 1;

/// A person's secret. The next generation is another one.
pub struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// Of this person.
    pub fn of(vault: &Vault, user: &str, generation: i32) -> Self {
        // The prefix keeps it apart from hashes of keys and from signing secrets.
        let hash = vault.hash_key(&format!("second factor of {user} number {generation}"));
        let mut secret = [0; SECRET_BYTES];
        secret.copy_from_slice(&hash[..SECRET_BYTES]);
        Self(secret)
    }

    /// As people type it into an authenticator (RFC 4648 base 32).
    pub fn text(&self) -> String {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let bit = |at: usize| usize::from(self.0[at / 8] >> (7 - at % 8) & 1);
        (0..SECRET_BYTES * 8 / 5)
            .map(|group| ALPHABET[(0..5).fold(0, |value, at| value << 1 | bit(group * 5 + at))] as char)
            .collect()
    }

    /// As authenticators read it from a link or a QR code.
    pub fn uri(&self, user: &str) -> String {
        format!(
            "otpauth://totp/Counterfoil:{user}?secret={}&issuer=Counterfoil",
            self.text()
        )
    }

    /// The code of this moment.
    pub fn code(&self, at: Timestamp) -> String {
        self.code_of_step(step(at))
    }

    /// The step that this code belongs to, if it is one of now and is newer than the last that was taken.
    pub fn accepts(&self, code: &str, at: Timestamp, last: i64) -> Option<i64> {
        let now = step(at);
        (now - SLACK..=now + SLACK)
            .filter(|step| *step > last)
            .find(|step| subtle::ConstantTimeEq::ct_eq(self.code_of_step(*step).as_bytes(), code.as_bytes()).into())
    }

    fn code_of_step(&self, step: i64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let at = usize::from(tag[tag.len() - 1] & 0xf);
        let word = u32::from_be_bytes([tag[at] & 0x7f, tag[at + 1], tag[at + 2], tag[at + 3]]);
        format!("{:06}", word % 1_000_000)
    }
}

fn step(at: Timestamp) -> i64 {
    at.as_second().div_euclid(STEP_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a moment")
    }

    /// RFC 6238, appendix B, for SHA-1; six of its eight digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        let secret = Secret(*b"12345678901234567890");
        for (second, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret.code(at(second)), code);
        }
        assert_eq!(secret.text(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }

    #[test]
    fn a_code_is_good_once_and_for_a_minute_and_a_half() {
        let secret = Secret(*b"12345678901234567890");
        let code = secret.code(at(1_000_000));
        let taken = secret.accepts(&code, at(1_000_000), 0).expect("it is of now");
        assert_eq!(secret.accepts(&code, at(1_000_000), taken), None, "once");
        assert!(secret.accepts(&code, at(1_000_029), 0).is_some());
        assert_eq!(secret.accepts(&code, at(1_000_090), 0), None, "late");
        assert_eq!(secret.accepts(&code, at(999_900), 0), None, "early");
        for wrong in ["", "12345", "1234567", "abcdef"] {
            assert_eq!(secret.accepts(wrong, at(1_000_000), 0), None, "{wrong}");
        }
    }
}
