//! Every rule at its threshold and one below it, and the traffic that must stay quiet.

use anomaly::{
    Action, Assessment, Attempt, Config, Decision, DeclineKind, Engine, Level, Lists, Outcome, Policy, Rule, Scored,
    State, Subject, defaults, key,
};
use std::net::{IpAddr, Ipv4Addr};

const NOW_MS: i64 = 1_790_000_000_000;
const GENERIC: Outcome = Outcome::Declined {
    code: DeclineKind::Generic,
};
const BAD_NUMBER: Outcome = Outcome::Declined {
    code: DeclineKind::IncorrectNumber,
};
const SMALL: i64 = 100;

/// What a server-to-server integration sends: a card and nothing about the buyer.
fn plain(card: &str) -> Attempt {
    Attempt {
        at_ms: NOW_MS,
        merchant: key("acct_1"),
        terminal: None,
        amount_minor: 2_500,
        currency: *b"EUR",
        exponent: 2,
        card: Some(key(card)),
        bin: None,
        customer: None,
        email: None,
        ip: None,
        device: None,
        cvc_provided: true,
        off_session: false,
    }
}

fn new_card(n: u32) -> Attempt {
    plain(&format!("card {n}"))
}

fn ip(n: u32) -> Option<IpAddr> {
    Some(Ipv4Addr::from_bits(0x0a00_0000 + n).into())
}

fn repeat(engine: &Engine, n: u32, attempt: impl Fn(u32) -> Attempt, outcome: Outcome) {
    (0..n).for_each(|i| engine.observe(&attempt(i), outcome));
}

fn lists(entries: &[(&str, Subject, Option<i64>)]) -> Lists {
    let mut lists = Lists::default();
    for (alias, subject, expires_at_ms) in entries {
        assert!(lists.add(alias, *subject, *expires_at_ms), "{alias}");
    }
    lists
}

/// Judged by the shipped rules.
fn assess(engine: &Engine, attempt: &Attempt) -> Assessment {
    static SHIPPED: std::sync::LazyLock<Policy> = std::sync::LazyLock::new(|| Policy::shipped(Lists::default()));
    engine.assess(attempt, &SHIPPED)
}

fn rule_of(assessment: &Assessment) -> Option<&str> {
    assessment.rule.as_deref()
}

/// One rule: the reason it gives, its limit, a history that reaches `n` of it, and the attempt judged then. A limit of a list
/// is one entry.
struct Row {
    rule: &'static str,
    feature: &'static str,
    limit: u32,
    history: fn(&Engine, u32),
    attempt: fn(u32) -> Attempt,
}

#[rustfmt::skip] // one line is one case
const TABLE: &[Row] = &[
    Row { rule: "block_list", feature: "list", limit: 1, history: |_, _| (), attempt: |_| plain("4242") },
    Row { rule: "allow_list", feature: "list", limit: 1, history: |_, _| (), attempt: |_| plain("4242") },
    Row { rule: "highest_list", feature: "list", limit: 1, history: |_, _| (), attempt: |_| plain("4242") },
    Row { rule: "elevated_list", feature: "list", limit: 1, history: |_, _| (), attempt: |_| plain("4242") },
    Row { rule: "model_block", feature: "model_score", limit: 75, history: |_, _| (), attempt: |_| plain("x") },
    Row { rule: "model_review", feature: "model_score", limit: 65, history: |_, _| (), attempt: |_| plain("x") },
    Row { rule: "card_testing_device", feature: "device_cards_10m", limit: 5, history: |e, n| repeat(e, n, |i| Attempt { device: Some(1), amount_minor: SMALL, ..new_card(i) }, Outcome::Approved), attempt: |_| Attempt { device: Some(1), ..plain("x") } },
    Row { rule: "card_testing_ip", feature: "ip_cards_10m", limit: 20, history: |e, n| repeat(e, n, |i| Attempt { ip: ip(1), ..new_card(i) }, GENERIC), attempt: |_| Attempt { ip: ip(1), amount_minor: SMALL, ..plain("x") } },
    Row { rule: "card_testing_merchant", feature: "merchant_cards_10m", limit: 100, history: |e, n| repeat(e, n, new_card, GENERIC), attempt: |_| Attempt { amount_minor: SMALL, ..plain("x") } },
    Row { rule: "card_testing_surge", feature: "merchant_probes_1m", limit: 8, history: |e, n| repeat(e, n, new_card, GENERIC), attempt: |_| Attempt { amount_minor: SMALL, ..plain("x") } },
    Row { rule: "ip_many_cards", feature: "ip_cards_10m", limit: 10, history: |e, n| repeat(e, n, |i| Attempt { ip: ip(1), ..new_card(i) }, GENERIC), attempt: |_| Attempt { ip: ip(1), ..plain("x") } },
    Row { rule: "subnet_many_cards", feature: "subnet_cards_10m", limit: 30, history: |e, n| repeat(e, n, |i| Attempt { ip: ip(i), ..new_card(i) }, GENERIC), attempt: |_| Attempt { ip: ip(200), ..plain("x") } },
    Row { rule: "customer_many_cards", feature: "customer_cards_1h", limit: 6, history: |e, n| repeat(e, n, |i| Attempt { customer: Some(1), ..new_card(i) }, GENERIC), attempt: |_| Attempt { customer: Some(1), ..plain("x") } },
    Row { rule: "email_many_cards", feature: "email_cards_1h", limit: 6, history: |e, n| repeat(e, n, |i| Attempt { email: Some(1), ..new_card(i) }, GENERIC), attempt: |_| Attempt { email: Some(1), ..plain("x") } },
    Row { rule: "bin_attack", feature: "bin_cards_10m", limit: 100, history: |e, n| repeat(e, n, |i| Attempt { bin: Some(424_242), ..new_card(i) }, GENERIC), attempt: |_| Attempt { bin: Some(424_242), ..plain("x") } },
    Row { rule: "merchant_bad_numbers", feature: "merchant_bad_1h", limit: 50, history: |e, n| repeat(e, n, new_card, BAD_NUMBER), attempt: |_| plain("x") },
    Row { rule: "card_decline_storm", feature: "card_declines_10m", limit: 10, history: |e, n| repeat(e, n, |_| plain("x"), GENERIC), attempt: |_| plain("x") },
    Row { rule: "device_decline_storm", feature: "device_declines_10m", limit: 10, history: |e, n| repeat(e, n, |_| Attempt { device: Some(1), ..plain("x") }, GENERIC), attempt: |_| Attempt { device: Some(1), ..plain("y") } },
    Row { rule: "ip_decline_storm", feature: "ip_declines_10m", limit: 20, history: |e, n| repeat(e, n, |_| Attempt { ip: ip(1), ..plain("x") }, GENERIC), attempt: |_| Attempt { ip: ip(1), ..plain("y") } },
    Row { rule: "card_velocity", feature: "card_attempts_10m", limit: 20, history: |e, n| repeat(e, n, |i| Attempt { ip: ip(i % 4), ..plain("x") }, Outcome::Approved), attempt: |_| plain("x") },
    Row { rule: "customer_amount", feature: "customer_amount_vs_mean", limit: 20, history: |e, _| repeat(e, 10, |_| Attempt { customer: Some(1), ..plain("x") }, Outcome::Approved), attempt: |n| Attempt { customer: Some(1), amount_minor: 2_500 * i64::from(n), ..plain("y") } },
    Row { rule: "card_amount", feature: "card_amount_vs_mean", limit: 20, history: |e, _| repeat(e, 10, |_| plain("x"), Outcome::Approved), attempt: |n| Attempt { ip: ip(1), amount_minor: 2_500 * i64::from(n), ..plain("x") } },
    Row { rule: "new_card_amount", feature: "merchant_amount_vs_mean", limit: 50, history: |e, _| repeat(e, 500, new_card, Outcome::Approved), attempt: |n| Attempt { amount_minor: 2_500 * i64::from(n), ..plain("x") } },
    Row { rule: "card_new", feature: "card_unseen", limit: 1, history: |e, n| repeat(e, 1 - n, |_| plain("x"), Outcome::Approved), attempt: |_| plain("x") },
    Row { rule: "cvc_missing", feature: "cvc_missing", limit: 1, history: |_, _| (), attempt: |n| Attempt { cvc_provided: n == 0, ..plain("x") } },
    Row { rule: "card_declined_lately", feature: "card_declines_24h", limit: 2, history: |e, n| repeat(e, n, |_| plain("x"), GENERIC), attempt: |_| plain("x") },
];

#[test]
fn each_rule_fires_at_its_limit_and_not_below() {
    let rules = defaults();
    for rule in &rules {
        let row = TABLE
            .iter()
            .find(|row| row.rule == rule.name)
            .unwrap_or_else(|| panic!("no row for {}", rule.name));
        let listed = |n: u32| match (rule.name.as_str(), n) {
            ("block_list", 1) => lists(&[("card_fingerprint_blocklist", Subject::Card(key("4242")), None)]),
            ("allow_list", 1) => lists(&[("card_fingerprint_allowlist", Subject::Card(key("4242")), None)]),
            ("highest_list", 1) => lists(&[("card_fingerprint_highest", Subject::Card(key("4242")), None)]),
            ("elevated_list", 1) => lists(&[("card_fingerprint_elevated", Subject::Card(key("4242")), None)]),
            _ => Lists::default(),
        };
        let judge = |n: u32, state: State| {
            let engine = Engine::new(Config::default());
            (row.history)(&engine, n);
            let mut rules = rules.clone();
            if let Some(one) = rules.iter_mut().find(|one| one.name == rule.name) {
                one.state = state;
            }
            let policy = Policy::compile(&rules, listed(n)).expect("the shipped rules compile");
            let attempt = (row.attempt)(n);
            let model = rule.condition.contains("model_score").then(|| Scored {
                score: f64::from(n),
                reasons: Vec::new(),
            });
            policy.judge(&attempt, &engine.features(&attempt), model)
        };
        let reason = |a: &Assessment| a.reasons.iter().find(|reason| *reason.rule == *rule.name).cloned();
        let at_limit = judge(row.limit, State::Active);
        let given = reason(&at_limit).unwrap_or_else(|| panic!("{} is silent at its limit", rule.name));
        assert_eq!(
            (&*given.code, given.feature),
            (rule.code.as_str(), row.feature),
            "{}",
            rule.name
        );
        assert!(
            at_limit.decision >= rule.action.decision(),
            "{} is overruled",
            rule.name
        );
        assert!(!given.message.contains(['{', '}']), "{}", given.message);
        let below = judge(row.limit - 1, State::Active);
        assert_eq!(reason(&below), None, "{} fires below its limit", rule.name);
        let off = judge(row.limit, State::Disabled);
        assert_eq!(reason(&off), None, "{} fires although disabled", rule.name);
        assert_eq!(off.shadow, []);
        let watched = judge(row.limit, State::Shadow);
        assert_eq!(reason(&watched), None, "{} acts although only watched", rule.name);
        assert_eq!(watched.shadow.len(), 1, "{}", rule.name);
        assert_eq!(
            (&*watched.shadow[0].rule, watched.shadow[0].action),
            (rule.name.as_str(), rule.action)
        );
    }
    assert_eq!(TABLE.len(), rules.len());
}

#[test]
fn reasons_speak_in_numbers_and_add_up() {
    let engine = Engine::new(Config::default());
    repeat(
        &engine,
        12,
        |i| Attempt {
            device: Some(1),
            amount_minor: SMALL,
            ..new_card(i)
        },
        Outcome::Approved,
    );
    let a = assess(
        &engine,
        &Attempt {
            device: Some(1),
            ..plain("x")
        },
    );
    assert_eq!(
        (a.decision, rule_of(&a), a.level),
        (Decision::Block, Some("card_testing_device"), Level::Highest)
    );
    assert_eq!(
        a.reasons[0].message,
        "12 cards on this device in 10 minutes (limit 5), with small or declined amounts"
    );
    let sum: f64 = a.reasons.iter().map(|r| r.contribution).sum();
    assert_eq!(sum as u8, a.score);
    assert!(a.reasons.is_sorted_by(|x, y| x.contribution >= y.contribution));
}

#[test]
fn among_equally_severe_rules_the_first_line_decides() {
    let engine = Engine::new(Config::default());
    let card = Subject::Card(key("x"));
    let entries = ["highest", "elevated", "blocklist"].map(|list| format!("card_fingerprint_{list}"));
    let entries: Vec<_> = entries.iter().map(|alias| (alias.as_str(), card, None)).collect();
    let a = engine.assess(&plain("x"), &Policy::shipped(lists(&entries)));
    assert_eq!(
        (a.decision, rule_of(&a), a.reasons.len()),
        (Decision::Block, Some("block_list"), 4)
    );
}

#[test]
fn one_test_card_paid_with_over_and_over_stays_quiet() {
    for full in [false, true] {
        let engine = Engine::new(Config::default());
        for i in 0..3_000i64 {
            let mut attempt = Attempt {
                at_ms: NOW_MS + i * 200,
                amount_minor: 100 + 997 * (i % 50),
                ..plain("4242")
            };
            if full {
                attempt = Attempt {
                    customer: Some(9),
                    email: Some(8),
                    device: Some(7),
                    ip: ip(1),
                    ..attempt
                };
            }
            let a = assess(&engine, &attempt);
            assert_eq!(
                (a.decision, a.level),
                (Decision::Allow, Level::Normal),
                "payment {i}: {a:?}"
            );
            engine.observe(&attempt, Outcome::Approved);
        }
    }
}

#[test]
fn a_retry_storm_of_one_card_is_review_and_never_block() {
    let engine = Engine::new(Config::default());
    let attempt = |i: i64| Attempt {
        at_ms: NOW_MS + i * 1_000,
        ip: ip(1),
        device: Some(1),
        ..plain("x")
    };
    for i in 0..1_400 {
        assert!(assess(&engine, &attempt(i)).decision < Decision::Block);
        engine.observe(
            &attempt(i),
            Outcome::Declined {
                code: DeclineKind::InsufficientFunds,
            },
        );
    }
    assert_eq!(assess(&engine, &attempt(1_400)).decision, Decision::Review);
}

#[test]
fn many_buyers_behind_one_address_are_let_through() {
    let engine = Engine::new(Config::default());
    for n in 0..2_000 {
        let attempt = Attempt {
            at_ms: NOW_MS + i64::from(n) * 100,
            ip: ip(1),
            ..new_card(n)
        };
        assert_eq!(assess(&engine, &attempt).decision, Decision::Allow, "buyer {n}");
        engine.observe(&attempt, if n % 10 == 0 { GENERIC } else { Outcome::Approved });
    }
}

#[test]
fn an_address_alone_never_blocks_a_known_card_or_an_ordinary_amount() {
    let engine = Engine::new(Config::default());
    engine.observe(
        &Attempt {
            at_ms: NOW_MS - 86_400_000,
            ..plain("known")
        },
        Outcome::Approved,
    );
    repeat(
        &engine,
        60,
        |i| Attempt {
            ip: ip(1),
            amount_minor: SMALL,
            ..new_card(i)
        },
        GENERIC,
    );
    let known = Attempt {
        ip: ip(1),
        amount_minor: SMALL,
        ..plain("known")
    };
    let ordinary = Attempt {
        ip: ip(1),
        ..plain("never seen")
    };
    assert_eq!(assess(&engine, &known).decision, Decision::Review);
    assert_eq!(assess(&engine, &ordinary).decision, Decision::Review);
    assert_eq!(
        assess(
            &engine,
            &Attempt {
                amount_minor: SMALL,
                ..ordinary
            }
        )
        .decision,
        Decision::Block
    );
}

#[test]
fn lists_expire_and_block_beats_allow_beats_rules() {
    let engine = Engine::new(Config::default());
    repeat(&engine, 12, |_| plain("x"), GENERIC);
    assert_eq!(assess(&engine, &plain("x")).decision, Decision::Review);
    let allow = ("card_fingerprint_allowlist", Subject::Card(key("x")), Some(NOW_MS + 10));
    let policy = Policy::shipped(lists(&[allow]));
    let allowed = engine.assess(&plain("x"), &policy);
    assert_eq!(
        (allowed.decision, rule_of(&allowed)),
        (Decision::Allow, Some("allow_list"))
    );
    assert!(allowed.score >= 65, "an allowed attempt keeps its score");
    let later = Attempt {
        at_ms: NOW_MS + 10,
        ..plain("x")
    };
    assert_eq!(engine.assess(&later, &policy).decision, Decision::Review);
    let block = ("ip_address_blocklist", Subject::Ip("10.0.0.1".parse().unwrap()), None);
    let both = Policy::shipped(lists(&[allow, block]));
    let mapped = Attempt {
        ip: Some("::ffff:10.0.0.1".parse().unwrap()),
        ..plain("x")
    };
    let blocked = engine.assess(&mapped, &both);
    assert_eq!(
        (blocked.decision, rule_of(&blocked)),
        (Decision::Block, Some("block_list"))
    );
    assert_eq!(blocked.reasons[0].message, "This IP address is on the block list");
    assert_eq!(engine.assess(&mapped, &policy).decision, Decision::Allow);
}

#[test]
fn a_permissive_policy_keeps_the_lists_and_nothing_else() {
    let engine = Engine::new(Config::default());
    let crowd = |i| Attempt {
        ip: ip(1),
        device: Some(1),
        amount_minor: SMALL,
        ..new_card(i)
    };
    repeat(&engine, 500, crowd, BAD_NUMBER);
    let listed = lists(&[("card_fingerprint_blocklist", Subject::Card(key("stolen")), None)]);
    let (strict, permissive) = (Policy::shipped(listed.clone()), Policy::permissive(listed));
    let attempt = Attempt {
        customer: Some(1),
        email: Some(1),
        bin: Some(1),
        ..crowd(501)
    };
    assert_eq!(engine.assess(&attempt, &strict).decision, Decision::Block);
    assert_eq!(engine.assess(&attempt, &permissive).decision, Decision::Allow);
    assert_eq!(engine.assess(&plain("stolen"), &permissive).decision, Decision::Block);
}

#[test]
fn the_most_severe_rule_decides_and_an_allow_rule_silences_all_but_those_that_beat_it() {
    let rule = |name: &str, action: Action, beats_allow: bool| Rule {
        name: name.to_owned(),
        code: name.to_owned(),
        action,
        weight: 0,
        condition: "amount > 0".to_owned(),
        message: "Because of {value}".to_owned(),
        state: State::Active,
        beats_allow,
    };
    let decided = |rules: &[Rule]| {
        let policy = Policy::compile(rules, Lists::default()).expect("compiles");
        let a = Engine::new(Config::default()).assess(&plain("x"), &policy);
        (a.decision, a.rule.map(|rule| rule.to_string()))
    };
    let (challenge, review) = (rule("c", Action::Challenge, false), rule("r", Action::Review, false));
    let (block, hard) = (rule("b", Action::Block, false), rule("h", Action::Block, true));
    let allow = rule("a", Action::Allow, false);
    let told = |decision, name: &str| (decision, Some(name.to_owned()));
    assert_eq!(decided(&[rule("s", Action::Score, false)]), (Decision::Allow, None));
    assert_eq!(
        decided(std::slice::from_ref(&challenge)),
        told(Decision::Challenge, "c")
    );
    assert_eq!(
        decided(&[challenge.clone(), review.clone()]),
        told(Decision::Review, "r")
    );
    assert_eq!(decided(&[review.clone(), block.clone()]), told(Decision::Block, "b"));
    assert_eq!(
        decided(&[review.clone(), block.clone(), allow.clone()]),
        told(Decision::Allow, "a")
    );
    assert_eq!(
        decided(&[hard.clone(), block.clone(), allow.clone()]),
        told(Decision::Block, "h")
    );
    let soft = rule("q", Action::Review, true);
    assert_eq!(decided(&[soft.clone(), block.clone()]), told(Decision::Block, "b"));
    assert_eq!(decided(&[soft, block, allow]), told(Decision::Review, "q"));
}
