//! The console: where people see what happened and decide, in a browser, on the operations listener.
//!
//! Server-rendered pages that work without script. A page is one file in `pages` and one line in its table, which says who may open
//! it; the role matrix, the navigation and the tests come from there. Pages read by queries of their own and act through the API's
//! router as the person who is signed in, so nothing can be done here that the API would refuse. It must never hold a rule about
//! money, load anything from elsewhere, or put a word into a page that a template has not escaped.

pub mod message;
pub mod pages;
pub mod password;
pub mod query;
pub mod role;
pub mod totp;
pub mod user;
pub mod view;

mod assets;
mod ctx;
mod format;
mod frame;
mod gate;
mod live;
mod sign_in;

pub use ctx::{Ctx, Fault, Fields, Outcome, Reply};
pub use live::WAITING;

use crate::app::App;
use crate::audit_log::{self, AuditEvent};
use crate::commit::Unit;
use crate::edge::{Peer, RequestId};
use crate::limit::KeyLimit;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware;
use axum::routing::{get, post};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use user::User;

/// What all requests share.
pub struct Console {
    /// the service
    pub app: Arc<App>,
    /// the API's router
    pub api: Router,
    /// how the console is set
    pub settings: Settings,
    /// of all people's acts together
    pub(super) limit: Arc<KeyLimit>,
    /// says when the service ends
    pub(super) stopped: watch::Receiver<bool>,
    /// what lives for seconds
    pub(super) kept: live::Kept,
    /// books of merchants' readers
    books: Mutex<HashMap<String, i64>>,
}

/// What an operator sets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// nobody works without a second factor
    pub second_factor: bool,
    /// refunds above this many minor units take two people
    pub refund_limit: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            second_factor: true,
            refund_limit: 100_000,
        }
    }
}

/// The console's router. `api` is what acts go through.
pub fn router(app: Arc<App>, api: Router, settings: Settings, stopped: watch::Receiver<bool>) -> Router {
    let console = Arc::new(Console {
        app,
        api,
        settings,
        limit: Arc::new(KeyLimit::new(ACTS_PER_SECOND, ACTS_AT_ONCE)),
        stopped,
        kept: live::Kept::default(),
        books: Mutex::default(),
    });
    let mut router: Router<Arc<Console>> = Router::new()
        .route("/sign-in", get(sign_in::show).post(sign_in::submit))
        .route("/sign-in/code", get(sign_in::ask_code).post(sign_in::submit_code))
        .route("/sign-out", post(sign_in::leave))
        .route("/live", get(live::stream))
        .merge(assets::routes());
    for entry in pages::PAGES {
        let serve = move |State(console): State<Arc<Console>>, request: Request| gate::serve(console, entry, request);
        let method = match entry.method {
            "POST" => post(serve),
            _ => get(serve),
        };
        router = router.route(entry.path, method);
    }
    router.layer(middleware::from_fn(gate::headers)).with_state(console)
}

impl Console {
    /// The one book that a person may see; none: all of them.
    pub(super) fn own_book(&self, user: &User) -> Option<i64> {
        let account = user.account.as_ref()?;
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        // A reader whose merchant is not known sees the book that nobody has.
        Some(books.get(account).copied().unwrap_or(NOBODYS_BOOK))
    }

    /// Looks a reader's book up, once: accounts keep their books.
    pub(super) async fn learn_book(&self, user: &User) -> Result<(), Fault> {
        let Some(account) = &user.account else { return Ok(()) };
        let known = |books: &Mutex<HashMap<String, i64>>| {
            let books = books.lock().unwrap_or_else(PoisonError::into_inner);
            books.contains_key(account)
        };
        if known(&self.books) {
            return Ok(());
        }
        if let Some(merchant) = self.app.merchant_by_id(account).await? {
            let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
            books.insert(account.clone(), merchant.book_id);
        }
        Ok(())
    }

    /// Leaves a row in the audit log.
    pub(super) async fn note(
        &self,
        user: &User,
        action: &str,
        object: Option<&str>,
        peer: Option<&Peer>,
        request_id: Option<&RequestId>,
        status: u16,
    ) -> Result<(), Fault> {
        let event = AuditEvent {
            actor: format!("user:{}", user.name),
            role: user.role.as_str().to_owned(),
            object: object.filter(|id| is_an_id(id)).map(str::to_owned),
            origin: peer.map(|peer| peer.address.ip().to_canonical().to_string()),
            request_id: request_id.map(|id| id.as_str().to_owned()),
            result: audit_log::Outcome::of_status(status),
            detail: Some(status.to_string()),
            ..AuditEvent::of_system(audit_log::PLATFORM, self.app.clock.now(), action, None)
        };
        let unit = Unit::new(event.book_id).insert(&event);
        self.app
            .commit(unit)
            .await
            .map_err(|error| Fault::Internal(format!("the audit log: {error}")))
    }
}

/// What may stand in the audit log as an object: what looks like an id of ours, or a journal's.
fn is_an_id(text: &str) -> bool {
    (3..=60).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

const ACTS_PER_SECOND: u32 = 200;
const ACTS_AT_ONCE: u32 = 50;
const NOBODYS_BOOK: i64 = i64::MIN;
