//! What a payment is made with: a stored payment method, a published test token, or a card typed into this request.
//!
//! A typed number goes to the vault before anything else is written, and its CVC lives only as long as the request. It
//! must never put either into a row, an event or a log.

use super::rows::{CardFacts, PaymentMethod, PaymentMethodDetails};
use super::store;
use crate::api::error::ApiError;
use crate::call::Call;
use crate::commit::Unit;
use crate::connector::{Capabilities, CardSource};
use crate::vault::{Card, KmsError, VaultError};
use crate::{id, wire};
use serde_json::Value;
use zeroize::Zeroizing;

/// How the caller names it.
#[derive(Clone)]
pub enum Source {
    /// `pm_..` of this merchant, or a test token `pm_card_..`
    Id(String),
    /// a card in this request
    Card(TypedCard),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source(..)")
    }
}

/// A card as typed, already checked.
#[derive(Clone)]
pub struct TypedCard {
    /// number and expiry
    pub card: Card,
    /// never stored
    pub cvc: Option<Zeroizing<String>>,
    /// name and address of the payer
    pub billing_details: Option<Value>,
    /// the caller's own keys
    pub metadata: std::collections::BTreeMap<String, String>,
}

/// A payment method in the hands of one attempt.
pub struct Instrument {
    /// the row
    pub method: PaymentMethod,
    /// made by this request: not yet in the database
    pub fresh: bool,
    /// only when typed in this very request
    pub cvc: Option<Zeroizing<String>>,
    card: Option<Card>,
}

impl Instrument {
    /// Finds or makes the payment method.
    pub async fn resolve(call: &Call, source: &Source, customer_id: Option<&str>) -> Result<Self, ApiError> {
        match source {
            Source::Id(token) if is_test_token(token) => Ok(Self {
                method: test_method(call, token, None)?,
                fresh: true,
                cvc: None,
                card: None,
            }),
            Source::Id(method_id) => {
                let client = call.app.reads.get().await?;
                let method: Option<PaymentMethod> = if id::is_valid(id::prefix::PAYMENT_METHOD, method_id) {
                    store::get(&**client, call.book_id(), method_id).await?
                } else {
                    None
                };
                let method = method.ok_or_else(|| ApiError::not_found("PaymentMethod", method_id, "payment_method"))?;
                if let (Some(owner), true) = (&method.customer_id, method.customer_id.as_deref() != customer_id) {
                    return Err(ApiError::invalid(
                        "payment_method_customer_mismatch",
                        "payment_method",
                        format!(
                            "The payment method belongs to the customer {owner}. Provide that customer with the PaymentIntent."
                        ),
                    ));
                }
                Ok(Self {
                    method,
                    fresh: false,
                    cvc: None,
                    card: None,
                })
            }
            Source::Card(typed) => {
                let method = store_card(call, typed, None).await?;
                Ok(Self {
                    method,
                    fresh: true,
                    cvc: typed.cvc.clone(),
                    card: Some(typed.card.clone()),
                })
            }
        }
    }

    /// The card for this acquirer: from this request's memory, or opened from the vault for this one call. A published
    /// test token travels as such to who knows it, and as its published number to everyone else.
    pub async fn card_source(&self, call: &Call, acquirer: &Capabilities) -> Result<CardSource, ApiError> {
        if let Some(token) = &self.method.test_token {
            if acquirer.test_tokens {
                return Ok(CardSource::TestToken(token.clone()));
            }
            let number = crate::vault::test_number(token)
                .ok_or_else(|| ApiError::internal("a test token without a published number"))?;
            return Ok(CardSource::Number {
                number,
                exp_month: self.method.card.exp_month,
                exp_year: self.method.card.exp_year,
                cvc: None,
            });
        }
        let card = match (&self.card, &self.method.vault_id) {
            (Some(card), _) => card.clone(),
            (None, Some(vault_id)) => call
                .app
                .vault
                .reveal(call.book_id(), vault_id)
                .await
                .map_err(unusable)?,
            (None, None) => return Err(ApiError::internal("a payment method without a card")),
        };
        // The row's expiry, not the vault's: a renewed card keeps its number, and the merchant updates the row.
        Ok(CardSource::Number {
            number: card.number().clone(),
            exp_month: self.method.card.exp_month,
            exp_year: self.method.card.exp_year,
            cvc: self.cvc.clone(),
        })
    }
}

/// Whether this names a published test card.
pub fn is_test_token(text: &str) -> bool {
    text.starts_with("pm_card_") || text.starts_with("tok_")
}

/// A payment method of its own for a published test token, not yet written. Outside test mode there are none.
pub fn test_method(call: &Call, token: &str, customer_id: Option<&str>) -> Result<PaymentMethod, ApiError> {
    let app = &call.app;
    let facts = app.settings.test_mode.then(|| app.vault.test_card(token)).flatten();
    let facts = facts.ok_or_else(|| ApiError::not_found("PaymentMethod", token, "payment_method"))?;
    Ok(new_method(call, facts, None, Some(token.to_owned()), customer_id))
}

/// A card that its owner let us keep: the customer's from now on, with the network's id of the attempt by which they
/// agreed to be charged without being there.
pub fn keep(
    call: &Call,
    unit: Unit,
    method: &mut PaymentMethod,
    customer_id: Option<&str>,
    agreed_by: Option<String>,
) -> Unit {
    let joins = method.customer_id.is_none() && customer_id.is_some();
    if !joins && agreed_by.is_none() {
        return unit;
    }
    if joins {
        method.customer_id = customer_id.map(str::to_owned);
    }
    method.details.agreed_by = agreed_by.or(method.details.agreed_by.take());
    let unit = unit.update(method);
    if !joins {
        return unit;
    }
    unit.insert(&call.event("payment_method.attached", &wire::payment_method(method)))
}

/// Puts a typed card into the vault and makes its payment method, not yet written.
pub async fn store_card(call: &Call, typed: &TypedCard, customer_id: Option<&str>) -> Result<PaymentMethod, ApiError> {
    let stored = call
        .app
        .vault
        .store(call.book_id(), &typed.card)
        .await
        .map_err(unusable)?;
    let mut method = new_method(call, stored.facts, Some(stored.vault_id), None, customer_id);
    method.details.billing_details.clone_from(&typed.billing_details);
    method.details.metadata.clone_from(&typed.metadata);
    Ok(method)
}

/// What a caller learns when the vault does not give or take a card.
fn unusable(error: VaultError) -> ApiError {
    match error {
        VaultError::Shredded => ApiError::invalid(
            "payment_method_unexpected_state",
            "payment_method",
            "The card behind this PaymentMethod was erased and cannot be charged. Please ask for another one.",
        ),
        VaultError::Pool(error) => error.into(),
        VaultError::Database(error) => error.into(),
        VaultError::Kms(KmsError::Unreachable(why)) => {
            tracing::error!(why, "the vault's key service does not answer");
            ApiError::busy()
        }
        other => ApiError::internal(other),
    }
}

/// A payment method row for a card.
pub fn new_method(
    call: &Call,
    card: CardFacts,
    vault_id: Option<String>,
    test_token: Option<String>,
    customer_id: Option<&str>,
) -> PaymentMethod {
    PaymentMethod {
        book_id: call.book_id(),
        id: id::new(id::prefix::PAYMENT_METHOD),
        version: 1,
        customer_id: customer_id.map(str::to_owned),
        vault_id,
        test_token,
        card,
        created_at: call.at,
        details: PaymentMethodDetails::default(),
    }
}
