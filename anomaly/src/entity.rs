//! What is known about one card, customer, address and so on, and the memory of all of them. Must never hold more
//! bytes than it was given.

use crate::attempt::{Attempt, Label, Verdict, mix};
use crate::profile::{Habits, Labels, Profile};
use crate::window::{History, Observation, Totals, Window};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a key identifies: one thing, or two of them together.
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
    /// Terminal of a merchant, or what is sold (a listing).
    Terminal,
    /// A card at a merchant.
    CardMerchant,
    /// A card at a terminal.
    CardTerminal,
    /// A card used from an IP address.
    CardIp,
    /// A card given with an e-mail address.
    CardEmail,
    /// The cards of a BIN at a merchant.
    BinMerchant,
}

impl Kind {
    /// All, in the order of [`Kind`] as an index.
    pub const ALL: [Kind; 14] = [
        Kind::Card,
        Kind::Customer,
        Kind::Email,
        Kind::Device,
        Kind::Ip,
        Kind::Subnet,
        Kind::Bin,
        Kind::Merchant,
        Kind::Terminal,
        Kind::CardMerchant,
        Kind::CardTerminal,
        Kind::CardIp,
        Kind::CardEmail,
        Kind::BinMerchant,
    ];

    /// Whether it is two things together.
    pub fn is_pair(self) -> bool {
        self >= Kind::CardMerchant
    }

    /// Those that people keep lists of.
    pub const LISTED: [Kind; 6] = [
        Kind::Card,
        Kind::Customer,
        Kind::Email,
        Kind::Device,
        Kind::Ip,
        Kind::Bin,
    ];

    /// The name in conditions of rules.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Card => "card",
            Kind::Customer => "customer",
            Kind::Email => "email",
            Kind::Device => "device",
            Kind::Ip => "ip",
            Kind::Subnet => "subnet",
            Kind::Bin => "bin",
            Kind::Merchant => "merchant",
            Kind::Terminal => "terminal",
            Kind::CardMerchant => "card_merchant",
            Kind::CardTerminal => "card_terminal",
            Kind::CardIp => "card_ip",
            Kind::CardEmail => "card_email",
            Kind::BinMerchant => "bin_merchant",
        }
    }

    /// What a person calls it.
    pub fn shown(self) -> &'static str {
        match self {
            Kind::Email => "e-mail address",
            Kind::Ip => "IP address",
            Kind::Bin => "BIN",
            Kind::CardMerchant => "card at this merchant",
            Kind::CardTerminal => "card at this terminal",
            Kind::CardIp => "card from this IP address",
            Kind::CardEmail => "card with this e-mail address",
            Kind::BinMerchant => "BIN at this merchant",
            _ => self.name(),
        }
    }
}

/// A key with what it identifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct EntityId {
    pub kind: Kind,
    pub key: u64,
}

impl EntityId {
    /// The entities of an attempt.
    pub fn all_of(attempt: &Attempt) -> Ids {
        Kind::ALL.map(|kind| EntityId::of(kind, attempt))
    }

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
            Kind::Terminal => attempt.terminal?,
            Kind::CardMerchant => pair(attempt.card?, attempt.merchant),
            Kind::CardTerminal => pair(attempt.card?, attempt.terminal?),
            Kind::CardIp => pair(attempt.card?, ip_key(attempt.ip?)),
            Kind::CardEmail => pair(attempt.card?, attempt.email?),
            Kind::BinMerchant => pair(u64::from(attempt.bin?), attempt.merchant),
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

fn pair(one: u64, other: u64) -> u64 {
    mix(mix(one).rotate_left(32) ^ other)
}

/// What is remembered of one entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entity {
    first_ms: i64,
    last_ms: i64,
    /// Amount and currency of the attempt observed last.
    last_amount: (i64, [u8; 3]),
    /// None before the first approved payment or label, so that who only tries stays small.
    profile: Option<Box<Profile>>,
    history: History,
}

/// What is known of one entity at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    pub windows: [Totals; 7],
    /// Since it was first seen; none if never.
    pub age_ms: Option<i64>,
    /// Since it was last seen; none if never.
    pub gap_ms: Option<i64>,
    pub habits: Habits,
    pub labels: Labels,
}

impl Entity {
    fn new(at_ms: i64) -> Self {
        Entity {
            first_ms: at_ms,
            last_ms: at_ms,
            last_amount: (0, [0; 3]),
            profile: None,
            history: History::default(),
        }
    }

    fn observe(&mut self, mut o: Observation) {
        if self.last_amount == (o.amount_minor, o.currency) {
            o.flags |= Observation::REPEAT;
        }
        if self.profile.as_ref().is_some_and(|profile| profile.is_outlier(&o)) {
            o.flags |= Observation::OUTLIER;
        }
        self.first_ms = self.first_ms.min(o.at_ms);
        self.last_ms = self.last_ms.max(o.at_ms);
        self.last_amount = (o.amount_minor, o.currency);
        if o.flags & Observation::APPROVED != 0 {
            self.profile.get_or_insert_default().observe(&o);
        }
        self.history.observe(&o);
    }

    fn label(&mut self, at_ms: i64, label: Label) {
        self.profile.get_or_insert_default().labels.add(at_ms, label.verdict);
        if label.verdict != Verdict::Withdrawn {
            self.history.label(label.known_ms, label.verdict == Verdict::Fraud);
        }
    }

    fn read(&self, at_ms: i64, currency: [u8; 3], reading: &mut Reading) {
        self.history.totals(at_ms, currency, &mut reading.windows);
        reading.age_ms = Some(at_ms.saturating_sub(self.first_ms).max(0));
        reading.gap_ms = Some(at_ms.saturating_sub(self.last_ms).max(0));
        if let Some(profile) = &self.profile {
            reading.habits = profile.read(at_ms, currency);
            reading.labels = profile.labels;
        }
    }

    /// Reads a little of everything it points to.
    fn touch(&self) -> i64 {
        self.profile.as_ref().map_or(0, |profile| profile.touch()) ^ self.history.touch()
    }

    /// From content alone, never from capacity: a replay must evict what the first run evicted.
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.profile.as_ref().map_or(0, |_| Profile::BYTES) + self.history.heap_bytes()
    }
}

/// One map entry, with the map's own spare room.
const ENTRY_BYTES: usize = 2 * (size_of::<(EntityId, Entity)>() + 1);

/// What one entity can take at most, whatever an attacker sends.
pub(crate) const ENTITY_BYTES_MAX: usize = ENTRY_BYTES + Profile::BYTES + History::BYTES_MAX;

/// All entities, behind one lock: an attempt holds it for a few microseconds, and what it reads is fetched from memory at
/// once, not one entity after the other, which would cost several times as much.
#[derive(Debug)]
pub(crate) struct Memory {
    shards: Mutex<Vec<Shard>>,
    shard_bytes_max: usize,
}

/// The entities of an attempt, by [`Kind`]; none where it gives no such entity.
pub(crate) type Ids = [Option<EntityId>; Kind::ALL.len()];

/// Parts that forget apart, so that forgetting never takes long.
const SHARDS: usize = 64;

#[derive(Debug, Default)]
struct Shard {
    entities: HashMap<EntityId, Entity, BuildHasherDefault<KeyHasher>>,
    bytes: usize,
}

impl Memory {
    pub fn new(bytes_max: usize) -> Self {
        Memory {
            shards: Mutex::new((0..SHARDS).map(|_| Shard::default()).collect()),
            shard_bytes_max: (bytes_max / SHARDS).max(64 << 10),
        }
    }

    /// What is known of each entity; an empty reading of one that was never seen.
    pub fn read(&self, ids: &Ids, at_ms: i64, currency: [u8; 3]) -> [Option<Reading>; Kind::ALL.len()] {
        let shards = self.lock();
        let entities = find(&shards, ids);
        let mut readings = [const { None }; Kind::ALL.len()];
        for ((reading, entity), id) in readings.iter_mut().zip(entities).zip(ids) {
            if id.is_some() {
                let reading = reading.insert(Reading::default());
                if let Some(entity) = entity {
                    entity.read(at_ms, currency, reading);
                }
            }
        }
        readings
    }

    /// Adds an attempt to each of its entities. `observation` gives what it is to an entity, knowing whether the attempt's
    /// first entity was never seen before.
    pub fn observe(&self, ids: &Ids, observation: impl Fn(Kind, bool) -> Observation) {
        let mut shards = self.lock();
        find(&shards, ids);
        let mut first_unseen = false;
        for id in ids.iter().flatten() {
            let o = observation(id.kind, first_unseen);
            let shard = &mut shards[shard_of(*id)];
            let (entity, before) = match shard.entities.entry(*id) {
                Entry::Occupied(known) => {
                    let before = known.get().bytes();
                    (known.into_mut(), before)
                }
                Entry::Vacant(place) => (place.insert(Entity::new(o.at_ms)), 0),
            };
            entity.observe(o);
            shard.bytes = shard.bytes + entity.bytes() - before;
            first_unseen |= before == 0 && id.kind == Kind::ALL[0];
            shard.make_room(self.shard_bytes_max, o.at_ms);
        }
    }

    /// Tells each entity what became known about its attempt at `at_ms`. Who is not remembered is remembered again for fraud
    /// alone.
    pub fn label(&self, ids: &Ids, at_ms: i64, label: Label) {
        let mut shards = self.lock();
        find(&shards, ids);
        for id in ids.iter().flatten() {
            let shard = &mut shards[shard_of(*id)];
            let (entity, before) = match shard.entities.entry(*id) {
                Entry::Occupied(known) => {
                    let before = known.get().bytes();
                    (known.into_mut(), before)
                }
                Entry::Vacant(place) if label.verdict == Verdict::Fraud => (place.insert(Entity::new(at_ms)), 0),
                Entry::Vacant(_) => continue,
            };
            entity.label(at_ms, label);
            shard.bytes = shard.bytes + entity.bytes() - before;
            shard.make_room(self.shard_bytes_max, label.known_ms);
        }
    }

    /// Entities in one fixed order. Payments are let through between the shards: a million entities take a second.
    pub fn entities(&self) -> Vec<(EntityId, Entity)> {
        let mut all = Vec::new();
        for shard in 0..SHARDS {
            let shards = self.lock();
            let entities = shards[shard].entities.iter();
            all.extend(entities.map(|(id, entity)| (*id, entity.clone())));
        }
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// Puts a remembered entity back.
    pub fn insert(&self, id: EntityId, entity: Entity) {
        let mut shards = self.lock();
        let shard = &mut shards[shard_of(id)];
        let last_ms = entity.last_ms;
        shard.bytes += entity.bytes();
        if let Some(replaced) = shard.entities.insert(id, entity) {
            shard.bytes -= replaced.bytes();
        }
        shard.make_room(self.shard_bytes_max, last_ms);
    }

    /// Entities remembered, and the bytes they are accounted at.
    pub fn size(&self) -> (usize, usize) {
        let shards = self.lock();
        shards.iter().fold((0, 0), |(entities, bytes), shard| {
            (entities + shard.entities.len(), bytes + shard.bytes)
        })
    }

    /// A panic elsewhere cannot leave a shard half written in a way that matters: counters only.
    fn lock(&self) -> MutexGuard<'_, Vec<Shard>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks all entities up and asks for what they point to, before anything is computed: the processor waits for all of it
/// together.
fn find<'a>(shards: &'a [Shard], ids: &Ids) -> [Option<&'a Entity>; Kind::ALL.len()] {
    let entities = ids.map(|id| id.and_then(|id| shards[shard_of(id)].entities.get(&id)));
    let touched = entities.iter().flatten().map(|entity| entity.touch());
    std::hint::black_box(touched.fold(0, i64::wrapping_add));
    entities
}

fn shard_of(id: EntityId) -> usize {
    hash(id) as usize % SHARDS
}

impl Shard {
    /// Forgets a quarter of the entities at a time, so that the cost per attempt stays small: first those that were never
    /// approved and have been idle for a day, so that a flood of invented keys does not push out those who pay, then the
    /// longest idle. Ties go by id, so the order of the map does not matter.
    fn make_room(&mut self, bytes_max: usize, now_ms: i64) {
        if self.bytes <= bytes_max {
            return;
        }
        while self.bytes > bytes_max / 4 * 3 && !self.entities.is_empty() {
            let mut order: Vec<(bool, i64, EntityId)> = self
                .entities
                .iter()
                .map(|(id, entity)| {
                    let worthless =
                        entity.profile.is_none() && now_ms.saturating_sub(entity.last_ms) > Window::H24.length_ms();
                    (!worthless, entity.last_ms, *id)
                })
                .collect();
            let quarter = order.len().div_ceil(4);
            if quarter < order.len() {
                order.select_nth_unstable(quarter);
            }
            for (_, _, id) in &order[..quarter] {
                if let Some(entity) = self.entities.remove(id) {
                    self.bytes -= entity.bytes();
                }
            }
        }
    }
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
