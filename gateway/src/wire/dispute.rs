//! dispute.

use super::{balance_transaction, seconds, seconds_or_null};
use crate::dispute::rows::{Dispute, EVIDENCE};
use crate::payment::rows::BalanceTransaction;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// `dispute`, with those of these balance transactions that are its own, as seen at this moment.
pub fn dispute(dispute: &Dispute, transactions: &[BalanceTransaction], now: Timestamp) -> Value {
    let evidence: Map<String, Value> = EVIDENCE
        .iter()
        .map(|(name, _)| ((*name).to_owned(), json!(dispute.evidence.get(*name))))
        .chain([("enhanced_evidence".to_owned(), json!({}))])
        .collect();
    let transactions: Vec<Value> = transactions
        .iter()
        .filter(|t| t.source_id == dispute.id)
        .map(|t| balance_transaction(t, now))
        .collect();
    let case_type = if dispute.status.is_inquiry() {
        "inquiry"
    } else {
        "chargeback"
    };
    json!({
        "id": dispute.id,
        "object": "dispute",
        "amount": dispute.amount,
        "balance_transactions": transactions,
        "borne_by": dispute.borne_by,
        "charge": dispute.charge_id,
        "created": seconds(dispute.created_at),
        "currency": dispute.currency,
        "enhanced_eligibility_types": [],
        "evidence": evidence,
        "evidence_details": {
            "due_by": seconds_or_null(dispute.due_by),
            "enhanced_eligibility": {},
            "has_evidence": !dispute.evidence.is_empty(),
            "past_due": dispute.due_by.is_some_and(|due_by| now > due_by),
            "submission_count": dispute.submission_count,
        },
        "is_charge_refundable": dispute.details.is_charge_refundable,
        "livemode": false,
        "metadata": dispute.details.metadata,
        "network_reason_code": dispute.network_reason_code,
        "payment_intent": dispute.payment_id,
        "payment_method_details": {
            "card": {"brand": dispute.details.brand, "case_type": case_type, "network_reason_code": dispute.network_reason_code},
            "type": "card",
        },
        "reason": dispute.reason,
        "stage": dispute.stage.as_str(),
        "status": dispute.status.as_str(),
    })
}
