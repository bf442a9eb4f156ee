//! Lists that people keep: who is always blocked, held to be risky, or let through. Must never decide by themselves:
//! the rules do. They belong to whoever sets them (the gateway keeps them in its database) and are not in a snapshot.

use crate::attempt::{Attempt, mix};
use crate::entity::{EntityId, Kind, ip_key};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

/// A list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum List {
    /// Rules do not stop these; the block list still does.
    Allow,
    /// Risk is elevated.
    Elevated,
    /// Risk is highest.
    Highest,
    /// Always blocked.
    Block,
}

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

/// The lists an attempt is on, each with the kind of subject that put it there.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Listed([Option<Kind>; 4]);

impl Listed {
    pub fn on(&self, list: List) -> Option<Kind> {
        self.0[list as usize]
    }
}

/// Expiry by list; `i64::MAX` is never.
type Entry = [Option<i64>; 4];

#[derive(Debug, Default)]
pub(crate) struct Lists(RwLock<HashMap<EntityId, Entry>>);

impl Lists {
    pub fn set(&self, list: List, subject: Subject, expires_at_ms: Option<i64>) {
        let mut lists = self.0.write().unwrap_or_else(PoisonError::into_inner);
        lists.entry(subject.id()).or_default()[list as usize] = Some(expires_at_ms.unwrap_or(i64::MAX));
    }

    pub fn unset(&self, list: List, subject: Subject) {
        let mut lists = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = lists.get_mut(&subject.id()) {
            entry[list as usize] = None;
            if entry.iter().all(Option::is_none) {
                lists.remove(&subject.id());
            }
        }
    }

    pub fn look_up(&self, attempt: &Attempt) -> Listed {
        let lists = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut listed = Listed::default();
        if lists.is_empty() {
            return listed;
        }
        for kind in Kind::ALL {
            let Some(entry) = EntityId::of(kind, attempt).and_then(|id| lists.get(&id)) else {
                continue;
            };
            for (slot, expires_at_ms) in listed.0.iter_mut().zip(entry) {
                if expires_at_ms.is_some_and(|end| attempt.at_ms < end) {
                    slot.get_or_insert(kind);
                }
            }
        }
        listed
    }
}
