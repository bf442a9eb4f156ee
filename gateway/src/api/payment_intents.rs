//! `/v1/payment_intents`.

use super::error::ApiError;
use super::input::{CheckoutRead, CheckoutWrite, In, Reply};
use super::params::Params;
use super::{cards, line_items, list, search};
use crate::app::whole_units;
use crate::connector::Wishes;
use crate::payment::flow::{self, Attempted, Confirmation, NewPayment, Raising, Taking};
use crate::payment::rows::{CaptureMethod, Payment, PaymentDetails};
use crate::payment::state::Amendment;
use crate::receipt::Locale;
use crate::risk::Signals;
use crate::search::condition::PAYMENTS;
use crate::{id, wire};
use axum::extract::Path;
use std::collections::BTreeMap;

/// Accepted for compatibility; they describe what this gateway does anyway, or nothing.
const WITHOUT_EFFECT: &[&str] = &["use_stripe_sdk", "mandate"];

pub(super) async fn create(mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let amount = params.amount("amount")?.ok_or_else(|| ApiError::missing("amount"))?;
    let currency = currency(&mut params)?.ok_or_else(|| ApiError::missing("currency"))?;
    whole_units(amount, &currency)?;
    let capture_method = capture_method(&mut params)?.unwrap_or(CaptureMethod::Automatic);
    let customer_id = params.text("customer")?;
    let confirm = params.boolean("confirm")?.unwrap_or(false);
    let line_items = line_items::read(&mut params, amount)?;
    let application_fee_amount = params.amount("application_fee_amount")?;
    flow::fee_within(application_fee_amount, amount)?;
    let mut details = PaymentDetails {
        client_secret: id::random(),
        ..PaymentDetails::default()
    };
    Description::read(&mut params)?.apply(&mut details);
    if let Some(locale) = params.choice("receipt_locale", &["en", "zh-CN"])? {
        details.receipt_locale = if locale == "en" {
            Locale::English
        } else {
            Locale::Chinese
        };
    }
    details.confirmation_method = params.choice("confirmation_method", &["automatic", "manual"])?;
    details.automatic_payment_methods = params.value("automatic_payment_methods")?.map(booleans);
    let source = cards::source(&mut params, input.call.at)?;
    let attempt = attempted(&mut params, &details.metadata, details.receipt_email.as_deref())?;
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
        line_items,
        application_fee_amount,
        details,
        attempt,
    };
    input.run(|call| flow::create(call, new)).await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<CheckoutRead>) -> Reply {
    let mut params = input.take();
    params.ignore(&["client_secret"]);
    params.finish()?;
    if !id::is_valid(id::prefix::PAYMENT, &id) {
        return Err(ApiError::not_found("payment_intent", &id, "intent"));
    }
    flow::retrieve(&input.call, &id).await
}

pub(super) async fn update(Path(id): Path<String>, mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let amount = params.amount("amount")?;
    let application_fee_amount = params.amount("application_fee_amount")?;
    let currency = currency(&mut params)?;
    let customer_id = params.text("customer")?;
    let capture_method = capture_method(&mut params)?;
    let metadata = params.metadata("metadata")?;
    let texts = Texts::read(&mut params)?;
    let options = CardOptions::read(&mut params)?;
    let shipping = params.value("shipping")?;
    let source = cards::source(&mut params, input.call.at)?;
    payment_method_types(&mut params)?;
    params.ignore(WITHOUT_EFFECT);
    params.finish()?;
    if let Some(customer) = &customer_id {
        super::customers::must_exist(&input.call, customer).await?;
    }
    let describe = Description {
        metadata,
        texts,
        options,
        shipping,
    };
    let amendment = Amendment {
        amount,
        currency,
        capture_method,
        customer_id,
        payment_method_id: None,
        application_fee_amount,
    };
    input
        .run(|call| flow::update(call, &id, amendment, source, move |details| describe.apply(details)))
        .await
}

pub(super) async fn confirm(Path(id): Path<String>, mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let source = cards::source(&mut params, input.call.at)?;
    let capture_method = capture_method(&mut params)?;
    let describe = Description::read(&mut params)?;
    let email = describe.texts.email().map(str::to_owned);
    let attempt = attempted(&mut params, &BTreeMap::new(), email.as_deref())?;
    payment_method_types(&mut params)?;
    params.ignore(WITHOUT_EFFECT);
    params.ignore(&["client_secret"]);
    params.finish()?;
    let confirmation = Confirmation {
        source,
        capture_method,
        attempt,
        describe: move |details: &mut PaymentDetails| describe.apply(details),
    };
    input.run(|call| flow::confirm(call, &id, confirmation)).await
}

pub(super) async fn capture(Path(id): Path<String>, mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let more_follow = params.boolean("final_capture")? == Some(false);
    let application_fee_amount = params.amount("application_fee_amount")?;
    // Nothing is an amount here: after parts, a last capture of nothing releases the rest.
    let releases = !more_follow && matches!(params.clone().integer("amount_to_capture"), Ok(Some(0)));
    let amount = if releases {
        params.integer("amount_to_capture")?
    } else {
        params.amount("amount_to_capture")?
    };
    let metadata = params.metadata("metadata")?;
    // of the authorization: what the payer reads was sent with it
    params.ignore(&["statement_descriptor", "statement_descriptor_suffix"]);
    params.finish()?;
    let taking = Taking {
        amount,
        more_follow,
        application_fee_amount,
        metadata,
    };
    input.run(|call| flow::capture(call, &id, taking)).await
}

pub(super) async fn increment_authorization(Path(id): Path<String>, mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let amount = params.amount("amount")?.ok_or_else(|| ApiError::missing("amount"))?;
    let application_fee_amount = params.amount("application_fee_amount")?;
    let metadata = params.metadata("metadata")?;
    let description = params.text_change("description")?;
    let statement_descriptor = descriptor(&mut params, "statement_descriptor")?;
    params.finish()?;
    let describe = move |details: &mut PaymentDetails| {
        if let Some(change) = &metadata {
            flow::merge_metadata(&mut details.metadata, change.clone());
        }
        for (slot, change) in [
            (&mut details.description, &description),
            (&mut details.statement_descriptor, &statement_descriptor),
        ] {
            if let Some(value) = change {
                slot.clone_from(value);
            }
        }
    };
    let raising = Raising {
        amount,
        application_fee_amount,
        describe,
    };
    input.run(|call| flow::increment(call, &id, raising)).await
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

pub(super) async fn search(mut input: In<CheckoutRead>) -> Reply {
    let mut params = input.take();
    let found = search::rows::<Payment>(&input.call, &mut params, &PAYMENTS).await?;
    let data = found.rows.iter().map(wire::payment_intent).collect();
    search::of(&input.call, "/v1/payment_intents/search", data, found.next_page).await
}

/// What describes a payment, as sent.
#[derive(Clone)]
struct Description {
    metadata: Option<BTreeMap<String, Option<String>>>,
    texts: Texts,
    options: CardOptions,
    shipping: Option<serde_json::Value>,
}

impl Description {
    fn read(params: &mut Params) -> Result<Self, ApiError> {
        Ok(Self {
            metadata: params.metadata("metadata")?,
            texts: Texts::read(params)?,
            options: CardOptions::read(params)?,
            shipping: params.value("shipping")?,
        })
    }

    fn apply(&self, details: &mut PaymentDetails) {
        if let Some(change) = &self.metadata {
            flow::merge_metadata(&mut details.metadata, change.clone());
        }
        self.texts.clone().apply(details);
        self.options.apply(details);
        if self.shipping.is_some() {
            details.shipping.clone_from(&self.shipping);
        }
    }
}

/// What is said of one attempt.
fn attempted(
    params: &mut Params,
    metadata: &BTreeMap<String, String>,
    email: Option<&str>,
) -> Result<Attempted, ApiError> {
    Ok(Attempted {
        signals: Signals::read(params, metadata, email)?,
        error_on_requires_action: params.boolean("error_on_requires_action")?.unwrap_or(false),
    })
}

/// `payment_method_options[card]`; other options than these describe what this gateway does anyway.
#[derive(Clone, Debug, Default)]
pub(super) struct CardOptions {
    /// 3-D Secure even where the issuer would not; none inside: as the issuer likes
    pub three_d_secure: Option<Option<String>>,
    multicapture: Option<bool>,
    overcapture: Option<bool>,
    incremental: Option<bool>,
}

impl CardOptions {
    pub(super) fn read(params: &mut Params) -> Result<Self, ApiError> {
        let Some(mut options) = params.group("payment_method_options")? else {
            return Ok(Self::default());
        };
        let Some(mut card) = options.group("card")? else {
            return Ok(Self::default());
        };
        let wish = card.choice("request_three_d_secure", &["automatic", "any", "challenge"])?;
        let mut wished = |name: &str| -> Result<Option<bool>, ApiError> {
            let word = card.choice(name, &["if_available", "never"])?;
            Ok(word.map(|word| word == "if_available"))
        };
        Ok(Self {
            three_d_secure: wish.map(|wish| (wish != "automatic").then_some(wish)),
            multicapture: wished("request_multicapture")?,
            overcapture: wished("request_overcapture")?,
            incremental: wished("request_incremental_authorization")?,
        })
    }

    fn apply(&self, details: &mut PaymentDetails) {
        if let Some(wish) = &self.three_d_secure {
            details.request_three_d_secure.clone_from(wish);
        }
        let wishes = details.wishes;
        details.wishes = Wishes {
            multicapture: self.multicapture.unwrap_or(wishes.multicapture),
            overcapture: self.overcapture.unwrap_or(wishes.overcapture),
            incremental: self.incremental.unwrap_or(wishes.incremental),
        };
    }
}

/// Where a payer can be sent: http or https, and not so long that a browser would cut it.
pub(super) fn return_url(params: &mut Params) -> Result<Option<Option<String>>, ApiError> {
    let change = params.text_change("return_url")?;
    if let Some(Some(given)) = &change
        && !url::Url::parse(given).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && given.len() <= 2048)
    {
        return Err(ApiError::invalid(
            "url_invalid",
            "return_url",
            "Not a URL that a browser can be sent to: an explicit scheme such as https is needed, and at most 2048 characters.",
        ));
    }
    Ok(change)
}

/// The texts of a payment that may be set and unset.
#[derive(Clone)]
struct Texts([Option<Option<String>>; 7]);

impl Texts {
    fn read(params: &mut Params) -> Result<Self, ApiError> {
        let descriptor = descriptor(params, "statement_descriptor")?;
        let suffix = self::descriptor(params, "statement_descriptor_suffix")?;
        let email = email(params, "receipt_email")?;
        Ok(Self([
            params.text_change("description")?,
            descriptor,
            suffix,
            email,
            params
                .choice("setup_future_usage", &["on_session", "off_session"])?
                .map(Some),
            params.text_change("transfer_group")?,
            return_url(params)?,
        ]))
    }

    fn email(&self) -> Option<&str> {
        self.0[3].as_ref().and_then(|email| email.as_deref())
    }

    fn apply(self, details: &mut PaymentDetails) {
        let Self([description, descriptor, suffix, email, future, group, back]) = self;
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
        set(&mut details.return_url, back);
    }
}

/// What the payer reads on the statement, or the part of it that varies.
fn descriptor(params: &mut Params, name: &str) -> Result<Option<Option<String>>, ApiError> {
    let descriptor = params.text_change(name)?;
    for text in descriptor.iter().flatten() {
        let allowed =
            |c: char| c.is_ascii() && !c.is_ascii_control() && !matches!(c, '<' | '>' | '\\' | '\'' | '"' | '*');
        if text.len() > 22 || !text.chars().all(allowed) || !text.chars().any(|c| c.is_ascii_alphabetic()) {
            return Err(ApiError::invalid(
                "parameter_invalid_string",
                name,
                "At most 22 Latin characters with at least one letter, and none of < > \\ ' \" *.",
            ));
        }
    }
    Ok(descriptor)
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

pub(super) fn payment_method_types(params: &mut Params) -> Result<(), ApiError> {
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
pub(super) fn booleans(mut value: serde_json::Value) -> serde_json::Value {
    for slot in value.as_object_mut().into_iter().flat_map(|o| o.values_mut()) {
        match slot.as_str() {
            Some("true") => *slot = true.into(),
            Some("false") => *slot = false.into(),
            _ => {}
        }
    }
    value
}
