//! Verifies the seal: recomputes every hash from the rows and names the first row that is not what was sealed.
//!
//! Reads one snapshot, page after page, in memory for one page; never writes. What finds what:
//!
//! | attack | found by |
//! |---|---|
//! | a journal edited, deleted, moved or inserted among sealed ones | the leaves of its page |
//! | a page edited, deleted or inserted | hashes and numbers of the chain |
//! | the whole chain rewritten | the MAC: the key is not in the database |
//! | the newest pages cut off, an old backup restored | a head that was exported ([`Options::heads`]) |
//!
//! Journals of a detached month are not here to be read: their pages are checked as far as the roll tells, and how many are
//! not read is told. Whoever archives a month keeps it readable, and verifies it before it is detached.
//!
//! A journal that was inserted with the others and sealed by us is not found here: that is what grants and
//! [`crate::verify`] are for.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, IsolationLevel, Transaction};
use uuid::Uuid;

use super::chain::{self, Chain, PAGES_PER_FETCH, Stored};
use super::page::{self, Entry, Head, Layout, Position, Signature};
use super::series::{JOURNALS, Series};
use super::{Hash, Keys, SETTINGS, entries, merkle};
use crate::verify::{Check, Report};

/// What to verify against.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Without keys, MACs are not checked: hashes alone do not tell a rewritten chain.
    pub keys: Option<&'a Keys>,
    /// Heads that were exported, in any order.
    pub heads: &'a [Head],
    /// Journals of pages before this one are not read again; the chain itself always is.
    pub from_page: i64,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Journals read so far.
    pub journals: u64,
    /// The last page that is done; while nothing wrong was found, its head is proved and may be resumed from.
    pub head: &'a Head,
    /// Whether nothing wrong was found so far.
    pub good: bool,
}

/// Verifies all pages. `progress` hears of each page that is done.
pub async fn verify(
    client: &mut Client,
    options: Options<'_>,
    progress: impl FnMut(Progress<'_>),
) -> Result<Report, tokio_postgres::Error> {
    verify_series(client, &JOURNALS, options, progress).await
}

/// Verifies the pages of another series; its keys are [`Keys::of_series`].
pub async fn verify_series(
    client: &mut Client,
    series: &'static Series,
    options: Options<'_>,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Report, tokio_postgres::Error> {
    let tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    tx.batch_execute(SETTINGS).await?;
    let horizon: Option<Uuid> = tx.query_typed_one(&series.sql(HORIZON), &[]).await?.try_get(0)?;
    let mut proof = Proof::new(series, options, horizon);
    if let Some(horizon) = horizon {
        proof.horizon_is_one(&tx, horizon).await?;
    }
    let portal = chain::pages(&tx, series, 1).await?;
    loop {
        let pages = chain::next(&tx, &portal).await?;
        let done = pages.len() < PAGES_PER_FETCH;
        for stored in pages {
            let head = stored.head.clone();
            proof.page(&tx, stored).await?;
            progress(Progress {
                journals: proof.journals.rows,
                head: &head,
                good: proof.is_good(),
            });
        }
        if done {
            break;
        }
    }
    proof.unsealed(&tx).await?;
    tx.rollback().await?;
    Ok(proof.finish())
}

struct Proof<'a> {
    series: &'static Series,
    options: Options<'a>,
    chain: Chain,
    /// Heads by the number of their pages, until that page is met.
    heads: HashMap<i64, Vec<&'a Head>>,
    pages: Check,
    journals: Check,
    keys: Check,
    macs: Check,
    exported: Check,
    unsealed: Check,
    detached: Check,
    /// Ids below are of detached months.
    horizon: Option<Uuid>,
}

impl<'a> Proof<'a> {
    fn new(series: &'static Series, options: Options<'a>, horizon: Option<Uuid>) -> Proof<'a> {
        let checks = &series.checks;
        let mut proof = Proof {
            series,
            options,
            chain: Chain::default(),
            heads: HashMap::new(),
            pages: Check::new(checks.pages),
            journals: Check::new(checks.rows),
            keys: Check::new(checks.keys),
            macs: Check::new(checks.macs),
            exported: Check::new(checks.exported),
            unsealed: Check::new(checks.unsealed),
            detached: Check::new(checks.detached),
            horizon,
        };
        for head in options.heads {
            if let Some(keys) = options.keys {
                proof.signature(head, keys, "exported head");
            }
            proof.heads.entry(head.pages).or_default().push(head);
        }
        proof
    }

    fn is_good(&self) -> bool {
        let checks = [&self.pages, &self.journals, &self.keys, &self.macs, &self.exported];
        checks.iter().all(|c| c.wrong == 0)
    }

    /// A month leaves as a whole, the oldest first: where rows below the horizon are left, somebody has moved it, and it excuses
    /// nothing.
    async fn horizon_is_one(&mut self, tx: &Transaction<'_>, horizon: Uuid) -> Result<(), tokio_postgres::Error> {
        let below = tx
            .query_typed_opt(&self.series.sql(BELOW), &[(&horizon, Type::UUID)])
            .await?;
        if let Some(row) = below {
            let first: String = row.try_get(0)?;
            self.horizon = None;
            self.detached.wrong += 1;
            self.detached.first_wrong = Some(format!("{first} is still there: it was not detached with its month"));
        }
        Ok(())
    }

    async fn page(&mut self, tx: &Transaction<'_>, stored: Stored) -> Result<(), tokio_postgres::Error> {
        let number = stored.page.number;
        let begin = self.chain.end();
        let follows = number == self.chain.pages() + 1 && stored.page.last > begin;
        if let Some(keys) = self.options.keys {
            self.signature(&stored.head, keys, "page");
        }
        for head in self.heads.remove(&number).unwrap_or_default() {
            self.exported.see(head.root == stored.head.root, || {
                format!("head of page {number}: these books have another root there; they were rewritten")
            });
        }
        let linked = self.chain.push(stored.clone());
        self.pages.see(linked.is_ok(), || linked.err().unwrap_or_default());
        // Where a page is missing, its neighbour's journals cannot be told from its own.
        if number >= self.options.from_page && follows {
            self.journals(tx, begin, &stored).await?;
        }
        Ok(())
    }

    fn signature(&mut self, head: &Head, keys: &Keys, what: &str) {
        let (page, key) = (head.pages, &head.key_id);
        match head.signature(keys) {
            Signature::Right => {
                self.keys.see(true, String::new);
                self.macs.see(true, String::new);
            }
            Signature::UnknownKey => self.keys.see(false, || {
                format!("{what} {page}: signed with key {key}, which the key file does not have")
            }),
            Signature::OtherKey => self.keys.see(false, || {
                format!("{what} {page}: the key file has another key {key} than the one that signed; this is no sign of tampering by itself")
            }),
            Signature::Forged => {
                self.keys.see(true, String::new);
                self.macs.see(false, || format!("{what} {page}: key {key} did not sign this"));
            }
        }
    }

    /// Compares the rows between the bounds of the page with its root; when they differ, the roll tells which and how.
    async fn journals(
        &mut self,
        tx: &Transaction<'_>,
        begin: Position,
        stored: &Stored,
    ) -> Result<(), tokio_postgres::Error> {
        let page = &stored.page;
        let present = between(tx, self.series, begin, page.last, i64::from(page.journals) + SPARE).await?;
        let leaves: Vec<Hash> = present.iter().map(|e| e.leaf).collect();
        let number = page.number;
        let row = tx
            .query_typed_one(&self.series.sql(ROLL), &[(&number, Type::INT8)])
            .await?;
        let roll: &[u8] = row.try_get(0)?;
        let genuine = Hash::from(Sha256::digest(roll)) == page.roll_digest;
        if !genuine {
            self.pages.see(false, || format!("page {number}: its roll was changed"));
        }
        if merkle::root(&leaves) == page.root {
            self.journals.rows += leaves.len() as u64;
            return Ok(());
        }
        let (wrong, detached) = (self.journals.wrong, self.detached.rows);
        if genuine {
            self.name(tx, number, roll, &present).await?;
        }
        // The roll names what is wrong; where it does not, only missing months excuse a wrong root.
        if self.journals.wrong == wrong && self.detached.rows == detached {
            self.journals.see(false, || {
                format!(
                    "page {number}: its {}s are not those that were sealed",
                    self.series.noun
                )
            });
        }
        Ok(())
    }

    /// Finds every row in which the page differs from its roll.
    async fn name(
        &mut self,
        tx: &Transaction<'_>,
        number: i64,
        roll: &[u8],
        present: &[Entry],
    ) -> Result<(), tokio_postgres::Error> {
        let noun = self.series.noun;
        let mut there: HashMap<(i64, Uuid), &Entry> = present.iter().map(|e| ((e.at.book, e.at.journal), e)).collect();
        for (book, journal, leaf) in page::read_roll(roll) {
            let what = match there.remove(&(book, journal)) {
                Some(entry) if entry.leaf[..8] == leaf => None,
                Some(_) => Some("was edited".to_owned()),
                None => match self.gone(tx, book, journal).await? {
                    None => {
                        self.detached.rows += 1;
                        continue;
                    }
                    what => what,
                },
            };
            self.journals.see(what.is_none(), || {
                format!(
                    "book {book} {noun} {journal} {} (page {number})",
                    what.unwrap_or_default()
                )
            });
        }
        // In the order of the seal, so that the first is the same each time.
        for entry in present
            .iter()
            .filter(|e| there.contains_key(&(e.at.book, e.at.journal)))
        {
            self.journals.see(false, || {
                let Position { book, journal, .. } = entry.at;
                format!("book {book} {noun} {journal} was inserted among sealed ones (page {number})")
            });
        }
        Ok(())
    }

    /// What happened to a journal that is not in its place; nothing, when it went with its month.
    async fn gone(
        &self,
        tx: &Transaction<'_>,
        book: i64,
        journal: Uuid,
    ) -> Result<Option<String>, tokio_postgres::Error> {
        if self.horizon.is_some_and(|horizon| journal < horizon) {
            return Ok(None);
        }
        let row = tx
            .query_typed_opt(&self.series.sql(XID), &[(&book, Type::INT8), (&journal, Type::UUID)])
            .await?;
        Ok(Some(match row {
            None => "was deleted".to_owned(),
            Some(row) => format!(
                "was moved: it now says that transaction {} recorded it",
                row.try_get::<_, i64>(0)?
            ),
        }))
    }

    /// What is behind the last page must be of transactions that this server knows.
    async fn unsealed(&mut self, tx: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
        let end = self.chain.end();
        let row = tx
            .query_typed_one(
                &self.series.sql(UNSEALED),
                &[
                    (&end.xid, Type::INT8),
                    (&end.book, Type::INT8),
                    (&end.journal, Type::UUID),
                ],
            )
            .await?;
        let (rows, next): (i64, i64) = (row.try_get("rows")?, row.try_get("xmax")?);
        let (ahead, first): (i64, Option<String>) = (row.try_get("ahead")?, row.try_get("first")?);
        self.unsealed.rows = rows.unsigned_abs();
        self.unsealed.wrong = ahead.unsigned_abs();
        self.unsealed.first_wrong = first.map(|first| {
            format!("{first}: its transaction is not before {next}, the server's next; inserted by hand, or restored into a younger server")
        });
        if end.xid >= next {
            self.unsealed.see(false, || {
                format!("the last sealed transaction is {}, this server has only counted to {next}: restored into a younger server", end.xid)
            });
        }
        Ok(())
    }

    fn finish(mut self) -> Report {
        let (pages, journals) = (self.chain.pages(), self.chain.journals());
        let mut missing: Vec<&Head> = self.heads.values().flatten().copied().collect();
        missing.sort_by_key(|h| h.pages);
        for head in missing {
            self.exported.see(false, || {
                format!(
                    "head of page {} with {} journals: these books end at page {pages} with {journals}; truncated, or restored from an older backup",
                    head.pages, head.journals
                )
            });
        }
        let mut checks = vec![self.pages, self.journals];
        if self.options.keys.is_some() {
            checks.extend([self.keys, self.macs]);
        }
        if !self.options.heads.is_empty() {
            checks.push(self.exported);
        }
        checks.push(self.unsealed);
        if self.detached.rows > 0 || self.detached.wrong > 0 {
            checks.push(self.detached);
        }
        Report { checks }
    }
}

/// Places and leaves of the journals behind `begin` up to and including `end`, at most this many.
pub(super) async fn between(
    tx: &Transaction<'_>,
    series: &'static Series,
    begin: Position,
    end: Position,
    most: i64,
) -> Result<Vec<Entry>, tokio_postgres::Error> {
    let params: [(&(dyn ToSql + Sync), Type); 7] = [
        (&begin.xid, Type::INT8),
        (&end.xid, Type::INT8),
        (&begin.book, Type::INT8),
        (&begin.journal, Type::UUID),
        (&end.book, Type::INT8),
        (&end.journal, Type::UUID),
        (&most, Type::INT8),
    ];
    let rows = tx.query_typed(&series.sql(BETWEEN), &params).await?;
    match rows.first() {
        Some(row) => entries(&Layout::of(series, row.columns()), &rows).await,
        None => Ok(Vec::new()),
    }
}

/// How many inserted journals a page may have and still be told one by one.
const SPARE: i64 = 65_536;

const BETWEEN: &str = "
    SELECT j.* FROM {rows} j
    WHERE j.recorded_xid BETWEEN $1 AND $2
      AND (j.recorded_xid, j.book_id, j.{id}) > ($1, $3, $4)
      AND (j.recorded_xid, j.book_id, j.{id}) <= ($2, $5, $6)
    ORDER BY j.recorded_xid, j.book_id, j.{id}
    LIMIT $7";

const HORIZON: &str = "SELECT {horizon}";

const BELOW: &str = "
    SELECT 'book ' || j.book_id || ' {noun} ' || j.{id} FROM {rows} j WHERE j.{id} < $1 LIMIT 1";

const ROLL: &str = "SELECT roll FROM {pages} WHERE page = $1";

const XID: &str = "SELECT recorded_xid FROM {rows} WHERE book_id = $1 AND {id} = $2";

const UNSEALED: &str = "
    WITH s AS (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xmax)
    SELECT s.xmax, count(j.*) AS rows, count(j.*) FILTER (WHERE j.recorded_xid >= s.xmax) AS ahead,
           min('book ' || j.book_id || ' {noun} ' || j.{id}) FILTER (WHERE j.recorded_xid >= s.xmax) AS first
    FROM s LEFT JOIN {rows} j
      ON j.recorded_xid >= $1 AND (j.recorded_xid, j.book_id, j.{id}) > ($1, $2, $3)
    GROUP BY s.xmax";
