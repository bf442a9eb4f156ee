//! Who asks: an API key becomes a [`Principal`], and a handler that changes or shows anything takes one.
//!
//! Keys arrive as `Authorization: Bearer sk_..` or Basic with the key as the user name. Only a keyed hash of a key is
//! known here. A key may demand more of its caller: a TLS client certificate, and signed requests. It must never say more
//! about a wrong key than that it is wrong.

pub mod keys;
pub mod signature;

mod known;
mod nonce;
pub(crate) mod upkeep;

use crate::api::error::ApiError;
use crate::app::{App, Merchant};
use crate::edge::{Peer, RequestId};
use crate::limit::{self, Running};
use crate::security;
use base64::Engine as _;
use http::request::Parts;
use http::{Extensions, HeaderMap};
use jiff::Timestamp;
use known::StoredKey;
use signature::{Message, Nonce};
use std::sync::Arc;

pub use known::KeyCache;

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
    /// the account that the key belongs to
    pub key_account: String,
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
    /// a person of the console, by the name of the role
    Staff(&'static str),
}

/// A person of the console who acts through the API's router, in this process. It is put into a request's extensions there, and
/// nothing that comes over a socket can carry it.
#[derive(Clone, Debug)]
pub struct Staff {
    /// `user:NAME`
    pub name: Arc<str>,
    /// what they are here for
    pub role: &'static str,
    /// what that role may
    pub scopes: &'static [&'static str],
    /// for whom they act now
    pub merchant: Arc<Merchant>,
    /// the console's own
    pub limit: Arc<crate::limit::KeyLimit>,
    /// one of the platform's own people
    pub platform: bool,
}

impl Staff {
    fn admit(&self) -> Result<Admitted, ApiError> {
        let key_account = match self.platform {
            true => "platform".to_owned(),
            false => self.merchant.id.clone(),
        };
        Ok(Admitted {
            principal: Principal {
                key_id: self.name.clone(),
                key_account,
                merchant: self.merchant.clone(),
                platform: self.platform,
                kind: Kind::Staff(self.role),
                scopes: self.scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            },
            running: self.limit.admit()?,
        })
    }
}

impl Principal {
    /// Whether it acts for a merchant that is not its own.
    pub fn for_another(&self) -> bool {
        self.merchant.id != self.key_account
    }

    /// What the key may do, in words.
    pub fn role(&self) -> String {
        let platform = if self.platform { "platform " } else { "" };
        match self.kind {
            Kind::Secret => format!("{platform}secret"),
            Kind::Restricted => format!("{platform}restricted {}", self.scopes.join(" ")),
            Kind::Publishable => "publishable".to_owned(),
            Kind::Staff(role) => role.to_owned(),
        }
    }

    /// Refuses unless the key has this right. Writing implies reading; some rights only a platform's key has.
    pub fn may(&self, scope: Scope, access: Access, platform: bool) -> Result<(), ApiError> {
        let allowed = match self.kind {
            Kind::Secret => true,
            Kind::Publishable => false,
            Kind::Restricted | Kind::Staff(_) => self.scopes.iter().any(|granted| {
                granted.split_once(':').is_some_and(|(name, right)| {
                    name == scope.as_str() && (right == "write" || (right == "read" && access == Access::Read))
                })
            }),
        };
        if allowed && platform && !self.platform {
            return Err(ApiError::forbidden(
                "platform_key_required",
                "This API call is made with a key of the platform.",
            ));
        }
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

/// A request that was let in: who asks, and its place among the key's requests, held until the request has ended.
#[derive(Debug)]
pub struct Admitted {
    /// who asks
    pub principal: Principal,
    /// counts against the key's requests at once
    pub running: Running,
}

/// The principal behind a request, with its key, certificate, account and signature checked and its limits kept.
///
/// The order matters: what costs little and tells nothing comes first, a nonce is recorded only for a request that would
/// otherwise be let in.
pub async fn authenticate(app: &App, head: &Parts, body: &[u8]) -> Result<Admitted, ApiError> {
    if let Some(staff) = head.extensions.get::<Staff>() {
        return staff.admit();
    }
    let gate = Gate::new(app, head);
    let text = presented(&head.headers).map_err(|error| gate.refused(security::Kind::MissingKey, None, error))?;
    let key = gate.key(&text).await?;
    let now = app.clock.now();
    if key.expires_at.is_some_and(|at| at <= now) || key.revoked_at.is_some_and(|at| at <= now) {
        let mut error = ApiError::unauthenticated(format!("Expired API Key provided: {}", hint(&text)));
        error.code = Some("api_key_expired".into());
        return Err(gate.refused(security::Kind::EndedKey, Some(&key), error));
    }
    if !gate.certificate_fits(&key) {
        let mut error = ApiError::unauthenticated(
            "This API key is bound to a TLS client certificate, which this connection does not show.",
        );
        error.code = Some("client_certificate_required".into());
        return Err(gate.refused(security::Kind::CertificateMismatch, Some(&key), error));
    }
    let nonce = gate.signature(&key, body, now)?;
    let running = key
        .limit
        .admit()
        .map_err(|error| gate.refused(security::Kind::Throttled, Some(&key), error))?;
    let (key_account, merchant) = gate.merchant(&key, &text).await?;
    if let Some(nonce) = nonce
        && !nonce::record(app, &nonce).await?
    {
        let error = unsigned(
            "signature_replayed",
            "A request with this signature's nonce was seen before.",
        );
        return Err(gate.refused(security::Kind::NonceReplayed, Some(&key), error));
    }
    app.keys.note_use(&key, now);
    Ok(Admitted {
        principal: Principal {
            key_id: key.id.clone(),
            key_account,
            merchant,
            platform: key.platform,
            kind: key.kind,
            scopes: key.scopes.clone(),
        },
        running,
    })
}

/// Where a request is on its way in.
struct Gate<'a> {
    app: &'a App,
    head: &'a Parts,
    peer: Option<&'a Peer>,
}

impl<'a> Gate<'a> {
    fn new(app: &'a App, head: &'a Parts) -> Self {
        let peer = head.extensions.get();
        Self { app, head, peer }
    }

    fn refused(&self, kind: security::Kind, key: Option<&StoredKey>, error: ApiError) -> ApiError {
        record(self.app, &self.head.extensions, kind, key.map(|key| &key.id));
        error
    }

    async fn key(&self, text: &str) -> Result<Arc<StoredKey>, ApiError> {
        let (app, hash) = (self.app, self.app.vault.hash_key(text));
        let address = self.peer.map(|peer| peer.address.ip());
        // A key that works goes on working, whatever else comes from its address.
        if let Some(address) = address
            && !app.keys.seen(&hash)
            && let Err(wait) = app.limits.wrong_keys.peek(address)
        {
            let error = limit::address_refused("wrong-keys", "wrong-keys", app.limits.wrong_keys.quota(), wait);
            return Err(self.refused(security::Kind::Throttled, None, error));
        }
        match known::look_up(app, hash).await? {
            Some(key) => Ok(key),
            None => {
                if let Some(address) = address {
                    // Taken or not, this request is refused; the next one is not even looked up.
                    let _ = app.limits.wrong_keys.take(address);
                }
                let error = ApiError::unauthenticated(format!("Invalid API Key provided: {}", hint(text)));
                Err(self.refused(security::Kind::WrongKey, None, error))
            }
        }
    }

    fn certificate_fits(&self, key: &StoredKey) -> bool {
        let Some(bound) = &key.client_certificate else {
            return true;
        };
        self.peer.is_some_and(|peer| match bound.split_once(':') {
            Some(("sha256", digest)) => peer
                .certificate_sha256
                .is_some_and(|shown| hex::encode(shown) == digest),
            Some(("cn", name)) => peer.common_name.as_deref() == Some(name),
            _ => false,
        })
    }

    /// The nonce to record, if the request is signed.
    fn signature(&self, key: &StoredKey, body: &[u8], now: Timestamp) -> Result<Option<Nonce>, ApiError> {
        let head = self.head;
        if !signature::shown(&head.headers) {
            if key.signature_required || self.app.limits.settings.require_signatures {
                let error = unsigned(
                    "signature_required",
                    "Requests with this API key must be signed (RFC 9421, hmac-sha256).",
                );
                return Err(self.refused(security::Kind::SignatureMissing, Some(key), error));
            }
            return Ok(None);
        }
        let message = Message {
            method: &head.method,
            uri: &head.uri,
            headers: &head.headers,
        };
        let secret = keys::signing_secret(&self.app.vault, &key.id);
        match signature::verify(&message, body, &key.id, &secret, now) {
            Ok(nonce) => Ok(Some(nonce)),
            Err(fault) => {
                let text = format!("The request's signature is not acceptable: {fault}.");
                Err(self.refused(
                    security::Kind::SignatureInvalid,
                    Some(key),
                    unsigned("signature_invalid", text),
                ))
            }
        }
    }

    /// The account that the key belongs to, and the merchant it acts for.
    async fn merchant(&self, key: &StoredKey, text: &str) -> Result<(String, Arc<Merchant>), ApiError> {
        let own = self.app.merchant_by_book(key.book_id).await?;
        let Some(account) = self.head.headers.get("stripe-account") else {
            return Ok((own.id.clone(), own));
        };
        let account = account.to_str().unwrap_or_default();
        match self.app.merchant_by_id(account).await? {
            Some(merchant) if key.platform || merchant.book_id == own.book_id => Ok((own.id.clone(), merchant)),
            // whether the account exists is nobody else's business
            _ => {
                let error = ApiError::forbidden(
                    "account_invalid",
                    format!(
                        "The provided key '{}' does not have access to account '{}' (or that account does not exist).",
                        hint(text),
                        crate::api::error::shown(account)
                    ),
                );
                Err(self.refused(security::Kind::ForeignAccount, Some(key), error))
            }
        }
    }
}

/// Refuses an address that asks for more than an address may.
pub(crate) fn admit_address(app: &App, extensions: &Extensions) -> Result<(), ApiError> {
    let Some(peer) = extensions.get::<Peer>() else {
        return Ok(());
    };
    app.limits
        .addresses
        .take(peer.address.ip())
        .map(|_| ())
        .map_err(|wait| {
            record(app, extensions, security::Kind::Throttled, None);
            limit::address_refused("address", "address-rate", app.limits.addresses.quota(), wait)
        })
}

/// Notes a refusal with where it came from.
pub(crate) fn record(app: &App, extensions: &Extensions, kind: security::Kind, key_id: Option<&Arc<str>>) {
    let source = security::Source {
        address: extensions.get::<Peer>().map(|peer| peer.address.ip().to_canonical()),
        key_id: key_id.cloned(),
        detail: None,
    };
    let request_id = extensions.get::<RequestId>().map(RequestId::as_str).unwrap_or_default();
    app.security.record(kind, &source, request_id, app.clock.now());
}

fn unsigned(code: &str, message: impl Into<String>) -> ApiError {
    let mut error = ApiError::unauthenticated(message);
    error.code = Some(code.to_owned());
    error
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
