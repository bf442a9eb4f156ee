//! Mismatches resolved by hand: an acquirer's answer about another amount than was asked is accepted as what was paid, or whatever the
//! acquirer did is reversed there.
//!
//! Two people do it, the second by another key, or one who says why that must do. What they decided is durable on the charge before
//! the acquirer is called. It must never decide by itself, and never accept another currency or another payment.

use super::rows::*;
use super::state::{self, Fact};
use super::{flow, sweep};
use crate::api::error::ApiError;
use crate::call::{Answer, Call, at_acquirer};
use crate::commit::{Refused, Unit};
use crate::connector::{Decision, Failure, Mismatch, Resolution, Return};
use crate::wire;

/// What a person wants.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// what shall become of it
    pub resolution: Resolution,
    /// why, for the record
    pub reason: String,
    /// why one person must do; none: a second one agrees by another key
    pub override_reason: Option<String>,
    /// the key that asks
    pub by: String,
}

/// Proposes a resolution, or, when another key has proposed the same or a reason overrides that, carries it out.
pub async fn resolve(call: &Call, charge_id: &str, wanted: &Wanted) -> Result<Answer, ApiError> {
    for _ in 0..flow::RETRIES {
        let charge = flow::load_charge(call, charge_id).await?;
        let payment = flow::load(call, &charge.payment_id).await?;
        let (ChargeStatus::Mismatched, Some(mismatch)) = (charge.status, charge.mismatch.clone()) else {
            return Err(ApiError::invalid(
                "charge_unexpected_state",
                "",
                format!("The charge {charge_id} is not mismatched: there is nothing to resolve."),
            ));
        };
        let proposed = mismatch.decision.as_ref();
        let agreed = proposed.is_some_and(|known| known.resolution == wanted.resolution && known.by != wanted.by);
        let decided = proposed.is_some_and(|known| known.decided_by.is_some() && known.resolution == wanted.resolution);
        let mut decision = match proposed {
            Some(known) if agreed || decided => (**known).clone(),
            Some(known) if known.decided_by.is_some() => {
                return Err(ApiError::invalid(
                    "resolution_decided",
                    "resolution",
                    format!(
                        "It was decided to {} this charge; say the same again to carry on.",
                        known.resolution.as_str()
                    ),
                ));
            }
            _ => Decision {
                resolution: wanted.resolution,
                reason: wanted.reason.clone(),
                override_reason: wanted.override_reason.clone(),
                by: wanted.by.clone(),
                decided_by: None,
                at: call.at,
            },
        };
        let carry_out = agreed || decided || decision.override_reason.is_some();
        if carry_out && decision.decided_by.is_none() {
            decision.decided_by = Some(wanted.by.clone());
        }
        let (mut next_payment, mut next) = (payment.clone(), charge.clone());
        if carry_out && wanted.resolution == Resolution::Accept {
            let amount = acceptable(&payment, &mismatch)?;
            next_payment = state::apply(&payment, &Fact::AcquirersAmount { amount })?;
            next.amount = amount;
        }
        next.mismatch = Some(Mismatch {
            decision: Some(Box::new(decision)),
            ..mismatch.clone()
        });
        if carry_out {
            next.check_at = Some(call.app.clock.now() + call.app.sweep_after);
        }
        let unit = Unit::new(call.book_id()).update(&mut next_payment).update(&mut next);
        let object = wire::charge(&next, &next_payment);
        let unit = unit.insert(&call.event("charge.updated", &object));
        let answer = Answer::ok(&object);
        let stored = (!carry_out).then_some(&answer);
        match call.app.commit(flow::claim(call, unit, charge_id, stored)).await {
            Err(Refused::Conflict { .. }) => continue,
            Err(refused) => return Err(refused.into()),
            Ok(()) if !carry_out => return Ok(answer),
            Ok(()) => {}
        }
        call.mark_claimed();
        carried_out(call, next_payment, next, &mismatch, wanted.resolution).await?;
        return told(call, charge_id).await;
    }
    Err(Refused::conflict().into())
}

/// The acquirer's amount, if the payment can be for that.
fn acceptable(payment: &Payment, mismatch: &Mismatch) -> Result<i64, ApiError> {
    let refused = |why: &str| {
        ApiError::invalid(
            "mismatch_not_acceptable",
            "resolution",
            format!("{why} Reverse it instead."),
        )
    };
    let amount = match (mismatch.field.as_str(), mismatch.theirs.parse::<i64>()) {
        ("amount", Ok(amount)) if amount > 0 => amount,
        _ => {
            return Err(refused(
                "Only another amount can be accepted, not another currency or payment.",
            ));
        }
    };
    if payment.line_items.is_some() {
        return Err(refused(
            "This payment has line items, which are kept as they were sold.",
        ));
    }
    if payment.application_fee_amount.is_some_and(|fee| fee > amount) {
        return Err(refused("The application fee is more than that amount."));
    }
    Ok(amount)
}

/// Accepted: the acquirer is asked again, and its answer now fits. Reversed: whatever it did is undone there, and the attempt ends as
/// not taken. What fails on the way is found by the sweep, or by saying the same again.
async fn carried_out(
    call: &Call,
    payment: Payment,
    charge: Charge,
    mismatch: &Mismatch,
    resolution: Resolution,
) -> Result<(), ApiError> {
    if resolution == Resolution::Accept {
        return sweep::sweep_charge(&call.app, charge).await;
    }
    let Some(acquirer_id) = mismatch.acquirer_id.clone() else {
        // There is no name to reverse it by: the sweep goes on asking.
        return Ok(());
    };
    let connector = call.app.connector(&charge.connector)?;
    let reference = format!("{}:mismatch", charge.id);
    let theirs = |field: &str| (mismatch.field == field).then(|| mismatch.theirs.clone());
    let currency = theirs("currency").unwrap_or_else(|| charge.currency.clone());
    let amount = theirs("amount")
        .and_then(|amount| amount.parse().ok())
        .unwrap_or(charge.amount);
    let reversed = if mismatch.captured {
        let back = Return {
            reference: &reference,
            acquirer_id: &acquirer_id,
            amount,
            currency: &currency,
            reason: None,
        };
        at_acquirer(connector.refund(back)).await.map(drop)
    } else {
        at_acquirer(connector.void(&reference, &acquirer_id)).await
    };
    if let Err(failure) = reversed {
        tracing::error!(
            charge = charge.id,
            ?failure,
            "a mismatched payment could not be reversed yet"
        );
        return Err(ApiError::invalid(
            "reversal_not_confirmed",
            "",
            "The acquirer has not confirmed the reversal. Say the same again in a while: it has one effect.",
        ));
    }
    let background = Call::background(call.app.clone(), call.merchant.clone());
    let mut decline =
        sweep::not_received("The bank's answer was about something else than was asked; it was reversed.");
    decline.acquirer_id = Some(acquirer_id);
    let outcome = Err(Failure::Declined(decline));
    flow::settle_authorization(&background, payment, charge, outcome, flow::Asker::Sweep)
        .await
        .map(drop)
}

/// The charge as it is now, under the caller's key.
async fn told(call: &Call, charge_id: &str) -> Result<Answer, ApiError> {
    let charge = flow::load_charge(call, charge_id).await?;
    let payment = flow::load(call, &charge.payment_id).await?;
    let mut object = wire::charge(&charge, &payment);
    crate::api::expand::expand(call, &mut object, &[]).await?;
    let answer = Answer::ok(&object);
    if let Some(request) = call.request(None, None) {
        let unit = Unit::new(call.book_id()).answer(&request.answered(charge_id, &answer));
        call.app.commit(unit).await?;
    }
    Ok(answer)
}
