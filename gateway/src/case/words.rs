//! The closed sets of words that a case is described with. Plain data.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$of])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];
            /// The words of all of them.
            pub const WORDS: &'static [&'static str] = &[$($word,)+];

            /// The word on the wire and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }

            /// The one with this word.
            pub fn parse(word: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }
    )+};
}

words! {
    /// Where a case stands.
    Status {
        /// received; nobody has said yet whether it is taken up
        Submitted = "submitted",
        /// not taken up
        NotAccepted = "not_accepted",
        /// taken up; the platform finds out what happened
        Verifying = "verifying",
        /// the merchant is asked
        MerchantResponse = "merchant_response",
        /// the platform mediates, and then decides
        Mediation = "mediation",
        /// decided or settled; to be carried out
        Decided = "decided",
        /// money is on its way
        Executing = "executing",
        /// the card network decides about the same money
        LinkedSuspended = "linked_suspended",
        /// over, unless somebody appeals
        Closed = "closed",
        /// another officer looks again
        AppealReview = "appeal_review",
        /// over for good
        ClosedFinal = "closed_final",
        /// sealed
        Archived = "archived",
    }

    /// What is complained of.
    CaseType {
        /// the goods are defective: verified within the shorter time
        Quality = "quality",
        /// nothing arrived
        NotReceived = "not_received",
        /// something else arrived
        NotAsDescribed = "not_as_described",
        /// too much was charged
        Price = "price",
        /// how the merchant behaved
        Service = "service",
        /// the payer did not make the payment
        Unauthorized = "unauthorized",
        /// anything else
        Other = "other",
    }

    /// How the complaint arrived.
    Channel {
        /// in the application
        InApp = "in_app",
        /// by telephone
        Phone = "phone",
        /// by e-mail
        Mail = "mail",
        /// through social media
        Social = "social",
    }

    /// Who speaks.
    Party {
        /// who complains
        Consumer = "consumer",
        /// who sold
        Merchant = "merchant",
        /// who runs the case
        Platform = "platform",
        /// time
        System = "system",
    }

    /// What a consumer gets.
    Remedy {
        /// everything that can still be refunded
        RefundFull = "refund_full",
        /// a part of it
        RefundPartial = "refund_partial",
        /// a refund, and the goods stay
        RefundOnly = "refund_only",
        /// a refund once the goods are back
        ReturnAndRefund = "return_and_refund",
        /// other goods
        Exchange = "exchange",
        /// the same goods again
        Replace = "replace",
        /// the goods mended
        Repair = "repair",
        /// money beyond the price alone, by bank
        Compensation = "compensation",
        /// the platform pays first and claims it from the merchant
        PlatformAdvance = "platform_advance",
        /// nothing
        Rejected = "rejected",
    }

    /// Who bears what is paid.
    Bearer {
        /// the merchant
        Merchant = "merchant",
        /// the platform, which claims it from the merchant
        Advance = "advance",
        /// the platform
        Platform = "platform",
    }

    /// What came of a case.
    Outcome {
        /// decided for the consumer
        Upheld = "upheld",
        /// the consumer took the merchant's offer
        Settled = "settled",
        /// decided against the consumer
        Rejected = "rejected",
        /// the consumer gave up
        Withdrawn = "withdrawn",
        /// not taken up
        NotAccepted = "not_accepted",
        /// the goods were not sent back in time
        Lapsed = "lapsed",
        /// the network took the money for the payer
        ChargedBack = "charged_back",
        /// the network left the money with the merchant
        ChargebackWon = "chargeback_won",
    }

    /// What the platform found when it verified.
    Finding {
        /// it is as the consumer says
        Confirmed = "confirmed",
        /// it is not
        NotConfirmed = "not_confirmed",
        /// it could not be found out
        Inconclusive = "inconclusive",
    }

    /// What became of a refund that carries out a decision.
    RefundProgress {
        /// at the acquirer
        Open = "open",
        /// the consumer has it
        Done = "done",
        /// the acquirer could not: it goes by bank
        Failed = "failed",
    }
}

impl Status {
    /// Somebody still has to act before it is decided and carried out.
    pub fn is_open(self) -> bool {
        !matches!(
            self,
            Status::NotAccepted | Status::Closed | Status::ClosedFinal | Status::Archived
        )
    }
}

impl Remedy {
    /// Money goes back through the acquirer.
    pub fn refunds(self) -> bool {
        matches!(
            self,
            Remedy::RefundFull
                | Remedy::RefundPartial
                | Remedy::RefundOnly
                | Remedy::ReturnAndRefund
                | Remedy::PlatformAdvance
        )
    }

    /// Goods go to the consumer.
    pub fn ships(self) -> bool {
        matches!(self, Remedy::Exchange | Remedy::Replace | Remedy::Repair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_serde_writes() {
        for status in Status::ALL {
            assert_eq!(serde_json::to_value(status).expect("a word"), status.as_str());
            assert_eq!(Status::parse(status.as_str()), Some(*status));
        }
        for remedy in Remedy::ALL {
            assert_eq!(serde_json::to_value(remedy).expect("a word"), remedy.as_str());
        }
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).expect("a word"), outcome.as_str());
        }
    }
}
