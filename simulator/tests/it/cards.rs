//! Every test card and what it does.

use crate::support::{Simulator, text};
use serde_json::Value;

fn card(number: &str) -> String {
    format!(
        "amount=1000&currency=usd&confirm=true&payment_method_data[type]=card&payment_method_data[card][number]={number}\
         &payment_method_data[card][exp_month]=12&payment_method_data[card][exp_year]=2040&payment_method_data[card][cvc]=123\
         &expand[]=latest_charge"
    )
}

#[tokio::test]
async fn approved_cards() {
    let simulator = Simulator::start().await;
    let table = [
        ("4242424242424242", "pm_card_visa", "visa", "credit"),
        ("5555555555554444", "pm_card_mastercard", "mastercard", "credit"),
        ("378282246310005", "pm_card_amex", "amex", "credit"),
        ("6011111111111117", "pm_card_discover", "discover", "credit"),
        ("4000056655665556", "pm_card_visa_debit", "visa", "debit"),
    ];
    for (number, token, brand, funding) in table {
        let by_number = simulator.post("/v1/payment_intents", &card(number)).await;
        let by_token = simulator
            .post(
                "/v1/payment_intents",
                &format!("amount=1000&currency=usd&confirm=true&payment_method={token}&expand[0]=latest_charge"),
            )
            .await;
        for answer in [by_number, by_token] {
            assert_eq!(answer.status, 200, "{number}: {}", answer.text);
            assert_eq!(answer.body["status"], "succeeded");
            assert_eq!(answer.body["amount_received"], 1000);
            let shown = &answer.body["latest_charge"]["payment_method_details"]["card"];
            assert_eq!((text(&shown["brand"]), text(&shown["funding"])), (brand, funding));
            assert_eq!(text(&shown["last4"]), &number[number.len() - 4..]);
        }
    }
    let log = std::fs::read_to_string(simulator.dir.join("simulator.log")).expect("log");
    assert!(
        !log.contains("4242424242424242") && !log.contains("378282246310005"),
        "a card number reached the log"
    );
}

#[tokio::test]
async fn declined_cards() {
    let simulator = Simulator::start().await;
    let table = [
        ("4000000000000002", "card_declined", "generic_decline"),
        ("4000000000009995", "card_declined", "insufficient_funds"),
        ("4000000000009987", "card_declined", "lost_card"),
        ("4000000000009979", "card_declined", "stolen_card"),
        ("4000000000006975", "card_declined", "card_velocity_exceeded"),
        ("4000000000000069", "expired_card", "expired_card"),
        ("4000000000000127", "incorrect_cvc", "incorrect_cvc"),
        ("4000000000000119", "processing_error", "processing_error"),
        ("4000000000000341", "card_declined", "generic_decline"),
    ];
    for (number, code, decline_code) in table {
        let answer = simulator.post("/v1/payment_intents", &card(number)).await;
        assert_eq!(answer.status, 402, "{number}: {}", answer.text);
        let error = &answer.body["error"];
        assert_eq!(
            (text(&error["type"]), text(&error["code"])),
            ("card_error", code),
            "{number}"
        );
        assert_eq!(text(&error["decline_code"]), decline_code, "{number}");
        let intent = &error["payment_intent"];
        assert_eq!(intent["status"], "requires_payment_method");
        assert_eq!(intent["last_payment_error"]["code"], code);
        assert_eq!(
            (&intent["latest_charge"], &intent["amount_received"]),
            (&error["charge"], &Value::from(0))
        );
        let charge = simulator.get(&format!("/v1/charges/{}", text(&error["charge"]))).await;
        assert_eq!(
            (&charge["status"], &charge["paid"]),
            (&Value::from("failed"), &Value::from(false))
        );
        assert_eq!(charge["outcome"]["network_status"], "declined_by_network");
        let again = format!("/v1/payment_intents/{}/confirm", text(&intent["id"]));
        let retried = simulator.post(&again, "payment_method=pm_card_visa").await;
        assert_eq!(retried.body["status"], "succeeded", "another card pays the same intent");
    }
    let summary = simulator.admin_get("/admin/truth/summary").await.body;
    assert_eq!(summary["by_currency"]["usd"]["captured"], 9000);
    assert_eq!(summary["double_charges"], 0);
}

#[tokio::test]
async fn unusable_cards_reach_no_issuer() {
    let simulator = Simulator::start().await;
    let ok = card("4242424242424242");
    let table = [
        (card("4242424242424241"), "incorrect_number"),
        (ok.replace("exp_month]=12", "exp_month]=13"), "invalid_expiry_month"),
        (ok.replace("2040", "2020"), "invalid_expiry_year"),
        (ok.replace("cvc]=123", "cvc]=9"), "invalid_cvc"),
    ];
    for (form, code) in table {
        let answer = simulator.post("/v1/payment_intents", &form).await;
        assert_eq!((answer.status, text(&answer.body["error"]["code"])), (402, code));
        assert!(answer.body["error"]["charge"].is_null());
    }
    assert_eq!(simulator.get("/v1/charges").await["data"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn risk_and_checks_are_marked_and_the_charge_succeeds() {
    let simulator = Simulator::start().await;
    for (number, level) in [
        ("4100000000000019", "highest"),
        ("4000000000004954", "highest"),
        ("4000000000009235", "elevated"),
    ] {
        let answer = simulator.post("/v1/payment_intents", &card(number)).await;
        assert_eq!(answer.body["status"], "succeeded");
        assert_eq!(answer.body["latest_charge"]["outcome"]["risk_level"], level, "{number}");
    }
    let table = [
        ("4000000000000101", "fail", "pass", "pass"),
        ("4000000000000036", "pass", "fail", "pass"),
        ("4000000000000028", "pass", "pass", "fail"),
        ("4000000000000010", "pass", "fail", "fail"),
        ("4000000000000044", "pass", "unavailable", "unavailable"),
    ];
    for (number, cvc, zip, line1) in table {
        let answer = simulator.post("/v1/payment_intents", &card(number)).await;
        let checks = &answer.body["latest_charge"]["payment_method_details"]["card"]["checks"];
        let found = ["cvc_check", "address_postal_code_check", "address_line1_check"].map(|name| text(&checks[name]));
        assert_eq!(found, [cvc, zip, line1], "{number}");
    }
}

#[tokio::test]
async fn challenges() {
    let simulator = Simulator::start().await;
    let table = [
        ("4000002500003155", Ok(())),
        ("4000002760003184", Ok(())),
        ("4000000000003220", Ok(())),
        ("4000008260003178", Err("insufficient_funds")),
        ("4000008400001629", Err("generic_decline")),
    ];
    for (number, issuer) in table {
        let answer = simulator.post("/v1/payment_intents", &card(number)).await;
        assert_eq!(answer.body["status"], "requires_action", "{number}");
        assert_eq!(answer.body["next_action"]["type"], "redirect_to_url");
        let url = text(&answer.body["next_action"]["redirect_to_url"]["url"]).to_owned();
        let page = simulator
            .send(http::Method::GET, &url, &[], String::new())
            .await
            .expect("page");
        assert!(page.text.contains("/complete") && page.text.contains("/fail"));
        let done = simulator
            .send(http::Method::POST, &format!("{url}/complete"), &[], String::new())
            .await
            .expect("done");
        assert_eq!(done.status, 200);
        let again = simulator
            .send(http::Method::POST, &format!("{url}/complete"), &[], String::new())
            .await
            .expect("done");
        assert_eq!(again.status, 409, "a challenge counts once");
        let intent = simulator
            .get(&format!(
                "/v1/payment_intents/{}?expand[]=latest_charge",
                text(&answer.body["id"])
            ))
            .await;
        match issuer {
            Ok(()) => {
                assert_eq!(intent["status"], "succeeded");
                let card = &intent["latest_charge"]["payment_method_details"]["card"];
                assert_eq!(card["three_d_secure"]["result"], "authenticated");
            }
            Err(decline_code) => assert_eq!(intent["last_payment_error"]["decline_code"], decline_code),
        }
    }
    let answer = simulator.pay("pm_card_threeDSecure2Required").await;
    let url = text(&answer.body["next_action"]["redirect_to_url"]["url"]).to_owned();
    simulator
        .send(http::Method::POST, &format!("{url}/fail"), &[], String::new())
        .await
        .expect("failed");
    let intent = simulator
        .get(&format!("/v1/payment_intents/{}", text(&answer.body["id"])))
        .await;
    assert_eq!(
        intent["last_payment_error"]["code"],
        "payment_intent_authentication_failure"
    );
    assert_eq!(intent["latest_charge"], Value::Null, "no issuer was asked");

    let form = card("4000002760003184") + "&off_session=true";
    let absent = simulator.post("/v1/payment_intents", &form).await;
    assert_eq!(
        (absent.status, text(&absent.body["error"]["code"])),
        (402, "authentication_required")
    );
    let wish = "&payment_method_options[card][request_three_d_secure]=any";
    let asked = simulator
        .post("/v1/payment_intents", &(card("4242424242424242") + wish))
        .await;
    assert_eq!(asked.body["status"], "requires_action");
}

#[tokio::test]
async fn refund_cards_end_later() {
    let simulator = Simulator::start().await;
    for (token, first, last, left) in [
        ("pm_card_pendingRefund", "pending", "succeeded", 1000),
        ("pm_card_refundFail", "succeeded", "failed", 0),
    ] {
        let intent = simulator.pay(token).await.body;
        let refund = simulator
            .post("/v1/refunds", &format!("payment_intent={}", text(&intent["id"])))
            .await
            .body;
        assert_eq!(refund["status"], first, "{token}");
        simulator.pass(61).await;
        let refund = simulator.get(&format!("/v1/refunds/{}", text(&refund["id"]))).await;
        assert_eq!(refund["status"], last, "{token}");
        assert_eq!(refund["failure_balance_transaction"].is_string(), last == "failed");
        let charge = simulator
            .get(&format!("/v1/charges/{}", text(&intent["latest_charge"])))
            .await;
        assert_eq!(charge["amount_refunded"], left, "{token}");
        assert!(
            simulator
                .event_types()
                .await
                .contains(&"charge.refund.updated".to_owned())
        );
    }
}

#[tokio::test]
async fn one_card_goes_straight_to_the_available_balance() {
    let simulator = Simulator::start().await;
    simulator.pay("pm_card_bypassPending").await;
    simulator.pay("pm_card_visa").await;
    let balance = simulator.get("/v1/balance").await;
    assert_eq!(
        (&balance["available"][0]["amount"], &balance["pending"][0]["amount"]),
        (&941.into(), &941.into())
    );
    simulator.pass(3 * 86_400).await;
    let balance = simulator.get("/v1/balance").await;
    assert_eq!(
        (&balance["available"][0]["amount"], &balance["pending"][0]["amount"]),
        (&1882.into(), &0.into())
    );
}
