//! `counterfoil risk rules`: a merchant's rules from idea to decision and back. The service follows within seconds.

use anomaly::{Action, State};
use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use serde_json::Value;

use super::super::deed::Deed;
use super::super::print;
use super::super::table::{Align, Table};
use super::merchant::{Of, text};
use crate::call::Answer;
use crate::risk::rules::{self, Change};
use crate::risk::{backtest, rows::RiskRule};
use crate::wire;

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil risk rules propose --merchant acct_1 large_new_card --action review --condition 'card_unseen && amount > 50000'
  counterfoil risk rules backtest --merchant acct_1 large_new_card --days 30
  counterfoil risk rules activate --merchant acct_1 large_new_card
  counterfoil risk rules retire --merchant acct_1 large_new_card")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// All rules in the order in which they are evaluated, the shipped ones too
    #[command(after_long_help = "Example:\n  counterfoil risk rules list --merchant acct_1")]
    List {
        #[command(flatten)]
        of: Of,
    },
    /// One rule with its last trial and its versions
    #[command(after_long_help = "Example:\n  counterfoil risk rules show --merchant acct_1 large_new_card --json")]
    Show {
        /// Name or id
        rule: String,
        #[command(flatten)]
        of: Of,
    },
    /// Write a rule, or another condition for one: it is watched (shadow) until it was tried and activated
    #[command(
        after_long_help = "Example:\n  counterfoil risk rules propose --merchant acct_1 large_new_card --action review --condition 'card_unseen && amount > 50000'"
    )]
    Propose {
        /// Name: lower-case letters, digits and underscores
        rule: String,
        #[command(flatten)]
        of: Of,
        /// CEL over the features; docs/rules.md says what may be in it
        #[arg(long)]
        condition: String,
        /// What it asks for
        #[arg(long, value_enum)]
        action: Asked,
        /// Percent of what is left to 99 that it adds to the score
        #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100))]
        weight: Option<u8>,
        /// The reason in words; {value}, {limit} and {listed} are filled in
        #[arg(long)]
        message: Option<String>,
    },
    /// Try a rule on history: what it would have stopped, and how much of that was fraud
    #[command(
        after_long_help = "Example:\n  counterfoil risk rules backtest --merchant acct_1 large_new_card --days 30"
    )]
    Backtest {
        /// Name or id
        rule: String,
        #[command(flatten)]
        of: Of,
        /// Days of history
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(i64).range(1..=90))]
        days: i64,
    },
    /// Let a rule decide; refused until this very condition was tried
    #[command(after_long_help = "Example:\n  counterfoil risk rules activate --merchant acct_1 large_new_card")]
    Activate {
        /// Name or id
        rule: String,
        #[command(flatten)]
        of: Of,
    },
    /// Switch a rule off; every version of it is kept
    #[command(after_long_help = "Example:\n  counterfoil risk rules retire --merchant acct_1 large_new_card")]
    Retire {
        /// Name or id
        rule: String,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Asked {
    Score,
    Allow,
    Challenge,
    Review,
    Block,
}

impl Args {
    /// Changes are noted, and so is a trial: it reads payments.
    pub(super) fn deed(&self) -> Option<Deed> {
        let deed = |action: &'static str, rule: &str, of: &Of| {
            let deed = Deed::new(action, &of.place.database).object(rule);
            Some(deed.account(Some(&of.merchant)))
        };
        match &self.command {
            Command::List { .. } | Command::Show { .. } => None,
            Command::Propose { rule, of, .. } => deed("risk rules propose", rule, of),
            Command::Backtest { rule, of, .. } => deed("risk rules backtest", rule, of),
            Command::Activate { rule, of } => deed("risk rules activate", rule, of),
            Command::Retire { rule, of } => deed("risk rules retire", rule, of),
        }
    }
}

pub(super) async fn run(args: Args) -> Result<()> {
    match args.command {
        Command::List { of } => {
            let rules = of.call(async |call| rules::all(call).await).await?;
            list(&of, &rules);
            Ok(())
        }
        Command::Show { rule, of } => show(&of, &rule).await,
        Command::Propose {
            rule,
            of,
            condition,
            action,
            weight,
            message,
        } => {
            let change = Change {
                action: Some(action.action()),
                condition: Some(condition),
                weight,
                message,
                state: Some(State::Shadow),
                ..Change::default()
            };
            let answer = of
                .call(async |call| match rules::named(call, &rule).await? {
                    Some(known) => rules::update(call, &known.id, change).await,
                    None => {
                        let name = Some(rule.clone());
                        rules::create(call, Change { name, ..change }).await
                    }
                })
                .await?;
            of.show(&answer, |rule| {
                format!(
                    "{} is watched as {}. Next: counterfoil risk rules backtest.",
                    text(rule, "name"),
                    text(rule, "id")
                )
            })
        }
        Command::Backtest { rule, of, days } => {
            let answer = of.call(async |call| backtest::keep(call, &rule, days).await).await?;
            of.show(&answer, |rule| tried(&rule["backtest"]))
        }
        Command::Activate { rule, of } => {
            let answer = state(&of, &rule, State::Active).await?;
            of.show(&answer, |rule| {
                format!("{} decides within 5 seconds.", text(rule, "name"))
            })
        }
        Command::Retire { rule, of } => {
            let answer = state(&of, &rule, State::Disabled).await?;
            of.show(&answer, |rule| {
                format!("{} is off within 5 seconds.", text(rule, "name"))
            })
        }
    }
}

async fn state(of: &Of, rule: &str, state: State) -> Result<Answer> {
    let change = Change {
        state: Some(state),
        ..Change::default()
    };
    of.call(async |call| {
        let (known, _) = rules::find(call, rule).await?;
        rules::update(call, &known.id, change).await
    })
    .await
}

fn list(of: &Of, rules: &[(RiskRule, bool)]) {
    if of.json {
        let rules: Vec<Value> = rules.iter().map(|(rule, shipped)| wire::rule(rule, *shipped)).collect();
        print::line(Value::from(rules));
        return;
    }
    use Align::{Left, Right};
    let mut table = Table::new(
        &[Left, Left, Left, Right, Left, Left],
        &["name", "state", "action", "weight", "of", "condition"],
    );
    for (rule, shipped) in rules {
        let shown = wire::rule(rule, *shipped);
        table.row([
            rule.name.clone(),
            text(&shown, "state"),
            text(&shown, "action"),
            rule.weight.to_string(),
            if *shipped { "shipped" } else { "merchant" }.to_owned(),
            rule.condition.split_whitespace().collect::<Vec<_>>().join(" "),
        ]);
    }
    print::text(table.render());
}

async fn show(of: &Of, rule: &str) -> Result<()> {
    let (mut shown, versions) = of
        .call(async |call| {
            let (rule, shipped) = rules::find(call, rule).await?;
            Ok((wire::rule(&rule, shipped), rules::versions(call, &rule.id).await?))
        })
        .await?;
    if of.json {
        shown["versions"] = Value::from(versions);
        print::line(shown);
        return Ok(());
    }
    let mut table = Table::new(&[Align::Left; 2], &["field", "value"]);
    for field in [
        "id",
        "name",
        "state",
        "action",
        "weight",
        "beats_allow",
        "code",
        "condition",
        "message",
        "version",
    ] {
        table.row([field.to_owned(), text(&shown, field)]);
    }
    let versions: Vec<String> = versions
        .iter()
        .map(|version| format!("{} {}", text(version, "version"), text(version, "state")))
        .collect();
    table.row(["versions".to_owned(), versions.join(", ")]);
    print::text(table.render());
    if shown["backtest"].is_object() {
        print::line(tried(&shown["backtest"]));
    }
    Ok(())
}

fn tried(trial: &Value) -> String {
    let mut table = Table::new(&[Align::Left; 2], &["on history", "value"]);
    for field in [
        "days",
        "warm_up_days",
        "attempts",
        "flagged",
        "fraud",
        "caught",
        "precision",
        "recall",
        "false_positives",
        "false_positive_rate",
        "money_saved",
        "money_of_false_positives",
    ] {
        table.row([field.replace('_', " "), text(trial, field)]);
    }
    table.render().trim_end().to_owned()
}

impl Asked {
    fn action(self) -> Action {
        match self {
            Asked::Score => Action::Score,
            Asked::Allow => Action::Allow,
            Asked::Challenge => Action::Challenge,
            Asked::Review => Action::Review,
            Asked::Block => Action::Block,
        }
    }
}
