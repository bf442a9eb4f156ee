//! Contents of files: sealed like cards, each by a data key of its own, so that one can be forgotten without the others.

use super::aead::{fresh_key, fresh_nonce, open, seal};
use super::kms::{Subject, Wrapped};
use super::{Vault, VaultError};
use zeroize::Zeroizing;

const PURPOSE: &str = "file";

impl Vault {
    /// Seals and stores what is in a file.
    ///
    /// # Errors
    /// When the database or the keeper does not answer or refuses; then nothing is stored.
    pub async fn store_file(&self, book_id: i64, file_id: &str, content: &[u8]) -> Result<(), VaultError> {
        let (key, nonce) = (fresh_key()?, fresh_nonce()?);
        let sealed = seal(&key, PURPOSE, book_id, file_id, nonce, content)?;
        let client = self.pool.get().await?;
        let subject = Subject {
            book_id,
            id: file_id.to_owned(),
        };
        let wrapped = self.wrap(&client, &subject, key).await?;
        let statement = client
            .prepare_cached(
                "WITH key AS (INSERT INTO vault.data_key (book_id, subject, kek, wrapped) VALUES ($1, $2, $3, $4))
                 INSERT INTO vault.file (book_id, id, nonce, sealed, created_at) VALUES ($1, $2, $5, $6, $7)",
            )
            .await?;
        client
            .execute(
                &statement,
                &[
                    &book_id,
                    &file_id,
                    &wrapped.kek,
                    &wrapped.bytes,
                    &&nonce[..],
                    &sealed,
                    &self.clock.now(),
                ],
            )
            .await?;
        Ok(())
    }

    /// What is in a file of this book.
    ///
    /// # Errors
    /// [`VaultError::Missing`] when this book has no such file, [`VaultError::Shredded`] when its key was destroyed,
    /// [`VaultError::Broken`] or [`VaultError::Kms`] when the row was tampered with or its key is lost.
    pub async fn open_file(&self, book_id: i64, file_id: &str) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let client = self.pool.get().await?;
        let statement = client
            .prepare_cached(
                "SELECT f.nonce, f.sealed, k.kek, k.wrapped FROM vault.file f
                 LEFT JOIN vault.data_key k ON k.book_id = f.book_id AND k.subject = f.id
                 WHERE f.book_id = $1 AND f.id = $2",
            )
            .await?;
        let row = client
            .query_opt(&statement, &[&book_id, &file_id])
            .await?
            .ok_or(VaultError::Missing)?;
        drop(client); // the keeper may be a network away
        let (nonce, sealed): (Vec<u8>, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
        let Some(kek) = row.try_get::<_, Option<String>>(2)? else {
            return Err(VaultError::Shredded);
        };
        let wrapped = Wrapped {
            kek,
            bytes: row.try_get(3)?,
        };
        let subject = Subject {
            book_id,
            id: file_id.to_owned(),
        };
        let keys = self.kms.unwrap(&[(subject, wrapped)]).await?;
        let nonce = nonce.as_slice().try_into().map_err(|_| VaultError::Broken)?;
        open(
            keys.first().ok_or(VaultError::Broken)?,
            PURPOSE,
            book_id,
            file_id,
            nonce,
            &sealed,
        )
    }
}
