//! Callbacks: proof that one is genuine, and what it reports.
//!
//! A report is never taken as the truth about a payment: it says what to ask for. Only disputes, which come from
//! outside and cannot be asked for by our reference, are read in full.

use super::wire::{Dispute, Intent, Refund};
use crate::connector::{Callback, CallbackRefused, DisputeReport, Report};
use crate::webhook::signature;
use serde::Deserialize;
use zeroize::Zeroizing;

pub(super) fn parse(
    secrets: &[Zeroizing<String>],
    headers: &http::HeaderMap,
    body: &[u8],
    now: jiff::Timestamp,
) -> Result<Callback, CallbackRefused> {
    let refused = |why: &str| CallbackRefused::Signature(why.to_owned());
    let header = headers
        .get("stripe-signature")
        .ok_or_else(|| refused("no Stripe-Signature header"))?;
    let header = header.to_str().map_err(|_| refused("the header is not text"))?;
    let secrets: Vec<&[u8]> = secrets.iter().map(|secret| secret.as_bytes()).collect();
    signature::verify(&secrets, header, body, now.as_second(), TOLERANCE_SECONDS).map_err(refused)?;
    // What serde says could quote the body; the line and column are enough.
    let head: Head = serde_json::from_slice(body)
        .map_err(|e| CallbackRefused::Malformed(format!("not an event (line {}, column {})", e.line(), e.column())))?;
    if head.id.is_empty() || head.id.len() > 255 || head.r#type.len() > 255 {
        return Err(CallbackRefused::Malformed(
            "an id or type of impossible length".to_owned(),
        ));
    }
    Ok(Callback {
        id: head.id,
        r#type: head.r#type,
    })
}

pub(super) fn report(payload: &str) -> Result<Report, String> {
    let head: Head = read(payload)?;
    let dispute = |kind| {
        Ok(Report::Dispute {
            kind,
            dispute: object::<Dispute>(payload)?.read().map_err(|why| format!("{why:?}"))?,
        })
    };
    match head.r#type.as_str() {
        "charge.dispute.created" => dispute(DisputeReport::Created),
        "charge.dispute.updated" => dispute(DisputeReport::Updated),
        "charge.dispute.funds_withdrawn" => dispute(DisputeReport::FundsWithdrawn),
        "charge.dispute.funds_reinstated" => dispute(DisputeReport::FundsReinstated),
        "charge.dispute.closed" => dispute(DisputeReport::Closed),
        "charge.refund.updated" | "refund.updated" | "refund.failed" => {
            let refund: Refund = object(payload)?;
            Ok(Report::Refund {
                succeeded: refund.succeeded(),
                failure_reason: refund.reason(),
                reference: refund.metadata.counterfoil_reference,
                acquirer_id: refund.id,
            })
        }
        kind if kind.starts_with("payment_intent.") => {
            let intent: Intent = object(payload)?;
            Ok(Report::Payment {
                reference: intent.metadata.counterfoil_reference,
                acquirer_id: intent.id,
            })
        }
        "radar.early_fraud_warning.created" => {
            let warning: FraudWarning = object(payload)?;
            Ok(Report::FraudWarning {
                acquirer_id: warning.id,
                payment_acquirer_id: warning.payment_intent,
                fraud_type: warning.fraud_type,
            })
        }
        _ => Ok(Report::Ignored),
    }
}

#[derive(Deserialize)]
struct Head {
    id: String,
    r#type: String,
}

#[derive(Deserialize)]
struct FraudWarning {
    id: String,
    payment_intent: String,
    fraud_type: String,
}

#[derive(Deserialize)]
struct Event<T> {
    data: Data<T>,
}

#[derive(Deserialize)]
struct Data<T> {
    object: T,
}

fn object<T: for<'de> Deserialize<'de>>(payload: &str) -> Result<T, String> {
    read::<Event<T>>(payload).map(|event| event.data.object)
}

fn read<T: for<'de> Deserialize<'de>>(payload: &str) -> Result<T, String> {
    serde_json::from_str(payload)
        .map_err(|e| format!("the event does not parse (line {}, column {})", e.line(), e.column()))
}

const TOLERANCE_SECONDS: i64 = 300;
