//! receipt.

use super::{seconds, seconds_or_null};
use crate::receipt::Receipt;
use serde_json::{Value, json};

/// `receipt`: what a payer was told about one capture.
pub fn receipt(receipt: &Receipt) -> Value {
    json!({
        "id": receipt.id,
        "object": "receipt",
        "amount": receipt.amount,
        "attempts": receipt.attempts,
        "balance_transaction": receipt.balance_transaction_id,
        "charge": receipt.charge_id,
        "created": seconds(receipt.created_at),
        "currency": receipt.currency,
        "email": receipt.email,
        "locale": receipt.locale,
        "number": receipt.number,
        "payee": receipt.details.payee,
        "payment_intent": receipt.payment_id,
        "return_policy": receipt.details.return_policy,
        "sent_at": seconds_or_null(receipt.sent_at),
        "status": receipt.status,
        "url": receipt.details.url,
    })
}
