//! `/v1/charges` described.

use super::operation::Operation;
use super::schema::*;
use serde_json::json;

pub(in crate::api) fn index() -> Operation {
    Operation::list("List charges", "charge").takes(
        Fields::new()
            .field("payment_intent", id_asked("pi"), "Attempts to pay this.")
            .field("customer", id_asked("cus"), "Of this customer."),
    )
}

pub(in crate::api) fn search() -> Operation {
    Operation::search(
        "Search charges",
        "charge",
        "payment_method_details.card.last4:'4242' AND amount>1000",
    )
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve a charge", "charge")
}

pub(in crate::api) fn resolve() -> Operation {
    Operation::new("Resolve a mismatch", "charge")
        .about(
            "Ends a charge whose acquirer told something else than was asked: `accept` takes its amount as what was paid, `reverse` \
             undoes there whatever it did. The first key proposes, a second one that says the same carries it out; with \
             `override_reason` one does. By keys of the platform, with the merchant in `Stripe-Account`; in the audit log.",
        )
        .takes(
            Fields::new()
                .required("resolution", choice(&["accept", "reverse"]), "What shall become of it.")
                .required("reason", text(), "Why, for the record.")
                .field("override_reason", text(), "Why one person must do."),
        )
}

pub(in crate::api) fn update() -> Operation {
    Operation::new("Update a charge", "charge")
        .about("What describes a charge belongs to its payment, and is changed there.")
        .takes(
            Fields::new()
                .field("metadata", metadata(), "Own keys and values.")
                .field("description", text(), "For your own eyes.")
                .field("receipt_email", text_up_to(254), "Where the receipt goes.")
                .field("transfer_group", text(), "Payments that belong together.")
                .field("shipping", free_texts(json!({ "name": "Ada" })), "Where the goods go."),
        )
}

pub(in crate::api) fn charge() -> Object {
    Object::new(
        "charge",
        "An attempt to take a payment's money at the acquirer.",
        Fields::new()
            .field("id", id("ch"), "")
            .field(
                "acquirer_reference",
                text().or_null(),
                "What the acquirer's statement calls it.",
            )
            .field("amount", minor_units(), "What was asked for.")
            .field("amount_captured", minor_units(), "Taken.")
            .field("amount_refunded", minor_units(), "Given back.")
            .field("application", nothing(), "")
            .field(
                "application_fee",
                expandable("fee", "application_fee").or_null(),
                "What the platform took of it.",
            )
            .field(
                "application_fee_amount",
                amount().or_null(),
                "What the platform takes of it.",
            )
            .field(
                "balance_transaction",
                expandable("txn", "balance_transaction").or_null(),
                "What it did to the balance.",
            )
            .field("billing_details", billing_details(), "")
            .field("calculated_statement_descriptor", text().or_null(), "")
            .field("captured", boolean(), "")
            .field("created", moment(), "")
            .field("currency", currency(), "")
            .field(
                "customer",
                either([expandable("cus", "customer"), object("deleted_customer")]).or_null(),
                "",
            )
            .field("description", text().or_null(), "")
            .field("disputed", boolean(), "")
            .field("failure_balance_transaction", nothing(), "")
            .field("failure_code", text().or_null(), "")
            .field("failure_message", text().or_null(), "")
            .field("fraud_details", empty_object(), "")
            .field("livemode", boolean(), "")
            .field("metadata", metadata_kept(), "")
            .field(
                "mismatch",
                mismatch().or_null(),
                "Ours: what the acquirer told otherwise than was asked.",
            )
            .field("on_behalf_of", nothing(), "")
            .field("outcome", outcome().or_null(), "What the scorer and the acquirer said.")
            .field("paid", boolean(), "")
            .field("payment_intent", expandable("pi", "payment_intent"), "")
            .field("payment_method", expandable("pm", "payment_method").or_null(), "")
            .field("payment_method_details", method_details(), "The card as it was.")
            .field("presentment_details", nothing(), "")
            .field("radar_options", empty_object(), "")
            .field("receipt_email", text().or_null(), "")
            .field("receipt_number", text().or_null(), "For people, once it is captured.")
            .field("receipt_url", text().or_null(), "Where the payer sees the receipt.")
            .field("refunded", boolean(), "All of it was given back.")
            .field("review", expandable("prv", "review").or_null(), "")
            .field("routing", routing(), "Ours: which acquirer was asked, and why.")
            .field("shipping", open_object().or_null(), "")
            .field("source", nothing(), "")
            .field("source_transfer", nothing(), "")
            .field("statement_descriptor", text().or_null(), "")
            .field("statement_descriptor_suffix", text().or_null(), "")
            .field("status", choice(&["pending", "succeeded", "failed"]), "")
            .field("transfer_data", nothing(), "")
            .field("transfer_group", text().or_null(), ""),
    )
}

fn billing_details() -> Schema {
    part(
        Fields::new()
            .field("address", address(), "")
            .field("email", text().or_null(), "")
            .field("name", text().or_null(), "")
            .field("phone", text().or_null(), "")
            .field("tax_id", text().or_null(), ""),
    )
}

fn mismatch() -> Schema {
    let decision = Fields::new()
        .field("resolution", choice(&["accept", "reverse"]), "")
        .field("reason", text(), "")
        .field("override_reason", text().or_null(), "Why one person had to do.")
        .field("by", id("key"), "Who proposed it.")
        .field(
            "decided_by",
            id("key").or_null(),
            "Who agreed; null while it is a proposal.",
        )
        .field("created", moment(), "");
    part(
        Fields::new()
            .field("field", choice(&["amount", "currency", "reference"]), "")
            .field("ours", text(), "What was asked.")
            .field("theirs", text(), "What the acquirer tells.")
            .field(
                "decision",
                part(decision).or_null(),
                "What people decided, or one of them proposed.",
            ),
    )
}

fn routing() -> Schema {
    let tried = Fields::new()
        .field("connector", text(), "")
        .field("outcome", choice(&["not_sent", "declined"]), "")
        .field("code", text().or_null(), "The soft decline.");
    part(
        Fields::new()
            .field("connector", text(), "The acquirer that has the payment.")
            .field("version", integer().or_null(), "Of the rules.")
            .field(
                "rule",
                text().or_null(),
                "The rule that decided; null: no rule, the first acquirer that can.",
            )
            .field("candidates", list(text()), "In the order in which they would be asked.")
            .field(
                "attempts",
                list(part(tried)),
                "Those that certainly did nothing, before.",
            )
            .field("expected_cost", minor_units().or_null(), "As the rules say."),
    )
}

fn outcome() -> Schema {
    let network = [
        "approved_by_network",
        "declined_by_network",
        "not_sent_to_network",
        "reversed_after_approval",
    ];
    let types = ["authorized", "manual_review", "issuer_declined", "blocked", "invalid"];
    part(
        Fields::new()
            .field("advice_code", nothing(), "")
            .field("network_advice_code", nothing(), "")
            .field("network_decline_code", nothing(), "")
            .field("network_status", choice(&network), "")
            .field(
                "reason",
                text().or_null(),
                "The rule that blocked it, or the issuer's decline code.",
            )
            .field("reasons", list(reason()), "Ours: what the scorer saw.")
            .field("risk_level", text(), "")
            .field("risk_score", integer_from(0, 100), "")
            .field("rule", text().or_null(), "The rule that decided.")
            .field("seller_message", text(), "")
            .field("type", choice(&types), ""),
    )
}

/// One of the scorer's reasons.
pub(super) fn reason() -> Schema {
    open_object()
}

fn three_d_secure() -> Schema {
    part(
        Fields::new()
            .field("authentication_flow", text().or_null(), "")
            .field("electronic_commerce_indicator", text().or_null(), "")
            .field("exemption_indicator", nothing(), "")
            .field("liability_shifted", boolean(), "Ours: fraud is the issuer's loss.")
            .field("result", text().or_null(), "")
            .field("result_reason", text().or_null(), "")
            .field("transaction_id", text().or_null(), "")
            .field("version", text().or_null(), ""),
    )
}

fn method_details() -> Schema {
    let checks = Fields::new()
        .field("address_line1_check", text().or_null(), "")
        .field("address_postal_code_check", text().or_null(), "")
        .field("cvc_check", text().or_null(), "");
    let status = || part(Fields::new().field("status", choice(&["available", "unavailable", "disabled"]), ""));
    let overcapture = Fields::new()
        .field("maximum_amount_capturable", minor_units(), "")
        .field("status", text(), "");
    let card = Fields::new()
        .field("amount_authorized", minor_units().or_null(), "")
        .field("authorization_code", text().or_null(), "")
        .field("brand", text().or_null(), "")
        .field(
            "capture_before",
            moment().or_null(),
            "When the authorization lapses; null once it is captured or released.",
        )
        .field("checks", part(checks), "")
        .field("country", text().or_null(), "")
        .field("exp_month", integer_from(1, 12), "")
        .field("exp_year", integer(), "")
        .field("extended_authorization", status(), "")
        .field(
            "fingerprint",
            text().or_null(),
            "The same for the same number, and tells nothing about it.",
        )
        .field("funding", text().or_null(), "")
        .field("incremental_authorization", status(), "")
        .field("installments", nothing(), "")
        .field("last4", text().or_null(), "")
        .field("mandate", nothing(), "")
        .field("multicapture", status(), "")
        .field("network", text().or_null(), "")
        .field("network_token", part(Fields::new().field("used", boolean(), "")), "")
        .field("network_transaction_id", text().or_null(), "")
        .field("overcapture", part(overcapture), "")
        .field("regulated_status", text(), "")
        .field(
            "three_d_secure",
            three_d_secure().or_null(),
            "The issuer's word on the payer, where it was asked.",
        )
        .field("wallet", nothing(), "");
    part(
        Fields::new()
            .field("card", part(card), "")
            .field("type", choice(&["card"]), ""),
    )
}
