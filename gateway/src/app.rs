//! Everything that requests and background work share: pools, committer, scorer, connectors, vault, caches.
//!
//! Caches hold only what never changes or is re-read within seconds; the database is the truth. It must never keep money
//! in memory.

use crate::account;
pub use crate::account::Merchant;
use crate::api::error::ApiError;
use crate::clock::Clock;
use crate::commit::{Committer, Refused, Unit};
use crate::connector::{Connector, Registry};
use crate::payment::accounting::Books;
use crate::payment::rows::Payment;
use crate::vault::Vault;
use deadpool_postgres::Pool;
use jiff::{SignedDuration, Timestamp};
use ledger::{AccountName, BookId, Chart, Currency};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

/// How long a merchant's row may be served from memory: a suspension takes effect within this.
const MERCHANT_FRESH: SignedDuration = SignedDuration::from_secs(2);

/// The parts that an [`App`] is made of.
pub struct Parts {
    /// reads, as role `gateway_app`
    pub reads: Pool,
    /// writes
    pub committer: Committer,
    /// card data
    pub vault: Arc<Vault>,
    /// the scorer
    pub scorer: anomaly::Engine,
    /// its rules and lists
    pub policies: crate::risk::Policies,
    /// acquirers
    pub connectors: Registry,
    /// time
    pub clock: Clock,
    /// times and limits
    pub settings: Settings,
    /// how much callers may ask for
    pub access: crate::limit::Settings,
    /// how the scorer is set
    pub risk: crate::risk::Settings,
}

/// Times and limits that operators may change.
#[derive(Clone, Debug)]
pub struct Settings {
    /// an attempt whose request has not ended after this is asked about by the sweep
    pub sweep_after: SignedDuration,
    /// an attempt that the acquirer has never seen is not believed lost before this: its search may lag by a minute
    pub not_received_after: SignedDuration,
    /// how long a step that a sweep has taken is left to it; the next takes it over when that one died meanwhile
    pub sweep_lease: SignedDuration,
    /// how often the sweep looks for due work
    pub sweep_every: Duration,
    /// how often accounts are looked through for what is due
    pub accounts_every: Duration,
    /// how often each merchant's funds are looked at while something may happen to them
    pub funds_every: Duration,
    /// from capture until the money counts as available
    pub settlement_delay: SignedDuration,
    /// scheme and host where payers' browsers reach this API; without it acquirers send them to the merchant themselves
    pub payers_base_url: Option<String>,
    /// the account that payouts are paid from, where the bank takes files
    pub payout_bank: Option<crate::funds::file::pain001::Debtor>,
    /// there is a mail server for receipts
    pub mails_receipts: bool,
    /// from one alarm of a kind and key to the next
    pub alarm_quiet: Duration,
    /// published test tokens are accepted and test cards carry their risk levels
    pub test_mode: bool,
    /// what an operator decides about disputes
    pub disputes: crate::dispute::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sweep_after: SignedDuration::from_secs(45),
            not_received_after: SignedDuration::from_mins(3),
            sweep_lease: SignedDuration::from_secs(60),
            sweep_every: Duration::from_secs(1),
            accounts_every: Duration::from_secs(60),
            funds_every: Duration::from_secs(60),
            settlement_delay: SignedDuration::from_hours(48),
            payers_base_url: None,
            payout_bank: None,
            mails_receipts: false,
            alarm_quiet: Duration::from_secs(300),
            test_mode: false,
            disputes: crate::dispute::Settings::default(),
        }
    }
}

impl Settings {
    /// Against the simulator, whose search never lags: a person or a test does not wait minutes for the sweep.
    pub fn development() -> Self {
        Self {
            sweep_after: SignedDuration::from_secs(15),
            not_received_after: SignedDuration::from_secs(20),
            sweep_lease: SignedDuration::from_secs(15),
            accounts_every: Duration::from_secs(1),
            funds_every: Duration::from_secs(1),
            test_mode: true,
            ..Self::default()
        }
    }
}

/// The shared state of the service.
pub struct App {
    /// reads, as role `gateway_app`
    pub reads: Pool,
    /// writes
    pub committer: Committer,
    /// card data
    pub vault: Arc<Vault>,
    /// the scorer
    pub scorer: anomaly::Engine,
    /// its rules and lists
    pub policies: crate::risk::Policies,
    /// the trained models in force
    pub models: crate::risk::models::Models,
    /// how the scorer keeps in step with the database
    pub history: crate::risk::history::Metrics,
    /// acquirers
    pub connectors: Registry,
    /// which of them a payment goes to
    pub routing: crate::routing::Router,
    /// time
    pub clock: Clock,
    /// from [`Settings`]
    pub sweep_after: SignedDuration,
    /// from [`Settings`]
    pub settlement_delay: SignedDuration,
    /// times and limits
    pub settings: Settings,
    /// API keys seen lately
    pub keys: crate::auth::KeyCache,
    /// how much callers may ask for, and have asked for
    pub limits: crate::limit::Limits,
    /// what the service counts of itself
    pub figures: crate::telemetry::Figures,
    /// what was refused at the gate
    pub security: Arc<crate::security::Events>,
    /// how the scorer is set
    pub risk: crate::risk::Settings,
    /// rung when a callback of an acquirer was stored
    pub callbacks: tokio::sync::Notify,
    merchants: RwLock<HashMap<MerchantKey, (Timestamp, Arc<Merchant>)>>,
    opened: Mutex<HashSet<(i64, String, String)>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum MerchantKey {
    Book(i64),
    Id(String),
}

impl App {
    /// The service's state, with a scorer that has its state back.
    pub fn new(parts: Parts) -> Arc<Self> {
        let security: Arc<crate::security::Events> = Arc::default();
        Arc::new(Self {
            reads: parts.reads,
            committer: parts.committer,
            vault: parts.vault,
            scorer: parts.scorer,
            policies: parts.policies,
            models: crate::risk::models::Models::new(
                parts.risk.model.clone(),
                parts.risk.challenger.clone(),
                parts.settings.test_mode,
                security.clone(),
                parts.clock.clone(),
            ),
            history: crate::risk::history::Metrics::default(),
            connectors: parts.connectors,
            routing: crate::routing::Router::default(),
            clock: parts.clock,
            sweep_after: parts.settings.sweep_after,
            settlement_delay: parts.settings.settlement_delay,
            settings: parts.settings,
            risk: parts.risk,
            keys: crate::auth::KeyCache::default(),
            limits: crate::limit::Limits::new(parts.access),
            figures: crate::telemetry::Figures::default(),
            security,
            callbacks: tokio::sync::Notify::new(),
            merchants: RwLock::default(),
            opened: Mutex::default(),
        })
    }

    /// Commits a unit.
    pub async fn commit(&self, unit: Unit) -> Result<(), Refused> {
        self.committer.commit(unit).await
    }

    /// The connector of this name.
    pub fn connector(&self, name: &str) -> Result<Arc<dyn Connector>, ApiError> {
        self.connectors
            .get(name)
            .ok_or_else(|| ApiError::internal(format!("no connector {name} is configured")))
    }

    /// The merchant that owns this book.
    pub async fn merchant_by_book(&self, book_id: i64) -> Result<Arc<Merchant>, ApiError> {
        self.merchant(MerchantKey::Book(book_id))
            .await?
            .ok_or_else(|| ApiError::internal("a book without a merchant"))
    }

    /// The merchant with this account id.
    pub async fn merchant_by_id(&self, id: &str) -> Result<Option<Arc<Merchant>>, ApiError> {
        self.merchant(MerchantKey::Id(id.to_owned())).await
    }

    async fn merchant(&self, key: MerchantKey) -> Result<Option<Arc<Merchant>>, ApiError> {
        let now = self.clock.now();
        if let Ok(known) = self.merchants.read()
            && let Some((read_at, merchant)) = known.get(&key)
            && now.duration_since(*read_at) < MERCHANT_FRESH
        {
            return Ok(Some(merchant.clone()));
        }
        let client = self.reads.get().await?;
        let found = match &key {
            MerchantKey::Book(book) => account::store::by_book(&**client, *book).await?,
            MerchantKey::Id(id) => account::store::by_id(&**client, id).await?,
        };
        let Some(merchant) = found.map(Arc::new) else {
            return Ok(None);
        };
        if let Ok(mut known) = self.merchants.write() {
            known.insert(key, (now, merchant.clone()));
        }
        Ok(Some(merchant))
    }

    /// What this process remembers of the merchant is read again at its next use; other processes within [`MERCHANT_FRESH`].
    pub fn forget_merchant(&self, merchant: &Merchant) {
        if let Ok(mut known) = self.merchants.write() {
            known.remove(&MerchantKey::Book(merchant.book_id));
            known.remove(&MerchantKey::Id(merchant.id.clone()));
        }
    }

    /// Opens the accounts that a payment can touch, once per book, currency and acquirer in this process's life.
    pub async fn open_accounts(&self, payment: &Payment, connector: &str) -> Result<(), ApiError> {
        let key = (payment.book_id, payment.currency.clone(), connector.to_owned());
        if self.opened.lock().is_ok_and(|opened| opened.contains(&key)) {
            return Ok(());
        }
        let books = Books {
            book: BookId(payment.book_id),
            currency: currency(&payment.currency)?,
            connector,
            at: self.clock.now(),
        };
        let client = self.reads.get().await?;
        let accounts = books.accounts().map_err(Refused::Ledger)?;
        ledger::open(&**client, books.book, &accounts).await?;
        crate::funds::store::begin(&**client, payment.book_id, &payment.currency, books.at).await?;
        if let Ok(mut opened) = self.opened.lock() {
            opened.insert(key);
        }
        Ok(())
    }

    /// What is available in these accounts right now, in their order; zero where an account is not open yet.
    pub async fn available(&self, books: &Books<'_>, charts: &[Chart]) -> Result<Vec<i64>, ApiError> {
        let names: Vec<AccountName> = charts.iter().map(|c| books.account(*c)).collect();
        let client = self.reads.get().await?;
        let balances = ledger::balance::balances(&**client, books.book, &names).await?;
        Ok(names
            .iter()
            .map(|name| {
                let balance = balances.iter().find(|b| b.account.as_str() == name.as_str());
                balance.map_or(0, |b| i64::try_from(b.available()).unwrap_or(i64::MAX))
            })
            .collect())
    }
}

/// The currency of a stored row; parameters are checked by the API before anything is stored.
pub fn currency(code: &str) -> Result<Currency, ApiError> {
    code.parse().map_err(|_| {
        ApiError::invalid(
            "invalid_currency",
            "currency",
            format!(
                "Invalid currency: {}. Use a three-letter ISO code such as usd.",
                crate::api::error::shown(code)
            ),
        )
    })
}

/// Three-decimal currencies: the last digit must be 0 (the card networks settle two of them).
pub fn whole_units(amount: i64, currency: &str) -> Result<(), ApiError> {
    if self::currency(currency)?.exponent() == 3 && amount % 10 != 0 {
        return Err(ApiError::invalid(
            "parameter_invalid_integer",
            "amount",
            format!("Amounts in {currency} have three decimals, of which the last must be 0."),
        ));
    }
    Ok(())
}
