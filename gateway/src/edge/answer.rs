//! The answers that the edge gives by itself, in the envelope that clients already parse. Never text, never without an id.

use axum::body::Body;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

/// Identity of one request: in its extensions, in the answer's `Request-Id` and on each log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    pub(super) fn random() -> Self {
        let text = format!("req_{}", hex::encode(rand::random::<[u8; 12]>()));
        Self(HeaderValue::try_from(text).expect("hexadecimal is a valid header value"))
    }

    /// `req_` and 24 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("hexadecimal is visible ASCII")
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Why the edge answers instead of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// More or longer header fields than allowed.
    HeadTooLarge,
    /// Path and query longer than allowed.
    UriTooLong,
    /// A compressed body: its real size is unknown before it is too late.
    Encoded,
    /// Body longer than allowed.
    BodyTooLarge,
    /// Body slower than allowed.
    BodyTooSlow,
    /// Body that broke off or broke its framing.
    BodyBroken,
    /// Requests or request bodies exceed what this process takes on at once.
    Busy,
    /// The handler panicked.
    Panicked,
    /// The handler has no answer yet; it goes on.
    Overdue,
}

impl Refusal {
    /// Status, `type`, `code` and message of the envelope.
    fn words(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        const INVALID: &str = "invalid_request_error";
        const OURS: &str = "api_error";
        match self {
            Self::HeadTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                INVALID,
                "header_fields_too_large",
                "The header fields of this request are too large.",
            ),
            Self::UriTooLong => (
                StatusCode::URI_TOO_LONG,
                INVALID,
                "uri_too_long",
                "The path and query of this request are too long.",
            ),
            Self::Encoded => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                INVALID,
                "content_encoding_unsupported",
                "Compressed request bodies are not accepted; send the body without Content-Encoding.",
            ),
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                INVALID,
                "body_too_large",
                "The body of this request is too large.",
            ),
            Self::BodyTooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                INVALID,
                "body_timeout",
                "The body of this request did not arrive in time; nothing was executed.",
            ),
            Self::BodyBroken => (
                StatusCode::BAD_REQUEST,
                INVALID,
                "body_incomplete",
                "The body of this request did not arrive whole; nothing was executed.",
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                OURS,
                "server_busy",
                "The service is at its limit; nothing was executed. Try again with the same idempotency key.",
            ),
            Self::Overdue => (
                StatusCode::GATEWAY_TIMEOUT,
                OURS,
                "outcome_unknown",
                "There is no answer in time: the outcome of this request is not known, and it may still be executed. Try again with the same idempotency key, which gives its outcome.",
            ),
            Self::Panicked => (
                StatusCode::INTERNAL_SERVER_ERROR,
                OURS,
                "internal_error",
                "Something went wrong on our side. Try again with the same idempotency key.",
            ),
        }
    }

    /// The answer. `close` adds `Connection: close`, for HTTP/1.1 when the rest of the request is not read.
    pub(super) fn response(self, close: bool) -> Response<Body> {
        let (status, kind, code, message) = self.words();
        let envelope = serde_json::json!({ "error": { "type": kind, "code": code, "message": message } });
        let mut response = Response::new(Body::from(envelope.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(self, Self::Busy | Self::Overdue) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("true"));
        }
        if close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Steers the official SDKs, which retry 5xx by themselves.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("stripe-should-retry");
