//! What acquirers and banks send afterwards: settlement files and bank statements of what really happened, in every format, with
//! defects on request and the key to them.
//!
//! Written by its own reading of each format, with nothing in common with the program that reads them. The same records, defects and
//! seed give the same file and key, byte for byte.

mod acquirer;
mod bank;

use crate::object::{BalanceTransaction, Charge, Currency, Dispute, Intent, MovementKind, ObjectRef, Refund, Row};
use crate::store::Store;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};

/// The formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Format {
    #[serde(rename = "stripe-itemized")]
    StripeItemized,
    #[serde(rename = "adyen-settlement")]
    AdyenSettlement,
    #[serde(rename = "csv")]
    Csv,
    #[serde(rename = "camt.053")]
    Camt053,
    #[serde(rename = "camt.054")]
    Camt054,
    #[serde(rename = "mt940")]
    Mt940,
    #[serde(rename = "bai2")]
    Bai2,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 7] = [
        Format::StripeItemized,
        Format::AdyenSettlement,
        Format::Csv,
        Format::Camt053,
        Format::Camt054,
        Format::Mt940,
        Format::Bai2,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::StripeItemized => "stripe-itemized",
            Format::AdyenSettlement => "adyen-settlement",
            Format::Csv => "csv",
            Format::Camt053 => "camt.053",
            Format::Camt054 => "camt.054",
            Format::Mt940 => "mt940",
            Format::Bai2 => "bai2",
        }
    }
}

/// One movement of money at the acquirer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// the movement's own id
    pub id: String,
    /// why
    pub kind: MovementKind,
    /// what moved it: a charge, a refund, a dispute
    pub source: String,
    /// the charge it is about
    pub charge: String,
    /// and its payment
    pub intent: String,
    /// minor units, negative when it left the merchant
    pub amount: i64,
    /// minor units, withheld
    pub fee: i64,
    /// of both
    pub currency: Currency,
    /// seconds since 1970
    pub at: i64,
}

impl Record {
    /// The payout that it is in: one a day and currency.
    pub fn payout(&self) -> String {
        format!("po_sim{}{}", self.at.div_euclid(DAY_S), self.currency.as_str())
    }
}

/// What to write.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// in which format
    pub format: Format,
    /// movements from this second on
    #[serde(default)]
    pub from: i64,
    /// and before this one
    #[serde(default = "for_ever")]
    pub to: i64,
    /// a bank statement of the daily payouts, and not of every movement
    #[serde(default)]
    pub payouts: bool,
    /// how many of what
    #[serde(default)]
    pub defects: Defects,
    /// which movements have them
    #[serde(default)]
    pub seed: u64,
    /// how statements are told apart
    #[serde(default)]
    pub statement: Statement,
}

/// The frame of a bank statement.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Statement {
    /// the account; each currency has one of its own, with the currency behind it
    pub account: String,
    /// its number in the series
    pub sequence: u32,
    /// minor units
    pub opening: i64,
    /// of ISO 20022: 2 or 8
    pub version: u8,
}

impl Default for Statement {
    fn default() -> Self {
        Self {
            account: "SIM0001".into(),
            sequence: 1,
            opening: 0,
            version: 8,
        }
    }
}

/// How many defects of each kind.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Defects {
    /// left out
    pub missing: usize,
    /// there twice
    pub double: usize,
    /// another amount
    pub wrong_amount: usize,
    /// another currency
    pub wrong_currency: usize,
    /// ten days later
    pub late: usize,
    /// about something that never was
    pub unknown: usize,
    /// the file ends in the middle of a line
    pub truncated: bool,
}

/// A file and the key to its defects.
#[derive(Clone, Debug, Serialize)]
pub struct File {
    /// the text
    pub file: String,
    /// one per defect: the break that it must be found as, and what the file calls it
    pub key: Vec<Defect>,
    /// records that are right
    pub right: usize,
}

/// One planted defect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Defect {
    /// `ours_only`, `duplicate`, `amount_mismatch`, `currency_mismatch`, `late`, `theirs_only`, or `refused` for the whole file
    pub kind: &'static str,
    /// of the movement
    pub reference: String,
}

/// The file for an order about these records.
pub fn write(order: &Order, mut records: Vec<Record>) -> File {
    records.retain(|record| (order.from..order.to).contains(&record.at));
    let mut file = plant(&mut records, order.defects, order.seed);
    if order.payouts {
        records = payouts(&records);
    }
    file.file = match order.format {
        Format::StripeItemized => acquirer::stripe(&records),
        Format::AdyenSettlement => acquirer::adyen(&records),
        Format::Csv => acquirer::csv(&records),
        Format::Camt053 | Format::Camt054 => bank::camt(order.format, &order.statement, &records),
        Format::Mt940 => bank::mt940(&order.statement, &records),
        Format::Bai2 => bank::bai2(&order.statement, &records),
    };
    if order.defects.truncated {
        let mut at = file.file.len() * 2 / 3;
        // Not where a line is whole: that would be a file with fewer of them.
        let whole = |at: usize| {
            let ends = ['\n', '\r', '/', '>', ','];
            !file.file.is_char_boundary(at) || file.file[..at].ends_with(ends) || file.file[at..].starts_with(ends)
        };
        while at > 0 && whole(at) {
            at -= 1;
        }
        file.file.truncate(at);
        file.key = vec![Defect {
            kind: "refused",
            reference: String::new(),
        }];
        file.right = 0;
    }
    file
}

/// Every movement of the acquirer, oldest first.
pub fn records(store: &Store) -> Vec<Record> {
    let rows = store.balance_transactions.rows();
    rows.iter().filter_map(|row| record(store, row)).collect()
}

fn record(store: &Store, row: &BalanceTransaction) -> Option<Record> {
    let (source, charge) = match row.source {
        ObjectRef::Charge(id) => (id.named(Charge::PREFIX).to_string(), id),
        ObjectRef::Refund(id) => (id.named(Refund::PREFIX).to_string(), store.refunds.get(id)?.charge),
        ObjectRef::Dispute(id) => (id.named(Dispute::PREFIX).to_string(), store.disputes.get(id)?.charge),
        _ => return None,
    };
    let intent = store.charges.get(charge)?.intent;
    Some(Record {
        id: row.id.named(BalanceTransaction::PREFIX).to_string(),
        kind: row.kind,
        source,
        charge: charge.named(Charge::PREFIX).to_string(),
        intent: intent.named(Intent::PREFIX).to_string(),
        amount: row.amount,
        fee: row.fee,
        currency: row.currency,
        at: row.created,
    })
}

/// Puts defects into records, each into another one, and writes the key.
fn plant(records: &mut Vec<Record>, defects: Defects, seed: u64) -> File {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut free: Vec<usize> = (0..records.len()).collect();
    let mut key = Vec::new();
    let (mut missing, mut double) = (Vec::new(), Vec::new());
    let mut pick = |count: usize| -> Vec<usize> {
        let count = count.min(free.len());
        (0..count)
            .map(|_| free.swap_remove(dice.random_range(0..free.len())))
            .collect()
    };
    for (count, kind) in [
        (defects.missing, "ours_only"),
        (defects.double, "duplicate"),
        (defects.wrong_amount, "amount_mismatch"),
        (defects.wrong_currency, "currency_mismatch"),
        (defects.late, "late"),
    ] {
        for i in pick(count) {
            let record = &mut records[i];
            key.push(Defect {
                kind,
                reference: record.source.clone(),
            });
            match kind {
                "ours_only" => missing.push(i),
                "duplicate" => double.push(record.clone()),
                "amount_mismatch" => record.amount += if record.amount < 0 { -101 } else { 101 },
                "currency_mismatch" => {
                    let other = if record.currency.as_str() == "eur" {
                        "usd"
                    } else {
                        "eur"
                    };
                    record.currency = Currency::parse(other).unwrap_or(record.currency);
                }
                _ => record.at += 10 * DAY_S,
            }
        }
    }
    let right = records.len() - key.iter().filter(|defect| defect.kind != "duplicate").count();
    missing.sort_unstable();
    for i in missing.into_iter().rev() {
        records.remove(i);
    }
    records.append(&mut double);
    let like = records.first().cloned();
    for n in 0..defects.unknown {
        let Some(like) = &like else { break };
        let source = format!("ch_unknown{seed}x{n}");
        key.push(Defect {
            kind: "theirs_only",
            reference: source.clone(),
        });
        records.push(Record {
            id: format!("txn_unknown{seed}x{n}"),
            kind: MovementKind::Charge,
            charge: source.clone(),
            intent: format!("pi_unknown{seed}x{n}"),
            source,
            // As much as something real: an amount alone must not make a match.
            amount: like.amount.abs(),
            fee: 0,
            ..like.clone()
        });
    }
    key.sort();
    File {
        file: String::new(),
        key,
        right,
    }
}

/// One record per payout: what reaches the bank.
fn payouts(records: &[Record]) -> Vec<Record> {
    let mut sums = std::collections::BTreeMap::new();
    for record in records {
        let net = record.amount - record.fee;
        let sum = sums.entry(record.payout()).or_insert_with(|| Record {
            id: record.payout(),
            source: record.payout(),
            charge: String::new(),
            intent: String::new(),
            amount: 0,
            fee: 0,
            at: (record.at.div_euclid(DAY_S) + 2) * DAY_S, // two days on its way
            ..record.clone()
        });
        sum.amount += net;
    }
    sums.into_values().filter(|record| record.amount != 0).collect()
}

/// Minor units in major units.
fn major(minor: i64, currency: Currency, point: char) -> String {
    let places = match currency.as_str() {
        "jpy" | "krw" | "vnd" | "clp" | "isk" | "ugx" | "xaf" | "xof" => 0,
        "bhd" | "jod" | "kwd" | "omr" | "tnd" => 3,
        _ => 2,
    };
    let digits = format!("{:0>width$}", minor.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let sign = if minor < 0 { "-" } else { "" };
    match places {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}{point}{fraction}"),
    }
}

/// A second as a format of strftime.
fn time(at: i64, format: &str) -> String {
    let at = jiff::Timestamp::from_second(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.strftime(format).to_string()
}

fn for_ever() -> i64 {
    i64::MAX
}

const DAY_S: i64 = 86_400;
