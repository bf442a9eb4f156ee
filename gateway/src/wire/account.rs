//! account.

use super::{seconds, seconds_or_null};
use crate::account::Merchant;
use crate::account::state::Status;
use serde_json::{Value, json};

/// `account`: a merchant. `status`, `status_reason`, `reverify_at` and `return_policy` are ours, beside Stripe's shape.
pub fn account(merchant: &Merchant) -> Value {
    let active = merchant.status == Status::Active;
    let capability = if active { "active" } else { "inactive" };
    let weekday = merchant.payout_weekday.and_then(|day| {
        let days = [
            "monday",
            "tuesday",
            "wednesday",
            "thursday",
            "friday",
            "saturday",
            "sunday",
        ];
        days.get(usize::try_from(day - 1).ok()?).copied()
    });
    let details = &merchant.details;
    let (profile, company) = (&details.business_profile, &details.company);
    json!({
        "id": merchant.id,
        "object": "account",
        "business_profile": {
            "annual_revenue": null, "estimated_worker_count": null, "mcc": profile.mcc, "minority_owned_business_designation": null,
            "name": merchant.name, "product_description": profile.product_description, "support_address": null,
            "support_email": profile.support_email, "support_phone": profile.support_phone, "support_url": profile.support_url,
            "url": profile.url,
        },
        "business_type": details.business_type,
        "capabilities": {"card_payments": capability, "transfers": capability},
        "charges_enabled": active,
        "company": {
            "address": company.address, "name": company.name, "phone": company.phone,
            "registration_authority": company.registration_authority,
            "registration_expires_at": seconds_or_null(company.registration_expires_at),
            "registration_number": company.registration_number, "tax_id_provided": false, "verification": null,
        },
        "controller": {"type": "account"},
        "country": merchant.country,
        "created": seconds(merchant.created_at),
        "default_currency": merchant.default_currency,
        "details_submitted": merchant.status != Status::Draft,
        "email": details.email,
        "external_accounts": {"object": "list", "data": [], "has_more": false, "url": format!("/v1/accounts/{}/external_accounts", merchant.id)},
        "future_requirements": {
            "alternatives": [], "current_deadline": seconds_or_null(merchant.reverify_at), "currently_due": [], "disabled_reason": null,
            "errors": [], "eventually_due": [], "past_due": [], "pending_verification": [],
        },
        "groups": null,
        "individual": null,
        "metadata": details.metadata,
        "payouts_enabled": merchant.payouts_enabled(),
        "requirements": requirements(merchant),
        "return_policy": details.return_policy,
        "reverify_at": seconds_or_null(merchant.reverify_at),
        "settings": {
            "branding": {"icon": null, "logo": null, "primary_color": null, "secondary_color": null},
            "card_payments": {"decline_on": {"avs_failure": false, "cvc_failure": false},
                              "statement_descriptor_prefix": null, "statement_descriptor_prefix_kana": null,
                              "statement_descriptor_prefix_kanji": null},
            "dashboard": {"display_name": merchant.name, "timezone": "Etc/UTC"},
            "payments": {"statement_descriptor": null, "statement_descriptor_kana": null, "statement_descriptor_kanji": null},
            "payouts": {
                "debit_negative_balances": true,
                "schedule": {"delay_days": merchant.delay_days, "interval": merchant.payout_interval.as_str(), "weekly_anchor": weekday},
                "statement_descriptor": null,
            },
            "reserve": {
                "percent": rust_decimal::Decimal::new(merchant.reserve_bps.into(), 2).normalize().to_string(), "days": merchant.reserve_days,
            },
        },
        "status": merchant.status.as_str(),
        "status_reason": merchant.status_reason,
        "tos_acceptance": {"date": null, "ip": null, "user_agent": null},
        "type": "standard",
    })
}

/// What is asked of the merchant, and why it cannot take payments, in Stripe's words.
fn requirements(merchant: &Merchant) -> Value {
    let missing = merchant.missing();
    let disabled_reason = match merchant.status {
        Status::Active => None,
        Status::Draft => Some("requirements.past_due"),
        Status::Submitted => Some("requirements.pending_verification"),
        Status::UnderReview => Some("under_review"),
        Status::Restricted | Status::Suspended => Some("platform_paused"),
        Status::Offboarded => Some("rejected.other"),
    };
    let examined = matches!(merchant.status, Status::Submitted | Status::UnderReview);
    let pending: &[&str] = if examined {
        &["company.registration_number"]
    } else {
        &[]
    };
    json!({
        "alternatives": [],
        "current_deadline": null,
        "currently_due": missing,
        "disabled_reason": disabled_reason,
        "errors": [],
        "eventually_due": missing,
        "past_due": if merchant.status == Status::Draft { json!(missing) } else { json!([]) },
        "pending_verification": pending,
    })
}
