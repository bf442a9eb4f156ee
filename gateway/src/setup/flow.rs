//! One setup intent, step by step: create, confirm, cancel, and what came of an attempt.
//!
//! As with a payment, the intent to call is durable before the acquirer is called, and commit B writes transition, card,
//! events and the stored answer together. An approval is released after commit B; until the acquirer has said so,
//! `check_at` keeps the sweep at it. It must never capture.

use super::state::{Fact, SetupDetails, SetupIntent, SetupStatus, apply};
use crate::api::error::ApiError;
use crate::app::App;
use crate::call::{Answer, Call, at_acquirer};
use crate::commit::{Digest, Refused, Request, Unit};
use crate::connector::{
    Action, Approval, Authorize, Challenge, Decline, Failure, Found, Inquiry, Method, Mismatch, NextAction, Wishes,
};
use crate::payment::flow::{Asker, claim};
use crate::payment::instrument::{Instrument, Source};
use crate::payment::rows::PaymentMethod;
use crate::payment::{store, sweep};
use crate::risk::Signals;
use crate::routing::rules::Query;
use crate::{id, risk, wire};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::sync::Arc;

const RETRIES: usize = 20;
/// A challenge that nobody has answered by then is taken back.
const OPEN_FOR: SignedDuration = SignedDuration::from_hours(24);

/// What a caller wants set up.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct NewSetup {
    pub usage: String,
    pub customer_id: Option<String>,
    pub source: Option<Source>,
    pub confirm: bool,
    pub details: SetupDetails,
    pub signals: Signals,
}

/// Creates a setup intent and, when asked, confirms it in the same request.
pub async fn create(call: &Call, new: NewSetup) -> Result<Answer, ApiError> {
    call.merchant.may_charge()?;
    let instrument = match &new.source {
        Some(source) => Some(Instrument::resolve(call, source, new.customer_id.as_deref()).await?),
        None => None,
    };
    let setup = SetupIntent {
        book_id: call.book_id(),
        id: id::new(id::prefix::SETUP),
        version: 1,
        status: match instrument {
            Some(_) => SetupStatus::RequiresConfirmation,
            None => SetupStatus::RequiresPaymentMethod,
        },
        usage: new.usage,
        customer_id: new.customer_id,
        payment_method_id: instrument.as_ref().map(|i| i.method.id.clone()),
        attempts: 0,
        connector: None,
        acquirer_id: None,
        request_key: None,
        swept: 0,
        check_at: None,
        created_at: call.at,
        details: new.details,
    };
    let unit = Unit::new(call.book_id()).insert(&call.event("setup_intent.created", &wire::setup_intent(&setup)));
    if new.confirm {
        let instrument = instrument.ok_or_else(missing_method)?;
        return attempt(call, setup, instrument, &new.signals, unit, true).await;
    }
    let unit = instrument
        .iter()
        .filter(|i| i.fresh)
        .fold(unit, |unit, i| unit.insert(&i.method));
    let answer = answer(call, &setup).await?;
    call.app
        .commit(claim(call, unit.insert(&setup), &setup.id, Some(&answer)))
        .await?;
    Ok(answer)
}

/// Confirms one. One that waits for its payer goes on waiting, unless another card is given.
pub async fn confirm(
    call: &Call,
    setup_id: &str,
    source: Option<Source>,
    signals: &Signals,
    describe: impl Fn(&mut SetupDetails),
) -> Result<Answer, ApiError> {
    call.merchant.may_charge()?;
    let mut setup = load(call, setup_id).await?;
    if setup.status == SetupStatus::RequiresAction {
        if source.is_none() {
            let setup = ask(call, setup).await?;
            let answer = answer(call, &setup).await?;
            let unit = claim(call, Unit::new(call.book_id()), &setup.id, Some(&answer));
            call.app.commit(unit).await?;
            return Ok(answer);
        }
        let background = Call::background(call.app.clone(), call.merchant.clone());
        take_back(&background, setup).await?;
        setup = load(call, setup_id).await?;
    }
    describe(&mut setup.details);
    let source = source.or_else(|| setup.payment_method_id.clone().map(Source::Id));
    let source = source.ok_or_else(missing_method)?;
    let instrument = Instrument::resolve(call, &source, setup.customer_id.as_deref()).await?;
    attempt(call, setup, instrument, signals, Unit::new(call.book_id()), false).await
}

/// Cancels one that has not succeeded; an open challenge is closed at the acquirer.
pub async fn cancel(call: &Call, setup_id: &str, reason: Option<String>) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let setup = load(call, setup_id).await?;
        let mut next = apply(&setup, &Fact::Canceled { reason: reason.clone() })?;
        if setup.status == SetupStatus::RequiresAction {
            next.check_at = Some(call.app.clock.now());
        }
        let unit = Unit::new(call.book_id()).update(&mut next);
        let unit = unit.insert(&call.event("setup_intent.canceled", &wire::setup_intent(&next)));
        let answer = answer(call, &next).await?;
        match call.app.commit(claim(call, unit, &next.id, Some(&answer))).await {
            Err(Refused::Conflict { .. }) => continue,
            Err(refused) => return Err(refused.into()),
            Ok(()) => {
                release(call, next).await;
                return Ok(answer);
            }
        }
    }
    Err(Refused::conflict().into())
}

/// Changes what describes one, and its card while nothing was attempted.
pub async fn update(
    call: &Call,
    setup_id: &str,
    customer_id: Option<String>,
    source: Option<Source>,
    describe: impl Fn(&mut SetupDetails),
) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let mut setup = load(call, setup_id).await?;
        let mut unit = Unit::new(call.book_id());
        if customer_id.is_some() || source.is_some() {
            let open = [SetupStatus::RequiresPaymentMethod, SetupStatus::RequiresConfirmation];
            if !open.contains(&setup.status) {
                return Err(super::state::Rejection(setup.status).into());
            }
        }
        setup.customer_id = customer_id.clone().or(setup.customer_id);
        if let Some(source) = &source {
            let instrument = Instrument::resolve(call, source, setup.customer_id.as_deref()).await?;
            setup.payment_method_id = Some(instrument.method.id.clone());
            setup.status = SetupStatus::RequiresConfirmation;
            if instrument.fresh {
                unit = unit.insert(&instrument.method);
            }
        }
        describe(&mut setup.details);
        let unit = unit.update(&mut setup);
        let answer = answer(call, &setup).await?;
        match call.app.commit(claim(call, unit, &setup.id, Some(&answer))).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// One as it is now; one that waits for its payer is asked about.
pub async fn retrieve(call: &Call, setup_id: &str) -> Result<Answer, ApiError> {
    let setup = ask(call, load(call, setup_id).await?).await?;
    answer(call, &setup).await
}

/// The payer's browser comes back: the outcome, and the merchant's address with it in the query.
pub async fn returned(call: &Call, setup_id: &str, token: &str) -> Result<(bool, Option<String>), ApiError> {
    let setup = load(call, setup_id).await?;
    if !crate::payment::flow::challenge::same(&setup.details.return_token, token) {
        return Err(ApiError::not_found("setup_intent", setup_id, "intent"));
    }
    let setup = ask(call, setup).await?;
    let outcome = match setup.status {
        SetupStatus::Succeeded => "succeeded",
        SetupStatus::RequiresAction | SetupStatus::Processing => "pending",
        _ => "failed",
    };
    let back = setup
        .details
        .return_url
        .as_deref()
        .and_then(|back| url::Url::parse(back).ok());
    let target = back.map(|mut target| {
        target
            .query_pairs_mut()
            .append_pair("setup_intent", &setup.id)
            .append_pair("setup_intent_client_secret", &client_secret(&setup))
            .append_pair("redirect_status", outcome);
        target.into()
    });
    Ok((setup.status == SetupStatus::Succeeded, target))
}

/// What the payer's own software may know it by.
pub fn client_secret(setup: &SetupIntent) -> String {
    format!("{}_secret_{}", setup.id, setup.details.client_secret)
}

/// A, call, B, release.
async fn attempt(
    call: &Call,
    setup: SetupIntent,
    instrument: Instrument,
    signals: &Signals,
    unit: Unit,
    new: bool,
) -> Result<Answer, ApiError> {
    let app = &call.app;
    let started = Fact::AttemptStarted {
        payment_method_id: instrument.method.id.clone(),
    };
    let mut setup = apply(&setup, &started)?;
    let (amount, currency) = proof(call)?;
    setup.details.context = signals.of_card(setup.customer_id.as_deref(), instrument.cvc.is_some());
    setup.details.attempted_at = Some(call.at);
    let query = Query {
        amount,
        currency: &currency,
        method: Method::Card.as_str(),
        brand: &instrument.method.card.brand,
        bin: &instrument.method.card.bin,
        merchant: &call.merchant.id,
    };
    setup.details.routing = app.routing.decide(&app.connectors, &setup.id, Method::Card, query)?;
    let connector = app.connector(&setup.details.routing.candidates[0])?;
    setup.connector = Some(connector.name().to_owned());
    setup.request_key = call.key.as_ref().map(|k| k.key);
    setup.swept = 0;
    setup.check_at = Some(call.at + app.sweep_after);
    let (card, context) = (&instrument.method.card, &setup.details.context);
    let facts = risk::facts(
        call.at,
        call.book_id(),
        amount,
        &currency,
        &card.fingerprint,
        &card.bin,
        context,
    );
    let verdict = app.scorer.assess(&facts, &app.policies.of(call.book_id()));
    let risk = risk::stored(&verdict);
    let unit = if instrument.fresh {
        unit.insert(&instrument.method)
    } else {
        unit
    };
    let source = instrument.card_source(call, connector.capabilities()).await?;
    let unit = if new {
        unit.insert(&setup)
    } else {
        unit.update(&mut setup)
    };
    app.commit(claim(call, unit, &setup.id, None)).await?;
    call.mark_claimed();
    // A card that the scorer would block as a payment is not kept either: this is where stolen numbers are tried.
    if verdict.decision == anomaly::Decision::Block {
        app.scorer.observe(&facts, anomaly::Outcome::Blocked);
        let blocked = Decline {
            code: "card_declined".into(),
            decline_code: Some("fraudulent".into()),
            message: "Your card was declined.".into(),
            acquirer_id: None,
            acquirer_reference: None,
        };
        return settle(call, setup, Err(Failure::Declined(blocked)), Asker::Caller).await;
    }
    let request = Authorize {
        reference: setup.reference(),
        amount,
        currency,
        card: source,
        capture: false,
        statement_descriptor: None,
        challenge: Challenge {
            wanted: match setup.details.request_three_d_secure.as_deref() {
                Some("challenge") => Some("challenge"),
                _ if risk.decision == "challenge" => Some("challenge"),
                Some("any") => Some("any"),
                _ => None,
            },
            return_url: match &app.settings.payers_base_url {
                Some(base) => Some(format!(
                    "{base}/return/{}/{}/{}",
                    call.merchant.id, setup.id, setup.details.return_token
                )),
                None => setup.details.return_url.clone(),
            },
            ..Challenge::default()
        },
        keep: setup.usage == "off_session",
        earlier_transaction: None,
        wishes: Wishes::default(),
    };
    let outcome = at_acquirer(connector.authorize(&request)).await;
    app.routing.health.record(connector.name(), &outcome);
    if !matches!(outcome, Err(Failure::ActionNeeded(_))) {
        app.scorer.observe(&facts, risk::outcome(&outcome));
    }
    settle(call, setup, outcome, Asker::Caller).await
}

/// Commit B, and the release of what was approved. Safe to call twice.
async fn settle(
    call: &Call,
    mut setup: SetupIntent,
    outcome: Result<Approval, Failure>,
    asker: Asker,
) -> Result<Answer, ApiError> {
    let reference = setup.reference();
    for _ in 0..RETRIES {
        let open = matches!(setup.status, SetupStatus::Processing | SetupStatus::RequiresAction);
        if !open || setup.reference() != reference {
            if asker == Asker::Caller
                && let Some(stored) = crate::api::idempotency::stored(call).await?
            {
                return Ok(stored);
            }
            return answer(call, &setup).await;
        }
        let owed = match asker {
            Asker::Caller => call.request(None, None),
            Asker::Sweep => setup
                .request_key
                .map(|key: Digest| Request::owed(setup.book_id, key, call.at)),
        };
        let mut method = load_method(call, &setup).await?;
        let now = call.app.clock.now();
        let (mut next, unit, answer) = match &outcome {
            Ok(approval) => {
                let mut next = apply(&setup, &Fact::Proven)?;
                next.acquirer_id = Some(approval.acquirer_id.clone());
                next.check_at = Some(now); // until it is released
                let unit = kept(call, Unit::new(call.book_id()), &next, &mut method, approval);
                let object = wire::setup_intent(&next);
                let unit = unit.insert(&call.event("setup_intent.succeeded", &object));
                let answer = answer(call, &next).await?;
                (next, unit, answer)
            }
            Err(Failure::ActionNeeded(Action {
                acquirer_id,
                next: action,
            })) => {
                let NextAction::Redirect { url } = action;
                let next_action = json!({
                    "type": "redirect_to_url",
                    "redirect_to_url": {"return_url": setup.details.return_url, "url": url},
                });
                let mut next = apply(&setup, &Fact::ActionRequired { next_action })?;
                next.acquirer_id = Some(acquirer_id.clone());
                again(call, &mut next);
                let object = wire::setup_intent(&next);
                let unit = Unit::new(call.book_id()).insert(&call.event("setup_intent.requires_action", &object));
                let answer = answer(call, &next).await?;
                (next, unit, answer)
            }
            // Nothing is kept on an answer about something else; what it was is in the log.
            Err(Failure::Unknown(cause)) | Err(Failure::Mismatch(Mismatch { field: cause, .. })) => {
                tracing::warn!(setup = setup.id, cause, "outcome of a setup unknown");
                let mut next = setup.clone();
                again(call, &mut next);
                let answer = answer(call, &next).await?;
                (next, Unit::new(call.book_id()), answer)
            }
            Err(failure) => refused(call, &setup, &method, failure)?,
        };
        next.request_key = None;
        let unit = unit.update(&mut next);
        let unit = match owed {
            Some(request) => unit.answer(&request.answered(&next.id, &answer)),
            None => unit,
        };
        match call.app.commit(unit).await {
            Ok(()) => {
                if next.status == SetupStatus::Succeeded {
                    release(call, next).await;
                }
                return Ok(answer);
            }
            Err(Refused::Conflict { .. } | Refused::KeyTaken) => setup = load(call, &setup.id).await?,
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(Refused::conflict().into())
}

/// The 402, and the intent as it is then.
fn refused(
    call: &Call,
    setup: &SetupIntent,
    method: &PaymentMethod,
    failure: &Failure,
) -> Result<(SetupIntent, Unit, Answer), ApiError> {
    let decline = match failure {
        Failure::Declined(decline) => decline.clone(),
        _ => sweep::not_received("An error occurred while processing your card. Try again in a little bit."),
    };
    let told = json!({
        "code": decline.code,
        "decline_code": decline.decline_code,
        "doc_url": format!("https://stripe.com/docs/error-codes/{}", decline.code.replace('_', "-")),
        "message": decline.message,
        "payment_method": wire::payment_method(method),
        "type": "card_error",
    });
    let mut next = apply(setup, &Fact::Refused { error: told })?;
    next.acquirer_id = next.acquirer_id.or(decline.acquirer_id);
    // What came to nothing may be approved late: then it is released.
    next.check_at = next
        .acquirer_id
        .is_none()
        .then(|| call.app.clock.now() + sweep::WATCH_LATE_FOR);
    let object = wire::setup_intent(&next);
    let mut error = ApiError::new(402, "card_error", &decline.code, decline.message)
        .with("setup_intent", object.clone())
        .with("payment_method", wire::payment_method(method));
    if let Some(code) = decline.decline_code {
        error = error.with("decline_code", code);
    }
    let unit = Unit::new(call.book_id()).insert(&call.event("setup_intent.setup_failed", &object));
    Ok((next, unit, Answer::refusal(&error)))
}

/// The card as it is kept: the customer's, with the network's word that its owner agreed.
fn kept(call: &Call, unit: Unit, setup: &SetupIntent, method: &mut PaymentMethod, approval: &Approval) -> Unit {
    let consent = (setup.usage == "off_session")
        .then(|| {
            approval
                .network_transaction_id
                .clone()
                .or(approval.acquirer_reference.clone())
        })
        .flatten();
    crate::payment::instrument::keep(call, unit, method, setup.customer_id.as_deref(), consent)
}

/// Gives back what was approved, or closes a challenge, of a setup that needs neither any more.
async fn release(call: &Call, setup: SetupIntent) {
    let (Some(name), Some(acquirer_id)) = (&setup.connector, &setup.acquirer_id) else {
        return;
    };
    let Ok(connector) = call.app.connector(name) else {
        return;
    };
    let reference = format!("{}:release", setup.reference());
    let mut next = setup.clone();
    match at_acquirer(connector.void(&reference, acquirer_id)).await {
        Ok(()) => next.check_at = None,
        Err(failure) => {
            tracing::warn!(setup = setup.id, ?failure, "a proof could not be released yet");
            again(call, &mut next);
        }
    }
    // A conflict means that the sweep is at it as well.
    if let Err(refused) = call.app.commit(Unit::new(call.book_id()).update(&mut next)).await {
        tracing::debug!(setup = setup.id, %refused, "the release was not recorded here");
    }
}

/// Asks what came of a challenge, if the setup waits for one, and writes it. Gives the setup as it is then.
async fn ask(call: &Call, setup: SetupIntent) -> Result<SetupIntent, ApiError> {
    if setup.status != SetupStatus::RequiresAction {
        return Ok(setup);
    }
    let found = inquire(call, &setup).await;
    if matches!(found, Ok(Found::ActionNeeded(_) | Found::Processing) | Err(_)) {
        return Ok(setup);
    }
    let background = Call::background(call.app.clone(), call.merchant.clone());
    let setup_id = setup.id.clone();
    told(&background, setup, found).await?;
    load(call, &setup_id).await
}

async fn inquire(call: &Call, setup: &SetupIntent) -> Result<Found, Failure> {
    let name = setup.connector.as_deref().unwrap_or_default();
    let unreachable = |error: ApiError| Failure::Unknown(error.message);
    let connector = call.app.connector(name).map_err(unreachable)?;
    let (amount, currency) = proof(call).map_err(unreachable)?;
    let reference = setup.reference();
    let request = Inquiry {
        reference: &reference,
        acquirer_id: setup.acquirer_id.as_deref(),
        amount,
        raised: None,
        currency: &currency,
    };
    at_acquirer(connector.inquire(request)).await
}

/// Finds out what became of a setup whose outcome, or whose release, is not known.
pub(crate) async fn sweep(app: &Arc<App>, setup: SetupIntent) -> Result<(), ApiError> {
    let merchant = app.merchant_by_book(setup.book_id).await?;
    let mut call = Call::background(app.clone(), merchant);
    if let Some(key) = setup.request_key {
        let client = app.reads.get().await?;
        call.expand = store::asked_about(&**client, setup.book_id, key).await?.1;
    }
    let found = inquire(&call, &setup).await;
    told(&call, setup, found).await
}

async fn told(call: &Call, setup: SetupIntent, found: Result<Found, Failure>) -> Result<(), ApiError> {
    let app = &call.app;
    let age = app
        .clock
        .now()
        .duration_since(setup.details.attempted_at.unwrap_or(setup.created_at));
    let waiting = setup.status == SetupStatus::RequiresAction;
    if !waiting && setup.status != SetupStatus::Processing {
        // Ended: all that may be left is something to release.
        match found {
            Ok(Found::Authorized { approval, .. }) => {
                let acquirer_id = Some(approval.acquirer_id);
                release(call, SetupIntent { acquirer_id, ..setup }).await;
            }
            Ok(Found::ActionNeeded(action)) => {
                let acquirer_id = Some(action.acquirer_id);
                release(call, SetupIntent { acquirer_id, ..setup }).await;
            }
            Ok(_) => {
                return write(
                    call,
                    SetupIntent {
                        check_at: None,
                        ..setup
                    },
                )
                .await;
            }
            Err(_) => return wait(call, setup).await,
        }
        return Ok(());
    }
    let gone = |message| Err(Failure::Declined(sweep::not_received(message)));
    let outcome = match found {
        Ok(Found::Authorized { approval, .. } | Found::Captured { approval, .. }) => Ok(approval),
        Ok(Found::Declined(decline)) => Err(Failure::Declined(decline)),
        Ok(Found::Voided { .. }) => gone("The customer was not authenticated. Ask for another payment method."),
        Ok(Found::ActionNeeded(_)) if waiting && age >= OPEN_FOR => return take_back(call, setup).await,
        Ok(Found::ActionNeeded(action)) if !waiting => Err(Failure::ActionNeeded(action)),
        Ok(Found::Nothing)
            if !waiting && setup.swept + 1 >= sweep::GIVE_UP_AFTER && age >= app.settings.not_received_after =>
        {
            gone("The request did not reach the bank. Nothing was set up.")
        }
        _ => return wait(call, setup).await,
    };
    settle(call, setup, outcome, Asker::Sweep).await.map(drop)
}

/// Closes an open challenge at the acquirer and ends its attempt as not authenticated.
async fn take_back(call: &Call, setup: SetupIntent) -> Result<(), ApiError> {
    let connector = call.app.connector(setup.connector.as_deref().unwrap_or_default())?;
    let acquirer_id = setup.acquirer_id.clone().unwrap_or_default();
    let reference = format!("{}:challenge", setup.reference());
    match at_acquirer(connector.void(&reference, &acquirer_id)).await {
        Ok(()) => {
            let mut failed = sweep::not_received("The customer was not authenticated. Ask for another payment method.");
            failed.code = "setup_intent_authentication_failure".into();
            failed.decline_code = None;
            failed.acquirer_id = Some(acquirer_id);
            settle(call, setup, Err(Failure::Declined(failed)), Asker::Sweep)
                .await
                .map(drop)
        }
        Err(failure) => {
            tracing::warn!(
                setup = setup.id,
                ?failure,
                "an open challenge could not be taken back yet"
            );
            wait(call, setup).await
        }
    }
}

fn again(call: &Call, setup: &mut SetupIntent) {
    setup.request_key = None;
    setup.check_at = Some(call.app.clock.now() + sweep::backoff(setup.swept));
    setup.swept = setup.swept.saturating_add(1);
}

async fn wait(call: &Call, mut setup: SetupIntent) -> Result<(), ApiError> {
    again(call, &mut setup);
    write(call, setup).await
}

async fn write(call: &Call, mut setup: SetupIntent) -> Result<(), ApiError> {
    match call.app.commit(Unit::new(call.book_id()).update(&mut setup)).await {
        Ok(()) | Err(Refused::Conflict { .. }) => Ok(()),
        Err(refused) => Err(refused.into()),
    }
}

/// What is authorized and released to prove a card: one unit of the merchant's own currency.
fn proof(call: &Call) -> Result<(i64, String), ApiError> {
    let currency = crate::app::currency(&call.merchant.default_currency)?;
    let unit = 10i64.checked_pow(u32::from(currency.exponent())).unwrap_or(1);
    Ok((unit, call.merchant.default_currency.clone()))
}

/// This merchant's setup intent.
pub(crate) async fn load(call: &Call, setup_id: &str) -> Result<SetupIntent, ApiError> {
    let found = if id::is_valid(id::prefix::SETUP, setup_id) {
        let client = call.app.reads.get().await?;
        store::get(&**client, call.book_id(), setup_id).await?
    } else {
        None
    };
    found.ok_or_else(|| ApiError::not_found("setup_intent", setup_id, "intent"))
}

async fn load_method(call: &Call, setup: &SetupIntent) -> Result<PaymentMethod, ApiError> {
    let method_id = setup.payment_method_id.as_deref().unwrap_or_default();
    let client = call.app.reads.get().await?;
    let found = store::get(&**client, call.book_id(), method_id).await?;
    found.ok_or_else(|| ApiError::internal("a setup without its card"))
}

async fn answer(call: &Call, setup: &SetupIntent) -> Result<Answer, ApiError> {
    let mut object: Value = wire::setup_intent(setup);
    crate::api::expand::expand(call, &mut object, &[]).await?;
    Ok(Answer::ok(&object))
}

fn missing_method() -> ApiError {
    ApiError::invalid(
        "setup_intent_unexpected_state",
        "payment_method",
        "You cannot confirm this SetupIntent because it's missing a payment method. Provide payment_method (for example pm_card_visa) when confirming.",
    )
}
