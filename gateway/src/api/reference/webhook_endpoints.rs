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

pub(in crate::api) fn roll_secret() -> Operation {
    Operation::new("Roll a webhook endpoint's secret", "webhook_endpoint")
        .about(
            "The new secret is in this answer alone. Until the old one expires, deliveries carry the signatures of both. Not a call of \
             Stripe's.",
        )
        .takes(Fields::new().field(
            "expires_in",
            integer_from(0, 604_800),
            "Seconds for which the old secret signs on; a day when not given.",
        ))
}

pub(in crate::api) fn deliveries() -> Operation {
    Operation::list_of("List an endpoint's deliveries", object("webhook_delivery"))
        .about("What was told there, with every attempt. Not a call of Stripe's.")
        .takes(Fields::new().field("status", choice(&["pending", "delivered", "failed"]), "Only these."))
}

pub(in crate::api) fn webhook_delivery() -> Object {
    let attempt = Fields::new()
        .field("attempt", integer(), "Counted from one.")
        .field("created", moment(), "")
        .field("duration_ms", integer(), "")
        .field(
            "error",
            text().or_null(),
            "Why it does not count: the answer's beginning, or what went wrong.",
        )
        .field(
            "status",
            integer().or_null(),
            "HTTP status; null when there was no answer.",
        );
    Object::new(
        "webhook_delivery",
        "An event on its way to an endpoint.",
        Fields::new()
            .field("id", id("whd"), "")
            .field("attempts", list(part(attempt)), "The newest first, twenty at most.")
            .field("delivered_at", moment().or_null(), "")
            .field("event", id("evt"), "")
            .field("event_type", text(), "")
            .field("livemode", boolean(), "")
            .field("next_attempt", moment().or_null(), "")
            .field(
                "status",
                choice(&["pending", "delivered", "failed"]),
                "`failed`: given up; it can be asked for again.",
            )
            .field("webhook_endpoint", id("we"), ""),
    )
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
