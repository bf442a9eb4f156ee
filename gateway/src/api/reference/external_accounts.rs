//! `/v1/accounts/{id}/external_accounts` described.

use super::operation::Operation;
use super::schema::*;
use serde_json::json;

pub(in crate::api) fn create() -> Operation {
    let bank = Fields::new()
        .field("object", always("bank_account"), "")
        .required("country", text_like("^[A-Z]{2}$", "DE"), "ISO 3166.")
        .required("currency", currency_asked(), "What it takes.")
        .required(
            "account_number",
            text_up_to(64),
            "IBAN, or account number. Never shown again.",
        )
        .field("routing_number", text_up_to(64), "Of the bank; required in the US.")
        .field("account_holder_name", text(), "")
        .field("account_holder_type", choice(&["company", "individual"]), "");
    Operation::new("Add a bank account", "bank_account")
        .about("Where payouts go. The first of a currency is its default.")
        .takes(
            Fields::new()
                .required("external_account", group(bank), "The account.")
                .field(
                    "default_for_currency",
                    boolean(),
                    "Payouts of this currency go there from now on.",
                )
                .field("metadata", metadata(), "Own keys and values."),
        )
        .example(
            json!({ "external_account": { "object": "bank_account", "country": "DE", "currency": "eur",
                                               "account_number": "DE89370400440532013000" } }),
        )
}

pub(in crate::api) fn index() -> Operation {
    Operation::list_of("List bank accounts", object("bank_account")).takes(Fields::new().field(
        "object",
        always("bank_account"),
        "Only these; there are no others.",
    ))
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve a bank account", "bank_account")
}

pub(in crate::api) fn update() -> Operation {
    Operation::new("Update a bank account", "bank_account").takes(
        Fields::new()
            .field(
                "default_for_currency",
                boolean(),
                "Payouts of this currency go there from now on.",
            )
            .field("account_holder_name", text(), "")
            .field("metadata", metadata(), "Own keys and values."),
    )
}

pub(in crate::api) fn delete() -> Operation {
    Operation::new("Delete a bank account", "deleted_bank_account")
}

pub(in crate::api) fn bank_account() -> Object {
    Object::new(
        "bank_account",
        "Where a merchant is paid.",
        Fields::new()
            .field("id", id("ba"), "")
            .field("account", id("acct"), "")
            .field("account_holder_name", text().or_null(), "")
            .field("account_holder_type", text().or_null(), "")
            .field("account_type", nothing(), "")
            .field("available_payout_methods", list(text()), "")
            .field("bank_name", text().or_null(), "")
            .field("country", text(), "")
            .field("currency", currency(), "")
            .field("customer", nothing(), "")
            .field("default_for_currency", boolean(), "")
            .field("fingerprint", text(), "The same for the same number.")
            .field("future_requirements", nothing(), "")
            .field("last4", text(), "Of the number.")
            .field("metadata", metadata_kept(), "")
            .field("requirements", nothing(), "")
            .field("routing_number", text().or_null(), "")
            .field("status", text(), ""),
    )
}

pub(in crate::api) fn deleted_bank_account() -> Object {
    let fields = Fields::new()
        .field("id", id("ba"), "")
        .field("currency", currency(), "")
        .field("deleted", always(true), "");
    Object::under(
        "deleted_bank_account",
        "bank_account",
        "A bank account that was deleted.",
        fields,
    )
}
