//! `expand[]`: ids in an answer replaced by the objects they name.
//!
//! Objects that the running request has just made are passed in; the rest is read, always in this merchant's book.

use super::error::ApiError;
use crate::call::Call;
use crate::payment::rows::*;
use crate::payment::store;
use crate::{id, wire};
use serde_json::Value;

/// Expands every path the call asks for, in place. In a list answer the paths start with `data.`.
pub async fn expand(call: &Call, object: &mut Value, known: &[Value]) -> Result<(), ApiError> {
    for path in &call.expand {
        let parts: Vec<&str> = path.split('.').collect();
        walk(call, object, &parts, path, known).await?;
    }
    Ok(())
}

fn walk<'a>(
    call: &'a Call,
    object: &'a mut Value,
    parts: &'a [&'a str],
    path: &'a str,
    known: &'a [Value],
) -> futures_util::future::BoxFuture<'a, Result<(), ApiError>> {
    Box::pin(async move {
        let Some((first, rest)) = parts.split_first() else {
            return Ok(());
        };
        if let Value::Array(items) = object {
            for item in items {
                walk(call, item, parts, path, known).await?;
            }
            return Ok(());
        }
        let Some(slot) = object.as_object_mut().and_then(|o| o.get_mut(*first)) else {
            return Err(ApiError::invalid(
                "parameter_invalid_value",
                "expand",
                format!("This property cannot be expanded ({}).", super::error::shown(path)),
            ));
        };
        if let Value::String(reference) = slot {
            match fetch(call, reference, known).await? {
                Some(found) => *slot = found,
                None => {
                    return Err(ApiError::invalid(
                        "parameter_invalid_value",
                        "expand",
                        format!("This property cannot be expanded ({}).", super::error::shown(path)),
                    ));
                }
            }
        }
        if slot.is_null() {
            Ok(())
        } else {
            walk(call, slot, rest, path, known).await
        }
    })
}

async fn fetch(call: &Call, reference: &str, known: &[Value]) -> Result<Option<Value>, ApiError> {
    if let Some(object) = known
        .iter()
        .find(|o| o.get("id").and_then(Value::as_str) == Some(reference))
    {
        return Ok(Some(object.clone()));
    }
    object(call, reference).await
}

/// The object with this id, rendered, if this merchant has it.
pub async fn object(call: &Call, reference: &str) -> Result<Option<Value>, ApiError> {
    let client = call.app.reads.get().await?;
    let (client, book) = (&**client, call.book_id());
    Ok(match id::kind(reference) {
        Some(id::prefix::PAYMENT) => store::get::<Payment>(client, book, reference)
            .await?
            .map(|p| wire::payment_intent(&p)),
        Some(id::prefix::CHARGE) => match store::get::<Charge>(client, book, reference).await? {
            Some(charge) => store::get::<Payment>(client, book, &charge.payment_id)
                .await?
                .map(|payment| wire::charge(&charge, &payment)),
            None => None,
        },
        Some(id::prefix::REFUND) => store::get::<Refund>(client, book, reference)
            .await?
            .map(|r| wire::refund(&r)),
        Some(id::prefix::DISPUTE) => {
            match store::get::<crate::dispute::rows::Dispute>(client, book, reference).await? {
                Some(dispute) => crate::dispute::flow::rendered(call, &[dispute]).await?.pop(),
                None => None,
            }
        }
        Some(id::prefix::CUSTOMER) => store::get::<Customer>(client, book, reference)
            .await?
            .map(|c| wire::customer(&c)),
        Some(id::prefix::PAYMENT_METHOD) => store::get::<PaymentMethod>(client, book, reference)
            .await?
            .map(|m| wire::payment_method(&m)),
        Some(id::prefix::BALANCE_TRANSACTION) => store::get::<BalanceTransaction>(client, book, reference)
            .await?
            .map(|t| wire::balance_transaction(&t, call.at)),
        Some(id::prefix::REVIEW) => match store::get::<Review>(client, book, reference).await? {
            Some(review) => {
                let charge = store::get::<Charge>(client, book, &review.charge_id).await?;
                Some(wire::review(&review, charge.as_ref()))
            }
            None => None,
        },
        _ => None,
    })
}
