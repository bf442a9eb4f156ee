//! Lists in Stripe's shape: newest first, cursors by id, `has_more` in the direction of travel.

use super::error::ApiError;
use super::params::Params;
use crate::call::{Answer, Call};
use crate::commit::Row;
use crate::payment::store::{self, Filter, Page};
use serde_json::{Value, json};
use tokio_postgres::types::Type;

/// `limit`, `starting_after`, `ending_before`.
pub fn page(params: &mut Params) -> Result<Page, ApiError> {
    let limit = params.integer("limit")?.unwrap_or(10);
    if !(1..=100).contains(&limit) {
        return Err(ApiError::invalid(
            "parameter_invalid_integer",
            "limit",
            "The limit must be from 1 to 100.",
        ));
    }
    let page = Page {
        limit,
        starting_after: params.text("starting_after")?,
        ending_before: params.text("ending_before")?,
    };
    if page.starting_after.is_some() && page.ending_before.is_some() {
        return Err(ApiError::invalid(
            "parameter_conflict",
            "ending_before",
            "You may give only one of starting_after and ending_before.",
        ));
    }
    Ok(page)
}

/// `created` as a moment or as `created[gt|gte|lt|lte]`, in unix seconds.
pub fn created(params: &mut Params, filters: &mut Vec<Filter>) -> Result<(), ApiError> {
    let at = |seconds: i64, param: &str| {
        jiff::Timestamp::from_second(seconds).map_err(|_| {
            ApiError::invalid(
                "parameter_invalid_integer",
                param,
                "Not a moment in time (unix seconds).",
            )
        })
    };
    let mut add = |condition: &'static str, at: jiff::Timestamp| {
        filters.push(Filter {
            condition,
            value: Box::new(at),
            r#type: Type::TIMESTAMPTZ,
        });
    };
    if let Ok(Some(mut range)) = params.clone().group("created") {
        params.ignore(&["created"]);
        for (name, condition) in [
            ("gt", "date_trunc('second', created_at) > "),
            ("gte", "created_at >= "),
            ("lt", "created_at < "),
            ("lte", "date_trunc('second', created_at) <= "),
        ] {
            if let Some(seconds) = range.integer(name)? {
                add(condition, at(seconds, &range.param(name))?);
            }
        }
        return range.finish();
    }
    if let Some(seconds) = params.integer("created")? {
        add("date_trunc('second', created_at) = ", at(seconds, "created")?);
    }
    Ok(())
}

/// A text filter.
pub fn equals(condition: &'static str, value: String) -> Filter {
    Filter {
        condition,
        value: Box::new(value),
        r#type: Type::TEXT,
    }
}

/// Reads a page of rows, renders each, and expands.
pub async fn answer<R: Row>(
    call: &Call,
    url: &str,
    page: &Page,
    filters: &[Filter],
    render: impl Fn(&R) -> Value,
) -> Result<Answer, ApiError> {
    let (rows, has_more) = rows::<R>(call, page, filters).await?;
    of(call, url, rows.iter().map(render).collect(), has_more).await
}

/// Reads a page of rows. A cursor must be an object of this merchant: any other text would silently show a wrong page.
pub async fn rows<R: Row>(call: &Call, page: &Page, filters: &[Filter]) -> Result<(Vec<R>, bool), ApiError> {
    let client = call.app.reads.get().await?;
    for (param, cursor) in [
        ("starting_after", &page.starting_after),
        ("ending_before", &page.ending_before),
    ] {
        if let Some(id) = cursor
            && store::get::<R>(&**client, call.book_id(), id).await?.is_none()
        {
            return Err(ApiError::not_found("object", id, param));
        }
    }
    Ok(store::list::<R>(&**client, call.book_id(), page, filters).await?)
}

/// A list of objects that are already rendered.
pub async fn of(call: &Call, url: &str, data: Vec<Value>, has_more: bool) -> Result<Answer, ApiError> {
    let mut list = json!({"object": "list", "data": data, "has_more": has_more, "url": url});
    super::expand::expand(call, &mut list, &[]).await?;
    Ok(Answer::ok(&list))
}
