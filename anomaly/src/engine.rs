//! The engine: memory, lists and rules put together. Must never hold a lock while it computes, or let one attempt's
//! assessment change another's: `assess` only reads, `observe` only writes.

use crate::assessment::{Assessment, Decision, Level, Reason};
use crate::attempt::{Attempt, DeclineKind, Label, Outcome};
use crate::config::Config;
use crate::entity::{ENTITY_BYTES_MAX, Entity, EntityId, Kind, Memory};
use crate::features::{Facts, Features};
use crate::lists::{List, Lists, Subject};
use crate::rules::{Case, Hit, RULES, Rule};
use crate::window::Observation;
use serde::{Deserialize, Serialize};

/// Assesses attempts from many threads at once.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    rules: Vec<&'static Rule>,
    lists: Lists,
    memory: Memory,
}

impl Engine {
    /// What one entity takes at most, in bytes, whatever is sent; all of them together stay within
    /// [`Config::memory_bytes_max`].
    pub const ENTITY_BYTES_MAX: usize = ENTITY_BYTES_MAX;

    /// An engine that has seen nothing.
    pub fn new(config: Config) -> Self {
        let rules = RULES
            .iter()
            .filter(|rule| !config.disabled_rules.iter().any(|name| name == rule.name))
            .collect();
        let memory = Memory::new(config.memory_bytes_max);
        Engine {
            config,
            rules,
            lists: Lists::default(),
            memory,
        }
    }

    /// Judges an attempt by what was observed before it. Changes nothing.
    pub fn assess(&self, attempt: &Attempt) -> Assessment {
        self.judge(attempt, &self.features(attempt))
    }

    /// The features of an attempt: what [`Engine::assess`] looks at, and a model is trained on.
    pub fn features(&self, attempt: &Attempt) -> Features {
        let readings = Kind::ALL.map(|kind| {
            let id = EntityId::of(kind, attempt)?;
            Some(self.memory.read(id, attempt.at_ms, attempt.currency))
        });
        let small_amount_minor = self.config.small_amount_minor(attempt.currency, attempt.exponent);
        Features::extract(&Facts {
            attempt,
            readings,
            small_amount_minor,
        })
    }

    /// Remembers an attempt and what became of it. Call it once per attempt, when the outcome is known; late attempts
    /// are put in their place (see [`crate::History`]).
    pub fn observe(&self, attempt: &Attempt, outcome: Outcome) {
        let small = attempt.amount_minor <= self.config.small_amount_minor(attempt.currency, attempt.exponent);
        let card_unseen = EntityId::of(Kind::Card, attempt).is_some_and(|card| !self.memory.knows(card));
        let mut o = Observation {
            at_ms: attempt.at_ms,
            amount_minor: attempt.amount_minor,
            counterpart: attempt.card.unwrap_or(0),
            currency: attempt.currency,
            flags: flags(outcome, card_unseen) | if small { Observation::SMALL } else { 0 },
        };
        for kind in Kind::ALL {
            let Some(id) = EntityId::of(kind, attempt) else {
                continue;
            };
            o.counterpart = match kind {
                Kind::Card => EntityId::of(Kind::Ip, attempt).map_or(0, |ip| ip.key),
                Kind::CardMerchant | Kind::CardTerminal | Kind::CardIp | Kind::CardEmail => 0,
                _ => attempt.card.unwrap_or(0),
            };
            self.memory.observe(id, o);
        }
    }

    /// Remembers what became known about an earlier attempt. Call it when it is known, in the order in which it became known:
    /// features read only what was known before.
    pub fn label(&self, attempt: &Attempt, label: Label) {
        for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_pair()) {
            if let Some(id) = EntityId::of(kind, attempt) {
                self.memory.label(id, attempt.at_ms, label);
            }
        }
    }

    /// Puts a subject on a list until `expires_at_ms` (event time, exclusive), or for good.
    pub fn list(&self, list: List, subject: Subject, expires_at_ms: Option<i64>) {
        self.lists.set(list, subject, expires_at_ms);
    }

    /// Takes a subject off a list.
    pub fn unlist(&self, list: List, subject: Subject) {
        self.lists.unset(list, subject);
    }

    /// Everything observed, in one canonical form: equal histories give equal snapshots. Not a point in time while
    /// others observe; lists and configuration are not part of it.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            version: SNAPSHOT_VERSION,
            entities: self.memory.entities(),
        }
    }

    /// An engine with the memory of a snapshot; none if it was written by another version (replay the history then).
    pub fn restore(config: Config, snapshot: Snapshot) -> Option<Self> {
        let engine = (snapshot.version == SNAPSHOT_VERSION).then(|| Engine::new(config))?;
        for (id, entity) in snapshot.entities {
            engine.memory.insert(id, entity);
        }
        Some(engine)
    }

    /// How many entities are remembered, and the bytes they are accounted at.
    pub fn size(&self) -> (usize, usize) {
        self.memory.size()
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn judge(&self, attempt: &Attempt, features: &Features) -> Assessment {
        let case = Case {
            features,
            listed: self.lists.look_up(attempt),
            config: &self.config,
        };
        let allowed = case.listed.on(List::Allow).is_some();
        let (mut decision, mut decider) = (Decision::Allow, None);
        let mut score = 0.0;
        let mut reasons = Vec::new();
        for rule in &self.rules {
            let Some(hit) = rule.hit(&case) else { continue };
            let contribution = (SCORE_MAX - score) * f64::from(rule.weight) / 100.0;
            score += contribution;
            reasons.push(reason(rule, &hit, contribution));
            let asked = rule.decision(&self.config);
            if asked > decision && (!allowed || rule.name == "block_list") {
                (decision, decider) = (asked, Some(rule.name));
            }
        }
        reasons.sort_by(|a: &Reason, b| b.contribution.total_cmp(&a.contribution));
        let score = score as u8;
        Assessment {
            decision,
            score,
            level: self.level(score),
            rule: decider,
            reasons,
        }
    }

    fn level(&self, score: u8) -> Level {
        match score {
            s if s >= self.config.highest_score => Level::Highest,
            s if s >= self.config.elevated_score => Level::Elevated,
            _ => Level::Normal,
        }
    }
}

/// What an engine remembers, to be stored and restored. Holds hashed ids, no personal data in the clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    entities: Vec<(EntityId, Entity)>,
}

const SNAPSHOT_VERSION: u32 = 2;
const SCORE_MAX: f64 = 99.0;

fn flags(outcome: Outcome, card_unseen: bool) -> u8 {
    let Outcome::Declined { code } = outcome else {
        return if outcome == Outcome::Approved {
            Observation::APPROVED
        } else {
            0
        };
    };
    let class = match code {
        DeclineKind::IncorrectNumber => Observation::BAD_NUMBER,
        DeclineKind::IncorrectCvc => Observation::BAD_CVC,
        _ => 0,
    };
    // a card without money is a real card
    let probe = card_unseen && code != DeclineKind::InsufficientFunds;
    Observation::DECLINED | class | if probe { Observation::PROBE } else { 0 }
}

fn reason(rule: &Rule, hit: &Hit, contribution: f64) -> Reason {
    let (feature, value, shown, limit) = match *hit {
        Hit::Listed(kind) => ("list", 1.0, kind.name().to_owned(), String::new()),
        Hit::Reached { feature, value, limit } => (feature.name(), value, figure(value), figure(limit)),
    };
    let message = rule.message.replace("{value}", &shown).replace("{limit}", &limit);
    Reason {
        rule: rule.name,
        code: rule.code,
        message,
        feature,
        value,
        contribution,
    }
}

/// Whole numbers plainly, others with one decimal.
fn figure(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}
