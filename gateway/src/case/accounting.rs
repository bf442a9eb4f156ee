//! Movements of a case's money to journals: J20 to J26. Pure.
//!
//! A merchant's money is frozen, and charged, from what it has, then as a claim on it; the split is kept, so that a release
//! returns the claim first. It must never read a balance: the flow passes what there is, and the ledger's limits refuse
//! when that has moved meanwhile.

use super::rows::{Case, Compensation};
use super::state::Movement;
use crate::dispute::accounting::{Split, after_taking, credit, last_in, take};
use crate::payment::accounting::{Books, fund};
use ledger::journal::Journal;
use ledger::{AccountName, Chart, JournalCode, Refusal};
use uuid::Uuid;

/// The journals of a step and what they did.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// in the order of the movements
    pub journals: Vec<Journal>,
    /// of the merchant's balance: the journal, minor units, and what it was
    pub lines: Vec<(Uuid, i64, &'static str)>,
    /// where the money of the refund came from
    pub refund: Split,
    /// of it, what the platform paid
    pub from_platform: i64,
}

impl Books<'_> {
    /// Accounts that only cases touch; those of payments are opened with the first payment.
    pub fn case_accounts(&self) -> Result<Vec<AccountName>, Refusal> {
        let own = [
            Chart::CompensationPayable,
            Chart::CompensationExpense,
            Chart::MerchantRecourse,
            Chart::MerchantDeposit,
            Chart::PenaltyIncome,
        ];
        let own = own.into_iter().map(|chart| Ok(self.account(chart)));
        own.chain([self.bank()]).collect()
    }
}

/// Books these movements for this case, given what the merchant has; what is frozen is in the case afterwards.
pub fn book(
    books: &Books<'_>,
    case: &mut Case,
    refund_id: &str,
    movements: &[Movement],
    mut merchant: Split,
) -> Result<Entries, Refusal> {
    let mut entries = Entries::default();
    let hold = books.account(Chart::DisputeHold);
    let compensation = books.account(Chart::CompensationPayable);
    for movement in movements {
        let reference = match movement {
            Movement::Refund(_) | Movement::PlatformRefund { .. } => refund_id,
            _ => &case.id,
        };
        let draft = books.draft(movement.code(), reference);
        let draft = match entries.journals.first() {
            Some(first) => draft.link(first.id()),
            None => draft,
        };
        let journal = match *movement {
            Movement::Hold(amount) => {
                let (pending, available, receivable) = fund(amount, merchant.pending, merchant.available);
                let part = Split {
                    pending,
                    available,
                    receivable,
                };
                merchant = after_taking(merchant, part);
                case.hold(case.split().and(part));
                take(books, draft, part).credit(hold.clone(), amount).balance()?
            }
            Movement::Release(amount) => {
                let part = last_in(amount, case.split());
                case.hold(case.split().less(part));
                // The claim may have been recovered from sales meanwhile: what is no longer owed is the merchant's.
                let to_claim = part.receivable.min(merchant.receivable.max(0));
                merchant.receivable -= to_claim;
                merchant.available += amount - to_claim;
                let draft = draft.debit(hold.clone(), amount);
                let draft = credit(draft, books, Chart::MerchantAvailable, amount - to_claim);
                credit(draft, books, Chart::MerchantReceivable, to_claim).balance()?
            }
            Movement::Refund(amount) => {
                // What was really there goes first: a claim is released sooner than it is spent.
                let split = case.split();
                let available = amount.min(split.available);
                let pending = (amount - available).min(split.pending);
                let part = Split {
                    pending,
                    available,
                    receivable: amount - available - pending,
                };
                case.hold(split.less(part));
                entries.refund = part;
                let journal = draft
                    .debit(hold.clone(), amount)
                    .credit(books.account(Chart::RefundPayable), amount)
                    .balance()?;
                entries.lines.push((journal.id(), -amount, "REFUND"));
                journal
            }
            Movement::PlatformRefund { amount, recourse } => {
                entries.from_platform = amount;
                let from = if recourse {
                    Chart::MerchantRecourse
                } else {
                    Chart::CompensationExpense
                };
                draft
                    .debit(books.account(from), amount)
                    .credit(books.account(Chart::RefundPayable), amount)
                    .balance()?
            }
            Movement::Compensate(amount) => {
                let (available, pending, receivable) = fund(amount, merchant.available, merchant.pending);
                let split = Split {
                    pending,
                    available,
                    receivable,
                };
                merchant = after_taking(merchant, split);
                let journal = take(books, draft, split)
                    .credit(compensation.clone(), amount)
                    .balance()?;
                let journal_id = journal.id();
                case.details.compensation = Some(Compensation { journal_id, split });
                entries.lines.push((journal_id, -amount, "COMPENSATION"));
                journal
            }
            Movement::TakeBack(amount) => {
                // The exact mirror of what was booked, or the ledger refuses it.
                let booked = case.details.compensation.take();
                let (split, draft) = match booked {
                    Some(booked) => (booked.split, draft.reverses(booked.journal_id)),
                    None => (
                        Split {
                            available: amount,
                            ..Split::default()
                        },
                        draft,
                    ),
                };
                let draft = credit(draft, books, Chart::MerchantPending, split.pending);
                let draft = credit(draft, books, Chart::MerchantAvailable, split.available);
                let draft = credit(draft, books, Chart::MerchantReceivable, split.receivable);
                let journal = draft.debit(compensation.clone(), amount).balance()?;
                merchant.pending += split.pending;
                merchant.available += split.available;
                merchant.receivable -= split.receivable;
                entries.lines.push((journal.id(), amount, "COMPENSATION TAKEN BACK"));
                journal
            }
            Movement::PlatformCompensate(amount) => draft
                .debit(books.account(Chart::CompensationExpense), amount)
                .credit(compensation.clone(), amount)
                .balance()?,
            Movement::Reimburse(amount) => {
                let journal = draft
                    .debit(books.account(Chart::CompensationExpense), amount)
                    .credit(books.account(Chart::MerchantAvailable), amount)
                    .balance()?;
                merchant.available += amount;
                entries.lines.push((journal.id(), amount, "REIMBURSEMENT AFTER APPEAL"));
                journal
            }
            Movement::PaidRefund(amount) => draft
                .debit(books.account(Chart::RefundPayable), amount)
                .credit(books.bank()?, amount)
                .balance()?,
            Movement::PaidCompensation(amount) => draft
                .debit(compensation.clone(), amount)
                .credit(books.bank()?, amount)
                .balance()?,
        };
        entries.journals.push(journal);
    }
    Ok(entries)
}

/// J25: what the platform advanced is taken from what the merchant has by now; with the rest it waits for more.
pub fn recourse(books: &Books<'_>, case_id: &str, from_deposit: i64, from_available: i64) -> Result<Journal, Refusal> {
    let draft = books.draft(JournalCode::J25, case_id);
    let draft = match from_deposit {
        0 => draft,
        amount => draft.debit(books.account(Chart::MerchantDeposit), amount),
    };
    let draft = match from_available {
        0 => draft,
        amount => draft.debit(books.account(Chart::MerchantAvailable), amount),
    };
    draft
        .credit(books.account(Chart::MerchantRecourse), from_deposit + from_available)
        .balance()
}

#[cfg(test)]
mod tests;
