//! What a merchant's own traffic says about the merchant: a spike of refunds, a sudden change of volume, of amounts, of declines;
//! and what its prices say (`prices`).
//!
//! The last 24 hours are compared with the four weeks before them, per merchant and currency, from what is committed. A day
//! that is over is summed up once and kept. A finding is a signal with the numbers that it rests on, once a day: it is for
//! people who look after merchants. It must never stop a payment: a merchant's sale is not the buyer's fault.

use super::prices::{self, Charged, Sale};
use super::rows::{Signal, SignalStatus};
use crate::api::error::ApiError;
use crate::app::App;
use crate::call::Call;
use crate::commit::{Refused, Unit};
use crate::{id, wire};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::Type;

/// Days that make the base.
const BASE_DAYS: i64 = 28;
/// Days with payments that a base must have: a new merchant has no habits yet.
const ACTIVE_DAYS_MIN: usize = 7;
/// Fewer attempts or refunds than this are chance.
const ATTEMPTS_MIN: i64 = 50;
const REFUNDS_MIN: i64 = 10;
/// How often it is looked.
const EVERY: Duration = Duration::from_secs(900);
const EVERY_IN_TESTS: Duration = Duration::from_secs(3);

/// Sums of one merchant, day and currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Day {
    pub attempts: i64,
    pub approved: i64,
    /// of the approved, minor units
    pub amount: i64,
    pub refunds: i64,
    pub refund_amount: i64,
}

/// Something noticed, with its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// the word in the table
    pub kind: &'static str,
    /// enough to repeat it
    pub evidence: Value,
}

/// Compares the last 24 hours with the days before.
pub fn find(recent: &Day, base: &[Day]) -> Vec<Finding> {
    let active: Vec<&Day> = base.iter().filter(|day| day.attempts > 0).collect();
    if active.len() < ACTIVE_DAYS_MIN {
        return Vec::new();
    }
    let sum = |of: fn(&Day) -> i64| active.iter().map(|day| of(day)).fold(0i64, i64::saturating_add);
    let (attempts, approved, amount) = (sum(|d| d.attempts), sum(|d| d.approved), sum(|d| d.amount));
    let (refunds, refund_amount) = (sum(|d| d.refunds), sum(|d| d.refund_amount));
    let told = |kind, what: Value| Finding {
        kind,
        evidence: json!({"last_24_hours": day(recent), "base_days": active.len(), "base": day(&Day {
            attempts, approved, amount, refunds, refund_amount,
        }), "limit": what}),
    };
    let mut findings = Vec::new();
    // Integers alone: a times b against c times d, in 128 bits.
    let exceeds = |a: i64, b: i64, times: i64, c: i64, d: i64| {
        let product = |a: i64, b: i64| i128::from(a).saturating_mul(i128::from(b));
        product(a, b) >= product(c, d).saturating_mul(i128::from(times))
    };
    let tenth = exceeds(recent.refund_amount, 10, 1, recent.amount.max(1), 1);
    let refunds_grew = exceeds(
        recent.refund_amount,
        amount.max(1),
        3,
        refund_amount.max(amount / 100),
        recent.amount.max(1),
    );
    if recent.refunds >= REFUNDS_MIN && tenth && refunds_grew {
        findings.push(told(
            "refund_spike",
            json!("refunds at least a tenth of sales, and three times their share before (1 % at least)"),
        ));
    }
    let days = active.len() as i64;
    if recent.attempts >= ATTEMPTS_MIN && exceeds(recent.attempts, days, 5, attempts, 1) {
        findings.push(told("volume_change", json!("five times the attempts of a usual day")));
    }
    let enough = recent.approved >= ATTEMPTS_MIN / 2 && approved > 0 && recent.amount > 0;
    if enough && exceeds(recent.amount, approved, 4, amount, recent.approved) {
        findings.push(told("amount_change", json!("four times the usual amount of a payment")));
    }
    let declined = recent.attempts - recent.approved;
    let fifth = exceeds(declined, 5, 1, recent.attempts, 1);
    let declines_grew = exceeds(
        declined,
        attempts,
        3,
        (attempts - approved).max(attempts / 100),
        recent.attempts,
    );
    if recent.attempts >= ATTEMPTS_MIN && fifth && declines_grew {
        findings.push(told(
            "decline_change",
            json!("a fifth of the attempts not approved, and three times the share before (1 % at least)"),
        ));
    }
    findings
}

fn day(day: &Day) -> Value {
    json!({"attempts": day.attempts, "approved": day.approved, "amount": day.amount, "refunds": day.refunds,
           "refund_amount": day.refund_amount})
}

/// Looks for as long as the service runs.
pub async fn run(app: Arc<App>, shutdown: impl Future<Output = ()>) {
    tokio::pin!(shutdown);
    let every = if app.settings.test_mode { EVERY_IN_TESTS } else { EVERY };
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            () = tokio::time::sleep(every) => {}
        }
        match round(&app).await {
            Ok(0) => {}
            Ok(signals) => tracing::warn!(signals, "merchants' traffic has changed: somebody should look"),
            Err(error) => tracing::warn!(
                error = error.message,
                "merchants' traffic cannot be compared; trying again"
            ),
        }
    }
}

/// Sums up the days that are over, compares, and writes down what is new. Returns how many signals that were.
async fn round(app: &Arc<App>) -> Result<usize, ApiError> {
    let now = app.clock.now();
    sum_up(app, now).await?;
    let recent = sums(app, now - SignedDuration::from_hours(24), now).await?;
    let mut written = 0;
    for ((book_id, currency), recent) in recent {
        let base = base(app, book_id, &currency, now).await?;
        for finding in find(&recent, &base) {
            written += usize::from(write(app, book_id, &currency, finding, now).await?);
        }
    }
    Ok(written + prices(app, now).await?)
}

/// Holds the prices of the last 24 hours against those of the 30 days before.
async fn prices(app: &Arc<App>, now: Timestamp) -> Result<usize, ApiError> {
    sum_up_prices(app, now).await?;
    let mut by_book: BTreeMap<(i64, String), Vec<Sale>> = BTreeMap::new();
    {
        let client = app.reads.get().await?;
        let from = first_id(now - SignedDuration::from_hours(24));
        let rows = client
            .query_typed(
                &format!(
                    "SELECT p.book_id, p.currency, {ITEM}, (i->>'list_price')::bigint, (i->>'deal_price')::bigint,
                            floor(extract(epoch FROM p.created_at) / 3600)::bigint,
                            hashtextextended(coalesce(p.customer_id, c.card->>'fingerprint'), 0)
                     FROM gateway.merchant m
                     JOIN gateway.payment p ON p.book_id = m.book_id AND p.id >= $1 AND p.line_items IS NOT NULL AND p.amount_received > 0
                     JOIN gateway.charge c ON c.book_id = p.book_id AND c.id = p.charge_id
                     CROSS JOIN jsonb_array_elements(p.line_items) i
                     WHERE (i->>'deal_price')::bigint > 0 ORDER BY p.id DESC LIMIT $2"
                ),
                &[(&from, Type::TEXT), (&SALES_MAX, Type::INT8)],
            )
            .await?;
        for row in &rows {
            let sale = Sale {
                item: row.try_get(2)?,
                list: row.try_get(3)?,
                deal: row.try_get(4)?,
                hour: row.try_get(5)?,
                buyer: row.try_get::<_, Option<i64>>(6)?.unwrap_or_default().cast_unsigned(),
            };
            by_book
                .entry((row.try_get(0)?, row.try_get(1)?))
                .or_default()
                .push(sale);
        }
    }
    let mut written = 0;
    for ((book_id, currency), sales) in by_book {
        let before = charged(app, book_id, &currency, &sales, now).await?;
        for (item, finding) in prices::find(&sales, &before) {
            let subject = format!("{item} {currency}");
            written += usize::from(write(app, book_id, &subject, finding, now).await?);
        }
    }
    Ok(written)
}

/// What was charged for these items on the 30 days before today, oldest first.
async fn charged(
    app: &App,
    book_id: i64,
    currency: &str,
    sales: &[Sale],
    now: Timestamp,
) -> Result<BTreeMap<String, Vec<Charged>>, ApiError> {
    let mut items: Vec<&str> = sales.iter().map(|sale| sale.item.as_str()).collect();
    items.sort_unstable();
    items.dedup();
    let client = app.reads.get().await?;
    let rows = client
        .query_typed(
            "SELECT item, lowest, highest FROM risk.price_day
             WHERE book_id = $1 AND currency = $2 AND item = ANY($3)
               AND day BETWEEN ($4 AT TIME ZONE 'UTC')::date - 30 AND ($4 AT TIME ZONE 'UTC')::date - 1
             ORDER BY item, day",
            &[
                (&book_id, Type::INT8),
                (&currency, Type::TEXT),
                (&items, Type::TEXT_ARRAY),
                (&now, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    let mut charged: BTreeMap<String, Vec<Charged>> = BTreeMap::new();
    for row in &rows {
        let day = Charged {
            lowest: row.try_get(1)?,
            highest: row.try_get(2)?,
        };
        charged.entry(row.try_get(0)?).or_default().push(day);
    }
    Ok(charged)
}

/// Sums up the prices of each day that is over and not summed up yet.
async fn sum_up_prices(app: &App, now: Timestamp) -> Result<(), ApiError> {
    let client = app.reads.get().await?;
    let missing = client
        .query_typed(
            "SELECT d::timestamp AT TIME ZONE 'UTC', (d + 1)::timestamp AT TIME ZONE 'UTC'
             FROM generate_series(1, 30) n CROSS JOIN LATERAL (SELECT ($1 AT TIME ZONE 'UTC')::date - n AS d) day
             WHERE NOT EXISTS (SELECT 1 FROM risk.price_day m WHERE m.book_id = 0 AND m.item = '' AND m.currency = '' AND m.day = d)",
            &[(&now, Type::TIMESTAMPTZ)],
        )
        .await?;
    for row in missing {
        let (from, to): (Timestamp, Timestamp) = (row.try_get(0)?, row.try_get(1)?);
        // The row of book 0 says that the day is done; of two processes the second writes nothing.
        let sql = format!(
            "INSERT INTO risk.price_day (book_id, item, currency, day, lowest, highest, sales)
             SELECT p.book_id, {ITEM}, p.currency, ($1 AT TIME ZONE 'UTC')::date, min((i->>'deal_price')::bigint),
                    max((i->>'deal_price')::bigint), sum((i->>'quantity')::bigint)::bigint
             FROM gateway.merchant m
             JOIN gateway.payment p ON p.book_id = m.book_id AND p.id >= $2 AND p.id < $3 AND p.line_items IS NOT NULL AND p.amount_received > 0
             CROSS JOIN jsonb_array_elements(p.line_items) i
             WHERE (i->>'deal_price')::bigint > 0 GROUP BY 1, 2, 3
             UNION ALL SELECT 0, '', '', ($1 AT TIME ZONE 'UTC')::date, 0, 0, 1
             ON CONFLICT DO NOTHING"
        );
        client
            .execute_typed(
                &sql,
                &[
                    (&from, Type::TIMESTAMPTZ),
                    (&first_id(from), Type::TEXT),
                    (&first_id(to), Type::TEXT),
                ],
            )
            .await?;
    }
    Ok(())
}

/// What identifies an item: its product code, or its name.
const ITEM: &str = "left(coalesce(i->>'product_code', i->>'name'), 200)";
/// Lines of one look at most, the newest: where more are sold, a look sees less than a day, and there is one every 15 minutes.
const SALES_MAX: i64 = 200_000;

/// The least id of a payment that is made at this moment: ids begin with their time.
fn first_id(at: Timestamp) -> String {
    let milliseconds = u128::try_from(at.as_millisecond()).unwrap_or_default();
    id::from_uuid(id::prefix::PAYMENT, uuid::Uuid::from_u128(milliseconds << 80))
}

/// Attempts and refunds of a time, by merchant and currency.
async fn sums(app: &App, from: Timestamp, to: Timestamp) -> Result<BTreeMap<(i64, String), Day>, ApiError> {
    let client = app.reads.get().await?;
    let rows = client
        .query_typed(
            &format!("SELECT book_id, currency, attempts, approved, amount, refunds, refund_amount FROM ({SUMS}) s"),
            &[(&from, Type::TIMESTAMPTZ), (&to, Type::TIMESTAMPTZ)],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let day = Day {
                attempts: row.try_get(2)?,
                approved: row.try_get(3)?,
                amount: row.try_get(4)?,
                refunds: row.try_get(5)?,
                refund_amount: row.try_get(6)?,
            };
            Ok(((row.try_get(0)?, row.try_get(1)?), day))
        })
        .collect()
}

const SUMS: &str = "
    SELECT book_id, currency, sum(attempts)::bigint AS attempts, sum(approved)::bigint AS approved, sum(amount)::bigint AS amount,
           sum(refunds)::bigint AS refunds, sum(refund_amount)::bigint AS refund_amount
    FROM (SELECT book_id, currency, 1 AS attempts, (status IN ('succeeded','voided'))::int AS approved,
                 CASE WHEN status IN ('succeeded','voided') THEN amount ELSE 0 END AS amount, 0 AS refunds, 0 AS refund_amount
          FROM gateway.charge WHERE created_at >= $1 AND created_at < $2
          UNION ALL
          SELECT book_id, currency, 0, 0, 0, 1, amount FROM gateway.refund
          WHERE created_at >= $1 AND created_at < $2 AND status IN ('pending','unknown','succeeded')) t
    GROUP BY book_id, currency";

/// Sums up each day of the base that is over and not summed up yet, one statement a day.
async fn sum_up(app: &App, now: Timestamp) -> Result<(), ApiError> {
    let client = app.reads.get().await?;
    let missing = client
        .query_typed(
            "SELECT d::timestamp AT TIME ZONE 'UTC', (d + 1)::timestamp AT TIME ZONE 'UTC'
             FROM generate_series(1, $2::int) n CROSS JOIN LATERAL (SELECT ($1 AT TIME ZONE 'UTC')::date - n AS d) day
             WHERE NOT EXISTS (SELECT 1 FROM risk.merchant_day m WHERE m.book_id = 0 AND m.day = d)",
            &[(&now, Type::TIMESTAMPTZ), (&(BASE_DAYS as i32 + 1), Type::INT4)],
        )
        .await?;
    for row in missing {
        let (from, to): (Timestamp, Timestamp) = (row.try_get(0)?, row.try_get(1)?);
        // The row of book 0 says that the day is done; of two processes the second writes nothing.
        let sql = format!(
            "INSERT INTO risk.merchant_day (book_id, day, currency, attempts, approved, amount, refunds, refund_amount)
             SELECT book_id, ($1 AT TIME ZONE 'UTC')::date, currency, attempts, approved, amount, refunds, refund_amount FROM ({SUMS}) s
             UNION ALL SELECT 0, ($1 AT TIME ZONE 'UTC')::date, '', 0, 0, 0, 0, 0
             ON CONFLICT DO NOTHING"
        );
        client
            .execute_typed(&sql, &[(&from, Type::TIMESTAMPTZ), (&to, Type::TIMESTAMPTZ)])
            .await?;
    }
    Ok(())
}

async fn base(app: &App, book_id: i64, currency: &str, now: Timestamp) -> Result<Vec<Day>, ApiError> {
    let client = app.reads.get().await?;
    let rows = client
        .query_typed(
            "SELECT attempts, approved, amount, refunds, refund_amount FROM risk.merchant_day
             WHERE book_id = $1 AND currency = $2
               AND day BETWEEN ($3 AT TIME ZONE 'UTC')::date - $4::int - 1 AND ($3 AT TIME ZONE 'UTC')::date - 2",
            &[
                (&book_id, Type::INT8),
                (&currency, Type::TEXT),
                (&now, Type::TIMESTAMPTZ),
                (&(BASE_DAYS as i32), Type::INT4),
            ],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Day {
                attempts: row.try_get(0)?,
                approved: row.try_get(1)?,
                amount: row.try_get(2)?,
                refunds: row.try_get(3)?,
                refund_amount: row.try_get(4)?,
            })
        })
        .collect()
}

/// Writes a signal down, unless this day has it already.
async fn write(
    app: &Arc<App>,
    book_id: i64,
    subject: &str,
    finding: Finding,
    now: Timestamp,
) -> Result<bool, ApiError> {
    let day = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    {
        let client = app.reads.get().await?;
        let rows = client
            .query_typed(
                "SELECT 1 FROM risk.signal WHERE book_id = $1 AND kind = $2 AND subject = $3 AND day = ($4 AT TIME ZONE 'UTC')::date",
                &[
                    (&book_id, Type::INT8),
                    (&finding.kind, Type::TEXT),
                    (&subject, Type::TEXT),
                    (&now, Type::TIMESTAMPTZ),
                ],
            )
            .await?;
        if !rows.is_empty() {
            return Ok(false);
        }
    }
    let signal = Signal {
        book_id,
        id: id::new(id::prefix::RISK_SIGNAL),
        version: 1,
        kind: finding.kind.to_owned(),
        subject: subject.to_owned(),
        day: day.to_string(),
        evidence: finding.evidence,
        status: SignalStatus::Open,
        note: None,
        created_at: now,
    };
    let call = Call::background(app.clone(), app.merchant_by_book(book_id).await?);
    let event = call.event("radar.signal.created", &wire::signal(&signal));
    match app.commit(Unit::new(book_id).insert(&signal).insert(&event)).await {
        Ok(()) => Ok(true),
        Err(Refused::Conflict { .. }) => Ok(false), // another process has seen the same
        Err(refused) => Err(refused.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const USUAL: Day = Day {
        attempts: 100,
        approved: 95,
        amount: 500_000,
        refunds: 2,
        refund_amount: 10_000,
    };

    fn kinds(recent: Day) -> Vec<&'static str> {
        find(&recent, &[USUAL; 28]).iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn each_change_is_noticed_at_its_limit_and_not_below() {
        assert_eq!(kinds(USUAL), [""; 0]);
        assert_eq!(
            kinds(Day {
                attempts: 500,
                approved: 475,
                amount: 2_500_000,
                ..USUAL
            }),
            ["volume_change"]
        );
        assert_eq!(
            kinds(Day {
                attempts: 499,
                approved: 474,
                amount: 2_490_000,
                ..USUAL
            }),
            [""; 0]
        );
        assert_eq!(
            kinds(Day {
                amount: 2_000_000,
                refund_amount: 40_000,
                ..USUAL
            }),
            ["amount_change"]
        );
        assert_eq!(
            kinds(Day {
                amount: 1_999_999,
                ..USUAL
            }),
            [""; 0]
        );
        assert_eq!(
            kinds(Day {
                refunds: 10,
                refund_amount: 50_000,
                ..USUAL
            }),
            ["refund_spike"]
        );
        assert_eq!(
            kinds(Day {
                refunds: 9,
                refund_amount: 50_000,
                ..USUAL
            }),
            [""; 0],
            "nine are chance"
        );
        assert_eq!(
            kinds(Day {
                refunds: 10,
                refund_amount: 49_999,
                ..USUAL
            }),
            [""; 0],
            "under a tenth"
        );
        assert_eq!(kinds(Day { approved: 80, ..USUAL }), ["decline_change"]);
        assert_eq!(kinds(Day { approved: 81, ..USUAL }), [""; 0]);
    }

    #[test]
    fn ids_of_payments_are_found_by_their_time() {
        let (before, after) = (Timestamp::now(), id::new(id::prefix::PAYMENT));
        assert!(first_id(before) <= after);
        assert!(first_id(before + SignedDuration::from_secs(1)) > after);
    }

    #[test]
    fn who_has_no_habits_cannot_change_them() {
        let wild = Day {
            attempts: 100_000,
            refunds: 5_000,
            refund_amount: i64::MAX,
            ..USUAL
        };
        assert!(find(&wild, &[USUAL; 6]).is_empty());
        assert!(find(&wild, &[]).is_empty());
        assert!(!find(&wild, &[USUAL; 7]).is_empty());
    }

    proptest! {
        /// Any numbers: an answer, and a day like all others is never one.
        #[test]
        fn any_numbers_are_compared(attempts in 0i64..=i64::MAX / 64, amount in 0i64..=i64::MAX / 64, refunds in 0i64..1_000_000) {
            let day = Day { attempts, approved: attempts / 100 * 99, amount, refunds, refund_amount: amount / 1_000 };
            prop_assert_eq!(find(&day, &[day; 28]), Vec::new());
            let _ = find(&Day { amount: i64::MAX, attempts: i64::MAX, ..day }, &[day; 9]);
        }
    }
}
