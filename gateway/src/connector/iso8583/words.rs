//! Codes of the standard and what they mean in our words: response codes, currencies, private data.

use crate::connector::Decline;

/// What an issuer's response code (DE 39) says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Response {
    Approved,
    Declined(Decline),
    /// it may have been approved somewhere: to be reversed
    Unknown,
}

/// The meaning of DE 39 in the answer to an authorization.
pub(super) fn response(code: &str) -> Response {
    let (code, decline_code, message) = match code {
        "00" => return Response::Approved,
        // Approved in part or with conditions is not what was asked for; late and duplicate prove nothing.
        "08" | "10" | "11" | "16" | "68" | "94" => return Response::Unknown,
        "03" | "12" | "57" | "58" => (
            "card_declined",
            "transaction_not_allowed",
            "Your card does not support this type of purchase.",
        ),
        "13" => (
            "card_declined",
            "invalid_amount",
            "The bank does not accept this amount.",
        ),
        "14" => ("incorrect_number", "incorrect_number", "Your card number is incorrect."),
        "33" | "54" => ("expired_card", "expired_card", "Your card has expired."),
        "34" | "59" => ("card_declined", "fraudulent", "Your card was declined."),
        "41" => ("card_declined", "lost_card", "Your card was declined."),
        "43" => ("card_declined", "stolen_card", "Your card was declined."),
        "51" => (
            "card_declined",
            "insufficient_funds",
            "Your card has insufficient funds.",
        ),
        "61" | "65" => (
            "card_declined",
            "card_velocity_exceeded",
            "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
        ),
        "1A" => (
            "authentication_required",
            "authentication_required",
            "Your card was declined. This transaction requires authentication.",
        ),
        "82" | "N7" => (
            "incorrect_cvc",
            "incorrect_cvc",
            "Your card's security code is incorrect.",
        ),
        "91" | "92" => (
            "card_declined",
            "issuer_not_available",
            "The card's bank cannot be reached.",
        ),
        "06" | "96" => (
            "processing_error",
            "processing_error",
            "An error occurred while processing your card. Try again in a little bit.",
        ),
        "05" => ("card_declined", "do_not_honor", "Your card was declined."),
        _ => ("card_declined", "generic_decline", "Your card was declined."),
    };
    Response::Declined(Decline {
        code: code.into(),
        decline_code: Some(decline_code.into()),
        message: message.into(),
        acquirer_id: None,
        acquirer_reference: None,
    })
}

/// The numeric code (DE 49) of a lower-case currency.
pub(super) fn numeric(currency: &str) -> Option<&'static str> {
    NUMERIC
        .iter()
        .find(|(code, _)| *code == currency)
        .map(|(_, number)| *number)
}

/// The lower-case currency of a numeric code.
pub(super) fn currency(numeric: &str) -> Option<&'static str> {
    NUMERIC
        .iter()
        .find(|(_, number)| *number == numeric)
        .map(|(code, _)| *code)
}

/// DE 48 as tag, length, value, with two digits each of tag and length.
pub(super) fn private(parts: &[(&str, &str)]) -> String {
    parts
        .iter()
        .map(|(tag, value)| format!("{tag}{:02}{value}", value.len()))
        .collect()
}

/// Our reference inside DE 48, and the card's code (which answers must not repeat).
pub(super) const REFERENCE: &str = "01";
pub(super) const CARD_CODE: &str = "92";
/// On a completion that is not the last of its authorization.
pub(super) const MORE_FOLLOWS: &str = "03";

/// The currencies that the bank takes, with ISO 4217's numbers.
const NUMERIC: &[(&str, &str)] = &[
    ("aed", "784"),
    ("aud", "036"),
    ("bhd", "048"),
    ("brl", "986"),
    ("cad", "124"),
    ("chf", "756"),
    ("cny", "156"),
    ("czk", "203"),
    ("dkk", "208"),
    ("eur", "978"),
    ("gbp", "826"),
    ("hkd", "344"),
    ("huf", "348"),
    ("inr", "356"),
    ("isk", "352"),
    ("jpy", "392"),
    ("krw", "410"),
    ("kwd", "414"),
    ("mga", "969"),
    ("mxn", "484"),
    ("myr", "458"),
    ("nok", "578"),
    ("nzd", "554"),
    ("pln", "985"),
    ("ron", "946"),
    ("sek", "752"),
    ("sgd", "702"),
    ("thb", "764"),
    ("try", "949"),
    ("twd", "901"),
    ("ugx", "800"),
    ("usd", "840"),
    ("zar", "710"),
];
/// The same as the table, for the capabilities.
pub(super) const CURRENCIES: &[&str] = &[
    "aed", "aud", "bhd", "brl", "cad", "chf", "cny", "czk", "dkk", "eur", "gbp", "hkd", "huf", "inr", "isk", "jpy",
    "krw", "kwd", "mga", "mxn", "myr", "nok", "nzd", "pln", "ron", "sek", "sgd", "thb", "try", "twd", "ugx", "usd",
    "zar",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_lists_of_currencies_are_one() {
        assert!(NUMERIC.iter().map(|(code, _)| code).eq(CURRENCIES));
        for (code, number) in NUMERIC {
            assert!(code.parse::<ledger::Currency>().is_ok());
            assert_eq!((numeric(code), currency(number)), (Some(*number), Some(*code)));
        }
    }

    #[test]
    fn private_data_has_tags_and_lengths() {
        assert_eq!(
            private(&[(REFERENCE, "ch_0123"), (CARD_CODE, "123")]),
            "0107ch_01239203123"
        );
    }
}
