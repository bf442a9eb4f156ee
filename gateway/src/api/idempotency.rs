//! Idempotency as Stripe has it: the first answer to a key is the answer, also for a decline, also after a restart.
//!
//! Claims are written by the flows, in the commit of their effect. This module only looks: when a flow was refused
//! before it held its key, an earlier request with the same key may already have the answer. It must never execute.

use super::error::{ApiError, shown};
use crate::call::{Answer, Call, IdempotencyKey};
use crate::commit::{Digest, Request};
use sha2::Digest as _;
use tokio_postgres::types::Type;

/// Longest key, as in Stripe.
pub const MAX_KEY: usize = 255;

/// Binds a key to its request.
pub fn key(
    text: &str,
    method: &str,
    path: &str,
    parameters: &super::params::Params,
) -> Result<IdempotencyKey, ApiError> {
    if text.is_empty() || text.chars().count() > MAX_KEY || text.chars().any(char::is_control) {
        return Err(ApiError::new(
            400,
            "idempotency_error",
            "",
            format!("An Idempotency-Key has 1 to {MAX_KEY} characters and no control characters."),
        ));
    }
    // A key is kept with its events and sent with their webhooks.
    if crate::vault::contains_card_number(text) {
        return Err(ApiError::new(
            400,
            "idempotency_error",
            "",
            "This Idempotency-Key looks like a card number. Derive the key from something else.",
        ));
    }
    let mut digest = sha2::Sha256::new();
    digest.update(method.as_bytes());
    digest.update([0]);
    digest.update(path.as_bytes());
    digest.update([0]);
    parameters.digest_into(&mut digest);
    Ok(IdempotencyKey {
        text: text.to_owned(),
        key: short(sha2::Sha256::digest(text.as_bytes()).as_slice()),
        digest: short(digest.finalize().as_slice()),
        path: format!("{method} {path}"),
    })
}

fn short(hash: &[u8]) -> Digest {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Digest(bytes)
}

/// Runs a flow; if it was refused before it held its key, an earlier request's answer takes precedence.
pub async fn run(call: &Call, flow: impl Future<Output = Result<Answer, ApiError>>) -> Result<Answer, ApiError> {
    match flow.await {
        Err(error) if call.key.is_some() && !call.claimed() => match stored(call).await? {
            Some(answer) => Ok(answer),
            None if error.key_taken => Err(ApiError::key_in_use(
                &call.key.as_ref().map(|k| k.text.clone()).unwrap_or_default(),
            )),
            None => Err(error),
        },
        done => done,
    }
}

/// The answer stored for this call's key. A key in flight or bound to other parameters is an error of its own.
pub async fn stored(call: &Call) -> Result<Option<Answer>, ApiError> {
    let Some(key) = &call.key else { return Ok(None) };
    let client = call.app.reads.get().await?;
    let rows = client
        .query_typed(
            "SELECT row_to_json(t)::text FROM gateway.request t WHERE book_id = $1 AND key = $2",
            &[(&call.book_id(), Type::INT8), (&key.key.0.as_slice(), Type::BYTEA)],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let request: Request = crate::payment::store::row(row)?;
    if request.path != key.path {
        return Err(ApiError::new(
            400,
            "idempotency_error",
            "",
            format!(
                "Keys for idempotent requests can only be used for the same endpoint they were first used for ('{}' vs '{}'). \
                 Try using a key other than '{}' if you meant to execute a different request.",
                shown(&key.path),
                shown(&request.path),
                shown(&key.text)
            ),
        ));
    }
    if request.digest != key.digest {
        return Err(ApiError::new(
            400,
            "idempotency_error",
            "",
            format!(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. \
                 Try using a key other than '{}' if you meant to execute a different request.",
                shown(&key.text)
            ),
        ));
    }
    match (request.status, request.body) {
        (Some(status), Some(body)) => Ok(Some(Answer {
            status,
            body,
            replayed: true,
        })),
        _ if call.claimed() => Ok(None),
        _ => Err(ApiError::key_in_use(&key.text)),
    }
}
