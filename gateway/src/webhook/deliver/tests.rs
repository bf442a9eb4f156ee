//! The worker against a real database and real receivers.

use super::*;
use crate::test_postgres::{Postgres, TempDir};
use crate::vault::{FileKms, Keys};
use crate::webhook::seal_secrets;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use std::sync::Mutex;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// An endpoint that answers its n-th request as told (0 is silence) and keeps signature and body.
async fn receiver(answer: impl Fn(usize) -> u16 + Send + Sync + 'static) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (seen, answer) = (Seen::default(), Arc::new(answer));
    let log = seen.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (log, answer) = (log.clone(), answer.clone());
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let (log, answer) = (log.clone(), answer.clone());
                async move {
                    let signature = request.headers()["stripe-signature"].to_str().unwrap().to_owned();
                    let body = request.into_body().collect().await?.to_bytes();
                    let nth = {
                        let mut log = log.lock().unwrap();
                        log.push((signature, String::from_utf8(body.to_vec()).unwrap()));
                        log.len()
                    };
                    match answer(nth) {
                        0 => std::future::pending().await,
                        status => Ok::<_, hyper::Error>(
                            http::Response::builder()
                                .status(status)
                                .header("retry-after", if status == 429 { "3600" } else { "0" })
                                .body(Full::new(Bytes::from("words")))
                                .unwrap(),
                        ),
                    }
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service));
        }
    });
    (url, seen)
}

/// A database with the schema, and workers over it.
struct World {
    server: Postgres,
    vault: Arc<Vault>,
    clock: Clock,
    wake: Arc<Notify>,
    events: std::cell::Cell<u32>,
}

impl World {
    async fn new(name: &str) -> Self {
        let server = Postgres::start(name).await;
        let dir = TempDir::new("deliver-keys");
        let key_file = dir.path().join("vault.keys");
        let keys = Keys::from_file_or_create(&key_file).unwrap();
        let kms = Arc::new(FileKms::open(&key_file).unwrap());
        let clock = Clock::default();
        let vault = Arc::new(Vault::open(server.pool("vault_app"), keys, kms, clock.clone()));
        vault.load().await.unwrap();
        Self {
            server,
            vault,
            clock,
            wake: Arc::new(Notify::new()),
            events: 0.into(),
        }
    }

    fn config(&self) -> Config {
        let policy = Policy {
            allow_private: true,
            roots: Arc::new(RootCertStore::empty()),
            timeout: Duration::from_secs(20),
        };
        Config {
            schedule: vec![Duration::ZERO; 3],
            poll: Duration::from_millis(20),
            drain: Duration::ZERO,
            ..Config::new("v", policy)
        }
    }

    fn start(&self, config: Config) -> (oneshot::Sender<()>, JoinHandle<()>) {
        let (stop, stopped) = oneshot::channel::<()>();
        let deliverer = Deliverer::new(
            config,
            self.server.pool("gateway_app"),
            self.vault.clone(),
            self.clock.clone(),
            self.wake.clone(),
        );
        let run = deliverer.run(async move {
            let _ = stopped.await;
        });
        (stop, tokio::spawn(run))
    }

    async fn endpoint(&self, id: &str, url: &str) {
        let client = self.server.pool("gateway_app").get().await.unwrap();
        let secret = seal_secrets(&self.vault, id, &["whsec_new", "whsec_old"]).unwrap();
        client
            .execute(
                "INSERT INTO gateway.webhook_endpoint VALUES (1, $1, 1, $2, $3, ARRAY['*'], 'enabled', false, $4, '{}')",
                &[&id, &url, &secret, &self.clock.now()],
            )
            .await
            .unwrap();
    }

    /// Adds events for these endpoints, due now.
    async fn happens(&self, count: u32, endpoints: &[&str]) {
        let client = self.server.pool("gateway_app").get().await.unwrap();
        let first = self.events.replace(self.events.get() + count) + 1;
        client
            .execute(
                "INSERT INTO gateway.event SELECT 1, 'evt_' || lpad(n::text, 8, '0'), 'charge.succeeded', 'ch_1', '{\"n\":' || n || ', \"id\":\"ch_1\"}', NULL, 'req_1', NULL, $3
                 FROM generate_series($1::bigint, $2::bigint) n",
                &[&i64::from(first), &i64::from(first + count - 1), &self.clock.now()],
            )
            .await
            .unwrap();
        client
            .execute(
                "INSERT INTO gateway.delivery (book_id, endpoint_id, event_id, due_at)
                 SELECT 1, w, 'evt_' || lpad(n::text, 8, '0'), $3 FROM generate_series($1::bigint, $2::bigint) n, unnest($4::text[]) w",
                &[&i64::from(first), &i64::from(first + count - 1), &self.clock.now(), &endpoints],
            )
            .await
            .unwrap();
    }

    async fn ask<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, query: &str) -> T {
        self.server
            .pool("postgres")
            .get()
            .await
            .unwrap()
            .query_one(query, &[])
            .await
            .unwrap()
            .get(0)
    }

    /// Waits until a query is true; a test that waits in vain hangs until this gives up.
    async fn until(&self, query: &str) {
        let client = self.server.pool("postgres").get().await.unwrap();
        for _ in 0..1000 {
            if client.query_one(query, &[]).await.unwrap().get(0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let rows = client
            .query("SELECT d::text FROM gateway.delivery d LIMIT 5", &[])
            .await
            .unwrap();
        panic!(
            "never true: {query}; {:?}",
            rows.iter().map(|r| r.get::<_, String>(0)).collect::<Vec<_>>()
        );
    }
}

const SETTLED: &str = "SELECT NOT EXISTS (SELECT FROM gateway.delivery WHERE due_at IS NOT NULL)";

#[tokio::test]
async fn a_delivery_is_signed_and_made_once_as_soon_as_it_is_announced() {
    let world = World::new("deliver-once").await;
    let (url, seen) = receiver(|_| 200).await;
    world.endpoint("we_1", &url).await;
    // Without the announcement the next look would be in an hour.
    let (stop, run) = world.start(Config {
        poll: Duration::from_secs(3600),
        ..world.config()
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.happens(1, &["we_1"]).await;
    world.wake.notify_one();
    world.until(SETTLED).await;
    let _ = stop.send(());
    run.await.unwrap();
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 1);
    let (header, body) = &seen[0];
    let now = world.clock.now().as_second();
    for secret in ["whsec_new", "whsec_old"] {
        assert_eq!(signature::verify(&[secret], header, body.as_bytes(), now, 300), Ok(()));
    }
    assert!(body.contains(r#""data":{"object":{"n":1, "id":"ch_1"}},"livemode":false,"pending_webhooks":1,"request":{"id":"req_1","idempotency_key":null}"#), "{body}");
    assert!(world.ask::<bool>("SELECT attempt = 1 AND delivered_at IS NOT NULL AND last_status = 200 AND last_error IS NULL FROM gateway.delivery").await);
}

#[tokio::test]
async fn failures_are_repeated_with_the_same_id_until_one_succeeds() {
    let world = World::new("deliver-retry").await;
    let (url, seen) = receiver(|nth| [302, 500, 204][nth - 1]).await;
    world.endpoint("we_1", &url).await;
    world.happens(1, &["we_1"]).await;
    let (stop, run) = world.start(world.config());
    world.until(SETTLED).await;
    let _ = stop.send(());
    run.await.unwrap();
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|(_, body)| body == &seen[0].1));
    assert!(
        world
            .ask::<bool>("SELECT attempt = 3 AND delivered_at IS NOT NULL AND last_status = 204 FROM gateway.delivery")
            .await
    );
}

#[tokio::test]
async fn a_receiver_that_never_answers_well_is_given_up_and_disabled() {
    let world = World::new("deliver-give-up").await;
    let (url, seen) = receiver(|_| 500).await;
    world.endpoint("we_1", &url).await;
    world.happens(1, &["we_1"]).await;
    let (_stop, _run) = world.start(world.config());
    world
        .until("SELECT status = 'disabled' AND version = 2 FROM gateway.webhook_endpoint")
        .await;
    world.until(SETTLED).await;
    assert_eq!(seen.lock().unwrap().len(), 4);
    assert!(world.ask::<bool>("SELECT attempt = 4 AND delivered_at IS NULL AND last_status = 500 AND last_error = 'words' FROM gateway.delivery").await);
    let log = "SELECT array_agg(attempt ORDER BY attempt) = '{1,2,3,4}' AND bool_and(status = 500 AND error = 'words' AND duration_ms >= 0) FROM gateway.delivery_attempt";
    assert!(world.ask::<bool>(log).await, "each attempt is on record");
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_asked_no_more() {
    let world = World::new("deliver-gone").await;
    let (url, seen) = receiver(|_| 410).await;
    world.endpoint("we_1", &url).await;
    world.happens(50, &["we_1"]).await;
    let (_stop, _run) = world.start(world.config());
    world
        .until("SELECT status = 'disabled' FROM gateway.webhook_endpoint")
        .await;
    world.until(SETTLED).await;
    // Those that were under way together are all that it was asked.
    assert!(seen.lock().unwrap().len() < 50);
    let told = "SELECT (SELECT count(*) FROM gateway.event WHERE type = 'webhook_endpoint.disabled' AND object_id = 'we_1') = 1
                   AND (SELECT count(*) FROM gateway.audit_event WHERE object = 'we_1' AND detail LIKE '410%') = 1";
    assert!(world.ask::<bool>(told).await, "the merchant and the log are told once");
    assert_eq!(
        world
            .ask::<i64>("SELECT count(*) FROM gateway.delivery WHERE delivered_at IS NOT NULL")
            .await,
        0
    );
}

/// Asked for again: the same event, and the whole schedule before it.
#[tokio::test]
async fn what_is_asked_for_again_has_its_whole_schedule() {
    let world = World::new("deliver-again").await;
    let (url, seen) = receiver(|nth| if nth == 1 { 200 } else { 500 }).await;
    world.endpoint("we_1", &url).await;
    world.happens(1, &["we_1"]).await;
    let (_stop, _run) = world.start(world.config());
    world.until(SETTLED).await;
    let pool = world.server.pool("gateway_app");
    let event: String = world.ask("SELECT event_id FROM gateway.delivery").await;
    let book: i64 = world.ask("SELECT book_id FROM gateway.delivery").await;
    let again = async |endpoint: Option<&str>| {
        let client = pool.get().await.unwrap();
        let now = world.clock.now();
        super::super::again::again(&**client, book, &event, endpoint, now)
            .await
            .unwrap()
    };
    assert_eq!(again(Some("we_other")).await, 0, "no such endpoint");
    assert_eq!(again(None).await, 1);
    world.wake.notify_one();
    world
        .until("SELECT attempt = 5 AND due_at IS NULL FROM gateway.delivery")
        .await;
    assert_eq!(seen.lock().unwrap().len(), 5, "once well, then four times badly");
    // The endpoint has failed for the whole schedule since: it is disabled, and is not asked again.
    world
        .until("SELECT status = 'disabled' FROM gateway.webhook_endpoint")
        .await;
    assert_eq!(again(None).await, 0);
    assert_eq!(again(Some("we_1")).await, 0);
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_gets_it() {
    let world = World::new("deliver-later").await;
    let (url, seen) = receiver(|nth| if nth == 1 { 429 } else { 200 }).await;
    world.endpoint("we_1", &url).await;
    world.happens(1, &["we_1"]).await;
    let (_stop, _run) = world.start(world.config());
    world
        .until("SELECT attempt = 1 AND last_status = 429 FROM gateway.delivery")
        .await;
    let waits = "SELECT due_at - at BETWEEN '3600 seconds' AND '4000 seconds' FROM gateway.delivery d JOIN gateway.delivery_attempt a USING (event_id)";
    assert!(world.ask::<bool>(waits).await, "it asked for an hour");
    world.clock.advance(SignedDuration::from_secs(4000));
    world.until(SETTLED).await;
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_silent_receiver_starves_nobody() {
    let world = World::new("deliver-fair").await;
    let (silent, asked) = receiver(|_| 0).await;
    let (healthy, seen) = receiver(|_| 200).await;
    world.endpoint("we_0", &silent).await;
    world.endpoint("we_1", &healthy).await;
    world.happens(2000, &["we_0"]).await;
    world.happens(100, &["we_1"]).await;
    let (_stop, _run) = world.start(Config {
        in_flight: 8,
        ..world.config()
    });
    world
        .until("SELECT count(*) = 100 FROM gateway.delivery WHERE endpoint_id = 'we_1' AND delivered_at IS NOT NULL")
        .await;
    assert_eq!(seen.lock().unwrap().len(), 100);
    assert!(asked.lock().unwrap().len() <= NEWCOMER_ROOM);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_the_work_and_repeat_nothing() {
    let world = World::new("deliver-two").await;
    let (url, seen) = receiver(|_| 200).await;
    world.endpoint("we_1", &url).await;
    world.endpoint("we_2", &url).await;
    world.happens(500, &["we_1", "we_2"]).await;
    let (_a, _first) = world.start(world.config());
    let (_b, _second) = world.start(world.config());
    world.until(SETTLED).await;
    assert_eq!(seen.lock().unwrap().len(), 1000);
    assert!(
        world
            .ask::<bool>("SELECT bool_and(attempt = 1 AND delivered_at IS NOT NULL) FROM gateway.delivery")
            .await
    );
}

#[tokio::test]
async fn the_lease_of_a_dead_worker_ends() {
    let world = World::new("deliver-lease").await;
    let (url, seen) = receiver(|nth| if nth == 1 { 0 } else { 200 }).await;
    world.endpoint("we_1", &url).await;
    world.happens(1, &["we_1"]).await;
    let (_stop, first) = world.start(world.config());
    while seen.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    first.abort();
    let (_stop, _second) = world.start(world.config());
    world.clock.advance(SignedDuration::from_secs(59));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        world.ask::<i16>("SELECT attempt FROM gateway.delivery").await,
        1,
        "the lease holds"
    );
    world.clock.advance(SignedDuration::from_secs(2));
    world.until(SETTLED).await;
    assert_eq!(world.ask::<i16>("SELECT attempt FROM gateway.delivery").await, 2);
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[test]
fn the_published_schedule_lasts_three_days() {
    let policy = Policy {
        allow_private: false,
        roots: Arc::new(RootCertStore::empty()),
        timeout: Duration::from_secs(20),
    };
    let schedule = Config::new("v", policy).schedule;
    assert_eq!(schedule.len(), 9);
    let total: Duration = schedule.iter().sum();
    assert!(total > Duration::from_secs(3 * 86_400) && total < Duration::from_secs(4 * 86_400));
    let jittered = with_jitter(Duration::from_secs(100));
    assert!(jittered >= Duration::from_secs(100) && jittered <= Duration::from_secs(110));
    assert_eq!(after(Timestamp::MAX, Duration::MAX), Timestamp::MAX);
}
