//! `counterfoil risk`: train models from history, test them as they would have gone live, look into them. Reads and writes
//! files, and the scorer's log of a service; nothing here changes a running service.

mod backtest;
mod data;
mod generate;
mod model;

use anyhow::Result;
use clap::Subcommand;

use super::deed::Deed;

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil risk generate --seed 7 --out history.csv.gz
  counterfoil risk backtest --data history.csv.gz --protocol handbook
  counterfoil risk train --data history.csv.gz --out model.json")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Replay a history, train and test on the way, and say how good the scorer is
    Backtest(backtest::Args),
    /// Train a model from a history
    Train(model::TrainArgs),
    /// Score a history with a model
    Score(model::ScoreArgs),
    /// Show where a model comes from, how good it is, and what its thresholds cost
    Show(model::ShowArgs),
    /// Make a history with fraud in it, by seed
    Generate(generate::Args),
}

impl Args {
    /// Training reads payments where it is not given a file.
    pub(super) fn deed(&self) -> Option<Deed> {
        match &self.command {
            Command::Train(args) if args.data.is_none() => Some(Deed::new("risk train", &args.database)),
            _ => None,
        }
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    if let Command::Train(args) = &args.command
        && args.data.is_none()
    {
        return model::train_from_log(args).await;
    }
    // minutes of computing: not on a thread that serves others
    tokio::task::spawn_blocking(|| match args.command {
        Command::Backtest(args) => backtest::run(&args),
        Command::Train(args) => model::train(&args),
        Command::Score(args) => model::score(&args),
        Command::Show(args) => model::show(&args),
        Command::Generate(args) => generate::run(&args),
    })
    .await?
}
