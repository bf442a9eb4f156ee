//! What callers ask of accounts: make one, describe it, move it along. Each is one unit: row, event and stored answer.
//!
//! The request's idempotency key belongs to the caller's own account, row and event to the account concerned. It must never
//! change a status except through `state::apply`.

use super::rows::{Interval, Merchant, MerchantDetails};
use super::state::{self, Fact, Rejection, Status};
use super::store;
use crate::api::error::ApiError;
use crate::call::{Answer, Call};
use crate::commit::{Refused, Unit};
use crate::event::Event;
use crate::payment::flow::claim;
use crate::{id, wire};
use ledger::{BookId, Chart};

const RETRIES: usize = 20;

/// What a new account begins with.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct NewAccount {
    pub name: String,
    pub country: String,
    pub default_currency: String,
    pub details: MerchantDetails,
}

/// Makes an account, a draft, with a book of its own.
pub async fn create(call: &Call, new: NewAccount) -> Result<Answer, ApiError> {
    // A replay must not open another book.
    if let Some(stored) = crate::api::idempotency::stored(call).await? {
        return Ok(stored);
    }
    let id = id::new(id::prefix::ACCOUNT);
    // A book without a merchant, should this process die right here, is empty and disturbs nobody.
    let book = {
        let client = call.app.reads.get().await?;
        ledger::open_book(&**client, &id, &new.name).await?
    };
    let account = Merchant {
        book_id: book.0,
        id,
        version: 1,
        name: new.name,
        status: Status::Draft,
        status_reason: None,
        country: new.country,
        default_currency: new.default_currency,
        created_at: call.at,
        submitted_by: None,
        decided_by: None,
        offboarding_by: None,
        reverify_at: None,
        payouts_paused: false,
        delay_days: None,
        payout_interval: Interval::Manual,
        payout_weekday: None,
        reserve_bps: 0,
        reserve_days: 0,
        details: new.details,
        terms: Vec::new(),
    };
    let answer = Answer::ok(&wire::account(&account));
    let unit = Unit::new(call.book_id())
        .insert(&account)
        .insert(&updated(call, &account));
    call.app.commit(claim(call, unit, &account.id, Some(&answer))).await?;
    Ok(answer)
}

/// Changes what is on file. What an examination has looked at is changed by the platform alone, unless the account is being
/// (re)applied for, and an account that has to be complete stays so.
pub async fn update(
    call: &Call,
    account_id: &str,
    platform: bool,
    change: impl Fn(&mut Merchant),
) -> Result<Answer, ApiError> {
    modify(call, account_id, |account| {
        let mut next = account.clone();
        change(&mut next);
        let open = matches!(account.status, Status::Draft | Status::Restricted);
        let examined = (&next.details.company, &next.name) != (&account.details.company, &account.name);
        if examined && !open && !platform {
            return Err(ApiError::invalid(
                "account_examined",
                "company",
                format!(
                    "The legal identity of an account that is {} is changed by the platform.",
                    account.status.as_str()
                ),
            ));
        }
        if !open {
            let before = account.missing();
            let missing: Vec<_> = next.missing().into_iter().filter(|m| !before.contains(m)).collect();
            if !missing.is_empty() {
                return Err(Rejection::Incomplete { missing }.into());
            }
        }
        if next.details.return_policy != account.details.return_policy
            && let Some(policy) = &mut next.details.return_policy
        {
            policy.version = account
                .details
                .return_policy
                .as_ref()
                .map_or(0, |p| p.version)
                .saturating_add(1);
        }
        Ok(next)
    })
    .await
}

/// Moves an account along.
pub async fn step(call: &Call, account_id: &str, fact: &Fact) -> Result<Answer, ApiError> {
    if matches!(fact, Fact::Offboarded { .. }) {
        must_be_empty(call, account_id).await?;
    }
    modify(call, account_id, |account| Ok(state::apply(account, fact)?)).await
}

/// Asked for by one, done by the second.
pub async fn offboard(call: &Call, account_id: &str, by: String, reason: String) -> Result<Answer, ApiError> {
    let account = load(call, account_id).await?;
    let fact = match &account.offboarding_by {
        Some(first) if *first != by => Fact::Offboarded { by },
        _ => Fact::EndProposed { by, reason },
    };
    step(call, account_id, &fact).await
}

/// Reads, changes and writes an account, again when it has moved meanwhile.
pub async fn modify(
    call: &Call,
    account_id: &str,
    change: impl Fn(&Merchant) -> Result<Merchant, ApiError>,
) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let account = load(call, account_id).await?;
        let mut next = change(&account)?;
        let unit = Unit::new(call.book_id()).update(&mut next);
        let answer = Answer::ok(&wire::account(&next));
        let unit = unit.insert(&updated(call, &next));
        match call.app.commit(claim(call, unit, account_id, Some(&answer))).await {
            Ok(()) => {
                call.app.forget_merchant(&next);
                return Ok(answer);
            }
            Err(Refused::Conflict { .. }) => continue,
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(Refused::conflict().into())
}

/// The account as the database has it now.
pub async fn load(call: &Call, account_id: &str) -> Result<Merchant, ApiError> {
    let client = call.app.reads.get().await?;
    store::by_id(&**client, account_id)
        .await?
        .ok_or_else(|| ApiError::not_found("account", account_id, "account"))
}

/// Nobody's money is left behind.
async fn must_be_empty(call: &Call, account_id: &str) -> Result<(), ApiError> {
    let account = load(call, account_id).await?;
    let client = call.app.reads.get().await?;
    let balances = ledger::balance::of_book(&**client, BookId(account.book_id)).await?;
    let owed = balances.iter().find(|balance| {
        let chart = balance.account.chart();
        OWED.contains(&chart) && (balance.posted() != 0 || balance.incoming() != 0)
    });
    match owed {
        None => Ok(()),
        Some(balance) => Err(ApiError::invalid(
            "account_has_balance",
            "",
            format!(
                "The account still has {} in {}: pay it out, or settle what it owes, first.",
                balance.account.chart().title(),
                balance.account.currency()
            ),
        )),
    }
}

fn updated(call: &Call, account: &Merchant) -> Event {
    Event {
        book_id: account.book_id,
        ..call.event("account.updated", &wire::account(account))
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        let (code, param) = match &rejection {
            Rejection::UnexpectedState { .. } => ("account_unexpected_state", ""),
            Rejection::SamePerson { .. } => ("second_person_required", ""),
            Rejection::Incomplete { missing } => ("account_incomplete", missing.first().copied().unwrap_or_default()),
            Rejection::ReverifyAt => ("parameter_invalid_integer", "reverify_at"),
        };
        let mut text = rejection.to_string();
        text[..1].make_ascii_uppercase();
        ApiError::invalid(code, param, format!("{text}."))
    }
}

/// Accounts of a book that say who is owed something.
const OWED: [Chart; 8] = [
    Chart::MerchantReceivable,
    Chart::MerchantPending,
    Chart::MerchantAvailable,
    Chart::MerchantReserve,
    Chart::MerchantDeposit,
    Chart::DisputeHold,
    Chart::RefundPayable,
    Chart::PayoutsInTransit,
];
