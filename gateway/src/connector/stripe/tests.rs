//! The connector against a server that answers as told: one test per class of outcome. No part of it is replaced.

mod challenge;
mod reports;

use super::transport::MAX_ANSWER;
use super::*;
use crate::connector::test_requests::{ask, back, capture};
use crate::connector::{Allowance, Challenge, Wishes};
use crate::webhook::signature;
use http::Request;
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

enum Reply {
    Answer(u16, String),
    /// reads the request and says nothing
    Silence,
    /// reads the request and closes the connection
    Cut,
}

#[derive(Clone, Debug, PartialEq)]
struct Seen {
    line: String,
    headers: http::HeaderMap,
    form: Vec<(String, String)>,
}

impl Seen {
    fn field(&self, name: &str) -> Option<&str> {
        self.form
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

/// An acquirer that gives these answers in order.
struct Acquirer {
    stripe: Stripe,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Acquirer {
    async fn answering(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let replies = Arc::new(Mutex::new(replies.into_iter().collect::<VecDeque<_>>()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (replies, log) = (replies.clone(), log.clone());
                let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let (replies, log) = (replies.clone(), log.clone());
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        let form = form_urlencoded::parse(&body).into_owned().collect();
                        log.lock().unwrap().push(Seen {
                            line: format!("{} {}", head.method, head.uri),
                            headers: head.headers,
                            form,
                        });
                        let reply = replies.lock().unwrap().pop_front();
                        match reply.expect("no more requests than answers") {
                            Reply::Answer(status, body) => Ok(http::Response::builder()
                                .status(status)
                                .body(Full::new(Bytes::from(body)))
                                .unwrap()),
                            Reply::Silence => std::future::pending().await,
                            Reply::Cut => Err(Box::<dyn std::error::Error + Send + Sync>::from("cut")),
                        }
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service),
                );
            }
        });
        Self {
            stripe: Stripe::new(config(&base_url)).unwrap(),
            seen,
        }
    }

    async fn says(status: u16, body: &str) -> Self {
        Self::answering([Reply::Answer(status, body.to_owned())]).await
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

pub(super) fn config(base_url: &str) -> Config {
    Config {
        base_url: base_url.to_owned(),
        secret_key: Zeroizing::new("sk_test_secret".to_owned()),
        webhook_secrets: ["whsec_new", "whsec_old"]
            .map(|s| Zeroizing::new(s.to_owned()))
            .to_vec(),
        timeouts: Timeouts::default(),
        roots: Arc::new(RootCertStore::empty()),
    }
}

pub(super) fn authorization() -> Authorize {
    Authorize {
        reference: "ch_1".to_owned(),
        amount: 2000,
        currency: "usd".to_owned(),
        card: CardSource::Number {
            number: Zeroizing::new("4242424242424242".to_owned()),
            exp_month: 7,
            exp_year: 2031,
            cvc: Some(Zeroizing::new("123".to_owned())),
        },
        capture: true,
        statement_descriptor: Some("A & B".to_owned()),
        challenge: Challenge {
            impossible: true,
            ..Challenge::default()
        },
        keep: false,
        earlier_transaction: None,
        wishes: Wishes::default(),
    }
}

fn intent(status: &str, more: &str) -> String {
    format!(
        r#"{{"id":"pi_1","object":"payment_intent","amount":2000,"status":"{status}","latest_charge":"ch_9","unknown":[{{}}]{more}}}"#
    )
}

fn error(r#type: &str, code: &str) -> String {
    format!(r#"{{"error":{{"type":"{type}","code":"{code}","message":"words","param":"amount"}}}}"#)
}

async fn authorize(status: u16, body: &str) -> Result<Approval, Failure> {
    Acquirer::says(status, body)
        .await
        .stripe
        .authorize(&authorization())
        .await
}

#[tokio::test]
async fn an_authorization_says_all_that_the_acquirer_needs() {
    let acquirer = Acquirer::says(200, &intent("succeeded", "")).await;
    let approval = acquirer.stripe.authorize(&authorization()).await.unwrap();
    assert_eq!(
        approval,
        Approval {
            acquirer_id: "pi_1".into(),
            acquirer_reference: Some("ch_9".into()),
            captured: true,
            three_d_secure: None,
            network_transaction_id: None,
            allowance: Allowance::default(),
        }
    );
    let seen = &acquirer.seen()[0];
    assert_eq!(seen.line, "POST /v1/payment_intents");
    for (header, value) in [
        ("authorization", "Bearer sk_test_secret"),
        ("stripe-version", "2026-10-28.endive"),
        ("idempotency-key", "ch_1"),
        ("content-type", "application/x-www-form-urlencoded"),
    ] {
        assert_eq!(seen.headers[header], value);
    }
    for (field, value) in [
        ("amount", "2000"),
        ("currency", "usd"),
        ("confirm", "true"),
        ("capture_method", "automatic"),
        ("metadata[counterfoil_reference]", "ch_1"),
        ("statement_descriptor_suffix", "A & B"),
        ("payment_method_data[type]", "card"),
        ("payment_method_data[card][number]", "4242424242424242"),
        ("payment_method_data[card][exp_month]", "7"),
        ("payment_method_data[card][exp_year]", "2031"),
        ("payment_method_data[card][cvc]", "123"),
    ] {
        assert_eq!(seen.field(field), Some(value), "{field}");
    }
}

#[tokio::test]
async fn test_tokens_travel_as_tokens() {
    for (token, field) in [
        ("pm_card_visa", "payment_method"),
        ("tok_visa", "payment_method_data[card][token]"),
    ] {
        let acquirer = Acquirer::says(200, &intent("requires_capture", "")).await;
        let request = Authorize {
            card: CardSource::TestToken(token.to_owned()),
            capture: false,
            ..authorization()
        };
        assert!(!acquirer.stripe.authorize(&request).await.unwrap().captured);
        let seen = &acquirer.seen()[0];
        assert_eq!(
            (seen.field(field), seen.field("capture_method")),
            (Some(token), Some("manual"))
        );
        assert_eq!(seen.field("payment_method_data[card][number]"), None);
    }
}

#[tokio::test]
async fn a_decline_is_final_and_told() {
    let body = r#"{"error":{"type":"card_error","code":"card_declined","decline_code":"insufficient_funds",
        "message":"Your card has insufficient funds.","charge":"ch_9","payment_intent":{"metadata":{},"id":"pi_1","status":"requires_payment_method"}}}"#;
    let expected = Decline {
        code: "card_declined".into(),
        decline_code: Some("insufficient_funds".into()),
        message: "Your card has insufficient funds.".into(),
        acquirer_id: Some("pi_1".into()),
        acquirer_reference: Some("ch_9".into()),
    };
    assert_eq!(authorize(402, body).await, Err(Failure::Declined(expected)));
    // An acquirer that quotes the card back does not make us tell it.
    let Err(Failure::Declined(decline)) = authorize(
        402,
        r#"{"error":{"code":"4242424242424242","message":"no 4242424242424242"}}"#,
    )
    .await
    else {
        panic!("a decline")
    };
    assert_eq!(
        (decline.code.as_str(), decline.message.as_str()),
        ("unprintable", "no 424242******4242")
    );
}

#[tokio::test]
async fn what_proves_nothing_is_unknown() {
    let good = intent("succeeded", "");
    for (status, body) in [
        (409, error("invalid_request_error", "idempotency_key_in_use")),
        (429, error("invalid_request_error", "lock_timeout")),
        (500, error("api_error", "")),
        (503, "<html>".to_owned()),
        (200, "<html>".to_owned()),
        (200, good[..good.len() / 2].to_owned()),
        (200, "{}".to_owned()),
        (200, intent("processing", "")),
        (200, intent("some_new_status", "")),
        (402, "no envelope".to_owned()),
        (404, "not found".to_owned()),
        (302, String::new()),
        (400, error("idempotency_error", "")),
        (400, error("invalid_request_error", "payment_intent_unexpected_state")),
        (200, " ".repeat(MAX_ANSWER + 1)),
    ] {
        let outcome = authorize(status, &body).await;
        assert!(
            matches!(outcome, Err(Failure::Unknown(_))),
            "{status} {:.80} -> {outcome:?}",
            body
        );
    }
}

#[tokio::test]
async fn a_refused_request_is_a_decline_that_hides_its_reason() {
    for status in [400, 401, 403, 404, 422] {
        let Err(Failure::Declined(decline)) =
            authorize(status, &error("invalid_request_error", "parameter_missing")).await
        else {
            panic!("{status} is a decline")
        };
        assert_eq!(decline.code, "processing_error");
        assert!(!decline.message.contains("words"));
    }
}

#[tokio::test]
async fn silence_and_a_cut_connection_are_unknown() {
    let mut acquirer = Acquirer::answering([Reply::Silence]).await;
    acquirer.stripe.timeouts.authorize = Duration::from_millis(200);
    assert!(matches!(
        acquirer.stripe.authorize(&authorization()).await,
        Err(Failure::Unknown(_))
    ));
    let acquirer = Acquirer::answering([Reply::Cut]).await;
    assert!(matches!(
        acquirer.stripe.authorize(&authorization()).await,
        Err(Failure::Unknown(_))
    ));
    // Half an answer: the head promises more than comes.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stripe = Stripe::new(config(&format!("http://{}", listener.local_addr().unwrap()))).unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"id\":")
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    });
    assert!(matches!(
        stripe.authorize(&authorization()).await,
        Err(Failure::Unknown(_))
    ));
}

#[tokio::test]
async fn a_refused_connection_was_never_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stripe = Stripe::new(config(&format!("http://{}", listener.local_addr().unwrap()))).unwrap();
    drop(listener);
    assert!(matches!(
        stripe.authorize(&authorization()).await,
        Err(Failure::NotSent(_))
    ));
}

#[tokio::test]
async fn each_operation_has_its_own_key_and_path() {
    let dispute = r#"{"id":"du_9","amount":2000,"currency":"usd","reason":"fraudulent","status":"under_review"}"#;
    let acquirer = Acquirer::answering([
        Reply::Answer(200, intent("succeeded", "")),
        Reply::Answer(200, intent("canceled", "")),
        Reply::Answer(200, r#"{"id":"re_9","status":"pending"}"#.to_owned()),
        Reply::Answer(200, dispute.to_owned()),
        Reply::Answer(200, dispute.to_owned()),
    ])
    .await;
    let stripe = &acquirer.stripe;
    assert!(stripe.capture(capture("ch_1", "pi_1", 1500)).await.unwrap().captured);
    stripe.void("ch_1", "pi_1").await.unwrap();
    let refund = stripe
        .refund(back("re_1", "pi_1", 500, Some("our own reason")))
        .await
        .unwrap();
    assert_eq!(
        refund,
        RefundAccepted {
            acquirer_id: "re_9".into(),
            succeeded: false
        }
    );
    let fields = serde_json::json!({"uncategorized_text": "a&b=c", "nothing": null});
    stripe
        .submit_evidence("du_1", "du_9", fields.as_object().unwrap(), true)
        .await
        .unwrap();
    stripe.close_dispute("du_1", "du_9").await.unwrap();

    let seen = acquirer.seen();
    let lines: Vec<_> = seen
        .iter()
        .map(|s| {
            (
                s.line.as_str(),
                s.headers["idempotency-key"].to_str().unwrap().to_owned(),
            )
        })
        .collect();
    assert_eq!(
        lines[0],
        ("POST /v1/payment_intents/pi_1/capture", "ch_1:capture".to_owned())
    );
    assert_eq!(
        lines[1],
        ("POST /v1/payment_intents/pi_1/cancel", "ch_1:void".to_owned())
    );
    assert_eq!(lines[2], ("POST /v1/refunds", "re_1".to_owned()));
    assert_eq!(lines[3].0, "POST /v1/disputes/du_9");
    assert!(lines[3].1.starts_with("du_1:evidence:"));
    assert_eq!(lines[4], ("POST /v1/disputes/du_9/close", "du_1:close".to_owned()));
    assert_eq!(seen[0].field("amount_to_capture"), Some("1500"));
    assert_eq!(
        (
            seen[2].field("reason"),
            seen[2].field("amount"),
            seen[2].field("metadata[counterfoil_reference]")
        ),
        (None, Some("500"), Some("re_1"))
    );
    assert_eq!(
        (seen[3].field("evidence[uncategorized_text]"), seen[3].field("submit")),
        (Some("a&b=c"), Some("true"))
    );
    assert_eq!(seen[3].form.len(), 2);
}

#[tokio::test]
async fn a_failed_refund_is_declined_and_a_strange_id_is_never_sent() {
    let acquirer = Acquirer::says(
        200,
        r#"{"id":"re_9","status":"failed","failure_reason":"lost_or_stolen_card"}"#,
    )
    .await;
    let Err(Failure::Declined(decline)) = acquirer.stripe.refund(back("re_1", "pi_1", 500, None)).await else {
        panic!("a decline")
    };
    assert_eq!(decline.code, "lost_or_stolen_card");
    for id in ["", "pi_1/cancel", "../refunds", "pi_1?x", "pi 1"] {
        assert!(
            matches!(
                acquirer.stripe.capture(capture("ch_1", id, 1)).await,
                Err(Failure::NotSent(_))
            ),
            "{id}"
        );
    }
    assert_eq!(acquirer.seen().len(), 1);
}

#[tokio::test]
async fn inquiries_by_id() {
    let approval = |captured| Approval {
        acquirer_id: "pi_1".into(),
        acquirer_reference: Some("ch_9".into()),
        captured,
        three_d_secure: None,
        network_transaction_id: None,
        allowance: Allowance::default(),
    };
    for (body, expected) in [
        (
            intent("succeeded", r#","amount_received":1500"#),
            Found::Captured {
                approval: approval(true),
                amount: 1500,
            },
        ),
        (
            intent("requires_capture", r#","metadata":null"#),
            Found::Authorized {
                approval: approval(false),
                amount: 2000,
                captured: 0,
            },
        ),
        (
            intent("canceled", ""),
            Found::Voided {
                acquirer_id: "pi_1".into(),
            },
        ),
        (intent("processing", ""), Found::Processing),
    ] {
        let acquirer = Acquirer::says(200, &body).await;
        assert_eq!(acquirer.stripe.inquire(ask("ch_1", Some("pi_1"))).await, Ok(expected));
        assert_eq!(
            acquirer.seen()[0].line,
            "GET /v1/payment_intents/pi_1?expand[0]=latest_charge"
        );
        assert!(!acquirer.seen()[0].headers.contains_key("idempotency-key"));
    }
    let declined = intent(
        "requires_payment_method",
        r#","last_payment_error":{"code":"expired_card","message":"m"}"#,
    );
    let found = Acquirer::says(200, &declined)
        .await
        .stripe
        .inquire(ask("ch_1", Some("pi_1")))
        .await;
    assert!(
        matches!(found, Ok(Found::Declined(Decline { ref code, .. })) if code == "expired_card"),
        "{found:?}"
    );
    let missing = Acquirer::says(404, &error("invalid_request_error", "resource_missing")).await;
    assert_eq!(
        missing.stripe.inquire(ask("ch_1", Some("pi_1"))).await,
        Ok(Found::Nothing)
    );
    for (status, body) in [
        (404, String::new()),
        (401, error("invalid_request_error", "")),
        (500, String::new()),
        (402, error("card_error", "x")),
    ] {
        let unknown = Acquirer::says(status, &body)
            .await
            .stripe
            .inquire(ask("ch_1", Some("pi_1")))
            .await;
        assert!(matches!(unknown, Err(Failure::Unknown(_))), "{status} {unknown:?}");
    }
}

#[tokio::test]
async fn inquiries_by_reference() {
    let page = |reference: &str| {
        format!(
            r#"{{"data":[{}],"has_more":false}}"#,
            intent(
                "succeeded",
                &format!(r#","metadata":{{"counterfoil_reference":"{reference}","x":"y"}}"#)
            )
        )
    };
    let acquirer = Acquirer::says(200, &page("ch_1")).await;
    assert!(matches!(
        acquirer.stripe.inquire(ask("ch_1", None)).await,
        Ok(Found::Captured { amount: 2000, .. })
    ));
    let line = &acquirer.seen()[0].line;
    let query = line.strip_prefix("GET /v1/payment_intents/search?").unwrap();
    let query: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    assert_eq!(
        query,
        [
            ("query", "metadata['counterfoil_reference']:'ch_1'"),
            ("expand[0]", "data.latest_charge")
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    // A hit that is not ours is no hit.
    assert_eq!(
        Acquirer::says(200, &page("ch_10"))
            .await
            .stripe
            .inquire(ask("ch_1", None))
            .await,
        Ok(Found::Nothing)
    );
}

#[tokio::test]
async fn refunds_are_found_by_reference_on_any_page() {
    let page = |id: &str, status: &str, reference: &str, more: bool| {
        Reply::Answer(
            200,
            format!(
                r#"{{"data":[{{"id":"{id}","status":"{status}","metadata":{{"counterfoil_reference":"{reference}"}}}}],"has_more":{more}}}"#
            ),
        )
    };
    let acquirer = Acquirer::answering([
        page("re_8", "succeeded", "re_0", true),
        page("re_9", "failed", "re_1", false),
    ])
    .await;
    let found = acquirer.stripe.inquire_refund(back("re_1", "pi_1", 500, None)).await;
    assert_eq!(
        found,
        Ok(FoundRefund::Failed {
            acquirer_id: "re_9".into(),
            reason: None
        })
    );
    let lines: Vec<String> = acquirer.seen().into_iter().map(|s| s.line).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/refunds?payment_intent=pi_1&limit=100",
            "GET /v1/refunds?payment_intent=pi_1&limit=100&starting_after=re_8"
        ]
    );
    let nothing = Acquirer::answering([page("re_8", "succeeded", "re_0", false)]).await;
    assert_eq!(
        nothing.stripe.inquire_refund(back("re_1", "pi_1", 500, None)).await,
        Ok(FoundRefund::Nothing)
    );
}

#[tokio::test]
async fn callbacks_are_proven_first() {
    let stripe = Stripe::new(config("http://127.0.0.1:1")).unwrap();
    let now: jiff::Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let body = br#"{"id":"evt_1","type":"payment_intent.succeeded","data":{"object":{}}}"#;
    let signed = |secret: &str, at: i64| {
        let mut headers = http::HeaderMap::new();
        headers.insert(
            "stripe-signature",
            signature::sign(&[secret], at, body).parse().unwrap(),
        );
        headers
    };
    for secret in ["whsec_new", "whsec_old"] {
        let callback = stripe
            .parse_callback(&signed(secret, now.as_second() - 200), body, now)
            .unwrap();
        assert_eq!(
            (callback.id.as_str(), callback.r#type.as_str()),
            ("evt_1", "payment_intent.succeeded")
        );
    }
    for headers in [
        http::HeaderMap::new(),
        signed("whsec_x", now.as_second()),
        signed("whsec_new", now.as_second() - 301),
    ] {
        assert!(matches!(
            stripe.parse_callback(&headers, body, now),
            Err(CallbackRefused::Signature(_))
        ));
    }
    let mut headers = http::HeaderMap::new();
    headers.insert(
        "stripe-signature",
        signature::sign(&["whsec_new"], now.as_second(), b"[]").parse().unwrap(),
    );
    assert!(matches!(
        stripe.parse_callback(&headers, b"[]", now),
        Err(CallbackRefused::Malformed(_))
    ));
}

#[test]
fn a_wrong_configuration_is_refused_and_nothing_secret_is_shown() {
    for base_url in ["", "ftp://x", "https://api.example.com", "http://x/path", "http://"] {
        assert!(Stripe::new(config(base_url)).is_err(), "{base_url}");
    }
    let shown = format!(
        "{:?} {:?} {:?}",
        config("http://x"),
        Stripe::new(config("http://x")).unwrap(),
        authorization()
    );
    assert!(
        !shown.contains("sk_test") && !shown.contains("whsec") && !shown.contains("4242"),
        "{shown}"
    );
}
