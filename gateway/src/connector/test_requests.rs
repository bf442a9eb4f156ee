//! Requests as the connectors' tests make them: dollars, and nothing that a test does not care about.

use super::{Capture, Inquiry, Return};

pub(super) fn capture<'a>(reference: &'a str, acquirer_id: &'a str, amount: i64) -> Capture<'a> {
    Capture {
        reference,
        acquirer_id,
        amount,
        currency: "usd",
    }
}

pub(super) fn back<'a>(reference: &'a str, acquirer_id: &'a str, amount: i64, reason: Option<&'a str>) -> Return<'a> {
    Return {
        reference,
        acquirer_id,
        amount,
        currency: "usd",
        reason,
    }
}

pub(super) fn ask<'a>(reference: &'a str, acquirer_id: Option<&'a str>) -> Inquiry<'a> {
    Inquiry {
        reference,
        acquirer_id,
        amount: 2000,
        currency: "usd",
    }
}
