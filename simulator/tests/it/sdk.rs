//! The official Python SDK, unmodified, against the simulator; passes over it when the SDK is not installed.

use crate::support::Simulator;
use std::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stripe_python_works_unmodified() {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let installed = Command::new(&python)
        .args(["-c", "import stripe"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !installed {
        eprintln!("skipped: {python} has no module stripe");
        return;
    }
    let simulator = Simulator::start().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk.py");
    let output = Command::new(&python)
        .args([script, &simulator.api])
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
