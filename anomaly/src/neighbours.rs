//! Who was seen with a key, and when last: the edges of the graph between cards, addresses, devices and merchants. Must
//! never hold more than [`Neighbours::BYTES_MAX`], however many come.

use crate::attempt::mix;
use crate::few::heap_bytes;
use crate::window::Window;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// Counterparts that are kept one by one; beyond, their number is estimated.
pub const EXACT_MAX: usize = 128;
const SLOTS: usize = 256;
/// Counterparts that need no room of their own: one or two cards a person.
const IN_PLACE: usize = 2;

/// Counterparts of one key with the second in which each was last seen. Up to [`EXACT_MAX`] in 90 days they are known by 32
/// bits of their hash; beyond, they share 256 slots and are counted by how many slots are filled (within a sixth up to
/// five hundred; the estimate ends at 1,568).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Neighbours {
    Few(#[serde(with = "crate::few")] SmallVec<[Seen; IN_PLACE]>),
    Many(Vec<i32>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    key: u32,
    last_s: i32,
}

impl Default for Neighbours {
    fn default() -> Self {
        Neighbours::Few(SmallVec::new())
    }
}

impl Neighbours {
    pub const BYTES_MAX: usize = SLOTS * size_of::<i32>();

    /// Remembers that this counterpart (0 is none) was there at this time.
    pub fn observe(&mut self, counterpart: u64, at_ms: i64) {
        if counterpart == 0 {
            return;
        }
        let (hash, at_s) = (mix(counterpart), seconds(at_ms));
        match self {
            Neighbours::Few(few) => {
                let key = (hash >> 32) as u32;
                match few.iter_mut().find(|seen| seen.key == key) {
                    Some(seen) => seen.last_s = seen.last_s.max(at_s),
                    None => few.push(Seen { key, last_s: at_s }),
                }
                if few.len() > EXACT_MAX {
                    let from_s = seconds(at_ms.saturating_sub(Window::D90.length_ms()));
                    few.retain(|seen| seen.last_s >= from_s);
                }
                if few.len() > EXACT_MAX {
                    let mut slots = vec![NEVER; SLOTS];
                    few.iter().for_each(|seen| fill(&mut slots, seen.key, seen.last_s));
                    *self = Neighbours::Many(slots);
                }
            }
            Neighbours::Many(slots) => fill(slots, (hash >> 32) as u32, at_s),
        }
    }

    /// Distinct counterparts in the windows that end at `at_ms`, in the order of [`Window::ALL`]; to the second, and those
    /// seen later count.
    pub fn distinct(&self, at_ms: i64) -> [u32; 7] {
        // eight lanes, so that a counterpart is compared with all windows in two vector instructions; no second is in the last
        let mut from_s = [i32::MAX; 8];
        for (from_s, window) in from_s.iter_mut().zip(Window::ALL) {
            *from_s = seconds(at_ms.saturating_sub(window.length_ms())) - 1;
        }
        let mut counts = [0i32; 8];
        let mut count = |last_s: i32| {
            for (count, from_s) in counts.iter_mut().zip(from_s) {
                *count += i32::from(last_s > from_s);
            }
        };
        match self {
            Neighbours::Few(few) => few.iter().for_each(|seen| count(seen.last_s)),
            Neighbours::Many(slots) => slots.iter().for_each(|last_s| count(*last_s)),
        }
        let mut distinct = [0; 7];
        for (distinct, count) in distinct.iter_mut().zip(counts) {
            *distinct = match self {
                Neighbours::Few(_) => count.cast_unsigned(),
                Neighbours::Many(_) => DISTINCT[count.cast_unsigned() as usize % DISTINCT.len()],
            };
        }
        distinct
    }

    /// Reads a little of each cache line.
    pub fn touch(&self) -> i64 {
        match self {
            Neighbours::Few(few) => few.iter().step_by(8).fold(0, |all, seen| all ^ i64::from(seen.last_s)),
            Neighbours::Many(slots) => slots.first().map_or(0, |last_s| i64::from(*last_s)),
        }
    }

    pub fn heap_bytes(&self) -> usize {
        match self {
            Neighbours::Few(few) => heap_bytes::<[Seen; IN_PLACE]>(few.len()),
            Neighbours::Many(_) => Neighbours::BYTES_MAX,
        }
    }
}

fn fill(slots: &mut [i32], key: u32, last_s: i32) {
    if let Some(slot) = slots.get_mut(key as usize % SLOTS) {
        *slot = (*slot).max(last_s);
    }
}

/// Seconds since 2020 began, within what 31 bits hold (until 2088): signed numbers compare four at a time.
fn seconds(at_ms: i64) -> i32 {
    (at_ms.div_euclid(1_000) - 1_577_836_800).clamp(i64::from(NEVER) + 1, i64::from(i32::MAX)) as i32
}

const NEVER: i32 = i32::MIN;

/// How many distinct keys it takes, on average, to fill so many slots: the coupon collector's sum, in integers so that every
/// platform gets the same figure.
const DISTINCT: [u32; SLOTS + 1] = {
    let mut table = [0; SLOTS + 1];
    let (mut filled, mut expected_1024ths) = (0, 0u32);
    while filled < SLOTS {
        expected_1024ths += 1024 * SLOTS as u32 / (SLOTS - filled) as u32;
        filled += 1;
        table[filled] = (expected_1024ths + 512) / 1024;
    }
    table
};
