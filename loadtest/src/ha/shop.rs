//! Callers who insist: each sends what it wants under one key until it has an answer that ends it, and remembers what it was told.
//!
//! Purchases come by schedule whether or not earlier ones were answered. An answer that contradicts an earlier one under the same key is
//! a broken promise, whatever the database says later.

use crate::audit::Acknowledged;
use crate::client::{Answer, Connection, Target};
use crate::dev::Dev;
use anyhow::{Result, bail, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

pub(super) struct Shop {
    target: Target,
    run: String,
    connections: Mutex<Vec<Connection>>,
    closed: AtomicBool,
    retried: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// payments that were told, by id
    told: HashMap<String, Acknowledged>,
    /// the payment that each key stands for
    keys: HashMap<String, String>,
    /// asked at, answered at, of each purchase that succeeded
    sold: Vec<(Instant, Instant)>,
    waiting: usize,
    broken: Vec<String>,
    refused: BTreeMap<String, u64>,
    classes: BTreeMap<String, u64>,
}

impl Shop {
    pub(super) fn new(dev: &Dev) -> Result<Self> {
        Ok(Self {
            target: Target::new(dev)?,
            run: uuid::Uuid::new_v4().simple().to_string(),
            connections: Mutex::default(),
            closed: AtomicBool::new(false),
            retried: AtomicU64::new(0),
            seen: Mutex::default(),
        })
    }

    /// Lets callers in, so many a second, until it is closed.
    pub(super) async fn open(self: Arc<Self>, rate: u64) {
        let began = Instant::now();
        for n in 0.. {
            tokio::time::sleep_until(began + Duration::from_nanos(n * 1_000_000_000 / rate)).await;
            if self.closed.load(Ordering::Relaxed) {
                return;
            }
            self.seen().waiting += 1;
            tokio::spawn(self.clone().purchase(n));
        }
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Payments that callers were told of.
    pub(super) fn told(&self) -> Vec<Acknowledged> {
        self.seen().told.values().cloned().collect()
    }

    pub(super) fn retried(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }

    /// Answers that contradict an earlier one.
    pub(super) fn broken_promises(&self) -> Vec<String> {
        self.seen().broken.clone()
    }

    /// Definite refusals, which nothing here gives reason for.
    pub(super) fn refused(&self) -> BTreeMap<String, u64> {
        self.seen().refused.clone()
    }

    /// Answers by class.
    pub(super) fn classes(&self) -> BTreeMap<String, u64> {
        self.seen().classes.clone()
    }

    /// Waits for so many successes.
    pub(super) async fn until_sold(&self, count: usize, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while self.seen().sold.len() < count {
            if Instant::now() > deadline {
                bail!("no payments within {} s: {:?}", patience.as_secs(), self.classes());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Waits until so many purchases that were asked for after this moment succeeded; how long the first of them took to come.
    pub(super) async fn until_sold_since(&self, at: Instant, count: usize, patience: Duration) -> Result<Duration> {
        let deadline = Instant::now() + patience;
        loop {
            let mut after: Vec<Instant> = {
                let seen = self.seen();
                let after = seen.sold.iter().filter(|(asked, _)| *asked > at);
                after.map(|(_, answered)| *answered).collect()
            };
            // One that slipped through between the fault and its effect does not count as recovery: the last gap is what matters.
            after.sort_unstable();
            let silent = after.last().is_none_or(|last| last.elapsed() > Duration::from_secs(1));
            if after.len() >= count && !silent && at.elapsed() > SETTLED {
                let gap_end = longest(&after, at).1;
                return Ok(gap_end.saturating_duration_since(at));
            }
            ensure!(
                Instant::now() < deadline,
                "not within {} s: {:?}",
                patience.as_secs(),
                self.classes()
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Longest time without a success since this moment.
    pub(super) fn longest_gap(&self, at: Instant) -> Duration {
        let mut answered: Vec<Instant> = {
            let seen = self.seen();
            seen.sold
                .iter()
                .map(|(_, answered)| *answered)
                .filter(|answered| *answered > at)
                .collect()
        };
        answered.sort_unstable();
        longest(&answered, at).0
    }

    /// Waits until every caller has an answer.
    pub(super) async fn all_answered(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while self.seen().waiting > 0 {
            ensure!(
                Instant::now() < deadline,
                "{} callers have no answer after {} s: {:?}",
                self.seen().waiting,
                patience.as_secs(),
                self.classes()
            );
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    async fn purchase(self: Arc<Self>, n: u64) {
        let asked = Instant::now();
        let amount = 1000 + i64::try_from(n % 90_000).unwrap_or_default();
        let manual = n % 10 == 7;
        let key = format!("{}-{n}", self.run);
        let form = format!(
            "amount={amount}&currency=usd&confirm=true&payment_method_data[type]=card&payment_method_data[card][number]={}\
             &payment_method_data[card][exp_month]=12&payment_method_data[card][exp_year]=2034&payment_method_data[card][cvc]=123\
             &capture_method={}",
            card(n),
            if manual { "manual" } else { "automatic" }
        );
        if let Some(paid) = self.insist("/v1/payment_intents", &key, &form).await {
            let id = paid["id"].as_str().unwrap_or_default().to_owned();
            match paid["status"].as_str() {
                Some("succeeded") => self.seen().sold.push((asked, Instant::now())),
                Some("requires_capture") => {
                    self.seen().sold.push((asked, Instant::now()));
                    let half = format!("amount_to_capture={}", amount / 2);
                    self.insist(&format!("/v1/payment_intents/{id}/capture"), &format!("{key}-c"), &half)
                        .await;
                }
                _ => {}
            }
            if n % 10 == 8 && paid["status"] == "succeeded" {
                let form = format!("payment_intent={id}&amount={}", amount / 2);
                self.insist("/v1/refunds", &format!("{key}-r"), &form).await;
            }
            if n % 10 == 9 {
                self.insist("/v1/payment_intents", &key, &form).await; // told the same again
            }
        }
        self.seen().waiting -= 1;
    }

    /// The answer that ends it: 200, or a decline. A refusal that is neither is kept as such.
    async fn insist(&self, path: &str, key: &str, form: &str) -> Option<Value> {
        loop {
            let mut connection = self.connections.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = connection.get_or_insert_with(|| Connection::new(self.target.clone()));
            let sent = timeout(PATIENCE, connection.post(path, key, form.to_owned())).await;
            let class = match sent {
                Ok(Ok(answer)) => {
                    let (status, body) = (
                        answer.status.as_u16(),
                        serde_json::from_slice::<Value>(&answer.body).unwrap_or_default(),
                    );
                    let whole = std::mem::replace(connection, Connection::new(self.target.clone()));
                    self.connections
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(whole);
                    let class = class_of(&answer, &body);
                    self.count(&class);
                    match status {
                        200 => {
                            self.remember(key, &body);
                            return Some(body);
                        }
                        402 => {
                            self.remember(key, &body["error"]["payment_intent"]);
                            return None;
                        }
                        // its first sending is at work or its process died, or the service cannot do it now
                        409 | 429 | 500.. => {}
                        _ => {
                            *self.seen().refused.entry(class).or_default() += 1;
                            return None;
                        }
                    }
                    class
                }
                Ok(Err(_)) => "no answer".to_owned(),
                Err(_) => "no answer in 10 s".to_owned(),
            };
            if class.starts_with("no answer") {
                self.count(&class);
            }
            self.retried.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(300)).await;
        }
    }

    fn count(&self, class: &str) {
        *self.seen().classes.entry(class.to_owned()).or_default() += 1;
    }

    /// What a caller was told of an object, held against what it was told before.
    fn remember(&self, key: &str, object: &Value) {
        let mut seen = self.seen();
        let id = object["id"].as_str().unwrap_or_default().to_owned();
        if let Some(before) = seen.keys.insert(key.to_owned(), id.clone())
            && before != id
        {
            seen.broken
                .push(format!("{key} was answered with {before}, and then with {id}"));
        }
        let number = |name: &str| object[name].as_i64().unwrap_or_default();
        if object["object"] == "refund" {
            let payment = object["payment_intent"].as_str().unwrap_or_default();
            if let Some(told) = seen.told.get_mut(payment) {
                told.refunded = number("amount");
            }
            return;
        }
        let told = Acknowledged {
            id: id.clone(),
            amount: number("amount"),
            received: number("amount_received"),
            refunded: seen.told.get(&id).map_or(0, |told| told.refunded),
            settled: !matches!(
                object["status"].as_str(),
                Some("processing" | "requires_capture" | "requires_payment_method")
            ),
        };
        // A replay is the first answer again: a capture that was told meanwhile stands.
        let known = seen.told.get(&id).is_some_and(|told| told.settled);
        if !known {
            seen.told.insert(id, told);
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The longest pause between two of these, from `begin` on, and when it ended.
fn longest(answered: &[Instant], begin: Instant) -> (Duration, Instant) {
    let mut last = begin;
    let mut found = (Duration::ZERO, begin);
    for at in answered {
        let pause = at.saturating_duration_since(last);
        if pause > found.0 {
            found = (pause, *at);
        }
        last = *at;
    }
    found
}

fn class_of(answer: &Answer, body: &Value) -> String {
    let error = &body["error"];
    let code = error["code"].as_str().or(error["type"].as_str());
    let status = answer.status.as_u16();
    match (code, body["status"].as_str()) {
        (Some(code), _) => format!("{status} {code}"),
        (None, Some(state)) => format!("{status} {state}{}", if answer.replayed { ", replayed" } else { "" }),
        (None, None) => status.to_string(),
    }
}

/// A card number of its own for each purchase, with its check digit.
fn card(n: u64) -> String {
    let stem = format!("42424200{:07}", n % 10_000_000);
    let sum: u32 = stem
        .bytes()
        .rev()
        .enumerate()
        .map(|(index, byte)| {
            let digit = u32::from(byte - b'0');
            match index % 2 {
                0 if digit * 2 > 9 => digit * 2 - 9,
                0 => digit * 2,
                _ => digit,
            }
        })
        .sum();
    format!("{stem}{}", (10 - sum % 10) % 10)
}

/// After this a caller hangs up and asks again under the same key.
const PATIENCE: Duration = Duration::from_secs(10);
/// A fault that is noticed by nobody within this time is not going to be.
const SETTLED: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_purchase_has_a_valid_card_of_its_own() {
        assert_eq!(card(4_242_424).len(), 16);
        let valid = |number: &str| {
            let digits = number.bytes().rev().map(|byte| u32::from(byte - b'0'));
            let doubled = digits
                .enumerate()
                .map(|(n, d)| if n % 2 == 1 { d * 2 / 10 + d * 2 % 10 } else { d });
            doubled.sum::<u32>() % 10 == 0
        };
        let cards: std::collections::HashSet<String> = (0..1000).map(card).collect();
        assert!(cards.len() == 1000 && cards.iter().all(|card| valid(card)));
    }

    #[test]
    fn the_longest_pause_counts_from_the_fault() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(longest(&[at(1), at(9), at(10)], begin), (Duration::from_secs(8), at(9)));
        assert_eq!(longest(&[], begin).0, Duration::ZERO);
    }
}
