//! `docs/ledger-failures.md` promises that what broke other ledgers has a test here. The tests that it names exist.

use crate::security_page::tests_of_the_workspace;
use tests::workspace;

#[test]
fn every_test_named_on_the_failures_page_exists() {
    let page = std::fs::read_to_string(workspace().join("docs/ledger-failures.md")).expect("docs/ledger-failures.md");
    let tests = tests_of_the_workspace();
    let mut rows = 0;
    for line in page.lines().filter(|line| line.starts_with("| F")) {
        rows += 1;
        let columns: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, what, why, named] = columns[..] else {
            panic!("four columns: {line}")
        };
        assert_eq!(id, format!("F{rows:02}"), "in order, none left out");
        assert!(!what.is_empty() && !why.is_empty(), "{id} has an empty column");
        let names: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{id} names no test");
        for name in names {
            assert!(tests.contains(name), "{id}: no test `{name}`");
        }
    }
    assert_eq!(rows, 25);
}

/// `docs/faults.md`: a row for each scenario, every name in it exists, and what is not tried says so.
#[test]
fn every_test_and_plan_named_on_the_faults_page_exists() {
    let page = std::fs::read_to_string(workspace().join("docs/faults.md")).expect("docs/faults.md");
    let tests = tests_of_the_workspace();
    let mut rows = 0;
    for line in page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| |"))
    {
        rows += 1;
        let columns: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, fault, tried] = columns[..] else {
            panic!("three columns: {line}")
        };
        assert_eq!(id, rows.to_string(), "in order, none left out");
        assert!(!fault.is_empty(), "{id} has an empty column");
        let names = tried.split('`').skip(1).step_by(2).filter(|name| *name != "incident");
        let mut named = 0;
        for name in names {
            named += 1;
            match name.strip_prefix("loadtest ha ") {
                Some(fault) => {
                    assert!(
                        loadtest::ha::fault_names().iter().any(|known| known == fault),
                        "{id}: no fault `{fault}`"
                    );
                }
                None => assert!(tests.contains(name), "{id}: no test `{name}`"),
            }
        }
        assert!(named > 0, "{id} names nothing");
    }
    assert_eq!(rows, 40);
}
