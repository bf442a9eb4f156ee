//! Idempotency keys with the acquirer's exact meaning: the first answer after execution began, success or failure, is what every
//! later request with that key gets. Refused parameters and conflicts with a request in flight are not stored.
//!
//! A stored success is a reference to the object as it was, not its text: 5 million keys must not cost 15 GB.

use crate::error::ApiError;
use crate::object::{Account, ObjectRef};
use crate::store::Snapshot;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// All keys younger than [`KEPT_MS`].
#[derive(Default)]
pub struct Keys {
    entries: HashMap<(Account, Arc<str>), Entry>,
    /// Oldest first, for pruning.
    order: VecDeque<(i64, (Account, Arc<str>))>,
}

/// What became of a request with a key.
pub enum Begin {
    /// It is the first: execute it, then call [`Keys::finish`] or [`Keys::release`].
    Execute,
    /// It was answered before.
    Replay(StoredAnswer),
}

/// An answer as kept under its key.
#[derive(Clone)]
pub enum StoredAnswer {
    /// 200 with an object as it was.
    Object(Snapshot, u8),
    /// 402 for an intent as it was.
    Declined(Snapshot),
    /// Anything else, as text.
    Text(u16, Arc<str>),
}

/// How often requests with one key did what.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Times that the endpoint ran.
    pub executions: u32,
    /// Times that the stored answer was given.
    pub replays: u32,
    /// Requests refused because another one was in flight.
    pub conflicts: u32,
    /// Requests refused because their parameters or endpoint differed.
    pub mismatches: u32,
}

/// A finished key in the log; the object is the one that this line, or an earlier one, last wrote.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finished {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Account,
    key: Arc<str>,
    path: Box<str>,
    digest: [u8; 16],
    at_ms: i64,
    executions: u32,
    /// The answer.
    pub answer: Reference,
}

/// A stored answer in the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reference {
    /// 200 with this object and expansion.
    Object(ObjectRef, u8),
    /// 402 for this intent.
    Declined(ObjectRef),
    /// Status and body.
    Text(u16, Arc<str>),
}

struct Entry {
    path: Box<str>,
    digest: [u8; 16],
    state: State,
    counts: Counts,
}

enum State {
    InFlight,
    /// Refused before execution: the next request starts anew.
    Open,
    Done(StoredAnswer),
}

impl Keys {
    /// Decides what a request with this key is.
    pub fn begin(
        &mut self,
        account: &Account,
        key: &Arc<str>,
        path: &str,
        digest: [u8; 16],
        now_ms: i64,
    ) -> Result<Begin, ApiError> {
        self.prune(now_ms);
        let name = (account.clone(), key.clone());
        let Some(entry) = self.entries.get_mut(&name) else {
            self.order.push_back((now_ms, name.clone()));
            let counts = Counts {
                executions: 1,
                ..Counts::default()
            };
            self.entries.insert(
                name,
                Entry {
                    path: path.into(),
                    digest,
                    state: State::InFlight,
                    counts,
                },
            );
            return Ok(Begin::Execute);
        };
        if !matches!(entry.state, State::Open) && (*entry.path != *path || entry.digest != digest) {
            entry.counts.mismatches += 1;
            return Err(mismatch(key, &entry.path, path));
        }
        match &entry.state {
            State::InFlight => {
                entry.counts.conflicts += 1;
                Err(in_flight(key))
            }
            State::Done(answer) => {
                entry.counts.replays += 1;
                Ok(Begin::Replay(answer.clone()))
            }
            State::Open => {
                entry.counts.executions += 1;
                (entry.path, entry.digest, entry.state) = (path.into(), digest, State::InFlight);
                Ok(Begin::Execute)
            }
        }
    }

    /// Stores the answer of an executed request and gives the record to log; the caller fills in the reference.
    pub fn finish(
        &mut self,
        account: &Account,
        key: &Arc<str>,
        answer: StoredAnswer,
        reference: Reference,
        now_ms: i64,
    ) -> Option<Finished> {
        let entry = self.entries.get_mut(&(account.clone(), key.clone()))?;
        entry.state = State::Done(answer);
        Some(Finished {
            account: account.clone(),
            key: key.clone(),
            path: entry.path.clone(),
            digest: entry.digest,
            at_ms: now_ms,
            executions: entry.counts.executions,
            answer: reference,
        })
    }

    /// Forgets that a request with this key began.
    pub fn release(&mut self, account: &Account, key: &Arc<str>) {
        if let Some(entry) = self.entries.get_mut(&(account.clone(), key.clone())) {
            entry.state = State::Open;
            entry.counts.executions -= 1;
        }
    }

    /// Puts a key back from the log.
    pub fn restore(&mut self, finished: &Finished, answer: StoredAnswer) {
        let name = (finished.account.clone(), finished.key.clone());
        self.order.push_back((finished.at_ms, name.clone()));
        let counts = Counts {
            executions: finished.executions,
            ..Counts::default()
        };
        let state = State::Done(answer);
        self.entries.insert(
            name,
            Entry {
                path: finished.path.clone(),
                digest: finished.digest,
                state,
                counts,
            },
        );
        self.prune(finished.at_ms);
    }

    /// Counts for a key, summed over accounts.
    pub fn counts(&self, key: &str) -> Counts {
        let mut sum = Counts::default();
        for (_, entry) in self.entries.iter().filter(|((_, k), _)| &**k == key) {
            sum.executions += entry.counts.executions;
            sum.replays += entry.counts.replays;
            sum.conflicts += entry.counts.conflicts;
            sum.mismatches += entry.counts.mismatches;
        }
        sum
    }

    fn prune(&mut self, now_ms: i64) {
        while self.order.front().is_some_and(|(at_ms, _)| now_ms - at_ms > KEPT_MS) {
            if let Some((_, name)) = self.order.pop_front() {
                self.entries.remove(&name);
            }
        }
    }
}

fn mismatch(key: &str, first: &str, second: &str) -> ApiError {
    let message = if first == second {
        format!(
            "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a \
             key other than '{key}' if you meant to execute a different request."
        )
    } else {
        format!(
            "Keys for idempotent requests can only be used for the same endpoint they were first used for ('{first}' vs \
             '{second}'). Try using a key other than '{key}' if you meant to execute a different request."
        )
    };
    ApiError::new(400, "idempotency_error", None, message)
}

fn in_flight(key: &str) -> ApiError {
    let message =
        format!("There is currently another in-progress request using this Idempotent Key ({key}). Try again later.");
    ApiError::new(409, "idempotency_error", Some("idempotency_key_in_use"), message)
}

/// 24 hours of simulated time.
const KEPT_MS: i64 = 24 * 3600 * 1000;
