//! `/v1/account` and `/v1/accounts/{id}` described.

use super::operation::Operation;
use super::schema::*;

pub(in crate::api) fn own() -> Operation {
    Operation::new("Retrieve the own account", "account").about("The merchant that the key acts for.")
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve an account", "account").about("Its own; a platform's key may name any.")
}

pub(in crate::api) fn account() -> Object {
    Object::new(
        "account",
        "A merchant.",
        Fields::new()
            .field("id", id("acct"), "")
            .field("business_profile", open_object(), "")
            .field("business_type", text().or_null(), "")
            .field("capabilities", open_object(), "What it may do: `active` or `inactive`.")
            .field("charges_enabled", boolean(), "")
            .field("company", nothing(), "")
            .field("controller", open_object(), "")
            .field("country", text(), "")
            .field("created", moment(), "")
            .field("default_currency", currency(), "")
            .field("details_submitted", boolean(), "")
            .field("email", text().or_null(), "")
            .field("external_accounts", open_object(), "")
            .field("future_requirements", open_object(), "")
            .field("groups", nothing(), "")
            .field("individual", nothing(), "")
            .field("metadata", metadata_kept(), "")
            .field("payouts_enabled", boolean(), "")
            .field("requirements", open_object(), "")
            .field("settings", open_object(), "")
            .field("tos_acceptance", open_object(), "")
            .field("type", text(), ""),
    )
}
