//! A block is a machine's decision; whoever was blocked can ask for a person (PIPL art. 24), through the merchant.
//!
//! One appeal per attempt, answered by a deadline, with a reason. Lifting one puts the card on the merchant's allow list for
//! a while, so that the buyer can pay; upholding one changes nothing but is said. An appeal that nobody has answered in
//! time is told as overdue, once. It must never decide by itself, nor undo the block list: that list beats every other.

use super::lists;
use super::rows::{AppealStatus, BlockAppeal, History, Source};
use crate::api::error::ApiError;
use crate::app::App;
use crate::call::{Answer, Call};
use crate::commit::{Refused, Unit};
use crate::payment::flow::{claim, load_charge};
use crate::payment::rows::ChargeStatus;
use crate::payment::store;
use crate::{id, wire};
use anomaly::{Subject, Verdict, key};
use jiff::SignedDuration;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::Type;

const RETRIES: usize = 20;
/// The list that lets a card through.
const ALLOW_LIST: &str = "card_fingerprint_allowlist";
/// How often overdue appeals are looked for.
const EVERY: Duration = Duration::from_secs(60);
const EVERY_IN_TESTS: Duration = Duration::from_secs(1);

/// Somebody asks for a person's look at a blocked attempt.
pub async fn create(call: &Call, charge_id: &str, requested_by: &str, statement: String) -> Result<Answer, ApiError> {
    let charge = load_charge(call, charge_id).await?;
    if charge.status != ChargeStatus::Failed || charge.risk.decision != "block" {
        return Err(ApiError::invalid(
            "charge_not_blocked",
            "charge",
            format!("The charge {charge_id} was not blocked by a risk rule: there is nothing to look at again."),
        ));
    }
    let appeal = BlockAppeal {
        book_id: call.book_id(),
        id: id::new(id::prefix::BLOCK_APPEAL),
        version: 1,
        charge_id: charge.id.clone(),
        payment_id: charge.payment_id.clone(),
        requested_by: requested_by.to_owned(),
        statement,
        status: AppealStatus::Open,
        reason: None,
        overdue: false,
        due_at: call.at + SignedDuration::from_hours(i64::from(call.app.risk.appeal_hours)),
        decided_at: None,
        created_at: call.at,
    };
    let object = wire::block_appeal(&appeal);
    let answer = Answer::ok(&object);
    let unit = Unit::new(call.book_id())
        .insert(&appeal)
        .insert(&call.event("radar.block_appeal.created", &object));
    match call.app.commit(claim(call, unit, &appeal.id, Some(&answer))).await {
        Err(Refused::Conflict { .. }) => Err(ApiError::invalid(
            "block_appeal_exists",
            "charge",
            format!(
                "There is an appeal about the charge {charge_id} already: GET /v1/radar/block_appeals?charge={charge_id}."
            ),
        )),
        done => done.map(|()| answer).map_err(ApiError::from),
    }
}

/// A person finds that the block was wrong: the card may pay for so many days.
pub async fn lift(call: &Call, appeal_id: &str, reason: String, days: i64) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let mut appeal = decided(call, appeal_id, AppealStatus::Lifted, &reason).await?;
        let charge = load_charge(call, &appeal.charge_id).await?;
        let subject = Subject::Card(key(&charge.card.fingerprint));
        let until = call.at + SignedDuration::from_hours(24 * days);
        let (list, stored) = lists::find(call, ALLOW_LIST)
            .await?
            .ok_or_else(|| ApiError::internal("a built-in list is missing"))?;
        let mut unit = Unit::new(call.book_id());
        if !stored {
            unit = unit.insert(&list);
        }
        unit = match lists::on_list(call, &list.id, subject).await? {
            Some(item) if item.expires_at.is_none_or(|at| at >= until) => unit,
            Some(mut item) => {
                item.expires_at = Some(until);
                unit.update(&mut item)
            }
            None => unit.insert(&lists::item(
                call,
                &list,
                subject,
                &charge.card.fingerprint,
                Some(until),
            )?),
        };
        let label = History::label(charge.book_id, &charge.id, Verdict::Genuine, Source::Review, call.at);
        match finish(call, unit.insert(&label), &mut appeal, "radar.block_appeal.lifted").await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// A person finds that the block was right.
pub async fn uphold(call: &Call, appeal_id: &str, reason: String) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let mut appeal = decided(call, appeal_id, AppealStatus::Upheld, &reason).await?;
        let unit = Unit::new(call.book_id());
        match finish(call, unit, &mut appeal, "radar.block_appeal.upheld").await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// This merchant's appeal.
pub async fn load(call: &Call, appeal_id: &str) -> Result<BlockAppeal, ApiError> {
    let found = if id::is_valid(id::prefix::BLOCK_APPEAL, appeal_id) {
        let client = call.app.reads.get().await?;
        store::get(&**client, call.book_id(), appeal_id).await?
    } else {
        None
    };
    found.ok_or_else(|| ApiError::not_found("block appeal", appeal_id, "block_appeal"))
}

async fn decided(call: &Call, appeal_id: &str, status: AppealStatus, reason: &str) -> Result<BlockAppeal, ApiError> {
    let mut appeal = load(call, appeal_id).await?;
    if appeal.status != AppealStatus::Open {
        return Err(ApiError::invalid(
            "block_appeal_closed",
            "",
            format!("The appeal {appeal_id} has been decided already."),
        ));
    }
    appeal.status = status;
    appeal.reason = Some(reason.to_owned());
    appeal.decided_at = Some(call.at);
    Ok(appeal)
}

async fn finish(call: &Call, unit: Unit, appeal: &mut BlockAppeal, r#type: &str) -> Result<Answer, Refused> {
    let unit = unit.update(appeal);
    let object = wire::block_appeal(appeal);
    let answer = Answer::ok(&object);
    let unit = unit.insert(&call.event(r#type, &object));
    call.app.commit(claim(call, unit, &appeal.id, Some(&answer))).await?;
    Ok(answer)
}

/// Tells of appeals that nobody has answered in time, for as long as the service runs.
pub async fn run(app: Arc<App>, shutdown: impl Future<Output = ()>) {
    tokio::pin!(shutdown);
    let every = if app.settings.test_mode { EVERY_IN_TESTS } else { EVERY };
    loop {
        if let Err(error) = round(&app).await {
            tracing::warn!(error = error.message, "overdue appeals cannot be told; trying again");
        }
        tokio::select! {
            () = &mut shutdown => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

async fn round(app: &Arc<App>) -> Result<(), ApiError> {
    let overdue: Vec<BlockAppeal> = {
        let client = app.reads.get().await?;
        let rows = client
            .query_typed(
                "SELECT row_to_json(t)::text FROM risk.block_appeal t
                 WHERE status = 'open' AND NOT overdue AND due_at <= $1 ORDER BY due_at LIMIT 100",
                &[(&app.clock.now(), Type::TIMESTAMPTZ)],
            )
            .await?;
        rows.iter().map(store::row).collect::<Result<_, _>>()?
    };
    for mut appeal in overdue {
        let call = Call::background(app.clone(), app.merchant_by_book(appeal.book_id).await?);
        appeal.overdue = true;
        let unit = Unit::new(appeal.book_id).update(&mut appeal);
        let unit = unit.insert(&call.event("radar.block_appeal.overdue", &wire::block_appeal(&appeal)));
        match app.commit(unit).await {
            Ok(()) => tracing::error!(
                appeal = appeal.id,
                "nobody has answered this appeal in time: a person must look"
            ),
            Err(Refused::Conflict { .. }) => {} // decided, or told by another process
            Err(refused) => return Err(refused.into()),
        }
    }
    Ok(())
}
