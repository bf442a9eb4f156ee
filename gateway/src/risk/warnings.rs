//! Early fraud warnings: what a card network (TC40, SAFE) tells through the acquirer before any dispute, often in time to refund.
//!
//! A warning is a label for the scorer at once and an event for the merchant. It must never move money: whether to refund is
//! the merchant's decision.

use super::rows::{EarlyFraudWarning, History, Source};
use crate::api::error::ApiError;
use crate::call::Call;
use crate::commit::{Refused, Unit};
use crate::payment::rows::Charge;
use crate::{id, wire};
use anomaly::Verdict;
use tokio_postgres::types::Type;

/// An acquirer reports one about this attempt. Safe to repeat.
pub async fn report(call: &Call, charge: &Charge, acquirer_id: &str, fraud_type: &str) -> Result<(), ApiError> {
    if known(call, &charge.connector, acquirer_id).await? {
        return Ok(());
    }
    let now = call.app.clock.now();
    let warning = EarlyFraudWarning {
        book_id: charge.book_id,
        id: id::new(id::prefix::EARLY_FRAUD_WARNING),
        charge_id: charge.id.clone(),
        payment_id: charge.payment_id.clone(),
        connector: charge.connector.clone(),
        acquirer_id: acquirer_id.to_owned(),
        fraud_type: fraud_type.to_owned(),
        created_at: now,
    };
    let label = History::label(
        charge.book_id,
        &charge.id,
        Verdict::Fraud,
        Source::EarlyFraudWarning,
        now,
    );
    let object = wire::early_fraud_warning(&warning, Some(charge));
    let unit = Unit::new(call.book_id())
        .insert(&warning)
        .insert(&label)
        .insert(&call.event("radar.early_fraud_warning.created", &object));
    match call.app.commit(unit).await {
        // Another process was told the same in this moment.
        Err(Refused::Conflict { .. }) if known(call, &charge.connector, acquirer_id).await? => Ok(()),
        done => done.map_err(ApiError::from),
    }
}

async fn known(call: &Call, connector: &str, acquirer_id: &str) -> Result<bool, ApiError> {
    let client = call.app.reads.get().await?;
    let rows = client
        .query_typed(
            "SELECT 1 FROM risk.early_fraud_warning WHERE book_id = $1 AND connector = $2 AND acquirer_id = $3",
            &[
                (&call.book_id(), Type::INT8),
                (&connector, Type::TEXT),
                (&acquirer_id, Type::TEXT),
            ],
        )
        .await?;
    Ok(!rows.is_empty())
}
