//! `/v1/reviews`: payments that wait for a person's word. `reject` is ours, the rest is Stripe's.

use super::error::ApiError;
use super::input::{In, Reply, RiskRead, RiskWrite};
use super::list;
use crate::id;
use crate::payment::review;
use crate::payment::rows::Review;
use crate::payment::store;
use axum::extract::Path;

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<RiskRead>) -> Reply {
    input.take().finish()?;
    super::retrieve(&input.call, "review", &id, "review").await
}

pub(super) async fn approve(Path(id): Path<String>, mut input: In<RiskWrite>) -> Reply {
    input.take().finish()?;
    must_be_review_id(&id)?;
    input.call.subject = Some(id.clone());
    input.run(|call| review::approve(call, &id)).await
}

pub(super) async fn reject(Path(id): Path<String>, mut input: In<RiskWrite>) -> Reply {
    input.take().finish()?;
    must_be_review_id(&id)?;
    input.call.subject = Some(id.clone());
    input.run(|call| review::reject(call, &id)).await
}

/// Stripe lists the open ones; `open=false` and `payment_intent` are ours.
pub(super) async fn index(mut input: In<RiskRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    list::created(&mut params, &mut filters)?;
    filters.push(store::Filter {
        condition: "open = ",
        value: Box::new(params.boolean("open")?.unwrap_or(true)),
        r#type: tokio_postgres::types::Type::BOOL,
    });
    if let Some(payment) = params.text("payment_intent")? {
        filters.push(list::equals("payment_id = ", payment));
    }
    params.finish()?;
    let call = &input.call;
    let (data, has_more) = {
        let (rows, more) = list::rows::<Review>(call, &page, &filters).await?;
        let client = call.app.reads.get().await?;
        (super::expand::reviews(&**client, call.book_id(), &rows).await?, more)
    };
    list::of(call, "/v1/reviews", data, has_more).await
}

fn must_be_review_id(review_id: &str) -> Result<(), ApiError> {
    if id::is_valid(id::prefix::REVIEW, review_id) {
        Ok(())
    } else {
        Err(ApiError::not_found("review", review_id, "review"))
    }
}
