//! AES-256-GCM as the vault uses it: under a key derived per purpose and book, with the record's identity as associated data.
//!
//! Random 96-bit nonces are safe for 2^32 records *per derived key*. It must never hold a key longer than a call.

use super::VaultError;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

pub use aws_lc_rs::aead::NONCE_LEN;

/// 256 bits that are wiped when dropped.
pub type Key = Zeroizing<[u8; 32]>;

/// A random key.
pub fn fresh_key() -> Result<Key, VaultError> {
    let mut key = Key::default();
    rand::fill(key.as_mut()).map_err(|_| VaultError::Randomness)?;
    Ok(key)
}

/// A random nonce.
pub fn fresh_nonce() -> Result<[u8; NONCE_LEN], VaultError> {
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce).map_err(|_| VaultError::Randomness)?;
    Ok(nonce)
}

/// Ciphertext and tag of `plain`, which opens only with the same key, purpose, book, id and nonce.
pub fn seal(
    key: &Key,
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

/// The reverse of [`seal`].
pub fn open(
    key: &Key,
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

/// A keyed HMAC-SHA-256.
pub fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

/// What a record is, without ambiguity: every part but the last has a length.
pub fn identity(purpose: &str, book_id: i64, id: &str) -> Vec<u8> {
    let mut identity = Vec::with_capacity(17 + purpose.len() + id.len());
    identity.push(VERSION);
    identity.extend_from_slice(&(purpose.len() as u64).to_be_bytes());
    identity.extend_from_slice(purpose.as_bytes());
    identity.extend_from_slice(&book_id.to_be_bytes());
    identity.extend_from_slice(id.as_bytes());
    identity
}

/// The key for one purpose in one book: HMAC-SHA-256 as the derivation function of NIST SP 800-108.
fn derived(key: &Key, purpose: &str, book_id: i64) -> LessSafeKey {
    let mut mac = hmac(key.as_ref());
    mac.update(&identity(purpose, book_id, ""));
    let derived: Key = Zeroizing::new(mac.finalize().into_bytes().into());
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, derived.as_ref()).expect("an AES-256 key has 32 bytes"))
}

const VERSION: u8 = 1;
