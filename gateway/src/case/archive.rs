//! The archive: a sealed case with everything that belongs to it, as one bundle that proves itself.
//!
//! When the time to appeal is over a case is sealed: SHA-256 over what was decided, the whole timeline with its evidence, and the
//! journals that its money made. Nothing of it changes afterwards (Rust and triggers), and who changes it all the same is
//! found by [`Bundle::intact`]. It must never hold what the case itself does not show.

use super::rows::{Case, Entry};
use super::store;
use crate::api::error::ApiError;
use crate::call::Call;
use crate::dispute::rows::Dispute;
use crate::payment::rows::{Charge, Payment, Refund};
use crate::payment::store::{by, get};
use crate::wire;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A case with everything that belongs to it.
pub struct Bundle {
    /// for a regulator: case, timeline, payment, charge, refunds, chargebacks, journals
    pub object: Value,
    /// whether the seal is that of what is here; none while it is not sealed
    pub intact: Option<bool>,
}

/// The bundle of a case, sealed or not.
pub async fn bundle(call: &Call, case_id: &str) -> Result<Bundle, ApiError> {
    let case = super::flow::load(call, case_id).await?;
    let parts = Parts::read(call, &case).await?;
    let intact = case.seal.as_ref().map(|seal| *seal == parts.digest(&case));
    let client = call.app.reads.get().await?;
    let book = case.book_id;
    let payment: Option<Payment> = get(&**client, book, &case.payment_id).await?;
    let charge: Option<Charge> = get(&**client, book, &case.charge_id).await?;
    let refunds: Vec<Refund> = by(&**client, book, "payment_id", &case.payment_id, 100).await?;
    let disputes: Vec<Dispute> = by(&**client, book, "payment_id", &case.payment_id, 100).await?;
    let whole = store::with_all(&**client, book, vec![case.clone()]).await?;
    drop(client);
    let charge = match (&charge, &payment) {
        (Some(charge), Some(payment)) => wire::charge(charge, payment),
        _ => Value::Null,
    };
    let object = json!({
        "object": "case_bundle",
        "id": case.id,
        "case": whole.first().map(wire::case),
        "charge": charge,
        "disputes": crate::dispute::flow::rendered(call, &disputes).await?,
        "intact": intact,
        "journals": parts.journals,
        "merchant": { "id": call.merchant.id, "name": call.merchant.name, "legal_name": call.merchant.details.company.name },
        "payment_intent": payment.as_ref().map(wire::payment_intent),
        "refunds": refunds.iter().map(wire::refund).collect::<Vec<_>>(),
        "retained_until": wire::seconds_or_null(case.details.retained_until),
        "seal": case.seal,
    });
    Ok(Bundle { object, intact })
}

/// The seal of a case that is about to be archived.
pub(super) async fn seal(call: &Call, case: &Case) -> Result<String, ApiError> {
    Ok(Parts::read(call, case).await?.digest(case))
}

/// What a seal is about, beside the case.
struct Parts {
    entries: Vec<Entry>,
    journals: Vec<Value>,
}

impl Parts {
    async fn read(call: &Call, case: &Case) -> Result<Self, ApiError> {
        let client = call.app.reads.get().await?;
        let entries = store::entries(&**client, case.book_id, &[&case.id]).await?;
        // Journals of the case and of its refunds: the timeline names them all but the acquirer's confirmation.
        let mut references = vec![case.id.as_str()];
        references.extend(case.refund_id.as_deref());
        let journals = store::journals(&**client, case.book_id, &references).await?;
        Ok(Self { entries, journals })
    }

    /// Over the members of each object in the order of their names, each text with its length before it. The entry that tells of
    /// the archiving comes after the seal, and so do journals that get an advance back.
    fn digest(&self, case: &Case) -> String {
        let mut hash = Sha256::new();
        let mut put = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        let mut details = json!(case.details);
        if let Value::Object(details) = &mut details {
            details.remove("rating");
            details.remove("retained_until");
        }
        put(&case.id);
        put(&json!([
            case.r#type,
            case.channel,
            case.payment_id,
            case.charge_id,
            case.amount,
            case.currency,
            case.reason,
            case.outcome,
            case.refund_id,
            case.appealed,
            case.external_ref,
            case.created_at,
            case.decided_at,
            case.closed_at,
        ])
        .to_string());
        put(&details.to_string());
        for entry in self.entries.iter().filter(|entry| entry.kind != "archived") {
            put(&json!([
                entry.id,
                entry.kind,
                entry.party,
                entry.actor,
                entry.status,
                entry.told,
                entry.journals,
                entry.digest,
                entry.body,
                entry.created_at,
            ])
            .to_string());
        }
        for journal in self.journals.iter().filter(|journal| journal["code"] != "J25") {
            put(&journal.to_string());
        }
        hex::encode(hash.finalize())
    }
}
