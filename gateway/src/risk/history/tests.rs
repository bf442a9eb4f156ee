//! The log read while transactions overlap, and the file that is taken whole or not at all.

use super::*;
use crate::test_postgres::Postgres;
use anomaly::{Config, Feature};

#[test]
fn a_file_is_taken_whole_or_not_at_all() {
    let folder = std::env::temp_dir().join(format!("counterfoil-scorer-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir_all(&folder).unwrap();
    let (file, identity) = (folder.join("scorer.snapshot"), uuid::Uuid::now_v7());
    let engine = Engine::new(anomaly::Config::default());
    let context = RiskContext::default();
    let attempt = super::super::facts(Timestamp::UNIX_EPOCH, 1, 500, "usd", "print", "424242", &context);
    engine.observe(&attempt, anomaly::Outcome::Approved);
    let learner = Learner::default();
    store(&engine.snapshot(), &learner, identity, "7:9:8".into(), &file).unwrap();
    let (restored, again, trailer) = load(&file, anomaly::Config::default()).unwrap();
    assert_eq!((trailer.identity, trailer.seen.as_str()), (identity, "7:9:8"));
    assert_eq!((restored.snapshot(), again), (engine.snapshot(), learner));

    let whole = std::fs::read(&file).unwrap();
    for (what, broken) in [
        ("cut", whole[..whole.len() - 1].to_vec()),
        ("halved", whole[..whole.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("changed", {
            let mut bytes = whole.clone();
            let digit = bytes.iter().position(u8::is_ascii_digit).unwrap();
            bytes[digit] = if bytes[digit] == b'1' { b'2' } else { b'1' };
            bytes
        }),
    ] {
        std::fs::write(&file, broken).unwrap();
        assert!(load(&file, anomaly::Config::default()).is_err(), "{what}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// Transactions begin in one order and end in another; a reader that comes in between finds each row once, whatever it missed.
#[tokio::test]
async fn each_row_is_read_once_however_transactions_overlap() {
    let postgres = Postgres::start("history").await;
    let pool = postgres.pool("postgres");
    let (mut slow, quick) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    let reader = pool.get().await.unwrap();
    for n in 0..4 {
        let sql = format!(
            "INSERT INTO gateway.charge SELECT * FROM jsonb_populate_record(NULL::gateway.charge, '{{
                 \"book_id\": 1, \"id\": \"ch_{n}\", \"version\": 1, \"payment_id\": \"pi_1\", \"status\": \"succeeded\", \"amount\": 500, \"currency\": \"usd\",
                 \"amount_captured\": 0, \"amount_refunded\": 0, \"captured\": false, \"multicapture\": false, \"incremental\": false, \"disputed\": false, \"capture_wanted\": true,
                 \"payment_method_id\": \"pm_1\", \"connector\": \"stripe\", \"fee\": 0, \"card\": {{\"fingerprint\": \"print\", \"bin\": \"424242\"}},
                 \"risk\": {{}}, \"context\": {{}}, \"swept\": 0, \"operations\": 0, \"routing\": {{}}, \"created_at\": \"2026-11-24T00:00:00Z\"}}')"
        );
        quick.batch_execute(&sql).await.unwrap();
    }
    let write = |n: u32| {
        format!(
            "INSERT INTO risk.history (book_id, id, fact, at) VALUES (1, 'ch_{n}', 'approved', '2026-11-24T00:00:01Z')"
        )
    };
    let engine = Engine::new(Config::default());
    let mut position = Position {
        seen: BEGINNING.to_owned(),
        since: Timestamp::UNIX_EPOCH,
    };
    let mut learner = Learner::default();
    let first = slow.transaction().await.unwrap();
    first.batch_execute(&write(0)).await.unwrap(); // it has its number now, and is not over
    quick.batch_execute(&write(1)).await.unwrap();
    assert_eq!(
        advance(&**reader, &engine, &mut learner, &mut position).await.unwrap(),
        1,
        "what is committed"
    );
    quick.batch_execute(&write(2)).await.unwrap();
    assert_eq!(
        advance(&**reader, &engine, &mut learner, &mut position).await.unwrap(),
        1,
        "and once"
    );
    first.commit().await.unwrap();
    assert_eq!(
        advance(&**reader, &engine, &mut learner, &mut position).await.unwrap(),
        1,
        "the late one is not lost"
    );
    let aborted = slow.transaction().await.unwrap();
    aborted.batch_execute(&write(3)).await.unwrap();
    aborted.rollback().await.unwrap();
    assert_eq!(
        advance(&**reader, &engine, &mut learner, &mut position).await.unwrap(),
        0,
        "what was rolled back never was"
    );
    let attempt = super::super::facts(
        Timestamp::now(),
        1,
        500,
        "usd",
        "print",
        "424242",
        &RiskContext::default(),
    );
    assert_eq!(engine.features(&attempt).value(Feature::CardPayments), Some(3.0));

    // A restart from a position in the middle goes on exactly there.
    let mut from_start = Position {
        seen: BEGINNING.to_owned(),
        ..position.clone()
    };
    let again = Engine::new(Config::default());
    assert_eq!(
        advance(&**reader, &again, &mut Learner::default(), &mut from_start)
            .await
            .unwrap(),
        3
    );
    assert_eq!(again.snapshot(), engine.snapshot(), "the same log, the same state");

    // What was unknown and becomes known is no attempt more.
    for (fact, resolves) in [("unknown", "NULL"), ("approved", "true")] {
        let sql = format!(
            "INSERT INTO risk.history (book_id, id, fact, resolves, at) VALUES (1, 'ch_3', '{fact}', {resolves}, '2026-11-24T00:00:02Z')"
        );
        quick.batch_execute(&sql).await.unwrap();
    }
    assert_eq!(
        advance(&**reader, &engine, &mut learner, &mut position).await.unwrap(),
        2
    );
    let features = engine.features(&attempt);
    let counted = [Feature::CardPayments, Feature::CardAttempts30d].map(|feature| features.value(feature));
    assert_eq!(counted, [Some(4.0), Some(4.0)]);
    let wrong = "INSERT INTO risk.history (book_id, id, fact, source, resolves, at) VALUES (1, 'ch_3', 'fraud', 'review', true, now())";
    assert!(quick.batch_execute(wrong).await.is_err(), "a label resolves nothing");
}
