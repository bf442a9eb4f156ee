//! Request bodies: read whole, under a size limit, a deadline and a memory budget shared by all connections.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{Limits, Refusal};

/// A body in memory and the part of the budget that it occupies until dropped.
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    pub(super) memory: Option<OwnedSemaphorePermit>,
}

/// Reads the body to its end.
pub(super) async fn read(
    head: &Parts,
    mut body: Incoming,
    limits: &Limits,
    budget: &Arc<Semaphore>,
) -> Result<Whole, Refusal> {
    if body.is_end_stream() {
        return Ok(Whole {
            bytes: Bytes::new(),
            memory: None,
        });
    }
    if declared(&body) > limits.body_bytes as u64 && (awaits_continue(&head.headers) || declared(&body) > DISCARD_BYTES)
    {
        return Err(Refusal::BodyTooLarge);
    }
    let Ok(whole) = timeout(limits.body_read(), collect(&mut body, limits.body_bytes, budget)).await else {
        return Err(Refusal::BodyTooSlow);
    };
    if whole.is_err() {
        // Answering before the body is read resets an h2 stream or, worse, loses the answer of HTTP/1.1: take in a little more.
        let _ = timeout(limits.body_read(), discard(&mut body)).await;
    }
    whole
}

async fn collect(body: &mut Incoming, limit: usize, budget: &Arc<Semaphore>) -> Result<Whole, Refusal> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new(); // most bodies are one frame, which is then not copied
    let mut memory: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::BodyBroken)?;
        let Ok(data) = frame.into_data() else { continue }; // trailers mean nothing here
        if first.len() + rest.len() + data.len() > limit {
            return Err(Refusal::BodyTooLarge);
        }
        let size = u32::try_from(data.len()).map_err(|_| Refusal::BodyTooLarge)?;
        let taken = budget.clone().try_acquire_many_owned(size).map_err(|_| Refusal::Busy)?;
        match &mut memory {
            Some(memory) => memory.merge(taken),
            None => memory = Some(taken),
        }
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok(Whole { bytes: first, memory });
    }
    let mut bytes = BytesMut::with_capacity(first.len() + rest.len());
    bytes.extend_from_slice(&first);
    bytes.unsplit(rest);
    Ok(Whole {
        bytes: bytes.freeze(),
        memory,
    })
}

async fn discard(body: &mut Incoming) {
    let mut left = DISCARD_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
        if left == 0 {
            return;
        }
    }
}

fn declared(body: &Incoming) -> u64 {
    body.size_hint().lower()
}

fn awaits_continue(headers: &HeaderMap) -> bool {
    headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// How much of a refused body is still taken off the wire so that the refusal arrives.
const DISCARD_BYTES: u64 = 4 * 1024 * 1024;
