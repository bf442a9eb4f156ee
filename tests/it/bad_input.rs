//! Bad input over real HTTPS: every refusal is the error envelope with the right status, code, parameter and request id, says
//! nothing that must not be said, and has no effect: the rows of every table and the trial balance stay as they were.

mod cases;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tests::{Answer, TestApp};

/// What is wrong, what was sent, and the refusal: status, code, param.
type Case = (&'static str, Sent, (u16, &'static str, &'static str));

#[derive(Clone)]
enum Sent {
    /// POST a form.
    Form(&'static str, String),
    /// POST JSON.
    Json(&'static str, String),
    /// GET with a query.
    Get(String),
    /// Anything else: method, path, content type, body.
    Raw(&'static str, String, &'static str, Vec<u8>),
}
use Sent::{Form, Get, Json, Raw};

const PAYMENTS: &str = "/v1/payment_intents";
const CUSTOMERS: &str = "/v1/customers";
const REFUNDS: &str = "/v1/refunds";

#[tokio::test]
async fn every_refusal_names_the_fault_and_has_no_effect() {
    let app = TestApp::start().await;
    let pay = |more: Value| {
        let mut body = json!({ "amount": 1000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true });
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        app.post(PAYMENTS).params(body).send()
    };
    let captured = pay(json!({})).await.ok();
    let authorized = pay(json!({ "capture_method": "manual" })).await.ok();
    let (captured, authorized) = (
        captured["id"].as_str().expect("id"),
        authorized["id"].as_str().expect("id"),
    );

    let before = state(&app).await;
    let mut wrong = Vec::new();
    for (name, sent, (status, code, param)) in cases::all(captured, authorized) {
        let (what, answer) = send(&app, sent).await;
        if let Err(fault) = judge(&answer, status, code, param) {
            wrong.push(format!("{name}, {what}: {fault}\n    {answer}"));
        }
    }
    for (name, key, kind) in [
        ("256 characters", "k".repeat(256), "idempotency_error"),
        ("not ASCII", "sch\u{fc}ssel".into(), "idempotency_error"),
        // refused like a card number in any other header
        ("a card number", "4242424242424242".into(), "invalid_request_error"),
    ] {
        let form = "amount=100&currency=usd";
        let answer = app.post(PAYMENTS).form(form).idempotency_key(&key).send().await;
        if answer.status != 400 || answer.text("/error/type") != kind {
            wrong.push(format!("an idempotency key, {name}: {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(state(&app).await, before, "refusals had an effect");
    app.verify_books().await;
}

/// Requests of random nonsense in the right places: refused or done, never a 5xx, and always with an envelope.
#[tokio::test]
async fn nonsense_is_never_an_internal_error() {
    let app = TestApp::shared().await;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    for _ in 0..400 {
        let path = *[
            PAYMENTS,
            CUSTOMERS,
            REFUNDS,
            "/v1/payment_methods",
            "/v1/webhook_endpoints",
        ]
        .choose(&mut dice)
        .expect("one");
        let body = nonsense(&mut dice);
        let kind = if dice.random_bool(0.7) { FORM } else { JSON };
        let answer = app.post(path).body(kind, body.clone()).send().await;
        let fine = answer.status < 500 && (answer.status == 200) == answer["error"].is_null();
        assert!(
            fine,
            "seed {seed}: {path} {kind} {:?}: {answer}",
            String::from_utf8_lossy(&body)
        );
    }
}

fn nonsense(dice: &mut StdRng) -> Vec<u8> {
    const NAMES: [&str; 16] = [
        "amount",
        "currency",
        "metadata[a]",
        "description",
        "confirm",
        "payment_method",
        "payment_intent",
        "card[number]",
        "type",
        "url",
        "enabled_events[0]",
        "expand[]",
        "shipping[address][city]",
        "email",
        "name",
        "payment_method_data[card][number]",
    ];
    const VALUES: [&str; 18] = [
        "100",
        "usd",
        "card",
        "true",
        "",
        "%",
        "%00",
        "%FF",
        "-1",
        "1e9",
        "{}",
        "[]",
        "\"",
        "null",
        "pm_card_visa",
        "4242424242424242",
        "https://localhost:1",
        "\u{202e}",
    ];
    let mut body = Vec::new();
    for _ in 0..dice.random_range(0..8) {
        body.extend_from_slice(NAMES.choose(dice).expect("one").as_bytes());
        body.push(b'=');
        body.extend_from_slice(VALUES.choose(dice).expect("one").as_bytes());
        body.push(b'&');
    }
    for _ in 0..dice.random_range(0..3) {
        let at = dice.random_range(0..=body.len());
        body.insert(at, dice.random());
    }
    body
}

async fn send(app: &TestApp, sent: Sent) -> (String, Answer) {
    let (what, request) = match sent {
        Form(path, form) => (format!("{path} {form}"), app.post(path).form(&form)),
        Json(path, body) => (format!("{path} {body}"), app.post(path).body(JSON, body)),
        Get(path) => (path.clone(), app.get(&path)),
        Raw(method, path, kind, body) => (format!("{method} {path}"), app.request(method, &path).body(kind, body)),
    };
    (what.chars().take(200).collect(), request.send().await)
}

/// Whether it is this refusal; `*` is any code or parameter.
fn judge(answer: &Answer, status: u16, code: &str, param: &str) -> Result<(), String> {
    let demand = |truth: bool, what: &str| if truth { Ok(()) } else { Err(format!("not {what}")) };
    demand(answer.status == status, &format!("status {status}"))?;
    demand(answer.text("/error/type") == "invalid_request_error", "the type")?;
    demand(
        code == "*" || answer.text("/error/code") == code,
        &format!("code {code}"),
    )?;
    demand(
        param == "*" || answer.text("/error/param") == param,
        &format!("param {param:?}"),
    )?;
    demand(answer.text("/error/message").len() > 10, "a message")?;
    demand(answer.header("request-id").starts_with("req_"), "a request id")?;
    demand(answer.header("content-type").starts_with("application/json"), "JSON")?;
    let body = String::from_utf8_lossy(&answer.body);
    let silent = ![
        "4242424242424242",
        "4242 4242",
        "4242-4242",
        "378282246310005",
        "5555555555554444",
    ]
    .iter()
    .any(|number| body.contains(number));
    demand(silent, "silent about the card number")
}

/// The number of rows of every table that requests write, and the trial balance. That something was refused is on record.
async fn state(app: &TestApp) -> (Vec<(String, i64)>, Value) {
    let client = app.sql().await;
    let tables = client
        .query(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
             WHERE schemaname IN ('gateway', 'ledger', 'vault', 'risk') AND tablename NOT IN ('callback', 'delivery', 'audit_event', 'security_event') ORDER BY 1",
            &[],
        )
        .await
        .expect("tables");
    let mut rows = Vec::new();
    for table in tables {
        let table: String = table.get(0);
        let count: i64 = client
            .query_one(&format!("SELECT count(*) FROM {table}"), &[])
            .await
            .expect("a count")
            .get(0);
        rows.push((table, count));
    }
    let balance = app.counterfoil(&["ledger", "trial-balance", "--json"]).await;
    (rows, serde_json::from_slice(&balance.stdout).expect("JSON"))
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
