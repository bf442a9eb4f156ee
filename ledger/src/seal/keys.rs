//! The keys that sign heads, from a file that the database does not hold and only its owner can read.
//!
//! One line per key: `key ID HEX`; the last one signs, all of them check, which is how keys are rotated. Lines that begin
//! with `#` are ignored. Keys must never be printed: `Debug` shows the ids alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::merkle::Hash;
use super::series::Series;

/// All keys of a chain, the signing one last.
#[derive(Clone)]
pub struct Keys(Vec<Key>);

/// One key.
#[derive(Clone)]
pub(super) struct Key {
    pub id: String,
    secret: Zeroizing<[u8; 32]>,
}

/// Why keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read or made.
    #[error("the key file of the seal: {0}")]
    Io(#[from] io::Error),
    /// Others can read it.
    #[error("the key file of the seal may be read by its owner alone (mode 0600), it has mode {0:o}")]
    Exposed(u32),
    /// Not the format described above.
    #[error("the key file of the seal, line {line}: {what}")]
    Malformed {
        /// Counted from one.
        line: usize,
        /// Never the key itself.
        what: &'static str,
    },
    /// No key in it.
    #[error("the key file of the seal has no `key` line")]
    Empty,
}

impl Keys {
    /// Reads the file.
    pub fn from_file(path: &Path) -> Result<Keys, KeysError> {
        let mut file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeysError::Exposed(mode));
        }
        let mut text = Zeroizing::new(String::with_capacity(4096));
        file.read_to_string(&mut text)?;
        text.parse()
    }

    /// Reads the file, or makes it with a fresh random key `k1` when there is none: for development. In production a
    /// missing file is an error, since a new key does not check what the old one signed.
    pub fn from_file_or_create(path: &Path) -> Result<Keys, KeysError> {
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(mut file) => {
                let secret = Zeroizing::new(rand::random::<[u8; 32]>());
                let digits = Zeroizing::new(hex::encode(secret.as_ref()));
                file.write_all(b"# Keys of the seal. Keep them where the administrators of the database cannot read them.\nkey k1 ")?;
                file.write_all(digits.as_bytes())?;
                file.write_all(b"\n")?;
                file.sync_all()?;
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e.into()),
        }
        Keys::from_file(path)
    }

    /// The keys of a series: derived from those of the file under its name, with the same ids.
    pub fn of_series(&self, series: &Series) -> Keys {
        if series.keys.is_empty() {
            return self.clone();
        }
        let derived = |key: &Key| Key {
            id: key.id.clone(),
            secret: Zeroizing::new(key.mac(format!("counterfoil/series-key/v1/{}", series.keys).as_bytes())),
        };
        Keys(self.0.iter().map(derived).collect())
    }

    /// The key that signs now.
    pub(super) fn signing(&self) -> &Key {
        self.0.last().expect("parsing refuses a file without a key")
    }

    /// The key of this id.
    pub(super) fn by_id(&self, id: &str) -> Option<&Key> {
        self.0.iter().find(|k| k.id == id)
    }
}

impl FromStr for Keys {
    type Err = KeysError;

    /// The text of a key file.
    fn from_str(text: &str) -> Result<Keys, KeysError> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let malformed = |what| KeysError::Malformed { line: index + 1, what };
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [] => {}
                [comment, ..] if comment.starts_with('#') => {}
                ["key", id, digits] if (1..=32).contains(&id.len()) && id.is_ascii() => {
                    if keys.iter().any(|k| k.id == id) {
                        return Err(malformed("a second key of this id"));
                    }
                    let mut secret = Zeroizing::new([0; 32]);
                    hex::decode_to_slice(digits, secret.as_mut())
                        .map_err(|_| malformed("a key is 64 hexadecimal digits"))?;
                    keys.push(Key {
                        id: id.to_owned(),
                        secret,
                    });
                }
                _ => return Err(malformed("expected `key ID HEX`")),
            }
        }
        match keys.is_empty() {
            true => Err(KeysError::Empty),
            false => Ok(Keys(keys)),
        }
    }
}

impl Key {
    /// HMAC-SHA-256 of the data.
    pub fn mac(&self, data: &[u8]) -> Hash {
        self.keyed(data).finalize().into_bytes().into()
    }

    /// Whether this is the MAC of the data, in constant time.
    pub fn is_mac(&self, data: &[u8], mac: &Hash) -> bool {
        self.keyed(data).verify_slice(mac).is_ok()
    }

    /// Tells keys apart without giving anything of them away.
    pub fn check(&self) -> [u8; 8] {
        let mac = self.mac(b"counterfoil/key-check/v1");
        std::array::from_fn(|i| mac[i])
    }

    fn keyed(&self, data: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_ref()).expect("HMAC takes a key of any length");
        mac.update(data);
        mac
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|k| &k.id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_key_signs_and_all_check() {
        let text = format!("# c\nkey a {}\n\nkey b {}\n", "01".repeat(32), "02".repeat(32));
        let keys: Keys = text.parse().unwrap();
        assert_eq!(keys.signing().id, "b");
        let mac = keys.by_id("a").unwrap().mac(b"x");
        assert!(keys.by_id("a").unwrap().is_mac(b"x", &mac) && !keys.by_id("b").unwrap().is_mac(b"x", &mac));
        assert_ne!(keys.by_id("a").unwrap().check(), keys.by_id("b").unwrap().check());
        assert_eq!(format!("{keys:?}"), r#"["a", "b"]"#);
        for (wrong, why) in [
            (String::new(), "no `key`"),
            ("key a 00".to_owned(), "64 hexadecimal"),
            (format!("{text}key a {}", "03".repeat(32)), "line 5: a second key"),
            ("hello".to_owned(), "expected"),
        ] {
            let message = wrong.parse::<Keys>().unwrap_err().to_string();
            assert!(message.contains(why), "{message}");
        }
    }

    #[test]
    fn the_mac_is_hmac_sha_256() {
        // Computed with Python's hmac.
        let keys: Keys = format!("key a {}", "0b".repeat(32)).parse().unwrap();
        assert_eq!(
            hex::encode(keys.signing().mac(b"Hi There")),
            "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7"
        );
    }
}
