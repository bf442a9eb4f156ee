//! Errors meet HTTP here, once and last: Stripe's envelope, its types, codes and statuses.
//!
//! A message tells the caller what is wrong and what to do. It must never carry an internal text, a card number or
//! another merchant's existence.

use crate::commit::Refused;
use crate::payment::state::Rejection;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use tokio_postgres::error::SqlState;

/// A refusal as the caller sees it.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// HTTP status; SDKs choose the exception class by it
    pub status: u16,
    /// `invalid_request_error`, `card_error`, `idempotency_error`, `api_error`, `authentication_error`, ..
    pub r#type: &'static str,
    /// machine-readable reason
    pub code: Option<String>,
    /// the parameter that is wrong, in bracket form
    pub param: Option<String>,
    /// for people
    pub message: String,
    /// further members of the envelope: decline_code, charge, payment_intent, payment_method
    pub more: Box<Map<String, Value>>, // boxed: every handler's Result has the size of its error
    /// seconds to wait, when waiting helps
    pub retry_after: Option<u32>,
    /// steers the SDKs' own retries
    pub should_retry: Option<bool>,
    /// the idempotency key was taken by another request: its stored answer decides
    pub(crate) key_taken: bool,
}

impl ApiError {
    /// An error with nothing but the obligatory parts.
    pub fn new(status: u16, r#type: &'static str, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            r#type,
            code: (!code.is_empty()).then(|| code.to_owned()),
            param: None,
            message: message.into(),
            more: Box::default(),
            retry_after: None,
            should_retry: None,
            key_taken: false,
        }
    }

    /// 400: the request is wrong and will stay wrong.
    pub fn invalid(code: &str, param: impl Into<String>, message: impl Into<String>) -> Self {
        let param = param.into();
        let mut error = Self::new(400, "invalid_request_error", code, message);
        error.param = (!param.is_empty()).then_some(param);
        error
    }

    /// 400: a parameter that must be there is not.
    pub fn missing(param: &str) -> Self {
        Self::invalid("parameter_missing", param, format!("Missing required param: {param}."))
    }

    /// 404: no such object *for this merchant*; another merchant's object looks the same.
    pub fn not_found(kind: &str, id: &str, param: &str) -> Self {
        let mut error = Self::invalid("resource_missing", param, format!("No such {kind}: '{}'", shown(id)));
        error.status = 404;
        error
    }

    /// 401: no or wrong key.
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(401, "invalid_request_error", "", message)
    }

    /// 403: a good key without the right.
    pub fn forbidden(code: &str, message: impl Into<String>) -> Self {
        Self::new(403, "invalid_request_error", code, message)
    }

    /// 409: the same key is at work right now.
    pub fn key_in_use(key: &str) -> Self {
        let mut error = Self::new(
            409,
            "idempotency_error",
            "idempotency_key_in_use",
            format!(
                "There is currently another in-progress request using this Idempotency-Key (that probably means you \
                 submitted twice, and the other request is still going through): {}. Please try again later.",
                shown(key)
            ),
        );
        error.should_retry = Some(true);
        error
    }

    /// 503: nothing was accepted, try again.
    pub fn busy() -> Self {
        let mut error = Self::new(
            503,
            "api_error",
            "overloaded",
            "The service is at capacity and accepted nothing. Retry after a moment.",
        );
        error.retry_after = Some(1);
        error.should_retry = Some(true);
        error
    }

    /// 500: our fault. The cause goes to the log, not to the caller.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(cause = %cause, "internal error");
        Self::new(
            500,
            "api_error",
            "",
            "Something went wrong on our side. The request can be repeated with the same Idempotency-Key.",
        )
    }

    /// Adds a member to the envelope.
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.more.insert(member.to_owned(), value.into());
        self
    }

    /// The envelope.
    pub fn body(&self) -> String {
        let mut error = Map::new();
        if let Some(code) = &self.code {
            error.insert("code".into(), json!(code));
            error.insert(
                "doc_url".into(),
                json!(format!(
                    "https://stripe.com/docs/error-codes/{}",
                    code.replace('_', "-")
                )),
            );
        }
        error.insert("message".into(), json!(self.message));
        if let Some(param) = &self.param {
            error.insert("param".into(), json!(param));
        }
        error.extend(self.more.as_ref().clone());
        error.insert("type".into(), json!(self.r#type));
        json!({ "error": error }).to_string()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], self.body()).into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(retry) = self.should_retry {
            response.headers_mut().insert(
                "stripe-should-retry",
                HeaderValue::from_static(if retry { "true" } else { "false" }),
            );
        }
        if let Some(code) = self.code {
            response.extensions_mut().insert(Code(code));
        }
        response
    }
}

/// The code of a refusal, for the audit log; on the response beside its body.
#[derive(Clone, Debug)]
pub struct Code(pub String);

impl From<tokio_postgres::Error> for ApiError {
    fn from(error: tokio_postgres::Error) -> Self {
        let code = error.as_db_error().map(tokio_postgres::error::DbError::code);
        let source = std::error::Error::source(&error).filter(|_| code.is_none());
        tracing::error!(error = %error, ?code, source = source.map(tracing::field::display), "database");
        match is_away(&error) {
            true => Self::busy(),
            false => Self::internal("database"),
        }
    }
}

/// The database is on its way down, up, or to another machine: a failover is no fault of the request, and it may be sent again.
fn is_away(error: &tokio_postgres::Error) -> bool {
    const AWAY: [SqlState; 5] = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::TOO_MANY_CONNECTIONS,
    ];
    let broken = std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>());
    error.is_closed() || broken || error.code().is_some_and(|code| AWAY.contains(code))
}

impl From<deadpool_postgres::PoolError> for ApiError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        tracing::error!(error = %error, "database pool");
        Self::busy()
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::KeyTaken => {
                let mut error = Self::key_in_use("");
                error.key_taken = true;
                error
            }
            Refused::Conflict { .. } => {
                let mut error = Self::new(
                    409,
                    "invalid_request_error",
                    "lock_timeout",
                    "This object is being changed by another request right now. Please retry.",
                );
                error.should_retry = Some(true);
                error
            }
            Refused::Ledger(refusal) => Self::invalid(
                "balance_insufficient",
                "",
                format!("The ledger refuses this: {refusal}."),
            ),
            Refused::Constraint(name) => Self::invalid(
                "invalid_state",
                "",
                format!("The database refuses this: it would break the rule {name}."),
            ),
            Refused::Busy => Self::busy(),
            Refused::OutcomeUnknown => {
                let mut error = Self::new(
                    500,
                    "api_error",
                    "outcome_unknown",
                    "The connection to the database was lost while committing. Repeat the request with the same Idempotency-Key to learn the outcome.",
                );
                error.should_retry = Some(true);
                error
            }
            Refused::Database(cause) => Self::internal(cause),
        }
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::InProgress { .. } => {
                let mut error = Self::new(
                    409,
                    "invalid_request_error",
                    "lock_timeout",
                    "Another operation on this payment is in progress. Please retry when it has ended.",
                );
                error.should_retry = Some(true);
                error
            }
            Rejection::UnexpectedState { status } => Self::invalid(
                "payment_intent_unexpected_state",
                "",
                format!(
                    "This PaymentIntent's status does not allow this: it is `{}`.",
                    status.as_str()
                ),
            ),
            Rejection::Disputed => Self::invalid(
                "charge_disputed",
                "",
                "This charge has been charged back: it cannot be refunded while the network decides about its money.",
            ),
            Rejection::HeldForCase => Self::invalid(
                "charge_held_for_case",
                "",
                "What is left of this charge is frozen for a consumer's case: it is refunded, or released, by the case's decision.",
            ),
            Rejection::AlreadyRefunded => Self::invalid(
                "charge_already_refunded",
                "",
                "This charge has already been refunded in full.",
            ),
            Rejection::TooMuch { available } => Self::invalid(
                "amount_too_large",
                "amount",
                format!("The amount is greater than what is left: at most {available} (minor units) can be used."),
            ),
            Rejection::NotPositive => {
                Self::invalid("parameter_invalid_integer", "amount", "The amount must be at least 1.")
            }
            Rejection::NotMore { authorized } => Self::invalid(
                "parameter_invalid_integer",
                "amount",
                format!(
                    "The amount is the new total: it must be greater than the {authorized} (minor units) that are authorized."
                ),
            ),
        }
    }
}

/// A caller's string, cut and made harmless before it is echoed.
pub(crate) fn shown(text: &str) -> String {
    let cut: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
    if crate::vault::contains_card_number(&cut) {
        "(redacted)".to_owned()
    } else {
        cut
    }
}
