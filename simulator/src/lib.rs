//! The outside world in one process: an acquirer that speaks Stripe's wire, with its test cards, idempotency, disputes, webhooks
//! and faults on demand; and a bank's host that speaks ISO 8583.
//!
//! State is in memory under one lock and in an append-only log; see [`store`] and [`log`]. It listens on loopback, holds no full
//! card number anywhere, and must never be used as anything but a counterpart for tests and development.

pub mod admin;
pub mod api;
pub mod bank;
pub mod card;
pub mod challenge;
pub mod clock;
pub mod dispute;
pub mod error;
pub mod fault;
pub mod flow;
pub mod id;
pub mod idempotency;
pub mod log;
pub mod object;
pub mod params;
pub mod server;
pub mod settlement;
pub mod store;
pub mod transactions;
pub mod view;
pub mod webhook;

use crate::clock::Clock;
use crate::fault::Faults;
use crate::flow::{Delays, Op};
use crate::object::Metadata;
use crate::store::Store;
use anyhow::Context;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};

/// How to run it.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Address of the API; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Address of the admin port
    #[arg(long, default_value = "127.0.0.1:0")]
    pub admin_listen: SocketAddr,
    /// Address of the bank's host, which speaks ISO 8583
    #[arg(long, default_value = "127.0.0.1:0")]
    pub bank_listen: SocketAddr,
    /// Directory of the log; created when absent
    #[arg(long, default_value = ".simulator")]
    pub dir: PathBuf,
    /// Written last, when ready: {"api_url","admin_url","bank_address","pid"}
    #[arg(long)]
    pub ready_file: Option<PathBuf>,
    /// The only key to accept; without it any sk_ or rk_ key is
    #[arg(long)]
    pub secret_key: Option<String>,
    /// Webhook target to register at start
    #[arg(long, requires = "webhook_secret")]
    pub webhook_url: Option<String>,
    /// Its signing secret
    #[arg(long)]
    pub webhook_secret: Option<String>,
    /// Event types to send there, separated by commas; all of them when absent
    #[arg(long, value_delimiter = ',', requires = "webhook_url")]
    pub webhook_events: Vec<String>,
    /// PEM file of the authority that https webhook targets are certified by
    #[arg(long)]
    pub webhook_ca: Option<PathBuf>,
    /// Simulated milliseconds from a charge on a dispute card to its dispute, and from evidence to the decision
    #[arg(long, default_value_t = 100)]
    pub dispute_delay_ms: u32,
    /// Simulated milliseconds from a refund on a refund card to its final state
    #[arg(long, default_value_t = 2000)]
    pub refund_delay_ms: u32,
    /// A win gives the dispute's fee back; since 2025 acquirers keep it
    #[arg(long)]
    pub return_dispute_fees: bool,
    /// Fee for answering a chargeback in minor units, taken with the evidence and given back on a win
    #[arg(long, default_value_t = 0)]
    pub counter_fee: i64,
    /// Seed of the faults' dice
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// Runs until `shutdown` resolves, then answers what is open, writes the log out and returns.
pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let api = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("listening on {}", options.listen))?;
    let admin = TcpListener::bind(options.admin_listen)
        .await
        .with_context(|| format!("listening on {}", options.admin_listen))?;
    let bank = TcpListener::bind(options.bank_listen)
        .await
        .with_context(|| format!("listening on {}", options.bank_listen))?;
    let bank_address = bank.local_addr()?;
    let api_url = format!("http://{}", api.local_addr()?);
    let admin_url = format!("http://{}", admin.local_addr()?);
    std::fs::create_dir_all(&options.dir).with_context(|| format!("creating {}", options.dir.display()))?;
    // Held while we run: two writers of one log would ruin it.
    let _lock = lock_directory(&options.dir)?;

    let (publish, owed) = mpsc::unbounded_channel();
    let mut store = Store::default();
    let (log, writer) = {
        let publish = publish.clone();
        let path = options.dir.join("simulator.log");
        log::Log::open(
            &path,
            |record| store.apply(&record),
            move |outgoing| drop(publish.send(outgoing)),
        )?
    };
    for outgoing in store.attach(log) {
        drop(publish.send(outgoing));
    }
    drop(publish);
    let simulator = Arc::new(Simulator {
        clock: Clock::new(store.clock_offset_ms),
        store: Mutex::new(store),
        faults: Faults::new(options.seed),
        bank: bank::Bank::open(&options.dir.join("bank.log")).context("the bank's log")?,
        due: Notify::new(),
        secret_key: options.secret_key,
        api_url: api_url.as_str().into(),
        delays: Delays {
            dispute_ms: options.dispute_delay_ms.into(),
            refund_ms: options.refund_delay_ms.into(),
            return_dispute_fees: options.return_dispute_fees,
            counter_fee: options.counter_fee.max(0),
        },
    });
    if let (Some(url), Some(secret)) = (&options.webhook_url, &options.webhook_secret) {
        simulator.register(url, secret, &options.webhook_events)?;
    }

    let sender = webhook::Sender::new(options.webhook_ca.as_deref())?;
    let (stop, stopped) = watch::channel(false);
    let background = [
        tokio::spawn(webhook::dispatch(simulator.clone(), sender, owed)),
        tokio::spawn(fire_timers(simulator.clone())),
    ];
    let mut admin_stopped = stopped.clone();
    let admin_server = axum::serve(admin, admin::router(simulator.clone())).with_graceful_shutdown(async move {
        let _ = admin_stopped.wait_for(|stop| *stop).await;
    });
    let servers = [
        tokio::spawn(bank::serve(simulator.clone(), bank, stopped.clone())),
        tokio::spawn(server::serve(simulator.clone(), api, stopped)),
        tokio::spawn(async move {
            if let Err(error) = admin_server.await {
                tracing::error!(%error, "the admin listener ended");
            }
        }),
    ];
    if let Some(path) = &options.ready_file {
        write_ready(path, &api_url, &admin_url, bank_address)?;
    }
    tracing::info!(api_url, admin_url, dir = %options.dir.display(), "the simulated acquirer is ready");

    shutdown.await;
    stop.send_replace(true);
    for server in servers {
        // An admin client that reads slowly must not keep us alive.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(6), server).await;
    }
    background.iter().for_each(tokio::task::JoinHandle::abort);
    simulator.store().detach();
    tokio::task::spawn_blocking(move || writer.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the log writer panicked"))
}

/// What every listener and task shares.
pub struct Simulator {
    store: Mutex<Store>,
    /// Simulated time.
    pub clock: Clock,
    /// Rules for what goes wrong.
    pub faults: Faults,
    /// The bank's host.
    pub bank: bank::Bank,
    /// Wakes the timers when an earlier one was set.
    pub due: Notify,
    /// The only key accepted, if one is configured.
    pub secret_key: Option<String>,
    /// Where the API listens.
    pub api_url: Arc<str>,
    /// How long the outside world takes.
    pub delays: Delays,
}

impl Simulator {
    /// The state. Never hold it over an await.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An operation that no API request asked for.
    pub fn op<'a>(&self, store: &'a mut Store) -> Op<'a> {
        Op {
            store,
            now_ms: self.clock.now_ms(),
            account: None,
            request: None,
            idempotency_key: None,
            delays: self.delays,
            api_url: self.api_url.clone(),
        }
    }

    /// Fires what is due, in order; the caller commits.
    pub fn fire_due(&self, store: &mut Store) {
        let now_ms = self.clock.now_ms();
        while let Some(task) = store.take_due(now_ms) {
            let mut op = self.op(store);
            op.now_ms = now_ms;
            op.fire(task);
        }
    }

    /// The target of the command line: one of an earlier start with the same secret gives way, so that a receiver that
    /// moved to another port leaves no dead one behind.
    fn register(&self, url: &str, secret: &str, events: &[String]) -> anyhow::Result<()> {
        let kinds: Vec<Box<str>> = match events {
            [] => vec!["*".into()],
            some => some.iter().map(|kind| kind.as_str().into()).collect(),
        };
        let mut store = self.store();
        let same = |row: &object::Endpoint| &*row.url == url && row.enabled_events == kinds;
        let ours: Vec<Arc<object::Endpoint>> = store
            .endpoints
            .rows()
            .iter()
            .filter(|row| !row.deleted && &*row.secret == secret)
            .cloned()
            .collect();
        let mut op = self.op(&mut store);
        for row in ours.iter().filter(|row| !same(row)) {
            op.store.put(store::Record::Endpoint(Arc::new(object::Endpoint {
                deleted: true,
                ..(**row).clone()
            })));
        }
        if !ours.iter().any(|row| same(row)) {
            api::register_endpoint(&mut op, url, secret, kinds, None, Metadata::default())
                .map_err(|error| anyhow::anyhow!("--webhook-url: {}", error.body()))?;
        }
        drop(store.commit());
        Ok(())
    }
}

async fn fire_timers(simulator: Arc<Simulator>) {
    loop {
        let next_due_ms = {
            let mut store = simulator.store();
            simulator.fire_due(&mut store);
            drop(store.commit());
            store.next_due_ms()
        };
        tokio::select! {
            () = simulator.clock.sleep_until(next_due_ms.unwrap_or(i64::MAX)) => {}
            () = simulator.due.notified() => {}
        }
    }
}

fn lock_directory(dir: &Path) -> anyhow::Result<std::fs::File> {
    let file = std::fs::File::create(dir.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => anyhow::bail!("another simulator runs in {}", dir.display()),
    }
}

/// Written beside and renamed, so that a reader never sees half of it.
fn write_ready(path: &Path, api_url: &str, admin_url: &str, bank: SocketAddr) -> anyhow::Result<()> {
    let ready = serde_json::json!({
        "api_url": api_url, "admin_url": admin_url, "bank_address": bank.to_string(), "pid": std::process::id(),
    });
    let partial = path.with_extension("partial");
    std::fs::write(&partial, ready.to_string())?;
    std::fs::rename(&partial, path).with_context(|| format!("writing {}", path.display()))
}
