//! One request of a person: who, what was asked, and the ways to read, to act and to answer.
//!
//! Reads are queries of the page; acts go through the API's own router as this person, so that rights, validation, idempotency and
//! the audit log are the API's. It must never act on its own.

use super::message::Language;
use super::pages::Entry;
use super::query::Query;
use super::role::Role;
use super::user::Session;
use super::view::{Cell, Form, Tone, View};
use super::{Console, format};
use crate::api::error::ApiError;
use crate::auth::Staff;
use crate::edge::{Peer, RequestId};
use axum::body::Body;
use bytes::Bytes;
use deadpool_postgres::PoolError;
use http::{HeaderMap, Method, Request, header};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_postgres::types::ToSql;
use tower::ServiceExt;

/// A request under way.
pub struct Ctx {
    /// everything shared
    pub console: Arc<Console>,
    /// who
    pub session: Session,
    /// in which language they read
    pub language: Language,
    /// where they are
    pub zone: TimeZone,
    /// the page's line in the table
    pub entry: &'static Entry,
    /// path and query as asked
    pub href: String,
    /// named parts of the path
    pub params: Fields,
    /// of the query
    pub query: Fields,
    /// of the form
    pub form: Fields,
    /// that came with it
    pub upload: Option<Upload>,
    /// `req_..`
    pub request_id: Option<RequestId>,
    /// the other end
    pub peer: Option<Peer>,
    /// one moment for all of it
    pub now: Timestamp,
    /// the API has left its mark in the audit log
    pub(super) told: AtomicBool,
}

/// Names with values, as forms and queries have them.
#[derive(Clone, Debug, Default)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// From `application/x-www-form-urlencoded`.
    pub fn read(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// The value, without outer blanks; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.trim())
    }

    /// The value, if there is one.
    pub fn some(&self, name: &str) -> Option<&str> {
        Some(self.get(name)).filter(|value| !value.is_empty())
    }
}

/// A file that came with a form.
#[derive(Clone, Debug)]
pub struct Upload {
    /// as its sender calls it
    pub name: String,
    /// its content
    pub content: Bytes,
}

impl Upload {
    /// A form that may carry a file; without one, an ordinary form.
    pub(super) async fn read(headers: &HeaderMap, body: Bytes) -> Result<(Fields, Option<Self>), multer::Error> {
        let kind = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let Ok(boundary) = multer::parse_boundary(kind) else {
            return Ok((Fields::read(&body), None));
        };
        let whole = futures_util::stream::once(std::future::ready(Ok::<_, std::convert::Infallible>(body)));
        let mut parts = multer::Multipart::new(whole, boundary);
        let (mut fields, mut upload) = (Fields::default(), None);
        while let Some(part) = parts.next_field().await? {
            match part.file_name().map(str::to_owned) {
                Some(name) => {
                    let name = name.chars().filter(|c| !c.is_control()).take(200).collect();
                    let content = part.bytes().await?;
                    upload = Some(Self { name, content });
                }
                None => {
                    let name = part.name().unwrap_or_default().to_owned();
                    fields.0.push((name, part.text().await?));
                }
            }
        }
        Ok((fields, upload))
    }
}

/// What a page answers.
pub enum Reply {
    /// a page
    View(Box<View>),
    /// go there and look
    See(String),
    /// a file
    File {
        /// its name
        name: String,
        /// `text/csv; charset=utf-8`
        kind: &'static str,
        /// its content
        content: String,
    },
}

impl From<View> for Reply {
    fn from(view: View) -> Self {
        Reply::View(Box::new(view))
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Fault {
    /// there is no such thing, or it is none of theirs
    Missing,
    /// they may not
    Forbidden,
    /// it was not done, and why
    Refused {
        /// of HTTP
        status: u16,
        /// for people
        message: String,
    },
    /// ours
    Internal(String),
}

impl Fault {
    /// What was asked for cannot be done as it is.
    pub fn refused(message: impl Into<String>) -> Self {
        Fault::Refused {
            status: 400,
            message: message.into(),
        }
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        // The server's own message may quote a value: only its code is kept.
        match error.code() {
            Some(code) => Fault::Internal(format!("the database refused: {}", code.code())),
            None => Fault::Internal(error.to_string()),
        }
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        Fault::Internal(error.to_string())
    }
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        match error.status {
            404 => Fault::Missing,
            500.. => Fault::Internal(error.message),
            status => Fault::Refused {
                status,
                message: error.message,
            },
        }
    }
}

/// What a page gives.
pub type Outcome = Result<Reply, Fault>;

impl Ctx {
    /// Words.
    pub fn t(&self, key: &str) -> String {
        self.language.say(key)
    }

    /// Words with gaps.
    pub fn f(&self, key: &str, values: &[&str]) -> String {
        self.language.fill(key, values)
    }

    /// Names of columns.
    pub fn columns(&self, keys: &[&str]) -> Vec<String> {
        keys.iter()
            .map(|key| match key.strip_suffix('>') {
                Some(key) => format!("{}>", self.t(key)),
                None => self.t(key),
            })
            .collect()
    }

    /// A status in words, coloured.
    pub fn status(&self, status: &str) -> Cell {
        Cell::Badge {
            tone: Tone::of(status),
            text: self.language.word("word", status),
        }
    }

    /// A value of the database in words.
    pub fn word(&self, value: &str) -> String {
        self.language.word("word", value)
    }

    /// An amount of a row.
    pub fn money(&self, row: &Value, amount: &str) -> Cell {
        Cell::Number(format::money(
            row[amount].as_i64().unwrap_or_default(),
            row["currency"].as_str().unwrap_or("usd"),
        ))
    }

    /// A time of a row.
    pub fn time(&self, row: &Value, field: &str) -> Cell {
        match format::timestamp(&row[field]) {
            Some(at) => self.at(at),
            None => Cell::Quiet("–".into()),
        }
    }

    /// A time.
    pub fn at(&self, at: Timestamp) -> Cell {
        Cell::Time {
            iso: at.to_string(),
            text: format::time(at, &self.zone),
        }
    }

    /// How long until a deadline of a row, coloured by how close it is.
    pub fn due(&self, row: &Value, field: &str) -> Cell {
        let Some(at) = format::timestamp(&row[field]) else {
            return Cell::Quiet("–".into());
        };
        let left = at.duration_since(self.now).as_secs();
        let (tone, key) = match left {
            ..0 => (Tone::Bad, "time.overdue"),
            0..86_400 => (Tone::Warn, "time.left"),
            _ => (Tone::Plain, "time.left"),
        };
        Cell::Badge {
            tone,
            text: self.f(key, &[&format::distance(left)]),
        }
    }

    /// Their book, if they may see no other.
    pub fn own_book(&self) -> Option<i64> {
        self.console.own_book(&self.session.user)
    }

    /// Whether they have one of these roles.
    pub fn is(&self, roles: &[Role]) -> bool {
        roles.contains(&self.session.user.role)
    }

    /// Rows of a query that the page's line names.
    pub async fn rows(&self, query: &'static Query, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Value>, Fault> {
        debug_assert!(
            self.entry.queries.iter().any(|known| known.name == query.name),
            "{} is not in the line of {}",
            query.name,
            self.entry.path
        );
        let client = self.console.app.reads.get().await?;
        Ok(query.rows(&**client, values).await?)
    }

    /// Its one row.
    pub async fn row(&self, query: &'static Query, values: &[&(dyn ToSql + Sync)]) -> Result<Option<Value>, Fault> {
        Ok(self.rows(query, values).await?.into_iter().next())
    }

    /// Asks the API for something of this merchant's.
    pub async fn read(&self, path: &str, account: &str, parameters: &[(&str, &str)]) -> Result<Value, Fault> {
        self.call(Method::GET, path, account, parameters, None).await
    }

    /// Acts through the API for this merchant. A second press of the same button is the same act.
    pub async fn act(&self, path: &str, account: &str, parameters: &[(&str, &str)]) -> Result<Value, Fault> {
        let once = self.form.some("once").map(|once| format!("console:{once}:{path}"));
        self.call(Method::POST, path, account, parameters, once.as_deref())
            .await
    }

    /// Deletes through the API.
    pub async fn delete(&self, path: &str, account: &str) -> Result<Value, Fault> {
        self.call(Method::DELETE, path, account, &[], None).await
    }

    /// A call of the API's own router, as this person.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        account: &str,
        parameters: &[(&str, &str)],
        key: Option<&str>,
    ) -> Result<Value, Fault> {
        let app = &self.console.app;
        let merchant = app.merchant_by_id(account).await?.ok_or(Fault::Missing)?;
        if self.own_book().is_some_and(|own| own != merchant.book_id) {
            return Err(Fault::Missing);
        }
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        let (uri, body) = match method {
            Method::GET if !form.is_empty() => (format!("{path}?{form}"), String::new()),
            Method::GET => (path.to_owned(), String::new()),
            _ => (path.to_owned(), form),
        };
        let changes = method != Method::GET;
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(key) = key {
            request = request.header("idempotency-key", key.chars().take(250).collect::<String>());
        }
        let mut request = request.body(Body::from(body)).map_err(|_| Fault::Missing)?; // an id that fits no path
        let user = &self.session.user;
        request.extensions_mut().insert(Staff {
            name: format!("user:{}", user.name).into(),
            role: user.role.as_str(),
            scopes: user.role.scopes(),
            merchant,
            limit: self.console.limit.clone(),
            platform: user.account.is_none(),
        });
        if let Some(peer) = &self.peer {
            request.extensions_mut().insert(peer.clone());
        }
        if let Some(id) = &self.request_id {
            request.extensions_mut().insert(id.clone());
        }
        if changes {
            self.told.store(true, Ordering::Relaxed);
        }
        let response = match self.console.api.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .map_err(|error| Fault::Internal(error.to_string()))?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        match status {
            ..400 => Ok(answer),
            404 => Err(Fault::Missing),
            500.. => Err(Fault::Internal(
                answer["error"]["message"].as_str().unwrap_or_default().to_owned(),
            )),
            status => Err(Fault::Refused {
                status,
                message: answer["error"]["message"].as_str().unwrap_or_default().to_owned(),
            }),
        }
    }

    /// A form with what every form carries.
    pub fn form(&self, action: impl Into<String>, submit: &str) -> Form {
        Form {
            once: crate::id::random(),
            ..Form::new(action, self.t(submit))
        }
    }

    /// After an act: look at this, with a word about it.
    pub fn see(&self, path: &str, done: &str) -> Reply {
        let sign = if path.contains('?') { '&' } else { '?' };
        Reply::See(format!("{path}{sign}done={done}"))
    }

    /// The same address with other parameters; an empty one is left out.
    pub fn href(&self, path: &str, with: &[(&str, &str)]) -> String {
        let mut fields: Vec<(String, String)> = self.query.0.clone();
        fields
            .retain(|(name, value)| !value.is_empty() && name != "done" && with.iter().all(|(other, _)| other != name));
        fields.extend(
            with.iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        if fields.is_empty() {
            return path.to_owned();
        }
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        format!("{path}?{query}")
    }

    /// Leaves a row in the audit log about this act.
    pub(super) async fn note(&self, object: Option<&str>, status: u16) -> Result<(), Fault> {
        let action = format!("{} {}", self.entry.method, self.entry.path);
        self.console
            .note(
                &self.session.user,
                &action,
                object,
                self.peer.as_ref(),
                self.request_id.as_ref(),
                status,
            )
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_browsers_send_them() {
        let fields = Fields::read(b"a=1+2&b=%E4%B8%AD&a=3&c=");
        assert_eq!(fields.get("a"), "1 2");
        assert_eq!(fields.get("b"), "中");
        assert_eq!((fields.get("c"), fields.some("c"), fields.get("d")), ("", None, ""));
    }
}
