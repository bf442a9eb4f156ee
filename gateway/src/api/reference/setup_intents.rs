//! `/v1/setup_intents` described.

use super::operation::Operation;
use super::payment_intents::{card_options, instrument, next_action, signals};
use super::schema::*;
use serde_json::json;

pub(in crate::api) fn create() -> Operation {
    Operation::new("Set up a card", "setup_intent")
        .about(
            "Proves a card and keeps it for later payments. One unit of the account's currency is authorized and \
             released at once; no money moves.",
        )
        .takes(
            Fields::new()
                .field("confirm", boolean(), "Prove it at once; false when not given.")
                .field(
                    "usage",
                    choice(&["off_session", "on_session"]),
                    "Whether it shall be charged while its owner is not there; off_session when not given.",
                )
                .field("customer", id_asked("cus"), "Whose card it becomes.")
                .field("automatic_payment_methods", open_object(), "Kept and told.")
                .field("off_session", boolean(), "Kept for the scorer.")
                .and(instrument())
                .and(described())
                .and(signals())
                .ignored(&WITHOUT_EFFECT),
        )
        .example(json!({ "payment_method": "pm_card_visa", "confirm": true }))
        .may_decline()
}

pub(in crate::api) fn index() -> Operation {
    let filters = Fields::new()
        .field("customer", id_asked("cus"), "Of this customer.")
        .field("payment_method", id_asked("pm"), "Of this card.");
    Operation::list("List setup intents", "setup_intent").takes(filters)
}

pub(in crate::api) fn retrieve() -> Operation {
    let ignored = Fields::new().ignored(&["client_secret"]);
    Operation::new("Retrieve a setup intent", "setup_intent").takes(ignored)
}

pub(in crate::api) fn update() -> Operation {
    Operation::new("Update a setup intent", "setup_intent")
        .takes(
            Fields::new()
                .field("customer", id_asked("cus"), "Whose card it becomes.")
                .and(instrument())
                .and(described())
                .ignored(&WITHOUT_EFFECT),
        )
        .may_decline()
}

pub(in crate::api) fn confirm() -> Operation {
    Operation::new("Confirm a setup intent", "setup_intent")
        .takes(
            instrument()
                .and(described())
                .and(signals())
                .field("off_session", boolean(), "Kept for the scorer.")
                .ignored(&WITHOUT_EFFECT)
                .ignored(&["client_secret"]),
        )
        .may_decline()
}

pub(in crate::api) fn cancel() -> Operation {
    let reasons = ["abandoned", "duplicate", "requested_by_customer"];
    Operation::new("Cancel a setup intent", "setup_intent").takes(Fields::new().field(
        "cancellation_reason",
        choice(&reasons),
        "Why; kept and told.",
    ))
}

pub(in crate::api) fn setup_intent() -> Object {
    let card = Fields::new()
        .field("mandate_options", nothing(), "")
        .field("network", nothing(), "")
        .field("request_three_d_secure", choice(&["automatic", "any", "challenge"]), "");
    let statuses = [
        "requires_payment_method",
        "requires_confirmation",
        "requires_action",
        "processing",
        "canceled",
        "succeeded",
    ];
    Object::new(
        "setup_intent",
        "The wish to keep a card, from its proof to the kept card.",
        Fields::new()
            .field("id", id("seti"), "")
            .field("application", nothing(), "")
            .field("attach_to_self", boolean(), "")
            .field("automatic_payment_methods", open_object().or_null(), "As given.")
            .field("cancellation_reason", text().or_null(), "")
            .field(
                "client_secret",
                text_like(
                    "^seti_[0-9a-z]+_secret_[0-9a-f]+$",
                    "seti_01h455vb4pex5vsknk084sn02q_secret_0011aabb",
                ),
                "",
            )
            .field("created", moment(), "")
            .field(
                "customer",
                either([expandable("cus", "customer"), object("deleted_customer")]).or_null(),
                "",
            )
            .field("customer_account", nothing(), "")
            .field("description", text().or_null(), "")
            .field("excluded_payment_method_types", nothing(), "")
            .field("flow_directions", nothing(), "")
            .field(
                "last_setup_error",
                open_object().or_null(),
                "The error of the last attempt.",
            )
            .field("latest_attempt", nothing(), "")
            .field("livemode", boolean(), "")
            .field("mandate", nothing(), "")
            .field("metadata", metadata_kept(), "")
            .field("next_action", next_action().or_null(), "What the payer has to do.")
            .field("on_behalf_of", nothing(), "")
            .field("payment_method", expandable("pm", "payment_method").or_null(), "")
            .field("payment_method_configuration_details", nothing(), "")
            .field(
                "payment_method_options",
                part(Fields::new().field("card", part(card), "")),
                "",
            )
            .field("payment_method_types", list(text()).example(json!(["card"])), "")
            .field("single_use_mandate", nothing(), "")
            .field("status", choice(&statuses), "")
            .field("usage", choice(&["off_session", "on_session"]), ""),
    )
}

fn described() -> Fields {
    Fields::new()
        .field("metadata", metadata(), "Own keys and values.")
        .field("description", text(), "For your own eyes.")
        .field(
            "return_url",
            text_up_to(2048).example("https://shop.example/done"),
            "Where the payer comes back to after a challenge.",
        )
        .and(card_options(Fields::new()))
}

const WITHOUT_EFFECT: [&str; 4] = ["use_stripe_sdk", "mandate", "single_use", "flow_directions"];
