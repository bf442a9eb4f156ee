//! `/v1/radar/early_fraud_warnings`: what card networks told before any dispute.

use super::error::ApiError;
use super::input::{In, RefundsWrite, Reply, RiskRead, RiskWrite};
use super::list;
use crate::call::Answer;
use crate::risk::rows::EarlyFraudWarning;
use crate::risk::warnings::{self, rendered};
use axum::extract::Path;

pub(super) async fn index(mut input: In<RiskRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    list::created(&mut params, &mut filters)?;
    if let Some(charge) = params.text("charge")? {
        filters.push(list::equals("charge_id = ", charge));
    }
    if let Some(payment) = params.text("payment_intent")? {
        filters.push(list::equals("payment_id = ", payment));
    }
    params.finish()?;
    let call = &input.call;
    let (rows, more) = list::rows::<EarlyFraudWarning>(call, &page, &filters).await?;
    list::of(
        call,
        "/v1/radar/early_fraud_warnings",
        rendered(call, &rows).await?,
        more,
    )
    .await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<RiskRead>) -> Reply {
    input.take().finish()?;
    let call = &input.call;
    let warning = warnings::load(call, &id).await?;
    let mut object = rendered(call, &[warning]).await?.pop().unwrap_or_default();
    super::expand::expand(call, &mut object, &[]).await?;
    Ok(Answer::ok(&object))
}

pub(super) async fn refund(Path(id): Path<String>, mut input: In<RefundsWrite>) -> Reply {
    input.take().finish()?;
    input.run(|call| warnings::refund_now(call, &id)).await
}

pub(super) async fn dismiss(Path(id): Path<String>, mut input: In<RiskWrite>) -> Reply {
    let mut params = input.take();
    let reason = params.text("reason")?;
    params.finish()?;
    if reason
        .as_ref()
        .is_some_and(|reason| reason.chars().count() > MAX_REASON)
    {
        return Err(ApiError::invalid(
            "parameter_invalid_string",
            "reason",
            format!("A reason has at most {MAX_REASON} characters."),
        ));
    }
    let by = input.key_id.to_string();
    input.run(|call| warnings::dismiss(call, &id, reason, by)).await
}

const MAX_REASON: usize = 2000;
