//! Rules of a merchant: the shipped ones as it has changed them, and its own; checked when saved, tried before they act.
//!
//! A condition that decides must have been tried on history in exactly this wording (`backtest`), so that nobody finds out in
//! production what it stops; the shipped conditions were. Every version is kept. It must never touch the rules in force:
//! they are read anew from the database, here as in every other process.

use super::rows::{RiskRule, RiskRuleVersion};
use crate::api::error::ApiError;
use crate::call::{Answer, Call};
use crate::commit::{Refused, Unit};
use crate::payment::flow::claim;
use crate::payment::store;
use crate::{id, wire};
use anomaly::{Action, Mistake, RULES_MAX, State, defaults};
use serde_json::{Value, json};
use tokio_postgres::types::Type;

const RETRIES: usize = 20;
/// Ids of shipped rules: the same for everyone, and in no table until changed.
const SHIPPED: &str = "rule_default_";

/// What a caller wants of a rule; `None` leaves it.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Change {
    pub name: Option<String>,
    pub code: Option<String>,
    pub action: Option<Action>,
    pub weight: Option<u8>,
    pub condition: Option<String>,
    pub message: Option<String>,
    pub state: Option<State>,
    pub beats_allow: Option<bool>,
}

/// All rules of the call's merchant in the order in which they are evaluated, each with whether it is exactly as shipped.
pub async fn all(call: &Call) -> Result<Vec<(RiskRule, bool)>, ApiError> {
    let rows = {
        let client = call.app.reads.get().await?;
        client
            .query_typed(
                "SELECT row_to_json(t)::text FROM risk.rule t WHERE book_id = $1 AND NOT deleted ORDER BY id",
                &[(&call.book_id(), Type::INT8)],
            )
            .await?
    };
    let mut own = rows.iter().map(store::row).collect::<Result<Vec<RiskRule>, _>>()?;
    let mut rules: Vec<(RiskRule, bool)> = defaults()
        .into_iter()
        .map(|rule| match own.iter().position(|changed| changed.name == rule.name) {
            Some(place) => (own.remove(place), false),
            None => (shipped(call, rule), true),
        })
        .collect();
    rules.extend(own.into_iter().map(|rule| (rule, false)));
    Ok(rules)
}

/// The rule with this id, or with this name.
pub async fn find(call: &Call, reference: &str) -> Result<(RiskRule, bool), ApiError> {
    let found = all(call).await?;
    let found = found
        .into_iter()
        .find(|(rule, _)| rule.id == reference || rule.name == reference);
    found.ok_or_else(|| ApiError::not_found("rule", reference, "rule"))
}

/// The rule with this name, if there is one.
pub async fn named(call: &Call, name: &str) -> Result<Option<RiskRule>, ApiError> {
    let known = all(call).await?.into_iter().find(|(rule, _)| rule.name == name);
    Ok(known.map(|(rule, _)| rule))
}

/// Makes a rule; watched, unless it is to be off.
pub async fn create(call: &Call, change: Change) -> Result<Answer, ApiError> {
    let required = |name: &str| ApiError::missing(name);
    let name = change.name.clone().ok_or_else(|| required("name"))?;
    let known = all(call).await?;
    if known.len() >= RULES_MAX {
        return Err(ApiError::invalid(
            "rule_limit",
            "",
            format!("An account has at most {RULES_MAX} rules: delete what is not in use."),
        ));
    }
    let taken = || {
        ApiError::invalid(
            "rule_exists",
            "name",
            format!("There is a rule with the name {name} already."),
        )
    };
    if known.iter().any(|(rule, _)| rule.name == name) {
        return Err(taken());
    }
    let action = change.action.ok_or_else(|| required("action"))?;
    let mut rule = RiskRule {
        book_id: call.book_id(),
        id: id::new(id::prefix::RISK_RULE),
        version: 1,
        code: change.code.clone().unwrap_or_else(|| name.clone()),
        message: change
            .message
            .clone()
            .unwrap_or_else(|| format!("The rule {name} applies")),
        name: name.clone(),
        action,
        weight: 0,
        condition: change.condition.clone().ok_or_else(|| required("condition"))?,
        state: State::Shadow,
        beats_allow: false,
        deleted: false,
        backtest: None,
        created_at: call.at,
    };
    apply(call, &mut rule, &change, None).await?;
    let unit = Unit::new(call.book_id()).insert(&rule).insert(&version(call, &rule));
    match save(call, unit, &rule, "radar.rule.created").await {
        Err(Refused::Conflict { .. }) => Err(taken()),
        done => done.map_err(ApiError::from),
    }
}

/// Changes a rule; a shipped one becomes this merchant's own from then on.
pub async fn update(call: &Call, rule_id: &str, change: Change) -> Result<Answer, ApiError> {
    modify(call, rule_id, &Edit::Change(change)).await
}

/// Keeps what a trial on history said of this condition.
pub async fn keep_backtest(call: &Call, rule_id: &str, condition: &str, outcome: Value) -> Result<Answer, ApiError> {
    let condition = condition.to_owned();
    modify(call, rule_id, &Edit::Tried { condition, outcome }).await
}

/// Takes a rule away; a shipped one is again as shipped.
pub async fn delete(call: &Call, rule_id: &str) -> Result<Answer, ApiError> {
    let (_, as_shipped) = find(call, rule_id).await?;
    if as_shipped {
        return Err(ApiError::invalid(
            "rule_shipped",
            "",
            "A shipped rule cannot be deleted: set its state to disabled.",
        ));
    }
    modify(call, rule_id, &Edit::Delete).await?;
    Ok(Answer::ok(
        &json!({"id": rule_id, "object": "radar.rule", "deleted": true}),
    ))
}

/// Every version of a rule that was kept, newest first.
pub async fn versions(call: &Call, reference: &str) -> Result<Vec<Value>, ApiError> {
    let (rule, _) = find(call, reference).await?;
    let client = call.app.reads.get().await?;
    let rows = client
        .query_typed(
            "SELECT row_to_json(t)::text FROM risk.rule_version t WHERE book_id = $1 AND id LIKE $2 || '.%'
             ORDER BY created_at DESC, length(id) DESC, id DESC LIMIT 100",
            &[(&call.book_id(), Type::INT8), (&escaped(&rule.id), Type::TEXT)],
        )
        .await?;
    let rows = rows
        .iter()
        .map(store::row)
        .collect::<Result<Vec<RiskRuleVersion>, _>>()?;
    Ok(rows.into_iter().map(|row| row.rule).collect())
}

/// For LIKE: an id has underscores.
fn escaped(id: &str) -> String {
    id.replace('_', "\\_")
}

enum Edit {
    Change(Change),
    Tried { condition: String, outcome: Value },
    Delete,
}

async fn modify(call: &Call, rule_id: &str, edit: &Edit) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let (mut rule, as_shipped) = find(call, rule_id).await?;
        match edit {
            Edit::Change(change) => {
                let before = rule.clone();
                apply(call, &mut rule, change, Some(&before)).await?;
            }
            Edit::Tried { condition, .. } if rule.condition != *condition => {
                return Err(ApiError::invalid(
                    "rule_changed",
                    "",
                    "The rule was changed while it was tried: try it again.",
                ));
            }
            Edit::Tried { outcome, .. } => rule.backtest = Some(outcome.clone()),
            Edit::Delete => rule.deleted = true,
        }
        let unit = Unit::new(call.book_id());
        // a shipped rule that was changed and reset has a row, deleted
        let stored: Option<RiskRule> = {
            let client = call.app.reads.get().await?;
            store::get(&**client, call.book_id(), &rule.id).await?
        };
        let unit = match stored {
            Some(row) => {
                rule.version = row.version;
                unit.update(&mut rule)
            }
            None if as_shipped => unit.insert(&rule),
            None => return Err(ApiError::not_found("rule", rule_id, "rule")),
        };
        let unit = unit.insert(&version(call, &rule));
        let r#type = if rule.deleted {
            "radar.rule.deleted"
        } else {
            "radar.rule.updated"
        };
        match save(call, unit, &rule, r#type).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

async fn save(call: &Call, unit: Unit, rule: &RiskRule, r#type: &str) -> Result<Answer, Refused> {
    let object = wire::rule(rule, false);
    let unit = unit.insert(&call.event(r#type, &object));
    let answer = Answer::ok(&object);
    call.app.commit(claim(call, unit, &rule.id, Some(&answer))).await?;
    Ok(answer)
}

/// Applies a change after checking all of it.
async fn apply(call: &Call, rule: &mut RiskRule, change: &Change, before: Option<&RiskRule>) -> Result<(), ApiError> {
    for (param, word) in [("name", &change.name), ("code", &change.code)] {
        if let Some(word) = word {
            identifier(param, word)?;
        }
    }
    if let Some(name) = &change.name {
        let shipped = rule.id.starts_with(SHIPPED) && *name != rule.name;
        if shipped {
            return Err(ApiError::invalid(
                "parameter_invalid_value",
                "name",
                "A shipped rule keeps its name.",
            ));
        }
        rule.name.clone_from(name);
    }
    if let Some(code) = &change.code {
        rule.code.clone_from(code);
    }
    if let Some(message) = &change.message {
        if message.chars().count() > 300 {
            return Err(ApiError::invalid(
                "parameter_invalid_value",
                "message",
                "A message has at most 300 characters.",
            ));
        }
        rule.message.clone_from(message);
    }
    rule.action = change.action.unwrap_or(rule.action);
    rule.weight = change.weight.unwrap_or(rule.weight);
    rule.beats_allow = change.beats_allow.unwrap_or(rule.beats_allow);
    if let Some(condition) = &change.condition {
        check(call, condition).await?;
        rule.condition.clone_from(condition);
    }
    let state = change.state.unwrap_or(rule.state);
    let decides = state == State::Active && rule.action != Action::Score;
    let same =
        before.is_some_and(|b| b.state == State::Active && b.condition == rule.condition && b.action == rule.action);
    if decides && !same && !tried(rule) {
        return Err(ApiError::invalid(
            "rule_not_backtested",
            "state",
            format!(
                "Before this condition decides, try it on history: POST /v1/radar/rules/{}/backtest, with state shadow or disabled until then.",
                rule.id
            ),
        ));
    }
    rule.state = state;
    Ok(())
}

/// Whether this very condition was tried, or is the shipped one.
fn tried(rule: &RiskRule) -> bool {
    let on_history = rule
        .backtest
        .as_ref()
        .and_then(|b| b.get("condition"))
        .and_then(Value::as_str);
    on_history == Some(&rule.condition)
        || defaults()
            .iter()
            .any(|shipped| shipped.name == rule.name && shipped.condition == rule.condition)
}

/// Refuses a condition that does not compile, with its place.
pub async fn check(call: &Call, condition: &str) -> Result<(), ApiError> {
    // A list made a moment ago may be asked about.
    call.app.policies.refresh(&call.app).await?;
    call.app.policies.of(call.book_id()).check(condition).map_err(refused)
}

fn refused(mistake: Mistake) -> ApiError {
    let Mistake { message, line, column } = mistake;
    ApiError::invalid(
        "rule_condition_invalid",
        "condition",
        format!("Line {line}, character {column}: {message}"),
    )
    .with("position", json!({"line": line, "column": column}))
}

fn identifier(param: &str, word: &str) -> Result<(), ApiError> {
    let fits = word.len() <= 64
        && word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && word.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if fits {
        return Ok(());
    }
    Err(ApiError::invalid(
        "parameter_invalid_value",
        param,
        format!("A {param} is lower-case letters, digits and underscores, a letter first, at most 64."),
    ))
}

fn shipped(call: &Call, rule: anomaly::Rule) -> RiskRule {
    RiskRule {
        book_id: call.book_id(),
        id: format!("{SHIPPED}{}", rule.name),
        version: 1,
        name: rule.name,
        code: rule.code,
        action: rule.action,
        weight: rule.weight,
        condition: rule.condition,
        message: rule.message,
        state: rule.state,
        beats_allow: rule.beats_allow,
        deleted: false,
        backtest: None,
        created_at: call.merchant.created_at,
    }
}

fn version(call: &Call, rule: &RiskRule) -> RiskRuleVersion {
    RiskRuleVersion {
        book_id: rule.book_id,
        id: format!("{}.{}", rule.id, rule.version),
        rule: wire::rule(rule, false),
        changed_by: Some(call.request_id.clone()),
        created_at: call.app.clock.now(),
    }
}
