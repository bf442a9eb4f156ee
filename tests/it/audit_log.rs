//! The audit log: what must be in it, that it is in the act's own commit, that nothing protected is shown without it, that a change
//! is found, and that it is told elsewhere. Routes and commands are the program's own lists.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use gateway::api::ROUTES;
use gateway::audit_log::Audited;
use gateway::auth::{Access, Scope};
use serde_json::{Value, json};
use tests::{TestApp, eventually, said};

use crate::gate::{create, keys};
use crate::gate_serve::Second;
use crate::receiver::Receiver;

#[tokio::test]
async fn every_privileged_route_leaves_its_mark_also_when_it_refuses() {
    let app = TestApp::shared().await;
    let sql = app.sql().await;
    for route in ROUTES {
        let privileged = route.access == Access::Write && route.scope != Scope::Checkout;
        assert!(
            !privileged || route.audited == Audited::Always,
            "{} {}",
            route.method,
            route.path
        );
    }
    assert!(ROUTES.iter().filter(|route| route.audited == Audited::Always).count() >= 10);
    let other = app.told("/merchants/1/id");
    for route in ROUTES {
        let path = route.path.replace("{id}", "xx_0none").replace("{method}", "xx_0none");
        let what = format!("{} {}", route.method, route.path);
        let marks = async |answer: tests::Answer| -> Vec<(String, String)> {
            let rows = sql
                .query(
                    "SELECT result, coalesce(detail, '') FROM gateway.audit_event WHERE request_id = $1 AND action = $2",
                    &[&answer.header("request-id"), &what],
                )
                .await
                .expect("rows");
            rows.iter().map(|row| (row.get(0), row.get(1))).collect()
        };
        let own = app.request(route.method, &path).send().await;
        let status = own.status;
        let own = marks(own).await;
        let foreign = marks(app.request(route.method, &path).account(&other).send().await).await;
        match route.audited {
            Audited::Always => {
                assert!(!own.is_empty() && !foreign.is_empty(), "{what} left no mark");
                let expected = if status < 400 { "done" } else { "refused" };
                assert!(
                    own.iter()
                        .any(|(result, detail)| result == expected && detail.starts_with(&status.to_string())),
                    "{what}: {own:?}"
                );
            }
            Audited::ByPlatform => assert!(own.is_empty() && !foreign.is_empty(), "{what}: {own:?} {foreign:?}"),
            Audited::Never => assert!(own.is_empty() && foreign.is_empty(), "{what}: {own:?} {foreign:?}"),
        }
    }
    // A key without the right: who, with what right, from where, and why not.
    let made = create(app, &["--scope", "checkout:write"]).await;
    let id = made["id"].as_str().expect("an id");
    let refused = app
        .post("/v1/refunds")
        .key(made["key"].as_str().expect("a key"))
        .send()
        .await;
    assert_eq!(refused.status, 403);
    let row = sql
        .query_one(
            "SELECT role, origin, result, detail FROM gateway.audit_event WHERE actor = $1",
            &[&id],
        )
        .await
        .expect("a row");
    let found: [&str; 4] = [row.get(0), row.get(1), row.get(2), row.get(3)];
    assert_eq!(
        found,
        [
            "restricted checkout:write",
            "127.0.0.1",
            "refused",
            "403 insufficient_permissions"
        ]
    );
}

#[tokio::test]
async fn the_mark_of_an_act_is_in_its_own_commit_and_a_replay_leaves_none() {
    let app = TestApp::shared().await;
    let sql = app.sql().await;
    let hook = json!({ "url": "https://127.0.0.1:18443/hook", "enabled_events": ["payout.paid"] });
    let make = || {
        app.post("/v1/webhook_endpoints")
            .idempotency_key("audited once")
            .params(hook.clone())
    };
    let made = make().send().await.ok();
    let again = make().send().await;
    assert!(again.replayed());
    let rows = sql
        .query(
            "SELECT e.xmin = w.xmin, e.result, e.detail FROM gateway.audit_event e JOIN gateway.webhook_endpoint w ON w.id = e.object
             WHERE e.object = $1",
            &[&made["id"].as_str()],
        )
        .await
        .expect("rows");
    assert_eq!(rows.len(), 1, "once");
    assert!(rows[0].get::<_, bool>(0), "one transaction wrote both");
    assert_eq!((rows[0].get(1), rows[0].get(2)), ("done", "200"));

    let sale = json!({ "amount": 2100, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true });
    let payment = app.post("/v1/payment_intents").params(sale).send().await.ok();
    let refund = json!({ "payment_intent": payment["id"], "amount": 300 });
    let refund = app.post("/v1/refunds").params(refund).send().await.ok();
    let rows = sql
        .query(
            "SELECT e.xmin = j.xmin, e.result FROM gateway.audit_event e
             LEFT JOIN ledger.journal j ON j.reference = e.object AND j.code = 'J08a' WHERE e.object = $1 ORDER BY e.id",
            &[&refund["id"].as_str()],
        )
        .await
        .expect("rows");
    let found: Vec<(Option<bool>, &str)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(
        found,
        [(Some(true), "begun"), (Some(false), "done")],
        "the money moves in the commit that says so"
    );
}

#[tokio::test]
async fn nothing_privileged_is_done_or_shown_when_the_log_cannot_be_written() {
    let app = TestApp::start().await;
    let sql = app.sql().await;
    sql.batch_execute(
        "CREATE FUNCTION public.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'disk full'; END $$;
         CREATE TRIGGER z_full BEFORE INSERT ON gateway.audit_event FOR EACH ROW EXECUTE FUNCTION public.full()",
    )
    .await
    .expect("breaks the log");
    let shown = app.get("/v1/audit_events").send().await;
    assert_eq!(shown.status, 503, "{shown}");
    let hook = json!({ "url": "https://127.0.0.1:18443/hook", "enabled_events": ["*"] });
    let done = app.post("/v1/webhook_endpoints").params(hook).send().await;
    assert!(done.status >= 500, "{done}");
    let merchant = app.told("/merchants/0/id");
    for command in [
        vec!["keys", "create", "--merchant", &merchant],
        vec!["ledger", "balance", "--book", &merchant],
    ] {
        let ran = app.counterfoil(&command).await;
        assert!(
            !ran.status.success() && said(&ran).contains("nothing was done"),
            "{}",
            said(&ran)
        );
        assert!(
            !said(&ran).contains("sk_test_") && !said(&ran).contains("2010."),
            "{}",
            said(&ran)
        );
    }
    let count = "SELECT (SELECT count(*) FROM gateway.webhook_endpoint), (SELECT count(*) FROM gateway.api_key WHERE name = '')";
    let row = sql.query_one(count, &[]).await.expect("a row");
    assert_eq!(row.get::<_, i64>(0), 0);
    // What is no privilege goes on.
    let sale = json!({ "amount": 700, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true });
    app.post("/v1/payment_intents").params(sale).send().await.ok();
    sql.batch_execute("DROP TRIGGER z_full ON gateway.audit_event")
        .await
        .expect("mends it");
    app.get("/v1/audit_events").send().await.ok();
}

#[tokio::test]
async fn commands_say_who_began_what_and_how_it_ended() {
    let app = TestApp::shared().await;
    let made = create(app, &["--name", "noted"]).await;
    let id = made["id"].as_str().expect("an id").to_owned();
    keys(app, &["revoke", &id]).await;
    let again = app.counterfoil(&["keys", "revoke", &id]).await;
    assert!(!again.status.success());
    let sql = app.sql().await;
    let rows = sql
        .query(
            "SELECT action, result, actor, role, book_id FROM gateway.audit_event WHERE object = $1 ORDER BY id",
            &[&id],
        )
        .await
        .expect("rows");
    let found: Vec<(&str, &str)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let revoke = "keys revoke";
    assert_eq!(
        found,
        [
            (revoke, "begun"),
            (revoke, "done"),
            (revoke, "begun"),
            (revoke, "failed")
        ]
    );
    for row in &rows {
        let actor: &str = row.get(2);
        assert!(actor.starts_with("operator:") && actor.contains('@'), "{actor}");
        assert_eq!(row.get::<_, &str>(3), "counterfoil", "the role that logged in");
        assert!(row.get::<_, i64>(4) > 0, "the merchant whose key it is can see it");
    }
    let merchant = app.told("/merchants/0/id");
    let day = "2020-01-31";
    let closed = app
        .counterfoil(&[
            "ledger", "period", "close", "--up-to", day, "--by", "ada", "--book", &merchant,
        ])
        .await;
    assert!(closed.status.success(), "{}", said(&closed));
    let printed = app.counterfoil(&["audit", "export", "--object", day, "--json"]).await;
    let lines: Vec<Value> = String::from_utf8_lossy(&printed.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2, "{}", said(&printed));
    assert!(
        lines[0]["actor"]
            .as_str()
            .is_some_and(|actor| actor.ends_with(" as ada")),
        "{}",
        lines[0]
    );
    let table = app.counterfoil(&["audit", "export", "--since", "2020-01-01"]).await;
    assert!(said(&table).contains("ledger period close") && said(&table).contains("audit export"));
}

#[tokio::test]
async fn a_merchant_reads_its_own_log_page_by_page_and_nobody_elses() {
    let app = TestApp::shared().await;
    let admin = app.told("/restricted_keys/admin");
    for _ in 0..5 {
        app.get("/v1/audit_events").key(&admin).send().await.ok();
    }
    let page = async |form: String| {
        let listed = app.get("/v1/audit_events").key(&admin).form(&form).send().await.ok();
        let ids = listed["data"].as_array().expect("a list").iter();
        let ids: Vec<String> = ids
            .map(|event| event["id"].as_str().expect("an id").to_owned())
            .collect();
        (ids, listed["has_more"] == true)
    };
    let (first, more) = page("limit=2".into()).await;
    assert!(more && first.len() == 2);
    let (second, _) = page(format!("limit=2&starting_after={}", first[1])).await;
    assert!(
        second.iter().all(|id| *id < first[1]) && second[0] > second[1],
        "{first:?} {second:?}"
    );
    let (back, _) = page(format!("limit=2&ending_before={}", second[0])).await;
    assert_eq!(back, first);
    let one = app
        .get(&format!("/v1/audit_events/{}", first[0]))
        .key(&admin)
        .send()
        .await
        .ok();
    assert_eq!(
        (&one["action"], &one["result"]),
        (&json!("GET /v1/audit_events"), &json!("done"))
    );

    // The platform sees its own acts and operators'; a merchant does not, and no other merchant's.
    let everywhere = app.get("/v1/audit_events").form("limit=100").send().await.ok();
    let text = everywhere.to_string();
    assert!(
        text.contains("\"of_platform\":true") || text.contains("\"of_platform\": true"),
        "{text}"
    );
    let other = app.told("/merchants/1/id");
    app.get("/v1/customers").account(&other).send().await.ok();
    let theirs = app
        .get("/v1/audit_events")
        .account(&other)
        .form("limit=1")
        .send()
        .await
        .ok();
    let their_id = theirs["data"][0]["id"].as_str().expect("an id");
    assert_eq!(
        app.get(&format!("/v1/audit_events/{their_id}"))
            .key(&admin)
            .send()
            .await
            .status,
        404
    );
    let own = app
        .get("/v1/audit_events")
        .key(&admin)
        .form("limit=100")
        .send()
        .await
        .ok();
    let own = own["data"].as_array().expect("a list");
    assert!(
        own.iter()
            .all(|event| event["of_platform"] == false && event["id"] != their_id)
    );
    for wrong in ["starting_after=aud_none", "created=soon", "limit=0", "nonsense=1"] {
        let refused = app.get("/v1/audit_events").key(&admin).form(wrong).send().await;
        assert!((400..405).contains(&refused.status), "{wrong}: {refused}");
    }
}

/// Whoever owns the database and goes around its triggers is found, and told by the row.
#[tokio::test]
async fn a_changed_log_is_found_and_its_first_wrong_row_named() {
    let app = TestApp::start().await;
    let sql = app.sql().await;
    let merchant = app.told("/merchants/0/id");
    keys(&app, &["create", "--merchant", &merchant]).await;
    let verify = || app.counterfoil(&["audit", "verify"]);
    let sealed = async |at_least: i64| {
        eventually("the log is sealed", || async {
            let row = sql
                .query_one("SELECT coalesce(max(total), 0) FROM gateway.audit_seal", &[])
                .await
                .expect("a row");
            (row.get::<_, i64>(0) >= at_least).then_some(())
        })
        .await
    };
    sealed(3).await;
    let whole = verify().await;
    assert!(whole.status.success(), "{}", said(&whole));
    assert!(
        said(&whole).contains("each sealed audit event is what was sealed"),
        "{}",
        said(&whole)
    );

    let row = sql
        .query_one(
            "SELECT id::text FROM gateway.audit_event WHERE action = 'keys create' AND result = 'begun'",
            &[],
        )
        .await
        .expect("a row");
    let id: String = row.get(0);
    let attack = async |statement: &str| {
        let around = format!(
            "ALTER TABLE gateway.audit_event DISABLE TRIGGER ALL; {statement}; ALTER TABLE gateway.audit_event ENABLE ALWAYS TRIGGER append_only;
             ALTER TABLE gateway.audit_event ENABLE ALWAYS TRIGGER stamp"
        );
        sql.batch_execute(&around).await.expect(statement);
    };
    let of_it = |what: &str| format!("{what} WHERE id = '{id}'");
    attack(&of_it(
        "UPDATE gateway.audit_event SET actor = 'operator:nobody@nowhere'",
    ))
    .await;
    let found = verify().await;
    assert!(
        !found.status.success() && said(&found).contains(&format!("event {id} was edited")),
        "{}",
        said(&found)
    );
    attack(&of_it("DELETE FROM gateway.audit_event")).await;
    let found = verify().await;
    assert!(
        !found.status.success() && said(&found).contains(&format!("event {id} was deleted")),
        "{}",
        said(&found)
    );
    // The books' own seal is another matter, and the keys of one are not those of the other.
    app.verify_books().await;
    let heads = app.dir().join("heads");
    let foreign = app
        .counterfoil(&["audit", "verify", "--head", path(&heads.join("heads.jsonl"))])
        .await;
    assert!(
        !foreign.status.success(),
        "a head of the books is none of the log: {}",
        said(&foreign)
    );

    let before: i64 = sql
        .query_one("SELECT max(total) FROM gateway.audit_seal", &[])
        .await
        .expect("a row")
        .get(0);
    app.get("/v1/audit_events").send().await.ok();
    sealed(before + 1).await; // a second page, and its head
    sql.batch_execute(
        "ALTER TABLE gateway.audit_seal DISABLE TRIGGER ALL; DELETE FROM gateway.audit_seal WHERE page > 1;
         ALTER TABLE gateway.audit_event DISABLE TRIGGER ALL; DELETE FROM gateway.audit_event e USING gateway.audit_seal s WHERE e.recorded_xid > s.last_xid",
    )
    .await
    .expect("cuts the end off");
    let found = verify().await;
    assert!(
        !found.status.success() && said(&found).contains("truncated, or restored from an older backup"),
        "{}",
        said(&found)
    );
}

#[tokio::test]
async fn the_log_is_told_to_a_file_and_to_a_receiver_that_was_away() {
    let app = TestApp::start().await;
    let sql = app.sql().await;
    let receiver = Receiver::start().await;
    receiver.answer(503);
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let settings = format!(
        "require_signatures = false\n[audit]\nurl = {:?}\nsecret = {secret:?}\nauthorities = \"\"\nevery_ms = 100",
        receiver.url()
    );
    let second = Second::start(&app, "told", &settings, Path::new("")).await;
    let merchant = app.told("/merchants/0/id");
    keys(&app, &["create", "--merchant", &merchant]).await;
    let address = receiver.address;
    drop(receiver); // it answered badly, now it is not there at all
    keys(&app, &["list"]).await;
    app.counterfoil(&["ledger", "balance", "--book", &merchant]).await;
    let receiver = Receiver::at(address).await;

    let ids = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a whole line"));
        lines
            .map(|line| line["id"].as_str().expect("an id").to_owned())
            .collect()
    };
    let rows = async || -> BTreeSet<String> {
        let listed = app.counterfoil(&["audit", "export", "--json"]).await;
        ids(&String::from_utf8_lossy(&listed.stdout)).into_iter().collect()
    };
    let wanted = rows().await;
    assert!(wanted.len() >= 6);
    let file = app.dir().join("audit/audit.jsonl");
    eventually("everything is in the file", || async {
        let told: HashSet<String> = ids(&std::fs::read_to_string(&file).unwrap_or_default())
            .into_iter()
            .collect();
        wanted.iter().all(|id| told.contains(id)).then_some(())
    })
    .await;
    let messages = eventually("everything was told", || async {
        let messages = receiver.messages();
        let text: String = messages
            .iter()
            .map(|m| String::from_utf8_lossy(&m.body).into_owned())
            .collect();
        let told: HashSet<String> = ids(&text).into_iter().collect();
        wanted.iter().all(|id| told.contains(id)).then_some(messages)
    })
    .await;
    for message in &messages {
        assert_eq!(message.headers["content-type"], "application/x-ndjson");
        let header = |name: &str| message.headers[name].to_str().expect("text").to_owned();
        let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
        let expected =
            gateway::webhook::signature::headers(&[secret], &id, at.parse().expect("seconds"), &message.body);
        assert_eq!(expected["webhook-signature"], header("webhook-signature"));
    }
    let text = std::fs::read_to_string(&file).expect("the file");
    let all = ids(&text);
    assert_eq!(
        all.iter().collect::<HashSet<_>>().len(),
        all.len(),
        "each once, while nothing crashed"
    );
    assert!(!text.contains("sk_test_") && !text.contains("whsec_"));
    drop(second);
    let told: i64 = sql
        .query_one("SELECT xid FROM gateway.audit_export", &[])
        .await
        .expect("a row")
        .get(0);
    assert!(told > 0);
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
