//! Tables for people: columns aligned, numbers to the right. Programs ask for `--json` instead.

use std::fmt::Write as _;

use serde_json::Value;

pub(super) use crate::report::decimal;

/// A table with a heading line.
pub(super) struct Table {
    align: Vec<Align>,
    rows: Vec<Vec<String>>,
}

/// How a column is set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

impl Table {
    /// A table with one heading per column.
    pub(super) fn new(align: &[Align], headings: &[&str]) -> Self {
        let mut table = Self {
            align: align.to_vec(),
            rows: Vec::new(),
        };
        table.row(headings.iter().map(|heading| (*heading).to_string()));
        table
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The whole table, each line ended.
    pub(super) fn render(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.align.len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, align), width) in row.iter().zip(&self.align).zip(&widths) {
                let _ = match align {
                    Align::Left => write!(line, "{cell:<width$}  "),
                    Align::Right => write!(line, "{cell:>width$}  "),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Minor units as a JSON number, exact; a string where a number would not be.
pub(super) fn minor(amount: i128) -> Value {
    i64::try_from(amount).map_or_else(|_| Value::String(amount.to_string()), Value::from)
}

#[cfg(test)]
mod tests {
    use ledger::Currency;
    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str) -> Currency {
        code.parse().expect("a currency")
    }

    #[test]
    fn decimals_follow_the_currency() {
        for (minor, code, text) in [
            (0, "usd", "0.00"),
            (5, "usd", "0.05"),
            (-1230, "usd", "-12.30"),
            (-7, "jpy", "-7"),
            (1, "bhd", "0.001"),
            (i128::from(i64::MIN) * 2, "usd", "-184467440737095516.16"),
        ] {
            assert_eq!(decimal(minor, currency(code)), text);
        }
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&[Align::Left, Align::Right], &["account", "net"]);
        table.row(["a".into(), "-1.00".into()]);
        assert_eq!(table.render(), "account    net\na        -1.00\n");
    }

    proptest! {
        #[test]
        fn a_decimal_without_its_point_is_the_minor_amount(amount in any::<i64>()) {
            let text = decimal(amount.into(), currency("usd")).replace('.', "");
            prop_assert_eq!(text.parse::<i64>().expect("digits"), amount);
        }
    }
}
