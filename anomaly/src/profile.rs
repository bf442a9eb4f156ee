//! Habits of one entity (what it spends, when) and what its payments turned out to be. All in integers, so that a snapshot
//! holds them exactly. Must never learn from attempts that were not approved: who only tries has no habits.

use crate::attempt::Verdict;
use crate::window::{Observation, Window};
use serde::{Deserialize, Serialize};

/// Habits, from approved payments, and what they turned out to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// In the currency first seen, and in others, for as long as the entity is remembered.
    home: Spend,
    abroad: Vec<Spend>,
    /// Payments by hour of the day (UTC), halved when one reaches 255: the entity's own clock.
    hours: [u8; 24],
    pub labels: Labels,
}

/// Approved payments in one currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Spend {
    currency: [u8; 3],
    payments: u32,
    amount_minor: i64,
    /// Mean of the last payments, weighted down by age, in 1/16 minor units.
    recent_16ths: i64,
    /// Mean distance from that mean, in 1/16 minor units.
    deviation_16ths: i64,
    /// Largest amount in the 30 days that began at `max_since_ms`, and in the 30 days before.
    max_since_ms: i64,
    max_minor: i64,
    max_before_minor: i64,
}

/// Habits at one moment and in one currency.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Habits {
    pub payments: u32,
    pub amount_minor: i64,
    pub recent_16ths: i64,
    pub deviation_16ths: i64,
    /// Largest amount in the last 30 to 60 days.
    pub max_minor: i64,
    /// Payments, of all that `hours` counts, in the hour of the day and the one before and after it.
    pub near_this_hour: u32,
    pub hours_counted: u32,
}

impl Profile {
    /// Beside itself: other currencies.
    pub const HEAP_BYTES_MAX: usize = (CURRENCIES_MAX - 1) * size_of::<Spend>();

    pub fn observe(&mut self, o: &Observation) {
        let hour = hour(o.at_ms);
        self.hours[hour] += 1; // below 255 by the line after
        if self.hours[hour] == u8::MAX {
            self.hours.iter_mut().for_each(|count| *count /= 2);
        }
        if self.home.payments == 0 {
            self.home = Spend::first(o);
        } else if self.home.currency == o.currency {
            self.home.add(o);
        } else if let Some(spend) = self.abroad.iter_mut().find(|spend| spend.currency == o.currency) {
            spend.add(o);
        } else if self.abroad.len() < CURRENCIES_MAX - 1 {
            self.abroad.push(Spend::first(o));
        }
    }

    /// Whether an amount is far above what is usual here.
    pub fn is_outlier(&self, o: &Observation) -> bool {
        self.spend(o.currency).is_some_and(|spend| {
            spend.payments >= OUTLIER_PAYMENTS_MIN
                && o.amount_minor.saturating_mul(16) / OUTLIER_TIMES > spend.recent_16ths
        })
    }

    pub fn read(&self, at_ms: i64, currency: [u8; 3]) -> Habits {
        let hour = hour(at_ms);
        let at = |hour: usize| u32::from(self.hours[hour % 24]);
        let mut habits = Habits {
            near_this_hour: at(hour + 23) + at(hour) + at(hour + 1),
            hours_counted: self.hours.iter().map(|count| u32::from(*count)).sum(),
            ..Habits::default()
        };
        if let Some(spend) = self.spend(currency) {
            habits.payments = spend.payments;
            habits.amount_minor = spend.amount_minor;
            habits.recent_16ths = spend.recent_16ths;
            habits.deviation_16ths = spend.deviation_16ths;
            habits.max_minor = match at_ms.saturating_sub(spend.max_since_ms) / Window::D30.length_ms() {
                0 => spend.max_minor.max(spend.max_before_minor),
                1 => spend.max_minor,
                _ => 0,
            };
        }
        habits
    }

    /// Reads a little of each cache line.
    pub fn touch(&self) -> i64 {
        self.home.amount_minor ^ i64::from(self.hours[0]) ^ self.labels.last_fraud_ms
    }

    fn spend(&self, currency: [u8; 3]) -> Option<&Spend> {
        let mut all = std::iter::once(&self.home).chain(&self.abroad);
        all.find(|spend| spend.currency == currency)
    }
}

impl Spend {
    fn first(o: &Observation) -> Self {
        let amount_minor = o.amount_minor.clamp(0, AMOUNT_MAX_MINOR);
        Spend {
            currency: o.currency,
            payments: 1,
            amount_minor,
            recent_16ths: amount_minor * 16,
            deviation_16ths: amount_minor * 8, // half the amount, until more is known
            max_since_ms: o.at_ms,
            max_minor: amount_minor,
            max_before_minor: 0,
        }
    }

    fn add(&mut self, o: &Observation) {
        let amount_minor = o.amount_minor.clamp(0, AMOUNT_MAX_MINOR);
        self.payments = self.payments.saturating_add(1);
        self.amount_minor = self.amount_minor.saturating_add(amount_minor);
        let weight = i64::from(self.payments.min(RECENT_PAYMENTS));
        let distance_16ths = amount_minor * 16 - self.recent_16ths;
        self.recent_16ths += distance_16ths / weight;
        self.deviation_16ths += (distance_16ths.abs() - self.deviation_16ths) / weight;
        match o.at_ms.saturating_sub(self.max_since_ms) / Window::D30.length_ms() {
            0 => {}
            epochs => {
                self.max_before_minor = if epochs == 1 { self.max_minor } else { 0 };
                (self.max_minor, self.max_since_ms) = (0, o.at_ms);
            }
        }
        self.max_minor = self.max_minor.max(amount_minor);
    }
}

/// What is known about earlier payments of one entity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Labels {
    pub frauds: u32,
    pub labelled: u32,
    /// Frauds since the last genuine payment.
    pub streak: u32,
    /// When the first of them was made.
    pub streak_since_ms: i64,
    /// When the last payment known as fraud was made; 0 is never.
    pub last_fraud_ms: i64,
    /// When the last payment known as genuine was made; 0 is never.
    pub last_genuine_ms: i64,
}

impl Labels {
    /// `at_ms` is when the payment was made. Labels come in any order.
    pub fn add(&mut self, at_ms: i64, verdict: Verdict) {
        match verdict {
            Verdict::Fraud => {
                self.frauds = self.frauds.saturating_add(1);
                self.labelled = self.labelled.saturating_add(1);
                if at_ms > self.last_genuine_ms {
                    self.streak_since_ms = if self.streak == 0 {
                        at_ms
                    } else {
                        self.streak_since_ms.min(at_ms)
                    };
                    self.streak = self.streak.saturating_add(1);
                }
                self.last_fraud_ms = self.last_fraud_ms.max(at_ms);
            }
            Verdict::Genuine => {
                self.labelled = self.labelled.saturating_add(1);
                if at_ms > self.last_fraud_ms {
                    self.streak = 0;
                }
                self.last_genuine_ms = self.last_genuine_ms.max(at_ms);
            }
            Verdict::Withdrawn => {
                self.frauds = self.frauds.saturating_sub(1);
                self.streak = self.streak.saturating_sub(1);
            }
        }
    }
}

fn hour(at_ms: i64) -> usize {
    at_ms.div_euclid(Window::H1.length_ms()).rem_euclid(24) as usize
}

/// Currencies in which an entity's spending is kept; more are not, so that one entity stays small.
const CURRENCIES_MAX: usize = 4;
/// Payments that a mean of the last payments looks back.
const RECENT_PAYMENTS: u32 = 32;
/// Times the mean that is far above it, and payments that make a mean.
const OUTLIER_TIMES: i64 = 3;
const OUTLIER_PAYMENTS_MIN: u32 = 5;
/// A hundred billion of a currency with two decimals: larger amounts count as this, so that sums stay within 64 bits.
const AMOUNT_MAX_MINOR: i64 = 10_000_000_000_000;
