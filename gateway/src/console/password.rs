//! Passwords: Argon2id, hashed where it does not hold up anybody else's request.
//!
//! A wrong name costs as much time as a wrong password. It must never log or store a password.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use tokio::sync::Semaphore;

/// Shorter ones are refused; there is no rule about kinds of characters (NIST SP 800-63B, 5.1.1.2).
pub const LENGTH_MIN: usize = 12;
/// Longer ones are refused: nobody types them, and hashing them costs.
pub const LENGTH_MAX: usize = 200;

/// At most this many are hashed at once: each takes 19 MiB and some tens of milliseconds.
static HASHING: Semaphore = Semaphore::const_new(4);

/// What is kept of a password.
///
/// # Errors
/// When it could not be hashed.
pub async fn hash(password: String) -> anyhow::Result<String> {
    let _permit = HASHING.acquire().await?;
    tokio::task::spawn_blocking(move || hash_now(&password)).await?
}

/// The same, at once.
///
/// # Errors
/// When it could not be hashed.
pub fn hash_now(password: &str) -> anyhow::Result<String> {
    let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>()).map_err(|e| anyhow::anyhow!("salt: {e}"))?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    Ok(hash.map_err(|e| anyhow::anyhow!("password: {e}"))?.to_string())
}

/// Whether this is the password; with no hash, as much work for nothing.
pub async fn is_right(password: String, hash: Option<String>) -> bool {
    let Ok(_permit) = HASHING.acquire().await else {
        return false;
    };
    let verify = move || {
        let known = hash.is_some();
        let hash = hash.as_deref().unwrap_or(NOBODYS);
        let right = PasswordHash::new(hash)
            .is_ok_and(|parsed| Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok());
        right && known
    };
    tokio::task::spawn_blocking(verify).await.unwrap_or(false)
}

/// A password that nobody chose: five groups of five letters and digits.
pub fn random() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let letters: Vec<char> = rand::random::<[u8; 25]>()
        .iter()
        .map(|byte| ALPHABET[usize::from(byte % 32)] as char)
        .collect();
    letters
        .chunks(5)
        .map(|group| group.iter().collect::<String>())
        .collect::<Vec<_>>()
        .join("-")
}

/// Why a password cannot be taken: a key of the messages.
pub fn fault(user: &str, password: &str) -> Option<&'static str> {
    let length = password.chars().count();
    let lower = password.to_lowercase();
    match () {
        () if length < LENGTH_MIN => Some("password.short"),
        () if length > LENGTH_MAX => Some("password.long"),
        () if lower.contains(&user.to_lowercase()) || COMMON.iter().any(|word| lower.starts_with(word)) => {
            Some("password.common")
        }
        () => None,
    }
}

/// How the passwords begin that are tried first.
const COMMON: [&str; 8] = [
    "password",
    "passw0rd",
    "qwertyuiop",
    "123456789",
    "1234512345",
    "letmein",
    "counterfoil",
    "administrator",
];
/// The hash of what nobody knows.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$V7cl4jzmgDNPEtxZ8LAZlNlLn5ZFtRYcQeEfAjuLxHU";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_and_no_other() {
        let hash = hash("correct horse battery".into()).await.expect("hashes");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(is_right("correct horse battery".into(), Some(hash.clone())).await);
        assert!(!is_right("correct horse batterz".into(), Some(hash)).await);
        assert!(!is_right(String::new(), None).await);
        PasswordHash::new(NOBODYS).expect("it costs as much as a real one");
    }

    #[test]
    fn weak_passwords_are_named() {
        for (password, fault) in [
            ("short", Some("password.short")),
            ("anna-likes-tea", Some("password.common")),
            ("Password12345", Some("password.common")),
            ("a sentence of my own", None),
        ] {
            assert_eq!(super::fault("anna", password), fault, "{password}");
        }
        assert!(super::fault("anna", &"x".repeat(LENGTH_MAX + 1)).is_some());
        assert_eq!(super::fault("anna", &random()), None);
        assert_ne!(random(), random());
    }
}
