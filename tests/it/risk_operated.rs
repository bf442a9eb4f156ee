//! The scorer in the hands of those who run it: a model from the service's own log, reviews by chance, rules and lists from the command
//! line, appeals that wait too long.

use crate::gate_serve::Second;
use crate::risk::{fresh, labels, make, outcome, pay};
use serde_json::{Value, json};
use std::path::Path;
use tests::{TestApp, eventually};

/// A sale of the past with its outcome, and perhaps its label, as the service itself would have left them.
const PAST: &str = "
    WITH n AS (SELECT n, n % 12 = 0 AS fraud, now() - interval '40 days' + n * interval '40 minutes' AS at FROM generate_series(1, 1200) n),
    made AS (INSERT INTO gateway.charge
        SELECT c.* FROM n, gateway.merchant m, jsonb_populate_record(NULL::gateway.charge, jsonb_build_object(
            'book_id', m.book_id, 'id', 'ch_past' || n, 'version', 1, 'payment_id', 'pi_past' || n, 'status', 'voided',
            'amount', CASE WHEN fraud THEN 80000 + n ELSE 1000 + n END, 'currency', 'usd', 'amount_captured', 0, 'amount_refunded', 0,
            'captured', false, 'disputed', false, 'capture_wanted', true, 'payment_method_id', 'pm_past', 'connector', 'stripe', 'fee', 0,
            'card', jsonb_build_object('brand', 'visa', 'bin', '424242', 'last4', '4242', 'exp_month', 12, 'exp_year', 2040,
                'fingerprint', 'past' || n % 60, 'funding', 'credit'),
            'risk', jsonb_build_object('decision', 'allow', 'score', 0, 'level', 'normal'), 'context', '{}'::jsonb, 'swept', 0, 'operations', 0,
            'routing', '{}'::jsonb,
            'multicapture', false, 'incremental', false, 'created_at', at)) c WHERE m.id = $1 RETURNING book_id, id)
    INSERT INTO risk.history (book_id, id, fact, source, at)
    SELECT m.book_id, 'ch_past' || n, 'approved', NULL, at FROM n, gateway.merchant m WHERE m.id = $1
    UNION ALL SELECT m.book_id, 'ch_past' || n, 'fraud', 'dispute', at + interval '3 days' FROM n, gateway.merchant m WHERE m.id = $1 AND fraud";

/// From the service's own log to a model that decides in it: trained by the command, in force by configuration, its score on the charge,
/// its exact reasons in the review; and what is allowed is looked at by chance.
#[tokio::test]
async fn a_model_from_the_log_decides_and_its_reviews_say_why() {
    let app = TestApp::start().await;
    // An attempt whose answer is lost: it is known as an attempt at once, and as what it was when the sweep has asked.
    let lost = json!({"method": "POST", "path": "/v1/payment_intents", "amount": 5_151, "action": "reset_after", "remaining": 20});
    app.simulator("POST", "/admin/faults").json(&lost).send().await.ok();
    pay(&app, &app.told("/api_url"), "4000056655665556", 5_151, &fresh("device")).await;

    app.sql()
        .await
        .execute(PAST, &[&app.told("/merchants/1/id")])
        .await
        .expect("a past");
    let model = app.dir().join("trained.json");
    let out = model.display().to_string();
    let trained = app
        .counterfoil(&["risk", "train", "--out", &out, "--trees", "40"])
        .await;
    assert!(trained.status.success(), "{}", tests::said(&trained));
    let settings = format!("model = {out:?}\nrandom_reviews_per_million = 1000000");
    let there = Second::start_scoring(&app, "model", "", Path::new(""), &settings).await;

    let large = pay(&app, &there.url, "4242424242424242", 82_000, &fresh("device")).await;
    let told = outcome(&app, &large).await;
    assert!(told["risk_score"].as_u64() >= Some(65), "{told}");
    let rule = told["rule"].as_str().expect("a rule").to_owned();
    assert!(rule.starts_with("model_"), "{told}");
    let features = |reasons: &Value| -> Vec<String> {
        let reasons = reasons.as_array().expect("reasons").iter();
        reasons
            .map(|reason| reason["feature"].as_str().expect("a feature").to_owned())
            .collect()
    };
    assert!(
        features(&told["reasons"])
            .iter()
            .any(|feature| feature.contains("amount")),
        "{told}"
    );
    let sql = "SELECT risk->'model'->>'model', (risk->'model'->>'score')::float8 FROM gateway.charge WHERE risk->>'rule' = $1 LIMIT 1";
    let kept = app.sql().await.query_one(sql, &[&rule]).await.expect("kept");
    let file: Value = serde_json::from_slice(&std::fs::read(&model).expect("a model")).expect("JSON");
    assert!(
        file["hash"]
            .as_str()
            .expect("a hash")
            .starts_with(kept.get::<_, &str>(0))
    );
    assert!(kept.get::<_, f64>(1) >= 65.0);

    // An ordinary sale: allowed, and chosen by chance, with the chance beside it.
    let usual = pay(&app, &there.url, "5555555555554444", 1_100, &fresh("device"))
        .await
        .ok();
    assert_eq!(usual["status"], "requires_capture", "{usual}");
    let review = usual["review"].as_str().expect("a review").to_owned();
    let review = app.get(&format!("/v1/reviews/{review}")).send().await.ok();
    let chance = review["reasons"]
        .as_array()
        .expect("reasons")
        .iter()
        .find(|r| r["code"] == "random_review");
    assert_eq!(chance.expect("chosen by chance")["value"], 1.0, "{review}");
    let shapley = review["shapley_values"].as_array().expect("values");
    let sizes: Vec<f64> = shapley
        .iter()
        .map(|s| s["log_odds"].as_f64().expect("a number").abs())
        .collect();
    assert!(
        !sizes.is_empty() && sizes.len() <= 10 && sizes.is_sorted_by(|a, b| a >= b),
        "{review}"
    );
    let amount = shapley
        .iter()
        .find(|s| s["feature"].as_str().is_some_and(|name| name.contains("amount")));
    assert!(
        amount.expect("the amount speaks")["log_odds"].as_f64() < Some(0.0),
        "it spoke for the payer: {review}"
    );
    make(
        &app,
        &format!("/v1/reviews/{}/approve", review["id"].as_str().expect("an id")),
        json!({}),
    )
    .await;
    assert_eq!(
        labels(&app, review["charge"].as_str().expect("a charge")).await,
        ["genuine review"]
    );

    let sql = "SELECT fact || CASE WHEN resolves THEN ' later' ELSE '' END
               FROM risk.history h JOIN gateway.charge c USING (book_id, id) WHERE c.amount = 5151 ORDER BY h.at";
    eventually("the lost answer is known", || async {
        let rows = app.sql().await.query(sql, &[]).await.expect("the log");
        let facts: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        (facts == ["unknown", "approved later"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_appeal_that_nobody_answers_is_told_as_overdue_once() {
    let app = TestApp::shared().await;
    let owner = app.told("/merchants/1/id");
    let post = async |path: &str, parameters: Value| app.post(path).account(&owner).params(parameters).send().await;
    let sale = json!({"amount": 4_200, "currency": "usd", "confirm": true, "payment_method": "pm_card_radarBlock"});
    let blocked = post("/v1/payment_intents", sale).await;
    let ask = json!({"charge": blocked.text("/error/charge"), "requested_by": "consumer", "statement": "It is me."});
    let appeal = post("/v1/radar/block_appeals", ask).await.ok();
    let id = appeal["id"].as_str().expect("an id").to_owned();
    let late = "UPDATE risk.block_appeal SET due_at = now() - interval '1 minute' WHERE id = $1";
    app.sql().await.execute(late, &[&id]).await.expect("late");
    let path = format!("/v1/radar/block_appeals/{id}");
    eventually("the appeal is overdue", || async {
        let shown = app.get(&path).account(&owner).send().await.ok();
        (shown["overdue"] == true).then_some(())
    })
    .await;
    let decided = post(&format!("{path}/uphold"), json!({"reason": "The card was stolen."}))
        .await
        .ok();
    assert_eq!(
        (&decided["status"], &decided["overdue"]),
        (&json!("upheld"), &json!(true))
    );
    let sql = "SELECT count(*) FROM gateway.event WHERE type = 'radar.block_appeal.overdue' AND object_id = $1";
    let told: i64 = app.sql().await.query_one(sql, &[&id]).await.expect("counts").get(0);
    assert_eq!(told, 1);
}

/// Rules and lists from the command line, in front of a service that runs: what is done there is in force here, and in the audit log.
#[tokio::test]
async fn an_operator_keeps_rules_and_lists_from_the_command_line() {
    let app = TestApp::shared().await;
    let (url, name, amount, device) = (app.told("/api_url"), fresh("cli"), 66_441, fresh("device"));
    let merchant = app.told("/merchants/0/id");
    let run = async |arguments: &[&str]| {
        let arguments = [&["risk"], arguments, &["--merchant", &merchant, "--json"]].concat();
        let done = app.counterfoil(&arguments).await;
        let shown = serde_json::from_slice::<Value>(&done.stdout).unwrap_or_default();
        (done.status.success(), shown, tests::said(&done))
    };
    let condition = format!("amount == {amount}");
    let wrong = run(&[
        "rules",
        "propose",
        &name,
        "--action",
        "block",
        "--condition",
        "amont > 1",
    ])
    .await;
    assert!(!wrong.0 && wrong.2.contains("Line 1, character 1"), "{}", wrong.2);
    let propose = [
        "rules",
        "propose",
        &name,
        "--action",
        "block",
        "--condition",
        &condition,
    ];
    let proposed = run(&propose).await;
    assert_eq!(
        (proposed.0, &proposed.1["state"]),
        (true, &json!("shadow")),
        "{}",
        proposed.2
    );
    pay(app, &url, "4242424242424242", amount, &device).await.ok();
    let early = run(&["rules", "activate", &name]).await;
    assert!(!early.0 && early.2.contains("try it on history"), "{}", early.2);
    let tried = run(&["rules", "backtest", &name, "--days", "1"]).await;
    let trial = &tried.1["backtest"];
    assert!(tried.0 && trial["flagged"].as_i64() >= Some(1), "{}", tried.2);
    assert!(
        trial["warm_up_days"].as_i64() == Some(90) && trial["model_scores"]["of_today"].is_u64(),
        "{trial}"
    );
    assert!(run(&["rules", "activate", &name]).await.0);
    eventually("the rule decides", || async {
        (pay(app, &url, "4242424242424242", amount, &device).await.status == 402).then_some(())
    })
    .await;
    let shown = run(&["rules", "show", &name]).await.1;
    assert_eq!(
        (&shown["state"], shown["versions"].as_array().map(Vec::len)),
        (&json!("active"), Some(3)),
        "{shown}"
    );
    let listed = run(&["rules", "list"]).await.1;
    let known = |rule: &&Value| rule["name"] == name.as_str();
    assert!(listed.as_array().expect("a list").iter().any(|rule| known(&rule)));
    assert!(run(&["rules", "retire", &name]).await.0);
    eventually("the rule is off", || async {
        (pay(app, &url, "4242424242424242", amount, &device).await.status == 200).then_some(())
    })
    .await;

    let item = run(&["lists", "add", "device_blocklist", &device, "--for", "1h"]).await;
    let expires = item.1["expires_at"].as_i64().expect("an end") - jiff::Timestamp::now().as_second();
    assert!(item.0 && (3_500..=3_600).contains(&expires), "{}", item.2);
    eventually("the device is blocked", || async {
        (pay(app, &url, "4242424242424242", 1_000, &device).await.status == 402).then_some(())
    })
    .await;
    let items = run(&["lists", "show", "device_blocklist"]).await.1;
    let ours = items
        .as_array()
        .expect("items")
        .iter()
        .find(|item| item["value"] == device.as_str());
    let id = ours.expect("the device")["id"].as_str().expect("an id").to_owned();
    let counted = run(&["lists", "list"]).await.1;
    let blocklist = counted
        .as_array()
        .expect("lists")
        .iter()
        .find(|list| list["alias"] == "device_blocklist");
    assert!(blocklist.expect("built in")["items"].as_i64() >= Some(1));
    assert!(run(&["lists", "remove", &id]).await.0);
    let own = fresh("regulars");
    let made = run(&["lists", "create", &own, "--items", "email"]).await;
    assert_eq!((made.0, &made.1["item_type"]), (true, &json!("email")), "{}", made.2);
    let unfit = run(&["lists", "add", &own, "nobody"]).await;
    assert!(!unfit.0 && unfit.2.contains("not an e-mail address"), "{}", unfit.2);

    let sql = "SELECT action || ' ' || result FROM gateway.audit_event WHERE action LIKE 'risk %' AND object = ANY($1) ORDER BY id";
    let noted = app
        .sql()
        .await
        .query(sql, &[&vec![&name, &id, &own]])
        .await
        .expect("the audit log");
    let noted: Vec<String> = noted.iter().map(|row| row.get(0)).collect();
    for deed in [
        "risk rules propose failed",
        "risk rules propose done",
        "risk rules backtest done",
        "risk rules activate failed",
        "risk rules activate done",
        "risk rules retire done",
        "risk lists remove done",
        "risk lists create done",
        "risk lists add failed",
    ] {
        assert!(noted.iter().any(|noted| noted == deed), "{deed}: {noted:?}");
    }
}
