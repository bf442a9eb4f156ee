//! Anomaly: judges a payment attempt before it is sent to the acquirer, with reasons a person can read.
//!
//! [`Engine::assess`] reads what is known about the card, customer, e-mail, IP, subnet, device, BIN and merchant of an
//! attempt and judges it by a [`Policy`] (rules and lists): allow, challenge, review or block. [`Engine::observe`] adds the
//! attempt and its outcome to that knowledge, and [`Engine::label`] what became known later: whether it was fraud.
//!
//! What this crate must never do: perform I/O, read a clock, draw a random number, see a card number (ids arrive as
//! hashes), or let a float touch money (features are floats; sums of amounts are integers). The same calls in the same
//! order give the same bits, so memory is only a cache of the stored history, and a replay of that history a backtest.
//!
//! An attempt counts from the moment it is observed: attempts still in flight are invisible to each other.

mod assessment;
mod attempt;
pub mod backtest;
mod config;
mod engine;
mod entity;
mod features;
mod few;
mod lists;
pub mod metrics;
pub mod model;
mod neighbours;
mod profile;
mod rules;
mod tile;
mod window;

pub use assessment::{Assessment, Decision, Level, Reason, Shadow};
pub use attempt::{Attempt, DeclineKind, Label, Outcome, Verdict, key};
pub use config::Config;
pub use engine::{Engine, Snapshot};
pub use entity::Kind;
pub use features::{FEATURES, Feature, FeatureInfo, Features, Unit};
pub use lists::{BUILT_IN, Lists, Subject};
pub use rules::{
    Action, CONDITION_MAX, Mistake, NAMES, PARTS_MAX, Policy, RULES_MAX, Refused, Rule, Scored, State, defaults,
};
pub use tile::Counts;
pub use window::{EXACT_MAX, History, Observation, TILES, Totals, Window};
