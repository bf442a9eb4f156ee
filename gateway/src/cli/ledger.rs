//! `counterfoil ledger`: the books, for accountants and auditors. Reads, but for `seal`, `account` and `finance.rs`; `verify` believes
//! nothing that was written.

mod account;
mod partitions;
pub(super) mod seal;

use std::fs::{self, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use ledger::{BookId, balance, export, report};
use serde_json::json;
use tokio_postgres::Client;

use super::deed::Deed;
use super::table::{Align, Table, decimal, minor};
use super::{database, finance, print};

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil ledger verify
  counterfoil ledger prove 0192f0c1-7a3e-7c11-8d2b-5f6a7b8c9d0e
  counterfoil ledger trial-balance --book acct_1 --json
  counterfoil ledger trial-balance --consolidated --as-of 2026-10-31
  counterfoil ledger balance --book acct_1
  counterfoil ledger export --format hledger --output books.journal && hledger -f books.journal check --strict")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

impl Args {
    pub(super) fn deed(&self) -> Option<Deed> {
        match &self.command {
            Command::Verify(_) => None, // it shows sums of what is right, and names what is wrong
            Command::Seal(args) => Some(args.deed()),
            Command::Prove(args) => Some(args.deed()),
            Command::TrialBalance(args) => {
                Some(Deed::new("ledger trial-balance", &args.database).account(args.book.as_deref()))
            }
            Command::Balance(args) => Some(Deed::new("ledger balance", &args.database).account(Some(&args.book))),
            Command::Statement(args) => Some(args.deed()),
            Command::Period(command) => command.deed(),
            Command::Account(command) => command.deed(),
            Command::Journal(command) => command.deed(),
            Command::Export(args) => Some(Deed::new("ledger export", &args.database).account(args.book.as_deref())),
            Command::Partitions(args) => args.deed(),
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Prove the books from their rows; exits 0 only when all of them are right
    #[command(after_long_help = "Examples:
  counterfoil ledger verify --database-url postgresql://auditor@db1/counterfoil
  counterfoil ledger verify --keys seal.keys --head /mnt/auditor/heads.jsonl --state verified.json")]
    Verify(seal::Verify),
    /// Seal now what the service would seal in its next round, and print the signed head
    #[command(after_long_help = "Examples:
  counterfoil ledger seal
  counterfoil ledger seal --keys /etc/counterfoil/seal.keys --create-key --heads /var/lib/counterfoil/heads")]
    Seal(seal::Seal),
    /// Print a proof, as JSON, that a journal is under a signed head, or that one head extends another
    #[command(after_long_help = "Examples:
  counterfoil ledger prove 0192f0c1-7a3e-7c11-8d2b-5f6a7b8c9d0e --head head.json > proof.json
  counterfoil ledger prove --consistency january/head.json february/head.json > proof.json
Check it with nothing of ours: python3 tests/proof/verify.py proof.json --head head.json")]
    Prove(seal::Prove),
    /// Debits, credits and net of every account, and their totals per currency
    #[command(after_long_help = "Example:\n  counterfoil ledger trial-balance --book acct_1")]
    TrialBalance(TrialBalance),
    /// What each account of a book holds, has on hold, and has available
    #[command(after_long_help = "Example:\n  counterfoil ledger balance --book acct_1 --json")]
    Balance(Balance),
    /// Opening balance, lines and closing balance of an account
    #[command(
        after_long_help = "Example:\n  counterfoil ledger statement --book acct_1 --account 2010.usd --from 2026-10-01 --to 2026-10-31"
    )]
    Statement(finance::Statement),
    /// Close and reopen periods
    #[command(
        subcommand,
        after_long_help = "Example:\n  counterfoil ledger period close --up-to 2026-10-31 --by ada"
    )]
    Period(finance::Period),
    /// Close accounts to postings, and reopen them
    #[command(
        subcommand,
        after_long_help = "Example:\n  counterfoil ledger account close --book acct_1 --account 2010.usd --by ann --reason 'FIN-7'"
    )]
    Account(account::Command),
    /// Manual journals: proposed by one person, approved by another
    #[command(
        subcommand,
        after_long_help = "Example:\n  counterfoil ledger journal list --book acct_1 --open"
    )]
    Journal(finance::Journal),
    /// The books in a format that an independent program reads and checks
    #[command(after_long_help = "Examples:
  counterfoil ledger export --format hledger | hledger -f - check --strict ordereddates
  counterfoil ledger export --format beancount --output books.beancount && bean-check books.beancount
  counterfoil ledger export --format csv --book acct_1")]
    Export(Export),
    /// The months of the journal: made ahead, detached when retention says so
    Partitions(partitions::Args),
}

#[derive(clap::Args)]
struct TrialBalance {
    #[command(flatten)]
    database: database::Which,

    /// Only this book: a merchant's account id, or `platform`
    #[arg(long, value_name = "CODE")]
    book: Option<String>,

    /// One line per account over all books
    #[arg(long, conflicts_with = "book")]
    consolidated: bool,

    #[command(flatten)]
    when: finance::When,

    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Balance {
    #[command(flatten)]
    database: database::Which,

    /// The book: a merchant's account id, or `platform`
    #[arg(long, value_name = "CODE")]
    book: String,

    #[command(flatten)]
    when: finance::When,

    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Export {
    #[command(flatten)]
    database: database::Which,

    /// hledger and beancount files end with every balance asserted; csv has one row per line, json one object per journal
    #[arg(long, value_enum)]
    format: Format,

    /// Only this book: a merchant's account id, or `platform`
    #[arg(long, value_name = "CODE")]
    book: Option<String>,

    /// Write to this file, whole or not at all; without it, to standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Hledger,
    Beancount,
    Csv,
    Json,
}

pub(super) async fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Verify(args) => seal::verify(args).await,
        Command::Seal(args) => seal::seal(args).await,
        Command::Prove(args) => seal::prove(args).await,
        Command::TrialBalance(args) => trial_balance(args).await,
        Command::Balance(args) => balances(args).await,
        Command::Statement(args) => finance::statement(args).await,
        Command::Period(command) => finance::period(command).await,
        Command::Account(command) => account::run(command).await,
        Command::Journal(command) => finance::journal(command).await,
        Command::Export(args) => export(args).await,
        Command::Partitions(args) => partitions::run(args).await,
    }
}

async fn trial_balance(args: TrialBalance) -> Result<()> {
    let client = args.database.connect().await?;
    let book = match &args.book {
        Some(code) => Some(book_id(&client, code).await?),
        None => None,
    };
    let mut report = match args.when.as_of() {
        Some(as_of) => report::trial_balance_as_of(&client, book, as_of).await?,
        None => report::trial_balance(&client, book).await?,
    };
    if args.consolidated {
        report = report.consolidated();
    }
    if args.json {
        let rows = report.rows.iter().map(|row| {
            json!({
                "book": row.book_code, "account": row.account.as_str(), "currency": row.account.currency().as_str(),
                "debits": minor(row.debits), "credits": minor(row.credits), "net": minor(row.net()),
            })
        });
        let totals = report.totals.iter().map(|total| {
            json!({ "currency": total.currency.as_str(), "debits": minor(total.debits), "credits": minor(total.credits) })
        });
        let (rows, totals): (Vec<_>, Vec<_>) = (rows.collect(), totals.collect());
        print::line(json!({ "balanced": report.is_balanced(), "rows": rows, "totals": totals }));
    } else {
        const RIGHT: Align = Align::Right;
        let mut table = Table::new(
            &[Align::Left, Align::Left, Align::Left, RIGHT, RIGHT, RIGHT],
            &["book", "account", "title", "debits", "credits", "net"],
        );
        for row in &report.rows {
            let currency = row.account.currency();
            let amounts = [row.debits, row.credits, row.net()].map(|amount| decimal(amount, currency));
            let names = [
                row.book_code.clone(),
                row.account.to_string(),
                row.account.chart().title().to_string(),
            ];
            table.row(names.into_iter().chain(amounts));
        }
        for total in &report.totals {
            let amounts = [total.debits, total.credits, total.debits - total.credits];
            let amounts = amounts.map(|amount| decimal(amount, total.currency));
            let names = ["total".to_string(), total.currency.to_string(), String::new()];
            table.row(names.into_iter().chain(amounts));
        }
        print::text(table.render());
    }
    match report.is_balanced() {
        true => Ok(()),
        false => bail!("debits and credits differ"),
    }
}

async fn balances(args: Balance) -> Result<()> {
    let client = args.database.connect().await?;
    let book = book_id(&client, &args.book).await?;
    let balances = match args.when.as_of() {
        Some(as_of) => balance::as_of(&client, book, as_of).await?,
        None => balance::of_book(&client, book).await?,
    };
    if args.json {
        let rows = balances.iter().map(|balance| {
            json!({
                "account": balance.account.as_str(), "currency": balance.account.currency().as_str(), "open": balance.open,
                "posted": minor(balance.posted()), "available": minor(balance.available()),
                "incoming": balance.incoming(),
            })
        });
        print::line(json!({ "book": args.book, "balances": rows.collect::<Vec<_>>() }));
    } else {
        const RIGHT: Align = Align::Right;
        let mut table = Table::new(
            &[Align::Left, Align::Left, RIGHT, RIGHT, RIGHT, Align::Left],
            &["account", "title", "posted", "available", "incoming", ""],
        );
        for balance in &balances {
            let account = &balance.account;
            let amounts = [balance.posted(), balance.available(), balance.incoming().into()];
            let amounts = amounts.map(|amount| decimal(amount, account.currency()));
            let state = if balance.open {
                String::new()
            } else {
                "closed".to_string()
            };
            let names = [account.to_string(), account.chart().title().to_string()];
            table.row(names.into_iter().chain(amounts).chain([state]));
        }
        print::text(table.render());
    }
    Ok(())
}

async fn export(args: Export) -> Result<()> {
    let mut client = args.database.connect().await?;
    let book = match &args.book {
        Some(code) => Some(book_id(&client, code).await?),
        None => None,
    };
    let Some(path) = &args.output else {
        let mut out = BufWriter::new(std::io::stdout().lock());
        write(&mut client, &mut out, args.format, book).await?;
        return Ok(out.flush()?);
    };
    // Under another name until it is whole: half of the books must not be taken for the books.
    let mut unfinished = path.clone().into_os_string();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished);
    let file = file.with_context(|| format!("writing {}", unfinished.display()))?;
    let mut out = BufWriter::new(file);
    let journals = write(&mut client, &mut out, args.format, book).await?;
    out.into_inner()?.sync_all()?;
    fs::rename(&unfinished, path).with_context(|| format!("writing {}", path.display()))?;
    eprintln!("{journals} journals in {}", path.display());
    Ok(())
}

async fn write(client: &mut Client, out: &mut impl Write, format: Format, book: Option<BookId>) -> Result<u64> {
    let options = export::Options { book };
    Ok(match format {
        Format::Hledger => export::hledger(client, out, options).await,
        Format::Beancount => export::beancount(client, out, options).await,
        Format::Csv => export::csv(client, out, options).await,
        Format::Json => export::json(client, out, options).await,
    }?)
}

/// The book with this code.
pub(super) async fn book_id(client: &Client, code: &str) -> Result<BookId> {
    match client
        .query_opt("SELECT book_id FROM ledger.book WHERE code = $1", &[&code])
        .await?
    {
        Some(row) => Ok(BookId(row.get(0))),
        None => bail!("there is no book {code}"),
    }
}
