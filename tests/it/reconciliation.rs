//! Files of acquirers and banks against the books, with the real program: what the simulator says happened matches, every defect that
//! it plants is found as what it is and nothing else is, in every format; a wrong file leaves nothing behind.

use futures_util::StreamExt;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;
use tests::{TestApp, eventually, said, workspace};

const FORMATS: [&str; 7] = [
    "stripe-itemized",
    "adyen-settlement",
    "csv",
    "camt.053",
    "camt.054",
    "mt940",
    "bai2",
];

/// What the simulator writes of what happened, and its key: `(kind, reference)` of each defect, sorted.
async fn ordered(app: &TestApp, order: Value) -> (PathBuf, Vec<(String, String)>, i64) {
    let told = app
        .simulator("POST", "/admin/settlement")
        .json(&order)
        .send()
        .await
        .ok();
    let defect = |defect: &Value| {
        let text = |field: &str| defect[field].as_str().expect("a text").to_owned();
        (text("kind"), text("reference"))
    };
    let mut key: Vec<_> = told["key"].as_array().expect("a key").iter().map(defect).collect();
    key.sort();
    let path = app
        .dir()
        .join(format!("{}.txt", order.to_string().len() ^ told.to_string().len()));
    std::fs::write(&path, told["file"].as_str().expect("a file")).expect("written");
    (path, key, told["right"].as_i64().expect("a number"))
}

async fn reconcile(app: &TestApp, path: &Path, format: &str) -> Output {
    let file = path.to_str().expect("a path");
    app.counterfoil(&["reconcile", file, "--format", format, "--json"])
        .await
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {}", said(output)))
}

/// `(kind, reference)` of every break, sorted; banks' spelling has no underscore.
fn breaks(report: &Value) -> Vec<(String, String)> {
    let one = |found: &Value| {
        let text = |field: &str| found[field].as_str().unwrap_or_default().replace('-', "_");
        (text("kind"), text("reference"))
    };
    let mut found: Vec<_> = report["breaks"].as_array().expect("breaks").iter().map(one).collect();
    found.sort();
    found
}

/// Sales in three currencies, refunds, and disputes.
async fn business(app: &TestApp, sales: usize) {
    let sell = async |n: usize, card: &str| {
        let currency = ["usd", "eur", "jpy"][n % 3];
        let sale = json!({ "amount": 1000 + n % 40, "currency": currency, "payment_method": card, "confirm": true });
        app.post("/v1/payment_intents").params(sale).send().await.ok()
    };
    let paid: Vec<Value> = futures_util::stream::iter((0..sales).map(|n| sell(n, "pm_card_visa")))
        .buffered(24)
        .collect()
        .await;
    for payment in paid.iter().step_by(17) {
        let refund = json!({ "payment_intent": payment["id"], "amount": 300 });
        app.post("/v1/refunds").params(refund).send().await.ok();
    }
    for n in 0..4 {
        sell(n, "pm_card_createDispute").await;
    }
    let sql = app.sql().await;
    eventually("the disputes are booked", || async {
        let booked = "SELECT count(*) FROM ledger.journal WHERE code = 'J11'";
        (sql.query_one(booked, &[]).await.expect("counts").get::<_, i64>(0) == 4).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_planted_defect_is_found_as_what_it_is_in_every_format() {
    let app = TestApp::start().await;
    business(&app, 420).await;
    let defects =
        json!({ "missing": 40, "double": 40, "wrong_amount": 40, "wrong_currency": 40, "late": 30, "unknown": 10 });
    for (seed, format) in FORMATS.into_iter().enumerate() {
        let order = json!({ "format": format, "defects": defects, "seed": seed, "statement": { "account": format!("A{seed}") } });
        let (path, key, right) = ordered(&app, order).await;
        assert_eq!(key.len(), 200, "{format}");
        let output = reconcile(&app, &path, format).await;
        assert_eq!(output.status.code(), Some(1), "{format}: {}", said(&output));
        let told = report(&output);
        let (found, key): (BTreeSet<_>, BTreeSet<_>) = (breaks(&told).into_iter().collect(), key.into_iter().collect());
        let missed: Vec<_> = key.difference(&found).collect();
        let invented: Vec<_> = found.difference(&key).collect();
        assert!(
            missed.is_empty() && invented.is_empty(),
            "{format}: missed {missed:?}, invented {invented:?}"
        );
        assert_eq!(
            told["breaks"].as_array().map(Vec::len),
            Some(200),
            "{format}: each once"
        );
        assert_eq!(told["matched"], right, "{format}");
        let fields: Vec<&str> = told["breaks"][0]
            .as_object()
            .expect("a break")
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(fields, ["kind", "reference", "ours", "theirs", "proposal"]);
        // The same file again changes nothing.
        let again = reconcile(&app, &path, format).await;
        assert_eq!(
            (again.status.code(), again.stdout),
            (Some(1), output.stdout),
            "{format}"
        );
    }
    app.verify_books().await;
    app.stop().await;
}

/// What the simulator's bank writes is what the standard says: asked of its schemas, by a library that is not ours.
#[tokio::test]
async fn bank_statements_are_valid_by_the_schemas_of_iso_20022() {
    let app = TestApp::start().await;
    business(&app, 9).await;
    let mut files = Vec::new();
    for (format, version, payouts) in [
        ("camt.053", 2, false),
        ("camt.053", 8, false),
        ("camt.054", 2, false),
        ("camt.054", 8, false),
        ("camt.053", 8, true),
    ] {
        let order = json!({ "format": format, "payouts": payouts, "statement": { "version": version } });
        let told = app
            .simulator("POST", "/admin/settlement")
            .json(&order)
            .send()
            .await
            .ok();
        let path = app.dir().join(format!("{format}.{version}.{payouts}.xml"));
        std::fs::write(&path, told["file"].as_str().expect("a file")).expect("written");
        files.push(path);
    }
    let check = |files: &[PathBuf]| {
        let mut python = std::process::Command::new(workspace().join(".tools/python/bin/python"));
        python.arg(workspace().join("tests/proof/camt.py")).args(files);
        python.output().expect("python: scripts/bootstrap.sh test installs it")
    };
    let output = check(&files);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).matches("valid urn:iso").count(),
        files.len()
    );
    // The judge judges.
    let text = std::fs::read_to_string(&files[1]).expect("a file");
    std::fs::write(
        &files[1],
        text.replacen("<Sts><Cd>BOOK</Cd></Sts>", "<Sts>BOOK</Sts>", 1),
    )
    .expect("written");
    assert!(!check(&files[1..2]).status.success());
    app.stop().await;
}

#[tokio::test]
async fn files_without_defects_match_whole_and_a_missing_line_is_resolved_when_it_comes() {
    let app = TestApp::start().await;
    business(&app, 24).await;
    for version in [2, 8] {
        let order =
            json!({ "format": "camt.053", "statement": { "account": format!("V{version}"), "version": version } });
        let (path, key, right) = ordered(&app, order).await;
        assert!(key.is_empty());
        let output = reconcile(&app, &path, "camt.053").await;
        let told = report(&output);
        if version == 2 {
            assert_eq!(
                (output.status.code(), &told["matched"], &told["breaks"]),
                (Some(0), &json!(right), &json!([]))
            );
        } else {
            // The same movements in a second statement of the series are each there twice.
            let kinds: BTreeSet<String> = breaks(&told).into_iter().map(|(kind, _)| kind).collect();
            assert_eq!(kinds, BTreeSet::from(["duplicate".to_owned()]));
        }
    }
    let (path, key, right) = ordered(
        &app,
        json!({ "format": "stripe-itemized", "defects": { "missing": 2 } }),
    )
    .await;
    let told = report(&reconcile(&app, &path, "stripe-itemized").await);
    assert_eq!((breaks(&told), &told["matched"]), (key.clone(), &json!(right)));
    // What was missing comes in the next file, alone.
    let (whole, _, _) = ordered(&app, json!({ "format": "stripe-itemized" })).await;
    let text = std::fs::read_to_string(&whole).expect("a file");
    let late: Vec<&str> = text
        .lines()
        .enumerate()
        .filter(|(n, line)| *n == 0 || key.iter().any(|(_, id)| line.contains(&format!(",{id},\"sold"))))
        .map(|(_, line)| line)
        .collect();
    assert_eq!(late.len(), 3);
    std::fs::write(&whole, late.join("\n")).expect("written");
    let output = reconcile(&app, &whole, "stripe-itemized").await;
    assert_eq!(
        (output.status.code(), said(&output).contains("\"breaks\":[]")),
        (Some(0), true),
        "{}",
        said(&output)
    );
    let first = reconcile(&app, &path, "stripe-itemized").await;
    assert_eq!(
        first.status.code(),
        Some(0),
        "nothing is open of the first file: {}",
        said(&first)
    );

    // A person explains the rest, and takes it back.
    let listed = app.counterfoil(&["breaks", "list", "--json"]).await;
    let one: Value =
        serde_json::from_str(String::from_utf8_lossy(&listed.stdout).lines().next().expect("a break")).expect("JSON");
    let id = one["id"].as_str().expect("an id");
    let decide = async |act: &str, by: &str| {
        let output = app
            .counterfoil(&["breaks", act, id, "--by", by, "--reason", "FIN-7"])
            .await;
        (output.status.success(), said(&output))
    };
    assert!(!decide("resolve", " ").await.0, "nobody decides");
    assert!(decide("resolve", "ann").await.0);
    assert!(decide("resolve", "bob").await.1.contains("already"), "once");
    assert!(decide("reopen", "bob").await.0);
    let sql = app.sql().await;
    let decisions = "SELECT string_agg(action || ' ' || person, ', ' ORDER BY id) FROM gateway.settlement_decision WHERE break_id = $1";
    let told: String = sql.query_one(decisions, &[&id]).await.expect("decisions").get(0);
    assert_eq!(told, "resolve ann, reopen bob");
    app.verify_books().await;
    app.stop().await;
}

#[tokio::test]
async fn a_wrong_file_is_refused_whole_with_line_and_reason() {
    let app = TestApp::start().await;
    business(&app, 12).await;
    for (seed, format) in FORMATS.into_iter().enumerate() {
        let order = json!({ "format": format, "defects": { "truncated": true }, "statement": { "account": format!("T{seed}") } });
        let (path, key, _) = ordered(&app, order).await;
        assert_eq!(key[0].0, "refused");
        let output = reconcile(&app, &path, format).await;
        let told = said(&output);
        assert_eq!(output.status.code(), Some(2), "{format}: {told}");
        assert!(told.contains("the file was refused: line "), "{format}: {told}");
        assert!(output.stdout.is_empty(), "{format}: {told}");
        // As another format it is no file at all.
        let other = FORMATS[(seed + 1) % FORMATS.len()];
        assert_eq!(
            reconcile(&app, &path, other).await.status.code(),
            Some(2),
            "{format} as {other}"
        );
    }
    // A total that was changed, a statement that is missing, an account that is another's.
    let statement = |sequence: u32, opening: i64| json!({ "format": "mt940", "statement": { "account": "G", "sequence": sequence, "opening": opening } });
    let (path, _, _) = ordered(&app, statement(1, 0)).await;
    let text = std::fs::read_to_string(&path).expect("a file");
    let forged = text.replacen(":61:", ":61:261101C1,00NTRFNONREF\r\n:61:", 1);
    std::fs::write(&path, forged).expect("written");
    let output = reconcile(&app, &path, "mt940").await;
    assert!(
        said(&output).contains("do not make the closing balance"),
        "{}",
        said(&output)
    );
    std::fs::write(&path, text).expect("written");
    assert_eq!(reconcile(&app, &path, "mt940").await.status.code(), Some(0));
    let (path, _, _) = ordered(&app, statement(3, 5)).await;
    let output = reconcile(&app, &path, "mt940").await;
    assert!(
        said(&output).contains("what is between is missing"),
        "{}",
        said(&output)
    );
    let file = path.to_str().expect("a path");
    let output = app
        .counterfoil(&["reconcile", file, "--format", "mt940", "--account", "DE00", "--json"])
        .await;
    assert!(said(&output).contains("not of DE00"), "{}", said(&output));

    let sql = app.sql().await;
    let left = "SELECT (SELECT count(*) FROM gateway.reconciliation), (SELECT count(DISTINCT reconciliation_id) FROM gateway.settlement_line)";
    let row = sql.query_one(left, &[]).await.expect("counts");
    assert_eq!(
        (row.get::<_, i64>(0), row.get::<_, i64>(1)),
        (1, 1),
        "of what was refused nothing is there"
    );
    app.stop().await;
}
