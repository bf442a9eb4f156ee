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

pub(in crate::api) fn early_fraud_warning() -> Object {
    Object::new(
        "radar.early_fraud_warning",
        "What a card network told before any dispute (TC40, SAFE).",
        Fields::new()
            .field("id", id("issfr"), "")
            .field("actionable", boolean(), "Neither disputed nor fully refunded yet.")
            .field("charge", expandable("ch", "charge"), "")
            .field("created", moment(), "")
            .field("fraud_type", text(), "In the network's words.")
            .field("livemode", boolean(), "")
            .field("payment_intent", expandable("pi", "payment_intent"), ""),
    )
}
