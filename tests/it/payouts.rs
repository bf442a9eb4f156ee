//! A merchant's money after the sale: available after its delay, kept in reserve, recovered when it is owed, and paid out once,
//! whatever races and crashes.

use crate::accounts::{active, checker};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tests::{Answer, TestApp, eventually};

/// A merchant without delay and with a bank account; its id.
pub(crate) async fn merchant(app: &TestApp, checker: &str) -> String {
    let id = active(app, checker).await;
    set(app, &id, json!({ "payouts": { "schedule": { "delay_days": 0 } } })).await;
    let bank = json!({ "external_account": { "object": "bank_account", "country": "GB", "currency": "gbp",
                       "account_number": "GB82 WEST 1234 5698 7654 32" } });
    let path = format!("/v1/accounts/{id}/external_accounts");
    let added = app.post(&path).params(bank).send().await.ok();
    assert_eq!(
        (&added["last4"], &added["default_for_currency"]),
        (&json!("5432"), &json!(true))
    );
    id
}

async fn set(app: &TestApp, id: &str, settings: Value) {
    let path = format!("/v1/accounts/{id}");
    app.post(&path)
        .params(json!({ "settings": settings }))
        .send()
        .await
        .ok();
}

pub(crate) async fn sell(app: &TestApp, id: &str, amount: i64) -> Value {
    let sale = json!({ "amount": amount, "currency": "gbp", "payment_method": "pm_card_visa", "confirm": true });
    app.post("/v1/payment_intents")
        .account(id)
        .params(sale)
        .send()
        .await
        .ok()
}

pub(crate) async fn pay_out(app: &TestApp, id: &str, amount: i64) -> Answer {
    let payout = json!({ "amount": amount, "currency": "gbp" });
    app.post("/v1/payouts").account(id).params(payout).send().await
}

async fn report(app: &TestApp, id: &str, payout: &Value, with: Value) -> Answer {
    let path = format!("/v1/payouts/{}/report", payout["id"].as_str().expect("id"));
    app.post(&path).account(id).params(with).send().await
}

/// Available, pending and reserved, in pence.
pub(crate) async fn balance(app: &TestApp, id: &str) -> (i64, i64, i64) {
    let balance = app.get("/v1/balance").account(id).send().await.ok();
    let of = |part: &str| balance[part][0]["amount"].as_i64().unwrap_or(0);
    (of("available"), of("pending"), of("connect_reserved"))
}

pub(crate) async fn comes_to(app: &TestApp, id: &str, expected: (i64, i64, i64)) {
    let last = std::sync::Mutex::new((0, 0, 0));
    let reached = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        loop {
            let now = balance(app, id).await;
            *last.lock().expect("a lock") = now;
            if now == expected {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    let reached = reached.await.is_ok();
    assert!(
        reached,
        "the balance is {:?}, not {expected:?}",
        last.lock().expect("a lock")
    );
}

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.text("/error/code")), (status, code), "{answer}");
}

#[tokio::test]
async fn a_payout_is_locked_sent_paid_and_may_come_back() {
    let app = TestApp::shared().await;
    let id = &merchant(app, &checker(app).await).await;
    sell(app, id, 10_000).await;
    comes_to(app, id, (10_000, 0, 0)).await;
    refused(&pay_out(app, id, 10_001).await, 400, "balance_insufficient");
    let first = pay_out(app, id, 4_000).await.ok();
    assert_eq!(
        (&first["status"], &first["object"]),
        (&json!("pending"), &json!("payout"))
    );
    assert_eq!(
        balance(app, id).await,
        (6_000, 0, 0),
        "what is on its way cannot be paid out again"
    );
    let cancel = format!("/v1/payouts/{}/cancel", first["id"].as_str().expect("id"));
    assert_eq!(app.post(&cancel).account(id).send().await.ok()["status"], "canceled");
    assert_eq!(balance(app, id).await, (10_000, 0, 0));
    refused(
        &report(app, id, &first, json!({ "outcome": "paid" })).await,
        400,
        "payout_unexpected_state",
    );

    let second = pay_out(app, id, 7_000).await.ok();
    let sent = report(app, id, &second, json!({ "outcome": "in_transit" })).await.ok();
    assert_eq!(sent["status"], "in_transit");
    refused(
        &app.post(&cancel.replace(first["id"].as_str().expect("id"), second["id"].as_str().expect("id")))
            .account(id)
            .send()
            .await,
        400,
        "payout_unexpected_state",
    );
    for _ in 0..2 {
        let paid = report(app, id, &second, json!({ "outcome": "paid", "bank_reference": "B-1" }))
            .await
            .ok();
        assert_eq!(
            (&paid["status"], &paid["bank_reference"]),
            (&json!("paid"), &json!("B-1"))
        );
    }
    refused(
        &report(app, id, &second, json!({ "outcome": "returned" })).await,
        400,
        "parameter_missing",
    );
    let returned = json!({ "outcome": "returned", "failure_code": "account_closed" });
    let back = report(app, id, &second, returned).await.ok();
    assert_eq!(
        (&back["status"], &back["bank_status"], &back["failure_code"]),
        (&json!("failed"), &json!("returned"), &json!("account_closed"))
    );
    assert_eq!(balance(app, id).await, (10_000, 0, 0));

    let third = pay_out(app, id, 1_000).await.ok();
    let failed = json!({ "outcome": "failed", "failure_code": "no_account" });
    report(app, id, &third, failed).await.ok();
    assert_eq!(balance(app, id).await, (10_000, 0, 0));
    let lines = app
        .get("/v1/balance_transactions?limit=100")
        .account(id)
        .send()
        .await
        .ok();
    let lines = lines["data"].as_array().expect("a list").clone();
    let net: i64 = lines.iter().filter_map(|line| line["net"].as_i64()).sum();
    assert_eq!(net, 10_000, "the lines make the balance");
    let kinds: BTreeSet<_> = lines.iter().filter_map(|line| line["type"].as_str()).collect();
    assert_eq!(
        kinds,
        BTreeSet::from(["charge", "payout", "payout_cancel", "payout_failure"])
    );
    let told = app.get("/v1/events?limit=100").account(id).send().await.ok();
    let told: Vec<_> = told["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|e| e["type"].as_str())
        .collect();
    let count = |kind: &str| told.iter().filter(|t| **t == kind).count();
    assert_eq!(
        (
            count("payout.created"),
            count("payout.paid"),
            count("payout.failed"),
            count("payout.canceled")
        ),
        (3, 1, 2, 1)
    );
    app.verify_books().await;
}

#[tokio::test]
async fn nobody_is_paid_the_same_money_twice() {
    let app = TestApp::shared().await;
    let id = &merchant(app, &checker(app).await).await;
    sell(app, id, 10_000).await;
    comes_to(app, id, (10_000, 0, 0)).await;
    let all = futures_util::future::join_all((0..12).map(|_| pay_out(app, id, 3_000))).await;
    let paid = all.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(paid, 3, "{all:?}");
    all.iter()
        .filter(|a| a.status != 200)
        .for_each(|a| refused(a, 400, "balance_insufficient"));
    assert_eq!(balance(app, id).await, (1_000, 0, 0));
    // Of a cancelation and a word of the bank, one wins.
    let listed = app.get("/v1/payouts").account(id).send().await.ok();
    for payout in listed["data"].as_array().expect("a list") {
        let cancel = format!("/v1/payouts/{}/cancel", payout["id"].as_str().expect("id"));
        let (canceled, said) = tokio::join!(
            app.post(&cancel).account(id).send(),
            report(app, id, payout, json!({ "outcome": "paid" }))
        );
        assert_eq!(
            [canceled.status, said.status].iter().filter(|s| **s == 200).count(),
            1,
            "{canceled} {said}"
        );
    }
    app.verify_books().await;
}

#[tokio::test]
async fn a_crash_neither_loses_nor_doubles_a_payout() {
    let app = TestApp::start().await;
    let id = &merchant(&app, &checker(&app).await).await;
    sell(&app, id, 50_000).await;
    comes_to(&app, id, (50_000, 0, 0)).await;
    let asked = |n: usize| {
        let body = json!({ "amount": 1_000, "currency": "gbp" });
        app.post("/v1/payouts")
            .account(id)
            .params(body)
            .idempotency_key(&format!("payout-{n}"))
    };
    let sending = futures_util::future::join_all((0..40).map(|n| asked(n).try_send()));
    let killing = async {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        app.kill9();
    };
    tokio::join!(sending, killing);
    app.restart().await;
    let mut ids = BTreeSet::new();
    for n in 0..40 {
        let payout = asked(n).send().await.ok();
        ids.insert(payout["id"].as_str().expect("id").to_owned());
    }
    assert_eq!(ids.len(), 40, "each key is one payout");
    let made: i64 = app
        .sql()
        .await
        .query_one("SELECT count(*) FROM gateway.payout", &[])
        .await
        .expect("a count")
        .get(0);
    assert_eq!(made, 40);
    assert_eq!(balance(&app, id).await, (10_000, 0, 0));
    app.verify_books().await;
    each_fault_is_named(&app, id).await;
    app.stop().await;
}

/// What the audit ties together, untied one by one by the owner of the database.
async fn each_fault_is_named(app: &TestApp, id: &str) {
    let sql = app.sql().await;
    let book: i64 = sql
        .query_one("SELECT book_id FROM gateway.merchant WHERE id = $1", &[&id])
        .await
        .expect("a book")
        .get(0);
    let copied = |table: &str, with: &str| {
        format!(
            "INSERT INTO gateway.{table} SELECT (jsonb_populate_record(t, '{with}')).* FROM (SELECT t FROM gateway.{table} t
             WHERE book_id = {book} ORDER BY id LIMIT 1) one"
        )
    };
    let faults = [
        (copied("payout", r#"{"id": "po_made_up"}"#), "po_made_up"),
        (
            format!("INSERT INTO gateway.reserve_lot VALUES ({book}, 'rsv_made_up', 1, 'gbp', 100, 100, now(), now())"),
            "lots 100",
        ),
        (copied("balance_transaction", r#"{"id": "txn_made_up"}"#), ", lines"),
    ];
    for (fault, named) in faults {
        sql.execute(&fault, &[])
            .await
            .unwrap_or_else(|e| panic!("{fault}: {e:?}"));
        let verified = app.counterfoil(&["ledger", "verify"]).await;
        let text = tests::said(&verified);
        assert!(
            !verified.status.success() && text.contains(named),
            "{named} is not noticed:\n{text}"
        );
    }
}

/// More is owed than there is: the reserve pays before the platform does.
#[tokio::test]
async fn the_reserve_pays_what_is_owed_before_its_time() {
    let app = TestApp::shared().await;
    let id = &merchant(app, &checker(app).await).await;
    set(app, id, json!({ "reserve": { "percent": "50", "days": 30 } })).await;
    let sale = sell(app, id, 4_000).await;
    comes_to(app, id, (2_000, 0, 2_000)).await;
    pay_out(app, id, 2_000).await.ok();
    let refund = json!({ "payment_intent": sale["id"], "amount": 1_500 });
    app.post("/v1/refunds").account(id).params(refund).send().await.ok();
    wake(app, id).await;
    comes_to(app, id, (0, 0, 500)).await;
    app.verify_books().await;
}

#[tokio::test]
async fn a_part_is_kept_in_reserve_and_comes_back() {
    let app = TestApp::shared().await;
    let id = &merchant(app, &checker(app).await).await;
    set(app, id, json!({ "reserve": { "percent": "10", "days": 30 } })).await;
    sell(app, id, 10_005).await;
    comes_to(app, id, (9_005, 0, 1_000)).await; // half to even of 1000.5
    refused(&pay_out(app, id, 9_006).await, 400, "balance_insufficient");
    let due = "UPDATE gateway.reserve_lot l SET release_at = now() FROM gateway.merchant m WHERE m.book_id = l.book_id AND m.id = $1";
    app.sql().await.execute(due, &[id]).await.expect("time passes");
    wake(app, id).await;
    comes_to(app, id, (10_005, 0, 0)).await;
    app.verify_books().await;
}

#[tokio::test]
async fn what_is_owed_is_recovered_before_anything_is_paid_out() {
    let app = TestApp::shared().await;
    let id = &merchant(app, &checker(app).await).await;
    let sale = sell(app, id, 5_000).await;
    comes_to(app, id, (5_000, 0, 0)).await;
    pay_out(app, id, 4_500).await.ok();
    let refund = json!({ "payment_intent": sale["id"], "amount": 2_000 });
    app.post("/v1/refunds").account(id).params(refund).send().await.ok();
    assert_eq!(balance(app, id).await, (-1_500, 0, 0), "the platform advanced the rest");
    refused(&pay_out(app, id, 1).await, 400, "balance_insufficient");
    sell(app, id, 4_000).await;
    comes_to(app, id, (2_500, 0, 0)).await;
    let owed = "SELECT b.posted::bigint FROM ledger.balance b JOIN gateway.merchant m USING (book_id) WHERE m.id = $1 AND b.account = '1210.gbp'";
    let sql = app.sql().await;
    eventually("the debt is recovered in the books", || async {
        let row = sql.query_one(owed, &[id]).await.expect("a balance");
        (row.get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    pay_out(app, id, 2_500).await.ok();
    app.verify_books().await;
}

#[tokio::test]
async fn payouts_by_schedule_take_everything_once_and_say_what_they_paid() {
    let app = TestApp::shared().await;
    let checker = &checker(app).await;
    let id = &merchant(app, checker).await;
    set(app, id, json!({ "payouts": { "schedule": { "interval": "daily" } } })).await;
    let sale = sell(app, id, 3_000).await;
    comes_to(app, id, (3_000, 0, 0)).await;
    let sql = app.sql().await;
    let due = "UPDATE gateway.funds f SET payout_at = now(), check_at = now(), settled_through = f.settled_through FROM gateway.merchant m
               WHERE m.book_id = f.book_id AND m.id = $1 AND payout_at IS NOT NULL";
    eventually("the schedule is known", || async {
        (sql.execute(due, &[id]).await.ok()? == 1).then_some(())
    })
    .await;
    comes_to(app, id, (0, 0, 0)).await;
    let payouts = app.get("/v1/payouts").account(id).send().await.ok();
    let payouts = payouts["data"].as_array().expect("a list");
    assert_eq!(payouts.len(), 1);
    assert_eq!(
        (&payouts[0]["automatic"], &payouts[0]["amount"]),
        (&json!(true), &json!(3_000))
    );
    let path = format!(
        "/v1/balance_transactions?payout={}",
        payouts[0]["id"].as_str().expect("id")
    );
    let paid = app.get(&path).account(id).send().await.ok();
    let paid: Vec<_> = paid["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|line| line["source"].clone())
        .collect();
    assert_eq!(paid, [sale["latest_charge"].clone()]);

    // Paused, restricted, or without a bank account: nothing leaves.
    let pause = format!("/v1/accounts/{id}/payouts");
    app.post(&pause).params(json!({ "paused": true })).send().await.ok();
    sell(app, id, 800).await;
    comes_to(app, id, (800, 0, 0)).await;
    refused(&pay_out(app, id, 100).await, 403, "payouts_paused");
    let restrict = format!("/v1/accounts/{id}/restrict");
    app.post(&restrict)
        .params(json!({ "reason": "complaints" }))
        .send()
        .await
        .ok();
    refused(&pay_out(app, id, 100).await, 403, "merchant_not_active");
    let own = app.told("/restricted_keys/admin");
    let first = app.told("/merchants/0/id");
    let set_itself = app
        .post(&format!("/v1/accounts/{first}"))
        .key(&own)
        .params(json!({ "settings": { "reserve": { "percent": "0", "days": 0 } } }))
        .send()
        .await;
    refused(&set_itself, 403, "platform_key_required");
    app.verify_books().await;
}

#[tokio::test]
async fn a_bank_account_is_checked_sealed_and_never_shown() {
    let app = TestApp::shared().await;
    let id = &merchant(app, &checker(app).await).await;
    let path = format!("/v1/accounts/{id}/external_accounts");
    let add = async |country: &str, number: &str, routing: Option<&str>| {
        let mut bank = json!({ "country": country, "currency": "eur", "account_number": number });
        if let Some(routing) = routing {
            bank["routing_number"] = routing.into();
        }
        app.post(&path).params(json!({ "external_account": bank })).send().await
    };
    for (country, number, routing) in [
        ("DE", "DE89370400440532013001", None),
        ("FR", "DE89370400440532013000", None),
        ("US", "000123456789", None),
        ("US", "000123456789", Some("110000001")),
        ("DE", "12!", None),
    ] {
        refused(&add(country, number, routing).await, 400, "account_number_invalid");
    }
    let good = add("DE", "DE89 3704 0044 0532 0130 00", None).await.ok();
    add("US", "000123456789", Some("110000000")).await.ok();
    assert!(!good.to_string().contains("0532013"), "{good}");
    let row = app
        .sql()
        .await
        .query_one(
            "SELECT to_jsonb(b)::text, octet_length(number) FROM gateway.bank_account b WHERE id = $1",
            &[&good["id"].as_str()],
        )
        .await
        .expect("a row");
    assert!(!row.get::<_, String>(0).contains("0532013") && row.get::<_, i32>(1) > 30);
    let listed = app.get(&path).send().await.ok();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(3));
    let one = format!("{path}/{}", good["id"].as_str().expect("id"));
    let renamed = app
        .post(&one)
        .params(json!({ "account_holder_name": "Tide" }))
        .send()
        .await
        .ok();
    assert_eq!(renamed["account_holder_name"], "Tide");
    app.delete(&one).send().await.ok();
    assert_eq!(app.get(&one).send().await.status, 404);
}

async fn wake(app: &TestApp, id: &str) {
    let due =
        "UPDATE gateway.funds f SET check_at = now() FROM gateway.merchant m WHERE m.book_id = f.book_id AND m.id = $1";
    app.sql().await.execute(due, &[&id]).await.expect("wakes");
}
