//! One connection, from TCP to its end: handshake, protocol, and the clock that closes it when nothing moves.
//!
//! hyper's own header deadline also runs while a kept-alive connection rests, so the clock here is ours: a started head must
//! end within `header_read`, and a connection that owes nothing and moves nothing for `idle` is closed. The same rule ends
//! silent connections, idle ones, and peers that never read their answer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::stats::Open;
use super::{Limits, Peer, Reloadable, Shared, Stats, request, tls};

/// Serves one accepted socket until it ends.
pub(super) async fn run(
    shared: Arc<Shared>,
    tcp: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<Reloadable>>,
    draining: watch::Receiver<bool>,
) {
    let _open = Open::new(&shared.stats);
    let _ = tcp.set_nodelay(true); // answers are single writes; waiting for more would only add latency
    let conversation = match tls {
        // Boxed, so that the space of the handshake is given back when it is over.
        Some(tls) => Box::pin(greet(shared.clone(), tcp, address, tls, draining)).await,
        None => {
            let peer = Peer {
                address,
                common_name: None,
                certificate_sha256: None,
            };
            Some(speak(shared.clone(), tcp, peer, Protocol::Http1, draining))
        }
    };
    if let Some(conversation) = conversation {
        conversation.await;
    }
}

/// The handshake; `None` when there is nobody to talk to.
async fn greet(
    shared: Arc<Shared>,
    tcp: TcpStream,
    address: SocketAddr,
    tls: Arc<Reloadable>,
    mut draining: watch::Receiver<bool>,
) -> Option<Conversation> {
    let handshake = TlsAcceptor::from(tls.current()).accept(tcp);
    let stream = tokio::select! {
        () = begun(&mut draining) => return None,
        stream = timeout(shared.limits.handshake(), handshake) => stream,
    };
    match stream {
        Err(_) => {
            Stats::count(&shared.stats.handshakes_slow);
            None
        }
        Ok(Err(error)) => {
            Stats::count(&shared.stats.handshakes_failed);
            tracing::debug!(%address, %error, "handshake failed");
            None
        }
        Ok(Ok(stream)) => {
            let (_, session) = stream.get_ref();
            let peer = Peer {
                address,
                common_name: tls::common_name(session.peer_certificates()),
                certificate_sha256: tls::fingerprint(session.peer_certificates()),
            };
            let protocol = match session.alpn_protocol() {
                Some(b"h2") => Protocol::Http2,
                _ => Protocol::Http1,
            };
            Some(speak(shared, stream, peer, protocol, draining))
        }
    }
}

/// A connection after its handshake, to be driven to its end.
type Conversation = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone, Copy)]
enum Protocol {
    Http1,
    Http2,
}

/// The connection from here on, in a box of its own size. (An async fn would hold each step's copy of the stream for as long
/// as the connection lives: with ten thousand idle ones that is most of the memory.)
fn speak<I>(shared: Arc<Shared>, io: I, peer: Peer, protocol: Protocol, draining: watch::Receiver<bool>) -> Conversation
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &shared.limits;
    let activity = Arc::new(Activity::new(limits.h2_resets));
    let service = {
        let (shared, activity) = (shared.clone(), activity.clone());
        // Boxed: hyper keeps the space of a request's future while the connection rests.
        service_fn(move |request| Box::pin(request::answer(shared.clone(), activity.clone(), peer.clone(), request)))
    };
    match protocol {
        Protocol::Http1 => {
            let io = TokioIo::new(Heard {
                io,
                activity: activity.clone(),
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(None)
                .half_close(false)
                // hyper answers a longer head by itself, without our envelope: leave room for ours to speak first.
                .max_buf_size((limits.header_bytes + limits.uri_bytes).max(SMALLEST_BUFFER) * 2)
                .serve_connection(io, service);
            Box::pin(drive(Box::pin(connection), activity, shared, draining))
        }
        Protocol::Http2 => {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(limits.h2_streams)
                .max_header_list_size(u32::try_from(limits.header_bytes * 2).unwrap_or(u32::MAX))
                .initial_stream_window_size(H2_STREAM_WINDOW)
                .initial_connection_window_size(H2_CONNECTION_WINDOW)
                .max_send_buf_size(H2_SEND_BUFFER)
                .keep_alive_interval(limits.h2_ping())
                .keep_alive_timeout(limits.h2_ping())
                .serve_connection(TokioIo::new(io), service);
            Box::pin(drive(Box::pin(connection), activity, shared, draining))
        }
    }
}

/// Why the clock ends a connection.
#[derive(Clone, Copy)]
enum Ending {
    Idle,
    SlowHead,
}

async fn drive<C: GracefulConnection>(
    mut connection: Pin<Box<C>>,
    activity: Arc<Activity>,
    shared: Arc<Shared>,
    mut draining: watch::Receiver<bool>,
) {
    let (limits, stats) = (&shared.limits, &shared.stats);
    let mut drained = false;
    loop {
        // The deadline can move closer (idle, then a slow head), never by more than one header_read: look again by then.
        let look = activity.deadline(limits).0.min(Instant::now() + limits.header_read());
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = activity.flooded.notified() => return Stats::count(&stats.connections_flooding),
            () = begun(&mut draining), if !drained => {
                drained = true;
                connection.as_mut().graceful_shutdown();
            }
            () = sleep_until(look) => {
                let (deadline, ending) = activity.deadline(limits);
                if deadline <= Instant::now() {
                    connection.as_mut().graceful_shutdown(); // GOAWAY, so that a request on its way is retried elsewhere
                    let _ = timeout(LINGER, connection.as_mut()).await;
                    return Stats::count(match ending {
                        Ending::Idle => &stats.connections_idle,
                        Ending::SlowHead => &stats.connections_slow_head,
                    });
                }
            }
        }
    }
}

/// Resolves once draining has begun (or the listener is gone, which is the same to us).
async fn begun(draining: &mut watch::Receiver<bool>) {
    let _ = draining.wait_for(|draining| *draining).await;
}

/// What a connection is doing, written by its requests and its socket, read by its clock.
pub(super) struct Activity {
    opened: Instant,
    /// Milliseconds since `opened` of the last thing that moved.
    moved: AtomicU64,
    /// Milliseconds since `opened`, plus one, of the first byte of an unfinished head; 0 when there is none.
    head: AtomicU64,
    /// Requests whose answer is owed.
    owed: AtomicUsize,
    begun: AtomicU64,
    answered: AtomicU64,
    abandoned: AtomicU64,
    resets_allowed: u64,
    flooded: Notify,
}

impl Activity {
    fn new(resets_allowed: u64) -> Self {
        Self {
            opened: Instant::now(),
            moved: AtomicU64::new(0),
            head: AtomicU64::new(0),
            owed: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            resets_allowed,
            flooded: Notify::new(),
        }
    }

    /// A request head is complete: its answer is owed until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Owed {
        self.owed.fetch_add(1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.head.store(0, Ordering::Relaxed);
        Owed {
            activity: self.clone(),
            answered: false,
        }
    }

    /// Something moved.
    pub(super) fn progress(&self) {
        self.moved.store(self.elapsed_ms(), Ordering::Relaxed);
    }

    /// Bytes came in while no answer was owed: a head has begun.
    fn heard(&self) {
        if self.owed.load(Ordering::Relaxed) == 0 {
            let _ = self
                .head
                .compare_exchange(0, self.elapsed_ms() + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// When the connection is to be closed if nothing more happens, and why.
    fn deadline(&self, limits: &Limits) -> (Instant, Ending) {
        if self.owed.load(Ordering::Relaxed) > 0 {
            return (Instant::now() + limits.idle(), Ending::Idle); // the handler's time is not the peer's fault
        }
        let head = self.head.load(Ordering::Relaxed);
        if head > 0 {
            return (
                self.opened + Duration::from_millis(head - 1) + limits.header_read(),
                Ending::SlowHead,
            );
        }
        let patience = if self.begun.load(Ordering::Relaxed) == 0 {
            limits.header_read()
        } else {
            limits.idle()
        };
        (
            self.opened + Duration::from_millis(self.moved.load(Ordering::Relaxed)) + patience,
            Ending::Idle,
        )
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

/// An answer that is owed. Dropped unanswered, it counts as abandoned by the peer.
pub(super) struct Owed {
    activity: Arc<Activity>,
    answered: bool,
}

impl Owed {
    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        let activity = &self.activity;
        activity.progress();
        activity.owed.fetch_sub(1, Ordering::Relaxed);
        if self.answered {
            activity.answered.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let abandoned = activity.abandoned.fetch_add(1, Ordering::Relaxed) + 1;
        if abandoned > activity.answered.load(Ordering::Relaxed) + activity.resets_allowed {
            activity.flooded.notify_one();
        }
    }
}

/// The socket of an HTTP/1.1 connection, which tells [`Activity`] when bytes come in.
struct Heard<I> {
    io: I,
    activity: Arc<Activity>,
}

impl<I: AsyncRead + Unpin> AsyncRead for Heard<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.heard();
        }
        polled
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Heard<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// What a closing connection gets to say goodbye.
const LINGER: Duration = Duration::from_secs(1);
const SMALLEST_BUFFER: usize = 8 * 1024; // hyper's own minimum
const H2_STREAM_WINDOW: u32 = 64 * 1024;
const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
const H2_SEND_BUFFER: usize = 64 * 1024;
