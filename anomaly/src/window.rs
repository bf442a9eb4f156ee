//! Sliding windows over the attempts of one key (a card, an IP address, a merchant), in event time.
//!
//! **Exactness.** Up to [`EXACT_MAX`] attempts in 24 hours the history is a log, and every figure is exact over the
//! half-open interval `(t - window, t]`. A busier key is kept as [`TILES`] tiles per window instead: a window then
//! reaches back to the tile edge, so it sees between one window and one window plus 1/60 of it (never less, so a burst
//! cannot hide), and distinct counts are estimated from 256-bit maps (within a sixth up to 500; they end at 1,568).
//! After 24 idle hours and a tile the key is exact again.
//!
//! **Late attempts** are put where they belong in time. A log forgets what is 24 hours older than its newest attempt, a
//! tile what is one window older; anything later than that is ignored. Arrival order changes nothing else.
//!
//! Must never grow with traffic: a log is at most 5 kB, tiles are 18 kB.

use crate::attempt::mix;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Attempts of one key in 24 hours that are kept one by one.
pub const EXACT_MAX: usize = 128;
/// Tiles per window: 60 cover it, one more holds the edge.
pub const TILES: usize = 61;

/// How far back a figure looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// One minute.
    M1,
    /// Ten minutes.
    M10,
    /// One hour.
    H1,
    /// 24 hours.
    H24,
}

impl Window {
    /// All, shortest first.
    pub const ALL: [Window; 4] = [Window::M1, Window::M10, Window::H1, Window::H24];

    /// Length in milliseconds.
    pub const fn length_ms(self) -> i64 {
        match self {
            Window::M1 => 60_000,
            Window::M10 => 600_000,
            Window::H1 => 3_600_000,
            Window::H24 => 86_400_000,
        }
    }
}

/// One attempt as a window sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Minor units of `currency`.
    pub amount_minor: i64,
    /// What distinct counts count: the card, or for a card its IP address. 0 is none.
    pub counterpart: u64,
    /// ISO 4217 code.
    pub currency: [u8; 3],
    /// Any of the flags below.
    pub flags: u8,
}

impl Observation {
    /// The issuer approved it.
    pub const APPROVED: u8 = 1;
    /// It was declined.
    pub const DECLINED: u8 = 1 << 1;
    /// It was declined because there is no such card number.
    pub const BAD_NUMBER: u8 = 1 << 2;
    /// It was declined for its CVC.
    pub const BAD_CVC: u8 = 1 << 3;
    /// Its amount was small.
    pub const SMALL: u8 = 1 << 4;
    /// It had the same amount and currency as the key's attempt before it.
    pub const REPEAT: u8 = 1 << 5;

    fn has(&self, flag: u8) -> u32 {
        u32::from(self.flags & flag != 0)
    }
}

/// What one window holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Attempts, whatever became of them.
    pub attempts: u32,
    /// Of these, approved.
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
    /// Distinct counterparts.
    pub distinct: u32,
    /// Sum of the amounts in the currency asked for; saturates. (Of a tiled key only its first currency is summed.)
    pub amount_minor: i64,
}

impl Totals {
    fn add(&mut self, o: &Observation) {
        self.attempts += 1;
        self.approved += o.has(Observation::APPROVED);
        self.declined += o.has(Observation::DECLINED);
        self.bad_number += o.has(Observation::BAD_NUMBER);
        self.bad_cvc += o.has(Observation::BAD_CVC);
        self.small += o.has(Observation::SMALL);
        self.repeats += o.has(Observation::REPEAT);
    }

    fn merge(&mut self, t: &Tile) {
        self.attempts = self.attempts.saturating_add(t.attempts);
        self.approved = self.approved.saturating_add(t.approved);
        self.declined = self.declined.saturating_add(t.declined);
        self.bad_number = self.bad_number.saturating_add(t.bad_number);
        self.bad_cvc = self.bad_cvc.saturating_add(t.bad_cvc);
        self.small = self.small.saturating_add(t.small);
        self.repeats = self.repeats.saturating_add(t.repeats);
    }
}

/// The recent attempts of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History(Form);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Form {
    Exact(VecDeque<Logged>),
    Tiled(Box<Tiled>),
}

impl Default for History {
    fn default() -> Self {
        History(Form::Exact(VecDeque::new()))
    }
}

impl History {
    /// Adds one attempt at its place in time.
    pub fn observe(&mut self, o: &Observation) {
        match &mut self.0 {
            Form::Exact(log) => {
                insert(log, o);
                if log.len() > EXACT_MAX {
                    let mut tiled = Box::new(Tiled::new(log[0].observation.currency));
                    log.iter().for_each(|logged| tiled.observe(&logged.observation));
                    self.0 = Form::Tiled(tiled);
                }
            }
            Form::Tiled(tiled)
                if o.at_ms.saturating_sub(tiled.newest_ms) > Window::H24.length_ms() * TILES as i64 / 60 =>
            {
                self.0 = Form::Exact(VecDeque::new());
                self.observe(o);
            }
            Form::Tiled(tiled) => tiled.observe(o),
        }
    }

    /// The four windows that end at `at_ms`, in the order of [`Window::ALL`]; amounts are those in `currency`.
    pub fn totals(&self, at_ms: i64, currency: [u8; 3]) -> [Totals; 4] {
        match &self.0 {
            Form::Exact(log) => log_totals(log, at_ms, currency),
            Form::Tiled(tiled) => tiled.totals(at_ms, currency),
        }
    }

    /// Whether every figure is exact.
    pub fn is_exact(&self) -> bool {
        matches!(self.0, Form::Exact(_))
    }

    /// Bytes on the heap, computed from content alone so that a replay evicts the same keys.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Exact(log) if log.is_empty() => 0,
            Form::Exact(log) => log.len().next_power_of_two().max(4) * size_of::<Logged>(),
            Form::Tiled(_) => size_of::<Tiled>() + Window::ALL.len() * TILES * size_of::<Tile>(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Logged {
    observation: Observation,
    /// When the same counterpart comes next: an entry is the last of its counterpart in `(.., t]` if this is after `t`.
    next_ms: i64,
}

fn insert(log: &mut VecDeque<Logged>, o: &Observation) {
    let newest_ms = log.back().map_or(o.at_ms, |last| last.observation.at_ms.max(o.at_ms));
    let horizon_ms = newest_ms.saturating_sub(Window::H24.length_ms());
    if o.at_ms <= horizon_ms {
        return;
    }
    while log.front().is_some_and(|first| first.observation.at_ms <= horizon_ms) {
        log.pop_front();
    }
    let room = log.len().next_power_of_two().max(4);
    if log.capacity() > 2 * room {
        log.shrink_to(room);
    }
    let mut place = log.len();
    while place > 0 && log[place - 1].observation.at_ms > o.at_ms {
        place -= 1;
    }
    let mut next_ms = i64::MAX;
    if o.counterpart != 0 {
        let same = |logged: &&mut Logged| logged.observation.counterpart == o.counterpart;
        if let Some(previous) = log.range_mut(..place).rev().find(same) {
            previous.next_ms = o.at_ms;
        }
        if let Some(next) = log.range_mut(place..).find(same) {
            next_ms = next.observation.at_ms;
        }
    }
    log.insert(
        place,
        Logged {
            observation: *o,
            next_ms,
        },
    );
}

fn log_totals(log: &VecDeque<Logged>, at_ms: i64, currency: [u8; 3]) -> [Totals; 4] {
    let mut totals = [Totals::default(); 4];
    let mut running = Totals::default();
    let mut entries = log
        .iter()
        .rev()
        .skip_while(|logged| logged.observation.at_ms > at_ms)
        .peekable();
    for (slot, window) in totals.iter_mut().zip(Window::ALL) {
        let from_ms = at_ms.saturating_sub(window.length_ms());
        while let Some(Logged { observation, next_ms }) = entries.next_if(|logged| logged.observation.at_ms > from_ms) {
            running.add(observation);
            running.distinct += u32::from(observation.counterpart != 0 && *next_ms > at_ms);
            if observation.currency == currency {
                running.amount_minor = running.amount_minor.saturating_add(observation.amount_minor);
            }
        }
        *slot = running;
    }
    totals
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Tiled {
    newest_ms: i64,
    currency: [u8; 3],
    rings: [Box<[Tile]>; 4],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Tile {
    /// Which stretch of time this is: event time divided by the width of a tile.
    number: i64,
    amount_minor: i64,
    seen: [u64; 4],
    attempts: u32,
    approved: u32,
    declined: u32,
    bad_number: u32,
    bad_cvc: u32,
    small: u32,
    repeats: u32,
}

impl Tile {
    const fn empty(number: i64) -> Self {
        let (attempts, approved, declined, bad_number, bad_cvc, small, repeats) = (0, 0, 0, 0, 0, 0, 0);
        Tile {
            number,
            amount_minor: 0,
            seen: [0; 4],
            attempts,
            approved,
            declined,
            bad_number,
            bad_cvc,
            small,
            repeats,
        }
    }
}

impl Tiled {
    fn new(currency: [u8; 3]) -> Self {
        let ring = || vec![Tile::empty(i64::MIN); TILES].into_boxed_slice();
        Tiled {
            newest_ms: i64::MIN,
            currency,
            rings: [ring(), ring(), ring(), ring()],
        }
    }

    fn observe(&mut self, o: &Observation) {
        self.newest_ms = self.newest_ms.max(o.at_ms);
        for (ring, window) in self.rings.iter_mut().zip(Window::ALL) {
            let number = tile_number(o.at_ms, window);
            let tile = &mut ring[number.rem_euclid(TILES as i64) as usize];
            if tile.number < number {
                *tile = Tile::empty(number);
            }
            if tile.number == number {
                tile.attempts = tile.attempts.saturating_add(1);
                tile.approved += o.has(Observation::APPROVED);
                tile.declined += o.has(Observation::DECLINED);
                tile.bad_number += o.has(Observation::BAD_NUMBER);
                tile.bad_cvc += o.has(Observation::BAD_CVC);
                tile.small += o.has(Observation::SMALL);
                tile.repeats += o.has(Observation::REPEAT);
                if o.currency == self.currency {
                    tile.amount_minor = tile.amount_minor.saturating_add(o.amount_minor);
                }
                if o.counterpart != 0 {
                    let bit = mix(o.counterpart) >> 56;
                    tile.seen[(bit / 64) as usize] |= 1 << (bit % 64);
                }
            }
        }
    }

    fn totals(&self, at_ms: i64, currency: [u8; 3]) -> [Totals; 4] {
        let mut totals = [Totals::default(); 4];
        for ((slot, ring), window) in totals.iter_mut().zip(&self.rings).zip(Window::ALL) {
            let last = tile_number(at_ms, window);
            let first = tile_number(at_ms.saturating_sub(window.length_ms()), window);
            let mut seen = [0; 4];
            for tile in ring.iter().filter(|tile| (first..=last).contains(&tile.number)) {
                slot.merge(tile);
                slot.amount_minor = slot.amount_minor.saturating_add(tile.amount_minor);
                seen.iter_mut().zip(tile.seen).for_each(|(all, bits)| *all |= bits);
            }
            if currency != self.currency {
                slot.amount_minor = 0;
            }
            slot.distinct = DISTINCT[seen.iter().map(|bits: &u64| bits.count_ones()).sum::<u32>() as usize];
        }
        totals
    }
}

fn tile_number(at_ms: i64, window: Window) -> i64 {
    at_ms.div_euclid(window.length_ms() / (TILES as i64 - 1))
}

/// How many distinct keys it takes, on average, to set so many of 256 bits: the coupon collector's sum, in integers so
/// that every platform gets the same figure.
const DISTINCT: [u32; 257] = {
    let mut table = [0; 257];
    let (mut occupied, mut expected_1024ths) = (0, 0u32);
    while occupied < 256 {
        expected_1024ths += 1024 * 256 / (256 - occupied as u32);
        occupied += 1;
        table[occupied] = (expected_1024ths + 512) / 1024;
    }
    table
};
