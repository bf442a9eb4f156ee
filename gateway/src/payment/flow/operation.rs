//! Captures and voids: what is done to an authorization, one operation at a time.
//!
//! [`begin`] is commit A: the operation is durable and locks out every other one. The call follows, then [`settle`],
//! commit B, in which transition, journals, events and the stored answer are one. The caller and the sweep may both
//! settle, in any order and more than once. It must never call the acquirer for an operation that is not durable.

use super::settle::{Asker, ask_again, lapses_at, owed, settled, settled_answer, wait_for_capture};
use super::{RETRIES, answer, answer_with, books, capture_entries, claim, load, load_charge, merge_metadata};
use crate::api::error::ApiError;
use crate::call::{Answer, Call, at_acquirer};
use crate::commit::{Refused, Unit};
use crate::connector::{self, Failure, Found};
use crate::payment::rows::*;
use crate::payment::state::{self, Fact};
use crate::payment::{review, sweep};
use crate::{receipt, wire};
use serde_json::Value;
use std::collections::BTreeMap;

/// Captures an authorized payment in full or in part; what is not captured is released.
pub async fn capture(
    call: &Call,
    payment_id: &str,
    amount: Option<i64>,
    metadata: Option<BTreeMap<String, Option<String>>>,
) -> Result<Answer, ApiError> {
    call.merchant.may_charge()?;
    if let Some(part) = amount {
        let payment = load(call, payment_id).await?;
        crate::app::whole_units(part, &payment.currency).map_err(|mut error| {
            error.param = Some("amount_to_capture".into());
            error
        })?;
    }
    let fact = |payment: &Payment| Fact::CaptureStarted {
        amount: amount.unwrap_or(payment.amount_capturable),
    };
    let describe = |details: &mut PaymentDetails| {
        if let Some(change) = &metadata {
            merge_metadata(&mut details.metadata, change.clone());
        }
    };
    let (payment, charge) = begin(call, payment_id, None, fact, describe)
        .await
        .map_err(|mut error| {
            if error.code.as_deref() == Some("amount_too_large") {
                error.param = Some("amount_to_capture".into());
            }
            error
        })?;
    send(call, payment, charge).await
}

/// Cancels a payment: releases an authorization, takes back a challenge, or ends a payment that never had either.
pub async fn cancel(call: &Call, payment_id: &str, reason: Option<String>) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let payment = load(call, payment_id).await?;
        if matches!(payment.status, Status::RequiresCapture | Status::RequiresAction) {
            let fact = |_: &Payment| Fact::VoidStarted { reason: reason.clone() };
            let (payment, charge) = begin(call, payment_id, None, fact, |_| ()).await?;
            return send(call, payment, charge).await;
        }
        let mut next = state::apply(
            &payment,
            &Fact::Canceled {
                at: call.at,
                reason: reason.clone(),
            },
        )?;
        let unit = Unit::new(call.book_id()).update(&mut next);
        let unit = unit.insert(&call.event("payment_intent.canceled", &wire::payment_intent(&next)));
        let answer = answer(call, &next, &[]).await?;
        match call.app.commit(claim(call, unit, &next.id, Some(&answer))).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// Commit A: the operation that this fact starts. With a review it is a decision about that review too, and the first
/// one wins.
pub(in crate::payment) async fn begin(
    call: &Call,
    payment_id: &str,
    review_id: Option<&str>,
    fact: impl Fn(&Payment) -> Fact,
    describe: impl Fn(&mut PaymentDetails),
) -> Result<(Payment, Charge), ApiError> {
    for _ in 0..RETRIES {
        let payment = load(call, payment_id).await?;
        let mut next = state::apply(&payment, &fact(&payment))?;
        describe(&mut next.details);
        let charge_id = payment
            .charge_id
            .clone()
            .ok_or_else(|| ApiError::internal("a capturable payment has no charge"))?;
        let mut charge = load_charge(call, &charge_id).await?;
        charge.operations = charge.operations.saturating_add(1);
        charge.swept = 0;
        charge.check_at = Some(call.at + call.app.sweep_after);
        charge.request_key = call.key.as_ref().map(|k| k.key);
        let mut unit = Unit::new(call.book_id()).update(&mut next).update(&mut charge);
        if let Some(review_id) = review_id {
            unit = unit.update(&mut review::open(call, review_id).await?);
        }
        let subject = call.subject.as_deref().unwrap_or(payment_id);
        match call.app.commit(claim(call, unit, subject, None)).await {
            Ok(()) => {
                call.mark_claimed();
                return Ok((next, charge));
            }
            Err(Refused::Conflict { .. }) => continue,
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(Refused::conflict().into())
}

/// The call of an operation that has begun, and commit B.
pub(in crate::payment) async fn send(call: &Call, payment: Payment, charge: Charge) -> Result<Answer, ApiError> {
    let outcome = at_acquirer(perform(call, &payment, &charge)).await;
    settle(call, payment, charge, outcome, Asker::Caller).await
}

/// Asks the acquirer to do what the payment's operation says. The reference is the operation's own, so that a repeat
/// has no second effect.
async fn perform(call: &Call, payment: &Payment, charge: &Charge) -> Result<(), Failure> {
    let connector = call
        .app
        .connector(&charge.connector)
        .map_err(|error| Failure::Unknown(error.message))?;
    let acquirer_id = charge.acquirer_id.as_deref().unwrap_or_default();
    match payment.operation {
        Some(Operation::Capture) => {
            let request = connector::Capture {
                reference: &reference(charge, "capture"),
                acquirer_id,
                amount: payment.operation_amount.unwrap_or(payment.amount),
                currency: &charge.currency,
            };
            connector.capture(request).await.map(drop)
        }
        Some(Operation::Void) => connector.void(&reference(charge, "void"), acquirer_id).await,
        Some(Operation::Authorize) | None => Err(Failure::Unknown("no operation is under way".into())),
    }
}

/// The first operation of a charge has its name alone, as it had before operations were counted.
fn reference(charge: &Charge, operation: &str) -> String {
    match charge.operations {
        0 | 1 => format!("{}:{operation}", charge.id),
        nth => format!("{}:{operation}:{nth}", charge.id),
    }
}

/// What an inquiry found of an operation whose outcome is not known, and its end. An intent that the acquirer has not
/// carried out still stands: it is sent again under the same reference.
pub(in crate::payment) async fn found(
    call: &Call,
    payment: Payment,
    charge: Charge,
    found: Result<Found, Failure>,
) -> Result<(), ApiError> {
    let gone = |message| Err(Failure::Declined(sweep::not_received(message)));
    let outcome = match (payment.operation, found) {
        (Some(Operation::Capture), Ok(Found::Captured { .. })) => Ok(()),
        (Some(Operation::Void), Ok(Found::Voided { .. })) => Ok(()),
        (Some(_), Ok(Found::Authorized(_))) => perform(call, &payment, &charge).await,
        (Some(Operation::Void), Ok(Found::ActionNeeded(_))) => perform(call, &payment, &charge).await,
        // nothing is left there that could become a payment
        (Some(Operation::Void), Ok(Found::Declined(_))) if charge.hold_id.is_none() => Ok(()),
        (Some(Operation::Capture), Ok(Found::Voided { .. })) => gone("The authorization is gone."),
        (Some(Operation::Void), Ok(Found::Captured { .. })) => gone("The payment was captured."),
        (_, other) => Err(Failure::Unknown(format!("{other:?}"))),
    };
    settle(call, payment, charge, outcome, Asker::Sweep).await.map(drop)
}

/// An authorization has lapsed without a capture: the payment is canceled by its own state machine, the hold released
/// (J02), and the void sent, so that the customer's money is free also at an acquirer that counts other days. Until the
/// acquirer has said so the payment is not told to be canceled: it may have been captured there.
pub(in crate::payment) async fn lapse(
    call: &Call,
    payment: &Payment,
    found: Result<Found, Failure>,
) -> Result<(), ApiError> {
    let fact = |_: &Payment| Fact::VoidStarted {
        reason: Some("automatic".into()),
    };
    let (payment, charge) = begin(call, &payment.id, None, fact, |_| ()).await?;
    let found = match found {
        Ok(found @ (Found::Voided { .. } | Found::Authorized(_))) => Ok(found),
        other => Err(Failure::Unknown(format!("{other:?}"))),
    };
    self::found(call, payment, charge, found).await
}

/// Commit B: writes what came of the operation under way.
pub(in crate::payment) async fn settle(
    call: &Call,
    mut payment: Payment,
    mut charge: Charge,
    outcome: Result<(), Failure>,
    asker: Asker,
) -> Result<Answer, ApiError> {
    let operation = payment.operation;
    for _ in 0..RETRIES {
        if payment.operation.is_none() || payment.operation != operation {
            return settled_answer(call, &payment, asker).await;
        }
        let (unit, answer) = match (&outcome, operation) {
            (Ok(()), Some(Operation::Capture)) => captured(call, &payment, &charge).await?,
            (Ok(()), Some(Operation::Void)) => voided(call, &payment, &charge).await?,
            (Ok(()), _) => return Err(ApiError::internal("an authorization is settled elsewhere")),
            // The intent stands and stays visible; the sweep asks and finishes it.
            (Err(Failure::Unknown(cause)), _) => {
                tracing::warn!(
                    payment = payment.id,
                    ?operation,
                    cause,
                    "outcome of an operation unknown"
                );
                let mut charge = charge.clone();
                ask_again(call, &mut charge);
                let unit = Unit::new(call.book_id()).update(&mut charge);
                (unit, answer(call, &payment, &[]).await?)
            }
            (Err(Failure::Mismatch(mismatch)), _) => {
                let mut charge = charge.clone();
                let first = charge.mismatch.replace(mismatch.clone()).is_none();
                ask_again(call, &mut charge);
                let mut unit = Unit::new(call.book_id()).update(&mut charge);
                if first {
                    unit = unit.insert(&call.event("charge.mismatched", &wire::charge(&charge, &payment)));
                }
                (unit, answer(call, &payment, &[]).await?)
            }
            (Err(failure), _) => refused(call, &payment, &charge, failure)?,
        };
        let unit = match owed(call, &charge, asker) {
            Some(request) => unit.answer(&request.answered(call.subject.as_deref().unwrap_or(&payment.id), &answer)),
            None => unit,
        };
        match call.app.commit(unit).await {
            Err(Refused::Conflict { .. } | Refused::KeyTaken) => {
                payment = load(call, &payment.id).await?;
                charge = load_charge(call, &charge.id).await?;
            }
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

async fn captured(call: &Call, payment: &Payment, charge: &Charge) -> Result<(Unit, Answer), ApiError> {
    let amount = payment.operation_amount.unwrap_or_default();
    let mut next = state::apply(payment, &Fact::Captured { amount })?;
    let books = books(call, payment, &charge.connector)?;
    let mut captured = charge.clone();
    settled(&mut captured);
    let (row, journals) = capture_entries(call, &books, payment, &mut captured, amount)?;
    let mut unit = Unit::new(call.book_id())
        .update(&mut next)
        .update(&mut captured)
        .insert(&row)
        .journals(journals);
    if let Some(receipt) = receipt::of(call, payment, &captured, &row) {
        unit = unit
            .insert(&receipt)
            .insert(&call.event("receipt.created", &wire::receipt(&receipt)));
    }
    let (intent, attempt) = (wire::payment_intent(&next), wire::charge(&captured, &next));
    let unit = unit.insert(&call.event("charge.captured", &attempt));
    let unit = unit.insert(&call.event("payment_intent.succeeded", &intent));
    let (unit, review) = review::settle(call, unit, &next, &captured, true).await?;
    let mut known = vec![attempt, wire::balance_transaction(&row, call.at)];
    known.extend(review);
    Ok((unit, answer_with(call, intent, &known).await?))
}

/// A challenge that is taken back never became an authorization: its attempt has failed, nothing was held.
async fn voided(call: &Call, payment: &Payment, charge: &Charge) -> Result<(Unit, Answer), ApiError> {
    let at = call.app.clock.now();
    let mut next = state::apply(payment, &Fact::Voided { at })?;
    let mut voided = charge.clone();
    settled(&mut voided);
    let mut unit = Unit::new(call.book_id());
    let expired = next.details.cancellation_reason.as_deref() == Some("automatic");
    let told: Value;
    match charge.hold_id {
        Some(hold) => {
            voided.status = ChargeStatus::Voided;
            let books = books(call, payment, &charge.connector)?;
            let left = charge.amount - charge.amount_captured;
            unit = unit.journals([books.voided(&voided, hold, left).map_err(Refused::Ledger)?]);
            unit = unit.update(&mut next).update(&mut voided);
            told = wire::charge(&voided, &next);
            if expired {
                unit = unit.insert(&call.event("charge.expired", &told));
            }
        }
        None => {
            voided.status = ChargeStatus::Failed;
            voided.failure_code = Some("payment_intent_authentication_failure".into());
            voided.failure_message = Some("The payment was canceled before the customer was authenticated.".into());
            unit = unit.update(&mut next).update(&mut voided);
            told = wire::charge(&voided, &next);
        }
    }
    let intent = wire::payment_intent(&next);
    unit = unit.insert(&call.event("payment_intent.canceled", &intent));
    let (unit, review) = review::settle(call, unit, &next, &voided, false).await?;
    let known: Vec<Value> = std::iter::once(told).chain(review).collect();
    Ok((unit, answer_with(call, intent, &known).await?))
}

fn refused(call: &Call, payment: &Payment, charge: &Charge, failure: &Failure) -> Result<(Unit, Answer), ApiError> {
    let (fact, what) = match payment.operation {
        Some(Operation::Capture) => (Fact::CaptureRefused, "captured"),
        _ => (Fact::VoidRefused, "canceled"),
    };
    let mut next = state::apply(payment, &fact)?;
    let mut charge = charge.clone();
    if payment.status == Status::RequiresAction {
        ask_again(call, &mut charge);
    } else {
        wait_for_capture(call, &mut charge);
    }
    let unit = Unit::new(call.book_id()).update(&mut next).update(&mut charge);
    Ok((unit, Answer::refusal(&operation_refused(what, failure))))
}

/// Whether an authorization was never captured, and can no longer be relied on.
pub(in crate::payment) fn lapsed(payment: &Payment, charge: &Charge, now: jiff::Timestamp) -> bool {
    payment.status == Status::RequiresCapture
        && payment.charge_id.as_ref() == Some(&charge.id)
        && lapses_at(charge) <= now
}

fn operation_refused(what: &str, failure: &Failure) -> ApiError {
    match failure {
        Failure::Declined(decline) => ApiError::invalid(
            &decline.code,
            "",
            format!("This payment could not be {what}: {}", decline.message),
        ),
        _ => {
            let mut error = ApiError::busy();
            error.message = format!(
                "The acquirer cannot be reached; the payment was not {what}. Try again with a new Idempotency-Key."
            );
            error.retry_after = None;
            error.should_retry = Some(false);
            error
        }
    }
}
