//! Sending receipts by SMTP: taken from the queue, handed to a mail server, noted.
//!
//! Rows are claimed with SKIP LOCKED and a lease, so that several processes share the work. A process that dies between the
//! server's word and our commit sends again: the Message-ID is the receipt's, by which mail systems drop the second. It must never
//! hold up a payment, and never send a receipt that was not committed with its capture.

use super::{Receipt, ReceiptStatus, words};
use crate::api::error::ApiError;
use crate::app::App;
use crate::commit::{Refused, Unit};
use crate::payment::store;
use anyhow::Context;
use jiff::SignedDuration;
use lettre::message::{Mailbox, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A receipt is given up after this many tries: about two days.
pub const MAX_ATTEMPTS: i16 = 24;
const BATCH: i64 = 32;
const LEASE: SignedDuration = SignedDuration::from_secs(120);
const TIMEOUT: Duration = Duration::from_secs(30);

/// How mail leaves.
#[derive(Clone)]
pub struct Config {
    /// of the mail server
    pub host: String,
    /// of the mail server
    pub port: u16,
    /// how the connection is protected
    pub security: Security,
    /// empty: no authentication
    pub username: String,
    /// of that user
    pub password: zeroize::Zeroizing<String>,
    /// the sender: an address, or a name and an address in angle brackets
    pub from: String,
    /// PEM file of the authorities of its certificate
    pub authorities: Option<PathBuf>,
}

/// How the connection to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// not at all: for a server on this machine
    None,
    /// upgraded before anything is said; refused where it cannot be
    Starttls,
    /// TLS from the first byte
    Tls,
}

/// The way to the mail server.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    domain: String,
}

impl Mailer {
    /// # Errors
    /// When the sender is no address or the authorities cannot be read.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let from: Mailbox = config.from.parse().context("mail.from is not an address")?;
        let tls = match config.security {
            Security::None => Tls::None,
            Security::Starttls => Tls::Required(parameters(config)?),
            Security::Tls => Tls::Wrapper(parameters(config)?),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .tls(tls)
            .timeout(Some(TIMEOUT));
        if !config.username.is_empty() {
            transport = transport.credentials(Credentials::new(config.username.clone(), config.password.to_string()));
        }
        Ok(Self {
            transport: transport.build(),
            domain: from.email.domain().to_owned(),
            from,
        })
    }

    fn message(&self, receipt: &Receipt) -> Result<Message, String> {
        let said = words::of(
            receipt.locale,
            &receipt.number,
            receipt.amount,
            &receipt.currency,
            receipt.created_at,
            &receipt.details,
        );
        let to: Mailbox = receipt.email.parse().map_err(|_| "not an e-mail address".to_owned())?;
        Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(said.title.clone())
            .message_id(Some(format!("<{}@{}>", receipt.id, self.domain)))
            .singlepart(SinglePart::plain(said.text()))
            .map_err(|error| error.to_string())
    }

    /// Works until the shutdown; what is under way then is ended first.
    pub async fn run(self, app: Arc<App>, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            let more = match self.round(&app).await {
                Ok(sent) => sent as i64 == BATCH,
                Err(error) => {
                    tracing::warn!(error = error.message, "receipts cannot be read; trying again");
                    false
                }
            };
            let pause = if more { Duration::ZERO } else { app.settings.sweep_every };
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One round: every due receipt once, a bounded number. Returns how many were tried.
    pub async fn round(&self, app: &Arc<App>) -> Result<usize, ApiError> {
        let due: Vec<Receipt> = {
            let client = app.reads.get().await?;
            store::claim_due(&**client, app.clock.now(), LEASE.as_secs_f64(), BATCH).await?
        };
        let tried = due.len();
        futures_util::future::join_all(due.into_iter().map(|receipt| self.send(app, receipt))).await;
        Ok(tried)
    }

    async fn send(&self, app: &Arc<App>, mut receipt: Receipt) {
        let outcome = match self.message(&receipt) {
            Err(why) => Err((why, true)),
            Ok(message) => match tokio::time::timeout(TIMEOUT, self.transport.send(message)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err((error.to_string(), error.is_permanent())),
                Err(_) => Err(("the mail server did not answer in time".into(), false)),
            },
        };
        receipt.attempts = receipt.attempts.saturating_add(1);
        let now = app.clock.now();
        match outcome {
            Ok(()) => {
                receipt.status = ReceiptStatus::Sent;
                receipt.sent_at = Some(now);
                receipt.check_at = None;
                receipt.last_error = None;
            }
            Err((why, permanent)) => {
                let over = permanent || receipt.attempts >= MAX_ATTEMPTS;
                tracing::warn!(
                    receipt = receipt.id,
                    attempts = receipt.attempts,
                    over,
                    "a receipt was not taken by the mail server"
                );
                if over {
                    receipt.status = ReceiptStatus::Failed;
                }
                receipt.check_at = (!over).then_some(now + backoff(receipt.attempts));
                receipt.last_error = Some(why.chars().take(500).collect());
            }
        }
        let id = receipt.id.clone();
        match app.commit(Unit::new(receipt.book_id).update(&mut receipt)).await {
            Ok(()) | Err(Refused::Conflict { .. }) => {}
            // Its lease ends, and it is done again.
            Err(error) => tracing::warn!(receipt = id, %error, "the end of a receipt was not recorded"),
        }
    }
}

/// 5 s, 10 s, 20 s .. up to three hours after the first, second, third try.
fn backoff(attempt: i16) -> SignedDuration {
    SignedDuration::from_secs((5i64 << attempt.clamp(1, 12).saturating_sub(1)).min(3 * 3600))
}

fn parameters(config: &Config) -> anyhow::Result<TlsParameters> {
    let mut parameters = TlsParameters::builder(config.host.clone());
    if let Some(file) = &config.authorities {
        let pem = std::fs::read(file).with_context(|| format!("mail.authorities: {}", file.display()))?;
        parameters = parameters.add_root_certificate(Certificate::from_pem(&pem).context("mail.authorities")?);
    }
    parameters.build().context("mail: TLS")
}
