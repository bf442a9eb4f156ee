//! How good a ranking is: the figures that back-tests and models report. Must never look at anything but scores and truth.

use std::collections::{BTreeMap, BTreeSet};

/// Area under the ROC curve: how often a fraud is scored above a genuine payment, ties counting half. None without both.
pub fn auc(scored: &[(f64, bool)]) -> Option<f64> {
    let frauds = scored.iter().filter(|(_, fraud)| *fraud).count() as f64;
    let genuine = scored.len() as f64 - frauds;
    if frauds == 0.0 || genuine == 0.0 {
        return None;
    }
    let mut rank_sum = 0.0;
    let mut below = 0.0;
    for tie in by_score(scored).chunk_by(|a, b| a.0 == b.0) {
        let in_tie = tie.iter().filter(|(_, fraud)| *fraud).count() as f64;
        rank_sum += in_tie * (below + (tie.len() as f64 + 1.0) / 2.0);
        below += tie.len() as f64;
    }
    Some((rank_sum - frauds * (frauds + 1.0) / 2.0) / (frauds * genuine))
}

/// Average precision: the precision at each threshold, weighted by the recall it adds. None without a fraud.
pub fn average_precision(scored: &[(f64, bool)]) -> Option<f64> {
    let frauds = scored.iter().filter(|(_, fraud)| *fraud).count() as f64;
    if frauds == 0.0 {
        return None;
    }
    let (mut flagged, mut found, mut area) = (0.0, 0.0, 0.0);
    let mut highest_first = by_score(scored);
    highest_first.reverse();
    for tie in highest_first.chunk_by(|a, b| a.0 == b.0) {
        let in_tie = tie.iter().filter(|(_, fraud)| *fraud).count() as f64;
        flagged += tie.len() as f64;
        found += in_tie;
        area += in_tie / frauds * found / flagged;
    }
    Some(area)
}

/// Card precision at `k`: the mean over the days of the share of compromised cards among the `k` highest scored ones of that
/// day. A card has its highest score of the day; one that was found is not looked for again. None without a day.
pub fn card_precision(days: &[Vec<CardScore>], k: usize) -> Option<f64> {
    let mut found = BTreeSet::new();
    let mut precisions = Vec::new();
    for day in days {
        let mut cards: BTreeMap<u64, (f64, bool)> = BTreeMap::new();
        for payment in day.iter().filter(|payment| !found.contains(&payment.card)) {
            let (score, fraud) = cards.entry(payment.card).or_insert((f64::NEG_INFINITY, false));
            *score = score.max(payment.score);
            *fraud |= payment.fraud;
        }
        let mut ranked: Vec<_> = cards.into_iter().collect();
        ranked.sort_by(|(_, (a, _)), (_, (b, _))| b.total_cmp(a)); // stable: ties by card
        let hits: Vec<u64> = ranked
            .iter()
            .take(k)
            .filter(|(_, (_, fraud))| *fraud)
            .map(|(card, _)| *card)
            .collect();
        precisions.push(hits.len() as f64 / k as f64);
        found.extend(hits);
    }
    (!precisions.is_empty()).then(|| precisions.iter().sum::<f64>() / precisions.len() as f64)
}

/// One payment for [`card_precision`].
#[derive(Debug, Clone, Copy)]
pub struct CardScore {
    /// Whose.
    pub card: u64,
    /// How risky.
    pub score: f64,
    /// Whether it was fraud.
    pub fraud: bool,
}

fn by_score(scored: &[(f64, bool)]) -> Vec<(f64, bool)> {
    let mut sorted = scored.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORED: [(f64, bool); 6] = [
        (0.1, false),
        (0.4, false),
        (0.35, true),
        (0.8, true),
        (0.8, false),
        (0.05, false),
    ];

    #[test]
    fn auc_and_average_precision_equal_figures_worked_out_by_hand() {
        // 0.8 beats three and ties one, 0.35 beats two: (3.5 + 2) / (2 * 4)
        assert_eq!(auc(&SCORED), Some(0.6875));
        // at 0.8 one of two found (precision 1/2), at 0.35 both of four (1/2)
        assert_eq!(average_precision(&SCORED), Some(0.5));
        assert_eq!(auc(&[(0.5, true)]), None);
        assert_eq!(average_precision(&[(0.5, false)]), None);
    }

    #[test]
    fn a_card_that_was_found_is_not_looked_for_again() {
        let payment = |card, score, fraud| CardScore { card, score, fraud };
        let first = vec![
            payment(1, 0.9, true),
            payment(2, 0.8, false),
            payment(1, 0.1, false),
            payment(3, 0.2, true),
        ];
        let second = vec![payment(1, 0.9, true), payment(3, 0.5, true), payment(4, 0.1, false)];
        assert_eq!(card_precision(&[first, second], 2), Some(0.5)); // {1} of {1, 2}, then {3} of {3, 4}
        assert_eq!(card_precision(&[], 2), None);
    }
}
