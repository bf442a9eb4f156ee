//! Reads histories: CSV, plain or gzip. Every line that cannot be read is an error that names it: a history with holes would
//! give figures that look right.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use anomaly::backtest::Transaction;
use anyhow::{Context, Result, bail, ensure};
use flate2::bufread::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

/// A line of the file; columns may come in any order, and others beside them are ignored.
#[derive(Deserialize)]
struct Line {
    transaction_id: u64,
    datetime: jiff::Timestamp,
    customer_id: u64,
    terminal_id: u64,
    amount: rust_decimal::Decimal,
    fraud: u8,
    #[serde(default)]
    scenario: u8,
}

/// The payments of a file in order of time.
pub(super) fn read(path: &Path) -> Result<Vec<Transaction>> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
    let mut file = BufReader::with_capacity(1 << 20, file);
    let gzip = file
        .fill_buf()
        .with_context(|| format!("cannot read {shown}"))?
        .starts_with(&[0x1f, 0x8b]);
    let source: Box<dyn Read> = if gzip {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut transactions = Vec::new();
    for (number, line) in csv::Reader::from_reader(source).deserialize::<Line>().enumerate() {
        let line = line
            .map_err(anyhow::Error::from)
            .and_then(transaction)
            .with_context(|| format!("{shown}, line {}", number + 2))?;
        transactions.push(line);
    }
    ensure!(!transactions.is_empty(), "{shown} holds no transaction");
    transactions.sort_by_key(|transaction| transaction.at_ms); // stable: the order of the file within one instant
    Ok(transactions)
}

fn transaction(line: Line) -> Result<Transaction> {
    let cents = line
        .amount
        .checked_mul(rust_decimal::Decimal::ONE_HUNDRED)
        .map(|cents| cents.normalize());
    let Some(cents) = cents.filter(|cents| cents.is_integer()) else {
        bail!("the amount {} is not one of two decimals", line.amount);
    };
    let amount_minor = i64::try_from(cents)
        .ok()
        .filter(|amount| (0..=10_i64.pow(13)).contains(amount));
    ensure!(line.fraud <= 1, "fraud is 0 or 1, not {}", line.fraud);
    Ok(Transaction {
        id: line.transaction_id,
        at_ms: line.datetime.as_millisecond(),
        customer: line.customer_id,
        terminal: line.terminal_id,
        amount_minor: amount_minor
            .with_context(|| format!("the amount {} is negative or beyond reason", line.amount))?,
        fraud: line.fraud == 1,
        scenario: line.scenario,
    })
}

/// Shows which day a replay has reached; nothing where no person looks.
pub(super) fn progress(what: &'static str, transactions: &[Transaction]) -> ProgressBar {
    let day_ms = 86_400_000;
    let days = match transactions {
        [first, .., last] => last.at_ms.div_euclid(day_ms) - first.at_ms.div_euclid(day_ms) + 1,
        _ => 1,
    };
    let bar = ProgressBar::new(days.unsigned_abs());
    if let Ok(style) = ProgressStyle::with_template("{msg}: day {pos} of {len} {bar:30}") {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}
