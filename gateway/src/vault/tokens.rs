//! The published test tokens (`pm_card_visa`, `tok_visa`): which published test number each one stands for.
//!
//! The numbers are the ones that every acquirer's documentation prints: they belong to nobody and buy nothing. A token
//! must give the same card as its number typed, fingerprint included, so that limits and risk see one card.

/// The test number behind a published token, if it is one.
pub(super) fn number(token: &str) -> Option<&'static str> {
    let name = token.strip_prefix("pm_card_").or_else(|| token.strip_prefix("tok_"))?;
    let plain = name.strip_prefix("visa_").unwrap_or(name);
    TOKENS
        .iter()
        .find(|(n, _)| *n == name || *n == plain)
        .map(|(_, number)| *number)
}

/// Funding and country of issue: known for the published test numbers, `unknown` and empty for all others, since no
/// issuer table is carried here.
pub(super) fn issuer(number: &str) -> (&'static str, &'static str) {
    if let Some((_, funding, country)) = ISSUERS.iter().find(|(n, ..)| *n == number) {
        return (funding, country);
    }
    if TOKENS.iter().any(|(_, n)| *n == number) {
        ("credit", "US")
    } else {
        ("unknown", "")
    }
}

/// Token name without `pm_card_`, `tok_` and an optional `visa_`, and its number.
#[rustfmt::skip]
const TOKENS: &[(&str, &str)] = &[
    ("visa", "4242424242424242"),
    ("visa_debit", "4000056655665556"),
    ("mastercard", "5555555555554444"),
    ("mastercard_debit", "5200828282828210"),
    ("mastercard_prepaid", "5105105105105100"),
    ("amex", "378282246310005"),
    ("discover", "6011111111111117"),
    ("diners", "3056930009020004"),
    ("jcb", "3566002020360505"),
    ("unionpay", "6200000000000005"),
    // declines
    ("chargeDeclined", "4000000000000002"),
    ("chargeDeclinedInsufficientFunds", "4000000000009995"),
    ("chargeDeclinedLostCard", "4000000000009987"),
    ("chargeDeclinedStolenCard", "4000000000009979"),
    ("chargeDeclinedVelocityLimitExceeded", "4000000000006975"),
    ("chargeDeclinedExpiredCard", "4000000000000069"),
    ("chargeDeclinedIncorrectCvc", "4000000000000127"),
    ("chargeDeclinedProcessingError", "4000000000000119"),
    ("chargeDeclinedFraudulent", "4100000000000019"),
    ("chargeCustomerFail", "4000000000000341"),
    // risk and checks
    ("radarBlock", "4100000000000019"),
    ("riskLevelHighest", "4000000000004954"),
    ("riskLevelElevated", "4000000000009235"),
    ("cvcCheckFail", "4000000000000101"),
    ("avsZipFail", "4000000000000036"),
    ("avsLine1Fail", "4000000000000028"),
    ("avsFail", "4000000000000010"),
    ("avsUnchecked", "4000000000000044"),
    // disputes and refunds
    ("createDispute", "4000000000000259"),
    ("createDisputeProductNotReceived", "4000000000002685"),
    ("createDisputeInquiry", "4000000000001976"),
    ("createIssuerFraudRecord", "4000000000005423"),
    ("createMultipleDisputes", "4000000404000079"),
    ("pendingRefund", "4000000000007726"),
    ("refundFail", "4000000000005126"),
    ("bypassPending", "4000000000000077"),
    // authentication
    ("authenticationRequiredOnSetup", "4000002500003155"),
    ("authenticationRequired", "4000002760003184"),
    ("authenticationRequiredChargeDeclinedInsufficientFunds", "4000008260003178"),
    ("threeDSecure2Required", "4000000000003220"),
    ("threeDSecureRequiredChargeDeclined", "4000008400001629"),
];

const ISSUERS: &[(&str, &str, &str)] = &[
    ("4000056655665556", "debit", "US"),
    ("5200828282828210", "debit", "US"),
    ("5105105105105100", "prepaid", "US"),
    ("3566002020360505", "credit", "JP"),
    ("6200000000000005", "credit", "CN"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::card::{Brand, luhn};

    #[test]
    fn every_token_is_a_valid_number_of_a_known_brand() {
        for (name, number) in TOKENS {
            assert!(luhn(number.bytes()), "{name}");
            assert_ne!(Brand::of(number), Brand::Unknown, "{name}");
        }
        assert!(
            ISSUERS
                .iter()
                .all(|(number, ..)| TOKENS.iter().any(|(_, n)| n == number))
        );
    }

    #[test]
    fn tokens_are_found_in_both_forms() {
        for (token, expected) in [
            ("pm_card_visa", Some("4242424242424242")),
            ("tok_visa", Some("4242424242424242")),
            ("pm_card_visa_debit", Some("4000056655665556")),
            ("pm_card_visa_chargeDeclined", Some("4000000000000002")),
            ("tok_chargeDeclined", Some("4000000000000002")),
            ("pm_card_createDispute", Some("4000000000000259")),
            ("pm_card_", None),
            ("pm_card_visa_", None),
            ("pm_0123", None),
            ("visa", None),
        ] {
            assert_eq!(number(token), expected, "{token}");
        }
    }
}
