//! How much one caller may ask of the service: requests per second by key and by address, and requests at once by key.
//!
//! Token buckets in their smallest form (GCRA: one number, "the moment by which all that was taken is given back"), in memory
//! of fixed size. Limits are per process: they protect the service, they are not a tariff. A refusal is Stripe's 429 and every
//! answer tells where its key stands (`RateLimit`, `RateLimit-Policy`). It must never allocate per stranger.

mod addresses;
mod bucket;

use crate::api::error::ApiError;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use addresses::Addresses;
pub use bucket::{Bucket, Quota, Refill};

/// What callers may ask for; `deploy/config.default.toml` gives the reasons.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Every key must sign its requests, whatever the key itself says.
    pub require_signatures: bool,
    /// Requests per second of one key, unless the key has its own number.
    pub key_requests_per_second: u32,
    /// Requests at the same time of one key, unless the key has its own number.
    pub key_concurrent_requests: u32,
    /// Requests per second from one address.
    pub address_requests_per_second: u32,
    /// Keys that do not exist, per minute from one address.
    pub wrong_keys_per_minute: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            require_signatures: false,
            key_requests_per_second: 20_000,
            key_concurrent_requests: 2_048,
            address_requests_per_second: 40_000,
            wrong_keys_per_minute: 120,
        }
    }
}

impl Settings {
    /// Name (as in the configuration file) and value of each number.
    pub(crate) fn each(&self) -> [(&'static str, u32); 4] {
        [
            ("access.key_requests_per_second", self.key_requests_per_second),
            ("access.key_concurrent_requests", self.key_concurrent_requests),
            ("access.address_requests_per_second", self.address_requests_per_second),
            ("access.wrong_keys_per_minute", self.wrong_keys_per_minute),
        ]
    }
}

/// Buckets of addresses, and what is needed to make those of keys.
pub struct Limits {
    /// as set
    pub settings: Settings,
    /// requests
    pub addresses: Addresses,
    /// keys that do not exist
    pub wrong_keys: Addresses,
}

impl Limits {
    /// Limits as set, all buckets full.
    pub fn new(settings: Settings) -> Self {
        Self {
            addresses: Addresses::new(Quota::per_second(settings.address_requests_per_second)),
            wrong_keys: Addresses::new(Quota::per_minute(settings.wrong_keys_per_minute)),
            settings,
        }
    }
}

/// What a key has under way and has left.
#[derive(Debug)]
pub struct KeyLimit {
    quota: Quota,
    bucket: Bucket,
    at_once: u32,
    running: AtomicU32,
    policy: HeaderValue,
}

/// A request of a key that is under way; ends with it.
#[derive(Debug)]
pub struct Running(Arc<KeyLimit>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl KeyLimit {
    /// A key's limits, with nothing taken.
    pub fn new(per_second: u32, at_once: u32) -> Self {
        let quota = Quota::per_second(per_second);
        Self {
            quota,
            bucket: Bucket::default(),
            at_once,
            running: AtomicU32::new(0),
            policy: policy("key", &quota),
        }
    }

    /// Whether these are still the numbers.
    pub fn is(&self, per_second: u32, at_once: u32) -> bool {
        self.quota == Quota::per_second(per_second) && self.at_once == at_once
    }

    /// Lets a request in, or refuses it; tells the answer where the key stands.
    ///
    /// # Errors
    /// 429 with the seconds after which it is worth trying again.
    pub fn admit(self: &Arc<Self>) -> Result<Running, ApiError> {
        let taken = self.bucket.take(&self.quota, bucket::now());
        let left = taken.as_ref().map_or(0, |refill| refill.left);
        let full_in = match &taken {
            Ok(refill) => refill.full_in,
            Err(wait) => *wait,
        };
        stand(Standing {
            policy: self.policy.clone(),
            limit: limit("key", left, full_in),
            reason: None,
        });
        taken.map_err(|wait| refused("key-rate", wait))?;
        if self.running.fetch_add(1, Ordering::Relaxed) >= self.at_once {
            self.running.fetch_sub(1, Ordering::Relaxed);
            return Err(refused("key-concurrency", Duration::from_secs(1)));
        }
        Ok(Running(self.clone()))
    }
}

/// A refusal because of an address, with its headers.
pub fn address_refused(name: &str, reason: &'static str, quota: &Quota, wait: Duration) -> ApiError {
    stand(Standing {
        policy: policy(name, quota),
        limit: limit(name, 0, wait),
        reason: None,
    });
    refused(reason, wait)
}

/// Runs a request and writes where its caller stands into the answer's headers.
pub(crate) async fn told(request: impl Future<Output = axum::response::Response>) -> axum::response::Response {
    STANDING
        .scope(Cell::new(None), async {
            let mut response = request.await;
            if let Some(standing) = STANDING.with(Cell::take) {
                standing.write(response.headers_mut());
            }
            response
        })
        .await
}

tokio::task_local! {
    static STANDING: Cell<Option<Standing>>;
}

struct Standing {
    policy: HeaderValue,
    limit: HeaderValue,
    reason: Option<&'static str>,
}

impl Standing {
    fn write(self, headers: &mut HeaderMap) {
        const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
        const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
        const REASON: HeaderName = HeaderName::from_static("stripe-rate-limited-reason");
        headers.insert(POLICY, self.policy);
        headers.insert(LIMIT, self.limit);
        if let Some(reason) = self.reason {
            headers.insert(REASON, HeaderValue::from_static(reason));
        }
    }
}

fn stand(standing: Standing) {
    // Outside of a request (a test of a part) there is no answer to tell.
    let _ = STANDING.try_with(|cell| cell.set(Some(standing)));
}

fn refused(reason: &'static str, wait: Duration) -> ApiError {
    let _ = STANDING.try_with(|cell| {
        if let Some(mut standing) = cell.take() {
            standing.reason = Some(reason);
            cell.set(Some(standing));
        }
    });
    let mut error = ApiError::new(
        429,
        "invalid_request_error",
        "rate_limit",
        "Request rate limit exceeded. Wait for the time of Retry-After, and space requests out.",
    );
    error.retry_after = Some(u32::try_from(seconds(wait).max(1)).unwrap_or(u32::MAX));
    error
}

fn policy(name: &str, quota: &Quota) -> HeaderValue {
    let text = format!("\"{name}\";q={};w={}", quota.burst(), quota.window_s());
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

fn limit(name: &str, left: u64, full_in: Duration) -> HeaderValue {
    let text = format!("\"{name}\";r={left};t={}", seconds(full_in));
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// Rounded up: a caller that waits so long is not too early.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_so_many_requests_at_once() {
        let key = Arc::new(KeyLimit::new(1000, 2));
        let first = key.admit().expect("one");
        let _second = key.admit().expect("two");
        let refusal = key.admit().expect_err("three");
        assert_eq!(
            (refusal.status, refusal.code.as_deref(), refusal.retry_after),
            (429, Some("rate_limit"), Some(1))
        );
        drop(first);
        key.admit().expect("the first has ended");
    }

    #[tokio::test]
    async fn an_answer_tells_where_the_key_stands() {
        let key = Arc::new(KeyLimit::new(1, 1));
        let ask = || async {
            let key = key.clone();
            told(async move {
                match key.admit() {
                    Ok(_) => axum::response::Response::new(axum::body::Body::empty()),
                    Err(error) => axum::response::IntoResponse::into_response(error),
                }
            })
            .await
        };
        let good = ask().await;
        assert_eq!(good.headers()["ratelimit-policy"], "\"key\";q=1;w=1");
        assert_eq!(good.headers()["ratelimit"], "\"key\";r=0;t=1");
        let refused = ask().await;
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["ratelimit"], "\"key\";r=0;t=1");
        assert_eq!(refused.headers()["retry-after"], "1");
        assert_eq!(refused.headers()["stripe-rate-limited-reason"], "key-rate");
    }
}
