//! What changes while a page is open: counts of waiting work, by server-sent events.
//!
//! A person's stream tells what they may see. Everyone who watches the same thing shares one reading of the database, every few
//! seconds. A stream does not keep a session awake, and ends with it.

use super::query::Query;
use super::role::{self, Role};
use super::user::Stage;
use super::{Console, Fault, gate};
use axum::extract::{Request, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::StatusCode;
use serde_json::Value;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_postgres::types::{ToSql, Type};

const EVERY: Duration = Duration::from_secs(3);
const FRESH: Duration = Duration::from_secs(2);

/// Readings of the last seconds, by what may be seen.
pub(super) type Kept = Mutex<HashMap<(&'static str, Option<i64>), (Instant, Arc<Value>)>>;

/// Waiting work, and a mark that moves with every event. Each part is a look at a small index or at the end of a key.
pub static WAITING: Query = Query {
    name: "live.waiting",
    sql: "SELECT (SELECT count(*) FROM (SELECT FROM gateway.review r WHERE r.open AND ($1::bigint IS NULL OR r.book_id = $1) LIMIT 1000) x) AS reviews,
                 (SELECT count(*) FROM (SELECT FROM gateway.dispute d WHERE d.status IN ('needs_response','warning_needs_response')
                                        AND ($1::bigint IS NULL OR d.book_id = $1) LIMIT 1000) x) AS disputes,
                 (SELECT count(*) FROM (SELECT FROM gateway.approval a WHERE a.status IN ('open','approved')
                                        AND ($1::bigint IS NULL OR a.book_id = $1) LIMIT 1000) x) AS approvals,
                 (SELECT max(e.id) FROM gateway.merchant m CROSS JOIN LATERAL
                     (SELECT v.id FROM gateway.event v WHERE v.book_id = m.book_id ORDER BY v.id DESC LIMIT 1) e
                  WHERE $1::bigint IS NULL OR m.book_id = $1) AS mark",
    types: &[Type::INT8],
};

/// `GET /live`
pub(super) async fn stream(State(console): State<Arc<Console>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let session = match gate::session(&console, &parts.headers, false).await {
        Ok(Some(session)) if session.stage == Stage::Full => session,
        _ => return StatusCode::FORBIDDEN.into_response(),
    };
    if console.learn_book(&session.user).await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let told: Option<String> = None;
    let events = stream::unfold((console, session, told), |(console, session, mut told)| async move {
        let mut stopped = console.stopped.clone();
        loop {
            if told.is_some() {
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    _ = stopped.wait_for(|stop| *stop) => return None,
                }
            }
            if *stopped.borrow() {
                return None;
            }
            let now = console.app.clock.now();
            let goes_on = async {
                let client = console.app.reads.get().await.ok()?;
                super::user::session(&**client, session.token.clone(), now, false)
                    .await
                    .ok()?
            };
            goes_on.await?;
            let Ok(waiting) = console
                .waiting(session.user.role, console.own_book(&session.user))
                .await
            else {
                told.get_or_insert_default(); // the next time, then
                continue;
            };
            let text = waiting.to_string();
            if told.as_ref() != Some(&text) {
                let event = Event::default().event("waiting").data(&text);
                told = Some(text);
                return Some((Ok::<_, Infallible>(event), (console, session, told)));
            }
        }
    });
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response()
}

impl Console {
    /// What waits, as far as this role may see it.
    pub(super) async fn waiting(&self, role: Role, book: Option<i64>) -> Result<Value, Fault> {
        let mut waiting = (*self.kept("waiting", book, &WAITING, &[&book]).await?).clone();
        let hidden = [
            ("reviews", role::RISK),
            ("disputes", role::DISPUTES),
            ("approvals", role::STAFF),
        ];
        if let Some(fields) = waiting.as_object_mut() {
            for (field, roles) in hidden {
                if !roles.contains(&role) {
                    fields.remove(field);
                }
            }
        }
        Ok(waiting)
    }

    /// The row of a query about a book or all, read at most every other second.
    pub(super) async fn kept(
        &self,
        what: &'static str,
        book: Option<i64>,
        query: &Query,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Arc<Value>, Fault> {
        let key = (what, book);
        let known = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.get(&key).cloned()
        };
        if let Some((read, value)) = known
            && read.elapsed() < FRESH
        {
            return Ok(value);
        }
        let client = self.app.reads.get().await?;
        let value = Arc::new(query.row(&**client, values).await?.unwrap_or_default());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(key, (Instant::now(), value.clone()));
        Ok(value)
    }
}
