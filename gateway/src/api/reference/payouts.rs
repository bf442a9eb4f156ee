//! `/v1/payouts` described.

use super::operation::Operation;
use super::schema::*;
use crate::api::payouts::FAILURES;
use serde_json::json;

pub(in crate::api) fn create() -> Operation {
    Operation::new("Create a payout", "payout")
        .about("The amount leaves the available balance at once; nothing else can be paid from it.")
        .takes(
            Fields::new()
                .required("amount", amount(), "Minor units; never more than is available.")
                .required("currency", currency_asked(), "Of the balance that is paid out.")
                .field(
                    "destination",
                    id_asked("ba"),
                    "The bank account; the currency's default when not given.",
                )
                .field("description", text(), "For your own eyes.")
                .field("statement_descriptor", text_up_to(22), "On the bank statement.")
                .field("method", choice(&["standard"]), "")
                .field(
                    "source_type",
                    choice(&["card", "bank_account"]),
                    "Accepted; there is one balance.",
                )
                .field("metadata", metadata(), "Own keys and values."),
        )
        .example(json!({ "amount": 2000, "currency": "usd" }))
}

pub(in crate::api) fn index() -> Operation {
    Operation::list("List payouts", "payout").takes(
        Fields::new()
            .field("status", choice(&STATUSES), "Only those that stand here.")
            .field("destination", id_asked("ba"), "To this bank account."),
    )
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve a payout", "payout")
}

pub(in crate::api) fn update() -> Operation {
    Operation::new("Update a payout", "payout").takes(Fields::new().field(
        "metadata",
        metadata(),
        "Own keys and values.",
    ))
}

pub(in crate::api) fn cancel() -> Operation {
    Operation::new("Cancel a payout", "payout").about("While it is `pending`: the amount is available again.")
}

pub(in crate::api) fn report() -> Operation {
    Operation::new("Report what a bank did", "payout")
        .about("For a key of the platform, with the merchant in `Stripe-Account`. Each outcome moves money once, however often it is told.")
        .takes(
            Fields::new()
                .required("outcome", choice(&["in_transit", "paid", "failed", "returned"]), "What became of it.")
                .field("bank_reference", text_up_to(255), "The bank's own.")
                .field("failure_code", choice(&FAILURES), "Of failed and returned payouts.")
                .field("failure_message", text_up_to(255), "In the bank's words."),
        )
        .example(json!({ "outcome": "paid" }))
}

pub(in crate::api) fn payout() -> Object {
    Object::new(
        "payout",
        "Money on its way to a merchant's bank.",
        Fields::new()
            .field("id", id("po"), "")
            .field("amount", amount(), "")
            .field("application_fee", nothing(), "")
            .field("application_fee_amount", nothing(), "")
            .field("arrival_date", moment(), "When it is expected to arrive.")
            .field("automatic", boolean(), "Made by the schedule.")
            .field("balance_transaction", expandable("txn", "balance_transaction"), "")
            .field("bank_reference", text().or_null(), "The bank's own.")
            .field(
                "bank_status",
                choice(&STATUSES),
                "Like `status`, and tells `returned` from `failed`.",
            )
            .field("created", moment(), "")
            .field("currency", currency(), "")
            .field("description", text().or_null(), "")
            .field("destination", expandable("ba", "bank_account"), "")
            .field("ended_at", moment().or_null(), "")
            .field(
                "failure_balance_transaction",
                expandable("txn", "balance_transaction").or_null(),
                "",
            )
            .field("failure_code", text().or_null(), "")
            .field("failure_message", text().or_null(), "")
            .field("livemode", boolean(), "")
            .field("metadata", metadata_kept(), "")
            .field("method", always("standard"), "")
            .field("original_payout", nothing(), "")
            .field("payout_method", nothing(), "")
            .field("reconciliation_status", choice(&["completed", "not_applicable"]), "")
            .field("reversed_by", nothing(), "")
            .field("sent_at", moment().or_null(), "When the bank was told to send it.")
            .field("source_type", always("card"), "")
            .field("statement_descriptor", text().or_null(), "")
            .field(
                "status",
                choice(&["pending", "in_transit", "paid", "failed", "canceled"]),
                "",
            )
            .field("trace_id", nothing(), "")
            .field("type", always("bank_account"), ""),
    )
}

const STATUSES: [&str; 6] = ["pending", "in_transit", "paid", "failed", "canceled", "returned"];
