//! The field at the top: an id of anything leads to its page; of a card or a customer, to the payments.

use crate::console::ctx::{Ctx, Fault, Outcome, Reply};
use crate::console::query::{Query, text};
use tokio_postgres::types::Type;

/// The payment that an attempt, a refund or an acquirer's own payment belongs to.
pub static PLACES: Query = Query {
    name: "search.places",
    sql: "SELECT coalesce(
              (SELECT c.payment_id FROM gateway.merchant m CROSS JOIN LATERAL
                  (SELECT t.payment_id FROM gateway.charge t WHERE t.book_id = m.book_id AND t.id = $2) c WHERE $1::bigint IS NULL OR m.book_id = $1),
              (SELECT r.payment_id FROM gateway.merchant m CROSS JOIN LATERAL
                  (SELECT t.payment_id FROM gateway.refund t WHERE t.book_id = m.book_id AND t.id = $2) r WHERE $1::bigint IS NULL OR m.book_id = $1),
              (SELECT c.payment_id FROM gateway.charge c WHERE c.acquirer_id = $2 AND ($1::bigint IS NULL OR c.book_id = $1) LIMIT 1),
              (SELECT r.payment_id FROM gateway.refund r WHERE r.acquirer_id = $2 AND ($1::bigint IS NULL OR r.book_id = $1) LIMIT 1)) AS payment",
    types: &[Type::INT8, Type::TEXT],
};

/// `GET /search`
pub async fn find(ctx: &Ctx) -> Outcome {
    let sought = ctx.query.get("q");
    if let Some(page) = super::of_object(sought) {
        return Ok(Reply::See(page));
    }
    if sought.len() == 4 && sought.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Reply::See(format!("/payments?last4={sought}")));
    }
    let plain = sought
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !plain || !(3..=100).contains(&sought.len()) {
        return Err(Fault::refused(ctx.t("search.what")));
    }
    if sought.starts_with("cus_") {
        return Ok(Reply::See(format!("/payments?customer={sought}")));
    }
    let found = ctx.row(&PLACES, &[&ctx.own_book(), &sought]).await?.unwrap_or_default();
    match text(&found, "payment") {
        "" => Err(Fault::Missing),
        payment => Ok(Reply::See(format!("/payments/{payment}"))),
    }
}
