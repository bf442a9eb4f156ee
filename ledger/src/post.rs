//! Posting: the only way by which money moves.
//!
//! [`post`] is optimistic and is **one statement, one round trip**, whatever the number of journals: it reads no balance
//! first. A lone everyday journal has a function of its own, because what arrays cost to start would be most of its time;
//! a writer [prepares](Statements) both.  The journals are inserted, the deltas of the counters are derived from the rows just inserted and applied
//! with one UPDATE; a limit that would break is refused by a CHECK, which fails the whole call. [`admit()`] is the careful
//! way for that rare case: **one round trip** (three pipelined statements), it locks what the journals touch and says
//! which of them are refused; the caller then posts the rest.
//!
//! Locks, all kept to the end of the database transaction: the periods (shared, so that closing one waits for postings
//! under way), idempotency keys, the ids of the journals in the order given, then holds, then accounts; keys, holds and
//! accounts each in sorted order, sorted in SQL by the statement that takes them. Two calls therefore cannot deadlock over
//! them. The careful way takes accounts before keys: should it meet the other way over the same key, PostgreSQL ends one
//! with 40P01, to be retried.
//!
//! A journal without an idempotency key, dated today, pays for keys, periods and approvals with one shared lock and a few
//! comparisons; no other table is read.
//!
//! A call is judged by its end: several journals of one call may lean on each other, in any order.
//!
//! Never called with a connection that is not inside the transaction which also writes the state that the money
//! belongs to. A failed call leaves that transaction aborted, as any failed statement does.

mod admit;
mod batch;
mod lone;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Statement};

pub use admit::admit;
pub use batch::LedgerBatch;
pub use lone::Lone;

use crate::journal::{HoldUse, Journal};
use crate::{Refusal, receipt};

/// Why a call of [`post`] did nothing. The transaction is aborted: roll back, to a savepoint or wholly.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// An account would fall below its limit, one among all the journals of the call: go the careful way ([`admit()`]).
    #[error("an account would be overdrawn")]
    NeedsCare,
    /// One of the journals is refused for another reason. When there are several, [`admit()`] says which.
    #[error(transparent)]
    Refused(Refusal),
    /// The database failed, or asks to try again (40001, 40P01).
    #[error("the database failed")]
    Database(#[source] tokio_postgres::Error),
}

/// The parameters of one call of `ledger.post`, ready to be bound: for callers whose own SQL function calls it together
/// with the rest of what they write. Arrays that would be all NULL are NULL.
#[derive(Debug, Default)]
pub struct Arguments {
    book: Vec<i64>,
    journal: Vec<uuid::Uuid>,
    code: Vec<&'static str>,
    effective: Vec<jiff::Timestamp>,
    reference: Option<Vec<Option<String>>>,
    link: Option<Vec<Option<uuid::Uuid>>>,
    reverses: Option<Vec<Option<uuid::Uuid>>>,
    key: Option<Vec<Option<Vec<u8>>>>,
    memo: Option<Vec<Option<serde_json::Value>>>,
    account: Vec<String>,
    kind: Vec<String>,
    amount: Vec<String>,
    hold: Option<Vec<Option<uuid::Uuid>>>,
    expires: Option<Vec<Option<jiff::Timestamp>>>,
    closes: Option<Vec<bool>>,
    value_date: Option<Vec<bool>>,
    digest: Option<Vec<Option<Vec<u8>>>>,
}

/// Posts all journals or none, in the caller's transaction. No journals is no statement.
pub async fn post(client: &impl GenericClient, journals: &[&Journal]) -> Result<(), PostError> {
    if journals.is_empty() {
        return Ok(());
    }
    let arguments = Arguments::new(journals.iter().copied());
    // An unnamed statement with known types: nothing to prepare, and a pooler in transaction mode can carry it.
    client
        .execute_typed(POST, &arguments.typed())
        .await
        .map(drop)
        .map_err(PostError::from)
}

/// What [`post_with`] sends, prepared on one connection.
#[derive(Clone, Debug)]
pub struct Statements {
    many: Statement,
    one: Statement,
}

impl Statements {
    /// Prepares them: two round trips, once per connection.
    pub async fn prepare(client: &impl GenericClient) -> Result<Statements, tokio_postgres::Error> {
        Ok(Statements {
            many: client.prepare_typed(POST, &Arguments::TYPES).await?,
            one: client.prepare_typed(lone::POST_ONE, &Lone::TYPES).await?,
        })
    }
}

/// [`post`] by what was prepared on this connection: nothing is parsed, and a lone journal takes the short way.
pub async fn post_with(
    client: &impl GenericClient,
    statements: &Statements,
    journals: &[&Journal],
) -> Result<(), PostError> {
    let posted = match journals {
        [] => return Ok(()),
        [journal] if let Some(lone) = Lone::of(journal) => client.execute(&statements.one, &lone.values()).await,
        _ => {
            let arguments = Arguments::new(journals.iter().copied());
            client.execute(&statements.many, &arguments.values()).await
        }
    };
    posted.map(drop).map_err(PostError::from)
}

impl Arguments {
    /// How many parameters `ledger.post` takes.
    pub const COUNT: usize = 17;

    /// The journals as parallel arrays.
    pub fn new<'a>(journals: impl Iterator<Item = &'a Journal> + Clone) -> Arguments {
        let n = journals.clone().count();
        let mut a = Arguments {
            book: Vec::with_capacity(n),
            journal: Vec::with_capacity(n),
            code: Vec::with_capacity(n),
            effective: Vec::with_capacity(n),
            account: Vec::with_capacity(n),
            kind: Vec::with_capacity(n),
            amount: Vec::with_capacity(n),
            ..Arguments::default()
        };
        for j in journals.clone() {
            a.book.push(j.book().0);
            a.journal.push(j.id());
            a.code.push(j.code().as_str());
            a.effective.push(j.effective_at());
            // Account names hold no character that an array literal would need to escape.
            a.account.push(literal(j, |out, l| out.push_str(l.account.as_str())));
            a.kind.push(literal(j, |out, l| out.push(l.kind.letter())));
            a.amount.push(literal(j, |out, l| {
                let _ = std::fmt::Write::write_fmt(out, format_args!("{}", l.amount)); // a String takes any write
            }));
        }
        a.reference = column(journals.clone(), |j| j.reference().map(str::to_owned));
        a.link = column(journals.clone(), Journal::link);
        a.reverses = column(journals.clone(), Journal::reverses);
        a.key = column(journals.clone(), |j| j.key().map(|k| k.to_vec()));
        a.memo = column(journals.clone(), |j| j.memo().cloned());
        a.hold = column(journals.clone(), Journal::hold_id);
        if a.hold.is_some() {
            a.expires = column(journals.clone(), |j| match j.hold() {
                Some(HoldUse::Open { expires_at }) => Some(expires_at),
                Some(HoldUse::Consume { alive_at, .. }) => alive_at,
                None => None,
            });
            a.closes = Some(
                journals
                    .clone()
                    .map(|j| matches!(j.hold(), Some(HoldUse::Consume { closes: true, .. })))
                    .collect(),
            );
        }
        if a.key.is_some() {
            a.digest = column(journals.clone(), |j| j.key().map(|_| receipt::digest(j).to_vec()));
        }
        if journals.clone().any(Journal::or_value_date) {
            a.value_date = Some(journals.map(Journal::or_value_date).collect());
        }
        a
    }

    /// The types of `ledger.post`'s parameters.
    pub const TYPES: [Type; Arguments::COUNT] = [
        Type::INT8_ARRAY,
        Type::UUID_ARRAY,
        Type::TEXT_ARRAY,
        Type::TIMESTAMPTZ_ARRAY,
        Type::TEXT_ARRAY,
        Type::UUID_ARRAY,
        Type::UUID_ARRAY,
        Type::BYTEA_ARRAY,
        Type::JSONB_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::UUID_ARRAY,
        Type::TIMESTAMPTZ_ARRAY,
        Type::BOOL_ARRAY,
        Type::BOOL_ARRAY,
        Type::BYTEA_ARRAY,
    ];

    /// The values of `ledger.post`'s parameters.
    pub fn values(&self) -> [&(dyn ToSql + Sync); Arguments::COUNT] {
        [
            &self.book,
            &self.journal,
            &self.code,
            &self.effective,
            &self.reference,
            &self.link,
            &self.reverses,
            &self.key,
            &self.memo,
            &self.account,
            &self.kind,
            &self.amount,
            &self.hold,
            &self.expires,
            &self.closes,
            &self.value_date,
            &self.digest,
        ]
    }

    /// Values with their types.
    pub fn typed(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.values().into_iter().zip(Arguments::TYPES).collect()
    }
}

impl From<tokio_postgres::Error> for PostError {
    /// Tells a refusal of the ledger from a failure, by SQLSTATE and constraint name.
    fn from(e: tokio_postgres::Error) -> PostError {
        match e.as_db_error().and_then(Refusal::from_database) {
            Some(Refusal::Overdraft(_)) => PostError::NeedsCare,
            Some(refusal) => PostError::Refused(refusal),
            None => PostError::Database(e),
        }
    }
}

/// One array literal of a field of the journal's lines: `{1110.stripe.usd,2010.usd}`.
fn literal(j: &Journal, field: impl Fn(&mut String, &crate::journal::Line)) -> String {
    let mut out = String::with_capacity(16 * j.lines().len() + 2);
    for (i, line) in j.lines().iter().enumerate() {
        out.push(if i == 0 { '{' } else { ',' });
        field(&mut out, line);
    }
    out.push('}');
    out
}

/// A nullable column, or nothing when it is NULL in every journal.
fn column<'a, T>(
    journals: impl Iterator<Item = &'a Journal> + Clone,
    field: impl Fn(&'a Journal) -> Option<T>,
) -> Option<Vec<Option<T>>> {
    journals
        .clone()
        .any(|j| field(j).is_some())
        .then(|| journals.map(field).collect())
}

const POST: &str = "SELECT ledger.post($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
