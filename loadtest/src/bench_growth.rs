//! Does a payment cost the same when the books have grown? Posts millions of payments through the group committer into one
//! database and measures every step of the way.
//!
//! The worst case for growth: all of them in one month, so in one partition, spread over all books, so that each book's end
//! of the primary key is touched again and again. Checkpoints run as they come and are part of the cost. The measure is
//! the processor time of the server per payment, because it says the same on a busy machine. At the end the books are proven.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, anyhow, ensure};
use hdrhistogram::Histogram;
use tokio_postgres::{Client, Config};

use crate::bench_ledger::{Merchant, Payer, Scratch, Server, Way, connect, own_cpu, prove, seed};

/// `loadtest bench growth --database-url postgres://postgres@localhost/postgres --payments 5000000`
#[derive(clap::Args)]
pub struct Args {
    /// A server on which a scratch database may be created; its role must be a superuser
    #[arg(long, env = "DATABASE_URL")]
    database_url: String,
    /// How far the books grow
    #[arg(long, default_value_t = 5_000_000)]
    payments: u64,
    /// Figures are taken this many times on the way
    #[arg(long, default_value_t = 10)]
    steps: u64,
    /// Concurrent callers
    #[arg(long, default_value_t = 256)]
    callers: usize,
    /// Writers of the group committer
    #[arg(long, default_value_t = 2)]
    writers: usize,
    /// Accounts, three to a book
    #[arg(long, default_value_t = 10_000)]
    accounts: usize,
    /// Write all figures here as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

/// One step of the growth.
#[derive(Clone, Copy, Debug, serde::Serialize)]
struct Step {
    /// Payments in the books at its end.
    payments: u64,
    payments_per_s: f64,
    p50_us: u64,
    p99_us: u64,
    server_cpu_us: f64,
    client_cpu_us: f64,
    wal_bytes: f64,
    /// The journal with its index, on disk at its end.
    journal_mb: f64,
}

/// Grows the books and prints a line per step.
pub async fn run(args: Args) -> anyhow::Result<()> {
    ensure!(
        args.steps >= 2 && args.payments >= args.steps,
        "at least two steps of a payment each"
    );
    let config: Config = args.database_url.parse().context("--database-url")?;
    let admin = connect(&config).await?;
    let scratch = Scratch::new(config, "growth");
    let outcome = tokio::select! {
        outcome = grow(&args, &admin, &scratch) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    };
    scratch.drop(&admin, scratch.template()).await?;
    let steps = outcome?;
    let (first, last) = (&steps[0], &steps[steps.len() - 1]);
    let ratio = last.server_cpu_us / first.server_cpu_us;
    println!("cost of a payment, last step to first: {ratio:.2} in server time");
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&steps)?).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

async fn grow(args: &Args, admin: &Client, scratch: &Scratch) -> anyhow::Result<Vec<Step>> {
    admin
        .batch_execute(&format!("CREATE DATABASE {}", scratch.template()))
        .await?;
    let config = scratch.config_of(scratch.template());
    let merchants = Arc::new(seed(&config, args.accounts.div_ceil(3).max(1)).await?);
    let mut observer = connect(&config).await?;
    let server = Server::of(&observer).await?;
    let payer = Arc::new(Way::Group(args.writers).start(&config, args.writers).await?);
    // Warm caches and plans are not growth.
    drive(&payer, &merchants, args.callers, args.payments.min(20_000)).await?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{:>10} {:>12} {:>8} {:>8} {:>10} {:>10} {:>8} {:>11}",
        "payments", "payments/s", "p50 us", "p99 us", "server us", "client us", "WAL B", "journal MB"
    )?;
    let mut steps = Vec::new();
    let mut payments = args.payments.min(20_000);
    for step in 1..=args.steps {
        let n = args.payments * step / args.steps - args.payments * (step - 1) / args.steps;
        let (server_before, client_before, wal_before) = (server.cpu(), own_cpu(), wal(&observer).await?);
        let begun = Instant::now();
        let latencies = drive(&payer, &merchants, args.callers, n).await?;
        let elapsed = begun.elapsed();
        let (server_cpu, client_cpu) = (server.cpu() - server_before, own_cpu() - client_before);
        let wal_bytes = wal(&observer).await? - wal_before;
        payments += n;
        let size: i64 = observer.query_one(JOURNAL_SIZE, &[]).await?.try_get(0)?;
        let figures = Step {
            payments,
            payments_per_s: n as f64 / elapsed.as_secs_f64(),
            p50_us: latencies.value_at_quantile(0.5),
            p99_us: latencies.value_at_quantile(0.99),
            server_cpu_us: server_cpu.as_secs_f64() * 1e6 / n as f64,
            client_cpu_us: client_cpu.as_secs_f64() * 1e6 / n as f64,
            wal_bytes: wal_bytes as f64 / n as f64,
            journal_mb: size as f64 / 1e6,
        };
        writeln!(
            out,
            "{:>10} {:>12.0} {:>8} {:>8} {:>10.1} {:>10.1} {:>8.0} {:>11.0}",
            figures.payments,
            figures.payments_per_s,
            figures.p50_us,
            figures.p99_us,
            figures.server_cpu_us,
            figures.client_cpu_us,
            figures.wal_bytes,
            figures.journal_mb
        )?;
        steps.push(figures);
    }
    payer.stop().await;
    prove(&mut observer).await?;
    Ok(steps)
}

/// All callers in closed loops until that many payments are made; latencies in microseconds.
pub(crate) async fn drive(
    payer: &Arc<Payer>,
    merchants: &Arc<Vec<Merchant>>,
    callers: usize,
    payments: u64,
) -> anyhow::Result<Histogram<u64>> {
    let begun = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (payer, merchants, begun) = (Arc::clone(payer), Arc::clone(merchants), Arc::clone(&begun));
            tokio::spawn(async move {
                let mut latencies = Histogram::<u64>::new(3)?;
                while begun.fetch_add(1, Ordering::Relaxed) < payments {
                    let merchant = &merchants[rand::random_range(0..merchants.len())];
                    let sent = Instant::now();
                    payer.pay(merchant, rand::random_range(100..100_000)).await?;
                    latencies.record(sent.elapsed().as_micros() as u64)?;
                }
                anyhow::Ok(latencies)
            })
        })
        .collect();
    let mut all = Histogram::new(3)?;
    for task in tasks {
        all.add(task.await??)?;
    }
    Ok(all)
}

async fn wal(observer: &Client) -> Result<i64, tokio_postgres::Error> {
    observer
        .query_one("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint", &[])
        .await?
        .try_get(0)
}

const JOURNAL_SIZE: &str = "
    SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('ledger.journal')";
