//! `counterfoil payouts`: what banks said of payouts, read from their files.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::json;

use super::deed::Deed;
use super::table::{Align, Table};
use super::{database, print};
use crate::funds::file::pain002::{self, Meaning};
use crate::funds::file::{self, Notice};
use crate::funds::state::Fact;

#[derive(clap::Args)]
#[command(after_long_help = "Example:\n  counterfoil payouts status pain002.xml")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read a bank's answer to a payout file (pain.002); exits 1 when a reference in it is none of ours
    #[command(
        after_long_help = "The serving process applies what is new within seconds; the same file again changes nothing. That money has left
our account is said by a statement, not by this file.

Examples:
  counterfoil payouts status pain002.xml
  counterfoil payouts status pain002.xml --json"
    )]
    Status {
        #[command(flatten)]
        database: database::Which,
        /// The bank's file
        file: PathBuf,
        /// For programs: one payout per line
        #[arg(long)]
        json: bool,
    },
}

impl Args {
    pub(super) fn deed(&self) -> Option<Deed> {
        match &self.command {
            Command::Status { database, file, .. } => {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                Some(Deed::new("payouts status", database).object(name))
            }
        }
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    let Command::Status { database, file, json } = args.command;
    let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    let report = pain002::read(&bytes).with_context(|| format!("{}", file.display()))?;
    let source = format!(
        "{} {}",
        file.file_name().unwrap_or_default().to_string_lossy(),
        report.original
    );
    let source: String = source.trim().chars().take(255).collect();
    let client = database.connect().await?;
    let mut said = report.payouts;
    // A file that is refused as a whole names no payouts: all that are in it are.
    if let Some(word) = report
        .group
        .filter(|word| matches!(word.meaning(), Meaning::Rejected(_)))
    {
        for payout in file::of_message(&client, &report.original).await? {
            if !said.iter().any(|(known, _)| *known == payout) {
                said.push((payout, word.clone()));
            }
        }
    }
    let mut unknown = report.foreign;
    let mut table = Table::new(&[Align::Left; 4], &["payout", "status", "reason", ""]);
    for (payout, word) in said {
        let fact = match word.meaning() {
            Meaning::Accepted => Some(Fact::Sent),
            Meaning::Rejected(code) => Some(Fact::Failed {
                code: code.to_owned(),
                message: word.text.clone().or_else(|| word.reason.clone()),
            }),
            Meaning::Nothing => None,
        };
        let noted = match &fact {
            None => "nothing to do",
            Some(fact) => {
                let notice = Notice {
                    payout_id: &payout,
                    fact,
                    reference: None,
                    source: &source,
                };
                match file::note(&client, &notice).await? {
                    Some(true) => "noted",
                    Some(false) => "known already",
                    None => {
                        unknown.push(payout.clone());
                        "unknown"
                    }
                }
            }
        };
        let reason = word.reason.unwrap_or_default();
        if json {
            print::line(json!({ "payout": payout, "status": word.status, "reason": reason, "result": noted }));
        }
        table.row([payout, word.status, reason, noted.to_owned()]);
    }
    if !json {
        print::text(table.render());
    }
    if !unknown.is_empty() {
        let shown: Vec<String> = unknown.iter().map(|text| text.replace(char::is_control, "?")).collect();
        bail!("not payouts of ours: {}", shown.join(", "));
    }
    Ok(())
}
