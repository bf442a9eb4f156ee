//! The one transition function of a dispute: pure, total, and the only place where its stage and money change.
//!
//! [`apply`] takes where a dispute stands and what the acquirer told, and gives where it stands then with the movements of money, or a
//! [`Rejection`]. An acquirer tells three things in one message, and they are merged apart, so that repeats, skipped messages and any
//! order end in the same:
//!
//! *Money* is the acquirer's own list of balance transactions, which only grows: principal taken and returned by turns, each with its
//! fee, and fees alone. The nth of its kind is booked once, whoever tells it. An announcement books nothing.
//!
//! *Words* (status and phase) have a rank: the round (how often the principal was taken), the phase, then the ladder of [`Status`]. Only
//! a higher rank moves the dispute on, through the lines of [`stage::TABLE`].
//!
//! *The hold* follows both: what is contested is frozen, before the debit what is announced. Lost principal is paid from it.
//!
//! Money that contradicts an outcome which is final goes to suspense (J27) and a person decides; words that do are refused. Fees are
//! charged on as the acquirer takes them, and given back as it gives them back. It must never look at a clock, the database or the
//! wire, nor clip an amount.

use super::rows::{Dispute, Operation};
use super::stage::{self, Event, Stage};
pub use super::status::Status;
use crate::connector::{DisputeMove, DisputePhase};
use ledger::JournalCode;
use serde::{Deserialize, Serialize};

/// Far above what a card can pay in any currency, and far from where sums overflow.
const MAX_AMOUNT: i64 = 1_000_000_000_000;
/// Of one dispute: each round has two, and a fee or two.
const MAX_MOVES: usize = 50;

/// Who bears a loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bearer {
    /// out of what is frozen (J15)
    #[default]
    Merchant,
    /// the platform's expense; what is frozen goes back to the merchant (J16)
    Platform,
}

/// The part of a dispute that transitions depend on; amounts in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// where it stands in the procedure
    pub stage: Stage,
    /// the same in the acquirer's words
    pub status: Status,
    /// how new the acquirer's last word is
    pub rank: i16,
    /// what is disputed, as it was told last
    pub amount: i64,
    /// principal that the network has, outcome open (account 1130)
    pub contested: i64,
    /// principal that is gone for good
    pub lost: i64,
    /// of the merchant's money, how much is frozen for it (account 2110)
    pub held: i64,
    /// fees charged on, less those given back
    pub fee: i64,
    /// how often principal was taken
    pub takings: i16,
    /// how often principal was returned
    pub returns: i16,
    /// how many fees came alone
    pub charges: i16,
    /// who bears a loss
    pub borne_by: Bearer,
}

impl Standing {
    /// What this dispute takes out of what may be refunded: frozen, contested or lost.
    pub fn exposure(&self) -> i64 {
        self.held.max(self.contested) + self.lost
    }
}

/// What the acquirer told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// its word
    pub status: Status,
    /// in which phase of the procedure
    pub phase: DisputePhase,
    /// what is disputed, minor units
    pub amount: i64,
    /// every movement so far, oldest first
    pub moves: Vec<DisputeMove>,
    /// frozen already for cases of the same payment, minor units: a hold that this dispute takes over instead of another
    pub inherited: i64,
}

impl Fact {
    /// Round, phase and rung: only a higher one is news.
    pub fn rank(&self) -> i16 {
        let takings = self.moves.iter().filter(|m| m.amount < 0).count();
        let round = i16::try_from(takings.clamp(1, 100)).unwrap_or(100);
        let phase = match self.phase {
            DisputePhase::First | DisputePhase::Provisional => 0,
            DisputePhase::PreArbitration => 1,
            DisputePhase::Arbitration => 2,
        };
        round * 100 + phase * 10 + self.status.rung(self.phase)
    }
}

/// What is settled by agreement rather than by the networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// money that came back is the merchant's at once; otherwise when it can no longer be taken again
    pub release_provisional_wins: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            release_provisional_wins: true,
        }
    }
}

/// A movement of money in minor units; the journal that books it is [`Movement::code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    /// the network took the principal
    Taken(i64),
    /// .. once more, after it had been given back
    TakenAgain(i64),
    /// the fee of the dispute, and charging it on
    Fee(i64),
    /// a fee for answering, filing or arbitration, and charging it on
    CounterFee(i64),
    /// a fee given back, to the merchant too
    FeeReturned(i64),
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
    /// the platform bears it
    LostByPlatform(i64),
    /// principal that came back (or, negative, was taken) against a final outcome
    Unmatched(i64),
}

impl Movement {
    /// The journal that books it.
    pub fn code(self) -> JournalCode {
        match self {
            Movement::Taken(_) => JournalCode::J11,
            Movement::TakenAgain(_) => JournalCode::J14b,
            Movement::Fee(_) => JournalCode::J12,
            Movement::CounterFee(_) | Movement::FeeReturned(_) => JournalCode::J13,
            Movement::HoldOnNotice(_) => JournalCode::J20,
            Movement::Hold(_) => JournalCode::J11b,
            Movement::Returned(_) => JournalCode::J14a,
            Movement::ReleaseReturned(_) => JournalCode::J14c,
            Movement::ReleaseUndebited(_) => JournalCode::J22,
            Movement::Lost(_) => JournalCode::J15,
            Movement::LostByPlatform(_) => JournalCode::J16,
            Movement::Unmatched(_) => JournalCode::J27,
        }
    }
}

/// What a person must decide; amounts in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// principal came back after the loss was final
    ReturnedAfterLoss(i64),
    /// principal was taken after the win was final
    TakenAfterWin(i64),
    /// more came back than had been taken
    ReturnedTooMuch(i64),
    /// won for good, and this much has not come back
    NotReturned(i64),
}

/// A transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// where the dispute stands after it
    pub standing: Standing,
    /// in the order in which they are booked
    pub movements: Vec<Movement>,
    /// the acquirer's movements that are booked by it
    pub moves: Vec<DisputeMove>,
    /// for the queue of exceptions
    pub exceptions: Vec<Exception>,
    /// event types, in order
    pub events: Vec<&'static str>,
    /// the lines of the table that it took: stage before, and event
    pub path: Vec<(Option<Stage>, Event)>,
    /// what was frozen for cases is frozen for this dispute now
    pub inherits: bool,
}

/// Why a fact changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The disputed amount is not positive, or an amount is beyond anything that a card can pay.
    #[error("the amounts of a dispute must be possible ones, and what is disputed positive")]
    Impossible,
    /// It is over with another outcome: a person must look.
    #[error("reported as {} after it was {}", reported.as_str(), stage.as_str())]
    Contradicts {
        /// where it stands
        stage: Stage,
        /// what is reported now
        reported: Status,
    },
    /// A repeat, or older than what is known. Nothing to do.
    #[error("already applied")]
    AlreadyApplied,
}

/// Where the dispute stands after the fact; `None` is a dispute never heard of.
///
/// # Errors
/// When there is nothing to do, or nothing that fits.
pub fn apply(known: Option<&Standing>, fact: &Fact, policy: Policy) -> Result<Step, Rejection> {
    let possible = |amount: i64| (-MAX_AMOUNT..=MAX_AMOUNT).contains(&amount);
    let moves = fact.moves.iter().all(|m| possible(m.amount) && possible(m.fee));
    if fact.amount <= 0 || !possible(fact.amount) || !moves || fact.moves.len() > MAX_MOVES {
        return Err(Rejection::Impossible);
    }
    let mut course = Course::from(known, fact, policy);
    let news = known.is_none_or(|known| fact.rank() > known.rank);
    let fresh = course.fresh(fact);
    if news && course.next.takings == 0 && course.next.lost == 0 {
        course.next.amount = fact.amount;
    }
    // A return that is told together with the loss came after it.
    let lost = news && fact.status == Status::Lost && fact.phase != DisputePhase::Provisional;
    let late = usize::from(lost && fresh.last().is_some_and(|m| m.amount > 0));
    let (before, after) = fresh.split_at(fresh.len() - late);
    for moved in before {
        course.money(moved);
    }
    let mut fits = true;
    if news {
        fits = course.words(fact);
    } else if let Some(known) = known {
        let same_place = fact.rank() == known.rank && fact.status != known.status;
        fits = !(same_place && fact.status.is_closed());
    }
    for moved in after {
        course.money(moved);
    }
    // Money that moved is never refused over words.
    if !fits && fresh.is_empty() {
        return Err(Rejection::Contradicts {
            stage: course.next.stage,
            reported: fact.status,
        });
    }
    course.end(known)
}

/// Where the dispute stands when the time is over in which it could have gone on.
///
/// # Errors
/// When nothing was waited for.
pub fn window_over(known: &Standing, policy: Policy) -> Result<Step, Rejection> {
    let stage = stage::next(Some(known.stage), Event::WindowOver).ok_or(Rejection::AlreadyApplied)?;
    let mut course = Course::on(known.clone(), true, policy);
    course.path.push((Some(known.stage), Event::WindowOver));
    course.next.stage = stage;
    if stage == Stage::WonFinal && known.contested > 0 {
        course.exceptions.push(Exception::NotReturned(known.contested));
    }
    course.end(Some(known))
}

/// A transition under way.
struct Course {
    policy: Policy,
    /// it has a stage
    began: bool,
    next: Standing,
    movements: Vec<Movement>,
    moves: Vec<DisputeMove>,
    exceptions: Vec<Exception>,
    funds: Vec<&'static str>,
    path: Vec<(Option<Stage>, Event)>,
    /// frozen for cases, and not taken over yet
    inherited: i64,
    inherits: bool,
}

impl Course {
    fn from(known: Option<&Standing>, fact: &Fact, policy: Policy) -> Self {
        let unheard = Standing {
            stage: Stage::InquiryOpen,
            status: fact.status,
            rank: 0,
            amount: fact.amount,
            contested: 0,
            lost: 0,
            held: 0,
            fee: 0,
            takings: 0,
            returns: 0,
            charges: 0,
            borne_by: Bearer::Merchant,
        };
        Self {
            inherited: fact.inherited,
            ..Self::on(known.cloned().unwrap_or(unheard), known.is_some(), policy)
        }
    }

    fn on(next: Standing, began: bool, policy: Policy) -> Self {
        Self {
            policy,
            began,
            next,
            movements: Vec::new(),
            moves: Vec::new(),
            exceptions: Vec::new(),
            funds: Vec::new(),
            path: Vec::new(),
            inherited: 0,
            inherits: false,
        }
    }

    /// The movements that are not booked yet: the nth taking is the nth, whatever else is in the list.
    fn fresh(&self, fact: &Fact) -> Vec<DisputeMove> {
        let (mut takings, mut returns, mut charges) = (0, 0, 0);
        let new = |m: &&DisputeMove| {
            let (seen, booked) = match m.amount {
                ..0 => (&mut takings, self.next.takings),
                0 => (&mut charges, self.next.charges),
                1.. => (&mut returns, self.next.returns),
            };
            *seen += 1;
            *seen > booked
        };
        fact.moves.iter().filter(new).cloned().collect()
    }

    fn stage(&self) -> Option<Stage> {
        self.began.then_some(self.next.stage)
    }

    /// Takes the line of the table, if there is one.
    fn go(&mut self, event: Event) -> bool {
        match stage::next(self.stage(), event) {
            Some(stage) => {
                self.path.push((self.stage(), event));
                self.next.stage = stage;
                self.began = true;
                true
            }
            None => false,
        }
    }

    fn money(&mut self, moved: &DisputeMove) {
        let first = self.next.takings == 0;
        match moved.amount {
            ..0 => {
                let amount = moved.amount.saturating_neg();
                let stage = self.stage();
                let event = if first { Event::Withdrawn } else { Event::TakenAgain };
                let contrary = stage == Some(Stage::WonFinal) || stage == Some(Stage::Prevented) && !first;
                self.go(event);
                if contrary {
                    self.movements.push(Movement::Unmatched(-amount));
                    self.exceptions.push(Exception::TakenAfterWin(amount));
                } else {
                    self.movements.push(if first {
                        Movement::Taken(amount)
                    } else {
                        Movement::TakenAgain(amount)
                    });
                    self.next.contested += amount;
                }
                self.next.takings += 1;
                self.tell("charge.dispute.funds_withdrawn");
            }
            0 => self.next.charges += 1,
            amount @ 1.. => {
                self.close_loss();
                self.go(Event::Reinstated);
                let returned = amount.min(self.next.contested);
                if returned > 0 {
                    self.movements.push(Movement::Returned(returned));
                    self.next.contested -= returned;
                }
                if returned < amount {
                    let rest = amount - returned;
                    self.movements.push(Movement::Unmatched(rest));
                    self.exceptions.push(if self.next.lost > 0 {
                        Exception::ReturnedAfterLoss(rest)
                    } else {
                        Exception::ReturnedTooMuch(rest)
                    });
                }
                self.next.returns += 1;
                self.tell("charge.dispute.funds_reinstated");
            }
        }
        match moved.fee {
            0 => {}
            ..0 => self.movements.push(Movement::FeeReturned(moved.fee.saturating_neg())),
            fee if first && moved.amount < 0 => self.movements.push(Movement::Fee(fee)),
            fee => self.movements.push(Movement::CounterFee(fee)),
        }
        self.next.fee = self.next.fee.saturating_add(moved.fee);
        self.moves.push(moved.clone());
    }

    /// Follows the acquirer's words; `false` when they contradict an outcome.
    fn words(&mut self, fact: &Fact) -> bool {
        if matches!(fact.phase, DisputePhase::PreArbitration | DisputePhase::Arbitration) {
            // Who speaks of a later phase implies that the first one was lost.
            self.go(Event::Upheld);
        }
        let fits = self.go(self.event(fact)) || {
            let stage = self.next.stage;
            let over = stage.is_final() || stage.word().is_some_and(Status::is_closed) && fact.status.is_closed();
            stage.word() == Some(fact.status) || !over
        };
        if fact.phase == DisputePhase::Arbitration && self.next.stage == Stage::PrearbFiled {
            self.go(Event::Declined);
        }
        if fits {
            self.next.rank = fact.rank();
        }
        fits
    }

    /// What these words mean at this stage.
    fn event(&self, fact: &Fact) -> Event {
        let contest = matches!(fact.phase, DisputePhase::PreArbitration | DisputePhase::Arbitration);
        match (fact.status, self.stage()) {
            (Status::WarningNeedsResponse, _) => Event::Inquiry,
            (Status::WarningUnderReview, _) => Event::InquiryAnswered,
            (Status::WarningClosed, _) => Event::InquiryEnded,
            (Status::NeedsResponse, Some(Stage::WonProvisional | Stage::WonFinal)) => Event::Reopened,
            (Status::NeedsResponse, _) => Event::Notified,
            (Status::UnderReview, Some(Stage::PrearbFiled)) if contest => Event::Declined,
            (Status::UnderReview, Some(Stage::LostProvisional)) => Event::Filed,
            (Status::UnderReview, _) => Event::Submitted,
            (Status::Won, _) => Event::Won,
            (Status::Lost, _) if fact.phase == DisputePhase::Provisional => Event::Upheld,
            (Status::Lost, _) => Event::Lost,
            (Status::Prevented, _) => Event::Prevented,
        }
    }

    fn tell(&mut self, event: &'static str) {
        if !self.funds.contains(&event) {
            self.funds.push(event);
        }
    }

    /// Freezes what is at stake, and no more.
    fn hold(&mut self) {
        let next = &self.next;
        let kept = next.stage == Stage::WonProvisional && next.takings > 0 && !self.policy.release_provisional_wins;
        let wanted = if next.contested > 0 {
            next.contested
        } else if kept || next.lost == 0 && next.stage.debit_expected() {
            next.amount
        } else {
            0
        };
        if wanted > 0 {
            self.inherits = true;
            self.next.held += std::mem::take(&mut self.inherited);
        }
        let next = &self.next;
        if wanted > next.held {
            let more = wanted - next.held;
            self.movements.push(if next.contested > 0 {
                Movement::Hold(more)
            } else {
                Movement::HoldOnNotice(more)
            });
        } else if wanted < next.held {
            let less = next.held - wanted;
            self.movements.push(if next.contested == 0 && next.takings > 0 {
                Movement::ReleaseReturned(less)
            } else {
                Movement::ReleaseUndebited(less)
            });
        }
        self.next.held = wanted;
    }

    /// What is frozen pays for what is lost.
    fn close_loss(&mut self) {
        if self.next.stage != Stage::LostFinal || self.next.contested == 0 {
            return;
        }
        self.hold();
        let amount = self.next.contested;
        self.movements.push(match self.next.borne_by {
            Bearer::Merchant => Movement::Lost(amount),
            Bearer::Platform => Movement::LostByPlatform(amount),
        });
        self.next.lost += amount;
        self.next.contested = 0;
        self.next.held = 0;
    }

    fn end(mut self, known: Option<&Standing>) -> Result<Step, Rejection> {
        self.close_loss();
        self.hold();
        self.next.status = self.next.stage.word().unwrap_or(self.next.status);
        if known == Some(&self.next) {
            return Err(Rejection::AlreadyApplied);
        }
        let (before, after) = (known.map(|k| (k.stage, k.status)), (self.next.stage, self.next.status));
        let closed = after.1.is_closed() && before.map(|b| b.1) != Some(after.1);
        let mut events = Vec::new();
        match before {
            None => events.push("charge.dispute.created"),
            Some(before) if closed || before.1 == after.1 && !self.funds.is_empty() => {}
            // stage, status, or only the amount before any debit
            Some(_) => events.push("charge.dispute.updated"),
        }
        events.append(&mut self.funds);
        if closed {
            events.push("charge.dispute.closed");
        }
        Ok(Step {
            standing: self.next,
            movements: self.movements,
            moves: self.moves,
            exceptions: self.exceptions,
            events,
            path: self.path,
            inherits: self.inherits,
        })
    }
}

/// Why a response cannot be given; in the order of precedence in which they are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Another response is on its way.
    #[error("another response to this dispute is on its way to the acquirer")]
    InProgress,
    /// The network takes evidence once in each round.
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
    let round = dispute.stage.round();
    let answered = dispute.answered > 0 && round.is_none_or(|round| dispute.answered >= round);
    if answered && operation == Operation::Submit {
        return Err(Denied::AlreadySubmitted);
    }
    if round.is_none() {
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
pub(super) mod tests;
