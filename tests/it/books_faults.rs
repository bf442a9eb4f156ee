//! The books of a running service in the hands of programs that know nothing of us: hledger and beancount read the export,
//! find it right, agree with our trial balance to the cent, and find every fault that is put in. Both have to be installed
//! (`scripts/bootstrap.sh test`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use jiff::Timestamp;
use ledger::journal::Draft;
use ledger::post::post;
use ledger::{AccountName, BookId, Chart, Currency, JournalCode};
use serde_json::{Value, json};
use tests::{TestApp, said};

/// Balances by book, account and its currency, minor units, debits positive; zeros left out.
type Balances = BTreeMap<(String, String), i128>;

/// Payments captured, held, voided, refunded, in two currencies, and an exchange between them.
async fn booked() -> TestApp {
    let app = TestApp::start().await;
    let pay = async |amount: u64, currency: &str, capture: &str| {
        let body = json!({ "amount": amount, "currency": currency, "payment_method": "pm_card_visa", "confirm": true,
                           "capture_method": capture });
        app.post("/v1/payment_intents").params(body).send().await.ok()
    };
    let paid = pay(12_345, "usd", "automatic").await;
    pay(700, "jpy", "automatic").await;
    pay(4_200, "usd", "manual").await;
    let captured = pay(5_000, "usd", "manual").await;
    let voided = pay(999, "usd", "manual").await;
    let id = |payment: &Value| payment["id"].as_str().expect("an id").to_owned();
    let capture = format!("/v1/payment_intents/{}/capture", id(&captured));
    app.post(&capture)
        .params(json!({ "amount_to_capture": 3_000 }))
        .send()
        .await
        .ok();
    app.post(&format!("/v1/payment_intents/{}/cancel", id(&voided)))
        .send()
        .await
        .ok();
    let refund = json!({ "payment_intent": id(&paid), "amount": 345 });
    app.post("/v1/refunds").params(refund).send().await.ok();

    let client = app.sql().await;
    let row = client
        .query_one("SELECT min(book_id) FROM gateway.merchant", &[])
        .await
        .expect("a merchant");
    let book = BookId(row.get(0));
    let clearing = |currency| AccountName::of(Chart::FxClearing, currency);
    let suspense = |currency| AccountName::of(Chart::SuspenseUnmatched, currency);
    let (usd, jpy) = (Currency::USD, Currency::JPY);
    let accounts = [clearing(usd), clearing(jpy), suspense(usd), suspense(jpy)];
    ledger::open(&client, book, &accounts).await.expect("opens");
    let exchange = Draft::new(book, JournalCode::J17, Timestamp::now())
        .debit(clearing(usd), 1_000)
        .credit(suspense(usd), 1_000)
        .debit(suspense(jpy), 1_561)
        .credit(clearing(jpy), 1_561)
        .balance()
        .expect("balances");
    post(&client, &[&exchange]).await.expect("posts");
    app
}

#[tokio::test]
async fn two_strangers_agree_with_the_trial_balance_and_find_every_fault() {
    let app = booked().await;
    app.verify_books().await;
    let trial = trial_balance(&app).await;
    assert!(trial.len() >= 10, "{trial:?}");

    let hledger = Checker {
        program: "hledger",
        arguments: &["check", "--strict", "ordereddates", "payees", "-f"],
        extension: "journal",
    };
    let text = export(&app, "hledger").await;
    hledger.accepts(&text);
    assert_eq!(hledger_balances(&text), trial, "hledger's balances\n{text}");
    for (fault, forged) in hledger_faults(&text) {
        assert_ne!(forged, text, "{fault}: nothing to forge");
        hledger.refuses(fault, &forged);
    }

    let beancount = Checker {
        program: "bean-check",
        arguments: &["-C"],
        extension: "beancount",
    };
    let text = export(&app, "beancount").await;
    beancount.accepts(&text);
    assert_eq!(beancount_balances(&text), trial, "beancount's balances\n{text}");
    for (fault, forged) in beancount_faults(&text) {
        assert_ne!(forged, text, "{fault}: nothing to forge");
        beancount.refuses(fault, &forged);
    }
}

#[tokio::test]
async fn csv_and_json_lines_add_up_to_the_trial_balance() {
    let app = booked().await;
    let trial = trial_balance(&app).await;
    let signed = |kind: &str, amount: i128| match kind {
        "D" => amount,
        "C" => -amount,
        _ => 0, // pending
    };
    let csv = export(&app, "csv").await;
    let mut lines = csv.split("\r\n").filter(|line| !line.is_empty());
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let at = |name| header.iter().position(|h| *h == name).expect("a column");
    let mut sums = Balances::new();
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect(); // no field of these books needs quotes
        let amount = fields[at("amount_minor")].parse().expect("a number");
        let key = (fields[at("book")].to_owned(), fields[at("account")].to_owned());
        *sums.entry(key).or_default() += signed(fields[at("kind")], amount);
    }
    sums.retain(|_, sum| *sum != 0);
    assert_eq!(sums, trial, "{csv}");

    let mut sums = Balances::new();
    for line in export(&app, "json").await.lines() {
        let journal: Value = serde_json::from_str(line).expect("JSON");
        for line in journal["lines"].as_array().expect("lines") {
            let text = |v: &Value| v.as_str().expect("text").to_owned();
            let amount = i128::from(line["amount"].as_i64().expect("a number"));
            *sums
                .entry((text(&journal["book"]), text(&line["account"])))
                .or_default() += signed(&text(&line["kind"]), amount);
        }
    }
    sums.retain(|_, sum| *sum != 0);
    assert_eq!(sums, trial);
}

/// What hledger must find in a forged copy. Where it can be, the fault cancels out, so that no closing balance gives it away
/// and the check that is meant has to find it.
fn hledger_faults(good: &str) -> Vec<(&'static str, String)> {
    let (first, end) = first_transaction(good);
    let day = &good[first..first + 10];
    let closing = good.rfind("\n\n").expect("a close") + 1;
    let insert = |text: &str| format!("{}{text}{}", &good[..closing], &good[closing..]);
    let account = account_of(good, "liabilities:", "usd");
    let there_and_back =
        |day: &str, account: &str| format!("\n{day} * J32\n    {account}  USD 5.00\n    {account}  USD -5.00\n");
    let exchange =
        |usd: &str, jpy: &str| format!("\n{day} * J17\n    {account}  USD {usd}\n    {account}  JPY {jpy}\n");
    let leg_of_usd = leg(good, "USD ");
    vec![
        ("a leg off by a cent", bump(good, "USD ")),
        (
            "a leg off by four tenths of a cent",
            good.replacen(&leg_of_usd, &format!("{leg_of_usd}4"), 1),
        ),
        ("a yen too much", bump(good, "JPY ")),
        ("an assertion off by a cent", bump_last(good, "= USD ")),
        ("an assertion off by a yen", bump_last(good, "= JPY ")),
        ("a transaction gone", format!("{}{}", &good[..first], &good[end..])),
        (
            "a transaction twice",
            format!("{}{}{}", &good[..end], &good[first..end], &good[end..]),
        ),
        (
            "an exchange without its clearing legs",
            insert(&(exchange("10.00", "-1561") + &exchange("-10.00", "1561"))),
        ),
        (
            "an account that nobody declared",
            insert(&there_and_back(day, "liabilities:ghost:usd")),
        ),
        ("a day out of order", insert(&there_and_back("1999-12-31", &account))),
        ("a code that nobody declared", good.replacen(") J03", ") J99", 1)),
    ]
}

/// What beancount must find in a forged copy. Days out of order it sorts, and it knows no payees: that is hledger's part.
fn beancount_faults(good: &str) -> Vec<(&'static str, String)> {
    let (first, end) = first_transaction(good);
    let day = &good[first..first + 10];
    let account = account_of(good, "Liabilities:", "USD");
    let of_yen = account_of(good, "Liabilities:", "JPY");
    let add = |text: &str| format!("{good}{text}");
    let exchange =
        |usd: &str, jpy: &str| format!("\n{day} * \"J17\" \"\"\n  {account}  {usd} USD\n  {of_yen}  {jpy} JPY\n");
    let leg_of_usd = leg_before(good, " USD\n");
    vec![
        ("a leg off by a cent", bump_before(good, " USD\n")),
        (
            "a leg off by four tenths of a cent",
            good.replacen(&leg_of_usd, &leg_of_usd.replace(" USD", "4 USD"), 1),
        ),
        ("a yen too much", bump_before(good, " JPY\n")),
        ("an assertion off by a cent", bump_before_last(good, " ~ 0 USD\n")),
        ("an assertion off by a yen", bump_before_last(good, " ~ 0 JPY\n")),
        ("a transaction gone", format!("{}{}", &good[..first], &good[end..])),
        (
            "a transaction twice",
            format!("{}{}{}", &good[..end], &good[first..end], &good[end..]),
        ),
        (
            "an exchange without its clearing legs",
            add(&(exchange("10.00", "-1561") + &exchange("-10.00", "1561"))),
        ),
        (
            "an account that nobody opened",
            add(&format!(
                "\n{day} * \"J32\" \"\"\n  Liabilities:Ghost:USD  5.00 USD\n  Liabilities:Ghost:USD  -5.00 USD\n"
            )),
        ),
    ]
}

/// Where the first transaction begins and ends, the empty line after it included.
fn first_transaction(text: &str) -> (usize, usize) {
    let first = text.find("\n\n").expect("a first transaction") + 2;
    (
        first,
        first + text[first..].find("\n\n").expect("a second transaction") + 2,
    )
}

/// The first declared account under this root in this currency.
fn account_of(text: &str, root: &str, currency: &str) -> String {
    let words = text
        .lines()
        .filter_map(|line| line.split(' ').find(|word| word.starts_with(root)));
    let mut fitting = words.filter(|name| name.ends_with(currency));
    fitting.next().expect("an account").to_owned()
}

/// The first amount of a transaction's leg in this commodity, `USD -12.34`.
fn leg(text: &str, commodity: &str) -> String {
    let line = text
        .lines()
        .find(|line| line.starts_with("    ") && line.contains(commodity))
        .expect("a leg");
    line[line.find(commodity).expect("it is there")..].to_owned()
}

fn leg_before(text: &str, commodity: &str) -> String {
    let line = text
        .lines()
        .find(|line| line.starts_with("  ") && format!("{line}\n").ends_with(commodity))
        .expect("a leg");
    line.rsplit("  ").next().expect("an amount").to_owned()
}

/// The first leg of the commodity, one unit of its last digit further from zero.
fn bump(text: &str, commodity: &str) -> String {
    let good = leg(text, commodity);
    text.replacen(&good, &next(&good), 1)
}

fn bump_before(text: &str, commodity: &str) -> String {
    let good = leg_before(text, commodity);
    text.replacen(&good, &next(&good), 1)
}

/// The same in the last assertion that is not zero.
fn bump_last(text: &str, mark: &str) -> String {
    let line = text.lines().rfind(|line| line.contains(mark)).expect("an assertion");
    let at = line.find(mark).expect("it is there");
    text.replacen(line, &format!("{}{}", &line[..at], next(&line[at..])), 1)
}

fn bump_before_last(text: &str, mark: &str) -> String {
    let line = text
        .lines()
        .rfind(|line| format!("{line}\n").ends_with(mark))
        .expect("an assertion");
    let (name, amount) = line.split_once(" balance ").expect("an assertion");
    let (account, amount) = amount.split_once(' ').expect("an amount");
    let number = amount.strip_suffix(mark.trim_end()).expect("an amount");
    text.replacen(
        line,
        &format!("{name} balance {account} {}{}", next(number), mark.trim_end()),
        1,
    )
}

/// The number in this text, one unit of its last digit further from zero.
fn next(text: &str) -> String {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let moved = format!(
        "{:0width$}",
        digits.parse::<i64>().expect("digits") + 1,
        width = digits.len()
    );
    let mut moved = moved.chars();
    text.chars()
        .map(|c| {
            if c.is_ascii_digit() {
                moved.next().unwrap_or('9')
            } else {
                c
            }
        })
        .collect()
}

struct Checker {
    program: &'static str,
    arguments: &'static [&'static str],
    extension: &'static str,
}

impl Checker {
    fn accepts(&self, text: &str) {
        let (fine, said) = self.check(text);
        assert!(fine, "{}: {said}\n{text}", self.program);
    }

    fn refuses(&self, fault: &str, text: &str) {
        let (fine, _) = self.check(text);
        assert!(!fine, "{} does not find {fault}:\n{text}", self.program);
    }

    fn check(&self, text: &str) -> (bool, String) {
        let file = file(text, self.extension);
        let output = run(Command::new(self.program).args(self.arguments).arg(&file));
        std::fs::remove_file(file).expect("removes");
        (output.status.success(), said(&output))
    }
}

fn run(command: &mut Command) -> std::process::Output {
    let output = command.env("LC_ALL", "C.UTF-8").output();
    output.unwrap_or_else(|e| panic!("{command:?}: {e}; scripts/bootstrap.sh test installs it"))
}

fn file(text: &str, extension: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("{}.{extension}", uuid::Uuid::new_v4()));
    std::fs::write(&path, text).expect("writes");
    path
}

/// The posted layer as hledger sums it up. Names are `root:book:number-title[:dimension]:currency`.
fn hledger_balances(text: &str) -> Balances {
    let file = file(text, "journal");
    let arguments = ["bal", "--cleared", "--flat", "--no-total", "-O", "csv", "-f"];
    let output = run(Command::new("hledger").args(arguments).arg(&file));
    std::fs::remove_file(file).expect("removes");
    let printed = String::from_utf8(output.stdout).expect("text");
    let mut balances = Balances::new();
    for line in printed.lines().skip(1) {
        let (name, amount) = line.trim_matches('"').split_once("\",\"").expect("two columns");
        let parts: Vec<&str> = name.split(':').collect();
        let number = parts[2].split('-').next().expect("a number");
        let account = std::iter::once(number)
            .chain(parts[3..].iter().copied())
            .collect::<Vec<_>>()
            .join(".");
        balances.insert((parts[1].to_owned(), account), minor(amount));
    }
    balances.retain(|_, amount| *amount != 0);
    balances
}

/// The posted layer as beancount sums it up. Names are told apart by the metadata of their `open`.
fn beancount_balances(text: &str) -> Balances {
    let mut names = BTreeMap::new();
    let lines: Vec<&str> = text.lines().collect();
    for three in lines.windows(3) {
        let words: Vec<&str> = three[0].split(' ').collect();
        if words.get(1) == Some(&"open") {
            let quoted = |line: &str| line.split('"').nth(1).expect("a quoted text").to_owned();
            names.insert(words[2].to_owned(), (quoted(three[1]), quoted(three[2])));
        }
    }
    let file = file(text, "beancount");
    let query = "select account, sum(position) where flag = '*' group by account";
    let output = run(Command::new("bean-query").args(["-f", "csv"]).arg(&file).arg(query));
    std::fs::remove_file(file).expect("removes");
    let printed = String::from_utf8(output.stdout).expect("text");
    let mut balances = Balances::new();
    for line in printed.lines().skip(1) {
        let (name, amount) = line.split_once(',').expect("two columns");
        balances.insert(names[name.trim()].clone(), minor(amount));
    }
    balances.retain(|_, amount| *amount != 0);
    balances
}

/// `USD -12.34` or `-12.34 USD` as minor units: what is exported has the full scale.
fn minor(amount: &str) -> i128 {
    let digits: String = amount.chars().filter(|c| c.is_ascii_digit() || *c == '-').collect();
    if digits.is_empty() {
        0
    } else {
        digits.parse().expect("a number")
    }
}

async fn trial_balance(app: &TestApp) -> Balances {
    let output = app.counterfoil(&["ledger", "trial-balance", "--json"]).await;
    assert!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["balanced"], true);
    let rows = report["rows"].as_array().expect("rows").iter();
    let text = |v: &Value| v.as_str().expect("text").to_owned();
    rows.map(|row| {
        (
            (text(&row["book"]), text(&row["account"])),
            i128::from(row["net"].as_i64().expect("minor units")),
        )
    })
    .filter(|(_, net)| *net != 0)
    .collect()
}

async fn export(app: &TestApp, format: &str) -> String {
    let output = app.counterfoil(&["ledger", "export", "--format", format]).await;
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}
