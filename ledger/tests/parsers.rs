//! Whatever text comes: the ledger's parsers never panic, take nothing that the database would refuse, and what they take
//! has one spelling.

use ledger::{AccountName, Chart, Currency, JournalCode, Money, Refusal};
use proptest::prelude::*;

/// The CHECK `account_name` of V1__books.sql, written again by hand.
fn database_takes(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    let (number, dimension, currency) = match parts[..] {
        [number, currency] => (number, None, currency),
        [number, dimension, currency] => (number, Some(dimension), currency),
        _ => return false,
    };
    let digits = number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit());
    digits
        && (b'1'..=b'5').contains(&number.as_bytes()[0])
        && dimension.is_none_or(|d| {
            (1..=40).contains(&d.len()) && d.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        })
        && currency.len() == 3
        && currency.bytes().all(|b| b.is_ascii_lowercase())
}

fn chart() -> impl Strategy<Value = Chart> {
    prop::sample::select(Chart::ALL.to_vec())
}

fn currency() -> impl Strategy<Value = Currency> {
    prop::sample::select(Currency::all().collect::<Vec<_>>())
}

/// Names, nearly names, and anything at all.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[1-6][0-9]{3}(\\.[A-Za-z0-9_-]{0,42})?\\.[a-zA-Z]{2,4}",
        (chart(), "\\PC{0,3}", currency()).prop_map(|(chart, d, c)| format!("{}.{d}.{c}", chart.number())),
        (chart(), currency(), "\\PC{0,2}").prop_map(|(chart, c, end)| format!("{}.{c}{end}", chart.number())),
    ]
}

proptest! {
    #[test]
    fn an_account_name_that_parses_is_one_that_the_database_takes(text in text()) {
        match text.parse::<AccountName>() {
            Ok(name) => {
                prop_assert_eq!(name.as_str(), &text);
                prop_assert!(database_takes(&text), "{}", text);
                prop_assert!(text.starts_with(name.chart().number()) && text.ends_with(name.currency().as_str()));
            }
            Err(Refusal::InvalidAccountName(said)) => prop_assert!(said.chars().count() <= 64),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn every_name_that_can_be_built_reads_back(chart in chart(), dimension in prop::option::of("[A-Za-z0-9_-]{1,40}"), currency in currency()) {
        let name = AccountName::new(chart, dimension.as_deref(), currency).unwrap();
        prop_assert!(database_takes(name.as_str()));
        prop_assert_eq!(name.dimension(), dimension.as_deref());
        let read: AccountName = name.as_str().parse().unwrap();
        prop_assert_eq!((read.chart(), read.currency()), (chart, currency));
        prop_assert_eq!(read, name);
    }

    #[test]
    fn a_dimension_is_refused_or_kept_as_it_is(dimension in any::<String>()) {
        if let Ok(name) = AccountName::new(Chart::ClientBank, Some(&dimension), Currency::USD) {
            prop_assert_eq!(name.dimension(), Some(dimension.as_str()));
            prop_assert!(database_takes(name.as_str()));
        }
    }

    #[test]
    fn a_currency_is_of_the_list_in_any_case_and_nothing_else_is(text in prop_oneof![any::<String>(), "[a-zA-Z]{3}"]) {
        let listed = Currency::all().find(|c| text.eq_ignore_ascii_case(c.as_str()));
        prop_assert_eq!(text.parse::<Currency>().ok(), listed);
    }

    #[test]
    fn a_journal_code_is_of_the_list(text in prop_oneof![any::<String>(), "J[0-9]{2}[a-e]?"]) {
        let listed = JournalCode::ALL.iter().copied().find(|c| c.as_str() == text);
        prop_assert_eq!(text.parse::<JournalCode>().ok(), listed);
    }

    /// What an export writes of an amount is all of it: sign, digits, and as many decimals as the currency has.
    #[test]
    fn an_amount_is_written_at_its_full_scale(minor in any::<i64>(), currency in currency()) {
        let text = Money::new(minor, currency).to_string();
        let (number, code) = text.split_once(' ').unwrap();
        prop_assert_eq!(code, currency.as_str());
        let digits: String = number.chars().filter(|c| *c != '.').collect();
        prop_assert_eq!(digits.parse::<i64>().unwrap(), minor);
        let decimals = number.split_once('.').map_or(0, |(_, d)| d.len());
        prop_assert_eq!(decimals, usize::from(currency.exponent()));
        prop_assert!(number.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit()));
    }
}
