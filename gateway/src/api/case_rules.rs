//! `case_rules` of `/v1/terms`: how cases are run. What is not given is as in the built-in rules.

use super::error::{ApiError, shown};
use super::params::Params;
use crate::account::terms::Content;
use crate::case::rules::Rules;
use jiff::civil::Date;
use std::collections::BTreeSet;

/// Sets one of the rules.
type Set = fn(&mut Rules, i64);

/// The whole numbers among the rules, by their names.
pub(super) const NUMBERS: &[(&str, Set)] = &[
    ("eligible_days", |rules, n| rules.eligible_days = n),
    ("acknowledge_minutes", |rules, n| rules.acknowledge_minutes = n),
    ("verify_quality_hours", |rules, n| rules.verify_quality_hours = n),
    ("verify_warning_hours", |rules, n| rules.verify_warning_hours = n),
    ("verify_hours", |rules, n| rules.verify_hours = n),
    ("response_hours", |rules, n| rules.response_hours = n),
    ("mediation_days", |rules, n| rules.mediation_days = n),
    ("supervision_days", |rules, n| rules.supervision_days = n),
    ("execution_hours", |rules, n| rules.execution_hours = n),
    ("return_days", |rules, n| rules.return_days = n),
    ("exchange_days", |rules, n| rules.exchange_days = n),
    ("confirm_hours", |rules, n| rules.confirm_hours = n),
    ("payout_days", |rules, n| rules.payout_days = n),
    ("bank_days", |rules, n| rules.bank_days = n),
    ("appeal_days", |rules, n| rules.appeal_days = n),
    ("review_days", |rules, n| rules.review_days = n),
    ("regulator_accept_days", |rules, n| {
        rules.regulator_accept_days = small(n)
    }),
    ("regulator_end_days", |rules, n| rules.regulator_end_days = small(n)),
    ("retention_years", |rules, n| rules.retention_years = n),
    ("compensation_multiple", |rules, n| rules.compensation_multiple = n),
    ("compensation_floor", |rules, n| rules.compensation_floor = n),
    ("advance_max", |rules, n| rules.advance_max = n),
];

/// Out of bounds stays out of bounds: the rules say so.
fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

pub(super) fn read(params: &mut Params) -> Result<Content, ApiError> {
    let mut rules = Rules::default();
    let mut group = params
        .group("case_rules")?
        .ok_or_else(|| ApiError::missing("case_rules"))?;
    for (name, set) in NUMBERS {
        if let Some(number) = group.integer(name)? {
            set(&mut rules, number);
        }
    }
    if let Some(mut calendar) = group.group("calendar")? {
        if let Some(zone) = calendar.text("time_zone")? {
            rules.calendar.time_zone = zone;
        }
        rules.calendar.holidays = days(&mut calendar, "holidays")?;
        rules.calendar.workdays = days(&mut calendar, "workdays")?;
        calendar.finish()?;
    }
    if let Some((name, why)) = rules.fault() {
        return Err(ApiError::invalid("parameter_invalid_integer", group.param(name), why));
    }
    group.finish()?;
    Ok(Content {
        case_rules: Some(rules),
        ..Content::default()
    })
}

fn days(calendar: &mut Params, name: &str) -> Result<BTreeSet<Date>, ApiError> {
    let param = calendar.param(name);
    let texts = calendar.texts(name)?.unwrap_or_default();
    texts
        .iter()
        .map(|text| {
            text.parse().map_err(|_| {
                ApiError::invalid(
                    "parameter_invalid_string",
                    param.clone(),
                    format!("Not a day: {}. Days are written 2026-10-01.", shown(text)),
                )
            })
        })
        .collect()
}
