//! What a stored callback reports, handed to the flow concerned.

use super::store::{self, Due};
use crate::api::error::ApiError;
use crate::app::App;
use crate::call::Call;
use crate::connector::{AcquirerDispute, DisputeReport, Report};
use crate::dispute;
use crate::dispute::store::{charge_at_acquirer, refund_at_acquirer};
use crate::id;
use crate::payment::rows::RefundStatus;
use crate::payment::{refund, store as store_of_objects, sweep};
use crate::setup::{self, SetupIntent};
use futures_util::StreamExt;
use jiff::SignedDuration;
use std::sync::Arc;
use std::time::Duration;

/// A callback is given up, loudly, after this many tries: about 17 minutes.
pub const MAX_ATTEMPTS: i16 = 10;
const LEASE: SignedDuration = SignedDuration::from_secs(60);
const BATCH: i64 = 64;
const CONCURRENT: usize = 8;

/// The worker. Several may run, also in several processes.
#[derive(Debug)]
pub struct Processor;

impl Processor {
    /// Works until the shutdown; what is under way then is ended first.
    pub async fn run(app: Arc<App>, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            let more = match Self::round(&app).await {
                Ok(more) => more,
                Err(error) => {
                    tracing::warn!(error = error.message, "callbacks cannot be read");
                    false
                }
            };
            if let Err(error) = dispute::respond::sweep(&app).await {
                tracing::warn!(error = error.message, "responses to disputes cannot be read");
            }
            // Rung for new ones; the timer is for retries and for what a dead process had leased.
            let pause = if more { Duration::ZERO } else { app.settings.sweep_every };
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = app.callbacks.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One round: every due callback once, a bounded number. Returns whether there may be more.
    pub async fn round(app: &Arc<App>) -> Result<bool, ApiError> {
        let due = {
            let client = app.reads.get().await?;
            store::claim(&**client, app.clock.now(), LEASE, BATCH).await?
        };
        let more = due.len() as i64 == BATCH;
        futures_util::stream::iter(due)
            .for_each_concurrent(CONCURRENT, |due| async move {
                let outcome = process(app, &due).await;
                if let Err(error) = record(app, &due, outcome).await {
                    // Its lease ends, and it is done again.
                    tracing::warn!(
                        id = due.id,
                        error = error.message,
                        "the end of a callback was not recorded"
                    );
                }
            })
            .await;
        Ok(more)
    }
}

async fn process(app: &Arc<App>, due: &Due) -> Result<(), ApiError> {
    let report = app
        .connector(&due.connector)?
        .report(&due.payload)
        .map_err(|why| ApiError::invalid("callback_unreadable", "", why))?;
    match report {
        Report::Payment { reference, acquirer_id } => {
            payment(app, &due.connector, reference.as_deref(), &acquirer_id).await
        }
        Report::Refund {
            reference,
            acquirer_id,
            succeeded: Some(succeeded),
            failure_reason,
        } => {
            let reason = failure_reason.as_deref();
            refunded(app, reference.as_deref(), &acquirer_id, succeeded, reason).await
        }
        Report::FraudWarning {
            acquirer_id,
            payment_acquirer_id,
            fraud_type,
        } => warned(app, &due.connector, &acquirer_id, &payment_acquirer_id, &fraud_type).await,
        Report::Dispute { kind, dispute } => disputed(app, &due.connector, kind, &dispute).await,
        Report::Refund { succeeded: None, .. } | Report::Ignored => Ok(()),
    }
}

async fn record(app: &Arc<App>, due: &Due, outcome: Result<(), ApiError>) -> Result<(), ApiError> {
    let client = app.reads.get().await?;
    let now = app.clock.now();
    match outcome {
        Ok(()) => store::done(&**client, due, now).await?,
        Err(error) if due.attempt >= MAX_ATTEMPTS => {
            tracing::error!(
                connector = due.connector,
                id = due.id,
                error = error.message,
                "callback given up: a person must look"
            );
            store::failed(&**client, due, &error.message, None).await?;
        }
        Err(error) => {
            tracing::warn!(
                connector = due.connector,
                id = due.id,
                attempt = due.attempt,
                error = error.message,
                "callback failed, will be tried again"
            );
            store::failed(&**client, due, &error.message, Some(now + backoff(due.attempt))).await?;
        }
    }
    Ok(())
}

/// 2 s, 4 s, 8 s .. after the first, second, third try.
fn backoff(attempt: i16) -> SignedDuration {
    SignedDuration::from_secs(1i64 << attempt.clamp(0, 10))
}

/// A payment changed there. If its outcome is unknown here, now is the moment to ask.
async fn payment(app: &Arc<App>, connector: &str, reference: Option<&str>, acquirer_id: &str) -> Result<(), ApiError> {
    let setup_id = reference.and_then(|reference| Some(reference.rsplit_once(':')?.0));
    if let Some(setup_id) = setup_id.filter(|id| id::is_valid(id::prefix::SETUP, id)) {
        let setup = {
            let client = app.reads.get().await?;
            store_of_objects::anywhere::<SetupIntent>(&**client, setup_id).await?
        };
        return match setup {
            // Its own request is still at it while nobody had to ask yet.
            Some(setup) if setup.check_at.is_some() && setup.swept > 0 => setup::flow::sweep(app, setup).await,
            _ => Ok(()),
        };
    }
    let charge = {
        let client = app.reads.get().await?;
        charge_at_acquirer(&**client, connector, reference, Some(acquirer_id)).await?
    };
    match charge {
        // The request itself is still at it while nobody had to ask yet; the sweep comes if it has died.
        Some(charge) if charge.check_at.is_some() && charge.swept > 0 => sweep::sweep_charge(app, charge).await,
        _ => Ok(()),
    }
}

async fn refunded(
    app: &Arc<App>,
    reference: Option<&str>,
    acquirer_id: &str,
    succeeded: bool,
    reason: Option<&str>,
) -> Result<(), ApiError> {
    let found = {
        let client = app.reads.get().await?;
        refund_at_acquirer(&**client, reference, acquirer_id).await?
    };
    // Reversals of late approvals are refunds there and have no row here.
    let Some(found) = found else { return Ok(()) };
    if found.status == RefundStatus::Pending && found.acquirer_id.is_none() {
        return Err(ApiError::invalid(
            "refund_in_flight",
            "",
            "The request that made this refund has not ended yet.",
        ));
    }
    let merchant = app.merchant_by_book(found.book_id).await?;
    let call = Call::background(app.clone(), merchant);
    refund::report(&call, found, succeeded, reason).await
}

async fn warned(
    app: &Arc<App>,
    connector: &str,
    acquirer_id: &str,
    payment_acquirer_id: &str,
    fraud_type: &str,
) -> Result<(), ApiError> {
    let charge = {
        let client = app.reads.get().await?;
        charge_at_acquirer(&**client, connector, None, Some(payment_acquirer_id)).await?
    };
    // It may come before our own commit of the payment: then it is tried again.
    let charge = charge.ok_or_else(|| {
        ApiError::invalid(
            "fraud_warning_unmatched",
            "",
            "The acquirer warns of a payment that is not known here.",
        )
    })?;
    let call = Call::background(app.clone(), app.merchant_by_book(charge.book_id).await?);
    crate::risk::warnings::report(&call, &charge, acquirer_id, fraud_type).await
}

async fn disputed(
    app: &Arc<App>,
    connector: &str,
    kind: DisputeReport,
    told: &AcquirerDispute,
) -> Result<(), ApiError> {
    let charge = {
        let client = app.reads.get().await?;
        let payment_id = told.payment_acquirer_id.as_deref();
        charge_at_acquirer(&**client, connector, told.reference.as_deref(), payment_id).await?
    };
    // Money is at stake, so this one is never shrugged off.
    let charge = charge.ok_or_else(|| {
        ApiError::invalid(
            "dispute_unmatched",
            "",
            "The acquirer reports a dispute of a payment that is not known here.",
        )
    })?;
    let merchant = app.merchant_by_book(charge.book_id).await?;
    let call = Call::background(app.clone(), merchant);
    dispute::flow::report(&call, &charge.id, kind, told).await
}
