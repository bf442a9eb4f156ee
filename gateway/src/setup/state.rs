//! The row of a setup intent, and the one transition function: pure, total.
//!
//! | from | fact | to | events |
//! |---|---|---|---|
//! | requires_payment_method, requires_confirmation | attempt started | processing | – |
//! | processing | action required | requires_action | setup_intent.requires_action |
//! | processing, requires_action | proven | succeeded | setup_intent.succeeded |
//! | processing, requires_action | refused | requires_payment_method | setup_intent.setup_failed |
//! | requires_payment_method, requires_confirmation, requires_action | canceled | canceled | setup_intent.canceled |
//!
//! It must never look at a clock, the database or the wire.

use crate::api::error::ApiError;
use crate::commit::{Digest, Row, Table, Versioned};
use crate::payment::rows::RiskContext;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// `gateway.setup_intent`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SetupIntent {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub status: SetupStatus,
    pub usage: String,
    pub customer_id: Option<String>,
    pub payment_method_id: Option<String>,
    pub attempts: i16,
    pub connector: Option<String>,
    pub acquirer_id: Option<String>,
    pub request_key: Option<Digest>,
    pub swept: i16,
    pub check_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub details: SetupDetails,
}

/// What describes a setup intent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct SetupDetails {
    pub metadata: BTreeMap<String, String>,
    pub description: Option<String>,
    pub return_url: Option<String>,
    pub request_three_d_secure: Option<String>,
    pub automatic_payment_methods: Option<Value>,
    pub next_action: Option<Value>,
    pub cancellation_reason: Option<String>,
    pub last_setup_error: Option<Value>,
    /// what the scorer saw of the running attempt
    pub context: RiskContext,
    /// which acquirer the running attempt goes to, and why
    pub routing: crate::routing::Decision,
    /// when the running attempt began
    pub attempted_at: Option<Timestamp>,
    /// random part of the client secret
    pub client_secret: String,
    /// random: the last part of the address that the payer comes back to
    pub return_token: String,
}

/// Where a setup intent stands; Stripe's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum SetupStatus {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    Canceled,
    Succeeded,
}

impl SetupStatus {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            SetupStatus::RequiresPaymentMethod => "requires_payment_method",
            SetupStatus::RequiresConfirmation => "requires_confirmation",
            SetupStatus::RequiresAction => "requires_action",
            SetupStatus::Processing => "processing",
            SetupStatus::Canceled => "canceled",
            SetupStatus::Succeeded => "succeeded",
        }
    }
}

impl Row for SetupIntent {
    const TABLE: Table = Table::SetupIntent;
    fn book_id(&self) -> i64 {
        self.book_id
    }
    fn id(&self) -> &str {
        &self.id
    }
}

impl Versioned for SetupIntent {
    fn version_mut(&mut self) -> &mut i32 {
        &mut self.version
    }
}

impl SetupIntent {
    /// Our name of the running attempt at the acquirer, which is its idempotency key there.
    pub fn reference(&self) -> String {
        format!("{}:{}", self.id, self.attempts)
    }
}

/// A fact about a setup intent.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Fact {
    AttemptStarted { payment_method_id: String },
    ActionRequired { next_action: Value },
    Proven,
    Refused { error: Value },
    Canceled { reason: Option<String> },
}

/// Why a fact does not fit: the status does not allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a setup intent with status {} does not allow this", .0.as_str())]
pub struct Rejection(pub SetupStatus);

/// The setup intent after the fact.
pub fn apply(setup: &SetupIntent, fact: &Fact) -> Result<SetupIntent, Rejection> {
    use SetupStatus::{Canceled, Processing, RequiresAction, RequiresConfirmation, RequiresPaymentMethod, Succeeded};
    let mut next = setup.clone();
    let allowed: &[SetupStatus] = match fact {
        Fact::AttemptStarted { .. } => &[RequiresPaymentMethod, RequiresConfirmation],
        Fact::ActionRequired { .. } => &[Processing],
        Fact::Proven | Fact::Refused { .. } => &[Processing, RequiresAction],
        Fact::Canceled { .. } => &[RequiresPaymentMethod, RequiresConfirmation, RequiresAction],
    };
    if !allowed.contains(&setup.status) {
        return Err(Rejection(setup.status));
    }
    next.details.next_action = None;
    match fact {
        Fact::AttemptStarted { payment_method_id } => {
            next.status = Processing;
            next.payment_method_id = Some(payment_method_id.clone());
            next.attempts = setup.attempts.saturating_add(1);
            next.acquirer_id = None;
            next.details.last_setup_error = None;
        }
        Fact::ActionRequired { next_action } => {
            next.status = RequiresAction;
            next.details.next_action = Some(next_action.clone());
        }
        Fact::Proven => next.status = Succeeded,
        Fact::Refused { error } => {
            next.status = RequiresPaymentMethod;
            next.payment_method_id = None;
            next.details.last_setup_error = Some(error.clone());
        }
        Fact::Canceled { reason } => {
            next.status = Canceled;
            next.details.cancellation_reason.clone_from(reason);
        }
    }
    Ok(next)
}

impl From<Rejection> for ApiError {
    fn from(Rejection(status): Rejection) -> Self {
        ApiError::invalid(
            "setup_intent_unexpected_state",
            "",
            format!(
                "This SetupIntent's status does not allow this: it is `{}`.",
                status.as_str()
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SetupStatus::*;

    fn setup(status: SetupStatus) -> SetupIntent {
        SetupIntent {
            book_id: 1,
            id: "seti_1".into(),
            version: 1,
            status,
            usage: "off_session".into(),
            customer_id: None,
            payment_method_id: None,
            attempts: 0,
            connector: None,
            acquirer_id: None,
            request_key: None,
            swept: 0,
            check_at: None,
            created_at: Timestamp::UNIX_EPOCH,
            details: SetupDetails::default(),
        }
    }

    #[test]
    fn each_status_accepts_its_facts_and_no_other() {
        let facts = [
            Fact::AttemptStarted {
                payment_method_id: "pm_1".into(),
            },
            Fact::ActionRequired {
                next_action: Value::Null,
            },
            Fact::Proven,
            Fact::Refused { error: Value::Null },
            Fact::Canceled { reason: None },
        ];
        for (status, accepted) in [
            (RequiresPaymentMethod, &[0, 4][..]),
            (RequiresConfirmation, &[0, 4]),
            (Processing, &[1, 2, 3]),
            (RequiresAction, &[2, 3, 4]),
            (Canceled, &[]),
            (Succeeded, &[]),
        ] {
            for (index, fact) in facts.iter().enumerate() {
                let outcome = apply(&setup(status), fact);
                assert_eq!(outcome.is_ok(), accepted.contains(&index), "{status:?} {fact:?}");
            }
        }
    }

    #[test]
    fn each_attempt_has_a_reference_of_its_own() {
        let first = apply(
            &setup(RequiresConfirmation),
            &Fact::AttemptStarted {
                payment_method_id: "pm_1".into(),
            },
        )
        .unwrap();
        let refused = apply(&first, &Fact::Refused { error: Value::Null }).unwrap();
        let second = apply(
            &refused,
            &Fact::AttemptStarted {
                payment_method_id: "pm_2".into(),
            },
        )
        .unwrap();
        assert_eq!(
            (first.reference().as_str(), second.reference().as_str()),
            ("seti_1:1", "seti_1:2")
        );
    }
}
