//! A person's own settings: language, time zone, light or dark, saved searches, password and second factor.

use crate::console::ctx::{Ctx, Fault, Outcome, Reply};
use crate::console::password;
use crate::console::totp::Secret;
use crate::console::user::{self, Preferences, SavedView};
use crate::console::view::{Cell, Facts, Field, Kind, Notice, Table, Tone, View};
use jiff::tz::TimeZone;

const ZONES: [&str; 18] = [
    "UTC",
    "Asia/Shanghai",
    "Asia/Hong_Kong",
    "Asia/Singapore",
    "Asia/Tokyo",
    "Asia/Kolkata",
    "Asia/Dubai",
    "Australia/Sydney",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Paris",
    "Europe/Kyiv",
    "Africa/Lagos",
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/Sao_Paulo",
];
const VIEWS_MAX: usize = 20;

/// `GET /settings`
pub async fn show(ctx: &Ctx) -> Outcome {
    let user = &ctx.session.user;
    let liked = &user.preferences;
    let options = |values: &[(&str, &str)]| {
        values
            .iter()
            .map(|(value, text)| ((*value).to_owned(), (*text).to_owned()))
            .collect::<Vec<_>>()
    };
    let language = options(&[("", &ctx.t("settings.browser")), ("en", "English"), ("zh", "简体中文")]);
    let theme = options(&[
        ("", &ctx.t("settings.system")),
        ("light", &ctx.t("settings.light")),
        ("dark", &ctx.t("settings.dark")),
    ]);
    let zones = ZONES.map(|zone| (zone.to_owned(), zone.to_owned())).to_vec();
    let form = ctx
        .form("/settings", "settings.save")
        .title(ctx.t("settings.look"))
        .field(
            Field::choice("language", ctx.t("settings.language"), language)
                .value(liked.language.clone().unwrap_or_default()),
        )
        .field(
            Field::choice("time_zone", ctx.t("settings.time_zone"), zones)
                .value(liked.time_zone.clone().unwrap_or_else(|| "UTC".into())),
        )
        .field(Field::choice("theme", ctx.t("settings.theme"), theme).value(liked.theme.clone().unwrap_or_default()));
    let facts = Facts::new("")
        .fact(ctx.t("settings.name"), user.name.as_str())
        .fact(ctx.t("settings.role"), ctx.word(user.role.as_str()))
        .fact_some(ctx.t("column.merchant"), user.account.as_deref())
        .fact(
            ctx.t("settings.password"),
            Cell::link("/settings/password", ctx.t("settings.password.change")),
        )
        .fact(
            ctx.t("settings.second_factor"),
            Cell::link(
                "/settings/second-factor",
                ctx.t(if user.totp_since.is_some() {
                    "settings.factor.on"
                } else {
                    "settings.factor.off"
                }),
            ),
        );
    let mut views =
        Table::new(ctx.t("settings.views"), &ctx.columns(&["settings.view"])).empty(ctx.t("settings.no_views"));
    for view in &liked.views {
        let forget = ctx
            .form("/settings/views", "settings.forget")
            .hidden("forget", view.href.clone());
        views.push_with(vec![Cell::link(view.href.clone(), view.name.clone())], vec![forget]);
    }
    Ok(View::new(ctx.t("settings.title"))
        .with(facts)
        .with(form)
        .with(views)
        .into())
}

/// `POST /settings`
pub async fn save(ctx: &Ctx) -> Outcome {
    let one_of = |name: &str, known: &[&str]| {
        ctx.form
            .some(name)
            .filter(|value| known.contains(value))
            .map(str::to_owned)
    };
    let zone = ctx.form.some("time_zone").filter(|zone| TimeZone::get(zone).is_ok());
    let liked = Preferences {
        language: one_of("language", &["en", "zh"]),
        theme: one_of("theme", &["light", "dark"]),
        time_zone: zone.filter(|zone| *zone != "UTC").map(str::to_owned),
        views: ctx.session.user.preferences.views.clone(),
    };
    keep(ctx, &liked).await?;
    Ok(ctx.see("/settings", "saved"))
}

/// `POST /settings/views`: keeps a search, or forgets one.
pub async fn save_view(ctx: &Ctx) -> Outcome {
    let mut liked = ctx.session.user.preferences.clone();
    if let Some(gone) = ctx.form.some("forget") {
        liked.views.retain(|view| view.href != gone);
        keep(ctx, &liked).await?;
        return Ok(ctx.see("/settings", "saved"));
    }
    let (name, href) = (ctx.form.get("name"), ctx.form.get("href"));
    if !href.starts_with("/payments?") || href.len() > 500 || name.is_empty() {
        return Err(Fault::refused(ctx.t("settings.bad_view")));
    }
    if liked.views.len() >= VIEWS_MAX {
        return Err(Fault::refused(ctx.t("settings.many_views")));
    }
    liked.views.retain(|view| view.href != href);
    liked.views.push(SavedView {
        name: name.chars().take(60).collect(),
        href: href.to_owned(),
    });
    keep(ctx, &liked).await?;
    Ok(Reply::See(href.to_owned()))
}

/// `GET /settings/password`
pub async fn password(ctx: &Ctx) -> Outcome {
    let typed = |name: &str, label: &str, what: &'static str| {
        Field::new(Kind::Password, name, ctx.t(label))
            .required()
            .autocomplete(what)
    };
    let form = ctx
        .form("/settings/password", "settings.save")
        .help(ctx.f("settings.password.help", &[&password::LENGTH_MIN.to_string()]))
        .field(typed("old", "settings.password.old", "current-password"))
        .field(typed("new", "settings.password.new", "new-password"))
        .field(typed("again", "settings.password.again", "new-password"));
    let owed = ctx
        .session
        .user
        .must_change
        .then(|| Notice::new(Tone::Warn, ctx.t("settings.password.owed")));
    Ok(View::new(ctx.t("settings.password"))
        .crumb("/settings", ctx.t("settings.title"))
        .with_some(owed)
        .with(form)
        .into())
}

/// `POST /settings/password`: every session of this person ends, this one too.
pub async fn set_password(ctx: &Ctx) -> Outcome {
    let user = &ctx.session.user;
    let raw = |name: &str| {
        ctx.form
            .0
            .iter()
            .find(|(field, _)| field == name)
            .map_or_else(String::new, |(_, value)| value.clone())
    };
    let (old, new) = (raw("old"), raw("new"));
    if new != raw("again") {
        return Err(Fault::refused(ctx.t("password.differ")));
    }
    if let Some(fault) = password::fault(&user.name, &new) {
        return Err(Fault::refused(ctx.t(fault)));
    }
    if new == old {
        return Err(Fault::refused(ctx.t("password.same")));
    }
    let right = password::is_right(old, Some(user.password_hash.clone())).await;
    let client = ctx.console.app.reads.get().await?;
    if !right {
        user::note_failure(&**client, &user.name, ctx.now).await?;
        return Err(Fault::refused(ctx.t("password.wrong")));
    }
    let hash = password::hash(new)
        .await
        .map_err(|error| Fault::Internal(error.to_string()))?;
    user::set_password(&**client, &user.name, &hash, false).await?;
    Ok(Reply::See("/sign-in?ended=left".into()))
}

/// `GET /settings/second-factor`
pub async fn second_factor(ctx: &Ctx) -> Outcome {
    let user = &ctx.session.user;
    let view = View::new(ctx.t("settings.second_factor")).crumb("/settings", ctx.t("settings.title"));
    if let Some(since) = user.totp_since {
        let facts = Facts::new("").fact(ctx.t("settings.factor.since"), ctx.at(since));
        let lost = Notice::new(Tone::Plain, ctx.t("settings.factor.lost"));
        return Ok(view.with(facts).with(lost).into());
    }
    let secret = Secret::of(&ctx.console.app.vault, &user.name, user.totp_generation);
    let facts = Facts::new("")
        .fact(ctx.t("settings.factor.secret"), Cell::Code(secret.text()))
        .fact(ctx.t("settings.factor.uri"), Cell::Code(secret.uri(&user.name)));
    let form = ctx
        .form("/settings/second-factor", "settings.factor.set")
        .help(ctx.t("settings.factor.help"))
        .field(
            Field::new(Kind::Digits, "code", ctx.t("sign_in.code"))
                .required()
                .autocomplete("one-time-code"),
        );
    Ok(view.lead(ctx.t("settings.factor.lead")).with(facts).with(form).into())
}

/// `POST /settings/second-factor`: a code of the new secret turns it on.
pub async fn set_second_factor(ctx: &Ctx) -> Outcome {
    let user = &ctx.session.user;
    if user.totp_since.is_some() {
        return Err(Fault::refused(ctx.t("settings.factor.lost")));
    }
    let secret = Secret::of(&ctx.console.app.vault, &user.name, user.totp_generation);
    let step = secret.accepts(ctx.form.get("code"), ctx.now, user.totp_step);
    let client = ctx.console.app.reads.get().await?;
    match step {
        Some(step) if user::take_step(&**client, &user.name, step).await? => Ok(ctx.see("/settings", "factor_on")),
        _ => Err(Fault::refused(ctx.t("sign_in.wrong_code"))),
    }
}

async fn keep(ctx: &Ctx, liked: &Preferences) -> Result<(), Fault> {
    let client = ctx.console.app.reads.get().await?;
    Ok(user::set_preferences(&**client, &ctx.session.user.name, liked).await?)
}
