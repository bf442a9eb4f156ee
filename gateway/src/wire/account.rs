//! account.

use super::seconds;
use crate::app::Merchant;
use serde_json::{Value, json};

/// `account`: a merchant.
pub fn account(merchant: &Merchant) -> Value {
    let active = merchant.status == "active";
    let requirements = json!({
        "alternatives": [], "current_deadline": null, "currently_due": [],
        "disabled_reason": (!active).then(|| merchant.status.clone()),
        "errors": [], "eventually_due": [], "past_due": [], "pending_verification": [],
    });
    json!({
        "id": merchant.id,
        "object": "account",
        "business_profile": {
            "annual_revenue": null, "estimated_worker_count": null, "mcc": null, "minority_owned_business_designation": null,
            "name": merchant.name, "product_description": null, "support_address": null, "support_email": null,
            "support_phone": null, "support_url": null, "url": null,
        },
        "business_type": null,
        "capabilities": {
            "card_payments": if active { "active" } else { "inactive" },
            "transfers": if active { "active" } else { "inactive" },
        },
        "charges_enabled": active,
        "company": null,
        "controller": {"type": "account"},
        "country": merchant.country,
        "created": seconds(merchant.created_at),
        "default_currency": merchant.default_currency,
        "details_submitted": merchant.status != "draft",
        "email": null,
        "external_accounts": {"object": "list", "data": [], "has_more": false, "url": format!("/v1/accounts/{}/external_accounts", merchant.id)},
        "future_requirements": {
            "alternatives": [], "current_deadline": null, "currently_due": [], "disabled_reason": null,
            "errors": [], "eventually_due": [], "past_due": [], "pending_verification": [],
        },
        "groups": null,
        "individual": null,
        "metadata": {},
        "payouts_enabled": active,
        "requirements": requirements,
        "settings": {
            "branding": {"icon": null, "logo": null, "primary_color": null, "secondary_color": null},
            "card_payments": {"decline_on": {"avs_failure": false, "cvc_failure": false},
                              "statement_descriptor_prefix": null, "statement_descriptor_prefix_kana": null,
                              "statement_descriptor_prefix_kanji": null},
            "dashboard": {"display_name": merchant.name, "timezone": "Etc/UTC"},
            "payments": {"statement_descriptor": null, "statement_descriptor_kana": null, "statement_descriptor_kanji": null},
            "payouts": null,
        },
        "tos_acceptance": {"date": null, "ip": null, "user_agent": null},
        "type": "standard",
    })
}
