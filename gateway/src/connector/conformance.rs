//! What every connector must do: the same scripts over each, against its simulated acquirer, whose books are the truth.
//!
//! A script asks through the trait alone. Whatever goes wrong on the way, the connector may say "I do not know" but never
//! something that the acquirer's books do not say, and in the end it finds out.

use super::stripe;
use super::test_world::World;
use super::*;
use crate::clock::Clock;
use crate::test_postgres::Postgres;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

mod flexible;
use flexible::*;

/// A connector, its world, and how its acquirer is spoken about.
struct Subject {
    connector: Arc<dyn Connector>,
    world: World,
    shape: &'static Shape,
    _postgres: Option<Postgres>,
}

/// How an acquirer's simulator names what can go wrong, and where its truth is.
struct Shape {
    /// method and path of an authorization, a capture, a refund in fault rules
    authorize: (&'static str, &'static str),
    capture: (&'static str, &'static str),
    raise: (&'static str, &'static str),
    refund: (&'static str, &'static str),
    truth: &'static str,
}

/// What the acquirer's books say about a reference: held or taken, taken, given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Truth {
    authorized: i64,
    captured: i64,
    refunded: i64,
}

/// Runs a script over every connector, each in a world of its own.
macro_rules! conformance {
    ($($script:ident),+ $(,)?) => {
        mod stripe_wire {
            $(#[tokio::test] async fn $script() { super::$script(super::Subject::stripe().await).await })+
        }
        mod iso8583_bank {
            $(#[tokio::test] async fn $script() { super::$script(super::Subject::iso8583().await).await })+
        }
    };
}
conformance! {
    a_hold_is_captured_in_full, a_hold_is_captured_in_part, a_hold_is_captured_in_parts, what_is_left_after_parts_is_released,
    a_hold_is_raised_or_stands, a_raise_without_an_answer, a_part_without_an_answer, more_than_the_hold_only_where_allowed, a_sale_is_taken_at_once, a_hold_is_released,
    money_is_given_back_and_found, too_much_is_refused, declines_are_told_as_what_they_are, a_repeat_has_one_effect,
    silence_before_and_after_the_effect, cut_connections_before_and_after_the_effect, a_late_answer_changes_nothing,
    a_capture_and_a_refund_without_an_answer, many_at_once_get_their_own_answers, another_amount_or_currency_is_no_approval,
    a_dead_acquirer_was_not_asked,
}

impl Subject {
    async fn stripe() -> Self {
        let world = World::start().await;
        let config = stripe::Config {
            base_url: world.api_url.clone(),
            secret_key: zeroize::Zeroizing::new("sk_test_secret".to_owned()),
            webhook_secrets: Vec::new(),
            timeouts: stripe::Timeouts {
                authorize: PATIENCE,
                settle: PATIENCE,
                ..stripe::Timeouts::default()
            },
            roots: Arc::new(rustls::RootCertStore::empty()),
        };
        Self {
            connector: Arc::new(stripe::Stripe::new(config).unwrap()),
            world,
            shape: &Shape {
                authorize: ("POST", "/v1/payment_intents"),
                capture: ("POST", "/v1/payment_intents/pi_"),
                raise: ("POST", "/v1/payment_intents/pi_"),
                refund: ("POST", "/v1/refunds"),
                truth: "/admin/truth",
            },
            _postgres: None,
        }
    }

    async fn iso8583() -> Self {
        let world = World::start().await;
        let postgres = Postgres::start("conformance").await;
        let settings = iso8583::Settings {
            answer: PATIENCE,
            ..iso8583::test_settings(&world.bank_address)
        };
        let connector = iso8583::Iso8583::new(settings, postgres.pool("gateway_app"), Clock::default()).unwrap();
        Self {
            connector: Arc::new(connector),
            world,
            shape: &Shape {
                authorize: ("BANK", "/bank/0100"),
                capture: ("BANK", "/bank/0220"),
                raise: ("BANK", "/bank/0100"),
                refund: ("BANK", "/bank/0220"),
                truth: "/admin/bank/truth",
            },
            _postgres: Some(postgres),
        }
    }

    async fn pay(&self, reference: &str, capture: bool) -> Result<Approval, Failure> {
        self.connector.authorize(&request(reference, VISA, capture)).await
    }

    async fn truth(&self, reference: &str) -> Truth {
        let lines = self.world.truth(self.shape.truth).await;
        let ours: Vec<&Value> = lines.iter().filter(|line| line["reference"] == reference).collect();
        assert!(ours.len() <= 1, "{reference} was sent twice: {ours:?}");
        let number = |name: &str| ours.first().map_or(0, |line| line[name].as_i64().unwrap_or_default());
        match ours.first() {
            // The bank's book.
            Some(line) if line["rrn"].is_string() => Truth {
                authorized: if line["status"] == "approved" {
                    number("amount")
                } else {
                    0
                },
                captured: number("captured"),
                refunded: number("refunded"),
            },
            _ => Truth {
                authorized: number("amount_authorized"),
                captured: number("amount_captured"),
                refunded: number("amount_refunded"),
            },
        }
    }

    async fn fault(&self, (method, path): (&str, &str), action: &str, ms: u64) {
        let rule = json!({ "method": method, "path": path, "action": action, "ms": ms, "remaining": 1 });
        self.world.fault(rule).await;
    }

    /// What the connector finds in the end, when nothing is under way any more.
    async fn in_the_end(&self, reference: &str) -> Found {
        for _ in 0..600 {
            match self.connector.inquire(ask(reference)).await {
                Ok(Found::Processing) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                Ok(found) => return found,
            }
        }
        panic!("{reference} is never settled");
    }

    /// What was found is what the acquirer's books say, and nothing is held that nobody knows of.
    async fn agrees(&self, reference: &str) -> Found {
        let found = self.in_the_end(reference).await;
        let truth = self.truth(reference).await;
        let expected = match &found {
            Found::Authorized { amount, captured, .. } => Truth {
                authorized: *amount,
                captured: *captured,
                refunded: truth.refunded,
            },
            Found::Captured { amount, .. } => Truth {
                authorized: truth.authorized.max(AMOUNT),
                captured: *amount,
                refunded: truth.refunded,
            },
            _ => Truth::default(),
        };
        assert_eq!(truth, expected, "{reference}: {found:?}");
        found
    }
}

async fn a_hold_is_captured_in_full(subject: Subject) {
    let held = subject.pay("ch_1", false).await.unwrap();
    assert!(!held.captured && held.acquirer_reference.is_some(), "{held:?}");
    let stands = Found::Authorized {
        approval: held.clone(),
        amount: AMOUNT,
        captured: 0,
    };
    assert_eq!(subject.agrees("ch_1").await, stands);
    let taken = subject
        .connector
        .capture(take("ch_1:capture", &held, AMOUNT))
        .await
        .unwrap();
    assert!(taken.captured);
    assert_eq!(taken.acquirer_id, held.acquirer_id);
    assert!(matches!(
        subject.agrees("ch_1").await,
        Found::Captured { amount: AMOUNT, .. }
    ));
}

async fn a_hold_is_captured_in_part(subject: Subject) {
    assert!(subject.connector.capabilities().partial_capture);
    let held = subject.pay("ch_1", false).await.unwrap();
    subject
        .connector
        .capture(take("ch_1:capture", &held, 1500))
        .await
        .unwrap();
    assert!(matches!(
        subject.agrees("ch_1").await,
        Found::Captured { amount: 1500, .. }
    ));
}

async fn a_sale_is_taken_at_once(subject: Subject) {
    let sold = subject.pay("ch_1", true).await.unwrap();
    assert!(sold.captured && sold.acquirer_reference.is_some(), "{sold:?}");
    assert!(matches!(
        subject.agrees("ch_1").await,
        Found::Captured { amount: AMOUNT, .. }
    ));
}

async fn a_hold_is_released(subject: Subject) {
    let held = subject.pay("ch_1", false).await.unwrap();
    subject.connector.void("ch_1:void", &held.acquirer_id).await.unwrap();
    subject.connector.void("ch_1:void", &held.acquirer_id).await.unwrap();
    assert!(matches!(subject.agrees("ch_1").await, Found::Voided { .. }));
    let late = subject.connector.capture(take("ch_1:capture", &held, AMOUNT)).await;
    assert!(late.is_err(), "{late:?}");
    assert_eq!(subject.truth("ch_1").await, Truth::default());
}

async fn money_is_given_back_and_found(subject: Subject) {
    let sold = subject.pay("ch_1", true).await.unwrap();
    let wanted = back("re_1", &sold, 500);
    assert_eq!(subject.connector.inquire_refund(wanted).await, Ok(FoundRefund::Nothing));
    let accepted = subject.connector.refund(wanted).await.unwrap();
    assert_eq!(
        subject.connector.inquire_refund(wanted).await,
        Ok(FoundRefund::Succeeded {
            acquirer_id: accepted.acquirer_id.clone()
        })
    );
    assert_eq!(subject.connector.refund(wanted).await, Ok(accepted), "the same again");
    assert_eq!(subject.truth("ch_1").await.refunded, 500);
    subject
        .connector
        .refund(back("re_2", &sold, AMOUNT - 500))
        .await
        .unwrap();
    assert_eq!(subject.truth("ch_1").await.refunded, AMOUNT);
}

async fn too_much_is_refused(subject: Subject) {
    let held = subject.pay("ch_1", false).await.unwrap();
    let more = subject.connector.capture(take("ch_1:capture", &held, 2 * AMOUNT)).await;
    assert!(matches!(more, Err(Failure::Declined(_))), "{more:?}");
    let sold = subject.pay("ch_2", true).await.unwrap();
    let more = subject.connector.refund(back("re_1", &sold, AMOUNT + 1)).await;
    assert!(matches!(more, Err(Failure::Declined(_))), "{more:?}");
    assert_eq!(subject.truth("ch_1").await.captured, 0);
    assert_eq!(subject.truth("ch_2").await.refunded, 0);
}

async fn declines_are_told_as_what_they_are(subject: Subject) {
    let cards = [
        ("4000000000009995", "card_declined", Some("insufficient_funds")),
        ("4000000000009987", "card_declined", Some("lost_card")),
        ("4000000000009979", "card_declined", Some("stolen_card")),
        ("4000000000006975", "card_declined", Some("card_velocity_exceeded")),
        ("4000000000000069", "expired_card", Some("expired_card")),
        ("4000000000000127", "incorrect_cvc", Some("incorrect_cvc")),
        ("4000000000000119", "processing_error", Some("processing_error")),
    ];
    for (number, code, decline_code) in cards {
        let reference = format!("ch_{number}");
        let answer = subject.connector.authorize(&request(&reference, number, true)).await;
        let Err(Failure::Declined(decline)) = answer else {
            panic!("{number}: {answer:?}")
        };
        assert_eq!(decline.code, code, "{number}");
        assert!(
            decline.decline_code.is_none() || decline.decline_code.as_deref() == decline_code,
            "{number}: {decline:?}"
        );
        assert!(
            matches!(subject.agrees(&reference).await, Found::Declined(_)),
            "{number}"
        );
    }
}

async fn a_repeat_has_one_effect(subject: Subject) {
    let held = subject.pay("ch_1", false).await.unwrap();
    assert_eq!(subject.pay("ch_1", false).await, Ok(held.clone()));
    let first = subject
        .connector
        .capture(take("ch_1:capture", &held, AMOUNT))
        .await
        .unwrap();
    assert_eq!(
        subject.connector.capture(take("ch_1:capture", &held, AMOUNT)).await,
        Ok(first)
    );
    let truth = Truth {
        authorized: AMOUNT,
        captured: AMOUNT,
        refunded: 0,
    };
    assert_eq!(subject.truth("ch_1").await, truth);
}

async fn silence_before_and_after_the_effect(subject: Subject) {
    for (n, action) in ["timeout_before", "timeout_after"].into_iter().enumerate() {
        let reference = format!("ch_{n}");
        // Longer than anyone waits.
        subject.fault(subject.shape.authorize, action, 60_000).await;
        let answer = subject.pay(&reference, true).await;
        assert!(matches!(answer, Err(Failure::Unknown(_))), "{action}: {answer:?}");
        subject.agrees(&reference).await;
    }
}

async fn cut_connections_before_and_after_the_effect(subject: Subject) {
    for (n, action) in ["reset", "reset_after"].into_iter().enumerate() {
        let reference = format!("ch_{n}");
        subject.fault(subject.shape.authorize, action, 0).await;
        let answer = subject.pay(&reference, false).await;
        assert!(matches!(answer, Err(Failure::Unknown(_))), "{action}: {answer:?}");
        subject.agrees(&reference).await;
    }
    // The line is up again by itself.
    assert!(subject.pay("ch_9", false).await.is_ok());
}

async fn a_late_answer_changes_nothing(subject: Subject) {
    subject
        .fault(subject.shape.authorize, "delay", PATIENCE.as_millis() as u64 + 500)
        .await;
    let answer = subject.pay("ch_1", false).await;
    assert!(matches!(answer, Err(Failure::Unknown(_))), "{answer:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    subject.agrees("ch_1").await;
}

async fn a_capture_and_a_refund_without_an_answer(subject: Subject) {
    let held = subject.pay("ch_1", false).await.unwrap();
    subject.fault(subject.shape.capture, "timeout_after", 60_000).await;
    let answer = subject.connector.capture(take("ch_1:capture", &held, 1500)).await;
    assert!(matches!(answer, Err(Failure::Unknown(_))), "{answer:?}");
    assert!(matches!(
        subject.agrees("ch_1").await,
        Found::Captured { amount: 1500, .. }
    ));
    subject.fault(subject.shape.refund, "timeout_before", 60_000).await;
    let wanted = back("re_1", &held, 700);
    let answer = subject.connector.refund(wanted).await;
    assert!(matches!(answer, Err(Failure::Unknown(_))), "{answer:?}");
    // The flow sends it again under the same key when nothing is found; an advice forwards itself.
    for _ in 0..200 {
        match subject.connector.inquire_refund(wanted).await {
            Ok(FoundRefund::Succeeded { .. }) => break,
            Ok(FoundRefund::Nothing) => drop(subject.connector.refund(wanted).await),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    assert_eq!(subject.truth("ch_1").await.refunded, 700);
}

async fn many_at_once_get_their_own_answers(subject: Subject) {
    // Every third is held back, so that answers overtake each other.
    let rule = json!({ "method": subject.shape.authorize.0, "path": subject.shape.authorize.1, "action": "delay", "ms": 100, "probability": 0.3 });
    subject.world.fault(rule).await;
    let all = (0..60).map(|n| {
        let subject = &subject;
        async move {
            let reference = format!("ch_{n}");
            let number = if n % 4 == 0 { "4000000000009995" } else { VISA };
            (n, subject.connector.authorize(&request(&reference, number, true)).await)
        }
    });
    for (n, answer) in futures_util::future::join_all(all).await {
        match answer {
            Ok(approval) => assert!(n % 4 != 0 && approval.captured, "{n}"),
            Err(Failure::Declined(_)) => assert_eq!(n % 4, 0, "{n}"),
            // The machine may be slow: then the truth decides.
            Err(other) => drop((other, subject.agrees(&format!("ch_{n}")).await)),
        }
    }
    subject.world.heal().await;
    for n in [1, 2, 59] {
        assert!(matches!(
            subject.agrees(&format!("ch_{n}")).await,
            Found::Captured { .. }
        ));
    }
}

async fn another_amount_or_currency_is_no_approval(subject: Subject) {
    for (n, action) in ["wrong_amount", "wrong_currency"].into_iter().enumerate() {
        subject.fault(subject.shape.authorize, action, 0).await;
        let answer = subject.pay(&format!("ch_{n}"), false).await;
        let Err(Failure::Mismatch(mismatch)) = answer else {
            panic!("{action}: {answer:?}")
        };
        assert!(
            action.ends_with(&mismatch.field) && mismatch.ours != mismatch.theirs,
            "{mismatch:?}"
        );
        // Asked again, with a true answer: it is known what it was, or it was undone.
        subject.agrees(&format!("ch_{n}")).await;
    }
}

async fn a_dead_acquirer_was_not_asked(mut subject: Subject) {
    subject.pay("ch_1", false).await.unwrap();
    subject.world.end().await;
    // A connection that was open may be found dead only by using it.
    let _ = subject.pay("ch_2", false).await;
    let answer = subject.pay("ch_3", false).await;
    assert!(matches!(answer, Err(Failure::NotSent(_))), "{answer:?}");
}

fn request(reference: &str, number: &str, capture: bool) -> Authorize {
    Authorize {
        reference: reference.to_owned(),
        amount: AMOUNT,
        currency: "usd".to_owned(),
        card: CardSource::Number {
            number: zeroize::Zeroizing::new(number.to_owned()),
            exp_month: 12,
            exp_year: 2034,
            cvc: Some(zeroize::Zeroizing::new("123".to_owned())),
        },
        capture,
        statement_descriptor: Some("A SHOP".to_owned()),
        challenge: Challenge::default(),
        keep: false,
        earlier_transaction: None,
        wishes: Wishes {
            multicapture: true,
            overcapture: true,
            incremental: true,
        },
    }
}

fn take<'a>(reference: &'a str, held: &'a Approval, amount: i64) -> Capture<'a> {
    test_requests::capture(reference, &held.acquirer_id, amount)
}

fn back<'a>(reference: &'a str, sold: &'a Approval, amount: i64) -> Return<'a> {
    test_requests::back(reference, &sold.acquirer_id, amount, None)
}

fn ask(reference: &str) -> Inquiry<'_> {
    test_requests::ask(reference, None)
}

const AMOUNT: i64 = 2000;
const VISA: &str = "4242424242424242";
/// How long the connectors wait for an answer here: no test passes or fails by it, but silence costs it.
const PATIENCE: Duration = Duration::from_millis(1500);
