//! The log's SQL: its rows, newest first or in the order of the seal.

use super::{AuditEvent, Outcome};
use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, GenericClient, Row};
use uuid::Uuid;

/// Which rows, newest first.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// of this book; none: of all
    pub book: Option<i64>,
    /// of this actor
    pub actor: Option<String>,
    /// about this object
    pub object: Option<String>,
    /// since this moment
    pub since: Option<Timestamp>,
    /// before this moment
    pub until: Option<Timestamp>,
    /// older than this one
    pub after: Option<Uuid>,
    /// newer than this one; then those next to it
    pub before: Option<Uuid>,
    /// at most
    pub limit: i64,
}

/// The rows of a query, newest first.
///
/// # Errors
/// The database's.
pub async fn events(client: &impl GenericClient, query: &Query) -> Result<Vec<AuditEvent>, Error> {
    let sql = match query.before {
        None => NEWEST,
        Some(_) => NEXT_NEWER,
    };
    let params: [(&(dyn ToSql + Sync), Type); 8] = [
        (&query.book, Type::INT8),
        (&query.actor, Type::TEXT),
        (&query.object, Type::TEXT),
        (&query.since, Type::TIMESTAMPTZ),
        (&query.until, Type::TIMESTAMPTZ),
        (&query.after, Type::UUID),
        (&query.before, Type::UUID),
        (&query.limit, Type::INT8),
    ];
    let mut rows = client.query_typed(sql, &params).await?;
    if query.before.is_some() {
        rows.reverse();
    }
    rows.iter().map(read).collect()
}

/// Writes a row in the transaction of its act, where no unit does.
///
/// # Errors
/// The database's.
pub async fn insert(client: &impl GenericClient, event: &AuditEvent) -> Result<(), Error> {
    let id: Uuid = event.id.parse().unwrap_or_default();
    let params: [(&(dyn ToSql + Sync), Type); 9] = [
        (&event.book_id, Type::INT8),
        (&id, Type::UUID),
        (&event.at, Type::TIMESTAMPTZ),
        (&event.actor, Type::TEXT),
        (&event.role, Type::TEXT),
        (&event.action, Type::TEXT),
        (&event.object, Type::TEXT),
        (&event.result.as_str(), Type::TEXT),
        (&event.detail, Type::TEXT),
    ];
    client.query_typed(INSERT, &params).await.map(drop)
}

/// One row, of this book or of any.
///
/// # Errors
/// The database's.
pub async fn event(client: &impl GenericClient, book: Option<i64>, id: Uuid) -> Result<Option<AuditEvent>, Error> {
    let row = client
        .query_typed_opt(ONE, &[(&id, Type::UUID), (&book, Type::INT8)])
        .await?;
    row.as_ref().map(read).transpose()
}

/// Where a row is in the order of the seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub xid: i64,
    pub book: i64,
    pub event: Uuid,
}

impl Place {
    /// Before every row.
    pub const START: Place = Place {
        xid: 0,
        book: i64::MIN,
        event: Uuid::nil(),
    };
}

/// Rows behind `place`, in the order of the seal, up to the oldest running transaction: nothing can come between them any more.
pub(super) async fn behind(
    client: &impl GenericClient,
    place: Place,
    limit: i64,
) -> Result<Vec<(Place, AuditEvent)>, Error> {
    let params: [(&(dyn ToSql + Sync), Type); 4] = [
        (&place.xid, Type::INT8),
        (&place.book, Type::INT8),
        (&place.event, Type::UUID),
        (&limit, Type::INT8),
    ];
    let rows = client.query_typed(BEHIND, &params).await?;
    rows.iter()
        .map(|row| {
            let place = Place {
                xid: row.try_get("recorded_xid")?,
                book: row.try_get("book_id")?,
                event: row.try_get("id")?,
            };
            Ok((place, read(row)?))
        })
        .collect()
}

fn read(row: &Row) -> Result<AuditEvent, Error> {
    Ok(AuditEvent {
        book_id: row.try_get("book_id")?,
        id: row.try_get::<_, Uuid>("id")?.to_string(),
        at: row.try_get("at")?,
        actor: row.try_get("actor")?,
        role: row.try_get("role")?,
        action: row.try_get("action")?,
        object: row.try_get("object")?,
        origin: row.try_get("origin")?,
        request_id: row.try_get("request_id")?,
        result: match row.try_get::<_, &str>("result")? {
            "begun" => Outcome::Begun,
            "done" => Outcome::Done,
            "refused" => Outcome::Refused,
            _ => Outcome::Failed,
        },
        detail: row.try_get("detail")?,
        recorded_xid: row.try_get("recorded_xid")?,
    })
}

const NEWEST: &str = "
    SELECT * FROM gateway.audit_event e
    WHERE ($1::bigint IS NULL OR e.book_id = $1) AND ($2::text IS NULL OR e.actor = $2) AND ($3::text IS NULL OR e.object = $3)
      AND ($4::timestamptz IS NULL OR e.at >= $4) AND ($5::timestamptz IS NULL OR e.at < $5)
      AND ($6::uuid IS NULL OR e.id < $6) AND ($7::uuid IS NULL OR e.id > $7)
    ORDER BY e.id DESC LIMIT $8";

const NEXT_NEWER: &str = "
    SELECT * FROM gateway.audit_event e
    WHERE ($1::bigint IS NULL OR e.book_id = $1) AND ($2::text IS NULL OR e.actor = $2) AND ($3::text IS NULL OR e.object = $3)
      AND ($4::timestamptz IS NULL OR e.at >= $4) AND ($5::timestamptz IS NULL OR e.at < $5)
      AND ($6::uuid IS NULL OR e.id < $6) AND ($7::uuid IS NULL OR e.id > $7)
    ORDER BY e.id LIMIT $8";

const INSERT: &str = "
    INSERT INTO gateway.audit_event (book_id, id, at, actor, role, action, object, result, detail, recorded_xid)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0)";

const ONE: &str = "SELECT * FROM gateway.audit_event e WHERE e.id = $1 AND ($2::bigint IS NULL OR e.book_id = $2)";

const BEHIND: &str = "
    SELECT e.* FROM gateway.audit_event e
    WHERE e.recorded_xid >= $1 AND e.recorded_xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
      AND (e.recorded_xid, e.book_id, e.id) > ($1, $2, $3)
    ORDER BY e.recorded_xid, e.book_id, e.id LIMIT $4";
