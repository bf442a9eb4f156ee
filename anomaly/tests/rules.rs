//! Every rule at its threshold and one below it, and the traffic that must stay quiet.

use anomaly::{Assessment, Attempt, Config, Decision, DeclineKind, Engine, Level, List, Outcome, RULES, Subject, key};
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

/// One rule: the reason it gives, its limit, a history that reaches `n` of it, and the attempt judged then.
struct Row {
    rule: &'static str,
    feature: &'static str,
    limit: u32,
    history: fn(&Engine, u32),
    attempt: fn(u32) -> Attempt,
}

fn on_list(engine: &Engine, n: u32, list: List) {
    if n > 0 {
        engine.list(list, Subject::Card(key("4242")), None);
    }
}

#[rustfmt::skip] // one line is one case
const TABLE: &[Row] = &[
    Row { rule: "block_list", feature: "list", limit: 1, history: |e, n| on_list(e, n, List::Block), attempt: |_| plain("4242") },
    Row { rule: "highest_list", feature: "list", limit: 1, history: |e, n| on_list(e, n, List::Highest), attempt: |_| plain("4242") },
    Row { rule: "elevated_list", feature: "list", limit: 1, history: |e, n| on_list(e, n, List::Elevated), attempt: |_| plain("4242") },
    Row { rule: "card_testing_device", feature: "device_cards_10m", limit: 5, history: |e, n| repeat(e, n, |i| Attempt { device: Some(1), amount_minor: SMALL, ..new_card(i) }, Outcome::Approved), attempt: |_| Attempt { device: Some(1), ..plain("x") } },
    Row { rule: "card_testing_ip", feature: "ip_cards_10m", limit: 20, history: |e, n| repeat(e, n, |i| Attempt { ip: ip(1), ..new_card(i) }, GENERIC), attempt: |_| Attempt { ip: ip(1), amount_minor: SMALL, ..plain("x") } },
    Row { rule: "card_testing_merchant", feature: "merchant_cards_10m", limit: 100, history: |e, n| repeat(e, n, new_card, GENERIC), attempt: |_| Attempt { amount_minor: SMALL, ..plain("x") } },
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
    for rule in RULES {
        let row = TABLE
            .iter()
            .find(|row| row.rule == rule.name)
            .unwrap_or_else(|| panic!("no row for {}", rule.name));
        let judge = |n: u32, config: Config| {
            let engine = Engine::new(config);
            (row.history)(&engine, n);
            engine.assess(&(row.attempt)(n))
        };
        let reason = |a: &Assessment| a.reasons.iter().find(|reason| reason.rule == rule.name).cloned();
        let at_limit = judge(row.limit, Config::default());
        let given = reason(&at_limit).unwrap_or_else(|| panic!("{} is silent at its limit", rule.name));
        assert_eq!((given.code, given.feature), (rule.code, row.feature), "{}", rule.name);
        assert!(at_limit.decision >= rule.decision, "{} is overruled", rule.name);
        assert!(!given.message.contains(['{', '}']), "{}", given.message);
        assert_eq!(
            reason(&judge(row.limit - 1, Config::default())),
            None,
            "{} fires below its limit",
            rule.name
        );
        let off = Config {
            disabled_rules: vec![rule.name.to_owned()],
            ..Config::default()
        };
        assert_eq!(
            reason(&judge(row.limit, off)),
            None,
            "{} fires although disabled",
            rule.name
        );
    }
    assert_eq!(TABLE.len(), RULES.len());
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
    let a = engine.assess(&Attempt {
        device: Some(1),
        ..plain("x")
    });
    assert_eq!(
        (a.decision, a.rule, a.level),
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
    for list in [List::Highest, List::Elevated, List::Block] {
        engine.list(list, Subject::Card(key("x")), None);
    }
    let a = engine.assess(&plain("x"));
    assert_eq!(
        (a.decision, a.rule, a.reasons.len()),
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
            let a = engine.assess(&attempt);
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
        assert!(engine.assess(&attempt(i)).decision < Decision::Block);
        engine.observe(
            &attempt(i),
            Outcome::Declined {
                code: DeclineKind::InsufficientFunds,
            },
        );
    }
    assert_eq!(engine.assess(&attempt(1_400)).decision, Decision::Review);
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
        assert_eq!(engine.assess(&attempt).decision, Decision::Allow, "buyer {n}");
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
    assert_eq!(engine.assess(&known).decision, Decision::Review);
    assert_eq!(engine.assess(&ordinary).decision, Decision::Review);
    assert_eq!(
        engine
            .assess(&Attempt {
                amount_minor: SMALL,
                ..ordinary
            })
            .decision,
        Decision::Block
    );
}

#[test]
fn lists_expire_and_block_beats_allow_beats_rules() {
    let engine = Engine::new(Config::default());
    repeat(&engine, 12, |_| plain("x"), GENERIC);
    assert_eq!(engine.assess(&plain("x")).decision, Decision::Review);
    engine.list(List::Allow, Subject::Card(key("x")), Some(NOW_MS + 10));
    let allowed = engine.assess(&plain("x"));
    assert_eq!((allowed.decision, allowed.rule), (Decision::Allow, None));
    assert!(allowed.score >= 65, "an allowed attempt keeps its score");
    assert_eq!(
        engine
            .assess(&Attempt {
                at_ms: NOW_MS + 10,
                ..plain("x")
            })
            .decision,
        Decision::Review
    );
    engine.list(List::Block, Subject::Ip("10.0.0.1".parse().unwrap()), None);
    let mapped = Attempt {
        ip: Some("::ffff:10.0.0.1".parse().unwrap()),
        ..plain("x")
    };
    assert_eq!(engine.assess(&mapped).decision, Decision::Block);
    assert_eq!(
        engine.assess(&mapped).reasons[0].message,
        "This IP address is on the block list"
    );
    engine.unlist(List::Block, Subject::Ip("10.0.0.1".parse().unwrap()));
    assert_eq!(engine.assess(&mapped).decision, Decision::Allow);
}

#[test]
fn a_permissive_engine_computes_the_same_features_and_keeps_the_lists() {
    let (strict, permissive) = (Engine::new(Config::default()), Engine::new(Config::permissive()));
    for engine in [&strict, &permissive] {
        repeat(
            engine,
            500,
            |i| Attempt {
                ip: ip(1),
                device: Some(1),
                amount_minor: SMALL,
                ..new_card(i)
            },
            BAD_NUMBER,
        );
        engine.list(List::Block, Subject::Card(key("stolen")), None);
    }
    let attempt = Attempt {
        ip: ip(1),
        device: Some(1),
        customer: Some(1),
        email: Some(1),
        bin: Some(1),
        amount_minor: SMALL,
        ..plain("x")
    };
    assert_eq!(strict.features(&attempt), permissive.features(&attempt));
    assert_eq!(strict.assess(&attempt).decision, Decision::Block);
    assert_eq!(permissive.assess(&attempt).decision, Decision::Allow);
    assert_eq!(permissive.assess(&plain("stolen")).decision, Decision::Block);
}
