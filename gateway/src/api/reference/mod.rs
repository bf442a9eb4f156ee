//! The API described: OpenAPI 3.1 at `/openapi.json` and the same as a page at `/reference`, both made from the route table.
//!
//! A route cannot exist without its description: the table in [`super`] takes `module::handler` and this folder must have
//! `module::handler()` as well, or nothing compiles. To describe a new resource: a file here with one function per handler
//! and one per object, its `mod` line, and the object's line in [`OBJECTS`]. The right that a route demands, its path
//! parameters, headers, refusals and the paging of lists are added from the route itself; say only what it takes and gives.
//!
//! Why not derived from types: parameters are read one by one by a strict reader, and objects are rendered by functions;
//! neither is a struct. What is written here is held against both by tests: every answer in the integration tests is checked
//! against its schema, and every parameter that a handler reads must be described. Nothing here may depend on a request.

pub mod document;
mod operation;
mod page;
mod sample;
pub mod schema;

pub(super) mod accounts;
pub(super) mod application_fees;
pub(super) mod audit_events;
pub(super) mod balance;
pub(super) mod block_appeals;
pub(super) mod case_reports;
pub(super) mod cases;
pub(super) mod charges;
pub(super) mod customers;
pub(super) mod disputes;
pub(super) mod early_fraud_warnings;
pub(super) mod events;
pub(super) mod external_accounts;
pub(super) mod files;
pub(super) mod payment_intents;
pub(super) mod payment_methods;
pub(super) mod payout_files;
pub(super) mod payouts;
pub(super) mod radar_rules;
pub(super) mod receipts;
pub(super) mod refunds;
pub(super) mod reports;
pub(super) mod reviews;
pub(super) mod risk_signals;
pub(super) mod setup_intents;
pub(super) mod terms;
pub(super) mod value_lists;
pub(super) mod webhook_endpoints;

pub use document::document;
pub use operation::Operation;
use schema::Object;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, X_CONTENT_TYPE_OPTIONS};
use std::sync::LazyLock;

/// Every object that an answer can hold, by the name in its `object` field.
const OBJECTS: &[fn() -> Object] = &[
    payment_intents::payment_intent,
    charges::charge,
    setup_intents::setup_intent,
    refunds::refund,
    application_fees::application_fee,
    application_fees::fee_refund,
    customers::customer,
    customers::deleted_customer,
    payment_methods::payment_method,
    disputes::dispute,
    cases::case,
    cases::bundle_told,
    case_reports::case_report,
    disputes::evidence_pack,
    files::file,
    reviews::review,
    block_appeals::block_appeal,
    early_fraud_warnings::early_fraud_warning,
    risk_signals::signal,
    radar_rules::rule,
    radar_rules::deleted_rule,
    value_lists::value_list,
    value_lists::value_list_item,
    value_lists::deleted_value_list,
    value_lists::deleted_value_list_item,
    events::event,
    webhook_endpoints::webhook_endpoint,
    webhook_endpoints::deleted_webhook_endpoint,
    webhook_endpoints::webhook_delivery,
    balance::balance,
    balance::balance_transaction,
    accounts::account,
    accounts::account_standing,
    terms::terms,
    audit_events::audit_event,
    payouts::payout,
    payout_files::payout_file,
    reports::report_type,
    reports::report,
    receipts::receipt,
    external_accounts::bank_account,
    external_accounts::deleted_bank_account,
];

/// `/openapi.json` and `/reference`: the same for everyone, without a key.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/openapi.json", get(async || fixed("application/json", &JSON)))
        .route("/reference", get(async || fixed("text/html; charset=utf-8", &PAGE)))
}

static JSON: LazyLock<String> = LazyLock::new(|| document().to_string());
static PAGE: LazyLock<String> = LazyLock::new(|| page::render(&document()));

fn fixed(content_type: &'static str, body: &'static LazyLock<String>) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "public, max-age=300"),
        (CONTENT_SECURITY_POLICY, page::CONTENT_SECURITY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("referrer-policy"), "no-referrer"),
    ];
    (headers, body.as_str()).into_response()
}
