//! What is due, and when: absolute times in PostgreSQL, found by whichever process looks first, acted upon once.
//!
//! Who wants something to happen at a time inserts a [`Deadline`] in the unit that makes it necessary, and cancels it in the
//! unit that makes it needless. [`round`] claims what is due (SKIP LOCKED, with a lease) and hands each to the module whose
//! object it names; that module writes its effect and the end of the deadline in one unit ([`Deadline::fire`]), so that it
//! happens once, whatever crashes. A process that dies in between leaves a lease that runs out. It must never read a clock
//! but the service's own, and it knows nothing of what a deadline means.
//!
//! Round trips: one claim for up to [`BATCH`] deadlines, an index look-up whose cost does not grow with what has ended.

pub mod calendar;

use crate::api::error::ApiError;
use crate::app::App;
use crate::commit::{Row, Table, Versioned};
use crate::id;
use crate::payment::store;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

/// How many are claimed at a time.
const BATCH: i64 = 500;
/// How many are worked on at a time: the committer puts them into a few transactions.
const AT_ONCE: usize = 64;
/// How often due ones are looked for. Nothing here is due to the second but to the minute.
const EVERY: Duration = Duration::from_millis(500);

/// `gateway.deadline`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Deadline {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    /// the object whose deadline it is
    pub subject_id: String,
    /// a word of the module that owns the object
    pub kind: String,
    pub due_at: Timestamp,
    pub state: State,
    pub ended_at: Option<Timestamp>,
    /// when it is looked at next; none once it has ended
    pub check_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// Whether it still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum State {
    Open,
    Fired,
    Canceled,
}

impl Deadline {
    /// A new one, to be inserted with what makes it necessary.
    pub fn new(book_id: i64, subject_id: &str, kind: &str, due_at: Timestamp, now: Timestamp) -> Self {
        Self {
            book_id,
            id: id::new(id::prefix::DEADLINE),
            version: 1,
            subject_id: subject_id.to_owned(),
            kind: kind.to_owned(),
            due_at,
            state: State::Open,
            ended_at: None,
            check_at: Some(due_at),
            created_at: now,
        }
    }

    /// Its time has come: to be updated in the unit of what that brings about.
    pub fn fire(&mut self, now: Timestamp) {
        self.end(State::Fired, now);
    }

    /// It is needless: to be updated in the unit that makes it so.
    pub fn cancel(&mut self, now: Timestamp) {
        self.end(State::Canceled, now);
    }

    fn end(&mut self, state: State, now: Timestamp) {
        self.state = state;
        self.ended_at = Some(now);
        self.check_at = None;
    }
}

/// The open deadlines of an object, oldest first.
pub async fn open_of(
    client: &impl GenericClient,
    book_id: i64,
    subject_id: &str,
) -> Result<Vec<Deadline>, tokio_postgres::Error> {
    let rows = client
        .query_typed(
            "SELECT row_to_json(t)::text FROM gateway.deadline t
             WHERE book_id = $1 AND subject_id = $2 AND check_at IS NOT NULL ORDER BY id",
            &[(&book_id, Type::INT8), (&subject_id, Type::TEXT)],
        )
        .await?;
    rows.iter().map(store::row).collect()
}

/// Acts upon what is due, for as long as the service runs.
pub async fn run(app: Arc<App>, shutdown: impl Future<Output = ()>) {
    tokio::pin!(shutdown);
    loop {
        let more = match round(&app).await {
            Ok(found) => found as i64 == BATCH,
            Err(error) => {
                tracing::warn!(error = error.message, "deadlines cannot be read; trying again");
                false
            }
        };
        if more {
            continue;
        }
        tokio::select! {
            () = &mut shutdown => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// One round: claims what is due and acts upon each. Returns how many were due.
pub async fn round(app: &Arc<App>) -> Result<usize, ApiError> {
    let now = app.clock.now();
    let due: Vec<Deadline> = {
        let client = app.reads.get().await?;
        store::claim_due(&**client, now, app.settings.sweep_lease.as_secs_f64(), BATCH).await?
    };
    let found = due.len();
    stream::iter(due)
        .for_each_concurrent(AT_ONCE, |deadline| async {
            let (kind, subject) = (deadline.kind.clone(), deadline.subject_id.clone());
            if let Err(error) = act(app, deadline).await {
                tracing::warn!(
                    kind,
                    subject,
                    error = error.message,
                    "a deadline waits for its next turn"
                );
            }
        })
        .await;
    Ok(found)
}

/// To the module whose object it is.
async fn act(app: &Arc<App>, deadline: Deadline) -> Result<(), ApiError> {
    match id::kind(&deadline.subject_id) {
        Some(id::prefix::CASE) => crate::case::timers::fire(app, deadline).await,
        _ => Err(ApiError::internal(format!(
            "nobody acts upon a deadline of {}",
            deadline.subject_id
        ))),
    }
}

impl Row for Deadline {
    const TABLE: Table = Table::Deadline;
    fn book_id(&self) -> i64 {
        self.book_id
    }
    fn id(&self) -> &str {
        &self.id
    }
}

impl Versioned for Deadline {
    fn version_mut(&mut self) -> &mut i32 {
        &mut self.version
    }
}

#[cfg(test)]
mod tests;
