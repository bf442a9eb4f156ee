//! `counterfoil audit`: the audit log read, exported, and proved. Each look at its rows is in it.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Subcommand;
use jiff::Timestamp;
use ledger::seal::verify::{Options, Progress, verify_series};
use ledger::verify::Report;
use serde_json::json;

use super::deed::Deed;
use super::ledger::seal::{KeyFile, of_dev, raise_alarm, read_heads, spinner, table as report_table};
use super::table::{Align, Table};
use super::{database, finance, print};
use crate::audit_log::{self, Query, events, export};

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil audit verify
  counterfoil audit export --since 2026-11-01 --json > november.jsonl
  counterfoil audit export --actor key_01h2xcejqtf2nbrexx3vqjhp41")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prove the log from its rows, and name the first that is wrong; exits 0 only when all are right
    #[command(after_long_help = "Examples:
  counterfoil audit verify --database-url postgresql://auditor@db1/counterfoil
  counterfoil audit verify --keys seal.keys --head /mnt/auditor/audit-heads.jsonl")]
    Verify(Verify),
    /// Print the log, oldest first
    #[command(after_long_help = "Example:\n  counterfoil audit export --since 2026-11-01 --json > november.jsonl")]
    Export(Export),
}

#[derive(clap::Args)]
struct Verify {
    #[command(flatten)]
    database: database::Which,

    #[command(flatten)]
    keys: KeyFile,

    /// An exported head (audit-head.json), or a log of them (audit-heads.jsonl), that the log must still have; may be given again.
    /// Without it, that of the development folder is used, if it is there
    #[arg(long, value_name = "FILE")]
    head: Vec<PathBuf>,

    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Export {
    #[command(flatten)]
    database: database::Which,

    /// From the start of this day (UTC), or from this instant
    #[arg(long, value_name = "DATE|TIME", value_parser = finance::start)]
    since: Option<Timestamp>,

    /// To the end of this day (UTC), or to this instant
    #[arg(long, value_name = "DATE|TIME", value_parser = finance::end)]
    until: Option<Timestamp>,

    /// Only by this key or operator
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,

    /// Only about this object
    #[arg(long, value_name = "ID")]
    object: Option<String>,

    /// For programs: one event per line
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn deed(&self) -> Option<Deed> {
        match &self.command {
            Command::Verify(_) => None, // it shows counts, and names what is wrong
            Command::Export(args) => Some(Deed::new("audit export", &args.database)),
        }
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Verify(args) => verify(args).await,
        Command::Export(args) => export(args).await,
    }
}

async fn verify(args: Verify) -> Result<()> {
    let mut client = args.database.connect().await?;
    let keys = args
        .keys
        .read(&args.database)?
        .map(|keys| keys.of_series(&audit_log::SERIES));
    let mut known = Vec::new();
    for file in &args.head {
        known.extend(read_heads(file)?);
    }
    let kept = format!("heads/{}heads.jsonl", audit_log::HEADS);
    if let Some(log) = of_dev(&args.database, &kept).filter(|_| args.head.is_empty()) {
        known.extend(read_heads(&log)?);
    }
    let options = Options {
        keys: keys.as_ref(),
        heads: &known,
        from_page: 1,
    };
    let bar = spinner("{spinner} {human_pos} sealed events, {elapsed}")?;
    let progress = |progress: Progress<'_>| bar.set_position(progress.journals);
    let report: Report = verify_series(&mut client, &audit_log::SERIES, options, progress).await?;
    bar.finish_and_clear();
    if args.json {
        let checks = report.checks.iter().map(|check| {
            json!({ "name": check.name, "rows": check.rows, "wrong": check.wrong, "first_wrong": check.first_wrong })
        });
        print::line(json!({ "ok": report.is_ok(), "checks": checks.collect::<Vec<_>>() }));
    } else {
        print::text(report_table(&report));
    }
    match report.is_ok() {
        true => Ok(()),
        false => {
            raise_alarm(&client, "audit verify", &report).await;
            bail!("the audit log is wrong")
        }
    }
}

async fn export(args: Export) -> Result<()> {
    let client = args.database.connect().await?;
    let mut query = Query {
        actor: args.actor,
        object: args.object,
        since: args.since,
        until: args.until,
        before: Some(uuid::Uuid::nil()),
        limit: PAGE,
        ..Query::default()
    };
    let mut table = Table::new(
        &[Align::Left; 7],
        &["at", "actor", "action", "object", "origin", "result", "detail"],
    );
    loop {
        let page = events(&client, &query).await?;
        // Newest first within the page: it was asked for by what is older than it.
        for event in page.iter().rev() {
            if args.json {
                print::line(export::line(event));
                continue;
            }
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let (actor, action) = (event.actor.clone(), event.action.clone());
            let at = event.at.strftime("%Y-%m-%d %H:%M:%S").to_string();
            let result = event.result.as_str().to_owned();
            let (object, origin, detail) = (text(&event.object), text(&event.origin), text(&event.detail));
            table.row([at, actor, action, object, origin, result, detail]);
        }
        let newest = page.first().and_then(|event| event.id.parse().ok());
        if newest.is_none() || (page.len() as i64) < PAGE {
            break;
        }
        query.before = newest;
    }
    if !args.json {
        print::text(table.render());
    }
    Ok(())
}

/// Rows per query.
const PAGE: i64 = 5000;
