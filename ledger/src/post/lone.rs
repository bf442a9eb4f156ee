//! A journal by itself, as scalars: what `ledger.post_one` takes. For a lone caller; never a second way of posting with
//! rules of its own, everything it cannot say goes through `ledger.post`.

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::journal::Journal;
use crate::receipt;

/// The parameters of one call of `ledger.post_one`, ready to be bound.
#[derive(Debug)]
pub struct Lone<'a> {
    book: i64,
    journal: Uuid,
    code: &'static str,
    effective: Timestamp,
    reference: Option<&'a str>,
    link: Option<Uuid>,
    reverses: Option<Uuid>,
    key: Option<&'a [u8]>,
    digest: Option<Vec<u8>>,
    memo: Option<&'a serde_json::Value>,
    account: Vec<&'a str>,
    kind: Vec<i8>,
    amount: Vec<i64>,
}

impl<'a> Lone<'a> {
    /// How many parameters `ledger.post_one` takes.
    pub const COUNT: usize = 13;

    /// The types of its parameters.
    pub const TYPES: [Type; Lone::COUNT] = [
        Type::INT8,
        Type::UUID,
        Type::TEXT,
        Type::TIMESTAMPTZ,
        Type::TEXT,
        Type::UUID,
        Type::UUID,
        Type::BYTEA,
        Type::BYTEA,
        Type::JSONB,
        Type::TEXT_ARRAY,
        Type::CHAR_ARRAY,
        Type::INT8_ARRAY,
    ];

    /// The journal, when it is an everyday one: no hold, no value date, no account twice.
    pub fn of(journal: &'a Journal) -> Option<Lone<'a>> {
        let lines = journal.lines();
        let twice = |i: usize| lines[..i].iter().any(|l| l.account == lines[i].account);
        if journal.hold().is_some() || journal.or_value_date() || (1..lines.len()).any(twice) {
            return None;
        }
        Some(Lone {
            book: journal.book().0,
            journal: journal.id(),
            code: journal.code().as_str(),
            effective: journal.effective_at(),
            reference: journal.reference(),
            link: journal.link(),
            reverses: journal.reverses(),
            key: journal.key().map(|key| &key[..]),
            digest: journal.key().map(|_| receipt::digest(journal).to_vec()),
            memo: journal.memo(),
            account: lines.iter().map(|l| l.account.as_str()).collect(),
            // PostgreSQL's "char" is a byte.
            kind: lines.iter().map(|l| l.kind.letter() as i8).collect(),
            amount: lines.iter().map(|l| l.amount).collect(),
        })
    }

    /// The values of its parameters.
    pub fn values(&self) -> [&(dyn ToSql + Sync); Lone::COUNT] {
        [
            &self.book,
            &self.journal,
            &self.code,
            &self.effective,
            &self.reference,
            &self.link,
            &self.reverses,
            &self.key,
            &self.digest,
            &self.memo,
            &self.account,
            &self.kind,
            &self.amount,
        ]
    }
}

pub(super) const POST_ONE: &str = "SELECT ledger.post_one($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
