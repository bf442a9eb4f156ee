//! The one transition function of a case: pure, total, and the only place where its status changes.
//!
//! [`apply`] follows the table ([`EDGES`](super::table::EDGES)); any pair that is not in it is a [`Rejection`] without effect, and the
//! database holds the same pairs (`gateway.case_guard`). It must never look at a clock, the database or the wire.
//!
//! What is beyond the table here: limits of remedies (never more than can be refunded, a second person for money beyond the
//! price), one appeal, by another officer than the first.

use super::limits::within_limits;
use super::rows::{Appeal, Case, Decision, Verification};
use super::table::{Act, Edge, Timer, edge};
use super::words::*;
use jiff::Timestamp;
use ledger::JournalCode;

/// What happened, with what belongs to it.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Fact {
    Accept,
    NotAccept {
        reason: String,
        by: Option<String>,
    },
    Verified(Verification),
    OfferAccepted {
        offer_id: String,
        by: String,
    },
    Contest,
    ResponseOverdue,
    Decide(Decision),
    MediationOverdue,
    /// carry out what was decided; `goods_received`: they are back
    Execute {
        goods_received: bool,
    },
    Shipped {
        shipment: String,
    },
    ExchangeLapsed,
    ReturnLapsed,
    RefundSucceeded,
    RefundFailed,
    /// our bank paid what was owed
    Paid,
    Withdraw,
    ChargebackOpened {
        dispute_id: String,
    },
    ChargebackFinal {
        won: bool,
    },
    Appeal {
        by: Party,
        reason: String,
    },
    /// none: the decision stands
    AppealDecided(Option<Decision>, Upheld),
    WindowOver,
    RegulatorRequest {
        external_ref: String,
    },
    RegulatorClosed,
}

/// Who upheld a decision, and why.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Upheld {
    pub officer: String,
    pub reasons: String,
}

/// A movement of money in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    /// J20: freeze the merchant's money
    Hold(i64),
    /// J21: refund from what is frozen
    Refund(i64),
    /// J22: what is frozen is the merchant's again
    Release(i64),
    /// J23a: money beyond the price, at the merchant's cost
    Compensate(i64),
    /// J24: refund that the platform pays, or advances with a claim on the merchant
    PlatformRefund {
        /// minor units
        amount: i64,
        /// with a claim on the merchant
        recourse: bool,
    },
    /// J24: money beyond the price that the platform pays
    PlatformCompensate(i64),
    /// J26: compensation that was booked and not paid goes back to the merchant
    TakeBack(i64),
    /// J24: what the merchant paid for a decision that did not stand, the platform pays back
    Reimburse(i64),
    /// J23b: our bank paid a failed refund
    PaidRefund(i64),
    /// J23b: our bank paid compensation
    PaidCompensation(i64),
}

impl Movement {
    /// The journal that books it.
    pub fn code(self) -> JournalCode {
        match self {
            Movement::Hold(_) => JournalCode::J20,
            Movement::Refund(_) => JournalCode::J21,
            Movement::Release(_) => JournalCode::J22,
            Movement::Compensate(_) => JournalCode::J23a,
            Movement::PlatformRefund { .. } | Movement::PlatformCompensate(_) | Movement::Reimburse(_) => {
                JournalCode::J24
            }
            Movement::TakeBack(_) => JournalCode::J26,
            Movement::PaidRefund(_) | Movement::PaidCompensation(_) => JournalCode::J23b,
        }
    }
}

/// A transition.
#[derive(Clone, Debug)]
pub struct Step {
    /// the case afterwards; what is frozen for it is set by the accounting
    pub case: Case,
    /// in the order in which they are booked
    pub movements: Vec<Movement>,
    /// the line that was followed; none where the status had nothing to do with it
    pub edge: Option<&'static Edge>,
    /// the timers that begin
    pub timers: Vec<Timer>,
}

/// Why a fact does not fit; in the order of precedence in which they are checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The table has no such line.
    #[error("a case that is {} does not allow this", status.as_str())]
    UnexpectedState {
        /// where it stands
        status: Status,
    },
    /// The one appeal was used.
    #[error("this case has been appealed once; there is no second appeal")]
    AppealedBefore,
    /// The decider must be somebody else.
    #[error("{who} must not {what}: another person has to")]
    SamePerson {
        /// the person
        who: String,
        /// what they must not do
        what: &'static str,
    },
    /// A second person must agree.
    #[error("money beyond the price, and money of the platform, need a second person: name the approver")]
    ApproverMissing,
    /// Why there is more than the price.
    #[error("compensation needs its basis: the rule and the calculation")]
    BasisMissing,
    /// No such offer, or it was accepted before.
    #[error("there is no such offer")]
    NoSuchOffer,
    /// Nothing was decided that could be carried out this way.
    #[error("{0}")]
    NotExecutable(&'static str),
    /// An amount is missing or not positive.
    #[error("this remedy needs an amount of at least 1")]
    NotPositive,
    /// An amount where there is none.
    #[error("the remedy {} has no {what}", remedy.as_str())]
    NoSuchAmount {
        /// the remedy
        remedy: Remedy,
        /// `amount` or `compensation`
        what: &'static str,
    },
    /// More than can be refunded.
    #[error("at most {available} can be refunded for this payment")]
    TooMuch {
        /// minor units
        available: i64,
    },
    /// More than the rules allow.
    #[error("the rules allow at most {allowed} here")]
    BeyondRules {
        /// minor units
        allowed: i64,
    },
    /// A regulator has the case.
    #[error("a regulator has this case: it is not archived before that has ended")]
    Frozen,
    /// The consumer has not got everything.
    #[error("money of this case is still on its way: it is not archived before that has arrived")]
    StillOwed,
    /// Nothing is owed.
    #[error("nothing is owed by bank in this case")]
    NothingOwed,
}

/// The case after the fact. `room` is what can be refunded beside what is frozen for this case: minor units.
pub fn apply(case: &Case, fact: &Fact, room: i64, at: Timestamp) -> Result<Step, Rejection> {
    let held = case.held();
    let mut step = Step {
        case: case.clone(),
        movements: Vec::new(),
        edge: None,
        timers: Vec::new(),
    };
    match fact {
        Fact::Accept => {
            step.follow(Act::Accept)?;
            step.case.details.not_accepted = None;
            step.freeze(case.amount.min(room));
        }
        Fact::NotAccept { reason, by } => {
            step.follow(Act::NotAccept)?;
            step.case.details.not_accepted = Some(reason.clone());
            step.case.details.refused_by.clone_from(by);
            step.close(Outcome::NotAccepted, at);
        }
        Fact::Verified(verification) => {
            step.follow(Act::Verified)?;
            step.case.verified_at = Some(at);
            step.case.details.verification = Some(verification.clone());
        }
        Fact::OfferAccepted { offer_id, by } => {
            step.follow(Act::OfferAccepted)?;
            let offers = &mut step.case.details.offers;
            let offer = offers.iter_mut().find(|offer| offer.id == *offer_id);
            let offer = offer.ok_or(Rejection::NoSuchOffer)?;
            offer.accepted = true;
            let decision = Decision {
                remedy: offer.remedy,
                refund: offer.amount,
                compensation: 0,
                borne_by: Bearer::Merchant,
                reasons: "The consumer accepted the merchant's offer.".into(),
                evidence: vec![offer.id.clone()],
                basis: None,
                officer: by.clone(),
                approver: None,
                at,
                goods_received: false,
                shipment: None,
            };
            step.case.details.heard = true;
            step.decide(decision, held + room, Outcome::Settled, at)?;
        }
        Fact::Contest => {
            step.follow(Act::Contest)?;
            step.case.details.heard = true;
        }
        Fact::ResponseOverdue => {
            step.follow(Act::ResponseOverdue)?;
            step.case.details.heard = true;
        }
        Fact::MediationOverdue => {
            step.follow(Act::MediationOverdue)?;
            step.case.details.supervised = true;
        }
        Fact::Decide(decision) => {
            step.follow(Act::Decide)?;
            step.decide(decision.clone(), held + room, Outcome::Upheld, at)?;
            if decision.remedy == Remedy::Rejected {
                // Nothing is to be carried out: the same commit ends it.
                step.follow(Act::Reject)?;
                step.release(held);
                step.close(Outcome::Rejected, at);
            }
        }
        Fact::Execute { goods_received } => step.execute(*goods_received, room)?,
        Fact::Shipped { shipment } => {
            step.follow(Act::ExchangeDone)?;
            let decision = step.case.details.decision.as_mut();
            let decision = decision.filter(|decision| decision.remedy.ships());
            let decision = decision.ok_or(Rejection::NotExecutable(
                "nothing is to be shipped: carry the decision out with execute",
            ))?;
            decision.shipment = Some(shipment.clone());
            step.release(held);
            let outcome = step.case.outcome.unwrap_or(Outcome::Upheld);
            step.close(outcome, at);
        }
        Fact::ExchangeLapsed => {
            step.follow(Act::ExchangeLapsed)?;
            let available = held + room;
            let decision = step.case.details.decision.as_mut();
            let decision = decision.filter(|decision| decision.remedy.ships());
            let decision = decision.ok_or(Rejection::NotExecutable("no goods were to be shipped"))?;
            decision.remedy = Remedy::RefundFull;
            decision.refund = available;
        }
        Fact::ReturnLapsed => {
            step.follow(Act::ReturnLapsed)?;
            step.release(held);
            step.close(Outcome::Lapsed, at);
        }
        Fact::RefundSucceeded => {
            step.case.refund_progress = Some(RefundProgress::Done);
            step.settle_if_paid(at)?;
        }
        Fact::RefundFailed => {
            step.case.refund_progress = Some(RefundProgress::Failed);
            step.case.refund_due = refunded(case);
            // Elsewhere, the money is owed by bank all the same; the status says nothing about it.
            match case.status {
                Status::Executing => step.follow(Act::RefundFailed)?,
                _ => step.timers.push(Timer::BankPayout),
            }
        }
        Fact::Paid => {
            let (refund, compensation) = (case.refund_due, case.compensation_due);
            if refund + compensation == 0 {
                return Err(Rejection::NothingOwed);
            }
            if refund > 0 {
                step.movements.push(Movement::PaidRefund(refund));
            }
            if compensation > 0 {
                step.movements.push(Movement::PaidCompensation(compensation));
            }
            step.case.refund_due = 0;
            step.case.compensation_due = 0;
            step.settle_if_paid(at)?;
        }
        Fact::Withdraw => {
            step.follow(Act::Withdraw)?;
            step.release(held);
            step.close(Outcome::Withdrawn, at);
        }
        Fact::ChargebackOpened { dispute_id } => {
            step.follow(Act::ChargebackOpened)?;
            step.case.details.dispute_id = Some(dispute_id.clone());
        }
        Fact::ChargebackFinal { won } => {
            step.follow(Act::ChargebackFinal)?;
            let outcome = if *won {
                Outcome::ChargebackWon
            } else {
                Outcome::ChargedBack
            };
            step.close(outcome, at);
        }
        Fact::Appeal { by, reason } => {
            let line = edge(Some(case.status), Act::Appeal);
            if line.is_some() && case.appealed {
                return Err(Rejection::AppealedBefore);
            }
            step.follow(Act::Appeal)?;
            step.case.appealed = true;
            step.case.closed_at = None;
            step.case.details.appeal = Some(Appeal {
                by: *by,
                reason: reason.clone(),
                at,
                from: case.status,
            });
            // A merchant's appeal asks for no money of the merchant.
            if *by == Party::Consumer {
                let asked = case.amount.saturating_sub(refunded(case));
                step.freeze(asked.min(room).max(0));
            }
        }
        Fact::AppealDecided(decision, upheld) => step.end_appeal(decision.as_ref(), upheld, room, at)?,
        Fact::WindowOver => {
            let line = edge(Some(case.status), Act::WindowOver);
            if line.is_some() && case.frozen {
                return Err(Rejection::Frozen);
            }
            if line.is_some() && !case.is_paid() {
                return Err(Rejection::StillOwed);
            }
            step.follow(Act::WindowOver)?;
            step.case.details.retained_until = Some(case.details.rules.retained_until(at));
        }
        Fact::RegulatorRequest { external_ref } => {
            step.follow(Act::RegulatorRequest)?;
            step.case.external_ref = Some(external_ref.clone());
            step.case.frozen = true;
        }
        Fact::RegulatorClosed => {
            if !case.frozen {
                return Err(Rejection::NotExecutable("no regulator has this case"));
            }
            step.follow(Act::RegulatorClosed)?;
            step.case.frozen = false;
            // The time to appeal may have run out meanwhile: it is archived after another one.
            if Timer::AppealWindow.lives_in(case.status) {
                step.timers.push(Timer::AppealWindow);
            }
        }
    }
    Ok(step)
}

/// What the refund of this case came to.
pub fn refunded(case: &Case) -> i64 {
    match case.refund_id {
        Some(_) => case.in_force().map_or(0, |decision| decision.refund),
        None => 0,
    }
}

impl Step {
    fn follow(&mut self, act: Act) -> Result<(), Rejection> {
        let status = self.case.status;
        let line = edge(Some(status), act).ok_or(Rejection::UnexpectedState { status })?;
        if let Some(to) = line.to {
            self.case.status = to;
        }
        self.edge = Some(line);
        self.timers = line.timers.to_vec();
        if act == Act::Accept && self.case.r#type == CaseType::Quality {
            self.timers.clear(); // they run since the complaint was received
        }
        Ok(())
    }

    fn freeze(&mut self, amount: i64) {
        if amount > 0 {
            self.movements.push(Movement::Hold(amount));
        }
    }

    fn release(&mut self, held: i64) {
        if held > 0 {
            self.movements.push(Movement::Release(held));
        }
    }

    fn close(&mut self, outcome: Outcome, at: Timestamp) {
        self.case.outcome = Some(outcome);
        self.case.closed_at = Some(at);
    }

    fn settle_if_paid(&mut self, at: Timestamp) -> Result<(), Rejection> {
        if self.case.status == Status::Executing && self.case.is_paid() {
            self.follow(Act::Confirmed)?;
            let outcome = self.case.outcome.unwrap_or(Outcome::Upheld);
            self.close(outcome, at);
        } else if self.case.is_paid() && Timer::AppealWindow.lives_in(self.case.status) {
            self.timers.push(Timer::AppealWindow); // it waited for this
        }
        Ok(())
    }

    fn decide(&mut self, decision: Decision, available: i64, outcome: Outcome, at: Timestamp) -> Result<(), Rejection> {
        let decision = within_limits(&self.case, decision, available)?;
        match decision.remedy {
            Remedy::ReturnAndRefund => self.timers = vec![Timer::GoodsReturn],
            remedy if remedy.ships() => self.timers = vec![Timer::Exchange],
            _ => {}
        }
        self.case.outcome = Some(outcome);
        self.case.decided_at = Some(at);
        self.case.details.decision = Some(decision);
        Ok(())
    }

    fn execute(&mut self, goods_received: bool, room: i64) -> Result<(), Rejection> {
        let status = self.case.status;
        if status != Status::Decided {
            return Err(Rejection::UnexpectedState { status });
        }
        let Some(decision) = &mut self.case.details.decision else {
            return Err(Rejection::UnexpectedState { status });
        };
        decision.goods_received |= goods_received;
        let decision = decision.clone();
        if decision.remedy.ships() {
            return Err(Rejection::NotExecutable(
                "goods are to be shipped: report the shipment instead",
            ));
        }
        if decision.remedy == Remedy::ReturnAndRefund && !decision.goods_received {
            return Err(Rejection::NotExecutable(
                "the goods are not back: say goods_received when they are",
            ));
        }
        self.follow(match decision.remedy {
            Remedy::Compensation | Remedy::PlatformAdvance => Act::ExecutePayment,
            _ => Act::ExecuteRefund,
        })?;
        self.pay(&decision, room)
    }

    /// The money of a decision: from what is frozen where the merchant bears it, and the rest is released.
    fn pay(&mut self, decision: &Decision, room: i64) -> Result<(), Rejection> {
        let held = self.case.held();
        let refund = decision.refund;
        if refund > held + room {
            return Err(Rejection::TooMuch { available: held + room });
        }
        match decision.borne_by {
            Bearer::Merchant => {
                self.freeze(refund - held);
                if refund > 0 {
                    self.movements.push(Movement::Refund(refund));
                }
                self.release(held - refund);
            }
            Bearer::Advance | Bearer::Platform => {
                self.release(held);
                if refund > 0 {
                    let recourse = decision.borne_by == Bearer::Advance;
                    self.movements.push(Movement::PlatformRefund {
                        amount: refund,
                        recourse,
                    });
                    if recourse {
                        self.case.recourse_due += refund;
                    }
                }
            }
        }
        if refund > 0 {
            self.case.refund_progress = Some(RefundProgress::Open);
        }
        if decision.compensation > 0 {
            self.movements.push(match decision.borne_by {
                Bearer::Merchant => Movement::Compensate(decision.compensation),
                Bearer::Advance | Bearer::Platform => Movement::PlatformCompensate(decision.compensation),
            });
            self.case.compensation_due += decision.compensation;
            self.timers.push(Timer::Payout);
        }
        Ok(())
    }

    /// What was paid stays paid; what the appeal gives beyond it is paid now, what is not owed any more is taken back.
    fn end_appeal(
        &mut self,
        decision: Option<&Decision>,
        upheld: &Upheld,
        room: i64,
        at: Timestamp,
    ) -> Result<(), Rejection> {
        let before = self.case.clone();
        let held = before.held();
        self.follow(Act::AppealDecided)?;
        let first = before.details.decision.as_ref();
        let decided = [first.map(|first| &first.officer), before.details.refused_by.as_ref()];
        if decided.contains(&Some(&upheld.officer)) {
            return Err(Rejection::SamePerson {
                who: upheld.officer.clone(),
                what: "decide the appeal against an own decision",
            });
        }
        let Some(decision) = decision else {
            self.release(held);
            let outcome = before.outcome.unwrap_or(Outcome::Rejected);
            self.close(outcome, at);
            return Ok(());
        };
        if decision.remedy.ships() || decision.remedy == Remedy::ReturnAndRefund {
            return Err(Rejection::NotExecutable(
                "an appeal ends with money or without: goods are no remedy of an appeal",
            ));
        }
        let already = refunded(&before);
        let mut more = decision.clone();
        more.refund = match decision.remedy {
            Remedy::RefundFull if decision.refund == 0 => held + room,
            _ => decision.refund.saturating_sub(already).max(0),
        };
        if more.remedy.refunds() && more.refund == 0 && already > 0 {
            more.remedy = Remedy::Rejected; // there is no more to refund: what was refunded stays
        }
        let more = within_limits(&self.case, more, held + room)?;
        if more.refund > 0 && !matches!(before.refund_progress, None | Some(RefundProgress::Done)) {
            return Err(Rejection::NotExecutable(
                "the refund of the first decision is still under way: decide when it has ended",
            ));
        }
        let merchant_bore = first.is_some_and(|first| first.borne_by == Bearer::Merchant);
        let (owed, first_compensation) = (before.compensation_due, first.map_or(0, |first| first.compensation));
        let undone = merchant_bore && owed > 0 && decision.compensation < owed;
        let extra = Decision {
            compensation: match undone {
                true => decision.compensation,
                false => (decision.compensation - first_compensation).max(0),
            },
            ..more
        };
        if undone {
            self.movements.push(Movement::TakeBack(owed));
            self.case.compensation_due -= owed;
        }
        self.pay(&extra, room)?;
        // A consumer keeps what was paid; a merchant whose appeal is right gets it from the platform.
        let too_much = already.saturating_sub(decision.refund);
        if merchant_bore && too_much > 0 && before.details.appeal.as_ref().is_some_and(|a| a.by == Party::Merchant) {
            self.movements.push(Movement::Reimburse(too_much));
        }
        self.case.details.appeal_decision = Some(Decision {
            refund: extra.refund,
            ..decision.clone()
        });
        self.close(
            match decision.remedy {
                Remedy::Rejected => Outcome::Rejected,
                _ => Outcome::Upheld,
            },
            at,
        );
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
