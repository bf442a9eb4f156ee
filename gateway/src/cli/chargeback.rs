//! `counterfoil chargeback`: what the networks dispute, what is due, and what a person has to decide.
//!
//! Answers to acquirers go through the API, which speaks to them. Here a person looks, closes exceptions, and says who bears a loss.

use anyhow::{Result, bail};
use clap::Subcommand;
use serde_json::json;

use super::deed::Deed;
use super::table::{Align, Table, decimal};
use super::{database, print};

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil chargeback list --due-within 3
  counterfoil chargeback exceptions
  counterfoil chargeback resolve due_0123 --by ann --resolution 'paid twice; the merchant was asked'")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Disputes, newest first: where each stands, and by when something is due
    #[command(after_long_help = "Examples:
  counterfoil chargeback list
  counterfoil chargeback list --stage needs_response --due-within 3 --json")]
    List {
        #[command(flatten)]
        database: database::Which,
        /// Only those at this stage
        #[arg(long)]
        stage: Option<String>,
        /// Only those whose answer is due within so many days
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(0..=400))]
        due_within: Option<i64>,
        /// At most so many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
        /// For programs: one dispute per line
        #[arg(long)]
        json: bool,
    },
    /// One dispute with every movement of its money, at the acquirer and in the books
    #[command(after_long_help = "Example:\n  counterfoil chargeback show du_0123")]
    Show {
        #[command(flatten)]
        database: database::Which,
        /// The dispute's id
        dispute: String,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// What a person must decide, the longest waiting first
    #[command(after_long_help = "Example:\n  counterfoil chargeback exceptions --json")]
    Exceptions {
        #[command(flatten)]
        database: database::Which,
        /// Also those that were resolved
        #[arg(long)]
        all: bool,
        /// For programs: one exception per line
        #[arg(long)]
        json: bool,
    },
    /// Close an exception; money that is to move is moved by a manual journal of two people (`counterfoil ledger journal`)
    #[command(
        after_long_help = "Example:\n  counterfoil chargeback resolve due_0123 --by ann --resolution 'booked by FIN-7: returned to the merchant'"
    )]
    Resolve {
        #[command(flatten)]
        database: database::Which,
        /// The exception's id
        exception: String,
        /// Who decided
        #[arg(long, value_name = "PERSON")]
        by: String,
        /// What was decided, and why
        #[arg(long)]
        resolution: String,
    },
    /// Say that the platform bears a loss of this dispute, or that the merchant does after all; before it is lost
    #[command(after_long_help = "Example:\n  counterfoil chargeback bear du_0123 --who platform --by ann")]
    Bear {
        #[command(flatten)]
        database: database::Which,
        /// The dispute's id
        dispute: String,
        /// platform or merchant
        #[arg(long, value_parser = ["platform", "merchant"])]
        who: String,
        /// Who decided
        #[arg(long, value_name = "PERSON")]
        by: String,
    },
}

impl Args {
    pub(super) fn deed(&self) -> Option<Deed> {
        match &self.command {
            Command::List { .. } | Command::Exceptions { .. } => None, // ids, amounts and dates
            Command::Show { database, dispute, .. } => Some(Deed::new("chargeback show", database).object(dispute)),
            Command::Resolve {
                database,
                exception,
                by,
                ..
            } => Some(Deed::new("chargeback resolve", database).object(exception).person(by)),
            Command::Bear {
                database, dispute, by, ..
            } => Some(Deed::new("chargeback bear", database).object(dispute).person(by)),
        }
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    match args.command {
        Command::List {
            database,
            stage,
            due_within,
            limit,
            json,
        } => list(&database, stage.as_deref(), due_within, limit, json).await,
        Command::Show {
            database,
            dispute,
            json,
        } => show(&database, &dispute, json).await,
        Command::Exceptions { database, all, json } => exceptions(&database, all, json).await,
        Command::Resolve {
            database,
            exception,
            by,
            resolution,
        } => resolve(&database, &exception, &by, &resolution).await,
        Command::Bear {
            database,
            dispute,
            who,
            by,
        } => bear(&database, &dispute, &who, &by).await,
    }
}

async fn list(
    database: &database::Which,
    stage: Option<&str>,
    due_within: Option<i64>,
    limit: i64,
    json: bool,
) -> Result<()> {
    let client = database.connect().await?;
    let rows = client
        .query(
            "SELECT d.id, m.id, d.stage, d.amount, d.currency, d.reason, d.due_by, d.timer, d.timer_at, d.submission_count
             FROM gateway.dispute d JOIN gateway.merchant m USING (book_id)
             WHERE ($1::text IS NULL OR d.stage = $1)
               AND ($2::bigint IS NULL OR d.due_by BETWEEN now() AND now() + make_interval(days => $2::int)
                                          AND d.stage IN ('inquiry_open','notified','needs_response','lost_provisional','prearb_open'))
             ORDER BY d.id DESC LIMIT $3",
            &[&stage, &due_within, &limit],
        )
        .await?;
    let mut table = Table::new(
        &[
            Align::Left,
            Align::Left,
            Align::Left,
            Align::Right,
            Align::Left,
            Align::Left,
            Align::Left,
        ],
        &["dispute", "account", "stage", "amount", "reason", "due", "next"],
    );
    let day = |at: Option<jiff::Timestamp>| at.map_or_else(String::new, |at| at.strftime("%Y-%m-%d %H:%M").to_string());
    for row in &rows {
        let (id, account, stage): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let (amount, currency): (i64, String) = (row.try_get(3)?, row.try_get(4)?);
        let (reason, due_by): (String, Option<jiff::Timestamp>) = (row.try_get(5)?, row.try_get(6)?);
        let (timer, timer_at): (Option<String>, Option<jiff::Timestamp>) = (row.try_get(7)?, row.try_get(8)?);
        if json {
            print::line(json!({
                "id": id, "account": account, "stage": stage, "amount": amount, "currency": currency, "reason": reason,
                "due_by": due_by.map(|at| at.as_second()), "timer": timer, "timer_at": timer_at.map(|at| at.as_second()),
                "submission_count": row.try_get::<_, i16>(9)?,
            }));
            continue;
        }
        let next = timer.map_or_else(String::new, |timer| format!("{timer} {}", day(timer_at)));
        let amount = format!("{} {currency}", decimal(amount.into(), currency.parse()?));
        table.row([id, account, stage, amount, reason, day(due_by), next]);
    }
    if !json {
        print::text(table.render());
    }
    Ok(())
}

async fn show(database: &database::Which, dispute: &str, json: bool) -> Result<()> {
    let client = database.connect().await?;
    let found = client
        .query_opt(
            "SELECT book_id, (to_jsonb(d) - 'evidence' - 'request_key')::text, currency FROM gateway.dispute d WHERE id = $1",
            &[&dispute],
        )
        .await?;
    let Some(found) = found else {
        bail!("there is no dispute {dispute}");
    };
    let (book, fields, currency): (i64, String, String) = (found.try_get(0)?, found.try_get(1)?, found.try_get(2)?);
    let fields: serde_json::Value = serde_json::from_str(&fields)?;
    let moves = client
        .query(
            "SELECT acquirer_id, amount, fee, created_at FROM gateway.dispute_movement
             WHERE book_id = $1 AND dispute_id = $2 ORDER BY id",
            &[&book, &dispute],
        )
        .await?;
    let postings = client
        .query(
            "SELECT code, account, side, amount FROM ledger.posting WHERE book_id = $1 AND reference = $2 ORDER BY journal_id, account",
            &[&book, &dispute],
        )
        .await?;
    if json {
        let mut moved = Vec::new();
        for row in &moves {
            moved.push(json!({
                "acquirer_id": row.try_get::<_, String>(0)?, "amount": row.try_get::<_, i64>(1)?, "fee": row.try_get::<_, i64>(2)?,
            }));
        }
        let mut booked = Vec::new();
        for row in &postings {
            booked.push(json!({
                "code": row.try_get::<_, String>(0)?, "account": row.try_get::<_, String>(1)?, "side": row.try_get::<_, String>(2)?,
                "amount": row.try_get::<_, i64>(3)?,
            }));
        }
        print::line(json!({ "dispute": fields, "movements": moved, "postings": booked }));
        return Ok(());
    }
    let currency: ledger::Currency = currency.parse()?;
    let mut table = Table::new(&[Align::Left, Align::Left], &["field", "value"]);
    for (name, value) in fields
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null())
    {
        table.row([
            name.clone(),
            value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        ]);
    }
    print::text(table.render());
    let mut table = Table::new(
        &[Align::Left, Align::Right, Align::Right, Align::Left],
        &["at the acquirer", "principal", "fee", "told"],
    );
    for row in &moves {
        let at: jiff::Timestamp = row.try_get(3)?;
        let money = |minor: i64| decimal(minor.into(), currency);
        table.row([
            row.try_get(0)?,
            money(row.try_get(1)?),
            money(row.try_get(2)?),
            at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        ]);
    }
    print::text(format_args!("\n{}", table.render()));
    let mut table = Table::new(
        &[Align::Left, Align::Left, Align::Left, Align::Right],
        &["journal", "account", "side", "amount"],
    );
    for row in &postings {
        table.row([
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            decimal(row.try_get::<_, i64>(3)?.into(), currency),
        ]);
    }
    print::text(format_args!("\n{}", table.render()));
    Ok(())
}

async fn exceptions(database: &database::Which, all: bool, json: bool) -> Result<()> {
    let client = database.connect().await?;
    let rows = client
        .query(
            "SELECT e.id, e.kind, e.amount, e.currency, e.dispute_id, e.payment_id, m.id, e.due_at, e.resolution, e.resolved_by
             FROM gateway.dispute_exception e JOIN gateway.merchant m USING (book_id)
             WHERE $1 OR e.resolved_at IS NULL ORDER BY e.due_at, e.id",
            &[&all],
        )
        .await?;
    let mut table = Table::new(
        &[
            Align::Left,
            Align::Left,
            Align::Right,
            Align::Left,
            Align::Left,
            Align::Left,
            Align::Left,
        ],
        &["exception", "kind", "amount", "dispute", "account", "due", "resolution"],
    );
    for row in &rows {
        let (id, kind, amount, currency): (String, String, i64, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        let (dispute, payment, account): (String, String, String) = (row.try_get(4)?, row.try_get(5)?, row.try_get(6)?);
        let due: jiff::Timestamp = row.try_get(7)?;
        let (resolution, by): (Option<String>, Option<String>) = (row.try_get(8)?, row.try_get(9)?);
        if json {
            print::line(json!({
                "id": id, "kind": kind, "amount": amount, "currency": currency, "dispute": dispute, "payment_intent": payment,
                "account": account, "due_at": due.as_second(), "resolution": resolution, "resolved_by": by,
            }));
            continue;
        }
        let amount = format!("{} {currency}", decimal(amount.into(), currency.parse()?));
        let due = due.strftime("%Y-%m-%d %H:%M").to_string();
        table.row([id, kind, amount, dispute, account, due, resolution.unwrap_or_default()]);
    }
    if !json {
        print::text(table.render());
    }
    Ok(())
}

async fn resolve(database: &database::Which, exception: &str, by: &str, resolution: &str) -> Result<()> {
    let client = database.connect().await?;
    let resolved = client
        .execute(
            "UPDATE gateway.dispute_exception SET resolution = $2, resolved_by = $3, resolved_at = now(), version = version + 1
             WHERE id = $1 AND resolved_at IS NULL",
            &[&exception, &resolution, &by],
        )
        .await?;
    if resolved == 0 {
        bail!("there is no open exception {exception}");
    }
    print::line(format_args!("{exception} is resolved"));
    Ok(())
}

async fn bear(database: &database::Which, dispute: &str, who: &str, by: &str) -> Result<()> {
    let client = database.connect().await?;
    let changed = client
        .execute(
            "UPDATE gateway.dispute SET borne_by = $2, version = version + 1 WHERE id = $1 AND stage <> 'lost_final' AND lost = 0",
            &[&dispute, &who],
        )
        .await?;
    if changed == 0 {
        bail!("there is no dispute {dispute} that may still be lost");
    }
    print::line(format_args!("the {who} bears a loss of {dispute} (said by {by})"));
    Ok(())
}
