//! The acquirer's word for where a dispute stands, and how far along each word is.

use crate::connector::DisputePhase;
use serde::{Deserialize, Serialize};

/// The acquirer's word for where a dispute stands; Stripe's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Status {
    WarningNeedsResponse,
    WarningUnderReview,
    WarningClosed,
    NeedsResponse,
    UnderReview,
    Won,
    Lost,
    Prevented,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 8] = [
        Status::WarningNeedsResponse,
        Status::WarningUnderReview,
        Status::WarningClosed,
        Status::NeedsResponse,
        Status::UnderReview,
        Status::Won,
        Status::Lost,
        Status::Prevented,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::WarningNeedsResponse => "warning_needs_response",
            Status::WarningUnderReview => "warning_under_review",
            Status::WarningClosed => "warning_closed",
            Status::NeedsResponse => "needs_response",
            Status::UnderReview => "under_review",
            Status::Won => "won",
            Status::Lost => "lost",
            Status::Prevented => "prevented",
        }
    }

    /// The status with this word.
    pub fn parse(word: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// No money has moved and none is about to.
    pub fn is_inquiry(self) -> bool {
        matches!(
            self,
            Status::WarningNeedsResponse | Status::WarningUnderReview | Status::WarningClosed
        )
    }

    /// Nothing more is expected (an inquiry may still become a chargeback, and a win may be taken back).
    pub fn is_closed(self) -> bool {
        matches!(
            self,
            Status::WarningClosed | Status::Won | Status::Lost | Status::Prevented
        )
    }

    /// How far along it is within a round; a loss that can still be fought comes before the end.
    pub(super) fn rung(self, phase: DisputePhase) -> i16 {
        match self {
            Status::WarningNeedsResponse => 0,
            Status::WarningUnderReview => 1,
            Status::WarningClosed => 2,
            Status::NeedsResponse => 3,
            Status::UnderReview => 4,
            Status::Lost if phase == DisputePhase::Provisional => 5,
            Status::Won | Status::Lost | Status::Prevented => 6,
        }
    }
}
