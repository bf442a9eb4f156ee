//! `/v1/radar/block_appeals` described.

use super::operation::Operation;
use super::schema::*;
use serde_json::json;

const STATUSES: &[&str] = &["open", "lifted", "upheld"];

pub(in crate::api) fn create() -> Operation {
    Operation::new("Ask for a person's look at a block", "radar.block_appeal")
        .about("For a charge that a risk rule blocked, once. A person answers by `due_at`.")
        .takes(
            Fields::new()
                .required("charge", id_asked("ch"), "The blocked charge.")
                .required("requested_by", choice(&["consumer", "merchant"]), "Who asks.")
                .field("statement", text_up_to(2000), "In their own words."),
        )
        .example(json!({ "charge": "ch_00000000000000000000000000", "requested_by": "consumer" }))
}

pub(in crate::api) fn index() -> Operation {
    Operation::list("List block appeals", "radar.block_appeal").takes(
        Fields::new()
            .field("charge", id_asked("ch"), "About this charge.")
            .field("status", choice(STATUSES), "In this status."),
    )
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve a block appeal", "radar.block_appeal")
}

pub(in crate::api) fn lift() -> Operation {
    Operation::new("Lift a block", "radar.block_appeal")
        .about("The card is put on the merchant's allow list; the block list still beats it.")
        .takes(
            Fields::new()
                .required("reason", text_up_to(2000), "For whoever asked.")
                .field("allow_days", integer_from(1, 365), "How long; 30 when not given."),
        )
}

pub(in crate::api) fn uphold() -> Operation {
    Operation::new("Uphold a block", "radar.block_appeal").takes(Fields::new().required(
        "reason",
        text_up_to(2000),
        "For whoever asked.",
    ))
}

pub(in crate::api) fn block_appeal() -> Object {
    Object::new(
        "radar.block_appeal",
        "Somebody who was blocked asks for a person. Ours, not Stripe's.",
        Fields::new()
            .field("id", id("rba"), "")
            .field("charge", expandable("ch", "charge"), "")
            .field("created", moment(), "")
            .field("decided_at", moment().or_null(), "")
            .field("due_at", moment(), "By when a person answers.")
            .field("livemode", boolean(), "")
            .field("overdue", boolean(), "Nobody had answered by then.")
            .field("payment_intent", expandable("pi", "payment_intent"), "")
            .field("reason", text().or_null(), "Of the decision.")
            .field("requested_by", choice(&["consumer", "merchant"]), "")
            .field("statement", text(), "")
            .field("status", choice(STATUSES), ""),
    )
}
