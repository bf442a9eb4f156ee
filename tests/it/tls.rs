//! TLS as it is spoken: the real listener asked by an independent client (openssl), a certificate exchanged under load by
//! SIGHUP to the real process, and our own client shown bad certificates.

use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tests::{TestApp, eventually};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Arguments of `openssl s_client`, and what it must say: `Some` for a handshake, `None` for a refusal.
#[rustfmt::skip]
const HANDSHAKES: &[(&[&str], Option<&[&str]>)] = &[
    // what is offered
    (&["-tls1_3"],                                            Some(&["TLSv1.3"])),
    (&["-tls1_3", "-groups", "X25519"],                       Some(&["X25519"])),
    (&["-tls1_3", "-groups", "P-256"],                        Some(&["ECDH, prime256v1, 256 bits"])),
    (&["-tls1_3", "-groups", "P-384"],                        Some(&["ECDH, secp384r1, 384 bits"])),
    (&["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"], Some(&["TLS_AES_128_GCM_SHA256"])),
    (&["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"], Some(&["TLS_AES_256_GCM_SHA384"])),
    (&["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], Some(&["TLS_CHACHA20_POLY1305_SHA256"])),
    // what is not
    (&["-tls1_2"],                                            None),
    (&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],              None),
    (&["-tls1", "-cipher", "ALL:@SECLEVEL=0"],                None),
    (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"],       None),
    (&["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"],       None),
    (&["-tls1_3", "-groups", "P-521"],                        None),
    (&["-tls1_3", "-groups", "X448"],                         None),
    (&["-tls1_3", "-groups", "ffdhe2048"],                    None),
    (&["-tls1_3", "-groups", "ffdhe4096"],                    None),
    (&["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"], None),
    (&["-tls1_3", "-sigalgs", "RSA+SHA1:ECDSA+SHA1"],         None),
];

#[tokio::test]
async fn the_listeners_speak_tls_1_3_with_good_suites_and_groups_alone() {
    let app = TestApp::shared().await;
    for listener in ["/api_url", "/ops_url"] {
        for (arguments, expected) in HANDSHAKES {
            let said = s_client(app, listener, arguments, "Q\n");
            let shook = said.contains("Cipher is TLS_") && said.contains("Verify return code: 0 (ok)");
            let what = format!("{listener} {arguments:?}: {said}");
            match expected {
                Some(words) => assert!(shook && words.iter().all(|word| said.contains(word)), "{what}"),
                None => assert!(!shook, "{what}"),
            }
        }
    }
    // The hybrid group, where this openssl knows it (3.5); rustls negotiates it in the tests of the edge.
    let hybrid = s_client(app, "/api_url", &["-tls1_3", "-groups", "X25519MLKEM768"], "Q\n");
    let unknown = hybrid.contains("error with command") || hybrid.contains("Call to SSL_CONF_cmd");
    assert!(unknown || hybrid.contains("X25519MLKEM768"), "{hybrid}");
}

#[tokio::test]
async fn nothing_is_renegotiated_and_no_early_data_is_taken() {
    let app = TestApp::shared().await;
    let session = app.dir().join("session.pem");
    let file = session.to_str().expect("text");
    let request = "GET /v1/account HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let first = s_client(app, "/api_url", &["-tls1_3", "-sess_out", file, "-ign_eof"], request);
    assert!(first.contains("HTTP/1.1 401"), "{first}");
    assert!(first.contains("Max Early Data: 0"), "{first}");
    let early = app.dir().join("early");
    std::fs::write(&early, request).expect("writes");
    let resumed = [
        "-tls1_3",
        "-sess_in",
        file,
        "-early_data",
        early.to_str().expect("text"),
    ];
    let said = s_client(app, "/api_url", &resumed, "Q\n");
    assert!(!said.contains("Early data was accepted"), "{said}");
    // `R` asks for a renegotiation, which TLS 1.3 has not: s_client says so, and the connection is as it was.
    let said = s_client(app, "/api_url", &["-tls1_3"], "R\nQ\n");
    assert!(
        !said.contains("RENEGOTIATING\nverify") && !said.contains("Secure Renegotiation IS supported"),
        "{said}"
    );
}

/// The certificate is exchanged twenty times under load: every request is answered, new connections see the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_reloaded_under_load_and_no_request_is_lost() {
    let app = Arc::new(TestApp::start().await);
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = Vec::new();
    for n in 0..8 {
        let (app, stop, answered) = (app.clone(), stop.clone(), answered.clone());
        clients.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                if n % 2 == 0 {
                    // A kept connection.
                    app.get("/v1/balance").send().await.ok();
                } else {
                    // A new one each time, in the middle of whatever happens.
                    fresh_connection(&app).await.expect("a handshake and an answer");
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let tls = app.dir().join("tls");
    let mut seen = vec![leaf(&app).await];
    for _ in 0..20 {
        let before = answered.load(Ordering::Relaxed);
        renew(&tls);
        let pid = app
            .pid()
            .and_then(|pid| rustix::process::Pid::from_raw(pid as i32))
            .expect("it runs");
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("SIGHUP");
        let known = seen.clone();
        let new = eventually("new connections see the new certificate", || async {
            let leaf = leaf(&app).await;
            (!known.contains(&leaf)).then_some(leaf)
        })
        .await;
        seen.push(new);
        eventually("load goes on", || async {
            (answered.load(Ordering::Relaxed) > before + 8).then_some(())
        })
        .await;
    }
    // One that makes no server changes nothing.
    std::fs::write(tls.join("server.pem"), "nonsense").expect("writes");
    let pid = app
        .pid()
        .and_then(|pid| rustix::process::Pid::from_raw(pid as i32))
        .expect("it runs");
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("SIGHUP");
    let log = app.dir().join("log.jsonl");
    eventually("it is said in the log", || async {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.contains("certificate not reloaded").then_some(())
    })
    .await;
    assert_eq!(Some(&leaf(&app).await), seen.last());
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no request was lost");
    }
    assert!(answered.load(Ordering::Relaxed) > 160);
}

/// What our client says to a server, by what is wrong with its certificate; only the good one is spoken to.
#[tokio::test]
async fn our_client_refuses_every_bad_certificate() {
    let (now, day) = (OffsetDateTime::now_utc(), time::Duration::days(1));
    let authority = Authority::new("ours");
    let stranger = Authority::new("a stranger");
    type Change<'a> = &'a dyn Fn(&mut CertificateParams);
    let cases: [(&str, &Authority, Change<'_>, Option<&str>); 7] = [
        ("good", &authority, &|_| {}, None),
        (
            "expired",
            &authority,
            &|leaf| leaf.not_after = now - day,
            Some("expired"),
        ),
        (
            "not valid yet",
            &authority,
            &|leaf| leaf.not_before = now + day,
            Some("not valid yet"),
        ),
        (
            "of another name",
            &authority,
            &|leaf| leaf.subject_alt_names = names("bank.example"),
            Some("not valid for name"),
        ),
        (
            "without a name",
            &authority,
            &|leaf| leaf.subject_alt_names.clear(),
            Some("not valid for name"),
        ),
        ("of an unknown authority", &stranger, &|_| {}, Some("UnknownIssuer")),
        (
            "for clients",
            &authority,
            &|leaf| leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            Some("extended key usage"),
        ),
    ];
    let dir = std::env::temp_dir().join(format!("counterfoil-tls-{}", uuid::Uuid::now_v7().simple()));
    std::fs::create_dir_all(&dir).expect("a folder");
    let trusted = dir.join("authority.pem");
    std::fs::write(&trusted, &authority.pem).expect("writes");
    for (what, issuer, change, refusal) in cases {
        let (url, heard) = serve(issuer, change).await;
        let outcome = get(&url, &trusted).await;
        match refusal {
            None => assert_eq!(outcome, Ok(200), "{what}"),
            Some(word) => {
                let error = outcome.expect_err(what);
                assert!(error.contains(word), "{what}: {error}");
                assert_eq!(
                    heard.load(Ordering::Relaxed),
                    0,
                    "{what}: not a byte of the request was sent"
                );
            }
        }
    }
    std::fs::remove_dir_all(&dir).expect("clean up");
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signs").pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }
}

fn names(name: &str) -> Vec<rcgen::SanType> {
    vec![rcgen::SanType::DnsName(name.try_into().expect("a name"))]
}

/// A server on `https://localhost` with a certificate like this, and how many requests it heard.
async fn serve(authority: &Authority, change: &dyn Fn(&mut CertificateParams)) -> (String, Arc<AtomicU64>) {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names("localhost");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    change(&mut params);
    let key = KeyPair::generate().expect("a key");
    let leaf = params.signed_by(&key, &authority.issuer).expect("signs");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .expect("a server");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!(
        "https://localhost:{}/",
        listener.local_addr().expect("an address").port()
    );
    let heard = Arc::new(AtomicU64::new(0));
    let counter = heard.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut socket) = acceptor.accept(socket).await else {
                continue;
            };
            let mut buffer = [0; 4096];
            if socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                counter.fetch_add(1, Ordering::Relaxed);
                let _ = socket
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    .await;
                let _ = socket.shutdown().await;
            }
        }
    });
    (url, heard)
}

/// Through the one recipe by which the gateway calls anyone.
async fn get(url: &str, authority: &Path) -> Result<u16, String> {
    let roots = gateway::egress::roots(&[authority])?;
    let connector = gateway::egress::connector(HttpConnector::new(), Duration::from_secs(10), &roots, false);
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<bytes::Bytes>>(connector);
    let answer = client.get(url.parse().expect("a URL")).await;
    answer
        .map(|answer| answer.status().as_u16())
        .map_err(|error| gateway::egress::describe(&error))
}

/// A new key and certificate by the development authority, put in place as a renewal does.
fn renew(tls: &Path) {
    for file in ["server.key", "server.pem"] {
        std::fs::remove_file(tls.join(file)).expect("removes");
    }
    gateway::dev::ca::ensure(tls, jiff::Timestamp::now()).expect("a certificate");
}

/// One request on a connection of its own; the fingerprint of the certificate that was shown.
async fn fresh_connection(app: &TestApp) -> std::io::Result<Vec<u8>> {
    let mut roots = rustls::RootCertStore::empty();
    let file = PathBuf::from(app.told("/ca_file"));
    let certificates = gateway::egress::roots(&[&file]).map_err(std::io::Error::other)?;
    roots.roots.extend(certificates.roots.iter().cloned());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address = app.told("/api_url").trim_start_matches("https://").to_owned();
    let socket = tokio::net::TcpStream::connect(&address).await?;
    let name = "127.0.0.1".try_into().map_err(std::io::Error::other)?;
    let mut socket = tokio_rustls::TlsConnector::from(Arc::new(tls))
        .connect(name, socket)
        .await?;
    let key = app.told("/secret_key");
    let request =
        format!("GET /v1/balance HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    match answer.starts_with(b"HTTP/1.1 200 ") {
        true => Ok(socket
            .get_ref()
            .1
            .peer_certificates()
            .map(|chain| chain[0].to_vec())
            .unwrap_or_default()),
        false => Err(std::io::Error::other(String::from_utf8_lossy(&answer).into_owned())),
    }
}

async fn leaf(app: &TestApp) -> Vec<u8> {
    fresh_connection(app).await.expect("an answer")
}

/// Runs openssl's client against a listener and returns all that it says.
fn s_client(app: &TestApp, listener: &str, arguments: &[&str], input: &str) -> String {
    let url = app.told(listener);
    let mut client = Command::new("openssl");
    client
        .args([
            "s_client",
            "-connect",
            url.trim_start_matches("https://"),
            "-CAfile",
            &app.told("/ca_file"),
        ])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = client
        .spawn()
        .expect("openssl is installed (scripts/bootstrap.sh test)");
    use std::io::Write as _;
    // It may have been refused and gone already.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    tests::said(&child.wait_with_output().expect("ends"))
}
