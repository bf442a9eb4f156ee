//! The dialogue with the host: each step of ours as messages, journal first.
//!
//! It must never send what is not in the journal, and never take an answer for another question.

use super::codec::Message;
use super::journal::{Draft, Entry, Journal, JournalError, Kind, State};
use super::link::{Link, LinkError};
use super::messages::{asked, told, traced};
use super::words::{self, Response};
use super::{FORWARD_EVERY, Settings};
use crate::clock::Clock;
use crate::connector::integrity::{self, Asked, Told};
use crate::connector::{Approval, Authorize, Decline, Failure, Found, FoundRefund, Inquiry, RefundAccepted, Return};
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

    pub(super) async fn authorize(&self, request: &Authorize) -> Result<Approval, Failure> {
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
    pub(super) async fn complete(&self, reference: &str, rrn: &str, amount: i64) -> Result<Approval, Failure> {
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

    pub(super) async fn reverse(&self, reference: &str, authorized: &Entry) -> Result<(), Failure> {
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

    pub(super) async fn refund(&self, request: Return<'_>) -> Result<RefundAccepted, Failure> {
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

    pub(super) async fn inquire(&self, request: Inquiry<'_>) -> Result<Found, Failure> {
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

    /// The approved authorization behind an RRN.
    pub(super) async fn authorized(&self, rrn: &str) -> Result<Entry, Failure> {
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

fn approval(entry: &Entry, captured: bool) -> Approval {
    Approval {
        acquirer_id: entry.rrn.clone(),
        acquirer_reference: Some(entry.rrn.clone()),
        captured,
        three_d_secure: None,
        network_transaction_id: None,
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
