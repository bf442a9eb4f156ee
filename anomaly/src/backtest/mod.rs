//! Replays history through the engine and trains and judges models on the way, as it would have gone live: features see
//! earlier payments, and labels from the day they are known. Must never let a model see a label early: a fold trains on labels
//! that have been delivered, whatever the file says.

mod history;
mod replay;
mod report;

pub use history::train_model;
pub use replay::Replay;
pub use report::{Figures, Fold, LEAK_BOUND, Report};

use crate::attempt::{Attempt, mix};
use crate::features::Features;
use crate::metrics::CardScore;
use crate::model::Trees;
use crate::model::forest::IsolationForest;
use crate::model::logistic::Logistic;
use crate::model::novelty::Novelty;
use crate::model::train::{self, Rows};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A payment of the past, with the truth about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction {
    /// Its number in the file.
    pub id: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Who paid; the scorer sees a card.
    pub customer: u64,
    /// Where.
    pub terminal: u64,
    /// How much, in cents.
    pub amount_minor: i64,
    /// Whether it was fraud.
    pub fraud: bool,
    /// Which scenario of the generator made it fraud; 0 is none. Never shown to a model.
    pub scenario: u8,
}

impl Transaction {
    /// What the scorer would have seen.
    pub fn attempt(&self) -> Attempt {
        Attempt {
            at_ms: self.at_ms,
            merchant: 1,
            terminal: Some(mix(self.terminal ^ 1 << 32)),
            amount_minor: self.amount_minor,
            currency: *b"EUR",
            exponent: 2,
            card: Some(mix(self.customer)),
            bin: None,
            customer: None,
            email: None,
            ip: None,
            device: None,
            cvc_provided: true,
            off_session: false,
        }
    }
}

/// Who learns what when, and what is tested. Days count from the first day of the file.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Protocol {
    /// First day of the first fold's training window.
    pub first_train_day: i64,
    /// Days of a training window.
    pub train_days: i64,
    /// Days until the truth about a payment is known.
    pub label_delay_days: i64,
    /// Days tested after that.
    pub test_days: i64,
    /// Folds, each `test_days` later than the one before.
    pub folds: i64,
    /// Cards that are looked at in a day.
    pub cards_per_day: usize,
    /// Payments, drawn by chance each day, whose truth is known at midnight.
    pub random_reviews_per_day: usize,
    /// Highest scored cards of each day whose payments of that day are known at midnight.
    pub top_reviews_per_day: usize,
}

impl Protocol {
    /// The protocol of the Fraud Detection Handbook, chapter 3, over its four prequential folds: train on seven days, wait seven
    /// for the labels, test on seven; cards known as compromised are not tested.
    pub fn handbook() -> Self {
        Protocol {
            first_train_day: 115,
            train_days: 7,
            label_delay_days: 7,
            test_days: 7,
            folds: 4,
            cards_per_day: 100,
            random_reviews_per_day: 0,
            top_reviews_per_day: 0,
        }
    }

    /// The same test days with labels after another delay: training ends that much before them.
    pub fn with_delay(self, days: i64) -> Self {
        Protocol {
            first_train_day: self.first_train_day + self.label_delay_days - days,
            label_delay_days: days,
            ..self
        }
    }

    fn first_test_day(&self) -> i64 {
        self.first_train_day + self.train_days + self.label_delay_days
    }

    /// Day after the last one tested.
    pub fn end_day(&self) -> i64 {
        self.first_test_day() + self.folds * self.test_days
    }
}

/// Runs the protocol over transactions in order of time. `progress` is told the day reached.
pub fn run(
    transactions: &[Transaction],
    protocol: &Protocol,
    settings: &train::Settings,
    mut progress: impl FnMut(i64),
) -> Result<Report, String> {
    let mut replay = Replay::new(transactions, protocol)?;
    let mut kept: BTreeMap<i64, Vec<(usize, Features)>> = BTreeMap::new();
    let mut unlabelled: HashMap<usize, Features> = HashMap::new();
    let mut logistic = Logistic::default();
    let mut fold: Option<Contest> = None;
    let mut folds = Vec::new();
    let mut day = -1;
    while let Some(next) = replay.peek_day() {
        if next != day {
            day = next;
            progress(day);
            let tested = day - protocol.first_test_day();
            if tested >= 0 && tested % protocol.test_days == 0 {
                folds.extend(fold.take().map(|done: Contest| done.finish(&replay, protocol)));
                if day >= protocol.end_day() {
                    break;
                }
                let first = protocol.first_train_day + tested;
                kept.retain(|day, _| *day >= first);
                let window = first..first + protocol.train_days;
                fold = Some(Contest::train(&replay, &kept, window, settings)?);
            }
        }
        let Some((place, features)) = replay.next() else { break };
        for known in replay.delivered() {
            if let Some(features) = unlabelled.remove(&known) {
                logistic.learn(&features, transactions[known].fraud);
            }
        }
        if let Some(contest) = &mut fold {
            let score = contest.judge(place, &features, &logistic);
            replay.scored(place, score);
        }
        if day >= protocol.first_train_day - LOGISTIC_DAYS {
            unlabelled.insert(place, features.clone());
        }
        if day >= protocol.first_train_day {
            kept.entry(day).or_default().push((place, features));
        }
    }
    folds.extend(fold.map(|done| done.finish(&replay, protocol)));
    if folds.len() < protocol.folds as usize {
        return Err(format!(
            "the protocol needs {} days, the file ends after {}",
            protocol.end_day(),
            day + 1
        ));
    }
    Ok(Report::new(protocol.clone(), folds))
}

/// How long before the first fold the online regression begins to learn.
const LOGISTIC_DAYS: i64 = 42;

/// Names of the models in a report, the champion first.
pub const MODELS: [&str; 5] = [
    "boosted_trees",
    "logistic_regression",
    "online_logistic",
    "isolation_forest",
    "novelty",
];

/// How often the logistic regression goes through the window that the trees learn from.
const EPOCHS: usize = 10;

/// The models of one fold side by side, in one pass over its test days.
struct Contest {
    train_days: std::ops::Range<i64>,
    train_payments: usize,
    train_frauds: usize,
    trees: Trees,
    regression: Logistic,
    forest: IsolationForest,
    novelty: Novelty,
    /// Place of each payment tested, and its score by each of [`MODELS`].
    scores: Vec<(usize, [f64; MODELS.len()])>,
}

impl Contest {
    fn train(
        replay: &Replay<'_>,
        kept: &BTreeMap<i64, Vec<(usize, Features)>>,
        train_days: std::ops::Range<i64>,
        settings: &train::Settings,
    ) -> Result<Self, String> {
        let mut rows = Rows::default();
        for (place, features) in kept.range(train_days.clone()).flat_map(|(_, day)| day) {
            if let Some(fraud) = replay.known(*place) {
                rows.push(features.values(), fraud);
            }
        }
        let reference: Vec<&[f64]> = rows.iter().map(|(values, _)| values).collect();
        let mut regression = Logistic::default();
        for _ in 0..EPOCHS {
            for (features, fraud) in rows.features() {
                regression.learn(&features, fraud);
            }
        }
        Ok(Contest {
            train_days,
            train_payments: rows.len(),
            train_frauds: rows.frauds(),
            trees: train::train(&rows, settings)?,
            regression,
            forest: IsolationForest::learn(&reference, settings.seed),
            novelty: Novelty::learn(&reference),
            scores: Vec::new(),
        })
    }

    /// Scores a payment by all models; the champion's score.
    fn judge(&mut self, place: usize, features: &Features, logistic: &Logistic) -> f64 {
        let champion = self.trees.margin(features.values());
        let scores = [
            champion,
            self.regression.margin(features),
            logistic.margin(features),
            self.forest.score(features),
            self.novelty.score(features),
        ];
        self.scores.push((place, scores));
        champion
    }

    fn finish(self, replay: &Replay<'_>, protocol: &Protocol) -> Fold {
        let first_test_day = self.train_days.end + protocol.label_delay_days;
        let figures = MODELS.iter().enumerate().map(|(model, name)| {
            let mut compromised: BTreeSet<u64> = BTreeSet::new();
            let mut next = self.train_days.start;
            let mut days: Vec<Vec<CardScore>> = Vec::new();
            let mut scores = self.scores.iter().peekable();
            for day in first_test_day..first_test_day + protocol.test_days {
                while next < day - protocol.label_delay_days {
                    compromised.extend(replay.compromised(next));
                    next += 1;
                }
                let mut tested = Vec::new();
                while let Some((place, scores)) = scores.next_if(|(place, _)| replay.day(*place) == day) {
                    let payment = replay.transaction(*place);
                    if !compromised.contains(&payment.customer) {
                        tested.push(CardScore {
                            card: payment.customer,
                            score: scores[model],
                            fraud: payment.fraud,
                        });
                    }
                }
                days.push(tested);
            }
            (*name, Figures::of(&days, protocol.cards_per_day))
        });
        Fold {
            train_days: (self.train_days.start, self.train_days.end - 1),
            test_days: (first_test_day, first_test_day + protocol.test_days - 1),
            train_payments: self.train_payments,
            train_frauds: self.train_frauds,
            models: figures.collect(),
        }
    }
}
