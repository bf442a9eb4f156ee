//! `/v1/payment_methods` described, and a customer's under `/v1/customers/{id}/payment_methods`.

use super::operation::Operation;
use super::schema::*;
use serde_json::json;

pub(in crate::api) fn create() -> Operation {
    Operation::new("Create a payment method", "payment_method")
        .about("The number goes to the vault and is never told again; shown are the first six and last four digits' owner, brand and expiry.")
        .takes(typed())
        .example(json!({ "type": "card", "card": { "number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123" } }))
        .may_decline()
}

pub(in crate::api) fn index() -> Operation {
    Operation::list_of("List payment methods", object("payment_method"))
        .takes(Fields::new().field("customer", id_asked("cus"), "Of this customer."))
        .takes(of_type())
}

pub(in crate::api) fn index_of_customer() -> Operation {
    Operation::list_of("List a customer's payment methods", object("payment_method")).takes(of_type())
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve a payment method", "payment_method")
}

pub(in crate::api) fn retrieve_of_customer() -> Operation {
    Operation::new("Retrieve a customer's payment method", "payment_method")
}

pub(in crate::api) fn update() -> Operation {
    let card = Fields::new()
        .field("exp_month", integer_from(1, 12), "")
        .field("exp_year", integer(), "Four digits.")
        .ignored(&["networks"]);
    Operation::new("Update a payment method", "payment_method")
        .takes(
            Fields::new()
                .field(
                    "billing_details",
                    free_texts(json!({ "name": "Ada" })),
                    "Laid over what there is, field by field.",
                )
                .field("metadata", metadata(), "Own keys and values.")
                .field("card", group(card), "The number itself cannot be changed.")
                .ignored(&["allow_redisplay"]),
        )
        .may_decline()
}

pub(in crate::api) fn attach() -> Operation {
    Operation::new("Attach a payment method to a customer", "payment_method")
        .takes(Fields::new().required("customer", id_asked("cus"), "Whose it shall be."))
        .may_decline()
}

pub(in crate::api) fn detach() -> Operation {
    Operation::new("Detach a payment method from its customer", "payment_method").about("It cannot be charged again.")
}

pub(in crate::api) fn payment_method() -> Object {
    let billing = Fields::new()
        .field("address", open_object(), "")
        .field("email", any_text(), "")
        .field("name", any_text(), "")
        .field("phone", any_text(), "")
        .field("tax_id", any_text(), "");
    let checks = Fields::new()
        .field("address_line1_check", text().or_null(), "")
        .field("address_postal_code_check", text().or_null(), "")
        .field("cvc_check", text().or_null(), "");
    let networks = Fields::new()
        .field("available", list(text()), "")
        .field("preferred", text().or_null(), "");
    let card = Fields::new()
        .field("brand", text(), "")
        .field("checks", part(checks), "")
        .field("country", text().or_null(), "")
        .field("display_brand", text(), "")
        .field("exp_month", integer_from(1, 12), "")
        .field("exp_year", integer(), "")
        .field(
            "fingerprint",
            text(),
            "The same for the same number, and tells nothing about it.",
        )
        .field("funding", text(), "")
        .field("generated_from", nothing(), "")
        .field("last4", text_like("^[0-9]{4}$", "4242"), "")
        .field("networks", part(networks), "")
        .field("regulated_status", text(), "")
        .field(
            "three_d_secure_usage",
            part(Fields::new().field("supported", boolean(), "")),
            "",
        )
        .field("wallet", nothing(), "");
    Object::new(
        "payment_method",
        "Something to pay with.",
        Fields::new()
            .field("id", id("pm"), "")
            .field("allow_redisplay", choice(&["always", "limited", "unspecified"]), "")
            .field("billing_details", part(billing), "")
            .field("card", part(card), "")
            .field("created", moment(), "")
            .field(
                "customer",
                either([expandable("cus", "customer"), object("deleted_customer")]).or_null(),
                "",
            )
            .field("customer_account", nothing(), "")
            .field("livemode", boolean(), "")
            .field("metadata", metadata_kept(), "")
            .field("type", choice(&["card"]), ""),
    )
}

/// A payment method typed: `payment_method_data`, and the body of its creation.
pub(super) fn typed() -> Fields {
    let number = Fields::new()
        .required(
            "number",
            text_up_to(40).example("4242424242424242"),
            "The one place for a card number.",
        )
        .required("exp_month", integer_from(1, 12).example(12), "")
        .required("exp_year", integer_from(0, 9999).example(2034), "Four digits.")
        .field(
            "cvc",
            text_up_to(4).example("123"),
            "Looked at and dropped; never kept.",
        )
        .ignored(&["networks"]);
    let token = Fields::new().required(
        "token",
        text().example("tok_visa"),
        "A published test card, instead of a number.",
    );
    Fields::new()
        .required("type", choice(&["card"]), "")
        .required("card", either([group(number), group(token)]), "")
        .field(
            "billing_details",
            free_texts(json!({ "name": "Ada" })),
            "Whose card it is.",
        )
        .field("metadata", metadata(), "Own keys and values.")
        .ignored(&["allow_redisplay", "radar_options"])
}

fn of_type() -> Fields {
    Fields::new()
        .field("type", text(), "Only `card` finds any.")
        .ignored(&["allow_redisplay"])
}

/// As it was given, of whatever type.
fn any_text() -> Schema {
    either([text().or_null(), open_object(), list(text())])
}
