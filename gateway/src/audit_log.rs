//! The audit log: who did what, when, from where, to what, and how it ended.
//!
//! Every privileged act and every read of protected data leaves a row, refusals too. A route says in the route table whether it
//! does ([`Audited`]); a command says so in its [`Deed`](crate::cli). The row of an act is in the act's own commit where there
//! is one; that of a read is committed before anything is shown. Rows are history, [sealed](SERIES) like the books and told to
//! receivers elsewhere ([`export`]). It must never hold a parameter, a secret or a customer: names of routes, ids and addresses
//! alone.

pub mod export;
mod store;
mod trail;

pub use store::{Query, event, events, insert};
pub use trail::{Trail, finish};

use crate::commit::{Row, Table};
use jiff::Timestamp;
use ledger::seal::{Checks, Series};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `gateway.audit_event`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct AuditEvent {
    /// whose affairs; [`PLATFORM`] where nobody's
    pub book_id: i64,
    /// a time-ordered UUID as text
    pub id: String,
    pub at: Timestamp,
    /// `key_..`, `operator:NAME@HOST` or `system`
    pub actor: String,
    /// kind and scopes of the key, or the role in the database
    pub role: String,
    /// route or command, without parameters
    pub action: String,
    pub object: Option<String>,
    /// the address it came from
    pub origin: Option<String>,
    pub request_id: Option<String>,
    pub result: Outcome,
    /// status and code of the answer
    pub detail: Option<String>,
    /// the transaction that recorded it; the database says so
    #[serde(default)]
    pub recorded_xid: i64,
}

/// How an act ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// it goes on, and another row tells its end; when none does, its process died
    Begun,
    /// it took effect, or what was asked for was shown
    Done,
    /// it was not allowed, or not possible
    Refused,
    /// our fault, or not known
    Failed,
}

impl Outcome {
    /// What an answer's status says of the act.
    pub fn of_status(status: u16) -> Self {
        match status {
            ..400 => Outcome::Done,
            400..500 => Outcome::Refused,
            _ => Outcome::Failed,
        }
    }

    /// The word in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Begun => "begun",
            Outcome::Done => "done",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        }
    }
}

/// Whether a route's calls are in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audited {
    /// an ordinary part of selling
    Never,
    /// each call
    Always,
    /// when the platform looks at, or acts on, what is a merchant's
    ByPlatform,
}

impl AuditEvent {
    /// An act of the service itself.
    pub fn of_system(book_id: i64, at: Timestamp, action: &str, object: Option<String>) -> Self {
        Self {
            book_id,
            id: Uuid::now_v7().to_string(),
            at,
            actor: "system".to_owned(),
            role: "service".to_owned(),
            action: action.to_owned(),
            object,
            origin: None,
            request_id: None,
            result: Outcome::Done,
            detail: None,
            recorded_xid: 0,
        }
    }
}

impl Row for AuditEvent {
    const TABLE: Table = Table::AuditEvent;
    fn book_id(&self) -> i64 {
        self.book_id
    }
    fn id(&self) -> &str {
        &self.id
    }
}

/// The book of what is no merchant's.
pub const PLATFORM: i64 = 0;

/// The chain of the log, beside that of the books and under keys derived for it.
pub static SERIES: Series = Series {
    noun: "event",
    rows: "gateway.audit_event",
    id: "id",
    pages: "gateway.audit_seal",
    append: "gateway.seal_audit_page",
    horizon: "NULL::uuid",
    summarise: None,     // autovacuum does it: the log is small
    lock: 1_635_083_369, // "audi" in ASCII
    leaf: "counterfoil/audit/v1",
    keys: "audit",
    checks: Checks {
        pages: "each page of the audit log continues the one before it",
        rows: "each sealed audit event is what was sealed, and in its place",
        keys: "each page of the audit log is signed with a key of the key file",
        macs: "the MAC of each page of the audit log is right",
        exported: "exported heads are of this audit log",
        unsealed: "audit events not sealed yet are younger than the sealed ones",
        detached: "sealed audit events that are not read",
    },
};

/// Before the names of the files of its heads.
pub const HEADS: &str = "audit-";
