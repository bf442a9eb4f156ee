//! `counterfoil regulator export`: a period for an authority, hashed and signed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use jiff::Timestamp;

use super::deed::Deed;
use super::{database, finance, report};
use crate::regulator::{self, Key};
use crate::report::Which;

#[derive(clap::Args)]
#[command(
    after_long_help = "Example:\n  counterfoil regulator export --from 2026-10-01 --to 2026-10-31 --key regulator.pem --out october"
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write what happened in a period into a folder: aggregates, no personal data, with a signed manifest of their hashes
    #[command(
        after_long_help = "From the same position of the books the files and the signature are the same, byte for byte.

The key:      openssl genpkey -algorithm ed25519 -out regulator.pem
To check it:  openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in manifest.json -sigfile manifest.sig

Examples:
  counterfoil regulator export --from 2026-10-01 --to 2026-10-31 --key regulator.pem --out october
  counterfoil regulator export --from 2026-01-01 --to 2026-12-31 --key regulator.pem --out year --position page:9000"
    )]
    Export {
        #[command(flatten)]
        database: database::Which,
        /// From the start of this day (UTC), or from this instant
        #[arg(long, value_name = "DATE|TIME", value_parser = finance::start)]
        from: Timestamp,
        /// To the end of this day (UTC), or to this instant
        #[arg(long, value_name = "DATE|TIME", value_parser = finance::end)]
        to: Timestamp,
        /// File with the Ed25519 key that signs, PEM
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Folder for the files; made when it is not there
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// What the books had recorded: `newest`, `sealed`, `page:N` for a sealed page, or the id of the last journal that counts
        #[arg(long, default_value = "newest")]
        position: Which,
    },
}

impl Args {
    pub(super) fn deed(&self) -> Option<Deed> {
        let Command::Export { database, from, to, .. } = &self.command;
        Some(Deed::new("regulator export", database).object(format!("{from} {to}")))
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    let Command::Export {
        database,
        from,
        to,
        key,
        out,
        position,
    } = args.command;
    let pem = fs::read(&key).with_context(|| format!("reading {}", key.display()))?;
    let key = Key::from_pem(&pem)?;
    let client = database.connect().await?;
    let files = regulator::export(&client, &key, from, to, position).await?;
    fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
    if let Some(known) = files.iter().find(|file| out.join(&file.name).exists()) {
        bail!(
            "{} holds {} already: an export is not written over another",
            out.display(),
            known.name
        );
    }
    for file in &files {
        report::write(&out.join(&file.name), &file.bytes)?;
    }
    eprintln!("{} files in {}", files.len(), out.display());
    Ok(())
}
