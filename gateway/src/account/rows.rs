//! The row of a merchant's account, field for column, and what must be on file.

use super::state::Status;
use super::terms::Terms;
use crate::api::error::ApiError;
use crate::commit::{Row, Table, Versioned};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// `gateway.merchant`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Merchant {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    /// for customers: the trading name
    pub name: String,
    pub status: Status,
    pub status_reason: Option<String>,
    pub country: String,
    pub default_currency: String,
    pub created_at: Timestamp,
    /// who filed the application: a key's id
    pub submitted_by: Option<String>,
    /// who made the last decision: a key's id, or [`SYSTEM`](super::job::SYSTEM)
    pub decided_by: Option<String>,
    /// who asked for the end of the account; another one must agree
    pub offboarding_by: Option<String>,
    /// by when it must be examined again
    pub reverify_at: Option<Timestamp>,
    pub payouts_paused: bool,
    /// days from sale until available; none: the service's own setting
    pub delay_days: Option<i16>,
    pub payout_interval: Interval,
    /// of weekly payouts: 1 Monday .. 7 Sunday
    pub payout_weekday: Option<i16>,
    /// part of what becomes available that is kept, in hundredths of a per cent
    pub reserve_bps: i32,
    /// for how long it is kept
    pub reserve_days: i16,
    pub details: MerchantDetails,
    /// approved terms, its own and the platform's; read along, never written with the account
    #[serde(default, skip_serializing)]
    pub terms: Vec<Terms>,
}

/// How often a merchant is paid out without asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Interval {
    #[default]
    Manual,
    Daily,
    Weekly,
}

impl Interval {
    /// The word on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Interval::Manual => "manual",
            Interval::Daily => "daily",
            Interval::Weekly => "weekly",
        }
    }
}

/// What is on file about a merchant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct MerchantDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub business_type: Option<String>,
    pub company: Company,
    pub business_profile: BusinessProfile,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_policy: Option<ReturnPolicy>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// Who the merchant is in law.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case")]
#[allow(missing_docs)]
pub struct Company {
    /// the legal name: what a payment names as its payee
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// number of the business licence
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_number: Option<String>,
    /// who issued the licence
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_authority: Option<String>,
    /// when the licence ends; the account is examined again by then
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Value>,
}

/// How customers know and reach the merchant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct BusinessProfile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub support_email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub support_phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub support_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What the merchant promises about returns. Every change makes the next version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ReturnPolicy {
    pub version: u32,
    /// days from receipt of the goods
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_days: Option<i64>,
    /// e-mail address or telephone number
    pub contact: String,
    /// where goods are sent back to
    pub address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Merchant {
    /// What must be on file before the account may be active, and is not: Stripe's dotted names.
    pub fn missing(&self) -> Vec<&'static str> {
        let details = &self.details;
        let address = |part: &str| details.company.address.as_ref().and_then(|a| a.get(part)?.as_str());
        let given = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
        let policy = details.return_policy.as_ref();
        [
            ("business_profile.name", !self.name.is_empty()),
            (
                "business_profile.support_email",
                given(details.business_profile.support_email.as_deref()),
            ),
            ("company.address.city", given(address("city"))),
            ("company.address.line1", given(address("line1"))),
            ("company.name", given(details.company.name.as_deref())),
            (
                "company.registration_number",
                given(details.company.registration_number.as_deref()),
            ),
            ("return_policy.address", given(policy.map(|p| p.address.as_str()))),
            ("return_policy.contact", given(policy.map(|p| p.contact.as_str()))),
            (
                "return_policy.window_days",
                policy.is_some_and(|p| p.window_days.is_some()),
            ),
        ]
        .into_iter()
        .filter(|(_, given)| !given)
        .map(|(name, _)| name)
        .collect()
    }

    /// Only active merchants take payments (seed of the rule: consumer law on platform operators).
    pub fn may_charge(&self) -> Result<(), ApiError> {
        if self.status == Status::Active {
            return Ok(());
        }
        Err(ApiError::forbidden(
            "merchant_not_active",
            format!(
                "The account {} is {} and cannot take payments.",
                self.id,
                self.status.as_str()
            ),
        ))
    }

    /// From sale until available.
    pub fn settlement_delay(&self, usual: SignedDuration) -> SignedDuration {
        self.delay_days
            .map_or(usual, |days| SignedDuration::from_hours(24 * i64::from(days)))
    }

    /// Whether money may be paid out to it.
    pub fn payouts_enabled(&self) -> bool {
        self.status == Status::Active && !self.payouts_paused
    }
}

impl Row for Merchant {
    const TABLE: Table = Table::Merchant;
    fn book_id(&self) -> i64 {
        self.book_id
    }
    fn id(&self) -> &str {
        &self.id
    }
}

impl Versioned for Merchant {
    fn version_mut(&mut self) -> &mut i32 {
        &mut self.version
    }
}
