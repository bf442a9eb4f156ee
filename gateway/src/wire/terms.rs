//! terms, and what a payment discloses of them.

use super::seconds;
use crate::account::terms::Terms;
use crate::payment::rows::Payment;
use serde_json::{Value, json};

/// `terms`: a version of a fee schedule or of terms of service.
pub fn terms(terms: &Terms) -> Value {
    let content = &terms.content;
    json!({
        "id": terms.id,
        "object": "terms",
        "account": terms.account_id,
        "case_rules": content.case_rules,
        "created": seconds(terms.created_at),
        "digest": content.digest,
        "effective_at": seconds(terms.effective_at),
        "kind": terms.kind.as_str(),
        "number": terms.number,
        "override_reason": terms.override_reason,
        "percent": content.percent.map(|p| p.normalize().to_string()),
        "rates": content.rates.iter().map(|(currency, rate)| {
            (currency.clone(), json!({"percent": rate.percent.normalize().to_string(), "fixed": rate.fixed}))
        }).collect::<serde_json::Map<_, _>>(),
        "status": terms.status,
        "url": content.url,
    })
}

/// What the payer is told before the payment is confirmed: who is paid, how much, at which fee, with which right of return.
pub(super) fn confirmation(payment: &Payment) -> Value {
    let Some(told) = &payment.details.disclosure else {
        return Value::Null;
    };
    json!({
        "payee": told.payee,
        "amount": payment.amount,
        "currency": payment.currency,
        "fee": {
            "amount": told.rate.fee(payment.amount),
            "fixed": told.rate.fixed,
            "paid_by": "payee",
            "percent": told.rate.percent.normalize().to_string(),
            "schedule": told.fee_schedule,
        },
        "return_policy": told.return_policy,
        "terms_of_service": told.terms,
    })
}
