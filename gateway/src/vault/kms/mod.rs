//! Who keeps the key-encryption keys: the one interface to a key file, or to a key management service over the network.
//!
//! A keeper wraps and unwraps data keys and never sees a card. A wrapped key names its key-encryption key, and its subject
//! is bound in as associated data, so that a wrapped key moved to another row does not unwrap. A keeper must never give a
//! key-encryption key out.

mod file;
mod transit;

pub use file::FileKms;
pub use transit::{Transit, TransitConfig};

use super::aead::{Key, identity};
use futures_util::future::BoxFuture;

/// A data key as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// name of the key-encryption key
    pub kek: String,
    /// opaque to all but the keeper
    pub bytes: Vec<u8>,
}

/// Whose data key it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// 0 for the platform's own secrets
    pub book_id: i64,
    /// a card's id, or the name of a key for secrets
    pub id: String,
}

impl Subject {
    /// The associated data of its wrapping.
    pub(super) fn context(&self) -> Vec<u8> {
        identity(DATA_KEY_PURPOSE, self.book_id, &self.id)
    }
}

/// Why a keeper could not do it. Never says a key.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    /// it has no key of this name: lost, or not distributed to this machine
    #[error(
        "key-encryption key `{0}` is not there; what it wraps cannot be read. Restore it from its backup (a key file is kept \
         apart from the database), or shred what it wraps"
    )]
    Lost(String),
    /// it has the name, and another key behind it, or the wrapped key was altered or moved
    #[error("key-encryption key `{0}` does not unwrap this: another key of that name, or an altered record")]
    Refused(String),
    /// nothing is known: ask again
    #[error("the key service does not answer: {0}")]
    Unreachable(String),
    /// it answered that it will not
    #[error("the key service refuses: {0}")]
    Denied(String),
    /// the key file
    #[error(transparent)]
    File(#[from] super::KeysError),
    /// no randomness
    #[error("no randomness")]
    Randomness,
}

/// A keeper of key-encryption keys.
pub trait Kms: std::fmt::Debug + Send + Sync {
    /// The name of the key that wraps now.
    fn current(&self) -> BoxFuture<'_, Result<String, KmsError>>;

    /// Wraps data keys under the current key, in order.
    fn wrap<'a>(&'a self, keys: &'a [(Subject, Key)]) -> BoxFuture<'a, Result<Vec<Wrapped>, KmsError>>;

    /// Unwraps data keys, in order. One that does not unwrap fails the call.
    fn unwrap<'a>(&'a self, wrapped: &'a [(Subject, Wrapped)]) -> BoxFuture<'a, Result<Vec<Key>, KmsError>>;

    /// Makes a new key-encryption key that wraps from now on; the old ones still unwrap. Returns its name.
    fn rotate(&self) -> BoxFuture<'_, Result<String, KmsError>>;

    /// Destroys a key-encryption key. The caller has proven that it wraps nothing.
    fn retire<'a>(&'a self, kek: &'a str) -> BoxFuture<'a, Result<(), KmsError>>;
}

pub(super) const DATA_KEY_PURPOSE: &str = "data_key";
/// After a rotation, a process may wrap with the old key for this long.
pub(super) const SETTLE: std::time::Duration = file::LOOK_EVERY.saturating_mul(2);
