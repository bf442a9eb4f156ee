//! `/v1/webhook_endpoints` described.

use super::operation::Operation;
use super::schema::*;
use serde_json::json;

pub(in crate::api) fn create() -> Operation {
    Operation::new("Create a webhook endpoint", "webhook_endpoint")
        .about("The secret that deliveries are signed with is in this answer alone: keep it.")
        .takes(
            Fields::new()
                .required(
                    "url",
                    text().example("https://example.com/webhooks"),
                    "https, and never an address inside of our network.",
                )
                .required("enabled_events", events(), "Names of events, or `*`.")
                .field("api_version", text(), "Kept and told.")
                .field(
                    "connect",
                    boolean(),
                    "Only false: an endpoint hears of its own account.",
                )
                .field("description", text(), "For your own eyes.")
                .field("metadata", metadata(), "Own keys and values."),
        )
        .example(json!({ "url": "https://example.com/webhooks", "enabled_events": ["*"] }))
}

pub(in crate::api) fn index() -> Operation {
    Operation::list_of("List webhook endpoints", object("webhook_endpoint"))
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve a webhook endpoint", "webhook_endpoint")
}

pub(in crate::api) fn update() -> Operation {
    Operation::new("Update a webhook endpoint", "webhook_endpoint").takes(
        Fields::new()
            .field("url", text(), "Where to.")
            .field("enabled_events", events(), "Names of events, or `*`.")
            .field("disabled", boolean(), "Nothing is delivered while it is.")
            .field("description", text(), "For your own eyes.")
            .field("metadata", metadata(), "Own keys and values."),
    )
}

pub(in crate::api) fn delete() -> Operation {
    Operation::new("Delete a webhook endpoint", "deleted_webhook_endpoint")
}

pub(in crate::api) fn webhook_endpoint() -> Object {
    Object::new(
        "webhook_endpoint",
        "Where events are told.",
        Fields::new()
            .field("id", id("we"), "")
            .field("api_version", text().or_null(), "")
            .field("application", nothing(), "")
            .field("created", moment(), "")
            .field("description", text().or_null(), "")
            .field("enabled_events", list(text()), "")
            .field("livemode", boolean(), "")
            .field("metadata", metadata_kept(), "")
            .seldom(
                "secret",
                text_like("^whsec_[0-9a-f]{64}$", "whsec_"),
                "Only in the answer that makes it.",
            )
            .field("status", choice(&["enabled", "disabled"]), "")
            .field("url", text(), ""),
    )
}

pub(in crate::api) fn deleted_webhook_endpoint() -> Object {
    let fields = Fields::new()
        .field("id", id("we"), "")
        .field("deleted", always(true), "");
    Object::under(
        "deleted_webhook_endpoint",
        "webhook_endpoint",
        "An endpoint that was deleted.",
        fields,
    )
}

fn events() -> Schema {
    list(text_like(
        r"^(\*|[a-z0-9_]+(\.[a-z0-9_]+)+)$",
        "payment_intent.succeeded",
    ))
}
