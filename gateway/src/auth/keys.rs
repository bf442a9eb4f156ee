//! The life of API keys: made, rolled with an overlap, ended.
//!
//! The key itself exists once, in the answer of [`create`] or [`rotate`]; the database has its keyed hash. A key is never
//! changed: what it may do is fixed when it is made, and the database refuses anything else. All of this is the operator's
//! work, over the owner's connection; the role that serves can do none of it.

use crate::id;
use crate::vault::{Vault, contains_card_number};
use jiff::Timestamp;
use rand::RngCore;
use tokio_postgres::{GenericClient, Row};

/// A key to be made.
#[derive(Clone, Debug, Default)]
pub struct NewKey<'a> {
    /// whose
    pub book_id: i64,
    /// `secret`, `restricted` or `publishable`
    pub kind: &'a str,
    /// may act for other merchants
    pub platform: bool,
    /// `checkout:write`, .. for restricted keys
    pub scopes: &'a [String],
    /// for people
    pub name: &'a str,
    /// every request must be signed
    pub signature_required: bool,
    /// `sha256:<hex of the DER>` or `cn:<common name>`: the client certificate that must be shown with it
    pub client_certificate: Option<&'a str>,
    /// instead of the service's own setting
    pub requests_per_second: Option<i32>,
    /// instead of the service's own setting
    pub concurrent_requests: Option<i32>,
    /// when it ends by itself
    pub expires_at: Option<Timestamp>,
    /// id of the key that it takes over from
    pub replaces: Option<&'a str>,
}

/// A key that was just made: the only time that its secrets are seen.
#[derive(Clone)]
pub struct Made {
    /// `key_..`; also `keyid` of signatures
    pub id: String,
    /// what goes into `Authorization`
    pub key: String,
    /// what signs requests: base64 of 32 bytes
    pub signing_secret: String,
}

/// A key as it may be shown.
#[derive(Clone, Debug, serde::Serialize)]
#[allow(missing_docs)]
pub struct Listed {
    pub id: String,
    /// `active`, `expired` or `revoked`
    pub state: &'static str,
    pub name: String,
    pub merchant: String,
    pub kind: String,
    pub platform: bool,
    pub scopes: Vec<String>,
    /// prefix and last four
    pub hint: String,
    pub signature_required: bool,
    pub client_certificate: Option<String>,
    pub requests_per_second: Option<i32>,
    pub concurrent_requests: Option<i32>,
    pub replaces: Option<String>,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

/// Why a key was not rolled or ended.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// no such id
    #[error("there is no key {0}")]
    Unknown(String),
    /// expired or revoked: that is final
    #[error("key {0} has ended already")]
    Ended(String),
    /// an end in the past is `revoke`
    #[error("a key cannot have expired before now")]
    Past,
    /// the database
    #[error("database: {0}")]
    Database(#[from] tokio_postgres::Error),
}

/// Makes a key, stores its hash, and returns it for the one time it is shown.
///
/// # Errors
/// When the database refuses it.
pub async fn create(
    client: &impl GenericClient,
    vault: &Vault,
    new: &NewKey<'_>,
    now: Timestamp,
) -> Result<Made, tokio_postgres::Error> {
    let prefix = match new.kind {
        "secret" => "sk_test_",
        "restricted" => "rk_test_",
        _ => "pk_test_",
    };
    let key = format!("{prefix}{}", random_part());
    let hint = format!("{prefix}***{}", &key[key.len() - 4..]);
    let id = id::new(id::prefix::KEY);
    client
        .execute(
            "INSERT INTO gateway.api_key (hash, id, book_id, kind, platform, scopes, hint, created_at, name, signature_required,
                 client_certificate, requests_per_second, concurrent_requests, expires_at, replaces)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
            &[
                &vault.hash_key(&key).as_slice(),
                &id,
                &new.book_id,
                &new.kind,
                &new.platform,
                &new.scopes,
                &hint,
                &now,
                &new.name,
                &new.signature_required,
                &new.client_certificate,
                &new.requests_per_second,
                &new.concurrent_requests,
                &new.expires_at,
                &new.replaces,
            ],
        )
        .await?;
    let secret = signing_secret(vault, &id);
    Ok(Made {
        signing_secret: base64::Engine::encode(&base64::engine::general_purpose::STANDARD, secret),
        id,
        key,
    })
}

/// Makes a key like this one and lets the old one expire at `until`: callers change over while both work.
///
/// # Errors
/// [`KeyError`]; then nothing has changed.
pub async fn rotate(
    client: &mut tokio_postgres::Client,
    vault: &Vault,
    key_id: &str,
    until: Timestamp,
    now: Timestamp,
) -> Result<Made, KeyError> {
    let tx = client.transaction().await?;
    expire(&tx, key_id, until, now).await?;
    let row = tx
        .query_one(
            "SELECT book_id, kind, platform, scopes, name, signature_required, client_certificate, requests_per_second,
                    concurrent_requests FROM gateway.api_key WHERE id = $1",
            &[&key_id],
        )
        .await?;
    let scopes: Vec<String> = row.try_get("scopes")?;
    let new = NewKey {
        book_id: row.try_get("book_id")?,
        kind: row.try_get("kind")?,
        platform: row.try_get("platform")?,
        scopes: &scopes,
        name: row.try_get("name")?,
        signature_required: row.try_get("signature_required")?,
        client_certificate: row.try_get("client_certificate")?,
        requests_per_second: row.try_get("requests_per_second")?,
        concurrent_requests: row.try_get("concurrent_requests")?,
        expires_at: None,
        replaces: Some(key_id),
    };
    let made = create(&tx, vault, &new, now).await?;
    tx.commit().await?;
    Ok(made)
}

/// Sets when a key that still works ends.
///
/// # Errors
/// [`KeyError`].
pub async fn expire(client: &impl GenericClient, key_id: &str, at: Timestamp, now: Timestamp) -> Result<(), KeyError> {
    if at < now {
        return Err(KeyError::Past);
    }
    let changed = client
        .execute(
            "UPDATE gateway.api_key SET expires_at = $2
             WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3)",
            &[&key_id, &at, &now],
        )
        .await?;
    ended(client, key_id, changed).await
}

/// Ends a key now. Every process refuses it as soon as it has read the row again, within two seconds.
///
/// # Errors
/// [`KeyError`].
pub async fn revoke(client: &impl GenericClient, key_id: &str, now: Timestamp) -> Result<(), KeyError> {
    let changed = client
        .execute(
            "UPDATE gateway.api_key SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL",
            &[&key_id, &now],
        )
        .await?;
    ended(client, key_id, changed).await
}

/// All keys, of one merchant or of everyone, newest first.
///
/// # Errors
/// The database's.
pub async fn list(
    client: &impl GenericClient,
    merchant: Option<&str>,
    now: Timestamp,
) -> Result<Vec<Listed>, tokio_postgres::Error> {
    let rows = client
        .query(
            "SELECT k.*, m.id AS merchant FROM gateway.api_key k JOIN gateway.merchant m USING (book_id)
             WHERE $1::text IS NULL OR m.id = $1 ORDER BY k.created_at DESC, k.id DESC",
            &[&merchant],
        )
        .await?;
    rows.iter().map(|row| listed(row, now)).collect()
}

/// The secret with which this key signs requests: derived, so that no database holds it and it is never at rest.
pub(super) fn signing_secret(vault: &Vault, key_id: &str) -> [u8; 32] {
    // The prefix keeps it apart from the hashes of keys, which begin with sk_, rk_ or pk_.
    vault.hash_key(&format!("request signature of {key_id}"))
}

async fn ended(client: &impl GenericClient, key_id: &str, changed: u64) -> Result<(), KeyError> {
    if changed > 0 {
        return Ok(());
    }
    let known = client
        .query_opt("SELECT 1 FROM gateway.api_key WHERE id = $1", &[&key_id])
        .await?;
    Err(match known {
        Some(_) => KeyError::Ended(key_id.to_owned()),
        None => KeyError::Unknown(key_id.to_owned()),
    })
}

/// What nobody can guess of a key. In 48 hexadecimal digits a card number may be found by accident, and such a key could never be
/// used: requests with a card number in a header are refused.
fn random_part() -> String {
    loop {
        let mut random = [0u8; 24];
        rand::rng().fill_bytes(&mut random);
        let part = hex::encode(random);
        if !contains_card_number(&part) {
            return part;
        }
    }
}

fn listed(row: &Row, now: Timestamp) -> Result<Listed, tokio_postgres::Error> {
    let (expires_at, revoked_at): (Option<Timestamp>, Option<Timestamp>) =
        (row.try_get("expires_at")?, row.try_get("revoked_at")?);
    Ok(Listed {
        id: row.try_get("id")?,
        state: match (revoked_at, expires_at) {
            (Some(at), _) if at <= now => "revoked",
            (_, Some(at)) if at <= now => "expired",
            _ => "active",
        },
        name: row.try_get("name")?,
        merchant: row.try_get("merchant")?,
        kind: row.try_get("kind")?,
        platform: row.try_get("platform")?,
        scopes: row.try_get("scopes")?,
        hint: row.try_get("hint")?,
        signature_required: row.try_get("signature_required")?,
        client_certificate: row.try_get("client_certificate")?,
        requests_per_second: row.try_get("requests_per_second")?,
        concurrent_requests: row.try_get("concurrent_requests")?,
        replaces: row.try_get("replaces")?,
        created_at: row.try_get("created_at")?,
        last_used_at: row.try_get("last_used_at")?,
        expires_at,
        revoked_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_looks_like_a_card_number() {
        let made = (0..20_000)
            .map(|_| random_part())
            .filter(|part| contains_card_number(part));
        assert_eq!(made.count(), 0);
    }
}
