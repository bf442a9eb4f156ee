//! `/v1/radar/signals` described.

use super::operation::Operation;
use super::schema::*;

const KINDS: &[&str] = &[
    "refund_spike",
    "volume_change",
    "amount_change",
    "decline_change",
    "fake_discount",
    "list_price_never_charged",
    "price_differs_by_consumer",
];
const STATUSES: &[&str] = &["open", "acknowledged"];

pub(in crate::api) fn index() -> Operation {
    Operation::list("List signals about a merchant", "radar.signal").takes(
        Fields::new().field("kind", choice(KINDS), "Of this kind.").field(
            "status",
            choice(STATUSES),
            "In this status.",
        ),
    )
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve a signal about a merchant", "radar.signal")
}

pub(in crate::api) fn acknowledge() -> Operation {
    Operation::new("Acknowledge a signal about a merchant", "radar.signal").takes(Fields::new().required(
        "note",
        text_up_to(2000),
        "What was found.",
    ))
}

pub(in crate::api) fn signal() -> Object {
    Object::new(
        "radar.signal",
        "What a merchant's own traffic says about the merchant. Ours, not Stripe's.",
        Fields::new()
            .field("id", id("rsig"), "")
            .field("created", moment(), "")
            .field("day", text(), "At most one of a kind and subject a day (UTC).")
            .field("evidence", open_object(), "The numbers that it rests on.")
            .field("kind", choice(KINDS), "")
            .field("livemode", boolean(), "")
            .field("note", text().or_null(), "What was found.")
            .field("status", choice(STATUSES), "")
            .field("subject", text(), "A currency, or an item and a currency."),
    )
}
