//! Disputes as the network drives them: inquiry, chargeback, decision, and the second chargeback after a win.
//!
//! Money moves only with a balance transaction: withdrawn when a chargeback opens, reinstated when it is won. Each move has its own
//! event beside the one for the state. An inquiry moves none.

use crate::card::Aftermath;
use crate::error::ApiError;
use crate::flow::{DAY, Op, day};
use crate::id::Id;
use crate::object::*;
use crate::store::{Record, Task};
use std::sync::Arc;

/// What the network may do with a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advance {
    /// Decided for the merchant; an inquiry is closed.
    Win,
    /// Decided for the cardholder.
    Lose,
    /// An inquiry becomes a chargeback.
    Escalate,
    /// A dispute that was won is opened again.
    SecondChargeback,
}

impl Op<'_> {
    /// What follows a charge on one of the dispute cards.
    pub fn aftermath(&mut self, charge: Id) {
        let Some(charge) = self.store.charges.get(charge).cloned() else {
            return;
        };
        self.account = charge.account.clone();
        let left = charge.refundable();
        match charge.card().behaviour().aftermath {
            Aftermath::Dispute(reason) if left > 0 => {
                self.open_dispute(&charge, left, reason, false);
            }
            Aftermath::Inquiry if left > 0 => {
                self.open_dispute(&charge, left, "fraudulent", true);
            }
            Aftermath::TwoDisputes if left > 1 => {
                self.open_dispute(&charge, left / 2, "fraudulent", false);
                if let Some(charge) = self.store.charges.get(charge.id).cloned() {
                    self.open_dispute(&charge, left - left / 2, "product_not_received", false);
                }
            }
            Aftermath::FraudWarning => {
                let warning = FraudWarning {
                    id: self.store.next_id(|store| &store.fraud_warnings),
                    account: charge.account.clone(),
                    created: self.now(),
                    charge: charge.id,
                    intent: charge.intent,
                };
                let object = ObjectRef::FraudWarning(warning.id);
                self.store.put(Record::FraudWarning(Arc::new(warning)));
                self.event("radar.early_fraud_warning.created", object);
            }
            _ => {}
        }
    }

    /// Opens a dispute; the caller has checked that the charge has this much.
    pub fn open_dispute(&mut self, charge: &Charge, amount: i64, reason: &str, inquiry: bool) -> Id {
        let id = self.store.next_id(|store| &store.disputes);
        let due_by = day(self.now() + 15 * DAY) - 1;
        let movements = if inquiry {
            Vec::new()
        } else {
            vec![self.withdraw(id, amount, charge.currency)]
        };
        let dispute = Dispute {
            id,
            account: self.account.clone(),
            created: self.now(),
            charge: charge.id,
            intent: charge.intent,
            amount,
            currency: charge.currency,
            reason: reason.into(),
            status: if inquiry {
                DisputeStatus::WarningNeedsResponse
            } else {
                DisputeStatus::NeedsResponse
            },
            inquiry,
            due_by,
            submission_count: 0,
            evidence: Metadata::default(),
            metadata: Metadata::default(),
            movements,
            method: charge.method.clone(),
        };
        let mut charge = charge.clone();
        charge.disputes.push(id);
        self.put_charge(charge);
        self.put_dispute(dispute);
        self.store.schedule((due_by + 1) * 1000, Task::EvidenceDue(id));
        self.event("charge.dispute.created", ObjectRef::Dispute(id));
        if !inquiry {
            self.event("charge.dispute.funds_withdrawn", ObjectRef::Dispute(id));
        }
        id
    }

    /// Adds evidence and, when `submit`, hands it to the network: once.
    pub fn submit_evidence(&mut self, dispute: &Dispute, evidence: Metadata, submit: bool) -> Result<(), ApiError> {
        if !awaits_response(dispute.status) {
            return Err(ApiError::state(
                "dispute_evidence_already_submitted",
                "This dispute no longer takes evidence: it was submitted, or the dispute is closed.",
            ));
        }
        let mut dispute = dispute.clone();
        dispute.evidence = evidence;
        if submit {
            dispute.submission_count += 1;
            dispute.status = if dispute.inquiry {
                DisputeStatus::WarningUnderReview
            } else {
                DisputeStatus::UnderReview
            };
        }
        let verdict = match dispute.evidence.get("uncategorized_text") {
            Some("winning_evidence") => Some(true),
            Some("losing_evidence" | "escalate_inquiry_evidence") => Some(false),
            _ => None,
        };
        let id = dispute.id;
        self.put_dispute(dispute);
        self.event("charge.dispute.updated", ObjectRef::Dispute(id));
        if let Some(won) = verdict.filter(|_| submit) {
            self.store
                .schedule(self.now_ms + self.delays.dispute_ms, Task::Decide(id, won));
        }
        Ok(())
    }

    /// The merchant accepts: lost, for good.
    pub fn accept(&mut self, dispute: &Dispute) -> Result<(), ApiError> {
        if !awaits_response(dispute.status) {
            return Err(ApiError::state(
                "dispute_closed",
                "This dispute cannot be closed: it no longer needs a response.",
            ));
        }
        self.close(dispute.clone(), false);
        Ok(())
    }

    /// What the network does of itself, by timer or by the admin port.
    pub fn advance(&mut self, dispute: &Dispute, step: Advance) -> Result<(), ApiError> {
        use DisputeStatus::*;
        let open = !matches!(dispute.status, Won | Lost | WarningClosed);
        match step {
            Advance::Win if open => self.close(dispute.clone(), true),
            Advance::Lose if open => self.close(dispute.clone(), false),
            Advance::Escalate if open && dispute.inquiry => self.charge_back(dispute.clone()),
            Advance::SecondChargeback if dispute.status == Won => self.charge_back(dispute.clone()),
            _ => {
                return Err(ApiError::state(
                    "dispute_closed",
                    "The dispute's status does not allow this step.",
                ));
            }
        }
        Ok(())
    }

    /// The decision that evidence brought on.
    pub fn decide(&mut self, id: Id, won: bool) {
        let under_review = [DisputeStatus::UnderReview, DisputeStatus::WarningUnderReview];
        let Some(dispute) = self.store.disputes.get(id).filter(|d| under_review.contains(&d.status)) else {
            return;
        };
        let dispute = (**dispute).clone();
        self.account = dispute.account.clone();
        if dispute.inquiry && !won {
            self.charge_back(dispute);
        } else {
            self.close(dispute, won);
        }
    }

    /// The cardholder has everything back: there is nothing left to ask.
    pub fn close_inquiries(&mut self, disputes: &[Id]) {
        for id in disputes {
            if let Some(dispute) = self.store.disputes.get(*id).filter(|dispute| dispute.inquiry).cloned() {
                // Refused only when it is closed already.
                let _ = self.advance(&dispute, Advance::Win);
            }
        }
    }

    /// Nobody answered in time.
    pub fn evidence_due(&mut self, id: Id) {
        let Some(dispute) = self
            .store
            .disputes
            .get(id)
            .filter(|dispute| awaits_response(dispute.status))
        else {
            return;
        };
        let dispute = (**dispute).clone();
        self.account = dispute.account.clone();
        if self.now() > dispute.due_by {
            self.close(dispute, false);
        }
    }

    fn close(&mut self, mut dispute: Dispute, won: bool) {
        let id = dispute.id;
        let reinstates = won && !dispute.inquiry;
        dispute.status = match (dispute.inquiry, won) {
            (true, _) => DisputeStatus::WarningClosed,
            (false, true) => DisputeStatus::Won,
            (false, false) => DisputeStatus::Lost,
        };
        if reinstates {
            let source = ObjectRef::Dispute(id);
            let kind = MovementKind::DisputeReversal;
            let back = self.movement(
                kind,
                dispute.amount,
                -DISPUTE_FEE,
                dispute.currency,
                source,
                day(self.now()),
            );
            dispute.movements.push(back);
        }
        self.put_dispute(dispute);
        self.event("charge.dispute.closed", ObjectRef::Dispute(id));
        if reinstates {
            self.event("charge.dispute.funds_reinstated", ObjectRef::Dispute(id));
        }
    }

    /// Takes the money (again) and asks for evidence (again).
    fn charge_back(&mut self, mut dispute: Dispute) {
        let id = dispute.id;
        dispute
            .movements
            .push(self.withdraw(id, dispute.amount, dispute.currency));
        dispute.inquiry = false;
        dispute.status = DisputeStatus::NeedsResponse;
        dispute.due_by = day(self.now() + 15 * DAY) - 1;
        self.store.schedule((dispute.due_by + 1) * 1000, Task::EvidenceDue(id));
        self.put_dispute(dispute);
        self.event("charge.dispute.updated", ObjectRef::Dispute(id));
        self.event("charge.dispute.funds_withdrawn", ObjectRef::Dispute(id));
    }

    fn withdraw(&mut self, id: Id, amount: i64, currency: Currency) -> Arc<BalanceTransaction> {
        self.movement(
            MovementKind::Dispute,
            -amount,
            DISPUTE_FEE,
            currency,
            ObjectRef::Dispute(id),
            day(self.now()),
        )
    }

    fn put_dispute(&mut self, dispute: Dispute) {
        self.store.put(Record::Dispute(Arc::new(dispute)));
    }
}

/// Whether evidence is still wanted.
pub fn awaits_response(status: DisputeStatus) -> bool {
    matches!(
        status,
        DisputeStatus::NeedsResponse | DisputeStatus::WarningNeedsResponse
    )
}

/// Reasons of the wire.
pub const REASONS: [&str; 15] = [
    "bank_cannot_process",
    "check_returned",
    "credit_not_processed",
    "customer_initiated",
    "debit_not_authorized",
    "duplicate",
    "fraudulent",
    "general",
    "incorrect_account_details",
    "insufficient_funds",
    "noncompliant",
    "product_not_received",
    "product_unacceptable",
    "subscription_canceled",
    "unrecognized",
];

/// 15.00 in any currency; given back on a win, as Stripe's test mode does.
const DISPUTE_FEE: i64 = 1500;
