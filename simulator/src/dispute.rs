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
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advance {
    /// Decided for the merchant; an inquiry is closed.
    Win,
    /// Decided for the cardholder.
    Lose,
    /// The issuer upholds the chargeback, and pre-arbitration can be filed.
    Uphold,
    /// An inquiry becomes a chargeback.
    Escalate,
    /// The money of a chargeback that was only announced is taken.
    Debit,
    /// A dispute that was won is opened again, and the money taken again.
    SecondChargeback,
    /// The same, announced and not debited yet.
    PreArbitration,
    /// The issuer declines: the network decides.
    Arbitrate,
    /// Money of a lost dispute comes back after all.
    LateReversal,
    /// The cardholder withdraws.
    Withdraw,
}

/// A step of a script: what, and how long after the step before.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
pub struct ScriptStep {
    /// What happens.
    pub action: Advance,
    /// Simulated milliseconds.
    #[serde(default)]
    pub after_ms: u32,
}

/// How a dispute begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Opening {
    /// The issuer asks; no money moves.
    Inquiry,
    /// Announced; the money is taken later.
    Announced,
    /// The money is taken at once.
    #[default]
    Debited,
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
                self.open_dispute(&charge, left, reason, Opening::Debited);
            }
            Aftermath::Inquiry if left > 0 => {
                self.open_dispute(&charge, left, "fraudulent", Opening::Inquiry);
            }
            Aftermath::TwoDisputes if left > 1 => {
                self.open_dispute(&charge, left / 2, "fraudulent", Opening::Debited);
                if let Some(charge) = self.store.charges.get(charge.id).cloned() {
                    self.open_dispute(&charge, left - left / 2, "product_not_received", Opening::Debited);
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
    pub fn open_dispute(&mut self, charge: &Charge, amount: i64, reason: &str, opening: Opening) -> Id {
        let inquiry = opening == Opening::Inquiry;
        let id = self.store.next_id(|store| &store.disputes);
        let due_by = day(self.now() + 15 * DAY) - 1;
        let movements = if opening == Opening::Debited {
            vec![self.withdraw(id, amount, charge.currency)]
        } else {
            Vec::new()
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
            network_stage: None,
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
        if opening == Opening::Debited {
            self.event("charge.dispute.funds_withdrawn", ObjectRef::Dispute(id));
        }
        id
    }

    /// What will happen to it, step after step.
    pub fn script(&mut self, id: Id, steps: &[ScriptStep]) {
        let mut at = self.now_ms;
        for step in steps {
            at += i64::from(step.after_ms);
            self.store.schedule(at, Task::Advance(id, step.action));
        }
    }

    /// A step of a script; one that does not fit by then is left out.
    pub fn follow_script(&mut self, id: Id, step: Advance) {
        let Some(dispute) = self.store.disputes.get(id).cloned() else {
            return;
        };
        self.account = dispute.account.clone();
        if self.advance(&dispute, step).is_err() {
            tracing::warn!(?step, status = ?dispute.status, "a step of a dispute's script does not fit");
        }
    }

    /// Adds evidence and, when `submit`, hands it to the network: once.
    pub fn submit_evidence(&mut self, dispute: &Dispute, evidence: Metadata, submit: bool) -> Result<(), ApiError> {
        if !awaits_response(dispute) {
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
            dispute.network_stage = match dispute.network_stage {
                Some(NetworkStage::Provisional) => Some(NetworkStage::PreArbitration),
                Some(NetworkStage::PreArbitration) => Some(NetworkStage::Arbitration),
                other => other,
            };
            if !dispute.inquiry && self.delays.counter_fee > 0 {
                let fee = self.delays.counter_fee;
                let taken = self.dispute_movement(MovementKind::Dispute, &dispute, 0, fee);
                dispute.movements.push(taken);
            }
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
        if !awaits_response(dispute) {
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
        let provisional = dispute.network_stage == Some(NetworkStage::Provisional);
        let open = !matches!(dispute.status, Won | Lost | WarningClosed | Prevented) || provisional;
        let debited = dispute.movements.iter().map(|m| m.amount).sum::<i64>() < 0;
        match step {
            Advance::Win if open => self.close(dispute.clone(), true),
            Advance::Lose if open => self.close(dispute.clone(), false),
            Advance::Uphold if dispute.status == UnderReview && dispute.network_stage.is_none() => {
                let mut dispute = dispute.clone();
                dispute.network_stage = Some(NetworkStage::Provisional);
                self.close(dispute, false);
            }
            Advance::Escalate if open && dispute.inquiry => self.charge_back(dispute.clone()),
            Advance::Debit if !dispute.inquiry && !debited && !matches!(dispute.status, Won | Prevented) => {
                let mut dispute = dispute.clone();
                let taken = self.withdraw(dispute.id, dispute.amount, dispute.currency);
                dispute.movements.push(taken);
                let id = dispute.id;
                self.put_dispute(dispute);
                self.event("charge.dispute.funds_withdrawn", ObjectRef::Dispute(id));
            }
            Advance::SecondChargeback if dispute.status == Won => self.charge_back(dispute.clone()),
            Advance::PreArbitration if dispute.status == Won => {
                let mut dispute = dispute.clone();
                dispute.network_stage = Some(NetworkStage::PreArbitration);
                self.ask_again(dispute);
            }
            Advance::Arbitrate if dispute.network_stage == Some(NetworkStage::PreArbitration) => {
                let mut dispute = dispute.clone();
                dispute.network_stage = Some(NetworkStage::Arbitration);
                dispute.status = UnderReview;
                let id = dispute.id;
                self.put_dispute(dispute);
                self.event("charge.dispute.updated", ObjectRef::Dispute(id));
            }
            Advance::LateReversal if dispute.status == Lost && debited => {
                let mut dispute = dispute.clone();
                let back = self.dispute_movement(MovementKind::DisputeReversal, &dispute, dispute.amount, 0);
                dispute.movements.push(back);
                let id = dispute.id;
                self.put_dispute(dispute);
                self.event("charge.dispute.funds_reinstated", ObjectRef::Dispute(id));
            }
            Advance::Withdraw if open => {
                let mut dispute = dispute.clone();
                dispute.status = Prevented;
                if debited {
                    let back = self.dispute_movement(MovementKind::DisputeReversal, &dispute, dispute.amount, 0);
                    dispute.movements.push(back);
                }
                let id = dispute.id;
                self.put_dispute(dispute);
                self.event("charge.dispute.closed", ObjectRef::Dispute(id));
                if debited {
                    self.event("charge.dispute.funds_reinstated", ObjectRef::Dispute(id));
                }
            }
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
        let Some(dispute) = self.store.disputes.get(id).filter(|dispute| awaits_response(dispute)) else {
            return;
        };
        let dispute = (**dispute).clone();
        self.account = dispute.account.clone();
        if self.now() > dispute.due_by {
            // Whoever does not file has lost: that was told already.
            if dispute.status != DisputeStatus::Lost {
                self.close(dispute, false);
            }
        }
    }

    fn close(&mut self, mut dispute: Dispute, won: bool) {
        let id = dispute.id;
        let debited = dispute.movements.iter().map(|m| m.amount).sum::<i64>() < 0;
        let reinstates = won && debited;
        dispute.status = match (dispute.inquiry, won) {
            (true, _) => DisputeStatus::WarningClosed,
            (false, true) => DisputeStatus::Won,
            (false, false) => DisputeStatus::Lost,
        };
        if dispute.network_stage == Some(NetworkStage::Provisional) {
            // Time to file.
            dispute.due_by = day(self.now() + 30 * DAY) - 1;
            if won {
                dispute.network_stage = None;
            }
        }
        if reinstates {
            // What answering cost comes back with a win; the dispute's own fee only where that was agreed.
            let round = dispute.movements.iter().rev().take_while(|m| m.amount <= 0);
            let returned = round.filter(|m| m.amount == 0 || self.delays.return_dispute_fees);
            let fee = returned.map(|m| m.fee).sum::<i64>();
            let back = self.dispute_movement(MovementKind::DisputeReversal, &dispute, dispute.amount, -fee);
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
        self.ask_again(dispute);
        self.event("charge.dispute.funds_withdrawn", ObjectRef::Dispute(id));
    }

    /// Asks for evidence (again).
    fn ask_again(&mut self, mut dispute: Dispute) {
        let id = dispute.id;
        dispute.inquiry = false;
        dispute.status = DisputeStatus::NeedsResponse;
        dispute.due_by = day(self.now() + 15 * DAY) - 1;
        self.store.schedule((dispute.due_by + 1) * 1000, Task::EvidenceDue(id));
        self.put_dispute(dispute);
        self.event("charge.dispute.updated", ObjectRef::Dispute(id));
    }

    fn dispute_movement(
        &mut self,
        kind: MovementKind,
        dispute: &Dispute,
        amount: i64,
        fee: i64,
    ) -> Arc<BalanceTransaction> {
        let (source, on) = (ObjectRef::Dispute(dispute.id), day(self.now()));
        self.movement(kind, amount, fee, dispute.currency, source, on)
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
pub fn awaits_response(dispute: &Dispute) -> bool {
    matches!(
        dispute.status,
        DisputeStatus::NeedsResponse | DisputeStatus::WarningNeedsResponse
    ) || dispute.status == DisputeStatus::Lost && dispute.network_stage == Some(NetworkStage::Provisional)
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

/// 15.00 in any currency.
const DISPUTE_FEE: i64 = 1500;
