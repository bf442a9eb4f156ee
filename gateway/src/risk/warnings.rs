//! Early fraud warnings: what a card network (TC40, SAFE) tells through the acquirer before any dispute, often in time to refund.
//!
//! A warning is a label for the scorer at once and an event for the merchant, who decides within a day: refund, or stand by the payment. It
//! must never move money by itself.

use super::rows::{AlertDismissal, EarlyFraudWarning, History, Source};
use crate::api::error::ApiError;
use crate::call::{Answer, Call};
use crate::commit::{Refused, Unit};
use crate::payment::flow::{claim, load_charge};
use crate::payment::refund::{self, NewRefund};
use crate::payment::rows::Charge;
use crate::payment::store;
use crate::{id, wire};
use anomaly::Verdict;
use jiff::SignedDuration;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use tokio_postgres::types::Type;

/// What is not refunded within this is often a chargeback already.
pub const DECIDE_WITHIN: SignedDuration = SignedDuration::from_hours(24);

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
    let object = wire::early_fraud_warning(&warning, Some(charge), false);
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

/// Gives everything that is left of the payment back, as fraud: the chargeback is spared.
pub async fn refund_now(call: &Call, warning_id: &str) -> Result<Answer, ApiError> {
    let warning = load(call, warning_id).await?;
    let new = NewRefund {
        payment_id: warning.payment_id,
        amount: None,
        reason: Some("fraudulent".to_owned()),
        metadata: BTreeMap::from([("early_fraud_warning".to_owned(), warning.id)]),
        refund_application_fee: false,
        expected_available: None,
    };
    refund::create(call, new).await
}

/// The merchant stands by the payment.
pub async fn dismiss(
    call: &Call,
    warning_id: &str,
    reason: Option<String>,
    by_key: String,
) -> Result<Answer, ApiError> {
    let warning = load(call, warning_id).await?;
    let reason = reason.ok_or_else(|| ApiError::missing("reason"))?;
    let charge = load_charge(call, &warning.charge_id).await?;
    let dismissal = AlertDismissal {
        book_id: call.book_id(),
        id: warning.id.clone(),
        reason,
        by_key,
        created_at: call.at,
    };
    let object = wire::early_fraud_warning(&warning, Some(&charge), true);
    let answer = Answer::ok(&object);
    let unit = Unit::new(call.book_id())
        .insert(&dismissal)
        .insert(&call.event("radar.early_fraud_warning.closed", &object));
    match call.app.commit(claim(call, unit, &warning.id, Some(&answer))).await {
        Err(Refused::Conflict { .. }) => Err(ApiError::invalid(
            "early_fraud_warning_dismissed",
            "",
            "This warning has been dismissed already.",
        )),
        done => done.map(|()| answer).map_err(ApiError::from),
    }
}

/// This merchant's warning.
pub async fn load(call: &Call, warning_id: &str) -> Result<EarlyFraudWarning, ApiError> {
    let found = if id::is_valid(id::prefix::EARLY_FRAUD_WARNING, warning_id) {
        let client = call.app.reads.get().await?;
        store::get(&**client, call.book_id(), warning_id).await?
    } else {
        None
    };
    found.ok_or_else(|| ApiError::not_found("early fraud warning", warning_id, "early_fraud_warning"))
}

/// Warnings as the wire shows them.
pub async fn rendered(call: &Call, rows: &[EarlyFraudWarning]) -> Result<Vec<Value>, ApiError> {
    let ids: Vec<&str> = rows.iter().map(|warning| warning.charge_id.as_str()).collect();
    let warnings: Vec<&str> = rows.iter().map(|warning| warning.id.as_str()).collect();
    let client = call.app.reads.get().await?;
    let charges: Vec<Charge> = store::get_many(&**client, call.book_id(), &ids).await?;
    let dismissals: Vec<AlertDismissal> = store::get_many(&**client, call.book_id(), &warnings).await?;
    let dismissed: HashSet<&str> = dismissals.iter().map(|dismissal| dismissal.id.as_str()).collect();
    Ok(rows
        .iter()
        .map(|warning| {
            let charge = charges.iter().find(|c| c.id == warning.charge_id);
            wire::early_fraud_warning(warning, charge, dismissed.contains(warning.id.as_str()))
        })
        .collect())
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
