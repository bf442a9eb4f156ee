//! `/v1/receipts` described.

use super::operation::Operation;
use super::schema::*;

pub(in crate::api) fn index() -> Operation {
    Operation::list("List receipts", "receipt").takes(
        Fields::new().field("charge", id_asked("ch"), "Of this attempt.").field(
            "status",
            choice(&["queued", "sent", "failed"]),
            "Only those that stand here.",
        ),
    )
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve a receipt", "receipt")
}

pub(in crate::api) fn receipt() -> Object {
    Object::new(
        "receipt",
        "What a payer was told about one capture.",
        Fields::new()
            .field("id", id("rcpt"), "")
            .field("amount", amount(), "What was captured.")
            .field(
                "attempts",
                integer_from(0, 32_767),
                "How often it was handed to the mail server.",
            )
            .field(
                "balance_transaction",
                expandable("txn", "balance_transaction"),
                "The capture.",
            )
            .field("charge", expandable("ch", "charge"), "")
            .field("created", moment(), "")
            .field("currency", currency(), "")
            .field("email", text(), "")
            .field("locale", choice(&["en", "zh-CN"]), "")
            .field("number", text(), "For people.")
            .field("payee", text(), "Legal name of who was paid.")
            .field("payment_intent", expandable("pi", "payment_intent"), "")
            .field("return_policy", part(super::accounts::policy_told()).or_null(), "")
            .field("sent_at", moment().or_null(), "")
            .field("status", choice(&["queued", "sent", "failed"]), "")
            .field("url", text().or_null(), "Where the payer sees it."),
    )
}
