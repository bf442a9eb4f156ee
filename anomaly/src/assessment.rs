//! The answer: a decision, a score, and the reasons for both. Must never hold anything but what explains the decision:
//! it is stored with the payment and shown to the people it concerns.

use crate::rules::Action;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What was decided about an attempt, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// What to do with the attempt.
    pub decision: Decision,
    /// Risk from 0 (none seen) to 99.
    pub score: u8,
    /// The score as a band.
    pub level: Level,
    /// The rule that gave the decision: an allow rule too; none when no rule asked for anything.
    pub rule: Option<Arc<str>>,
    /// What the model said and every rule that fired, largest contribution first.
    pub reasons: Vec<Reason>,
    /// Rules on trial that fired, with what they would have asked for.
    pub shadow: Vec<Shadow>,
}

/// A rule that is watched and does not act yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow {
    /// Its name.
    pub rule: Arc<str>,
    /// What it would have asked for.
    pub action: Action,
}

/// One rule that fired, with the value that made it fire.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// Name of the rule, or `model`.
    pub rule: Arc<str>,
    /// Stable machine-readable code; rules about the same thing share it.
    pub code: Arc<str>,
    /// A sentence with the values in it.
    pub message: String,
    /// Name of the feature that decided, as in [`crate::FEATURES`], or `list`.
    pub feature: &'static str,
    /// That feature's value, in its unit.
    pub value: f64,
    /// Points of the score owed to this reason.
    pub contribution: f64,
}

/// What to do with an attempt, in order of severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Send it on.
    Allow,
    /// Let the cardholder prove who they are first (3-D Secure).
    Challenge,
    /// Authorize, and let a person decide before the money is captured.
    Review,
    /// Do not send it to the acquirer.
    Block,
}

/// The score in bands, with the names that Stripe's `risk_level` uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Below the elevated threshold.
    Normal,
    /// From 65.
    Elevated,
    /// From 75.
    Highest,
}
