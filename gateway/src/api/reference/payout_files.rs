//! `/v1/payout_files` described.

use super::operation::Operation;
use super::schema::*;
use serde_json::json;

pub(in crate::api) fn create() -> Operation {
    Operation::new("Make a payout file", "payout_file")
        .about(
            "Takes every pending payout of a currency, of all merchants that may be paid, into one file for the bank; they are `in_transit` from \
             then on, and in no other file ever. For keys of the platform. Not a call of Stripe's.",
        )
        .takes(
            Fields::new()
                .required("currency", currency_asked(), "Of the payouts.")
                .field("execution_date", text(), "The day on which the bank is asked to execute it, as 2026-11-24; today when not given."),
        )
        .example(json!({ "currency": "eur" }))
}

pub(in crate::api) fn index() -> Operation {
    Operation::list("List payout files", "payout_file").about("Not a call of Stripe's.")
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve a payout file", "payout_file").about("Not a call of Stripe's.")
}

pub(in crate::api) fn contents() -> Operation {
    Operation::new("Fetch a payout file", "payout_file")
        .about(
            "The answer is the file itself, pain.001.001.09, the same whenever it is fetched. It holds account numbers: each fetch is in the \
             audit log.",
        )
        .files(&["application/xml"])
}

pub(in crate::api) fn payout_file() -> Object {
    Object::new(
        "payout_file",
        "Payouts that a bank is told of together.",
        Fields::new()
            .field("id", id("pof"), "")
            .field("amount", minor_units(), "The sum of its payouts.")
            .field("created", moment(), "")
            .field("created_by", text(), "The key.")
            .field("currency", currency(), "")
            .field("execution_date", text(), "")
            .field("format", always("pain.001.001.09"), "")
            .field("livemode", boolean(), "")
            .field("payouts", integer_from(1, 1000), "How many.")
            .field("sha256", text(), "Of its content.")
            .field("url", text(), "Where its content is."),
    )
}
