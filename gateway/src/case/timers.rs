//! What time brings to a case: a transition where the table has one, else a word to who should have acted.
//!
//! A deadline ends in the unit of its effect. One that the case has outrun ends without any. It must never act before its
//! time, nor decide for a person.

use super::flow::{Actor, RETRIES};
use super::rows::Case;
use super::say::{Saying, say};
use super::state::{self, Fact};
use super::table::Timer;
use super::write::{self, Writer};
use super::{accounting, archive, consequence, store};
use crate::api::error::ApiError;
use crate::app::App;
use crate::call::Call;
use crate::commit::{Refused, Unit};
use crate::deadline::Deadline;
use crate::funds::accounting::BANK;
use crate::id;
use crate::payment::accounting::Books;
use crate::payment::rows::BalanceTransaction;
use crate::payment::state::refundable;
use crate::payment::{flow as payments, store as payment_store};
use ledger::{BookId, Chart};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const BATCH: i64 = 200;
/// How often advances are looked at that merchants owe.
const RECOURSE_EVERY: Duration = Duration::from_secs(60);

/// The time of this deadline has come.
pub async fn fire(app: &Arc<App>, deadline: Deadline) -> Result<(), ApiError> {
    let call = Call::background(app.clone(), app.merchant_by_book(deadline.book_id).await?);
    for _ in 0..RETRIES {
        let (deadline, case) = {
            let client = app.reads.get().await?;
            let now: Option<Deadline> = payment_store::get(&**client, deadline.book_id, &deadline.id).await?;
            let Some(deadline) = now.filter(|deadline| deadline.check_at.is_some()) else {
                return Ok(()); // canceled, or another process was first
            };
            let case: Option<Case> = payment_store::get(&**client, deadline.book_id, &deadline.subject_id).await?;
            (deadline, case)
        };
        if let (consequence::LOOK, Some(case)) = (deadline.kind.as_str(), &case) {
            return consequence::look(&call, &deadline, case).await;
        }
        let timer = Timer::parse(&deadline.kind);
        let (Some(case), Some(timer)) = (case, timer) else {
            return Err(ApiError::internal("a deadline of no case, or of no kind"));
        };
        let done = match timer {
            _ if !timer.lives_in(case.status) => ended(&call, deadline).await,
            Timer::Response => step(&call, deadline, case, Fact::ResponseOverdue).await,
            Timer::Mediation => step(&call, deadline, case, Fact::MediationOverdue).await,
            Timer::GoodsReturn => step(&call, deadline, case, Fact::ReturnLapsed).await,
            Timer::Exchange => step(&call, deadline, case, Fact::ExchangeLapsed).await,
            Timer::AppealWindow => step(&call, deadline, case, Fact::WindowOver).await,
            Timer::Acknowledge if case.owner.is_some() => ended(&call, deadline).await,
            Timer::Payout | Timer::BankPayout if case.is_paid() => ended(&call, deadline).await,
            _ => {
                let warning = timer == Timer::VerifyWarning;
                let case_id = case.id.clone();
                let told = say(
                    &call,
                    &case_id,
                    &Actor::system(),
                    &Saying::Overdue { deadline, warning },
                )
                .await;
                if told.is_ok() && !warning {
                    tracing::warn!(
                        case = case_id,
                        deadline = timer.as_str(),
                        "a deadline of a case passed unmet"
                    );
                }
                match told {
                    Err(error) if error.status == 409 => Err(Refused::conflict()),
                    told => return told.map(drop),
                }
            }
        };
        match done {
            Err(Refused::Conflict { .. } | Refused::Ledger(_)) => continue,
            done => return done.map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// Nothing is due any more.
async fn ended(call: &Call, mut deadline: Deadline) -> Result<(), Refused> {
    deadline.fire(call.app.clock.now());
    let unit = Unit::new(deadline.book_id).update(&mut deadline);
    call.app.commit(unit).await
}

async fn step(call: &Call, deadline: Deadline, case: Case, fact: Fact) -> Result<(), Refused> {
    let now = call.app.clock.now();
    let (case_id, kind) = (case.id.clone(), deadline.kind.clone());
    let failed = |error: ApiError| match error.status {
        409 => Refused::conflict(),
        _ => Refused::Database(error.message),
    };
    let room = match fact {
        Fact::ExchangeLapsed => {
            let payment = payments::load(call, &case.payment_id).await.map_err(failed)?;
            refundable(&payment)
        }
        _ => 0,
    };
    let mut step = match state::apply(&case, &fact, room, now) {
        Ok(step) => step,
        // A regulator has it, money is still owed, or goods are no longer due: whoever ends that sets a new time.
        Err(rejection) => {
            tracing::info!(case = case_id, deadline = kind, %rejection, "nothing follows from a deadline");
            return ended(call, deadline).await;
        }
    };
    if fact == Fact::WindowOver {
        step.case.seal = Some(archive::seal(call, &case).await.map_err(failed)?);
    }
    let body = json!({ "deadline": kind, "due_at": deadline.due_at.as_second() });
    let mut writer = Writer::begin(call, None).await;
    writer.fired(deadline);
    writer.step(step, &Actor::system(), body).await.map_err(failed)?;
    let written = writer.end(false).await.map_err(failed)?;
    call.app.commit(written.unit).await
}

/// Takes back what the platform advanced, for as long as the service runs.
pub async fn run(app: Arc<App>, shutdown: impl Future<Output = ()>) {
    tokio::pin!(shutdown);
    loop {
        if let Err(error) = recourse_round(&app).await {
            tracing::warn!(error = error.message, "advances cannot be looked at; trying again");
        }
        tokio::select! {
            () = &mut shutdown => return,
            () = tokio::time::sleep(RECOURSE_EVERY.min(app.settings.funds_every)) => {}
        }
    }
}

/// One round: every advance that a merchant can pay something of (J25). Returns how many did.
pub async fn recourse_round(app: &Arc<App>) -> Result<usize, ApiError> {
    let cases = {
        let client = app.reads.get().await?;
        store::with_recourse(&**client, BATCH).await?
    };
    let mut taken = 0;
    for case in cases {
        let call = Call::background(app.clone(), app.merchant_by_book(case.book_id).await?);
        taken += usize::from(take_recourse(&call, case).await?);
    }
    Ok(taken)
}

async fn take_recourse(call: &Call, mut case: Case) -> Result<bool, ApiError> {
    let books = Books {
        book: BookId(case.book_id),
        currency: crate::app::currency(&case.currency)?,
        connector: BANK,
        at: call.app.clock.now(),
    };
    let balances = call
        .app
        .available(&books, &[Chart::MerchantDeposit, Chart::MerchantAvailable])
        .await?;
    let from_deposit = case.recourse_due.min(balances[0].max(0));
    let from_available = (case.recourse_due - from_deposit).min(balances[1].max(0));
    let taken = from_deposit + from_available;
    if taken == 0 {
        return Ok(false);
    }
    let journal = accounting::recourse(&books, &case.id, from_deposit, from_available).map_err(Refused::Ledger)?;
    case.recourse_due -= taken;
    let mut writer = Writer::begin(call, None).await;
    if from_available > 0 {
        let line = BalanceTransaction {
            book_id: case.book_id,
            id: id::new(id::prefix::BALANCE_TRANSACTION),
            r#type: "adjustment".into(),
            amount: -from_available,
            fee: 0,
            application_fee: 0,
            net: -from_available,
            currency: case.currency.clone(),
            source_id: case.id.clone(),
            payment_id: Some(case.payment_id.clone()),
            journal_id: journal.id(),
            description: Some("RECOURSE".into()),
            available_on: call.app.clock.now(),
            created_at: call.app.clock.now(),
        };
        writer.with(|unit| unit.insert(&line));
    }
    let body = json!({ "amount": taken, "left": case.recourse_due });
    let told = vec!["merchant".to_owned()];
    let entry = write::entry(
        call,
        &case,
        "case.recourse",
        &Actor::system(),
        told,
        vec![journal.id()],
        body,
    );
    writer.put(case, entry, "case.recourse");
    let written = writer.end(false).await?;
    // What is sealed has no more entries; the advance itself is not part of the seal.
    match call.app.commit(written.unit.journals([journal])).await {
        Ok(()) => Ok(true),
        Err(Refused::Conflict { .. } | Refused::Ledger(_)) => Ok(false), // the next round looks again
        Err(refused) => Err(refused.into()),
    }
}
