//! The page that stands for the issuer's challenge: the cardholder completes or fails the authentication.
//!
//! `GET /challenge/pi_…` shows two buttons; `POST …/complete` and `…/fail` do it, and lead back to `return_url` when there is one.
//! It needs no key, like an issuer's page; it must never show more than the amount.

use crate::Simulator;
use crate::flow::Op;
use crate::id::Id;
use crate::object::{Intent, IntentStatus, Row};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;

/// Serves `rest` of `/challenge/rest`.
pub async fn page(simulator: &Simulator, method: &Method, rest: &str) -> Response<Full<Bytes>> {
    let (name, step) = rest.split_once('/').unwrap_or((rest, ""));
    match (method, step) {
        (&Method::GET, "") => form(simulator, name),
        (&Method::POST, "complete") => finish(simulator, name, true).await,
        (&Method::POST, "fail") => finish(simulator, name, false).await,
        _ => html(StatusCode::NOT_FOUND, "<p>No such page.</p>"),
    }
}

fn form(simulator: &Simulator, name: &str) -> Response<Full<Bytes>> {
    let Some(intent) = find(simulator, name) else {
        return html(StatusCode::NOT_FOUND, "<p>No such payment.</p>");
    };
    if intent.status != IntentStatus::RequiresAction {
        return html(
            StatusCode::CONFLICT,
            "<p>This payment does not wait for authentication.</p>",
        );
    }
    // Relative to /challenge/{name}; both names and currency are of a fixed alphabet.
    let body = format!(
        "<h1>Test authentication</h1><p>Pay {} {} (minor units)?</p>\
         <form method=post action=\"{name}/complete\"><button id=complete>Complete</button></form>\
         <form method=post action=\"{name}/fail\"><button id=fail>Fail</button></form>",
        intent.amount,
        intent.currency.as_str().to_uppercase()
    );
    html(StatusCode::OK, &body)
}

async fn finish(simulator: &Simulator, name: &str, passed: bool) -> Response<Full<Bytes>> {
    let Some(mut intent) = find(simulator, name) else {
        return html(StatusCode::NOT_FOUND, "<p>No such payment.</p>");
    };
    let written = {
        let mut store = simulator.store();
        // Read again under the same lock that changes it: two clicks must not both count.
        if let Some(now) = store.intents.get(intent.id) {
            intent = (**now).clone();
        }
        let mut op = Op {
            store: &mut store,
            now_ms: simulator.clock.now_ms(),
            account: intent.account.clone(),
            request: None,
            idempotency_key: None,
            delays: simulator.delays,
            api_url: simulator.api_url.clone(),
        };
        if op.authenticated(&mut intent, passed).is_err() {
            return html(
                StatusCode::CONFLICT,
                "<p>This payment does not wait for authentication.</p>",
            );
        }
        store.commit()
    };
    simulator.due.notify_one();
    if !written.wait().await {
        return html(
            StatusCode::INTERNAL_SERVER_ERROR,
            "<p>The simulator cannot write its log.</p>",
        );
    }
    let outcome = if intent.last_error.is_none() {
        "succeeded"
    } else {
        "failed"
    };
    let Some(back) = intent.return_url.as_deref() else {
        return html(StatusCode::OK, &format!("<p id=outcome>{outcome}</p>"));
    };
    let join = if back.contains('?') { '&' } else { '?' };
    let target = format!(
        "{back}{join}payment_intent={name}&payment_intent_client_secret={name}_secret_{:016x}&redirect_status={outcome}",
        intent.id.scattered()
    );
    let mut response = html(StatusCode::SEE_OTHER, "");
    match HeaderValue::from_str(&target) {
        Ok(target) => {
            response.headers_mut().insert(header::LOCATION, target);
            response
        }
        Err(_) => html(StatusCode::OK, &format!("<p id=outcome>{outcome}</p>")),
    }
}

fn find(simulator: &Simulator, name: &str) -> Option<Intent> {
    let id = Id::parse(Intent::PREFIX, name)?;
    simulator.store().intents.get(id).map(|intent| (**intent).clone())
}

fn html(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    let page = format!("<!doctype html><meta charset=utf-8><title>Authentication</title>{body}");
    let mut response = Response::new(Full::new(page.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    response
}
