//! case: ours, in Stripe's conventions.

use super::{seconds, seconds_or_null};
use crate::case::rows::{Case, Decision, Entry, Offer};
use crate::case::store::Whole;
use crate::case::table::Timer;
use crate::case::words::Status;
use serde_json::{Value, json};

/// `case`, with its timeline and what is due.
pub fn case(whole: &Whole) -> Value {
    let Whole {
        case,
        entries,
        deadlines,
    } = whole;
    let details = &case.details;
    let ends = deadlines.iter().find(|deadline| deadline.kind == "appeal_window");
    let of_kind = |kind: &str| {
        entries
            .iter()
            .filter(|entry| entry.kind == kind)
            .map(entry_shown)
            .collect::<Vec<_>>()
    };
    json!({
        "id": case.id,
        "object": "case",
        "amount": case.amount,
        "appeal": details.appeal.as_ref().map(|appeal| json!({
            "by": appeal.by,
            "created": seconds(appeal.at),
            "decision": details.appeal_decision.as_ref().map(decision),
            "reason": appeal.reason,
        })),
        "breaches": details.breaches.iter().map(|breach| json!({
            "deadline": breach.deadline, "due_at": seconds(breach.due_at), "told_at": seconds(breach.told_at),
        })).collect::<Vec<_>>(),
        "channel": case.channel,
        "charge": case.charge_id,
        "closed_at": seconds_or_null(case.closed_at),
        "consumer": details.consumer,
        "created": seconds(case.created_at),
        "currency": case.currency,
        "customer": case.customer_id,
        "deadlines": deadlines.iter().filter(|deadline| Timer::parse(&deadline.kind).is_some()).map(|deadline| json!({
            "due_at": seconds(deadline.due_at), "kind": deadline.kind,
        })).collect::<Vec<_>>(),
        "decision": details.decision.as_ref().map(decision),
        "dispute": details.dispute_id,
        "duplicate_of": case.duplicate_of,
        "escalated": details.supervised,
        "evidence": of_kind("evidence"),
        "external_ref": case.external_ref,
        "flags": details.flags.iter().map(|flag| json!({ "basis": flag.basis, "kind": flag.kind })).collect::<Vec<_>>(),
        "frozen": case.frozen,
        "hold": hold(case),
        "item": details.item,
        "livemode": false,
        "metadata": details.metadata,
        "not_accepted_reason": details.not_accepted,
        "notice": notice(case, ends.map(|deadline| deadline.due_at)),
        "offers": details.offers.iter().map(offer).collect::<Vec<_>>(),
        "outcome": case.outcome,
        "owed": { "compensation": case.compensation_due, "recourse": case.recourse_due, "refund": case.refund_due },
        "owner": case.owner,
        "payment_intent": case.payment_id,
        "rating": details.rating.as_ref().map(|rating| json!({
            "comment": rating.comment, "created": seconds(rating.at), "score": rating.score,
        })),
        "reason": case.reason,
        "refund": case.refund_id,
        "refund_status": case.refund_progress,
        "rules": {
            "appeal_days": details.rules.appeal_days,
            "return_policy_version": details.return_policy_version,
            "terms": details.rules_id,
        },
        "seal": case.seal,
        "status": case.status,
        "timeline": entries.iter().map(entry_shown).collect::<Vec<_>>(),
        "type": case.r#type,
        "verification": details.verification.as_ref().map(|verification| json!({
            "by": verification.by,
            "created": seconds(verification.at),
            "facts": verification.facts,
            "finding": verification.finding,
        })),
        "verify_due": seconds_or_null(case.verify_due),
    })
}

fn hold(case: &Case) -> Value {
    let split = case.split();
    json!({
        "amount": split.total(),
        "from_available": split.available,
        "from_pending": split.pending,
        "owed_by_merchant": split.receivable,
        "status": match (split.total(), case.status) {
            (0, Status::LinkedSuspended) => "with_dispute",
            (0, _) => "none",
            _ => "held",
        },
    })
}

fn decision(decision: &Decision) -> Value {
    json!({
        "approver": decision.approver,
        "basis": decision.basis,
        "borne_by": decision.borne_by,
        "compensation": decision.compensation,
        "created": seconds(decision.at),
        "evidence": decision.evidence,
        "goods_received": decision.goods_received,
        "officer": decision.officer,
        "reasons": decision.reasons,
        "refund": decision.refund,
        "remedy": decision.remedy,
        "shipment": decision.shipment,
    })
}

fn offer(offer: &Offer) -> Value {
    json!({
        "id": offer.id,
        "accepted": offer.accepted,
        "amount": offer.amount,
        "by": offer.by,
        "created": seconds(offer.at),
        "note": offer.note,
        "remedy": offer.remedy,
    })
}

fn entry_shown(entry: &Entry) -> Value {
    json!({
        "id": entry.id,
        "actor": entry.actor,
        "created": seconds(entry.created_at),
        "data": if entry.body.is_null() { json!({}) } else { entry.body.clone() },
        "journals": entry.journals,
        "kind": entry.kind,
        "party": entry.party,
        "status": entry.status,
        "told": entry.told,
    })
}

/// What both sides are told of the outcome: facts, rules, measures, amounts, and what can be done about it.
fn notice(case: &Case, appeal_until: Option<jiff::Timestamp>) -> Value {
    let Some(outcome) = case.outcome else {
        return Value::Null;
    };
    let details = &case.details;
    let decided = case.in_force();
    let appealable = !case.appealed && matches!(case.status, Status::Closed | Status::NotAccepted);
    json!({
        "appeal": if appealable {
            json!({ "how": format!("POST /v1/cases/{}/appeal", case.id), "until": seconds_or_null(appeal_until) })
        } else {
            Value::Null
        },
        "compensation": decided.map_or(0, |decision| decision.compensation),
        "currency": case.currency,
        "facts": details.verification.as_ref().map(|verification| &verification.facts),
        "measure": decided.map(|decision| decision.remedy),
        "outcome": outcome,
        "outside_routes": ["consumer association", "mediation", "market regulator (12315)", "arbitration", "court"],
        "reasons": decided.map(|decision| &decision.reasons).or(details.not_accepted.as_ref()),
        "refund": decided.map_or(0, |decision| decision.refund),
        "rules": { "return_policy_version": details.return_policy_version, "terms": details.rules_id },
    })
}
