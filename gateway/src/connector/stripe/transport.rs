//! Requests out, answers in, and what an answer means that is not a success.
//!
//! Nothing here retries: whether to ask again is decided by who knows what is at stake.

use super::form::Form;
use super::{API_VERSION, IDEMPOTENCY_KEY, STRIPE_VERSION, Stripe, wire};
use crate::connector::{Decline, Failure};
use crate::egress;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use std::time::Duration;

impl Stripe {
    /// `/v1/` and these segments; an id that could change the path is refused before anything is sent.
    pub(super) fn uri(&self, segments: &[&str], query: &str) -> Result<Uri, Failure> {
        let mut text = String::with_capacity(self.base.len() + 80 + query.len());
        text.push_str(&self.base);
        text.push_str("/v1");
        for segment in segments {
            if segment.is_empty() || !segment.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(Failure::NotSent("an acquirer's id has an impossible shape".to_owned()));
            }
            text.push('/');
            text.push_str(segment);
        }
        if !query.is_empty() {
            text.push('?');
            text.push_str(query);
        }
        text.parse()
            .map_err(|_| Failure::NotSent("an impossible request line".to_owned()))
    }

    pub(super) async fn post(
        &self,
        uri: Uri,
        reference: &str,
        operation: &str,
        body: Form,
        timeout: Duration,
    ) -> Result<Answer, Failure> {
        let key = HeaderValue::from_str(&format!("{reference}{operation}"))
            .map_err(|_| Failure::NotSent("a reference that a header cannot carry".to_owned()))?;
        let mut request = self.request(Method::POST, uri, Full::new(body.into_bytes()));
        request.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        request.headers_mut().insert(IDEMPOTENCY_KEY, key);
        let answer = self.send(request, timeout).await?;
        if answer.status.is_success() {
            Ok(answer)
        } else {
            Err(answer.failure())
        }
    }

    /// A multipart body with this boundary.
    pub(super) async fn post_parts(
        &self,
        uri: Uri,
        reference: &str,
        boundary: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Answer, Failure> {
        let header = |text: String| {
            HeaderValue::try_from(text)
                .map_err(|_| Failure::NotSent("a reference that a header cannot carry".to_owned()))
        };
        let mut request = self.request(Method::POST, uri, Full::new(body));
        let content_type = header(format!("multipart/form-data; boundary={boundary}"))?;
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        request
            .headers_mut()
            .insert(IDEMPOTENCY_KEY, header(reference.to_owned())?);
        let answer = self.send(request, timeout).await?;
        if answer.status.is_success() {
            Ok(answer)
        } else {
            Err(answer.failure())
        }
    }

    /// None when the acquirer says that it has no such thing.
    pub(super) async fn get(&self, uri: Uri) -> Result<Option<Answer>, Failure> {
        let answer = self
            .send(self.request(Method::GET, uri, Full::default()), self.timeouts.inquire)
            .await?;
        match answer.status {
            status if status.is_success() => Ok(Some(answer)),
            StatusCode::NOT_FOUND
                if answer
                    .error()
                    .is_some_and(|e| e.code.as_deref() == Some("resource_missing")) =>
            {
                Ok(None)
            }
            // A read decides nothing: a refused question is an unanswered one.
            status => Err(Failure::Unknown(format!("the inquiry was answered {status}"))),
        }
    }

    fn request(&self, method: Method, uri: Uri, body: Full<Bytes>) -> Request<Full<Bytes>> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.reserve(6);
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(STRIPE_VERSION, HeaderValue::from_static(API_VERSION));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("Counterfoil/", env!("CARGO_PKG_VERSION"))),
        );
        request
    }

    async fn send(&self, request: Request<Full<Bytes>>, timeout: Duration) -> Result<Answer, Failure> {
        let exchange = async {
            let response = self.client.request(request).await.map_err(|e| {
                let what = egress::describe(&e);
                if e.is_connect() {
                    Failure::NotSent(what)
                } else {
                    Failure::Unknown(what)
                }
            })?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|_| Failure::Unknown(format!("the answer {status} was cut short or too long")))?;
            Ok(Answer {
                status,
                body: body.to_bytes(),
            })
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::Unknown(format!("no answer within {} ms", timeout.as_millis()))),
        }
    }
}

/// What came back.
pub(super) struct Answer {
    status: StatusCode,
    body: Bytes,
}

impl Answer {
    pub(super) fn object<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        // The parser's own message could quote the body.
        serde_json::from_slice(&self.body)
            .map_err(|_| Failure::Unknown(format!("the answer {} does not parse", self.status)))
    }

    fn error(&self) -> Option<wire::Error> {
        serde_json::from_slice::<wire::ErrorEnvelope>(&self.body)
            .ok()
            .map(|envelope| envelope.error)
    }

    /// What an answer to a write means that is not a success.
    fn failure(&self) -> Failure {
        let status = self.status;
        let Some(error) = self.error() else {
            return Failure::Unknown(format!("an answer {status} without an error in it"));
        };
        let code = error.code.as_deref().unwrap_or_default();
        match status.as_u16() {
            402 => Failure::Declined(error.decline()),
            408 | 409 | 425 | 429 | 500.. => Failure::Unknown(format!("answered {status} {}", wire::word(code))),
            // Both say that something with this key, or to this intent, happened before: ask what.
            400 if error.r#type.as_deref() == Some("idempotency_error") => {
                Failure::Unknown("the idempotency key was used before".to_owned())
            }
            400 if code == "payment_intent_unexpected_state" => {
                Failure::Unknown("the intent is in another state".to_owned())
            }
            400..500 => {
                // Why is between us and the acquirer: the caller cannot mend it, and it may quote our configuration.
                let message: String = error.message.as_deref().unwrap_or_default().chars().take(300).collect();
                tracing::error!(
                    status = status.as_u16(),
                    code = %wire::word(code),
                    param = %wire::word(error.param.as_deref().unwrap_or_default()),
                    message = %crate::vault::mask(&message),
                    "the acquirer refused a request of ours"
                );
                Failure::Declined(Decline {
                    code: "processing_error".to_owned(),
                    decline_code: None,
                    message: PROCESSING_ERROR.to_owned(),
                    acquirer_id: None,
                    acquirer_reference: None,
                })
            }
            _ => Failure::Unknown(format!("answered {status}")),
        }
    }
}

pub(super) const MAX_ANSWER: usize = 2 << 20;
const PROCESSING_ERROR: &str = "An error occurred while processing your card. Try again in a little bit.";
