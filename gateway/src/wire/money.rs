//! refund, balance, balance_transaction.

use super::seconds;
use crate::payment::application_fee::{ApplicationFee, FeeRefund};
use crate::payment::rows::{BalanceTransaction, Refund, RefundStatus};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// An amount for people, in messages: `12.30 usd`.
pub fn amount(minor: i64, currency: &str) -> String {
    let exponent = currency.parse().map_or(0, ledger::Currency::exponent);
    match 10i64.checked_pow(exponent.into()) {
        Some(unit) if unit > 1 => {
            let sign = if minor < 0 { "-" } else { "" };
            let (whole, rest) = (
                minor.unsigned_abs() / unit.unsigned_abs(),
                minor.unsigned_abs() % unit.unsigned_abs(),
            );
            format!("{sign}{whole}.{rest:0width$} {currency}", width = usize::from(exponent))
        }
        _ => format!("{minor} {currency}"),
    }
}

/// `refund`.
pub fn refund(refund: &Refund) -> Value {
    json!({
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount,
        "balance_transaction": refund.balance_transaction_id,
        "charge": refund.charge_id,
        "created": seconds(refund.created_at),
        "currency": refund.currency,
        "description": null,
        "destination_details": {"card": {"reference": refund.acquirer_id, "reference_status": if refund.acquirer_id.is_some() { "available" } else { "pending" }, "reference_type": "acquirer_reference_number", "type": "refund"}, "type": "card"},
        "failure_balance_transaction": refund.failure_balance_transaction_id,
        "failure_reason": refund.failure_reason,
        "instructions_email": null,
        "metadata": refund.details.metadata,
        "next_action": null,
        "payment_intent": refund.payment_id,
        "pending_reason": matches!(refund.status, RefundStatus::Pending | RefundStatus::Unknown).then_some("processing"),
        "presentment_details": null,
        "reason": refund.reason,
        "receipt_number": null,
        "source_transfer_reversal": null,
        "status": match refund.status {
            RefundStatus::Pending | RefundStatus::Unknown => "pending",
            RefundStatus::Succeeded => "succeeded",
            RefundStatus::Failed => "failed",
            RefundStatus::Canceled => "canceled",
        },
        "transfer_reversal": null,
    })
}

/// `balance_transaction`, as seen at this moment (pending becomes available by time).
pub fn balance_transaction(row: &BalanceTransaction, now: Timestamp) -> Value {
    let part = |amount: i64, description: &str, r#type: &str| json!({"amount": amount, "application": null, "currency": row.currency, "description": description, "type": r#type});
    let fee_details: Vec<Value> = [
        (row.application_fee, "Application fee", "application_fee"),
        (
            row.fee - row.application_fee,
            "Counterfoil processing fees",
            "stripe_fee",
        ),
    ]
    .into_iter()
    .filter(|(amount, ..)| *amount != 0)
    .map(|(amount, description, r#type)| part(amount, description, r#type))
    .collect();
    json!({
        "id": row.id,
        "object": "balance_transaction",
        "amount": row.amount,
        "available_on": seconds(row.available_on),
        "balance_type": "payments",
        "created": seconds(row.created_at),
        "currency": row.currency,
        "description": row.description,
        "exchange_rate": null,
        "fee": row.fee,
        "fee_details": fee_details,
        "net": row.net,
        "reporting_category": match row.r#type.as_str() { "payment_refund" => "refund", "adjustment" => "dispute",
            "payout_failure" | "payout_cancel" => "payout_reversal", "refund_failure" => "refund_failure",
            "application_fee_refund" => "platform_earning_refund", other => other },
        "source": row.source_id,
        "status": if row.available_on <= now { "available" } else { "pending" },
        "type": row.r#type,
    })
}

/// `application_fee`, with what was given back of it, newest first.
pub fn application_fee(fee: &ApplicationFee, account: &str, refunds: &[FeeRefund]) -> Value {
    json!({
        "id": fee.id,
        "object": "application_fee",
        "account": account,
        "amount": fee.amount,
        "amount_refunded": fee.amount_refunded,
        "application": null,
        "balance_transaction": null,
        "charge": fee.charge_id,
        "created": seconds(fee.created_at),
        "currency": fee.currency,
        "fee_source": {"charge": fee.charge_id, "payout": null, "type": "charge"},
        "livemode": false,
        "originating_transaction": null,
        "refunded": fee.amount_refunded == fee.amount,
        "refunds": {
            "object": "list",
            "data": refunds.iter().map(fee_refund).collect::<Vec<Value>>(),
            "has_more": false,
            "url": format!("/v1/application_fees/{}/refunds", fee.id),
        },
    })
}

/// `fee_refund`.
pub fn fee_refund(refund: &FeeRefund) -> Value {
    json!({
        "id": refund.id,
        "object": "fee_refund",
        "amount": refund.amount,
        "balance_transaction": refund.balance_transaction_id,
        "created": seconds(refund.created_at),
        "currency": refund.currency,
        "fee": refund.fee_id,
        "metadata": refund.metadata,
    })
}

/// What a merchant has in one currency, minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// may be paid out; negative when the merchant owes
    pub available: i128,
    /// sold, not yet available
    pub pending: i128,
    /// kept in reserve
    pub reserved: i128,
}

/// `balance`, by currency; none when an amount does not fit 64 bits.
pub fn balance(currencies: &BTreeMap<String, Standing>) -> Option<Value> {
    let side = |amount: fn(&Standing) -> i128| {
        currencies
            .iter()
            .map(|(currency, standing)| {
                let amount = i64::try_from(amount(standing)).ok()?;
                Some(json!({"amount": amount, "currency": currency, "source_types": {"card": amount}}))
            })
            .collect::<Option<Vec<Value>>>()
    };
    Some(json!({
        "object": "balance",
        "available": side(|s| s.available)?,
        "connect_reserved": side(|s| s.reserved)?,
        "instant_available": [],
        "issuing": null,
        "livemode": false,
        "pending": side(|s| s.pending)?,
        "refund_and_dispute_prefunding": null,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_with_their_currency_s_decimals() {
        for (minor, currency, text) in [
            (1230, "usd", "12.30 usd"),
            (5, "usd", "0.05 usd"),
            (-5, "usd", "-0.05 usd"),
            (500, "jpy", "500 jpy"),
            (1230, "kwd", "1.230 kwd"),
            (i64::MIN, "usd", "-92233720368547758.08 usd"),
        ] {
            assert_eq!(amount(minor, currency), text);
        }
    }

    #[test]
    fn a_balance_shows_debt_and_refuses_what_does_not_fit() {
        let standing = |available, pending| {
            BTreeMap::from([(
                "usd".to_owned(),
                Standing {
                    available,
                    pending,
                    reserved: 0,
                },
            )])
        };
        let shown = balance(&standing(-5, 7)).unwrap();
        assert_eq!(
            (&shown["available"][0]["amount"], &shown["pending"][0]["amount"]),
            (&json!(-5), &json!(7))
        );
        assert!(balance(&standing(i128::from(i64::MAX) + 1, 0)).is_none());
    }
}
