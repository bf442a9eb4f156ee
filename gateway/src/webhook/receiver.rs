//! A receiver that the operator named, for alarms and for the audit log: told like a merchant's endpoint, with the same
//! signatures and the same client, but it may be on a private address. It must never be one that a caller named.

use super::signature;
use super::target::{Policy, Target, TargetClient};
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use rustls::RootCertStore;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Where to, and how it knows that it is us.
#[derive(Clone)]
pub struct Receiver {
    /// as it was named
    pub url: String,
    target: Target,
    client: TargetClient,
    secret: Arc<Zeroizing<String>>,
}

impl Receiver {
    /// A receiver at this URL: https, or plain http on a loopback address.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn new(url: &str, secret: &str, roots: &Arc<RootCertStore>) -> Result<Self, String> {
        let policy = Policy {
            allow_private: true,
            roots: roots.clone(),
            timeout: TIMEOUT,
        };
        let target = Target::parse(url, &policy).map_err(|refused| refused.to_string())?;
        if !target.is_encrypted() && !target.is_loopback() {
            return Err("The URL must use https, or a loopback address".to_owned());
        }
        Ok(Self {
            url: url.to_owned(),
            target,
            client: TargetClient::new(&policy),
            secret: Arc::new(Zeroizing::new(secret.to_owned())),
        })
    }

    /// Tells it; only a 2xx is an answer that counts.
    ///
    /// # Errors
    /// A line that says why it does not know.
    pub async fn tell(&self, id: &str, now: i64, content_type: &'static str, body: String) -> Result<(), String> {
        let mut headers = signature::headers(&[self.secret.as_str()], id, now, body.as_bytes());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let answer = self.client.post(&self.target, headers, Bytes::from(body)).await?;
        match answer.status.is_success() {
            true => Ok(()),
            false => Err(format!("it answered {}", answer.status.as_u16())),
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);
