//! What one caller may ask for. An instance of its own: its addresses are throttled for minutes.

use crate::gate::create;
use futures_util::future::join_all;
use tests::{TestApp, eventually};

#[tokio::test]
async fn a_key_an_address_and_a_guesser_are_limited_and_the_others_are_served() {
    let app = TestApp::start().await;
    let text = |value: &serde_json::Value| value["key"].as_str().expect("a key").to_owned();
    let slow = text(&create(&app, &["--requests-per-second", "3"]).await);
    let fresh = text(&create(&app, &[]).await);

    // Every answer tells where its key stands.
    let served = app.get("/v1/payment_intents").send().await;
    assert_eq!(served.header("ratelimit-policy"), "\"key\";q=20000;w=1", "{served}");
    assert!(
        served.header("ratelimit").starts_with("\"key\";r=1999"),
        "{}",
        served.header("ratelimit")
    );

    // Ten at once where three are allowed: at least one more second's worth is refused, whatever the machine's speed is.
    let refused = eventually("more than three in a second", || async {
        let burst = (0..40).map(|_| {
            app.post("/v1/payment_intents")
                .key(&slow)
                .form(&format!("amount=100&currency=usd&description={}", "x".repeat(20_000)))
                .send()
        });
        let answers = join_all(burst).await;
        assert!(answers.iter().any(|answer| answer.status != 429), "some pass");
        answers.into_iter().find(|answer| answer.status == 429)
    })
    .await;
    assert_eq!(refused.text("/error/type"), "invalid_request_error", "{refused}");
    assert_eq!(refused.text("/error/code"), "rate_limit");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("stripe-rate-limited-reason"), "key-rate");
    assert_eq!(refused.header("ratelimit-policy"), "\"key\";q=3;w=1");
    assert!(
        refused.header("ratelimit").starts_with("\"key\";r=0;t="),
        "{}",
        refused.header("ratelimit")
    );
    // The connection and the other keys are well.
    app.get("/v1/payment_intents").send().await.ok();
    eventually("the key is served again", || async {
        let answer = app.get("/v1/payment_intents").key(&slow).send().await;
        (answer.status == 200).then_some(())
    })
    .await;

    // A guesser is told "wrong" for a while, then nothing at all; known keys go on, unknown ones wait with him.
    let mut answers = Vec::new();
    for n in 0..40 {
        let guesses = (0..10).map(|m| {
            app.get("/v1/payment_intents")
                .key(&format!("sk_test_guess_{n}_{m}"))
                .send()
        });
        answers.extend(join_all(guesses).await);
    }
    let told = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert!(
        told(401) >= 120 && told(429) > 0 && told(401) + told(429) == 400,
        "{} + {}",
        told(401),
        told(429)
    );
    let last = answers.iter().rfind(|answer| answer.status == 429).expect("one");
    assert_eq!(last.header("stripe-rate-limited-reason"), "wrong-keys");
    app.get("/v1/payment_intents").send().await.ok();
    let newcomer = app.get("/v1/payment_intents").key(&fresh).send().await;
    assert!([200, 429].contains(&newcomer.status), "{newcomer}");
    eventually("a new key is served when the guesser has stopped", || async {
        let answer = app.get("/v1/payment_intents").key(&fresh).send().await;
        (answer.status == 200).then_some(())
    })
    .await;

    let sql = app.sql().await;
    eventually("refusals are on record, few rows for many", || async {
        let row = sql
            .query_one(
                "SELECT coalesce(sum(times) FILTER (WHERE kind = 'wrong_key'), 0)::bigint,
                        coalesce(sum(times) FILTER (WHERE kind = 'throttled'), 0)::bigint, count(*) FROM gateway.security_event",
                &[],
            )
            .await
            .expect("a row");
        let (wrong, throttled, rows): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        assert!(rows <= wrong + throttled);
        (wrong >= 120 && throttled >= 2).then_some(())
    })
    .await;
    let metrics = app.ops("GET", "/metrics").send().await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(
        metrics.contains("counterfoil_security_events_total{kind=\"wrong_key\"}"),
        "{metrics}"
    );
}
