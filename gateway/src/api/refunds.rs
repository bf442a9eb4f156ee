//! `/v1/refunds`.

use super::charges;
use super::error::{ApiError, shown};
use super::input::{In, RefundsRead, RefundsWrite, Reply};
use super::list;
use crate::call::Call;
use crate::payment::flow::merge_metadata;
use crate::payment::refund::{self, NewRefund};
use crate::payment::rows::{ChargeStatus, Payment, Refund};
use crate::payment::store;
use crate::{id, wire};
use axum::extract::Path;
use std::collections::BTreeMap;

pub(super) async fn create(mut input: In<RefundsWrite>) -> Reply {
    let mut params = input.take();
    let payment_id = params.text("payment_intent")?;
    let charge_id = params.text("charge")?;
    let amount = params.amount("amount")?;
    let expected_available = params.integer("expected_available")?;
    let reason = params.choice("reason", &["duplicate", "fraudulent", "requested_by_customer"])?;
    let currency = super::payment_intents::currency(&mut params)?;
    let mut metadata = BTreeMap::new();
    if let Some(change) = params.metadata("metadata")? {
        merge_metadata(&mut metadata, change);
    }
    let refund_application_fee = params.boolean("refund_application_fee")?.unwrap_or(false);
    // They concern connected accounts and bank transfers: with a card there is nothing to do for them.
    params.ignore(&["reverse_transfer", "instructions_email"]);
    params.finish()?;
    if refund_application_fee && !input.platform {
        let mut error = ApiError::invalid(
            "platform_key_required",
            "refund_application_fee",
            "An application fee is given back by a key of the platform that took it.",
        );
        error.status = 403;
        return Err(error);
    }
    input
        .run(|call| async move {
            let payment_id = paid_by(call, payment_id, charge_id).await?;
            if let Some(currency) = currency {
                same_currency(call, &payment_id, &currency).await?;
            }
            let new = NewRefund {
                payment_id,
                amount,
                reason,
                metadata,
                refund_application_fee,
                expected_available,
            };
            refund::create(call, new).await
        })
        .await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<RefundsRead>) -> Reply {
    input.take().finish()?;
    super::retrieve(&input.call, "refund", &id, "id").await
}

pub(super) async fn update(Path(id): Path<String>, mut input: In<RefundsWrite>) -> Reply {
    let mut params = input.take();
    let metadata = params.metadata("metadata")?.unwrap_or_default();
    params.finish()?;
    must_be_refund_id(&id)?;
    input.run(|call| refund::update(call, &id, metadata)).await
}

pub(super) async fn cancel(Path(id): Path<String>, mut input: In<RefundsWrite>) -> Reply {
    input.take().finish()?;
    must_be_refund_id(&id)?;
    input.run(|call| refund::cancel(call, &id)).await
}

pub(super) async fn index(mut input: In<RefundsRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    list::created(&mut params, &mut filters)?;
    if let Some(payment) = params.text("payment_intent")? {
        filters.push(list::equals("payment_id = ", payment));
    }
    if let Some(charge) = params.text("charge")? {
        // the payment narrows it by an index, the charge decides
        filters.push(list::equals(
            "payment_id = (SELECT c.payment_id FROM gateway.charge c WHERE c.book_id = t.book_id AND c.id = ?)",
            charge.clone(),
        ));
        filters.push(list::equals("charge_id = ", charge));
    }
    params.finish()?;
    list::answer::<Refund>(&input.call, "/v1/refunds", &page, &filters, wire::refund).await
}

/// The payment that a refund is about, from either of its names.
async fn paid_by(call: &Call, payment_id: Option<String>, charge_id: Option<String>) -> Result<String, ApiError> {
    let Some(charge_id) = charge_id else {
        let payment_id = payment_id.ok_or_else(|| {
            ApiError::invalid(
                "parameter_missing",
                "payment_intent",
                "One of the following params should be provided for this request: payment_intent or charge.",
            )
        })?;
        return if id::is_valid(id::prefix::PAYMENT, &payment_id) {
            Ok(payment_id)
        } else {
            Err(ApiError::not_found("payment_intent", &payment_id, "payment_intent"))
        };
    };
    let charge = charges::load(call, &charge_id, "charge").await?;
    if payment_id.is_some_and(|payment_id| payment_id != charge.payment_id) {
        return Err(ApiError::invalid(
            "parameter_conflict",
            "charge",
            format!(
                "The charge {} does not belong to this payment_intent.",
                shown(&charge_id)
            ),
        ));
    }
    if charge.status == ChargeStatus::Failed {
        return Err(ApiError::invalid(
            "charge_not_refundable",
            "charge",
            format!("The charge {} has failed: there is nothing to refund.", charge.id),
        ));
    }
    Ok(charge.payment_id)
}

async fn same_currency(call: &Call, payment_id: &str, currency: &str) -> Result<(), ApiError> {
    let client = call.app.reads.get().await?;
    let payment: Option<Payment> = store::get(&**client, call.book_id(), payment_id).await?;
    match payment {
        Some(payment) if payment.currency != currency => Err(ApiError::invalid(
            "parameter_invalid_value",
            "currency",
            format!("A refund has the currency of its charge: {}.", payment.currency),
        )),
        _ => Ok(()),
    }
}

fn must_be_refund_id(refund_id: &str) -> Result<(), ApiError> {
    if id::is_valid(id::prefix::REFUND, refund_id) {
        Ok(())
    } else {
        Err(ApiError::not_found("refund", refund_id, "id"))
    }
}
