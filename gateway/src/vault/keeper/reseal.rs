//! The batches of a rotation: rows are read, opened, sealed again and replaced where they still are what was read.
//!
//! It must never replace one half of a pair without the other, nor bring back what was shredded meanwhile.

use super::super::aead::{fresh_key, fresh_nonce, seal};
use super::super::kms::{Subject, Wrapped};
use super::super::{CARD_PURPOSE, DIRECT, Record, SECRETS_PUBLISHED, Sealed, SecretKey, VaultError, open, secret_rows};
use super::{Keeper, KeeperError};
use jiff::Timestamp;

impl Keeper {
    /// A batch of data keys under another key-encryption key, wrapped again; how many.
    pub(super) async fn rewrap(&self, target: &str) -> Result<i64, KeeperError> {
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
    pub(super) async fn reseal_cards(
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
    pub(super) async fn reseal_secrets(&self, target: &str) -> Result<bool, KeeperError> {
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
pub(super) struct SealedColumn {
    pub(super) purpose: &'static str,
    /// book_id, id, record
    pub(super) list: &'static str,
    /// by book_id, id and the record as it was read
    pub(super) replace: &'static str,
}

pub(super) const SEALED: &[SealedColumn] = &[
    SealedColumn {
        purpose: "webhook_endpoint",
        list: "SELECT book_id, id, secret FROM gateway.webhook_endpoint",
        replace: "UPDATE gateway.webhook_endpoint SET secret = $4 WHERE book_id = $1 AND id = $2 AND secret = $3",
    },
    SealedColumn {
        purpose: "value_list_item",
        list: "SELECT book_id, id, value FROM risk.value_list_item",
        replace: "UPDATE risk.value_list_item SET value = $4 WHERE book_id = $1 AND id = $2 AND value = $3",
    },
    SealedColumn {
        purpose: crate::funds::bank::PURPOSE,
        list: "SELECT book_id, id, number FROM gateway.bank_account",
        replace: "UPDATE gateway.bank_account SET number = $4 WHERE book_id = $1 AND id = $2 AND number = $3",
    },
    SealedColumn {
        purpose: "webhook_secret",
        list: "SELECT book_id, id, secret FROM gateway.webhook_secret",
        replace: "UPDATE gateway.webhook_secret SET secret = $4 WHERE book_id = $1 AND id = $2 AND secret = $3",
    },
];

const BATCH: i64 = 200;
