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
