//! The console in a browser: headless Chromium, driven by Playwright. The scripts are in `tests/console`; each prints a line per check
//! and ends at the first wrong one. `scripts/bootstrap.sh test` installs what they need.

use tests::{TestApp, said, workspace};
use tokio::process::Command;

#[tokio::test]
async fn every_page_is_sound_in_a_browser() {
    run("pages.mjs").await;
}

#[tokio::test]
async fn every_role_does_its_main_job_in_a_browser() {
    run("jobs.mjs").await;
}

#[tokio::test]
async fn neither_merchants_nor_other_sites_act_through_a_browser() {
    run("attacks.mjs").await;
}

async fn run(script: &str) {
    let app = TestApp::start().await;
    let output = Command::new("node")
        .arg(workspace().join("tests/console").join(script))
        .arg(app.dir().join("dev.json"))
        .env("NODE_EXTRA_CA_CERTS", app.told("/ca_file"))
        .kill_on_drop(true)
        .output()
        .await
        .unwrap_or_else(|error| panic!("node does not start ({error}): scripts/bootstrap.sh test installs it"));
    let said = said(&output);
    assert!(output.status.success(), "{script}:\n{said}");
    assert!(said.contains("ok "), "{script} checked nothing:\n{said}");
}
