//! The seal: journals that were committed cannot be changed unnoticed, not even by the owner of the database.
//!
//! # Scheme
//!
//! * [`Sealer::round`] takes what was committed **behind the oldest running transaction**, in the order `(recorded_xid,
//!   book_id, journal_id)`, which nothing can be added to any more, and puts it into pages.
//! * A journal's leaf is a hash over every column of its row (`page`); a page has the Merkle root over its leaves, the hash
//!   of the page before it and its bounds; the tree over the hashes of all pages has a root; that root, with the numbers
//!   of pages and journals and the time, is the [`Head`]. Trees are those of RFC 9162.
//! * The head carries an HMAC with a [key](Keys) that the database does not hold, and goes to [directories](HeadLog) that
//!   its administrator does not own. Without the key no other history can be signed; without those directories an old
//!   backup cannot be told from the present.
//! * [`verify`](verify::verify) recomputes everything and names the first wrong row; [`prove`](proof::prove) lets anyone
//!   with SHA-256 check that a journal is under a head, and [`consistency`](proof::consistency) that one head extends
//!   another.
//!
//! It never changes a journal, never holds up a posting (no lock but its own advisory one) and never seals on top of a chain
//! that is broken, or older than a head that was exported.
//!
//! # Cost
//!
//! None on the hot path but the transaction's number in the row and a block range index. A round is one database
//! transaction of a dozen round trips, two more per page; the first round of a process also reads all pages (not the
//! journals). Memory: one page of journals.

mod chain;
pub mod heads;
mod keys;
mod merkle;
mod page;
pub mod proof;
mod series;
pub mod verify;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row, Statement, Transaction};

pub use heads::HeadLog;
pub use keys::{Keys, KeysError};
pub use merkle::Hash;
pub use page::{Head, Signature};
pub use series::{Checks, JOURNALS, Series};

use chain::{Chain, PAGES_PER_FETCH, Stored};
use page::{Entry, Layout, Page};

/// Seals, one round at a time. Any number of them may run on one database: an advisory lock lets one work.
#[derive(Debug)]
pub struct Sealer {
    series: &'static Series,
    keys: Keys,
    heads: Vec<HeadLog>,
    page_journals: i32,
    /// As of the last round; verified again from there on, and wholly at the start.
    chain: Chain,
    /// Journals of the last round and the transactions that they came from: how far ahead the next round looks.
    pace: Option<(i64, i64)>,
}

/// What a round did.
#[derive(Debug, Default)]
pub struct Round {
    /// Another process was sealing; nothing was done.
    pub busy: bool,
    /// Pages sealed.
    pub pages: u32,
    /// Journals in them.
    pub journals: u64,
    /// There may be more to seal at once.
    pub more: bool,
    /// The head now.
    pub head: Option<Head>,
    /// Directories that could not be read or written; the next round tries again.
    pub unexported: Vec<(PathBuf, std::io::Error)>,
    /// How long it took.
    pub took: Duration,
}

impl Round {
    /// How long to rest before the next round: `every`, or not that long when there is more to seal; but always nine times
    /// what this one took, so that under full load sealing takes a tenth of one core from the payments and no more. What
    /// is left waits for a quieter time.
    pub fn rest(&self, every: Duration) -> Duration {
        let least = self.took.saturating_mul(9);
        if self.more { least } else { least.max(every) }
    }
}

/// Why nothing was sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] tokio_postgres::Error),
    /// What was sealed earlier is not whole; `ledger verify` tells more.
    #[error("the chain is broken: {0}")]
    Broken(String),
    /// A head that was exported is not of this chain.
    #[error("the database is older than the head in {dir}, or was rewritten: {what}")]
    Rewound {
        /// Where the head is.
        dir: PathBuf,
        /// In which way it differs.
        what: String,
    },
    /// The books come from a server that had counted further.
    #[error(
        "the books' last sealed transaction is {sealed}, this server has only counted to {server}: \
         move its counter past that (pg_resetwal --epoch) before anything is posted"
    )]
    CounterBehind {
        /// Of the last sealed journal.
        sealed: i64,
        /// The server's next.
        server: i64,
    },
}

impl Sealer {
    /// A sealer that signs with the newest of the keys and exports to these directories. A page has at most
    /// `page_journals` journals (1 to 65,536; others are taken as the nearest).
    pub fn new(keys: Keys, heads: Vec<HeadLog>, page_journals: u32) -> Sealer {
        Sealer::of(&JOURNALS, keys, heads, page_journals)
    }

    /// The same for another series, with its own keys ([`Keys::of_series`]).
    pub fn of(series: &'static Series, keys: Keys, heads: Vec<HeadLog>, page_journals: u32) -> Sealer {
        Sealer {
            series,
            keys,
            heads,
            page_journals: page_journals.clamp(1, 65_536) as i32,
            chain: Chain::default(),
            pace: None,
        }
    }

    /// Seals what can be sealed, at most [`PAGES_PER_ROUND`] pages, and exports the head.
    pub async fn round(&mut self, client: &mut Client) -> Result<Round, SealError> {
        let begun = Instant::now();
        let tx = client.transaction().await?;
        // Read committed, so that each statement sees what was committed before the lock was had.
        let locked: bool = tx
            .query_typed_one(LOCK, &[(&self.series.lock, Type::INT8)])
            .await?
            .try_get(0)?;
        if !locked {
            return Ok(Round {
                busy: true,
                ..Round::default()
            });
        }
        tx.batch_execute(SETTINGS).await?;
        let mut chain = self.catch_up(&tx).await?;
        let mut round = Round::default();
        self.check_exported(&tx, &chain, &mut round).await?;
        let now = tx.query_typed_one(NOW, &[]).await?;
        let (oldest, next): (i64, i64) = (now.try_get("xmin")?, now.try_get("xmax")?);
        let sealed_at_us = now.try_get::<_, jiff::Timestamp>("now")?.as_microsecond();
        if chain.end().xid >= next {
            return Err(SealError::CounterBehind {
                sealed: chain.end().xid,
                server: next,
            });
        }

        let (end, statement) = (chain.end(), rows_statement(&tx, self.series).await?);
        let layout = Layout::of(self.series, statement.columns());
        let most = i64::from(self.page_journals) * i64::from(PAGES_PER_ROUND);
        let mut reach = self.reach(end.xid, oldest, most);
        loop {
            let portal = tx
                .bind(&statement, &[&end.xid, &reach, &end.book, &end.journal, &most])
                .await?;
            while round.pages < PAGES_PER_ROUND {
                let rows = tx.query_portal(&portal, self.page_journals).await?;
                if !rows.is_empty() {
                    let entries = entries(&layout, &rows).await?;
                    self.append(&tx, &mut chain, &entries, sealed_at_us).await?;
                    round.pages += 1;
                    round.journals += entries.len() as u64;
                }
                if rows.len() < self.page_journals as usize {
                    break;
                }
            }
            if round.pages > 0 || reach == oldest {
                break;
            }
            reach = oldest; // transactions that posted nothing: look over all of them
        }
        round.more = round.pages == PAGES_PER_ROUND || reach < oldest;
        if round.pages > 0 {
            self.pace = Some((round.journals as i64, chain.end().xid - end.xid));
        }
        tx.commit().await?;
        self.chain = chain;
        round.head = self.chain.head().cloned();
        self.export(&mut round);
        if round.pages > 0
            && let Some(statement) = self.series.summarise
        {
            summarise(client, statement).await?;
        }
        round.took = begun.elapsed();
        Ok(round)
    }

    /// The transaction before which this round looks for journals: all that can be sealed, but of a long arrear not much more
    /// than a round takes, because what is sorted and not taken is sorted again by the next round.
    fn reach(&self, end: i64, oldest: i64, most: i64) -> i64 {
        let Some((journals, transactions)) = self.pace else {
            return oldest;
        };
        let enough = i128::from(transactions.max(1)) * i128::from(most) * 5 / 4 / i128::from(journals.max(1));
        let enough = i64::try_from(enough).unwrap_or(i64::MAX).max(MIN_REACH);
        oldest.min(end.saturating_add(enough))
    }

    /// The chain with what others sealed since the last round, checked.
    async fn catch_up(&self, tx: &Transaction<'_>) -> Result<Chain, SealError> {
        let mut chain = self.chain.clone();
        let known = chain.pages();
        let portal = chain::pages(tx, self.series, known.max(1)).await?;
        let mut met = known == 0;
        loop {
            let pages = chain::next(tx, &portal).await?;
            let done = pages.len() < PAGES_PER_FETCH;
            for stored in pages {
                if met {
                    chain.push(stored).map_err(SealError::Broken)?;
                } else if stored.page.number == known && stored.hash == chain.previous() {
                    met = true;
                } else {
                    break;
                }
            }
            if done || !met {
                break;
            }
        }
        if !met {
            return Err(SealError::Broken(format!("page {known} is not what it was")));
        }
        // Of the pages that others made the last is enough: its MAC covers them all.
        match chain.head().map(|head| (head, head.signature(&self.keys))) {
            Some((head, Signature::Forged)) => {
                Err(SealError::Broken(format!("the MAC of page {} is wrong", head.pages)))
            }
            Some((head, Signature::UnknownKey | Signature::OtherKey)) => Err(SealError::Broken(format!(
                "page {} is signed with a key {:?} that the key file does not have",
                head.pages, head.key_id
            ))),
            Some((_, Signature::Right)) | None => Ok(chain),
        }
    }

    /// Nothing is sealed on top of a past: the newest head of each directory must be of this chain.
    async fn check_exported(&self, tx: &Transaction<'_>, chain: &Chain, round: &mut Round) -> Result<(), SealError> {
        for log in &self.heads {
            let head = match log.last() {
                Ok(Some(head)) => head,
                Ok(None) => continue,
                Err(e) => {
                    round.unexported.push((log.dir().to_owned(), e));
                    continue;
                }
            };
            let row = tx
                .query_typed_opt(&self.series.sql(ROOT), &[(&head.pages, Type::INT8)])
                .await?;
            let what = match row {
                None => format!("it has {} pages, the head {}", chain.pages(), head.pages),
                Some(row) if row.try_get::<_, &[u8]>(0)? != head.root => {
                    format!("page {} has another root than the head", head.pages)
                }
                Some(_) => continue,
            };
            return Err(SealError::Rewound {
                dir: log.dir().to_owned(),
                what,
            });
        }
        Ok(())
    }

    async fn append(
        &self,
        tx: &Transaction<'_>,
        chain: &mut Chain,
        entries: &[Entry],
        sealed_at_us: i64,
    ) -> Result<(), SealError> {
        let leaves: Vec<Hash> = entries.iter().map(|e| e.leaf).collect();
        let roll = page::roll(entries);
        let page = Page {
            number: chain.pages() + 1,
            journals: entries.len() as i32,
            total: chain.journals() + entries.len() as i64,
            last: entries.last().map_or(chain.end(), |e| e.at),
            root: merkle::root(&leaves),
            roll_digest: Sha256::digest(&roll).into(),
            previous: chain.previous(),
            sealed_at_us,
        };
        let hash = page.hash();
        let root = chain.root_with(hash);
        let head = Head::sign(&self.keys, page.number, page.total, root, sealed_at_us);
        let stored = Stored { page, hash, head };
        chain::append(tx, self.series, &stored, &roll).await?;
        chain.push(stored).map_err(SealError::Broken)
    }

    fn export(&self, round: &mut Round) {
        let Some(head) = &round.head else { return };
        for log in &self.heads {
            if let Err(e) = log.append(head) {
                round.unexported.push((log.dir().to_owned(), e));
            }
        }
    }
}

/// Places and leaves of the rows. Hashing gives way now and then: this runs beside requests.
async fn entries(layout: &Layout, rows: &[Row]) -> Result<Vec<Entry>, tokio_postgres::Error> {
    let mut entries = Vec::with_capacity(rows.len());
    let mut data = Vec::with_capacity(512);
    for row in rows {
        entries.push(layout.entry(row, &mut data)?);
        if entries.len().is_multiple_of(256) {
            tokio::task::yield_now().await;
        }
    }
    Ok(entries)
}

/// Prepares a query of rows: position's transaction, end of the transactions, position's book and journal, limit.
async fn rows_statement(tx: &Transaction<'_>, series: &Series) -> Result<Statement, tokio_postgres::Error> {
    tx.prepare_typed(
        &series.sql(ROWS),
        &[Type::INT8, Type::INT8, Type::INT8, Type::UUID, Type::INT8],
    )
    .await
}

/// Takes what was sealed into the block range index. It can wait: a vacuum of the journal holds the same lock.
async fn summarise(client: &mut Client, statement: &str) -> Result<(), tokio_postgres::Error> {
    let tx = client.transaction().await?;
    tx.batch_execute("SET LOCAL lock_timeout = '100ms'").await?;
    match tx.query_typed(statement, &[]).await {
        Ok(_) => tx.commit().await,
        Err(e) if e.code() == Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE) => tx.rollback().await,
        Err(e) => Err(e),
    }
}

/// So that a round stays short.
pub const PAGES_PER_ROUND: u32 = 32;

/// Transactions that a round looks over at least.
const MIN_REACH: i64 = 256;

const LOCK: &str = "SELECT pg_try_advisory_xact_lock($1)";

// The way by the block range index also where statistics know nothing yet; sorted in memory; beside requests, not
// instead of them.
const SETTINGS: &str = "SET LOCAL enable_seqscan = off; SET LOCAL jit = off; SET LOCAL work_mem = '64MB'; \
    SET LOCAL max_parallel_workers_per_gather = 0";

const NOW: &str = "
    SELECT pg_snapshot_xmin(s)::text::bigint AS xmin, pg_snapshot_xmax(s)::text::bigint AS xmax, now() AS now
    FROM pg_current_snapshot() AS s";

const ROWS: &str = "
    SELECT j.* FROM {rows} j
    WHERE j.recorded_xid >= $1 AND j.recorded_xid < $2 AND (j.recorded_xid, j.book_id, j.{id}) > ($1, $3, $4)
    ORDER BY j.recorded_xid, j.book_id, j.{id}
    LIMIT $5";

const ROOT: &str = "SELECT head FROM {pages} WHERE page = $1";
