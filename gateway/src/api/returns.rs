//! `/return/..`: where a payer's browser comes back to after a challenge, with no key but the address itself.
//!
//! What the address says about the outcome is not read: the acquirer is asked, and the browser is sent on to the
//! merchant's own page, which learns from its server. It must never show anything of the payment but whether it is done.

use super::error::ApiError;
use crate::app::App;
use crate::call::Call;
use crate::payment::flow::challenge;
use crate::payment::rows::Status;
use crate::{id, setup};
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::header;
use std::sync::Arc;

pub(super) async fn payer(
    State(app): State<Arc<App>>,
    Path((account, intent, token)): Path<(String, String, String)>,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found("payment_intent", &intent, "intent");
    if !id::is_valid(id::prefix::ACCOUNT, &account) {
        return Err(unknown());
    }
    let merchant = app.merchant_by_id(&account).await?.ok_or_else(unknown)?;
    let call = Call::background(app.clone(), merchant);
    let (text, back) = match id::kind(&intent) {
        Some(id::prefix::SETUP) => {
            let (done, back) = setup::flow::returned(&call, &intent, &token).await?;
            let text = if done {
                "The card was saved."
            } else {
                "The card was not saved yet."
            };
            (text, back)
        }
        _ if id::is_valid(id::prefix::PAYMENT, &intent) => {
            let (status, back) = challenge::returned(&call, &intent, &token).await?;
            (outcome(status), back)
        }
        _ => return Err(unknown()),
    };
    let mut response = match back {
        Some(target) => Redirect::to(&target).into_response(),
        None => Html(page(text)).into_response(),
    };
    // The address is a secret of the payer's: no cache keeps it, no page learns it as a referrer.
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
    ] {
        response
            .headers_mut()
            .insert(name, http::HeaderValue::from_static(value));
    }
    Ok(response)
}

fn outcome(status: Status) -> &'static str {
    match status {
        Status::Succeeded | Status::RequiresCapture => "The payment was approved.",
        Status::RequiresAction | Status::Processing => "The bank has not decided yet.",
        _ => "The payment was not completed.",
    }
}

fn page(text: &str) -> String {
    format!(
        "<!doctype html><meta charset=utf-8><title>Payment</title><p>{text} You can close this window and return to the shop.</p>"
    )
}
