//! The transition table, every fact in every state, and sums that hold under any order of facts.

use super::*;
use crate::payment::rows::PaymentDetails;
use proptest::prelude::*;
use serde_json::json;

fn payment() -> Payment {
    Payment {
        book_id: 1,
        id: "pi_1".into(),
        version: 1,
        status: Status::RequiresConfirmation,
        operation: None,
        operation_amount: None,
        amount: 1000,
        currency: "usd".into(),
        amount_capturable: 0,
        amount_received: 0,
        amount_refunded: 0,
        amount_disputed: 0,
        amount_held: 0,
        double_credit_risk: false,
        capture_method: CaptureMethod::Automatic,
        customer_id: None,
        payment_method_id: None,
        charge_id: None,
        review_id: None,
        line_items: None,
        application_fee_amount: None,
        amount_maximum: None,
        created_at: jiff::Timestamp::UNIX_EPOCH,
        canceled_at: None,
        details: PaymentDetails::default(),
    }
}

fn after(facts: &[Fact]) -> Payment {
    facts.iter().fold(payment(), |p, fact| {
        apply(&p, fact).unwrap_or_else(|e| panic!("{fact:?}: {e}"))
    })
}

fn started() -> Fact {
    Fact::AttemptStarted {
        charge_id: "ch_1".into(),
        payment_method_id: "pm_1".into(),
    }
}

fn approved(captured: bool) -> Fact {
    Fact::Approved {
        captured,
        review_id: None,
        amount_maximum: None,
    }
}

/// The last, or only, capture.
fn capture(amount: i64) -> Fact {
    Fact::CaptureStarted { amount, last: true }
}

fn part(amount: i64) -> Fact {
    Fact::CaptureStarted { amount, last: false }
}

fn at() -> jiff::Timestamp {
    jiff::Timestamp::UNIX_EPOCH
}

/// One of each fact, with an amount that fits a whole payment of 1000.
fn facts() -> Vec<Fact> {
    vec![
        started(),
        approved(true),
        approved(false),
        Fact::Declined { error: json!({}) },
        Fact::OutcomeUnknown,
        capture(400),
        Fact::Captured { amount: 400 },
        Fact::CaptureRefused,
        Fact::VoidStarted { reason: None },
        Fact::Voided { at: at() },
        Fact::VoidRefused,
        Fact::Canceled { at: at(), reason: None },
        Fact::RefundStarted { amount: 100 },
        Fact::RefundFailed { amount: 100 },
        Fact::ChargebackTaken { amount: 100 },
        Fact::ChargebackReturned { amount: 100 },
        Fact::Amended(Amendment {
            amount: Some(900),
            ..Amendment::default()
        }),
        Fact::ActionRequired { next_action: json!({}) },
        part(300),                           // 18
        Fact::Captured { amount: 300 },      // 19
        Fact::RaiseStarted { amount: 1500 }, // 20
        Fact::Raised {
            amount: 1500,
            amount_maximum: None,
        },
        Fact::RaiseRefused, // 22
        Fact::AcquirersAmount { amount: 999 },
    ]
}

/// Every state that a payment can be in, with the facts it accepts, by their place in [`facts`]. All others are refused.
#[test]
fn each_state_accepts_its_facts_and_no_other() {
    let table: &[(&str, Payment, &[usize])] = &[
        ("requires_confirmation", payment(), &[0, 11, 16]),
        (
            "requires_payment_method",
            Payment {
                status: Status::RequiresPaymentMethod,
                ..payment()
            },
            &[0, 11, 16],
        ),
        (
            "requires_action",
            after(&[started(), Fact::ActionRequired { next_action: json!({}) }]),
            &[1, 2, 3, 8],
        ),
        (
            "requires_action, being taken back",
            after(&[
                started(),
                Fact::ActionRequired { next_action: json!({}) },
                Fact::VoidStarted { reason: None },
            ]),
            &[9, 10],
        ),
        ("processing", after(&[started()]), &[1, 2, 3, 4, 17, 23]),
        (
            "requires_capture",
            after(&[started(), approved(false)]),
            &[5, 8, 18, 20],
        ),
        (
            "capturing",
            after(&[started(), approved(false), capture(400)]),
            &[6, 7, 19],
        ),
        (
            "capturing a part",
            after(&[started(), approved(false), part(300)]),
            &[6, 7, 19],
        ),
        (
            "captured in part: refunded, disputed, captured and released, not raised",
            after(&[started(), approved(false), part(300), Fact::Captured { amount: 300 }]),
            &[5, 8, 12, 14, 18],
        ),
        (
            "being raised",
            after(&[started(), approved(false), Fact::RaiseStarted { amount: 1500 }]),
            &[21, 22],
        ),
        (
            "voiding",
            after(&[started(), approved(false), Fact::VoidStarted { reason: None }]),
            &[9, 10],
        ),
        ("succeeded", after(&[started(), approved(true)]), &[12, 14]),
        (
            "succeeded, refunded in part",
            after(&[started(), approved(true), Fact::RefundStarted { amount: 100 }]),
            &[12, 13, 14],
        ),
        (
            "succeeded, disputed in part",
            after(&[started(), approved(true), Fact::ChargebackTaken { amount: 100 }]),
            &[12, 14, 15],
        ),
        ("canceled", after(&[Fact::Canceled { at: at(), reason: None }]), &[]),
    ];
    for (name, payment, accepted) in table {
        for (index, fact) in facts().iter().enumerate() {
            let outcome = apply(payment, fact);
            assert_eq!(
                outcome.is_ok(),
                accepted.contains(&index),
                "{name}: {fact:?} -> {outcome:?}"
            );
        }
    }
}

#[test]
fn a_partial_capture_takes_its_part_and_leaves_nothing_capturable() {
    let p = after(&[started(), approved(false), capture(400), Fact::Captured { amount: 400 }]);
    assert_eq!(
        (p.status, p.amount_received, p.amount_capturable, p.operation),
        (Status::Succeeded, 400, 0, None)
    );
    assert_eq!(
        apply(&p, &Fact::RefundStarted { amount: 401 }),
        Err(Rejection::TooMuch { available: 400 })
    );
}

#[test]
fn parts_add_up_and_what_is_left_is_released_or_taken() {
    let parted = after(&[started(), approved(false), part(300), Fact::Captured { amount: 300 }]);
    assert_eq!(
        (parted.status, parted.amount_received, parted.amount_capturable),
        (Status::RequiresCapture, 300, 700)
    );
    assert_eq!(
        apply(&parted, &part(700)),
        Err(Rejection::TooMuch { available: 699 }),
        "what leaves nothing is the last"
    );
    let then = |facts: &[Fact]| {
        facts
            .iter()
            .fold(parted.clone(), |p, fact| apply(&p, fact).expect("allowed"))
    };
    let whole = then(&[capture(700), Fact::Captured { amount: 700 }]);
    assert_eq!((whole.status, whole.amount_received), (Status::Succeeded, 1000));
    let released = then(&[Fact::VoidStarted { reason: None }, Fact::Voided { at: at() }]);
    assert_eq!(
        (released.status, released.amount_received, released.amount_capturable),
        (Status::Succeeded, 300, 0)
    );
    assert_eq!(
        (released.canceled_at, released.details.cancellation_reason),
        (None, None)
    );
}

#[test]
fn raises_are_of_the_whole_and_maxima_of_all_that_is_taken() {
    let held = after(&[started(), approved(false)]);
    assert_eq!(
        apply(&held, &Fact::RaiseStarted { amount: 1000 }),
        Err(Rejection::NotMore { authorized: 1000 })
    );
    let raised = after(&[
        started(),
        approved(false),
        Fact::RaiseStarted { amount: 1500 },
        Fact::Raised {
            amount: 1500,
            amount_maximum: Some(1800),
        },
    ]);
    assert_eq!((raised.amount, raised.amount_capturable), (1500, 1500));
    assert!(apply(&raised, &capture(1800)).is_ok());
    assert_eq!(
        apply(&raised, &capture(1801)),
        Err(Rejection::TooMuch { available: 1800 })
    );
    assert_eq!(
        apply(&raised, &part(1500)),
        Err(Rejection::TooMuch { available: 1499 }),
        "a part is never beyond what was authorized"
    );
}

#[test]
fn refusals_say_why() {
    let full = after(&[started(), approved(true), Fact::RefundStarted { amount: 1000 }]);
    assert_eq!(
        apply(&full, &Fact::RefundStarted { amount: 1 }),
        Err(Rejection::AlreadyRefunded)
    );
    let disputed = after(&[started(), approved(true), Fact::ChargebackTaken { amount: 1000 }]);
    assert_eq!(
        apply(&disputed, &Fact::RefundStarted { amount: 1 }),
        Err(Rejection::Disputed)
    );
    let busy = after(&[started(), approved(false), capture(1)]);
    assert_eq!(
        apply(&busy, &Fact::VoidStarted { reason: None }),
        Err(Rejection::InProgress {
            operation: Operation::Capture
        })
    );
    let held = after(&[started(), approved(false)]);
    assert_eq!(apply(&held, &capture(0)), Err(Rejection::NotPositive));
    assert_eq!(
        apply(&held, &capture(1001)),
        Err(Rejection::TooMuch { available: 1000 })
    );
}

#[test]
fn a_chargeback_after_a_refund_is_booked_and_marked() {
    let p = after(&[
        started(),
        approved(true),
        Fact::RefundStarted { amount: 600 },
        Fact::ChargebackTaken { amount: 1000 },
    ]);
    assert!(p.double_credit_risk);
    let p = apply(&p, &Fact::ChargebackReturned { amount: 1000 }).expect("won");
    assert!(!p.double_credit_risk);
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let amount = -5i64..1200;
    prop_oneof![
        Just(started()),
        any::<bool>().prop_map(approved),
        Just(Fact::Declined { error: json!({}) }),
        Just(Fact::OutcomeUnknown),
        Just(Fact::ActionRequired { next_action: json!({}) }),
        (amount.clone(), any::<bool>()).prop_map(|(amount, last)| Fact::CaptureStarted { amount, last }),
        amount.clone().prop_map(|amount| Fact::RaiseStarted { amount }),
        (1i64..1200, any::<bool>()).prop_map(|(amount, over)| Fact::Raised {
            amount,
            amount_maximum: over.then_some(amount + 100),
        }),
        Just(Fact::RaiseRefused),
        amount.clone().prop_map(|amount| Fact::Captured { amount }),
        Just(Fact::CaptureRefused),
        Just(Fact::VoidStarted { reason: None }),
        Just(Fact::Voided { at: at() }),
        Just(Fact::VoidRefused),
        Just(Fact::Canceled { at: at(), reason: None }),
        amount.clone().prop_map(|amount| Fact::RefundStarted { amount }),
        amount.clone().prop_map(|amount| Fact::RefundFailed { amount }),
        amount.clone().prop_map(|amount| Fact::ChargebackTaken { amount }),
        amount.prop_map(|amount| Fact::ChargebackReturned { amount }),
    ]
}

proptest! {
    /// The same sums that the table's CHECK constraints demand hold after any facts in any order.
    #[test]
    fn sums_hold_after_any_facts(facts in proptest::collection::vec(any_fact(), 0..60)) {
        let mut p = payment();
        for fact in &facts {
            let Ok(next) = apply(&p, fact) else { continue };
            prop_assert!((0..=next.amount).contains(&next.amount_capturable));
            let most = next.amount.max(next.amount_maximum.unwrap_or(0));
            prop_assert!((0..=most).contains(&next.amount_received));
            prop_assert!(next.amount_capturable + next.amount_received <= most);
            prop_assert!((0..=next.amount_received).contains(&next.amount_refunded));
            prop_assert!(next.amount_disputed >= 0);
            prop_assert!(next.double_credit_risk == (next.amount_refunded + next.amount_disputed > next.amount_received));
            prop_assert_eq!(next.operation.is_some(), next.operation_amount.is_some());
            prop_assert!(next.status != Status::Canceled || next.amount_received == 0);
            prop_assert_eq!(next.status == Status::RequiresAction, next.details.next_action.is_some());
            // money that was taken is never forgotten
            prop_assert!(next.amount_received >= p.amount_received);
            p = next;
        }
    }
}
