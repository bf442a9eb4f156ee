//! 3-D Secure as the acquirer tells it: a challenge handed on, its outcome read, and closed where nobody could answer.

use super::*;
use crate::connector::{Action, NextAction, ThreeDSecure};

#[tokio::test]
async fn a_challenge_is_handed_on() {
    let action = r#","next_action":{"type":"redirect_to_url","redirect_to_url":{"url":"https://bank/3ds"}}"#;
    let expected = Action {
        acquirer_id: "pi_1".into(),
        next: NextAction::Redirect {
            url: "https://bank/3ds".into(),
        },
    };
    let acquirer = Acquirer::says(200, &intent("requires_action", action)).await;
    let request = Authorize {
        challenge: Challenge {
            wanted: Some("any"),
            return_url: Some("https://pay/return".into()),
            ..Challenge::default()
        },
        ..authorization()
    };
    assert_eq!(
        acquirer.stripe.authorize(&request).await,
        Err(Failure::ActionNeeded(expected.clone()))
    );
    let seen = &acquirer.seen()[0];
    for (field, value) in [
        ("payment_method_options[card][request_three_d_secure]", "any"),
        ("return_url", "https://pay/return"),
    ] {
        assert_eq!(seen.field(field), Some(value));
    }
    let acquirer = Acquirer::says(200, &intent("requires_action", action)).await;
    assert_eq!(
        acquirer.stripe.inquire(ask("ch_1", Some("pi_1"))).await,
        Ok(Found::ActionNeeded(expected))
    );
}

#[tokio::test]
async fn what_the_issuer_said_of_the_payer_is_read() {
    let charge = r#"{"id":"ch_9","payment_method_details":{"card":{"three_d_secure":{"authentication_flow":"challenge",
        "result":"authenticated","electronic_commerce_indicator":"05","version":"2.2.0","transaction_id":"t"}}}}"#;
    let body = intent("succeeded", "").replace("\"ch_9\"", charge);
    let acquirer = Acquirer::says(200, &body).await;
    let Ok(Found::Captured { approval, .. }) = acquirer.stripe.inquire(ask("ch_1", Some("pi_1"))).await else {
        panic!("captured")
    };
    assert_eq!(approval.acquirer_reference.as_deref(), Some("ch_9"));
    let said = approval.three_d_secure.unwrap();
    assert_eq!(said.version.as_deref(), Some("2.2.0"));
    assert!(said.shifts_liability());
    for (result, eci) in [("failed", "05"), ("authenticated", "07"), ("not_supported", "06")] {
        let said = ThreeDSecure {
            result: Some(result.into()),
            electronic_commerce_indicator: Some(eci.into()),
            ..ThreeDSecure::default()
        };
        assert!(!said.shifts_liability(), "{result} {eci}");
    }
}

#[tokio::test]
async fn a_challenge_that_nobody_can_answer_is_cancelled_and_declined() {
    for cancelled in [Reply::Answer(200, intent("canceled", "")), Reply::Cut] {
        let acquirer = Acquirer::answering([Reply::Answer(200, intent("requires_action", "")), cancelled]).await;
        let Err(Failure::Declined(decline)) = acquirer.stripe.authorize(&authorization()).await else {
            panic!("a decline")
        };
        assert_eq!(decline.code, "authentication_required");
        let seen = &acquirer.seen()[1];
        assert_eq!(
            (seen.line.as_str(), &seen.headers["idempotency-key"]),
            (
                "POST /v1/payment_intents/pi_1/cancel",
                &HeaderValue::from_static("ch_1:void")
            )
        );
    }
}
