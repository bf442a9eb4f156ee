//! The command line: one table of commands, each in its own file. A command exits 0 only when all is well.

mod api;
mod audit;
mod case;
mod chargeback;
mod close;
mod database;
mod deed;
mod dev;
mod finance;
mod health;
mod keys;
mod ledger;
mod log;
mod migrate;
mod payouts;
mod print;
mod reconcile;
mod regulator;
mod report;
mod risk;
mod routing;
mod selfcheck;
mod serve;
mod serving;
mod shutdown;
mod simulator;
mod table;
mod users;
mod vault;
mod webhooks;

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
    /// Add, list and shut out people of the console
    Users(users::Args),
    /// Look at the books, and prove them
    Ledger(ledger::Args),
    /// Hold a file of an acquirer or a bank against the books
    Reconcile(reconcile::Args),
    /// What files and books differ in, and deciding about it
    #[command(subcommand, after_long_help = "Example:\n  counterfoil breaks list")]
    Breaks(reconcile::Breaks),
    /// Make a report of the books: for people, for spreadsheets, for paper
    Report(report::Args),
    /// What authorities are told
    Regulator(regulator::Args),
    /// What banks said of payouts
    Payouts(payouts::Args),
    /// Close a period: the checklist, signatures, the close itself, a reopening
    Close(close::Args),
    /// Look after the keys of card data
    Vault(vault::Args),
    /// Read the audit log, and prove it
    Audit(audit::Args),
    /// A consumer's case, from complaint to outcome
    Case(case::Args),
    /// Chargebacks: where they stand, what is due, what a person must decide
    Chargeback(chargeback::Args),
    /// Say which acquirer payments go to
    Routing(routing::Args),
    /// Look at everything that has to hold: books, seal, outcomes, clock, certificates, disk, replication
    Selfcheck(selfcheck::Args),
    /// Train the scorer's models, and test them on history
    Risk(risk::Args),
    /// What was told to merchants' endpoints, and telling it again
    Webhooks(webhooks::Args),
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
    let outcome = runtime.block_on(noted(cli.command));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counterfoil: {error:#}");
            match reconcile::was_refused(&error) {
                true => ExitCode::from(2),
                false => ExitCode::FAILURE,
            }
        }
    }
}

/// Runs a command; what is to be in the audit log is there before it begins.
async fn noted(command: Command) -> anyhow::Result<()> {
    let Some(deed) = command.deed() else {
        return run(command).await;
    };
    let begun = deed.begin().await?;
    let outcome = run(command).await;
    let ended = begun.end(&outcome).await;
    outcome.and(ended)
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Dev(args) => dev::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::Keys(args) => keys::run(args).await,
        Command::Users(args) => users::run(args).await,
        Command::Ledger(args) => ledger::run(args).await,
        Command::Reconcile(args) => reconcile::run(args).await,
        Command::Breaks(command) => reconcile::breaks(command).await,
        Command::Report(args) => report::run(args).await,
        Command::Payouts(args) => payouts::run(args).await,
        Command::Regulator(args) => regulator::run(args).await,
        Command::Close(args) => close::run(args).await,
        Command::Vault(args) => vault::run(args).await,
        Command::Audit(args) => audit::run(args).await,
        Command::Case(args) => case::run(args).await,
        Command::Chargeback(args) => chargeback::run(args).await,
        Command::Routing(args) => routing::run(args).await,
        Command::Risk(args) => risk::run(args).await,
        Command::Webhooks(args) => webhooks::run(args).await,
        Command::Selfcheck(args) => selfcheck::run(args).await,
        Command::Simulator(args) => simulator::run(args).await,
    }
}

impl Command {
    /// What it leaves in the audit log; a command that says `None` acts on nothing and shows nothing that is protected.
    fn deed(&self) -> Option<deed::Deed> {
        match self {
            // They note by themselves when they begin and end.
            Command::Dev(_) | Command::Serve(_) => None,
            Command::Simulator(_) => None,
            // it shows counts, and what is wrong
            Command::Selfcheck(_) => None,
            // Calls of the API, which notes them.
            Command::Case(_) => None,
            Command::Migrate(args) => Some(args.deed()),
            Command::Keys(args) => args.deed(),
            Command::Users(args) => args.deed(),
            Command::Ledger(args) => args.deed(),
            Command::Reconcile(args) => Some(args.deed()),
            Command::Breaks(command) => Some(command.deed()),
            Command::Report(args) => args.deed(),
            Command::Payouts(args) => args.deed(),
            Command::Regulator(args) => args.deed(),
            Command::Close(args) => args.deed(),
            Command::Vault(args) => args.deed(),
            Command::Audit(args) => args.deed(),
            Command::Chargeback(args) => args.deed(),
            Command::Risk(args) => args.deed(),
            Command::Routing(args) => args.deed(),
            Command::Webhooks(args) => args.deed(),
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

    /// Commands that leave nothing in the audit log, and why.
    const NOT_AUDITED: &[(&str, &str)] = &[
        (
            "dev",
            "the service notes its own beginning and end; everything is this machine's",
        ),
        ("serve", "the service notes its own beginning and end"),
        ("simulator", "the outside world"),
        ("selfcheck", "counts, and what is wrong"),
        ("keys list", "ids, rights and hints: no key"),
        ("users list", "names and roles: no password"),
        ("case accept", OF_THE_API),
        ("case appeal", OF_THE_API),
        ("case assign", OF_THE_API),
        ("case contest", OF_THE_API),
        ("case decide", OF_THE_API),
        ("case decide-appeal", OF_THE_API),
        ("case evidence", OF_THE_API),
        ("case execute", OF_THE_API),
        ("case export", OF_THE_API),
        ("case list", OF_THE_API),
        ("case message", OF_THE_API),
        ("case offer", OF_THE_API),
        ("case open", OF_THE_API),
        ("case paid", OF_THE_API),
        ("case rate", OF_THE_API),
        ("case refuse", OF_THE_API),
        ("case report", OF_THE_API),
        ("case regulator", OF_THE_API),
        ("case settle", OF_THE_API),
        ("case shipped", OF_THE_API),
        ("case show", OF_THE_API),
        ("case verify", OF_THE_API),
        ("case withdraw", OF_THE_API),
        ("ledger verify", "counts, and what is wrong"),
        ("close list", "dates and who closed what, which are in the log already"),
        (
            "ledger period list",
            "dates and who closed what, which are in the log already",
        ),
        ("ledger account list", "acts, which are in the log already"),
        ("ledger journal list", "proposals, which are in the log already"),
        ("vault status", "names and numbers of keys"),
        ("audit verify", "counts, and what is wrong"),
        ("chargeback list", "ids, amounts and dates"),
        ("chargeback exceptions", "ids, amounts and dates"),
        ("routing check", "a file, and no database"),
        ("routing show", "rules, which every charge tells"),
        (
            "risk backtest",
            "files in, figures out: no database, and histories hold no names",
        ),
        ("risk generate", "makes a file"),
        ("risk score", "files in, scores out"),
        ("risk show", "shows a file"),
        ("risk rules list", "rules, which every charge tells"),
        ("risk rules show", "a rule, and counts"),
        ("risk lists list", "names of lists, and counts"),
        ("webhooks deliveries", "names of events, and how the receiver answered"),
    ];

    const OF_THE_API: &str = "a call of the API, which notes it";

    /// One call of each of the others.
    const AUDITED: &[&str] = &[
        "migrate",
        "keys create --merchant acct_1",
        "keys rotate key_1",
        "keys expire key_1 --in 1h",
        "keys revoke key_1",
        "users create ada --role auditor",
        "users disable ada",
        "users enable ada",
        "users reset ada",
        "users unlock ada",
        "ledger seal",
        "ledger prove 0192f0c1-7a3e-7c11-8d2b-5f6a7b8c9d0e",
        "ledger trial-balance",
        "ledger balance --book acct_1",
        "ledger statement --book acct_1 --account 2010.usd",
        "ledger account close --book acct_1 --account 2010.usd --by ann --reason x",
        "ledger account reopen --book acct_1 --account 2010.usd --by ann --reason x",
        "ledger period close --up-to 2026-10-31 --by ann",
        "ledger period reopen --from 2026-10-31 --by ann --reason x",
        "ledger journal propose --book acct_1 --by ann --ticket t --reason x --debit 4010.usd=1 --credit 2020.usd=1",
        "ledger journal approve --book acct_1 --by bob 0192f0c1-7a3e-7c11-8d2b-5f6a7b8c9d0e",
        "ledger journal reject --book acct_1 --by bob --reason x 0192f0c1-7a3e-7c11-8d2b-5f6a7b8c9d0e",
        "ledger export --format csv",
        "ledger partitions --ahead 3",
        "reconcile payout.csv --format stripe-itemized",
        "breaks list",
        "breaks resolve brk_1 --by ann --reason x",
        "breaks reopen brk_1 --by ann --reason x",
        "report trial-balance",
        "payouts status pain002.xml",
        "regulator export --from 2026-10-01 --to 2026-10-31 --key k.pem --out october",
        "close checklist --up-to 2026-10-31",
        "close sign trial-balance --up-to 2026-10-31 --by ann",
        "close explain --book acct_1 --account 1110.stripe.usd --item pi_1 --reason x --by ann",
        "close period --up-to 2026-10-31 --by ann",
        "close reopen --from 2026-10-01 --by bob --reason x",
        "vault rotate kek",
        "routing apply routing.toml",
        "vault retire k1",
        "vault shred pm_1 --yes",
        "audit export",
        "chargeback show du_1",
        "chargeback resolve due_1 --by ann --resolution x",
        "chargeback bear du_1 --who platform --by ann",
        "risk train --out model.json",
        "risk rules propose --merchant acct_1 new_card --action review --condition card_unseen",
        "risk rules backtest --merchant acct_1 new_card",
        "risk rules activate --merchant acct_1 new_card",
        "risk rules retire --merchant acct_1 new_card",
        "risk lists show --merchant acct_1 email_blocklist",
        "risk lists create --merchant acct_1 regulars --items email",
        "risk lists add --merchant acct_1 email_blocklist eve@example.org --for 24h",
        "risk lists remove --merchant acct_1 rsli_1",
        "webhooks resend evt_1",
    ];

    #[test]
    fn every_command_is_in_the_audit_log_or_says_why_not() {
        let mut commands = Vec::new();
        leaves(&Cli::command(), "", &mut commands);
        let mut known: Vec<String> = NOT_AUDITED.iter().map(|(name, _)| (*name).to_owned()).collect();
        for call in AUDITED {
            let words = std::iter::once("counterfoil").chain(call.split(' '));
            let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{call}: {error}"));
            let deed = cli.command.deed().unwrap_or_else(|| panic!("{call} is not audited"));
            assert!(call.starts_with(deed.action), "{call} calls itself {}", deed.action);
            known.push(deed.action.to_owned());
        }
        commands.sort();
        known.sort();
        assert_eq!(commands, known, "commands, and what is said of them here");
    }

    fn leaves(command: &clap::Command, parents: &str, found: &mut Vec<String>) {
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            let name = format!("{parents}{}", command.get_name());
            match command.has_subcommands() {
                true => leaves(command, &format!("{name} "), found),
                false => found.push(name),
            }
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
