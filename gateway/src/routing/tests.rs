//! Rules, weights and the breaker, without any acquirer.

use super::health::OPENS_AFTER;
use super::rules::{Query, Rules};
use super::*;
use crate::connector::Decline;

fn rules(text: &str) -> Rules {
    let rules: Rules = config::Config::builder()
        .add_source(config::File::from_str(text, config::FileFormat::Toml))
        .build()
        .unwrap()
        .try_deserialize()
        .unwrap();
    rules.check().unwrap();
    rules
}

fn query() -> Query<'static> {
    Query {
        amount: 2000,
        currency: "usd",
        method: "card",
        brand: "visa",
        bin: "424242",
        merchant: "acct_1",
    }
}

const DOCUMENT: &str = r#"
    [[rule]]
    name = "one shop's euros"
    currency = ["eur"]
    merchant = ["acct_1"]
    split = [{ connector = "iso8583" }]
    [[rule]]
    name = "domestic cards"
    bin = ["4242", "55"]
    amount_max = 5000
    split = [{ connector = "iso8583", weight = 3 }, { connector = "stripe", weight = 1 }]
    [[rule]]
    name = "the rest"
    split = [{ connector = "stripe" }]
    then = ["iso8583"]
    retry_soft_declines = false
    [cost.stripe]
    basis_points = 290
    fixed = { usd = 30 }
"#;

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = rules(DOCUMENT);
    let name = |query: &Query<'_>| rules.find(query).map(|rule| rule.name.as_str());
    assert_eq!(name(&query()), Some("domestic cards"));
    assert_eq!(
        name(&Query {
            currency: "eur",
            ..query()
        }),
        Some("one shop's euros")
    );
    assert_eq!(
        name(&Query {
            currency: "eur",
            merchant: "acct_2",
            ..query()
        }),
        Some("domestic cards")
    );
    assert_eq!(
        name(&Query {
            amount: 5001,
            ..query()
        }),
        Some("the rest")
    );
    assert_eq!(
        name(&Query {
            bin: "424142",
            ..query()
        }),
        Some("the rest")
    );
    assert_eq!(rules.cost("stripe", 2000, "usd"), Some(88));
    assert_eq!(rules.cost("stripe", 2000, "eur"), Some(58));
    assert_eq!(rules.cost("iso8583", 2000, "usd"), None);
}

#[test]
fn weights_are_kept_and_a_payment_always_goes_the_same_way() {
    let rules = rules(DOCUMENT);
    let rule = rules.find(&query()).unwrap();
    let mut first = std::collections::BTreeMap::<&str, u32>::new();
    for n in 0..4000 {
        let id = format!("pi_{n}");
        let order: Vec<&str> = rule.order(dice(&id)).collect();
        assert_eq!(order, rule.order(dice(&id)).collect::<Vec<_>>());
        assert_eq!(order.len(), 2);
        *first.entry(order[0]).or_default() += 1;
    }
    assert!((2850..3150).contains(&first["iso8583"]), "{first:?}");
}

#[test]
fn a_wrong_document_is_refused_by_the_word() {
    for (text, problem) in [
        ("[[rule]]\nname = \"a\"\nsplit = []", "split"),
        ("[[rule]]\nname = \"\"\nsplit = [{ connector = \"stripe\" }]", "name"),
        (
            "[[rule]]\nname = \"a\"\nsplit = [{ connector = \"bank\" }]",
            "no acquirer bank",
        ),
        (
            "[[rule]]\nname = \"a\"\nsplit = [{ connector = \"stripe\", weight = 0 }]",
            "weight",
        ),
        (
            "[[rule]]\nname = \"a\"\nsplit = [{ connector = \"stripe\" }]\nthen = [\"stripe\"]",
            "twice",
        ),
        (
            "[[rule]]\nname = \"a\"\ncurrency = [\"USD\"]\nsplit = [{ connector = \"stripe\" }]",
            "USD",
        ),
        (
            "[[rule]]\nname = \"a\"\nbin = [\"42x\"]\nsplit = [{ connector = \"stripe\" }]",
            "42x",
        ),
        (
            "[[rule]]\nname = \"a\"\namount_min = 2\namount_max = 1\nsplit = [{ connector = \"stripe\" }]",
            "amount_min",
        ),
        (
            "[[rule]]\nname = \"a\"\ncolour = 1\nsplit = [{ connector = \"stripe\" }]",
            "colour",
        ),
        ("[cost.stripe]\nbasis_points = 10001", "basis_points"),
        ("[cost.bank]\nbasis_points = 1", "no such acquirer"),
    ] {
        let built = config::Config::builder()
            .add_source(config::File::from_str(text, config::FileFormat::Toml))
            .build()
            .unwrap();
        let refusal = match built.try_deserialize::<Rules>() {
            Ok(rules) => rules.check().unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(refusal.contains(problem), "{problem}: {refusal}");
    }
}

#[test]
fn only_what_certainly_did_not_happen_goes_to_another_acquirer() {
    let router = Router::default();
    let decision = Decision {
        candidates: vec!["iso8583".into(), "stripe".into()],
        retry_soft_declines: true,
        ..Decision::default()
    };
    let decline = |code: &str| {
        Err(Failure::Declined(Decline {
            code: "card_declined".into(),
            decline_code: Some(code.into()),
            message: String::new(),
            acquirer_id: None,
            acquirer_reference: None,
        }))
    };
    let next = |decision: &Decision, outcome: &Result<Approval, Failure>| {
        let mut decision = decision.clone();
        let next = router.next(&mut decision, "iso8583", outcome, 2000, "usd");
        assert_eq!(next.is_some(), decision.attempts.len() == 1);
        next
    };
    let stripe = Some("stripe".to_owned());
    assert_eq!(next(&decision, &Err(Failure::NotSent("refused".into()))), stripe);
    assert_eq!(next(&decision, &decline("issuer_not_available")), stripe);
    assert_eq!(next(&decision, &decline("insufficient_funds")), None);
    assert_eq!(next(&decision, &Err(Failure::Unknown("silence".into()))), None);
    let strict = Decision {
        retry_soft_declines: false,
        ..decision.clone()
    };
    assert_eq!(next(&strict, &decline("issuer_not_available")), None);
    assert_eq!(next(&strict, &Err(Failure::NotSent("refused".into()))), stripe);
    let mut last = decision;
    assert_eq!(
        router.next(&mut last, "stripe", &Err(Failure::NotSent(String::new())), 1, "usd"),
        None
    );
}

#[test]
fn the_breaker_opens_after_failures_in_a_row_and_closes_with_an_answer() {
    let health = Health::default();
    let down = Err(Failure::NotSent("refused".into()));
    for _ in 1..OPENS_AFTER {
        health.record("stripe", &down);
        assert!(health.may_ask("stripe"));
    }
    health.record("stripe", &down);
    assert!(!health.may_ask("stripe"));
    assert!(health.may_ask("iso8583"), "another acquirer's trouble is its own");
    assert_eq!(health.states(["stripe"].into_iter())[0].breaker, "open");
    health.record(
        "stripe",
        &Err(Failure::Declined(Decline {
            code: "card_declined".into(),
            decline_code: None,
            message: String::new(),
            acquirer_id: None,
            acquirer_reference: None,
        })),
    );
    assert!(health.may_ask("stripe"), "a decline is an answer");
}
