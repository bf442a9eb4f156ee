//! A model from the service's own log: payments and labels as they became known, replayed as the scorer lived through them.

use super::history::entry;
use anomaly::model::cost::Costs;
use anomaly::model::train::{self, Rows, Settings};
use anomaly::model::{Body, Origin};
use anomaly::{Config, Engine, FEATURES, Label, Verdict};
use anyhow::{Context, Result, bail};
use futures_util::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::pin::pin;
use tokio_postgres::types::{ToSql, Type};

/// What to train on.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// now
    pub now: Timestamp,
    /// days of payments
    pub train_days: i64,
    /// days until a payment without a label of fraud counts as genuine
    pub label_delay_days: i64,
}

/// Payments that this process can hold: about a kilobyte each.
const ROWS_MAX: usize = 4_000_000;

/// Trains on payments of the window that the issuer approved.
///
/// # Errors
/// When the log cannot be read, or holds too few labels.
pub async fn learn(
    client: &tokio_postgres::Client,
    config: Config,
    window: Window,
    settings: Settings,
    costs: Costs,
) -> Result<Body> {
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    let to = window.now - days(window.label_delay_days);
    let from = to - days(window.train_days);
    let since = from - days(super::history::HISTORY_DAYS);
    let sql = "SELECT NULL::text, h.book_id, h.fact, h.at, c.created_at, c.amount, c.currency, c.card->>'fingerprint',
                      c.card->>'bin', c.context::text, h.id
               FROM risk.history h JOIN gateway.charge c ON c.book_id = h.book_id AND c.id = h.id
               WHERE h.at >= $1 ORDER BY h.recorded, h.at, h.book_id, h.id, h.fact";
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&since, Type::TIMESTAMPTZ)];
    let mut log = pin!(
        client
            .query_typed_raw(sql, parameters)
            .await
            .context("reading risk.history")?
    );
    let engine = Engine::new(config);
    let mut payments: Vec<Payment> = Vec::new();
    let mut places: HashMap<(i64, String), usize> = HashMap::new();
    while let Some(row) = log.try_next().await.context("reading risk.history")? {
        let (attempt, fact, at) = entry(&row)?;
        let charge = (row.try_get::<_, i64>(1)?, row.try_get::<_, String>(10)?);
        match fact.outcome() {
            Ok(outcome) => {
                if outcome == anomaly::Outcome::Approved && at >= from && at <= to {
                    if payments.len() >= ROWS_MAX {
                        bail!(
                            "more than {ROWS_MAX} payments in {} days: train on fewer days",
                            window.train_days
                        );
                    }
                    places.insert(charge, payments.len());
                    payments.push(Payment {
                        values: *engine.features(&attempt).values(),
                        card: attempt.card.unwrap_or_default(),
                        amount_minor: attempt.amount_minor,
                        at_ms: attempt.at_ms,
                        frauds: 0,
                    });
                }
                engine.observe(&attempt, outcome);
            }
            Err(verdict) => {
                let known_ms = at.as_millisecond();
                engine.label(&attempt, Label { known_ms, verdict });
                if let Some(place) = places.get(&charge) {
                    payments[*place].frauds += match verdict {
                        Verdict::Fraud => 1,
                        Verdict::Withdrawn => -1,
                        Verdict::Genuine => 0,
                    };
                }
            }
        }
    }
    // a minute of computing, and nobody else is served by this process
    tokio::task::spawn_blocking(move || fit(&payments, window, &settings, costs)).await?
}

struct Payment {
    values: [f64; FEATURES.len()],
    card: u64,
    amount_minor: i64,
    at_ms: i64,
    /// labels of fraud, less those withdrawn
    frauds: i32,
}

fn fit(payments: &[Payment], window: Window, settings: &Settings, costs: Costs) -> Result<Body> {
    let mut rows = Rows::default();
    payments
        .iter()
        .for_each(|payment| rows.push(&payment.values, payment.frauds > 0));
    let origin = Origin {
        from_ms: payments.iter().map(|payment| payment.at_ms).min().unwrap_or_default(),
        to_ms: payments.iter().map(|payment| payment.at_ms).max().unwrap_or_default(),
        known_ms: window.now.as_millisecond(),
        payments: rows.len() as u64,
        frauds: rows.frauds() as u64,
    };
    let cards: Vec<u64> = payments.iter().map(|payment| payment.card).collect();
    let amounts: Vec<i64> = payments.iter().map(|payment| payment.amount_minor).collect();
    train::model(&rows, &cards, &amounts, origin, settings, costs).map_err(anyhow::Error::msg)
}
