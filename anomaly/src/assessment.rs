//! The answer: a decision, a score, and the reasons for both. Must never hold anything but what explains the decision:
//! it is stored with the payment and shown to the people it concerns.

use serde::{Deserialize, Serialize};

/// What was decided about an attempt, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Assessment {
    /// What to do with the attempt.
    pub decision: Decision,
    /// Risk from 0 (none seen) to 99.
    pub score: u8,
    /// The score as a band.
    pub level: Level,
    /// The rule that gave the decision; none when no rule asked for more than `Allow`.
    pub rule: Option<&'static str>,
    /// Every rule that fired, largest contribution first.
    pub reasons: Vec<Reason>,
}

/// One rule that fired, with the value that made it fire.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reason {
    /// Name of the rule, as in [`crate::RULES`].
    pub rule: &'static str,
    /// Stable machine-readable code; rules about the same thing share it.
    pub code: &'static str,
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
#[non_exhaustive] // a challenge of the cardholder belongs between Allow and Review
pub enum Decision {
    /// Send it on.
    Allow,
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
    /// At or above [`crate::Config::elevated_score`].
    Elevated,
    /// At or above [`crate::Config::highest_score`].
    Highest,
}
