//! The seal as an auditor uses it: the service seals, heads are exported, proofs are checked by a program that shares nothing
//! with ours (`tests/proof/verify.py`), and a change by the database's owner is found.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tests::{TestApp, eventually, said, workspace};

#[tokio::test]
async fn a_payment_is_proved_to_who_trusts_only_a_kept_head() {
    let app = TestApp::start().await;
    let older = pay_and_seal(&app).await;
    let newest = pay_and_seal(&app).await;
    let (older, newest) = (kept(&app, "older.json", &older), kept(&app, "newest.json", &newest));
    let keys = app.dir().join("seal.keys");
    let client = app.sql().await;
    let rows = client
        .query("SELECT journal_id::text FROM ledger.journal ORDER BY 1", &[])
        .await
        .expect("journals");
    assert!(rows.len() >= 2);
    for row in &rows {
        let proof = prove(&app, &[row.get(0), "--head", path(&newest)]).await;
        let checked = check(&app, &proof, &["--head", path(&newest), "--keys", path(&keys)]);
        assert!(checked.status.success(), "{}", said(&checked));
        let shown = said(&checked);
        assert!(
            shown.contains("as kept, signed by key k1") && shown.contains(row.get::<_, &str>(0)),
            "{shown}"
        );
    }

    // No part of the proof can be another.
    let proof = prove(&app, &[rows[0].get(0), "--head", path(&newest)]).await;
    let mut parts = Vec::new();
    pointers(&proof, String::new(), &mut parts);
    for part in parts {
        let mut forged = proof.clone();
        let value = forged.pointer_mut(&part).expect("a part");
        *value = match value.clone() {
            Value::String(text) if part.ends_with("key_id") || part.ends_with("/type") => json!(format!("{text}x")),
            Value::String(text) => json!(other_digit(&text)),
            number => json!(number.as_i64().expect("a number") + 1),
        };
        let checked = check(&app, &forged, &["--head", path(&newest), "--keys", path(&keys)]);
        assert_eq!(checked.status.code(), Some(1), "{part} was changed: {}", said(&checked));
    }
    let checked = check(&app, &proof, &["--head", path(&older)]);
    assert_eq!(checked.status.code(), Some(1), "of another head: {}", said(&checked));

    let proof = prove(&app, &["--consistency", path(&older), path(&newest)]).await;
    let checked = check(&app, &proof, &["--head", path(&older), "--keys", path(&keys)]);
    assert!(
        checked.status.success() && said(&checked).contains("extends"),
        "{}",
        said(&checked)
    );
    let mut forged = proof.clone();
    forged["older"]["root"] = json!(other_digit(proof["older"]["root"].as_str().expect("digits")));
    assert_eq!(check(&app, &forged, &[]).status.code(), Some(1));
    let backwards = app
        .counterfoil(&["ledger", "prove", "--consistency", path(&newest), path(&older)])
        .await;
    assert!(
        !backwards.status.success() && said(&backwards).contains("older head"),
        "{}",
        said(&backwards)
    );
}

#[tokio::test]
async fn the_owner_who_edits_history_is_found() {
    let app = TestApp::start().await;
    pay_and_seal(&app).await;
    app.verify_books().await;
    let state = app.dir().join("verified.json");
    let resumable = ["ledger", "verify", "--only-seal", "--json", "--state", path(&state)];
    let verified = app.counterfoil(&resumable).await;
    assert!(verified.status.success(), "{}", said(&verified));
    let first: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
    assert!(rows(&first) > 0, "{first}");
    let again: Value = serde_json::from_slice(&app.counterfoil(&resumable).await.stdout).expect("JSON");
    assert_eq!(rows(&again), 0, "what was verified is not read again: {again}");

    let client = app.sql().await;
    let edited: String = client
        .query_one(
            "SELECT journal_id::text FROM ledger.journal WHERE reference IS NOT NULL ORDER BY recorded_xid, book_id, journal_id LIMIT 1",
            &[],
        )
        .await
        .expect("a journal")
        .get(0);
    // Sums stay right, so that only the seal can tell.
    client
        .batch_execute(&format!(
            "ALTER TABLE ledger.journal DISABLE TRIGGER ALL;
             UPDATE ledger.journal SET memo = '{{\"note\": \"never happened\"}}' WHERE journal_id = '{edited}';
             ALTER TABLE ledger.journal ENABLE ALWAYS TRIGGER journal_immutable;"
        ))
        .await
        .expect("the owner can");
    let found = app.counterfoil(&["ledger", "verify"]).await;
    let report = said(&found);
    assert!(
        !found.status.success() && report.contains(&format!("{edited} was edited")),
        "{report}"
    );
    let refused = app.counterfoil(&["ledger", "prove", &edited]).await;
    assert!(
        !refused.status.success() && said(&refused).contains("not what was sealed"),
        "{}",
        said(&refused)
    );
}

/// A payment; the head once all journals so far are sealed and the head is exported.
async fn pay_and_seal(app: &TestApp) -> Value {
    let payment = json!({ "amount": 2000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true });
    let paid = app.post("/v1/payment_intents").params(payment).send().await.ok();
    assert_eq!(paid["status"], "succeeded", "{paid}");
    let client = app.sql().await;
    eventually("everything is sealed and the head exported", async || {
        let journals = "SELECT count(*) FROM ledger.journal";
        let journals: i64 = client.query_one(journals, &[]).await.expect("counts").get(0);
        let text = std::fs::read(app.dir().join("heads/head.json")).ok()?;
        let head: Value = serde_json::from_slice(&text).expect("replaced in one step");
        (head["journals"] == journals).then_some(head)
    })
    .await
}

fn kept(app: &TestApp, name: &str, head: &Value) -> PathBuf {
    let file = app.dir().join(name);
    std::fs::write(&file, format!("{head}\n")).expect("written");
    file
}

async fn prove(app: &TestApp, arguments: &[&str]) -> Value {
    let proof = app.counterfoil(&[&["ledger", "prove"], arguments].concat()).await;
    assert!(proof.status.success(), "{}", said(&proof));
    serde_json::from_slice(&proof.stdout).expect("JSON")
}

/// What the independent program says.
fn check(app: &TestApp, proof: &Value, arguments: &[&str]) -> Output {
    let file = app.dir().join("proof.json");
    std::fs::write(&file, proof.to_string()).expect("written");
    let script = workspace().join("tests/proof/verify.py");
    let mut python = Command::new("python3");
    python.arg("-I").arg(script).arg(&file).args(arguments);
    python.output().expect("python3 runs")
}

/// How many journals a report of `verify` has read for the seal.
fn rows(report: &Value) -> i64 {
    let checks = report["checks"].as_array().expect("checks");
    let check = checks
        .iter()
        .find(|c| c["name"].as_str().is_some_and(|n| n.starts_with("each sealed journal")));
    check.expect("of the seal")["rows"].as_i64().expect("a number")
}

/// All texts and numbers of the proof but for its kind.
fn pointers(value: &Value, at: String, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(k, v)| pointers(v, format!("{at}/{k}"), out)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(i, v)| pointers(v, format!("{at}/{i}"), out)),
        _ if at == "/proof" => {}
        _ => out.push(at),
    }
}

/// The digits with the last one changed.
fn other_digit(digits: &str) -> String {
    let (rest, last) = digits.split_at(digits.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" })
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
