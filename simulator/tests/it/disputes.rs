//! Disputes from test cards and from the admin port, with the money that moves.

use crate::support::{Simulator, text};
use serde_json::{Value, json};

fn moved(dispute: &Value) -> Vec<(i64, i64)> {
    let movements = dispute["balance_transactions"].as_array().expect("list").iter();
    movements
        .map(|row| {
            (
                row["amount"].as_i64().expect("amount"),
                row["fee"].as_i64().expect("fee"),
            )
        })
        .collect()
}

#[tokio::test]
async fn evidence_decides_and_the_money_follows() {
    let simulator = Simulator::start().await;
    for (token, reason, evidence, status, money) in [
        (
            "pm_card_createDispute",
            "fraudulent",
            "winning_evidence",
            "won",
            vec![(-1000, 1500), (1000, 0)],
        ),
        (
            "pm_card_createDisputeProductNotReceived",
            "product_not_received",
            "losing_evidence",
            "lost",
            vec![(-1000, 1500)],
        ),
    ] {
        let intent = simulator.pay(token).await.body;
        let payment = text(&intent["id"]);
        let dispute = simulator.dispute(payment, "needs_response").await;
        assert_eq!(
            (text(&dispute["reason"]), moved(&dispute)),
            (reason, vec![(-1000, 1500)])
        );
        let refused = simulator
            .post("/v1/refunds", &format!("payment_intent={payment}"))
            .await;
        assert_eq!(refused.body["error"]["code"], "charge_disputed");
        let path = format!("/v1/disputes/{}", text(&dispute["id"]));
        let staged = simulator
            .post(&path, &format!("evidence[uncategorized_text]={evidence}&submit=false"))
            .await
            .body;
        assert_eq!(
            (&staged["status"], &staged["evidence_details"]["has_evidence"]),
            (&json!("needs_response"), &json!(true))
        );
        let sent = simulator.post(&path, "submit=true").await.body;
        assert_eq!(
            (&sent["status"], &sent["evidence_details"]["submission_count"]),
            (&json!("under_review"), &json!(1))
        );
        assert_eq!(
            simulator.post(&path, "evidence[receipt]=x").await.status,
            400,
            "evidence is taken once"
        );
        let closed = simulator.dispute(payment, status).await;
        assert_eq!(moved(&closed), money);
        assert_eq!(closed["evidence_details"]["due_by"], Value::Null);
    }
    let types = simulator.event_types().await;
    let disputes: Vec<_> = types
        .iter()
        .filter_map(|kind| kind.strip_prefix("charge.dispute."))
        .collect();
    let expected = [
        "created",
        "funds_withdrawn",
        "updated",
        "updated",
        "closed",
        "funds_reinstated",
        "created",
        "funds_withdrawn",
        "updated",
        "updated",
        "closed",
    ];
    assert_eq!(disputes, expected);
}

#[tokio::test]
async fn an_inquiry_moves_no_money_until_it_escalates() {
    let simulator = Simulator::start().await;
    let intent = simulator.pay("pm_card_createDisputeInquiry").await.body;
    let payment = text(&intent["id"]);
    let inquiry = simulator.dispute(payment, "warning_needs_response").await;
    assert_eq!(
        (moved(&inquiry), &inquiry["is_charge_refundable"]),
        (vec![], &json!(true))
    );
    assert_eq!(inquiry["payment_method_details"]["card"]["case_type"], "inquiry");
    let path = format!("/v1/disputes/{}", text(&inquiry["id"]));
    simulator
        .post(&path, "evidence[uncategorized_text]=losing_evidence")
        .await;
    let chargeback = simulator.dispute(payment, "needs_response").await;
    assert_eq!(moved(&chargeback), [(-1000, 1500)]);

    let intent = simulator.pay("pm_card_createDisputeInquiry").await.body;
    let inquiry = simulator.dispute(text(&intent["id"]), "warning_needs_response").await;
    let path = format!("/v1/disputes/{}", text(&inquiry["id"]));
    simulator
        .post(&path, "evidence[uncategorized_text]=winning_evidence")
        .await;
    assert_eq!(
        moved(&simulator.dispute(text(&intent["id"]), "warning_closed").await),
        []
    );
}

#[tokio::test]
async fn a_full_refund_closes_an_inquiry() {
    let simulator = Simulator::start().await;
    let intent = simulator.pay("pm_card_createDisputeInquiry").await.body;
    let payment = text(&intent["id"]);
    simulator.dispute(payment, "warning_needs_response").await;
    simulator
        .post("/v1/refunds", &format!("payment_intent={payment}&amount=400"))
        .await;
    simulator.dispute(payment, "warning_needs_response").await;
    simulator
        .post("/v1/refunds", &format!("payment_intent={payment}"))
        .await;
    assert_eq!(moved(&simulator.dispute(payment, "warning_closed").await), []);
}

#[tokio::test]
async fn warnings_and_multiple_disputes() {
    let simulator = Simulator::start().await;
    let warned = simulator.pay("pm_card_createIssuerFraudRecord").await.body;
    let twice = simulator.pay("pm_card_createMultipleDisputes").await.body;
    simulator.dispute(text(&twice["id"]), "needs_response").await;
    simulator.pass(1).await;
    let list = simulator
        .get(&format!("/v1/disputes?payment_intent={}", text(&twice["id"])))
        .await;
    let amounts: i64 = list["data"]
        .as_array()
        .expect("list")
        .iter()
        .filter_map(|row| row["amount"].as_i64())
        .sum();
    assert_eq!((list["data"].as_array().map(Vec::len), amounts), (Some(2), 1000));
    let warnings = simulator.get("/v1/radar/early_fraud_warnings").await;
    assert_eq!(warnings["data"][0]["payment_intent"], warned["id"]);
    let none = simulator
        .get(&format!("/v1/disputes?payment_intent={}", text(&warned["id"])))
        .await;
    assert_eq!(none["data"], json!([]));
}

#[tokio::test]
async fn the_admin_port_opens_wins_and_strikes_again() {
    let simulator = Simulator::start().await;
    let intent = simulator.pay("pm_card_visa").await.body;
    let charge = text(&intent["latest_charge"]);
    let opened = simulator
        .admin(
            "/admin/disputes",
            json!({ "charge": charge, "reason": "duplicate", "amount": 600 }),
        )
        .await;
    assert_eq!(
        (&opened["status"], &opened["amount"]),
        (&json!("needs_response"), &json!(600))
    );
    let advance = format!("/admin/disputes/{}/advance", text(&opened["id"]));
    assert_eq!(
        simulator.admin(&advance, json!({ "action": "win" })).await["status"],
        "won"
    );
    let again = simulator
        .admin(&advance, json!({ "action": "second_chargeback" }))
        .await;
    assert_eq!((&again["status"], moved(&again).len()), (&json!("needs_response"), 3));
    let lost = simulator.admin(&advance, json!({ "action": "lose" })).await;
    assert_eq!(moved(&lost), [(-600, 1500), (600, 0), (-600, 1500)]);
}

#[tokio::test]
async fn silence_loses_at_the_deadline_and_close_accepts() {
    let simulator = Simulator::start().await;
    let silent = simulator.pay("pm_card_createDispute").await.body;
    let dispute = simulator.dispute(text(&silent["id"]), "needs_response").await;
    let due_by = dispute["evidence_details"]["due_by"].as_i64().expect("due_by");
    simulator
        .pass((due_by - dispute["created"].as_i64().expect("created") - 60) as u32)
        .await;
    simulator.dispute(text(&silent["id"]), "needs_response").await;
    simulator.pass(120).await;
    let lost = simulator.dispute(text(&silent["id"]), "lost").await;
    assert_eq!(lost["evidence_details"]["past_due"], true);

    let accepted = simulator.pay("pm_card_createDispute").await.body;
    let dispute = simulator.dispute(text(&accepted["id"]), "needs_response").await;
    let close = format!("/v1/disputes/{}/close", text(&dispute["id"]));
    assert_eq!(simulator.post(&close, "").await.body["status"], "lost");
    assert_eq!(simulator.post(&close, "").await.status, 400);
}
