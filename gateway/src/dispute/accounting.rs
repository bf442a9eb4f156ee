//! Movements of disputed money to journals: J11 to J16, J20, J22, J27. Pure.
//!
//! A merchant's money is frozen from what is pending, then from what is available, then as a claim on the merchant
//! (J18a); the split is kept, so that a release can return the claim first. It must never read a balance: the flow passes
//! what there is, and the ledger's limits refuse when that has moved meanwhile.

use super::state::Movement;
use crate::payment::accounting::{Books, fund};
use ledger::journal::{Draft, Journal};
use ledger::{Chart, Refusal};
use serde::{Deserialize, Serialize};

/// The merchant's balances, and what is frozen, by where the money was: minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// 2010: sold, not yet available
    pub pending: i64,
    /// 2020: may be paid out
    pub available: i64,
    /// 1210: what the merchant owes
    pub receivable: i64,
}

impl Split {
    /// All of it.
    pub fn total(&self) -> i64 {
        self.pending + self.available + self.receivable
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Split) -> Split {
        Split {
            pending: self.pending + other.pending,
            available: self.available + other.available,
            receivable: self.receivable + other.receivable,
        }
    }

    /// What is left without the other.
    #[must_use]
    pub fn less(self, other: Split) -> Split {
        Split {
            pending: self.pending - other.pending,
            available: self.available - other.available,
            receivable: self.receivable - other.receivable,
        }
    }
}

/// The journals of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// in the order of the movements
    pub journals: Vec<Journal>,
    /// what is frozen for the dispute afterwards
    pub held: Split,
}

impl Entries {}

/// The journals that book these movements for this dispute, given what is frozen for it and what the merchant has.
pub fn entries(
    books: &Books<'_>,
    dispute_id: &str,
    movements: &[Movement],
    held: Split,
    mut merchant: Split,
) -> Result<Entries, Refusal> {
    let contested = books.at_acquirer(Chart::ChargebackContested)?;
    let receivable = books.at_acquirer(Chart::AcquirerReceivable)?;
    let hold = books.account(Chart::DisputeHold);
    let mut entries = Entries {
        journals: Vec::with_capacity(movements.len()),
        held,
    };
    for movement in movements {
        let draft = books.draft(movement.code(), dispute_id);
        // Journals of one step point to its first.
        let draft = match entries.journals.first() {
            Some(first) => draft.link(first.id()),
            None => draft,
        };
        let draft = match *movement {
            Movement::Taken(amount) | Movement::TakenAgain(amount) => draft
                .debit(contested.clone(), amount)
                .credit(receivable.clone(), amount),
            Movement::Returned(amount) => draft
                .debit(receivable.clone(), amount)
                .credit(contested.clone(), amount),
            Movement::Unmatched(amount) => {
                let suspense = books.at_acquirer(Chart::SuspenseUnmatched)?;
                let size = amount.saturating_abs();
                if amount > 0 {
                    draft.debit(receivable.clone(), size).credit(suspense, size)
                } else {
                    draft.debit(suspense, size).credit(receivable.clone(), size)
                }
            }
            Movement::Lost(amount) => {
                entries.held = Split::default();
                draft.debit(hold.clone(), amount).credit(contested.clone(), amount)
            }
            Movement::LostByPlatform(amount) => {
                let freed = std::mem::take(&mut entries.held);
                let draft = draft
                    .debit(books.account(Chart::ChargebackLoss), amount)
                    .credit(contested.clone(), amount)
                    .debit(hold.clone(), freed.total());
                give(books, draft, freed.total(), freed.receivable, &mut merchant)
            }
            Movement::FeeReturned(fee) => {
                let draft = draft
                    .debit(receivable.clone(), fee)
                    .credit(books.account(Chart::DisputeFeeExpense), fee)
                    .debit(books.account(Chart::DisputeFeeIncome), fee);
                give(books, draft, fee, fee, &mut merchant)
            }
            Movement::Fee(fee) | Movement::CounterFee(fee) => {
                let (available, pending, claim) = fund(fee, merchant.available, merchant.pending);
                let part = Split {
                    pending,
                    available,
                    receivable: claim,
                };
                merchant = after_taking(merchant, part);
                take(
                    books,
                    draft
                        .debit(books.account(Chart::DisputeFeeExpense), fee)
                        .credit(receivable.clone(), fee),
                    part,
                )
                .credit(books.account(Chart::DisputeFeeIncome), fee)
            }
            Movement::HoldOnNotice(amount) | Movement::Hold(amount) => {
                let (pending, available, claim) = fund(amount, merchant.pending, merchant.available);
                let part = Split {
                    pending,
                    available,
                    receivable: claim,
                };
                merchant = after_taking(merchant, part);
                entries.held = Split {
                    pending: entries.held.pending + part.pending,
                    available: entries.held.available + part.available,
                    receivable: entries.held.receivable + part.receivable,
                };
                take(books, draft, part).credit(hold.clone(), amount)
            }
            Movement::ReleaseReturned(amount) | Movement::ReleaseUndebited(amount) => {
                let part = last_in(amount, entries.held);
                entries.held = Split {
                    pending: entries.held.pending - part.pending,
                    available: entries.held.available - part.available,
                    receivable: entries.held.receivable - part.receivable,
                };
                give(
                    books,
                    draft.debit(hold.clone(), amount),
                    amount,
                    part.receivable,
                    &mut merchant,
                )
            }
        };
        entries.journals.push(draft.balance()?);
    }
    Ok(entries)
}

/// Debits the merchant's accounts with the parts of a split.
pub(crate) fn take(books: &Books<'_>, draft: Draft, part: Split) -> Draft {
    let parts = [
        (Chart::MerchantPending, part.pending),
        (Chart::MerchantAvailable, part.available),
        (Chart::MerchantReceivable, part.receivable),
    ];
    parts
        .into_iter()
        .filter(|(_, amount)| *amount > 0)
        .fold(draft, |draft, (chart, amount)| {
            draft.debit(books.account(chart), amount)
        })
}

/// Gives the merchant this sum, of which `from_claim` was a claim on it. The claim may have been recovered from sales meanwhile: what is
/// no longer owed is the merchant's.
fn give(books: &Books<'_>, draft: Draft, amount: i64, from_claim: i64, merchant: &mut Split) -> Draft {
    let to_claim = from_claim.min(merchant.receivable.max(0));
    merchant.receivable -= to_claim;
    merchant.available += amount - to_claim;
    let draft = credit(draft, books, Chart::MerchantAvailable, amount - to_claim);
    credit(draft, books, Chart::MerchantReceivable, to_claim)
}

/// Credits an account, with something.
pub(crate) fn credit(draft: Draft, books: &Books<'_>, chart: Chart, amount: i64) -> Draft {
    if amount > 0 {
        draft.credit(books.account(chart), amount)
    } else {
        draft
    }
}

/// What the merchant has once a split was taken.
pub(crate) fn after_taking(merchant: Split, part: Split) -> Split {
    Split {
        pending: merchant.pending - part.pending,
        available: merchant.available - part.available,
        receivable: merchant.receivable + part.receivable,
    }
}

/// What a partial release gives back: the claim first, pending last.
pub(crate) fn last_in(amount: i64, held: Split) -> Split {
    let receivable = amount.min(held.receivable);
    let available = (amount - receivable).min(held.available);
    Split {
        pending: amount - receivable - available,
        available,
        receivable,
    }
}

#[cfg(test)]
mod tests;
