//! A report as a file: CSV for spreadsheets, JSON for programs, PDF for paper. Pure: the same report gives the same bytes.
//!
//! Every file says what it is a report of and from which position of the books. It must never put a time of making, or anything
//! else that is not the report's, into one.

mod pdf;

use super::{Cell, Kind, Made, Span};
use ledger::Currency;
use serde_json::{Map, Value, json};
use std::str::FromStr;

/// What kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Format {
    Csv,
    Json,
    Pdf,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 3] = [Format::Csv, Format::Json, Format::Pdf];

    /// How it is asked for, and the end of a file's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Json => "json",
            Format::Pdf => "pdf",
        }
    }

    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8",
            Format::Json => "application/json",
            Format::Pdf => "application/pdf",
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Format::ALL.into_iter().find(|format| format.as_str() == text);
        found.ok_or_else(|| "a report is csv, json or pdf".to_owned())
    }
}

impl Made {
    /// The file.
    pub fn render(&self, format: Format) -> Vec<u8> {
        match format {
            Format::Csv => self.csv().into_bytes(),
            Format::Json => format!("{}\n", self.json()).into_bytes(),
            Format::Pdf => pdf::render(self),
        }
    }

    /// A name for it: `trial_balance_all_page-42.csv`.
    pub fn file_name(&self, format: Format) -> String {
        let book = self.ask.book.as_ref().map_or("all", |(_, code)| code);
        let position = self.position.to_string().replace(':', "-");
        format!("{}_{book}_{position}.{}", self.report.name, format.as_str())
    }

    /// What it is a report of, as labels and words.
    pub fn heading(&self) -> Vec<(&'static str, String)> {
        let book = match (&self.ask.book, self.ask.consolidated) {
            (Some((_, code)), _) => code.clone(),
            (None, true) => "all books, consolidated".to_owned(),
            (None, false) => "all books".to_owned(),
        };
        let mut lines = vec![("report", self.report.title.to_owned()), ("book", book)];
        if let Some(account) = &self.ask.account {
            lines.push(("account", account.to_string()));
        }
        if self.report.span == Span::Period {
            let from = self
                .ask
                .from
                .map_or("the first journal".to_owned(), |at| at.to_string());
            lines.push(("from", from));
        }
        let to = self
            .ask
            .to
            .map_or("the position".to_owned(), |at| format!("before {at}"));
        lines.push(("to", to));
        lines.push(("ledger position", self.position.words()));
        lines
    }

    /// Comment lines that say what it is, a line of column names, and the rows ([`Made::body`]).
    fn csv(&self) -> String {
        let mut text = String::new();
        for (label, words) in self.heading() {
            text.push_str(&format!("# {label}: {words}\n"));
        }
        text.push_str(&self.body());
        text
    }

    /// Column names and rows as CSV, without what says when the books were read: it is what people sign, and the same for as long
    /// as nothing is booked that belongs in it.
    pub fn body(&self) -> String {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let names = self.report.columns.iter().map(|column| column.name);
        // Into memory, and every row has the columns of the report: it cannot fail.
        let _ = csv.write_record(names);
        for row in &self.rows {
            let _ = csv.write_record(row.iter().map(|cell| match cell {
                Cell::Text(text) => inert(text),
                cell => cell.words(),
            }));
        }
        let bytes = csv.into_inner().unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    }

    /// As an object; money in minor units.
    pub fn json(&self) -> Value {
        let moment = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string());
        let columns = self.report.columns.iter().map(|column| {
            let kind = match column.kind {
                Kind::Text => "text",
                Kind::Count => "count",
                Kind::Money => "minor_units",
                Kind::Day => "day",
                Kind::Moment => "moment",
            };
            json!({ "name": column.name, "type": kind })
        });
        let rows = self.rows.iter().map(|row| {
            let cells = self.report.columns.iter().zip(row);
            let cells = cells.map(|(column, cell)| (column.name.to_owned(), cell.json()));
            Value::Object(cells.collect::<Map<_, _>>())
        });
        json!({
            "object": "report",
            "report_type": self.report.name,
            "title": self.report.title,
            "book": self.ask.book.as_ref().map(|(_, code)| code),
            "consolidated": self.ask.consolidated,
            "account": self.ask.account.as_ref().map(ToString::to_string),
            "from": moment(self.ask.from),
            "to": moment(self.ask.to),
            "position": {
                "id": self.position.to_string(),
                "journal": self.position.journal,
                "page": self.position.page.as_ref().map(|(page, _)| page),
                "page_hash": self.position.page.as_ref().map(|(_, hash)| hash),
                "recorded_at": self.position.recorded_at.to_string(),
            },
            "columns": columns.collect::<Vec<_>>(),
            "data": rows.collect::<Vec<_>>(),
        })
    }
}

impl Cell {
    /// As people read it: amounts with the decimals of their currency.
    pub fn words(&self) -> String {
        match self {
            Cell::Empty => String::new(),
            Cell::Text(text) => text.clone(),
            Cell::Count(count) => count.to_string(),
            Cell::Money(amount, currency) => decimal((*amount).into(), *currency),
            Cell::Day(day) => day.to_string(),
            Cell::Moment(at) => at.to_string(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Cell::Empty => Value::Null,
            Cell::Text(text) => text.as_str().into(),
            Cell::Count(number) | Cell::Money(number, _) => (*number).into(),
            Cell::Day(_) | Cell::Moment(_) => self.words().into(),
        }
    }
}

/// Minor units as people write them: `-12.30` for -1230 US cents.
pub fn decimal(minor: i128, currency: Currency) -> String {
    let places = usize::from(currency.exponent());
    let digits = format!("{:0>width$}", minor.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let sign = if minor < 0 { "-" } else { "" };
    let point = if places == 0 { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

/// A text that a spreadsheet would take for a formula gets an apostrophe, with which it shows as it is.
fn inert(text: &str) -> String {
    let first = text.trim_start_matches([' ', '\u{a0}', '\u{feff}']).chars().next();
    match first {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠' | '|' | '%') => {
            format!("'{text}")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
