//! Journal codes: what kind of fact a journal books. The list is closed; `ledger.journal_code` mirrors it for readers.

use std::fmt;
use std::str::FromStr;

macro_rules! codes {
    ($($name:ident $title:literal;)+) => {
        /// The kind of fact that a journal books, `J01` to `J32`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum JournalCode { $(#[doc = $title] $name,)+ }

        impl JournalCode {
            /// Every code, in order.
            pub const ALL: &'static [JournalCode] = &[$(JournalCode::$name,)+];

            /// The stable code, e.g. `J08a`.
            pub const fn as_str(self) -> &'static str { match self { $(JournalCode::$name => stringify!($name),)+ } }

            /// What it books, in a few words.
            pub const fn title(self) -> &'static str { match self { $(JournalCode::$name => $title,)+ } }
        }
    };
}

codes! {
    J01 "Authorization approved";
    J02 "Void or expiry of an authorization";
    J03 "Capture";
    J04 "Platform fee and tax";
    J05 "Acquirer settlement, fees netted";
    J05b "Acquirer fees invoiced later";
    J06 "Bank statement line matched";
    J07 "Settlement delay over";
    J08a "Refund requested";
    J08b "Refund confirmed by the acquirer";
    J09 "Refund failed";
    J10 "Fee returned on refund";
    J11 "Chargeback principal taken";
    J11b "Merchant held for a chargeback";
    J12 "Dispute fee";
    J13 "Countered or filing fee";
    J14a "Principal reinstated, not final";
    J14b "Principal taken again";
    J14c "Released to the merchant";
    J15 "Chargeback lost, merchant bears";
    J16 "Chargeback lost, platform bears";
    J17 "Exchange";
    J18a "Shortfall when holding";
    J18b "Shortfall recovered from later sales";
    J18c "Shortfall recovered by bank or written off";
    J19 "Rolling reserve taken or released";
    J20 "Hold on case or notice";
    J21 "Decision: refund from hold";
    J22 "Hold released";
    J23a "Compensation decided at the merchant's cost";
    J23b "Compensation or failed refund paid by bank";
    J24 "Platform-funded refund or compensation";
    J25 "Recourse taken";
    J26 "Correction: mirror of the journal it reverses";
    J27 "Unmatched item, or its later resolution";
    J28 "Penalty with stated basis";
    J29a "Payout created";
    J29b "Payout debit seen at the bank";
    J29c "Payout rejected before debit";
    J29d "Payout returned after debit";
    J30 "Sweep of own revenue";
    J31 "Rounding difference of an exchange";
    J32 "Manual adjustment";
}

impl fmt::Display for JournalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JournalCode {
    type Err = UnknownCode;

    fn from_str(s: &str) -> Result<Self, UnknownCode> {
        JournalCode::ALL
            .iter()
            .copied()
            .find(|c| c.as_str() == s)
            .ok_or(UnknownCode)
    }
}

/// The text names no journal code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such journal code")]
pub struct UnknownCode;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_read_back() {
        assert!(JournalCode::ALL.windows(2).all(|w| w[0].as_str() < w[1].as_str()));
        assert!(JournalCode::ALL.iter().all(|c| c.as_str().parse() == Ok(*c)));
        assert_eq!("J99".parse::<JournalCode>(), Err(UnknownCode));
    }
}
