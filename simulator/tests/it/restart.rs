//! What was answered survives the death of the process.

use crate::support::{Simulator, text};
use serde_json::json;
use std::io::Write;
use std::sync::Arc;

const PAY: &str = "amount=1000&currency=usd&confirm=true&payment_method=pm_card_visa";

#[tokio::test]
async fn state_keys_timers_and_clock_survive_both_ends() {
    for kill in [true, false] {
        let simulator = Simulator::start().await;
        simulator.pass(1_000_000).await;
        let first = simulator
            .try_post("/v1/payment_intents", PAY, Some("a"))
            .await
            .expect("answered");
        let declined = simulator
            .try_post(
                "/v1/payment_intents",
                &PAY.replace("visa", "visa_chargeDeclined"),
                Some("b"),
            )
            .await;
        let declined = declined.expect("answered");
        let pending = simulator.pay("pm_card_pendingRefund").await.body;
        let refund = simulator
            .post("/v1/refunds", &format!("payment_intent={}", text(&pending["id"])))
            .await
            .body;
        let disputed = simulator.pay("pm_card_createDispute").await.body;
        let dispute = simulator.dispute(text(&disputed["id"]), "needs_response").await;
        let truth = simulator.admin_get("/admin/truth").await.text;
        let balance = simulator.get("/v1/balance").await;
        let events = simulator.get("/v1/events?limit=100").await;

        let dir = simulator.end(kill);
        let simulator = Simulator::start_in(&dir, &[]).await;
        assert_eq!(simulator.admin_get("/admin/truth").await.text, truth);
        assert_eq!(simulator.get("/v1/balance").await, balance);
        assert_eq!(simulator.get("/v1/events?limit=100").await, events);
        assert_eq!(
            simulator.dispute(text(&disputed["id"]), "needs_response").await,
            dispute
        );
        let again = simulator
            .try_post("/v1/payment_intents", PAY, Some("a"))
            .await
            .expect("answered");
        assert_eq!(
            (again.text, again.headers["idempotent-replayed"].as_bytes()),
            (first.text, &b"true"[..])
        );
        let form = PAY.replace("visa", "visa_chargeDeclined");
        let again = simulator
            .try_post("/v1/payment_intents", &form, Some("b"))
            .await
            .expect("answered");
        assert_eq!((again.status, again.text), (402, declined.text));
        let next = simulator.pay("pm_card_visa").await.body;
        assert!(!truth.contains(text(&next["id"])), "an id was given twice");
        assert!(
            next["created"].as_i64() >= first.body["created"].as_i64(),
            "the clock fell back"
        );
        simulator.pass(61).await;
        let refund = simulator.get(&format!("/v1/refunds/{}", text(&refund["id"]))).await;
        assert_eq!(refund["status"], "succeeded", "the timer was kept");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_kill_under_load_loses_no_answered_payment() {
    let simulator = Arc::new(Simulator::start().await);
    let answered = Arc::new(std::sync::Mutex::new(Vec::new()));
    let callers: Vec<_> = (0..16)
        .map(|caller| {
            let (simulator, answered) = (simulator.clone(), answered.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    let form = format!("{PAY}&metadata[counterfoil_reference]=r-{caller}-{number}");
                    let Ok(answer) = simulator.try_post("/v1/payment_intents", &form, None).await else {
                        return;
                    };
                    answered.lock().expect("lock").push(text(&answer.body["id"]).to_owned());
                }
            })
        })
        .collect();
    while answered.lock().expect("lock").len() < 500 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    simulator.kill();
    for caller in callers {
        caller.await.expect("joined");
    }
    let Ok(simulator) = Arc::try_unwrap(simulator).map_err(|_| ()) else {
        panic!("still shared")
    };
    let dir = simulator.end(true);
    let simulator = Simulator::start_in(&dir, &[]).await;
    let truth = simulator.admin_get("/admin/truth").await.text;
    let known: std::collections::HashSet<String> = truth
        .lines()
        .map(|line| text(&serde_json::from_str::<serde_json::Value>(line).expect("JSON")["id"]).to_owned())
        .collect();
    let answered = answered.lock().expect("lock");
    assert!(
        answered.iter().all(|id| known.contains(id)),
        "an answered payment is gone"
    );
}

#[tokio::test]
async fn a_torn_last_line_is_dropped_and_a_second_process_is_refused() {
    let simulator = Simulator::start().await;
    let intent = simulator.pay("pm_card_visa").await.body;
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_simulator"))
        .arg("--dir")
        .arg(&simulator.dir)
        .output();
    assert!(String::from_utf8_lossy(&second.expect("runs").stderr).contains("another simulator runs"));
    let dir = simulator.end(true);
    let mut log = std::fs::OpenOptions::new()
        .append(true)
        .open(dir.join("simulator.log"))
        .expect("log");
    log.write_all(b"[{\"Intent\":{\"id\":1").expect("torn");
    let simulator = Simulator::start_in(&dir, &[]).await;
    assert_eq!(
        simulator
            .get(&format!("/v1/payment_intents/{}", text(&intent["id"])))
            .await["status"],
        "succeeded"
    );
    simulator.pay("pm_card_visa").await;
    let simulator = Simulator::start_in(&simulator.end(true), &[]).await;
    assert_eq!(
        simulator.admin_get("/admin/truth/summary").await.body["by_status"],
        json!({ "succeeded": 2 })
    );
}
