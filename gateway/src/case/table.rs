//! The life of a case as a table: where it stands, what happens, where it stands then, which journals that may book, who is
//! told, and which timers begin. [`state::apply`](super::state::apply) follows it; the diagram in `docs/cases.md` is made of it.

use super::words::Status;
use ledger::JournalCode;
use std::fmt::Write as _;

macro_rules! acts {
    ($($act:ident $words:literal;)+) => {
        /// What happens to a case.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Act { $(#[doc = $words] $act,)+ }

        impl Act {
            /// All of them.
            pub const ALL: &'static [Act] = &[$(Act::$act,)+];

            /// In words.
            pub const fn as_str(self) -> &'static str {
                match self { $(Act::$act => $words,)+ }
            }
        }
    };
}
acts! {
    Submit "submit";
    Accept "accept";
    NotAccept "not accepted";
    Verified "verified";
    OfferAccepted "offer accepted";
    Contest "contest";
    ResponseOverdue "no answer in time";
    Decide "decide";
    MediationOverdue "mediation takes too long";
    ExecuteRefund "execute: refund, or goods received";
    ExecutePayment "execute: compensation or advance";
    ExchangeLapsed "nothing shipped in time";
    ReturnLapsed "nothing returned in time";
    Confirmed "refund or payment confirmed";
    RefundFailed "refund failed";
    Reject "rejected";
    ExchangeDone "goods shipped";
    Withdraw "withdraw";
    ChargebackOpened "chargeback";
    ChargebackFinal "chargeback final";
    Appeal "appeal";
    AppealDecided "appeal decided";
    WindowOver "time to appeal is over";
    RegulatorRequest "regulator asks";
    RegulatorClosed "regulator has ended";
}

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Audience {
    Consumer,
    Merchant,
    Officer,
    Supervisor,
    Compliance,
}

impl Audience {
    /// The word on the timeline.
    pub fn as_str(self) -> &'static str {
        match self {
            Audience::Consumer => "consumer",
            Audience::Merchant => "merchant",
            Audience::Officer => "officer",
            Audience::Supervisor => "supervisor",
            Audience::Compliance => "compliance",
        }
    }
}

/// What is due to happen to a case; [`Rules::due`](super::rules::Rules::due) says when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Timer {
    Acknowledge,
    VerifyWarning,
    Verify,
    Response,
    Mediation,
    Supervision,
    Execution,
    GoodsReturn,
    Exchange,
    Confirmation,
    Payout,
    BankPayout,
    AppealWindow,
    AppealReview,
    RegulatorAccept,
    RegulatorEnd,
}

impl Timer {
    /// All of them.
    pub const ALL: [Timer; 16] = [
        Timer::Acknowledge,
        Timer::VerifyWarning,
        Timer::Verify,
        Timer::Response,
        Timer::Mediation,
        Timer::Supervision,
        Timer::Execution,
        Timer::GoodsReturn,
        Timer::Exchange,
        Timer::Confirmation,
        Timer::Payout,
        Timer::BankPayout,
        Timer::AppealWindow,
        Timer::AppealReview,
        Timer::RegulatorAccept,
        Timer::RegulatorEnd,
    ];

    /// The deadline's kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Timer::Acknowledge => "acknowledge",
            Timer::VerifyWarning => "verify_warning",
            Timer::Verify => "verify",
            Timer::Response => "response",
            Timer::Mediation => "mediation",
            Timer::Supervision => "supervision",
            Timer::Execution => "execution",
            Timer::GoodsReturn => "goods_return",
            Timer::Exchange => "exchange",
            Timer::Confirmation => "confirmation",
            Timer::Payout => "payout",
            Timer::BankPayout => "bank_payout",
            Timer::AppealWindow => "appeal_window",
            Timer::AppealReview => "appeal_review",
            Timer::RegulatorAccept => "regulator_accept",
            Timer::RegulatorEnd => "regulator_end",
        }
    }

    /// The timer of this kind.
    pub fn parse(kind: &str) -> Option<Timer> {
        Timer::ALL.into_iter().find(|timer| timer.as_str() == kind)
    }

    /// Whether it still means something where the case stands now.
    pub fn lives_in(self, status: Status) -> bool {
        match self {
            Timer::Acknowledge => matches!(status, Status::Submitted | Status::Verifying | Status::MerchantResponse),
            Timer::VerifyWarning | Timer::Verify => matches!(status, Status::Submitted | Status::Verifying),
            Timer::Response => status == Status::MerchantResponse,
            Timer::Mediation | Timer::Supervision => status == Status::Mediation,
            Timer::Execution | Timer::GoodsReturn | Timer::Exchange => status == Status::Decided,
            Timer::Confirmation => status == Status::Executing,
            // what is owed by bank is owed wherever the case stands
            Timer::Payout | Timer::BankPayout => !matches!(status, Status::Closed | Status::Archived),
            Timer::AppealWindow => matches!(status, Status::NotAccepted | Status::Closed | Status::ClosedFinal),
            Timer::AppealReview => status == Status::AppealReview,
            Timer::RegulatorAccept | Timer::RegulatorEnd => status != Status::Archived,
        }
    }
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// where a case stands; empty: there is none yet
    pub from: &'static [Status],
    /// what happens
    pub act: Act,
    /// where it stands then; none: as before
    pub to: Option<Status>,
    /// what that may book
    pub journals: &'static [JournalCode],
    /// who is told
    pub notices: &'static [Audience],
    /// what is due from then on
    pub timers: &'static [Timer],
    /// the event's type
    pub event: &'static str,
}

/// Before the decision is carried out: what a withdrawal ends.
const UNDECIDED: &[Status] = &[
    Status::Submitted,
    Status::Verifying,
    Status::MerchantResponse,
    Status::Mediation,
    Status::Decided,
];
/// What a chargeback suspends.
const SUSPENDABLE: &[Status] = &[
    Status::Submitted,
    Status::Verifying,
    Status::MerchantResponse,
    Status::Mediation,
    Status::Decided,
    Status::Executing,
    Status::AppealReview,
];
/// All but the archive.
const LIVE: &[Status] = &[
    Status::Submitted,
    Status::NotAccepted,
    Status::Verifying,
    Status::MerchantResponse,
    Status::Mediation,
    Status::Decided,
    Status::Executing,
    Status::LinkedSuspended,
    Status::Closed,
    Status::AppealReview,
    Status::ClosedFinal,
];

macro_rules! edges {
    ($([$($from:ident)*] $act:ident => $to:tt | $($journal:ident)* | $($notice:ident)* | $($timer:ident)* | $event:literal;)+) => {
        &[$(Edge {
            from: edges!(@from $($from)*), act: Act::$act, to: edges!(@to $to), journals: &[$(JournalCode::$journal),*],
            notices: &[$(Audience::$notice),*], timers: &[$(Timer::$timer),*], event: $event,
        }),+]
    };
    (@from UNDECIDED) => { UNDECIDED };
    (@from SUSPENDABLE) => { SUSPENDABLE };
    (@from LIVE) => { LIVE };
    (@from $($from:ident)*) => { &[$(Status::$from),*] };
    (@to same) => { None };
    (@to $to:ident) => { Some(Status::$to) };
}

/// The table: from, what happens, to, journals, who is told, timers, event.
#[rustfmt::skip]
pub const EDGES: &[Edge] = edges! {
    []                          Submit           => Submitted        |                              | Consumer Officer            | Acknowledge VerifyWarning Verify | "case.created";
    [Submitted]                 Accept           => Verifying        | J20                          | Consumer Merchant           | VerifyWarning Verify             | "case.accepted";
    [Submitted]                 NotAccept        => NotAccepted      |                              | Consumer                    | AppealWindow                     | "case.not_accepted";
    [NotAccepted Closed]        Appeal           => AppealReview     | J20                          | Consumer Merchant           | AppealReview                     | "case.appealed";
    [NotAccepted Closed ClosedFinal] WindowOver  => Archived         |                              |                             |                                  | "case.archived";
    [Verifying]                 Verified         => MerchantResponse |                              | Merchant Consumer           | Response                         | "case.verified";
    [MerchantResponse]          OfferAccepted    => Decided          |                              | Consumer Merchant           | Execution                        | "case.settled";
    [MerchantResponse]          Contest          => Mediation        |                              | Consumer Merchant           | Mediation                        | "case.contested";
    [MerchantResponse]          ResponseOverdue  => Mediation        |                              | Consumer Merchant           | Mediation                        | "case.response_overdue";
    [Mediation]                 Decide           => Decided          |                              | Consumer Merchant           | Execution                        | "case.decided";
    [Mediation]                 MediationOverdue => same             |                              | Supervisor Consumer Merchant | Supervision                     | "case.escalated";
    [Decided]                   ExecuteRefund    => Executing        | J20 J21 J22 J23a J24         | Consumer                    | Confirmation                     | "case.executing";
    [Decided]                   ExecutePayment   => Executing        | J22 J23a J24                 | Consumer Merchant           | Confirmation                     | "case.executing";
    [Decided]                   ExchangeLapsed   => same             |                              | Consumer Merchant           | Execution                        | "case.exchange_lapsed";
    [Decided]                   ReturnLapsed     => Closed           | J22                          | Consumer Merchant           | AppealWindow                     | "case.closed";
    [Decided]                   Reject           => Closed           | J22                          | Consumer Merchant           | AppealWindow                     | "case.closed";
    [Decided]                   ExchangeDone     => Closed           | J22                          | Consumer Merchant           | AppealWindow                     | "case.closed";
    [Executing]                 Confirmed        => Closed           | J08b J23b                    | Consumer Merchant           | AppealWindow                     | "case.closed";
    [Executing]                 RefundFailed     => same             | J09                          | Consumer Officer            | BankPayout                       | "case.refund_failed";
    [UNDECIDED]                 Withdraw         => Closed           | J22                          | Merchant                    | AppealWindow                     | "case.withdrawn";
    [SUSPENDABLE]               ChargebackOpened => LinkedSuspended  |                              | Consumer Merchant Officer   |                                  | "case.suspended";
    [LinkedSuspended]           ChargebackFinal  => Closed           |                              | Consumer Merchant           | AppealWindow                     | "case.closed";
    [AppealReview]              AppealDecided    => ClosedFinal      | J20 J21 J22 J23a J24 J26     | Consumer Merchant           | AppealWindow                     | "case.appeal_decided";
    [LIVE]                      RegulatorRequest => same             |                              | Compliance                  | RegulatorAccept RegulatorEnd     | "case.regulator_request";
    [LIVE]                      RegulatorClosed  => same             |                              | Compliance                  |                                  | "case.regulator_closed";
};

/// The line for this pair, if the table has it.
pub fn edge(from: Option<Status>, act: Act) -> Option<&'static Edge> {
    EDGES.iter().find(|edge| {
        edge.act == act
            && match from {
                None => edge.from.is_empty(),
                Some(status) => edge.from.contains(&status),
            }
    })
}

/// The table as a state diagram in Mermaid's language.
pub fn diagram() -> String {
    let mut text = String::from("stateDiagram-v2\n");
    for edge in EDGES {
        let froms: Vec<&str> = match edge.from {
            [] => vec!["[*]"],
            LIVE => continue, // anywhere but in the archive, and it leads nowhere else
            from => from.iter().map(|status| status.as_str()).collect(),
        };
        for from in froms {
            let to = edge.to.map_or(from, Status::as_str);
            let _ = writeln!(text, "    {from} --> {to}: {}", edge.act.as_str());
        }
    }
    text.push_str("    archived --> [*]\n");
    text
}

/// The table for people, in Markdown.
pub fn listing() -> String {
    let mut text = String::from(
        "| from | what happens | to | journals | told | timers | event |\n|---|---|---|---|---|---|---|\n",
    );
    let or_dash = |words: Vec<&str>| {
        if words.is_empty() {
            "–".to_owned()
        } else {
            words.join(", ")
        }
    };
    for edge in EDGES {
        let from = match edge.from {
            LIVE => "any but archived".to_owned(),
            from => or_dash(from.iter().map(|status| status.as_str()).collect()),
        };
        let _ = writeln!(
            text,
            "| {from} | {} | {} | {} | {} | {} | `{}` |",
            edge.act.as_str(),
            edge.to.map_or("same", Status::as_str),
            or_dash(edge.journals.iter().map(|code| code.as_str()).collect()),
            or_dash(edge.notices.iter().map(|audience| audience.as_str()).collect()),
            or_dash(edge.timers.iter().map(|timer| timer.as_str()).collect()),
            edge.event,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page is made from the table; `UPDATE_DOCS=1` writes it anew.
    #[test]
    fn the_page_shows_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cases.md");
        let page = std::fs::read_to_string(path).expect("the page");
        let made = format!("```mermaid\n{}```\n\n{}", diagram(), listing());
        let (before, rest) = page.split_once(BEGIN).expect("the mark of the beginning");
        let (shown, after) = rest.split_once(END).expect("the mark of the end");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, format!("{before}{BEGIN}\n{made}{END}{after}")).expect("writes");
            return;
        }
        assert_eq!(shown.trim(), made.trim(), "docs/cases.md is older than the table");
    }

    const BEGIN: &str = "<!-- made from the table -->";
    const END: &str = "<!-- end of what is made -->";

    #[test]
    fn a_pair_has_one_line() {
        for status in Status::ALL {
            for act in Act::ALL {
                let lines = EDGES
                    .iter()
                    .filter(|e| e.act == *act && e.from.contains(status))
                    .count();
                assert!(lines <= 1, "{status:?} {act:?}");
            }
        }
        assert!(LIVE.iter().all(|status| *status != Status::Archived));
        assert!(
            EDGES.iter().all(|edge| !edge.from.contains(&Status::Archived)),
            "sealed"
        );
    }

    #[test]
    fn timers_that_begin_live_where_the_line_leads() {
        for edge in EDGES {
            for timer in edge.timers {
                let leads_to = edge.to.map_or(edge.from.to_vec(), |to| vec![to]);
                for status in leads_to {
                    assert!(timer.lives_in(status), "{timer:?} after {:?}", edge.act);
                }
            }
        }
    }
}
