//! `expand[]`: ids in an answer replaced by the objects they name.
//!
//! Objects that the running request has just made are passed in; the rest is read, always in this merchant's book, and
//! per level of a path in one query a kind, however many rows a list has.

use super::error::ApiError;
use crate::call::Call;
use crate::dispute::rows::Dispute;
use crate::funds::rows::Payout;
use crate::payment::application_fee::FeeRefund;
use crate::payment::rows::*;
use crate::payment::store;
use crate::receipt::Receipt;
use crate::{id, wire};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Expands every path the call asks for, in place. In a list answer the paths start with `data.`.
pub async fn expand(call: &Call, object: &mut Value, known: &[Value]) -> Result<(), ApiError> {
    for path in &call.expand {
        let refused = || {
            ApiError::invalid(
                "parameter_invalid_value",
                "expand",
                format!("This property cannot be expanded ({}).", super::error::shown(path)),
            )
        };
        let mut level = vec![&mut *object];
        for part in path.split('.') {
            let mut slots = Vec::new();
            for value in level {
                step(value, part, &mut slots).ok_or_else(refused)?;
            }
            let found = fetch(call, &slots, known).await?;
            for slot in &mut slots {
                if let Value::String(reference) = &**slot {
                    **slot = found.get(reference.as_str()).cloned().ok_or_else(refused)?;
                }
            }
            slots.retain(|slot| !slot.is_null());
            level = slots;
        }
    }
    Ok(())
}

/// The property `part` of a value, or of every element of a list.
fn step<'a>(value: &'a mut Value, part: &str, slots: &mut Vec<&'a mut Value>) -> Option<()> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| step(item, part, slots)),
        Value::Object(fields) => fields.get_mut(part).map(|slot| slots.push(slot)),
        _ => None,
    }
}

/// What the ids in these slots name.
async fn fetch(call: &Call, slots: &[&mut Value], known: &[Value]) -> Result<HashMap<String, Value>, ApiError> {
    let mut found = HashMap::new();
    let mut unknown = Vec::new();
    for reference in slots.iter().filter_map(|slot| slot.as_str()) {
        match known
            .iter()
            .find(|o| o.get("id").and_then(Value::as_str) == Some(reference))
        {
            Some(object) => drop(found.insert(reference.to_owned(), object.clone())),
            None => unknown.push(reference),
        }
    }
    if !unknown.is_empty() {
        for object in objects(call, &unknown).await? {
            if let Some(id) = object.get("id").and_then(Value::as_str) {
                found.insert(id.to_owned(), object);
            }
        }
    }
    Ok(found)
}

/// The object with this id, rendered, if this merchant has it.
pub async fn object(call: &Call, reference: &str) -> Result<Option<Value>, ApiError> {
    Ok(objects(call, &[reference]).await?.pop())
}

/// The objects with these ids, rendered, in no order; what this merchant does not have is left out.
pub async fn objects(call: &Call, references: &[&str]) -> Result<Vec<Value>, ApiError> {
    let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for reference in references {
        if let Some(kind) = id::kind(reference) {
            kinds.entry(kind).or_default().push(reference);
        }
    }
    let mut rendered = Vec::with_capacity(references.len());
    let client = call.app.reads.get().await?;
    let (client, book) = (&**client, call.book_id());
    for (kind, ids) in kinds {
        match kind {
            id::prefix::PAYMENT => {
                let rows: Vec<Payment> = store::get_many(client, book, &ids).await?;
                rendered.extend(rows.iter().map(wire::payment_intent));
            }
            id::prefix::CHARGE => {
                let rows: Vec<Charge> = store::get_many(client, book, &ids).await?;
                rendered.extend(charges(client, book, &rows).await?);
            }
            id::prefix::SETUP => {
                let rows: Vec<crate::setup::SetupIntent> = store::get_many(client, book, &ids).await?;
                rendered.extend(rows.iter().map(wire::setup_intent));
            }
            id::prefix::FILE => {
                let rows: Vec<crate::file::File> = store::get_many(client, book, &ids).await?;
                rendered.extend(rows.iter().map(wire::file));
            }
            id::prefix::REFUND => {
                let rows: Vec<Refund> = store::get_many(client, book, &ids).await?;
                rendered.extend(rows.iter().map(wire::refund));
            }
            id::prefix::DISPUTE => {
                let rows: Vec<Dispute> = store::get_many(client, book, &ids).await?;
                rendered.extend(crate::dispute::flow::rendered(call, &rows).await?);
            }
            id::prefix::CUSTOMER => {
                let rows: Vec<Customer> = store::get_many(client, book, &ids).await?;
                rendered.extend(rows.iter().map(wire::customer));
            }
            id::prefix::PAYMENT_METHOD => {
                let rows: Vec<PaymentMethod> = store::get_many(client, book, &ids).await?;
                rendered.extend(rows.iter().map(wire::payment_method));
            }
            id::prefix::BALANCE_TRANSACTION => {
                let rows: Vec<BalanceTransaction> = store::get_many(client, book, &ids).await?;
                rendered.extend(rows.iter().map(|t| wire::balance_transaction(t, call.at)));
            }
            id::prefix::REVIEW => {
                let rows: Vec<Review> = store::get_many(client, book, &ids).await?;
                rendered.extend(reviews(client, book, &rows).await?);
            }
            id::prefix::RECEIPT => {
                let rows: Vec<Receipt> = store::get_many(client, book, &ids).await?;
                rendered.extend(rows.iter().map(wire::receipt));
            }
            id::prefix::APPLICATION_FEE => {
                rendered.extend(super::application_fees::rendered(call, client, &ids).await?);
            }
            id::prefix::FEE_REFUND => {
                let rows: Vec<FeeRefund> = store::get_many(client, book, &ids).await?;
                rendered.extend(rows.iter().map(wire::fee_refund));
            }
            id::prefix::PAYOUT => {
                let rows: Vec<Payout> = store::get_many(client, book, &ids).await?;
                rendered.extend(rows.iter().map(wire::payout));
            }
            id::prefix::BANK_ACCOUNT => {
                let all = crate::funds::store::bank_accounts(client, book).await?;
                rendered.extend(all.iter().filter(|bank| ids.contains(&bank.id.as_str())).map(|bank| {
                    let default = crate::funds::bank::default_of(&all, &bank.currency).is_some_and(|d| d.id == bank.id);
                    wire::bank_account(bank, &call.merchant.id, default)
                }));
            }
            _ => {}
        }
    }
    Ok(rendered)
}

/// Charges rendered with what they inherit from their payments, in their order.
pub(super) async fn charges(
    client: &impl tokio_postgres::GenericClient,
    book_id: i64,
    rows: &[Charge],
) -> Result<Vec<Value>, ApiError> {
    let ids: Vec<&str> = rows.iter().map(|c| c.payment_id.as_str()).collect();
    let payments = by_id(store::get_many::<Payment>(client, book_id, &ids).await?, |p| &p.id);
    rows.iter()
        .map(|charge| match payments.get(&charge.payment_id) {
            Some(payment) => Ok(wire::charge(charge, payment)),
            None => Err(ApiError::internal("a charge without its payment")),
        })
        .collect()
}

/// Reviews rendered with the verdict on their charges, in their order.
pub(super) async fn reviews(
    client: &impl tokio_postgres::GenericClient,
    book_id: i64,
    rows: &[Review],
) -> Result<Vec<Value>, ApiError> {
    let ids: Vec<&str> = rows.iter().map(|r| r.charge_id.as_str()).collect();
    let charges = by_id(store::get_many::<Charge>(client, book_id, &ids).await?, |c| &c.id);
    Ok(rows
        .iter()
        .map(|review| wire::review(review, charges.get(&review.charge_id)))
        .collect())
}

fn by_id<R>(rows: Vec<R>, id: impl Fn(&R) -> &String) -> HashMap<String, R> {
    rows.into_iter().map(|row| (id(&row).clone(), row)).collect()
}
