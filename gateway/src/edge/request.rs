//! One request, from its head to its answer. The only place where the edge and the application meet.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderName, STRICT_TRANSPORT_SECURITY};
use http::request::Parts;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::{Frame, Incoming, SizeHint};
use tower::ServiceExt;
use tracing::Instrument;

use super::connection::Activity;
use super::{Limits, Peer, Refusal, RequestId, Shared, Stats, body};
use crate::telemetry;

/// Answers one request; never fails, because even a refusal is an answer.
pub(super) async fn answer(
    shared: Arc<Shared>,
    activity: Arc<Activity>,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let handling = activity.begin();
    Stats::count(&shared.stats.requests);
    let id = RequestId::random();
    let version = request.version();
    let mut response = match admit(&shared, &id, peer, request).await {
        Ok(response) => response,
        Err(refusal) => {
            Stats::count(&shared.stats.requests_refused);
            let unread = matches!(
                refusal,
                Refusal::BodyTooLarge | Refusal::BodyTooSlow | Refusal::BodyBroken
            );
            refusal.response(unread && version < Version::HTTP_2)
        }
    };
    let headers = response.headers_mut();
    headers.entry(REQUEST_ID).or_insert_with(|| id.header());
    if shared.encrypted {
        headers.insert(STRICT_TRANSPORT_SECURITY, TWO_YEARS);
    }
    handling.answered();
    Ok(response.map(|inner| Body::new(Watched { inner, activity })))
}

async fn admit(
    shared: &Arc<Shared>,
    id: &RequestId,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let (mut head, incoming) = request.into_parts();
    check(&head, &shared.limits)?;
    let whole = body::read(&head, incoming, &shared.limits, &shared.body_memory).await?;
    let permit = shared.requests.clone().try_acquire_owned().map_err(|_| Refusal::Busy)?;

    head.extensions.insert(peer);
    head.extensions.insert(id.clone());
    let span = tracing::info_span!("request", request_id = id.as_str(), method = %head.method, trace_id = tracing::field::Empty);
    telemetry::continue_from(&span, &head.headers);
    let request = Request::from_parts(head, Body::from(whole.bytes));
    let (router, running) = (shared.router.clone(), shared.running.clone());
    // A task of its own: it outlives the connection, so that hanging up never cancels a payment between two steps.
    let handler = tokio::spawn(
        async move {
            let response = router.oneshot(request).await;
            drop((whole.memory, permit, running));
            response
        }
        .instrument(span),
    );
    let Ok(ended) = tokio::time::timeout(shared.limits.answer(), handler).await else {
        tracing::error!(request_id = id.as_str(), "no answer in time; the handler goes on");
        return Err(Refusal::Overdue);
    };
    match ended {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(never)) => match never {},
        Err(error) => {
            if error.is_panic() {
                Stats::count(&shared.stats.panics);
            }
            tracing::error!(
                request_id = id.as_str(),
                panicked = error.is_panic(),
                "handler did not finish"
            );
            Err(Refusal::Panicked)
        }
    }
}

fn check(head: &Parts, limits: &Limits) -> Result<(), Refusal> {
    let uri = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
    if uri > limits.uri_bytes {
        return Err(Refusal::UriTooLong);
    }
    let bytes: usize = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if head.headers.len() > limits.header_count || bytes > limits.header_bytes {
        return Err(Refusal::HeadTooLarge);
    }
    match head.headers.get(CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => Err(Refusal::Encoded),
        _ => Ok(()),
    }
}

/// An answer's body that reports each step the peer takes in reading it.
struct Watched {
    inner: Body,
    activity: Arc<Activity>,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if polled.is_ready() {
            self.activity.progress();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const TWO_YEARS: HeaderValue = HeaderValue::from_static("max-age=63072000"); // Mozilla's recommendation
