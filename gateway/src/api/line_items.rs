//! `line_items`: what is sold, with list and deal price. A snapshot: it is written with the payment and never changed.
//!
//! It must add up to the payment's amount; what does not is refused before anything is written (and again by a CHECK).

use super::error::ApiError;
use super::params::Params;
use serde_json::{Value, json};

/// More than fit on any receipt.
const MAX_ITEMS: usize = 200;
const MAX_QUANTITY: i64 = 1_000_000;

/// Reads the items, if any, of a payment of this amount.
pub(super) fn read(params: &mut Params, amount: i64) -> Result<Option<Value>, ApiError> {
    let Some(groups) = params.groups("line_items")? else {
        return Ok(None);
    };
    if groups.is_empty() || groups.len() > MAX_ITEMS {
        return Err(ApiError::invalid(
            "parameter_invalid_array",
            "line_items",
            format!("From 1 to {MAX_ITEMS} line items."),
        ));
    }
    let mut total = Some(0i64);
    let mut items = Vec::with_capacity(groups.len());
    for mut item in groups {
        let name = item.required_text("name")?;
        let quantity = item.integer("quantity")?.unwrap_or(1);
        if !(1..=MAX_QUANTITY).contains(&quantity) {
            return Err(ApiError::invalid(
                "parameter_invalid_integer",
                item.param("quantity"),
                format!("A quantity is from 1 to {MAX_QUANTITY}."),
            ));
        }
        let deal = price(&mut item, "deal_price")?;
        let deal = deal.ok_or_else(|| ApiError::missing(&item.param("deal_price")))?;
        let list = price(&mut item, "list_price")?.unwrap_or(deal);
        let product = item.text("product_code")?;
        item.finish()?;
        total = total.and_then(|total| total.checked_add(deal.checked_mul(quantity)?));
        items.push(json!({
            "name": name, "product_code": product, "quantity": quantity, "list_price": list, "deal_price": deal,
        }));
    }
    if total == Some(amount) {
        return Ok(Some(Value::Array(items)));
    }
    let shown = total.map_or_else(|| "more than can be paid".to_owned(), |total| total.to_string());
    Err(ApiError::invalid(
        "line_items_mismatch",
        "line_items",
        format!(
            "The line items add up to {shown} (quantity times deal_price, minor units), the amount is {amount}. They must be equal."
        ),
    ))
}

/// Minor units; a gift costs nothing.
fn price(item: &mut Params, name: &str) -> Result<Option<i64>, ApiError> {
    let price = item.integer(name)?;
    match price.filter(|price| !(0..=super::params::MAX_AMOUNT).contains(price)) {
        None => Ok(price),
        Some(_) => Err(ApiError::invalid(
            "parameter_invalid_integer",
            item.param(name),
            format!("A price is from 0 to {} (minor units).", super::params::MAX_AMOUNT),
        )),
    }
}
