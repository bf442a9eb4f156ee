//! Captures, raises and voids: what is done to an authorization, one operation at a time.
//!
//! [`begin`] is commit A: the operation is durable and locks out every other one. The call follows, then [`settle`],
//! commit B, in which transition, journals, events and the stored answer are one. The caller and the sweep may both
//! settle, in any order and more than once. It must never call the acquirer for an operation that is not durable.

use super::settle::{
    Asker, ask_again, granted, lapses_at, load_method, owed, settled, settled_answer, wait_for_capture,
};
use super::{RETRIES, answer, answer_with, books, capture_entries, claim, load, load_charge, merge_metadata};
use crate::api::error::ApiError;
use crate::call::{Answer, Call, at_acquirer};
use crate::commit::{Refused, Unit};
use crate::connector::{self, Allowance, Failure, Found};
use crate::payment::rows::*;
use crate::payment::state::{self, Fact};
use crate::payment::{review, sweep};
use crate::{receipt, wire};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a caller wants captured.
#[derive(Clone, Debug, Default)]
pub struct Taking {
    /// minor units; all that is authorized and not yet captured when absent
    pub amount: Option<i64>,
    /// more captures follow: what is not captured is not released
    pub more_follow: bool,
    /// what the platform takes of the payment, if that changes
    pub application_fee_amount: Option<i64>,
    /// the caller's own keys
    pub metadata: Option<BTreeMap<String, Option<String>>>,
}

/// Captures an authorized payment, in full or in part. After the last capture what was not captured is released. A last one of
/// nothing, after parts, only releases.
pub async fn capture(call: &Call, payment_id: &str, taking: Taking) -> Result<Answer, ApiError> {
    call.merchant.may_charge()?;
    let named = |mut error: ApiError| {
        error.param = Some("amount_to_capture".into());
        error
    };
    if let Some(part) = taking.amount {
        let payment = load(call, payment_id).await?;
        if part == 0 && !taking.more_follow && payment.amount_received > 0 {
            return cancel(call, payment_id, None).await;
        }
        crate::app::whole_units(part, &payment.currency).map_err(named)?;
    }
    let fact = |payment: &Payment| {
        let amount = taking.amount.unwrap_or(payment.amount_capturable);
        Fact::CaptureStarted {
            amount,
            last: !taking.more_follow || amount == payment.amount_capturable,
        }
    };
    let with = |payment: &mut Payment, charge: &Charge| {
        if let Some(change) = &taking.metadata {
            merge_metadata(&mut payment.details.metadata, change.clone());
        }
        super::fee_within(taking.application_fee_amount, payment.amount)?;
        payment.application_fee_amount = taking.application_fee_amount.or(payment.application_fee_amount);
        if taking.more_follow && !charge.allowance.multicapture {
            return Err(ApiError::invalid(
                "parameter_invalid_value",
                "final_capture",
                "Multicapture is not available for this PaymentIntent: what is not captured is released. Ask for it with \
                 payment_method_options[card][request_multicapture]=if_available when the payment is confirmed, and look at \
                 payment_method_details.card.multicapture of its charge.",
            ));
        }
        Ok(())
    };
    let (payment, charge) =
        begin(call, payment_id, None, fact, with)
            .await
            .map_err(|error| match error.code.as_deref() {
                Some("amount_too_large" | "parameter_invalid_integer") => named(error),
                _ => error,
            })?;
    send(call, payment, charge).await
}

/// What a caller wants an authorization raised to.
#[derive(Clone, Debug)]
pub struct Raising<D: Fn(&mut PaymentDetails)> {
    /// the new whole, minor units
    pub amount: i64,
    /// what the platform takes of it, if that changes
    pub application_fee_amount: Option<i64>,
    /// what describes the payment
    pub describe: D,
}

/// Raises an authorization. One that its issuer does not raise stands as before, and can be captured.
pub async fn increment<D: Fn(&mut PaymentDetails)>(
    call: &Call,
    payment_id: &str,
    raising: Raising<D>,
) -> Result<Answer, ApiError> {
    call.merchant.may_charge()?;
    let Raising { amount, .. } = raising;
    crate::app::whole_units(amount, &load(call, payment_id).await?.currency)?;
    let with = |payment: &mut Payment, charge: &Charge| {
        if !charge.allowance.incremental {
            return Err(ApiError::invalid(
                "incremental_authorization_unavailable",
                "",
                "This authorization cannot be raised. Ask for that with \
                 payment_method_options[card][request_incremental_authorization]=if_available when the payment is confirmed, and \
                 look at payment_method_details.card.incremental_authorization of its charge.",
            ));
        }
        if payment.line_items.is_some() {
            return Err(ApiError::invalid(
                "line_items_mismatch",
                "amount",
                "This payment has line items, which are kept as they were sold: its amount cannot be raised.",
            ));
        }
        super::fee_within(raising.application_fee_amount, payment.amount)?; // it may not be raised after all
        payment.application_fee_amount = raising.application_fee_amount.or(payment.application_fee_amount);
        (raising.describe)(&mut payment.details);
        Ok(())
    };
    let fact = |_: &Payment| Fact::RaiseStarted { amount };
    let (payment, charge) = begin(call, payment_id, None, fact, with).await?;
    send(call, payment, charge).await
}

/// Cancels a payment: releases an authorization, takes back a challenge, or ends a payment that never had either.
pub async fn cancel(call: &Call, payment_id: &str, reason: Option<String>) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let payment = load(call, payment_id).await?;
        if matches!(payment.status, Status::RequiresCapture | Status::RequiresAction) {
            let fact = |_: &Payment| Fact::VoidStarted { reason: reason.clone() };
            let (payment, charge) = begin(call, payment_id, None, fact, |_, _| Ok(())).await?;
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

/// Commit A: the operation that this fact starts, with what else changes, unless that refuses. With a review it is a decision about that review too, and the first
/// one wins.
pub(in crate::payment) async fn begin(
    call: &Call,
    payment_id: &str,
    review_id: Option<&str>,
    fact: impl Fn(&Payment) -> Fact,
    with: impl Fn(&mut Payment, &Charge) -> Result<(), ApiError>,
) -> Result<(Payment, Charge), ApiError> {
    for _ in 0..RETRIES {
        let payment = load(call, payment_id).await?;
        let mut next = state::apply(&payment, &fact(&payment))?;
        let charge_id = payment
            .charge_id
            .clone()
            .ok_or_else(|| ApiError::internal("a capturable payment has no charge"))?;
        let mut charge = load_charge(call, &charge_id).await?;
        with(&mut next, &charge)?;
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

/// What an operation may bring besides its being done: what may now be done with a raised authorization.
type Done = Option<Allowance>;

/// Asks the acquirer to do what the payment's operation says. The reference is the operation's own, so that a repeat
/// has no second effect.
async fn perform(call: &Call, payment: &Payment, charge: &Charge) -> Result<Done, Failure> {
    let connector = call
        .app
        .connector(&charge.connector)
        .map_err(|error| Failure::Unknown(error.message))?;
    let acquirer_id = charge.acquirer_id.as_deref().unwrap_or_default();
    let amount = payment.operation_amount.unwrap_or(payment.amount);
    match payment.operation {
        Some(operation @ (Operation::Capture | Operation::CapturePart)) => {
            let request = connector::Capture {
                reference: &reference(charge, "capture"),
                acquirer_id,
                amount,
                currency: &charge.currency,
                taken: payment.amount_received,
                last: operation == Operation::Capture,
            };
            connector.capture(request).await.map(|_| None)
        }
        Some(Operation::Increment) => {
            let request = connector::Raise {
                reference: &reference(charge, "increment"),
                acquirer_id,
                amount,
                from: charge.amount,
                currency: &charge.currency,
            };
            connector.raise(request).await.map(|approval| Some(approval.allowance))
        }
        Some(Operation::Void) => connector
            .void(&reference(charge, "void"), acquirer_id)
            .await
            .map(|()| None),
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
    let taken = payment.amount_received;
    let wanted = payment.operation_amount.unwrap_or_default();
    let outcome = match (payment.operation, found) {
        (Some(Operation::Capture | Operation::CapturePart), Ok(found)) => match found {
            Found::Captured { amount, .. } | Found::Authorized { captured: amount, .. } if amount == taken + wanted => {
                Ok(None)
            }
            Found::Authorized { captured, .. } if captured == taken => perform(call, &payment, &charge).await,
            Found::Captured { amount, .. } if amount == taken => gone("The rest of the authorization is gone."),
            Found::Voided { .. } => gone("The authorization is gone."),
            Found::Captured { amount, .. } | Found::Authorized { captured: amount, .. } => {
                let (ours, theirs) = ((taken + wanted).to_string(), amount.to_string());
                Err(Failure::Mismatch(connector::Mismatch::new("amount", ours, theirs)))
            }
            other => Err(Failure::Unknown(format!("{other:?}"))),
        },
        (Some(Operation::Increment), Ok(Found::Authorized { amount, approval, .. })) if amount == wanted => {
            Ok(Some(approval.allowance))
        }
        (Some(Operation::Increment | Operation::Void), Ok(Found::Authorized { .. })) => {
            perform(call, &payment, &charge).await
        }
        (Some(Operation::Increment), Ok(Found::Captured { .. } | Found::Voided { .. })) => {
            gone("The authorization is gone.")
        }
        (Some(Operation::Void), Ok(Found::Voided { .. })) => Ok(None),
        (Some(Operation::Void), Ok(Found::ActionNeeded(_))) => perform(call, &payment, &charge).await,
        // nothing is left there that could become a payment
        (Some(Operation::Void), Ok(Found::Declined(_))) if charge.hold_id.is_none() => Ok(None),
        // parts stay, the rest is released
        (Some(Operation::Void), Ok(Found::Captured { amount, .. })) if taken > 0 && amount == taken => Ok(None),
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
    let (payment, charge) = begin(call, &payment.id, None, fact, |_, _| Ok(())).await?;
    let found = match found {
        Ok(found @ (Found::Voided { .. } | Found::Authorized { .. })) => Ok(found),
        Ok(found @ Found::Captured { .. }) if payment.amount_received > 0 => Ok(found),
        other => Err(Failure::Unknown(format!("{other:?}"))),
    };
    self::found(call, payment, charge, found).await
}

/// Commit B: writes what came of the operation under way.
pub(in crate::payment) async fn settle(
    call: &Call,
    mut payment: Payment,
    mut charge: Charge,
    outcome: Result<Done, Failure>,
    asker: Asker,
) -> Result<Answer, ApiError> {
    let operation = payment.operation;
    for _ in 0..RETRIES {
        if payment.operation.is_none() || payment.operation != operation {
            return settled_answer(call, &payment, asker).await;
        }
        let (unit, answer) = match (&outcome, operation) {
            (Ok(_), Some(Operation::Capture | Operation::CapturePart)) => captured(call, &payment, &charge).await?,
            (Ok(allowance), Some(Operation::Increment)) => raised(call, &payment, &charge, *allowance).await?,
            (Ok(_), Some(Operation::Void)) => voided(call, &payment, &charge).await?,
            (Ok(_), _) => return Err(ApiError::internal("an authorization is settled elsewhere")),
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
            (Err(failure), _) => refused(call, &payment, &charge, failure).await?,
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
    let last = payment.operation == Some(Operation::Capture);
    let mut next = state::apply(payment, &Fact::Captured { amount })?;
    let mut captured = charge.clone();
    let unit = Unit::new(call.book_id());
    let (unit, row, made) = capture_entries(call, unit, payment, &mut captured, amount, last).await?;
    if last {
        settled(&mut captured);
    } else {
        captured.swept = 0;
        wait_for_capture(call, &mut captured);
    }
    let mut unit = unit.update(&mut next).update(&mut captured);
    if let Some(receipt) = receipt::of(call, payment, &captured, &row) {
        unit = unit
            .insert(&receipt)
            .insert(&call.event("receipt.created", &wire::receipt(&receipt)));
    }
    let (intent, attempt) = (wire::payment_intent(&next), wire::charge(&captured, &next));
    let (of_charge, of_payment) = if last {
        ("charge.captured", "payment_intent.succeeded")
    } else {
        ("charge.updated", "payment_intent.amount_capturable_updated")
    };
    let unit = unit.insert(&call.event(of_charge, &attempt));
    let unit = unit.insert(&call.event(of_payment, &intent));
    let (unit, review) = review::settle(call, unit, &next, &captured, true).await?;
    let known: Vec<Value> = std::iter::once(attempt).chain(made).chain(review).collect();
    Ok((unit, answer_with(call, intent, &known).await?))
}

async fn raised(call: &Call, payment: &Payment, charge: &Charge, allowance: Done) -> Result<(Unit, Answer), ApiError> {
    let amount = payment.operation_amount.unwrap_or_default();
    let mut raised = charge.clone();
    raised.amount = amount;
    let known = Payment {
        amount,
        ..payment.clone()
    };
    let allowed = granted(&known, allowance.unwrap_or(charge.allowance));
    // What it was granted for is over when it was: a raise does not make it last longer.
    raised.allowance = Allowance {
        capture_before: charge.allowance.capture_before,
        ..allowed
    };
    let fact = Fact::Raised {
        amount,
        amount_maximum: raised.allowance.amount_maximum,
    };
    let mut next = state::apply(payment, &fact)?;
    let hold = charge
        .hold_id
        .ok_or_else(|| ApiError::internal("an authorization without a hold"))?;
    let journals = books(call, payment, &charge.connector)?
        .raised(charge, hold, amount, lapses_at(&raised))
        .map_err(Refused::Ledger)?;
    raised.hold_id = Some(journals[1].id());
    raised.swept = 0;
    wait_for_capture(call, &mut raised);
    let unit = Unit::new(call.book_id())
        .update(&mut next)
        .update(&mut raised)
        .journals(journals);
    let (intent, attempt) = (wire::payment_intent(&next), wire::charge(&raised, &next));
    let unit = unit
        .insert(&call.event("charge.updated", &attempt))
        .insert(&call.event("payment_intent.amount_capturable_updated", &intent));
    Ok((unit, answer_with(call, intent, &[attempt]).await?))
}

/// A challenge that is taken back never became an authorization: its attempt has failed, nothing was held.
async fn voided(call: &Call, payment: &Payment, charge: &Charge) -> Result<(Unit, Answer), ApiError> {
    let at = call.app.clock.now();
    let mut next = state::apply(payment, &Fact::Voided { at })?;
    let mut voided = charge.clone();
    settled(&mut voided);
    let mut unit = Unit::new(call.book_id());
    let expired = payment.details.cancellation_reason.as_deref() == Some("automatic");
    let kept = payment.amount_received > 0;
    let told: Value;
    match charge.hold_id {
        Some(hold) => {
            if kept {
                voided.captured = true;
            } else {
                voided.status = ChargeStatus::Voided;
            }
            let books = books(call, payment, &charge.connector)?;
            let left = charge.amount - charge.amount_captured;
            unit = unit.journals([books.voided(&voided, hold, left).map_err(Refused::Ledger)?]);
            unit = unit.update(&mut next).update(&mut voided);
            told = wire::charge(&voided, &next);
            if expired {
                unit = unit.insert(&call.event("charge.expired", &told));
            }
            if kept {
                unit = unit.insert(&call.event("charge.captured", &told));
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
    let ended = if kept {
        "payment_intent.succeeded"
    } else {
        "payment_intent.canceled"
    };
    unit = unit.insert(&call.event(ended, &intent));
    let (unit, review) = review::settle(call, unit, &next, &voided, kept).await?;
    let known: Vec<Value> = std::iter::once(told).chain(review).collect();
    Ok((unit, answer_with(call, intent, &known).await?))
}

async fn refused(
    call: &Call,
    payment: &Payment,
    charge: &Charge,
    failure: &Failure,
) -> Result<(Unit, Answer), ApiError> {
    let (fact, what) = match payment.operation {
        Some(Operation::Capture | Operation::CapturePart) => (Fact::CaptureRefused, "captured"),
        Some(Operation::Increment) => (Fact::RaiseRefused, "raised"),
        _ => (Fact::VoidRefused, "canceled"),
    };
    let raise = payment.operation == Some(Operation::Increment);
    let mut next = state::apply(payment, &fact)?;
    let mut charge = charge.clone();
    if payment.status == Status::RequiresAction {
        ask_again(call, &mut charge);
    } else {
        wait_for_capture(call, &mut charge);
    }
    let unit = Unit::new(call.book_id()).update(&mut next).update(&mut charge);
    let error = match failure {
        // The issuer's word, as for a card that it declines; the authorization stands.
        Failure::Declined(decline) if raise && decline.decline_code.is_some() => {
            let method = load_method(call, &charge.payment_method_id).await?;
            ApiError::new(402, "card_error", &decline.code, decline.message.clone())
                .with("charge", charge.id.clone())
                .with("decline_code", json!(decline.decline_code))
                .with("payment_intent", wire::payment_intent(&next))
                .with("payment_method", wire::payment_method(&method))
        }
        failure => operation_refused(what, failure),
    };
    Ok((unit, Answer::refusal(&error)))
}

/// Whether an authorization was never captured, or not all of it, and can no longer be relied on.
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
