//! Deliveries: a background worker that posts due events to their endpoints and remembers how it went.
//!
//! Several processes may run one each. A claim is a lease written into `due_at`, and the attempt's number is its fence:
//! what a worker that was too slow has to say about an older attempt changes nothing. A claim steps from endpoint to
//! endpoint through the index, takes a bounded number of each, and only one at a time of an endpoint that last failed:
//! one dead receiver costs its neighbours nothing. It must never hold a transaction while it waits for a receiver, and
//! never forget a delivery: a crash costs a repeat.
//!
//! Cost: one statement to claim and one to settle, each for all that is at hand; nothing per event while nothing is due.

mod store;

#[cfg(test)]
mod tests;

use super::target::{LEADS_INWARD, Policy, Target, TargetClient};
use super::{event_json, signature, unseal_rolled, unseal_secrets};
use crate::clock::Clock;
use crate::security::{Events, Kind, Source};
use crate::vault::{Vault, VaultError};
use bytes::Bytes;
use deadpool_postgres::Pool;
use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use store::{Due, EndpointKey, Outcome, Room};
use tokio::sync::Notify;
use tokio::task::{self, JoinSet};
use tokio::time::{Instant, sleep_until};
use zeroize::Zeroizing;

/// How deliveries are made.
#[derive(Clone, Debug)]
pub struct Config {
    /// the version whose shape the events have
    pub api_version: &'static str,
    /// how long to wait after the first, second.. failed attempt; one attempt more than there are entries. Up to a tenth
    /// is added at random, so that what failed together does not return together.
    pub schedule: Vec<Duration>,
    /// where endpoints may be, and how long one attempt may take
    pub policy: Policy,
    /// attempts under way at once, all endpoints together
    pub in_flight: usize,
    /// how often to look without being woken
    pub poll: Duration,
    /// how long attempts under way may finish after the shutdown; what does not is delivered again by someone else
    pub drain: Duration,
}

impl Config {
    /// The published schedule: ten attempts over three days.
    pub fn new(api_version: &'static str, policy: Policy) -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 3600;
        let schedule = [
            5,
            5 * MINUTE,
            30 * MINUTE,
            2 * HOUR,
            5 * HOUR,
            10 * HOUR,
            14 * HOUR,
            20 * HOUR,
            24 * HOUR,
        ];
        Self {
            api_version,
            schedule: schedule.map(Duration::from_secs).to_vec(),
            policy,
            in_flight: 256,
            poll: Duration::from_secs(1),
            drain: Duration::from_secs(5),
        }
    }
}

/// The worker.
#[derive(Debug)]
pub struct Deliverer {
    config: Arc<Config>,
    pool: Pool,
    vault: Arc<Vault>,
    clock: Clock,
    wake: Arc<Notify>,
    client: TargetClient,
    security: Arc<Events>,
}

impl Deliverer {
    /// A worker over this pool (role `gateway_app`; one connection is used at a time), woken by `wake` when events were
    /// committed.
    pub fn new(config: Config, pool: Pool, vault: Arc<Vault>, clock: Clock, wake: Arc<Notify>) -> Self {
        let client = TargetClient::new(&config.policy);
        Self {
            config: Arc::new(config),
            pool,
            vault,
            clock,
            wake,
            client,
            security: Arc::default(),
        }
    }

    /// The same, telling of targets that lead inward.
    #[must_use]
    pub fn reporting(mut self, security: Arc<Events>) -> Self {
        self.security = security;
        self
    }

    /// Delivers until the shutdown, then lets what is under way finish for a while.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut flight = Flight::default();
        let mut outcomes = Vec::new();
        let mut next_look = Instant::now();
        tokio::pin!(shutdown);
        loop {
            self.settle(&mut outcomes).await;
            if next_look <= Instant::now() {
                let claimed = self.claim(&mut flight).await;
                // More may be due than was taken: what comes home makes room, and is followed by another look.
                next_look = Instant::now() + if claimed { LOOK_APART } else { self.config.poll };
            }
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(home) = flight.tasks.join_next_with_id() => {
                    outcomes.extend(flight.land(home));
                    while let Some(home) = flight.tasks.try_join_next_with_id() {
                        outcomes.extend(flight.land(home));
                    }
                    next_look = next_look.min(Instant::now() + LOOK_APART);
                }
                () = self.wake.notified() => next_look = next_look.min(Instant::now() + flight.patience()),
                () = sleep_until(next_look) => {}
            }
        }
        let deadline = Instant::now() + self.config.drain;
        while let Ok(Some(home)) = tokio::time::timeout_at(deadline, flight.tasks.join_next_with_id()).await {
            outcomes.extend(flight.land(home));
        }
        self.settle(&mut outcomes).await;
    }

    /// Whether anything was due and taken.
    async fn claim(&self, flight: &mut Flight) -> bool {
        flight.last_look = Some(Instant::now());
        let room = self.config.in_flight.saturating_sub(flight.tasks.len());
        if room == 0 {
            return false;
        }
        let now = self.clock.now();
        // An attempt ends within its time-out; the rest is for a slow settlement.
        let lease = self.config.policy.timeout.saturating_add(LEASE_BEYOND_TIMEOUT);
        let due = match store::claim(&self.pool, now, after(now, lease), &flight.rooms(), NEWCOMER_ROOM, room).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "webhook deliveries could not be claimed");
                return false;
            }
        };
        let any = !due.is_empty();
        for due in due {
            let key = due.endpoint();
            let attempt = Attempt {
                config: self.config.clone(),
                client: self.client.clone(),
                vault: self.vault.clone(),
                clock: self.clock.clone(),
                security: self.security.clone(),
            };
            let task = flight.tasks.spawn(attempt.make(due));
            flight.endpoints.entry(key.clone()).or_default().in_flight += 1;
            flight.owners.insert(task.id(), key);
        }
        any
    }

    /// Writes down what came home. What cannot be written is kept for the next round; if we die first, the lease ends.
    async fn settle(&self, outcomes: &mut Vec<Outcome>) {
        if outcomes.is_empty() {
            return;
        }
        match store::settle(&self.pool, outcomes).await {
            Ok(disabled) => {
                for (book_id, endpoint_id) in disabled {
                    tracing::warn!(
                        book_id,
                        endpoint_id,
                        "webhook endpoint disabled: it is gone, or failed for days"
                    );
                }
                outcomes.clear();
            }
            Err(error) => {
                tracing::warn!(%error, "webhook deliveries could not be settled");
                tokio::time::sleep(SETTLE_AGAIN).await;
            }
        }
    }
}

/// One attempt, away from the worker's loop.
struct Attempt {
    config: Arc<Config>,
    client: TargetClient,
    vault: Arc<Vault>,
    clock: Clock,
    security: Arc<Events>,
}

impl Attempt {
    async fn make(self, due: Due) -> Outcome {
        let at = self.clock.now();
        if !due.enabled {
            return Outcome {
                abandon_endpoint: true,
                ..Outcome::of(&due, at, None, Some("the endpoint is disabled".to_owned()))
            };
        }
        let answer = self.post(&due).await;
        if answer.as_ref().is_err_and(|error| error.contains(LEADS_INWARD)) {
            let source = Source::found(&format!("endpoint {} now leads inward", due.endpoint_id));
            self.security.record(Kind::EgressRefused, &source, "", self.clock.now());
        }
        let now = self.clock.now();
        let duration_ms = now.duration_since(at).as_millis().clamp(0, i128::from(i32::MAX)) as i32;
        let mut retry_after = None;
        let (status, error) = match answer {
            Ok(answer) if answer.status.is_success() => {
                return Outcome {
                    delivered_at: Some(now),
                    duration_ms,
                    ..Outcome::of(&due, at, Some(answer.status.as_u16()), None)
                };
            }
            Ok(answer) => {
                retry_after = answer.retry_after;
                (Some(answer.status.as_u16()), answer.body)
            }
            Err(error) => (None, error),
        };
        let gone = status == Some(410);
        let delay = usize::try_from(due.attempt - due.base - 1)
            .ok()
            .and_then(|failed| self.config.schedule.get(failed));
        Outcome {
            // Who is asked to come later comes later, but not after the next step of the schedule would be long over.
            due_at: delay.filter(|_| !gone).map(|delay| {
                after(
                    now,
                    with_jitter((*delay).max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX))),
                )
            }),
            gone,
            duration_ms,
            ..Outcome::of(&due, at, status, Some(error))
        }
    }

    async fn post(&self, due: &Due) -> Result<super::target::Answer, String> {
        let target = Target::parse(&due.url, &self.config.policy).map_err(|refused| match refused.is_inward() {
            true => LEADS_INWARD.to_owned(),
            false => refused.to_string(),
        })?;
        // An unreadable secret is ours to mend: the receiver is told nothing, and the delivery is tried again.
        let secrets = self.secrets(due).map_err(|e| {
            tracing::error!(endpoint_id = due.endpoint_id, error = %e, "a webhook secret cannot be opened");
            "the endpoint's secret cannot be opened".to_owned()
        })?;
        let secrets: Vec<&str> = secrets.iter().map(|secret| secret.as_str()).collect();
        let body = event_json(&due.event, self.config.api_version, due.pending_webhooks);
        let headers = signature::headers(&secrets, &due.event.id, self.clock.now().as_second(), body.as_bytes());
        self.client.post(&target, headers, Bytes::from(body)).await
    }
}

impl Attempt {
    /// What signs now, newest first: the last secret, and the one before it while it is still good.
    fn secrets(&self, due: &Due) -> Result<Vec<Zeroizing<String>>, VaultError> {
        let mut live = Vec::with_capacity(2);
        for (id, sealed, previous_until) in &due.rolled {
            live.push(unseal_rolled(&self.vault, id, sealed)?);
            if live.len() == 2 || *previous_until <= self.clock.now() {
                return Ok(live);
            }
        }
        live.extend(unseal_secrets(&self.vault, &due.endpoint_id, &due.secret)?);
        Ok(live)
    }
}

/// What is under way, and what is known of the endpoints.
#[derive(Default)]
struct Flight {
    tasks: JoinSet<Outcome>,
    owners: HashMap<task::Id, EndpointKey>,
    endpoints: HashMap<EndpointKey, Health>,
    last_look: Option<Instant>,
}

#[derive(Clone, Copy, Default)]
struct Health {
    in_flight: usize,
    /// how the last attempt went; none for a newcomer
    healthy: Option<bool>,
}

impl Flight {
    fn land(&mut self, home: Result<(task::Id, Outcome), task::JoinError>) -> Option<Outcome> {
        let (id, outcome) = match home {
            Ok((id, outcome)) => (id, Some(outcome)),
            Err(error) => {
                // Its lease will end and another worker will try: nothing is lost.
                tracing::error!(%error, "a webhook delivery broke");
                (error.id(), None)
            }
        };
        let key = self.owners.remove(&id)?;
        if let Some(health) = self.endpoints.get_mut(&key) {
            health.in_flight = health.in_flight.saturating_sub(1);
            health.healthy = Some(outcome.as_ref().is_some_and(|o| o.delivered_at.is_some()));
            // The claim looks every pending endpoint up in this list: it stays short, and who falls out is a newcomer again.
            if health.in_flight == 0 && self.endpoints.len() > REMEMBERED_ENDPOINTS {
                self.endpoints.remove(&key);
            }
        }
        outcome
    }

    /// How many more each known endpoint may have under way.
    fn rooms(&self) -> Vec<Room<'_>> {
        let room = |health: &Health| match health.healthy {
            Some(true) => HEALTHY_ROOM,
            Some(false) => 1,
            None => NEWCOMER_ROOM,
        };
        self.endpoints
            .iter()
            .map(|(key, health)| Room {
                key,
                room: room(health).saturating_sub(health.in_flight),
            })
            .collect()
    }

    /// How long a wake-up waits: not at all, unless there was a look just now.
    fn patience(&self) -> Duration {
        self.last_look
            .map_or(Duration::ZERO, |last| LOOK_APART.saturating_sub(last.elapsed()))
    }
}

fn with_jitter(delay: Duration) -> Duration {
    let most = (delay.as_millis() / 10).min(u128::from(u32::MAX)) as u64;
    delay.saturating_add(Duration::from_millis(rand::rng().random_range(0..=most)))
}

fn after(now: Timestamp, delay: Duration) -> Timestamp {
    SignedDuration::try_from(delay)
        .ok()
        .and_then(|delay| now.checked_add(delay).ok())
        .unwrap_or(Timestamp::MAX)
}

/// At most so often is the database asked, however often we are woken: commits come by the thousand.
const LOOK_APART: Duration = Duration::from_millis(5);
/// However long a receiver asks for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);
const SETTLE_AGAIN: Duration = Duration::from_millis(500);
const LEASE_BEYOND_TIMEOUT: Duration = Duration::from_secs(40);
/// Attempts under way at one endpoint: many where the last one succeeded, few where nothing is known, one where it failed.
const HEALTHY_ROOM: usize = 32;
const NEWCOMER_ROOM: usize = 4;
const REMEMBERED_ENDPOINTS: usize = 500;
