//! `/v1/account` and `/v1/accounts` described.

use super::operation::Operation;
use super::schema::*;
use serde_json::json;

pub(in crate::api) fn own() -> Operation {
    Operation::new("Retrieve the own account", "account").about("The merchant that the key acts for.")
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve an account", "account").about("Its own; a platform's key may name any.")
}

pub(in crate::api) fn standing() -> Operation {
    Operation::new("Retrieve an account's standing", "account_standing").about(
        "What its cases, chargebacks and refunds say of it: a grade from A to E with its reasons, and the ladder of measures with their calculation.",
    )
}

pub(in crate::api) fn account_standing() -> Object {
    let count = || integer_from(0, i64::MAX);
    let figures = Fields::new()
        .field("chargebacks_30", count(), "")
        .field("payments_30", count(), "Captured in 30 days.")
        .field("payments_90", count(), "")
        .field("refunds_late", count(), "That wait for more than three days.")
        .field("upheld_30", count(), "Cases upheld in 30 days.")
        .field("upheld_90", count(), "")
        .field("warnings_30", count(), "Early fraud warnings.");
    let steps = ["warn", "reserve", "payouts_paused", "restricted", "offboard"];
    let sanction = Fields::new()
        .field("id", id("san"), "")
        .field("object", always("sanction"), "")
        .field(
            "basis",
            open_object(),
            "The figures, and the rung of the ladder that they reached.",
        )
        .field("case", id("case"), "The case that was one too many.")
        .field("created", moment(), "")
        .field(
            "reversed_at",
            moment().or_null(),
            "When an appeal took its ground away.",
        )
        .field("step", choice(&steps), "");
    Object::new(
        "account_standing",
        "What a merchant's cases say of it.",
        Fields::new()
            .field("id", id("acct"), "")
            .field("figures", part(figures), "")
            .field("grade", choice(&["A", "B", "C", "D", "E"]), "")
            .field("reasons", list(text()), "Why it is not A.")
            .field("sanctions", list(part(sanction)), "Oldest first.")
            .field("steps_due", list(choice(&steps)), "What the figures call for.")
            .field(
                "vamp_bps",
                count(),
                "Chargebacks and fraud warnings by payments, 30 days: 0.01 %.",
            ),
    )
}

pub(in crate::api) fn index() -> Operation {
    Operation::list_of("List accounts", object("account"))
        .about("All merchants, for a key of the platform.")
        .takes(Fields::new().field("status", choice(&STATUSES), "Only those that stand here."))
}

pub(in crate::api) fn create() -> Operation {
    Operation::new("Create an account", "account")
        .about("A merchant that is a draft: it takes payments once it was submitted, reviewed and approved. For a key of the platform.")
        .takes(
            Fields::new()
                .field("country", text_like("^[A-Z]{2}$", "US"), "ISO 3166; the platform's when not given.")
                .field("type", choice(&["standard", "express", "custom"]), "Accepted; there is one kind of account.")
                .ignored(&["controller", "capabilities"])
                .and(on_file()),
        )
        .example(json!({ "country": "GB", "default_currency": "gbp", "business_profile": { "name": "Tide & Co" } }))
}

pub(in crate::api) fn update() -> Operation {
    Operation::new("Update an account", "account")
        .about("What an examination has looked at is changed by the platform alone, and an account that must be complete stays so.")
        .takes(on_file())
}

pub(in crate::api) fn submit() -> Operation {
    Operation::new("Submit an account for review", "account")
        .about("A draft, or a restricted account that applies again; everything in `requirements.currently_due` must be on file.")
}

pub(in crate::api) fn review() -> Operation {
    Operation::new("Take an account up for review", "account")
}

pub(in crate::api) fn send_back() -> Operation {
    Operation::new("Send an application back", "account")
        .about("It is a draft again.")
        .takes(reason())
}

pub(in crate::api) fn approve() -> Operation {
    Operation::new("Approve an account", "account")
        .about("By another key than the one that submitted it; the account is active.")
        .takes(reverify_at("A year ahead when not given."))
}

pub(in crate::api) fn restrict() -> Operation {
    Operation::new("Restrict an account", "account")
        .about("It takes no payments and is not paid out; refunds go on.")
        .takes(reason())
}

pub(in crate::api) fn suspend() -> Operation {
    Operation::new("Suspend an account", "account")
        .about("Like restricted, and the account cannot apply again by itself.")
        .takes(reason())
}

pub(in crate::api) fn reinstate() -> Operation {
    Operation::new("Reinstate an account", "account")
        .about("By another key than the one that restricted or suspended it.")
        .takes(reverify_at("As before when not given; it must lie ahead."))
}

pub(in crate::api) fn offboard() -> Operation {
    Operation::new("End an account", "account")
        .about("Asked for by one key, done when a second one asks too and nobody is owed money.")
        .takes(reason())
}

pub(in crate::api) fn payouts() -> Operation {
    Operation::new("Pause or resume payouts", "account").takes(Fields::new().required(
        "paused",
        boolean(),
        "Whether payouts stop.",
    ))
}

pub(in crate::api) fn account() -> Object {
    Object::new(
        "account",
        "A merchant.",
        Fields::new()
            .field("id", id("acct"), "")
            .field("business_profile", open_object(), "")
            .field("business_type", text().or_null(), "")
            .field("capabilities", open_object(), "What it may do: `active` or `inactive`.")
            .field("charges_enabled", boolean(), "")
            .field("company", part(company_told()), "Who the merchant is in law.")
            .field("controller", open_object(), "")
            .field("country", text(), "")
            .field("created", moment(), "")
            .field("default_currency", currency(), "")
            .field("details_submitted", boolean(), "")
            .field("email", text().or_null(), "")
            .field("external_accounts", open_object(), "")
            .field("future_requirements", open_object(), "")
            .field("groups", nothing(), "")
            .field("individual", nothing(), "")
            .field("metadata", metadata_kept(), "")
            .field("payouts_enabled", boolean(), "")
            .field(
                "requirements",
                open_object(),
                "What is still asked for, and why it cannot take payments.",
            )
            .field(
                "return_policy",
                part(policy_told()).or_null(),
                "What the merchant promises about returns.",
            )
            .field("reverify_at", moment().or_null(), "By when it is examined again.")
            .field("settings", open_object(), "")
            .field("status", choice(&STATUSES), "Only `active` takes payments.")
            .field(
                "status_reason",
                text().or_null(),
                "Why it stands there, where a decision gave a reason.",
            )
            .field("tos_acceptance", open_object(), "")
            .field("type", text(), ""),
    )
}

fn on_file() -> Fields {
    let profile = Fields::new()
        .field("name", text_up_to(100), "Trading name.")
        .field("mcc", text_like("^[0-9]{4}$", "5942"), "Merchant category code.")
        .field("product_description", text(), "What is sold.")
        .field("support_email", email(), "For customers.")
        .field("support_phone", text(), "For customers.")
        .field("support_url", text(), "For customers.")
        .field("url", text(), "The shop.");
    let company = Fields::new()
        .field("name", text_up_to(200), "Legal name.")
        .field(
            "registration_number",
            text_up_to(200),
            "Number of the business licence.",
        )
        .field("registration_authority", text_up_to(200), "Who issued it.")
        .field("registration_expires_at", moment_asked(), "When it ends.")
        .field("phone", text_up_to(200), "")
        .field(
            "address",
            free_texts(json!({ "line1": "1 Quay", "city": "Bristol" })),
            "",
        );
    let policy = Fields::new()
        .field("window_days", integer_from(0, 3650), "Days from receipt of the goods.")
        .field("contact", text(), "E-mail address or telephone number.")
        .field("address", text(), "Where goods are sent back to.")
        .field("url", text(), "The policy in full.")
        .field("text", text(), "The policy in full.");
    let schedule = Fields::new()
        .field(
            "interval",
            choice(&["manual", "daily", "weekly"]),
            "How often it is paid out without asking.",
        )
        .field("weekly_anchor", choice(&WEEKDAYS), "The day of weekly payouts.")
        .field(
            "delay_days",
            integer_from(0, 90),
            "From sale until available; the platform sets it.",
        );
    let payouts = Fields::new().field("schedule", group(schedule), "");
    let reserve = Fields::new()
        .required(
            "percent",
            super::terms::percent(),
            "Of what becomes available; the platform sets it.",
        )
        .field("days", integer_from(0, 730), "For how long it is kept.");
    let settings =
        Fields::new()
            .field("payouts", group(payouts), "")
            .field("reserve", group(reserve), "A rolling reserve.");
    Fields::new()
        .field("settings", group(settings), "Of an account that is there already.")
        .field("default_currency", currency_asked(), "Of its fees and its balance.")
        .field("email", email(), "For the platform.")
        .field(
            "business_type",
            choice(&["company", "government_entity", "individual", "non_profit"]),
            "",
        )
        .field("business_profile", group(profile), "How customers know and reach it.")
        .field("company", group(company), "Who it is in law.")
        .field("return_policy", group(policy), "Every change is a new version.")
        .field("metadata", metadata(), "Own keys and values.")
}

fn company_told() -> Fields {
    Fields::new()
        .field("address", open_object().or_null(), "")
        .field("name", text().or_null(), "Legal name.")
        .field("phone", text().or_null(), "")
        .field("registration_authority", text().or_null(), "")
        .field("registration_expires_at", moment().or_null(), "")
        .field(
            "registration_number",
            text().or_null(),
            "Number of the business licence.",
        )
        .field("tax_id_provided", boolean(), "")
        .field("verification", nothing(), "")
}

pub(super) fn policy_told() -> Fields {
    Fields::new()
        .field("version", integer_from(1, i64::from(u32::MAX)), "")
        .seldom("window_days", integer_from(0, 3650), "Days from receipt of the goods.")
        .field("contact", text(), "")
        .field("address", text(), "")
        .seldom("url", text(), "")
        .seldom("text", text(), "")
}

fn email() -> Schema {
    text_up_to(254).example("help@tide.example")
}

fn reason() -> Fields {
    Fields::new().required("reason", text_up_to(500), "For the record, and for the merchant.")
}

fn reverify_at(about: &str) -> Fields {
    Fields::new().field("reverify_at", moment_asked(), about)
}

const STATUSES: [&str; 7] = [
    "draft",
    "submitted",
    "under_review",
    "active",
    "restricted",
    "suspended",
    "offboarded",
];

const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];
