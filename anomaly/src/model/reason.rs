//! Reasons of a model in words: which features spoke for fraud, with their values. Must never name a feature that spoke
//! against it: a reason explains a suspicion.

use crate::assessment::Reason;
use crate::features::{FEATURES, Feature, Features, Unit};
use std::fmt::Write;
use std::sync::{Arc, LazyLock};

/// Reasons given at most.
const REASONS_MAX: usize = 3;
/// Below this score nothing needs a reason.
pub(super) const SCORE_MIN: f64 = 20.0;
/// Log-odds below which a contribution is noise.
const CONTRIBUTION_MIN: f64 = 0.05;

/// The largest contributions for fraud, as points of the score that they share; for scores from [`SCORE_MIN`].
pub(super) fn of_contributions(features: &Features, contributions: &[f64; FEATURES.len()], score: f64) -> Vec<Reason> {
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
                CODES[place].clone(),
                features.value(line.feature),
                score * contribution / all,
                "",
            )
        })
        .collect()
}

/// One that no label taught.
pub(super) fn of_novelty(feature: Feature, value: f64) -> Reason {
    reason(
        feature,
        "novel_pattern".into(),
        Some(value),
        0.0,
        "Unlike earlier payments. ",
    )
}

/// Codes by feature, made once: every payment has reasons.
static CODES: LazyLock<Vec<Arc<str>>> = LazyLock::new(|| FEATURES.iter().map(|line| code(line.name).into()).collect());
static MODEL: LazyLock<Arc<str>> = LazyLock::new(|| "model".into());

fn reason(feature: Feature, code: Arc<str>, value: Option<f64>, contribution: f64, before: &str) -> Reason {
    let line = &FEATURES[feature as usize];
    let meaning = line.meaning.trim_end_matches('.');
    let mut message = String::with_capacity(before.len() + meaning.len() + 40); // once: every payment has reasons
    message.push_str(before);
    match value {
        None => {
            let (first, rest) = meaning.split_at(1);
            message.extend(["Not given: ", &first.to_lowercase(), rest]);
        }
        Some(value) if line.unit == Unit::Flag && value > 0.0 => message.push_str(meaning),
        Some(_) if line.unit == Unit::Flag => message.extend(["Not so: ", meaning]),
        Some(value) => {
            message.extend([meaning, ": "]);
            show(&mut message, value, line.unit);
        }
    }
    Reason {
        rule: MODEL.clone(),
        code,
        message,
        feature: line.name,
        value: value.unwrap_or_default(),
        contribution,
    }
}

fn show(message: &mut String, value: f64, unit: Unit) {
    let shown = match unit {
        Unit::Ratio => write!(message, "{:.1} %", value * 100.0),
        Unit::Hours if value >= 48.0 => write!(message, "{:.0} days", value / 24.0),
        Unit::Hours => write!(message, "{value:.1} hours"),
        Unit::Times => write!(message, "{value:.1} times"),
        Unit::Deviations => write!(message, "{value:.1} mean deviations"),
        Unit::Minor => write!(message, "{value:.0} minor units"),
        Unit::Count | Unit::Flag => write!(message, "{value:.0}"),
    };
    debug_assert!(shown.is_ok(), "a text takes everything");
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
