//! Normal load while others attack: what an attack costs those who pay.
//!
//! The same open-loop load is measured first in peace, then under each attack, then in peace again. Attackers come from another
//! address of loopback, are bounded in number and time, and are gone before the next measurement. It must never be pointed at
//! a machine that is not this one.

mod attackers;

use crate::run::{Bench, Figures, Load};
use anyhow::{Context, Result, ensure};
use attackers::{Attackers, Kind};
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil dev --dir /tmp/shop --permissive-scorer &
  loadtest attack --dev /tmp/shop/dev.json --rate 500 --seconds 20
  loadtest attack --dev /tmp/shop/dev.json --only idle --idle 10000")]
/// Arguments of `loadtest attack`.
pub struct Args {
    #[command(flatten)]
    load: Load,
    /// Honest arrivals per second
    #[arg(long, default_value_t = 300)]
    rate: u64,
    /// Only these attacks
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Kind>,
    /// Connections that rest, for the attack of that name
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=18_000))]
    idle: u64,
    /// How many times the p99 of peace an attack may cost
    #[arg(long, default_value_t = 2.0)]
    ratio: f64,
    /// What the service may occupy with the idle connections, megabytes
    #[arg(long, default_value_t = 200)]
    memory_mb: u64,
    /// Write all figures here as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures in peace and under each attack, then audits.
///
/// # Errors
/// When an attack costs more than allowed, honest requests fail, the memory is too much, or the audit finds anything.
pub async fn run(args: Args) -> Result<()> {
    let bench = Bench::prepare(args.load).await?;
    bench.target.must_be_loopback()?;
    let (peace, mut told) = bench.measure(args.rate).await?;
    let memory_before = bench.processes.gateway_memory();
    println!("peace: {}", line(&peace));
    let (mut rows, mut wrong) = (vec![("peace", peace)], Vec::new());
    for kind in Kind::all(&args.only) {
        let attackers = Attackers::start(kind, &bench.target, args.idle)
            .await
            .with_context(|| kind.name())?;
        let memory = bench.processes.gateway_memory();
        let (figures, acknowledged) = bench.measure(args.rate).await?;
        told.extend(acknowledged);
        let (done, open) = attackers.stop().await;
        println!("{}: {}; {done}", kind.name(), line(&figures));
        if kind == Kind::Idle {
            let each = memory.saturating_sub(memory_before) / open.max(1);
            println!(
                "  memory of the service: {} MB before, {} MB with {open} connections, {each} bytes each",
                memory_before >> 20,
                memory >> 20
            );
            if memory >> 20 > args.memory_mb {
                wrong.push(format!(
                    "{} MB with idle connections, {} are allowed",
                    memory >> 20,
                    args.memory_mb
                ));
            }
        }
        let cost = figures.latency.p99 as f64 / rows[0].1.latency.p99.max(1) as f64;
        if cost > args.ratio {
            wrong.push(format!("{} costs {cost:.1} times the p99 of peace", kind.name()));
        }
        if !figures.errors.is_empty() || figures.not_sent > 0 {
            wrong.push(format!(
                "under {} honest requests failed: {:?}, {} not sent",
                kind.name(),
                figures.errors,
                figures.not_sent
            ));
        }
        rows.push((kind.name(), figures));
        tokio::time::sleep(REST).await;
    }
    if let Some(path) = &args.json {
        let rows: serde_json::Map<_, _> = rows
            .iter()
            .map(|(name, figures)| Ok(((*name).to_owned(), serde_json::to_value(figures)?)))
            .collect::<Result<_>>()?;
        std::fs::write(path, serde_json::to_vec_pretty(&rows)?).with_context(|| path.display().to_string())?;
    }
    let audit = bench.audit(&told).await?;
    ensure!(audit.is_sound(), "the audit found {} differences", audit.wrong);
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(())
}

fn line(figures: &Figures) -> String {
    let ms = |us: u64| us as f64 / 1000.0;
    format!(
        "{:.0} of {}/s accepted, p50 {:.1} ms, p99 {:.1} ms, own p99 {:.1} ms, {} MB",
        figures.accepted_per_s,
        figures.offered,
        ms(figures.latency.p50),
        ms(figures.latency.p99),
        ms(figures.own.p99),
        figures.gateway_memory_bytes >> 20
    )
}

/// Between two attacks, for what the service still has to close.
const REST: Duration = Duration::from_secs(2);
