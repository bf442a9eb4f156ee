//! `/receipts/..`: a receipt as a page, with no key but its own address.
//!
//! It shows what the receipt's e-mail says and what was given back since; never more of the card than its last four.

use super::{content, number, words};
use crate::api::error::ApiError;
use crate::app::App;
use crate::call::Call;
use crate::id;
use crate::payment::rows::{Charge, Payment};
use crate::payment::store;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, header};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The address of a charge's receipt; none while nobody said where payers reach us.
pub fn address(call: &Call, charge_id: &str) -> Option<String> {
    let base = call.app.settings.payers_base_url.as_ref()?;
    Some(format!(
        "{base}/receipts/{}/{charge_id}/{}",
        call.merchant.id,
        id::random()
    ))
}

/// The page.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path((account, charge_id, token)): Path<(String, String, String)>,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found("receipt", &charge_id, "receipt");
    if !id::is_valid(id::prefix::ACCOUNT, &account) || !id::is_valid(id::prefix::CHARGE, &charge_id) {
        return Err(unknown());
    }
    let merchant = app.merchant_by_id(&account).await?.ok_or_else(unknown)?;
    let call = Call::background(app.clone(), merchant);
    let client = app.reads.get().await?;
    let charge: Charge = store::get(&**client, call.book_id(), &charge_id)
        .await?
        .ok_or_else(unknown)?;
    let known = charge.receipt_url.as_ref().and_then(|url| url.rsplit('/').next());
    let same = known.is_some_and(|known| known.as_bytes().ct_eq(token.as_bytes()).into());
    if !same {
        return Err(unknown());
    }
    let payment: Payment = store::get(&**client, call.book_id(), &charge.payment_id)
        .await?
        .ok_or_else(unknown)?;
    drop(client);
    let capture = charge.balance_transaction_id.as_deref().unwrap_or_default();
    let mut about = content(&call, &payment, &charge);
    about.url = None;
    let words = words::of(
        payment.details.receipt_locale,
        &number(capture),
        charge.amount_captured,
        &charge.currency,
        charge.created_at,
        &about,
    );
    let refunded = (charge.amount_refunded > 0).then(|| words::money(charge.amount_refunded, &charge.currency));
    let mut response = Html(page(&words, refunded)).into_response();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

fn page(words: &words::Words, refunded: Option<String>) -> String {
    let title = escaped(&words.title);
    let mut rows = String::new();
    for (label, text) in &words.lines {
        rows.push_str(&format!("<tr><th scope=row>{}<td>{}", escaped(label), escaped(text)));
    }
    if let Some(refunded) = refunded {
        rows.push_str(&format!("<tr><th scope=row>&minus;<td>{}", escaped(&refunded)));
    }
    format!(
        "<!doctype html><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><meta name=robots content=noindex>\
         <title>{title}</title><h1>{title}</h1><table>{rows}</table>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
