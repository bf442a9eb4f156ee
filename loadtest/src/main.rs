//! Measures Counterfoil. Every figure comes with the command that made it, and every run ends with the books proven.

mod bench_ledger;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about, version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure one part by itself
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Subcommand)]
enum Bench {
    /// The commit path of the ledger: naive, one statement, group commit; on its own scratch database
    Ledger(bench_ledger::Args),
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match Cli::parse().command {
        Command::Bench(Bench::Ledger(args)) => runtime.block_on(bench_ledger::run(args)),
    }
}
