//! `/return/..`: where a payer's browser comes back to after a challenge, with no key but the address itself.
//!
//! What the address says about the outcome is not read: the acquirer is asked, and the browser is sent on to the
//! merchant's own page, which learns from its server. It must never show anything of the payment but whether it is done.

use super::error::ApiError;
use crate::app::App;
use crate::id;
use crate::payment::flow::challenge;
use crate::payment::rows::Status;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::header;
use std::sync::Arc;

pub(super) async fn payer(
    State(app): State<Arc<App>>,
    Path((account, payment, token)): Path<(String, String, String)>,
) -> Result<Response, ApiError> {
    let shaped = id::is_valid(id::prefix::ACCOUNT, &account) && id::is_valid(id::prefix::PAYMENT, &payment);
    if !shaped {
        return Err(ApiError::not_found("payment_intent", &payment, "intent"));
    }
    let (status, back) = challenge::returned(&app, &account, &payment, &token).await?;
    let mut response = match back {
        Some(target) => Redirect::to(&target).into_response(),
        None => Html(page(status)).into_response(),
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

fn page(status: Status) -> String {
    let text = match status {
        Status::Succeeded | Status::RequiresCapture => "The payment was approved.",
        Status::RequiresAction | Status::Processing => "The bank has not decided yet.",
        _ => "The payment was not completed.",
    };
    format!(
        "<!doctype html><meta charset=utf-8><title>Payment</title><p>{text} You can close this window and return to the shop.</p>"
    )
}
