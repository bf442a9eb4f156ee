//! What only a host that cannot be asked makes necessary: reversals that survive a crash, a line that comes back, TLS.

use super::*;
use crate::connector::CardSource;
use crate::connector::test_requests::{ask, capture};
use crate::connector::test_world::World;
use crate::test_postgres::{Postgres, TempDir};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use zeroize::Zeroizing;

fn sale(reference: &str) -> Authorize {
    Authorize {
        reference: reference.to_owned(),
        amount: 2000,
        currency: "usd".to_owned(),
        card: CardSource::Number {
            number: Zeroizing::new("4242424242424242".to_owned()),
            exp_month: 12,
            exp_year: 2034,
            cvc: None,
        },
        capture: false,
        statement_descriptor: None,
        challenge: crate::connector::Challenge::default(),
        keep: false,
        earlier_transaction: None,
        wishes: crate::connector::Wishes::default(),
    }
}

fn connect(postgres: &Postgres, settings: Settings) -> Iso8583 {
    Iso8583::new(settings, postgres.pool("gateway_app"), Clock::default()).unwrap()
}

async fn until_voided(bank: &Iso8583, reference: &str) {
    for _ in 0..600 {
        if matches!(bank.inquire(ask(reference, None)).await, Ok(Found::Voided { .. })) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{reference} is never reversed");
}

async fn silent(world: &World, message: &str, action: &str, times: u32) {
    let path = format!("/bank/{message}");
    let rule = json!({ "method": "BANK", "path": path, "action": action, "ms": 0, "remaining": times });
    world.fault(rule).await;
}

/// The process dies between the stored reversal and its acknowledgement; another one forwards it.
#[tokio::test]
async fn a_reversal_outlives_the_process_that_decided_it() {
    let (world, postgres) = (World::start().await, Postgres::start("iso8583-reversal").await);
    let settings = Settings {
        answer: Duration::from_millis(500),
        ..test_settings(&world.bank_address)
    };
    silent(&world, "0100", "timeout_after", 1).await;
    silent(&world, "042", "timeout_before", 1000).await;
    let first = connect(&postgres, settings.clone());
    assert!(matches!(first.authorize(&sale("ch_1")).await, Err(Failure::Unknown(_))));
    assert_eq!(first.inquire(ask("ch_1", None)).await, Ok(Found::Processing));
    drop(first);
    assert_eq!(world.truth("/admin/bank/truth").await[0]["status"], "approved");
    world.heal().await;
    let second = connect(&postgres, settings);
    until_voided(&second, "ch_1").await;
    assert_eq!(world.truth("/admin/bank/truth").await[0]["status"], "reversed");
}

/// It dies with the question on the line: nobody has decided anything yet, and still it is reversed.
#[tokio::test]
async fn an_authorization_whose_process_died_is_reversed() {
    let (world, postgres) = (World::start().await, Postgres::start("iso8583-died").await);
    let settings = Settings {
        answer: Duration::from_millis(500),
        connect: Duration::from_millis(500),
        ..test_settings(&world.bank_address)
    };
    silent(&world, "0100", "timeout_after", 1).await;
    let first = connect(&postgres, settings.clone());
    let request = sale("ch_1");
    let asking = tokio::time::timeout(Duration::from_millis(300), first.authorize(&request)).await;
    assert!(asking.is_err(), "it was cut off while it waited");
    drop(first);
    let second = connect(&postgres, settings);
    until_voided(&second, "ch_1").await;
    assert_eq!(world.truth("/admin/bank/truth").await[0]["status"], "reversed");
}

/// An advice must arrive: its repeats say that they are repeats, and it is done once.
#[tokio::test]
async fn an_advice_is_repeated_until_it_is_acknowledged() {
    let (world, postgres) = (World::start().await, Postgres::start("iso8583-advice").await);
    let settings = Settings {
        answer: Duration::from_millis(500),
        ..test_settings(&world.bank_address)
    };
    let bank = connect(&postgres, settings);
    let held = bank.authorize(&sale("ch_1")).await.unwrap();
    // The first is done and not answered; only a 0221 is answered.
    silent(&world, "0220", "timeout_after", 1).await;
    let answer = bank.capture(capture("ch_1:capture", &held.acquirer_id, 1500)).await;
    assert!(matches!(answer, Err(Failure::Unknown(_))), "{answer:?}");
    for _ in 0..600 {
        if matches!(
            bank.inquire(ask("ch_1", None)).await,
            Ok(Found::Captured { amount: 1500, .. })
        ) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let account = &world.truth("/admin/bank/truth").await[0];
    assert_eq!(
        (&account["captured"], &account["completions"]),
        (&json!(1500), &json!(1))
    );
    let client = postgres.connect("postgres").await;
    let repeated: i16 = client
        .query_one(
            "SELECT attempts FROM gateway.iso8583_message WHERE kind = 'completion'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert!(repeated > 0);
    // What has ended stays so, for everyone.
    for statement in [
        "UPDATE gateway.iso8583_message SET state = 'refused' WHERE kind = 'completion'",
        "UPDATE gateway.iso8583_message SET amount = 1 WHERE kind = 'completion'",
        "DELETE FROM gateway.iso8583_message",
    ] {
        assert!(client.execute(statement, &[]).await.is_err(), "{statement}");
    }
}

/// A line through TLS, whose certificate must be the named authority's and carry the host's name.
#[tokio::test]
async fn the_line_is_encrypted_and_its_host_is_proven() {
    let (world, postgres) = (World::start().await, Postgres::start("iso8583-tls").await);
    let dir = TempDir::new("iso8583-tls-files");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (ours, theirs) = (dir.path().join("ours.pem"), dir.path().join("theirs.pem"));
    std::fs::write(&ours, made.cert.pem()).unwrap();
    std::fs::write(&theirs, other.cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("localhost:{}", listener.local_addr().unwrap().port());
    let host = world.bank_address.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, host) = (acceptor.clone(), host.clone());
            tokio::spawn(async move {
                let Ok(mut inside) = acceptor.accept(socket).await else {
                    return;
                };
                let mut outside = TcpStream::connect(host).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
            });
        }
    });
    let settings = |authorities| Settings {
        authorities: Some(authorities),
        connect: Duration::from_secs(1),
        ..test_settings(&address)
    };
    let wrong = connect(&postgres, settings(theirs));
    assert!(matches!(wrong.authorize(&sale("ch_1")).await, Err(Failure::NotSent(_))));
    let right = connect(&postgres, settings(ours));
    assert!(right.authorize(&sale("ch_2")).await.is_ok());
    // What was not sent may be sent again, by whoever can.
    assert!(right.authorize(&sale("ch_1")).await.is_ok());
}

#[tokio::test]
async fn settings_that_cannot_work_are_named() {
    let postgres = Postgres::start("iso8583-settings").await;
    let wrong = |change: fn(&mut Settings)| {
        let mut settings = test_settings("127.0.0.1:1");
        change(&mut settings);
        let refused = Iso8583::new(settings, postgres.pool("gateway_app"), Clock::default());
        refused.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(wrong(|s| s.terminal_id = "TERMINAL1".into()).contains("terminal_id"));
    assert!(wrong(|s| s.merchant_category = "59".into()).contains("merchant_category"));
    assert!(wrong(|s| s.institution_id = "x".into()).contains("institution_id"));
    assert!(wrong(|s| s.authorities = Some("/none".into())).contains("/none"));
}
