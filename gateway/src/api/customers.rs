//! `/v1/customers`.

use super::error::ApiError;
use super::input::{CheckoutRead, CheckoutWrite, In, Reply};
use super::params::Params;
use super::{list, search};
use crate::call::{Answer, Call};
use crate::commit::{Refused, Unit};
use crate::payment::flow::{claim, merge_metadata};
use crate::payment::rows::{Customer, CustomerDetails, PaymentMethod};
use crate::payment::store;
use crate::search::condition::CUSTOMERS;
use crate::{id, wire};
use axum::extract::Path;

/// Accepted and without effect here: they belong to invoicing.
const WITHOUT_EFFECT: &[&str] = &[
    "tax",
    "tax_exempt",
    "preferred_locales",
    "invoice_prefix",
    "payment_method",
    "source",
];

pub(super) async fn create(mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let mut details = CustomerDetails::default();
    change(&mut params, &mut details)?;
    params.ignore(WITHOUT_EFFECT);
    params.finish()?;
    input
        .run(|call| async move {
            let customer = Customer {
                book_id: call.book_id(),
                id: id::new(id::prefix::CUSTOMER),
                version: 1,
                deleted: false,
                created_at: call.at,
                details,
            };
            own_default(call, &customer).await?;
            let object = wire::customer(&customer);
            let answer = Answer::ok(&object);
            let unit = Unit::new(call.book_id())
                .insert(&customer)
                .insert(&call.event("customer.created", &object));
            call.app.commit(claim(call, unit, &customer.id, Some(&answer))).await?;
            Ok(answer)
        })
        .await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<CheckoutRead>) -> Reply {
    input.take().finish()?;
    super::retrieve(&input.call, "customer", &id, "id").await
}

pub(super) async fn update(Path(id): Path<String>, mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let mut probe = CustomerDetails::default();
    change(&mut params.clone(), &mut probe)?;
    let mut rest = params.clone();
    change(&mut rest, &mut probe)?;
    rest.ignore(WITHOUT_EFFECT);
    rest.finish()?;
    params.ignore(WITHOUT_EFFECT);
    input
        .run(|call| {
            modify(call, id, "customer.updated", move |customer| {
                change(&mut params.clone(), &mut customer.details)
            })
        })
        .await
}

pub(super) async fn delete(Path(id): Path<String>, mut input: In<CheckoutWrite>) -> Reply {
    input.take().finish()?;
    input
        .run(|call| {
            modify(call, id, "customer.deleted", |customer| {
                customer.deleted = true;
                customer.details = CustomerDetails::default();
                Ok(())
            })
        })
        .await
}

pub(super) async fn index(mut input: In<CheckoutRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    list::created(&mut params, &mut filters)?;
    if let Some(email) = params.text("email")? {
        filters.push(list::equals("details->>'email' = ", email));
    }
    params.finish()?;
    filters.push(store::Filter {
        condition: "deleted = ",
        value: Box::new(false),
        r#type: tokio_postgres::types::Type::BOOL,
    });
    list::answer::<Customer>(&input.call, "/v1/customers", &page, &filters, wire::customer).await
}

pub(super) async fn search(mut input: In<CheckoutRead>) -> Reply {
    let mut params = input.take();
    let found = search::rows::<Customer>(&input.call, &mut params, &CUSTOMERS).await?;
    let data = found.rows.iter().map(wire::customer).collect();
    search::of(&input.call, "/v1/customers/search", data, found.next_page).await
}

/// Refuses unless this merchant has this customer.
pub(super) async fn must_exist(call: &Call, customer_id: &str) -> Result<(), ApiError> {
    load(call, customer_id).await.map(drop).map_err(|mut error| {
        error.param = Some("customer".into());
        error
    })
}

async fn load(call: &Call, customer_id: &str) -> Result<Customer, ApiError> {
    let client = call.app.reads.get().await?;
    let customer: Option<Customer> = if id::is_valid(id::prefix::CUSTOMER, customer_id) {
        store::get(&**client, call.book_id(), customer_id).await?
    } else {
        None
    };
    customer
        .filter(|c| !c.deleted)
        .ok_or_else(|| ApiError::not_found("customer", customer_id, "id"))
}

async fn modify(
    call: &Call,
    customer_id: String,
    event: &str,
    change: impl Fn(&mut Customer) -> Result<(), ApiError>,
) -> Reply {
    loop {
        let mut customer = load(call, &customer_id).await?;
        let default = customer.details.default_payment_method.clone();
        change(&mut customer)?;
        let object = wire::customer(&customer);
        let answer = Answer::ok(&object);
        let mut unit = Unit::new(call.book_id());
        if customer.deleted {
            unit = detached(call, unit, &customer_id).await?;
        } else if customer.details.default_payment_method != default {
            own_default(call, &customer).await?;
        }
        let unit = unit.update(&mut customer).insert(&call.event(event, &object));
        match call.app.commit(claim(call, unit, &customer_id, Some(&answer))).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
}

fn change(params: &mut Params, details: &mut CustomerDetails) -> Result<(), ApiError> {
    for (name, slot) in [
        ("email", &mut details.email),
        ("name", &mut details.name),
        ("phone", &mut details.phone),
        ("description", &mut details.description),
    ] {
        if let Some(value) = params.text_change(name)? {
            *slot = value;
        }
    }
    if params.has("address") {
        details.address = params.value("address")?;
    }
    if params.has("shipping") {
        details.shipping = params.value("shipping")?;
    }
    if let Some(change) = params.metadata("metadata")? {
        merge_metadata(&mut details.metadata, change);
    }
    if let Some(mut settings) = params.group("invoice_settings")?
        && let Some(method) = settings.text_change("default_payment_method")?
    {
        details.default_payment_method = method;
    }
    Ok(())
}

/// A default card must be one of the customer's own.
async fn own_default(call: &Call, customer: &Customer) -> Result<(), ApiError> {
    let Some(method_id) = &customer.details.default_payment_method else {
        return Ok(());
    };
    let client = call.app.reads.get().await?;
    let method: Option<PaymentMethod> = store::get(&**client, call.book_id(), method_id).await?;
    if method.is_some_and(|method| method.customer_id.as_deref() == Some(&customer.id)) {
        return Ok(());
    }
    Err(ApiError::invalid(
        "resource_missing",
        "invoice_settings[default_payment_method]",
        "The customer does not have a payment method with this id. Attach it to the customer first.",
    ))
}

/// Adds to the unit that deletes a customer the end of its cards' belonging.
async fn detached(call: &Call, mut unit: Unit, customer_id: &str) -> Result<Unit, ApiError> {
    let methods: Vec<PaymentMethod> = {
        let client = call.app.reads.get().await?;
        store::by(&**client, call.book_id(), "customer_id", customer_id, MAX_METHODS).await?
    };
    for mut method in methods {
        method.customer_id = None;
        unit = unit.update(&mut method);
        unit = unit.insert(&call.event("payment_method.detached", &wire::payment_method(&method)));
    }
    Ok(unit)
}

/// Far more cards than a person has; they are let go in one commit.
const MAX_METHODS: i64 = 1000;
