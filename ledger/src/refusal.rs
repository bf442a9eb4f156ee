//! Why a journal was refused: one closed list, in the order in which the checks are made.
//!
//! A refusal is a normal answer, never a failure of the database. Its `code()` is stable: it may be stored, put on the
//! wire and matched by programs.

use tokio_postgres::error::{DbError, SqlState};
use uuid::Uuid;

use crate::Currency;

/// Why a journal was refused. The order of the variants is the precedence: structure first, then identity, then
/// context, then limits. Where several apply, the first is given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    // Structure: known without a database; the draft itself is wrong.
    /// The text names no account of the chart in a known currency.
    #[error("not an account name: {0}")]
    InvalidAccountName(String),
    /// A journal has at least two lines.
    #[error("a journal needs at least two lines")]
    TooFewLines,
    /// An amount is zero or negative; the side says the direction.
    #[error("an amount is not positive")]
    AmountNotPositive,
    /// A sum does not fit 64 bits.
    #[error("an amount is out of range")]
    AmountOutOfRange,
    /// Debits and credits of this currency differ.
    #[error("debits and credits differ in {0}")]
    Unbalanced(Currency),
    /// A journal opens or consumes at most one hold.
    #[error("a journal has at most one hold")]
    SeveralHolds,
    /// The two accounts of a hold are of two currencies.
    #[error("the accounts of a hold differ in currency")]
    HoldCurrencyMismatch,
    /// The database found the journal malformed, or the call: something wrote around this crate.
    #[error("the journal is malformed")]
    Malformed,

    // Identity: booked already.
    /// A journal with this id is in the book already.
    #[error("the journal is booked already")]
    DuplicateJournal,
    /// A journal with this idempotency key is in the book already, or was refused under it.
    #[error("the idempotency key is used already")]
    KeyUsed,
    /// The key was used before with other content, which differs in these fields, joined by commas.
    #[error("the idempotency key was used with another {0}")]
    KeyReused(String),

    // Context: what the journal refers to.
    /// It is dated in a closed period; open is what is not before this instant.
    #[error("the period before {0} is closed")]
    PeriodClosed(String),
    /// The book has no such journal to reverse.
    #[error("unknown journal {0}")]
    UnknownJournal(Uuid),
    /// A reversal (J26) is not the mirror of the journal it reverses, or that one moved a hold.
    #[error("not the mirror of journal {0}")]
    NotAMirror(Uuid),
    /// The journal has its reversal already.
    #[error("journal {0} is reversed already")]
    AlreadyReversed(Uuid),
    /// A manual journal (J32) without an approved proposal.
    #[error("journal {0} is not approved")]
    NotApproved(Uuid),
    /// The book has no such account.
    #[error("unknown account {0}")]
    UnknownAccount(String),
    /// The account takes no more postings.
    #[error("account {0} is closed")]
    AccountClosed(String),
    /// The book has no such hold.
    #[error("unknown hold {0}")]
    UnknownHold(Uuid),
    /// The hold has been used up, voided or has expired.
    #[error("hold {0} is closed")]
    HoldClosed(Uuid),
    /// The hold has lapsed, and the journal asked for a live one.
    #[error("hold {0} has expired")]
    HoldExpired(Uuid),
    /// The hold is of other accounts, or the rest given is not the rest there is.
    #[error("hold {0} does not match")]
    HoldMismatch(Uuid),

    // Limits.
    /// More than remains of the hold.
    #[error("more than remains of hold {0}")]
    HoldExceeded(Uuid),
    /// A counter would not fit 64 bits.
    #[error("a counter is out of range")]
    CounterOverflow,
    /// The available balance would fall below zero.
    #[error("account {0} would be overdrawn")]
    Overdraft(String),
}

impl Refusal {
    /// The stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::InvalidAccountName(_) => "invalid_account_name",
            Refusal::TooFewLines => "too_few_lines",
            Refusal::AmountNotPositive => "amount_not_positive",
            Refusal::AmountOutOfRange => "amount_out_of_range",
            Refusal::Unbalanced(_) => "unbalanced",
            Refusal::SeveralHolds => "several_holds",
            Refusal::HoldCurrencyMismatch => "hold_currency_mismatch",
            Refusal::Malformed => "malformed",
            Refusal::DuplicateJournal => "duplicate_journal",
            Refusal::KeyUsed => "key_used",
            Refusal::KeyReused(_) => "key_reused",
            Refusal::PeriodClosed(_) => "period_closed",
            Refusal::UnknownJournal(_) => "unknown_journal",
            Refusal::NotAMirror(_) => "not_a_mirror",
            Refusal::AlreadyReversed(_) => "already_reversed",
            Refusal::NotApproved(_) => "not_approved",
            Refusal::UnknownAccount(_) => "unknown_account",
            Refusal::AccountClosed(_) => "account_closed",
            Refusal::UnknownHold(_) => "unknown_hold",
            Refusal::HoldClosed(_) => "hold_closed",
            Refusal::HoldExpired(_) => "hold_expired",
            Refusal::HoldMismatch(_) => "hold_mismatch",
            Refusal::HoldExceeded(_) => "hold_exceeded",
            Refusal::CounterOverflow => "counter_overflow",
            Refusal::Overdraft(_) => "overdraft",
        }
    }

    /// Whether the same journal, unchanged, may be accepted later: an account is opened, money arrives.
    pub fn transient(&self) -> bool {
        matches!(
            self,
            Refusal::PeriodClosed(_)
                | Refusal::UnknownJournal(_)
                | Refusal::NotApproved(_)
                | Refusal::UnknownAccount(_)
                | Refusal::AccountClosed(_)
                | Refusal::UnknownHold(_)
                | Refusal::Overdraft(_)
        )
    }

    /// Whether it says something about the books at that moment, rather than about the journal or its key: such a
    /// refusal is remembered under the journal's key.
    pub(crate) fn is_of_state(&self) -> bool {
        Refusal::remembered(self.code(), "").is_some()
    }

    /// What it names: an account, a hold, a journal, an instant; empty when nothing.
    pub fn subject(&self) -> String {
        match self {
            Refusal::InvalidAccountName(s)
            | Refusal::KeyReused(s)
            | Refusal::PeriodClosed(s)
            | Refusal::UnknownAccount(s)
            | Refusal::AccountClosed(s)
            | Refusal::Overdraft(s) => s.clone(),
            Refusal::Unbalanced(currency) => currency.to_string(),
            Refusal::UnknownJournal(id)
            | Refusal::NotAMirror(id)
            | Refusal::AlreadyReversed(id)
            | Refusal::NotApproved(id)
            | Refusal::UnknownHold(id)
            | Refusal::HoldClosed(id)
            | Refusal::HoldExpired(id)
            | Refusal::HoldMismatch(id)
            | Refusal::HoldExceeded(id) => id.to_string(),
            Refusal::TooFewLines
            | Refusal::AmountNotPositive
            | Refusal::AmountOutOfRange
            | Refusal::SeveralHolds
            | Refusal::HoldCurrencyMismatch
            | Refusal::Malformed
            | Refusal::DuplicateJournal
            | Refusal::KeyUsed
            | Refusal::CounterOverflow => String::new(),
        }
    }

    /// The refusal of state with this code and subject, as a receipt keeps it.
    pub(crate) fn remembered(code: &str, subject: &str) -> Option<Refusal> {
        let (text, id) = (|| subject.to_owned(), || subject.parse().unwrap_or_default());
        Some(match code {
            "period_closed" => Refusal::PeriodClosed(text()),
            "unknown_journal" => Refusal::UnknownJournal(id()),
            "not_a_mirror" => Refusal::NotAMirror(id()),
            "already_reversed" => Refusal::AlreadyReversed(id()),
            "not_approved" => Refusal::NotApproved(id()),
            "unknown_account" => Refusal::UnknownAccount(text()),
            "account_closed" => Refusal::AccountClosed(text()),
            "unknown_hold" => Refusal::UnknownHold(id()),
            "hold_closed" => Refusal::HoldClosed(id()),
            "hold_expired" => Refusal::HoldExpired(id()),
            "hold_mismatch" => Refusal::HoldMismatch(id()),
            "hold_exceeded" => Refusal::HoldExceeded(id()),
            "counter_overflow" => Refusal::CounterOverflow,
            "overdraft" => Refusal::Overdraft(text()),
            _ => return None,
        })
    }

    /// The refusal that the database expressed by SQLSTATE and constraint name; never by the text of a message.
    pub(crate) fn from_database(e: &DbError) -> Option<Refusal> {
        let subject = || e.detail().unwrap_or_default().to_owned();
        let id = || e.detail().and_then(|d| d.parse().ok()).unwrap_or_default();
        Some(match e.code().code() {
            "LG001" => Refusal::UnknownAccount(subject()),
            "LG002" => Refusal::AccountClosed(subject()),
            "LG003" => Refusal::UnknownHold(id()),
            "LG004" => Refusal::HoldClosed(id()),
            "LG005" => Refusal::HoldMismatch(id()),
            "LG006" => Refusal::HoldExceeded(id()),
            "LG008" => Refusal::Malformed,
            "LG009" => Refusal::PeriodClosed(subject()),
            "LG010" => Refusal::NotApproved(id()),
            "LG011" => Refusal::AlreadyReversed(id()),
            "LG012" => Refusal::UnknownJournal(id()),
            "LG013" => Refusal::NotAMirror(id()),
            "LG014" => Refusal::HoldExpired(id()),
            // Only the ledger's own constraints: a batch has other statements in the same transaction.
            _ if e.schema() == Some("ledger") => match e.constraint()? {
                // The key of the month that the id belongs to, e.g. `journal_2026_11_pkey`.
                pkey if pkey.starts_with("journal_") && pkey.ends_with("_pkey") => Refusal::DuplicateJournal,
                "receipt_pkey" => Refusal::KeyUsed,
                "account_no_overdraft" => Refusal::Overdraft(String::new()),
                "account_counters" => Refusal::CounterOverflow,
                "journal_well_formed"
                | "journal_not_detached"
                | "journal_idem_key_digest"
                | "journal_memo_small"
                | "receipt_key_digest"
                | "receipt_content_digest" => Refusal::Malformed,
                _ => return None,
            },
            code if code == SqlState::NUMERIC_VALUE_OUT_OF_RANGE.code() => Refusal::CounterOverflow,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precedence_puts_structure_before_identity_before_context_before_limits() {
        let order = [
            Refusal::Unbalanced(Currency::USD),
            Refusal::DuplicateJournal,
            Refusal::UnknownAccount("2010.usd".into()),
            Refusal::HoldExceeded(Uuid::nil()),
            Refusal::Overdraft("2010.usd".into()),
        ];
        assert!(order.windows(2).all(|w| w[0] < w[1]));
    }

    #[test]
    fn a_remembered_refusal_comes_back_as_it_was_and_only_refusals_of_state_are_remembered() {
        let id = Uuid::from_u128(7);
        for refusal in [
            Refusal::PeriodClosed("2026-01-01T00:00:00Z".into()),
            Refusal::UnknownJournal(id),
            Refusal::NotAMirror(id),
            Refusal::AlreadyReversed(id),
            Refusal::NotApproved(id),
            Refusal::UnknownAccount("2010.usd".into()),
            Refusal::AccountClosed("2010.usd".into()),
            Refusal::UnknownHold(id),
            Refusal::HoldClosed(id),
            Refusal::HoldExpired(id),
            Refusal::HoldMismatch(id),
            Refusal::HoldExceeded(id),
            Refusal::CounterOverflow,
            Refusal::Overdraft("2010.usd".into()),
        ] {
            assert!(refusal.is_of_state(), "{refusal}");
            assert_eq!(Refusal::remembered(refusal.code(), &refusal.subject()), Some(refusal));
        }
        for refusal in [
            Refusal::Malformed,
            Refusal::DuplicateJournal,
            Refusal::KeyUsed,
            Refusal::KeyReused("zzz".into()),
        ] {
            assert!(!refusal.is_of_state(), "{refusal}");
            assert_eq!(Refusal::remembered(refusal.code(), &refusal.subject()), None);
        }
    }

    #[test]
    fn only_what_time_can_heal_is_transient() {
        assert!(Refusal::Overdraft(String::new()).transient());
        assert!(!Refusal::KeyUsed.transient());
        assert!(!Refusal::Unbalanced(Currency::USD).transient());
    }
}
