//! `/v1/cases`: a consumer complains about a payment, both sides are heard, the platform decides. Ours.
//!
//! A merchant's key speaks for the merchant alone: it takes complaints in, answers, offers and appeals. What consumers do, and what
//! the platform decides, comes with a platform's key. Whoever acts for several people with one key names the person in
//! `officer`; without it the key itself is the person.

use super::error::{ApiError, shown};
use super::input::{DisputesRead, DisputesWrite, In, PlatformDisputesWrite, Reply, Right};
use super::list;
use super::params::Params;
use crate::call::{Answer, Call};
use crate::case::archive;
use crate::case::flow::{self, Actor, NewCase};
use crate::case::rows::{Case, Decision, Verification};
use crate::case::say::{self, Saying};
use crate::case::state::{Fact, Upheld};
use crate::case::store;
use crate::case::words::*;
use crate::payment::flow::merge_metadata;
use crate::{id, wire};
use axum::extract::Path;
use serde_json::json;
use std::collections::BTreeMap;

/// A reason, a message, a statement of facts: in characters.
const TEXT_MAX: usize = 5_000;
const NAME_MAX: usize = 100;

pub(super) async fn create(mut input: In<DisputesWrite>) -> Reply {
    let mut params = input.take();
    let payment_id = params.required_text("payment_intent")?;
    let r#type = params
        .choice("type", CaseType::WORDS)?
        .ok_or_else(|| ApiError::missing("type"))?;
    let amount = params.amount("amount")?;
    let reason = needed(&mut params, "reason")?;
    let channel = params.choice("channel", Channel::WORDS)?;
    let item = params.text("item")?;
    let consumer = name(&mut params, "consumer")?;
    let mut metadata = BTreeMap::new();
    if let Some(change) = params.metadata("metadata")? {
        merge_metadata(&mut metadata, change);
    }
    params.finish()?;
    let new = NewCase {
        payment_id,
        r#type: CaseType::parse(&r#type).unwrap_or(CaseType::Other),
        amount,
        reason,
        channel: channel.as_deref().and_then(Channel::parse).unwrap_or(Channel::InApp),
        item,
        consumer,
        filed_by: input.key_id.to_string(),
        metadata,
    };
    let actor = Actor {
        party: Party::Consumer,
        who: new.consumer.clone(),
    };
    input
        .run(|call| async move { flow::create(call, new, &actor).await })
        .await
}

pub(super) async fn index(mut input: In<DisputesRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    list::created(&mut params, &mut filters)?;
    if let Some(payment) = params.text("payment_intent")? {
        filters.push(list::equals("payment_id = ?", payment));
    }
    if let Some(customer) = params.text("customer")? {
        filters.push(list::equals("customer_id = ?", customer));
    }
    if let Some(status) = params.choice("status", Status::WORDS)? {
        filters.push(list::equals("status = ?", status));
    }
    if let Some(r#type) = params.choice("type", CaseType::WORDS)? {
        filters.push(list::equals("type = ?", r#type));
    }
    if let Some(outcome) = params.choice("outcome", Outcome::WORDS)? {
        filters.push(list::equals("outcome = ?", outcome));
    }
    if let Some(owner) = params.text("owner")? {
        filters.push(list::equals("owner = ?", owner));
    }
    if let Some(reference) = params.text("external_ref")? {
        filters.push(list::equals("external_ref = ?", reference));
    }
    if let Some(words) = params.text("query")? {
        filters.push(list::equals(
            "to_tsvector('simple', reason || ' ' || coalesce(details -> 'decision' ->> 'reasons', '')) @@ plainto_tsquery('simple', ?)",
            words,
        ));
    }
    params.finish()?;
    let call = &input.call;
    let (cases, has_more) = list::rows::<Case>(call, &page, &filters).await?;
    let data = flow::rendered(call, cases).await?;
    list::of(call, "/v1/cases", data, has_more).await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<DisputesRead>) -> Reply {
    input.take().finish()?;
    shown_now(&input.call, &id).await
}

pub(super) async fn bundle(Path(id): Path<String>, mut input: In<DisputesRead>) -> Reply {
    input.take().finish()?;
    Ok(Answer::ok(&archive::bundle(&input.call, &id).await?.object))
}

pub(super) async fn messages(Path(id): Path<String>, mut input: In<DisputesWrite>) -> Reply {
    let mut params = input.take();
    flow::load(&input.call, &id).await?;
    let actor = speaker(&input, &mut params)?;
    let text = needed(&mut params, "text")?;
    params.finish()?;
    let saying = Saying::Message { text };
    input
        .run(|call| async move { say::say(call, &id, &actor, &saying).await })
        .await
}

pub(super) async fn evidence(Path(id): Path<String>, mut input: In<DisputesWrite>) -> Reply {
    let mut params = input.take();
    flow::load(&input.call, &id).await?;
    let actor = speaker(&input, &mut params)?;
    let text = words(&mut params, "text")?;
    let file = params.text("file")?;
    let digest = params.text("sha256")?.map(|digest| digest.to_ascii_lowercase());
    let description = words(&mut params, "description")?;
    params.finish()?;
    if text.is_none() && file.is_none() {
        return Err(ApiError::missing("text"));
    }
    if file.as_deref().is_some_and(|file| !id::is_valid("file", file)) {
        return Err(ApiError::invalid(
            "parameter_invalid_value",
            "file",
            "This is the id of an uploaded file (file_..).",
        ));
    }
    if digest
        .as_deref()
        .is_some_and(|d| d.len() != 64 || !d.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        return Err(ApiError::invalid(
            "parameter_invalid_string",
            "sha256",
            "The SHA-256 of the piece of evidence, 64 hexadecimal digits.",
        ));
    }
    let saying = Saying::Evidence {
        text,
        file,
        digest,
        description,
    };
    input
        .run(|call| async move { say::say(call, &id, &actor, &saying).await })
        .await
}

pub(super) async fn offers(Path(id): Path<String>, mut input: In<DisputesWrite>) -> Reply {
    let mut params = input.take();
    flow::load(&input.call, &id).await?;
    let actor = Actor {
        party: Party::Merchant,
        who: Some(person(&input, &mut params, "officer")?),
    };
    let remedy = remedy(&mut params)?;
    let amount = params.amount("amount")?;
    let note = words(&mut params, "note")?;
    params.finish()?;
    if !remedy.refunds() && !remedy.ships() || remedy == Remedy::PlatformAdvance {
        return Err(ApiError::invalid(
            "parameter_invalid_value",
            "remedy",
            "A merchant offers a refund, or other goods.",
        ));
    }
    if remedy.ships() && amount.is_some() {
        return Err(ApiError::invalid(
            "parameter_invalid_value",
            "amount",
            "Goods have no amount: offer a part of the price as refund_partial.",
        ));
    }
    let case = flow::load(&input.call, &id).await?;
    let amount = match remedy.refunds() {
        true => amount.unwrap_or(case.amount),
        false => 0,
    };
    let saying = Saying::Offer { remedy, amount, note };
    input
        .run(|call| async move { say::say(call, &id, &actor, &saying).await })
        .await
}

pub(super) async fn contest(Path(id): Path<String>, mut input: In<DisputesWrite>) -> Reply {
    let mut params = input.take();
    flow::load(&input.call, &id).await?;
    let actor = Actor {
        party: Party::Merchant,
        who: Some(person(&input, &mut params, "officer")?),
    };
    let reason = needed(&mut params, "reason")?;
    params.finish()?;
    let body = json!({ "reason": reason });
    input
        .run(|call| async move { flow::act(call, &id, &actor, &Fact::Contest, body).await })
        .await
}

pub(super) async fn accept_offer(Path(id): Path<String>, mut input: In<PlatformDisputesWrite>) -> Reply {
    let mut params = input.take();
    let offer_id = params.required_text("offer")?;
    params.finish()?;
    let actor = consumer(&input.call, &id).await?;
    let by = actor.who.clone().unwrap_or_else(|| Party::Consumer.as_str().to_owned());
    let body = json!({ "offer": shown(&offer_id) });
    let fact = Fact::OfferAccepted { offer_id, by };
    input
        .run(|call| async move { flow::act(call, &id, &actor, &fact, body).await })
        .await
}

pub(super) async fn withdraw(Path(id): Path<String>, mut input: In<PlatformDisputesWrite>) -> Reply {
    let mut params = input.take();
    let reason = words(&mut params, "reason")?;
    params.finish()?;
    let actor = consumer(&input.call, &id).await?;
    let body = json!({ "reason": reason });
    input
        .run(|call| async move { flow::act(call, &id, &actor, &Fact::Withdraw, body).await })
        .await
}

pub(super) async fn rate(Path(id): Path<String>, mut input: In<PlatformDisputesWrite>) -> Reply {
    let mut params = input.take();
    let score = params.integer("score")?.ok_or_else(|| ApiError::missing("score"))?;
    let comment = words(&mut params, "comment")?;
    params.finish()?;
    if !(1..=5).contains(&score) {
        return Err(ApiError::invalid(
            "parameter_invalid_integer",
            "score",
            "A rating is from 1 to 5.",
        ));
    }
    let actor = consumer(&input.call, &id).await?;
    let saying = Saying::Rate { score, comment };
    input
        .run(|call| async move { say::say(call, &id, &actor, &saying).await })
        .await
}

pub(super) async fn assign(Path(id): Path<String>, mut input: In<PlatformDisputesWrite>) -> Reply {
    let mut params = input.take();
    let owner = name(&mut params, "owner")?.ok_or_else(|| ApiError::missing("owner"))?;
    let actor = officer(&input, &mut params)?;
    params.finish()?;
    let saying = Saying::Assign { owner };
    input
        .run(|call| async move { say::say(call, &id, &actor, &saying).await })
        .await
}

pub(super) async fn accept(Path(id): Path<String>, mut input: In<PlatformDisputesWrite>) -> Reply {
    let mut params = input.take();
    let actor = officer(&input, &mut params)?;
    params.finish()?;
    input
        .run(|call| async move { flow::act(call, &id, &actor, &Fact::Accept, json!({})).await })
        .await
}

pub(super) async fn not_accept(Path(id): Path<String>, mut input: In<PlatformDisputesWrite>) -> Reply {
    let mut params = input.take();
    let actor = officer(&input, &mut params)?;
    let reason = needed(&mut params, "reason")?;
    params.finish()?;
    let body = json!({ "reason": reason });
    let by = actor.who.clone();
    let fact = Fact::NotAccept { reason, by };
    input
        .run(|call| async move { flow::act(call, &id, &actor, &fact, body).await })
        .await
}

pub(super) async fn verify(Path(id): Path<String>, mut input: In<PlatformDisputesWrite>) -> Reply {
    let mut params = input.take();
    let actor = officer(&input, &mut params)?;
    let finding = params
        .choice("finding", Finding::WORDS)?
        .ok_or_else(|| ApiError::missing("finding"))?;
    let facts = needed(&mut params, "facts")?;
    params.finish()?;
    let body = json!({ "facts": facts, "finding": finding });
    let fact = Fact::Verified(Verification {
        finding: Finding::parse(&finding).unwrap_or(Finding::Inconclusive),
        facts,
        by: actor.who.clone().unwrap_or_default(),
        at: input.call.at,
    });
    input
        .run(|call| async move { flow::act(call, &id, &actor, &fact, body).await })
        .await
}

pub(super) async fn decision(Path(id): Path<String>, mut input: In<PlatformDisputesWrite>) -> Reply {
    let mut params = input.take();
    let actor = officer(&input, &mut params)?;
    let remedy = remedy(&mut params)?;
    let decision = decided(&input, &mut params, &actor, remedy)?;
    params.finish()?;
    let body = json!({ "remedy": decision.remedy, "reasons": decision.reasons, "evidence": decision.evidence });
    let fact = Fact::Decide(decision);
    input
        .run(|call| async move { flow::act(call, &id, &actor, &fact, body).await })
        .await
}

pub(super) async fn execute(Path(id): Path<String>, mut input: In<DisputesWrite>) -> Reply {
    let mut params = input.take();
    let actor = speaker(&input, &mut params)?;
    let goods_received = params.boolean("goods_received")?.unwrap_or(false);
    params.finish()?;
    let body = json!({ "goods_received": goods_received });
    let fact = Fact::Execute { goods_received };
    input
        .run(|call| async move { flow::act(call, &id, &actor, &fact, body).await })
        .await
}

pub(super) async fn shipped(Path(id): Path<String>, mut input: In<PlatformDisputesWrite>) -> Reply {
    let mut params = input.take();
    let actor = officer(&input, &mut params)?;
    let shipment = needed(&mut params, "shipment")?;
    params.finish()?;
    let body = json!({ "shipment": shipment });
    let fact = Fact::Shipped { shipment };
    input
        .run(|call| async move { flow::act(call, &id, &actor, &fact, body).await })
        .await
}

pub(super) async fn paid(Path(id): Path<String>, mut input: In<PlatformDisputesWrite>) -> Reply {
    let mut params = input.take();
    let actor = officer(&input, &mut params)?;
    let reference = name(&mut params, "bank_reference")?.ok_or_else(|| ApiError::missing("bank_reference"))?;
    params.finish()?;
    let body = json!({ "bank_reference": reference });
    input
        .run(|call| async move { flow::act(call, &id, &actor, &Fact::Paid, body).await })
        .await
}

pub(super) async fn appeal(Path(id): Path<String>, mut input: In<DisputesWrite>) -> Reply {
    let mut params = input.take();
    flow::load(&input.call, &id).await?;
    let by = params.choice("by", &["consumer", "merchant"])?;
    let by = by.as_deref().and_then(Party::parse).unwrap_or(match input.platform {
        true => Party::Consumer,
        false => Party::Merchant,
    });
    let reason = needed(&mut params, "reason")?;
    params.finish()?;
    let actor = match by {
        Party::Consumer => {
            speaks_for_others(&input, "by")?;
            consumer(&input.call, &id).await?
        }
        _ => Actor {
            party: by,
            who: Some(input.key_id.to_string()),
        },
    };
    let body = json!({ "by": by, "reason": reason });
    let fact = Fact::Appeal { by, reason };
    input
        .run(|call| async move { flow::act(call, &id, &actor, &fact, body).await })
        .await
}

pub(super) async fn appeal_decision(Path(id): Path<String>, mut input: In<PlatformDisputesWrite>) -> Reply {
    let mut params = input.take();
    let actor = officer(&input, &mut params)?;
    let result = params
        .choice("result", &["uphold", "change"])?
        .ok_or_else(|| ApiError::missing("result"))?;
    let changed = match result.as_str() {
        "change" => {
            let remedy = remedy(&mut params)?;
            Some(decided(&input, &mut params, &actor, remedy)?)
        }
        _ => None,
    };
    let reasons = match &changed {
        Some(decision) => decision.reasons.clone(),
        None => needed(&mut params, "reasons")?,
    };
    params.finish()?;
    let body =
        json!({ "result": result, "reasons": reasons, "remedy": changed.as_ref().map(|decision| decision.remedy) });
    let upheld = Upheld {
        officer: actor.who.clone().unwrap_or_default(),
        reasons,
    };
    let fact = Fact::AppealDecided(changed, upheld);
    input
        .run(|call| async move { flow::act(call, &id, &actor, &fact, body).await })
        .await
}

pub(super) async fn regulator(Path(id): Path<String>, mut input: In<PlatformDisputesWrite>) -> Reply {
    let mut params = input.take();
    let actor = officer(&input, &mut params)?;
    let external_ref = name(&mut params, "external_ref")?;
    let ended = params.boolean("ended")?.unwrap_or(false);
    params.finish()?;
    let (fact, body) = match (external_ref, ended) {
        (None, true) => (Fact::RegulatorClosed, json!({})),
        (Some(external_ref), false) => {
            let body = json!({ "external_ref": external_ref });
            (Fact::RegulatorRequest { external_ref }, body)
        }
        (None, false) => return Err(ApiError::missing("external_ref")),
        (Some(_), true) => {
            return Err(ApiError::invalid(
                "parameter_conflict",
                "ended",
                "Give a reference when a regulator asks, or `ended` when that is over.",
            ));
        }
    };
    input
        .run(|call| async move { flow::act(call, &id, &actor, &fact, body).await })
        .await
}

/// Remedy apart, what a decision says.
fn decided<R: Right>(input: &In<R>, params: &mut Params, actor: &Actor, remedy: Remedy) -> Result<Decision, ApiError> {
    let refund = params.amount("amount")?.unwrap_or(0);
    let compensation = params.amount("compensation")?.unwrap_or(0);
    let borne_by = params.choice("borne_by", &["merchant", "platform", "advance"])?;
    let reasons = needed(params, "reasons")?;
    let evidence = params.texts("evidence")?.unwrap_or_default();
    if evidence.is_empty() {
        let mut error = ApiError::missing("evidence");
        error
            .message
            .push_str(" A decision cites what it rests on: ids of entries of the timeline.");
        return Err(error);
    }
    if let Some(wrong) = evidence.iter().find(|cited| !say::is_entry(cited)) {
        return Err(ApiError::not_found("entry of this case", wrong, "evidence"));
    }
    Ok(Decision {
        remedy,
        refund,
        compensation,
        borne_by: borne_by.as_deref().and_then(Bearer::parse).unwrap_or(Bearer::Merchant),
        reasons,
        evidence,
        basis: words(params, "basis")?,
        officer: actor.who.clone().unwrap_or_default(),
        approver: name(params, "approver")?,
        at: input.call.at,
        goods_received: false,
        shipment: None,
    })
}

fn remedy(params: &mut Params) -> Result<Remedy, ApiError> {
    let remedy = params.choice("remedy", Remedy::WORDS)?;
    let remedy = remedy.as_deref().and_then(Remedy::parse);
    remedy.ok_or_else(|| ApiError::missing("remedy"))
}

/// The person of a platform's key.
fn officer<R: Right>(input: &In<R>, params: &mut Params) -> Result<Actor, ApiError> {
    Ok(Actor {
        party: Party::Platform,
        who: Some(person(input, params, "officer")?),
    })
}

fn person<R: Right>(input: &In<R>, params: &mut Params, param: &str) -> Result<String, ApiError> {
    Ok(name(params, param)?.unwrap_or_else(|| input.key_id.to_string()))
}

/// A party that says something: a merchant's key speaks for the merchant alone.
fn speaker<R: Right>(input: &In<R>, params: &mut Params) -> Result<Actor, ApiError> {
    let by = params.choice("by", &["consumer", "merchant", "platform"])?;
    let party = by.as_deref().and_then(Party::parse);
    let party = party.unwrap_or(if input.platform {
        Party::Platform
    } else {
        Party::Merchant
    });
    if party != Party::Merchant {
        speaks_for_others(input, "by")?;
    }
    Ok(Actor {
        party,
        who: Some(person(input, params, "officer")?),
    })
}

fn speaks_for_others<R: Right>(input: &In<R>, param: &str) -> Result<(), ApiError> {
    if input.platform {
        return Ok(());
    }
    let mut error = ApiError::forbidden(
        "platform_key_required",
        "A merchant's key speaks for the merchant. What a consumer or the platform says comes with a key of the platform.",
    );
    error.param = Some(param.to_owned());
    Err(error)
}

/// The consumer of a case, by the platform's own reference.
async fn consumer(call: &Call, case_id: &str) -> Result<Actor, ApiError> {
    let case = flow::load(call, case_id).await?;
    Ok(Actor {
        party: Party::Consumer,
        who: case.details.consumer,
    })
}

async fn shown_now(call: &Call, case_id: &str) -> Reply {
    let found = if id::is_valid(id::prefix::CASE, case_id) {
        let client = call.app.reads.get().await?;
        store::whole(&**client, call.book_id(), case_id).await?
    } else {
        None
    };
    let whole = found.ok_or_else(|| ApiError::not_found("case", case_id, "case"))?;
    let mut object = wire::case(&whole);
    super::expand::expand(call, &mut object, &[]).await?;
    Ok(Answer::ok(&object))
}

fn needed(params: &mut Params, name: &str) -> Result<String, ApiError> {
    words(params, name)?.ok_or_else(|| ApiError::missing(&params.param(name)))
}

fn words(params: &mut Params, name: &str) -> Result<Option<String>, ApiError> {
    up_to(params, name, TEXT_MAX)
}

fn name(params: &mut Params, param: &str) -> Result<Option<String>, ApiError> {
    up_to(params, param, NAME_MAX)
}

fn up_to(params: &mut Params, name: &str, most: usize) -> Result<Option<String>, ApiError> {
    // a character has at most four bytes
    let text = params.long_text(name, 4 * most)?.map(|text| text.trim().to_owned());
    match text {
        Some(text) if text.chars().count() > most => Err(ApiError::invalid(
            "parameter_invalid_string",
            params.param(name),
            format!("At most {most} characters."),
        )),
        text => Ok(text.filter(|text| !text.is_empty())),
    }
}
