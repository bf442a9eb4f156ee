//! The connector against the simulated acquirer, whole: what one writes the other reads.

use super::tests::{authorization, config};
use super::*;
use crate::connector::test_requests::{ask, back, capture};
use crate::connector::test_world::World;
use crate::connector::{CallbackRefused, DisputeReport};

/// A simulator of this test alone, a connector to it, and the callbacks that it sends.
async fn world() -> (Stripe, World) {
    let world = World::start().await;
    (Stripe::new(config(&world.api_url)).unwrap(), world)
}

fn by_token(reference: &str, token: &str, capture: bool) -> Authorize {
    Authorize {
        reference: reference.to_owned(),
        card: CardSource::TestToken(token.to_owned()),
        capture,
        ..authorization()
    }
}

/// The next report that the filter wants; every callback must be genuine.
async fn report<T>(stripe: &Stripe, world: &mut World, want: impl Fn(Report) -> Option<T>) -> T {
    loop {
        let (headers, body) = world.callbacks.recv().await.unwrap();
        let now = jiff::Timestamp::now();
        stripe.parse_callback(&headers, &body, now).unwrap();
        let mut altered = body.to_vec();
        altered[0] ^= 1;
        assert!(matches!(
            stripe.parse_callback(&headers, &altered, now),
            Err(CallbackRefused::Signature(_))
        ));
        if let Some(wanted) = want(stripe.report(std::str::from_utf8(&body).unwrap()).unwrap()) {
            return wanted;
        }
    }
}

#[tokio::test]
async fn a_payment_lives_its_life() {
    let (stripe, mut world) = world().await;
    let held = stripe
        .authorize(&Authorize {
            capture: false,
            ..authorization()
        })
        .await
        .unwrap();
    let again = stripe
        .authorize(&Authorize {
            capture: false,
            ..authorization()
        })
        .await
        .unwrap();
    assert_eq!(held, again, "one reference, one effect");
    assert_eq!(
        stripe.inquire(ask("ch_1", None)).await,
        Ok(Found::Authorized {
            approval: held.clone(),
            amount: 2000,
            captured: 0
        })
    );
    let taken = stripe.capture(capture("ch_1", &held.acquirer_id, 1500)).await.unwrap();
    assert!(taken.captured && taken.acquirer_reference.is_some());
    let Ok(Found::Captured { approval, amount: 1500 }) = stripe.inquire(ask("ch_1", Some(&held.acquirer_id))).await
    else {
        panic!("captured")
    };
    // An inquiry reads the charge too, and so knows the network's id of it.
    assert!(approval.network_transaction_id.is_some());
    assert_eq!(
        approval,
        Approval {
            network_transaction_id: approval.network_transaction_id.clone(),
            allowance: approval.allowance,
            ..taken
        }
    );
    let refund = stripe
        .refund(back("re_1", &held.acquirer_id, 500, Some("fraudulent")))
        .await
        .unwrap();
    let found = FoundRefund::Succeeded {
        acquirer_id: refund.acquirer_id,
    };
    assert_eq!(
        stripe.inquire_refund(back("re_1", &held.acquirer_id, 500, None)).await,
        Ok(found)
    );
    assert_eq!(
        stripe.inquire_refund(back("re_2", &held.acquirer_id, 500, None)).await,
        Ok(FoundRefund::Nothing)
    );
    assert!(matches!(
        stripe.refund(back("re_2", &held.acquirer_id, 1001, None)).await,
        Err(Failure::Declined(_))
    ));
    let reference = report(&stripe, &mut world, |r| match r {
        Report::Payment { reference, .. } => reference,
        _ => None,
    });
    assert_eq!(reference.await, "ch_1");
}

#[tokio::test]
async fn voids_declines_and_challenges() {
    let (stripe, _world) = world().await;
    let held = stripe
        .authorize(&by_token("ch_1", "pm_card_visa", false))
        .await
        .unwrap();
    stripe.void("ch_1", &held.acquirer_id).await.unwrap();
    assert_eq!(
        stripe.inquire(ask("ch_1", None)).await,
        Ok(Found::Voided {
            acquirer_id: held.acquirer_id.clone()
        })
    );
    // Too late: what happened before must be asked, not guessed.
    assert!(matches!(
        stripe.capture(capture("ch_1", &held.acquirer_id, 2000)).await,
        Err(Failure::Unknown(_))
    ));
    assert_eq!(stripe.inquire(ask("ch_none", None)).await, Ok(Found::Nothing));

    for (reference, token, code, decline_code) in [
        (
            "ch_2",
            "pm_card_visa_chargeDeclinedInsufficientFunds",
            "card_declined",
            Some("insufficient_funds"),
        ),
        ("ch_3", "pm_card_chargeDeclinedExpiredCard", "expired_card", None),
        (
            "ch_4",
            "pm_card_authenticationRequired",
            "authentication_required",
            Some("authentication_required"),
        ),
    ] {
        let Err(Failure::Declined(decline)) = stripe.authorize(&by_token(reference, token, true)).await else {
            panic!("{token}")
        };
        assert_eq!(decline.code, code, "{token}");
        assert!(
            decline_code.is_none() || decline.decline_code.as_deref() == decline_code,
            "{token} {decline:?}"
        );
        assert!(decline.acquirer_id.is_some(), "{token}");
        let found = stripe.inquire(ask(reference, None)).await.unwrap();
        assert!(
            matches!(found, Found::Declined(_) | Found::Voided { .. }),
            "{token} {found:?}"
        );
    }
}

#[tokio::test]
async fn a_dispute_is_reported_and_answered() {
    let (stripe, mut world) = world().await;
    let paid = stripe
        .authorize(&by_token("ch_1", "pm_card_createDispute", true))
        .await
        .unwrap();
    let dispute = report(&stripe, &mut world, |r| match r {
        Report::Dispute {
            kind: DisputeReport::Created,
            dispute,
        } => Some(dispute),
        _ => None,
    })
    .await;
    assert_eq!(dispute.payment_acquirer_id.as_ref(), Some(&paid.acquirer_id));
    assert_eq!(
        (dispute.amount, dispute.status.as_str(), dispute.reason.as_str()),
        (2000, "needs_response", "fraudulent")
    );
    assert!(dispute.due_by.is_some_and(|due_by| due_by > 0));
    let fields = serde_json::json!({"uncategorized_text": "winning_evidence"});
    let fields = fields.as_object().unwrap();
    let answered = stripe
        .submit_evidence("du_1", &dispute.acquirer_id, fields, true)
        .await
        .unwrap();
    assert_eq!(answered.status, "under_review");
    let closed = report(&stripe, &mut world, |r| match r {
        Report::Dispute {
            kind: DisputeReport::Closed,
            dispute,
        } => Some(dispute),
        _ => None,
    })
    .await;
    assert_eq!(closed.status, "won");
    assert!(
        closed.moves.iter().any(|m| m.fee > 0),
        "the fee of the withdrawal: {closed:?}"
    );
}
