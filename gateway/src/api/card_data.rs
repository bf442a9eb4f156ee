//! Card numbers where none belongs: in the URL or a header. They are refused before anything reads, stores or repeats them.
//!
//! Bodies are checked where they are parsed, parameter by parameter. The refusal names the place and never the text.

use super::error::ApiError;
use crate::vault::contains_card_number;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, Uri, header};

/// Answers 400 to a request with a card number in its URL or headers.
pub async fn refuse(request: Request, next: Next) -> Response {
    match in_url(request.uri()).or_else(|| in_headers(request.headers())) {
        None => next.run(request).await,
        Some(place) => {
            // Whoever writes access logs in front of us has it already: the merchant must know.
            tracing::warn!(
                place = if place.starts_with("header ") { "header" } else { "url" },
                "card number refused"
            );
            ApiError::invalid(
                "parameter_invalid_string",
                place,
                "This looks like a card number. Card numbers are accepted in the body, in card[number] alone; URLs and headers \
                 end up in logs on the way.",
            )
            .into_response()
        }
    }
}

fn in_url(uri: &Uri) -> Option<String> {
    if form_urlencoded::parse(uri.path().as_bytes())
        .any(|(path, rest)| contains_card_number(&path) || contains_card_number(&rest))
    {
        return Some("path".to_owned());
    }
    let mut pairs = form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.find_map(|(name, value)| match () {
        () if contains_card_number(&name) => Some("query".to_owned()),
        () if contains_card_number(&value) => Some(name.into_owned()),
        () => None,
    })
}

fn in_headers(headers: &HeaderMap) -> Option<String> {
    headers
        .iter()
        .filter(|(name, _)| !MADE_OF_DIGITS.contains(name))
        .find(|(_, value)| contains_card_number(&String::from_utf8_lossy(value.as_bytes())))
        .map(|(name, _)| format!("header {name}"))
}

/// Headers that proxies write, with addresses and hexadecimal in them: one in ten of the right length passes for a card.
const MADE_OF_DIGITS: [HeaderName; 8] = [
    header::FORWARDED,
    header::VIA,
    header::DATE,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_however_they_are_written() {
        for (uri, place) in [
            ("/v1/payment_intents/4242424242424242", Some("path")),
            ("/v1/customers/4242%2042424242%204242", Some("path")),
            ("/v1/customers?email=%34242424242424242", Some("email")),
            ("/v1/customers?email=4242+4242+4242+4242", Some("email")),
            ("/v1/customers?4242424242424242=1", Some("query")),
            ("/v1/customers?limit=10&starting_after=cus_4242424242424241", None),
            ("/v1/payment_intents/pi_0198c5a7d3f17a0c", None),
        ] {
            assert_eq!(in_url(&uri.parse().unwrap()).as_deref(), place, "{uri}");
        }
        for (name, value, found) in [
            ("idempotency-key", "order 4242-4242-4242-4242", true),
            ("user-agent", "shop/1.0 (4242424242424242)", true),
            (
                "idempotency-key",
                "stripe-node-retry-42424242-4242-4242-8242-424242424242",
                false,
            ),
            ("idempotency-key", "42424242-4242-4242-8242-424242424242-2", false),
            ("authorization", "Bearer 4242424242424242", true),
            ("x-forwarded-for", "42.42.42.42, 42.42.42.42", false),
            ("idempotency-key", "0198c5a7-d3f1-7a0c-9b1e-424242424242", false),
            ("x-order", "4242424242424241", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(in_headers(&headers).is_some(), found, "{name}: {value}");
        }
    }
}
