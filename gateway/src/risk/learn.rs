//! A model from the service's own log: payments and labels as they became known, replayed as the scorer lived through them.

use super::history::{COLUMNS, Entry, LOG, What};
use anomaly::model::cost::Costs;
use anomaly::model::train::{self, Rows, Settings};
use anomaly::model::{Body, Origin};
use anomaly::{Config, Engine, FEATURES, Outcome, Verdict};
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
    let sql = format!(
        "SELECT {COLUMNS}, CASE WHEN c.risk->>'rule' = 'random_review' THEN
                    (jsonb_path_query_first(c.risk, '$.reasons[*] ? (@.code == \"random_review\").value'))::float8 END AS share, l.source {LOG}
         WHERE l.at >= $1 ORDER BY l.recorded, l.at, l.book_id, l.id, l.fact"
    );
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&since, Type::TIMESTAMPTZ)];
    let mut log = pin!(
        client
            .query_typed_raw(&sql, parameters)
            .await
            .context("reading risk.history")?
    );
    let engine = Engine::new(config);
    let mut payments: Vec<Payment> = Vec::new();
    let mut places: HashMap<(i64, String), usize> = HashMap::new();
    while let Some(row) = log.try_next().await.context("reading risk.history")? {
        let entry = Entry::read(&row)?;
        let charge = (entry.book_id, entry.id.clone());
        match entry.what {
            // what was seen when it was made is learned from, also where its outcome became known later
            What::Attempt(outcome @ (Outcome::Approved | Outcome::Unknown)) if entry.at >= from && entry.at <= to => {
                if payments.len() >= ROWS_MAX {
                    bail!(
                        "more than {ROWS_MAX} payments in {} days: train on fewer days",
                        window.train_days
                    );
                }
                places.insert(charge, payments.len());
                let attempt = &entry.attempt;
                payments.push(Payment {
                    values: *engine.features(attempt).values(),
                    card: attempt.card.unwrap_or_default(),
                    amount_minor: attempt.amount_minor,
                    at_ms: attempt.at_ms,
                    approved: outcome == Outcome::Approved,
                    frauds: 0,
                    chosen: row.try_get::<_, Option<f64>>("share")?,
                    heard_otherwise: false,
                });
            }
            What::Resolved(Outcome::Approved) => {
                if let Some(place) = places.get(&charge) {
                    payments[*place].approved = true;
                }
            }
            What::Label(verdict) => {
                if let Some(place) = places.get(&charge) {
                    let source: Option<&str> = row.try_get("source")?;
                    let payment = &mut payments[*place];
                    payment.frauds += match verdict {
                        Verdict::Fraud => 1,
                        Verdict::Withdrawn => -1,
                        Verdict::Genuine => 0,
                    };
                    payment.heard_otherwise |= verdict == Verdict::Fraud && source != Some("review");
                }
            }
            What::Attempt(_) | What::Resolved(_) => {}
        }
        entry.tell(&engine);
    }
    payments.retain(|payment| payment.approved);
    // a minute of computing, and nobody else is served by this process
    tokio::task::spawn_blocking(move || fit(&payments, window, &settings, costs)).await?
}

struct Payment {
    values: [f64; FEATURES.len()],
    card: u64,
    amount_minor: i64,
    at_ms: i64,
    approved: bool,
    /// labels of fraud, less those withdrawn
    frauds: i32,
    /// the share of payments that a person looked at by chance, where this is one of them
    chosen: Option<f64>,
    /// somebody beside the reviewer said that it was fraud
    heard_otherwise: bool,
}

/// No fraud stands for more than this: a few reviews must not make the model.
const WEIGHT_MAX: f64 = 50.0;

impl Payment {
    /// How many payments it stands for. A fraud that was found because a person looked at it by chance stands for those of its like
    /// that nobody looked at, and that count as genuine (inverse of the chance, bounded). A genuine one stands for itself: its like are
    /// among the others.
    fn weight(&self) -> f64 {
        match self.chosen {
            Some(share) if self.frauds > 0 && !self.heard_otherwise && share > 0.0 => {
                (1.0 / share).clamp(1.0, WEIGHT_MAX)
            }
            _ => 1.0,
        }
    }
}

fn fit(payments: &[Payment], window: Window, settings: &Settings, costs: Costs) -> Result<Body> {
    let mut rows = Rows::default();
    payments
        .iter()
        .for_each(|payment| rows.push_weighted(&payment.values, payment.frauds > 0, payment.weight()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraud_found_by_chance_stands_for_those_that_nobody_looked_at() {
        let payment = |chosen, frauds, heard_otherwise| Payment {
            values: [0.0; FEATURES.len()],
            card: 1,
            amount_minor: 100,
            at_ms: 0,
            approved: true,
            frauds,
            chosen,
            heard_otherwise,
        };
        assert_eq!(payment(Some(0.1), 1, false).weight(), 10.0);
        assert_eq!(
            payment(Some(0.001), 1, false).weight(),
            WEIGHT_MAX,
            "a thousand would be one reviewer's word"
        );
        assert_eq!(payment(Some(0.1), 0, false).weight(), 1.0, "genuine");
        assert_eq!(
            payment(Some(0.1), 1, true).weight(),
            1.0,
            "its like are disputed as it was"
        );
        assert_eq!(payment(None, 1, false).weight(), 1.0, "nobody chose it");
        assert_eq!(payment(Some(0.0), 1, false).weight(), 1.0);
    }
}
