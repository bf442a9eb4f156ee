//! `/v1/refunds` described.

use super::operation::Operation;
use super::schema::*;

pub(in crate::api) fn create() -> Operation {
    Operation::new("Refund a payment", "refund")
        .about("Gives money back, whole or in parts, never more than was taken less what went back already or is disputed.")
        .takes(
            Fields::new()
                .field("payment_intent", id_asked("pi"), "The payment; this or charge.")
                .field("charge", id_asked("ch"), "The attempt that took the money; this or payment_intent.")
                .field("amount", amount(), "Minor units; all that is left when not given.")
                .field("reason", choice(&REASONS), "Why; kept and told.")
                .field(
                    "expected_available",
                    minor_units(),
                    "Ours: what you believe can be refunded; refused when it is not exactly that.",
                )
                .field("currency", currency_asked(), "When given, it must be the payment's.")
                .field("metadata", metadata(), "Own keys and values.")
                .field(
                    "refund_application_fee",
                    boolean(),
                    "The application fee goes back to the merchant, as much of it as of the charge; by a key of the platform.",
                )
                .ignored(&["reverse_transfer", "instructions_email"]),
        )
        .example(serde_json::json!({ "payment_intent": "pi_01h455vb4pex5vsknk084sn02q", "amount": 500 }))
}

pub(in crate::api) fn index() -> Operation {
    Operation::list("List refunds", "refund").takes(
        Fields::new()
            .field("payment_intent", id_asked("pi"), "Of this payment.")
            .field("charge", id_asked("ch"), "Of this attempt."),
    )
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve a refund", "refund")
}

pub(in crate::api) fn update() -> Operation {
    Operation::new("Update a refund", "refund").takes(Fields::new().field(
        "metadata",
        metadata(),
        "Own keys and values.",
    ))
}

pub(in crate::api) fn cancel() -> Operation {
    Operation::new("Cancel a refund", "refund").about(
        "Takes back a refund that is `pending`, where its acquirer can; its money is the merchant's again. Refused for any other.",
    )
}

pub(in crate::api) fn refund() -> Object {
    let card = Fields::new()
        .field("reference", text().or_null(), "What the buyer's bank finds it by.")
        .field("reference_status", choice(&["available", "pending", "unavailable"]), "")
        .field("reference_type", text(), "")
        .field("type", text(), "");
    Object::new(
        "refund",
        "Money given back on a charge.",
        Fields::new()
            .field("id", id("re"), "")
            .field("amount", amount(), "")
            .field(
                "balance_transaction",
                expandable("txn", "balance_transaction").or_null(),
                "What it did to the balance.",
            )
            .field("charge", expandable("ch", "charge"), "")
            .field("created", moment(), "")
            .field("currency", currency(), "")
            .field("description", nothing(), "")
            .field(
                "destination_details",
                part(Fields::new().field("card", part(card), "").field("type", text(), "")),
                "",
            )
            .field(
                "failure_balance_transaction",
                expandable("txn", "balance_transaction").or_null(),
                "What came back when it failed.",
            )
            .field("failure_reason", text().or_null(), "")
            .field("instructions_email", nothing(), "")
            .field("metadata", metadata_kept(), "")
            .field("next_action", nothing(), "")
            .field("payment_intent", expandable("pi", "payment_intent"), "")
            .field("pending_reason", text().or_null(), "")
            .field("presentment_details", nothing(), "")
            .field("reason", choice(&REASONS).or_null(), "")
            .field("receipt_number", nothing(), "")
            .field("source_transfer_reversal", nothing(), "")
            .field("status", choice(&["pending", "succeeded", "failed", "canceled"]), "")
            .field("transfer_reversal", nothing(), ""),
    )
}

const REASONS: [&str; 3] = ["duplicate", "fraudulent", "requested_by_customer"];
