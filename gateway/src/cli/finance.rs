//! `counterfoil ledger statement|period|journal`: what finance does with the books. Periods and manual journals are the
//! only commands that write to them, and each write names its person.

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use ledger::balance::AsOf;
use ledger::journal::{Line, LineKind};
use ledger::manual::{self, Proposal};
use ledger::statement::{self, Query};
use ledger::{AccountName, Currency, period};
use serde_json::json;
use uuid::Uuid;

use super::deed::Deed;
use super::ledger::book_id;
use super::table::{Align, Table, decimal, minor};
use super::{database, print};

/// Which journals count.
#[derive(clap::Args)]
pub(super) struct When {
    /// As things stood at the end of this day (UTC), or at this instant
    #[arg(long, value_name = "DATE|TIME", value_parser = end)]
    as_of: Option<Timestamp>,

    /// As the books knew it at the end of this day (UTC), or at this instant
    #[arg(long, value_name = "DATE|TIME", value_parser = end)]
    recorded_as_of: Option<Timestamp>,
}

impl When {
    /// The time asked for; none when it is now.
    pub(super) fn as_of(&self) -> Option<AsOf> {
        (self.as_of.is_some() || self.recorded_as_of.is_some()).then_some(AsOf {
            effective: self.as_of,
            recorded: self.recorded_as_of,
        })
    }
}

#[derive(clap::Args)]
pub(super) struct Statement {
    #[command(flatten)]
    database: database::Which,

    /// The book: a merchant's account id, or `platform`
    #[arg(long, value_name = "CODE")]
    book: String,

    /// The account, e.g. 2010.usd
    #[arg(long, value_name = "NAME")]
    account: AccountName,

    /// From the start of this day (UTC), or from this instant
    #[arg(long, value_name = "DATE|TIME", value_parser = start)]
    from: Option<Timestamp>,

    /// To the end of this day (UTC), or to this instant
    #[arg(long, value_name = "DATE|TIME", value_parser = end)]
    to: Option<Timestamp>,

    /// For programs: one line per journal, then the balances
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
pub(super) enum Period {
    /// Close the books up to and including a day that is over: nothing more can be dated in it
    #[command(after_long_help = "Example:\n  counterfoil ledger period close --up-to 2026-10-31 --by ann")]
    Close {
        #[command(flatten)]
        act: Act,
        /// The last day to close
        #[arg(long, value_name = "DATE")]
        up_to: Date,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Reopen the books from a day on
    #[command(
        after_long_help = "Example:\n  counterfoil ledger period reopen --from 2026-10-01 --by bob --reason 'late invoice FIN-7'"
    )]
    Reopen {
        #[command(flatten)]
        act: Act,
        /// The first day to reopen
        #[arg(long, value_name = "DATE")]
        from: Date,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Every close and reopening, the newest first
    #[command(after_long_help = "Example:\n  counterfoil ledger period list --json")]
    List {
        #[command(flatten)]
        database: database::Which,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
pub(super) struct Act {
    #[command(flatten)]
    database: database::Which,

    /// Only this book; without it every book, also those opened later
    #[arg(long, value_name = "CODE")]
    book: Option<String>,

    /// Who acts
    #[arg(long, value_name = "PERSON")]
    by: String,
}

#[derive(Subcommand)]
pub(super) enum Journal {
    /// Propose a manual journal; another person has to approve it
    #[command(after_long_help = "Example:
  counterfoil ledger journal propose --book acct_1 --by ann --ticket FIN-7 --reason 'fee charged twice' \\
      --debit 4010.usd=2.50 --credit 2020.usd=2.50")]
    Propose(Propose),
    /// Approve a proposal of another person, and book it
    #[command(after_long_help = "Example:\n  counterfoil ledger journal approve --book acct_1 --by bob PROPOSAL")]
    Approve(Decide),
    /// Reject a proposal of another person
    #[command(
        after_long_help = "Example:\n  counterfoil ledger journal reject --book acct_1 --by bob PROPOSAL --reason 'wrong account'"
    )]
    Reject {
        #[command(flatten)]
        decide: Decide,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Proposals and what became of them
    #[command(after_long_help = "Example:\n  counterfoil ledger journal list --book acct_1 --open")]
    List {
        #[command(flatten)]
        database: database::Which,
        /// The book
        #[arg(long, value_name = "CODE")]
        book: String,
        /// Only those that wait for a decision
        #[arg(long)]
        open: bool,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
pub(super) struct Propose {
    #[command(flatten)]
    database: database::Which,

    /// The book
    #[arg(long, value_name = "CODE")]
    book: String,

    /// Who proposes
    #[arg(long, value_name = "PERSON")]
    by: String,

    /// Why
    #[arg(long)]
    reason: String,

    /// Where it is discussed
    #[arg(long)]
    ticket: String,

    /// When it happened; without it, now
    #[arg(long, value_name = "DATE|TIME", value_parser = start)]
    at: Option<Timestamp>,

    /// A debit in the currency's own decimals, e.g. 4010.usd=2.50
    #[arg(long, value_name = "ACCOUNT=AMOUNT", value_parser = side, required = true)]
    debit: Vec<(AccountName, i64)>,

    /// A credit
    #[arg(long, value_name = "ACCOUNT=AMOUNT", value_parser = side, required = true)]
    credit: Vec<(AccountName, i64)>,
}

#[derive(clap::Args)]
pub(super) struct Decide {
    #[command(flatten)]
    database: database::Which,

    /// The book
    #[arg(long, value_name = "CODE")]
    book: String,

    /// Who decides: not the one who proposed
    #[arg(long, value_name = "PERSON")]
    by: String,

    /// The proposal's id
    proposal: Uuid,
}

impl Statement {
    pub(super) fn deed(&self) -> Deed {
        Deed::new("ledger statement", &self.database)
            .object(&self.account)
            .account(Some(&self.book))
    }
}

impl Period {
    pub(super) fn deed(&self) -> Option<Deed> {
        let (action, act, day) = match self {
            Period::Close { act, up_to, .. } => ("ledger period close", act, up_to),
            Period::Reopen { act, from, .. } => ("ledger period reopen", act, from),
            Period::List { .. } => return None,
        };
        let deed = Deed::new(action, &act.database).object(day).person(&act.by);
        Some(deed.account(act.book.as_deref()))
    }
}

impl Journal {
    pub(super) fn deed(&self) -> Option<Deed> {
        let decided = |action, decide: &Decide| {
            let deed = Deed::new(action, &decide.database).object(decide.proposal);
            deed.account(Some(&decide.book)).person(&decide.by)
        };
        Some(match self {
            Journal::Propose(args) => Deed::new("ledger journal propose", &args.database)
                .object(&args.ticket)
                .account(Some(&args.book))
                .person(&args.by),
            Journal::Approve(decide) => decided("ledger journal approve", decide),
            Journal::Reject { decide, .. } => decided("ledger journal reject", decide),
            Journal::List { .. } => return None,
        })
    }
}

pub(super) async fn statement(args: Statement) -> Result<()> {
    let client = args.database.connect().await?;
    let mut query = Query {
        book: book_id(&client, &args.book).await?,
        account: args.account,
        from: args.from,
        to: args.to,
        after: None,
        limit: PAGE,
    };
    let currency = query.account.currency();
    let mut table = Table::new(
        &[Align::Left, Align::Left, Align::Left, Align::Right, Align::Right],
        &["when", "code", "reference", "amount", "balance"],
    );
    let mut opened = false;
    loop {
        let page = statement::statement(&client, &query).await?;
        if !args.json && !opened {
            table.row([
                "opening".into(),
                String::new(),
                String::new(),
                String::new(),
                decimal(page.opening, currency),
            ]);
        }
        opened = true;
        for line in &page.lines {
            if args.json {
                print::line(json!({
                    "journal": line.journal, "code": line.code, "effective_at": line.effective_at.to_string(),
                    "recorded_at": line.recorded_at.to_string(), "reference": line.reference,
                    "amount": minor(line.amount), "balance": minor(line.balance),
                }));
            } else {
                let reference = line.reference.clone().unwrap_or_default();
                let amounts = [line.amount, line.balance].map(|a| decimal(a, currency));
                let names = [line.effective_at.to_string(), line.code.clone(), reference];
                table.row(names.into_iter().chain(amounts));
            }
        }
        match page.next {
            Some(cursor) => query.after = Some(cursor),
            None if args.json => {
                let account = query.account.as_str();
                print::line(json!({
                    "account": account, "opening": minor(page.opening), "closing": minor(page.closing),
                }));
                return Ok(());
            }
            None => {
                let closing = decimal(page.closing, currency);
                table.row(["closing".into(), String::new(), String::new(), String::new(), closing]);
                print::text(table.render());
                return Ok(());
            }
        }
    }
}

pub(super) async fn period(command: Period) -> Result<()> {
    match command {
        Period::Close { act, up_to, reason } => {
            let client = act.database.connect().await?;
            let book = act.book(&client).await?;
            period::close(&client, book, up_to, &act.by, reason.as_deref()).await?;
        }
        Period::Reopen { act, from, reason } => {
            let client = act.database.connect().await?;
            let book = act.book(&client).await?;
            period::reopen(&client, book, from, &act.by, &reason).await?;
        }
        Period::List { database, json } => periods(&database, json).await?,
    }
    Ok(())
}

impl Act {
    async fn book(&self, client: &tokio_postgres::Client) -> Result<Option<ledger::BookId>> {
        match &self.book {
            Some(code) => book_id(client, code).await.map(Some),
            None => Ok(None),
        }
    }
}

async fn periods(database: &database::Which, json: bool) -> Result<()> {
    let acts = period::list(&database.connect().await?).await?;
    let mut table = Table::new(
        &[Align::Left; 7],
        &["book", "act", "closed up to", "by", "at", "reason", ""],
    );
    for act in acts {
        let kind = if act.reopens { "reopen" } else { "close" };
        if json {
            print::line(json!({
                "book": act.book, "number": act.number, "act": kind, "closed_up_to": act.up_to.to_string(), "by": act.by,
                "at": act.at.to_string(), "reason": act.reason, "stands": act.stands,
            }));
            continue;
        }
        let stands = if act.stands { "stands" } else { "" };
        let book = act.book.unwrap_or_else(|| "every book".into());
        let reason = act.reason.unwrap_or_default();
        let cells = [
            book,
            kind.into(),
            act.up_to.to_string(),
            act.by,
            act.at.to_string(),
            reason,
            stands.into(),
        ];
        table.row(cells);
    }
    if !json {
        print::text(table.render());
    }
    Ok(())
}

pub(super) async fn journal(command: Journal) -> Result<()> {
    match command {
        Journal::Propose(args) => propose(args).await,
        Journal::Approve(args) => {
            let mut client = args.database.connect().await?;
            let book = book_id(&client, &args.book).await?;
            let tx = client.transaction().await?;
            let journal = manual::approve(&tx, book, args.proposal, &args.by).await?;
            tx.commit().await?;
            print::line(json!({ "journal": journal }));
            Ok(())
        }
        Journal::Reject { decide, reason } => {
            let client = decide.database.connect().await?;
            let book = book_id(&client, &decide.book).await?;
            Ok(manual::reject(&client, book, decide.proposal, &decide.by, &reason).await?)
        }
        Journal::List {
            database,
            book,
            open,
            json,
        } => proposals(&database, &book, open, json).await,
    }
}

async fn propose(args: Propose) -> Result<()> {
    let client = args.database.connect().await?;
    let lines = |side: Vec<(AccountName, i64)>, kind| {
        side.into_iter()
            .map(move |(account, amount)| Line { account, kind, amount })
    };
    let proposal = Proposal {
        book: book_id(&client, &args.book).await?,
        id: Uuid::now_v7(),
        effective_at: args.at.unwrap_or_else(|| crate::clock::Clock::default().now()),
        lines: lines(args.debit, LineKind::Debit)
            .chain(lines(args.credit, LineKind::Credit))
            .collect(),
        reason: args.reason,
        ticket: args.ticket,
        maker: args.by,
    };
    manual::propose(&client, &proposal).await?;
    print::line(json!({ "proposal": proposal.id }));
    Ok(())
}

async fn proposals(database: &database::Which, book: &str, open: bool, json: bool) -> Result<()> {
    let client = database.connect().await?;
    let book = book_id(&client, book).await?;
    let mut table = Table::new(
        &[Align::Left; 7],
        &["proposal", "ticket", "reason", "maker", "lines", "decision", "checker"],
    );
    for (proposal, decision) in manual::list(&client, book, open).await? {
        let lines = proposal.lines.iter().map(|l| {
            let amount = decimal(l.amount.into(), l.account.currency());
            format!("{} {} {amount}", l.kind.letter(), l.account)
        });
        let lines: Vec<String> = lines.collect();
        let verdict = match &decision {
            None => "open",
            Some(d) if d.journal.is_some() => "approved",
            Some(_) => "rejected",
        };
        if json {
            print::line(json!({
                "proposal": proposal.id, "effective_at": proposal.effective_at.to_string(), "ticket": proposal.ticket,
                "reason": proposal.reason, "maker": proposal.maker, "lines": lines, "decision": verdict,
                "checker": decision.as_ref().map(|d| &d.checker), "decided_because": decision.as_ref().and_then(|d| d.reason.as_ref()),
                "journal": decision.as_ref().and_then(|d| d.journal),
            }));
            continue;
        }
        let checker = decision.map(|d| d.checker).unwrap_or_default();
        let id = proposal.id.to_string();
        let (ticket, reason, maker) = (proposal.ticket, proposal.reason, proposal.maker);
        table.row([id, ticket, reason, maker, lines.join(", "), verdict.into(), checker]);
    }
    if !json {
        print::text(table.render());
    }
    Ok(())
}

/// `2026-10-31` is the start of that day in UTC.
pub(super) fn start(text: &str) -> Result<Timestamp, String> {
    instant(text, 0)
}

/// `2026-10-31` is the end of that day in UTC: the first instant that is not in it.
pub(super) fn end(text: &str) -> Result<Timestamp, String> {
    instant(text, 1)
}

fn instant(text: &str, days: i64) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let day: Date = text
        .parse()
        .map_err(|_| "a date (2026-10-31) or a time (2026-10-31T12:00:00Z)".to_string())?;
    let day = day.checked_add(days.days()).map_err(|e| e.to_string())?;
    let midnight = day.to_zoned(TimeZone::UTC).map_err(|e| e.to_string())?;
    Ok(midnight.timestamp())
}

/// `4010.usd=2.50`: an account, and an amount in its currency's own decimals.
fn side(text: &str) -> Result<(AccountName, i64), String> {
    let read = || {
        let (account, amount) = text.split_once('=').context("ACCOUNT=AMOUNT")?;
        let account: AccountName = account.parse()?;
        let amount = minor_units(amount, account.currency())?;
        anyhow::Ok((account, amount))
    };
    read().map_err(|e| e.to_string())
}

fn minor_units(text: &str, currency: Currency) -> Result<i64> {
    let exponent = usize::from(currency.exponent());
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(decimals) || decimals.len() > exponent || text.ends_with('.') {
        bail!("{text} is not an amount in {currency}, which has {exponent} decimals");
    }
    let amount: i64 = format!("{whole}{decimals:0<exponent$}")
        .parse()
        .context("an amount out of range")?;
    if amount == 0 {
        bail!("an amount is positive");
    }
    Ok(amount)
}

/// Lines per query.
const PAGE: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_decimals_of_their_currency() {
        let of = |text| side(text).map(|(_, amount)| amount).ok();
        assert_eq!(of("2010.usd=2.50"), Some(250));
        assert_eq!(of("2010.usd=2.5"), Some(250));
        assert_eq!(of("2010.usd=2"), Some(200));
        assert_eq!(of("2010.jpy=2"), Some(2));
        assert_eq!(of("2010.bhd=0.001"), Some(1));
        for wrong in [
            "2010.usd=2.505",
            "2010.jpy=2.0",
            "2010.usd=-1",
            "2010.usd=0",
            "2010.usd=1.",
            "2010.usd=.5",
            "2010.usd=+1",
            "2010.usd",
            "9999.usd=1",
            "2010.usd=99999999999999999999",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_day_begins_and_ends_in_utc() {
        assert_eq!(start("2026-10-31").unwrap().to_string(), "2026-10-31T00:00:00Z");
        assert_eq!(end("2026-12-31").unwrap().to_string(), "2027-01-01T00:00:00Z");
        assert_eq!(end("2026-10-31T12:00:00Z").unwrap().to_string(), "2026-10-31T12:00:00Z");
        assert!(start("yesterday").is_err());
    }
}
