//! A merchant's account from draft to its end, by two keys of the platform and one of its own: only an active one charges, and
//! nobody decides about what they filed.

use serde_json::{Value, json};
use tests::{Answer, TestApp, eventually, said};

/// An account with everything on file that an examination asks for.
pub fn on_file() -> Value {
    json!({
        "country": "GB", "default_currency": "gbp",
        "business_profile": { "name": "Tide & Co", "support_email": "help@tide.example", "mcc": "5942" },
        "company": { "name": "Tide Trading Ltd", "registration_number": "09876543",
                     "address": { "line1": "1 Quay", "city": "Bristol", "country": "GB" } },
        "return_policy": { "window_days": 14, "contact": "help@tide.example", "address": "1 Quay, Bristol" },
    })
}

/// A second key of the platform, for the second person.
pub async fn checker(app: &TestApp) -> String {
    let platform = app.told("/merchants/0/id");
    let made = app
        .counterfoil(&["keys", "create", "--merchant", &platform, "--platform", "--json"])
        .await;
    let made_key: Value = serde_json::from_slice(&made.stdout).unwrap_or_else(|_| panic!("{}", said(&made)));
    made_key["key"].as_str().expect("a key").to_owned()
}

/// A new active account; its id.
pub async fn active(app: &TestApp, checker: &str) -> String {
    let account = app.post("/v1/accounts").params(on_file()).send().await.ok();
    let id = account["id"].as_str().expect("an id").to_owned();
    step(app, &id, "submit", json!({}), None).await.ok();
    step(app, &id, "review", json!({}), Some(checker)).await.ok();
    step(app, &id, "approve", json!({}), Some(checker)).await.ok();
    id
}

async fn step(app: &TestApp, id: &str, action: &str, with: Value, key: Option<&str>) -> Answer {
    let request = app.post(&format!("/v1/accounts/{id}/{action}")).params(with);
    match key {
        Some(key) => request.key(key).send().await,
        None => request.send().await,
    }
}

async fn pay(app: &TestApp, account: &str, capture: &str) -> Answer {
    let payment = json!({ "amount": 2000, "currency": "gbp", "payment_method": "pm_card_visa", "confirm": true, "capture_method": capture });
    app.post("/v1/payment_intents")
        .account(account)
        .params(payment)
        .send()
        .await
}

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.text("/error/code")), (status, code), "{answer}");
}

#[tokio::test]
async fn an_account_is_examined_by_another_than_who_filed_it_and_only_then_charges() {
    let app = TestApp::shared().await;
    let checker = &checker(app).await;
    let draft = app
        .post("/v1/accounts")
        .params(json!({ "country": "GB", "default_currency": "gbp", "business_profile": { "name": "Tide & Co" } }))
        .send()
        .await
        .ok();
    let id = draft["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        (&draft["status"], &draft["charges_enabled"]),
        (&json!("draft"), &json!(false))
    );
    let due = draft["requirements"]["currently_due"].as_array().expect("a list");
    assert!(due.contains(&json!("return_policy.contact")), "{draft}");
    refused(&pay(app, &id, "automatic").await, 403, "merchant_not_active");
    let incomplete = step(app, &id, "submit", json!({}), None).await;
    refused(&incomplete, 400, "account_incomplete");

    let mut filed = on_file();
    for set_at_birth in ["country", "default_currency"] {
        filed.as_object_mut().expect("an object").remove(set_at_birth);
    }
    app.post(&format!("/v1/accounts/{id}")).params(filed).send().await.ok();
    refused(
        &step(app, &id, "approve", json!({}), Some(checker)).await,
        400,
        "account_unexpected_state",
    );
    step(app, &id, "submit", json!({}), None).await.ok();
    step(app, &id, "review", json!({}), None).await.ok();
    refused(
        &step(app, &id, "approve", json!({}), None).await,
        400,
        "second_person_required",
    );
    refused(&pay(app, &id, "automatic").await, 403, "merchant_not_active");
    let past = step(app, &id, "approve", json!({ "reverify_at": 1 }), Some(checker)).await;
    refused(&past, 400, "parameter_invalid_integer");
    let active = step(app, &id, "approve", json!({}), Some(checker)).await.ok();
    assert_eq!(
        (
            &active["status"],
            &active["charges_enabled"],
            &active["payouts_enabled"]
        ),
        (&json!("active"), &json!(true), &json!(true))
    );
    assert_eq!(active["requirements"]["currently_due"], json!([]));
    pay(app, &id, "automatic").await.ok();

    // What was examined stays complete, and every change of the policy is its next version.
    let changed = app
        .post(&format!("/v1/accounts/{id}"))
        .params(json!({ "return_policy": { "window_days": 30 } }))
        .send()
        .await
        .ok();
    assert_eq!(
        (
            &changed["return_policy"]["version"],
            &changed["return_policy"]["window_days"]
        ),
        (&json!(2), &json!(30))
    );
    let taken_away = app
        .post(&format!("/v1/accounts/{id}"))
        .form("business_profile[support_email]=")
        .send()
        .await;
    refused(&taken_away, 400, "account_incomplete");
    let told = app
        .get("/v1/events?type=account.updated&limit=100")
        .account(&id)
        .send()
        .await
        .ok();
    assert_eq!(
        told["data"].as_array().map(Vec::len),
        Some(6),
        "each step is told once: {told}"
    );
}

#[tokio::test]
async fn a_limited_account_gives_money_back_and_takes_none() {
    let app = TestApp::shared().await;
    let checker = &checker(app).await;
    let id = active(app, checker).await;
    let paid = pay(app, &id, "automatic").await.ok();
    let held = pay(app, &id, "manual").await.ok();
    refused(
        &step(app, &id, "suspend", json!({}), None).await,
        400,
        "parameter_missing",
    );
    let limited = step(app, &id, "restrict", json!({ "reason": "complaints" }), None)
        .await
        .ok();
    assert_eq!(
        (
            &limited["status"],
            &limited["status_reason"],
            &limited["payouts_enabled"]
        ),
        (&json!("restricted"), &json!("complaints"), &json!(false))
    );
    let before = booked(app, &id).await;
    refused(&pay(app, &id, "automatic").await, 403, "merchant_not_active");
    let capture = format!("/v1/payment_intents/{}/capture", held["id"].as_str().expect("id"));
    refused(
        &app.post(&capture).account(&id).send().await,
        403,
        "merchant_not_active",
    );
    assert_eq!(
        booked(app, &id).await,
        before,
        "a refusal books nothing and leaves no attempt"
    );
    let refund = json!({ "payment_intent": paid["id"] });
    let refund = app.post("/v1/refunds").account(&id).params(refund).send().await.ok();
    assert_eq!(refund["status"], "succeeded");
    let cancel = format!("/v1/payment_intents/{}/cancel", held["id"].as_str().expect("id"));
    app.post(&cancel).account(&id).send().await.ok();
    step(app, &id, "suspend", json!({ "reason": "fraud" }), None).await.ok();
    refused(
        &step(app, &id, "reinstate", json!({}), None).await,
        400,
        "second_person_required",
    );
    step(app, &id, "reinstate", json!({}), Some(checker)).await.ok();
    pay(app, &id, "automatic").await.ok();
    let own = app.told("/merchants/0/id");
    refused(
        &step(app, &own, "suspend", json!({ "reason": "mine" }), None).await,
        403,
        "account_own",
    );
}

#[tokio::test]
async fn past_its_date_an_account_is_restricted_and_applies_again() {
    let app = TestApp::shared().await;
    let checker = &checker(app).await;
    let id = active(app, checker).await;
    let sql = app.sql().await;
    let due = "UPDATE gateway.merchant SET reverify_at = now() WHERE id = $1";
    sql.execute(due, &[&id]).await.expect("time passes");
    let path = format!("/v1/accounts/{id}");
    let lapsed = eventually("the account is restricted", || async {
        let account = app.get(&path).send().await.ok();
        (account["status"] == "restricted").then_some(account)
    })
    .await;
    assert_eq!(
        (&lapsed["charges_enabled"], &lapsed["payouts_enabled"]),
        (&json!(false), &json!(false))
    );
    assert!(
        lapsed["status_reason"]
            .as_str()
            .is_some_and(|why| why.contains("re-verification")),
        "{lapsed}"
    );
    let too_late = step(app, &id, "reinstate", json!({}), Some(checker)).await;
    refused(&too_late, 400, "parameter_invalid_integer");
    step(app, &id, "submit", json!({}), None).await.ok();
    step(app, &id, "review", json!({}), None).await.ok();
    step(app, &id, "approve", json!({}), Some(checker)).await.ok();
    pay(app, &id, "automatic").await.ok();
}

#[tokio::test]
async fn an_account_ends_empty_and_by_two() {
    let app = TestApp::shared().await;
    let checker = &checker(app).await;
    let id = active(app, checker).await;
    let paid = pay(app, &id, "automatic").await.ok();
    let end = json!({ "reason": "closed shop" });
    let proposed = step(app, &id, "offboard", end.clone(), None).await.ok();
    assert_eq!(proposed["status"], "active");
    assert_eq!(
        step(app, &id, "offboard", end.clone(), None).await.ok()["status"],
        "active"
    );
    refused(
        &step(app, &id, "offboard", end.clone(), Some(checker)).await,
        400,
        "account_has_balance",
    );
    let refund = json!({ "payment_intent": paid["id"] });
    app.post("/v1/refunds").account(&id).params(refund).send().await.ok();
    let ended = step(app, &id, "offboard", end, Some(checker)).await.ok();
    assert_eq!(
        (&ended["status"], &ended["charges_enabled"]),
        (&json!("offboarded"), &json!(false))
    );
    refused(&pay(app, &id, "automatic").await, 403, "merchant_not_active");
    let back = step(app, &id, "reinstate", json!({}), Some(checker)).await;
    refused(&back, 400, "account_unexpected_state");
}

/// The database refuses by itself what the transition function refuses.
#[tokio::test]
async fn the_database_knows_the_life_of_an_account_too() {
    let app = TestApp::shared().await;
    let checker = &checker(app).await;
    let id = active(app, checker).await;
    let sql = app.sql().await;
    for change in [
        "status = 'draft'",
        "status = 'submitted'",
        "status = 'offboarded', decided_by = 'b'",
        "offboarding_by = 'a', status = 'offboarded', decided_by = 'b'", // proposed and done in one
        "details = '{}'",
        "name = ''",
        "country = 'US'",
        "book_id = 1",
    ] {
        let refusal = sql
            .execute(&format!("UPDATE gateway.merchant SET {change} WHERE id = $1"), &[&id])
            .await
            .expect_err(change);
        assert_eq!(
            refusal.as_db_error().and_then(|e| e.constraint()),
            Some("merchant_guard"),
            "{change}: {refusal:?}"
        );
    }
    sql.execute(
        "UPDATE gateway.merchant SET status = 'suspended', decided_by = 'a' WHERE id = $1",
        &[&id],
    )
    .await
    .expect("suspends");
    let alone = sql
        .execute("UPDATE gateway.merchant SET status = 'active' WHERE id = $1", &[&id])
        .await;
    assert!(alone.is_err(), "who limits an account reinstates it");
    let born = app.sql_as(Some("gateway_app")).await;
    let active = "INSERT INTO gateway.merchant SELECT (m).* FROM (SELECT jsonb_populate_record(t, '{\"book_id\": 990001, \"id\": \"acct_x\", \"status\": \"active\"}') AS m
                  FROM gateway.merchant t WHERE id = $1) made";
    assert!(
        born.execute(active, &[&id]).await.is_err(),
        "the service makes no active account"
    );
    assert!(
        sql.execute("DELETE FROM gateway.merchant WHERE id = $1", &[&id])
            .await
            .is_err()
    );
}

/// Journals and attempts of an account.
async fn booked(app: &TestApp, id: &str) -> (i64, i64) {
    let counts = "SELECT (SELECT count(*) FROM ledger.journal j WHERE j.book_id = m.book_id),
                         (SELECT count(*) FROM gateway.charge c WHERE c.book_id = m.book_id) FROM gateway.merchant m WHERE m.id = $1";
    let row = app.sql().await.query_one(counts, &[&id]).await.expect("counts");
    (row.get(0), row.get(1))
}
