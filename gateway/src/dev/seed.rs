//! What a development installation starts with: a platform, two merchants, their keys, a webhook secret and console users.
//!
//! Keys and passwords are stored as hashes only, so what an earlier start made is given back by `dev.json`; it is made
//! anew only where it is missing. Never used by `serve`.

use crate::auth::Scope;
use crate::auth::keys::{self, NewKey};
use crate::console::role::Role;
use crate::console::{password, user};
use crate::vault::Vault;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio_postgres::Client;

/// What was seeded, as `dev.json` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seeded {
    /// a platform key: acts for the first merchant, and for every other with `Stripe-Account`
    pub secret_key: String,
    /// for browsers: may do nothing on the server's API
    pub publishable_key: String,
    /// scope to a key that may read and write there and nowhere else
    pub restricted_keys: BTreeMap<String, String>,
    /// those who sell
    pub merchants: Vec<SeededMerchant>,
    /// secret for a webhook endpoint of the first merchant, made with `POST /v1/webhook_endpoints`
    pub webhook_secret: String,
    /// people of the console
    pub console_users: Vec<ConsoleUser>,
}

/// A merchant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SeededMerchant {
    /// `acct_..`
    pub id: String,
    /// for people
    pub name: String,
}

/// A person of the console.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConsoleUser {
    /// what they may do
    pub role: String,
    /// login name
    pub user: String,
    /// in clear: this is a development installation
    pub password: String,
}

const MERCHANTS: [(&str, &str); 2] = [
    ("acct_harbourbooks", "Harbour Books"),
    ("acct_northwindtea", "Northwind Tea"),
];
/// Seeds what is missing.
///
/// # Errors
/// When the database refuses.
pub async fn seed(
    owner: &Client,
    vault: &Vault,
    known: Option<Seeded>,
    now: jiff::Timestamp,
) -> anyhow::Result<Seeded> {
    ledger::open_book(owner, "platform", "Platform").await?;
    let reverify_at = now + jiff::SignedDuration::from_hours(24 * 365);
    let mut books = Vec::new();
    for (account, name) in MERCHANTS {
        let book = ledger::open_book(owner, account, name).await?;
        owner
            .execute(
                "INSERT INTO gateway.merchant (book_id, id, name, status, country, default_currency, created_at, reverify_at, details)
                 VALUES ($1, $2, $3, 'active', 'US', 'usd', $4, $5, $6) ON CONFLICT DO NOTHING",
                &[&book.0, &account, &name, &now, &reverify_at, &on_file(name)],
            )
            .await?;
        owner
            .execute(
                "INSERT INTO gateway.terms (book_id, id, version, account_id, kind, number, status, effective_at, created_at, created_by, content)
                 VALUES ($1, 'trm_' || ($1::bigint)::text, 1, $2, 'fee_schedule', 1, 'approved', $3, $3, 'seed',
                         '{\"percent\": \"2.9\", \"rates\": {\"usd\": {\"percent\": \"2.9\", \"fixed\": 30}}}') ON CONFLICT DO NOTHING",
                &[&book.0, &account, &now],
            )
            .await?;
        books.push(book.0);
    }
    if let Some(known) = known
        && valid(owner, vault, &known).await?
    {
        return Ok(known);
    }
    let first = books[0];
    let key = |kind: &'static str, platform: bool, scopes: Vec<String>| async move {
        keys::create(
            owner,
            vault,
            &NewKey {
                book_id: first,
                kind,
                platform,
                scopes: &scopes,
                ..NewKey::default()
            },
            now,
        )
        .await
        .map(|made| made.key)
    };
    let mut restricted_keys = BTreeMap::new();
    for scope in Scope::ALL {
        let granted = vec![format!("{}:write", scope.as_str())];
        restricted_keys.insert(scope.as_str().to_owned(), key("restricted", false, granted).await?);
    }
    Ok(Seeded {
        secret_key: key("secret", true, Vec::new()).await?,
        publishable_key: key("publishable", false, Vec::new()).await?,
        restricted_keys,
        merchants: MERCHANTS
            .iter()
            .map(|(id, name)| SeededMerchant {
                id: (*id).into(),
                name: (*name).into(),
            })
            .collect(),
        webhook_secret: format!("whsec_{}", hex::encode(rand::random::<[u8; 24]>())),
        console_users: console_users(owner).await?,
    })
}

/// What an examined merchant has on file.
fn on_file(name: &str) -> serde_json::Value {
    let mailbox = format!("help@{}.example", name.to_lowercase().replace(' ', ""));
    serde_json::json!({
        "company": {
            "name": format!("{name} LLC"), "registration_number": "DE-7654321", "registration_authority": "State of Delaware",
            "address": {"line1": "1 Harbour Way", "city": "Portland", "state": "ME", "postal_code": "04101", "country": "US"},
        },
        "business_profile": {"mcc": "5942", "support_email": mailbox},
        "return_policy": {"version": 1, "window_days": 30, "contact": mailbox, "address": "1 Harbour Way, Portland ME 04101"},
    })
}

/// Whether the keys of an earlier start still belong to this database.
async fn valid(owner: &Client, vault: &Vault, known: &Seeded) -> anyhow::Result<bool> {
    let hash = vault.hash_key(&known.secret_key);
    Ok(owner
        .query_opt("SELECT 1 FROM gateway.api_key WHERE hash = $1", &[&hash.as_slice()])
        .await?
        .is_some())
}

/// One person for each role, each with a password of their own and no second factor yet.
async fn console_users(owner: &Client) -> anyhow::Result<Vec<ConsoleUser>> {
    let mut users = Vec::new();
    for role in Role::ALL {
        let (name, password) = (role.as_str(), password::random());
        let hash = password::hash_now(&password).context("console users")?;
        let account = (role == Role::MerchantReadOnly).then_some(MERCHANTS[0].0);
        if !user::create(owner, name, role, account, &hash, false, "seed").await? {
            user::set_password(owner, name, &hash, false).await?;
        }
        users.push(ConsoleUser {
            role: name.into(),
            user: name.into(),
            password,
        });
    }
    Ok(users)
}
