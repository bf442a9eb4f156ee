//! `counterfoil risk train | score | show`: a model from a history, its word on a history, and what it is.

use std::fs;
use std::path::{Path, PathBuf};

use anomaly::backtest::{self, Protocol, Replay};
use anomaly::model::cost::Costs;
use anomaly::model::train::Settings;
use anomaly::model::{Body, Model};
use anyhow::{Context, Result, anyhow};
use serde_json::json;

use super::super::table::{Align, Table};
use super::super::{database, print};
use super::data;
use crate::clock::Clock;
use crate::risk::learn;

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil risk train --data history.csv.gz --out model.json
  counterfoil risk train --data history.csv.gz --out model.json --review-minor 500 --lost-sale-share 0.5
  counterfoil risk train --label-delay-days 45 --out model.json     # the payments of the service itself

Trains on the last days whose labels are known at the end. Amounts of costs are in minor units.")]
pub(super) struct TrainArgs {
    /// History as CSV, plain or gzip; without it, the log of the service in the database
    #[arg(long, value_name = "FILE")]
    pub(super) data: Option<PathBuf>,
    #[command(flatten)]
    pub(super) database: database::Which,
    /// Where to write the model
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Days to train on
    #[arg(long, default_value_t = 28, value_parser = clap::value_parser!(i64).range(1..=365))]
    train_days: i64,
    /// Days until the truth about a payment is known
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(i64).range(0..=60))]
    label_delay_days: i64,
    /// Trees
    #[arg(long, default_value_t = Settings::default().trees)]
    trees: usize,
    /// What one review costs
    #[arg(long, default_value_t = Costs::default().review_minor)]
    review_minor: f64,
    /// What a fraud costs beside its amount
    #[arg(long, default_value_t = Costs::default().fraud_fee_minor)]
    fraud_fee_minor: f64,
    /// Share of its amount that a blocked genuine payment costs
    #[arg(long, default_value_t = Costs::default().lost_sale_share)]
    lost_sale_share: f64,
}

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil risk score --model model.json --data history.csv.gz > scores.csv
  counterfoil risk score --model model.json --data history.csv.gz --transaction 1734 --json")]
pub(super) struct ScoreArgs {
    /// A trained model
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// History as CSV, plain or gzip
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Days until the truth about a payment is known
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(i64).range(0..=60))]
    label_delay_days: i64,
    /// Only this transaction, with exact Shapley values of its features
    #[arg(long, value_name = "ID")]
    transaction: Option<u64>,
    /// For programs: one object a line
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[command(after_long_help = "Example:
  counterfoil risk show --model model.json")]
pub(super) struct ShowArgs {
    /// A trained model
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(super) fn train(args: &TrainArgs) -> Result<()> {
    let data = args.data.as_deref().context("no --data")?;
    let transactions = data::read(data)?;
    let bar = data::progress("replaying", &transactions);
    let (settings, costs) = args.wanted();
    let body = backtest::train_model(
        &transactions,
        args.train_days,
        args.label_delay_days,
        &settings,
        costs,
        |day| bar.set_position(day.unsigned_abs()),
    )
    .map_err(|error| anyhow!(error))?;
    bar.finish_and_clear();
    args.keep(&body)
}

pub(super) async fn train_from_log(args: &TrainArgs) -> Result<()> {
    let client = args.database.connect().await?;
    let window = learn::Window {
        now: Clock::default().now(),
        train_days: args.train_days,
        label_delay_days: args.label_delay_days,
    };
    let (settings, costs) = args.wanted();
    let body = learn::learn(&client, anomaly::Config::default(), window, settings, costs).await?;
    args.keep(&body)
}

impl TrainArgs {
    fn wanted(&self) -> (Settings, Costs) {
        let settings = Settings {
            trees: self.trees,
            ..Settings::default()
        };
        let costs = Costs {
            review_minor: self.review_minor,
            fraud_fee_minor: self.fraud_fee_minor,
            lost_sale_share: self.lost_sale_share,
            ..Costs::default()
        };
        (settings, costs)
    }

    fn keep(&self, body: &Body) -> Result<()> {
        let file = Model::write(body)?;
        let model = Model::read(&file).context("the model just trained")?;
        fs::write(&self.out, file).with_context(|| format!("cannot write {}", self.out.display()))?;
        print::text(described(&model));
        Ok(())
    }
}

pub(super) fn score(args: &ScoreArgs) -> Result<()> {
    let model = read(&args.model)?;
    let transactions = data::read(&args.data)?;
    let protocol = Protocol::handbook().with_delay(args.label_delay_days);
    let mut replay = Replay::new(&transactions, &protocol).map_err(|error| anyhow!(error))?;
    if !args.json {
        print::line("transaction_id,score,probability,novelty,reasons");
    }
    let mut found = false;
    while let Some((place, features)) = replay.next() {
        let id = transactions[place].id;
        if args.transaction.is_some_and(|wanted| wanted != id) {
            continue;
        }
        found = true;
        let opinion = model.judge(&features);
        let reasons: Vec<&str> = opinion.scored.reasons.iter().map(|reason| &*reason.message).collect();
        if !args.json {
            print::line(format_args!(
                "{id},{:.0},{:.6},{:.2},\"{}\"",
                opinion.scored.score,
                opinion.probability,
                opinion.novelty,
                reasons.join("; ").replace('"', "\"\"")
            ));
            continue;
        }
        let reasons = opinion.scored.reasons.iter().map(|reason| {
            json!({"code": reason.code, "message": reason.message, "feature": reason.feature, "value": reason.value})
        });
        let mut line = json!({
            "transaction_id": id, "model": model.id(), "score": opinion.scored.score as u8, "probability": opinion.probability,
            "novelty": opinion.novelty, "reasons": reasons.collect::<Vec<_>>(),
        });
        if args.transaction.is_some() {
            let values = model.shapley(&features).into_iter();
            line["shapley"] = values
                .map(|(feature, log_odds)| (feature.name().to_owned(), json!(log_odds)))
                .collect();
        }
        print::line(line);
    }
    match args.transaction {
        Some(wanted) if !found => Err(anyhow!("{} holds no transaction {wanted}", args.data.display())),
        _ => Ok(()),
    }
}

pub(super) fn show(args: &ShowArgs) -> Result<()> {
    let model = read(&args.model)?;
    if args.json {
        let body = model.body();
        print::line(json!({
            "id": model.id(), "origin": body.origin, "metrics": body.metrics, "settings": body.settings,
            "calibration": body.calibration, "costs": body.costs, "thresholds": body.thresholds, "curve": body.curve,
        }));
        return Ok(());
    }
    print::text(described(&model));
    Ok(())
}

fn read(path: &Path) -> Result<Model> {
    let shown = path.display();
    let file = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    Model::read(&file).with_context(|| format!("{shown}"))
}

fn described(model: &Model) -> String {
    let body = model.body();
    let day = |at_ms: i64| {
        jiff::Timestamp::from_millisecond(at_ms).map_or_else(|_| at_ms.to_string(), |at| at.strftime("%F").to_string())
    };
    let mut text = format!(
        "model {}\ntrained on {} payments, {} of them fraud, made {} to {}, with labels known by {}\n\
         held out: AUC {:.4}, average precision {:.4}, Brier score {:.5}\n\
         review from a probability of {:.3} (score 65), block from {:.3} (score 75)\n\n",
        model.id(),
        body.origin.payments,
        body.origin.frauds,
        day(body.origin.from_ms),
        day(body.origin.to_ms),
        day(body.origin.known_ms),
        body.metrics.auc,
        body.metrics.average_precision,
        body.metrics.brier,
        body.thresholds.review,
        body.thresholds.block,
    );
    use Align::Right;
    let headings = [
        "probability",
        "flagged",
        "precision",
        "recall",
        "recall by amount",
        "cost a payment",
    ];
    let mut table = Table::new(&[Right; 6], &headings);
    for point in &body.curve {
        let percent = |share: f64| format!("{:.2} %", share * 100.0);
        table.row([
            format!("{:.4}", point.threshold),
            percent(point.flagged),
            percent(point.precision),
            percent(point.recall),
            percent(point.recall_amount),
            format!("{:.2}", point.cost_minor),
        ]);
    }
    text.push_str(&table.render());
    text
}
