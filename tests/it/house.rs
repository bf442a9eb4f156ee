//! The house itself: dependencies point one way, files explain themselves and stay readable, what the code believes of the database
//! is so, and every route of the API is behind a key with the right scope.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};
use gateway::api::ROUTES;
use gateway::auth::Scope;
use tests::{TestApp, workspace};

const LINES_MAX: usize = 700;

#[test]
fn dependencies_point_one_way() {
    let allowed = BTreeMap::from([
        (
            "gateway",
            BTreeSet::from(["ledger", "reconcile", "anomaly", "simulator"]),
        ),
        ("ledger", BTreeSet::new()),
        ("reconcile", BTreeSet::from(["ledger"])),
        ("anomaly", BTreeSet::new()),
        ("simulator", BTreeSet::new()),
        ("loadtest", BTreeSet::from(["ledger"])),
        (
            "tests",
            BTreeSet::from(["gateway", "ledger", "anomaly", "simulator", "loadtest"]),
        ),
    ]);
    let metadata = MetadataCommand::new()
        .current_dir(workspace())
        .no_deps()
        .exec()
        .expect("cargo metadata");
    let packages = metadata.workspace_packages();
    let members: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(
        members,
        allowed.keys().copied().collect(),
        "a crate came or went: say here what it may use"
    );
    for package in packages {
        let ours = package
            .dependencies
            .iter()
            .map(|dependency| dependency.name.as_str())
            .filter(|name| members.contains(name));
        let forbidden: Vec<_> = ours
            .filter(|name| !allowed[package.name.as_str()].contains(name))
            .collect();
        assert!(forbidden.is_empty(), "{} must not use {forbidden:?}", package.name);
        let outside = |banned: &[&str]| {
            let normal = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind == DependencyKind::Normal);
            let found: Vec<_> = normal
                .map(|dependency| dependency.name.as_str())
                .filter(|name| banned.contains(name))
                .collect();
            assert!(found.is_empty(), "{} must not know {found:?}", package.name);
        };
        match package.name.as_str() {
            "ledger" => outside(&["hyper", "hyper-util", "axum", "http", "tower", "rustls"]),
            "anomaly" => outside(&[
                "hyper",
                "axum",
                "http",
                "tower",
                "rustls",
                "tokio",
                "tokio-postgres",
                "jiff",
                "rand",
            ]),
            _ => {}
        }
    }
}

#[test]
fn every_source_file_says_what_it_is_for_and_stays_readable() {
    let mut wrong = Vec::new();
    let files = sources();
    assert!(files.len() > 100, "these are not all sources: {}", files.len());
    for file in files {
        let text = fs::read_to_string(&file).expect("a text");
        let name = file.strip_prefix(workspace()).expect("inside").display().to_string();
        if !text.starts_with("//! ") {
            wrong.push(format!("{name} does not open by saying what it is for"));
        }
        if text.lines().count() > LINES_MAX {
            wrong.push(format!(
                "{name} has {} lines, more than {LINES_MAX}",
                text.lines().count()
            ));
        }
        for (number, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            for mark in [
                concat!("tempo", "rary stub"),
                concat!("TEMPO", "RARY"),
                concat!("place", "holder"),
                concat!("FIX", "ME"),
                concat!("TO", "DO"),
            ] {
                if line.contains(mark) || (mark.chars().all(|c| !c.is_uppercase()) && lower.contains(mark)) {
                    wrong.push(format!("{name}:{} is unfinished: {mark}", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Columns that are written once, by table; every other column must be one that the commit function updates. A column that a
/// migration adds has to be put on one of the two lists, or updates would silently lose it.
#[rustfmt::skip]
const WRITTEN_ONCE: &[(&str, &[&str])] = &[
    ("charge", &["book_id", "capture_wanted", "card", "context", "created_at", "currency", "customer_id", "id",
        "payment_id", "payment_method_id", "risk"]),
    ("application_fee", &["book_id", "charge_id", "created_at", "currency", "id"]),
    ("bank_account", &["book_id", "bank_name", "country", "created_at", "currency", "fingerprint", "id", "last4", "number", "routing_number"]),
    ("customer", &["book_id", "created_at", "id"]),
    ("dispute", &["acquirer_id", "book_id", "charge_id", "connector", "created_at", "currency", "id", "network_reason_code", "payment_id", "reason"]),
    ("consumer_case", &["amount", "book_id", "channel", "charge_id", "created_at", "currency", "customer_id", "id", "payment_id", "reason", "type"]),
    ("deadline", &["book_id", "created_at", "due_at", "id", "kind", "subject_id"]),
    ("dispute_exception", &["amount", "book_id", "created_at", "currency", "dispute_id", "due_at", "id", "kind", "payment_id"]),
    ("funds", &["book_id", "created_at", "id"]),
    ("merchant", &["book_id", "country", "created_at", "id"]),
    ("payment", &["book_id", "created_at", "id", "line_items"]),
    ("payment_method", &["bin", "book_id", "brand", "country", "created_at", "fingerprint", "funding", "id", "last4", "test_token",
        "vault_id"]),
    ("payout", &["amount", "arrival_at", "automatic", "balance_transaction_id", "book_id", "created_at", "currency", "destination_id", "id"]),
    ("receipt", &["amount", "balance_transaction_id", "book_id", "charge_id", "created_at", "currency", "details", "email", "id", "locale",
        "number", "payment_id"]),
    ("refund", &["amount", "balance_transaction_id", "book_id", "case_id", "charge_id", "created_at", "currency", "from_available", "from_pending",
        "from_platform", "from_receivable", "id", "payment_id", "reason"]),
    ("reserve_lot", &["amount", "book_id", "created_at", "currency", "id", "release_at"]),
    ("review", &["book_id", "charge_id", "created_at", "id", "payment_id", "reason"]),
    ("sanction", &["basis", "before", "book_id", "case_id", "created_at", "id", "step"]),
    ("setup_intent", &["book_id", "created_at", "id", "usage"]),
    ("terms", &["account_id", "book_id", "content", "created_at", "created_by", "id", "kind", "number", "override_reason"]),
    ("risk.block_appeal", &["book_id", "charge_id", "created_at", "due_at", "id", "payment_id", "requested_by", "statement"]),
    ("risk.rule", &["book_id", "created_at", "id"]),
    ("risk.signal", &["book_id", "created_at", "day", "evidence", "id", "kind", "subject"]),
    ("risk.value_list", &["alias", "book_id", "created_at", "id", "item_type"]),
    ("risk.value_list_item", &["book_id", "created_at", "id", "list_id", "subject", "value"]),
    ("webhook_endpoint", &["book_id", "created_at", "id", "secret"]),
];

#[tokio::test]
async fn the_commit_function_knows_every_column() {
    let app = TestApp::shared().await;
    let client = app.sql().await;
    let function: String = client
        .query_one("SELECT pg_get_functiondef('gateway.commit'::regproc)", &[])
        .await
        .expect("the function")
        .get(0);
    let mut updated = BTreeMap::new();
    for statement in function.split("UPDATE ").skip(1) {
        let Some((table, rest)) = statement.split_once(" t SET (") else {
            continue;
        };
        let table = table.strip_prefix("gateway.").unwrap_or(table);
        let (columns, _) = rest.split_once(')').expect("a list of columns");
        updated.insert(
            table.to_owned(),
            columns.split(", ").map(str::to_owned).collect::<BTreeSet<_>>(),
        );
    }
    let known: BTreeSet<_> = WRITTEN_ONCE.iter().map(|(table, _)| (*table).to_owned()).collect();
    assert_eq!(
        updated.keys().cloned().collect::<BTreeSet<_>>(),
        known,
        "tables that are updated"
    );
    for (table, written_once) in WRITTEN_ONCE {
        let (schema, name) = table.split_once('.').unwrap_or(("gateway", table));
        let sql =
            "SELECT column_name::text FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2";
        let rows = client.query(sql, &[&schema, &name]).await.expect("columns");
        let columns: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        let mut named = updated[*table].clone();
        for column in *written_once {
            assert!(
                named.insert((*column).to_owned()),
                "{table}.{column} is written once and updated"
            );
        }
        assert_eq!(named, columns, "columns of {table}");
    }
}

#[tokio::test]
async fn every_route_is_behind_a_key_with_its_scope() {
    let app = TestApp::shared().await;
    let (publishable, keys) = (app.told("/publishable_key"), app.announced()["restricted_keys"].clone());
    let key = |scope: Scope| keys[scope.as_str()].as_str().expect("a key").to_owned();
    assert!(ROUTES.len() > 40, "these are not all routes: {}", ROUTES.len());
    for route in ROUTES {
        // an account's id is a merchant's: another one's is forbidden whatever the scope
        let id = if route.path.starts_with("/v1/accounts/") {
            app.told("/merchants/0/id")
        } else {
            "none".into()
        };
        let path = route
            .path
            .replace("{id}", &id)
            .replace("{method}", "none")
            .replace("{bank}", "none");
        let what = format!("{} {}", route.method, route.path);
        let request = || app.request(route.method, &path);
        let stranger = request().no_key().send().await;
        assert_eq!(stranger.status, 401, "{what} without a key: {stranger}");
        let browser = request().key(&publishable).send().await;
        assert_eq!(browser.status, 403, "{what} with a publishable key: {browser}");
        for scope in Scope::ALL {
            let answer = request().key(&key(scope)).send().await;
            if scope == route.scope && route.platform {
                assert_eq!(answer.text("/error/code"), "platform_key_required", "{what}: {answer}");
                assert_eq!(answer.status, 403, "{what}: {answer}");
            } else if scope == route.scope {
                assert!(
                    ![401, 403].contains(&answer.status) && answer.status < 500,
                    "{what} with its scope: {answer}"
                );
            } else {
                assert_eq!(answer.status, 403, "{what} with the {} scope: {answer}", scope.as_str());
                assert_eq!(
                    answer.text("/error/code"),
                    "insufficient_permissions",
                    "{what}: {answer}"
                );
            }
        }
    }
}

/// The operations listener and the API are two sockets: neither serves what the other does.
#[tokio::test]
async fn the_two_listeners_do_not_serve_each_other() {
    let app = TestApp::shared().await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(app.ops("GET", path).send().await.status, 200, "{path}");
        assert_eq!(app.get(path).send().await.status, 404, "{path} on the API");
    }
    for route in ROUTES {
        let path = route
            .path
            .replace("{id}", "none")
            .replace("{method}", "none")
            .replace("{bank}", "none");
        let answer = app.ops(route.method, &path).key(&app.told("/secret_key")).send().await;
        assert_eq!(
            answer.status, 404,
            "{} {} on the operations listener",
            route.method, route.path
        );
    }
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in [
        "gateway",
        "ledger",
        "reconcile",
        "anomaly",
        "simulator",
        "loadtest",
        "tests",
    ] {
        collect(&workspace().join(folder), &mut found);
    }
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry"))
    {
        let (path, name) = (entry.path(), entry.file_name());
        let skipped = name == "target" || name == "node_modules" || name.to_string_lossy().starts_with('.');
        if path.is_dir() && !skipped {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}
