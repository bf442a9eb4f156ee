//! `/v1/radar/signals`: what a merchant's own traffic says about the merchant. Ours; for people, never for payments.

use super::error::ApiError;
use super::input::{In, Reply, RiskRead, RiskWrite};
use super::list;
use crate::call::{Answer, Call};
use crate::commit::{Refused, Unit};
use crate::payment::flow::claim;
use crate::payment::store;
use crate::risk::rows::{Signal, SignalStatus};
use crate::{id, wire};
use axum::extract::Path;

const RETRIES: usize = 20;
const NOTE_MAX: usize = 2_000;
const KINDS: [&str; 7] = [
    "refund_spike",
    "volume_change",
    "amount_change",
    "decline_change",
    "fake_discount",
    "list_price_never_charged",
    "price_differs_by_consumer",
];

pub(super) async fn index(mut input: In<RiskRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    list::created(&mut params, &mut filters)?;
    if let Some(kind) = params.choice("kind", &KINDS)? {
        filters.push(list::equals("kind = ", kind));
    }
    if let Some(status) = params.choice("status", &["open", "acknowledged"])? {
        filters.push(list::equals("status = ", status));
    }
    params.finish()?;
    list::answer::<Signal>(&input.call, "/v1/radar/signals", &page, &filters, wire::signal).await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<RiskRead>) -> Reply {
    input.take().finish()?;
    Ok(Answer::ok(&wire::signal(&load(&input.call, &id).await?)))
}

pub(super) async fn acknowledge(Path(id): Path<String>, mut input: In<RiskWrite>) -> Reply {
    let mut params = input.take();
    let note = params.long_text("note", 4 * NOTE_MAX)?;
    params.finish()?;
    load(&input.call, &id).await?;
    let note = note
        .filter(|note| note.chars().count() <= NOTE_MAX)
        .ok_or_else(|| ApiError::missing("note"))?;
    input.run(|call| modify(call, &id, note)).await
}

async fn modify(call: &Call, signal_id: &str, note: String) -> Reply {
    for _ in 0..RETRIES {
        let mut signal = load(call, signal_id).await?;
        signal.status = SignalStatus::Acknowledged;
        signal.note = Some(note.clone());
        let unit = Unit::new(call.book_id()).update(&mut signal);
        let object = wire::signal(&signal);
        let unit = unit.insert(&call.event("radar.signal.acknowledged", &object));
        let answer = Answer::ok(&object);
        match call.app.commit(claim(call, unit, signal_id, Some(&answer))).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

async fn load(call: &Call, signal_id: &str) -> Result<Signal, ApiError> {
    let found: Option<Signal> = if id::is_valid(id::prefix::RISK_SIGNAL, signal_id) {
        let client = call.app.reads.get().await?;
        store::get(&**client, call.book_id(), signal_id).await?
    } else {
        None
    };
    found.ok_or_else(|| ApiError::not_found("signal", signal_id, "signal"))
}
