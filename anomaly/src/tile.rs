//! Counts of attempts, and rings of them: stretches of time of one width, the oldest dropped as time goes on. Must never
//! hold more tiles than it was told to keep.

use crate::few::heap_bytes;
use crate::window::{Observation, TILES, Totals, Window};
use serde::{Deserialize, Serialize};
use smallvec::{Array, SmallVec};

/// Sums over attempts. A tile's counts stop at 2^27, so that no sum of tiles can pass 32 bits; the sum of amounts wraps, so
/// that no input can make it panic.
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
    #[inline]
    pub(crate) fn one(flags: u8, amount_minor: Option<i64>) -> Self {
        Counts {
            amount_minor: amount_minor.unwrap_or(0),
            priced: u32::from(amount_minor.is_some()),
            ..BY_FLAGS[flags as usize]
        }
    }

    /// Its outcome alone: the attempt is counted already.
    pub(crate) fn without_the_attempt(self) -> Self {
        Counts { attempts: 0, ..self }
    }

    const fn of_flags(flags: u8) -> Self {
        const fn has(flags: u8, flag: u8) -> u32 {
            (flags & flag != 0) as u32
        }
        Counts {
            amount_minor: 0,
            attempts: 1,
            priced: 0,
            approved: has(flags, Observation::APPROVED),
            declined: has(flags, Observation::DECLINED),
            bad_number: has(flags, Observation::BAD_NUMBER),
            bad_cvc: has(flags, Observation::BAD_CVC),
            small: has(flags, Observation::SMALL),
            repeats: has(flags, Observation::REPEAT),
            probes: has(flags, Observation::PROBE),
            outliers: has(flags, Observation::OUTLIER),
            labelled: 0,
            frauds: 0,
        }
    }

    // wrapping, because that is one vector instruction for four counts; see the bound above
    #[inline]
    pub(crate) fn merge(&mut self, other: &Counts) {
        self.amount_minor = self.amount_minor.wrapping_add(other.amount_minor);
        self.attempts = self.attempts.wrapping_add(other.attempts);
        self.priced = self.priced.wrapping_add(other.priced);
        self.approved = self.approved.wrapping_add(other.approved);
        self.declined = self.declined.wrapping_add(other.declined);
        self.bad_number = self.bad_number.wrapping_add(other.bad_number);
        self.bad_cvc = self.bad_cvc.wrapping_add(other.bad_cvc);
        self.small = self.small.wrapping_add(other.small);
        self.repeats = self.repeats.wrapping_add(other.repeats);
        self.probes = self.probes.wrapping_add(other.probes);
        self.outliers = self.outliers.wrapping_add(other.outliers);
        self.labelled = self.labelled.wrapping_add(other.labelled);
        self.frauds = self.frauds.wrapping_add(other.frauds);
    }
}

/// What an attempt counts by its flags: looked up, because a busy key adds up a hundred of them for every payment.
static BY_FLAGS: [Counts; 256] = {
    let mut counts = [Counts::of_flags(0); 256];
    let mut flags = 0;
    while flags < 256 {
        counts[flags] = Counts::of_flags(flags as u8);
        flags += 1;
    }
    counts
};

impl Counts {
    /// Leaves out what a [`Day`] does not count.
    pub(crate) fn keep_what_days_hold(&mut self) {
        *self = Counts {
            approved: 0,
            bad_number: 0,
            bad_cvc: 0,
            small: 0,
            repeats: 0,
            probes: 0,
            ..*self
        };
    }
}

/// Sums over one stretch of time.
pub(crate) trait Tile: Copy {
    /// As many as lie in place, without room of their own.
    type Room: Array<Item = Self>;
    fn new(number: i32) -> Self;
    /// Which stretch this is: event time divided by the width.
    fn number(&self) -> i32;
    fn add(&mut self, counts: &Counts);
    fn add_to(&self, totals: &mut Counts);
}

/// All counts, of a busy key: one cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Minute {
    counts: Counts,
    number: i32,
}

impl Tile for Minute {
    type Room = [Minute; TILES + 2]; // all of them, and one that is about to go

    fn new(number: i32) -> Self {
        Minute {
            counts: Counts::default(),
            number,
        }
    }

    fn number(&self) -> i32 {
        self.number
    }

    fn add(&mut self, counts: &Counts) {
        if self.counts.attempts < COUNT_MAX {
            self.counts.merge(counts);
        }
    }

    fn add_to(&self, totals: &mut Counts) {
        totals.merge(&self.counts);
    }
}

/// What one tile counts at most: 32 tiles of it fit 32 bits.
const COUNT_MAX: u32 = 1 << 27;

/// What windows over days and weeks need, for every key: a third of a cache line. A tile that reaches 65,535 is halved, sum and
/// counts alike: of the busiest keys the long windows tell shares and means, and no longer numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Day {
    amount_minor: i64,
    number: i32,
    attempts: u16,
    priced: u16,
    declined: u16,
    outliers: u16,
    labelled: u16,
    frauds: u16,
}

impl Tile for Day {
    type Room = [Day; 6]; // a card that is used once a week for a month

    fn new(number: i32) -> Self {
        Day {
            amount_minor: 0,
            number,
            attempts: 0,
            priced: 0,
            declined: 0,
            outliers: 0,
            labelled: 0,
            frauds: 0,
        }
    }

    fn number(&self) -> i32 {
        self.number
    }

    fn add(&mut self, counts: &Counts) {
        if self.attempts.max(self.labelled) == u16::MAX {
            self.amount_minor /= 2;
            for count in [
                &mut self.attempts,
                &mut self.priced,
                &mut self.declined,
                &mut self.outliers,
                &mut self.labelled,
                &mut self.frauds,
            ] {
                *count /= 2;
            }
        }
        // one attempt or label at a time: none of the counts passes the largest
        self.amount_minor = self.amount_minor.wrapping_add(counts.amount_minor);
        self.attempts += counts.attempts as u16;
        self.priced += counts.priced as u16;
        // an outcome may come after its attempt was halved
        self.declined = self.declined.saturating_add(counts.declined as u16);
        self.outliers += counts.outliers as u16;
        self.labelled += counts.labelled as u16;
        self.frauds += counts.frauds as u16;
    }

    fn add_to(&self, totals: &mut Counts) {
        totals.amount_minor = totals.amount_minor.wrapping_add(self.amount_minor);
        totals.attempts += u32::from(self.attempts);
        totals.priced += u32::from(self.priced);
        totals.declined += u32::from(self.declined);
        totals.outliers += u32::from(self.outliers);
        totals.labelled += u32::from(self.labelled);
        totals.frauds += u32::from(self.frauds);
    }
}

/// Tiles that are not empty, oldest first; tiles of a second width may follow (see [`Shape`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>"))]
pub(crate) struct Ring<T: Tile>(#[serde(with = "crate::few")] SmallVec<T::Room>);

impl<T: Tile> Default for Ring<T> {
    fn default() -> Self {
        Ring(SmallVec::new())
    }
}

/// Tiles of one width, as many as are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    width_ms: i64,
    pub keep: usize,
    /// Tiles with numbers from here on up belong to it.
    offset: i32,
}

impl Shape {
    pub const fn first(width_ms: i64, keep: usize) -> Self {
        Shape {
            width_ms,
            keep,
            offset: 0,
        }
    }

    /// A second kind of tiles in the same ring: their numbers are moved out of the way of the first's.
    pub const fn second(width_ms: i64, keep: usize) -> Self {
        Shape {
            width_ms,
            keep,
            offset: 1 << 30,
        }
    }

    fn number(&self, at_ms: i64) -> i32 {
        let number = at_ms.div_euclid(self.width_ms);
        number.clamp(-i64::from(REACH) + 1, i64::from(REACH) - 1) as i32 + self.offset
    }
}

/// Tiles of one shape are never further apart, those of two never nearer.
const REACH: i32 = 1 << 29;

impl<T: Tile> Ring<T> {
    /// Adds to the tile at `at_ms`; older than the newest stretches that are kept is ignored.
    pub fn add(&mut self, at_ms: i64, shape: Shape, counts: &Counts) {
        let number = shape.number(at_ms);
        let after = self
            .0
            .iter()
            .rposition(|tile| tile.number() <= number)
            .map_or(0, |before| before + 1);
        if let Some(tile) = after.checked_sub(1).map(|before| &mut self.0[before])
            && tile.number() == number
        {
            return tile.add(counts);
        }
        let same_shape = |tile: &T| (i64::from(tile.number()) - i64::from(number)).abs() < i64::from(REACH);
        let newer = self.0[after..].iter().rev().find(|tile| same_shape(tile));
        let oldest = newer.map_or(number, Tile::number) - shape.keep as i32 + 1;
        if number < oldest {
            return;
        }
        let mut tile = T::new(number);
        tile.add(counts);
        self.0.insert(after, tile);
        let expired = |tile: &T| tile.number() < oldest && same_shape(tile);
        if let Some(first) = self.0.iter().position(expired) {
            let last = self.0.iter().rposition(expired).unwrap_or(first);
            self.0.drain(first..last + 1);
        }
    }

    /// Adds up the tiles that each of these windows, the shortest first, touches when it ends at `at_ms`: one walk for all.
    pub fn sum<const WINDOWS: usize>(
        &self,
        at_ms: i64,
        shape: Shape,
        windows: [Window; WINDOWS],
        totals: &mut [Totals; 7],
    ) {
        let last = shape.number(at_ms);
        let mut newest_first = self.0.iter().rev().skip_while(|tile| tile.number() > last).peekable();
        let mut running = Counts::default();
        for window in windows {
            let first = shape.number(at_ms.saturating_sub(window.length_ms()));
            while let Some(tile) = newest_first.next_if(|tile| tile.number() >= first) {
                tile.add_to(&mut running);
            }
            totals[window as usize].counts.merge(&running);
        }
    }

    /// Reads a little of each cache line.
    pub fn touch(&self) -> i64 {
        self.0
            .iter()
            .step_by(3)
            .fold(0, |all, tile| all ^ i64::from(tile.number()))
    }

    /// From content alone.
    pub fn heap_bytes(&self) -> usize {
        heap_bytes::<T::Room>(self.0.len())
    }
}
