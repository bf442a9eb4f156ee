//! `/v1/receipts`: what payers were told about captures.

use super::input::{CheckoutRead, In, Reply};
use super::list;
use crate::receipt::Receipt;
use crate::wire;
use axum::extract::Path;

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<CheckoutRead>) -> Reply {
    input.take().finish()?;
    super::retrieve(&input.call, "receipt", &id, "id").await
}

pub(super) async fn index(mut input: In<CheckoutRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    list::created(&mut params, &mut filters)?;
    if let Some(charge) = params.text("charge")? {
        filters.push(list::equals("charge_id = ", charge));
    }
    let status = params.choice("status", &["queued", "sent", "failed"])?;
    if let Some(status) = status {
        filters.push(list::equals("status = ", status));
    }
    params.finish()?;
    list::answer::<Receipt>(&input.call, "/v1/receipts", &page, &filters, wire::receipt).await
}
