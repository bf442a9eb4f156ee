//! `counterfoil vault`: where the keys of card data stand, their rotation, and forgetting cards for good.
//!
//! Works beside the serving processes, with the same key file or transit engine, over a connection that may act as role
//! `vault_keeper`. It never shows a card.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use super::deed::Deed;
use super::table::{Align, Table};
use super::{database, print};
use crate::clock::Clock;
use crate::config::Settings;
use crate::vault::{FileKms, Keeper, Keys, Kms, Shred, Status, Transit, Vault};

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil vault status
  counterfoil vault rotate kek
  counterfoil vault retire k1")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

impl Args {
    pub(super) fn deed(&self) -> Option<Deed> {
        Some(match &self.command {
            Command::Status { .. } => return None,
            Command::Rotate { which, place } => Deed::new("vault rotate", &place.database).object(match which {
                Which::Kek => "kek",
                Which::Data => "data",
            }),
            Command::Retire { key, place } => Deed::new("vault retire", &place.database).object(key),
            Command::Shred { what, place, .. } => Deed::new("vault shred", &place.database).object(what),
        })
    }
}

#[derive(clap::Args)]
pub(super) struct Where {
    #[command(flatten)]
    pub(super) database: database::Which,

    /// Settings of `counterfoil serve`, for the key file or the transit engine; without it, vault.keys of the
    /// development folder
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Show the key-encryption keys, what they wrap, and rotations under way; fails when one is lost
    #[command(after_long_help = "Example:\n  counterfoil vault status --json")]
    Status {
        #[command(flatten)]
        place: Where,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Exchange keys while the service runs; started again, an interrupted rotation goes on
    #[command(after_long_help = "Examples:
  counterfoil vault rotate kek     # a new key-encryption key; every data key is wrapped again
  counterfoil vault rotate data    # new data keys; every card and secret is sealed again")]
    Rotate {
        /// Which keys
        #[arg(value_enum)]
        which: Which,
        #[command(flatten)]
        place: Where,
    },
    /// Destroy a key-encryption key that wraps nothing any more
    #[command(after_long_help = "Example:\n  counterfoil vault retire k1")]
    Retire {
        /// Its name, as `status` shows it
        key: String,
        #[command(flatten)]
        place: Where,
    },
    /// Forget cards for good: the past stays, nothing can be charged to them again
    #[command(after_long_help = "Examples:
  counterfoil vault shred pm_0198c5a7 --yes
  counterfoil vault shred acct_harbourbooks --yes")]
    Shred {
        /// A card of the vault (`card_..`), a payment method (`pm_..`), or a merchant (`acct_..`) for all its cards
        what: String,
        /// It cannot be undone
        #[arg(long, required = true)]
        yes: bool,
        #[command(flatten)]
        place: Where,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Which {
    Kek,
    Data,
}

pub(super) async fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Status { place, json } => {
            let status = place.keeper().await?.status().await?;
            if json {
                print::line(serde_json::to_string_pretty(&status)?);
            } else {
                print::text(table(&status));
            }
            match status.keks.iter().find_map(|kek| kek.problem.clone()) {
                Some(problem) => bail!("{problem}"),
                None => Ok(()),
            }
        }
        Command::Rotate { which, place } => {
            let mut keeper = place.keeper().await?;
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} keys, {eta} left")?;
            let bar = ProgressBar::new(0).with_style(style);
            let progress = |done, total| {
                bar.set_length(total);
                bar.set_position(done);
            };
            let said = match which {
                Which::Kek => {
                    let new = keeper.rotate_kek(progress).await?;
                    format!(
                        "Every data key is wrapped by `{new}` now; `counterfoil vault retire` destroys the one of before."
                    )
                }
                Which::Data => format!("{} cards have new data keys.", keeper.rotate_data(progress).await?),
            };
            bar.finish_and_clear();
            print::line(said);
            Ok(())
        }
        Command::Retire { key, place } => {
            place.keeper().await?.retire(&key).await?;
            print::line(format_args!("`{key}` is destroyed."));
            Ok(())
        }
        Command::Shred { what, yes: _, place } => {
            let shred = place.subject(&what).await?;
            let shredded = place.keeper().await?.shred(&shred).await?;
            print::line(format_args!("{shredded} cards are forgotten."));
            Ok(())
        }
    }
}

impl Where {
    /// The vault itself, with the keys of its secrets loaded: for what commands seal and read.
    pub(super) async fn vault(&self) -> Result<Vault> {
        let (keys, kms) = self.keys()?;
        let vault = Vault::open(self.database.database()?.pool(2)?, keys, kms, Clock::default());
        vault.load().await.context("the vault's keys of secrets")?;
        Ok(vault)
    }

    fn keys(&self) -> Result<(Keys, Arc<dyn Kms>)> {
        let (file, transit) = match &self.config {
            Some(config) => {
                let settings = Settings::load(config).with_context(|| format!("settings of {}", config.display()))?;
                (settings.vault.keys.clone(), settings.vault.transit()?)
            }
            None => (self.database.dir.join("vault.keys"), None),
        };
        let keys = Keys::from_file(&file).with_context(|| file.display().to_string())?;
        let kms: Arc<dyn Kms> = match transit {
            Some(transit) => Arc::new(Transit::new(transit)?),
            None => Arc::new(FileKms::open(&file)?),
        };
        Ok((keys, kms))
    }

    async fn keeper(&self) -> Result<Keeper> {
        let (keys, kms) = self.keys()?;
        let client = self.database.connect().await?;
        Ok(Keeper::open(client, keys, kms).await?)
    }

    /// Whose cards are meant. Asked of the gateway's tables as whoever connects: the keeper's role sees none of them.
    async fn subject(&self, what: &str) -> Result<Shred> {
        if what.starts_with("card_") {
            return Ok(Shred::Card(what.to_owned()));
        }
        let client = self.database.connect().await?;
        if what.starts_with("acct_") {
            let book = "SELECT book_id FROM gateway.merchant WHERE id = $1";
            let book = client.query_opt(book, &[&what]).await?;
            return Ok(Shred::Book(book.context("no such merchant")?.try_get(0)?));
        }
        let card = "SELECT vault_id FROM gateway.payment_method WHERE id = $1";
        let card = client.query_opt(card, &[&what]).await?;
        let card: Option<String> = card.context("no such payment method")?.try_get(0)?;
        Ok(Shred::Card(
            card.context("it is a test token: there is no card behind it")?,
        ))
    }
}

fn table(status: &Status) -> String {
    const ALIGN: &[Align] = &[Align::Left, Align::Left, Align::Right];
    let mut keks = Table::new(ALIGN, &["key-encryption key", "state", "data keys"]);
    for kek in &status.keks {
        keks.row([kek.id.clone(), kek.state.to_owned(), kek.data_keys.to_string()]);
    }
    let mut text = keks.render();
    text.push_str(&format!("\n{} cards, {} shredded", status.cards, status.shredded));
    if let Some(oldest) = status.oldest_data_key {
        text.push_str(&format!(", oldest data key of {}", oldest.strftime("%Y-%m-%d")));
    }
    text.push('\n');
    for rotation in &status.unfinished {
        let (kind, done, total) = (&rotation.kind, rotation.done, rotation.total);
        text.push_str(&format!(
            "rotation of {kind} keys: {done} of {total}; `counterfoil vault rotate {kind}` goes on\n"
        ));
    }
    text
}
