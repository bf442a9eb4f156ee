//! `/v1/radar/early_fraud_warnings`: what card networks told before any dispute.

use super::error::ApiError;
use super::input::{In, Reply, RiskRead};
use super::list;
use crate::call::{Answer, Call};
use crate::payment::rows::Charge;
use crate::payment::store;
use crate::risk::rows::EarlyFraudWarning;
use crate::{id, wire};
use axum::extract::Path;
use serde_json::Value;

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
    let found: Option<EarlyFraudWarning> = if id::is_valid(id::prefix::EARLY_FRAUD_WARNING, &id) {
        let client = call.app.reads.get().await?;
        store::get(&**client, call.book_id(), &id).await?
    } else {
        None
    };
    let warning = found.ok_or_else(|| ApiError::not_found("early fraud warning", &id, "early_fraud_warning"))?;
    let mut object = rendered(call, &[warning]).await?.pop().unwrap_or_default();
    super::expand::expand(call, &mut object, &[]).await?;
    Ok(Answer::ok(&object))
}

async fn rendered(call: &Call, rows: &[EarlyFraudWarning]) -> Result<Vec<Value>, ApiError> {
    let ids: Vec<&str> = rows.iter().map(|warning| warning.charge_id.as_str()).collect();
    let client = call.app.reads.get().await?;
    let charges: Vec<Charge> = store::get_many(&**client, call.book_id(), &ids).await?;
    Ok(rows
        .iter()
        .map(|warning| wire::early_fraud_warning(warning, charges.iter().find(|c| c.id == warning.charge_id)))
        .collect())
}
