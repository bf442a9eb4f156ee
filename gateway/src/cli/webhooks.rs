//! `counterfoil webhooks`: what was told to merchants' endpoints, and telling it again.

use anyhow::{Result, bail};
use clap::Subcommand;

use super::deed::Deed;
use super::table::{Align, Table};
use super::{database, print};
use crate::clock::Clock;
use crate::webhook::again::{self, Query};
use crate::wire;

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil webhooks deliveries we_0123
  counterfoil webhooks resend evt_0123 --endpoint we_0123")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// What an endpoint was told, newest first, with how the last attempts went
    #[command(after_long_help = "Example:\n  counterfoil webhooks deliveries we_0123 --limit 50 --json")]
    Deliveries {
        #[command(flatten)]
        database: database::Which,
        /// The endpoint's id
        endpoint: String,
        /// At most so many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
        /// For programs: one delivery per line
        #[arg(long)]
        json: bool,
    },
    /// Have an event delivered again, with the whole schedule of retries
    #[command(after_long_help = "Examples:
  counterfoil webhooks resend evt_0123
  counterfoil webhooks resend evt_0123 --endpoint we_0123")]
    Resend {
        #[command(flatten)]
        database: database::Which,
        /// The event's id
        event: String,
        /// To this endpoint alone, also if it was not to have the event; without it, to all that were
        #[arg(long, value_name = "ENDPOINT")]
        endpoint: Option<String>,
    },
}

impl Args {
    pub(super) fn deed(&self) -> Option<Deed> {
        match &self.command {
            Command::Deliveries { .. } => None, // names of events, and how the receiver answered
            Command::Resend { database, event, .. } => Some(Deed::new("webhooks resend", database).object(event)),
        }
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Deliveries {
            database,
            endpoint,
            limit,
            json,
        } => deliveries(&database, &endpoint, limit, json).await,
        Command::Resend {
            database,
            event,
            endpoint,
        } => resend(&database, &event, endpoint.as_deref()).await,
    }
}

async fn deliveries(database: &database::Which, endpoint: &str, limit: i64, json: bool) -> Result<()> {
    let client = database.connect().await?;
    let book = "SELECT book_id FROM gateway.webhook_endpoint WHERE id = $1";
    let Some(book) = client.query_opt(book, &[&endpoint]).await? else {
        bail!("there is no webhook endpoint {endpoint}");
    };
    let query = Query {
        book_id: book.try_get(0)?,
        endpoint_id: endpoint,
        state: None,
        after: None,
        before: None,
        limit,
    };
    let mut table = Table::new(
        &[
            Align::Left,
            Align::Left,
            Align::Left,
            Align::Right,
            Align::Left,
            Align::Left,
        ],
        &["event", "type", "state", "attempts", "last", "answer"],
    );
    for delivery in again::deliveries(&client, &query).await? {
        if json {
            print::line(wire::webhook_delivery(&delivery));
            continue;
        }
        let last = delivery.attempts.first();
        let number = last.map_or(0, |attempt| attempt.number).to_string();
        let at = last.map_or_else(String::new, |attempt| {
            attempt.at.strftime("%Y-%m-%d %H:%M:%S").to_string()
        });
        let answer = last.map_or_else(String::new, |attempt| {
            let status = attempt.status.map_or("none".to_owned(), |status| status.to_string());
            let error: String = attempt.error.as_deref().unwrap_or_default().chars().take(60).collect();
            format!("{status} {error}")
        });
        let state = delivery.state().as_str().to_owned();
        table.row([delivery.event_id, delivery.event_type, state, number, at, answer]);
    }
    if !json {
        print::text(table.render());
    }
    Ok(())
}

async fn resend(database: &database::Which, event: &str, endpoint: Option<&str>) -> Result<()> {
    let client = database.connect().await?;
    let rows = client
        .query("SELECT book_id FROM gateway.event WHERE id = $1", &[&event])
        .await?;
    let [row] = &rows[..] else {
        bail!("there is no event {event}");
    };
    let now = Clock::default().now();
    match again::again(&client, row.try_get(0)?, event, endpoint, now).await? {
        0 => bail!("no enabled endpoint of that merchant is to have it"),
        told => print::line(format_args!(
            "{told} deliveries are due; a serving process makes them within a second."
        )),
    }
    Ok(())
}
