//! The way into a page: who is it, may they, did they mean it; and the headers that every answer carries.
//!
//! A form is taken only from our own pages: the browser says where it comes from, and the form carries its session's token. It must
//! never redirect to anywhere but a path of ours.

use super::ctx::{Ctx, Fault, Fields, Outcome, Reply, Upload};
use super::frame;
use super::message::Language;
use super::pages::{Entry, Mark};
use super::user::{self, Session, Stage, Token};
use super::view::{Notice, Tone, View};
use super::{Console, Fields as Form};
use crate::edge::{Peer, RequestId};
use axum::RequestExt;
use axum::extract::{RawPathParams, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jiff::tz::TimeZone;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The cookie: `__Host-` binds it to this very host, by TLS alone.
pub(super) const COOKIE: &str = "__Host-counterfoil";

/// Serves a page of the table.
pub(super) async fn serve(console: Arc<Console>, entry: &'static Entry, mut request: Request) -> Response {
    let params = request.extract_parts::<RawPathParams>().await;
    let params = params
        .map(|params| {
            Fields(
                params
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
            )
        })
        .unwrap_or_default();
    let (parts, body) = request.into_parts();
    let language = Language::choose(None, header_of(&parts.headers, header::ACCEPT_LANGUAGE));
    let session = match session(&console, &parts.headers, true).await {
        Ok(session) => session,
        Err(fault) => return refuse(language, &fault),
    };
    let href = parts
        .uri
        .path_and_query()
        .map_or("/", |whole| whole.as_str())
        .to_owned();
    let session = match session {
        Some(session) if session.stage == Stage::Full => session,
        Some(_) => return see("/sign-in/code"),
        None if entry.method == "GET" => return see(&format!("/sign-in?{}", next_of(&href))),
        None => return see("/sign-in?ended=yes"),
    };
    let user = &session.user;
    if let Some(first) = owed(&console, &session).filter(|first| !entry.path.starts_with(first)) {
        return see(first);
    }
    let body = match axum::body::to_bytes(body, usize::MAX).await {
        Ok(body) => body,
        Err(_) => return refuse(language, &Fault::refused(language.say("error.broken"))),
    };
    let Ok((form, upload)) = Upload::read(&parts.headers, body).await else {
        return refuse(language, &Fault::refused(language.say("error.broken")));
    };
    let ctx = Ctx {
        language: Language::choose(
            user.preferences.language.as_deref(),
            header_of(&parts.headers, header::ACCEPT_LANGUAGE),
        ),
        zone: user
            .preferences
            .time_zone
            .as_deref()
            .and_then(|name| TimeZone::get(name).ok())
            .unwrap_or(TimeZone::UTC),
        entry,
        href,
        params,
        query: Form::read(parts.uri.query().unwrap_or_default().as_bytes()),
        form,
        upload,
        request_id: parts.extensions.get::<RequestId>().cloned(),
        peer: parts.extensions.get::<Peer>().cloned(),
        now: console.app.clock.now(),
        told: AtomicBool::new(false),
        session,
        console,
    };
    let outcome = run(&ctx, &parts.headers).await;
    answer(&ctx, outcome)
}

/// Runs the page and leaves what it has to in the audit log. What is protected is not shown before its row is committed.
async fn run(ctx: &Ctx, headers: &HeaderMap) -> Outcome {
    ctx.console.learn_book(&ctx.session.user).await?;
    let object = ctx.params.0.last().map(|(_, value)| value.as_str());
    let outcome = if !ctx.entry.roles.contains(&ctx.session.user.role) {
        Err(Fault::Forbidden)
    } else if ctx.entry.method == "POST" && !(ours(headers) && ctx.session.token.owns(ctx.form.get("form_token"))) {
        Err(Fault::Refused {
            status: 403,
            message: ctx.t("error.form"),
        })
    } else {
        (ctx.entry.run)(ctx).await
    };
    let status = match &outcome {
        Ok(_) => 200,
        Err(fault) => status_of(fault).as_u16(),
    };
    let told = ctx.told.load(std::sync::atomic::Ordering::Relaxed);
    let marked = match ctx.entry.mark {
        Mark::None => status == 403,
        Mark::Shown | Mark::Act => true,
    };
    if marked && !told {
        let noted = ctx.note(object, status).await;
        if outcome.is_ok() {
            noted?;
        }
    }
    outcome
}

fn answer(ctx: &Ctx, outcome: Outcome) -> Response {
    match outcome {
        Ok(Reply::View(view)) => page(StatusCode::OK, &frame::of(ctx), &view),
        Ok(Reply::See(path)) => see(&path),
        Ok(Reply::File { name, kind, content }) => {
            let mut response = content.into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
                headers.insert(header::CONTENT_DISPOSITION, value);
            }
            response
        }
        Err(fault) => {
            let status = status_of(&fault);
            let view = explain(ctx.language, &fault);
            let back = ctx.entry.path.rsplit_once('/').map_or("/", |(parent, _)| parent);
            let back = if back.is_empty() || back.contains('{') {
                "/"
            } else {
                back
            };
            page(status, &frame::of(ctx), &view.crumb(back, ctx.t("error.back")))
        }
    }
}

/// Where somebody has to go before anything else.
fn owed(console: &Console, session: &Session) -> Option<&'static str> {
    match &session.user {
        user if user.must_change => Some("/settings/password"),
        user if user.totp_since.is_none() && console.settings.second_factor => Some("/settings/second-factor"),
        _ => None,
    }
}

/// The session of a request's cookie.
pub(super) async fn session(console: &Console, headers: &HeaderMap, seen: bool) -> Result<Option<Session>, Fault> {
    let Some(token) = cookie(headers) else { return Ok(None) };
    let client = console.app.reads.get().await?;
    Ok(user::session(&**client, token, console.app.clock.now(), seen).await?)
}

/// What the cookie holds.
pub(super) fn cookie(headers: &HeaderMap) -> Option<Token> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .and_then(|(_, value)| Token::parse(value))
}

/// Whether a form comes from a page of ours, as far as the browser says. Programs say nothing.
pub(super) fn ours(headers: &HeaderMap) -> bool {
    let site = header_of(headers, HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| site != "same-origin") {
        return false;
    }
    match (header_of(headers, header::ORIGIN), header_of(headers, header::HOST)) {
        (Some(origin), Some(host)) => origin.strip_prefix("https://") == Some(host),
        // h2 names the host elsewhere; such browsers say where a request comes from.
        (Some(_), None) => site == Some("same-origin"),
        (None, _) => true,
    }
}

/// A path of ours to go on to; anything else is the first page.
pub(super) fn safe(next: &str) -> &str {
    let ours = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && !next.starts_with("/sign-")
        && next.bytes().all(|b| (0x21..0x7f).contains(&b));
    if ours { next } else { "/" }
}

fn next_of(href: &str) -> String {
    form_urlencoded::Serializer::new(String::new())
        .append_pair("next", href)
        .finish()
}

/// Go there by GET.
pub(super) fn see(path: &str) -> Response {
    let location = HeaderValue::try_from(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// A page, drawn.
pub(super) fn page(status: StatusCode, frame: &super::view::Frame, view: &View) -> Response {
    use askama::Template;
    match (super::view::Page { frame, view }).render() {
        Ok(text) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be drawn");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A page for somebody who is not known.
pub(super) fn refuse(language: Language, fault: &Fault) -> Response {
    page(status_of(fault), &frame::alone(language), &explain(language, fault))
}

fn explain(language: Language, fault: &Fault) -> View {
    let (title, text) = match fault {
        Fault::Missing => ("error.missing", language.say("error.missing.text")),
        Fault::Forbidden => ("error.forbidden", language.say("error.forbidden.text")),
        Fault::Refused { message, .. } => ("error.refused", message.clone()),
        Fault::Internal(cause) => {
            tracing::error!(%cause, "the console failed");
            ("error.internal", language.say("error.internal.text"))
        }
    };
    View::new(language.say(title)).with(Notice::new(Tone::Bad, text))
}

fn status_of(fault: &Fault) -> StatusCode {
    match fault {
        Fault::Missing => StatusCode::NOT_FOUND,
        Fault::Forbidden => StatusCode::FORBIDDEN,
        Fault::Refused { status, .. } => StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST),
        Fault::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

pub(super) fn header_of(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What every answer carries.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers
            .entry(HeaderName::from_static(name))
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Nothing from elsewhere, nothing inline, in nobody's frame, kept by no one.
const HEADERS: [(&str, &str); 8] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types console",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), microphone=(), geolocation=(), payment=()",
    ),
    ("cache-control", "no-store"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_on_to_paths_of_ours_alone() {
        for path in ["/", "/payments?status=failed", "/disputes/du_1"] {
            assert_eq!(safe(path), path);
        }
        for other in [
            "",
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "javascript:alert(1)",
            "/sign-in?next=/",
            "/a b",
            "/\u{4e2d}",
        ] {
            assert_eq!(safe(other), "/", "{other}");
        }
    }

    #[test]
    fn a_form_of_another_site_is_told_by_its_headers() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            ours(&headers.collect())
        };
        assert!(of(&[]));
        assert!(of(&[("origin", "https://127.0.0.1:9443"), ("host", "127.0.0.1:9443")]));
        assert!(of(&[("origin", "https://c"), ("sec-fetch-site", "same-origin")]));
        assert!(!of(&[("origin", "https://evil.example"), ("host", "127.0.0.1:9443")]));
        assert!(!of(&[("origin", "http://127.0.0.1:9443"), ("host", "127.0.0.1:9443")]));
        assert!(!of(&[("origin", "null"), ("host", "127.0.0.1:9443")]));
        assert!(!of(&[("origin", "https://evil.example")]));
        assert!(!of(&[("sec-fetch-site", "cross-site")]));
        assert!(!of(&[
            ("sec-fetch-site", "same-site"),
            ("origin", "https://c"),
            ("host", "c")
        ]));
    }
}
