//! `/v1/payment_methods`, and a customer's under `/v1/customers/{id}/payment_methods`.
//!
//! A number goes to the vault; what is kept here shows six first and four last. A published token names the same card
//! for everyone, so attaching or creating one makes a payment method of its own.

use super::cards::{self, Given};
use super::customers;
use super::error::ApiError;
use super::input::{CheckoutRead, CheckoutWrite, In, Reply};
use super::list;
use super::params::Params;
use crate::call::{Answer, Call};
use crate::commit::{Refused, Unit};
use crate::payment::flow::{claim, merge_metadata};
use crate::payment::instrument;
use crate::payment::rows::PaymentMethod;
use crate::payment::store;
use crate::vault::Card;
use crate::{id, wire};
use axum::extract::Path;
use serde_json::Value;

/// How often a change is tried again on a row that another request moved meanwhile.
const RETRIES: usize = 20;

pub(super) async fn create(mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let given = cards::given(&mut params, input.call.at)?;
    params.ignore(&["allow_redisplay", "radar_options"]);
    params.finish()?;
    input
        .run(|call| async move {
            let method = match given {
                Given::Card(typed) => instrument::store_card(call, &typed, None).await?,
                Given::Token {
                    token,
                    billing_details,
                    metadata,
                } => {
                    let mut method = instrument::test_method(call, &token, None)?;
                    method.details.billing_details = billing_details;
                    method.details.metadata = metadata;
                    method
                }
            };
            let answer = answer(call, &method).await?;
            let unit = Unit::new(call.book_id()).insert(&method);
            call.app.commit(claim(call, unit, &method.id, Some(&answer))).await?;
            Ok(answer)
        })
        .await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<CheckoutRead>) -> Reply {
    input.take().finish()?;
    super::retrieve(&input.call, "payment_method", &id, "payment_method").await
}

pub(super) async fn update(Path(id): Path<String>, mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let billing_details = params.value("billing_details")?;
    let metadata = params.metadata("metadata")?;
    let (mut month, mut year) = (None, None);
    if let Some(mut card) = params.group("card")? {
        (month, year) = (card.integer("exp_month")?, card.integer("exp_year")?);
        card.ignore(&["networks"]);
        card.finish()?;
    }
    params.ignore(&["allow_redisplay"]);
    params.finish()?;
    let change = |call: &Call, method: &mut PaymentMethod| {
        if month.is_some() || year.is_some() {
            let month = month.unwrap_or(method.card.exp_month.into());
            let year = year.unwrap_or(method.card.exp_year.into());
            (method.card.exp_month, method.card.exp_year) =
                Card::expires(month, year, call.at).map_err(|e| cards::refused(e, "card"))?;
        }
        if let Some(given) = &billing_details {
            merge(
                method
                    .details
                    .billing_details
                    .get_or_insert_with(|| Value::Object(Default::default())),
                given,
            );
        }
        if let Some(change) = &metadata {
            merge_metadata(&mut method.details.metadata, change.clone());
        }
        Ok(())
    };
    input
        .run(|call| modify(call, &id, "payment_method.updated", change))
        .await
}

pub(super) async fn attach(Path(id): Path<String>, mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let customer = params.required_text("customer")?;
    params.finish()?;
    input
        .run(|call| async move {
            customers::must_exist(call, &customer).await?;
            let join = |call: &Call, method: &mut PaymentMethod| {
                if method.customer_id.as_ref().is_some_and(|owner| *owner != customer) {
                    return Err(ApiError::invalid(
                        "payment_method_unexpected_state",
                        "payment_method",
                        "The payment method you provided has already been attached to a customer.",
                    ));
                }
                verify(call, method)?;
                method.customer_id = Some(customer.clone());
                Ok(())
            };
            if !instrument::is_test_token(&id) {
                return modify(call, &id, "payment_method.attached", join).await;
            }
            let mut method = instrument::test_method(call, &id, None)?;
            join(call, &mut method)?;
            let answer = answer(call, &method).await?;
            let unit = Unit::new(call.book_id())
                .insert(&method)
                .insert(&call.event("payment_method.attached", &wire::payment_method(&method)));
            call.app.commit(claim(call, unit, &method.id, Some(&answer))).await?;
            Ok(answer)
        })
        .await
}

pub(super) async fn detach(Path(id): Path<String>, mut input: In<CheckoutWrite>) -> Reply {
    input.take().finish()?;
    let leave = |_: &Call, method: &mut PaymentMethod| match method.customer_id.take() {
        Some(_) => Ok(()),
        None => Err(ApiError::invalid(
            "payment_method_unexpected_state",
            "payment_method",
            "The payment method you provided is not attached to a customer so detachment is impossible.",
        )),
    };
    input
        .run(|call| modify(call, &id, "payment_method.detached", leave))
        .await
}

pub(super) async fn index(mut input: In<CheckoutRead>) -> Reply {
    let mut params = input.take();
    let customer = params.text("customer")?;
    page(&input.call, "/v1/payment_methods", params, customer).await
}

pub(super) async fn index_of_customer(Path(customer): Path<String>, mut input: In<CheckoutRead>) -> Reply {
    let params = input.take();
    customers::must_exist(&input.call, &customer).await?;
    let url = format!("/v1/customers/{customer}/payment_methods");
    page(&input.call, &url, params, Some(customer)).await
}

pub(super) async fn retrieve_of_customer(
    Path((customer, id)): Path<(String, String)>,
    mut input: In<CheckoutRead>,
) -> Reply {
    input.take().finish()?;
    customers::must_exist(&input.call, &customer).await?;
    let method = load(&input.call, &id).await?;
    if method.customer_id.as_deref() != Some(&customer) {
        return Err(ApiError::not_found("PaymentMethod", &id, "payment_method"));
    }
    answer(&input.call, &method).await
}

async fn page(call: &Call, url: &str, mut params: Params, customer: Option<String>) -> Reply {
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    if let Some(customer) = customer {
        filters.push(list::equals("customer_id = ", customer));
    }
    if let Some(kind) = params.text("type")? {
        // every payment method here is a card
        filters.push(list::equals("'card' = ", kind));
    }
    params.ignore(&["allow_redisplay"]);
    params.finish()?;
    list::answer::<PaymentMethod>(call, url, &page, &filters, wire::payment_method).await
}

async fn load(call: &Call, method_id: &str) -> Result<PaymentMethod, ApiError> {
    let found = if id::is_valid(id::prefix::PAYMENT_METHOD, method_id) {
        let client = call.app.reads.get().await?;
        store::get(&**client, call.book_id(), method_id).await?
    } else {
        None
    };
    found.ok_or_else(|| ApiError::not_found("PaymentMethod", method_id, "payment_method"))
}

async fn modify(
    call: &Call,
    method_id: &str,
    event: &str,
    change: impl Fn(&Call, &mut PaymentMethod) -> Result<(), ApiError>,
) -> Reply {
    for _ in 0..RETRIES {
        let mut method = load(call, method_id).await?;
        change(call, &mut method)?;
        let unit = Unit::new(call.book_id())
            .update(&mut method)
            .insert(&call.event(event, &wire::payment_method(&method)));
        let answer = answer(call, &method).await?;
        match call.app.commit(claim(call, unit, method_id, Some(&answer))).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

async fn answer(call: &Call, method: &PaymentMethod) -> Reply {
    let mut object = wire::payment_method(method);
    super::expand::expand(call, &mut object, &[]).await?;
    Ok(Answer::ok(&object))
}

/// The published test cards that a bank would not let a customer save. Elsewhere the first charge tells.
fn verify(call: &Call, method: &PaymentMethod) -> Result<(), ApiError> {
    if !call.app.settings.test_mode {
        return Ok(());
    }
    let declined = UNSAVEABLE.iter().find(|(token, ..)| {
        let card = call.app.vault.test_card(token);
        card.is_some_and(|card| card.fingerprint == method.card.fingerprint)
    });
    match declined {
        None => Ok(()),
        Some((_, code, decline_code, message)) => Err(ApiError::new(402, "card_error", code, *message)
            .with("decline_code", *decline_code)
            .with("payment_method", wire::payment_method(method))),
    }
}

/// Token, code, decline code and message.
#[rustfmt::skip]
const UNSAVEABLE: &[(&str, &str, &str, &str)] = &[
    ("tok_chargeDeclined", "card_declined", "generic_decline", "Your card was declined."),
    ("tok_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds", "Your card has insufficient funds."),
    ("tok_chargeDeclinedLostCard", "card_declined", "lost_card", "Your card was declined."),
    ("tok_chargeDeclinedStolenCard", "card_declined", "stolen_card", "Your card was declined."),
    ("tok_chargeDeclinedVelocityLimitExceeded", "card_declined", "card_velocity_exceeded",
        "Your card was declined for making repeated attempts too frequently or exceeding its amount limit."),
    ("tok_chargeDeclinedExpiredCard", "expired_card", "expired_card", "Your card has expired."),
    ("tok_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."),
    ("tok_chargeDeclinedProcessingError", "processing_error", "processing_error",
        "An error occurred while processing your card. Try again in a little bit."),
];

/// Lays what was given over what there is, field by field.
fn merge(current: &mut Value, given: &Value) {
    match (current, given) {
        (Value::Object(current), Value::Object(given)) => {
            for (name, value) in given {
                merge(current.entry(name).or_insert(Value::Null), value);
            }
        }
        (current, given) => current.clone_from(given),
    }
}
