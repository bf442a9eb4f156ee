//! Edge to journal: the double entries of payments and refunds (J01-J04, J08, J09). Pure.
//!
//! Every account is a row of the merchant's own book, so `{m}` needs no dimension and `{a}` is the connector's name. It
//! must never read a balance: how a refund is funded is decided by the flow and checked by the ledger's limits.

use super::rows::{Charge, Refund};
use jiff::Timestamp;
use ledger::journal::{Draft, Journal};
use ledger::{AccountName, BookId, Chart, Currency, JournalCode, Refusal};
use uuid::Uuid;

/// The books of one merchant in one currency, at one acquirer.
#[derive(Clone, Debug)]
pub struct Books<'a> {
    /// the merchant's book
    pub book: BookId,
    /// of the payment
    pub currency: Currency,
    /// the acquirer
    pub connector: &'a str,
    /// when the facts happened
    pub at: Timestamp,
}

impl Books<'_> {
    /// An account that exists once per book and currency.
    pub fn account(&self, chart: Chart) -> AccountName {
        AccountName::of(chart, self.currency)
    }

    /// An account that exists once per acquirer.
    pub fn at_acquirer(&self, chart: Chart) -> Result<AccountName, Refusal> {
        AccountName::new(chart, Some(self.connector), self.currency)
    }

    /// A journal with this code about this object. A payment never fails because finance has closed the day it happened
    /// on: such a journal carries a value date.
    pub fn draft(&self, code: JournalCode, reference: &str) -> Draft {
        Draft::new(self.book, code, self.at)
            .id(crate::id::uuid())
            .reference(reference)
            .or_value_date()
    }

    /// Every account that payments, refunds and disputes of this merchant at this acquirer can touch: opened before
    /// the first posting.
    pub fn accounts(&self) -> Result<Vec<AccountName>, Refusal> {
        let own = [
            Chart::MerchantPending,
            Chart::MerchantAvailable,
            Chart::MerchantReceivable,
            Chart::RefundPayable,
            Chart::DisputeHold,
            Chart::PlatformFeeRevenue,
            Chart::DisputeFeeIncome,
            Chart::DisputeFeeExpense,
            Chart::ChargebackLoss,
        ];
        let acquirer = [Chart::AcquirerReceivable, Chart::ChargebackContested];
        own.into_iter()
            .map(|c| Ok(self.account(c)))
            .chain(acquirer.into_iter().map(|c| self.at_acquirer(c)))
            .collect()
    }

    /// J01: authorized, pending in both accounts until captured, voided or expired. The journal's id is the hold's.
    pub fn authorized(&self, charge: &Charge, expires_at: Timestamp) -> Result<Journal, Refusal> {
        self.draft(JournalCode::J01, &charge.id)
            .hold(
                self.at_acquirer(Chart::AcquirerReceivable)?,
                self.account(Chart::MerchantPending),
                charge.amount,
                expires_at,
            )
            .balance()
    }

    /// J02: voided or expired: what is left of the hold is released.
    pub fn voided(&self, charge: &Charge, hold: Uuid, amount: i64) -> Result<Journal, Refusal> {
        self.draft(JournalCode::J02, &charge.id)
            .consume(
                hold,
                self.at_acquirer(Chart::AcquirerReceivable)?,
                self.account(Chart::MerchantPending),
                amount,
                None,
            )
            .balance()
    }

    /// J02 and J01: an authorization is raised to `amount`; its hold is released and another one opened, whose id is the
    /// second journal's.
    pub fn raised(
        &self,
        charge: &Charge,
        hold: Uuid,
        amount: i64,
        expires_at: Timestamp,
    ) -> Result<[Journal; 2], Refusal> {
        let released = self.voided(charge, hold, charge.amount)?;
        let opened = self
            .draft(JournalCode::J01, &charge.id)
            .link(released.id())
            .hold(
                self.at_acquirer(Chart::AcquirerReceivable)?,
                self.account(Chart::MerchantPending),
                amount,
                expires_at,
            )
            .balance()?;
        Ok([released, opened])
    }

    /// J03, and J04 when there is a fee: captured. Of a hold, the captured part is used and, after the last, the rest
    /// released; what is captured beyond it has no hold.
    pub fn captured(&self, charge: &Charge, amount: i64, fee: i64, last: bool) -> Result<Vec<Journal>, Refusal> {
        let (receivable, pending) = (
            self.at_acquirer(Chart::AcquirerReceivable)?,
            self.account(Chart::MerchantPending),
        );
        let mut draft = self.draft(JournalCode::J03, &charge.id);
        if let Some(hold) = charge.hold_id {
            let held = charge.amount - charge.amount_captured;
            let used = amount.min(held);
            let rest = held - used;
            draft = draft.consume(
                hold,
                receivable.clone(),
                pending.clone(),
                used,
                (last && rest > 0).then_some(rest),
            );
        }
        let capture = draft
            .debit(receivable, amount)
            .credit(pending.clone(), amount)
            .balance()?;
        if fee == 0 {
            return Ok(vec![capture]);
        }
        let fee = self
            .draft(JournalCode::J04, &charge.id)
            .link(capture.id())
            .debit(pending, fee)
            .credit(self.account(Chart::PlatformFeeRevenue), fee)
            .balance()?;
        Ok(vec![capture, fee])
    }

    /// J08a: a refund is accepted; the merchant's money waits for the acquirer.
    pub fn refund_requested(&self, refund: &Refund) -> Result<Journal, Refusal> {
        self.funding(self.draft(JournalCode::J08a, &refund.id), refund, true)
            .credit(self.account(Chart::RefundPayable), refund.amount)
            .balance()
    }

    /// J08b: the acquirer confirmed it.
    pub fn refund_confirmed(&self, refund: &Refund) -> Result<Journal, Refusal> {
        self.draft(JournalCode::J08b, &refund.id)
            .debit(self.account(Chart::RefundPayable), refund.amount)
            .credit(self.at_acquirer(Chart::AcquirerReceivable)?, refund.amount)
            .balance()
    }

    /// J09: it failed; each part goes back to where it came from, but what the merchant no longer owes (`owed`: what it does)
    /// is its own. After a confirmation that the acquirer takes back, the confirmation is undone in the same journal.
    pub fn refund_failed(&self, refund: &Refund, was_confirmed: bool, owed: i64) -> Result<Journal, Refusal> {
        let draft = self.draft(JournalCode::J09, &refund.id);
        let draft = if was_confirmed {
            draft.debit(self.at_acquirer(Chart::AcquirerReceivable)?, refund.amount)
        } else {
            draft.debit(self.account(Chart::RefundPayable), refund.amount)
        };
        let mut back = refund.clone();
        back.from_receivable = refund.from_receivable.min(owed.max(0));
        back.from_available += refund.from_receivable - back.from_receivable;
        self.funding(draft, &back, false).balance()
    }

    /// J09: the acquirer takes back its confirmation of a case's refund: it is payable again, by another way.
    pub fn refund_taken_back(&self, refund: &Refund) -> Result<Journal, Refusal> {
        self.draft(JournalCode::J09, &refund.id)
            .debit(self.at_acquirer(Chart::AcquirerReceivable)?, refund.amount)
            .credit(self.account(Chart::RefundPayable), refund.amount)
            .balance()
    }

    fn funding(&self, mut draft: Draft, refund: &Refund, take: bool) -> Draft {
        for (chart, amount) in [
            (Chart::MerchantAvailable, refund.from_available),
            (Chart::MerchantPending, refund.from_pending),
            (Chart::MerchantReceivable, refund.from_receivable),
            (Chart::CompensationExpense, refund.from_platform),
        ] {
            if amount > 0 {
                let account = self.account(chart);
                draft = if take {
                    draft.debit(account, amount)
                } else {
                    draft.credit(account, amount)
                };
            }
        }
        draft
    }
}

/// Splits a sum over the merchant's available money, its pending money and a claim on it, in this order.
pub fn fund(amount: i64, available: i64, pending: i64) -> (i64, i64, i64) {
    let from_available = amount.min(available.max(0));
    let from_pending = (amount - from_available).min(pending.max(0));
    (from_available, from_pending, amount - from_available - from_pending)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn funding_is_complete_and_within_what_there_is(amount in 1i64..1_000_000, available in -1000i64..1_000_000, pending in -1000i64..1_000_000) {
            let (a, p, r) = fund(amount, available, pending);
            prop_assert_eq!(a + p + r, amount);
            prop_assert!(a >= 0 && p >= 0 && r >= 0);
            prop_assert!(a <= available.max(0) && p <= pending.max(0));
            prop_assert!(r == 0 || (a == available.max(0) && p == pending.max(0)));
        }
    }
}
