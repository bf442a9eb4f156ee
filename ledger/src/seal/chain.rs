//! The chain as it is stored: reading pages, and checking that each continues the one before it.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Portal, Row, Transaction};

use super::merkle::{Frontier, Hash};
use super::page::{Head, Page, Position};
use super::series::Series;

/// The end of the chain, with all that is needed to add a page.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    frontier: Frontier,
    last: Option<(Page, Hash, Head)>,
}

/// A page as it is stored, without its roll.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub page: Page,
    pub hash: Hash,
    pub head: Head,
}

impl Chain {
    /// Pages so far.
    pub fn pages(&self) -> i64 {
        self.last.as_ref().map_or(0, |l| l.0.number)
    }

    /// Journals in them.
    pub fn journals(&self) -> i64 {
        self.last.as_ref().map_or(0, |l| l.0.total)
    }

    /// The last journal of the last page.
    pub fn end(&self) -> Position {
        self.last.as_ref().map_or(Position::START, |l| l.0.last)
    }

    /// Hash of the last page; zeros when there is none.
    pub fn previous(&self) -> Hash {
        self.last.as_ref().map_or([0; 32], |l| l.1)
    }

    /// The head after the last page.
    pub fn head(&self) -> Option<&Head> {
        self.last.as_ref().map(|l| &l.2)
    }

    /// The root of all pages if a page with this hash followed.
    pub fn root_with(&self, hash: Hash) -> Hash {
        let mut frontier = self.frontier.clone();
        frontier.push(hash);
        frontier.root()
    }

    /// Takes the page as the next one, and says what is wrong with that.
    pub fn push(&mut self, stored: Stored) -> Result<(), String> {
        let Stored { page, hash, head } = stored;
        self.frontier.push(hash);
        let what = if page.number != self.pages() + 1 {
            Some(format!("page {} is missing", self.pages() + 1))
        } else if page.hash() != hash {
            Some("its own fields were changed".to_owned())
        } else if page.previous != self.previous() {
            Some("it does not follow the page before it".to_owned())
        } else if page.total != self.journals().saturating_add(page.journals.into()) || page.last <= self.end() {
            Some("its bounds do not follow those of the page before it".to_owned())
        } else if head.root != self.frontier.root() {
            Some("its head is not the root over all pages".to_owned())
        } else {
            None
        };
        let number = page.number;
        self.last = Some((page, hash, head));
        match what {
            None => Ok(()),
            Some(what) => Err(format!("page {number}: {what}")),
        }
    }
}

/// All pages from this number on, in order; `(number, rows)` at a time.
pub(super) async fn pages(
    tx: &Transaction<'_>,
    series: &'static Series,
    from: i64,
) -> Result<Portal, tokio_postgres::Error> {
    let statement = tx.prepare_typed(&series.sql(PAGES), &[Type::INT8]).await?;
    tx.bind(&statement, &[&from]).await
}

/// The next pages of the portal; fewer than [`PAGES_PER_FETCH`] are the last.
pub(super) async fn next(tx: &Transaction<'_>, portal: &Portal) -> Result<Vec<Stored>, tokio_postgres::Error> {
    let rows = tx.query_portal(portal, PAGES_PER_FETCH as i32).await?;
    rows.iter().map(stored).collect()
}

/// Adds a page; the database checks again that it continues the chain.
pub(super) async fn append(
    tx: &Transaction<'_>,
    series: &'static Series,
    stored: &Stored,
    roll: &[u8],
) -> Result<(), tokio_postgres::Error> {
    let Stored { page, hash, head } = stored;
    let sealed_at = jiff::Timestamp::from_microsecond(page.sealed_at_us).unwrap_or_default();
    let params: [(&(dyn ToSql + Sync), Type); 16] = [
        (&page.number, Type::INT8),
        (&page.journals, Type::INT4),
        (&page.total, Type::INT8),
        (&page.last.xid, Type::INT8),
        (&page.last.book, Type::INT8),
        (&page.last.journal, Type::UUID),
        (&page.root.as_slice(), Type::BYTEA),
        (&page.roll_digest.as_slice(), Type::BYTEA),
        (&page.previous.as_slice(), Type::BYTEA),
        (&sealed_at, Type::TIMESTAMPTZ),
        (&hash.as_slice(), Type::BYTEA),
        (&head.root.as_slice(), Type::BYTEA),
        (&head.key_id, Type::TEXT),
        (&head.key_check.as_slice(), Type::BYTEA),
        (&head.mac.as_slice(), Type::BYTEA),
        (&roll, Type::BYTEA),
    ];
    tx.execute_typed(&series.sql(APPEND), &params).await.map(drop)
}

fn stored(row: &Row) -> Result<Stored, tokio_postgres::Error> {
    let sealed_at_us = row.try_get::<_, jiff::Timestamp>("sealed_at")?.as_microsecond();
    let page = Page {
        number: row.try_get("page")?,
        journals: row.try_get("journals")?,
        total: row.try_get("total")?,
        last: Position {
            xid: row.try_get("last_xid")?,
            book: row.try_get("last_book")?,
            journal: row.try_get("last_journal")?,
        },
        root: bytes(row, "root")?,
        roll_digest: bytes(row, "roll_digest")?,
        previous: bytes(row, "previous")?,
        sealed_at_us,
    };
    let head = Head {
        pages: page.number,
        journals: page.total,
        root: bytes(row, "head")?,
        sealed_at_us,
        key_id: row.try_get("key_id")?,
        key_check: bytes(row, "key_check")?,
        mac: bytes(row, "mac")?,
    };
    Ok(Stored {
        hash: bytes(row, "hash")?,
        page,
        head,
    })
}

/// A digest of fixed width. A CHECK holds the width; one that was switched off gives zeros, which match nothing.
fn bytes<const N: usize>(row: &Row, column: &str) -> Result<[u8; N], tokio_postgres::Error> {
    Ok(row.try_get::<_, &[u8]>(column)?.try_into().unwrap_or([0; N]))
}

pub(super) const PAGES_PER_FETCH: usize = 512;

const PAGES: &str = "
    SELECT page, journals, total, last_xid, last_book, last_journal, root, roll_digest, previous, sealed_at, hash, head,
           key_id, key_check, mac
    FROM {pages} WHERE page >= $1 ORDER BY page";

const APPEND: &str = "SELECT {append}($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
