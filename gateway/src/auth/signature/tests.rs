use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, Uri};
use proptest::prelude::*;

/// A request with its signature headers, as it would arrive.
#[derive(Clone, Debug)]
struct Sent {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Sent {
    fn new(method: &str, uri: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                http::HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                HeaderValue::from_str(value).expect("a value"),
            );
        }
        Self {
            method: method.parse().expect("a method"),
            uri: uri.parse().expect("a URI"),
            headers: map,
            body: body.to_vec(),
        }
    }

    fn message(&self) -> Message<'_> {
        Message {
            method: &self.method,
            uri: &self.uri,
            headers: &self.headers,
        }
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.headers
            .insert(name, HeaderValue::from_str(value).expect("a value"));
    }

    /// Signs what is there.
    fn sign(mut self, components: &str, params: &str, secret: &[u8]) -> Self {
        self.set("signature-input", &format!("sig1=({components}){params}"));
        self.set("signature", "sig1=::");
        let signature = Signature::by_key(&self.headers, KEY).expect("readable");
        let base = signature.base(&self.message()).expect("all there");
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length");
        mac.update(base.as_bytes());
        self.set(
            "signature",
            &format!("sig1=:{}:", STANDARD.encode(mac.finalize().into_bytes())),
        );
        self
    }

    fn verify(&self) -> Result<Nonce, Fault> {
        verify(
            &self.message(),
            &self.body,
            KEY,
            SECRET,
            Timestamp::from_second(NOW).expect("in range"),
        )
    }
}

const KEY: &str = "key_1";
const SECRET: &[u8] = b"a secret of thirty-two bytes....";
const NOW: i64 = 1_800_000_000;
const COVERED: &str = r#""@method" "@target-uri" "content-digest" "content-type" "idempotency-key""#;
const PARAMS: &str = r#";created=1800000000;nonce="AAAAAAAAAAAAAAAAAAAAAA";keyid="key_1""#;
const BODY: &[u8] = br#"{"amount":2000}"#;

fn payment() -> Sent {
    let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(BODY)));
    let headers = [
        ("host", "api.example:8443"),
        ("content-type", "application/json"),
        ("content-digest", digest.as_str()),
        ("idempotency-key", "order-7"),
        ("user-agent", "shop/1"),
    ];
    Sent::new("POST", "/v1/payment_intents?expand[]=customer", &headers, BODY)
}

#[test]
fn the_vector_of_rfc_9421_b_2_5() {
    let secret = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
    let sent = Sent::new(
        "POST",
        "/foo?param=Value&Pet=dog",
        &[
            ("host", "example.com"),
            ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("content-type", "application/json"),
            (
                "signature-input",
                r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#,
            ),
            ("signature", "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:"),
        ],
        br#"{"hello": "world"}"#,
    );
    let signature = Signature::by_key(&sent.headers, "test-shared-secret").expect("readable");
    let base = signature.base(&sent.message()).expect("complete");
    assert_eq!(
        base,
        "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@authority\": example.com\n\"content-type\": application/json\n\
         \"@signature-params\": (\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\""
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(secret).expect("base64")).expect("any length");
    mac.update(base.as_bytes());
    mac.verify_slice(&signature.value).expect("the RFC's own signature");
    // As a request to us it proves too little.
    assert_eq!(
        verify(
            &sent.message(),
            &sent.body,
            "test-shared-secret",
            b"",
            Timestamp::from_second(1_618_884_473).expect("in range")
        ),
        Err(Fault::NotCovered("@target-uri (or @authority, @path and @query)"))
    );
}

#[test]
fn the_digests_of_rfc_9530() {
    let headers = |value: &str| Sent::new("POST", "/", &[("content-digest", value)], b"").headers;
    let hello = br#"{"hello": "world"}"#;
    let good = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
    let long = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
    assert!(digest_matches(&headers(good), hello));
    assert!(digest_matches(&headers(long), hello));
    assert!(digest_matches(&headers(&format!("{good}, {long}")), hello));
    assert!(
        digest_matches(&headers(&format!("md5=:AAAA:, {good}")), hello),
        "unknown ones are passed over"
    );
    for wrong in [
        "",
        "sha-256",
        "md5=:Sd/dVLAcvNLSq16eXua5uQ==:",
        "sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=",
        "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPA=:",
    ] {
        assert!(!digest_matches(&headers(wrong), hello), "{wrong}");
    }
    let mixed = format!("{good}, sha-512=:AAAA:");
    assert!(
        !digest_matches(&headers(&mixed), hello),
        "every known one must be right"
    );
    assert!(!digest_matches(&headers(good), br#"{"hello": "World"}"#));
}

#[test]
fn a_signed_payment_is_good_once_and_until_it_is_old() {
    let nonce = payment().sign(COVERED, PARAMS, SECRET).verify().expect("good");
    assert_eq!(nonce.expires_at.as_second(), NOW + WINDOW_S);
    let again = payment()
        .sign(COVERED, PARAMS, SECRET)
        .verify()
        .expect("the database tells them apart");
    assert_eq!(nonce, again, "the same nonce, however often");
    let short = PARAMS.replace(";nonce", ";expires=1800000010;nonce");
    let nonce = payment().sign(COVERED, &short, SECRET).verify().expect("good");
    assert_eq!(nonce.expires_at.as_second(), NOW + 10);
    let parts = COVERED.replace(r#""@target-uri""#, r#""@authority" "@path" "@query""#);
    payment()
        .sign(&parts, PARAMS, SECRET)
        .verify()
        .expect("the address in parts");
    let other = PARAMS.replace("AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAB");
    let other = payment().sign(COVERED, &other, SECRET).verify().expect("good");
    assert_ne!(nonce.digest, other.digest);
}

#[test]
fn http2_and_http1_have_one_base() {
    let signed = payment().sign(COVERED, PARAMS, SECRET);
    let mut h2 = signed.clone();
    h2.uri = "https://API.example:8443/v1/payment_intents?expand[]=customer"
        .parse()
        .expect("a URI");
    h2.headers.remove("host");
    assert_eq!(h2.verify(), signed.verify());
    let mut default_port = payment();
    default_port.set("host", "api.example:443");
    let mut default_port = default_port.sign(COVERED, PARAMS, SECRET);
    default_port.set("host", "api.example");
    default_port.verify().expect("443 is not written");
}

#[test]
fn the_profile_is_demanded_in_full() {
    for component in [
        r#""@method""#,
        r#""content-digest""#,
        r#""content-type""#,
        r#""idempotency-key""#,
    ] {
        let less = COVERED.replace(component, "");
        let fault = payment()
            .sign(&less.replace("  ", " ").trim().replace("( ", "("), PARAMS, SECRET)
            .verify();
        assert_eq!(
            fault,
            Err(Fault::NotCovered(match component {
                r#""@method""# => "@method",
                r#""content-digest""# => "content-digest",
                r#""content-type""# => "content-type",
                _ => "idempotency-key",
            }))
        );
    }
    let parts = COVERED.replace(r#""@target-uri""#, r#""@authority" "@path""#);
    assert_eq!(
        payment().sign(&parts, PARAMS, SECRET).verify(),
        Err(Fault::NotCovered("@query"))
    );
    let mut foreign = payment();
    foreign.set("stripe-account", "acct_2");
    assert_eq!(
        foreign.sign(COVERED, PARAMS, SECRET).verify(),
        Err(Fault::NotCovered("stripe-account"))
    );
    let without = |part: &str| payment().sign(COVERED, &PARAMS.replace(part, ""), SECRET).verify();
    assert_eq!(without(";created=1800000000"), Err(Fault::NoParameter("created")));
    assert_eq!(
        without(r#";nonce="AAAAAAAAAAAAAAAAAAAAAA""#),
        Err(Fault::NoParameter("nonce"))
    );
    assert!(matches!(without("AAAA"), Err(Fault::NoParameter(_))), "a short nonce");
}

#[test]
fn time_has_two_ends() {
    let at = |created: i64, expires: &str| {
        let params = PARAMS.replace("created=1800000000", &format!("created={created}{expires}"));
        payment().sign(COVERED, &params, SECRET).verify().is_ok()
    };
    assert!(at(NOW - 300, "") && at(NOW + 300, ""));
    assert!(!at(NOW - 301, "") && !at(NOW + 301, ""));
    assert!(!at(NOW, ";expires=1800000301"), "good for longer than the window");
    assert!(!at(NOW - 20, ";expires=1799999999"), "past");
    assert!(!at(NOW, ";expires=1799999999"), "before it was made");
    assert!(!at(i64::from(u32::MAX) * 100_000, ""));
}

#[test]
fn the_request_does_not_choose_the_algorithm_and_a_wrong_mac_has_one_text() {
    let named = |alg: &str| {
        payment()
            .sign(COVERED, &format!("{PARAMS};alg=\"{alg}\""), SECRET)
            .verify()
    };
    assert!(named("hmac-sha256").is_ok());
    assert_eq!(named("ed25519"), Err(Fault::Wrong));
    assert_eq!(named("none"), Err(Fault::Wrong));
    assert_eq!(
        payment().sign(COVERED, PARAMS, b"another secret").verify(),
        Err(Fault::Wrong)
    );
    let good = payment().sign(COVERED, PARAMS, SECRET);
    let value = good.headers["signature"].to_str().expect("text").to_owned();
    let bytes = STANDARD
        .decode(value.trim_start_matches("sig1=:").trim_end_matches(':'))
        .expect("base64");
    for cut in [0, 1, 16, 31] {
        let mut sent = good.clone();
        sent.set("signature", &format!("sig1=:{}:", STANDARD.encode(&bytes[..cut])));
        assert_eq!(sent.verify(), Err(Fault::Wrong), "{cut} bytes");
    }
}

#[test]
fn a_swapped_body_and_a_second_signature_are_refused() {
    let mut sent = payment().sign(COVERED, PARAMS, SECRET);
    sent.body = br#"{"amount":9000}"#.to_vec();
    assert_eq!(sent.verify(), Err(Fault::Digest));
    sent.body.clear();
    assert_eq!(
        sent.verify(),
        Err(Fault::Digest),
        "a refund without its amount is a full refund"
    );
    let sent = payment().sign(COVERED, PARAMS, SECRET);
    let mut two = sent.clone();
    let input = sent.headers["signature-input"].to_str().expect("text").to_owned();
    let value = sent.headers["signature"].to_str().expect("text").to_owned();
    two.set(
        "signature-input",
        &format!("{input}, {}", input.replace("sig1", "sig2")),
    );
    two.set("signature", &format!("{value}, {}", value.replace("sig1", "sig2")));
    assert_eq!(two.verify(), Err(Fault::Malformed(Malformed::Ambiguous)));
    two.set(
        "signature-input",
        &format!("{input}, {}", input.replace("sig1", "sig2").replace("key_1", "proxy")),
    );
    assert!(two.verify().is_ok(), "someone else's signature beside ours is theirs");
}

#[test]
fn unreadable_headers_are_named() {
    let fault = |input: &str, signature: &str| {
        let mut sent = payment();
        sent.set("signature-input", input);
        sent.set("signature", signature);
        sent.verify()
    };
    let good = format!("sig1=({COVERED}){PARAMS}");
    for (input, signature, malformed) in [
        ("", "sig1=:AAAA:", Malformed::NotThisKey),
        ("sig1=(((", "sig1=:AAAA:", Malformed::Headers),
        ("sig1=3", "sig1=:AAAA:", Malformed::Headers),
        (good.as_str(), "sig1=\"x\"", Malformed::Value),
        (good.as_str(), "sig2=:AAAA:", Malformed::Value),
        (&good.replace("key_1", "key_2"), "sig1=:AAAA:", Malformed::NotThisKey),
        (&good.replace("\"key_1\"", "1"), "sig1=:AAAA:", Malformed::Parameter),
        (&good.replace("1800000000", "1.5"), "sig1=:AAAA:", Malformed::Parameter),
        (
            &good.replace("\"@method\"", "\"@method\";req"),
            "sig1=:AAAA:",
            Malformed::Component,
        ),
        (
            &good.replace("\"@method\"", "\"@method\" \"@method\""),
            "sig1=:AAAA:",
            Malformed::Component,
        ),
        (
            &good.replace("content-type", "Content-Type"),
            "sig1=:AAAA:",
            Malformed::Component,
        ),
        (
            &good.replace("\"content-type\"", "\"content-type\" \"x-absent\""),
            "sig1=:AAAA:",
            Malformed::Absent,
        ),
        (
            &good.replace("\"content-type\"", "\"content-type\" \"@status\""),
            "sig1=:AAAA:",
            Malformed::Absent,
        ),
    ] {
        assert_eq!(fault(input, signature), Err(Fault::Malformed(malformed)), "{input}");
    }
}

proptest! {
    /// Whatever is covered cannot be changed: one changed byte anywhere in it is noticed.
    #[test]
    fn nothing_that_is_covered_can_be_changed(which in 0usize..7, at in any::<prop::sample::Index>(), byte in b'a'..=b'z') {
        let good = payment().sign(COVERED, PARAMS, SECRET);
        let mut sent = good.clone();
        let change = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            let index = at.index(bytes.len());
            bytes[index] = byte;
            String::from_utf8(bytes).ok().filter(|changed| changed != text)
        };
        let header = ["content-type", "content-digest", "idempotency-key", "host", "signature-input"];
        match which {
            0 => sent.method = Method::PUT,
            1 => {
                let Some(path) = change("v1/payment_intents?expand[]=customer") else { return Ok(()) };
                let Ok(uri) = format!("/{path}").parse() else { return Ok(()) };
                sent.uri = uri;
            }
            n => {
                let name = header[n - 2];
                let Some(value) = change(sent.headers[name].to_str().expect("text")) else { return Ok(()) };
                sent.set(name, &value);
            }
        }
        prop_assert!(good.verify().is_ok());
        prop_assert!(sent.verify().is_err(), "{:?}", sent);
    }

    /// No header makes it panic.
    #[test]
    fn nothing_panics(input in "[ -~]{0,200}", value in "[ -~]{0,100}") {
        let mut sent = payment();
        sent.set("signature-input", &input);
        sent.set("signature", &value);
        prop_assert!(sent.verify().is_err());
    }
}
