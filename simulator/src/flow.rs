//! What moves money: authorization, capture, release and refund, and what follows from a test card.
//!
//! Each function checks everything first and then changes the state to success: after the first `put` nothing is refused.
//! Disputes are in [`crate::dispute`].

use crate::card::{Aftermath, Issuer, Method, Reason};
use crate::error::ApiError;
use crate::id::Id;
use crate::object::*;
use crate::store::{Record, Store, Task};
use std::sync::Arc;

/// One operation under the lock: who asked, when, and the state.
pub struct Op<'a> {
    /// The state.
    pub store: &'a mut Store,
    /// Simulated time.
    pub now_ms: i64,
    /// Owner of what is made.
    pub account: Account,
    /// `Request-Id` for the events; none when a timer acts.
    pub request: Option<Arc<str>>,
    /// Idempotency key for the events.
    pub idempotency_key: Option<Arc<str>>,
    /// Delays of what the outside world does by itself.
    pub delays: Delays,
    /// Where the API listens.
    pub api_url: Arc<str>,
}

/// How long the outside world takes, in simulated milliseconds, and what disputes cost there.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// From a charge on a dispute card to the dispute, and from evidence to the decision.
    pub dispute_ms: i64,
    /// From a refund on a refund card to its final state.
    pub refund_ms: i64,
    /// A win gives the dispute's fee back.
    pub return_dispute_fees: bool,
    /// Taken for answering a chargeback, in minor units.
    pub counter_fee: i64,
}

/// How a confirmation may end without an error.
pub enum Confirmed {
    /// Succeeded, authorized or waiting for the cardholder: the intent says.
    Accepted,
    /// Declined: the intent carries why.
    Declined,
}

/// What the caller wants of a confirmation.
#[derive(Clone, Copy, Default)]
pub struct Confirmation {
    /// The cardholder is not there: a challenge becomes a decline.
    pub off_session: bool,
    /// `request_three_d_secure` is `any` or `challenge`.
    pub challenge: bool,
    /// `mit_exemption[network_transaction_id]` names an earlier attempt of the cardholder's own.
    pub agreed: bool,
}

impl Op<'_> {
    /// Simulated time in seconds.
    pub fn now(&self) -> i64 {
        self.now_ms.div_euclid(1000)
    }

    /// Records that something happened to an object.
    pub fn event(&mut self, kind: &'static str, object: ObjectRef) {
        let row = EventRow {
            id: self.store.next_event_id(),
            account: self.account.clone(),
            created: self.now(),
            kind: kind.into(),
            object,
            request: self.request.clone(),
            idempotency_key: self.idempotency_key.clone(),
        };
        self.store.put(Record::Event(Arc::new(row)));
    }

    /// Stores an intent.
    pub fn put_intent(&mut self, intent: &Intent) {
        self.store.put(Record::Intent(Arc::new(intent.clone())));
    }

    /// Stores a charge.
    pub fn put_charge(&mut self, charge: Charge) {
        self.store.put(Record::Charge(Arc::new(charge)));
    }

    /// Asks the issuer for an intent that has a card, and stores the outcome.
    pub fn confirm(&mut self, intent: &mut Intent, how: Confirmation) -> Result<Confirmed, ApiError> {
        let Some(method) = intent.method.clone() else {
            return Err(unexpected(
                "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the \
                 PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment \
                 method.",
            ));
        };
        intent.last_error = None;
        Ok(match method.card.behaviour().issuer {
            Issuer::Declines(reason) => self.decline(intent, method, reason),
            Issuer::ChallengesUnlessSetUp if how.agreed => self.authorize(intent, method, false),
            Issuer::Challenges(_) | Issuer::ChallengesUnlessSetUp if how.off_session => {
                self.decline(intent, method, AUTHENTICATION_REQUIRED)
            }
            Issuer::Challenges(_) | Issuer::ChallengesUnlessSetUp => self.challenge(intent),
            Issuer::Approves if how.challenge && !how.off_session => self.challenge(intent),
            Issuer::Approves => self.authorize(intent, method, false),
        })
    }

    /// The cardholder came back from the challenge.
    pub fn authenticated(&mut self, intent: &mut Intent, passed: bool) -> Result<Confirmed, ApiError> {
        let method = intent
            .method
            .clone()
            .filter(|_| intent.status == IntentStatus::RequiresAction);
        let Some(method) = method else {
            return Err(unexpected("This PaymentIntent does not wait for the cardholder."));
        };
        if !passed {
            intent.status = IntentStatus::RequiresPaymentMethod;
            intent.last_error = Some(Box::new(Decline::new(AUTHENTICATION_FAILED, None, method)));
            intent.method = None;
            self.put_intent(intent);
            self.event("payment_intent.payment_failed", ObjectRef::Intent(intent.id));
            return Ok(Confirmed::Declined);
        }
        Ok(match method.card.behaviour().issuer {
            Issuer::Challenges(Some(reason)) | Issuer::Declines(reason) => self.decline(intent, method, reason),
            _ => self.authorize(intent, method, true),
        })
    }

    fn challenge(&mut self, intent: &mut Intent) -> Confirmed {
        intent.status = IntentStatus::RequiresAction;
        self.put_intent(intent);
        self.event("payment_intent.requires_action", ObjectRef::Intent(intent.id));
        Confirmed::Accepted
    }

    fn decline(&mut self, intent: &mut Intent, method: Arc<Method>, reason: Reason) -> Confirmed {
        let mut charge = self.new_charge(intent, &method);
        let decline = Box::new(Decline::new(reason, Some(charge.id), method));
        charge.failure = Some(decline.clone());
        intent.status = IntentStatus::RequiresPaymentMethod;
        intent.charges.push(charge.id);
        intent.last_error = Some(decline);
        intent.method = None;
        let charge_id = charge.id;
        self.put_charge(charge);
        self.put_intent(intent);
        self.event("charge.failed", ObjectRef::Charge(charge_id));
        self.event("payment_intent.payment_failed", ObjectRef::Intent(intent.id));
        Confirmed::Declined
    }

    fn authorize(&mut self, intent: &mut Intent, method: Arc<Method>, authenticated: bool) -> Confirmed {
        let mut charge = self.new_charge(intent, &method);
        charge.authenticated = authenticated;
        intent.charges.push(charge.id);
        if intent.manual_capture {
            charge.allowed = intent.wishes;
            intent.status = IntentStatus::RequiresCapture;
            intent.amount_capturable = intent.amount;
            let charge_id = charge.id;
            self.put_charge(charge);
            self.put_intent(intent);
            self.store.schedule(
                self.now_ms + AUTHORIZATION_VALID_MS,
                Task::ExpireAuthorization(intent.id),
            );
            self.event("charge.succeeded", ObjectRef::Charge(charge_id));
            self.event("payment_intent.amount_capturable_updated", ObjectRef::Intent(intent.id));
        } else {
            self.settle(intent, charge, intent.amount, true, "charge.succeeded");
        }
        Confirmed::Accepted
    }

    /// Captures an authorization in full or part. After the last capture the rest is released; nothing, as the last, only
    /// releases it.
    pub fn capture(&mut self, intent: &mut Intent, amount: Option<i64>, last: bool) -> Result<(), ApiError> {
        let charge = self.capturable(intent, "captured")?;
        let amount = amount.unwrap_or(intent.amount_capturable);
        if amount == 0 && last && intent.amount_received > 0 {
            self.end_parts(intent, charge);
            return Ok(());
        }
        if !last && !charge.allowed.multicapture {
            let message = "Multicapture is not available for this PaymentIntent.";
            return Err(ApiError::invalid("final_capture", message).began());
        }
        let most = if last {
            charge.maximum() - intent.amount_received
        } else {
            intent.amount_capturable
        };
        if amount < 1 || amount > most {
            let message = "The provided amount_to_capture must be positive and at most the amount that can be captured";
            return Err(ApiError::invalid("amount_to_capture", message)
                .code("amount_too_large")
                .began());
        }
        let event = if last { "charge.captured" } else { "charge.updated" };
        self.settle(intent, charge, amount, last, event);
        Ok(())
    }

    fn settle(&mut self, intent: &mut Intent, mut charge: Charge, amount: i64, last: bool, event: &'static str) {
        charge.captured = last;
        charge.amount_captured += amount;
        let aftermath = charge.card().behaviour().aftermath;
        let available_on = match aftermath {
            Aftermath::AvailableAtOnce => self.now(),
            _ => day(self.now() + 2 * DAY),
        };
        let fee = processing_fee(amount);
        let source = ObjectRef::Charge(charge.id);
        let movement = self.movement(MovementKind::Charge, amount, fee, charge.currency, source, available_on);
        charge.balance_transaction = Some(movement.id);
        intent.amount_received += amount;
        intent.amount_capturable = (intent.amount_capturable - amount).max(0);
        if last {
            intent.status = IntentStatus::Succeeded;
            intent.amount_capturable = 0;
        }
        let charge_id = charge.id;
        self.put_charge(charge);
        self.put_intent(intent);
        self.event(event, ObjectRef::Charge(charge_id));
        if !last {
            self.event("payment_intent.amount_capturable_updated", ObjectRef::Intent(intent.id));
            return;
        }
        self.event("payment_intent.succeeded", ObjectRef::Intent(intent.id));
        let disputed = [
            Aftermath::Nothing,
            Aftermath::AvailableAtOnce,
            Aftermath::RefundPends,
            Aftermath::RefundFails,
        ];
        if !disputed.contains(&aftermath) {
            self.store
                .schedule(self.now_ms + self.delays.dispute_ms, Task::Aftermath(charge_id));
        }
    }

    /// Releases what is left of an authorization that was captured in part: what was taken stays.
    fn end_parts(&mut self, intent: &mut Intent, mut charge: Charge) {
        charge.captured = true;
        intent.status = IntentStatus::Succeeded;
        intent.amount_capturable = 0;
        let charge_id = charge.id;
        self.put_charge(charge);
        self.put_intent(intent);
        self.event("charge.captured", ObjectRef::Charge(charge_id));
        self.event("payment_intent.succeeded", ObjectRef::Intent(intent.id));
    }

    /// Raises an authorization. Issuers raise one to ten times what it was.
    pub fn increment(&mut self, intent: &mut Intent, amount: i64) -> Result<Confirmed, ApiError> {
        let mut charge = self.capturable(intent, "incremented")?;
        if !charge.allowed.incremental || charge.amount_captured > 0 {
            let message = "Incremental authorization is not available for this PaymentIntent.";
            return Err(ApiError::invalid("amount", message).began());
        }
        if amount <= intent.amount {
            let message = "The new amount must be greater than the amount already authorized.";
            return Err(ApiError::invalid("amount", message).began());
        }
        if charge.amount_first == 0 {
            charge.amount_first = charge.amount;
        }
        if amount > charge.amount_first.saturating_mul(10) {
            return Ok(Confirmed::Declined);
        }
        intent.amount = amount;
        intent.amount_capturable = amount;
        charge.amount = amount;
        self.put_charge(charge);
        self.put_intent(intent);
        self.event("payment_intent.amount_capturable_updated", ObjectRef::Intent(intent.id));
        Ok(Confirmed::Accepted)
    }

    fn capturable(&self, intent: &Intent, verb: &str) -> Result<Charge, ApiError> {
        let charge = intent.charges.last().and_then(|id| self.store.charges.get(*id));
        match charge {
            Some(charge) if intent.status == IntentStatus::RequiresCapture => Ok((**charge).clone()),
            _ => Err(unexpected(format!(
                "This PaymentIntent could not be {verb} because it has a status of {}. Only a PaymentIntent with one of the \
                 following statuses may be {verb}: requires_capture.",
                status_name(intent.status)
            ))),
        }
    }

    /// Cancels an intent that took no money, and releases what was held.
    pub fn cancel(&mut self, intent: &mut Intent, reason: Option<Box<str>>) -> Result<(), ApiError> {
        if matches!(intent.status, IntentStatus::Succeeded | IntentStatus::Canceled) {
            return Err(unexpected(format!(
                "You cannot cancel this PaymentIntent because it has a status of {}. Only a PaymentIntent with one of the \
                 following statuses may be canceled: requires_payment_method, requires_capture, requires_confirmation, \
                 requires_action, processing.",
                status_name(intent.status)
            )));
        }
        let held = intent
            .charges
            .last()
            .filter(|_| intent.status == IntentStatus::RequiresCapture)
            .copied();
        let parts = held.and_then(|id| self.store.charges.get(id));
        if let Some(charge) = parts.filter(|charge| charge.amount_captured > 0) {
            let charge = (**charge).clone();
            self.end_parts(intent, charge);
            return Ok(());
        }
        intent.status = IntentStatus::Canceled;
        intent.amount_capturable = 0;
        intent.canceled_at = Some(self.now());
        intent.cancellation_reason = reason;
        if let Some(charge) = held.and_then(|id| self.store.charges.get(id)) {
            let released = Charge {
                released: true,
                ..(**charge).clone()
            };
            let charge_id = released.id;
            self.put_charge(released);
            self.put_intent(intent);
            let expired = intent.cancellation_reason.as_deref() == Some("automatic");
            self.event(
                if expired { "charge.expired" } else { "charge.refunded" },
                ObjectRef::Charge(charge_id),
            );
        } else {
            self.put_intent(intent);
        }
        self.event("payment_intent.canceled", ObjectRef::Intent(intent.id));
        Ok(())
    }

    /// Sends captured money back; `amount` of none means all that is left.
    pub fn refund(
        &mut self,
        charge: &Charge,
        amount: Option<i64>,
        reason: Option<Box<str>>,
        metadata: Metadata,
    ) -> Result<Id, ApiError> {
        if charge.released || (charge.amount_captured > 0 && charge.refundable() == 0) {
            let message = format!("Charge {} has already been refunded.", charge.id.named(Charge::PREFIX));
            return Err(ApiError::state("charge_already_refunded", message));
        }
        if charge.amount_captured == 0 {
            return Err(unexpected(
                "This charge has not been captured, so there is nothing to refund.",
            ));
        }
        let contested = |dispute: &Arc<Dispute>| {
            !dispute.inquiry && !matches!(dispute.status, DisputeStatus::Won | DisputeStatus::Prevented)
        };
        let disputes = charge.disputes.iter().filter_map(|id| self.store.disputes.get(*id));
        let contested: i64 = disputes.filter(|dispute| contested(dispute)).map(|d| d.amount).sum();
        // What is not disputed can still be given back.
        let left = charge.refundable() - contested;
        if contested > 0 && left <= 0 {
            let message = format!(
                "Charge {} has been charged back; cannot issue a refund.",
                charge.id.named(Charge::PREFIX)
            );
            return Err(ApiError::state("charge_disputed", message));
        }
        let amount = amount.unwrap_or(left);
        if amount < 1 || amount > left {
            let message = format!("Refund amount ({amount}) is greater than unrefunded amount on charge ({left})");
            return Err(ApiError::invalid("amount", message).code("amount_too_large").began());
        }
        let id = self.store.next_id(|store| &store.refunds);
        let aftermath = charge.card().behaviour().aftermath;
        let source = ObjectRef::Refund(id);
        let movement = self.movement(
            MovementKind::Refund,
            -amount,
            0,
            charge.currency,
            source,
            day(self.now()),
        );
        let pends = aftermath == Aftermath::RefundPends;
        let refund = Refund {
            id,
            account: self.account.clone(),
            created: self.now(),
            charge: charge.id,
            intent: charge.intent,
            amount,
            currency: charge.currency,
            status: if pends {
                RefundStatus::Pending
            } else {
                RefundStatus::Succeeded
            },
            reason,
            metadata,
            balance_transaction: Some(movement.id),
            failure_balance_transaction: None,
            failure_reason: None,
        };
        let mut charge = charge.clone();
        charge.amount_refunded += amount;
        charge.refunds.push(id);
        let (charge_id, left, disputes) = (charge.id, charge.refundable(), charge.disputes.clone());
        self.store.put(Record::Refund(Arc::new(refund)));
        self.put_charge(charge);
        self.event("refund.created", ObjectRef::Refund(id));
        self.event("charge.refunded", ObjectRef::Charge(charge_id));
        if left == 0 {
            self.close_inquiries(&disputes);
        }
        match aftermath {
            Aftermath::RefundPends => self
                .store
                .schedule(self.now_ms + self.delays.refund_ms, Task::SettleRefund(id)),
            Aftermath::RefundFails => self
                .store
                .schedule(self.now_ms + self.delays.refund_ms, Task::FailRefund(id)),
            _ => {}
        }
        Ok(id)
    }

    /// Ends a refund that had not ended, or makes one that had succeeded fail.
    pub fn end_refund(&mut self, refund: &Refund, status: RefundStatus) {
        let mut refund = refund.clone();
        refund.status = status;
        if matches!(status, RefundStatus::Failed | RefundStatus::Canceled) {
            let source = ObjectRef::Refund(refund.id);
            let kind = MovementKind::RefundFailure;
            let back = self.movement(kind, refund.amount, 0, refund.currency, source, day(self.now()));
            refund.failure_balance_transaction = Some(back.id);
            refund.failure_reason = (status == RefundStatus::Failed).then(|| "expired_or_canceled_card".into());
            if let Some(charge) = self.store.charges.get(refund.charge) {
                let mut charge = (**charge).clone();
                charge.amount_refunded -= refund.amount;
                self.put_charge(charge);
            }
        }
        let id = refund.id;
        self.store.put(Record::Refund(Arc::new(refund)));
        self.event("refund.updated", ObjectRef::Refund(id));
        self.event("charge.refund.updated", ObjectRef::Refund(id));
        if status == RefundStatus::Failed {
            self.event("refund.failed", ObjectRef::Refund(id));
        }
    }

    /// Moves the account's balance by `amount - fee`.
    pub fn movement(
        &mut self,
        kind: MovementKind,
        amount: i64,
        fee: i64,
        currency: Currency,
        source: ObjectRef,
        available_on: i64,
    ) -> Arc<BalanceTransaction> {
        let row = Arc::new(BalanceTransaction {
            id: self.store.next_id(|store| &store.balance_transactions),
            account: self.account.clone(),
            created: self.now(),
            available_on,
            amount,
            fee,
            currency,
            kind,
            source,
        });
        self.store.put(Record::BalanceTransaction(row.clone()));
        row
    }

    /// Does what a timer asks, if the state still calls for it.
    pub fn fire(&mut self, task: Task) {
        match task {
            Task::Aftermath(charge) => self.aftermath(charge),
            Task::Decide(dispute, won) => self.decide(dispute, won),
            Task::Advance(dispute, step) => self.follow_script(dispute, step),
            Task::EvidenceDue(dispute) => self.evidence_due(dispute),
            Task::SettleRefund(id) => self.due_refund(id, RefundStatus::Pending, RefundStatus::Succeeded),
            Task::FailRefund(id) => self.due_refund(id, RefundStatus::Succeeded, RefundStatus::Failed),
            Task::ExpireAuthorization(id) => {
                let Some(intent) = self.store.intents.get(id) else {
                    return;
                };
                if intent.status == IntentStatus::RequiresCapture {
                    let mut intent = (**intent).clone();
                    self.account = intent.account.clone();
                    // The state was checked: an authorization can always be released.
                    let _ = self.cancel(&mut intent, Some("automatic".into()));
                }
            }
        }
    }

    fn due_refund(&mut self, id: Id, from: RefundStatus, to: RefundStatus) {
        if let Some(refund) = self
            .store
            .refunds
            .get(id)
            .filter(|refund| refund.status == from)
            .cloned()
        {
            self.account = refund.account.clone();
            self.end_refund(&refund, to);
        }
    }

    fn new_charge(&self, intent: &Intent, method: &Arc<Method>) -> Charge {
        Charge {
            id: self.store.next_id(|store| &store.charges),
            account: intent.account.clone(),
            created: self.now(),
            intent: intent.id,
            amount: intent.amount,
            amount_first: 0,
            allowed: Flexible::default(),
            currency: intent.currency,
            failure: None,
            captured: false,
            amount_captured: 0,
            amount_refunded: 0,
            released: false,
            authenticated: false,
            method: method.clone(),
            balance_transaction: None,
            refunds: Vec::new(),
            disputes: Vec::new(),
            metadata: intent.metadata.clone(),
            customer: intent.customer.clone(),
            description: intent.description.clone(),
            receipt_email: intent.receipt_email.clone(),
            statement_descriptor: intent.statement_descriptor.clone(),
            transfer_group: intent.transfer_group.clone(),
        }
    }
}

/// 400 `payment_intent_unexpected_state`.
pub fn unexpected(message: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    ApiError::state("payment_intent_unexpected_state", message)
}

/// The status on the wire.
pub fn status_name(status: IntentStatus) -> &'static str {
    match status {
        IntentStatus::RequiresPaymentMethod => "requires_payment_method",
        IntentStatus::RequiresConfirmation => "requires_confirmation",
        IntentStatus::RequiresAction => "requires_action",
        IntentStatus::RequiresCapture => "requires_capture",
        IntentStatus::Succeeded => "succeeded",
        IntentStatus::Canceled => "canceled",
    }
}

/// 2.9 % rounded half up, plus 30.
fn processing_fee(amount: i64) -> i64 {
    (amount * 29 + 500) / 1000 + 30
}

/// Midnight UTC at or before this second.
pub fn day(second: i64) -> i64 {
    second - second.rem_euclid(DAY)
}

const AUTHENTICATION_REQUIRED: Reason = Reason {
    code: "authentication_required",
    decline_code: "authentication_required",
};
const AUTHENTICATION_FAILED: Reason = Reason {
    code: "payment_intent_authentication_failure",
    decline_code: "",
};
const AUTHORIZATION_VALID_MS: i64 = 7 * DAY * 1000;
/// Seconds.
pub const DAY: i64 = 86_400;
