//! What is known about one card, customer, address and so on, and the memory of all of them. Must never hold more
//! bytes than it was given.

use crate::attempt::{Attempt, Label, Verdict, mix};
use crate::profile::{Habits, Labels, Profile};
use crate::window::{History, Observation, Totals, Window};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hash, Hasher};
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

    /// What is kept of such an entity: no more than the features read, because that is bytes in memory and time for every payment.
    pub(crate) const fn kept(self) -> Kept {
        const fn kept(habits: bool, labels: bool, day: bool, past: bool) -> Kept {
            Kept {
                habits,
                labels,
                day,
                past,
            }
        }
        match self {
            Kind::Card | Kind::Terminal => kept(true, true, true, true),
            Kind::Customer | Kind::Merchant => kept(true, false, true, true),
            Kind::Email | Kind::Device | Kind::Ip | Kind::Subnet | Kind::Bin => kept(false, false, true, true),
            Kind::CardMerchant => kept(true, false, true, false),
            Kind::CardTerminal => kept(false, false, true, true),
            Kind::CardIp | Kind::BinMerchant => kept(false, false, true, false),
            Kind::CardEmail => kept(false, false, false, false),
        }
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

/// What is kept of the entities of one kind, beside when they were seen. A feature that reads what is not kept fails every test
/// that is not optimized away ([`crate::features`] asserts it).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// What it spends and when; outliers are told by it.
    pub habits: bool,
    /// When its payments turned out to be fraud, or not; in the windows labels are counted with the past.
    pub labels: bool,
    /// Attempts and counterparts of 24 hours.
    pub day: bool,
    /// Attempts, labels and counterparts of 7 to 90 days.
    pub past: bool,
}

/// A key with what it identifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

/// What is remembered of one entity, in one piece with its habits, once it has any, so that the processor waits for one place in
/// memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Entity {
    New(Box<Seen>),
    Known(Box<(Seen, Profile)>),
}

/// When it was seen, and in which attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    first_ms: i64,
    last_ms: i64,
    /// Amount and currency of the attempt observed last.
    last_amount: (i64, [u8; 3]),
    /// Whether it ever had an approved payment or a label: who only tries is forgotten first.
    trusted: bool,
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
        Entity::New(Box::new(Seen {
            first_ms: at_ms,
            last_ms: at_ms,
            ..Seen::default()
        }))
    }

    fn seen(&self) -> &Seen {
        match self {
            Entity::New(seen) => seen,
            Entity::Known(known) => &known.0,
        }
    }

    fn seen_mut(&mut self) -> &mut Seen {
        match self {
            Entity::New(seen) => seen,
            Entity::Known(known) => &mut known.0,
        }
    }

    fn profile(&self) -> Option<&Profile> {
        match self {
            Entity::New(_) => None,
            Entity::Known(known) => Some(&known.1),
        }
    }

    /// Changes its habits, which begin now if it had none.
    fn teach(&mut self, teach: impl FnOnce(&mut Profile)) {
        match self {
            Entity::New(seen) => {
                let (seen, mut profile) = (std::mem::take(&mut **seen), Profile::default());
                teach(&mut profile);
                *self = Entity::Known(Box::new((seen, profile)));
            }
            Entity::Known(known) => teach(&mut known.1),
        }
    }

    fn observe(&mut self, kept: Kept, mut o: Observation) {
        if self.profile().is_some_and(|profile| profile.is_outlier(&o)) {
            o.flags |= Observation::OUTLIER;
        }
        let seen = self.seen_mut();
        if seen.last_amount == (o.amount_minor, o.currency) {
            o.flags |= Observation::REPEAT;
        }
        seen.first_ms = seen.first_ms.min(o.at_ms);
        seen.last_ms = seen.last_ms.max(o.at_ms);
        seen.last_amount = (o.amount_minor, o.currency);
        if kept.day {
            seen.history.observe_kept(&o, kept.past);
        }
        self.approve(kept, &o);
    }

    /// What became of an attempt that is counted already.
    fn resolve(&mut self, kept: Kept, o: &Observation) {
        if kept.day {
            self.seen_mut().history.resolve(o, kept.past);
        }
        self.approve(kept, o);
    }

    fn approve(&mut self, kept: Kept, o: &Observation) {
        if o.flags & Observation::APPROVED != 0 {
            self.seen_mut().trusted = true;
            if kept.habits {
                self.teach(|profile| profile.observe(o));
            }
        }
    }

    fn label(&mut self, kept: Kept, at_ms: i64, label: Label) {
        let seen = self.seen_mut();
        seen.trusted = true;
        if kept.past && label.verdict != Verdict::Withdrawn {
            seen.history.label(label.known_ms, label.verdict == Verdict::Fraud);
        }
        if kept.labels {
            self.teach(|profile| profile.labels.add(at_ms, label.verdict));
        }
    }

    fn read(&self, at_ms: i64, currency: [u8; 3], reading: &mut Reading) {
        let seen = self.seen();
        seen.history.totals(at_ms, currency, &mut reading.windows);
        reading.age_ms = Some(at_ms.saturating_sub(seen.first_ms).max(0));
        reading.gap_ms = Some(at_ms.saturating_sub(seen.last_ms).max(0));
        if let Some(profile) = self.profile() {
            reading.habits = profile.read(at_ms, currency);
            reading.labels = profile.labels;
        }
    }

    /// Reads a little of each of its cache lines, and of everything that it points to.
    fn touch(&self) -> i64 {
        let seen = self.seen();
        let profile = self.profile().map_or(0, Profile::touch);
        profile ^ seen.first_ms ^ i64::from(seen.trusted) ^ seen.history.touch()
    }

    /// From content alone, never from capacity: a replay must evict what the first run evicted.
    fn bytes(&self) -> usize {
        let own = match self {
            Entity::New(_) => size_of::<Seen>(),
            Entity::Known(_) => size_of::<(Seen, Profile)>(),
        };
        ENTRY_BYTES + own + self.profile().map_or(0, |_| Profile::HEAP_BYTES_MAX) + self.seen().history.heap_bytes()
    }
}

/// One map entry, with the map's own spare room.
const ENTRY_BYTES: usize = 2 * (size_of::<(EntityId, Entity)>() + 1);

/// What one entity can take at most, whatever an attacker sends.
pub(crate) const ENTITY_BYTES_MAX: usize =
    ENTRY_BYTES + size_of::<(Seen, Profile)>() + Profile::HEAP_BYTES_MAX + History::BYTES_MAX;

/// All entities, behind one lock: an attempt holds it for a few microseconds, and what it reads is fetched from memory at
/// once, not one entity after the other, which would cost several times as much.
#[derive(Debug)]
pub(crate) struct Memory {
    shards: Mutex<Vec<Shard>>,
    shard_bytes_max: usize,
}

/// The entities of an attempt, by [`Kind`]; none where it gives no such entity.
pub(crate) type Ids = [Option<EntityId>; Kind::ALL.len()];

/// What is known of them; none where the attempt gives no such entity.
pub(crate) type Readings = [Option<Reading>; Kind::ALL.len()];

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
    pub fn read(&self, ids: &Ids, at_ms: i64, currency: [u8; 3], readings: &mut Readings) {
        let shards = self.lock();
        let entities = find(&shards, ids);
        for ((reading, entity), id) in readings.iter_mut().zip(entities).zip(ids) {
            if id.is_some() {
                let reading = reading.insert(Reading::default());
                if let Some(entity) = entity {
                    entity.read(at_ms, currency, reading);
                }
            }
        }
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
            entity.observe(id.kind.kept(), o);
            shard.bytes = shard.bytes + entity.bytes() - before;
            first_unseen |= before == 0 && id.kind == Kind::ALL[0];
            shard.make_room(self.shard_bytes_max, o.at_ms);
        }
    }

    /// Tells each entity that is still remembered what became of its attempt at `at_ms`, which had no outcome. `observation` gives
    /// what it is, knowing whether the attempt was the first that its first entity was seen with.
    pub fn resolve(&self, ids: &Ids, at_ms: i64, observation: impl Fn(bool) -> Observation) {
        let mut shards = self.lock();
        let first = ids[0].and_then(|id| shards[shard_of(id)].entities.get(&id));
        let o = observation(first.is_some_and(|first| first.seen().first_ms == at_ms));
        for id in ids.iter().flatten() {
            let shard = &mut shards[shard_of(*id)];
            if let Some(entity) = shard.entities.get_mut(id) {
                let before = entity.bytes();
                // the card is no witness of its own novelty, as when it is observed
                let flags = if id.kind == Kind::ALL[0] {
                    o.flags & !Observation::PROBE
                } else {
                    o.flags
                };
                entity.resolve(id.kind.kept(), &Observation { flags, ..o });
                shard.bytes = shard.bytes + entity.bytes() - before;
                shard.make_room(self.shard_bytes_max, at_ms);
            }
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
            entity.label(id.kind.kept(), at_ms, label);
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
        let last_ms = entity.seen().last_ms;
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
                    let worthless = !entity.seen().trusted
                        && now_ms.saturating_sub(entity.seen().last_ms) > Window::H24.length_ms();
                    (!worthless, entity.seen().last_ms, *id)
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

/// The shard takes the low bits of [`hash`], so the table must not.
impl Hash for EntityId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(hash(*self).rotate_left(32));
    }
}

/// Keys are hashes already: [`hash`] has spread them, and no randomness enters.
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
        self.0 = self.0.rotate_left(23) ^ word;
    }
}
