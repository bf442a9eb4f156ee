//! Card numbers and CVCs: where they may be sent, and that they are nowhere afterwards. Searched are every file that the service
//! and its database leave on disk (data, write-ahead log, logs) and a dump of all schemas; not the simulator's folder, which
//! stands for the acquirer.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tests::{TestApp, eventually, said};
use tokio::process::Command;

/// Cards of this test alone: plain approved ones, which pass the Luhn check, and a declined one.
const NUMBERS: [&str; 4] = [
    "4539578763621486",
    "379354508162306",
    "5105105105105100",
    "4000000000009995",
];
const CVC: &str = "9407";

#[tokio::test]
async fn no_card_number_and_no_cvc_is_left_behind() {
    let app = TestApp::start().await;
    let before = dump(&app).await;
    assert!(
        !holds_word(&before, CVC),
        "the CVC of this test would be found by chance"
    );
    send_cards_everywhere(&app).await;
    app.stop().await; // everything is written out
    let mut scanned = 0;
    let mut found = Vec::new();
    scan(app.dir(), &mut |file, content| {
        scanned += content.len();
        for number in NUMBERS {
            if holds(content, number.as_bytes()) {
                found.push(format!("{number} in {}", file.display()));
            }
        }
        if file.file_name().is_some_and(|name| name == "log.jsonl") && holds_word(content, CVC) {
            found.push(format!("the CVC in {}", file.display()));
        }
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(scanned > 1 << 20, "the database was not among what was searched");

    app.restart().await;
    let after = dump(&app).await;
    for number in NUMBERS {
        assert!(!holds(&after, number.as_bytes()), "{number} is in the database");
        assert!(
            holds(&after, &number.as_bytes()[number.len() - 4..]),
            "its last four digits are kept: {number}"
        );
    }
    assert!(!holds_word(&after, CVC), "the CVC is in the database");
    let sealed: i64 = app
        .sql()
        .await
        .query_one("SELECT count(*) FROM vault.card", &[])
        .await
        .expect("a count")
        .get(0);
    assert_eq!(
        sealed, 4,
        "each card is sealed once, and no refused request sealed another"
    );
    paid_from_the_vault(&app).await;
}

/// Where cards belong, and everywhere else where someone may put one by mistake.
async fn send_cards_everywhere(app: &TestApp) {
    for number in NUMBERS {
        let body = json!({ "amount": 1000, "currency": "usd", "confirm": true, "payment_method_data": card(number) });
        let status = app.post("/v1/payment_intents").params(body).send().await.status;
        assert_eq!(status, if number == NUMBERS[3] { 402 } else { 200 });
    }
    let number = NUMBERS[0];
    let spaced = "4539 5787 6362 1486";
    for body in [
        json!({ "amount": 1000, "currency": "usd", "description": number }),
        json!({ "amount": 1000, "currency": "usd", "metadata": { "note": spaced } }),
        json!({ "amount": 1000, "currency": "usd", "metadata": { number: "note" } }),
        json!({ "amount": number, "currency": "usd" }),
        json!({ "amount": 1000, "currency": number }),
        json!({ "amount": 1000, "currency": "usd", "payment_method": number }),
        json!({ "amount": 1000, "currency": "usd", number: CVC }),
        json!({ "amount": 1000, "currency": "usd", "shipping": { "name": spaced } }),
        json!({ "amount": 1000, "currency": "usd", "payment_method_data": { "type": "card", "card": { "number": number, "exp_month": 13, "exp_year": 2034, "cvc": CVC } } }),
        json!({ "amount": 1000, "currency": "usd", "payment_method_data": { "type": "card", "card": { "number": number, "exp_month": number, "exp_year": 2034 } } }),
        json!({ "amount": 1000, "currency": "usd", "payment_method_data": { "type": number } }),
    ] {
        let answer = app.post("/v1/payment_intents").params(body).send().await;
        assert!((400..500).contains(&answer.status), "{answer}");
        assert!(
            !holds(&answer.body, number.as_bytes()) && !holds(&answer.body, spaced.as_bytes()),
            "echoed: {answer}"
        );
    }
    let broken = format!("{{\"payment_method_data\":{{\"card\":{{\"number\":\"{number}\",\"cvc\":\"{CVC}\"");
    let misplaced = [
        app.post("/v1/payment_intents").body("application/json", broken),
        app.get(&format!("/v1/payment_intents/{number}")),
        app.get(&format!("/v1/payment_intents?customer={number}")),
        app.get(&format!("/{number}")),
        app.get("/v1/balance").account(number),
        app.get("/v1/balance").key(number),
        app.get("/v1/balance").basic(number),
        app.post("/v1/customers").form("name=A").idempotency_key(number),
        app.post("/v1/customers")
            .form("name=A")
            .header("x-card", number)
            .header("user-agent", number),
        app.post("/v1/customers")
            .form("name=A")
            .header("stripe-version", number),
        app.post("/v1/webhook_endpoints")
            .params(json!({ "url": format!("https://example.com/{number}"), "enabled_events": ["*"] })),
        app.post("/hooks/stripe")
            .no_key()
            .body("application/json", format!("{{\"card\":\"{number}\"}}")),
    ];
    for request in misplaced {
        let answer = request.send().await;
        assert!(answer.status < 500, "{answer}");
    }
}

/// A card typed once pays again, without its CVC: the number can be had by the one way that is meant for it.
async fn paid_from_the_vault(app: &TestApp) {
    let method = app
        .post("/v1/payment_methods")
        .params(card(NUMBERS[2]))
        .send()
        .await
        .ok();
    let customer = app
        .post("/v1/customers")
        .params(json!({ "name": "Ada" }))
        .send()
        .await
        .ok();
    let attach = format!("/v1/payment_methods/{}/attach", method["id"].as_str().expect("id"));
    app.post(&attach)
        .params(json!({ "customer": customer["id"] }))
        .send()
        .await
        .ok();
    let again = json!({ "amount": 900, "currency": "usd", "confirm": true, "customer": customer["id"], "payment_method": method["id"] });
    let paid = app.post("/v1/payment_intents").params(again).send().await.ok();
    assert_eq!(paid["status"], "succeeded");
    let last4 = eventually("the acquirer's charge", || async {
        let charge = app
            .get(&format!("/v1/charges/{}", paid["latest_charge"].as_str()?))
            .send()
            .await
            .ok();
        charge["payment_method_details"]["card"]["last4"]
            .as_str()
            .map(str::to_owned)
    });
    assert_eq!(last4.await, "5100");
}

/// A CVC of four digits is an American Express card's; one of three would be found by chance everywhere.
fn card(number: &str) -> Value {
    let mut card = json!({ "number": number, "exp_month": 12, "exp_year": 2034 });
    if number.starts_with("37") {
        card["cvc"] = CVC.into();
    }
    json!({ "type": "card", "card": card })
}

async fn dump(app: &TestApp) -> Vec<u8> {
    let mut command = Command::new("pg_dump");
    command
        .args(["--no-owner", "--inserts", "--dbname"])
        .arg(app.told("/database_url"));
    let output = command.output().await.expect("pg_dump, which comes with PostgreSQL");
    assert!(output.status.success(), "{}", said(&output));
    output.stdout
}

/// Every file below, but the simulator's.
fn scan(folder: &Path, look: &mut impl FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry"))
    {
        let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
        if kind.is_dir() && entry.file_name() != "simulator" {
            scan(&path, look);
        } else if kind.is_file() {
            look(&path, &fs::read(&path).expect("a file"));
        }
    }
}

fn holds(content: &[u8], needle: &[u8]) -> bool {
    let mut rest = content;
    while let Some(at) = rest.iter().position(|byte| *byte == needle[0]) {
        rest = &rest[at..];
        if rest.starts_with(needle) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// Whether the digits stand alone, not as a part of a longer number, id or time.
fn holds_word(content: &[u8], digits: &str) -> bool {
    let text = String::from_utf8_lossy(content);
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '+');
    text.match_indices(digits)
        .any(|(at, _)| !text[..at].ends_with(part) && !text[at + digits.len()..].starts_with(part))
}
