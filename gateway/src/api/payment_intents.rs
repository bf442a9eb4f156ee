//! `/v1/payment_intents`.

use super::error::ApiError;
use super::input::{CheckoutRead, CheckoutWrite, In, Reply};
use super::params::Params;
use super::{cards, list};
use crate::app::whole_units;
use crate::payment::flow::{self, NewPayment};
use crate::payment::rows::{CaptureMethod, Payment, PaymentDetails};
use crate::payment::state::Amendment;
use crate::risk::Signals;
use crate::wire;
use axum::extract::Path;
use rand::RngCore;
use std::collections::BTreeMap;

/// Accepted for compatibility; they describe what this gateway does anyway, or nothing.
const WITHOUT_EFFECT: &[&str] = &[
    "use_stripe_sdk",
    "error_on_requires_action",
    "return_url",
    "payment_method_options",
    "mandate",
];

pub(super) async fn create(mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let amount = params.amount("amount")?.ok_or_else(|| ApiError::missing("amount"))?;
    let currency = currency(&mut params)?.ok_or_else(|| ApiError::missing("currency"))?;
    whole_units(amount, &currency)?;
    let capture_method = capture_method(&mut params)?.unwrap_or(CaptureMethod::Automatic);
    let customer_id = params.text("customer")?;
    let confirm = params.boolean("confirm")?.unwrap_or(false);
    let mut details = PaymentDetails {
        client_secret: random(),
        ..PaymentDetails::default()
    };
    describe(&mut params, &mut details)?;
    details.confirmation_method = params.choice("confirmation_method", &["automatic", "manual"])?;
    details.automatic_payment_methods = params.value("automatic_payment_methods")?.map(booleans);
    let source = cards::source(&mut params, input.call.at)?;
    let signals = Signals::read(&mut params, &details.metadata, details.receipt_email.as_deref())?;
    payment_method_types(&mut params)?;
    params.ignore(WITHOUT_EFFECT);
    params.finish()?;
    if let Some(customer) = &customer_id {
        super::customers::must_exist(&input.call, customer).await?;
    }
    let new = NewPayment {
        amount,
        currency,
        capture_method,
        customer_id,
        source,
        confirm,
        details,
        signals,
    };
    input.run(|call| flow::create(call, new)).await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<CheckoutRead>) -> Reply {
    let mut params = input.take();
    params.ignore(&["client_secret"]);
    params.finish()?;
    super::retrieve(&input.call, "payment_intent", &id, "intent").await
}

pub(super) async fn update(Path(id): Path<String>, mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let amount = params.amount("amount")?;
    let currency = currency(&mut params)?;
    let customer_id = params.text("customer")?;
    let capture_method = capture_method(&mut params)?;
    let metadata = params.metadata("metadata")?;
    let texts = Texts::read(&mut params)?;
    let shipping = params.value("shipping")?;
    let source = cards::source(&mut params, input.call.at)?;
    payment_method_types(&mut params)?;
    params.ignore(WITHOUT_EFFECT);
    params.finish()?;
    if let Some(customer) = &customer_id {
        super::customers::must_exist(&input.call, customer).await?;
    }
    let amendment = Amendment {
        amount,
        currency,
        capture_method,
        customer_id,
        payment_method_id: None,
    };
    input
        .run(|call| {
            flow::update(call, &id, amendment, source, move |details| {
                if let Some(change) = &metadata {
                    flow::merge_metadata(&mut details.metadata, change.clone());
                }
                texts.clone().apply(details);
                if shipping.is_some() {
                    details.shipping.clone_from(&shipping);
                }
            })
        })
        .await
}

pub(super) async fn confirm(Path(id): Path<String>, mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let source = cards::source(&mut params, input.call.at)?;
    let signals = Signals::read(&mut params, &BTreeMap::new(), None)?;
    payment_method_types(&mut params)?;
    params.ignore(WITHOUT_EFFECT);
    params.ignore(&[
        "client_secret",
        "receipt_email",
        "setup_future_usage",
        "shipping",
        "capture_method",
    ]);
    params.finish()?;
    input.run(|call| flow::confirm(call, &id, source, signals)).await
}

pub(super) async fn capture(Path(id): Path<String>, mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let amount = params.amount("amount_to_capture")?;
    params.ignore(&[
        "statement_descriptor",
        "statement_descriptor_suffix",
        "metadata",
        "final_capture",
    ]);
    params.finish()?;
    input.run(|call| flow::capture(call, &id, amount)).await
}

pub(super) async fn cancel(Path(id): Path<String>, mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let reason = params.choice(
        "cancellation_reason",
        &["duplicate", "fraudulent", "requested_by_customer", "abandoned"],
    )?;
    params.finish()?;
    input.run(|call| flow::cancel(call, &id, reason)).await
}

pub(super) async fn index(mut input: In<CheckoutRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    list::created(&mut params, &mut filters)?;
    if let Some(customer) = params.text("customer")? {
        filters.push(list::equals("customer_id = ", customer));
    }
    params.finish()?;
    list::answer::<Payment>(
        &input.call,
        "/v1/payment_intents",
        &page,
        &filters,
        wire::payment_intent,
    )
    .await
}

fn describe(params: &mut Params, details: &mut PaymentDetails) -> Result<(), ApiError> {
    if let Some(change) = params.metadata("metadata")? {
        flow::merge_metadata(&mut details.metadata, change);
    }
    Texts::read(params)?.apply(details);
    details.shipping = params.value("shipping")?;
    Ok(())
}

/// The texts of a payment that may be set and unset.
#[derive(Clone)]
struct Texts([Option<Option<String>>; 6]);

impl Texts {
    fn read(params: &mut Params) -> Result<Self, ApiError> {
        let descriptor = params.text_change("statement_descriptor")?;
        for text in descriptor.iter().flatten() {
            let allowed =
                |c: char| c.is_ascii() && !c.is_ascii_control() && !matches!(c, '<' | '>' | '\\' | '\'' | '"' | '*');
            if text.len() > 22 || !text.chars().all(allowed) || !text.chars().any(|c| c.is_ascii_alphabetic()) {
                return Err(ApiError::invalid(
                    "parameter_invalid_string",
                    "statement_descriptor",
                    "At most 22 Latin characters with at least one letter, and none of < > \\ ' \" *.",
                ));
            }
        }
        let email = email(params, "receipt_email")?;
        Ok(Self([
            params.text_change("description")?,
            descriptor,
            params.text_change("statement_descriptor_suffix")?,
            email,
            params
                .choice("setup_future_usage", &["on_session", "off_session"])?
                .map(Some),
            params.text_change("transfer_group")?,
        ]))
    }

    fn apply(self, details: &mut PaymentDetails) {
        let Self([description, descriptor, suffix, email, future, group]) = self;
        let set = |slot: &mut Option<String>, change: Option<Option<String>>| {
            if let Some(value) = change {
                *slot = value;
            }
        };
        set(&mut details.description, description);
        set(&mut details.statement_descriptor, descriptor);
        set(&mut details.statement_descriptor_suffix, suffix);
        set(&mut details.receipt_email, email);
        set(&mut details.setup_future_usage, future);
        set(&mut details.transfer_group, group);
    }
}

/// An email address that may be set and unset.
pub(super) fn email(params: &mut Params, name: &str) -> Result<Option<Option<String>>, ApiError> {
    let email = params.text_change(name)?;
    match email.iter().flatten().find(|e| !(e.contains('@') && e.len() <= 254)) {
        None => Ok(email),
        Some(wrong) => Err(ApiError::invalid(
            "email_invalid",
            name,
            format!("Invalid email address: {}", super::error::shown(wrong)),
        )),
    }
}

pub(super) fn currency(params: &mut Params) -> Result<Option<String>, ApiError> {
    let Some(text) = params.text("currency")? else {
        return Ok(None);
    };
    let currency = crate::app::currency(&text)?;
    Ok(Some(currency.as_str().to_owned()))
}

fn capture_method(params: &mut Params) -> Result<Option<CaptureMethod>, ApiError> {
    let word = params.choice("capture_method", &["automatic", "automatic_async", "manual"])?;
    Ok(word.map(|word| {
        if word == "manual" {
            CaptureMethod::Manual
        } else {
            CaptureMethod::Automatic
        }
    }))
}

fn payment_method_types(params: &mut Params) -> Result<(), ApiError> {
    let types = params.texts("payment_method_types")?.unwrap_or_default();
    match types.iter().find(|t| *t != "card") {
        None => Ok(()),
        Some(other) => Err(ApiError::invalid(
            "parameter_invalid_value",
            "payment_method_types",
            format!(
                "The payment method type {} is not available; card is.",
                super::error::shown(other)
            ),
        )),
    }
}

/// `automatic_payment_methods[enabled]=true` comes as text in a form: on the wire it is a boolean.
fn booleans(mut value: serde_json::Value) -> serde_json::Value {
    for slot in value.as_object_mut().into_iter().flat_map(|o| o.values_mut()) {
        match slot.as_str() {
            Some("true") => *slot = true.into(),
            Some("false") => *slot = false.into(),
            _ => {}
        }
    }
    value
}

fn random() -> String {
    let mut bytes = [0u8; 12];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}
