//! What one payment costs with a million live entities: features, 50 rules, model and reasons; and how fast history replays.
//! A harness of its own, because percentiles of single payments are wanted: `cargo bench -p anomaly --bench latency`.

use anomaly::backtest::{Protocol, Replay, Transaction, train_model};
use anomaly::model::Model;
use anomaly::model::cost::Costs;
use anomaly::model::train::Settings;
use anomaly::{Attempt, Config, Engine, Lists, Outcome, Policy, Rule, defaults, key};
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Instant;

const BUYERS: u64 = 120_000;
const START_MS: i64 = 1_790_000_000_000;

fn main() {
    let mut random = Random(1);
    let engine = Engine::new(Config {
        memory_bytes_max: 8 << 30,
        ..Config::default()
    });
    let policy = fifty_rules();
    let model = model();
    // thirty days of history: every buyer pays about four times
    let payments = 500_000;
    for n in 0..payments {
        engine.observe(&attempt(&mut random, START_MS + n * 5_184), Outcome::Approved);
    }
    let (entities, bytes) = engine.size();
    println!(
        "{entities} entities in {} MB, {} bytes each, {} at most",
        bytes >> 20,
        bytes / entities,
        Engine::ENTITY_BYTES_MAX
    );

    let now_ms = START_MS + payments * 5_184;
    let mut times = Times::default();
    for n in 0..200_000 {
        let attempt = attempt(&mut random, now_ms + n * 10);
        let begun = Instant::now();
        let features = engine.features(&attempt);
        let featured = Instant::now();
        let opinion = model.judge(&features);
        let modelled = Instant::now();
        black_box(policy.judge(&attempt, &features, Some(opinion.scored)));
        let judged = Instant::now();
        engine.observe(&attempt, Outcome::Approved);
        times.add(&[
            ("features", featured - begun),
            ("model and reasons", modelled - featured),
            ("50 rules", judged - modelled),
            ("all of these", judged - begun),
            ("observe", judged.elapsed()),
        ]);
    }
    times.print();
    replay();
}

/// Features alone, as a back-test computes them: labels, features, observation of each payment, on one core.
fn replay() {
    let mut random = Random(2);
    let transactions: Vec<Transaction> = (0..1_000_000)
        .map(|n| {
            let customer = random.below(5_000);
            Transaction {
                id: n as u64,
                at_ms: START_MS + n * 9_000,
                customer,
                terminal: (customer * 2 + random.below(40)) % 10_000, // people pay nearby
                amount_minor: 100 + random.below(10_000) as i64,
                fraud: random.below(120) == 0,
                scenario: 0,
            }
        })
        .collect();
    let protocol = Protocol::handbook();
    let Ok(mut replay) = Replay::new(&transactions, &protocol) else {
        return;
    };
    let begun = Instant::now();
    while let Some(features) = replay.next() {
        black_box(features);
    }
    println!(
        "replay: {:.0} transactions a second",
        1e6 / begun.elapsed().as_secs_f64()
    );
}

fn attempt(random: &mut Random, at_ms: i64) -> Attempt {
    let buyer = random.below(BUYERS);
    Attempt {
        at_ms,
        merchant: buyer % 200,
        terminal: Some(1_000 + random.below(5_000)),
        amount_minor: 500 + random.below(9_500) as i64,
        currency: *b"EUR",
        exponent: 2,
        card: Some(key(&format!("card {buyer}"))),
        bin: Some(400_000 + (buyer % 500) as u32),
        customer: Some(key(&format!("customer {buyer}"))),
        email: Some(key(&format!("{buyer}@example.com"))),
        ip: Some(Ipv4Addr::from_bits(0x1400_0000 + buyer as u32 * 16).into()),
        device: Some(key(&format!("device {buyer}"))),
        cvc_provided: true,
        off_session: false,
    }
}

fn fifty_rules() -> Policy {
    let shipped = defaults();
    let own = shipped
        .iter()
        .filter(|rule| !rule.condition.contains("lists."))
        .cycle()
        .enumerate();
    let more = own.map(|(n, rule)| Rule {
        name: format!("{}_{n}", rule.name),
        ..rule.clone()
    });
    let rules: Vec<Rule> = shipped.iter().cloned().chain(more).take(50).collect();
    Policy::compile(&rules, Lists::default()).unwrap_or_else(|refused| panic!("{refused}"))
}

/// 300 trees of depth 4 from a month of payments with fraud that amounts and places tell.
fn model() -> Model {
    let mut random = Random(3);
    let transactions: Vec<Transaction> = (0..60_000)
        .map(|n| {
            let (customer, terminal, amount_minor) =
                (random.below(400), random.below(300), random.below(20_000) as i64);
            Transaction {
                id: n as u64,
                at_ms: START_MS + n * 60_000,
                customer,
                terminal,
                amount_minor,
                fraud: amount_minor > 19_000 && random.below(3) > 0 || terminal < 4 && random.below(2) == 0,
                scenario: 0,
            }
        })
        .collect();
    let body = train_model(&transactions, 28, 7, &Settings::default(), Costs::default(), |_| ());
    let file = body.ok().and_then(|body| Model::write(&body).ok()).unwrap_or_default();
    Model::read(&file).unwrap_or_else(|unfit| panic!("{unfit}"))
}

#[derive(Default)]
struct Times(Vec<(&'static str, Vec<u64>)>);

impl Times {
    fn add(&mut self, parts: &[(&'static str, std::time::Duration)]) {
        if self.0.is_empty() {
            self.0 = parts.iter().map(|(name, _)| (*name, Vec::new())).collect();
        }
        for ((_, times), (_, time)) in self.0.iter_mut().zip(parts) {
            times.push(time.as_nanos() as u64);
        }
    }

    fn print(&mut self) {
        for (name, times) in &mut self.0 {
            times.sort_unstable();
            let at = |share: f64| times[(times.len() as f64 * share) as usize] as f64 / 1e3;
            println!(
                "{name:18} p50 {:6.2} µs   p99 {:6.2} µs   p99.9 {:7.2} µs",
                at(0.5),
                at(0.99),
                at(0.999)
            );
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
