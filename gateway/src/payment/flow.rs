//! One payment, step by step: create, confirm, capture, cancel. What the acquirer's answers mean is in `flow/settle.rs`,
//! refunds are in `refund.rs`, unknown outcomes in `sweep.rs`.
//!
//! Every step at the acquirer is two commits with the call between them: **A** makes the intent durable (and claims the
//! idempotency key), then the acquirer is called with no transaction open, then **B** writes transition, journals,
//! events and the stored answer together. The scorer is pure and runs before A, so that its verdict is durable with the
//! attempt and a blocked payment costs one commit and no call.
//!
//! It must never call an acquirer before A, and never end an attempt as failed because it does not know.

mod settle;

pub use settle::{AUTHORIZATION_DAYS, Asker, settle_authorization, settle_capture, settle_void};
pub(super) use settle::{lapses_at, watch_late};

use settle::{decline_answer, declined};

use super::accounting::Books;
use super::instrument::{Instrument, Source};
use super::review;
use super::rows::*;
use super::state::{self, Amendment, Fact};
use super::store;
use crate::api::error::ApiError;
use crate::call::{Answer, Call, at_acquirer};
use crate::commit::{Refused, Unit};
use crate::connector::{Authorize, Capture, Decline, Failure, Found};
use crate::{id, risk, wire};
use serde_json::Value;
use std::collections::BTreeMap;

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
    let request = Capture {
        reference: &format!("{}:capture", charge.id),
        acquirer_id: &acquirer_id,
        amount,
        currency: &charge.currency,
    };
    let outcome = at_acquirer(connector.capture(request)).await;
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

/// Changes what describes a payment, and the amount while nothing was attempted.
pub async fn update(
    call: &Call,
    payment_id: &str,
    amendment: Amendment,
    source: Option<Source>,
    describe: impl Fn(&mut PaymentDetails),
) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let mut payment = load(call, payment_id).await?;
        let mut unit = Unit::new(call.book_id());
        let mut amendment = amendment.clone();
        if let Some(source) = &source {
            let customer = amendment.customer_id.as_deref().or(payment.customer_id.as_deref());
            let instrument = Instrument::resolve(call, source, customer).await?;
            amendment.payment_method_id = Some(instrument.method.id.clone());
            if instrument.fresh {
                unit = unit.insert(&instrument.method);
            }
        }
        if !amendment.is_empty() {
            payment = state::apply(&payment, &Fact::Amended(amendment))?;
            crate::app::whole_units(payment.amount, &payment.currency)?;
        }
        describe(&mut payment.details);
        let unit = unit.update(&mut payment);
        let answer = answer(call, &payment, &[]).await?;
        match call.app.commit(claim(call, unit, &payment.id, Some(&answer))).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
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
        let verdict = app.scorer.assess(&facts, &app.policies.of(payment.book_id));
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
        // Before anything is durable: a card that cannot be opened leaves no attempt behind.
        let card = self.instrument.card_source(call).await?;
        app.open_accounts(&payment, &self.charge.connector).await?;
        app.commit(claim(call, unit.insert(&self.charge), &payment.id, None))
            .await?;
        call.mark_claimed();

        let request = Authorize {
            reference: self.charge.id.clone(),
            amount: self.charge.amount,
            currency: self.charge.currency.clone(),
            card,
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
