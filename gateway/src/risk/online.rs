//! The online regression in the service: it learns from each label when it arrives, and is asked beside the models; it decides
//! nothing. Before there are labels enough for trees, it is what there is to compare rules with.
//!
//! Labels arrive weeks after a payment, and what was known at the payment must be learned from, not what is known by then. So the
//! features of some approved payments are kept for that long: a uniform sample, chosen by the charge's id, so that every process
//! learns the same, and as large as [`WAITING_MAX`] allows. It must never learn from a label before it arrived, nor grow with traffic.

use super::history::{Entry, What};
use anomaly::model::logistic::Logistic;
use anomaly::{Engine, FEATURES, Features, Outcome, Verdict, key};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Payments whose labels are waited for: half a kilobyte each.
const WAITING_MAX: usize = 4_096;
/// Without a label by then, a payment counts as genuine.
const GENUINE_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A label that comes later than this finds nothing to learn from.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(45 * 24);
/// Labels before which its word means nothing.
const LABELS_MIN: u64 = 200;

/// The regression with the payments that wait for their labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Learner {
    logistic: Logistic,
    /// oldest first
    waiting: VecDeque<Waiting>,
    /// one in two to the power of this is kept
    halvings: u32,
    /// whether it has learned since it was published last
    #[serde(skip)]
    news: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Waiting {
    book_id: i64,
    charge_id: String,
    at: Timestamp,
    /// in the order of [`FEATURES`]; none where not given
    values: Vec<Option<f32>>,
    /// it was learned from as genuine, for want of a label
    presumed: bool,
}

impl Learner {
    /// A row of the log, before the scorer itself is told of it.
    pub(super) fn hear(&mut self, entry: &Entry, engine: &Engine) {
        self.presume(entry.at);
        match entry.what {
            What::Attempt(Outcome::Approved) | What::Resolved(Outcome::Approved) => self.keep(entry, engine),
            What::Label(Verdict::Fraud) => self.learn(entry, true),
            What::Label(Verdict::Genuine) => self.learn(entry, false),
            What::Label(Verdict::Withdrawn) | What::Attempt(_) | What::Resolved(_) => {}
        }
    }

    /// The regression, if it has learned something since this was asked last.
    pub(super) fn news(&mut self) -> Option<&Logistic> {
        std::mem::take(&mut self.news).then_some(&self.logistic)
    }

    /// Whether it was made for the features that this program has.
    pub(super) fn fits(&self) -> bool {
        self.logistic.fits()
            && self
                .waiting
                .iter()
                .all(|waiting| waiting.values.len() == FEATURES.len())
    }

    fn keep(&mut self, entry: &Entry, engine: &Engine) {
        if !sampled(&entry.id, self.halvings) {
            return;
        }
        let features = engine.features(&entry.attempt);
        let values = features.values().iter();
        self.waiting.push_back(Waiting {
            book_id: entry.book_id,
            charge_id: entry.id.clone(),
            at: entry.at,
            values: values.map(|value| (!value.is_nan()).then_some(*value as f32)).collect(),
            presumed: false,
        });
        while self.waiting.len() > WAITING_MAX {
            self.halvings += 1;
            let halvings = self.halvings;
            self.waiting.retain(|waiting| sampled(&waiting.charge_id, halvings));
        }
    }

    fn learn(&mut self, entry: &Entry, fraud: bool) {
        let of = |waiting: &Waiting| waiting.book_id == entry.book_id && waiting.charge_id == entry.id;
        let Some(place) = self.waiting.iter().position(of) else {
            return;
        };
        if let Some(waiting) = self.waiting.remove(place)
            && (fraud || !waiting.presumed)
        {
            self.logistic.learn(&waiting.features(), fraud);
            self.news = true;
        }
    }

    /// What has waited long enough without a label is genuine, for all that is known.
    fn presume(&mut self, now: Timestamp) {
        let (genuine, forgotten) = (now - GENUINE_AFTER, now - FORGOTTEN_AFTER);
        while self
            .waiting
            .front()
            .is_some_and(|oldest| oldest.at <= forgotten && oldest.presumed)
        {
            self.waiting.pop_front();
        }
        // those that are presumed genuine come first, but for rows of overlapping transactions
        let first = self.waiting.partition_point(|waiting| waiting.presumed);
        let due = self
            .waiting
            .iter_mut()
            .skip(first)
            .take_while(|waiting| waiting.at <= genuine);
        for waiting in due.filter(|waiting| !waiting.presumed) {
            waiting.presumed = true;
            self.logistic.learn(&waiting.features(), false);
            self.news = true;
        }
    }
}

impl Waiting {
    fn features(&self) -> Features {
        let mut values = [f64::NAN; FEATURES.len()];
        for (slot, value) in values.iter_mut().zip(&self.values) {
            *slot = value.map_or(f64::NAN, f64::from);
        }
        Features::from_values(values)
    }
}

/// Probability of fraud, once it has learned enough to have a word.
pub(super) fn probability(logistic: &Logistic, features: &Features) -> Option<f64> {
    (logistic.labels() >= LABELS_MIN).then(|| logistic.probability(features))
}

/// The same for every process, and those of a smaller share are among those of a larger.
fn sampled(charge_id: &str, halvings: u32) -> bool {
    key(charge_id).trailing_zeros() >= halvings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payment::rows::RiskContext;
    use anomaly::Config;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn entry(n: i64, at: Timestamp, what: What) -> Entry {
        let amount = if n % 10 == 0 { 90_000 } else { 1_000 };
        let card = format!("print{}", n % 50);
        Entry {
            book_id: 1,
            id: format!("ch_{n}"),
            attempt: super::super::facts(at, 1, amount, "usd", &card, "424242", &RiskContext::default()),
            what,
            at,
        }
    }

    /// A thousand payments, of which each tenth is large and becomes known as fraud two days later.
    fn taught() -> (Learner, Engine, Timestamp) {
        let (mut learner, engine) = (Learner::default(), Engine::new(Config::default()));
        let mut now = Timestamp::UNIX_EPOCH;
        for n in 0..3_000 {
            now = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(20) * n as i32;
            let paid = entry(n, now, What::Attempt(Outcome::Approved));
            learner.hear(&paid, &engine);
            paid.tell(&engine);
            let earlier = n - 144;
            if earlier >= 0 && earlier % 10 == 0 {
                let label = Entry {
                    at: now,
                    ..entry(earlier, now - DAY * 2, What::Label(Verdict::Fraud))
                };
                learner.hear(&label, &engine);
                label.tell(&engine);
            }
        }
        (learner, engine, now)
    }

    #[test]
    fn it_learns_from_labels_when_they_arrive_and_from_silence_after_a_week() {
        let (learner, engine, now) = taught();
        let of = |n: i64| {
            let features = engine.features(&entry(n, now, What::Attempt(Outcome::Unknown)).attempt);
            probability(&learner.logistic, &features).expect("it has learned enough")
        };
        assert!(of(10) > 3.0 * of(11), "{} and {}", of(10), of(11));
        let silent = learner.waiting.iter().filter(|waiting| waiting.presumed).count();
        assert!(silent > 1_000, "{silent}");
        let early = Learner::default();
        assert_eq!(
            probability(
                &early.logistic,
                &engine.features(&entry(1, now, What::Attempt(Outcome::Unknown)).attempt)
            ),
            None
        );
    }

    #[test]
    fn it_goes_on_after_a_restart_as_if_there_had_been_none() {
        let (learner, ..) = taught();
        let kept = serde_json::to_string(&learner).unwrap();
        let mut again: Learner = serde_json::from_str(&kept).unwrap();
        again.news = learner.news;
        assert_eq!(again, learner);
        assert!(again.fits());
    }

    #[test]
    fn its_sample_stays_within_bounds_and_every_process_has_the_same() {
        let engine = Engine::new(Config::default());
        let (mut one, mut other) = (Learner::default(), Learner::default());
        for n in 0..3 * WAITING_MAX as i64 {
            let at = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(n);
            let paid = entry(n, at, What::Attempt(Outcome::Approved));
            one.hear(&paid, &engine);
            other.hear(&paid, &engine);
            assert!(one.waiting.len() <= WAITING_MAX);
        }
        assert_eq!(one, other);
        assert!(one.halvings >= 1 && one.waiting.len() > WAITING_MAX / 4);
    }
}
