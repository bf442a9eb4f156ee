//! Searches in Stripe's shape: a query, pages by `next_page`, newest first.

use super::error::ApiError;
use super::params::Params;
use crate::call::{Answer, Call};
use crate::commit::Row;
use crate::search::condition::Subject;
use crate::search::{self, Found};
use serde_json::{Value, json};

/// Reads `query`, `limit` and `page`, and finds that page of the rows.
pub async fn rows<R: Row>(call: &Call, params: &mut Params, subject: &'static Subject) -> Result<Found<R>, ApiError> {
    let query = params
        .long_text("query", 2_000)?
        .ok_or_else(|| ApiError::missing("query"))?;
    let limit = params.integer("limit")?.unwrap_or(10);
    if !(1..=100).contains(&limit) {
        return Err(ApiError::invalid(
            "parameter_invalid_integer",
            "limit",
            "The limit must be from 1 to 100.",
        ));
    }
    let page = params.text("page")?;
    std::mem::take(params).finish()?;
    search::page(call, subject, &query, limit, page.as_deref()).await
}

/// A page of objects that are already rendered.
pub async fn of(call: &Call, url: &str, data: Vec<Value>, next_page: Option<String>) -> Result<Answer, ApiError> {
    let mut found = json!({
        "object": "search_result", "data": data, "has_more": next_page.is_some(), "next_page": next_page, "url": url,
    });
    super::expand::expand(call, &mut found, &[]).await?;
    Ok(Answer::ok(&found))
}
