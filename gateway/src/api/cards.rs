//! Cards in parameters: `payment_method`, `payment_method_data[card]` and `card` of `/v1/payment_methods`.
//!
//! The number is taken out of the parameters here and lives in wiped memory from then on.

use super::error::ApiError;
use super::params::Params;
use crate::payment::instrument::{Source, TypedCard};
use crate::vault::{Card, CardError};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// What to pay with, by id or typed; at most one of the two.
pub(super) fn source(params: &mut Params, now: Timestamp) -> Result<Option<Source>, ApiError> {
    let by_id = params.text("payment_method")?;
    let typed = match params.group("payment_method_data")? {
        None => None,
        Some(mut data) => {
            let given = given(&mut data, now)?;
            data.ignore(&["allow_redisplay", "radar_options"]);
            data.finish()?;
            Some(match given {
                Given::Card(card) => Source::Card(card),
                Given::Token { token, .. } => Source::Id(token),
            })
        }
    };
    match (by_id, typed) {
        (Some(_), Some(_)) => Err(ApiError::invalid(
            "parameter_conflict",
            "payment_method_data",
            "Give payment_method or payment_method_data, not both.",
        )),
        (Some(id), None) => Ok(Some(Source::Id(id))),
        (None, typed) => Ok(typed),
    }
}

/// What a new payment method is made of.
pub(super) enum Given {
    /// a number
    Card(TypedCard),
    /// a published test token, `tok_..`
    Token {
        token: String,
        billing_details: Option<Value>,
        metadata: BTreeMap<String, String>,
    },
}

/// `type=card`, `card[number|exp_month|exp_year|cvc]` or `card[token]`, `billing_details`, `metadata`.
pub(super) fn given(params: &mut Params, now: Timestamp) -> Result<Given, ApiError> {
    let kind = params.required_text("type")?;
    if kind != "card" {
        return Err(ApiError::invalid(
            "parameter_invalid_value",
            params.param("type"),
            format!(
                "The payment method type {} is not available; card is.",
                super::error::shown(&kind)
            ),
        ));
    }
    let name = params.param("card");
    let mut card = params.group("card")?.ok_or_else(|| ApiError::missing(&name))?;
    let billing_details = params.value("billing_details")?;
    let mut metadata = BTreeMap::new();
    if let Some(change) = params.metadata("metadata")? {
        crate::payment::flow::merge_metadata(&mut metadata, change);
    }
    if let Some(token) = card.text("token")? {
        card.finish()?;
        if !token.starts_with("tok_") {
            return Err(ApiError::not_found("token", &token, &format!("{name}[token]")));
        }
        return Ok(Given::Token {
            token,
            billing_details,
            metadata,
        });
    }
    let number = Zeroizing::new(card.required_text("number")?);
    let month = card
        .integer("exp_month")?
        .ok_or_else(|| ApiError::missing(&card.param("exp_month")))?;
    let year = card
        .integer("exp_year")?
        .ok_or_else(|| ApiError::missing(&card.param("exp_year")))?;
    let cvc = card.text("cvc")?.map(Zeroizing::new);
    card.ignore(&["networks"]);
    let checked = Card::parse(&number, month, year, cvc.as_ref().map(|c| c.as_str()), now)
        .map_err(|error| refused(error, &name))?;
    card.finish()?;
    Ok(Given::Card(TypedCard {
        card: checked,
        cvc,
        billing_details,
        metadata,
    }))
}

/// The 402 for a card that cannot be one; `group` is the card's parameter.
pub(super) fn refused(error: CardError, group: &str) -> ApiError {
    let mut refusal = ApiError::new(402, "card_error", error.code(), error.to_string());
    refusal.param = Some(format!("{group}[{}]", error.param()));
    refusal
}
