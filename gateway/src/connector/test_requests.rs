//! Requests as the connectors' tests make them: dollars, and nothing that a test does not care about.

use super::{Capture, Inquiry, Raise, Return};

/// All that is taken, at once.
pub(super) fn capture<'a>(reference: &'a str, acquirer_id: &'a str, amount: i64) -> Capture<'a> {
    Capture {
        reference,
        acquirer_id,
        amount,
        currency: "usd",
        taken: 0,
        last: true,
    }
}

/// A part, after what was taken before.
pub(super) fn part<'a>(reference: &'a str, acquirer_id: &'a str, amount: i64, taken: i64) -> Capture<'a> {
    Capture {
        taken,
        last: false,
        ..capture(reference, acquirer_id, amount)
    }
}

pub(super) fn raise<'a>(reference: &'a str, acquirer_id: &'a str, from: i64, amount: i64) -> Raise<'a> {
    Raise {
        reference,
        acquirer_id,
        amount,
        from,
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
        raised: None,
        currency: "usd",
    }
}
