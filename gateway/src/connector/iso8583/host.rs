//! The dialogue with the host: each step of ours as messages, journal first.
//!
//! It must never send what is not in the journal, and never take an answer for another question.

use super::codec::Message;
use super::journal::{Draft, Entry, Journal, JournalError, Kind, State};
use super::link::{Link, LinkError};
use super::messages::{asked, told, traced};
use super::standing::{self, Standing};
use super::words::{self, Response};
use super::{FORWARD_EVERY, Settings};
use crate::clock::Clock;
use crate::connector::integrity::{self, Asked, Told};
use crate::connector::{
    Allowance, Approval, Authorize, Capture, Decline, Failure, Found, FoundRefund, Inquiry, Raise, RefundAccepted,
    Return,
};
use jiff::SignedDuration;
use std::sync::Arc;
use tokio::sync::Notify;

/// What requests and the forwarding share.
pub(super) struct Host {
    pub link: Link,
    pub journal: Journal,
    pub clock: Clock,
    pub settings: Settings,
    pub due: Notify,
}

/// An answer that nobody waits for: its reversal is decided already, so it is noted and nothing else.
pub(super) fn late(message: &Message) {
    tracing::warn!(
        ?message,
        "late answer of the host: ignored, what it answers is reversed or repeated"
    );
}

/// Store and forward: whatever is due is repeated until it is acknowledged; an authorization without an answer is reversed.
pub(super) async fn forward(host: Arc<Host>) {
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
                Kind::Authorization | Kind::Raise => {
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

    pub(super) async fn authorize(&self, request: &Authorize) -> Result<Approval, Failure> {
        let message = self.authorization(request)?;
        let draft = Draft {
            reference: &request.reference,
            kind: Kind::Authorization,
            payment: None,
            amount: request.amount,
            currency: &request.currency,
            last: true,
            due_at: self.clock.now() + self.lease(),
        };
        let (entry, new) = self.journal.begin(draft, self.clock.now()).await.map_err(not_begun)?;
        if !new {
            return self.known(&entry).await;
        }
        self.ask(&entry, &traced(message, &entry)).await?;
        if request.capture {
            self.take(&entry).await
        } else {
            Ok(approval(&entry, false))
        }
    }

    /// Asks for an approval. When it is given, it is on record.
    async fn ask(&self, entry: &Entry, message: &Message) -> Result<(), Failure> {
        let answer = match self.link.exchange(message, self.settings.answer).await {
            Ok(answer) => answer,
            Err(LinkError::NotSent(why)) => {
                self.end(&entry.reference, State::NotSent, None).await?;
                return Err(Failure::NotSent(why));
            }
            Err(LinkError::Unknown(why)) => return Err(self.undo(entry, why).await),
        };
        if let Err(mismatch) = integrity::compare(asked(entry), told(&answer)) {
            self.undo(entry, "the answer is about something else".to_owned()).await;
            return Err(mismatch);
        }
        match words::response(answer.get(39).unwrap_or_default()) {
            // An approval that is not on record would be reversed by the forwarding: it must not be told.
            Response::Approved => self.end(&entry.reference, State::Approved, Some(&answer)).await,
            Response::Declined(decline) => {
                self.end(&entry.reference, State::Declined, Some(&answer)).await?;
                Err(Failure::Declined(with_ids(decline, entry)))
            }
            Response::Unknown => {
                let why = format!("the host answered {:?}", answer.get(39));
                Err(self.undo(entry, why).await)
            }
        }
    }

    /// Asks for more of an approved authorization.
    pub(super) async fn raise(&self, request: Raise<'_>) -> Result<Approval, Failure> {
        let standing = self.standing(request.acquirer_id).await?;
        let draft = Draft {
            reference: request.reference,
            kind: Kind::Raise,
            payment: Some(&standing.authorized.rrn),
            amount: request.amount.saturating_sub(request.from),
            currency: request.currency,
            last: true,
            due_at: self.clock.now() + self.lease(),
        };
        let (entry, new) = self.journal.begin(draft, self.clock.now()).await.map_err(not_begun)?;
        if new {
            self.ask(&entry, &self.raise_message(&entry, &standing.authorized))
                .await?;
            return Ok(approval(&standing.authorized, false));
        }
        let unraised = format!("{}:timeout", entry.reference);
        match entry.state {
            State::Approved => Ok(approval(&standing.authorized, false)),
            State::Declined => match words::response(entry.response_code.as_deref().unwrap_or_default()) {
                Response::Declined(decline) => Err(Failure::Declined(with_ids(decline, &entry))),
                _ => Err(Failure::Unknown(
                    "a raise that was declined without a reason".to_owned(),
                )),
            },
            State::TimedOut if standing.undone(&unraised) => Err(Failure::Declined(refusal(
                "processing_error",
                "The bank did not answer in time, and stands by what was authorized before.",
                &entry,
            ))),
            _ => Err(Failure::Unknown("this raise was sent before".to_owned())),
        }
    }

    /// The same reference again: what came of it, and nothing sent.
    async fn known(&self, entry: &Entry) -> Result<Approval, Failure> {
        match self.found(entry).await? {
            Found::Authorized { approval, .. } | Found::Captured { approval, .. } => Ok(approval),
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
        let reference = format!("{}:sale", authorized.reference);
        let sale = Capture {
            reference: &reference,
            acquirer_id: &authorized.rrn,
            amount: authorized.amount,
            currency: &authorized.currency,
            taken: 0,
            last: true,
        };
        let taken = self.complete(sale).await;
        if let Err(Failure::NotSent(_) | Failure::Declined(_)) = taken {
            let reversed = self
                .reverse(&format!("{}:unsold", authorized.reference), &authorized.rrn)
                .await;
            return Err(Failure::Unknown(format!(
                "approved, but not taken ({taken:?}); reversed: {reversed:?}"
            )));
        }
        taken
    }

    /// Takes the money of an authorization, or a part of it.
    pub(super) async fn complete(&self, request: Capture<'_>) -> Result<Approval, Failure> {
        let standing = self.standing(request.acquirer_id).await?;
        let authorized = &standing.authorized;
        let before = standing.captured_but(request.reference);
        if before.saturating_add(request.amount) > standing.amount() {
            return Err(Failure::Declined(refusal(
                "amount_too_large",
                "More than was authorized.",
                authorized,
            )));
        }
        if let Some(done) = standing.last_completion(request.reference) {
            return match done.state {
                State::Acknowledged if before == request.amount => Ok(approval(authorized, true)),
                State::Acknowledged => Err(Failure::Declined(refusal(
                    "charge_already_captured",
                    "It was captured with another amount.",
                    authorized,
                ))),
                _ => Err(waiting("completion")),
            };
        }
        let sent = self
            .send_advice(
                request.reference,
                Kind::Completion,
                authorized,
                request.amount,
                request.last,
            )
            .await?;
        match sent.state {
            State::Acknowledged if sent.amount == request.amount => Ok(approval(authorized, request.last)),
            State::Acknowledged => Err(Failure::Unknown(
                "this completion was sent before, with another amount".to_owned(),
            )),
            State::Refused => Err(Failure::Declined(refusal(
                "capture_refused",
                "The bank refused the capture.",
                authorized,
            ))),
            _ => Err(waiting("completion")),
        }
    }

    /// Releases an authorization, or what is left of it.
    pub(super) async fn reverse(&self, reference: &str, rrn: &str) -> Result<(), Failure> {
        let standing = self.standing(rrn).await?;
        let sent = self
            .send_advice(reference, Kind::Reversal, &standing.authorized, standing.amount(), true)
            .await?;
        match sent.state {
            State::Acknowledged => Ok(()),
            State::Refused => Err(Failure::Declined(refusal(
                "void_refused",
                "The bank refused the reversal.",
                &standing.authorized,
            ))),
            _ => Err(waiting("reversal")),
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
        last: bool,
    ) -> Result<Entry, Failure> {
        let draft = Draft {
            reference,
            kind,
            payment: Some(&authorized.rrn),
            amount,
            currency: &authorized.currency,
            last,
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
        let all = self.journal.of_payment(&entry.payment).await?;
        let original = all.iter().find(|e| match entry.kind {
            Kind::Unraise => e.kind == Kind::Raise && entry.reference.strip_suffix(":timeout") == Some(&e.reference),
            _ => e.kind == Kind::Authorization,
        });
        let message = self.advice(entry, original, standing::captured(&all));
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
            (_, "00") | (Kind::Reversal | Kind::Unraise, "25") => State::Acknowledged,
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

    pub(super) async fn refund(&self, request: Return<'_>) -> Result<RefundAccepted, Failure> {
        let standing = self.standing(request.acquirer_id).await?;
        let sent = self
            .send_advice(
                request.reference,
                Kind::Refund,
                &standing.authorized,
                request.amount,
                true,
            )
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
            _ => Err(waiting("refund")),
        }
    }

    pub(super) async fn inquire(&self, request: Inquiry<'_>) -> Result<Found, Failure> {
        let entry = self.journal.by_reference(request.reference).await.map_err(not_read)?;
        let Some(entry) = entry else { return Ok(Found::Nothing) };
        let all = self.journal.of_payment(&entry.rrn).await.map_err(not_read)?;
        let standing = Standing { authorized: entry, all };
        let told = Told {
            amount: Some(standing.amount()),
            currency: Some(&standing.authorized.currency),
            reference: None,
        };
        let ours = Asked {
            reference: request.reference,
            amount: request
                .raised
                .filter(|raised| *raised == standing.amount())
                .unwrap_or(request.amount),
            currency: request.currency,
        };
        integrity::compare(ours, told)?;
        standing.found()
    }

    async fn found(&self, authorization: &Entry) -> Result<Found, Failure> {
        let all = self.journal.of_payment(&authorization.rrn).await.map_err(not_read)?;
        let authorized = authorization.clone();
        Standing { authorized, all }.found()
    }

    pub(super) async fn inquire_refund(&self, request: Return<'_>) -> Result<FoundRefund, Failure> {
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

    /// The approved authorization behind an RRN, with all that was said about it.
    async fn standing(&self, rrn: &str) -> Result<Standing, Failure> {
        let all = self.journal.of_payment(rrn).await.map_err(not_begun)?;
        let found = all.iter().find(|entry| entry.kind == Kind::Authorization);
        let authorized = found
            .filter(|entry| entry.state == State::Approved)
            .cloned()
            .ok_or_else(|| Failure::NotSent("there is no approved authorization under this id".to_owned()))?;
        Ok(Standing { authorized, all })
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

pub(super) fn approval(entry: &Entry, captured: bool) -> Approval {
    Approval {
        acquirer_id: entry.rrn.clone(),
        acquirer_reference: Some(entry.rrn.clone()),
        captured,
        three_d_secure: None,
        network_transaction_id: None,
        allowance: Allowance {
            multicapture: true,
            incremental: true,
            ..Allowance::default()
        },
    }
}

fn waiting(what: &str) -> Failure {
    Failure::Unknown(format!("the {what} waits for its acknowledgement"))
}

pub(super) fn with_ids(decline: Decline, entry: &Entry) -> Decline {
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
