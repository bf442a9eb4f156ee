//! The payment API: one flat route table, one file per resource, one error map.
//!
//! Shape of Stripe's API v1, so that its SDKs work with only the base URL changed. To add a resource: a file here, its
//! lines in [`ROUTES`], its description in [`mod@reference`], its rendering in `wire`. A handler reads parameters, refuses what is wrong, and calls a flow; it
//! must never hold a rule about money.

pub mod error;
pub mod expand;
pub mod idempotency;
pub mod input;
pub mod list;
pub mod params;
pub mod reference;

mod accounts;
mod application_fees;
mod audit_events;
mod balance;
mod block_appeals;
mod card_data;
mod cards;
mod case_reports;
mod case_rules;
mod cases;
mod charges;
mod customers;
mod disputes;
mod early_fraud_warnings;
mod events;
mod external_accounts;
mod files;
mod line_items;
pub mod multipart;
mod payment_intents;
mod payment_methods;
mod payout_files;
mod payouts;
mod radar_rules;
mod receipts;
mod refunds;
mod reports;
mod returns;
mod reviews;
mod risk_signals;
mod search;
mod setup_intents;
mod terms;
mod value_lists;
mod webhook_endpoints;

use crate::app::App;
use crate::audit_log::{self, Audited, Trail};
use crate::auth::{Access, Scope};
use crate::call::{Answer, Call};
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use error::ApiError;
use http::{HeaderName, HeaderValue, Method, Uri};
use input::*;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use tracing::Instrument;

/// A line of the route table.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// HTTP method
    pub method: &'static str,
    /// path with `{id}` for parameters
    pub path: &'static str,
    /// what the key must be allowed
    pub scope: Scope,
    /// reading or changing
    pub access: Access,
    /// whether its calls are in the audit log
    pub audited: Audited,
    /// `resource.handler`
    pub name: &'static str,
    /// what it takes and gives
    pub describe: fn() -> reference::Operation,
    /// only a platform's key may
    pub platform: bool,
}

/// What is logged unless the table says otherwise: every change but those of ordinary selling.
const fn audited(scope: Scope, access: Access) -> Audited {
    match (scope, access) {
        (_, Access::Read) | (Scope::Checkout, Access::Write) => Audited::Never,
        (_, Access::Write) => Audited::Always,
    }
}

macro_rules! routes {
    ($($method:ident $path:literal $right:ident => $resource:ident::$handler:ident $([$audited:ident])?),+ $(,)?) => {
        /// Every route with the right that it demands and its description; in brackets whether its calls are in the audit log,
        /// where that differs from the rule.
        pub const ROUTES: &[Route] = &[$(Route {
            method: stringify!($method), path: $path, scope: <$right as Right>::SCOPE, access: <$right as Right>::ACCESS,
            audited: audit_mark!($right $($audited)?),
            name: concat!(stringify!($resource), ".", stringify!($handler)), describe: reference::$resource::$handler,
            platform: <$right as Right>::PLATFORM,
        }),+];

        fn table() -> Router<Arc<App>> {
            Router::new()$(.route($path, method_router!($method, $resource::$handler)))+
        }
    };
}
macro_rules! audit_mark {
    ($right:ident) => {
        audited(<$right as Right>::SCOPE, <$right as Right>::ACCESS)
    };
    ($right:ident $audited:ident) => {
        Audited::$audited
    };
}
macro_rules! method_router {
    (GET, $handler:path) => {
        get($handler) as MethodRouter<Arc<App>>
    };
    (POST, $handler:path) => {
        post($handler) as MethodRouter<Arc<App>>
    };
    (DELETE, $handler:path) => {
        delete($handler) as MethodRouter<Arc<App>>
    };
}

routes! {
    POST   "/v1/payment_intents"                  CheckoutWrite => payment_intents::create,
    GET    "/v1/payment_intents"                  CheckoutRead  => payment_intents::index,
    GET    "/v1/payment_intents/search"           CheckoutRead  => payment_intents::search,
    GET    "/v1/payment_intents/{id}"             CheckoutRead  => payment_intents::retrieve,
    POST   "/v1/payment_intents/{id}"             CheckoutWrite => payment_intents::update,
    POST   "/v1/payment_intents/{id}/confirm"     CheckoutWrite => payment_intents::confirm,
    POST   "/v1/payment_intents/{id}/capture"     CheckoutWrite => payment_intents::capture,
    POST   "/v1/payment_intents/{id}/cancel"      CheckoutWrite => payment_intents::cancel,
    POST   "/v1/payment_intents/{id}/increment_authorization" CheckoutWrite => payment_intents::increment_authorization,
    GET    "/v1/charges"                          CheckoutRead  => charges::index [ByPlatform],
    GET    "/v1/charges/search"                   CheckoutRead  => charges::search [ByPlatform],
    GET    "/v1/charges/{id}"                     CheckoutRead  => charges::retrieve [ByPlatform],
    POST   "/v1/charges/{id}"                     CheckoutWrite => charges::update,
    POST   "/v1/charges/{id}/resolve"             PlatformFinanceWrite => charges::resolve,
    POST   "/v1/refunds"                          RefundsWrite  => refunds::create,
    GET    "/v1/refunds"                          RefundsRead   => refunds::index,
    GET    "/v1/refunds/{id}"                     RefundsRead   => refunds::retrieve,
    POST   "/v1/refunds/{id}"                     RefundsWrite  => refunds::update,
    POST   "/v1/refunds/{id}/cancel"              RefundsWrite  => refunds::cancel,
    POST   "/v1/setup_intents"                    CheckoutWrite => setup_intents::create,
    GET    "/v1/setup_intents"                    CheckoutRead  => setup_intents::index,
    GET    "/v1/setup_intents/{id}"               CheckoutRead  => setup_intents::retrieve,
    POST   "/v1/setup_intents/{id}"               CheckoutWrite => setup_intents::update,
    POST   "/v1/setup_intents/{id}/confirm"       CheckoutWrite => setup_intents::confirm,
    POST   "/v1/setup_intents/{id}/cancel"        CheckoutWrite => setup_intents::cancel,
    POST   "/v1/customers"                        CheckoutWrite => customers::create,
    GET    "/v1/customers"                        CheckoutRead  => customers::index [ByPlatform],
    GET    "/v1/customers/search"                 CheckoutRead  => customers::search [ByPlatform],
    GET    "/v1/customers/{id}"                   CheckoutRead  => customers::retrieve [ByPlatform],
    POST   "/v1/customers/{id}"                   CheckoutWrite => customers::update,
    DELETE "/v1/customers/{id}"                   CheckoutWrite => customers::delete [ByPlatform],
    GET    "/v1/customers/{id}/payment_methods"   CheckoutRead  => payment_methods::index_of_customer [ByPlatform],
    GET    "/v1/customers/{id}/payment_methods/{method}" CheckoutRead => payment_methods::retrieve_of_customer [ByPlatform],
    POST   "/v1/payment_methods"                  CheckoutWrite => payment_methods::create,
    GET    "/v1/payment_methods"                  CheckoutRead  => payment_methods::index [ByPlatform],
    GET    "/v1/payment_methods/{id}"             CheckoutRead  => payment_methods::retrieve [ByPlatform],
    POST   "/v1/payment_methods/{id}"             CheckoutWrite => payment_methods::update,
    POST   "/v1/payment_methods/{id}/attach"      CheckoutWrite => payment_methods::attach,
    POST   "/v1/payment_methods/{id}/detach"      CheckoutWrite => payment_methods::detach,
    GET    "/v1/reviews"                          RiskRead      => reviews::index,
    GET    "/v1/reviews/{id}"                     RiskRead      => reviews::retrieve,
    POST   "/v1/reviews/{id}/approve"             RiskWrite     => reviews::approve,
    POST   "/v1/reviews/{id}/reject"              RiskWrite     => reviews::reject,
    POST   "/v1/radar/rules"                      RiskWrite     => radar_rules::create,
    GET    "/v1/radar/rules"                      RiskRead      => radar_rules::index,
    GET    "/v1/radar/rules/{id}"                 RiskRead      => radar_rules::retrieve,
    POST   "/v1/radar/rules/{id}"                 RiskWrite     => radar_rules::update,
    DELETE "/v1/radar/rules/{id}"                 RiskWrite     => radar_rules::delete,
    POST   "/v1/radar/rules/{id}/backtest"        RiskWrite     => radar_rules::backtest,
    GET    "/v1/radar/rules/{id}/versions"        RiskRead      => radar_rules::versions,
    GET    "/v1/radar/features"                   RiskRead      => radar_rules::features,
    POST   "/v1/radar/value_lists"                RiskWrite     => value_lists::create,
    GET    "/v1/radar/value_lists"                RiskRead      => value_lists::index,
    GET    "/v1/radar/value_lists/{id}"           RiskRead      => value_lists::retrieve,
    POST   "/v1/radar/value_lists/{id}"           RiskWrite     => value_lists::update,
    DELETE "/v1/radar/value_lists/{id}"           RiskWrite     => value_lists::delete,
    POST   "/v1/radar/value_list_items"           RiskWrite     => value_lists::create_item,
    GET    "/v1/radar/value_list_items"           RiskRead      => value_lists::index_items,
    GET    "/v1/radar/value_list_items/{id}"      RiskRead      => value_lists::retrieve_item,
    DELETE "/v1/radar/value_list_items/{id}"      RiskWrite     => value_lists::delete_item,
    GET    "/v1/radar/signals"                    RiskRead      => risk_signals::index,
    GET    "/v1/radar/signals/{id}"               RiskRead      => risk_signals::retrieve,
    POST   "/v1/radar/signals/{id}/acknowledge"   RiskWrite     => risk_signals::acknowledge,
    GET    "/v1/radar/early_fraud_warnings"       RiskRead      => early_fraud_warnings::index,
    GET    "/v1/radar/early_fraud_warnings/{id}"  RiskRead      => early_fraud_warnings::retrieve,
    POST   "/v1/radar/early_fraud_warnings/{id}/refund"  RefundsWrite => early_fraud_warnings::refund,
    POST   "/v1/radar/early_fraud_warnings/{id}/dismiss" RiskWrite    => early_fraud_warnings::dismiss,
    POST   "/v1/radar/block_appeals"              RiskWrite     => block_appeals::create,
    GET    "/v1/radar/block_appeals"              RiskRead      => block_appeals::index,
    GET    "/v1/radar/block_appeals/{id}"         RiskRead      => block_appeals::retrieve,
    POST   "/v1/radar/block_appeals/{id}/lift"    RiskWrite     => block_appeals::lift,
    POST   "/v1/radar/block_appeals/{id}/uphold"  RiskWrite     => block_appeals::uphold,
    GET    "/v1/events"                           AdminRead     => events::index [ByPlatform],
    GET    "/v1/events/{id}"                      AdminRead     => events::retrieve [ByPlatform],
    POST   "/v1/events/{id}/retry"                AdminWrite    => events::retry,
    POST   "/v1/webhook_endpoints"                AdminWrite    => webhook_endpoints::create,
    GET    "/v1/webhook_endpoints"                AdminRead     => webhook_endpoints::index,
    GET    "/v1/webhook_endpoints/{id}"           AdminRead     => webhook_endpoints::retrieve,
    POST   "/v1/webhook_endpoints/{id}"           AdminWrite    => webhook_endpoints::update,
    DELETE "/v1/webhook_endpoints/{id}"           AdminWrite    => webhook_endpoints::delete,
    POST   "/v1/webhook_endpoints/{id}/roll_secret" AdminWrite  => webhook_endpoints::roll_secret,
    GET    "/v1/webhook_endpoints/{id}/deliveries" AdminRead    => webhook_endpoints::deliveries,
    GET    "/v1/application_fees"                 FinanceRead   => application_fees::index,
    GET    "/v1/application_fees/{id}"            FinanceRead   => application_fees::retrieve,
    GET    "/v1/application_fees/{id}/refunds"    FinanceRead   => application_fees::index_refunds,
    POST   "/v1/application_fees/{id}/refunds"    PlatformFinanceWrite => application_fees::create_refund,
    GET    "/v1/balance"                          FinanceRead   => balance::retrieve,
    GET    "/v1/balance_transactions"             FinanceRead   => balance::index_transactions,
    GET    "/v1/balance_transactions/{id}"        FinanceRead   => balance::retrieve_transaction,
    GET    "/v1/reports"                          FinanceRead   => reports::make [Always],
    GET    "/v1/reporting/report_types"           FinanceRead   => reports::types,
    GET    "/v1/audit_events"                     AdminRead     => audit_events::index [Always],
    GET    "/v1/audit_events/{id}"                AdminRead     => audit_events::retrieve [Always],
    GET    "/v1/account"                          AdminRead     => accounts::own,
    POST   "/v1/accounts"                         PlatformAdminWrite => accounts::create,
    GET    "/v1/accounts"                         PlatformAdminRead  => accounts::index [Always],
    GET    "/v1/accounts/{id}"                    AdminRead     => accounts::retrieve,
    POST   "/v1/accounts/{id}"                    AdminWrite    => accounts::update,
    POST   "/v1/accounts/{id}/submit"             AdminWrite    => accounts::submit,
    POST   "/v1/accounts/{id}/review"             PlatformAdminWrite => accounts::review,
    POST   "/v1/accounts/{id}/send_back"          PlatformAdminWrite => accounts::send_back,
    POST   "/v1/accounts/{id}/approve"            PlatformAdminWrite => accounts::approve,
    POST   "/v1/accounts/{id}/restrict"           PlatformAdminWrite => accounts::restrict,
    POST   "/v1/accounts/{id}/suspend"            PlatformAdminWrite => accounts::suspend,
    POST   "/v1/accounts/{id}/reinstate"          PlatformAdminWrite => accounts::reinstate,
    POST   "/v1/accounts/{id}/offboard"           PlatformAdminWrite => accounts::offboard,
    POST   "/v1/accounts/{id}/payouts"            PlatformAdminWrite => accounts::payouts,
    GET    "/v1/accounts/{id}/standing"           AdminRead     => accounts::standing,
    POST   "/v1/accounts/{id}/external_accounts"  AdminWrite    => external_accounts::create,
    GET    "/v1/accounts/{id}/external_accounts"  AdminRead     => external_accounts::index,
    GET    "/v1/accounts/{id}/external_accounts/{bank}" AdminRead => external_accounts::retrieve,
    POST   "/v1/accounts/{id}/external_accounts/{bank}" AdminWrite => external_accounts::update,
    DELETE "/v1/accounts/{id}/external_accounts/{bank}" AdminWrite => external_accounts::delete,
    GET    "/v1/receipts"                         CheckoutRead  => receipts::index,
    GET    "/v1/receipts/{id}"                    CheckoutRead  => receipts::retrieve,
    POST   "/v1/payouts"                          FinanceWrite  => payouts::create,
    GET    "/v1/payouts"                          FinanceRead   => payouts::index,
    GET    "/v1/payouts/{id}"                     FinanceRead   => payouts::retrieve,
    POST   "/v1/payouts/{id}"                     FinanceWrite  => payouts::update,
    POST   "/v1/payouts/{id}/cancel"              FinanceWrite  => payouts::cancel,
    POST   "/v1/payouts/{id}/report"              PlatformFinanceWrite => payouts::report,
    POST   "/v1/payout_files"                     PlatformFinanceWrite => payout_files::create,
    GET    "/v1/payout_files"                     PlatformFinanceRead  => payout_files::index,
    GET    "/v1/payout_files/{id}"                PlatformFinanceRead  => payout_files::retrieve,
    GET    "/v1/payout_files/{id}/contents"       PlatformFinanceRead  => payout_files::contents [Always],
    POST   "/v1/terms"                            PlatformAdminWrite => terms::create,
    GET    "/v1/terms"                            AdminRead     => terms::index,
    GET    "/v1/terms/{id}"                       AdminRead     => terms::retrieve,
    POST   "/v1/terms/{id}/approve"               PlatformAdminWrite => terms::approve,
    POST   "/v1/terms/{id}/reject"                PlatformAdminWrite => terms::reject,
    GET    "/v1/disputes"                         DisputesRead  => disputes::index [ByPlatform],
    GET    "/v1/disputes/{id}"                    DisputesRead  => disputes::retrieve [ByPlatform],
    POST   "/v1/disputes/{id}"                    DisputesWrite => disputes::update,
    POST   "/v1/disputes/{id}/close"              DisputesWrite => disputes::close,
    GET    "/v1/case_reports"                     PlatformDisputesRead => case_reports::retrieve [Always],
    POST   "/v1/cases"                            DisputesWrite => cases::create,
    GET    "/v1/cases"                            DisputesRead  => cases::index [ByPlatform],
    GET    "/v1/cases/{id}"                       DisputesRead  => cases::retrieve [ByPlatform],
    GET    "/v1/cases/{id}/bundle"                DisputesRead  => cases::bundle [Always],
    POST   "/v1/cases/{id}/messages"              DisputesWrite => cases::messages,
    POST   "/v1/cases/{id}/evidence"              DisputesWrite => cases::evidence,
    POST   "/v1/cases/{id}/offers"                DisputesWrite => cases::offers,
    POST   "/v1/cases/{id}/contest"               DisputesWrite => cases::contest,
    POST   "/v1/cases/{id}/execute"               DisputesWrite => cases::execute,
    POST   "/v1/cases/{id}/appeal"                DisputesWrite => cases::appeal,
    POST   "/v1/cases/{id}/accept_offer"          PlatformDisputesWrite => cases::accept_offer,
    POST   "/v1/cases/{id}/withdraw"              PlatformDisputesWrite => cases::withdraw,
    POST   "/v1/cases/{id}/rating"                PlatformDisputesWrite => cases::rate,
    POST   "/v1/cases/{id}/assign"                PlatformDisputesWrite => cases::assign,
    POST   "/v1/cases/{id}/accept"                PlatformDisputesWrite => cases::accept,
    POST   "/v1/cases/{id}/not_accept"            PlatformDisputesWrite => cases::not_accept,
    POST   "/v1/cases/{id}/verify"                PlatformDisputesWrite => cases::verify,
    POST   "/v1/cases/{id}/decision"              PlatformDisputesWrite => cases::decision,
    POST   "/v1/cases/{id}/shipped"               PlatformDisputesWrite => cases::shipped,
    POST   "/v1/cases/{id}/paid"                  PlatformDisputesWrite => cases::paid,
    POST   "/v1/cases/{id}/appeal_decision"       PlatformDisputesWrite => cases::appeal_decision,
    POST   "/v1/cases/{id}/regulator"             PlatformDisputesWrite => cases::regulator,
    GET    "/v1/disputes/{id}/evidence_pack"      DisputesRead  => disputes::pack [Always],
    POST   "/v1/disputes/{id}/evidence_pack"      DisputesWrite => disputes::pack_file,
    POST   "/v1/files"                            DisputesWrite => files::create,
    GET    "/v1/files"                            DisputesRead  => files::index,
    GET    "/v1/files/{id}"                       DisputesRead  => files::retrieve,
    GET    "/v1/files/{id}/contents"              DisputesRead  => files::contents [Always],
}

/// The line of the table that a request matched.
pub(crate) fn route(parts: &http::request::Parts) -> Option<&'static Route> {
    static LINES: LazyLock<HashMap<(&str, &str), &Route>> =
        LazyLock::new(|| ROUTES.iter().map(|route| ((route.method, route.path), route)).collect());
    let path = parts.extensions.get::<MatchedPath>()?.as_str();
    LINES.get(&(parts.method.as_str(), path)).copied()
}

/// The API's router.
pub fn router(app: Arc<App>) -> Router {
    table()
        .route("/hooks/{connector}", post(crate::callback::receive))
        .route("/receipts/{account}/{charge}/{token}", get(crate::receipt::page::show))
        .route("/return/{account}/{payment}/{token}", get(returns::payer))
        .merge(reference::routes())
        .fallback(unknown)
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn_with_state(app.clone(), headers))
        .layer(middleware::from_fn(card_data::refuse)) // outermost: nothing inside may echo a number
        .with_state(app)
}

/// An object by its id, for this merchant, expanded.
async fn retrieve(call: &Call, kind: &str, id: &str, param: &str) -> Reply {
    let valid = crate::id::kind(id).is_some_and(|prefix| crate::id::is_valid(prefix, id));
    let object = if valid { expand::object(call, id).await? } else { None };
    match object {
        Some(mut object) if object["object"] == kind => {
            expand::expand(call, &mut object, &[]).await?;
            Ok(Answer::ok(&object))
        }
        _ => Err(ApiError::not_found(kind, id, param)),
    }
}

async fn unknown(method: Method, uri: Uri) -> Response {
    let mut error = ApiError::invalid(
        "",
        "",
        format!(
            "Unrecognized request URL ({method}: {}). Please see https://stripe.com/docs for the shape of this API.",
            error::shown(uri.path())
        ),
    );
    error.status = 404;
    error.into_response()
}

/// A path that is known, by another method than its own; the router adds `Allow`.
async fn other_method(method: Method, uri: Uri) -> Response {
    let mut error = ApiError::invalid(
        "method_not_allowed",
        "",
        format!(
            "{} does not take {method}. The header Allow of this answer names what it takes.",
            error::shown(uri.path())
        ),
    );
    error.status = 405;
    error.into_response()
}

/// What every answer carries: the version, the echo of the idempotency key, and our own time.
async fn headers(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    const VERSION: HeaderName = HeaderName::from_static("stripe-version");
    const KEY: HeaderName = HeaderName::from_static("idempotency-key");
    let version = request.headers().get(VERSION).cloned();
    let key = if request.method() == Method::POST {
        request.headers().get(KEY).cloned()
    } else {
        None
    };
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let asked_by = method.clone();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let trail = Trail::default();
    request.extensions_mut().insert(trail.clone());
    let asked = async {
        if let Err(error) = crate::auth::admit_address(&app, request.extensions()) {
            return error.into_response();
        }
        // No path here needs an escape, and the router would answer one that is not UTF-8 in plain text.
        if uri.path().contains('%') {
            return unknown(method, uri).await;
        }
        let response = next.run(request).await;
        audit_log::finish(&app, &trail, response).await
    };
    let span = tracing::debug_span!(
        "api",
        otel.name = matched.as_ref().map(MatchedPath::as_str),
        otel.kind = "server",
        http.response.status_code = tracing::field::Empty
    );
    let (mut response, took, own) = crate::call::timed(crate::limit::told(asked))
        .instrument(span.clone())
        .await;
    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    app.figures.answered(
        asked_by.as_str(),
        matched.as_ref().map(MatchedPath::as_str),
        status,
        took,
        own,
    );
    let headers = response.headers_mut();
    headers.insert(
        VERSION,
        version.unwrap_or(HeaderValue::from_static(crate::wire::API_VERSION)),
    );
    if let Some(key) = key {
        headers.insert(KEY, key);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// axum refuses a table with two routes of one path and method, or with two names for one parameter, by panicking.
    #[test]
    fn the_route_table_is_sound() {
        let _ = table();
        let mut seen = std::collections::HashSet::new();
        assert!(ROUTES.iter().all(|route| seen.insert((route.method, route.path))));
    }
}
