//! `gateway.iso8583_message`: what was said to the host, durable before it is sent.
//!
//! The host cannot be asked; this is the memory that inquiries are answered from and that advices are repeated from. It must
//! never hold a card number, and a row that has ended never changes again (a trigger sees to it).

use deadpool_postgres::Pool;
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Row as SqlRow;
use tokio_postgres::types::Type;

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// 0100: asks for an approval
    Authorization,
    /// 0100 about an approved one: asks for more
    Raise,
    /// 0220: takes the money of one, or a part
    Completion,
    /// 0420: releases one, or undoes what is not known
    Reversal,
    /// 0420: undoes a raise of which it is not known whether it was approved
    Unraise,
    /// 0220 with processing code 20: gives money back
    Refund,
}

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Sent,
    NotSent,
    Approved,
    Declined,
    TimedOut,
    Acknowledged,
    Refused,
}

/// A message of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub reference: String,
    pub kind: Kind,
    /// RRN of the authorization that it is about
    pub payment: String,
    /// DE 37
    pub rrn: String,
    /// DE 11
    pub stan: String,
    /// DE 7
    pub transmitted: String,
    /// minor units
    pub amount: i64,
    pub currency: String,
    pub state: State,
    pub response_code: Option<String>,
    /// how often it was repeated
    pub attempts: i16,
    /// of a completion: no other comes after it
    pub last: bool,
}

/// A message that is about to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft<'a> {
    pub reference: &'a str,
    pub kind: Kind,
    /// RRN of the authorization; none for an authorization itself
    pub payment: Option<&'a str>,
    pub amount: i64,
    pub currency: &'a str,
    /// of a completion: no other comes after it
    pub last: bool,
    /// when somebody else takes care of it, should this process die
    pub due_at: Timestamp,
}

/// Why the journal cannot be used: the database does not answer, or refused.
#[derive(Debug, thiserror::Error)]
#[error("the journal of messages cannot be used: {0}")]
pub(super) struct JournalError(String);

impl From<tokio_postgres::Error> for JournalError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<deadpool_postgres::PoolError> for JournalError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self(error.to_string())
    }
}

type Result<T> = std::result::Result<T, JournalError>;

/// The journal.
#[derive(Clone)]
pub(super) struct Journal(pub Pool);

impl Journal {
    /// Makes the message durable; or gives the one that is there already under this reference or, for a reversal, for
    /// this payment. `true`: it is to be sent now. One that was not sent is taken up again.
    pub(super) async fn begin(&self, draft: Draft<'_>, now: Timestamp) -> Result<(Entry, bool)> {
        let client = self.0.get().await?;
        let inserted = client
            .query_typed(
                &format!(
                    "WITH t AS (SELECT nextval('gateway.iso8583_trace') AS n, $6::timestamptz AT TIME ZONE 'UTC' AS at),
                          r AS (SELECT to_char(at, 'Y') || to_char(at, 'DDD') || lpad((n % 100000000)::text, 8, '0') AS rrn,
                                       lpad((n % 1000000)::text, 6, '0') AS stan, to_char(at, 'MMDDHH24MISS') AS transmitted FROM t)
                     INSERT INTO gateway.iso8583_message
                         (reference, kind, payment, rrn, stan, transmitted, amount, currency, state, attempts, due_at, sent_at, last)
                     SELECT $1, $2, coalesce($3, rrn), CASE WHEN $2 IN ('authorization','refund') THEN rrn ELSE $3 END, stan,
                            transmitted, $4, $5, 'sent', 0, $7, $6, $8 FROM r
                     ON CONFLICT DO NOTHING RETURNING {COLUMNS}"
                ),
                &[
                    (&draft.reference, Type::TEXT),
                    (&draft.kind.as_str(), Type::TEXT),
                    (&draft.payment, Type::TEXT),
                    (&draft.amount, Type::INT8),
                    (&draft.currency, Type::TEXT),
                    (&now, Type::TIMESTAMPTZ),
                    (&draft.due_at, Type::TIMESTAMPTZ),
                    (&draft.last, Type::BOOL),
                ],
            )
            .await?;
        if let Some(row) = inserted.first() {
            return Ok((entry(row)?, true));
        }
        // Whoever takes up one that was not sent is alone in it: the state is the lock.
        let again = client
            .query_typed(
                &format!(
                    "UPDATE gateway.iso8583_message SET state = 'sent', due_at = $4
                     WHERE state = 'not_sent' AND (reference = $1 OR (kind = $2 AND payment = $3 AND kind = 'reversal'))
                     RETURNING {COLUMNS}"
                ),
                &[
                    (&draft.reference, Type::TEXT),
                    (&draft.kind.as_str(), Type::TEXT),
                    (&draft.payment, Type::TEXT),
                    (&draft.due_at, Type::TIMESTAMPTZ),
                ],
            )
            .await?;
        if let Some(row) = again.first() {
            return Ok((entry(row)?, true));
        }
        let known = client
            .query_typed(
                &format!(
                    "SELECT {COLUMNS} FROM gateway.iso8583_message
                     WHERE reference = $1 OR (kind = $2 AND payment = $3 AND kind = 'reversal' AND state <> 'refused')
                     ORDER BY reference = $1 DESC LIMIT 1"
                ),
                &[
                    (&draft.reference, Type::TEXT),
                    (&draft.kind.as_str(), Type::TEXT),
                    (&draft.payment, Type::TEXT),
                ],
            )
            .await?;
        let row = known
            .first()
            .ok_or_else(|| JournalError("a message came and went".to_owned()))?;
        Ok((entry(row)?, false))
    }

    /// It has ended. `false` when it had before, in another way.
    pub(super) async fn end(
        &self,
        reference: &str,
        state: State,
        response_code: Option<&str>,
        approval_code: Option<&str>,
        now: Timestamp,
    ) -> Result<bool> {
        let client = self.0.get().await?;
        let ended = client
            .execute_typed(
                "UPDATE gateway.iso8583_message
                 SET state = $2, due_at = NULL, response_code = $3, approval_code = $4, answered_at = $5
                 WHERE reference = $1 AND (state = 'sent' OR state = $2)",
                &[
                    (&reference, Type::TEXT),
                    (&state.as_str(), Type::TEXT),
                    (&response_code, Type::TEXT),
                    (&approval_code, Type::TEXT),
                    (&now, Type::TIMESTAMPTZ),
                ],
            )
            .await?;
        Ok(ended == 1)
    }

    /// An authorization, or a raise of one, whose outcome is not known: it ends so, and its reversal is there, due at once, in one commit.
    pub(super) async fn time_out(&self, reference: &str, now: Timestamp) -> Result<()> {
        let client = self.0.get().await?;
        client
            .execute_typed(
                "WITH gone AS (UPDATE gateway.iso8583_message SET state = 'timed_out', due_at = NULL
                               WHERE reference = $1 AND kind IN ('authorization','raise') AND state = 'sent' RETURNING *)
                 INSERT INTO gateway.iso8583_message
                     (reference, kind, payment, rrn, stan, transmitted, amount, currency, state, attempts, due_at, sent_at)
                 SELECT reference || ':timeout', CASE kind WHEN 'raise' THEN 'unraise' ELSE 'reversal' END, payment, payment,
                        lpad((nextval('gateway.iso8583_trace') % 1000000)::text, 6, '0'),
                        to_char($2::timestamptz AT TIME ZONE 'UTC', 'MMDDHH24MISS'), amount, currency, 'sent', 0, $2, $2
                 FROM gone ON CONFLICT DO NOTHING",
                &[(&reference, Type::TEXT), (&now, Type::TIMESTAMPTZ)],
            )
            .await?;
        Ok(())
    }

    /// Takes what is due, for this long; nobody else gets it meanwhile.
    pub(super) async fn claim(&self, now: Timestamp, lease: SignedDuration) -> Result<Vec<Entry>> {
        let client = self.0.get().await?;
        let rows = client
            .query_typed(
                &format!(
                    "UPDATE gateway.iso8583_message t SET due_at = $2 FROM
                       (SELECT reference AS due FROM gateway.iso8583_message WHERE due_at <= $1
                        ORDER BY due_at LIMIT 64 FOR UPDATE SKIP LOCKED) d
                     WHERE reference = due RETURNING {COLUMNS}"
                ),
                &[(&now, Type::TIMESTAMPTZ), (&(now + lease), Type::TIMESTAMPTZ)],
            )
            .await?;
        rows.iter().map(entry).collect()
    }

    /// It was repeated without an answer; again at `due_at`.
    pub(super) async fn repeat(&self, reference: &str, due_at: Timestamp) -> Result<()> {
        let client = self.0.get().await?;
        client
            .execute_typed(
                "UPDATE gateway.iso8583_message SET attempts = least(attempts + 1, 30000)::smallint, due_at = $2
                 WHERE reference = $1 AND state = 'sent'",
                &[(&reference, Type::TEXT), (&due_at, Type::TIMESTAMPTZ)],
            )
            .await?;
        Ok(())
    }

    /// The message under this reference.
    pub(super) async fn by_reference(&self, reference: &str) -> Result<Option<Entry>> {
        let client = self.0.get().await?;
        let rows = client
            .query_typed(
                &format!("SELECT {COLUMNS} FROM gateway.iso8583_message WHERE reference = $1"),
                &[(&reference, Type::TEXT)],
            )
            .await?;
        rows.first().map(entry).transpose()
    }

    /// Everything that was said about a payment, oldest first.
    pub(super) async fn of_payment(&self, rrn: &str) -> Result<Vec<Entry>> {
        let client = self.0.get().await?;
        let rows = client
            .query_typed(
                &format!(
                    "SELECT {COLUMNS} FROM gateway.iso8583_message WHERE payment = $1 ORDER BY sent_at, reference"
                ),
                &[(&rrn, Type::TEXT)],
            )
            .await?;
        rows.iter().map(entry).collect()
    }
}

const COLUMNS: &str =
    "reference, kind, payment, rrn, stan, transmitted, amount, currency, state, response_code, attempts, last";

fn entry(row: &SqlRow) -> Result<Entry> {
    let (kind, state): (String, String) = (row.try_get(1)?, row.try_get(8)?);
    Ok(Entry {
        reference: row.try_get(0)?,
        kind: Kind::of(&kind)?,
        payment: row.try_get(2)?,
        rrn: row.try_get(3)?,
        stan: row.try_get(4)?,
        transmitted: row.try_get(5)?,
        amount: row.try_get(6)?,
        currency: row.try_get(7)?,
        state: State::of(&state)?,
        response_code: row.try_get(9)?,
        attempts: row.try_get(10)?,
        last: row.try_get(11)?,
    })
}

/// An enum and its words in the database.
macro_rules! words {
    ($name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $name {
            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
            fn of(word: &str) -> Result<Self> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    other => Err(JournalError(format!("{other} is not known"))),
                }
            }
        }
    };
}
words!(Kind {
    Authorization = "authorization", Raise = "raise", Completion = "completion", Reversal = "reversal", Unraise = "unraise",
    Refund = "refund",
});
words!(State {
    Sent = "sent", NotSent = "not_sent", Approved = "approved", Declined = "declined", TimedOut = "timed_out",
    Acknowledged = "acknowledged", Refused = "refused",
});
