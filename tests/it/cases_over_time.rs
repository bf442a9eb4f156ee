//! What time and numbers bring to cases: deadlines, the seal, reports, consequences; and a case by command line.

use crate::cases::{act, app, count, decide, execute, mediated, now, open, pay, refused, request};
use serde_json::{Value, json};
use tests::{TestApp, eventually};

/// Time is moved by moving what is due: the service's clock is the machine's.
#[tokio::test]
async fn deadlines_pass_once_and_the_archive_is_sealed() {
    let app = app().await;
    let payment = pay(&app, 1_000, "pm_card_visa").await;
    let case = open(&app, &payment, "quality", 1_000).await;
    pass(&app, &case, "verify_warning").await;
    pass(&app, &case, "verify").await;
    let breached = eventually("the breach is told", async || {
        let case = now(&app, &case).await;
        (case["breaches"][0]["deadline"] == "verify").then_some(case)
    })
    .await;
    assert_eq!(breached["status"], "verifying", "a person has to act");
    act(
        &app,
        &case,
        "verify",
        json!({ "finding": "confirmed", "facts": "It is." }),
    )
    .await;
    pass(&app, &case, "response").await;
    let silent = eventually("silence goes to mediation", async || {
        let case = now(&app, &case).await;
        (case["status"] == "mediation").then_some(case)
    })
    .await;
    pass(&app, &case, "mediation").await;
    eventually("a supervisor owns it", async || {
        now(&app, &case).await["escalated"].as_bool().filter(|yes| *yes)
    })
    .await;
    let entry = silent["timeline"][0]["id"].as_str().expect("an entry").to_owned();
    decide(&app, &case, &entry, json!({ "remedy": "rejected" })).await;

    act(&app, &case, "regulator", json!({ "external_ref": "12315-2026-7" })).await;
    pass(&app, &case, "appeal_window").await;
    let frozen = eventually("its time passes without effect", async || {
        let case = now(&app, &case).await;
        let waits = case["deadlines"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|due| due["kind"] == "appeal_window");
        (!waits).then_some(case)
    })
    .await;
    assert_eq!((&frozen["status"], &frozen["frozen"]), (&json!("closed"), &json!(true)));
    act(&app, &case, "regulator", json!({ "ended": true })).await;
    pass(&app, &case, "appeal_window").await;
    let sealed = eventually("it is archived", async || {
        let case = now(&app, &case).await;
        (case["status"] == "archived").then_some(case)
    })
    .await;
    assert_eq!(sealed["seal"].as_str().map(str::len), Some(64));
    refused(
        &request(&app, &case, "messages", json!({ "text": "One more thing." }))
            .send()
            .await,
        409,
        "case_unexpected_state",
    );
    let bundle = async || {
        let path = format!("/v1/cases/{}/bundle", case["id"].as_str().expect("id"));
        app.get(&path).send().await.ok()
    };
    let exported = bundle().await;
    assert_eq!(
        (&exported["intact"], &exported["seal"]),
        (&json!(true), &sealed["seal"])
    );
    assert_eq!(exported["journals"].as_array().map(Vec::len), Some(2), "{exported}");
    // The owner of the database can switch triggers off; the seal tells.
    let id = case["id"].as_str().expect("id");
    let sql = app.sql().await;
    let refused = sql
        .execute(
            "UPDATE gateway.consumer_case SET outcome = 'upheld' WHERE id = $1",
            &[&id],
        )
        .await;
    assert!(refused.is_err(), "sealed");
    sql.batch_execute(&format!(
        "ALTER TABLE gateway.consumer_case DISABLE TRIGGER guard;
         UPDATE gateway.consumer_case SET outcome = 'upheld' WHERE id = '{id}';
         ALTER TABLE gateway.consumer_case ENABLE TRIGGER guard"
    ))
    .await
    .expect("an owner can");
    assert_eq!(bundle().await["intact"], false, "and is found");
    let found = app
        .get("/v1/cases")
        .form("query=handle%20broken&limit=50")
        .send()
        .await
        .ok();
    assert!(found["data"].as_array().is_some_and(|all| !all.is_empty()), "{found}");
    app.verify_books().await;
}

/// Every figure of the report, computed again from what the API shows of the same cases.
#[tokio::test]
async fn the_report_is_what_the_cases_say() {
    let app = app().await;
    let payment = pay(&app, 900, "pm_card_visa").await;
    let rated = open(&app, &payment, "price", 300).await;
    act(&app, &rated, "withdraw", json!({})).await;
    act(&app, &rated, "rating", json!({ "score": 4 })).await;
    let upheld = open(&app, &payment, "service", 300).await;
    let entry = mediated(&app, &upheld).await;
    decide(&app, &upheld, &entry, json!({ "remedy": "refund_full" })).await;
    execute(&app, &upheld).await;
    let account = app.told("/merchants/0/id");
    let report = app
        .get("/v1/case_reports")
        .form(&format!("account={account}"))
        .send()
        .await
        .ok();
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(String::new(), |last| {
            format!("&starting_after={}", last["id"].as_str().expect("id"))
        });
        let page = app
            .get("/v1/cases")
            .form(&format!("limit=100{after}"))
            .send()
            .await
            .ok();
        all.extend(page["data"].as_array().expect("a list").iter().cloned());
        if page["has_more"] == false {
            break;
        }
    }
    let counted = |keep: &dyn Fn(&&Value) -> bool| all.iter().filter(keep).count() as i64;
    let outcome = |words: &'static [&'static str]| {
        counted(&|case| case["outcome"].as_str().is_some_and(|outcome| words.contains(&outcome)))
    };
    assert_eq!(report["opened"], all.len() as i64);
    assert_eq!(report["closed"], counted(&|case| !case["outcome"].is_null()));
    let (for_consumer, judged) = (
        outcome(&["upheld", "settled"]),
        outcome(&["upheld", "settled", "rejected"]),
    );
    assert_eq!(report["for_consumer"], for_consumer);
    assert_eq!(report["for_consumer_bps"], for_consumer * 10_000 / judged.max(1));
    let breaches: usize = all
        .iter()
        .filter_map(|case| Some(case["breaches"].as_array()?.len()))
        .sum();
    assert_eq!(report["breaches"], breaches as i64);
    for cause in report["causes"].as_array().expect("a list") {
        let of = counted(&|case| case["type"] == cause["type"]);
        assert_eq!(cause["opened"], of, "{cause}");
    }
    let scores: Vec<i64> = all.iter().filter_map(|case| case["rating"]["score"].as_i64()).collect();
    assert_eq!(
        report["rating"],
        json!({ "count": scores.len(), "sum": scores.iter().sum::<i64>() })
    );
    let mut times: Vec<i64> = all
        .iter()
        .filter_map(|case| Some(case["closed_at"].as_i64()? - case["created"].as_i64()?))
        .collect();
    times.sort_unstable();
    let middle = times[(times.len().div_ceil(2)).saturating_sub(1)];
    let told = report["case_seconds"]["p50"].as_i64().expect("a time");
    assert!((told - middle).abs() <= 1, "{told} {middle}: seconds are cut off");
}

/// The third upheld case of a small merchant is a warning, once, with its calculation; an appeal that is right undoes it.
#[tokio::test]
async fn upheld_cases_climb_a_ladder_and_an_appeal_climbs_down() {
    let app = app().await;
    let checker = crate::accounts::checker(&app).await;
    let merchant = crate::accounts::active(&app, &checker).await;
    let mut last = Value::Null;
    for _ in 0..3 {
        let sale = json!({ "amount": 1000, "currency": "gbp", "payment_method": "pm_card_visa", "confirm": true });
        let payment = app
            .post("/v1/payment_intents")
            .account(&merchant)
            .params(sale)
            .send()
            .await
            .ok();
        let case = json!({ "payment_intent": payment["id"], "type": "quality", "reason": "It broke." });
        let case = app.post("/v1/cases").account(&merchant).params(case).send().await.ok();
        let then = async |act: &str, with: Value| request(&app, &case, act, with).account(&merchant).send().await.ok();
        then("verify", json!({ "finding": "confirmed", "facts": "It did." })).await;
        let contested = then("contest", json!({ "reason": "No." })).await;
        let entry = contested["timeline"][0]["id"].clone();
        let decision = json!({ "remedy": "refund_full", "reasons": "It did.", "evidence": [entry], "officer": "ann" });
        then("decision", decision).await;
        then("execute", json!({})).await;
        last = case;
    }
    let standing = async || app.get(&format!("/v1/accounts/{merchant}/standing")).send().await.ok();
    let warned = eventually("a warning", async || {
        let standing = standing().await;
        (!standing["sanctions"][0].is_null()).then_some(standing)
    })
    .await;
    let steps: Vec<_> = warned["sanctions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|s| s["step"].clone())
        .collect();
    assert_eq!(steps, ["warn"], "{warned}");
    assert_eq!(warned["sanctions"][0]["basis"]["figures"]["upheld_30"], 3);
    assert_eq!(warned["grade"], "E", "three of three");

    let then = async |act: &str, with: Value| request(&app, &last, act, with).account(&merchant).send().await.ok();
    then(
        "appeal",
        json!({ "by": "merchant", "reason": "The photograph is of another thing." }),
    )
    .await;
    let entry = last["timeline"][0]["id"].clone();
    let change =
        json!({ "result": "change", "remedy": "rejected", "reasons": "It is.", "evidence": [entry], "officer": "bob" });
    then("appeal_decision", change).await;
    eventually("the warning is taken back", async || {
        let standing = standing().await;
        (!standing["sanctions"][0]["reversed_at"].is_null()).then_some(())
    })
    .await;
    app.verify_books().await;
}

/// A full case by command line.
#[tokio::test]
async fn a_full_case_by_command_line() {
    let app = app().await;
    let payment = pay(&app, 1_200, "pm_card_visa").await;
    let run = async |words: &[&str]| {
        let output = app.counterfoil(&[&["case"], words].concat()).await;
        assert!(output.status.success(), "{words:?}: {}", tests::said(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    let id = payment["id"].as_str().expect("id");
    let opened = run(&[
        "open",
        "--payment",
        id,
        "--type",
        "quality",
        "--reason",
        "the handle broke",
        "--channel",
        "social",
        "--json",
    ])
    .await;
    let case: Value = serde_json::from_str(&opened).expect("JSON");
    let case = case["id"].as_str().expect("id");
    run(&["assign", case, "--owner", "ann"]).await;
    run(&[
        "verify",
        case,
        "--finding",
        "confirmed",
        "--facts",
        "the photograph shows it",
        "--officer",
        "ann",
    ])
    .await;
    run(&["contest", case, "--reason", "it was whole"]).await;
    let said = run(&["evidence", case, "--text", "a photograph", "--by", "consumer", "--json"]).await;
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let entry = said["evidence"][0]["id"].as_str().expect("an entry");
    run(&[
        "decide",
        case,
        "--remedy",
        "refund_full",
        "--reasons",
        "it is broken",
        "--evidence",
        entry,
        "--officer",
        "ann",
    ])
    .await;
    run(&["execute", case]).await;
    run(&["rate", case, "--score", "5"]).await;
    let shown = run(&["show", case]).await;
    assert!(
        shown.contains("closed (quality)") && shown.contains("12.00 usd"),
        "{shown}"
    );
    assert!(run(&["list", "--outcome", "upheld"]).await.contains(case));
    let bundle: Value = serde_json::from_str(&run(&["export", case]).await).expect("JSON");
    assert_eq!(
        (&bundle["case"]["status"], &bundle["intact"]),
        (&json!("closed"), &Value::Null)
    );
    let report: Value = serde_json::from_str(&run(&["report"]).await).expect("JSON");
    assert!(report["opened"].as_i64().is_some_and(|opened| opened > 0));
    let refused = app.counterfoil(&["case", "execute", case]).await;
    assert!(
        !refused.status.success() && tests::said(&refused).contains("409"),
        "{}",
        tests::said(&refused)
    );
}

/// The open deadline of this kind was due a second ago: as its guard forbids to move it, another one takes its place.
async fn pass(app: &TestApp, case: &Value, kind: &str) {
    let id = case["id"].as_str().expect("id");
    let moved = app
        .sql()
        .await
        .execute(
            "WITH gone AS (UPDATE gateway.deadline SET state = 'canceled', ended_at = now(), check_at = NULL, version = version + 1
                 WHERE subject_id = $1 AND kind = $2 AND state = 'open' RETURNING *)
             INSERT INTO gateway.deadline (book_id, id, version, subject_id, kind, due_at, state, check_at, created_at)
             SELECT book_id, id || '_due', 1, subject_id, kind, now() - interval '1 second', 'open', now() - interval '1 second', created_at
             FROM gone",
            &[&id, &kind],
        )
        .await
        .expect("moved");
    assert_eq!(moved, 1, "{kind} of {id}");
}

/// As many as a bad night brings: each is told once, whatever else the processes do.
#[tokio::test]
async fn a_thousand_deadlines_that_are_due_are_each_told_once() {
    const DUE: i64 = 1_000;
    let app = app().await;
    let payment = pay(&app, 1_000, "pm_card_visa").await;
    let case = open(&app, &payment, "other", 10).await;
    act(&app, &case, "withdraw", json!({})).await;
    let made = format!(
        "INSERT INTO gateway.consumer_case
         SELECT (json_populate_record(t, json_build_object('id', 'case_many' || n, 'status', 'submitted', 'outcome', NULL, 'closed_at', NULL))).*
         FROM gateway.consumer_case t, generate_series(1, {DUE}) n WHERE t.id = '{id}';
         INSERT INTO gateway.deadline (book_id, id, version, subject_id, kind, due_at, state, check_at, created_at)
         SELECT book_id, 'dl_many' || id, 1, id, 'verify', now(), 'open', now(), now() FROM gateway.consumer_case WHERE id LIKE 'case_many%'",
        id = case["id"].as_str().expect("id")
    );
    app.sql().await.batch_execute(&made).await.expect("made");
    let told = "SELECT count(*) FROM gateway.consumer_case WHERE id LIKE 'case_many%' AND jsonb_array_length(details -> 'breaches') = 1";
    eventually("all are told", async || (count(&app, told).await == DUE).then_some(())).await;
    let entries =
        "SELECT count(*) FROM gateway.case_entry WHERE case_id LIKE 'case_many%' AND kind = 'deadline_breached'";
    assert_eq!(count(&app, entries).await, DUE);
    let open = "SELECT count(*) FROM gateway.deadline WHERE subject_id LIKE 'case_many%' AND state <> 'fired'";
    assert_eq!(count(&app, open).await, 0);
}
