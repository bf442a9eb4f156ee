//! What is said in a case and changes no status: messages, evidence, offers, who owns it, how content the consumer is.
//!
//! Each is an entry of the timeline, and the same retries and the same unit as every step. Nothing is said in a sealed case
//! but the one rating. It must never move money.

use super::flow::{Actor, RETRIES, load};
use super::rows::*;
use super::state::Rejection;
use super::store;
use super::words::*;
use super::write::{Writer, Written, entry};
use crate::api::error::ApiError;
use crate::call::{Answer, Call};
use crate::commit::Refused;
use crate::deadline::Deadline;
use crate::payment::flow::claim;
use crate::{id, wire};
use jiff::SignedDuration;
use serde_json::{Value, json};

/// A rating may be changed for so long.
const RATING_OPEN: SignedDuration = SignedDuration::from_hours(24 * 30);

/// Something that is said.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Saying {
    Message {
        text: String,
    },
    /// by reference: an uploaded file, or a text; with the SHA-256 of what it is
    Evidence {
        text: Option<String>,
        file: Option<String>,
        digest: Option<String>,
        description: Option<String>,
    },
    Offer {
        remedy: Remedy,
        amount: i64,
        note: Option<String>,
    },
    Assign {
        owner: String,
    },
    Rate {
        score: i64,
        comment: Option<String>,
    },
    /// its time has come, and nothing but telling is due
    Overdue {
        deadline: Deadline,
        warning: bool,
    },
}

/// Says it.
pub async fn say(call: &Call, case_id: &str, actor: &Actor, saying: &Saying) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let mut case = load(call, case_id).await?;
        let (event, body, digest) = said(call, &mut case, actor, saying).await?;
        let mut writer = Writer::begin(call, None).await;
        let entry_told = told(saying);
        let mut entry = entry(call, &case, event, actor, entry_told, Vec::new(), body);
        entry.digest = digest;
        if let Saying::Offer { remedy, amount, note } = saying {
            case.details.offers.push(Offer {
                id: entry.id.clone(),
                remedy: *remedy,
                amount: *amount,
                note: note.clone(),
                by: actor.who.clone().unwrap_or_default(),
                at: call.app.clock.now(),
                accepted: false,
            });
        }
        if let Saying::Overdue { deadline, .. } = saying {
            writer.fired(deadline.clone());
        }
        let written = writer.said(case, entry, event).await?;
        let answer = Answer::ok(&written.object);
        match call.app.commit(claim(call, written.unit, case_id, Some(&answer))).await {
            Ok(()) => return Ok(answer),
            Err(Refused::Conflict { .. }) if matches!(saying, Saying::Overdue { .. }) => {
                return Err(Refused::conflict().into()); // the deadline may be what has moved: its owner looks again
            }
            Err(Refused::Conflict { .. }) => continue,
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(Refused::conflict().into())
}

fn told(saying: &Saying) -> Vec<String> {
    let words: &[&str] = match saying {
        Saying::Message { .. } | Saying::Evidence { .. } => &["consumer", "merchant", "officer"],
        Saying::Offer { .. } => &["consumer"],
        Saying::Assign { .. } => &["officer"],
        Saying::Rate { .. } => &["merchant"],
        Saying::Overdue { warning: true, .. } => &["officer"],
        Saying::Overdue { .. } => &["officer", "supervisor"],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What the saying changes in the case; the event, what the timeline says, and the digest of a piece of evidence.
async fn said(
    call: &Call,
    case: &mut Case,
    actor: &Actor,
    saying: &Saying,
) -> Result<(&'static str, Value, Option<String>), ApiError> {
    let status = case.status;
    let sealed = || Err(Rejection::UnexpectedState { status }.into());
    match saying {
        _ if status == Status::Archived && !matches!(saying, Saying::Rate { .. }) => sealed(),
        Saying::Message { text } => Ok(("case.message", json!({ "text": text }), None)),
        Saying::Evidence {
            text,
            file,
            digest,
            description,
        } => {
            if let Some(digest) = digest {
                let client = call.app.reads.get().await?;
                let others = store::with_digest(&**client, case.book_id, digest, &case.id).await?;
                if !others.is_empty() && actor.party == Party::Consumer {
                    case.details.flags.push(Flag {
                        kind: "reused_evidence".into(),
                        basis: json!({ "digest": digest, "cases": others }),
                    });
                }
            }
            let body = json!({ "text": text, "file": file, "digest": digest, "description": description });
            Ok(("case.evidence", body, digest.clone()))
        }
        Saying::Offer { remedy, amount, note } => {
            if status != Status::MerchantResponse {
                return sealed();
            }
            if remedy.refunds() && *amount > case.amount {
                return Err(ApiError::invalid(
                    "amount_too_large",
                    "amount",
                    format!(
                        "The case asks for {}: an offer is at most that.",
                        wire::amount(case.amount, &case.currency)
                    ),
                ));
            }
            let body = json!({ "remedy": remedy, "amount": amount, "note": note });
            Ok(("case.offer", body, None))
        }
        Saying::Assign { owner } => {
            if !status.is_open() {
                return sealed();
            }
            let before = case.owner.replace(owner.clone());
            Ok(("case.assigned", json!({ "owner": owner, "before": before }), None))
        }
        Saying::Rate { score, comment } => {
            if status.is_open() {
                return sealed();
            }
            let now = call.app.clock.now();
            if let Some(rating) = &case.details.rating
                && now.duration_since(rating.at) > RATING_OPEN
            {
                let mut error = ApiError::invalid(
                    "case_rated",
                    "",
                    "This case was rated more than 30 days ago: the rating stays.",
                );
                error.status = 409;
                return Err(error);
            }
            let at = case.details.rating.as_ref().map_or(now, |rating| rating.at);
            case.details.rating = Some(Rating {
                score: *score,
                comment: comment.clone(),
                at,
            });
            Ok(("case.rated", json!({ "score": score, "comment": comment }), None))
        }
        Saying::Overdue { deadline, warning } => {
            let now = call.app.clock.now();
            let body = json!({ "deadline": deadline.kind, "due_at": deadline.due_at.as_second() });
            if *warning {
                return Ok(("case.deadline_near", body, None));
            }
            case.details.breaches.push(Breach {
                deadline: deadline.kind.clone(),
                due_at: deadline.due_at,
                told_at: now,
            });
            Ok(("case.deadline_breached", body, None))
        }
    }
}

impl Writer<'_> {
    /// The unit of something that was said. A sealed case has no more entries: its rating is in the case alone.
    async fn said(mut self, case: Case, entry: Entry, event: &'static str) -> Result<Written, ApiError> {
        self.put(case, entry, event);
        self.end(false).await
    }
}

/// The id of an entry, as decisions cite it.
pub fn is_entry(text: &str) -> bool {
    id::is_valid(id::prefix::CASE_ENTRY, text)
}
