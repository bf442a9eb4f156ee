//! Risk rules, lists and the scorer's state, met from outside: what is saved decides in every process within seconds, and what the
//! scorer knows survives any kind of end.

use crate::gate_serve::Second;
use serde_json::{Value, json};
use std::path::Path;
use tests::{Answer, TestApp, eventually};

/// A payment from a device of its own, so that no other test's traffic is in what is counted.
pub async fn pay(app: &TestApp, url: &str, card: &str, amount: i64, device: &str) -> Answer {
    app.request_to(url, "POST", "/v1/payment_intents")
        .params(json!({
            "amount": amount, "currency": "usd", "confirm": true,
            "payment_method_data": {"type": "card", "card": {"number": card, "exp_month": 12, "exp_year": 2040, "cvc": "123"}},
            "risk_context": {"device": device},
        }))
        .send()
        .await
}

/// The outcome on the charge of a payment, succeeded or declined.
pub async fn outcome(app: &TestApp, paid: &Answer) -> Value {
    let body = paid.json.clone();
    let charge = body
        .pointer("/latest_charge")
        .or_else(|| body.pointer("/error/charge"))
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no charge: {paid}"))
        .to_owned();
    app.get(&format!("/v1/charges/{charge}")).send().await.ok()["outcome"].clone()
}

pub fn fresh(name: &str) -> String {
    format!("{name}_{}", uuid::Uuid::now_v7().simple())
}

pub async fn make(app: &TestApp, path: &str, parameters: Value) -> Value {
    app.post(path).params(parameters).send().await.ok()
}

#[tokio::test]
async fn a_rule_is_checked_watched_tried_and_then_decides() {
    let app = TestApp::shared().await;
    let url = app.told("/api_url");
    let (name, amount, device) = (fresh("rule"), 77_123, fresh("device"));
    let wrong = json!({"name": name, "action": "block", "condition": "amount == 77123 &&\n  amont > 1"});
    let refused = app.post("/v1/radar/rules").params(wrong).send().await;
    assert_eq!(
        (refused.status, refused.text("/error/code")),
        (400, "rule_condition_invalid"),
        "{refused}"
    );
    assert_eq!(
        refused.json["error"]["position"],
        json!({"line": 2, "column": 3}),
        "{refused}"
    );
    assert_eq!(refused.text("/error/param"), "condition");

    let rule = json!({"name": name, "action": "block", "weight": 50, "condition": format!("amount == {amount}"), "message": "The amount is {value}"});
    let rule = make(app, "/v1/radar/rules", rule).await;
    assert_eq!(
        (&rule["state"], &rule["version"], &rule["shipped"]),
        (&json!("shadow"), &json!(1), &json!(false))
    );
    let path = format!("/v1/radar/rules/{}", rule["id"].as_str().expect("an id"));

    // Watched: it lets through and is recorded with the attempt.
    let database = app.sql().await;
    eventually("the rule is watched", || async {
        pay(app, &url, "4242424242424242", amount, &device).await.ok();
        let sql = "SELECT count(*) FROM gateway.charge WHERE risk->'shadow' @> jsonb_build_array(jsonb_build_object('rule', $1::text))";
        let seen: i64 = database.query_one(sql, &[&name]).await.expect("counts").get(0);
        (seen > 0).then_some(())
    })
    .await;

    let early = app.post(&path).params(json!({"state": "active"})).send().await;
    assert_eq!(
        (early.status, early.text("/error/code")),
        (400, "rule_not_backtested"),
        "{early}"
    );
    let tried = make(app, &format!("{path}/backtest"), json!({"days": 1})).await;
    let trial = &tried["backtest"];
    assert!(
        trial["flagged"].as_i64() >= Some(1) && trial["attempts"].as_i64() >= trial["flagged"].as_i64(),
        "{trial}"
    );
    assert_eq!(
        trial["false_positives"], trial["flagged"],
        "nobody has called them fraud: {trial}"
    );
    assert_eq!(trial["caught"], 0);
    assert!([None, Some(0.0)].contains(&trial["recall"].as_f64()), "{trial}");
    assert!(
        trial["money_of_false_positives"]["usd"].as_i64() >= Some(amount),
        "{trial}"
    );
    let active = make(app, &path, json!({"state": "active"})).await;
    assert_eq!(
        (&active["state"], &active["version"]),
        (&json!("active"), &json!(3)),
        "{active}"
    );

    let blocked = eventually("the rule decides", || async {
        let paid = pay(app, &url, "4242424242424242", amount, &device).await;
        (paid.status == 402).then_some(paid)
    })
    .await;
    let told = outcome(app, &blocked).await;
    assert_eq!(
        (&told["type"], &told["rule"]),
        (&json!("blocked"), &json!(name)),
        "{told}"
    );
    let reason = told["reasons"]
        .as_array()
        .expect("reasons")
        .iter()
        .find(|reason| reason["code"] == name.as_str());
    assert_eq!(reason.expect("its reason")["message"], "The amount is 77123");
    pay(app, &url, "4242424242424242", amount + 1, &device).await.ok();

    // Another condition that decides at once is refused; every version is kept; deleted, it decides no more.
    let loose = app.post(&path).params(json!({"condition": "amount > 1"})).send().await;
    assert_eq!(loose.text("/error/code"), "rule_not_backtested", "{loose}");
    let versions = app.get(&format!("{path}/versions")).send().await.ok();
    let states: Vec<&str> = versions["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|v| v["state"].as_str().expect("a state"))
        .collect();
    assert_eq!(states, ["active", "shadow", "shadow"]);
    app.delete(&path).send().await.ok();
    assert_eq!(app.get(&path).send().await.status, 404);
    eventually("the rule is gone", || async {
        (pay(app, &url, "4242424242424242", amount, &device).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_shipped_rule_is_changed_and_reset() {
    let app = TestApp::shared().await;
    let path = "/v1/radar/rules/rule_default_new_card_amount";
    let owner = app.told("/merchants/1/id");
    let get = async || app.get(path).account(&owner).send().await.ok();
    let shipped = get().await;
    assert_eq!(
        (&shipped["shipped"], &shipped["state"]),
        (&json!(true), &json!("active")),
        "{shipped}"
    );
    let undeletable = app.delete(path).account(&owner).send().await;
    assert_eq!(undeletable.text("/error/code"), "rule_shipped", "{undeletable}");
    let off = app
        .post(path)
        .account(&owner)
        .params(json!({"state": "disabled"}))
        .send()
        .await
        .ok();
    assert_eq!(
        (&off["shipped"], &off["state"]),
        (&json!(false), &json!("disabled")),
        "{off}"
    );
    let mine = app.get(path).send().await.ok();
    assert_eq!(mine["state"], "active", "another merchant's is as shipped");
    app.delete(path).account(&owner).send().await.ok();
    let again = get().await;
    assert_eq!(
        (&again["shipped"], &again["condition"]),
        (&json!(true), &shipped["condition"])
    );
}

#[tokio::test]
async fn lists_block_and_allow_until_they_expire() {
    let app = TestApp::shared().await;
    let url = app.told("/api_url");
    let device = fresh("device");
    let listed = async |list: &str, expires: Option<i64>| {
        let item = json!({"value_list": list, "value": device, "expires_at": expires});
        make(app, "/v1/radar/value_list_items", item).await
    };
    let until = async |status: u16| {
        eventually(&format!("payments from the device get {status}"), || async {
            let paid = pay(app, &url, "4242424242424242", 1_000, &device).await;
            (paid.status == status).then_some(paid)
        })
        .await
    };
    let item = listed("device_blocklist", None).await;
    let blocked = until(402).await;
    let told = outcome(app, &blocked).await;
    assert_eq!(
        (&told["rule"], &told["network_status"]),
        (&json!("block_list"), &json!("not_sent_to_network")),
        "{told}"
    );
    let twice = json!({"value_list": "device_blocklist", "value": device});
    let twice = app.post("/v1/radar/value_list_items").params(twice).send().await;
    assert_eq!(twice.text("/error/code"), "value_list_item_exists", "{twice}");
    // The block list beats the allow list.
    listed("device_allowlist", None).await;
    assert_eq!(until(402).await.status, 402);
    app.delete(&format!(
        "/v1/radar/value_list_items/{}",
        item["id"].as_str().expect("an id")
    ))
    .send()
    .await
    .ok();
    let allowed = until(200).await;
    assert_eq!(outcome(app, &allowed).await["rule"], "allow_list");

    // An end is an end: the block is back to nothing without anybody doing anything.
    let gone = app
        .get("/v1/radar/value_list_items")
        .form(&format!("value_list=device_allowlist&value={device}"))
        .send()
        .await
        .ok();
    let allowing = gone["data"][0]["id"].as_str().expect("the item").to_owned();
    app.delete(&format!("/v1/radar/value_list_items/{allowing}"))
        .send()
        .await
        .ok();
    let soon = jiff::Timestamp::now().as_second() + 4;
    listed("device_blocklist", Some(soon)).await;
    until(402).await;
    until(200).await;

    // What is kept of a value is sealed.
    let database = app.sql().await;
    let (mail, list) = (format!("{}@example.org", fresh("ada")), fresh("list"));
    let made = json!({"alias": list, "name": "Regulars", "item_type": "email", "metadata": {"for": "tests"}});
    let made = make(app, "/v1/radar/value_lists", made).await;
    make(
        app,
        "/v1/radar/value_list_items",
        json!({"value_list": made["id"], "value": mail.to_uppercase()}),
    )
    .await;
    let shown = app
        .get(&format!(
            "/v1/radar/value_lists/{}",
            made["id"].as_str().expect("an id")
        ))
        .send()
        .await
        .ok();
    assert_eq!(shown["list_items"]["data"][0]["value"], mail.as_str(), "{shown}");
    let sql = "SELECT count(*) FROM risk.value_list_item t WHERE t::text LIKE '%' || $1 || '%' OR position($1::bytea in value) > 0";
    let clear: i64 = database
        .query_one(sql, &[&mail.as_bytes()])
        .await
        .map_or(0, |row| row.get(0));
    assert_eq!(clear, 0);
    let rule = json!({"name": fresh("uses"), "action": "allow", "condition": format!("email in lists.{list}")});
    let rule = make(app, "/v1/radar/rules", rule).await;
    let path = format!("/v1/radar/value_lists/{}", made["id"].as_str().expect("an id"));
    let used = app.delete(&path).send().await;
    assert_eq!(used.text("/error/code"), "value_list_in_use", "{used}");
    app.delete(&format!("/v1/radar/rules/{}", rule["id"].as_str().expect("an id")))
        .send()
        .await
        .ok();
    app.delete(&path).send().await.ok();
}

#[tokio::test]
async fn another_process_knows_what_this_one_saw_and_obeys_the_same_rules() {
    let app = TestApp::shared().await;
    let here = app.told("/api_url");
    let there = Second::start(app, "risk", "", Path::new("")).await;
    let device = fresh("device");
    for card in [
        "4242424242424242",
        "5555555555554444",
        "378282246310005",
        "6011111111111117",
        "4000056655665556",
        "4000000000000002",
    ] {
        pay(app, &here, card, 100, &device).await;
    }
    // Six cards on one device, all small: the other process, which saw none of them, blocks the seventh.
    let blocked = eventually("the other process knows", || async {
        let paid = pay(app, &there.url, "4242424242424242", 100, &device).await;
        (paid.status == 402).then_some(paid)
    })
    .await;
    assert_eq!(outcome(app, &blocked).await["rule"], "card_testing_device");

    let listed = fresh("device");
    make(
        app,
        "/v1/radar/value_list_items",
        json!({"value_list": "device_blocklist", "value": listed}),
    )
    .await;
    eventually("the other process obeys the list", || async {
        (pay(app, &there.url, "4242424242424242", 5_000, &listed).await.status == 402).then_some(())
    })
    .await;
}

/// Declines of one card are counted on through an orderly end, a kill, and the loss of the file, each time exactly.
#[tokio::test]
async fn a_restart_in_the_middle_changes_no_score() {
    let app = TestApp::start().await;
    let mut declines = 0;
    let decline = async |app: &TestApp, expected: i64| {
        let before = rows(app).await;
        let paid = pay(app, &app.told("/api_url"), "4000000000009995", 2_500, "a device").await;
        assert_eq!(paid.status, 402, "{paid}");
        let told = outcome(app, &paid).await;
        let reasons = told["reasons"].as_array().expect("reasons");
        let counted = reasons.iter().find(|reason| reason["code"] == "card_declined_lately");
        let counted = counted.and_then(|reason| reason["value"].as_f64());
        assert_eq!(counted, (expected >= 2).then_some(expected as f64), "{told}");
        eventually("the scorer has learned", || async {
            (rows(app).await > before).then_some(())
        })
        .await;
    };
    for end in [
        "a kill",
        "an end in order",
        "a kill after the file was written",
        "the loss of the file",
    ] {
        for _ in 0..2 {
            decline(&app, declines).await;
            declines += 1;
        }
        let file = app.dir().join("scorer.snapshot");
        match end {
            "an end in order" => {
                app.restart().await;
                assert!(file.exists(), "it is written at the end");
                continue;
            }
            "the loss of the file" => std::fs::remove_file(&file).expect("removed"),
            _ => {}
        }
        app.kill9();
        app.restart().await;
    }
    decline(&app, declines).await;
    let log = std::fs::read_to_string(app.dir().join("log.jsonl")).expect("the log");
    let from_file = |was: bool| log.matches(&format!("\"from_file\":{was}")).count();
    assert_eq!(
        (from_file(true), from_file(false)),
        (2, 3),
        "starts with and without the file"
    );
}

#[tokio::test]
async fn a_warning_of_fraud_is_a_label_and_tells_when_it_is_too_late() {
    let app = TestApp::shared().await;
    let paid = pay(app, &app.told("/api_url"), "4000000000005423", 3_100, &fresh("device"))
        .await
        .ok();
    let charge = paid["latest_charge"].as_str().expect("a charge").to_owned();
    let warning = eventually("the warning", || async {
        let path = "/v1/radar/early_fraud_warnings";
        let listed = app.get(path).form(&format!("charge={charge}")).send().await.ok();
        listed["data"].get(0).cloned()
    })
    .await;
    assert_eq!(
        (&warning["actionable"], &warning["payment_intent"]),
        (&json!(true), &paid["id"]),
        "{warning}"
    );
    assert_eq!(labels(app, &charge).await, ["fraud early_fraud_warning"]);
    let refund = json!({"payment_intent": paid["id"], "reason": "fraudulent"});
    make(app, "/v1/refunds", refund).await;
    assert_eq!(
        labels(app, &charge).await,
        ["fraud early_fraud_warning", "fraud refund"]
    );
    let path = format!(
        "/v1/radar/early_fraud_warnings/{}",
        warning["id"].as_str().expect("an id")
    );
    let late = app.get(&path).form("expand[]=charge").send().await.ok();
    assert_eq!(
        (&late["actionable"], &late["charge"]["id"]),
        (&json!(false), &json!(charge)),
        "{late}"
    );
    let events = app
        .get("/v1/events")
        .form("type=radar.early_fraud_warning.created&limit=100")
        .send()
        .await
        .ok();
    let told = events["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|e| e["data"]["object"]["id"] == warning["id"])
        .count();
    assert_eq!(told, 1);
}

#[tokio::test]
async fn a_person_s_word_and_a_dispute_are_labels_when_they_arrive_and_not_before() {
    let app = TestApp::shared().await;
    let url = app.told("/api_url");
    let device = fresh("device");
    let elevated = async || {
        let paid = pay(app, &url, "4000000000009235", 2_700, &device).await.ok();
        let charge = paid["latest_charge"].as_str().expect("a charge").to_owned();
        (paid["review"].as_str().expect("a review").to_owned(), charge)
    };
    for (decision, label) in [("approve", "genuine review"), ("reject", "fraud review")] {
        let (review, charge) = elevated().await;
        assert!(labels(app, &charge).await.is_empty(), "nobody has said anything");
        make(app, &format!("/v1/reviews/{review}/{decision}"), json!({})).await;
        assert_eq!(labels(app, &charge).await, [label]);
    }
    let paid = pay(app, &url, "4000000000000259", 2_700, &device).await.ok();
    let charge = paid["latest_charge"].as_str().expect("a charge").to_owned();
    let dispute = eventually("the dispute", || async {
        let listed = app
            .get("/v1/disputes")
            .form(&format!("charge={charge}"))
            .send()
            .await
            .ok();
        let dispute = &listed["data"][0];
        (dispute["status"] == "needs_response").then(|| dispute["id"].as_str().expect("an id").to_owned())
    })
    .await;
    assert_eq!(labels(app, &charge).await, ["fraud dispute"]);
    let evidence = json!({"evidence": {"uncategorized_text": "winning_evidence"}, "submit": true});
    make(app, &format!("/v1/disputes/{dispute}"), evidence).await;
    eventually("the dispute is won and the label taken back", || async {
        (labels(app, &charge).await == ["fraud dispute", "withdrawn dispute"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn whoever_is_blocked_can_ask_for_a_person_who_lets_them_through() {
    let app = TestApp::shared().await;
    // The second merchant's: a card that is let through here stays blocked elsewhere.
    let owner = app.told("/merchants/1/id");
    let sale =
        json!({"amount": 4_100, "currency": "usd", "confirm": true, "payment_method": "pm_card_riskLevelHighest"});
    let pay = async |account: &str| {
        app.post("/v1/payment_intents")
            .account(account)
            .params(sale.clone())
            .send()
            .await
    };
    let post = async |path: &str, parameters: Value| app.post(path).account(&owner).params(parameters).send().await;
    let blocked = pay(&owner).await;
    assert_eq!(blocked.status, 402, "{blocked}");
    let charge = blocked.text("/error/charge").to_owned();
    let ask = json!({"charge": charge, "requested_by": "consumer", "statement": "I am on holiday."});
    let appeal = post("/v1/radar/block_appeals", ask.clone()).await.ok();
    let path = format!("/v1/radar/block_appeals/{}", appeal["id"].as_str().expect("an id"));
    assert_eq!((&appeal["status"], &appeal["overdue"]), (&json!("open"), &json!(false)));
    assert_eq!(
        appeal["due_at"].as_i64(),
        appeal["created"].as_i64().map(|at| at + 72 * 3_600)
    );
    assert_eq!(
        post("/v1/radar/block_appeals", ask).await.text("/error/code"),
        "block_appeal_exists"
    );
    let ordinary = json!({"amount": 100, "currency": "usd", "confirm": true, "payment_method": "pm_card_visa"});
    let ordinary = post("/v1/payment_intents", ordinary).await.ok();
    let wrong = json!({"charge": ordinary["latest_charge"], "requested_by": "merchant"});
    assert_eq!(
        post("/v1/radar/block_appeals", wrong).await.text("/error/code"),
        "charge_not_blocked"
    );

    assert_eq!(
        post(&format!("{path}/lift"), json!({})).await.text("/error/param"),
        "reason"
    );
    let lifted = post(
        &format!("{path}/lift"),
        json!({"reason": "A regular.", "allow_days": 2}),
    )
    .await
    .ok();
    assert_eq!(
        (&lifted["status"], &lifted["reason"]),
        (&json!("lifted"), &json!("A regular.")),
        "{lifted}"
    );
    assert_eq!(labels(app, &charge).await, ["genuine review"]);
    let late = post(&format!("{path}/uphold"), json!({"reason": "No."})).await;
    assert_eq!(late.text("/error/code"), "block_appeal_closed", "{late}");
    eventually("the card is let through", || async {
        (pay(&owner).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(
        pay(&app.told("/merchants/0/id")).await.status,
        402,
        "this merchant has let nobody through"
    );
    // Tidy: the next run of this test on the same service finds the card blocked.
    let listed = app
        .get("/v1/radar/value_list_items")
        .account(&owner)
        .form("value_list=card_fingerprint_allowlist")
        .send()
        .await
        .ok();
    for item in listed["data"].as_array().expect("a list") {
        let path = format!("/v1/radar/value_list_items/{}", item["id"].as_str().expect("an id"));
        app.delete(&path).account(&owner).send().await.ok();
    }
}

#[tokio::test]
async fn a_spike_of_refunds_is_a_signal_with_its_numbers_once_a_day() {
    let app = TestApp::shared().await;
    let owner = app.told("/merchants/1/id");
    // Four weeks of ten sales a day in a currency that no other test uses.
    let database = app.sql().await;
    let habits =
        "INSERT INTO risk.merchant_day (book_id, day, currency, attempts, approved, amount, refunds, refund_amount)
                  SELECT book_id, (now() AT TIME ZONE 'UTC')::date - n, 'nok', 10, 10, 100000, 0, 0
                  FROM gateway.merchant, generate_series(2, 28) n WHERE id = $1";
    database.execute(habits, &[&owner]).await.expect("habits");
    let post =
        async |path: &str, parameters: Value| app.post(path).account(&owner).params(parameters).send().await.ok();
    for _ in 0..10 {
        let sale = json!({"amount": 10_000, "currency": "nok", "confirm": true, "payment_method": "pm_card_visa"});
        let paid = post("/v1/payment_intents", sale).await;
        post("/v1/refunds", json!({"payment_intent": paid["id"]})).await;
    }
    let listed = async || {
        let listed = app
            .get("/v1/radar/signals")
            .account(&owner)
            .form("kind=refund_spike&limit=100")
            .send()
            .await
            .ok();
        let of = |signal: &&Value| signal["subject"] == "nok";
        listed["data"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(of)
            .cloned()
            .collect::<Vec<_>>()
    };
    let signal = eventually("the signal", || async { listed().await.first().cloned() }).await;
    let evidence = &signal["evidence"];
    assert_eq!(evidence["last_24_hours"]["refunds"], 10, "{signal}");
    assert_eq!(
        (&evidence["base_days"], &evidence["base"]["amount"]),
        (&json!(27), &json!(2_700_000)),
        "{signal}"
    );
    let path = format!("/v1/radar/signals/{}", signal["id"].as_str().expect("an id"));
    let empty = app.post(&format!("{path}/acknowledge")).account(&owner).send().await;
    assert_eq!(empty.text("/error/param"), "note", "{empty}");
    let seen = post(&format!("{path}/acknowledge"), json!({"note": "A recall."})).await;
    assert_eq!(
        (&seen["status"], &seen["note"]),
        (&json!("acknowledged"), &json!("A recall."))
    );
    assert_eq!(listed().await.len(), 1, "once a day");
}

#[tokio::test]
async fn a_discount_from_a_price_that_nobody_paid_is_a_signal() {
    let app = TestApp::shared().await;
    let owner = app.told("/merchants/1/id");
    let item = fresh("tea");
    let prices = "INSERT INTO risk.price_day (book_id, item, currency, day, lowest, highest, sales)
                  SELECT book_id, $2, 'usd', (now() AT TIME ZONE 'UTC')::date - n, 1000, 1200, 3
                  FROM gateway.merchant, generate_series(1, 7) n WHERE id = $1";
    app.sql().await.execute(prices, &[&owner, &item]).await.expect("prices");
    let line = json!([{"name": "Tea", "product_code": item, "quantity": 2, "list_price": 1_500, "deal_price": 900}]);
    let sale = json!({"amount": 1_800, "currency": "usd", "confirm": true, "payment_method": "pm_card_visa", "line_items": line});
    app.post("/v1/payment_intents")
        .account(&owner)
        .params(sale)
        .send()
        .await
        .ok();
    for kind in ["fake_discount", "list_price_never_charged"] {
        let signal = eventually(kind, || async {
            let form = format!("kind={kind}&limit=100");
            let listed = app
                .get("/v1/radar/signals")
                .account(&owner)
                .form(&form)
                .send()
                .await
                .ok();
            let of = |signal: &&Value| signal["subject"] == format!("{item} usd");
            listed["data"].as_array().expect("a list").iter().find(of).cloned()
        })
        .await;
        let evidence = json!({"list_price": 1_500, "deal_price": 900, "lowest_charged_in_30_days": 1_000,
                              "highest_charged_in_30_days": 1_200, "days_with_sales": 7});
        assert_eq!(signal["evidence"], evidence);
    }
}

/// What the scorer was told about a charge, in order.
pub async fn labels(app: &TestApp, charge: &str) -> Vec<String> {
    let sql = "SELECT fact || ' ' || source FROM risk.history WHERE id = $1 AND source IS NOT NULL ORDER BY at, source";
    let rows = app.sql().await.query(sql, &[&charge]).await.expect("asks");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Rows of the scorer's history that this process has read since its start.
async fn rows(app: &TestApp) -> i64 {
    let metrics = app.ops("GET", "/metrics").send().await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("counterfoil_scorer_history_rows_total "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}
