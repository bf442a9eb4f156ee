//! Reports: the same position gives the same bytes whatever is booked since; they agree with the ledger's own figures; a merchant
//! sees its own book alone; what an authority gets is signed and about nobody.

use std::collections::BTreeMap;

use gateway::report::REPORTS;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests::{TestApp, eventually, said, workspace};

/// Runs `counterfoil report`, which must succeed.
async fn report(app: &TestApp, arguments: &[&str]) -> Vec<u8> {
    let words: Vec<&str> = ["report"].iter().chain(arguments).copied().collect();
    let output = app.counterfoil(&words).await;
    assert!(output.status.success(), "{words:?}: {}", said(&output));
    output.stdout
}

pub(crate) async fn json_of(app: &TestApp, arguments: &[&str]) -> Value {
    let words: Vec<&str> = arguments.iter().chain(&["--format", "json"]).copied().collect();
    serde_json::from_slice(&report(app, &words).await).expect("JSON")
}

pub(crate) async fn sell(app: &TestApp, account: &str, amount: i64, method: &str) -> Value {
    let sale = json!({ "amount": amount, "currency": "usd", "payment_method": method, "confirm": true });
    app.post("/v1/payment_intents")
        .account(account)
        .params(sale)
        .send()
        .await
        .ok()
}

/// A sale, a refund and a lost-or-open chargeback of this merchant.
pub(crate) async fn business(app: &TestApp, account: &str) {
    let sale = sell(app, account, 10_000, "pm_card_visa").await;
    let refund = json!({ "payment_intent": sale["id"], "amount": 2_500 });
    app.post("/v1/refunds")
        .account(account)
        .params(refund)
        .send()
        .await
        .ok();
    let disputed = sell(app, account, 3_000, "pm_card_createDispute").await;
    let filter = format!("payment_intent={}", disputed["id"].as_str().expect("an id"));
    eventually("a dispute", || async {
        let listed = app.get("/v1/disputes").account(account).form(&filter).send().await.ok();
        listed["data"][0]["balance_transactions"][0]["id"].as_str().map(drop)
    })
    .await;
}

#[tokio::test]
async fn every_report_is_the_same_for_ever_from_the_same_position() {
    let app = TestApp::shared().await;
    let account = app.told("/merchants/0/id");
    business(app, &account).await;
    let position = json_of(app, &["trial-balance"]).await["position"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let ask = |name: &'static str| {
        let of = match name {
            "account_statement" => vec!["--account", "2010.usd", "--book", &account],
            "merchant_statement" => vec!["--book", &account],
            _ => vec![],
        };
        let rest = ["--position", &position, "--from", "2020-01-01"];
        [name].into_iter().chain(of).chain(rest).collect::<Vec<_>>()
    };
    let mut before = Vec::new();
    for report in REPORTS {
        for format in ["csv", "json", "pdf"] {
            if format == "csv" || report.name == "settlement" {
                let words: Vec<&str> = ask(report.name).into_iter().chain(["--format", format]).collect();
                before.push((report.name, format, self::report(app, &words).await));
            }
        }
    }
    business(app, &account).await;
    for (name, format, bytes) in &before {
        let words: Vec<&str> = ask(name).into_iter().chain(["--format", format]).collect();
        let again = self::report(app, &words).await;
        assert!(again == *bytes, "{name} as {format} is not the same");
        if *format == "csv" {
            let text = String::from_utf8_lossy(bytes);
            assert!(text.contains(&position), "{name} does not name its position:\n{text}");
            assert!(
                *name == "reconciliation" || text.lines().count() > 6,
                "{name} has no rows:\n{text}"
            );
        }
    }
    let newer = json_of(app, &["trial-balance"]).await;
    assert_ne!(newer["position"]["id"].as_str(), Some(position.as_str()));
    for wrong in [
        ["trial-balance", "--position", "page:999999"],
        ["trial-balance", "--position", "0192f0c1-7a3e-7c11-8d2b-5f6a7b8c9d0e"],
        ["trial-balance", "--position", "yesterday"],
        ["no-such-report", "--position", "newest"],
        ["merchant-statement", "--position", "newest"],
    ] {
        let words: Vec<&str> = ["report"].into_iter().chain(wrong).collect();
        let output = app.counterfoil(&words).await;
        assert!(
            !output.status.success() && !said(&output).contains("panicked"),
            "{words:?}: {}",
            said(&output)
        );
    }
    // A page of the seal is a position too.
    let sealed = eventually("a sealed page", || async {
        let output = app
            .counterfoil(&["report", "trial-balance", "--position", "sealed", "--format", "json"])
            .await;
        output.status.success().then_some(output.stdout)
    })
    .await;
    let sealed: Value = serde_json::from_slice(&sealed).expect("JSON");
    let page = sealed["position"]["id"].as_str().expect("an id");
    assert!(page.starts_with("page:"), "{page}");
    assert_eq!(json_of(app, &["trial-balance", "--position", page]).await, sealed);
}

/// An independent reader finds every amount of the trial balance on its pages.
#[tokio::test]
async fn a_report_on_paper_says_what_the_table_says() {
    let app = TestApp::shared().await;
    sell(app, &app.told("/merchants/0/id"), 4_321, "pm_card_visa").await;
    let csv = String::from_utf8(report(app, &["trial-balance", "--format", "csv"]).await).expect("text");
    let position = csv
        .split("journal ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect("a position");
    let file = app.dir().join("trial.pdf");
    let path = file.display().to_string();
    report(
        app,
        &[
            "trial-balance",
            "--position",
            position,
            "--format",
            "pdf",
            "--out",
            &path,
        ],
    )
    .await;
    let script =
        "import sys, pypdf\nfor page in pypdf.PdfReader(sys.argv[1], strict=True).pages: print(page.extract_text())";
    let python = workspace().join(".tools/python/bin/python");
    let output = tokio::process::Command::new(python)
        .args(["-c", script, &path])
        .output()
        .await
        .expect("python: scripts/bootstrap.sh test installs it");
    let read = said(&output);
    assert!(output.status.success(), "{read}");
    let rows = csv.lines().filter(|line| !line.starts_with('#')).skip(1);
    let mut seen = 0;
    for row in rows {
        for cell in row.split(',').filter(|cell| !cell.is_empty()) {
            assert!(read.contains(cell), "{cell} is not on paper:\n{read}");
            seen += 1;
        }
    }
    assert!(
        seen > 20 && read.contains(position) && read.contains("page 1 of"),
        "{read}"
    );
}

#[tokio::test]
async fn reports_agree_with_the_ledger_and_with_each_other() {
    let app = TestApp::start().await;
    let (first, second) = (app.told("/merchants/0/id"), app.told("/merchants/1/id"));
    business(&app, &first).await;
    business(&app, &second).await;
    let rows = |report: &Value| report["data"].as_array().expect("rows").clone();
    let amount = |row: &Value, name: &str| row[name].as_i64().unwrap_or_else(|| panic!("{name} of {row}"));

    let trial = rows(&json_of(&app, &["trial-balance"]).await);
    let output = app.counterfoil(&["ledger", "trial-balance", "--json"]).await;
    let ledger: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let of_ledger: BTreeMap<_, _> = rows_by(&ledger["rows"], &["book", "account"]);
    let of_report: BTreeMap<_, _> = rows_by(&json!(trial), &["book", "account"]);
    for (key, row) in &of_ledger {
        let (debits, credits) = (row["debits"].as_i64(), row["credits"].as_i64());
        if (debits, credits) != (Some(0), Some(0)) {
            let found = of_report.get(key).unwrap_or_else(|| panic!("{key:?} is missing"));
            assert_eq!(
                (found["debits"].as_i64(), found["credits"].as_i64()),
                (debits, credits),
                "{key:?}"
            );
        }
    }
    let total = trial.iter().find(|row| row["book"] == "total").expect("a total");
    assert_eq!((amount(total, "net"), amount(total, "debits") > 0), (0, true));

    // Assets are what is owed and what is ours, by book and together.
    for consolidated in [false, true] {
        let words: &[&str] = if consolidated {
            &["balance-sheet", "--consolidated"]
        } else {
            &["balance-sheet"]
        };
        let mut sums: BTreeMap<(String, String), i64> = BTreeMap::new();
        for row in rows(&json_of(&app, words).await) {
            if row["title"] == "total" {
                let sign = if row["section"] == "assets" { 1 } else { -1 };
                let key = (row["book"].to_string(), row["currency"].to_string());
                *sums.entry(key).or_default() += sign * amount(&row, "amount");
            }
        }
        assert_eq!(sums.len(), if consolidated { 1 } else { 2 }, "{sums:?}");
        assert!(sums.values().all(|sum| *sum == 0), "{sums:?}");
    }

    // What a merchant sees in the API is where its statement and its settlement report end.
    let balance = app.get("/v1/balance").account(&first).send().await.ok();
    let part = |name: &str| balance[name][0]["amount"].as_i64().unwrap_or(0);
    let has = part("available") + part("pending");
    let statement = rows(&json_of(&app, &["merchant-statement", "--book", &first]).await);
    let closing = statement.last().expect("rows");
    assert_eq!(
        (closing["what"].as_str(), amount(closing, "balance")),
        (Some("closing balance"), has)
    );
    let moved: i64 = statement.iter().filter_map(|row| row["amount"].as_i64()).sum();
    assert_eq!(moved, has);
    let settlement = rows(&json_of(&app, &["settlement", "--book", &first]).await);
    let last = settlement.last().expect("rows");
    assert_eq!((amount(last, "balance"), amount(last, "other")), (has, 0));
    assert_eq!((amount(last, "sales"), amount(last, "refunds")), (13_000, -2_500));

    // From tomorrow on nothing has happened, and the opening balance is all there is.
    let tomorrow = (Timestamp::now() + SignedDuration::from_hours(24))
        .strftime("%Y-%m-%d")
        .to_string();
    let empty = rows(&json_of(&app, &["merchant-statement", "--book", &first, "--from", &tomorrow]).await);
    assert_eq!(empty.len(), 2, "{empty:?}");
    assert_eq!((amount(&empty[0], "balance"), amount(&empty[1], "balance")), (has, has));

    let income = rows(&json_of(&app, &["income", "--consolidated"]).await);
    let result = income.iter().find(|row| row["section"] == "result").expect("a result");
    let fees = rows(&json_of(&app, &["fees-and-tax"]).await);
    let total = fees.iter().find(|row| row["book"] == "total").expect("a total");
    assert_eq!(amount(result, "amount"), amount(total, "margin"));
    let part: i64 = fees
        .iter()
        .filter(|row| row["book"] != "total")
        .map(|row| amount(row, "margin"))
        .sum();
    assert_eq!(part, amount(total, "margin"));

    let safe = rows(&json_of(&app, &["safeguarding"]).await);
    assert_eq!(safe.len(), 31, "a month, day by day");
    let today = safe.last().expect("rows");
    let gap = (amount(today, "owed") - amount(today, "covered")).max(0);
    assert_eq!((amount(today, "gap"), amount(today, "owed") > 0), (gap, true));

    let listed = rows(&json_of(&app, &["disputes-and-refunds"]).await);
    let kinds = |kind: &str| listed.iter().filter(|row| row["kind"] == kind).count();
    assert_eq!((kinds("refund"), kinds("chargeback")), (2, 2), "{listed:?}");
    let refund = listed.iter().find(|row| row["kind"] == "refund").expect("a refund");
    assert_eq!(
        (amount(refund, "amount"), &refund["outcome"]),
        (2_500, &json!("succeeded"))
    );
    assert!(
        refund["payment"].as_str().is_some_and(|id| id.starts_with("pi_")),
        "{refund}"
    );
    let chargeback = listed
        .iter()
        .find(|row| row["kind"] == "chargeback")
        .expect("a chargeback");
    assert_eq!(
        (amount(chargeback, "amount"), amount(chargeback, "fee")),
        (3_000, 1_500)
    );

    // Buckets are the balance, and everything is of today.
    for row in rows(&json_of(&app, &["ageing"]).await) {
        assert_eq!(amount(&row, "day_1"), amount(&row, "balance"), "{row}");
    }
    app.stop().await;
}

fn rows_by(rows: &Value, keys: &[&str]) -> BTreeMap<Vec<String>, Value> {
    let key = |row: &Value| {
        keys.iter()
            .map(|key| row[key].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    rows.as_array()
        .expect("rows")
        .iter()
        .map(|row| (key(row), row.clone()))
        .collect()
}

#[tokio::test]
async fn a_merchant_gets_its_own_book_and_the_platform_all_of_them() {
    let app = TestApp::shared().await;
    let (first, second) = (app.told("/merchants/0/id"), app.told("/merchants/1/id"));
    sell(app, &first, 700, "pm_card_visa").await;
    let foreign = sell(app, &second, 800, "pm_card_visa").await;
    let key = app.told("/restricted_keys/finance");
    let ask = |form: &str| app.get("/v1/reports").form(form);
    let own = ask("report_type=merchant_statement").key(&key).send().await.ok();
    assert_eq!(own["book"], first.as_str());
    let charge = foreign["latest_charge"].as_str().expect("an id");
    assert!(!own.to_string().contains(charge) && !own.to_string().contains(&second));
    for (form, status, code) in [
        ("report_type=trial_balance", 403, "platform_key_required"),
        ("report_type=nothing", 400, "parameter_invalid_value"),
        ("", 400, "parameter_missing"),
        (
            "report_type=settlement&position=page:99999999",
            400,
            "parameter_invalid_value",
        ),
        ("report_type=settlement&position=x", 400, "parameter_invalid_string"),
        (
            "report_type=settlement&interval_start=20&interval_end=10",
            400,
            "parameter_invalid_value",
        ),
        ("report_type=settlement&format=xml", 400, "parameter_invalid_value"),
        (
            "report_type=settlement&ledger_account=9999.usd",
            400,
            "parameter_invalid_string",
        ),
    ] {
        let answer = ask(form).key(&key).send().await;
        assert_eq!(answer.status, status, "{form}: {answer}");
        assert_eq!(answer.text("/error/code"), code, "{form}: {answer}");
    }
    let types = app.get("/v1/reporting/report_types").key(&key).send().await.ok();
    let names: Vec<&str> = types["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|t| t["id"].as_str())
        .collect();
    assert!(
        names.contains(&"settlement") && !names.contains(&"trial_balance"),
        "{names:?}"
    );
    let all = app.get("/v1/reporting/report_types").send().await.ok();
    assert_eq!(all["data"].as_array().map(Vec::len), Some(REPORTS.len()));

    let whole = ask("report_type=trial_balance").send().await.ok();
    let text = whole.to_string();
    assert!(text.contains(&first) && text.contains(&second));
    let position = whole["position"]["id"].as_str().expect("an id");
    let from_command = json_of(app, &["trial-balance", "--position", position]).await;
    assert_eq!(from_command["data"], whole["data"]);
    let csv = format!("report_type=trial_balance&format=csv&position={position}");
    let url = app.told("/api_url");
    let file = app.request_to(&url, "GET", "/v1/reports").form(&csv).send().await;
    assert_eq!(file.status, 200);
    let bytes = report(app, &["trial-balance", "--position", position, "--format", "csv"]).await;
    assert_eq!(file.body, bytes, "the API and the command give the same file");
}

/// An authority checks what it gets with openssl alone; made again later it is the same, and it names nobody.
#[tokio::test]
async fn an_export_for_an_authority_is_signed_reproducible_and_about_nobody() {
    let app = TestApp::shared().await;
    let account = app.told("/merchants/0/id");
    business(app, &account).await;
    let folder = app.dir().join("authority");
    std::fs::create_dir_all(&folder).expect("a folder");
    let openssl = async |words: &[&str]| {
        let mut command = tokio::process::Command::new("openssl");
        command
            .args(words)
            .current_dir(&folder)
            .output()
            .await
            .expect("openssl")
    };
    let made = openssl(&["genpkey", "-algorithm", "ed25519", "-out", "key.pem"]).await;
    assert!(made.status.success(), "{}", said(&made));
    let position = json_of(app, &["trial-balance"]).await["position"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let key = folder.join("key.pem").display().to_string();
    let export = async |name: &str| {
        let out = folder.join(name).display().to_string();
        let words = [
            "regulator",
            "export",
            "--from",
            "2020-01-01",
            "--to",
            "2099-12-31",
            "--key",
            &key,
            "--out",
            &out,
            "--position",
            &position,
        ];
        app.counterfoil(&words).await
    };
    let first = export("first").await;
    assert!(first.status.success(), "{}", said(&first));
    let again = export("first").await;
    assert!(
        !again.status.success() && said(&again).contains("not written over"),
        "{}",
        said(&again)
    );
    business(app, &account).await;
    assert!(export("second").await.status.success());
    let files = |name: &str| -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(folder.join(name)).expect("a folder");
        let entries = entries.map(|entry| entry.expect("an entry"));
        entries
            .map(|e| {
                (
                    e.file_name().to_string_lossy().into_owned(),
                    std::fs::read(e.path()).expect("a file"),
                )
            })
            .collect()
    };
    let (one, two) = (files("first"), files("second"));
    assert!(one == two, "the same position gives the same export");
    let manifest: Value = serde_json::from_slice(&one["manifest.json"]).expect("JSON");
    for file in manifest["files"].as_array().expect("files") {
        let bytes = &one[file["name"].as_str().expect("a name")];
        assert_eq!(
            file["sha256"],
            hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes))
        );
        let text = String::from_utf8_lossy(bytes);
        let ids = ["acct_", "ch_", "re_", "pi_", "du_", "cus_", "po_0"];
        assert!(!ids.iter().any(|id| text.contains(id)), "{file}: {text}");
    }
    let activity: Value = serde_json::from_slice(&one["activity.json"]).expect("JSON");
    let rows = activity["data"].as_array().expect("rows");
    let captured = rows
        .iter()
        .find(|row| row["measure"] == "payments captured" && row["currency"] == "usd")
        .expect("payments");
    let row = app
        .sql()
        .await
        .query_one(
            "SELECT count(*) FROM gateway.charge WHERE amount_captured > 0 AND currency = 'usd'",
            &[],
        )
        .await
        .expect("a count");
    assert!(
        captured["number"]
            .as_i64()
            .is_some_and(|n| n >= 2 && n <= row.get::<_, i64>(0)),
        "{captured}"
    );
    let check = [
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "first/public.pem",
        "-rawin",
        "-in",
        "first/manifest.json",
        "-sigfile",
        "first/manifest.sig",
    ];
    let verified = openssl(&check).await;
    assert!(verified.status.success(), "{}", said(&verified));
    let changed = String::from_utf8_lossy(&one["manifest.json"]).replacen("2020", "2021", 1);
    std::fs::write(folder.join("first/manifest.json"), changed).expect("a file");
    assert!(!openssl(&check).await.status.success(), "a changed manifest is seen");
    let words = [
        "regulator",
        "export",
        "--from",
        "2020-01-01",
        "--to",
        "2020-01-31",
        "--key",
        "/dev/null",
        "--out",
        "x",
    ];
    let refused = app.counterfoil(&words).await;
    assert!(
        !refused.status.success() && said(&refused).contains("PKCS"),
        "{}",
        said(&refused)
    );
}
