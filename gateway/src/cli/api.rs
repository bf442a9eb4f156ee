//! The API as a command calls it: with the key of a development folder, or one that is named. The same rights, the same rules
//! and the same audit log as for every other caller; a command that goes this way has none of its own.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::Value;

use crate::{egress, id};

/// Which service, as whom, for whom.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Which {
    /// The service's address; without it, that of the development folder
    #[arg(long, env = "COUNTERFOIL_API_URL", value_name = "URL")]
    api_url: Option<String>,

    /// File with an API key; without it, the environment's COUNTERFOIL_API_KEY, or that of the development folder
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// PEM file of the authorities that may sign the service's certificate
    #[arg(long, value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    authorities: PathBuf,

    /// The merchant that is acted for, with a key of the platform
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,

    /// Folder of `counterfoil dev`
    #[arg(long, default_value = ".counterfoil", value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Deserialize)]
struct Dev {
    api_url: String,
    ca_file: PathBuf,
    secret_key: String,
}

impl Which {
    /// What the service answers to a read.
    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, path, None).await
    }

    /// What the service answers to a change, which happens once however often the connection breaks.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let (url, key, authorities) = self.service()?;
        let roots = egress::roots(&[&authorities]).map_err(anyhow::Error::msg)?;
        let http = egress::connector(HttpConnector::new(), CONNECT_TIMEOUT, &roots, false);
        let client = Client::builder(TokioExecutor::new()).build(http);
        let mut bearer = HeaderValue::try_from(format!("Bearer {key}")).context("the key is no key")?;
        bearer.set_sensitive(true);
        let once = id::random();
        let mut broken = None;
        for _ in 0..TRIES {
            let mut request = Request::builder()
                .method(&method)
                .uri(format!("{url}{path}"))
                .header(AUTHORIZATION, &bearer);
            if let Some(account) = &self.account {
                request = request.header("stripe-account", account);
            }
            let request = match body {
                None => request.body(Full::<Bytes>::default()),
                Some(body) => request
                    .header(CONTENT_TYPE, "application/json")
                    .header("idempotency-key", &once)
                    .body(Full::from(body.to_string())),
            };
            let exchange = async {
                let answer = client
                    .request(request?)
                    .await
                    .map_err(|e| anyhow::anyhow!(egress::describe(&e)))?;
                let status = answer.status();
                let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
                let body = body.map_err(|_| anyhow::anyhow!("the answer broke off"))?.to_bytes();
                anyhow::Ok((status, body))
            };
            let (status, body) = match tokio::time::timeout(TIMEOUT, exchange).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => {
                    broken = Some(error);
                    continue;
                }
                Err(_) => bail!("{url} gives no answer within {} s", TIMEOUT.as_secs()),
            };
            let told: Value =
                serde_json::from_slice(&body).with_context(|| format!("{url} does not answer in JSON"))?;
            if status.is_success() {
                return Ok(told);
            }
            let message = told["error"]["message"].as_str().unwrap_or("it gives no reason");
            let code = told["error"]["code"].as_str().unwrap_or_default();
            bail!("{} {code}: {message}", status.as_u16());
        }
        Err(broken.unwrap_or_else(|| anyhow::anyhow!("no answer"))).with_context(|| format!("asking {url}"))
    }

    /// Its address, the key, and who may sign its certificate.
    fn service(&self) -> Result<(String, String, PathBuf)> {
        let given = match &self.key_file {
            Some(file) => {
                let key = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
                Some(key.trim().to_owned())
            }
            None => std::env::var("COUNTERFOIL_API_KEY").ok(),
        };
        if let Some(url) = &self.api_url {
            let Some(key) = given else {
                bail!("which key? Give --key-file, or set COUNTERFOIL_API_KEY");
            };
            return Ok((url.trim_end_matches('/').to_owned(), key, self.authorities.clone()));
        }
        let path = self.dir.join("dev.json");
        let Ok(text) = fs::read_to_string(&path) else {
            bail!(
                "which service? Give --api-url, set COUNTERFOIL_API_URL, or start `counterfoil dev` ({} is not there)",
                path.display()
            );
        };
        let dev: Dev = serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        Ok((dev.api_url, given.unwrap_or(dev.secret_key), dev.ca_file))
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(90); // longer than the service takes to say that it does not know
const TRIES: usize = 3;
const ANSWER_MAX: usize = 32 * 1024 * 1024;
