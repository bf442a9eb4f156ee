//! `counterfoil risk lists`: who is blocked, trusted, watched. The service follows within seconds.

use anyhow::{Context, Result};
use clap::Subcommand;
use jiff::SignedDuration;
use serde_json::Value;

use super::super::deed::Deed;
use super::super::table::{Align, Table};
use super::super::{keys, print};
use super::merchant::{Of, text};
use crate::clock::Clock;
use crate::risk::lists;
use crate::risk::rows::ItemType;

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil risk lists list --merchant acct_1
  counterfoil risk lists add --merchant acct_1 email_blocklist eve@example.org --for 720h
  counterfoil risk lists show --merchant acct_1 email_blocklist
  counterfoil risk lists remove --merchant acct_1 rsli_0123")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// All lists, the built-in ones too, and how many items each has
    #[command(after_long_help = "Example:\n  counterfoil risk lists list --merchant acct_1 --json")]
    List {
        #[command(flatten)]
        of: Of,
    },
    /// The items of a list, newest first; an end that is over counts no more
    #[command(after_long_help = "Example:\n  counterfoil risk lists show --merchant acct_1 email_blocklist")]
    Show {
        /// Alias or id
        list: String,
        #[command(flatten)]
        of: Of,
    },
    /// Make a list of your own, for rules to ask about
    #[command(
        after_long_help = "Example:\n  counterfoil risk lists create --merchant acct_1 regulars --items email --name Regulars"
    )]
    Create {
        /// Lower-case letters, digits and underscores
        alias: String,
        #[command(flatten)]
        of: Of,
        /// What it holds: card_fingerprint, card_bin, customer_id, email, ip_address or device
        #[arg(long, value_parser = item_type)]
        items: ItemType,
        /// What people call it; the alias when not given
        #[arg(long)]
        name: Option<String>,
    },
    /// Put a value on a list, for good or for a while
    #[command(
        after_long_help = "Example:\n  counterfoil risk lists add --merchant acct_1 email_blocklist eve@example.org --for 720h"
    )]
    Add {
        /// Alias or id
        list: String,
        /// What the list holds
        value: String,
        #[command(flatten)]
        of: Of,
        /// From now; without it, for good
        #[arg(long = "for", value_name = "DURATION", value_parser = keys::duration)]
        lasting: Option<SignedDuration>,
    },
    /// Take an item off its list
    #[command(after_long_help = "Example:\n  counterfoil risk lists remove --merchant acct_1 rsli_0123")]
    Remove {
        /// The item's id, as `show` tells it
        item: String,
        #[command(flatten)]
        of: Of,
    },
}

impl Args {
    /// Changes are noted, and so is a look at the items: they may be people's addresses. A value itself is never noted.
    pub(super) fn deed(&self) -> Option<Deed> {
        let deed = |action: &'static str, object: &str, of: &Of| {
            let deed = Deed::new(action, &of.place.database).object(object);
            Some(deed.account(Some(&of.merchant)))
        };
        match &self.command {
            Command::List { .. } => None,
            Command::Show { list, of } => deed("risk lists show", list, of),
            Command::Create { alias, of, .. } => deed("risk lists create", alias, of),
            Command::Add { list, of, .. } => deed("risk lists add", list, of),
            Command::Remove { item, of } => deed("risk lists remove", item, of),
        }
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    match args.command {
        Command::List { of } => {
            let known = of.call(async |call| lists::all(call).await).await?;
            if of.json {
                let known = known.iter().map(
                    |list| serde_json::json!({"alias": list.alias, "item_type": list.item_type, "items": list.items}),
                );
                print::line(Value::from_iter(known));
                return Ok(());
            }
            let mut table = Table::new(&[Align::Left, Align::Left, Align::Right], &["alias", "holds", "items"]);
            for list in known {
                table.row([list.alias, list.item_type.as_str().to_owned(), list.items.to_string()]);
            }
            print::text(table.render());
            Ok(())
        }
        Command::Show { list, of } => {
            let items = of.call(async |call| lists::items(call, &list).await).await?;
            if of.json {
                print::line(Value::from(items));
                return Ok(());
            }
            let mut table = Table::new(&[Align::Left; 4], &["id", "value", "since", "until"]);
            for item in &items {
                let moment = |field: &str| {
                    let at = item[field]
                        .as_i64()
                        .and_then(|at| jiff::Timestamp::from_second(at).ok());
                    at.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M").to_string())
                };
                table.row([
                    text(item, "id"),
                    text(item, "value"),
                    moment("created"),
                    moment("expires_at"),
                ]);
            }
            print::text(table.render());
            Ok(())
        }
        Command::Create { alias, of, items, name } => {
            let name = name.unwrap_or_else(|| alias.clone());
            let none = std::collections::BTreeMap::new();
            let answer = of
                .call(async |call| lists::create(call, &alias, &name, items, none).await)
                .await?;
            of.show(&answer, |list| {
                format!(
                    "{} is there. Rules ask: .. in lists.{}",
                    text(list, "id"),
                    text(list, "alias")
                )
            })
        }
        Command::Add {
            list,
            value,
            of,
            lasting,
        } => {
            let until = lasting
                .map(|lasting| Clock::default().now().checked_add(lasting))
                .transpose()
                .context("that is too far in the future")?;
            let answer = of
                .call(async |call| lists::put(call, &list, &value, until).await)
                .await?;
            of.show(&answer, |item| match until {
                Some(until) => format!("{} counts until {until}.", text(item, "id")),
                None => format!("{} counts for good.", text(item, "id")),
            })
        }
        Command::Remove { item, of } => {
            let answer = of.call(async |call| lists::remove(call, &item).await).await?;
            of.show(&answer, |item| {
                format!("{} is off its list within 5 seconds.", text(item, "id"))
            })
        }
    }
}

fn item_type(word: &str) -> Result<ItemType, String> {
    ItemType::named(word).ok_or_else(|| format!("expected one of {}", ItemType::ALL.map(|(word, _)| word).join(", ")))
}
