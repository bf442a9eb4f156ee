//! Cost of one assessment and one observation: warm, over many entities, and with every entity of the attempt hot.

use anomaly::{Attempt, Config, Engine, FEATURES, Lists, Outcome, Policy, Rule, defaults, key};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::net::Ipv4Addr;

fn attempt(n: u64, entities: u64) -> Attempt {
    let buyer = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % entities;
    Attempt {
        at_ms: 1_790_000_000_000 + n as i64,
        merchant: buyer % 100,
        terminal: None,
        amount_minor: 2_500,
        currency: *b"EUR",
        exponent: 2,
        card: Some(key(&format!("card {buyer}"))),
        bin: Some(400_000 + (buyer % 500) as u32),
        customer: Some(buyer),
        email: Some(buyer + 1),
        ip: Some(Ipv4Addr::from_bits(0x1400_0000 + buyer as u32 * 16).into()),
        device: Some(buyer + 2),
        cvc_provided: true,
        off_session: false,
    }
}

fn engine(c: &mut Criterion) {
    for (name, entities) in [("100k buyers", 100_000), ("one buyer", 1)] {
        let engine = Engine::new(Config {
            memory_bytes_max: 1 << 30,
            ..Config::default()
        });
        let policy = Policy::permissive(Lists::default());
        let attempts: Vec<Attempt> = (0..300_000).map(|n| attempt(n, entities)).collect();
        attempts
            .iter()
            .for_each(|attempt| engine.observe(attempt, Outcome::Approved));
        let mut stream = attempts.iter().cycle();
        c.bench_function(&format!("assess, {name}"), |b| {
            b.iter(|| black_box(engine.assess(stream.next().unwrap_or(&attempts[0]), &policy)))
        });
        let mut n = 300_000;
        c.bench_function(&format!("assess and observe, {name}"), |b| {
            b.iter_batched(
                || {
                    n += 1;
                    attempt(n, entities)
                },
                |attempt| {
                    let assessment = engine.assess(&attempt, &policy);
                    engine.observe(&attempt, Outcome::Approved);
                    assessment
                },
                criterion::BatchSize::SmallInput,
            )
        });
    }
}

/// 50 rules over the features of one attempt: ours, and the same conditions as programs of CEL's interpreter with the features
/// as variables, which is what a rule engine without a compiler of its own would run.
fn rules(c: &mut Criterion) {
    let engine = Engine::new(Config::default());
    (0..1_000).for_each(|n| engine.observe(&attempt(n, 10), Outcome::Approved));
    let attempt = attempt(1_001, 10);
    let features = engine.features(&attempt);
    let rules: Vec<Rule> = (0..50)
        .zip(
            defaults()
                .iter()
                .filter(|rule| !rule.condition.contains("lists."))
                .cycle(),
        )
        .map(|(n, rule)| Rule {
            name: format!("{} {n}", rule.name),
            ..rule.clone()
        })
        .collect();
    let policy = Policy::compile(&rules, Lists::default()).expect("the shipped rules compile");
    c.bench_function("50 rules, compiled", |b| {
        b.iter(|| black_box(policy.judge(&attempt, &features, None)))
    });
    let programs: Vec<_> = rules
        .iter()
        .filter_map(|rule| cel::Program::compile(&rule.condition).ok())
        .collect();
    c.bench_function("50 rules, CEL's interpreter", |b| {
        b.iter(|| {
            let mut context = cel::Context::default();
            for line in FEATURES {
                let value = features.value(line.feature).unwrap_or(f64::NAN);
                context.add_variable_from_value(line.name, value);
            }
            programs
                .iter()
                .filter(|program| program.execute(&context).is_ok())
                .count()
        })
    });
}

criterion_group!(benches, engine, rules);
criterion_main!(benches);
