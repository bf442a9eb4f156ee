//! Refunds and balance transactions.

use super::payment::{self, ChargeView, IntentView};
use super::{Expandable, Null, Site, name};
use crate::id::{Id, Named};
use crate::object::*;
use crate::store::Expanded;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct RefundView<'a> {
    id: Named,
    object: &'static str,
    amount: i64,
    balance_transaction: Option<Expandable<BalanceTransactionView>>,
    charge: Expandable<ChargeView<'a>>,
    created: i64,
    currency: Currency,
    description: Null,
    destination_details: Destination,
    failure_balance_transaction: Option<Named>,
    failure_reason: Option<&'a str>,
    instructions_email: Null,
    metadata: &'a Metadata,
    next_action: Null,
    payment_intent: Expandable<IntentView<'a>>,
    pending_reason: Option<&'static str>,
    presentment_details: Null,
    reason: Option<&'a str>,
    receipt_number: Null,
    source_transfer_reversal: Null,
    status: RefundStatus,
    transfer_reversal: Null,
}

pub(super) fn refund<'a>(row: &'a Refund, expanded: Option<&'a Expanded>, site: Site<'a>) -> RefundView<'a> {
    let pending = row.status == RefundStatus::Pending;
    RefundView {
        id: row.id.named(Refund::PREFIX),
        object: Refund::OBJECT,
        amount: row.amount,
        balance_transaction: row.balance_transaction.map(|id| movement(id, expanded)),
        charge: match expanded.and_then(|e| e.charge.as_ref()) {
            Some(row) => Expandable::Object(Box::new(payment::charge(row, None, site))),
            None => Expandable::Id(row.charge.named(Charge::PREFIX)),
        },
        created: row.created,
        currency: row.currency,
        description: None,
        destination_details: Destination {
            card: DestinationCard {
                reference: (!pending).then(|| format!("{:023}", row.id.scattered())),
                reference_status: if pending { "pending" } else { "available" },
                reference_type: "acquirer_reference_number",
                kind: "refund",
            },
            kind: "card",
        },
        failure_balance_transaction: row
            .failure_balance_transaction
            .map(|id| id.named(BalanceTransaction::PREFIX)),
        failure_reason: row.failure_reason.as_deref(),
        instructions_email: None,
        metadata: &row.metadata,
        next_action: None,
        payment_intent: match expanded.and_then(|e| e.intent.as_ref()) {
            Some(row) => Expandable::Object(Box::new(payment::intent(row, None, site))),
            None => Expandable::Id(row.intent.named(Intent::PREFIX)),
        },
        pending_reason: pending.then_some("processing"),
        presentment_details: None,
        reason: row.reason.as_deref(),
        receipt_number: None,
        source_transfer_reversal: None,
        status: row.status,
        transfer_reversal: None,
    }
}

#[derive(Serialize)]
pub(super) struct BalanceTransactionView {
    id: Named,
    object: &'static str,
    amount: i64,
    available_on: i64,
    balance_type: &'static str,
    created: i64,
    currency: Currency,
    description: Null,
    exchange_rate: Null,
    fee: i64,
    fee_details: Vec<FeeDetail>,
    net: i64,
    reporting_category: &'static str,
    source: Named,
    status: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
}

pub(super) fn balance_transaction(row: &BalanceTransaction) -> BalanceTransactionView {
    let (kind, reporting_category) = row.kind.names();
    let description = if kind == "charge" {
        "Stripe processing fees"
    } else {
        "Dispute fee"
    };
    let detail = FeeDetail {
        amount: row.fee,
        application: None,
        currency: row.currency,
        description,
        kind: "stripe_fee",
    };
    BalanceTransactionView {
        id: row.id.named(BalanceTransaction::PREFIX),
        object: BalanceTransaction::OBJECT,
        amount: row.amount,
        available_on: row.available_on,
        balance_type: "payments",
        created: row.created,
        currency: row.currency,
        description: None,
        exchange_rate: None,
        fee: row.fee,
        fee_details: if row.fee == 0 { Vec::new() } else { vec![detail] },
        net: row.amount - row.fee,
        reporting_category,
        source: name(row.source),
        status: if row.available_on <= row.created {
            "available"
        } else {
            "pending"
        },
        kind,
    }
}

pub(super) fn movement(id: Id, expanded: Option<&Expanded>) -> Expandable<BalanceTransactionView> {
    match expanded
        .and_then(|e| e.balance_transaction.as_ref())
        .filter(|row| row.id == id)
    {
        Some(row) => Expandable::Object(Box::new(balance_transaction(row))),
        None => Expandable::Id(id.named(BalanceTransaction::PREFIX)),
    }
}

part!(FeeDetail {
    amount: i64,
    application: Null,
    currency: Currency,
    description: &'static str,
    #[serde(rename = "type")] kind: &'static str,
});
part!(Destination { card: DestinationCard, #[serde(rename = "type")] kind: &'static str });
part!(DestinationCard {
    reference: Option<String>,
    reference_status: &'static str,
    reference_type: &'static str,
    #[serde(rename = "type")] kind: &'static str,
});
