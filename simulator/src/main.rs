//! The simulated acquirer as a program of its own. Ends with 0 on SIGTERM or Ctrl-C after writing out its log.

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Simulated acquirer: speaks Stripe's wire on loopback.
///
/// Example: simulator --listen 127.0.0.1:12111 --admin-listen 127.0.0.1:12112 --dir .simulator
#[derive(Parser)]
#[command(name = "simulator", version)]
struct Arguments {
    #[command(flatten)]
    options: simulator::Options,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .init();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    simulator::run(arguments.options, async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await
}
