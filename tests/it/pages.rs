//! Pages for users keep their word: the programs of the quick start run as they stand, and every difference from Stripe that is
//! told has a test that would fail if it were no longer one.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde_json::json;
use tests::{TestApp, said, workspace};
use tokio::process::Command;

use crate::security_page::tests_of_the_workspace;

#[test]
fn every_difference_from_stripe_has_a_test() {
    let page = fs::read_to_string(workspace().join("docs/differences-from-stripe.md")).expect("the page");
    let tests = tests_of_the_workspace();
    let mut seen = HashSet::new();
    for line in page.lines().filter(|line| line.starts_with("| D")) {
        let row: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, theirs, ours, why, named] = row[..] else {
            panic!("five columns: {row:?}")
        };
        assert!(seen.insert(id), "{id} twice");
        assert!(![theirs, ours, why].contains(&""), "{id} has an empty column");
        let names: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{id} names no test");
        for name in names {
            // a script of an SDK is a test by its name in a macro
            let script = fs::read_to_string(workspace().join("tests/it/sdk.rs")).expect("a file");
            assert!(
                tests.contains(name) || script.contains(&format!("    {name}: ")),
                "{id}: no test `{name}`"
            );
        }
    }
    assert!(seen.len() > 10, "these are not all: {}", seen.len());
}

#[tokio::test]
async fn the_programs_of_the_quick_start_run_as_they_stand() {
    let app = TestApp::shared().await;
    let page = fs::read_to_string(workspace().join("docs/quickstart.md")).expect("the page");
    let folder = std::env::temp_dir().join(format!("quickstart-{}", uuid::Uuid::now_v7().simple()));
    fs::create_dir_all(&folder).expect("a folder");
    let link = |from: &Path, name: &str| std::os::unix::fs::symlink(from, folder.join(name)).expect("a link");
    link(app.dir(), ".counterfoil");
    link(&workspace().join("tests/sdk/node/node_modules"), "node_modules");
    let run = async |program: &Path, file: &str, language: &str| {
        fs::write(folder.join(file), block(&page, language)).expect("a file");
        let mut command = Command::new(program);
        command
            .arg(file)
            .current_dir(&folder)
            .env("NODE_EXTRA_CA_CERTS", ".counterfoil/tls/ca.pem");
        let output = command.kill_on_drop(true).output().await.expect("it starts");
        let said = said(&output);
        assert!(output.status.success(), "{language}: {said}");
        said
    };
    let python = workspace().join(".tools/python/bin/python");
    for said in [
        run(&python, "shop.py", "python").await,
        run(Path::new("node"), "shop.mjs", "javascript").await,
    ] {
        let lines: Vec<&str> = said.lines().collect();
        let [paid, refunded, declined] = lines[..] else {
            panic!("three lines: {said}")
        };
        assert!(paid.starts_with("pi_") && paid.ends_with(" succeeded"), "{said}");
        assert!(
            refunded.starts_with("re_") && refunded.ends_with(" succeeded"),
            "{said}"
        );
        assert_eq!(declined, "card_declined insufficient_funds");
    }
    let said = run(Path::new("bash"), "shop.sh", "bash").await;
    let answers: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(answers.len(), 3, "{said}");
    assert_eq!(
        (&answers[0]["status"], &answers[0]["metadata"]),
        (&json!("succeeded"), &json!({ "order": "6735" }))
    );
    assert_eq!(
        (&answers[1]["object"], &answers[1]["amount"]),
        (&json!("refund"), &json!(500))
    );
    assert_eq!(answers[2]["error"]["decline_code"], "insufficient_funds");
    fs::remove_dir_all(&folder).expect("removes");
}

/// The first block of this language.
fn block<'a>(page: &'a str, language: &str) -> &'a str {
    let start = format!("```{language}\n");
    let (_, rest) = page.split_once(&start).unwrap_or_else(|| panic!("no {language}"));
    rest.split_once("```").expect("an end").0
}
