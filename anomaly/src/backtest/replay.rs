//! One pass over the past: features of each payment in turn, labels when they are due, reviews at midnight.

use super::{Protocol, Transaction};
use crate::attempt::{Label, Outcome, Verdict, mix};
use crate::config::Config;
use crate::engine::Engine;
use crate::features::Features;
use std::collections::BTreeMap;

const DAY_MS: i64 = 86_400_000;

/// A replay in progress.
pub struct Replay<'a> {
    engine: Engine,
    transactions: &'a [Transaction],
    protocol: &'a Protocol,
    first_day: i64,
    /// Next payment.
    next: usize,
    /// Next payment whose truth becomes known by itself.
    next_label: usize,
    /// By place: whether the truth is known.
    known: Vec<bool>,
    /// Places of payments whose truth became known, until someone asks.
    delivered: Vec<usize>,
    /// Payments of the day that is running, with the champion's score where there is one.
    today: BTreeMap<usize, f64>,
}

impl<'a> Replay<'a> {
    /// Before the first payment. An error unless the transactions are in order of time.
    pub fn new(transactions: &'a [Transaction], protocol: &'a Protocol) -> Result<Self, String> {
        if let Some(pair) = transactions.windows(2).find(|pair| pair[1].at_ms < pair[0].at_ms) {
            return Err(format!("transaction {} is earlier than the one before it", pair[1].id));
        }
        Ok(Replay {
            engine: Engine::new(Config {
                memory_bytes_max: 4 << 30,
                ..Config::default()
            }),
            transactions,
            protocol,
            first_day: transactions.first().map_or(0, |first| first.at_ms.div_euclid(DAY_MS)),
            next: 0,
            next_label: 0,
            known: vec![false; transactions.len()],
            delivered: Vec::new(),
            today: BTreeMap::new(),
        })
    }

    /// The day of the next payment; none at the end.
    pub fn peek_day(&self) -> Option<i64> {
        (self.next < self.transactions.len()).then(|| self.day(self.next))
    }

    /// The next payment's place and what the scorer would have known of it.
    #[allow(clippy::should_implement_trait)] // an iterator would borrow the replay
    pub fn next(&mut self) -> Option<(usize, Features)> {
        let place = self.next;
        let payment = self.transactions.get(place)?;
        if place > 0 && self.day(place) != self.day(place - 1) {
            self.review();
        }
        while let Some(labelled) = self.transactions.get(self.next_label) {
            let known_ms = labelled.at_ms + self.protocol.label_delay_days * DAY_MS;
            if known_ms > payment.at_ms || self.next_label >= place {
                break;
            }
            self.deliver(self.next_label, known_ms);
            self.next_label += 1;
        }
        let attempt = payment.attempt();
        let features = self.engine.features(&attempt);
        self.engine.observe(&attempt, Outcome::Approved);
        self.next += 1;
        if self.reviews() {
            self.today.insert(place, f64::NEG_INFINITY);
        }
        Some((place, features))
    }

    /// Tells the champion's score of a payment, for the reviews at midnight.
    pub fn scored(&mut self, place: usize, score: f64) {
        if self.reviews() {
            self.today.insert(place, score);
        }
    }

    /// The truth about a payment, if it is known by now.
    pub fn known(&self, place: usize) -> Option<bool> {
        self.known[place].then(|| self.transactions[place].fraud)
    }

    /// Places of payments whose truth became known since this was asked last.
    pub fn delivered(&mut self) -> std::vec::Drain<'_, usize> {
        self.delivered.drain(..)
    }

    /// Day of a payment.
    pub fn day(&self, place: usize) -> i64 {
        self.transactions[place].at_ms.div_euclid(DAY_MS) - self.first_day
    }

    /// The payment at this place.
    pub fn transaction(&self, place: usize) -> &Transaction {
        &self.transactions[place]
    }

    /// Customers with a fraud on this day.
    pub fn compromised(&self, day: i64) -> impl Iterator<Item = u64> {
        let from_ms = (self.first_day + day) * DAY_MS;
        let from = self.transactions.partition_point(|t| t.at_ms < from_ms);
        let to = self.transactions.partition_point(|t| t.at_ms < from_ms + DAY_MS);
        self.transactions[from..to]
            .iter()
            .filter(|t| t.fraud)
            .map(|t| t.customer)
    }

    fn reviews(&self) -> bool {
        self.protocol.random_reviews_per_day + self.protocol.top_reviews_per_day > 0
    }

    fn deliver(&mut self, place: usize, known_ms: i64) {
        if !std::mem::replace(&mut self.known[place], true) {
            self.delivered.push(place);
            let payment = &self.transactions[place];
            let verdict = if payment.fraud {
                Verdict::Fraud
            } else {
                Verdict::Genuine
            };
            self.engine.label(&payment.attempt(), Label { known_ms, verdict });
        }
    }

    /// Midnight: what was reviewed during the day becomes known.
    fn review(&mut self) {
        let today = std::mem::take(&mut self.today);
        let Some(last) = today.keys().next_back() else { return };
        let known_ms = (self.first_day + self.day(*last) + 1) * DAY_MS;
        let mut drawn: Vec<usize> = today.keys().copied().collect();
        drawn.sort_by_key(|place| mix(*place as u64 ^ 0x7265_7669_6577)); // "review": the same draw in every run
        drawn.truncate(self.protocol.random_reviews_per_day);
        let mut cards: BTreeMap<u64, f64> = BTreeMap::new();
        for (place, score) in today.iter().filter(|(_, score)| score.is_finite()) {
            let highest = cards.entry(self.transactions[*place].customer).or_insert(*score);
            *highest = highest.max(*score);
        }
        let mut ranked: Vec<(u64, f64)> = cards.into_iter().collect();
        ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        ranked.truncate(self.protocol.top_reviews_per_day);
        drawn.extend(today.into_keys().filter(|place| {
            let card = self.transactions[*place].customer;
            ranked.iter().any(|(top, _)| *top == card)
        }));
        drawn.sort_unstable();
        drawn.into_iter().for_each(|place| self.deliver(place, known_ms));
    }
}
