//! Which rules and lists judge a merchant's payments: compiled once, swapped as a whole, read without a lock.
//!
//! Every process compares one number of the database with what it has, once a second, and reads rules and lists anew when it
//! has moved: a change is in force everywhere within [`EVERY`] and the time of one read. A rule that no longer compiles (a
//! feature was taken out by an upgrade) is left out, loudly; the others go on. It must never compile in the path of a payment.

use super::rows::{ItemType, RiskRule, ValueListItem};
use crate::api::error::ApiError;
use crate::app::App;
use crate::payment::store;
use crate::vault::Vault;
use anomaly::{Lists, Policy, Rule, Subject, key};
use arc_swap::ArcSwap;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// How often the number is compared.
pub const EVERY: Duration = Duration::from_secs(1);

/// The policies in force, by merchant.
pub struct Policies {
    loaded: ArcSwap<Loaded>,
    built_in: Lists,
    base: Vec<Rule>,
    revision: AtomicI64,
}

struct Loaded {
    /// for merchants that have changed nothing
    shipped: Arc<Policy>,
    own: HashMap<i64, Arc<Policy>>,
}

impl Policies {
    /// The shipped rules for everyone; with `permissive`, of these only the lists.
    pub fn new(built_in: Lists, permissive: bool) -> Self {
        let mut base = anomaly::defaults();
        if permissive {
            base.retain(|rule| rule.condition.contains(" in lists."));
        }
        let shipped = compile(0, base.clone(), built_in.clone());
        Self {
            loaded: ArcSwap::from_pointee(Loaded {
                shipped: Arc::new(shipped),
                own: HashMap::new(),
            }),
            built_in,
            base,
            revision: AtomicI64::new(-1),
        }
    }

    /// What judges this merchant's payments now.
    pub fn of(&self, book_id: i64) -> Arc<Policy> {
        let loaded = self.loaded.load();
        loaded.own.get(&book_id).unwrap_or(&loaded.shipped).clone()
    }

    /// Reads rules and lists anew if they have changed. Returns whether they had.
    pub async fn refresh(&self, app: &App) -> Result<bool, ApiError> {
        let client = app.reads.get().await?;
        let rows = client.query_typed("SELECT number FROM risk.revision", &[]).await?;
        let number: i64 = match rows.first() {
            Some(row) => row.try_get(0)?,
            None => return Err(ApiError::internal("risk.revision is empty")),
        };
        if number == self.revision.load(Ordering::Acquire) {
            return Ok(false);
        }
        // Read after the number: what is read is at least as new, and a later change moves the number again.
        let rules = client
            .query_typed(
                "SELECT row_to_json(t)::text FROM risk.rule t WHERE NOT deleted ORDER BY book_id, id",
                &[],
            )
            .await?;
        let lists = client
            .query_typed(
                "SELECT row_to_json(t)::text FROM (SELECT book_id, alias, item_type, id FROM risk.value_list WHERE NOT deleted
                 ORDER BY book_id, id) t",
                &[],
            )
            .await?;
        let items = client
            .query_typed(
                "SELECT l.alias, row_to_json(t)::text FROM risk.value_list_item t
                 JOIN risk.value_list l ON l.book_id = t.book_id AND l.id = t.list_id AND NOT l.deleted
                 WHERE NOT t.deleted AND (t.expires_at IS NULL OR t.expires_at > now())",
                &[],
            )
            .await?;
        drop(client);
        let mut keepers: HashMap<i64, (Vec<Rule>, Lists)> = HashMap::new();
        let new = || (self.base.clone(), self.built_in.clone());
        for row in &lists {
            let list: StoredList = store::row(row)?;
            let (_, known) = keepers.entry(list.book_id).or_insert_with(new);
            known.define(&list.alias, list.item_type.kind());
        }
        for row in &items {
            let alias: &str = row.try_get(0)?;
            let item: ValueListItem = serde_json::from_str(row.try_get(1)?)
                .map_err(|e| ApiError::internal(format!("a list item does not parse: {:?}", e.classify())))?;
            let (_, known) = keepers.entry(item.book_id).or_insert_with(new);
            let expires_at_ms = item.expires_at.map(|at| at.as_millisecond());
            if !item
                .subject()
                .is_some_and(|subject| known.add(alias, subject, expires_at_ms))
            {
                tracing::error!(item = item.id, "an item does not fit its list");
            }
        }
        for row in &rules {
            let stored: RiskRule = store::row(row)?;
            let (rules, _) = keepers.entry(stored.book_id).or_insert_with(new);
            match rules.iter_mut().find(|rule| rule.name == stored.name) {
                Some(shipped) => *shipped = stored.rule(),
                None => rules.push(stored.rule()),
            }
        }
        let own = keepers
            .into_iter()
            .map(|(book, (rules, lists))| (book, Arc::new(compile(book, rules, lists))))
            .collect();
        let shipped = self.loaded.load().shipped.clone();
        self.loaded.store(Arc::new(Loaded { shipped, own }));
        self.revision.store(number, Ordering::Release);
        Ok(true)
    }

    /// Refreshes for as long as the service runs.
    pub async fn run(app: Arc<App>, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            match app.policies.refresh(&app).await {
                Ok(true) => tracing::info!("rules and lists read anew"),
                Ok(false) => {}
                Err(error) => tracing::warn!(
                    error = error.message,
                    "rules and lists cannot be read; the known ones stay"
                ),
            }
        }
    }
}

#[derive(Deserialize)]
struct StoredList {
    book_id: i64,
    alias: String,
    item_type: ItemType,
}

/// Compiles what compiles.
fn compile(book_id: i64, mut rules: Vec<Rule>, lists: Lists) -> Policy {
    loop {
        match Policy::compile(&rules, lists.clone()) {
            Ok(policy) => return policy,
            Err(refused) => {
                tracing::error!(
                    book_id,
                    rule = refused.rule,
                    mistake = refused.mistake.message,
                    "a rule is left out"
                );
                let place = rules.iter().rposition(|rule| rule.name == refused.rule);
                match place {
                    Some(place) => drop(rules.remove(place)),
                    None => rules.clear(),
                }
            }
        }
    }
}

/// The built-in lists; where test tokens are accepted with the published test cards that stand for risk levels.
pub fn built_in_lists(vault: &Vault, test_mode: bool) -> Lists {
    let mut lists = Lists::default();
    let levels = [
        ("pm_card_radarBlock", "card_fingerprint_blocklist"),
        ("pm_card_riskLevelHighest", "card_fingerprint_highest"),
        ("pm_card_riskLevelElevated", "card_fingerprint_elevated"),
    ];
    for (token, alias) in levels.into_iter().filter(|_| test_mode) {
        if let Some(card) = vault.test_card(token) {
            lists.add(alias, Subject::Card(key(&card.fingerprint)), None);
        }
    }
    lists
}
