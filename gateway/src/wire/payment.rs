//! payment_intent, charge, payment_method, customer, review.

use super::{seconds, seconds_or_null};
use crate::connector::Mismatch;
use crate::payment::rows::{
    CaptureMethod, CardFacts, Charge, ChargeStatus, Payment, PaymentDetails, PaymentMethod, Review, Status,
};
use serde_json::{Map, Value, json};

/// `payment_intent`.
pub fn payment_intent(payment: &Payment) -> Value {
    let details = &payment.details;
    let id = &payment.id;
    // A person's review comes before capture even where capture is automatic; the caller sees requires_capture.
    json!({
        "id": id,
        "object": "payment_intent",
        "amount": payment.amount,
        "amount_capturable": payment.amount_capturable,
        "amount_details": {"tip": {}},
        "amount_received": payment.amount_received,
        "application": null,
        "application_fee_amount": payment.application_fee_amount,
        "automatic_payment_methods": details.automatic_payment_methods,
        "canceled_at": seconds_or_null(payment.canceled_at),
        "cancellation_reason": details.cancellation_reason,
        "capture_method": match payment.capture_method { CaptureMethod::Automatic => "automatic", CaptureMethod::Manual => "manual" },
        "client_secret": format!("{id}_secret_{}", details.client_secret),
        "confirmation": super::terms::confirmation(payment),
        "confirmation_method": details.confirmation_method.as_deref().unwrap_or("automatic"),
        "created": seconds(payment.created_at),
        "currency": payment.currency,
        "customer": payment.customer_id,
        "customer_account": null,
        "description": details.description,
        "excluded_payment_method_types": null,
        "last_payment_error": details.last_payment_error,
        "latest_charge": payment.charge_id,
        "line_items": payment.line_items,
        "livemode": false,
        "metadata": details.metadata,
        "next_action": details.next_action,
        "on_behalf_of": null,
        "payment_method": payment.payment_method_id,
        "payment_method_configuration_details": null,
        "payment_method_options": {"card": {"installments": null, "mandate_options": null, "network": null, "request_incremental_authorization": wished(details.wishes.incremental), "request_multicapture": wished(details.wishes.multicapture), "request_overcapture": wished(details.wishes.overcapture), "request_three_d_secure": details.request_three_d_secure.as_deref().unwrap_or("automatic")}},
        "payment_method_types": ["card"],
        "presentment_details": null,
        "processing": (payment.status == Status::Processing).then(|| json!({"type": "card"})),
        "receipt_email": details.receipt_email,
        "review": payment.review_id,
        "setup_future_usage": details.setup_future_usage,
        "shipping": details.shipping,
        "source": null,
        "statement_descriptor": details.statement_descriptor,
        "statement_descriptor_suffix": details.statement_descriptor_suffix,
        "status": payment.status.as_str(),
        "transfer_data": null,
        "transfer_group": details.transfer_group,
    })
}

/// What the acquirer says otherwise, and what people decided about it; ours.
fn mismatch(mismatch: &Mismatch) -> Value {
    let decision = mismatch.decision.as_ref().map(|decision| {
        json!({
            "resolution": decision.resolution,
            "reason": decision.reason,
            "override_reason": decision.override_reason,
            "by": decision.by,
            "decided_by": decision.decided_by,
            "created": seconds(decision.at),
        })
    });
    json!({"field": mismatch.field, "ours": mismatch.ours, "theirs": mismatch.theirs, "decision": decision})
}

/// A wish about an authorization, in Stripe's words.
fn wished(wish: bool) -> &'static str {
    if wish { "if_available" } else { "never" }
}

fn available(granted: bool) -> Value {
    json!({"status": if granted { "available" } else { "unavailable" }})
}

/// `charge`: an attempt, with what it inherits from its payment.
pub fn charge(charge: &Charge, payment: &Payment) -> Value {
    let succeeded = matches!(charge.status, ChargeStatus::Succeeded | ChargeStatus::Voided);
    let status = match charge.status {
        ChargeStatus::Pending | ChargeStatus::Unknown | ChargeStatus::Mismatched => "pending",
        ChargeStatus::Succeeded | ChargeStatus::Voided => "succeeded",
        ChargeStatus::Failed => "failed",
    };
    json!({
        "id": charge.id,
        "object": "charge",
        "acquirer_reference": charge.acquirer_reference,
        "amount": charge.amount,
        "amount_captured": charge.amount_captured,
        "amount_refunded": charge.amount_refunded,
        "application": null,
        "application_fee": charge.application_fee_id,
        "application_fee_amount": payment.application_fee_amount,
        "balance_transaction": charge.balance_transaction_id,
        "billing_details": {"address": null_address(), "email": null, "name": null, "phone": null, "tax_id": null},
        "calculated_statement_descriptor": statement_descriptor(&payment.details),
        "captured": charge.captured,
        "created": seconds(charge.created_at),
        "currency": charge.currency,
        "customer": charge.customer_id,
        "description": payment.details.description,
        "disputed": charge.disputed,
        "failure_balance_transaction": null,
        "failure_code": charge.failure_code,
        "failure_message": charge.failure_message,
        "fraud_details": {},
        "livemode": false,
        "metadata": payment.details.metadata,
        "mismatch": charge.mismatch.as_ref().map(mismatch),
        "on_behalf_of": null,
        "outcome": outcome(charge),
        "paid": succeeded,
        "payment_intent": charge.payment_id,
        "payment_method": charge.payment_method_id,
        "payment_method_details": {"card": card_details(charge), "type": "card"},
        "presentment_details": null,
        "radar_options": {},
        "receipt_email": payment.details.receipt_email,
        "receipt_number": charge.balance_transaction_id.as_deref().map(crate::receipt::number),
        "receipt_url": charge.receipt_url,
        "refunded": charge.amount_captured > 0 && charge.amount_refunded == charge.amount_captured,
        "review": payment.review_id,
        "routing": routing(charge),
        "shipping": payment.details.shipping,
        "source": null,
        "source_transfer": null,
        "statement_descriptor": payment.details.statement_descriptor,
        "statement_descriptor_suffix": payment.details.statement_descriptor_suffix,
        "status": status,
        "transfer_data": null,
        "transfer_group": payment.details.transfer_group,
    })
}

/// Which acquirer was asked, and why; ours.
fn routing(charge: &Charge) -> Value {
    let decision = &charge.routing;
    let attempts: Vec<Value> = decision
        .attempts
        .iter()
        .map(|tried| json!({"connector": tried.connector, "outcome": tried.outcome, "code": tried.code}))
        .collect();
    json!({
        "connector": charge.connector,
        "version": decision.version,
        "rule": decision.rule,
        "candidates": decision.candidates,
        "attempts": attempts,
        "expected_cost": decision.expected_cost,
    })
}

/// What the payer reads: the fixed part and the part that varies, as long as both fit.
fn statement_descriptor(details: &PaymentDetails) -> Option<String> {
    match (&details.statement_descriptor, &details.statement_descriptor_suffix) {
        (Some(fixed), Some(suffix)) => Some(format!("{fixed}* {suffix}").chars().take(22).collect()),
        (fixed, suffix) => fixed.clone().or_else(|| suffix.clone()),
    }
}

/// The scorer's verdict and the acquirer's, in Stripe's words; `reasons` is ours.
fn outcome(charge: &Charge) -> Value {
    let risk = &charge.risk;
    let blocked = risk.decision == "block";
    let (network_status, r#type, seller_message) = match charge.status {
        ChargeStatus::Failed if blocked => (
            "not_sent_to_network",
            "blocked",
            "We blocked this payment: it looks like fraud.",
        ),
        ChargeStatus::Failed => (
            "declined_by_network",
            "issuer_declined",
            "The bank did not approve this payment.",
        ),
        ChargeStatus::Pending | ChargeStatus::Unknown | ChargeStatus::Mismatched => return Value::Null,
        _ if risk.decision == "review" => (
            "approved_by_network",
            "manual_review",
            "Payment complete; a person must look at it before capture.",
        ),
        _ => ("approved_by_network", "authorized", "Payment complete."),
    };
    json!({
        "advice_code": null,
        "network_advice_code": null,
        "network_decline_code": null,
        "network_status": network_status,
        "reason": if blocked { json!(risk.rule.as_deref().unwrap_or("highest_risk_level")) } else { json!(charge.decline_code) },
        "reasons": risk.reasons,
        "risk_level": risk.level,
        "risk_score": risk.score,
        "rule": risk.rule,
        "seller_message": seller_message,
        "type": r#type,
    })
}

fn card_details(charge: &Charge) -> Value {
    let card = &charge.card;
    let granted = &charge.allowance;
    let held = charge.status == ChargeStatus::Succeeded && !charge.captured;
    json!({
        "amount_authorized": charge.amount,
        "authorization_code": null,
        "brand": card.brand,
        "capture_before": held.then(|| seconds(crate::payment::flow::lapses_at(charge))),
        "checks": {"address_line1_check": null, "address_postal_code_check": null,
                   "cvc_check": if charge.context.cvc_provided { json!("pass") } else { Value::Null }},
        "country": card.country,
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "extended_authorization": {"status": "disabled"},
        "fingerprint": card.fingerprint,
        "funding": card.funding,
        "incremental_authorization": available(granted.incremental),
        "installments": null,
        "last4": card.last4,
        "mandate": null,
        "multicapture": available(granted.multicapture),
        "network": card.brand,
        "network_token": {"used": false},
        "network_transaction_id": charge.acquirer_reference,
        "overcapture": {"maximum_amount_capturable": granted.amount_maximum.unwrap_or(charge.amount),
                        "status": if granted.amount_maximum.is_some() { "available" } else { "unavailable" }},
        "regulated_status": "unregulated",
        "three_d_secure": three_d_secure(charge),
        "wallet": null,
    })
}

/// The issuer's word on the payer, and ours on who bears fraud now.
fn three_d_secure(charge: &Charge) -> Value {
    let said = charge.authentication.as_ref().and_then(|a| a.three_d_secure.as_ref());
    said.map_or(Value::Null, |said| {
        json!({
            "authentication_flow": said.authentication_flow,
            "electronic_commerce_indicator": said.electronic_commerce_indicator,
            "exemption_indicator": null,
            "liability_shifted": said.shifts_liability(),
            "result": said.result,
            "result_reason": said.result_reason,
            "transaction_id": said.transaction_id,
            "version": said.version,
        })
    })
}

fn null_address() -> Value {
    json!({"city": null, "country": null, "line1": null, "line2": null, "postal_code": null, "state": null})
}

/// `payment_method`.
pub fn payment_method(method: &PaymentMethod) -> Value {
    let mut billing = Map::from_iter([
        ("address".to_owned(), null_address()),
        ("email".to_owned(), Value::Null),
        ("name".to_owned(), Value::Null),
        ("phone".to_owned(), Value::Null),
        ("tax_id".to_owned(), Value::Null),
    ]);
    if let Some(Value::Object(given)) = &method.details.billing_details {
        for (name, value) in given {
            match (billing.get_mut(name), value) {
                (Some(Value::Object(inner)), Value::Object(parts)) => inner.extend(parts.clone()),
                (Some(slot), value) => *slot = value.clone(),
                (None, _) => {}
            }
        }
    }
    json!({
        "id": method.id,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing,
        "card": method_card(&method.card),
        "created": seconds(method.created_at),
        "customer": method.customer_id,
        "customer_account": null,
        "livemode": false,
        "metadata": method.details.metadata,
        "type": "card",
    })
}

fn method_card(card: &CardFacts) -> Value {
    json!({
        "brand": card.brand,
        "checks": {"address_line1_check": null, "address_postal_code_check": null, "cvc_check": "unchecked"},
        "country": card.country,
        "display_brand": card.brand,
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "fingerprint": card.fingerprint,
        "funding": card.funding,
        "generated_from": null,
        "last4": card.last4,
        "networks": {"available": [card.brand], "preferred": null},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": true},
        "wallet": null,
    })
}

/// `customer`.
pub fn customer(customer: &crate::payment::rows::Customer) -> Value {
    let details = &customer.details;
    if customer.deleted {
        return json!({"id": customer.id, "object": "customer", "deleted": true});
    }
    json!({
        "id": customer.id,
        "object": "customer",
        "address": details.address,
        "balance": 0,
        "created": seconds(customer.created_at),
        "currency": null,
        "default_source": null,
        "delinquent": false,
        "description": details.description,
        "discount": null,
        "email": details.email,
        "invoice_prefix": null,
        "invoice_settings": {"custom_fields": null, "default_payment_method": details.default_payment_method, "footer": null, "rendering_options": null},
        "livemode": false,
        "metadata": details.metadata,
        "name": details.name,
        "next_invoice_sequence": 1,
        "phone": details.phone,
        "preferred_locales": [],
        "shipping": details.shipping,
        "tax_exempt": "none",
        "test_clock": null,
    })
}

/// `review`.
pub fn review(review: &Review, charge: Option<&Charge>) -> Value {
    json!({
        "id": review.id,
        "object": "review",
        "billing_zip": null,
        "charge": review.charge_id,
        "closed_reason": review.closed_reason,
        "created": seconds(review.created_at),
        "ip_address": charge.and_then(|c| c.context.ip),
        "ip_address_location": null,
        "livemode": false,
        "open": review.open,
        "opened_reason": "rule",
        "payment_intent": review.payment_id,
        "reason": if review.open { review.reason.clone() } else { review.closed_reason.clone().unwrap_or_default() },
        "reasons": charge.map(|c| json!(c.risk.reasons)),
        "risk_score": charge.map(|c| c.risk.score),
        "session": null,
        "shapley_values": charge.map(|c| json!(c.risk.shapley)),
    })
}
