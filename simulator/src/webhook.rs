//! Webhook delivery: signed, at least once, in order per payment while the receiver is healthy.
//!
//! Runs beside the API and never holds its lock while sending: a dead receiver costs the API nothing. Each endpoint has lanes; a
//! payment's events share one. A failed event leaves its lane and is retried by itself, so later ones may pass it, as the real
//! acquirer warns. Every receipt is logged, so a restart sends again only what was not acknowledged.

use crate::Simulator;
use crate::fault::{Action, Rule};
use crate::id::Id;
use crate::object::Endpoint;
use crate::store::{Event, Object, Record};
use crate::view::{self, Site};
use anyhow::Context;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use sha2::Sha256;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// One event owed to one endpoint.
#[derive(Clone)]
pub struct Outgoing {
    /// As it was when the event happened.
    pub endpoint: Arc<Endpoint>,
    /// The event.
    pub event: Arc<Event>,
}

/// Takes owed deliveries from a queue and gives them to lanes until the queue ends.
pub async fn dispatch(simulator: Arc<Simulator>, client: Sender, mut queue: mpsc::UnboundedReceiver<Outgoing>) {
    let mut lanes: HashMap<(Id, u64), mpsc::UnboundedSender<Outgoing>> = HashMap::new();
    while let Some(outgoing) = queue.recv().await {
        let lane = (outgoing.endpoint.id, payment_of(&outgoing.event.object) % LANES);
        let lane = lanes.entry(lane).or_insert_with(|| {
            let (lane, events) = mpsc::unbounded_channel();
            tokio::spawn(deliver_in_order(simulator.clone(), client.clone(), events));
            lane
        });
        // A lane ends only with the dispatcher.
        let _ = lane.send(outgoing);
    }
}

async fn deliver_in_order(simulator: Arc<Simulator>, client: Sender, mut events: mpsc::UnboundedReceiver<Outgoing>) {
    while let Some(outgoing) = events.recv().await {
        let fault = simulator.faults.for_event(&outgoing.event.row.kind);
        match fault {
            Some(Rule {
                action: Action::WebhookDrop,
                ..
            }) => {
                simulator.delivered(&outgoing);
                continue;
            }
            Some(Rule {
                action: Action::WebhookReorder,
                ms,
                ..
            }) => {
                let (simulator, client) = (simulator.clone(), client.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(ms.max(1))).await;
                    attempt(&simulator, &client, &outgoing, 0).await;
                });
                continue;
            }
            Some(Rule {
                action: Action::WebhookDelay,
                ms,
                ..
            }) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Some(Rule {
                action: Action::WebhookDuplicate,
                ..
            }) => {
                client.post(&simulator, &outgoing).await;
            }
            _ => {}
        }
        attempt(&simulator, &client, &outgoing, 0).await;
    }
}

/// Sends once; on failure goes on by itself on the retry schedule, which follows the simulated clock.
async fn attempt(simulator: &Arc<Simulator>, client: &Sender, outgoing: &Outgoing, first_retry: usize) {
    if client.post(simulator, outgoing).await {
        simulator.delivered(outgoing);
        return;
    }
    let (simulator, client, outgoing) = (simulator.clone(), client.clone(), outgoing.clone());
    tokio::spawn(async move {
        for wait_s in RETRY_AFTER_SECONDS.iter().skip(first_retry) {
            let due_ms = simulator.clock.now_ms() + wait_s * 1000;
            simulator.clock.sleep_until(due_ms).await;
            let gone = simulator
                .store()
                .endpoints
                .get(outgoing.endpoint.id)
                .is_none_or(|endpoint| endpoint.deleted);
            if gone || client.post(&simulator, &outgoing).await {
                break;
            }
        }
        // Acknowledged, or given up: either way it is not owed any more.
        simulator.delivered(&outgoing);
    });
}

/// The HTTP client of all deliveries.
#[derive(Clone)]
pub struct Sender(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Sender {
    /// A client that trusts the certificates in `ca` and no others: without one, only plain HTTP works.
    pub fn new(ca: Option<&Path>) -> anyhow::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        if let Some(ca) = ca {
            let certificates =
                CertificateDer::pem_file_iter(ca).with_context(|| format!("reading {}", ca.display()))?;
            for certificate in certificates {
                roots.add(certificate?)?;
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self(
            Client::builder(TokioExecutor::new())
                .pool_idle_timeout(Duration::from_secs(30))
                .build(connector),
        ))
    }

    /// True on a 2xx within the time limit.
    async fn post(&self, simulator: &Simulator, outgoing: &Outgoing) -> bool {
        let Ok(body) = view::event(
            &outgoing.event,
            Site {
                api_url: &simulator.api_url,
            },
        ) else {
            return false;
        };
        let signature = signature(&outgoing.endpoint.secret, simulator.clock.wall_seconds(), &body);
        let request = http::Request::post(&*outgoing.endpoint.url)
            .header("content-type", "application/json; charset=utf-8")
            .header("user-agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
            .header("stripe-signature", signature)
            .body(Full::new(Bytes::from(body)));
        let Ok(request) = request else { return false };
        match tokio::time::timeout(ANSWER_WITHIN, self.0.request(request)).await {
            Ok(Ok(response)) => response.status().is_success(),
            Ok(Err(error)) => {
                tracing::debug!(%error, url = %outgoing.endpoint.url, "webhook not delivered");
                false
            }
            Err(_) => false,
        }
    }
}

impl Simulator {
    /// Remembers that an event is not owed to an endpoint any more.
    fn delivered(&self, outgoing: &Outgoing) {
        let mut store = self.store();
        store.put(Record::Delivered(outgoing.event.row.id, outgoing.endpoint.id));
        // Nobody is told: if this line is lost the event is sent again, which receivers must bear.
        drop(store.commit());
    }
}

/// `t=…,v1=…` over `{t}.{body}`.
fn signature(secret: &str, at: i64, body: &[u8]) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{at}.").as_bytes());
    mac.update(body);
    format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()))
}

fn payment_of(object: &Object) -> u64 {
    let id = match object {
        Object::Intent(row) => row.id,
        Object::Charge(row) => row.intent,
        Object::Refund(row) => row.intent,
        Object::Dispute(row) => row.intent,
        Object::FraudWarning(row) => row.intent,
        Object::BalanceTransaction(row) => row.id,
        Object::Method(row) => row.method.id,
        Object::Endpoint(row) => row.id,
    };
    id.index() as u64
}

const LANES: u64 = 32;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// About three days of simulated time.
const RETRY_AFTER_SECONDS: [i64; 12] = [1, 5, 30, 120, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 86_400];
