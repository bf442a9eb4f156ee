//! Requests that meet: one key sent many times, refunds beyond what there is, operations that exclude each other.
//!
//! Every race runs over HTTPS against the real service, and ends with the four accounts of it compared: what callers were told,
//! the rows, the acquirer's own record, the books.

use futures_util::future::join_all;
use loadtest::audit::{Acknowledged, Audit};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tests::{Answer, Request, TestApp};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

/// One instance for all races, one race at a time: the audit wants a quiet service.
async fn app() -> MutexGuard<'static, TestApp> {
    static APP: OnceCell<Mutex<TestApp>> = OnceCell::const_new();
    let start = || async { Mutex::new(TestApp::start_with(&["--permissive-scorer"]).await) };
    APP.get_or_init(start).await.lock().await
}

#[tokio::test]
async fn two_hundred_requests_with_one_key_are_one_payment() {
    let app = app().await;
    let before = count(&app, "SELECT count(*) FROM gateway.payment").await;
    let request = app
        .post("/v1/payment_intents")
        .params(sale(4200))
        .idempotency_key("race-one-key");
    let answers = all(vec![request; 200]).await;

    let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    let bodies: BTreeSet<_> = done.iter().map(|answer| answer.body.clone()).collect();
    assert_eq!(bodies.len(), 1, "every 200 is the same answer, byte for byte");
    assert_eq!(
        done.iter().filter(|answer| !answer.replayed()).count(),
        1,
        "one executed, the others are replays"
    );
    for answer in refused {
        assert_eq!(
            (answer.status, answer.text("/error/code")),
            (409, "idempotency_key_in_use"),
            "{answer}"
        );
    }
    let after = count(&app, "SELECT count(*) FROM gateway.payment").await;
    assert_eq!(after, before + 1);
    let charge = done[0].text("/latest_charge");
    let journals = format!("SELECT count(*) FROM ledger.journal WHERE code = 'J03' AND reference = '{charge}'");
    assert_eq!(count(&app, &journals).await, 1, "one journal of the capture");
    let key = format!("/admin/requests?idempotency_key={charge}");
    let asked = app.simulator("GET", &key).send().await.ok();
    assert_eq!(
        (asked["executions"].as_i64(), asked["replays"].as_i64()),
        (Some(1), Some(0)),
        "{asked}"
    );
    sound(&app).await;
}

#[tokio::test]
async fn of_fifty_refunds_of_sixty_percent_one_succeeds() {
    let app = app().await;
    let paid = pay(&app, sale(1000)).await;
    let refund = json!({ "payment_intent": paid["id"], "amount": 600 });
    let requests = (0..50).map(|n| {
        let key = format!("race-refund-{n}");
        app.post("/v1/refunds").params(refund.clone()).idempotency_key(&key)
    });
    let answers = all(requests.collect()).await;

    let succeeded: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(succeeded.len(), 1, "{:?}", statuses(&answers));
    assert_eq!(succeeded[0]["amount"], 600);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        let refusal = (answer.status, answer.text("/error/code"));
        assert!(
            [(400, "amount_too_large"), (409, "lock_timeout")].contains(&refusal),
            "{answer}"
        );
    }
    let rest = json!({ "payment_intent": paid["id"] });
    let rest = app.post("/v1/refunds").params(rest).send().await.ok();
    assert_eq!(rest["amount"], 400, "what is left can still be refunded, and no more");
    sound(&app).await;
}

#[tokio::test]
async fn of_capture_and_cancel_one_happens() {
    let app = app().await;
    let mut ends = BTreeMap::new();
    for round in 0..12 {
        let held = pay(&app, hold(1500)).await;
        assert_eq!(held["status"], "requires_capture");
        let (capture, cancel) = (act(&app, &held, "capture"), act(&app, &held, "cancel"));
        // Alternate who is first in line; the network decides the rest.
        let answers = all(if round % 2 == 0 {
            vec![capture, cancel]
        } else {
            vec![cancel, capture]
        })
        .await;
        let won = one_of(&answers);
        let now = read(&app, &held).await;
        assert_eq!(now["status"], won["status"], "the answer is the truth");
        let received = if now["status"] == "succeeded" { 1500 } else { 0 };
        assert_eq!(now["amount_received"], received);
        *ends.entry(now["status"].to_string()).or_insert(0) += 1;
    }
    let known = ["\"succeeded\"", "\"canceled\""];
    assert!(ends.keys().all(|end| known.contains(&end.as_str())), "{ends:?}");
    sound(&app).await;
}

#[tokio::test]
async fn a_refund_never_overtakes_its_capture() {
    let app = app().await;
    for _ in 0..12 {
        let held = pay(&app, hold(1500)).await;
        let body = json!({ "payment_intent": held["id"] });
        let refund = || app.post("/v1/refunds").params(body.clone());
        let answers = all(vec![refund(), act(&app, &held, "capture"), refund()]).await;
        assert_eq!(answers[1].status, 200, "nothing stops the capture: {}", answers[1]);
        let refunded: i64 = [&answers[0], &answers[2]]
            .iter()
            .filter(|answer| answer.status == 200)
            .filter_map(|answer| answer["amount"].as_i64())
            .sum();
        assert!(refunded == 0 || refunded == 1500, "{:?}", statuses(&answers));
        for answer in &answers {
            assert!([200, 400, 409].contains(&answer.status), "{answer}");
        }
        let charge = app.get(&format!(
            "/v1/charges/{}",
            read(&app, &held).await["latest_charge"].as_str().unwrap_or_default()
        ));
        assert_eq!(charge.send().await.ok()["amount_refunded"], refunded);
    }
    sound(&app).await;
}

#[tokio::test]
async fn of_two_confirmations_one_charges() {
    let app = app().await;
    for _ in 0..12 {
        let open = json!({ "amount": 700, "currency": "usd", "payment_method": "pm_card_visa" });
        let open = pay(&app, open).await;
        assert_eq!(open["status"], "requires_confirmation");
        let answers = all((0..8).map(|_| act(&app, &open, "confirm")).collect()).await;
        assert_eq!(one_of(&answers)["status"], "succeeded");
        let id = open["id"].as_str().unwrap_or_default();
        let charges = format!("SELECT count(*) FROM gateway.charge WHERE payment_id = '{id}'");
        assert_eq!(count(&app, &charges).await, 1);
    }
    sound(&app).await;
}

#[tokio::test]
async fn two_merchants_may_use_one_key() {
    let app = app().await;
    let second = app.told("/merchants/1/id");
    let request = app
        .post("/v1/payment_intents")
        .params(sale(900))
        .idempotency_key("race-shared-key");
    let answers = all(vec![request.clone(), request.account(&second)]).await;
    let ids: BTreeSet<_> = answers.iter().map(|answer| answer.text("/id")).collect();
    assert_eq!((statuses(&answers), ids.len()), (vec![200, 200], 2));
    assert!(answers.iter().all(|answer| !answer.replayed()));
    let hidden = app.get(&format!("/v1/payment_intents/{}", answers[0].text("/id")));
    assert_eq!(
        hidden.account(&second).send().await.status,
        404,
        "the other's payment is not there"
    );
    sound(&app).await;
}

/// Every pair of what may happen to one payment at the same time, 100 rounds each, many payments at once. Whoever wins, the four
/// accounts of it agree, and no more goes back than was taken.
#[tokio::test]
async fn every_pair_leaves_one_story() {
    let app = app().await;
    for (first, second) in [
        ("capture", "capture"),
        ("capture", "cancel"),
        ("part", "part"),
        ("part", "capture"),
        ("part", "cancel"),
        ("part", "refund"),
        ("raise", "capture"),
        ("raise", "part"),
        ("raise", "cancel"),
        ("raise", "raise"),
        ("capture", "refund"),
        ("cancel", "cancel"),
        ("cancel", "refund"),
        ("refund", "refund"),
        ("refund", "dispute"),
        ("dispute", "dispute"),
    ] {
        for _ in 0..5 {
            let rounds = (0..20).map(|round| pair(&app, first, second, round));
            join_all(rounds).await;
        }
    }
    let settled = async || {
        let open = "SELECT count(*) FROM gateway.payment WHERE operation IS NOT NULL";
        let callbacks = "SELECT count(*) FROM gateway.callback WHERE due_at IS NOT NULL";
        (count(&app, open).await == 0 && count(&app, callbacks).await == 0).then_some(())
    };
    tests::eventually("every callback is done", settled).await;
    let beyond = "SELECT count(*) FROM gateway.payment WHERE amount_refunded > amount_received";
    assert_eq!(count(&app, beyond).await, 0);
    sound(&app).await;
}

async fn pair(app: &TestApp, first: &str, second: &str, round: usize) {
    let held = ["capture", "cancel", "part", "raise"].contains(&first);
    let payment = pay(app, if held { hold(1500) } else { sale(1500) }).await;
    let acquirers = if [first, second].contains(&"dispute") {
        let charge = payment["latest_charge"].as_str().unwrap_or_default();
        app.get(&format!("/v1/charges/{charge}")).send().await.ok()["acquirer_reference"].clone()
    } else {
        Value::Null
    };
    let request = |what: &str| match what {
        "refund" => app
            .post("/v1/refunds")
            .params(json!({ "payment_intent": payment["id"], "amount": 1000 })),
        "dispute" => app
            .simulator("POST", "/admin/disputes")
            .json(&json!({ "charge": acquirers, "amount": 1000 })),
        "part" => act(app, &payment, "capture").params(json!({ "amount_to_capture": 600, "final_capture": false })),
        "raise" => act(app, &payment, "increment_authorization").params(json!({ "amount": 2000 + 100 * round })),
        action => act(app, &payment, action),
    };
    let (one, other) = if round.is_multiple_of(2) {
        (first, second)
    } else {
        (second, first)
    };
    let answers = all(vec![request(one), request(other)]).await;
    for answer in &answers {
        assert!(
            [200, 400, 404, 409].contains(&answer.status),
            "{one} and {other}: {answer}"
        );
    }
    let done = answers.iter().filter(|answer| answer.status == 200).count();
    let stays = ["part", "raise"].contains(&first);
    let both =
        stays || [first, second].contains(&"dispute") && first != second || second == "refund" && first == "capture";
    assert!(
        done >= 1 && (done == 1 || both),
        "{one} and {other}: {:?}",
        statuses(&answers)
    );
}

/// The audit itself, which every race leans on: it must see a lie told to a caller and a row that was changed.
#[tokio::test]
async fn the_audit_sees_what_does_not_agree() {
    let app = app().await;
    let paid = pay(&app, sale(800)).await;
    let told = |id: &str, received| Acknowledged {
        id: id.to_owned(),
        amount: 800,
        received,
        refunded: 0,
        settled: true,
    };
    let id = paid["id"].as_str().expect("an id");
    assert_eq!(audit(&app, &[told(id, 800)]).await.wrong, 0);
    for (lie, why) in [
        (vec![told("pi_never", 800)], "not in the database"),
        (vec![told(id, 799)], "told 800 captured 799"),
        (vec![told(id, 800), told(id, 800)], "two keys"),
    ] {
        let found = audit(&app, &lie).await;
        assert!(found.wrong == 1 && found.findings[0].contains(why), "{found:#?}");
    }
    let charge = paid["latest_charge"].as_str().expect("a charge");
    let sql = app.sql().await;
    for change in ["amount_captured = 799", "status = 'unknown'", "fee = fee + 1"] {
        let whole = "UPDATE gateway.charge SET (amount_captured, status, fee) = (800, 'succeeded', $2) WHERE id = $1";
        let fee: i64 = sql
            .query_one("SELECT fee FROM gateway.charge WHERE id = $1", &[&charge])
            .await
            .expect("a fee")
            .get(0);
        let changed = format!("UPDATE gateway.charge SET {change} WHERE id = $1");
        assert_eq!(sql.execute(&changed, &[&charge]).await.expect("changed"), 1);
        assert!(!audit(&app, &[]).await.is_sound(), "{change} went unseen");
        assert_eq!(sql.execute(whole, &[&charge, &fee]).await.expect("restored"), 1);
    }
    sound(&app).await;
}

async fn all(requests: Vec<Request<'_>>) -> Vec<Answer> {
    join_all(requests.into_iter().map(Request::send)).await
}

/// The one 200 among them; the others must be refusals that name the state, never failures of the service.
#[track_caller]
fn one_of(answers: &[Answer]) -> &Answer {
    let done: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(done.len(), 1, "{:?}", statuses(answers));
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        let refusal = (answer.status, answer.text("/error/code"));
        let known = [(400, "payment_intent_unexpected_state"), (409, "lock_timeout")];
        assert!(known.contains(&refusal), "{answer}");
    }
    done[0]
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

fn sale(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true })
}

fn hold(amount: i64) -> Value {
    let mut hold = sale(amount);
    hold["capture_method"] = "manual".into();
    hold["payment_method_options"] = json!({ "card": {
        "request_multicapture": "if_available", "request_incremental_authorization": "if_available",
    } });
    hold
}

async fn pay(app: &TestApp, parameters: Value) -> Value {
    app.post("/v1/payment_intents").params(parameters).send().await.ok()
}

async fn read(app: &TestApp, payment: &Value) -> Value {
    let path = format!("/v1/payment_intents/{}", payment["id"].as_str().unwrap_or_default());
    app.get(&path).send().await.ok()
}

fn act<'a>(app: &'a TestApp, payment: &Value, action: &str) -> Request<'a> {
    let id = payment["id"].as_str().unwrap_or_default();
    app.post(&format!("/v1/payment_intents/{id}/{action}"))
}

async fn count(app: &TestApp, sql: &str) -> i64 {
    app.sql().await.query_one(sql, &[]).await.expect("counts").get(0)
}

async fn sound(app: &TestApp) {
    let audit = audit(app, &[]).await;
    assert!(audit.is_sound() && audit.unsettled == 0, "{audit:#?}");
    app.verify_books().await;
}

async fn audit(app: &TestApp, told: &[Acknowledged]) -> Audit {
    let (database, acquirer) = (app.told("/database_url"), app.told("/simulator_admin_url"));
    let audit = loadtest::audit::audit(&database, &acquirer, told).await;
    audit.expect("the audit runs")
}
