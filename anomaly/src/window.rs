//! Sliding windows over the attempts of one key (a card, an IP address, a merchant), in event time.
//!
//! **Exactness.** Up to [`EXACT_MAX`] attempts in 24 hours are kept one by one, and windows up to 24 hours are exact over
//! the half-open interval `(t - window, t]`. A busier key is kept as tiles: a window then reaches back to the tile edge, so
//! it sees between one window and one window plus 1/[`TILES`] of it (never less, so a burst cannot hide). After 24 idle
//! hours and a tile the key is exact again. What is older than the log is kept in days (for 7 days) and weeks (for 30 and
//! 90 days), and those windows reach back to the edge of a day or week. Distinct counts are exact to the second up to
//! [`crate::neighbours::EXACT_MAX`] counterparts, and estimated beyond.
//!
//! **Late attempts** are put where they belong in time; what is older than the longest window is ignored.
//!
//! Must never grow with traffic: see [`History::BYTES_MAX`].

use crate::few::heap_bytes;
use crate::neighbours::Neighbours;
use crate::tile::{Counts, Day, Minute, Ring, Shape};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// Attempts of one key in 24 hours that are kept one by one.
pub const EXACT_MAX: usize = 128;
/// Tiles that cover a window of a busy key; one more holds the edge.
pub const TILES: usize = 12;

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
    /// 7 days.
    D7,
    /// 30 days.
    D30,
    /// 90 days.
    D90,
}

impl Window {
    /// All, shortest first.
    pub const ALL: [Window; 7] = [
        Window::M1,
        Window::M10,
        Window::H1,
        Window::H24,
        Window::D7,
        Window::D30,
        Window::D90,
    ];
    /// Those that a log covers.
    const SHORT: usize = 4;

    /// Length in milliseconds.
    pub const fn length_ms(self) -> i64 {
        match self {
            Window::M1 => 60_000,
            Window::M10 => 600_000,
            Window::H1 => 3_600_000,
            Window::H24 => DAY_MS,
            Window::D7 => 7 * DAY_MS,
            Window::D30 => 30 * DAY_MS,
            Window::D90 => 90 * DAY_MS,
        }
    }

    /// Width of the tiles that hold the window for a busy key, or for everyone beyond 24 hours.
    pub const fn tile_ms(self) -> i64 {
        match self {
            Window::D7 => DAY_MS,
            Window::D30 | Window::D90 => 7 * DAY_MS,
            short => short.length_ms() / TILES as i64,
        }
    }
}

const DAY_MS: i64 = 86_400_000;

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
    /// A card never seen before was tried, and the issuer did not know it or would not have it.
    pub const PROBE: u8 = 1 << 6;
    /// Its amount was far above the key's own mean.
    pub const OUTLIER: u8 = 1 << 7;
}

/// What one window holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Sums over the window.
    pub counts: Counts,
    /// Distinct counterparts.
    pub distinct: u32,
}

/// The attempts of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    recent: Recent,
    /// Days and weeks of what the log has let go, and of labels.
    past: Ring<Day>,
    neighbours: Neighbours,
    /// The currency that tiles sum amounts in: the first one seen.
    currency: [u8; 3],
}

/// Attempts in order of time; an ordinary card has one or two in 24 hours.
type Log = SmallVec<[Logged; LOGGED_IN_PLACE]>;
const LOGGED_IN_PLACE: usize = 2;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Recent {
    Exact(#[serde(with = "crate::few")] Log),
    Tiled(Box<Tiled>),
}

impl Default for Recent {
    fn default() -> Self {
        Recent::Exact(Log::new())
    }
}

impl History {
    /// What the history of one key can take on the heap at most: tiles for four windows, then days, weeks and counterparts.
    pub const BYTES_MAX: usize =
        size_of::<Tiled>() + (DAYS.keep + WEEKS.keep).next_power_of_two() * size_of::<Day>() + Neighbours::BYTES_MAX;

    /// Adds one attempt at its place in time.
    pub fn observe(&mut self, o: &Observation) {
        self.observe_kept(o, true);
    }

    /// The same; without the past, what leaves the last 24 hours is forgotten.
    pub(crate) fn observe_kept(&mut self, o: &Observation, keep_past: bool) {
        if self.currency == [0; 3] {
            self.currency = o.currency;
        }
        self.neighbours.observe(o.counterpart, o.at_ms);
        match &mut self.recent {
            Recent::Exact(log) => {
                let currency = self.currency;
                let past = &mut self.past;
                let mut let_go = |old: &Logged| {
                    if keep_past {
                        add(past, old.at_ms, &old.counts(currency));
                    }
                };
                insert(log, o, &mut let_go);
                if log.len() > EXACT_MAX {
                    let mut tiled = Box::<Tiled>::default();
                    for logged in log.iter() {
                        tiled.observe(logged, currency);
                        let_go(logged);
                    }
                    self.recent = Recent::Tiled(tiled);
                }
            }
            Recent::Tiled(tiled) if o.at_ms.saturating_sub(tiled.newest_ms) > DAY_MS + Window::H24.tile_ms() => {
                self.recent = Recent::default();
                if let Recent::Exact(log) = &mut self.recent {
                    log.push(Logged::of(o));
                }
            }
            Recent::Tiled(tiled) => {
                let logged = Logged::of(o);
                tiled.observe(&logged, self.currency);
                if keep_past {
                    add(&mut self.past, o.at_ms, &logged.counts(self.currency));
                }
            }
        }
    }

    /// What became of an attempt that is counted already, and had no outcome: it is found by time, amount and currency. One that has
    /// left the log counts where it is counted now.
    pub(crate) fn resolve(&mut self, o: &Observation, keep_past: bool) {
        let open = |logged: &&mut Logged| {
            logged.flags & (Observation::APPROVED | Observation::DECLINED) == 0
                && (logged.at_ms, logged.amount_minor, logged.currency) == (o.at_ms, o.amount_minor, o.currency)
        };
        match &mut self.recent {
            Recent::Exact(log) => {
                if let Some(logged) = log.iter_mut().find(open) {
                    logged.flags |= o.flags;
                    return; // the past gets it when the log lets it go
                }
            }
            Recent::Tiled(tiled) => {
                let counts = Counts::one(o.flags, None).without_the_attempt();
                for (ring, window) in tiled.rings.iter_mut().zip(Window::ALL) {
                    ring.add(o.at_ms, short(window), &counts);
                }
            }
        }
        if keep_past {
            add(
                &mut self.past,
                o.at_ms,
                &Counts::one(o.flags, None).without_the_attempt(),
            );
        }
    }

    /// Adds what became known about an earlier attempt at `known_ms`: whether it was fraud. Windows from 7 days up see it.
    pub fn label(&mut self, known_ms: i64, fraud: bool) {
        let counts = Counts {
            labelled: 1,
            frauds: u32::from(fraud),
            ..Counts::default()
        };
        add(&mut self.past, known_ms, &counts);
    }

    /// The windows that end at `at_ms`, in the order of [`Window::ALL`]. Amounts are those in `currency`; beyond 24 hours, and
    /// for a busy key, they are there for the key's own (first) currency alone. Beyond 24 hours only attempts, amounts, declines,
    /// outliers, counterparts and labels are counted.
    pub fn totals(&self, at_ms: i64, currency: [u8; 3], totals: &mut [Totals; 7]) {
        match &self.recent {
            Recent::Exact(log) => log_totals(log, at_ms, currency, totals),
            Recent::Tiled(tiled) => {
                *totals = Default::default();
                for (ring, window) in tiled.rings.iter().zip(Window::ALL) {
                    ring.sum(at_ms, short(window), [window], totals);
                }
            }
        }
        for slot in &mut totals[Window::SHORT..] {
            slot.counts.keep_what_days_hold();
        }
        self.past.sum(at_ms, DAYS, [Window::D7], totals);
        self.past.sum(at_ms, WEEKS, [Window::D30, Window::D90], totals);
        if currency != self.currency {
            let tiled = usize::from(self.is_exact()) * Window::SHORT;
            for slot in &mut totals[tiled..] {
                (slot.counts.priced, slot.counts.amount_minor) = (0, 0);
            }
        }
        for (slot, distinct) in totals.iter_mut().zip(self.neighbours.distinct(at_ms)) {
            slot.distinct = distinct;
        }
    }

    /// Reads a little of each cache line, here and on the heap.
    pub(crate) fn touch(&self) -> i64 {
        let recent = match &self.recent {
            Recent::Exact(log) => log.iter().step_by(3).fold(0, |all, logged| all ^ logged.at_ms),
            Recent::Tiled(tiled) => tiled.newest_ms, // busy, so it is near anyway
        };
        recent ^ i64::from(self.currency[0]) ^ self.past.touch() ^ self.neighbours.touch()
    }

    /// Whether every figure up to 24 hours is exact.
    pub fn is_exact(&self) -> bool {
        matches!(self.recent, Recent::Exact(_))
    }

    /// Bytes on the heap, computed from content alone so that a replay evicts the same keys.
    pub fn heap_bytes(&self) -> usize {
        let recent = match &self.recent {
            Recent::Exact(log) => heap_bytes::<[Logged; LOGGED_IN_PLACE]>(log.len()),
            Recent::Tiled(_) => size_of::<Tiled>(),
        };
        recent + self.past.heap_bytes() + self.neighbours.heap_bytes()
    }
}

/// An observation in a log; its counterpart is among the neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Logged {
    at_ms: i64,
    amount_minor: i64,
    currency: [u8; 3],
    flags: u8,
}

impl Logged {
    fn of(o: &Observation) -> Self {
        Logged {
            at_ms: o.at_ms,
            amount_minor: o.amount_minor,
            currency: o.currency,
            flags: o.flags,
        }
    }

    fn counts(&self, currency: [u8; 3]) -> Counts {
        Counts::one(self.flags, (self.currency == currency).then_some(self.amount_minor))
    }
}

fn insert(log: &mut Log, o: &Observation, mut let_go: impl FnMut(&Logged)) {
    let newest_ms = log.last().map_or(o.at_ms, |last| last.at_ms.max(o.at_ms));
    let horizon_ms = newest_ms.saturating_sub(DAY_MS);
    if o.at_ms <= horizon_ms {
        return let_go(&Logged::of(o));
    }
    let kept = log.partition_point(|logged| logged.at_ms <= horizon_ms);
    log.drain(..kept).for_each(|old| let_go(&old));
    if log.spilled() && log.capacity() > 4 * log.len() {
        log.shrink_to_fit();
    }
    let mut place = log.len();
    while place > 0 && log[place - 1].at_ms > o.at_ms {
        place -= 1;
    }
    log.insert(place, Logged::of(o));
}

fn log_totals(log: &[Logged], at_ms: i64, currency: [u8; 3], totals: &mut [Totals; 7]) {
    let mut running = Counts::default();
    let mut entries = log.iter().rev().skip_while(|logged| logged.at_ms > at_ms).peekable();
    for (slot, window) in totals.iter_mut().zip(Window::ALL) {
        let from_ms = at_ms.saturating_sub(window.length_ms());
        while let Some(logged) = entries.next_if(|logged| logged.at_ms > from_ms) {
            running.merge(&logged.counts(currency));
        }
        slot.counts = running;
    }
}

/// The last 24 hours of a busy key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Tiled {
    newest_ms: i64,
    rings: [Ring<Minute>; Window::SHORT],
}

impl Default for Tiled {
    fn default() -> Self {
        Tiled {
            newest_ms: i64::MIN,
            rings: Default::default(),
        }
    }
}

impl Tiled {
    fn observe(&mut self, logged: &Logged, currency: [u8; 3]) {
        self.newest_ms = self.newest_ms.max(logged.at_ms);
        let counts = logged.counts(currency);
        for (ring, window) in self.rings.iter_mut().zip(Window::ALL) {
            ring.add(logged.at_ms, short(window), &counts);
        }
    }
}

const DAYS: Shape = Shape::first(Window::D7.tile_ms(), 8);
const WEEKS: Shape = Shape::second(Window::D90.tile_ms(), 14);

const fn short(window: Window) -> Shape {
    Shape::first(window.tile_ms(), TILES + 1)
}

fn add(past: &mut Ring<Day>, at_ms: i64, counts: &Counts) {
    past.add(at_ms, DAYS, counts);
    past.add(at_ms, WEEKS, counts);
}
