//! What a request costs at the gate, and whether the time of a refusal tells anything about the right signature.
//!
//!     cargo bench -p gateway --bench gate
//!
//! The last part is a statistical test in the manner of dudect: refusals of signatures that are wrong from the first byte against
//! those that are wrong in the last byte alone, in random order; it fails when Welch's t says that they differ.

use criterion::Criterion;
use gateway::auth::signature::{self, Message, Signature};
use gateway::limit::{Addresses, KeyLimit, Quota};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue, Method, Uri};
use sha2::{Digest, Sha256};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let signed = Signed::payment();
    criterion.bench_function("verify a signed payment (1 kB body)", |b| {
        b.iter(|| signed.verify().is_ok());
    });
    let key = Arc::new(KeyLimit::new(u32::MAX, u32::MAX));
    criterion.bench_function("admit a request of a key", |b| b.iter(|| key.admit().is_ok()));
    let addresses = Addresses::new(Quota::per_second(u32::MAX));
    let address = [192, 0, 2, 1].into();
    criterion.bench_function("admit a request of an address", |b| {
        b.iter(|| addresses.take(black_box(address)).is_ok());
    });
    criterion.final_summary();
    if std::env::args().any(|argument| argument == "--bench") {
        timing_tells_nothing(signed);
    }
}

struct Signed {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Vec<u8>,
    mac: [u8; 32],
}

const SECRET: &[u8; 32] = b"a secret of thirty-two bytes....";

impl Signed {
    fn payment() -> Self {
        let body = vec![b'a'; 1024];
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: String| {
            headers.insert(name, HeaderValue::try_from(value).expect("a header"));
        };
        set("host", "api.example".into());
        set("content-type", "application/json".into());
        set("idempotency-key", "0123456789".into());
        set(
            "content-digest",
            format!("sha-256=:{}:", base64(&Sha256::digest(&body))),
        );
        let components = "(\"@method\" \"@target-uri\" \"content-digest\" \"content-type\" \"idempotency-key\")";
        let now = jiff::Timestamp::now().as_second();
        let params = format!(";created={now};nonce=\"AAAAAAAAAAAAAAAAAAAAAA\";keyid=\"key_1\"");
        set("signature-input", format!("sig1={components}{params}"));
        set("signature", "sig1=::".into());
        let mut signed = Self {
            method: Method::POST,
            uri: "/v1/payment_intents".parse().expect("a URI"),
            headers,
            body,
            mac: [0; 32],
        };
        let signature = Signature::by_key(&signed.headers, "key_1").expect("readable");
        let base = signature.base(&signed.message()).expect("complete");
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).expect("any length");
        mac.update(base.as_bytes());
        signed.mac.copy_from_slice(&mac.finalize().into_bytes());
        signed.show(signed.mac);
        signed
    }

    fn message(&self) -> Message<'_> {
        Message {
            method: &self.method,
            uri: &self.uri,
            headers: &self.headers,
        }
    }

    fn show(&mut self, mac: [u8; 32]) {
        let value = HeaderValue::try_from(format!("sig1=:{}:", base64(&mac))).expect("a header");
        self.headers.insert("signature", value);
    }

    fn verify(&self) -> Result<signature::Nonce, signature::Fault> {
        signature::verify(&self.message(), &self.body, "key_1", SECRET, jiff::Timestamp::now())
    }
}

fn timing_tells_nothing(mut signed: Signed) {
    const TRIES: usize = 400_000;
    let mut times: [Vec<u64>; 2] = [Vec::with_capacity(TRIES), Vec::with_capacity(TRIES)];
    for _ in 0..TRIES {
        let class = usize::from(rand::random::<bool>());
        let mut mac = signed.mac;
        mac[if class == 0 { 0 } else { 31 }] ^= 1;
        signed.show(mac);
        let begun = Instant::now();
        let refused = black_box(signed.verify()).is_err();
        times[class].push(begun.elapsed().as_nanos() as u64);
        assert!(refused);
    }
    // Interruptions are far longer than what is looked for: the slowest tenth of all says nothing.
    let mut all: Vec<u64> = times.concat();
    all.sort_unstable();
    let longest = all[all.len() * 9 / 10];
    let [first, last] = times.map(|times| moments(times.into_iter().filter(|time| *time <= longest)));
    let t = (first.mean - last.mean) / (first.variance / first.count + last.variance / last.count).sqrt();
    println!(
        "refusal: wrong first byte {:.1} ns, wrong last byte {:.1} ns, Welch's t = {t:.2} over {TRIES} tries",
        first.mean, last.mean
    );
    assert!(
        t.abs() < 4.5,
        "the time of a refusal depends on where the signature is wrong"
    );
}

struct Moments {
    count: f64,
    mean: f64,
    variance: f64,
}

fn moments(times: impl Iterator<Item = u64>) -> Moments {
    let times: Vec<f64> = times.map(|time| time as f64).collect();
    let count = times.len() as f64;
    let mean = times.iter().sum::<f64>() / count;
    let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
    Moments { count, mean, variance }
}

fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}
