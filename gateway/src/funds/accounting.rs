//! Funds to journals: J07, J18b, J19, J29. Pure.
//!
//! It must never read a balance: the round passes what there is, and the ledger's limits refuse when that has moved meanwhile.

use super::rows::{Payout, ReserveLot};
use crate::payment::accounting::Books;
use ledger::journal::Journal;
use ledger::{AccountName, Chart, JournalCode, Refusal};

/// Our bank account for client money, as the dimension of account 1010.
pub const BANK: &str = "bank";

impl Books<'_> {
    /// Accounts that only funds touch; those of payments are opened with the first payment.
    pub fn funds_accounts(&self) -> Result<Vec<AccountName>, Refusal> {
        let own = [
            Chart::MerchantReceivable,
            Chart::MerchantPending,
            Chart::MerchantAvailable,
            Chart::MerchantReserve,
            Chart::PayoutsInTransit,
        ];
        own.into_iter()
            .map(|c| Ok(self.account(c)))
            .chain([self.bank()])
            .collect()
    }

    /// J07: the settlement delay is over.
    pub fn settled(&self, amount: i64) -> Result<Journal, Refusal> {
        self.moved(
            JournalCode::J07,
            "funds",
            Chart::MerchantPending,
            Chart::MerchantAvailable,
            amount,
        )
    }

    /// J19: part of it stays in reserve.
    pub fn reserved(&self, lot: &ReserveLot) -> Result<Journal, Refusal> {
        self.moved(
            JournalCode::J19,
            &lot.id,
            Chart::MerchantPending,
            Chart::MerchantReserve,
            lot.amount,
        )
    }

    /// J19: and is released.
    pub fn released(&self, lot: &ReserveLot, amount: i64) -> Result<Journal, Refusal> {
        self.moved(
            JournalCode::J19,
            &lot.id,
            Chart::MerchantReserve,
            Chart::MerchantAvailable,
            amount,
        )
    }

    /// J18b: what the merchant owes is taken from what it earned.
    pub fn recovered(&self, amount: i64) -> Result<Journal, Refusal> {
        self.moved(
            JournalCode::J18b,
            "funds",
            Chart::MerchantAvailable,
            Chart::MerchantReceivable,
            amount,
        )
    }

    /// J29a: created; nobody else can count on the amount any more.
    pub fn payout_created(&self, payout: &Payout) -> Result<Journal, Refusal> {
        self.moved(
            JournalCode::J29a,
            &payout.id,
            Chart::MerchantAvailable,
            Chart::PayoutsInTransit,
            payout.amount,
        )
    }

    /// J29b: our bank has debited it.
    pub fn payout_paid(&self, payout: &Payout) -> Result<Journal, Refusal> {
        self.draft(JournalCode::J29b, &payout.id)
            .debit(self.account(Chart::PayoutsInTransit), payout.amount)
            .credit(self.bank()?, payout.amount)
            .balance()
    }

    /// J29c: rejected or canceled before any debit.
    pub fn payout_rejected(&self, payout: &Payout) -> Result<Journal, Refusal> {
        self.moved(
            JournalCode::J29c,
            &payout.id,
            Chart::PayoutsInTransit,
            Chart::MerchantAvailable,
            payout.amount,
        )
    }

    /// J29d: it came back after the debit: at our bank, and from there to the merchant.
    pub fn payout_returned(&self, payout: &Payout) -> Result<Journal, Refusal> {
        let transit = self.account(Chart::PayoutsInTransit);
        self.draft(JournalCode::J29d, &payout.id)
            .debit(self.bank()?, payout.amount)
            .credit(transit.clone(), payout.amount)
            .debit(transit, payout.amount)
            .credit(self.account(Chart::MerchantAvailable), payout.amount)
            .balance()
    }

    fn moved(
        &self,
        code: JournalCode,
        reference: &str,
        from: Chart,
        to: Chart,
        amount: i64,
    ) -> Result<Journal, Refusal> {
        self.draft(code, reference)
            .debit(self.account(from), amount)
            .credit(self.account(to), amount)
            .balance()
    }

    pub(crate) fn bank(&self) -> Result<AccountName, Refusal> {
        AccountName::new(Chart::ClientBank, Some(BANK), self.currency)
    }
}

/// What a merchant has in one currency: minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// 2010
    pub pending: i64,
    /// 2020
    pub available: i64,
    /// 1210: what it owes
    pub owed: i64,
}

/// What a round does with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// becomes available (J07)
    pub settle: i64,
    /// stays in reserve (J19)
    pub reserve: i64,
    /// goes to what the merchant owes (J18b)
    pub recover: i64,
}

impl Plan {
    /// `unsettled` is the net of sales whose delay is not over: the part of what is pending that stays so. Whatever refunds
    /// and disputes took from it meanwhile was taken from the youngest sales. `released` comes from the reserve in the same round.
    pub fn of(holdings: Holdings, unsettled: i64, reserve_bps: i32, released: i64) -> Self {
        let ripe = holdings.pending.saturating_sub(unsettled.max(0)).max(0);
        let rate = crate::account::terms::Rate {
            percent: rust_decimal::Decimal::new(reserve_bps.into(), 2),
            fixed: 0,
        };
        let reserve = rate.fee(ripe);
        let settle = ripe - reserve;
        let has = holdings
            .available
            .saturating_add(settle)
            .saturating_add(released)
            .max(0);
        Self {
            settle,
            reserve,
            recover: holdings.owed.max(0).min(has),
        }
    }

    /// What can be paid out afterwards.
    pub fn payable(&self, holdings: Holdings, released: i64) -> i64 {
        if holdings.owed > self.recover {
            return 0;
        }
        let has = holdings.available.saturating_add(self.settle).saturating_add(released);
        has.saturating_sub(self.recover).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_is_made_and_nothing_unripe_is_touched(
            pending in 0i64..1_000_000, available in 0i64..1_000_000, owed in 0i64..1_000_000,
            unsettled in 0i64..1_000_000, bps in 0i32..=10_000, released in 0i64..1_000_000,
        ) {
            let holdings = Holdings { pending, available, owed };
            let plan = Plan::of(holdings, unsettled, bps, released);
            prop_assert!(plan.settle >= 0 && plan.reserve >= 0 && plan.recover >= 0);
            prop_assert_eq!(plan.settle + plan.reserve, (pending - unsettled).max(0));
            prop_assert!(plan.recover <= owed && plan.recover <= available + plan.settle + released);
            prop_assert!(plan.recover == owed || plan.recover == available + plan.settle + released);
            let payable = plan.payable(holdings, released);
            prop_assert!(payable == 0 || plan.recover == owed);
            prop_assert!(payable + plan.recover <= available + plan.settle + released);
        }
    }

    #[test]
    fn a_refund_from_pending_is_taken_from_the_youngest_sale() {
        // Two sales of 100, the first ripe, and a refund of 100 out of pending: what is left is the second sale's.
        let plan = Plan::of(
            Holdings {
                pending: 100,
                ..Holdings::default()
            },
            100,
            0,
            0,
        );
        assert_eq!(plan, Plan::default());
        let plan = Plan::of(
            Holdings {
                pending: 250,
                available: 0,
                owed: 30,
            },
            100,
            1000,
            0,
        );
        assert_eq!(
            plan,
            Plan {
                settle: 135,
                reserve: 15,
                recover: 30
            }
        );
    }
}
