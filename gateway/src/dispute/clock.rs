//! What time brings to disputes: reminders before a deadline, its passing, and the end of the window in which an outcome may turn.
//!
//! Timers are moments in the dispute's own row, claimed by whichever process is first and fired once: the firing and the next timer are
//! one commit, guarded by the row's version. It must never book money on a deadline that the acquirer judges: a dispute that nobody
//! answered is lost when the acquirer says so.

use super::flow;
use super::rows::Dispute;
use super::scheme::{self, Timer};
use super::store;
use crate::api::error::ApiError;
use crate::app::App;
use crate::call::Call;
use crate::commit::{Refused, Unit};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

const BATCH: i64 = 256;
/// A timer whose process died is fired by another one after this.
const LEASE: SignedDuration = SignedDuration::from_secs(60);

/// One round: every timer that is due, a bounded number. Returns how many there were.
///
/// # Errors
/// When they cannot be read.
pub async fn round(app: &Arc<App>) -> Result<usize, ApiError> {
    let due = {
        let client = app.reads.get().await?;
        store::claim_timers(&**client, app.clock.now(), LEASE, BATCH).await?
    };
    let found = due.len();
    let fires = due.into_iter().map(|(book_id, id, timer)| async move {
        let fired = async {
            let merchant = app.merchant_by_book(book_id).await?;
            fire(&Call::background(app.clone(), merchant), &id, timer).await
        };
        if let Err(error) = fired.await {
            tracing::warn!(id, error = error.message, "a timer of a dispute was not fired");
        }
    });
    futures_util::future::join_all(fires).await;
    Ok(found)
}

async fn fire(call: &Call, dispute_id: &str, timer: Timer) -> Result<(), ApiError> {
    let mut dispute = flow::load(call, dispute_id).await?;
    let now = call.app.clock.now();
    if dispute.timer != Some(timer) {
        return Ok(()); // something else is waited for by now
    }
    if timer == Timer::Window {
        // A filing that is on its way would be cut off: the next lease looks again.
        if dispute.operation.is_none() && flow::window_over(call, dispute_id).await?.is_none() {
            return advance(call, &mut dispute, timer, now, None).await;
        }
        return Ok(());
    }
    let event = match timer {
        Timer::PastDue => "charge.dispute.past_due",
        _ => "charge.dispute.response_due",
    };
    advance(call, &mut dispute, timer, now, Some(event)).await
}

/// The next timer, and what is told about this one, in one commit.
async fn advance(
    call: &Call,
    dispute: &mut Dispute,
    fired: Timer,
    now: Timestamp,
    event: Option<&str>,
) -> Result<(), ApiError> {
    let next = scheme::next(dispute, now, now, Some(fired));
    (dispute.timer, dispute.timer_at) = (next.map(|n| n.0), next.map(|n| n.1));
    let mut unit = Unit::new(call.book_id()).update(dispute);
    if let Some(event) = event {
        let object = flow::rendered(call, std::slice::from_ref(dispute)).await?;
        for object in &object {
            unit = unit.insert(&call.event(event, object));
        }
    }
    match call.app.commit(unit).await {
        // Whoever moved the row has set its timer.
        Err(Refused::Conflict { .. }) => Ok(()),
        done => done.map_err(ApiError::from),
    }
}
