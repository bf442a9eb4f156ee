//! `counterfoil risk backtest`: how good the scorer would have been.

use std::path::PathBuf;

use anomaly::backtest::{self, Figures, Protocol, Report};
use anomaly::model::train::Settings;
use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};

use super::super::print;
use super::super::table::{Align, Table};
use super::data;

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil risk backtest --data history.csv.gz --protocol handbook --json
  counterfoil risk backtest --data history.csv.gz --label-delay-days 1   # what faster labels are worth

The file has the columns transaction_id, datetime, customer_id, terminal_id, amount, fraud (0 or 1) and scenario. The protocol
trains on 7 days, waits for the labels, tests on 7 days, four times; docs/scorer.md explains it and the figures.")]
pub(super) struct Args {
    /// History as CSV, plain or gzip
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Who learns what when
    #[arg(long, value_enum, default_value = "handbook")]
    protocol: Named,
    /// Days until the truth about a payment is known
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(i64).range(0..=60))]
    label_delay_days: i64,
    /// Payments drawn by chance each day whose truth is known at midnight
    #[arg(long, default_value_t = 0)]
    random_reviews: usize,
    /// Highest scored cards of each day whose payments are known at midnight
    #[arg(long, default_value_t = 0)]
    top_reviews: usize,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Named {
    /// The Fraud Detection Handbook's, four folds
    Handbook,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let transactions = data::read(&args.data)?;
    let protocol = match args.protocol {
        Named::Handbook => Protocol::handbook(),
    };
    let protocol = Protocol {
        random_reviews_per_day: args.random_reviews,
        top_reviews_per_day: args.top_reviews,
        ..protocol.with_delay(args.label_delay_days)
    };
    let bar = data::progress("replaying", &transactions);
    let report = backtest::run(&transactions, &protocol, &Settings::default(), |day| {
        bar.set_position(day.unsigned_abs());
    })
    .map_err(|error| anyhow!(error))?;
    bar.finish_and_clear();
    if args.json {
        print::line(json(&report));
    } else {
        print::text(table(&report).render());
    }
    ensure!(
        !report.leak_suspected(),
        "an average precision above {} cannot be reached with labels that are 7 days late: a label leaked into a feature",
        backtest::LEAK_BOUND
    );
    Ok(())
}

fn json(report: &Report) -> Value {
    let with = |mut fold: Value, models: &[(&'static str, Figures)]| {
        if let Some((_, champion)) = models.first() {
            fold["auc"] = json!(champion.auc);
            fold["average_precision"] = json!(champion.average_precision);
            fold["card_precision_100"] = json!(champion.card_precision_100);
        }
        fold["models"] = models
            .iter()
            .map(|(name, figures)| ((*name).to_owned(), json!(figures)))
            .collect();
        fold
    };
    let folds: Vec<Value> = report
        .folds
        .iter()
        .map(|fold| {
            let about = json!({
                "train_days": fold.train_days, "test_days": fold.test_days,
                "train_payments": fold.train_payments, "train_frauds": fold.train_frauds,
            });
            with(about, &fold.models)
        })
        .collect();
    json!({ "protocol": report.protocol, "folds": folds, "mean": with(json!({}), &report.means()) })
}

fn table(report: &Report) -> Table {
    use Align::{Left, Right};
    let mut table = Table::new(
        &[Left, Left, Right, Right, Right],
        &["tested", "model", "AUC", "average precision", "card precision @100"],
    );
    let mut rows = |tested: &str, models: &[(&'static str, Figures)]| {
        for (place, (name, figures)) in models.iter().enumerate() {
            let tested = if place == 0 { tested } else { "" };
            let figure = |figure: f64| format!("{figure:.4}");
            table.row([
                tested.to_owned(),
                (*name).to_owned(),
                figure(figures.auc),
                figure(figures.average_precision),
                figure(figures.card_precision_100),
            ]);
        }
    };
    for fold in &report.folds {
        rows(
            &format!("days {} to {}", fold.test_days.0, fold.test_days.1),
            &fold.models,
        );
    }
    rows("mean", &report.means());
    table
}
