//! Receipts: one for each capture, by a real mail server over STARTTLS with a login, equal to the ledger, in the payer's language, and
//! on a page whose address cannot be guessed.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tests::{TestApp, eventually, workspace};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The mail server and what it has taken.
struct Server {
    port: u16,
    taken: Arc<Mutex<Vec<Value>>>,
    input: ChildStdin,
    lines: Option<Lines<BufReader<ChildStdout>>>,
    _child: Child,
}

impl Server {
    /// Its port, which is held and refuses connections until [`Server::open`].
    async fn reserved() -> Self {
        let mut child = Command::new(workspace().join(".tools/python/bin/python"))
            .arg(workspace().join("tests/smtp/server.py"))
            .args(["shop", "let-me-in"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a mail server: scripts/bootstrap.sh test installs it");
        let mut lines = BufReader::new(child.stdout.take().expect("an output")).lines();
        let port = lines.next_line().await.expect("an output").expect("a line");
        Self {
            port: port.parse().expect("a port"),
            taken: Arc::default(),
            input: child.stdin.take().expect("an input"),
            lines: Some(lines),
            _child: child,
        }
    }

    async fn open(&mut self, app: &TestApp) {
        let tls = format!("{}\n", app.dir().join("tls").display());
        self.input.write_all(tls.as_bytes()).await.expect("written");
        let mut lines = self.lines.take().expect("opened once");
        let ready = lines.next_line().await.expect("an output");
        assert_eq!(ready.as_deref(), Some("ready"), "the mail server does not start");
        let into = self.taken.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                into.lock()
                    .expect("a lock")
                    .push(serde_json::from_str(&line).expect("JSON"));
            }
        });
    }

    fn all(&self) -> Vec<Value> {
        self.taken.lock().expect("a lock").clone()
    }
}

#[tokio::test]
async fn each_capture_has_one_receipt_that_equals_the_ledger() {
    let mut server = Server::reserved().await;
    let app = TestApp::start_with(&[
        "--mail-port",
        &server.port.to_string(),
        "--mail-login",
        "shop:let-me-in",
    ])
    .await;
    let pay = async |with: Value| {
        let mut body = json!({ "amount": 4_250, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true,
                               "description": "Two <books> & a map" });
        body.as_object_mut()
            .expect("an object")
            .extend(with.as_object().expect("an object").clone());
        app.post("/v1/payment_intents").params(body).send().await.ok()
    };
    // Nobody takes mail yet: what is committed now is sent later, also after a crash.
    pay(json!({ "receipt_email": "ada@shop.example" })).await;
    let chinese =
        pay(json!({ "receipt_email": "li@shop.example", "receipt_locale": "zh-CN", "amount": 990, "currency": "jpy" }))
            .await;
    app.kill9();
    app.restart().await;
    let held = pay(json!({ "receipt_email": "bob@shop.example", "capture_method": "manual" })).await;
    let capture = format!("/v1/payment_intents/{}/capture", held["id"].as_str().expect("id"));
    app.post(&capture)
        .params(json!({ "amount_to_capture": 1_234 }))
        .send()
        .await
        .ok();
    pay(json!({ "receipt_email": "nobody@shop.example" })).await;
    pay(json!({})).await; // wants none
    server.open(&app).await;

    let receipts = eventually("every receipt is sent or given up", || async {
        let listed = app.get("/v1/receipts").send().await.ok();
        let all = listed["data"].as_array().expect("a list").clone();
        let done = all.iter().all(|receipt| receipt["status"] != "queued");
        (all.len() == 4 && done).then_some(all)
    })
    .await;
    let sql = app.sql().await;
    let booked = "SELECT sum(amount)::bigint FROM ledger.posting WHERE code = 'J03' AND reference = $1 AND layer = 'posted' AND side = 'credit'";
    let mut amounts = BTreeMap::new();
    for receipt in &receipts {
        let row = sql
            .query_one(booked, &[&receipt["charge"].as_str()])
            .await
            .expect("a journal");
        assert_eq!(
            receipt["amount"].as_i64(),
            Some(row.get::<_, i64>(0)),
            "the receipt is the capture: {receipt}"
        );
        let expected = if receipt["email"] == "nobody@shop.example" {
            "failed"
        } else {
            "sent"
        };
        assert_eq!(receipt["status"], expected, "{receipt}");
        assert_eq!(receipt["payee"], "Harbour Books LLC");
        amounts.insert(
            receipt["email"].as_str().expect("an address").to_owned(),
            receipt.clone(),
        );
    }
    let taken = server.all();
    assert_eq!(taken.len(), 3, "one message for each: {taken:?}");
    for message in &taken {
        let receipt = &amounts[message["to"][0].as_str().expect("an address")];
        let text = message["text"].as_str().expect("a text");
        let chinese = message["to"][0] == "li@shop.example";
        let paid = match (chinese, message["to"][0] == "bob@shop.example") {
            (true, _) => "付款金额: 990 JPY",
            (_, true) => "Amount paid: 12.34 USD",
            _ => "Amount paid: 42.50 USD",
        };
        assert!(text.contains(paid) && text.contains("Harbour Books LLC"), "{text}");
        assert!(
            text.contains(if chinese { "退货期限" } else { "Returns: 30 days" }),
            "{text}"
        );
        assert!(text.contains(receipt["url"].as_str().expect("an address")), "{text}");
        assert_eq!(message["tls"], true);
        let id = receipt["id"].as_str().expect("an id");
        assert!(message["id"].as_str().is_some_and(|m| m.contains(id)), "{message}");
    }
    let told = app.get("/v1/events?type=receipt.created").send().await.ok();
    assert_eq!(told["data"].as_array().map(Vec::len), Some(4));

    let charge = app
        .get(&format!(
            "/v1/charges/{}",
            chinese["latest_charge"].as_str().expect("a charge")
        ))
        .send()
        .await
        .ok();
    let url = charge["receipt_url"].as_str().expect("an address");
    let path = &url[url.find("/receipts/").expect("a path")..];
    let refund = json!({ "payment_intent": chinese["id"], "amount": 90 });
    app.post("/v1/refunds").params(refund).send().await.ok();
    let page = app.get(path).no_key().send().await;
    let html = String::from_utf8_lossy(&page.body).into_owned();
    assert_eq!(
        (page.status, page.header("content-security-policy")),
        (200, "default-src 'none'")
    );
    assert!(
        html.contains("990 JPY") && html.contains("90 JPY") && html.contains("Two &lt;books&gt; &amp; a map"),
        "{html}"
    );
    let guessed = format!(
        "{}{}",
        &path[..path.len() - 1],
        if path.ends_with('0') { '1' } else { '0' }
    );
    assert_eq!(app.get(&guessed).no_key().send().await.status, 404);
    app.verify_books().await;
    app.stop().await;
}
