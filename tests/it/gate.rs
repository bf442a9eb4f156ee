//! Who gets in: every route against every wrong principal, and the life of keys. The list of routes is the program's own, so that a
//! new route is covered the moment it exists.

use gateway::api::ROUTES;
use gateway::auth::{Access, Scope};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use tests::{Answer, Request, TestApp, eventually, said};

/// Makes a key by the command line: `{"id", "key", "signing_secret"}`.
pub async fn create(app: &TestApp, options: &[&str]) -> Value {
    let merchant = app.told("/merchants/0/id");
    let mut arguments = vec!["keys", "create", "--json", "--merchant", &merchant];
    arguments.extend(options);
    let made = app.counterfoil(&arguments).await;
    assert!(made.status.success(), "{}", said(&made));
    serde_json::from_slice(&made.stdout).expect("JSON")
}

/// Runs `counterfoil keys ..`, which must succeed.
pub async fn keys(app: &TestApp, arguments: &[&str]) -> String {
    let ran = app.counterfoil(&[&["keys"], arguments].concat()).await;
    assert!(ran.status.success(), "{}", said(&ran));
    String::from_utf8(ran.stdout).expect("text")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

#[tokio::test]
async fn every_route_refuses_every_wrong_principal() {
    let app = TestApp::shared().await;
    let mut restricted = HashMap::new();
    for scope in Scope::ALL {
        for right in ["read", "write"] {
            let made = create(app, &["--scope", &format!("{}:{right}", scope.as_str())]).await;
            restricted.insert((scope, right), text(&made, "key").to_owned());
        }
    }
    let publishable = app.told("/publishable_key");
    let secret = create(app, &[]).await;
    let expired = create(app, &["--expires-in", "0s"]).await;
    let revoked = create(app, &[]).await;
    keys(app, &["revoke", text(&revoked, "id")]).await;
    let (own, other) = (app.told("/merchants/0/id"), app.told("/merchants/1/id"));

    let mut strangers = HashSet::new();
    for route in ROUTES {
        // An account shows itself alone; of everything else, no object is needed to be refused.
        let id = match route.path {
            path if path.starts_with("/v1/accounts/") => &own,
            _ => "pi_0000000000000000000000000",
        };
        let path = route.path.replace("{id}", id);
        let ask = || app.request(route.method, &path);
        let what = format!("{} {}", route.method, route.path);
        let refused = |who: String, answer: Answer, status: u16, code: &str| {
            let got = (answer.status, answer.text("/error/code").to_owned());
            assert_eq!(got, (status, code.to_owned()), "{what} by {who}: {answer}");
            assert_eq!(answer.text("/error/type"), "invalid_request_error", "{what} by {who}");
        };
        let by = |key: &str, request: Request<'static>| request.key(key).send();

        refused("nobody".into(), ask().no_key().send().await, 401, "");
        // One of each right: an address with more wrong keys than routes are there would be told to wait.
        if strangers.insert((route.method, route.scope, route.platform)) {
            let stranger = by("sk_test_0123456789abcdef", ask()).await;
            refused("a stranger".into(), stranger, 401, "");
        }
        refused(
            "an expired key".into(),
            by(text(&expired, "key"), ask()).await,
            401,
            "api_key_expired",
        );
        refused(
            "a revoked key".into(),
            by(text(&revoked, "key"), ask()).await,
            401,
            "api_key_expired",
        );
        refused(
            "a browser".into(),
            by(&publishable, ask()).await,
            403,
            "secret_key_required",
        );
        let foreign = by(text(&secret, "key"), ask().account(&other)).await;
        refused("another merchant".into(), foreign, 403, "account_invalid");
        let nowhere = by(text(&secret, "key"), ask().account("acct_nobody")).await;
        refused("a merchant of nowhere".into(), nowhere, 403, "account_invalid");

        for ((scope, right), key) in &restricted {
            let answer = by(key, ask()).await;
            let who = format!("{}:{right}", scope.as_str());
            let granted = *scope == route.scope && (*right == "write" || route.access == Access::Read);
            if granted && route.platform {
                refused(who, answer, 403, "platform_key_required");
            } else if granted {
                assert!(![401, 403, 429].contains(&answer.status), "{what} by {who}: {answer}");
                assert!(answer.status < 500, "{what} by {who}: {answer}");
            } else {
                refused(who, answer, 403, "insufficient_permissions");
            }
        }
    }

    let sql = app.sql().await;
    for kind in ["missing_key", "wrong_key", "ended_key", "forbidden", "foreign_account"] {
        eventually(&format!("{kind} is on record"), || async {
            let rows = sql
                .query(
                    "SELECT sum(times)::bigint, count(*) FROM gateway.security_event WHERE kind = $1",
                    &[&kind],
                )
                .await
                .expect("rows");
            let (times, rows): (Option<i64>, i64) = (rows[0].get(0), rows[0].get(1));
            let times = times.unwrap_or(0);
            assert!(rows <= times);
            let tried = if kind == "wrong_key" {
                strangers.len()
            } else {
                ROUTES.len()
            };
            (times >= tried as i64).then_some(())
        })
        .await;
    }
    let named = sql
        .query_one(
            "SELECT count(*) FROM gateway.security_event WHERE kind = 'ended_key' AND key_id = $1 AND host(source) = '127.0.0.1' AND request_id LIKE 'req_%'",
            &[&text(&revoked, "id")],
        )
        .await
        .expect("a row");
    assert!(
        named.get::<_, i64>(0) > 0,
        "with whose key, from where, in which request"
    );
}

#[tokio::test]
async fn a_key_is_made_used_rolled_and_ended() {
    let app = TestApp::shared().await;
    let first = create(
        app,
        &["--scope", "checkout:write", "--name", "shop", "--expires-in", "2h"],
    )
    .await;
    let (first_id, first_key) = (text(&first, "id").to_owned(), text(&first, "key").to_owned());
    let list = |key: String| async move { app.get("/v1/payment_intents").key(&key).send().await };
    list(first_key.clone()).await.ok();

    let entry = |id: String| async move {
        let listed: Value = serde_json::from_str(&keys(app, &["list", "--json"]).await).expect("JSON");
        let all = listed.as_array().expect("a list").clone();
        all.into_iter().find(|key| key["id"] == id.as_str()).expect("listed")
    };
    let used = eventually("its use is noted", || async {
        let entry = entry(first_id.clone()).await;
        entry["last_used_at"].is_string().then_some(entry)
    })
    .await;
    assert_eq!(
        (&used["state"], &used["name"], &used["scopes"]),
        (&json!("active"), &json!("shop"), &json!(["checkout:write"]))
    );

    let second: Value =
        serde_json::from_str(&keys(app, &["rotate", &first_id, "--overlap", "1h", "--json"]).await).expect("JSON");
    let (second_id, second_key) = (text(&second, "id").to_owned(), text(&second, "key").to_owned());
    assert_ne!(text(&first, "signing_secret"), text(&second, "signing_secret"));
    list(first_key.clone()).await.ok();
    list(second_key.clone()).await.ok();
    let refunds = app.get("/v1/refunds").key(&second_key).send().await;
    assert_eq!(refunds.status, 403, "the same rights, not more: {refunds}");
    let rolled = entry(second_id.clone()).await;
    assert_eq!(
        (&rolled["replaces"], &rolled["name"], &rolled["expires_at"]),
        (&json!(first_id), &json!("shop"), &Value::Null)
    );

    keys(app, &["expire", &first_id, "--in", "0s"]).await;
    keys(app, &["revoke", &second_id]).await;
    for (key, how) in [(first_key.clone(), "expired"), (second_key.clone(), "revoked")] {
        eventually(&format!("a key that was {how} is refused"), || async {
            let answer = list(key.clone()).await;
            (answer.status == 401 && answer.text("/error/code") == "api_key_expired").then_some(())
        })
        .await;
    }
    assert_eq!(entry(first_id.clone()).await["state"], "expired");
    assert_eq!(entry(second_id.clone()).await["state"], "revoked");
    for arguments in [
        ["revoke", "key_none"],
        ["revoke", &second_id],
        ["rotate", &second_id],
        ["rotate", &first_id],
    ] {
        let again = app.counterfoil(&[&["keys"], &arguments[..]].concat()).await;
        assert!(!again.status.success(), "{arguments:?}: {}", said(&again));
    }
    let table = keys(app, &["list"]).await;
    assert!(table.contains(&first_id) && table.contains("revoked"), "{table}");

    // Nothing that was shown once can be found again.
    let dump: Vec<String> = app
        .sql()
        .await
        .query("SELECT row_to_json(k)::text FROM gateway.api_key k", &[])
        .await
        .expect("rows")
        .iter()
        .map(|row| row.get(0))
        .collect();
    for secret in [first_key.as_str(), text(&first, "signing_secret"), second_key.as_str()] {
        assert!(!table.contains(secret));
        assert!(dump.iter().all(|row| !row.contains(secret)));
    }
}

#[tokio::test]
async fn a_key_is_never_changed_and_the_serving_role_makes_none() {
    let app = TestApp::shared().await;
    let made = create(app, &["--scope", "risk:read"]).await;
    let id = text(&made, "id");
    keys(app, &["revoke", id]).await;
    let owner = app.sql().await;
    let serving = app.sql_as(Some("gateway_app")).await;
    for (client, statement) in [
        (
            &owner,
            "UPDATE gateway.api_key SET scopes = '{admin:write}' WHERE id = $1",
        ),
        (
            &owner,
            "UPDATE gateway.api_key SET platform = NOT platform WHERE id = $1",
        ),
        (
            &owner,
            "UPDATE gateway.api_key SET signature_required = NOT signature_required WHERE id = $1",
        ),
        (
            &owner,
            "UPDATE gateway.api_key SET client_certificate = 'cn:other' WHERE id = $1",
        ),
        (&owner, "UPDATE gateway.api_key SET revoked_at = NULL WHERE id = $1"),
        (&owner, "DELETE FROM gateway.api_key WHERE id = $1"),
        (&owner, "UPDATE gateway.security_event SET times = 1 WHERE key_id = $1"),
        (&owner, "DELETE FROM gateway.security_event WHERE key_id = $1"),
        (&serving, "UPDATE gateway.api_key SET revoked_at = NULL WHERE id = $1"),
        (
            &serving,
            "UPDATE gateway.api_key SET expires_at = 'infinity' WHERE id = $1",
        ),
        (&serving, "DELETE FROM gateway.api_key WHERE id = $1"),
        (
            &serving,
            "DELETE FROM gateway.nonce WHERE expires_at > now() OR $1 = ''",
        ),
        (&serving, "SELECT 1 FROM gateway.security_event WHERE key_id = $1"),
        (
            &serving,
            "INSERT INTO gateway.api_key (hash, id, book_id, kind, platform, scopes, hint, created_at)
             SELECT sha256('x'), 'key_x', book_id, 'secret', true, '{}', '', now() FROM gateway.api_key WHERE id = $1",
        ),
    ] {
        let refused = client.execute(statement, &[&id]).await.expect_err(statement);
        let code = refused.as_db_error().map(|error| error.code().code().to_owned());
        assert_eq!(code.as_deref(), Some("42501"), "{statement}: {refused}");
    }
}
