//! What a back-test found.

use super::Protocol;
use crate::metrics::{self, CardScore};
use serde::Serialize;

/// Mean average precision that no model can reach with labels that are 7 days late: one that knows the generator's own parameters
/// gets 0.77 (the first week of a compromised terminal carries no signal at all).
pub const LEAK_BOUND: f64 = 0.79;

/// The figures of one model over some days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Area under the ROC curve.
    pub auc: f64,
    /// Average precision.
    pub average_precision: f64,
    /// Card precision at the protocol's number of cards a day (100 in the handbook's).
    pub card_precision_100: f64,
}

/// One fold.
#[derive(Debug, Clone, PartialEq)]
pub struct Fold {
    /// First and last day of training.
    pub train_days: (i64, i64),
    /// First and last day tested.
    pub test_days: (i64, i64),
    /// Payments trained on.
    pub train_payments: usize,
    /// Frauds among them.
    pub train_frauds: usize,
    /// Figures by model, the champion first.
    pub models: Vec<(&'static str, Figures)>,
}

/// All folds.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// How it was run.
    pub protocol: Protocol,
    /// The folds in order.
    pub folds: Vec<Fold>,
}

impl Figures {
    pub(super) fn of(days: &[Vec<CardScore>], cards_per_day: usize) -> Self {
        let scored: Vec<(f64, bool)> = days
            .iter()
            .flatten()
            .map(|payment| (payment.score, payment.fraud))
            .collect();
        Figures {
            auc: metrics::auc(&scored).unwrap_or(0.0),
            average_precision: metrics::average_precision(&scored).unwrap_or(0.0),
            card_precision_100: metrics::card_precision(days, cards_per_day).unwrap_or(0.0),
        }
    }
}

impl Report {
    pub(super) fn new(protocol: Protocol, folds: Vec<Fold>) -> Self {
        Report { protocol, folds }
    }

    /// Whether the champion is better than it can be by honest means.
    pub fn leak_suspected(&self) -> bool {
        let faster = self.protocol.label_delay_days < 7
            || self.protocol.random_reviews_per_day + self.protocol.top_reviews_per_day > 0;
        !faster
            && self
                .means()
                .first()
                .is_some_and(|(_, mean)| mean.average_precision > LEAK_BOUND)
    }

    /// Mean figures over the folds by model, the champion first.
    pub fn means(&self) -> Vec<(&'static str, Figures)> {
        let models = self.folds.first().map_or(&[][..], |fold| &fold.models);
        let folds = self.folds.len() as f64;
        let mean = |place: usize, figure: fn(&Figures) -> f64| {
            self.folds.iter().map(|fold| figure(&fold.models[place].1)).sum::<f64>() / folds
        };
        let figures = models.iter().enumerate().map(|(place, (name, _))| {
            let means = Figures {
                auc: mean(place, |f| f.auc),
                average_precision: mean(place, |f| f.average_precision),
                card_precision_100: mean(place, |f| f.card_precision_100),
            };
            (*name, means)
        });
        figures.collect()
    }
}
