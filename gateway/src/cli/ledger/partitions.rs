//! `counterfoil ledger partitions`: the months of the journal. The service makes them ahead by itself; this shows them, and
//! is how retention is done: an old month is detached, archived and dropped, in that order, by the owner of the books.

use anyhow::{Context, Result};
use jiff::civil::Date;
use ledger::partition;
use serde_json::json;

use super::super::deed::Deed;
use super::super::table::{Align, Table};
use super::super::{database, print};

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil ledger partitions
  counterfoil ledger partitions --ahead 12
  counterfoil ledger partitions --detach 2016-01 --database-url postgresql://migrator@db1/counterfoil

Retention, after a backup and `ledger verify`:
  counterfoil ledger partitions --detach 2016-01     its sums are carried forward in the same commit: proofs, exports and
                                                     reports as of later times count them; what needs its journals says so
  pg_dump --table ledger.journal_2016_01 ...         the archive; keep it as long as the law says
  DROP TABLE ledger.journal_2016_01                  by hand, as the owner; no command does it")]
pub(super) struct Args {
    #[command(flatten)]
    database: database::Which,

    /// Make this month and so many after it, up to 24
    #[arg(long, value_name = "MONTHS")]
    ahead: Option<i32>,

    /// Take this month, the oldest one, out of the journal and carry its sums forward; needs the owner. Refused while
    /// journals of it are not sealed or holds of it are open
    #[arg(long, value_name = "YYYY-MM", value_parser = month)]
    detach: Option<Date>,

    /// For programs
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) fn deed(&self) -> Option<Deed> {
        let deed = Deed::new("ledger partitions", &self.database);
        match (&self.detach, &self.ahead) {
            (Some(month), _) => Some(deed.object(format_args!("detach {month}"))),
            (None, Some(months)) => Some(deed.object(format_args!("ahead {months}"))),
            (None, None) => None,
        }
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    let client = args.database.connect().await?;
    if let Some(months) = args.ahead {
        partition::extend(&client, months).await.context("making months")?;
    }
    if let Some(month) = args.detach {
        let journals = partition::detach(&client, month).await.context("detaching")?;
        eprintln!("{journals} journals detached; their sums are carried forward");
    }
    let parts = partition::list(&client).await?;
    if args.json {
        let rows = parts
            .iter()
            .map(|p| json!({ "table": p.name, "attached": p.attached, "journals": p.journals, "bytes": p.bytes }));
        print::line(json!({ "partitions": rows.collect::<Vec<_>>() }));
        return Ok(());
    }
    let mut table = Table::new(
        &[Align::Left, Align::Right, Align::Right, Align::Left],
        &["table", "journals (about)", "MB", ""],
    );
    for part in &parts {
        let state = if part.attached {
            ""
        } else {
            "detached: archive it, then drop it"
        };
        table.row([
            part.name.clone(),
            part.journals.to_string(),
            (part.bytes / 1_000_000).to_string(),
            state.to_string(),
        ]);
    }
    print::text(table.render());
    Ok(())
}

fn month(text: &str) -> Result<Date, String> {
    format!("{text}-01")
        .parse()
        .map_err(|_| "a month is written YYYY-MM".to_string())
}
