//! A case, step by step. Each step is one unit: the case as it then is, its journals, the entry on its timeline, the timers it
//! begins and ends, the event and the stored answer.
//!
//! A refund that carries out a decision is durable with the step, in the same unit; then the acquirer is called, with no
//! transaction open, by the same code that makes every other refund. Whoever finds a row moved meanwhile reads again and asks
//! the transition function again. It must never change a status except through `state::apply`, nor call an acquirer
//! before the commit.

use super::rows::*;
use super::state::{self, Fact, Rejection, Step};
use super::store;
use super::table::{self, Act, Timer};
use super::words::*;
use super::write::{Started, write};
use crate::api::error::ApiError;
use crate::call::{Answer, Call};
use crate::commit::Refused;
use crate::payment::flow::{self, claim};
use crate::payment::refund;
use crate::payment::rows::Payment;
use crate::payment::state::refundable;
use crate::{account, id, payment, wire};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) const RETRIES: usize = 40;
/// Cases of one customer within this time are looked at together.
const FLAGGED_WITHIN: SignedDuration = SignedDuration::from_hours(24 * 90);
const FLAGGED_CASES: i64 = 5;
const FLAGGED_REFUND_ONLY: i64 = 3;

/// Who acts.
#[derive(Clone, Debug, PartialEq)]
pub struct Actor {
    /// for whom
    pub party: Party,
    /// a person or a key; none is the service itself
    pub who: Option<String>,
}

impl Actor {
    /// Time.
    pub fn system() -> Self {
        Self {
            party: Party::System,
            who: None,
        }
    }
}

/// What somebody complains of.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct NewCase {
    pub payment_id: String,
    pub r#type: CaseType,
    /// everything that can be refunded when absent
    pub amount: Option<i64>,
    pub reason: String,
    pub channel: Channel,
    pub item: Option<String>,
    pub consumer: Option<String>,
    pub filed_by: String,
    pub metadata: BTreeMap<String, String>,
}

/// Takes a complaint in. It is taken up at once, with the merchant's money frozen, unless the rules say that it is too late, it
/// repeats an open case, or a chargeback is open.
pub async fn create(call: &Call, new: NewCase, actor: &Actor) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let (case, payment) = begin(call, &new).await?;
        let mut steps = vec![Step::first(case)];
        let chargeback = {
            let client = call.app.reads.get().await?;
            store::open_chargeback(&**client, call.book_id(), &payment.id).await?
        };
        let first = &steps[0].case;
        let fact = match chargeback {
            Some(dispute_id) => Some(Fact::ChargebackOpened { dispute_id }),
            None if first.duplicate_of.is_some() => None, // an officer looks first
            None => match too_late(call, first, &payment) {
                Some(reason) => Some(Fact::NotAccept { reason, by: None }),
                None => Some(Fact::Accept),
            },
        };
        if let Some(fact) = fact {
            let next = state::apply(first, &fact, refundable(&payment), call.at)?;
            steps.push(next);
        }
        let body =
            json!({ "reason": new.reason, "channel": new.channel, "type": new.r#type, "amount": first_amount(&steps) });
        let written = write(call, steps, true, Some(payment), None, actor, body).await?;
        let answer = Answer::ok(&written.object);
        let unit = claim(call, written.unit, &written.case.id, Some(&answer));
        match call.app.commit(unit).await {
            Ok(()) => return Ok(answer),
            Err(Refused::Conflict { .. } | Refused::Ledger(_)) => continue,
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(Refused::conflict().into())
}

fn first_amount(steps: &[Step]) -> i64 {
    steps.first().map_or(0, |step| step.case.amount)
}

/// The case as it is submitted, with the payment that it is about.
async fn begin(call: &Call, new: &NewCase) -> Result<(Case, Payment), ApiError> {
    let payment = flow::load(call, &new.payment_id).await.map_err(|mut error| {
        error.param = error.param.map(|_| "payment_intent".to_owned());
        error
    })?;
    let Some(charge_id) = payment.charge_id.clone().filter(|_| payment.amount_received > 0) else {
        return Err(ApiError::invalid(
            "payment_intent_unexpected_state",
            "payment_intent",
            format!(
                "A case is about money that was taken; the payment {} is `{}` and nothing of it was.",
                payment.id,
                payment.status.as_str()
            ),
        ));
    };
    let room = refundable(&payment);
    let amount = new
        .amount
        .unwrap_or(if room > 0 { room } else { payment.amount_received });
    crate::app::whole_units(amount, &payment.currency)?;
    if amount > payment.amount_received {
        return Err(ApiError::invalid(
            "amount_too_large",
            "amount",
            format!(
                "The payment took {}: a case asks for at most that. Compensation beyond the price is for the decision.",
                wire::amount(payment.amount_received, &payment.currency)
            ),
        ));
    }
    if let Some(item) = &new.item
        && !names(&payment, item)
    {
        return Err(ApiError::invalid(
            "parameter_invalid_value",
            "item",
            "The payment has no line item with this product code or name.",
        ));
    }
    let client = call.app.reads.get().await?;
    let open = store::open_of_payment(&**client, call.book_id(), &payment.id).await?;
    let same = open
        .iter()
        .find(|case| case.r#type == new.r#type && case.duplicate_of.is_none());
    let flags = match &payment.customer_id {
        Some(customer) => {
            let since = call.at.checked_sub(FLAGGED_WITHIN).unwrap_or(call.at);
            flags(store::of_customer(&**client, call.book_id(), customer, since).await?)
        }
        None => Vec::new(),
    };
    let in_force = call
        .merchant
        .in_force(account::terms::Kind::CaseRules, payment.created_at);
    let rules = in_force
        .and_then(|terms| terms.content.case_rules.clone())
        .unwrap_or_default();
    let policy = payment
        .details
        .disclosure
        .as_ref()
        .and_then(|told| told.return_policy.as_ref());
    let case = Case {
        book_id: call.book_id(),
        id: id::new(id::prefix::CASE),
        version: 1,
        status: Status::Submitted,
        r#type: new.r#type,
        channel: new.channel,
        payment_id: payment.id.clone(),
        charge_id,
        customer_id: payment.customer_id.clone(),
        amount,
        currency: payment.currency.clone(),
        reason: new.reason.clone(),
        held_pending: 0,
        held_available: 0,
        held_receivable: 0,
        owner: None,
        duplicate_of: same.map(|case| case.id.clone()),
        verify_due: None,
        verified_at: None,
        decided_at: None,
        closed_at: None,
        outcome: None,
        appealed: false,
        refund_id: None,
        refund_progress: None,
        refund_due: 0,
        compensation_due: 0,
        recourse_due: 0,
        external_ref: None,
        frozen: false,
        seal: None,
        created_at: call.at,
        details: CaseDetails {
            paid: payment.amount_received,
            rules,
            rules_id: in_force.map(|terms| terms.id.clone()),
            return_policy_version: policy.map(|policy| policy.version),
            item: new.item.clone(),
            consumer: new.consumer.clone(),
            filed_by: new.filed_by.clone(),
            metadata: new.metadata.clone(),
            flags,
            ..CaseDetails::default()
        },
    };
    Ok((case, payment))
}

/// What looks like abuse is noted for people and blocks nothing.
fn flags((cases, refund_only): (i64, i64)) -> Vec<Flag> {
    let flag = |kind: &str, count: i64, from: i64| {
        (count >= from).then(|| Flag {
            kind: kind.to_owned(),
            basis: json!({ "cases": count, "days": FLAGGED_WITHIN.as_hours() / 24, "flagged_from": from }),
        })
    };
    [
        flag("repeated_cases", cases, FLAGGED_CASES),
        flag("repeated_refund_only", refund_only, FLAGGED_REFUND_ONLY),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn names(payment: &Payment, item: &str) -> bool {
    line_items(payment).any(|line| line["product_code"] == item || line["name"] == item)
}

fn line_items(payment: &Payment) -> impl Iterator<Item = &Value> {
    payment
        .line_items
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Why it is too late to complain: the promise for the thing has ended, or the payment is too old.
fn too_late(call: &Call, case: &Case, payment: &Payment) -> Option<String> {
    let ended = line_items(payment)
        .filter(|line| {
            case.details
                .item
                .as_deref()
                .is_none_or(|item| line["product_code"] == item || line["name"] == item)
        })
        .map(|line| line["promise_end"].as_i64())
        .collect::<Option<Vec<_>>>()
        .and_then(|ends| ends.into_iter().max())
        .filter(|end| *end < call.at.as_second());
    if let Some(end) = ended.and_then(|end| jiff::Timestamp::from_second(end).ok()) {
        return Some(format!(
            "The promise for what was bought ended on {}.",
            end.strftime("%Y-%m-%d")
        ));
    }
    let days = case.details.rules.eligible_days;
    let age = call.at.duration_since(payment.created_at);
    (age > SignedDuration::from_hours(24 * days)).then(|| format!("The payment is more than {days} days old."))
}

impl Step {
    fn first(case: Case) -> Self {
        let edge = table::edge(None, Act::Submit);
        let quality = case.r#type == CaseType::Quality;
        let of_others = |timer: &Timer| quality || *timer == Timer::Acknowledge;
        Self {
            timers: edge.map_or(Vec::new(), |edge| {
                edge.timers.iter().copied().filter(of_others).collect()
            }),
            case,
            movements: Vec::new(),
            edge,
        }
    }
}

/// Something happens to a case; `body` is what its timeline says of it.
pub async fn act(call: &Call, case_id: &str, actor: &Actor, fact: &Fact, body: Value) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let case = load(call, case_id).await?;
        check(call, &case, fact).await?;
        // The charge first: if a refund comes in between, the payment is the newer one and the charge's version refuses the unit.
        let (charge, payment) = match needs_room(fact) {
            true => (
                Some(flow::load_charge(call, &case.charge_id).await?),
                Some(flow::load(call, &case.payment_id).await?),
            ),
            false => (None, None),
        };
        let room = payment.as_ref().map_or(0, refundable);
        let stepped = match state::apply(&case, fact, room, call.app.clock.now()) {
            Ok(step) => write(call, vec![step], false, payment, charge, actor, body.clone()).await,
            Err(rejection) => Err(rejection.into()),
        };
        let written = match stepped {
            Ok(written) => written,
            // Rows are read one after the other: what does not fit may be older than the rest.
            Err(_) if load(call, case_id).await?.version != case.version => continue,
            Err(error) => return Err(error),
        };
        let answer = Answer::ok(&written.object);
        match call.app.commit(claim(call, written.unit, case_id, Some(&answer))).await {
            Ok(()) => {
                call.mark_claimed();
                if let Some(started) = written.refund {
                    refund_at_acquirer(call, started).await;
                }
                return Ok(answer);
            }
            // Another request moved the rows, or took the balance this one counted on: look again.
            Err(Refused::Conflict { .. } | Refused::Ledger(_)) => continue,
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(Refused::conflict().into())
}

/// A decision rests on what is on the timeline.
async fn check(call: &Call, case: &Case, fact: &Fact) -> Result<(), ApiError> {
    let decision = match fact {
        Fact::Decide(decision) | Fact::AppealDecided(Some(decision), _) => decision,
        _ => return Ok(()),
    };
    let client = call.app.reads.get().await?;
    let entries = store::entries(&**client, case.book_id, &[&case.id]).await?;
    let unknown = decision
        .evidence
        .iter()
        .find(|cited| !entries.iter().any(|entry| entry.id == **cited));
    match unknown {
        None => Ok(()),
        Some(cited) => Err(ApiError::not_found("entry of this case", cited, "evidence")),
    }
}

/// Whether what can be refunded matters for it.
fn needs_room(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Accept
            | Fact::OfferAccepted { .. }
            | Fact::Decide(_)
            | Fact::Execute { .. }
            | Fact::ExchangeLapsed
            | Fact::Appeal { .. }
            | Fact::AppealDecided(..)
    )
}

/// The refund's own steps do the rest, here or, if this process dies, in the sweep.
async fn refund_at_acquirer(call: &Call, started: Started) {
    let background = Call::background(call.app.clone(), call.merchant.clone());
    let refund_id = started.refund.id.clone();
    let sent = refund::send(&background, started.payment, started.charge, started.refund).await;
    if let Err(error) = sent {
        tracing::warn!(
            refund = refund_id,
            error = error.message,
            "the sweep goes on with this refund"
        );
    }
}

/// This merchant's case.
pub async fn load(call: &Call, case_id: &str) -> Result<Case, ApiError> {
    let found = if id::is_valid(id::prefix::CASE, case_id) {
        let client = call.app.reads.get().await?;
        payment::store::get(&**client, call.book_id(), case_id).await?
    } else {
        None
    };
    found.ok_or_else(|| ApiError::not_found("case", case_id, "case"))
}

/// Cases as the wire shows them, in their order.
pub async fn rendered(call: &Call, cases: Vec<Case>) -> Result<Vec<Value>, ApiError> {
    let client = call.app.reads.get().await?;
    let whole = store::with_all(&**client, call.book_id(), cases).await?;
    Ok(whole.iter().map(wire::case).collect())
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        let text = rejection.to_string();
        let mut letters = text.chars();
        let text: String = letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect())
            .unwrap_or_default();
        let (status, code, param) = match &rejection {
            Rejection::UnexpectedState { .. } => (409, "case_unexpected_state", ""),
            Rejection::AppealedBefore => (409, "case_appealed_before", ""),
            Rejection::Frozen => (409, "case_frozen", ""),
            Rejection::StillOwed => (409, "case_not_paid", ""),
            Rejection::NothingOwed => (409, "case_nothing_owed", ""),
            Rejection::NotExecutable(_) => (409, "case_not_executable", ""),
            Rejection::SamePerson { .. } => (403, "second_person_required", "officer"),
            Rejection::ApproverMissing => (400, "second_person_required", "approver"),
            Rejection::BasisMissing => (400, "parameter_missing", "basis"),
            Rejection::NoSuchOffer => (404, "resource_missing", "offer"),
            Rejection::NotPositive => (400, "parameter_missing", "amount"),
            Rejection::NoSuchAmount { what, .. } => (400, "parameter_invalid_value", *what),
            Rejection::TooMuch { .. } => (400, "amount_too_large", "amount"),
            Rejection::BeyondRules { .. } => (400, "amount_beyond_rules", "compensation"),
        };
        let mut error = ApiError::invalid(code, param, format!("{text}."));
        error.status = status;
        error
    }
}
