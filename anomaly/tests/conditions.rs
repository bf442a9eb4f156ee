//! The language of conditions: what holds when, and what is refused when it is saved, with its place.

use anomaly::{
    Attempt, BUILT_IN, Config, Engine, FEATURES, Kind, Lists, NAMES, Outcome, PARTS_MAX, Policy, Rule, State, Subject,
    key,
};
use proptest::prelude::*;

fn attempt() -> Attempt {
    Attempt {
        at_ms: 1_790_000_000_000,
        merchant: 1,
        terminal: None,
        amount_minor: 2_500,
        currency: *b"eur",
        exponent: 2,
        card: Some(key("card")),
        bin: Some(424_242),
        customer: None,
        email: Some(key("a@example.org")),
        ip: None,
        device: None,
        cvc_provided: true,
        off_session: false,
    }
}

fn lists() -> Lists {
    let mut lists = Lists::default();
    assert!(lists.define("watched", Kind::Card));
    assert!(lists.add("watched", Subject::Card(key("card")), None));
    assert!(!lists.add("watched", Subject::Bin(424_242), None), "the kind must fit");
    assert!(!lists.define("watched", Kind::Ip), "an alias means one kind");
    lists
}

fn holds(condition: &str) -> bool {
    let rule = Rule {
        name: "one".to_owned(),
        code: "one".to_owned(),
        action: anomaly::Action::Block,
        weight: 0,
        condition: condition.to_owned(),
        message: String::new(),
        state: State::Active,
        beats_allow: false,
    };
    let engine = Engine::new(Config::default());
    engine.observe(&attempt(), Outcome::Approved);
    let policy = Policy::compile(&[rule], lists()).unwrap_or_else(|e| panic!("{condition}: {e}"));
    engine.assess(&attempt(), &policy).rule.is_some()
}

#[test]
fn conditions_hold_when_they_should() {
    for yes in [
        "true",
        "amount == 2500",
        "amount >= 2500 && amount < 2501",
        "amount / 100 > 24.9 && amount / 100 < 25.1",
        "amount - 500 == 2000 && -amount == -2500 && amount * 2.0 == 5000 && amount + 1 == 2501",
        "amount in [1, 2500]",
        "amount > 100 ? cvc_provided : off_session",
        "(cvc_provided ? amount : 0) == 2500",
        "currency == \"eur\" && \"usd\" != currency && currency in [\"usd\", \"eur\"]",
        "!off_session && cvc_provided == true",
        "!card_unseen && card_payments == 1 && given(card_age)",
        "card in lists.watched && !(card in lists.card_fingerprint_blocklist)",
        "given(card) && given(email) && !given(device) && !given(ip)",
        "!given(model_score)",
    ] {
        assert!(holds(yes), "{yes}");
        assert!(!holds(&format!("!({yes})")), "!({yes})");
    }
}

/// Every comparison with what was not given is false, also the two that are each other's opposite.
#[test]
fn what_was_not_given_compares_with_nothing() {
    for order in ["<", "<=", ">", ">=", "==", "!="] {
        for sides in [
            format!("ip_cards_10m {order} 0"),
            format!("0 {order} ip_cards_10m"),
            format!("model_score {order} 0"),
        ] {
            assert!(!holds(&sides), "{sides}");
        }
    }
    assert!(!holds("ip_cards_10m * 0 == 0"), "arithmetic keeps it unknown");
}

#[test]
fn mistakes_are_found_when_saving_and_named_with_their_place() {
    let policy = Policy::shipped(lists());
    for (condition, column, said) in [
        ("", 1, "not a CEL expression"),
        ("amount >", 9, "not a CEL expression"),
        ("amount", 1, "must be true or false; this is a number"),
        ("amont > 5", 1, "Did you mean amount?"),
        ("card_unseen && ip_cards_10 > 5", 16, "Did you mean ip_cards_10m?"),
        ("amount > \"5\"", 8, "cannot be compared"),
        ("amount && true", 1, "must be true or false; it is a number"),
        ("currency > \"usd\"", 10, "cannot be compared"),
        ("currency == \"USD\"", 10, "three lower-case letters"),
        ("card == 5", 6, "cannot be compared"),
        ("card in lists.nothing", 14, "no list with the alias nothing"),
        ("email in lists.watched", 15, "holds items of the kind card, not email"),
        ("amount in lists.watched", 8, "cannot be sought"),
        ("[1].exists(x, x > 0)", 11, "Loops"),
        ("lists.watched", 6, "Fields are for lists alone"),
        ("size(\"x\") > 0", 5, "There is no size here"),
        ("amount % 2 == 0", 8, "There is no _%_ here"),
        ("null == null", 1, "null and bytes"),
        ("given(5)", 7, "given() asks about"),
        ("given(card, ip)", 6, "takes one name"),
        ("amount > 5 ? 1 : true", 12, "Both answers"),
        ("\"a\".startsWith(\"b\")", 15, "no method startsWith"),
    ] {
        let mistake = policy.check(condition).expect_err(condition);
        assert!(mistake.message.contains(said), "{condition}: {mistake}");
        assert_eq!((mistake.line, mistake.column), (1, column), "{condition}: {mistake}");
    }
    let mistake = policy.check("amount > 5 &&\n  amont > 5").expect_err("second line");
    assert_eq!((mistake.line, mistake.column), (2, 3), "{mistake}");
}

#[test]
fn the_cost_of_a_condition_is_bounded() {
    let policy = Policy::shipped(Lists::default());
    let long = |parts: usize| vec!["amount > 5"; parts].join("||");
    policy.check(&long(PARTS_MAX / 4)).expect("within the bound");
    assert!(
        policy
            .check(&long(PARTS_MAX / 4 + 1))
            .unwrap_err()
            .message
            .contains("two rules")
    );
    assert!(
        policy
            .check(&" ".repeat(3_000))
            .unwrap_err()
            .message
            .contains("at most")
    );
    let deep = format!("{}true{}", "(".repeat(900), ")".repeat(900));
    assert!(policy.check(&deep).is_err());
    assert!(policy.check(&"!".repeat(1_900)).is_err());
}

#[test]
fn every_feature_name_and_built_in_list_can_be_asked_about() {
    let policy = Policy::shipped(Lists::default());
    for line in FEATURES {
        policy.check(&format!("given({})", line.name)).expect(line.name);
    }
    for (name, meaning) in NAMES {
        let condition = match *name {
            "cvc_provided" => (*name).to_owned(),
            "currency" => "currency == \"usd\"".to_owned(),
            name => format!("given({name})"),
        };
        policy
            .check(&condition)
            .unwrap_or_else(|e| panic!("{name} ({meaning}): {e}"));
    }
    for (alias, kind) in BUILT_IN {
        policy.check(&format!("{} in lists.{alias}", kind.name())).expect(alias);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Whatever is written: an answer or a mistake inside the text, never a panic.
    #[test]
    fn any_text_is_compiled_or_refused(text in "[a-z_0-9.()\\[\\]{}<>=!&|?:+*/%,'\"\\\\ \n\u{e9}\u{1f600}-]{0,60}") {
        if let Err(mistake) = Policy::shipped(Lists::default()).check(&text) {
            prop_assert!(mistake.line <= text.lines().count() + 1, "{mistake}");
        }
    }

    /// Conditions made of known parts say what Rust says.
    #[test]
    fn comparisons_say_what_rust_says(limit in -5_000i32..5_000, factor in 1i32..9) {
        let amount = 2_500;
        prop_assert_eq!(holds(&format!("amount * {factor} > {limit}")), amount * factor > limit);
        prop_assert_eq!(holds(&format!("amount <= {limit} || amount == {}", limit + 1)), amount <= limit || amount == limit + 1);
    }
}
