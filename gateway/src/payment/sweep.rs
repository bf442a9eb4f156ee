//! The sweep: finds out what became of every step whose outcome is not known, and ends it.
//!
//! A step is swept when its check time has come: its request died (crash) or was told `processing` (time-out). The sweep
//! asks the acquirer by our own reference and adopts what it finds. What the acquirer has never seen after
//! [`GIVE_UP_AFTER`] asks is ended as not received; should it appear there later after all, it is reversed. A capture,
//! void or refund that is not found is sent again under the same idempotency key: the intent still stands. It must never
//! authorize a second time.
//!
//! An authorization that is not captured is due when it lapses, too: the sweep cancels its payment.
//!
//! Several processes may sweep: rows are claimed with SKIP LOCKED and a lease, and the settling functions are safe to
//! run twice.

use super::flow::{self, Asker};
use super::rows::*;
use super::{refund, store};
use crate::api::error::ApiError;
use crate::app::App;
use crate::call::Call;
use crate::connector::{Decline, Failure, Found, Inquiry};
use crate::setup::{self, SetupIntent};
use jiff::SignedDuration;
use std::sync::Arc;

/// How often the acquirer must say "never seen" before an attempt is ended as not received; it must also be old enough
/// (`Settings::not_received_after`), because an acquirer's search lags behind its truth.
pub const GIVE_UP_AFTER: i16 = 4;
/// An attempt that ended as not received is asked about once more after this: networks are late, not lost.
pub const WATCH_LATE_FOR: SignedDuration = SignedDuration::from_mins(10);
const BATCH: i64 = 100;

/// The pause before the next ask: 2 s, 4 s, 8 s .. up to 5 minutes.
pub fn backoff(swept: i16) -> SignedDuration {
    SignedDuration::from_secs((2i64 << swept.clamp(0, 7)).min(300))
}

/// One round: every due charge and refund once. Returns how many were looked at.
pub async fn round(app: &Arc<App>) -> Result<usize, ApiError> {
    let now = app.clock.now();
    let lease = app.settings.sweep_lease.as_secs_f64();
    let (charges, refunds, setups) = {
        let client = app.reads.get().await?;
        let charges: Vec<Charge> = store::claim_due(&**client, now, lease, BATCH).await?;
        let refunds: Vec<Refund> = store::claim_due(&**client, now, lease, BATCH).await?;
        let setups: Vec<SetupIntent> = store::claim_due(&**client, now, lease, BATCH).await?;
        (charges, refunds, setups)
    };
    let looked_at = charges.len() + refunds.len() + setups.len();
    let charges = charges.into_iter().map(|charge| async {
        let (book_id, id) = (charge.book_id, charge.id.clone());
        if let Err(error) = sweep_charge(app, charge).await {
            tracing::warn!(book_id, id, error = error.message, "sweep of a charge did not end");
        }
    });
    let refunds = refunds.into_iter().map(|refund| async {
        let (book_id, id) = (refund.book_id, refund.id.clone());
        if let Err(error) = refund::sweep(app, refund).await {
            tracing::warn!(book_id, id, error = error.message, "sweep of a refund did not end");
        }
    });
    let setups = setups.into_iter().map(|setup| async {
        let (book_id, id) = (setup.book_id, setup.id.clone());
        if let Err(error) = setup::flow::sweep(app, setup).await {
            tracing::warn!(
                book_id,
                id,
                error = error.message,
                "sweep of a setup intent did not end"
            );
        }
    });
    futures_util::future::join3(
        futures_util::future::join_all(charges),
        futures_util::future::join_all(refunds),
        futures_util::future::join_all(setups),
    )
    .await;
    Ok(looked_at)
}

/// Finds out what became of one attempt, and ends it.
pub(crate) async fn sweep_charge(app: &Arc<App>, charge: Charge) -> Result<(), ApiError> {
    let merchant = app.merchant_by_book(charge.book_id).await?;
    let mut call = Call::background(app.clone(), merchant);
    if let Some(key) = charge.request_key {
        let client = app.reads.get().await?;
        let (subject, expand) = store::asked_about(&**client, charge.book_id, key).await?;
        call.subject = subject.filter(|id| *id != charge.payment_id);
        call.expand = expand;
    }
    let payment = flow::load(&call, &charge.payment_id).await?;
    let connector = app.connector(&charge.connector)?;
    let found = connector
        .inquire(Inquiry {
            reference: &charge.id,
            acquirer_id: charge.acquirer_id.as_deref(),
            amount: charge.amount,
            raised: payment
                .operation_amount
                .filter(|_| payment.operation == Some(Operation::Increment)),
            currency: &charge.currency,
        })
        .await;
    tracing::info!(charge = charge.id, operation = ?payment.operation, ?found, "swept");
    let age = app.clock.now().duration_since(charge.created_at);
    match payment.operation {
        Some(Operation::Authorize) => {
            let outcome = match found {
                Ok(Found::Authorized { approval, .. }) => Ok(approval),
                Ok(Found::Captured { approval, .. }) => Ok(approval),
                Ok(Found::Declined(decline)) => Err(Failure::Declined(decline)),
                Ok(Found::Voided { .. }) => Err(Failure::Declined(not_received("The authorization was reversed."))),
                Ok(Found::Nothing) if charge.swept + 1 >= GIVE_UP_AFTER && age >= app.settings.not_received_after => {
                    Err(Failure::Declined(not_received(
                        "The payment did not reach the bank. Nothing was charged.",
                    )))
                }
                Ok(Found::ActionNeeded(action)) => Err(Failure::ActionNeeded(action)),
                Ok(Found::Nothing) => Err(Failure::Unknown("the acquirer has not seen it yet".into())),
                Ok(Found::Processing) => Err(Failure::Unknown("the acquirer is still at work".into())),
                Err(Failure::Declined(decline)) => Err(Failure::Unknown(decline.message)),
                Err(Failure::NotSent(cause) | Failure::Unknown(cause)) => Err(Failure::Unknown(cause)),
                Err(Failure::Mismatch(mismatch)) => Err(Failure::Mismatch(mismatch)),
                Err(Failure::ActionNeeded(_)) => Err(Failure::Unknown("an inquiry that asks for an action".into())),
            };
            flow::settle_authorization(&call, payment, charge, outcome, Asker::Sweep)
                .await
                .map(drop)
        }
        Some(Operation::Capture | Operation::CapturePart | Operation::Increment | Operation::Void) => {
            flow::operation::found(&call, payment, charge, found).await
        }
        None if flow::challenge::waits(&payment, &charge) => flow::challenge::told(&call, payment, charge, found).await,
        // It ended as not received: a late approval is reversed, never adopted.
        None if charge.status == ChargeStatus::Failed => flow::watch_late(&call, charge, found).await,
        None if flow::operation::lapsed(&payment, &charge, app.clock.now()) => {
            flow::operation::lapse(&call, &payment, found).await
        }
        // Its own request ended it between the claim and now. What was found is then the good outcome itself.
        None => Ok(()),
    }
}

/// A definite no about a step that left no effect.
pub(crate) fn not_received(message: &str) -> Decline {
    Decline {
        code: "processing_error".into(),
        decline_code: Some("processing_error".into()),
        message: message.into(),
        acquirer_id: None,
        acquirer_reference: None,
    }
}
