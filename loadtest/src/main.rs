//! Measures Counterfoil. Every figure comes with the command that made it, and every run ends with the books proven.

mod bench_export;
mod bench_growth;
mod bench_ledger;
mod bench_reconcile;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about, version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Load at a given rate against a running `counterfoil dev`, then audit what was told, done and booked
    Run(loadtest::run::Args),
    /// Raise the rate until the service no longer keeps up
    FindMax(loadtest::find_max::Args),
    /// The same load while others attack: slow heads, floods of headers, rapid resets, thousands of idle connections
    Attack(loadtest::attack::Args),
    /// The cluster of deploy/ha under load while its parts die, and the proof that nothing acknowledged was lost
    Ha(loadtest::ha::Args),
    /// Measure one part by itself
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Subcommand)]
enum Bench {
    /// The commit path of the ledger: naive, one statement, group commit; on its own scratch database
    Ledger(bench_ledger::Args),
    /// The cost of a payment while the books grow to millions; on its own scratch database
    Growth(bench_growth::Args),
    /// The time to write the books in each format of `ledger export`; on its own scratch database
    Export(bench_export::Args),
    /// The time to match a settlement file with the books, and the memory it takes; on its own scratch database
    Reconcile(bench_reconcile::Args),
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match Cli::parse().command {
        Command::Run(args) => runtime.block_on(loadtest::run::run(args)),
        Command::FindMax(args) => runtime.block_on(loadtest::find_max::run(args)),
        Command::Attack(args) => runtime.block_on(loadtest::attack::run(args)),
        Command::Ha(args) => runtime.block_on(loadtest::ha::run(args)),
        Command::Bench(Bench::Ledger(args)) => runtime.block_on(bench_ledger::run(args)),
        Command::Bench(Bench::Growth(args)) => runtime.block_on(bench_growth::run(args)),
        Command::Bench(Bench::Export(args)) => runtime.block_on(bench_export::run(args)),
        Command::Bench(Bench::Reconcile(args)) => runtime.block_on(bench_reconcile::run(args)),
    }
}
