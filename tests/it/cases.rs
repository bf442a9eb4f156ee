//! Cases over HTTPS against the real service: a full case, each remedy with its journals, chargebacks and refunds that meet a case,
//! time, and what is sealed. The books are verified after each.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::{Answer, Request, TestApp, eventually};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

/// One instance for all, one test at a time: each ends with the whole books verified.
pub async fn app() -> MutexGuard<'static, TestApp> {
    static APP: OnceCell<Mutex<TestApp>> = OnceCell::const_new();
    let start = || async { Mutex::new(TestApp::start_with(&["--permissive-scorer"]).await) };
    APP.get_or_init(start).await.lock().await
}

pub async fn pay(app: &TestApp, amount: i64, method: &str) -> Value {
    let sale = json!({ "amount": amount, "currency": "usd", "payment_method": method, "confirm": true });
    app.post("/v1/payment_intents").params(sale).send().await.ok()
}

pub async fn open(app: &TestApp, payment: &Value, r#type: &str, amount: i64) -> Value {
    let case = json!({
        "payment_intent": payment["id"], "type": r#type, "amount": amount, "reason": "It broke on the first day.", "channel": "phone",
    });
    app.post("/v1/cases").params(case).send().await.ok()
}

pub fn request<'a>(app: &'a TestApp, case: &Value, act: &str, with: Value) -> Request<'a> {
    let id = case["id"].as_str().expect("an id");
    app.post(&format!("/v1/cases/{id}/{act}")).params(with)
}

pub async fn act(app: &TestApp, case: &Value, act: &str, with: Value) -> Value {
    request(app, case, act, with).send().await.ok()
}

pub fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.text("/error/code")), (status, code), "{answer}");
}

pub async fn now(app: &TestApp, case: &Value) -> Value {
    let id = case["id"].as_str().expect("an id");
    app.get(&format!("/v1/cases/{id}")).send().await.ok()
}

/// From the complaint to mediation, with everybody heard; the id of the entry that a decision may cite.
pub async fn mediated(app: &TestApp, case: &Value) -> String {
    let verified = json!({ "finding": "confirmed", "facts": "The photographs show it.", "officer": "ann" });
    act(app, case, "verify", verified).await;
    let contested = act(app, case, "contest", json!({ "reason": "It was whole when it left." })).await;
    assert_eq!(contested["status"], "mediation", "{contested}");
    let said = act(
        app,
        case,
        "evidence",
        json!({ "text": "A photograph of the handle.", "by": "consumer" }),
    )
    .await;
    said["evidence"][0]["id"].as_str().expect("an entry").to_owned()
}

pub async fn decide(app: &TestApp, case: &Value, entry: &str, mut decision: Value) -> Value {
    decision["reasons"] = "The photographs show a broken handle.".into();
    decision["evidence"] = json!([entry]);
    decision["officer"] = "ann".into();
    act(app, case, "decision", decision).await
}

/// What the journals of a case and of its refund booked, in order.
async fn journals(app: &TestApp, case: &Value) -> Vec<String> {
    let rows = app
        .sql()
        .await
        .query(
            "SELECT DISTINCT code, journal_id FROM ledger.posting WHERE reference = $1
                OR reference IN (SELECT id FROM gateway.refund WHERE case_id = $1) ORDER BY journal_id",
            &[&case["id"].as_str().expect("an id")],
        )
        .await
        .expect("journals");
    rows.iter().map(|row| row.get(0)).collect()
}

pub async fn execute(app: &TestApp, case: &Value) -> Value {
    act(app, case, "execute", json!({})).await;
    now(app, case).await
}

#[tokio::test]
async fn a_full_case_from_complaint_to_refund_and_rating() {
    let app = app().await;
    let payment = pay(&app, 2_000, "pm_card_visa").await;
    let case = open(&app, &payment, "quality", 1_500).await;
    assert_eq!(
        (
            &case["object"],
            &case["status"],
            &case["hold"]["amount"],
            &case["hold"]["status"]
        ),
        (&json!("case"), &json!("verifying"), &json!(1_500), &json!("held")),
        "{case}"
    );
    let created = case["created"].as_i64().expect("a time");
    assert_eq!(case["verify_due"].as_i64().map(|due| due - created), Some(24 * 3600));
    let kinds: Vec<_> = case["timeline"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|e| e["kind"].clone())
        .collect();
    assert_eq!(kinds, ["created", "accepted"]);
    let held = app
        .get(&format!("/v1/payment_intents/{}", payment["id"].as_str().expect("id")))
        .send()
        .await;
    assert_eq!(held.status, 200);
    // What is frozen is not refunded beside the case.
    let beside = json!({ "payment_intent": payment["id"], "amount": 501 });
    refused(
        &app.post("/v1/refunds").params(beside).send().await,
        400,
        "amount_too_large",
    );

    act(&app, &case, "assign", json!({ "owner": "ann" })).await;
    act(&app, &case, "messages", json!({ "text": "We are looking at it." })).await;
    let entry = mediated(&app, &case).await;
    let without = json!({ "remedy": "refund_full", "reasons": "x" });
    refused(
        &request(&app, &case, "decision", without).send().await,
        400,
        "parameter_missing",
    );
    let decided = decide(
        &app,
        &case,
        &entry,
        json!({ "remedy": "refund_partial", "amount": 1_200 }),
    )
    .await;
    assert_eq!(
        (&decided["status"], &decided["outcome"]),
        (&json!("decided"), &json!("upheld"))
    );
    let again = request(&app, &case, "contest", json!({ "reason": "x" })).send().await;
    refused(&again, 409, "case_unexpected_state");

    let execute = request(&app, &case, "execute", json!({})).idempotency_key("case-execute");
    let first = execute.clone().send().await;
    assert_eq!((first.status, first.text("/status")), (200, "executing"), "{first}");
    let replay = execute.send().await;
    assert!(replay.replayed() && replay.body == first.body, "the stored answer");
    let closed = now(&app, &case).await;
    assert_eq!(
        (&closed["status"], &closed["refund_status"], &closed["hold"]["amount"]),
        (&json!("closed"), &json!("done"), &json!(0)),
        "{closed}"
    );
    assert_eq!(journals(&app, &case).await, ["J20", "J21", "J22", "J08b"]);
    assert_eq!(closed["notice"]["measure"], "refund_partial");
    assert!(closed["notice"]["appeal"]["until"].is_i64(), "{closed}");
    let refund = app
        .get(&format!("/v1/refunds/{}", closed["refund"].as_str().expect("id")))
        .send()
        .await
        .ok();
    assert_eq!(
        (&refund["amount"], &refund["status"]),
        (&json!(1_200), &json!("succeeded"))
    );
    let rated = act(&app, &case, "rating", json!({ "score": 5, "comment": "Quick." })).await;
    assert_eq!(rated["rating"]["score"], 5);
    let events = app.get("/v1/events").form("type=case.closed&limit=1").send().await.ok();
    assert_eq!(events["data"][0]["data"]["object"]["id"], case["id"]);
    app.verify_books().await;
}

#[tokio::test]
async fn a_settlement_a_rejection_and_a_withdrawal() {
    let app = app().await;
    let payment = pay(&app, 3_000, "pm_card_visa").await;
    let settled = open(&app, &payment, "price", 400).await;
    act(
        &app,
        &settled,
        "verify",
        json!({ "finding": "inconclusive", "facts": "Both may be right." }),
    )
    .await;
    let offer = json!({ "remedy": "refund_partial", "amount": 250, "note": "Half, and an apology." });
    let offered = act(&app, &settled, "offers", offer).await;
    let offer = offered["offers"][0]["id"].clone();
    let accepted = act(&app, &settled, "accept_offer", json!({ "offer": offer })).await;
    assert_eq!(
        (&accepted["status"], &accepted["outcome"]),
        (&json!("decided"), &json!("settled"))
    );
    let closed = execute(&app, &settled).await;
    assert_eq!(
        (&closed["status"], &closed["decision"]["refund"]),
        (&json!("closed"), &json!(250))
    );

    let rejected = open(&app, &payment, "service", 500).await;
    let entry = mediated(&app, &rejected).await;
    let done = decide(&app, &rejected, &entry, json!({ "remedy": "rejected" })).await;
    assert_eq!(
        (&done["status"], &done["outcome"]),
        (&json!("closed"), &json!("rejected"))
    );
    assert_eq!(journals(&app, &rejected).await, ["J20", "J22"]);

    let withdrawn = open(&app, &payment, "other", 500).await;
    let done = act(&app, &withdrawn, "withdraw", json!({ "reason": "It works after all." })).await;
    assert_eq!(
        (&done["status"], &done["hold"]["amount"]),
        (&json!("closed"), &json!(0))
    );
    app.verify_books().await;
}

#[tokio::test]
async fn a_duplicate_waits_for_an_officer_and_is_never_frozen_twice() {
    let app = app().await;
    let payment = pay(&app, 1_000, "pm_card_visa").await;
    let first = open(&app, &payment, "not_received", 1_000).await;
    let second = open(&app, &payment, "not_received", 1_000).await;
    assert_eq!(
        (&second["status"], &second["duplicate_of"], &second["hold"]["amount"]),
        (&json!("submitted"), &first["id"], &json!(0))
    );
    let third = open(&app, &payment, "service", 1_000).await;
    assert_eq!(
        (&third["status"], &third["hold"]["amount"]),
        (&json!("verifying"), &json!(0)),
        "nothing is left to freeze"
    );
    let refused = act(
        &app,
        &second,
        "not_accept",
        json!({ "reason": "It is the same complaint." }),
    )
    .await;
    assert_eq!(
        (&refused["status"], &refused["not_accepted_reason"]),
        (&json!("not_accepted"), &json!("It is the same complaint."))
    );
    app.verify_books().await;
}

#[tokio::test]
async fn goods_go_back_or_out() {
    let app = app().await;
    let payment = pay(&app, 4_000, "pm_card_visa").await;
    let returned = open(&app, &payment, "not_as_described", 2_000).await;
    let entry = mediated(&app, &returned).await;
    decide(
        &app,
        &returned,
        &entry,
        json!({ "remedy": "return_and_refund", "amount": 2_000 }),
    )
    .await;
    refused(
        &request(&app, &returned, "execute", json!({})).send().await,
        409,
        "case_not_executable",
    );
    act(&app, &returned, "execute", json!({ "goods_received": true })).await;
    assert_eq!(now(&app, &returned).await["status"], "closed");

    let exchanged = open(&app, &payment, "quality", 1_000).await;
    let entry = mediated(&app, &exchanged).await;
    let decided = decide(&app, &exchanged, &entry, json!({ "remedy": "exchange" })).await;
    assert_eq!(decided["deadlines"][0]["kind"], "exchange", "{decided}");
    let done = act(&app, &exchanged, "shipped", json!({ "shipment": "UPS 1Z999" })).await;
    assert_eq!(
        (&done["status"], &done["decision"]["shipment"]),
        (&json!("closed"), &json!("UPS 1Z999"))
    );
    assert_eq!(journals(&app, &exchanged).await, ["J20", "J22"]);
    app.verify_books().await;
}

#[tokio::test]
async fn compensation_goes_by_bank_and_the_platform_may_pay_first() {
    let app = app().await;
    let payment = pay(&app, 5_000, "pm_card_visa").await;
    let hurt = open(&app, &payment, "quality", 1_000).await;
    let entry = mediated(&app, &hurt).await;
    let beyond = json!({ "remedy": "refund_partial", "amount": 1_000, "compensation": 3_000, "reasons": "x", "evidence": [entry], "officer": "ann",
        "basis": "Art. 55: three times the price of the thing" });
    refused(
        &request(&app, &hurt, "decision", beyond.clone()).send().await,
        400,
        "second_person_required",
    );
    let mut beyond = beyond;
    beyond["approver"] = "bob".into();
    decide(&app, &hurt, &entry, beyond).await;
    let executing = execute(&app, &hurt).await;
    assert_eq!(
        (&executing["status"], &executing["owed"]["compensation"]),
        (&json!("executing"), &json!(3_000)),
        "the bank has not paid"
    );
    let paid = act(&app, &hurt, "paid", json!({ "bank_reference": "2026112300417" })).await;
    assert_eq!(
        (&paid["status"], &paid["owed"]["compensation"]),
        (&json!("closed"), &json!(0))
    );
    refused(
        &request(&app, &hurt, "paid", json!({ "bank_reference": "2" }))
            .send()
            .await,
        409,
        "case_nothing_owed",
    );

    let advanced = open(&app, &payment, "not_received", 800).await;
    let entry = mediated(&app, &advanced).await;
    decide(
        &app,
        &advanced,
        &entry,
        json!({ "remedy": "platform_advance", "amount": 800, "approver": "bob" }),
    )
    .await;
    let closed = execute(&app, &advanced).await;
    assert_eq!(
        (&closed["status"], &closed["owed"]["recourse"]),
        (&json!("closed"), &json!(800)),
        "{closed}"
    );
    assert!(journals(&app, &advanced).await.contains(&"J24".to_owned()));
    app.verify_books().await;
}

#[tokio::test]
async fn an_appeal_is_decided_by_another_officer_once_and_pays_once() {
    let app = app().await;
    let payment = pay(&app, 1_000, "pm_card_visa").await;
    let case = open(&app, &payment, "quality", 1_000).await;
    let entry = mediated(&app, &case).await;
    decide(&app, &case, &entry, json!({ "remedy": "rejected" })).await;
    let appealed = act(
        &app,
        &case,
        "appeal",
        json!({ "reason": "Look at the second photograph." }),
    )
    .await;
    assert_eq!(
        (&appealed["status"], &appealed["hold"]["amount"]),
        (&json!("appeal_review"), &json!(1_000))
    );
    let change = json!({ "result": "change", "remedy": "refund_full", "reasons": "The second photograph shows it.", "evidence": [entry] });
    let by = |officer: &str| {
        let mut change = change.clone();
        change["officer"] = officer.into();
        change
    };
    refused(
        &request(&app, &case, "appeal_decision", by("ann")).send().await,
        403,
        "second_person_required",
    );
    act(&app, &case, "appeal_decision", by("bob")).await;
    let done = now(&app, &case).await;
    assert_eq!(
        (&done["status"], &done["outcome"], &done["refund_status"]),
        (&json!("closed_final"), &json!("upheld"), &json!("done")),
        "{done}"
    );
    refused(
        &request(&app, &case, "appeal", json!({ "reason": "Again." }))
            .send()
            .await,
        409,
        "case_unexpected_state",
    );
    assert_eq!(journals(&app, &case).await, ["J20", "J22", "J20", "J21", "J08b"]);
    let left = json!({ "payment_intent": payment["id"] });
    refused(
        &app.post("/v1/refunds").params(left).send().await,
        400,
        "charge_already_refunded",
    );
    app.verify_books().await;
}

/// The card network takes the money of a case: one hold, which changes its owner, and a case that ends with the chargeback.
#[tokio::test]
async fn a_chargeback_takes_the_hold_over_and_ends_the_case() {
    let app = app().await;
    for lost in [true, false] {
        let payment = pay(&app, 1_500, "pm_card_visa").await;
        let case = open(&app, &payment, "unauthorized", 1_500).await;
        let dispute = disputed(&app, &payment, 1_500).await;
        let suspended = eventually("the case is suspended", async || {
            let case = now(&app, &case).await;
            (case["status"] == "linked_suspended").then_some(case)
        })
        .await;
        assert_eq!(
            (&suspended["hold"]["status"], &suspended["dispute"]),
            (&json!("with_dispute"), &dispute["id"])
        );
        refused(
            &request(&app, &case, "verify", json!({ "finding": "confirmed", "facts": "x" }))
                .send()
                .await,
            409,
            "case_unexpected_state",
        );
        app.verify_books().await;
        let during = open(&app, &payment, "service", 100).await;
        assert_eq!(
            during["status"], "linked_suspended",
            "a case beside an open chargeback waits too"
        );
        let id = dispute["id"].as_str().expect("id");
        if lost {
            app.post(&format!("/v1/disputes/{id}/close")).send().await.ok();
        } else {
            let evidence = json!({ "evidence": { "uncategorized_text": "winning_evidence" }, "submit": true });
            app.post(&format!("/v1/disputes/{id}"))
                .params(evidence)
                .send()
                .await
                .ok();
        }
        let ended = eventually("the case ends with it", async || {
            let case = now(&app, &case).await;
            (case["status"] == "closed").then_some(case)
        })
        .await;
        let outcome = if lost { "charged_back" } else { "chargeback_won" };
        assert_eq!(ended["outcome"], outcome, "{ended}");
        let holds = journals(&app, &case).await;
        assert_eq!(
            holds.iter().filter(|code| *code == "J20").count(),
            1,
            "one hold: {holds:?}"
        );
        if lost {
            // A case never pays on top of a lost chargeback.
            act(&app, &case, "appeal", json!({ "reason": "And my time?" })).await;
            let entry = ended["timeline"][0]["id"].clone();
            let more = json!({ "result": "change", "remedy": "refund_full", "reasons": "x", "evidence": [entry], "officer": "bob" });
            refused(
                &request(&app, &case, "appeal_decision", more).send().await,
                400,
                "amount_too_large",
            );
        }
        eventually("callbacks are done", async || {
            let open = "SELECT count(*) FROM gateway.callback WHERE due_at IS NOT NULL";
            (count(&app, open).await == 0).then_some(())
        })
        .await;
        app.verify_books().await;
    }
}

/// The acquirer's dispute about this payment; what we know of it.
async fn disputed(app: &TestApp, payment: &Value, amount: i64) -> Value {
    let charge = payment["latest_charge"].as_str().expect("a charge");
    let charge = app.get(&format!("/v1/charges/{charge}")).send().await.ok();
    let told = json!({ "charge": charge["acquirer_reference"], "amount": amount });
    app.simulator("POST", "/admin/disputes").json(&told).send().await.ok();
    let filter = format!("payment_intent={}", payment["id"].as_str().expect("id"));
    eventually("a dispute", async || {
        let listed = app.get("/v1/disputes").form(&filter).send().await.ok();
        (!listed["data"][0].is_null()).then(|| listed["data"][0].clone())
    })
    .await
}

pub async fn count(app: &TestApp, sql: &str) -> i64 {
    app.sql().await.query_one(sql, &[]).await.expect(sql).get(0)
}

/// A case, a refund and a chargeback want the same money at the same time: whoever is first, no more goes back than was taken.
#[tokio::test]
async fn case_refund_and_chargeback_race_for_one_payment() {
    let app = app().await;
    let rounds = (0..24).map(|round| {
        let app = &app;
        async move {
            let payment = pay(app, 1_500, "pm_card_visa").await;
            let case =
                json!({ "payment_intent": payment["id"], "type": "service", "amount": 1_000, "reason": "Late." });
            let refund = json!({ "payment_intent": payment["id"], "amount": 1_000 });
            let mut requests = vec![
                app.post("/v1/cases").params(case),
                app.post("/v1/refunds").params(refund),
            ];
            if round % 3 == 0 {
                let charge = payment["latest_charge"].as_str().expect("a charge");
                let charge = app.get(&format!("/v1/charges/{charge}")).send().await.ok();
                let told = json!({ "charge": charge["acquirer_reference"], "amount": 1_000 });
                requests.push(app.simulator("POST", "/admin/disputes").json(&told));
            }
            requests.rotate_left(round % 3);
            for answer in join_all(requests.into_iter().map(Request::send)).await {
                assert!([200, 400, 409].contains(&answer.status), "{answer}");
            }
        }
    });
    join_all(rounds).await;
    eventually("callbacks are done", async || {
        let open = "SELECT count(*) FROM gateway.callback WHERE due_at IS NOT NULL";
        (count(&app, open).await == 0).then_some(())
    })
    .await;
    let beyond = "SELECT count(*) FROM gateway.payment
        WHERE amount_refunded + amount_held > amount_received OR amount_refunded + amount_disputed > amount_received AND NOT double_credit_risk";
    assert_eq!(count(&app, beyond).await, 0);
    let twice = "SELECT count(*) FROM gateway.payment p WHERE amount_held > 0 AND amount_disputed > 0
        AND amount_held + amount_disputed + amount_refunded > amount_received AND NOT double_credit_risk";
    assert_eq!(count(&app, twice).await, 0, "frozen twice");
    app.verify_books().await;
}

/// Fifty decisions are carried out by one of fifty requests.
#[tokio::test]
async fn a_decision_is_carried_out_once() {
    let app = app().await;
    let payment = pay(&app, 1_000, "pm_card_visa").await;
    let case = open(&app, &payment, "quality", 1_000).await;
    let entry = mediated(&app, &case).await;
    decide(&app, &case, &entry, json!({ "remedy": "refund_full" })).await;
    let requests = (0..50).map(|_| request(&app, &case, "execute", json!({})).send());
    let answers = join_all(requests).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(answer.status, 409, "{answer}");
    }
    assert_eq!(now(&app, &case).await["status"], "closed");
    app.verify_books().await;
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong() {
    let app = app().await;
    let payment = pay(&app, 1_000, "pm_card_visa").await;
    let create = |with: Value| app.post("/v1/cases").params(with).send();
    for (with, status, code, param) in [
        (
            json!({ "payment_intent": payment["id"], "reason": "x" }),
            400,
            "parameter_missing",
            "type",
        ),
        (
            json!({ "payment_intent": payment["id"], "type": "quality" }),
            400,
            "parameter_missing",
            "reason",
        ),
        (
            json!({ "payment_intent": payment["id"], "type": "quality", "reason": "  " }),
            400,
            "parameter_missing",
            "reason",
        ),
        (
            json!({ "payment_intent": payment["id"], "type": "quality", "reason": "x", "amount": 1_001 }),
            400,
            "amount_too_large",
            "amount",
        ),
        (
            json!({ "payment_intent": payment["id"], "type": "bad", "reason": "x" }),
            400,
            "parameter_invalid_enum",
            "type",
        ),
        (
            json!({ "payment_intent": payment["id"], "type": "quality", "reason": "x", "item": "none" }),
            400,
            "parameter_invalid_value",
            "item",
        ),
        (
            json!({ "payment_intent": "pi_none", "type": "quality", "reason": "x" }),
            404,
            "resource_missing",
            "payment_intent",
        ),
    ] {
        let answer = create(with.clone()).await;
        assert_eq!(
            (answer.status, answer.text("/error/param")),
            (status, param),
            "{with}: {answer}"
        );
        if code != "parameter_invalid_enum" {
            refused(&answer, status, code);
        }
    }
    let unpaid = json!({ "amount": 500, "currency": "usd" });
    let unpaid = app.post("/v1/payment_intents").params(unpaid).send().await.ok();
    let early = create(json!({ "payment_intent": unpaid["id"], "type": "other", "reason": "x" })).await;
    refused(&early, 400, "payment_intent_unexpected_state");
    let case = open(&app, &payment, "other", 100).await;
    let merchants = request(&app, &case, "messages", json!({ "text": "x", "by": "consumer" }))
        .key(&app.told("/restricted_keys/disputes"));
    refused(&merchants.send().await, 403, "platform_key_required");
    act(&app, &case, "withdraw", json!({})).await;
}
