//! Alarms end to end: what is refused or found by one process is told by another, to a receiver that was away, each alarm once and a
//! flood as a count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use tests::{TestApp, eventually, said};

use crate::gate::{create, keys};
use crate::gate_serve::{Second, client, send};
use crate::receiver::Receiver;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test]
async fn security_events_reach_a_receiver_that_was_away_once_and_a_flood_is_a_count() {
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let settings = format!(
        "require_signatures = false\n[alerts]\nurls = {:?}\nsecret = {SECRET:?}\nauthorities = \"\"\nquiet_ms = 4000",
        receiver.url()
    );
    // Two processes with the same receiver: an alarm is one process's to tell.
    let first = Second::start(&app, "alarms-1", &settings, Path::new("")).await;
    let _second = Second::start(&app, "alarms-2", &settings, Path::new("")).await;
    let address = receiver.address;
    drop(receiver);

    const FLOOD: usize = 60;
    for n in 0..FLOOD {
        app.get("/v1/balance").key(&format!("sk_test_{n:024}")).send().await;
    }
    let narrow = create(&app, &["--scope", "checkout:read"]).await;
    let revoked = create(&app, &[]).await;
    let bound = create(&app, &["--client-certificate", "cn:someone"]).await;
    keys(&app, &["revoke", text(&revoked, "id")]).await;
    let with = |key: &Value| app.get("/v1/balance").key(text(key, "key"));
    assert_eq!(with(&narrow).send().await.status, 403);
    assert_eq!(
        with(&narrow).account(&app.told("/merchants/1/id")).send().await.status,
        403
    );
    assert_eq!(with(&bound).send().await.status, 401);
    eventually("the revoked key is refused", || async {
        (with(&revoked).send().await.status == 401).then_some(())
    })
    .await;
    let forged = app
        .post("/hooks/stripe")
        .no_key()
        .header("stripe-signature", "t=1,v1=00")
        .json(&json!({}));
    assert_eq!(forged.send().await.status, 400);
    // A service in production does not let a webhook lead inward.
    let inward = format!(
        "{}/v1/webhook_endpoints?url=https://169.254.169.254/&enabled_events[]=*",
        first.url
    );
    let headers = [(
        "authorization".to_owned(),
        format!("Bearer {}", app.told("/secret_key")),
    )];
    let (status, told) = send(&client(&app, None), "POST", &inward, &headers)
        .await
        .expect("an answer");
    assert_eq!((status, &told["error"]["code"]), (400, &json!("url_invalid")), "{told}");
    // Someone who owns the database edits what was sealed.
    let sql = app.sql().await;
    eventually("the log is sealed", || async {
        let row = sql
            .query_one("SELECT count(*) FROM gateway.audit_seal", &[])
            .await
            .expect("a row");
        (row.get::<_, i64>(0) > 0).then_some(())
    })
    .await;
    sql.batch_execute(
        "ALTER TABLE gateway.audit_event DISABLE TRIGGER ALL; UPDATE gateway.audit_event SET actor = 'nobody' WHERE action = 'service start';
         ALTER TABLE gateway.audit_event ENABLE ALWAYS TRIGGER append_only; ALTER TABLE gateway.audit_event ENABLE ALWAYS TRIGGER stamp",
    )
    .await
    .expect("edited");

    let receiver = Receiver::at(address).await;
    let wanted = [
        "wrong_key",
        "forbidden",
        "foreign_account",
        "certificate_mismatch",
        "ended_key",
        "forged_callback",
        "egress_refused",
        "tampered",
    ];
    let alarms = || -> Vec<Value> {
        let messages = receiver.messages();
        let bodies = messages
            .iter()
            .map(|message| serde_json::from_slice::<Value>(&message.body).expect("JSON"));
        bodies
            .flat_map(|body| body["alerts"].as_array().expect("alarms").clone())
            .collect()
    };
    let found = eventually("every kind was told, and every wrong key counted", || async {
        let mut found: BTreeMap<String, i64> = BTreeMap::new();
        for alarm in alarms() {
            *found.entry(text(&alarm, "kind").to_owned()).or_default() += alarm["times"].as_i64().expect("a count");
        }
        let all = wanted.iter().all(|kind| found.contains_key(*kind));
        (all && found["wrong_key"] >= FLOOD as i64).then_some(found)
    })
    .await;
    assert_eq!(found["wrong_key"], FLOOD as i64, "each counted once");
    let of = |kind: &str| alarms().into_iter().find(|alarm| alarm["kind"] == kind).expect("told");
    assert!(
        alarms().iter().filter(|alarm| alarm["kind"] == "wrong_key").count() <= 5,
        "a flood is no flood of alarms"
    );
    assert_eq!(of("ended_key")["key_id"], revoked["id"]);
    assert_eq!(
        (&of("forged_callback")["source"], &of("forged_callback")["key_id"]),
        (&json!("127.0.0.1"), &Value::Null)
    );
    assert!(
        text(&of("tampered"), "detail").contains("was edited"),
        "{}",
        of("tampered")
    );

    let messages = receiver.messages();
    let ids: BTreeSet<&str> = messages
        .iter()
        .map(|m| m.headers["webhook-id"].to_str().expect("text"))
        .collect();
    assert_eq!(ids.len(), messages.len(), "no alarm twice");
    for message in &messages {
        let header = |name: &str| message.headers[name].to_str().expect("text").to_owned();
        let at = header("webhook-timestamp").parse().expect("seconds");
        let expected = gateway::webhook::signature::headers(&[SECRET], &header("webhook-id"), at, &message.body);
        assert_eq!(expected["webhook-signature"], header("webhook-signature"));
        assert_eq!(expected["stripe-signature"], header("stripe-signature"));
        let body = String::from_utf8_lossy(&message.body);
        assert!(!body.contains("sk_test_"), "{body}");
    }
    // Whoever verifies by hand raises it too.
    let verified = app.counterfoil(&["audit", "verify"]).await;
    assert!(
        !verified.status.success() && !said(&verified).contains("no alarm was raised"),
        "{}",
        said(&verified)
    );
    let row = "SELECT count(*) FROM gateway.security_event WHERE kind = 'tampered' AND detail LIKE 'audit verify: %'";
    assert_eq!(sql.query_one(row, &[]).await.expect("a row").get::<_, i64>(0), 1);
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}
