//! The deliverer's SQL: claim what is due, settle what came home.
//!
//! Each is one statement for any number of rows. Rows of one endpoint are taken oldest first; endpoints in random order,
//! so that none is always last.

use crate::audit_log::AuditEvent;
use crate::event::Event;
use crate::id;
use crate::webhook::endpoint::WebhookEndpoint;
use deadpool_postgres::{Pool, Transaction};
use jiff::Timestamp;

pub(super) type EndpointKey = (i64, String);

/// A claimed delivery with all that is needed to make it.
pub(super) struct Due {
    pub event: Event,
    pub endpoint_id: String,
    /// counted from one
    pub attempt: i16,
    pub url: String,
    /// what the endpoint was made with
    pub secret: Vec<u8>,
    /// what took over since, newest first, with the moment until which the one before signs too; two at most
    pub rolled: Vec<(String, Vec<u8>, Timestamp)>,
    /// attempts made before it was asked for again
    pub base: i16,
    pub enabled: bool,
    pub pending_webhooks: i64,
}

impl Due {
    pub(super) fn endpoint(&self) -> EndpointKey {
        (self.event.book_id, self.endpoint_id.clone())
    }
}

/// How many more an endpoint may have under way.
pub(super) struct Room<'a> {
    pub key: &'a EndpointKey,
    pub room: usize,
}

/// How an attempt went. No due time and not delivered: given up.
pub(super) struct Outcome {
    pub book_id: i64,
    pub endpoint_id: String,
    pub event_id: String,
    pub attempt: i16,
    pub due_at: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    pub status: Option<i16>,
    pub error: Option<String>,
    /// when it began, and how long it took
    pub at: Timestamp,
    pub duration_ms: i32,
    /// the receiver said that it is gone for good
    pub gone: bool,
    /// nothing more is to be delivered to this endpoint
    pub abandon_endpoint: bool,
}

impl Outcome {
    /// Given up, unless the caller sets one of the times.
    pub(super) fn of(due: &Due, at: Timestamp, status: Option<u16>, error: Option<String>) -> Self {
        Self {
            book_id: due.event.book_id,
            endpoint_id: due.endpoint_id.clone(),
            event_id: due.event.id.clone(),
            attempt: due.attempt,
            due_at: None,
            delivered_at: None,
            status: status.and_then(|status| i16::try_from(status).ok()),
            error,
            at,
            duration_ms: 0,
            gone: false,
            abandon_endpoint: false,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Pool(#[from] deadpool_postgres::PoolError),
    #[error("{0}")]
    Database(#[from] tokio_postgres::Error),
}

/// Leases up to `limit` due deliveries until `lease_until`.
pub(super) async fn claim(
    pool: &Pool,
    now: Timestamp,
    lease_until: Timestamp,
    rooms: &[Room<'_>],
    newcomer_room: usize,
    limit: usize,
) -> Result<Vec<Due>, Error> {
    let mut client = pool.get().await?;
    let tx = client.transaction().await?;
    tx.batch_execute(PLAN_BY_INDEX).await?;
    let statement = tx.prepare_cached(CLAIM).await?;
    let book_ids: Vec<i64> = rooms.iter().map(|r| r.key.0).collect();
    let endpoint_ids: Vec<&str> = rooms.iter().map(|r| r.key.1.as_str()).collect();
    let free: Vec<i64> = rooms.iter().map(|r| r.room as i64).collect();
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 7] = [
        &now,
        &lease_until,
        &book_ids,
        &endpoint_ids,
        &free,
        &(newcomer_room as i64),
        &(limit as i64),
    ];
    let rows = tx.query(&statement, &parameters).await?;
    tx.commit().await?;
    rows.iter()
        .map(|row| {
            Ok(Due {
                event: Event {
                    book_id: row.try_get("book_id")?,
                    id: row.try_get("event_id")?,
                    r#type: row.try_get("type")?,
                    object_id: row.try_get("object_id")?,
                    object: row.try_get("object")?,
                    previous: row.try_get("previous")?,
                    request_id: row.try_get("request_id")?,
                    idempotency_key: row.try_get("idempotency_key")?,
                    created_at: row.try_get("created_at")?,
                },
                endpoint_id: row.try_get("endpoint_id")?,
                attempt: row.try_get("attempt")?,
                url: row.try_get("url")?,
                secret: row.try_get("secret")?,
                rolled: {
                    let ids: Vec<String> = row.try_get("rolled_ids")?;
                    let secrets: Vec<Vec<u8>> = row.try_get("rolled_secrets")?;
                    let until: Vec<Timestamp> = row.try_get("rolled_until")?;
                    ids.into_iter()
                        .zip(secrets)
                        .zip(until)
                        .map(|((id, secret), until)| (id, secret, until))
                        .collect()
                },
                base: row.try_get("base")?,
                enabled: row.try_get("enabled")?,
                pending_webhooks: row.try_get("pending_webhooks")?,
            })
        })
        .collect()
}

/// Writes the outcomes down; returns the endpoints that were disabled by them.
pub(super) async fn settle(pool: &Pool, outcomes: &[Outcome]) -> Result<Vec<EndpointKey>, Error> {
    let mut client = pool.get().await?;
    let tx = client.transaction().await?;
    tx.batch_execute(PLAN_BY_INDEX).await?;
    let statement = tx.prepare_cached(SETTLE).await?;
    fn column<'a, T>(outcomes: &'a [Outcome], field: impl Fn(&'a Outcome) -> T) -> Vec<T> {
        outcomes.iter().map(field).collect()
    }
    tx.execute(
        &statement,
        &[
            &column(outcomes, |o| o.book_id),
            &column(outcomes, |o| o.endpoint_id.as_str()),
            &column(outcomes, |o| o.event_id.as_str()),
            &column(outcomes, |o| o.attempt),
            &column(outcomes, |o| o.due_at),
            &column(outcomes, |o| o.delivered_at),
            &column(outcomes, |o| o.status),
            &column(outcomes, |o| o.error.as_deref()),
            &column(outcomes, |o| o.at),
            &column(outcomes, |o| o.duration_ms),
            &column(outcomes, |o| !o.abandon_endpoint),
        ],
    )
    .await?;
    let mut disabled = Vec::new();
    for outcome in outcomes
        .iter()
        .filter(|o| o.due_at.is_none() && o.delivered_at.is_none())
    {
        let key = (outcome.book_id, outcome.endpoint_id.clone());
        if outcome.abandon_endpoint || disabled.contains(&key) {
            let statement = tx.prepare_cached(ABANDON).await?;
            tx.execute(&statement, &[&outcome.book_id, &outcome.endpoint_id])
                .await?;
        } else {
            let statement = tx.prepare_cached(DISABLE).await?;
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&outcome.book_id, &outcome.endpoint_id, &outcome.event_id, &outcome.gone];
            if let Some(row) = tx.query_opt(&statement, &parameters).await? {
                let endpoint: WebhookEndpoint = crate::payment::store::row(&row)?;
                notice(&tx, &endpoint, outcome).await?;
                disabled.push(key);
            }
        }
    }
    tx.commit().await?;
    Ok(disabled)
}

/// Says that an endpoint was disabled: an event to the merchant's other endpoints, and a line of the audit log.
async fn notice(
    tx: &Transaction<'_>,
    endpoint: &WebhookEndpoint,
    outcome: &Outcome,
) -> Result<(), tokio_postgres::Error> {
    let object = crate::wire::webhook_endpoint(endpoint).to_string();
    let statement = tx.prepare_cached(NOTICE).await?;
    let event_id = id::new(id::prefix::EVENT);
    let now = outcome.at;
    tx.execute(&statement, &[&endpoint.book_id, &event_id, &endpoint.id, &object, &now])
        .await?;
    let why = match outcome.gone {
        true => "410: it says that it is gone",
        false => "no attempt of the whole schedule was taken",
    };
    let mut event = AuditEvent::of_system(
        endpoint.book_id,
        now,
        "webhook endpoint disabled",
        Some(endpoint.id.clone()),
    );
    event.detail = Some(why.to_owned());
    crate::audit_log::insert(&**tx, &event).await
}

/// A plan made while a table was small is kept when it has grown: it must not be one that scans.
const PLAN_BY_INDEX: &str =
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";

/// The recursion is a skip scan: one index probe per endpoint that has anything pending, however much that is. A row that
/// is locked keeps its ctid to the end of the statement. Look-ups are LATERAL .. LIMIT 1, so that each stays one probe of
/// its primary key whatever the planner believes of the tables' sizes.
const CLAIM: &str = "
    WITH RECURSIVE endpoint AS (
        (SELECT d.book_id, d.endpoint_id FROM gateway.delivery d WHERE d.due_at IS NOT NULL
         ORDER BY d.book_id, d.endpoint_id LIMIT 1)
        UNION ALL
        SELECT next.book_id, next.endpoint_id FROM endpoint e CROSS JOIN LATERAL (
            SELECT d.book_id, d.endpoint_id FROM gateway.delivery d
            WHERE d.due_at IS NOT NULL AND (d.book_id, d.endpoint_id) > (e.book_id, e.endpoint_id)
            ORDER BY d.book_id, d.endpoint_id LIMIT 1) next
    ), due AS MATERIALIZED (
        SELECT d.row
        FROM (SELECT * FROM endpoint ORDER BY random()) e
        CROSS JOIN LATERAL (
            SELECT d.ctid AS row FROM gateway.delivery d
            WHERE d.book_id = e.book_id AND d.endpoint_id = e.endpoint_id AND d.due_at <= $1
            ORDER BY d.due_at
            LIMIT coalesce((SELECT r.room FROM unnest($3::bigint[], $4::text[], $5::bigint[]) r(book_id, endpoint_id, room)
                            WHERE r.book_id = e.book_id AND r.endpoint_id = e.endpoint_id), $6)
            FOR UPDATE SKIP LOCKED) d
        LIMIT $7
    ), claimed AS (
        UPDATE gateway.delivery d SET due_at = $2, attempt = d.attempt + 1
        WHERE d.ctid = ANY (ARRAY(SELECT row FROM due))
        RETURNING d.book_id, d.endpoint_id, d.event_id, d.attempt, d.base
    )
    SELECT c.book_id, c.endpoint_id, c.event_id, c.attempt, c.base, s.ids AS rolled_ids, s.secrets AS rolled_secrets,
           s.until AS rolled_until, w.url, w.secret, w.status = 'enabled' AND NOT w.deleted AS enabled,
           e.type, e.object_id, e.object, e.previous, e.request_id, e.idempotency_key, e.created_at,
           (SELECT count(*) FROM gateway.delivery p
            WHERE p.book_id = c.book_id AND p.event_id = c.event_id AND p.due_at IS NOT NULL) AS pending_webhooks
    FROM claimed c
    CROSS JOIN LATERAL (SELECT * FROM gateway.event e WHERE e.book_id = c.book_id AND e.id = c.event_id LIMIT 1) e
    CROSS JOIN LATERAL (SELECT * FROM gateway.webhook_endpoint w WHERE w.book_id = c.book_id AND w.id = c.endpoint_id LIMIT 1) w
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(r.id ORDER BY r.id DESC), '{}') AS ids, coalesce(array_agg(r.secret ORDER BY r.id DESC), '{}') AS secrets,
               coalesce(array_agg(r.previous_until ORDER BY r.id DESC), '{}') AS until
        FROM (SELECT * FROM gateway.webhook_secret s WHERE s.book_id = c.book_id AND s.endpoint_id = c.endpoint_id
              ORDER BY s.id DESC LIMIT 2) r) s";

/// The attempt is the fence: whoever claimed later has the last word.
const SETTLE: &str = "
    WITH o AS MATERIALIZED (
        SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::smallint[], $5::timestamptz[], $6::timestamptz[], $7::smallint[],
                             $8::text[], $9::timestamptz[], $10::integer[], $11::boolean[])
             o(book_id, endpoint_id, event_id, attempt, due_at, delivered_at, status, error, at, duration_ms, made)
    ), logged AS (
        INSERT INTO gateway.delivery_attempt (book_id, endpoint_id, event_id, attempt, at, duration_ms, status, error)
        SELECT book_id, endpoint_id, event_id, attempt, at, duration_ms, status, error FROM o WHERE made ON CONFLICT DO NOTHING
    )
    UPDATE gateway.delivery d
    SET due_at = o.due_at, delivered_at = o.delivered_at, last_status = o.status, last_error = o.error
    FROM o
    WHERE d.book_id = o.book_id AND d.endpoint_id = o.endpoint_id AND d.event_id = o.event_id
      AND d.attempt = o.attempt AND d.due_at IS NOT NULL";

/// An endpoint that is gone, or that has had the whole schedule for an event and taken no later one either. Ids are
/// ordered by time.
const DISABLE: &str = "
    UPDATE gateway.webhook_endpoint w SET status = 'disabled', version = w.version + 1
    WHERE w.book_id = $1 AND w.id = $2 AND w.status = 'enabled'
      AND ($4 OR NOT EXISTS (SELECT FROM gateway.delivery d WHERE d.book_id = $1 AND d.endpoint_id = $2
                             AND d.event_id > $3 AND d.delivered_at IS NOT NULL))
    RETURNING row_to_json(w)::text";

const NOTICE: &str = "
    WITH e AS (INSERT INTO gateway.event (book_id, id, type, object_id, object, created_at)
               VALUES ($1, $2, 'webhook_endpoint.disabled', $3, $4, $5) RETURNING *)
    INSERT INTO gateway.delivery (book_id, endpoint_id, event_id, due_at)
    SELECT e.book_id, w.id, e.id, e.created_at FROM e JOIN gateway.webhook_endpoint w ON w.book_id = e.book_id
    WHERE w.status = 'enabled' AND NOT w.deleted AND (w.enabled_events @> ARRAY['*'] OR w.enabled_events @> ARRAY[e.type])";

/// In bounded bites: a backlog of millions must not become one long transaction.
const ABANDON: &str = "
    UPDATE gateway.delivery d SET due_at = NULL, last_error = 'the endpoint is disabled'
    WHERE d.ctid = ANY (ARRAY(
        SELECT p.ctid FROM gateway.delivery p
        WHERE p.book_id = $1 AND p.endpoint_id = $2 AND p.due_at IS NOT NULL
        ORDER BY p.due_at LIMIT 5000 FOR UPDATE SKIP LOCKED))";
