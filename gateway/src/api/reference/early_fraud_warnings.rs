//! `/v1/radar/early_fraud_warnings` described.

use super::operation::Operation;
use super::schema::*;

pub(in crate::api) fn index() -> Operation {
    Operation::list("List early fraud warnings", "radar.early_fraud_warning").takes(
        Fields::new()
            .field("charge", id_asked("ch"), "About this charge.")
            .field("payment_intent", id_asked("pi"), "About this payment."),
    )
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve an early fraud warning", "radar.early_fraud_warning")
}

pub(in crate::api) fn refund() -> Operation {
    Operation::new("Refund a payment that a network warned of", "refund")
        .about("Everything that is left of it goes back, as fraud, before it becomes a chargeback.")
}

pub(in crate::api) fn dismiss() -> Operation {
    Operation::new(
        "Stand by a payment that a network warned of",
        "radar.early_fraud_warning",
    )
    .takes(Fields::new().required("reason", text_up_to(2_000), "Why."))
    .example(serde_json::json!({ "reason": "The buyer was here with the card." }))
}

pub(in crate::api) fn early_fraud_warning() -> Object {
    Object::new(
        "radar.early_fraud_warning",
        "What a card network told before any dispute (TC40, SAFE).",
        Fields::new()
            .field("id", id("issfr"), "")
            .field(
                "actionable",
                boolean(),
                "Neither disputed nor fully refunded nor dismissed yet.",
            )
            .field("charge", expandable("ch", "charge"), "")
            .field("created", moment(), "")
            .field("decide_by", moment(), "Later it is often a chargeback.")
            .field("fraud_type", text(), "In the network's words.")
            .field("livemode", boolean(), "")
            .field(
                "outcome",
                choice(&["refunded", "dismissed", "overtaken"]).or_null(),
                "Overtaken by a dispute.",
            )
            .field("payment_intent", expandable("pi", "payment_intent"), "")
            .field("stage", choice(&["alert", "alert_closed"]), ""),
    )
}
