//! `/v1/application_fees`: what a platform took of charges. A merchant's key sees its own; a platform's key that acts for no merchant
//! sees all of them, and alone gives back.

use super::error::ApiError;
use super::input::{FinanceRead, In, PlatformFinanceWrite, Reply, Right};
use super::list;
use crate::call::{Answer, Call};
use crate::payment::application_fee::{self, ApplicationFee, FeeRefund};
use crate::payment::flow::merge_metadata;
use crate::payment::store;
use crate::{id, wire};
use axum::extract::Path;
use serde_json::Value;
use std::collections::BTreeMap;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

pub(super) async fn index(mut input: In<FinanceRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let charge = params.text("charge")?;
    params.finish()?;
    let call = &input.call;
    let book_id = (!for_all(&input)).then(|| call.book_id());
    let backwards = page.ending_before.is_some();
    let cursor = page.starting_after.or(page.ending_before);
    if let Some(cursor) = &cursor {
        find(
            &input,
            cursor,
            if backwards { "ending_before" } else { "starting_after" },
        )
        .await?;
    }
    let (sign, order) = if backwards { (">", "ASC") } else { ("<", "DESC") };
    let client = call.app.reads.get().await?;
    let rows = client
        .query_typed(
            &format!(
                "SELECT row_to_json(t)::text FROM gateway.application_fee t
                 WHERE ($1::bigint IS NULL OR book_id = $1) AND ($2::text IS NULL OR charge_id = $2) AND ($3::text IS NULL OR id {sign} $3)
                 ORDER BY id {order} LIMIT $4"
            ),
            &[
                (&book_id, Type::INT8),
                (&charge, Type::TEXT),
                (&cursor, Type::TEXT),
                (&(page.limit + 1), Type::INT8),
            ],
        )
        .await?;
    let has_more = rows.len() as i64 > page.limit;
    let mut fees = Vec::new();
    for row in rows.iter().take(page.limit as usize) {
        fees.push(store::row::<ApplicationFee>(row)?);
    }
    if backwards {
        fees.reverse();
    }
    let data = objects(call, &**client, &fees).await?;
    drop(client);
    list::of(call, "/v1/application_fees", data, has_more).await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<FinanceRead>) -> Reply {
    input.take().finish()?;
    let fee = find(&input, &id, "id").await?;
    let call = &input.call;
    let found = {
        let client = call.app.reads.get().await?;
        objects(call, &**client, &[fee]).await?
    };
    let mut object = found.into_iter().next().unwrap_or_default();
    super::expand::expand(call, &mut object, &[]).await?;
    Ok(Answer::ok(&object))
}

pub(super) async fn create_refund(Path(id): Path<String>, mut input: In<PlatformFinanceWrite>) -> Reply {
    let mut params = input.take();
    let amount = params.amount("amount")?;
    let mut metadata = BTreeMap::new();
    if let Some(change) = params.metadata("metadata")? {
        merge_metadata(&mut metadata, change);
    }
    params.finish()?;
    // The platform names the fee, and with it the merchant whom it was taken from.
    let fee = find(&input, &id, "id").await?;
    input.call.merchant = input.call.app.merchant_by_book(fee.book_id).await?;
    input
        .run(|call| application_fee::refund(call, &id, amount, metadata))
        .await
}

pub(super) async fn index_refunds(Path(id): Path<String>, mut input: In<FinanceRead>) -> Reply {
    input.take().finish()?;
    let fee = find(&input, &id, "id").await?;
    let call = &input.call;
    let refunds = {
        let client = call.app.reads.get().await?;
        application_fee::refunds(&**client, fee.book_id, &[&fee.id]).await?
    };
    let data = refunds.iter().map(wire::fee_refund).collect();
    list::of(call, &format!("/v1/application_fees/{}/refunds", fee.id), data, false).await
}

/// These fees of this merchant, rendered.
pub(super) async fn rendered(call: &Call, client: &impl GenericClient, ids: &[&str]) -> Result<Vec<Value>, ApiError> {
    let fees: Vec<ApplicationFee> = store::get_many(client, call.book_id(), ids).await?;
    objects(call, client, &fees).await
}

/// Fees with their accounts and what was given back.
async fn objects(call: &Call, client: &impl GenericClient, fees: &[ApplicationFee]) -> Result<Vec<Value>, ApiError> {
    let mut by_book: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for fee in fees {
        by_book.entry(fee.book_id).or_default().push(&fee.id);
    }
    let (mut refunds, mut accounts) = (Vec::<FeeRefund>::new(), BTreeMap::new());
    for (book_id, ids) in by_book {
        refunds.extend(application_fee::refunds(client, book_id, &ids).await?);
        accounts.insert(book_id, call.app.merchant_by_book(book_id).await?.id.clone());
    }
    let object = |fee: &ApplicationFee| {
        let own: Vec<FeeRefund> = refunds
            .iter()
            .filter(|refund| refund.fee_id == fee.id)
            .cloned()
            .collect();
        let account = accounts.get(&fee.book_id).map(String::as_str).unwrap_or_default();
        wire::application_fee(fee, account, &own)
    };
    Ok(fees.iter().map(object).collect())
}

/// A platform's key that acts for nobody else.
fn for_all<R: Right>(input: &In<R>) -> bool {
    input.platform && input.key_account == input.call.merchant.id
}

async fn find<R: Right>(input: &In<R>, fee_id: &str, param: &str) -> Result<ApplicationFee, ApiError> {
    let missing = || ApiError::not_found("application_fee", fee_id, param);
    if !id::is_valid(id::prefix::APPLICATION_FEE, fee_id) {
        return Err(missing());
    }
    let book_id = (!for_all(input)).then(|| input.call.book_id());
    let client = input.call.app.reads.get().await?;
    let rows = client
        .query_typed(
            "SELECT row_to_json(t)::text FROM gateway.application_fee t WHERE id = $1 AND ($2::bigint IS NULL OR book_id = $2)",
            &[(&fee_id, Type::TEXT), (&book_id, Type::INT8)],
        )
        .await?;
    match rows.first() {
        Some(row) => Ok(store::row(row)?),
        None => Err(missing()),
    }
}
