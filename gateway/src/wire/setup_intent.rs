//! setup_intent.

use super::seconds;
use crate::setup::{SetupIntent, flow::client_secret};
use serde_json::{Value, json};

/// `setup_intent`.
pub fn setup_intent(setup: &SetupIntent) -> Value {
    let details = &setup.details;
    json!({
        "id": setup.id,
        "object": "setup_intent",
        "application": null,
        "attach_to_self": false,
        "automatic_payment_methods": details.automatic_payment_methods,
        "cancellation_reason": details.cancellation_reason,
        "client_secret": client_secret(setup),
        "created": seconds(setup.created_at),
        "customer": setup.customer_id,
        "customer_account": null,
        "description": details.description,
        "excluded_payment_method_types": null,
        "flow_directions": null,
        "last_setup_error": details.last_setup_error,
        "latest_attempt": null,
        "livemode": false,
        "mandate": null,
        "metadata": details.metadata,
        "next_action": details.next_action,
        "on_behalf_of": null,
        "payment_method": setup.payment_method_id,
        "payment_method_configuration_details": null,
        "payment_method_options": {"card": {"mandate_options": null, "network": null, "request_three_d_secure": details.request_three_d_secure.as_deref().unwrap_or("automatic")}},
        "payment_method_types": ["card"],
        "single_use_mandate": null,
        "status": setup.status.as_str(),
        "usage": setup.usage,
    })
}
