//! `/v1/events` described.

use super::operation::Operation;
use super::schema::*;

pub(in crate::api) fn index() -> Operation {
    Operation::list("List events", "event").takes(
        Fields::new()
            .field(
                "type",
                text().example("payment_intent.*"),
                "Of this type; `*` stands for anything.",
            )
            .field(
                "types[]",
                list(text()),
                "Of these types, at most 20; not together with type.",
            )
            .field("delivery_success", boolean(), "Whether all deliveries have succeeded."),
    )
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve an event", "event").about("In the very bytes that webhooks deliver.")
}

pub(in crate::api) fn retry() -> Operation {
    Operation::new("Deliver an event again", "event")
        .about("With its own id and the whole schedule of retries before it.")
        .takes(Fields::new().field(
            "webhook_endpoint",
            id_asked("we"),
            "To this endpoint; without it, to all that were to have it.",
        ))
}

pub(in crate::api) fn event() -> Object {
    let data = Fields::new()
        .field("object", open_object(), "The object as it was then.")
        .seldom("previous_attributes", open_object(), "What changed, as it was before.");
    let request = Fields::new()
        .field(
            "id",
            text().or_null(),
            "The request that caused it; null when none did.",
        )
        .field("idempotency_key", text().or_null(), "");
    Object::new(
        "event",
        "Something that happened, as it is told to webhook endpoints.",
        Fields::new()
            .field("id", id("evt"), "")
            .field("api_version", text(), "")
            .field("created", moment(), "")
            .field("data", part(data), "")
            .field("livemode", boolean(), "")
            .field(
                "pending_webhooks",
                integer_from(0, 1000),
                "Deliveries that are still owed.",
            )
            .field("request", part(request), "")
            .field("type", text().example("payment_intent.succeeded"), ""),
    )
}
