//! The keeper's work: rotate key-encryption and data keys under traffic, retire the old ones, shred, and say where all
//! of it stands.
//!
//! Every step is a guarded write of rows that are complete before and after it, so readers never wait and never see a half;
//! a rotation that was interrupted goes on where it stopped, since what is left is found by looking at the rows. One keeper
//! works at a time (an advisory lock). It opens cards only to seal them again, and must never return one.

use super::aead::{Key, fresh_key, fresh_nonce, seal};
use super::kms::{Kms, KmsError, Subject, Wrapped};
use super::{
    CARD_PURPOSE, DIRECT, Keys, Record, SECRETS_PUBLISHED, Sealed, SecretKey, VaultError, insert_data_key, open,
    proof_subject, register_kek, secret_rows,
};
use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Client;

/// One who may change what the vault holds.
pub struct Keeper {
    client: Client,
    keys: Keys,
    kms: Arc<dyn Kms>,
}

/// Why the keeper stopped. What was done until then stays done.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// another keeper is at work
    #[error("another process rotates or shreds right now; its progress is in `counterfoil vault status`")]
    Busy,
    /// the key still holds something
    #[error("key-encryption key `{kek}` cannot be retired: {why}")]
    InUse {
        /// its name
        kek: String,
        /// what it holds
        why: String,
    },
    /// nothing of that name
    #[error("no such {0}")]
    Missing(&'static str),
    /// the vault's own reasons
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<tokio_postgres::Error> for KeeperError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Vault(error.into())
    }
}

impl From<KmsError> for KeeperError {
    fn from(error: KmsError) -> Self {
        Self::Vault(error.into())
    }
}

/// Where the vault stands.
#[derive(Debug, Serialize)]
pub struct Status {
    /// every key-encryption key that was ever used, oldest first
    pub keks: Vec<KekStatus>,
    /// cards that can be read
    pub cards: i64,
    /// cards that were shredded
    pub shredded: i64,
    /// when the oldest data key was made
    pub oldest_data_key: Option<Timestamp>,
    /// rotations that were begun and not finished
    pub unfinished: Vec<Unfinished>,
}

/// A key-encryption key.
#[derive(Debug, Serialize)]
pub struct KekStatus {
    /// its name
    pub id: String,
    /// `wraps` (new data keys), `unwraps` (old ones), `retired`, `lost`
    pub state: &'static str,
    /// data keys under it
    pub data_keys: i64,
    /// why it cannot be used, when it is lost
    pub problem: Option<String>,
}

/// A rotation that goes on when it is started again.
#[derive(Debug, Serialize)]
pub struct Unfinished {
    /// `kek` or `data`
    pub kind: String,
    /// keys that were changed
    pub done: i64,
    /// keys that were to be changed when it began
    pub total: i64,
}

/// What to forget.
#[derive(Clone, Debug)]
pub enum Shred {
    /// one card of whichever merchant
    Card(String),
    /// all cards of a book
    Book(i64),
}

impl Status {
    /// Whether nothing is lost.
    pub fn is_sound(&self) -> bool {
        self.keks.iter().all(|kek| kek.problem.is_none())
    }
}

impl Keeper {
    /// A keeper over a connection that can act as role `vault_keeper`.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn open(client: Client, keys: Keys, kms: Arc<dyn Kms>) -> Result<Self, KeeperError> {
        client.batch_execute("SET ROLE vault_keeper").await?;
        Ok(Self { client, keys, kms })
    }

    /// Where things stand; each key-encryption key is put to the proof.
    ///
    /// # Errors
    /// When the database or the keeper of the keys does not answer. A lost key is no error here, it is what is reported.
    pub async fn status(&self) -> Result<Status, KeeperError> {
        let current = self.kms.current().await?;
        let rows = self
            .client
            .query(
                "SELECT k.id, k.retired, k.proof, (SELECT count(*) FROM vault.data_key d WHERE d.kek = k.id)
                 FROM vault.kek k ORDER BY k.created_at, k.id",
                &[],
            )
            .await?;
        let mut keks = Vec::new();
        for row in rows {
            let (id, retired): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
            let proof = Wrapped {
                kek: id.clone(),
                bytes: row.try_get(2)?,
            };
            let problem = match retired {
                true => None,
                false => match self.kms.unwrap(&[(proof_subject(), proof)]).await {
                    Ok(_) => None,
                    Err(problem @ (KmsError::Lost(_) | KmsError::Refused(_))) => Some(problem.to_string()),
                    Err(other) => return Err(other.into()),
                },
            };
            keks.push(KekStatus {
                state: match (retired, &problem) {
                    (true, _) => "retired",
                    (_, Some(_)) => "lost",
                    _ if id == current => "wraps",
                    _ => "unwraps",
                },
                data_keys: row.try_get(3)?,
                id,
                problem,
            });
        }
        let row = self
            .client
            .query_one(
                "SELECT count(*) FILTER (WHERE shredded_at IS NULL), count(shredded_at),
                        (SELECT min(created_at) FROM vault.data_key) FROM vault.card",
                &[],
            )
            .await?;
        let unfinished = self
            .client
            .query(
                "SELECT kind, done, total FROM vault.rotation WHERE finished_at IS NULL ORDER BY id",
                &[],
            )
            .await?;
        Ok(Status {
            keks,
            cards: row.try_get(0)?,
            shredded: row.try_get(1)?,
            oldest_data_key: row.try_get(2)?,
            unfinished: unfinished
                .iter()
                .map(|row| {
                    Ok(Unfinished {
                        kind: row.try_get(0)?,
                        done: row.try_get(1)?,
                        total: row.try_get(2)?,
                    })
                })
                .collect::<Result<_, tokio_postgres::Error>>()?,
        })
    }

    /// Makes a new key-encryption key and wraps every data key again under it; goes on with a rotation that was
    /// interrupted. Returns the new key's name. The old one still unwraps until it is retired.
    ///
    /// # Errors
    /// When something does not answer, or a data key does not unwrap; started again, it goes on.
    pub async fn rotate_kek(&mut self, mut progress: impl FnMut(u64, u64)) -> Result<String, KeeperError> {
        self.claim().await?;
        let (rotation, mut done, mut total) = match self.unfinished("kek").await? {
            Some((rotation, _, done, total)) => (rotation, done, total),
            None => {
                let target = self.kms.rotate().await?;
                register_kek(&self.client, self.kms.as_ref(), &target).await?;
                let total = "SELECT count(*) FROM vault.data_key WHERE kek <> $1";
                let total: i64 = self.client.query_one(total, &[&target]).await?.try_get(0)?;
                (self.begin("kek", &target, total).await?, 0, total)
            }
        };
        // Asked again for each batch: someone may rotate beside us, and chasing an older key would never end.
        let target = loop {
            progress(done as u64, total as u64);
            let target = self.kms.current().await?;
            let moved = self.rewrap(&target).await?;
            if moved > 0 {
                done += moved;
                total = total.max(done);
                self.advance(rotation, done).await?;
                continue;
            }
            // A process may still wrap with the key of a moment ago.
            tokio::time::sleep(SETTLE).await;
            if self.kms.current().await? == target && self.rewrap(&target).await? == 0 {
                break target;
            }
        };
        self.finish(rotation, done).await?;
        Ok(target)
    }

    /// Gives every card a new data key, and seals every small secret again; goes on with a rotation that was interrupted.
    /// Returns how many cards were sealed again.
    ///
    /// # Errors
    /// As [`Keeper::rotate_kek`].
    pub async fn rotate_data(&mut self, mut progress: impl FnMut(u64, u64)) -> Result<u64, KeeperError> {
        self.claim().await?;
        let (rotation, target, mut done, total) = match self.unfinished("data").await? {
            Some(rotation) => rotation,
            None => {
                // Published now, used by all once every process has read it.
                let (subject, key) = (Subject::secrets(), fresh_key()?);
                let wrapped = self.wrap(vec![(subject.clone(), key)]).await?;
                let total: i64 = self
                    .client
                    .query_one("SELECT count(*) FROM vault.card WHERE shredded_at IS NULL", &[])
                    .await?
                    .try_get(0)?;
                insert_data_key(&self.client, &subject, &wrapped[0]).await?;
                (self.begin("data", &subject.id, total).await?, subject.id, 0, total)
            }
        };
        let started: Timestamp = self
            .client
            .query_one("SELECT started_at FROM vault.rotation WHERE id = $1", &[&rotation])
            .await?
            .try_get(0)?;
        let mut after = (i64::MIN, String::new());
        loop {
            progress(done as u64, total.max(done) as u64);
            let (moved, last) = self.reseal_cards(started, &after).await?;
            done += moved;
            self.advance(rotation, done).await?;
            match last {
                Some(last) => after = last,
                None => break,
            }
        }
        while !self.reseal_secrets(&target).await? {
            tokio::time::sleep(SETTLE).await;
        }
        self.finish(rotation, done).await?;
        Ok(done as u64)
    }

    /// Destroys a key-encryption key that wraps nothing any more. The database refuses it while anything refers to it, and
    /// refuses anything new under it from then on.
    ///
    /// # Errors
    /// [`KeeperError::InUse`] while it holds anything.
    pub async fn retire(&mut self, kek: &str) -> Result<(), KeeperError> {
        self.claim().await?;
        let in_use = |why: String| KeeperError::InUse {
            kek: kek.to_owned(),
            why,
        };
        if self.kms.current().await? == kek {
            return Err(in_use("it is the one that wraps; rotate first".into()));
        }
        let older = "SELECT o.id FROM vault.kek o JOIN vault.kek k ON k.id = $1
                     WHERE NOT o.retired AND (o.created_at, o.id) < (k.created_at, k.id) LIMIT 1";
        if let Some(older) = self.client.query_opt(older, &[&kek]).await? {
            let older: String = older.try_get(0)?;
            return Err(in_use(format!("`{older}` is older; retire that first")));
        }
        let direct = "SELECT count(*) FROM vault.card WHERE key_id = $1 AND shredded_at IS NULL";
        let direct: i64 = self.client.query_one(direct, &[&kek]).await?.try_get(0)?;
        let mut secrets = 0;
        for sealed in SEALED {
            for row in self.client.query(sealed.list, &[]).await? {
                let record: Vec<u8> = row.try_get(2)?;
                let record = Record::parse(&record)?;
                secrets += i64::from(record.version == DIRECT && record.key_id == kek);
            }
        }
        if direct + secrets > 0 {
            return Err(in_use(format!(
                "{direct} cards and {secrets} secrets from before there were data keys are sealed by it; \
                 `counterfoil vault rotate data` first"
            )));
        }
        let retired = self
            .client
            .execute("UPDATE vault.kek SET retired = true WHERE id = $1", &[&kek])
            .await;
        match retired {
            Ok(0) => return Err(KeeperError::Missing("key-encryption key")),
            Ok(_) => {}
            Err(error) if error.code() == Some(&tokio_postgres::error::SqlState::FOREIGN_KEY_VIOLATION) => {
                let held = "SELECT count(*) FROM vault.data_key WHERE kek = $1";
                let held: i64 = self.client.query_one(held, &[&kek]).await?.try_get(0)?;
                return Err(in_use(format!("it wraps {held} data keys; rotate first")));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(self.kms.retire(kek).await?)
    }

    /// Forgets cards for good: their data keys and what they sealed. Payments, refunds and disputes of the past go on;
    /// nothing can be charged to these cards again. Returns how many there were.
    ///
    /// # Errors
    /// When there is no such card, or the database does not answer; then nothing is forgotten.
    pub async fn shred(&mut self, what: &Shred) -> Result<u64, KeeperError> {
        self.claim().await?;
        let (card, book) = match what {
            Shred::Card(card) => (Some(card), None),
            Shred::Book(book) => (None, Some(book)),
        };
        let transaction = self.client.transaction().await?;
        let shredded = transaction
            .query(
                "UPDATE vault.card SET key_id = NULL, sealed = '', shredded_at = now()
                 WHERE shredded_at IS NULL AND (id = $1 OR book_id = $2) RETURNING book_id, id",
                &[&card, &book],
            )
            .await?;
        if shredded.is_empty() {
            return Err(KeeperError::Missing("card, or it was shredded before"));
        }
        let books: Vec<i64> = shredded.iter().map(|row| row.get(0)).collect();
        let ids: Vec<&str> = shredded.iter().map(|row| row.get(1)).collect();
        transaction
            .execute(
                "DELETE FROM vault.data_key k USING unnest($1::bigint[], $2::text[]) AS s(book_id, id)
                 WHERE k.book_id = s.book_id AND k.subject = s.id",
                &[&books, &ids],
            )
            .await?;
        transaction.commit().await?;
        Ok(shredded.len() as u64)
    }

    /// A batch of data keys under another key-encryption key, wrapped again; how many.
    async fn rewrap(&self, target: &str) -> Result<i64, KeeperError> {
        let rows = self
            .client
            .query(
                "SELECT book_id, subject, kek, wrapped FROM vault.data_key WHERE kek <> $1 LIMIT $2",
                &[&target, &BATCH],
            )
            .await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let mut old = Vec::with_capacity(rows.len());
        for row in &rows {
            let subject = Subject {
                book_id: row.try_get(0)?,
                id: row.try_get(1)?,
            };
            let wrapped = Wrapped {
                kek: row.try_get(2)?,
                bytes: row.try_get(3)?,
            };
            old.push((subject, wrapped));
        }
        let keys = self.kms.unwrap(&old).await?;
        let new = self
            .wrap(old.iter().map(|(subject, _)| subject.clone()).zip(keys).collect())
            .await?;
        let moved = self
            .client
            .execute(
                "UPDATE vault.data_key k SET kek = n.kek, wrapped = n.wrapped
                 FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::text[], $5::bytea[]) AS n(book_id, subject, old, kek, wrapped)
                 WHERE k.book_id = n.book_id AND k.subject = n.subject AND k.wrapped = n.old",
                &[
                    &old.iter().map(|(subject, _)| subject.book_id).collect::<Vec<_>>(),
                    &old.iter().map(|(subject, _)| subject.id.as_str()).collect::<Vec<_>>(),
                    &old.iter().map(|(_, wrapped)| wrapped.bytes.as_slice()).collect::<Vec<_>>(),
                    &new.iter().map(|wrapped| wrapped.kek.as_str()).collect::<Vec<_>>(),
                    &new.iter().map(|wrapped| wrapped.bytes.as_slice()).collect::<Vec<_>>(),
                ],
            )
            .await?;
        Ok(moved as i64)
    }

    /// A batch of cards whose data key is older than the rotation, each sealed by a new one; how many, and where the
    /// next batch begins.
    async fn reseal_cards(
        &self,
        started: Timestamp,
        after: &(i64, String),
    ) -> Result<(i64, Option<(i64, String)>), KeeperError> {
        let rows = self
            .client
            .query(
                "SELECT c.book_id, c.id, c.key_id, c.nonce, c.sealed, k.kek, k.wrapped
                 FROM vault.card c LEFT JOIN vault.data_key k ON k.book_id = c.book_id AND k.subject = c.id
                 WHERE c.shredded_at IS NULL AND (k.created_at IS NULL OR k.created_at < $1) AND (c.book_id, c.id) > ($2, $3)
                 ORDER BY c.book_id, c.id LIMIT $4",
                &[&started, &after.0, &after.1, &BATCH],
            )
            .await?;
        let (mut cards, mut wrapped) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in &rows {
            let card = Sealed {
                book_id: row.try_get(0)?,
                id: row.try_get(1)?,
                key_id: row.try_get(2)?,
                nonce: row.try_get(3)?,
                sealed: row.try_get(4)?,
            };
            if let Some(kek) = row.try_get::<_, Option<String>>(5)? {
                let bytes = row.try_get(6)?;
                wrapped.push((card.subject(), Wrapped { kek, bytes }));
            }
            cards.push(card);
        }
        let Some(last) = cards.last().map(|card| (card.book_id, card.id.clone())) else {
            return Ok((0, None));
        };
        let unwrapped = self.kms.unwrap(&wrapped).await?;
        let mut unwrapped = wrapped.into_iter().zip(unwrapped).peekable();
        let (mut keys, mut nonces, mut sealed) = (Vec::new(), Vec::new(), Vec::new());
        for card in &cards {
            let subject = card.subject();
            let plain = match unwrapped.next_if(|((of, _), _)| *of == subject) {
                Some((_, key)) => card.open(&key)?,
                None => card.open_directly(&self.keys)?,
            };
            let (key, nonce) = (fresh_key()?, fresh_nonce()?);
            sealed.push(seal(&key, CARD_PURPOSE, card.book_id, &card.id, nonce, &plain)?);
            nonces.push(nonce.to_vec());
            keys.push((subject, key));
        }
        let new = self.wrap(keys).await?;
        // Both rows or neither; a card that was shredded meanwhile no longer has what was read.
        let moved = self
            .client
            .execute(
                "WITH new AS (
                    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[], $6::text[], $7::bytea[])
                        AS n(book_id, id, old, nonce, sealed, kek, wrapped)
                 ), moved AS (
                    UPDATE vault.card c SET key_id = NULL, nonce = n.nonce, sealed = n.sealed FROM new n
                    WHERE c.book_id = n.book_id AND c.id = n.id AND c.sealed = n.old AND c.shredded_at IS NULL
                    RETURNING c.book_id, c.id
                 )
                 INSERT INTO vault.data_key (book_id, subject, kek, wrapped)
                 SELECT n.book_id, n.id, n.kek, n.wrapped FROM new n JOIN moved USING (book_id, id)
                 ON CONFLICT (book_id, subject) DO UPDATE
                    SET kek = excluded.kek, wrapped = excluded.wrapped, created_at = excluded.created_at",
                &[
                    &cards.iter().map(|card| card.book_id).collect::<Vec<_>>(),
                    &cards.iter().map(|card| card.id.as_str()).collect::<Vec<_>>(),
                    &cards.iter().map(|card| card.sealed.as_slice()).collect::<Vec<_>>(),
                    &nonces,
                    &sealed,
                    &new.iter().map(|wrapped| wrapped.kek.as_str()).collect::<Vec<_>>(),
                    &new.iter().map(|wrapped| wrapped.bytes.as_slice()).collect::<Vec<_>>(),
                ],
            )
            .await?;
        Ok((moved as i64, Some(last)))
    }

    /// Small secrets of all tables sealed again by the key of this name; false while it is too young to be used.
    async fn reseal_secrets(&self, target: &str) -> Result<bool, KeeperError> {
        let rows = secret_rows(&self.client).await?;
        let wrapped: Vec<_> = rows
            .iter()
            .map(|row| (Subject::secrets_named(&row.id), row.wrapped.clone()))
            .collect();
        let keys: Vec<SecretKey> = rows
            .into_iter()
            .zip(self.kms.unwrap(&wrapped).await?)
            .map(|(row, key)| SecretKey {
                id: row.id,
                created_at: row.created_at,
                key,
            })
            .collect();
        let new = keys
            .iter()
            .find(|key| key.id == target)
            .ok_or_else(|| VaultError::UnknownKey(target.to_owned()))?;
        let now: Timestamp = self
            .client
            .query_one("SELECT clock_timestamp()", &[])
            .await?
            .try_get(0)?;
        if now < new.created_at + SECRETS_PUBLISHED {
            return Ok(false);
        }
        for sealed in SEALED {
            for row in self.client.query(sealed.list, &[]).await? {
                let (book_id, id, old): (i64, String, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                let record = Record::parse(&old)?;
                if record.version != DIRECT && record.key_id == target {
                    continue;
                }
                let plain = match record.version {
                    DIRECT => record.open_directly(&self.keys, sealed.purpose, &id)?,
                    _ => {
                        let key = keys.iter().find(|key| key.id == record.key_id);
                        let key = key.ok_or_else(|| VaultError::UnknownKey(record.key_id.to_owned()))?;
                        open(&key.key, sealed.purpose, 0, &id, record.nonce, record.sealed)?
                    }
                };
                let record = new.seal(sealed.purpose, &id, &plain)?;
                self.client
                    .execute(sealed.replace, &[&book_id, &id, &old, &record])
                    .await?;
            }
        }
        Ok(true)
    }

    async fn wrap(&self, keys: Vec<(Subject, Key)>) -> Result<Vec<Wrapped>, KeeperError> {
        let wrapped = self.kms.wrap(&keys).await?;
        if let Some(first) = wrapped.first() {
            register_kek(&self.client, self.kms.as_ref(), &first.kek).await?;
        }
        Ok(wrapped)
    }

    /// One keeper at a time; the lock goes with the connection.
    async fn claim(&self) -> Result<(), KeeperError> {
        let claim = "SELECT pg_try_advisory_lock(hashtext('counterfoil vault keeper'))";
        match self.client.query_one(claim, &[]).await?.try_get(0)? {
            true => Ok(()),
            false => Err(KeeperError::Busy),
        }
    }

    async fn unfinished(&self, kind: &str) -> Result<Option<(i64, String, i64, i64)>, KeeperError> {
        let find = "SELECT id, target, done, total FROM vault.rotation WHERE kind = $1 AND finished_at IS NULL";
        match self.client.query_opt(find, &[&kind]).await? {
            Some(row) => Ok(Some((
                row.try_get(0)?,
                row.try_get(1)?,
                row.try_get(2)?,
                row.try_get(3)?,
            ))),
            None => Ok(None),
        }
    }

    async fn begin(&self, kind: &str, target: &str, total: i64) -> Result<i64, KeeperError> {
        let begin = "INSERT INTO vault.rotation (kind, target, total) VALUES ($1, $2, $3) RETURNING id";
        Ok(self
            .client
            .query_one(begin, &[&kind, &target, &total])
            .await?
            .try_get(0)?)
    }

    async fn advance(&self, rotation: i64, done: i64) -> Result<(), KeeperError> {
        let advance = "UPDATE vault.rotation SET done = $2 WHERE id = $1";
        self.client.execute(advance, &[&rotation, &done]).await?;
        Ok(())
    }

    async fn finish(&self, rotation: i64, done: i64) -> Result<(), KeeperError> {
        let finish = "UPDATE vault.rotation SET done = $2, finished_at = now() WHERE id = $1";
        self.client.execute(finish, &[&rotation, &done]).await?;
        Ok(())
    }
}

impl Sealed {
    fn subject(&self) -> Subject {
        Subject {
            book_id: self.book_id,
            id: self.id.clone(),
        }
    }
}

/// Where small secrets lie, sealed by `Vault::seal` with book, id and purpose of their row.
struct SealedColumn {
    purpose: &'static str,
    /// book_id, id, record
    list: &'static str,
    /// by book_id, id and the record as it was read
    replace: &'static str,
}

const SEALED: &[SealedColumn] = &[SealedColumn {
    purpose: "webhook_endpoint",
    list: "SELECT book_id, id, secret FROM gateway.webhook_endpoint",
    replace: "UPDATE gateway.webhook_endpoint SET secret = $4 WHERE book_id = $1 AND id = $2 AND secret = $3",
}];

const BATCH: i64 = 200;
/// How long to wait before believing that nobody wraps with the old key.
const SETTLE: Duration = super::kms::SETTLE;
