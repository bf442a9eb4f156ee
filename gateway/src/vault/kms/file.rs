//! Key-encryption keys in the vault's key file: its `key ID HEX` lines, of which the last one wraps and all unwrap.
//!
//! The file is read again when it changed (looked at once a second at most), so that a rotation reaches running processes
//! without a signal. It is replaced as a whole, durably, with its owner and mode; it must never be readable by others.

use super::super::VaultError;
use super::super::aead::{self, Key, NONCE_LEN};
use super::super::keys::{Keys, KeysError};
use super::{DATA_KEY_PURPOSE, Kms, KmsError, Subject, Wrapped};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use zeroize::Zeroizing;

/// The keys of a file.
pub struct FileKms {
    path: PathBuf,
    seen: Mutex<Seen>,
}

struct Seen {
    keys: Keys,
    stamp: Option<(SystemTime, u64, u64)>,
    looked: Instant,
}

impl std::fmt::Debug for FileKms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileKms")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl FileKms {
    /// Opens a key file that has at least one `key` line.
    ///
    /// # Errors
    /// As [`Keys::from_file`].
    pub fn open(path: &Path) -> Result<Self, KeysError> {
        let keys = Keys::from_file(path)?;
        keys.current().ok_or(KeysError::Missing("key"))?;
        let seen = Mutex::new(Seen {
            keys,
            stamp: stamp(path),
            looked: Instant::now(),
        });
        Ok(Self {
            path: path.to_owned(),
            seen,
        })
    }

    /// The keys as the file now has them; as they were when it cannot be read at the moment.
    fn keys(&self, look_now: bool) -> Keys {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if look_now || seen.looked.elapsed() >= LOOK_EVERY {
            seen.looked = Instant::now();
            let stamp = stamp(&self.path);
            if stamp.is_some() && stamp != seen.stamp {
                match Keys::from_file(&self.path) {
                    Ok(keys) if keys.current().is_some() => {
                        seen.keys = keys;
                        seen.stamp = stamp;
                    }
                    Ok(_) => tracing::error!("the key file has no `key` line any more; the keys of before stay"),
                    Err(error) => {
                        tracing::error!(%error, "the key file changed and cannot be read; the keys of before stay")
                    }
                }
            }
        }
        seen.keys.clone()
    }

    fn wrap_all(&self, wanted: &[(Subject, Key)]) -> Result<Vec<Wrapped>, KmsError> {
        let keys = self.keys(false);
        let (kek, key) = keys.current().ok_or(KeysError::Missing("key"))?;
        wanted
            .iter()
            .map(|(subject, data_key)| {
                let nonce = aead::fresh_nonce().map_err(|_| KmsError::Randomness)?;
                let sealed = aead::seal(
                    key,
                    DATA_KEY_PURPOSE,
                    subject.book_id,
                    &subject.id,
                    nonce,
                    data_key.as_ref(),
                );
                let sealed = sealed.map_err(|_| KmsError::Refused(kek.to_owned()))?;
                Ok(Wrapped {
                    kek: kek.to_owned(),
                    bytes: [nonce.as_slice(), &sealed].concat(),
                })
            })
            .collect()
    }

    fn unwrap_one(&self, subject: &Subject, wrapped: &Wrapped) -> Result<Key, KmsError> {
        let mut keys = self.keys(false);
        if keys.by_id(&wrapped.kek).is_none() {
            keys = self.keys(true); // made a moment ago by another process?
        }
        let key = keys
            .by_id(&wrapped.kek)
            .ok_or_else(|| KmsError::Lost(wrapped.kek.clone()))?;
        let refused = |_: VaultError| KmsError::Refused(wrapped.kek.clone());
        let (nonce, sealed) = wrapped
            .bytes
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(VaultError::Broken)
            .map_err(refused)?;
        let plain = aead::open(key, DATA_KEY_PURPOSE, subject.book_id, &subject.id, *nonce, sealed).map_err(refused)?;
        let plain: &[u8; 32] = plain
            .as_slice()
            .try_into()
            .map_err(|_| KmsError::Refused(wrapped.kek.clone()))?;
        Ok(Zeroizing::new(*plain))
    }

    fn add_key(&self) -> Result<String, KmsError> {
        let next = self.keys(true).next_id();
        let key = aead::fresh_key().map_err(|_| KmsError::Randomness)?;
        let mut digits = Zeroizing::new([0u8; 64]);
        hex::encode_to_slice(key.as_ref(), digits.as_mut()).map_err(|_| KmsError::Randomness)?;
        self.rewrite(|text| {
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("key {next} "));
            text.extend(digits.iter().map(|b| *b as char));
            text.push('\n');
        })?;
        Ok(next)
    }

    fn remove_key(&self, kek: &str) -> Result<(), KmsError> {
        if self.keys(true).current().is_some_and(|(id, _)| id == kek) {
            return Err(KmsError::Denied(format!(
                "`{kek}` is the key that wraps now; rotate first"
            )));
        }
        self.rewrite(|text| {
            let mut kept = Zeroizing::new(String::with_capacity(text.len()));
            for line in text.lines() {
                let mut words = line.split_whitespace();
                if (words.next(), words.next()) != (Some("key"), Some(kek)) {
                    kept.push_str(line);
                    kept.push('\n');
                }
            }
            text.clear();
            text.push_str(&kept);
        })
    }

    /// Replaces the file by an edited copy: durable, and the old one is whole until the new one is.
    fn rewrite(&self, edit: impl FnOnce(&mut String)) -> Result<(), KmsError> {
        let file = |error: io::Error| KmsError::File(error.into());
        let before = fs::metadata(&self.path).map_err(file)?;
        let mut text = Zeroizing::new(String::with_capacity(before.len() as usize + 256));
        io::Read::read_to_string(&mut fs::File::open(&self.path).map_err(file)?, &mut text).map_err(file)?;
        edit(&mut text);
        let new = self.path.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file(error)),
            _ => {}
        }
        let write = || -> io::Result<()> {
            let mut out = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&new)?;
            // The service reads it under its own account, whoever rotates.
            std::os::unix::fs::fchown(&out, Some(before.uid()), Some(before.gid()))?;
            out.write_all(text.as_bytes())?;
            out.sync_all()?;
            fs::rename(&new, &self.path)?;
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(file)?;
        self.keys(true);
        Ok(())
    }
}

impl Kms for FileKms {
    fn current(&self) -> BoxFuture<'_, Result<String, KmsError>> {
        let current = self.keys(true).current().map(|(id, _)| id.to_owned());
        ready(current.ok_or(KmsError::File(KeysError::Missing("key")))).boxed()
    }

    fn wrap<'a>(&'a self, keys: &'a [(Subject, Key)]) -> BoxFuture<'a, Result<Vec<Wrapped>, KmsError>> {
        ready(self.wrap_all(keys)).boxed()
    }

    fn unwrap<'a>(&'a self, wrapped: &'a [(Subject, Wrapped)]) -> BoxFuture<'a, Result<Vec<Key>, KmsError>> {
        ready(
            wrapped
                .iter()
                .map(|(subject, key)| self.unwrap_one(subject, key))
                .collect(),
        )
        .boxed()
    }

    fn rotate(&self) -> BoxFuture<'_, Result<String, KmsError>> {
        ready(self.add_key()).boxed()
    }

    fn retire<'a>(&'a self, kek: &'a str) -> BoxFuture<'a, Result<(), KmsError>> {
        ready(self.remove_key(kek)).boxed()
    }
}

/// Changes whenever the file does: a replaced file has another inode.
fn stamp(path: &Path) -> Option<(SystemTime, u64, u64)> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len(), meta.ino()))
}

/// How long a process may go on with a key file that has changed.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
