//! What is the same for every format: lines are counted and summed while they pass, and a statement is proven when it ends.

use std::ops::ControlFlow;

use ledger::{Currency, Money};

use crate::amount::short;
use crate::{Item, Line, Refused, Statement};

/// Between a reader and the sink.
pub(super) struct Proof<'a> {
    sink: &'a mut dyn FnMut(Item) -> ControlFlow<()>,
    account: Option<&'a str>,
    lines: u64,
    sum: i64,
    last: Option<(String, u64)>,
}

impl<'a> Proof<'a> {
    pub(super) fn new(sink: &'a mut dyn FnMut(Item) -> ControlFlow<()>, account: Option<&'a str>) -> Self {
        Self {
            sink,
            account,
            lines: 0,
            sum: 0,
            last: None,
        }
    }

    /// Passes a line on.
    pub(super) fn line(&mut self, mut line: Line) -> Result<(), Refused> {
        let number = line.number;
        if line.amount == 0 && line.net == 0 {
            return Ok(()); // moves nothing: there is nothing to match
        }
        line.references = line
            .references
            .into_iter()
            .filter_map(|reference| tidy(&reference, REFERENCE_CHARS))
            .take(REFERENCES)
            .collect();
        line.identity = line.identity.and_then(|text| tidy(&text, REFERENCE_CHARS));
        line.batch = line.batch.and_then(|text| tidy(&text, REFERENCE_CHARS));
        line.text = tidy(&line.text, TEXT_CHARS).unwrap_or_default();
        self.lines += 1;
        self.sum = self
            .sum
            .checked_add(line.net)
            .ok_or_else(|| Refused::new(number, "the sum of the file is out of range"))?;
        self.pass(Item::Line(line))
    }

    /// Proves a statement whose last line has passed, and passes it on.
    pub(super) fn statement(&mut self, number: u64, mut statement: Statement) -> Result<(), Refused> {
        let refused = |reason: String| Err(Refused::new(number, reason));
        if let (Some(opening), Some(closing), Some(currency)) =
            (statement.opening, statement.closing, statement.currency)
        {
            let show = |minor: i64| Money::new(minor, currency).to_string();
            if opening.checked_add(self.sum) != Some(closing) {
                let (opening, sum, closing) = (show(opening), show(self.sum), show(closing));
                return refused(format!(
                    "opening balance {opening} and entries of {sum} do not make the closing balance {closing}"
                ));
            }
        }
        statement.id = statement.id.and_then(|id| tidy(&id, REFERENCE_CHARS));
        statement.account = statement.account.and_then(|account| tidy(&account, REFERENCE_CHARS));
        if let Some(wanted) = self.account
            && statement
                .account
                .as_deref()
                .is_none_or(|account| plain(account) != plain(wanted))
        {
            let found = statement.account.as_deref().map_or("none".into(), short);
            return refused(format!("it is of account {found}, not of {}", short(wanted)));
        }
        if let (Some(account), Some(sequence)) = (&statement.account, statement.sequence) {
            if let Some((before, last)) = &self.last
                && before == account
                && !follows(*last, sequence)
            {
                return refused(format!(
                    "statement {sequence} follows statement {last}: what is between is missing"
                ));
            }
            self.last = Some((account.clone(), sequence));
        }
        statement.lines = self.lines;
        (self.lines, self.sum) = (0, 0);
        self.pass(Item::Statement(statement))
    }

    fn pass(&mut self, item: Item) -> Result<(), Refused> {
        match (self.sink)(item) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Refused::new(0, "the reading was stopped")),
        }
    }
}

/// Whether a statement may come right after another: the same number goes on (pages), the next one, or a new year's first.
pub(super) fn follows(last: u64, next: u64) -> bool {
    next == last || Some(next) == last.checked_add(1) || next == 1
}

/// A currency of a file, or what is wrong.
pub(super) fn currency(line: u64, code: &str) -> Result<Currency, Refused> {
    code.trim()
        .parse()
        .map_err(|_| Refused::new(line, format!("`{}` is no currency of ISO 4217", short(code))))
}

/// All lines of an account are in its currency.
pub(super) fn one_currency(line: u64, of_account: Option<Currency>, found: Currency) -> Result<(), Refused> {
    match of_account {
        Some(currency) if currency != found => Err(Refused::new(
            line,
            format!("an entry in {found} on an account in {currency}"),
        )),
        _ => Ok(()),
    }
}

/// What is not in range is refused, never clipped.
pub(super) fn checked(line: u64, amount: Option<i64>) -> Result<i64, Refused> {
    amount.ok_or_else(|| Refused::new(line, "an amount is out of range"))
}

/// Printable, bounded, not empty.
fn tidy(text: &str, chars: usize) -> Option<String> {
    let text: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(chars)
        .collect();
    (!text.is_empty()).then_some(text)
}

fn plain(account: &str) -> String {
    let letters = account.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|c| c.to_ascii_uppercase()).collect()
}

const REFERENCES: usize = 16;
const REFERENCE_CHARS: usize = 200;
const TEXT_CHARS: usize = 1000;
