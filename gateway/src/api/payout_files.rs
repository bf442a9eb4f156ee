//! `/v1/payout_files`: pending payouts as a file for the bank, for keys of the platform. Not a part of Stripe's API.

use super::error::ApiError;
use super::input::{In, PlatformFinanceRead, PlatformFinanceWrite, Reply};
use super::list;
use crate::call::Answer;
use crate::funds::file;
use crate::funds::rows::PayoutFile;
use crate::wire;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header;

pub(super) async fn create(mut input: In<PlatformFinanceWrite>) -> Reply {
    let mut params = input.take();
    let currency = super::payment_intents::currency(&mut params)?.ok_or_else(|| ApiError::missing("currency"))?;
    let execution_date = match params.text("execution_date")? {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            let message = "Not a day: write it as 2026-11-24.";
            ApiError::invalid("parameter_invalid_string", "execution_date", message)
        })?),
    };
    params.finish()?;
    let by = input.key_id.clone();
    input
        .run(|call| async move { file::create(call, &currency, execution_date, &by).await })
        .await
}

pub(super) async fn index(mut input: In<PlatformFinanceRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    list::created(&mut params, &mut filters)?;
    params.finish()?;
    list::answer::<PayoutFile>(&input.call, "/v1/payout_files", &page, &filters, wire::payout_file).await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<PlatformFinanceRead>) -> Reply {
    input.take().finish()?;
    let call = &input.call;
    let client = call.app.reads.get().await?;
    let file = file::load(&**client, call.book_id(), &id).await?;
    Ok(Answer::ok(&wire::payout_file(&file)))
}

pub(super) async fn contents(Path(id): Path<String>, mut input: In<PlatformFinanceRead>) -> Result<Response, ApiError> {
    input.take().finish()?;
    let text = file::contents(&input.call, &id).await?;
    let name = format!("attachment; filename=\"{id}.xml\"");
    let headers = [
        (header::CONTENT_TYPE, "application/xml".to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, text).into_response())
}
