//! Deliveries looked at, and made again on request: by the API and by the command line.
//!
//! A delivery asked for again keeps its log and its event's id, and has the whole schedule before it. An endpoint that has never
//! heard of the event can be told too. It must never deliver to an endpoint of another merchant, or to one that is disabled.

use jiff::Timestamp;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, GenericClient, Row};

/// A delivery with its attempts.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Delivery {
    pub endpoint_id: String,
    pub event_id: String,
    pub event_type: String,
    pub due_at: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    /// the newest first, twenty at most
    pub attempts: Vec<Attempt>,
}

/// One attempt.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Attempt {
    pub number: i16,
    pub at: Timestamp,
    pub duration_ms: i32,
    /// none: there was no answer
    pub status: Option<i16>,
    pub error: Option<String>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum State {
    Pending,
    Delivered,
    Failed,
}

impl State {
    /// In the order of the reference.
    pub const ALL: [State; 3] = [State::Pending, State::Delivered, State::Failed];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Delivered => "delivered",
            State::Failed => "failed",
        }
    }
}

impl Delivery {
    /// Where it stands: given up is failed.
    pub fn state(&self) -> State {
        match (self.delivered_at, self.due_at) {
            (Some(_), _) => State::Delivered,
            (None, Some(_)) => State::Pending,
            (None, None) => State::Failed,
        }
    }
}

/// Which deliveries of an endpoint, newest event first.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Query<'a> {
    pub book_id: i64,
    pub endpoint_id: &'a str,
    pub state: Option<State>,
    /// of older events than this
    pub after: Option<String>,
    /// of newer events than this, and next to it
    pub before: Option<String>,
    pub limit: i64,
}

/// A page of an endpoint's deliveries.
///
/// # Errors
/// The database's.
pub async fn deliveries(client: &impl GenericClient, query: &Query<'_>) -> Result<Vec<Delivery>, Error> {
    let sql = match query.before {
        None => PAGE.replace("{order}", "DESC"),
        Some(_) => PAGE.replace("{order}", "ASC"),
    };
    let state = query.state.map(State::as_str);
    let rows = client
        .query_typed(
            &sql,
            &[
                (&query.book_id, Type::INT8),
                (&query.endpoint_id, Type::TEXT),
                (&state, Type::TEXT),
                (&query.after, Type::TEXT),
                (&query.before, Type::TEXT),
                (&query.limit, Type::INT8),
            ],
        )
        .await?;
    let mut found = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if query.before.is_some() {
        found.reverse();
    }
    let events: Vec<&str> = found.iter().map(|delivery| delivery.event_id.as_str()).collect();
    let rows = client
        .query_typed(
            ATTEMPTS,
            &[
                (&query.book_id, Type::INT8),
                (&query.endpoint_id, Type::TEXT),
                (&events, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    for row in &rows {
        let event: &str = row.try_get("event_id")?;
        let attempt = Attempt {
            number: row.try_get("attempt")?,
            at: row.try_get("at")?,
            duration_ms: row.try_get("duration_ms")?,
            status: row.try_get("status")?,
            error: row.try_get("error")?,
        };
        if let Some(delivery) = found.iter_mut().find(|delivery| delivery.event_id == event) {
            delivery.attempts.push(attempt);
        }
    }
    Ok(found)
}

/// Has an event delivered again, now: to this endpoint, or to each that was to have it. How many deliveries that are.
///
/// # Errors
/// The database's.
pub async fn again(
    client: &impl GenericClient,
    book_id: i64,
    event_id: &str,
    endpoint_id: Option<&str>,
    now: Timestamp,
) -> Result<u64, Error> {
    let sql = match endpoint_id {
        Some(_) => TELL_ONE,
        None => TELL_ALL,
    };
    client
        .execute_typed(
            sql,
            &[
                (&book_id, Type::INT8),
                (&event_id, Type::TEXT),
                (&now, Type::TIMESTAMPTZ),
                (&endpoint_id, Type::TEXT),
            ],
        )
        .await
}

fn read(row: &Row) -> Result<Delivery, Error> {
    Ok(Delivery {
        endpoint_id: row.try_get("endpoint_id")?,
        event_id: row.try_get("event_id")?,
        event_type: row.try_get("type")?,
        due_at: row.try_get("due_at")?,
        delivered_at: row.try_get("delivered_at")?,
        attempts: Vec::new(),
    })
}

const PAGE: &str = "
    SELECT d.endpoint_id, d.event_id, d.due_at, d.delivered_at, e.type
    FROM gateway.delivery d JOIN gateway.event e ON e.book_id = d.book_id AND e.id = d.event_id
    WHERE d.book_id = $1 AND d.endpoint_id = $2
      AND ($3::text IS NULL OR $3 = CASE WHEN d.delivered_at IS NOT NULL THEN 'delivered' WHEN d.due_at IS NULL THEN 'failed' ELSE 'pending' END)
      AND ($4::text IS NULL OR d.event_id < $4) AND ($5::text IS NULL OR d.event_id > $5)
    ORDER BY d.event_id {order} LIMIT $6";

const ATTEMPTS: &str = "
    SELECT a.event_id, l.* FROM unnest($3::text[]) AS a(event_id)
    CROSS JOIN LATERAL (SELECT attempt, at, duration_ms, status, error FROM gateway.delivery_attempt l
                        WHERE l.book_id = $1 AND l.endpoint_id = $2 AND l.event_id = a.event_id ORDER BY l.attempt DESC LIMIT 20) l";

const TELL_ALL: &str = "
    UPDATE gateway.delivery d SET due_at = $3, base = d.attempt, delivered_at = NULL
    FROM gateway.webhook_endpoint w
    WHERE d.book_id = $1 AND d.event_id = $2 AND w.book_id = d.book_id AND w.id = d.endpoint_id AND w.status = 'enabled' AND NOT w.deleted
      AND $4::text IS NULL";

const TELL_ONE: &str = "
    INSERT INTO gateway.delivery AS d (book_id, endpoint_id, event_id, due_at)
    SELECT w.book_id, w.id, e.id, $3 FROM gateway.webhook_endpoint w JOIN gateway.event e ON e.book_id = w.book_id AND e.id = $2
    WHERE w.book_id = $1 AND w.id = $4 AND w.status = 'enabled' AND NOT w.deleted
    ON CONFLICT (book_id, endpoint_id, event_id) DO UPDATE SET due_at = $3, base = d.attempt, delivered_at = NULL";
