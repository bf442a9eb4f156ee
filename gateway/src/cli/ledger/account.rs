//! `counterfoil ledger account`: an account is closed to postings, and opened again, by a person with a reason.

use anyhow::Result;
use clap::Subcommand;
use jiff::Timestamp;
use ledger::AccountName;
use serde_json::json;

use super::super::deed::Deed;
use super::super::table::{Align, Table};
use super::super::{database, print};
use super::book_id;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Refuse further postings to an account; what is in it stays, and money on hold has to end first
    #[command(
        after_long_help = "Example:\n  counterfoil ledger account close --book acct_1 --account 2010.usd --by ann --reason 'FIN-7'"
    )]
    Close(Act),
    /// Open a closed account again
    #[command(
        after_long_help = "Example:\n  counterfoil ledger account reopen --book acct_1 --account 2010.usd --by bob --reason 'FIN-7 settled'"
    )]
    Reopen(Act),
    /// Every closing and reopening, the newest first
    #[command(after_long_help = "Example:\n  counterfoil ledger account list --book acct_1 --json")]
    List {
        #[command(flatten)]
        database: database::Which,
        /// Only this book
        #[arg(long, value_name = "CODE")]
        book: Option<String>,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
pub(super) struct Act {
    #[command(flatten)]
    database: database::Which,

    /// The book: a merchant's account id, or `platform`
    #[arg(long, value_name = "CODE")]
    book: String,

    /// The account, e.g. 2010.usd
    #[arg(long, value_name = "NAME")]
    account: AccountName,

    /// Who acts
    #[arg(long, value_name = "PERSON")]
    by: String,

    /// Why
    #[arg(long)]
    reason: String,
}

impl Command {
    pub(super) fn deed(&self) -> Option<Deed> {
        let (action, act) = match self {
            Command::Close(act) => ("ledger account close", act),
            Command::Reopen(act) => ("ledger account reopen", act),
            Command::List { .. } => return None,
        };
        let deed = Deed::new(action, &act.database).object(&act.account);
        Some(deed.account(Some(&act.book)).person(&act.by))
    }
}

pub(super) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Close(act) => {
            let client = act.database.connect().await?;
            let book = book_id(&client, &act.book).await?;
            Ok(ledger::close(&client, book, &act.account, &act.by, &act.reason).await?)
        }
        Command::Reopen(act) => {
            let client = act.database.connect().await?;
            let book = book_id(&client, &act.book).await?;
            Ok(ledger::reopen(&client, book, &act.account, &act.by, &act.reason).await?)
        }
        Command::List { database, book, json } => list(&database, book.as_deref(), json).await,
    }
}

async fn list(database: &database::Which, book: Option<&str>, json: bool) -> Result<()> {
    let client = database.connect().await?;
    let book = match book {
        Some(code) => Some(book_id(&client, code).await?.0),
        None => None,
    };
    let mut table = Table::new(&[Align::Left; 6], &["book", "account", "act", "by", "at", "reason"]);
    for row in client.query(ACTS, &[&book]).await? {
        let (code, account, act): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let (by, reason): (String, String) = (row.try_get(3)?, row.try_get(5)?);
        let at: Timestamp = row.try_get(4)?;
        if json {
            print::line(json!({
                "book": code, "account": account, "act": act, "by": by, "at": at.to_string(), "reason": reason,
            }));
        } else {
            table.row([code, account, act, by, at.to_string(), reason]);
        }
    }
    if !json {
        print::text(table.render());
    }
    Ok(())
}

const ACTS: &str = "
    SELECT b.code, a.account, a.act, a.acted_by, a.acted_at, a.reason
    FROM ledger.account_act a JOIN ledger.book b USING (book_id)
    WHERE $1::bigint IS NULL OR a.book_id = $1
    ORDER BY a.acted_at DESC, a.book_id, a.account, a.act_no DESC";
