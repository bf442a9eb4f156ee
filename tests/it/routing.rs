//! Routing over two real acquirers: rules take effect while the service runs, a dead acquirer's payments go to the other and come
//! back, and whatever happens no payment is lost or taken twice.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use tests::{Answer, PATIENCE, TestApp, eventually, said};

const RULES: &str = r#"
    [[rule]]
    name = "small change"
    amount_max = 150
    split = [{ connector = "stripe" }]
    [[rule]]
    name = "the bank first"
    split = [{ connector = "iso8583" }]
    then = ["stripe"]
    [cost.iso8583]
    basis_points = 100
    fixed = { usd = 5 }
    [cost.stripe]
    basis_points = 290
    fixed = { usd = 30 }
"#;

async fn apply(app: &TestApp, rules: &str) -> std::process::Output {
    let file = app.dir().join("routing.toml");
    std::fs::write(&file, rules).expect("writes");
    let file = file.to_str().expect("a path");
    app.counterfoil(&["routing", "apply", file, "--note", "a test"]).await
}

async fn pay(app: &TestApp, amount: i64) -> Answer {
    let payment = json!({ "amount": amount, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true, "expand": ["latest_charge"] });
    app.post("/v1/payment_intents").params(payment).send().await
}

fn routed(payment: &Answer) -> &Value {
    &payment["latest_charge"]["routing"]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_acquirer_fails_over_and_comes_back_and_no_payment_is_lost_or_doubled() {
    let app = TestApp::start_with(&["--permissive-scorer"]).await;
    // Without rules: the first acquirer that can, alone.
    let plain = pay(&app, 1000).await;
    assert_eq!(routed(&plain)["candidates"], json!(["stripe"]), "{plain}");
    assert_eq!(routed(&plain)["rule"], Value::Null);

    let refused = apply(&app, &RULES.replace("\"iso8583\" }", "\"the bank\" }")).await;
    assert!(
        !refused.status.success() && said(&refused).contains("the bank"),
        "{}",
        said(&refused)
    );
    let applied = apply(&app, RULES).await;
    assert!(applied.status.success(), "{}", said(&applied));
    let mut payments = vec![plain];
    // Followed while it runs, without a restart.
    let first = eventually("the rules are followed", async || {
        let payment = pay(&app, 1000).await;
        (routed(&payment)["connector"] == "iso8583").then_some(payment)
    })
    .await;
    assert_eq!(first["status"], "succeeded", "{first}");
    let expected = json!({ "connector": "iso8583", "version": 1, "rule": "the bank first", "candidates": ["iso8583", "stripe"], "attempts": [], "expected_cost": 15 });
    assert_eq!(routed(&first), &expected);
    let small = pay(&app, 150).await;
    assert_eq!(routed(&small)["rule"], "small change");
    payments.extend([first, small]);

    // The bank is gone: its line is cut, and whoever knocks is cut off, too.
    let dead = json!({ "method": "BANK", "path": "/bank/", "action": "reset" });
    app.simulator("POST", "/admin/faults").json(&dead).send().await.ok();
    for _ in 0..3 {
        let batch = (0..8).map(|_| pay(&app, 1000));
        payments.extend(futures_util::future::join_all(batch).await);
    }
    let moved: Vec<&Answer> = payments
        .iter()
        .filter(|payment| routed(payment)["attempts"][0]["outcome"] == "not_sent")
        .collect();
    assert!(!moved.is_empty(), "nobody was sent on to the other acquirer");
    for payment in moved {
        assert_eq!(routed(payment)["connector"], "stripe");
        assert_eq!(routed(payment)["expected_cost"], 59, "{payment}");
        assert_eq!(payment["status"], "succeeded", "{payment}");
    }
    // After some failures nobody waits for it any more: the other one is asked first.
    let spared = eventually("the breaker opens", async || {
        let payment = pay(&app, 1000).await;
        (routed(&payment)["candidates"] == json!(["stripe", "iso8583"])).then_some(payment)
    })
    .await;
    assert_eq!(spared["status"], "succeeded", "{spared}");
    payments.push(spared);
    let breakers = app.ops("GET", "/connectors").send().await;
    assert_eq!(breakers.status, 200, "{breakers}");
    let bank = breakers
        .to_string()
        .contains(r#""connector":"iso8583","breaker":"open""#);
    assert!(bank, "{breakers}");
    let metrics = app.ops("GET", "/metrics").send().await.to_string();
    assert!(
        metrics.contains(r#"counterfoil_connector_breaker_open{connector="iso8583"} 1"#),
        "{metrics}"
    );

    // It is back, and gets its payments again.
    app.simulator("DELETE", "/admin/faults").send().await.ok();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let payment = pay(&app, 1000).await;
        let back = routed(&payment)["connector"] == "iso8583" && payment["status"] == "succeeded";
        payments.push(payment);
        if back {
            break;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "the bank gets no payments any more"
        );
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let batch = (0..8).map(|_| pay(&app, 1000));
    payments.extend(futures_util::future::join_all(batch).await);

    // Every payment ends, and what each acquirer took is what was told, once.
    let mut told = BTreeMap::new();
    for payment in &payments {
        let path = format!("/v1/payment_intents/{}", payment["id"].as_str().expect("an id"));
        let ended = eventually("every payment ends", async || {
            let now = app.get(&path).send().await;
            (now["status"] != "processing").then_some(now)
        })
        .await;
        let charge = payment["latest_charge"]["id"].as_str().expect("a charge").to_owned();
        told.insert(charge, ended["amount_received"].as_i64().expect("an amount"));
    }
    // A reversal may still be on its way.
    let took = eventually("what is not known is reversed", async || {
        let took = taken(&app).await;
        let open = took.values().any(|(_, held)| *held > 0);
        (!open).then_some(took)
    })
    .await;
    for (charge, received) in &told {
        assert_eq!(took.get(charge).map_or(0, |(taken, _)| *taken), *received, "{charge}");
    }
    let strangers: Vec<_> = took
        .iter()
        .filter(|(charge, (taken, _))| *taken > 0 && !told.contains_key(*charge))
        .collect();
    // The payments that were made while waiting are ours, too: they are in the database.
    let client = app.sql().await;
    for (charge, (taken, _)) in strangers {
        let row = client
            .query_one("SELECT amount_captured FROM gateway.charge WHERE id = $1", &[charge])
            .await
            .expect("a charge of ours");
        assert_eq!(row.get::<_, i64>(0), *taken, "{charge}");
    }
    app.verify_books().await;
}

/// What both acquirers took by our reference, and what they hold without having taken it.
async fn taken(app: &TestApp) -> BTreeMap<String, (i64, i64)> {
    let mut all = BTreeMap::<String, (i64, i64)>::new();
    let mut add = |reference: &Value, taken: &Value, held: i64| {
        let entry = all
            .entry(reference.as_str().unwrap_or_default().to_owned())
            .or_default();
        entry.0 += taken.as_i64().expect("an amount");
        entry.1 += held;
    };
    let bank = app.simulator("GET", "/admin/bank/truth").send().await.ok();
    for line in bank.as_array().expect("a list") {
        assert!(line["completions"].as_u64() <= Some(1), "taken twice: {line}");
        let open = line["status"] == "approved" && line["completions"] == 0;
        add(&line["reference"], &line["captured"], i64::from(open));
    }
    let stripe = app.simulator("GET", "/admin/truth").send().await;
    let stripe = String::from_utf8(stripe.body.to_vec()).expect("text");
    for line in stripe.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        add(&line["reference"], &line["amount_captured"], 0);
    }
    all
}

#[tokio::test]
async fn rules_are_history() {
    let app = TestApp::shared().await;
    let client = app.sql().await;
    for statement in [
        "UPDATE gateway.routing SET note = ''",
        "DELETE FROM gateway.routing",
        "TRUNCATE gateway.routing",
    ] {
        let refused = client.execute(statement, &[]).await.expect_err(statement);
        assert_eq!(
            refused.code().map(tokio_postgres::error::SqlState::code),
            Some("42501"),
            "{statement}"
        );
    }
    let serving = app.sql_as(Some("gateway_app")).await;
    let refused = serving
        .execute("INSERT INTO gateway.routing (rules) VALUES ('{}')", &[])
        .await;
    assert!(refused.is_err(), "the role that serves makes no rules");
}
