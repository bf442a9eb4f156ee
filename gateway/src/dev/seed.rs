//! TEMPORARY stand-in: the platform, two merchants and their keys. To be replaced.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was seeded, as `dev.json` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seeded {
    /// Key with every scope.
    pub secret_key: String,
    /// Key for browsers.
    pub publishable_key: String,
    /// Scope to key.
    pub restricted_keys: BTreeMap<String, String>,
    /// Merchants.
    pub merchants: Vec<Merchant>,
    /// Secret of webhooks to merchants.
    pub webhook_secret: String,
    /// People of the console.
    pub console_users: Vec<ConsoleUser>,
}

/// One merchant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Merchant {
    /// `acct_..`
    pub id: String,
    /// For people.
    pub name: String,
}

/// One person of the console.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConsoleUser {
    /// What they may do.
    pub role: String,
    /// Login name.
    pub user: String,
    /// Password.
    pub password: String,
}

/// Seeds what is missing. Keys are stored as hashes only, so what an earlier start made is given back in `known`.
///
/// # Errors
/// When the database refuses.
pub async fn seed(_client: &tokio_postgres::Client, known: Option<Seeded>) -> anyhow::Result<Seeded> {
    Ok(known.unwrap_or_else(|| Seeded {
        secret_key: format!("sk_test_{}", hex::encode(rand::random::<[u8; 12]>())),
        publishable_key: "pk_test_1".into(),
        restricted_keys: BTreeMap::new(),
        merchants: vec![Merchant {
            id: "acct_1".into(),
            name: "One".into(),
        }],
        webhook_secret: "whsec_1".into(),
        console_users: Vec::new(),
    }))
}
