//! Each fault does what it says and no more.

use crate::support::{Simulator, text};
use serde_json::json;

const PAY: &str =
    "amount=1000&currency=usd&confirm=true&payment_method=pm_card_visa&metadata[counterfoil_reference]=r1";

async fn payments(simulator: &Simulator) -> u64 {
    simulator.admin_get("/admin/truth/summary").await.body["payment_intents"]
        .as_u64()
        .expect("count")
}

#[tokio::test]
async fn unanswered_requests_did_or_did_not_happen() {
    let simulator = Simulator::start().await;
    for (action, happens) in [
        ("timeout_before", 0),
        ("reset", 0),
        ("timeout_after", 1),
        ("reset_after", 1),
    ] {
        let key = format!("key-{action}");
        let before = payments(&simulator).await;
        simulator
            .admin(
                "/admin/faults",
                json!({ "action": action, "path": "/v1/payment_intents", "remaining": 1 }),
            )
            .await;
        let error = simulator
            .try_post("/v1/payment_intents", PAY, Some(&key))
            .await
            .err()
            .expect("no answer");
        assert_eq!(
            error.contains("ConnectionReset"),
            action.starts_with("reset"),
            "{action}: {error}"
        );
        assert_eq!(payments(&simulator).await - before, happens, "{action}");
        // Whatever happened, the same key ends in exactly one payment.
        let retried = simulator
            .try_post("/v1/payment_intents", PAY, Some(&key))
            .await
            .expect("answered");
        assert_eq!(
            (retried.status, payments(&simulator).await - before),
            (200, 1),
            "{action}"
        );
        assert_eq!(
            retried.headers.contains_key("idempotent-replayed"),
            happens == 1,
            "{action}"
        );
    }
    let search = simulator
        .get("/v1/payment_intents/search?query=metadata%5B'counterfoil_reference'%5D:'r1'")
        .await;
    assert_eq!(
        search["data"].as_array().map(Vec::len),
        Some(4),
        "each can be found by our reference"
    );
}

#[tokio::test]
async fn errors_before_and_after_the_work() {
    let simulator = Simulator::start().await;
    for (action, stored, happens, retried_status) in [
        ("error_before", None, 0, 200),
        ("error_after", None, 1, 500),
        ("error_after", Some(false), 1, 200),
        ("error_before", Some(true), 0, 500),
    ] {
        let key = format!("{action}-{stored:?}");
        let before = payments(&simulator).await;
        simulator
            .admin(
                "/admin/faults",
                json!({ "action": action, "stored": stored, "remaining": 1 }),
            )
            .await;
        let failed = simulator
            .try_post("/v1/payment_intents", PAY, Some(&key))
            .await
            .expect("answered");
        assert_eq!((failed.status, text(&failed.body["error"]["type"])), (500, "api_error"));
        assert_eq!(payments(&simulator).await - before, happens, "{key}");
        let retried = simulator
            .try_post("/v1/payment_intents", PAY, Some(&key))
            .await
            .expect("answered");
        assert_eq!(retried.status, retried_status, "{key}: {}", retried.text);
    }
}

#[tokio::test]
async fn a_rule_matches_runs_out_and_can_be_removed() {
    let simulator = Simulator::start().await;
    let rule = json!({
        "action": "rate_limit", "method": "POST", "path": "/v1/payment_intents", "amount": 777,
        "metadata": { "counterfoil_reference": "r1" }, "remaining": 2,
    });
    simulator.admin("/admin/faults", rule).await;
    let hit = PAY.replace("1000", "777");
    assert_eq!(
        simulator.post("/v1/payment_intents", PAY).await.status,
        200,
        "another amount"
    );
    assert_eq!(
        simulator
            .post("/v1/payment_intents", &hit.replace("r1", "r2"))
            .await
            .status,
        200,
        "another reference"
    );
    for status in [429, 429, 200] {
        assert_eq!(simulator.post("/v1/payment_intents", &hit).await.status, status);
    }
    simulator
        .admin("/admin/faults", json!({ "action": "rate_limit" }))
        .await;
    assert_eq!(
        simulator.admin_get("/admin/faults").await.body.as_array().map(Vec::len),
        Some(1)
    );
    let url = format!("{}/admin/faults", simulator.admin);
    simulator
        .send(http::Method::DELETE, &url, &[], String::new())
        .await
        .expect("answered");
    assert_eq!(simulator.post("/v1/payment_intents", PAY).await.status, 200);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    let mut runs = Vec::new();
    for seed in ["7", "7", "8"] {
        let dir = std::env::temp_dir().join(format!("simulator-{}", uuid::Uuid::new_v4()));
        let simulator = Simulator::start_in(&dir, &["--seed", seed]).await;
        simulator
            .admin("/admin/faults", json!({ "action": "rate_limit", "probability": 0.5 }))
            .await;
        let mut run = Vec::new();
        for _ in 0..40 {
            run.push(simulator.post("/v1/payment_intents", PAY).await.status);
        }
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    assert!(runs[0].contains(&429) && runs[0].contains(&200));
}
