//! `/v1/setup_intents`: cards kept for later, without a payment.

use super::error::ApiError;
use super::input::{CheckoutRead, CheckoutWrite, In, Reply};
use super::params::Params;
use super::payment_intents::{CardOptions, booleans, payment_method_types, return_url};
use super::{cards, list};
use crate::payment::flow::merge_metadata;
use crate::risk::Signals;
use crate::setup::flow::{self, NewSetup};
use crate::setup::{SetupDetails, SetupIntent};
use crate::{id, wire};
use axum::extract::Path;
use std::collections::BTreeMap;

/// Accepted for compatibility: they describe what happens anyway, or nothing.
const WITHOUT_EFFECT: &[&str] = &["use_stripe_sdk", "mandate", "single_use", "flow_directions"];

pub(super) async fn create(mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let usage = params.choice("usage", &["off_session", "on_session"])?;
    let customer_id = params.text("customer")?;
    let confirm = params.boolean("confirm")?.unwrap_or(false);
    let source = cards::source(&mut params, input.call.at)?;
    let mut details = SetupDetails {
        client_secret: id::random(),
        return_token: id::random(),
        automatic_payment_methods: params.value("automatic_payment_methods")?.map(booleans),
        ..SetupDetails::default()
    };
    Description::read(&mut params)?.apply(&mut details);
    let signals = Signals::read(&mut params, &details.metadata, None)?;
    finish(params)?;
    if let Some(customer) = &customer_id {
        super::customers::must_exist(&input.call, customer).await?;
    }
    let new = NewSetup {
        usage: usage.unwrap_or_else(|| "off_session".into()),
        customer_id,
        source,
        confirm,
        details,
        signals,
    };
    input.run(|call| flow::create(call, new)).await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<CheckoutRead>) -> Reply {
    let mut params = input.take();
    params.ignore(&["client_secret"]);
    params.finish()?;
    flow::retrieve(&input.call, &id).await
}

pub(super) async fn update(Path(id): Path<String>, mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let customer_id = params.text("customer")?;
    let source = cards::source(&mut params, input.call.at)?;
    let describe = Description::read(&mut params)?;
    finish(params)?;
    if let Some(customer) = &customer_id {
        super::customers::must_exist(&input.call, customer).await?;
    }
    input
        .run(|call| flow::update(call, &id, customer_id, source, move |details| describe.apply(details)))
        .await
}

pub(super) async fn confirm(Path(id): Path<String>, mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let source = cards::source(&mut params, input.call.at)?;
    let describe = Description::read(&mut params)?;
    let signals = Signals::read(&mut params, &BTreeMap::new(), None)?;
    params.ignore(&["client_secret"]);
    finish(params)?;
    input
        .run(|call| async move { flow::confirm(call, &id, source, &signals, |details| describe.apply(details)).await })
        .await
}

pub(super) async fn cancel(Path(id): Path<String>, mut input: In<CheckoutWrite>) -> Reply {
    let mut params = input.take();
    let reason = params.choice(
        "cancellation_reason",
        &["abandoned", "duplicate", "requested_by_customer"],
    )?;
    params.finish()?;
    input.run(|call| flow::cancel(call, &id, reason)).await
}

pub(super) async fn index(mut input: In<CheckoutRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    list::created(&mut params, &mut filters)?;
    for (name, condition) in [
        ("customer", "customer_id = "),
        ("payment_method", "payment_method_id = "),
    ] {
        if let Some(value) = params.text(name)? {
            filters.push(list::equals(condition, value));
        }
    }
    params.finish()?;
    list::answer::<SetupIntent>(&input.call, "/v1/setup_intents", &page, &filters, wire::setup_intent).await
}

fn finish(mut params: Params) -> Result<(), ApiError> {
    payment_method_types(&mut params)?;
    params.ignore(WITHOUT_EFFECT);
    params.finish()
}

/// What describes a setup intent, as sent.
struct Description {
    metadata: Option<BTreeMap<String, Option<String>>>,
    /// description, return_url, request_three_d_secure
    texts: [Option<Option<String>>; 3],
}

impl Description {
    fn read(params: &mut Params) -> Result<Self, ApiError> {
        Ok(Self {
            metadata: params.metadata("metadata")?,
            texts: [
                params.text_change("description")?,
                return_url(params)?,
                CardOptions::read(params)?.three_d_secure,
            ],
        })
    }

    fn apply(&self, details: &mut SetupDetails) {
        if let Some(change) = &self.metadata {
            merge_metadata(&mut details.metadata, change.clone());
        }
        let slots = [
            &mut details.description,
            &mut details.return_url,
            &mut details.request_three_d_secure,
        ];
        for (slot, change) in slots.into_iter().zip(&self.texts) {
            if let Some(value) = change {
                slot.clone_from(value);
            }
        }
    }
}
