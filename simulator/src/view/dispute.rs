//! The dispute object. `amount` is what is contested; what moved is in `balance_transactions`.

use super::money::{self, BalanceTransactionView};
use super::payment::{self, ChargeView, IntentView};
use super::{Empty, Expandable, Site};
use crate::dispute::awaits_response;
use crate::id::Named;
use crate::object::*;
use crate::store::Expanded;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

#[derive(Serialize)]
pub(super) struct DisputeView<'a> {
    id: Named,
    object: &'static str,
    amount: i64,
    balance_transaction: Option<Named>,
    balance_transactions: Vec<BalanceTransactionView>,
    charge: Expandable<ChargeView<'a>>,
    created: i64,
    currency: Currency,
    enhanced_eligibility_types: [&'static str; 0],
    evidence: Evidence<'a>,
    evidence_details: EvidenceDetails,
    is_charge_refundable: bool,
    livemode: bool,
    metadata: &'a Metadata,
    network_reason_code: &'static str,
    network_stage: Option<NetworkStage>,
    payment_intent: Expandable<IntentView<'a>>,
    payment_method_details: MethodDetails,
    reason: &'a str,
    status: DisputeStatus,
}

pub(super) fn dispute<'a>(row: &'a Dispute, expanded: Option<&'a Expanded>, site: Site<'a>) -> DisputeView<'a> {
    let card = MethodCard {
        brand: row.method.card.brand(),
        case_type: if row.inquiry { "inquiry" } else { "chargeback" },
        network_reason_code: network_reason_code(&row.reason),
    };
    DisputeView {
        id: row.id.named(Dispute::PREFIX),
        object: Dispute::OBJECT,
        amount: row.amount,
        balance_transaction: row
            .movements
            .first()
            .map(|movement| movement.id.named(BalanceTransaction::PREFIX)),
        balance_transactions: row
            .movements
            .iter()
            .map(|movement| money::balance_transaction(movement))
            .collect(),
        charge: match expanded.and_then(|expanded| expanded.charge.as_ref()) {
            Some(charge) => Expandable::Object(Box::new(payment::charge(charge, None, site))),
            None => Expandable::Id(row.charge.named(Charge::PREFIX)),
        },
        created: row.created,
        currency: row.currency,
        enhanced_eligibility_types: [],
        evidence: Evidence(&row.evidence),
        evidence_details: EvidenceDetails {
            due_by: awaits_response(row).then_some(row.due_by),
            enhanced_eligibility: Empty {},
            has_evidence: !row.evidence.is_empty(),
            past_due: row.status == DisputeStatus::Lost && row.submission_count == 0,
            submission_count: row.submission_count,
        },
        is_charge_refundable: row.inquiry && row.status != DisputeStatus::WarningClosed,
        livemode: false,
        metadata: &row.metadata,
        network_reason_code: card.network_reason_code,
        network_stage: row.network_stage,
        payment_intent: match expanded.and_then(|expanded| expanded.intent.as_ref()) {
            Some(intent) => Expandable::Object(Box::new(payment::intent(intent, None, site))),
            None => Expandable::Id(row.intent.named(Intent::PREFIX)),
        },
        payment_method_details: MethodDetails { card, kind: "card" },
        reason: &row.reason,
        status: row.status,
    }
}

fn network_reason_code(reason: &str) -> &'static str {
    match reason {
        "fraudulent" | "unrecognized" => "10.4",
        "duplicate" => "12.6",
        "product_not_received" => "13.1",
        "product_unacceptable" => "13.3",
        "subscription_canceled" => "13.2",
        "credit_not_processed" => "13.6",
        _ => "13.7",
    }
}

#[derive(Serialize)]
struct EvidenceDetails {
    due_by: Option<i64>,
    enhanced_eligibility: Empty,
    has_evidence: bool,
    past_due: bool,
    submission_count: u8,
}

#[derive(Serialize)]
struct MethodDetails {
    card: MethodCard,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct MethodCard {
    brand: &'static str,
    case_type: &'static str,
    network_reason_code: &'static str,
}

/// All documented fields, null when not given.
struct Evidence<'a>(&'a Metadata);

impl Serialize for Evidence<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(EVIDENCE_FIELDS.len() + 1))?;
        for field in EVIDENCE_FIELDS {
            map.serialize_entry(field, &self.0.get(field))?;
        }
        map.serialize_entry("enhanced_evidence", &Empty {})?;
        map.end()
    }
}

/// Names that `evidence[...]` takes.
pub const EVIDENCE_FIELDS: [&str; 27] = [
    "access_activity_log",
    "billing_address",
    "cancellation_policy",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_communication",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "customer_signature",
    "duplicate_charge_documentation",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "receipt",
    "refund_policy",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "service_documentation",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_documentation",
    "shipping_tracking_number",
    "uncategorized_file",
    "uncategorized_text",
];
