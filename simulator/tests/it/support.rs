//! Starts the real program in a directory of its own and talks HTTP to it.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running simulator; ends, and removes its directory, when dropped.
pub struct Simulator {
    child: Child,
    pub dir: PathBuf,
    pub api: String,
    pub admin: String,
    client: Client<HttpConnector, Full<Bytes>>,
    keep: bool,
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    pub body: Value,
}

impl Simulator {
    pub async fn start() -> Self {
        let dir = std::env::temp_dir().join(format!("simulator-{}", uuid::Uuid::new_v4()));
        Self::start_in(&dir, &[]).await
    }

    pub async fn start_in(dir: &Path, more: &[&str]) -> Self {
        std::fs::create_dir_all(dir).expect("temporary directory");
        let ready = dir.join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let child = Command::new(env!("CARGO_BIN_EXE_simulator"))
            .args(["--dispute-delay-ms", "0", "--refund-delay-ms", "60000", "--dir"])
            .arg(dir)
            .arg("--ready-file")
            .arg(&ready)
            .args(more)
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let text = loop {
            match std::fs::read_to_string(&ready) {
                Ok(text) => break text,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let ready: Value = serde_json::from_str(&text).expect("ready file is JSON");
        assert_eq!(ready["pid"], child.id());
        Self {
            child,
            dir: dir.to_owned(),
            api: ready["api_url"].as_str().expect("api_url").to_owned(),
            admin: ready["admin_url"].as_str().expect("admin_url").to_owned(),
            client: Client::builder(TokioExecutor::new())
                .retry_canceled_requests(false)
                .build_http(),
            keep: false,
        }
    }

    /// Kills it at once, or asks it to end and expects 0; gives the directory to start it in again.
    pub fn end(mut self, kill: bool) -> PathBuf {
        self.keep = true;
        if kill {
            let _ = self.child.kill();
            self.child.wait().expect("reaped");
        } else {
            let pid = self.child.id().to_string();
            assert!(Command::new("kill").arg(&pid).status().expect("kill runs").success());
            assert_eq!(self.child.wait().expect("reaped").code(), Some(0));
        }
        self.dir.clone()
    }

    /// Kills it at once; callers see their connections end.
    pub fn kill(&self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-9", &pid])
                .status()
                .expect("kill runs")
                .success()
        );
    }

    /// Sends a request; an error means that no answer came.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("request");
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| format!("{error:?}"))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("UTF-8");
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
        })
    }

    pub async fn try_post(&self, path: &str, form: &str, key: Option<&str>) -> Result<Answer, String> {
        let mut headers = vec![("authorization", "Bearer sk_test_1")];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        self.send(Method::POST, &format!("{}{path}", self.api), &headers, form.to_owned())
            .await
    }

    pub async fn post(&self, path: &str, form: &str) -> Answer {
        self.try_post(path, form, None).await.expect("answered")
    }

    pub async fn get(&self, path: &str) -> Value {
        let headers = [("authorization", "Bearer sk_test_1")];
        let answer = self
            .send(Method::GET, &format!("{}{path}", self.api), &headers, String::new())
            .await
            .expect("answered");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.body
    }

    /// A confirmed payment of 1000 usd with this card.
    pub async fn pay(&self, card: &str) -> Answer {
        self.post(
            "/v1/payment_intents",
            &format!("amount=1000&currency=usd&confirm=true&payment_method={card}"),
        )
        .await
    }

    pub async fn admin(&self, path: &str, body: Value) -> Value {
        let headers = [("content-type", "application/json")];
        let url = format!("{}{path}", self.admin);
        let answer = self
            .send(Method::POST, &url, &headers, body.to_string())
            .await
            .expect("answered");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.body
    }

    pub async fn admin_get(&self, path: &str) -> Answer {
        self.send(Method::GET, &format!("{}{path}", self.admin), &[], String::new())
            .await
            .expect("answered")
    }

    /// Moves simulated time; every timer due has fired when this returns.
    pub async fn pass(&self, seconds: u32) {
        self.admin("/admin/clock", serde_json::json!({ "advance_seconds": seconds }))
            .await;
    }

    /// The newest dispute of a payment, once it is in this status.
    pub async fn dispute(&self, payment: &str, status: &str) -> Value {
        for _ in 0..500 {
            let list = self.get(&format!("/v1/disputes?payment_intent={payment}")).await;
            if list["data"][0]["status"] == status {
                return list["data"][0].clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no dispute of {payment} became {status}");
    }

    /// Types of the events about one payment's objects, oldest first.
    pub async fn event_types(&self) -> Vec<String> {
        let list = self.get("/v1/events?limit=100").await;
        let events = list["data"].as_array().expect("list");
        events
            .iter()
            .rev()
            .map(|event| text(&event["type"]).to_owned())
            .collect()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if !self.keep {
            let _ = self.child.kill();
            let _ = self.child.wait();
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}
