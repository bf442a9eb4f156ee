//! CSV with a heading: columns by name, rows with their line, nothing that is not there.

use std::io::Read;

use csv::StringRecord;

use crate::Refused;
use crate::amount::short;
use crate::scan::{Source, unreadable};

/// A CSV file.
pub(super) struct Table<R> {
    reader: csv::Reader<Source<R>>,
    headings: Vec<String>,
    record: StringRecord,
    /// length of the last field: the shortest of all rows but the last, and the last row's
    shortest: usize,
    last: Option<usize>,
}

/// A row and the line it begins on.
pub(super) struct Row<'a> {
    pub(super) line: u64,
    record: &'a StringRecord,
}

/// A column that may be there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Column(Option<usize>);

impl Column {
    /// Whether the file has no such column.
    pub(super) fn is_none(self) -> bool {
        self.0.is_none()
    }
}

impl<R: Read> Table<R> {
    /// Reads the heading.
    pub(super) fn open(source: Source<R>, delimiter: u8) -> Result<Self, Refused> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .trim(csv::Trim::All)
            .from_reader(source);
        let headings = reader.headers().map_err(|e| wrong(&e, 1))?;
        let headings: Vec<String> = headings.iter().map(|h| h.to_ascii_lowercase()).collect();
        if headings.iter().all(String::is_empty) {
            return Err(Refused::new(1, "the file is empty"));
        }
        Ok(Self {
            reader,
            headings,
            record: StringRecord::new(),
            shortest: usize::MAX,
            last: None,
        })
    }

    /// The column with one of these names, in any case.
    pub(super) fn column(&self, names: &[&str]) -> Result<Column, Refused> {
        for name in names {
            let name = name.trim().to_ascii_lowercase();
            let mut places = self
                .headings
                .iter()
                .enumerate()
                .filter(|(_, heading)| **heading == name);
            match (places.next(), places.next()) {
                (Some(_), Some(_)) => return Err(Refused::new(1, format!("column `{}` is there twice", short(&name)))),
                (Some((place, _)), None) => return Ok(Column(Some(place))),
                (None, _) => {}
            }
        }
        Ok(Column(None))
    }

    /// The same; its absence is a refusal.
    pub(super) fn required(&self, names: &[&str]) -> Result<Column, Refused> {
        let column = self.column(names)?;
        if column.0.is_none() {
            return Err(Refused::new(1, format!("column `{}` is missing", names.join("` or `"))));
        }
        Ok(column)
    }

    /// The next row.
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>, Refused> {
        self.reader.get_mut().renew();
        let before = self.reader.position().line();
        let more = self.reader.read_record(&mut self.record);
        let more = more.map_err(|e| wrong(&e, before))?;
        let line = self.record.position().map_or(before, csv::Position::line);
        if let Some(last) = self.last {
            // A file may end without a line end; one that was cut off in its last field looks the same, but for the field.
            if !more && !self.reader.get_ref().ends_a_line() && self.shortest != usize::MAX && last < self.shortest {
                return Err(Refused::new(
                    before,
                    "the last row ends in the middle of a field: is the file cut off?",
                ));
            }
            self.shortest = self.shortest.min(last);
        }
        self.last = self.record.iter().next_back().map(str::len);
        Ok(more.then_some(Row {
            line,
            record: &self.record,
        }))
    }
}

impl<'a> Row<'a> {
    /// The value, empty when there is no such column.
    pub(super) fn get(&self, column: Column) -> &'a str {
        column.0.and_then(|place| self.record.get(place)).unwrap_or_default()
    }

    /// The value; an empty one is a refusal.
    pub(super) fn required(&self, column: Column, name: &str) -> Result<&'a str, Refused> {
        match self.get(column) {
            "" => Err(self.refused(format!("`{name}` is empty"))),
            value => Ok(value),
        }
    }

    /// What is wrong with this row.
    pub(super) fn refused(&self, reason: impl Into<String>) -> Refused {
        Refused::new(self.line, reason)
    }
}

fn wrong(error: &csv::Error, line: u64) -> Refused {
    let line = error.position().map_or(line, csv::Position::line).max(1);
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => Refused::new(
            line,
            format!("the row has {len} fields and the heading {expected_len}: is the file cut off?"),
        ),
        csv::ErrorKind::Utf8 { .. } => Refused::new(line, "the text is not UTF-8"),
        _ => unreadable(line, error),
    }
}
