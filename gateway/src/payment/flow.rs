//! One payment, step by step: create, confirm, update. What the acquirer's answers mean is in `flow/settle.rs`, captures,
//! raises and voids are in `flow/operation.rs`, 3-D Secure in `flow/challenge.rs`, refunds in `refund.rs`, unknown outcomes in `sweep.rs`.
//!
//! Every step at the acquirer is two commits with the call between them: **A** makes the intent durable (and claims the
//! idempotency key), then the acquirer is called with no transaction open, then **B** writes transition, journals,
//! events and the stored answer together. The scorer is pure and runs before A, so that its verdict is durable with the
//! attempt and a blocked payment costs one commit and no call.
//!
//! It must never call an acquirer before A, and never end an attempt as failed because it does not know.

pub mod challenge;
pub(super) mod operation;
mod settle;

pub use operation::{Raising, Taking, cancel, capture, increment};
pub(super) use settle::watch_late;
pub use settle::{AUTHORIZATION_DAYS, Asker, lapses_at, settle_authorization};

use settle::{capture_entries, decline_answer, declined};

use super::accounting::Books;
use super::instrument::{Instrument, Source};
use super::rows::*;
use super::state::{self, Amendment, Fact};
use super::store;
use crate::api::error::ApiError;
use crate::call::{Answer, Call, at_acquirer};
use crate::commit::{Refused, Unit};
use crate::connector::{Allowance, Approval, Authorize, Connector, Decline, Failure, Method};
use crate::risk::rows::History;
use crate::routing::rules::Query;
use crate::{id, risk, wire};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How often a step is tried again on a row that another request moved meanwhile.
pub(super) const RETRIES: usize = 20;

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
    pub line_items: Option<Value>,
    pub application_fee_amount: Option<i64>,
    pub details: PaymentDetails,
    pub attempt: Attempted,
}

/// What a caller says of one attempt, and is not kept with the payment.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Attempted {
    pub signals: risk::Signals,
    /// the caller cannot show the payer a challenge: decline instead
    pub error_on_requires_action: bool,
}

/// What a confirmation brings along.
pub struct Confirmation<D: Fn(&mut PaymentDetails)> {
    /// what to pay with; the payment's own where none is given
    pub source: Option<Source>,
    /// when to take the money, if that changes
    pub capture_method: Option<CaptureMethod>,
    /// of this attempt
    pub attempt: Attempted,
    /// what describes the payment
    pub describe: D,
}

/// Creates a payment and, when asked, confirms it in the same request.
pub async fn create(call: &Call, new: NewPayment) -> Result<Answer, ApiError> {
    call.merchant.may_charge()?;
    let source = match new.source {
        None if new.confirm => default_of(call, new.customer_id.as_deref()).await?,
        source => source,
    };
    let instrument = match &source {
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
        amount_held: 0,
        double_credit_risk: false,
        capture_method: new.capture_method,
        customer_id: new.customer_id,
        payment_method_id: instrument.as_ref().map(|i| i.method.id.clone()),
        charge_id: None,
        review_id: None,
        line_items: new.line_items,
        application_fee_amount: new.application_fee_amount,
        amount_maximum: None,
        created_at: call.at,
        canceled_at: None,
        details: new.details,
    };
    payment.details.disclosure = Some(Disclosure::of(&call.merchant, &payment.currency, call.at));
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
    let instrument = instrument.ok_or_else(missing_method)?;
    let attempt = Attempt::begin(call, &mut payment, instrument, &new.attempt)?;
    attempt.run(call, payment, unit, true).await
}

/// Confirms a payment that was created without, or whose last attempt was declined. One that waits for its payer goes on
/// waiting, unless another card is given: then the open challenge is taken back.
pub async fn confirm<D: Fn(&mut PaymentDetails)>(
    call: &Call,
    payment_id: &str,
    asked: Confirmation<D>,
) -> Result<Answer, ApiError> {
    call.merchant.may_charge()?;
    let mut payment = load(call, payment_id).await?;
    if payment.status == Status::RequiresAction && payment.operation.is_none() {
        if asked.source.is_none() {
            return repeat(call, challenge::ask(call, payment).await?).await;
        }
        if let Some(charge_id) = &payment.charge_id {
            let charge = load_charge(call, charge_id).await?;
            let background = Call::background(call.app.clone(), call.merchant.clone());
            challenge::take_back(&background, payment, charge).await?;
            payment = load(call, payment_id).await?;
        }
    }
    (asked.describe)(&mut payment.details);
    if asked.capture_method.is_some() {
        let amendment = Amendment {
            capture_method: asked.capture_method,
            ..Amendment::default()
        };
        payment = state::apply(&payment, &Fact::Amended(amendment))?;
    }
    let source = asked
        .source
        .or_else(|| payment.payment_method_id.clone().map(Source::Id));
    let source = match source {
        Some(source) => source,
        None => {
            let default = default_of(call, payment.customer_id.as_deref()).await?;
            default.ok_or_else(missing_method)?
        }
    };
    let instrument = Instrument::resolve(call, &source, payment.customer_id.as_deref()).await?;
    let attempt = Attempt::begin(call, &mut payment, instrument, &asked.attempt)?;
    attempt.run(call, payment, Unit::new(call.book_id()), false).await
}

/// A payment as it is now. One that waits for its payer is asked about: the payer may be back before the acquirer calls.
pub async fn retrieve(call: &Call, payment_id: &str) -> Result<Answer, ApiError> {
    let payment = load(call, payment_id).await?;
    let payment = challenge::ask(call, payment).await?;
    answer(call, &payment, &[]).await
}

/// The amount of what was sold is not changed behind the line items' back.
fn sold_is_sold(payment: &Payment, change: &Amendment) -> Result<(), ApiError> {
    let changes = change.amount.is_some_and(|amount| amount != payment.amount)
        || change
            .currency
            .as_ref()
            .is_some_and(|currency| *currency != payment.currency);
    if payment.line_items.is_none() || !changes {
        return Ok(());
    }
    Err(ApiError::invalid(
        "line_items_mismatch",
        "amount",
        "This payment has line items, which are kept as they were sold. Cancel it and create another one.",
    ))
}

/// A platform takes no more than there is.
pub fn fee_within(fee: Option<i64>, amount: i64) -> Result<(), ApiError> {
    if fee.is_none_or(|fee| fee <= amount) {
        return Ok(());
    }
    Err(ApiError::invalid(
        "amount_too_large",
        "application_fee_amount",
        format!("The application fee must be no more than the amount ({amount})."),
    ))
}

fn missing_method() -> ApiError {
    ApiError::invalid(
        "payment_intent_unexpected_state",
        "payment_method",
        "You cannot confirm this PaymentIntent because it's missing a payment method. Provide payment_method (for example pm_card_visa) when confirming.",
    )
}

/// The card that a customer pays with where the caller names none.
async fn default_of(call: &Call, customer_id: Option<&str>) -> Result<Option<Source>, ApiError> {
    let Some(customer_id) = customer_id else {
        return Ok(None);
    };
    let client = call.app.reads.get().await?;
    let customer: Option<Customer> = store::get(&**client, call.book_id(), customer_id).await?;
    Ok(customer.and_then(|c| c.details.default_payment_method).map(Source::Id))
}

/// The payment as it is, under the caller's key: asked for again, nothing changed.
async fn repeat(call: &Call, payment: Payment) -> Result<Answer, ApiError> {
    let answer = answer(call, &payment, &[]).await?;
    let unit = claim(call, Unit::new(call.book_id()), &payment.id, Some(&answer));
    call.app.commit(unit).await?;
    Ok(answer)
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
            let before = payment.currency.clone();
            sold_is_sold(&payment, &amendment)?;
            payment = state::apply(&payment, &Fact::Amended(amendment))?;
            fee_within(payment.application_fee_amount, payment.amount)?;
            crate::app::whole_units(payment.amount, &payment.currency)?;
            if payment.currency != before {
                payment.details.disclosure = Some(Disclosure::of(&call.merchant, &payment.currency, call.at));
            }
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
    error_on_requires_action: bool,
}

impl Attempt {
    /// Assesses the attempt and moves the payment to `processing`, in memory.
    fn begin(call: &Call, payment: &mut Payment, instrument: Instrument, asked: &Attempted) -> Result<Self, ApiError> {
        let app = &call.app;
        let charge_id = id::new(id::prefix::CHARGE);
        let started = Fact::AttemptStarted {
            charge_id: charge_id.clone(),
            payment_method_id: instrument.method.id.clone(),
        };
        *payment = state::apply(payment, &started)?;
        let context = asked.signals.context(payment, instrument.cvc.is_some());
        let facts = risk::attempt(call.at, &call.merchant, payment, &instrument.method.card, &context);
        let (verdict, mut risk, seen) = risk::assess(app, &facts, payment.book_id);
        let card = &instrument.method.card;
        let query = Query {
            amount: payment.amount,
            currency: &payment.currency,
            method: Method::Card.as_str(),
            brand: &card.brand,
            bin: &card.bin,
            merchant: &call.merchant.id,
        };
        let routing = app.routing.decide(&app.connectors, &payment.id, Method::Card, query)?;
        let connector = app.connector(&routing.candidates[0])?;
        if risk.decision == "challenge" && (context.off_session || !connector.capabilities().three_d_secure) {
            risk.decision = "review".into(); // there is nobody to challenge: a person decides
        }
        risk::sample(app, &payment.id, &mut risk);
        let review = risk.decision == "review";
        if review {
            risk.shapley = app.models.shapley(&seen); // a person will ask why; tenths of a millisecond, so for them alone
        }
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
            connector: routing.candidates[0].clone(),
            acquirer_id: None,
            acquirer_reference: None,
            hold_id: None,
            allowance: Allowance::default(),
            fee: 0,
            application_fee_id: None,
            balance_transaction_id: None,
            failure_code: None,
            decline_code: None,
            failure_message: None,
            card: instrument.method.card.clone(),
            risk,
            context,
            authentication: Some(Authentication {
                return_token: id::random(),
                three_d_secure: None,
            }),
            operations: 0,
            routing,
            mismatch: None,
            request_key: call.key.as_ref().map(|k| k.key),
            swept: 0,
            check_at: Some(call.at + app.sweep_after),
            receipt_url: None,
            created_at: call.at,
        };
        Ok(Self {
            charge,
            instrument,
            verdict,
            error_on_requires_action: asked.error_on_requires_action,
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
        let connector = app.connector(&self.charge.connector)?;
        let card = self.instrument.card_source(call, connector.capabilities()).await?;
        app.open_accounts(&payment, &self.charge.connector).await?;
        app.commit(claim(call, unit.insert(&self.charge), &payment.id, None))
            .await?;
        call.mark_claimed();

        let mut request = Authorize {
            reference: self.charge.id.clone(),
            amount: self.charge.amount,
            currency: self.charge.currency.clone(),
            card,
            capture: self.charge.capture_wanted,
            statement_descriptor: (payment.details.statement_descriptor_suffix.clone())
                .or_else(|| payment.details.statement_descriptor.clone()),
            challenge: challenge::wish(call, &payment, &self.charge, self.error_on_requires_action),
            keep: payment.details.setup_future_usage.as_deref() == Some("off_session"),
            earlier_transaction: (self.charge.context.off_session)
                .then(|| self.instrument.method.details.agreed_by.clone())
                .flatten(),
            wishes: payment.details.wishes,
        };
        let mut outcome = at_acquirer(connector.authorize(&request)).await;
        app.routing.health.record(connector.name(), &outcome);
        while let Some(next) = self.turn_to_next(call, &payment, &outcome).await? {
            request.card = self.instrument.card_source(call, next.capabilities()).await?;
            outcome = at_acquirer(next.authorize(&request)).await;
            app.routing.health.record(next.name(), &outcome);
        }
        settle_authorization(call, payment, self.charge, outcome, Asker::Caller).await
    }

    /// The acquirer that is asked after one that certainly did nothing, durable on the charge before it is: commit A again.
    /// A charge that somebody else has moved meanwhile stays where it is.
    async fn turn_to_next(
        &mut self,
        call: &Call,
        payment: &Payment,
        outcome: &Result<Approval, Failure>,
    ) -> Result<Option<Arc<dyn Connector>>, ApiError> {
        let app = &call.app;
        let mut charge = self.charge.clone();
        let Some(next) = app.routing.next(
            &mut charge.routing,
            &charge.connector,
            outcome,
            charge.amount,
            &charge.currency,
        ) else {
            return Ok(None);
        };
        tracing::warn!(
            charge = charge.id,
            from = charge.connector,
            to = next,
            "another acquirer is asked"
        );
        charge.connector = next;
        charge.check_at = Some(app.clock.now() + app.sweep_after);
        let connector = app.connector(&charge.connector)?;
        app.open_accounts(payment, &charge.connector).await?;
        app.commit(Unit::new(call.book_id()).update(&mut charge)).await?;
        self.charge = charge;
        Ok(Some(connector))
    }

    /// The scorer says no: one commit, no call, and the caller gets a decline with its reasons on the charge.
    async fn block(&mut self, call: &Call, payment: Payment, unit: Unit, new: bool) -> Result<Answer, ApiError> {
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
        let unit = unit.insert(&History::attempt(&charge, anomaly::Outcome::Blocked, call.at));
        call.app.commit(claim(call, unit, &next.id, Some(&answer))).await?;
        Ok(answer)
    }
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
    let unit = call.trail.onto(unit, object_id, answer);
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
