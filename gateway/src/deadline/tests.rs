//! Deadlines on a real PostgreSQL: claimed once, found by the index alone, however many have ended.

use super::*;
use crate::payment::store::claim_due;
use crate::test_postgres::Postgres;
use jiff::SignedDuration;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

async fn write(client: &impl GenericClient, rows: &[Deadline]) {
    let json = serde_json::to_string(rows).expect("JSON");
    client
        .execute(
            "INSERT INTO gateway.deadline SELECT * FROM json_populate_recordset(NULL::gateway.deadline, $1::text::json)",
            &[&json],
        )
        .await
        .expect("written");
}

fn numbered(count: u32, state: State, due: Timestamp) -> Vec<Deadline> {
    let made = due - SignedDuration::from_hours(24);
    (0..count)
        .map(|number| {
            let mut row = Deadline::new(1, &format!("case_{number}"), "verify", due, made);
            if state == State::Fired {
                row.fire(due);
            }
            row
        })
        .collect()
}

#[tokio::test]
async fn two_processes_share_what_is_due_and_the_plan_does_not_grow() {
    let postgres = Postgres::start("deadline").await;
    let client = postgres.connect("gateway_app").await;
    let due = at("2028-02-29T12:00:00Z");
    write(&client, &numbered(20_000, State::Fired, due)).await;
    write(&client, &numbered(1_000, State::Open, due)).await;
    let owner = postgres.connect("postgres").await;
    owner.batch_execute("ANALYZE gateway.deadline").await.expect("analysed");

    let second = SignedDuration::from_secs(1);
    let early: Vec<Deadline> = claim_due(&client, due - second, 60.0, 500).await.expect("asked");
    assert!(early.is_empty(), "23:59:59: nothing is due");
    let other = postgres.connect("gateway_app").await;
    let (mine, theirs) = tokio::join!(
        claim_due::<Deadline>(&client, due + second, 60.0, 500),
        claim_due::<Deadline>(&other, due + second, 60.0, 500)
    );
    let (mine, theirs) = (mine.expect("claimed"), theirs.expect("claimed"));
    let mut ids: Vec<_> = mine.iter().chain(&theirs).map(|row| row.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 1_000, "each is one process's");
    let none: Vec<Deadline> = claim_due(&client, due + second, 60.0, 500).await.expect("asked");
    assert!(none.is_empty(), "leased");
    let later = due + SignedDuration::from_mins(2);
    let again: Vec<Deadline> = claim_due(&client, later, 60.0, 500).await.expect("asked");
    assert_eq!(again.len(), 500, "whoever died left a lease that runs out");

    let explained = "EXPLAIN SELECT book_id, id FROM gateway.deadline WHERE check_at <= $1 ORDER BY check_at LIMIT 500 FOR UPDATE SKIP LOCKED";
    let plan = client
        .query_typed(explained, &[(&later, Type::TIMESTAMPTZ)])
        .await
        .expect("a plan");
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    assert!(plan.contains("deadline_due") && !plan.contains("Seq Scan"), "{plan}");
}

#[tokio::test]
async fn an_ended_deadline_stays_ended_and_none_fires_early() {
    let postgres = Postgres::start("deadline-guard").await;
    let client = postgres.connect("gateway_app").await;
    let due = at("2026-10-25T01:00:00Z");
    let fired = numbered(1, State::Fired, due);
    write(&client, &fired).await;
    for change in [
        "UPDATE gateway.deadline SET state = 'open', ended_at = NULL, check_at = due_at",
        "UPDATE gateway.deadline SET due_at = due_at + interval '1 day'",
        "DELETE FROM gateway.deadline",
    ] {
        assert!(client.batch_execute(change).await.is_err(), "{change}");
    }
    let early = "INSERT INTO gateway.deadline VALUES (1, 'dl_2', 1, 'case_2', 'verify', now() + interval '1 hour', 'fired', now(), NULL, now())";
    assert!(client.batch_execute(early).await.is_err(), "not before its time");
}
