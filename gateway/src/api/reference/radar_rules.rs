//! `/v1/radar/rules` described.

use super::operation::Operation;
use super::schema::*;
use serde_json::json;

const ACTIONS: &[&str] = &["score", "allow", "challenge", "review", "block"];
const STATES: &[&str] = &["active", "shadow", "disabled"];

pub(in crate::api) fn create() -> Operation {
    Operation::new("Create a risk rule", "radar.rule")
        .about("It is checked at once and watched (shadow) until it was tried on history and made active. In force everywhere within 5 seconds.")
        .takes(fields())
        .example(json!({ "name": "large_new_card", "action": "review", "condition": "card_unseen && amount > 50000" }))
}

pub(in crate::api) fn index() -> Operation {
    Operation::giving("List risk rules", part(all("radar.rule")))
        .about("The shipped ones and your own, in the order in which they are evaluated; not by pages.")
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve a risk rule", "radar.rule")
}

pub(in crate::api) fn update() -> Operation {
    Operation::new("Update a risk rule", "radar.rule")
        .about("A shipped rule becomes your own when it is changed. A condition that decides must have been tried on history.")
        .takes(fields())
}

pub(in crate::api) fn delete() -> Operation {
    Operation::new("Delete a risk rule", "deleted_radar.rule")
        .about("A shipped rule that was changed is again as shipped.")
}

pub(in crate::api) fn backtest() -> Operation {
    Operation::new("Try a risk rule on history", "radar.rule")
        .about("What it would have stopped in the last days, what of that is known to be fraud, and what it would have cost.")
        .takes(Fields::new().field("days", integer_from(1, 90), "How far back; 30 when not given."))
}

pub(in crate::api) fn versions() -> Operation {
    Operation::giving("List versions of a risk rule", part(all("radar.rule"))).about("Newest first, at most 100.")
}

pub(in crate::api) fn features() -> Operation {
    let feature = Fields::new()
        .field("id", text(), "The name in conditions.")
        .field("object", always("radar.feature"), "")
        .field("meaning", text(), "")
        .field("unit", text().or_null(), "");
    let list = Fields::new()
        .field("object", always("list"), "")
        .field("data", list(part(feature)), "")
        .field("has_more", boolean(), "")
        .field("url", text(), "");
    Operation::giving("List what rules can ask about", part(list))
}

fn all(of: &str) -> Fields {
    Fields::new()
        .field("object", always("list"), "")
        .field("data", list(object(of)), "")
        .field("has_more", boolean(), "")
        .field("url", text(), "")
}

fn fields() -> Fields {
    Fields::new()
        .field("action", choice(ACTIONS), "What it asks for; needed for a new rule.")
        .field(
            "beats_allow",
            boolean(),
            "An allow rule does not silence it: for block lists.",
        )
        .field("code", text(), "Reason code; the name when not given.")
        .field(
            "condition",
            text_up_to(2000),
            "CEL over the features; needed for a new rule.",
        )
        .field(
            "message",
            text_up_to(300),
            "The reason in words; {value}, {limit} and {listed} are filled in.",
        )
        .field("name", text(), "Needed for a new rule.")
        .field("state", choice(STATES), "shadow when not given.")
        .field(
            "weight",
            integer_from(0, 100),
            "Percent of what is left to 99 that it adds to the score.",
        )
}

pub(in crate::api) fn rule() -> Object {
    Object::new(
        "radar.rule",
        "A rule that judges payments before they are sent. Ours, not Stripe's.",
        Fields::new()
            .field("id", id("rule"), "")
            .field("action", choice(ACTIONS), "")
            .field(
                "backtest",
                open_object().or_null(),
                "What the last trial on history said, and of which condition.",
            )
            .field("beats_allow", boolean(), "")
            .field("code", text(), "")
            .field("condition", text(), "")
            .field("created", moment(), "")
            .field("livemode", boolean(), "")
            .field("message", text(), "")
            .field("name", text(), "")
            .field("shipped", boolean(), "Exactly as shipped.")
            .field("state", choice(STATES), "")
            .field("version", integer(), "")
            .field("weight", integer(), ""),
    )
}

pub(in crate::api) fn deleted_rule() -> Object {
    let fields = Fields::new()
        .field("id", id("rule"), "")
        .field("deleted", always(true), "");
    Object::under("deleted_radar.rule", "radar.rule", "A rule that was deleted.", fields)
}
