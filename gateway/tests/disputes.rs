//! Disputes over the whole path: the simulated acquirer, signed callbacks, a real database, the books audited after.

use axum::Router;
use axum::body::Body;
use gateway::connector::{self, stripe};
use gateway::dev::postgres::testing::TestServer;
use gateway::service::{ACQUIRER_CALLBACK_PATH, Service, ServiceConfig, migrate};
use gateway::webhook::signature;
use gateway::{audit, dev};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_postgres::{Client, NoTls};
use tower::ServiceExt;

const SECRET: &str = "whsec_of_the_test";
const PATIENCE: u32 = 400;

#[tokio::test(flavor = "multi_thread")]
async fn facts_in_reverse_and_twice_book_a_lost_chargeback_once() {
    let mut world = World::start().await;
    let (payment, charge, acquirer_id) = world.pay("pm_card_visa", 5_000).await;
    let dispute = |status: &str, withdrawn: bool| {
        let transactions = if withdrawn {
            json!([{"id": "txn_1", "amount": -5_000, "fee": 1_500, "net": -6_500}])
        } else {
            json!([])
        };
        json!({"id": "dp_reversed", "object": "dispute", "amount": 5_000, "currency": "usd", "reason": "fraudulent", "status": status,
            "charge": "ch_theirs", "payment_intent": acquirer_id, "network_reason_code": "10.4", "is_charge_refundable": false,
            "evidence_details": {"due_by": 4_000_000_000i64}, "balance_transactions": transactions, "metadata": {}})
    };
    let story = [
        ("evt_4", "charge.dispute.closed", dispute("lost", true)),
        ("evt_3", "charge.dispute.updated", dispute("under_review", true)),
        (
            "evt_2",
            "charge.dispute.funds_withdrawn",
            dispute("needs_response", true),
        ),
        (
            "evt_2",
            "charge.dispute.funds_withdrawn",
            dispute("needs_response", true),
        ),
        (
            "evt_2_again",
            "charge.dispute.funds_withdrawn",
            dispute("needs_response", true),
        ),
        ("evt_1", "charge.dispute.created", dispute("needs_response", false)),
    ];
    for (id, kind, object) in story {
        let (status, _) = world.callback(id, kind, &object, SECRET).await;
        assert_eq!(status, 200);
        world.settled().await; // one by one: the order is the point
    }
    let disputes = world.get(&format!("/v1/disputes?charge={charge}")).await;
    let found = &disputes["data"][0];
    assert_eq!(disputes["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&found["status"], &found["payment_intent"]),
        (&json!("lost"), &json!(payment))
    );
    let lines: Vec<(i64, i64)> = found["balance_transactions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|t| (t["amount"].as_i64().unwrap(), t["fee"].as_i64().unwrap()))
        .collect();
    assert_eq!(lines, [(-5_000, 1_500)]);
    let (status, refused) = world
        .post("/v1/refunds", &format!("payment_intent={payment}"), None)
        .await;
    assert_eq!((status, &refused["error"]["code"]), (400, &json!("charge_disputed")));
    world.audited().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_are_proven_first_and_never_lost() {
    let world = World::start().await;
    let unknown = json!({"id": "dp_unknown", "object": "dispute", "amount": 100, "currency": "usd", "reason": "general",
        "status": "needs_response", "payment_intent": "pi_nobodys", "metadata": {}, "balance_transactions": []});
    let (status, _) = world
        .callback("evt_forged", "charge.dispute.created", &unknown, "whsec_wrong")
        .await;
    assert_eq!(status, 400);
    let (status, _) = world
        .callback("evt_odd", "treasury.something.new", &json!({"id": "x"}), SECRET)
        .await;
    assert_eq!(status, 200);
    let (status, _) = world
        .callback("evt_unmatched", "charge.dispute.created", &unknown, SECRET)
        .await;
    assert_eq!(status, 200);
    world.settled_but(1).await;
    let rows = world
        .owner
        .query(
            "SELECT id, processed_at IS NOT NULL, error, due_at IS NOT NULL FROM gateway.callback ORDER BY id",
            &[],
        )
        .await
        .unwrap();
    let rows: Vec<(String, bool, Option<String>, bool)> =
        rows.iter().map(|r| (r.get(0), r.get(1), r.get(2), r.get(3))).collect();
    assert_eq!(rows[0], ("evt_odd".into(), true, None, false));
    let (id, processed, error, again) = &rows[1];
    assert_eq!((id.as_str(), *processed, *again), ("evt_unmatched", false, true));
    assert!(
        error.as_deref().is_some_and(|e| e.contains("not known here")),
        "{error:?}"
    );
    assert_eq!(rows.len(), 2, "what is forged is not kept");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_submitted_once_by_however_many() {
    let mut world = World::start().await;
    let (_, charge, _) = world.pay("pm_card_createDispute", 3_000).await;
    let dispute = world
        .dispute_where(&charge, |d| d.pointer("/balance_transactions/0").is_some())
        .await;
    let path = format!("/v1/disputes/{}", dispute["id"].as_str().unwrap());
    let (status, staged) = world
        .post(&path, "evidence[customer_name]=Ada&submit=false", None)
        .await;
    assert_eq!((status, &staged["status"]), (200, &json!("needs_response")));
    assert_eq!(staged["evidence"]["customer_name"], "Ada");
    for (wrong, param) in [
        ("evidence[nonsense]=1", "evidence[nonsense]"),
        ("evidence[receipt]=not+a+file", "evidence[receipt]"),
    ] {
        let (status, refused) = world.post(&path, wrong, None).await;
        assert_eq!((status, &refused["error"]["param"]), (400, &json!(param)));
    }
    let tries = (0..8).map(|n| {
        let (world, path) = (&world, &path);
        async move {
            let body = "evidence[uncategorized_text]=winning_evidence";
            let key = format!("try-{n}");
            (key.clone(), world.post(path, body, Some(&key)).await)
        }
    });
    let answers = futures_util::future::join_all(tries).await;
    let accepted: Vec<_> = answers.iter().filter(|(_, (status, _))| *status == 200).collect();
    assert_eq!(accepted.len(), 1, "{answers:?}");
    for (_, (status, body)) in answers.iter().filter(|(_, (status, _))| *status != 200) {
        let code = body["error"]["code"].as_str().unwrap_or_default();
        assert!(
            (*status == 409 && code == "lock_timeout") || (*status == 400 && code.starts_with("dispute_")),
            "{body}"
        );
    }
    let (key, (_, first)) = accepted[0];
    assert_eq!(first["evidence_details"]["submission_count"], 1);
    assert_eq!(first["evidence"]["customer_name"], "Ada");

    let won = world
        .dispute_where(&charge, |d| {
            d["status"] == "won" && d.pointer("/balance_transactions/1").is_some()
        })
        .await;
    assert_eq!(won["balance_transactions"][1]["amount"], 3_000);
    let (status, replayed) = world
        .post(&path, "evidence[uncategorized_text]=winning_evidence", Some(key))
        .await;
    assert_eq!((status, &replayed), (200, first), "the first answer stays the answer");
    let (status, refused) = world.post(&format!("{path}/close"), "", None).await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (400, &json!("dispute_unexpected_state"))
    );
    world.settled().await;
    world.audited().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_chargeback_told_backwards_and_in_pieces_is_booked_once() {
    let mut world = World::start().await;
    let (_, charge, acquirer_id) = world.pay("pm_card_visa", 5_000).await;
    let dispute = |status: &str, moves: usize| {
        let listed: Vec<Value> = (0..moves)
            .map(|n| {
                let (amount, fee) = if n % 2 == 0 { (-4_000, 1_500) } else { (4_000, 0) };
                json!({"id": format!("txn_again_{n}"), "amount": amount, "fee": fee, "currency": "usd"})
            })
            .collect();
        json!({"id": "dp_again", "object": "dispute", "amount": 4_000, "currency": "usd", "reason": "fraudulent", "status": status,
            "payment_intent": acquirer_id, "network_reason_code": "10.4", "is_charge_refundable": false,
            "evidence_details": {"due_by": 4_000_000_000i64}, "balance_transactions": listed, "metadata": {}})
    };
    // The loss of the second round comes first; then what led to it, backwards, some of it twice.
    for (n, (kind, status, moves)) in [
        ("closed", "lost", 3),
        ("updated", "under_review", 3),
        ("funds_withdrawn", "needs_response", 3),
        ("funds_reinstated", "won", 2),
        ("closed", "won", 2),
        ("funds_withdrawn", "needs_response", 1),
        ("funds_withdrawn", "needs_response", 3),
        ("created", "needs_response", 1),
    ]
    .into_iter()
    .enumerate()
    {
        let kind = format!("charge.dispute.{kind}");
        let (answer, _) = world
            .callback(&format!("evt_again_{n}"), &kind, &dispute(status, moves), SECRET)
            .await;
        assert_eq!(answer, 200);
        world.settled().await;
    }
    let found = world.get(&format!("/v1/disputes?charge={charge}")).await["data"][0].take();
    assert_eq!(
        (&found["stage"], &found["status"]),
        (&json!("lost_final"), &json!("lost"))
    );
    let lines: Vec<(i64, i64)> = found["balance_transactions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|t| (t["amount"].as_i64().unwrap(), t["fee"].as_i64().unwrap()))
        .collect();
    assert_eq!(lines, [(-4_000, 1_500), (4_000, 0), (-4_000, 1_500)]);
    let rows = world
        .owner
        .query_one("SELECT count(*) FROM gateway.dispute_movement", &[])
        .await
        .unwrap();
    assert_eq!(rows.get::<_, i64>(0), 3, "each movement of the acquirer once");
    world.audited().await;
    world.stop().await;
}

/// Everything real: database, simulated acquirer with its webhooks, the service.
struct World {
    service: Service,
    owner: Client,
    api: Router,
    key: String,
    stop: oneshot::Sender<()>,
    dir: PathBuf,
}

impl World {
    async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let server = TestServer::shared().await.expect("PostgreSQL starts");
        let name = server.database(None).await.expect("creates");
        let settings = server.postgres().config(&name);
        let (mut owner, connection) = settings.connect(NoTls).await.expect("connects");
        tokio::spawn(connection);
        migrate(&mut owner).await.expect("migrates");
        let dir = std::env::temp_dir().join(format!("counterfoil-disputes-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("folder");

        let hooks = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let ready = dir.join("ready.json");
        let options = simulator::Options {
            listen: ([127, 0, 0, 1], 0).into(),
            admin_listen: ([127, 0, 0, 1], 0).into(),
            dir: dir.join("simulator"),
            ready_file: Some(ready.clone()),
            secret_key: None,
            webhook_url: Some(format!(
                "http://{}{ACQUIRER_CALLBACK_PATH}",
                hooks.local_addr().unwrap()
            )),
            webhook_secret: Some(SECRET.into()),
            webhook_ca: None,
            webhook_events: Vec::new(),
            bank_listen: ([127, 0, 0, 1], 0).into(),
            dispute_delay_ms: 20,
            return_dispute_fees: false,
            counter_fee: 0,
            refund_delay_ms: 20,
            seed: 0,
        };
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(simulator::run(options, async {
            let _ = stopped.await;
        }));
        let mut tries = 0;
        let announced: Value = loop {
            if let Ok(text) = std::fs::read(&ready)
                && let Ok(announced) = serde_json::from_slice(&text)
            {
                break announced;
            }
            tries += 1;
            assert!(tries < PATIENCE, "the simulator is not ready");
            tokio::time::sleep(Duration::from_millis(25)).await;
        };
        let role = |role: &str| {
            let mut settings = settings.clone();
            settings.options(format!("-c role={role}")); // the owner may become any role
            settings
        };
        let service = Service::start(ServiceConfig {
            database: role("gateway_app").into(),
            vault_database: role("vault_app").into(),
            connections: 8,
            replicas: 0,
            telemetry: None,
            payments: None,
            writers: 2,
            vault_keys: dir.join("vault.keys"),
            transit: None,
            seal: gateway::seal::Config {
                keys: dir.join("seal.keys"),
                make_keys: true,
                heads: vec![dir.clone()],
                push: gateway::seal::push::Config::default(),
                every: Duration::from_secs(1),
                page_journals: 4096,
                verify_every: Duration::from_secs(300),
            },
            alerts: gateway::alert::Config::default(),
            audit: gateway::audit_log::export::Config {
                every: Duration::from_secs(1),
                ..Default::default()
            },
            connectors: connector::Settings {
                stripe: Some(stripe::Settings {
                    base_url: announced["api_url"].as_str().expect("api_url").to_owned(),
                    secret_key: "sk_test_acquirer".into(),
                    webhook_secret: SECRET.into(),
                    authorities: None,
                }),
                iso8583: None,
            },
            payers_base_url: None,
            payout_bank: None,
            mail: None,
            development: true,
            webhook_authorities: None,
            access: gateway::limit::Settings::default(),
            permissive_scorer: true,
            risk: gateway::risk::Settings::default(),
            console: gateway::console::Settings::default(),
            clock: gateway::clock::Clock::default(),
            disputes: gateway::dispute::Settings::default(),
        })
        .await
        .expect("the service starts");
        let seeded = dev::seed::seed(&owner, &service.app.vault, None, jiff::Timestamp::now())
            .await
            .expect("seeds");
        let api = service.api.clone();
        let served = api.clone();
        tokio::spawn(async move { axum::serve(hooks, served).await });
        Self {
            service,
            owner,
            api,
            key: seeded.secret_key,
            stop,
            dir,
        }
    }

    /// A captured payment: its id, its charge's, and the acquirer's payment's.
    async fn pay(&self, method: &str, amount: i64) -> (String, String, String) {
        let body = format!("amount={amount}&currency=usd&payment_method={method}&confirm=true");
        let (status, payment) = self.post("/v1/payment_intents", &body, None).await;
        assert_eq!((status, &payment["status"]), (200, &json!("succeeded")), "{payment}");
        let charge = payment["latest_charge"].as_str().unwrap().to_owned();
        let row = self
            .owner
            .query_one("SELECT acquirer_id FROM gateway.charge WHERE id = $1", &[&charge])
            .await
            .unwrap();
        (payment["id"].as_str().unwrap().to_owned(), charge, row.get(0))
    }

    async fn callback(&self, id: &str, kind: &str, object: &Value, secret: &str) -> (u16, Value) {
        let body = json!({"id": id, "object": "event", "type": kind, "data": {"object": object}}).to_string();
        let header = signature::sign(
            &[secret.as_bytes()],
            jiff::Timestamp::now().as_second(),
            body.as_bytes(),
        );
        let request = Request::post(ACQUIRER_CALLBACK_PATH).header("stripe-signature", header);
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    async fn post(&self, path: &str, body: &str, key: Option<&str>) -> (u16, Value) {
        let mut request = Request::post(path)
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/x-www-form-urlencoded");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn get(&self, path: &str) -> Value {
        let request = Request::get(path).header("authorization", format!("Bearer {}", self.key));
        let (status, body) = self.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    async fn send(&self, request: Request<Body>) -> (u16, Value) {
        let response = self.api.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// The charge's dispute, once it is as wanted.
    async fn dispute_where(&self, charge: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..PATIENCE {
            last = self.get(&format!("/v1/disputes?charge={charge}")).await["data"]
                .get_mut(0)
                .map(Value::take)
                .unwrap_or_default();
            if wanted(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the dispute does not get there: {last}");
    }

    async fn settled(&self) {
        self.settled_but(0).await;
    }

    /// Waits until all callbacks but so many are done, and those have an error.
    async fn settled_but(&self, failing: i64) {
        for _ in 0..PATIENCE {
            let row = self
                .owner
                .query_one(
                    "SELECT count(*) FILTER (WHERE processed_at IS NULL AND error IS NULL), count(*) FILTER (WHERE error IS NOT NULL)
                     FROM gateway.callback",
                    &[],
                )
                .await
                .unwrap();
            let (open, failed): (i64, i64) = (row.get(0), row.get(1));
            if open == 0 && failed <= failing {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("callbacks are left");
    }

    /// The books prove themselves, and agree with the gateway's rows.
    async fn audited(&mut self) {
        let report = ledger::verify::verify(&mut self.owner, |_| {}).await.unwrap();
        let checks = audit::audit(&mut self.owner).await.unwrap();
        for check in report.checks.iter().chain(&checks) {
            assert_eq!(check.wrong, 0, "{}: {:?}", check.name, check.first_wrong);
        }
        let disputes = checks.iter().find(|c| c.name.starts_with("dispute hold")).unwrap();
        assert!(disputes.rows > 0, "the audit looked at disputes");
    }

    async fn stop(self) {
        self.service.shutdown().await;
        let _ = self.stop.send(());
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
