//! An endpoint's row: where a merchant wants to be told what.
//!
//! Its secrets are in it sealed; `seal_secrets` and `unseal_secrets` are the only ways in and out.

use crate::commit::{Row, Table, Versioned};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// `gateway.webhook_endpoint`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct WebhookEndpoint {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub url: String,
    pub secret: Sealed,
    pub enabled_events: Vec<String>,
    pub status: EndpointStatus,
    pub deleted: bool,
    pub created_at: Timestamp,
    pub details: WebhookEndpointDetails,
}

/// Whether events are told there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum EndpointStatus {
    Enabled,
    Disabled,
}

/// What describes an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct WebhookEndpointDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// Sealed bytes; in JSON as PostgreSQL writes bytea.
#[derive(Clone, PartialEq)]
pub struct Sealed(pub Vec<u8>);

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealed(..)")
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("\\x{}", hex::encode(&self.0)))
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let bytes = text.strip_prefix("\\x").and_then(|h| hex::decode(h).ok());
        bytes
            .map(Sealed)
            .ok_or_else(|| serde::de::Error::custom("not bytea in hex"))
    }
}

impl Row for WebhookEndpoint {
    const TABLE: Table = Table::WebhookEndpoint;
    fn book_id(&self) -> i64 {
        self.book_id
    }
    fn id(&self) -> &str {
        &self.id
    }
}

impl Versioned for WebhookEndpoint {
    fn version_mut(&mut self) -> &mut i32 {
        &mut self.version
    }
}

/// `gateway.webhook_secret`: a secret that took over from the one before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct WebhookSecret {
    pub book_id: i64,
    pub id: String,
    pub endpoint_id: String,
    pub secret: Sealed,
    /// until when the one before it signs beside it
    pub previous_until: Timestamp,
    pub created_at: Timestamp,
}

impl Row for WebhookSecret {
    const TABLE: Table = Table::WebhookSecret;
    fn book_id(&self) -> i64 {
        self.book_id
    }
    fn id(&self) -> &str {
        &self.id
    }
}
