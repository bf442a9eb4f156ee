//! Lists that people keep and rules ask about: who is blocked, trusted, watched. Must never decide by themselves: the rules
//! do. They belong to whoever keeps them (the gateway, in its database) and are not in a snapshot of the engine.

use crate::attempt::{Attempt, mix};
use crate::entity::{EntityId, KeyHasher, Kind, ip_key};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::net::IpAddr;
use std::sync::Arc;

/// Lists that always exist, perhaps empty: alias and what they hold. The default rules ask about them.
pub const BUILT_IN: &[(&str, Kind)] = &[
    ("card_fingerprint_blocklist", Kind::Card),
    ("card_bin_blocklist", Kind::Bin),
    ("customer_id_blocklist", Kind::Customer),
    ("email_blocklist", Kind::Email),
    ("ip_address_blocklist", Kind::Ip),
    ("device_blocklist", Kind::Device),
    ("card_fingerprint_allowlist", Kind::Card),
    ("card_bin_allowlist", Kind::Bin),
    ("customer_id_allowlist", Kind::Customer),
    ("email_allowlist", Kind::Email),
    ("ip_address_allowlist", Kind::Ip),
    ("device_allowlist", Kind::Device),
    ("card_fingerprint_elevated", Kind::Card),
    ("card_fingerprint_highest", Kind::Card),
];

/// Who is on a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Card fingerprint, by [`crate::key`].
    Card(u64),
    /// Customer id, by [`crate::key`].
    Customer(u64),
    /// E-mail address, by [`crate::key`].
    Email(u64),
    /// Device, by [`crate::key`].
    Device(u64),
    /// IP address.
    Ip(IpAddr),
    /// First digits of the card, as [`Attempt::bin`] gives them.
    Bin(u32),
}

impl Subject {
    fn id(self) -> EntityId {
        let (kind, key) = match self {
            Subject::Card(key) => (Kind::Card, key),
            Subject::Customer(key) => (Kind::Customer, key),
            Subject::Email(key) => (Kind::Email, key),
            Subject::Device(key) => (Kind::Device, key),
            Subject::Ip(ip) => (Kind::Ip, ip_key(ip)),
            Subject::Bin(bin) => (Kind::Bin, mix(u64::from(bin))),
        };
        EntityId { kind, key }
    }
}

/// All lists of one keeper, built once and read by many.
#[derive(Debug, Clone)]
pub struct Lists {
    names: Vec<(Arc<str>, Kind)>,
    entries: HashMap<EntityId, Vec<Entry>, BuildHasherDefault<KeyHasher>>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    list: u16,
    /// Event time, exclusive; `i64::MAX` is never.
    expires_at_ms: i64,
}

impl Default for Lists {
    /// The built-in lists, empty.
    fn default() -> Self {
        Lists {
            names: BUILT_IN
                .iter()
                .map(|(alias, kind)| (Arc::from(*alias), *kind))
                .collect(),
            entries: HashMap::default(),
        }
    }
}

impl Lists {
    /// Makes a list. False when the alias exists with another kind, or there are 65,536 lists.
    pub fn define(&mut self, alias: &str, kind: Kind) -> bool {
        match self.find(alias) {
            Some((_, known)) => known == kind,
            None if self.names.len() <= usize::from(u16::MAX) => {
                self.names.push((Arc::from(alias), kind));
                true
            }
            None => false,
        }
    }

    /// Puts a subject on a list until `expires_at_ms` (event time, exclusive), or for good. False when there is no such
    /// list of this kind of subject.
    pub fn add(&mut self, alias: &str, subject: Subject, expires_at_ms: Option<i64>) -> bool {
        let id = subject.id();
        let Some((list, _)) = self.find(alias).filter(|(_, kind)| *kind == id.kind) else {
            return false;
        };
        let expires_at_ms = expires_at_ms.unwrap_or(i64::MAX);
        let entries = self.entries.entry(id).or_default();
        match entries.iter_mut().find(|entry| entry.list == list) {
            Some(entry) => entry.expires_at_ms = entry.expires_at_ms.max(expires_at_ms),
            None => entries.push(Entry { list, expires_at_ms }),
        }
        true
    }

    /// The number and kind of a list.
    pub(crate) fn find(&self, alias: &str) -> Option<(u16, Kind)> {
        let place = self.names.iter().position(|(name, _)| &**name == alias)?;
        Some((u16::try_from(place).ok()?, self.names[place].1))
    }

    /// What this attempt is on, looked up once for all rules.
    pub(crate) fn look_up(&self, attempt: &Attempt) -> Listed<'_> {
        let mut listed = Listed {
            at_ms: attempt.at_ms,
            entries: [&[]; Kind::ALL.len()],
        };
        if !self.entries.is_empty() {
            for kind in Kind::LISTED {
                if let Some(entries) = EntityId::of(kind, attempt).and_then(|id| self.entries.get(&id)) {
                    listed.entries[kind as usize] = entries;
                }
            }
        }
        listed
    }
}

/// The lists an attempt is on, by kind of subject.
#[derive(Debug)]
pub(crate) struct Listed<'a> {
    at_ms: i64,
    entries: [&'a [Entry]; Kind::ALL.len()],
}

impl Listed<'_> {
    pub fn on(&self, kind: Kind, list: u16) -> bool {
        self.entries[kind as usize]
            .iter()
            .any(|entry| entry.list == list && self.at_ms < entry.expires_at_ms)
    }
}
