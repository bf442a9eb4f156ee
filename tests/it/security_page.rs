//! `SECURITY.md` promises: each threat has a control and tests that prove it. The tests that it names exist.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use tests::workspace;

#[test]
fn every_test_named_on_the_security_page_exists() {
    let page = std::fs::read_to_string(workspace().join("SECURITY.md")).expect("SECURITY.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| T"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() >= 20, "a threat table of {} rows", rows.len());
    let tests = tests_of_the_workspace();
    let (mut seen, mut met) = (HashSet::new(), HashSet::new());
    for row in &rows {
        let [id, stride, asset, threat, control, named, pci] = row[..] else {
            panic!("seven columns: {row:?}")
        };
        for letter in stride.split(' ') {
            assert!(STRIDE.contains(&letter), "{id}: {letter:?} is none of STRIDE");
            met.insert(letter);
        }
        assert!(seen.insert(id), "{id} twice");
        assert!(![asset, threat, control, pci].contains(&""), "{id} has an empty column");
        let names: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{id} names no test");
        for name in names {
            assert!(tests.contains(name), "{id}: no test `{name}`");
        }
    }
    assert_eq!(met.len(), STRIDE.len(), "kinds of threat that are met: {met:?}");
    for part in [
        "## Reporting a weakness",
        "## Assets",
        "## Edges of trust",
        "## Threats",
    ] {
        assert!(page.contains(part), "no {part}");
    }
}

const STRIDE: [&str; 6] = ["S", "T", "R", "I", "D", "E"];

/// Names of functions that follow a test attribute, everywhere.
pub(crate) fn tests_of_the_workspace() -> HashSet<String> {
    let mut found = HashSet::new();
    for file in sources(workspace()) {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let mut lines = text.lines().map(str::trim);
        while let Some(line) = lines.next() {
            if !(line.starts_with("#[test]") || line.starts_with("#[tokio::test")) {
                continue;
            }
            let function = lines.by_ref().find(|line| line.contains("fn ")).unwrap_or_default();
            let name = function.split("fn ").nth(1).and_then(|rest| rest.split('(').next());
            found.extend(name.map(str::to_owned));
        }
    }
    found
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .flat_map(|entry| {
            let (path, name) = (entry.path(), entry.file_name());
            match entry.file_type() {
                Ok(kind)
                    if kind.is_dir()
                        && name != "target"
                        && name != "node_modules"
                        && !name.as_encoded_bytes().starts_with(b".") =>
                {
                    sources(&path)
                }
                Ok(kind) if kind.is_file() && path.extension().is_some_and(|ext| ext == "rs") => vec![path],
                _ => Vec::new(),
            }
        })
        .collect()
}
