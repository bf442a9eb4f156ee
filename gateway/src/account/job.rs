//! What time brings to accounts: past its re-verification date an active account is restricted, which pauses its payouts.
//!
//! Several processes may run it: the row's version lets one of them win. The clock is the service's own.

use super::state::Fact;
use super::{flow, store};
use crate::api::error::ApiError;
use crate::app::App;
use crate::call::Call;
use std::sync::Arc;

/// Who decides when nobody does.
pub const SYSTEM: &str = "system";
const BATCH: i64 = 100;

/// One round: every account that has lapsed by now. Returns how many were restricted.
pub async fn round(app: &Arc<App>) -> Result<usize, ApiError> {
    let now = app.clock.now();
    let due = {
        let client = app.reads.get().await?;
        store::lapsed(&**client, now, BATCH).await?
    };
    let mut restricted = 0;
    for account in due {
        let fact = Fact::Lapsed {
            by: SYSTEM.into(),
            at: now,
        };
        let account_id = account.id.clone();
        let call = Call::background(app.clone(), Arc::new(account));
        match flow::step(&call, &account_id, &fact).await {
            Ok(_) => {
                tracing::warn!(
                    account_id,
                    "the re-verification date has passed: the account is restricted"
                );
                restricted += 1;
            }
            // another process was first, or the date was moved
            Err(error) => tracing::info!(account_id, error = error.message, "not restricted"),
        }
    }
    Ok(restricted)
}
