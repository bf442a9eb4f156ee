//! A shop of 100 orders in each of two languages, through the official SDKs, and four accounts of it compared to the cent: the shop's
//! own arithmetic, the books, the acquirer's record, and the service's rows.

use crate::accounts::{active, checker};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tests::{TestApp, said, workspace};
use tokio::process::Command;

#[tokio::test]
async fn a_hundred_orders_in_two_languages_are_right_to_the_cent() {
    let app = TestApp::start_with(&["--permissive-scorer"]).await;
    let checker = checker(&app).await;
    let (first, second) = (merchant(&app, &checker).await, merchant(&app, &checker).await);
    let python = workspace().join(".tools/python/bin/python");
    let (ours, theirs) = tokio::join!(
        shop(&app, &python, "tests/sdk/python/shop.py", &first),
        shop(&app, Path::new("node"), "tests/sdk/node/shop.mjs", &second),
    );
    let truth = truth(&app).await;
    for (merchant, told) in [(&first, ours), (&second, theirs)] {
        let orders = told["orders"].as_array().expect("orders");
        assert_eq!(orders.len(), 100);
        for order in orders {
            at_the_acquirer(order, &truth);
        }
        let sum = |name: &str| orders.iter().map(|order| number(order, name)).sum::<i64>();
        let expected = BTreeMap::from([
            // The acquirer owes what it took for us, less what it gave back or lost, and its fee for disputes.
            (
                "1110",
                sum("captured") - sum("refunded") - sum("disputed") - sum("dispute_fee"),
            ),
            ("2020", number(&told, "left")),
            ("2140", number(&told, "paid_out")),
            ("4010", sum("fee") + sum("application_fee") - sum("given_back")),
            ("4020", sum("dispute_fee")),
            ("5020", sum("dispute_fee")),
        ]);
        assert_eq!(books(&app, merchant).await, expected, "{merchant}");
    }
    app.verify_books().await;
    let audit = loadtest::audit::audit(&app.told("/database_url"), &app.told("/simulator_admin_url"), &[]).await;
    let audit = audit.expect("the audit runs");
    assert!(audit.is_sound() && audit.unsettled == 0, "{audit:#?}");
}

/// A merchant that pays 2.9 % and 30 cents, without delay, with a bank account.
async fn merchant(app: &TestApp, checker: &str) -> String {
    let id = active(app, checker).await;
    let post = async |path: String, body: Value| app.post(&path).params(body).send().await.ok();
    let settings = json!({ "settings": { "payouts": { "schedule": { "delay_days": 0 } } } });
    post(format!("/v1/accounts/{id}"), settings).await;
    let fees = json!({ "kind": "fee_schedule", "account": id, "percent": "2.9", "rates": { "usd": { "percent": "2.9", "fixed": 30 } } });
    let fees = post("/v1/terms".into(), fees).await;
    assert_eq!(fees["status"], "approved");
    let bank = json!({ "external_account": { "object": "bank_account", "country": "US", "currency": "usd",
                       "routing_number": "110000000", "account_number": "000123456789" } });
    post(format!("/v1/accounts/{id}/external_accounts"), bank).await;
    id
}

/// Runs a shop; what it says of its own books.
async fn shop(app: &TestApp, interpreter: &Path, script: &str, merchant: &str) -> Value {
    let mut command = Command::new(interpreter);
    command.arg(workspace().join(script)).arg(app.dir().join("dev.json"));
    command
        .env("MERCHANT", merchant)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true);
    let output = command.output().await.expect("scripts/bootstrap.sh test installs it");
    let said = said(&output);
    assert!(output.status.success(), "{script}:\n{said}");
    let books = said.lines().find_map(|line| line.strip_prefix("BOOKS "));
    let books = books.unwrap_or_else(|| panic!("{script} told no books:\n{said}"));
    serde_json::from_str(books).expect("JSON")
}

/// The acquirer's record by our charges.
async fn truth(app: &TestApp) -> BTreeMap<String, Value> {
    let answer = app.simulator("GET", "/admin/truth").send().await;
    let text = String::from_utf8(answer.body.to_vec()).expect("text");
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines
        .filter_map(|line| Some((line["reference"].as_str()?.to_owned(), line)))
        .collect()
}

fn at_the_acquirer(order: &Value, truth: &BTreeMap<String, Value>) {
    let Some(charge) = order["charge"].as_str() else {
        assert_eq!(number(order, "captured"), 0, "{order}");
        return;
    };
    let line = truth
        .get(charge)
        .unwrap_or_else(|| panic!("the acquirer has never seen {order}"));
    assert_eq!(
        (number(line, "amount_captured"), number(line, "amount_refunded")),
        (number(order, "captured"), number(order, "refunded")),
        "{order}: {line}"
    );
    let disputes = line["disputes"].as_array().expect("disputes");
    let withdrawn: i64 = disputes.iter().map(|dispute| number(dispute, "withdrawn")).sum();
    assert_eq!(withdrawn, number(order, "disputed"), "{order}: {line}");
}

/// What each account of the merchant's book holds, on its own side; without those that hold nothing.
async fn books(app: &TestApp, merchant: &str) -> BTreeMap<&'static str, i64> {
    const CHART: [&str; 14] = [
        "1110", "1130", "1210", "1910", "2010", "2020", "2030", "2110", "2120", "2140", "4010", "4020", "5020", "5030",
    ];
    let rows = app
        .sql()
        .await
        .query(
            "SELECT left(b.account, 4), sum(b.posted)::bigint FROM ledger.balance b JOIN gateway.merchant m USING (book_id)
             WHERE m.id = $1 GROUP BY 1 HAVING sum(b.posted) <> 0",
            &[&merchant],
        )
        .await
        .expect("balances");
    rows.iter()
        .map(|row| {
            let account: String = row.get(0);
            let known = CHART.iter().find(|known| **known == account);
            (*known.unwrap_or_else(|| panic!("money in {account}")), row.get(1))
        })
        .collect()
}

fn number(object: &Value, name: &str) -> i64 {
    object[name].as_i64().unwrap_or_else(|| panic!("no {name}: {object}"))
}
