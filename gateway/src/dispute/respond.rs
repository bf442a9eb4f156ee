//! The merchant's response to a dispute: evidence, once, or acceptance.
//!
//! Like a capture it is two commits with the call between them: the intent is durable (and the idempotency key claimed)
//! before the acquirer is called, and a response whose outcome is not known is sent again under the same reference until
//! it is. Evidence may be staged any number of times before it is submitted. It must never submit twice.

use super::flow::{self, Ending, RETRIES};
use super::rows::{Dispute, EVIDENCE, Operation};
use super::state::{self, Denied};
use super::store;
use crate::api::error::ApiError;
use crate::app::App;
use crate::call::{Answer, Call, at_acquirer};
use crate::commit::{Refused, Request, Unit};
use crate::connector::{AcquirerDispute, Connector, DisputeReport, EvidenceFile, Failure};
use crate::payment::flow::{claim, merge_metadata};
use crate::payment::{store as rows, sweep};
use crate::wire;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All evidence texts together have at most this many characters.
pub const MAX_EVIDENCE: usize = 150_000;
const BATCH: i64 = 100;

/// What a caller changes.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// evidence fields; `None` removes one
    pub evidence: BTreeMap<String, Option<String>>,
    /// as in every update
    pub metadata: Option<BTreeMap<String, Option<String>>>,
    /// send it now, or only stage it; sending is the default when evidence is given
    pub submit: Option<bool>,
    /// the key that asks
    pub by: String,
}

/// Changes metadata, stages evidence, or submits it.
pub async fn update(call: &Call, dispute_id: &str, change: Change) -> Result<Answer, ApiError> {
    let submit = change.submit.unwrap_or(!change.evidence.is_empty());
    for _ in 0..RETRIES {
        let mut dispute = flow::load(call, dispute_id).await?;
        if submit || !change.evidence.is_empty() {
            state::may(&dispute, Operation::Submit, call.at)?;
        }
        if let Some(metadata) = &change.metadata {
            merge_metadata(&mut dispute.details.metadata, metadata.clone());
        }
        for (name, value) in &change.evidence {
            match value {
                Some(value) => drop(dispute.evidence.insert(name.clone(), value.clone())),
                None => drop(dispute.evidence.remove(name)),
            }
        }
        within_limit(&dispute)?;
        files_are_there(call, &change).await?;
        if !change.evidence.is_empty() {
            dispute.details.staged_by = Some(change.by.clone());
        }
        if submit {
            second_person(call, &dispute, &change)?;
            dispute.details.submitted_by = Some(change.by.clone());
            if dispute.evidence.is_empty() {
                return Err(ApiError::invalid(
                    "dispute_evidence_missing",
                    "evidence",
                    "There is no evidence to submit: give some, or stage it first with submit=false.",
                ));
            }
            match begin(call, &mut dispute, Operation::Submit).await {
                Ok(()) => return send(call, dispute, Asker::Caller).await,
                Err(Refused::Conflict { .. }) => continue,
                Err(refused) => return Err(refused.into()),
            }
        }
        let unit = Unit::new(call.book_id()).update(&mut dispute);
        let object = object(call, &dispute).await?;
        let unit = unit.insert(&call.event("charge.dispute.updated", &object));
        let answer = flow::expanded(call, object).await?;
        match call.app.commit(claim(call, unit, &dispute.id, Some(&answer))).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// Accepts the dispute: it is lost, and cannot be undone.
pub async fn close(call: &Call, dispute_id: &str) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let mut dispute = flow::load(call, dispute_id).await?;
        state::may(&dispute, Operation::Close, call.at)?;
        match begin(call, &mut dispute, Operation::Close).await {
            Ok(()) => return send(call, dispute, Asker::Caller).await,
            Err(Refused::Conflict { .. }) => continue,
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(Refused::conflict().into())
}

/// One round of the sweep: every response that is due is sent again. Returns how many there were.
pub async fn sweep(app: &Arc<App>) -> Result<usize, ApiError> {
    let lease = app.settings.sweep_lease.as_secs_f64();
    let due: Vec<Dispute> = {
        let client = app.reads.get().await?;
        rows::claim_due(&**client, app.clock.now(), lease, BATCH).await?
    };
    let found = due.len();
    let sends = due.into_iter().map(|dispute| async move {
        let id = dispute.id.clone();
        let sent = async {
            let merchant = app.merchant_by_book(dispute.book_id).await?;
            let call = Call::background(app.clone(), merchant);
            // The lease moved check_at only; a newer version is someone else's end of it.
            let dispute = flow::load(&call, &dispute.id).await?;
            send(&call, dispute, Asker::Sweep).await.map(drop)
        };
        if let Err(error) = sent.await {
            tracing::warn!(id, error = error.message, "sweep of a dispute's response did not end");
        }
    });
    futures_util::future::join_all(sends).await;
    Ok(found)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    Caller,
    Sweep,
}

/// Commit A: from here on the response will be given, also over a crash.
async fn begin(call: &Call, dispute: &mut Dispute, operation: Operation) -> Result<(), Refused> {
    dispute.operation = Some(operation);
    if operation == Operation::Submit {
        dispute.answered = dispute.stage.round().unwrap_or(dispute.answered);
    }
    dispute.request_key = call.key.as_ref().map(|k| k.key);
    dispute.swept = 0;
    dispute.check_at = Some(call.app.clock.now() + call.app.sweep_after);
    let unit = Unit::new(call.book_id()).update(dispute);
    call.app.commit(claim(call, unit, &dispute.id, None)).await?;
    call.mark_claimed();
    Ok(())
}

/// The call and commit B.
async fn send(call: &Call, dispute: Dispute, asker: Asker) -> Result<Answer, ApiError> {
    let Some(operation) = dispute.operation else {
        return settled(call, &dispute.id, asker).await;
    };
    let connector = call.app.connector(&dispute.connector)?;
    let outcome = match operation {
        Operation::Submit => {
            let fields = match handed_over(call, &*connector, &dispute).await {
                Ok(fields) => fields,
                Err(failure) => {
                    let request = owed(call, &dispute, asker);
                    return not_accepted(call, dispute, operation, request, failure, asker).await;
                }
            };
            // Each round is an operation of its own there, also with the same evidence.
            let reference = match dispute.submission_count {
                0 => dispute.id.clone(),
                earlier => format!("{}-{earlier}", dispute.id),
            };
            at_acquirer(connector.submit_evidence(&reference, &dispute.acquirer_id, &fields, true)).await
        }
        Operation::Close => at_acquirer(connector.close_dispute(&dispute.id, &dispute.acquirer_id)).await,
    };
    let request = owed(call, &dispute, asker);
    match outcome {
        Ok(told) => accepted(call, &dispute, operation, request, &told, asker).await,
        Err(failure) => not_accepted(call, dispute, operation, request, failure, asker).await,
    }
}

/// The request that waits for the answer.
fn owed(call: &Call, dispute: &Dispute, asker: Asker) -> Option<Request> {
    match asker {
        Asker::Caller => call.request(None, None),
        Asker::Sweep => dispute
            .request_key
            .map(|key| Request::owed(dispute.book_id, key, call.at)),
    }
}

/// The evidence in the acquirer's terms: our files are handed over first, and named as the acquirer names them.
async fn handed_over(call: &Call, connector: &dyn Connector, dispute: &Dispute) -> Result<Map<String, Value>, Failure> {
    let mut fields = Map::new();
    for (name, value) in &dispute.evidence {
        let is_file = EVIDENCE.iter().any(|(field, file)| *file && field == name);
        let value = match is_file {
            false => value.clone(),
            true => {
                let kept = crate::file::load(call, value).await;
                let kept = kept.map_err(|error| Failure::NotSent(error.message))?;
                let content = call.app.vault.open_file(kept.book_id, &kept.id).await;
                let content = content.map_err(|error| Failure::NotSent(error.to_string()))?;
                let file = EvidenceFile {
                    filename: kept.filename,
                    media: kept.r#type.media(),
                    content: content.to_vec().into(),
                };
                at_acquirer(connector.upload_evidence(&kept.id, &file)).await?
            }
        };
        fields.insert(name.clone(), Value::String(value));
    }
    Ok(fields)
}

async fn accepted(
    call: &Call,
    dispute: &Dispute,
    operation: Operation,
    request: Option<Request>,
    told: &AcquirerDispute,
    asker: Asker,
) -> Result<Answer, ApiError> {
    let kind = match operation {
        Operation::Submit => DisputeReport::Updated,
        Operation::Close => DisputeReport::Closed,
    };
    let ending = Ending { operation, request };
    match flow::adopt(call, &dispute.charge_id, kind, told, Some(&ending)).await? {
        Some(answer) => Ok(answer),
        None => settled(call, &dispute.id, asker).await,
    }
}

async fn not_accepted(
    call: &Call,
    mut dispute: Dispute,
    operation: Operation,
    request: Option<Request>,
    failure: Failure,
    asker: Asker,
) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        if dispute.operation != Some(operation) {
            return settled(call, &dispute.id, asker).await;
        }
        let answer = match &failure {
            Failure::Declined(decline) => {
                flow::end(&mut dispute, operation, false); // refused: it was not used up
                Answer::refusal(&ApiError::invalid(
                    &decline.code,
                    "",
                    format!("The acquirer refuses this response: {}", decline.message),
                ))
            }
            // The intent stands: the sweep sends it again, the reference makes a repeat harmless.
            unknown => {
                tracing::warn!(dispute = dispute.id, ?unknown, "outcome of a response unknown");
                dispute.request_key = None;
                dispute.check_at = Some(call.app.clock.now() + sweep::backoff(dispute.swept));
                dispute.swept = dispute.swept.saturating_add(1);
                flow::expanded(call, object(call, &dispute).await?).await?
            }
        };
        let unit = Unit::new(call.book_id()).update(&mut dispute);
        let unit = match request.clone() {
            Some(request) => unit.answer(&request.answered(&dispute.id, &answer)),
            None => unit,
        };
        match call.app.commit(unit).await {
            Err(Refused::Conflict { .. } | Refused::KeyTaken) => dispute = flow::load(call, &dispute.id).await?,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// Someone else has ended it: the caller gets the answer that was stored for it.
async fn settled(call: &Call, dispute_id: &str, asker: Asker) -> Result<Answer, ApiError> {
    if asker == Asker::Caller
        && let Some(stored) = crate::api::idempotency::stored(call).await?
    {
        return Ok(stored);
    }
    let dispute = flow::load(call, dispute_id).await?;
    flow::expanded(call, object(call, &dispute).await?).await
}

async fn object(call: &Call, dispute: &Dispute) -> Result<Value, ApiError> {
    let client = call.app.reads.get().await?;
    let transactions = store::transactions(&**client, call.book_id(), std::slice::from_ref(dispute)).await?;
    Ok(wire::dispute(dispute, &transactions, call.app.clock.now()))
}

/// The files that evidence names are this merchant's own.
async fn files_are_there(call: &Call, change: &Change) -> Result<(), ApiError> {
    for (name, _) in EVIDENCE.iter().filter(|(_, file)| *file) {
        if let Some(Some(file_id)) = change.evidence.get(*name) {
            crate::file::load(call, file_id).await.map_err(|mut error| {
                error.param = Some(format!("evidence[{name}]"));
                error
            })?;
        }
    }
    Ok(())
}

/// Above a threshold, and where filing costs a fee, who sends is not who wrote.
fn second_person(call: &Call, dispute: &Dispute, change: &Change) -> Result<(), ApiError> {
    let from = call.app.settings.disputes.second_person_from;
    if from <= 0 {
        return Ok(());
    }
    let unit = 10i64.checked_pow(u32::from(crate::app::currency(&dispute.currency)?.exponent()));
    let threshold = unit.and_then(|unit| from.checked_mul(unit)).unwrap_or(i64::MAX);
    let files_prearbitration = dispute.stage.round() == Some(3);
    if dispute.amount < threshold && !files_prearbitration {
        return Ok(());
    }
    let refused = |message: &str| {
        Err(ApiError::new(
            403,
            "invalid_request_error",
            "dispute_second_person_required",
            message,
        ))
    };
    if !change.evidence.is_empty() {
        return refused(
            "Evidence for this dispute is staged with one API key (submit=false) and submitted with another, which sends submit=true alone.",
        );
    }
    if dispute.details.staged_by.as_deref() == Some(change.by.as_str()) {
        return refused("This key has staged the evidence: another person's key must look at it and submit it.");
    }
    Ok(())
}

fn within_limit(dispute: &Dispute) -> Result<(), ApiError> {
    let texts = EVIDENCE.iter().filter(|(_, file)| !file);
    let total: usize = texts
        .filter_map(|(name, _)| dispute.evidence.get(*name))
        .map(|text| text.chars().count())
        .sum();
    if total <= MAX_EVIDENCE {
        return Ok(());
    }
    Err(ApiError::invalid(
        "parameter_invalid_string",
        "evidence",
        format!("All evidence texts together may have {MAX_EVIDENCE} characters; these have {total}."),
    ))
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::InProgress => {
                let mut error = ApiError::new(
                    409,
                    "invalid_request_error",
                    "lock_timeout",
                    "Another response to this dispute is on its way to the acquirer. Please retry when it has ended.",
                );
                error.should_retry = Some(true);
                error
            }
            Denied::AlreadySubmitted => ApiError::invalid(
                "dispute_already_submitted",
                "evidence",
                "Evidence for this dispute has already been submitted; the network takes it once.",
            ),
            Denied::Status(status) => ApiError::invalid(
                "dispute_unexpected_state",
                "",
                format!(
                    "This dispute takes no response: its status is `{}`. Only `needs_response` and `warning_needs_response` do.",
                    status.as_str()
                ),
            ),
            Denied::NoResponse => ApiError::invalid(
                "dispute_not_answerable",
                "",
                "The network allows no response to this dispute. It can be accepted with POST /v1/disputes/:id/close.",
            ),
            Denied::PastDue => ApiError::invalid(
                "dispute_past_due",
                "",
                "The time to respond to this dispute is over (evidence_details.due_by).",
            ),
        }
    }
}
