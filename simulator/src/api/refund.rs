//! `/v1/refunds`: create, update, cancel.

use super::{Answer, merge_metadata};
use crate::error::ApiError;
use crate::flow::{Op, unexpected};
use crate::object::*;
use crate::params::Params;
use crate::store::Record;
use std::sync::Arc;

pub(super) fn find(op: &Op<'_>, id: &str) -> Result<Arc<Refund>, ApiError> {
    op.store
        .refunds
        .find(id, &op.account)
        .cloned()
        .ok_or_else(|| ApiError::not_found("refund", id))
}

pub(super) fn create(op: &mut Op<'_>, params: &Params) -> Result<Answer, ApiError> {
    params.only(&[
        "amount",
        "charge",
        "currency",
        "customer",
        "instructions_email",
        "metadata",
        "origin",
        "payment_intent",
        "reason",
        "refund_application_fee",
        "reverse_transfer",
    ])?;
    let amount = params.integer("amount")?;
    if amount.is_some_and(|amount| amount < 1) {
        return Err(ApiError::invalid("amount", "Invalid positive integer").code("parameter_invalid_integer"));
    }
    let reason = params
        .one_of("reason", &["duplicate", "fraudulent", "requested_by_customer"])?
        .map(Into::into);
    let mut metadata = Metadata::default();
    merge_metadata(&mut metadata, params)?;
    let charge = match (params.text("charge"), params.text("payment_intent")) {
        (Some(id), _) => {
            let charge = op.store.charges.find(id, &op.account);
            charge.ok_or_else(|| ApiError::not_found("charge", id).param("charge"))?
        }
        (None, Some(id)) => {
            let intent = op.store.intents.find(id, &op.account);
            let intent = intent.ok_or_else(|| ApiError::not_found("payment_intent", id).param("payment_intent"))?;
            let charge = intent.charges.last().and_then(|id| op.store.charges.get(*id));
            charge.filter(|charge| charge.failure.is_none()).ok_or_else(|| {
                unexpected(format!(
                    "This PaymentIntent ({id}) does not have a successful charge to refund."
                ))
            })?
        }
        (None, None) => {
            return Err(ApiError::invalid(
                "charge",
                "One of the following params should be provided: payment_intent, charge.",
            )
            .code("parameter_missing"));
        }
    }
    .clone();
    let id = op.refund(&charge, amount, reason, metadata)?;
    Ok(Answer::Object(ObjectRef::Refund(id)))
}

pub(super) fn update(op: &mut Op<'_>, id: &str, params: &Params) -> Result<Answer, ApiError> {
    params.only(&["metadata"])?;
    let mut refund = (*find(op, id)?).clone();
    merge_metadata(&mut refund.metadata, params)?;
    let object = ObjectRef::Refund(refund.id);
    op.store.put(Record::Refund(Arc::new(refund)));
    op.event("refund.updated", object);
    Ok(Answer::Object(object))
}

pub(super) fn cancel(op: &mut Op<'_>, id: &str) -> Result<Answer, ApiError> {
    let refund = find(op, id)?;
    if refund.status != RefundStatus::Pending {
        return Err(ApiError::state(
            "refund_not_cancelable",
            "Only a pending refund can be canceled.",
        ));
    }
    op.end_refund(&refund, RefundStatus::Canceled);
    Ok(Answer::Object(ObjectRef::Refund(refund.id)))
}
