//! `/v1/payment_intents` described.

use super::operation::Operation;
use super::schema::*;
use serde_json::json;

pub(in crate::api) fn create() -> Operation {
    Operation::new("Create a payment", "payment_intent")
        .about("With `confirm` it is charged at once. Without, confirm it in a second call.")
        .takes(
            Fields::new()
                .required("amount", amount(), "Minor units: 2000 is 20.00 usd, or 2000 jpy.")
                .required("currency", currency_asked(), "ISO 4217.")
                .field("confirm", boolean(), "Charge at once; false when not given.")
                .field(
                    "capture_method",
                    choice(&CAPTURE_METHODS),
                    "When the money is taken: at once, or by a call of its own.",
                )
                .field("customer", id_asked("cus"), "Whose payment it is.")
                .field(
                    "confirmation_method",
                    choice(&["automatic", "manual"]),
                    "Kept and told.",
                )
                .field("automatic_payment_methods", open_object(), "Kept and told.")
                .field(
                    "line_items",
                    list(group(line_item_asked())),
                    "What is sold; quantity times deal_price must add up to the amount. Never changed afterwards.",
                )
                .field("application_fee_amount", amount(), "What the platform takes of it.")
                .and(instrument())
                .and(described())
                .and(attempt())
                .ignored(&WITHOUT_EFFECT),
        )
        .example(json!({ "amount": 2000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true }))
        .may_decline()
}

pub(in crate::api) fn index() -> Operation {
    let filters = Fields::new().field("customer", id_asked("cus"), "Of this customer.");
    Operation::list("List payments", "payment_intent").takes(filters)
}

pub(in crate::api) fn search() -> Operation {
    Operation::search(
        "Search payments",
        "payment_intent",
        "status:'succeeded' AND metadata['order']:'6735'",
    )
}

pub(in crate::api) fn retrieve() -> Operation {
    let ignored = Fields::new().ignored(&["client_secret"]);
    Operation::new("Retrieve a payment", "payment_intent").takes(ignored)
}

pub(in crate::api) fn update() -> Operation {
    Operation::new("Update a payment", "payment_intent")
        .about("What concerns money can be changed before it is confirmed; what describes it, always.")
        .takes(
            Fields::new()
                .field("amount", amount(), "Minor units; not of a payment with line items.")
                .field("application_fee_amount", amount(), "What the platform takes of it.")
                .field("currency", currency_asked(), "ISO 4217.")
                .field("customer", id_asked("cus"), "Whose payment it is.")
                .field("capture_method", choice(&CAPTURE_METHODS), "When the money is taken.")
                .and(instrument())
                .and(described())
                .ignored(&WITHOUT_EFFECT),
        )
        .may_decline()
}

pub(in crate::api) fn confirm() -> Operation {
    Operation::new("Confirm a payment", "payment_intent")
        .about("Charges it. A time-out on the way to the acquirer is not a failure: the payment is then `processing`, and its end is told by webhook.")
        .takes(
            instrument()
                .and(described())
                .and(attempt())
                .field("capture_method", choice(&CAPTURE_METHODS), "When the money is taken.")
                .ignored(&WITHOUT_EFFECT)
                .ignored(&["client_secret"]),
        )
        .may_decline()
}

pub(in crate::api) fn capture() -> Operation {
    Operation::new("Capture a payment", "payment_intent")
        .about(
            "Takes the money of an authorized payment, whole or in part. What is not captured is released, unless \
             `final_capture` is false: then more captures may follow until `capture_before`, and the payment stays \
             `requires_capture`.",
        )
        .takes(
            Fields::new()
                .field(
                    "amount_to_capture",
                    amount_or_nothing(),
                    "At most what is authorized, or what `overcapture` of the charge allows; all that is left when not given. \
                     0 after parts releases the rest.",
                )
                .field("metadata", metadata(), "Own keys and values.")
                .field("application_fee_amount", amount(), "What the platform takes of the payment.")
                .field(
                    "final_capture",
                    boolean(),
                    "`false` keeps the rest for further captures, where `multicapture` of the charge is available; `true` when \
                     not given.",
                )
                .ignored(&["statement_descriptor", "statement_descriptor_suffix"]),
        )
}

pub(in crate::api) fn increment_authorization() -> Operation {
    Operation::new("Raise an authorization", "payment_intent")
        .about(
            "Asks the issuer for more before anything is captured, where `incremental_authorization` of the charge is available. \
             A decline (402) leaves the payment as it was: it can still be captured.",
        )
        .takes(
            Fields::new()
                .required("amount", amount(), "The new total, in minor units: more than is authorized.")
                .field(
                    "application_fee_amount",
                    amount(),
                    "What the platform takes of it; at most what was authorized before.",
                )
                .field("metadata", metadata(), "Own keys and values.")
                .field("description", text(), "For your own eyes.")
                .field(
                    "statement_descriptor",
                    text_up_to(22),
                    "On the buyer's statement: Latin characters, at least one letter, none of < > \\ ' \" *.",
                ),
        )
        .may_decline()
}

pub(in crate::api) fn cancel() -> Operation {
    let reasons = ["duplicate", "fraudulent", "requested_by_customer", "abandoned"];
    Operation::new("Cancel a payment", "payment_intent")
        .about(
            "Ends a payment that has not taken money, and gives an authorization back. Of one that was captured in part the rest \
             is given back, and the payment has succeeded with what was taken.",
        )
        .takes(Fields::new().field("cancellation_reason", choice(&reasons), "Why; kept and told."))
}

pub(in crate::api) fn payment_intent() -> Object {
    let reasons = [
        "duplicate",
        "fraudulent",
        "requested_by_customer",
        "abandoned",
        "automatic",
        "failed_invoice",
        "void_invoice",
    ];
    let card = Fields::new()
        .field("installments", nothing(), "")
        .field("mandate_options", nothing(), "")
        .field("network", nothing(), "")
        .field("request_incremental_authorization", choice(&WISHES), "")
        .field("request_multicapture", choice(&WISHES), "")
        .field("request_overcapture", choice(&WISHES), "")
        .field("request_three_d_secure", choice(&["automatic", "any", "challenge"]), "");
    Object::new(
        "payment_intent",
        "A payment, from the wish to pay to the money.",
        Fields::new()
            .field("id", id("pi"), "")
            .field("amount", amount(), "What is to be paid, in minor units.")
            .field("amount_capturable", minor_units(), "Authorized and not yet taken.")
            .field(
                "amount_details",
                part(Fields::new().field("tip", open_object(), "")),
                "",
            )
            .field("amount_received", minor_units(), "Taken.")
            .field("application", nothing(), "")
            .field(
                "application_fee_amount",
                amount().or_null(),
                "What the platform takes of it.",
            )
            .field("automatic_payment_methods", open_object().or_null(), "As given.")
            .field("canceled_at", moment().or_null(), "")
            .field("cancellation_reason", choice(&reasons).or_null(), "")
            .field("capture_method", choice(&["automatic", "manual"]), "")
            .field(
                "client_secret",
                text_like(
                    "^pi_[0-9a-z]+_secret_[0-9a-f]+$",
                    "pi_01h455vb4pex5vsknk084sn02q_secret_0011aabb",
                ),
                "",
            )
            .field(
                "confirmation",
                confirmation().or_null(),
                "What the payer is told before it is confirmed; it holds ever after.",
            )
            .field("confirmation_method", choice(&["automatic", "manual"]), "")
            .field("created", moment(), "")
            .field("currency", currency(), "")
            .field(
                "customer",
                either([expandable("cus", "customer"), object("deleted_customer")]).or_null(),
                "",
            )
            .field("customer_account", nothing(), "")
            .field("description", text().or_null(), "")
            .field("excluded_payment_method_types", nothing(), "")
            .field(
                "last_payment_error",
                open_object().or_null(),
                "The error of the last attempt, as its 402 said it.",
            )
            .field(
                "latest_charge",
                expandable("ch", "charge").or_null(),
                "The last attempt.",
            )
            .field(
                "line_items",
                list(part(line_item_kept())).or_null(),
                "Ours: what was sold, as it was then.",
            )
            .field("livemode", boolean(), "")
            .field("metadata", metadata_kept(), "")
            .field(
                "next_action",
                next_action().or_null(),
                "What the payer has to do while the status is requires_action.",
            )
            .field("on_behalf_of", nothing(), "")
            .field("payment_method", expandable("pm", "payment_method").or_null(), "")
            .field("payment_method_configuration_details", nothing(), "")
            .field(
                "payment_method_options",
                part(Fields::new().field("card", part(card), "")),
                "",
            )
            .field("payment_method_types", list(text()).example(json!(["card"])), "")
            .field("presentment_details", nothing(), "")
            .field(
                "processing",
                part(Fields::new().field("type", text(), "")).or_null(),
                "Set while the outcome is not known.",
            )
            .field("receipt_email", text().or_null(), "")
            .field(
                "review",
                expandable("prv", "review").or_null(),
                "The review it waits for or has been through.",
            )
            .field(
                "setup_future_usage",
                choice(&["on_session", "off_session"]).or_null(),
                "",
            )
            .field("shipping", open_object().or_null(), "As given.")
            .field("source", nothing(), "")
            .field("statement_descriptor", text().or_null(), "")
            .field("statement_descriptor_suffix", text().or_null(), "")
            .field("status", choice(&STATUSES), "")
            .field("transfer_data", nothing(), "")
            .field("transfer_group", text().or_null(), ""),
    )
}

pub(super) fn next_action() -> Schema {
    let redirect = Fields::new()
        .field("return_url", text().or_null(), "Where the payer comes back to.")
        .field("url", text(), "Send the payer's browser there.");
    part(
        Fields::new()
            .field("type", choice(&["redirect_to_url"]), "")
            .field("redirect_to_url", part(redirect), ""),
    )
}

fn line_item_asked() -> Fields {
    Fields::new()
        .required("name", text(), "What it is.")
        .required("deal_price", minor_units(), "What one costs now, minor units.")
        .field(
            "list_price",
            minor_units(),
            "What one usually costs; the deal price when not given.",
        )
        .field("quantity", integer_from(1, 1_000_000), "How many; 1 when not given.")
        .field("product_code", text(), "Your own code of it.")
}

fn line_item_kept() -> Fields {
    Fields::new()
        .field("name", text(), "")
        .field("product_code", text().or_null(), "")
        .field("quantity", integer_from(1, 1_000_000), "")
        .field("list_price", minor_units(), "")
        .field("deal_price", minor_units(), "")
}

/// Options of cards.
pub(super) fn card_options(more: Fields) -> Fields {
    let card = Fields::new()
        .field(
            "request_three_d_secure",
            choice(&["automatic", "any", "challenge"]),
            "Ask for 3-D Secure even where the issuer would not.",
        )
        .and(more);
    Fields::new().field(
        "payment_method_options",
        group(Fields::new().field("card", group(card), "")),
        "Of cards; other options describe what happens anyway.",
    )
}

/// What is wished of an authorization that is captured later; what was granted is on the charge.
fn wishes() -> Fields {
    Fields::new()
        .field(
            "request_multicapture",
            choice(&WISHES),
            "To capture in several parts, with `final_capture`.",
        )
        .field(
            "request_overcapture",
            choice(&WISHES),
            "To capture more than was authorized.",
        )
        .field(
            "request_incremental_authorization",
            choice(&WISHES),
            "To raise it before it is captured.",
        )
}

/// What is said of one attempt.
fn attempt() -> Fields {
    signals()
        .field(
            "off_session",
            boolean(),
            "The buyer is not there: a wish to challenge is a decline.",
        )
        .field(
            "error_on_requires_action",
            boolean(),
            "The buyer cannot be challenged: decline instead.",
        )
}

/// What to pay with, and what a payment to be confirmed takes.
pub(super) fn instrument() -> Fields {
    Fields::new()
        .field(
            "payment_method",
            id_asked("pm").example("pm_card_visa"),
            "What to pay with, by id.",
        )
        .field(
            "payment_method_data",
            group(super::payment_methods::typed()),
            "What to pay with, typed; not together with payment_method.",
        )
        .field("payment_method_types", list(choice(&["card"])), "Only `card`.")
}

/// What describes a payment and moves no money.
fn described() -> Fields {
    Fields::new()
        .field("metadata", metadata(), "Own keys and values.")
        .field("description", text(), "For your own eyes.")
        .field(
            "statement_descriptor",
            text_up_to(22),
            "On the buyer's statement: Latin characters, at least one letter, none of < > \\ ' \" *.",
        )
        .field(
            "statement_descriptor_suffix",
            text_up_to(22),
            "The part of it that varies.",
        )
        .field(
            "receipt_email",
            text_up_to(254).example("buyer@example.com"),
            "Where the receipt goes.",
        )
        .field(
            "receipt_locale",
            choice(&["en", "zh-CN"]),
            "The language of the receipt; English when not given.",
        )
        .field(
            "setup_future_usage",
            choice(&["on_session", "off_session"]),
            "Whether the card shall be charged again.",
        )
        .field("transfer_group", text(), "Payments that belong together.")
        .field(
            "return_url",
            text_up_to(2048).example("https://shop.example/done"),
            "Where the payer comes back to after a challenge.",
        )
        .and(card_options(wishes()))
        .field(
            "shipping",
            free_texts(json!({ "name": "Ada", "address": { "city": "London", "country": "GB" } })),
            "Where the goods go: address, name, phone, carrier, tracking_number.",
        )
}

/// What the scorer is told about the buyer beside the payment itself.
pub(super) fn signals() -> Fields {
    let context = Fields::new()
        .field("ip", text_up_to(45).example("203.0.113.7"), "The buyer's address.")
        .field("device", text(), "An id of the buyer's device.")
        .field("email", text(), "The buyer's email address.");
    Fields::new()
        .field(
            "risk_context",
            group(context),
            "What the scorer may know of the buyer; kept hashed.",
        )
        .field(
            "radar_options",
            group(Fields::new().field("session", text(), "An id of the buyer's device.")),
            "As at Stripe.",
        )
        .field(
            "mandate_data",
            open_object(),
            "As at Stripe; `customer_acceptance[online][ip_address]` is the buyer's address.",
        )
}

const CAPTURE_METHODS: [&str; 3] = ["automatic", "automatic_async", "manual"];
const WITHOUT_EFFECT: [&str; 2] = ["use_stripe_sdk", "mandate"];
const WISHES: [&str; 2] = ["if_available", "never"];
const STATUSES: [&str; 7] = [
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "succeeded",
    "canceled",
];

/// Who is paid, how much, at which fee, with which right of return.
fn confirmation() -> Schema {
    let fee = Fields::new()
        .field("amount", minor_units(), "")
        .field("fixed", minor_units(), "")
        .field(
            "paid_by",
            always("payee"),
            "It is taken out of the amount; the payer pays no more.",
        )
        .field("percent", super::terms::percent(), "")
        .field("schedule", id("trm").or_null(), "The fee schedule in force.");
    part(
        Fields::new()
            .field("payee", text(), "Legal name of who is paid.")
            .field("amount", amount(), "")
            .field("currency", currency(), "")
            .field("fee", part(fee), "The platform's.")
            .field(
                "return_policy",
                part(super::accounts::policy_told()).or_null(),
                "The payee's promise about returns.",
            )
            .field("terms_of_service", id("trm").or_null(), "The terms in force."),
    )
}
