//! Making API keys. The key itself exists once, in the answer of [`create`]; the database has its keyed hash.

use crate::id;
use crate::vault::Vault;
use rand::RngCore;
use tokio_postgres::GenericClient;

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey<'a> {
    /// whose
    pub book_id: i64,
    /// `secret`, `restricted` or `publishable`
    pub kind: &'a str,
    /// may act for other merchants
    pub platform: bool,
    /// `checkout:write`, .. for restricted keys
    pub scopes: &'a [String],
}

/// Makes a key, stores its hash, and returns it for the one time it is shown.
pub async fn create(
    client: &impl GenericClient,
    vault: &Vault,
    new: &NewKey<'_>,
    now: jiff::Timestamp,
) -> Result<String, tokio_postgres::Error> {
    let prefix = match new.kind {
        "secret" => "sk_test_",
        "restricted" => "rk_test_",
        _ => "pk_test_",
    };
    let mut random = [0u8; 24];
    rand::rng().fill_bytes(&mut random);
    let key = format!("{prefix}{}", hex::encode(random));
    let hint = format!("{prefix}***{}", &key[key.len() - 4..]);
    client
        .execute(
            "INSERT INTO gateway.api_key (hash, id, book_id, kind, platform, scopes, hint, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[
                &vault.hash_key(&key).as_slice(),
                &id::new(id::prefix::KEY),
                &new.book_id,
                &new.kind,
                &new.platform,
                &new.scopes,
                &hint,
                &now,
            ],
        )
        .await?;
    Ok(key)
}
