//! A condition tried on history: what it would have stopped, what of that was fraud, and what it would have cost.
//!
//! The log is replayed through a scorer of its own, the same code that judges live, every merchant's attempts in it, because
//! an address or a card is seen by all; it begins 90 days before the first day that counts, or as many as [`ROWS_MAX`] allows.
//! A condition about the model's score sees what the model of that day said. Labels count for the attempt that they are about;
//! what has none counts as genuine, and the answer says since when labels may still be missing. It must never write, nor run
//! twice at once in a process, nor ask today's model about payments that it may have been trained on without saying so.

use super::history::{COLUMNS, Entry, HISTORY_DAYS, LOG, What};
use super::rules;
use crate::api::error::ApiError;
use crate::call::{Answer, Call};
use anomaly::{Action, Decision, Engine, Lists, Outcome, Policy, Rule, Scored, State, Verdict};
use futures_util::TryStreamExt;
use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::pin::pin;
use tokio::sync::Semaphore;
use tokio_postgres::types::{ToSql, Type};

/// More rows than this would take the process from its payments for too long.
const ROWS_MAX: i64 = 2_000_000;
/// Most labels arrive within so many days.
const LABELS_DAYS: i64 = 30;

static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

#[derive(Default)]
struct Outcomes {
    attempts: Vec<Attempted>,
    by_charge: HashMap<String, usize>,
    /// days read before the first that counts
    warm_up_days: i64,
    /// scores that a model gave at the time, and that the model of today gave for want of them
    scores_of_the_time: u64,
    scores_of_today: u64,
}

struct Attempted {
    flagged: bool,
    approved: bool,
    fraud: bool,
    stopped: bool,
    amount: i64,
    currency: [u8; 3],
}

/// Tries a rule's condition on the last `days` of the call's merchant, and keeps what came of it with the rule.
pub async fn keep(call: &Call, reference: &str, days: i64) -> Result<Answer, ApiError> {
    let (rule, _) = rules::find(call, reference).await?;
    rules::check(call, &rule.condition).await?;
    let outcome = run(call, &rule.condition, days).await?;
    rules::keep_backtest(call, &rule.id, &rule.condition, outcome).await
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
    let engine = Engine::new(call.app.scorer.config().clone());
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

/// Days before `since` that can be read with the days that count, without more than [`ROWS_MAX`] rows; an error when those alone are
/// more.
async fn warm_up_days(call: &Call, since: jiff::Timestamp) -> Result<i64, ApiError> {
    let client = call.app.reads.get().await?;
    let from = since - SignedDuration::from_hours(24 * HISTORY_DAYS);
    let rows = client
        .query_typed(
            "SELECT greatest(0, ceil(extract(epoch FROM $1 - at) / 86400))::bigint AS day, count(*) FROM risk.history
             WHERE at >= $2 GROUP BY 1 ORDER BY 1",
            &[(&since, Type::TIMESTAMPTZ), (&from, Type::TIMESTAMPTZ)],
        )
        .await?;
    let (mut read, mut days) = (0, HISTORY_DAYS);
    for row in &rows {
        let day: i64 = row.try_get(0)?;
        read += row.try_get::<_, i64>(1)?;
        if read > ROWS_MAX {
            days = day - 1;
            break;
        }
    }
    if days >= 0 {
        return Ok(days);
    }
    Err(ApiError::invalid(
        "backtest_too_large",
        "days",
        format!("There are more than {ROWS_MAX} attempts in that time. Ask for fewer days."),
    ))
}

async fn replay(call: &Call, engine: &Engine, policy: &Policy, since: jiff::Timestamp) -> Result<Outcomes, ApiError> {
    let mut outcomes = Outcomes {
        warm_up_days: warm_up_days(call, since).await?,
        ..Outcomes::default()
    };
    let client = call.app.reads.get().await?;
    let from = since - SignedDuration::from_hours(24 * outcomes.warm_up_days);
    let sql = format!(
        "SELECT {COLUMNS}, c.risk->>'decision' AS decision, (c.risk->'model'->>'score')::float8 AS score {LOG}
         WHERE l.at >= $1 ORDER BY l.recorded, l.at, l.book_id, l.id, l.fact LIMIT $2"
    );
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&from, Type::TIMESTAMPTZ), (&ROWS_MAX, Type::INT8)];
    let mut rows = pin!(client.query_typed_raw(&sql, parameters).await?);
    let mut read = 0u64;
    while let Some(row) = rows.try_next().await? {
        read += 1;
        if read.is_multiple_of(256) {
            tokio::task::yield_now().await;
        }
        let entry = Entry::read(&row)?;
        let own = entry.book_id == call.book_id();
        match entry.what {
            What::Attempt(outcome) if own && entry.at >= since => {
                let features = engine.features(&entry.attempt);
                let score = match row.try_get::<_, Option<f64>>("score")? {
                    Some(score) => {
                        outcomes.scores_of_the_time += 1;
                        Some(score)
                    }
                    None => {
                        let score = call.app.models.score(&features);
                        outcomes.scores_of_today += u64::from(score.is_some());
                        score
                    }
                };
                let scored = score.map(|score| Scored {
                    score,
                    reasons: Vec::new(),
                });
                let live: Option<&str> = row.try_get("decision")?;
                outcomes.by_charge.insert(entry.id.clone(), outcomes.attempts.len());
                outcomes.attempts.push(Attempted {
                    flagged: policy.judge(&entry.attempt, &features, scored).decision == Decision::Review,
                    approved: outcome == Outcome::Approved,
                    fraud: false,
                    stopped: live == Some("block"),
                    amount: entry.attempt.amount_minor,
                    currency: entry.attempt.currency,
                });
            }
            What::Attempt(_) => {}
            What::Resolved(_) | What::Label(_) if !own => {}
            What::Resolved(outcome) => {
                if let Some(attempted) = outcomes.of(&entry.id) {
                    attempted.approved = outcome == Outcome::Approved;
                }
            }
            What::Label(verdict) => {
                if let Some(attempted) = outcomes.of(&entry.id) {
                    attempted.fraud = verdict == Verdict::Fraud;
                }
            }
        }
        entry.tell(engine);
    }
    Ok(outcomes)
}

impl Outcomes {
    /// This charge's, if it counts.
    fn of(&mut self, charge_id: &str) -> Option<&mut Attempted> {
        let place = self.by_charge.get(charge_id)?;
        self.attempts.get_mut(*place)
    }
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
        "warm_up_days": outcomes.warm_up_days,
        "model_scores": {"of_the_time": outcomes.scores_of_the_time, "of_today": outcomes.scores_of_today},
    })
}
