//! The edge against peers that misbehave, over real sockets and real TLS. Nothing here asserts how long anything takes: limits
//! are made small, and what counts is how a connection ends and what the counters say.

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use gateway::dev::ca::{self};
use gateway::edge::{Drained, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use support::*;

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

/// A request is answered within its time whatever its handler waits for; the handler goes on, and its place is taken until it ends.
#[tokio::test]
async fn a_handler_without_an_answer_is_answered_for_and_goes_on() {
    let server = Server::start(Limits {
        answer_ms: 100,
        requests: 1,
        ..Limits::default()
    });
    let mut client = server.connect(&[b"http/1.1"]).await;
    let answer = exchange(&mut client, "GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_refused(&answer, 504, "outcome_unknown");
    assert_eq!(header(&answer, "stripe-should-retry"), "true");
    let busy = exchange(&mut client, "GET /whoami HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_refused(&busy, 503, "server_busy");
    assert_eq!(server.handled.load(Ordering::Relaxed), 0);
    server.release.notify_one();
    while server.handled.load(Ordering::Relaxed) == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    let answer = exchange(&mut client, "GET /whoami HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
