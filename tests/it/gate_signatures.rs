//! Signed requests against an independent implementation of RFC 9421, and the examples of the documentation as they stand there.

use crate::gate::create;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tests::{TestApp, eventually, said, workspace};
use tokio::process::Command;

#[tokio::test]
async fn an_independent_client_signs_and_what_was_changed_is_refused() {
    let app = TestApp::shared().await;
    let key = create(app, &["--scope", "checkout:write", "--require-signature"]).await;
    let script = workspace().join("tests/sdk/python/signed.py");
    let mut command = Command::new(python());
    command.arg(script).arg(app.dir().join("dev.json")).arg(key.to_string());
    let said = run(command).await;
    assert!(
        said.lines().filter(|line| line.starts_with("ok ")).count() > 30,
        "{said}"
    );

    let sql = app.sql().await;
    for kind in ["signature_missing", "signature_invalid", "nonce_replayed"] {
        eventually(&format!("{kind} is on record"), || async {
            let found = sql
                .query_opt(
                    "SELECT 1 FROM gateway.security_event WHERE kind = $1 AND key_id = $2",
                    &[&kind, &key["id"].as_str()],
                )
                .await;
            found.expect("a query").map(drop)
        })
        .await;
    }
    let kept = sql
        .query_one(
            "SELECT count(*), bool_and(expires_at < now() + interval '601 s') FROM gateway.nonce",
            &[],
        )
        .await
        .expect("a row");
    let (kept, in_time): (i64, Option<bool>) = (kept.get(0), kept.get(1));
    assert!(kept > 5 && in_time == Some(true), "{kept} nonces, {in_time:?}");
}

#[tokio::test]
async fn twenty_copies_of_one_request_have_one_effect() {
    let app = TestApp::shared().await;
    let key = create(app, &["--scope", "checkout:write", "--require-signature"]).await;
    let headers = signed_get(app, &key).await;
    let copies = (0..20).map(|_| {
        let request = headers
            .iter()
            .fold(app.get("/v1/payment_intents"), |request, (name, value)| {
                request.header(name, value)
            });
        request.send()
    });
    let answers = futures_util::future::join_all(copies).await;
    let good = answers.iter().filter(|answer| answer.status == 200).count();
    let replayed = answers
        .iter()
        .filter(|answer| answer.text("/error/code") == "signature_replayed")
        .count();
    assert_eq!((good, replayed), (1, 19));
}

#[tokio::test]
async fn the_examples_of_the_documentation_run_as_they_stand() {
    let app = TestApp::shared().await;
    let key = create(app, &["--scope", "checkout:write", "--require-signature"]).await;
    let text = std::fs::read_to_string(workspace().join("docs/authentication.md")).expect("the page");
    let names = [
        ("API_URL", app.told("/api_url")),
        ("CA_FILE", app.told("/ca_file")),
        ("KEY_ID", key["id"].as_str().expect("id").to_owned()),
        ("KEY", key["key"].as_str().expect("key").to_owned()),
        (
            "SIGNING_SECRET",
            key["signing_secret"].as_str().expect("secret").to_owned(),
        ),
    ];
    let constants = |prefix: &str| -> String {
        let lines = names
            .iter()
            .map(|(name, value)| format!("{prefix}{name} = {value:?}\n"));
        lines.collect()
    };

    let example = block(&text, "python");
    let script = format!(
        "{}{example}\nprint(answer.status_code, answer.json()['id'])\n",
        constants("")
    );
    let mut command = Command::new(python());
    command.args(["-c", &script]);
    assert!(run(command).await.starts_with("200 pi_"));

    let example = block(&text, "js");
    let script = format!("{example}\nconsole.log(answer.status, (await answer.json()).id);\n");
    let (imports, rest) = script.split_once("\n\n").expect("imports come first");
    let mut command = Command::new("node");
    command.args([
        "--input-type=module",
        "--eval",
        &format!("{imports}\n{}{rest}", constants("const ")),
    ]);
    command.env("NODE_EXTRA_CA_CERTS", app.told("/ca_file"));
    let said = run(command).await;
    assert!(said.starts_with("200 pi_"), "{said}");
}

/// The headers of a signed `GET /v1/payment_intents`, made by the independent client.
pub async fn signed_get(app: &TestApp, key: &Value) -> Vec<(String, String)> {
    let script = r#"
import base64, json, secrets, sys, requests
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms
url, key = sys.argv[1], json.loads(sys.argv[2])
keys = MappingKeyResolver(public_keys={}, private_keys={key["id"]: base64.b64decode(key["signing_secret"])})
request = requests.Request("GET", url, headers={"Authorization": f"Bearer {key['key']}"}).prepare()
HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=keys).sign(
    request, key_id=key["id"], nonce=secrets.token_urlsafe(24), covered_component_ids=("@method", "@path", "@authority"))
print(json.dumps(dict(request.headers)))
"#;
    let mut command = Command::new(python());
    command.args(["-c", script]);
    command
        .arg(format!("{}/v1/payment_intents", app.told("/api_url")))
        .arg(key.to_string());
    let headers: Value = serde_json::from_str(&run(command).await).expect("headers");
    let headers = headers.as_object().expect("an object");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), text(value)))
        .collect()
}

fn python() -> PathBuf {
    workspace().join(".tools/python/bin/python")
}

async fn run(mut command: Command) -> String {
    command.env("PYTHONDONTWRITEBYTECODE", "1").kill_on_drop(true);
    let program = Path::new(command.as_std().get_program()).display().to_string();
    let output = command
        .output()
        .await
        .unwrap_or_else(|error| panic!("{program} does not start ({error}): scripts/bootstrap.sh test installs it"));
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// The first fenced block of this language.
fn block(text: &str, language: &str) -> String {
    let (_, rest) = text.split_once(&format!("```{language}\n")).expect("there is one");
    rest.split_once("```").expect("it ends").0.to_owned()
}
