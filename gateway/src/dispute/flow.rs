//! What the acquirer tells about a dispute becomes rows, journals and events, in one commit per fact.
//!
//! A fact may be repeated, late or concurrent with another: whoever finds the rows moved reads again and asks the
//! transition function again. It must never book from an announcement, and never clip an amount silently.

use super::accounting::{self, Split};
use super::rows::{Dispute, DisputeDetails, DisputeException, DisputeMovement, ExceptionKind, Operation};
use super::scheme;
use super::stage::Stage;
use super::state::{self, Bearer, Exception, Fact, Movement, Rejection, Standing, Status, Step};
use super::store;
use crate::api::error::ApiError;
use crate::call::{Answer, Call};
use crate::case::link::Linked;
use crate::commit::{Refused, Request, Unit};
use crate::connector::{AcquirerDispute, DisputeMove, DisputeReport};
use crate::payment::rows::{BalanceTransaction, Charge, Payment};
use crate::payment::{self, flow};
use crate::risk::rows::{History, Source};
use crate::{id, wire};
use anomaly::Verdict;
use jiff::{SignedDuration, Timestamp};
use ledger::Chart;

pub(super) const RETRIES: usize = 40;
/// A person should have looked at an exception within this.
const EXCEPTION_DUE: SignedDuration = SignedDuration::from_hours(24);

/// A fact about a dispute of this attempt, as the acquirer told it. Safe to repeat.
pub async fn report(call: &Call, charge_id: &str, kind: DisputeReport, told: &AcquirerDispute) -> Result<(), ApiError> {
    adopt(call, charge_id, kind, told, None).await.map(drop)
}

/// A response that ends with this fact, and the request that waits for it.
pub(super) struct Ending {
    pub operation: Operation,
    pub request: Option<Request>,
}

/// Applies a fact; with an ending also ends the response and gives the answer. `None` when there was nothing (more) to do.
pub(super) async fn adopt(
    call: &Call,
    charge_id: &str,
    kind: DisputeReport,
    told: &AcquirerDispute,
    ending: Option<&Ending>,
) -> Result<Option<Answer>, ApiError> {
    for _ in 0..RETRIES {
        let charge = flow::load_charge(call, charge_id).await?;
        let payment = flow::load(call, &charge.payment_id).await?;
        let known = by_acquirer(call, &charge.connector, &told.acquirer_id).await?;
        let cases = Linked::of(call, &payment).await?;
        if cases.held().total() != payment.amount_held {
            continue; // a case has moved between the two reads
        }
        let policy = call.app.settings.disputes.policy();
        let fact = fact(&payment, kind, told, cases.held().total());
        let rank = fact.as_ref().map(Fact::rank).unwrap_or_default();
        let applied =
            fact.and_then(
                |fact| match state::apply(known.as_ref().map(Dispute::standing).as_ref(), &fact, policy) {
                    Ok(step) => Ok(Some(step)),
                    Err(Rejection::AlreadyApplied) => Ok(None),
                    Err(rejection) => Err(rejection.into()),
                },
            );
        let step = match applied {
            Ok(step) => step,
            // The response itself is over; what does not fit stays refused when it comes as a fact of its own.
            Err(error) if ending.is_some() => {
                tracing::error!(
                    dispute = told.acquirer_id,
                    error = error.message,
                    "answer to a response"
                );
                None
            }
            Err(error) => return Err(error),
        };
        let mut change = match (known, &step) {
            (Some(dispute), _) => Change::of(dispute, charge, payment),
            (None, Some(_)) => Change::first(call, told, charge, payment),
            (None, None) => return Ok(None),
        };
        if let Some(ending) = ending {
            if change.dispute.operation != Some(ending.operation) {
                return Ok(None);
            }
            end(&mut change.dispute, ending.operation, true);
        }
        let described = change.describe(told, rank, step.as_ref(), call.app.clock.now());
        if step.is_none() && !described && ending.is_none() {
            return Ok(None);
        }
        let (unit, object) = change.write(call, step.as_ref(), cases).await?;
        let (unit, answer) = match ending {
            None => (unit, None),
            Some(ending) => {
                let answer = expanded(call, object).await?;
                let unit = match ending.request.clone() {
                    Some(request) => unit.answer(&request.answered(&change.dispute.id, &answer)),
                    None => unit,
                };
                (unit, Some(answer))
            }
        };
        match call.app.commit(unit).await {
            Ok(()) => return Ok(answer),
            // Another fact or request moved the rows, or took the balance this one counted on: look again.
            Err(Refused::Conflict { .. } | Refused::Ledger(_) | Refused::KeyTaken) => continue,
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(Refused::conflict().into())
}

/// The time is over in which the other side could go on. `None` when the dispute waits for nothing of the kind.
pub(super) async fn window_over(call: &Call, dispute_id: &str) -> Result<Option<()>, ApiError> {
    for _ in 0..RETRIES {
        let dispute = load(call, dispute_id).await?;
        let step = match state::window_over(&dispute.standing(), call.app.settings.disputes.policy()) {
            Ok(step) => step,
            Err(_) => return Ok(None),
        };
        let charge = flow::load_charge(call, &dispute.charge_id).await?;
        let payment = flow::load(call, &dispute.payment_id).await?;
        let cases = Linked::of(call, &payment).await?;
        let mut change = Change::of(dispute, charge, payment);
        let (unit, _) = change.write(call, Some(&step), cases).await?;
        match call.app.commit(unit).await {
            Err(Refused::Conflict { .. } | Refused::Ledger(_)) => continue,
            done => return done.map(Some).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// The rows that a fact changes together.
struct Change {
    dispute: Dispute,
    new: bool,
    charge: Charge,
    payment: Payment,
    due_before: Option<Timestamp>,
}

impl Change {
    fn of(dispute: Dispute, charge: Charge, payment: Payment) -> Self {
        Self {
            due_before: dispute.due_by,
            dispute,
            new: false,
            charge,
            payment,
        }
    }

    fn first(call: &Call, told: &AcquirerDispute, charge: Charge, payment: Payment) -> Self {
        let dispute = Dispute {
            book_id: charge.book_id,
            id: id::new(id::prefix::DISPUTE),
            version: 1,
            payment_id: payment.id.clone(),
            charge_id: charge.id.clone(),
            connector: charge.connector.clone(),
            acquirer_id: told.acquirer_id.clone(),
            status: Status::WarningNeedsResponse,
            amount: told.amount,
            currency: told.currency.clone(),
            reason: told.reason.clone(),
            network_reason_code: told.network_reason_code.clone(),
            stage: Stage::InquiryOpen,
            rank: 0,
            contested: 0,
            lost: 0,
            takings: 0,
            returns: 0,
            charges: 0,
            borne_by: Bearer::Merchant,
            held_pending: 0,
            held_available: 0,
            held_receivable: 0,
            fee: 0,
            evidence: Default::default(),
            submission_count: 0,
            answered: 0,
            due_by: None,
            balance_transaction_ids: Vec::new(),
            created_at: call.app.clock.now(),
            details: DisputeDetails {
                is_charge_refundable: told.is_charge_refundable,
                brand: charge.card.brand.clone(),
                ..DisputeDetails::default()
            },
            operation: None,
            request_key: None,
            swept: 0,
            check_at: None,
            timer: None,
            timer_at: None,
        };
        Self {
            due_before: None,
            dispute,
            new: true,
            charge,
            payment,
        }
    }

    /// Takes over what moves no money, unless this fact is older than what is known.
    fn describe(&mut self, told: &AcquirerDispute, rank: i16, step: Option<&Step>, now: Timestamp) -> bool {
        let dispute = &mut self.dispute;
        let stage = step.map_or(dispute.stage, |step| step.standing.stage);
        let current = step.map_or(dispute.rank, |step| step.standing.rank);
        if rank < current {
            return false;
        }
        let entered = self.new || stage != dispute.stage;
        let due_by = match told.due_by {
            Some(seconds) => due_by(seconds),
            // Nothing was told: the network's own time, from the day it began.
            None if stage.round().is_none() => None,
            None if !entered => dispute.due_by,
            None => scheme::lasts(&dispute.details.brand, dispute.network_reason_code.as_deref(), stage)
                .map(|lasts| now + lasts),
        };
        if dispute.due_by == due_by && dispute.details.is_charge_refundable == told.is_charge_refundable {
            return false;
        }
        dispute.due_by = due_by;
        dispute.details.is_charge_refundable = told.is_charge_refundable;
        true
    }

    /// The unit of this step, and the dispute as the wire shows it afterwards.
    async fn write(
        &mut self,
        call: &Call,
        step: Option<&Step>,
        cases: Linked,
    ) -> Result<(Unit, serde_json::Value), ApiError> {
        let before = self.dispute.standing();
        let mut unit = Unit::new(call.book_id());
        let mut transactions = {
            let client = call.app.reads.get().await?;
            store::transactions(&**client, call.book_id(), std::slice::from_ref(&self.dispute)).await?
        };
        if let Some(step) = step {
            let inherited = match step.inherits {
                true => cases.held(),
                false => Split::default(),
            };
            let rows = self.book(call, step, inherited, &mut unit).await?;
            for row in &rows {
                unit = unit.insert(row);
            }
            transactions.extend(rows);
            unit = self.mark_payment(call, unit, &before, &step.standing, inherited.total())?;
            for exception in &step.exceptions {
                unit = unit.insert(&self.exception(call, *exception));
            }
            unit = self.tell_cases(call, unit, step, cases).await?;
        }
        self.set_timer(call.app.clock.now(), &before);
        if let Some(label) = self.label(call, &before, step) {
            unit = unit.insert(&label);
        }
        unit = if self.new {
            unit.insert(&self.dispute)
        } else {
            unit.update(&mut self.dispute)
        };
        let object = wire::dispute(&self.dispute, &transactions, call.app.clock.now());
        let events = step.map_or(&["charge.dispute.updated"][..], |step| &step.events);
        for r#type in events {
            unit = unit.insert(&call.event(r#type, &object));
        }
        Ok((unit, object))
    }

    /// What the scorer learns: a dispute for fraud says fraud, one that was won takes it back, once: a win is told by several facts.
    fn label(&self, call: &Call, before: &Standing, step: Option<&Step>) -> Option<History> {
        let dispute = &self.dispute;
        if dispute.reason != "fraudulent" {
            return None;
        }
        let verdict = match step {
            _ if self.new => Verdict::Fraud,
            Some(step) if step.standing.status == Status::Won && before.status != Status::Won => Verdict::Withdrawn,
            // the win was not final
            Some(step) if step.standing.stage == Stage::PrearbOpen && before.stage != Stage::PrearbOpen => {
                Verdict::Fraud
            }
            _ => return None,
        };
        let at = call.app.clock.now();
        Some(History::label(
            dispute.book_id,
            &dispute.charge_id,
            verdict,
            Source::Dispute,
            at,
        ))
    }

    /// The money: journals into the unit, the new standing into the row; gives the merchant's lines about it.
    async fn book(
        &mut self,
        call: &Call,
        step: &Step,
        inherited: Split,
        unit: &mut Unit,
    ) -> Result<Vec<BalanceTransaction>, ApiError> {
        let dispute = &mut self.dispute;
        let standing = &step.standing;
        dispute.stage = standing.stage;
        dispute.status = standing.status;
        dispute.rank = standing.rank;
        dispute.amount = standing.amount;
        dispute.contested = standing.contested;
        dispute.lost = standing.lost;
        dispute.fee = standing.fee;
        dispute.takings = standing.takings;
        dispute.returns = standing.returns;
        dispute.charges = standing.charges;
        for moved in &step.moves {
            let booked = std::mem::replace(unit, Unit::new(call.book_id()));
            *unit = booked.insert(&DisputeMovement {
                book_id: dispute.book_id,
                id: id::new(id::prefix::DISPUTE_MOVEMENT),
                dispute_id: dispute.id.clone(),
                connector: dispute.connector.clone(),
                acquirer_id: moved.id.clone(),
                amount: moved.amount,
                fee: moved.fee,
                currency: moved.currency.clone(),
                created_at: call.app.clock.now(),
            });
        }
        let held = Split {
            pending: dispute.held_pending,
            available: dispute.held_available,
            receivable: dispute.held_receivable,
        };
        let held = held.and(inherited);
        dispute.held_pending = held.pending;
        dispute.held_available = held.available;
        dispute.held_receivable = held.receivable;
        if step.movements.is_empty() {
            return Ok(Vec::new());
        }
        let books = flow::books(call, &self.payment, &self.charge.connector)?;
        call.app.open_accounts(&self.payment, &self.charge.connector).await?;
        if step.movements.iter().any(|m| matches!(m, Movement::Unmatched(_))) {
            let suspense = books.at_acquirer(Chart::SuspenseUnmatched).map_err(Refused::Ledger)?;
            let client = call.app.reads.get().await?;
            ledger::open(&**client, books.book, &[suspense]).await?;
        }
        let charts = [
            Chart::MerchantPending,
            Chart::MerchantAvailable,
            Chart::MerchantReceivable,
        ];
        let balances = call.app.available(&books, &charts).await?;
        let merchant = Split {
            pending: balances[0],
            available: balances[1],
            receivable: balances[2],
        };
        let entries =
            accounting::entries(&books, &dispute.id, &step.movements, held, merchant).map_err(Refused::Ledger)?;
        dispute.held_pending = entries.held.pending;
        dispute.held_available = entries.held.available;
        dispute.held_receivable = entries.held.receivable;
        let rows = lines(call, dispute, &step.movements, &entries.journals);
        dispute
            .balance_transaction_ids
            .extend(rows.iter().map(|row| row.id.clone()));
        *unit = std::mem::replace(unit, Unit::new(call.book_id())).journals(entries.journals);
        Ok(rows)
    }

    /// What can be refunded shrinks and grows with what is held, taken or lost.
    fn mark_payment(
        &mut self,
        call: &Call,
        mut unit: Unit,
        before: &Standing,
        after: &Standing,
        inherited: i64,
    ) -> Result<Unit, ApiError> {
        let before = if self.new { 0 } else { before.exposure() };
        let fact = match after.exposure() - before {
            0 => None,
            more if more > 0 => Some(payment::state::Fact::ChargebackTaken { amount: more }),
            less => Some(payment::state::Fact::ChargebackReturned { amount: -less }),
        };
        // What was frozen for cases is disputed now, and not twice.
        let released = (inherited > 0).then_some(payment::state::Fact::CaseReleased { amount: inherited });
        let facts: Vec<_> = released.into_iter().chain(fact).collect();
        let risked = self.payment.double_credit_risk;
        for fact in &facts {
            self.payment = payment::state::apply(&self.payment, fact)?;
        }
        if !facts.is_empty() {
            unit = unit.update(&mut self.payment);
            if self.payment.double_credit_risk && !risked {
                let given = self.payment.amount_refunded + self.payment.amount_disputed;
                let over = given - self.payment.amount_received;
                self.dispute.details.double_credit_risk = true;
                unit = unit.insert(&self.queued(call, ExceptionKind::DoubleCredit, over));
            }
        }
        if !self.charge.disputed {
            self.charge.disputed = true;
            unit = unit.update(&mut self.charge);
        }
        Ok(unit)
    }
}

/// Cases of the same payment wait for the network, and end with it.
impl Change {
    async fn tell_cases(&self, call: &Call, unit: Unit, step: &Step, cases: Linked) -> Result<Unit, ApiError> {
        let ended = match step.standing.status {
            Status::Won | Status::Prevented => Some(true),
            Status::Lost => Some(false),
            _ => None,
        };
        cases.follow(call, unit, &self.dispute.id, step.inherits, ended).await
    }
}

impl Change {
    /// What is waited for begins anew with each stage, deadline and answer; otherwise it runs on.
    fn set_timer(&mut self, now: Timestamp, before: &Standing) {
        let dispute = &mut self.dispute;
        let moved = self.new || dispute.stage != before.stage || dispute.due_by != self.due_before;
        if moved {
            let next = scheme::next(dispute, now, now, None);
            (dispute.timer, dispute.timer_at) = (next.map(|n| n.0), next.map(|n| n.1));
        }
    }

    fn exception(&self, call: &Call, exception: Exception) -> DisputeException {
        let (kind, amount) = match exception {
            Exception::ReturnedAfterLoss(amount) => (ExceptionKind::ReturnedAfterLoss, amount),
            Exception::TakenAfterWin(amount) => (ExceptionKind::TakenAfterWin, amount),
            Exception::ReturnedTooMuch(amount) => (ExceptionKind::ReturnedTooMuch, amount),
            Exception::NotReturned(amount) => (ExceptionKind::NotReturned, amount),
        };
        self.queued(call, kind, amount)
    }

    /// A person must look, and is told so by the log as well.
    fn queued(&self, call: &Call, kind: ExceptionKind, amount: i64) -> DisputeException {
        let now = call.app.clock.now();
        tracing::error!(
            dispute = self.dispute.id,
            kind = kind.as_str(),
            amount,
            "a dispute needs a person: `counterfoil chargeback exceptions`"
        );
        DisputeException {
            book_id: self.dispute.book_id,
            id: id::new(id::prefix::DISPUTE_EXCEPTION),
            version: 1,
            dispute_id: self.dispute.id.clone(),
            payment_id: self.payment.id.clone(),
            kind,
            amount,
            currency: self.dispute.currency.clone(),
            due_at: now + EXCEPTION_DUE,
            resolution: None,
            resolved_by: None,
            resolved_at: None,
            created_at: now,
        }
    }
}

/// The response is over, whatever came of it; `given` when it was.
pub(super) fn end(dispute: &mut Dispute, operation: Operation, given: bool) {
    match (operation, given) {
        (Operation::Submit, true) => dispute.submission_count = dispute.submission_count.saturating_add(1),
        // the round is open again
        (Operation::Submit, false) => dispute.answered -= 1,
        (Operation::Close, _) => {}
    }
    dispute.operation = None;
    dispute.request_key = None;
    dispute.check_at = None;
}

/// This merchant's dispute.
pub async fn load(call: &Call, dispute_id: &str) -> Result<Dispute, ApiError> {
    let found = if id::is_valid(id::prefix::DISPUTE, dispute_id) {
        let client = call.app.reads.get().await?;
        payment::store::get(&**client, call.book_id(), dispute_id).await?
    } else {
        None
    };
    found.ok_or_else(|| ApiError::not_found("dispute", dispute_id, "dispute"))
}

/// Disputes as the wire shows them, with their balance transactions in one read.
pub async fn rendered(call: &Call, disputes: &[Dispute]) -> Result<Vec<serde_json::Value>, ApiError> {
    let client = call.app.reads.get().await?;
    let transactions = store::transactions(&**client, call.book_id(), disputes).await?;
    Ok(disputes
        .iter()
        .map(|dispute| wire::dispute(dispute, &transactions, call.at))
        .collect())
}

pub(super) async fn expanded(call: &Call, mut object: serde_json::Value) -> Result<Answer, ApiError> {
    crate::api::expand::expand(call, &mut object, &[]).await?;
    Ok(Answer::ok(&object))
}

async fn by_acquirer(call: &Call, connector: &str, acquirer_id: &str) -> Result<Option<Dispute>, ApiError> {
    let client = call.app.reads.get().await?;
    Ok(store::by_acquirer(&**client, call.book_id(), connector, acquirer_id).await?)
}

fn fact(payment: &Payment, kind: DisputeReport, told: &AcquirerDispute, inherited: i64) -> Result<Fact, ApiError> {
    let unreadable = |what: String| Err(ApiError::invalid("dispute_unreadable", "", what));
    let Some(status) = Status::parse(&told.status) else {
        return unreadable(format!(
            "The acquirer reports an unknown dispute status: {}.",
            crate::api::error::shown(&told.status)
        ));
    };
    if told.currency != payment.currency {
        return unreadable(format!(
            "The acquirer disputes a payment in {} in {}: the exchange must be booked by a person.",
            payment.currency,
            crate::api::error::shown(&told.currency)
        ));
    }
    if let Some(other) = told.moves.iter().find(|m| m.currency != payment.currency) {
        return unreadable(format!(
            "The acquirer took a disputed payment in {} in {}: the exchange must be booked by a person.",
            payment.currency,
            crate::api::error::shown(&other.currency)
        ));
    }
    Ok(Fact {
        status,
        phase: told.phase,
        amount: told.amount,
        moves: if told.moves.is_empty() {
            implied(kind, told)
        } else {
            told.moves.clone()
        },
        inherited,
    })
}

/// What an acquirer that lists no movements says by the kind of its message alone.
fn implied(kind: DisputeReport, told: &AcquirerDispute) -> Vec<DisputeMove> {
    let moved = |what: &str, amount: i64| DisputeMove {
        id: format!("{}:{what}", told.acquirer_id),
        amount,
        fee: 0,
        currency: told.currency.clone(),
    };
    match kind {
        DisputeReport::FundsWithdrawn => vec![moved("withdrawn", told.amount.saturating_neg())],
        DisputeReport::FundsReinstated => vec![
            moved("withdrawn", told.amount.saturating_neg()),
            moved("reinstated", told.amount),
        ],
        DisputeReport::Created | DisputeReport::Updated | DisputeReport::Closed => Vec::new(),
    }
}

/// Zero means that no answer is possible.
fn due_by(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_second(seconds).ok().filter(|_| seconds > 0)
}

/// The merchant's lines: principal with the fee that came with it, and what the platform bears.
fn lines(
    call: &Call,
    dispute: &Dispute,
    movements: &[Movement],
    journals: &[ledger::journal::Journal],
) -> Vec<BalanceTransaction> {
    let mut rows: Vec<BalanceTransaction> = Vec::new();
    for (movement, journal) in movements.iter().zip(journals) {
        let journal = journal.id();
        let fee = match *movement {
            Movement::Taken(amount) => {
                rows.push(line(call, dispute, -amount, 0, journal, "Chargeback withdrawal"));
                continue;
            }
            Movement::TakenAgain(amount) => {
                rows.push(line(call, dispute, -amount, 0, journal, "Second chargeback withdrawal"));
                continue;
            }
            Movement::Returned(amount) => {
                rows.push(line(call, dispute, amount, 0, journal, "Chargeback reversal"));
                continue;
            }
            Movement::LostByPlatform(amount) => {
                rows.push(line(
                    call,
                    dispute,
                    amount,
                    0,
                    journal,
                    "Chargeback borne by the platform",
                ));
                continue;
            }
            Movement::Fee(fee) | Movement::CounterFee(fee) => fee,
            Movement::FeeReturned(fee) => -fee,
            _ => continue,
        };
        match rows.last_mut().filter(|row| row.fee == 0) {
            Some(row) => {
                row.fee = fee;
                row.net = row.amount - fee;
            }
            None => rows.push(line(call, dispute, 0, fee, journal, "Dispute fee")),
        }
    }
    rows
}

fn line(
    call: &Call,
    dispute: &Dispute,
    amount: i64,
    fee: i64,
    journal_id: uuid::Uuid,
    description: &str,
) -> BalanceTransaction {
    let now = call.app.clock.now();
    BalanceTransaction {
        book_id: dispute.book_id,
        id: id::new(id::prefix::BALANCE_TRANSACTION),
        r#type: "adjustment".into(),
        amount,
        fee,
        application_fee: 0,
        net: amount - fee,
        currency: dispute.currency.clone(),
        source_id: dispute.id.clone(),
        payment_id: Some(dispute.payment_id.clone()),
        journal_id,
        description: Some(format!("{description} for {}", dispute.charge_id)),
        available_on: now,
        created_at: now,
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        ApiError::invalid(
            "dispute_contradiction",
            "",
            format!("The acquirer's report about a dispute is refused: {rejection}."),
        )
    }
}
