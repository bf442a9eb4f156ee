//! Challenges: the payer proves who they are (3-D Secure), and the attempt goes on or ends.
//!
//! What came of it can be learnt in three ways, in any order and all at once: the acquirer calls back, the payer's browser
//! returns ([`returned`]), the caller looks ([`ask`]). None of them is believed: each makes us ask the acquirer, and
//! `settle_authorization` writes its answer through the one guarded transition. It must never take the payer's
//! word, or an address's, for an outcome.

use super::settle::{ask_again, settle_authorization};
use super::{Asker, answer_with, load};
use crate::api::error::ApiError;
use crate::call::{Answer, Call, at_acquirer};
use crate::commit::{Refused, Unit};
use crate::connector::{Action, Challenge, Decline, Failure, Found, Inquiry, NextAction};
use crate::payment::rows::*;
use crate::payment::state::{self, Fact};
use crate::payment::store;
use crate::wire;
use jiff::SignedDuration;
use serde_json::json;

/// A challenge that nobody has answered by then is taken back: the payer has gone.
const OPEN_FOR: SignedDuration = SignedDuration::from_hours(24);

/// How the payer of this attempt may be challenged.
pub(super) fn wish(call: &Call, payment: &Payment, charge: &Charge, impossible: bool) -> Challenge {
    let wanted = match payment.details.request_three_d_secure.as_deref() {
        Some("challenge") => Some("challenge"),
        _ if charge.risk.decision == "challenge" => Some("challenge"),
        Some("any") => Some("any"),
        _ => None,
    };
    Challenge {
        off_session: charge.context.off_session,
        impossible,
        wanted: wanted.filter(|_| !charge.context.off_session),
        return_url: match (&call.app.settings.payers_base_url, &charge.authentication) {
            (Some(base), Some(authentication)) => Some(format!(
                "{base}/return/{}/{}/{}",
                call.merchant.id, charge.payment_id, authentication.return_token
            )),
            _ => payment.details.return_url.clone(),
        },
    }
}

/// Commit B of an attempt that waits for the payer.
pub(super) async fn required(
    call: &Call,
    payment: &Payment,
    charge: &Charge,
    action: &Action,
) -> Result<(Unit, Answer), ApiError> {
    let NextAction::Redirect { url } = &action.next;
    let next_action = json!({
        "type": "redirect_to_url",
        "redirect_to_url": {"return_url": payment.details.return_url, "url": url},
    });
    let mut next = state::apply(payment, &Fact::ActionRequired { next_action })?;
    let mut charge = charge.clone();
    charge.status = ChargeStatus::Pending;
    charge.acquirer_id = Some(action.acquirer_id.clone());
    ask_again(call, &mut charge);
    let unit = Unit::new(call.book_id()).update(&mut next).update(&mut charge);
    let intent = wire::payment_intent(&next);
    let unit = unit.insert(&call.event("payment_intent.requires_action", &intent));
    let answer = answer_with(call, intent, &[wire::charge(&charge, &next)]).await?;
    Ok((unit, answer))
}

/// Whether this attempt of the payment waits for the payer.
pub(in crate::payment) fn waits(payment: &Payment, charge: &Charge) -> bool {
    payment.status == Status::RequiresAction
        && payment.operation.is_none()
        && payment.charge_id.as_ref() == Some(&charge.id)
}

/// Asks the acquirer what came of a challenge, if the payment waits for one, and writes it. Gives the payment as it is
/// then. That the acquirer cannot be asked changes nothing: the sweep will.
pub async fn ask(call: &Call, payment: Payment) -> Result<Payment, ApiError> {
    let (Status::RequiresAction, None, Some(charge_id)) = (payment.status, payment.operation, &payment.charge_id)
    else {
        return Ok(payment);
    };
    let charge = super::load_charge(call, charge_id).await?;
    let connector = call.app.connector(&charge.connector)?;
    let found = at_acquirer(connector.inquire(Inquiry {
        reference: &charge.id,
        acquirer_id: charge.acquirer_id.as_deref(),
        amount: charge.amount,
        raised: None,
        currency: &charge.currency,
    }))
    .await;
    if matches!(found, Ok(Found::ActionNeeded(_) | Found::Processing) | Err(_)) {
        return Ok(payment); // written down by the sweep, so that looking costs nothing
    }
    // Background work of its own: the caller's idempotency key is not about this.
    let background = Call::background(call.app.clone(), call.merchant.clone());
    let payment_id = payment.id.clone();
    told(&background, payment, charge, found).await?;
    load(call, &payment_id).await
}

/// Writes what the acquirer says of a challenge.
pub(in crate::payment) async fn told(
    call: &Call,
    payment: Payment,
    charge: Charge,
    found: Result<Found, Failure>,
) -> Result<(), ApiError> {
    let outcome = match found {
        Ok(Found::Authorized { approval, .. } | Found::Captured { approval, .. }) => Ok(approval),
        Ok(Found::Declined(decline)) => Err(Failure::Declined(decline)),
        Ok(Found::Voided { acquirer_id }) => Err(Failure::Declined(Decline {
            acquirer_id: Some(acquirer_id),
            ..failed()
        })),
        Ok(Found::ActionNeeded(_)) if call.app.clock.now().duration_since(charge.created_at) >= OPEN_FOR => {
            return take_back(call, payment, charge).await;
        }
        _ => return wait(call, charge).await,
    };
    settle_authorization(call, payment, charge, outcome, Asker::Sweep)
        .await
        .map(drop)
}

/// Closes an open challenge at the acquirer, and ends its attempt as not authenticated: the payer has gone, or pays with
/// another card. An attempt that was approved in this very moment stays approved. A crash in between is found by the sweep.
pub(super) async fn take_back(call: &Call, payment: Payment, charge: Charge) -> Result<(), ApiError> {
    let connector = call.app.connector(&charge.connector)?;
    let acquirer_id = charge.acquirer_id.clone().unwrap_or_default();
    let reference = format!("{}:challenge", charge.id);
    match at_acquirer(connector.void(&reference, &acquirer_id)).await {
        Ok(()) => {
            let outcome = Err(Failure::Declined(Decline {
                acquirer_id: Some(acquirer_id),
                ..failed()
            }));
            settle_authorization(call, payment, charge, outcome, Asker::Sweep)
                .await
                .map(drop)
        }
        Err(failure) => {
            tracing::warn!(
                charge = charge.id,
                ?failure,
                "an open challenge could not be taken back yet"
            );
            wait(call, charge).await
        }
    }
}

/// The payer's browser comes back. Asks the acquirer, and gives the merchant's address with the outcome in its query, as
/// Stripe does. `None`: the merchant gave none.
pub async fn returned(call: &Call, payment_id: &str, token: &str) -> Result<(Status, Option<String>), ApiError> {
    let payment = load(call, payment_id).await?;
    let tokens: Vec<Charge> = {
        let client = call.app.reads.get().await?;
        store::by(&**client, call.book_id(), "payment_id", payment_id, MAX_ATTEMPTS).await?
    };
    let known = tokens
        .iter()
        .filter_map(|charge| charge.authentication.as_ref())
        .any(|authentication| same(&authentication.return_token, token));
    if !known {
        return Err(ApiError::not_found("payment_intent", payment_id, "intent"));
    }
    let payment = ask(call, payment).await?;
    let Some(back) = payment
        .details
        .return_url
        .as_deref()
        .and_then(|back| url::Url::parse(back).ok())
    else {
        return Ok((payment.status, None));
    };
    let outcome = match payment.status {
        Status::Succeeded | Status::RequiresCapture => "succeeded",
        Status::RequiresAction | Status::Processing => "pending",
        _ => "failed",
    };
    let mut target = back;
    target
        .query_pairs_mut()
        .append_pair("payment_intent", &payment.id)
        .append_pair(
            "payment_intent_client_secret",
            &format!("{}_secret_{}", payment.id, payment.details.client_secret),
        )
        .append_pair("redirect_status", outcome);
    Ok((payment.status, Some(target.into())))
}

/// The challenge is still open; the sweep asks again later.
async fn wait(call: &Call, mut charge: Charge) -> Result<(), ApiError> {
    ask_again(call, &mut charge);
    match call.app.commit(Unit::new(call.book_id()).update(&mut charge)).await {
        Ok(()) | Err(Refused::Conflict { .. }) => Ok(()),
        Err(refused) => Err(refused.into()),
    }
}

/// Whether two secrets are one, in the same time whatever they are.
pub(crate) fn same(one: &str, other: &str) -> bool {
    !one.is_empty() && subtle::ConstantTimeEq::ct_eq(one.as_bytes(), other.as_bytes()).into()
}

fn failed() -> Decline {
    Decline {
        code: "payment_intent_authentication_failure".into(),
        decline_code: None,
        message: "The customer was not authenticated. Nothing was charged. Ask for another payment method.".into(),
        acquirer_id: None,
        acquirer_reference: None,
    }
}

const MAX_ATTEMPTS: i64 = 100;
