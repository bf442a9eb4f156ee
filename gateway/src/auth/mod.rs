//! Who asks: an API key becomes a [`Principal`], and a handler that changes or shows anything takes one.
//!
//! Keys arrive as `Authorization: Bearer sk_..` or Basic with the key as the user name. Only a keyed hash of a key is
//! known here. It must never say more about a wrong key than that it is wrong.

pub mod keys;

use crate::api::error::ApiError;
use crate::app::{App, Merchant};
use base64::Engine as _;
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use tokio_postgres::types::Type;

/// How long a key's row may be served from memory: a revoked key stops working within this.
const KEY_FRESH: SignedDuration = SignedDuration::from_secs(2);

/// What a key may do: a resource and whether it may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Scope {
    Checkout,
    Refunds,
    Disputes,
    Risk,
    Finance,
    Admin,
}

impl Scope {
    /// All of them, in the order of the documentation.
    pub const ALL: [Scope; 6] = [
        Scope::Checkout,
        Scope::Refunds,
        Scope::Disputes,
        Scope::Risk,
        Scope::Finance,
        Scope::Admin,
    ];

    /// The word in the database, in keys' scopes as `checkout:read` or `checkout:write`.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Checkout => "checkout",
            Scope::Refunds => "refunds",
            Scope::Disputes => "disputes",
            Scope::Risk => "risk",
            Scope::Finance => "finance",
            Scope::Admin => "admin",
        }
    }
}

/// Reading or changing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Access {
    Read,
    Write,
}

/// Who asks, for whom.
#[derive(Clone, Debug)]
pub struct Principal {
    /// `key_..`, for logs and audit
    pub key_id: Arc<str>,
    /// the merchant it acts for
    pub merchant: Arc<Merchant>,
    /// a platform's key: it may look at every merchant
    pub platform: bool,
    kind: Kind,
    scopes: Arc<[String]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Secret,
    Restricted,
    Publishable,
}

impl Principal {
    /// Refuses unless the key has this right. Writing implies reading.
    pub fn may(&self, scope: Scope, access: Access) -> Result<(), ApiError> {
        let allowed = match self.kind {
            Kind::Secret => true,
            Kind::Publishable => false,
            Kind::Restricted => self.scopes.iter().any(|granted| {
                granted.split_once(':').is_some_and(|(name, right)| {
                    name == scope.as_str() && (right == "write" || (right == "read" && access == Access::Read))
                })
            }),
        };
        if allowed {
            return Ok(());
        }
        let right = if access == Access::Read { "read" } else { "write" };
        if self.kind == Kind::Publishable {
            return Err(ApiError::forbidden(
                "secret_key_required",
                "This API call cannot be made with a publishable API key. Use a secret key, or a restricted one with the right scope.",
            ));
        }
        Err(ApiError::forbidden(
            "insufficient_permissions",
            format!(
                "The provided key does not have the required permissions for this endpoint. Having the '{}:{right}' scope would allow this request to continue.",
                scope.as_str()
            ),
        ))
    }
}

/// The keys that were seen lately.
#[derive(Default)]
pub struct KeyCache {
    known: RwLock<HashMap<[u8; 32], (Timestamp, Option<Arc<StoredKey>>)>>,
}

#[derive(Debug)]
struct StoredKey {
    id: Arc<str>,
    book_id: i64,
    kind: Kind,
    platform: bool,
    scopes: Arc<[String]>,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

/// The principal behind a request's headers.
pub async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Principal, ApiError> {
    let text = presented(headers)?;
    let key = look_up(app, &text)
        .await?
        .ok_or_else(|| ApiError::unauthenticated(format!("Invalid API Key provided: {}", hint(&text))))?;
    let now = app.clock.now();
    if key.expires_at.is_some_and(|at| at <= now) || key.revoked_at.is_some_and(|at| at <= now) {
        let mut error = ApiError::unauthenticated(format!("Expired API Key provided: {}", hint(&text)));
        error.code = Some("api_key_expired".into());
        return Err(error);
    }
    let own = app.merchant_by_book(key.book_id).await?;
    let merchant = match headers.get("stripe-account") {
        None => own,
        Some(account) => {
            let account = account.to_str().unwrap_or_default();
            let other = app.merchant_by_id(account).await?;
            match other {
                Some(merchant) if key.platform || merchant.book_id == own.book_id => merchant,
                // whether the account exists is nobody else's business
                _ => {
                    return Err(ApiError::forbidden(
                        "account_invalid",
                        format!(
                            "The provided key '{}' does not have access to account '{}' (or that account does not exist).",
                            hint(&text),
                            crate::api::error::shown(account)
                        ),
                    ));
                }
            }
        }
    };
    Ok(Principal {
        key_id: key.id.clone(),
        merchant,
        platform: key.platform,
        kind: key.kind,
        scopes: key.scopes.clone(),
    })
}

fn presented(headers: &HeaderMap) -> Result<String, ApiError> {
    let missing = || {
        ApiError::unauthenticated(
            "You did not provide an API key. Provide it in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
        )
    };
    let header = headers
        .get(http::header::AUTHORIZATION)
        .ok_or_else(missing)?
        .to_str()
        .map_err(|_| missing())?;
    let (scheme, value) = header.split_once(' ').ok_or_else(missing)?;
    let key = if scheme.eq_ignore_ascii_case("bearer") {
        value.trim().to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = base64::engine::general_purpose::STANDARD
            .decode(value.trim())
            .map_err(|_| missing())?;
        let decoded = String::from_utf8(decoded).map_err(|_| missing())?;
        decoded.split(':').next().unwrap_or_default().to_owned()
    } else {
        return Err(missing());
    };
    if key.is_empty() || key.len() > 255 {
        Err(missing())
    } else {
        Ok(key)
    }
}

async fn look_up(app: &App, text: &str) -> Result<Option<Arc<StoredKey>>, ApiError> {
    let hash = app.vault.hash_key(text);
    let now = app.clock.now();
    if let Ok(known) = app.keys.known.read()
        && let Some((read_at, key)) = known.get(&hash)
        && now.duration_since(*read_at) < KEY_FRESH
    {
        return Ok(key.clone());
    }
    let client = app.reads.get().await?;
    let rows = client
        .query_typed(
            "SELECT id, book_id, kind, platform, scopes, expires_at, revoked_at FROM gateway.api_key WHERE hash = $1",
            &[(&hash.as_slice(), Type::BYTEA)],
        )
        .await?;
    let key = match rows.first() {
        None => None,
        Some(row) => Some(Arc::new(StoredKey {
            id: row.try_get::<_, &str>("id")?.into(),
            book_id: row.try_get("book_id")?,
            kind: match row.try_get::<_, &str>("kind")? {
                "secret" => Kind::Secret,
                "restricted" => Kind::Restricted,
                _ => Kind::Publishable,
            },
            platform: row.try_get("platform")?,
            scopes: row.try_get::<_, Vec<String>>("scopes")?.into(),
            expires_at: row.try_get("expires_at")?,
            revoked_at: row.try_get("revoked_at")?,
        })),
    };
    if let Ok(mut known) = app.keys.known.write() {
        // A flood of wrong keys must not fill the memory.
        if known.len() > 10_000 {
            known.clear();
        }
        known.insert(hash, (now, key.clone()));
    }
    Ok(key)
}

/// What may be shown of a key: its kind and its last four characters.
fn hint(key: &str) -> String {
    let shown = crate::api::error::shown(key);
    let prefix: String = shown.chars().take(8).collect();
    let tail: String = shown
        .chars()
        .rev()
        .take(4)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    if shown.chars().count() <= 14 {
        "***".to_owned()
    } else {
        format!("{prefix}***{tail}")
    }
}
