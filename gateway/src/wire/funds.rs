//! payout, bank_account.

use super::{seconds, seconds_or_null};
use crate::funds::rows::{BankAccount, Payout, PayoutFile};
use crate::funds::state::Status;
use serde_json::{Value, json};

/// `payout`. Stripe knows no `returned`: such a payout is `failed`, and `bank_status` says what it was.
pub fn payout(payout: &Payout) -> Value {
    let status = match payout.status {
        Status::Returned => Status::Failed,
        other => other,
    };
    let details = &payout.details;
    json!({
        "id": payout.id,
        "object": "payout",
        "amount": payout.amount,
        "application_fee": null,
        "application_fee_amount": null,
        "arrival_date": seconds(payout.arrival_at),
        "automatic": payout.automatic,
        "balance_transaction": payout.balance_transaction_id,
        "bank_reference": payout.bank_reference,
        "bank_status": payout.status.as_str(),
        "created": seconds(payout.created_at),
        "currency": payout.currency,
        "description": details.description,
        "destination": payout.destination_id,
        "ended_at": seconds_or_null(payout.ended_at),
        "failure_balance_transaction": payout.failure_balance_transaction_id,
        "failure_code": payout.failure_code,
        "failure_message": payout.failure_message,
        "livemode": false,
        "metadata": details.metadata,
        "method": "standard",
        "original_payout": null,
        "payout_method": null,
        "reconciliation_status": if payout.automatic { "completed" } else { "not_applicable" },
        "reversed_by": null,
        "sent_at": seconds_or_null(payout.sent_at),
        "source_type": "card",
        "statement_descriptor": details.statement_descriptor,
        "status": status.as_str(),
        "trace_id": null,
        "type": "bank_account",
    })
}

/// `bank_account`: where a merchant is paid, without its number.
pub fn bank_account(bank: &BankAccount, account_id: &str, is_default: bool) -> Value {
    json!({
        "id": bank.id,
        "object": "bank_account",
        "account": account_id,
        "account_holder_name": bank.details.account_holder_name,
        "account_holder_type": bank.details.account_holder_type,
        "account_type": null,
        "available_payout_methods": ["standard"],
        "bank_name": bank.bank_name,
        "country": bank.country,
        "currency": bank.currency,
        "customer": null,
        "default_for_currency": is_default,
        "fingerprint": bank.fingerprint,
        "future_requirements": null,
        "last4": bank.last4,
        "metadata": bank.details.metadata,
        "requirements": null,
        "routing_number": bank.routing_number,
        "status": "new",
    })
}

/// `payout_file`: none of Stripe's.
pub fn payout_file(file: &PayoutFile) -> Value {
    json!({
        "id": file.id,
        "object": "payout_file",
        "amount": file.amount,
        "created": seconds(file.created_at),
        "created_by": file.created_by,
        "currency": file.currency,
        "execution_date": file.execution_date.to_string(),
        "format": "pain.001.001.09",
        "livemode": false,
        "payouts": file.payouts,
        "sha256": file.digest,
        "url": format!("/v1/payout_files/{}/contents", file.id),
    })
}
