//! The one transition function of a payout: pure, total, and the only place where its status changes.
//!
//! | from | fact | to | journal | event |
//! |---|---|---|---|---|
//! | – | created | pending | J29a | payout.created |
//! | pending | sent to the bank | in_transit | – | payout.updated |
//! | pending, in_transit | debited at our bank | paid | J29b | payout.paid |
//! | pending, in_transit | rejected before the debit | failed | J29c | payout.failed |
//! | pending | canceled | canceled | J29c | payout.canceled |
//! | paid | came back | returned | J29d | payout.failed |
//!
//! A fact that is told again is [`Rejection::AlreadyApplied`]; any other pair is refused. It must never look at a clock, the
//! database or the wire.

use super::rows::Payout;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a payout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Status {
    Pending,
    InTransit,
    Paid,
    Failed,
    Canceled,
    Returned,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 6] = [
        Status::Pending,
        Status::InTransit,
        Status::Paid,
        Status::Failed,
        Status::Canceled,
        Status::Returned,
    ];

    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::InTransit => "in_transit",
            Status::Paid => "paid",
            Status::Failed => "failed",
            Status::Canceled => "canceled",
            Status::Returned => "returned",
        }
    }
}

/// What happened to a payout.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Fact {
    Sent,
    Paid,
    Failed { code: String, message: Option<String> },
    Canceled,
    Returned { code: String, message: Option<String> },
}

impl Fact {
    /// The status it leads to.
    pub fn leads_to(&self) -> Status {
        match self {
            Fact::Sent => Status::InTransit,
            Fact::Paid => Status::Paid,
            Fact::Failed { .. } => Status::Failed,
            Fact::Canceled => Status::Canceled,
            Fact::Returned { .. } => Status::Returned,
        }
    }
}

/// Why a fact does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It was told before.
    #[error("it is known already")]
    AlreadyApplied,
    /// The status does not allow it.
    #[error("a payout that is {} does not allow this", status.as_str())]
    UnexpectedState {
        /// the status it has
        status: Status,
    },
}

/// The payout after the fact.
pub fn apply(payout: &Payout, fact: &Fact, at: Timestamp) -> Result<Payout, Rejection> {
    let to = fact.leads_to();
    if payout.status == to {
        return Err(Rejection::AlreadyApplied);
    }
    let allowed: &[Status] = match fact {
        Fact::Sent | Fact::Canceled => &[Status::Pending],
        Fact::Paid | Fact::Failed { .. } => &[Status::Pending, Status::InTransit],
        Fact::Returned { .. } => &[Status::Paid],
    };
    if !allowed.contains(&payout.status) {
        return Err(Rejection::UnexpectedState { status: payout.status });
    }
    let mut next = payout.clone();
    next.status = to;
    match fact {
        Fact::Sent => next.sent_at = Some(at),
        _ => next.ended_at = Some(at),
    }
    if let Fact::Failed { code, message } | Fact::Returned { code, message } = fact {
        next.failure_code = Some(code.clone());
        next.failure_message.clone_from(message);
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::funds::rows::PayoutDetails;

    fn payout(status: Status) -> Payout {
        let at = Timestamp::from_second(0).unwrap();
        Payout {
            book_id: 1,
            id: "po_1".into(),
            version: 1,
            status,
            amount: 100,
            currency: "usd".into(),
            destination_id: "ba_1".into(),
            automatic: false,
            balance_transaction_id: "txn_1".into(),
            failure_balance_transaction_id: None,
            failure_code: None,
            failure_message: None,
            bank_reference: None,
            arrival_at: at,
            sent_at: None,
            ended_at: None,
            created_at: at,
            details: PayoutDetails::default(),
        }
    }

    #[test]
    fn every_pair_is_the_database_s_too() {
        let failed = |code: &str| Fact::Failed {
            code: code.into(),
            message: None,
        };
        let returned = Fact::Returned {
            code: "account_closed".into(),
            message: None,
        };
        let facts = [Fact::Sent, Fact::Paid, failed("no_account"), Fact::Canceled, returned];
        let mut pairs = Vec::new();
        for from in Status::ALL {
            for fact in &facts {
                match apply(&payout(from), fact, Timestamp::from_second(1).unwrap()) {
                    Ok(next) => pairs.push(format!("('{}', '{}')", from.as_str(), next.status.as_str())),
                    Err(rejection) => {
                        let known = rejection == Rejection::AlreadyApplied;
                        assert_eq!(known, from == fact.leads_to(), "{from:?} {fact:?}");
                    }
                }
            }
        }
        let migration = include_str!("../../migrations/V37__funds.sql");
        let (_, list) = migration.split_once("NOT IN (\n").unwrap();
        let (list, _) = list.split_once(") THEN").unwrap();
        for pair in &pairs {
            assert!(list.contains(pair.as_str()), "{pair}");
        }
        assert_eq!(list.matches("('").count(), pairs.len());
    }
}
