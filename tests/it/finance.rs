//! Finance at work while payments go on: closing a day, a manual journal by two people, a statement, and an authorization
//! that nobody captures.

use serde_json::{Value, json};
use tests::{TestApp, eventually, said};

#[tokio::test]
async fn an_authorization_that_lapses_is_canceled_and_its_hold_released() {
    let app = TestApp::start().await;
    let payment = json!({ "amount": 5000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true, "capture_method": "manual" });
    let held = app
        .post("/v1/payment_intents")
        .params(payment.clone())
        .send()
        .await
        .ok();
    let kept = app.post("/v1/payment_intents").params(payment).send().await.ok();
    assert_eq!(
        (&held["status"], &kept["status"]),
        (&json!("requires_capture"), &json!("requires_capture"))
    );
    // Eight days later, for one of them.
    let sql = app.sql().await;
    let changed = sql
        .execute(
            "UPDATE gateway.charge SET created_at = created_at - interval '8 days', check_at = check_at - interval '8 days',
                                       capture_before = capture_before - interval '8 days'
             WHERE payment_id = $1 AND check_at IS NOT NULL",
            &[&held["id"].as_str()],
        )
        .await
        .unwrap();
    assert_eq!(changed, 1, "the sweep is told when it lapses");
    let path = format!("/v1/payment_intents/{}", held["id"].as_str().unwrap());
    let canceled = eventually("the payment is canceled", || async {
        let now = app.get(&path).send().await.ok();
        (now["status"] == "canceled").then_some(now)
    })
    .await;
    assert_eq!(canceled["cancellation_reason"], "automatic");
    assert_eq!(canceled["amount_capturable"], 0);
    let path = format!("/v1/payment_intents/{}", kept["id"].as_str().unwrap());
    assert_eq!(app.get(&path).send().await.ok()["status"], "requires_capture");
    let events = app.get("/v1/events?type=payment_intent.canceled").send().await.ok();
    assert_eq!(events["data"].as_array().map(Vec::len), Some(1), "{events}");
    let booked = "SELECT (SELECT count(*) FROM ledger.journal WHERE code = 'J02'), (SELECT sum(remaining)::bigint FROM ledger.hold)";
    let row = sql.query_one(booked, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 5000));
    app.verify_books().await;
    app.stop().await;
}

#[tokio::test]
async fn a_closed_day_holds_up_no_payment_and_a_manual_journal_needs_two() {
    let app = TestApp::start().await;
    let run = async |arguments: &[&str]| {
        let output = app.counterfoil(arguments).await;
        (output.status.success(), said(&output))
    };
    let yesterday = "SELECT ((now() AT TIME ZONE 'UTC')::date - 1)::text, ((now() AT TIME ZONE 'UTC')::date)::text";
    let row = app.sql().await.query_one(yesterday, &[]).await.unwrap();
    let (yesterday, today): (String, String) = (row.get(0), row.get(1));
    let (ok, told) = run(&["ledger", "period", "close", "--up-to", &today, "--by", "ann"]).await;
    assert!(!ok && told.contains("not over"), "{told}");
    let (ok, told) = run(&["ledger", "period", "close", "--up-to", &yesterday, "--by", "ann"]).await;
    assert!(ok, "{told}");
    let payment = json!({ "amount": 2000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true });
    let paid = app.post("/v1/payment_intents").params(payment).send().await.ok();
    assert_eq!(paid["status"], "succeeded");

    let book = app.told("/merchants/0/id");
    let propose = |by: &'static str, at: String| {
        let words = [
            "ledger",
            "journal",
            "propose",
            "--book",
            &book,
            "--by",
            by,
            "--ticket",
            "FIN-7",
            "--reason",
            "goodwill",
            "--at",
            &at,
            "--debit",
            "2010.usd=1.50",
            "--credit",
            "2020.usd=1.50",
        ];
        words.map(str::to_owned)
    };
    let mut ids = Vec::new();
    for at in [&yesterday, &today] {
        let words = propose("ann", at.clone());
        let output = app.counterfoil(&words.each_ref().map(String::as_str)).await;
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        ids.push(told["proposal"].as_str().unwrap().to_owned());
    }
    let approve =
        async |by: &str, id: &str| run(&["ledger", "journal", "approve", "--book", &book, "--by", by, id]).await;
    let (ok, told) = approve("Ann", &ids[1]).await;
    assert!(!ok && told.contains("cannot decide"), "{told}");
    let (ok, told) = approve("bob", &ids[0]).await;
    assert!(!ok && told.contains("closed"), "{told}");
    let (ok, told) = approve("bob", &ids[1]).await;
    assert!(ok, "{told}");

    let output = app
        .counterfoil(&[
            "ledger",
            "statement",
            "--book",
            &book,
            "--account",
            "2010.usd",
            "--from",
            &today,
            "--json",
        ])
        .await;
    let lines: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let sum: i64 = lines.iter().filter_map(|l| l["amount"].as_i64()).sum();
    let end = lines.last().unwrap();
    assert_eq!(
        (end["opening"].as_i64(), end["closing"].as_i64()),
        (Some(0), Some(sum)),
        "{lines:?}"
    );
    assert!(
        lines.iter().any(|l| l["code"] == "J32" && l["amount"] == -150),
        "{lines:?}"
    );

    let (ok, told) = run(&["ledger", "trial-balance", "--consolidated", "--as-of", &yesterday]).await;
    assert!(ok && !told.contains("2010.usd"), "{told}");
    let (ok, told) = run(&["ledger", "trial-balance", "--consolidated", "--as-of", &today]).await;
    assert!(ok && told.contains("2010.usd"), "{told}");
    let (ok, told) = run(&[
        "ledger",
        "period",
        "reopen",
        "--from",
        "2020-01-01",
        "--by",
        "bob",
        "--reason",
        "late invoice",
    ])
    .await;
    assert!(ok, "{told}");
    let (ok, told) = approve("bob", &ids[0]).await;
    assert!(ok, "{told}");

    let act = async |act: &str, by: &str| {
        let account = [
            "--book",
            &book,
            "--account",
            "2010.usd",
            "--by",
            by,
            "--reason",
            "FIN-9",
        ];
        run(&[&["ledger", "account", act][..], &account].concat()).await
    };
    let (ok, told) = act("close", "ann").await;
    assert!(ok, "{told}");
    let (ok, told) = act("close", "ann").await;
    assert!(!ok && told.contains("closed already"), "{told}");
    let (ok, told) = act("reopen", "bob").await;
    assert!(ok, "{told}");
    let (ok, told) = run(&["ledger", "account", "list", "--json"]).await;
    assert!(
        ok && told.lines().count() == 2 && told.contains("FIN-9") && told.contains("\"by\":\"bob\""),
        "{told}"
    );
    app.verify_books().await;
    app.stop().await;
}
