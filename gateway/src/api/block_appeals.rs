//! `/v1/radar/block_appeals`: whoever was blocked by a machine asks for a person. Ours.

use super::error::ApiError;
use super::input::{In, Reply, RiskRead, RiskWrite};
use super::list;
use super::params::Params;
use crate::call::Answer;
use crate::risk::appeals;
use crate::risk::rows::BlockAppeal;
use crate::wire;
use axum::extract::Path;

/// A statement or a reason, in characters.
const TEXT_MAX: usize = 2_000;

pub(super) async fn create(mut input: In<RiskWrite>) -> Reply {
    let mut params = input.take();
    let charge = params.required_text("charge")?;
    let requested_by = params
        .choice("requested_by", &["consumer", "merchant"])?
        .ok_or_else(|| ApiError::missing("requested_by"))?;
    let statement = text(&mut params, "statement")?.unwrap_or_default();
    params.finish()?;
    input
        .run(|call| appeals::create(call, &charge, &requested_by, statement))
        .await
}

pub(super) async fn index(mut input: In<RiskRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    list::created(&mut params, &mut filters)?;
    if let Some(charge) = params.text("charge")? {
        filters.push(list::equals("charge_id = ", charge));
    }
    if let Some(status) = params.choice("status", &["open", "lifted", "upheld"])? {
        filters.push(list::equals("status = ", status));
    }
    params.finish()?;
    list::answer::<BlockAppeal>(
        &input.call,
        "/v1/radar/block_appeals",
        &page,
        &filters,
        wire::block_appeal,
    )
    .await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<RiskRead>) -> Reply {
    input.take().finish()?;
    let mut object = wire::block_appeal(&appeals::load(&input.call, &id).await?);
    super::expand::expand(&input.call, &mut object, &[]).await?;
    Ok(Answer::ok(&object))
}

pub(super) async fn lift(Path(id): Path<String>, mut input: In<RiskWrite>) -> Reply {
    let mut params = input.take();
    let reason = text(&mut params, "reason")?;
    let days = params.integer("allow_days")?.unwrap_or(30);
    params.finish()?;
    appeals::load(&input.call, &id).await?;
    let reason = reason.ok_or_else(|| ApiError::missing("reason"))?;
    if !(1..=365).contains(&days) {
        return Err(ApiError::invalid(
            "parameter_invalid_integer",
            "allow_days",
            "For how many days the card is let through: 1 to 365.",
        ));
    }
    input.run(|call| appeals::lift(call, &id, reason, days)).await
}

pub(super) async fn uphold(Path(id): Path<String>, mut input: In<RiskWrite>) -> Reply {
    let mut params = input.take();
    let reason = text(&mut params, "reason")?;
    params.finish()?;
    appeals::load(&input.call, &id).await?;
    let reason = reason.ok_or_else(|| ApiError::missing("reason"))?;
    input.run(|call| appeals::uphold(call, &id, reason)).await
}

fn text(params: &mut Params, name: &str) -> Result<Option<String>, ApiError> {
    let text = params.long_text(name, 4 * TEXT_MAX)?;
    match &text {
        Some(long) if long.chars().count() > TEXT_MAX => Err(ApiError::invalid(
            "parameter_invalid_string",
            name,
            format!("At most {TEXT_MAX} characters."),
        )),
        _ => Ok(text),
    }
}
