//! Card data through the whole service: where a number is found afterwards (nowhere), keys that rotate under payments, cards
//! that are erased, a key that is lost.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tests::{Answer, TestApp, said};

const VISA: &str = "4012888888881881";
const AMEX: &str = "371449635398431";
const AMEX_CVC: &str = "8359";

#[tokio::test]
async fn a_card_number_is_found_in_no_dump_no_data_file_and_no_log() {
    let app = TestApp::start().await;
    for (number, cvc) in [(VISA, "737"), (AMEX, AMEX_CVC)] {
        let method = stored(&app, number, cvc).await;
        assert_eq!(method["card"]["last4"], number[number.len() - 4..]);
        assert!(!method.to_string().contains(number), "{method}");
        let paid = pay(&app, &method).await;
        assert_eq!(paid.text("/status"), "succeeded", "{paid}");
        // Typed into the payment itself, and refused ones.
        let typed = json!({
            "amount": 700, "currency": "usd", "confirm": true,
            "payment_method_data": { "type": "card", "card": card(number, cvc) },
        });
        assert_eq!(app.post("/v1/payment_intents").params(typed).send().await.status, 200);
        for planted in planted(&app, number) {
            let refused = planted.send().await;
            assert_eq!(refused.status, 400, "{refused}");
            assert!(!refused.to_string().contains(number), "{refused}");
            assert!(
                refused
                    .headers
                    .values()
                    .all(|value| !value.to_str().unwrap_or_default().contains(number))
            );
        }
    }
    let dump = run(Command::new(pg_dump()).arg(app.told("/database_url")));
    assert!(
        dump.contains("vault.card") && dump.contains("1881"),
        "the dump has the rows"
    );
    assert_eq!(traces(dump.as_bytes()), None, "in the dump");
    let cvc = dump
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| word == AMEX_CVC);
    assert!(!cvc, "a security code is stored");

    app.verify_books().await;
    app.stop().await; // what was in memory is in the files now
    let mut looked = 0;
    for file in files(app.dir()) {
        // The simulator is the outside world: an acquirer knows the number.
        if file.starts_with(app.dir().join("simulator")) {
            continue;
        }
        let bytes = std::fs::read(&file).unwrap_or_default();
        assert_eq!(traces(&bytes), None, "in {}", file.display());
        looked += bytes.len();
    }
    assert!(
        looked > 10_000_000,
        "data files, the write-ahead log and our own log were read: {looked}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_while_stored_cards_are_charged() {
    let app = Arc::new(TestApp::start_with(&["--permissive-scorer"]).await);
    let mut methods = Vec::new();
    for number in [VISA, AMEX, "5555555555554444"] {
        methods.push(stored(&app, number, if number == AMEX { AMEX_CVC } else { "737" }).await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let shop = {
        let (app, methods, stop) = (app.clone(), methods.clone(), stop.clone());
        tokio::spawn(async move {
            let mut paid = 0;
            while !stop.load(Ordering::Relaxed) {
                let answer = pay(&app, &methods[paid % methods.len()]).await;
                assert_eq!(answer.text("/status"), "succeeded", "{answer}");
                stored(&app, VISA, "737").await;
                paid += 1;
            }
            paid
        })
    };
    let vault = async |arguments: &[&str]| app.counterfoil(&[&["vault"], arguments].concat()).await;
    let before = status(&app).await;
    assert_eq!(before["keks"][0]["state"], "wraps", "{before}");
    for which in ["kek", "data"] {
        let rotated = vault(&["rotate", which]).await;
        assert!(rotated.status.success(), "{}", said(&rotated));
    }
    let refused = vault(&["retire", "k2"]).await;
    assert!(
        !refused.status.success() && said(&refused).contains("rotate first"),
        "{}",
        said(&refused)
    );
    let retired = vault(&["retire", "k1"]).await;
    assert!(retired.status.success(), "{}", said(&retired));
    stop.store(true, Ordering::Relaxed);
    assert!(shop.await.expect("every payment succeeded") > 5);
    let after = status(&app).await;
    assert_eq!(
        (&after["keks"][0]["state"], &after["keks"][1]["state"]),
        (&json!("retired"), &json!("wraps"))
    );
    assert_eq!(after["keks"][0]["data_keys"], 0);
    let human = vault(&["status"]).await;
    assert!(
        said(&human).contains("k2") && said(&human).contains("wraps"),
        "{}",
        said(&human)
    );

    app.restart().await; // a process that never knew the old keys
    for method in &methods {
        assert_eq!(pay(&app, method).await.text("/status"), "succeeded");
    }
    app.verify_books().await;
}

#[tokio::test]
async fn an_erased_card_cannot_be_charged_and_its_past_goes_on() {
    let app = TestApp::start().await;
    let (erased, kept) = (stored(&app, VISA, "737").await, stored(&app, VISA, "737").await);
    let paid = pay(&app, &erased).await.ok();
    let id = erased["id"].as_str().expect("an id");
    let unsure = app.counterfoil(&["vault", "shred", id]).await;
    assert!(
        !unsure.status.success() && said(&unsure).contains("--yes"),
        "{}",
        said(&unsure)
    );
    let shredded = app.counterfoil(&["vault", "shred", id, "--yes"]).await;
    assert!(shredded.status.success(), "{}", said(&shredded));

    let refused = pay(&app, &erased).await;
    assert_eq!(
        (refused.status, refused.text("/error/code")),
        (400, "payment_method_unexpected_state"),
        "{refused}"
    );
    assert_eq!(
        pay(&app, &kept).await.text("/status"),
        "succeeded",
        "the same number of another customer"
    );
    let refund = app
        .post("/v1/refunds")
        .params(json!({ "payment_intent": paid["id"] }))
        .send()
        .await;
    assert_eq!(refund.text("/status"), "succeeded", "{refund}");
    let shown = app.get(&format!("/v1/payment_methods/{id}")).send().await.ok();
    assert_eq!(
        shown["card"]["last4"], "1881",
        "what is shown of it stays with the payments it made"
    );
    let pending = "SELECT count(*) FROM gateway.charge WHERE status IN ('pending', 'unknown')";
    let pending: i64 = app.sql().await.query_one(pending, &[]).await.expect("counts").get(0);
    assert_eq!(pending, 0, "the refused attempt left nothing behind");
    let status = status(&app).await;
    assert_eq!((&status["cards"], &status["shredded"]), (&json!(1), &json!(1)));
    app.verify_books().await;
}

#[tokio::test]
async fn a_lost_key_is_named_and_nothing_starts_without_it() {
    let app = TestApp::start().await;
    let method = stored(&app, VISA, "737").await;
    let file = app.dir().join("vault.keys");
    let good = std::fs::read_to_string(&file).expect("the key file");
    let lost = good.replace("key k1 ", "key k9 ");
    std::fs::write(&file, &lost).expect("writes");
    let status = app.counterfoil(&["vault", "status"]).await;
    assert!(!status.status.success(), "{}", said(&status));
    assert!(
        said(&status).contains("key-encryption key `k1` is not there"),
        "{}",
        said(&status)
    );
    app.stop().await;
    let start = app.counterfoil(&["dev", "--api-port", "0", "--ops-port", "0"]).await;
    assert!(
        !start.status.success() && said(&start).contains("`k1` is not there"),
        "{}",
        said(&start)
    );
    std::fs::write(&file, &good).expect("writes");
    app.restart().await;
    assert_eq!(
        pay(&app, &method).await.text("/status"),
        "succeeded",
        "with its key back all is well"
    );
}

/// A customer's payment method with this number.
async fn stored(app: &TestApp, number: &str, cvc: &str) -> Value {
    let parameters = json!({ "type": "card", "card": card(number, cvc) });
    let method = app.post("/v1/payment_methods").params(parameters).send().await.ok();
    let customer = app
        .post("/v1/customers")
        .params(json!({ "name": "A" }))
        .send()
        .await
        .ok();
    let path = format!("/v1/payment_methods/{}/attach", method["id"].as_str().expect("an id"));
    app.post(&path)
        .params(json!({ "customer": customer["id"] }))
        .send()
        .await
        .ok()
}

fn card(number: &str, cvc: &str) -> Value {
    json!({ "number": number, "exp_month": 12, "exp_year": 2040, "cvc": cvc })
}

async fn pay(app: &TestApp, method: &Value) -> Answer {
    let parameters = json!({
        "amount": 1500, "currency": "usd", "confirm": true, "payment_method": method["id"], "customer": method["customer"],
    });
    app.post("/v1/payment_intents").params(parameters).send().await
}

/// Requests with the number where none belongs.
fn planted<'a>(app: &'a TestApp, number: &str) -> Vec<tests::Request<'a>> {
    let spaced = format!("{}%20{}", &number[..4], &number[4..]);
    vec![
        app.get(&format!("/v1/payment_intents/{number}")),
        app.get(&format!("/v1/customers/{spaced}")),
        app.get(&format!("/v1/customers?email={number}")),
        app.get(&format!("/nowhere?{number}")),
        app.post("/v1/customers").header("x-note", &format!("card {number}")),
        app.post("/v1/customers").idempotency_key(number),
        app.post("/v1/customers")
            .params(json!({ "description": format!("card {number}") })),
        app.post("/v1/customers")
            .params(json!({ "metadata": { "pan": number } })),
        app.post("/v1/customers").params(json!({ "metadata": { number: "x" } })),
        app.post("/v1/customers").json(&json!({ "name": number })),
    ]
}

async fn status(app: &TestApp) -> Value {
    let status = app.counterfoil(&["vault", "status", "--json"]).await;
    serde_json::from_slice(&status.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&status)))
}

/// In which form one of the numbers is in these bytes.
fn traces(bytes: &[u8]) -> Option<String> {
    use base64::Engine as _;
    [VISA, AMEX, "5555555555554444"].iter().find_map(|number| {
        let forms = [
            (*number).to_owned(),
            hex::encode(number),
            base64::engine::general_purpose::STANDARD.encode(&number[..15]),
            number
                .as_bytes()
                .chunks(4)
                .map(|part| String::from_utf8_lossy(part))
                .collect::<Vec<_>>()
                .join(" "),
        ];
        forms.into_iter().find(|form| contains(bytes, form.as_bytes()))
    })
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == wanted[0]) {
        rest = &rest[at..];
        if rest.starts_with(wanted) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path()),
            Ok(kind) if kind.is_file() => vec![entry.path()],
            _ => Vec::new(),
        })
        .collect()
}

/// The newest one: an older one refuses a newer server.
fn pg_dump() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let newest = versions
        .filter_map(|version| version.file_name().to_str()?.parse::<u32>().ok())
        .max();
    newest.map_or_else(
        || "pg_dump".into(),
        |version| format!("/usr/lib/postgresql/{version}/bin/pg_dump").into(),
    )
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("runs");
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
