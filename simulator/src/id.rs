//! Object ids: a kind's prefix and one 64-bit serial, so that an id is 8 bytes in memory and a table lookup is an index.
//!
//! The serial holds the epoch of the state directory (24 random bits) above a per-kind counter: two simulators, or one whose
//! directory was wiped, never hand out the same id. Must never be used as a secret: the counter can be guessed.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// One object's serial within its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(u64);

impl Id {
    /// The `index`-th object of its kind in the directory marked by `epoch`.
    pub fn new(epoch: u32, index: usize) -> Self {
        Self(u64::from(epoch & EPOCH_MASK) << COUNTER_BITS | index as u64)
    }

    /// Position in the kind's table.
    pub fn index(self) -> usize {
        (self.0 & ((1 << COUNTER_BITS) - 1)) as usize
    }

    /// The id as it appears on the wire.
    pub fn named(self, prefix: &'static str) -> Named {
        Named { prefix, id: self }
    }

    /// Reads `text` if it is an id of the kind with this prefix.
    pub fn parse(prefix: &str, text: &str) -> Option<Self> {
        let digits = text.strip_prefix(prefix)?.strip_prefix(MARK)?;
        if digits.len() != DIGITS {
            return None;
        }
        digits
            .bytes()
            .try_fold(0u64, |sum, byte| {
                let digit = ALPHABET.iter().position(|&c| c == byte)? as u64;
                sum.checked_mul(62)?.checked_add(digit)
            })
            .map(Self)
    }

    /// A number spread over 64 bits, for fields that look random (authorization codes, client secrets).
    pub fn scattered(self) -> u64 {
        let mut x = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

/// Displays and serialises as `pi_3C…`.
#[derive(Clone, Copy)]
pub struct Named {
    prefix: &'static str,
    id: Id,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0u8; DIGITS];
        let mut rest = self.id.0;
        for digit in digits.iter_mut().rev() {
            *digit = ALPHABET[(rest % 62) as usize];
            rest /= 62;
        }
        f.write_str(self.prefix)?;
        f.write_str(MARK)?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

const COUNTER_BITS: u32 = 40;
const EPOCH_MASK: u32 = 0x00ff_ffff;
/// 62^11 > 2^64.
const DIGITS: usize = 11;
const MARK: &str = "3C";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_keeps_its_index() {
        for index in [0, 1, 61, 62, 5_000_000] {
            let id = Id::new(0x00ab_cdef, index);
            let text = id.named("pi_").to_string();
            assert_eq!(Id::parse("pi_", &text), Some(id));
            assert_eq!(id.index(), index);
            assert_eq!(Id::parse("ch_", &text), None);
        }
        assert_eq!(Id::parse("pi_", "pi_3Czzzzzzzzzzz"), None, "above 64 bits");
        assert_eq!(Id::parse("pi_", "pi_nonexistent"), None);
    }
}
