//! Signed requests: RFC 9421 with `hmac-sha256`, and RFC 9530 for the body.
//!
//! A bearer key alone is worth as much to whoever copies it out of a log as to its owner. A signed request proves a second
//! secret that never travels, and it is good once, for five minutes, for this method, address, body and idempotency key. A
//! small profile of the standard is required and every part of it is checked; a signature that is shown is checked even where
//! none is demanded. It must never let the request choose the algorithm, and never tell apart the ways in which a MAC is wrong.

mod digest;
mod message;
#[cfg(test)]
mod tests;

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

pub use digest::matches as digest_matches;
pub use message::{Malformed, Message, Signature};

/// How far `created` may be from our clock, in seconds, and how long a signature may be good.
pub const WINDOW_S: i64 = 300;

/// What makes a signature unacceptable. The texts are for callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// not readable
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// the profile demands this component
    #[error("the signature must cover {0}")]
    NotCovered(&'static str),
    /// the profile demands this parameter
    #[error("the signature must have {0}")]
    NoParameter(&'static str),
    /// outside the window, or expired
    #[error("created must be within 300 seconds of now, expires at most 300 seconds after created and not past")]
    OutOfDate,
    /// body and Content-Digest differ, or the header names no sha-256 or sha-512
    #[error("Content-Digest does not match the body (sha-256 or sha-512)")]
    Digest,
    /// wrong secret, wrong algorithm, or something covered was changed
    #[error("it does not verify")]
    Wrong,
}

/// A good signature's claim to be the first of its kind: to be recorded before anything is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// of key id and nonce
    pub digest: [u8; 16],
    /// from when on the signature is refused anyway
    pub expires_at: Timestamp,
}

/// Whether the request shows a signature at all.
pub fn shown(headers: &HeaderMap) -> bool {
    headers.contains_key(&message::INPUT) || headers.contains_key(&message::SIGNATURE)
}

/// Checks the request's signature by this key; the nonce remains to be recorded.
///
/// # Errors
/// [`Fault`].
pub fn verify(message: &Message<'_>, body: &[u8], key_id: &str, secret: &[u8], now: Timestamp) -> Result<Nonce, Fault> {
    let signature = Signature::by_key(message.headers, key_id)?;
    covers_enough(&signature, message, body)?;
    let (created, last) = lifetime(&signature, now.as_second())?;
    let nonce = signature.nonce.as_deref().ok_or(Fault::NoParameter("nonce"))?;
    if !(NONCE_MIN..=NONCE_MAX).contains(&nonce.len()) {
        return Err(Fault::NoParameter(
            "a nonce of 22 to 128 characters (128 random bits or more)",
        ));
    }
    if signature.algorithm.as_deref().is_some_and(|name| name != ALGORITHM) {
        return Err(Fault::Wrong);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| Fault::Wrong)?;
    mac.update(signature.base(message)?.as_bytes());
    // Constant time, whole length: a truncated MAC is a wrong one.
    mac.verify_slice(&signature.value).map_err(|_| Fault::Wrong)?;
    // Also for no body at all: taking a body away changes a request as much as swapping it.
    let digested = !body.is_empty() || signature.covers("content-digest");
    if digested && !digest_matches(message.headers, body) {
        return Err(Fault::Digest);
    }
    let expires_at = Timestamp::from_second(last.min(created + WINDOW_S)).map_err(|_| Fault::OutOfDate)?;
    Ok(Nonce {
        digest: nonce_digest(key_id, nonce),
        expires_at,
    })
}

fn covers_enough(signature: &Signature, message: &Message<'_>, body: &[u8]) -> Result<(), Fault> {
    let mut needed: Vec<&'static str> = vec!["@method"];
    if !signature.covers("@target-uri") {
        if !signature.covers("@authority") || !signature.covers("@path") {
            return Err(Fault::NotCovered("@target-uri (or @authority, @path and @query)"));
        }
        needed.extend(message.uri.query().map(|_| "@query"));
    }
    if !body.is_empty() {
        needed.extend(["content-digest", "content-type"]);
    }
    // Headers that change what the request does.
    needed.extend(
        ["idempotency-key", "stripe-account"]
            .into_iter()
            .filter(|name| message.headers.contains_key(*name)),
    );
    match needed.into_iter().find(|name| !signature.covers(name)) {
        Some(name) => Err(Fault::NotCovered(name)),
        None => Ok(()),
    }
}

/// `created`, and the last second in which the signature is good.
fn lifetime(signature: &Signature, now: i64) -> Result<(i64, i64), Fault> {
    let created = signature.created.ok_or(Fault::NoParameter("created"))?;
    let last = signature.expires.unwrap_or(created.saturating_add(WINDOW_S));
    let age = now.saturating_sub(created);
    let long = last.saturating_sub(created);
    if age.abs() > WINDOW_S || !(0..=WINDOW_S).contains(&long) || now > last {
        return Err(Fault::OutOfDate);
    }
    Ok((created, last))
}

fn nonce_digest(key_id: &str, nonce: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(key_id.as_bytes());
    hash.update([0]); // in no key id and in no structured string: one text cannot be cut in two ways
    hash.update(nonce.as_bytes());
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash.finalize()[..16]);
    digest
}

const ALGORITHM: &str = "hmac-sha256";
const NONCE_MIN: usize = 22; // 128 bits in base64url
const NONCE_MAX: usize = 128;
