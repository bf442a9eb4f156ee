//! The command line: one table of commands, each in its own file. A command exits 0 only when all is well.

mod database;
mod dev;
mod finance;
mod health;
mod keys;
mod ledger;
mod log;
mod migrate;
mod print;
mod serve;
mod serving;
mod shutdown;
mod simulator;
mod table;
mod vault;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A payment gateway and its books.
#[derive(Parser)]
#[command(name = "counterfoil", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole thing on this machine: database, certificates, acquirer simulator, API and console
    Dev(dev::Args),
    /// Serve in production, as a configuration file says
    Serve(serve::Args),
    /// Bring the database schemas up to date
    Migrate(migrate::Args),
    /// Make, list, roll and end API keys
    Keys(keys::Args),
    /// Look at the books, and prove them
    Ledger(ledger::Args),
    /// Look after the keys of card data
    Vault(vault::Args),
    /// Run the outside world: an acquirer with test cards, disputes and faults
    Simulator(simulator::Args),
}

/// Parses the command line of this process and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // First thing in the process: whatever opens a TLS connection later finds its provider.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("counterfoil: a TLS provider was installed before ours");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("counterfoil: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Dev(args) => dev::run(args).await,
            Command::Serve(args) => serve::run(args).await,
            Command::Migrate(args) => migrate::run(args).await,
            Command::Keys(args) => keys::run(args).await,
            Command::Ledger(args) => ledger::run(args).await,
            Command::Vault(args) => vault::run(args).await,
            Command::Simulator(args) => simulator::run(args).await,
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counterfoil: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_table_is_sound_and_every_command_shows_an_example() {
        let mut table = Cli::command();
        table.clone().debug_assert();
        for command in table.get_subcommands_mut() {
            shows_an_example(command, "counterfoil");
        }
    }

    fn shows_an_example(command: &mut clap::Command, parents: &str) {
        if command.get_name() == "help" {
            return; // clap's own
        }
        let name = format!("{parents} {}", command.get_name());
        let help = command.render_long_help().to_string();
        let (_, examples) = help
            .split_once("Example")
            .unwrap_or_else(|| panic!("{name} shows no example"));
        assert!(examples.contains(&name), "{name} is not in its example");
        for command in command.get_subcommands_mut() {
            shows_an_example(command, &name);
        }
    }
}
