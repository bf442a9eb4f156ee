//! The books after mixed business, believed by nobody: `ledger verify` proves them from their rows, hledger and beancount read
//! the export and must come to the same balances, and both must notice when a cent is moved.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tests::{TestApp, eventually, said};
use tokio::process::Command;

#[tokio::test]
async fn independent_programs_come_to_the_same_balances() {
    let app = TestApp::start().await;
    mixed_business(&app).await;
    app.verify_books().await;
    let ours = trial_balance(&app).await;
    assert!(
        ours.values().filter(|net| **net != 0).count() > 12,
        "the business moved too little: {ours:?}"
    );

    let file = app.dir().join("books.journal");
    export(&app, "hledger", &file).await;
    hledger_check(&file).await.expect("hledger believes the books");
    let balances = run(
        "hledger",
        &[
            "-f",
            &path(&file),
            "bal",
            "--cleared",
            "--flat",
            "-E",
            "-N",
            "-O",
            "csv",
        ],
    )
    .await;
    let theirs: BTreeMap<_, _> = balances
        .expect("balances")
        .lines()
        .skip(1)
        .filter_map(|line| hledger_balance(line))
        .collect();
    assert_eq!(theirs, ours, "hledger's balances are not the trial balance");

    let good = fs::read_to_string(&file).expect("the export");
    let broken = app.dir().join("broken.journal");
    for (fault, text) in hledger_faults(&good) {
        fs::write(&broken, text).expect("writes");
        assert!(hledger_check(&broken).await.is_err(), "hledger does not notice {fault}");
    }

    let file = app.dir().join("books.beancount");
    export(&app, "beancount", &file).await;
    run("bean-check", &["-C", &path(&file)])
        .await
        .expect("beancount believes the books");
    let good = fs::read_to_string(&file).expect("the export");
    let broken = app.dir().join("broken.beancount");
    fs::write(&broken, a_unit_more(&good, " USD")).expect("writes");
    run("bean-check", &["-C", &path(&broken)])
        .await
        .expect_err("beancount does not notice a cent");
}

/// The export is of one moment: taken under load it is as sound as at rest.
#[tokio::test]
async fn an_export_under_load_is_sound() {
    let app = TestApp::start().await;
    let file = app.dir().join("busy.journal");
    let load = async {
        for _ in 0..10 {
            let paid: Vec<_> = (0..8).map(|n| pay(&app, json!({ "amount": 1000 + n }))).collect();
            futures_util::future::join_all(paid).await;
        }
    };
    let look = async {
        for _ in 0..5 {
            export(&app, "hledger", &file).await;
            hledger_check(&file)
                .await
                .expect("hledger believes the books under load");
            app.verify_books().await;
        }
    };
    tokio::join!(load, look);
}

/// Payments in four currencies for both merchants, captures in part, releases, declines, refunds, disputes won, lost and
/// accepted, reviews approved and rejected, and one authorization left open.
async fn mixed_business(app: &TestApp) {
    let second = app.told("/merchants/1/id");
    for currency in ["usd", "eur", "jpy", "bhd"] {
        let paid = pay(app, json!({ "amount": 12_340, "currency": currency })).await;
        refund(app, &paid, json!({ "amount": 2_340 })).await;
        let theirs = app
            .post("/v1/payment_intents")
            .params(payment(json!({ "amount": 990, "currency": currency })))
            .account(&second);
        theirs.send().await.ok();
    }
    let part = pay(app, json!({ "amount": 5_000, "capture_method": "manual" })).await;
    act(app, &part, "capture", json!({ "amount_to_capture": 3_333 })).await;
    refund(app, &part, json!({})).await;
    let released = pay(app, json!({ "amount": 700, "capture_method": "manual" })).await;
    act(app, &released, "cancel", json!({})).await;
    pay(app, json!({ "amount": 800, "capture_method": "manual" })).await; // stays on hold
    let declined = app
        .post("/v1/payment_intents")
        .params(payment(json!({ "payment_method": "pm_card_visa_chargeDeclined" })));
    assert_eq!(declined.send().await.status, 402);

    for (evidence, outcome) in [("winning_evidence", "won"), ("losing_evidence", "lost")] {
        let dispute = disputed(app).await;
        let answer = json!({ "evidence": { "uncategorized_text": evidence }, "submit": true });
        app.post(&format!("/v1/disputes/{dispute}"))
            .params(answer)
            .send()
            .await
            .ok();
        closed(app, &dispute, outcome).await;
    }
    let accepted = disputed(app).await;
    app.post(&format!("/v1/disputes/{accepted}/close")).send().await.ok();
    closed(app, &accepted, "lost").await;

    for verdict in ["approve", "reject"] {
        let risky = pay(
            app,
            json!({ "amount": 2_600, "payment_method": "pm_card_riskLevelElevated" }),
        )
        .await;
        let review = risky["review"].as_str().expect("a review");
        app.post(&format!("/v1/reviews/{review}/{verdict}")).send().await.ok();
    }
}

fn payment(with: Value) -> Value {
    let mut body = json!({ "amount": 1000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true });
    body.as_object_mut()
        .expect("an object")
        .extend(with.as_object().expect("an object").clone());
    body
}

async fn pay(app: &TestApp, with: Value) -> Value {
    app.post("/v1/payment_intents").params(payment(with)).send().await.ok()
}

async fn act(app: &TestApp, payment: &Value, action: &str, with: Value) {
    let id = payment["id"].as_str().expect("id");
    app.post(&format!("/v1/payment_intents/{id}/{action}"))
        .params(with)
        .send()
        .await
        .ok();
}

async fn refund(app: &TestApp, payment: &Value, with: Value) {
    let mut body = with;
    body["payment_intent"] = payment["id"].clone();
    let refund = app.post("/v1/refunds").params(body).send().await.ok();
    assert_eq!(refund["status"], "succeeded", "{refund}");
}

/// Pays with the card that is disputed; answers the dispute's id once its money is taken.
async fn disputed(app: &TestApp) -> String {
    let paid = pay(
        app,
        json!({ "amount": 4_000, "payment_method": "pm_card_createDispute" }),
    )
    .await;
    let list = format!("/v1/disputes?payment_intent={}", paid["id"].as_str().expect("id"));
    eventually("the dispute's money is taken", || async {
        let found = app.get(&list).send().await.ok();
        let dispute = &found["data"][0];
        let taken = dispute["balance_transactions"]
            .as_array()
            .is_some_and(|rows| !rows.is_empty());
        taken.then(|| dispute["id"].as_str().map(str::to_owned)).flatten()
    })
    .await
}

/// Waits until the dispute is closed; a won one also has its money back.
async fn closed(app: &TestApp, dispute: &str, outcome: &str) {
    let rows = if outcome == "won" { 2 } else { 1 };
    eventually("the dispute is closed", || async {
        let found = app.get(&format!("/v1/disputes/{dispute}")).send().await.ok();
        let moved = found["balance_transactions"]
            .as_array()
            .is_some_and(|list| list.len() == rows);
        (found["status"] == outcome && moved).then_some(())
    })
    .await;
}

/// Net of every account with any movement, by book and account, in minor units.
async fn trial_balance(app: &TestApp) -> BTreeMap<(String, String), i64> {
    let output = app.counterfoil(&["ledger", "trial-balance", "--json"]).await;
    assert!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["balanced"], true);
    let rows = report["rows"].as_array().expect("rows");
    let entry = |row: &Value| {
        let text = |name: &str| row[name].as_str().expect("a text").to_owned();
        ((text("book"), text("account")), row["net"].as_i64().expect("an amount"))
    };
    rows.iter().map(entry).collect()
}

/// `"assets:acct_1:1110-acquirer_receivable:stripe:usd","USD 30.00"` as book, account `1110.stripe.usd` and 3000.
fn hledger_balance(line: &str) -> Option<((String, String), i64)> {
    let (name, amount) = line.trim_matches('"').split_once("\",\"").expect("two columns");
    let mut parts = name.split(':');
    let (_class, book) = (parts.next()?, parts.next()?);
    let mut account: Vec<&str> = parts.collect();
    if account.last() == Some(&"pending") {
        assert_eq!(amount, "0", "{name}: pending money among the posted");
        return None;
    }
    account[0] = account[0].split_once('-')?.0;
    let minor = match amount.split_once(' ') {
        None => amount.parse().expect("0"),
        Some((_currency, decimal)) => decimal
            .replace(['.', ','], "")
            .parse()
            .expect("an amount at full scale"),
    };
    Some(((book.to_owned(), account.join(".")), minor))
}

/// A good export with one fault each.
fn hledger_faults(good: &str) -> Vec<(&'static str, String)> {
    let line = |find: &str| {
        good.lines()
            .position(|line| line.contains(find))
            .unwrap_or_else(|| panic!("no line with {find}"))
    };
    let replaced = |at: usize, with: &dyn Fn(&str) -> String| {
        let lines = good
            .lines()
            .enumerate()
            .map(|(n, text)| if n == at { with(text) } else { text.to_owned() });
        lines.collect::<Vec<_>>().join("\n")
    };
    let assertion = good
        .lines()
        .position(|line| line.contains("USD 0.00 = USD ") && !line.ends_with("USD 0.00"))
        .expect("an assertion");
    let declared = line("account assets:");
    vec![
        ("a cent in a leg", a_unit_more(good, "USD ")),
        ("a yen in a leg", a_unit_more(good, "JPY ")),
        ("a cent in a balance", replaced(assertion, &|text| format!("{text}1"))),
        (
            "an account that is not declared",
            replaced(declared, &|_| String::new()),
        ),
        (
            "a currency that is not declared",
            replaced(line("commodity JPY"), &|_| String::new()),
        ),
        ("a line that is gone", replaced(leg(good, "USD "), &|_| String::new())),
    ]
}

/// The first line of a journal with money in this currency that is not an assertion.
fn leg(text: &str, currency: &str) -> usize {
    let is_leg = |line: &str| {
        line.starts_with(' ')
            && line.contains(currency)
            && !line.contains(" = ")
            && line.ends_with(|c: char| c.is_ascii_digit() || c == 'D')
    };
    text.lines().position(is_leg).expect("a leg")
}

/// The last digit of the first leg's amount, changed: hledger has the amount after the currency, beancount before it.
fn a_unit_more(text: &str, currency: &str) -> String {
    let at = leg(text, currency);
    let changed = |line: &str| {
        let digit = line.rfind(|c: char| c.is_ascii_digit()).expect("a digit");
        let other = if &line[digit..=digit] == "7" { "8" } else { "7" };
        format!("{}{other}{}", &line[..digit], &line[digit + 1..])
    };
    let lines = text
        .lines()
        .enumerate()
        .map(|(n, line)| if n == at { changed(line) } else { line.to_owned() });
    lines.collect::<Vec<_>>().join("\n")
}

async fn export(app: &TestApp, format: &str, file: &Path) {
    let output = app
        .counterfoil(&["ledger", "export", "--format", format, "--output", &path(file)])
        .await;
    assert!(output.status.success(), "{}", said(&output));
}

async fn hledger_check(file: &Path) -> Result<String, String> {
    run("hledger", &["-f", &path(file), "check", "--strict", "ordereddates"]).await
}

/// What the program prints, or what it complains about.
async fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .await;
    let output = output
        .unwrap_or_else(|error| panic!("{program} does not start ({error}): scripts/bootstrap.sh test installs it"));
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(said(&output))
    }
}

fn path(file: &Path) -> String {
    file.to_str().expect("a plain path").to_owned()
}
