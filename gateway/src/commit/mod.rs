//! The group committer's gateway half: units in, one transaction for all that are queued, each caller its own answer.

mod table;
mod unit;
pub use table::{Row, Table, Versioned};
pub use unit::{Digest, Request, Unit};
