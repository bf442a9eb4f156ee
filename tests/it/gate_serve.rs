//! Two processes on one database: `counterfoil dev`, and `counterfoil serve` with its own settings beside it. What one of them is
//! told, the other has to know.

use crate::gate::{create, keys};
use crate::gate_signatures::signed_get;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::Value;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::{TestApp, binary, eventually, workspace};
use tokio::process::{Child, Command};

pub type Https = Client<hyper_rustls::HttpsConnector<HttpConnector>, Empty<bytes::Bytes>>;

/// A second process; ends with the test.
pub struct Second {
    pub url: String,
    _process: Child,
}

impl Second {
    /// Starts it on the database of `app`, with these settings on top of what it needs.
    pub async fn start(app: &TestApp, name: &str, access: &str, authorities: &Path) -> Self {
        Self::start_scoring(app, name, access, authorities, "").await
    }

    /// The same with settings of the scorer.
    pub async fn start_scoring(app: &TestApp, name: &str, access: &str, authorities: &Path, risk: &str) -> Self {
        let free = || {
            let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
            socket.local_addr().expect("bound").port()
        };
        let (port, ops) = (free(), free());
        let dir = app.dir();
        let credentials = std::fs::read(dir.join("credentials.json")).expect("credentials");
        let credentials: Value = serde_json::from_slice(&credentials).expect("JSON");
        let role = |role: &str| format!("{}?options=-c%20role%3D{role}", app.told("/database_url"));
        let tls = format!(
            "certificate = {:?}\nkey = {:?}",
            dir.join("tls/server.pem"),
            dir.join("tls/server.key")
        );
        let file = dir.join(format!("{name}.toml"));
        let settings = format!(
            "[api]\naddress = \"127.0.0.1:{port}\"\n{tls}\nclient_authorities = {authorities:?}\n
             [ops]\naddress = \"127.0.0.1:{ops}\"\n{tls}\n
             [access]\n{access}\n
             [database]\nurl = {:?}\nvault_url = {:?}\nconnections = 4\n
             [vault]\nkeys = {:?}\n
             [seal]\nkeys = {:?}\nheads = {:?}\n
             [webhooks]\nauthorities = \"\"\n
             [risk]\nsnapshot = \"\"\n{risk}\n
             [stripe]\nbase_url = {:?}\nsecret_key = {}\nwebhook_secret = {}\nauthorities = \"\"\n",
            role("gateway_app"),
            role("vault_app"),
            dir.join("vault.keys"),
            dir.join("seal.keys"),
            dir.join("heads"),
            app.told("/simulator_url"),
            credentials["acquirer_secret_key"],
            credentials["acquirer_webhook_secret"],
        );
        std::fs::write(&file, settings).expect("written");
        let log = std::fs::File::create(dir.join(format!("{name}.log"))).expect("a log");
        let process = Command::new(binary())
            .arg("serve")
            .arg("--config")
            .arg(&file)
            .env("COUNTERFOIL__SEAL__VERIFY_EVERY_MS", "500")
            .current_dir(workspace())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("starts");
        let url = format!("https://127.0.0.1:{port}");
        let (second, client) = (Self { url, _process: process }, client(app, None));
        let ready = format!("https://127.0.0.1:{ops}/readyz");
        eventually("the second process is ready", || async {
            let (status, _) = ask(&client, &ready, &[]).await?;
            (status == 200).then_some(())
        })
        .await;
        second
    }

    async fn list(&self, client: &Https, key: &str) -> (u16, String) {
        let headers = [("authorization".to_owned(), format!("Bearer {key}"))];
        self.list_with(client, &headers).await
    }

    async fn list_with(&self, client: &Https, headers: &[(String, String)]) -> (u16, String) {
        let answer = ask(client, &format!("{}/v1/payment_intents", self.url), headers).await;
        let (status, body) = answer.expect("an answer");
        (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
    }
}

async fn ask(client: &Https, url: &str, headers: &[(String, String)]) -> Option<(u16, Value)> {
    send(client, "GET", url, headers).await
}

pub async fn send(client: &Https, method: &str, url: &str, headers: &[(String, String)]) -> Option<(u16, Value)> {
    let mut request = http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer = client
        .request(request.body(Empty::new()).expect("a request"))
        .await
        .ok()?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.ok()?.to_bytes();
    Some((status, serde_json::from_slice(&body).unwrap_or_default()))
}

pub fn client(app: &TestApp, identity: Option<&Identity>) -> Https {
    let mut roots = rustls::RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(app.told("/ca_file")).expect("the CA");
    roots.add(ca).expect("a CA");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key, .. }) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
            builder
                .with_client_auth_cert(vec![certificate.clone()], key)
                .expect("they fit")
        }
    };
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only()
        .enable_all_versions()
        .build();
    Client::builder(TokioExecutor::new()).build(connector)
}

/// A client certificate.
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: String,
}

/// An authority in `dir`, and certificates by it.
fn identities(dir: &Path, names: [&str; 2]) -> (PathBuf, [Identity; 2]) {
    let authority_key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).expect("an authority");
    let file = dir.join("clients-ca.pem");
    std::fs::write(&file, authority.pem()).expect("written");
    let issuer = rcgen::Issuer::from_params(&params, &authority_key);
    let made = names.map(|name| {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &issuer).expect("signed");
        Identity {
            certificate: certificate.der().clone(),
            key: key.serialize_pem(),
        }
    });
    (file, made)
}

fn text<'a>(made: &'a Value, name: &str) -> &'a str {
    made[name].as_str().unwrap_or_else(|| panic!("no {name}"))
}

#[tokio::test]
async fn an_ended_key_and_a_used_nonce_are_known_to_every_process() {
    let app = TestApp::shared().await;
    let second = Second::start(app, "plain", "require_signatures = false", Path::new("")).await;
    let client = client(app, None);
    let made = create(app, &[]).await;
    app.get("/v1/payment_intents").key(text(&made, "key")).send().await.ok();
    assert_eq!(second.list(&client, text(&made, "key")).await.0, 200);

    keys(app, &["revoke", text(&made, "id")]).await;
    let revoked = Instant::now();
    // The promise is 5 s. Asking is what takes time here; an acceptance that was *asked for* later than that is a failure.
    loop {
        let asked = revoked.elapsed();
        let there = second.list(&client, text(&made, "key")).await;
        let here = app.get("/v1/payment_intents").key(text(&made, "key")).send().await;
        if there == (401, "api_key_expired".to_owned()) && here.status == 401 {
            break;
        }
        assert!(
            asked < Duration::from_secs(5),
            "still accepted {asked:?} after it was revoked"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let made = create(app, &["--require-signature"]).await;
    // For the first process; the second has another authority, so the client signs for that one.
    let mut headers = signed_get(app, &made).await;
    let first = headers
        .iter()
        .fold(app.get("/v1/payment_intents"), |request, (name, value)| {
            request.header(name, value)
        });
    first.send().await.ok();
    headers.push(("host".to_owned(), app.told("/api_url").replace("https://", "")));
    let replayed = second.list_with(&http1(app), &headers).await;
    assert_eq!(replayed, (401, "signature_replayed".to_owned()));
}

/// A client that sends the Host header it is given.
fn http1(app: &TestApp) -> Https {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(app.told("/ca_file")).expect("the CA"))
        .expect("a CA");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only()
        .enable_http1()
        .build();
    Client::builder(TokioExecutor::new()).set_host(false).build(connector)
}

#[tokio::test]
async fn a_listener_can_demand_signatures_and_a_key_its_certificate() {
    let app = TestApp::shared().await;
    let (authorities, [ours, theirs]) = identities(app.dir(), ["checkout-1", "checkout-2"]);
    let second = Second::start(app, "mutual", "require_signatures = true", &authorities).await;
    let (ours_client, theirs_client) = (client(app, Some(&ours)), client(app, Some(&theirs)));
    let anybody = ask(&client(app, None), &format!("{}/v1/payment_intents", second.url), &[]).await;
    assert!(anybody.is_none(), "no certificate, no connection: {anybody:?}");

    let digest = <sha2::Sha256 as sha2::Digest>::digest(&ours.certificate);
    for bound in ["cn:checkout-1".to_owned(), format!("sha256:{}", hex::encode(digest))] {
        let made = create(app, &["--client-certificate", &bound]).await;
        let key = text(&made, "key");
        // The certificate is right, so the next demand is the listener's: a signature.
        assert_eq!(
            second.list(&ours_client, key).await,
            (401, "signature_required".to_owned())
        );
        assert_eq!(
            second.list(&theirs_client, key).await,
            (401, "client_certificate_required".to_owned())
        );
        let elsewhere = app.get("/v1/payment_intents").key(key).send().await;
        assert_eq!(
            elsewhere.text("/error/code"),
            "client_certificate_required",
            "{elsewhere}"
        );
    }
}

/// A database that stands still: every request has its answer in time, which says that the outcome is not known; asked again with
/// the same key, there is one payment and its answer.
#[tokio::test]
async fn a_request_is_answered_in_time_while_the_database_stands_still() {
    let app = TestApp::start().await;
    let settings = "require_signatures = false\n[limits]\nanswer_ms = 1000";
    let second = Second::start(&app, "patient", settings, Path::new("")).await;
    let client = client(&app, None);
    let pay = async || {
        let url = format!("{}/v1/payment_intents?amount=1500&currency=usd", second.url);
        let headers = [
            (
                "authorization".to_owned(),
                format!("Bearer {}", app.told("/secret_key")),
            ),
            ("idempotency-key".to_owned(), "while-it-stands".to_owned()),
        ];
        send(&client, "POST", &url, &headers).await.expect("an answer")
    };
    let owner = app.sql().await;
    owner
        .batch_execute("BEGIN; LOCK TABLE gateway.payment IN ACCESS EXCLUSIVE MODE")
        .await
        .expect("locks");
    let (status, told) = pay().await;
    assert_eq!(
        (status, &told["error"]["code"]),
        (504, &Value::from("outcome_unknown")),
        "{told}"
    );
    let message = told["error"]["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("not known") && message.contains("same idempotency key"),
        "{message}"
    );
    owner.batch_execute("ROLLBACK").await.expect("unlocks");
    let paid = eventually("the outcome", || async {
        let (status, told) = pay().await;
        (status == 200).then_some(told)
    })
    .await;
    assert_eq!(paid["status"], "requires_payment_method", "{paid}");
    let payments = owner
        .query_one("SELECT count(*) FROM gateway.payment", &[])
        .await
        .expect("a row");
    assert_eq!(payments.get::<_, i64>(0), 1);
}
