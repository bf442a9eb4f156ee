//! `/v1/customers` described.

use super::operation::Operation;
use super::schema::*;
use serde_json::json;

pub(in crate::api) fn create() -> Operation {
    Operation::new("Create a customer", "customer")
        .takes(details())
        .example(json!({ "name": "Ada Lovelace", "email": "ada@example.com" }))
}

pub(in crate::api) fn index() -> Operation {
    let filters = Fields::new().field("email", text(), "With exactly this address.");
    Operation::list("List customers", "customer").takes(filters)
}

pub(in crate::api) fn search() -> Operation {
    Operation::search("Search customers", "customer", "email:'ada@example.com'")
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::giving(
        "Retrieve a customer",
        either([object("customer"), object("deleted_customer")]),
    )
    .about("One that was deleted is told as deleted.")
}

pub(in crate::api) fn update() -> Operation {
    Operation::new("Update a customer", "customer").takes(details())
}

pub(in crate::api) fn delete() -> Operation {
    Operation::new("Delete a customer", "deleted_customer")
        .about("What was kept about the person is removed; payments stay.")
}

pub(in crate::api) fn customer() -> Object {
    let invoices = Fields::new()
        .field("custom_fields", nothing(), "")
        .field("default_payment_method", text().or_null(), "")
        .field("footer", nothing(), "")
        .field("rendering_options", nothing(), "");
    Object::new(
        "customer",
        "A person or company that pays.",
        Fields::new()
            .field("id", id("cus"), "")
            .field("address", open_object().or_null(), "As given.")
            .field("balance", integer(), "")
            .field("created", moment(), "")
            .field("currency", nothing(), "")
            .field("default_source", nothing(), "")
            .field("delinquent", boolean(), "")
            .field("description", text().or_null(), "")
            .field("discount", nothing(), "")
            .field("email", text().or_null(), "")
            .field("invoice_prefix", nothing(), "")
            .field("invoice_settings", part(invoices), "")
            .field("livemode", boolean(), "")
            .field("metadata", metadata_kept(), "")
            .field("name", text().or_null(), "")
            .field("next_invoice_sequence", integer(), "")
            .field("phone", text().or_null(), "")
            .field("preferred_locales", list(text()), "")
            .field("shipping", open_object().or_null(), "As given.")
            .field("tax_exempt", choice(&["none", "exempt", "reverse"]), "")
            .field("test_clock", nothing(), ""),
    )
}

pub(in crate::api) fn deleted_customer() -> Object {
    let fields = Fields::new()
        .field("id", id("cus"), "")
        .field("deleted", always(true), "");
    Object::under("deleted_customer", "customer", "A customer that was deleted.", fields)
}

fn details() -> Fields {
    Fields::new()
        .field("email", text().example("ada@example.com"), "")
        .field("name", text().example("Ada Lovelace"), "")
        .field("phone", text(), "")
        .field("description", text(), "For your own eyes.")
        .field("address", free_texts(json!({ "city": "London", "country": "GB" })), "")
        .field(
            "shipping",
            free_texts(json!({ "name": "Ada", "address": { "city": "London" } })),
            "Where goods go.",
        )
        .field("metadata", metadata(), "Own keys and values.")
        .field(
            "invoice_settings",
            group(Fields::new().field(
                "default_payment_method",
                id_asked("pm"),
                "What the customer pays with where a payment names nothing.",
            )),
            "",
        )
        .ignored(&[
            "tax",
            "tax_exempt",
            "preferred_locales",
            "invoice_prefix",
            "payment_method",
            "source",
        ])
}
