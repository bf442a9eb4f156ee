//! The engine: the memory of what was observed, read as features and judged by a policy. Must never hold a lock while it
//! computes, or let one attempt's assessment change another's: `assess` only reads, `observe` only writes.

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

const SNAPSHOT_VERSION: u32 = 2;

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
