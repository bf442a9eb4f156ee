//! How long does a settlement file take? Fills a scratch database with captured payments and their journals, writes the acquirer's file
//! of all of them, and runs the real program on it.
//!
//! The goal is 100,000 lines against 100,000 journals in under 15 seconds on two cores, with memory that does not grow with the file: the
//! program's highest resident size is told for a tenth of the lines and for all of them. Run it under `taskset -c 0,1` to give two
//! cores to all processes but the database, which is to be started so as well.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use jiff::{SignedDuration, Timestamp};
use ledger::journal::{Draft, Journal};
use ledger::{AccountName, Chart, Currency, JournalCode, post};
use tokio_postgres::{Client, Config};

use crate::bench_ledger::{Scratch, connect};

/// `loadtest bench reconcile --database-url postgres://postgres@localhost/postgres`
#[derive(clap::Args)]
pub struct Args {
    /// A server on which a scratch database may be created; its role must be a superuser
    #[arg(long, env = "DATABASE_URL")]
    database_url: String,
    /// The program; without it, the one beside this
    #[arg(long)]
    program: Option<PathBuf>,
    /// Lines of the file, and journals in the books
    #[arg(long, default_value_t = 100_000)]
    lines: u32,
}

/// Prints a line per file.
pub async fn run(args: Args) -> anyhow::Result<()> {
    ensure!(args.lines >= 10, "at least ten lines");
    let config: Config = args.database_url.parse().context("--database-url")?;
    let admin = connect(&config).await?;
    let scratch = Scratch::new(config, "reconcile");
    let outcome = tokio::select! {
        outcome = measure(&args, &admin, &scratch) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    };
    scratch.drop(&admin, scratch.template()).await?;
    outcome
}

async fn measure(args: &Args, admin: &Client, scratch: &Scratch) -> anyhow::Result<()> {
    let program = match &args.program {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("counterfoil"),
    };
    let database = scratch.template();
    admin.batch_execute(&format!("CREATE DATABASE {database}")).await?;
    let url = url(&args.database_url, database)?;
    let migrated = Command::new(&program)
        .args(["migrate", "--database-url", &url])
        .stdout(Stdio::null())
        .status()?;
    ensure!(migrated.success(), "{} migrate", program.display());
    let mut client = connect(&scratch.config_of(database)).await?;
    let folder = std::env::temp_dir().join(format!("counterfoil-{database}"));
    fs::create_dir_all(&folder)?;
    let now = Timestamp::now();
    let mut out = std::io::stdout();
    writeln!(out, "{:>10} {:>10} {:>10} {:>10}", "lines", "journals", "seconds", "MB")?;
    // A month apart, so that the second file is not about the first one's payments.
    for (part, lines) in [args.lines / 10, args.lines].into_iter().enumerate() {
        let day = now - SignedDuration::from_hours(24 * (20 - 10 * part as i64));
        fill(&mut client, part, lines, day).await?;
        let file = folder.join(format!("{lines}.csv"));
        write(&file, part, lines, day)?;
        let (took, peak_kb) = reconcile(&program, &file, &url)?;
        writeln!(
            out,
            "{lines:>10} {lines:>10} {:>10.2} {:>10.1}",
            took.as_secs_f64(),
            peak_kb as f64 / 1024.0
        )?;
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Payments of one day and their captures, as the gateway leaves them.
async fn fill(client: &mut Client, part: usize, lines: u32, day: Timestamp) -> anyhow::Result<()> {
    let book = ledger::open_book(client, "acct_bench", "bench").await?;
    let usd = Currency::USD;
    let receivable = AccountName::new(Chart::AcquirerReceivable, Some("stripe"), usd)?;
    let pending = AccountName::of(Chart::MerchantPending, usd);
    ledger::open(client, book, &[receivable.clone(), pending.clone()]).await?;
    let charges = "INSERT INTO gateway.charge (book_id, id, version, payment_id, status, amount, currency, amount_captured, amount_refunded,
            captured, disputed, capture_wanted, payment_method_id, connector, acquirer_id, acquirer_reference, fee, card, risk, context, swept,
            created_at)
        SELECT $1, 'ch_ours' || $2 || 'x' || n, 1, 'pi_ours' || $2 || 'x' || n, 'succeeded', 1000 + n % 5000, 'usd', 1000 + n % 5000, 0,
            true, false, true, 'pm_1', 'stripe', 'pi_theirs' || $2 || 'x' || n, 'ch_theirs' || $2 || 'x' || n, 0, '{}', '{}', '{}', 0, $4
        FROM generate_series(0, $3::integer - 1) n";
    client
        .execute(charges, &[&book.0, &part.to_string(), &(lines as i32), &day])
        .await?;
    let numbers: Vec<u32> = (0..lines).collect();
    for chunk in numbers.chunks(1000) {
        let capture = |n: &u32| {
            let amount = amount(*n);
            let draft = Draft::new(book, JournalCode::J03, day).reference(format!("ch_ours{part}x{n}"));
            draft
                .debit(receivable.clone(), amount)
                .credit(pending.clone(), amount)
                .balance()
        };
        let journals = chunk.iter().map(capture).collect::<Result<Vec<Journal>, _>>()?;
        let tx = client.transaction().await?;
        post::post(&tx, &journals.iter().collect::<Vec<_>>()).await?;
        tx.commit().await?;
    }
    client
        .batch_execute("ANALYZE gateway.charge; ANALYZE ledger.journal")
        .await?;
    Ok(())
}

/// The acquirer's report of them.
fn write(path: &Path, part: usize, lines: u32, day: Timestamp) -> anyhow::Result<()> {
    let mut out = BufWriter::new(fs::File::create(path)?);
    writeln!(
        out,
        "automatic_payout_id,balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,source_id,charge_id,payment_intent_id"
    )?;
    let at = day.strftime("%Y-%m-%d %H:%M:%S").to_string();
    for n in 0..lines {
        let (major, minor) = (amount(n) / 100, amount(n) % 100);
        let charge = format!("ch_theirs{part}x{n}");
        writeln!(
            out,
            "po_{part},txn_{part}x{n},{at},usd,{major}.{minor:02},0.00,{major}.{minor:02},charge,{charge},{charge},pi_theirs{part}x{n}"
        )?;
    }
    Ok(out.flush()?)
}

/// Wall time and highest resident size, in kB, of the program on this file; every line must match.
fn reconcile(program: &Path, file: &Path, url: &str) -> anyhow::Result<(Duration, u64)> {
    let begun = Instant::now();
    let mut child = Command::new(program)
        .arg("reconcile")
        .arg(file)
        .args(["--format", "stripe-itemized", "--json", "--database-url", url])
        .stdout(Stdio::piped())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kb = 0;
    while child.try_wait()?.is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kb = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
        peak_kb = peak_kb.max(kb.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = begun.elapsed();
    let output = child.wait_with_output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && told.contains("\"breaks\":[]"),
        "not all lines match: {told:.300}"
    );
    Ok((took, peak_kb))
}

fn amount(n: u32) -> i64 {
    i64::from(1000 + n % 5000)
}

/// The same server, another database.
fn url(server: &str, database: &str) -> anyhow::Result<String> {
    let (base, _) = server.rsplit_once('/').context("--database-url has no database")?;
    Ok(format!("{base}/{database}"))
}
