//! Which acquirer an attempt goes to, and which one after it when the first is certain to have done nothing.
//!
//! [`rules`] is the operators' document, [`health`] what this process has seen of each acquirer. A decision is a list of
//! acquirers in order, the same for the same payment, rules and health; it is stored on the charge before anyone is called. It
//! must never send an attempt to a second acquirer while the first may have taken the money.

pub mod health;
pub mod rules;

use crate::api::error::ApiError;
use crate::connector::{Approval, Capabilities, Failure, Method, Registry};
use arc_swap::ArcSwap;
use deadpool_postgres::Pool;
use health::Health;
use rules::{Query, Rules};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::Type;

/// New rules are followed within this.
pub const RELOAD_EVERY: Duration = Duration::from_secs(2);

/// What was decided for an attempt, as stored on its charge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Decision {
    /// of the rules; none while there are none
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// the rule that matched, by name
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// acquirers in the order in which they are asked
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
    /// a soft decline goes on to the next acquirer, too
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retry_soft_declines: bool,
    /// who was asked before the acquirer that the charge names, and why that was certain to be the end of it
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Tried>,
    /// what the acquirer that the charge names is expected to cost, in minor units of the payment
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_cost: Option<i64>,
}

/// An acquirer that did nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// its name
    pub connector: String,
    /// `not_sent` or `declined`
    pub outcome: String,
    /// the decline's code
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// The rules in force and the health of the acquirers.
#[derive(Debug, Default)]
pub struct Router {
    rules: ArcSwap<(Option<i64>, Rules)>,
    /// of each acquirer, as this process has seen it
    pub health: Health,
}

impl Router {
    /// Reads the newest rules, if they are newer than the ones in force. Rules that cannot be read leave the old ones.
    ///
    /// # Errors
    /// When the database does not answer, or the rules do not fit the acquirers of this process.
    pub async fn reload(&self, pool: &Pool, registry: &Registry) -> anyhow::Result<()> {
        let known = self.rules.load().0.unwrap_or(0);
        let client = pool.get().await?;
        let rows = client
            .query_typed(
                "SELECT version, rules::text FROM gateway.routing WHERE version > $1 ORDER BY version DESC LIMIT 1",
                &[(&known, Type::INT8)],
            )
            .await?;
        let Some(row) = rows.first() else { return Ok(()) };
        let (version, text): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        let rules: Rules = serde_json::from_str(&text)?;
        rules.check()?;
        for name in rules.connectors() {
            if registry.get(name).is_none() {
                tracing::warn!(
                    version,
                    name,
                    "a routing rule names an acquirer that is not enabled here: it is passed over"
                );
            }
        }
        tracing::info!(version, "routing rules in force");
        self.rules.store(Arc::new((Some(version), rules)));
        Ok(())
    }

    /// The acquirers for this payment, or this proof of a card, best first; `id` is its own and throws the dice of the weights.
    ///
    /// # Errors
    /// When no configured acquirer takes payments of this kind.
    pub fn decide(
        &self,
        registry: &Registry,
        id: &str,
        method: Method,
        query: Query<'_>,
    ) -> Result<Decision, ApiError> {
        let rules = self.rules.load();
        let takes = |name: &str| {
            let capabilities: Option<&Capabilities> = registry.get(name).map(|connector| connector.capabilities());
            capabilities.is_some_and(|capabilities| capabilities.takes(method, query.currency))
        };
        let matched = rules.1.find(&query);
        let mut candidates: Vec<String> = match matched {
            Some(rule) => rule
                .order(dice(id))
                .filter(|name| takes(name))
                .map(str::to_owned)
                .collect(),
            None => Vec::new(),
        };
        if candidates.is_empty() {
            // Nobody decided: the first that can, and no second one.
            candidates.extend(registry.names().find(|name| takes(name)).map(str::to_owned));
        }
        // One that seems down is asked last, and only because there may be no other.
        let (up, down): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|name| self.health.may_ask(name));
        let candidates = [up, down].concat();
        if candidates.is_empty() {
            return Err(ApiError::invalid(
                "payment_method_not_available",
                "currency",
                format!("No acquirer takes {} payments in {}.", method.as_str(), query.currency),
            ));
        }
        let expected_cost = rules.1.cost(&candidates[0], query.amount, query.currency);
        Ok(Decision {
            version: rules.0,
            rule: matched.map(|rule| rule.name.clone()),
            candidates,
            retry_soft_declines: matched.is_some_and(|rule| rule.retry_soft_declines),
            attempts: Vec::new(),
            expected_cost,
        })
    }

    /// Who is asked next, after this outcome at `connector`: nobody, unless it is certain that nothing happened there. The
    /// decision then tells the attempt that failed and what the next one costs.
    pub fn next(
        &self,
        decision: &mut Decision,
        connector: &str,
        outcome: &Result<Approval, Failure>,
        amount: i64,
        currency: &str,
    ) -> Option<String> {
        let tried = match outcome {
            Err(Failure::NotSent(_)) => Tried {
                connector: connector.to_owned(),
                outcome: "not_sent".to_owned(),
                code: None,
            },
            Err(Failure::Declined(decline)) if decision.retry_soft_declines && is_soft(decline) => Tried {
                connector: connector.to_owned(),
                outcome: "declined".to_owned(),
                code: decline.decline_code.clone().or_else(|| Some(decline.code.clone())),
            },
            _ => return None,
        };
        let at = decision.candidates.iter().position(|name| name == connector)?;
        let next = decision.candidates.get(at + 1)?.clone();
        decision.attempts.push(tried);
        decision.expected_cost = self.rules.load().1.cost(&next, amount, currency);
        Some(next)
    }
}

/// A decline that says nothing about the card: another way to its bank may succeed.
fn is_soft(decline: &crate::connector::Decline) -> bool {
    let code = decline.decline_code.as_deref().unwrap_or(&decline.code);
    matches!(
        code,
        "issuer_not_available" | "processing_error" | "reenter_transaction" | "try_again_later" | "approve_with_id"
    )
}

/// The same number for the same payment, evenly spread.
fn dice(payment_id: &str) -> u64 {
    let digest: [u8; 32] = Sha256::digest(payment_id.as_bytes()).into();
    u64::from_be_bytes([
        digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
    ])
}

#[cfg(test)]
mod tests;
