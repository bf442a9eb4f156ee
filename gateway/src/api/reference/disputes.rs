//! `/v1/disputes` described.

use super::operation::Operation;
use super::schema::*;
use crate::dispute::rows::EVIDENCE;
use crate::dispute::stage::Stage;
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

pub(in crate::api) fn pack() -> Operation {
    Operation::new("Retrieve a dispute's evidence pack", "dispute.evidence_pack")
        .about("What is known that speaks for you, and values that `evidence` could have.")
}

pub(in crate::api) fn pack_file() -> Operation {
    Operation::new("Make a dispute's evidence pack a file", "file")
        .about("A PDF that evidence can name: `evidence[uncategorized_file]`.")
}

pub(in crate::api) fn evidence_pack() -> Object {
    let claim = Fields::new()
        .field("amount", minor_units(), "")
        .field("currency", currency(), "")
        .field("reason", text(), "")
        .field("network_reason_code", text().or_null(), "")
        .field("stage", text(), "")
        .field("due_by", moment().or_null(), "");
    let payment = Fields::new()
        .field("id", id("pi"), "")
        .field("charge", id("ch"), "")
        .field("amount", minor_units(), "What was captured.")
        .field("currency", currency(), "")
        .field("created", moment(), "")
        .field("description", text().or_null(), "")
        .field("statement_descriptor", text().or_null(), "")
        .field("card_brand", text(), "")
        .field("card_last4", text(), "")
        .field("payee", text(), "Who the payer was told is paid.");
    let receipt = Fields::new()
        .field("number", text(), "")
        .field("email", text(), "")
        .field("sent", moment().or_null(), "")
        .field("url", text().or_null(), "");
    let refund = Fields::new()
        .field("id", id("re"), "")
        .field("amount", minor_units(), "")
        .field("created", moment(), "")
        .field("status", text(), "")
        .field("acquirer_reference", text().or_null(), "The acquirer's own id of it.");
    let authentication = Fields::new()
        .field("result", text().or_null(), "")
        .field("authentication_flow", text().or_null(), "")
        .field("version", text().or_null(), "")
        .field("electronic_commerce_indicator", text().or_null(), "")
        .field("transaction_id", text().or_null(), "")
        .field("liability_shifted", boolean(), "Fraud is the issuer's loss.");
    let prior = Fields::new()
        .field("charge", id("ch"), "")
        .field("payment_intent", id("pi"), "")
        .field("amount", minor_units(), "")
        .field("currency", currency(), "")
        .field("created", moment(), "")
        .field("receipt_number", text().or_null(), "")
        .field("matching", list(text()), "customer, ip, device, shipping_address.");
    let ce3 = Fields::new()
        .field("qualifies", boolean(), "Two earlier payments match.")
        .field("prior_undisputed_transactions", list(part(prior)), "");
    let suggested = Fields::new()
        .field("product_description", text().or_null(), "")
        .field("customer_email_address", text().or_null(), "")
        .field("customer_name", text().or_null(), "")
        .field("customer_purchase_ip", text().or_null(), "")
        .field("refund_policy_disclosure", text().or_null(), "");
    Object::new(
        "dispute.evidence_pack",
        "What is known about a disputed payment.",
        Fields::new()
            .field("dispute", id("du"), "")
            .field("made", moment(), "")
            .field("claim", part(claim), "")
            .field("payment", part(payment), "")
            .field("receipt", part(receipt).or_null(), "")
            .field("receipt_number", text().or_null(), "")
            .field(
                "line_items",
                list(open_object()).or_null(),
                "What was sold, as the payment has it.",
            )
            .field("shipping", open_object().or_null(), "")
            .field(
                "refund_policy",
                open_object().or_null(),
                "As it was in force at the order.",
            )
            .field("terms_of_service", text().or_null(), "")
            .field("refunds", list(part(refund)), "")
            .field(
                "refunded_before",
                boolean(),
                "Refunds had given the disputed money back already.",
            )
            .field("three_d_secure", part(authentication).or_null(), "")
            .field("purchase_ip", text().or_null(), "")
            .field(
                "visa_compelling_evidence_3",
                part(ce3).or_null(),
                "For Visa's reason 10.4 alone.",
            )
            .field("suggested_evidence", part(suggested), ""),
    )
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
    let stages: Vec<&str> = Stage::ALL[2..].iter().map(|stage| stage.as_str()).collect();
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
            .field("borne_by", choice(&["merchant", "platform"]), "Who bears a loss.")
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
            .field(
                "stage",
                choice(&stages),
                "Where it stands in the network's procedure; a win or a loss may be provisional.",
            )
            .field("status", choice(&statuses), ""),
    )
}
