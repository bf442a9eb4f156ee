//! Cards: what may be shown of them, and the checks made on them.

use super::{Empty, Null};
use crate::card::{Card, Method};
use crate::id::Named;
use crate::object::*;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct MethodView<'a> {
    id: Named,
    object: &'static str,
    allow_redisplay: &'static str,
    billing_details: BillingDetails,
    card: CardView<'a>,
    created: i64,
    customer: Null,
    customer_account: Null,
    livemode: bool,
    metadata: &'a Metadata,
    radar_options: Empty,
    #[serde(rename = "type")]
    kind: &'static str,
}

pub(super) fn method<'a>(row: &'a Method, metadata: &'a Metadata) -> MethodView<'a> {
    let card = &row.card;
    MethodView {
        id: row.id.named(StoredMethod::PREFIX),
        object: StoredMethod::OBJECT,
        allow_redisplay: "unspecified",
        billing_details: BillingDetails::default(),
        card: CardView {
            brand: card.brand(),
            checks: checks(card),
            country: "US",
            display_brand: card.brand(),
            exp_month: card.exp_month,
            exp_year: card.exp_year,
            fingerprint: fingerprint(card),
            funding: card.behaviour().funding,
            generated_from: None,
            last4: &card.last4,
            networks: Networks {
                available: [card.brand()],
                preferred: None,
            },
            regulated_status: "unregulated",
            three_d_secure_usage: Usage { supported: true },
            wallet: None,
        },
        created: row.created,
        customer: None,
        customer_account: None,
        livemode: false,
        metadata,
        radar_options: Empty {},
        kind: "card",
    }
}

pub(super) fn checks(card: &Card) -> Checks {
    let behaviour = card.behaviour();
    Checks {
        address_line1_check: behaviour.line1_check,
        address_postal_code_check: behaviour.zip_check,
        cvc_check: card.cvc_given.then_some(behaviour.cvc_check),
    }
}

pub(super) fn fingerprint(card: &Card) -> String {
    format!("{:016x}", card.fingerprint)
}

/// For cards shown inside other objects.
pub(super) static NO_METADATA: Metadata = Metadata::EMPTY;

#[derive(Serialize)]
pub(super) struct Checks {
    address_line1_check: &'static str,
    address_postal_code_check: &'static str,
    cvc_check: Option<&'static str>,
}

part!(CardView<'a> {
    brand: &'static str,
    checks: Checks,
    country: &'static str,
    display_brand: &'static str,
    exp_month: u8,
    exp_year: u16,
    fingerprint: String,
    funding: &'static str,
    generated_from: Null,
    last4: &'a str,
    networks: Networks,
    regulated_status: &'static str,
    three_d_secure_usage: Usage,
    wallet: Null,
});
part!(Networks { available: [&'static str; 1], preferred: Null });
part!(Usage { supported: bool });
#[derive(Default, Serialize)]
pub(super) struct BillingDetails {
    address: Address,
    email: Null,
    name: Null,
    phone: Null,
    tax_id: Null,
}

#[derive(Default, Serialize)]
struct Address {
    city: Null,
    country: Null,
    line1: Null,
    line2: Null,
    postal_code: Null,
    state: Null,
}
