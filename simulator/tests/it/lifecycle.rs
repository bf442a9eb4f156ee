//! Authorization, capture, release and refund without faults.

use crate::support::{Simulator, text};
use serde_json::{Value, json};

const HOLD: &str = "amount=1000&currency=usd&confirm=true&capture_method=manual&payment_method=pm_card_visa";

#[tokio::test]
async fn a_hold_in_parts_beyond_it_and_what_is_left_of_it() {
    let simulator = Simulator::start().await;
    let wish = |name: &str| format!("{HOLD}&payment_method_options[card][{name}]=if_available");
    let hold = async |body: String| {
        let intent = simulator.post("/v1/payment_intents", &body).await.body;
        format!("/v1/payment_intents/{}", text(&intent["id"]))
    };
    let parts = hold(wish("request_multicapture")).await;
    let take = async |path: &str, form: &str| simulator.post(&format!("{path}/capture"), form).await;
    let part = take(&parts, "amount_to_capture=300&final_capture=false").await.body;
    assert_eq!(
        (&part["status"], &part["amount_received"], &part["amount_capturable"]),
        (&json!("requires_capture"), &json!(300), &json!(700))
    );
    let refund = format!("payment_intent={}&amount=100", text(&part["id"]));
    assert_eq!(simulator.post("/v1/refunds", &refund).await.status, 200);
    assert_eq!(
        take(&parts, "amount_to_capture=701&final_capture=false").await.status,
        400
    );
    let canceled = simulator.post(&format!("{parts}/cancel"), "").await.body;
    assert_eq!(
        (
            &canceled["status"],
            &canceled["amount_received"],
            &canceled["amount_capturable"]
        ),
        (&json!("succeeded"), &json!(300), &json!(0))
    );

    let plain = hold(HOLD.to_owned()).await;
    assert_eq!(
        take(&plain, "amount_to_capture=300&final_capture=false").await.status,
        400
    );
    assert_eq!(take(&plain, "amount_to_capture=1001").await.status, 400);
    let over = hold(wish("request_overcapture")).await;
    assert_eq!(take(&over, "amount_to_capture=1201").await.status, 400);
    assert_eq!(
        take(&over, "amount_to_capture=1200").await.body["amount_received"],
        1200
    );
}

#[tokio::test]
async fn hold_raise_capture_part_and_refund() {
    let simulator = Simulator::start().await;
    let wish = "payment_method_options[card][request_incremental_authorization]=if_available";
    let intent = simulator
        .post("/v1/payment_intents", &format!("{HOLD}&{wish}"))
        .await
        .body;
    let path = format!("/v1/payment_intents/{}", text(&intent["id"]));
    assert_eq!(
        (&intent["status"], &intent["amount_capturable"]),
        (&json!("requires_capture"), &json!(1000))
    );
    let lower = simulator
        .post(&format!("{path}/increment_authorization"), "amount=1000")
        .await;
    assert_eq!(lower.status, 400);
    assert_eq!(
        simulator
            .post(&format!("{path}/increment_authorization"), "amount=1500")
            .await
            .body["amount_capturable"],
        1500
    );
    let beyond = simulator
        .post(&format!("{path}/increment_authorization"), "amount=10001")
        .await;
    assert_eq!(
        (beyond.status, &beyond.body["error"]["decline_code"]),
        (402, &json!("insufficient_funds"))
    );
    assert_eq!(
        simulator
            .post(&format!("{path}/capture"), "amount_to_capture=1501")
            .await
            .status,
        400
    );
    let captured = simulator
        .post(&format!("{path}/capture"), "amount_to_capture=900")
        .await
        .body;
    assert_eq!(
        (
            &captured["status"],
            &captured["amount_received"],
            &captured["amount_capturable"]
        ),
        (&json!("succeeded"), &json!(900), &json!(0))
    );
    assert_eq!(
        simulator.post(&format!("{path}/capture"), "").await.body["error"]["code"],
        "payment_intent_unexpected_state"
    );
    assert_eq!(
        simulator.post(&format!("{path}/cancel"), "").await.body["error"]["code"],
        "payment_intent_unexpected_state"
    );

    let refund = format!("payment_intent={}", text(&intent["id"]));
    assert_eq!(
        simulator
            .post("/v1/refunds", &format!("{refund}&amount=901"))
            .await
            .status,
        400
    );
    assert_eq!(
        simulator
            .post("/v1/refunds", &format!("{refund}&amount=400"))
            .await
            .body["status"],
        "succeeded"
    );
    assert_eq!(
        simulator
            .post("/v1/refunds", &format!("{refund}&amount=501"))
            .await
            .status,
        400
    );
    assert_eq!(simulator.post("/v1/refunds", &refund).await.body["amount"], 500);
    assert_eq!(
        simulator.post("/v1/refunds", &refund).await.body["error"]["code"],
        "charge_already_refunded"
    );
    let list = simulator.get(&format!("/v1/refunds?{refund}")).await;
    assert_eq!(list["data"].as_array().map(Vec::len), Some(2));
    let truth: Value = serde_json::from_str(&simulator.admin_get("/admin/truth").await.text).expect("one line");
    assert_eq!(
        (&truth["amount_captured"], &truth["amount_refunded"]),
        (&json!(900), &json!(900))
    );
}

#[tokio::test]
async fn a_hold_is_released_by_cancel_or_after_seven_days() {
    let simulator = Simulator::start().await;
    let first = simulator.post("/v1/payment_intents", HOLD).await.body;
    let second = simulator.post("/v1/payment_intents", HOLD).await.body;
    let path = |intent: &Value| format!("/v1/payment_intents/{}", text(&intent["id"]));
    let canceled = simulator
        .post(&format!("{}/cancel", path(&first)), "cancellation_reason=abandoned")
        .await
        .body;
    assert_eq!(
        (&canceled["status"], &canceled["cancellation_reason"]),
        (&json!("canceled"), &json!("abandoned"))
    );
    simulator.pass(7 * 86_400 - 60).await;
    assert_eq!(simulator.get(&path(&second)).await["status"], "requires_capture");
    simulator.pass(61).await;
    let expired = simulator.get(&path(&second)).await;
    assert_eq!(
        (&expired["status"], &expired["cancellation_reason"]),
        (&json!("canceled"), &json!("automatic"))
    );
    let summary = simulator.admin_get("/admin/truth/summary").await.body;
    assert_eq!(
        summary["by_currency"]["usd"],
        json!({ "authorized": 0, "captured": 0, "refunded": 0, "disputed_withdrawn": 0 })
    );
}

#[tokio::test]
async fn lists_page_newest_first_both_ways_and_by_time() {
    let simulator = Simulator::start().await;
    let mut ids = Vec::new();
    for amount in 1..=7 {
        let intent = simulator
            .post(
                "/v1/payment_intents",
                &format!("amount={amount}&currency=usd&customer=cus_{}", amount % 2),
            )
            .await;
        ids.insert(0, text(&intent.body["id"]).to_owned());
        simulator.pass(100).await;
    }
    let page = |list: &Value| {
        list["data"]
            .as_array()
            .expect("list")
            .iter()
            .map(|row| text(&row["id"]).to_owned())
            .collect::<Vec<_>>()
    };
    let first = simulator.get("/v1/payment_intents?limit=3").await;
    assert_eq!((page(&first), &first["has_more"]), (ids[..3].to_vec(), &json!(true)));
    let last = simulator
        .get(&format!("/v1/payment_intents?limit=5&starting_after={}", ids[2]))
        .await;
    assert_eq!((page(&last), &last["has_more"]), (ids[3..].to_vec(), &json!(false)));
    let back = simulator
        .get(&format!("/v1/payment_intents?limit=2&ending_before={}", ids[3]))
        .await;
    assert_eq!(page(&back), ids[1..3]);
    let created = first["data"][2]["created"].as_i64().expect("created");
    assert_eq!(
        page(
            &simulator
                .get(&format!("/v1/payment_intents?created[gte]={created}"))
                .await
        ),
        ids[..3]
    );
    assert_eq!(
        page(
            &simulator
                .get(&format!("/v1/payment_intents?created%5Blt%5D={created}"))
                .await
        ),
        ids[3..]
    );
    assert_eq!(
        page(&simulator.get("/v1/payment_intents?customer=cus_0").await).len(),
        3
    );
}

#[tokio::test]
async fn strangers_and_nonsense_are_refused() {
    let simulator = Simulator::start().await;
    let url = format!("{}/v1/balance", simulator.api);
    for (authorization, status) in [
        ("", 401),
        ("Bearer pk_x", 401),
        ("Bearer sk_", 401),
        ("Basic c2tfdGVzdDo=", 200),
    ] {
        let answer = simulator
            .send(
                http::Method::GET,
                &url,
                &[("authorization", authorization)],
                String::new(),
            )
            .await;
        assert_eq!(answer.expect("answered").status, status, "{authorization}");
    }
    let table = [
        ("currency=usd", "amount", "parameter_missing"),
        ("amount=1.5&currency=usd", "amount", "parameter_invalid_integer"),
        ("amount=-1&currency=usd", "amount", "parameter_invalid_integer"),
        ("amount=99999999999999&currency=usd", "amount", "amount_too_large"),
        ("amount=100&currency=usd&amuont=1", "amuont", "parameter_unknown"),
    ];
    for (form, param, code) in table {
        let error = simulator.post("/v1/payment_intents", form).await.body["error"].clone();
        assert_eq!((text(&error["param"]), text(&error["code"])), (param, code), "{form}");
    }
    let mine = simulator.pay("pm_card_visa").await.body;
    let headers = [("authorization", "Bearer sk_test_1"), ("stripe-account", "acct_other")];
    let url = format!("{}/v1/payment_intents/{}", simulator.api, text(&mine["id"]));
    let foreign = simulator
        .send(http::Method::GET, &url, &headers, String::new())
        .await
        .expect("answered");
    assert_eq!(
        (foreign.status, text(&foreign.body["error"]["code"])),
        (404, "resource_missing")
    );
}
