//! How an authorization stands: what follows from all that was said to the host about it, as the journal has it.
//!
//! Pure: it must never guess. Whatever is still on its way is processing.

use super::host::{approval, with_ids};
use super::journal::{Entry, Kind, State};
use super::words::{self, Response};
use crate::connector::{Failure, Found};

/// An authorization, and everything that was said about it, oldest first.
pub(super) struct Standing {
    pub authorized: Entry,
    pub all: Vec<Entry>,
}

/// What the acknowledged completions took, minor units.
pub(super) fn captured(all: &[Entry]) -> i64 {
    sum(all, |entry| {
        entry.kind == Kind::Completion && entry.state == State::Acknowledged
    })
}

impl Standing {
    /// What is authorized, approved raises included; minor units.
    pub(super) fn amount(&self) -> i64 {
        let raised = sum(&self.all, |entry| {
            entry.kind == Kind::Raise && entry.state == State::Approved
        });
        self.authorized.amount.saturating_add(raised)
    }

    /// What was taken, or is being taken, by other completions than this.
    pub(super) fn captured_but(&self, reference: &str) -> i64 {
        let counts = |entry: &Entry| matches!(entry.state, State::Sent | State::Acknowledged);
        sum(&self.all, |entry| {
            entry.kind == Kind::Completion && entry.reference != reference && counts(entry)
        })
    }

    /// Another completion after which none comes.
    pub(super) fn last_completion(&self, reference: &str) -> Option<&Entry> {
        self.all.iter().find(|entry| {
            entry.kind == Kind::Completion
                && entry.last
                && entry.reference != reference
                && matches!(entry.state, State::Sent | State::Acknowledged)
        })
    }

    /// Whether this reversal of a raise has arrived.
    pub(super) fn undone(&self, reference: &str) -> bool {
        self.all.iter().any(|entry| {
            entry.kind == Kind::Unraise && entry.reference == reference && entry.state == State::Acknowledged
        })
    }

    /// What an inquiry finds.
    pub(super) fn found(&self) -> Result<Found, Failure> {
        let authorized = &self.authorized;
        match authorized.state {
            State::NotSent => return Ok(Found::Nothing),
            State::Declined => {
                let code = authorized.response_code.as_deref().unwrap_or_default();
                return match words::response(code) {
                    Response::Declined(decline) => Ok(Found::Declined(with_ids(decline, authorized))),
                    _ => Err(Failure::Unknown(format!("a decline with the code {code}"))),
                };
            }
            _ => {}
        }
        let captured = captured(&self.all);
        let reversed = self
            .all
            .iter()
            .rev()
            .find(|entry| entry.kind == Kind::Reversal && entry.state != State::NotSent);
        let under_way = |entry: &&Entry| {
            matches!(entry.kind, Kind::Completion | Kind::Raise | Kind::Unraise) && entry.state == State::Sent
        };
        Ok(match reversed.map(|entry| entry.state) {
            Some(State::Acknowledged) if captured > 0 => self.captured(captured),
            Some(State::Acknowledged) => Found::Voided {
                acquirer_id: authorized.rrn.clone(),
            },
            Some(State::Sent) => Found::Processing,
            _ if authorized.state != State::Approved || self.all.iter().any(|entry| under_way(&entry)) => {
                Found::Processing
            }
            _ if self.last_completion("").is_some() => self.captured(captured),
            _ => Found::Authorized {
                approval: approval(authorized, false),
                amount: self.amount(),
                captured,
            },
        })
    }

    fn captured(&self, amount: i64) -> Found {
        Found::Captured {
            approval: approval(&self.authorized, true),
            amount,
        }
    }
}

fn sum(all: &[Entry], counts: impl Fn(&Entry) -> bool) -> i64 {
    let amounts = all.iter().filter(|entry| counts(entry)).map(|entry| entry.amount);
    amounts.fold(0, i64::saturating_add)
}
