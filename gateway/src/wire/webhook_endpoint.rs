//! webhook_endpoint.

use super::seconds;
use crate::webhook::endpoint::{EndpointStatus, WebhookEndpoint};
use serde_json::{Value, json};

/// `webhook_endpoint`, without its secret: that is shown once, by the handler that makes it.
pub fn webhook_endpoint(endpoint: &WebhookEndpoint) -> Value {
    if endpoint.deleted {
        return json!({"id": endpoint.id, "object": "webhook_endpoint", "deleted": true});
    }
    json!({
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "api_version": endpoint.details.api_version,
        "application": null,
        "created": seconds(endpoint.created_at),
        "description": endpoint.details.description,
        "enabled_events": endpoint.enabled_events,
        "livemode": false,
        "metadata": endpoint.details.metadata,
        "status": match endpoint.status { EndpointStatus::Enabled => "enabled", EndpointStatus::Disabled => "disabled" },
        "url": endpoint.url,
    })
}
