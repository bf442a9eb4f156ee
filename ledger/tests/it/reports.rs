//! Balances, the trial balance, statements by SQL, and exports that programs of others prove.

use std::process::Command;

use jiff::Timestamp;
use ledger::export::{self, Options};
use ledger::post::post;
use ledger::{BookId, Chart, JournalCode, report};
use uuid::Uuid;

use crate::postgres::Database;
use crate::{book, capture, draft, euro, pending, receivable, release, usd};

/// Two merchants, a fee, an open hold, a captured one, an exchange, a hostile reference.
async fn fixture() -> (Database, [BookId; 2]) {
    let db = Database::new().await;
    let client = db.connect().await;
    let books = [book(&client, "acct_1").await, book(&client, "acct_2").await];
    let auth = |amount| {
        draft(books[0], JournalCode::J01)
            .id(Uuid::now_v7())
            .hold(
                receivable(),
                pending(),
                amount,
                Timestamp::from_second(1_800_000_000).unwrap(),
            )
            .balance()
            .unwrap()
    };
    let (open, captured) = (auth(700), auth(300));
    let capture_of_hold = draft(books[0], JournalCode::J03)
        .reference("ch_1")
        .consume(captured.id(), receivable(), pending(), 250, Some(50))
        .debit(receivable(), 250)
        .credit(pending(), 250)
        .key([9; 16])
        .balance()
        .unwrap();
    let exchange = draft(books[1], JournalCode::J17)
        .reference("fx) ; \"evil\"\n= 1,2")
        .debit(euro(Chart::FxClearing), 90)
        .credit(euro(Chart::FxClearing), 90)
        .debit(usd(Chart::FxClearing), 100)
        .credit(receivable(), 100)
        .balance()
        .unwrap();
    let first = capture(books[0], 100_005, 290);
    let journals = [
        &open,
        &captured,
        &first,
        &capture_of_hold,
        &release(books[0], 500),
        &exchange,
        &capture(books[1], 7, 1),
    ];
    post(&client, &journals).await.unwrap();
    (db, books)
}

#[tokio::test]
async fn the_trial_balance_balances_and_is_the_sum_of_the_postings() {
    let (db, books) = fixture().await;
    let client = db.connect().await;
    let trial = report::trial_balance(&client, None).await.unwrap();
    assert!(trial.is_balanced());
    let codes = codes(&client).await;
    assert!(
        codes.len() == 2
            && codes
                .values()
                .all(|code| trial.rows.iter().any(|r| r.book_code == *code))
    );
    let sums = client
        .query("SELECT book_id, account, sum(amount) FILTER (WHERE side = 'debit')::bigint AS debits, sum(amount) FILTER (WHERE side = 'credit')::bigint AS credits FROM ledger.posting WHERE layer = 'posted' GROUP BY 1, 2", &[])
        .await
        .unwrap();
    for row in &sums {
        let (book, account): (i64, &str) = (row.get(0), row.get(1));
        let line = trial
            .rows
            .iter()
            .find(|r| r.book_code == codes[&book] && r.account.as_str() == account)
            .unwrap();
        let sum = |i| i128::from(row.get::<_, Option<i64>>(i).unwrap_or(0));
        assert_eq!((line.debits, line.credits), (sum(2), sum(3)), "{account}");
    }
    let one = report::trial_balance(&client, Some(books[1])).await.unwrap();
    assert!(one.is_balanced() && one.rows.iter().all(|r| r.book_code == codes[&books[1].0]));
}

async fn codes(client: &tokio_postgres::Client) -> std::collections::HashMap<i64, String> {
    let rows = client
        .query("SELECT book_id, code FROM ledger.book", &[])
        .await
        .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn hledger_proves_the_export_and_finds_a_forged_cent() {
    let (db, _) = fixture().await;
    let mut out = Vec::new();
    export::hledger(&mut db.connect().await, &mut out, Options::default())
        .await
        .unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains("liabilities:acct_1:2010-merchant_payable.pending:usd  USD -997.15\n"),
        "{text}"
    );
    let check = |text: &str| run("hledger", &HLEDGER_CHECK, "journal", text);
    check_hledger(&text);
    for (good, forged) in [
        ("USD -997.15\n", "USD -997.14\n"),
        ("USD 0.00 = USD 2.90", "USD 0.00 = USD 2.91"),
        ("USD 0.00 = USD -2.90", "USD 0.00 = USD -2.91"),
    ] {
        if text.contains(good) {
            assert!(!check(&text.replacen(good, forged, 1)).0, "{good} -> {forged}");
        }
    }
    // Cleared balances are the trial balance.
    let client = db.connect().await;
    let trial = report::trial_balance(&client, None).await.unwrap();
    let (_, printed) = run(
        "hledger",
        &["bal", "--cleared", "--flat", "--no-total", "-O", "csv", "-f"],
        "journal",
        &text,
    );
    for row in trial.rows.iter().filter(|r| r.net() != 0) {
        let net = row.net();
        let amount = format!(
            "{}{}.{:02}",
            if net < 0 { "-" } else { "" },
            net.abs() / 100,
            net.abs() % 100
        );
        let expected = format!(":{}:{}", row.book_code, row.account.chart().number());
        let line = printed
            .lines()
            .find(|l| l.contains(&expected))
            .unwrap_or_else(|| panic!("{expected}: {printed}"));
        assert!(line.contains(&amount), "{expected} {amount}: {line}");
    }
}

#[tokio::test]
async fn beancount_proves_the_export_and_finds_a_forged_cent() {
    let (db, _) = fixture().await;
    let mut out = Vec::new();
    export::beancount(&mut db.connect().await, &mut out, Options::default())
        .await
        .unwrap();
    let text = String::from_utf8(out).unwrap();
    let check = |text: &str| run("bean-check", &["-C"], "beancount", text);
    check_beancount(&text);
    assert!(text.contains(" -997.15 USD\n"), "{text}");
    assert!(!check(&text.replacen(" -997.15 USD\n", " -997.14 USD\n", 1)).0);
    assert!(text.contains("N4010:USD -2.90 ~ 0 USD"), "{text}");
    assert!(!check(&text.replacen("N4010:USD -2.90 ~ 0 USD", "N4010:USD -2.91 ~ 0 USD", 1)).0);
}

#[tokio::test]
async fn csv_and_json_carry_every_line() {
    let (db, books) = fixture().await;
    let mut client = db.connect().await;
    let (mut csv, mut json) = (Vec::new(), Vec::new());
    let written = export::csv(&mut client, &mut csv, Options::default()).await.unwrap();
    assert_eq!(
        export::json(&mut client, &mut json, Options::default()).await.unwrap(),
        written
    );
    let lines: i64 = client
        .query_one("SELECT count(*) FROM ledger.posting", &[])
        .await
        .unwrap()
        .get(0);
    let csv = String::from_utf8(csv).unwrap();
    assert_eq!(csv.split("\r\n").count() as i64, lines + 2); // header, and the end after the last line
    assert!(csv.contains("\"fx) ; \"\"evil\"\"\n= 1,2\""), "{csv}");
    let objects: Vec<serde_json::Value> = String::from_utf8(json)
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(
        objects
            .iter()
            .map(|o| o["lines"].as_array().unwrap().len() as i64)
            .sum::<i64>(),
        lines
    );
    let mut one = Vec::new();
    export::json(&mut client, &mut one, Options { book: Some(books[1]) })
        .await
        .unwrap();
    assert_eq!(String::from_utf8(one).unwrap().lines().count(), 2);
}

/// Asserts that hledger finds nothing wrong.
pub fn check_hledger(text: &str) {
    let (ok, said) = run("hledger", &HLEDGER_CHECK, "journal", text);
    assert!(ok, "{said}\n{text}");
}

/// Asserts that beancount finds nothing wrong.
pub fn check_beancount(text: &str) {
    let (ok, said) = run("bean-check", &["-C"], "beancount", text);
    assert!(ok, "{said}\n{text}");
}

const HLEDGER_CHECK: [&str; 4] = ["check", "--strict", "ordereddates", "-f"];

/// Runs a checker on a file with this text: whether it is content, and what it said. It has to be installed
/// (`scripts/bootstrap.sh test`): what cannot be checked is not called good.
fn run(program: &str, args: &[&str], extension: &str, text: &str) -> (bool, String) {
    let file = std::env::temp_dir().join(format!("{}.{extension}", Uuid::new_v4()));
    std::fs::write(&file, text).unwrap();
    let output = Command::new(program)
        .args(args)
        .arg(&file)
        .env("LC_ALL", "C.UTF-8")
        .output();
    std::fs::remove_file(&file).unwrap();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}; scripts/bootstrap.sh test installs it"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
