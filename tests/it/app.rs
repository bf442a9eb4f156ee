//! The instance itself: it starts, pays, survives its own murder, and stops.

use serde_json::json;
use tests::TestApp;

#[tokio::test]
async fn a_payment_outlives_a_kill_and_a_stop() {
    let app = TestApp::start().await;
    let payment = json!({ "amount": 2000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true });
    let paid = app
        .post("/v1/payment_intents")
        .params(payment.clone())
        .idempotency_key("first")
        .send()
        .await;
    assert_eq!(paid["status"], "succeeded", "{paid}");
    let url = app.told("/api_url");

    app.kill9();
    assert!(app.get("/v1/payment_intents").try_send().await.is_err(), "it is dead");
    app.restart().await;
    assert_eq!(app.told("/api_url"), url, "the same address");
    let again = app
        .post("/v1/payment_intents")
        .params(payment)
        .idempotency_key("first")
        .send()
        .await;
    assert!(again.replayed());
    assert_eq!(again.body, paid.body, "byte for byte");
    app.verify_books().await;

    let simulator = app.simulator("GET", "/admin/truth/summary").send().await.ok();
    assert_eq!(simulator["payment_intents"], 1, "{simulator}");
    let stopped = app.stop().await.expect("it ran");
    assert_eq!(stopped.code(), Some(0));
}
