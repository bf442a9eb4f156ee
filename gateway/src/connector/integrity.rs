//! What the acquirer echoes, compared with what we asked: amount, currency, reference.
//!
//! An answer about another amount, currency or payment than ours is not an answer to our question, whatever it says. It must
//! never be taken as an approval, and never as a decline either.

use super::{Failure, Mismatch};

/// Ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub reference: &'a str,
    pub amount: i64,
    pub currency: &'a str,
}

/// Theirs, as far as they say it; amounts in our minor units.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told<'a> {
    pub reference: Option<&'a str>,
    pub amount: Option<i64>,
    pub currency: Option<&'a str>,
}

/// Nothing, when everything that they say is ours.
pub(super) fn compare(asked: Asked<'_>, told: Told<'_>) -> Result<(), Failure> {
    let wrong = |field: &str, ours: String, theirs: String| {
        tracing::error!(
            reference = asked.reference,
            field,
            ours,
            theirs,
            "the acquirer's answer is about something else than was asked"
        );
        Err(Failure::Mismatch(Mismatch::new(field, ours, theirs)))
    };
    if let Some(reference) = told.reference.filter(|told| *told != asked.reference) {
        return wrong("reference", asked.reference.to_owned(), reference.to_owned());
    }
    if let Some(currency) = told.currency.filter(|told| !told.eq_ignore_ascii_case(asked.currency)) {
        return wrong("currency", asked.currency.to_owned(), currency.to_owned());
    }
    if let Some(amount) = told.amount.filter(|told| *told != asked.amount) {
        return wrong("amount", asked.amount.to_string(), amount.to_string());
    }
    Ok(())
}
