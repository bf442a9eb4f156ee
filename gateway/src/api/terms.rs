//! `/v1/terms`: fee schedules, terms of service and the rules of cases, in versions.
//!
//! A merchant's key reads what concerns it; a platform's key makes the next version, and another one agrees where the notice
//! is short.

use super::error::{ApiError, shown};
use super::input::{AdminRead, In, PlatformAdminWrite, Reply};
use super::list;
use super::params::{MAX_AMOUNT, Params};
use crate::account::store;
use crate::account::terms::flow::{self, Proposal};
use crate::account::terms::{Content, Kind, Rate};
use crate::call::Answer;
use crate::{id, wire};
use axum::extract::Path;
use jiff::Timestamp;
use rust_decimal::Decimal;

pub(super) async fn create(mut input: In<PlatformAdminWrite>) -> Reply {
    let mut params = input.take();
    let account_id = params.text("account")?;
    let kind = params.choice("kind", &["fee_schedule", "terms_of_service", "case_rules"])?;
    let kind = match kind.ok_or_else(|| ApiError::missing("kind"))?.as_str() {
        "fee_schedule" => Kind::FeeSchedule,
        "case_rules" => Kind::CaseRules,
        _ => Kind::TermsOfService,
    };
    let content = match kind {
        Kind::FeeSchedule => fees(&mut params)?,
        Kind::TermsOfService => text(&mut params)?,
        Kind::CaseRules => super::case_rules::read(&mut params)?,
    };
    let effective_at = match params.integer("effective_at")? {
        None => None,
        Some(seconds) => Some(Timestamp::from_second(seconds).map_err(|_| {
            ApiError::invalid(
                "parameter_invalid_integer",
                "effective_at",
                "Not a moment in time (unix seconds).",
            )
        })?),
    };
    let override_reason = params.text("override_reason")?;
    if override_reason
        .as_ref()
        .is_some_and(|reason| reason.chars().count() > 500)
    {
        return Err(ApiError::invalid(
            "parameter_invalid_string",
            "override_reason",
            "At most 500 characters are accepted.",
        ));
    }
    params.finish()?;
    if let Some(account) = &account_id {
        super::accounts::concerns(&input, account).await?;
    }
    let proposal = Proposal {
        account_id,
        kind,
        content,
        effective_at,
        override_reason,
        by: input.key_id.to_string(),
    };
    input
        .run(|call| async move { flow::propose(call, &proposal).await })
        .await
}

pub(super) async fn index(mut input: In<AdminRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    params.finish()?;
    let call = &input.call;
    for (param, cursor) in [
        ("starting_after", &page.starting_after),
        ("ending_before", &page.ending_before),
    ] {
        if let Some(id) = cursor {
            mine(&input, id, param).await?;
        }
    }
    let client = call.app.reads.get().await?;
    let (rows, has_more) = store::terms_of(&**client, call.book_id(), &page).await?;
    drop(client);
    list::of(call, "/v1/terms", rows.iter().map(wire::terms).collect(), has_more).await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<AdminRead>) -> Reply {
    input.take().finish()?;
    mine(&input, &id, "id").await
}

pub(super) async fn approve(Path(id): Path<String>, mut input: In<PlatformAdminWrite>) -> Reply {
    input.take().finish()?;
    let by = input.key_id.clone();
    input
        .run(|call| async move { flow::decide(call, &id, &by, true).await })
        .await
}

pub(super) async fn reject(Path(id): Path<String>, mut input: In<PlatformAdminWrite>) -> Reply {
    input.take().finish()?;
    let by = input.key_id.clone();
    input
        .run(|call| async move { flow::decide(call, &id, &by, false).await })
        .await
}

/// Terms that concern this merchant: its own, or everyone's. Others are not there.
async fn mine(input: &In<AdminRead>, terms_id: &str, param: &str) -> Reply {
    let missing = || ApiError::not_found("terms", terms_id, param);
    if !id::is_valid(id::prefix::TERMS, terms_id) {
        return Err(missing());
    }
    let client = input.call.app.reads.get().await?;
    let found = store::terms_by_id(&**client, terms_id).await?.ok_or_else(missing)?;
    let everyone = store::platform_book(&**client).await?;
    if found.book_id != input.call.book_id() && Some(found.book_id) != everyone {
        return Err(missing());
    }
    Ok(Answer::ok(&wire::terms(&found)))
}

fn fees(params: &mut Params) -> Result<Content, ApiError> {
    let mut content = Content {
        percent: percent(params, "percent")?,
        ..Content::default()
    };
    if let Some(mut rates) = params.group("rates")? {
        for name in rates.names() {
            let currency = crate::app::currency(&name).map_err(|mut error| {
                error.param = Some(rates.param(&shown(&name)));
                error
            })?;
            let mut rate = rates
                .group(&name)?
                .ok_or_else(|| ApiError::missing(&rates.param(&name)))?;
            let fixed = rate.integer("fixed")?.unwrap_or(0);
            if !(0..=MAX_AMOUNT).contains(&fixed) {
                return Err(ApiError::invalid(
                    "parameter_invalid_integer",
                    rate.param("fixed"),
                    format!("A fixed fee is from 0 to {MAX_AMOUNT} minor units."),
                ));
            }
            let percent = percent(&mut rate, "percent")?.unwrap_or_default();
            rate.finish()?;
            content
                .rates
                .insert(currency.as_str().to_owned(), Rate { percent, fixed });
        }
        rates.finish()?;
    }
    if content.percent.is_none() && content.rates.is_empty() {
        return Err(ApiError::missing("percent"));
    }
    Ok(content)
}

/// `2.9`, as text: a number of JSON would have passed through a float.
pub(super) fn percent(params: &mut Params, name: &str) -> Result<Option<Decimal>, ApiError> {
    let Some(text) = params.text(name)? else {
        return Ok(None);
    };
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && text.bytes().any(|b| b.is_ascii_digit());
    match text.parse::<Decimal>() {
        Ok(percent) if plain && percent <= Decimal::ONE_HUNDRED && percent.scale() <= 4 => Ok(Some(percent)),
        _ => Err(ApiError::invalid(
            "parameter_invalid_value",
            params.param(name),
            "A percentage is a text from \"0\" to \"100\" with at most four decimals, such as \"2.9\".",
        )),
    }
}

fn text(params: &mut Params) -> Result<Content, ApiError> {
    let url = params.required_text("url")?;
    if !url::Url::parse(&url).is_ok_and(|url| url.scheme() == "https" && url.has_host()) {
        return Err(ApiError::invalid(
            "url_invalid",
            "url",
            format!("Not a web address: {}. It begins with https://.", shown(&url)),
        ));
    }
    let digest = params.required_text("digest")?;
    if digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(ApiError::invalid(
            "parameter_invalid_string",
            "digest",
            "The SHA-256 of the text, 64 hexadecimal digits: it proves later what was agreed.",
        ));
    }
    Ok(Content {
        url: Some(url),
        digest: Some(digest.to_ascii_lowercase()),
        ..Content::default()
    })
}
