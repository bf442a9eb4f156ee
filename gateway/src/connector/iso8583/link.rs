//! The one long-lived connection to the host: signed on, kept alive, opened again when it breaks.
//!
//! Many requests are in flight at once; an answer finds its request by message type, STAN and RRN. What was never written is
//! [`LinkError::NotSent`]; once it may have been, the outcome is [`LinkError::Unknown`], also when the connection breaks. It must
//! never repeat a message by itself, and never log one that is not masked.

use super::codec::{MAX, Message};
use rand::Rng as _;
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use zeroize::Zeroizing;

/// How to reach the host, and how long its answers may take.
#[derive(Clone)]
pub struct Config {
    /// `host:port`
    pub address: String,
    /// TLS against these authorities, with the host's name from `address`; `None`: plain TCP on a private line
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// TCP, TLS and sign-on together
    pub connect: Duration,
    /// an idle line is tested after this; a test that is not answered in `connect` ends the connection
    pub echo: Duration,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("address", &self.address)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// nothing was written
    NotSent(String),
    /// it may have arrived
    Unknown(String),
}

/// The connection, as those who use it see it. It closes when the last of them is gone.
pub struct Link {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    config: Config,
    line: watch::Sender<Option<Line>>,
    pending: Mutex<HashMap<Key, oneshot::Sender<Message>>>,
    late: Box<dyn Fn(&Message) + Send + Sync>,
}

/// A connection that is up: where to put bytes.
#[derive(Clone)]
struct Line(mpsc::Sender<Zeroizing<Vec<u8>>>);

/// Message type of the answer, STAN, RRN.
type Key = (String, String, String);

impl Link {
    /// Opens the connection in the background, for as long as this lives. `late` is told of answers that nobody waits for.
    pub fn open(config: Config, late: impl Fn(&Message) + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            config,
            line: watch::channel(None).0,
            pending: Mutex::default(),
            late: Box::new(late),
        });
        let task = tokio::spawn(run(shared.clone()));
        Self { shared, task }
    }

    /// Whether the host is signed on to.
    pub fn is_up(&self) -> bool {
        self.shared.line.borrow().is_some()
    }

    /// Sends a message and waits for its answer.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn exchange(&self, message: &Message, wait: Duration) -> Result<Message, LinkError> {
        let mut up = self.shared.line.subscribe();
        let line = timeout(self.shared.config.connect, up.wait_for(Option::is_some))
            .await
            .ok()
            .and_then(|line| line.ok()?.clone());
        let Some(line) = line else {
            return Err(LinkError::NotSent("there is no connection to the host".to_owned()));
        };
        self.shared.exchange(&line, message, wait).await
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn exchange(&self, line: &Line, message: &Message, wait: Duration) -> Result<Message, LinkError> {
        let key = key_of_answer(message);
        let frame = frame(message).map_err(LinkError::NotSent)?;
        let (tell, told) = oneshot::channel();
        if self.pending().insert(key.clone(), tell).is_some() {
            // Traces come from a sequence: this would be a fault of ours, and both outcomes are in doubt.
            return Err(LinkError::Unknown("a trace number is in use twice".to_owned()));
        }
        // Gone again however this ends, the caller being dropped included.
        let _forget = Forget {
            shared: self,
            key: &key,
        };
        line.0.try_send(frame).map_err(|refused| {
            LinkError::NotSent(match refused {
                mpsc::error::TrySendError::Full(_) => "too much waits to be sent to the host".to_owned(),
                mpsc::error::TrySendError::Closed(_) => "the connection to the host has just broken".to_owned(),
            })
        })?;
        match timeout(wait, told).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(LinkError::Unknown("the connection to the host broke".to_owned())),
            Err(_) => Err(LinkError::Unknown("the host did not answer in time".to_owned())),
        }
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, HashMap<Key, oneshot::Sender<Message>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Forget<'a> {
    shared: &'a Shared,
    key: &'a Key,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.pending().remove(self.key);
    }
}

/// Connects for ever, ever slower while it fails.
async fn run(shared: Arc<Shared>) {
    let mut failures = 0u32;
    loop {
        let connected = Instant::now();
        match connect_and_serve(&shared).await {
            Ok(()) => tracing::warn!("the host closed the connection"),
            Err(error) => tracing::warn!(%error, failures, "the connection to the host ended"),
        }
        shared.line.send_replace(None);
        // Whoever waits for an answer learns that none will come: its sender is dropped.
        shared.pending().clear();
        failures = if connected.elapsed() > STABLE {
            0
        } else {
            failures.saturating_add(1)
        };
        let pause = BACKOFF.saturating_mul(1 << failures.min(7)).min(BACKOFF_MAX);
        // Jitter, so that several processes do not knock at the same time.
        let pause = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        sleep(pause).await;
    }
}

async fn connect_and_serve(shared: &Arc<Shared>) -> io::Result<()> {
    let config = &shared.config;
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the host cannot be reached in time");
    let tcp = timeout(config.connect, TcpStream::connect(&config.address))
        .await
        .map_err(late)??;
    tcp.set_nodelay(true)?;
    match &config.tls {
        None => serve(shared, tcp).await,
        Some(tls) => {
            let name = config
                .address
                .rsplit_once(':')
                .map_or(config.address.as_str(), |(host, _)| host);
            let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
            let connector = tokio_rustls::TlsConnector::from(tls.clone());
            let stream = timeout(config.connect, connector.connect(name, tcp))
                .await
                .map_err(late)??;
            serve(shared, stream).await
        }
    }
}

async fn serve<S: AsyncRead + AsyncWrite>(shared: &Arc<Shared>, stream: S) -> io::Result<()> {
    let (mut from, to) = tokio::io::split(stream);
    let (sender, queue) = mpsc::channel(QUEUE);
    let line = Line(sender);
    let heard = watch::channel(Instant::now()).0;
    let reading = async {
        loop {
            let message = read(&mut from).await?;
            heard.send_replace(Instant::now());
            received(shared, &line, message);
        }
    };
    tokio::select! {
        // Reading and writing end with an error alone.
        ended = reading => ended,
        ended = write(to, queue) => ended,
        ended = keep(shared, &line, &heard) => ended,
    }
}

async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Message> {
    let length = usize::from(from.read_u16().await?);
    if length > MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message that is too long"));
    }
    let mut bytes = Zeroizing::new(vec![0; length]);
    from.read_exact(&mut bytes).await?;
    Message::decode(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

async fn write(mut to: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Zeroizing<Vec<u8>>>) -> io::Result<()> {
    while let Some(frame) = queue.recv().await {
        to.write_all(&frame).await?;
        to.flush().await?;
    }
    Ok(())
}

/// Signs on, says that the line is up, and tests it while it is idle.
async fn keep(shared: &Arc<Shared>, line: &Line, heard: &watch::Sender<Instant>) -> io::Result<()> {
    manage(shared, line, SIGN_ON).await?;
    tracing::info!(address = shared.config.address, "signed on to the host");
    shared.line.send_replace(Some(line.clone()));
    loop {
        let idle = heard.borrow().elapsed();
        match shared.config.echo.checked_sub(idle).filter(|left| !left.is_zero()) {
            Some(left) => sleep(left).await,
            None => manage(shared, line, ECHO).await?,
        }
    }
}

async fn manage(shared: &Shared, line: &Line, what: &str) -> io::Result<()> {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let message = Message::new("0800")
        .with(7, now.strftime("%m%d%H%M%S").to_string())
        .with(11, format!("{:06}", rand::rng().random_range(0..1_000_000)))
        .with(70, what);
    let answer = shared.exchange(line, &message, shared.config.connect).await;
    match answer {
        Ok(answer) if answer.get(39) == Some("00") => Ok(()),
        Ok(answer) => Err(io::Error::other(format!(
            "the host refused {what} with {:?}",
            answer.get(39)
        ))),
        Err(LinkError::NotSent(why) | LinkError::Unknown(why)) => Err(io::Error::new(io::ErrorKind::TimedOut, why)),
    }
}

fn received(shared: &Shared, line: &Line, message: Message) {
    if message.mti() == "0800" {
        // The host tests the line from its side.
        let answer = [7, 11, 70]
            .into_iter()
            .filter_map(|number| Some((number, message.get(number)?)))
            .fold(Message::new("0810").with(39, "00"), |answer, (number, value)| {
                answer.with(number, value)
            });
        if let Ok(frame) = frame(&answer) {
            let _ = line.0.try_send(frame);
        }
        return;
    }
    let waiting = shared.pending().remove(&key(message.mti().to_owned(), &message));
    match waiting {
        // Who waited may have just given up; then it is late, too.
        Some(waiting) => {
            if let Err(message) = waiting.send(message) {
                (shared.late)(&message);
            }
        }
        None => (shared.late)(&message),
    }
}

fn key_of_answer(message: &Message) -> Key {
    let answer = match message.mti() {
        "0221" => "0230".to_owned(),
        "0421" => "0430".to_owned(),
        other => {
            let mut digits = other.as_bytes().to_vec();
            if let Some(function) = digits.get_mut(2) {
                *function += 1;
            }
            String::from_utf8(digits).unwrap_or_default()
        }
    };
    key(answer, message)
}

fn key(mti: String, message: &Message) -> Key {
    let text = |number| message.get(number).unwrap_or_default().to_owned();
    (mti, text(11), text(37))
}

/// Length and bytes in one piece: one write, one packet.
fn frame(message: &Message) -> Result<Zeroizing<Vec<u8>>, String> {
    let bytes = message.encode().map_err(|error| error.to_string())?;
    let length = u16::try_from(bytes.len()).map_err(|_| "too long".to_owned())?;
    let mut frame = Zeroizing::new(Vec::with_capacity(bytes.len() + 2));
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&bytes);
    Ok(frame)
}

/// Network management codes (DE 70).
const SIGN_ON: &str = "001";
const ECHO: &str = "301";
/// Frames that wait for a slow line; more are refused as not sent.
const QUEUE: usize = 1024;
const BACKOFF: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A connection that lasted this long was a good one.
const STABLE: Duration = Duration::from_secs(10);
