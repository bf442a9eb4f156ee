//! The operators' document: rules from top to bottom, the first that matches decides; and what each acquirer costs.
//!
//! ```toml
//! [[rule]]
//! name = "large euro payments"
//! currency = ["eur"]
//! amount_min = 100000
//! split = [{ connector = "iso8583", weight = 80 }, { connector = "stripe", weight = 20 }]
//! then = ["stripe"]
//!
//! [cost.stripe]
//! basis_points = 150
//! fixed = { eur = 25 }
//! ```
//!
//! A condition that is absent matches everything. It must never be half right: a document with one wrong word is refused whole.

use crate::connector::Method;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// in order; the first that matches decides
    pub rule: Vec<Rule>,
    /// by acquirer
    pub cost: BTreeMap<String, Cost>,
}

/// Where payments of one kind go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// for people, and on each charge that it decided
    pub name: String,
    /// lower-case currencies
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub currency: Vec<String>,
    /// `card`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub method: Vec<String>,
    /// `visa`, `mastercard`, ..
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub brand: Vec<String>,
    /// what card numbers begin with: one to six digits
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bin: Vec<String>,
    /// accounts, `acct_..`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merchant: Vec<String>,
    /// minor units, itself included
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_min: Option<i64>,
    /// minor units, itself included
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount_max: Option<i64>,
    /// who is asked first, by weight; the others of the list follow, heaviest first
    pub split: Vec<Share>,
    /// who is asked after them, in order
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<String>,
    /// a decline that says nothing about the card goes on to the next acquirer
    #[serde(default = "yes")]
    pub retry_soft_declines: bool,
}

/// An acquirer's share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// its name
    pub connector: String,
    /// against the others' weights
    #[serde(default = "one")]
    pub weight: u32,
}

/// What an acquirer takes for a payment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cost {
    /// hundredths of a percent of the amount
    pub basis_points: u32,
    /// minor units by currency
    pub fixed: BTreeMap<String, i64>,
}

/// A payment, as rules see it.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Query<'a> {
    pub amount: i64,
    pub currency: &'a str,
    pub method: &'a str,
    pub brand: &'a str,
    pub bin: &'a str,
    pub merchant: &'a str,
}

/// Why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct Wrong {
    place: String,
    problem: String,
}

impl Rules {
    /// Whether every word of it can mean something.
    ///
    /// # Errors
    /// The first that cannot.
    pub fn check(&self) -> Result<(), Wrong> {
        let mut names = BTreeSet::new();
        for (n, rule) in self.rule.iter().enumerate() {
            let wrong = |problem: String| {
                Err(Wrong {
                    place: format!("rule {} ({})", n + 1, rule.name),
                    problem,
                })
            };
            if rule.name.is_empty() || rule.name.len() > 100 || !names.insert(&rule.name) {
                return wrong("name must be 1 to 100 characters and no other rule's".into());
            }
            if rule.split.is_empty() {
                return wrong("split names no acquirer".into());
            }
            if let Some(share) = rule
                .split
                .iter()
                .find(|share| share.weight == 0 || share.weight > 1_000_000)
            {
                return wrong(format!("the weight of {} must be from 1 to 1000000", share.connector));
            }
            if let Some(name) = rule.connectors().find(|name| !CONNECTORS.contains(name)) {
                return wrong(format!(
                    "there is no acquirer {name}; known are {}",
                    CONNECTORS.join(", ")
                ));
            }
            let distinct: BTreeSet<&str> = rule.connectors().collect();
            if distinct.len() != rule.connectors().count() {
                return wrong("an acquirer is named twice".into());
            }
            if let Some(currency) = rule.currency.iter().find(|code| !is_currency(code)) {
                return wrong(format!("{currency} is no currency in lower case"));
            }
            if let Some(method) = rule.method.iter().find(|method| *method != Method::Card.as_str()) {
                return wrong(format!("{method} is no method; known is card"));
            }
            let is_bin = |bin: &String| (1..=6).contains(&bin.len()) && bin.bytes().all(|b| b.is_ascii_digit());
            if let Some(bin) = rule.bin.iter().find(|bin| !is_bin(bin)) {
                return wrong(format!("bin {bin} must be one to six digits"));
            }
            if rule.amount_min.unwrap_or(0) < 0 || rule.amount_max.is_some_and(|max| max < rule.amount_min.unwrap_or(0))
            {
                return wrong("amount_min and amount_max exclude every payment".into());
            }
        }
        for (connector, cost) in &self.cost {
            let wrong = |problem: String| {
                Err(Wrong {
                    place: format!("cost.{connector}"),
                    problem,
                })
            };
            if !CONNECTORS.contains(&connector.as_str()) {
                return wrong(format!(
                    "there is no such acquirer; known are {}",
                    CONNECTORS.join(", ")
                ));
            }
            if cost.basis_points > 10_000 {
                return wrong("basis_points must be at most 10000 (all of it)".into());
            }
            if let Some(code) = cost
                .fixed
                .iter()
                .find(|(code, amount)| !is_currency(code) || **amount < 0)
            {
                return wrong(format!(
                    "fixed.{} must be a currency in lower case with an amount from 0",
                    code.0
                ));
            }
        }
        Ok(())
    }

    /// Every acquirer that it names.
    pub fn connectors(&self) -> impl Iterator<Item = &str> {
        self.rule
            .iter()
            .flat_map(Rule::connectors)
            .chain(self.cost.keys().map(String::as_str))
    }

    /// The rule for this payment.
    pub fn find(&self, query: &Query<'_>) -> Option<&Rule> {
        self.rule.iter().find(|rule| rule.matches(query))
    }

    /// What this acquirer is expected to take, rounded half to even; nothing when nobody said.
    pub fn cost(&self, connector: &str, amount: i64, currency: &str) -> Option<i64> {
        let cost = self.cost.get(connector)?;
        let fixed = cost.fixed.get(currency).copied().unwrap_or(0);
        let money = ledger::Money::new(amount, currency.parse().ok()?);
        money.fee(cost.basis_points, fixed).ok().map(|fee| fee.minor)
    }
}

impl Rule {
    fn matches(&self, query: &Query<'_>) -> bool {
        let one_of = |list: &[String], value: &str| list.is_empty() || list.iter().any(|item| item == value);
        one_of(&self.currency, query.currency)
            && one_of(&self.method, query.method)
            && one_of(&self.brand, query.brand)
            && one_of(&self.merchant, query.merchant)
            && (self.bin.is_empty() || self.bin.iter().any(|bin| query.bin.starts_with(bin.as_str())))
            && self.amount_min.is_none_or(|min| query.amount >= min)
            && self.amount_max.is_none_or(|max| query.amount <= max)
    }

    fn connectors(&self) -> impl Iterator<Item = &str> {
        self.split
            .iter()
            .map(|share| share.connector.as_str())
            .chain(self.then.iter().map(String::as_str))
    }

    /// The acquirers in the order in which they are asked, for this throw of the dice.
    pub fn order(&self, dice: u64) -> impl Iterator<Item = &str> {
        let total: u64 = self.split.iter().map(|share| u64::from(share.weight)).sum();
        let mut left = dice % total.max(1);
        let first = self.split.iter().position(|share| {
            let weight = u64::from(share.weight);
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        });
        let mut shares: Vec<&Share> = self.split.iter().collect();
        let first = first.map(|first| shares.remove(first));
        shares.sort_by_key(|share| std::cmp::Reverse(share.weight));
        first
            .into_iter()
            .chain(shares)
            .map(|share| share.connector.as_str())
            .chain(self.then.iter().map(String::as_str))
    }
}

fn is_currency(code: &str) -> bool {
    code.parse::<ledger::Currency>()
        .is_ok_and(|currency| currency.as_str() == code)
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

/// The acquirers that rules may name, enabled or not.
pub const CONNECTORS: &[&str] = &["stripe", "iso8583"];
