//! `/v1/application_fees` described.

use super::operation::Operation;
use super::schema::*;

pub(in crate::api) fn index() -> Operation {
    Operation::list_of("List application fees", object("application_fee"))
        .about("A merchant's key sees its own; a platform's key that acts for no merchant sees all.")
        .takes(Fields::new().field("charge", id_asked("ch"), "Of this charge."))
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve an application fee", "application_fee")
}

pub(in crate::api) fn create_refund() -> Operation {
    Operation::new("Give back an application fee", "fee_refund")
        .about("The merchant's available balance gets it at once. Needs a key of the platform.")
        .takes(
            Fields::new()
                .field("amount", amount(), "Minor units; all that is left when not given.")
                .field("metadata", metadata(), "Own keys and values."),
        )
}

pub(in crate::api) fn index_refunds() -> Operation {
    Operation::giving("List what was given back of an application fee", refunds())
}

pub(in crate::api) fn application_fee() -> Object {
    let source = Fields::new()
        .field("charge", id("ch"), "")
        .field("payout", nothing(), "")
        .field("type", choice(&["charge"]), "");
    Object::new(
        "application_fee",
        "What a platform took of a charge, beside its fee schedule.",
        Fields::new()
            .field("id", id("fee"), "")
            .field("account", id("acct"), "Whom it was taken from.")
            .field(
                "amount",
                minor_units(),
                "At most what the charge left after its processing fee.",
            )
            .field("amount_refunded", minor_units(), "Given back.")
            .field("application", nothing(), "")
            .field("balance_transaction", nothing(), "")
            .field("charge", expandable("ch", "charge"), "")
            .field("created", moment(), "")
            .field("currency", currency(), "")
            .field("fee_source", part(source), "")
            .field("livemode", boolean(), "")
            .field("originating_transaction", nothing(), "")
            .field("refunded", boolean(), "All of it was given back.")
            .field("refunds", refunds(), "What was given back, newest first."),
    )
}

pub(in crate::api) fn fee_refund() -> Object {
    Object::new(
        "fee_refund",
        "A part of an application fee that was given back.",
        Fields::new()
            .field("id", id("fr"), "")
            .field("amount", minor_units(), "")
            .field(
                "balance_transaction",
                expandable("txn", "balance_transaction"),
                "The merchant's line about it.",
            )
            .field("created", moment(), "")
            .field("currency", currency(), "")
            .field("fee", expandable("fee", "application_fee"), "")
            .field("metadata", metadata_kept(), ""),
    )
}

fn refunds() -> Schema {
    part(
        Fields::new()
            .field("object", always("list"), "")
            .field("data", list(object("fee_refund")), "")
            .field("has_more", boolean(), "")
            .field("url", text(), ""),
    )
}
