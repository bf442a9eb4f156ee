//! The one transition function of an account: pure, total, and the only place where its status changes.
//!
//! | from | fact | to |
//! |---|---|---|
//! | draft, restricted | submitted (complete) | submitted |
//! | submitted | review started | under_review |
//! | submitted, under_review | sent back | draft |
//! | under_review | approved, by another than who submitted | active |
//! | active | restricted; its re-verification date has passed | restricted |
//! | active, restricted | suspended | suspended |
//! | restricted, suspended | reinstated, by another than who limited it | active |
//! | any but offboarded | end proposed | same |
//! | any but offboarded | offboarded, by another than who proposed it | offboarded |
//!
//! Any other pair is a [`Rejection`] without effect. The database holds the same pairs (`gateway.merchant_guard`). It must
//! never look at a clock, the database or the wire.

use super::rows::Merchant;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where an account stands. Only `Active` takes payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Status {
    Draft,
    Submitted,
    UnderReview,
    Active,
    Restricted,
    Suspended,
    Offboarded,
}

impl Status {
    /// All of them, in the order of an account's life.
    pub const ALL: [Status; 7] = [
        Status::Draft,
        Status::Submitted,
        Status::UnderReview,
        Status::Active,
        Status::Restricted,
        Status::Suspended,
        Status::Offboarded,
    ];

    /// The word on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Draft => "draft",
            Status::Submitted => "submitted",
            Status::UnderReview => "under_review",
            Status::Active => "active",
            Status::Restricted => "restricted",
            Status::Suspended => "suspended",
            Status::Offboarded => "offboarded",
        }
    }
}

/// What happened, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Fact {
    Submitted {
        by: String,
    },
    ReviewStarted {
        by: String,
    },
    SentBack {
        by: String,
        reason: String,
    },
    Approved {
        by: String,
        at: Timestamp,
        reverify_at: Timestamp,
    },
    /// the re-verification date has passed
    Lapsed {
        by: String,
        at: Timestamp,
    },
    Restricted {
        by: String,
        reason: String,
    },
    Suspended {
        by: String,
        reason: String,
    },
    Reinstated {
        by: String,
        at: Timestamp,
        reverify_at: Option<Timestamp>,
    },
    EndProposed {
        by: String,
        reason: String,
    },
    Offboarded {
        by: String,
    },
}

/// Why a fact does not fit; in the order of precedence in which they are checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The status does not allow it.
    #[error("an account that is {} does not allow this", status.as_str())]
    UnexpectedState {
        /// the status it has
        status: Status,
    },
    /// Maker and checker are one.
    #[error("who {did} must not decide about it: another key has to")]
    SamePerson {
        /// what the maker did
        did: &'static str,
    },
    /// Something is not on file.
    #[error("not on file: {}", missing.join(", "))]
    Incomplete {
        /// dotted names of what is missing
        missing: Vec<&'static str>,
    },
    /// The date of the next examination has passed, or lies beyond the end of the licence.
    #[error("the next examination must lie ahead, and before the licence ends")]
    ReverifyAt,
}

/// The account after the fact.
pub fn apply(account: &Merchant, fact: &Fact) -> Result<Merchant, Rejection> {
    use Status::*;
    let mut next = account.clone();
    let expect = |allowed: &[Status]| {
        let status = account.status;
        allowed
            .contains(&status)
            .then_some(())
            .ok_or(Rejection::UnexpectedState { status })
    };
    match fact {
        Fact::Submitted { by } => {
            expect(&[Draft, Restricted])?;
            complete(account)?;
            next.status = Submitted;
            next.status_reason = None;
            next.submitted_by = Some(by.clone());
        }
        Fact::ReviewStarted { by } => {
            expect(&[Submitted])?;
            next.status = UnderReview;
            next.decided_by = Some(by.clone());
        }
        Fact::SentBack { by, reason } => {
            expect(&[Submitted, UnderReview])?;
            next.status = Draft;
            decided(&mut next, by, Some(reason.as_str()));
        }
        Fact::Approved { by, at, reverify_at } => {
            expect(&[UnderReview])?;
            another(account.submitted_by.as_ref(), by, "filed the application")?;
            complete(account)?;
            activate(&mut next, by, *at, Some(*reverify_at))?;
        }
        Fact::Lapsed { by, at } => {
            expect(&[Active])?;
            if account.reverify_at.is_none_or(|due| due > *at) {
                return Err(Rejection::ReverifyAt);
            }
            next.status = Restricted;
            decided(&mut next, by, Some("The re-verification date has passed."));
        }
        Fact::Restricted { by, reason } => {
            expect(&[Active])?;
            next.status = Restricted;
            decided(&mut next, by, Some(reason.as_str()));
        }
        Fact::Suspended { by, reason } => {
            expect(&[Active, Restricted])?;
            next.status = Suspended;
            decided(&mut next, by, Some(reason.as_str()));
        }
        Fact::Reinstated { by, at, reverify_at } => {
            expect(&[Restricted, Suspended])?;
            another(account.decided_by.as_ref(), by, "limited the account")?;
            complete(account)?;
            activate(&mut next, by, *at, reverify_at.or(account.reverify_at))?;
        }
        Fact::EndProposed { by, reason } => {
            expect(&Status::ALL[..6])?;
            next.offboarding_by = Some(by.clone());
            next.status_reason = Some(reason.clone());
        }
        Fact::Offboarded { by } => {
            expect(&Status::ALL[..6])?;
            let proposed = account.offboarding_by.as_ref();
            if proposed.is_none() {
                return Err(Rejection::UnexpectedState { status: account.status });
            }
            another(proposed, by, "proposed the end of the account")?;
            next.status = Offboarded;
            next.decided_by = Some(by.clone());
        }
    }
    Ok(next)
}

fn activate(next: &mut Merchant, by: &str, at: Timestamp, reverify_at: Option<Timestamp>) -> Result<(), Rejection> {
    let licence = next.details.company.registration_expires_at;
    next.reverify_at = match (reverify_at, licence) {
        (Some(due), Some(licence)) => Some(due.min(licence)),
        (due, licence) => due.or(licence),
    };
    if next.reverify_at.is_none_or(|due| due <= at) {
        return Err(Rejection::ReverifyAt);
    }
    next.status = Status::Active;
    next.offboarding_by = None;
    decided(next, by, None);
    Ok(())
}

fn decided(next: &mut Merchant, by: &str, reason: Option<&str>) {
    next.decided_by = Some(by.to_owned());
    next.status_reason = reason.map(str::to_owned);
}

fn another(maker: Option<&String>, by: &str, did: &'static str) -> Result<(), Rejection> {
    match maker {
        Some(maker) if maker == by => Err(Rejection::SamePerson { did }),
        _ => Ok(()),
    }
}

fn complete(account: &Merchant) -> Result<(), Rejection> {
    let missing = account.missing();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Rejection::Incomplete { missing })
}

#[cfg(test)]
pub(crate) mod tests;
