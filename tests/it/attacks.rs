//! Attacks on history from inside the database: what the serving role and even the owner are refused, and, where someone with
//! all rights goes around the guards, that `ledger verify` finds it and names the row.

use serde_json::json;
use tests::{TestApp, said};
use tokio_postgres::Client;

const HISTORY: [&str; 5] = [
    "gateway.audit_event",
    "ledger.journal",
    "ledger.book",
    "gateway.event",
    "gateway.balance_transaction",
];

#[tokio::test]
async fn history_is_refused_to_the_serving_role_and_to_the_owner() {
    let app = TestApp::shared().await;
    pay(app).await;
    for role in [
        Some("gateway_app"),
        Some("ledger_writer"),
        Some("vault_app"),
        Some("finance_ro"),
        Some("auditor"),
        None,
    ] {
        let client = app.sql_as(role).await;
        for table in HISTORY {
            let column = if table.starts_with("ledger") { "code" } else { "id" };
            for attack in [
                format!("UPDATE {table} SET {column} = {column}"),
                format!("UPDATE {table} SET {column} = {column} WHERE false"),
                format!("DELETE FROM {table}"),
                format!("TRUNCATE {table}"),
                format!("TRUNCATE {table} CASCADE"),
                format!("SET session_replication_role = replica; DELETE FROM {table}"),
            ] {
                refused(&client, role, &attack).await;
            }
        }
        for attack in [
            "DELETE FROM ledger.account",
            "TRUNCATE ledger.account",
            "DELETE FROM ledger.hold",
            "UPDATE ledger.account SET debits_posted = debits_posted - 1 WHERE debits_posted > 0",
            "UPDATE ledger.account SET overdraft = NOT overdraft",
        ] {
            refused(&client, role, attack).await;
        }
    }
}

#[tokio::test]
async fn the_serving_role_moves_money_through_the_door_alone() {
    let app = TestApp::shared().await;
    pay(app).await;
    let role = Some("gateway_app");
    let client = app.sql_as(role).await;
    for attack in [
        "UPDATE ledger.account SET credits_posted = credits_posted + 1",
        "INSERT INTO ledger.account SELECT * FROM ledger.account LIMIT 1",
        "INSERT INTO ledger.journal SELECT * FROM ledger.journal LIMIT 1",
        "UPDATE ledger.hold SET remaining = 0",
        "UPDATE ledger.chart SET overdraft = true",
        "DELETE FROM gateway.payment",
        "DELETE FROM gateway.charge",
        "DELETE FROM gateway.refund",
        "DELETE FROM gateway.dispute",
        "DELETE FROM gateway.api_key",
        "TRUNCATE gateway.payment",
        "UPDATE gateway.console_user SET role = 'admin'",
        "SELECT * FROM vault.card",
        "DELETE FROM vault.card",
        "ALTER TABLE ledger.journal DISABLE TRIGGER ALL",
        "ALTER TABLE gateway.event DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "CREATE TABLE ledger.mine (a int)",
        "CREATE TABLE gateway.mine (a int)",
        "DROP TABLE gateway.event",
        "CREATE OR REPLACE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "COPY ledger.journal FROM PROGRAM 'true'",
        "SELECT pg_read_file('postgresql.conf')",
    ] {
        refused(&client, role, attack).await;
    }
}

/// One with all rights switches the guards off; the proof of the books does not believe what he leaves.
#[tokio::test]
async fn what_goes_around_the_guards_is_found_and_named() {
    let app = TestApp::start().await;
    for _ in 0..3 {
        pay(&app).await;
    }
    app.verify_books().await;
    let owner = app.sql().await;
    let journal: String = owner
        .query_one(
            "SELECT journal_id::text FROM ledger.journal ORDER BY recorded_at DESC LIMIT 1",
            &[],
        )
        .await
        .expect("a journal")
        .get(0);
    let last = format!("journal_id = '{journal}'");
    for (tampering, table, change) in [
        (
            "both lines of a journal, so that it still balances",
            "ledger.journal",
            format!("UPDATE ledger.journal SET amount = ARRAY(SELECT a + 1 FROM unnest(amount) a) WHERE {last}"),
        ),
        (
            "a journal that is gone",
            "ledger.journal",
            format!("DELETE FROM ledger.journal WHERE {last}"),
        ),
        (
            "a counter",
            "ledger.account",
            "UPDATE ledger.account SET credits_posted = credits_posted + 1 WHERE account = '2010.usd'".into(),
        ),
        (
            "a payment's amount",
            "gateway.payment",
            "UPDATE gateway.payment SET amount_received = amount_received - 1 WHERE status = 'succeeded'".into(),
        ),
        (
            "a fee",
            "gateway.charge",
            "UPDATE gateway.charge SET fee = fee + 1 WHERE status = 'succeeded'".into(),
        ),
    ] {
        with_guards_off(
            &owner,
            table,
            &format!("CREATE TEMP TABLE kept AS TABLE {table}; {change}"),
        )
        .await;
        let verified = app.counterfoil(&["ledger", "verify", "--json"]).await;
        assert!(
            !verified.status.success(),
            "{tampering} is not noticed:\n{}",
            said(&verified)
        );
        assert!(
            said(&verified).contains("first_wrong\":\""),
            "{tampering} is not named:\n{}",
            said(&verified)
        );
        let back = format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept; DROP TABLE kept");
        with_guards_off(&owner, table, &back).await;
        app.verify_books().await;
    }
}

async fn with_guards_off(owner: &Client, table: &str, change: &str) {
    let text = format!("ALTER TABLE {table} DISABLE TRIGGER USER; {change}; ALTER TABLE {table} ENABLE TRIGGER USER");
    owner.batch_execute(&text).await.expect("an owner can do this");
}

/// The attack fails for want of a right, and not for any other reason.
async fn refused(client: &Client, role: Option<&str>, attack: &str) {
    let who = role.unwrap_or("the owner");
    let error = client
        .batch_execute(attack)
        .await
        .expect_err(&format!("{who}: {attack}"));
    let code = error.code().map(|code| code.code().to_owned()).unwrap_or_default();
    assert!(
        ["42501", "LG007"].contains(&code.as_str()),
        "{who}: {attack}: {code} {error:?}"
    );
}

async fn pay(app: &TestApp) {
    let payment = json!({ "amount": 1000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true });
    app.post("/v1/payment_intents").params(payment).send().await.ok();
}
