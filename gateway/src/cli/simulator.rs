//! `counterfoil simulator`: the outside world as a process of its own.

use anyhow::Result;

use super::shutdown::Shutdown;

#[derive(clap::Args)]
#[command(after_long_help = "Example:
  counterfoil simulator --listen 127.0.0.1:12111 --dir /tmp/acquirer")]
pub(super) struct Args {
    #[command(flatten)]
    options: stand_in::Options,
}

pub(super) async fn run(args: Args) -> Result<()> {
    let mut shutdown = Shutdown::listen()?;
    stand_in::run(args.options, async move { shutdown.requested().await }).await
}

/// TEMPORARY: the shape of the simulator crate.
mod stand_in {
    #[derive(clap::Args)]
    pub struct Options {
        #[arg(long)]
        listen: std::net::SocketAddr,
        #[arg(long)]
        admin_listen: std::net::SocketAddr,
        #[arg(long)]
        dir: std::path::PathBuf,
        #[arg(long)]
        ready_file: std::path::PathBuf,
        #[arg(long)]
        webhook_url: String,
        #[arg(long)]
        webhook_secret: String,
        #[arg(long)]
        webhook_ca: std::path::PathBuf,
    }

    pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        std::fs::create_dir_all(options.dir)?;
        let api = tokio::net::TcpListener::bind(options.listen).await?;
        let admin = tokio::net::TcpListener::bind(options.admin_listen).await?;
        let ready = serde_json::json!({
            "api_url": format!("http://{}", api.local_addr()?), "admin_url": format!("http://{}", admin.local_addr()?),
            "pid": std::process::id(),
        });
        std::fs::write(options.ready_file, ready.to_string())?;
        shutdown.await;
        Ok(())
    }
}
