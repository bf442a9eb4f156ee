//! Proof that a webhook comes from us, and that a callback comes from an acquirer, in two schemes with one secret.
//!
//! * `Stripe-Signature: t=UNIX,v1=HEX[,v1=HEX]`: HMAC-SHA-256 of `t.body` under the secret's text as it stands.
//! * [Standard Webhooks](https://www.standardwebhooks.com) 1.0.0: `webhook-id`, `webhook-timestamp` and `webhook-signature:
//!   v1,BASE64[ v1,BASE64]`, HMAC-SHA-256 of `id.timestamp.body` under the bytes that the secret's text behind `whsec_` has as
//!   base64. A secret of ours is hexadecimal, which is base64 too: both schemes' libraries take it as it is shown.
//!
//! Comparison is constant time, and the body must be the bytes as received: nothing here parses it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;
use std::fmt::Write as _;
use zeroize::Zeroizing;

/// The header for a body sent at `timestamp` (unix seconds): one `v1` per secret, two while a secret is being replaced.
pub fn sign<S: AsRef<[u8]>>(secrets: &[S], timestamp: i64, body: &[u8]) -> String {
    let mut header = format!("t={timestamp}");
    for secret in secrets {
        // Writing to a String cannot fail.
        let _ = write!(
            header,
            ",v1={}",
            hex::encode(keyed(secret.as_ref(), timestamp, body).finalize().into_bytes())
        );
    }
    header
}

/// The headers of both schemes for a message of this id, sent at `timestamp` (unix seconds).
pub fn headers<S: AsRef<str>>(secrets: &[S], id: &str, timestamp: i64, body: &[u8]) -> HeaderMap {
    let texts: Vec<&str> = secrets.iter().map(AsRef::as_ref).collect();
    let standard: Vec<String> = texts
        .iter()
        .map(|secret| format!("v1,{}", BASE64.encode(standard(secret, id, timestamp, body))))
        .collect();
    let mut headers = HeaderMap::with_capacity(4);
    for (name, value) in [
        ("stripe-signature", sign(&texts, timestamp, body)),
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", standard.join(" ")),
    ] {
        // Hexadecimal, base64 and our own ids are visible ASCII.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

/// The MAC of Standard Webhooks. A secret that is no base64 is taken as its text.
fn standard(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> [u8; 32] {
    let text = secret.strip_prefix("whsec_").unwrap_or(secret);
    let key = Zeroizing::new(BASE64.decode(text).unwrap_or_else(|_| text.as_bytes().to_vec()));
    let mut mac: Hmac<Sha256> = Hmac::new_from_slice(&key).expect("HMAC takes a key of any length");
    mac.update(id.as_bytes());
    mac.update(b".");
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().into()
}

/// Whether the header proves the body under one of the secrets, at most `tolerance` seconds away from `now`.
///
/// # Errors
/// Says what is wrong with the header, and nothing of the secret.
pub fn verify<S: AsRef<[u8]>>(
    secrets: &[S],
    header: &str,
    body: &[u8],
    now: i64,
    tolerance: i64,
) -> Result<(), &'static str> {
    let mut timestamp = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.split_once('=') {
            Some(("t", t)) if timestamp.is_none() => {
                timestamp = Some(t.parse::<i64>().map_err(|_| "the timestamp is not a number")?)
            }
            Some(("t", _)) => return Err("two timestamps"),
            Some(("v1", signature)) => {
                // A signature of the wrong shape cannot match, but the next one may.
                let mut bytes = [0u8; 32];
                if hex::decode_to_slice(signature, &mut bytes).is_ok() && signatures.len() < MAX_SIGNATURES {
                    signatures.push(bytes);
                }
            }
            _ => {}
        }
    }
    let timestamp = timestamp.ok_or("no timestamp")?;
    let matches = |secret: &S| {
        let mac = keyed(secret.as_ref(), timestamp, body);
        signatures
            .iter()
            .any(|signature| mac.clone().verify_slice(signature).is_ok())
    };
    if !secrets.iter().any(matches) {
        return Err("no signature matches");
    }
    // Judged after the proof, so that a stranger learns nothing about our clock.
    if timestamp.abs_diff(now) > tolerance.unsigned_abs() {
        return Err("the timestamp is outside the tolerance");
    }
    Ok(())
}

fn keyed(secret: &[u8], timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
    let mut mac: Hmac<Sha256> = Hmac::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

const MAX_SIGNATURES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_scheme() {
        // Computed with an independent implementation (Python hmac).
        let header = sign(&["whsec_test_secret"], 1614265330, br#"{"test": 2432232314}"#);
        assert_eq!(
            header,
            "t=1614265330,v1=10c96c6fd3f320fcfc264cdc4f476c15060ede8e8a08404cea2ddf3b72544a9c"
        );
    }

    /// The vector of the specification's own libraries.
    #[test]
    fn the_standard_scheme() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let headers = headers(&[secret], id, 1614265330, br#"{"test": 2432232314}"#);
        assert_eq!(
            headers["webhook-signature"],
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert_eq!(
            (&headers["webhook-id"], &headers["webhook-timestamp"]),
            (&id.parse().unwrap(), &1614265330.into())
        );
        assert!(
            headers["stripe-signature"]
                .to_str()
                .unwrap()
                .starts_with("t=1614265330,v1=")
        );
        let two = super::headers(&[secret, "whsec_AAAA"], id, 1, b"");
        assert_eq!(two["webhook-signature"].to_str().unwrap().matches("v1,").count(), 2);
    }

    #[test]
    fn any_of_several_secrets_will_do() {
        let header = sign(&["new", "old"], 1000, b"body");
        assert_eq!(header.matches("v1=").count(), 2);
        assert_eq!(verify(&["old"], &header, b"body", 1000, 300), Ok(()));
        assert_eq!(verify(&["other", "new"], &header, b"body", 1300, 300), Ok(()));
        let with_strangers = format!("v0=zz,{header},v1=beef,x");
        assert_eq!(verify(&["new"], &with_strangers, b"body", 700, 300), Ok(()));
    }

    #[test]
    fn what_is_refused() {
        let header = sign(&["secret"], 1000, b"body");
        for (secret, header, body, now, why) in [
            ("other", header.as_str(), "body", 1000, "no signature matches"),
            ("secret", &header, "bodY", 1000, "no signature matches"),
            (
                "secret",
                &header.replace("t=1000", "t=1001"),
                "body",
                1000,
                "no signature matches",
            ),
            (
                "secret",
                &header.replace("v1=", "v0="),
                "body",
                1000,
                "no signature matches",
            ),
            (
                "secret",
                &header[..header.len() - 2],
                "body",
                1000,
                "no signature matches",
            ),
            (
                "secret",
                &header,
                "body",
                1301,
                "the timestamp is outside the tolerance",
            ),
            ("secret", &header, "body", 699, "the timestamp is outside the tolerance"),
            ("secret", "", "body", 1000, "no timestamp"),
            ("secret", "t=x", "body", 1000, "the timestamp is not a number"),
            ("secret", &format!("{header},t=1000"), "body", 1000, "two timestamps"),
            (
                "secret",
                &header.replace("t=1000", "t=-9223372036854775808"),
                "body",
                1000,
                "no signature matches",
            ),
        ] {
            assert_eq!(
                verify(&[secret], header, body.as_bytes(), now, 300),
                Err(why),
                "{header}"
            );
        }
        assert!(verify::<&str>(&[], &header, b"body", 1000, 300).is_err());
    }
}
