//! Acquirers, held against programs that are not ours: ISO 8583 against an independent implementation of the standard, Stripe's
//! wire against an independent emulator. And what happens when an acquirer answers about something else than was asked.

use gateway::connector::iso8583::codec::Message;
use gateway::connector::stripe::{Config, Stripe, Timeouts};
use gateway::connector::{
    Approval, Authorize, Capture, CardSource, Challenge, Connector, Failure, Found, FoundRefund, Inquiry, Return,
    Wishes,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use tests::{TestApp, eventually, said, workspace};
use tokio::io::AsyncBufReadExt;

/// The other program says the same: our bytes are its message, and its bytes are ours, over the whole table of elements.
#[test]
fn another_implementation_of_iso_8583_reads_and_writes_the_same() {
    let mut dice = StdRng::seed_from_u64(8583);
    let mut ours: Vec<BTreeMap<String, String>> = (2..=128u8)
        .filter(|number| *number != 65)
        .map(|number| {
            BTreeMap::from([
                ("t".into(), "0100".into()),
                (number.to_string(), value(number, &mut dice)),
            ])
        })
        .collect();
    for _ in 0..100 {
        let mut message = BTreeMap::from([("t".to_owned(), format!("0{:03}", dice.random_range(0..1000)))]);
        for _ in 0..dice.random_range(0..30) {
            let number = dice.random_range(2..=128u8);
            if number != 65 {
                message.insert(number.to_string(), value(number, &mut dice));
            }
        }
        ours.push(message);
    }
    let asked: Vec<Value> = ours
        .iter()
        .map(|fields| {
            let bytes = message(fields)
                .encode()
                .unwrap_or_else(|error| panic!("{fields:?}: {error}"));
            json!({ "fields": fields, "wire": hex::encode(&bytes[..]) })
        })
        .collect();
    let theirs = other_program(&Value::from(asked));
    assert_eq!(theirs.len(), ours.len());
    for (theirs, ours) in theirs.iter().zip(&ours) {
        assert_eq!(theirs["read"], json!(ours), "it reads our bytes otherwise");
        let bytes = hex::decode(theirs["wire"].as_str().expect("bytes")).expect("hexadecimal");
        assert_eq!(
            Message::decode(&bytes).as_ref(),
            Ok(&message(ours)),
            "we read its bytes otherwise"
        );
    }
}

fn message(fields: &BTreeMap<String, String>) -> Message {
    let numbered = fields
        .iter()
        .filter_map(|(number, value)| Some((number.parse::<u8>().ok()?, value)));
    numbered.fold(Message::new(&fields["t"]), |message, (number, value)| {
        message.with(number, value)
    })
}

/// A value of full length, or of any length where it varies.
fn value(number: u8, dice: &mut StdRng) -> String {
    let (kind, min, max) = match number {
        2 => ('n', 0, 19),
        32 | 33 | 99 | 100 => ('n', 0, 11),
        34 | 102 | 103 => ('t', 0, 28),
        35 => ('t', 0, 37),
        36 => ('t', 0, 104),
        44 => ('t', 0, 25),
        45 => ('t', 0, 76),
        54 => ('t', 0, 120),
        101 => ('t', 0, 17),
        104 => ('t', 0, 100),
        55 => ('b', 510, 510),
        46..=48 | 56..=63 | 105..=127 => ('t', 0, 500),
        3 | 11 | 12 | 73 => ('n', 6, 6),
        4..=6 | 82..=85 => ('n', 12, 12),
        7 | 74..=81 => ('n', 10, 10),
        8..=10 => ('n', 8, 8),
        13..=18 | 71 | 72 => ('n', 4, 4),
        19..=24 | 68..=70 => ('n', 3, 3),
        25 | 26 | 67 => ('n', 2, 2),
        27 | 66 => ('n', 1, 1),
        28..=31 => ('x', 8, 8),
        97 => ('x', 16, 16),
        37 => ('t', 12, 12),
        38 => ('t', 6, 6),
        39 | 92 => ('t', 2, 2),
        40 | 49..=51 => ('t', 3, 3),
        41 => ('t', 8, 8),
        42 => ('t', 15, 15),
        43 => ('t', 40, 40),
        52 | 64 | 96 | 128 => ('b', 16, 16),
        53 | 86..=89 => ('n', 16, 16),
        90 => ('n', 42, 42),
        91 => ('t', 1, 1),
        93 => ('t', 5, 5),
        94 => ('t', 7, 7),
        95 => ('t', 42, 42),
        98 => ('t', 25, 25),
        other => panic!("DE {other}"),
    };
    let alphabet: &[u8] = match kind {
        't' => b"ABCxyz019 .,-/+",
        'b' => b"0123456789ABCDEF",
        _ => b"0123456789",
    };
    let length = dice.random_range(min..=max);
    let text: String = (0..length)
        .map(|_| alphabet[dice.random_range(0..alphabet.len())] as char)
        .collect();
    if kind == 'x' { format!("C{text}") } else { text }
}

fn other_program(asked: &Value) -> Vec<Value> {
    let mut child = Command::new(workspace().join(".tools/python/bin/python"))
        .arg(workspace().join("tests/sdk/python/iso8583_check.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("scripts/bootstrap.sh test installs it");
    serde_json::to_writer(child.stdin.take().expect("a pipe"), asked).expect("it listens");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The connector on Stripe's wire against localstripe: authorize, capture, void, refund, one decline. What that program does
/// not have (search, idempotency, honest amounts after a partial capture) is tried against our own simulator alone.
#[tokio::test]
async fn an_independent_emulator_of_stripes_wire_is_paid_at() {
    let mut program = tokio::process::Command::new(workspace().join(".tools/python/bin/python"))
        .arg(workspace().join("tests/sdk/python/localstripe_loopback.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("scripts/bootstrap.sh test installs it");
    let mut port = String::new();
    let mut told = tokio::io::BufReader::new(program.stdout.take().expect("a pipe"));
    // It listens before it tells: who comes early waits in the queue.
    told.read_line(&mut port).await.expect("its port");
    let stripe = Stripe::new(Config {
        base_url: format!("http://127.0.0.1:{}", port.trim()),
        secret_key: zeroize("sk_test_independent"),
        webhook_secrets: Vec::new(),
        timeouts: Timeouts::default(),
        roots: Arc::new(rustls::RootCertStore::empty()),
    })
    .expect("a connector");

    let held = stripe
        .authorize(&attempt("ch_1", "pm_card_visa", false))
        .await
        .expect("approved");
    assert!(!held.captured && held.acquirer_reference.is_some(), "{held:?}");
    let found = stripe.inquire(about("ch_1", &held.acquirer_id)).await.expect("found");
    let stands = Found::Authorized {
        approval: held.clone(),
        amount: 2000,
        captured: 0,
    };
    assert_eq!(found, stands);
    let capture = Capture {
        reference: "ch_1:capture",
        acquirer_id: &held.acquirer_id,
        amount: 2000,
        currency: "usd",
        taken: 0,
        last: true,
    };
    assert!(stripe.capture(capture).await.expect("captured").captured);
    let found = stripe.inquire(about("ch_1", &held.acquirer_id)).await.expect("found");
    assert!(matches!(found, Found::Captured { amount: 2000, .. }), "{found:?}");

    let back = returned("re_1", &held);
    assert_eq!(stripe.inquire_refund(back).await, Ok(FoundRefund::Nothing));
    let refund = stripe.refund(back).await.expect("refunded");
    assert!(refund.succeeded);
    let found = stripe.inquire_refund(back).await;
    assert_eq!(
        found,
        Ok(FoundRefund::Succeeded {
            acquirer_id: refund.acquirer_id
        })
    );

    let sold = stripe
        .authorize(&attempt("ch_2", "pm_card_visa", true))
        .await
        .expect("sold");
    assert!(sold.captured);
    let held = stripe
        .authorize(&attempt("ch_3", "pm_card_visa", false))
        .await
        .expect("approved");
    stripe.void("ch_3:void", &held.acquirer_id).await.expect("released");
    let found = stripe.inquire(about("ch_3", &held.acquirer_id)).await.expect("found");
    assert!(matches!(found, Found::Voided { .. }), "{found:?}");
    let declined = stripe
        .authorize(&attempt("ch_4", "pm_card_chargeCustomerFail", true))
        .await;
    let Err(Failure::Declined(decline)) = declined else {
        panic!("{declined:?}")
    };
    assert_eq!(decline.code, "card_declined");
}

fn attempt(reference: &str, token: &str, capture: bool) -> Authorize {
    Authorize {
        reference: reference.to_owned(),
        amount: 2000,
        currency: "usd".to_owned(),
        card: CardSource::TestToken(token.to_owned()),
        capture,
        statement_descriptor: None,
        challenge: Challenge::default(),
        keep: false,
        earlier_transaction: None,
        wishes: Wishes::default(),
    }
}

fn about<'a>(reference: &'a str, acquirer_id: &'a str) -> Inquiry<'a> {
    Inquiry {
        reference,
        acquirer_id: Some(acquirer_id),
        amount: 2000,
        raised: None,
        currency: "usd",
    }
}

fn returned<'a>(reference: &'a str, held: &'a Approval) -> Return<'a> {
    Return {
        reference,
        acquirer_id: &held.acquirer_id,
        amount: 500,
        currency: "usd",
        reason: None,
    }
}

/// The acquirer answers with another amount: nobody believes it, people are told, and the sweep finds out what is true.
#[tokio::test]
async fn an_answer_about_another_amount_is_neither_an_approval_nor_a_decline() {
    let app = TestApp::shared().await;
    for (amount, action, field) in [(4_321, "wrong_amount", "amount"), (4_323, "wrong_currency", "currency")] {
        let rule = json!({ "method": "POST", "path": "/v1/payment_intents", "amount": amount, "action": action, "remaining": 1 });
        app.simulator("POST", "/admin/faults").json(&rule).send().await.ok();
        let payment = json!({ "amount": amount, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true, "expand": ["latest_charge"] });
        let payment = app.post("/v1/payment_intents").params(payment).send().await;
        assert_eq!(payment["status"], "processing", "{payment}");
        let charge = &payment["latest_charge"];
        assert_eq!(
            (&charge["status"], &charge["mismatch"]["field"]),
            (&json!("pending"), &json!(field)),
            "{payment}"
        );
        let client = app.sql().await;
        let id = charge["id"].as_str().expect("an id");
        let told: i64 = client
            .query_one(
                "SELECT count(*) FROM gateway.event WHERE object_id = $1 AND type = 'charge.mismatched'",
                &[&id],
            )
            .await
            .expect("events")
            .get(0);
        assert_eq!(told, 1);
        // The state says what it is about, in the database too.
        let silent = client
            .execute(
                "UPDATE gateway.charge SET mismatch = NULL WHERE id = $1 AND status = 'mismatched'",
                &[&id],
            )
            .await;
        assert!(silent.is_err() || silent.is_ok_and(|rows| rows == 0));
        let path = format!("/v1/payment_intents/{}", payment["id"].as_str().expect("an id"));
        let ended = eventually("the truth is found out", async || {
            let now = app.get(&path).send().await;
            (now["status"] == "succeeded").then_some(now)
        })
        .await;
        assert_eq!(ended["amount_received"], amount, "{ended}");
    }
}

/// An acquirer that goes on telling another amount: two people accept it or reverse it, or one who says why.
#[tokio::test]
async fn people_end_what_an_acquirer_tells_otherwise() {
    let app = &TestApp::start().await;
    let checker = &crate::accounts::checker(app).await;
    for method in ["POST", "GET"] {
        let rule = json!({ "method": method, "path": "/v1/payment_intents", "action": "wrong_amount" });
        app.simulator("POST", "/admin/faults").json(&rule).send().await.ok();
    }
    let mismatched = async |capture: &str| {
        let payment = json!({ "amount": 4000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true, "capture_method": capture });
        let payment = app.post("/v1/payment_intents").params(payment).send().await.ok();
        assert_eq!(payment["status"], "processing", "{payment}");
        payment["latest_charge"].as_str().expect("a charge").to_owned()
    };
    let resolve = async |charge: &str, resolution: &str, key: Option<&str>, more: Value| {
        let mut body = json!({ "resolution": resolution, "reason": "the bank confirmed it by telephone" });
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        let request = app.post(&format!("/v1/charges/{charge}/resolve")).params(body);
        match key {
            Some(key) => request.key(key).send().await,
            None => request.send().await,
        }
    };
    let read = async |charge: &str| {
        app.get(&format!("/v1/charges/{charge}?expand[]=payment_intent"))
            .send()
            .await
            .ok()
    };

    // accepted by two
    let accepted = mismatched("automatic").await;
    let proposal = resolve(&accepted, "accept", None, json!({})).await.ok();
    assert_eq!(
        (&proposal["status"], &proposal["mismatch"]["theirs"]),
        (&json!("pending"), &json!("4001"))
    );
    assert_eq!(
        proposal["mismatch"]["decision"]["decided_by"],
        Value::Null,
        "{proposal}"
    );
    let alone = resolve(&accepted, "accept", None, json!({})).await.ok();
    assert_eq!(alone["status"], "pending", "one key is one person: {alone}");
    let done = resolve(&accepted, "accept", Some(checker), json!({})).await.ok();
    assert_eq!(
        (&done["status"], &done["amount"], &done["amount_captured"]),
        (&json!("succeeded"), &json!(4001), &json!(4001)),
        "{done}"
    );
    let decision = &done["mismatch"]["decision"];
    assert!(
        decision["by"] != decision["decided_by"] && decision["decided_by"].is_string(),
        "{decision}"
    );
    assert_eq!(read(&accepted).await["payment_intent"]["amount_received"], 4001);

    // reversed by one who says why: the hold is released, and the payment can be tried again
    let reversed = mismatched("manual").await;
    let done = resolve(
        &reversed,
        "reverse",
        None,
        json!({ "override_reason": "nobody else is there" }),
    )
    .await
    .ok();
    assert_eq!(done["status"], "failed", "{done}");
    assert_eq!(
        read(&reversed).await["payment_intent"]["status"],
        "requires_payment_method"
    );
    let truth = app.simulator("GET", "/admin/truth").send().await;
    let text = String::from_utf8_lossy(&truth.body).into_owned();
    let line = text.lines().find(|line| line.contains(&reversed)).expect("its line");
    assert!(line.contains("\"status\":\"canceled\""), "{line}");
    let late = resolve(&reversed, "reverse", None, json!({})).await;
    assert_eq!(
        (late.status, late.text("/error/code")),
        (400, "charge_unexpected_state")
    );
    let audited = app.get("/v1/audit_events").form("limit=100").send().await.ok();
    let rows = audited["data"].as_array().expect("rows");
    let acts = rows
        .iter()
        .filter(|row| row["action"] == "POST /v1/charges/{id}/resolve")
        .count();
    assert!(acts >= 4, "{acts}: {audited}");
    app.verify_books().await;
}

fn zeroize(text: &str) -> zeroize::Zeroizing<String> {
    zeroize::Zeroizing::new(text.to_owned())
}
