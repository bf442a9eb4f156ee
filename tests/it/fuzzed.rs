//! The API attacked by its own description: schemathesis, a program that we did not write, reads `/openapi.json` and sends what
//! the description allows and what it forbids. No answer is a 5xx, each fits its schema, what is forbidden is refused.

use std::fs;

use serde_json::{Value, json};
use tests::{TestApp, eventually, said, workspace};
use tokio::process::Command;

#[tokio::test]
async fn schemathesis_finds_no_fault() {
    let app = TestApp::start().await;
    let seeds = app.dir().join("seeds.json");
    fs::write(&seeds, seeds_of(&app).await.to_string()).expect("a file");
    let program = workspace().join(".tools/python/bin/schemathesis");
    let seed = std::env::var("FUZZ_SEED").unwrap_or_else(|_| "1".into());
    let examples = std::env::var("FUZZ_EXAMPLES").unwrap_or_else(|_| "12".into());
    let attack = async || {
        let mut command = Command::new(&program);
        command
            .current_dir(app.dir()) // it leaves its notes where it runs
            .arg("--config-file")
            .arg(workspace().join("tests/api/schemathesis.toml"))
            .args(["--no-color", "run"])
            .arg(format!("{}/openapi.json", app.told("/api_url")))
            .args(["--seed", &seed, "--max-examples", &examples, "--tls-verify"])
            .arg(app.told("/ca_file"))
            .args([
                "--header",
                &format!("Authorization: Bearer {}", app.told("/secret_key")),
            ])
            .env("SCHEMATHESIS_HOOKS", workspace().join("tests/api/hooks.py"))
            .env("SEEDS", &seeds)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .kill_on_drop(true);
        command.output().await.unwrap_or_else(|error| {
            panic!(
                "{} does not start ({error}): scripts/bootstrap.sh test installs it",
                program.display()
            )
        })
    };
    let mut output = attack().await;
    // On a busy machine the program stumbles over itself at times. It calls that an error, and what it finds a failure.
    if !output.status.success() && !said(&output).contains("\nFailures:") {
        output = attack().await;
    }
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    let generated = said
        .split(" generated, ")
        .next()
        .and_then(|before| before.rsplit(' ').next());
    let generated: usize = generated.and_then(|number| number.parse().ok()).unwrap_or_default();
    assert!(generated > 3000, "it tried almost nothing: {said}");

    let log = fs::read_to_string(app.dir().join("log.jsonl")).expect("the log");
    let faults: Vec<&str> = log.lines().filter(|line| line.contains("\"ERROR\"")).take(5).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    app.verify_books().await;
}

/// Objects to be fuzzed, by the path that they are under: what no request of the fuzzer can make is made here.
async fn seeds_of(app: &TestApp) -> Value {
    let pay = async |method: &str, capture: &str| {
        let body = json!({ "amount": 2000, "currency": "usd", "payment_method": method, "confirm": true, "capture_method": capture });
        app.post("/v1/payment_intents").params(body).send().await.ok()
    };
    let paid = pay("pm_card_visa", "automatic").await;
    pay("pm_card_visa", "manual").await;
    pay("pm_card_createDispute", "automatic").await;
    pay("pm_card_riskLevelElevated", "automatic").await;
    let refund = json!({ "payment_intent": paid["id"], "amount": 100 });
    app.post("/v1/refunds").params(refund).send().await.ok();
    let customer = app.post("/v1/customers").form("name=Ada").send().await.ok();
    let method = app
        .post("/v1/payment_methods")
        .form("type=card&card[token]=tok_visa")
        .send()
        .await
        .ok();
    let attach = format!("/v1/payment_methods/{}/attach", method["id"].as_str().expect("an id"));
    app.post(&attach)
        .params(json!({ "customer": customer["id"] }))
        .send()
        .await
        .ok();
    let mut seeds = json!({});
    for list in [
        "payment_intents",
        "charges",
        "refunds",
        "customers",
        "balance_transactions",
        "disputes",
        "reviews",
    ] {
        let path = format!("/v1/{list}");
        let ids = eventually(list, || async {
            let found = app.get(&path).send().await.ok();
            let ids: Vec<Value> = found["data"]
                .as_array()?
                .iter()
                .map(|object| object["id"].clone())
                .collect();
            (!ids.is_empty()).then_some(ids)
        });
        seeds[&path] = ids.await.into();
    }
    seeds["/v1/payment_methods"] = json!([method["id"]]);
    seeds
}
