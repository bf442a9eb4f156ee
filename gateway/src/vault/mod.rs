//! The vault: card numbers and small secrets, sealed; and the two keyed hashes that stand for what must not be stored.
//!
//! Cards live in their own schema behind their own role; nothing joins across. It must never store a CVC, never return a
//! number to anything but a connector's request, and never put one into an error, a log or `Debug`.
//!
//! AES-256-GCM, a random 96-bit nonce per record, under a key derived per purpose and book from the named key of the
//! file: random nonces are safe for 2^32 records *per derived key*, which no single merchant reaches. The record's
//! identity (version, purpose, book, id) is the associated data, so a row moved to another place does not open.

mod card;
mod keys;
mod tokens;

pub use card::{Brand, Card, CardError, contains_card_number, mask};
pub use keys::{Keys, KeysError};

use crate::clock::Clock;
use crate::id;
use crate::payment::rows::CardFacts;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use deadpool_postgres::Pool;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The vault of this process.
#[derive(Clone)]
pub struct Vault {
    pool: Pool,
    keys: Keys,
    /// keyed once: the key schedule costs half of a short HMAC
    pepper: Hmac<Sha256>,
    fingerprint: Hmac<Sha256>,
    clock: Clock,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// Why the vault could not do it. Never says what was inside.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// no such card in this book
    #[error("no such card")]
    Missing,
    /// sealed by a key that the file does not have
    #[error("sealed by key `{0}`, which is not in the key file")]
    UnknownKey(String),
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

impl Vault {
    /// A vault over this pool (role `vault_app`) and these keys.
    pub fn open(pool: Pool, keys: Keys, clock: Clock) -> Self {
        let (pepper, fingerprint) = (hmac(keys.pepper.as_ref()), hmac(keys.fingerprint.as_ref()));
        Self {
            pool,
            keys,
            pepper,
            fingerprint,
            clock,
        }
    }

    /// Seals and stores a card.
    ///
    /// # Errors
    /// When the database does not answer or refuses; then nothing is stored.
    pub async fn store(&self, book_id: i64, card: &Card) -> Result<StoredCard, VaultError> {
        let vault_id = id::new(id::prefix::CARD);
        let mut plain = Zeroizing::new(Vec::with_capacity(48));
        plain.extend_from_slice(format!("{:02}{:04}", card.exp_month, card.exp_year).as_bytes());
        plain.extend_from_slice(card.number.as_bytes());
        let (key_id, key) = self.keys.current();
        let nonce = fresh_nonce()?;
        let sealed = seal(key, CARD_PURPOSE, book_id, &vault_id, nonce, &plain)?;
        let client = self.pool.get().await?;
        let statement = client
            .prepare_cached("INSERT INTO vault.card (book_id, id, key_id, nonce, sealed, created_at) VALUES ($1, $2, $3, $4, $5, $6)")
            .await?;
        client
            .execute(
                &statement,
                &[&book_id, &vault_id, &key_id, &&nonce[..], &sealed, &self.clock.now()],
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
    /// [`VaultError::Missing`] when this book has no such card; [`VaultError::Broken`] when the row was tampered with.
    pub async fn reveal(&self, book_id: i64, vault_id: &str) -> Result<Card, VaultError> {
        let client = self.pool.get().await?;
        let statement = client
            .prepare_cached("SELECT key_id, nonce, sealed FROM vault.card WHERE book_id = $1 AND id = $2")
            .await?;
        let row = client
            .query_opt(&statement, &[&book_id, &vault_id])
            .await?
            .ok_or(VaultError::Missing)?;
        let (key_id, nonce, sealed): (&str, &[u8], &[u8]) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let key = self
            .keys
            .by_id(key_id)
            .ok_or_else(|| VaultError::UnknownKey(key_id.to_owned()))?;
        let nonce = nonce.try_into().map_err(|_| VaultError::Broken)?;
        let plain = open(key, CARD_PURPOSE, book_id, vault_id, nonce, sealed)?;
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
    /// Only when there is no randomness.
    pub fn seal(&self, purpose: &str, id: &str, secret: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (key_id, key) = self.keys.current();
        let nonce = fresh_nonce()?;
        let sealed = seal(key, purpose, 0, id, nonce, secret)?;
        let mut record = Vec::with_capacity(2 + key_id.len() + NONCE_LEN + sealed.len());
        // A key's id is at most 32 bytes.
        record.extend_from_slice(&[VERSION, key_id.len() as u8]);
        record.extend_from_slice(key_id.as_bytes());
        record.extend_from_slice(&nonce);
        record.extend_from_slice(&sealed);
        Ok(record)
    }

    /// Opens what [`Vault::seal`] made.
    ///
    /// # Errors
    /// When the record was altered, belongs elsewhere, or its key is not in the file.
    pub fn unseal(&self, purpose: &str, id: &str, record: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let [VERSION, key_id_length, rest @ ..] = record else {
            return Err(VaultError::Broken);
        };
        let (key_id, rest) = rest
            .split_at_checked(usize::from(*key_id_length))
            .ok_or(VaultError::Broken)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(VaultError::Broken)?;
        let key_id = std::str::from_utf8(key_id).map_err(|_| VaultError::Broken)?;
        let key = self
            .keys
            .by_id(key_id)
            .ok_or_else(|| VaultError::UnknownKey(key_id.to_owned()))?;
        open(key, purpose, 0, id, *nonce, sealed)
    }
}

fn seal(
    key: &keys::Key,
    purpose: &str,
    book_id: i64,
    id: &str,
    nonce: [u8; NONCE_LEN],
    plain: &[u8],
) -> Result<Vec<u8>, VaultError> {
    // Room for the tag at once: a buffer that grows while it holds the plain text would leave a copy behind.
    let mut buffer = Zeroizing::new(Vec::with_capacity(plain.len() + AES_256_GCM.tag_len()));
    buffer.extend_from_slice(plain);
    derived(key, purpose, book_id)
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(identity(purpose, book_id, id)),
            &mut *buffer,
        )
        .map_err(|_| VaultError::Broken)?;
    Ok(std::mem::take(&mut *buffer))
}

fn open(
    key: &keys::Key,
    purpose: &str,
    book_id: i64,
    id: &str,
    nonce: [u8; NONCE_LEN],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let length = derived(key, purpose, book_id)
        .open_in_place(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(identity(purpose, book_id, id)),
            &mut buffer,
        )
        .map_err(|_| VaultError::Broken)?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}

/// The key for one purpose in one book: HMAC-SHA-256 as the derivation function of NIST SP 800-108.
fn derived(key: &keys::Key, purpose: &str, book_id: i64) -> LessSafeKey {
    let mut mac: Hmac<Sha256> = hmac(key.as_ref());
    mac.update(&identity(purpose, book_id, ""));
    let derived: Zeroizing<[u8; 32]> = Zeroizing::new(mac.finalize().into_bytes().into());
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, derived.as_ref()).expect("an AES-256 key has 32 bytes"))
}

/// What a record is, without ambiguity: every part but the last has a length.
fn identity(purpose: &str, book_id: i64, id: &str) -> Vec<u8> {
    let mut identity = Vec::with_capacity(17 + purpose.len() + id.len());
    identity.push(VERSION);
    identity.extend_from_slice(&(purpose.len() as u64).to_be_bytes());
    identity.extend_from_slice(purpose.as_bytes());
    identity.extend_from_slice(&book_id.to_be_bytes());
    identity.extend_from_slice(id.as_bytes());
    identity
}

fn fresh_nonce() -> Result<[u8; NONCE_LEN], VaultError> {
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce).map_err(|_| VaultError::Randomness)?;
    Ok(nonce)
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

const VERSION: u8 = 1;
const CARD_PURPOSE: &str = "card";
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_postgres::{Postgres, TempDir};
    use proptest::prelude::*;

    fn keys(name: &str) -> Keys {
        let dir = TempDir::new(name);
        Keys::from_file_or_create(&dir.path().join("vault.keys")).unwrap()
    }

    /// A vault whose database is never asked.
    fn offline(name: &str) -> Vault {
        let manager = deadpool_postgres::Manager::new(tokio_postgres::Config::new(), tokio_postgres::NoTls);
        Vault::open(Pool::builder(manager).build().unwrap(), keys(name), Clock::default())
    }

    fn card(number: &str) -> Card {
        Card::parse(number, 12, 2040, Some("123"), Clock::default().now()).unwrap()
    }

    #[tokio::test]
    async fn a_stored_card_opens_in_its_place_alone() {
        let server = Postgres::start("vault").await;
        let vault = Vault::open(server.pool("vault_app"), keys("vault-keys"), Clock::default());
        let stored = vault.store(7, &card("4242424242424242")).await.unwrap();
        assert_eq!(id::kind(&stored.vault_id), Some("card"));
        assert_eq!(
            (
                stored.facts.bin.as_str(),
                stored.facts.last4.as_str(),
                stored.facts.funding.as_str()
            ),
            ("424242", "4242", "credit")
        );
        let revealed = vault.reveal(7, &stored.vault_id).await.unwrap();
        assert_eq!(
            (revealed.number().as_str(), revealed.expiry()),
            ("4242424242424242", (12, 2040))
        );
        assert!(matches!(
            vault.reveal(8, &stored.vault_id).await,
            Err(VaultError::Missing)
        ));

        // The owner of the database moves the row to another book, then alters it: neither opens.
        let owner = server.pool("postgres").get().await.unwrap();
        owner
            .execute(
                "INSERT INTO vault.card SELECT 8, id, key_id, nonce, sealed, created_at FROM vault.card",
                &[],
            )
            .await
            .unwrap();
        assert!(matches!(
            vault.reveal(8, &stored.vault_id).await,
            Err(VaultError::Broken)
        ));
        owner
            .execute(
                "UPDATE vault.card SET sealed = set_byte(sealed, 3, get_byte(sealed, 3) # 1) WHERE book_id = 7",
                &[],
            )
            .await
            .unwrap();
        assert!(matches!(
            vault.reveal(7, &stored.vault_id).await,
            Err(VaultError::Broken)
        ));
        owner
            .execute("UPDATE vault.card SET key_id = 'k0' WHERE book_id = 7", &[])
            .await
            .unwrap();
        assert!(matches!(
            vault.reveal(7, &stored.vault_id).await,
            Err(VaultError::UnknownKey(_))
        ));

        // The row shows nothing of the number, and the role can neither change nor remove it, nor look outside.
        let row: String = owner
            .query_one("SELECT t::text FROM vault.card t WHERE book_id = 8", &[])
            .await
            .unwrap()
            .get(0);
        assert!(!row.contains(&hex::encode("4242424242424242")) && !contains_card_number(&row));
        let own = server.pool("vault_app").get().await.unwrap();
        for forbidden in [
            "UPDATE vault.card SET key_id = ''",
            "DELETE FROM vault.card",
            "SELECT * FROM gateway.payment",
        ] {
            let refused = own.batch_execute(forbidden).await.unwrap_err();
            assert_eq!(refused.code().map(|c| c.code()), Some("42501"), "{forbidden}");
        }
    }

    #[test]
    fn fingerprints_are_of_the_number_alone() {
        let vault = offline("fingerprint");
        let typed = vault.facts(&Card::parse("5555 5555 5555 4444", 1, 2031, None, Clock::default().now()).unwrap());
        let token = vault.test_card("pm_card_mastercard").unwrap();
        assert_eq!((typed.fingerprint.len(), &typed.fingerprint), (16, &token.fingerprint));
        assert_eq!(
            (token.brand.as_str(), token.bin.as_str(), token.last4.as_str()),
            ("mastercard", "555555", "4444")
        );
        assert_ne!(typed.fingerprint, vault.fingerprint("4242424242424242"));
        assert_ne!(
            typed.fingerprint,
            offline("fingerprint-other").fingerprint("5555555555554444")
        );
        assert!(vault.test_card("pm_0123").is_none());
    }

    #[test]
    fn key_hashes_depend_on_key_and_pepper() {
        let vault = offline("pepper");
        assert_eq!(vault.hash_key("sk_a"), vault.hash_key("sk_a"));
        assert_ne!(vault.hash_key("sk_a"), vault.hash_key("sk_b"));
        assert_ne!(vault.hash_key("sk_a"), offline("pepper-other").hash_key("sk_a"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn small_secrets_open_where_they_were_sealed(secret in proptest::collection::vec(any::<u8>(), 0..64), at in any::<proptest::sample::Index>(), flip in 1u8..) {
            let vault = offline("seal");
            let mut record = vault.seal("webhook", "we_1", &secret).unwrap();
            let opened = vault.unseal("webhook", "we_1", &record).unwrap();
            prop_assert_eq!(&*opened, &secret);
            prop_assert!(vault.unseal("webhook", "we_2", &record).is_err());
            prop_assert!(vault.unseal("webhoo", "kwe_1", &record).is_err());
            prop_assert_ne!(&record, &vault.seal("webhook", "we_1", &secret).unwrap());
            let at = at.index(record.len());
            record[at] ^= flip;
            prop_assert!(vault.unseal("webhook", "we_1", &record).is_err());
            prop_assert!(vault.unseal("webhook", "we_1", &record[..at]).is_err());
        }
    }
}
