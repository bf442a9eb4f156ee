//! What a step of a case writes, gathered into one unit: journals, the rows of payment, charge and refund, the timeline, the timers
//! that begin and end, the case itself and its events.
//!
//! Round trips: one read each of timeline and timers, and two of the balances where money moves. It must never decide anything.

use super::accounting;
use super::consequence;
use super::flow::Actor;
use super::rows::*;
use super::state::{Movement, Step};
use super::store::{self, Whole};
use super::table::Timer;
use super::words::*;
use crate::api::error::ApiError;
use crate::call::Call;
use crate::commit::{Refused, Unit};
use crate::deadline::{self, Deadline};
use crate::dispute::accounting::Split;
use crate::payment::flow;
use crate::payment::refund;
use crate::payment::rows::{BalanceTransaction, Charge, Payment, Refund};
use crate::{id, payment, wire};
use ledger::Chart;
use serde_json::{Value, json};

/// A refund that waits for the acquirer.
pub(super) struct Started {
    pub payment: Payment,
    pub charge: Charge,
    pub refund: Refund,
}

/// What a step writes.
pub(super) struct Written {
    pub unit: Unit,
    pub case: Case,
    pub object: Value,
    pub refund: Option<Started>,
}

/// The unit of these steps, which follow each other, with the case as the wire shows it afterwards.
pub(super) async fn write(
    call: &Call,
    steps: Vec<Step>,
    new: bool,
    payment: Option<Payment>,
    charge: Option<Charge>,
    actor: &Actor,
    body: Value,
) -> Result<Written, ApiError> {
    let mut writer = Writer::begin(call, payment).await;
    writer.charge = charge;
    for (number, step) in steps.into_iter().enumerate() {
        let body = if number == 0 { body.clone() } else { Value::Null };
        let actor = if number == 0 { actor.clone() } else { Actor::system() };
        writer.step(step, &actor, body).await?;
    }
    writer.end(new).await
}

/// Gathers what a unit writes about one case.
pub(super) struct Writer<'a> {
    call: &'a Call,
    pub(super) unit: Unit,
    payment: Option<Payment>,
    charge: Option<Charge>,
    refund: Option<Refund>,
    case: Option<Case>,
    timers: Vec<Timer>,
    entries: Vec<Entry>,
    events: Vec<&'static str>,
    fired: Option<Deadline>,
    /// what this means for the merchant is to be looked at
    look: bool,
}

impl<'a> Writer<'a> {
    pub(super) async fn begin(call: &'a Call, payment: Option<Payment>) -> Self {
        Self {
            call,
            unit: Unit::new(call.book_id()),
            payment,
            charge: None,
            refund: None,
            case: None,
            timers: Vec::new(),
            entries: Vec::new(),
            events: Vec::new(),
            fired: None,
            look: false,
        }
    }

    /// One step: its money, its entry, its event.
    pub(super) async fn step(&mut self, step: Step, actor: &Actor, body: Value) -> Result<(), ApiError> {
        let Step {
            mut case,
            movements,
            edge,
            timers,
        } = step;
        let journals = match movements.is_empty() {
            true => Vec::new(),
            false => self.book(&mut case, &movements).await?,
        };
        let event = edge.map_or("case.updated", |edge| edge.event);
        let over = edge.is_some_and(|edge| matches!(edge.to, Some(Status::Closed | Status::ClosedFinal)));
        self.look |= over && (case.outcome == Some(Outcome::Upheld) || case.appealed);
        let told = edge.map_or(Vec::new(), |edge| {
            edge.notices
                .iter()
                .map(|audience| audience.as_str().to_owned())
                .collect()
        });
        self.entries
            .push(entry(self.call, &case, event, actor, told, journals, body));
        self.events.push(event);
        self.timers.retain(|timer| timer.lives_in(case.status));
        self.timers.extend(timers);
        self.case = Some(case);
        Ok(())
    }

    /// The journals of these movements into the unit, what they mean for payment and refund into their rows.
    async fn book(&mut self, case: &mut Case, movements: &[Movement]) -> Result<Vec<uuid::Uuid>, ApiError> {
        let call = self.call;
        let app = &call.app;
        let mut payment = match self.payment.take() {
            Some(payment) => payment,
            None => flow::load(call, &case.payment_id).await?,
        };
        let mut charge = match self.charge.take() {
            Some(charge) => charge,
            None => flow::load_charge(call, &case.charge_id).await?,
        };
        let books = flow::books(call, &payment, &charge.connector)?;
        app.open_accounts(&payment, &charge.connector).await?;
        {
            let accounts = books.case_accounts().map_err(Refused::Ledger)?;
            let client = app.reads.get().await?;
            ledger::open(&**client, books.book, &accounts).await?;
        }
        let charts = [
            Chart::MerchantPending,
            Chart::MerchantAvailable,
            Chart::MerchantReceivable,
        ];
        let balances = app.available(&books, &charts).await?;
        let merchant = Split {
            pending: balances[0],
            available: balances[1],
            receivable: balances[2],
        };
        let refund_id = id::new(id::prefix::REFUND);
        let booked = accounting::book(&books, case, &refund_id, movements, merchant).map_err(Refused::Ledger)?;
        let before = payment.clone();
        for movement in movements {
            for fact in payment_facts(*movement) {
                payment = payment::state::apply(&payment, &fact)?;
            }
        }
        let amount = booked.refund.total() + booked.from_platform;
        if amount > 0 {
            let mut started = refund::of_case(call, &payment, case, refund_id, booked.refund, booked.from_platform);
            charge.amount_refunded += amount;
            case.refund_id = Some(started.id.clone());
            let line = booked.lines.iter().find(|(.., what)| *what == "REFUND");
            started.balance_transaction_id = line.map(|_| id::new(id::prefix::BALANCE_TRANSACTION));
            self.add(|unit| unit.update(&mut charge).insert(&started));
            self.refund = Some(started);
        }
        for (journal_id, amount, what) in &booked.lines {
            let refund = self.refund.as_ref().filter(|_| *what == "REFUND");
            let line = line(call, case, refund, *journal_id, *amount, what);
            self.add(|unit| unit.insert(&line));
        }
        if payment != before {
            self.add(|unit| unit.update(&mut payment));
        }
        if let Some(refund) = &self.refund {
            let created = call.event("refund.created", &wire::refund(refund));
            self.add(|unit| unit.insert(&created));
        }
        let ids = booked.journals.iter().map(ledger::journal::Journal::id).collect();
        self.add(|unit| unit.journals(booked.journals));
        self.payment = Some(payment);
        self.charge = Some(charge);
        Ok(ids)
    }

    /// A case with an entry that changed no status. A sealed case has no more entries: what is said then is in the case alone.
    pub(super) fn put(&mut self, case: Case, entry: Entry, event: &'static str) {
        if case.status != Status::Archived {
            self.entries.push(entry);
        }
        self.events.push(event);
        self.case = Some(case);
    }

    fn add(&mut self, change: impl FnOnce(Unit) -> Unit) {
        let unit = std::mem::replace(&mut self.unit, Unit::new(self.call.book_id()));
        self.unit = change(unit);
    }

    /// The unit, with the case, its timers and its events; `new`: the case is not in the database yet.
    pub(super) async fn end(mut self, new: bool) -> Result<Written, ApiError> {
        let mut case = self
            .case
            .take()
            .ok_or_else(|| ApiError::internal("a unit about no case"))?;
        let deadlines = self.set_timers(&mut case, new).await?;
        let mut entries = match new {
            true => Vec::new(),
            false => {
                let client = self.call.app.reads.get().await?;
                store::entries(&**client, case.book_id, &[&case.id]).await?
            }
        };
        for entry in std::mem::take(&mut self.entries) {
            self.add(|unit| unit.insert(&entry));
            entries.push(entry);
        }
        self.add(|unit| match new {
            true => unit.insert(&case),
            false => unit.update(&mut case),
        });
        let whole = Whole {
            case,
            entries,
            deadlines,
        };
        let object = wire::case(&whole);
        for event in std::mem::take(&mut self.events) {
            let event = self.call.event(event, &object);
            self.add(|unit| unit.insert(&event));
        }
        let refund = match (self.payment, self.charge, self.refund) {
            (Some(payment), Some(charge), Some(refund)) => Some(Started {
                payment,
                charge,
                refund,
            }),
            _ => None,
        };
        Ok(Written {
            unit: self.unit,
            case: whole.case,
            object,
            refund,
        })
    }

    /// Ends what has no meaning any more and begins what is due from now on; gives what is open then.
    async fn set_timers(&mut self, case: &mut Case, new: bool) -> Result<Vec<Deadline>, ApiError> {
        let now = self.call.app.clock.now();
        let mut open = match new {
            true => Vec::new(),
            false => {
                let client = self.call.app.reads.get().await?;
                deadline::open_of(&**client, case.book_id, &case.id).await?
            }
        };
        let timers = std::mem::take(&mut self.timers);
        let mut left = Vec::new();
        if let Some(fired) = &self.fired {
            open.retain(|deadline| deadline.id != fired.id);
        }
        for mut deadline in open.drain(..) {
            let timer = Timer::parse(&deadline.kind);
            let paid = matches!(timer, Some(Timer::Payout | Timer::BankPayout)) && case.is_paid();
            let unknown = timer.is_none(); // another module's
            let lives =
                unknown || timer.is_some_and(|timer| timer.lives_in(case.status) && !timers.contains(&timer)) && !paid;
            if lives && !(timer == Some(Timer::Acknowledge) && case.owner.is_some()) {
                left.push(deadline);
                continue;
            }
            deadline.cancel(now);
            self.add(|unit| unit.update(&mut deadline));
        }
        for timer in timers {
            let due = case.details.rules.due(timer, case.r#type, case.created_at, now);
            if timer == Timer::Verify {
                case.verify_due = Some(due);
            }
            let deadline = Deadline::new(case.book_id, &case.id, timer.as_str(), due, now);
            self.add(|unit| unit.insert(&deadline));
            left.push(deadline);
        }
        if self.look {
            let look = Deadline::new(case.book_id, &case.id, consequence::LOOK, now, now);
            self.add(|unit| unit.insert(&look));
        }
        left.sort_by_key(|deadline| deadline.due_at);
        Ok(left)
    }

    /// The deadline whose time this is.
    pub(super) fn fired(&mut self, mut deadline: Deadline) {
        deadline.fire(self.call.app.clock.now());
        self.add(|unit| unit.update(&mut deadline));
        self.fired = Some(deadline);
    }

    /// A row beside the step's own.
    pub(super) fn with(&mut self, change: impl FnOnce(Unit) -> Unit) {
        self.add(change);
    }
}

/// What a movement means for what can be refunded of the payment.
fn payment_facts(movement: Movement) -> Vec<payment::state::Fact> {
    use payment::state::Fact;
    match movement {
        Movement::Hold(amount) => vec![Fact::CaseHeld { amount }],
        Movement::Release(amount) => vec![Fact::CaseReleased { amount }],
        Movement::Refund(amount) => vec![Fact::CaseReleased { amount }, Fact::RefundStarted { amount }],
        Movement::PlatformRefund { amount, .. } => vec![Fact::RefundStarted { amount }],
        Movement::Compensate(_)
        | Movement::PlatformCompensate(_)
        | Movement::TakeBack(_)
        | Movement::Reimburse(_)
        | Movement::PaidRefund(_)
        | Movement::PaidCompensation(_) => Vec::new(),
    }
}

/// An entry of the timeline.
pub(super) fn entry(
    call: &Call,
    case: &Case,
    event: &str,
    actor: &Actor,
    told: Vec<String>,
    journals: Vec<uuid::Uuid>,
    body: Value,
) -> Entry {
    Entry {
        book_id: case.book_id,
        id: id::new(id::prefix::CASE_ENTRY),
        case_id: case.id.clone(),
        kind: event.strip_prefix("case.").unwrap_or(event).to_owned(),
        party: actor.party,
        actor: actor.who.clone(),
        status: case.status,
        told,
        journals,
        digest: None,
        body: if body.is_null() { json!({}) } else { body },
        created_at: call.app.clock.now(),
    }
}

/// A line of the merchant's balance.
fn line(
    call: &Call,
    case: &Case,
    refund: Option<&Refund>,
    journal_id: uuid::Uuid,
    amount: i64,
    what: &str,
) -> BalanceTransaction {
    let now = call.app.clock.now();
    let new = || id::new(id::prefix::BALANCE_TRANSACTION);
    BalanceTransaction {
        book_id: case.book_id,
        id: refund
            .and_then(|refund| refund.balance_transaction_id.clone())
            .unwrap_or_else(new),
        r#type: if refund.is_some() { "refund" } else { "adjustment" }.into(),
        amount,
        fee: 0,
        application_fee: 0,
        net: amount,
        currency: case.currency.clone(),
        source_id: refund.map_or(&case.id, |refund| &refund.id).clone(),
        payment_id: Some(case.payment_id.clone()),
        journal_id,
        description: Some(what.to_owned()),
        available_on: now,
        created_at: now,
    }
}
