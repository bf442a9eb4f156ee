//! `counterfoil migrate`: schemas up to date. Safe while older processes serve, and from several machines at once.

use anyhow::Result;

use super::database;
use crate::service;

#[derive(clap::Args)]
#[command(after_long_help = "Example:\n  counterfoil migrate --database-url postgresql://owner@db1/counterfoil")]
pub(super) struct Args {
    #[command(flatten)]
    database: database::Which,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = args.database.connect().await?;
    match service::migrate(&mut client).await? {
        0 => println!("The schemas are up to date."),
        applied => println!("Applied {applied} migrations; the schemas are up to date."),
    }
    Ok(())
}
