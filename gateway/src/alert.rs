//! Alarms: security events told to the receivers that the operator named, within seconds.
//!
//! Each kind of event and key has one open alarm that collects; when it is due it is closed into a batch, and the next of its
//! kind waits for the quiet time, so that a flood is one alarm with a count. A batch goes to each receiver until it is taken,
//! under one id; processes share the work by leases. It must never say more than the event itself, and never drop an alarm
//! because its receiver is away.

use crate::clock::Clock;
use crate::id;
use crate::telemetry::table;
use crate::webhook::receiver::Receiver;
use deadpool_postgres::Pool;
use jiff::{SignedDuration, Timestamp};
use prometheus::{IntCounterVec, Registry};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::Duration;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// Who is told, and how often about the same.
#[derive(Clone)]
pub struct Config {
    /// all of them are told
    pub receivers: Vec<Receiver>,
    /// from one alarm of a kind and key to the next
    pub quiet: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            receivers: Vec::new(),
            quiet: Duration::from_secs(300),
        }
    }
}

/// The background work.
pub struct Alarms {
    config: Config,
    database: Pool,
    clock: Clock,
    attempts: IntCounterVec,
}

impl Alarms {
    /// Alarms of this database.
    ///
    /// # Errors
    /// When others have the names of its figures.
    pub fn new(config: Config, database: Pool, clock: Clock, metrics: &Registry) -> anyhow::Result<Self> {
        let attempts = table::counters("counterfoil_alert_attempts_total");
        metrics.register(Box::new(attempts.clone()))?;
        Ok(Self {
            config,
            database,
            clock,
            attempts,
        })
    }

    /// Tells alarms until told to stop.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        if self.config.receivers.is_empty() {
            return; // they collect, and whoever is named later is told
        }
        let mut stop = std::pin::pin!(stop);
        loop {
            if let Err(error) = self.round().await {
                tracing::error!(error = format!("{error:#}"), "alarms could not be told; trying again");
            }
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn round(&self) -> anyhow::Result<()> {
        let now = self.clock.now();
        let targets: Vec<&str> = self.config.receivers.iter().map(|r| r.url.as_str()).collect();
        let batch = Uuid::now_v7();
        let client = self.database.get().await?;
        client
            .query_typed(
                CLOSE,
                &[
                    (&batch, Type::UUID),
                    (&now, Type::TIMESTAMPTZ),
                    (&targets, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        let lease = now + SignedDuration::from_secs(LEASE_S);
        let claimed = client
            .query_typed(
                CLAIM,
                &[
                    (&now, Type::TIMESTAMPTZ),
                    (&lease, Type::TIMESTAMPTZ),
                    (&targets, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        drop(client);
        let mut due = Vec::with_capacity(claimed.len());
        for row in &claimed {
            due.push((
                row.try_get::<_, Uuid>("batch")?,
                row.try_get::<_, String>("target")?,
                row.try_get::<_, i32>("attempt")?,
            ));
        }
        // Side by side: a receiver that is away holds up no other.
        let told = due
            .iter()
            .map(|(batch, target, attempt)| self.tell(*batch, target, *attempt));
        futures_util::future::try_join_all(told).await.map(drop)
    }

    async fn tell(&self, batch: Uuid, target: &str, attempt: i32) -> anyhow::Result<()> {
        let Some(receiver) = self.config.receivers.iter().find(|r| r.url == target) else {
            return Ok(());
        };
        let rows = self
            .database
            .get()
            .await?
            .query_typed(ALERTS, &[(&batch, Type::UUID)])
            .await?;
        let mut alerts = Vec::with_capacity(rows.len());
        for row in &rows {
            alerts.push(shown(row)?);
        }
        let now = self.clock.now();
        let id = id::from_uuid("alr", batch);
        let body = json!({
            "id": id,
            "object": "security_alert",
            "created": now.as_second(),
            "alerts": alerts,
        });
        let outcome = receiver
            .tell(
                &id,
                now.as_second(),
                "application/json; charset=utf-8",
                body.to_string(),
            )
            .await;
        let result = if outcome.is_ok() { "delivered" } else { "failed" };
        self.attempts.with_label_values(&[result]).inc();
        let (delivered_at, due_at, error) = match outcome {
            Ok(()) => (Some(now), None, None),
            Err(error) => {
                tracing::warn!(attempt, error, "an alarm was not taken; trying again");
                (None, Some(self.clock.now() + backoff(attempt)), Some(error))
            }
        };
        self.database
            .get()
            .await?
            .query_typed(
                SETTLE,
                &[
                    (&batch, Type::UUID),
                    (&target, Type::TEXT),
                    (&attempt, Type::INT4),
                    (&delivered_at, Type::TIMESTAMPTZ),
                    (&due_at, Type::TIMESTAMPTZ),
                    (&error, Type::TEXT),
                ],
            )
            .await?;
        Ok(())
    }
}

fn shown(row: &tokio_postgres::Row) -> Result<Value, tokio_postgres::Error> {
    let moment = |name| row.try_get::<_, Timestamp>(name).map(|at| at.to_string());
    let key: String = row.try_get("key_id")?;
    Ok(json!({
        "kind": row.try_get::<_, &str>("kind")?,
        "key_id": (!key.is_empty()).then_some(key),
        "source": row.try_get::<_, Option<IpAddr>>("source")?.map(|address| address.to_string()),
        "request_id": row.try_get::<_, Option<&str>>("request_id")?,
        "detail": row.try_get::<_, Option<&str>>("detail")?,
        "times": row.try_get::<_, i64>("times")?,
        "first_at": moment("first_at")?,
        "last_at": moment("last_at")?,
    }))
}

/// 2, 4, 8 .. seconds, up to half a minute: a receiver that comes back hears within a minute.
fn backoff(attempt: i32) -> SignedDuration {
    SignedDuration::from_secs((1i64 << attempt.clamp(1, 5)).min(30))
}

const EVERY: Duration = Duration::from_secs(1);
/// Longer than an attempt may take.
const LEASE_S: i64 = 20;

const CLOSE: &str = "
    WITH due AS (
        SELECT id FROM gateway.alert WHERE batch IS NULL AND due_at <= $2 ORDER BY kind, key_id LIMIT 100 FOR UPDATE SKIP LOCKED
    ), closed AS (
        UPDATE gateway.alert a SET batch = $1, closed_at = $2 FROM due WHERE a.id = due.id RETURNING a.id
    )
    INSERT INTO gateway.alert_delivery (batch, target, due_at)
    SELECT $1, t, $2 FROM unnest($3::text[]) t WHERE EXISTS (SELECT FROM closed)";

const CLAIM: &str = "
    UPDATE gateway.alert_delivery d SET due_at = $2, attempt = d.attempt + 1
    FROM (SELECT batch, target FROM gateway.alert_delivery WHERE due_at <= $1 AND target = ANY ($3)
          ORDER BY due_at LIMIT 20 FOR UPDATE SKIP LOCKED) due
    WHERE d.batch = due.batch AND d.target = due.target
    RETURNING d.batch, d.target, d.attempt";

const ALERTS: &str = "SELECT * FROM gateway.alert WHERE batch = $1 ORDER BY id";

/// The attempt is the fence: whoever claimed later has the last word.
const SETTLE: &str = "
    UPDATE gateway.alert_delivery SET delivered_at = $4, due_at = $5, last_error = $6
    WHERE batch = $1 AND target = $2 AND attempt = $3 AND delivered_at IS NULL";
