//! The edge: sockets, TLS, and the limits that keep one peer from hurting the others.
//!
//! ```text
//! accept -> handshake (deadline) -> HTTP/1.1 or h2 -> head checks -> whole body, bounded -> handler in its own task -> answer
//! ```
//!
//! A handler sees complete requests only: the body is read here, under one size limit, one deadline and one memory budget, so
//! no handler waits on a peer. It runs in a task of its own: a client that hangs up does not cancel a payment half way, and a
//! panic costs one 500. The edge never interprets a request beyond its framing, never logs a path, header or body, and never
//! closes a connection that still owes an answer, except when draining has run out of time.

mod answer;
mod body;
mod connection;
mod limits;
mod metrics;
mod request;
mod stats;
mod tls;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

pub use answer::{Refusal, RequestId};
pub use limits::Limits;
pub use metrics::Collector;
pub use stats::Stats;
pub use tls::{ClientAuth, Files, Reloadable, TlsError};

/// The other end of a connection; every request carries it in its extensions.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where the TCP connection comes from.
    pub address: SocketAddr,
    /// Common name of the client certificate, when the listener asks for one and it was verified.
    pub common_name: Option<Arc<str>>,
    /// SHA-256 of that certificate (DER).
    pub certificate_sha256: Option<[u8; 32]>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut because they were still busy at the deadline.
    pub connections_cut: usize,
    /// Whether a handler was still running at the deadline. Its work is committed or not by the database, never by us.
    pub handlers_left: bool,
}

/// A bound listener with its router, ready to serve.
pub struct Edge {
    listener: TcpListener,
    tls: Option<Arc<Reloadable>>,
    shared: Arc<Shared>,
}

/// Binds a listening socket with a backlog that survives a burst of connections.
///
/// # Errors
/// The operating system's, such as an address in use.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?; // a restart must not wait for TIME_WAIT
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

impl Edge {
    /// Joins a bound listener, its certificate (`None`: plain HTTP/1.1, for loopback only) and the application.
    #[must_use]
    pub fn new(listener: TcpListener, tls: Option<Arc<Reloadable>>, router: Router, limits: Limits) -> Self {
        // Nobody receives: a handler holds a sender, and the channel closes when the last one is gone.
        let (running, running_watch) = mpsc::channel(1);
        let shared = Shared {
            // The limit is enforced here, before the router; axum's own 2 MB default would hide behind it.
            router: router.layer(DefaultBodyLimit::disable()),
            requests: Arc::new(Semaphore::new(limits.requests)),
            body_memory: Arc::new(Semaphore::new(limits.body_memory_bytes)),
            encrypted: tls.is_some(),
            stats: Arc::new(Stats::default()),
            limits,
            running,
            running_watch: std::sync::Mutex::new(Some(running_watch)),
        };
        Self {
            listener,
            tls,
            shared: Arc::new(shared),
        }
    }

    /// Counters of this listener, live.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        self.shared.stats.clone()
    }

    /// The address that was bound, with the real port.
    ///
    /// # Errors
    /// The operating system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` resolves, then drains: no new connection, no new request, answers that are owed are given,
    /// up to [`Limits::drain`].
    ///
    /// # Errors
    /// Only when the socket cannot be handed to the runtime; nothing was served then.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> io::Result<Drained> {
        self.listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let connections_allowed = Arc::new(Semaphore::new(self.shared.limits.connections));
        let (drain, draining) = watch::channel(false);
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);

        loop {
            let (tcp, address) = tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => match accepted {
                    Ok(pair) => pair,
                    Err(error) => {
                        // Out of file descriptors, or a peer that vanished: neither is a reason to stop listening.
                        tracing::warn!(%error, "accept failed");
                        sleep(ACCEPT_RETRY).await;
                        continue;
                    }
                },
            };
            Stats::count(&self.shared.stats.connections_accepted);
            let Ok(permit) = connections_allowed.clone().try_acquire_owned() else {
                // Closed at once: a balancer tries the next node, where a queue here would only hide the trouble.
                Stats::count(&self.shared.stats.connections_refused);
                continue;
            };
            let (shared, tls, draining) = (self.shared.clone(), self.tls.clone(), draining.clone());
            connections.spawn(async move {
                connection::run(shared, tcp, address, tls, draining).await;
                drop(permit);
            });
        }

        drop(listener);
        drain.send_replace(true);
        let deadline = Instant::now() + self.shared.limits.drain();
        while let Ok(Some(_)) = timeout_at(deadline, connections.join_next()).await {}
        let connections_cut = connections.len();
        connections.shutdown().await;
        let handlers_left = !self.shared.handlers_finished(deadline).await;
        Ok(Drained {
            connections_cut,
            handlers_left,
        })
    }
}

/// What all connections of one listener share.
struct Shared {
    router: Router,
    limits: Limits,
    stats: Arc<Stats>,
    encrypted: bool,
    requests: Arc<Semaphore>,
    body_memory: Arc<Semaphore>,
    running: mpsc::Sender<Infallible>,
    running_watch: std::sync::Mutex<Option<mpsc::Receiver<Infallible>>>,
}

impl Shared {
    /// Waits for handlers whose client has hung up; false when the deadline came first.
    async fn handlers_finished(self: Arc<Self>, deadline: Instant) -> bool {
        let watch = self
            .running_watch
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        drop(self); // the last connection is gone, so this was the last sender but the handlers' own
        match watch {
            Some(mut watch) => timeout_at(deadline, watch.recv()).await.is_ok(),
            None => true,
        }
    }
}

const BACKLOG: i32 = 1024;
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
