//! A unit: everything that one step of a flow writes, committed together or not at all (law 3).
//!
//! Guarded rows, journals, events and the stored answer of the request. It is built by the flow's own task, rows already
//! turned into JSON, so that the writer that runs the batch does nothing per unit but concatenate.

use super::table::{Row, Table, Versioned};
use ledger::journal::Journal;
use serde::{Deserialize, Serialize};

/// The digest of a caller's idempotency key or of a request: 16 bytes, shown to PostgreSQL as bytea hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 16]);

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("\\x{}", hex::encode(self.0)))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let bytes = text
            .strip_prefix("\\x")
            .and_then(|h| hex::decode(h).ok())
            .and_then(|b| b.try_into().ok());
        bytes
            .map(Digest)
            .ok_or_else(|| serde::de::Error::custom("not a 16-byte digest"))
    }
}

/// A request under an idempotency key; the row of `gateway.request`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// the merchant's book
    pub book_id: i64,
    /// digest of the caller's key
    pub key: Digest,
    /// digest of method, path and parameters
    pub digest: Digest,
    /// method and path, for the error that tells two uses of one key apart
    pub path: String,
    /// the object the answer is about
    pub object_id: Option<String>,
    /// HTTP status of the stored answer; none while the first request is at work
    pub status: Option<u16>,
    /// body of the stored answer, byte for byte; written beside the row's JSON
    #[serde(skip_serializing)]
    pub body: Option<String>,
    /// when it was claimed
    pub created_at: jiff::Timestamp,
    /// what the answer shows in full
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expand: Option<Vec<String>>,
}

impl Request {
    /// A request known by its key alone, whose answer a crash left owing.
    pub fn owed(book_id: i64, key: Digest, at: jiff::Timestamp) -> Self {
        Self {
            book_id,
            key,
            digest: Digest([0; 16]),
            path: String::new(),
            object_id: None,
            status: None,
            body: None,
            created_at: at,
            expand: None,
        }
    }

    /// The same with its answer.
    pub fn answered(mut self, object_id: &str, answer: &crate::call::Answer) -> Self {
        self.object_id = Some(object_id.to_owned());
        self.status = Some(answer.status);
        self.body = Some(answer.body.clone());
        self
    }
}

/// What one step of a flow writes.
#[derive(Debug)]
pub struct Unit {
    pub(super) book_id: i64,
    pub(super) claim: Option<Keyed>,
    pub(super) answer: Option<Keyed>,
    pub(super) rows: Vec<Write>,
    pub(super) journals: Vec<Journal>,
}

#[derive(Debug)]
pub(super) struct Keyed {
    pub key: Digest,
    pub json: String,
    pub body: Option<String>,
}

#[derive(Debug)]
pub(super) struct Write {
    pub table: Table,
    /// the row's own: a unit may also write what belongs to another book than its request
    pub book_id: i64,
    pub new: bool,
    pub id: String,
    pub json: String,
    pub body: Option<String>,
}

impl Unit {
    /// An empty unit for one merchant's book.
    pub fn new(book_id: i64) -> Self {
        Self {
            book_id,
            claim: None,
            answer: None,
            rows: Vec::new(),
            journals: Vec::new(),
        }
    }

    /// Claims an idempotency key; refused as [`Refused::KeyTaken`](super::Refused) if anyone had it before. With status
    /// and body set, claim and answer are one row.
    pub fn claim(mut self, request: &Request) -> Self {
        self.claim = Some(Keyed {
            key: request.key,
            json: json(request),
            body: request.body.clone(),
        });
        self
    }

    /// Stores the answer of a request claimed by an earlier unit.
    pub fn answer(mut self, request: &Request) -> Self {
        self.answer = Some(Keyed {
            key: request.key,
            json: json(request),
            body: request.body.clone(),
        });
        self
    }

    /// Adds a new row; refused as a conflict if its key exists.
    pub fn insert<R: Row>(mut self, row: &R) -> Self {
        self.rows.push(Write {
            table: R::TABLE,
            book_id: row.book_id(),
            new: true,
            id: row.id().to_owned(),
            json: json(row),
            body: row.body().map(str::to_owned),
        });
        self
    }

    /// Moves a row from the version it was read at to the next; refused as a conflict if it has moved meanwhile. The
    /// row in hand carries the new version afterwards.
    pub fn update<R: Versioned>(mut self, row: &mut R) -> Self {
        *row.version_mut() += 1;
        self.rows.push(Write {
            table: R::TABLE,
            book_id: row.book_id(),
            new: false,
            id: row.id().to_owned(),
            json: json(row),
            body: row.body().map(str::to_owned),
        });
        self
    }

    /// Adds journals.
    pub fn journals(mut self, journals: impl IntoIterator<Item = Journal>) -> Self {
        self.journals.extend(journals);
        self
    }
}

fn json<T: Serialize>(row: &T) -> String {
    // A row is plain data with string keys: it cannot fail to serialise.
    serde_json::to_string(row).expect("rows serialise")
}
