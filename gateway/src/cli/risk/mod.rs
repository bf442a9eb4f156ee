//! `counterfoil risk`: train models from history, test them as they would have gone live, look into them; and a merchant's rules
//! and lists. Models are files; rules and lists are rows that a running service follows within seconds.

mod backtest;
mod data;
mod generate;
mod lists;
mod merchant;
mod model;
mod rules;

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
    /// What decides about a merchant's payments: see, propose, try, activate, retire
    Rules(rules::Args),
    /// Who is blocked, trusted, watched
    Lists(lists::Args),
}

impl Args {
    /// Training reads payments where it is not given a file; rules and lists say for themselves.
    pub(super) fn deed(&self) -> Option<Deed> {
        match &self.command {
            Command::Train(args) if args.data.is_none() => Some(Deed::new("risk train", &args.database)),
            Command::Rules(args) => args.deed(),
            Command::Lists(args) => args.deed(),
            _ => None,
        }
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    let args = match args.command {
        Command::Rules(args) => return rules::run(args).await,
        Command::Lists(args) => return lists::run(args).await,
        command => Args { command },
    };
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
        Command::Rules(_) | Command::Lists(_) => Ok(()), // run above: they wait for a database
    })
    .await?
}
