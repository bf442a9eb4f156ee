//! The keys that were seen lately, with what they have under way.
//!
//! A row is served from memory for [`FRESH`] at most, so that an end of a key is effective within that in every process. What a
//! key has under way and has left outlives the re-reading. It must never grow with keys that do not exist.

use super::Kind;
use crate::api::error::ApiError;
use crate::app::App;
use crate::limit::KeyLimit;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// How long a key's row may be served from memory: a revoked key stops working within this.
pub const FRESH: SignedDuration = SignedDuration::from_secs(2);

/// A row of `gateway.api_key`.
#[derive(Debug)]
pub(super) struct StoredKey {
    pub id: Arc<str>,
    pub book_id: i64,
    pub kind: Kind,
    pub platform: bool,
    pub scopes: Arc<[String]>,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub signature_required: bool,
    pub client_certificate: Option<String>,
    pub limit: Arc<KeyLimit>,
    /// when its use was last noted, in Unix seconds
    noted: Arc<AtomicI64>,
}

/// What the database has of a key.
type Hash = [u8; 32];

/// A row and when it was read.
struct Known {
    read_at: Timestamp,
    key: Arc<StoredKey>,
}

/// The keys that were seen lately.
#[derive(Default)]
pub struct KeyCache {
    known: RwLock<HashMap<Hash, Known>>,
    wrong: RwLock<HashMap<Hash, Timestamp>>,
    used: Mutex<HashMap<Arc<str>, Timestamp>>,
}

impl KeyCache {
    /// Whether this is, or lately was, a key.
    pub(super) fn seen(&self, hash: &Hash) -> bool {
        self.known.read().is_ok_and(|known| known.contains_key(hash))
    }

    fn known(&self, hash: &Hash, now: Timestamp) -> Option<Arc<StoredKey>> {
        let known = self.known.read().ok()?;
        let Known { read_at, key } = known.get(hash)?;
        (now.duration_since(*read_at) < FRESH).then(|| key.clone())
    }

    fn wrong(&self, hash: &Hash, now: Timestamp) -> bool {
        let lately = |wrong: &HashMap<_, Timestamp>| wrong.get(hash).is_some_and(|at| now.duration_since(*at) < FRESH);
        self.wrong.read().is_ok_and(|wrong| lately(&wrong))
    }

    /// Notes that the key is in use, at most once a minute.
    pub(super) fn note_use(&self, key: &StoredKey, now: Timestamp) {
        let (second, noted) = (now.as_second(), key.noted.load(Ordering::Relaxed));
        if second - noted < NOTED_EVERY_S {
            return;
        }
        let first = key
            .noted
            .compare_exchange(noted, second, Ordering::Relaxed, Ordering::Relaxed);
        if first.is_ok() {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            used.insert(key.id.clone(), now);
        }
    }

    /// Writes which keys were used.
    pub(super) async fn flush(&self, app: &App) -> anyhow::Result<()> {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        if used.is_empty() {
            return Ok(());
        }
        let (ids, times): (Vec<&str>, Vec<Timestamp>) = used.iter().map(|(id, at)| (id.as_ref(), *at)).unzip();
        // In one order, so that two processes never wait for each other.
        app.reads
            .get()
            .await?
            .query_typed(
                "WITH used AS (SELECT * FROM unnest($1::text[], $2::timestamptz[]) AS u (id, at)),
                      locked AS (SELECT k.id FROM gateway.api_key k JOIN used USING (id) ORDER BY k.id FOR NO KEY UPDATE OF k)
                 UPDATE gateway.api_key k SET last_used_at = greatest(k.last_used_at, used.at)
                 FROM used JOIN locked USING (id) WHERE k.id = used.id",
                &[(&ids, Type::TEXT_ARRAY), (&times, Type::TIMESTAMPTZ_ARRAY)],
            )
            .await?;
        Ok(())
    }
}

/// The key with this hash, from memory or from the database.
pub(super) async fn look_up(app: &App, hash: Hash) -> Result<Option<Arc<StoredKey>>, ApiError> {
    let (cache, now) = (&app.keys, app.clock.now());
    if let Some(key) = cache.known(&hash, now) {
        return Ok(Some(key));
    }
    if cache.wrong(&hash, now) {
        return Ok(None);
    }
    let rows = app
        .reads
        .get()
        .await?
        .query_typed(
            "SELECT id, book_id, kind, platform, scopes, expires_at, revoked_at, signature_required, client_certificate,
                    requests_per_second, concurrent_requests
             FROM gateway.api_key WHERE hash = $1",
            &[(&hash.as_slice(), Type::BYTEA)],
        )
        .await?;
    let Some(row) = rows.first() else {
        if let Ok(mut wrong) = cache.wrong.write() {
            // A flood of wrong keys must not fill the memory.
            if wrong.len() >= WRONG_MAX {
                wrong.clear();
            }
            wrong.insert(hash, now);
        }
        return Ok(None);
    };
    let Ok(mut known) = cache.known.write() else {
        return read(app, row, None).map(Some);
    };
    let key = read(app, row, known.get(&hash).map(|before| before.key.as_ref()))?;
    let read = Known {
        read_at: now,
        key: key.clone(),
    };
    known.insert(hash, read);
    Ok(Some(key))
}

fn read(app: &App, row: &Row, before: Option<&StoredKey>) -> Result<Arc<StoredKey>, ApiError> {
    let number = |name, default: u32| -> Result<u32, ApiError> {
        let own: Option<i32> = row.try_get(name)?;
        Ok(own.and_then(|own| u32::try_from(own).ok()).unwrap_or(default))
    };
    let settings = &app.limits.settings;
    let per_second = number("requests_per_second", settings.key_requests_per_second)?;
    let at_once = number("concurrent_requests", settings.key_concurrent_requests)?;
    let limit = before
        .map(|key| &key.limit)
        .filter(|limit| limit.is(per_second, at_once));
    Ok(Arc::new(StoredKey {
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
        signature_required: row.try_get("signature_required")?,
        client_certificate: row.try_get("client_certificate")?,
        limit: limit
            .cloned()
            .unwrap_or_else(|| Arc::new(KeyLimit::new(per_second, at_once))),
        noted: before.map(|key| key.noted.clone()).unwrap_or_default(),
    }))
}

const WRONG_MAX: usize = 10_000;
const NOTED_EVERY_S: i64 = 60;
