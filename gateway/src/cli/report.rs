//! `counterfoil report NAME`: a report of the books as a table, or as a file that is the same for ever.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use ledger::AccountName;
use tokio_postgres::Client;

use super::deed::Deed;
use super::ledger::book_id;
use super::table::{Align, Table};
use super::{database, finance, print};
use crate::report::{self, Ask, Format, Kind, Made, REPORTS, Which};

#[derive(clap::Args)]
#[command(
    after_long_help = "Reports: account-statement, activity, ageing, balance-sheet, disputes-and-refunds, fees-and-tax, income,
merchant-statement, reconciliation, safeguarding, settlement, trial-balance, unexplained-money. Without a name, what each tells.

A report names the position of the books that it was made from. Asked for again with --position it is the same, byte for byte,
whatever was booked since.

Examples:
  counterfoil report trial-balance --consolidated --as-of 2026-10-31
  counterfoil report income --from 2026-10-01 --to 2026-10-31 --format pdf --out income.pdf
  counterfoil report merchant-statement --book acct_1 --from 2026-10-01 --format csv
  counterfoil report unexplained-money --format json
  counterfoil report safeguarding --position page:42 --format csv"
)]
pub(super) struct Args {
    #[command(flatten)]
    database: database::Which,

    /// Which report; without it, all are listed
    name: Option<String>,

    /// As a file: csv, json or pdf; without it, a table
    #[arg(long)]
    format: Option<Format>,

    /// Where to; without it, standard output. A folder gets a file named by the report and its position
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,

    #[command(flatten)]
    of: Of,
}

/// What a report is of.
#[derive(clap::Args)]
pub(super) struct Of {
    /// One book: a merchant's account id, or `platform`; without it, every book
    #[arg(long, value_name = "CODE")]
    book: Option<String>,

    /// All books as one
    #[arg(long, conflicts_with = "book")]
    consolidated: bool,

    /// Of an account statement: the account, e.g. 2010.usd
    #[arg(long, value_name = "NAME")]
    account: Option<AccountName>,

    /// From the start of this day (UTC), or from this instant
    #[arg(long, value_name = "DATE|TIME", value_parser = finance::start)]
    from: Option<Timestamp>,

    /// To the end of this day (UTC), or to this instant
    #[arg(long, visible_alias = "as-of", value_name = "DATE|TIME", value_parser = finance::end)]
    to: Option<Timestamp>,

    /// What the books had recorded: `newest`, `sealed`, `page:N` for a sealed page, or the id of the last journal that counts
    #[arg(long, default_value = "newest")]
    position: Which,
}

impl Args {
    pub(super) fn deed(&self) -> Option<Deed> {
        self.name.as_ref().map(|name| {
            let name: String = name.chars().take(64).collect();
            Deed::new("report", &self.database)
                .object(name)
                .account(self.of.book.as_deref())
        })
    }
}

impl Of {
    pub(super) async fn ask(&self, client: &Client) -> Result<Ask> {
        let book = match &self.book {
            Some(code) => Some((book_id(client, code).await?, code.clone())),
            None => None,
        };
        Ok(Ask {
            book,
            consolidated: self.consolidated,
            account: self.account.clone(),
            from: self.from,
            to: self.to,
            position: self.position,
        })
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    let Some(name) = &args.name else {
        let mut table = Table::new(&[Align::Left, Align::Left], &["report", "tells"]);
        for report in REPORTS {
            table.row([report.name.replace('_', "-"), report.about.to_owned()]);
        }
        print::text(table.render());
        return Ok(());
    };
    let report = report::find(name)?;
    let client = args.database.connect().await?;
    let made = report::make(&client, report, args.of.ask(&client).await?).await?;
    let Some(format) = args.format.or(args.out.is_some().then_some(Format::Csv)) else {
        print::text(table(&made));
        return Ok(());
    };
    let bytes = made.render(format);
    match &args.out {
        None => Ok(std::io::stdout().lock().write_all(&bytes)?),
        Some(path) => {
            let path = match path.is_dir() {
                true => path.join(made.file_name(format)),
                false => path.clone(),
            };
            write(&path, &bytes)?;
            eprintln!("{} rows in {}", made.rows.len(), path.display());
            Ok(())
        }
    }
}

/// A file for its owner's eyes, whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let mut open = fs::OpenOptions::new();
    let file = open
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished);
    let mut file = file.with_context(|| format!("writing {}", path.display()))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path).with_context(|| format!("writing {}", path.display()))
}

/// For a terminal: what it is, then the rows.
pub(super) fn table(made: &Made) -> String {
    let mut text = String::new();
    for (label, words) in made.heading() {
        text.push_str(&format!("{label}: {words}\n"));
    }
    let side = |column: &report::Column| match column.kind {
        Kind::Money | Kind::Count => Align::Right,
        _ => Align::Left,
    };
    let align: Vec<Align> = made.report.columns.iter().map(side).collect();
    let names: Vec<&str> = made.report.columns.iter().map(|column| column.name).collect();
    let mut table = Table::new(&align, &names);
    for row in &made.rows {
        // References may come from files of others: nothing in them is for the terminal.
        table.row(row.iter().map(|cell| cell.words().replace(char::is_control, "?")));
    }
    text.push('\n');
    text.push_str(&table.render());
    text
}
