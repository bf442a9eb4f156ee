//! Signing in and out: name and password, then a code of the second factor.
//!
//! Every wrong answer is the same answer and costs the same time; five in a row lock the person out for a while, many from one
//! address are not even looked at. It must never say which of two things was wrong.

use super::ctx::{Fault, Fields};
use super::gate::{self, page, refuse, see};
use super::message::Language;
use super::totp::Secret;
use super::user::{self, Stage, Token, User};
use super::view::{Field, Form, Frame, Kind, Notice, Tone, View};
use super::{Console, frame, password};
use crate::edge::{Peer, RequestId};
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use std::net::IpAddr;
use std::sync::Arc;

/// `GET /sign-in`
pub(super) async fn show(State(console): State<Arc<Console>>, request: Request) -> Response {
    let asked = Asked::of(console, request).await;
    let query = Fields::read(asked.query.as_bytes());
    match gate::session(&asked.console, &asked.headers, false).await {
        Ok(Some(session)) if session.stage == Stage::Full => return see(gate::safe(query.get("next"))),
        Ok(_) => {}
        Err(fault) => return refuse(asked.language, &fault),
    }
    let had_one = gate::cookie(&asked.headers).is_some();
    let notice = match (query.get("ended"), had_one) {
        ("left", _) => Some(("sign_in.left", Tone::Plain)),
        (_, true) => Some(("sign_in.ended", Tone::Warn)),
        _ => None,
    };
    asked.show(StatusCode::OK, gate::safe(query.get("next")), notice)
}

/// `POST /sign-in`
pub(super) async fn submit(State(console): State<Arc<Console>>, request: Request) -> Response {
    let asked = Asked::of(console, request).await;
    match asked.prove_password().await {
        Ok(response) => response,
        Err(fault) => refuse(asked.language, &fault),
    }
}

/// `GET /sign-in/code`
pub(super) async fn ask_code(State(console): State<Arc<Console>>, request: Request) -> Response {
    let asked = Asked::of(console, request).await;
    match gate::session(&asked.console, &asked.headers, false).await {
        Ok(Some(session)) if session.stage == Stage::Password => {
            let query = Fields::read(asked.query.as_bytes());
            asked.show_code(StatusCode::OK, &session.token, gate::safe(query.get("next")), None)
        }
        Ok(_) => see("/sign-in"),
        Err(fault) => refuse(asked.language, &fault),
    }
}

/// `POST /sign-in/code`
pub(super) async fn submit_code(State(console): State<Arc<Console>>, request: Request) -> Response {
    let asked = Asked::of(console, request).await;
    match asked.prove_code().await {
        Ok(response) => response,
        Err(fault) => refuse(asked.language, &fault),
    }
}

/// `POST /sign-out`
pub(super) async fn leave(State(console): State<Arc<Console>>, request: Request) -> Response {
    let asked = Asked::of(console, request).await;
    let ended = async {
        if let Some(session) = gate::session(&asked.console, &asked.headers, false).await?
            && gate::ours(&asked.headers)
            && session.token.owns(asked.form.get("form_token"))
        {
            let client = asked.console.app.reads.get().await?;
            user::end(&**client, &session.token, asked.console.app.clock.now()).await?;
            asked.note(&session.user, "POST /sign-out", 200).await?;
        }
        Ok::<_, Fault>(())
    };
    match ended.await {
        Ok(()) => with_cookie(see("/sign-in?ended=left"), None),
        Err(fault) => refuse(asked.language, &fault),
    }
}

/// A request of somebody who is not signed in yet.
struct Asked {
    console: Arc<Console>,
    language: Language,
    headers: http::HeaderMap,
    query: String,
    form: Fields,
    peer: Option<Peer>,
    request_id: Option<RequestId>,
}

impl Asked {
    async fn of(console: Arc<Console>, request: Request) -> Self {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
        Self {
            console,
            language: Language::choose(None, gate::header_of(&parts.headers, header::ACCEPT_LANGUAGE)),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            form: Fields::read(&body),
            peer: parts.extensions.get().cloned(),
            request_id: parts.extensions.get().cloned(),
            headers: parts.headers,
        }
    }

    async fn prove_password(&self) -> Result<Response, Fault> {
        let (name, next) = (self.form.get("name").to_lowercase(), gate::safe(self.form.get("next")));
        if !gate::ours(&self.headers) {
            return Ok(self.show(StatusCode::FORBIDDEN, next, Some(("error.form", Tone::Bad))));
        }
        if self.too_many() {
            return Ok(self.show(StatusCode::TOO_MANY_REQUESTS, next, Some(("sign_in.wrong", Tone::Bad))));
        }
        let app = &self.console.app;
        let found = {
            let client = app.reads.get().await?;
            user::by_name(&**client, &name).await?
        };
        let now = app.clock.now();
        let person = found.filter(|user| !user.disabled && user.locked_until.is_none_or(|until| until <= now));
        let hash = person.as_ref().map(|user| user.password_hash.clone());
        // As it was typed: a blank may belong to a password.
        let typed = self.form.0.iter().find(|(name, _)| name == "password");
        let typed = typed.map_or_else(String::new, |(_, value)| {
            value.chars().take(password::LENGTH_MAX + 1).collect()
        });
        let right = password::is_right(typed, hash).await;
        let Some(user) = person.filter(|_| right) else {
            self.failed(&name, "POST /sign-in").await?;
            return Ok(self.show(StatusCode::FORBIDDEN, next, Some(("sign_in.wrong", Tone::Bad))));
        };
        let stage = match user.totp_since {
            Some(_) => Stage::Password,
            None => Stage::Full,
        };
        let origin = self.address().map(|address| address.to_string());
        let token = {
            let client = app.reads.get().await?;
            if let Some(old) = gate::cookie(&self.headers) {
                user::end(&**client, &old, now).await?;
            }
            user::begin(&**client, &user.name, stage, origin.as_deref(), now).await?
        };
        if stage == Stage::Full {
            self.note(&user, "POST /sign-in", 200).await?;
            return Ok(with_cookie(see(next), Some(&token)));
        }
        let next = form_urlencoded::Serializer::new(String::new())
            .append_pair("next", next)
            .finish();
        Ok(with_cookie(see(&format!("/sign-in/code?{next}")), Some(&token)))
    }

    async fn prove_code(&self) -> Result<Response, Fault> {
        let next = gate::safe(self.form.get("next"));
        let app = &self.console.app;
        let session = match gate::session(&self.console, &self.headers, false).await? {
            Some(session) if session.stage == Stage::Password => session,
            _ => return Ok(see("/sign-in")),
        };
        let (now, person) = (app.clock.now(), &session.user);
        if !gate::ours(&self.headers) || !session.token.owns(self.form.get("form_token")) {
            return Ok(self.show_code(StatusCode::FORBIDDEN, &session.token, next, Some("error.form")));
        }
        if self.too_many() || person.locked_until.is_some_and(|until| until > now) {
            return Ok(self.show_code(
                StatusCode::TOO_MANY_REQUESTS,
                &session.token,
                next,
                Some("sign_in.wrong_code"),
            ));
        }
        let secret = Secret::of(&app.vault, &person.name, person.totp_generation);
        let step = secret.accepts(self.form.get("code"), now, person.totp_step);
        let taken = match step {
            Some(step) => {
                let client = app.reads.get().await?;
                user::take_step(&**client, &person.name, step).await?
            }
            None => false,
        };
        if !taken {
            self.failed(&person.name, "POST /sign-in/code").await?;
            return Ok(self.show_code(StatusCode::FORBIDDEN, &session.token, next, Some("sign_in.wrong_code")));
        }
        let origin = self.address().map(|address| address.to_string());
        let token = {
            let client = app.reads.get().await?;
            user::end(&**client, &session.token, now).await?;
            user::begin(&**client, &person.name, Stage::Full, origin.as_deref(), now).await?
        };
        self.note(person, "POST /sign-in", 200).await?;
        Ok(with_cookie(see(next), Some(&token)))
    }

    /// Counts a wrong answer, and says so in the audit log where it was about somebody.
    async fn failed(&self, name: &str, action: &str) -> Result<(), Fault> {
        let app = &self.console.app;
        if let Some(address) = self.address() {
            let _ = app.limits.wrong_keys.take(address);
        }
        let client = app.reads.get().await?;
        user::note_failure(&**client, name, app.clock.now()).await?;
        let person = user::by_name(&**client, name).await?;
        drop(client);
        match person {
            Some(user) => self.note(&user, action, 403).await,
            None => Ok(()), // a name that is nobody's may be a password in the wrong field
        }
    }

    fn too_many(&self) -> bool {
        let address = self.address();
        address.is_some_and(|address| self.console.app.limits.wrong_keys.peek(address).is_err())
    }

    fn address(&self) -> Option<IpAddr> {
        self.peer.as_ref().map(|peer| peer.address.ip().to_canonical())
    }

    async fn note(&self, user: &User, action: &str, status: u16) -> Result<(), Fault> {
        let (peer, id) = (self.peer.as_ref(), self.request_id.as_ref());
        self.console
            .note(user, action, Some(&user.name), peer, id, status)
            .await
    }

    fn show(&self, status: StatusCode, next: &str, notice: Option<(&str, Tone)>) -> Response {
        let say = |key| self.language.say(key);
        let form = Form::new("/sign-in", say("sign_in.submit"))
            .field(
                Field::new(Kind::Text, "name", say("sign_in.name"))
                    .required()
                    .autocomplete("username")
                    .value(self.form.get("name")),
            )
            .field(
                Field::new(Kind::Password, "password", say("sign_in.password"))
                    .required()
                    .autocomplete("current-password"),
            )
            .hidden("next", next)
            .tone(Tone::Good);
        let notice = notice.map(|(key, tone)| Notice::new(tone, say(key)));
        let view = View::new(say("sign_in.title")).with_some(notice).with(form);
        page(status, &frame::alone(self.language), &view)
    }

    fn show_code(&self, status: StatusCode, token: &Token, next: &str, wrong: Option<&str>) -> Response {
        let say = |key| self.language.say(key);
        let form = Form::new("/sign-in/code", say("sign_in.submit"))
            .help(say("sign_in.code.help"))
            .field(
                Field::new(Kind::Digits, "code", say("sign_in.code"))
                    .required()
                    .autocomplete("one-time-code"),
            )
            .hidden("next", next)
            .tone(Tone::Good);
        let notice = wrong.map(|key| Notice::new(Tone::Bad, say(key)));
        let view = View::new(say("sign_in.code.title")).with_some(notice).with(form);
        let frame = Frame {
            token: token.form_token(),
            ..frame::alone(self.language)
        };
        page(status, &frame, &view)
    }
}

/// Sets the cookie, or takes it away. It ends with the browser, and long before that with its session.
fn with_cookie(mut response: Response, token: Option<&Token>) -> Response {
    let text = match token {
        Some(token) => format!(
            "{}={}; Path=/; Secure; HttpOnly; SameSite=Strict",
            gate::COOKIE,
            token.as_str()
        ),
        None => format!(
            "{}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0",
            gate::COOKIE
        ),
    };
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}
