//! Reviews: a person's word on a payment that the scorer held back.
//!
//! Approving takes the money where capture is automatic, rejecting gives the authorization back; both go the way of any
//! capture or void (`flow`), whose second commit closes the review. A merchant that captures or cancels by itself has
//! decided too, and closes it the same way. The review's version is in the first commit of a decision, so of two
//! decisions at once one wins. It must never move money itself.

use super::flow;
use super::rows::*;
use super::state::{Fact, Rejection};
use super::store;
use crate::api::error::ApiError;
use crate::call::{Answer, Call};
use crate::commit::{Refused, Unit};
use crate::risk::rows::{History, Source};
use crate::wire;
use anomaly::Verdict;
use serde_json::Value;

const RETRIES: usize = 20;
/// What a rejected payment is canceled for; it tells a rejection from a cancellation when the review is closed.
const FRAUD: &str = "fraudulent";
/// What its review is closed as.
const FRAUD_REASON: &str = "refunded_as_fraud";

/// Approves: captures where capture is automatic, else leaves the capture to the merchant. Of the call's subject, the
/// review, comes the answer.
pub async fn approve(call: &Call, review_id: &str) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let mut review = open(call, review_id).await?;
        let payment = flow::load(call, &review.payment_id).await?;
        if payment.capture_method == CaptureMethod::Automatic && payment.status == Status::RequiresCapture {
            let whole = |payment: &Payment| Fact::CaptureStarted {
                amount: payment.amount_capturable,
                last: true,
            };
            let (payment, charge) =
                flow::operation::begin(call, &payment.id, Some(review_id), whole, |_, _| Ok(())).await?;
            return flow::operation::send(call, payment, charge).await;
        }
        if let Some(operation) = payment.operation {
            // its end closes the review
            return Err(Rejection::InProgress { operation }.into());
        }
        let charge = flow::load_charge(call, &review.charge_id).await?;
        let (unit, mut object) = close(call, Unit::new(call.book_id()), &mut review, &charge, "approved");
        crate::api::expand::expand(call, &mut object, &[]).await?;
        let answer = Answer::ok(&object);
        match call.app.commit(flow::claim(call, unit, review_id, Some(&answer))).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// Rejects: releases the authorization and cancels the payment.
pub async fn reject(call: &Call, review_id: &str) -> Result<Answer, ApiError> {
    let review = open(call, review_id).await?;
    let fact = |_: &Payment| Fact::VoidStarted {
        reason: Some(FRAUD.into()),
    };
    let (payment, charge) =
        flow::operation::begin(call, &review.payment_id, Some(review_id), fact, |_, _| Ok(())).await?;
    flow::operation::send(call, payment, charge).await
}

/// This merchant's review, if it still waits for a decision.
pub(super) async fn open(call: &Call, review_id: &str) -> Result<Review, ApiError> {
    let client = call.app.reads.get().await?;
    let review: Option<Review> = store::get(&**client, call.book_id(), review_id).await?;
    let review = review.ok_or_else(|| ApiError::not_found("review", review_id, "review"))?;
    if review.open {
        return Ok(review);
    }
    Err(ApiError::invalid(
        "review_already_closed",
        "review",
        format!(
            "The review {review_id} has already been closed ({}).",
            review.closed_reason.as_deref().unwrap_or("closed")
        ),
    ))
}

/// Adds to the unit that captures or cancels a payment the end of its review, if one is open; gives the closed review.
pub(super) async fn settle(
    call: &Call,
    unit: Unit,
    payment: &Payment,
    charge: &Charge,
    captured: bool,
) -> Result<(Unit, Option<Value>), ApiError> {
    let Some(review_id) = &payment.review_id else {
        return Ok((unit, None));
    };
    let review: Option<Review> = {
        let client = call.app.reads.get().await?;
        store::get(&**client, call.book_id(), review_id).await?
    };
    let Some(mut review) = review.filter(|r| r.open) else {
        return Ok((unit, None));
    };
    let reason = match (captured, payment.details.cancellation_reason.as_deref()) {
        (true, _) => "approved",
        (false, Some(FRAUD)) => FRAUD_REASON,
        (false, _) => "canceled",
    };
    let (unit, object) = close(call, unit, &mut review, charge, reason);
    Ok((unit, Some(object)))
}

fn close(call: &Call, unit: Unit, review: &mut Review, charge: &Charge, reason: &str) -> (Unit, Value) {
    review.open = false;
    review.closed_reason = Some(reason.to_owned());
    let object = wire::review(review, Some(charge));
    let unit = unit.update(review).insert(&call.event("review.closed", &object));
    let verdict = match reason {
        "approved" => Verdict::Genuine,
        FRAUD_REASON => Verdict::Fraud,
        _ => return (unit, object), // the merchant canceled: nobody has judged
    };
    let at = call.app.clock.now();
    let label = History::label(charge.book_id, &charge.id, verdict, Source::Review, at);
    (unit.insert(&label), object)
}
