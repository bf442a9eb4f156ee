//! Refunds: money of a captured payment goes back, once, and never more than was taken.
//!
//! Commit A takes the amount out of what is refundable (guarded by the payment's version and by a CHECK) and moves the
//! merchant's money to "refund payable" (J08a); then the acquirer is called; commit B confirms (J08b) or, when it fails,
//! gives each part back to where it came from (J09). It must never compute what is left from a list of refunds.

use super::accounting;
use super::application_fee;
use super::flow::{self, Asker};
use super::rows::*;
use super::state::{self, Fact, Rejection};
use super::{store, sweep};
use crate::api::error::ApiError;
use crate::app::App;
use crate::call::{Answer, Call, at_acquirer};
use crate::case::link;
use crate::case::rows::Case;
use crate::commit::{Refused, Request, Unit};
use crate::connector::{CANCELED, Connector, Failure, FoundRefund, RefundAccepted, Return};
use crate::dispute::accounting::Split;
use crate::risk::rows::{History, Source};
use crate::{id, wire};
use jiff::SignedDuration;
use ledger::Chart;
use std::collections::BTreeMap;
use std::sync::Arc;

const RETRIES: usize = 40;
/// A refund that the acquirer accepted and has not confirmed is asked about this often.
const PENDING_CHECK: SignedDuration = SignedDuration::from_mins(10);

/// What a caller wants returned.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct NewRefund {
    pub payment_id: String,
    /// minor units; everything that is left when absent
    pub amount: Option<i64>,
    pub reason: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// the platform's application fee goes back, too, as much of it as of the charge
    pub refund_application_fee: bool,
    /// what the caller believes can be refunded, minor units: anything else refuses
    pub expected_available: Option<i64>,
}

/// Refunds a payment in full or in part.
pub async fn create(call: &Call, new: NewRefund) -> Result<Answer, ApiError> {
    let (payment, charge, refund) = begin(call, &new).await?;
    let connector = call.app.connector(&charge.connector)?;
    let acquirer_id = charge.acquirer_id.clone().unwrap_or_default();
    let outcome = at_acquirer(connector.refund(wanted(&refund, &acquirer_id))).await;
    settle(call, payment, charge, refund, outcome, Asker::Caller).await
}

/// The refund that carries out a case's decision: booked by the case (J21, J24), to be written with it.
pub(crate) fn of_case(
    call: &Call,
    payment: &Payment,
    case: &Case,
    refund_id: String,
    merchant: Split,
    from_platform: i64,
) -> Refund {
    let now = call.app.clock.now();
    Refund {
        book_id: case.book_id,
        id: refund_id,
        version: 1,
        payment_id: payment.id.clone(),
        charge_id: case.charge_id.clone(),
        status: RefundStatus::Pending,
        amount: merchant.total() + from_platform,
        currency: payment.currency.clone(),
        reason: Some("requested_by_customer".into()),
        from_available: merchant.available,
        from_pending: merchant.pending,
        from_receivable: merchant.receivable,
        from_platform,
        case_id: Some(case.id.clone()),
        acquirer_id: None,
        balance_transaction_id: None,
        failure_balance_transaction_id: None,
        failure_reason: None,
        request_key: None,
        swept: 0,
        check_at: Some(now + call.app.sweep_after),
        created_at: now,
        details: RefundDetails::default(),
    }
}

/// Sends a refund that is durable to its acquirer, and writes what comes of it.
pub(crate) async fn send(call: &Call, payment: Payment, charge: Charge, refund: Refund) -> Result<(), ApiError> {
    let connector = call.app.connector(&charge.connector)?;
    let acquirer_id = charge.acquirer_id.clone().unwrap_or_default();
    let outcome = at_acquirer(connector.refund(wanted(&refund, &acquirer_id))).await;
    settle(call, payment, charge, refund, outcome, Asker::Sweep)
        .await
        .map(drop)
}

/// A refund in the acquirer's terms.
fn wanted<'a>(refund: &'a Refund, acquirer_id: &'a str) -> Return<'a> {
    Return {
        reference: &refund.id,
        acquirer_id,
        amount: refund.amount,
        currency: &refund.currency,
        reason: refund.reason.as_deref(),
    }
}

/// Commit A.
async fn begin(call: &Call, new: &NewRefund) -> Result<(Payment, Charge, Refund), ApiError> {
    for _ in 0..RETRIES {
        let payment = flow::load(call, &new.payment_id).await.map_err(|mut error| {
            error.param = error.param.map(|_| "payment_intent".to_owned()); // as the refund's caller named it
            error
        })?;
        as_expected(new.expected_available, state::refundable(&payment))?;
        let amount = new.amount.unwrap_or_else(|| state::refundable(&payment).max(1));
        crate::app::whole_units(amount, &payment.currency)?;
        let mut next = state::apply(&payment, &Fact::RefundStarted { amount })
            .map_err(|rejection| refused(rejection, &payment, amount))?;
        let charge_id = payment
            .charge_id
            .clone()
            .ok_or_else(|| ApiError::internal("a captured payment has no charge"))?;
        let mut charge = flow::load_charge(call, &charge_id).await?;
        // Payment and charge are read one after the other: if another refund was committed in between, look again.
        if charge.amount_refunded + amount > charge.amount_captured {
            continue;
        }
        charge.amount_refunded += amount;
        let books = flow::books(call, &payment, &charge.connector)?;
        let balances = call
            .app
            .available(&books, &[Chart::MerchantAvailable, Chart::MerchantPending])
            .await?;
        let (from_available, from_pending, from_receivable) = accounting::fund(amount, balances[0], balances[1]);
        let mut refund = Refund {
            book_id: call.book_id(),
            id: id::new(id::prefix::REFUND),
            version: 1,
            payment_id: payment.id.clone(),
            charge_id,
            status: RefundStatus::Pending,
            amount,
            currency: payment.currency.clone(),
            reason: new.reason.clone(),
            from_available,
            from_pending,
            from_receivable,
            from_platform: 0,
            case_id: None,
            acquirer_id: None,
            balance_transaction_id: None,
            failure_balance_transaction_id: None,
            failure_reason: None,
            request_key: call.key.as_ref().map(|k| k.key),
            swept: 0,
            check_at: Some(call.app.clock.now() + call.app.sweep_after),
            created_at: call.app.clock.now(),
            details: RefundDetails {
                metadata: new.metadata.clone(),
            },
        };
        let journal = books.refund_requested(&refund).map_err(Refused::Ledger)?;
        let row = transaction(call, &refund, "refund", -amount, journal.id());
        refund.balance_transaction_id = Some(row.id.clone());
        let unit = Unit::new(call.book_id())
            .update(&mut next)
            .update(&mut charge)
            .insert(&refund)
            .insert(&row)
            .insert(&call.event("refund.created", &wire::refund(&refund)))
            .journals([journal]);
        let unit = if new.refund_application_fee {
            application_fee::give_back_with(call, unit, &charge, charge.amount_refunded).await?
        } else {
            unit
        };
        let unit = match refund.reason.as_deref() {
            Some("fraudulent") => {
                let (verdict, source) = (anomaly::Verdict::Fraud, Source::Refund);
                unit.insert(&History::label(
                    refund.book_id,
                    &refund.charge_id,
                    verdict,
                    source,
                    refund.created_at,
                ))
            }
            _ => unit,
        };
        match call.app.commit(flow::claim(call, unit, &refund.id, None)).await {
            Ok(()) => {
                call.mark_claimed();
                return Ok((next, charge, refund));
            }
            // Another request moved the payment, or took the balance this one counted on: look again.
            Err(Refused::Conflict { .. } | Refused::Ledger(_)) => continue,
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(Refused::conflict().into())
}

/// Refuses when less, or more, can be refunded than the caller has seen: somebody else has refunded or disputed meanwhile.
fn as_expected(expected: Option<i64>, available: i64) -> Result<(), ApiError> {
    match expected.filter(|expected| *expected != available) {
        None => Ok(()),
        Some(expected) => Err(ApiError::invalid(
            "refund_amount_available_mismatch",
            "expected_available",
            format!(
                "{expected} was expected to be refundable, it is {available} (minor units). Look at the payment again."
            ),
        )),
    }
}

/// Why a refund cannot begin, in Stripe's words.
fn refused(rejection: Rejection, payment: &Payment, amount: i64) -> ApiError {
    let charge = payment.charge_id.as_deref().unwrap_or_default();
    match rejection {
        Rejection::TooMuch { available } => ApiError::invalid(
            "amount_too_large",
            "amount",
            format!(
                "Refund amount ({}) is greater than unrefunded amount on charge ({})",
                wire::amount(amount, &payment.currency),
                wire::amount(available, &payment.currency)
            ),
        ),
        Rejection::AlreadyRefunded => ApiError::invalid(
            "charge_already_refunded",
            "",
            format!("Charge {charge} has already been refunded."),
        ),
        Rejection::Disputed => ApiError::invalid(
            "charge_disputed",
            "",
            format!("Charge {charge} has been charged back; cannot issue a refund."),
        ),
        Rejection::UnexpectedState { .. } => ApiError::invalid(
            "payment_intent_unexpected_state",
            "payment_intent",
            format!(
                "This PaymentIntent ({}) does not have a successful charge to refund.",
                payment.id
            ),
        ),
        other => other.into(),
    }
}

/// Writes what came of a refund: commit B. Safe to call twice.
pub async fn settle(
    call: &Call,
    mut payment: Payment,
    mut charge: Charge,
    mut refund: Refund,
    outcome: Result<RefundAccepted, Failure>,
    asker: Asker,
) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let owed = match asker {
            Asker::Caller => call.request(None, None),
            Asker::Sweep => refund
                .request_key
                .map(|key| Request::owed(refund.book_id, key, call.at)),
        };
        let (unit, next) = match &outcome {
            Ok(accepted) if accepted.succeeded => {
                let (unit, next) = confirmed(call, &payment, &charge, &refund, &accepted.acquirer_id)?;
                (link::refund_ended(call, unit, &next, true).await?, next)
            }
            Ok(accepted) => {
                let mut next = refund.clone();
                next.acquirer_id = Some(accepted.acquirer_id.clone());
                next.request_key = None;
                next.check_at = Some(call.app.clock.now() + PENDING_CHECK);
                (Unit::new(call.book_id()).update(&mut next), next)
            }
            Err(Failure::Declined(decline)) => failed(call, &payment, &charge, &refund, &decline.code).await?,
            // The intent to refund stands: the sweep asks, and sends it again under the same key if it never arrived.
            Err(unknown) => {
                tracing::warn!(refund = refund.id, ?unknown, "outcome of refund unknown");
                let mut next = refund.clone();
                next.status = RefundStatus::Unknown;
                next.request_key = None;
                next.check_at = Some(call.app.clock.now() + sweep::backoff(refund.swept));
                next.swept = next.swept.saturating_add(1);
                (Unit::new(call.book_id()).update(&mut next), next)
            }
        };
        let answer = answer(call, &next, &charge, &payment).await?;
        let unit = match owed {
            Some(request) => unit.answer(&request.answered(&refund.id, &answer)),
            None => unit,
        };
        match call.app.commit(unit).await {
            Ok(()) => return Ok(answer),
            Err(Refused::Conflict { .. } | Refused::KeyTaken) => {
                payment = flow::load(call, &payment.id).await?;
                charge = flow::load_charge(call, &charge.id).await?;
                refund = load(call, &refund.id).await?;
                let ended = !matches!(refund.status, RefundStatus::Pending | RefundStatus::Unknown);
                if ended {
                    return match crate::api::idempotency::stored(call).await? {
                        Some(stored) if asker == Asker::Caller => Ok(stored),
                        _ => self::answer(call, &refund, &charge, &payment).await,
                    };
                }
            }
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(Refused::conflict().into())
}

/// Takes back a refund that the acquirer has accepted and that has not succeeded yet, where the acquirer can: the money is the
/// merchant's again (J09). That it was asked for is durable before the acquirer is asked; what is not known then, the sweep finds.
pub async fn cancel(call: &Call, refund_id: &str) -> Result<Answer, ApiError> {
    let (mut refund, connector) = begin_cancel(call, refund_id).await?;
    let acquirer_id = refund.acquirer_id.clone().unwrap_or_default();
    let outcome = at_acquirer(connector.cancel_refund(&format!("{refund_id}:cancel"), &acquirer_id)).await;
    for _ in 0..RETRIES {
        let payment = flow::load(call, &refund.payment_id).await?;
        let charge = flow::load_charge(call, &refund.charge_id).await?;
        // Somebody was told meanwhile what became of it, and has answered for us.
        if refund.status != RefundStatus::Pending {
            return match crate::api::idempotency::stored(call).await? {
                Some(stored) => Ok(stored),
                None => answer(call, &refund, &charge, &payment).await,
            };
        }
        let (unit, next) = match &outcome {
            Ok(()) => failed(call, &payment, &charge, &refund, CANCELED).await?,
            Err(_) => {
                let mut next = refund.clone();
                next.request_key = None;
                next.check_at = Some(call.app.clock.now() + sweep::backoff(0));
                (Unit::new(call.book_id()).update(&mut next), next)
            }
        };
        let answer = match &outcome {
            Err(Failure::Declined(_)) => Answer::refusal(&not_cancelable(&refund)),
            _ => answer(call, &next, &charge, &payment).await?,
        };
        let unit = match call.request(None, None) {
            Some(request) => unit.answer(&request.answered(refund_id, &answer)),
            None => unit,
        };
        match call.app.commit(unit).await {
            Err(Refused::Conflict { .. } | Refused::KeyTaken) => refund = load(call, refund_id).await?,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// Commit A of a cancellation.
async fn begin_cancel(call: &Call, refund_id: &str) -> Result<(Refund, Arc<dyn Connector>), ApiError> {
    for _ in 0..RETRIES {
        let mut refund = load(call, refund_id).await?;
        match refund.status {
            // It carries out the decision of a case.
            RefundStatus::Pending if refund.case_id.is_some() => return Err(not_cancelable(&refund)),
            RefundStatus::Pending if refund.acquirer_id.is_some() => {}
            RefundStatus::Pending | RefundStatus::Unknown => {
                return Err(Rejection::InProgress {
                    operation: Operation::Void,
                }
                .into());
            }
            _ => return Err(not_cancelable(&refund)),
        }
        let charge = flow::load_charge(call, &refund.charge_id).await?;
        let connector = call.app.connector(&charge.connector)?;
        refund.request_key = call.key.as_ref().map(|k| k.key);
        refund.swept = 0;
        refund.check_at = Some(call.app.clock.now() + call.app.sweep_after);
        let unit = Unit::new(call.book_id()).update(&mut refund);
        match call.app.commit(flow::claim(call, unit, refund_id, None)).await {
            Ok(()) => {
                call.mark_claimed();
                return Ok((refund, connector));
            }
            Err(Refused::Conflict { .. }) => continue,
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(Refused::conflict().into())
}

fn not_cancelable(refund: &Refund) -> ApiError {
    ApiError::invalid(
        "refund_not_cancelable",
        "",
        format!(
            "The refund {} cannot be canceled: it is `{}`, carries out a case's decision, or its acquirer takes no refund back.",
            refund.id,
            wire::refund(refund)["status"].as_str().unwrap_or_default()
        ),
    )
}

/// The acquirer reports, later, what became of a refund: it may even take back a success.
pub async fn report(call: &Call, refund: Refund, succeeded: bool, reason: Option<&str>) -> Result<(), ApiError> {
    for _ in 0..RETRIES {
        let refund = load(call, &refund.id).await?;
        let payment = flow::load(call, &refund.payment_id).await?;
        let charge = flow::load_charge(call, &refund.charge_id).await?;
        let (unit, next) = match (refund.status, succeeded) {
            (RefundStatus::Pending | RefundStatus::Unknown, true) => {
                let acquirer_id = refund.acquirer_id.clone().unwrap_or_default();
                let (unit, next) = confirmed(call, &payment, &charge, &refund, &acquirer_id)?;
                (link::refund_ended(call, unit, &next, true).await?, next)
            }
            (RefundStatus::Pending | RefundStatus::Unknown | RefundStatus::Succeeded, false) => {
                failed(call, &payment, &charge, &refund, reason.unwrap_or("unknown")).await?
            }
            // said before
            _ => return Ok(()),
        };
        // A request that died still has its answer to get.
        let unit = match refund.request_key {
            Some(key) => {
                let answer = answer(call, &next, &charge, &payment).await?;
                unit.answer(&Request::owed(refund.book_id, key, call.at).answered(&refund.id, &answer))
            }
            None => unit,
        };
        match call.app.commit(unit).await {
            Err(Refused::Conflict { .. } | Refused::KeyTaken) => continue,
            done => return done.map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// Asks the acquirer about a refund whose outcome is not known.
pub(super) async fn sweep(app: &Arc<App>, refund: Refund) -> Result<(), ApiError> {
    let merchant = app.merchant_by_book(refund.book_id).await?;
    let mut call = Call::background(app.clone(), merchant);
    if let Some(key) = refund.request_key {
        let client = app.reads.get().await?;
        call.expand = store::asked_about(&**client, refund.book_id, key).await?.1;
    }
    let payment = flow::load(&call, &refund.payment_id).await?;
    let charge = flow::load_charge(&call, &refund.charge_id).await?;
    let connector = app.connector(&charge.connector)?;
    let acquirer_id = charge.acquirer_id.clone().unwrap_or_default();
    let outcome = match connector.inquire_refund(wanted(&refund, &acquirer_id)).await {
        Ok(FoundRefund::Succeeded { acquirer_id }) => Ok(RefundAccepted {
            acquirer_id,
            succeeded: true,
        }),
        Ok(FoundRefund::Pending { acquirer_id }) => Ok(RefundAccepted {
            acquirer_id,
            succeeded: false,
        }),
        Ok(FoundRefund::Failed { reason, .. }) => return report(&call, refund, false, reason.as_deref()).await,
        Ok(FoundRefund::Nothing) => connector.refund(wanted(&refund, &acquirer_id)).await,
        Err(failure) => Err(Failure::Unknown(format!("{failure:?}"))),
    };
    settle(&call, payment, charge, refund, outcome, Asker::Sweep)
        .await
        .map(drop)
}

/// Changes the metadata of a refund.
pub async fn update(
    call: &Call,
    refund_id: &str,
    metadata: BTreeMap<String, Option<String>>,
) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let mut refund = load(call, refund_id).await?;
        flow::merge_metadata(&mut refund.details.metadata, metadata.clone());
        let unit = Unit::new(call.book_id()).update(&mut refund);
        let mut object = wire::refund(&refund);
        let unit = unit
            .insert(&call.event("refund.updated", &object))
            .insert(&call.event("charge.refund.updated", &object));
        crate::api::expand::expand(call, &mut object, &[]).await?;
        let answer = Answer::ok(&object);
        match call
            .app
            .commit(flow::claim(call, unit, &refund.id, Some(&answer)))
            .await
        {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

fn confirmed(
    call: &Call,
    payment: &Payment,
    charge: &Charge,
    refund: &Refund,
    acquirer_id: &str,
) -> Result<(Unit, Refund), ApiError> {
    let mut next = refund.clone();
    next.status = RefundStatus::Succeeded;
    next.acquirer_id = Some(acquirer_id.to_owned());
    next.request_key = None;
    next.check_at = None;
    let journal = flow::books(call, payment, &charge.connector)?
        .refund_confirmed(refund)
        .map_err(Refused::Ledger)?;
    let unit = Unit::new(call.book_id())
        .update(&mut next)
        .insert(&call.event("charge.refunded", &wire::charge(charge, payment)))
        .insert(&call.event("refund.updated", &wire::refund(&next)))
        .journals([journal]);
    Ok((unit, next))
}

async fn failed(
    call: &Call,
    payment: &Payment,
    charge: &Charge,
    refund: &Refund,
    reason: &str,
) -> Result<(Unit, Refund), ApiError> {
    let mut next = refund.clone();
    let was_confirmed = refund.status == RefundStatus::Succeeded;
    let canceled = reason == CANCELED;
    (next.status, next.failure_reason) = if canceled {
        (RefundStatus::Canceled, None)
    } else {
        (RefundStatus::Failed, Some(reason.to_owned()))
    };
    next.request_key = None;
    next.check_at = None;
    if link::of_refund(call, refund).await?.is_some() {
        return failed_in_case(call, payment, charge, refund, next).await;
    }
    let mut payment = state::apply(payment, &Fact::RefundFailed { amount: refund.amount })?;
    let mut charge = charge.clone();
    charge.amount_refunded -= refund.amount;
    let books = flow::books(call, &payment, &charge.connector)?;
    let owed = call.app.available(&books, &[Chart::MerchantReceivable]).await?[0];
    let journal = books
        .refund_failed(refund, was_confirmed, owed)
        .map_err(Refused::Ledger)?;
    let row = transaction(
        call,
        refund,
        "refund_failure",
        refund.amount - refund.from_platform,
        journal.id(),
    );
    next.failure_balance_transaction_id = Some(row.id.clone());
    let unit = Unit::new(call.book_id())
        .update(&mut payment)
        .update(&mut charge)
        .update(&mut next)
        .insert(&row)
        .insert(&call.event(
            if canceled { "refund.updated" } else { "refund.failed" },
            &wire::refund(&next),
        ))
        .insert(&call.event("charge.refund.updated", &wire::refund(&next)))
        .journals([journal]);
    Ok((unit, next))
}

/// The consumer is still to be paid, by bank: the money stays in "refund payable", and what the case says of it is its own step.
async fn failed_in_case(
    call: &Call,
    payment: &Payment,
    charge: &Charge,
    refund: &Refund,
    mut next: Refund,
) -> Result<(Unit, Refund), ApiError> {
    let mut unit = Unit::new(call.book_id())
        .update(&mut next)
        .insert(&call.event("refund.failed", &wire::refund(&next)))
        .insert(&call.event("charge.refund.updated", &wire::refund(&next)));
    if refund.status == RefundStatus::Succeeded {
        let books = flow::books(call, payment, &charge.connector)?;
        unit = unit.journals([books.refund_taken_back(refund).map_err(Refused::Ledger)?]);
    }
    Ok((link::refund_ended(call, unit, &next, false).await?, next))
}

fn transaction(call: &Call, refund: &Refund, r#type: &str, amount: i64, journal_id: uuid::Uuid) -> BalanceTransaction {
    let now = call.app.clock.now();
    BalanceTransaction {
        book_id: refund.book_id,
        id: id::new(id::prefix::BALANCE_TRANSACTION),
        r#type: r#type.into(),
        amount,
        fee: 0,
        application_fee: 0,
        net: amount,
        currency: refund.currency.clone(),
        source_id: refund.id.clone(),
        payment_id: Some(refund.payment_id.clone()),
        journal_id,
        description: Some(if amount < 0 { "REFUND" } else { "REFUND FAILURE" }.into()),
        available_on: now,
        created_at: now,
    }
}

async fn answer(call: &Call, refund: &Refund, charge: &Charge, payment: &Payment) -> Result<Answer, ApiError> {
    let mut object = wire::refund(refund);
    let known = [wire::charge(charge, payment), wire::payment_intent(payment)];
    crate::api::expand::expand(call, &mut object, &known).await?;
    Ok(Answer::ok(&object))
}

/// This merchant's refund.
pub async fn load(call: &Call, refund_id: &str) -> Result<Refund, ApiError> {
    let client = call.app.reads.get().await?;
    store::get(&**client, call.book_id(), refund_id)
        .await?
        .ok_or_else(|| ApiError::not_found("refund", refund_id, "id"))
}
