//! Stripe, and whatever speaks its wire: payment intents, refunds, disputes, signed callbacks.
//!
//! Every write carries an idempotency key made from our reference, so a repeat has one effect. An answer counts only if
//! it proves an outcome: an approval by its status, a decline by 402 or another plain refusal; anything else (time-out,
//! cut connection, 409, 429, 5xx, a body that does not parse, an intent that is "already" somewhere) is unknown. The
//! card number and the secret key must never reach an error, a log line or `Debug`.

mod callback;
mod dispute;
mod form;
mod transport;
mod wire;

#[cfg(test)]
mod simulator_tests;
#[cfg(test)]
mod tests;

use super::integrity::{self, Asked, Told};
use super::{
    AcquirerDispute, Approval, Authorize, Callback, CallbackRefused, Capabilities, Capture, CardSource, Connector,
    Decline, EvidenceFile, Failure, Found, FoundRefund, Inquiry, Method, Raise, RefundAccepted, Report, Return, Units,
};
use crate::egress;
use bytes::Bytes;
use form::Form;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Uri;
use http::header::{HeaderName, HeaderValue};
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::RootCertStore;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// What an operator says about it.
#[derive(Clone)]
pub struct Settings {
    /// scheme, host and port
    pub base_url: String,
    /// our key there
    pub secret_key: String,
    /// secret of its callbacks
    pub webhook_secret: String,
    /// authorities to trust; needed for https
    pub authorities: Option<PathBuf>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

/// The connector that these settings describe.
///
/// # Errors
/// When they cannot work.
pub fn open(settings: Settings) -> anyhow::Result<Arc<dyn Connector>> {
    Ok(Arc::new(Stripe::new(Config {
        base_url: settings.base_url,
        secret_key: Zeroizing::new(settings.secret_key),
        webhook_secrets: vec![Zeroizing::new(settings.webhook_secret)],
        timeouts: Timeouts::default(),
        roots: egress::roots_or_none(settings.authorities.as_deref()).map_err(anyhow::Error::msg)?,
    })?))
}

/// How to reach and trust it.
#[derive(Clone)]
pub struct Config {
    /// scheme and authority, e.g. `https://api.stripe.com`; plain http is for a simulator on the same machine
    pub base_url: String,
    /// `sk_..`
    pub secret_key: Zeroizing<String>,
    /// secrets that callbacks may be signed with; two while one is being replaced
    pub webhook_secrets: Vec<Zeroizing<String>>,
    /// how long each operation may take
    pub timeouts: Timeouts,
    /// the authorities whose certificates are believed
    pub roots: Arc<RootCertStore>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("base_url", &self.base_url)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// How long each operation may take, connecting included.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// TCP and TLS: an acquirer that is up answers in milliseconds, and a failure here is harmless
    pub connect: Duration,
    /// the issuer is asked, and a customer waits: long enough for a slow issuer, short enough that a person stays
    pub authorize: Duration,
    /// capture, void and refund: the acquirer decides alone, but cutting one short costs an inquiry
    pub settle: Duration,
    /// reads: safe to repeat
    pub inquire: Duration,
    /// evidence: texts may be long, nobody waits
    pub dispute: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(3),
            authorize: seconds(25),
            settle: seconds(20),
            inquire: seconds(10),
            dispute: seconds(30),
        }
    }
}

/// A configuration that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// not scheme and authority
    #[error("base_url is not `http(s)://host[:port]`: {0}")]
    BaseUrl(String),
    /// cannot be sent in a header
    #[error("secret_key has characters that a header cannot carry")]
    SecretKey,
    /// https without anyone to believe
    #[error("an https base_url needs at least one trusted root")]
    NoRoots,
}

/// The connector.
pub struct Stripe {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    payment_intents: Uri,
    refunds: Uri,
    files: Uri,
    authorization: HeaderValue,
    webhook_secrets: Vec<Zeroizing<String>>,
    timeouts: Timeouts,
}

impl std::fmt::Debug for Stripe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stripe")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl Stripe {
    /// A connector with its own connection pool; nothing is sent yet.
    ///
    /// # Errors
    /// When the configuration cannot work.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let base = config.base_url.trim_end_matches('/').to_owned();
        let uri = |path: &str| {
            format!("{base}{path}")
                .parse::<Uri>()
                .map_err(|e| ConfigError::BaseUrl(e.to_string()))
        };
        let root = uri("/")?;
        if !matches!(root.scheme_str(), Some("http" | "https")) || root.path() != "/" || root.host().is_none() {
            return Err(ConfigError::BaseUrl("a path, or no scheme".to_owned()));
        }
        let https = root.scheme_str() == Some("https");
        if https && config.roots.is_empty() {
            return Err(ConfigError::NoRoots);
        }
        let bearer = Zeroizing::new(format!("Bearer {}", config.secret_key.as_str()));
        let mut authorization = HeaderValue::from_str(&bearer).map_err(|_| ConfigError::SecretKey)?;
        authorization.set_sensitive(true);
        let connector = egress::connector(HttpConnector::new(), config.timeouts.connect, &config.roots, !https);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            // Shorter than what servers keep idle connections for: a connection that is closing loses requests.
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(512)
            .build(connector);
        Ok(Self {
            client,
            payment_intents: uri("/v1/payment_intents")?,
            refunds: uri("/v1/refunds")?,
            // Stripe takes files at a host of their own; whoever speaks its wire takes them where the rest is.
            files: match base.as_str() {
                "https://api.stripe.com" => Uri::from_static("https://files.stripe.com/v1/files"),
                _ => uri("/v1/files")?,
            },
            base,
            authorization,
            webhook_secrets: config.webhook_secrets,
            timeouts: config.timeouts,
        })
    }

    async fn do_authorize(&self, request: &Authorize) -> Result<Approval, Failure> {
        let body = authorize_form(request)?;
        let answer = self
            .post(
                self.payment_intents.clone(),
                &request.reference,
                "",
                body,
                self.timeouts.authorize,
            )
            .await?;
        let intent: wire::Intent = answer.object()?;
        intent.proves(Asked {
            reference: &request.reference,
            amount: request.amount,
            currency: &request.currency,
        })?;
        match intent.status.as_str() {
            "succeeded" => Ok(intent.approval(true)),
            "requires_capture" => Ok(intent.approval(false)),
            "requires_action" => {
                let challenge = &request.challenge;
                if let (false, false, Some(action)) = (challenge.off_session, challenge.impossible, intent.action()) {
                    return Err(Failure::ActionNeeded(action));
                }
                // Nobody can answer this challenge, and an open challenge could still become a payment: close it.
                if let Err(failure) = self.do_void(&request.reference, &intent.id).await {
                    tracing::warn!(
                        reference = request.reference,
                        ?failure,
                        "could not cancel an intent that asks for authentication"
                    );
                }
                Err(Failure::Declined(intent.decline(
                    "authentication_required",
                    Some("authentication_required"),
                    AUTHENTICATION_REQUIRED,
                )))
            }
            "requires_payment_method" | "canceled" => Err(Failure::Declined(intent.last_decline())),
            other => Err(Failure::Unknown(format!("the intent is {}", wire::word(other)))),
        }
    }

    async fn do_capture(&self, request: Capture<'_>) -> Result<Approval, Failure> {
        let uri = self.uri(&["payment_intents", request.acquirer_id, "capture"], "")?;
        let amount = UNITS.outward(request.amount, request.currency)?;
        let mut body = Form::new()
            .integer("amount_to_capture", amount)
            .text("expand[0]", "latest_charge");
        if !request.last {
            body = body.text("final_capture", "false");
        }
        let intent: wire::Intent = self
            .post(uri, request.reference, ":capture", body, self.timeouts.settle)
            .await?
            .object()?;
        match intent.status.as_str() {
            "succeeded" => {
                intent.took(request)?;
                Ok(intent.approval(true))
            }
            "requires_capture" if !request.last => {
                intent.took(request)?;
                Ok(intent.approval(false))
            }
            other => Err(Failure::Unknown(format!(
                "after the capture the intent is {}",
                wire::word(other)
            ))),
        }
    }

    async fn do_raise(&self, request: Raise<'_>) -> Result<Approval, Failure> {
        let uri = self.uri(&["payment_intents", request.acquirer_id, "increment_authorization"], "")?;
        let body = Form::new()
            .integer("amount", UNITS.outward(request.amount, request.currency)?)
            .text("expand[0]", "latest_charge");
        let intent: wire::Intent = self
            .post(uri, request.reference, "", body, self.timeouts.authorize)
            .await?
            .object()?;
        let raised = Told {
            amount: Some(UNITS.inward(intent.amount, request.currency)?),
            currency: intent.currency.as_deref(),
            reference: None,
        };
        let asked = Asked {
            reference: request.reference,
            amount: request.amount,
            currency: request.currency,
        };
        integrity::compare(asked, raised)?;
        match intent.status.as_str() {
            "requires_capture" => Ok(intent.approval(false)),
            other => Err(Failure::Unknown(format!(
                "after the raise the intent is {}",
                wire::word(other)
            ))),
        }
    }

    async fn do_void(&self, reference: &str, acquirer_id: &str) -> Result<(), Failure> {
        let uri = self.uri(&["payment_intents", acquirer_id, "cancel"], "")?;
        let intent: wire::Intent = self
            .post(uri, reference, ":void", Form::new(), self.timeouts.settle)
            .await?
            .object()?;
        match intent.status.as_str() {
            // What is left of one that was captured in part is released, and what was taken stays.
            "canceled" | "succeeded" => Ok(()),
            other => Err(Failure::Unknown(format!(
                "after the void the intent is {}",
                wire::word(other)
            ))),
        }
    }

    async fn do_refund(&self, request: Return<'_>) -> Result<RefundAccepted, Failure> {
        let mut body = Form::new()
            .text("payment_intent", request.acquirer_id)
            .integer("amount", UNITS.outward(request.amount, request.currency)?)
            .text(METADATA_REFERENCE, request.reference);
        // Our own reasons mean nothing there and would be refused.
        if let Some(reason @ ("duplicate" | "fraudulent" | "requested_by_customer")) = request.reason {
            body = body.text("reason", reason);
        }
        let refund: wire::Refund = self
            .post(self.refunds.clone(), request.reference, "", body, self.timeouts.settle)
            .await?
            .object()?;
        refund.proves(Asked {
            reference: request.reference,
            amount: request.amount,
            currency: request.currency,
        })?;
        match refund.succeeded() {
            Some(false) => Err(Failure::Declined(Decline {
                code: refund.failure_reason.unwrap_or_else(|| "refund_failed".to_owned()),
                decline_code: None,
                message: "The acquirer refused the refund.".to_owned(),
                acquirer_id: Some(refund.id),
                acquirer_reference: None,
            })),
            succeeded => Ok(RefundAccepted {
                acquirer_id: refund.id,
                succeeded: succeeded == Some(true),
            }),
        }
    }

    async fn do_cancel_refund(&self, reference: &str, refund_id: &str) -> Result<(), Failure> {
        let uri = self.uri(&["refunds", refund_id, "cancel"], "")?;
        let refund: wire::Refund = self
            .post(uri, reference, "", Form::new(), self.timeouts.settle)
            .await?
            .object()?;
        match refund.status.as_deref() {
            Some("canceled") => Ok(()),
            other => Err(Failure::Unknown(format!(
                "after its cancellation the refund is {}",
                wire::word(other.unwrap_or_default())
            ))),
        }
    }

    /// By id the answer is exact. By reference it comes from the acquirer's search index, which may lag behind by a
    /// minute: who gets [`Found::Nothing`] for a younger attempt has learnt nothing yet.
    async fn do_inquire(&self, request: Inquiry<'_>) -> Result<Found, Failure> {
        let reference = request.reference;
        let intent = match request.acquirer_id {
            Some(id) => match self
                .get(self.uri(&["payment_intents", id], "expand[0]=latest_charge")?)
                .await?
            {
                Some(answer) => Some(answer.object::<wire::Intent>()?),
                None => None,
            },
            None => {
                let query = Form::new()
                    .text(
                        "query",
                        &format!("metadata['{REFERENCE}']:'{}'", search_literal(reference)),
                    )
                    .text("expand[0]", "data.latest_charge");
                let answer = self
                    .get(self.uri(&["payment_intents", "search"], query.as_str())?)
                    .await?;
                let list: wire::List<wire::Intent> = answer
                    .ok_or_else(|| Failure::Unknown("the acquirer has no search".to_owned()))?
                    .object()?;
                // The index matches whole values, but what it returns is checked all the same: this decides about money.
                list.data
                    .into_iter()
                    .find(|intent| intent.metadata.counterfoil_reference.as_deref() == Some(reference))
            }
        };
        let Some(intent) = intent else {
            return Ok(Found::Nothing);
        };
        // What is over without money needs no proof: that is also how a person ends a mismatch, at the acquirer.
        if matches!(intent.status.as_str(), "succeeded" | "requires_capture") {
            let raised = request
                .raised
                .filter(|raised| UNITS.outward(*raised, request.currency) == Ok(intent.amount));
            intent.proves(Asked {
                reference,
                amount: raised.unwrap_or(request.amount),
                currency: request.currency,
            })?;
        }
        Ok(match intent.status.as_str() {
            "succeeded" => Found::Captured {
                amount: UNITS.inward(intent.amount_received.unwrap_or(intent.amount), request.currency)?,
                approval: intent.approval(true),
            },
            "requires_capture" => Found::Authorized {
                amount: UNITS.inward(intent.amount, request.currency)?,
                captured: UNITS.inward(intent.amount_received.unwrap_or(0), request.currency)?,
                approval: intent.approval(false),
            },
            "canceled" => Found::Voided { acquirer_id: intent.id },
            "requires_payment_method" => Found::Declined(intent.last_decline()),
            "requires_action" => match intent.action() {
                Some(action) => Found::ActionNeeded(action),
                None => Found::Processing,
            },
            _ => Found::Processing,
        })
    }

    async fn do_inquire_refund(&self, request: Return<'_>) -> Result<FoundRefund, Failure> {
        let mut after: Option<String> = None;
        for _ in 0..MAX_REFUND_PAGES {
            let mut query = Form::new()
                .text("payment_intent", request.acquirer_id)
                .integer("limit", 100);
            if let Some(after) = &after {
                query = query.text("starting_after", after);
            }
            let answer = self.get(self.uri(&["refunds"], query.as_str())?).await?;
            let list: wire::List<wire::Refund> = match answer {
                Some(answer) => answer.object()?,
                None => return Ok(FoundRefund::Nothing),
            };
            after = list.data.last().map(|refund| refund.id.clone());
            let has_more = list.has_more && after.is_some();
            if let Some(refund) = list
                .data
                .into_iter()
                .find(|r| r.metadata.counterfoil_reference.as_deref() == Some(request.reference))
            {
                return Ok(match refund.succeeded() {
                    None => FoundRefund::Pending { acquirer_id: refund.id },
                    Some(true) => FoundRefund::Succeeded { acquirer_id: refund.id },
                    Some(false) => FoundRefund::Failed {
                        reason: refund.reason(),
                        acquirer_id: refund.id,
                    },
                });
            }
            if !has_more {
                return Ok(FoundRefund::Nothing);
            }
        }
        Err(Failure::Unknown("too many refunds to look through".to_owned()))
    }
}

fn authorize_form(request: &Authorize) -> Result<Form, Failure> {
    let mut form = Form::new()
        .integer("amount", UNITS.outward(request.amount, &request.currency)?)
        .text("currency", &request.currency)
        .text("confirm", "true")
        .text("capture_method", if request.capture { "automatic" } else { "manual" })
        .text("payment_method_types[0]", "card")
        .text(METADATA_REFERENCE, &request.reference)
        // also where nobody was challenged: the issuer may have known the payer, and the network names the attempt
        .text("expand[0]", "latest_charge");
    if let Some(descriptor) = &request.statement_descriptor {
        // Card payments take a suffix to the account's own descriptor; the whole descriptor is refused for them.
        form = form.text("statement_descriptor_suffix", descriptor);
    }
    let challenge = &request.challenge;
    if challenge.off_session {
        form = form.text("off_session", "true");
    }
    if let Some(wish) = challenge.wanted {
        form = form.text("payment_method_options[card][request_three_d_secure]", wish);
    }
    if let Some(earlier) = &request.earlier_transaction {
        form = form.text(
            "payment_method_options[card][mit_exemption][network_transaction_id]",
            earlier,
        );
    }
    let wishes = request.wishes;
    for (name, wished) in [
        (
            "payment_method_options[card][request_multicapture]",
            wishes.multicapture,
        ),
        ("payment_method_options[card][request_overcapture]", wishes.overcapture),
        (
            "payment_method_options[card][request_incremental_authorization]",
            wishes.incremental,
        ),
    ] {
        if wished && !request.capture {
            form = form.text(name, "if_available");
        }
    }
    if request.keep {
        form = form.text("setup_future_usage", "off_session");
    }
    if let Some(return_url) = challenge.return_url.as_ref().filter(|_| !challenge.off_session) {
        form = form.text("return_url", return_url);
    }
    Ok(match &request.card {
        CardSource::TestToken(token) if token.starts_with("tok_") => form
            .text("payment_method_data[type]", "card")
            .text("payment_method_data[card][token]", token),
        CardSource::TestToken(token) => form.text("payment_method", token),
        CardSource::Number {
            number,
            exp_month,
            exp_year,
            cvc,
        } => {
            form = form
                .text("payment_method_data[type]", "card")
                .text("payment_method_data[card][number]", number)
                .integer("payment_method_data[card][exp_month]", i64::from(*exp_month))
                .integer("payment_method_data[card][exp_year]", i64::from(*exp_year));
            match cvc {
                Some(cvc) => form.text("payment_method_data[card][cvc]", cvc),
                None => form,
            }
        }
    })
}

/// A value inside the quotes of a search query. Our references need no escape; this makes sure of it.
fn search_literal(reference: &str) -> String {
    reference.replace('\\', "\\\\").replace('\'', "\\'")
}

impl Connector for Stripe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn authorize<'a>(&'a self, request: &'a Authorize) -> BoxFuture<'a, Result<Approval, Failure>> {
        self.do_authorize(request).boxed()
    }

    fn capture<'a>(&'a self, request: Capture<'a>) -> BoxFuture<'a, Result<Approval, Failure>> {
        self.do_capture(request).boxed()
    }

    fn raise<'a>(&'a self, request: Raise<'a>) -> BoxFuture<'a, Result<Approval, Failure>> {
        self.do_raise(request).boxed()
    }

    fn void<'a>(&'a self, reference: &'a str, acquirer_id: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        self.do_void(reference, acquirer_id).boxed()
    }

    fn refund<'a>(&'a self, request: Return<'a>) -> BoxFuture<'a, Result<RefundAccepted, Failure>> {
        self.do_refund(request).boxed()
    }

    fn cancel_refund<'a>(
        &'a self,
        reference: &'a str,
        refund_acquirer_id: &'a str,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        self.do_cancel_refund(reference, refund_acquirer_id).boxed()
    }

    fn inquire<'a>(&'a self, request: Inquiry<'a>) -> BoxFuture<'a, Result<Found, Failure>> {
        self.do_inquire(request).boxed()
    }

    fn inquire_refund<'a>(&'a self, request: Return<'a>) -> BoxFuture<'a, Result<FoundRefund, Failure>> {
        self.do_inquire_refund(request).boxed()
    }

    fn upload_evidence<'a>(
        &'a self,
        reference: &'a str,
        file: &'a EvidenceFile,
    ) -> BoxFuture<'a, Result<String, Failure>> {
        self.do_upload_evidence(reference, file).boxed()
    }

    fn submit_evidence<'a>(
        &'a self,
        reference: &'a str,
        dispute_acquirer_id: &'a str,
        fields: &'a serde_json::Map<String, serde_json::Value>,
        submit: bool,
    ) -> BoxFuture<'a, Result<AcquirerDispute, Failure>> {
        self.do_submit_evidence(reference, dispute_acquirer_id, fields, submit)
            .boxed()
    }

    fn close_dispute<'a>(
        &'a self,
        reference: &'a str,
        dispute_acquirer_id: &'a str,
    ) -> BoxFuture<'a, Result<AcquirerDispute, Failure>> {
        self.do_close_dispute(reference, dispute_acquirer_id).boxed()
    }

    fn parse_callback(
        &self,
        headers: &http::HeaderMap,
        body: &[u8],
        now: jiff::Timestamp,
    ) -> Result<Callback, CallbackRefused> {
        callback::parse(&self.webhook_secrets, headers, body, now)
    }

    fn report(&self, payload: &str) -> Result<Report, String> {
        callback::report(payload)
    }
}

const NAME: &str = "stripe";
const CAPABILITIES: Capabilities = Capabilities {
    methods: &[Method::Card],
    currencies: None,
    partial_capture: true,
    multiple_capture: true,
    overcapture: true,
    incremental_authorization: true,
    refund_may_pend: true,
    three_d_secure: true,
    disputes: true,
    test_tokens: true,
};
/// Where its minor units are not those of ISO 4217: kronur and shillings with two decimals that must be zero, ariary
/// without any (docs.stripe.com/currencies).
const UNITS: Units = Units(&[("isk", 2), ("mga", 0), ("ugx", 2)]);
/// The version whose shapes `wire` reads; pinned, so that an upgrade of the account changes nothing here.
const API_VERSION: &str = "2026-10-28.endive";
const STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Where our reference travels, so that files, callbacks and searches can name it.
const REFERENCE: &str = "counterfoil_reference";
const METADATA_REFERENCE: &str = "metadata[counterfoil_reference]";
const MAX_REFUND_PAGES: usize = 20;
const AUTHENTICATION_REQUIRED: &str = "Your card was declined. This transaction requires authentication.";
