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
//! | requires_capture | capture started | same (capture) | – | – |
//! | requires_capture (capture) | captured | succeeded | J03 J04 (rest released) | charge.captured, payment_intent.succeeded |
//! | requires_capture (capture) | capture refused | requires_capture | – | – |
//! | requires_capture, requires_action | void started (asked for, or the authorization has lapsed: `automatic`) | same (void) | – | – |
//! | requires_capture (void) | voided | canceled | J02 | payment_intent.canceled |
//! | requires_action (void) | voided | canceled | – | payment_intent.canceled |
//! | requires_payment_method, requires_confirmation | canceled | canceled | – | payment_intent.canceled |
//! | succeeded | refund started | same | J08a | refund.created |
//! | succeeded | refund failed | same | J09 | refund.failed |
//! | succeeded | chargeback taken | same | J11 J11b J12 | charge.dispute.funds_withdrawn |
//! | succeeded | chargeback returned | same | J14a J14c | charge.dispute.funds_reinstated |
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
    },
    Declined {
        error: Value,
    },
    /// The acquirer waits for the payer; `next_action` is what the wire shows.
    ActionRequired {
        next_action: Value,
    },
    OutcomeUnknown,
    CaptureStarted {
        amount: i64,
    },
    Captured {
        amount: i64,
    },
    CaptureRefused,
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
}

/// What is left to refund: captured, less refunds pending and succeeded, less chargebacks open and lost.
pub fn refundable(payment: &Payment) -> i64 {
    payment
        .amount_received
        .saturating_sub(payment.amount_refunded)
        .saturating_sub(payment.amount_disputed)
        .max(0)
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
        Fact::Approved { captured, review_id } => {
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
        Fact::OutcomeUnknown => during(payment, Operation::Authorize)?,
        Fact::CaptureStarted { amount } => {
            idle(payment)?;
            expect(payment, &[Status::RequiresCapture])?;
            within(*amount, payment.amount_capturable)?;
            begin(&mut next, Operation::Capture, *amount);
        }
        Fact::Captured { amount } => {
            during(payment, Operation::Capture)?;
            within(*amount, payment.amount_capturable)?;
            end(&mut next);
            next.status = Status::Succeeded;
            next.amount_received = *amount;
            next.amount_capturable = 0;
        }
        Fact::CaptureRefused => {
            during(payment, Operation::Capture)?;
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
            cancel(&mut next, *at);
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
            expect(payment, &[Status::Succeeded])?;
            let left = refundable(payment);
            if left == 0 && payment.amount_disputed > 0 {
                return Err(Rejection::Disputed);
            }
            if left == 0 {
                return Err(Rejection::AlreadyRefunded);
            }
            within(*amount, left)?;
            next.amount_refunded += amount;
        }
        Fact::RefundFailed { amount } => {
            expect(payment, &[Status::Succeeded])?;
            within(*amount, payment.amount_refunded)?;
            next.amount_refunded -= amount;
        }
        Fact::ChargebackTaken { amount } => {
            expect(payment, &[Status::Succeeded])?;
            within(*amount, i64::MAX - payment.amount_disputed)?;
            next.amount_disputed += amount;
        }
        Fact::ChargebackReturned { amount } => {
            expect(payment, &[Status::Succeeded])?;
            within(*amount, payment.amount_disputed)?;
            next.amount_disputed -= amount;
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
