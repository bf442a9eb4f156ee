//! Models: what labels teach. A [`Model`] is one immutable file: boosted trees, their calibration, thresholds, what was
//! usual when it was trained, and where all of it comes from. Training is in [`train`]; serving reads nothing but the file.
//!
//! Must never score by features other than those it was trained on: the file names them, and one that differs is refused.

pub mod cost;
pub mod drift;
pub mod forest;
mod layout;
pub mod logistic;
pub mod novelty;
mod reason;
mod shap;
pub mod train;
mod trees;

pub use trees::Trees;

use crate::features::{FEATURES, Feature, Features};
use crate::rules::Scored;
use cost::{Costs, Point, Thresholds};
use drift::Reference;
use layout::Layout;
use novelty::Novelty;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// A trained model, checked, ready to score.
#[derive(Debug, Clone)]
pub struct Model {
    id: Arc<str>,
    body: Body,
    /// The trees again, for the path of a payment; none when they are too deep for it.
    layout: Option<Layout>,
}

/// What the file holds beside its hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// Version of the format.
    pub format: u32,
    /// Names of the features it reads, in its order.
    pub features: Vec<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// How good it was on payments that it had not seen.
    pub metrics: Metrics,
    /// How it was trained.
    pub settings: train::Settings,
    /// From log-odds to probability.
    pub calibration: Calibration,
    /// What the thresholds were chosen by.
    pub costs: Costs,
    /// Probabilities from which to review and to block.
    pub thresholds: Thresholds,
    /// What other thresholds would have done.
    pub curve: Vec<Point>,
    /// How features and scores were spread.
    pub reference: Reference,
    /// What was usual.
    pub novelty: Novelty,
    /// The trees.
    pub trees: Trees,
}

/// The data a model was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// First payment, in milliseconds since the Unix epoch.
    pub from_ms: i64,
    /// Last payment.
    pub to_ms: i64,
    /// Labels that were known by then were used, none later.
    pub known_ms: i64,
    /// Payments.
    pub payments: u64,
    /// Frauds among them.
    pub frauds: u64,
}

/// Figures on payments that were held out, by cross-fitting over cards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Area under the ROC curve.
    pub auc: f64,
    /// Average precision.
    pub average_precision: f64,
    /// Mean squared distance of probability and truth (Brier score).
    pub brier: f64,
}

/// Platt's calibration: the probability is the logistic of `slope * margin + intercept`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Factor of the log-odds.
    pub slope: f64,
    /// What is added.
    pub intercept: f64,
}

/// What a model says of one payment.
#[derive(Debug, Clone, PartialEq)]
pub struct Opinion {
    /// Calibrated probability of fraud.
    pub probability: f64,
    /// How unlike the past it is.
    pub novelty: f64,
    /// The score (0 to 99) and the reasons for it, as the rules take them.
    pub scored: Scored,
}

/// Why a file is no model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// Not in the form of a model.
    Form(String),
    /// Its content is not what its hash was made of: damaged or edited.
    Hash,
    /// Made for another set of features: train again.
    Features,
    /// Trees that cannot be followed, or figures that make no sense.
    Content(&'static str),
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unfit::Form(why) => write!(f, "this is not a model: {why}"),
            Unfit::Hash => write!(
                f,
                "the model is not what its hash says: it was damaged or edited after training"
            ),
            Unfit::Features => write!(
                f,
                "the model was trained on other features than this program has: train it again"
            ),
            Unfit::Content(why) => write!(f, "the model is unsound: {why}"),
        }
    }
}

impl std::error::Error for Unfit {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'a> {
    hash: &'a str,
    #[serde(borrow)]
    model: &'a RawValue,
}

impl Model {
    /// Reads a file and checks everything about it: hash, features, trees.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(file: &str) -> Result<Self, Unfit> {
        let form = |error: serde_json::Error| Unfit::Form(error.to_string());
        let file: File<'_> = serde_json::from_str(file).map_err(form)?;
        if hash(file.model.get()) != file.hash {
            return Err(Unfit::Hash);
        }
        Model::new(serde_json::from_str(file.model.get()).map_err(form)?, file.hash)
    }

    /// The file of this model.
    ///
    /// # Errors
    /// None that a trained model can cause.
    pub fn write(body: &Body) -> Result<String, serde_json::Error> {
        let model = serde_json::to_string(body)?;
        Ok(format!("{{\"hash\":\"{}\",\"model\":{model}}}\n", hash(&model)))
    }

    fn new(body: Body, hash: &str) -> Result<Self, Unfit> {
        if body.format != FORMAT {
            return Err(Unfit::Form(format!(
                "its format is {}, this program reads {FORMAT}",
                body.format
            )));
        }
        let names = FEATURES.iter().map(|line| line.name);
        let known = body.features.iter().map(String::as_str).eq(names)
            && body.reference.is_for_these_features()
            && body.novelty.is_for_these_features();
        if !known {
            return Err(Unfit::Features);
        }
        body.trees.check(FEATURES.len()).map_err(Unfit::Content)?;
        let Thresholds { review, block } = body.thresholds;
        if !(0.0 < review && review <= block && block < 1.0) {
            return Err(Unfit::Content("its thresholds are not probabilities in order"));
        }
        if !(body.calibration.slope > 0.0 && body.calibration.intercept.is_finite()) {
            return Err(Unfit::Content("its calibration turns the ranking around"));
        }
        Ok(Model {
            id: hash[..12.min(hash.len())].into(),
            layout: Layout::of(&body.trees),
            body,
        })
    }

    /// First digits of its hash: which model said it.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Everything about it.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Score and probability, and nothing for a person: what a challenger is asked.
    pub fn score(&self, features: &Features) -> (f64, f64) {
        let margin = match &self.layout {
            Some(layout) => layout.margin(features).0,
            None => self.body.trees.margin(features.values()),
        };
        let probability = self.body.calibration.probability(margin);
        (self.score_of(probability), probability)
    }

    /// Score, probability, novelty and the reasons for them.
    pub fn judge(&self, features: &Features) -> Opinion {
        let mut contributions = [0.0; FEATURES.len()];
        let (margin, paths) = match &self.layout {
            Some(layout) => {
                let (margin, paths) = layout.margin(features);
                (margin, Some((layout, paths)))
            }
            None => (self.body.trees.explain(features.values(), &mut contributions), None),
        };
        let probability = self.body.calibration.probability(margin);
        let score = self.score_of(probability);
        let mut reasons = Vec::new();
        if score >= reason::SCORE_MIN {
            if let Some((layout, paths)) = paths {
                layout.explain(&paths, &mut contributions);
            }
            reasons = reason::of_contributions(features, &contributions, score);
        }
        let novelty = self.body.novelty.score(features);
        if novelty > self.body.novelty.threshold
            && let Some((feature, value, _)) = self.body.novelty.most_unusual(features)
        {
            reasons.push(reason::of_novelty(feature, value));
        }
        Opinion {
            probability,
            novelty,
            scored: Scored { score, reasons },
        }
    }

    /// Exact Shapley values in log-odds, the largest in size first: for a person who looks at the case.
    pub fn shapley(&self, features: &Features) -> Vec<(Feature, f64)> {
        let mut contributions = [0.0; FEATURES.len()];
        self.body.trees.shapley(features.values(), &mut contributions);
        let named = FEATURES
            .iter()
            .zip(contributions)
            .map(|(line, contribution)| (line.feature, contribution));
        let mut named: Vec<(Feature, f64)> = named.filter(|(_, contribution)| *contribution != 0.0).collect();
        named.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        named
    }

    fn score_of(&self, probability: f64) -> f64 {
        score_of(probability, &self.body.thresholds)
    }
}

impl Calibration {
    /// Probability of fraud.
    pub fn probability(&self, margin: f64) -> f64 {
        log_odds_to_probability(self.slope * margin + self.intercept)
    }

    /// The calibration that makes what was observed the most likely (Newton's method on two numbers): margins, whether it was
    /// fraud, and how many payments each stands for.
    pub fn fit(scored: &[(f64, bool, f64)]) -> Self {
        let mut fit = Calibration {
            slope: 1.0,
            intercept: 0.0,
        };
        for _ in 0..50 {
            let (mut gradient, mut curvature) = ([0.0; 2], [1e-6, 0.0, 1e-6]);
            for (margin, fraud, stands_for) in scored {
                let probability = fit.probability(*margin);
                let error = stands_for * (probability - f64::from(u8::from(*fraud)));
                let weight = stands_for * probability * (1.0 - probability);
                gradient[0] += error * margin;
                gradient[1] += error;
                curvature[0] += weight * margin * margin;
                curvature[1] += weight * margin;
                curvature[2] += weight;
            }
            let determinant = curvature[0] * curvature[2] - curvature[1] * curvature[1];
            if determinant.abs() < 1e-12 {
                break;
            }
            let slope = (gradient[0] * curvature[2] - gradient[1] * curvature[1]) / determinant;
            let intercept = (gradient[1] * curvature[0] - gradient[0] * curvature[1]) / determinant;
            fit.slope = (fit.slope - slope.clamp(-1.0, 1.0)).max(0.01);
            fit.intercept -= intercept.clamp(-2.0, 2.0);
        }
        fit
    }
}

/// A score that means the same after every training: 65 is where a review pays, 75 where a block does; in between and
/// beyond, log-odds are drawn out evenly.
pub fn score_of(probability: f64, thresholds: &Thresholds) -> f64 {
    let log_odds = |probability: f64| (probability / (1.0 - probability)).ln();
    let (review, block) = (log_odds(thresholds.review), log_odds(thresholds.block));
    let at = log_odds(probability.clamp(1e-9, 1.0 - 1e-9));
    let score = if at < review {
        65.0 - (review - at) * 65.0 / 7.0
    } else if at < block {
        65.0 + (at - review) * 10.0 / (block - review)
    } else {
        75.0 + (at - block) * 24.0 / 5.0
    };
    score.clamp(0.0, 99.0)
}

pub(crate) fn log_odds_to_probability(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_finds_the_slope_and_intercept_of_the_truth() {
        let truth = Calibration {
            slope: 0.6,
            intercept: -1.5,
        };
        let mut random = 7u64;
        let scored: Vec<(f64, bool, f64)> = (0..40_000)
            .map(|n| {
                let margin = f64::from(n % 200) / 20.0 - 5.0;
                random = crate::attempt::mix(random);
                (
                    margin,
                    (random >> 11) as f64 / (1u64 << 53) as f64 <= truth.probability(margin),
                    1.0,
                )
            })
            .collect();
        let fit = Calibration::fit(&scored);
        assert!(
            (fit.slope - truth.slope).abs() < 0.05 && (fit.intercept - truth.intercept).abs() < 0.1,
            "{fit:?}"
        );
    }

    #[test]
    fn the_score_rises_with_the_probability_and_passes_65_and_75_at_the_thresholds() {
        let thresholds = Thresholds {
            review: 0.05,
            block: 0.8,
        };
        let scores: Vec<f64> = (0..=1_000)
            .map(|n| score_of(f64::from(n) / 1_000.0, &thresholds))
            .collect();
        assert!(scores.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!((score_of(0.05, &thresholds) - 65.0).abs() < 1e-9 && (score_of(0.8, &thresholds) - 75.0).abs() < 1e-9);
        assert_eq!((scores[0], scores[1_000]), (0.0, 99.0));
        let same = Thresholds {
            review: 0.5,
            block: 0.5,
        };
        assert!((score_of(0.5, &same) - 75.0).abs() < 1e-9);
    }
}
