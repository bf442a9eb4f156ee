//! Where a dispute stands in the network's procedure, as a table: [`TABLE`] is the whole of it, and every pair of stage and event that
//! it does not list is refused. The diagram in `docs/disputes.md` is made from it, and a test holds the two together.
//!
//! An alert (TC40, SAFE) is an object of its own, the early fraud warning: it ends when the merchant refunds, dismisses it, or the
//! dispute itself arrives. It must never hold a rule about amounts: those are in [`super::state`].

use super::state::Status;
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$about])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// As it is stored and told.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }
    };
}

words! {
    /// Where a dispute stands.
    Stage {
        /// the network warned of fraud; no dispute yet
        Alert "alert",
        /// refunded, dismissed, or overtaken by a dispute
        AlertClosed "alert_closed",
        /// the issuer asks; no money moves
        InquiryOpen "inquiry_open",
        /// the merchant has answered it
        InquiryReview "inquiry_review",
        /// over, but it may still become a chargeback
        InquiryClosed "inquiry_closed",
        /// a chargeback is announced, its debit not seen yet
        Notified "notified",
        /// the principal was taken; the merchant may answer
        NeedsResponse "needs_response",
        /// the issuer looks at the evidence
        UnderReview "under_review",
        /// the principal is back, and may be taken again until the window is over
        WonProvisional "won_provisional",
        /// the issuer did not yield; pre-arbitration may be filed until the window is over
        LostProvisional "lost_provisional",
        /// the issuer took the principal again, or said that it will
        PrearbOpen "prearb_open",
        /// the merchant filed; the issuer answers
        PrearbFiled "prearb_filed",
        /// the network decides
        Arbitration "arbitration",
        /// over
        WonFinal "won_final",
        /// over
        LostFinal "lost_final",
        /// settled before it became a chargeback
        Prevented "prevented",
    }
}

words! {
    /// What can happen to a dispute.
    Event {
        /// TC40, SAFE
        FraudAlert "fraud_alert",
        /// the merchant gave the money back
        Refunded "refunded",
        /// the merchant stands by the payment
        Dismissed "dismissed",
        /// a dispute of the same charge arrived
        Overtaken "overtaken",
        /// the issuer asks for information
        Inquiry "inquiry",
        /// the answer to an inquiry was sent
        InquiryAnswered "inquiry_answered",
        /// the issuer closed the inquiry, or fell silent
        InquiryEnded "inquiry_ended",
        /// a chargeback is announced
        Notified "notified",
        /// the principal was taken
        Withdrawn "withdrawn",
        /// evidence was submitted
        Submitted "submitted",
        /// lost for good: decided, accepted, or not answered in time
        Lost "lost",
        /// decided for the merchant
        Won "won",
        /// the principal came back
        Reinstated "reinstated",
        /// the issuer upholds, and pre-arbitration can be filed
        Upheld "upheld",
        /// second chargeback or pre-arbitration, announced
        Reopened "reopened",
        /// second chargeback or pre-arbitration, debited
        TakenAgain "taken_again",
        /// pre-arbitration was filed
        Filed "filed",
        /// the issuer declined the pre-arbitration
        Declined "declined",
        /// the time in which the other side could go on is over
        WindowOver "window_over",
        /// settled before it became a chargeback
        Prevented "prevented",
    }
}

/// A line of [`TABLE`].
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// stages before; `None` is a dispute never heard of
    pub from: &'static [Option<Stage>],
    /// what happens
    pub event: Event,
    /// stage after; `None` leaves it as it is
    pub to: Option<Stage>,
    /// journals that it can cause, in their order; which of them depends on what is held already
    pub journals: &'static [&'static str],
    /// what is told to the merchant
    pub notices: &'static [&'static str],
    /// what is waited for afterwards
    pub timer: &'static str,
}

use Stage::*;

/// Nothing was taken and nothing is announced.
const BEFORE: &[Option<Stage>] = &[None, Some(InquiryOpen), Some(InquiryReview), Some(InquiryClosed)];
/// .. or it is announced, or at its first answer: facts may skip what lies between.
const FIRST_ROUND: &[Option<Stage>] = &[
    None,
    Some(InquiryOpen),
    Some(InquiryReview),
    Some(InquiryClosed),
    Some(Notified),
    Some(NeedsResponse),
    Some(UnderReview),
];

macro_rules! rows {
    ($($from:tt $event:ident => $to:tt, [$($journal:literal)*], [$($notice:literal)*], $timer:literal;)+) => {
        &[$(Row {
            from: rows!(@from $from), event: Event::$event, to: rows!(@to $to),
            journals: &[$($journal),*], notices: &[$($notice),*], timer: $timer,
        }),+]
    };
    (@from BEFORE) => { BEFORE };
    (@from FIRST_ROUND) => { FIRST_ROUND };
    (@from [$($stage:ident)+]) => { &[$(rows!(@one $stage)),+] };
    (@one Nothing) => { None };
    (@one $stage:ident) => { Some($stage) };
    (@to same) => { None };
    (@to $stage:ident) => { Some($stage) };
}

/// Stage and event to stage, journals, notices and timer. What is not here is refused.
#[rustfmt::skip]
pub const TABLE: &[Row] = rows! {
    [Nothing] FraudAlert => Alert, [], ["radar.early_fraud_warning.created"], "24 h: refund or not";
    [Alert] Refunded => AlertClosed, ["J08a" "J08b"], ["radar.early_fraud_warning.closed"], "";
    [Alert] Dismissed => AlertClosed, [], ["radar.early_fraud_warning.closed"], "";
    [Alert] Overtaken => AlertClosed, [], ["radar.early_fraud_warning.closed"], "";

    [Nothing] Inquiry => InquiryOpen, [], ["created"], "due_by; reminders 7, 3, 1 days before";
    [Nothing InquiryOpen] InquiryAnswered => InquiryReview, [], ["created" "updated"], "120 d";
    [Nothing InquiryOpen InquiryReview] InquiryEnded => InquiryClosed, [], ["created" "closed"], "";

    BEFORE Notified => Notified, ["J20"], ["created" "updated"], "due_by; reminders 7, 3, 1 days before";
    BEFORE Withdrawn => NeedsResponse, ["J11" "J12" "J11b"], ["created" "updated" "funds_withdrawn"], "due_by; reminders 7, 3, 1 days before";
    [Notified] Withdrawn => NeedsResponse, ["J11" "J12" "J11b" "J22"], ["updated" "funds_withdrawn"], "due_by; reminders 7, 3, 1 days before";
    [UnderReview LostProvisional WonProvisional PrearbOpen PrearbFiled Arbitration Prevented] Withdrawn => same, ["J11" "J12" "J11b" "J22"], ["funds_withdrawn"], "";
    [LostFinal] Withdrawn => same, ["J11" "J12" "J11b" "J22" "J15" "J16"], ["funds_withdrawn"], "";

    BEFORE Submitted => UnderReview, ["J20"], ["created" "updated"], "the scheme's time to decide";
    [Notified NeedsResponse] Submitted => UnderReview, ["J13"], ["updated"], "the scheme's time to decide";
    FIRST_ROUND Lost => LostFinal, ["J20" "J15" "J16"], ["created" "closed"], "";
    FIRST_ROUND Upheld => LostProvisional, ["J20"], ["created" "closed"], "time to file pre-arbitration";
    FIRST_ROUND Won => WonProvisional, ["J22"], ["created" "closed"], "the scheme's window";
    [NeedsResponse UnderReview] Reinstated => WonProvisional, ["J14a" "J13" "J14c" "J20"], ["funds_reinstated" "closed"], "the scheme's window";
    [WonProvisional Prevented WonFinal] Reinstated => same, ["J14a" "J13" "J14c" "J20" "J27"], ["funds_reinstated"], "";

    [WonProvisional] Reopened => PrearbOpen, ["J20"], ["updated"], "due_by; reminders 7, 3, 1 days before";
    [WonProvisional] TakenAgain => PrearbOpen, ["J14b" "J13" "J11b"], ["updated" "funds_withdrawn"], "due_by; reminders 7, 3, 1 days before";
    [PrearbOpen Arbitration] TakenAgain => same, ["J14b" "J13" "J11b" "J22"], ["funds_withdrawn"], "";
    [LostFinal] TakenAgain => same, ["J14b" "J13" "J11b" "J22" "J15" "J16"], ["funds_withdrawn"], "";
    [WonProvisional] WindowOver => WonFinal, ["J14c"], ["updated"], "";

    [LostProvisional] Filed => PrearbFiled, ["J13"], ["updated"], "the issuer's time to answer";
    [LostProvisional] WindowOver => LostFinal, ["J15" "J16"], ["updated"], "";
    [LostProvisional] Lost => LostFinal, ["J15" "J16"], ["updated"], "";
    [LostProvisional PrearbFiled PrearbOpen Arbitration] Reinstated => WonFinal, ["J14a" "J13" "J14c"], ["funds_reinstated" "closed"], "";
    [LostProvisional PrearbFiled PrearbOpen Arbitration] Won => WonFinal, ["J22" "J14c"], ["closed"], "";
    [PrearbFiled] Declined => Arbitration, ["J13"], ["updated"], "the network's ruling";
    [PrearbOpen] Submitted => Arbitration, ["J13"], ["updated"], "the network's ruling";
    [PrearbFiled PrearbOpen Arbitration] Lost => LostFinal, ["J15" "J16"], ["closed"], "";

    [WonProvisional] Prevented => Prevented, ["J14c"], ["closed"], "";
    FIRST_ROUND Prevented => Prevented, ["J22"], ["created" "closed"], "";

    [LostFinal] Reinstated => same, ["J27"], ["funds_reinstated"], "a person decides within 1 d";
    [WonFinal Prevented] TakenAgain => same, ["J27" "J13"], ["funds_withdrawn"], "a person decides within 1 d";
    [WonFinal] Withdrawn => same, ["J27" "J12"], ["funds_withdrawn"], "a person decides within 1 d";
};

/// The stage after this event, or `None` where the table has no such line.
pub fn next(from: Option<Stage>, event: Event) -> Option<Stage> {
    let row = TABLE
        .iter()
        .find(|row| row.event == event && row.from.contains(&from))?;
    row.to.or(from)
}

impl Stage {
    /// The acquirer's word that says the same.
    pub fn word(self) -> Option<Status> {
        Some(match self {
            Alert | AlertClosed => return None,
            InquiryOpen => Status::WarningNeedsResponse,
            InquiryReview => Status::WarningUnderReview,
            InquiryClosed => Status::WarningClosed,
            Notified | NeedsResponse | PrearbOpen => Status::NeedsResponse,
            UnderReview | PrearbFiled | Arbitration => Status::UnderReview,
            WonProvisional | WonFinal => Status::Won,
            LostProvisional | LostFinal => Status::Lost,
            Prevented => Status::Prevented,
        })
    }

    /// The round of answers that is open now: each takes one answer.
    pub fn round(self) -> Option<i16> {
        match self {
            InquiryOpen => Some(1),
            Notified | NeedsResponse => Some(2),
            LostProvisional | PrearbOpen => Some(3),
            _ => None,
        }
    }

    /// The network has debited, or is about to.
    pub(super) fn debit_expected(self) -> bool {
        matches!(
            self,
            Notified
                | NeedsResponse
                | UnderReview
                | LostProvisional
                | LostFinal
                | PrearbOpen
                | PrearbFiled
                | Arbitration
        )
    }

    /// Nothing more is expected of the network.
    pub fn is_final(self) -> bool {
        matches!(self, AlertClosed | WonFinal | LostFinal | Prevented)
    }
}

/// The table as a state diagram in Mermaid's words, for `docs/disputes.md`.
pub fn diagram() -> String {
    let mut lines = vec!["stateDiagram-v2".to_owned()];
    for row in TABLE {
        for from in row.from {
            let left = from.map_or("[*]", Stage::as_str);
            let right = row.to.or(*from).map_or("[*]", Stage::as_str);
            let money = if row.journals.is_empty() {
                String::new()
            } else {
                format!(" / {}", row.journals.join(" "))
            };
            lines.push(format!("    {left} --> {right}: {}{money}", row.event.as_str()));
        }
    }
    lines.join("\n")
}

/// The table as a table in Markdown.
pub fn as_markdown() -> String {
    let mut lines = vec![
        "| from | event | to | journals | events | then |".to_owned(),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    for row in TABLE {
        let from: Vec<&str> = row.from.iter().map(|s| s.map_or("–", Stage::as_str)).collect();
        let told: Vec<String> = row
            .notices
            .iter()
            .map(|n| {
                if n.contains('.') {
                    format!("`{n}`")
                } else {
                    format!("`charge.dispute.{n}`")
                }
            })
            .collect();
        lines.push(format!(
            "| {} | {} | {} | {} | {} | {} |",
            from.join(", "),
            row.event.as_str(),
            row.to.map_or("same", Stage::as_str),
            if row.journals.is_empty() {
                "–".to_owned()
            } else {
                row.journals.join(" ")
            },
            told.join(", "),
            if row.timer.is_empty() { "–" } else { row.timer },
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pair_is_listed_twice_and_words_are_serdes() {
        for stage in Stage::ALL.iter().copied().map(Some).chain([None]) {
            for event in Event::ALL {
                let lines = TABLE
                    .iter()
                    .filter(|r| r.event == *event && r.from.contains(&stage))
                    .count();
                assert!(lines <= 1, "{stage:?} {event:?}");
            }
        }
        for stage in Stage::ALL {
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.as_str());
        }
    }

    #[test]
    fn the_page_shows_this_table() {
        let page = include_str!("../../../docs/disputes.md");
        for (what, made) in [("diagram", diagram()), ("table", as_markdown())] {
            assert!(
                page.contains(&made),
                "docs/disputes.md has an old {what}; it should hold:\n{made}"
            );
        }
    }
}
