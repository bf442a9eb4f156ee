//! Application fees: what a platform takes of a charge beside its fee schedule, when it is captured (J04), and gives back (J10).
//!
//! A part takes no more than what is left of it after the fee schedule's own fee; captures in parts take the rest of the fee with the
//! next. It must never be given back by anyone but the platform, nor more of it than was taken.

use super::accounting::Books;
use super::rows::*;
use super::store;
use crate::api::error::ApiError;
use crate::call::{Answer, Call};
use crate::commit::{Refused, Row, Table, Unit, Versioned};
use crate::{id, wire};
use jiff::Timestamp;
use ledger::journal::Journal;
use ledger::{Chart, JournalCode, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use tokio_postgres::types::Type;

/// `gateway.application_fee`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ApplicationFee {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub charge_id: String,
    pub amount: i64,
    pub amount_refunded: i64,
    pub currency: String,
    pub created_at: Timestamp,
}

/// `gateway.fee_refund`: a part of an application fee that was given back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct FeeRefund {
    pub book_id: i64,
    pub id: String,
    pub fee_id: String,
    pub amount: i64,
    pub currency: String,
    pub balance_transaction_id: String,
    pub metadata: BTreeMap<String, String>,
    pub created_at: Timestamp,
}

/// What a platform took with a capture.
#[derive(Clone, Debug, Default)]
pub(super) struct Collected {
    /// minor units
    pub amount: i64,
    /// the fee as it becomes, rendered
    pub object: Option<Value>,
}

/// Adds to the unit of a capture what the platform takes of it: at most `room`, minor units.
pub(super) async fn collect(
    call: &Call,
    unit: Unit,
    books: &Books<'_>,
    payment: &Payment,
    charge: &mut Charge,
    room: i64,
) -> Result<(Unit, Collected), ApiError> {
    let Some(asked) = payment.application_fee_amount else {
        return Ok((unit, Collected::default()));
    };
    let known = match &charge.application_fee_id {
        Some(fee_id) => Some(load(call, fee_id).await?),
        None => None,
    };
    let taken = known.as_ref().map_or(0, |fee| fee.amount);
    let amount = asked.saturating_sub(taken).min(room);
    if amount <= 0 {
        return Ok((unit, Collected::default()));
    }
    let collected = |object| Collected {
        amount,
        object: Some(object),
    };
    if let Some(mut fee) = known {
        fee.amount += amount;
        let journal = books.application_fee(&fee, amount).map_err(Refused::Ledger)?;
        let unit = unit.update(&mut fee).journals([journal]);
        let given_back = {
            let client = call.app.reads.get().await?;
            refunds(&**client, fee.book_id, &[&fee.id]).await?
        };
        let object = wire::application_fee(&fee, &call.merchant.id, &given_back);
        return Ok((unit, collected(object)));
    }
    let fee = ApplicationFee {
        book_id: charge.book_id,
        id: id::new(id::prefix::APPLICATION_FEE),
        version: 1,
        charge_id: charge.id.clone(),
        amount,
        amount_refunded: 0,
        currency: charge.currency.clone(),
        created_at: call.app.clock.now(),
    };
    charge.application_fee_id = Some(fee.id.clone());
    let journal = books.application_fee(&fee, amount).map_err(Refused::Ledger)?;
    let object = wire::application_fee(&fee, &call.merchant.id, &[]);
    let unit = unit
        .insert(&fee)
        .insert(&call.event("application_fee.created", &object))
        .journals([journal]);
    Ok((unit, collected(object)))
}

/// Adds to the unit of a refund the part of the application fee that goes back with it: as much of the fee as of the charge, so
/// that all of it has gone back when all of the charge has. `refunded`: of the charge, with this refund.
pub(super) async fn give_back_with(call: &Call, unit: Unit, charge: &Charge, refunded: i64) -> Result<Unit, ApiError> {
    let Some(fee_id) = &charge.application_fee_id else {
        return Ok(unit);
    };
    let fee = load(call, fee_id).await?;
    let amount = share(fee.amount, refunded, charge.amount_captured).saturating_sub(fee.amount_refunded);
    if amount <= 0 {
        return Ok(unit);
    }
    Ok(refunded_by(call, unit, fee, amount, BTreeMap::new())?.0)
}

/// Gives back an application fee, all that is left of it when no amount is said.
pub async fn refund(
    call: &Call,
    fee_id: &str,
    amount: Option<i64>,
    metadata: BTreeMap<String, String>,
) -> Result<Answer, ApiError> {
    for _ in 0..super::flow::RETRIES {
        let fee = load(call, fee_id).await?;
        let left = fee.amount - fee.amount_refunded;
        if left == 0 {
            return Err(ApiError::invalid(
                "application_fee_already_refunded",
                "",
                format!("The application fee {fee_id} has already been refunded in full."),
            ));
        }
        let amount = amount.unwrap_or(left);
        if amount > left {
            return Err(ApiError::invalid(
                "amount_too_large",
                "amount",
                format!("Refund amount ({amount}) is greater than what is left of the application fee ({left})."),
            ));
        }
        let unit = Unit::new(call.book_id());
        let (unit, refund) = refunded_by(call, unit, fee, amount, metadata.clone())?;
        let mut object = wire::fee_refund(&refund);
        crate::api::expand::expand(call, &mut object, &[]).await?;
        let answer = Answer::ok(&object);
        let unit = super::flow::claim(call, unit, &refund.id, Some(&answer));
        match call.app.commit(unit).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

fn refunded_by(
    call: &Call,
    unit: Unit,
    mut fee: ApplicationFee,
    amount: i64,
    metadata: BTreeMap<String, String>,
) -> Result<(Unit, FeeRefund), ApiError> {
    let now = call.app.clock.now();
    let books = Books {
        book: ledger::BookId(fee.book_id),
        currency: crate::app::currency(&fee.currency)?,
        connector: "", // no account of an acquirer is concerned
        at: now,
    };
    let refund = FeeRefund {
        book_id: fee.book_id,
        id: id::new(id::prefix::FEE_REFUND),
        fee_id: fee.id.clone(),
        amount,
        currency: fee.currency.clone(),
        balance_transaction_id: id::new(id::prefix::BALANCE_TRANSACTION),
        metadata,
        created_at: now,
    };
    fee.amount_refunded += amount;
    let journal = books.application_fee_refunded(&refund).map_err(Refused::Ledger)?;
    let line = BalanceTransaction {
        book_id: fee.book_id,
        id: refund.balance_transaction_id.clone(),
        r#type: "application_fee_refund".into(),
        amount,
        fee: 0,
        application_fee: 0,
        net: amount,
        currency: fee.currency.clone(),
        source_id: refund.id.clone(),
        payment_id: None,
        journal_id: journal.id(),
        description: Some("Application fee, given back".into()),
        available_on: now,
        created_at: now,
    };
    let object = wire::application_fee(&fee, &call.merchant.id, std::slice::from_ref(&refund));
    let unit = unit
        .update(&mut fee)
        .insert(&refund)
        .insert(&line)
        .insert(&call.event("application_fee.refunded", &object))
        .journals([journal]);
    Ok((unit, refund))
}

/// This merchant's application fee.
pub async fn load(call: &Call, fee_id: &str) -> Result<ApplicationFee, ApiError> {
    let client = call.app.reads.get().await?;
    let found = if id::is_valid(id::prefix::APPLICATION_FEE, fee_id) {
        store::get(&**client, call.book_id(), fee_id).await?
    } else {
        None
    };
    found.ok_or_else(|| ApiError::not_found("application_fee", fee_id, "id"))
}

/// What was given back of these fees of a book.
pub async fn refunds(
    client: &impl tokio_postgres::GenericClient,
    book_id: i64,
    fee_ids: &[&str],
) -> Result<Vec<FeeRefund>, tokio_postgres::Error> {
    let rows = client
        .query_typed(
            "SELECT row_to_json(t)::text FROM gateway.fee_refund t WHERE book_id = $1 AND fee_id = ANY($2) ORDER BY id DESC",
            &[(&book_id, Type::INT8), (&fee_ids, Type::TEXT_ARRAY)],
        )
        .await?;
    rows.iter().map(store::row).collect()
}

/// The part of `fee` that goes with `part` of `whole`, rounded half up.
fn share(fee: i64, part: i64, whole: i64) -> i64 {
    if whole <= 0 {
        return 0;
    }
    let (fee, part, whole) = (i128::from(fee), i128::from(part.clamp(0, whole)), i128::from(whole));
    i64::try_from((2 * fee * part + whole) / (2 * whole)).unwrap_or(0)
}

impl Books<'_> {
    /// J04: the platform takes its application fee.
    fn application_fee(&self, fee: &ApplicationFee, amount: i64) -> Result<Journal, Refusal> {
        self.draft(JournalCode::J04, &fee.id)
            .debit(self.account(Chart::MerchantPending), amount)
            .credit(self.account(Chart::PlatformFeeRevenue), amount)
            .balance()
    }

    /// J10: and gives some of it back.
    fn application_fee_refunded(&self, refund: &FeeRefund) -> Result<Journal, Refusal> {
        self.draft(JournalCode::J10, &refund.id)
            .debit(self.account(Chart::PlatformFeeRevenue), refund.amount)
            .credit(self.account(Chart::MerchantAvailable), refund.amount)
            .balance()
    }
}

macro_rules! row {
    ($($row:ident => $table:ident),+ $(,)?) => {$(
        impl Row for $row {
            const TABLE: Table = Table::$table;
            fn book_id(&self) -> i64 { self.book_id }
            fn id(&self) -> &str { &self.id }
        }
    )+};
}
row! { ApplicationFee => ApplicationFee, FeeRefund => FeeRefund }

impl Versioned for ApplicationFee {
    fn version_mut(&mut self) -> &mut i32 {
        &mut self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_grow_with_their_parts_and_end_as_the_whole(fee in 0i64..99_999_999, whole in 1i64..99_999_999, part in 0i64..99_999_999) {
            let part = part.min(whole);
            prop_assert_eq!(share(fee, whole, whole), fee);
            prop_assert_eq!(share(fee, 0, whole), 0);
            prop_assert!((0..=fee).contains(&share(fee, part, whole)));
            prop_assert!(share(fee, part, whole) <= share(fee, (part + 1).min(whole), whole));
        }
    }
}
