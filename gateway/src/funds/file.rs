//! Payouts told to a bank in a file, and what the bank tells back.
//!
//! [`create`] takes what is pending into a file, in one commit: a payout is in one file, ever, and stands `in_transit` from then on.
//! The file itself is made again from rows whenever it is fetched ([`contents`]) and is the same each time. What the bank says is
//! stored first ([`note`]) and then processed ([`round`]), each word once. It must never tell a bank twice, or send anything itself.

pub mod pain001;
pub mod pain002;

use super::bank;
use super::payout;
use super::rows::{BankAccount, Payout, PayoutFile, PayoutInstruction};
use super::state::{self, Fact};
use crate::api::error::ApiError;
use crate::app::App;
use crate::call::{Answer, Call};
use crate::commit::{Refused, Unit};
use crate::event::Event;
use crate::payment::flow::claim;
use crate::payment::store::{get, row};
use crate::{id, wire};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use pain001::{File, Transfer};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio_postgres::GenericClient;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

/// More go into the next file: banks refuse files without end.
const MOST: i64 = 1000;
const RETRIES: usize = 5;
/// Words processed in a round.
const BATCH: i64 = 100;
/// A word that does not fit yet, because an earlier one is still on its way, is tried again after this.
const AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// Takes all pending payouts of a currency into a file that the bank executes on this day; none given: today, UTC. Payouts of
/// merchants that are paused or not active stay pending.
pub async fn create(call: &Call, currency: &str, execution_date: Option<Date>, by: &str) -> Result<Answer, ApiError> {
    let debtor = call.app.settings.payout_bank.clone().ok_or_else(|| {
        let text =
            "Say which account payouts are paid from, in the settings payouts.name, payouts.iban and payouts.bic.";
        ApiError::invalid("payout_bank_missing", "", text)
    })?;
    let today = call.at.to_zoned(TimeZone::UTC).date();
    let execution_date = execution_date.unwrap_or(today);
    if execution_date < today {
        let text = "The bank can only be asked for a day that is not over.";
        return Err(ApiError::invalid("parameter_invalid_value", "execution_date", text));
    }
    for _ in 0..RETRIES {
        let pending = {
            let client = call.app.reads.get().await?;
            pending(&**client, currency).await?
        };
        if pending.is_empty() {
            let text = format!("No payout in {currency} is pending.");
            return Err(ApiError::invalid("no_pending_payouts", "currency", text));
        }
        let sum = pending
            .iter()
            .try_fold(0i64, |sum, (payout, ..)| sum.checked_add(payout.amount));
        let mut file = PayoutFile {
            book_id: call.book_id(),
            id: id::new(id::prefix::PAYOUT_FILE),
            currency: currency.to_owned(),
            payouts: pending.len() as i32,
            amount: sum.ok_or_else(|| ApiError::internal("a sum beyond 64 bits"))?,
            execution_date,
            debtor: debtor.clone(),
            digest: String::new(),
            created_by: by.to_owned(),
            // The file shows whole seconds.
            created_at: call.at,
        };
        file.digest = digest(&render(&call.app, &file, &pending)?);
        let mut unit = Unit::new(call.book_id()).insert(&file);
        for (number, (payout, _, name)) in pending.iter().enumerate() {
            let mut next = state::apply(payout, &Fact::Sent, call.at)?;
            let instruction = PayoutInstruction {
                book_id: payout.book_id,
                id: payout.id.clone(),
                file_id: file.id.clone(),
                number: number as i32,
                name: name.clone(),
            };
            let event = Event {
                book_id: payout.book_id,
                ..call.event("payout.updated", &wire::payout(&next))
            };
            unit = unit.insert(&instruction).update(&mut next).insert(&event);
        }
        let answer = Answer::ok(&wire::payout_file(&file));
        match call.app.commit(claim(call, unit, &file.id, Some(&answer))).await {
            // One of them was canceled, or is in another file, since they were read.
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// A file's content, which is what it was when it was made.
pub async fn contents(call: &Call, file_id: &str) -> Result<String, ApiError> {
    let (file, transfers) = {
        let client = call.app.reads.get().await?;
        let file = load(&**client, call.book_id(), file_id).await?;
        let transfers = of_file(&**client, &file.id).await?;
        (file, transfers)
    };
    let text = render(&call.app, &file, &transfers)?;
    if digest(&text) != file.digest {
        return Err(ApiError::internal(format!(
            "{file_id} is not what it was when it was made"
        )));
    }
    Ok(text)
}

/// The platform's file of this id.
pub async fn load(client: &impl GenericClient, book_id: i64, file_id: &str) -> Result<PayoutFile, ApiError> {
    let found = match id::is_valid(id::prefix::PAYOUT_FILE, file_id) {
        true => get(client, book_id, file_id).await?,
        false => None,
    };
    found.ok_or_else(|| ApiError::not_found("payout file", file_id, "id"))
}

/// What a bank said of a payout.
#[derive(Clone, Debug)]
pub struct Notice<'a> {
    /// whose
    pub payout_id: &'a str,
    /// what
    pub fact: &'a Fact,
    /// the bank's own reference
    pub reference: Option<&'a str>,
    /// the file that says so
    pub source: &'a str,
}

/// Keeps what a bank said; a serving process applies it within seconds. False when it was said before, none when there is no such
/// payout.
pub async fn note(client: &impl GenericClient, notice: &Notice<'_>) -> Result<Option<bool>, tokio_postgres::Error> {
    let of = "SELECT book_id FROM gateway.payout WHERE id = $1";
    let Some(found) = client.query_typed_opt(of, &[(&notice.payout_id, Type::TEXT)]).await? else {
        return Ok(None);
    };
    let book_id: i64 = found.try_get(0)?;
    let (code, message) = match notice.fact {
        Fact::Failed { code, message } | Fact::Returned { code, message } => (Some(code), message.as_ref()),
        _ => (None, None),
    };
    let outcome = notice.fact.leads_to().as_str();
    let params: [(&(dyn ToSql + Sync), Type); 8] = [
        (&book_id, Type::INT8),
        (&Uuid::now_v7(), Type::UUID),
        (&notice.payout_id, Type::TEXT),
        (&outcome, Type::TEXT),
        (&code, Type::TEXT),
        (&message, Type::TEXT),
        (&notice.reference, Type::TEXT),
        (&notice.source, Type::TEXT),
    ];
    let sql = "SELECT gateway.note_payout($1, $2, $3, $4, $5, $6, $7, $8)";
    client.query_typed_one(sql, &params).await?.try_get(0).map(Some)
}

/// The payouts of the file that a bank calls by this `MsgId`.
pub async fn of_message(client: &impl GenericClient, message: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    // Banks carry our ids without their underscore.
    let suffix = message.strip_prefix(id::prefix::PAYOUT_FILE).unwrap_or_default();
    let file_id = format!("{}_{}", id::prefix::PAYOUT_FILE, suffix.trim_start_matches('_'));
    let sql = "SELECT id FROM gateway.payout_instruction WHERE file_id = $1 ORDER BY number";
    let rows = client.query_typed(sql, &[(&file_id, Type::TEXT)]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Applies what is due, in the order in which it was told. Several processes may: a fact moves money once.
pub async fn round(app: &Arc<App>) -> Result<(), ApiError> {
    let now = app.clock.now();
    let rows = {
        let client = app.reads.get().await?;
        client
            .query_typed(DUE, &[(&now, Type::TIMESTAMPTZ), (&BATCH, Type::INT8)])
            .await?
    };
    for row in rows {
        let (book_id, notice): (i64, Uuid) = (row.try_get(0)?, row.try_get(1)?);
        let (payout_id, outcome): (String, String) = (row.try_get(2)?, row.try_get(3)?);
        let (code, message): (Option<String>, Option<String>) = (row.try_get(4)?, row.try_get(5)?);
        let reference: Option<String> = row.try_get(6)?;
        let code = code.unwrap_or_else(|| "could_not_process".to_owned());
        let fact = match outcome.as_str() {
            "in_transit" => Fact::Sent,
            "paid" => Fact::Paid,
            "failed" => Fact::Failed { code, message },
            _ => Fact::Returned { code, message },
        };
        let merchant = app.merchant_by_book(book_id).await?;
        let call = Call::background(app.clone(), merchant);
        let refused = match payout::report(&call, &payout_id, &fact, reference.as_deref()).await {
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(
                    payout_id,
                    outcome,
                    error = error.message,
                    "what the bank says does not fit; trying again"
                );
                Some(error.message)
            }
        };
        let next: Option<Timestamp> = refused.is_some().then(|| now + AGAIN);
        let client = app.reads.get().await?;
        let params: [(&(dyn ToSql + Sync), Type); 4] = [
            (&book_id, Type::INT8),
            (&notice, Type::UUID),
            (&next, Type::TIMESTAMPTZ),
            (&refused, Type::TEXT),
        ];
        let sql = "UPDATE gateway.payout_notice SET check_at = $3, refused = $4 WHERE book_id = $1 AND id = $2";
        client.execute_typed(sql, &params).await?;
    }
    Ok(())
}

/// A payout, where it goes, and who is paid there.
type Due = (Payout, BankAccount, String);

fn render(app: &App, file: &PayoutFile, payouts: &[Due]) -> Result<String, ApiError> {
    let transfers = payouts.iter().map(|(payout, account, name)| {
        let number = bank::open(&app.vault, account).map_err(ApiError::internal)?;
        let number = std::str::from_utf8(&number).map_err(ApiError::internal)?;
        let text = payout.details.statement_descriptor.as_deref().unwrap_or("PAYOUT");
        Ok(Transfer {
            payout_id: payout.id.clone(),
            amount: payout.amount,
            name: name.clone(),
            account: number.to_owned(),
            routing_number: account.routing_number.clone(),
            country: account.country.clone(),
            text: format!("{text} {}", pain001::end_to_end(&payout.id)),
        })
    });
    let transfers = transfers.collect::<Result<Vec<_>, ApiError>>()?;
    Ok(pain001::write(&File {
        id: &file.id,
        created_at: file.created_at,
        execution_date: file.execution_date,
        debtor: &file.debtor,
        currency: crate::app::currency(&file.currency)?,
        amount: file.amount,
        transfers: &transfers,
    }))
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

async fn pending(client: &impl GenericClient, currency: &str) -> Result<Vec<Due>, ApiError> {
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&currency, Type::TEXT), (&MOST, Type::INT8)];
    due(&client
        .query_typed(
            &format!("SELECT {ROWS}, coalesce(b.details->>'account_holder_name', m.id) FROM {OF} {PENDING}"),
            &params,
        )
        .await?)
}

async fn of_file(client: &impl GenericClient, file_id: &str) -> Result<Vec<Due>, ApiError> {
    due(&client
        .query_typed(
            &format!("SELECT {ROWS}, i.name FROM {OF} {IN_FILE}"),
            &[(&file_id, Type::TEXT)],
        )
        .await?)
}

fn due(rows: &[tokio_postgres::Row]) -> Result<Vec<Due>, ApiError> {
    let read = |found: &tokio_postgres::Row| -> Result<Due, ApiError> {
        let account: String = found.try_get(1)?;
        let account = serde_json::from_str(&account).map_err(ApiError::internal)?;
        Ok((row(found)?, account, found.try_get(2)?))
    };
    rows.iter().map(read).collect()
}

const ROWS: &str = "row_to_json(p)::text, row_to_json(b)::text";

const OF: &str = "
    gateway.payout p JOIN gateway.bank_account b ON b.book_id = p.book_id AND b.id = p.destination_id";

const PENDING: &str = "
    JOIN gateway.merchant m ON m.book_id = p.book_id
    WHERE p.status = 'pending' AND p.currency = $1 AND m.status = 'active' AND NOT m.payouts_paused
      AND NOT EXISTS (SELECT FROM gateway.payout_instruction i WHERE i.book_id = p.book_id AND i.id = p.id)
    ORDER BY p.created_at, p.book_id, p.id LIMIT $2";

const IN_FILE: &str = "
    JOIN gateway.payout_instruction i ON i.book_id = p.book_id AND i.id = p.id WHERE i.file_id = $1 ORDER BY i.number";

const DUE: &str = "
    SELECT book_id, id, payout_id, outcome, failure_code, failure_message, bank_reference FROM gateway.payout_notice
    WHERE check_at <= $1 ORDER BY told_at, id LIMIT $2";
