//! The headers of a signed request (RFC 9421, RFC 9530): three header values and a body, a line each. Nothing that a stranger
//! writes verifies under a secret that they do not have.
#![no_main]

use gateway::auth::signature::{Message, Signature, digest_matches, verify};
use http::{HeaderMap, HeaderValue, Method, Uri};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(4, |byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("api.example"));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    for name in ["signature-input", "signature", "content-digest"] {
        // twice, as RFC 9110 lets a list be sent
        for part in lines.next().unwrap_or_default().split(|byte| *byte == b'\r') {
            let Ok(value) = HeaderValue::from_bytes(part) else { return };
            headers.append(name, value);
        }
    }
    let body = lines.next().unwrap_or_default();
    let uri = Uri::from_static("/v1/payment_intents?a=b");
    let message = Message { method: &Method::POST, uri: &uri, headers: &headers };
    let _ = digest_matches(&headers, body);
    if let Ok(signature) = Signature::by_key(&headers, "key_1") {
        let _ = (signature.base(&message), signature.covers("@method"));
    }
    let now = jiff::Timestamp::from_second(1_795_000_000).expect("a moment");
    assert!(verify(&message, body, "key_1", b"a secret that is not in the corpus", now).is_err());
});
