//! The close of a period: its checklist, explanations, two signatures on rows that end when the rows change, reopening with a reason.

use crate::reports::{json_of, sell};
use gateway::report::REPORTS;
use serde_json::Value;
use tests::{TestApp, said};

#[tokio::test]
async fn a_period_closes_when_two_people_stand_for_its_reports_and_what_is_open_is_explained() {
    let app = TestApp::start().await;
    sell(&app, &app.told("/merchants/0/id"), 900, "pm_card_visa").await;
    let run = async |arguments: &[&str]| {
        let output = app.counterfoil(arguments).await;
        (output.status.success(), said(&output))
    };
    let sql = app.sql().await;
    let row = sql
        .query_one("SELECT ((now() AT TIME ZONE 'UTC')::date - 1)::text", &[])
        .await
        .expect("a day");
    let yesterday: String = row.get(0);
    sql.execute(
        "SELECT ledger.open(book_id, '{1010.bank.usd,1910.bank.usd,1020.bank.usd}') FROM ledger.book WHERE code = 'platform'",
        &[],
    )
    .await
    .expect("opens");
    let manual = async |debit: &str, credit: &str| {
        let words = [
            "ledger", "journal", "propose", "--book", "platform", "--by", "ann", "--ticket", "FIN-1", "--reason", "x",
        ];
        let rest = ["--at", &yesterday, "--debit", debit, "--credit", credit];
        let output = app.counterfoil(&[&words[..], &rest[..]].concat()).await;
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let proposal = told["proposal"].as_str().expect("an id");
        let (ok, told) = run(&[
            "ledger", "journal", "approve", "--book", "platform", "--by", "bob", proposal,
        ])
        .await;
        assert!(ok, "{told}");
    };
    manual("1910.bank.usd=12.34", "1010.bank.usd=12.34").await;
    let checklist = async || {
        let output = app
            .counterfoil(&["close", "checklist", "--up-to", &yesterday, "--json"])
            .await;
        let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        assert_eq!(output.status.success(), list["ok"] == true);
        list
    };
    let open = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().expect("items").iter();
        items
            .filter(|item| item["ok"] == false)
            .map(|item| item["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let signed: Vec<&str> = REPORTS
        .iter()
        .filter(|report| report.signed)
        .map(|report| report.name)
        .collect();
    assert_eq!(open(&checklist().await).len(), signed.len() + 1);
    let close = ["close", "period", "--up-to", &yesterday, "--by", "carl"];
    let (ok, told) = run(&close).await;
    assert!(
        !ok && told.contains("clearing accounts") && told.contains("12.34"),
        "{told}"
    );

    // Suspense is explained, for the amount it has.
    let item = {
        let report = json_of(&app, &["unexplained-money"]).await;
        let row = report["data"]
            .as_array()
            .expect("rows")
            .iter()
            .find(|row| row["account"] == "1910.bank.usd")
            .cloned();
        row.expect("the item")["item"].as_str().expect("a name").to_owned()
    };
    let explain = |item: &str| {
        let words = [
            "close",
            "explain",
            "--book",
            "platform",
            "--account",
            "1910.bank.usd",
            "--reason",
            "FIN-1",
            "--by",
            "ann",
            "--item",
        ];
        words
            .iter()
            .map(ToString::to_string)
            .chain([item.to_owned()])
            .collect::<Vec<_>>()
    };
    let words = explain(&item);
    let (ok, told) = run(&words.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(ok && told.contains("12.34"), "{told}");
    let words = explain("nothing");
    let (ok, told) = run(&words.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(!ok && told.contains("no open item"), "{told}");

    let sign = async |name: &str, by: &str| run(&["close", "sign", name, "--up-to", &yesterday, "--by", by]).await;
    let (ok, told) = sign("merchant_statement", "ann").await;
    assert!(!ok && told.contains("not signed"), "{told}");
    for name in &signed {
        for by in ["ann", "bob"] {
            let (ok, told) = sign(name, by).await;
            assert!(ok, "{told}");
        }
    }
    assert_eq!(open(&checklist().await), [""; 0]);
    // One person twice is one person, and a posting into the period ends what was signed.
    manual("1020.bank.usd=1.00", "1010.bank.usd=1.00").await;
    let list = checklist().await;
    assert!(open(&list).iter().any(|name| name.contains("Trial balance")), "{list}");
    for by in ["ann", " Ann", "ANN "] {
        let (ok, told) = sign("trial_balance", by).await;
        assert!(ok && told.contains("1 of 2"), "{told}");
    }
    let (ok, told) = run(&close).await;
    assert!(!ok && told.contains("1 more to come"), "{told}");
    for name in &signed {
        for by in ["ann", "bob"] {
            sign(name, by).await;
        }
    }
    let (ok, told) = run(&close).await;
    assert!(ok, "{told}");
    let (_, told) = run(&["ledger", "period", "list"]).await;
    assert!(told.contains(&yesterday) && told.contains("carl"), "{told}");
    let (_, told) = run(&["close", "list", "--json"]).await;
    assert!(told.contains(r#""ok":true"#) && told.contains("carl"), "{told}");
    let (ok, told) = run(&close).await;
    assert!(!ok && told.contains("moves that on"), "a period is closed once: {told}");
    // Reopened with a reason; nobody can change what was signed.
    let reopen = ["close", "reopen", "--from", &yesterday, "--by", "bob", "--reason"];
    let (ok, _) = run(&[&reopen[..], &["  "]].concat()).await;
    assert!(!ok, "a reopening needs a reason");
    let (ok, told) = run(&[&reopen[..], &["late invoice"]].concat()).await;
    assert!(ok, "{told}");
    for table in ["explanation", "report_signature", "closing"] {
        let refused = sql.execute(&format!("DELETE FROM gateway.{table}"), &[]).await;
        assert!(refused.is_err(), "{table} can be changed");
    }
    app.verify_books().await;
    app.stop().await;
}
