//! `/v1/payment_intents`: create, update, confirm, capture, cancel, raise.

use super::{Answer, merge_metadata};
use crate::card::{Card, Method};
use crate::error::ApiError;
use crate::flow::{Confirmation, Confirmed, Op, status_name, unexpected};
use crate::object::*;
use crate::params::Params;
use crate::store::Record;
use std::sync::Arc;

pub(super) fn find(op: &Op<'_>, id: &str) -> Result<Intent, ApiError> {
    let row = op
        .store
        .intents
        .find(id, &op.account)
        .ok_or_else(|| ApiError::not_found("payment_intent", id))?;
    Ok((**row).clone())
}

pub(super) fn create(op: &mut Op<'_>, params: &Params) -> Result<Answer, ApiError> {
    params.only(&KNOWN)?;
    let amount = amount(params)?.ok_or_else(|| ApiError::missing("amount"))?;
    let currency = params.required("currency")?;
    let currency = Currency::parse(currency)
        .ok_or_else(|| ApiError::invalid("currency", format!("Invalid currency: {currency}.")))?;
    let manual_capture = capture_method(params)?.unwrap_or(false);
    let confirm = params.flag("confirm", false)?;
    let how = confirmation(params)?;
    let mut intent = Intent {
        id: op.store.next_id(|store| &store.intents),
        account: op.account.clone(),
        created: op.now(),
        amount,
        currency,
        status: IntentStatus::RequiresPaymentMethod,
        manual_capture,
        wishes: Flexible::default(),
        amount_capturable: 0,
        amount_received: 0,
        metadata: Metadata::default(),
        method: None,
        charges: Vec::new(),
        last_error: None,
        canceled_at: None,
        cancellation_reason: None,
        customer: None,
        description: None,
        receipt_email: None,
        return_url: None,
        setup_future_usage: None,
        statement_descriptor: None,
        statement_descriptor_suffix: None,
        transfer_group: None,
    };
    describe(&mut intent, params)?;
    let method = named_method(op, params)?;
    if confirm && method.is_none() {
        return Err(unexpected(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the \
             PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment method.",
        ));
    }
    set_method(op, &mut intent, method);
    // The event shows the intent as it was before any issuer was asked.
    op.put_intent(&intent);
    op.event("payment_intent.created", ObjectRef::Intent(intent.id));
    if !confirm {
        return Ok(Answer::Object(ObjectRef::Intent(intent.id)));
    }
    let confirmed = op.confirm(&mut intent, how)?;
    finish(&intent, confirmed, params)
}

pub(super) fn update(op: &mut Op<'_>, id: &str, params: &Params) -> Result<Answer, ApiError> {
    params.only(&KNOWN)?;
    let mut intent = find(op, id)?;
    let amount = amount(params)?;
    let method = named_method(op, params)?;
    let changes_payment = amount.is_some() || method.is_some() || params.text("currency").is_some();
    let open = [
        IntentStatus::RequiresPaymentMethod,
        IntentStatus::RequiresConfirmation,
        IntentStatus::RequiresAction,
    ];
    if changes_payment && !open.contains(&intent.status) {
        return Err(unexpected(format!(
            "This PaymentIntent's amount, currency or payment method could not be updated because it has a status of {}.",
            status_name(intent.status)
        )));
    }
    if let Some(code) = params.text("currency") {
        intent.currency =
            Currency::parse(code).ok_or_else(|| ApiError::invalid("currency", format!("Invalid currency: {code}.")))?;
    }
    describe(&mut intent, params)?;
    intent.amount = amount.unwrap_or(intent.amount);
    set_method(op, &mut intent, method);
    op.put_intent(&intent);
    Ok(Answer::Object(ObjectRef::Intent(intent.id)))
}

pub(super) fn confirm(op: &mut Op<'_>, id: &str, params: &Params) -> Result<Answer, ApiError> {
    params.only(&KNOWN)?;
    let mut intent = find(op, id)?;
    let how = confirmation(params)?;
    let open = [
        IntentStatus::RequiresPaymentMethod,
        IntentStatus::RequiresConfirmation,
        IntentStatus::RequiresAction,
    ];
    if !open.contains(&intent.status) {
        return Err(unexpected(format!(
            "You cannot confirm this PaymentIntent because it has already {} (status {}).",
            if intent.status == IntentStatus::Canceled {
                "been canceled"
            } else {
                "succeeded after being previously confirmed"
            },
            status_name(intent.status)
        )));
    }
    if let Some(manual_capture) = capture_method(params)? {
        intent.manual_capture = manual_capture;
    }
    describe(&mut intent, params)?;
    let method = named_method(op, params)?;
    if intent.status == IntentStatus::RequiresAction && method.is_none() {
        return Ok(Answer::Object(ObjectRef::Intent(intent.id)));
    }
    set_method(op, &mut intent, method);
    let confirmed = op.confirm(&mut intent, how)?;
    finish(&intent, confirmed, params)
}

pub(super) fn capture(op: &mut Op<'_>, id: &str, params: &Params) -> Result<Answer, ApiError> {
    params.only(&[
        "amount_to_capture",
        "metadata",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "final_capture",
    ])?;
    let mut intent = find(op, id)?;
    let amount = params.integer("amount_to_capture")?;
    merge_metadata(&mut intent.metadata, params)?;
    let last = params.flag("final_capture", true)?;
    op.capture(&mut intent, amount, last)?;
    Ok(Answer::Object(ObjectRef::Intent(intent.id)))
}

pub(super) fn cancel(op: &mut Op<'_>, id: &str, params: &Params) -> Result<Answer, ApiError> {
    params.only(&["cancellation_reason"])?;
    let mut intent = find(op, id)?;
    let reasons = ["duplicate", "fraudulent", "requested_by_customer", "abandoned"];
    let reason = params.one_of("cancellation_reason", &reasons)?.map(Into::into);
    op.cancel(&mut intent, reason)?;
    Ok(Answer::Object(ObjectRef::Intent(intent.id)))
}

pub(super) fn increment(op: &mut Op<'_>, id: &str, params: &Params) -> Result<Answer, ApiError> {
    params.only(&["amount", "description", "metadata", "statement_descriptor"])?;
    let mut intent = find(op, id)?;
    let amount = amount(params)?.ok_or_else(|| ApiError::missing("amount"))?;
    describe(&mut intent, params)?;
    match op.increment(&mut intent, amount)? {
        Confirmed::Accepted => Ok(Answer::Object(ObjectRef::Intent(intent.id))),
        // The authorization stands as it was.
        Confirmed::Declined => Err(
            ApiError::card("card_declined", "amount", "Your card has insufficient funds.")
                .decline_code("insufficient_funds"),
        ),
    }
}

fn finish(intent: &Intent, confirmed: Confirmed, params: &Params) -> Result<Answer, ApiError> {
    let object = ObjectRef::Intent(intent.id);
    // Asked for by callers who cannot show a challenge; the intent itself stays where it is.
    if intent.status == IntentStatus::RequiresAction && params.flag("error_on_requires_action", false)? {
        let message = "This payment required an authentication action to complete.";
        return Err(ApiError::card("authentication_required", "payment_method", message));
    }
    Ok(match confirmed {
        Confirmed::Accepted => Answer::Object(object),
        Confirmed::Declined => Answer::Declined(object),
    })
}

/// Reads the card named or described by the request, if any; nothing is stored yet.
fn named_method(op: &Op<'_>, params: &Params) -> Result<Option<NamedMethod>, ApiError> {
    if let Some(name) = params.text("payment_method") {
        if let Some(card) = Card::by_token(name) {
            return Ok(Some(NamedMethod::New(card)));
        }
        let stored = op.store.methods.find(name, &op.account);
        let stored = stored.ok_or_else(|| ApiError::not_found("PaymentMethod", name).param("payment_method"))?;
        return Ok(Some(NamedMethod::Stored(stored.method.clone())));
    }
    if !params.has("payment_method_data") {
        return Ok(None);
    }
    match params.text("payment_method_data[type]") {
        Some("card") => Ok(Some(NamedMethod::New(Card::by_params(
            params,
            "payment_method_data[card]",
            op.now_ms,
        )?))),
        Some(_) => Err(ApiError::invalid(
            "payment_method_data[type]",
            "This acquirer takes cards only.",
        )),
        None => Err(ApiError::missing("payment_method_data[type]")),
    }
}

enum NamedMethod {
    New(Card),
    Stored(Arc<Method>),
}

fn set_method(op: &mut Op<'_>, intent: &mut Intent, method: Option<NamedMethod>) {
    let Some(method) = method else { return };
    intent.method = Some(match method {
        NamedMethod::Stored(method) => method,
        NamedMethod::New(card) => {
            let id = op.store.next_id(|store| &store.methods);
            let method = Arc::new(Method {
                id,
                created: op.now(),
                card,
            });
            let row = StoredMethod {
                account: op.account.clone(),
                method: method.clone(),
                metadata: Metadata::default(),
            };
            op.store.put(Record::Method(Arc::new(row)));
            method
        }
    });
    intent.status = IntentStatus::RequiresConfirmation;
}

fn describe(intent: &mut Intent, params: &Params) -> Result<(), ApiError> {
    merge_metadata(&mut intent.metadata, params)?;
    for (name, wish) in [
        (
            "payment_method_options[card][request_multicapture]",
            &mut intent.wishes.multicapture,
        ),
        (
            "payment_method_options[card][request_overcapture]",
            &mut intent.wishes.overcapture,
        ),
        (
            "payment_method_options[card][request_incremental_authorization]",
            &mut intent.wishes.incremental,
        ),
    ] {
        if let Some(word) = params.one_of(name, &["if_available", "never"])? {
            *wish = word == "if_available";
        }
    }
    let fields: [(&str, &mut Option<Box<str>>); 8] = [
        ("customer", &mut intent.customer),
        ("description", &mut intent.description),
        ("receipt_email", &mut intent.receipt_email),
        ("return_url", &mut intent.return_url),
        ("setup_future_usage", &mut intent.setup_future_usage),
        ("statement_descriptor", &mut intent.statement_descriptor),
        ("statement_descriptor_suffix", &mut intent.statement_descriptor_suffix),
        ("transfer_group", &mut intent.transfer_group),
    ];
    for (name, field) in fields {
        if params.raw(name).is_some() {
            *field = params.boxed(name);
        }
    }
    Ok(())
}

fn amount(params: &Params) -> Result<Option<i64>, ApiError> {
    let Some(amount) = params.integer("amount")? else {
        return Ok(None);
    };
    if amount < 1 {
        return Err(ApiError::invalid("amount", "Amount must be at least 1.").code("parameter_invalid_integer"));
    }
    if amount > AMOUNT_MAX {
        return Err(ApiError::invalid("amount", "Amount must be no more than 999999999999.").code("amount_too_large"));
    }
    Ok(Some(amount))
}

fn capture_method(params: &Params) -> Result<Option<bool>, ApiError> {
    let word = params.one_of("capture_method", &["automatic", "automatic_async", "manual"])?;
    Ok(word.map(|word| word == "manual"))
}

fn confirmation(params: &Params) -> Result<Confirmation, ApiError> {
    let off_session = matches!(params.text("off_session"), Some("true" | "one_off" | "recurring"));
    let wish = params.text("payment_method_options[card][request_three_d_secure]");
    Ok(Confirmation {
        off_session,
        challenge: matches!(wish, Some("any" | "challenge")),
        agreed: params
            .text("payment_method_options[card][mit_exemption][network_transaction_id]")
            .is_some(),
    })
}

/// Minor units; the real acquirer stops at 12 digits in its widest currency.
const AMOUNT_MAX: i64 = 999_999_999_999;

const KNOWN: [&str; 37] = [
    "amount",
    "amount_details",
    "application_fee_amount",
    "automatic_payment_methods",
    "capture_method",
    "client_secret",
    "confirm",
    "confirmation_method",
    "confirmation_token",
    "currency",
    "customer",
    "customer_account",
    "description",
    "error_on_requires_action",
    "excluded_payment_method_types",
    "hooks",
    "mandate",
    "mandate_data",
    "metadata",
    "off_session",
    "on_behalf_of",
    "payment_details",
    "payment_method",
    "payment_method_configuration",
    "payment_method_data",
    "payment_method_options",
    "payment_method_types",
    "radar_options",
    "receipt_email",
    "return_url",
    "setup_future_usage",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
    "use_stripe_sdk",
];
