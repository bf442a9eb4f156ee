//! `/v1/charges`: attempts at the acquirer. What describes a charge belongs to its payment, and is changed there.

use super::error::ApiError;
use super::input::{CheckoutRead, CheckoutWrite, In, PlatformFinanceWrite, Reply};
use super::{list, search};
use crate::call::{Answer, Call};
use crate::commit::{Refused, Unit};
use crate::connector::Resolution;
use crate::payment::flow::{claim, merge_metadata};
use crate::payment::mismatch::{self, Wanted};
use crate::payment::rows::{Charge, Payment};
use crate::payment::store;
use crate::search::condition::CHARGES;
use crate::{id, wire};
use axum::extract::Path;

/// How often a change is tried again on a payment that another request moved meanwhile.
const RETRIES: usize = 20;

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<CheckoutRead>) -> Reply {
    input.take().finish()?;
    super::retrieve(&input.call, "charge", &id, "id").await
}

pub(super) async fn update(Path(id): Path<String>, mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let metadata = params.metadata("metadata")?;
    let description = params.text_change("description")?;
    let receipt_email = super::payment_intents::email(&mut params, "receipt_email")?;
    let transfer_group = params.text_change("transfer_group")?;
    let shipping = params.value("shipping")?;
    params.finish()?;
    let change = |payment: &mut Payment| {
        let details = &mut payment.details;
        if let Some(change) = &metadata {
            merge_metadata(&mut details.metadata, change.clone());
        }
        for (slot, value) in [
            (&mut details.description, &description),
            (&mut details.receipt_email, &receipt_email),
            (&mut details.transfer_group, &transfer_group),
        ] {
            if let Some(value) = value {
                slot.clone_from(value);
            }
        }
        if shipping.is_some() {
            details.shipping.clone_from(&shipping);
        }
    };
    input.run(|call| modify(call, &id, change)).await
}

pub(super) async fn index(mut input: In<CheckoutRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    list::created(&mut params, &mut filters)?;
    if let Some(payment) = params.text("payment_intent")? {
        filters.push(list::equals("payment_id = ", payment));
    }
    if let Some(customer) = params.text("customer")? {
        // through the payments: they are indexed by customer, charges are not
        filters.push(list::equals(
            "payment_id IN (SELECT p.id FROM gateway.payment p WHERE p.book_id = t.book_id AND p.customer_id = ?)",
            customer,
        ));
    }
    params.finish()?;
    let call = &input.call;
    let (data, has_more) = {
        let (rows, more) = list::rows::<Charge>(call, &page, &filters).await?;
        let client = call.app.reads.get().await?;
        (super::expand::charges(&**client, call.book_id(), &rows).await?, more)
    };
    list::of(call, "/v1/charges", data, has_more).await
}

pub(super) async fn resolve(Path(id): Path<String>, mut input: In<PlatformFinanceWrite>) -> Reply {
    let mut params = input.take();
    let resolution = match params.choice("resolution", &["accept", "reverse"])?.as_deref() {
        Some("accept") => Resolution::Accept,
        Some(_) => Resolution::Reverse,
        None => return Err(ApiError::missing("resolution")),
    };
    let wanted = Wanted {
        resolution,
        reason: params.required_text("reason")?,
        override_reason: params.text("override_reason")?,
        by: input.key_id.to_string(),
    };
    params.finish()?;
    load(&input.call, &id, "id").await?;
    input.run(|call| mismatch::resolve(call, &id, &wanted)).await
}

pub(super) async fn search(mut input: In<CheckoutRead>) -> Reply {
    let mut params = input.take();
    let call = &input.call;
    let found = search::rows::<Charge>(call, &mut params, &CHARGES).await?;
    let data = {
        let client = call.app.reads.get().await?;
        super::expand::charges(&**client, call.book_id(), &found.rows).await?
    };
    search::of(call, "/v1/charges/search", data, found.next_page).await
}

/// This merchant's charge.
pub(super) async fn load(call: &Call, charge_id: &str, param: &str) -> Result<Charge, ApiError> {
    let found = if id::is_valid(id::prefix::CHARGE, charge_id) {
        let client = call.app.reads.get().await?;
        store::get(&**client, call.book_id(), charge_id).await?
    } else {
        None
    };
    found.ok_or_else(|| ApiError::not_found("charge", charge_id, param))
}

async fn modify(call: &Call, charge_id: &str, change: impl Fn(&mut Payment)) -> Reply {
    for _ in 0..RETRIES {
        let charge = load(call, charge_id, "id").await?;
        let mut payment: Payment = {
            let client = call.app.reads.get().await?;
            let found = store::get(&**client, call.book_id(), &charge.payment_id).await?;
            found.ok_or_else(|| ApiError::internal("a charge without its payment"))?
        };
        change(&mut payment);
        let unit = Unit::new(call.book_id()).update(&mut payment);
        let mut object = wire::charge(&charge, &payment);
        let unit = unit.insert(&call.event("charge.updated", &object));
        super::expand::expand(call, &mut object, &[wire::payment_intent(&payment)]).await?;
        let answer = Answer::ok(&object);
        match call.app.commit(claim(call, unit, charge_id, Some(&answer))).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}
