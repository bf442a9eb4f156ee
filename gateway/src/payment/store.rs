//! Reads of payments and what hangs on them. All its SQL is here; writes go through units (`commit`).
//!
//! Every read names the merchant's book: another merchant's object is simply not there.

use crate::commit::{Digest, Row, Table};
use serde::de::DeserializeOwned;
use tokio_postgres::GenericClient;
use tokio_postgres::types::{FromSql, ToSql, Type};

/// The row with this id in this book.
pub async fn get<R: Row>(
    client: &impl GenericClient,
    book_id: i64,
    id: &str,
) -> Result<Option<R>, tokio_postgres::Error> {
    let sql = format!(
        "SELECT row_to_json(t)::text FROM {} t WHERE book_id = $1 AND id = $2",
        table_name(R::TABLE)
    );
    let rows = client
        .query_typed(&sql, &[(&book_id, Type::INT8), (&id, Type::TEXT)])
        .await?;
    rows.first().map(row).transpose()
}

/// The row with this id in whatever book: for who knows no merchants, an acquirer that repeats our reference. One look-up
/// per merchant, since the primary key leads with the book.
pub async fn anywhere<R: Row>(client: &impl GenericClient, id: &str) -> Result<Option<R>, tokio_postgres::Error> {
    let name = table_name(R::TABLE);
    let sql = format!(
        "SELECT row_to_json(t)::text FROM gateway.merchant m
         CROSS JOIN LATERAL (SELECT r.* FROM gateway.{name} r WHERE r.book_id = m.book_id AND r.id = $1) t"
    );
    let rows = client.query_typed(&sql, &[(&id, Type::TEXT)]).await?;
    rows.first().map(row).transpose()
}

/// The rows of this book with these ids, in no order; ids that the book does not have are left out.
pub async fn get_many<R: Row>(
    client: &impl GenericClient,
    book_id: i64,
    ids: &[&str],
) -> Result<Vec<R>, tokio_postgres::Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT row_to_json(t)::text FROM {} t WHERE book_id = $1 AND id = ANY($2)",
        table_name(R::TABLE)
    );
    let rows = client
        .query_typed(&sql, &[(&book_id, Type::INT8), (&ids, Type::TEXT_ARRAY)])
        .await?;
    rows.iter().map(row).collect()
}

/// The rows of this book where `column` has this value, newest first, at most `limit`.
pub async fn by<R: Row>(
    client: &impl GenericClient,
    book_id: i64,
    column: &'static str,
    value: &str,
    limit: i64,
) -> Result<Vec<R>, tokio_postgres::Error> {
    let sql = format!(
        "SELECT row_to_json(t)::text FROM {} t WHERE book_id = $1 AND {column} = $2 ORDER BY id DESC LIMIT $3",
        table_name(R::TABLE)
    );
    let rows = client
        .query_typed(
            &sql,
            &[(&book_id, Type::INT8), (&value, Type::TEXT), (&limit, Type::INT8)],
        )
        .await?;
    rows.iter().map(row).collect()
}

/// A page of a list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// at most this many
    pub limit: i64,
    /// only objects created before this one
    pub starting_after: Option<String>,
    /// only objects created after this one
    pub ending_before: Option<String>,
}

/// A condition of a list: SQL from the code, and a value.
pub struct Filter {
    /// e.g. `customer_id = ?`, with `?` where the value goes; at the end if there is none. The table is `t`.
    pub condition: &'static str,
    /// the value
    pub value: Box<dyn ToSql + Sync + Send>,
    /// its type
    pub r#type: Type,
}

/// One page of this book's rows, newest first, and whether there are more in the direction of travel.
pub async fn list<R: Row>(
    client: &impl GenericClient,
    book_id: i64,
    page: &Page,
    filters: &[Filter],
) -> Result<(Vec<R>, bool), tokio_postgres::Error> {
    let mut sql = format!(
        "SELECT row_to_json(t)::text FROM {} t WHERE book_id = $1",
        table_name(R::TABLE)
    );
    let mut values: Vec<(&(dyn ToSql + Sync), Type)> = vec![(&book_id, Type::INT8)];
    for filter in filters {
        values.push((filter.value.as_ref() as &(dyn ToSql + Sync), filter.r#type.clone()));
        let (before, after) = filter.condition.split_once('?').unwrap_or((filter.condition, ""));
        sql.push_str(&format!(" AND {before}${}{after}", values.len()));
    }
    if let Some(after) = &page.starting_after {
        values.push((after, Type::TEXT));
        sql.push_str(&format!(" AND id < ${}", values.len()));
    }
    if let Some(before) = &page.ending_before {
        values.push((before, Type::TEXT));
        sql.push_str(&format!(" AND id > ${}", values.len()));
    }
    // Backwards, the nearest rows are the oldest of those after the cursor.
    let backwards = page.ending_before.is_some();
    let limit = page.limit + 1;
    values.push((&limit, Type::INT8));
    sql.push_str(&format!(
        " ORDER BY id {} LIMIT ${}",
        if backwards { "ASC" } else { "DESC" },
        values.len()
    ));
    let rows = client.query_typed(&sql, &values).await?;
    let more = rows.len() as i64 > page.limit;
    let mut rows: Vec<R> = rows
        .iter()
        .take(page.limit as usize)
        .map(row)
        .collect::<Result<_, _>>()?;
    if backwards {
        rows.reverse();
    }
    Ok((rows, more))
}

/// Objects whose outcome at the acquirer must be asked for now: leased to this caller until `lease_seconds` have passed.
pub async fn claim_due<R: Row>(
    client: &impl GenericClient,
    now: jiff::Timestamp,
    lease_seconds: f64,
    limit: i64,
) -> Result<Vec<R>, tokio_postgres::Error> {
    let name = table_name(R::TABLE);
    let sql = format!(
        "UPDATE {name} t SET check_at = $1 + make_interval(secs => $2)
         FROM (SELECT book_id, id FROM {name} WHERE check_at <= $1 ORDER BY check_at LIMIT $3 FOR UPDATE SKIP LOCKED) due
         WHERE t.book_id = due.book_id AND t.id = due.id
         RETURNING row_to_json(t)::text"
    );
    let rows = client
        .query_typed(
            &sql,
            &[
                (&now, Type::TIMESTAMPTZ),
                (&lease_seconds, Type::FLOAT8),
                (&limit, Type::INT8),
            ],
        )
        .await?;
    rows.iter().map(row).collect()
}

/// The object that the request under this idempotency key is about, and what its answer shows in full.
pub async fn asked_about(
    client: &impl GenericClient,
    book_id: i64,
    key: Digest,
) -> Result<(Option<String>, Vec<String>), tokio_postgres::Error> {
    let rows = client
        .query_typed(
            "SELECT object_id, coalesce(expand, '{}') FROM gateway.request WHERE book_id = $1 AND key = $2",
            &[(&book_id, Type::INT8), (&key.0.as_slice(), Type::BYTEA)],
        )
        .await?;
    rows.first()
        .map_or(Ok((None, Vec::new())), |row| Ok((row.try_get(0)?, row.try_get(1)?)))
}

/// The row in the first column, as JSON text. One that does not fit its type (a migration and this code have parted) is
/// an error of that column.
pub(crate) fn row<R: DeserializeOwned>(row: &tokio_postgres::Row) -> Result<R, tokio_postgres::Error> {
    row.try_get::<_, Stored<R>>(0).map(|stored| stored.0)
}

struct Stored<R>(R);

impl<'a, R: DeserializeOwned> FromSql<'a> for Stored<R> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        // The reader's own message would quote the row, and this one goes to the log.
        serde_json::from_slice(raw).map(Stored).map_err(|e| {
            let what = std::any::type_name::<R>();
            format!(
                "a stored row does not fit {what} ({:?} error at byte {})",
                e.classify(),
                e.column()
            )
            .into()
        })
    }
    fn accepts(r#type: &Type) -> bool {
        matches!(*r#type, Type::TEXT | Type::JSON)
    }
}

fn table_name(table: Table) -> String {
    crate::commit::qualified(crate::commit::table_name(table))
}
