//! The acquirers in use: their settings become connectors, one line each.
//!
//! It must never open one that is not configured, nor start without any.

use super::{Connector, Method, iso8583, stripe};
use crate::clock::Clock;
use anyhow::Context as _;
use deadpool_postgres::Pool;
use std::collections::HashMap;
use std::sync::Arc;

/// The settings of every acquirer there is; `None`: not in use.
#[derive(Debug, Default)]
pub struct Settings {
    /// an acquirer on Stripe's wire
    pub stripe: Option<stripe::Settings>,
    /// a bank's host over ISO 8583
    pub iso8583: Option<iso8583::Settings>,
}

/// Opens every configured acquirer, in the order of preference where no rule says otherwise. One that needs a memory of its
/// own keeps it in this database, as the role that serves.
///
/// # Errors
/// When one cannot work as configured, or none is.
pub fn build(settings: Settings, pool: &Pool, clock: &Clock) -> anyhow::Result<Registry> {
    let mut registry = Registry::default();
    if let Some(stripe) = settings.stripe {
        registry.add(stripe::open(stripe).context("the acquirer stripe")?);
    }
    if let Some(bank) = settings.iso8583 {
        registry.add(iso8583::open(bank, pool.clone(), clock.clone()).context("the acquirer iso8583")?);
    }
    anyhow::ensure!(!registry.order.is_empty(), "no acquirer is configured");
    Ok(registry)
}

/// The configured connectors by name.
#[derive(Clone, Default)]
pub struct Registry {
    connectors: HashMap<&'static str, Arc<dyn Connector>>,
    order: Vec<&'static str>,
}

impl Registry {
    /// A registry of these, in the order of preference.
    pub fn new(connectors: Vec<Arc<dyn Connector>>) -> Self {
        let mut registry = Self::default();
        for connector in connectors {
            registry.add(connector);
        }
        registry
    }

    fn add(&mut self, connector: Arc<dyn Connector>) {
        self.order.push(connector.name());
        self.connectors.insert(connector.name(), connector);
    }

    /// The first that takes payments of this kind.
    pub fn taking(&self, method: Method, currency: &str) -> Option<Arc<dyn Connector>> {
        let mut all = self.order.iter().filter_map(|name| self.get(name));
        all.find(|connector| connector.capabilities().takes(method, currency))
    }

    /// Their names, in the order of preference.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.order.iter().copied()
    }

    /// The connector of this name.
    pub fn get(&self, name: &str) -> Option<Arc<dyn Connector>> {
        self.connectors.get(name).cloned()
    }
}
