//! The vault: card numbers and small secrets, sealed; and the two keyed hashes that stand for what must not be stored.
//!
//! Cards live in their own schema behind their own role; nothing joins across. It must never store a CVC, never return a
//! number to anything but a connector's request, and never put one into an error, a log or `Debug`.
//!
//! Envelope encryption: each card is sealed (AES-256-GCM) by a data key of its own, and the data key is wrapped by a
//! key-encryption key that a [`Kms`] keeps. The subject of a data key is the card, because a card is what a person may ask
//! us to forget: shredding one touches no other, and a data key that leaks opens one card. Small secrets (of webhook
//! endpoints) are read all the time and by the hundred, so they share a few data keys, held in memory once unwrapped. The
//! record's identity (version, purpose, book, id) is the associated data at both levels: nothing opens in another place.

mod aead;
mod card;
mod files;
mod keeper;
mod keys;
mod kms;
mod tokens;

pub use card::{Brand, Card, CardError, contains_card_number, mask};
pub use keeper::{Keeper, KeeperError, KekStatus, Shred, Status};
pub use keys::{Keys, KeysError};
pub use kms::{FileKms, Kms, KmsError, Transit, TransitConfig};

use crate::clock::Clock;
use crate::id;
use crate::payment::rows::CardFacts;
use aead::{Key, NONCE_LEN, fresh_key, fresh_nonce, hmac, open, seal};
use arc_swap::ArcSwap;
use deadpool_postgres::Pool;
use hmac::{Hmac, Mac};
use jiff::{SignedDuration, Timestamp};
use kms::{Subject, Wrapped};
use sha2::Sha256;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// The vault of this process.
#[derive(Clone)]
pub struct Vault {
    pool: Pool,
    keys: Keys,
    kms: Arc<dyn Kms>,
    /// data keys of the small secrets, oldest first
    secrets: Arc<ArcSwap<Vec<SecretKey>>>,
    /// key-encryption keys whose row is there
    known_keks: Arc<Mutex<HashSet<String>>>,
    /// keyed once: the key schedule costs half of a short HMAC
    pepper: Hmac<Sha256>,
    fingerprint: Hmac<Sha256>,
    clock: Clock,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("kms", &self.kms).finish_non_exhaustive()
    }
}

/// Why the vault could not do it. Never says what was inside.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// no such card in this book
    #[error("no such card")]
    Missing,
    /// its data key was destroyed on purpose
    #[error("this card was shredded")]
    Shredded,
    /// sealed by a key that the file does not have
    #[error("sealed by key `{0}`, which is not in the key file")]
    UnknownKey(String),
    /// the keeper of the key-encryption keys
    #[error(transparent)]
    Kms(#[from] KmsError),
    /// [`Vault::load`] has not run
    #[error("the keys of the vault's secrets are not loaded")]
    NotLoaded,
    /// altered, moved from another place, or never ours
    #[error("a sealed record does not open")]
    Broken,
    /// the operating system or the library gave no randomness
    #[error("no randomness")]
    Randomness,
    /// no connection
    #[error("the vault's database: {0}")]
    Pool(#[from] deadpool_postgres::PoolError),
    /// the database refused
    #[error("the vault's database: {0}")]
    Database(#[from] tokio_postgres::Error),
}

/// A card that is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCard {
    /// `card_..`
    pub vault_id: String,
    /// what may be shown and kept
    pub facts: CardFacts,
}

/// The published test number behind a published test token.
pub fn test_number(token: &str) -> Option<Zeroizing<String>> {
    tokens::number(token).map(|number| Zeroizing::new(number.to_owned()))
}

impl Vault {
    /// A vault over this pool (role `vault_app`), these keys and this keeper. Hashes and cards work at once; small secrets
    /// after [`Vault::load`].
    pub fn open(pool: Pool, keys: Keys, kms: Arc<dyn Kms>, clock: Clock) -> Self {
        let (pepper, fingerprint) = (hmac(keys.pepper.as_ref()), hmac(keys.fingerprint.as_ref()));
        Self {
            pool,
            keys,
            kms,
            secrets: Arc::default(),
            known_keks: Arc::default(),
            pepper,
            fingerprint,
            clock,
        }
    }

    /// Reads the data keys of the small secrets, and makes the first one. To be repeated within [`SECRETS_REFRESH`]: a
    /// rotation publishes a new key a while before anyone seals with it.
    ///
    /// # Errors
    /// When the database or the keeper does not answer, or a key-encryption key is lost.
    pub async fn load(&self) -> Result<(), VaultError> {
        let client = self.pool.get().await?;
        let mut rows = secret_rows(&client).await?;
        if rows.is_empty() {
            let (subject, key) = (Subject::secrets(), fresh_key()?);
            let wrapped = self.wrap(&client, &subject, key).await?;
            // Two processes may start at once: each makes one, and both keys are good.
            insert_data_key(&client, &subject, &wrapped).await?;
            rows = secret_rows(&client).await?;
        }
        let known = self.secrets.load();
        if rows.iter().map(|row| &row.id).eq(known.iter().map(|key| &key.id)) {
            return Ok(());
        }
        let wrapped: Vec<_> = rows
            .iter()
            .map(|row| (Subject::secrets_named(&row.id), row.wrapped.clone()))
            .collect();
        let keys = self.kms.unwrap(&wrapped).await?;
        let loaded = rows.into_iter().zip(keys).map(|(row, key)| SecretKey {
            id: row.id,
            created_at: row.created_at,
            key,
        });
        self.secrets.store(Arc::new(loaded.collect()));
        Ok(())
    }

    /// Seals and stores a card.
    ///
    /// # Errors
    /// When the database or the keeper does not answer or refuses; then nothing is stored.
    pub async fn store(&self, book_id: i64, card: &Card) -> Result<StoredCard, VaultError> {
        let vault_id = id::new(id::prefix::CARD);
        let mut plain = Zeroizing::new(Vec::with_capacity(48));
        plain.extend_from_slice(format!("{:02}{:04}", card.exp_month, card.exp_year).as_bytes());
        plain.extend_from_slice(card.number.as_bytes());
        let (key, nonce) = (fresh_key()?, fresh_nonce()?);
        let sealed = seal(&key, CARD_PURPOSE, book_id, &vault_id, nonce, &plain)?;
        let client = self.pool.get().await?;
        let subject = Subject {
            book_id,
            id: vault_id.clone(),
        };
        let wrapped = self.wrap(&client, &subject, key).await?;
        let statement = client
            .prepare_cached(
                "WITH key AS (INSERT INTO vault.data_key (book_id, subject, kek, wrapped) VALUES ($1, $2, $3, $4))
                 INSERT INTO vault.card (book_id, id, nonce, sealed, created_at) VALUES ($1, $2, $5, $6, $7)",
            )
            .await?;
        client
            .execute(
                &statement,
                &[
                    &book_id,
                    &vault_id,
                    &wrapped.kek,
                    &wrapped.bytes,
                    &&nonce[..],
                    &sealed,
                    &self.clock.now(),
                ],
            )
            .await?;
        Ok(StoredCard {
            vault_id,
            facts: self.facts(card),
        })
    }

    /// The card behind a reference: for a connector's request, and nothing else.
    ///
    /// # Errors
    /// [`VaultError::Missing`] when this book has no such card, [`VaultError::Shredded`] when it was forgotten,
    /// [`VaultError::Broken`] or [`VaultError::Kms`] when the row was tampered with or its key is lost.
    pub async fn reveal(&self, book_id: i64, vault_id: &str) -> Result<Card, VaultError> {
        let client = self.pool.get().await?;
        // One statement, one snapshot: a rotation changes both rows at once.
        let statement = client
            .prepare_cached(
                "SELECT c.key_id, c.nonce, c.sealed, c.shredded_at IS NOT NULL, k.kek, k.wrapped
                 FROM vault.card c LEFT JOIN vault.data_key k ON k.book_id = c.book_id AND k.subject = c.id
                 WHERE c.book_id = $1 AND c.id = $2",
            )
            .await?;
        let row = client
            .query_opt(&statement, &[&book_id, &vault_id])
            .await?
            .ok_or(VaultError::Missing)?;
        drop(client); // the keeper may be a network away
        if row.try_get(3)? {
            return Err(VaultError::Shredded);
        }
        let sealed = Sealed {
            book_id,
            id: vault_id.to_owned(),
            key_id: row.try_get(0)?,
            nonce: row.try_get(1)?,
            sealed: row.try_get(2)?,
        };
        let plain = match row.try_get::<_, Option<String>>(4)? {
            Some(kek) => {
                let subject = Subject {
                    book_id,
                    id: vault_id.to_owned(),
                };
                let wrapped = Wrapped {
                    kek,
                    bytes: row.try_get(5)?,
                };
                let keys = self.kms.unwrap(&[(subject, wrapped)]).await?;
                sealed.open(keys.first().ok_or(VaultError::Broken)?)?
            }
            None => sealed.open_directly(&self.keys)?,
        };
        let text = std::str::from_utf8(&plain).map_err(|_| VaultError::Broken)?;
        let part = |range: std::ops::Range<usize>| {
            text.get(range)
                .and_then(|p| p.parse::<i16>().ok())
                .ok_or(VaultError::Broken)
        };
        let (exp_month, exp_year) = (part(0..2)?, part(2..6)?);
        let digits = text.get(6..).ok_or(VaultError::Broken)?;
        let mut number = Zeroizing::new(String::with_capacity(digits.len()));
        number.push_str(digits);
        Ok(Card {
            number,
            exp_month,
            exp_year,
        })
    }

    /// What may be shown and kept of a card: six first, four last, and the fingerprint.
    pub fn facts(&self, card: &Card) -> CardFacts {
        let number = card.number.as_str();
        let (funding, country) = tokens::issuer(number);
        CardFacts {
            brand: card.brand().as_str().to_owned(),
            bin: number[..6].to_owned(),
            last4: number[number.len() - 4..].to_owned(),
            exp_month: card.exp_month,
            exp_year: card.exp_year,
            fingerprint: self.fingerprint(number),
            funding: funding.to_owned(),
            country: country.to_owned(),
        }
    }

    /// The facts of the published test card behind `pm_card_..` or `tok_..`, equal to those of its number typed; it
    /// expires in December three years ahead. None for anything else.
    pub fn test_card(&self, token: &str) -> Option<CardFacts> {
        let number = Zeroizing::new(tokens::number(token)?.to_owned());
        let exp_year = self.clock.now().to_zoned(jiff::tz::TimeZone::UTC).year() + 3;
        Some(self.facts(&Card {
            number,
            exp_month: 12,
            exp_year,
        }))
    }

    /// Stands for a number wherever two cards are compared: HMAC-SHA-256 over all of it under a key of its own (so that
    /// it cannot be found by trying all numbers), 80 bits as 16 characters.
    pub fn fingerprint(&self, number: &str) -> String {
        let mut mac = self.fingerprint.clone();
        mac.update(number.as_bytes());
        let hash: [u8; 32] = mac.finalize().into_bytes().into();
        let bits = hash[..10].iter().fold(0u128, |bits, b| bits << 8 | u128::from(*b));
        (0..16)
            .rev()
            .map(|position| BASE32[((bits >> (position * 5)) & 31) as usize] as char)
            .collect()
    }

    /// What is stored of an API key or another long random secret that only needs to be recognised.
    pub fn hash_key(&self, key: &str) -> [u8; 32] {
        let mut mac = self.pepper.clone();
        mac.update(key.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Seals a small secret that must be readable again (a webhook secret) into bytes that name their key; `purpose`
    /// and `id` say whose it is and must be the same to open it.
    ///
    /// # Errors
    /// Only when there is no randomness, or before [`Vault::load`].
    pub fn seal(&self, purpose: &str, id: &str, secret: &[u8]) -> Result<Vec<u8>, VaultError> {
        let keys = self.secrets.load();
        let published = self.clock.now() - SECRETS_PUBLISHED;
        let ripe = keys.iter().rev().find(|key| key.created_at <= published);
        let key = ripe.or(keys.first()).ok_or(VaultError::NotLoaded)?;
        key.seal(purpose, id, secret)
    }

    /// Opens what [`Vault::seal`] made.
    ///
    /// # Errors
    /// When the record was altered, belongs elsewhere, or its key is not there.
    pub fn unseal(&self, purpose: &str, id: &str, record: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let record = Record::parse(record)?;
        match record.version {
            DIRECT => record.open_directly(&self.keys, purpose, id),
            _ => {
                let keys = self.secrets.load();
                let key = keys.iter().find(|key| key.id == record.key_id);
                let key = key.ok_or_else(|| VaultError::UnknownKey(record.key_id.to_owned()))?;
                open(&key.key, purpose, 0, id, record.nonce, record.sealed)
            }
        }
    }

    /// Wraps a data key, and makes sure that the database knows the key-encryption key.
    async fn wrap(&self, client: &tokio_postgres::Client, subject: &Subject, key: Key) -> Result<Wrapped, VaultError> {
        let wrapped = self.kms.wrap(&[(subject.clone(), key)]).await?;
        let wrapped = wrapped.into_iter().next().ok_or(VaultError::Broken)?;
        let known = |set: &HashSet<String>| set.contains(&wrapped.kek);
        if !known(&self.known_keks.lock().unwrap_or_else(PoisonError::into_inner)) {
            register_kek(client, self.kms.as_ref(), &wrapped.kek).await?;
            let mut keks = self.known_keks.lock().unwrap_or_else(PoisonError::into_inner);
            keks.insert(wrapped.kek.clone());
        }
        Ok(wrapped)
    }
}

/// A data key of the small secrets.
struct SecretKey {
    id: String,
    created_at: Timestamp,
    key: Key,
}

impl SecretKey {
    fn seal(&self, purpose: &str, id: &str, secret: &[u8]) -> Result<Vec<u8>, VaultError> {
        let nonce = fresh_nonce()?;
        let sealed = seal(&self.key, purpose, 0, id, nonce, secret)?;
        let mut record = Vec::with_capacity(2 + self.id.len() + NONCE_LEN + sealed.len());
        // A key's id is a prefix and a UUID: far below 255 bytes.
        record.extend_from_slice(&[ENVELOPE, self.id.len() as u8]);
        record.extend_from_slice(self.id.as_bytes());
        record.extend_from_slice(&nonce);
        record.extend_from_slice(&sealed);
        Ok(record)
    }
}

/// A sealed small secret, taken apart.
struct Record<'a> {
    version: u8,
    key_id: &'a str,
    nonce: [u8; NONCE_LEN],
    sealed: &'a [u8],
}

impl<'a> Record<'a> {
    fn parse(record: &'a [u8]) -> Result<Self, VaultError> {
        let [version @ (DIRECT | ENVELOPE), length, rest @ ..] = record else {
            return Err(VaultError::Broken);
        };
        let (key_id, rest) = rest.split_at_checked(usize::from(*length)).ok_or(VaultError::Broken)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(VaultError::Broken)?;
        Ok(Self {
            version: *version,
            key_id: std::str::from_utf8(key_id).map_err(|_| VaultError::Broken)?,
            nonce: *nonce,
            sealed,
        })
    }

    /// Sealed by a key of the file itself, as it was before there were data keys.
    fn open_directly(&self, keys: &Keys, purpose: &str, id: &str) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let key = keys.by_id(self.key_id);
        let key = key.ok_or_else(|| VaultError::UnknownKey(self.key_id.to_owned()))?;
        open(key, purpose, 0, id, self.nonce, self.sealed)
    }
}

/// A card's row.
struct Sealed {
    book_id: i64,
    id: String,
    key_id: Option<String>,
    nonce: Vec<u8>,
    sealed: Vec<u8>,
}

impl Sealed {
    fn open(&self, key: &Key) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let nonce = self.nonce.as_slice().try_into().map_err(|_| VaultError::Broken)?;
        open(key, CARD_PURPOSE, self.book_id, &self.id, nonce, &self.sealed)
    }

    /// Sealed by a key of the file itself, as it was before there were data keys.
    fn open_directly(&self, keys: &Keys) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let key_id = self.key_id.as_deref().ok_or(VaultError::Broken)?;
        self.open(
            keys.by_id(key_id)
                .ok_or_else(|| VaultError::UnknownKey(key_id.to_owned()))?,
        )
    }
}

impl Subject {
    /// A new data key for small secrets.
    fn secrets() -> Self {
        Self::secrets_named(&format!("{SECRETS_PREFIX}{}", uuid::Uuid::now_v7().simple()))
    }

    fn secrets_named(id: &str) -> Self {
        Self {
            book_id: 0,
            id: id.to_owned(),
        }
    }
}

struct SecretRow {
    id: String,
    wrapped: Wrapped,
    created_at: Timestamp,
}

/// The data keys of the small secrets, oldest first.
async fn secret_rows(client: &tokio_postgres::Client) -> Result<Vec<SecretRow>, VaultError> {
    let rows = client
        .query(
            "SELECT subject, kek, wrapped, created_at FROM vault.data_key WHERE book_id = 0 ORDER BY subject",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(SecretRow {
                id: row.try_get(0)?,
                wrapped: Wrapped {
                    kek: row.try_get(1)?,
                    bytes: row.try_get(2)?,
                },
                created_at: row.try_get(3)?,
            })
        })
        .collect()
}

async fn insert_data_key(
    client: &tokio_postgres::Client,
    subject: &Subject,
    wrapped: &Wrapped,
) -> Result<(), VaultError> {
    client
        .execute(
            "INSERT INTO vault.data_key (book_id, subject, kek, wrapped) VALUES ($1, $2, $3, $4)",
            &[&subject.book_id, &subject.id, &wrapped.kek, &wrapped.bytes],
        )
        .await?;
    Ok(())
}

/// Makes the row of a key-encryption key, with its proof: a constant that only this key unwraps.
async fn register_kek(client: &tokio_postgres::Client, kms: &dyn Kms, kek: &str) -> Result<(), VaultError> {
    let there = client
        .query_opt("SELECT 1 FROM vault.kek WHERE id = $1", &[&kek])
        .await?;
    if there.is_some() {
        return Ok(());
    }
    let proof = kms.wrap(&[(proof_subject(), Key::default())]).await?;
    let proof = proof.first().ok_or(VaultError::Broken)?;
    client
        .execute(
            "INSERT INTO vault.kek (id, proof) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &[&proof.kek, &proof.bytes],
        )
        .await?;
    Ok(())
}

fn proof_subject() -> Subject {
    Subject::secrets_named("proof")
}

/// How often [`Vault::load`] is to be repeated.
pub const SECRETS_REFRESH: Duration = Duration::from_secs(2);
/// A new key for secrets is used this long after it was published: every process has read it by then.
const SECRETS_PUBLISHED: SignedDuration = SignedDuration::from_secs(6);
const SECRETS_PREFIX: &str = "secrets:";
/// First byte of a small secret sealed by a key of the file itself, or by a data key.
const DIRECT: u8 = 1;
const ENVELOPE: u8 = 2;
const CARD_PURPOSE: &str = "card";
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

#[cfg(test)]
mod tests;
