//! The one transition function of a dispute: pure, total, and the only place where its status and money change.
//!
//! [`apply`] takes where a dispute stands and a fact that the acquirer told, and gives where it stands then with the
//! movements of money, or a [`Rejection`]. A fact has a kind and carries the acquirer's status. The two are merged apart:
//!
//! *Status* only moves up this ladder, so that a late fact never takes it back: `warning_needs_response`,
//! `warning_under_review`, `warning_closed`, `needs_response`, `under_review`, then `won`, `lost` or `prevented`.
//!
//! *Money* follows the kinds that say that money moved, each once:
//!
//! | funds | fact | funds after | journals | event |
//! |---|---|---|---|---|
//! | none | inquiry (`warning_*`) | none | – | – |
//! | none | status `needs_response`, `under_review` or `lost` for the first time | none | J20: hold, the debit will come; what is held for cases is taken over | – |
//! | none | status `won`, `prevented` | none | J22 of what is held | – |
//! | none | funds withdrawn | withdrawn | J11 J12, J11b for what is not held yet, J22 for what is held too much | charge.dispute.funds_withdrawn |
//! | none, withdrawn | .. and status `lost` | lost | .. and J15 | – |
//! | none | funds reinstated: the withdrawal is still on its way | reinstated | J11 J12 J14a, J14c of what is held | both |
//! | withdrawn | funds reinstated | reinstated | J14a J14c | charge.dispute.funds_reinstated |
//! | lost | funds reinstated | reinstated | J27: a person decides whose it is | charge.dispute.funds_reinstated |
//! | withdrawn, lost, reinstated | funds withdrawn, the same amount | same | already applied | – |
//! | reinstated | funds reinstated, the same amount | same | already applied | – |
//! | any but none | money facts of another amount | – | refused | – |
//! | any | funds withdrawn, for the second time (second chargeback, J14b) | – | refused | – |
//!
//! Further events: `charge.dispute.created` at the first fact of whatever kind, `charge.dispute.closed` when the status
//! becomes `won`, `lost`, `prevented` or `warning_closed`, else `charge.dispute.updated` when it changed. A second closing
//! status that contradicts the first is refused. The dispute fee is not returned on a win.
//!
//! It must never look at a clock, the database or the wire, nor book a fact because it was announced.

use super::rows::{Dispute, Operation};
use crate::connector::DisputeReport;
use ledger::JournalCode;
use serde::{Deserialize, Serialize};

/// Where a dispute stands; Stripe's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Status {
    WarningNeedsResponse,
    WarningUnderReview,
    WarningClosed,
    NeedsResponse,
    UnderReview,
    Won,
    Lost,
    Prevented,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 8] = [
        Status::WarningNeedsResponse,
        Status::WarningUnderReview,
        Status::WarningClosed,
        Status::NeedsResponse,
        Status::UnderReview,
        Status::Won,
        Status::Lost,
        Status::Prevented,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::WarningNeedsResponse => "warning_needs_response",
            Status::WarningUnderReview => "warning_under_review",
            Status::WarningClosed => "warning_closed",
            Status::NeedsResponse => "needs_response",
            Status::UnderReview => "under_review",
            Status::Won => "won",
            Status::Lost => "lost",
            Status::Prevented => "prevented",
        }
    }

    /// The status with this word.
    pub fn parse(word: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// No money has moved and none is about to.
    pub fn is_inquiry(self) -> bool {
        self.rung() <= 2
    }

    /// Nothing more is expected (an inquiry may still become a chargeback).
    pub fn is_closed(self) -> bool {
        self == Status::WarningClosed || self.rung() == 5
    }

    /// How far along it is; status only moves to a higher rung.
    fn rung(self) -> u8 {
        match self {
            Status::WarningNeedsResponse => 0,
            Status::WarningUnderReview => 1,
            Status::WarningClosed => 2,
            Status::NeedsResponse => 3,
            Status::UnderReview => 4,
            Status::Won | Status::Lost | Status::Prevented => 5,
        }
    }

    /// Whether the network has debited or is about to.
    fn debit_expected(self) -> bool {
        matches!(self, Status::NeedsResponse | Status::UnderReview | Status::Lost)
    }
}

/// Where the disputed money is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Funds {
    /// nothing moved
    None,
    /// the network took it, the outcome is open
    Withdrawn,
    /// the network gave it back
    Reinstated,
    /// the network keeps it
    Lost,
}

/// The part of a dispute that transitions depend on; amounts in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// the acquirer's word
    pub status: Status,
    /// where the money is
    pub funds: Funds,
    /// the principal; fixed once it was taken
    pub amount: i64,
    /// of the merchant's money, how much is frozen for it
    pub held: i64,
    /// the dispute fee charged with the withdrawal
    pub fee: i64,
}

impl Standing {
    /// What this dispute takes out of what may be refunded: held, taken or lost.
    pub fn exposure(&self) -> i64 {
        match self.funds {
            Funds::None => self.held,
            Funds::Withdrawn | Funds::Lost => self.amount,
            // until a person has decided, as if lost
            Funds::Reinstated if self.is_contrary() => self.amount,
            Funds::Reinstated => 0,
        }
    }

    /// Lost, and yet the money came back: a person must look.
    pub fn is_contrary(&self) -> bool {
        self.status == Status::Lost && self.funds == Funds::Reinstated
    }
}

/// What the acquirer told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    /// what is new
    pub kind: DisputeReport,
    /// the dispute's status in the same message
    pub status: Status,
    /// principal, minor units
    pub amount: i64,
    /// dispute fee taken with the withdrawal, minor units
    pub fee: i64,
    /// how often the principal was taken so far
    pub withdrawals: usize,
    /// frozen already for cases of the same payment, minor units: a hold that this dispute takes over instead of another
    pub inherited: i64,
}

/// A movement of money in minor units; the journal that books it is [`Movement::code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    /// the network took the principal
    Taken(i64),
    /// the dispute fee, and charging it on
    Fee(i64),
    /// freeze the merchant's money before the debit
    HoldOnNotice(i64),
    /// freeze it because of the debit
    Hold(i64),
    /// the network gave the principal back
    Returned(i64),
    /// unfreeze after that
    ReleaseReturned(i64),
    /// unfreeze what no debit was made for
    ReleaseUndebited(i64),
    /// the merchant bears it
    Lost(i64),
    /// principal that came back after the loss was booked
    Unmatched(i64),
}

impl Movement {
    /// The journal that books it.
    pub fn code(self) -> JournalCode {
        match self {
            Movement::Taken(_) => JournalCode::J11,
            Movement::Fee(_) => JournalCode::J12,
            Movement::HoldOnNotice(_) => JournalCode::J20,
            Movement::Hold(_) => JournalCode::J11b,
            Movement::Returned(_) => JournalCode::J14a,
            Movement::ReleaseReturned(_) => JournalCode::J14c,
            Movement::ReleaseUndebited(_) => JournalCode::J22,
            Movement::Lost(_) => JournalCode::J15,
            Movement::Unmatched(_) => JournalCode::J27,
        }
    }
}

/// A transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// where the dispute stands after it
    pub standing: Standing,
    /// in the order in which they are booked
    pub movements: Vec<Movement>,
    /// event types, in order
    pub events: Vec<&'static str>,
    /// what was frozen for cases is frozen for this dispute now
    pub inherits: bool,
}

/// Why a fact changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// An amount is not positive, or a fee is negative.
    #[error("the amount of a dispute must be positive, its fee not negative")]
    NotPositive,
    /// Taken a second time after it was given back (J14b): a person must book it.
    #[error("the principal was taken again after it had been given back")]
    TakenAgain,
    /// Money that moved is not the money that was booked: a person must look.
    #[error("{reported} was reported where {booked} is booked")]
    AmountDiffers {
        /// minor units in the books
        booked: i64,
        /// minor units in the fact
        reported: i64,
    },
    /// It was closed with another outcome: a person must look.
    #[error("reported as {} after it was closed as {}", reported.as_str(), status.as_str())]
    Contradicts {
        /// how it was closed
        status: Status,
        /// what is reported now
        reported: Status,
    },
    /// A repeat, or older than what is known. Nothing to do.
    #[error("already applied")]
    AlreadyApplied,
}

/// Where the dispute stands after the fact; `None` is a dispute never heard of.
pub fn apply(known: Option<&Standing>, fact: &Fact) -> Result<Step, Rejection> {
    if fact.amount <= 0 || fact.fee < 0 {
        return Err(Rejection::NotPositive);
    }
    let withdrawal = fact.kind == DisputeReport::FundsWithdrawn;
    let reinstatement = fact.kind == DisputeReport::FundsReinstated;
    if withdrawal && fact.withdrawals > 1 {
        return Err(Rejection::TakenAgain);
    }
    let before = known.cloned().unwrap_or(Standing {
        status: fact.status,
        funds: Funds::None,
        amount: fact.amount,
        held: 0,
        fee: 0,
    });
    let mut next = before.clone();
    next.status = merged(before.status, fact.status, withdrawal || reinstatement)?;
    if before.funds != Funds::None && (withdrawal || reinstatement) && fact.amount != before.amount {
        return Err(Rejection::AmountDiffers {
            booked: before.amount,
            reported: fact.amount,
        });
    }
    let current = fact.status.rung() >= before.status.rung();
    if before.funds == Funds::None && (withdrawal || reinstatement || current) {
        next.amount = fact.amount;
    }

    let amount = next.amount;
    let mut movements = Vec::new();
    let taken = before.funds == Funds::None && (withdrawal || reinstatement);
    if taken {
        movements.push(Movement::Taken(amount));
        if fact.fee > 0 {
            movements.push(Movement::Fee(fact.fee));
        }
        next.fee = fact.fee;
        next.funds = Funds::Withdrawn;
    }
    let returned = reinstatement && before.funds != Funds::Reinstated;
    if returned {
        movements.push(if before.funds == Funds::Lost {
            Movement::Unmatched(amount)
        } else {
            Movement::Returned(amount)
        });
        next.funds = Funds::Reinstated;
    }
    let wanted = match next.funds {
        Funds::None if next.status.debit_expected() => amount,
        Funds::Withdrawn => amount,
        Funds::None | Funds::Reinstated | Funds::Lost => 0,
    };
    let inherits = wanted > 0;
    let held = before.held + if inherits { fact.inherited } else { 0 };
    if wanted > held {
        let more = wanted - held;
        movements.push(if next.funds == Funds::None {
            Movement::HoldOnNotice(more)
        } else {
            Movement::Hold(more)
        });
    } else if wanted < held {
        let less = held - wanted;
        movements.push(if next.funds == Funds::Reinstated {
            Movement::ReleaseReturned(less)
        } else {
            Movement::ReleaseUndebited(less)
        });
    }
    next.held = wanted;
    if next.funds == Funds::Withdrawn && next.status == Status::Lost {
        movements.push(Movement::Lost(amount));
        next.funds = Funds::Lost;
        next.held = 0;
    }

    let first = known.is_none();
    if !first && next == before {
        return Err(Rejection::AlreadyApplied);
    }
    let changed = first || next.status != before.status;
    let mut events = Vec::new();
    if first {
        events.push("charge.dispute.created");
    } else if changed && !next.status.is_closed() {
        events.push("charge.dispute.updated");
    }
    if taken {
        events.push("charge.dispute.funds_withdrawn");
    }
    if returned {
        events.push("charge.dispute.funds_reinstated");
    }
    if changed && next.status.is_closed() {
        events.push("charge.dispute.closed");
    }
    if events.is_empty() {
        // only the amount moved, before any debit
        events.push("charge.dispute.updated");
    }
    Ok(Step {
        standing: next,
        movements,
        events,
        inherits,
    })
}

/// The higher rung. Money that moved is never refused over words: there the status that is known stays.
fn merged(known: Status, reported: Status, money: bool) -> Result<Status, Rejection> {
    match reported.rung().cmp(&known.rung()) {
        std::cmp::Ordering::Greater => Ok(reported),
        std::cmp::Ordering::Equal if reported != known && !money => Err(Rejection::Contradicts {
            status: known,
            reported,
        }),
        _ => Ok(known),
    }
}

/// Why a response cannot be given; in the order of precedence in which they are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Another response is on its way.
    #[error("another response to this dispute is on its way to the acquirer")]
    InProgress,
    /// The network takes evidence once.
    #[error("evidence for this dispute has already been submitted")]
    AlreadySubmitted,
    /// It is not the merchant's turn.
    #[error("a dispute with status {} takes no response", .0.as_str())]
    Status(Status),
    /// The network allows no answer to this dispute.
    #[error("this dispute cannot be answered")]
    NoResponse,
    /// Too late.
    #[error("evidence was due earlier")]
    PastDue,
}

/// Whether a response may be given now. Accepting has no deadline and needs no right to answer.
pub fn may(dispute: &Dispute, operation: Operation, at: jiff::Timestamp) -> Result<(), Denied> {
    if dispute.operation.is_some() {
        return Err(Denied::InProgress);
    }
    if dispute.submission_count > 0 && operation == Operation::Submit {
        return Err(Denied::AlreadySubmitted);
    }
    if !matches!(dispute.status, Status::NeedsResponse | Status::WarningNeedsResponse) {
        return Err(Denied::Status(dispute.status));
    }
    match (operation, dispute.due_by) {
        (Operation::Close, _) => Ok(()),
        (Operation::Submit, None) => Err(Denied::NoResponse),
        (Operation::Submit, Some(due_by)) if at > due_by => Err(Denied::PastDue),
        (Operation::Submit, Some(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
