//! The edge against peers that misbehave, over real sockets and real TLS. Nothing here asserts how long anything takes: limits
//! are made small, and what counts is how a connection ends and what the counters say.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::routing::{get, post};
use bytes::Bytes;
use gateway::dev::ca::{self, Certificates};
use gateway::edge::{ClientAuth, Drained, Edge, Files, Limits, Peer, Reloadable, RequestId, Stats};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

// ---- the happy path, so that every refusal below means something

#[tokio::test]
async fn answers_over_tls_1_3_with_a_post_quantum_key_exchange() {
    let server = Server::start(Limits::default());
    let mut client = server.connect(&[b"http/1.1"]).await;
    let session = client.get_ref().1;
    assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let group = session.negotiated_key_exchange_group().map(|group| group.name());
    assert_eq!(group, Some(rustls::NamedGroup::X25519MLKEM768));

    let answer = exchange(
        &mut client,
        "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("hello"), "{answer}");
    assert!(header(&answer, "request-id").starts_with("req_"), "{answer}");
    assert_eq!(header(&answer, "strict-transport-security"), "max-age=63072000");
    let seen = exchange(&mut client, "GET /whoami HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(body(&seen).starts_with("127.0.0.1 none req_"), "{seen}");
    assert!(
        seen.contains(header(&seen, "request-id")),
        "the handler saw the id that the client got"
    );
}

#[tokio::test]
async fn older_tls_is_refused_with_a_protocol_version_alert() {
    let server = Server::start(Limits::default());
    let mut tcp = TcpStream::connect(server.address).await.expect("connects");
    tcp.write_all(&tls_1_2_client_hello()).await.expect("writes");
    let mut alert = [0; 7];
    tcp.read_exact(&mut alert).await.expect("an alert");
    assert_eq!((alert[0], alert[5], alert[6]), (21, 2, 70), "fatal protocol_version");
    settle(&server.stats.handshakes_failed, 1).await;
}

// ---- peers that are slow, silent or too many

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let server = Server::start(Limits {
        header_read_ms: 150,
        ..Limits::default()
    });
    let mut client = server.connect(&[b"http/1.1"]).await;
    client
        .write_all(b"GET /echo HTTP/1.1\r\nhost: a\r\n")
        .await
        .expect("writes");
    while client.write_all(b"x-slow: 1\r\n").await.is_ok() && client.flush().await.is_ok() {
        sleep(Duration::from_millis(20)).await; // steady progress is no excuse
        if timeout(Duration::from_millis(1), client.read_u8()).await.is_ok() {
            break;
        }
    }
    settle(&server.stats.connections_slow_head, 1).await;
    assert_eq!(server.stats.requests.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_kept_alive_connection_may_rest_longer_than_a_head_may_take() {
    let server = Server::start(Limits {
        header_read_ms: 50,
        ..Limits::default()
    });
    let mut client = server.connect(&[b"http/1.1"]).await;
    for _ in 0..3 {
        let answer = exchange(&mut client, "GET /whoami HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        sleep(Duration::from_millis(150)).await;
    }
}

#[tokio::test]
async fn silence_is_cut_off_before_and_after_the_handshake_and_between_requests() {
    let limits = Limits {
        handshake_ms: 100,
        header_read_ms: 100,
        idle_ms: 100,
        ..Limits::default()
    };
    let server = Server::start(limits);
    let mut tcp = TcpStream::connect(server.address).await.expect("connects");
    assert_closed(&mut tcp).await;
    settle(&server.stats.handshakes_slow, 1).await;

    for (nth, protocol) in [b"http/1.1".as_slice(), b"h2"].into_iter().enumerate() {
        let mut client = server.connect(&[protocol]).await;
        assert_closed(&mut client).await;
        settle(&server.stats.connections_idle, nth as u64 + 1).await;
    }

    let mut client = server.connect(&[b"http/1.1"]).await;
    exchange(&mut client, "GET /whoami HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_closed(&mut client).await;
    settle(&server.stats.connections_idle, 3).await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408_and_reaches_no_handler() {
    let server = Server::start(Limits {
        body_read_ms: 100,
        ..Limits::default()
    });
    let mut client = server.connect(&[b"http/1.1"]).await;
    let answer = exchange(
        &mut client,
        "POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc",
    )
    .await;
    assert_refused(&answer, 408, "body_timeout");
    assert_eq!(header(&answer, "connection"), "close");
    assert_closed(&mut client).await;
    assert_eq!(server.handled.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_answer_is_cut_off() {
    let server = Server::start(Limits {
        header_read_ms: 100,
        idle_ms: 300,
        ..Limits::default()
    });
    let mut client = server.connect(&[b"http/1.1"]).await;
    client
        .write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("writes");
    client.flush().await.expect("flushes");
    settle(&server.stats.connections_idle, 1).await;

    let (mut h2, connection) = server
        .h2_client(h2::client::Builder::new().initial_window_size(0))
        .await;
    let driver = tokio::spawn(connection);
    let (answer, _) = h2.send_request(h2_get("/large"), true).expect("sends");
    answer.await.expect("a head comes, and no window for its body");
    settle(&server.stats.connections_idle, 2).await;
    drop(driver);
}

#[tokio::test]
async fn beyond_the_cap_a_connection_is_closed_at_once_and_the_others_go_on() {
    let server = Server::start(Limits {
        connections: 2,
        ..Limits::default()
    });
    let mut first = server.connect(&[b"http/1.1"]).await;
    let _second = server.connect(&[b"http/1.1"]).await;
    let mut third = TcpStream::connect(server.address).await.expect("the kernel accepts");
    assert_closed(&mut third).await;
    settle(&server.stats.connections_refused, 1).await;
    let answer = exchange(&mut first, "GET /whoami HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(first);
    settle(&server.stats.connections_open, 1).await;
    let mut fourth = server.connect(&[b"http/1.1"]).await;
    assert!(
        exchange(&mut fourth, "GET /whoami HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

// ---- requests that are too much

#[tokio::test]
async fn heads_beyond_the_limits_are_refused_in_the_envelope() {
    let server = Server::start(Limits::default());
    let long = "v".repeat(17 * 1024);
    let many: String = (0..70).map(|n| format!("x-{n}: 1\r\n")).collect();
    let cases = [
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\nx-long: {long}\r\n\r\n"),
            431,
            "header_fields_too_large",
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"),
            431,
            "header_fields_too_large",
        ),
        (
            format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "p".repeat(9 * 1024)),
            414,
            "uri_too_long",
        ),
        (
            "POST /count HTTP/1.1\r\nhost: a\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx".to_string(),
            415,
            "content_encoding_unsupported",
        ),
    ];
    for (request, status, code) in &cases {
        let mut client = server.connect(&[b"http/1.1"]).await;
        assert_refused(&exchange(&mut client, request).await, *status, code);
    }
    // A hundred thousand fields: the parser itself gives up, before they are all in memory.
    let mut client = server.connect(&[b"http/1.1"]).await;
    let flood: String = (0..100_000).map(|n| format!("x-{n}: 1\r\n")).collect();
    let _ = client
        .write_all(format!("GET / HTTP/1.1\r\nhost: a\r\n{flood}\r\n").as_bytes())
        .await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, client.read_to_end(&mut answer))
        .await
        .expect("closed");
    assert_eq!(server.handled.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_413_however_they_are_sent() {
    let server = Server::start(Limits {
        body_bytes: 100,
        ..Limits::default()
    });
    let body = "b".repeat(101);
    let declared = format!("POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 101\r\n\r\n{body}");
    let chunked =
        format!("POST /count HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n65\r\n{body}\r\n0\r\n\r\n");
    let enormous = "POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999\r\n\r\n".to_string();
    let asking = "POST /count HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 101\r\n\r\n".to_string();
    for request in [declared, chunked, enormous, asking] {
        let mut client = server.connect(&[b"http/1.1"]).await;
        assert_refused(&exchange(&mut client, &request).await, 413, "body_too_large");
    }
    let mut client = server.connect(&[b"http/1.1"]).await;
    let fits = format!(
        "POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{}",
        &body[..100]
    );
    assert!(exchange(&mut client, &fits).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(server.handled.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_h2_connection_survives_any_number_of_early_refusals() {
    let server = Server::start(Limits {
        body_bytes: 10,
        ..Limits::default()
    });
    let (mut h2, connection) = server.h2_client(&h2::client::Builder::new()).await;
    tokio::spawn(connection);
    for _ in 0..1_500 {
        h2 = h2.ready().await.expect("the connection lives");
        let request = http::Request::post("https://localhost/count")
            .body(())
            .expect("request");
        let (answer, mut body) = h2.send_request(request, false).expect("sends");
        body.send_data(Bytes::from_static(&[0; 64]), true).expect("sends");
        assert_eq!(answer.await.expect("answers").status(), 413);
    }
}

#[tokio::test]
async fn more_work_than_the_process_takes_on_is_503_with_retry_after() {
    let server = Server::start(Limits {
        requests: 1,
        body_memory_bytes: 1000,
        ..Limits::default()
    });
    let mut busy = server.connect(&[b"http/1.1"]).await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("writes");
    server.arrived.notified().await;
    let mut client = server.connect(&[b"http/1.1"]).await;
    let answer = exchange(&mut client, "GET /whoami HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_refused(&answer, 503, "server_busy");
    assert_eq!(header(&answer, "retry-after"), "1");
    server.release.notify_one();
    assert!(read_answer(&mut busy).await.starts_with("HTTP/1.1 200 "));

    let body = "b".repeat(1001);
    let request = format!("POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 1001\r\n\r\n{body}");
    let mut client = server.connect(&[b"http/1.1"]).await;
    assert_refused(&exchange(&mut client, &request).await, 503, "server_busy");
    let request = request.replace("1001", "1000").replace(&body, &body[..1000]);
    for _ in 0..3 {
        let mut client = server.connect(&[b"http/1.1"]).await;
        let answer = exchange(&mut client, &request).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 "),
            "the budget was given back: {answer}"
        );
    }
}

#[tokio::test]
async fn rapid_reset_ends_the_connection_that_does_it_and_no_other() {
    let server = Server::start(Limits {
        h2_resets: 50,
        ..Limits::default()
    });
    let mut bystander = server.connect(&[b"http/1.1"]).await;
    let (mut h2, connection) = server.h2_client(&h2::client::Builder::new()).await;
    let driver = tokio::spawn(connection);
    let mut sent: u64 = 0;
    // Each stream is handled for ever, so that none is answered before its reset; one at a time, to look harmless.
    let ended = timeout(PATIENCE, async {
        loop {
            match h2.ready().await {
                Ok(ready) => h2 = ready,
                Err(error) => break error,
            }
            match h2.send_request(h2_get("/forever"), true) {
                Ok((_, mut stream)) => stream.send_reset(h2::Reason::CANCEL),
                Err(error) => break error,
            }
            sent += 1;
            tokio::task::yield_now().await;
        }
    });
    ended.await.expect("the server ends it");
    drop(driver);
    assert!(sent >= 20, "an honest client may cancel now and then: {sent}");
    let answer = exchange(&mut bystander, "GET /whoami HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn cancelling_after_the_handler_began_is_counted_too() {
    let server = Server::start(Limits {
        h2_resets: 30,
        ..Limits::default()
    });
    let (mut h2, connection) = server.h2_client(&h2::client::Builder::new()).await;
    let driver = tokio::spawn(connection);
    let mut handled = 0;
    let ended = timeout(PATIENCE, async {
        loop {
            match h2.ready().await {
                Ok(ready) => h2 = ready,
                Err(_) => break,
            }
            let Ok((_, mut stream)) = h2.send_request(h2_get("/forever"), true) else {
                break;
            };
            if timeout(Duration::from_secs(1), server.arrived.notified())
                .await
                .is_err()
            {
                break; // no longer handled
            }
            handled += 1;
            stream.send_reset(h2::Reason::CANCEL);
        }
    });
    ended.await.expect("the server ends it");
    drop(driver);
    settle(&server.stats.connections_flooding, 1).await;
    assert!((30..=33).contains(&handled), "{handled}");
}

// ---- handlers

#[tokio::test]
async fn a_panic_is_one_500_in_the_envelope_and_the_connection_goes_on() {
    let server = Server::start(Limits::default());
    let mut client = server.connect(&[b"http/1.1"]).await;
    let answer = exchange(&mut client, "GET /panic HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_refused(&answer, 500, "internal_error");
    assert!(!answer.contains("4242"), "what the panic said stays inside: {answer}");
    assert_eq!(server.stats.panics.load(Ordering::Relaxed), 1);
    let answer = exchange(&mut client, "GET /whoami HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn hanging_up_does_not_cancel_a_handler() {
    let server = Server::start(Limits::default());
    let mut client = server.connect(&[b"http/1.1"]).await;
    client
        .write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("writes");
    server.arrived.notified().await;
    drop(client);
    settle(&server.stats.connections_open, 0).await;
    server.release.notify_one();
    settle(&server.handled, 1).await;
}

// ---- certificates

#[tokio::test]
async fn a_reload_changes_new_connections_and_leaves_open_ones_alone() {
    let server = Server::start(Limits::default());
    let mut open = server.connect(&[b"http/1.1"]).await;
    let old = leaf(&open);
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 80);
    ca::ensure(&server.dir.0, later).expect("renews in place");
    server.tls.reload().expect_err("a certificate of the future is refused");
    assert_eq!(
        leaf(&server.connect(&[b"http/1.1"]).await),
        old,
        "a failed reload changes nothing"
    );

    std::fs::remove_file(&server.files.certificate).expect("remove");
    ca::ensure(&server.dir.0, jiff::Timestamp::now()).expect("makes another");
    server.tls.reload().expect("reloads");
    assert_ne!(leaf(&server.connect(&[b"http/1.1"]).await), old);
    let answer = exchange(&mut open, "GET /whoami HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_listener_that_asks_for_client_certificates_serves_nobody_without_and_knows_who_it_is() {
    let server = Server::start_with(Limits::default(), true);
    let (certificate, key) = server.client_identity("checkout-7");
    let mut known = server
        .connect_as(&[b"http/1.1"], Some((certificate, key)))
        .await
        .expect("handshake");
    let answer = exchange(&mut known, "GET /whoami HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(body(&answer).starts_with("127.0.0.1 checkout-7 "), "{answer}");
    // In TLS 1.3 the client learns of the refusal only when it reads.
    if let Ok(mut stranger) = server.connect_as(&[b"http/1.1"], None).await {
        let _ = stranger.write_all(b"GET /whoami HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_closed(&mut stranger).await;
    }
    settle(&server.stats.handshakes_failed, 1).await;
    assert_eq!(server.stats.requests.load(Ordering::Relaxed), 1);
}

// ---- shutdown

#[tokio::test]
async fn a_drain_gives_the_answers_that_are_owed_and_takes_no_new_work() {
    let mut server = Server::start(Limits::default());
    let mut owed = server.connect(&[b"http/1.1"]).await;
    owed.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("writes");
    server.arrived.notified().await;
    let (mut h2, connection) = server.h2_client(&h2::client::Builder::new()).await;
    let driver = tokio::spawn(connection);
    let (owed_h2, _) = h2.send_request(h2_get("/wait"), true).expect("sends");
    server.arrived.notified().await;
    let mut resting = server.connect(&[b"http/1.1"]).await;
    exchange(&mut resting, "GET /whoami HTTP/1.1\r\nhost: a\r\n\r\n").await;

    server.shut_down();
    assert_closed(&mut resting).await;
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "the listener is closed"
    );
    server.release.notify_waiters();
    let answer = read_answer(&mut owed).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(header(&answer, "connection"), "close");
    assert_eq!(owed_h2.await.expect("answers").status(), 200);
    assert_eq!(
        server.drained().await,
        Drained {
            connections_cut: 0,
            handlers_left: false
        }
    );
    drop(driver);
}

#[tokio::test]
async fn a_drain_has_a_deadline_of_its_own() {
    let mut server = Server::start(Limits {
        drain_ms: 100,
        ..Limits::default()
    });
    let mut stuck = server.connect(&[b"http/1.1"]).await;
    stuck
        .write_all(b"GET /forever HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("writes");
    server.arrived.notified().await;
    server.shut_down();
    assert_eq!(
        server.drained().await,
        Drained {
            connections_cut: 1,
            handlers_left: true
        }
    );
}

// ---- the server under test

struct Server {
    address: std::net::SocketAddr,
    dir: Folder,
    files: Certificates,
    tls: Arc<Reloadable>,
    stats: Arc<Stats>,
    handled: Arc<AtomicU64>,
    arrived: Arc<Notify>,
    release: Arc<Notify>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<Drained>>,
}

#[derive(Clone)]
struct App {
    handled: Arc<AtomicU64>,
    arrived: Arc<Notify>,
    release: Arc<Notify>,
}

impl Server {
    fn start(limits: Limits) -> Self {
        Self::start_with(limits, false)
    }

    fn start_with(limits: Limits, client_certificates: bool) -> Self {
        let dir = Folder::new();
        let files = ca::ensure(&dir.0, jiff::Timestamp::now()).expect("certificates");
        let client = if client_certificates {
            ClientAuth::Required(files.authority.clone())
        } else {
            ClientAuth::None
        };
        let tls = Reloadable::load(Files {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            client,
        })
        .expect("loads");
        let app = App {
            handled: Arc::default(),
            arrived: Arc::default(),
            release: Arc::default(),
        };
        let listener = gateway::edge::bind("127.0.0.1:0".parse().expect("address")).expect("binds");
        let edge = Edge::new(listener, Some(tls.clone()), router(app.clone()), limits);
        let (stop, stopped) = oneshot::channel();
        let (address, stats) = (edge.address().expect("bound"), edge.stats());
        let serving = tokio::spawn(edge.serve(async move { drop(stopped.await) }));
        let App {
            handled,
            arrived,
            release,
        } = app;
        Self {
            address,
            dir,
            files,
            tls,
            stats,
            handled,
            arrived,
            release,
            stop: Some(stop),
            serving,
        }
    }

    async fn connect(&self, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
        self.connect_as(alpn, None).await.expect("handshake")
    }

    async fn connect_as(
        &self,
        alpn: &[&[u8]],
        identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&self.files.authority).expect("authority"))
            .expect("trusts");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS 1.3");
        let builder = builder.with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).expect("identity"),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let tcp = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config))
            .connect(ServerName::try_from("localhost").expect("name"), tcp)
            .await
    }

    async fn h2_client(
        &self,
        builder: &h2::client::Builder,
    ) -> (
        h2::client::SendRequest<Bytes>,
        h2::client::Connection<TlsStream<TcpStream>, Bytes>,
    ) {
        let tls = self.connect(&[b"h2"]).await;
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        builder.handshake(tls).await.expect("h2 handshake")
    }

    /// A client certificate by the authority that the server trusts.
    fn client_identity(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let read = |file: &str| std::fs::read_to_string(self.dir.0.join(file)).expect("PEM");
        let authority_key = rcgen::KeyPair::from_pem(&read("ca.key")).expect("key");
        let issuer = rcgen::Issuer::from_ca_cert_pem(&read("ca.pem"), authority_key).expect("issuer");
        let key = rcgen::KeyPair::generate().expect("key");
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &issuer).expect("signs");
        (
            certificate.der().clone(),
            PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS#8"),
        )
    }

    fn shut_down(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }

    async fn drained(self) -> Drained {
        timeout(PATIENCE, self.serving)
            .await
            .expect("drains")
            .expect("no panic")
            .expect("no error")
    }
}

fn router(app: App) -> Router {
    async fn whoami(Extension(peer): Extension<Peer>, Extension(id): Extension<RequestId>) -> String {
        format!(
            "{} {} {}",
            peer.address.ip(),
            peer.common_name.as_deref().unwrap_or("none"),
            id.as_str()
        )
    }
    async fn count(State(app): State<App>, _body: Bytes) {
        app.handled.fetch_add(1, Ordering::Relaxed);
    }
    async fn wait(State(app): State<App>) {
        let released = app.release.notified();
        app.arrived.notify_one();
        released.await;
        app.handled.fetch_add(1, Ordering::Relaxed);
    }
    async fn forever(State(app): State<App>) {
        app.arrived.notify_one();
        std::future::pending::<()>().await;
    }
    async fn panics() -> String {
        let card: Result<u8, String> = "4242".parse().map_err(|_| "4242".to_string());
        card.expect("card");
        String::new()
    }
    Router::new()
        .route("/echo", post(|body: Bytes| async move { body }))
        .route("/whoami", get(whoami))
        .route("/count", post(count))
        .route("/wait", get(wait))
        .route("/forever", get(forever))
        .route("/panic", get(panics))
        .route("/large", get(|| async { Body::from(vec![0; 64 * 1024 * 1024]) }))
        .with_state(app)
}

// ---- a client without manners

async fn exchange(client: &mut TlsStream<TcpStream>, request: &str) -> String {
    client.write_all(request.as_bytes()).await.expect("writes");
    client.flush().await.expect("flushes");
    read_answer(client).await
}

/// Reads one answer with a Content-Length.
async fn read_answer(client: &mut TlsStream<TcpStream>) -> String {
    let mut answer = Vec::new();
    let read = async {
        loop {
            let text = String::from_utf8_lossy(&answer).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length: usize = header(head, "content-length").parse().unwrap_or(0);
                if body.len() >= length {
                    return text;
                }
            }
            if client.read_buf(&mut answer).await.expect("reads") == 0 {
                return text;
            }
        }
    };
    timeout(PATIENCE, read).await.expect("an answer")
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let mut lines = answer.split("\r\n").take_while(|line| !line.is_empty());
    lines
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or("")
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

fn assert_refused(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let envelope: serde_json::Value = serde_json::from_str(body(answer)).expect("JSON");
    assert_eq!(envelope["error"]["code"], code, "{answer}");
    assert!(
        envelope["error"]["type"].is_string() && envelope["error"]["message"].is_string(),
        "{answer}"
    );
    assert!(header(answer, "request-id").starts_with("req_"), "{answer}");
    assert_eq!(header(answer, "content-type"), "application/json");
}

/// Reads until the other end closes, in whichever way; fails if it never does.
async fn assert_closed(client: &mut (impl AsyncReadExt + Unpin)) {
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, client.read_to_end(&mut rest))
        .await
        .expect("the server closes the connection");
}

/// Waits until a counter has exactly this value.
async fn settle(counter: &AtomicU64, value: u64) {
    let settled = async {
        while counter.load(Ordering::Relaxed) != value {
            sleep(Duration::from_millis(5)).await;
        }
    };
    if timeout(PATIENCE, settled).await.is_err() {
        panic!("expected {value}, have {}", counter.load(Ordering::Relaxed));
    }
}

fn leaf(client: &TlsStream<TcpStream>) -> Vec<u8> {
    client.get_ref().1.peer_certificates().expect("chain")[0].to_vec()
}

fn h2_get(path: &str) -> http::Request<()> {
    http::Request::get(format!("https://localhost{path}"))
        .body(())
        .expect("request")
}

/// A ClientHello that offers TLS 1.2 with an AEAD suite and nothing newer (RFC 5246).
fn tls_1_2_client_hello() -> Vec<u8> {
    let extensions = [
        [0, 10, 0, 4, 0, 2, 0, 29].as_slice(), // supported_groups: x25519
        [0, 11, 0, 2, 1, 0].as_slice(),        // ec_point_formats: uncompressed
        [0, 13, 0, 4, 0, 2, 4, 3].as_slice(),  // signature_algorithms: ecdsa_secp256r1_sha256
        [0, 23, 0, 0].as_slice(),              // extended_master_secret
    ]
    .concat();
    let mut hello = vec![3, 3];
    hello.extend_from_slice(&[7; 32]); // random
    hello.extend_from_slice(&[0, 0, 2, 0xc0, 0x2b, 1, 0]); // no session; ECDHE-ECDSA-AES128-GCM-SHA256; no compression
    hello.extend_from_slice(&u16::try_from(extensions.len()).expect("short").to_be_bytes());
    hello.extend_from_slice(&extensions);
    let length = u16::try_from(hello.len()).expect("short");
    let mut record = vec![22, 3, 1];
    record.extend_from_slice(&(length + 4).to_be_bytes());
    record.extend_from_slice(&[1, 0]);
    record.extend_from_slice(&length.to_be_bytes());
    record.extend_from_slice(&hello);
    record
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "counterfoil-edge-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
