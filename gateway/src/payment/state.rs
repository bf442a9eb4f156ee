//! The one transition function of a payment: pure, total, and the only place where its state changes (law 2).
//!
//! [`apply`] takes the payment as it is and a fact, and gives the payment as it becomes or a [`Rejection`]. Each edge
//! names its journals (`payment/accounting.rs`) and the event it emits:
//!
//! | from | fact | to | journals | events |
//! |---|---|---|---|---|
//! | requires_payment_method, requires_confirmation | amended | requires_confirmation once a method is chosen | – | – |
//! | requires_payment_method, requires_confirmation | attempt started | processing (authorize) | – | – |
//! | processing (authorize) | approved, sale | succeeded | J03 J04 | charge.succeeded, payment_intent.succeeded |
//! | processing (authorize) | approved, hold | requires_capture | J01 | charge.succeeded, payment_intent.amount_capturable_updated |
//! | processing (authorize) | declined | requires_payment_method | – | charge.failed, payment_intent.payment_failed |
//! | processing (authorize) | action required | requires_action | – | payment_intent.requires_action |
//! | requires_action | approved, declined (what the payer's action came to) | as from processing | as there | as there |
//! | processing (authorize) | outcome unknown | same | – | payment_intent.processing; with an answer about something else charge.mismatched |
//! | processing (authorize), mismatched | acquirer's amount accepted by people | same, for that amount | – | charge.updated |
//! | requires_capture | capture started | same (capture; capture_part when more may follow) | – | – |
//! | requires_capture (capture) | captured | succeeded | J03 J04 (rest released) | charge.captured, payment_intent.succeeded |
//! | requires_capture (capture_part) | captured | requires_capture | J03 J04 | charge.updated, payment_intent.amount_capturable_updated |
//! | requires_capture (capture, capture_part) | capture refused | requires_capture | – | – |
//! | requires_capture | raise started | same (increment) | – | – |
//! | requires_capture (increment) | raised | requires_capture | J02 J01 | charge.updated, payment_intent.amount_capturable_updated |
//! | requires_capture (increment) | raise refused | requires_capture | – | – |
//! | requires_capture, requires_action | void started (asked for, or the authorization has lapsed: `automatic`) | same (void) | – | – |
//! | requires_capture (void) | voided | canceled | J02 | payment_intent.canceled |
//! | requires_capture (void), parts captured | voided | succeeded: what was taken stays | J02 | charge.captured, payment_intent.succeeded |
//! | requires_action (void) | voided | canceled | – | payment_intent.canceled |
//! | requires_payment_method, requires_confirmation | canceled | canceled | – | payment_intent.canceled |
//! | taken | refund started | same | J08a | refund.created |
//! | taken | refund failed | same | J09 | refund.failed |
//! | taken | chargeback taken | same | J11 J11b J12 | charge.dispute.funds_withdrawn |
//! | taken | chargeback returned | same | J14a J14c | charge.dispute.funds_reinstated |
//! | taken | frozen for a case, released from it | same | J20, J22 | (of the case) |
//!
//! *Taken* is succeeded, or requires_capture of which parts were captured.
//!
//! It must never look at a clock, the database or the wire.

use super::rows::{CaptureMethod, Operation, Payment, Status};
use serde_json::Value;

/// A fact about a payment.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Fact {
    /// The caller changed what is to be paid, before anything was attempted; `None` leaves as it is.
    Amended(Amendment),
    AttemptStarted {
        charge_id: String,
        payment_method_id: String,
    },
    /// The acquirer approved; `captured` tells a sale from a hold.
    Approved {
        captured: bool,
        review_id: Option<String>,
        /// the most that may be captured in all, where that is more than the amount
        amount_maximum: Option<i64>,
    },
    Declined {
        error: Value,
    },
    /// The acquirer waits for the payer; `next_action` is what the wire shows.
    ActionRequired {
        next_action: Value,
    },
    OutcomeUnknown,
    /// People accept the acquirer's amount in the place of the one that was asked for.
    AcquirersAmount {
        amount: i64,
    },
    /// `last`: what is not captured is released
    CaptureStarted {
        amount: i64,
        last: bool,
    },
    Captured {
        amount: i64,
    },
    CaptureRefused,
    /// The authorization shall be for this much in all.
    RaiseStarted {
        amount: i64,
    },
    Raised {
        amount: i64,
        amount_maximum: Option<i64>,
    },
    RaiseRefused,
    VoidStarted {
        reason: Option<String>,
    },
    Voided {
        at: jiff::Timestamp,
    },
    VoidRefused,
    Canceled {
        at: jiff::Timestamp,
        reason: Option<String>,
    },
    RefundStarted {
        amount: i64,
    },
    RefundFailed {
        amount: i64,
    },
    ChargebackTaken {
        amount: i64,
    },
    ChargebackReturned {
        amount: i64,
    },
    /// A case freezes money that could be refunded.
    CaseHeld {
        amount: i64,
    },
    /// It is free again, or about to be refunded, or a chargeback takes it over.
    CaseReleased {
        amount: i64,
    },
}

/// What a caller may change of a payment that nobody has tried to take yet.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Amendment {
    pub amount: Option<i64>,
    pub currency: Option<String>,
    pub capture_method: Option<CaptureMethod>,
    pub customer_id: Option<String>,
    pub payment_method_id: Option<String>,
    pub application_fee_amount: Option<i64>,
}

impl Amendment {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a fact does not fit; in the order of precedence in which they are checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Another operation is at the acquirer; try again when it has ended.
    #[error("another operation ({operation:?}) on this payment is in progress")]
    InProgress {
        /// which one
        operation: Operation,
    },
    /// The state does not allow it.
    #[error("a payment with status {} does not allow this", status.as_str())]
    UnexpectedState {
        /// the status it has
        status: Status,
    },
    /// A chargeback is open: the network decides about the money.
    #[error("the charge has been disputed")]
    Disputed,
    /// What is left is frozen for a case: what becomes of it is decided there.
    #[error("what is left of the charge is frozen for a case")]
    HeldForCase,
    /// Nothing is left to refund.
    #[error("the charge has already been refunded")]
    AlreadyRefunded,
    /// More than there is.
    #[error("the amount is greater than the {available} that are left")]
    TooMuch {
        /// minor units that would have been accepted
        available: i64,
    },
    /// Zero or negative.
    #[error("the amount must be positive")]
    NotPositive,
    /// A raise to what is authorized already, or to less.
    #[error("the amount must be greater than the {authorized} that are authorized")]
    NotMore {
        /// minor units
        authorized: i64,
    },
}

/// What is left to refund: captured, less refunds pending and succeeded, less chargebacks open and lost, less what is
/// frozen for cases.
pub fn refundable(payment: &Payment) -> i64 {
    payment
        .amount_received
        .saturating_sub(payment.amount_refunded)
        .saturating_sub(payment.amount_disputed)
        .saturating_sub(payment.amount_held)
        .max(0)
}

/// The most that one more capture may take, if it is the last: what an acquirer lets be taken beyond the amount counts.
pub fn capturable_at_most(payment: &Payment) -> i64 {
    let beyond = payment
        .amount_maximum
        .unwrap_or(0)
        .saturating_sub(payment.amount_received);
    payment.amount_capturable.max(beyond)
}

/// The payment after the fact.
pub fn apply(payment: &Payment, fact: &Fact) -> Result<Payment, Rejection> {
    let mut next = payment.clone();
    match fact {
        Fact::Amended(change) => {
            idle(payment)?;
            expect(payment, &[Status::RequiresPaymentMethod, Status::RequiresConfirmation])?;
            next.amount = change.amount.unwrap_or(payment.amount);
            next.currency = change.currency.clone().unwrap_or_else(|| payment.currency.clone());
            next.application_fee_amount = change.application_fee_amount.or(payment.application_fee_amount);
            next.capture_method = change.capture_method.unwrap_or(payment.capture_method);
            next.customer_id = change.customer_id.clone().or_else(|| payment.customer_id.clone());
            if change.payment_method_id.is_some() {
                next.payment_method_id.clone_from(&change.payment_method_id);
                next.status = Status::RequiresConfirmation;
            }
        }
        Fact::AttemptStarted {
            charge_id,
            payment_method_id,
        } => {
            idle(payment)?;
            expect(payment, &[Status::RequiresPaymentMethod, Status::RequiresConfirmation])?;
            next.status = Status::Processing;
            begin(&mut next, Operation::Authorize, payment.amount);
            next.charge_id = Some(charge_id.clone());
            next.payment_method_id = Some(payment_method_id.clone());
            next.details.last_payment_error = None;
        }
        Fact::Approved {
            captured,
            review_id,
            amount_maximum,
        } => {
            attempting(payment)?;
            end(&mut next);
            next.details.next_action = None;
            next.review_id.clone_from(review_id);
            if *captured {
                next.status = Status::Succeeded;
                next.amount_received = payment.amount;
            } else {
                next.status = Status::RequiresCapture;
                next.amount_capturable = payment.amount;
                next.amount_maximum = *amount_maximum;
            }
        }
        Fact::Declined { error } => {
            attempting(payment)?;
            end(&mut next);
            next.details.next_action = None;
            next.status = Status::RequiresPaymentMethod;
            next.payment_method_id = None;
            next.details.last_payment_error = Some(error.clone());
        }
        Fact::ActionRequired { next_action } => {
            during(payment, Operation::Authorize)?;
            end(&mut next);
            next.status = Status::RequiresAction;
            next.details.next_action = Some(next_action.clone());
        }
        Fact::AcquirersAmount { amount } => {
            during(payment, Operation::Authorize)?;
            within(*amount, i64::MAX)?;
            next.amount = *amount;
            next.operation_amount = Some(*amount);
        }
        Fact::OutcomeUnknown => during(payment, Operation::Authorize)?,
        Fact::CaptureStarted { amount, last } => {
            idle(payment)?;
            expect(payment, &[Status::RequiresCapture])?;
            if *last {
                within(*amount, capturable_at_most(payment))?;
                begin(&mut next, Operation::Capture, *amount);
            } else {
                within(*amount, payment.amount_capturable - 1)?; // what leaves nothing is the last
                begin(&mut next, Operation::CapturePart, *amount);
            }
        }
        Fact::Captured { amount } if payment.operation == Some(Operation::CapturePart) => {
            within(*amount, payment.amount_capturable)?;
            end(&mut next);
            next.amount_received += amount;
            next.amount_capturable -= amount;
        }
        Fact::Captured { amount } => {
            during(payment, Operation::Capture)?;
            within(*amount, capturable_at_most(payment))?;
            end(&mut next);
            next.status = Status::Succeeded;
            next.amount_received += amount;
            next.amount_capturable = 0;
        }
        Fact::CaptureRefused => {
            if payment.operation != Some(Operation::CapturePart) {
                during(payment, Operation::Capture)?;
            }
            end(&mut next);
        }
        Fact::RaiseStarted { amount } => {
            idle(payment)?;
            expect(payment, &[Status::RequiresCapture])?;
            if payment.amount_received > 0 {
                return Err(Rejection::UnexpectedState { status: payment.status });
            }
            if *amount <= payment.amount {
                return Err(Rejection::NotMore {
                    authorized: payment.amount,
                });
            }
            begin(&mut next, Operation::Increment, *amount);
        }
        Fact::Raised { amount, amount_maximum } => {
            during(payment, Operation::Increment)?;
            end(&mut next);
            next.amount = *amount;
            next.amount_capturable = *amount;
            next.amount_maximum = *amount_maximum;
        }
        Fact::RaiseRefused => {
            during(payment, Operation::Increment)?;
            end(&mut next);
        }
        Fact::VoidStarted { reason } => {
            idle(payment)?;
            expect(payment, &[Status::RequiresCapture, Status::RequiresAction])?;
            let held = match payment.status {
                Status::RequiresCapture => payment.amount_capturable,
                _ => payment.amount,
            };
            begin(&mut next, Operation::Void, held);
            next.details.cancellation_reason.clone_from(reason);
        }
        Fact::Voided { at } => {
            during(payment, Operation::Void)?;
            end(&mut next);
            if payment.amount_received > 0 {
                next.status = Status::Succeeded;
                next.amount_capturable = 0;
                next.details.cancellation_reason = None;
            } else {
                cancel(&mut next, *at);
            }
        }
        Fact::VoidRefused => {
            during(payment, Operation::Void)?;
            end(&mut next);
            next.details.cancellation_reason = None;
        }
        Fact::Canceled { at, reason } => {
            idle(payment)?;
            expect(payment, &[Status::RequiresPaymentMethod, Status::RequiresConfirmation])?;
            next.details.cancellation_reason.clone_from(reason);
            cancel(&mut next, *at);
        }
        Fact::RefundStarted { amount } => {
            taken(payment)?;
            let left = refundable(payment);
            if left == 0 && payment.amount_disputed > 0 {
                return Err(Rejection::Disputed);
            }
            if left == 0 && payment.amount_held > 0 {
                return Err(Rejection::HeldForCase);
            }
            if left == 0 {
                return Err(Rejection::AlreadyRefunded);
            }
            within(*amount, left)?;
            next.amount_refunded += amount;
        }
        Fact::RefundFailed { amount } => {
            taken(payment)?;
            within(*amount, payment.amount_refunded)?;
            next.amount_refunded -= amount;
        }
        Fact::ChargebackTaken { amount } => {
            taken(payment)?;
            within(*amount, i64::MAX - payment.amount_disputed)?;
            next.amount_disputed += amount;
        }
        Fact::ChargebackReturned { amount } => {
            taken(payment)?;
            within(*amount, payment.amount_disputed)?;
            next.amount_disputed -= amount;
        }
        Fact::CaseHeld { amount } => {
            taken(payment)?;
            within(*amount, refundable(payment))?;
            next.amount_held += amount;
        }
        Fact::CaseReleased { amount } => {
            taken(payment)?;
            within(*amount, payment.amount_held)?;
            next.amount_held -= amount;
        }
    }
    // A network debits even what was refunded before: the books show both, a person decides.
    next.double_credit_risk = next.amount_refunded.saturating_add(next.amount_disputed) > next.amount_received;
    Ok(next)
}

/// Whether an approval should take the money at once: automatic capture that nobody wants to look at first.
pub fn capture_at_once(method: CaptureMethod, review: bool) -> bool {
    method == CaptureMethod::Automatic && !review
}

fn idle(payment: &Payment) -> Result<(), Rejection> {
    payment
        .operation
        .map_or(Ok(()), |operation| Err(Rejection::InProgress { operation }))
}

/// An attempt is open: the acquirer is at it, or it waits for the payer.
fn attempting(payment: &Payment) -> Result<(), Rejection> {
    if payment.operation.is_none() && payment.status == Status::RequiresAction {
        return Ok(());
    }
    during(payment, Operation::Authorize)
}

fn during(payment: &Payment, operation: Operation) -> Result<(), Rejection> {
    if payment.operation == Some(operation) {
        return Ok(());
    }
    Err(Rejection::UnexpectedState { status: payment.status })
}

fn expect(payment: &Payment, allowed: &[Status]) -> Result<(), Rejection> {
    if allowed.contains(&payment.status) {
        return Ok(());
    }
    Err(Rejection::UnexpectedState { status: payment.status })
}

/// Money was captured, all of it or parts.
fn taken(payment: &Payment) -> Result<(), Rejection> {
    match payment.status {
        Status::Succeeded => Ok(()),
        Status::RequiresCapture if payment.amount_received > 0 => Ok(()),
        status => Err(Rejection::UnexpectedState { status }),
    }
}

fn within(amount: i64, available: i64) -> Result<(), Rejection> {
    if amount <= 0 {
        return Err(Rejection::NotPositive);
    }
    if amount > available {
        return Err(Rejection::TooMuch { available });
    }
    Ok(())
}

fn begin(payment: &mut Payment, operation: Operation, amount: i64) {
    payment.operation = Some(operation);
    payment.operation_amount = Some(amount);
}

fn end(payment: &mut Payment) {
    payment.operation = None;
    payment.operation_amount = None;
}

fn cancel(payment: &mut Payment, at: jiff::Timestamp) {
    payment.status = Status::Canceled;
    payment.amount_capturable = 0;
    payment.details.next_action = None;
    payment.canceled_at = Some(at);
}

#[cfg(test)]
mod tests;
