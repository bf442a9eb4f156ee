//! The official SDKs, unmodified and pinned, as a merchant's software uses them. The scripts are in `tests/sdk`; each prints a
//! line per check and ends at the first wrong one. `scripts/bootstrap.sh test` installs what they need.

use std::path::Path;
use tests::{TestApp, said, workspace};
use tokio::process::Command;

macro_rules! scripts {
    ($($name:ident: $run:ident $file:literal;)+) => {$(
        #[tokio::test]
        async fn $name() {
            $run($file).await;
        }
    )+};
}
scripts! {
    python_payments: python "payments.py";
    python_declines: python "declines.py";
    python_refunds: python "refunds.py";
    python_idempotency: python "idempotency.py";
    python_payment_methods: python "methods.py";
    python_webhooks: python "webhooks.py";
    python_balance: python "balance.py";
    python_disputes: python "disputes.py";
    python_reviews: python "reviews.py";
    python_access: python "access.py";
    python_orders: python "orders.py";
    python_authorizations: python "authorizations.py";
    python_search: python "search.py";
    python_application_fees: python "application_fees.py";
    python_errors: python "errors.py";
    node_errors: node "errors.mjs";
    python_saved_cards: python "saved_cards.py";
    python_three_d_secure: python "three_d_secure.py";
    node_payments: node "payments.mjs";
    node_service: node "service.mjs";
}

async fn python(script: &str) {
    let interpreter = workspace().join(".tools/python/bin/python");
    run(&interpreter, &workspace().join("tests/sdk/python").join(script)).await;
}

async fn node(script: &str) {
    run(Path::new("node"), &workspace().join("tests/sdk/node").join(script)).await;
}

async fn run(interpreter: &Path, script: &Path) {
    let app = TestApp::shared().await;
    let mut command = Command::new(interpreter);
    command.arg(script).arg(app.dir().join("dev.json"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").kill_on_drop(true);
    // for the scripts that run into its limit
    let limited = crate::gate::create(app, &["--requests-per-second", "2"]).await;
    command.env("LIMITED_KEY", limited["key"].as_str().expect("a key"));
    let output = command.output().await.unwrap_or_else(|error| {
        panic!(
            "{} does not start ({error}): scripts/bootstrap.sh test installs it",
            interpreter.display()
        )
    });
    let said = said(&output);
    assert!(output.status.success(), "{}:\n{said}", script.display());
    assert!(
        said.lines().filter(|line| line.starts_with("ok ")).count() > 10,
        "it checked nothing:\n{said}"
    );
}
