//! `counterfoil reconcile FILE`: a file of an acquirer or a bank against the books; and `counterfoil breaks`: what is open of all files.
//!
//! Exit codes of `reconcile`: 0 when everything is right, 1 while breaks are open, 2 when the file was refused.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use reconcile::cluster::Terms;
use reconcile::{Format, Mapping, Options};

use super::deed::Deed;
use super::ledger::book_id;
use super::table::{Align, Table, decimal};
use super::{database, print};
use crate::clock::Clock;
use crate::reconciliation::{self, Decision, Error, Report, Request};

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil reconcile payout.csv --format stripe-itemized --json
  counterfoil reconcile statement.xml --format camt.053 --account DE89370400440532013000
  counterfoil reconcile sales.csv --format csv --mapping shop.toml
The same file again changes nothing, and tells what is open now. Exit codes: 0 all is right, 1 breaks are open, 2 the file was refused.")]
pub(super) struct Args {
    /// The file
    file: PathBuf,

    /// What it is
    #[arg(long, value_parser = formats())]
    format: Format,

    /// How to read a CSV: TOML; docs/reconciliation.md says what may be in it
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,

    /// The account that statements must be of: IBAN or number
    #[arg(long)]
    account: Option<String>,

    /// The acquirer whose payments must all be in it; without it, those of which it has any
    #[arg(long)]
    acquirer: Option<String>,

    /// Only this book: a merchant's account id, or `platform`
    #[arg(long, value_name = "CODE")]
    book: Option<String>,

    /// Days after our entry from which a line is late
    #[arg(long, default_value_t = Terms::default().days, value_parser = clap::value_parser!(i32).range(0..=60))]
    days: i32,

    /// Minor units up to which a difference is matched
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..=1_000_000))]
    tolerance: i64,

    /// Statements before this one are known to be missing
    #[arg(long)]
    after_gap: bool,

    #[command(flatten)]
    database: database::Which,

    /// For programs
    #[arg(long)]
    json: bool,
}

impl Args {
    /// What it leaves in the audit log.
    pub(super) fn deed(&self) -> Deed {
        Deed::new("reconcile", &self.database)
            .object(name(&self.file))
            .account(self.book.as_deref())
    }
}

fn formats() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::as_str)).try_map(|name| name.parse::<Format>())
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mapping = match &args.mapping {
        Some(path) => read_mapping(path)?,
        None => Mapping::default(),
    };
    let file = File::open(&args.file).with_context(|| format!("opening {}", args.file.display()))?;
    let mut client = args.database.connect().await?;
    let book = match &args.book {
        Some(code) => Some(book_id(&client, code).await?.0),
        None => None,
    };
    let request = Request {
        format: args.format,
        name: name(&args.file),
        options: Options {
            mapping,
            account: args.account,
        },
        terms: Terms {
            days: args.days,
            tolerance: args.tolerance,
        },
        acquirer: args.acquirer,
        book,
        after_gap: args.after_gap,
    };
    let report = reconciliation::run(&mut client, file, &request).await?;
    match args.json {
        true => print::line(serde_json::to_string(&report)?),
        false => show(&report),
    }
    match report.breaks.len() {
        0 => Ok(()),
        1 => bail!("one break is open"),
        open => bail!("{open} breaks are open"),
    }
}

/// Whether a command ended because a file was refused: that has an exit code of its own.
pub(super) fn was_refused(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::Refused(_)))
}

fn name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn read_mapping(path: &Path) -> Result<Mapping> {
    let mapping: Mapping = config::Config::builder()
        .add_source(config::File::from(path).format(config::FileFormat::Toml))
        .build()
        .and_then(config::Config::try_deserialize)
        .with_context(|| format!("reading {}", path.display()))?;
    mapping.check()?;
    Ok(mapping)
}

fn show(report: &Report) {
    print::line(format_args!("{} lines match.", report.matched));
    if report.breaks.is_empty() {
        return;
    }
    let mut table = Table::new(
        &[Align::Left, Align::Left, Align::Right, Align::Right, Align::Left],
        &["break", "reference", "ours", "theirs", "proposal"],
    );
    for found in &report.breaks {
        table.row([
            found.kind.clone(),
            found.reference.clone().unwrap_or_default(),
            amount(found.ours.as_ref()),
            amount(found.theirs.as_ref()),
            words(found.proposal.as_ref()),
        ]);
    }
    print::text(table.render());
}

fn amount(side: Option<&serde_json::Value>) -> String {
    let shown = side.and_then(|side| {
        let currency: ledger::Currency = side["currency"].as_str()?.parse().ok()?;
        Some(format!(
            "{} {currency}",
            decimal(side["amount"].as_i64()?.into(), currency)
        ))
    });
    shown.unwrap_or_default()
}

fn words(proposal: Option<&serde_json::Value>) -> String {
    let text = proposal.and_then(|proposal| proposal["text"].as_str().or(proposal["action"].as_str()));
    text.unwrap_or_default().to_owned()
}

/// `counterfoil breaks`.
#[derive(clap::Subcommand)]
pub(super) enum Breaks {
    /// What is open of all files, oldest first
    #[command(after_long_help = "Example:\n  counterfoil breaks list --json")]
    List {
        #[command(flatten)]
        database: database::Which,
        /// At most so many
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Say that a break is explained
    #[command(
        after_long_help = "Example:\n  counterfoil breaks resolve brk_1 --by ann --reason 'refunded by the acquirer, ticket FIN-7'"
    )]
    Resolve(Act),
    /// Say that it was not
    #[command(
        after_long_help = "Example:\n  counterfoil breaks reopen brk_1 --by bob --reason 'the refund was another one'"
    )]
    Reopen(Act),
}

#[derive(clap::Args)]
pub(super) struct Act {
    /// The break
    id: String,

    /// Who decides
    #[arg(long, value_name = "PERSON")]
    by: String,

    /// Why
    #[arg(long)]
    reason: String,

    #[command(flatten)]
    database: database::Which,
}

impl Breaks {
    /// What it leaves in the audit log.
    pub(super) fn deed(&self) -> Deed {
        let decided = |action, act: &Act| Deed::new(action, &act.database).object(&act.id).person(&act.by);
        match self {
            Breaks::List { database, .. } => Deed::new("breaks list", database),
            Breaks::Resolve(act) => decided("breaks resolve", act),
            Breaks::Reopen(act) => decided("breaks reopen", act),
        }
    }
}

pub(super) async fn breaks(command: Breaks) -> Result<()> {
    let (act, decision) = match command {
        Breaks::List { database, limit, json } => return list(&database, limit, json).await,
        Breaks::Resolve(act) => (act, Decision::Resolve),
        Breaks::Reopen(act) => (act, Decision::Reopen),
    };
    let mut client = act.database.connect().await?;
    Ok(reconciliation::decide(&mut client, &act.id, decision, &act.by, &act.reason).await?)
}

async fn list(database: &database::Which, limit: i64, json: bool) -> Result<()> {
    let client = database.connect().await?;
    let open = reconciliation::breaks_open(&client, Clock::default().now(), None, limit).await?;
    let mut table = Table::new(
        &[
            Align::Left,
            Align::Right,
            Align::Left,
            Align::Left,
            Align::Right,
            Align::Right,
        ],
        &["id", "days", "break", "reference", "ours", "theirs"],
    );
    for one in &open {
        if json {
            print::line(serde_json::to_string(one)?);
            continue;
        }
        table.row([
            one.id.clone(),
            one.age_days.to_string(),
            one.found.kind.clone(),
            one.found.reference.clone().unwrap_or_default(),
            amount(one.found.ours.as_ref()),
            amount(one.found.theirs.as_ref()),
        ]);
    }
    if !json {
        print::text(table.render());
    }
    Ok(())
}
