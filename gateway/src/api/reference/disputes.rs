//! `/v1/disputes` described.

use super::operation::Operation;
use super::schema::*;
use crate::dispute::rows::EVIDENCE;
use serde_json::json;

pub(in crate::api) fn index() -> Operation {
    Operation::list("List disputes", "dispute").takes(
        Fields::new()
            .field("charge", id_asked("ch"), "About this charge.")
            .field("payment_intent", id_asked("pi"), "About this payment."),
    )
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve a dispute", "dispute")
}

pub(in crate::api) fn update() -> Operation {
    let evidence = EVIDENCE.iter().fold(Fields::new(), |all, (name, is_file)| {
        let schema = if *is_file { id_asked("file") } else { text_up_to(20_000) };
        all.field(name, schema, if *is_file { "The id of an uploaded file." } else { "" })
    });
    Operation::new("Answer a dispute", "dispute")
        .about("Evidence is gathered over several calls and submitted once.")
        .takes(
            Fields::new()
                .field("evidence", group(evidence), "What speaks for you.")
                .field("submit", boolean(), "Send it to the bank now: there is no second time.")
                .field("metadata", metadata(), "Own keys and values."),
        )
        .example(json!({ "evidence": { "uncategorized_text": "The parcel was signed for." }, "submit": false }))
}

pub(in crate::api) fn close() -> Operation {
    Operation::new("Accept a dispute", "dispute").about("It is lost at once, and for good.")
}

pub(in crate::api) fn dispute() -> Object {
    let evidence = EVIDENCE
        .iter()
        .fold(Fields::new(), |all, (name, _)| {
            all.field(name, text_up_to(20_000).or_null(), "")
        })
        .field("enhanced_evidence", empty_object(), "");
    let details = Fields::new()
        .field("due_by", moment().or_null(), "When evidence must have been submitted.")
        .field("enhanced_eligibility", empty_object(), "")
        .field("has_evidence", boolean(), "")
        .field("past_due", boolean(), "")
        .field("submission_count", integer(), "");
    let card = Fields::new()
        .field("brand", text(), "")
        .field("case_type", choice(&["chargeback", "inquiry"]), "")
        .field("network_reason_code", text().or_null(), "");
    let statuses = [
        "warning_needs_response",
        "warning_under_review",
        "warning_closed",
        "needs_response",
        "under_review",
        "won",
        "lost",
        "prevented",
    ];
    Object::new(
        "dispute",
        "A buyer's objection to a charge at their bank.",
        Fields::new()
            .field("id", id("du"), "")
            .field("amount", minor_units(), "")
            .field(
                "balance_transactions",
                list(object("balance_transaction")),
                "What it did to the balance.",
            )
            .field("charge", expandable("ch", "charge"), "")
            .field("created", moment(), "")
            .field("currency", currency(), "")
            .field("enhanced_eligibility_types", list(text()), "")
            .field("evidence", part(evidence), "")
            .field("evidence_details", part(details), "")
            .field("is_charge_refundable", boolean(), "")
            .field("livemode", boolean(), "")
            .field("metadata", metadata_kept(), "")
            .field("network_reason_code", text().or_null(), "")
            .field("payment_intent", expandable("pi", "payment_intent"), "")
            .field(
                "payment_method_details",
                part(Fields::new().field("card", part(card), "").field("type", text(), "")),
                "",
            )
            .field("reason", text(), "")
            .field("status", choice(&statuses), ""),
    )
}
