//! Counts of attempts, and rings of them: stretches of time of one width, the oldest dropped as time goes on. Must never
//! hold more tiles than it was told to keep.

use crate::window::{Observation, Window};
use serde::{Deserialize, Serialize};

/// Sums over attempts. Counts stop at their limits; the sum of amounts wraps, so that no input can make it panic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Sum of the amounts in the currency asked for.
    pub amount_minor: i64,
    /// Attempts, whatever became of them.
    pub attempts: u32,
    /// Of these, in the currency of `amount_minor`.
    pub priced: u32,
    /// Approved.
    pub approved: u32,
    /// Declined.
    pub declined: u32,
    /// Declined: no such number.
    pub bad_number: u32,
    /// Declined: wrong CVC.
    pub bad_cvc: u32,
    /// With a small amount.
    pub small: u32,
    /// With the amount of the attempt before.
    pub repeats: u32,
    /// Declined on a card never seen before.
    pub probes: u32,
    /// With an amount far above the key's own mean.
    pub outliers: u32,
    /// Attempts about which it became known in this time whether they were fraud.
    pub labelled: u32,
    /// Of these, fraud.
    pub frauds: u32,
}

impl Counts {
    /// One attempt with the flags of an [`Observation`]; its amount if it counts.
    pub(crate) fn one(flags: u8, amount_minor: Option<i64>) -> Self {
        let has = |flag: u8| u32::from(flags & flag != 0);
        Counts {
            amount_minor: amount_minor.unwrap_or(0),
            attempts: 1,
            priced: u32::from(amount_minor.is_some()),
            approved: has(Observation::APPROVED),
            declined: has(Observation::DECLINED),
            bad_number: has(Observation::BAD_NUMBER),
            bad_cvc: has(Observation::BAD_CVC),
            small: has(Observation::SMALL),
            repeats: has(Observation::REPEAT),
            probes: has(Observation::PROBE),
            outliers: has(Observation::OUTLIER),
            labelled: 0,
            frauds: 0,
        }
    }

    pub(crate) fn merge(&mut self, other: &Counts) {
        self.amount_minor = self.amount_minor.wrapping_add(other.amount_minor);
        self.attempts = self.attempts.saturating_add(other.attempts);
        self.priced = self.priced.saturating_add(other.priced);
        self.approved = self.approved.saturating_add(other.approved);
        self.declined = self.declined.saturating_add(other.declined);
        self.bad_number = self.bad_number.saturating_add(other.bad_number);
        self.bad_cvc = self.bad_cvc.saturating_add(other.bad_cvc);
        self.small = self.small.saturating_add(other.small);
        self.repeats = self.repeats.saturating_add(other.repeats);
        self.probes = self.probes.saturating_add(other.probes);
        self.outliers = self.outliers.saturating_add(other.outliers);
        self.labelled = self.labelled.saturating_add(other.labelled);
        self.frauds = self.frauds.saturating_add(other.frauds);
    }
}

/// The tiles that are not empty, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ring(Vec<Tile>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Tile {
    /// Which stretch of time this is: event time divided by the width.
    number: i64,
    counts: Counts,
}

impl Ring {
    pub const EMPTY: Ring = Ring(Vec::new());

    /// Adds to the tile at `at_ms`; older than the `keep` newest stretches is ignored.
    pub fn add(&mut self, at_ms: i64, width_ms: i64, keep: usize, counts: &Counts) {
        let number = at_ms.div_euclid(width_ms);
        let newest = self.0.last().map_or(number, |tile| tile.number.max(number));
        let oldest = newest.saturating_sub(keep as i64 - 1);
        if number < oldest {
            return;
        }
        let expired = self.0.iter().take_while(|tile| tile.number < oldest).count();
        self.0.drain(..expired);
        let place = self.0.iter().rposition(|tile| tile.number <= number);
        match place {
            Some(place) if self.0[place].number == number => self.0[place].counts.merge(counts),
            _ => self.0.insert(
                place.map_or(0, |before| before + 1),
                Tile {
                    number,
                    counts: *counts,
                },
            ),
        }
    }

    /// Adds up the tiles that the window ending at `at_ms` touches.
    pub fn sum(&self, at_ms: i64, window: Window, totals: &mut Counts) {
        let last = at_ms.div_euclid(window.tile_ms());
        let first = at_ms.saturating_sub(window.length_ms()).div_euclid(window.tile_ms());
        let newest_first = self.0.iter().rev().skip_while(|tile| tile.number > last);
        for tile in newest_first.take_while(|tile| tile.number >= first) {
            totals.merge(&tile.counts);
        }
    }

    /// From content alone.
    pub fn heap_bytes(&self) -> usize {
        if self.0.is_empty() {
            0
        } else {
            Ring::bytes_of(self.0.len())
        }
    }

    /// Bytes of so many tiles on the heap.
    pub const fn bytes_of(tiles: usize) -> usize {
        let room = tiles.next_power_of_two();
        (if room < 4 { 4 } else { room }) * size_of::<Tile>()
    }
}
