//! One entry (`Ntry`) while it is read, with the transactions (`TxDtls`) that a batch entry has.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ledger::{Currency, Money};

use super::is_debit;
use crate::format::proof::{checked, currency};
use crate::{Kind, Line, Refused, amount, when};

/// What is known of an entry so far.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) line: u64,
    pub(super) amount: Option<i64>,
    debit: Option<bool>,
    status: String,
    booked: Option<Timestamp>,
    valued: Option<Timestamp>,
    reference: String,
    servicer: String,
    text: String,
    details: Vec<Detail>,
}

#[derive(Default)]
struct Detail {
    /// minor units, when it is in the currency of the account
    amount: Option<(String, String)>,
    debit: Option<bool>,
    references: Vec<String>,
    servicer: String,
    text: String,
}

impl Entry {
    pub(super) fn new(line: u64) -> Self {
        Self {
            line,
            ..Self::default()
        }
    }

    pub(super) fn begin_detail(&mut self) -> Result<(), Refused> {
        if self.details.len() >= DETAILS {
            return Err(Refused::new(
                self.line,
                format!("more than {DETAILS} transactions in one entry"),
            ));
        }
        self.details.push(Detail::default());
        Ok(())
    }

    /// An element below `Ntry`.
    pub(super) fn element(&mut self, line: u64, inside: &[&str], text: &str, ccy: &str) -> Result<(), Refused> {
        let date = || {
            when::instant(text, &TimeZone::UTC)
                .map(Some)
                .map_err(|e| Refused::new(line, e))
        };
        match inside {
            ["CdtDbtInd"] => self.debit = Some(is_debit(line, text)?),
            // Version 2 has the code as text, later ones in an element.
            ["Sts"] if !text.is_empty() => text.clone_into(&mut self.status),
            ["Sts", "Cd"] => text.clone_into(&mut self.status),
            ["BookgDt", "Dt" | "DtTm"] => self.booked = date()?,
            ["ValDt", "Dt" | "DtTm"] => self.valued = date()?,
            ["NtryRef"] => text.clone_into(&mut self.reference),
            ["AcctSvcrRef"] => text.clone_into(&mut self.servicer),
            ["AddtlNtryInf"] => append(&mut self.text, text),
            ["NtryDtls", "TxDtls", rest @ ..] => {
                if let Some(detail) = self.details.last_mut() {
                    detail.element(line, rest, text, ccy)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Minor units, negative when it is a debit.
    pub(super) fn signed(&self) -> Result<i64, Refused> {
        let refused = |reason: &str| Err(Refused::new(self.line, reason));
        match (self.amount, self.debit) {
            (Some(amount), _) if amount < 0 => refused("an amount is negative: CdtDbtInd says the direction"),
            (Some(amount), Some(true)) => Ok(-amount),
            (Some(amount), Some(false)) => Ok(amount),
            (None, _) => refused("an entry without an amount"),
            (_, None) => refused("an entry without CdtDbtInd"),
        }
    }

    pub(super) fn is_booked(&self) -> Result<bool, Refused> {
        match self.status.as_str() {
            "BOOK" => Ok(true),
            "PDNG" | "INFO" | "FUTR" => Ok(false),
            "" => Err(Refused::new(self.line, "an entry without a status (Sts)")),
            other => Err(Refused::new(
                self.line,
                format!("`{}` where Sts is BOOK, PDNG, INFO or FUTR", amount::short(other)),
            )),
        }
    }

    /// One line, or one per transaction when they all say their amount.
    pub(super) fn lines(self, currency: Currency) -> Result<Vec<Line>, Refused> {
        let total = self.signed()?;
        let mut amounts = Vec::with_capacity(self.details.len());
        for detail in &self.details {
            amounts.push(detail.signed(self.line, total < 0, currency)?);
        }
        let known: Option<Vec<i64>> = amounts.into_iter().collect();
        match known {
            Some(amounts) if amounts.len() > 1 => self.batch(currency, total, &amounts),
            _ => Ok(vec![self.whole(currency, total)?]),
        }
    }

    fn whole(self, currency: Currency, total: i64) -> Result<Line, Refused> {
        let mut references = Vec::new();
        let mut text = self.text.clone();
        let mut servicer = self.servicer.clone();
        for detail in &self.details {
            references.extend(detail.references.iter().cloned());
            append(&mut text, &detail.text);
            if servicer.is_empty() {
                servicer.clone_from(&detail.servicer);
            }
        }
        references.extend([servicer.clone(), self.reference.clone()]);
        self.line(currency, total, references, Some(servicer), None, text)
    }

    fn batch(self, currency: Currency, total: i64, amounts: &[i64]) -> Result<Vec<Line>, Refused> {
        let mut sum = 0i64;
        for amount in amounts {
            sum = checked(self.line, sum.checked_add(*amount))?;
        }
        if sum != total {
            let (sum, total) = (Money::new(sum, currency), Money::new(total, currency));
            return Err(Refused::new(
                self.line,
                format!("the transactions of an entry are {sum} together, and the entry is {total}"),
            ));
        }
        let name = [&self.servicer, &self.reference]
            .into_iter()
            .find(|name| !name.is_empty());
        let batch = name.cloned();
        let lines = self.details.iter().zip(amounts).map(|(detail, amount)| {
            let mut text = detail.text.clone();
            append(&mut text, &self.text);
            let servicer = Some(detail.servicer.clone());
            let references = detail
                .references
                .iter()
                .cloned()
                .chain([detail.servicer.clone()])
                .collect();
            self.line(currency, *amount, references, servicer, batch.clone(), text)
        });
        lines.collect()
    }

    fn line(
        &self,
        currency: Currency,
        amount: i64,
        references: Vec<String>,
        identity: Option<String>,
        batch: Option<String>,
        text: String,
    ) -> Result<Line, Refused> {
        let Some(at) = self.booked.or(self.valued) else {
            return Err(Refused::new(self.line, "an entry without a date (BookgDt or ValDt)"));
        };
        Ok(Line {
            number: self.line,
            kind: Kind::Movement,
            references,
            identity,
            batch,
            amount,
            currency,
            fee: 0,
            net: amount,
            net_currency: currency,
            at,
            text,
        })
    }
}

impl Detail {
    fn element(&mut self, line: u64, inside: &[&str], text: &str, ccy: &str) -> Result<(), Refused> {
        match inside {
            // In order of worth: what the payer or we gave comes before what banks on the way gave.
            ["Refs", "EndToEndId"] => self.references.insert(0, text.to_owned()),
            ["Refs", "AcctSvcrRef"] => text.clone_into(&mut self.servicer),
            [
                "Refs",
                "MsgId" | "PmtInfId" | "InstrId" | "TxId" | "UETR" | "MndtId" | "ClrSysRef",
            ]
            | ["Refs", "Prtry", "Ref"]
            | ["RmtInf", "Strd", "CdtrRefInf", "Ref"]
                if self.references.len() < REFERENCES =>
            {
                self.references.push(text.to_owned());
            }
            ["RmtInf", "Ustrd"] | ["AddtlTxInf"] => append(&mut self.text, text),
            ["CdtDbtInd"] => self.debit = Some(is_debit(line, text)?),
            ["Amt"] | ["AmtDtls", "TxAmt", "Amt"] => self.amount = Some((text.to_owned(), ccy.to_owned())),
            _ => {}
        }
        Ok(())
    }

    fn signed(&self, line: u64, entry_is_debit: bool, account: Currency) -> Result<Option<i64>, Refused> {
        let Some((text, ccy)) = &self.amount else {
            return Ok(None);
        };
        if currency(line, ccy)? != account {
            return Ok(None);
        }
        let amount = amount::major(text, account, '.').map_err(|reason| Refused::new(line, reason))?;
        Ok(Some(match self.debit.unwrap_or(entry_is_debit) {
            true => checked(line, amount.checked_neg())?,
            false => amount,
        }))
    }
}

fn append(text: &mut String, more: &str) {
    if !more.is_empty() && text.len() < 4096 {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(more);
    }
}

/// In one entry; a batch of a bank has thousands.
const DETAILS: usize = 100_000;
const REFERENCES: usize = 16;
