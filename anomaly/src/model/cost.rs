//! Where to put the thresholds: by what fraud, a reviewer's minutes and a lost sale cost. Amounts are in minor units of one
//! currency; expected costs are estimates, so they are floats and never become a booking.

use serde::{Deserialize, Serialize};

/// What things cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Costs {
    /// Lost with a fraud, as a share of its amount.
    pub fraud_share: f64,
    /// Lost with a fraud whatever its amount: the dispute's fee.
    pub fraud_fee_minor: f64,
    /// One review by a person.
    pub review_minor: f64,
    /// Lost with a genuine payment that is blocked, as a share of its amount: margin, and a customer who may not return.
    pub lost_sale_share: f64,
}

impl Default for Costs {
    fn default() -> Self {
        Costs {
            fraud_share: 1.0,
            fraud_fee_minor: 1_500.0,
            review_minor: 300.0,
            lost_sale_share: 0.3,
        }
    }
}

/// Probabilities of fraud from which it pays to act.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// To let a person look.
    pub review: f64,
    /// To block at once.
    pub block: f64,
}

impl Costs {
    /// The thresholds for payments of this amount. A review finds the truth and costs its minutes; a block saves the fraud and
    /// loses the genuine sale: review pays from `review / fraud`, a block costs less than a review once the genuine sales it
    /// loses are worth less than the minutes.
    pub fn thresholds(&self, amount_minor: f64) -> Thresholds {
        let fraud = (self.fraud_share * amount_minor + self.fraud_fee_minor).max(1.0);
        let sale = (self.lost_sale_share * amount_minor).max(1.0);
        let review = (self.review_minor / fraud).clamp(0.001, 0.98);
        // without a review that pays, a block must pay against letting it through
        let block = (1.0 - self.review_minor / sale)
            .max(sale / (sale + fraud))
            .clamp(0.01, 0.99);
        Thresholds {
            review: review.min(block),
            block,
        }
    }
}

/// One scored payment of the past.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Probability of fraud that was given to it.
    pub probability: f64,
    /// Whether it was.
    pub fraud: bool,
    /// How much it was about.
    pub amount_minor: i64,
}

/// What would have happened, had all from this probability up been stopped by review.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Probability of fraud from which payments are flagged.
    pub threshold: f64,
    /// Share of the payments flagged.
    pub flagged: f64,
    /// Share of fraud among the flagged.
    pub precision: f64,
    /// Share of the frauds flagged.
    pub recall: f64,
    /// Share of the frauds' amount flagged.
    pub recall_amount: f64,
    /// Fraud that got through and reviews, per payment, in minor units.
    pub cost_minor: f64,
}

/// The curve over the thresholds at which each of `points` equal shares of the frauds is found, the highest threshold first.
pub fn curve(outcomes: &[Outcome], costs: &Costs, points: usize) -> Vec<Point> {
    let mut ranked = outcomes.to_vec();
    ranked.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    let frauds = ranked.iter().filter(|outcome| outcome.fraud).count();
    let amount = |outcome: &Outcome| outcome.amount_minor as f64;
    let loss = |outcome: &Outcome| costs.fraud_share * amount(outcome) + costs.fraud_fee_minor;
    let lost = |outcome: &&Outcome| outcome.fraud;
    let all_amount: f64 = ranked.iter().filter(lost).map(amount).sum();
    let mut through: f64 = ranked.iter().filter(lost).map(loss).sum();
    let (mut found, mut found_amount, mut next) = (0usize, 0.0, 1usize);
    let mut curve = Vec::new();
    for (place, outcome) in ranked.iter().enumerate() {
        if !outcome.fraud {
            continue;
        }
        found += 1;
        found_amount += amount(outcome);
        through -= loss(outcome);
        if found * points >= next * frauds {
            next = found * points / frauds + 1;
            let flagged = (place + 1) as f64;
            curve.push(Point {
                threshold: outcome.probability,
                flagged: flagged / ranked.len() as f64,
                precision: found as f64 / flagged,
                recall: found as f64 / frauds as f64,
                recall_amount: found_amount / all_amount.max(1.0),
                cost_minor: (through + flagged * costs.review_minor) / ranked.len() as f64,
            });
        }
    }
    curve
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dearer_reviews_mean_fewer_and_dearer_sales_fewer_blocks() {
        let costs = Costs::default();
        let usual = costs.thresholds(5_000.0);
        assert!(usual.review < usual.block);
        let dear_review = Costs {
            review_minor: 1_000.0,
            ..costs
        }
        .thresholds(5_000.0);
        assert!(dear_review.review > usual.review && dear_review.block < usual.block);
        let dear_sale = Costs {
            lost_sale_share: 1.0,
            ..costs
        }
        .thresholds(5_000.0);
        assert!(dear_sale.block > usual.block);
        assert!(
            costs.thresholds(50_000.0).review < usual.review,
            "a larger amount is looked at sooner"
        );
    }

    #[test]
    fn the_curve_counts_what_is_above_its_threshold() {
        let outcome = |probability, fraud, amount_minor| Outcome {
            probability,
            fraud,
            amount_minor,
        };
        let outcomes = [
            outcome(0.9, true, 1_000),
            outcome(0.8, false, 500),
            outcome(0.5, true, 3_000),
            outcome(0.1, false, 1),
        ];
        let costs = Costs {
            fraud_share: 1.0,
            fraud_fee_minor: 0.0,
            review_minor: 100.0,
            lost_sale_share: 0.3,
        };
        let points = curve(&outcomes, &costs, 10);
        assert_eq!(points.len(), 2);
        assert_eq!(
            (points[0].flagged, points[0].precision, points[0].recall),
            (0.25, 1.0, 0.5)
        );
        assert_eq!(
            (points[0].recall_amount, points[0].cost_minor),
            (0.25, (3_000.0 + 100.0) / 4.0)
        );
        assert_eq!((points[1].recall, points[1].cost_minor), (1.0, 300.0 / 4.0));
        assert!(curve(&outcomes[3..], &costs, 10).is_empty());
    }
}
