//! How unlike the past a payment is, without any label: for what no label has taught yet. Must never read a feature that
//! comes from labels, or speak of what merely is rare in one place: only far tails count.

use crate::features::{Feature, Features};
use serde::{Deserialize, Serialize};

/// Upper tails of the features in [`FEATURES_READ`], as they were in a reference period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Novelty {
    tails: Vec<Tail>,
    /// The score that one in a thousand reference payments exceeded.
    pub threshold: f64,
}

/// The values that 1/2, 1/4, 1/8 .. of the reference exceeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tail {
    feature: String,
    halvings: Vec<f64>,
}

/// Features without labels whose large values mean something.
pub const FEATURES_READ: &[Feature] = &[
    Feature::Amount,
    Feature::LinkedCards30d,
    Feature::CardAmountVsMean30d,
    Feature::CardAmountVsMax,
    Feature::CardAmountDeviations,
    Feature::CardOutliers24h,
    Feature::CardOutliers7d,
    Feature::CardAttempts1h,
    Feature::CardAttempts24h,
    Feature::CardDeclines24h,
    Feature::CardIps30d,
    Feature::CustomerAmountDeviations,
    Feature::CustomerCards30d,
    Feature::EmailCards30d,
    Feature::DeviceCards30d,
    Feature::IpCards30d,
    Feature::IpProbes1h,
    Feature::MerchantAmountDeviations,
    Feature::MerchantProbeSurge,
    Feature::MerchantDeclineSurge,
    Feature::TerminalAmountDeviations,
];

impl Novelty {
    /// From payments of a reference period.
    pub fn learn(reference: &[&[f64]]) -> Self {
        let tails = FEATURES_READ.iter().map(|feature| {
            let mut values: Vec<f64> = reference
                .iter()
                .map(|row| row[*feature as usize])
                .filter(|value| !value.is_nan())
                .collect();
            values.sort_by(f64::total_cmp);
            let halvings = (1..).map(|k| values.len() >> k).take_while(|above| *above >= 4);
            Tail {
                feature: feature.name().to_owned(),
                halvings: halvings.map(|above| values[values.len() - above]).collect(),
            }
        });
        let mut novelty = Novelty {
            tails: tails.collect(),
            threshold: f64::MAX, // a number that a file can hold
        };
        let mut scores: Vec<f64> = reference.iter().map(|row| novelty.score_of(row)).collect();
        scores.sort_by(f64::total_cmp);
        if let Some(place) = (scores.len() * 999 / 1_000).checked_sub(1) {
            novelty.threshold = scores[place];
        }
        novelty
    }

    /// 0 for what was usual; grows with how rare each feature's value was.
    pub fn score(&self, features: &Features) -> f64 {
        self.score_of(features.values())
    }

    /// The feature that is the most unusual one, with its value and how many bits of surprise it adds.
    pub fn most_unusual(&self, features: &Features) -> Option<(Feature, f64, f64)> {
        let parts = FEATURES_READ.iter().zip(&self.tails).map(|(feature, tail)| {
            let value = features.values()[*feature as usize];
            (*feature, value, tail.surprise(value))
        });
        parts
            .filter(|(_, _, surprise)| *surprise > 0.0)
            .max_by(|a, b| a.2.total_cmp(&b.2))
    }

    pub(super) fn is_for_these_features(&self) -> bool {
        self.tails.len() == FEATURES_READ.len()
            && self
                .tails
                .iter()
                .zip(FEATURES_READ)
                .all(|(tail, feature)| tail.feature == feature.name())
    }

    fn score_of(&self, values: &[f64]) -> f64 {
        let parts = FEATURES_READ.iter().zip(&self.tails);
        parts
            .map(|(feature, tail)| tail.surprise(values[*feature as usize]))
            .sum()
    }
}

impl Tail {
    /// Halvings beyond [`USUAL`]: one in 64 is still usual. Beyond the last value seen it goes on as it went before, by at
    /// most three.
    fn surprise(&self, value: f64) -> f64 {
        // nearly all values: not beyond the halving that ends what is usual
        if self
            .halvings
            .get(USUAL as usize - 1)
            .is_some_and(|usual| value <= *usual)
        {
            return 0.0;
        }
        let (Some(last), false) = (self.halvings.last(), value.is_nan()) else {
            return 0.0;
        };
        let above = self.halvings.partition_point(|halving| *halving < value);
        let step = |from: f64, to: f64| if to > from { (value - from) / (to - from) } else { 1.0 };
        let bits = match above {
            0 => 0.0,
            all if all == self.halvings.len() => {
                let before = self.halvings.get(all.wrapping_sub(2)).copied().unwrap_or(*last);
                let beyond = if *last > before {
                    (value - last) / (last - before)
                } else {
                    1.0
                };
                all as f64 + beyond.clamp(0.0, 3.0)
            }
            some => some as f64 + step(self.halvings[some - 1], self.halvings[some]).min(1.0),
        };
        (bits - USUAL).max(0.0)
    }
}

const USUAL: f64 = 6.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::FEATURES;

    #[test]
    fn the_usual_is_no_surprise_and_the_unheard_of_is() {
        let rows: Vec<[f64; FEATURES.len()]> = (0..10_000)
            .map(|n| {
                let mut row = [f64::NAN; FEATURES.len()];
                row[Feature::Amount as usize] = f64::from(n);
                row
            })
            .collect();
        let reference: Vec<&[f64]> = rows.iter().map(|row| &row[..]).collect();
        let novelty = Novelty::learn(&reference);
        let score = |amount: f64| {
            let mut row = rows[0];
            row[Feature::Amount as usize] = amount;
            novelty.score(&Features::from_values(row))
        };
        assert_eq!([score(5_000.0), score(f64::NAN)], [0.0, 0.0]);
        assert!(score(9_995.0) > 0.0);
        assert!(score(20_000.0) > score(9_995.0) && score(1e300) < 20.0);
        let flagged = (0..10_000).filter(|n| score(f64::from(*n)) > novelty.threshold).count();
        assert!((1..=20).contains(&flagged), "{flagged}");
        assert!(novelty.is_for_these_features());
    }
}
