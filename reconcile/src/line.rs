//! The one model that every format is read into: a line, the statement it stands in, and why a file was refused.

use jiff::Timestamp;
use ledger::Currency;

/// What a line says happened. Formats of acquirers tell; bank formats tell only the direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A sale was captured.
    Payment,
    /// Money went back to a payer.
    Refund,
    /// A refund failed and came back.
    RefundReturned,
    /// A disputed amount was taken.
    Dispute,
    /// A disputed amount came back.
    DisputeReturned,
    /// What the acquirer or bank charges by itself.
    Fee,
    /// The acquirer's own transfer to our bank.
    Payout,
    /// A movement that is none of these, or of which only the direction is known.
    Movement,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 8] = [
        Kind::Payment,
        Kind::Refund,
        Kind::RefundReturned,
        Kind::Dispute,
        Kind::DisputeReturned,
        Kind::Fee,
        Kind::Payout,
        Kind::Movement,
    ];

    /// Its name in the database and in mapping files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Payment => "payment",
            Kind::Refund => "refund",
            Kind::RefundReturned => "refund_returned",
            Kind::Dispute => "dispute",
            Kind::DisputeReturned => "dispute_returned",
            Kind::Fee => "fee",
            Kind::Payout => "payout",
            Kind::Movement => "movement",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether our books have nothing to compare it with: the line is the source of its own journal.
    pub const fn is_own_source(self) -> bool {
        matches!(self, Kind::Fee | Kind::Payout)
    }
}

/// One movement in a file. Amounts are minor units, positive in our favour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// the line of the file that it begins on, from 1
    pub number: u64,
    /// what happened
    pub kind: Kind,
    /// what it calls what it is about, the most exact first
    pub references: Vec<String>,
    /// what its sender calls the line itself: the same twice is the same line twice
    pub identity: Option<String>,
    /// the acquirer's payout or batch, or the bank's entry, that it is part of
    pub batch: Option<String>,
    /// gross
    pub amount: i64,
    /// of `amount`
    pub currency: Currency,
    /// withheld from it, positive when it costs us; of `net_currency`
    pub fee: i64,
    /// what reaches the account
    pub net: i64,
    /// of `net`: another one after an exchange
    pub net_currency: Currency,
    /// when it happened; of a date, its midnight (UTC)
    pub at: Timestamp,
    /// free text
    pub text: String,
}

/// What a file says about its lines as a whole. A file without statements is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// the sender's own id of it
    pub id: Option<String>,
    /// its number in the series of the account
    pub sequence: Option<u64>,
    /// whose statement: an IBAN, a number
    pub account: Option<String>,
    /// of the account
    pub currency: Option<Currency>,
    /// minor units
    pub opening: Option<i64>,
    /// minor units
    pub closing: Option<i64>,
    /// how many
    pub lines: u64,
}

/// What reading a file gives, in its order; a statement comes after its lines, once it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// a line
    Line(Line),
    /// the end of a statement
    Statement(Statement),
}

/// Why a file was refused. Nothing of it may be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Refused {
    /// where, from 1
    pub line: u64,
    /// what is wrong and what was expected
    pub reason: String,
}

impl Refused {
    /// A refusal.
    pub fn new(line: u64, reason: impl Into<String>) -> Self {
        Self {
            line,
            reason: reason.into(),
        }
    }
}

/// The form in which references are compared: letters and digits alone, since banks drop or replace the rest (`ch_1A` is `ch1A`).
/// None for what names nothing.
pub fn key(reference: &str) -> Option<String> {
    let key: String = reference.chars().filter(char::is_ascii_alphanumeric).collect();
    let nothing = ["NONREF", "NOTPROVIDED", "NOTAVAILABLE", "NONE"];
    (key.len() >= 3 && !nothing.contains(&key.to_ascii_uppercase().as_str())).then_some(key)
}

/// What in a text could be a reference: words with a digit, long enough to name something.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let part = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    text.split(part)
        .map(|word| word.trim_matches(['.', '-', '_']))
        .filter(|word| word.len() >= 6 && word.bytes().any(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_compared_as_banks_leave_them() {
        assert_eq!(key("ch_3Nx-9"), Some("ch3Nx9".into()));
        assert_eq!(key("ch 3Nx 9"), key("ch_3Nx_9"));
        for nothing in ["", "-", "NONREF", "NotProvided", "a1", "///"] {
            assert_eq!(key(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_text_is_searched_for_words_that_could_be_references() {
        let found: Vec<_> = words("?20EREF+ch_1abc?21SVWZ+Order 42, thanks. /po_77xyz/").collect();
        assert_eq!(found, ["20EREF", "ch_1abc", "21SVWZ", "po_77xyz"]);
    }

    #[test]
    fn kinds_have_names() {
        assert!(
            Kind::ALL
                .iter()
                .all(|kind| Kind::from_name(kind.as_str()) == Some(*kind))
        );
        assert_eq!(Kind::from_name("sale"), None);
    }
}
