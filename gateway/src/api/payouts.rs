//! `/v1/payouts`: a merchant's money on its way to its bank.
//!
//! What the bank says is told by the platform (`/report`), with the merchant named in `Stripe-Account`.

use super::error::ApiError;
use super::input::{FinanceRead, FinanceWrite, In, PlatformFinanceWrite, Reply};
use super::list;
use crate::funds::payout::{self, NewPayout};
use crate::funds::rows::Payout;
use crate::funds::state::Fact;
use crate::payment::flow::merge_metadata;
use crate::wire;
use axum::extract::Path;
use std::collections::BTreeMap;

pub(super) async fn create(mut input: In<FinanceWrite>) -> Reply {
    let mut params = input.take();
    let amount = params.amount("amount")?.ok_or_else(|| ApiError::missing("amount"))?;
    let currency = super::payment_intents::currency(&mut params)?.ok_or_else(|| ApiError::missing("currency"))?;
    let mut metadata = BTreeMap::new();
    if let Some(change) = params.metadata("metadata")? {
        merge_metadata(&mut metadata, change);
    }
    let statement_descriptor = params.text("statement_descriptor")?;
    if statement_descriptor
        .as_ref()
        .is_some_and(|text| text.chars().count() > 22)
    {
        return Err(ApiError::invalid(
            "parameter_invalid_string",
            "statement_descriptor",
            "At most 22 characters are accepted.",
        ));
    }
    let new = NewPayout {
        amount,
        currency,
        destination_id: params.text("destination")?,
        description: params.text("description")?,
        statement_descriptor,
        metadata,
    };
    params.choice("method", &["standard"])?;
    params.choice("source_type", &["card", "bank_account"])?;
    params.finish()?;
    input.run(|call| async move { payout::create(call, &new).await }).await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<FinanceRead>) -> Reply {
    input.take().finish()?;
    super::retrieve(&input.call, "payout", &id, "payout").await
}

pub(super) async fn update(Path(id): Path<String>, mut input: In<FinanceWrite>) -> Reply {
    let mut params = input.take();
    let metadata = params.metadata("metadata")?.unwrap_or_default();
    params.finish()?;
    input.run(|call| payout::update(call, &id, metadata)).await
}

pub(super) async fn cancel(Path(id): Path<String>, mut input: In<FinanceWrite>) -> Reply {
    input.take().finish()?;
    input
        .run(|call| async move { payout::report(call, &id, &Fact::Canceled, None).await })
        .await
}

/// What became of a payout at the bank.
pub(super) async fn report(Path(id): Path<String>, mut input: In<PlatformFinanceWrite>) -> Reply {
    let mut params = input.take();
    let outcome = params.choice("outcome", &["in_transit", "paid", "failed", "returned"])?;
    let reference = params.text("bank_reference")?;
    let code = params.choice("failure_code", &FAILURES)?;
    let message = params.text("failure_message")?;
    params.finish()?;
    for (name, text) in [("bank_reference", &reference), ("failure_message", &message)] {
        if text.as_ref().is_some_and(|text| text.chars().count() > 255) {
            return Err(ApiError::invalid(
                "parameter_invalid_string",
                name,
                "At most 255 characters are accepted.",
            ));
        }
    }
    let failure = || code.clone().ok_or_else(|| ApiError::missing("failure_code"));
    let fact = match outcome.ok_or_else(|| ApiError::missing("outcome"))?.as_str() {
        "in_transit" => Fact::Sent,
        "paid" => Fact::Paid,
        "failed" => Fact::Failed {
            code: failure()?,
            message,
        },
        _ => Fact::Returned {
            code: failure()?,
            message,
        },
    };
    input
        .run(|call| async move { payout::report(call, &id, &fact, reference.as_deref()).await })
        .await
}

pub(super) async fn index(mut input: In<FinanceRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    list::created(&mut params, &mut filters)?;
    let status = params.choice(
        "status",
        &["pending", "in_transit", "paid", "failed", "canceled", "returned"],
    )?;
    if let Some(status) = status {
        filters.push(list::equals("status = ", status));
    }
    if let Some(destination) = params.text("destination")? {
        filters.push(list::equals("destination_id = ", destination));
    }
    params.finish()?;
    list::answer::<Payout>(&input.call, "/v1/payouts", &page, &filters, wire::payout).await
}

/// Stripe's words for what banks say.
pub(super) const FAILURES: [&str; 12] = [
    "account_closed",
    "account_frozen",
    "bank_account_restricted",
    "bank_ownership_changed",
    "could_not_process",
    "debit_not_authorized",
    "declined",
    "incorrect_account_holder_name",
    "invalid_account_number",
    "invalid_currency",
    "no_account",
    "unsupported_card",
];
