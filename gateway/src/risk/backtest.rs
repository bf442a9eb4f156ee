//! A condition tried on history: what it would have stopped, what of that was fraud, and what it would have cost.
//!
//! The log is replayed through a scorer of its own, the same code that judges live, every merchant's attempts in it, because
//! an address or a card is seen by all. Labels count for the attempt that they are about; what has none counts as genuine,
//! and the answer says since when labels may still be missing. It must never write, nor run twice at once in a process.

use super::history::entry;
use crate::api::error::ApiError;
use crate::call::Call;
use anomaly::{Action, Decision, Engine, Label, Lists, Policy, Rule, State, Verdict};
use futures_util::TryStreamExt;
use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::pin::pin;
use tokio::sync::Semaphore;
use tokio_postgres::types::{ToSql, Type};

/// The longest window of most features is a day: so much is read before the first day that counts.
const WARM_UP_DAYS: i64 = 1;
/// More rows than this would take the process from its payments for too long.
const ROWS_MAX: i64 = 2_000_000;
/// Most labels arrive within so many days.
const LABELS_DAYS: i64 = 30;
/// What the replay may remember.
const MEMORY_BYTES: usize = 128 << 20;

static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

#[derive(Default)]
struct Outcomes {
    attempts: Vec<Attempted>,
    by_charge: HashMap<String, usize>,
}

struct Attempted {
    flagged: bool,
    approved: bool,
    fraud: bool,
    stopped: bool,
    amount: i64,
    currency: [u8; 3],
}

/// Tries a condition on the last `days` of the call's merchant.
pub async fn run(call: &Call, condition: &str, days: i64) -> Result<Value, ApiError> {
    let _one = ONE_AT_A_TIME.try_acquire().map_err(|_| {
        let mut error = ApiError::new(
            429,
            "invalid_request_error",
            "rate_limit",
            "Another trial on history is running. Try again when it has ended.",
        );
        error.retry_after = Some(5);
        error
    })?;
    let now = call.app.clock.now();
    let since = now - SignedDuration::from_hours(24 * days);
    let policy = alone(&call.app.policies.of(call.book_id()), condition)?;
    let engine = Engine::new(anomaly::Config {
        memory_bytes_max: MEMORY_BYTES,
        ..anomaly::Config::default()
    });
    let outcomes = replay(call, &engine, &policy, since).await?;
    Ok(told(
        &outcomes,
        condition,
        days,
        now - SignedDuration::from_hours(24 * LABELS_DAYS.min(days)),
    ))
}

/// The condition as the only rule, over the merchant's lists.
fn alone(policy: &Policy, condition: &str) -> Result<Policy, ApiError> {
    let rule = Rule {
        name: "tried".to_owned(),
        code: "tried".to_owned(),
        action: Action::Review,
        weight: 0,
        condition: condition.to_owned(),
        message: String::new(),
        state: State::Active,
        beats_allow: false,
    };
    let lists: Lists = policy.lists().clone();
    Policy::compile(&[rule], lists).map_err(|refused| {
        ApiError::invalid(
            "rule_condition_invalid",
            "condition",
            format!("The condition no longer compiles: {}", refused.mistake),
        )
    })
}

async fn replay(call: &Call, engine: &Engine, policy: &Policy, since: jiff::Timestamp) -> Result<Outcomes, ApiError> {
    let client = call.app.reads.get().await?;
    let from = since - SignedDuration::from_hours(24 * WARM_UP_DAYS);
    let sql = "SELECT l.id, l.book_id, l.fact, l.at, c.created_at, c.amount, c.currency, c.card->>'fingerprint', c.card->>'bin',
                      c.context::text, c.risk->>'decision'
               FROM risk.history l JOIN gateway.charge c ON c.book_id = l.book_id AND c.id = l.id
               WHERE l.at >= $1 ORDER BY l.recorded, l.at, l.book_id, l.id, l.fact LIMIT $2";
    let limit = ROWS_MAX + 1;
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&from, Type::TIMESTAMPTZ), (&limit, Type::INT8)];
    let mut rows = pin!(client.query_typed_raw(sql, parameters).await?);
    let (mut outcomes, mut read) = (Outcomes::default(), 0);
    while let Some(row) = rows.try_next().await? {
        read += 1;
        if read > ROWS_MAX {
            return Err(ApiError::invalid(
                "backtest_too_large",
                "days",
                format!("There are more than {ROWS_MAX} attempts in that time. Ask for fewer days."),
            ));
        }
        if read % 256 == 0 {
            tokio::task::yield_now().await;
        }
        let (attempt, fact, at) = entry(&row)?;
        let own = row.try_get::<_, i64>(1)? == call.book_id();
        match fact.outcome() {
            Ok(outcome) => {
                if own && at >= since {
                    let charge: String = row.try_get(0)?;
                    outcomes.by_charge.insert(charge, outcomes.attempts.len());
                    let live: Option<&str> = row.try_get(10)?;
                    outcomes.attempts.push(Attempted {
                        flagged: engine.assess(&attempt, policy).decision == Decision::Review,
                        approved: outcome == anomaly::Outcome::Approved,
                        fraud: false,
                        stopped: live == Some("block"),
                        amount: attempt.amount_minor,
                        currency: attempt.currency,
                    });
                }
                engine.observe(&attempt, outcome);
            }
            Err(verdict) => {
                if own
                    && let Some(place) = outcomes.by_charge.get(row.try_get::<_, &str>(0)?)
                    && let Some(attempted) = outcomes.attempts.get_mut(*place)
                {
                    attempted.fraud = verdict == Verdict::Fraud;
                }
                engine.label(
                    &attempt,
                    Label {
                        known_ms: at.as_millisecond(),
                        verdict,
                    },
                );
            }
        }
    }
    Ok(outcomes)
}

fn told(outcomes: &Outcomes, condition: &str, days: i64, immature_since: jiff::Timestamp) -> Value {
    let count = |of: &dyn Fn(&Attempted) -> bool| outcomes.attempts.iter().filter(|a| of(a)).count();
    let money = |of: &dyn Fn(&Attempted) -> bool| {
        let mut sums: Map<String, Value> = Map::new();
        for a in outcomes.attempts.iter().filter(|a| of(a)) {
            let currency = String::from_utf8_lossy(&a.currency).into_owned();
            let sum = sums.get(&currency).and_then(Value::as_i64).unwrap_or_default();
            sums.insert(currency, json!(sum.saturating_add(a.amount)));
        }
        sums
    };
    let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
    let (flagged, fraud) = (count(&|a| a.flagged), count(&|a| a.fraud));
    let caught = count(&|a| a.flagged && a.fraud);
    let wrongly = count(&|a| a.flagged && a.approved && !a.fraud);
    let genuine = count(&|a| a.approved && !a.fraud);
    json!({
        "condition": condition,
        "days": days,
        "attempts": outcomes.attempts.len(),
        "flagged": flagged,
        "flagged_and_blocked_anyway": count(&|a| a.flagged && a.stopped),
        "fraud": fraud,
        "caught": caught,
        "precision": share(caught, flagged),
        "recall": share(caught, fraud),
        "false_positives": wrongly,
        "false_positive_rate": share(wrongly, genuine),
        "money_saved": money(&|a| a.flagged && a.fraud && a.approved),
        "money_of_false_positives": money(&|a| a.flagged && a.approved && !a.fraud),
        "labels_incomplete_since": immature_since.as_second(),
    })
}
