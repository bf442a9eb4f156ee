//! Search over payments, charges and customers in Stripe's query language, by pages, newest first.
//!
//! [`query`] reads the text, [`condition`] turns its clauses into SQL with every value as a parameter. A query with a clause that
//! has an index of its own (metadata, customer, e-mail) is one look-up. Any other walks the merchant's own rows by the primary
//! key, newest first, [`SLICE`] at a time and [`BUDGET`] at most: what is slow to find is refused with what would make it fast.
//! Rows are found as soon as they are committed. It must never leave the merchant's book, and never put a value into SQL.

pub mod condition;
pub mod query;

use crate::api::error::ApiError;
use crate::call::Call;
use crate::commit::Row;
use crate::payment::store;
use condition::{Condition, Subject};
use tokio_postgres::types::{ToSql, Type};

/// Rows that are looked at in one statement.
const SLICE: i64 = 5_000;
/// Rows that are looked at for one page.
const BUDGET: i64 = 200_000;

/// A page of what was found.
#[derive(Debug)]
pub struct Found<R> {
    /// newest first
    pub rows: Vec<R>,
    /// where the next page begins; none after the last
    pub next_page: Option<String>,
}

/// One page of the rows of this kind that the query matches, after those up to the object `page`.
///
/// # Errors
/// When the text is no query over these objects, or would have to look at too many.
pub async fn page<R: Row>(
    call: &Call,
    subject: &'static Subject,
    text: &str,
    limit: i64,
    page: Option<&str>,
) -> Result<Found<R>, ApiError> {
    let refused = |why: String| ApiError::invalid("search_query_invalid", "query", why);
    let query = query::parse(text).map_err(|unreadable| refused(unreadable.to_string()))?;
    let condition = Condition::of(subject, call.book_id(), &query).map_err(refused)?;
    if let Some(page) = page
        && !crate::id::is_valid(subject.prefix, page)
    {
        return Err(ApiError::invalid(
            "parameter_invalid_value",
            "page",
            "Not a page of this search: give the next_page of the answer before.",
        ));
    }
    let mut cursor = page.map(str::to_owned);
    let mut rows: Vec<R> = Vec::new();
    let mut seen = 0;
    loop {
        let wanted = limit + 1 - rows.len() as i64;
        let slice = slice::<R>(call, subject, &condition, cursor.as_deref(), wanted).await?;
        rows.extend(slice.rows);
        if rows.len() as i64 > limit {
            rows.truncate(limit as usize);
            let next_page = rows.last().map(|row| row.id().to_owned());
            return Ok(Found { rows, next_page });
        }
        let Some(last) = slice.more_after else {
            return Ok(Found { rows, next_page: None });
        };
        seen += SLICE;
        cursor = Some(last);
        if seen >= BUDGET && rows.is_empty() {
            return Err(ApiError::invalid(
                "search_query_too_broad",
                "query",
                format!(
                    "None of the newest {BUDGET} objects match, and older ones are not looked through. Narrow the query: {}.",
                    subject.narrow
                ),
            ));
        }
        if seen >= BUDGET {
            return Ok(Found {
                rows,
                next_page: cursor,
            });
        }
    }
}

struct Slice<R> {
    rows: Vec<R>,
    /// the last row that was looked at, when there may be more behind it
    more_after: Option<String>,
}

async fn slice<R: Row>(
    call: &Call,
    subject: &Subject,
    condition: &Condition,
    cursor: Option<&str>,
    wanted: i64,
) -> Result<Slice<R>, ApiError> {
    let book_id = call.book_id();
    let mut values: Vec<(&(dyn ToSql + Sync), Type)> = vec![(&book_id, Type::INT8), (&wanted, Type::INT8)];
    values.extend(
        condition
            .values
            .iter()
            .map(|(value, r#type)| (value.as_ref() as &(dyn ToSql + Sync), r#type.clone())),
    );
    let (first, last) = (&condition.oldest_id, &condition.newest_id);
    let mut range = String::new();
    for (sign, bound) in [("<", cursor), ("<=", last.as_deref()), (">=", first.as_deref())] {
        if let Some(bound) = bound {
            range.push_str(&format!(" AND t.id {sign} '{}'", checked(bound)?));
        }
    }
    let (table, holds) = (subject.table, &condition.sql);
    let sql = if condition.indexed {
        format!(
            // In two steps: with the order and the limit in sight, the planner would rather walk the primary key.
            "WITH found AS MATERIALIZED (SELECT t.id FROM {table} t WHERE t.book_id = $1 AND {holds}{range})
             SELECT row_to_json(t)::text, NULL::text, NULL::bigint FROM {table} t
             WHERE t.book_id = $1 AND t.id IN (SELECT id FROM found ORDER BY id DESC LIMIT $2) ORDER BY t.id DESC"
        )
    } else {
        format!(
            "WITH slice AS MATERIALIZED (SELECT * FROM {table} t WHERE t.book_id = $1{range} ORDER BY t.id DESC LIMIT {SLICE}),
                  hit AS (SELECT t.* FROM slice t WHERE {holds} ORDER BY t.id DESC LIMIT $2)
             SELECT row_to_json(hit)::text, NULL, NULL FROM hit
             UNION ALL SELECT NULL, min(id), count(*) FROM slice"
        )
    };
    let client = call.app.reads.get().await?;
    let found = client.query_typed(&sql, &values).await?;
    let mut slice = Slice {
        rows: Vec::new(),
        more_after: None,
    };
    for row in &found {
        match row.try_get::<_, Option<&str>>(0)? {
            Some(_) => slice.rows.push(store::row(row)?),
            None if row.try_get::<_, Option<i64>>(2)? == Some(SLICE) => slice.more_after = row.try_get(1)?,
            None => {}
        }
    }
    Ok(slice)
}

/// An id that may stand in SQL: of the shape of ours.
fn checked(id: &str) -> Result<&str, ApiError> {
    match crate::id::kind(id) {
        Some(prefix) if crate::id::is_valid(prefix, id) => Ok(id),
        _ => Err(ApiError::internal("a cursor that is no id")),
    }
}
