//! The keys of the vault, read once from a file that only its owner can read.
//!
//! One line per key: `key ID HEX` is a key-encryption key (the last one wraps, all of them unwrap, see `kms::file`; none is
//! needed where a key management service keeps them), `fingerprint HEX` and `pepper HEX` never change. Lines that begin
//! with `#` are ignored. Keys must never be printed: `Debug` shows the ids alone.

use super::aead::Key;
use aws_lc_rs::rand;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// The vault's keys.
#[derive(Clone)]
pub struct Keys {
    sealing: Vec<(String, Key)>,
    pub(super) fingerprint: Key,
    pub(super) pepper: Key,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.sealing.iter().map(|(id, _)| id)).finish()
    }
}

/// Why keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// the file cannot be read or made
    #[error("the key file: {0}")]
    Io(#[from] io::Error),
    /// others can read it
    #[error("the key file may be read by its owner alone (mode 0600), it has mode {0:o}")]
    Exposed(u32),
    /// not the format described above
    #[error("the key file, line {line}: {what}")]
    Malformed {
        /// counted from one
        line: usize,
        /// never the key itself
        what: &'static str,
    },
    /// a kind of key is not there
    #[error("the key file has no `{0}` line")]
    Missing(&'static str),
}

impl Keys {
    /// Reads the file.
    ///
    /// # Errors
    /// When it is missing, readable by others, or not the format.
    pub fn from_file(path: &Path) -> Result<Self, KeysError> {
        let mut file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeysError::Exposed(mode));
        }
        let mut text = Zeroizing::new(String::with_capacity(4096));
        file.read_to_string(&mut text)?;
        Self::parse(&text)
    }

    /// Reads the file, or makes it with fresh random keys when there is none: for development. In production a missing
    /// file is an error, since new keys cannot open what the old ones sealed.
    ///
    /// # Errors
    /// As [`Keys::from_file`].
    pub fn from_file_or_create(path: &Path) -> Result<Self, KeysError> {
        match Self::create_file(path) {
            Err(KeysError::Io(e)) if e.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        Self::from_file(path)
    }

    /// Makes a new key file, mode 0600 and durable.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create_file(path: &Path) -> Result<(), KeysError> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let mut text = Zeroizing::new(String::with_capacity(512));
        text.push_str("# Keys of the vault. Without this file no stored card can be read. Keep a copy, apart from the database.\n");
        for name in ["key k1", "fingerprint", "pepper"] {
            let mut key = Key::default();
            rand::fill(key.as_mut()).map_err(|_| io::Error::other("no randomness"))?;
            let mut digits = Zeroizing::new([0u8; 64]);
            hex::encode_to_slice(key.as_ref(), digits.as_mut()).map_err(io::Error::other)?;
            text.push_str(name);
            text.push(' ');
            text.extend(digits.iter().map(|b| *b as char));
            text.push('\n');
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(())
    }

    fn parse(text: &str) -> Result<Self, KeysError> {
        let (mut sealing, mut fingerprint, mut pepper) = (Vec::<(String, Key)>::new(), None, None);
        for (index, line) in text.lines().enumerate() {
            let malformed = |what| KeysError::Malformed { line: index + 1, what };
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [] => {}
                [comment, ..] if comment.starts_with('#') => {}
                ["key", id, key] if !id.is_empty() && id.len() <= 32 && id.is_ascii() => {
                    if sealing.iter().any(|(known, _)| known == id) {
                        return Err(malformed("a second key of this id"));
                    }
                    sealing.push((id.to_owned(), parse_key(key).ok_or_else(|| malformed(NOT_A_KEY))?));
                }
                ["fingerprint", key] => fingerprint = Some(parse_key(key).ok_or_else(|| malformed(NOT_A_KEY))?),
                ["pepper", key] => pepper = Some(parse_key(key).ok_or_else(|| malformed(NOT_A_KEY))?),
                _ => return Err(malformed("expected `key ID HEX`, `fingerprint HEX` or `pepper HEX`")),
            }
        }
        Ok(Self {
            sealing,
            fingerprint: fingerprint.ok_or(KeysError::Missing("fingerprint"))?,
            pepper: pepper.ok_or(KeysError::Missing("pepper"))?,
        })
    }

    /// The key that wraps now, with its id.
    pub(super) fn current(&self) -> Option<(&str, &Key)> {
        self.sealing.last().map(|(id, key)| (id.as_str(), key))
    }

    /// An id that no key has or had: the last key is never removed, so the highest number only rises.
    pub(super) fn next_id(&self) -> String {
        let number = |(id, _): &(String, Key)| id.strip_prefix('k')?.parse::<u64>().ok();
        let highest = self.sealing.iter().filter_map(number).max().unwrap_or(0);
        format!("k{}", highest.saturating_add(1))
    }

    /// The key of this id.
    pub(super) fn by_id(&self, id: &str) -> Option<&Key> {
        self.sealing.iter().find(|(known, _)| known == id).map(|(_, key)| key)
    }
}

fn parse_key(digits: &str) -> Option<Key> {
    let mut key = Key::default();
    hex::decode_to_slice(digits, key.as_mut()).ok()?;
    Some(key)
}

const NOT_A_KEY: &str = "a key is 64 hexadecimal digits";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_postgres::TempDir;

    #[test]
    fn a_file_is_made_once_and_private() {
        let dir = TempDir::new("keys");
        let path = dir.path().join("vault.keys");
        assert!(matches!(Keys::from_file(&path), Err(KeysError::Io(_))));
        let first = Keys::from_file_or_create(&path).unwrap();
        let second = Keys::from_file_or_create(&path).unwrap();
        assert_eq!(first.pepper, second.pepper);
        assert_ne!(first.pepper, first.fingerprint);
        assert!(Keys::create_file(&path).is_err(), "keys are never overwritten");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Keys::from_file(&path), Err(KeysError::Exposed(0o640))));
    }

    #[test]
    fn the_last_key_seals_and_all_open() {
        let hex = |byte: &str| byte.repeat(32);
        let text = format!(
            "# c\nkey a {}\nkey b {}\nfingerprint {}\npepper {}\n",
            hex("01"),
            hex("02"),
            hex("03"),
            hex("04")
        );
        let keys = Keys::parse(&text).unwrap();
        assert_eq!(keys.current().map(|(id, _)| id), Some("b"));
        assert_eq!(keys.next_id(), "k1");
        assert_eq!(keys.by_id("a").map(|k| k[0]), Some(1));
        assert_eq!(format!("{keys:?}"), r#"["a", "b"]"#);
        for (wrong, why) in [
            ("".to_owned(), "no `fingerprint`"),
            (format!("key a {}", hex("01")), "no `fingerprint`"),
            (format!("key a {}", "zz".repeat(32)), "64 hexadecimal"),
            (format!("key a {}\nkey a {}", hex("01"), hex("02")), "second key"),
            ("hello".to_owned(), "expected"),
        ] {
            let message = Keys::parse(&wrong).unwrap_err().to_string();
            assert!(message.contains(why), "{message}");
        }
    }
}
