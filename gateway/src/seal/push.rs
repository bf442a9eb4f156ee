//! Signed heads sent over HTTP to those who keep them: an auditor's endpoint, a bucket with object lock.
//!
//! Each target has a task of its own and gets the newest head until it takes it (any 2xx); what fails is told, counted and
//! tried again after a pause that doubles up to a minute. It must never hold up sealing or a payment, never follow a redirect,
//! and never send a head unencrypted to another machine.

use std::path::PathBuf;
use std::time::Duration;

use crate::telemetry::table;
use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use ledger::seal::Head;
use prometheus::{IntCounterVec, IntGaugeVec, Registry};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::egress;

/// Where heads are sent, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// `{pages}` in a URL becomes the number of pages under the head, so that every head can have a name of its own;
    /// `{series}` becomes `books` or `audit`, and without it a URL gets the heads of the books alone
    pub urls: Vec<String>,
    /// PUT or POST
    pub method: Method,
    /// file with a bearer token; read again for every head, so that it can be rotated
    pub token_file: Option<PathBuf>,
    /// PEM file of the authorities that may sign the targets' certificates
    pub authorities: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            method: Method::PUT,
            token_file: None,
            authorities: None,
        }
    }
}

/// The targets, ready to be sent to.
pub(super) struct Push {
    newest: watch::Sender<Option<Head>>,
    targets: Vec<Target>,
    pages: IntGaugeVec,
    last: IntGaugeVec,
    failures: IntCounterVec,
}

#[derive(Clone)]
struct Target {
    /// with `{pages}` in it, perhaps
    url: String,
    /// host and port, for logs and metrics: the rest of a URL may be secret
    name: String,
    method: Method,
    token_file: Option<PathBuf>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Checks a list of URLs as it stands in the settings, divided by blanks.
///
/// # Errors
/// Says which one is not https, or http to this machine.
pub fn parse_urls(list: &str) -> Result<Vec<String>, String> {
    list.split_whitespace()
        .map(
            |text| match url::Url::parse(&text.replace("{pages}", "1").replace("{series}", "books")) {
                Ok(url) if url.scheme() == "https" && url.host().is_some() => Ok(text.to_owned()),
                Ok(url) if url.scheme() == "http" && is_loopback(&url) => Ok(text.to_owned()),
                Ok(url) => Err(format!(
                    "{}: must be https, or http to a loopback address",
                    url.host_str().unwrap_or_default()
                )),
                Err(error) => Err(format!("not a URL: {error}")),
            },
        )
        .collect()
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(_)) | None => false,
    }
}

impl Push {
    /// The targets for the heads of the books (`series` is empty), or of the history whose metrics begin with `series`.
    pub(super) fn new(config: &Config, series: &str) -> anyhow::Result<Self> {
        if ![Method::PUT, Method::POST].contains(&config.method) {
            bail!("heads are sent with PUT or POST, not {}", config.method);
        }
        let mut urls = parse_urls(&config.urls.join(" ")).map_err(anyhow::Error::msg)?;
        urls.retain(|url| series.is_empty() || url.contains("{series}"));
        let name = if series.is_empty() {
            "books"
        } else {
            series.trim_end_matches('_')
        };
        let urls = urls
            .into_iter()
            .map(|url| url.replace("{series}", name))
            .collect::<Vec<_>>();
        let roots = egress::roots_or_none(config.authorities.as_deref().filter(|_| !urls.is_empty()))
            .map_err(anyhow::Error::msg)?;
        let http = egress::connector(HttpConnector::new(), CONNECT_TIMEOUT, &roots, true);
        let client = Client::builder(TokioExecutor::new()).build(http);
        let targets = urls
            .into_iter()
            .map(|url| {
                let parsed = url::Url::parse(&url.replace("{pages}", "1")).context("a URL that was parsed before")?;
                let port = parsed.port_or_known_default().unwrap_or_default();
                Ok(Target {
                    name: format!("{}:{port}", parsed.host_str().unwrap_or_default()),
                    url,
                    method: config.method.clone(),
                    token_file: config.token_file.clone(),
                    client: client.clone(),
                })
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            newest: watch::Sender::new(None),
            targets,
            pages: table::gauges(&format!("counterfoil_{series}seal_pushed_pages")),
            last: table::gauges(&format!("counterfoil_{series}seal_push_last_timestamp_seconds")),
            failures: table::counters(&format!("counterfoil_{series}seal_push_failures_total")),
        })
    }

    pub(super) fn register(&self, metrics: &Registry) -> anyhow::Result<()> {
        metrics.register(Box::new(self.pages.clone()))?;
        metrics.register(Box::new(self.last.clone()))?;
        metrics.register(Box::new(self.failures.clone()))?;
        Ok(())
    }

    /// One task per target, ended when the set is dropped.
    pub(super) fn start(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for target in self.targets.iter().cloned() {
            let pages = self.pages.with_label_values(&[&target.name]);
            let last = self.last.with_label_values(&[&target.name]);
            let failures = self.failures.with_label_values(&[&target.name]);
            let mut newest = self.newest.subscribe();
            newest.mark_changed();
            tasks.spawn(async move {
                let mut pause = FIRST_PAUSE;
                while newest.changed().await.is_ok() {
                    let Some(head) = newest.borrow_and_update().clone() else {
                        continue;
                    };
                    match target.send(&head).await {
                        Ok(()) => {
                            pages.set(head.pages);
                            last.set(Timestamp::now().as_second());
                            pause = FIRST_PAUSE;
                        }
                        Err(error) => {
                            failures.inc();
                            tracing::error!(target = target.name, %error, "a head of the seal was not taken; sending again");
                            tokio::time::sleep(pause).await;
                            pause = (pause * 2).min(LONGEST_PAUSE);
                            newest.mark_changed(); // this one again, or a newer one
                        }
                    }
                }
            });
        }
        tasks
    }

    /// Lets the targets have this head; one that they know is not sent again.
    pub(super) fn offer(&self, head: &Head) {
        self.newest.send_if_modified(|newest| {
            let fresh = newest.as_ref().is_none_or(|newest| newest.pages != head.pages);
            if fresh {
                *newest = Some(head.clone());
            }
            fresh
        });
    }
}

impl Target {
    async fn send(&self, head: &Head) -> Result<(), String> {
        let uri: Uri = self
            .url
            .replace("{pages}", &head.pages.to_string())
            .parse()
            .map_err(|_| "the URL cannot be sent".to_owned())?;
        let body = serde_json::to_vec(head).map_err(|e| e.to_string())?;
        let mut request = Request::builder()
            .method(&self.method)
            .uri(uri)
            .header(CONTENT_TYPE, "application/json");
        if let Some(file) = &self.token_file {
            let token = tokio::fs::read_to_string(file)
                .await
                .map_err(|e| format!("{}: {e}", file.display()))?;
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
                .map_err(|_| format!("{}: not a token", file.display()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Full::from(body)).map_err(|e| e.to_string())?;
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|e| egress::describe(&e))?;
            let status = answer.status();
            // Read to its end, so that the connection can be used again; what is longer costs the connection.
            let _ = Limited::new(answer.into_body(), 65_536).collect().await;
            match status.is_success() {
                true => Ok(()),
                false => Err(format!("it answered {}", status.as_u16())),
            }
        };
        tokio::time::timeout(TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())))
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::net::TcpListener;

    use super::*;

    fn head(pages: i64) -> Head {
        serde_json::from_value(serde_json::json!({
            "pages": pages, "journals": pages * 2, "root": "07".repeat(32), "sealed_at_us": 1, "key_id": "k1",
            "key_check": "00".repeat(8), "mac": "04".repeat(32),
        }))
        .unwrap()
    }

    type Taken = Arc<Mutex<Vec<(String, String, Head)>>>;

    /// A keeper of heads that answers with these statuses, then 200; what it was sent, it keeps.
    async fn keeper(listener: TcpListener, mut statuses: Vec<u16>) -> Taken {
        let taken = Taken::default();
        let kept = Arc::clone(&taken);
        statuses.reverse();
        let statuses = Arc::new(Mutex::new(statuses));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (kept, statuses) = (Arc::clone(&kept), Arc::clone(&statuses));
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (kept, statuses) = (Arc::clone(&kept), Arc::clone(&statuses));
                        async move {
                            let line = format!("{} {}", request.method(), request.uri());
                            let auth = request.headers().get(AUTHORIZATION);
                            let auth = auth.map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
                            let body = request.into_body().collect().await.unwrap().to_bytes();
                            kept.lock()
                                .unwrap()
                                .push((line, auth, serde_json::from_slice(&body).unwrap()));
                            let status = statuses.lock().unwrap().pop().unwrap_or(200);
                            let answer = http::Response::builder().status(status);
                            Ok::<_, Infallible>(
                                answer
                                    .header("location", "/elsewhere")
                                    .body(Full::<Bytes>::default())
                                    .unwrap(),
                            )
                        }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        taken
    }

    async fn until(condition: impl Fn() -> bool) {
        tokio::time::timeout(Duration::from_secs(30), async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("it comes to that");
    }

    #[tokio::test]
    async fn a_head_is_sent_until_it_is_taken_and_then_once() {
        let dir = crate::test_postgres::TempDir::new("seal-push");
        let token = dir.path().join("token");
        std::fs::write(&token, "s3cret\n").unwrap();
        // Nobody listens yet: refused connections are failures like others.
        let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = reserved.local_addr().unwrap();
        drop(reserved);
        let push = Push::new(
            &Config {
                urls: vec![format!("http://{address}/heads/{{pages}}.json")],
                token_file: Some(token),
                ..Config::default()
            },
            "",
        )
        .unwrap();
        let name = address.to_string();
        let failures = || push.failures.with_label_values(&[&name]).get();
        let tasks = push.start();
        push.offer(&head(1));
        until(|| failures() >= 1).await;

        let taken = keeper(TcpListener::bind(address).await.unwrap(), vec![503, 307]).await;
        until(|| push.pages.with_label_values(&[&name]).get() == 1).await;
        assert!(failures() >= 3, "refused, 503, and a redirect that is not followed");
        push.offer(&head(1));
        push.offer(&head(2));
        until(|| push.pages.with_label_values(&[&name]).get() == 2).await;
        let taken = taken.lock().unwrap().clone();
        let lines: Vec<&str> = taken.iter().map(|(line, ..)| line.as_str()).collect();
        let one = "PUT /heads/1.json";
        assert_eq!(lines, [one, one, one, "PUT /heads/2.json"]);
        assert!(taken.iter().all(|(_, auth, _)| auth == "Bearer s3cret"));
        assert_eq!(taken[3].2, head(2));
        drop(tasks);
    }

    #[test]
    fn heads_leave_this_machine_encrypted_or_not_at_all() {
        assert_eq!(parse_urls("").unwrap(), [""; 0]);
        let two = parse_urls("https://a.example/h/{pages} http://127.0.0.1:9/x").unwrap();
        assert_eq!(two.len(), 2);
        for wrong in [
            "http://a.example/",
            "http://localhost/",
            "ftp://a.example/",
            "heads",
            "https://",
        ] {
            assert!(parse_urls(wrong).is_err(), "{wrong}");
        }
        let method = Config {
            method: Method::GET,
            ..Config::default()
        };
        assert!(Push::new(&method, "").is_err());
        // Another history never overwrites the head of the books.
        let both = Config {
            urls: vec![
                "http://127.0.0.1:9/head.json".into(),
                "http://127.0.0.1:9/{series}/head.json".into(),
            ],
            ..Config::default()
        };
        let urls = |series| {
            Push::new(&both, series)
                .unwrap()
                .targets
                .into_iter()
                .map(|t| t.url)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            urls(""),
            ["http://127.0.0.1:9/head.json", "http://127.0.0.1:9/books/head.json"]
        );
        assert_eq!(urls("audit_"), ["http://127.0.0.1:9/audit/head.json"]);
    }
}
