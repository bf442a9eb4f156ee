//! The error envelope of the wire.
//!
//! `began` says whether the endpoint had begun to execute: only then is the answer stored under the idempotency key. Must never
//! carry a card number: messages are fixed text, amounts and ids.

use serde::Serialize;
use std::borrow::Cow;

/// An answer that is not a 2xx, except a decline by the issuer (see [`crate::api::Answer::Declined`]).
#[derive(Debug, Clone)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// Stored under the idempotency key when true.
    pub began: bool,
    kind: &'static str,
    code: Option<&'static str>,
    decline_code: Option<&'static str>,
    message: Cow<'static, str>,
    param: Option<Cow<'static, str>>,
}

impl ApiError {
    /// A request refused before anything ran: 400.
    pub fn invalid(param: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            param: Some(param.into()),
            ..Self::new(400, "invalid_request_error", None, message)
        }
    }

    /// A required parameter is absent: 400 `parameter_missing`.
    pub fn missing(param: &'static str) -> Self {
        Self::invalid(param, format!("Missing required param: {param}.")).code("parameter_missing")
    }

    /// No such object for this account: 404 `resource_missing`.
    pub fn not_found(object: &str, id: &str) -> Self {
        Self {
            param: Some("id".into()),
            ..Self::new(
                404,
                "invalid_request_error",
                Some("resource_missing"),
                format!("No such {object}: '{id}'"),
            )
        }
    }

    /// The object's state forbids it: 400 with the given code, stored under the key.
    pub fn state(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            began: true,
            ..Self::new(400, "invalid_request_error", Some(code), message)
        }
    }

    /// The card itself is unusable; nothing reached an issuer: 402.
    pub fn card(code: &'static str, param: &'static str, message: &'static str) -> Self {
        Self {
            param: Some(param.into()),
            began: true,
            ..Self::new(402, "card_error", Some(code), message)
        }
    }

    /// Any other answer.
    pub fn new(
        status: u16,
        kind: &'static str,
        code: Option<&'static str>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            began: false,
            kind,
            code,
            decline_code: None,
            message: message.into(),
            param: None,
        }
    }

    /// The same with a code.
    pub fn code(self, code: &'static str) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    /// The same with the issuer's reason.
    pub fn decline_code(self, code: &'static str) -> Self {
        Self {
            decline_code: Some(code),
            ..self
        }
    }

    /// The same, stored under the key because the endpoint had begun.
    pub fn began(self) -> Self {
        Self { began: true, ..self }
    }

    /// The same, blaming a parameter.
    pub fn param(self, param: &'static str) -> Self {
        Self {
            param: Some(param.into()),
            ..self
        }
    }

    /// The envelope.
    pub fn body(&self) -> String {
        let error = Body {
            code: self.code,
            doc_url: self
                .code
                .map(|code| format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-"))),
            decline_code: self.decline_code,
            message: &self.message,
            param: self.param.as_deref(),
            kind: self.kind,
        };
        serde_json::to_string(&Envelope { error }).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    doc_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<&'a str>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'a str>,
    #[serde(rename = "type")]
    kind: &'a str,
}
