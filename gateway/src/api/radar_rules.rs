//! `/v1/radar/rules`: what decides about payments, as data. Ours: at Stripe rules live in the dashboard alone.

use super::error::ApiError;
use super::input::{In, Reply, RiskRead, RiskWrite};
use super::params::Params;
use crate::call::Answer;
use crate::risk::backtest;
use crate::risk::rules::{self, Change};
use crate::wire;
use anomaly::{Action, FEATURES, NAMES, State, Unit};
use axum::extract::Path;
use serde_json::{Value, json};

const ACTIONS: [(&str, Action); 5] = [
    ("score", Action::Score),
    ("allow", Action::Allow),
    ("challenge", Action::Challenge),
    ("review", Action::Review),
    ("block", Action::Block),
];
const STATES: [(&str, State); 3] = [
    ("active", State::Active),
    ("shadow", State::Shadow),
    ("disabled", State::Disabled),
];

pub(super) async fn create(mut input: In<RiskWrite>) -> Reply {
    let change = change(input.take())?;
    input.run(|call| rules::create(call, change)).await
}

pub(super) async fn index(mut input: In<RiskRead>) -> Reply {
    input.take().finish()?;
    let rules = rules::all(&input.call).await?;
    let data: Vec<Value> = rules.iter().map(|(rule, shipped)| wire::rule(rule, *shipped)).collect();
    super::list::of(&input.call, "/v1/radar/rules", data, false).await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<RiskRead>) -> Reply {
    input.take().finish()?;
    let (rule, shipped) = rules::find(&input.call, &id).await?;
    Ok(Answer::ok(&wire::rule(&rule, shipped)))
}

pub(super) async fn update(Path(id): Path<String>, mut input: In<RiskWrite>) -> Reply {
    let change = change(input.take())?;
    input.run(|call| rules::update(call, &id, change)).await
}

pub(super) async fn delete(Path(id): Path<String>, mut input: In<RiskWrite>) -> Reply {
    input.take().finish()?;
    rules::delete(&input.call, &id).await
}

pub(super) async fn backtest(Path(id): Path<String>, mut input: In<RiskWrite>) -> Reply {
    let mut params = input.take();
    let days = params.integer("days")?.unwrap_or(30);
    params.finish()?;
    if !(1..=90).contains(&days) {
        return Err(ApiError::invalid(
            "parameter_invalid_integer",
            "days",
            "Days of history to try the rule on: 1 to 90.",
        ));
    }
    input.run(|call| backtest::keep(call, &id, days)).await
}

pub(super) async fn versions(Path(id): Path<String>, mut input: In<RiskRead>) -> Reply {
    input.take().finish()?;
    let data = rules::versions(&input.call, &id).await?;
    super::list::of(&input.call, &format!("/v1/radar/rules/{id}/versions"), data, false).await
}

pub(super) async fn features(mut input: In<RiskRead>) -> Reply {
    input.take().finish()?;
    let unit = |unit: Unit| {
        match unit {
            Unit::Flag => "true or false",
            Unit::Count => "count",
            Unit::Ratio => "share, 0 to 1",
            Unit::Times => "times",
            Unit::Minor => "minor units of the payment's currency",
            other => return format!("{other:?}").to_lowercase(),
        }
        .to_owned()
    };
    let features = FEATURES.iter().map(
        |line| json!({"id": line.name, "object": "radar.feature", "unit": unit(line.unit), "meaning": line.meaning}),
    );
    let names = NAMES
        .iter()
        .map(|(name, meaning)| json!({"id": name, "object": "radar.feature", "unit": null, "meaning": meaning}));
    super::list::of(
        &input.call,
        "/v1/radar/features",
        features.chain(names).collect(),
        false,
    )
    .await
}

fn change(mut params: Params) -> Result<Change, ApiError> {
    let action = params.choice("action", &ACTIONS.map(|(word, _)| word))?;
    let state = params.choice("state", &STATES.map(|(word, _)| word))?;
    let weight = match params.integer("weight")? {
        None => None,
        Some(weight) => match u8::try_from(weight) {
            Ok(weight) if weight <= 100 => Some(weight),
            _ => {
                return Err(ApiError::invalid(
                    "parameter_invalid_integer",
                    "weight",
                    "A weight is 0 to 100: percent of what is left to 99 that the rule adds to the score.",
                ));
            }
        },
    };
    let change = Change {
        name: params.text("name")?,
        code: params.text("code")?,
        action: action.and_then(|word| ACTIONS.iter().find(|(w, _)| *w == word).map(|(_, action)| *action)),
        weight,
        condition: params.long_text("condition", 4 * anomaly::CONDITION_MAX)?,
        message: params.text("message")?,
        state: state.and_then(|word| STATES.iter().find(|(w, _)| *w == word).map(|(_, state)| *state)),
        beats_allow: params.boolean("beats_allow")?,
    };
    params.finish()?;
    Ok(change)
}
