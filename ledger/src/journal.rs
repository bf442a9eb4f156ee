//! Journals: a [`Draft`] is filled in any order and becomes a balanced [`Journal`], or a [`Refusal`].
//!
//! There is no other way to make a `Journal`, so an unbalanced one cannot exist in this process. Nothing here knows the
//! database or a balance.

use jiff::Timestamp;
use uuid::Uuid;

use crate::{AccountName, BookId, Currency, JournalCode, Refusal};

/// What a line does to its account. The letter is what the database stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineKind {
    /// `D`: posted debit.
    Debit,
    /// `C`: posted credit.
    Credit,
    /// `d`: pending debit (a hold is opened).
    PendingDebit,
    /// `c`: pending credit (a hold is opened).
    PendingCredit,
    /// `x`: release of pending debit (a hold is consumed, voided or expires).
    ReleaseDebit,
    /// `y`: release of pending credit.
    ReleaseCredit,
}

impl LineKind {
    /// The letter stored in `ledger.journal.kind`.
    pub const fn letter(self) -> char {
        match self {
            LineKind::Debit => 'D',
            LineKind::Credit => 'C',
            LineKind::PendingDebit => 'd',
            LineKind::PendingCredit => 'c',
            LineKind::ReleaseDebit => 'x',
            LineKind::ReleaseCredit => 'y',
        }
    }

    /// The kind with this letter.
    pub const fn from_letter(letter: u8) -> Option<LineKind> {
        Some(match letter {
            b'D' => LineKind::Debit,
            b'C' => LineKind::Credit,
            b'd' => LineKind::PendingDebit,
            b'c' => LineKind::PendingCredit,
            b'x' => LineKind::ReleaseDebit,
            b'y' => LineKind::ReleaseCredit,
            _ => return None,
        })
    }
}

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The account, inside the journal's book.
    pub account: AccountName,
    /// Debit or credit; posted, pending or released.
    pub kind: LineKind,
    /// Minor units of the account's currency, positive.
    pub amount: i64,
}

/// What a journal does to a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldUse {
    /// Opens one; its id is the journal's id.
    Open {
        /// When the authorization lapses. A notice: the release is a journal (J02) of its own ([`crate::hold`]).
        expires_at: Timestamp,
    },
    /// Takes from one.
    Consume {
        /// The journal that opened it.
        hold_id: Uuid,
        /// Nothing may remain afterwards.
        closes: bool,
        /// The moment at which the hold must still be alive; without it a lapsed hold that is still open may be used.
        alive_at: Option<Timestamp>,
    },
}

/// A journal in the making. Errors are kept for [`Draft::balance`], so that calls chain.
#[derive(Clone, Debug)]
pub struct Draft {
    journal: Journal,
    refusal: Option<Refusal>,
}

/// A balanced journal: per currency its posted debits equal its posted credits, and its pending ones too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    book: BookId,
    id: Option<Uuid>,
    code: JournalCode,
    effective_at: Timestamp,
    reference: Option<String>,
    link: Option<Uuid>,
    reverses: Option<Uuid>,
    key: Option<[u8; 16]>,
    memo: Option<serde_json::Value>,
    hold: Option<HoldUse>,
    value_date: bool,
    lines: Vec<Line>,
}

impl Draft {
    /// A draft in one book; `effective_at` is when the fact happened.
    pub fn new(book: BookId, code: JournalCode, effective_at: Timestamp) -> Draft {
        let journal = Journal {
            book,
            id: None,
            code,
            effective_at,
            reference: None,
            link: None,
            reverses: None,
            key: None,
            memo: None,
            hold: None,
            value_date: false,
            lines: Vec::with_capacity(4),
        };
        Draft { journal, refusal: None }
    }

    /// The journal's id, a version 7 UUID from the caller's own source; without it [`Draft::balance`] draws one.
    pub fn id(mut self, id: Uuid) -> Draft {
        self.journal.id = Some(id);
        self
    }

    /// The gateway's object (`ch_..`, `re_..`), opaque here. Never personal data: journals are kept for ever.
    pub fn reference(mut self, reference: impl Into<String>) -> Draft {
        self.journal.reference = Some(reference.into());
        self
    }

    /// Another journal of the same fact, e.g. the capture of this fee.
    pub fn link(mut self, journal: Uuid) -> Draft {
        self.journal.link = Some(journal);
        self
    }

    /// The journal that this one corrects.
    pub fn reverses(mut self, journal: Uuid) -> Draft {
        self.journal.reverses = Some(journal);
        self
    }

    /// Idempotency key, a 16-byte digest: a book takes a journal with this key once.
    pub fn key(mut self, key: [u8; 16]) -> Draft {
        self.journal.key = Some(key);
        self
    }

    /// A small JSON note (up to 4 kB), e.g. ticket and approvers of a manual adjustment. Never personal data.
    pub fn memo(mut self, memo: serde_json::Value) -> Draft {
        self.journal.memo = Some(memo);
        self
    }

    /// When the day it happened is closed by then, book it on the first open instant instead, with the real time in the
    /// memo as `value_date`. Without it such a journal is refused as [`Refusal::PeriodClosed`]. For facts that cannot
    /// wait for finance: a payment never fails because yesterday was closed.
    pub fn or_value_date(mut self) -> Draft {
        self.journal.value_date = true;
        self
    }

    /// Of a journal that takes from a hold: refuse it ([`Refusal::HoldExpired`]) when the hold has lapsed by `at`. Left
    /// out where the outside world has decided already, e.g. an acquirer captured a lapsed authorization all the same.
    pub fn unless_expired(mut self, at: Timestamp) -> Draft {
        if let Some(HoldUse::Consume { alive_at, .. }) = &mut self.journal.hold {
            *alive_at = Some(at);
        }
        self
    }

    /// A posted debit, in minor units of the account's currency.
    pub fn debit(self, account: AccountName, amount: i64) -> Draft {
        self.line(account, LineKind::Debit, amount)
    }

    /// A posted credit, in minor units of the account's currency.
    pub fn credit(self, account: AccountName, amount: i64) -> Draft {
        self.line(account, LineKind::Credit, amount)
    }

    /// Opens a hold (J01): `amount` is pending on both accounts until consumed or released. The hold's id is the
    /// journal's id.
    pub fn hold(self, debit: AccountName, credit: AccountName, amount: i64, expires_at: Timestamp) -> Draft {
        self.hold_lines(
            HoldUse::Open { expires_at },
            debit,
            credit,
            amount,
            LineKind::PendingDebit,
            LineKind::PendingCredit,
        )
    }

    /// Takes `amount` from a hold: the release side of a capture or a void. The capture itself is posted by
    /// [`Draft::debit`] and [`Draft::credit`]. With `close_rest` the rest, given exactly, is released as well and the
    /// hold closes; `amount` may then be zero (a void).
    pub fn consume(
        mut self,
        hold_id: Uuid,
        debit: AccountName,
        credit: AccountName,
        amount: i64,
        close_rest: Option<i64>,
    ) -> Draft {
        let rest = close_rest.unwrap_or(0);
        if amount < 0 || rest < 0 {
            self.refuse(Refusal::AmountNotPositive);
        }
        match amount.checked_add(rest) {
            Some(total) => {
                let hold = HoldUse::Consume {
                    hold_id,
                    closes: close_rest.is_some(),
                    alive_at: None,
                };
                self.hold_lines(
                    hold,
                    debit,
                    credit,
                    total,
                    LineKind::ReleaseDebit,
                    LineKind::ReleaseCredit,
                )
            }
            None => {
                self.refuse(Refusal::AmountOutOfRange);
                self
            }
        }
    }

    /// Checks the whole and gives the journal, or the first refusal by precedence.
    pub fn balance(mut self) -> Result<Journal, Refusal> {
        if self.journal.lines.len() < 2 {
            self.refuse(Refusal::TooFewLines);
        }
        if self.journal.lines.iter().any(|l| l.amount <= 0) {
            self.refuse(Refusal::AmountNotPositive);
        }
        if let Err(refusal) = zero_sums(&self.journal.lines) {
            self.refuse(refusal);
        }
        match self.refusal {
            Some(refusal) => Err(refusal),
            None => {
                self.journal.id.get_or_insert_with(Uuid::now_v7);
                Ok(self.journal)
            }
        }
    }

    fn line(mut self, account: AccountName, kind: LineKind, amount: i64) -> Draft {
        self.journal.lines.push(Line { account, kind, amount });
        self
    }

    fn hold_lines(
        mut self,
        hold: HoldUse,
        debit: AccountName,
        credit: AccountName,
        amount: i64,
        debit_kind: LineKind,
        credit_kind: LineKind,
    ) -> Draft {
        if self.journal.hold.replace(hold).is_some() {
            self.refuse(Refusal::SeveralHolds);
        }
        if debit.currency() != credit.currency() {
            self.refuse(Refusal::HoldCurrencyMismatch);
        }
        self.line(debit, debit_kind, amount).line(credit, credit_kind, amount)
    }

    /// Keeps the refusal that comes first in precedence.
    fn refuse(&mut self, refusal: Refusal) {
        if self.refusal.as_ref().is_none_or(|known| refusal < *known) {
            self.refusal = Some(refusal);
        }
    }
}

impl Journal {
    /// The book.
    pub fn book(&self) -> BookId {
        self.book
    }

    /// The journal's id.
    pub fn id(&self) -> Uuid {
        self.id.expect("balance() gives every journal an id")
    }

    /// The kind of fact.
    pub fn code(&self) -> JournalCode {
        self.code
    }

    /// When it happened.
    pub fn effective_at(&self) -> Timestamp {
        self.effective_at
    }

    /// The gateway's object.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// Another journal of the same fact.
    pub fn link(&self) -> Option<Uuid> {
        self.link
    }

    /// The journal that this one corrects.
    pub fn reverses(&self) -> Option<Uuid> {
        self.reverses
    }

    /// The idempotency key.
    pub fn key(&self) -> Option<&[u8; 16]> {
        self.key.as_ref()
    }

    /// The note.
    pub fn memo(&self) -> Option<&serde_json::Value> {
        self.memo.as_ref()
    }

    /// What it does to a hold.
    pub fn hold(&self) -> Option<HoldUse> {
        self.hold
    }

    /// Whether it may be dated on the first open instant when its own day is closed.
    pub fn or_value_date(&self) -> bool {
        self.value_date
    }

    /// The hold it opens (its own id) or consumes.
    pub fn hold_id(&self) -> Option<Uuid> {
        self.hold.map(|h| match h {
            HoldUse::Open { .. } => self.id(),
            HoldUse::Consume { hold_id, .. } => hold_id,
        })
    }

    /// The lines, in the order in which they were drafted.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The mirror of this journal (J26): posted sides swapped, linked by `reverses`. A journal that moved a hold has no
    /// mirror: the hold's own release is its correction. The database takes one reversal of a journal, and only its
    /// exact mirror. A correction is the reversal and the right journal, posted together ([`Journal::correction`]).
    pub fn reversal(&self, effective_at: Timestamp) -> Result<Draft, Refusal> {
        if let Some(hold) = self.hold_id() {
            return Err(Refusal::HoldMismatch(hold));
        }
        let draft = Draft::new(self.book, JournalCode::J26, effective_at).reverses(self.id());
        Ok(self.lines.iter().fold(draft, |draft, l| match l.kind {
            LineKind::Debit => draft.credit(l.account.clone(), l.amount),
            _ => draft.debit(l.account.clone(), l.amount),
        }))
    }

    /// The reversal of this journal and the journal that should have been, linked to it: one unit, to be posted together.
    pub fn correction(&self, right: Draft, effective_at: Timestamp) -> Result<[Journal; 2], Refusal> {
        let reversal = self.reversal(effective_at)?.balance()?;
        let right = right.link(reversal.id()).balance()?;
        Ok([reversal, right])
    }
}

/// Per currency, the posted layer sums to zero and so does the pending layer. Few lines: a linear scan, no map.
fn zero_sums(lines: &[Line]) -> Result<(), Refusal> {
    for (i, first) in lines.iter().enumerate() {
        let currency: Currency = first.account.currency();
        if lines[..i].iter().any(|l| l.account.currency() == currency) {
            continue;
        }
        let (mut posted, mut pending, mut debits) = (0i128, 0i128, 0i128);
        for l in lines[i..].iter().filter(|l| l.account.currency() == currency) {
            let amount = i128::from(l.amount);
            if matches!(
                l.kind,
                LineKind::Debit | LineKind::PendingDebit | LineKind::ReleaseDebit
            ) {
                debits += amount;
            }
            match l.kind {
                LineKind::Debit => posted += amount,
                LineKind::Credit => posted -= amount,
                LineKind::PendingDebit | LineKind::ReleaseCredit => pending += amount,
                LineKind::PendingCredit | LineKind::ReleaseDebit => pending -= amount,
            }
        }
        if debits > i128::from(i64::MAX) {
            return Err(Refusal::AmountOutOfRange);
        }
        if posted != 0 || pending != 0 {
            return Err(Refusal::Unbalanced(currency));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Chart;
    use proptest::prelude::*;

    fn usd(chart: Chart) -> AccountName {
        AccountName::of(chart, Currency::USD)
    }

    fn eur(chart: Chart) -> AccountName {
        AccountName::of(chart, Currency::EUR)
    }

    fn draft() -> Draft {
        Draft::new(BookId(1), JournalCode::J03, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn one_line_per_refusal() {
        let (a, l) = (Chart::AcquirerReceivable, Chart::MerchantPending);
        let hold = Uuid::nil();
        let cases = [
            (draft(), Refusal::TooFewLines),
            (draft().debit(usd(a), 5), Refusal::TooFewLines),
            (draft().debit(usd(a), 0).credit(usd(l), 0), Refusal::AmountNotPositive),
            (draft().debit(usd(a), -5).credit(usd(l), -5), Refusal::AmountNotPositive),
            (
                draft().debit(usd(a), i64::MAX).debit(usd(a), 1).credit(usd(l), 5),
                Refusal::AmountOutOfRange,
            ),
            (
                draft().debit(usd(a), 5).credit(usd(l), 4),
                Refusal::Unbalanced(Currency::USD),
            ),
            (
                draft().debit(usd(a), 5).credit(eur(l), 5),
                Refusal::Unbalanced(Currency::USD),
            ),
            (
                draft().consume(hold, usd(a), usd(l), 0, None),
                Refusal::AmountNotPositive,
            ),
            (
                draft().consume(hold, usd(a), usd(l), -1, Some(5)),
                Refusal::AmountNotPositive,
            ),
            (
                draft().consume(hold, usd(a), usd(l), i64::MAX, Some(1)),
                Refusal::TooFewLines,
            ),
            (
                draft()
                    .hold(usd(a), usd(l), 5, Timestamp::MAX)
                    .consume(hold, usd(a), usd(l), 5, None),
                Refusal::SeveralHolds,
            ),
            (
                draft().hold(usd(a), eur(l), 5, Timestamp::MAX),
                Refusal::Unbalanced(Currency::USD),
            ),
        ];
        for (draft, expected) in cases {
            assert_eq!(draft.clone().balance(), Err(expected), "{draft:?}");
        }
    }

    #[test]
    fn a_posted_line_cannot_balance_a_pending_one() {
        let d = draft().debit(usd(Chart::AcquirerReceivable), 5).hold(
            usd(Chart::AcquirerReceivable),
            usd(Chart::MerchantPending),
            5,
            Timestamp::MAX,
        );
        assert_eq!(d.balance(), Err(Refusal::Unbalanced(Currency::USD)));
    }

    #[test]
    fn a_reversal_swaps_the_sides_and_points_back() {
        let journal = draft()
            .debit(usd(Chart::AcquirerReceivable), 5)
            .credit(usd(Chart::MerchantPending), 5)
            .balance()
            .unwrap();
        let mirror = journal.reversal(Timestamp::UNIX_EPOCH).unwrap().balance().unwrap();
        assert_eq!(mirror.reverses(), Some(journal.id()));
        assert_eq!(mirror.lines()[0].kind, LineKind::Credit);
        assert_eq!(mirror.lines()[1].kind, LineKind::Debit);
    }

    proptest! {
        /// Whatever is drafted: what comes out balances per currency and layer, what does not balance does not come out.
        #[test]
        fn only_balanced_journals_exist(lines in prop::collection::vec((0usize..4, any::<bool>(), 1i64..4), 0..6)) {
            let accounts = [usd(Chart::AcquirerReceivable), usd(Chart::MerchantPending), eur(Chart::AcquirerReceivable), eur(Chart::MerchantPending)];
            let mut sums = [0i64; 2];
            let mut d = draft();
            for (i, debit, amount) in &lines {
                sums[i / 2] += if *debit { *amount } else { -amount };
                let account = accounts[*i].clone();
                d = if *debit { d.debit(account, *amount) } else { d.credit(account, *amount) };
            }
            let balanced = lines.len() >= 2 && sums == [0, 0];
            prop_assert_eq!(d.balance().is_ok(), balanced);
        }
    }
}
