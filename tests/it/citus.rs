//! The shape that lets both schemas be distributed by `book_id` unchanged (`deploy/citus.md`): read from the catalogue of a
//! migrated database, so that a new table which would not fit fails here, and not in a migration years from now.

use std::collections::BTreeSet;

use gateway::dev::postgres::testing::TestServer;
use tokio_postgres::{Client, NoTls};

/// Copied whole to every node: small, rarely written, joined by everyone.
const REFERENCE: [&str; 8] = [
    "ledger.currency",
    "ledger.chart",
    "ledger.journal_code",
    "ledger.book",
    "gateway.merchant",
    "gateway.terms",
    "gateway.api_key",
    "vault.kek",
];

/// Stay on the coordinator: not of one book, and not on the path of a payment.
const LOCAL: &[&str] = &[
    "gateway.alert",
    "gateway.alert_delivery",
    "gateway.audit_event",
    "gateway.audit_export",
    "gateway.audit_seal",
    "gateway.callback",
    "gateway.closing",
    "gateway.iso8583_message",
    "gateway.console_credential",
    "gateway.console_session",
    "gateway.console_user",
    "gateway.nonce",
    "gateway.reconciliation",
    "gateway.report_signature",
    "gateway.routing",
    "gateway.security_event",
    "gateway.settlement_break",
    "gateway.settlement_claim",
    "gateway.settlement_decision",
    "gateway.settlement_line",
    "gateway.settlement_statement",
    "ledger.seal",
    "public.gateway_schema_history",
    "public.ledger_schema_history",
    "risk.history",
    "risk.identity",
    "risk.revision",
    "vault.rotation",
];

async fn migrated() -> Client {
    let server = TestServer::shared().await.expect("a server");
    let database = server.database(None).await.expect("a database");
    let (mut client, connection) = server
        .postgres()
        .config(&database)
        .connect(NoTls)
        .await
        .expect("connects");
    tokio::spawn(connection);
    gateway::service::migrate(&mut client).await.expect("migrates");
    client
}

/// Every ordinary or partitioned table of ours that is not a partition.
const TABLES: &str = "
    SELECT n.nspname || '.' || c.relname AS name, a.attnum IS NOT NULL AS has_book, coalesce(a.attnotnull, false) AS not_null
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'book_id' AND a.atttypid = 'int8'::regtype
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname IN ('ledger', 'gateway', 'vault', 'risk', 'public')
    ORDER BY 1";

async fn names(client: &Client) -> BTreeSet<String> {
    let rows = client.query(TABLES, &[]).await.expect("tables");
    rows.iter().map(|row| row.get("name")).collect()
}

fn is_distributed(table: &str) -> bool {
    !REFERENCE.contains(&table) && !LOCAL.contains(&table)
}

#[tokio::test]
async fn every_table_has_its_place_and_the_page_says_which() {
    let client = migrated().await;
    for row in client.query(TABLES, &[]).await.expect("tables") {
        let name: &str = row.get("name");
        if is_distributed(name) {
            assert!(
                row.get::<_, bool>("has_book") && row.get::<_, bool>("not_null"),
                "{name} has no book_id to be distributed by and is neither reference nor local"
            );
        }
    }
    let tables = names(&client).await;
    for listed in REFERENCE.iter().chain(LOCAL) {
        assert!(tables.contains(*listed), "{listed} is listed and does not exist");
    }
    let page = std::fs::read_to_string(tests::workspace().join("deploy/citus.md")).expect("deploy/citus.md");
    for table in &tables {
        let section = match table.as_str() {
            t if REFERENCE.contains(&t) => "create_reference_table",
            t if LOCAL.contains(&t) => "stay on the coordinator",
            _ => "create_distributed_table",
        };
        let said = page
            .lines()
            .any(|line| line.contains(section) && line.contains(&format!("'{table}'")));
        assert!(said, "deploy/citus.md does not say: {section} '{table}'");
    }
}

#[tokio::test]
async fn every_key_of_a_distributed_table_holds_the_book() {
    let client = migrated().await;
    let rows = client
        .query(
            "SELECT n.nspname || '.' || c.relname AS table, i.indexrelid::regclass::text AS index, i.indisprimary AS is_primary,
                    (SELECT array_agg(a.attname::text ORDER BY k.ord) FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, ord)
                     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum) AS columns
             FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE i.indisunique AND n.nspname IN ('ledger', 'gateway', 'vault', 'risk') AND NOT c.relispartition",
            &[],
        )
        .await
        .expect("indexes");
    let mut primary = BTreeSet::new();
    for row in &rows {
        let (table, index, columns): (String, &str, Vec<String>) =
            (row.get("table"), row.get("index"), row.get("columns"));
        if is_distributed(&table) {
            assert!(
                columns.contains(&"book_id".to_owned()),
                "{index} {columns:?} is unique without the book"
            );
            if row.get("is_primary") {
                assert_eq!(
                    columns[0], "book_id",
                    "{index}: the book leads, so that a book's rows lie together"
                );
                primary.insert(table);
            }
        }
    }
    let missing: Vec<_> = names(&client)
        .await
        .into_iter()
        .filter(|t| is_distributed(t) && !primary.contains(t))
        .collect();
    assert!(missing.is_empty(), "without a primary key: {missing:?}");
    let excluding = "SELECT count(*) FROM pg_constraint WHERE contype = 'x'";
    assert_eq!(
        client.query_one(excluding, &[]).await.expect("asks").get::<_, i64>(0),
        0
    );
}

#[tokio::test]
async fn no_foreign_key_leads_out_of_a_book() {
    let client = migrated().await;
    let rows = client
        .query(
            "SELECT k.conname::text, fn.nspname || '.' || f.relname AS from, tn.nspname || '.' || t.relname AS to,
                    (SELECT count(*) FROM unnest(k.conkey, k.confkey) u(a, b)
                     JOIN pg_attribute x ON x.attrelid = f.oid AND x.attnum = u.a AND x.attname = 'book_id'
                     JOIN pg_attribute y ON y.attrelid = t.oid AND y.attnum = u.b AND y.attname = 'book_id') AS by_book
             FROM pg_constraint k JOIN pg_class f ON f.oid = k.conrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
             JOIN pg_class t ON t.oid = k.confrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
             WHERE k.contype = 'f' AND k.conparentid = 0",
            &[],
        )
        .await
        .expect("foreign keys");
    for row in &rows {
        let (name, from, to): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
        let fits = match (is_distributed(from), is_distributed(to)) {
            (true, true) => row.get::<_, i64>("by_book") == 1,
            (true, false) | (false, false) => !LOCAL.contains(&to) || LOCAL.contains(&from),
            (false, true) => false,
        };
        assert!(fits, "{name}: {from} -> {to}");
    }
}

#[tokio::test]
async fn no_trigger_waits_for_the_commit() {
    let client = migrated().await;
    let rows = client
        .query(
            "SELECT t.tgname::text, t.tgrelid::regclass::text, p.pronamespace::regnamespace::text || '.' || p.proname,
                    t.tgdeferrable OR t.tginitdeferred OR t.tgconstraint <> 0 AS deferred
             FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
             WHERE NOT t.tgisinternal AND c.relnamespace::regnamespace::text IN ('ledger', 'gateway', 'vault', 'risk')",
            &[],
        )
        .await
        .expect("triggers");
    assert!(!rows.is_empty());
    let page = std::fs::read_to_string(tests::workspace().join("deploy/citus.md")).expect("deploy/citus.md");
    for row in &rows {
        let (trigger, table, function): (&str, &str, String) = (row.get(0), row.get(1), row.get(2));
        assert!(
            !row.get::<_, bool>("deferred"),
            "{trigger} on {table} would come back as XX000 from a remote commit"
        );
        assert!(
            page.contains(&format!("`{function}`")),
            "{trigger} on {table} runs {function}, which deploy/citus.md does not list under unsafe triggers"
        );
    }
}
