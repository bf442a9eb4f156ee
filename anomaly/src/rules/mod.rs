//! Rules as data: a CEL condition over named features and lists, what to do when it holds, and why, in words.
//!
//! [`Policy::compile`] checks and compiles a rule set once; [`Policy::judge`] reads it for every payment. The set that is
//! shipped, [`defaults`], is data like any other (`defaults.json`): whoever runs the service may change, silence or add to
//! it. A shipped rule must never fire on volume alone where honest buyers make volume: many buyers share one address (so an
//! IP asks for review unless the issuer's declines, small amounts and unknown cards say the same), one card retries, and a
//! server-to-server integration gives neither IP nor device.
//!
//! Must never change a decision by the order of two equal rules without saying so: the most severe wins, then the first.

mod chain;
mod expression;
mod message;

pub use expression::{CONDITION_MAX, Mistake, NAMES, PARTS_MAX};

use crate::assessment::{Assessment, Decision, Level, Reason, Shadow};
use crate::attempt::Attempt;
use crate::features::{Feature, Features};
use crate::lists::Lists;
use expression::{Condition, Facts, Shown};
use message::Message;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One rule as it is written and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Stable name, lower case with underscores; one rule set has it once.
    pub name: String,
    /// Stable reason code; rules about the same thing share it.
    pub code: String,
    /// What it asks for.
    pub action: Action,
    /// Percent of the remaining distance to 99 that it adds to the score (0..=100).
    #[serde(default)]
    pub weight: u8,
    /// CEL, see [`NAMES`] and [`crate::FEATURES`].
    pub condition: String,
    /// The reason in words; `{value}` is the first feature that the condition compares, `{limit}` what with, `{listed}` the
    /// kind of subject found on a list.
    pub message: String,
    /// Whether it acts or is only watched.
    #[serde(default)]
    pub state: State,
    /// An allow rule does not silence it. For block lists.
    #[serde(default)]
    pub beats_allow: bool,
}

/// What a rule asks for when its condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Adds its weight to the score and nothing else.
    Score,
    /// Silences every other rule but those that beat it.
    Allow,
    /// Let the cardholder prove who they are (3-D Secure).
    Challenge,
    /// Authorize, and let a person decide before the money is captured.
    Review,
    /// Do not send it to the acquirer.
    Block,
}

impl Action {
    /// The decision it asks for.
    pub fn decision(self) -> Decision {
        match self {
            Action::Score | Action::Allow => Decision::Allow,
            Action::Challenge => Decision::Challenge,
            Action::Review => Decision::Review,
            Action::Block => Decision::Block,
        }
    }
}

/// Whether a rule acts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It decides.
    #[default]
    Active,
    /// It is evaluated and recorded, and decides nothing.
    Shadow,
    /// It is not evaluated.
    Disabled,
}

/// Most rules of one set: 200 evaluate in a few microseconds.
pub const RULES_MAX: usize = 200;

/// Why a rule set is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Name of the rule.
    pub rule: String,
    /// What is wrong with it.
    pub mistake: Mistake,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rule {}: {}", self.rule, self.mistake)
    }
}

impl std::error::Error for Refused {}

/// The rule set that is shipped.
pub fn defaults() -> Vec<Rule> {
    // Compiled in, and a test parses it.
    serde_json::from_str(include_str!("defaults.json")).unwrap_or_default()
}

/// Rules and lists of one keeper, compiled: immutable, replaced as a whole.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: Vec<Compiled>,
    lists: Lists,
    elevated_score: u8,
    highest_score: u8,
}

#[derive(Debug, Clone)]
struct Compiled {
    name: Arc<str>,
    code: Arc<str>,
    message: Message,
    action: Action,
    weight: f64,
    shadow: bool,
    beats_allow: bool,
    condition: Condition,
}

/// What a model says about an attempt, before the rules.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scored {
    /// 0 to 99.
    pub score: f64,
    /// Its own reasons, largest contribution first.
    pub reasons: Vec<Reason>,
}

impl Policy {
    /// Compiles rules over lists; rules that are disabled are checked and left out.
    ///
    /// # Errors
    /// The first rule with a mistake.
    pub fn compile(rules: &[Rule], lists: Lists) -> Result<Self, Refused> {
        let refused = |rule: &Rule, message: String| Refused {
            rule: rule.name.clone(),
            mistake: Mistake {
                message,
                line: 1,
                column: 1,
            },
        };
        let mut compiled = Vec::with_capacity(rules.len());
        for (place, rule) in rules.iter().enumerate() {
            if place >= RULES_MAX {
                return Err(refused(rule, format!("There are at most {RULES_MAX} rules.")));
            }
            if rules[..place].iter().any(|earlier| earlier.name == rule.name) {
                return Err(refused(rule, "Another rule has this name.".to_owned()));
            }
            let condition = Condition::compile(&rule.condition, &lists).map_err(|mistake| Refused {
                rule: rule.name.clone(),
                mistake,
            })?;
            if rule.state != State::Disabled {
                compiled.push(Compiled {
                    name: rule.name.as_str().into(),
                    code: rule.code.as_str().into(),
                    message: Message::of(&rule.message),
                    action: rule.action,
                    weight: f64::from(rule.weight.min(100)) / 100.0,
                    shadow: rule.state == State::Shadow,
                    beats_allow: rule.beats_allow,
                    condition,
                });
            }
        }
        Ok(Policy {
            rules: compiled,
            lists,
            elevated_score: 65, // Stripe's defaults
            highest_score: 75,
        })
    }

    /// The shipped rules over these lists.
    pub fn shipped(lists: Lists) -> Self {
        Self::of_shipped(lists, |_| true)
    }

    /// For load tests: everything is computed as in production, and nothing but the lists speaks up.
    pub fn permissive(lists: Lists) -> Self {
        Self::of_shipped(lists, |rule| rule.condition.contains(" in lists."))
    }

    fn of_shipped(lists: Lists, keep: impl Fn(&Rule) -> bool) -> Self {
        let rules: Vec<Rule> = defaults().into_iter().filter(keep).collect();
        // A test compiles the shipped rules; lists can only add aliases to the built-in ones.
        Self::compile(&rules, lists.clone()).unwrap_or(Policy {
            rules: Vec::new(),
            lists,
            elevated_score: 65,
            highest_score: 75,
        })
    }

    /// The lists that conditions ask about.
    pub fn lists(&self) -> &Lists {
        &self.lists
    }

    /// Checks one condition against the lists of this policy.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn check(&self, condition: &str) -> Result<(), Mistake> {
        Condition::compile(condition, &self.lists).map(drop)
    }

    /// Decides about an attempt by its features, its lists and what a model said, if there is one.
    pub fn judge(&self, attempt: &Attempt, features: &Features, model: Option<Scored>) -> Assessment {
        let listed = self.lists.look_up(attempt);
        let facts = Facts {
            attempt,
            features,
            listed: &listed,
            model_score: model.as_ref().map_or(f64::NAN, |model| model.score),
        };
        let Scored { mut score, mut reasons } = model.unwrap_or_default();
        let mut shadow = Vec::new();
        let mut asked: Option<&Compiled> = None;
        let mut beyond: Option<&Compiled> = None; // the same among the rules that no allow rule silences
        let mut allowed: Option<&Compiled> = None;
        for rule in &self.rules {
            if !rule.condition.holds(&facts) {
                continue;
            }
            if rule.shadow {
                shadow.push(Shadow {
                    rule: rule.name.clone(),
                    action: rule.action,
                });
                continue;
            }
            let contribution = (SCORE_MAX - score).max(0.0) * rule.weight;
            score += contribution;
            if contribution > 0.0 || rule.action != Action::Score {
                reasons.push(rule.reason(&facts, contribution));
            }
            if rule.action == Action::Allow {
                allowed.get_or_insert(rule);
            }
            let slot = if rule.beats_allow { &mut beyond } else { &mut asked };
            let severity = |rule: &Compiled| rule.action.decision();
            if severity(rule) > slot.map_or(Decision::Allow, severity) {
                *slot = Some(rule);
            }
        }
        reasons.sort_by(|a, b| b.contribution.total_cmp(&a.contribution));
        let decider = match (beyond, allowed, asked) {
            (Some(beyond), Some(_), _) | (Some(beyond), None, None) => Some(beyond),
            (Some(beyond), None, Some(asked)) if beyond.action.decision() >= asked.action.decision() => Some(beyond),
            (None, Some(allow), _) => Some(allow),
            (_, None, asked) => asked,
        };
        let score = score.clamp(0.0, SCORE_MAX) as u8;
        Assessment {
            decision: decider.map_or(Decision::Allow, |rule| rule.action.decision()),
            score,
            level: self.level(score),
            rule: decider.map(|rule| rule.name.clone()),
            reasons,
            shadow,
        }
    }

    fn level(&self, score: u8) -> Level {
        match score {
            s if s >= self.highest_score => Level::Highest,
            s if s >= self.elevated_score => Level::Elevated,
            _ => Level::Normal,
        }
    }
}

const SCORE_MAX: f64 = 99.0;

impl Compiled {
    fn reason(&self, facts: &Facts<'_>, contribution: f64) -> Reason {
        let listed = self
            .condition
            .lists
            .iter()
            .find(|(kind, list)| facts.listed.on(*kind, *list))
            .map(|(kind, _)| *kind);
        let (feature, value, limit) = match (listed, self.condition.shown) {
            (Some(_), _) | (None, None) => ("list", 1.0, None),
            (None, Some((Shown::ModelScore, limit))) => ("model_score", facts.model_score, limit),
            (None, Some((Shown::Feature(feature), limit))) => (
                Feature::name(feature),
                facts.features.value(feature).unwrap_or_default(),
                limit,
            ),
        };
        let message = self
            .message
            .with(value, limit, listed.map_or("payment", |kind| kind.shown()));
        Reason {
            rule: self.name.clone(),
            code: self.code.clone(),
            message,
            feature,
            value,
            contribution,
        }
    }
}
