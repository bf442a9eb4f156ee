//! What breaks at the worst moment: the gateway killed under load, the acquirer silent, failing or gone, its webhooks twice,
//! late, out of order or never.
//!
//! The promise is the same each time: every payment that a caller was told of exists exactly once, no card is charged twice,
//! what is not known is `processing` and not guessed, and the sweep ends it. What callers were told, the rows, the acquirer's
//! own record and the books are compared afterwards.

use loadtest::audit::{Acknowledged, Audit, audit};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tests::{Answer, PATIENCE, TestApp, eventually};
use tokio::time::{Instant, sleep};

/// `CRASH_SEED` repeats the moments of an earlier run; the load between them is as random as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_lose_nothing_and_charge_nobody_twice() {
    let seed = std::env::var("CRASH_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("CRASH_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let app = Arc::new(TestApp::start_with(&["--permissive-scorer"]).await);
    let shop = Arc::new(Shop::new(app.clone()));
    let customers: Vec<_> = (0..CUSTOMERS)
        .map(|customer| tokio::spawn(shop.clone().serve(customer)))
        .collect();

    for _ in 0..KILLS {
        sleep(Duration::from_millis(dice.random_range(0..600))).await;
        app.kill9();
        sleep(Duration::from_millis(dice.random_range(0..100))).await;
        app.restart().await;
    }
    shop.closed.store(true, Ordering::Relaxed);
    let mut told = Vec::new();
    for customer in customers {
        told.extend(customer.await.expect("a customer ends"));
    }

    let found = settled(&app, &told).await;
    println!(
        "{found:#?}, {} answers were cut off",
        shop.unanswered.load(Ordering::Relaxed)
    );
    assert!(found.is_sound(), "{found:#?}");
    assert_eq!(
        found.payments,
        told.len() as u64,
        "one payment for each key, and none besides"
    );
    assert!(
        shop.unanswered.load(Ordering::Relaxed) > 0,
        "the kills hit nobody: this proves nothing"
    );
    assert_eq!(
        shop.failures.load(Ordering::Relaxed),
        0,
        "a crash is no excuse for a 500"
    );
    let sql = app.sql().await;
    let owed = "SELECT count(*) FROM gateway.request WHERE status IS NULL";
    let owed: i64 = sql.query_one(owed, &[]).await.expect("counts").get(0);
    assert_eq!(owed, 0, "every request has its answer, also those whose process died");
    app.verify_books().await;
}

#[tokio::test]
async fn an_attempt_whose_outcome_is_unknown_is_processing_until_the_sweep_knows() {
    let app = TestApp::start_with(&["--permissive-scorer"]).await;
    let mut told = Vec::new();
    let cases = [
        (1101, "timeout_before", false),
        (1102, "timeout_after", true),
        (1103, "error_before", false),
        (1104, "error_after", true),
        (1105, "reset", false),
        (1106, "reset_after", true),
        (1107, "rate_limit", false),
    ];
    for (amount, action, _) in cases {
        fault(
            &app,
            json!({ "path": "/v1/payment_intents", "amount": amount, "action": action, "ms": 200, "remaining": 1 }),
        )
        .await;
        let key = format!("unknown-{action}");
        let send = || {
            app.post("/v1/payment_intents")
                .params(sale(amount))
                .idempotency_key(&key)
        };
        let paid = send().send().await;
        assert_eq!(
            (paid.status, paid.text("/status")),
            (200, "processing"),
            "{action}: {paid}"
        );
        let again = send().send().await;
        assert!(again.replayed() && again.body == paid.body, "{action}: {again}");
        told.push(acknowledged(&paid));
    }
    for (told, (amount, action, done)) in told.iter().zip(cases) {
        let path = format!("/v1/payment_intents/{}", told.id);
        let ended = eventually("the sweep ends it", || async {
            let now = app.get(&path).send().await.ok();
            (now["status"] != "processing").then_some(now)
        })
        .await;
        if done {
            assert_eq!(ended["status"], "succeeded", "{action}: the acquirer had done it");
        } else {
            assert_eq!(
                ended["status"], "requires_payment_method",
                "{action}: nothing had happened"
            );
            assert_eq!(ended["last_payment_error"]["code"], "processing_error");
        }
        let charge = ended["latest_charge"].as_str().expect("a charge");
        let asked = format!("/admin/requests?idempotency_key={charge}");
        let asked = app.simulator("GET", &asked).send().await.ok();
        assert!(
            asked["executions"].as_i64() <= Some(1),
            "{action} of {amount}: never a second sale: {asked}"
        );
    }
    let found = settled(&app, &told).await;
    assert!(found.is_sound(), "{found:#?}");
    assert_eq!(found.captured[0], 1102 + 1104 + 1106);
    app.verify_books().await;
}

#[tokio::test]
async fn a_capture_void_or_refund_whose_outcome_is_unknown_is_finished_once() {
    let app = TestApp::start_with(&["--permissive-scorer"]).await;
    let mut awaited = Vec::new();
    for action in ["timeout_before", "timeout_after", "error_before", "error_after"] {
        for (step, end) in [("capture", "succeeded"), ("cancel", "canceled")] {
            let mut hold = sale(2000);
            hold["capture_method"] = "manual".into();
            let held = app.post("/v1/payment_intents").params(hold).send().await.ok();
            let acquirer_id = acquirer_id(&app, &held).await;
            let path = format!("/v1/payment_intents/{acquirer_id}/{step}");
            fault(
                &app,
                json!({ "path": path, "action": action, "ms": 200, "remaining": 1 }),
            )
            .await;
            let path = format!("/v1/payment_intents/{}", held["id"].as_str().unwrap_or_default());
            let answer = app.post(&format!("{path}/{step}")).send().await;
            assert_eq!(
                (answer.status, answer.text("/status")),
                (200, "requires_capture"),
                "{action} {step}: {answer}"
            );
            let other = if step == "capture" { "cancel" } else { "capture" };
            let meanwhile = app.post(&format!("{path}/{other}")).send().await;
            assert_eq!(meanwhile.status, 409, "{step} is not ended, so no {other}: {meanwhile}");
            awaited.push((path, end));
        }
        let amount = 3000 + awaited.len();
        let paid = app
            .post("/v1/payment_intents")
            .params(sale(amount as i64))
            .send()
            .await
            .ok();
        fault(
            &app,
            json!({ "path": "/v1/refunds", "amount": amount, "action": action, "ms": 200, "remaining": 1 }),
        )
        .await;
        let refund = json!({ "payment_intent": paid["id"], "amount": amount });
        let refund = app.post("/v1/refunds").params(refund).send().await;
        assert_eq!(
            (refund.status, refund.text("/status")),
            (200, "pending"),
            "{action}: {refund}"
        );
        awaited.push((format!("/v1/refunds/{}", refund.text("/id")), "succeeded"));
    }
    for (path, end) in awaited {
        eventually(&path, || async {
            (app.get(&path).send().await.ok()["status"] == end).then_some(())
        })
        .await;
    }
    let found = settled(&app, &[]).await;
    assert!(found.is_sound(), "{found:#?}");
    app.verify_books().await;
}

#[tokio::test]
async fn with_the_acquirer_gone_nothing_is_charged_and_nothing_is_lost() {
    let app = TestApp::start_with(&["--permissive-scorer"]).await;
    let mut told = vec![acknowledged(
        &app.post("/v1/payment_intents").params(sale(500)).send().await,
    )];
    kill_simulator(&app).await;
    let declined = eventually("connections are refused", || async {
        let answer = app.post("/v1/payment_intents").params(sale(501)).send().await;
        // A kept connection that broke in the middle proves nothing: that one is unknown.
        let known = (answer.status, answer.text("/status")) == (200, "processing") || answer.status == 402;
        assert!(known, "{answer}");
        (answer.status == 402).then_some(answer)
    })
    .await;
    assert_eq!(declined.text("/error/code"), "processing_error", "{declined}");
    assert_eq!(declined.text("/error/payment_intent/status"), "requires_payment_method");
    let id = declined.text("/error/payment_intent/id").to_owned();

    app.restart().await; // starts an acquirer again, on what the killed one had written
    let answer = app
        .post(&format!("/v1/payment_intents/{id}/confirm"))
        .params(json!({ "payment_method": "pm_card_visa" }))
        .send()
        .await;
    assert_eq!(
        answer.text("/status"),
        "succeeded",
        "the same payment can be tried again: {answer}"
    );
    told.push(acknowledged(&answer));
    let found = settled(&app, &told).await;
    assert!(found.is_sound(), "{found:#?}");
    assert_eq!(found.captured, [1001; 3], "gateway, acquirer and books");
    app.verify_books().await;
}

/// Webhooks twice, late, overtaking each other, or lost: disputes move money once, and never backwards.
#[tokio::test]
async fn webhooks_twice_or_out_of_order_move_money_once() {
    let app = TestApp::start_with(&["--permissive-scorer"]).await;
    let cases = [
        ("webhook_duplicate", json!({})),
        (
            "webhook_reorder",
            json!({ "event": "charge.dispute.created", "ms": 1500 }),
        ),
        (
            "webhook_reorder",
            json!({ "event": "charge.dispute.funds_withdrawn", "ms": 1500 }),
        ),
        ("webhook_delay", json!({ "ms": 500 })),
        ("webhook_drop", json!({ "event": "charge.dispute.created" })),
    ];
    for (action, rule) in cases {
        let mut rule = rule;
        rule["action"] = action.into();
        fault(&app, rule.clone()).await;
        let mut disputed = sale(5000);
        disputed["payment_method"] = "pm_card_createDispute".into();
        let paid = app.post("/v1/payment_intents").params(disputed).send().await.ok();
        let path = format!(
            "/v1/disputes?payment_intent={}",
            paid["id"].as_str().unwrap_or_default()
        );
        let dispute = eventually(&format!("a dispute, in spite of {rule}"), || async {
            let list = app.get(&path).send().await.ok();
            let first = list["data"][0].clone();
            let withdrawn = first["balance_transactions"]
                .as_array()
                .is_some_and(|lines| !lines.is_empty());
            withdrawn.then_some(first)
        })
        .await;
        // What was held back, and the second of each, arrives now.
        sleep(Duration::from_secs(2)).await;
        app.simulator("DELETE", "/admin/faults").send().await.ok();
        let list = app.get(&path).send().await.ok();
        assert_eq!(list["data"].as_array().map(Vec::len), Some(1), "{rule}: {list}");
        assert_eq!(
            list["data"][0]["balance_transactions"].as_array().map(Vec::len),
            Some(1),
            "{rule}: {list}"
        );
        assert_eq!(list["data"][0]["status"], "needs_response", "{rule}: {list}");
        let id = dispute["id"].as_str().expect("an id");
        let taken = "SELECT count(*) FROM ledger.journal WHERE reference = $1 AND code = 'J11'";
        let taken: i64 = app.sql().await.query_one(taken, &[&id]).await.expect("counts").get(0);
        assert_eq!(taken, 1, "{rule}: withdrawn once");
    }
    let found = settled(&app, &[]).await;
    assert!(found.is_sound(), "{found:#?}");
    app.verify_books().await;
}

/// Customers who insist: each sends what it wants under one key until it has an answer.
struct Shop {
    app: Arc<TestApp>,
    closed: AtomicBool,
    unanswered: AtomicU64,
    failures: AtomicU64,
}

impl Shop {
    fn new(app: Arc<TestApp>) -> Self {
        Self {
            app,
            closed: AtomicBool::new(false),
            unanswered: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// Comes again and again until the shop closes, whether or not earlier purchases were answered; waits for them all in
    /// the end. Names every purchase by what it was told of it.
    async fn serve(self: Arc<Self>, customer: u64) -> Vec<Acknowledged> {
        let (mut told, mut waiting) = (Vec::new(), Vec::new());
        for n in 0.. {
            if self.closed.load(Ordering::Relaxed) {
                break;
            }
            let mut purchase = tokio::spawn(self.clone().purchase(customer, n));
            match tokio::time::timeout(Duration::from_millis(400), &mut purchase).await {
                Ok(ended) => told.push(ended.expect("a purchase ends")),
                Err(_) => waiting.push(purchase),
            }
        }
        for purchase in waiting {
            told.push(purchase.await.expect("a purchase ends"));
        }
        told
    }

    async fn purchase(self: Arc<Self>, customer: u64, n: u64) -> Acknowledged {
        let key = format!("crash-{customer}-{n}");
        let amount = 1000 + i64::try_from(customer * 1000 + n).expect("small");
        let mut wanted = sale(amount);
        if n % 3 == 1 {
            wanted["capture_method"] = "manual".into();
        }
        let paid = self.insist(&format!("{key}-pay"), "/v1/payment_intents", wanted).await;
        let mut payment = acknowledged(&paid);
        let id = payment.id.clone();
        match paid.text("/status") {
            "requires_capture" => {
                let path = format!("/v1/payment_intents/{id}/capture");
                let captured = self.insist(&format!("{key}-capture"), &path, json!({})).await;
                payment = acknowledged(&captured);
            }
            "succeeded" if n % 3 == 2 => {
                let refund = json!({ "payment_intent": id, "amount": amount / 2 });
                let refunded = self.insist(&format!("{key}-refund"), "/v1/refunds", refund).await;
                payment.refunded = refunded.ok()["amount"].as_i64().expect("an amount");
            }
            _ => {}
        }
        payment
    }

    async fn insist(&self, key: &str, path: &str, parameters: Value) -> Answer {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            let request = self.app.post(path).params(parameters.clone()).idempotency_key(key);
            match request.try_send().await {
                Ok(answer) if matches!(answer.status, 200 | 402) => return answer,
                // Its first sending is at work, or its process died and the sweep owes the answer; or the service drains.
                Ok(answer) if matches!(answer.status, 409 | 503) => {}
                Ok(answer) => {
                    println!("{key}: {answer}");
                    self.failures.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => {
                    self.unanswered.fetch_add(1, Ordering::Relaxed);
                }
            }
            assert!(Instant::now() < deadline, "{key} never got an answer");
            sleep(Duration::from_millis(250)).await;
        }
    }
}

/// What an answer told its caller, a decline included.
fn acknowledged(answer: &Answer) -> Acknowledged {
    let payment = if answer.status == 402 {
        &answer["error"]["payment_intent"]
    } else {
        &answer.json
    };
    let number = |name: &str| payment[name].as_i64().unwrap_or_else(|| panic!("no {name}: {answer}"));
    Acknowledged {
        id: payment["id"]
            .as_str()
            .unwrap_or_else(|| panic!("no id: {answer}"))
            .to_owned(),
        amount: number("amount"),
        received: number("amount_received"),
        refunded: 0,
        settled: payment["status"] != "processing" && payment["status"] != "requires_capture",
    }
}

/// The audit, once nothing is under way any more.
async fn settled(app: &TestApp, told: &[Acknowledged]) -> Audit {
    let (database, acquirer) = (app.told("/database_url"), app.told("/simulator_admin_url"));
    eventually("no outcome is unknown", || async {
        let found = audit(&database, &acquirer, told).await.expect("the audit runs");
        (found.unsettled == 0).then_some(found)
    })
    .await
}

async fn fault(app: &TestApp, rule: Value) {
    app.simulator("POST", "/admin/faults").json(&rule).send().await.ok();
}

async fn acquirer_id(app: &TestApp, payment: &Value) -> String {
    let id = payment["id"].as_str().expect("an id");
    let sql = "SELECT acquirer_id FROM gateway.charge WHERE payment_id = $1";
    app.sql().await.query_one(sql, &[&id]).await.expect("a charge").get(0)
}

async fn kill_simulator(app: &TestApp) {
    let ready = std::fs::read(app.dir().join("simulator/ready.json")).expect("ready.json");
    let ready: Value = serde_json::from_slice(&ready).expect("JSON");
    let pid = ready["pid"]
        .as_i64()
        .and_then(|pid| rustix::process::Pid::from_raw(pid as i32));
    rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::KILL).expect("kill -9");
}

fn sale(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true })
}

const KILLS: usize = 20;
const CUSTOMERS: u64 = 12;
