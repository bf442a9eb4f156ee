//! Trains boosted trees on labelled features. The only place that knows the training library: what it gives is flattened
//! into [`Trees`], and serving never calls it. Same rows, same settings: same trees.

use super::cost::{Costs, Outcome, curve};
use super::drift::Reference;
use super::novelty::Novelty;
use super::trees::{Node, Trees};
use super::{Body, Calibration, FORMAT, Metrics, Origin, score_of};
use crate::attempt::mix;
use crate::features::{FEATURES, Features};
use crate::metrics;
use forust_ml::sampler::SampleMethod;
use forust_ml::{GradientBooster, Matrix};
use serde::{Deserialize, Serialize};

/// How to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Trees.
    pub trees: usize,
    /// Questions from root to leaf.
    pub depth: usize,
    /// How much of each tree's answer counts.
    pub learning_rate: f32,
    /// Share of the rows that each tree sees.
    pub subsample: f32,
    /// Cuts per feature. Fraud sits in the tails: with 256, a tenth of the average precision is lost.
    pub bins: u16,
    /// Least weight (rows times p(1-p)) of a leaf.
    pub min_leaf_weight: f32,
    /// L2 penalty on leaves.
    pub l2: f32,
    /// Seed of the sampling.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            trees: 300,
            depth: 4,
            learning_rate: 0.05,
            subsample: 0.7,
            bins: 4096,
            min_leaf_weight: 1.0,
            l2: 1.0,
            seed: 1,
        }
    }
}

/// Labelled features, row after row.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    values: Vec<f64>,
    frauds: Vec<f64>,
    weights: Vec<f64>,
}

impl Rows {
    /// Adds a row.
    pub fn push(&mut self, values: &[f64; FEATURES.len()], fraud: bool) {
        self.push_weighted(values, fraud, 1.0);
    }

    /// Adds a row that stands for `weight` payments: it was drawn by chance, and its like were not looked at.
    pub fn push_weighted(&mut self, values: &[f64; FEATURES.len()], fraud: bool, weight: f64) {
        self.add(values, fraud, weight);
    }

    fn add(&mut self, values: &[f64], fraud: bool, weight: f64) {
        self.values.extend_from_slice(values);
        self.frauds.push(f64::from(u8::from(fraud)));
        self.weights.push(weight);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.frauds.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.frauds.is_empty()
    }

    /// Number of frauds.
    pub fn frauds(&self) -> usize {
        self.frauds.iter().filter(|fraud| **fraud > 0.0).count()
    }

    /// Each row with its label.
    pub fn iter(&self) -> impl Iterator<Item = (&[f64], bool)> {
        let rows = self.values.chunks_exact(FEATURES.len());
        rows.zip(self.frauds.iter().map(|fraud| *fraud > 0.0))
    }

    /// The same as features.
    pub fn features(&self) -> impl Iterator<Item = (Features, bool)> {
        let rows = self.values.as_chunks().0.iter();
        rows.map(|values| Features::from_values(*values))
            .zip(self.frauds.iter().map(|fraud| *fraud > 0.0))
    }

    fn column(&self, feature: usize) -> impl Iterator<Item = f64> {
        self.values.iter().skip(feature).step_by(FEATURES.len()).copied()
    }
}

/// Trees from rows. An error if they hold no fraud or nothing else.
pub fn train(rows: &Rows, settings: &Settings) -> Result<Trees, String> {
    let frauds = rows.frauds();
    if frauds == 0 || frauds == rows.len() {
        return Err(format!(
            "{} payments with {frauds} frauds teach nothing: both kinds are needed",
            rows.len()
        ));
    }
    // columns that never vary would only cost time
    let columns: Vec<usize> = (0..FEATURES.len())
        .filter(|feature| varies(rows.column(*feature)))
        .collect();
    let data: Vec<f64> = columns.iter().flat_map(|feature| rows.column(*feature)).collect();
    let mut booster = GradientBooster::default()
        .set_iterations(settings.trees)
        .set_max_depth(settings.depth)
        .set_learning_rate(settings.learning_rate)
        .set_subsample(settings.subsample)
        .set_sample_method(if settings.subsample < 1.0 { SampleMethod::Random } else { SampleMethod::None })
        .set_nbins(settings.bins)
        .set_min_leaf_weight(settings.min_leaf_weight)
        .set_l2(settings.l2)
        .set_seed(settings.seed)
        // from even odds: from the prior's, the first trees see next to no gradient where fraud is rare
        .set_base_score(0.0)
        .set_initialize_base_score(false);
    let matrix = Matrix::new(&data, rows.len(), columns.len());
    booster
        .fit(&matrix, &rows.frauds, &rows.weights, None)
        .map_err(|error| format!("training failed: {error}"))?;
    flatten(&booster, &columns)
}

fn varies(mut column: impl Iterator<Item = f64>) -> bool {
    let first = column.next().map(f64::to_bits);
    column.any(|value| Some(value.to_bits()) != first)
}

fn flatten(booster: &GradientBooster, columns: &[usize]) -> Result<Trees, String> {
    let mut trees = Trees {
        start: booster.base_score,
        roots: Vec::new(),
        nodes: Vec::new(),
    };
    for tree in &booster.trees {
        let first = trees.nodes.len() as u32;
        trees.roots.push(first);
        for node in &tree.nodes {
            trees.nodes.push(Node {
                threshold: if node.is_leaf { 0.0 } else { node.split_value },
                value: node.weight_value,
                cover: node.hessian_sum,
                left: if node.is_leaf {
                    0
                } else {
                    first + node.left_child as u32
                },
                right: if node.is_leaf {
                    0
                } else {
                    first + node.right_child as u32
                },
                feature: if node.is_leaf {
                    0
                } else {
                    columns[node.split_feature] as u16
                },
                missing_left: !node.is_leaf && node.missing_node == node.left_child,
            });
        }
    }
    // children follow their parents, so one walk backwards gives each branch the mean of its leaves
    for place in (0..trees.nodes.len()).rev() {
        let node = trees.nodes[place];
        if !node.is_leaf() {
            let (left, right) = (trees.nodes[node.left as usize], trees.nodes[node.right as usize]);
            let cover = left.cover + right.cover;
            trees.nodes[place].cover = cover;
            trees.nodes[place].value = (left.value * left.cover + right.value * right.cover) / cover;
        }
    }
    trees
        .check(FEATURES.len())
        .map_err(|why| format!("the trained trees are unsound: {why}"))?;
    Ok(trees)
}

/// Fewer frauds are anecdotes.
const FRAUDS_MIN: usize = 10;

/// Trains a model with everything that belongs to it. Calibration and metrics come from payments held out: three times, the
/// trees of two thirds of the cards judge the last third. `amounts_minor` and `cards` are of the rows, in their order.
///
/// # Errors
/// Too little to learn from.
pub fn model(
    rows: &Rows,
    cards: &[u64],
    amounts_minor: &[i64],
    origin: Origin,
    settings: &Settings,
    costs: Costs,
) -> Result<Body, String> {
    const PARTS: u64 = 3;
    if rows.frauds() < FRAUDS_MIN {
        return Err(format!(
            "{} payments with {} frauds teach nothing: at least {FRAUDS_MIN} frauds are needed",
            rows.len(),
            rows.frauds()
        ));
    }
    let part = |place: usize| mix(cards[place] ^ 0x70_6172_7473) % PARTS;
    let mut held_out: Vec<(f64, bool, f64)> = vec![(0.0, false, 0.0); rows.len()];
    for out in 0..PARTS {
        let mut rest = Rows::default();
        for (place, (values, fraud)) in rows.iter().enumerate() {
            if part(place) != out {
                rest.add(values, fraud, rows.weights[place]);
            }
        }
        let trees = train(&rest, settings)?;
        for (place, (values, fraud)) in rows.iter().enumerate() {
            if part(place) == out {
                held_out[place] = (trees.margin(values), fraud, rows.weights[place]);
            }
        }
    }
    let calibration = Calibration::fit(&held_out);
    let probabilities: Vec<(f64, bool)> = held_out
        .iter()
        .map(|(margin, fraud, _)| (calibration.probability(*margin), *fraud))
        .collect();
    let squares = probabilities
        .iter()
        .map(|(p, fraud)| (p - f64::from(u8::from(*fraud))).powi(2));
    let metrics = Metrics {
        auc: metrics::auc(&probabilities).unwrap_or_default(),
        average_precision: metrics::average_precision(&probabilities).unwrap_or_default(),
        brier: squares.sum::<f64>() / rows.len() as f64,
    };
    let outcomes: Vec<Outcome> = probabilities
        .iter()
        .zip(amounts_minor)
        .map(|((probability, fraud), amount_minor)| Outcome {
            probability: *probability,
            fraud: *fraud,
            amount_minor: *amount_minor,
        })
        .collect();
    let frauds = outcomes.iter().filter(|outcome| outcome.fraud);
    let mean_fraud = frauds.clone().map(|outcome| outcome.amount_minor as f64).sum::<f64>() / frauds.count() as f64;
    let thresholds = costs.thresholds(mean_fraud);
    let trees = train(rows, settings)?;
    let reference: Vec<&[f64]> = rows.iter().map(|(values, _)| values).collect();
    let scores: Vec<f64> = reference
        .iter()
        .map(|values| score_of(calibration.probability(trees.margin(values)), &thresholds))
        .collect();
    Ok(Body {
        format: FORMAT,
        features: FEATURES.iter().map(|line| line.name.to_owned()).collect(),
        origin,
        metrics,
        settings: settings.clone(),
        calibration,
        costs,
        thresholds,
        curve: curve(&outcomes, &costs, 20),
        reference: Reference::learn(&reference, &scores),
        novelty: Novelty::learn(&reference),
        trees,
    })
}
