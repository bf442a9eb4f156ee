//! `counterfoil close`: the end of a period: what is still to do, who stands for which report, the close, and a reopening.

use anyhow::{Result, bail};
use clap::Subcommand;
use jiff::civil::Date;
use ledger::{AccountName, period};
use serde_json::json;

use super::deed::Deed;
use super::ledger::book_id;
use super::table::{Align, Table};
use super::{database, print};
use crate::closing::{self, Checklist, SIGNERS};
use crate::report;

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil close checklist --up-to 2026-10-31
  counterfoil close sign trial-balance --up-to 2026-10-31 --by ann
  counterfoil close explain --book acct_1 --account 1110.stripe.usd --item pi_1 --reason 'paid with batch 7, FIN-12' --by ann
  counterfoil close period --up-to 2026-10-31 --by ann
  counterfoil close reopen --from 2026-10-01 --by bob --reason 'late invoice FIN-7'")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// What has to be in order before a period is closed; exits 0 only when all is
    #[command(after_long_help = "Example:\n  counterfoil close checklist --up-to 2026-10-31 --json")]
    Checklist {
        #[command(flatten)]
        database: database::Which,
        /// The last day of the period
        #[arg(long, value_name = "DATE")]
        up_to: Date,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Stand for a report of the period as it is now; two people do so for each
    #[command(after_long_help = "Example:\n  counterfoil close sign trial-balance --up-to 2026-10-31 --by ann")]
    Sign {
        #[command(flatten)]
        database: database::Which,
        /// The report
        report: String,
        /// The last day of the period
        #[arg(long, value_name = "DATE")]
        up_to: Date,
        /// Who signs
        #[arg(long, value_name = "PERSON")]
        by: String,
    },
    /// Say why an item of unexplained money is right as it is, for the amount it has now
    #[command(
        after_long_help = "Example:\n  counterfoil close explain --book acct_1 --account 1110.stripe.usd --item pi_1 --reason 'FIN-12' --by ann"
    )]
    Explain {
        #[command(flatten)]
        database: database::Which,
        /// The item's book; `all` for what is of no book alone
        #[arg(long, value_name = "CODE")]
        book: String,
        /// Its account
        #[arg(long, value_name = "NAME")]
        account: AccountName,
        /// The item, as the report names it
        #[arg(long)]
        item: String,
        /// Why
        #[arg(long)]
        reason: String,
        /// Who says so
        #[arg(long, value_name = "PERSON")]
        by: String,
    },
    /// Close every book up to and including a day, when the checklist is in order
    #[command(after_long_help = "Example:\n  counterfoil close period --up-to 2026-10-31 --by ann")]
    Period {
        #[command(flatten)]
        database: database::Which,
        /// The last day of the period
        #[arg(long, value_name = "DATE")]
        up_to: Date,
        /// Who closes
        #[arg(long, value_name = "PERSON")]
        by: String,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Reopen every book from a day on
    #[command(
        after_long_help = "Example:\n  counterfoil close reopen --from 2026-10-01 --by bob --reason 'late invoice FIN-7'"
    )]
    Reopen {
        #[command(flatten)]
        database: database::Which,
        /// The first day to reopen
        #[arg(long, value_name = "DATE")]
        from: Date,
        /// Who reopens
        #[arg(long, value_name = "PERSON")]
        by: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Closings with what was checked, the newest first
    #[command(after_long_help = "Example:\n  counterfoil close list --json")]
    List {
        #[command(flatten)]
        database: database::Which,
        /// For programs: one closing per line, with its checklist
        #[arg(long)]
        json: bool,
    },
}

impl Args {
    pub(super) fn deed(&self) -> Option<Deed> {
        Some(match &self.command {
            Command::Checklist { database, up_to, .. } => Deed::new("close checklist", database).object(up_to),
            Command::Sign {
                database, report, by, ..
            } => Deed::new("close sign", database).object(report).person(by),
            Command::Explain {
                database,
                book,
                item,
                by,
                ..
            } => Deed::new("close explain", database)
                .object(item)
                .account(Some(book))
                .person(by),
            Command::Period {
                database, up_to, by, ..
            } => Deed::new("close period", database).object(up_to).person(by),
            Command::Reopen { database, from, by, .. } => Deed::new("close reopen", database).object(from).person(by),
            Command::List { .. } => return None,
        })
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Checklist { database, up_to, json } => {
            let list = closing::checklist(&mut database.connect().await?, up_to).await?;
            match json {
                true => print::line(list.json()),
                false => print::text(table(&list)),
            }
            match list.is_in_order() {
                true => Ok(()),
                false => bail!("the period cannot be closed yet"),
            }
        }
        Command::Sign {
            database,
            report,
            up_to,
            by,
        } => {
            let client = database.connect().await?;
            let (made, signers) = closing::sign(&client, report::find(&report)?, up_to, &by).await?;
            print::line(format_args!(
                "{} from {}: signed by {} ({} of {SIGNERS})",
                made.report.title,
                made.position.words(),
                signers.join(", "),
                signers.len()
            ));
            Ok(())
        }
        Command::Explain {
            database,
            book,
            account,
            item,
            reason,
            by,
        } => {
            let client = database.connect().await?;
            let id = match book.as_str() {
                "all" => None,
                code => Some((book_id(&client, code).await?, code)),
            };
            let amount = closing::explain(&client, id, account.as_str(), &item, &reason, &by).await?;
            let amount = report::decimal(amount.into(), account.currency());
            print::line(format_args!("{item}: {amount} in {account} is explained"));
            Ok(())
        }
        Command::Period {
            database,
            up_to,
            by,
            reason,
        } => {
            let list = closing::close(&mut database.connect().await?, up_to, &by, reason.as_deref()).await?;
            print::text(table(&list));
            Ok(())
        }
        Command::Reopen {
            database,
            from,
            by,
            reason,
        } => Ok(period::reopen(&database.connect().await?, None, from, &by, &reason).await?),
        Command::List { database, json } => {
            let mut table = Table::new(&[Align::Left; 3], &["closed up to", "by", "at"]);
            for closed in closing::list(&database.connect().await?).await? {
                if json {
                    print::line(json!({
                        "up_to": closed.up_to.to_string(), "by": closed.by, "at": closed.at.to_string(), "checklist": closed.checklist,
                    }));
                    continue;
                }
                table.row([closed.up_to.to_string(), closed.by, closed.at.to_string()]);
            }
            if !json {
                print::text(table.render());
            }
            Ok(())
        }
    }
}

fn table(list: &Checklist) -> String {
    let mut table = Table::new(&[Align::Left; 3], &["", "what", "open"]);
    for item in &list.items {
        let mark = if item.open.is_empty() { "ok" } else { "open" };
        let mut open = item.open.iter();
        table.row([mark.into(), item.name.clone(), open.next().cloned().unwrap_or_default()]);
        for more in open {
            table.row([String::new(), String::new(), more.clone()]);
        }
    }
    table.render()
}
