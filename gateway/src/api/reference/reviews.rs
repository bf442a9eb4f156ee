//! `/v1/reviews` described.

use super::operation::Operation;
use super::schema::*;

pub(in crate::api) fn index() -> Operation {
    Operation::list("List reviews", "review").takes(
        Fields::new()
            .field(
                "open",
                boolean(),
                "The open ones when not given; false for those that are decided.",
            )
            .field("payment_intent", id_asked("pi"), "About this payment."),
    )
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve a review", "review")
}

pub(in crate::api) fn approve() -> Operation {
    Operation::new("Approve a review", "review")
        .about("The payment goes on: what was to be captured at once is captured now.")
        .may_decline()
}

pub(in crate::api) fn reject() -> Operation {
    Operation::new("Reject a review", "review")
        .about("The authorization is given back and the payment canceled. Not a call of Stripe's.")
}

pub(in crate::api) fn review() -> Object {
    Object::new(
        "review",
        "A payment that waits for a person's word.",
        Fields::new()
            .field("id", id("prv"), "")
            .field("billing_zip", nothing(), "")
            .field("charge", expandable("ch", "charge"), "")
            .field("closed_reason", text().or_null(), "")
            .field("created", moment(), "")
            .field("ip_address", text().or_null(), "The buyer's, if it was told.")
            .field("ip_address_location", nothing(), "")
            .field("livemode", boolean(), "")
            .field("open", boolean(), "")
            .field("opened_reason", text(), "")
            .field("payment_intent", expandable("pi", "payment_intent"), "")
            .field("reason", text(), "Why it was opened, or how it was closed.")
            .field(
                "reasons",
                list(super::charges::reason()).or_null(),
                "Ours: what the scorer saw.",
            )
            .field("risk_score", integer_from(0, 100).or_null(), "")
            .field("session", nothing(), "")
            .field(
                "shapley_values",
                list(part(
                    Fields::new()
                        .field("feature", text(), "")
                        .field("meaning", text(), "")
                        .field("value", number().or_null(), "In the feature's unit; null when it was not given.")
                        .field("log_odds", number(), "What it added to the model's log-odds of fraud; below zero it spoke for the payer."),
                ))
                .or_null(),
                "Ours: the ten features that moved the model's score most, as exact Shapley values. Empty when no model was in force.",
            ),
    )
}
