//! The outside world of one test: a simulator of its own, its admin port, and the callbacks that it sends.

use crate::test_postgres::TempDir;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

pub(super) struct World {
    pub api_url: String,
    pub bank_address: String,
    pub callbacks: mpsc::UnboundedReceiver<(http::HeaderMap, Bytes)>,
    admin_url: String,
    client: Client<HttpConnector, Full<Bytes>>,
    stop: Option<oneshot::Sender<()>>,
    running: tokio::task::JoinHandle<anyhow::Result<()>>,
    _dir: TempDir,
}

impl World {
    pub(super) async fn start() -> Self {
        let dir = TempDir::new("world");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (sender, callbacks) = mpsc::unbounded_channel();
        let webhook_url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let sender = sender.clone();
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let sender = sender.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let _ = sender.send((head.headers, body.collect().await?.to_bytes()));
                        Ok::<_, hyper::Error>(http::Response::new(Full::new(Bytes::new())))
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service),
                );
            }
        });
        let ready_file = dir.path().join("ready.json");
        let local = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let options = simulator::Options {
            listen: local,
            admin_listen: local,
            bank_listen: local,
            dir: dir.path().to_owned(),
            ready_file: Some(ready_file.clone()),
            secret_key: Some("sk_test_secret".to_owned()),
            webhook_url: Some(webhook_url),
            webhook_secret: Some("whsec_old".to_owned()),
            webhook_ca: None,
            webhook_events: Vec::new(),
            dispute_delay_ms: 10,
            return_dispute_fees: false,
            counter_fee: 0,
            refund_delay_ms: 10,
            seed: 0,
        };
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(simulator::run(options, async move {
            let _ = stopped.await;
        }));
        let ready = loop {
            match std::fs::read(&ready_file)
                .ok()
                .and_then(|text| serde_json::from_slice::<Value>(&text).ok())
            {
                Some(ready) => break ready,
                None => assert!(!running.is_finished(), "the simulator ended"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let told = |name: &str| ready[name].as_str().unwrap().to_owned();
        Self {
            api_url: told("api_url"),
            bank_address: told("bank_address"),
            admin_url: told("admin_url"),
            callbacks,
            client: Client::builder(TokioExecutor::new()).build_http(),
            stop: Some(stop),
            running,
            _dir: dir,
        }
    }

    /// Something goes wrong from now on, so many times.
    pub(super) async fn fault(&self, rule: Value) {
        self.admin("POST", "/admin/faults", &rule.to_string()).await;
    }

    pub(super) async fn heal(&self) {
        self.admin("DELETE", "/admin/faults", "").await;
    }

    /// What an admin page says: JSON, or one JSON a line.
    pub(super) async fn truth(&self, path: &str) -> Vec<Value> {
        let text = self.admin("GET", path, "").await;
        match serde_json::from_str(&text) {
            Ok(Value::Array(all)) => all,
            _ => text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        }
    }

    /// The outside world ends.
    pub(super) async fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
            (&mut self.running).await.unwrap().unwrap();
        }
    }

    pub(super) async fn admin(&self, method: &str, path: &str, body: &str) -> String {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.admin_url))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        let answer = self.client.request(request).await.unwrap();
        let status = answer.status();
        let text = String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        text
    }
}
