//! The highest rate that the service keeps up with: raised step by step until latency or acceptance gives way.
//!
//! It must never quote a rate that was not itself run and audited.

use crate::run::{Bench, Load};
use anyhow::{Context, Result, ensure};

#[derive(clap::Args)]
#[command(after_long_help = "Example:
  loadtest find-max --dev /tmp/shop/dev.json --from 1000 --step-percent 25 --limit-ms 50")]
/// Arguments of `loadtest find-max`.
pub struct Args {
    #[command(flatten)]
    load: Load,
    /// The first rate
    #[arg(long, default_value_t = 500)]
    from: u64,
    /// How much more each step offers
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..=400))]
    step_percent: u64,
    /// p99, from the intended send time, that a rate may not exceed
    #[arg(long, default_value_t = 50)]
    limit_ms: u64,
}

/// Steps up until a rate fails, then audits everything.
///
/// # Errors
/// When even the first rate fails, or the audit finds anything.
pub async fn run(args: Args) -> Result<()> {
    let bench = Bench::prepare(args.load).await?;
    let (mut best, mut told, mut rate) = (None, Vec::new(), args.from);
    loop {
        let (figures, acknowledged) = bench.measure(rate).await?;
        figures.print();
        told.extend(acknowledged);
        if !figures.kept_up(KEPT_UP) || figures.latency.p99 > args.limit_ms * 1000 {
            break;
        }
        best = Some(figures);
        rate = rate
            .checked_add((rate * args.step_percent / 100).max(1))
            .context("rate")?;
    }
    let audit = bench.audit(&told).await?;
    ensure!(audit.is_sound(), "the audit found {} differences", audit.wrong);
    let best = best.with_context(|| format!("the service does not keep up with {}/s", args.from))?;
    println!(
        "\nkept up with {}/s: {:.0} accepted/s, p99 {:.1} ms; not with {rate}/s",
        best.offered,
        best.accepted_per_s,
        best.latency.p99 as f64 / 1000.0
    );
    Ok(())
}

/// Share of the offered arrivals that must have been answered as wanted.
const KEPT_UP: f64 = 0.98;
