//! Payment intents, their errors, and charges.

use super::card::{BillingDetails, Checks, MethodView, NO_METADATA, checks, fingerprint, method};
use super::money::{BalanceTransactionView, RefundView, movement, refund};
use super::{Empty, Expandable, Null, Site};
use crate::id::Named;
use crate::object::*;
use crate::store::Expanded;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct IntentView<'a> {
    id: Named,
    object: &'static str,
    amount: i64,
    amount_capturable: i64,
    amount_details: AmountDetails,
    amount_received: i64,
    application: Null,
    application_fee_amount: Null,
    automatic_payment_methods: Null,
    canceled_at: Option<i64>,
    cancellation_reason: Option<&'a str>,
    capture_method: &'static str,
    client_secret: String,
    confirmation_method: &'static str,
    created: i64,
    currency: Currency,
    customer: Option<&'a str>,
    customer_account: Null,
    description: Option<&'a str>,
    excluded_payment_method_types: Null,
    last_payment_error: Option<Error<'a>>,
    latest_charge: Option<Expandable<ChargeView<'a>>>,
    livemode: bool,
    metadata: &'a Metadata,
    next_action: Option<NextAction<'a>>,
    on_behalf_of: Null,
    payment_method: Option<Expandable<MethodView<'a>>>,
    payment_method_configuration_details: Null,
    payment_method_options: IntentOptions,
    payment_method_types: [&'static str; 1],
    presentment_details: Null,
    processing: Null,
    receipt_email: Option<&'a str>,
    review: Null,
    setup_future_usage: Option<&'a str>,
    shipping: Null,
    source: Null,
    statement_descriptor: Option<&'a str>,
    statement_descriptor_suffix: Option<&'a str>,
    status: IntentStatus,
    transfer_data: Null,
    transfer_group: Option<&'a str>,
}

pub(super) fn intent<'a>(row: &'a Intent, expanded: Option<&'a Expanded>, site: Site<'a>) -> IntentView<'a> {
    let id = row.id.named(Intent::PREFIX);
    let waits = row.status == IntentStatus::RequiresAction;
    IntentView {
        id,
        object: Intent::OBJECT,
        amount: row.amount,
        amount_capturable: row.amount_capturable,
        amount_details: AmountDetails { tip: Empty {} },
        amount_received: row.amount_received,
        application: None,
        application_fee_amount: None,
        automatic_payment_methods: None,
        canceled_at: row.canceled_at,
        cancellation_reason: row.cancellation_reason.as_deref(),
        capture_method: if row.manual_capture { "manual" } else { "automatic" },
        client_secret: format!("{id}_secret_{:016x}", row.id.scattered()),
        confirmation_method: "automatic",
        created: row.created,
        currency: row.currency,
        customer: row.customer.as_deref(),
        customer_account: None,
        description: row.description.as_deref(),
        excluded_payment_method_types: None,
        last_payment_error: row.last_error.as_deref().map(|decline| error(decline, None)),
        latest_charge: row
            .charges
            .last()
            .map(|charge_id| match expanded.and_then(|e| e.charge.as_ref()) {
                Some(row) => Expandable::Object(Box::new(charge(row, expanded, site))),
                None => Expandable::Id(charge_id.named(Charge::PREFIX)),
            }),
        livemode: false,
        metadata: &row.metadata,
        next_action: waits.then(|| NextAction {
            redirect_to_url: Redirect {
                return_url: row.return_url.as_deref(),
                url: format!("{}/challenge/{id}", site.api_url),
            },
            kind: "redirect_to_url",
        }),
        on_behalf_of: None,
        payment_method: row.method.as_deref().map(|card| {
            if expanded.is_some_and(|e| e.method) {
                Expandable::Object(Box::new(method(card, &NO_METADATA)))
            } else {
                Expandable::Id(card.id.named(StoredMethod::PREFIX))
            }
        }),
        payment_method_configuration_details: None,
        payment_method_options: IntentOptions {
            card: CardOptions {
                installments: None,
                mandate_options: None,
                network: None,
                request_three_d_secure: "automatic",
            },
        },
        payment_method_types: ["card"],
        presentment_details: None,
        processing: None,
        receipt_email: row.receipt_email.as_deref(),
        review: None,
        setup_future_usage: row.setup_future_usage.as_deref(),
        shipping: None,
        source: None,
        statement_descriptor: row.statement_descriptor.as_deref(),
        statement_descriptor_suffix: row.statement_descriptor_suffix.as_deref(),
        status: row.status,
        transfer_data: None,
        transfer_group: row.transfer_group.as_deref(),
    }
}

/// The 402 body of a declined intent.
pub fn payment_error(row: &Intent, site: Site<'_>) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Serialize)]
    struct Envelope<'a> {
        error: Option<Error<'a>>,
    }
    let declined = row
        .last_error
        .as_deref()
        .map(|decline| error(decline, Some(intent(row, None, site))));
    serde_json::to_vec(&Envelope { error: declined })
}

/// A decline, in an answer or as `last_payment_error`.
#[derive(Serialize)]
pub(super) struct Error<'a> {
    advice_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    charge: Option<Named>,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<&'a str>,
    doc_url: String,
    message: &'a str,
    network_decline_code: Null,
    param: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_intent: Option<Box<IntentView<'a>>>,
    payment_method: MethodView<'a>,
    #[serde(rename = "type")]
    kind: &'static str,
}

fn error<'a>(decline: &'a Decline, intent: Option<IntentView<'a>>) -> Error<'a> {
    Error {
        advice_code: match &*decline.code {
            "processing_error" => Some("try_again_later"),
            "authentication_required" => Some("confirm_card_data"),
            "payment_intent_authentication_failure" => None,
            _ => Some("do_not_try_again"),
        },
        charge: decline.charge.map(|id| id.named(Charge::PREFIX)),
        code: &decline.code,
        decline_code: decline.decline_code.as_deref(),
        doc_url: format!("https://stripe.com/docs/error-codes/{}", decline.code.replace('_', "-")),
        message: &decline.message,
        network_decline_code: None,
        param: match &*decline.code {
            "incorrect_cvc" => Some("cvc"),
            "expired_card" => Some("exp_month"),
            _ => None,
        },
        payment_intent: intent.map(Box::new),
        payment_method: method(&decline.method, &NO_METADATA),
        kind: if decline.decline_code.is_some() {
            "card_error"
        } else {
            "invalid_request_error"
        },
    }
}

#[derive(Serialize)]
pub(super) struct ChargeView<'a> {
    id: Named,
    object: &'static str,
    amount: i64,
    amount_captured: i64,
    amount_refunded: i64,
    application: Null,
    application_fee: Null,
    application_fee_amount: Null,
    balance_transaction: Option<Expandable<BalanceTransactionView>>,
    billing_details: BillingDetails,
    calculated_statement_descriptor: &'a str,
    captured: bool,
    created: i64,
    currency: Currency,
    customer: Option<&'a str>,
    description: Option<&'a str>,
    destination: Null,
    dispute: Option<Named>,
    disputed: bool,
    failure_balance_transaction: Null,
    failure_code: Option<&'a str>,
    failure_message: Option<&'a str>,
    fraud_details: Empty,
    livemode: bool,
    metadata: &'a Metadata,
    on_behalf_of: Null,
    order: Null,
    outcome: Outcome<'a>,
    paid: bool,
    payment_intent: Expandable<IntentView<'a>>,
    payment_method: Named,
    payment_method_details: MethodDetails<'a>,
    presentment_details: Null,
    radar_options: Empty,
    receipt_email: Option<&'a str>,
    receipt_number: Null,
    receipt_url: Null,
    refunded: bool,
    refunds: Option<RefundList<'a>>,
    review: Null,
    shipping: Null,
    source: Null,
    source_transfer: Null,
    statement_descriptor: Option<&'a str>,
    statement_descriptor_suffix: Null,
    status: &'static str,
    transfer_data: Null,
    transfer_group: Option<&'a str>,
}

pub(super) fn charge<'a>(row: &'a Charge, expanded: Option<&'a Expanded>, site: Site<'a>) -> ChargeView<'a> {
    let failed = row.failure.is_some();
    ChargeView {
        id: row.id.named(Charge::PREFIX),
        object: Charge::OBJECT,
        amount: row.amount,
        amount_captured: row.amount_captured,
        amount_refunded: if row.released { row.amount } else { row.amount_refunded },
        application: None,
        application_fee: None,
        application_fee_amount: None,
        balance_transaction: row.balance_transaction.map(|id| movement(id, expanded)),
        billing_details: BillingDetails::default(),
        calculated_statement_descriptor: row.statement_descriptor.as_deref().unwrap_or("COUNTERFOIL TEST"),
        captured: row.captured,
        created: row.created,
        currency: row.currency,
        customer: row.customer.as_deref(),
        description: row.description.as_deref(),
        destination: None,
        dispute: row.disputes.last().map(|id| id.named(Dispute::PREFIX)),
        disputed: !row.disputes.is_empty(),
        failure_balance_transaction: None,
        failure_code: row.failure.as_ref().map(|failure| &*failure.code),
        failure_message: row.failure.as_ref().map(|failure| &*failure.message),
        fraud_details: Empty {},
        livemode: false,
        metadata: &row.metadata,
        on_behalf_of: None,
        order: None,
        outcome: outcome(row),
        paid: !failed,
        payment_intent: match expanded.and_then(|e| e.intent.as_ref()) {
            Some(row) => Expandable::Object(Box::new(intent(row, None, site))),
            None => Expandable::Id(row.intent.named(Intent::PREFIX)),
        },
        payment_method: row.method.id.named(StoredMethod::PREFIX),
        payment_method_details: MethodDetails {
            card: charged_card(row),
            kind: "card",
        },
        presentment_details: None,
        radar_options: Empty {},
        receipt_email: row.receipt_email.as_deref(),
        receipt_number: None,
        receipt_url: None,
        refunded: row.released || (row.captured && row.amount_captured == row.amount_refunded),
        refunds: expanded.and_then(|e| e.refunds.as_ref()).map(|refunds| RefundList {
            object: "list",
            data: refunds.iter().rev().map(|row| refund(row, None, site)).collect(),
            has_more: false,
            url: format!("/v1/charges/{}/refunds", row.id.named(Charge::PREFIX)),
        }),
        review: None,
        shipping: None,
        source: None,
        source_transfer: None,
        statement_descriptor: row.statement_descriptor.as_deref(),
        statement_descriptor_suffix: None,
        status: if failed { "failed" } else { "succeeded" },
        transfer_data: None,
        transfer_group: row.transfer_group.as_deref(),
    }
}

fn outcome(row: &Charge) -> Outcome<'_> {
    let (risk_level, risk_score) = row.card().behaviour().risk.marks();
    let reason = row
        .failure
        .as_ref()
        .map(|failure| failure.decline_code.as_deref().unwrap_or(&failure.code));
    Outcome {
        advice_code: reason.map(|_| "do_not_try_again"),
        network_advice_code: None,
        network_decline_code: None,
        network_status: if reason.is_some() {
            "declined_by_network"
        } else {
            "approved_by_network"
        },
        reason: reason.or((risk_level != "normal").then_some(match risk_level {
            "elevated" => "elevated_risk_level",
            _ => "highest_risk_level",
        })),
        risk_level,
        risk_score,
        seller_message: match reason {
            Some(_) => "The bank did not return any further details with this decline.",
            None => "Payment complete.",
        },
        kind: if reason.is_some() {
            "issuer_declined"
        } else {
            "authorized"
        },
    }
}

fn available(allowed: bool) -> &'static str {
    if allowed { "available" } else { "unavailable" }
}

fn charged_card(row: &Charge) -> ChargedCard<'_> {
    let held = row.failure.is_none() && !row.captured && !row.released;
    ChargedCard {
        amount_authorized: row.failure.is_none().then_some(row.amount),
        authorization_code: row
            .failure
            .is_none()
            .then(|| format!("{:06}", row.id.scattered() % 1_000_000)),
        brand: row.card().brand(),
        capture_before: held.then_some(row.created + 7 * 86_400),
        checks: checks(row.card()),
        country: "US",
        exp_month: row.card().exp_month,
        exp_year: row.card().exp_year,
        extended_authorization: Status { status: "disabled" },
        fingerprint: fingerprint(row.card()),
        funding: row.card().behaviour().funding,
        incremental_authorization: Status {
            status: available(row.allowed.incremental),
        },
        installments: None,
        last4: &row.card().last4,
        mandate: None,
        multicapture: Status {
            status: available(row.allowed.multicapture),
        },
        network: row.card().brand(),
        network_token: NetworkToken { used: false },
        network_transaction_id: format!("{:015}", row.id.scattered() % 1_000_000_000_000_000),
        overcapture: Overcapture {
            maximum_amount_capturable: row.maximum(),
            status: available(row.allowed.overcapture),
        },
        regulated_status: "unregulated",
        three_d_secure: row.authenticated.then_some(ThreeDSecure {
            authentication_flow: "challenge",
            electronic_commerce_indicator: "05",
            exemption_indicator: None,
            result: "authenticated",
            result_reason: None,
            version: "2.2.0",
        }),
        wallet: None,
    }
}

part!(AmountDetails { tip: Empty });
part!(NextAction<'a> { redirect_to_url: Redirect<'a>, #[serde(rename = "type")] kind: &'static str });
part!(Redirect<'a> { return_url: Option<&'a str>, url: String });
part!(IntentOptions { card: CardOptions });
part!(CardOptions {
    installments: Null,
    mandate_options: Null,
    network: Null,
    request_three_d_secure: &'static str,
});
part!(Outcome<'a> {
    advice_code: Option<&'static str>,
    network_advice_code: Null,
    network_decline_code: Null,
    network_status: &'static str,
    reason: Option<&'a str>,
    risk_level: &'static str,
    risk_score: u8,
    seller_message: &'static str,
    #[serde(rename = "type")] kind: &'static str,
});
part!(MethodDetails<'a> { card: ChargedCard<'a>, #[serde(rename = "type")] kind: &'static str });
part!(ChargedCard<'a> {
    amount_authorized: Option<i64>,
    authorization_code: Option<String>,
    brand: &'static str,
    capture_before: Option<i64>,
    checks: Checks,
    country: &'static str,
    exp_month: u8,
    exp_year: u16,
    extended_authorization: Status,
    fingerprint: String,
    funding: &'static str,
    incremental_authorization: Status,
    installments: Null,
    last4: &'a str,
    mandate: Null,
    multicapture: Status,
    network: &'static str,
    network_token: NetworkToken,
    network_transaction_id: String,
    overcapture: Overcapture,
    regulated_status: &'static str,
    three_d_secure: Option<ThreeDSecure>,
    wallet: Null,
});
part!(Status { status: &'static str });
part!(NetworkToken { used: bool });
part!(Overcapture { maximum_amount_capturable: i64, status: &'static str });
part!(ThreeDSecure {
    authentication_flow: &'static str,
    electronic_commerce_indicator: &'static str,
    exemption_indicator: Null,
    result: &'static str,
    result_reason: Null,
    version: &'static str,
});
part!(RefundList<'a> { object: &'static str, data: Vec<RefundView<'a>>, has_more: bool, url: String });
