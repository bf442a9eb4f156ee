//! Test cards and what each one makes happen.
//!
//! The table is Stripe's published one (docs.stripe.com/testing). Cards whose number is not listed but passes the Luhn check
//! are approved like a plain Visa, so that load and attack patterns can use many different cards; the real test mode would refuse
//! them. A full number is read, judged and dropped here: it must never reach an object, the log or a message.

use crate::error::ApiError;
use crate::id::Id;
use crate::params::Params;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One row of the table.
pub struct TestCard {
    number: &'static str,
    token: &'static str,
    /// Network name as in `card.brand`.
    pub brand: &'static str,
    /// `credit` or `debit`.
    pub funding: &'static str,
    /// What the issuer answers to an authorization.
    pub issuer: Issuer,
    /// What happens to the money afterwards.
    pub aftermath: Aftermath,
    /// What the acquirer's own risk engine says.
    pub risk: Risk,
    /// `cvc_check` when a CVC was given.
    pub cvc_check: &'static str,
    /// `address_postal_code_check` and `address_line1_check`.
    pub zip_check: &'static str,
    /// See `zip_check`.
    pub line1_check: &'static str,
}

/// The issuer's answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Issuer {
    /// Approves.
    Approves,
    /// Declines.
    Declines(Reason),
    /// Wants the cardholder authenticated, and answers the inner way once that is done.
    Challenges(Option<Reason>),
    /// The same, unless an earlier attempt proved that the cardholder agreed.
    ChallengesUnlessSetUp,
}

/// Error code and decline code of a decline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `error.code`.
    pub code: &'static str,
    /// `error.decline_code`.
    pub decline_code: &'static str,
}

/// What follows a successful charge or a refund.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Aftermath {
    /// Nothing.
    Nothing,
    /// A chargeback with this reason.
    Dispute(&'static str),
    /// A request for information: no money moves.
    Inquiry,
    /// An early fraud warning.
    FraudWarning,
    /// Two chargebacks for half the amount each.
    TwoDisputes,
    /// Refunds stay pending, then succeed.
    RefundPends,
    /// Refunds succeed, then fail.
    RefundFails,
    /// Funds are available at once.
    AvailableAtOnce,
}

/// Risk marked in the charge's outcome.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// Score 12.
    Normal,
    /// Score 68.
    Elevated,
    /// Score 82.
    Highest,
    /// Score 97: the number that the acquirer's own engine is sure about.
    Certain,
}

impl Risk {
    /// `outcome.risk_level` and `outcome.risk_score`.
    pub fn marks(self) -> (&'static str, u8) {
        match self {
            Risk::Normal => ("normal", 12),
            Risk::Elevated => ("elevated", 68),
            Risk::Highest => ("highest", 82),
            Risk::Certain => ("highest", 97),
        }
    }
}

/// A card as the acquirer keeps it: its table row and what may be shown of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Card {
    row: u8,
    /// Last four digits.
    pub last4: Box<str>,
    /// 1 to 12.
    pub exp_month: u8,
    /// Four digits.
    pub exp_year: u16,
    brand: Option<Brand>,
    /// Whether a CVC came with it; the CVC itself is gone.
    pub cvc_given: bool,
    /// Same for the same number in one simulator and useless elsewhere.
    pub fingerprint: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Brand {
    Visa,
    Mastercard,
    Amex,
    Discover,
    Unknown,
}

impl Card {
    /// The behaviour of this card.
    pub fn behaviour(&self) -> &'static TestCard {
        CARDS.get(usize::from(self.row)).unwrap_or(&CARDS[0])
    }

    /// Network name.
    pub fn brand(&self) -> &'static str {
        match self.brand {
            None => self.behaviour().brand,
            Some(Brand::Visa) => "visa",
            Some(Brand::Mastercard) => "mastercard",
            Some(Brand::Amex) => "amex",
            Some(Brand::Discover) => "discover",
            Some(Brand::Unknown) => "unknown",
        }
    }

    /// The card behind a `pm_card_*` name.
    pub fn by_token(token: &str) -> Option<Self> {
        // Older names lack the network: `pm_card_chargeDeclined`; newer ones carry it: `pm_card_visa_createDispute`.
        let name = token.strip_prefix("pm_card_")?;
        let bare = |token: &'static str| {
            token
                .strip_prefix("pm_card_")
                .map(|name| name.strip_prefix("visa_").unwrap_or(name))
        };
        let row = CARDS.iter().position(|card| card.token == token).or_else(|| {
            CARDS
                .iter()
                .position(|card| bare(card.token) == Some(name.strip_prefix("visa_").unwrap_or(name)))
        })?;
        Some(Self::new(row, None, CARDS[row].number, 12, 2034, true))
    }

    /// Reads `prefix[number]` and its companions, refusing what no issuer would ever see.
    pub fn by_params(params: &Params, prefix: &str, now_ms: i64) -> Result<Self, ApiError> {
        let field = |name: &str| params.text(&format!("{prefix}[{name}]")).map(str::trim);
        let number: String = field("number")
            .ok_or_else(|| ApiError::missing("payment_method_data[card][number]"))?
            .chars()
            .filter(|c| *c != ' ' && *c != '-')
            .collect();
        if !(12..=19).contains(&number.len()) || !passes_luhn(&number) {
            return Err(ApiError::card(
                "incorrect_number",
                "number",
                "Your card number is incorrect.",
            ));
        }
        let exp_month = field("exp_month")
            .and_then(|month| month.parse().ok())
            .filter(|month| (1..=12).contains(month));
        let exp_month: u8 = exp_month.ok_or_else(|| {
            ApiError::card(
                "invalid_expiry_month",
                "exp_month",
                "Your card's expiration month is invalid.",
            )
        })?;
        let past = || {
            ApiError::card(
                "invalid_expiry_year",
                "exp_year",
                "Your card's expiration year is invalid.",
            )
        };
        let exp_year: u16 = field("exp_year").and_then(|year| year.parse().ok()).ok_or_else(past)?;
        let exp_year = if exp_year < 100 { exp_year + 2000 } else { exp_year };
        let today = jiff::Timestamp::from_millisecond(now_ms)
            .map_err(|_| past())?
            .to_zoned(jiff::tz::TimeZone::UTC);
        let (year, month) = (i32::from(today.year()), i32::from(today.month()));
        if i32::from(exp_year) > year + 50 || (i32::from(exp_year), i32::from(exp_month)) < (year, month) {
            return Err(past());
        }
        let cvc = field("cvc");
        if cvc.is_some_and(|cvc| !(3..=4).contains(&cvc.len()) || !cvc.bytes().all(|b| b.is_ascii_digit())) {
            return Err(ApiError::card(
                "invalid_cvc",
                "cvc",
                "Your card's security code is invalid.",
            ));
        }
        let listed = CARDS.iter().position(|card| card.number == number);
        let brand = listed.is_none().then(|| brand_of(&number));
        Ok(Self::new(
            listed.unwrap_or(0),
            brand,
            &number,
            exp_month,
            exp_year,
            cvc.is_some(),
        ))
    }

    fn new(row: usize, brand: Option<Brand>, number: &str, exp_month: u8, exp_year: u16, cvc_given: bool) -> Self {
        let mut short = [0; 8];
        short.copy_from_slice(&Sha256::digest(number)[..8]);
        Self {
            row: row as u8,
            last4: number[number.len().saturating_sub(4)..].into(),
            exp_month,
            exp_year,
            brand,
            cvc_given,
            fingerprint: u64::from_le_bytes(short),
        }
    }
}

/// A card as an object of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Method {
    /// `pm_…`.
    pub id: Id,
    /// Unix seconds.
    pub created: i64,
    /// The card.
    pub card: Card,
}

/// What the issuer says about this number; nothing when it cannot be a card's.
pub fn issuer(number: &str) -> Option<Issuer> {
    if !(12..=19).contains(&number.len()) || !passes_luhn(number) {
        return None;
    }
    let listed = CARDS.iter().find(|card| card.number == number);
    Some(listed.map_or(Issuer::Approves, |card| card.issuer))
}

/// Message shown for a decline.
pub fn message(reason: Reason) -> &'static str {
    match (reason.code, reason.decline_code) {
        ("expired_card", _) => "Your card has expired.",
        ("incorrect_cvc", _) => "Your card's security code is incorrect.",
        ("processing_error", _) => "An error occurred while processing your card. Try again in a little bit.",
        ("authentication_required", _) => "Your card was declined. This transaction requires authentication.",
        ("payment_intent_authentication_failure", _) => {
            "We are unable to authenticate your payment method. Please choose a different payment method and try again."
        }
        (_, "insufficient_funds") => "Your card has insufficient funds.",
        (_, "card_velocity_exceeded") => {
            "Your card was declined for making repeated attempts too frequently or exceeding its amount limit."
        }
        _ => "Your card was declined.",
    }
}

fn brand_of(number: &str) -> Brand {
    match number.as_bytes() {
        [b'4', ..] => Brand::Visa,
        [b'5', b'1'..=b'5', ..] | [b'2', b'2'..=b'7', ..] => Brand::Mastercard,
        [b'3', b'4' | b'7', ..] => Brand::Amex,
        [b'6', b'0' | b'4' | b'5', ..] => Brand::Discover,
        _ => Brand::Unknown,
    }
}

fn passes_luhn(number: &str) -> bool {
    let mut sum = 0u32;
    for (position, byte) in number.bytes().rev().enumerate() {
        let Some(digit) = (byte as char).to_digit(10) else {
            return false;
        };
        sum += match position % 2 {
            1 if digit > 4 => 2 * digit - 9,
            1 => 2 * digit,
            _ => digit,
        };
    }
    sum.is_multiple_of(10)
}

const fn reason(code: &'static str, decline_code: &'static str) -> Reason {
    Reason { code, decline_code }
}

const fn plain(number: &'static str, token: &'static str, brand: &'static str) -> TestCard {
    TestCard {
        number,
        token,
        brand,
        funding: "credit",
        issuer: Issuer::Approves,
        aftermath: Aftermath::Nothing,
        risk: Risk::Normal,
        cvc_check: "pass",
        zip_check: "pass",
        line1_check: "pass",
    }
}

const fn declined(
    number: &'static str,
    token: &'static str,
    code: &'static str,
    decline_code: &'static str,
) -> TestCard {
    TestCard {
        issuer: Issuer::Declines(reason(code, decline_code)),
        ..plain(number, token, "visa")
    }
}

const fn challenged(number: &'static str, token: &'static str, then: Option<Reason>) -> TestCard {
    TestCard {
        issuer: Issuer::Challenges(then),
        ..plain(number, token, "visa")
    }
}

const fn then(number: &'static str, token: &'static str, aftermath: Aftermath) -> TestCard {
    TestCard {
        aftermath,
        ..plain(number, token, "visa")
    }
}

const fn risky(number: &'static str, token: &'static str, risk: Risk) -> TestCard {
    TestCard {
        risk,
        ..plain(number, token, "visa")
    }
}

const fn checked(
    number: &'static str,
    token: &'static str,
    cvc_check: &'static str,
    zip_check: &'static str,
    line1_check: &'static str,
) -> TestCard {
    TestCard {
        cvc_check,
        zip_check,
        line1_check,
        ..plain(number, token, "visa")
    }
}

const GENERIC: Reason = reason("card_declined", "generic_decline");
const NO_FUNDS: Reason = reason("card_declined", "insufficient_funds");

/// Row 0 is also what an unlisted number behaves like.
static CARDS: [TestCard; 39] = [
    plain("4242424242424242", "pm_card_visa", "visa"),
    TestCard {
        funding: "debit",
        ..plain("4000056655665556", "pm_card_visa_debit", "visa")
    },
    plain("5555555555554444", "pm_card_mastercard", "mastercard"),
    plain("378282246310005", "pm_card_amex", "amex"),
    plain("6011111111111117", "pm_card_discover", "discover"),
    declined(
        "4000000000000002",
        "pm_card_visa_chargeDeclined",
        "card_declined",
        "generic_decline",
    ),
    declined(
        "4000000000009995",
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        "card_declined",
        "insufficient_funds",
    ),
    declined(
        "4000000000009987",
        "pm_card_visa_chargeDeclinedLostCard",
        "card_declined",
        "lost_card",
    ),
    declined(
        "4000000000009979",
        "pm_card_visa_chargeDeclinedStolenCard",
        "card_declined",
        "stolen_card",
    ),
    declined(
        "4000000000006975",
        "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
        "card_declined",
        "card_velocity_exceeded",
    ),
    declined(
        "4000000000000069",
        "pm_card_chargeDeclinedExpiredCard",
        "expired_card",
        "expired_card",
    ),
    declined(
        "4000000000000127",
        "pm_card_chargeDeclinedIncorrectCvc",
        "incorrect_cvc",
        "incorrect_cvc",
    ),
    declined(
        "4000000000000119",
        "pm_card_chargeDeclinedProcessingError",
        "processing_error",
        "processing_error",
    ),
    declined(
        "4000000000000341",
        "pm_card_chargeCustomerFail",
        "card_declined",
        "generic_decline",
    ),
    risky("4100000000000019", "pm_card_radarBlock", Risk::Certain),
    risky("4000000000004954", "pm_card_riskLevelHighest", Risk::Highest),
    risky("4000000000009235", "pm_card_riskLevelElevated", Risk::Elevated),
    checked("4000000000000101", "pm_card_cvcCheckFail", "fail", "pass", "pass"),
    checked("4000000000000036", "pm_card_avsZipFail", "pass", "fail", "pass"),
    checked("4000000000000028", "pm_card_avsLine1Fail", "pass", "pass", "fail"),
    checked("4000000000000010", "pm_card_avsFail", "pass", "fail", "fail"),
    checked(
        "4000000000000044",
        "pm_card_avsUnchecked",
        "pass",
        "unavailable",
        "unavailable",
    ),
    then(
        "4000000000000259",
        "pm_card_createDispute",
        Aftermath::Dispute("fraudulent"),
    ),
    then(
        "4000000000002685",
        "pm_card_createDisputeProductNotReceived",
        Aftermath::Dispute("product_not_received"),
    ),
    then("4000000000001976", "pm_card_createDisputeInquiry", Aftermath::Inquiry),
    then(
        "4000000000005423",
        "pm_card_createIssuerFraudRecord",
        Aftermath::FraudWarning,
    ),
    then(
        "4000000404000079",
        "pm_card_createMultipleDisputes",
        Aftermath::TwoDisputes,
    ),
    then("4000000000007726", "pm_card_pendingRefund", Aftermath::RefundPends),
    then("4000000000005126", "pm_card_refundFail", Aftermath::RefundFails),
    then("4000000000000077", "pm_card_bypassPending", Aftermath::AvailableAtOnce),
    TestCard {
        issuer: Issuer::ChallengesUnlessSetUp,
        ..plain("4000002500003155", "pm_card_authenticationRequiredOnSetup", "visa")
    },
    challenged("4000002760003184", "pm_card_authenticationRequired", None),
    challenged(
        "4000008260003178",
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
        Some(NO_FUNDS),
    ),
    challenged("4000000000003220", "pm_card_threeDSecure2Required", None),
    challenged(
        "4000008400001629",
        "pm_card_threeDSecureRequiredChargeDeclined",
        Some(GENERIC),
    ),
    plain("4000000760000002", "pm_card_br", "visa"),
    plain("4000002500000003", "pm_card_fr", "visa"),
    plain("4000008260000000", "pm_card_gb", "visa"),
    plain("3566002020360505", "pm_card_jcb", "jcb"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_number_passes_luhn_and_is_listed_once() {
        let mut seen = std::collections::HashSet::new();
        for card in &CARDS {
            if card.number.is_empty() {
                continue;
            }
            assert!(passes_luhn(card.number), "{}", card.token);
            assert!(seen.insert(card.number) && seen.insert(card.token), "{}", card.token);
        }
        assert!(!passes_luhn("4242424242424241"));
    }
}
