//! What one request leaves in the log.
//!
//! A [`Trail`] travels with the request. It is armed when the caller is known and the route is audited; the unit that commits
//! the act takes its row along; [`finish`] writes what no unit took: refusals, reads, failures. Nothing protected is shown
//! before its row is committed.

use super::{AuditEvent, Audited, Outcome};
use crate::api::Route;
use crate::api::error::{ApiError, Code};
use crate::app::App;
use crate::auth::{Access, Principal};
use crate::call::Answer;
use crate::commit::Unit;
use crate::edge::{Peer, RequestId};
use axum::response::{IntoResponse, Response};
use http::{Extensions, Uri};
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// The row of a request in the making; shared by all who handle it.
#[derive(Clone, Default)]
pub struct Trail(Arc<Mutex<Option<Armed>>>);

struct Armed {
    event: AuditEvent,
    reads: bool,
    /// status of the answer that a unit committed with the row
    told: Option<u16>,
}

impl Trail {
    /// Notes who asks for what, if calls of this route are in the log.
    pub fn arm(&self, app: &App, route: &Route, principal: &Principal, uri: &Uri, extensions: &Extensions) {
        let applies = match route.audited {
            Audited::Never => false,
            Audited::Always => true,
            Audited::ByPlatform => principal.for_another(),
        };
        if !applies {
            return;
        }
        let event = AuditEvent {
            book_id: principal.merchant.book_id,
            id: String::new(),
            at: app.clock.now(),
            actor: principal.key_id.to_string(),
            role: principal.role(),
            action: format!("{} {}", route.method, route.path),
            object: object(route.path, uri.path()),
            origin: extensions
                .get::<Peer>()
                .map(|peer| peer.address.ip().to_canonical().to_string()),
            request_id: extensions.get::<RequestId>().map(|id| id.as_str().to_owned()),
            result: Outcome::Begun,
            detail: None,
            recorded_xid: 0,
        };
        *self.lock() = Some(Armed {
            event,
            reads: route.access == Access::Read,
            told: None,
        });
    }

    /// Puts the row of the act into the unit that commits it: `begun` while it has no answer yet.
    pub fn onto(&self, unit: Unit, object_id: &str, answer: Option<&Answer>) -> Unit {
        let mut armed = self.lock();
        let Some(armed) = armed.as_mut() else { return unit };
        armed.event.object = Some(object_id.to_owned());
        let mut event = armed.event.clone();
        event.id = Uuid::now_v7().to_string();
        if let Some(answer) = answer {
            armed.told = Some(answer.status);
            event.result = Outcome::of_status(answer.status);
            event.detail = Some(answer.status.to_string());
        }
        unit.insert(&event)
    }

    fn take(&self) -> Option<Armed> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Armed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the row of a request that no unit has written, and gives the answer on. What was to be read is not shown when its row
/// cannot be written.
pub async fn finish(app: &App, trail: &Trail, response: Response) -> Response {
    let Some(armed) = trail.take() else { return response };
    let status = response.status().as_u16();
    // Another request's answer, shown again: this one did nothing.
    if armed.told == Some(status) || response.headers().contains_key("idempotent-replayed") {
        return response;
    }
    let mut event = armed.event;
    event.id = Uuid::now_v7().to_string();
    event.result = Outcome::of_status(status);
    event.detail = Some(match response.extensions().get::<Code>() {
        Some(Code(code)) => format!("{status} {code}"),
        None => status.to_string(),
    });
    match app.commit(Unit::new(event.book_id).insert(&event)).await {
        Ok(()) => response,
        Err(error) => {
            tracing::error!(%error, action = event.action, result = event.result.as_str(), "the audit log could not be written");
            match armed.reads && status < 400 {
                true => ApiError::busy().into_response(),
                false => response,
            }
        }
    }
}

/// The object that a path names, if it looks like an id of ours: whatever else a caller writes there stays out of the log.
fn object(pattern: &str, path: &str) -> Option<String> {
    let segments = pattern.split('/').zip(path.split('/'));
    let named = segments.filter(|(name, _)| name.starts_with('{')).last()?.1;
    let (prefix, suffix) = named.rsplit_once('_')?;
    let id = (2..=8).contains(&prefix.len())
        && prefix.bytes().all(|b| b.is_ascii_lowercase())
        && !SECRETS.contains(&prefix)
        && (1..=40).contains(&suffix.len())
        && suffix.bytes().all(|b| b.is_ascii_alphanumeric());
    id.then(|| named.to_owned())
}

/// Prefixes of what must not be known.
const SECRETS: [&str; 4] = ["sk", "rk", "pk", "whsec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_are_taken_from_a_path() {
        let of = |path: &str| object("/v1/refunds/{id}/cancel", path);
        assert_eq!(of("/v1/refunds/re_01abc/cancel").as_deref(), Some("re_01abc"));
        for other in [
            "sk_test_0123",
            "sk_0123",
            "ada@example.com",
            "4242",
            "re_",
            "_x",
            "whsec_0a",
            "Re_1",
            "re_1%20",
        ] {
            let path = format!("/v1/refunds/{other}/cancel");
            assert_eq!(of(&path), None, "{other}");
        }
        assert_eq!(object("/v1/refunds", "/v1/refunds"), None);
    }
}
