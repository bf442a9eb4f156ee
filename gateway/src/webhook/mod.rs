//! Webhooks: events told to the merchants' endpoints, signed, at least once, each with the same id however often.
//!
//! An event's deliveries are made in the event's own commit; [`deliver`] carries them out. Nothing here must ever show
//! an event in another form than the API does, or send a merchant's event to an address that is not theirs to name.

pub mod again;
pub mod deliver;
pub mod endpoint;
pub mod receiver;
pub mod signature;
pub mod target;

use crate::event::Event;
use crate::vault::{Vault, VaultError};
use serde_json::json;
use zeroize::Zeroizing;

/// The event as the API and every delivery show it; `object` and `previous` are spliced in unchanged, byte for byte.
/// `pending_webhooks` is how many deliveries are still owed.
pub fn event_json(event: &Event, api_version: &str, pending_webhooks: i64) -> String {
    let mut json = String::with_capacity(400 + event.object.len() + event.previous.as_ref().map_or(0, String::len));
    json.push_str(r#"{"id":"#);
    push_text(&mut json, &event.id);
    json.push_str(r#","object":"event","api_version":"#);
    push_text(&mut json, api_version);
    json.push_str(r#","created":"#);
    json.push_str(&event.created_at.as_second().to_string());
    json.push_str(r#","data":{"object":"#);
    json.push_str(&event.object);
    if let Some(previous) = &event.previous {
        json.push_str(r#","previous_attributes":"#);
        json.push_str(previous);
    }
    json.push_str(r#"},"livemode":false,"pending_webhooks":"#);
    json.push_str(&pending_webhooks.to_string());
    json.push_str(r#","request":{"id":"#);
    push_text_or_null(&mut json, event.request_id.as_deref());
    json.push_str(r#","idempotency_key":"#);
    push_text_or_null(&mut json, event.idempotency_key.as_deref());
    json.push_str(r#"},"type":"#);
    push_text(&mut json, &event.r#type);
    json.push('}');
    json
}

/// A fresh endpoint secret, `whsec_` and 64 characters.
///
/// # Errors
/// Only when there is no randomness.
pub fn new_secret() -> Result<Zeroizing<String>, VaultError> {
    let mut key = Zeroizing::new([0u8; 32]);
    aws_lc_rs::rand::fill(key.as_mut()).map_err(|_| VaultError::Randomness)?;
    let mut secret = Zeroizing::new(String::with_capacity(70));
    secret.push_str("whsec_");
    secret.push_str(&Zeroizing::new(hex::encode(key.as_ref())));
    Ok(secret)
}

/// Seals a secret that takes over, for its own row.
///
/// # Errors
/// Only when there is no randomness.
pub fn seal_rolled(vault: &Vault, secret_id: &str, secret: &str) -> Result<Vec<u8>, VaultError> {
    vault.seal(ROLLED_PURPOSE, secret_id, secret.as_bytes())
}

/// A secret that took over.
///
/// # Errors
/// When the row was altered or its key is not in the key file.
pub fn unseal_rolled(vault: &Vault, secret_id: &str, sealed: &[u8]) -> Result<Zeroizing<String>, VaultError> {
    let plain = vault.unseal(ROLLED_PURPOSE, secret_id, sealed)?;
    let text = std::str::from_utf8(&plain).map_err(|_| VaultError::Broken)?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Seals an endpoint's secrets for its row, newest first; two while one is being replaced.
///
/// # Errors
/// Only when there is no randomness.
pub fn seal_secrets(vault: &Vault, endpoint_id: &str, secrets: &[&str]) -> Result<Vec<u8>, VaultError> {
    vault.seal(
        SECRET_PURPOSE,
        endpoint_id,
        Zeroizing::new(secrets.join("\n")).as_bytes(),
    )
}

/// The secrets in an endpoint's row, newest first.
///
/// # Errors
/// When the row was altered or its key is not in the key file.
pub fn unseal_secrets(vault: &Vault, endpoint_id: &str, sealed: &[u8]) -> Result<Vec<Zeroizing<String>>, VaultError> {
    let plain = vault.unseal(SECRET_PURPOSE, endpoint_id, sealed)?;
    let text = std::str::from_utf8(&plain).map_err(|_| VaultError::Broken)?;
    Ok(text.lines().map(|secret| Zeroizing::new(secret.to_owned())).collect())
}

fn push_text(json: &mut String, text: &str) {
    json.push_str(&json!(text).to_string());
}

fn push_text_or_null(json: &mut String, text: Option<&str>) {
    match text {
        Some(text) => push_text(json, text),
        None => json.push_str("null"),
    }
}

const SECRET_PURPOSE: &str = "webhook_endpoint";
const ROLLED_PURPOSE: &str = "webhook_secret";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_shown_whole_and_its_object_unchanged() {
        let mut event = Event {
            book_id: 1,
            id: "evt_1".into(),
            r#type: "payment_intent.succeeded".into(),
            object_id: "pi_1".into(),
            object: r#"{"z": 1.0, "a":"\u00e9" }"#.into(),
            previous: Some(r#"{"status":"processing"}"#.into()),
            request_id: Some("req_1".into()),
            idempotency_key: Some("a\"b\\\n".into()),
            created_at: jiff::Timestamp::from_second(1_795_000_000).unwrap(),
        };
        assert_eq!(
            event_json(&event, "v", 2),
            r#"{"id":"evt_1","object":"event","api_version":"v","created":1795000000,"data":{"object":{"z": 1.0, "a":"\u00e9" },"previous_attributes":{"status":"processing"}},"livemode":false,"pending_webhooks":2,"request":{"id":"req_1","idempotency_key":"a\"b\\\n"},"type":"payment_intent.succeeded"}"#
        );
        (event.previous, event.request_id, event.idempotency_key) = (None, None, None);
        let read: serde_json::Value = serde_json::from_str(&event_json(&event, "v", 0)).unwrap();
        assert_eq!(read["request"], json!({"id": null, "idempotency_key": null}));
        assert_eq!(read["data"].as_object().unwrap().len(), 1);
    }
}
