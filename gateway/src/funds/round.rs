//! What time brings to a merchant's money: sales become available, the reserve takes its part and gives it back, what is owed is
//! recovered, and automatic payouts are made. One unit per book and currency, under the version of its row.
//!
//! Several processes may run it: rows are claimed with SKIP LOCKED and a lease, and of two units on one row one is refused. A
//! balance that a refund takes meanwhile makes the ledger refuse; the next round looks again.

use super::accounting::{BANK, Holdings, Plan};
use super::bank;
use super::payout::{self, Made};
use super::rows::{Funds, ReserveLot};
use super::store;
use crate::account::Merchant;
use crate::account::rows::Interval;
use crate::api::error::ApiError;
use crate::app::App;
use crate::call::Call;
use crate::commit::{Refused, Unit};
use crate::id;
use crate::payment::accounting::Books;
use crate::payment::rows::BalanceTransaction;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use ledger::{BookId, Chart};
use std::sync::Arc;

const BATCH: i64 = 50;
/// While everything pending is unripe, nothing can happen but by what is owed: this often is enough.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);
/// Lots looked at in one round; more are released in the next.
const LOTS: i64 = 200;

/// One round: every due row once. Returns how many moved money.
pub async fn round(app: &Arc<App>) -> Result<usize, ApiError> {
    let due: Vec<Funds> = {
        let client = app.reads.get().await?;
        let lease = app.settings.sweep_lease.as_secs_f64();
        crate::payment::store::claim_due(&**client, app.clock.now(), lease, BATCH).await?
    };
    let mut moved = 0;
    for funds in due {
        let (book_id, currency) = (funds.book_id, funds.id.clone());
        match settle(app, funds).await {
            Ok(true) => moved += 1,
            Ok(false) => {}
            Err(error) => tracing::warn!(
                book_id,
                currency,
                error = error.message,
                "funds were not settled; trying again"
            ),
        }
    }
    Ok(moved)
}

/// Opens what funds need in this currency, and begins their row.
pub async fn open(app: &App, books: &Books<'_>) -> Result<(), ApiError> {
    let client = app.reads.get().await?;
    let accounts = books.funds_accounts().map_err(Refused::Ledger)?;
    ledger::open(&**client, books.book, &accounts).await?;
    store::begin(&**client, books.book.0, books.currency.as_str(), books.at).await?;
    Ok(())
}

async fn settle(app: &Arc<App>, mut funds: Funds) -> Result<bool, ApiError> {
    let merchant = app.merchant_by_book(funds.book_id).await?;
    let call = Call::background(app.clone(), merchant.clone());
    let now = call.at;
    let currency = funds.id.clone();
    let books = Books {
        book: BookId(funds.book_id),
        currency: crate::app::currency(&currency)?,
        connector: BANK,
        at: now,
    };
    // The order matters: a sale that comes in between counts as unripe and not as pending, never the other way round.
    let charts = [
        Chart::MerchantPending,
        Chart::MerchantAvailable,
        Chart::MerchantReceivable,
    ];
    let balances = app.available(&books, &charts).await?;
    let holdings = Holdings {
        pending: balances[0],
        available: balances[1],
        owed: balances[2],
    };
    let (unsettled, lots) = {
        let client = app.reads.get().await?;
        let unsettled = store::unsettled(&**client, funds.book_id, &currency, &funds.settled_through, now).await?;
        (unsettled, store::lots(&**client, funds.book_id, &currency, LOTS).await?)
    };
    let mut unit = Work {
        unit: Unit::new(funds.book_id),
        moved: false,
    };
    let released = release(&call, &books, &mut unit, &lots, holdings)?;
    let plan = Plan::of(holdings, unsettled.net, merchant.reserve_bps, released);
    let open = plan.reserve > 0 || funds.payout_at.is_some() || merchant.payout_interval != Interval::Manual;
    if open {
        self::open(app, &books).await?;
    }
    if plan.settle > 0 {
        unit.journal(books.settled(plan.settle).map_err(Refused::Ledger)?);
    }
    if plan.reserve > 0 {
        let lot = ReserveLot {
            book_id: funds.book_id,
            id: id::new(id::prefix::RESERVE_LOT),
            version: 1,
            currency: currency.clone(),
            amount: plan.reserve,
            remaining: plan.reserve,
            release_at: now + SignedDuration::from_hours(24 * i64::from(merchant.reserve_days)),
            created_at: now,
        };
        let journal = books.reserved(&lot).map_err(Refused::Ledger)?;
        unit.unit = unit
            .unit
            .insert(&lot)
            .insert(&line(&call, &lot.id, &currency, -plan.reserve, journal.id()));
        unit.journal(journal);
    }
    if plan.recover > 0 {
        unit.journal(books.recovered(plan.recover).map_err(Refused::Ledger)?);
    }
    let settled_through = unsettled.settled_through.clone();
    let paid = automatic(
        &call,
        &books,
        &mut funds,
        &plan,
        holdings,
        released,
        &unsettled.ripe_through,
    )
    .await?;
    if let Some(made) = paid {
        unit.moved = true;
        unit.unit = made.write(&call, unit.unit);
    }
    let ripe_at = unsettled.next_at.map(|at| at.min(now + LONGEST));
    let lot_at = lots.iter().map(|lot| lot.release_at).filter(|at| *at > now).min();
    let soon = now + SignedDuration::try_from(app.settings.funds_every).unwrap_or(LONGEST);
    let next = [
        ripe_at.unwrap_or(soon),
        lot_at.unwrap_or(now + LONGEST),
        funds.payout_at.unwrap_or(now + LONGEST),
    ];
    funds.check_at = next.into_iter().min().unwrap_or(soon).max(soon);
    funds.settled_through = settled_through;
    let moved = unit.moved;
    match app.commit(unit.unit.update(&mut funds)).await {
        Ok(()) => Ok(moved),
        // Another process, a refund or a payout was faster: the lease ends, and it is looked at again.
        Err(Refused::Conflict { .. } | Refused::Ledger(_)) => Ok(false),
        Err(refused) => Err(refused.into()),
    }
}

struct Work {
    unit: Unit,
    moved: bool,
}

impl Work {
    fn journal(&mut self, journal: ledger::journal::Journal) {
        self.moved = true;
        let unit = std::mem::replace(&mut self.unit, Unit::new(0));
        self.unit = unit.journals([journal]);
    }
}

/// Lots whose time has come, and, while the merchant owes more than it has, the next ones too. How much that is.
fn release(
    call: &Call,
    books: &Books<'_>,
    work: &mut Work,
    lots: &[ReserveLot],
    holdings: Holdings,
) -> Result<i64, ApiError> {
    let mut released = 0i64;
    for lot in lots {
        let missing = holdings
            .owed
            .saturating_sub(holdings.available.max(0))
            .saturating_sub(holdings.pending.max(0));
        let amount = if lot.release_at <= call.at {
            lot.remaining
        } else {
            lot.remaining.min(missing.saturating_sub(released).max(0))
        };
        if amount == 0 {
            continue;
        }
        let mut lot = lot.clone();
        lot.remaining -= amount;
        let journal = books.released(&lot, amount).map_err(Refused::Ledger)?;
        let row = line(call, &lot.id, &lot.currency, amount, journal.id());
        let unit = std::mem::replace(&mut work.unit, Unit::new(0));
        work.unit = unit.update(&mut lot).insert(&row);
        work.journal(journal);
        released = released.saturating_add(amount);
    }
    Ok(released)
}

/// The automatic payout that is due: everything that is the merchant's, when there is somewhere to send it.
async fn automatic(
    call: &Call,
    books: &Books<'_>,
    funds: &mut Funds,
    plan: &Plan,
    holdings: Holdings,
    released: i64,
    ripe_through: &str,
) -> Result<Option<Made>, ApiError> {
    let merchant = &call.merchant;
    if merchant.payout_interval == Interval::Manual {
        funds.payout_at = None;
        return Ok(None);
    }
    let Some(due) = funds.payout_at else {
        funds.payout_at = Some(next_payout(merchant, call.at));
        return Ok(None);
    };
    if due > call.at {
        return Ok(None);
    }
    funds.payout_at = Some(next_payout(merchant, call.at));
    let amount = plan.payable(holdings, released).min(crate::api::params::MAX_AMOUNT);
    if amount == 0 || !merchant.payouts_enabled() {
        return Ok(None);
    }
    let accounts = {
        let client = call.app.reads.get().await?;
        store::bank_accounts(&**client, funds.book_id).await?
    };
    let Some(destination) = bank::default_of(&accounts, &funds.id) else {
        tracing::info!(
            account = merchant.id,
            currency = funds.id,
            "no bank account for an automatic payout"
        );
        return Ok(None);
    };
    let mut made = payout::make(call, books, destination, amount, true)?;
    made.payout.details.after = Some(funds.paid_through.clone());
    let through = funds.paid_through.as_str().max(ripe_through).to_owned();
    made.payout.details.through = Some(through.clone());
    funds.paid_through = through;
    Ok(Some(made))
}

/// Midnight UTC of the next day, or of the next such weekday.
fn next_payout(merchant: &Merchant, now: Timestamp) -> Timestamp {
    let today = now.to_zoned(TimeZone::UTC).date();
    let days = match (merchant.payout_interval, merchant.payout_weekday) {
        (Interval::Weekly, Some(weekday)) => {
            let ahead = i64::from(weekday) - i64::from(today.weekday().to_monday_one_offset());
            if ahead <= 0 { ahead + 7 } else { ahead }
        }
        _ => 1,
    };
    today
        .checked_add(days.days())
        .and_then(|date| date.to_zoned(TimeZone::UTC))
        .map_or(now + SignedDuration::from_hours(24), |midnight| midnight.timestamp())
}

/// The merchant's line about its reserve.
fn line(call: &Call, lot_id: &str, currency: &str, amount: i64, journal_id: uuid::Uuid) -> BalanceTransaction {
    BalanceTransaction {
        book_id: call.book_id(),
        id: id::new(id::prefix::BALANCE_TRANSACTION),
        r#type: "reserve_transaction".into(),
        amount,
        fee: 0,
        application_fee: 0,
        net: amount,
        currency: currency.to_owned(),
        source_id: lot_id.to_owned(),
        payment_id: None,
        journal_id,
        description: Some(
            if amount < 0 {
                "Rolling reserve"
            } else {
                "Rolling reserve, released"
            }
            .into(),
        ),
        available_on: call.at,
        created_at: call.at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payouts_are_at_midnight_of_the_next_day_or_of_the_chosen_weekday() {
        let now: Timestamp = "2026-11-25T10:00:00Z".parse().unwrap(); // a Wednesday
        let mut merchant = crate::account::state::tests::account(crate::account::state::Status::Active);
        let next = |merchant: &Merchant| next_payout(merchant, now).to_string();
        merchant.payout_interval = Interval::Daily;
        assert_eq!(next(&merchant), "2026-11-26T00:00:00Z");
        merchant.payout_interval = Interval::Weekly;
        for (weekday, date) in [
            (3, "2026-12-02"),
            (4, "2026-11-26"),
            (1, "2026-11-30"),
            (7, "2026-11-29"),
        ] {
            merchant.payout_weekday = Some(weekday);
            assert_eq!(next(&merchant), format!("{date}T00:00:00Z"));
        }
    }
}
