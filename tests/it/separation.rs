//! Two merchants on one service: nothing of the one is seen, changed or guessed by the other. A foreign id and an id that
//! never existed get the same answer: status, text, shape and headers. The second merchant's objects are sought with the first
//! one's keys, which have every scope and are no platform's.

use gateway::api::{ROUTES, Route};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tests::{Answer, Request, TestApp, eventually, said};

#[tokio::test]
async fn a_foreign_id_is_answered_like_one_that_never_was() {
    let app = TestApp::shared().await;
    let mine = objects(app).await;
    let customer = app.post("/v1/customers").send().await.ok();
    let mut tried = 0;
    for route in ROUTES.iter().filter(|route| route.path.contains('{')) {
        let parts: Vec<&str> = route.path.split('/').skip(2).collect();
        let Some(kind) = parts.iter().find(|part| **part != "radar").copied() else {
            continue;
        };
        let foreign = mine.get(kind).unwrap_or_else(|| panic!("no object for {}", route.path));
        let absent = absent(foreign);
        let ask = async |id: &str, method: &str| {
            let path = route
                .path
                .replace("{id}", id)
                .replace("{method}", method)
                .replace("{bank}", &mine["bank"]);
            let request = intruder(app, route, &path);
            match route.path.rsplit('/').next() {
                Some("attach") => request.params(json!({ "customer": customer["id"] })).send().await,
                Some("increment_authorization") => request.params(json!({ "amount": 9000 })).send().await,
                _ => request.send().await,
            }
        };
        let method = &mine["payment_methods"];
        let (seen, unseen) = (ask(foreign, method).await, ask(&absent, &self::absent(method)).await);
        let what = format!("{} {}", route.method, route.path);
        // Of accounts Stripe says with 403 that there is none, or that it is not yours.
        let expected = if kind == "accounts" || route.platform { 403 } else { 404 };
        assert_eq!(seen.status, expected, "{what}: {seen}");
        assert_eq!(
            blank(&seen, &[foreign, method]),
            blank(&unseen, &[&absent, &self::absent(method)]),
            "{what}"
        );
        // The owner does see it: the refusal above is not about the id.
        if route.method == "GET" {
            let path = route
                .path
                .replace("{id}", foreign)
                .replace("{method}", method)
                .replace("{bank}", &mine["bank"]);
            let own = app.get(&path).account(&app.told("/merchants/1/id")).send().await;
            assert_eq!(own.status, 200, "{what}: {own}");
        }
        tried += 1;
    }
    assert!(tried > 25, "{tried}");
}

#[tokio::test]
async fn lists_filters_and_parameters_know_nothing_of_another_merchant() {
    let app = TestApp::shared().await;
    let mine = objects(app).await;
    for route in ROUTES
        .iter()
        .filter(|route| route.method == "GET" && !route.path.contains('{'))
        .filter(|route| route.path != "/v1/audit_events")
    // there it reads what it has asked for itself
    {
        let listed = intruder(app, route, route.path).send().await;
        let text = listed.to_string();
        for id in mine.values() {
            assert!(!text.contains(id.as_str()), "{}: {text}", route.path);
        }
    }
    // As a filter, as a cursor, as a reference in a write.
    let same = [
        ("GET", "/v1/payment_intents", "customer", "customers"),
        ("GET", "/v1/payment_intents", "starting_after", "payment_intents"),
        ("GET", "/v1/charges", "payment_intent", "payment_intents"),
        ("GET", "/v1/refunds", "charge", "charges"),
        ("GET", "/v1/balance_transactions", "source", "charges"),
        ("GET", "/v1/disputes", "payment_intent", "payment_intents"),
        ("GET", "/v1/payment_methods", "customer", "customers"),
        ("GET", "/v1/cases", "payment_intent", "payment_intents"),
        ("GET", "/v1/cases", "starting_after", "cases"),
        ("POST", "/v1/cases", "payment_intent", "payment_intents"),
        ("POST", "/v1/refunds", "payment_intent", "payment_intents"),
        ("POST", "/v1/refunds", "charge", "charges"),
    ];
    for (method, path, parameter, kind) in same {
        let foreign = &mine[kind];
        let absent = absent(foreign);
        let ask = async |id: &str| {
            let route = ROUTES.iter().find(|route| (route.method, route.path) == (method, path));
            let request = intruder(app, route.expect("a route"), path);
            request.params(json!({ parameter: id })).send().await
        };
        let (seen, unseen) = (ask(foreign).await, ask(&absent).await);
        assert_eq!(
            blank(&seen, &[foreign]),
            blank(&unseen, &[&absent]),
            "{method} {path} {parameter}"
        );
    }
    let pay = async |customer: &str, method: &str| {
        let parameters = json!({ "amount": 100, "currency": "usd", "customer": customer, "payment_method": method });
        app.post("/v1/payment_intents")
            .key(&app.told("/restricted_keys/checkout"))
            .params(parameters)
            .send()
            .await
    };
    let (customer, method) = (&mine["customers"], &mine["payment_methods"]);
    let seen = pay(customer, method).await;
    assert!((400..405).contains(&seen.status), "{seen}");
    let unseen = pay(&absent(customer), &absent(method)).await;
    assert_eq!(
        blank(&seen, &[customer, method]),
        blank(&unseen, &[&absent(customer), &absent(method)])
    );
}

/// A request of the first merchant, with its key for this route.
fn intruder<'a>(app: &'a TestApp, route: &Route, path: &str) -> Request<'a> {
    let key = app.told(&format!("/restricted_keys/{}", route.scope.as_str()));
    app.request(route.method, path).key(&key)
}

/// One object of each kind that has an id, of the second merchant, by its name in the path.
async fn objects(app: &TestApp) -> BTreeMap<String, String> {
    let owner = app.told("/merchants/1/id");
    let get = |path: &str| app.get(path).account(&owner);
    let create = async |path: &str, parameters: Value| {
        let request = app.post(path).account(&owner);
        request.params(parameters).send().await.ok()
    };
    let card = json!({ "number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123" });
    let method = create("/v1/payment_methods", json!({ "type": "card", "card": card })).await;
    let customer = create("/v1/customers", json!({ "name": "Ada" })).await;
    let attach = format!("/v1/payment_methods/{}/attach", text(&method, "id"));
    create(&attach, json!({ "customer": customer["id"] })).await;
    let sale = |method: &str| json!({ "amount": 1900, "currency": "usd", "payment_method": method, "confirm": true });
    let payment = create("/v1/payment_intents", sale("pm_card_visa")).await;
    let refund = create("/v1/refunds", json!({ "payment_intent": payment["id"], "amount": 100 })).await;
    let case = json!({ "payment_intent": payment["id"], "type": "other", "reason": "a test's", "amount": 50 });
    let case = create("/v1/cases", case).await;
    let hook = json!({ "url": "https://127.0.0.1:18443/hook", "enabled_events": ["charge.dispute.closed"] });
    let endpoint = create("/v1/webhook_endpoints", hook).await;
    let setup = create("/v1/setup_intents", json!({ "customer": customer["id"] })).await;
    let charge = get(&format!("/v1/charges/{}", text(&payment, "latest_charge")))
        .send()
        .await
        .ok();
    let event = get("/v1/events").form("limit=1").send().await.ok();
    let audited = get("/v1/audit_events").form("limit=1").send().await.ok();
    create("/v1/payment_intents", sale("pm_card_riskLevelElevated")).await;
    let disputed = create("/v1/payment_intents", sale("pm_card_createDispute")).await;
    let first = async |path: &str, form: &str| {
        eventually(path, || async {
            let listed = get(path).form(form).send().await.ok();
            listed["data"][0]["id"].as_str().map(str::to_owned)
        })
        .await
    };
    let dispute = first("/v1/disputes", &format!("payment_intent={}", text(&disputed, "id"))).await;
    let review = first("/v1/reviews", "limit=1").await;
    let fees = json!({ "kind": "fee_schedule", "account": owner, "percent": "2.9", "override_reason": "a test's" });
    let terms = create("/v1/terms", fees).await;
    let once = uuid::Uuid::now_v7().simple().to_string();
    let rule = json!({ "name": format!("r{once}"), "action": "review", "condition": "amount == 987654321" });
    let rule = create("/v1/radar/rules", rule).await;
    let list = json!({ "alias": format!("l{once}"), "name": "Mine", "item_type": "device" });
    let list = create("/v1/radar/value_lists", list).await;
    let item = create(
        "/v1/radar/value_list_items",
        json!({ "value_list": list["id"], "value": once }),
    )
    .await;
    let blocked = app
        .post("/v1/payment_intents")
        .account(&owner)
        .params(sale("pm_card_radarBlock"))
        .send()
        .await;
    let appeal = json!({ "charge": blocked.text("/error/charge"), "requested_by": "consumer" });
    let appeal = create("/v1/radar/block_appeals", appeal).await;
    let number = json!({ "number": "4000000000005423", "exp_month": 12, "exp_year": 2040, "cvc": "123" });
    let warned = json!({ "amount": 1900, "currency": "usd", "confirm": true, "payment_method_data": { "type": "card", "card": number } });
    let warned = create("/v1/payment_intents", warned).await;
    let filter = format!("payment_intent={}", text(&warned, "id"));
    let warning = first("/v1/radar/early_fraud_warnings", &filter).await;
    let mut with_fee = sale("pm_card_visa");
    with_fee["application_fee_amount"] = 100.into();
    create("/v1/payment_intents", with_fee).await;
    let fee = first("/v1/application_fees", "limit=1").await;
    let (bank, payout) = paid_out(app, &owner).await;
    // Another test's file may have taken the payout already.
    let pending = json!({ "currency": "chf" });
    app.post("/v1/payout_files")
        .account(&owner)
        .params(pending)
        .send()
        .await;
    let file = first("/v1/payout_files", "limit=1").await;
    let signal = format!("rsig_{once}");
    app.sql()
        .await
        .execute(
            "INSERT INTO risk.signal (book_id, id, version, kind, subject, day, evidence, status, created_at)
             SELECT book_id, $1, 1, 'refund_spike', $1, now()::date, '{}', 'open', now() FROM gateway.merchant WHERE id = $2",
            &[&signal, &owner],
        )
        .await
        .expect("a signal");
    let mut wanted = sale("pm_card_visa");
    wanted["receipt_email"] = "ada@shop.example".into();
    create("/v1/payment_intents", wanted).await;
    let receipt = first("/v1/receipts", "limit=1").await;
    let upload = "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\ndispute_evidence\r\n--b\r\nContent-Disposition: \
                  form-data; name=\"file\"; filename=\"a.pdf\"\r\n\r\n%PDF-1.7\r\n--b--\r\n";
    let evidence = app
        .post("/v1/files")
        .account(&owner)
        .body("multipart/form-data; boundary=b", upload);
    let evidence = evidence.send().await.ok();
    BTreeMap::from([
        ("files".into(), text(&evidence, "id")),
        ("signals".into(), signal),
        ("bank".into(), bank),
        ("application_fees".into(), fee),
        ("receipts".into(), receipt),
        ("payouts".into(), payout),
        ("payout_files".into(), file),
        ("block_appeals".into(), text(&appeal, "id")),
        ("early_fraud_warnings".into(), warning),
        ("terms".into(), text(&terms, "id")),
        ("rules".into(), text(&rule, "id")),
        ("value_lists".into(), text(&list, "id")),
        ("value_list_items".into(), text(&item, "id")),
        ("payment_intents".into(), text(&payment, "id")),
        ("charges".into(), text(&charge, "id")),
        ("setup_intents".into(), text(&setup, "id")),
        ("refunds".into(), text(&refund, "id")),
        ("customers".into(), text(&customer, "id")),
        ("payment_methods".into(), text(&method, "id")),
        ("webhook_endpoints".into(), text(&endpoint, "id")),
        ("events".into(), text(&event["data"][0], "id")),
        ("balance_transactions".into(), text(&charge, "balance_transaction")),
        ("audit_events".into(), text(&audited["data"][0], "id")),
        ("accounts".into(), owner.clone()),
        ("disputes".into(), dispute),
        ("cases".into(), text(&case, "id")),
        ("reviews".into(), review),
    ])
}

/// A bank account and a payout of the second merchant; their ids. The settlement delay is longer than a test: two people make the money available.
async fn paid_out(app: &TestApp, owner: &str) -> (String, String) {
    let create =
        async |path: &str, parameters: Value| app.post(path).account(owner).params(parameters).send().await.ok();
    let sale = json!({ "amount": 5000, "currency": "chf", "payment_method": "pm_card_visa", "confirm": true });
    create("/v1/payment_intents", sale).await;
    let bank = json!({ "external_account": { "country": "CH", "currency": "chf", "account_number": "CH9300762011623852957" } });
    let bank = create(&format!("/v1/accounts/{owner}/external_accounts"), bank).await;
    let today = app
        .sql()
        .await
        .query_one("SELECT ((now() AT TIME ZONE 'UTC')::date)::text", &[])
        .await
        .expect("a date");
    let today: String = today.get(0);
    let run = async |words: &[&str]| {
        let output = app
            .counterfoil(&[&["ledger", "journal"], words, &["--book", owner]].concat())
            .await;
        assert!(output.status.success(), "{}", said(&output));
        output.stdout
    };
    let moved = [
        "--debit",
        "2010.chf=20.00",
        "--credit",
        "2020.chf=20.00",
        "--reason",
        "a test's",
        "--ticket",
        "T-1",
    ];
    let proposed = run(&[&["propose", "--by", "ann", "--at", &today], &moved[..]].concat()).await;
    let proposed: Value = serde_json::from_slice(&proposed).expect("JSON");
    run(&["approve", "--by", "bob", &text(&proposed, "proposal")]).await;
    let payout = create("/v1/payouts", json!({ "amount": 2000, "currency": "chf" })).await;
    (text(&bank, "id"), text(&payout, "id"))
}

fn text(object: &Value, name: &str) -> String {
    object[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name}: {object}"))
        .to_owned()
}

/// An id of the same shape that nobody has.
fn absent(id: &str) -> String {
    let (prefix, suffix) = id.split_at(id.find('_').expect("a prefix") + 1);
    let last = suffix.chars().last().expect("a suffix");
    let other = if last == '0' { '1' } else { '0' };
    format!("{prefix}{}{other}", &suffix[..suffix.len() - 1])
}

/// An answer without what differs from one request to the next: status, body with the ids blanked, names of headers.
fn blank(answer: &Answer, ids: &[&str]) -> (u16, String, Vec<String>) {
    let mut body = String::from_utf8_lossy(&answer.body).into_owned();
    for id in ids {
        body = body.replace(id, "ID");
    }
    let request = answer.header("request-id");
    if !request.is_empty() {
        body = body.replace(request, "REQUEST");
    }
    let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
    names.sort();
    (answer.status, body, names)
}
