//! radar.value_list, radar.value_list_item, radar.early_fraud_warning in Stripe's shape; radar.rule, radar.block_appeal in ours.

use super::{seconds, seconds_or_null};
use crate::dispute::stage::{self, Event, Stage};
use crate::payment::rows::Charge;
use crate::risk::rows::{BlockAppeal, EarlyFraudWarning, RiskRule, Signal, ValueList};
use jiff::Timestamp;
use serde_json::{Value, json};

/// `radar.value_list` with its newest items, rendered.
pub fn value_list(list: &ValueList, items: Vec<Value>, has_more: bool) -> Value {
    json!({
        "id": list.id,
        "object": "radar.value_list",
        "alias": list.alias,
        "created": seconds(list.created_at),
        "created_by": list.details.created_by,
        "item_type": list.item_type,
        "list_items": {
            "object": "list",
            "data": items,
            "has_more": has_more,
            "url": format!("/v1/radar/value_list_items?value_list={}", list.id),
        },
        "livemode": false,
        "metadata": list.details.metadata,
        "name": list.name,
    })
}

/// `radar.value_list_item`; `expires_at` is ours.
pub fn value_list_item(
    id: &str,
    list_id: &str,
    value: &str,
    created: Timestamp,
    expires_at: Option<Timestamp>,
) -> Value {
    json!({
        "id": id,
        "object": "radar.value_list_item",
        "created": seconds(created),
        "created_by": null,
        "expires_at": seconds_or_null(expires_at),
        "livemode": false,
        "value": value,
        "value_list": list_id,
    })
}

/// `radar.rule`: a rule of this merchant, or a shipped one.
pub fn rule(rule: &RiskRule, shipped: bool) -> Value {
    json!({
        "id": rule.id,
        "object": "radar.rule",
        "action": rule.action,
        "backtest": rule.backtest,
        "beats_allow": rule.beats_allow,
        "code": rule.code,
        "condition": rule.condition,
        "created": seconds(rule.created_at),
        "livemode": false,
        "message": rule.message,
        "name": rule.name,
        "shipped": shipped,
        "state": rule.state,
        "version": rule.version,
        "weight": rule.weight,
    })
}

/// `radar.early_fraud_warning`: actionable while a refund could still spare the dispute and the merchant has not decided. `decide_by`,
/// `outcome` and `stage` are ours.
pub fn early_fraud_warning(warning: &EarlyFraudWarning, charge: Option<&Charge>, dismissed: bool) -> Value {
    let event = match charge {
        Some(charge) if charge.disputed => Some(Event::Overtaken),
        Some(charge) if charge.amount_refunded >= charge.amount_captured => Some(Event::Refunded),
        None => Some(Event::Dismissed),
        Some(_) => dismissed.then_some(Event::Dismissed),
    };
    let stage = match event {
        Some(event) => stage::next(Some(Stage::Alert), event).unwrap_or(Stage::AlertClosed),
        None => Stage::Alert,
    };
    json!({
        "id": warning.id,
        "object": "radar.early_fraud_warning",
        "actionable": event.is_none(),
        "charge": warning.charge_id,
        "created": seconds(warning.created_at),
        "decide_by": seconds(warning.created_at + crate::risk::warnings::DECIDE_WITHIN),
        "fraud_type": warning.fraud_type,
        "livemode": false,
        "outcome": event.map(Event::as_str),
        "payment_intent": warning.payment_id,
        "stage": stage.as_str(),
    })
}

/// `radar.block_appeal`.
pub fn block_appeal(appeal: &BlockAppeal) -> Value {
    json!({
        "id": appeal.id,
        "object": "radar.block_appeal",
        "charge": appeal.charge_id,
        "created": seconds(appeal.created_at),
        "decided_at": seconds_or_null(appeal.decided_at),
        "due_at": seconds(appeal.due_at),
        "livemode": false,
        "overdue": appeal.overdue,
        "payment_intent": appeal.payment_id,
        "reason": appeal.reason,
        "requested_by": appeal.requested_by,
        "statement": appeal.statement,
        "status": appeal.status,
    })
}

/// `radar.signal`.
pub fn signal(signal: &Signal) -> Value {
    json!({
        "id": signal.id,
        "object": "radar.signal",
        "created": seconds(signal.created_at),
        "day": signal.day,
        "evidence": signal.evidence,
        "kind": signal.kind,
        "livemode": false,
        "note": signal.note,
        "status": signal.status,
        "subject": signal.subject,
    })
}
