//! The console over HTTPS, without a browser: who may open what, what a form proves, how one gets in and stays out, and that no page
//! asks the database for more than an index gives. What a browser makes of it is in `console_browser`.

use gateway::console::pages::PAGES;
use gateway::console::query::Query;
use gateway::console::role::Role;
use serde_json::{Value, json};
use tests::{Answer, TestApp, eventually};

/// A person at a browser, as far as HTTP goes.
struct Person<'a> {
    app: &'a TestApp,
    cookie: String,
}

impl<'a> Person<'a> {
    /// The seeded person of this role, signed in.
    async fn of(app: &'a TestApp, role: &str) -> Self {
        let users = app.announced()["console_users"].as_array().expect("users").clone();
        let user = users.iter().find(|user| user["role"] == role).expect("a person");
        Self::sign_in(app, text(user, "user"), text(user, "password"))
            .await
            .expect("signs in")
    }

    async fn sign_in(app: &'a TestApp, name: &str, password: &str) -> Result<Self, Answer> {
        let form = tests::encode(&json!({ "name": name, "password": password, "next": "/" }));
        let answer = app.ops("POST", "/sign-in").form(&form).send().await;
        match answer.status {
            303 => Ok(Self {
                app,
                cookie: cookie(&answer),
            }),
            _ => Err(answer),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.app.ops("GET", path).header("cookie", &self.cookie).send().await
    }

    /// Presses the button of a form that is on a page of ours.
    async fn post(&self, path: &str, fields: Value) -> Answer {
        let mut fields = fields;
        fields["form_token"] = json!(self.form_token().await);
        self.post_bare(path, fields).await
    }

    async fn post_bare(&self, path: &str, fields: Value) -> Answer {
        let request = self.app.ops("POST", path).header("cookie", &self.cookie);
        request.form(&tests::encode(&fields)).send().await
    }

    async fn form_token(&self) -> String {
        let page = html(&self.get("/settings").await);
        within(&page, "name=\"form_token\" value=\"", "\"").to_owned()
    }
}

fn cookie(answer: &Answer) -> String {
    answer
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn html(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

fn within<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let rest = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before} in {text}"))
        .1;
    rest.split_once(after).expect("an end").0
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

async fn pay(app: &TestApp, merchant: usize, parameters: Value) -> Value {
    let mut all = json!({ "amount": 2500, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true });
    for (name, value) in parameters.as_object().expect("parameters") {
        all[name] = value.clone();
    }
    let account = app.told(&format!("/merchants/{merchant}/id"));
    app.post("/v1/payment_intents")
        .account(&account)
        .params(all)
        .send()
        .await
        .ok()
}

/// A path of the table with something in its gaps.
fn filled(path: &str) -> String {
    path.replace("{id}", "none_1")
        .replace("{account}", "acct_harbourbooks")
        .replace("{book}", "acct_harbourbooks")
        .replace("{act}", "none")
}

#[tokio::test]
async fn every_role_opens_its_pages_and_no_other() {
    let app = TestApp::shared().await;
    let mut opened = 0;
    for role in Role::ALL {
        let person = Person::of(app, role.as_str()).await;
        for entry in PAGES.iter().filter(|entry| entry.method == "GET") {
            let answer = person.get(&filled(entry.path)).await;
            let what = format!("{} as {}", entry.path, role.as_str());
            if entry.roles.contains(&role) {
                assert!(
                    [200, 303, 400, 404].contains(&answer.status),
                    "{what}: {}",
                    answer.status
                );
                assert!(
                    entry.area.is_empty() || answer.status == 200,
                    "{what}: {}",
                    html(&answer)
                );
                let page = html(&answer);
                assert!(!page.contains('⟦'), "{what} lacks words: {}", within(&page, "⟦", "⟧"));
                opened += usize::from(answer.status == 200);
            } else {
                assert_eq!(answer.status, 403, "{what}");
            }
        }
        for entry in PAGES
            .iter()
            .filter(|entry| entry.method == "POST" && !entry.roles.contains(&role))
        {
            let answer = person.post(&filled(entry.path), json!({})).await;
            assert_eq!(answer.status, 403, "POST {} as {}", entry.path, role.as_str());
        }
    }
    assert!(opened > 100, "{opened} pages");
    for entry in PAGES {
        let answer = app.ops(entry.method, &filled(entry.path)).send().await;
        assert_eq!(answer.status, 303, "{entry:?} without a session");
        assert!(answer.header("location").starts_with("/sign-in"), "{entry:?}");
    }
}

#[tokio::test]
async fn nothing_is_done_without_the_forms_token_or_from_another_site() {
    let app = TestApp::shared().await;
    let person = Person::of(app, "supervisor").await;
    let stranger = Person::of(app, "admin").await;
    for entry in PAGES.iter().filter(|entry| entry.method == "POST") {
        let path = filled(entry.path);
        for fields in [
            json!({}),
            json!({ "form_token": "0".repeat(64) }),
            json!({ "form_token": stranger.form_token().await }),
        ] {
            let answer = person.post_bare(&path, fields).await;
            assert_eq!(answer.status, 403, "{entry:?}");
        }
    }
    let (token, address) = (person.form_token().await, app.told("/ops_url"));
    for (header, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let form = tests::encode(&json!({ "form_token": token, "theme": "dark" }));
        let request = app
            .ops("POST", "/settings")
            .header("cookie", &person.cookie)
            .header(header, value);
        assert_eq!(request.form(&form).send().await.status, 403, "{header}: {value}");
        let form = tests::encode(&json!({ "name": "admin", "password": "x" }));
        let request = app.ops("POST", "/sign-in").header(header, value).form(&form);
        assert_eq!(request.send().await.status, 403, "signing in with {header}: {value}");
    }
    let form = tests::encode(&json!({ "form_token": token, "theme": "dark" }));
    let request = app
        .ops("POST", "/settings")
        .header("cookie", &person.cookie)
        .header("origin", &address);
    assert_eq!(request.form(&form).send().await.status, 303);
    let page = html(&person.get("/settings").await);
    assert!(page.contains("data-theme=\"dark\""), "{page}");
}

#[tokio::test]
async fn every_answer_says_what_a_browser_may_do_with_it() {
    let app = TestApp::shared().await;
    let person = Person::of(app, "auditor").await;
    for answer in [
        app.ops("GET", "/sign-in").send().await,
        app.ops("GET", "/assets/console.css").send().await,
        person.get("/").await,
        person.get("/payments/none").await,
        person.get("/payments.csv").await,
    ] {
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        let page = html(&answer);
        assert!(
            !page.contains(" style=") && !page.contains("<script>") && !page.contains("http://"),
            "{page}"
        );
    }
    let answer = app
        .ops("POST", "/sign-in")
        .form(&tests::encode(&json!({})))
        .send()
        .await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let users = app.announced()["console_users"][0].clone();
    let form =
        tests::encode(&json!({ "name": users["user"], "password": users["password"], "next": "//evil.example" }));
    let answer = app.ops("POST", "/sign-in").form(&form).send().await;
    assert_eq!(answer.header("location"), "/", "one goes on to our own pages");
    let set = answer.header("set-cookie");
    assert!(set.starts_with("__Host-counterfoil="), "{set}");
    for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
        assert!(set.contains(attribute), "{set}");
    }
}

#[tokio::test]
async fn five_wrong_answers_lock_out_and_an_operator_unlocks() {
    let app = TestApp::start().await;
    let made = app
        .counterfoil(&["users", "create", "ada", "--role", "auditor", "--json"])
        .await;
    assert!(made.status.success(), "{}", tests::said(&made));
    let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let password = text(&made, "password");
    for _ in 0..5 {
        let refused = Person::sign_in(&app, "ada", "not the password")
            .await
            .err()
            .expect("refused");
        assert_eq!(refused.status, 403);
        assert!(!html(&refused).contains("not the password"));
    }
    let locked = Person::sign_in(&app, "ada", password).await.err().expect("locked out");
    let nobody = Person::sign_in(&app, "nobody", "not the password")
        .await
        .err()
        .expect("refused");
    assert_eq!(
        (locked.status, nobody.status),
        (403, 403),
        "and nothing tells the two apart"
    );
    let plain = |answer: &Answer| html(answer).replace("nobody", "ada");
    assert_eq!(plain(&locked), plain(&nobody));

    assert!(app.counterfoil(&["users", "unlock", "ada"]).await.status.success());
    let ada = Person::sign_in(&app, "ada", password).await.expect("unlocked");
    let first = ada.get("/payments").await;
    assert_eq!(first.header("location"), "/settings/password", "somebody else made it");
    let own = json!({ "old": password, "new": "a sentence of my own", "again": "a sentence of my own" });
    let weak = json!({ "old": password, "new": "short", "again": "short" });
    let token = within(
        &html(&ada.get("/settings/password").await),
        "name=\"form_token\" value=\"",
        "\"",
    )
    .to_owned();
    let with = |mut fields: Value| {
        fields["form_token"] = json!(token);
        fields
    };
    assert_eq!(ada.post_bare("/settings/password", with(weak)).await.status, 400);
    assert_eq!(ada.post_bare("/settings/password", with(own)).await.status, 303);
    assert_eq!(
        ada.get("/").await.status,
        303,
        "the session ended with the old password"
    );
    let ada = Person::sign_in(&app, "ada", "a sentence of my own")
        .await
        .expect("signs in");
    assert_eq!(ada.get("/payments").await.status, 200);

    assert!(app.counterfoil(&["users", "disable", "ada"]).await.status.success());
    assert_eq!(ada.get("/payments").await.status, 303, "shut out at the next click");
    assert!(Person::sign_in(&app, "ada", "a sentence of my own").await.is_err());
    let log = app.sql().await;
    let sql = "SELECT count(*) FROM gateway.audit_event WHERE actor = 'user:ada' AND action = 'POST /sign-in' AND result = $1";
    for (result, least) in [("refused", 6i64), ("done", 2)] {
        let count: i64 = log.query_one(sql, &[&result]).await.expect("counts").get(0);
        assert!(count >= least, "{result}: {count}");
    }
}

#[tokio::test]
async fn a_quiet_session_is_locked_and_a_second_factor_is_asked_for_once_set() {
    let app = TestApp::start().await;
    let person = Person::of(&app, "operator").await;
    let page = html(&person.get("/settings/second-factor").await);
    let secret = within(&page, "<code>", "</code>").to_owned();
    let wrong = person
        .post("/settings/second-factor", json!({ "code": "000000" }))
        .await;
    assert_eq!(wrong.status, 400);
    let set = person
        .post("/settings/second-factor", json!({ "code": code(&secret, 0) }))
        .await;
    assert_eq!(set.status, 303, "{}", html(&set));

    // The password alone opens nothing now.
    let half = Person::of(&app, "operator").await;
    assert_eq!(half.get("/payments").await.header("location"), "/sign-in/code");
    assert_eq!(half.get("/live").await.status, 403);
    let asked = html(&half.get("/sign-in/code").await);
    let token = within(&asked, "name=\"form_token\" value=\"", "\"");
    let used = half
        .post_bare(
            "/sign-in/code",
            json!({ "form_token": token, "code": code(&secret, 0) }),
        )
        .await;
    assert_eq!(used.status, 403, "a code is good once");
    let taken = half
        .post_bare(
            "/sign-in/code",
            json!({ "form_token": token, "code": code(&secret, 1) }),
        )
        .await;
    assert_eq!(taken.status, 303, "{}", html(&taken));
    let whole = Person {
        app: &app,
        cookie: cookie(&taken),
    };
    assert_ne!(whole.cookie, half.cookie, "a new cookie with the new right");
    assert_eq!(whole.get("/payments").await.status, 200);
    assert_eq!(half.get("/payments").await.status, 303, "the old one is worth nothing");

    let owner = app.sql().await;
    let age = "UPDATE gateway.console_session SET seen_at = now() - interval '16 minutes' WHERE ended_at IS NULL";
    owner.execute(age, &[]).await.expect("ages");
    let locked = whole.get("/payments?status=failed").await;
    assert_eq!(locked.header("location"), "/sign-in?next=%2Fpayments%3Fstatus%3Dfailed");
    // The database holds a session to its bounds too, whoever writes.
    let revived = owner
        .execute(
            "UPDATE gateway.console_session SET expires_at = now() + interval '1 year'",
            &[],
        )
        .await;
    assert!(revived.is_err());
}

#[tokio::test]
async fn a_merchants_reader_sees_what_is_the_merchants_and_nothing_else() {
    let app = TestApp::shared().await;
    let (mine, other) = (
        pay(app, 0, json!({ "description": "of the first" })).await,
        pay(app, 1, json!({ "description": "of the second" })).await,
    );
    let reader = Person::of(app, "merchant_read_only").await;
    let staff = Person::of(app, "supervisor").await;
    let (mine, other) = (text(&mine, "id"), text(&other, "id"));
    assert_eq!(reader.get(&format!("/payments/{mine}")).await.status, 200);
    assert_eq!(staff.get(&format!("/payments/{other}")).await.status, 200);
    assert_eq!(reader.get(&format!("/payments/{other}")).await.status, 404);
    assert_eq!(reader.get("/merchants/acct_northwindtea").await.status, 404);
    for path in [
        "/payments",
        "/payments.csv",
        "/",
        "/disputes",
        "/payouts",
        "/payments?account=acct_northwindtea",
    ] {
        let page = html(&reader.get(path).await);
        assert!(
            !page.contains(other) && !page.contains("Northwind"),
            "{path} shows another merchant"
        );
    }
    let found = reader.get(&format!("/search?q={other}")).await;
    assert_eq!(reader.get(found.header("location")).await.status, 404);
}

#[tokio::test]
async fn what_merchants_write_is_text_on_every_page() {
    let app = TestApp::shared().await;
    let nasty = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&";
    let paid = pay(app, 0, json!({ "description": nasty, "metadata": { "note": nasty } })).await;
    let person = Person::of(app, "supervisor").await;
    for path in [
        format!("/payments/{}", text(&paid, "id")),
        "/payments".into(),
        format!("/payments?customer={}", "%3Cscript%3Ealert(1)"),
    ] {
        let page = html(&person.get(&path).await);
        assert!(
            !page.contains("<script>alert") && !page.contains("<img src=x"),
            "{path}"
        );
        assert!(
            page.contains("&#60;script&#62;alert") || page.contains("&lt;script&gt;alert"),
            "{path} shows it as text"
        );
    }
    let csv = html(&person.get("/payments.csv?account=acct_harbourbooks").await);
    assert!(csv.contains("onerror=alert(2)"), "an export has what was written");
}

#[tokio::test]
async fn a_large_refund_takes_two_people_and_happens_once() {
    let app = TestApp::shared().await;
    let paid = pay(app, 0, json!({ "amount": 250_000 })).await;
    let id = text(&paid, "id");
    let (maker, checker) = (Person::of(app, "operator").await, Person::of(app, "supervisor").await);
    let asked = json!({ "amount": "2,000.00", "note": "sent the wrong goods", "once": "a-form-of-this-test" });
    let unexplained = maker
        .post(&format!("/payments/{id}/refund"), json!({ "amount": "2000.00" }))
        .await;
    assert_eq!(unexplained.status, 400, "who decides wants to know why");
    let first = maker.post(&format!("/payments/{id}/refund"), asked.clone()).await;
    let again = maker.post(&format!("/payments/{id}/refund"), asked).await;
    assert_eq!(first.header("location"), again.header("location"), "one form asks once");
    let approval = first.header("location").split('?').next().expect("a path").to_owned();
    let refunded = async || {
        app.get("/v1/refunds")
            .params(json!({ "payment_intent": id }))
            .send()
            .await
            .ok()["data"]
            .clone()
    };
    assert_eq!(refunded().await, json!([]), "nothing has moved");

    let own = Person::of(app, "admin").await;
    let small = maker.post(&format!("{approval}/approve"), json!({})).await;
    assert_eq!(small.status, 403, "an operator approves nothing");
    let decide = format!("{approval}/approve");
    let done = tokio::join!(checker.post(&decide, json!({})), own.post(&decide, json!({})));
    let statuses = [done.0.status, done.1.status];
    assert!(statuses.contains(&303), "{statuses:?}");
    let refunds = refunded().await;
    assert_eq!(refunds.as_array().map(Vec::len), Some(1), "{refunds}");
    assert_eq!(refunds[0]["amount"], 200_000);
    let page = html(&checker.get(&approval).await);
    assert!(page.contains(text(&refunds[0], "id")), "what came of it");

    let maker_too = Person::of(app, "supervisor").await;
    let large = pay(app, 0, json!({ "amount": 150_000 })).await;
    let asked = maker_too
        .post(
            &format!("/payments/{}/refund", text(&large, "id")),
            json!({ "amount": "1500", "note": "x" }),
        )
        .await;
    let path = asked.header("location").split('?').next().expect("a path").to_owned();
    assert_eq!(maker_too.post(&format!("{path}/approve"), json!({})).await.status, 403);
    // The database refuses one person as both, whatever this program would do.
    let owner = app.sql().await;
    let alone = "UPDATE gateway.approval SET status = 'approved', checker = ' ' || upper(maker), decided_at = now() WHERE status = 'open'";
    let refused = owner.execute(alone, &[]).await.expect_err("one person as both");
    let constraint = refused
        .as_db_error()
        .and_then(|error| error.constraint())
        .map(str::to_owned);
    assert_eq!(constraint.as_deref(), Some("approval_two_people"));
}

#[tokio::test]
async fn a_review_is_decided_and_what_was_done_is_in_the_audit_log() {
    let app = TestApp::shared().await;
    let held = pay(
        app,
        0,
        json!({ "amount": 3100, "payment_method": "pm_card_riskLevelElevated" }),
    )
    .await;
    let person = Person::of(app, "risk_analyst").await;
    let account = app.told("/merchants/0/id");
    let review = eventually("the review", || async {
        let listed = app
            .get("/v1/reviews")
            .account(&account)
            .params(json!({ "payment_intent": held["id"] }))
            .send()
            .await
            .ok();
        listed["data"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    let page = html(&person.get(&format!("/reviews/{review}")).await);
    assert!(page.contains("data-key=\"a\""), "{page}");
    let done = person.post(&format!("/reviews/{review}/approve"), json!({})).await;
    assert_eq!(done.status, 303, "{}", html(&done));
    let twice = person.post(&format!("/reviews/{review}/approve"), json!({})).await;
    assert_eq!(twice.status, 400, "decided is decided");
    let payment = app
        .get(&format!("/v1/payment_intents/{}", text(&held, "id")))
        .account(&account)
        .send()
        .await
        .ok();
    assert_eq!(payment["status"], "succeeded");
    let log = app.sql().await;
    let sql =
        "SELECT role FROM gateway.audit_event WHERE actor = 'user:risk_analyst' AND object = $1 AND result = 'done'
               AND action = 'POST /v1/reviews/{id}/approve'";
    let rows = log.query(sql, &[&review]).await.expect("the log");
    assert_eq!(rows.len(), 1, "the API's own row, with the person's name");
    assert_eq!(rows[0].get::<_, &str>(0), "risk_analyst");
    let seen = "SELECT count(*) FROM gateway.audit_event WHERE actor = 'user:risk_analyst' AND object = $1 AND action = 'GET /reviews/{id}'";
    assert!(log.query_one(seen, &[&review]).await.expect("the log").get::<_, i64>(0) >= 1);
}

/// Tables that grow with payments.
const BIG: [&str; 20] = [
    "payment",
    "charge",
    "refund",
    "dispute",
    "review",
    "event",
    "balance_transaction",
    "delivery",
    "delivery_attempt",
    "callback",
    "request",
    "audit_event",
    "history",
    "security_event",
    "journal",
    "hold",
    "console_session",
    "settlement_line",
    "settlement_break",
    "settlement_claim",
];

#[tokio::test]
async fn no_query_of_the_console_walks_through_a_big_table() {
    let app = TestApp::shared().await;
    let client = app.sql().await;
    // Plans for any parameters, as they are in the long run, and a walk only where there is no other way.
    client
        .batch_execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
        .await
        .expect("settings");
    let mut queries: Vec<&Query> = PAGES.iter().flat_map(|entry| entry.queries.iter().copied()).collect();
    queries.push(&gateway::console::WAITING);
    queries.sort_by_key(|query| query.name);
    queries.dedup_by_key(|query| query.name);
    assert!(queries.len() > 25, "{}", queries.len());
    let mut wrong = Vec::new();
    for query in queries {
        let types = query
            .types
            .iter()
            .map(|kind| kind.name())
            .collect::<Vec<_>>()
            .join(", ");
        let (types, values) = match query.types.len() {
            0 => (String::new(), String::new()),
            count => (format!("({types})"), format!("({})", vec!["NULL"; count].join(", "))),
        };
        let sql = format!("DEALLOCATE ALL; PREPARE q{types} AS {}", query.sql);
        client
            .batch_execute(&sql)
            .await
            .unwrap_or_else(|error| panic!("{}: {error:?}", query.name));
        let rows = client
            .simple_query(&format!("EXPLAIN (FORMAT JSON) EXECUTE q{values}"))
            .await
            .unwrap_or_else(|error| panic!("{}: {error:?}", query.name));
        let plan = rows.iter().find_map(|row| match row {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        let plan: Value = serde_json::from_str(&plan.expect("a plan")).expect("JSON");
        walks(&plan[0]["Plan"], query.name, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn walks(node: &Value, query: &str, wrong: &mut Vec<String>) {
    let (kind, table) = (
        text(node, "Node Type"),
        node["Relation Name"].as_str().unwrap_or_default(),
    );
    let big = BIG.contains(&table) || table.starts_with("journal_2") || table == "journal_rest";
    if kind == "Seq Scan" && big {
        wrong.push(format!("{query} walks through {table}"));
    }
    for part in node["Plans"].as_array().into_iter().flatten() {
        walks(part, query, wrong);
    }
}

/// The code of a secret so many steps from now, as an authenticator has it: by Python's library, not by ours.
fn code(secret: &str, ahead: i64) -> String {
    let program = "import base64, hashlib, hmac, struct, sys, time
tag = hmac.new(base64.b32decode(sys.argv[1]), struct.pack('>q', int(time.time()) // 30 + int(sys.argv[2])), hashlib.sha1).digest()
at = tag[-1] & 15
print('%06d' % ((struct.unpack('>I', tag[at:at + 4])[0] & 0x7fffffff) % 1000000), end='')";
    let output = std::process::Command::new("python3")
        .args(["-c", program, secret, &ahead.to_string()])
        .output()
        .expect("python3");
    String::from_utf8(output.stdout).expect("digits")
}
