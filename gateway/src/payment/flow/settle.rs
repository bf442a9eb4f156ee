//! What the acquirer's answer to a step means: commit B, with transition, journals, events and the stored answer in one.
//!
//! The caller that began the step and the sweep may both come here, in any order and more than once: whoever is second
//! finds it settled. It must never call the acquirer, but to reverse what was approved too late.

use super::{RETRIES, answer, answer_with, books, challenge, load, load_charge};
use crate::api::error::ApiError;
use crate::call::{Answer, Call};
use crate::commit::{Refused, Request, Unit};
use crate::connector::{Allowance, Approval, Decline, Failure, Found, Mismatch, Return};
use crate::payment::rows::*;
use crate::payment::state::{self, Fact};
use crate::payment::{application_fee, instrument, store, sweep};
use crate::risk::{self, rows::History};
use crate::{id, receipt, wire};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// How long an authorization holds before it expires, in days: the card networks' usual seven.
pub const AUTHORIZATION_DAYS: i64 = 7;

/// Who waits for the outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// the request that began it
    Caller,
    /// the sweep: the request that began it may be gone, its answer is still owed
    Sweep,
}

/// Writes what came of an authorization: commit B. Safe to call twice: whoever is second finds it settled.
pub async fn settle_authorization(
    call: &Call,
    mut payment: Payment,
    mut charge: Charge,
    outcome: Result<Approval, Failure>,
    asker: Asker,
) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        if !matches!(
            charge.status,
            ChargeStatus::Pending | ChargeStatus::Unknown | ChargeStatus::Mismatched
        ) {
            return settled_answer(call, &payment, asker).await;
        }
        let owed = owed(call, &charge, asker);
        let (unit, answer) = match &outcome {
            Ok(approval) => approved(call, &payment, &charge, approval).await?,
            Err(Failure::Unknown(reason)) => {
                tracing::warn!(charge = charge.id, reason, "outcome unknown");
                unknown(call, &payment, &charge).await?
            }
            Err(Failure::Mismatch(mismatch)) => mismatched(call, &payment, &charge, mismatch).await?,
            Err(Failure::ActionNeeded(action)) => challenge::required(call, &payment, &charge, action).await?,
            Err(failure) => {
                let decline = match failure {
                    Failure::Declined(decline) => decline.clone(),
                    _ => unreachable_acquirer(),
                };
                let (mut next, mut failed) = declined(&payment, &charge, &decline)?;
                if asker == Asker::Sweep && decline.acquirer_id.is_none() {
                    failed.check_at = Some(call.app.clock.now() + sweep::WATCH_LATE_FOR);
                }
                let method = load_method(call, &charge.payment_method_id).await?;
                let unit = Unit::new(call.book_id()).update(&mut next).update(&mut failed);
                let (answer, events) = decline_answer(call, &next, &failed, &method, &decline);
                (events.iter().fold(unit, |unit, event| unit.insert(event)), answer)
            }
        };
        let unit = match owed {
            Some(request) => unit.answer(&request.answered(&payment.id, &answer)),
            None => unit,
        };
        // The scorer learns of an attempt when something is known: an unknown outcome counts as an attempt, and its outcome later for
        // that same attempt; one that waits for the payer has none yet.
        let (known, now) = (risk::outcome(&outcome), call.app.clock.now());
        let unit = match (charge.status, &outcome) {
            (_, Err(Failure::ActionNeeded(_))) => unit,
            (ChargeStatus::Pending, _) => unit.insert(&History::attempt(&charge, known, now)),
            _ if known == anomaly::Outcome::Unknown => unit,
            _ => unit.insert(&History::resolved(&charge, known, now)),
        };
        match call.app.commit(unit).await {
            Ok(()) => return Ok(answer),
            Err(Refused::Conflict { .. } | Refused::KeyTaken) => {
                payment = load(call, &payment.id).await?;
                charge = load_charge(call, &charge.id).await?;
            }
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(Refused::conflict().into())
}

async fn approved(
    call: &Call,
    payment: &Payment,
    charge: &Charge,
    approval: &Approval,
) -> Result<(Unit, Answer), ApiError> {
    let mut charge = charge.clone();
    charge.status = ChargeStatus::Succeeded;
    settled(&mut charge);
    charge.acquirer_id = Some(approval.acquirer_id.clone());
    charge.acquirer_reference.clone_from(&approval.acquirer_reference);
    if let Some(said) = &approval.three_d_secure {
        charge.authentication.get_or_insert_default().three_d_secure = Some(said.clone());
    }
    let review = (charge.risk.decision == "review").then(|| Review {
        book_id: charge.book_id,
        id: id::new(id::prefix::REVIEW),
        version: 1,
        payment_id: payment.id.clone(),
        charge_id: charge.id.clone(),
        open: true,
        reason: "rule".into(),
        closed_reason: None,
        created_at: call.app.clock.now(),
    });
    if !approval.captured {
        charge.allowance = granted(payment, approval.allowance);
    }
    let fact = Fact::Approved {
        captured: approval.captured,
        review_id: review.as_ref().map(|r| r.id.clone()),
        amount_maximum: charge.allowance.amount_maximum,
    };
    let mut next = state::apply(payment, &fact)?;
    let mut unit = Unit::new(call.book_id());
    let (mut transaction, mut made) = (None, Vec::new());
    if approval.captured {
        let amount = charge.amount;
        let row;
        (unit, row, made) = capture_entries(call, unit, payment, &mut charge, amount, true).await?;
        transaction = Some(row);
    } else {
        let expires_at = lapses_at(&charge);
        charge.check_at = Some(expires_at);
        let connector = charge.connector.clone();
        let books = books(call, payment, &connector)?;
        let journal = books.authorized(&charge, expires_at).map_err(Refused::Ledger)?;
        charge.hold_id = Some(journal.id());
        unit = unit.journals([journal]);
    }
    if let Some(usage) = &payment.details.setup_future_usage {
        let mut method = load_method(call, &charge.payment_method_id).await?;
        let agreed_by = (usage == "off_session")
            .then(|| {
                approval
                    .network_transaction_id
                    .clone()
                    .or(approval.acquirer_reference.clone())
            })
            .flatten();
        unit = instrument::keep(call, unit, &mut method, payment.customer_id.as_deref(), agreed_by);
    }
    if let Some(receipt) = transaction
        .as_ref()
        .and_then(|row| receipt::of(call, payment, &charge, row))
    {
        unit = unit
            .insert(&receipt)
            .insert(&call.event("receipt.created", &wire::receipt(&receipt)));
    }
    unit = unit.update(&mut next).update(&mut charge);
    let (intent, attempt) = (wire::payment_intent(&next), wire::charge(&charge, &next));
    unit = unit.insert(&call.event("charge.succeeded", &attempt));
    let r#type = if approval.captured {
        "payment_intent.succeeded"
    } else {
        "payment_intent.amount_capturable_updated"
    };
    unit = unit.insert(&call.event(r#type, &intent));
    let mut known = vec![attempt];
    known.extend(made);
    if let Some(review) = &review {
        let object = wire::review(review, Some(&charge));
        unit = unit.insert(review).insert(&call.event("review.opened", &object));
        known.push(object);
    }
    let answer = answer_with(call, intent, &known).await?;
    Ok((unit, answer))
}

/// The acquirer answered about something else: nothing is booked, the caller is told that it is not known, people are
/// alarmed by an event, and the sweep goes on asking until the answer fits or there is nothing to answer.
async fn mismatched(
    call: &Call,
    payment: &Payment,
    charge: &Charge,
    mismatch: &Mismatch,
) -> Result<(Unit, Answer), ApiError> {
    let mut next = state::apply(payment, &Fact::OutcomeUnknown)?;
    let mut charge = charge.clone();
    let first = charge.mismatch.is_none();
    charge.status = ChargeStatus::Mismatched;
    charge.acquirer_id = charge.acquirer_id.take().or_else(|| mismatch.acquirer_id.clone());
    let decision = charge.mismatch.take().and_then(|known| known.decision);
    charge.mismatch = Some(Mismatch {
        decision,
        ..mismatch.clone()
    });
    ask_again(call, &mut charge);
    let mut unit = Unit::new(call.book_id()).update(&mut next).update(&mut charge);
    let (intent, attempt) = (wire::payment_intent(&next), wire::charge(&charge, &next));
    if first {
        unit = unit
            .insert(&call.event("charge.mismatched", &attempt))
            .insert(&call.event("payment_intent.processing", &intent));
    }
    let answer = answer_with(call, intent, &[attempt]).await?;
    Ok((unit, answer))
}

async fn unknown(call: &Call, payment: &Payment, charge: &Charge) -> Result<(Unit, Answer), ApiError> {
    let mut next = state::apply(payment, &Fact::OutcomeUnknown)?;
    let mut charge = charge.clone();
    let first = charge.status == ChargeStatus::Pending;
    if charge.status != ChargeStatus::Mismatched {
        charge.status = ChargeStatus::Unknown;
    }
    ask_again(call, &mut charge);
    let mut unit = Unit::new(call.book_id()).update(&mut next).update(&mut charge);
    let intent = wire::payment_intent(&next);
    if first {
        unit = unit.insert(&call.event("payment_intent.processing", &intent));
    }
    let answer = answer_with(call, intent, &[wire::charge(&charge, &next)]).await?;
    Ok((unit, answer))
}

pub(super) fn declined(payment: &Payment, charge: &Charge, decline: &Decline) -> Result<(Payment, Charge), ApiError> {
    let mut charge = charge.clone();
    charge.status = ChargeStatus::Failed;
    settled(&mut charge);
    charge.failure_code = Some(decline.code.clone());
    charge.decline_code.clone_from(&decline.decline_code);
    charge.failure_message = Some(decline.message.clone());
    charge.acquirer_id.clone_from(&decline.acquirer_id);
    charge.acquirer_reference.clone_from(&decline.acquirer_reference);
    let error = json!({
        "charge": charge.id,
        "code": decline.code,
        "decline_code": decline.decline_code,
        "doc_url": format!("https://stripe.com/docs/error-codes/{}", decline.code.replace('_', "-")),
        "message": decline.message,
        "type": "card_error",
    });
    Ok((state::apply(payment, &Fact::Declined { error })?, charge))
}

/// The 402 with everything an SDK shows on its `CardError`, and the two events.
pub(super) fn decline_answer(
    call: &Call,
    payment: &Payment,
    charge: &Charge,
    method: &PaymentMethod,
    decline: &Decline,
) -> (Answer, [crate::event::Event; 2]) {
    let method = wire::payment_method(method);
    let mut intent = wire::payment_intent(payment);
    if let Some(error) = intent.get_mut("last_payment_error").and_then(Value::as_object_mut) {
        error.insert("payment_method".into(), method.clone());
    }
    let mut error = ApiError::new(402, "card_error", &decline.code, decline.message.clone())
        .with("charge", charge.id.clone())
        .with("decline_code", json!(decline.decline_code))
        .with("payment_intent", intent.clone())
        .with("payment_method", method);
    if decline.decline_code.is_none() {
        error.more.shift_remove("decline_code");
    }
    let events = [
        call.event("charge.failed", &wire::charge(charge, payment)),
        call.event("payment_intent.payment_failed", &intent),
    ];
    (Answer::refusal(&error), events)
}

/// The outcome is known and told: the sweep has nothing more to ask, nobody waits.
pub(super) fn settled(charge: &mut Charge) {
    charge.check_at = None;
    charge.request_key = None;
}

/// What was wished and granted.
pub(super) fn granted(payment: &Payment, allowance: Allowance) -> Allowance {
    let wishes = payment.details.wishes;
    let maximum = allowance.amount_maximum.filter(|maximum| *maximum > payment.amount);
    Allowance {
        multicapture: wishes.multicapture && allowance.multicapture,
        incremental: wishes.incremental && allowance.incremental,
        amount_maximum: maximum.filter(|_| wishes.overcapture),
        ..allowance
    }
}

/// When the authorization of a charge lapses: as its acquirer says, or the networks' days from when it was asked for.
pub fn lapses_at(charge: &Charge) -> Timestamp {
    charge
        .allowance
        .capture_before
        .unwrap_or(charge.created_at + SignedDuration::from_hours(24 * AUTHORIZATION_DAYS))
}

/// The authorization stands as before; the sweep comes when it lapses, or soon when it has.
pub(super) fn wait_for_capture(call: &Call, charge: &mut Charge) {
    settled(charge);
    let soon = call.app.clock.now() + sweep::backoff(charge.swept);
    charge.check_at = Some(lapses_at(charge).max(soon));
    charge.swept = charge.swept.saturating_add(1);
}

/// The outcome is not known; the caller was told so, and the sweep asks.
pub(super) fn ask_again(call: &Call, charge: &mut Charge) {
    charge.request_key = None;
    charge.check_at = Some(call.app.clock.now() + sweep::backoff(charge.swept));
    charge.swept = charge.swept.saturating_add(1);
}

/// Adds a capture to the unit: its journals, and the merchant's line about it, which is given with all that was made, rendered. The charge says what was
/// taken, and after the last that it is captured. The fee of parts is what the fee of the whole is: its fixed part is taken once.
pub(super) async fn capture_entries(
    call: &Call,
    unit: Unit,
    payment: &Payment,
    charge: &mut Charge,
    amount: i64,
    last: bool,
) -> Result<(Unit, BalanceTransaction, Vec<Value>), ApiError> {
    let connector = charge.connector.clone();
    let books = books(call, payment, &connector)?;
    // What was in force when the payment was made; of payments from before that was kept, what was when it was attempted.
    let total = charge.amount_captured.saturating_add(amount);
    let whole = match &payment.details.disclosure {
        Some(told) => told.rate.fee(total),
        None => call.merchant.rate(&charge.currency, charge.created_at).1.fee(total),
    };
    let fee = whole.saturating_sub(charge.fee).clamp(0, amount);
    let journals = books.captured(charge, amount, fee, last).map_err(Refused::Ledger)?;
    let journal_id = journals[0].id();
    let unit = unit.journals(journals);
    let (unit, platforms) = application_fee::collect(call, unit, &books, payment, charge, amount - fee).await?;
    charge.captured = last;
    charge.amount_captured = total;
    charge.fee = charge.fee.saturating_add(fee);
    charge.receipt_url = charge
        .receipt_url
        .take()
        .or_else(|| receipt::page::address(call, &charge.id));
    let now = call.app.clock.now();
    let row = BalanceTransaction {
        book_id: charge.book_id,
        id: id::new(id::prefix::BALANCE_TRANSACTION),
        r#type: "charge".into(),
        amount,
        fee: fee + platforms.amount,
        application_fee: platforms.amount,
        net: amount - fee - platforms.amount,
        currency: charge.currency.clone(),
        source_id: charge.id.clone(),
        payment_id: Some(charge.payment_id.clone()),
        journal_id,
        description: None,
        available_on: now + call.merchant.settlement_delay(call.app.settlement_delay),
        created_at: now,
    };
    charge.balance_transaction_id = Some(row.id.clone());
    let mut made = vec![wire::balance_transaction(&row, call.at)];
    made.extend(platforms.object);
    Ok((unit.insert(&row), row, made))
}

/// The request that waits for this charge's outcome, if its answer has not been stored yet.
pub(super) fn owed(call: &Call, charge: &Charge, asker: Asker) -> Option<Request> {
    match asker {
        Asker::Caller => call.request(None, None),
        Asker::Sweep => charge
            .request_key
            .map(|key| Request::owed(charge.book_id, key, call.at)),
    }
}

/// Someone else has settled it: the caller gets the answer that was stored for it, the sweep nothing more to do.
pub(super) async fn settled_answer(call: &Call, payment: &Payment, asker: Asker) -> Result<Answer, ApiError> {
    if asker == Asker::Caller
        && let Some(stored) = crate::api::idempotency::stored(call).await?
    {
        return Ok(stored);
    }
    answer(call, payment, &[]).await
}

/// What came to light about an attempt that had ended as not received: the acquirer approved it after all. It is
/// reversed there, never adopted: the caller was told that nothing was charged, and nothing was booked.
pub(in crate::payment) async fn watch_late(
    call: &Call,
    mut charge: Charge,
    found: Result<Found, Failure>,
) -> Result<(), ApiError> {
    let connector = call.app.connector(&charge.connector)?;
    let reference = format!("{}:late", charge.id);
    let reversed = match &found {
        Ok(Found::Authorized { approval, .. }) => connector.void(&reference, &approval.acquirer_id).await,
        Ok(Found::Captured { approval, amount }) => connector
            .refund(Return {
                reference: &reference,
                acquirer_id: &approval.acquirer_id,
                amount: *amount,
                currency: &charge.currency,
                reason: None,
            })
            .await
            .map(drop),
        Ok(_) => Ok(()),
        Err(failure) => Err(failure.clone()),
    };
    if matches!(found, Ok(Found::Authorized { .. } | Found::Captured { .. })) {
        tracing::error!(
            charge = charge.id,
            ok = reversed.is_ok(),
            "late approval after the attempt had ended; reversed"
        );
    }
    match reversed {
        Ok(()) => settled(&mut charge),
        Err(_) => ask_again(call, &mut charge),
    }
    match call.app.commit(Unit::new(call.book_id()).update(&mut charge)).await {
        Ok(()) | Err(Refused::Conflict { .. }) => Ok(()),
        Err(refused) => Err(refused.into()),
    }
}

pub(super) async fn load_method(call: &Call, method_id: &str) -> Result<PaymentMethod, ApiError> {
    let client = call.app.reads.get().await?;
    store::get(&**client, call.book_id(), method_id)
        .await?
        .ok_or_else(|| ApiError::not_found("payment_method", method_id, "payment_method"))
}

fn unreachable_acquirer() -> Decline {
    Decline {
        code: "processing_error".into(),
        decline_code: Some("processing_error".into()),
        message: "An error occurred while processing your card. Nothing was charged. Try again in a little bit.".into(),
        acquirer_id: None,
        acquirer_reference: None,
    }
}
