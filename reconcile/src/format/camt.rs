//! ISO 20022 camt.053 (statement) and camt.054 (notification), by element names: versions 02 to 13 differ in what is not read here.
//!
//! Streams events; DTDs are refused, entities are the five of XML, depth and the size of every piece are bounded. Proven: opening
//! balance + booked entries = closing balance (camt.053), the summary's counts and sums, details of an entry = the entry, currency of
//! entry = currency of account. Amounts are positive; the sign is CdtDbtInd, also of a reversal.

mod entry;

use std::io::Read;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::Format;
use super::proof::{Proof, checked, currency, one_currency};
use crate::amount;
use crate::scan::{Source, unreadable};
use crate::{Refused, Statement};
use entry::Entry;

pub(super) fn read(source: Source<impl Read>, format: Format, proof: &mut Proof<'_>) -> Result<(), Refused> {
    let mut reader = Reader::from_reader(source);
    reader.config_mut().expand_empty_elements = true;
    let mut document = Document::new(format, proof);
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        reader.get_mut().renew();
        let begins = reader.get_ref().line;
        let event = reader.read_event_into(&mut buffer);
        let event = event.map_err(|e| unreadable(begins, &e))?;
        match event {
            Event::Start(start) => document.start(begins, &start)?,
            Event::Text(text) => document.text(begins, &text)?,
            Event::CData(text) => document.text(begins, &text)?,
            Event::GeneralRef(reference) => {
                let text =
                    resolve(&reference).ok_or_else(|| Refused::new(begins, "an entity that XML does not define"))?;
                document.text(begins, &text)?;
            }
            Event::End(_) => document.end(begins)?,
            Event::DocType(_) => return Err(Refused::new(begins, "a DTD is not accepted")),
            Event::Eof => return document.finish(begins),
            Event::Empty(_) | Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
        }
    }
}

fn resolve(reference: &BytesRef<'_>) -> Option<String> {
    if let Ok(Some(c)) = reference.resolve_char_ref() {
        return Some(c.to_string());
    }
    quick_xml::escape::resolve_xml_entity(reference).map(str::to_owned)
}

struct Document<'a, 'b> {
    format: Format,
    proof: &'a mut Proof<'b>,
    /// local names from the root
    path: Vec<String>,
    text: String,
    /// of the element that is open
    ccy: String,
    statement: Statement,
    balance: Balance,
    interim: [Option<i64>; 2],
    summary: Summary,
    passed: Passed,
    entry: Option<Entry>,
    statements: u64,
}

#[derive(Default)]
struct Balance {
    kind: String,
    amount: Option<i64>,
    debit: bool,
}

/// What `TxsSummry` says.
#[derive(Default)]
struct Summary {
    entries: Option<u64>,
    sum: Option<String>,
    credits: Option<String>,
    debits: Option<String>,
}

/// What passed, booked or not.
#[derive(Default)]
struct Passed {
    entries: u64,
    credits: i64,
    debits: i64,
}

impl<'a, 'b> Document<'a, 'b> {
    fn new(format: Format, proof: &'a mut Proof<'b>) -> Self {
        Self {
            format,
            proof,
            path: Vec::new(),
            text: String::new(),
            ccy: String::new(),
            statement: Statement::default(),
            balance: Balance::default(),
            interim: [None; 2],
            summary: Summary::default(),
            passed: Passed::default(),
            entry: None,
            statements: 0,
        }
    }

    fn start(&mut self, line: u64, start: &BytesStart<'_>) -> Result<(), Refused> {
        let name = start.local_name().as_ref().to_owned();
        if self.path.len() >= DEPTH {
            return Err(Refused::new(line, format!("elements are nested deeper than {DEPTH}")));
        }
        self.text.clear();
        self.ccy.clear();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|e| unreadable(line, &e))?;
            if attribute.key.as_ref() == "Ccy" {
                attribute.value.as_ref().clone_into(&mut self.ccy);
            }
        }
        self.path.push(name);
        let root = match self.format {
            Format::Camt054 => ["Document", "BkToCstmrDbtCdtNtfctn"],
            _ => ["Document", "BkToCstmrStmt"],
        };
        if let Some(wanted) = root.get(self.path.len() - 1)
            && self.path.last().is_none_or(|name| name != wanted)
        {
            let found = amount::short(self.path.last().map_or("", String::as_str));
            return Err(Refused::new(
                line,
                format!("`{found}` where {} has `{wanted}`", self.format),
            ));
        }
        match self.inside().as_slice() {
            ["Stmt" | "Ntfctn"] => self.begin_statement(),
            ["Stmt" | "Ntfctn", "Bal"] => self.balance = Balance::default(),
            ["Stmt" | "Ntfctn", "Ntry"] => self.entry = Some(Entry::new(line)),
            ["Stmt" | "Ntfctn", "Ntry", "NtryDtls", "TxDtls"] => {
                if let Some(entry) = &mut self.entry {
                    entry.begin_detail()?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn text(&mut self, line: u64, text: &str) -> Result<(), Refused> {
        if self.text.len() + text.len() > TEXT_BYTES {
            return Err(Refused::new(line, format!("a text is longer than {TEXT_BYTES} bytes")));
        }
        self.text.push_str(text);
        Ok(())
    }

    fn end(&mut self, line: u64) -> Result<(), Refused> {
        let text = std::mem::take(&mut self.text);
        let ccy = std::mem::take(&mut self.ccy);
        let text = text.trim();
        // Borrowed for the match alone: the path is put back.
        let path = std::mem::take(&mut self.path);
        let inside: Vec<&str> = path.iter().skip(2).map(String::as_str).collect();
        let done = self.element(line, &inside, text, &ccy);
        self.path = path;
        self.path.pop();
        done
    }

    fn element(&mut self, line: u64, inside: &[&str], text: &str, ccy: &str) -> Result<(), Refused> {
        let ["Stmt" | "Ntfctn", rest @ ..] = inside else {
            return Ok(());
        };
        let refused = |reason: String| Refused::new(line, reason);
        match rest {
            [] => self.end_statement(line)?,
            ["Id"] => self.statement.id = Some(text.to_owned()),
            ["ElctrncSeqNb"] => {
                let number = text
                    .parse()
                    .map_err(|_| refused(format!("`{}` is no number", amount::short(text))))?;
                self.statement.sequence = Some(number);
            }
            ["Acct", "Id", "IBAN"] | ["Acct", "Id", "Othr", "Id"] => self.statement.account = Some(text.to_owned()),
            ["Acct", "Ccy"] => self.statement.currency = Some(currency(line, text)?),
            ["Bal", "Tp", "CdOrPrtry", "Cd"] => text.clone_into(&mut self.balance.kind),
            ["Bal", "Amt"] => {
                let ccy = self.of_account(line, ccy)?;
                self.balance.amount = Some(amount::major(text, ccy, '.').map_err(refused)?);
            }
            ["Bal", "CdtDbtInd"] => self.balance.debit = is_debit(line, text)?,
            ["Bal"] => self.end_balance(line)?,
            ["TxsSummry", "TtlNtries", "NbOfNtries"] => {
                let number = text
                    .parse()
                    .map_err(|_| refused(format!("`{}` is no number", amount::short(text))))?;
                self.summary.entries = Some(number);
            }
            ["TxsSummry", "TtlNtries", "Sum"] => self.summary.sum = Some(text.to_owned()),
            ["TxsSummry", "TtlCdtNtries", "Sum"] => self.summary.credits = Some(text.to_owned()),
            ["TxsSummry", "TtlDbtNtries", "Sum"] => self.summary.debits = Some(text.to_owned()),
            ["Ntry"] => {
                if let Some(entry) = self.entry.take() {
                    self.end_entry(entry)?;
                }
            }
            ["Ntry", "Amt"] => {
                let ccy = self.of_account(line, ccy)?;
                let amount = amount::major(text, ccy, '.').map_err(refused)?;
                if let Some(entry) = &mut self.entry {
                    entry.amount = Some(amount);
                }
            }
            ["Ntry", rest @ ..] => {
                if let Some(entry) = &mut self.entry {
                    entry.element(line, rest, text, ccy)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A currency that must be the account's; the first one seen becomes it.
    fn of_account(&mut self, line: u64, ccy: &str) -> Result<ledger::Currency, Refused> {
        let found = currency(line, ccy)?;
        one_currency(line, self.statement.currency, found)?;
        self.statement.currency = Some(found);
        Ok(found)
    }

    fn begin_statement(&mut self) {
        self.statement = Statement::default();
        self.interim = [None; 2];
        self.summary = Summary::default();
        self.passed = Passed::default();
    }

    fn end_balance(&mut self, line: u64) -> Result<(), Refused> {
        let balance = std::mem::take(&mut self.balance);
        let Some(amount) = balance.amount else {
            return Err(Refused::new(line, "a balance without an amount"));
        };
        let amount = if balance.debit { -amount } else { amount };
        match balance.kind.as_str() {
            "OPBD" | "PRCD" => self.statement.opening = Some(amount),
            "CLBD" => self.statement.closing = Some(amount),
            // Pages of one statement: from the first interim balance to the last.
            "ITBD" => self.interim = [self.interim[0].or(Some(amount)), Some(amount)],
            _ => {}
        }
        Ok(())
    }

    fn end_entry(&mut self, entry: Entry) -> Result<(), Refused> {
        let (line, Some(currency)) = (entry.line, self.statement.currency) else {
            return Err(Refused::new(entry.line, "an entry without an amount"));
        };
        let amount = entry.signed()?;
        let side = match amount < 0 {
            true => &mut self.passed.debits,
            false => &mut self.passed.credits,
        };
        *side = checked(line, side.checked_add(amount.abs()))?;
        self.passed.entries += 1;
        if !entry.is_booked()? {
            return Ok(()); // announced, not booked: in no balance
        }
        for line in entry.lines(currency)? {
            self.proof.line(line)?;
        }
        Ok(())
    }

    fn end_statement(&mut self, line: u64) -> Result<(), Refused> {
        self.statements += 1;
        let mut statement = std::mem::take(&mut self.statement);
        statement.opening = statement.opening.or(self.interim[0]);
        statement.closing = statement.closing.or(self.interim[1]);
        if statement.account.is_none() {
            return Err(Refused::new(line, "no account: Acct/Id is missing"));
        }
        if self.format == Format::Camt053 && (statement.opening.is_none() || statement.closing.is_none()) {
            return Err(Refused::new(
                line,
                "no opening (OPBD) or closing (CLBD) balance to prove the entries by",
            ));
        }
        self.check_summary(line, statement.currency)?;
        self.proof.statement(line, statement)
    }

    fn check_summary(&self, line: u64, currency: Option<ledger::Currency>) -> Result<(), Refused> {
        let (summary, passed) = (&self.summary, &self.passed);
        if let Some(wanted) = summary.entries
            && wanted != passed.entries
        {
            let found = passed.entries;
            return Err(Refused::new(
                line,
                format!("the summary says {wanted} entries, and there are {found}"),
            ));
        }
        let all = checked(line, passed.credits.checked_add(passed.debits))?;
        for (what, wanted, found) in [
            ("entries", &summary.sum, all),
            ("credits", &summary.credits, passed.credits),
            ("debits", &summary.debits, passed.debits),
        ] {
            let (Some(wanted), Some(currency)) = (wanted, currency) else {
                continue;
            };
            let minor = amount::major(wanted, currency, '.').map_err(|reason| Refused::new(line, reason))?;
            if minor != found {
                let found = ledger::Money::new(found, currency);
                let wanted = ledger::Money::new(minor, currency);
                return Err(Refused::new(
                    line,
                    format!("the summary says {what} of {wanted}, and there are {found}"),
                ));
            }
        }
        Ok(())
    }

    fn inside(&self) -> Vec<&str> {
        self.path.iter().skip(2).map(String::as_str).collect()
    }

    fn finish(self, line: u64) -> Result<(), Refused> {
        if !self.path.is_empty() {
            return Err(Refused::new(
                line,
                "the file ends before its elements do: is it cut off?",
            ));
        }
        if self.statements == 0 {
            return Err(Refused::new(line, format!("there is no {} in it", self.format)));
        }
        Ok(())
    }
}

fn is_debit(line: u64, text: &str) -> Result<bool, Refused> {
    match text {
        "DBIT" => Ok(true),
        "CRDT" => Ok(false),
        other => Err(Refused::new(
            line,
            format!("`{}` where CdtDbtInd is CRDT or DBIT", amount::short(other)),
        )),
    }
}

const DEPTH: usize = 32;
const TEXT_BYTES: usize = 64 << 10;
