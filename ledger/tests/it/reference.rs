//! The reference tables are the same lists as the Rust enums, and migrating is idempotent and race-safe.

use ledger::{Chart, Currency, JournalCode};

use crate::postgres::Database;

#[tokio::test]
async fn reference_tables_equal_the_enums() {
    let client = Database::new().await.connect().await;
    let chart: Vec<String> = rows(&client, "SELECT number || ' ' || title || ' ' || type || ' ' || normal_side::text || ' ' || overdraft FROM ledger.chart ORDER BY number").await;
    let expected: Vec<String> = Chart::ALL
        .iter()
        .map(|c| {
            format!(
                "{c} {} {} {}",
                c.account_type().as_str(),
                c.normal_side().letter(),
                c.overdraft()
            )
        })
        .collect();
    assert_eq!(chart, expected);
    let currencies = rows(
        &client,
        "SELECT currency || ' ' || exponent FROM ledger.currency ORDER BY currency",
    )
    .await;
    assert_eq!(
        currencies,
        Currency::all()
            .map(|c| format!("{c} {}", c.exponent()))
            .collect::<Vec<_>>()
    );
    let codes = rows(
        &client,
        "SELECT code || ' ' || title FROM ledger.journal_code ORDER BY code",
    )
    .await;
    assert_eq!(
        codes,
        JournalCode::ALL
            .iter()
            .map(|c| format!("{c} {}", c.title()))
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn migrating_from_several_processes_at_once_applies_each_migration_once() {
    let db = Database::new().await;
    db.connect().await.batch_execute("CREATE DATABASE race").await.unwrap();
    let mut config = db.config.clone();
    config.dbname("race");
    let db = Database { config };
    let runs = (0..6).map(|_| async { ledger::migrate(&mut db.connect().await).await.unwrap() });
    let applied: usize = futures_util::future::join_all(runs).await.into_iter().sum();
    let known = rows(&db.connect().await, "SELECT name FROM ledger_schema_history")
        .await
        .len();
    assert_eq!(applied, known);
}

#[tokio::test]
async fn a_migrator_needs_no_superuser() {
    let db = Database::new().await;
    let setup = [
        "CREATE ROLE migrator LOGIN CREATEROLE",
        "CREATE DATABASE migrated OWNER migrator",
    ];
    for sql in setup {
        db.connect().await.batch_execute(sql).await.unwrap();
    }
    let mut config = db.config.clone();
    config.dbname("migrated").user("migrator");
    let db = Database { config };
    assert!(ledger::migrate(&mut db.connect().await).await.unwrap() > 0);
    let owners = "SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = 'ledger'";
    assert_eq!(rows(&db.connect().await, owners).await, ["ledger_owner"]);
}

async fn rows(client: &tokio_postgres::Client, sql: &str) -> Vec<String> {
    client.query(sql, &[]).await.unwrap().iter().map(|r| r.get(0)).collect()
}
