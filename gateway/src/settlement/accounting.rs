//! Confirmed matches to journals: J05, J05b, J06, J17, J27. Pure.
//!
//! The way of settled money is 1110 (the acquirer owes it) to 1120 (it says it has sent it) to 1010 (the bank shows it). Every
//! amount here is signed, positive in our favour; a sign turns the journal round. Each journal carries the batch in its memo and a
//! key made of what proves it, so that the same line of the same file is booked once however often it is told. Accounts are to be
//! opened first ([`accounts`]). It must never look at a balance or decide what matches.

use jiff::Timestamp;
use ledger::journal::{Draft, Journal};
use ledger::{AccountName, BookId, Chart, Currency, JournalCode, Refusal};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What every settlement journal has: whose book, of which acquirer's batch, when, and what proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof<'a> {
    /// the merchant's book; the platform's for what is no merchant's
    pub book: BookId,
    /// the connector's name
    pub acquirer: &'a str,
    /// the acquirer's own id of its payout or batch
    pub batch: &'a str,
    /// the line that says so: file and line, or the bank's own reference. The same line is booked once.
    pub line: &'a str,
    /// when it happened
    pub at: Timestamp,
}

/// How an acquirer takes its fee for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fees {
    /// it pays the rest: 5010
    Netted,
    /// it pays all and sends an invoice: 5010 against 2220
    Invoiced,
    /// it pays the rest, and the books have the fee in 1110 already (fees of disputes, J12 and J13)
    Booked,
}

/// A line of an acquirer's report: what it settles for one of our objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled<'a> {
    /// where it is from
    pub proof: Proof<'a>,
    /// our object (`ch_..`, `re_..`, `du_..`); of a fee without one, the acquirer's own id
    pub reference: &'a str,
    /// of the object
    pub currency: Currency,
    /// minor units of that currency: what 1110 holds for it; negative for refunds and chargebacks
    pub gross: i64,
    /// what `gross` became, when the acquirer settles in another currency
    pub exchanged: Option<(Currency, i64)>,
    /// minor units of the currency that is paid; negative when a fee is given back
    pub fee: i64,
    /// and how it is taken
    pub fees: Fees,
}

impl Settled<'_> {
    /// The currency that is paid.
    pub fn paid_in(&self) -> Currency {
        self.exchanged.map_or(self.currency, |(currency, _)| currency)
    }

    /// What is paid for it, in [`Settled::paid_in`]; none beyond 64 bits.
    pub fn net(&self) -> Option<i64> {
        let gross = self.exchanged.map_or(self.gross, |(_, gross)| gross);
        match self.fees {
            Fees::Invoiced => Some(gross),
            Fees::Netted | Fees::Booked => gross.checked_sub(self.fee),
        }
    }

    /// J05 (J17 when it was exchanged), and J05b for a fee that is invoiced. None for a line of zero.
    pub fn journals(&self) -> Result<Vec<Journal>, Refusal> {
        let Proof { acquirer, .. } = self.proof;
        let net = self.net().ok_or(Refusal::AmountOutOfRange)?;
        let paid_in = self.paid_in();
        let in_transit = self.proof.account(Chart::SettlementInTransit, paid_in)?;
        let receivable = self.proof.account(Chart::AcquirerReceivable, self.currency)?;
        let expense = AccountName::of(Chart::ProcessorFeeExpense, paid_in);
        let mut lines = vec![(in_transit, net)];
        if self.fees == Fees::Netted {
            lines.push((expense.clone(), self.fee));
        }
        let code = match self.exchanged {
            None => {
                let booked = if self.fees == Fees::Booked { net } else { self.gross };
                lines.push((receivable, negative(booked)?));
                JournalCode::J05
            }
            // Two legs through the position account: each currency balances by itself.
            Some((currency, became)) => {
                let became = if self.fees == Fees::Booked { net } else { became };
                lines.push((AccountName::of(Chart::FxClearing, currency), negative(became)?));
                lines.push((AccountName::of(Chart::FxClearing, self.currency), self.gross));
                lines.push((receivable, negative(self.gross)?));
                JournalCode::J17
            }
        };
        let mut journals = Vec::from_iter(self.proof.journal(code, self.reference, &lines)?);
        if self.fees == Fees::Invoiced {
            let payable = AccountName::new(Chart::ProcessorPayable, Some(acquirer), paid_in)?;
            let lines = [(expense, self.fee), (payable, negative(self.fee)?)];
            journals.extend(self.proof.journal(JournalCode::J05b, self.reference, &lines)?);
        }
        Ok(journals)
    }
}

/// J06: a line of a bank's statement, or the part of it that is one book's ([`shares`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Banked<'a> {
    /// where it is from; `line` is the bank's
    pub proof: Proof<'a>,
    /// our bank account, as the dimension of 1010
    pub bank: &'a str,
    /// of the bank account
    pub currency: Currency,
    /// minor units: positive when the bank credits us
    pub amount: i64,
    /// what it pays
    pub pays: Pays,
}

/// What a bank line pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pays {
    /// a batch in transit (1120)
    Batch,
    /// an acquirer's invoice (2220)
    Invoice,
}

impl Banked<'_> {
    /// Its journal; none for zero.
    pub fn journal(&self) -> Result<Option<Journal>, Refusal> {
        let chart = match self.pays {
            Pays::Batch => Chart::SettlementInTransit,
            Pays::Invoice => Chart::ProcessorPayable,
        };
        let bank = AccountName::new(Chart::ClientBank, Some(self.bank), self.currency)?;
        let paid = self.proof.account(chart, self.currency)?;
        let lines = [(bank, self.amount), (paid, negative(self.amount)?)];
        self.proof.journal(JournalCode::J06, self.proof.batch, &lines)
    }
}

/// Why a batch and its bank line differ by a tolerated amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// the acquirer kept more, or less, than its report says: 5010
    AcquirerFee,
    /// a bank on the way took its charge: 5070
    BankFee,
    /// the rate moved: 5060 or 4040
    Exchange,
}

/// What is left in transit and will not come, or came beyond what was in transit: closed as cost or gain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adjusted<'a> {
    /// where it is from
    pub proof: Proof<'a>,
    /// of the batch
    pub currency: Currency,
    /// minor units: what arrived less what was in transit; negative when less came
    pub difference: i64,
    /// who has it
    pub because: Because,
}

impl Adjusted<'_> {
    /// Its journal; none for zero.
    pub fn journal(&self) -> Result<Option<Journal>, Refusal> {
        let (code, chart) = match self.because {
            Because::AcquirerFee => (JournalCode::J05, Chart::ProcessorFeeExpense),
            Because::BankFee => (JournalCode::J06, Chart::PayoutFeeExpense),
            Because::Exchange if self.difference > 0 => (JournalCode::J17, Chart::FxGain),
            Because::Exchange => (JournalCode::J17, Chart::FxLoss),
        };
        let in_transit = self.proof.account(Chart::SettlementInTransit, self.currency)?;
        let lines = [
            (in_transit, self.difference),
            (AccountName::of(chart, self.currency), negative(self.difference)?),
        ];
        self.proof.journal(code, self.proof.batch, &lines)
    }
}

/// J17: what is left in the position account of a currency when the exchange is complete: loss or gain.
pub fn position_closed(
    proof: Proof<'_>,
    reference: &str,
    currency: Currency,
    residue: i64,
) -> Result<Option<Journal>, Refusal> {
    let chart = if residue > 0 { Chart::FxLoss } else { Chart::FxGain };
    let lines = [
        (AccountName::of(chart, currency), residue),
        (AccountName::of(Chart::FxClearing, currency), negative(residue)?),
    ];
    proof.journal(JournalCode::J17, reference, &lines)
}

/// J27: an item that nobody can name yet, in the books from the day it is seen. Its reference is `proof.line`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unmatched<'a> {
    /// where it is from
    pub proof: Proof<'a>,
    /// where it was seen
    pub place: Place<'a>,
    /// of the item
    pub currency: Currency,
    /// minor units: positive when it is in our favour
    pub amount: i64,
}

/// Who showed an unmatched item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// a bank: the money is there (1010)
    Bank(&'a str),
    /// an acquirer's report: it is in the batch (1120)
    Report,
}

impl Unmatched<'_> {
    /// Into suspense.
    pub fn journal(&self) -> Result<Option<Journal>, Refusal> {
        let (money, suspense) = match self.place {
            Place::Bank(bank) => (
                AccountName::new(Chart::ClientBank, Some(bank), self.currency)?,
                AccountName::new(Chart::SuspenseUnmatched, Some(bank), self.currency)?,
            ),
            Place::Report => (
                self.proof.account(Chart::SettlementInTransit, self.currency)?,
                self.proof.account(Chart::SuspenseUnmatched, self.currency)?,
            ),
        };
        let lines = [(money, self.amount), (suspense, negative(self.amount)?)];
        self.proof.journal(JournalCode::J27, self.proof.line, &lines)
    }

    /// Out of suspense again, to where it belongs: `target` in the book of `to`. Between two books it passes through 1920.
    pub fn resolved(&self, to: BookId, target: AccountName, at: Timestamp) -> Result<Vec<Journal>, Refusal> {
        let dimension = match self.place {
            Place::Bank(bank) => bank,
            Place::Report => self.proof.acquirer,
        };
        let suspense = AccountName::new(Chart::SuspenseUnmatched, Some(dimension), self.currency)?;
        let resolution = format!("{} resolved", self.proof.line);
        let from = Proof {
            line: &resolution,
            at,
            ..self.proof
        };
        let post = |proof: Proof<'_>, debit, credit| {
            let lines = [(debit, self.amount), (credit, negative(self.amount)?)];
            proof.journal(JournalCode::J27, self.proof.line, &lines)
        };
        if to == self.proof.book {
            return Ok(Vec::from_iter(post(from, suspense, target)?));
        }
        let between = AccountName::of(Chart::InterBookClearing, self.currency);
        let here = post(from, suspense, between.clone())?;
        let there = post(Proof { book: to, ..from }, between, target)?;
        Ok(here.into_iter().chain(there).collect())
    }
}

/// How much of a batch is whose: the nets by book and currency. Their sum is what the bank will show.
pub fn shares<'a>(
    lines: impl IntoIterator<Item = &'a Settled<'a>>,
) -> Result<BTreeMap<(BookId, Currency), i64>, Refusal> {
    let mut shares = BTreeMap::new();
    for line in lines {
        let net = line.net().ok_or(Refusal::AmountOutOfRange)?;
        let share: &mut i64 = shares.entry((line.proof.book, line.paid_in())).or_default();
        *share = share.checked_add(net).ok_or(Refusal::AmountOutOfRange)?;
    }
    Ok(shares)
}

/// The accounts that these journals touch, by book: to be opened before they are posted.
pub fn accounts(journals: &[Journal]) -> BTreeMap<BookId, Vec<AccountName>> {
    let mut accounts: BTreeMap<BookId, Vec<AccountName>> = BTreeMap::new();
    for journal in journals {
        let known = accounts.entry(journal.book()).or_default();
        for line in journal.lines() {
            if !known.contains(&line.account) {
                known.push(line.account.clone());
            }
        }
    }
    accounts
}

impl Proof<'_> {
    fn account(&self, chart: Chart, currency: Currency) -> Result<AccountName, Refusal> {
        AccountName::new(chart, Some(self.acquirer), currency)
    }

    /// Positive is a debit; lines of zero are left out, and with all of them the journal.
    fn journal(
        &self,
        code: JournalCode,
        reference: &str,
        lines: &[(AccountName, i64)],
    ) -> Result<Option<Journal>, Refusal> {
        let mut draft = Draft::new(self.book, code, self.at)
            .reference(reference)
            .key(self.key(code, reference, lines))
            .memo(json!({ "batch": self.batch, "line": self.line }))
            .or_value_date();
        let mut empty = true;
        for (account, amount) in lines.iter().filter(|(_, amount)| *amount != 0) {
            empty = false;
            draft = match *amount {
                amount if amount > 0 => draft.debit(account.clone(), amount),
                amount => draft.credit(account.clone(), negative(amount)?),
            };
        }
        if empty {
            return Ok(None);
        }
        draft.balance().map(Some)
    }

    /// The accounts are in it because a bank's line and what a bank on the way kept of it are two facts of one line; amounts are
    /// not, so that a line cannot be booked a second time with another amount.
    fn key(&self, code: JournalCode, reference: &str, lines: &[(AccountName, i64)]) -> [u8; 16] {
        let mut hash = Sha256::new();
        let accounts = lines.iter().map(|(account, _)| account.as_str());
        let parts = [self.acquirer, self.batch, self.line, code.as_str(), reference];
        for part in parts.into_iter().chain(accounts) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        key
    }
}

fn negative(amount: i64) -> Result<i64, Refusal> {
    amount.checked_neg().ok_or(Refusal::AmountOutOfRange)
}

#[cfg(test)]
mod tests;
