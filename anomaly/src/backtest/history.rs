//! A model from a whole history: as if it were trained on the evening of the last day.

use super::{Protocol, Replay, Transaction};
use crate::model::cost::Costs;
use crate::model::train::{self, Rows, Settings};
use crate::model::{Body, Origin};

const DAY_MS: i64 = 86_400_000;

/// Trains on the last `train_days` whose labels are known at the end, when each is known after `label_delay_days`.
///
/// # Errors
/// Transactions out of order, or too few to learn from.
pub fn train_model(
    transactions: &[Transaction],
    train_days: i64,
    label_delay_days: i64,
    settings: &Settings,
    costs: Costs,
    mut progress: impl FnMut(i64),
) -> Result<Body, String> {
    let Some(last) = transactions.last() else {
        return Err("there are no transactions".to_owned());
    };
    let known_ms = last.at_ms - label_delay_days * DAY_MS;
    let from_ms = known_ms - train_days * DAY_MS;
    let protocol = Protocol::handbook().with_delay(label_delay_days);
    let mut replay = Replay::new(transactions, &protocol)?;
    let (mut rows, mut cards, mut amounts_minor) = (Rows::default(), Vec::new(), Vec::new());
    let (mut first_ms, mut last_ms) = (i64::MAX, i64::MIN);
    let mut day = -1;
    while let Some((place, features)) = replay.next() {
        if replay.day(place) != day {
            day = replay.day(place);
            progress(day);
        }
        let payment = replay.transaction(place);
        if payment.at_ms > from_ms && payment.at_ms <= known_ms {
            rows.push(features.values(), payment.fraud);
            cards.push(payment.customer);
            amounts_minor.push(payment.amount_minor);
            (first_ms, last_ms) = (first_ms.min(payment.at_ms), payment.at_ms);
        }
    }
    let origin = Origin {
        from_ms: first_ms,
        to_ms: last_ms,
        known_ms: last.at_ms,
        payments: rows.len() as u64,
        frauds: rows.frauds() as u64,
    };
    train::model(&rows, &cards, &amounts_minor, origin, settings, costs)
}
