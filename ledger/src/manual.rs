//! Manual journals (J32): one person proposes, another one approves, and only then is it booked.
//!
//! A proposal is balanced from the start, has a reason and a ticket, and is never edited: a wrong one is rejected and
//! another proposed. Approval and journal commit together. That the two are different people is a CHECK of the database,
//! and a J32 without an approval of exactly its lines is refused by the journal's own trigger, whoever writes it.
//! One round trip to propose or reject.
//! Names are what the caller says: it must have authenticated them. Needs the grants of `ledger_writer`.

use jiff::Timestamp;
use postgres_types::ToSql;
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::balance::StoredName;
use crate::journal::{Draft, Journal, Line, LineKind};
use crate::post::{PostError, post};
use crate::{BookId, JournalCode, Refusal};

/// Why a proposal was not taken, or not decided.
#[derive(Debug, thiserror::Error)]
pub enum ManualError {
    /// Maker and checker are one person.
    #[error("who proposed a journal cannot decide about it")]
    SamePerson,
    /// It has its decision already.
    #[error("the proposal is decided already")]
    AlreadyDecided,
    /// The book has no such proposal.
    #[error("there is no such proposal")]
    UnknownProposal,
    /// A name, a reason or the ticket is missing.
    #[error("a proposal needs a reason, a ticket and a name; a rejection needs a reason")]
    Unexplained,
    /// The journal is refused, e.g. unbalanced, or in a closed period.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] tokio_postgres::Error),
}

/// What one person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Book.
    pub book: BookId,
    /// Its id.
    pub id: Uuid,
    /// When the fact happened.
    pub effective_at: Timestamp,
    /// Posted debits and credits.
    pub lines: Vec<Line>,
    /// Why.
    pub reason: String,
    /// Where it is discussed.
    pub ticket: String,
    /// Who proposes.
    pub maker: String,
}

/// What the other person said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Who decided.
    pub checker: String,
    /// Why; always there for a rejection.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
    /// The journal it was booked as; none when it was rejected.
    pub journal: Option<Uuid>,
}

/// Keeps a proposal. Its lines must balance; whether its accounts exist and take it is seen when it is booked.
pub async fn propose(client: &impl GenericClient, proposal: &Proposal) -> Result<(), ManualError> {
    proposal.journal(Uuid::nil(), "")?;
    let (mut accounts, mut kinds, mut amounts) = (Vec::new(), Vec::new(), Vec::new());
    for line in &proposal.lines {
        accounts.push(line.account.as_str());
        kinds.push(line.kind.letter().to_string());
        amounts.push(line.amount);
    }
    let params: [(&(dyn ToSql + Sync), Type); 9] = [
        (&proposal.book.0, Type::INT8),
        (&proposal.id, Type::UUID),
        (&proposal.effective_at, Type::TIMESTAMPTZ),
        (&proposal.reason, Type::TEXT),
        (&proposal.ticket, Type::TEXT),
        (&proposal.maker, Type::TEXT),
        (&accounts, Type::TEXT_ARRAY),
        (&kinds, Type::TEXT_ARRAY),
        (&amounts, Type::INT8_ARRAY),
    ];
    let sql = "SELECT ledger.propose($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    client
        .execute_typed(sql, &params)
        .await
        .map(drop)
        .map_err(from_database)
}

/// Approves a proposal and books it; answers the journal. Inside the caller's transaction, because both must commit
/// together or not at all.
pub async fn approve(
    tx: &impl GenericClient,
    book: BookId,
    proposal: Uuid,
    checker: &str,
) -> Result<Uuid, ManualError> {
    let found = find(tx, book, proposal).await?.ok_or(ManualError::UnknownProposal)?;
    let journal = found.journal(Uuid::now_v7(), checker)?;
    decide(tx, book, proposal, checker, None, Some(journal.id())).await?;
    match post(tx, &[&journal]).await {
        Ok(()) => Ok(journal.id()),
        Err(PostError::Refused(refusal)) => Err(refusal.into()),
        Err(PostError::NeedsCare) => Err(Refusal::Overdraft("one of its accounts".into()).into()),
        Err(PostError::Database(e)) => Err(ManualError::Database(e)),
    }
}

/// Rejects a proposal.
pub async fn reject(
    client: &impl GenericClient,
    book: BookId,
    proposal: Uuid,
    checker: &str,
    reason: &str,
) -> Result<(), ManualError> {
    decide(client, book, proposal, checker, Some(reason), None).await
}

/// The proposals of a book, the newest first, each with its decision; only those that wait for one with `open`.
pub async fn list(
    client: &impl GenericClient,
    book: BookId,
    open: bool,
) -> Result<Vec<(Proposal, Option<Decision>)>, tokio_postgres::Error> {
    let params: [(&(dyn ToSql + Sync), Type); 3] =
        [(&book.0, Type::INT8), (&None::<Uuid>, Type::UUID), (&open, Type::BOOL)];
    client.query_typed(LIST, &params).await?.iter().map(read).collect()
}

impl Proposal {
    fn journal(&self, id: Uuid, checker: &str) -> Result<Journal, Refusal> {
        let memo = serde_json::json!({
            "proposal": self.id, "reason": self.reason, "ticket": self.ticket, "maker": self.maker, "checker": checker,
        });
        let draft = Draft::new(self.book, JournalCode::J32, self.effective_at)
            .id(id)
            .reference(format!("manual:{}", self.id))
            .memo(memo);
        let draft = self.lines.iter().try_fold(draft, |draft, line| match line.kind {
            LineKind::Debit => Ok(draft.debit(line.account.clone(), line.amount)),
            LineKind::Credit => Ok(draft.credit(line.account.clone(), line.amount)),
            _ => Err(Refusal::Malformed), // holds are not made by hand
        })?;
        draft.balance()
    }
}

async fn find(client: &impl GenericClient, book: BookId, proposal: Uuid) -> Result<Option<Proposal>, ManualError> {
    let params: [(&(dyn ToSql + Sync), Type); 3] = [
        (&book.0, Type::INT8),
        (&Some(proposal), Type::UUID),
        (&false, Type::BOOL),
    ];
    let row = client
        .query_typed_opt(LIST, &params)
        .await
        .map_err(ManualError::Database)?;
    let found = row.as_ref().map(read).transpose().map_err(ManualError::Database)?;
    Ok(found.map(|(proposal, _)| proposal))
}

async fn decide(
    client: &impl GenericClient,
    book: BookId,
    proposal: Uuid,
    checker: &str,
    reason: Option<&str>,
    journal: Option<Uuid>,
) -> Result<(), ManualError> {
    let verdict = if journal.is_some() { "approved" } else { "rejected" };
    let params: [(&(dyn ToSql + Sync), Type); 6] = [
        (&book.0, Type::INT8),
        (&proposal, Type::UUID),
        (&verdict, Type::TEXT),
        (&checker, Type::TEXT),
        (&reason, Type::TEXT),
        (&journal, Type::UUID),
    ];
    let sql = "SELECT ledger.decide($1, $2, $3, $4, $5, $6)";
    client
        .execute_typed(sql, &params)
        .await
        .map(drop)
        .map_err(from_database)
}

fn from_database(e: tokio_postgres::Error) -> ManualError {
    let Some(db) = e.as_db_error() else {
        return ManualError::Database(e);
    };
    match (db.code().code(), db.constraint()) {
        ("LG016", _) => ManualError::UnknownProposal,
        (_, Some("decision_two_people")) => ManualError::SamePerson,
        (_, Some("decision_pkey")) => ManualError::AlreadyDecided,
        (
            _,
            Some(
                "proposal_reason_check"
                | "proposal_ticket_check"
                | "proposal_maker_check"
                | "decision_checker_check"
                | "decision_reason",
            ),
        ) => ManualError::Unexplained,
        (_, Some("proposal_well_formed")) => ManualError::Refused(Refusal::Malformed),
        _ => ManualError::Database(e),
    }
}

fn read(row: &Row) -> Result<(Proposal, Option<Decision>), tokio_postgres::Error> {
    let accounts: Vec<StoredName> = row.try_get("account")?;
    let kinds: Vec<i8> = row.try_get("kind")?;
    let amounts: Vec<i64> = row.try_get("amount")?;
    let lines = accounts.into_iter().zip(kinds).zip(amounts);
    let lines = lines.map(|((StoredName(account), kind), amount)| Line {
        account,
        kind: if kind == b'D' as i8 {
            LineKind::Debit
        } else {
            LineKind::Credit
        }, // holds no others: `propose`
        amount,
    });
    let proposal = Proposal {
        book: BookId(row.try_get("book_id")?),
        id: row.try_get("proposal_id")?,
        effective_at: row.try_get("effective_at")?,
        lines: lines.collect(),
        reason: row.try_get("reason")?,
        ticket: row.try_get("ticket")?,
        maker: row.try_get("maker")?,
    };
    let decision = match row.try_get::<_, Option<Timestamp>>("decided_at")? {
        None => None,
        Some(at) => Some(Decision {
            checker: row.try_get("checker")?,
            reason: row.try_get("decision_reason")?,
            at,
            journal: row.try_get("journal_id")?,
        }),
    };
    Ok((proposal, decision))
}

const LIST: &str = "
    SELECT p.book_id, p.proposal_id, p.effective_at, p.account::text[], p.kind, p.amount, p.reason, p.ticket, p.maker,
           d.decided_at, d.checker, d.reason AS decision_reason, d.journal_id
    FROM ledger.proposal p LEFT JOIN ledger.decision d USING (book_id, proposal_id)
    WHERE p.book_id = $1 AND ($2 IS NULL OR p.proposal_id = $2) AND NOT ($3 AND d.proposal_id IS NOT NULL)
    ORDER BY p.proposed_at DESC";
