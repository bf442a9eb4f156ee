//! Reasons of a model in words: which features spoke for fraud, with their values. Must never name a feature that spoke
//! against it: a reason explains a suspicion.

use crate::assessment::Reason;
use crate::features::{FEATURES, Feature, Features, Unit};

/// Reasons given at most.
const REASONS_MAX: usize = 3;
/// Below this score nothing needs a reason.
const SCORE_MIN: f64 = 20.0;
/// Log-odds below which a contribution is noise.
const CONTRIBUTION_MIN: f64 = 0.05;

/// The largest contributions for fraud, as points of the score that they share.
pub(super) fn of_contributions(features: &Features, contributions: &[f64; FEATURES.len()], score: f64) -> Vec<Reason> {
    if score < SCORE_MIN {
        return Vec::new();
    }
    let all: f64 = contributions.iter().filter(|contribution| **contribution > 0.0).sum();
    let mut largest = [(0.0, 0); REASONS_MAX];
    for (place, contribution) in contributions.iter().enumerate() {
        if *contribution > largest[REASONS_MAX - 1].0 {
            largest[REASONS_MAX - 1] = (*contribution, place);
            largest.sort_by(|a, b| b.0.total_cmp(&a.0));
        }
    }
    let spoken = largest
        .into_iter()
        .filter(|(contribution, _)| *contribution >= CONTRIBUTION_MIN);
    spoken
        .map(|(contribution, place)| {
            let line = &FEATURES[place];
            reason(
                line.feature,
                code(line.name),
                features.value(line.feature),
                score * contribution / all,
                "",
            )
        })
        .collect()
}

/// One that no label taught.
pub(super) fn of_novelty(feature: Feature, value: f64) -> Reason {
    reason(feature, "novel_pattern", Some(value), 0.0, "Unlike earlier payments. ")
}

fn reason(feature: Feature, code: &'static str, value: Option<f64>, contribution: f64, before: &str) -> Reason {
    let line = &FEATURES[feature as usize];
    let meaning = line.meaning.trim_end_matches('.');
    let message = match value {
        None => format!("{before}Not given: {}{}", meaning[..1].to_lowercase(), &meaning[1..]),
        Some(value) if line.unit == Unit::Flag && value > 0.0 => format!("{before}{meaning}"),
        Some(_) if line.unit == Unit::Flag => format!("{before}Not so: {meaning}"),
        Some(value) => format!("{before}{meaning}: {}", shown(value, line.unit)),
    };
    Reason {
        rule: "model".into(),
        code: code.into(),
        message,
        feature: line.name,
        value: value.unwrap_or_default(),
        contribution,
    }
}

fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Ratio => format!("{:.1} %", value * 100.0),
        Unit::Hours if value >= 48.0 => format!("{:.0} days", value / 24.0),
        Unit::Hours => format!("{value:.1} hours"),
        Unit::Times => format!("{value:.1} times"),
        Unit::Deviations => format!("{value:.1} mean deviations"),
        Unit::Minor => format!("{value:.0} minor units"),
        Unit::Count | Unit::Flag => format!("{value:.0}"),
    }
}

/// Stable codes: features about the same thing share one.
fn code(name: &str) -> &'static str {
    let about = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if about(&["fraud", "risk", "genuine"]) {
        "fraud_history"
    } else if about(&["probe", "bad_", "small", "repeats"]) {
        "card_testing"
    } else if about(&["decline"]) {
        "declines"
    } else if about(&["amount", "outlier"]) {
        "amount_unusual"
    } else if about(&["cards", "linked", "ips"]) {
        "shared_identity"
    } else if about(&["unseen", "age"]) {
        "new_identity"
    } else if about(&["hour"]) {
        "unusual_time"
    } else if about(&["attempts", "gap", "payments"]) {
        "velocity"
    } else {
        "pattern"
    }
}
