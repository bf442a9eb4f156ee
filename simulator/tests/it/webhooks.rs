//! Signed, retried, deduplicable by id, and no burden on the API.

use crate::support::{Simulator, text};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_rustls::TlsAcceptor;

const SECRET: &str = "whsec_of_the_test";

/// A receiver that keeps what it got and answers as told.
struct Receiver {
    url: String,
    got: Arc<Mutex<Vec<(String, Bytes)>>>,
    status: Arc<Mutex<StatusCode>>,
}

impl Receiver {
    async fn start() -> Self {
        Self::start_with(None).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/hook", listener.local_addr().expect("address"));
        let got = Arc::new(Mutex::new(Vec::new()));
        let status = Arc::new(Mutex::new(StatusCode::OK));
        let (keeps, answers) = (got.clone(), status.clone());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (keeps, answers, tls) = (keeps.clone(), answers.clone(), tls.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (keeps, answers) = (keeps.clone(), answers.clone());
                    async move {
                        let signature = request.headers()["stripe-signature"].to_str().expect("text").to_owned();
                        let body = request.into_body().collect().await?.to_bytes();
                        keeps.lock().expect("lock").push((signature, body));
                        let mut response = Response::new(Full::new(Bytes::new()));
                        *response.status_mut() = *answers.lock().expect("lock");
                        Ok::<_, hyper::Error>(response)
                    }
                });
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(async move {
                    match tls {
                        None => http.serve_connection(TokioIo::new(tcp), service).await,
                        Some(tls) => match tls.accept(tcp).await {
                            Ok(tcp) => http.serve_connection(TokioIo::new(tcp), service).await,
                            Err(_) => Ok(()),
                        },
                    }
                });
            }
        });
        Self { url, got, status }
    }

    /// The events got so far, once there are at least this many.
    async fn events(&self, count: usize) -> Vec<Value> {
        for _ in 0..1000 {
            if self.got.lock().expect("lock").len() >= count {
                let got = self.got.lock().expect("lock");
                return got
                    .iter()
                    .map(|(_, body)| serde_json::from_slice(body).expect("JSON"))
                    .collect();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("only {} events came", self.got.lock().expect("lock").len());
    }
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| text(&event["type"])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_signed_and_in_order() {
    let (simulator, receiver) = (Simulator::start().await, Receiver::start().await);
    simulator
        .admin(
            "/admin/webhook_endpoints",
            json!({ "url": receiver.url, "secret": SECRET }),
        )
        .await;
    let intent = simulator.pay("pm_card_createDispute").await.body;
    let events = receiver.events(5).await;
    let expected = [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
    ];
    assert_eq!(types(&events), expected);
    assert_eq!(
        events[0]["data"]["object"]["status"], "requires_confirmation",
        "as it was then"
    );
    assert_eq!(
        (
            &events[2]["data"]["object"]["id"],
            &events[2]["data"]["object"]["status"]
        ),
        (&intent["id"], &json!("succeeded"))
    );
    for (signature, body) in receiver.got.lock().expect("lock").iter() {
        let (at, hex) = signature.split_once(",v1=").expect("two parts, no space");
        let at = at.strip_prefix("t=").expect("time first");
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
        mac.update(at.as_bytes());
        mac.update(b".");
        mac.update(body);
        mac.verify_slice(&hex::decode(hex).expect("hex"))
            .expect("the signature covers time and body");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_receiver_gets_the_same_event_later() {
    let (simulator, receiver) = (Simulator::start().await, Receiver::start().await);
    let form = format!("url={}&enabled_events[0]=payment_intent.succeeded", receiver.url);
    let endpoint = simulator.post("/v1/webhook_endpoints", &form).await.body;
    assert!(text(&endpoint["secret"]).starts_with("whsec_"));
    *receiver.status.lock().expect("lock") = StatusCode::INTERNAL_SERVER_ERROR;
    simulator.pay("pm_card_visa").await;
    receiver.events(1).await;
    *receiver.status.lock().expect("lock") = StatusCode::OK;
    simulator.pass(2).await;
    let events = receiver.events(2).await;
    assert_eq!(
        (types(&events), &events[0]["id"]),
        (vec!["payment_intent.succeeded"; 2], &events[1]["id"])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_receiver_is_owed_its_events_over_a_restart() {
    let receiver = Receiver::start().await;
    let simulator = Simulator::start().await;
    let hook = json!({ "url": receiver.url, "secret": SECRET, "enabled_events": ["payment_intent.succeeded"] });
    simulator.admin("/admin/webhook_endpoints", hook).await;
    simulator.pay("pm_card_visa").await;
    receiver.events(1).await;
    *receiver.status.lock().expect("lock") = StatusCode::SERVICE_UNAVAILABLE;
    let owed = simulator.pay("pm_card_visa").await.body;
    receiver.events(2).await;
    // Long enough for the receipt of the first to be in the log, which nobody waits for.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let dir = simulator.end(true);
    receiver.got.lock().expect("lock").clear();
    *receiver.status.lock().expect("lock") = StatusCode::OK;
    let simulator = Simulator::start_in(&dir, &[]).await;
    let events = receiver.events(1).await;
    assert_eq!(events[0]["data"]["object"]["id"], owed["id"]);
    drop(simulator);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhook_faults_drop_duplicate_and_reorder() {
    let (simulator, receiver) = (Simulator::start().await, Receiver::start().await);
    simulator
        .admin(
            "/admin/webhook_endpoints",
            json!({ "url": receiver.url, "secret": SECRET }),
        )
        .await;
    for (action, event) in [
        ("webhook_drop", "payment_intent.created"),
        ("webhook_reorder", "charge."),
        ("webhook_duplicate", "payment_intent.succeeded"),
    ] {
        simulator
            .admin(
                "/admin/faults",
                json!({ "action": action, "event": event, "ms": 200, "remaining": 1 }),
            )
            .await;
    }
    simulator.pay("pm_card_visa").await;
    let events = receiver.events(3).await;
    assert_eq!(
        types(&events),
        [
            "payment_intent.succeeded",
            "payment_intent.succeeded",
            "charge.succeeded"
        ]
    );
    assert_eq!(events[0]["id"], events[1]["id"]);
}

/// A new authority's PEM and a server for 127.0.0.1 that it vouches for.
fn authority() -> (String, TlsAcceptor) {
    let key = rcgen::KeyPair::generate().expect("key");
    let mut ca = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = ca.self_signed(&key).expect("self-signed").pem();
    let issuer = rcgen::Issuer::new(ca, key);
    let leaf_key = rcgen::KeyPair::generate().expect("key");
    let leaf = rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).expect("parameters");
    let leaf = leaf.signed_by(&leaf_key, &issuer).expect("signed");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let private = rustls::pki_types::PrivateKeyDer::try_from(leaf_key.serialize_der()).expect("PKCS #8");
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)
        .expect("certificate");
    (pem, TlsAcceptor::from(Arc::new(server)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_needs_the_given_authority() {
    let (pem, ours) = authority();
    let (_, foreign) = authority();
    let (trusted, untrusted) = (
        Receiver::start_with(Some(ours)).await,
        Receiver::start_with(Some(foreign)).await,
    );
    let dir = std::env::temp_dir().join(format!("simulator-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&dir).expect("directory");
    let ca = dir.join("ca.pem");
    std::fs::write(&ca, pem).expect("written");
    let ca = ca.to_str().expect("UTF-8");
    let simulator = Simulator::start_in(
        &dir,
        &[
            "--webhook-ca",
            ca,
            "--webhook-url",
            &untrusted.url,
            "--webhook-secret",
            SECRET,
        ],
    )
    .await;
    simulator
        .admin(
            "/admin/webhook_endpoints",
            json!({ "url": trusted.url, "secret": SECRET }),
        )
        .await;
    simulator.pay("pm_card_visa").await;
    assert_eq!(trusted.events(3).await.len(), 3);
    assert!(
        untrusted.got.lock().expect("lock").is_empty(),
        "sent to a receiver that nobody vouches for"
    );
    let listed = simulator.get("/v1/webhook_endpoints").await;
    assert_eq!(
        listed["data"][1]["url"], untrusted.url,
        "the target given at start is registered"
    );
}
