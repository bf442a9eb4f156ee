//! One payment, step by step: create, confirm, capture, cancel. Refunds are in `refund.rs`, unknown outcomes in `sweep.rs`.
//!
//! Every step at the acquirer is two commits with the call between them: **A** makes the intent durable (and claims the
//! idempotency key), then the acquirer is called with no transaction open, then **B** writes transition, journals,
//! events and the stored answer together. The scorer is pure and runs before A, so that its verdict is durable with the
//! attempt and a blocked payment costs one commit and no call.
//!
//! It must never call an acquirer before A, and never end an attempt as failed because it does not know.

use super::accounting::Books;
use super::instrument::{Instrument, Source};
use super::review;
use super::rows::*;
use super::state::{self, Fact};
use super::store;
use super::sweep;
use crate::api::error::ApiError;
use crate::call::{Answer, Call, at_acquirer};
use crate::commit::{Refused, Request, Unit};
use crate::connector::{Approval, Authorize, Decline, Failure, Found};
use crate::{id, risk, wire};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How long an authorization holds before it expires, in days: the card networks' usual seven.
pub const AUTHORIZATION_DAYS: i64 = 7;
/// How often a step is tried again on a row that another request moved meanwhile.
const RETRIES: usize = 20;

/// What a caller wants paid.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct NewPayment {
    pub amount: i64,
    pub currency: String,
    pub capture_method: CaptureMethod,
    pub customer_id: Option<String>,
    pub source: Option<Source>,
    pub confirm: bool,
    pub details: PaymentDetails,
    pub signals: risk::Signals,
}

/// Creates a payment and, when asked, confirms it in the same request.
pub async fn create(call: &Call, new: NewPayment) -> Result<Answer, ApiError> {
    call.merchant.may_charge()?;
    let instrument = match &new.source {
        Some(source) => Some(Instrument::resolve(call, source, new.customer_id.as_deref()).await?),
        None => None,
    };
    let mut payment = Payment {
        book_id: call.book_id(),
        id: id::new(id::prefix::PAYMENT),
        version: 1,
        status: if instrument.is_some() {
            Status::RequiresConfirmation
        } else {
            Status::RequiresPaymentMethod
        },
        operation: None,
        operation_amount: None,
        amount: new.amount,
        currency: new.currency,
        amount_capturable: 0,
        amount_received: 0,
        amount_refunded: 0,
        amount_disputed: 0,
        double_credit_risk: false,
        capture_method: new.capture_method,
        customer_id: new.customer_id,
        payment_method_id: instrument.as_ref().map(|i| i.method.id.clone()),
        charge_id: None,
        review_id: None,
        created_at: call.at,
        canceled_at: None,
        details: new.details,
    };
    let created = call.event("payment_intent.created", &wire::payment_intent(&payment));
    let unit = Unit::new(call.book_id()).insert(&created);
    if !new.confirm {
        let unit = instrument
            .iter()
            .filter(|i| i.fresh)
            .fold(unit, |unit, i| unit.insert(&i.method));
        let answer = answer(call, &payment, &[]).await?;
        let unit = unit.insert(&payment);
        call.app.commit(claim(call, unit, &payment.id, Some(&answer))).await?;
        return Ok(answer);
    }
    let Some(instrument) = instrument else {
        return Err(ApiError::invalid(
            "payment_intent_unexpected_state",
            "payment_method",
            "You cannot confirm this PaymentIntent because it's missing a payment method. Provide payment_method (for example pm_card_visa) when confirming.",
        ));
    };
    let attempt = Attempt::begin(call, &mut payment, instrument, &new.signals)?;
    attempt.run(call, payment, unit, true).await
}

/// Confirms a payment that was created without, or whose last attempt was declined.
pub async fn confirm(
    call: &Call,
    payment_id: &str,
    source: Option<Source>,
    signals: risk::Signals,
) -> Result<Answer, ApiError> {
    call.merchant.may_charge()?;
    let mut payment = load(call, payment_id).await?;
    let source = match source.or_else(|| payment.payment_method_id.clone().map(Source::Id)) {
        Some(source) => source,
        None => {
            return Err(ApiError::invalid(
                "payment_intent_unexpected_state",
                "payment_method",
                "You cannot confirm this PaymentIntent because it's missing a payment method. Provide payment_method (for example pm_card_visa) when confirming.",
            ));
        }
    };
    let instrument = Instrument::resolve(call, &source, payment.customer_id.as_deref()).await?;
    let attempt = Attempt::begin(call, &mut payment, instrument, &signals)?;
    attempt.run(call, payment, Unit::new(call.book_id()), false).await
}

/// Captures an authorized payment in full or in part; what is not captured is released.
pub async fn capture(call: &Call, payment_id: &str, amount: Option<i64>) -> Result<Answer, ApiError> {
    let (payment, charge) = begin_operation(call, payment_id, None, |payment| Fact::CaptureStarted {
        amount: amount.unwrap_or(payment.amount_capturable),
    })
    .await
    .map_err(|mut error| {
        if error.code.as_deref() == Some("amount_too_large") {
            error.param = Some("amount_to_capture".into());
        }
        error
    })?;
    send_capture(call, payment, charge).await
}

/// The call of a capture that has begun, and commit B.
pub(super) async fn send_capture(call: &Call, payment: Payment, charge: Charge) -> Result<Answer, ApiError> {
    let amount = payment.operation_amount.unwrap_or(payment.amount);
    let connector = call.app.connector(&charge.connector)?;
    let acquirer_id = charge.acquirer_id.clone().unwrap_or_default();
    let outcome = at_acquirer(connector.capture(&format!("{}:capture", charge.id), &acquirer_id, amount)).await;
    settle_capture(call, payment, charge, outcome.map(|_| ()), Asker::Caller).await
}

/// Cancels a payment: releases an authorization, or ends one that never had any.
pub async fn cancel(call: &Call, payment_id: &str, reason: Option<String>) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let payment = load(call, payment_id).await?;
        if payment.status == Status::RequiresCapture {
            let (payment, charge) =
                begin_operation(call, payment_id, None, |_| Fact::VoidStarted { reason: reason.clone() }).await?;
            return send_void(call, payment, charge).await;
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

/// The call of a void that has begun, and commit B.
pub(super) async fn send_void(call: &Call, payment: Payment, charge: Charge) -> Result<Answer, ApiError> {
    let connector = call.app.connector(&charge.connector)?;
    let acquirer_id = charge.acquirer_id.clone().unwrap_or_default();
    let outcome = at_acquirer(connector.void(&format!("{}:void", charge.id), &acquirer_id)).await;
    settle_void(call, payment, charge, outcome, Asker::Caller).await
}

/// Changes what describes a payment, and the amount while nothing was attempted.
pub async fn update(
    call: &Call,
    payment_id: &str,
    change: impl Fn(&mut Payment) -> Result<(), ApiError>,
) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let mut payment = load(call, payment_id).await?;
        change(&mut payment)?;
        let unit = Unit::new(call.book_id()).update(&mut payment);
        let answer = answer(call, &payment, &[]).await?;
        match call.app.commit(claim(call, unit, &payment.id, Some(&answer))).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// Who waits for the outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// the request that began it
    Caller,
    /// the sweep: the request that began it may be gone, its answer is still owed
    Sweep,
}

/// An attempt: an assessed charge on its way to the acquirer.
struct Attempt {
    charge: Charge,
    instrument: Instrument,
    verdict: anomaly::Assessment,
    facts: anomaly::Attempt,
}

impl Attempt {
    /// Assesses the attempt and moves the payment to `processing`, in memory.
    fn begin(
        call: &Call,
        payment: &mut Payment,
        instrument: Instrument,
        signals: &risk::Signals,
    ) -> Result<Self, ApiError> {
        let app = &call.app;
        let charge_id = id::new(id::prefix::CHARGE);
        let started = Fact::AttemptStarted {
            charge_id: charge_id.clone(),
            payment_method_id: instrument.method.id.clone(),
        };
        *payment = state::apply(payment, &started)?;
        let context = signals.context(payment, instrument.cvc.is_some());
        let facts = risk::attempt(call.at, &call.merchant, payment, &instrument.method.card, &context);
        let verdict = app.scorer.assess(&facts);
        let risk = risk::stored(&verdict);
        let review = risk.decision == "review";
        let charge = Charge {
            book_id: payment.book_id,
            id: charge_id,
            version: 1,
            payment_id: payment.id.clone(),
            status: ChargeStatus::Pending,
            amount: payment.amount,
            currency: payment.currency.clone(),
            amount_captured: 0,
            amount_refunded: 0,
            captured: false,
            disputed: false,
            capture_wanted: state::capture_at_once(payment.capture_method, review),
            payment_method_id: instrument.method.id.clone(),
            customer_id: payment.customer_id.clone(),
            connector: app.primary_connector()?.name().to_owned(),
            acquirer_id: None,
            acquirer_reference: None,
            hold_id: None,
            fee: 0,
            balance_transaction_id: None,
            failure_code: None,
            decline_code: None,
            failure_message: None,
            card: instrument.method.card.clone(),
            risk,
            context,
            request_key: call.key.as_ref().map(|k| k.key),
            swept: 0,
            check_at: Some(call.at + app.sweep_after),
            created_at: call.at,
        };
        Ok(Self {
            charge,
            instrument,
            verdict,
            facts,
        })
    }

    /// A, call, B.
    async fn run(mut self, call: &Call, mut payment: Payment, unit: Unit, new: bool) -> Result<Answer, ApiError> {
        let app = &call.app;
        let unit = if self.instrument.fresh {
            unit.insert(&self.instrument.method)
        } else {
            unit
        };
        if self.verdict.decision == anomaly::Decision::Block {
            return self.block(call, payment, unit, new).await;
        }
        let unit = if new {
            unit.insert(&payment)
        } else {
            unit.update(&mut payment)
        };
        app.open_accounts(&payment, &self.charge.connector).await?;
        app.commit(claim(call, unit.insert(&self.charge), &payment.id, None))
            .await?;
        call.mark_claimed();

        let request = Authorize {
            reference: self.charge.id.clone(),
            amount: self.charge.amount,
            currency: self.charge.currency.clone(),
            card: self.instrument.card_source(call).await?,
            capture: self.charge.capture_wanted,
            statement_descriptor: payment.details.statement_descriptor.clone(),
        };
        let connector = app.connector(&self.charge.connector)?;
        let outcome = at_acquirer(connector.authorize(&request)).await;
        app.scorer.observe(&self.facts, risk::outcome(&outcome));
        settle_authorization(call, payment, self.charge, outcome, Asker::Caller).await
    }

    /// The scorer says no: one commit, no call, and the caller gets a decline with its reasons on the charge.
    async fn block(&mut self, call: &Call, payment: Payment, unit: Unit, new: bool) -> Result<Answer, ApiError> {
        call.app.scorer.observe(&self.facts, anomaly::Outcome::Blocked);
        let decline = Decline {
            code: "card_declined".into(),
            decline_code: Some("fraudulent".into()),
            message: "Your card was declined.".into(),
            acquirer_id: None,
            acquirer_reference: None,
        };
        let (mut next, charge) = declined(&payment, &self.charge, &decline)?;
        let (answer, events) = decline_answer(call, &next, &charge, &self.instrument.method, &decline);
        let unit = if new {
            unit.insert(&next)
        } else {
            unit.update(&mut next)
        };
        let unit = events
            .iter()
            .fold(unit.insert(&charge), |unit, event| unit.insert(event));
        call.app.commit(claim(call, unit, &next.id, Some(&answer))).await?;
        Ok(answer)
    }
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
        if !matches!(charge.status, ChargeStatus::Pending | ChargeStatus::Unknown) {
            return settled_answer(call, &payment, asker).await;
        }
        let owed = owed(call, &charge, asker);
        let (unit, answer) = match &outcome {
            Ok(approval) => approved(call, &payment, &charge, approval).await?,
            Err(Failure::Unknown(reason)) => {
                tracing::warn!(charge = charge.id, reason, "outcome unknown");
                unknown(call, &payment, &charge).await?
            }
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
    settle(&mut charge);
    charge.acquirer_id = Some(approval.acquirer_id.clone());
    charge.acquirer_reference.clone_from(&approval.acquirer_reference);
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
    let fact = Fact::Approved {
        captured: approval.captured,
        review_id: review.as_ref().map(|r| r.id.clone()),
    };
    let mut next = state::apply(payment, &fact)?;
    let connector = charge.connector.clone();
    let books = books(call, payment, &connector)?;
    let mut unit = Unit::new(call.book_id());
    let mut transaction = None;
    if approval.captured {
        let amount = charge.amount;
        let (row, journals) = capture_entries(call, &books, &mut charge, amount)?;
        unit = unit.journals(journals).insert(&row);
        transaction = Some(row);
    } else {
        let expires_at = lapses_at(&charge);
        charge.check_at = Some(expires_at);
        let journal = books.authorized(&charge, expires_at).map_err(Refused::Ledger)?;
        charge.hold_id = Some(journal.id());
        unit = unit.journals([journal]);
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
    if let Some(row) = &transaction {
        known.push(wire::balance_transaction(row, call.at));
    }
    if let Some(review) = &review {
        let object = wire::review(review, Some(&charge));
        unit = unit.insert(review).insert(&call.event("review.opened", &object));
        known.push(object);
    }
    let answer = answer_with(call, intent, &known).await?;
    Ok((unit, answer))
}

async fn unknown(call: &Call, payment: &Payment, charge: &Charge) -> Result<(Unit, Answer), ApiError> {
    let mut next = state::apply(payment, &Fact::OutcomeUnknown)?;
    let mut charge = charge.clone();
    let first = charge.status == ChargeStatus::Pending;
    charge.status = ChargeStatus::Unknown;
    ask_again(call, &mut charge);
    let mut unit = Unit::new(call.book_id()).update(&mut next).update(&mut charge);
    let intent = wire::payment_intent(&next);
    if first {
        unit = unit.insert(&call.event("payment_intent.processing", &intent));
    }
    let answer = answer_with(call, intent, &[wire::charge(&charge, &next)]).await?;
    Ok((unit, answer))
}

fn declined(payment: &Payment, charge: &Charge, decline: &Decline) -> Result<(Payment, Charge), ApiError> {
    let mut charge = charge.clone();
    charge.status = ChargeStatus::Failed;
    settle(&mut charge);
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
fn decline_answer(
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

/// Writes what came of a capture.
pub async fn settle_capture(
    call: &Call,
    mut payment: Payment,
    mut charge: Charge,
    outcome: Result<(), Failure>,
    asker: Asker,
) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        if payment.operation != Some(Operation::Capture) {
            return settled_answer(call, &payment, asker).await;
        }
        let amount = payment.operation_amount.unwrap_or_default();
        let (unit, answer) = match &outcome {
            Ok(()) => {
                let mut next = state::apply(&payment, &Fact::Captured { amount })?;
                let books = books(call, &payment, &charge.connector)?;
                let mut captured = charge.clone();
                settle(&mut captured);
                let (row, journals) = capture_entries(call, &books, &mut captured, amount)?;
                let unit = Unit::new(call.book_id())
                    .update(&mut next)
                    .update(&mut captured)
                    .insert(&row)
                    .journals(journals);
                let (intent, attempt) = (wire::payment_intent(&next), wire::charge(&captured, &next));
                let unit = unit.insert(&call.event("charge.captured", &attempt));
                let unit = unit.insert(&call.event("payment_intent.succeeded", &intent));
                let (unit, review) = review::settle(call, unit, &next, &captured, true).await?;
                let mut known = vec![attempt, wire::balance_transaction(&row, call.at)];
                known.extend(review);
                (unit, answer_with(call, intent, &known).await?)
            }
            // The intent stands and stays visible; the sweep asks and finishes it.
            Err(Failure::Unknown(reason)) => {
                tracing::warn!(payment = payment.id, reason, "outcome of capture unknown");
                let mut charge = charge.clone();
                ask_again(call, &mut charge);
                (
                    Unit::new(call.book_id()).update(&mut charge),
                    answer(call, &payment, &[]).await?,
                )
            }
            Err(failure) => {
                let mut next = state::apply(&payment, &Fact::CaptureRefused)?;
                let mut charge = charge.clone();
                wait_for_capture(call, &mut charge);
                let unit = Unit::new(call.book_id()).update(&mut next).update(&mut charge);
                (unit, Answer::refusal(&operation_refused("captured", failure)))
            }
        };
        match finish(call, unit, &charge, &payment, &answer, asker).await {
            Err(Refused::Conflict { .. } | Refused::KeyTaken) => {
                payment = load(call, &payment.id).await?;
                charge = load_charge(call, &charge.id).await?;
            }
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// Writes what came of a void.
pub async fn settle_void(
    call: &Call,
    mut payment: Payment,
    mut charge: Charge,
    outcome: Result<(), Failure>,
    asker: Asker,
) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        if payment.operation != Some(Operation::Void) {
            return settled_answer(call, &payment, asker).await;
        }
        let (unit, answer) = match &outcome {
            Ok(()) => {
                let mut next = state::apply(
                    &payment,
                    &Fact::Voided {
                        at: call.app.clock.now(),
                    },
                )?;
                let mut voided = charge.clone();
                voided.status = ChargeStatus::Voided;
                settle(&mut voided);
                let mut unit = Unit::new(call.book_id());
                if let Some(hold) = charge.hold_id {
                    let books = books(call, &payment, &charge.connector)?;
                    unit = unit.journals([books.voided(&charge, hold, charge.amount).map_err(Refused::Ledger)?]);
                }
                let unit = unit.update(&mut next).update(&mut voided);
                let intent = wire::payment_intent(&next);
                let unit = unit.insert(&call.event("payment_intent.canceled", &intent));
                let (unit, review) = review::settle(call, unit, &next, &voided, false).await?;
                let mut known = vec![wire::charge(&voided, &next)];
                known.extend(review);
                (unit, answer_with(call, intent, &known).await?)
            }
            Err(Failure::Unknown(cause)) => {
                tracing::warn!(payment = payment.id, cause, "outcome of void unknown");
                let mut charge = charge.clone();
                ask_again(call, &mut charge);
                (
                    Unit::new(call.book_id()).update(&mut charge),
                    answer(call, &payment, &[]).await?,
                )
            }
            Err(failure) => {
                let mut next = state::apply(&payment, &Fact::VoidRefused)?;
                let mut charge = charge.clone();
                wait_for_capture(call, &mut charge);
                let unit = Unit::new(call.book_id()).update(&mut next).update(&mut charge);
                (unit, Answer::refusal(&operation_refused("canceled", failure)))
            }
        };
        match finish(call, unit, &charge, &payment, &answer, asker).await {
            Err(Refused::Conflict { .. } | Refused::KeyTaken) => {
                payment = load(call, &payment.id).await?;
                charge = load_charge(call, &charge.id).await?;
            }
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// Commits the end of a capture or void, with the answer of the request that began it.
async fn finish(
    call: &Call,
    unit: Unit,
    charge: &Charge,
    payment: &Payment,
    answer: &Answer,
    asker: Asker,
) -> Result<(), Refused> {
    let unit = match owed(call, charge, asker) {
        Some(request) => unit.answer(&request.answered(call.subject.as_deref().unwrap_or(&payment.id), answer)),
        None => unit,
    };
    call.app.commit(unit).await
}

/// The outcome is known and told: the sweep has nothing more to ask, nobody waits.
fn settle(charge: &mut Charge) {
    charge.check_at = None;
    charge.request_key = None;
}

/// When the authorization of a charge lapses: the networks count from when it was asked for.
pub(super) fn lapses_at(charge: &Charge) -> Timestamp {
    charge.created_at + SignedDuration::from_hours(24 * AUTHORIZATION_DAYS)
}

/// The authorization stands as before; the sweep comes when it lapses, or soon when it has.
fn wait_for_capture(call: &Call, charge: &mut Charge) {
    settle(charge);
    let soon = call.app.clock.now() + sweep::backoff(charge.swept);
    charge.check_at = Some(lapses_at(charge).max(soon));
    charge.swept = charge.swept.saturating_add(1);
}

/// An authorization has lapsed without a capture: the payment is canceled by its own state machine, the hold released
/// (J02), and the void sent, so that the customer's money is free also at an acquirer that counts other days. Until the
/// acquirer has said so the payment is not told to be canceled: it may have been captured there.
pub(super) async fn lapse(call: &Call, payment: &Payment, found: Result<Found, Failure>) -> Result<(), ApiError> {
    let fact = |_: &Payment| Fact::VoidStarted {
        reason: Some("automatic".into()),
    };
    let (payment, charge) = begin_operation(call, &payment.id, None, fact).await?;
    let outcome = match found {
        Ok(Found::Voided { .. }) => Ok(()),
        Ok(Found::Authorized(_)) => {
            let connector = call.app.connector(&charge.connector)?;
            let acquirer_id = charge.acquirer_id.clone().unwrap_or_default();
            at_acquirer(connector.void(&format!("{}:void", charge.id), &acquirer_id)).await
        }
        other => Err(Failure::Unknown(format!("{other:?}"))),
    };
    settle_void(call, payment, charge, outcome, Asker::Sweep)
        .await
        .map(drop)
}

/// The outcome is not known; the caller was told so, and the sweep asks.
fn ask_again(call: &Call, charge: &mut Charge) {
    charge.request_key = None;
    charge.check_at = Some(call.app.clock.now() + sweep::backoff(charge.swept));
    charge.swept = charge.swept.saturating_add(1);
}

/// Commit A of a capture or void: the operation is durable and locks out every other one before the acquirer is called.
/// With a review it is a decision about that review too, and the first one wins.
pub(super) async fn begin_operation(
    call: &Call,
    payment_id: &str,
    review_id: Option<&str>,
    fact: impl Fn(&Payment) -> Fact,
) -> Result<(Payment, Charge), ApiError> {
    for _ in 0..RETRIES {
        let payment = load(call, payment_id).await?;
        let mut next = state::apply(&payment, &fact(&payment))?;
        let charge_id = payment
            .charge_id
            .clone()
            .ok_or_else(|| ApiError::internal("a capturable payment has no charge"))?;
        let mut charge = load_charge(call, &charge_id).await?;
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

/// The journals of a capture and the merchant's line about it; the charge is marked as captured.
fn capture_entries(
    call: &Call,
    books: &Books<'_>,
    charge: &mut Charge,
    amount: i64,
) -> Result<(BalanceTransaction, Vec<ledger::journal::Journal>), ApiError> {
    let fee = call.merchant.fee(amount, &charge.currency);
    let journals = books.captured(charge, amount, fee).map_err(Refused::Ledger)?;
    charge.captured = true;
    charge.amount_captured = amount;
    charge.fee = fee;
    let now = call.app.clock.now();
    let row = BalanceTransaction {
        book_id: charge.book_id,
        id: id::new(id::prefix::BALANCE_TRANSACTION),
        r#type: "charge".into(),
        amount,
        fee,
        net: amount - fee,
        currency: charge.currency.clone(),
        source_id: charge.id.clone(),
        payment_id: Some(charge.payment_id.clone()),
        journal_id: journals[0].id(),
        description: None,
        available_on: now + call.app.settlement_delay,
        created_at: now,
    };
    charge.balance_transaction_id = Some(row.id.clone());
    Ok((row, journals))
}

pub(crate) fn books<'a>(call: &Call, payment: &Payment, connector: &'a str) -> Result<Books<'a>, ApiError> {
    Ok(Books {
        book: ledger::BookId(call.book_id()),
        currency: crate::app::currency(&payment.currency)?,
        connector,
        at: call.app.clock.now(),
    })
}

/// Adds the claim of this call's key to a unit, with the answer if it is already known.
pub(crate) fn claim(call: &Call, unit: Unit, object_id: &str, answer: Option<&Answer>) -> Unit {
    match call.request(Some(object_id), answer) {
        Some(request) => unit.claim(&request),
        None => unit,
    }
}

/// The request that waits for this charge's outcome, if its answer has not been stored yet.
fn owed(call: &Call, charge: &Charge, asker: Asker) -> Option<Request> {
    match asker {
        Asker::Caller => call.request(None, None),
        Asker::Sweep => charge
            .request_key
            .map(|key| Request::owed(charge.book_id, key, call.at)),
    }
}

/// Someone else has settled it: the caller gets the answer that was stored for it, the sweep nothing more to do.
async fn settled_answer(call: &Call, payment: &Payment, asker: Asker) -> Result<Answer, ApiError> {
    if asker == Asker::Caller
        && let Some(stored) = crate::api::idempotency::stored(call).await?
    {
        return Ok(stored);
    }
    answer(call, payment, &[]).await
}

async fn answer(call: &Call, payment: &Payment, known: &[Value]) -> Result<Answer, ApiError> {
    answer_with(call, wire::payment_intent(payment), known).await
}

/// The answer is the payment, or what the caller asked about if that is something else: a review, when its approval
/// captures the payment.
async fn answer_with(call: &Call, mut object: Value, known: &[Value]) -> Result<Answer, ApiError> {
    if let Some(subject) = &call.subject {
        let shown = known
            .iter()
            .find(|o| o.get("id").and_then(Value::as_str) == Some(subject));
        object = match shown {
            Some(shown) => shown.clone(),
            None => crate::api::expand::object(call, subject)
                .await?
                .ok_or_else(|| ApiError::internal("what the call is about is gone"))?,
        };
    }
    crate::api::expand::expand(call, &mut object, known).await?;
    Ok(Answer::ok(&object))
}

pub(crate) async fn load(call: &Call, payment_id: &str) -> Result<Payment, ApiError> {
    let client = call.app.reads.get().await?;
    store::get(&**client, call.book_id(), payment_id)
        .await?
        .ok_or_else(|| ApiError::not_found("payment_intent", payment_id, "intent"))
}

pub(crate) async fn load_charge(call: &Call, charge_id: &str) -> Result<Charge, ApiError> {
    let client = call.app.reads.get().await?;
    store::get(&**client, call.book_id(), charge_id)
        .await?
        .ok_or_else(|| ApiError::not_found("charge", charge_id, "charge"))
}

async fn load_method(call: &Call, method_id: &str) -> Result<PaymentMethod, ApiError> {
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

/// Metadata after a change: `None` values remove keys, the empty key clears all.
pub fn merge_metadata(current: &mut BTreeMap<String, String>, change: BTreeMap<String, Option<String>>) {
    if change.contains_key("") {
        current.clear();
    }
    for (key, value) in change {
        match value {
            Some(value) => drop(current.insert(key, value)),
            None => drop(current.remove(&key)),
        }
    }
}

/// What came to light about an attempt that had ended as not received: the acquirer approved it after all. It is
/// reversed there, never adopted: the caller was told that nothing was charged, and nothing was booked.
pub(super) async fn watch_late(call: &Call, mut charge: Charge, found: Result<Found, Failure>) -> Result<(), ApiError> {
    let connector = call.app.connector(&charge.connector)?;
    let reference = format!("{}:late", charge.id);
    let reversed = match &found {
        Ok(Found::Authorized(approval)) => connector.void(&reference, &approval.acquirer_id).await,
        Ok(Found::Captured { approval, amount }) => connector
            .refund(&reference, &approval.acquirer_id, *amount, None)
            .await
            .map(drop),
        Ok(_) => Ok(()),
        Err(failure) => Err(failure.clone()),
    };
    if matches!(found, Ok(Found::Authorized(_) | Found::Captured { .. })) {
        tracing::error!(
            charge = charge.id,
            ok = reversed.is_ok(),
            "late approval after the attempt had ended; reversed"
        );
    }
    match reversed {
        Ok(()) => settle(&mut charge),
        Err(_) => ask_again(call, &mut charge),
    }
    match call.app.commit(Unit::new(call.book_id()).update(&mut charge)).await {
        Ok(()) | Err(Refused::Conflict { .. }) => Ok(()),
        Err(refused) => Err(refused.into()),
    }
}
