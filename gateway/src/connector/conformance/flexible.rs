//! Authorizations that are taken in parts, raised, or taken beyond what was authorized: what every connector must do that says it can.

use super::*;

pub(super) async fn a_hold_is_captured_in_parts(subject: Subject) {
    assert!(subject.connector.capabilities().multiple_capture);
    let held = subject.pay("ch_1", false).await.unwrap();
    assert!(held.allowance.multicapture);
    for (n, taken) in [(1, 0), (2, 500)] {
        let reference = format!("ch_1:capture:{n}");
        let part = subject
            .connector
            .capture(part(&reference, &held.acquirer_id, 500, taken))
            .await
            .unwrap();
        assert!(!part.captured, "{part:?}");
        let again = test_requests::part(&reference, &held.acquirer_id, 500, taken);
        assert_eq!(subject.connector.capture(again).await, Ok(part), "the same again");
        let Found::Authorized { captured, .. } = subject.agrees("ch_1").await else {
            panic!("the rest still stands")
        };
        assert_eq!(captured, 500 * n);
    }
    // Given back from the parts, while the rest still stands.
    subject.connector.refund(back("re_1", &held, 300)).await.unwrap();
    let more = Capture {
        last: true,
        ..part("ch_1:capture:3", &held.acquirer_id, AMOUNT - 999, 1000)
    };
    let refused = subject.connector.capture(more).await;
    assert!(
        matches!(refused, Err(Failure::Declined(_))) || held.allowance.amount_maximum.is_some(),
        "{refused:?}"
    );
    if refused.is_err() {
        let rest = Capture {
            last: true,
            ..part("ch_1:capture:4", &held.acquirer_id, AMOUNT - 1000, 1000)
        };
        assert!(subject.connector.capture(rest).await.unwrap().captured);
        assert!(matches!(
            subject.agrees("ch_1").await,
            Found::Captured { amount: AMOUNT, .. }
        ));
    }
    let late = subject
        .connector
        .capture(part("ch_1:capture:5", &held.acquirer_id, 1, AMOUNT))
        .await;
    assert!(late.is_err(), "{late:?}");
}

pub(super) async fn what_is_left_after_parts_is_released(subject: Subject) {
    let held = subject.pay("ch_1", false).await.unwrap();
    subject
        .connector
        .capture(part("ch_1:capture", &held.acquirer_id, 700, 0))
        .await
        .unwrap();
    subject.connector.void("ch_1:void", &held.acquirer_id).await.unwrap();
    subject.connector.void("ch_1:void", &held.acquirer_id).await.unwrap();
    assert!(matches!(
        subject.agrees("ch_1").await,
        Found::Captured { amount: 700, .. }
    ));
    let late = subject
        .connector
        .capture(part("ch_1:capture:2", &held.acquirer_id, 100, 700))
        .await;
    assert!(late.is_err(), "{late:?}");
    assert_eq!(subject.truth("ch_1").await.captured, 700);
}

pub(super) async fn a_hold_is_raised_or_stands(subject: Subject) {
    assert!(subject.connector.capabilities().incremental_authorization);
    let held = subject.pay("ch_1", false).await.unwrap();
    assert!(held.allowance.incremental);
    let wanted = raise("ch_1:increment", &held.acquirer_id, AMOUNT, 3000);
    let raised = subject.connector.raise(wanted).await.unwrap();
    assert_eq!(
        subject.connector.raise(wanted).await.map(|again| again.acquirer_id),
        Ok(raised.acquirer_id)
    );
    let asked = Inquiry {
        raised: Some(3000),
        ..ask("ch_1")
    };
    let found = subject.connector.inquire(asked).await;
    assert!(
        matches!(
            found,
            Ok(Found::Authorized {
                amount: 3000,
                captured: 0,
                ..
            })
        ),
        "{found:?}"
    );
    assert_eq!(subject.truth("ch_1").await.authorized, 3000);
    // The issuer does not go as far as that; what stands, stands.
    let wanted = raise("ch_1:increment:2", &held.acquirer_id, 3000, 90_000);
    for _ in 0..2 {
        let refused = subject.connector.raise(wanted).await;
        let Err(Failure::Declined(decline)) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(decline.decline_code.as_deref(), Some("insufficient_funds"));
    }
    assert_eq!(subject.truth("ch_1").await.authorized, 3000);
    subject
        .connector
        .capture(take("ch_1:capture", &held, 3000))
        .await
        .unwrap();
    assert_eq!(subject.truth("ch_1").await.captured, 3000);
}

/// Nobody knows whether it was raised: asked again under the same reference, it was, or it stands as before. Never both.
pub(super) async fn a_raise_without_an_answer(subject: Subject) {
    for (n, action) in ["timeout_before", "timeout_after"].into_iter().enumerate() {
        let reference = format!("ch_{n}");
        let held = subject.pay(&reference, false).await.unwrap();
        let increment = format!("{reference}:increment");
        let wanted = raise(&increment, &held.acquirer_id, AMOUNT, 3000);
        subject.fault(subject.shape.raise, action, 60_000).await;
        let answer = subject.connector.raise(wanted).await;
        assert!(matches!(answer, Err(Failure::Unknown(_))), "{action}: {answer:?}");
        let mut raised = None;
        for _ in 0..600 {
            match subject.connector.raise(wanted).await {
                Ok(_) => raised = Some(true),
                Err(Failure::Declined(_)) => raised = Some(false),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            if raised.is_some() {
                break;
            }
        }
        let amount = match raised {
            Some(true) => 3000,
            Some(false) => AMOUNT,
            None => panic!("{action}: it is never known"),
        };
        assert_eq!(subject.truth(&reference).await.authorized, amount, "{action}");
        let asked = Inquiry {
            raised: Some(3000),
            ..ask(&reference)
        };
        let found = subject.connector.inquire(asked).await;
        assert!(
            matches!(found, Ok(Found::Authorized { amount: stands, .. }) if stands == amount),
            "{found:?}"
        );
    }
}

pub(super) async fn a_part_without_an_answer(subject: Subject) {
    let held = subject.pay("ch_1", false).await.unwrap();
    subject.fault(subject.shape.capture, "timeout_after", 60_000).await;
    let answer = subject
        .connector
        .capture(part("ch_1:capture", &held.acquirer_id, 700, 0))
        .await;
    assert!(matches!(answer, Err(Failure::Unknown(_))), "{answer:?}");
    let found = subject.agrees("ch_1").await;
    assert!(matches!(found, Found::Authorized { captured: 700, .. }), "{found:?}");
    let last = Capture {
        last: true,
        ..part("ch_1:capture:2", &held.acquirer_id, AMOUNT - 700, 700)
    };
    subject.connector.capture(last).await.unwrap();
    assert!(matches!(
        subject.agrees("ch_1").await,
        Found::Captured { amount: AMOUNT, .. }
    ));
}

pub(super) async fn more_than_the_hold_only_where_allowed(subject: Subject) {
    let held = subject.pay("ch_1", false).await.unwrap();
    let allowed = held.allowance.amount_maximum;
    assert_eq!(allowed.is_some(), subject.connector.capabilities().overcapture);
    let most = allowed.unwrap_or(AMOUNT);
    let beyond = subject.connector.capture(take("ch_1:capture", &held, most + 1)).await;
    assert!(matches!(beyond, Err(Failure::Declined(_))), "{beyond:?}");
    assert_eq!(subject.truth("ch_1").await.captured, 0);
    subject
        .connector
        .capture(take("ch_1:capture:2", &held, most))
        .await
        .unwrap();
    assert_eq!(subject.truth("ch_1").await.captured, most);
}

fn part<'a>(reference: &'a str, acquirer_id: &'a str, amount: i64, taken: i64) -> Capture<'a> {
    test_requests::part(reference, acquirer_id, amount, taken)
}

fn raise<'a>(reference: &'a str, acquirer_id: &'a str, from: i64, amount: i64) -> Raise<'a> {
    test_requests::raise(reference, acquirer_id, from, amount)
}
