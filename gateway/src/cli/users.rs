//! `counterfoil users`: people of the console, made and ended by an operator, over the owner's connection.
//!
//! A password that is made here is shown once and must be changed at the first sign-in. Who has lost the second factor gets a new
//! one with `reset`. All of it is in force at the person's next click.

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::json;
use tokio_postgres::Client;

use super::deed::Deed;
use super::table::{Align, Table};
use super::{database, print};
use crate::console::role::Role;
use crate::console::{password, user};

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil users create ada --role risk_analyst
  counterfoil users create bo --role merchant_read_only --merchant acct_harbourbooks
  counterfoil users list
  counterfoil users reset ada")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Add a person, and show the password to begin with, once
    #[command(after_long_help = "Examples:
  counterfoil users create ada --role risk_analyst
  counterfoil users create bo --role merchant_read_only --merchant acct_harbourbooks")]
    Create(Create),
    /// Everybody with their role, and when they were last seen
    #[command(after_long_help = "Example:\n  counterfoil users list --json")]
    List(List),
    /// Shut a person out, now
    #[command(after_long_help = "Example:\n  counterfoil users disable ada")]
    Disable(Name),
    /// Let a person in again
    #[command(after_long_help = "Example:\n  counterfoil users enable ada")]
    Enable(Name),
    /// A new password to begin with, shown once, and a new second factor
    #[command(after_long_help = "Example:\n  counterfoil users reset ada")]
    Reset(Name),
    /// Let a person try again who gave too many wrong answers
    #[command(after_long_help = "Example:\n  counterfoil users unlock ada")]
    Unlock(Name),
}

#[derive(clap::Args)]
struct Create {
    #[command(flatten)]
    database: database::Which,

    /// Login name: lower-case letters, digits, dots and dashes
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,

    /// What they are here for: admin, operator, risk_analyst, finance, dispute_officer, supervisor, merchant_read_only or auditor
    #[arg(long, value_name = "ROLE")]
    role: Role,

    /// Of a merchant's reader: whose affairs
    #[arg(long, value_name = "ACCOUNT")]
    merchant: Option<String>,

    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    database: database::Which,

    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Name {
    #[command(flatten)]
    database: database::Which,

    /// Login name
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
}

impl Args {
    pub(super) fn deed(&self) -> Option<Deed> {
        Some(match &self.command {
            Command::Create(args) => Deed::new("users create", &args.database).object(&args.name),
            Command::Disable(args) => Deed::new("users disable", &args.database).object(&args.name),
            Command::Enable(args) => Deed::new("users enable", &args.database).object(&args.name),
            Command::Reset(args) => Deed::new("users reset", &args.database).object(&args.name),
            Command::Unlock(args) => Deed::new("users unlock", &args.database).object(&args.name),
            Command::List(_) => return None,
        })
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Create(args) => create(args).await,
        Command::List(args) => list(args).await,
        Command::Disable(args) => {
            let client = args.database.connect().await?;
            tell(
                &client,
                user::disable(&client, &args.name).await?,
                &args.name,
                "is shut out",
            )
            .await
        }
        Command::Enable(args) => {
            let client = args.database.connect().await?;
            tell(
                &client,
                user::enable(&client, &args.name).await?,
                &args.name,
                "may sign in again",
            )
            .await
        }
        Command::Unlock(args) => {
            let client = args.database.connect().await?;
            tell(
                &client,
                user::unlock(&client, &args.name).await?,
                &args.name,
                "may try again",
            )
            .await
        }
        Command::Reset(args) => reset(args).await,
    }
}

async fn create(args: Create) -> Result<()> {
    if (args.role == Role::MerchantReadOnly) != args.merchant.is_some() {
        bail!("--merchant goes with --role merchant_read_only, and with no other");
    }
    let client = args.database.connect().await?;
    if let Some(account) = &args.merchant {
        let found = client
            .query_opt("SELECT 1 FROM gateway.merchant WHERE id = $1", &[account])
            .await?;
        found.with_context(|| format!("there is no merchant {account}"))?;
    }
    let password = password::random();
    let hash = password::hash_now(&password)?;
    let made = user::create(
        &client,
        &args.name,
        args.role,
        args.merchant.as_deref(),
        &hash,
        true,
        "users create",
    )
    .await?;
    if !made {
        bail!(
            "{} is there already; `counterfoil users reset {}` gives a new password",
            args.name,
            args.name
        );
    }
    match args.json {
        true => print::line(json!({ "user": args.name, "role": args.role.as_str(), "password": password })),
        false => print::text(format!(
            "{} may sign in as {}.\n\n  password   {password}\n\nIt is shown this once, and changed at the first sign-in.\n",
            args.name,
            args.role.as_str()
        )),
    }
    Ok(())
}

async fn list(args: List) -> Result<()> {
    let client = args.database.connect().await?;
    let people = user::all(&client).await?;
    if args.json {
        for (person, seen) in &people {
            print::line(json!({
                "user": person.name, "role": person.role.as_str(), "merchant": person.account, "disabled": person.disabled,
                "second_factor": person.totp_since.is_some(), "locked_until": person.locked_until, "seen_at": seen,
            }));
        }
        return Ok(());
    }
    let headings = ["user", "role", "merchant", "second factor", "state", "last seen"];
    let mut table = Table::new(&[Align::Left; 6], &headings);
    let now = jiff::Timestamp::now();
    for (person, seen) in people {
        let state = match person.locked_until {
            _ if person.disabled => "disabled",
            Some(until) if until > now => "locked",
            _ => "",
        };
        table.row([
            person.name,
            person.role.as_str().to_owned(),
            person.account.unwrap_or_default(),
            if person.totp_since.is_some() { "yes" } else { "no" }.to_owned(),
            state.to_owned(),
            seen.map_or_else(String::new, |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string()),
        ]);
    }
    print::text(table.render());
    Ok(())
}

async fn reset(args: Name) -> Result<()> {
    let client = args.database.connect().await?;
    let password = password::random();
    let hash = password::hash_now(&password)?;
    let known = user::set_password(&client, &args.name, &hash, true).await?;
    if !known {
        bail!("there is nobody called {}", args.name);
    }
    user::reset_second_factor(&client, &args.name).await?;
    print::text(format!(
        "{} has a new password, and sets up a new second factor with it.\n\n  password   {password}\n\nIt is shown this once.\n",
        args.name
    ));
    Ok(())
}

/// Says what was done, or why nothing was.
async fn tell(client: &Client, done: bool, name: &str, what: &str) -> Result<()> {
    if done {
        print::line(format_args!("{name} {what}."));
        return Ok(());
    }
    match user::by_name(client, name).await? {
        Some(_) => print::line(format_args!("{name} {what} already.")),
        None => bail!("there is nobody called {name}"),
    }
    Ok(())
}

fn name(text: &str) -> Result<String, String> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
    match text.len() <= 50 && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(letters) {
        true => Ok(text.to_owned()),
        false => Err(
            "a name begins with a lower-case letter and has letters, digits, dots, dashes and underscores, 50 at most"
                .into(),
        ),
    }
}
