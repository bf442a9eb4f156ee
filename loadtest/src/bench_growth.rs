//! Does a payment cost the same when the books have grown? Posts millions of payments through the group committer into one
//! database and measures every step of the way.
//!
//! The worst case for growth: all of them in one month, so in one partition, spread over all books, so that each book's end
//! of the primary key is touched again and again. Checkpoints run as they come and are part of the cost. The measure is
//! the processor time of the server per payment, because it says the same on a busy machine. A shared machine changes its
//! speed within minutes all the same: so at the end the grown books and fresh ones are measured in turn, and the median of
//! the pairs' ratios is the answer. Then the books are proven.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, anyhow, ensure};
use hdrhistogram::Histogram;
use tokio_postgres::{Client, Config};

use crate::bench_ledger::{Merchant, Payer, Scratch, Server, Way, connect, own_cpu, prove, proven, seed};

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
    /// `post-N`: journals alone; `group-N`: each with a payment's row and its random key in a table of the bench
    #[arg(long, default_value = "group-2")]
    way: Way,
    /// Accounts, three to a book
    #[arg(long, default_value_t = 10_000)]
    accounts: usize,
    /// At the end, slices on the grown books and on fresh ones are compared in so many pairs
    #[arg(long, default_value_t = 9)]
    pairs: usize,
    /// Payments in a slice
    #[arg(long, default_value_t = 100_000)]
    slice: u64,
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
    scratch.drop(&admin, &scratch.copy()).await?;
    let steps = outcome?;
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
    let payer = Arc::new(args.way.start(&config, args.callers).await?);
    drive(&payer, &merchants, args.callers, args.payments.min(WARM_UP)).await?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{:>10} {:>12} {:>8} {:>8} {:>10} {:>10} {:>8} {:>11}",
        "payments", "payments/s", "p50 us", "p99 us", "server us", "client us", "WAL B", "journal MB"
    )?;
    let mut steps = Vec::new();
    let mut payments = args.payments.min(WARM_UP);
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
    let mut ratios = Vec::with_capacity(args.pairs);
    for pair in 1..=args.pairs {
        let fresh = fresh(args, admin, scratch).await?;
        // They change places from pair to pair, so that a trend of the machine falls on both alike.
        let grown_first = pair.is_multiple_of(2);
        let mut cost = [0.0; 2];
        for grown in [grown_first, !grown_first] {
            let (payer, merchants) = if grown {
                (&payer, &merchants)
            } else {
                (&fresh.0, &fresh.1)
            };
            let before = server.cpu();
            drive(payer, merchants, args.callers, args.slice).await?;
            cost[usize::from(grown)] = (server.cpu() - before).as_secs_f64() * 1e6 / args.slice as f64;
        }
        fresh.0.stop().await;
        let [new, old] = cost;
        writeln!(
            out,
            "pair {pair}: {new:.1} us of the server in fresh books, {old:.1} in the grown ones"
        )?;
        ratios.push(old / new);
    }
    ratios.sort_by(f64::total_cmp);
    if let (Some(least), Some(median), Some(most)) = (ratios.first(), ratios.get(ratios.len() / 2), ratios.last()) {
        writeln!(
            out,
            "cost in the grown books to that in fresh ones: {median:.2} (median of {}, {least:.2} to {most:.2})",
            args.pairs
        )?;
    }
    payer.stop().await;
    match args.way {
        Way::Post(_) => proven(&mut observer).await?,
        _ => prove(&mut observer).await?,
    }
    Ok(steps)
}

/// New books, with warm plans, in place of the last pair's.
async fn fresh(args: &Args, admin: &Client, scratch: &Scratch) -> anyhow::Result<(Arc<Payer>, Arc<Vec<Merchant>>)> {
    let name = scratch.copy();
    scratch.drop(admin, &name).await?;
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await?;
    let config = scratch.config_of(&name);
    let merchants = Arc::new(seed(&config, args.accounts.div_ceil(3).max(1)).await?);
    let payer = Arc::new(args.way.start(&config, args.callers).await?);
    drive(&payer, &merchants, args.callers, WARM_UP).await?;
    Ok((payer, merchants))
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

/// Warm caches and plans are not growth.
const WARM_UP: u64 = 20_000;

const JOURNAL_SIZE: &str = "
    SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('ledger.journal')";
