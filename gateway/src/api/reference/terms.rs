//! `/v1/terms` described.

use super::operation::Operation;
use super::schema::*;
use serde_json::json;

pub(in crate::api) fn create() -> Operation {
    Operation::new("Make the next version of terms", "terms")
        .about(
            "Fees, terms of service or the rules of cases, for one account or for everyone without their own. A change of what is in force is told 30 \
             days before; with less, it needs an `override_reason` and the approval of a second key.",
        )
        .takes(
            Fields::new()
                .required("kind", choice(&["fee_schedule", "terms_of_service", "case_rules"]), "What is agreed.")
                .field("account", id_asked("acct"), "Whom it concerns; everyone when not given.")
                .field("percent", percent(), "Fees: per cent of the amount, in currencies without a rate.")
                .field("rates", rates_asked(), "Fees: rates by currency.")
                .field("url", text().example("https://example.com/terms"), "Terms of service: where the text is.")
                .field("digest", text_like("^[0-9A-Fa-f]{64}$", DIGEST), "Terms of service: SHA-256 of the text.")
                .field("case_rules", group(case_rules_asked()), "Rules of cases: what is not given is as built in.")
                .field("effective_at", moment_asked(), "From when it holds; at once when not given.")
                .field("override_reason", text_up_to(500), "Why the notice is shorter than 30 days."),
        )
        .example(json!({ "kind": "fee_schedule", "percent": "2.9", "rates": { "usd": { "percent": "2.9", "fixed": 30 } } }))
}

pub(in crate::api) fn index() -> Operation {
    Operation::list_of("List terms", object("terms")).about("Of this account, and what holds for everyone.")
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve terms", "terms")
}

pub(in crate::api) fn approve() -> Operation {
    Operation::new("Approve terms with a short notice", "terms")
        .about("By another key than the one that proposed them. They hold from then at the earliest.")
}

pub(in crate::api) fn reject() -> Operation {
    Operation::new("Reject terms with a short notice", "terms")
}

pub(in crate::api) fn terms() -> Object {
    let rate = json!({ "type": "object", "additionalProperties": false, "required": ["percent", "fixed"],
        "properties": { "percent": percent().0, "fixed": minor_units().0 } });
    let rates = Schema(json!({ "type": "object", "additionalProperties": rate }));
    Object::new(
        "terms",
        "A version of what the platform and merchants agreed. Never rewritten.",
        Fields::new()
            .field("id", id("trm"), "")
            .field("account", id("acct").or_null(), "Whom it concerns; null for everyone.")
            .field(
                "case_rules",
                open_object().or_null(),
                "How cases are run: times and limits.",
            )
            .field("created", moment(), "")
            .field(
                "digest",
                text_like("^[0-9a-f]{64}$", DIGEST).or_null(),
                "SHA-256 of the text.",
            )
            .field("effective_at", moment(), "From when it holds.")
            .field("kind", choice(&["fee_schedule", "terms_of_service", "case_rules"]), "")
            .field(
                "number",
                integer_from(1, i64::from(i32::MAX)),
                "1, 2, 3 .. of its kind.",
            )
            .field("override_reason", text().or_null(), "Why its notice is shorter.")
            .field(
                "percent",
                percent().or_null(),
                "Of the amount, in currencies without a rate.",
            )
            .field(
                "rates",
                rates.example(json!({ "usd": { "percent": "2.9", "fixed": 30 } })),
                "By currency.",
            )
            .field(
                "status",
                choice(&["proposed", "approved", "rejected"]),
                "Only approved terms hold.",
            )
            .field("url", text().or_null(), "Where the text is."),
    )
}

fn case_rules_asked() -> Fields {
    let day = || list(text_like("^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "2026-10-01"));
    let calendar = Fields::new()
        .field("time_zone", text().example("Asia/Shanghai"), "IANA name.")
        .field("holidays", day(), "Days off beside Saturdays and Sundays.")
        .field("workdays", day(), "Saturdays and Sundays that are worked.");
    let numbers = super::super::case_rules::NUMBERS.iter();
    numbers
        .fold(Fields::new(), |all, (name, _)| all.field(name, integer(), ""))
        .field(
            "calendar",
            group(calendar),
            "What regulators' working days are counted in.",
        )
}

/// A percentage as text.
pub(super) fn percent() -> Schema {
    text_like(r"^[0-9]{1,3}(\.[0-9]{1,4})?$", "2.9")
}

fn rates_asked() -> Schema {
    let rate = group(
        Fields::new()
            .field("percent", percent(), "Per cent of the amount.")
            .field("fixed", integer_from(0, 99_999_999), "Minor units beside it."),
    );
    Schema(json!({ "type": "object", "propertyNames": { "pattern": "^[A-Za-z]{3}$" }, "additionalProperties": rate.0 }))
        .example(json!({ "usd": { "percent": "2.9", "fixed": 30 } }))
}

const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
