//! Events: what happened, with the object as it was, written in the commit that made it true.
//!
//! History: a row is never changed. It must never hold more than the API itself would show.

use crate::commit::{Row, Table};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `gateway.event`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Event {
    pub book_id: i64,
    pub id: String,
    pub r#type: String,
    pub object_id: String,
    /// the object's JSON text, spliced into answers and deliveries unchanged; written beside the row's JSON
    #[serde(skip_serializing)]
    pub object: String,
    /// the changed fields as they were before, as JSON text
    pub previous: Option<String>,
    pub request_id: Option<String>,
    pub idempotency_key: Option<String>,
    pub created_at: Timestamp,
}

impl Row for Event {
    const TABLE: Table = Table::Event;
    fn book_id(&self) -> i64 {
        self.book_id
    }
    fn id(&self) -> &str {
        &self.id
    }
    fn body(&self) -> Option<&str> {
        Some(&self.object)
    }
}
