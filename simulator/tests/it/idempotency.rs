//! One effect per key, however often and however concurrently.

use crate::support::{Simulator, text};
use serde_json::json;
use std::sync::Arc;

const PAY: &str = "amount=1000&currency=usd&confirm=true&payment_method=pm_card_visa";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_concurrent_requests_with_one_key_make_one_payment() {
    let simulator = Arc::new(Simulator::start().await);
    // The first one is slow, so that the others meet it in flight.
    simulator
        .admin("/admin/faults", json!({ "action": "delay", "ms": 300, "remaining": 1 }))
        .await;
    let requests = (0..100).map(|_| {
        let simulator = simulator.clone();
        tokio::spawn(async move {
            simulator
                .try_post("/v1/payment_intents", PAY, Some("same"))
                .await
                .expect("answered")
        })
    });
    let mut bodies = std::collections::HashSet::new();
    let mut conflicts = 0;
    for request in requests.collect::<Vec<_>>() {
        let answer = request.await.expect("joined");
        match answer.status {
            200 => {
                bodies.insert(answer.text);
            }
            409 => {
                conflicts += 1;
                assert_eq!(answer.body["error"]["code"], "idempotency_key_in_use");
                assert_eq!(answer.headers["stripe-should-retry"], "true");
            }
            other => panic!("{other}: {}", answer.text),
        }
    }
    assert_eq!(bodies.len(), 1);
    assert!(conflicts > 0, "nobody met the first request in flight");
    let counts = simulator.admin_get("/admin/requests?idempotency_key=same").await.body;
    assert_eq!(
        (&counts["executions"], &counts["conflicts"]),
        (&json!(1), &json!(conflicts))
    );
    assert_eq!(
        simulator.admin_get("/admin/truth/summary").await.body["payment_intents"],
        1
    );
}

#[tokio::test]
async fn a_replay_is_the_first_answer_byte_for_byte() {
    let simulator = Simulator::start().await;
    let form = "amount=1000&currency=usd&confirm=true&capture_method=manual&payment_method=pm_card_visa&expand[]=latest_charge";
    let first = simulator
        .try_post("/v1/payment_intents", form, Some("a"))
        .await
        .expect("answered");
    let id = text(&first.body["id"]).to_owned();
    simulator.post(&format!("/v1/payment_intents/{id}/capture"), "").await;
    // The order of parameters does not matter; the state since then does not either.
    let swapped = "currency=usd&amount=1000&confirm=true&capture_method=manual&payment_method=pm_card_visa&expand[0]=latest_charge";
    let again = simulator
        .try_post("/v1/payment_intents", swapped, Some("a"))
        .await
        .expect("answered");
    assert_eq!((again.status, &again.text), (200, &first.text));
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert!(!first.headers.contains_key("idempotent-replayed"));

    let declined = "amount=1000&currency=usd&confirm=true&payment_method=pm_card_visa_chargeDeclined";
    let first = simulator
        .try_post("/v1/payment_intents", declined, Some("b"))
        .await
        .expect("answered");
    let again = simulator
        .try_post("/v1/payment_intents", declined, Some("b"))
        .await
        .expect("answered");
    assert_eq!((again.status, &again.text), (402, &first.text));
}

#[tokio::test]
async fn a_key_belongs_to_its_parameters_its_endpoint_and_its_account() {
    let simulator = Simulator::start().await;
    simulator
        .try_post("/v1/payment_intents", PAY, Some("a"))
        .await
        .expect("answered");
    let other = simulator
        .try_post("/v1/payment_intents", &PAY.replace("1000", "1001"), Some("a"))
        .await
        .expect("answered");
    assert_eq!(
        (other.status, text(&other.body["error"]["type"])),
        (400, "idempotency_error")
    );
    assert!(text(&other.body["error"]["message"]).contains("same parameters"));
    let other = simulator
        .try_post("/v1/refunds", PAY, Some("a"))
        .await
        .expect("answered");
    assert!(text(&other.body["error"]["message"]).contains("('/v1/payment_intents' vs '/v1/refunds')"));
    let headers = [
        ("authorization", "Bearer sk_test_1"),
        ("idempotency-key", "a"),
        ("stripe-account", "acct_2"),
    ];
    let url = format!("{}/v1/payment_intents", simulator.api);
    let foreign = simulator
        .send(http::Method::POST, &url, &headers, PAY.to_owned())
        .await
        .expect("answered");
    assert_eq!(foreign.status, 200);
    assert!(!foreign.headers.contains_key("idempotent-replayed"));
}

#[tokio::test]
async fn refused_parameters_are_not_stored_but_refused_states_are() {
    let simulator = Simulator::start().await;
    let bad = simulator
        .try_post("/v1/payment_intents", "amount=abc&currency=usd", Some("a"))
        .await
        .expect("answered");
    assert_eq!(bad.status, 400);
    let good = simulator
        .try_post("/v1/payment_intents", PAY, Some("a"))
        .await
        .expect("answered");
    assert_eq!(good.status, 200, "{}", good.text);
    let cancel = format!("/v1/payment_intents/{}/cancel", text(&good.body["id"]));
    for replayed in [false, true] {
        let refused = simulator.try_post(&cancel, "", Some("b")).await.expect("answered");
        assert_eq!(refused.body["error"]["code"], "payment_intent_unexpected_state");
        assert_eq!(refused.headers.contains_key("idempotent-replayed"), replayed);
    }
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let simulator = Simulator::start().await;
    let first = simulator
        .try_post("/v1/payment_intents", PAY, Some("a"))
        .await
        .expect("answered");
    simulator.pass(86_401).await;
    let second = simulator
        .try_post("/v1/payment_intents", PAY, Some("a"))
        .await
        .expect("answered");
    assert_ne!(first.body["id"], second.body["id"]);
}
