//! A bank's host over ISO 8583:1987: card authorizations on one long-lived connection.
//!
//! | ours | theirs |
//! |---|---|
//! | authorize | 0100 → 0110 |
//! | capture, once, in full or in part; the rest is released | 0220 → 0230, repeated as 0221 until acknowledged |
//! | void | 0420 → 0430, repeated as 0421 until acknowledged |
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
mod journal;
pub mod link;
mod words;

#[cfg(test)]
mod tests;

use super::integrity::{self, Asked, Told};
use super::{
    AcquirerDispute, Approval, Authorize, Callback, CallbackRefused, Capabilities, Capture, CardSource, Connector,
    Decline, Failure, Found, FoundRefund, Inquiry, Method, RefundAccepted, Report, Return,
};
use crate::clock::Clock;
use crate::egress;
use codec::Message;
use deadpool_postgres::Pool;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use journal::{Draft, Entry, Journal, JournalError, Kind, State};
use link::{Link, LinkError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use words::Response;

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

/// What requests and the forwarding share.
struct Host {
    link: Link,
    journal: Journal,
    clock: Clock,
    settings: Settings,
    due: Notify,
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

/// An answer that nobody waits for: its reversal is decided already, so it is noted and nothing else.
fn late(message: &Message) {
    tracing::warn!(
        ?message,
        "late answer of the host: ignored, what it answers is reversed or repeated"
    );
}

/// Store and forward: whatever is due is repeated until it is acknowledged; an authorization without an answer is reversed.
async fn forward(host: Arc<Host>) {
    loop {
        match host.forward_due().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "forwarded to the host"),
            Err(error) => tracing::warn!(%error, "nothing can be forwarded to the host now"),
        }
        tokio::select! {
            () = host.due.notified() => {}
            () = tokio::time::sleep(FORWARD_EVERY) => {}
        }
    }
}

impl Host {
    async fn forward_due(&self) -> Result<usize, JournalError> {
        if !self.link.is_up() {
            return Ok(0);
        }
        let due = self.journal.claim(self.clock.now(), self.lease()).await?;
        let count = due.len();
        let all = due.into_iter().map(|entry| async move {
            let reference = entry.reference.clone();
            let done = match entry.kind {
                Kind::Authorization => {
                    self.due.notify_one();
                    self.journal.time_out(&reference, self.clock.now()).await.map(drop)
                }
                _ => self.advise(&entry).await.map(drop),
            };
            if let Err(error) = done {
                tracing::warn!(reference, %error, "a message was not forwarded");
            }
        });
        futures_util::future::join_all(all).await;
        Ok(count)
    }

    async fn authorize(&self, request: &Authorize) -> Result<Approval, Failure> {
        let message = self.authorization(request)?;
        let draft = Draft {
            reference: &request.reference,
            kind: Kind::Authorization,
            payment: None,
            amount: request.amount,
            currency: &request.currency,
            due_at: self.clock.now() + self.lease(),
        };
        let (entry, new) = self.journal.begin(draft, self.clock.now()).await.map_err(not_begun)?;
        if !new {
            return self.known(&entry).await;
        }
        let message = traced(message, &entry);
        let answer = match self.link.exchange(&message, self.settings.answer).await {
            Ok(answer) => answer,
            Err(LinkError::NotSent(why)) => {
                self.end(&entry.reference, State::NotSent, None).await?;
                return Err(Failure::NotSent(why));
            }
            Err(LinkError::Unknown(why)) => return Err(self.undo(&entry, why).await),
        };
        if let Err(mismatch) = integrity::compare(asked(&entry), told(&answer)) {
            self.undo(&entry, "the answer is about something else".to_owned()).await;
            return Err(mismatch);
        }
        match words::response(answer.get(39).unwrap_or_default()) {
            Response::Approved => {
                // An approval that is not on record would be reversed by the forwarding: it must not be told.
                self.end(&entry.reference, State::Approved, Some(&answer)).await?;
                if request.capture {
                    self.take(&entry).await
                } else {
                    Ok(approval(&entry, false))
                }
            }
            Response::Declined(decline) => {
                self.end(&entry.reference, State::Declined, Some(&answer)).await?;
                Err(Failure::Declined(with_ids(decline, &entry)))
            }
            Response::Unknown => {
                let why = format!("the host answered {:?}", answer.get(39));
                Err(self.undo(&entry, why).await)
            }
        }
    }

    /// The same reference again: what came of it, and nothing sent.
    async fn known(&self, entry: &Entry) -> Result<Approval, Failure> {
        match self.found(entry).await? {
            Found::Authorized(approval) | Found::Captured { approval, .. } => Ok(approval),
            Found::Declined(decline) => Err(Failure::Declined(decline)),
            other => Err(Failure::Unknown(format!(
                "this authorization was sent before: {other:?}"
            ))),
        }
    }

    /// Nobody knows what the host made of it: it is reversed, durably.
    async fn undo(&self, entry: &Entry, why: String) -> Failure {
        if let Err(error) = self.journal.time_out(&entry.reference, self.clock.now()).await {
            // Its row is still there as sent, and falls due.
            tracing::error!(reference = entry.reference, %error, "a reversal could not be stored yet");
        }
        self.due.notify_one();
        Failure::Unknown(why)
    }

    /// Takes the money of a sale at once. A sale is both approved and taken, or neither.
    async fn take(&self, authorized: &Entry) -> Result<Approval, Failure> {
        let taken = self
            .complete(
                &format!("{}:sale", authorized.reference),
                &authorized.rrn,
                authorized.amount,
            )
            .await;
        if let Err(Failure::NotSent(_) | Failure::Declined(_)) = taken {
            let reversed = self
                .reverse(&format!("{}:unsold", authorized.reference), authorized)
                .await;
            return Err(Failure::Unknown(format!(
                "approved, but not taken ({taken:?}); reversed: {reversed:?}"
            )));
        }
        taken
    }

    /// Takes the money of an authorization.
    async fn complete(&self, reference: &str, rrn: &str, amount: i64) -> Result<Approval, Failure> {
        let authorized = self.authorized(rrn).await?;
        if amount > authorized.amount {
            return Err(Failure::Declined(refusal(
                "amount_too_large",
                "More than was authorized.",
                &authorized,
            )));
        }
        let sent = self
            .send_advice(reference, Kind::Completion, &authorized, amount)
            .await?;
        match sent.state {
            State::Acknowledged if sent.amount == amount => Ok(approval(&authorized, true)),
            State::Acknowledged => Err(Failure::Declined(refusal(
                "charge_already_captured",
                "It was captured with another amount.",
                &authorized,
            ))),
            State::Refused => Err(Failure::Declined(refusal(
                "capture_refused",
                "The bank refused the capture.",
                &authorized,
            ))),
            _ => Err(Failure::Unknown(
                "the completion waits for its acknowledgement".to_owned(),
            )),
        }
    }

    async fn reverse(&self, reference: &str, authorized: &Entry) -> Result<(), Failure> {
        let sent = self
            .send_advice(reference, Kind::Reversal, authorized, authorized.amount)
            .await?;
        match sent.state {
            State::Acknowledged => Ok(()),
            State::Refused => Err(Failure::Declined(refusal(
                "void_refused",
                "The bank refused the reversal.",
                authorized,
            ))),
            _ => Err(Failure::Unknown(
                "the reversal waits for its acknowledgement".to_owned(),
            )),
        }
    }

    /// Stores an advice and sends it once; from then on it is forwarded until it is acknowledged. An advice of which
    /// nothing was written is taken back: its caller may still do something else.
    async fn send_advice(
        &self,
        reference: &str,
        kind: Kind,
        authorized: &Entry,
        amount: i64,
    ) -> Result<Entry, Failure> {
        let draft = Draft {
            reference,
            kind,
            payment: Some(&authorized.rrn),
            amount,
            currency: &authorized.currency,
            due_at: self.clock.now() + self.lease(),
        };
        let (entry, new) = self.journal.begin(draft, self.clock.now()).await.map_err(not_begun)?;
        if !new && entry.state != State::Sent {
            return Ok(entry);
        }
        match self.advise(&entry).await {
            Ok(Advised::Ended(entry)) => Ok(entry),
            Ok(Advised::NotSent(why)) if new => {
                self.end(&entry.reference, State::NotSent, None).await?;
                Err(Failure::NotSent(why))
            }
            Ok(Advised::NotSent(why) | Advised::Unknown(why)) => Err(Failure::Unknown(why)),
            Err(error) => Err(Failure::Unknown(error.to_string())),
        }
    }

    /// Sends an advice, as a repeat if it was sent before, and records what came of it.
    async fn advise(&self, entry: &Entry) -> Result<Advised, JournalError> {
        let original = self
            .journal
            .of_payment(&entry.payment)
            .await?
            .into_iter()
            .find(|e| e.kind == Kind::Authorization);
        let message = self.advice(entry, original.as_ref());
        let why = match self.link.exchange(&message, self.settings.answer).await {
            Ok(answer) => match integrity::compare(asked(entry), told(&answer)) {
                Ok(()) => return self.acknowledged(entry, &answer).await.map(Advised::Ended),
                Err(mismatch) => format!("{mismatch:?}"),
            },
            Err(LinkError::NotSent(why)) => {
                self.journal
                    .repeat(&entry.reference, self.clock.now() + backoff(entry.attempts))
                    .await?;
                return Ok(Advised::NotSent(why));
            }
            Err(LinkError::Unknown(why)) => why,
        };
        self.journal
            .repeat(&entry.reference, self.clock.now() + backoff(entry.attempts))
            .await?;
        Ok(Advised::Unknown(why))
    }

    async fn acknowledged(&self, entry: &Entry, answer: &Message) -> Result<Entry, JournalError> {
        let code = answer.get(39).unwrap_or_default();
        let state = match (entry.kind, code) {
            // Nothing to reverse is reversed, too: the host has never seen the original, and will refuse it from now on.
            (_, "00") | (Kind::Reversal, "25") => State::Acknowledged,
            _ => State::Refused,
        };
        if state == State::Refused {
            tracing::error!(
                reference = entry.reference,
                code,
                "the host refused an advice: a person must look"
            );
        }
        self.journal
            .end(&entry.reference, state, Some(code), None, self.clock.now())
            .await?;
        Ok(Entry {
            state,
            response_code: Some(code.to_owned()),
            ..entry.clone()
        })
    }

    async fn refund(&self, request: Return<'_>) -> Result<RefundAccepted, Failure> {
        let authorized = self.authorized(request.acquirer_id).await?;
        let sent = self
            .send_advice(request.reference, Kind::Refund, &authorized, request.amount)
            .await?;
        match sent.state {
            State::Acknowledged => Ok(RefundAccepted {
                acquirer_id: sent.rrn,
                succeeded: true,
            }),
            State::Refused => Err(Failure::Declined(refusal(
                "refund_refused",
                "The bank refused the refund.",
                &sent,
            ))),
            _ => Err(Failure::Unknown("the refund waits for its acknowledgement".to_owned())),
        }
    }

    async fn inquire(&self, request: Inquiry<'_>) -> Result<Found, Failure> {
        let entry = self.journal.by_reference(request.reference).await.map_err(not_read)?;
        match entry {
            Some(entry) => {
                let told = Told {
                    amount: Some(entry.amount),
                    currency: Some(&entry.currency),
                    reference: None,
                };
                let ours = Asked {
                    reference: request.reference,
                    amount: request.amount,
                    currency: request.currency,
                };
                integrity::compare(ours, told)?;
                self.found(&entry).await
            }
            None => Ok(Found::Nothing),
        }
    }

    async fn found(&self, authorization: &Entry) -> Result<Found, Failure> {
        let all = self.journal.of_payment(&authorization.rrn).await.map_err(not_read)?;
        let last = |kind| {
            all.iter()
                .rev()
                .find(|entry| entry.kind == kind && entry.state != State::NotSent)
        };
        Ok(
            match (authorization.state, last(Kind::Reversal), last(Kind::Completion)) {
                (State::NotSent, ..) => Found::Nothing,
                (State::Declined, ..) => {
                    let code = authorization.response_code.as_deref().unwrap_or_default();
                    match words::response(code) {
                        Response::Declined(decline) => Found::Declined(with_ids(decline, authorization)),
                        _ => return Err(Failure::Unknown(format!("a decline with the code {code}"))),
                    }
                }
                (_, Some(reversal), _) if reversal.state == State::Acknowledged => Found::Voided {
                    acquirer_id: authorization.rrn.clone(),
                },
                (_, Some(reversal), _) if reversal.state == State::Sent => Found::Processing,
                (State::Approved, _, Some(completion)) if completion.state == State::Acknowledged => Found::Captured {
                    approval: approval(authorization, true),
                    amount: completion.amount,
                },
                (State::Approved, _, Some(completion)) if completion.state == State::Sent => Found::Processing,
                (State::Approved, ..) => Found::Authorized(approval(authorization, false)),
                _ => Found::Processing,
            },
        )
    }

    async fn inquire_refund(&self, request: Return<'_>) -> Result<FoundRefund, Failure> {
        let entry = self.journal.by_reference(request.reference).await.map_err(not_read)?;
        Ok(match entry {
            Some(entry) => match entry.state {
                State::NotSent => FoundRefund::Nothing,
                State::Acknowledged => FoundRefund::Succeeded { acquirer_id: entry.rrn },
                State::Sent => FoundRefund::Pending { acquirer_id: entry.rrn },
                _ => FoundRefund::Failed {
                    acquirer_id: entry.rrn,
                    reason: entry.response_code,
                },
            },
            None => FoundRefund::Nothing,
        })
    }

    /// The approved authorization behind an RRN.
    async fn authorized(&self, rrn: &str) -> Result<Entry, Failure> {
        let all = self.journal.of_payment(rrn).await.map_err(not_begun)?;
        let found = all.into_iter().find(|entry| entry.kind == Kind::Authorization);
        found
            .filter(|entry| entry.state == State::Approved)
            .ok_or_else(|| Failure::NotSent("there is no approved authorization under this id".to_owned()))
    }

    async fn end(&self, reference: &str, state: State, answer: Option<&Message>) -> Result<(), Failure> {
        let element = |number| answer.and_then(|answer| answer.get(number));
        let ended = self
            .journal
            .end(reference, state, element(39), element(38), self.clock.now())
            .await;
        match ended {
            Ok(true) => Ok(()),
            // The forwarding came first: it is being reversed.
            Ok(false) => Err(Failure::Unknown("it was given up meanwhile".to_owned())),
            Err(error) => Err(Failure::Unknown(error.to_string())),
        }
    }

    /// The 0100, without its trace.
    fn authorization(&self, request: &Authorize) -> Result<Message, Failure> {
        let CardSource::Number {
            number,
            exp_month,
            exp_year,
            cvc,
        } = &request.card
        else {
            return Err(Failure::NotSent("the bank takes card numbers alone".to_owned()));
        };
        let mut private = vec![(words::REFERENCE, request.reference.as_str())];
        if let Some(cvc) = cvc {
            private.push((words::CARD_CODE, cvc.as_str()));
        }
        let name: String = request
            .statement_descriptor
            .iter()
            .flat_map(|text| text.chars())
            .filter(|c| (' '..='~').contains(c))
            .take(40)
            .collect();
        Ok(self
            .merchant(Message::new("0100"))
            .with(2, number.as_str())
            .with(3, PURCHASE)
            .with(4, amount(request.amount))
            .with(14, format!("{:02}{exp_month:02}", exp_year.rem_euclid(100)))
            .with(18, self.settings.merchant_category.as_str())
            .with(22, KEYED)
            .with(25, E_COMMERCE)
            .with(43, format!("{name:<40}"))
            .with(48, words::private(&private))
            .with(49, numeric(&request.currency)?))
    }

    /// An advice about an authorization, as it is sent for the first or a further time.
    fn advice(&self, entry: &Entry, original: Option<&Entry>) -> Message {
        let again = entry.attempts > 0;
        let (mti, processing) = match (entry.kind, again) {
            (Kind::Reversal, false) => ("0420", PURCHASE),
            (Kind::Reversal, true) => ("0421", PURCHASE),
            (kind, again) => (
                if again { "0221" } else { "0220" },
                if kind == Kind::Refund { REFUND } else { PURCHASE },
            ),
        };
        let message = self
            .merchant(Message::new(mti))
            .with(3, processing)
            .with(4, amount(entry.amount))
            .with(25, E_COMMERCE)
            .with(48, words::private(&[(words::REFERENCE, &entry.reference)]))
            // Only currencies of the table have been accepted.
            .with(49, words::numeric(&entry.currency).unwrap_or("999"));
        let message = match original {
            Some(original) => message.with(
                90,
                format!(
                    "0100{}{}{:0>11}{:0>11}",
                    original.stan, original.transmitted, self.settings.institution_id, 0
                ),
            ),
            None => message,
        };
        traced(message, entry)
    }

    fn merchant(&self, message: Message) -> Message {
        message
            .with(32, self.settings.institution_id.as_str())
            .with(41, format!("{:<8}", self.settings.terminal_id))
            .with(42, format!("{:<15}", self.settings.merchant_id))
    }

    /// Until then a message is left to who sends it.
    fn lease(&self) -> SignedDuration {
        let wait = SignedDuration::try_from(self.settings.answer + self.settings.connect)
            .unwrap_or(SignedDuration::from_secs(60));
        wait + SignedDuration::from_secs(5)
    }
}

/// What came of sending an advice once.
enum Advised {
    /// acknowledged or refused
    Ended(Entry),
    NotSent(String),
    Unknown(String),
}

fn traced(message: Message, entry: &Entry) -> Message {
    message
        .with(7, entry.transmitted.as_str())
        .with(11, entry.stan.as_str())
        .with(12, &entry.transmitted[4..])
        .with(13, &entry.transmitted[..4])
        .with(37, entry.rrn.as_str())
}

fn asked(entry: &Entry) -> Asked<'_> {
    Asked {
        reference: &entry.rrn,
        amount: entry.amount,
        currency: &entry.currency,
    }
}

/// What an answer repeats. The RRN is its reference; a currency that is none of ours is told as it came.
fn told(answer: &Message) -> Told<'_> {
    Told {
        reference: answer.get(37),
        amount: answer.get(4).and_then(|text| text.parse().ok()),
        currency: answer.get(49).map(|code| words::currency(code).unwrap_or(code)),
    }
}

fn approval(entry: &Entry, captured: bool) -> Approval {
    Approval {
        acquirer_id: entry.rrn.clone(),
        acquirer_reference: Some(entry.rrn.clone()),
        captured,
        three_d_secure: None,
    }
}

fn with_ids(decline: Decline, entry: &Entry) -> Decline {
    Decline {
        acquirer_id: Some(entry.rrn.clone()),
        acquirer_reference: Some(entry.rrn.clone()),
        ..decline
    }
}

fn refusal(code: &str, message: &str, entry: &Entry) -> Decline {
    Decline {
        code: code.to_owned(),
        decline_code: None,
        message: message.to_owned(),
        acquirer_id: Some(entry.rrn.clone()),
        acquirer_reference: None,
    }
}

fn amount(minor: i64) -> String {
    format!("{minor:012}")
}

fn numeric(currency: &str) -> Result<&'static str, Failure> {
    words::numeric(currency).ok_or_else(|| Failure::NotSent(format!("the bank takes no {currency}")))
}

/// Nothing was sent, because nothing could be written down first.
fn not_begun(error: JournalError) -> Failure {
    Failure::NotSent(error.to_string())
}

fn not_read(error: JournalError) -> Failure {
    Failure::Unknown(error.to_string())
}

/// The pause before an advice is repeated: 2 s, 4 s .. 5 minutes.
fn backoff(attempts: i16) -> SignedDuration {
    SignedDuration::from_secs((2i64 << attempts.clamp(0, 7)).min(300))
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
        self.host
            .complete(request.reference, request.acquirer_id, request.amount)
            .boxed()
    }

    fn void<'a>(&'a self, reference: &'a str, acquirer_id: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        async move {
            let authorized = self.host.authorized(acquirer_id).await?;
            self.host.reverse(reference, &authorized).await
        }
        .boxed()
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
    multiple_capture: false,
    incremental_authorization: false,
    refund_may_pend: true,
    disputes: false,
    test_tokens: false,
};
/// Processing codes (DE 3).
const PURCHASE: &str = "000000";
const REFUND: &str = "200000";
/// DE 22: number keyed or stored, no PIN; DE 25: electronic commerce.
const KEYED: &str = "010";
const E_COMMERCE: &str = "59";
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
