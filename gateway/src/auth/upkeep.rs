//! What the gate writes outside of requests: refusals, last uses of keys, and nonces whose time is over.
//!
//! Nothing here decides anything; when it fails, it tries again with what comes next.

use crate::app::App;
use std::sync::Arc;
use std::time::Duration;

/// Runs until `stop`, then writes what is left.
pub async fn run(app: Arc<App>, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    let mut rounds = 0u64;
    loop {
        let stopped = tokio::select! {
            () = &mut stop => true,
            () = tokio::time::sleep(EVERY) => false,
        };
        if let Err(error) = app.security.flush(&app.reads, app.settings.alarm_quiet).await {
            tracing::error!(%error, "security events were not written");
        }
        if let Err(error) = app.keys.flush(&app).await {
            tracing::warn!(%error, "last uses of keys were not written");
        }
        if stopped {
            return;
        }
        rounds += 1;
        if rounds.is_multiple_of(NONCES_EVERY)
            && let Err(error) = super::nonce::forget(&app).await
        {
            tracing::warn!(%error, "old nonces were not removed");
        }
    }
}

const EVERY: Duration = Duration::from_secs(1);
const NONCES_EVERY: u64 = 60;
