//! `counterfoil keys`: API keys made, rolled and ended by an operator, over the owner's connection.
//!
//! A key and its signing secret are shown once. What ends a key is effective in every process within two seconds.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::deed::Deed;
use super::table::{Align, Table};
use super::{database, print};
use crate::auth::Scope;
use crate::auth::keys::{self, Listed, Made, NewKey};
use crate::clock::Clock;
use crate::service;
use crate::vault::Vault;

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil keys create --merchant acct_1 --scope checkout:write --scope refunds:read --name \"shop\"
  counterfoil keys list --merchant acct_1
  counterfoil keys rotate key_0123 --overlap 24h
  counterfoil keys revoke key_0123")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

impl Args {
    pub(super) fn deed(&self) -> Option<Deed> {
        Some(match &self.command {
            Command::Create(args) => Deed::new("keys create", &args.database).object(&args.merchant),
            Command::Rotate(args) => Deed::new("keys rotate", &args.database).object(&args.key),
            Command::Expire(args) => Deed::new("keys expire", &args.database).object(&args.key),
            Command::Revoke(args) => Deed::new("keys revoke", &args.database).object(&args.key),
            Command::List(_) => return None,
        })
    }
}

#[derive(Subcommand)]
enum Command {
    /// Make a key and show it, once
    #[command(after_long_help = "Examples:
  counterfoil keys create --merchant acct_1
  counterfoil keys create --merchant acct_1 --scope checkout:write --require-signature
  counterfoil keys create --merchant acct_1 --client-certificate cn:checkout-1")]
    Create(Create),
    /// All keys with their rights, last use and state; never the keys themselves
    #[command(after_long_help = "Example:\n  counterfoil keys list --merchant acct_1 --json")]
    List(List),
    /// Make a key like this one, and let the old one work on for a while
    #[command(after_long_help = "Example:\n  counterfoil keys rotate key_0123 --overlap 24h")]
    Rotate(Rotate),
    /// Let a key end by itself
    #[command(after_long_help = "Example:\n  counterfoil keys expire key_0123 --in 1h")]
    Expire(Expire),
    /// End a key now
    #[command(after_long_help = "Example:\n  counterfoil keys revoke key_0123")]
    Revoke(Revoke),
}

#[derive(clap::Args)]
struct Create {
    #[command(flatten)]
    database: database::Which,

    #[command(flatten)]
    vault: VaultKeys,

    /// Whose key it is
    #[arg(long, value_name = "ACCOUNT")]
    merchant: String,

    /// A right (checkout, refunds, disputes, risk, finance or admin, with :read or :write); repeat it. Without any, the key is a
    /// secret key and may do everything
    #[arg(long = "scope", value_name = "SCOPE:RIGHT", value_parser = scope, conflicts_with = "publishable")]
    scopes: Vec<String>,

    /// A key for browsers, which may do nothing on the server's API
    #[arg(long)]
    publishable: bool,

    /// It may act for every merchant, with the Stripe-Account header
    #[arg(long, conflicts_with = "publishable")]
    platform: bool,

    /// What people call it
    #[arg(long, default_value = "", value_name = "TEXT")]
    name: String,

    /// Every request must be signed (RFC 9421)
    #[arg(long)]
    require_signature: bool,

    /// The TLS client certificate that must be shown with it: sha256:HEX of its DER, or cn:NAME
    #[arg(long, value_name = "CERTIFICATE", value_parser = certificate)]
    client_certificate: Option<String>,

    /// Its own limit instead of the service's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    requests_per_second: Option<i32>,

    /// Its own limit instead of the service's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    concurrent_requests: Option<i32>,

    /// It ends by itself after this
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires_in: Option<SignedDuration>,

    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    database: database::Which,

    /// Only this merchant's
    #[arg(long, value_name = "ACCOUNT")]
    merchant: Option<String>,

    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Rotate {
    #[command(flatten)]
    database: database::Which,

    #[command(flatten)]
    vault: VaultKeys,

    /// Id of the key that is to be replaced
    #[arg(value_name = "KEY_ID")]
    key: String,

    /// How long the old key works on
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = duration)]
    overlap: SignedDuration,

    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Expire {
    #[command(flatten)]
    database: database::Which,

    /// Id of the key
    #[arg(value_name = "KEY_ID")]
    key: String,

    /// From now
    #[arg(long = "in", value_name = "DURATION", value_parser = duration)]
    after: SignedDuration,
}

#[derive(clap::Args)]
struct Revoke {
    #[command(flatten)]
    database: database::Which,

    /// Id of the key
    #[arg(value_name = "KEY_ID")]
    key: String,
}

/// Where the pepper of keys' hashes is.
#[derive(clap::Args)]
struct VaultKeys {
    /// The vault's key file; without it, the one of the development folder
    #[arg(long, value_name = "FILE")]
    vault_keys: Option<PathBuf>,
}

pub(super) async fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Create(args) => create(args).await,
        Command::List(args) => list(args).await,
        Command::Rotate(args) => rotate(args).await,
        Command::Expire(args) => expire(args).await,
        Command::Revoke(args) => revoke(args).await,
    }
}

async fn expire(args: Expire) -> Result<()> {
    let (client, now) = (args.database.connect().await?, Clock::default().now());
    let at = later(now, args.after)?;
    keys::expire(&client, &args.key, at, now).await?;
    print::line(format_args!("{} expires at {at}.", args.key));
    Ok(())
}

async fn revoke(args: Revoke) -> Result<()> {
    let client = args.database.connect().await?;
    keys::revoke(&client, &args.key, Clock::default().now()).await?;
    print::line(format_args!(
        "{} is revoked; every process refuses it within 2 seconds.",
        args.key
    ));
    Ok(())
}

async fn create(args: Create) -> Result<()> {
    let (client, vault, now) = (
        args.database.connect().await?,
        args.vault.open(&args.database)?,
        Clock::default().now(),
    );
    let merchant = client
        .query_opt("SELECT book_id FROM gateway.merchant WHERE id = $1", &[&args.merchant])
        .await?;
    let Some(merchant) = merchant else {
        bail!("there is no merchant {}", args.merchant);
    };
    let new = NewKey {
        book_id: merchant.try_get(0)?,
        kind: match (args.publishable, args.scopes.is_empty()) {
            (true, _) => "publishable",
            (false, true) => "secret",
            (false, false) => "restricted",
        },
        platform: args.platform,
        scopes: &args.scopes,
        name: &args.name,
        signature_required: args.require_signature,
        client_certificate: args.client_certificate.as_deref(),
        requests_per_second: args.requests_per_second,
        concurrent_requests: args.concurrent_requests,
        expires_at: args.expires_in.map(|after| later(now, after)).transpose()?,
        replaces: None,
    };
    show(&keys::create(&client, &vault, &new, now).await?, args.json);
    Ok(())
}

async fn rotate(args: Rotate) -> Result<()> {
    let (mut client, vault, now) = (
        args.database.connect().await?,
        args.vault.open(&args.database)?,
        Clock::default().now(),
    );
    let until = later(now, args.overlap)?;
    let made = keys::rotate(&mut client, &vault, &args.key, until, now).await?;
    show(&made, args.json);
    if !args.json {
        print::line(format_args!("\n{} works until {until}.", args.key));
    }
    Ok(())
}

async fn list(args: List) -> Result<()> {
    let client = args.database.connect().await?;
    let keys = keys::list(&client, args.merchant.as_deref(), Clock::default().now()).await?;
    if args.json {
        print::line(serde_json::to_string_pretty(&keys)?);
        return Ok(());
    }
    let headings = [
        "id",
        "key",
        "merchant",
        "rights",
        "demands",
        "last used",
        "state",
        "name",
    ];
    let mut table = Table::new(&[Align::Left; 8], &headings);
    for key in keys {
        let (rights, demands, state) = (rights(&key), demands(&key), state(&key));
        let used = key.last_used_at.map_or("never".to_owned(), minute);
        table.row([key.id, key.hint, key.merchant, rights, demands, used, state, key.name]);
    }
    print::text(table.render());
    Ok(())
}

fn rights(key: &Listed) -> String {
    let own = match key.kind.as_str() {
        "secret" => "all".to_owned(),
        "publishable" => "none".to_owned(),
        _ => key.scopes.join(" "),
    };
    own + if key.platform { ", of every merchant" } else { "" }
}

fn demands(key: &Listed) -> String {
    let signature = key.signature_required.then(|| "signature".to_owned());
    let certificate = key.client_certificate.as_ref().map(|bound| match bound.get(..15) {
        Some(start) if bound.starts_with("sha256:") => format!("{start}.."),
        _ => bound.clone(),
    });
    let demands: Vec<String> = signature.into_iter().chain(certificate).collect();
    if demands.is_empty() {
        "-".to_owned()
    } else {
        demands.join(", ")
    }
}

fn state(key: &Listed) -> String {
    match (key.state, key.expires_at) {
        ("active", Some(at)) => format!("until {}", minute(at)),
        (state, _) => state.to_owned(),
    }
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

fn show(made: &Made, json: bool) {
    let Made {
        id,
        key,
        signing_secret,
    } = made;
    if json {
        print::line(json!({ "id": id, "key": key, "signing_secret": signing_secret }));
        return;
    }
    print::text(format_args!(
        "id              {id}\nkey             {key}\nsigning secret  {signing_secret}\n\nNeither secret is shown again.\n"
    ));
}

impl VaultKeys {
    fn open(&self, database: &database::Which) -> Result<Vault> {
        let path = self
            .vault_keys
            .clone()
            .unwrap_or_else(|| database.dir.join("vault.keys"));
        // Hashing needs the pepper alone: the vault's database is not asked.
        service::vault(&database.database()?, &path, false, &Clock::default())
            .with_context(|| format!("{}", path.display()))
    }
}

fn later(now: Timestamp, after: SignedDuration) -> Result<Timestamp> {
    now.checked_add(after).context("that is too far in the future")
}

fn scope(text: &str) -> Result<String, String> {
    let known = |name: &str| Scope::ALL.iter().any(|scope| scope.as_str() == name);
    match text.split_once(':') {
        Some((name, "read" | "write")) if known(name) => Ok(text.to_owned()),
        _ => {
            let names: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
            Err(format!("expected one of {} with :read or :write", names.join(", ")))
        }
    }
}

fn certificate(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        Some(("sha256", digest)) => {
            let digest = digest.replace(':', "").to_ascii_lowercase(); // as openssl prints it
            match hex::decode(&digest) {
                Ok(bytes) if bytes.len() == 32 => Ok(format!("sha256:{digest}")),
                _ => Err("a SHA-256 fingerprint has 64 hexadecimal digits".to_owned()),
            }
        }
        Some(("cn", name)) if (1..=200).contains(&name.chars().count()) => Ok(text.to_owned()),
        _ => Err("expected sha256:HEX or cn:NAME".to_owned()),
    }
}

pub(super) fn duration(text: &str) -> Result<SignedDuration, String> {
    match text.parse::<SignedDuration>() {
        Ok(duration) if !duration.is_negative() => Ok(duration),
        _ => Err("expected a duration such as 30s, 15m, 24h".to_owned()),
    }
}
