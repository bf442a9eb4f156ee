//! Who may do what in the database, tried: every role against every table with every statement, and what it can do at all.

use std::collections::BTreeMap;
use tests::{TestApp, said};
use tokio_postgres::Client;

/// Forbidden: role, tables (`schema.*` or a name), statements (S elect, I nsert, U pdate, D elete, T runcate), exceptions.
#[rustfmt::skip]
const FORBIDDEN: &[(&str, &str, &str, &[&str])] = &[
    // serves: adds history and moves state
    ("gateway_app",   "gateway.*",                    "DT",    PRUNED),
    ("gateway_app",   "gateway.event",                "U",     &[]),
    ("gateway_app",   "gateway.balance_transaction",  "U",     &[]),
    ("gateway_app",   "gateway.fee_refund",           "U",     &[]),
    ("gateway_app",   "gateway.dispute_movement",     "U",     &[]),
    ("gateway_app",   "gateway.file",                 "U",     &[]),
    ("gateway_app",   "gateway.audit_event",          "U",     &[]),
    ("gateway_app",   "gateway.audit_seal",           "IU",    &[]),
    ("gateway_app",   "gateway.webhook_secret",       "U",     &[]),
    ("gateway_app",   "gateway.case_entry",           "U",     &[]),
    ("gateway_app",   "gateway.delivery_attempt",     "U",     &[]),
    ("gateway_app",   "gateway.reconciliation",       "U",     &[]),
    ("gateway_app",   "gateway.settlement_line",      "U",     &[]),
    ("gateway_app",   "gateway.settlement_statement", "U",     &[]),
    ("gateway_app",   "gateway.settlement_decision",  "U",     &[]),
    ("gateway_app",   "gateway.console_user",         "IUDT",  &[]),
    ("gateway_app",   "gateway.console_credential",   "IDT",   &[]),
    ("gateway_app",   "gateway.explanation",          "IU",    &[]),
    ("gateway_app",   "gateway.report_signature",     "IU",    &[]),
    ("gateway_app",   "gateway.closing",              "IU",    &[]),
    ("gateway_app",   "gateway.payout_file",          "U",     &[]),
    ("gateway_app",   "gateway.payout_instruction",   "U",     &[]),
    ("gateway_app",   "gateway.payout_notice",        "I",     &[]),
    ("gateway_app",   "ledger.*",                     "IUDT",  &[]),
    ("gateway_app",   "vault.*",                      "SIUDT", &[]),
    ("gateway_app",   "risk.*",                       "DT",    &[]),
    ("gateway_app",   "risk.history",                 "U",     &[]),
    ("gateway_app",   "risk.rule_version",            "U",     &[]),
    ("gateway_app",   "risk.early_fraud_warning",     "U",     &[]),
    ("gateway_app",   "risk.price_day",               "U",     &[]),
    ("gateway_app",   "risk.alert_dismissal",         "U",     &[]),
    ("gateway_app",   "risk.merchant_day",            "U",     &[]),
    ("gateway_app",   "risk.identity",                "IU",    &[]),
    ("gateway_app",   "risk.revision",                "IU",    &[]),
    // posts
    ("ledger_writer", "risk.*",                       "SIUDT", &[]),
    ("ledger_writer", "ledger.*",                     "IUDT",  &[]),
    ("ledger_writer", "gateway.*",                    "SIUDT", &[]),
    ("ledger_writer", "vault.*",                      "SIUDT", &[]),
    // seals and opens cards
    ("vault_app",     "risk.*",                       "SIUDT", &[]),
    ("vault_app",     "vault.*",                      "UDT",   &[]),
    ("vault_app",     "vault.rotation",               "SI",    &[]),
    ("vault_app",     "gateway.*",                    "SIUDT", &[]),
    ("vault_app",     "ledger.*",                     "SIUDT", &[]),
    // rotates and shreds
    ("vault_keeper",  "risk.*",                       "IDT",   &[]),
    ("vault_keeper",  "risk.*",                       "SU",    SEALED),
    ("vault_keeper",  "vault.*",                      "T",     &[]),
    ("vault_keeper",  "vault.card",                   "ID",    &[]),
    ("vault_keeper",  "vault.file",                   "IUD",   &[]),
    ("vault_keeper",  "vault.kek",                    "D",     &[]),
    ("vault_keeper",  "vault.rotation",               "D",     &[]),
    ("vault_keeper",  "gateway.*",                    "IDT",   &[]),
    ("vault_keeper",  "gateway.*",                    "SU",    SEALED),
    ("vault_keeper",  "ledger.*",                     "SIUDT", &[]),
    // read
    ("finance_ro",    "*",                            "IUDT",  &[]),
    ("finance_ro",    "vault.*",                      "S",     &[]),
    ("finance_ro",    "gateway.api_key",              "S",     &[]),
    ("finance_ro",    "gateway.console_user",         "S",     &[]),
    ("finance_ro",    "gateway.console_credential",   "S",     &[]),
    ("finance_ro",    "gateway.console_session",      "S",     &[]),
    ("finance_ro",    "gateway.customer",             "S",     &[]),
    ("finance_ro",    "gateway.payment_method",       "S",     &[]),
    ("finance_ro",    "gateway.webhook_endpoint",     "S",     &[]),
    ("finance_ro",    "gateway.bank_account",         "S",     &[]),
    ("finance_ro",    "gateway.request",              "S",     &[]),
    ("finance_ro",    "gateway.case_entry",           "S",     &[]),
    ("finance_ro",    "gateway.deadline",             "S",     &[]),
    ("auditor",       "*",                            "IUDT",  &[]),
    ("finance_ro",    "risk.*",                       "S",     &[]),
    ("auditor",       "vault.*",                      "S",     &[]),
    ("auditor",       "risk.value_list_item",         "S",     &[]),
    ("auditor",       "gateway.api_key",              "S",     &[]),
    ("auditor",       "gateway.console_user",         "S",     &[]),
    ("auditor",       "gateway.console_credential",   "S",     &[]),
    ("auditor",       "gateway.console_session",      "S",     &[]),
    ("auditor",       "gateway.webhook_endpoint",     "S",     &[]),
    ("auditor",       "gateway.bank_account",         "S",     &[]),
    ("auditor",       "gateway.webhook_secret",       "S",     &[]),
    ("finance_ro",    "gateway.webhook_secret",       "S",     &[]),
    ("auditor",       "gateway.request",              "S",     &[]),
];

/// Tables whose expired rows the service may delete.
const PRUNED: &[&str] = &["gateway.request"];
/// Tables with small secrets that a rotation seals again.
const SEALED: &[&str] = &[
    "gateway.webhook_endpoint",
    "gateway.webhook_secret",
    "gateway.bank_account",
    "risk.value_list_item",
];

/// What no role of the service may do, whatever it does to data.
const NEVER: &[&str] = &[
    "CREATE TABLE gateway.mine (x int)",
    "CREATE TABLE ledger.mine (x int)",
    "CREATE TABLE vault.mine (x int)",
    "CREATE TABLE public.mine (x int)",
    "ALTER TABLE ledger.journal DISABLE TRIGGER ALL",
    "ALTER TABLE gateway.event DISABLE TRIGGER append_only",
    "ALTER TABLE gateway.audit_event DISABLE TRIGGER append_only",
    "DROP TABLE gateway.event",
    "DROP FUNCTION ledger.refuse_change() CASCADE",
    "ALTER TABLE vault.card OWNER TO CURRENT_USER",
    "SET ROLE ledger_owner",
    BECOME_OWNER,
    "SET session_replication_role = replica",
    "CREATE ROLE mine",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_read_file('PG_VERSION')",
    "ALTER SYSTEM SET fsync = off",
];

const ROLES: [&str; 6] = [
    "gateway_app",
    "ledger_writer",
    "vault_app",
    "vault_keeper",
    "finance_ro",
    "auditor",
];

#[tokio::test]
async fn no_role_can_do_what_it_must_not() {
    let app = TestApp::shared().await;
    let owner = app.sql().await;
    let tables = tables(&owner).await;
    let mut tried = 0;
    for (role, pattern, statements, except) in FORBIDDEN {
        let client = acting(app, role).await;
        let matching: Vec<_> = tables
            .iter()
            .filter(|(table, _)| matches(pattern, table) && !except.contains(&table.as_str()))
            .collect();
        assert!(!matching.is_empty(), "{pattern} is no table: the rule proves nothing");
        for (table, columns) in matching {
            for kind in statements.chars() {
                // One column that may be changed is one too many.
                for statement in attempts(kind, table, columns) {
                    let outcome = attempt(&client, &statement).await;
                    assert_eq!(outcome, Err(DENIED.to_owned()), "{role}: {statement}");
                    tried += 1;
                }
            }
        }
    }
    for role in ROLES {
        let client = acting(app, role).await;
        for statement in NEVER {
            let outcome = attempt(&client, statement).await;
            assert_eq!(outcome, Err(DENIED.to_owned()), "{role}: {statement}");
            tried += 1;
        }
    }
    assert!(tried > 1000, "{tried}");
}

#[tokio::test]
async fn every_role_can_do_its_work() {
    let app = TestApp::shared().await;
    #[rustfmt::skip]
    let allowed: &[(&str, &str)] = &[
        ("gateway_app",   "SELECT count(*) FROM gateway.payment"),
        ("gateway_app",   "UPDATE gateway.payment SET version = version WHERE false"),
        ("gateway_app",   "INSERT INTO gateway.customer VALUES (1, 'cus_x', 1, false, now(), '{}')"),
        ("gateway_app",   "DELETE FROM gateway.request WHERE false"),
        ("gateway_app",   "SELECT count(*) FROM ledger.balance"),
        ("gateway_app",   "SELECT ledger.open(1, '{}')"),
        ("gateway_app",   "INSERT INTO risk.history (book_id, id, fact, at) VALUES (1, 'ch_x', 'approved', now())"),
        ("gateway_app",   "UPDATE risk.rule SET version = version WHERE false"),
        ("ledger_writer", "SELECT count(*) FROM ledger.posting"),
        ("ledger_writer", "SELECT count(*) FROM ledger.account_act"),
        ("vault_app",     "SELECT count(*) FROM vault.card"),
        ("vault_app",     "INSERT INTO vault.card (book_id, id, nonce, sealed, created_at) VALUES (1, 'x', '\\x000000000000000000000000', '', now())"),
        ("vault_keeper",  "UPDATE vault.card SET sealed = '' WHERE false"),
        ("vault_keeper",  "DELETE FROM vault.data_key WHERE false"),
        ("vault_keeper",  "UPDATE gateway.webhook_endpoint SET secret = '' WHERE false"),
        ("vault_keeper",  "UPDATE risk.value_list_item SET value = '' WHERE false"),
        ("finance_ro",    "SELECT count(*) FROM gateway.balance_transaction"),
        ("finance_ro",    "SELECT count(*) FROM ledger.posting"),
        ("finance_ro",    "SELECT count(*) FROM gateway.report_signature"),
        ("ledger_writer", "SELECT gateway.note_closing(gen_random_uuid(), '2026-10-31', '{}', 'ann')"),
        ("auditor",       "SELECT count(*) FROM gateway.event"),
        ("auditor",       "SELECT count(*) FROM gateway.audit_event"),
        ("auditor",       NOTE_EVENT),
        ("finance_ro",    NOTE_ACT),
        ("vault_keeper",  NOTE_ACT),
        ("auditor",       "SELECT count(*) FROM ledger.journal"),
    ];
    for (role, statement) in allowed {
        let outcome = attempt(&acting(app, role).await, statement).await;
        assert_eq!(outcome, Ok(()), "{role}: {statement}");
    }
    for role in ROLES {
        assert!(
            allowed.iter().any(|(of, _)| *of == role),
            "{role} is said to do nothing"
        );
    }
}

/// One merchant's rows through another role's functions: posting is allowed to one role, opening accounts too, freezing not.
#[tokio::test]
async fn the_doors_of_the_ledger_are_open_to_those_alone_who_need_them() {
    let app = TestApp::shared().await;
    for role in ["vault_app", "vault_keeper", "finance_ro", "auditor"] {
        for call in [
            "ledger.open(1, '{}')",
            "ledger.open_book('x', 'x')",
            "ledger.act_on_account(1, 'a', 'close', 'x', 'x')",
        ] {
            let outcome = attempt(&acting(app, role).await, &format!("SELECT {call}")).await;
            assert_eq!(outcome, Err(DENIED.to_owned()), "{role}: {call}");
        }
    }
    let freeze = "SELECT ledger.act_on_account(1, 'a', 'close', 'x', 'x')";
    assert_eq!(
        attempt(&acting(app, "gateway_app").await, freeze).await,
        Err(DENIED.to_owned())
    );
}

/// The schemas are made and kept by a role that is no superuser and cannot rewrite history either.
#[tokio::test]
async fn the_migrator_migrates_a_new_database_and_is_no_superuser() {
    let app = TestApp::start().await;
    let owner = app.sql().await;
    owner
        .batch_execute("ALTER ROLE migrator LOGIN CREATEROLE PASSWORD 'of-this-test'; GRANT ledger_owner TO migrator WITH ADMIN OPTION")
        .await
        .expect("prepares the role, as the installation guide says");
    owner
        .batch_execute("CREATE DATABASE second OWNER migrator")
        .await
        .expect("a database");
    let (mut config, name) = (
        app.told("/database_url")
            .parse::<tokio_postgres::Config>()
            .expect("a URL"),
        "second",
    );
    config.user("migrator").password("of-this-test").dbname(name);
    let host = match config.get_hosts() {
        [tokio_postgres::config::Host::Unix(path)] => path.display().to_string(),
        [tokio_postgres::config::Host::Tcp(name)] => name.clone(),
        other => panic!("{other:?}"),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let url = format!("host={host} port={port} user=migrator password=of-this-test dbname={name}");
    let migrated = app.counterfoil(&["migrate", "--database-url", &url]).await;
    assert!(migrated.status.success(), "{}", said(&migrated));
    let again = app.counterfoil(&["migrate", "--database-url", &url]).await;
    assert!(said(&again).contains("up to date"), "{}", said(&again));

    let (migrator, connection) = config.connect(tokio_postgres::NoTls).await.expect("connects");
    tokio::spawn(connection);
    for statement in [
        "DELETE FROM gateway.event",
        "UPDATE gateway.balance_transaction SET amount = 0",
        "TRUNCATE gateway.event",
        "DELETE FROM gateway.audit_event",
        "UPDATE gateway.audit_event SET actor = 'nobody'",
        "TRUNCATE gateway.audit_seal",
        "TRUNCATE ledger.journal",
        BECOME_OWNER,
        "SET session_replication_role = replica",
        "ALTER ROLE migrator SUPERUSER",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('PG_VERSION')",
        "ALTER SYSTEM SET fsync = off",
    ] {
        let refused = attempt(&migrator, statement).await.expect_err(statement);
        assert!(
            [DENIED, IMMUTABLE].contains(&refused.as_str()),
            "{statement}: {refused}"
        );
    }
}

/// A session of this role: also what it may become is judged by it.
async fn acting(app: &TestApp, role: &str) -> Client {
    let client = app.sql().await;
    let become_role = format!("SET SESSION AUTHORIZATION {role}");
    client
        .batch_execute(&become_role)
        .await
        .unwrap_or_else(|error| panic!("{role}: {error}"));
    client
}

/// Runs it and rolls it back; the SQLSTATE of its refusal.
async fn attempt(client: &Client, statement: &str) -> Result<(), String> {
    // The one statement that no transaction may hold, and that nobody here may run.
    if !statement.starts_with("ALTER SYSTEM") {
        client.batch_execute("BEGIN").await.expect("begins");
    }
    let outcome = client.batch_execute(statement).await;
    client.batch_execute("ROLLBACK").await.expect("rolls back");
    outcome.map_err(|error| {
        error
            .code()
            .map_or_else(|| error.to_string(), |code| code.code().to_owned())
    })
}

fn attempts(kind: char, table: &str, columns: &[String]) -> Vec<String> {
    match kind {
        'S' => columns
            .iter()
            .map(|column| format!("SELECT {column} FROM {table} WHERE false"))
            .collect(),
        'I' => vec![format!("INSERT INTO {table} ({}) VALUES (NULL)", columns[0])],
        'U' => columns
            .iter()
            .map(|column| format!("UPDATE {table} SET {column} = NULL WHERE false"))
            .collect(),
        'D' => vec![format!("DELETE FROM {table} WHERE false")],
        'T' => vec![format!("TRUNCATE {table}")],
        other => panic!("{other}"),
    }
}

fn matches(pattern: &str, table: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => table.starts_with(prefix),
        None => table == pattern,
    }
}

/// Every table of the four schemas with its columns.
async fn tables(owner: &Client) -> BTreeMap<String, Vec<String>> {
    let sql = "SELECT format('%I.%I', n.nspname, c.relname), array_agg(quote_ident(a.attname) ORDER BY a.attnum)
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
               WHERE n.nspname IN ('gateway', 'ledger', 'vault', 'risk') AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
                 AND a.attgenerated = '' AND a.attidentity = ''
               GROUP BY 1";
    let rows = owner.query(sql, &[]).await.expect("the catalogue");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// What every role may: say what it did. As whom is not its to say.
const NOTE_ACT: &str =
    "SELECT gateway.note_act(gen_random_uuid(), now(), 'operator:x@y', 'a test', NULL, NULL, 'done', NULL)";
/// Who finds that history was changed raises the alarm.
const NOTE_EVENT: &str = "SELECT gateway.note_security_events(ARRAY['tampered'], ARRAY[NULL::inet], ARRAY[NULL], ARRAY[NULL], ARRAY['x'], ARRAY[1::bigint], ARRAY[now()], ARRAY[now()], interval '0')";
const DENIED: &str = "42501";
/// The ledger's own code for an attempt on its history.
const IMMUTABLE: &str = "LG007";
/// The one who made the cluster, a superuser, of whatever name.
const BECOME_OWNER: &str =
    "DO $$ BEGIN EXECUTE format('SET ROLE %I', (SELECT rolname FROM pg_roles WHERE oid = 10)); END $$";
