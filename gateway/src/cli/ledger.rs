//! `counterfoil ledger`: the books, for accountants and auditors. Reads only; `verify` believes nothing that was written.

use anyhow::{Result, bail};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use ledger::{BookId, balance, report, verify};
use serde_json::json;
use tokio_postgres::Client;

use super::database;
use super::table::{Align, Table, decimal, minor};

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil ledger verify
  counterfoil ledger trial-balance --book acct_1 --json
  counterfoil ledger balance --book platform")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prove the books from their rows; exits 0 only when all of them are right
    #[command(
        after_long_help = "Example:\n  counterfoil ledger verify --database-url postgresql://auditor@db1/counterfoil"
    )]
    Verify(Verify),
    /// Debits, credits and net of every account, and their totals per currency
    #[command(after_long_help = "Example:\n  counterfoil ledger trial-balance --book acct_1")]
    TrialBalance(TrialBalance),
    /// What each account of a book holds, has on hold, and has available
    #[command(after_long_help = "Example:\n  counterfoil ledger balance --book acct_1 --json")]
    Balance(Balance),
}

#[derive(clap::Args)]
struct Verify {
    #[command(flatten)]
    database: database::Which,

    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct TrialBalance {
    #[command(flatten)]
    database: database::Which,

    /// Only this book: a merchant's account id, or `platform`
    #[arg(long, value_name = "CODE")]
    book: Option<String>,

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

    /// For programs
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Verify(args) => prove(args).await,
        Command::TrialBalance(args) => trial_balance(args).await,
        Command::Balance(args) => balances(args).await,
    }
}

async fn prove(args: Verify) -> Result<()> {
    let mut client = args.database.connect().await?;
    let progress = ProgressBar::new_spinner().with_style(ProgressStyle::with_template(
        "{spinner} {human_pos} journals, {elapsed}",
    )?);
    let mut report = verify::verify(&mut client, |journals| progress.set_position(journals)).await?;
    report.checks.extend(crate::audit::audit(&mut client).await?);
    progress.finish_and_clear();
    if args.json {
        let checks = report.checks.iter().map(|check| {
            json!({ "name": check.name, "rows": check.rows, "wrong": check.wrong, "first_wrong": check.first_wrong })
        });
        println!(
            "{}",
            json!({ "ok": report.is_ok(), "checks": checks.collect::<Vec<_>>() })
        );
    } else {
        let mut table = Table::new(
            &[Align::Left, Align::Right, Align::Right, Align::Left],
            &["check", "rows", "wrong", "first wrong"],
        );
        for check in &report.checks {
            let first = check.first_wrong.clone().unwrap_or_default();
            table.row([
                check.name.to_string(),
                check.rows.to_string(),
                check.wrong.to_string(),
                first,
            ]);
        }
        print!("{}", table.render());
    }
    match report.is_ok() {
        true => Ok(()),
        false => bail!("the books are wrong"),
    }
}

async fn trial_balance(args: TrialBalance) -> Result<()> {
    let client = args.database.connect().await?;
    let book = match &args.book {
        Some(code) => Some(book_id(&client, code).await?),
        None => None,
    };
    let report = report::trial_balance(&client, book).await?;
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
        println!(
            "{}",
            json!({ "balanced": report.is_balanced(), "rows": rows, "totals": totals })
        );
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
        print!("{}", table.render());
    }
    match report.is_balanced() {
        true => Ok(()),
        false => bail!("debits and credits differ"),
    }
}

async fn balances(args: Balance) -> Result<()> {
    let client = args.database.connect().await?;
    let book = book_id(&client, &args.book).await?;
    let balances = balance::of_book(&client, book).await?;
    if args.json {
        let rows = balances.iter().map(|balance| {
            json!({
                "account": balance.account.as_str(), "currency": balance.account.currency().as_str(), "open": balance.open,
                "posted": minor(balance.posted()), "available": minor(balance.available()),
                "incoming": balance.incoming(),
            })
        });
        println!("{}", json!({ "book": args.book, "balances": rows.collect::<Vec<_>>() }));
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
        print!("{}", table.render());
    }
    Ok(())
}

async fn book_id(client: &Client, code: &str) -> Result<BookId> {
    match client
        .query_opt("SELECT book_id FROM ledger.book WHERE code = $1", &[&code])
        .await?
    {
        Some(row) => Ok(BookId(row.get(0))),
        None => bail!("there is no book {code}"),
    }
}
