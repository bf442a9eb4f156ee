//! `/v1/account` and `/v1/accounts`: merchants, and what the platform decides about them.
//!
//! A merchant's key describes and submits its own account. A platform's key may make accounts, look at all of them, and
//! decide; never about the account it belongs to, and never about what it filed itself.

use super::error::{ApiError, shown};
use super::input::{AdminRead, AdminWrite, In, PlatformAdminRead, PlatformAdminWrite, Reply, Right};
use super::params::Params;
use super::{list, payment_intents};
use crate::account::flow::{self, NewAccount};
use crate::account::rows::{Interval, Merchant, MerchantDetails, ReturnPolicy};
use crate::account::state::{Fact, Status};
use crate::account::store;
use crate::call::Answer;
use crate::case::consequence;
use crate::payment::flow::merge_metadata;
use crate::{id, wire};
use axum::extract::Path;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// Until the next examination, when nobody says otherwise.
const REVERIFY_AFTER: SignedDuration = SignedDuration::from_hours(24 * 365);

pub(super) async fn own(mut input: In<AdminRead>) -> Reply {
    input.take().finish()?;
    Ok(Answer::ok(&wire::account(&input.call.merchant)))
}

/// Its own account; a platform's key may name any.
pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<AdminRead>) -> Reply {
    input.take().finish()?;
    concerns(&input, &id).await?;
    Ok(Answer::ok(&wire::account(&flow::load(&input.call, &id).await?)))
}

/// How its cases speak of it: a grade with its reasons, the figures, and the measures taken.
pub(super) async fn standing(Path(id): Path<String>, mut input: In<AdminRead>) -> Reply {
    input.take().finish()?;
    concerns(&input, &id).await?;
    let account = flow::load(&input.call, &id).await?;
    let client = input.call.app.reads.get().await?;
    let figures = consequence::figures(&**client, account.book_id, input.call.at).await?;
    let taken = consequence::sanctions(&**client, account.book_id).await?;
    let (grade, reasons) = consequence::grade(&figures);
    Ok(Answer::ok(&json!({
        "id": account.id,
        "object": "account_standing",
        "figures": figures,
        "grade": grade,
        "reasons": reasons,
        "sanctions": taken.iter().map(consequence::shown).collect::<Vec<_>>(),
        "steps_due": consequence::due(&figures),
        "vamp_bps": figures.vamp_bps(),
    })))
}

pub(super) async fn index(mut input: In<PlatformAdminRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let status = params.choice("status", &Status::ALL.map(Status::as_str))?;
    params.finish()?;
    let call = &input.call;
    let client = call.app.reads.get().await?;
    for (param, cursor) in [
        ("starting_after", &page.starting_after),
        ("ending_before", &page.ending_before),
    ] {
        if let Some(id) = cursor
            && store::by_id(&**client, id).await?.is_none()
        {
            return Err(ApiError::not_found("account", id, param));
        }
    }
    let (accounts, has_more) = store::list(&**client, &page, status.as_deref()).await?;
    drop(client);
    let data = accounts.iter().map(wire::account).collect();
    list::of(call, "/v1/accounts", data, has_more).await
}

pub(super) async fn create(mut input: In<PlatformAdminWrite>) -> Reply {
    let mut params = input.take();
    let country = params
        .text("country")?
        .unwrap_or_else(|| input.call.merchant.country.clone());
    if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(ApiError::invalid(
            "country_unsupported",
            "country",
            format!(
                "Not a country: {}. Use two capital letters (ISO 3166) such as US.",
                shown(&country)
            ),
        ));
    }
    let default_currency = currency(&mut params)?.unwrap_or_else(|| input.call.merchant.default_currency.clone());
    // Stripe's kinds of account differ in who shows a dashboard; there is one kind here.
    params.choice("type", &["standard", "express", "custom"])?;
    params.ignore(&["controller", "capabilities"]);
    let mut change = Change::read(&mut params)?;
    params.finish()?;
    if !change.funds.is_empty() {
        return Err(ApiError::invalid(
            "parameter_invalid_value",
            "settings",
            "Settings are made once the account is there: POST /v1/accounts/{id}.",
        ));
    }
    let mut details = MerchantDetails::default();
    let name = change.name.take().unwrap_or_default();
    change.apply(&mut details);
    if let Some(policy) = &mut details.return_policy {
        policy.version = 1;
    }
    let new = NewAccount {
        name,
        country,
        default_currency,
        details,
    };
    input.run(|call| flow::create(call, new)).await
}

pub(super) async fn update(Path(id): Path<String>, mut input: In<AdminWrite>) -> Reply {
    let mut params = input.take();
    concerns(&input, &id).await?;
    let change = Change::read(&mut params)?;
    let default_currency = currency(&mut params)?;
    params.finish()?;
    let platform = input.platform && input.key_account != id;
    if !platform && !change.funds.is_the_merchants() {
        return Err(ApiError::forbidden(
            "platform_key_required",
            "The settlement delay and the reserve of an account are set by the platform.",
        ));
    }
    input
        .run(|call| async move {
            let answer = flow::update(call, &id, platform, |account| {
                if let Some(name) = &change.name {
                    account.name.clone_from(name);
                }
                if let Some(currency) = &default_currency {
                    account.default_currency.clone_from(currency);
                }
                change.apply(&mut account.details);
                change.funds.apply(account);
            })
            .await?;
            if !change.funds.is_empty() {
                let book_id = flow::load(call, &id).await?.book_id;
                let client = call.app.reads.get().await?;
                crate::funds::store::wake(&**client, book_id, call.app.clock.now()).await?;
            }
            Ok(answer)
        })
        .await
}

/// Files the application: by the merchant, or by the platform for it.
pub(super) async fn submit(Path(id): Path<String>, mut input: In<AdminWrite>) -> Reply {
    input.take().finish()?;
    concerns(&input, &id).await?;
    let by = input.key_id.to_string();
    input
        .run(|call| async move { flow::step(call, &id, &Fact::Submitted { by }).await })
        .await
}

/// Takes a submitted account up for review.
pub(super) async fn review(Path(id): Path<String>, mut input: In<PlatformAdminWrite>) -> Reply {
    input.take().finish()?;
    decides(&input, &id).await?;
    let by = input.key_id.to_string();
    input
        .run(|call| async move { flow::step(call, &id, &Fact::ReviewStarted { by }).await })
        .await
}

macro_rules! decisions {
    ($($(#[$doc:meta])* $name:ident($params:ident, $by:ident, $at:ident) $fact:expr;)+) => {$(
        $(#[$doc])*
        pub(super) async fn $name(Path(id): Path<String>, mut input: In<PlatformAdminWrite>) -> Reply {
            let (mut $params, $by, $at) = (input.take(), input.key_id.to_string(), input.call.at);
            let fact: Fact = $fact;
            $params.finish()?;
            decides(&input, &id).await?;
            input.run(|call| async move { flow::step(call, &id, &fact).await }).await
        }
    )+};
}
decisions! {
    /// Gives it back to be corrected.
    send_back(params, by, _at) Fact::SentBack { by, reason: reason(&mut params)? };
    approve(params, by, at) Fact::Approved { by, at, reverify_at: reverify_at(&mut params)?.unwrap_or(at + REVERIFY_AFTER) };
    restrict(params, by, _at) Fact::Restricted { by, reason: reason(&mut params)? };
    suspend(params, by, _at) Fact::Suspended { by, reason: reason(&mut params)? };
    reinstate(params, by, at) Fact::Reinstated { by, at, reverify_at: reverify_at(&mut params)? };
}

/// The end of an account: asked for by one key, done when a second one asks too.
pub(super) async fn offboard(Path(id): Path<String>, mut input: In<PlatformAdminWrite>) -> Reply {
    let mut params = input.take();
    let reason = reason(&mut params)?;
    params.finish()?;
    decides(&input, &id).await?;
    let by = input.key_id.to_string();
    input
        .run(|call| async move { flow::offboard(call, &id, by, reason).await })
        .await
}

/// Payouts stop, or go on; everything else of the account stays as it is.
pub(super) async fn payouts(Path(id): Path<String>, mut input: In<PlatformAdminWrite>) -> Reply {
    let mut params = input.take();
    let paused = params.boolean("paused")?.ok_or_else(|| ApiError::missing("paused"))?;
    params.finish()?;
    decides(&input, &id).await?;
    let change = |account: &Merchant| {
        let mut next = account.clone();
        next.payouts_paused = paused;
        Ok(next)
    };
    input.run(|call| flow::modify(call, &id, change)).await
}

/// Refuses unless the key may see this account. Whether the account exists is nobody else's business.
pub(super) async fn concerns<R: Right>(input: &In<R>, account_id: &str) -> Result<(), ApiError> {
    let known = input.call.merchant.id == account_id
        || input.platform
            && id::is_valid(id::prefix::ACCOUNT, account_id)
            && input.call.app.merchant_by_id(account_id).await?.is_some();
    if known {
        return Ok(());
    }
    Err(ApiError::forbidden(
        "account_invalid",
        format!(
            "The provided key does not have access to account '{}' (or that account does not exist).",
            shown(account_id)
        ),
    ))
}

/// The same for a decision, which nobody takes about itself.
async fn decides<R: Right>(input: &In<R>, account_id: &str) -> Result<(), ApiError> {
    concerns(input, account_id).await?;
    if input.key_account == account_id {
        return Err(ApiError::forbidden(
            "account_own",
            "A key cannot decide about the account it belongs to.",
        ));
    }
    Ok(())
}

/// Words for the record, and for the merchant.
fn reason(params: &mut Params) -> Result<String, ApiError> {
    bounded(params.required_text("reason")?, "reason", 500)
}

fn reverify_at(params: &mut Params) -> Result<Option<Timestamp>, ApiError> {
    moment(params, "reverify_at")
}

fn moment(params: &mut Params, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let Some(seconds) = params.integer(name)? else {
        return Ok(None);
    };
    Timestamp::from_second(seconds).map(Some).map_err(|_| {
        ApiError::invalid(
            "parameter_invalid_integer",
            params.param(name),
            "Not a moment in time (unix seconds).",
        )
    })
}

fn currency(params: &mut Params) -> Result<Option<String>, ApiError> {
    match params.text("default_currency")? {
        None => Ok(None),
        Some(text) => Ok(Some(
            crate::app::currency(&text)
                .map(|c| c.as_str().to_owned())
                .map_err(|mut error| {
                    error.param = Some("default_currency".into());
                    error
                })?,
        )),
    }
}

/// What a caller wants on file; `None` leaves as it is, `Some(None)` takes away.
#[derive(Clone, Debug, Default)]
struct Change {
    name: Option<String>,
    email: Option<Option<String>>,
    business_type: Option<String>,
    company: [Option<Option<String>>; 4],
    company_expires_at: Option<Timestamp>,
    company_address: Option<serde_json::Value>,
    profile: [Option<Option<String>>; 6],
    return_policy: Option<ReturnPolicyChange>,
    metadata: Option<std::collections::BTreeMap<String, Option<String>>>,
    funds: FundsChange,
}

/// When a merchant's money is available, kept and paid out. The merchant chooses the schedule, the platform the rest.
#[derive(Clone, Debug, Default)]
struct FundsChange {
    schedule: Option<(Interval, Option<i16>)>,
    delay_days: Option<i16>,
    reserve: Option<(i32, i16)>,
}

#[derive(Clone, Debug, Default)]
struct ReturnPolicyChange {
    window_days: Option<i64>,
    contact: Option<String>,
    address: Option<String>,
    url: Option<Option<String>>,
    text: Option<Option<String>>,
}

impl Change {
    fn read(params: &mut Params) -> Result<Self, ApiError> {
        let mut change = Self {
            email: payment_intents::email(params, "email")?,
            business_type: params.choice(
                "business_type",
                &["company", "government_entity", "individual", "non_profit"],
            )?,
            metadata: params.metadata("metadata")?,
            ..Self::default()
        };
        if let Some(mut profile) = params.group("business_profile")? {
            change.name = match profile.text("name")? {
                Some(name) => Some(bounded(name, &profile.param("name"), 100)?),
                None => None,
            };
            if let Some(mcc) = profile.text_change("mcc")? {
                if mcc
                    .as_ref()
                    .is_some_and(|m| m.len() != 4 || !m.bytes().all(|b| b.is_ascii_digit()))
                {
                    return Err(ApiError::invalid(
                        "parameter_invalid_string",
                        profile.param("mcc"),
                        "A merchant category code has four digits.",
                    ));
                }
                change.profile[0] = Some(mcc);
            }
            change.profile[1] = profile.text_change("product_description")?;
            change.profile[2] = payment_intents::email(&mut profile, "support_email")?;
            change.profile[3] = profile.text_change("support_phone")?;
            change.profile[4] = web_address(&mut profile, "support_url")?;
            change.profile[5] = web_address(&mut profile, "url")?;
            profile.finish()?;
        }
        if let Some(mut company) = params.group("company")? {
            for (slot, name) in ["name", "registration_number", "registration_authority", "phone"]
                .into_iter()
                .enumerate()
            {
                change.company[slot] = company.text_change(name)?;
                if let Some(Some(text)) = &change.company[slot] {
                    bounded(text.clone(), &company.param(name), 200)?;
                }
            }
            change.company_expires_at = moment(&mut company, "registration_expires_at")?;
            change.company_address = company.value("address")?;
            company.finish()?;
        }
        if let Some(mut policy) = params.group("return_policy")? {
            let window_days = policy.integer("window_days")?;
            if window_days.is_some_and(|days| !(0..=3650).contains(&days)) {
                return Err(ApiError::invalid(
                    "parameter_invalid_integer",
                    policy.param("window_days"),
                    "A return window is from 0 to 3650 days.",
                ));
            }
            change.return_policy = Some(ReturnPolicyChange {
                window_days,
                contact: policy.text("contact")?,
                address: policy.text("address")?,
                url: web_address(&mut policy, "url")?,
                text: policy.text_change("text")?,
            });
            policy.finish()?;
        }
        if let Some(mut settings) = params.group("settings")? {
            change.funds = FundsChange::read(&mut settings)?;
            settings.finish()?;
        }
        Ok(change)
    }

    fn apply(&self, details: &mut MerchantDetails) {
        let set = |slot: &mut Option<String>, change: &Option<Option<String>>| {
            if let Some(value) = change {
                slot.clone_from(value);
            }
        };
        set(&mut details.email, &self.email);
        if self.business_type.is_some() {
            details.business_type.clone_from(&self.business_type);
        }
        let company = &mut details.company;
        set(&mut company.name, &self.company[0]);
        set(&mut company.registration_number, &self.company[1]);
        set(&mut company.registration_authority, &self.company[2]);
        set(&mut company.phone, &self.company[3]);
        if self.company_expires_at.is_some() {
            company.registration_expires_at = self.company_expires_at;
        }
        if self.company_address.is_some() {
            company.address.clone_from(&self.company_address);
        }
        let profile = &mut details.business_profile;
        set(&mut profile.mcc, &self.profile[0]);
        set(&mut profile.product_description, &self.profile[1]);
        set(&mut profile.support_email, &self.profile[2]);
        set(&mut profile.support_phone, &self.profile[3]);
        set(&mut profile.support_url, &self.profile[4]);
        set(&mut profile.url, &self.profile[5]);
        if let Some(change) = &self.return_policy {
            let policy = details.return_policy.get_or_insert_with(ReturnPolicy::default);
            policy.window_days = change.window_days.or(policy.window_days);
            if let Some(contact) = &change.contact {
                policy.contact.clone_from(contact);
            }
            if let Some(address) = &change.address {
                policy.address.clone_from(address);
            }
            set(&mut policy.url, &change.url);
            set(&mut policy.text, &change.text);
        }
        if let Some(change) = &self.metadata {
            merge_metadata(&mut details.metadata, change.clone());
        }
    }
}

impl FundsChange {
    fn read(settings: &mut Params) -> Result<Self, ApiError> {
        let mut change = Self::default();
        if let Some(mut payouts) = settings.group("payouts")? {
            if let Some(mut schedule) = payouts.group("schedule")? {
                let interval = schedule.choice("interval", &["manual", "daily", "weekly"])?;
                let anchor = schedule.choice("weekly_anchor", &WEEKDAYS)?;
                let weekday = anchor
                    .and_then(|day| WEEKDAYS.iter().position(|d| *d == day))
                    .map(|at| at as i16 + 1);
                change.schedule = match interval.as_deref() {
                    None if weekday.is_some() => Some((Interval::Weekly, weekday)),
                    None => None,
                    Some("manual") => Some((Interval::Manual, None)),
                    Some("daily") => Some((Interval::Daily, None)),
                    Some(_) => Some((Interval::Weekly, weekday.or(Some(1)))),
                };
                change.delay_days = small(&mut schedule, "delay_days", 90)?;
                schedule.finish()?;
            }
            payouts.finish()?;
        }
        if let Some(mut reserve) = settings.group("reserve")? {
            let percent = super::terms::percent(&mut reserve, "percent")?
                .ok_or_else(|| ApiError::missing(&reserve.param("percent")))?;
            let days = small(&mut reserve, "days", 730)?.unwrap_or(0);
            let bps = percent.checked_mul(rust_decimal::Decimal::ONE_HUNDRED).and_then(|bps| {
                let whole = bps.fract().is_zero().then_some(bps)?;
                rust_decimal::prelude::ToPrimitive::to_i32(&whole)
            });
            change.reserve = match bps {
                Some(0) if days == 0 => Some((0, 0)),
                Some(bps) if bps > 0 && days > 0 => Some((bps, days)),
                _ => {
                    return Err(ApiError::invalid(
                        "parameter_invalid_value",
                        reserve.param("percent"),
                        "A reserve has a percentage with at most two decimals and a number of days; both 0 for none.",
                    ));
                }
            };
            reserve.finish()?;
        }
        Ok(change)
    }

    fn is_empty(&self) -> bool {
        self.schedule.is_none() && self.is_the_merchants()
    }

    /// Nothing in it is the platform's to say.
    fn is_the_merchants(&self) -> bool {
        self.delay_days.is_none() && self.reserve.is_none()
    }

    fn apply(&self, account: &mut Merchant) {
        if let Some((interval, weekday)) = self.schedule {
            account.payout_interval = interval;
            account.payout_weekday = weekday;
        }
        if self.delay_days.is_some() {
            account.delay_days = self.delay_days;
        }
        if let Some((bps, days)) = self.reserve {
            account.reserve_bps = bps;
            account.reserve_days = days;
        }
    }
}

fn small(params: &mut Params, name: &str, most: i16) -> Result<Option<i16>, ApiError> {
    let Some(number) = params.integer(name)? else {
        return Ok(None);
    };
    match i16::try_from(number) {
        Ok(number) if (0..=most).contains(&number) => Ok(Some(number)),
        _ => Err(ApiError::invalid(
            "parameter_invalid_integer",
            params.param(name),
            format!("From 0 to {most} days."),
        )),
    }
}

const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

fn bounded(text: String, param: &str, max: usize) -> Result<String, ApiError> {
    if text.chars().count() <= max {
        return Ok(text);
    }
    Err(ApiError::invalid(
        "parameter_invalid_string",
        param,
        format!("At most {max} characters are accepted."),
    ))
}

fn web_address(params: &mut Params, name: &str) -> Result<Option<Option<String>>, ApiError> {
    let change = params.text_change(name)?;
    for text in change.iter().flatten() {
        let known = url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
        if !known {
            return Err(ApiError::invalid(
                "url_invalid",
                params.param(name),
                format!("Not a web address: {}. It begins with https://.", shown(text)),
            ));
        }
    }
    Ok(change)
}
