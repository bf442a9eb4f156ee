//! Payouts: what callers ask for, and what the bank says became of them.
//!
//! A payout's amount leaves the merchant's balance in the commit that makes it (J29a): the ledger's limit on 2020 is the lock, so
//! two payouts never send the same money, in any race and after any crash. What happens at the bank is told by [`report`], once
//! or often, and each fact moves money exactly once. It must never call a bank.

use super::accounting::BANK;
use super::bank;
use super::round;
use super::rows::{BankAccount, Payout, PayoutDetails};
use super::state::{self, Fact, Rejection, Status};
use super::store;
use crate::api::error::ApiError;
use crate::call::{Answer, Call};
use crate::commit::{Refused, Unit};
use crate::payment::accounting::Books;
use crate::payment::flow::{claim, merge_metadata};
use crate::payment::rows::BalanceTransaction;
use crate::payment::store::get;
use crate::{id, wire};
use jiff::SignedDuration;
use ledger::journal::Journal;
use ledger::{BookId, Chart};
use std::collections::BTreeMap;

const RETRIES: usize = 20;
/// Banks take a day or two.
const ARRIVES_AFTER: SignedDuration = SignedDuration::from_hours(48);

/// What a caller wants paid out.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct NewPayout {
    pub amount: i64,
    pub currency: String,
    /// the currency's default bank account when absent
    pub destination_id: Option<String>,
    pub description: Option<String>,
    pub statement_descriptor: Option<String>,
    pub metadata: BTreeMap<String, String>,
}

/// A payout with everything that is written with it.
pub(super) struct Made {
    pub payout: Payout,
    line: BalanceTransaction,
    journal: Journal,
}

impl Made {
    pub(super) fn write(self, call: &Call, unit: Unit) -> Unit {
        let event = call.event("payout.created", &wire::payout(&self.payout));
        let unit = unit.insert(&self.payout).insert(&self.line).insert(&event);
        unit.journals([self.journal])
    }
}

/// A new payout to this account, not written yet.
pub(super) fn make(
    call: &Call,
    books: &Books<'_>,
    destination: &BankAccount,
    amount: i64,
    automatic: bool,
) -> Result<Made, ApiError> {
    let line_id = id::new(id::prefix::BALANCE_TRANSACTION);
    let payout = Payout {
        book_id: call.book_id(),
        id: id::new(id::prefix::PAYOUT),
        version: 1,
        status: Status::Pending,
        amount,
        currency: books.currency.as_str().to_owned(),
        destination_id: destination.id.clone(),
        automatic,
        balance_transaction_id: line_id.clone(),
        failure_balance_transaction_id: None,
        failure_code: None,
        failure_message: None,
        bank_reference: None,
        arrival_at: call.at + ARRIVES_AFTER,
        sent_at: None,
        ended_at: None,
        created_at: call.at,
        details: PayoutDetails::default(),
    };
    let journal = books.payout_created(&payout).map_err(Refused::Ledger)?;
    let line = line(call, &payout, line_id, "payout", -amount, &journal);
    Ok(Made { payout, line, journal })
}

/// Pays out, by hand.
pub async fn create(call: &Call, new: &NewPayout) -> Result<Answer, ApiError> {
    may_be_paid(call).await?;
    let destination = destination(call, &new.currency, new.destination_id.as_deref()).await?;
    let books = books(call, &new.currency)?;
    round::open(&call.app, &books).await?;
    for _ in 0..RETRIES {
        let balances = call
            .app
            .available(&books, &[Chart::MerchantAvailable, Chart::MerchantReceivable])
            .await?;
        let payable = balances[0].saturating_sub(balances[1]).max(0);
        if new.amount > payable {
            return Err(ApiError::invalid(
                "balance_insufficient",
                "amount",
                format!(
                    "You have insufficient funds in your account for this payout: {} can be paid out.",
                    wire::amount(payable, &new.currency)
                ),
            ));
        }
        let mut made = make(call, &books, &destination, new.amount, false)?;
        made.payout.details = PayoutDetails {
            description: new.description.clone(),
            statement_descriptor: new.statement_descriptor.clone(),
            metadata: new.metadata.clone(),
            ..PayoutDetails::default()
        };
        let payout_id = made.payout.id.clone();
        let answer = answer(call, &made.payout).await?;
        let unit = made.write(call, Unit::new(call.book_id()));
        match call.app.commit(claim(call, unit, &payout_id, Some(&answer))).await {
            // Another payout or a refund took the balance that this one counted on: look again.
            Err(Refused::Conflict { .. } | Refused::Ledger(_)) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// What happened to a payout, as the bank or the merchant says; `reference` is the bank's own. Safe to repeat.
pub async fn report(call: &Call, payout_id: &str, fact: &Fact, reference: Option<&str>) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let payout = load(call, payout_id).await?;
        let mut next = match state::apply(&payout, fact, call.at) {
            Ok(next) => next,
            Err(Rejection::AlreadyApplied) => {
                let answer = answer(call, &payout).await?;
                let unit = claim(call, Unit::new(call.book_id()), payout_id, Some(&answer));
                return call.app.commit(unit).await.map(|()| answer).map_err(ApiError::from);
            }
            Err(rejection) => return Err(rejection.into()),
        };
        if let Some(reference) = reference {
            next.bank_reference = Some(reference.to_owned());
        }
        let books = books(call, &payout.currency)?;
        let (journal, line_type) = match fact {
            Fact::Sent => (None, None),
            Fact::Paid => (Some(books.payout_paid(&payout)), None),
            Fact::Failed { .. } => (Some(books.payout_rejected(&payout)), Some("payout_failure")),
            Fact::Canceled => (Some(books.payout_rejected(&payout)), Some("payout_cancel")),
            Fact::Returned { .. } => (Some(books.payout_returned(&payout)), Some("payout_failure")),
        };
        let journal = journal.transpose().map_err(Refused::Ledger)?;
        let mut unit = Unit::new(call.book_id());
        if let (Some(kind), Some(journal)) = (line_type, &journal) {
            let row = line(
                call,
                &payout,
                id::new(id::prefix::BALANCE_TRANSACTION),
                kind,
                payout.amount,
                journal,
            );
            next.failure_balance_transaction_id = Some(row.id.clone());
            unit = unit.insert(&row);
        }
        let unit = unit.update(&mut next).journals(journal);
        let r#type = match fact {
            Fact::Sent => "payout.updated",
            Fact::Paid => "payout.paid",
            Fact::Failed { .. } | Fact::Returned { .. } => "payout.failed",
            Fact::Canceled => "payout.canceled",
        };
        let unit = unit.insert(&call.event(r#type, &wire::payout(&next)));
        let answer = answer(call, &next).await?;
        match call.app.commit(claim(call, unit, payout_id, Some(&answer))).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// Changes the metadata of a payout.
pub async fn update(
    call: &Call,
    payout_id: &str,
    metadata: BTreeMap<String, Option<String>>,
) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let mut payout = load(call, payout_id).await?;
        merge_metadata(&mut payout.details.metadata, metadata.clone());
        let unit = Unit::new(call.book_id()).update(&mut payout);
        let unit = unit.insert(&call.event("payout.updated", &wire::payout(&payout)));
        let answer = answer(call, &payout).await?;
        match call.app.commit(claim(call, unit, payout_id, Some(&answer))).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// This merchant's payout.
pub async fn load(call: &Call, payout_id: &str) -> Result<Payout, ApiError> {
    let found = if id::is_valid(id::prefix::PAYOUT, payout_id) {
        let client = call.app.reads.get().await?;
        get(&**client, call.book_id(), payout_id).await?
    } else {
        None
    };
    found.ok_or_else(|| ApiError::not_found("payout", payout_id, "payout"))
}

/// Read from the database, not from what this process remembers of the account: a payout that was paused a second ago must not go.
async fn may_be_paid(call: &Call) -> Result<(), ApiError> {
    let merchant = {
        let client = call.app.reads.get().await?;
        crate::account::store::by_book(&**client, call.book_id()).await?
    };
    let merchant = merchant.ok_or_else(|| ApiError::internal("a book without a merchant"))?;
    merchant.may_charge().map_err(|mut error| {
        error.message = error.message.replace("take payments", "be paid out");
        error
    })?;
    if merchant.payouts_enabled() {
        return Ok(());
    }
    Err(ApiError::forbidden(
        "payouts_paused",
        "Payouts of this account are paused by the platform.",
    ))
}

async fn destination(call: &Call, currency: &str, wanted: Option<&str>) -> Result<BankAccount, ApiError> {
    let accounts = {
        let client = call.app.reads.get().await?;
        store::bank_accounts(&**client, call.book_id()).await?
    };
    let Some(wanted) = wanted else {
        return bank::default_of(&accounts, currency).cloned().ok_or_else(|| {
            ApiError::invalid(
                "no_account",
                "currency",
                format!("You have no bank account for payouts in {currency}: add one under external_accounts."),
            )
        });
    };
    let account = accounts
        .into_iter()
        .find(|a| a.id == wanted)
        .ok_or_else(|| ApiError::not_found("external account", wanted, "destination"))?;
    if account.currency != currency {
        return Err(ApiError::invalid(
            "parameter_invalid_value",
            "destination",
            format!("This bank account takes {}, not {currency}.", account.currency),
        ));
    }
    Ok(account)
}

fn books(call: &Call, currency: &str) -> Result<Books<'static>, ApiError> {
    Ok(Books {
        book: BookId(call.book_id()),
        currency: crate::app::currency(currency)?,
        connector: BANK,
        at: call.app.clock.now(),
    })
}

fn line(
    call: &Call,
    payout: &Payout,
    line_id: String,
    kind: &str,
    amount: i64,
    journal: &Journal,
) -> BalanceTransaction {
    let now = call.app.clock.now();
    BalanceTransaction {
        book_id: payout.book_id,
        id: line_id,
        r#type: kind.into(),
        amount,
        fee: 0,
        application_fee: 0,
        net: amount,
        currency: payout.currency.clone(),
        source_id: payout.id.clone(),
        payment_id: None,
        journal_id: journal.id(),
        description: Some(if amount < 0 { "PAYOUT" } else { "PAYOUT REVERSED" }.into()),
        available_on: now,
        created_at: now,
    }
}

async fn answer(call: &Call, payout: &Payout) -> Result<Answer, ApiError> {
    let mut object = wire::payout(payout);
    crate::api::expand::expand(call, &mut object, &[]).await?;
    Ok(Answer::ok(&object))
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        ApiError::invalid(
            "payout_unexpected_state",
            "",
            format!("{}.", rejection.to_string().replacen('a', "A", 1)),
        )
    }
}
