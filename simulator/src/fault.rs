//! Faults on demand: rules that make chosen requests and webhooks go wrong.
//!
//! A rule matches on what is in the request, fires with a probability from a seeded generator, and runs out. Faults live in memory
//! only: a restart clears them, so that nobody debugs yesterday's outage.

use crate::params::Params;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// One rule, as the admin port takes it. What is absent matches everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Given by the simulator.
    #[serde(default)]
    pub id: u64,
    /// HTTP method of the request.
    #[serde(default)]
    pub method: Option<String>,
    /// Start of the request's path.
    #[serde(default)]
    pub path: Option<String>,
    /// `metadata[k]=v` pairs that the request must carry.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// `amount` that the request must carry.
    #[serde(default)]
    pub amount: Option<i64>,
    /// Start of the event type, for webhook faults.
    #[serde(default)]
    pub event: Option<String>,
    /// 0 to 1; 1 when absent.
    #[serde(default = "certain")]
    pub probability: f64,
    /// How often it still fires; without end when absent.
    #[serde(default)]
    pub remaining: Option<u32>,
    /// What goes wrong.
    pub action: Action,
    /// Milliseconds of a delay, or for which a connection is held open before it is cut.
    #[serde(default)]
    pub ms: u64,
    /// Whether the 500 becomes the stored answer of the idempotency key. Absent: yes after the work, no before it.
    #[serde(default)]
    pub stored: Option<bool>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The endpoint starts late; a second request with the key meets 409 meanwhile.
    Delay,
    /// Nothing is done and nothing is answered: the connection is held for `ms`, then cut.
    TimeoutBefore,
    /// The work is done, but nothing is answered.
    TimeoutAfter,
    /// 500, nothing done.
    ErrorBefore,
    /// The work is done, but the answer is 500.
    ErrorAfter,
    /// TCP reset before any work.
    Reset,
    /// TCP reset after the work.
    ResetAfter,
    /// 429, nothing done.
    RateLimit,
    /// The work is done, but the answer tells another amount.
    WrongAmount,
    /// The work is done, but the answer tells another currency.
    WrongCurrency,
    /// The event is never delivered; it can still be listed.
    WebhookDrop,
    /// The event is delivered twice.
    WebhookDuplicate,
    /// The event is held back for `ms` while later ones pass it.
    WebhookReorder,
    /// The event and those behind it wait for `ms`.
    WebhookDelay,
}

impl Action {
    fn on_webhooks(self) -> bool {
        matches!(
            self,
            Self::WebhookDrop | Self::WebhookDuplicate | Self::WebhookReorder | Self::WebhookDelay
        )
    }
}

/// All rules.
pub struct Faults {
    any: AtomicBool,
    rules: Mutex<Rules>,
}

struct Rules {
    list: Vec<Rule>,
    made: u64,
    dice: StdRng,
}

impl Faults {
    /// No rules, and dice that fall the same way for the same seed.
    pub fn new(seed: u64) -> Self {
        let rules = Rules {
            list: Vec::new(),
            made: 0,
            dice: StdRng::seed_from_u64(seed),
        };
        Self {
            any: AtomicBool::new(false),
            rules: Mutex::new(rules),
        }
    }

    /// Adds a rule behind the others; the first that matches wins.
    pub fn add(&self, rule: Rule) -> Rule {
        let mut rules = self.lock();
        rules.made += 1;
        let rule = Rule { id: rules.made, ..rule };
        rules.list.push(rule.clone());
        self.any.store(true, Ordering::Release);
        rule
    }

    /// The rules that have not run out.
    pub fn list(&self) -> Vec<Rule> {
        self.lock().list.clone()
    }

    /// Removes one rule, or all.
    pub fn remove(&self, id: Option<u64>) {
        let mut rules = self.lock();
        rules.list.retain(|rule| id.is_some_and(|id| rule.id != id));
        self.any.store(!rules.list.is_empty(), Ordering::Release);
    }

    /// The fault that befalls this request.
    pub fn for_request(&self, method: &str, path: &str, params: &Params) -> Option<Rule> {
        self.pick(|rule| {
            !rule.action.on_webhooks()
                && rule
                    .method
                    .as_deref()
                    .is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
                && rule.path.as_deref().is_none_or(|start| path.starts_with(start))
                && rule
                    .amount
                    .is_none_or(|amount| params.text("amount").and_then(|sent| sent.parse().ok()) == Some(amount))
                && rule
                    .metadata
                    .iter()
                    .all(|(key, value)| params.map("metadata").any(|(k, v)| k == key && v == value))
        })
    }

    /// The fault that befalls the delivery of this event.
    pub fn for_event(&self, kind: &str) -> Option<Rule> {
        self.pick(|rule| rule.action.on_webhooks() && rule.event.as_deref().is_none_or(|start| kind.starts_with(start)))
    }

    fn pick(&self, matches: impl Fn(&Rule) -> bool) -> Option<Rule> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut rules = self.lock();
        let Rules { list, dice, .. } = &mut *rules;
        let position = list
            .iter()
            .position(|rule| matches(rule) && dice.random_bool(rule.probability.clamp(0.0, 1.0)))?;
        let rule = list[position].clone();
        if let Some(remaining) = &mut list[position].remaining {
            *remaining = remaining.saturating_sub(1);
            if *remaining == 0 {
                list.remove(position);
            }
        }
        Some(rule)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn certain() -> f64 {
    1.0
}
