//! What is known about one card, customer, address and so on, and the sharded memory of all of them. Must never hold a
//! lock longer than one look at one key, nor more bytes than it was given.

use crate::attempt::{Attempt, mix};
use crate::window::{History, Observation, Totals};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a key identifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Card fingerprint.
    Card,
    /// Customer id.
    Customer,
    /// E-mail address.
    Email,
    /// Device or browser.
    Device,
    /// IP address.
    Ip,
    /// IPv4 /24 or IPv6 /64.
    Subnet,
    /// First digits of the card.
    Bin,
    /// Merchant.
    Merchant,
}

impl Kind {
    /// All, in the order of [`Kind`] as an index.
    pub const ALL: [Kind; 8] = [
        Kind::Card,
        Kind::Customer,
        Kind::Email,
        Kind::Device,
        Kind::Ip,
        Kind::Subnet,
        Kind::Bin,
        Kind::Merchant,
    ];
}

/// A key with what it identifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct EntityId {
    pub kind: Kind,
    pub key: u64,
}

impl EntityId {
    /// The entity of this kind in the attempt, if given.
    pub fn of(kind: Kind, attempt: &Attempt) -> Option<EntityId> {
        let key = match kind {
            Kind::Card => attempt.card?,
            Kind::Customer => attempt.customer?,
            Kind::Email => attempt.email?,
            Kind::Device => attempt.device?,
            Kind::Ip => ip_key(attempt.ip?),
            Kind::Subnet => subnet_key(attempt.ip?),
            Kind::Bin => mix(u64::from(attempt.bin?)),
            Kind::Merchant => attempt.merchant,
        };
        Some(EntityId { kind, key })
    }
}

pub(crate) fn ip_key(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => mix(u64::from(v4.to_bits()) | 4 << 32),
        IpAddr::V6(v6) => mix(mix((v6.to_bits() >> 64) as u64) ^ v6.to_bits() as u64),
    }
}

fn subnet_key(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => mix(u64::from(v4.to_bits() >> 8) | 24 << 32),
        IpAddr::V6(v6) => mix((v6.to_bits() >> 64) as u64 ^ 64),
    }
}

/// What is remembered of one entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entity {
    first_ms: i64,
    last_ms: i64,
    /// Amount and currency of the attempt observed last.
    last_amount: (i64, [u8; 3]),
    /// Approved payments by currency, for as long as the entity is remembered.
    spend: Vec<Spend>,
    history: History,
}

/// Approved payments in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spend {
    currency: [u8; 3],
    pub payments: u64,
    pub amount_minor: i64,
}

/// Currencies in which an entity's spending is kept; more are not, so that one entity stays small.
const CURRENCIES_MAX: usize = 4;

/// What is known of one entity at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    pub windows: [Totals; 4],
    /// Since it was first seen; none if never.
    pub age_ms: Option<i64>,
    pub payments: u64,
    pub amount_minor: i64,
}

impl Entity {
    fn new(at_ms: i64) -> Self {
        Entity {
            first_ms: at_ms,
            last_ms: at_ms,
            last_amount: (0, [0; 3]),
            spend: Vec::new(),
            history: History::default(),
        }
    }

    fn observe(&mut self, mut o: Observation) {
        if self.last_amount == (o.amount_minor, o.currency) {
            o.flags |= Observation::REPEAT;
        }
        self.first_ms = self.first_ms.min(o.at_ms);
        self.last_ms = self.last_ms.max(o.at_ms);
        self.last_amount = (o.amount_minor, o.currency);
        if o.flags & Observation::APPROVED != 0 {
            self.spent(&o);
        }
        self.history.observe(&o);
    }

    fn spent(&mut self, o: &Observation) {
        if let Some(spend) = self.spend.iter_mut().find(|spend| spend.currency == o.currency) {
            spend.payments += 1;
            spend.amount_minor = spend.amount_minor.saturating_add(o.amount_minor);
        } else if self.spend.len() < CURRENCIES_MAX {
            self.spend.push(Spend {
                currency: o.currency,
                payments: 1,
                amount_minor: o.amount_minor,
            });
        }
    }

    fn read(&self, at_ms: i64, currency: [u8; 3]) -> Reading {
        let spend = self.spend.iter().find(|spend| spend.currency == currency);
        Reading {
            windows: self.history.totals(at_ms, currency),
            age_ms: Some(at_ms.saturating_sub(self.first_ms).max(0)),
            payments: spend.map_or(0, |spend| spend.payments),
            amount_minor: spend.map_or(0, |spend| spend.amount_minor),
        }
    }

    /// From content alone, never from capacity: a replay must evict what the first run evicted.
    fn bytes(&self) -> usize {
        let spend = if self.spend.is_empty() {
            0
        } else {
            CURRENCIES_MAX * size_of::<Spend>()
        };
        ENTRY_BYTES + spend + self.history.heap_bytes()
    }
}

/// One map entry, with the map's own spare room.
const ENTRY_BYTES: usize = 2 * (size_of::<(EntityId, Entity)>() + 1);

/// All entities, in shards that lock apart.
#[derive(Debug)]
pub(crate) struct Memory {
    shards: Vec<Mutex<Shard>>,
    shard_bytes_max: usize,
}

const SHARDS: usize = 64;

#[derive(Debug, Default)]
struct Shard {
    entities: HashMap<EntityId, Entity, BuildHasherDefault<KeyHasher>>,
    bytes: usize,
}

impl Memory {
    pub fn new(bytes_max: usize) -> Self {
        Memory {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            shard_bytes_max: (bytes_max / SHARDS).max(64 << 10),
        }
    }

    pub fn read(&self, id: EntityId, at_ms: i64, currency: [u8; 3]) -> Reading {
        let shard = self.shard(id);
        shard
            .entities
            .get(&id)
            .map_or_else(Reading::default, |entity| entity.read(at_ms, currency))
    }

    pub fn observe(&self, id: EntityId, o: Observation) {
        let mut guard = self.shard(id);
        let shard = &mut *guard;
        let (entity, before) = match shard.entities.entry(id) {
            Entry::Occupied(known) => {
                let before = known.get().bytes();
                (known.into_mut(), before)
            }
            Entry::Vacant(place) => (place.insert(Entity::new(o.at_ms)), 0),
        };
        entity.observe(o);
        shard.bytes = shard.bytes + entity.bytes() - before;
        if shard.bytes > self.shard_bytes_max {
            shard.evict(self.shard_bytes_max);
        }
    }

    /// Entities in one fixed order.
    pub fn entities(&self) -> Vec<(EntityId, Entity)> {
        let mut all: Vec<_> = self
            .shards
            .iter()
            .flat_map(|shard| lock(shard).clone_entities())
            .collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// Puts remembered entities back.
    pub fn insert(&self, id: EntityId, entity: Entity) {
        let mut shard = self.shard(id);
        shard.bytes += entity.bytes();
        if let Some(replaced) = shard.entities.insert(id, entity) {
            shard.bytes -= replaced.bytes();
        }
        if shard.bytes > self.shard_bytes_max {
            shard.evict(self.shard_bytes_max);
        }
    }

    /// Entities remembered, and the bytes they are accounted at.
    pub fn size(&self) -> (usize, usize) {
        self.shards.iter().fold((0, 0), |(entities, bytes), shard| {
            let shard = lock(shard);
            (entities + shard.entities.len(), bytes + shard.bytes)
        })
    }

    fn shard(&self, id: EntityId) -> MutexGuard<'_, Shard> {
        lock(&self.shards[hash(id) as usize % SHARDS])
    }
}

impl Shard {
    /// Forgets the longest idle until a quarter of the room is free: rare, so cheap per attempt. Ties go by id, so the
    /// order of the map does not matter.
    fn evict(&mut self, bytes_max: usize) {
        let mut idle: Vec<(i64, EntityId)> = self.entities.iter().map(|(id, entity)| (entity.last_ms, *id)).collect();
        idle.sort_unstable();
        for (_, id) in idle {
            if self.bytes <= bytes_max / 4 * 3 {
                break;
            }
            if let Some(entity) = self.entities.remove(&id) {
                self.bytes -= entity.bytes();
            }
        }
    }

    fn clone_entities(&self) -> Vec<(EntityId, Entity)> {
        self.entities.iter().map(|(id, entity)| (*id, entity.clone())).collect()
    }
}

/// A panic elsewhere cannot leave a shard half written in a way that matters: counters only.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hash(id: EntityId) -> u64 {
    mix(id
        .key
        .wrapping_add((id.kind as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// Keys are hashes already: one multiplication and a rotation spread them, and no randomness enters. The shard takes
/// the low bits of [`hash`], so this must not.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = mix(self.0.rotate_left(23) ^ word.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word as u64);
    }
}
