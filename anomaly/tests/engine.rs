//! The engine over whole streams: attacks found, clean traffic left alone, replays equal bit for bit, memory bounded.

use anomaly::{
    Attempt, Config, Decision, DeclineKind, Engine, Feature, Label, Lists, Outcome, Policy, Snapshot, Verdict, key,
};
use proptest::prelude::*;
use std::net::Ipv4Addr;
use std::sync::LazyLock;

static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy::shipped(Lists::default()));

const START_MS: i64 = 1_790_000_000_000;

/// A small generator of our own, so that a stream is the same on every machine.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A buyer with a card or two, a home address (one in five behind a carrier's few), a device and an e-mail address.
fn clean(random: &mut Lcg, at_ms: i64) -> (Attempt, Outcome) {
    let buyer = random.below(20_000);
    let address = if buyer.is_multiple_of(5) {
        buyer % 40
    } else {
        1_000 + buyer
    };
    let attempt = Attempt {
        at_ms,
        merchant: random.below(20),
        terminal: None,
        amount_minor: 300 + (random.below(100) * random.below(100) * random.below(10)) as i64,
        currency: if random.below(10) == 0 { *b"JPY" } else { *b"EUR" },
        exponent: 2,
        card: Some(key(&format!("card {buyer} {}", random.below(10) / 9))),
        bin: Some(400_000 + (buyer % 300) as u32),
        customer: (!buyer.is_multiple_of(3)).then_some(buyer),
        email: Some(key(&format!("{buyer}@example.com"))),
        ip: Some(Ipv4Addr::from_bits(0x1400_0000 + 97 * address as u32).into()),
        device: Some(key(&format!("device {buyer}"))),
        cvc_provided: random.below(20) > 0,
        off_session: random.below(10) == 0,
    };
    let outcome = match random.below(100) {
        0..=3 => Outcome::Declined {
            code: DeclineKind::InsufficientFunds,
        },
        4..=5 => Outcome::Declined {
            code: DeclineKind::Generic,
        },
        6 => Outcome::Declined {
            code: DeclineKind::IncorrectCvc,
        },
        7 => Outcome::Unknown,
        _ => Outcome::Approved,
    };
    (attempt, outcome)
}

/// A thousand stolen numbers a minute, small amounts, nine of ten declined; no two addresses of one subnet.
fn tested(n: u64, addresses: u64) -> (Attempt, Outcome) {
    let attempt = Attempt {
        at_ms: START_MS + n as i64 * 60,
        merchant: 3,
        terminal: None,
        amount_minor: 50 + (n % 150) as i64,
        currency: *b"EUR",
        exponent: 2,
        card: Some(key(&format!("stolen {n}"))),
        bin: Some(510_000 + (n % 7) as u32),
        customer: None,
        email: None,
        ip: Some(Ipv4Addr::from_bits(0x3000_0000 + 256 * (n % addresses) as u32).into()),
        device: None,
        cvc_provided: false,
        off_session: false,
    };
    let outcome = match n % 10 {
        0 => Outcome::Approved,
        1..=4 => Outcome::Declined {
            code: DeclineKind::IncorrectNumber,
        },
        5 | 6 => Outcome::Declined {
            code: DeclineKind::IncorrectCvc,
        },
        _ => Outcome::Declined {
            code: DeclineKind::Generic,
        },
    };
    (attempt, outcome)
}

#[test]
fn card_testing_is_flagged_and_blocked_from_one_address_and_from_five_hundred() {
    // Over 500 addresses nine of ten attempts are declined, so the 100th decline comes about attempt 112.
    for (addresses, flagged_by, blocked_by) in [(1, 20, 30), (500, 20, 120)] {
        let engine = Engine::new(Config::default());
        let (mut flagged, mut blocked, mut blocks) = (None, None, 0);
        for n in 0..1_000 {
            let (attempt, outcome) = tested(n, addresses);
            let decision = engine.assess(&attempt, &POLICY).decision;
            if decision >= Decision::Challenge {
                flagged.get_or_insert(n);
            }
            if decision == Decision::Block {
                blocked.get_or_insert(n);
                blocks += 1;
            }
            engine.observe(
                &attempt,
                if decision == Decision::Block {
                    Outcome::Blocked
                } else {
                    outcome
                },
            );
        }
        println!(
            "{addresses} address(es): flagged at attempt {flagged:?}, blocked from {blocked:?}, {blocks} of 1000 blocked"
        );
        assert!(flagged.is_some_and(|n| n <= flagged_by), "{addresses}: {flagged:?}");
        assert!(blocked.is_some_and(|n| n <= blocked_by), "{addresses}: {blocked:?}");
        assert!(
            blocks >= 1_000 - blocked_by - 10,
            "{addresses}: the attack resumes ({blocks})"
        );
    }
}

/// An hour of ordinary buyers at twenty merchants, and in its middle a thousand stolen numbers in one minute at one of them.
#[test]
fn while_cards_are_tested_at_a_merchant_its_buyers_are_let_through() {
    for addresses in [1, 500] {
        let (engine, mut random) = (Engine::new(Config::default()), Lcg(7));
        let hour_ms = 3_600_000;
        let attack_ms = START_MS + hour_ms / 2;
        let mut steps: Vec<(Attempt, Outcome, bool)> = Vec::new();
        for n in 0..60_000 {
            // a day of the same before, thinner, so that buyers and merchants are known
            let before_ms = START_MS - 24 * hour_ms + n * 1_440;
            let (attempt, outcome) = clean(&mut random, before_ms);
            steps.push((attempt, outcome, false));
        }
        for n in 0..36_000 {
            let (attempt, outcome) = clean(&mut random, START_MS + n * 100);
            steps.push((attempt, outcome, false));
        }
        for n in 0..1_000u64 {
            let (attempt, outcome) = tested(n, addresses);
            let at_ms = attack_ms + n as i64 * 60;
            steps.push((Attempt { at_ms, ..attempt }, outcome, true));
        }
        steps.sort_by_key(|(attempt, _, _)| attempt.at_ms);
        let (mut bothered, mut clean, mut seen, mut flagged) = (0, 0, 0, None);
        for (attempt, outcome, stolen) in &steps {
            let decision = engine.assess(attempt, &POLICY).decision;
            if *stolen {
                seen += 1;
                if decision > Decision::Allow {
                    flagged.get_or_insert(seen);
                }
            } else if attempt.at_ms >= START_MS {
                clean += 1;
                bothered += u32::from(decision > Decision::Allow);
            }
            let blocked = decision == Decision::Block;
            engine.observe(attempt, if blocked { Outcome::Blocked } else { *outcome });
        }
        println!("{addresses} address(es): flagged at attempt {flagged:?}; {bothered} of {clean} buyers bothered");
        assert!(flagged.is_some_and(|n| n <= 20), "{flagged:?}");
        assert!(bothered * 1_000 < clean, "{bothered} of {clean}");
    }
}

#[test]
fn clean_traffic_is_left_alone() {
    for spacing_ms in [10, 1_000] {
        let (engine, mut random) = (Engine::new(Config::default()), Lcg(42));
        let (mut reviews, mut blocks) = (0, 0);
        let attempts = 60_000;
        for n in 0..attempts {
            let (attempt, outcome) = clean(&mut random, START_MS + n * spacing_ms);
            match engine.assess(&attempt, &POLICY).decision {
                Decision::Block => blocks += 1,
                Decision::Review => reviews += 1,
                _ => {}
            }
            engine.observe(&attempt, outcome);
        }
        println!("clean, one attempt per {spacing_ms} ms: {reviews} reviews and {blocks} blocks in {attempts}");
        assert_eq!(blocks, 0);
        assert!(reviews * 1_000 <= attempts, "more than 0.1 %: {reviews}");
    }
}

/// What reaches an engine after an attempt was judged.
#[derive(Clone)]
struct Step {
    attempt: Attempt,
    outcome: Outcome,
    /// What became known just then about an earlier attempt.
    label: Option<(Attempt, Label)>,
}

fn remember(engine: &Engine, step: &Step) {
    engine.observe(&step.attempt, step.outcome);
    if let Some((attempt, label)) = &step.label {
        engine.label(attempt, *label);
    }
}

fn replay(stream: &[Step], config: &Config) -> Engine {
    let engine = Engine::new(config.clone());
    stream.iter().for_each(|step| remember(&engine, step));
    engine
}

/// Attack and ordinary traffic mixed, up to two seconds out of order, and a label now and then.
fn mixed(seed: u64, len: i64) -> Vec<Step> {
    let mut random = Lcg(seed);
    let mut steps: Vec<Step> = Vec::new();
    for n in 0..len {
        let late_ms = random.below(50) as i64 * 40;
        let (attempt, outcome) = if n % 3 == 0 {
            tested(n as u64, 1 + seed % 9)
        } else {
            clean(&mut random, START_MS + n * 60 - late_ms)
        };
        let verdict = [Verdict::Fraud, Verdict::Genuine, Verdict::Withdrawn][random.below(3) as usize];
        let earlier = steps.get(random.below(4 * len as u64) as usize);
        let label = earlier.map(|step| {
            let known_ms = attempt.at_ms;
            (step.attempt.clone(), Label { known_ms, verdict })
        });
        steps.push(Step {
            attempt,
            outcome,
            label,
        });
    }
    steps
}

fn stored(engine: &Engine) -> String {
    serde_json::to_string(&engine.snapshot()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Live (assess, then observe), replayed (observe alone) and restored half-way: the same bits and judgements, also
    /// when attempts come late and memory is short.
    #[test]
    fn replay_and_restore_give_the_same_bits(seed in any::<u64>(), split in 0..1_500usize, memory_bytes_max in prop_oneof![Just(0), Just(64 << 20)]) {
        let config = Config { memory_bytes_max, ..Config::default() };
        let stream = mixed(seed, 1_500);
        let live = Engine::new(config.clone());
        let judge = |engine: &Engine, step: &Step| (engine.features(&step.attempt), engine.assess(&step.attempt, &POLICY));
        let judged: Vec<_> = stream.iter().map(|step| {
            let judged = judge(&live, step);
            remember(&live, step);
            judged
        }).collect();
        prop_assert_eq!(stored(&live), stored(&replay(&stream, &config)));

        let half: Snapshot = serde_json::from_str(&stored(&replay(&stream[..split], &config))).unwrap();
        let restored = Engine::restore(config.clone(), half).unwrap();
        prop_assert_eq!(restored.size(), replay(&stream[..split], &config).size());
        for (step, expected) in stream[split..].iter().zip(&judged[split..]) {
            prop_assert_eq!(&judge(&restored, step), expected);
            remember(&restored, step);
        }
        prop_assert_eq!(stored(&live), stored(&restored));
    }
}

#[test]
fn a_label_changes_nothing_before_it_is_known() {
    let attempt = Attempt {
        terminal: Some(9),
        ..tested(0, 1).0
    };
    let engine = Engine::new(Config::default());
    engine.observe(&attempt, Outcome::Approved);
    let later = |days: i64| Attempt {
        at_ms: START_MS + days * 86_400_000,
        ..attempt.clone()
    };
    let (before, unlabelled) = (engine.features(&later(6)), engine.features(&later(8)));
    engine.label(
        &attempt,
        Label {
            known_ms: later(7).at_ms,
            verdict: Verdict::Fraud,
        },
    );
    let after = engine.features(&later(8));
    for (feature, frauds) in [
        (Feature::TerminalFrauds7d, 1.0),
        (Feature::TerminalFraudStreak, 1.0),
        (Feature::CardFrauds90d, 1.0),
        (Feature::CardSinceFraud, 8.0 * 24.0),
    ] {
        assert_eq!(after.value(feature), Some(frauds), "{feature:?}");
        assert!(before.value(feature).unwrap_or(0.0) == 0.0);
    }
    assert_eq!(
        unlabelled.value(Feature::TerminalRisk30d),
        before.value(Feature::TerminalRisk30d)
    );
    engine.label(
        &attempt,
        Label {
            known_ms: later(8).at_ms,
            verdict: Verdict::Withdrawn,
        },
    );
    assert_eq!(
        engine.features(&later(9)).value(Feature::TerminalFraudStreak),
        Some(0.0)
    );
}

#[test]
fn threads_that_observe_different_entities_agree_with_one_thread() {
    let stream: Vec<_> = (0..8_000u64)
        .map(|n| {
            let (mut attempt, outcome) = tested(n, 8_000);
            (attempt.merchant, attempt.bin) = (n % 4, None);
            (attempt, outcome)
        })
        .collect();
    let engine = Engine::new(Config::default());
    std::thread::scope(|scope| {
        for part in 0..4 {
            let (engine, stream) = (&engine, &stream);
            scope.spawn(move || {
                for (attempt, outcome) in stream.iter().filter(|(attempt, _)| attempt.merchant == part) {
                    engine.assess(attempt, &POLICY);
                    engine.observe(attempt, *outcome);
                }
            });
        }
    });
    let sequential = Engine::new(Config::default());
    stream
        .iter()
        .for_each(|(attempt, outcome)| sequential.observe(attempt, *outcome));
    assert_eq!(stored(&engine), stored(&sequential));
}

#[test]
fn memory_stays_within_its_bound_and_the_active_survive() {
    let memory_bytes_max = 8 << 20;
    let engine = Engine::new(Config {
        memory_bytes_max,
        ..Config::default()
    });
    let regular = Attempt {
        merchant: 3,
        ..tested(0, 1).0
    };
    for n in 0..200_000u64 {
        let (attempt, outcome) = tested(n, 200_000);
        engine.observe(&attempt, outcome);
        if n % 100 == 0 {
            engine.observe(
                &Attempt {
                    at_ms: attempt.at_ms,
                    ..regular.clone()
                },
                Outcome::Approved,
            );
        }
    }
    let (entities, bytes) = engine.size();
    println!("{entities} entities in {bytes} bytes");
    assert!(bytes <= memory_bytes_max, "{bytes}");
    assert!(entities > 10_000, "{entities}");
    let later = Attempt {
        at_ms: START_MS + 200_000 * 60,
        ..regular
    };
    assert_eq!(engine.features(&later).value(anomaly::Feature::CardUnseen), Some(0.0));
    assert_eq!(
        engine
            .features(&Attempt {
                card: tested(1, 1).0.card,
                ..later
            })
            .value(anomaly::Feature::CardUnseen),
        Some(1.0)
    );
}

/// Outcomes that become known at once after an attempt without one leave exactly what the outcome itself would have left; later,
/// after others, they count the same in every window.
#[test]
fn an_outcome_that_comes_later_counts_for_its_attempt_and_no_other() {
    let (direct, later) = (Engine::new(Config::default()), Engine::new(Config::default()));
    let mut random = Lcg(11);
    for n in 0..30_000 {
        let (attempt, outcome) = clean(&mut random, START_MS + n * 9_000);
        direct.observe(&attempt, outcome);
        if n % 3 == 0 {
            later.observe(&attempt, Outcome::Unknown);
            later.resolve(&attempt, outcome);
        } else {
            later.observe(&attempt, outcome);
        }
    }
    assert!(direct.snapshot() == later.snapshot(), "at once");

    let (direct, later) = (Engine::new(Config::default()), Engine::new(Config::default()));
    let attempts: Vec<(Attempt, Outcome)> = (0..6).map(|n| (tested(n, 1).0, tested(n + 3, 1).1)).collect();
    attempts
        .iter()
        .for_each(|(attempt, outcome)| direct.observe(attempt, *outcome));
    attempts
        .iter()
        .for_each(|(attempt, _)| later.observe(attempt, Outcome::Unknown));
    attempts
        .iter()
        .for_each(|(attempt, outcome)| later.resolve(attempt, *outcome));
    for hours in [0, 2, 30] {
        let mut next = tested(7, 1).0;
        next.at_ms += hours * 3_600_000;
        assert_eq!(direct.features(&next), later.features(&next), "{hours} hours later");
    }
}

/// Every feature of a stream with every kind of identity, outcome and label, in one number: what is made faster must not change a
/// bit of it.
#[test]
fn features_are_what_they_were_bit_for_bit() {
    let engine = Engine::new(Config::default());
    let mut random = Lcg(2_026);
    let mut sum = 0u64;
    let mut recent: Vec<Attempt> = Vec::new();
    for n in 0..60_000i64 {
        let (mut attempt, outcome) = clean(&mut random, START_MS + n * 90_000);
        attempt.terminal = Some(random.below(300));
        for value in engine.features(&attempt).values() {
            sum = sum.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ value.to_bits();
        }
        engine.observe(&attempt, outcome);
        recent.push(attempt);
        if n % 7 == 0 {
            let place = random.below(recent.len() as u64) as usize;
            let labelled = recent.swap_remove(place);
            let verdict = match random.below(4) {
                0 => Verdict::Fraud,
                1 => Verdict::Withdrawn,
                _ => Verdict::Genuine,
            };
            let known_ms = START_MS + n * 90_000;
            engine.label(&labelled, Label { known_ms, verdict });
        }
        if recent.len() > 5_000 {
            recent.clear();
        }
    }
    assert_eq!(sum, FEATURES_SUM, "{sum:#018x}");
}

const FEATURES_SUM: u64 = 0xb50c_a9e5_99ad_582c;
