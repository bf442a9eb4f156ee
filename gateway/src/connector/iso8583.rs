//! A bank's host over ISO 8583:1987: card authorizations on one long-lived connection.
//!
//! | ours | theirs |
//! |---|---|
//! | authorize | 0100 → 0110 |
//! | capture, in full or in parts; after the last the rest is released | 0220 → 0230, repeated as 0221 until acknowledged |
//! | raise | 0100 → 0110 with DE 90 instead of a card; without an answer 0420, as for an authorization |
//! | void; of the rest, when parts were captured (DE 95) | 0420 → 0430, repeated as 0421 until acknowledged |
//! | refund | 0220 with processing code 20 → 0230, repeated |
//! | no answer to an authorization | it ends as timed out, and its reversal is stored and forwarded (0420, 0421) |
//! | inquiry | from our own journal: the protocol has none |
//! | line | 0800 → 0810: sign-on, echo |
//!
//! The card number is in the 0100 and nowhere else: later messages name the authorization by RRN (DE 37), approval code and
//! original data elements (DE 90), so that nothing has to be kept to repeat them. Every message is a row of the journal before
//! it is sent, and forwarding goes on after a crash and in any process. It must never send an authorization twice, and never
//! take an answer that arrives after the reversal was decided.

pub mod codec;
mod host;
mod journal;
pub mod link;
mod messages;
mod standing;
mod words;

#[cfg(test)]
mod tests;

use super::{
    AcquirerDispute, Approval, Authorize, Callback, CallbackRefused, Capabilities, Capture, Connector, EvidenceFile,
    Failure, Found, FoundRefund, Inquiry, Method, Raise, RefundAccepted, Report, Return,
};
use crate::clock::Clock;
use crate::egress;
use deadpool_postgres::Pool;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use host::{Host, forward, late};
use jiff::Timestamp;
use journal::Journal;
use link::Link;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What an operator says about it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `host:port` of the host
    pub address: String,
    /// authorities of its certificate; none: plain TCP on a private line
    pub authorities: Option<PathBuf>,
    /// DE 41: eight characters
    pub terminal_id: String,
    /// DE 42: up to fifteen characters
    pub merchant_id: String,
    /// DE 18: four digits
    pub merchant_category: String,
    /// DE 32: up to eleven digits
    pub institution_id: String,
    /// TCP, TLS and sign-on together
    pub connect: Duration,
    /// how long an answer may take until the outcome counts as not known
    pub answer: Duration,
    /// an idle line is tested after this
    pub echo: Duration,
}

/// The connector that these settings describe, connecting in the background.
///
/// # Errors
/// When they cannot work.
pub fn open(settings: Settings, pool: Pool, clock: Clock) -> anyhow::Result<Arc<dyn Connector>> {
    Ok(Arc::new(Iso8583::new(settings, pool, clock)?))
}

/// The connector.
pub struct Iso8583 {
    host: Arc<Host>,
    forwarding: JoinHandle<()>,
}

impl Iso8583 {
    /// A connector whose journal is in this database.
    ///
    /// # Errors
    /// When the settings cannot work.
    pub fn new(settings: Settings, pool: Pool, clock: Clock) -> anyhow::Result<Self> {
        let text = |value: &str, max: usize| value.len() <= max && value.bytes().all(|b| (b' '..=b'~').contains(&b));
        let digits = |value: &str| value.bytes().all(|b| b.is_ascii_digit());
        anyhow::ensure!(
            text(&settings.terminal_id, 8),
            "terminal_id is at most 8 ASCII characters"
        );
        anyhow::ensure!(
            text(&settings.merchant_id, 15),
            "merchant_id is at most 15 ASCII characters"
        );
        anyhow::ensure!(
            digits(&settings.merchant_category) && settings.merchant_category.len() == 4,
            "merchant_category is four digits"
        );
        anyhow::ensure!(
            digits(&settings.institution_id) && (1..=11).contains(&settings.institution_id.len()),
            "institution_id is 1 to 11 digits"
        );
        let tls = match &settings.authorities {
            Some(file) => {
                let roots = egress::roots(&[file]).map_err(anyhow::Error::msg)?;
                Some(Arc::new(egress::tls(&roots)))
            }
            None => None,
        };
        let link = link::Config {
            address: settings.address.clone(),
            tls,
            connect: settings.connect,
            echo: settings.echo,
        };
        let host = Arc::new(Host {
            link: Link::open(link, late),
            journal: Journal(pool),
            clock,
            settings,
            due: Notify::new(),
        });
        let forwarding = tokio::spawn(forward(host.clone()));
        Ok(Self { host, forwarding })
    }
}

impl Drop for Iso8583 {
    fn drop(&mut self) {
        self.forwarding.abort();
    }
}

/// Evidence and acceptance of disputes go to the bank by its own portal.
fn no_disputes() -> Failure {
    Failure::NotSent("this bank takes no evidence over this line".to_owned())
}

impl Connector for Iso8583 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn authorize<'a>(&'a self, request: &'a Authorize) -> BoxFuture<'a, Result<Approval, Failure>> {
        self.host.authorize(request).boxed()
    }

    fn capture<'a>(&'a self, request: Capture<'a>) -> BoxFuture<'a, Result<Approval, Failure>> {
        self.host.complete(request).boxed()
    }

    fn raise<'a>(&'a self, request: Raise<'a>) -> BoxFuture<'a, Result<Approval, Failure>> {
        self.host.raise(request).boxed()
    }

    fn void<'a>(&'a self, reference: &'a str, acquirer_id: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        self.host.reverse(reference, acquirer_id).boxed()
    }

    fn refund<'a>(&'a self, request: Return<'a>) -> BoxFuture<'a, Result<RefundAccepted, Failure>> {
        self.host.refund(request).boxed()
    }

    fn inquire<'a>(&'a self, request: Inquiry<'a>) -> BoxFuture<'a, Result<Found, Failure>> {
        self.host.inquire(request).boxed()
    }

    fn inquire_refund<'a>(&'a self, request: Return<'a>) -> BoxFuture<'a, Result<FoundRefund, Failure>> {
        self.host.inquire_refund(request).boxed()
    }

    fn upload_evidence<'a>(
        &'a self,
        _reference: &'a str,
        _file: &'a EvidenceFile,
    ) -> BoxFuture<'a, Result<String, Failure>> {
        async { Err(no_disputes()) }.boxed()
    }

    fn submit_evidence<'a>(
        &'a self,
        _reference: &'a str,
        _dispute_acquirer_id: &'a str,
        _fields: &'a serde_json::Map<String, serde_json::Value>,
        _submit: bool,
    ) -> BoxFuture<'a, Result<AcquirerDispute, Failure>> {
        async { Err(no_disputes()) }.boxed()
    }

    fn close_dispute<'a>(
        &'a self,
        _reference: &'a str,
        _dispute_acquirer_id: &'a str,
    ) -> BoxFuture<'a, Result<AcquirerDispute, Failure>> {
        async { Err(no_disputes()) }.boxed()
    }

    fn parse_callback(&self, _: &http::HeaderMap, _: &[u8], _: Timestamp) -> Result<Callback, CallbackRefused> {
        Err(CallbackRefused::Malformed("this bank sends no callbacks".to_owned()))
    }

    fn report(&self, _: &str) -> Result<Report, String> {
        Err("this bank sends no callbacks".to_owned())
    }
}

const NAME: &str = "iso8583";
const CAPABILITIES: Capabilities = Capabilities {
    methods: &[Method::Card],
    currencies: Some(words::CURRENCIES),
    partial_capture: true,
    multiple_capture: true,
    overcapture: false,
    incremental_authorization: true,
    refund_may_pend: true,
    three_d_secure: false,
    disputes: false,
    test_tokens: false,
};
const FORWARD_EVERY: Duration = Duration::from_secs(1);

/// Settings against a simulated host.
#[cfg(test)]
pub(super) fn test_settings(address: &str) -> Settings {
    Settings {
        address: address.to_owned(),
        authorities: None,
        terminal_id: "TERM0001".to_owned(),
        merchant_id: "COUNTERFOIL".to_owned(),
        merchant_category: "5999".to_owned(),
        institution_id: "400001".to_owned(),
        connect: Duration::from_secs(3),
        answer: Duration::from_secs(10),
        echo: Duration::from_secs(30),
    }
}
