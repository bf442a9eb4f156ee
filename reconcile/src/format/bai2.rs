//! BAI2 balance report: comma-separated records, amounts in minor units, totals and counts at three levels.
//!
//! Proven: the control totals and counts of every account (49), group (98) and file (99), and opening + entries = closing where an
//! account tells both (010, 015). A detail's sign is that of its type code: 1xx-3xx credit, 4xx-6xx debit.

use std::io::Read;

use jiff::Timestamp;
use ledger::Currency;

use super::proof::{Proof, checked, currency};
use crate::amount::short;
use crate::scan::Source;
use crate::{Kind, Line, Refused, Statement, amount, when};

pub(super) fn read(mut source: Source<impl Read>, proof: &mut Proof<'_>) -> Result<(), Refused> {
    let mut file = File {
        proof,
        id: String::new(),
        totals: [Total::default(); 3],
        group: None,
        account: None,
        stage: Stage::Before,
    };
    // A record and the continuations (88) that follow it.
    let mut open: Option<Record> = None;
    let mut last = 1;
    while let Some((number, text)) = source.next_line()? {
        last = number;
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        let (code, rest) = text.split_once(',').unwrap_or((text.trim_end_matches('/'), ""));
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if code == "88" {
            let Some(record) = &mut open else {
                return Err(Refused::new(number, "a continuation (88) of nothing"));
            };
            record.lines += 1;
            if record.fields.len() > FIELDS {
                return Err(Refused::new(number, format!("a record has more than {FIELDS} fields")));
            }
            record.fields.extend(rest.split(',').map(str::to_owned));
            continue;
        }
        let record = Record {
            number,
            code: code.to_owned(),
            fields: rest.split(',').map(str::to_owned).collect(),
            lines: 1,
        };
        if let Some(record) = open.replace(record) {
            file.record(&record)?;
        }
    }
    if let Some(record) = open.take() {
        file.record(&record)?;
    }
    match file.stage {
        Stage::After => Ok(()),
        Stage::Before => Err(Refused::new(last, "there is no file header (01)")),
        _ => Err(Refused::new(
            last,
            "there is no file trailer (99): is the file cut off?",
        )),
    }
}

struct Record {
    number: u64,
    code: String,
    fields: Vec<String>,
    lines: u64,
}

/// A control total and what it counts.
#[derive(Clone, Copy, Default)]
struct Total {
    sum: i64,
    parts: u64,
    records: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Before,
    File,
    Group,
    Account,
    After,
}

struct Group {
    at: Timestamp,
    date: String,
    currency: Option<Currency>,
}

struct Account {
    statement: Statement,
    currency: Currency,
}

struct File<'a, 'b> {
    proof: &'a mut Proof<'b>,
    id: String,
    /// of the file, the group, the account
    totals: [Total; 3],
    group: Option<Group>,
    account: Option<Account>,
    stage: Stage,
}

impl File<'_, '_> {
    fn record(&mut self, record: &Record) -> Result<(), Refused> {
        let wanted = match record.code.as_str() {
            "01" => &[Stage::Before][..],
            "02" | "99" => &[Stage::File],
            "03" | "98" => &[Stage::Group],
            "16" | "49" => &[Stage::Account],
            other => return Err(record.refused(format!("`{}` is no record of BAI2", short(other)))),
        };
        if !wanted.contains(&self.stage) {
            return Err(record.refused(format!("record {} is out of place", record.code)));
        }
        self.totals[0].records += record.lines;
        self.totals[1].records += record.lines;
        self.totals[2].records += record.lines;
        match record.code.as_str() {
            "01" => {
                self.id = [record.get(2), record.get(3), record.get(4)].join(" ");
                self.stage = Stage::File;
                Ok(())
            }
            "02" => self.begin_group(record),
            "03" => self.begin_account(record),
            "16" => self.detail(record),
            "49" => self.end_account(record),
            "98" => {
                self.prove(record, 1, "accounts")?;
                self.stage = Stage::File;
                Ok(())
            }
            _ => {
                self.prove(record, 0, "groups")?;
                self.stage = Stage::After;
                Ok(())
            }
        }
    }

    fn begin_group(&mut self, record: &Record) -> Result<(), Refused> {
        if matches!(record.get(2), "2" | "4") {
            return Err(record.refused("the group is a deletion or a test, not a report"));
        }
        let date = when::six_digits(record.get(3)).map_err(|e| record.refused(e))?;
        let code = record.get(5);
        self.group = Some(Group {
            at: when::midnight(date).map_err(|e| record.refused(e))?,
            date: date.to_string(),
            currency: match code {
                "" => None,
                code => Some(currency(record.number, code)?),
            },
        });
        self.totals[1] = Total {
            records: record.lines,
            ..Total::default()
        };
        self.stage = Stage::Group;
        Ok(())
    }

    fn begin_account(&mut self, record: &Record) -> Result<(), Refused> {
        let Some(group) = &self.group else {
            return Err(record.refused("an account outside a group"));
        };
        let currency = match (record.get(1), group.currency) {
            ("", Some(currency)) => currency,
            ("", None) => Currency::USD, // the standard's own default
            (code, _) => currency(record.number, code)?,
        };
        let number = record.required(0, "the account's number")?;
        let mut statement = Statement {
            id: Some(format!("{} {number} {}", self.id, group.date)),
            account: Some(number.clone()),
            currency: Some(currency),
            ..Statement::default()
        };
        self.totals[2] = Total {
            records: record.lines,
            ..Total::default()
        };
        // Summaries: type, amount, count, funds type, and what the funds type brings.
        let mut at = 2;
        while at < record.fields.len() {
            let (code, amount) = (record.get(at), record.get(at + 1));
            if !amount.is_empty() {
                let amount = amount::minor(amount).map_err(|e| record.refused(e))?;
                self.add(record, amount)?;
                match code {
                    "010" => statement.opening = Some(amount),
                    "015" => statement.closing = Some(amount),
                    _ => {}
                }
            }
            at += 4 + record.funds(at + 3)?;
        }
        self.account = Some(Account { statement, currency });
        self.stage = Stage::Account;
        Ok(())
    }

    fn detail(&mut self, record: &Record) -> Result<(), Refused> {
        let (Some(group), Some(account)) = (&self.group, &self.account) else {
            return Err(record.refused("a detail outside an account"));
        };
        let (at, currency) = (group.at, account.currency);
        let code = record.get(0);
        let amount = match record.get(1) {
            "" => 0,
            text => amount::minor(text).map_err(|e| record.refused(e))?,
        };
        self.add(record, amount)?;
        if code == "890" {
            return Ok(()); // not about money
        }
        if amount < 0 {
            return Err(record.refused("an amount is negative: the type code says the direction"));
        }
        let amount = match code.parse::<u16>() {
            Ok(100..=399) if code.len() == 3 => amount,
            Ok(400..=699) if code.len() == 3 => -amount,
            _ => return Err(record.refused(format!("type code `{}` has no direction", short(code)))),
        };
        let next = 3 + record.funds(2)?;
        let (bank, customer) = (record.get(next), record.get(next + 1));
        let text = record.fields.get(next + 2..).unwrap_or_default().join(",");
        self.proof.line(Line {
            number: record.number,
            kind: Kind::Movement,
            references: vec![customer.to_owned(), bank.to_owned()],
            identity: Some(bank.to_owned()),
            batch: None,
            amount,
            currency,
            fee: 0,
            net: amount,
            net_currency: currency,
            at,
            text,
        })
    }

    fn end_account(&mut self, record: &Record) -> Result<(), Refused> {
        let total = self.totals[2];
        record.same(0, "control total", total.sum)?;
        record.same(1, "number of records", record.count(total.records)?)?;
        for level in [0, 1] {
            self.totals[level].parts += u64::from(level == 1);
            self.totals[level].sum = checked(record.number, self.totals[level].sum.checked_add(total.sum))?;
        }
        let Some(account) = self.account.take() else {
            return Err(record.refused("an account's end outside an account"));
        };
        self.stage = Stage::Group;
        self.proof.statement(record.number, account.statement)
    }

    fn prove(&mut self, record: &Record, level: usize, what: &str) -> Result<(), Refused> {
        let total = self.totals[level];
        record.same(0, "control total", total.sum)?;
        record.same(1, &format!("number of {what}"), record.count(total.parts)?)?;
        record.same(2, "number of records", record.count(total.records)?)?;
        self.totals[0].parts += u64::from(level == 1);
        Ok(())
    }

    fn add(&mut self, record: &Record, amount: i64) -> Result<(), Refused> {
        let total = &mut self.totals[2];
        total.sum = checked(record.number, total.sum.checked_add(amount))?;
        Ok(())
    }
}

impl Record {
    fn get(&self, field: usize) -> &str {
        self.fields.get(field).map(|text| text.trim()).unwrap_or_default()
    }

    fn required(&self, field: usize, name: &str) -> Result<&String, Refused> {
        match self.fields.get(field) {
            Some(text) if !text.trim().is_empty() => Ok(text),
            _ => Err(self.refused(format!("{name} is missing"))),
        }
    }

    /// How many fields follow a funds type.
    fn funds(&self, field: usize) -> Result<usize, Refused> {
        match self.get(field) {
            "" | "0" | "1" | "2" | "Z" => Ok(0),
            "V" => Ok(2),
            "S" => Ok(3),
            "D" => {
                let parts = self
                    .get(field + 1)
                    .parse::<usize>()
                    .ok()
                    .filter(|parts| *parts <= FIELDS);
                let parts = parts.ok_or_else(|| self.refused("a distributed amount without a number of parts"))?;
                Ok(1 + 2 * parts)
            }
            other => Err(self.refused(format!("`{}` is no funds type", short(other)))),
        }
    }

    fn count(&self, count: u64) -> Result<i64, Refused> {
        i64::try_from(count).map_err(|_| self.refused("too many records"))
    }

    fn same(&self, field: usize, what: &str, found: i64) -> Result<(), Refused> {
        let told =
            amount::minor(self.get(field)).map_err(|_| self.refused(format!("no {what} in record {}", self.code)))?;
        if told != found {
            return Err(self.refused(format!(
                "record {} says a {what} of {told}, and it is {found}",
                self.code
            )));
        }
        Ok(())
    }

    fn refused(&self, reason: impl Into<String>) -> Refused {
        Refused::new(self.number, reason)
    }
}

const FIELDS: usize = 4096;
