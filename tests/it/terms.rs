//! Fees in versions: a payment keeps what was in force when it was made, a change is told before or agreed by two, and the fee in the
//! books is the one that the payment disclosed.

use crate::accounts::{active, checker};
use serde_json::{Value, json};
use tests::{Answer, TestApp};

async fn propose(app: &TestApp, account: &str, with: Value) -> Answer {
    let mut body = json!({ "kind": "fee_schedule", "account": account });
    body.as_object_mut()
        .expect("an object")
        .extend(with.as_object().expect("an object").clone());
    app.post("/v1/terms").params(body).send().await
}

async fn pay(app: &TestApp, account: &str, with: Value) -> Value {
    let mut body = json!({ "amount": 10_050, "currency": "gbp", "payment_method": "pm_card_visa", "confirm": true, "expand": ["latest_charge.balance_transaction"] });
    body.as_object_mut()
        .expect("an object")
        .extend(with.as_object().expect("an object").clone());
    app.post("/v1/payment_intents")
        .account(account)
        .params(body)
        .send()
        .await
        .ok()
}

fn fee(payment: &Value) -> (i64, i64, Value) {
    let row = &payment["latest_charge"]["balance_transaction"];
    let told = &payment["confirmation"]["fee"];
    (
        row["fee"].as_i64().expect("a fee"),
        told["amount"].as_i64().expect("a fee"),
        told["schedule"].clone(),
    )
}

#[tokio::test]
async fn a_payment_keeps_the_fee_it_disclosed_and_a_change_takes_notice_or_two() {
    let app = TestApp::shared().await;
    let checker = &checker(app).await;
    let id = &active(app, checker).await;
    let free = pay(app, id, json!({})).await;
    assert_eq!(fee(&free), (0, 0, Value::Null), "nothing was agreed");
    let confirmation = &free["confirmation"];
    assert_eq!(
        (
            &confirmation["payee"],
            &confirmation["amount"],
            &confirmation["return_policy"]["window_days"]
        ),
        (&json!("Tide Trading Ltd"), &json!(10_050), &json!(14))
    );

    let rates = json!({ "percent": "3", "rates": { "gbp": { "percent": "1", "fixed": 20 } } });
    let first = propose(app, id, rates).await.ok();
    assert_eq!((&first["status"], &first["number"]), (&json!("approved"), &json!(1)));
    let created = pay(
        app,
        id,
        json!({ "confirm": false, "payment_method": "pm_card_visa", "expand": [] }),
    )
    .await;
    assert_eq!(
        created["confirmation"]["fee"]["amount"], 120,
        "told before it is confirmed: {created}"
    );
    // 1 % of 100.50 is 100.5: half to even, and 20.
    assert_eq!(fee(&pay(app, id, json!({})).await), (120, 120, first["id"].clone()));
    assert_eq!(
        fee(&pay(app, id, json!({ "currency": "eur" })).await),
        (302, 302, first["id"].clone())
    );

    let soon = propose(app, id, json!({ "percent": "9" })).await;
    assert_eq!(
        (soon.status, soon.text("/error/code")),
        (400, "notice_period_too_short"),
        "{soon}"
    );
    let past = propose(app, id, json!({ "percent": "9", "effective_at": 1 })).await;
    assert_eq!(
        (past.status, past.text("/error/param")),
        (400, "effective_at"),
        "{past}"
    );
    let proposed = propose(app, id, json!({ "percent": "9", "override_reason": "both agree" }))
        .await
        .ok();
    assert_eq!(proposed["status"], "proposed");
    assert_eq!(fee(&pay(app, id, json!({})).await).0, 120, "one alone changes nothing");
    let approve = format!("/v1/terms/{}/approve", proposed["id"].as_str().expect("id"));
    let alone = app.post(&approve).send().await;
    assert_eq!(
        (alone.status, alone.text("/error/code")),
        (400, "second_person_required"),
        "{alone}"
    );
    let approved = app.post(&approve).key(checker).send().await.ok();
    assert_eq!(
        (&approved["status"], &approved["number"]),
        (&json!("approved"), &json!(2))
    );
    assert_eq!(fee(&pay(app, id, json!({})).await), (904, 904, proposed["id"].clone()));

    // What was made under the first version ends under it.
    let confirm = format!("/v1/payment_intents/{}/confirm", created["id"].as_str().expect("id"));
    let old = app
        .post(&confirm)
        .account(id)
        .params(json!({ "expand": ["latest_charge.balance_transaction"] }))
        .send()
        .await
        .ok();
    assert_eq!(fee(&old), (120, 120, first["id"].clone()));
    let listed = app.get("/v1/terms").account(id).send().await.ok();
    assert_eq!(listed["data"][0]["id"], proposed["id"], "{listed}");
    for fault in [
        "percent=101",
        "percent=-1",
        "percent=1.00001",
        "rates[xyz][percent]=1",
        "rates[gbp][fixed]=-1",
        "",
    ] {
        let form = format!("kind=fee_schedule&account={id}&override_reason=x&{fault}");
        let refused = app.post("/v1/terms").form(&form).send().await;
        assert_eq!(refused.status, 400, "{fault}: {refused}");
    }
    app.verify_books().await;
}

#[tokio::test]
async fn the_database_keeps_the_notice_and_the_text_too() {
    let app = TestApp::shared().await;
    let checker = &checker(app).await;
    let id = &active(app, checker).await;
    let first = propose(app, id, json!({ "percent": "1" })).await.ok();
    let proposed = propose(app, id, json!({ "percent": "2", "override_reason": "now" }))
        .await
        .ok();
    let sql = app.sql().await;
    let constraint = async |change: &str, terms: &Value| {
        let refusal = sql
            .execute(
                &format!("UPDATE gateway.terms SET {change} WHERE id = $1"),
                &[&terms["id"].as_str()],
            )
            .await
            .expect_err(change);
        refusal.as_db_error().and_then(|e| e.constraint()).map(str::to_owned)
    };
    assert_eq!(
        constraint("status = 'approved'", &proposed).await.as_deref(),
        Some("terms_notice")
    );
    assert_eq!(
        constraint("status = 'approved', decided_by = created_by", &proposed)
            .await
            .as_deref(),
        Some("terms_notice")
    );
    assert_eq!(
        constraint("content = '{}'", &proposed).await.as_deref(),
        Some("terms_guard")
    );
    assert_eq!(
        constraint("status = 'rejected'", &first).await.as_deref(),
        Some("terms_guard")
    );
}
