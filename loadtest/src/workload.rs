//! What one arrival does: a sale, or one of the other things that merchants do, as one or two requests.
//!
//! Every payment has an idempotency key and an amount of its own. A scenario never repeats a request on its own account: the
//! replay scenario repeats one on purpose and demands the same payment back.

use crate::audit::Acknowledged;
use crate::client::{Answer, Connection};
use anyhow::Result;
use serde::Deserialize;
use std::time::{Duration, Instant};

/// Which arrivals come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Sales alone: create and confirm with `pm_card_visa`
    Payments,
    /// 65 % sales, 10 % each of manual capture, refund and decline, 5 % replays
    Mixed,
}

/// What one arrival does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// create and confirm, captured at once
    Sale,
    /// the same with manual capture, then a capture of half of it
    Capture,
    /// a sale, then a refund of half of it
    Refund,
    /// a card that the issuer declines
    Decline,
    /// a sale sent twice under one key
    Replay,
}

impl Workload {
    /// What the n-th arrival does.
    pub fn scenario(self, n: u64) -> Scenario {
        match (self, n % 20) {
            (Self::Payments, _) | (Self::Mixed, 0..13) => Scenario::Sale,
            (Self::Mixed, 13 | 14) => Scenario::Capture,
            (Self::Mixed, 15 | 16) => Scenario::Refund,
            (Self::Mixed, 17 | 18) => Scenario::Decline,
            (Self::Mixed, _) => Scenario::Replay,
        }
    }
}

/// How the first request of a scenario ended, and what it learned.
#[derive(Debug)]
pub struct Played {
    /// when the first answer was there
    pub answered: Instant,
    /// the service's own time of the first request
    pub own: Option<u64>,
    /// how it ended
    pub outcome: Outcome,
    /// the payment, once a caller was told of it, with all that was told
    pub acknowledged: Option<Acknowledged>,
    /// how long the second request took, where there is one, and how it ended
    pub second: Option<(Duration, Outcome)>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// as wanted
    Accepted,
    /// declined, as the card was chosen for
    Declined,
    /// accepted, but the acquirer's answer is owed: the sweep will find out
    Processing,
    /// anything else, by class
    Failed(String),
}

#[derive(Deserialize)]
struct Object {
    id: String,
    status: String,
    amount: i64,
    #[serde(default)]
    amount_received: i64,
}

/// Plays a scenario. `key` is unique to this arrival.
pub async fn play(connection: &mut Connection, scenario: Scenario, key: &str, amount: i64) -> Played {
    let manual = scenario == Scenario::Capture;
    let card = match scenario {
        Scenario::Decline => "pm_card_visa_chargeDeclined",
        _ => "pm_card_visa",
    };
    let form = format!(
        "amount={amount}&currency=usd&payment_method={card}&confirm=true&capture_method={}",
        if manual { "manual" } else { "automatic" }
    );
    let first = connection.post("/v1/payment_intents", key, form.clone()).await;
    let answered = Instant::now();
    let own = first.as_ref().ok().and_then(|answer| answer.own);
    let (outcome, object) = judge(first, |object| match object.status.as_str() {
        "succeeded" if !manual => Outcome::Accepted,
        "requires_capture" if manual => Outcome::Accepted,
        "processing" => Outcome::Processing,
        other => Outcome::Failed(format!("200 {other}")),
    });
    let outcome = match outcome {
        Outcome::Failed(class) if scenario == Scenario::Decline && class == "402 card_declined generic_decline" => {
            Outcome::Declined
        }
        other => other,
    };
    let mut played = Played {
        answered,
        own,
        outcome,
        acknowledged: object.map(|object| Acknowledged {
            id: object.id,
            amount: object.amount,
            received: object.amount_received,
            refunded: 0,
            settled: object.status != "processing",
        }),
        second: None,
    };
    let Some(told) = &mut played.acknowledged else {
        return played;
    };
    if played.outcome != Outcome::Accepted {
        return played;
    }
    let half = amount / 2;
    let begun = Instant::now();
    let outcome = match scenario {
        Scenario::Sale | Scenario::Decline => return played,
        Scenario::Replay => {
            let again = connection.post("/v1/payment_intents", key, form).await;
            let replayed = again.as_ref().is_ok_and(|answer| answer.replayed);
            judge(again, |object| match object.id == told.id && replayed {
                true => Outcome::Accepted,
                false => Outcome::Failed("a replay made another payment".to_owned()),
            })
            .0
        }
        Scenario::Capture => {
            let path = format!("/v1/payment_intents/{}/capture", told.id);
            let form = format!("amount_to_capture={half}");
            let (outcome, object) = judge(
                connection.post(&path, &format!("{key}-c"), form).await,
                |object| match object.status.as_str() {
                    "succeeded" => Outcome::Accepted,
                    _ => Outcome::Processing,
                },
            );
            told.received = object.map_or(0, |object| object.amount_received);
            told.settled = outcome == Outcome::Accepted;
            outcome
        }
        Scenario::Refund => {
            let form = format!("payment_intent={}&amount={half}", told.id);
            let (outcome, object) = judge(
                connection.post("/v1/refunds", &format!("{key}-r"), form).await,
                |object| match object.status.as_str() {
                    "succeeded" => Outcome::Accepted,
                    _ => Outcome::Processing,
                },
            );
            told.refunded = object.map_or(0, |object| object.amount);
            outcome
        }
    };
    played.second = Some((begun.elapsed(), outcome));
    played
}

fn judge(answer: Result<Answer>, verdict: impl Fn(&Object) -> Outcome) -> (Outcome, Option<Object>) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return (Outcome::Failed(format!("no answer: {error:#}")), None),
    };
    if !answer.status.is_success() {
        #[derive(Deserialize)]
        struct Envelope {
            error: Refusal,
        }
        #[derive(Deserialize)]
        struct Refusal {
            r#type: String,
            code: Option<String>,
            decline_code: Option<String>,
        }
        let refusal = serde_json::from_slice::<Envelope>(&answer.body).map(|envelope| envelope.error);
        let class = refusal.map_or_else(
            |_| String::new(),
            |refusal| {
                let code = refusal.code.unwrap_or(refusal.r#type);
                refusal
                    .decline_code
                    .map_or(code.clone(), |decline| format!("{code} {decline}"))
            },
        );
        return (Outcome::Failed(format!("{} {class}", answer.status.as_u16())), None);
    }
    match serde_json::from_slice::<Object>(&answer.body) {
        Ok(object) => (verdict(&object), Some(object)),
        Err(_) => (Outcome::Failed("200 with a body that is no object".to_owned()), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_what_its_help_says() {
        let count = |wanted| (0..1000).filter(|n| Workload::Mixed.scenario(*n) == wanted).count();
        let of = |wanted| count(wanted) / 10;
        assert_eq!(
            [
                Scenario::Sale,
                Scenario::Capture,
                Scenario::Refund,
                Scenario::Decline,
                Scenario::Replay
            ]
            .map(of),
            [65, 10, 10, 10, 5]
        );
    }
}
