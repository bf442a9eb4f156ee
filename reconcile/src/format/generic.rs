//! Any CSV, by a mapping: which column is what, how numbers and dates are written.
//!
//! A mapping is a small file that finance keeps beside the files it describes; without one, columns are found by their usual names,
//! amounts are in major units and dates are ISO 8601.

use std::collections::BTreeMap;
use std::io::Read;

use jiff::tz::TimeZone;
use ledger::Currency;
use serde::Deserialize;

use super::proof::{Proof, checked, currency};
use super::table::{Column, Row, Table};
use crate::scan::Source;
use crate::{Kind, Line, Refused, Statement, amount, when};

/// How to read a CSV.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mapping {
    /// between fields; a comma when it is not said
    pub delimiter: Option<char>,
    /// before the decimals; a point when it is not said
    pub decimal: Option<char>,
    /// between thousands, when they are written with one
    pub grouping: Option<char>,
    /// in which unit amounts are
    pub unit: Unit,
    /// how dates are written, as strftime says; ISO 8601 or seconds since 1970 when it is not said
    pub date: Option<String>,
    /// of times without an offset; UTC when it is not said
    pub time_zone: Option<String>,
    /// of every line, for files without such a column
    pub currency: Option<String>,
    /// what a line's `kind` column says, to one of the kinds of this program
    pub kinds: BTreeMap<String, String>,
    /// the heading of each column that is there
    pub columns: Columns,
}

/// Headings. `amount`, or `debit` and `credit`, must be there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Columns {
    pub reference: Option<String>,
    /// a second name of the same thing
    pub reference2: Option<String>,
    /// what the sender calls the line itself
    pub id: Option<String>,
    pub amount: Option<String>,
    pub debit: Option<String>,
    pub credit: Option<String>,
    /// withheld, positive when it costs us
    pub fee: Option<String>,
    pub currency: Option<String>,
    pub date: Option<String>,
    pub kind: Option<String>,
    /// the payout it is part of
    pub batch: Option<String>,
    pub text: Option<String>,
}

/// The unit of amounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// `12.34`
    #[default]
    Major,
    /// `1234`
    Minor,
}

/// What is wrong with a mapping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mapping: {0}")]
pub struct MappingError(String);

impl Mapping {
    /// Whether it can be used at all, before any file is read.
    pub fn check(&self) -> Result<(), MappingError> {
        let wrong = |reason: String| Err(MappingError(reason));
        for (theirs, ours) in &self.kinds {
            if Kind::from_name(ours).is_none() {
                let names = Kind::ALL.map(Kind::as_str).join(", ");
                return wrong(format!("kinds: `{theirs}` is to be one of {names}, not `{ours}`"));
            }
        }
        if self
            .delimiter
            .is_some_and(|d| !d.is_ascii() || d == '"' || d.is_ascii_alphanumeric())
        {
            return wrong("the delimiter is a single ASCII sign".into());
        }
        if self.grouping.is_some() && self.grouping == Some(self.decimal.unwrap_or('.')) {
            return wrong("thousands and decimals are written with the same sign".into());
        }
        if let Some(code) = &self.currency
            && code.parse::<Currency>().is_err()
        {
            return wrong(format!("`{code}` is no currency of ISO 4217"));
        }
        match when::zone(self.time_zone.as_deref().unwrap_or("UTC")) {
            Ok(_) => Ok(()),
            Err(reason) => wrong(reason),
        }
    }
}

pub(super) fn read(source: Source<impl Read>, mapping: &Mapping, proof: &mut Proof<'_>) -> Result<(), Refused> {
    mapping.check().map_err(|e| Refused::new(0, e.to_string()))?;
    let mut table = Table::open(source, mapping.delimiter.map_or(b',', |d| d as u8))?;
    let columns = &mapping.columns;
    // A column that the mapping names must be there; one that it does not name is looked for by its usual names.
    let column = |name: &Option<String>, usual: &[&str]| match name {
        Some(name) => table.required(&[name]),
        None => table.column(usual),
    };
    let minor = table.column(&["amount_minor"])?;
    let by_minor = columns.amount.is_none() && !minor.is_none();
    let layout = Layout {
        mapping,
        zone: when::zone(mapping.time_zone.as_deref().unwrap_or("UTC")).map_err(|e| Refused::new(0, e))?,
        minor: by_minor || mapping.unit == Unit::Minor,
        references: [
            column(
                &columns.reference,
                &["reference", "acquirer_reference", "psp_reference", "end_to_end_id"],
            )?,
            column(&columns.reference2, &["reference2", "payment", "payment_id", "order"])?,
        ],
        id: column(&columns.id, &["id", "transaction_id", "line_id"])?,
        amount: if by_minor {
            minor
        } else {
            column(&columns.amount, &["amount", "gross"])?
        },
        debit: column(&columns.debit, &["debit"])?,
        credit: column(&columns.credit, &["credit"])?,
        fee: column(&columns.fee, &["fee"])?,
        currency: column(&columns.currency, &["currency"])?,
        date: match &columns.date {
            Some(name) => table.required(&[name])?,
            None => table.required(&["date", "created", "created_at", "booking_date", "value_date"])?,
        },
        kind: column(&columns.kind, &["kind", "type"])?,
        batch: column(&columns.batch, &["batch", "payout", "payout_id"])?,
        text: column(&columns.text, &["text", "description"])?,
    };
    if layout.amount.is_none() && layout.debit.is_none() && layout.credit.is_none() {
        return Err(Refused::new(
            1,
            "column `amount` is missing, and so are `debit` and `credit`",
        ));
    }
    if layout.references[0].is_none() && layout.id.is_none() && layout.text.is_none() {
        return Err(Refused::new(
            1,
            "column `reference` is missing: nothing says what a line is about",
        ));
    }
    let mut end = 1;
    while let Some(row) = table.next()? {
        end = row.line;
        proof.line(layout.line(&row)?)?;
    }
    proof.statement(end, Statement::default())
}

struct Layout<'a> {
    mapping: &'a Mapping,
    zone: TimeZone,
    minor: bool,
    references: [Column; 2],
    id: Column,
    amount: Column,
    debit: Column,
    credit: Column,
    fee: Column,
    currency: Column,
    date: Column,
    kind: Column,
    batch: Column,
    text: Column,
}

impl Layout<'_> {
    fn line(&self, row: &Row<'_>) -> Result<Line, Refused> {
        let number = row.line;
        let code = match (row.get(self.currency), &self.mapping.currency) {
            ("", Some(code)) => code,
            ("", None) => return Err(row.refused("`currency` is empty, and the mapping names none")),
            (code, _) => code,
        };
        let currency = currency(number, code)?;
        let read = |column| match row.get(column) {
            "" => Ok(None),
            text => self
                .amount(text, currency)
                .map(Some)
                .map_err(|reason| row.refused(reason)),
        };
        let (debit, credit) = (read(self.debit)?, read(self.credit)?);
        let amount = match (read(self.amount)?, debit, credit) {
            (Some(amount), None, None) => amount,
            (None, None, None) => return Err(row.refused("`amount` is empty")),
            (None, debit, credit) => {
                let debit = debit.unwrap_or(0).checked_abs();
                checked(number, debit.and_then(|debit| credit.unwrap_or(0).checked_sub(debit)))?
            }
            (Some(_), ..) => return Err(row.refused("an amount, and a debit or credit besides")),
        };
        let fee = read(self.fee)?.unwrap_or(0);
        let id = row.get(self.id);
        let references = self.references.map(|column| row.get(column).to_owned());
        let date = row.required(self.date, "date")?;
        let at = match &self.mapping.date {
            Some(format) => when::formatted(date, format, &self.zone),
            None => when::instant(date, &self.zone),
        };
        Ok(Line {
            number,
            kind: self.kind(row)?,
            references: references.into_iter().chain([id.to_owned()]).collect(),
            identity: Some(id.to_owned()),
            batch: Some(row.get(self.batch).to_owned()),
            amount,
            currency,
            fee,
            net: checked(number, amount.checked_sub(fee))?,
            net_currency: currency,
            at: at.map_err(|reason| row.refused(reason))?,
            text: row.get(self.text).to_owned(),
        })
    }

    fn amount(&self, text: &str, currency: Currency) -> Result<i64, String> {
        let point = self.mapping.decimal.unwrap_or('.');
        let plain: String = text.chars().filter(|c| Some(*c) != self.mapping.grouping).collect();
        match self.minor {
            true => amount::minor(&plain),
            false => amount::major(&plain, currency, point),
        }
    }

    fn kind(&self, row: &Row<'_>) -> Result<Kind, Refused> {
        let name = row.get(self.kind);
        if name.is_empty() {
            return Ok(Kind::Movement);
        }
        let kinds = &self.mapping.kinds;
        if let Some(ours) = kinds.get(name).or_else(|| kinds.get(&name.to_ascii_lowercase())) {
            return Ok(Kind::from_name(ours).unwrap_or(Kind::Movement));
        }
        match Kind::from_name(&name.to_ascii_lowercase()) {
            Some(kind) => Ok(kind),
            None if kinds.is_empty() => Ok(match name.to_ascii_lowercase().as_str() {
                "charge" | "sale" | "capture" => Kind::Payment,
                "chargeback" => Kind::Dispute,
                _ => Kind::Movement,
            }),
            None => Err(row.refused(format!(
                "`{}` is no kind that the mapping knows",
                crate::amount::short(name)
            ))),
        }
    }
}
