//! SWIFT MT940, customer statement: fields of tags, one statement per message, amounts with a comma.
//!
//! Proven: opening balance + lines = closing balance in every message, pages of a statement join, numbers of statements have no gap.

use std::io::Read;

use jiff::civil::Date;
use ledger::Currency;

use super::proof::{Proof, checked, currency};
use crate::amount::short;
use crate::scan::Source;
use crate::{Kind, Line, Refused, Statement, amount, when};

pub(super) fn read(mut source: Source<impl Read>, proof: &mut Proof<'_>) -> Result<(), Refused> {
    let mut reader = Reader {
        proof,
        message: None,
        carried: None,
        statements: 0,
    };
    let mut field: Option<(u64, String, String)> = None;
    let mut last = 1;
    while let Some((number, text)) = source.next_line()? {
        last = number;
        // The envelope of the network, where it was left around the text: `{1:..}{2:..}{4:`.
        let text = match text.rfind("{4:") {
            Some(at) if text.starts_with('{') => text[at + 3..].to_owned(),
            _ if text.starts_with('{') || text.starts_with('}') => continue,
            _ => text,
        };
        if let Some((tag, value)) = tag(&text) {
            let (tag, value) = (tag.to_owned(), value.to_owned());
            if let Some((line, tag, value)) = field.replace((number, tag, value)) {
                reader.field(line, &tag, &value)?;
            }
        } else if text.trim_end() == "-" || text.starts_with("-}") {
            if let Some((line, tag, value)) = field.take() {
                reader.field(line, &tag, &value)?;
            }
            reader.end_message(number)?;
        } else if let Some((_, _, value)) = &mut field {
            if value.len() > FIELD_BYTES {
                return Err(Refused::new(
                    number,
                    format!("a field is longer than {FIELD_BYTES} bytes"),
                ));
            }
            value.push('\n');
            value.push_str(&text);
        } else if !text.trim().is_empty() {
            return Err(Refused::new(number, format!("`{}` is no field of MT940", short(&text))));
        }
    }
    if let Some((line, tag, value)) = field.take() {
        reader.field(line, &tag, &value)?;
    }
    reader.end_message(last)?;
    if reader.carried.is_some() {
        return Err(Refused::new(last, "the last page of the statement is missing (:62F:)"));
    }
    if reader.statements == 0 {
        return Err(Refused::new(last, "there is no statement in it"));
    }
    Ok(())
}

/// `:61:value`.
fn tag(text: &str) -> Option<(&str, &str)> {
    let (tag, value) = text.strip_prefix(':')?.split_once(':')?;
    let (digits, letter) = tag.split_at_checked(2)?;
    let known = digits.bytes().all(|b| b.is_ascii_digit()) && (letter.is_empty() || letter.len() == 1);
    (known && letter.bytes().all(|b| b.is_ascii_uppercase())).then_some((tag, value))
}

struct Reader<'a, 'b> {
    proof: &'a mut Proof<'b>,
    message: Option<Message>,
    /// what a page ended with, and what the next must begin with
    carried: Option<(i64, Currency)>,
    statements: u64,
}

#[derive(Default)]
struct Message {
    statement: Statement,
    page: String,
    line: Option<Line>,
    closed: bool,
}

impl Reader<'_, '_> {
    fn field(&mut self, number: u64, tag: &str, value: &str) -> Result<(), Refused> {
        let refused = |reason: String| Refused::new(number, reason);
        if tag == "20" {
            self.end_message(number)?;
            self.message = Some(Message::default());
            return Ok(());
        }
        let Some(message) = &mut self.message else {
            return Err(refused(format!(":{tag}: stands before :20:, which begins a statement")));
        };
        match tag {
            "25" | "25P" => message.statement.account = Some(value.lines().next().unwrap_or_default().to_owned()),
            "28C" | "28" => {
                let (number, page) = value.split_once('/').unwrap_or((value, ""));
                let number = number.trim().parse();
                message.statement.sequence =
                    Some(number.map_err(|_| refused(format!("`{}` is no statement number", short(value))))?);
                page.trim().clone_into(&mut message.page);
            }
            "60F" | "60M" => {
                let balance = balance(number, value)?;
                if tag == "60M"
                    && self
                        .carried
                        .is_some_and(|carried| carried != (balance.amount, balance.currency))
                {
                    return Err(refused(
                        "the page does not begin with the balance that the last one ended with".into(),
                    ));
                }
                self.carried = None;
                message.statement.opening = Some(balance.amount);
                message.statement.currency = Some(balance.currency);
            }
            "61" => {
                let line = message.entry(number, value)?;
                if let Some(line) = message.line.replace(line) {
                    self.proof.line(line)?;
                }
            }
            "86" => {
                if let Some(line) = &mut message.line {
                    append(line, value);
                }
            }
            "62F" | "62M" => {
                if let Some(line) = message.line.take() {
                    self.proof.line(line)?;
                }
                let balance = balance(number, value)?;
                if message.statement.currency != Some(balance.currency) {
                    return Err(refused("opening and closing balance are in two currencies".into()));
                }
                message.statement.closing = Some(balance.amount);
                message.statement.id = message
                    .statement
                    .sequence
                    .map(|sequence| format!("{sequence}/{} {}", message.page, balance.date));
                message.closed = true;
                self.carried = (tag == "62M").then_some((balance.amount, balance.currency));
            }
            _ => {} // :21:, :64:, :65: and what banks add
        }
        Ok(())
    }

    fn end_message(&mut self, number: u64) -> Result<(), Refused> {
        let Some(message) = self.message.take() else {
            return Ok(());
        };
        if !message.closed {
            return Err(Refused::new(
                number,
                "the statement has no closing balance (:62F:): is the file cut off?",
            ));
        }
        if message.statement.opening.is_none() || message.statement.account.is_none() {
            return Err(Refused::new(
                number,
                "the statement has no account (:25:) or opening balance (:60F:)",
            ));
        }
        self.statements += 1;
        self.proof.statement(number, message.statement)
    }
}

impl Message {
    /// `6!n[4!n]2a[1!a]15d1!a3!c16x[//16x]` and a second line of 34 characters.
    fn entry(&self, number: u64, value: &str) -> Result<Line, Refused> {
        let refused = |reason: String| Refused::new(number, reason);
        let Some(currency) = self.statement.currency else {
            return Err(refused(":61: stands before the opening balance (:60F:)".into()));
        };
        if self.closed {
            return Err(refused(":61: stands after the closing balance".into()));
        }
        let (first, details) = value.split_once('\n').unwrap_or((value, ""));
        let cut = |text: &str, at: usize| text.split_at_checked(at).map(|(a, b)| (a.to_owned(), b.to_owned()));
        let (date, rest) = cut(first, 6).ok_or_else(|| refused("the line of a movement is cut off".into()))?;
        let valued = when::six_digits(&date).map_err(refused)?;
        let (booked, rest) = match cut(&rest, 4) {
            Some((entry, rest)) if entry.bytes().all(|b| b.is_ascii_digit()) => {
                (when::month_day(&entry, valued).map_err(refused)?, rest)
            }
            _ => (valued, rest),
        };
        // A reversal of a credit takes, a reversal of a debit gives.
        let marks = [("RC", -1), ("RD", 1), ("EC", 1), ("ED", -1), ("C", 1), ("D", -1)];
        let mark = marks
            .iter()
            .find_map(|(mark, sign)| Some((rest.strip_prefix(mark)?, *sign)));
        let (rest, sign) = mark.ok_or_else(|| refused("neither C nor D: no direction".into()))?;
        let rest = match rest.chars().next() {
            Some(funds) if funds.is_ascii_alphabetic() => &rest[1..],
            _ => rest,
        };
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == ','));
        let (digits, rest) = rest.split_at(end.unwrap_or(rest.len()));
        if !digits.contains(',') {
            return Err(refused(format!("`{}` is no amount: it has no comma", short(digits))));
        }
        let amount = amount::major(digits, currency, ',').map_err(refused)?;
        let rest = rest
            .split_at_checked(4)
            .map(|(_, references)| references)
            .ok_or_else(|| refused("the type of the movement is cut off".into()))?;
        let (owner, bank) = rest.split_once("//").unwrap_or((rest, ""));
        let at = |date| when::midnight(date).map_err(refused);
        Ok(Line {
            number,
            kind: Kind::Movement,
            references: vec![owner.trim().to_owned(), bank.trim().to_owned()],
            identity: Some(bank.trim().to_owned()),
            batch: None,
            amount: amount * sign,
            currency,
            fee: 0,
            net: amount * sign,
            net_currency: currency,
            at: at(booked)?,
            text: details.replace('\n', " "),
        })
    }
}

/// The text of `:86:`: as it is, for people, and joined over its line ends, where banks break words.
fn append(line: &mut Line, value: &str) {
    let joined = value.replace('\n', "");
    let plain = value.replace('\n', " ");
    for text in [Some(&plain), (joined != plain).then_some(&joined)]
        .into_iter()
        .flatten()
    {
        if !line.text.is_empty() {
            line.text.push(' ');
        }
        line.text.push_str(text);
    }
    if let Some(reference) = end_to_end(&joined) {
        line.references.insert(0, reference);
    }
}

/// The payer's own reference, where the text is structured: `/EREF/..` or `EREF+..`.
fn end_to_end(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("/EREF/").or_else(|| text.split_once("EREF+"))?;
    let end = rest.find(['/', '?', '+', ' ']).unwrap_or(rest.len());
    (end > 0).then(|| rest[..end].to_owned())
}

struct Balance {
    amount: i64,
    currency: Currency,
    date: Date,
}

/// `C260101EUR1234,56`.
fn balance(number: u64, value: &str) -> Result<Balance, Refused> {
    let refused = |reason: String| Refused::new(number, reason);
    let value = value.trim();
    let parts = (value.get(0..1), value.get(1..7), value.get(7..10), value.get(10..));
    let (Some(mark), Some(date), Some(code), Some(digits)) = parts else {
        return Err(refused(format!("`{}` is no balance", short(value))));
    };
    let currency = currency(number, code)?;
    if !digits.contains(',') {
        return Err(refused(format!("`{}` is no amount: it has no comma", short(digits))));
    }
    let amount = amount::major(digits, currency, ',').map_err(refused)?;
    let amount = match mark {
        "C" => amount,
        "D" => checked(number, amount.checked_neg())?,
        _ => return Err(refused(format!("`{}` where a balance is C or D", short(mark)))),
    };
    Ok(Balance {
        amount,
        currency,
        date: when::six_digits(date).map_err(refused)?,
    })
}

const FIELD_BYTES: usize = 16 << 10;
