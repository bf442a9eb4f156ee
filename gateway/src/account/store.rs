//! Reads of accounts that are not by book. All its SQL is here; writes go through units (`commit`).

use super::Merchant;
use super::terms::{Kind, Terms};
use crate::payment::store::{Page, row};
use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, GenericClient};

/// The account with this id, as the database has it now: what a change begins from.
pub async fn by_id(client: &impl GenericClient, id: &str) -> Result<Option<Merchant>, Error> {
    let sql = format!("{WITH_TERMS} WHERE t.id = $1");
    let rows = client.query_typed(&sql, &[(&id, Type::TEXT)]).await?;
    rows.first().map(row).transpose()
}

/// The account that owns this book.
pub async fn by_book(client: &impl GenericClient, book_id: i64) -> Result<Option<Merchant>, Error> {
    let sql = format!("{WITH_TERMS} WHERE t.book_id = $1");
    let rows = client.query_typed(&sql, &[(&book_id, Type::INT8)]).await?;
    rows.first().map(row).transpose()
}

/// A page of all accounts, newest first, and whether there are more in the direction of travel. Books are numbered as they
/// are opened.
pub async fn list(
    client: &impl GenericClient,
    page: &Page,
    status: Option<&str>,
) -> Result<(Vec<Merchant>, bool), Error> {
    let backwards = page.ending_before.is_some();
    let (compare, order) = if backwards { (">", "ASC") } else { ("<", "DESC") };
    let cursor = page.starting_after.as_ref().or(page.ending_before.as_ref());
    let sql = format!(
        "SELECT row_to_json(t)::text FROM gateway.merchant t
         WHERE ($1::text IS NULL OR status = $1)
           AND ($2::text IS NULL OR book_id {compare} (SELECT c.book_id FROM gateway.merchant c WHERE c.id = $2))
         ORDER BY book_id {order} LIMIT $3"
    );
    let limit = page.limit + 1;
    let values: [(&(dyn ToSql + Sync), Type); 3] = [(&status, Type::TEXT), (&cursor, Type::TEXT), (&limit, Type::INT8)];
    let rows = client.query_typed(&sql, &values).await?;
    let more = rows.len() as i64 > page.limit;
    let mut accounts: Vec<Merchant> = rows
        .iter()
        .take(page.limit as usize)
        .map(row)
        .collect::<Result<_, _>>()?;
    if backwards {
        accounts.reverse();
    }
    Ok((accounts, more))
}

/// Active accounts whose re-verification date has passed.
pub async fn lapsed(client: &impl GenericClient, now: Timestamp, limit: i64) -> Result<Vec<Merchant>, Error> {
    let sql = "SELECT row_to_json(t)::text FROM gateway.merchant t
               WHERE status = 'active' AND reverify_at <= $1 ORDER BY reverify_at LIMIT $2";
    let rows = client
        .query_typed(sql, &[(&now, Type::TIMESTAMPTZ), (&limit, Type::INT8)])
        .await?;
    rows.iter().map(row).collect()
}

/// All versions of this kind in these books.
pub async fn terms(client: &impl GenericClient, books: &[i64], kind: Kind) -> Result<Vec<Terms>, Error> {
    let sql = "SELECT row_to_json(t)::text FROM gateway.terms t WHERE book_id = ANY($1) AND kind = $2";
    let rows = client
        .query_typed(sql, &[(&books, Type::INT8_ARRAY), (&kind.as_str(), Type::TEXT)])
        .await?;
    rows.iter().map(row).collect()
}

/// The terms with this id, in whichever book.
pub async fn terms_by_id(client: &impl GenericClient, id: &str) -> Result<Option<Terms>, Error> {
    let sql = "SELECT row_to_json(t)::text FROM gateway.terms t WHERE id = $1";
    let rows = client.query_typed(sql, &[(&id, Type::TEXT)]).await?;
    rows.first().map(row).transpose()
}

/// A page of what concerns this book: its own terms and the platform's, newest first.
pub async fn terms_of(client: &impl GenericClient, book_id: i64, page: &Page) -> Result<(Vec<Terms>, bool), Error> {
    let backwards = page.ending_before.is_some();
    let (compare, order) = if backwards { (">", "ASC") } else { ("<", "DESC") };
    let cursor = page.starting_after.as_ref().or(page.ending_before.as_ref());
    let sql = format!(
        "SELECT row_to_json(t)::text FROM gateway.terms t
         WHERE book_id IN ($1, {PLATFORM}) AND ($2::text IS NULL OR id {compare} $2) ORDER BY id {order} LIMIT $3"
    );
    let limit = page.limit + 1;
    let values: [(&(dyn ToSql + Sync), Type); 3] =
        [(&book_id, Type::INT8), (&cursor, Type::TEXT), (&limit, Type::INT8)];
    let rows = client.query_typed(&sql, &values).await?;
    let more = rows.len() as i64 > page.limit;
    let mut terms: Vec<Terms> = rows
        .iter()
        .take(page.limit as usize)
        .map(row)
        .collect::<Result<_, _>>()?;
    if backwards {
        terms.reverse();
    }
    Ok((terms, more))
}

/// Whether terms in this book concern everyone.
pub async fn platform_book(client: &impl GenericClient) -> Result<Option<i64>, Error> {
    let rows = client.query_typed(&format!("SELECT {PLATFORM}"), &[]).await?;
    rows.first().map_or(Ok(None), |row| row.try_get(0))
}

const PLATFORM: &str = "(SELECT b.book_id FROM ledger.book b WHERE b.code = 'platform')";

const WITH_TERMS: &str = "
    SELECT (to_jsonb(t) || jsonb_build_object('terms', COALESCE((
        SELECT jsonb_agg(to_jsonb(x)) FROM gateway.terms x
        WHERE x.status = 'approved' AND x.book_id IN (t.book_id, (SELECT b.book_id FROM ledger.book b WHERE b.code = 'platform'))
    ), '[]')))::text
    FROM gateway.merchant t";
