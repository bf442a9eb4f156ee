//! Drift: whether features and scores still look as they did when the model was trained (population stability index). Must
//! never decide anything: it tells people to look.

use crate::features::{FEATURES, Features};
use serde::{Deserialize, Serialize};

/// How features and scores were spread in training, in tenths; and how the index of a share is named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// By feature, then the score.
    columns: Vec<Column>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Column {
    name: String,
    /// Upper edges of all bins but the last, rising.
    edges: Vec<f64>,
    /// Share of the reference in each bin, and last that of "not given".
    shares: Vec<f64>,
}

/// Counts of live payments against a [`Reference`]. Add them, read [`Drift::report`], start anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    payments: u64,
    counts: Vec<Vec<u64>>,
}

/// The stability of one feature, or of the score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stability {
    /// Name of the feature, or `score`.
    pub name: String,
    /// Population stability index.
    pub psi: f64,
    /// What it means.
    pub level: DriftLevel,
}

/// The usual reading of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftLevel {
    /// Below 0.1.
    Stable,
    /// From 0.1: look at it.
    Moving,
    /// From 0.25: the model may no longer hold.
    Drifted,
}

const BINS: usize = 10;

impl Reference {
    /// From the rows of a training window and their scores.
    pub fn learn(rows: &[&[f64]], scores: &[f64]) -> Self {
        let features = FEATURES
            .iter()
            .enumerate()
            .map(|(place, line)| Column::learn(line.name, rows.iter().map(|row| row[place])));
        let score = Column::learn("score", scores.iter().copied());
        Reference {
            columns: features.chain([score]).collect(),
        }
    }

    pub(super) fn is_for_these_features(&self) -> bool {
        let names = FEATURES.iter().map(|line| line.name).chain(["score"]);
        self.columns.iter().map(|column| column.name.as_str()).eq(names)
            && self
                .columns
                .iter()
                .all(|column| column.shares.len() == column.edges.len() + 2)
    }
}

impl Column {
    fn learn(name: &str, values: impl Iterator<Item = f64>) -> Self {
        let (mut given, mut missing) = (Vec::new(), 0.0);
        for value in values {
            if value.is_nan() {
                missing += 1.0
            } else {
                given.push(value)
            }
        }
        given.sort_by(f64::total_cmp);
        let quantile = |k: usize| given.get(given.len() * k / BINS).copied();
        let mut edges: Vec<f64> = (1..BINS).filter_map(quantile).collect();
        edges.dedup();
        let mut column = Column {
            name: name.to_owned(),
            shares: vec![0.0; edges.len() + 2],
            edges,
        };
        for value in &given {
            let bin = column.bin(*value);
            column.shares[bin] += 1.0;
        }
        *column.shares.last_mut().unwrap_or(&mut 0.0) = missing;
        let all = given.len() as f64 + missing;
        column.shares.iter_mut().for_each(|share| *share /= all.max(1.0));
        column
    }

    fn bin(&self, value: f64) -> usize {
        if value.is_nan() {
            return self.shares.len() - 1;
        }
        self.edges.partition_point(|edge| *edge <= value)
    }
}

impl Drift {
    /// Nothing counted yet.
    pub fn new(reference: &Reference) -> Self {
        Drift {
            payments: 0,
            counts: reference
                .columns
                .iter()
                .map(|column| vec![0; column.shares.len()])
                .collect(),
        }
    }

    /// Counts a live payment and its score.
    pub fn add(&mut self, reference: &Reference, features: &Features, score: f64) {
        self.payments += 1;
        let values = features.values().iter().copied().chain([score]);
        for ((counts, column), value) in self.counts.iter_mut().zip(&reference.columns).zip(values) {
            counts[column.bin(value)] += 1;
        }
    }

    /// Payments counted.
    pub fn payments(&self) -> u64 {
        self.payments
    }

    /// The index of each feature and of the score, the largest first; nothing below a thousand payments, where chance alone
    /// moves it.
    pub fn report(&self, reference: &Reference) -> Vec<Stability> {
        if self.payments < 1_000 {
            return Vec::new();
        }
        let all = self.payments as f64;
        let columns = self.counts.iter().zip(&reference.columns).map(|(counts, column)| {
            let bins = counts.iter().zip(&column.shares);
            let psi: f64 = bins
                .map(|(count, share)| {
                    let (now, then) = ((*count as f64 / all).max(1e-4), share.max(1e-4));
                    (now - then) * (now / then).ln()
                })
                .sum();
            let level = match psi {
                psi if psi >= 0.25 => DriftLevel::Drifted,
                psi if psi >= 0.1 => DriftLevel::Moving,
                _ => DriftLevel::Stable,
            };
            Stability {
                name: column.name.clone(),
                psi,
                level,
            }
        });
        let mut report: Vec<Stability> = columns.collect();
        report.sort_by(|a, b| b.psi.total_cmp(&a.psi));
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_stable_and_a_shift_is_found_where_it_is() {
        let row = |n: u32, shift: f64| {
            let mut row = [f64::NAN; FEATURES.len()];
            row[0] = f64::from(n * 7919 % 1000) + shift;
            row[1] = f64::from(n % 2);
            row
        };
        let rows: Vec<_> = (0..5_000).map(|n| row(n, 0.0)).collect();
        let rows: Vec<&[f64]> = rows.iter().map(|row| &row[..]).collect();
        let scores: Vec<f64> = (0..5_000).map(|n| f64::from(n % 100)).collect();
        let reference = Reference::learn(&rows, &scores);
        assert!(reference.is_for_these_features());
        let drift = |shift: f64, payments: u32| {
            let mut drift = Drift::new(&reference);
            (0..payments)
                .for_each(|n| drift.add(&reference, &Features::from_values(row(n, shift)), f64::from(n % 100)));
            drift.report(&reference)
        };
        assert!(drift(0.0, 999).is_empty());
        assert!(drift(0.0, 4_000).iter().all(|line| line.level == DriftLevel::Stable));
        let shifted = drift(400.0, 4_000);
        assert_eq!(
            (shifted[0].name.as_str(), shifted[0].level),
            ("amount", DriftLevel::Drifted)
        );
        assert!(shifted[1..].iter().all(|line| line.level == DriftLevel::Stable));
    }
}
