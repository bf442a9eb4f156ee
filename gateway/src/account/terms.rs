//! Fees and terms of service in versions: who proposed them, from when they hold, and what a fee comes to.
//!
//! A change needs thirty days' notice, or a reason and a second person. What was agreed is never rewritten, and each payment
//! keeps what was in force when it was made. It must never book anything: it says how much.

use super::rows::Merchant;
use crate::case::rules::Rules;
use crate::commit::{Row, Table, Versioned};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A change of what is in force is told this long before.
pub const NOTICE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// `gateway.terms`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Terms {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    /// none: the platform's, for everyone without their own
    pub account_id: Option<String>,
    pub kind: Kind,
    /// 1, 2, 3 .. of its kind in its book
    pub number: i32,
    pub status: TermsStatus,
    pub effective_at: Timestamp,
    pub created_at: Timestamp,
    pub created_by: String,
    pub decided_by: Option<String>,
    pub decided_at: Option<Timestamp>,
    /// why the notice is shorter
    pub override_reason: Option<String>,
    pub content: Content,
}

/// What kind of agreement it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Kind {
    FeeSchedule,
    TermsOfService,
    CaseRules,
}

impl Kind {
    /// The word on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::FeeSchedule => "fee_schedule",
            Kind::TermsOfService => "terms_of_service",
            Kind::CaseRules => "case_rules",
        }
    }
}

/// Whether it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum TermsStatus {
    /// waits for the second person
    Proposed,
    Approved,
    Rejected,
}

/// What was agreed: a fee schedule has the first two, terms of service the next two, rules for cases the last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Content {
    /// per cent of the amount, in currencies without a rate of their own
    #[serde(with = "rust_decimal::serde::str_option", skip_serializing_if = "Option::is_none")]
    pub percent: Option<Decimal>,
    /// by currency
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rates: BTreeMap<String, Rate>,
    /// where the text is
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// SHA-256 of the text, hexadecimal
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// how cases are run
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case_rules: Option<Rules>,
}

/// A fee: per cent of the amount, and a fixed part in minor units.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// 0 to 100, at most four decimals
    #[serde(with = "rust_decimal::serde::str")]
    pub percent: Decimal,
    /// minor units
    #[serde(default)]
    pub fixed: i64,
}

impl Rate {
    /// The fee on an amount: the percentage half-even plus the fixed part, never more than the amount. Minor units.
    pub fn fee(&self, amount: i64) -> i64 {
        let part = Decimal::from(amount)
            .checked_mul(self.percent)
            .and_then(|product| product.checked_div(Decimal::ONE_HUNDRED))
            .map(|part| part.round_dp_with_strategy(0, RoundingStrategy::MidpointNearestEven))
            .and_then(|part| part.to_i64())
            .unwrap_or(amount);
        part.saturating_add(self.fixed).clamp(0, amount.max(0))
    }
}

impl Merchant {
    /// What of this kind holds for this merchant at this moment: its own, else the platform's.
    pub fn in_force(&self, kind: Kind, at: Timestamp) -> Option<&Terms> {
        let latest = |own: bool| {
            self.terms
                .iter()
                .filter(|t| t.kind == kind && t.status == TermsStatus::Approved && t.effective_at <= at)
                .filter(|t| (t.book_id == self.book_id) == own)
                .max_by_key(|t| (t.effective_at, t.number))
        };
        latest(true).or_else(|| latest(false))
    }

    /// The fee schedule in force with its rate for this currency; without a schedule there is no fee.
    pub fn rate(&self, currency: &str, at: Timestamp) -> (Option<&Terms>, Rate) {
        let schedule = self.in_force(Kind::FeeSchedule, at);
        let rate = schedule.map(|schedule| {
            let content = &schedule.content;
            let general = || Rate {
                percent: content.percent.unwrap_or_default(),
                fixed: 0,
            };
            content.rates.get(currency).cloned().unwrap_or_else(general)
        });
        (schedule, rate.unwrap_or_default())
    }
}

impl Row for Terms {
    const TABLE: Table = Table::Terms;
    fn book_id(&self) -> i64 {
        self.book_id
    }
    fn id(&self) -> &str {
        &self.id
    }
}

impl Versioned for Terms {
    fn version_mut(&mut self) -> &mut i32 {
        &mut self.version
    }
}

pub mod flow {
    //! Proposing and deciding about terms.

    use super::{Content, Kind, NOTICE, Terms, TermsStatus};
    use crate::account::{flow, store};
    use crate::api::error::ApiError;
    use crate::call::{Answer, Call};
    use crate::commit::{Refused, Unit};
    use crate::event::Event;
    use crate::payment::flow::claim;
    use crate::{id, wire};
    use jiff::Timestamp;

    const RETRIES: usize = 20;

    /// What one person wants to hold.
    #[derive(Clone, Debug)]
    #[allow(missing_docs)]
    pub struct Proposal {
        /// none: for everyone without their own
        pub account_id: Option<String>,
        pub kind: Kind,
        pub content: Content,
        /// none: at once
        pub effective_at: Option<Timestamp>,
        pub override_reason: Option<String>,
        pub by: String,
    }

    /// Makes the next version. It holds from its date; with less than thirty days' notice only after a second person agreed.
    pub async fn propose(call: &Call, proposal: &Proposal) -> Result<Answer, ApiError> {
        for _ in 0..RETRIES {
            let terms = next_version(call, proposal).await?;
            let answer = Answer::ok(&wire::terms(&terms));
            let unit = Unit::new(call.book_id())
                .insert(&terms)
                .insert(&told(call, &terms, "terms.created"));
            match call.app.commit(claim(call, unit, &terms.id, Some(&answer))).await {
                Ok(()) => {
                    forget(call, &terms).await?;
                    return Ok(answer);
                }
                Err(Refused::Conflict { .. }) => continue, // another one took the number
                Err(refused) => return Err(refused.into()),
            }
        }
        Err(Refused::conflict().into())
    }

    async fn next_version(call: &Call, proposal: &Proposal) -> Result<Terms, ApiError> {
        let client = call.app.reads.get().await?;
        let platform = ledger::open_book(&**client, "platform", "Platform").await?.0;
        let book_id = match &proposal.account_id {
            Some(account) => flow::load(call, account).await?.book_id,
            None => platform,
        };
        let before = store::terms(&**client, &[book_id], proposal.kind).await?;
        let of_everyone = store::terms(&**client, &[platform], proposal.kind).await?;
        let effective_at = proposal.effective_at.unwrap_or(call.at);
        if effective_at < call.at {
            return Err(wrong_date(
                "What is agreed holds from now on or later, never from the past.",
            ));
        }
        let standing = |t: &&Terms| t.status != TermsStatus::Rejected;
        if before.iter().filter(standing).any(|t| t.effective_at > effective_at) {
            return Err(wrong_date("A later version is agreed already: choose a date after it."));
        }
        let in_force = before
            .iter()
            .chain(&of_everyone)
            .any(|t| t.status == TermsStatus::Approved);
        let short = in_force && effective_at < call.at + NOTICE;
        if short && proposal.override_reason.is_none() {
            let mut error = wrong_date(
                "A change is told at least 30 days before. Give a later date, or an override_reason; a second key must then approve.",
            );
            error.code = Some("notice_period_too_short".into());
            return Err(error);
        }
        Ok(Terms {
            book_id,
            id: id::new(id::prefix::TERMS),
            version: 1,
            account_id: proposal.account_id.clone(),
            kind: proposal.kind,
            number: before.iter().map(|t| t.number).max().unwrap_or(0).saturating_add(1),
            status: if short {
                TermsStatus::Proposed
            } else {
                TermsStatus::Approved
            },
            effective_at,
            created_at: call.at,
            created_by: proposal.by.clone(),
            decided_by: None,
            decided_at: None,
            override_reason: proposal.override_reason.clone(),
            content: proposal.content.clone(),
        })
    }

    /// The second person's word about terms with a shorter notice; they hold from then at the earliest.
    pub async fn decide(call: &Call, terms_id: &str, by: &str, approved: bool) -> Result<Answer, ApiError> {
        for _ in 0..RETRIES {
            let mut terms = load(call, terms_id).await?;
            if terms.status != TermsStatus::Proposed {
                return Err(ApiError::invalid(
                    "terms_unexpected_state",
                    "",
                    "These terms are decided already: make the next version.",
                ));
            }
            if approved && terms.created_by == by {
                return Err(ApiError::invalid(
                    "second_person_required",
                    "",
                    "Who proposed the terms must not approve them: another key has to.",
                ));
            }
            terms.status = if approved {
                TermsStatus::Approved
            } else {
                TermsStatus::Rejected
            };
            terms.effective_at = terms.effective_at.max(call.at);
            terms.decided_by = Some(by.to_owned());
            terms.decided_at = Some(call.at);
            let unit = Unit::new(call.book_id()).update(&mut terms);
            let answer = Answer::ok(&wire::terms(&terms));
            let unit = unit.insert(&told(call, &terms, "terms.updated"));
            match call.app.commit(claim(call, unit, terms_id, Some(&answer))).await {
                Ok(()) => {
                    forget(call, &terms).await?;
                    return Ok(answer);
                }
                Err(Refused::Conflict { .. }) => continue,
                Err(refused) => return Err(refused.into()),
            }
        }
        Err(Refused::conflict().into())
    }

    /// Terms by their id, whosever they are.
    pub async fn load(call: &Call, terms_id: &str) -> Result<Terms, ApiError> {
        let client = call.app.reads.get().await?;
        store::terms_by_id(&**client, terms_id)
            .await?
            .ok_or_else(|| ApiError::not_found("terms", terms_id, "id"))
    }

    async fn forget(call: &Call, terms: &Terms) -> Result<(), ApiError> {
        if let Some(account) = &terms.account_id {
            call.app.forget_merchant(&flow::load(call, account).await?);
        }
        Ok(())
    }

    fn told(call: &Call, terms: &Terms, r#type: &str) -> Event {
        Event {
            book_id: terms.book_id,
            ..call.event(r#type, &wire::terms(terms))
        }
    }

    fn wrong_date(text: &str) -> ApiError {
        ApiError::invalid("parameter_invalid_integer", "effective_at", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(percent: &str, fixed: i64) -> Rate {
        Rate {
            percent: percent.parse().unwrap(),
            fixed,
        }
    }

    proptest! {
        #[test]
        fn fees_never_exceed_the_amount(amount in 0i64..99_999_999, points in 0i64..1_000_000, fixed in 0i64..10_000) {
            let rate = Rate { percent: Decimal::new(points, 4), fixed };
            let fee = rate.fee(amount);
            prop_assert!((0..=amount).contains(&fee));
            prop_assert!(rate.fee(amount + 1) >= fee, "a larger amount never costs less");
        }

        /// Against integers: half to even of `amount * points / 1,000,000`.
        #[test]
        fn percentages_are_half_even(amount in 0i64..99_999_999, points in 0i64..1_000_000) {
            let (scaled, unit) = (i128::from(amount) * i128::from(points), 1_000_000i128);
            let (whole, rest) = (scaled / unit, scaled % unit);
            let expected = match (rest * 2).cmp(&unit) {
                std::cmp::Ordering::Less => whole,
                std::cmp::Ordering::Greater => whole + 1,
                std::cmp::Ordering::Equal => whole + whole % 2,
            };
            prop_assert_eq!(i128::from(Rate { percent: Decimal::new(points, 4), fixed: 0 }.fee(amount)), expected.min(amount.into()));
        }
    }

    #[test]
    fn fees_round_half_to_even() {
        assert_eq!(rate("2.9", 30).fee(1000), 59);
        assert_eq!(rate("1", 0).fee(50), 0); // 0.5 -> 0
        assert_eq!(rate("1", 0).fee(150), 2); // 1.5 -> 2
        assert_eq!(rate("1", 0).fee(250), 2); // 2.5 -> 2
        assert_eq!(rate("2.9", 30).fee(10), 10);
    }
}
