//! Proofs that need nothing of us to be checked: SHA-256 and the JSON that these functions give.
//!
//! [`prove`] shows that a journal, with all its columns, is under a head; [`consistency`] that one head extends another. Both
//! read one snapshot and hold the hashes of all pages (32 bytes each) in memory. Neither checks the database: a proof from
//! changed rows is given as an error where it would not hold.

use serde_json::{Value, json};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, IsolationLevel, Transaction};
use uuid::Uuid;

use super::chain::{self, PAGES_PER_FETCH, Stored};
use super::page::{Layout, Position};
use super::series::JOURNALS;
use super::verify::between;
use super::{Hash, Head, SETTINGS, merkle};
use crate::BookId;

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] tokio_postgres::Error),
    /// No book has it, or not the one that was named.
    #[error("there is no journal {0}")]
    UnknownJournal(Uuid),
    /// It is there and will be sealed soon.
    #[error("journal {0} is not sealed yet")]
    NotSealed(Uuid),
    /// The head ends before the journal's page.
    #[error("journal {journal} is in page {page}, after the head")]
    AfterHead {
        /// The journal.
        journal: Uuid,
        /// Its page.
        page: i64,
    },
    /// The rows do not give what was sealed.
    #[error("page {0} is not what was sealed; `ledger verify` tells more")]
    Changed(i64),
    /// These books never had it.
    #[error("the head of page {0} is not of these books")]
    ForeignHead(i64),
    /// The first head is younger than the second.
    #[error("the older head must come first")]
    WrongOrder,
}

/// A proof that the journal is under the newest head, or under an earlier one.
pub async fn prove(
    client: &mut Client,
    book: Option<BookId>,
    journal: Uuid,
    head: Option<&Head>,
) -> Result<Value, ProofError> {
    let tx = snapshot(client).await?;
    let rows = tx
        .query_typed(JOURNAL, &[(&journal, Type::UUID), (&book.map(|b| b.0), Type::INT8)])
        .await?;
    let row = rows.first().ok_or(ProofError::UnknownJournal(journal))?;
    let layout = Layout::of(&JOURNALS, row.columns());
    let entry = layout.entry(row, &mut Vec::new())?;
    let pages = pages(&tx).await?;
    let at = pages.partition_point(|p| p.page.last < entry.at);
    let stored = pages.get(at).ok_or(ProofError::NotSealed(journal))?;
    let number = stored.page.number;
    let pages = under(&pages, head)?;
    if at >= pages.len() {
        return Err(ProofError::AfterHead { journal, page: number });
    }
    let begin = at.checked_sub(1).map_or(Position::START, |i| pages[i].page.last);
    let entries = between(
        &tx,
        &JOURNALS,
        begin,
        stored.page.last,
        i64::from(stored.page.journals) + 1,
    )
    .await?;
    let leaves: Vec<Hash> = entries.iter().map(|e| e.leaf).collect();
    let place = entries.iter().position(|e| *e == entry);
    let place = match place {
        Some(place) if merkle::root(&leaves) == stored.page.root && stored.page.hash() == stored.hash => place,
        _ => return Err(ProofError::Changed(number)),
    };
    let mut columns = serde_json::Map::new();
    for (name, ty, value) in layout.values(row) {
        if let Some(value) = value? {
            columns.insert(
                name.to_owned(),
                json!({ "type": ty.name(), "bytes": hex::encode(value) }),
            );
        }
    }
    let hashes: Vec<Hash> = pages.iter().map(|p| p.hash).collect();
    let page = &stored.page;
    let last = pages.last().map(|p| &p.head);
    Ok(json!({
        "proof": "inclusion",
        "journal": columns,
        "leaf_index": place,
        "page_path": digits(&merkle::inclusion(&leaves, place)),
        "page": {
            "page": page.number,
            "journals": page.journals,
            "total": page.total,
            "last_xid": page.last.xid,
            "last_book": page.last.book,
            "last_journal": hex::encode(page.last.journal),
            "root": hex::encode(page.root),
            "roll_digest": hex::encode(page.roll_digest),
            "previous": hex::encode(page.previous),
            "sealed_at_us": page.sealed_at_us,
        },
        "head_path": digits(&merkle::inclusion(&hashes, at)),
        "head": head.or(last),
    }))
}

/// A proof that the chain of the newer head begins with that of the older.
pub async fn consistency(client: &mut Client, older: &Head, newer: &Head) -> Result<Value, ProofError> {
    if older.pages > newer.pages {
        return Err(ProofError::WrongOrder);
    }
    let tx = snapshot(client).await?;
    let all = pages(&tx).await?;
    let start = under(&all, Some(older))?.len();
    let hashes: Vec<Hash> = under(&all, Some(newer))?.iter().map(|p| p.hash).collect();
    Ok(json!({
        "proof": "consistency",
        "older": older,
        "newer": newer,
        "path": digits(&merkle::consistency(&hashes, start)),
    }))
}

/// The pages that the head has; all of them without one.
fn under<'a>(pages: &'a [Stored], head: Option<&Head>) -> Result<&'a [Stored], ProofError> {
    let Some(head) = head else { return Ok(pages) };
    let foreign = || ProofError::ForeignHead(head.pages);
    let pages = usize::try_from(head.pages)
        .ok()
        .and_then(|n| pages.get(..n))
        .ok_or_else(foreign)?;
    let hashes: Vec<Hash> = pages.iter().map(|p| p.hash).collect();
    match !pages.is_empty() && merkle::root(&hashes) == head.root {
        true => Ok(pages),
        false => Err(foreign()),
    }
}

async fn snapshot(client: &mut Client) -> Result<Transaction<'_>, tokio_postgres::Error> {
    let tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    tx.batch_execute(SETTINGS).await?;
    Ok(tx)
}

async fn pages(tx: &Transaction<'_>) -> Result<Vec<Stored>, tokio_postgres::Error> {
    let portal = chain::pages(tx, &JOURNALS, 1).await?;
    let mut all = Vec::new();
    loop {
        let some = chain::next(tx, &portal).await?;
        let done = some.len() < PAGES_PER_FETCH;
        all.extend(some);
        if done {
            return Ok(all);
        }
    }
}

fn digits(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(hex::encode).collect()
}

// By the primary key, book by book: there is no index of journals alone.
const JOURNAL: &str = "
    SELECT j.* FROM ledger.book b JOIN ledger.journal j ON j.book_id = b.book_id AND j.journal_id = $1
    WHERE $2::bigint IS NULL OR b.book_id = $2
    ORDER BY b.book_id LIMIT 1";
