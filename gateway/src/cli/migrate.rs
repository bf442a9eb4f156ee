//! `counterfoil migrate`: schemas up to date. Safe while older processes serve, and from several machines at once.

use anyhow::Result;

use super::deed::Deed;
use super::{database, print};
use crate::service;

#[derive(clap::Args)]
#[command(after_long_help = "Example:\n  counterfoil migrate --database-url postgresql://owner@db1/counterfoil")]
pub(super) struct Args {
    #[command(flatten)]
    database: database::Which,
}

impl Args {
    pub(super) fn deed(&self) -> Deed {
        Deed::new("migrate", &self.database).makes_the_log()
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut client = args.database.connect().await?;
    match service::migrate(&mut client).await? {
        0 => print::line("The schemas are up to date."),
        applied => print::line(format_args!(
            "Applied {applied} migrations; the schemas are up to date."
        )),
    }
    Ok(())
}
