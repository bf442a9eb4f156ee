//! The engine: the memory of what was observed, read as features and judged by a policy. Must never let one attempt's
//! assessment change another's: `assess` only reads, `observe` only writes.

use crate::assessment::Assessment;
use crate::attempt::{Attempt, DeclineKind, Label, Outcome};
use crate::config::Config;
use crate::entity::{ENTITY_BYTES_MAX, Entity, EntityId, Kind, Memory};
use crate::features::{Facts, Features};
use crate::rules::Policy;
use crate::window::Observation;
use serde::{Deserialize, Serialize};

/// Assesses attempts from many threads at once.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    memory: Memory,
}

impl Engine {
    /// What one entity takes at most, in bytes, whatever is sent; all of them together stay within
    /// [`Config::memory_bytes_max`].
    pub const ENTITY_BYTES_MAX: usize = ENTITY_BYTES_MAX;

    /// An engine that has seen nothing.
    pub fn new(config: Config) -> Self {
        let memory = Memory::new(config.memory_bytes_max);
        Engine { config, memory }
    }

    /// Judges an attempt by what was observed before it and by these rules and lists. Changes nothing.
    pub fn assess(&self, attempt: &Attempt, policy: &Policy) -> Assessment {
        policy.judge(attempt, &self.features(attempt), None)
    }

    /// The features of an attempt: what [`Engine::assess`] looks at, and a model is trained on.
    pub fn features(&self, attempt: &Attempt) -> Features {
        let mut facts = Facts {
            attempt,
            readings: [const { None }; Kind::ALL.len()],
            small_amount_minor: self.config.small_amount_minor(attempt.currency, attempt.exponent),
        };
        let ids = EntityId::all_of(attempt);
        self.memory
            .read(&ids, attempt.at_ms, attempt.currency, &mut facts.readings);
        Features::extract(&facts)
    }

    /// Remembers an attempt and what became of it. Call it once per attempt, when the outcome is known; late attempts
    /// are put in their place (see [`crate::History`]).
    pub fn observe(&self, attempt: &Attempt, outcome: Outcome) {
        let small = attempt.amount_minor <= self.config.small_amount_minor(attempt.currency, attempt.exponent);
        let flags = flags(outcome) | if small { Observation::SMALL } else { 0 };
        let ids = EntityId::all_of(attempt);
        let ip = ids[Kind::Ip as usize].map_or(0, |ip| ip.key);
        self.memory.observe(&ids, |kind, card_unseen| Observation {
            at_ms: attempt.at_ms,
            amount_minor: attempt.amount_minor,
            counterpart: match kind {
                Kind::Card => ip,
                Kind::CardMerchant | Kind::CardTerminal | Kind::CardIp | Kind::CardEmail => 0,
                _ => attempt.card.unwrap_or(0),
            },
            currency: attempt.currency,
            flags: flags
                | if card_unseen && is_probe(outcome) {
                    Observation::PROBE
                } else {
                    0
                },
        });
    }

    /// An attempt that was observed as [`Outcome::Unknown`] has an outcome: it counts as what it was, at its own time, and not once
    /// more. What is no outcome changes nothing.
    pub fn resolve(&self, attempt: &Attempt, outcome: Outcome) {
        if matches!(outcome, Outcome::Unknown) {
            return;
        }
        let ids = EntityId::all_of(attempt);
        self.memory.resolve(&ids, attempt.at_ms, |card_unseen| Observation {
            at_ms: attempt.at_ms,
            amount_minor: attempt.amount_minor,
            counterpart: 0,
            currency: attempt.currency,
            flags: flags(outcome)
                | if card_unseen && is_probe(outcome) {
                    Observation::PROBE
                } else {
                    0
                },
        });
    }

    /// Remembers what became known about an earlier attempt. Call it when it is known, in the order in which it became known:
    /// features read only what was known before.
    pub fn label(&self, attempt: &Attempt, label: Label) {
        let ids = EntityId::all_of(attempt).map(|id| id.filter(|id| !id.kind.is_pair()));
        self.memory.label(&ids, attempt.at_ms, label);
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
}

/// What an engine remembers, to be stored and restored. Holds hashed ids, no personal data in the clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    entities: Vec<(EntityId, Entity)>,
}

const SNAPSHOT_VERSION: u32 = 4;

fn flags(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Approved => Observation::APPROVED,
        Outcome::Declined {
            code: DeclineKind::IncorrectNumber,
        } => Observation::DECLINED | Observation::BAD_NUMBER,
        Outcome::Declined {
            code: DeclineKind::IncorrectCvc,
        } => Observation::DECLINED | Observation::BAD_CVC,
        Outcome::Declined { .. } => Observation::DECLINED,
        Outcome::Blocked | Outcome::Unknown => 0,
    }
}

/// Whether this outcome of a card never seen before looks like a test of its number: a card without money is a real card.
fn is_probe(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Declined { code } if code != DeclineKind::InsufficientFunds)
}
