//! webhook_endpoint, webhook_delivery.

use super::seconds;
use crate::id;
use crate::webhook::again::Delivery;
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

/// `webhook_delivery`, which is ours: an event on its way to an endpoint, with its attempts.
pub fn webhook_delivery(delivery: &Delivery) -> Value {
    let attempts = delivery.attempts.iter().map(|attempt| {
        json!({
            "attempt": attempt.number,
            "created": seconds(attempt.at),
            "duration_ms": attempt.duration_ms,
            "error": attempt.error,
            "status": attempt.status,
        })
    });
    let event = id::to_uuid(id::prefix::EVENT, &delivery.event_id).unwrap_or_default();
    json!({
        "id": id::from_uuid(id::prefix::DELIVERY, event),
        "object": "webhook_delivery",
        "attempts": attempts.collect::<Vec<_>>(),
        "delivered_at": delivery.delivered_at.map(seconds),
        "event": delivery.event_id,
        "event_type": delivery.event_type,
        "livemode": false,
        "next_attempt": delivery.due_at.map(seconds),
        "status": delivery.state().as_str(),
        "webhook_endpoint": delivery.endpoint_id,
    })
}
