//! Which rules and lists judge a merchant's payments: compiled once, swapped as a whole, read without a lock.
//!
//! It must never compile in the path of a payment.

use crate::vault::Vault;
use anomaly::{Lists, Policy, Subject, key};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::Arc;

/// The policies in force, by merchant.
pub struct Policies {
    loaded: ArcSwap<Loaded>,
}

struct Loaded {
    /// for merchants that have changed nothing
    shipped: Arc<Policy>,
    own: HashMap<i64, Arc<Policy>>,
}

impl Policies {
    /// The shipped rules for everyone; with `permissive`, of these only the lists.
    pub fn new(lists: Lists, permissive: bool) -> Self {
        let shipped = if permissive {
            Policy::permissive(lists)
        } else {
            Policy::shipped(lists)
        };
        Self {
            loaded: ArcSwap::from_pointee(Loaded {
                shipped: Arc::new(shipped),
                own: HashMap::new(),
            }),
        }
    }

    /// What judges this merchant's payments now.
    pub fn of(&self, book_id: i64) -> Arc<Policy> {
        let loaded = self.loaded.load();
        loaded.own.get(&book_id).unwrap_or(&loaded.shipped).clone()
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
