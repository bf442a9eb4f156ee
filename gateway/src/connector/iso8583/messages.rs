//! The messages: which elements each of them has.
//!
//! It must never put a card number into anything but the 0100, nor a card's code into anything but its DE 48.

use super::codec::Message;
use super::host::Host;
use super::journal::{Entry, Kind};
use super::words;
use crate::connector::integrity::{Asked, Told};
use crate::connector::{Authorize, CardSource, Failure};

impl Host {
    /// The 0100, without its trace.
    pub(super) fn authorization(&self, request: &Authorize) -> Result<Message, Failure> {
        let CardSource::Number {
            number,
            exp_month,
            exp_year,
            cvc,
        } = &request.card
        else {
            return Err(Failure::NotSent("the bank takes card numbers alone".to_owned()));
        };
        let mut private = vec![(words::REFERENCE, request.reference.as_str())];
        if let Some(cvc) = cvc {
            private.push((words::CARD_CODE, cvc.as_str()));
        }
        let name: String = request
            .statement_descriptor
            .iter()
            .flat_map(|text| text.chars())
            .filter(|c| (' '..='~').contains(c))
            .take(40)
            .collect();
        Ok(self
            .merchant(Message::new("0100"))
            .with(2, number.as_str())
            .with(3, PURCHASE)
            .with(4, amount(request.amount))
            .with(14, format!("{:02}{exp_month:02}", exp_year.rem_euclid(100)))
            .with(18, self.settings.merchant_category.as_str())
            .with(22, KEYED)
            .with(25, E_COMMERCE)
            .with(43, format!("{name:<40}"))
            .with(48, words::private(&private))
            .with(49, numeric(&request.currency)?))
    }

    /// The 0100 that asks for more of an approved authorization: it names that one, and no card.
    pub(super) fn raise_message(&self, entry: &Entry, authorized: &Entry) -> Message {
        let message = self
            .merchant(Message::new("0100"))
            .with(3, PURCHASE)
            .with(4, amount(entry.amount))
            .with(18, self.settings.merchant_category.as_str())
            .with(22, KEYED)
            .with(25, E_COMMERCE)
            .with(48, words::private(&[(words::REFERENCE, &entry.reference)]))
            .with(49, words::numeric(&entry.currency).unwrap_or("999"))
            .with(90, self.original(authorized));
        traced(message, entry)
    }

    /// An advice about an authorization, as it is sent for the first or a further time. `taken`: what was captured of it
    /// before it is reversed, which stays (DE 95).
    pub(super) fn advice(&self, entry: &Entry, original: Option<&Entry>, taken: i64) -> Message {
        let again = entry.attempts > 0;
        let (mti, processing) = match (entry.kind, again) {
            (Kind::Reversal | Kind::Unraise, false) => ("0420", PURCHASE),
            (Kind::Reversal | Kind::Unraise, true) => ("0421", PURCHASE),
            (kind, again) => (
                if again { "0221" } else { "0220" },
                if kind == Kind::Refund { REFUND } else { PURCHASE },
            ),
        };
        let mut private = vec![(words::REFERENCE, entry.reference.as_str())];
        if entry.kind == Kind::Completion && !entry.last {
            private.push((words::MORE_FOLLOWS, "1"));
        }
        let mut message = self
            .merchant(Message::new(mti))
            .with(3, processing)
            .with(4, amount(entry.amount))
            .with(25, E_COMMERCE)
            .with(48, words::private(&private))
            // Only currencies of the table have been accepted.
            .with(49, words::numeric(&entry.currency).unwrap_or("999"));
        if let Some(original) = original {
            message = message.with(90, self.original(original));
        }
        if entry.kind == Kind::Reversal && taken > 0 {
            message = message.with(95, format!("{}{:0<30}", amount(taken), ""));
        }
        traced(message, entry)
    }

    /// DE 90: a message of ours by its type, trace, time and sender.
    fn original(&self, entry: &Entry) -> String {
        format!(
            "0100{}{}{:0>11}{:0>11}",
            entry.stan, entry.transmitted, self.settings.institution_id, 0
        )
    }

    fn merchant(&self, message: Message) -> Message {
        message
            .with(32, self.settings.institution_id.as_str())
            .with(41, format!("{:<8}", self.settings.terminal_id))
            .with(42, format!("{:<15}", self.settings.merchant_id))
    }
}

pub(super) fn traced(message: Message, entry: &Entry) -> Message {
    message
        .with(7, entry.transmitted.as_str())
        .with(11, entry.stan.as_str())
        .with(12, &entry.transmitted[4..])
        .with(13, &entry.transmitted[..4])
        .with(37, entry.rrn.as_str())
}

pub(super) fn asked(entry: &Entry) -> Asked<'_> {
    Asked {
        reference: &entry.rrn,
        amount: entry.amount,
        currency: &entry.currency,
    }
}

/// What an answer repeats. The RRN is its reference; a currency that is none of ours is told as it came.
pub(super) fn told(answer: &Message) -> Told<'_> {
    Told {
        reference: answer.get(37),
        amount: answer.get(4).and_then(|text| text.parse().ok()),
        currency: answer.get(49).map(|code| words::currency(code).unwrap_or(code)),
    }
}

fn amount(minor: i64) -> String {
    format!("{minor:012}")
}

fn numeric(currency: &str) -> Result<&'static str, Failure> {
    words::numeric(currency).ok_or_else(|| Failure::NotSent(format!("the bank takes no {currency}")))
}

/// Processing codes (DE 3).
const PURCHASE: &str = "000000";
const REFUND: &str = "200000";
/// DE 22: number keyed or stored, no PIN; DE 25: electronic commerce.
const KEYED: &str = "010";
const E_COMMERCE: &str = "59";
