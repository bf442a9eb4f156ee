//! `counterfoil risk generate`: histories for back-tests, from the simulator's population.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use simulator::transactions::{Population, write_csv};

#[derive(clap::Args)]
#[command(after_long_help = "Example:
  counterfoil risk generate --seed 7 --out history.csv.gz

Without sizes: 5,000 customers, 10,000 terminals and 183 days, about 1.75 million payments and 0.8 % fraud, after the parameters
that the Fraud Detection Handbook publishes. The same seed gives the same file.")]
pub(super) struct Args {
    /// Seed of all randomness
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Customers
    #[arg(long, default_value_t = 5_000)]
    customers: usize,
    /// Terminals
    #[arg(long, default_value_t = 10_000)]
    terminals: usize,
    /// Days
    #[arg(long, default_value_t = 183)]
    days: usize,
    /// Where to write; a name that ends in .gz is compressed
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<()> {
    ensure!(
        (1..=1_000_000).contains(&args.customers)
            && (1..=1_000_000).contains(&args.terminals)
            && (1..=3_650).contains(&args.days),
        "customers and terminals are 1 to 1,000,000, days 1 to 3,650"
    );
    let population = Population {
        seed: args.seed,
        customers: args.customers,
        terminals: args.terminals,
        days: args.days,
        ..Population::default()
    };
    let transactions = population.transactions();
    let shown = args.out.display();
    let file = File::create(&args.out).with_context(|| format!("cannot write {shown}"))?;
    let file = BufWriter::new(file);
    let written = if args.out.extension().is_some_and(|extension| extension == "gz") {
        let mut gzip = GzEncoder::new(file, Compression::default());
        write_csv(&transactions, &mut gzip).and_then(|()| gzip.finish()?.flush())
    } else {
        let mut file = file;
        write_csv(&transactions, &mut file).and_then(|()| file.flush())
    };
    written.with_context(|| format!("cannot write {shown}"))?;
    let frauds = transactions.iter().filter(|payment| payment.scenario > 0).count();
    super::super::print::line(format_args!(
        "{shown}: {} payments, {frauds} of them fraud",
        transactions.len()
    ));
    Ok(())
}
