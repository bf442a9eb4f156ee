//! The evidence pack: what we know that speaks for the merchant, gathered from committed rows, as JSON and as a PDF.
//!
//! Receipt, what was sold, the refund policy in force at the order, refunds given, what the issuer said of the payer (3-D Secure), and
//! for Visa's fraud disputes the earlier payments that Compelling Evidence 3.0 asks for. It must never hold more of a card than brand
//! and last four, nor claim what no row says.

mod pdf;

use super::flow;
use super::rows::Dispute;
use crate::api::error::ApiError;
use crate::call::{Answer, Call};
use crate::file::{self, Upload};
use crate::payment::rows::{Charge, Payment, Refund};
use crate::payment::store;
use crate::receipt::{self, Receipt};
use crate::wire;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio_postgres::types::Type;

/// Compelling Evidence 3.0: earlier payments count from the 120th to the 365th day before the disputed one.
const CE3_FROM: SignedDuration = SignedDuration::from_hours(24 * 120);
const CE3_TO: SignedDuration = SignedDuration::from_hours(24 * 365);
/// Two are asked for.
const CE3_WANTED: usize = 2;
/// Earlier payments that are looked at.
const CE3_LOOKED_AT: i64 = 200;

/// The pack as JSON.
///
/// # Errors
/// When the dispute is not this merchant's, or cannot be read.
pub async fn as_json(call: &Call, dispute_id: &str) -> Result<Answer, ApiError> {
    let dispute = flow::load(call, dispute_id).await?;
    Ok(Answer::ok(&gather(call, &dispute).await?))
}

/// The pack as a PDF, kept as a file of the merchant that evidence can name.
///
/// # Errors
/// As above, and when the file cannot be kept.
pub async fn as_file(call: &Call, dispute_id: &str) -> Result<Answer, ApiError> {
    let dispute = flow::load(call, dispute_id).await?;
    let pack = gather(call, &dispute).await?;
    let upload = Upload {
        filename: format!("evidence-{}.pdf", dispute.id),
        content: pdf::render(&pack).into(),
    };
    let title = Some(format!("Evidence pack of {}", dispute.id));
    file::create(call, "dispute_evidence".to_owned(), title, upload).await
}

async fn gather(call: &Call, dispute: &Dispute) -> Result<Value, ApiError> {
    let charge = crate::payment::flow::load_charge(call, &dispute.charge_id).await?;
    let payment = crate::payment::flow::load(call, &dispute.payment_id).await?;
    let (refunds, receipts) = {
        let client = call.app.reads.get().await?;
        let of_payment = [store::Filter {
            condition: "payment_id = ",
            value: Box::new(payment.id.clone()),
            r#type: Type::TEXT,
        }];
        let page = store::Page {
            limit: 100,
            starting_after: None,
            ending_before: None,
        };
        let refunds: Vec<Refund> = store::list(&**client, call.book_id(), &page, &of_payment).await?.0;
        let receipts: Vec<Receipt> = store::list(&**client, call.book_id(), &page, &of_payment).await?.0;
        (refunds, receipts)
    };
    let earlier = match visa_fraud(dispute) {
        true => earlier_payments(call, &payment, &charge).await?,
        false => Vec::new(),
    };
    let policy = payment.details.disclosure.as_ref();
    let three_d_secure = charge.authentication.as_ref().and_then(|a| a.three_d_secure.as_ref());
    Ok(json!({
        "object": "dispute.evidence_pack",
        "dispute": dispute.id,
        "made": wire::seconds(call.app.clock.now()),
        "claim": {
            "amount": dispute.amount, "currency": dispute.currency, "reason": dispute.reason,
            "network_reason_code": dispute.network_reason_code, "stage": dispute.stage.as_str(),
            "due_by": wire::seconds_or_null(dispute.due_by),
        },
        "payment": {
            "id": payment.id, "charge": charge.id, "amount": charge.amount_captured, "currency": payment.currency,
            "created": wire::seconds(charge.created_at), "description": payment.details.description,
            "statement_descriptor": payment.details.statement_descriptor,
            "card_brand": charge.card.brand, "card_last4": charge.card.last4,
            "payee": policy.map(|told| told.payee.as_str()).unwrap_or(&call.merchant.name),
        },
        "receipt": receipts.first().map(|receipt| json!({
            "number": receipt.number, "email": receipt.email, "sent": wire::seconds_or_null(receipt.sent_at), "url": receipt.details.url,
        })),
        "receipt_number": charge.balance_transaction_id.as_deref().map(receipt::number),
        "line_items": payment.line_items,
        "shipping": payment.details.shipping,
        "refund_policy": policy.and_then(|told| told.return_policy.as_ref()),
        "terms_of_service": policy.and_then(|told| told.terms.as_deref()),
        "refunds": refunds.iter().map(|refund| json!({
            "id": refund.id, "amount": refund.amount, "created": wire::seconds(refund.created_at), "status": refund.status,
            "acquirer_reference": refund.acquirer_id,
        })).collect::<Vec<_>>(),
        "refunded_before": dispute.details.double_credit_risk,
        "three_d_secure": three_d_secure.map(|said| json!({
            "result": said.result, "authentication_flow": said.authentication_flow, "version": said.version,
            "electronic_commerce_indicator": said.electronic_commerce_indicator, "transaction_id": said.transaction_id,
            "liability_shifted": said.shifts_liability(),
        })),
        "purchase_ip": charge.context.ip.map(|ip| ip.to_string()),
        "visa_compelling_evidence_3": visa_fraud(dispute).then(|| json!({
            "qualifies": earlier.len() >= CE3_WANTED,
            "prior_undisputed_transactions": earlier.iter().take(CE3_WANTED).cloned().collect::<Vec<_>>(),
        })),
        "suggested_evidence": suggested(&payment, &charge),
    }))
}

/// Visa 10.4, where Compelling Evidence 3.0 ends the dispute.
fn visa_fraud(dispute: &Dispute) -> bool {
    dispute.details.brand == "visa" && dispute.network_reason_code.as_deref() == Some("10.4")
}

/// Earlier payments with the same card that nobody disputed, each with at least two elements that match this one, of which one is the
/// address or the device.
async fn earlier_payments(call: &Call, payment: &Payment, charge: &Charge) -> Result<Vec<Value>, ApiError> {
    let Some(customer) = &payment.customer_id else {
        return Ok(Vec::new()); // nothing ties an anonymous payer's payments together
    };
    let (from, to) = (charge.created_at - CE3_TO, charge.created_at - CE3_FROM);
    let client = call.app.reads.get().await?;
    let rows = client
        .query_typed(
            "SELECT row_to_json(c)::text, p.details->'shipping'->'address' FROM gateway.payment p
             JOIN gateway.charge c ON c.book_id = p.book_id AND c.id = p.charge_id
             WHERE p.book_id = $1 AND p.customer_id = $2 AND c.created_at BETWEEN $3 AND $4 AND c.captured AND NOT c.disputed
               AND c.card->>'fingerprint' = $5
               AND NOT EXISTS (SELECT FROM risk.early_fraud_warning w WHERE w.book_id = c.book_id AND w.charge_id = c.id)
             ORDER BY c.created_at DESC LIMIT $6",
            &[
                (&call.book_id(), Type::INT8),
                (customer, Type::TEXT),
                (&from, Type::TIMESTAMPTZ),
                (&to, Type::TIMESTAMPTZ),
                (&charge.card.fingerprint, Type::TEXT),
                (&CE3_LOOKED_AT, Type::INT8),
            ],
        )
        .await?;
    let shipped = payment.details.shipping.as_ref().and_then(|s| s.get("address"));
    let mut earlier = Vec::new();
    for row in &rows {
        let prior: Charge = store::row(row)?;
        let address: Option<Value> = row.try_get(1)?;
        let elements = matching(charge, &prior, shipped, address.as_ref());
        if elements.len() >= 2 && elements.iter().any(|e| matches!(*e, "ip" | "device")) {
            earlier.push(json!({
                "charge": prior.id, "payment_intent": prior.payment_id, "amount": prior.amount_captured,
                "currency": prior.currency, "created": wire::seconds(prior.created_at),
                "receipt_number": prior.balance_transaction_id.as_deref().map(receipt::number),
                "matching": elements,
            }));
        }
    }
    Ok(earlier)
}

fn matching(
    charge: &Charge,
    prior: &Charge,
    shipped: Option<&Value>,
    prior_shipped: Option<&Value>,
) -> Vec<&'static str> {
    let same = |a: Option<u64>, b: Option<u64>| a.is_some() && a == b;
    let (now, then) = (&charge.context, &prior.context);
    [
        (
            "customer",
            charge.customer_id.is_some() && charge.customer_id == prior.customer_id,
        ),
        ("ip", now.ip.is_some() && now.ip == then.ip),
        ("device", same(now.device, then.device)),
        (
            "shipping_address",
            shipped.is_some_and(|s| s.is_object()) && shipped == prior_shipped,
        ),
    ]
    .into_iter()
    .filter_map(|(name, matches)| matches.then_some(name))
    .collect()
}

/// Values for the fields of `evidence`, as they could be sent.
fn suggested(payment: &Payment, charge: &Charge) -> Value {
    let items = payment.line_items.as_ref().and_then(Value::as_array);
    let sold = items.map(|items| {
        let names = items.iter().filter_map(|item| {
            let name = item.get("name")?.as_str()?;
            Some(format!("{} x {name}", item.get("quantity")?))
        });
        names.collect::<Vec<_>>().join("; ")
    });
    let policy = payment
        .details
        .disclosure
        .as_ref()
        .and_then(|told| told.return_policy.as_ref());
    let shipping = payment.details.shipping.as_ref();
    json!({
        "product_description": sold.or_else(|| payment.details.description.clone()),
        "customer_email_address": payment.details.receipt_email,
        "customer_name": shipping.and_then(|s| s.get("name")).filter(|name| name.is_string()),
        "customer_purchase_ip": charge.context.ip.map(|ip| ip.to_string()),
        "refund_policy_disclosure": policy.map(|policy| {
            let window = policy.window_days.map(|days| format!("Returns within {days} days. ")).unwrap_or_default();
            format!("{window}{}", policy.text.as_deref().unwrap_or_default()).trim().to_owned()
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_match_only_where_both_have_them() {
        let charge = pdf::tests::charge();
        let mut prior = charge.clone();
        assert_eq!(matching(&charge, &prior, None, None), ["customer", "ip", "device"]);
        prior.context.ip = None;
        prior.customer_id = None;
        let address = json!({"line1": "1 Quay"});
        assert_eq!(
            matching(&charge, &prior, Some(&address), Some(&address)),
            ["device", "shipping_address"]
        );
        let mut bare = charge.clone();
        bare.context = Default::default();
        bare.customer_id = None;
        assert!(matching(&bare, &bare, None, None).is_empty());
    }
}
