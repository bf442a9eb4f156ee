//! The bridge between payments and the scorer: what is told to it, what is kept of its verdict.
//!
//! Identities are hashed before they leave this module; the scorer never sees a name, an address or a number. Nothing
//! here decides: the scorer does, and `payment::flow` acts.

pub mod appeals;
pub mod backtest;
pub mod history;
pub mod learn;
pub mod lists;
pub mod models;
pub mod online;
pub mod prices;
pub mod rows;
pub mod rules;
pub mod signals;
pub mod warnings;

mod policy;

pub use policy::{Policies, built_in_lists};

use crate::api::error::ApiError;
use crate::api::params::Params;
use crate::app::{App, Merchant};
use crate::connector::{Approval, Failure};
use crate::payment::rows::{CardFacts, Payment, Risk, RiskContext};
use anomaly::{Attempt, Decision, DeclineKind, Outcome, key};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use std::net::IpAddr;
use std::path::PathBuf;

/// How the scorer is set: `[risk]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// the file that its state is written to, so that a restart need not read the whole history; none for none
    pub snapshot: Option<PathBuf>,
    /// the model that decides, trained by `counterfoil risk train`; none for none
    pub model: Option<PathBuf>,
    /// a model that is only asked, beside it
    pub challenger: Option<PathBuf>,
    /// of a million payments that would be allowed, how many a person looks at all the same
    pub random_reviews_per_million: u32,
    /// hours until an appeal against a block must be answered
    pub appeal_hours: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            snapshot: None,
            model: None,
            challenger: None,
            random_reviews_per_million: 0,
            appeal_hours: 72,
        }
    }
}

/// What the checkout tells about the buyer's side of an attempt. Ids are hashed at once.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Signals {
    pub ip: Option<IpAddr>,
    pub device: Option<u64>,
    pub email: Option<u64>,
    pub terminal: Option<u64>,
    pub off_session: bool,
}

impl Signals {
    /// Reads them where an SDK can put them: `risk_context[ip|device|email|terminal]` (ours; a listing counts as a terminal), the mandate's online acceptance,
    /// `radar_options[session]`, and the metadata keys `customer_ip` and `device_id`.
    pub fn read(
        params: &mut Params,
        metadata: &std::collections::BTreeMap<String, String>,
        email: Option<&str>,
    ) -> Result<Self, ApiError> {
        let mut signals = Self {
            off_session: params.boolean("off_session")?.unwrap_or(false),
            ..Self::default()
        };
        let mut ip = metadata.get("customer_ip").cloned();
        let mut device = metadata.get("device_id").cloned();
        let mut email = email.map(str::to_owned);
        if let Some(mut radar) = params.group("radar_options")? {
            device = radar.text("session")?.or(device);
            radar.finish()?;
        }
        if let Some(mut mandate) = params.group("mandate_data")?
            && let Some(mut acceptance) = mandate.group("customer_acceptance")?
            && let Some(mut online) = acceptance.group("online")?
        {
            ip = online.text("ip_address")?.or(ip);
        }
        if let Some(mut context) = params.group("risk_context")? {
            ip = context.text("ip")?.or(ip);
            device = context.text("device")?.or(device);
            email = context.text("email")?.or(email);
            signals.terminal = context.text("terminal")?.as_deref().map(key);
            context.finish()?;
        }
        signals.ip = match ip {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                ApiError::invalid(
                    "parameter_invalid_value",
                    "risk_context[ip]",
                    "The buyer's IP address cannot be read.",
                )
            })?),
        };
        signals.device = device.as_deref().map(key);
        signals.email = email.as_deref().map(|e| key(&e.trim().to_lowercase()));
        Ok(signals)
    }

    /// What is stored with the attempt.
    pub fn context(&self, payment: &Payment, cvc_provided: bool) -> RiskContext {
        self.of_card(payment.customer_id.as_deref(), cvc_provided)
    }

    /// The same where there is no payment: a card that is set up.
    pub fn of_card(&self, customer_id: Option<&str>, cvc_provided: bool) -> RiskContext {
        RiskContext {
            customer: customer_id.map(key),
            email: self.email,
            ip: self.ip,
            device: self.device,
            terminal: self.terminal,
            off_session: self.off_session,
            cvc_provided,
        }
    }
}

/// The attempt as the scorer sees it.
pub fn attempt(
    at: Timestamp,
    merchant: &Merchant,
    payment: &Payment,
    card: &CardFacts,
    context: &RiskContext,
) -> Attempt {
    let (fingerprint, bin) = (&card.fingerprint, &card.bin);
    facts(
        at,
        merchant.book_id,
        payment.amount,
        &payment.currency,
        fingerprint,
        bin,
        context,
    )
}

/// The same of an attempt that has no payment: a card that is set up.
pub fn facts(
    at: Timestamp,
    book_id: i64,
    amount: i64,
    currency: &str,
    fingerprint: &str,
    bin: &str,
    context: &RiskContext,
) -> Attempt {
    let mut code = [b'x'; 3];
    for (slot, byte) in code.iter_mut().zip(currency.bytes()) {
        *slot = byte;
    }
    Attempt {
        at_ms: at.as_millisecond(),
        merchant: key(&book_id.to_string()),
        terminal: context.terminal,
        amount_minor: amount,
        currency: code,
        exponent: crate::app::currency(currency).map_or(2, ledger::Currency::exponent),
        card: Some(key(fingerprint)),
        bin: bin.parse().ok(),
        customer: context.customer,
        email: context.email,
        ip: context.ip,
        device: context.device,
        cvc_provided: context.cvc_provided,
        off_session: context.off_session,
    }
}

/// The verdict as it is stored and shown.
pub fn stored(verdict: &anomaly::Assessment) -> Risk {
    Risk {
        decision: match verdict.decision {
            Decision::Allow => "allow",
            Decision::Challenge => "challenge",
            Decision::Review => "review",
            Decision::Block => "block",
        }
        .into(),
        score: verdict.score,
        level: match verdict.level {
            anomaly::Level::Normal => "normal",
            anomaly::Level::Elevated => "elevated",
            anomaly::Level::Highest => "highest",
        }
        .into(),
        rule: verdict.rule.as_deref().map(str::to_owned),
        reasons: verdict
            .reasons
            .iter()
            .map(|r| json!({"code": *r.code, "message": r.message, "feature": r.feature, "value": r.value, "contribution": r.contribution}))
            .collect(),
        model: None,
        online: None,
        shapley: Vec::new(),
        shadow: verdict
            .shadow
            .iter()
            .map(|s| json!({"rule": *s.rule, "action": s.action}))
            .collect(),
    }
}

/// What model, rules and lists say of an attempt, what is kept of it, and what they looked at.
pub fn assess(app: &App, facts: &Attempt, book_id: i64) -> (anomaly::Assessment, Risk, anomaly::Features) {
    let _span = tracing::debug_span!("assess").entered();
    let features = app.scorer.features(facts);
    let (said, scored) = app.models.judge(&features).unzip();
    let verdict = app.policies.of(book_id).judge(facts, &features, scored);
    let risk = Risk {
        model: said,
        online: app.models.online(&features),
        ..stored(&verdict)
    };
    app.figures.assessed(&risk.decision);
    (verdict, risk, features)
}

/// Sends a small share of what would be allowed to a person all the same, chosen by chance: without it nobody knows what the
/// scorer lets through. The choice follows from the payment's id and a secret, so that it can be repeated and not foreseen; the
/// share is written down with it, so that estimates can be weighted.
pub fn sample(app: &App, payment_id: &str, risk: &mut Risk) {
    let share = app.risk.random_reviews_per_million;
    if share == 0 || risk.decision != "allow" || risk.rule.is_some() {
        return;
    }
    if !chosen(app.vault.hash_key(&format!("random review {payment_id}")), share) {
        return;
    }
    risk.decision = "review".into();
    risk.rule = Some("random_review".into());
    let message = format!("Chosen by chance: {share} of a million payments are looked at by a person");
    let share = f64::from(share) / 1_000_000.0;
    risk.reasons.push(
        json!({"code": "random_review", "message": message, "feature": "sample", "value": share, "contribution": 0.0}),
    );
}

fn chosen(hash: [u8; 32], per_million: u32) -> bool {
    let first = hash[..8]
        .iter()
        .fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    first % 1_000_000 < u64::from(per_million)
}

/// What the scorer learns from the acquirer's answer.
pub fn outcome(answer: &Result<Approval, Failure>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Approved,
        Err(Failure::Declined(decline)) => Outcome::Declined {
            code: kind(&decline.code, decline.decline_code.as_deref()),
        },
        Err(Failure::NotSent(_) | Failure::Unknown(_) | Failure::Mismatch(_) | Failure::ActionNeeded(_)) => {
            Outcome::Unknown
        }
    }
}

fn kind(code: &str, decline_code: Option<&str>) -> DeclineKind {
    match decline_code.unwrap_or(code) {
        "incorrect_number" | "invalid_number" | "invalid_account" => DeclineKind::IncorrectNumber,
        "incorrect_cvc" | "invalid_cvc" => DeclineKind::IncorrectCvc,
        "expired_card" | "invalid_expiry_year" | "invalid_expiry_month" => DeclineKind::Expired,
        "insufficient_funds" | "card_velocity_exceeded" => DeclineKind::InsufficientFunds,
        "lost_card" | "stolen_card" | "pickup_card" => DeclineKind::LostOrStolen,
        "fraudulent" => DeclineKind::Fraudulent,
        _ => DeclineKind::Generic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_random_share_is_what_it_says_and_grows_by_the_same_payments() {
        let hashes: Vec<[u8; 32]> = (0..200_000u32)
            .map(|n| Sha256::digest(n.to_be_bytes()).into())
            .collect();
        let of = |share| hashes.iter().filter(|hash| chosen(**hash, share)).count();
        assert_eq!((of(0), of(1_000_000)), (0, hashes.len()));
        assert!((1_800..2_200).contains(&of(10_000)), "one in a hundred: {}", of(10_000));
        assert!(
            hashes
                .iter()
                .all(|hash| !chosen(*hash, 10_000) || chosen(*hash, 20_000))
        );
    }
}
