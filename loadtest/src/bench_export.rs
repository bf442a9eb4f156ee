//! How long does an export take? Fills a scratch database through the group committer, then writes all of it in each format.
//!
//! The goal is 100,000 journals in under ten seconds on two cores. Bytes are counted and dropped, so that the disk is not
//! what is measured; reading the snapshot, checking and formatting are. Each format is written several times, and the
//! median is told. The books are proven before.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use ledger::export::{self, Options};
use tokio_postgres::{Client, Config};

use crate::bench_growth::drive;
use crate::bench_ledger::{Scratch, Way, connect, prove, seed};

/// `loadtest bench export --database-url postgres://postgres@localhost/postgres`
#[derive(clap::Args)]
pub struct Args {
    /// A server on which a scratch database may be created; its role must be a superuser
    #[arg(long, env = "DATABASE_URL")]
    database_url: String,
    /// Journals in the books
    #[arg(long, default_value_t = 100_000)]
    journals: u64,
    /// Times that each format is written
    #[arg(long, default_value_t = 5)]
    repeats: usize,
}

/// Prints a line per format.
pub async fn run(args: Args) -> anyhow::Result<()> {
    ensure!(
        args.journals > 0 && args.repeats > 0,
        "at least one journal and one repeat"
    );
    let config: Config = args.database_url.parse().context("--database-url")?;
    let admin = connect(&config).await?;
    let scratch = Scratch::new(config, "export");
    let outcome = tokio::select! {
        outcome = measure(&args, &admin, &scratch) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    };
    scratch.drop(&admin, scratch.template()).await?;
    outcome
}

async fn measure(args: &Args, admin: &Client, scratch: &Scratch) -> anyhow::Result<()> {
    admin
        .batch_execute(&format!("CREATE DATABASE {}", scratch.template()))
        .await?;
    let config = scratch.config_of(scratch.template());
    let merchants = Arc::new(seed(&config, 1_000).await?);
    let payer = Arc::new(Way::Group(2).start(&config, 2).await?);
    drive(&payer, &merchants, 256, args.journals).await?;
    payer.stop().await;
    let mut client = connect(&config).await?;
    prove(&mut client).await?;
    let mut out = io::stdout();
    writeln!(out, "{:<10} {:>10} {:>8} {:>8}", "format", "journals", "MB", "seconds")?;
    for format in ["hledger", "beancount", "csv", "json"] {
        let mut times = Vec::with_capacity(args.repeats);
        let mut bytes = 0;
        for _ in 0..args.repeats {
            let (took, written) = once(&mut client, format, args.journals).await?;
            times.push(took);
            bytes = written;
        }
        times.sort();
        let (median, mb) = (times[times.len() / 2].as_secs_f64(), bytes as f64 / 1e6);
        writeln!(out, "{format:<10} {:>10} {mb:>8.1} {median:>8.2}", args.journals)?;
    }
    Ok(())
}

/// Writes all books once: how long it took, and how many bytes it made.
async fn once(client: &mut Client, format: &str, journals: u64) -> anyhow::Result<(Duration, u64)> {
    let mut out = BufWriter::new(Counted::default());
    let begun = Instant::now();
    let options = Options::default();
    let written = match format {
        "hledger" => export::hledger(client, &mut out, options).await?,
        "beancount" => export::beancount(client, &mut out, options).await?,
        "csv" => export::csv(client, &mut out, options).await?,
        _ => export::json(client, &mut out, options).await?,
    };
    out.flush()?;
    let took = begun.elapsed();
    ensure!(written == journals, "{format}: {written} journals of {journals}");
    Ok((took, out.get_ref().0))
}

/// Counts what is written and drops it.
#[derive(Default)]
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
