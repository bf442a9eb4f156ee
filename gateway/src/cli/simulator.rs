//! `counterfoil simulator`: the outside world as a process of its own.

use anyhow::Result;

use super::shutdown::Shutdown;

#[derive(clap::Args)]
#[command(after_long_help = "Example:
  counterfoil simulator --listen 127.0.0.1:12111 --dir /tmp/acquirer")]
pub(super) struct Args {
    #[command(flatten)]
    options: simulator::Options,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut shutdown = Shutdown::listen()?;
    simulator::run(args.options, async move { shutdown.requested().await }).await
}
