//! `/v1/disputes`: stage and submit evidence, accept.

use super::{Answer, merge_metadata};
use crate::error::ApiError;
use crate::flow::Op;
use crate::object::*;
use crate::params::Params;
use crate::store::Record;
use crate::view::EVIDENCE_FIELDS;
use std::sync::Arc;

pub(super) fn find(op: &Op<'_>, id: &str) -> Result<Arc<Dispute>, ApiError> {
    op.store
        .disputes
        .find(id, &op.account)
        .cloned()
        .ok_or_else(|| ApiError::not_found("dispute", id))
}

pub(super) fn update(op: &mut Op<'_>, id: &str, params: &Params) -> Result<Answer, ApiError> {
    params.only(&["evidence", "metadata", "submit"])?;
    let mut dispute = (*find(op, id)?).clone();
    let object = ObjectRef::Dispute(dispute.id);
    let has_evidence = params.has("evidence");
    // The API's default is to submit; a change of metadata alone submits nothing.
    let submit = params.flag("submit", has_evidence)?;
    merge_metadata(&mut dispute.metadata, params)?;
    let mut evidence = dispute.evidence.clone();
    let mut characters = 0;
    for (field, value) in params
        .map("evidence")
        .filter(|(field, _)| !field.starts_with("enhanced_evidence"))
    {
        if !EVIDENCE_FIELDS.contains(&field) {
            return Err(
                ApiError::invalid("evidence", format!("Received unknown parameter: evidence[{field}]"))
                    .code("parameter_unknown"),
            );
        }
        characters += value.chars().count();
        evidence.set(field, value);
    }
    if characters > EVIDENCE_CHARACTERS_MAX {
        return Err(ApiError::invalid(
            "evidence",
            "The combined character count of the evidence is limited to 150,000.",
        ));
    }
    if has_evidence || submit {
        op.submit_evidence(&dispute, evidence, submit)?;
    } else {
        op.store.put(Record::Dispute(Arc::new(dispute)));
        op.event("charge.dispute.updated", object);
    }
    Ok(Answer::Object(object))
}

pub(super) fn close(op: &mut Op<'_>, id: &str) -> Result<Answer, ApiError> {
    let dispute = find(op, id)?;
    op.accept(&dispute)?;
    Ok(Answer::Object(ObjectRef::Dispute(dispute.id)))
}

const EVIDENCE_CHARACTERS_MAX: usize = 150_000;
