//! `counterfoil routing show | check | apply`: the rules by which payments find their acquirer.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use config::{Config, File, FileFormat};

use super::deed::Deed;
use super::{database, print};
use crate::routing::rules::Rules;

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil routing check routing.toml
  counterfoil routing apply routing.toml --note 'euros go to the bank'
  counterfoil routing show --json")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

impl Args {
    /// What it leaves in the audit log.
    pub(super) fn deed(&self) -> Option<Deed> {
        match &self.command {
            Command::Apply(args) => Some(Deed::new("routing apply", &args.database).object(args.file.display())),
            Command::Check(_) | Command::Show(_) => None,
        }
    }
}

#[derive(clap::Subcommand)]
enum Command {
    /// Show the rules in force
    #[command(after_long_help = "Example:\n  counterfoil routing show --json")]
    Show(Show),
    /// Check a file of rules, and exit
    #[command(after_long_help = "Example:\n  counterfoil routing check routing.toml")]
    Check(Check),
    /// Put a file of rules in force: every process follows it within seconds
    #[command(after_long_help = "Example:\n  counterfoil routing apply routing.toml --note 'euros go to the bank'")]
    Apply(Apply),
}

#[derive(clap::Args)]
struct Show {
    #[command(flatten)]
    database: database::Which,

    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Check {
    /// TOML; docs/routing.md says what may be in it
    file: PathBuf,
}

#[derive(clap::Args)]
struct Apply {
    /// TOML; docs/routing.md says what may be in it
    file: PathBuf,

    /// Why, kept with this version
    #[arg(long, default_value = "")]
    note: String,

    #[command(flatten)]
    database: database::Which,
}

pub(super) async fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Check(args) => {
            let rules = read(&args.file)?;
            print::line(format_args!("The rules are good ({} of them).", rules.rule.len()));
            Ok(())
        }
        Command::Apply(args) => {
            let rules = serde_json::to_value(read(&args.file)?)?;
            let client = args.database.connect().await?;
            let row = client
                .query_one(
                    "INSERT INTO gateway.routing (rules, note) VALUES ($1, $2) RETURNING version",
                    &[&rules, &args.note],
                )
                .await
                .context("storing the rules")?;
            print::line(format_args!(
                "Version {} is in force within seconds.",
                row.get::<_, i64>(0)
            ));
            Ok(())
        }
        Command::Show(args) => show(&args).await,
    }
}

async fn show(args: &Show) -> Result<()> {
    let client = args.database.connect().await?;
    let row = client
        .query_opt(
            "SELECT version, rules, note, created_by, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
             FROM gateway.routing ORDER BY version DESC LIMIT 1",
            &[],
        )
        .await?;
    let Some(row) = row else {
        print::line(if args.json {
            "null"
        } else {
            "There are no rules: each payment goes to the first acquirer that takes it."
        });
        return Ok(());
    };
    let (version, rules): (i64, serde_json::Value) = (row.get(0), row.get(1));
    let (note, by, at): (String, String, String) = (row.get(2), row.get(3), row.get(4));
    if args.json {
        print::line(serde_json::json!({
            "version": version, "rules": rules, "note": note, "created_by": by, "created_at": at,
        }));
        return Ok(());
    }
    print::line(format_args!(
        "Version {version}, by {by} at {at}{}{note}",
        if note.is_empty() { "" } else { ": " }
    ));
    print::line(serde_json::to_string_pretty(&rules)?);
    Ok(())
}

fn read(file: &Path) -> Result<Rules> {
    let rules: Rules = Config::builder()
        .add_source(File::from(file).format(FileFormat::Toml))
        .build()
        .and_then(Config::try_deserialize)
        .with_context(|| format!("reading {}", file.display()))?;
    rules.check()?;
    Ok(rules)
}
