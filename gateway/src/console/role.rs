//! Roles of the console: who sees which page, and what each may ask of the API when it acts.
//!
//! A role is a fixed set of rights, the same everywhere: pages name the roles that may open them (`pages`), acts go through the
//! API with the scopes that are listed here. It must never be derived from anything that a browser sends.

use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// What a person is here for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// sets things up: merchants, keys, endpoints
    Admin,
    /// keeps it running: webhooks, health, payments as far as help needs it
    Operator,
    /// judges payments, keeps rules and lists
    RiskAnalyst,
    /// keeps the books, pays out, reconciles
    Finance,
    /// answers chargebacks and cases
    DisputeOfficer,
    /// decides what others ask for
    Supervisor,
    /// a merchant's own people: what is theirs, to read
    MerchantReadOnly,
    /// sees everything and changes nothing
    Auditor,
}

use Role::*;

impl Role {
    /// All of them.
    pub const ALL: [Role; 8] = [
        Admin,
        Operator,
        RiskAnalyst,
        Finance,
        DisputeOfficer,
        Supervisor,
        MerchantReadOnly,
        Auditor,
    ];

    /// The word in the database, in `dev.json` and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Admin => "admin",
            Operator => "operator",
            RiskAnalyst => "risk_analyst",
            Finance => "finance",
            DisputeOfficer => "dispute_officer",
            Supervisor => "supervisor",
            MerchantReadOnly => "merchant_read_only",
            Auditor => "auditor",
        }
    }

    /// The scopes that its acts have at the API.
    pub const fn scopes(self) -> &'static [&'static str] {
        match self {
            Admin => &[
                "checkout:read",
                "refunds:write",
                "disputes:read",
                "risk:write",
                "finance:read",
                "admin:write",
            ],
            Operator => &[
                "checkout:read",
                "refunds:write",
                "disputes:read",
                "finance:read",
                "admin:write",
            ],
            RiskAnalyst => &["checkout:read", "refunds:write", "disputes:read", "risk:write"],
            Finance => &["checkout:read", "refunds:write", "disputes:read", "finance:write"],
            DisputeOfficer => &["checkout:read", "refunds:write", "disputes:write", "risk:read"],
            Supervisor => &[
                "checkout:read",
                "refunds:write",
                "disputes:write",
                "risk:write",
                "finance:write",
                "admin:write",
            ],
            MerchantReadOnly | Auditor => &[
                "checkout:read",
                "refunds:read",
                "disputes:read",
                "risk:read",
                "finance:read",
                "admin:read",
            ],
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
            let names: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
            format!("a role is one of {}", names.join(", "))
        })
    }
}

/// Everybody who is signed in.
pub const EVERYONE: &[Role] = &Role::ALL;
/// The platform's own people.
pub const STAFF: &[Role] = &[
    Admin,
    Operator,
    RiskAnalyst,
    Finance,
    DisputeOfficer,
    Supervisor,
    Auditor,
];
/// Who looks into fraud.
pub const RISK: &[Role] = &[Admin, RiskAnalyst, Supervisor, Auditor];
/// Who decides about fraud.
pub const RISK_ACTS: &[Role] = &[Admin, RiskAnalyst, Supervisor];
/// Who looks into disputes.
pub const DISPUTES: &[Role] = &[
    Admin,
    Operator,
    RiskAnalyst,
    Finance,
    DisputeOfficer,
    Supervisor,
    MerchantReadOnly,
    Auditor,
];
/// Who answers them.
pub const DISPUTE_ACTS: &[Role] = &[DisputeOfficer, Supervisor];
/// Who looks into the books.
pub const BOOKS: &[Role] = &[Admin, Finance, Supervisor, Auditor];
/// Who acts on money.
pub const BOOK_ACTS: &[Role] = &[Finance, Supervisor];
/// Who gives money back.
pub const REFUND_ACTS: &[Role] = &[Admin, Operator, RiskAnalyst, Finance, DisputeOfficer, Supervisor];
/// Who sees payouts.
pub const PAYOUTS: &[Role] = &[Admin, Operator, Finance, Supervisor, MerchantReadOnly, Auditor];
/// Who sees how the service is connected.
pub const TECHNICAL: &[Role] = &[Admin, Operator, Supervisor, Auditor];
/// Who changes that.
pub const TECHNICAL_ACTS: &[Role] = &[Admin, Operator];
/// Who keeps merchants.
pub const MERCHANT_ACTS: &[Role] = &[Admin, Supervisor];
/// Who reads the audit log.
pub const AUDIT: &[Role] = &[Admin, Supervisor, Auditor];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Scope;

    #[test]
    fn a_role_is_its_word_and_its_scopes_exist() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            for scope in role.scopes() {
                let (name, right) = scope.split_once(':').expect("a scope and a right");
                assert!(Scope::ALL.iter().any(|scope| scope.as_str() == name), "{scope}");
                assert!(["read", "write"].contains(&right), "{scope}");
            }
        }
    }

    #[test]
    fn readers_write_nothing() {
        for role in [MerchantReadOnly, Auditor] {
            assert!(role.scopes().iter().all(|scope| scope.ends_with(":read")), "{role:?}");
        }
        for acts in [
            RISK_ACTS,
            DISPUTE_ACTS,
            BOOK_ACTS,
            REFUND_ACTS,
            TECHNICAL_ACTS,
            MERCHANT_ACTS,
        ] {
            assert!(!acts.contains(&Auditor) && !acts.contains(&MerchantReadOnly));
        }
    }
}
