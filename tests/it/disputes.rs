//! Chargebacks through the whole service: every path that the network can take, on the simulator's script, and the exceptions that a
//! person must decide. Each ends with the books proven.

use serde_json::{Value, json};
use tests::{Answer, TestApp, eventually, said};
use tokio::sync::OnceCell;

/// One instance for all of them.
pub(crate) async fn app() -> &'static TestApp {
    static APP: OnceCell<TestApp> = OnceCell::const_new();
    APP.get_or_init(|| TestApp::start_with(&["--permissive-scorer"])).await
}

#[tokio::test]
async fn every_path_of_the_network_ends_in_its_stage_and_money() {
    let app = app().await;
    let win = json!({ "action": "win" });
    let second = json!({ "action": "second_chargeback" });
    let lose = json!({ "action": "lose" });
    // what opens it, what follows, the stage at the end, principal taken and returned, and the share of 1000 that is gone
    let paths = [
        (json!({ "inquiry": true }), vec![win.clone()], "inquiry_closed", vec![]),
        (
            json!({ "inquiry": true }),
            vec![json!({ "action": "escalate" }), lose.clone()],
            "lost_final",
            vec![-1000],
        ),
        (json!({}), vec![win.clone()], "won_provisional", vec![-1000, 1000]),
        (
            json!({}),
            vec![win.clone(), second.clone()],
            "prearb_open",
            vec![-1000, 1000, -1000],
        ),
        (
            json!({}),
            vec![win.clone(), second.clone(), lose.clone()],
            "lost_final",
            vec![-1000, 1000, -1000],
        ),
        (
            json!({}),
            vec![win.clone(), second, win.clone()],
            "won_final",
            vec![-1000, 1000, -1000, 1000],
        ),
        (
            json!({}),
            vec![
                win.clone(),
                json!({ "action": "pre_arbitration" }),
                json!({ "action": "debit" }),
                lose.clone(),
            ],
            "lost_final",
            vec![-1000, 1000, -1000],
        ),
        (
            json!({ "announced": true }),
            vec![json!({ "action": "debit" }), lose.clone()],
            "lost_final",
            vec![-1000],
        ),
        (
            json!({ "announced": true }),
            vec![json!({ "action": "withdraw" })],
            "prevented",
            vec![],
        ),
        (
            json!({}),
            vec![json!({ "action": "withdraw" })],
            "prevented",
            vec![-1000, 1000],
        ),
        (
            json!({}),
            vec![lose.clone(), json!({ "action": "late_reversal" })],
            "lost_final",
            vec![-1000],
        ),
    ];
    let runs = paths.into_iter().map(|(opening, script, stage, lines)| async move {
        let mut order = json!({ "amount": 1000, "script": script });
        for (name, value) in opening.as_object().into_iter().flatten() {
            order[name] = value.clone();
        }
        let (paid, dispute) = disputed(app, 1500, &order).await;
        let found = at(app, &dispute, stage).await;
        let what = format!("the money of {script:?}, {lines:?}: {found}");
        eventually(&what, || async {
            let moved = principal(&app.get(&format!("/v1/disputes/{dispute}")).send().await.ok());
            (moved == lines).then_some(())
        })
        .await;
        (paid, dispute, stage, script)
    });
    let done = futures_util::future::join_all(runs).await;
    quiet(app).await;
    for (paid, dispute, stage, script) in &done {
        let story = format!("{script:?}");
        if story.contains("late_reversal") {
            let kinds = exceptions(app, dispute).await;
            assert_eq!(kinds, ["returned_after_loss 1000"], "{story}");
        }
        // What is not disputed can be refunded, and what is lost cannot.
        let all = refund(app, paid, json!({ "amount": 1500 })).await;
        let taken = ["lost_final", "prearb_open"].contains(stage);
        assert_eq!(all.status == 200, !taken, "{story}: {all}");
        if taken {
            let rest = refund(app, paid, json!({ "amount": 500 })).await;
            assert_eq!(rest.status, 200, "the rest of a partly disputed payment: {rest}");
        }
    }
    app.verify_books().await;
}

#[tokio::test]
async fn evidence_goes_out_once_in_each_round_and_pre_arbitration_is_a_round() {
    let app = app().await;
    let (_, dispute) = disputed(app, 2000, &json!({ "reason": "product_not_received" })).await;
    at(app, &dispute, "needs_response").await;
    let answer = |text: &str| json!({ "evidence": { "uncategorized_text": text }, "submit": true });
    let path = format!("/v1/disputes/{dispute}");
    let sent = app.post(&path).params(answer("the parcel arrived")).send().await.ok();
    assert_eq!(
        (&sent["stage"], &sent["evidence_details"]["submission_count"]),
        (&json!("under_review"), &json!(1))
    );
    let again = app.post(&path).params(answer("once more")).send().await;
    assert_eq!(
        (again.status, again.text("/error/code")),
        (400, "dispute_already_submitted")
    );
    // The issuer upholds; pre-arbitration is filed, declined, and ruled on.
    advance(app, &dispute, "uphold").await;
    let lost = at(app, &dispute, "lost_provisional").await;
    assert!(lost["evidence_details"]["due_by"].is_i64(), "{lost}");
    let filed = app
        .post(&path)
        .params(answer("signed for, here is the name"))
        .send()
        .await
        .ok();
    assert_eq!(filed["stage"], "prearb_filed", "{filed}");
    advance(app, &dispute, "arbitrate").await;
    at(app, &dispute, "arbitration").await;
    advance(app, &dispute, "win").await;
    at(app, &dispute, "won_final").await;
    quiet(app).await;

    // A second chargeback is contested in the same way.
    let (_, dispute) = disputed(
        app,
        2000,
        &json!({ "script": [{ "action": "win" }, { "action": "second_chargeback" }] }),
    )
    .await;
    at(app, &dispute, "prearb_open").await;
    let path = format!("/v1/disputes/{dispute}");
    let contested = app.post(&path).params(answer("the parcel arrived")).send().await.ok();
    assert_eq!(contested["evidence_details"]["submission_count"], 1, "{contested}");
    let told = app
        .get("/v1/events")
        .params(json!({ "type": "charge.dispute.updated", "limit": 100 }))
        .send()
        .await
        .ok();
    assert!(told.to_string().contains("lost_provisional") || told.to_string().contains("prearb_filed"));
    quiet(app).await;
    app.verify_books().await;
}

#[tokio::test]
async fn a_refund_before_the_chargeback_is_paid_twice_and_queued_for_a_person() {
    let app = app().await;
    let (paid, charge) = paid(app, 3000).await;
    assert_eq!(refund(app, &paid, json!({ "amount": 2500 })).await.status, 200);
    let opened = app
        .simulator("POST", "/admin/disputes")
        .json(&json!({ "charge": charge, "amount": 3000, "reason": "credit_not_processed" }))
        .send()
        .await
        .ok();
    assert_eq!(opened["amount"], 3000);
    let dispute = of_payment(app, &paid).await;
    at(app, &dispute, "needs_response").await;
    assert_eq!(exceptions(app, &dispute).await, ["double_credit 2500"]);
    let pack = app
        .get(&format!("/v1/disputes/{dispute}/evidence_pack"))
        .send()
        .await
        .ok();
    assert_eq!(pack["refunded_before"], true);
    assert_eq!(
        (&pack["refunds"][0]["amount"], &pack["refunds"][0]["status"]),
        (&json!(2500), &json!("succeeded"))
    );
    let refused = refund(app, &paid, json!({ "amount": 100 })).await;
    assert_eq!((refused.status, refused.text("/error/code")), (400, "charge_disputed"));
    quiet(app).await;
    app.verify_books().await;

    // A person decides, once, and is named.
    let listed = app.counterfoil(&["chargeback", "exceptions", "--json"]).await;
    let line = said(&listed);
    let line = line
        .lines()
        .find(|line| line.contains(&dispute))
        .expect("the exception");
    let exception: Value = serde_json::from_str(line).expect("JSON");
    let id = exception["id"].as_str().expect("an id");
    let resolve = [
        "chargeback",
        "resolve",
        id,
        "--by",
        "ann",
        "--resolution",
        "the payer was asked to return it",
    ];
    assert!(app.counterfoil(&resolve).await.status.success());
    assert!(!app.counterfoil(&resolve).await.status.success(), "it is closed");
    let shown = app.counterfoil(&["chargeback", "show", &dispute]).await;
    assert!(
        said(&shown).contains("J11") && said(&shown).contains("1130"),
        "{}",
        said(&shown)
    );
}

/// Refunds, a partial chargeback and its second debit at once: what is given back is never more than was captured, or an exception says
/// why. The books prove it payment by payment.
#[tokio::test]
async fn refunds_that_meet_chargebacks_give_back_no_more_than_there_is() {
    let app = app().await;
    let rounds = (0..12).map(|_| async {
        let (payment, charge) = paid(app, 1000).await;
        let order = json!({ "charge": charge, "amount": 600, "script": [{ "action": "win" }, { "action": "second_chargeback" }] });
        let dispute = app.simulator("POST", "/admin/disputes").json(&order);
        let (_, refunds) = tokio::join!(
            dispute.send(),
            futures_util::future::join_all((0..4).map(|_| refund(app, &payment, json!({ "amount": 400 }))))
        );
        for answer in &refunds {
            let known = ["", "charge_disputed", "amount_too_large", "charge_already_refunded", "lock_timeout"];
            // The acquirer may know of the chargeback before us: then it declines.
            assert!([200, 400, 409].contains(&answer.status), "{answer}");
            assert!(known.contains(&answer.text("/error/code")) || answer.status == 400, "{answer}");
        }
        payment
    });
    let payments = futures_util::future::join_all(rounds).await;
    quiet(app).await;
    let sql = app.sql().await;
    for payment in payments {
        let row = sql
            .query_one(
                "SELECT p.amount_refunded + p.amount_disputed - p.amount_received,
                        (SELECT coalesce(sum(amount), 0)::bigint FROM gateway.dispute_exception e
                         WHERE e.payment_id = p.id AND e.kind = 'double_credit')
                 FROM gateway.payment p WHERE p.id = $1",
                &[&payment],
            )
            .await
            .expect("a payment");
        let (over, told): (i64, i64) = (row.get(0), row.get(1));
        assert!(
            over <= 0 || told > 0,
            "{payment} gives back {over} too much and nobody is told"
        );
    }
    app.verify_books().await;
}

/// Evidence and acceptance meet: one of them is given, once.
#[tokio::test]
async fn a_dispute_is_answered_or_accepted_and_never_both() {
    let app = app().await;
    let rounds = (0..8).map(|_| async {
        let (_, dispute) = disputed(app, 700, &json!({})).await;
        at(app, &dispute, "needs_response").await;
        let path = format!("/v1/disputes/{dispute}");
        let evidence = json!({ "evidence": { "uncategorized_text": "sent" }, "submit": true });
        let (submitted, closed) = tokio::join!(
            app.post(&path).params(evidence).send(),
            app.post(&format!("{path}/close")).send()
        );
        let given = [&submitted, &closed]
            .into_iter()
            .filter(|answer| answer.status == 200)
            .count();
        assert_eq!(given, 1, "{submitted}\n{closed}");
        let stage = if submitted.status == 200 {
            "under_review"
        } else {
            "lost_final"
        };
        at(app, &dispute, stage).await;
    });
    futures_util::future::join_all(rounds).await;
    quiet(app).await;
    app.verify_books().await;
}

#[tokio::test]
async fn time_reminds_and_ends_what_was_provisional() {
    let app = app().await;
    let (_, won) = disputed(app, 900, &json!({ "script": [{ "action": "win" }] })).await;
    let (_, open) = disputed(app, 900, &json!({})).await;
    at(app, &won, "won_provisional").await;
    at(app, &open, "needs_response").await;
    quiet(app).await;
    let sql = app.sql().await;
    let timer = async |id: &str| -> (Option<String>, bool) {
        let row = sql
            .query_one(
                "SELECT timer, timer_at > now() FROM gateway.dispute WHERE id = $1",
                &[&id],
            )
            .await
            .expect("a dispute");
        (row.get(0), row.get::<_, Option<bool>>(1).unwrap_or_default())
    };
    assert_eq!(timer(&won).await, (Some("window".into()), true));
    assert_eq!(
        timer(&open).await,
        (Some("remind7".into()), true),
        "due in fifteen days"
    );
    let due = "UPDATE gateway.dispute SET timer_at = now() - interval '1 second' WHERE id = ANY($1)";
    sql.execute(due, &[&vec![&won, &open]]).await.expect("their time comes");
    at(app, &won, "won_final").await;
    for (next, told) in [("remind3", 1), ("remind1", 2), ("past_due", 3)] {
        eventually(next, || async {
            (timer(&open).await.0.as_deref() == Some(next)).then_some(())
        })
        .await;
        let events = events(app, "charge.dispute.response_due", &open).await;
        assert_eq!(events, told, "each reminder once");
        sql.execute(due, &[&vec![&open]]).await.expect("its time comes");
    }
    eventually("past due", || async { (timer(&open).await.0.is_none()).then_some(()) }).await;
    assert_eq!(events(app, "charge.dispute.past_due", &open).await, 1);
    app.verify_books().await;
}

/// A warning before any dispute is decided by a person: the money goes back, or the merchant stands by the payment.
#[tokio::test]
async fn a_warning_of_fraud_is_refunded_or_dismissed_once() {
    let app = app().await;
    let warned = async || {
        let sale = json!({ "amount": 1200, "currency": "usd", "payment_method": "pm_card_createIssuerFraudRecord", "confirm": true });
        let payment = app.post("/v1/payment_intents").params(sale).send().await.ok();
        let path = format!("/v1/radar/early_fraud_warnings?payment_intent={}", text(&payment, "id"));
        eventually("the warning", || async {
            let found = app.get(&path).send().await.ok();
            found["data"][0]["id"].as_str().map(str::to_owned)
        })
        .await
    };
    let shown = async |id: &str| {
        app.get(&format!("/v1/radar/early_fraud_warnings/{id}"))
            .send()
            .await
            .ok()
    };
    let first = warned().await;
    let open = shown(&first).await;
    assert_eq!((&open["stage"], &open["actionable"]), (&json!("alert"), &json!(true)));
    assert_eq!(
        open["decide_by"].as_i64(),
        open["created"].as_i64().map(|at| at + 86_400)
    );
    let refund = app
        .post(&format!("/v1/radar/early_fraud_warnings/{first}/refund"))
        .send()
        .await
        .ok();
    assert_eq!(
        (&refund["amount"], &refund["reason"]),
        (&json!(1200), &json!("fraudulent"))
    );
    let closed = shown(&first).await;
    assert_eq!(
        (&closed["stage"], &closed["outcome"]),
        (&json!("alert_closed"), &json!("refunded"))
    );

    let second = warned().await;
    let path = format!("/v1/radar/early_fraud_warnings/{second}/dismiss");
    let bare = app.post(&path).send().await;
    assert_eq!((bare.status, bare.text("/error/param")), (400, "reason"));
    let reason = json!({ "reason": "the buyer was here with the card" });
    let dismissed = app.post(&path).params(reason.clone()).send().await.ok();
    assert_eq!(
        (&dismissed["stage"], &dismissed["outcome"]),
        (&json!("alert_closed"), &json!("dismissed"))
    );
    assert_eq!(app.post(&path).params(reason).send().await.status, 400, "once");
    assert_eq!(shown(&second).await["outcome"], "dismissed");
}

#[tokio::test]
async fn the_platform_bears_a_loss_where_it_says_so_before() {
    let app = app().await;
    let (_, dispute) = disputed(app, 1300, &json!({})).await;
    at(app, &dispute, "needs_response").await;
    let bear = ["chargeback", "bear", &dispute, "--who", "platform", "--by", "ann"];
    let said_so = app.counterfoil(&bear).await;
    assert!(said_so.status.success(), "{}", said(&said_so));
    advance(app, &dispute, "lose").await;
    let lost = at(app, &dispute, "lost_final").await;
    assert_eq!(
        (&lost["borne_by"], principal(&lost)),
        (&json!("platform"), vec![-1300, 1300])
    );
    let booked: i64 = app
        .sql()
        .await
        .query_one(
            "SELECT count(*) FROM ledger.journal WHERE code = 'J16' AND reference = $1",
            &[&dispute],
        )
        .await
        .expect("a count")
        .get(0);
    assert_eq!(booked, 1);
    assert!(!app.counterfoil(&bear).await.status.success(), "too late");
    quiet(app).await;
    app.verify_books().await;
}

/// Pays, and has the network dispute it: the payment's id and the dispute's.
pub(crate) async fn disputed(app: &TestApp, amount: i64, order: &Value) -> (String, String) {
    let (payment, charge) = paid(app, amount).await;
    let mut order = order.clone();
    order["charge"] = charge.into();
    app.simulator("POST", "/admin/disputes").json(&order).send().await.ok();
    let dispute = of_payment(app, &payment).await;
    (payment, dispute)
}

async fn paid(app: &TestApp, amount: i64) -> (String, String) {
    let sale = json!({ "amount": amount, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true });
    let payment = app.post("/v1/payment_intents").params(sale).send().await.ok();
    let charge = acquirers_charge(app, &payment).await;
    (text(&payment, "id").to_owned(), charge)
}

pub(crate) async fn acquirers_charge(app: &TestApp, payment: &Value) -> String {
    let charge = app
        .get(&format!("/v1/charges/{}", text(payment, "latest_charge")))
        .send()
        .await
        .ok();
    text(&charge, "acquirer_reference").to_owned()
}

pub(crate) async fn of_payment(app: &TestApp, payment: &str) -> String {
    eventually("the dispute", || async {
        let found = app
            .get(&format!("/v1/disputes?payment_intent={payment}"))
            .send()
            .await
            .ok();
        found["data"][0]["id"].as_str().map(str::to_owned)
    })
    .await
}

pub(crate) async fn at(app: &TestApp, dispute: &str, stage: &str) -> Value {
    eventually(&format!("{dispute} at {stage}"), || async {
        let found = app.get(&format!("/v1/disputes/{dispute}")).send().await.ok();
        (found["stage"] == stage).then_some(found)
    })
    .await
}

async fn advance(app: &TestApp, dispute: &str, action: &str) {
    let row = app.sql().await;
    let theirs: String = row
        .query_one("SELECT acquirer_id FROM gateway.dispute WHERE id = $1", &[&dispute])
        .await
        .expect("a dispute")
        .get(0);
    let path = format!("/admin/disputes/{theirs}/advance");
    app.simulator("POST", &path)
        .json(&json!({ "action": action }))
        .send()
        .await
        .ok();
}

pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}

fn principal(dispute: &Value) -> Vec<i64> {
    let lines = dispute["balance_transactions"].as_array().into_iter().flatten();
    lines.filter_map(|line| line["amount"].as_i64()).collect()
}

async fn refund(app: &TestApp, payment: &str, mut wanted: Value) -> Answer {
    wanted["payment_intent"] = payment.into();
    app.post("/v1/refunds").params(wanted).send().await
}

async fn exceptions(app: &TestApp, dispute: &str) -> Vec<String> {
    let rows = app
        .sql()
        .await
        .query(
            "SELECT kind || ' ' || amount FROM gateway.dispute_exception WHERE dispute_id = $1 ORDER BY id",
            &[&dispute],
        )
        .await
        .expect("exceptions");
    rows.iter().map(|row| row.get(0)).collect()
}

async fn events(app: &TestApp, kind: &str, dispute: &str) -> i64 {
    app.sql()
        .await
        .query_one(
            "SELECT count(*) FROM gateway.event WHERE type = $1 AND object_id = $2",
            &[&kind, &dispute],
        )
        .await
        .expect("a count")
        .get(0)
}

/// Every callback is done.
async fn quiet(app: &TestApp) {
    let sql = app.sql().await;
    eventually("every callback is done", || async {
        let open = "SELECT count(*) FROM gateway.callback WHERE due_at IS NOT NULL";
        let open: i64 = sql.query_one(open, &[]).await.expect("a count").get(0);
        (open == 0).then_some(())
    })
    .await;
}
