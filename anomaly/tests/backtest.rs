//! Back-test and live path side by side, and models as files.

use anomaly::backtest::{Protocol, Replay, Transaction, train_model};
use anomaly::model::cost::Costs;
use anomaly::model::logistic::Logistic;
use anomaly::model::train::Settings;
use anomaly::model::{Body, Model, Unfit};
use anomaly::{Config, Engine, FEATURES, Features, Label, Lists, Outcome, Policy, Snapshot, Verdict};
use proptest::prelude::*;
use std::sync::LazyLock;

const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = 1_790_000_000_000 / DAY_MS * DAY_MS;

/// Cards that pay at a few places over a month; large amounts and one bad terminal are fraud.
fn history(seed: u64, payments: i64) -> Vec<Transaction> {
    let mut random = seed;
    let mut below = move |bound: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    (0..payments)
        .map(|n| {
            let at_ms = START_MS + n * 30 * DAY_MS / payments;
            let (customer, terminal) = (below(40), below(25));
            let large = below(40) == 0;
            let amount_minor = (500 + 100 * (customer % 7) as i64 + below(900) as i64) * if large { 6 } else { 1 };
            let fraud = large || (terminal == 3 && below(2) == 0);
            Transaction {
                id: n as u64,
                at_ms,
                customer,
                terminal,
                amount_minor,
                fraud,
                scenario: u8::from(fraud),
            }
        })
        .collect()
}

static BODY: LazyLock<Body> = LazyLock::new(|| {
    let settings = Settings {
        trees: 40,
        learning_rate: 0.2,
        ..Settings::default()
    };
    train_model(&history(1, 6_000), 20, 7, &settings, Costs::default(), |_| ()).expect("enough to learn from")
});

static MODEL: LazyLock<Model> =
    LazyLock::new(|| Model::read(&Model::write(&BODY).expect("a text")).expect("a sound model"));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// What a replay says of a payment is what the service would have said at that moment, bit for bit: features, score and
    /// decision; also if the service was stopped in the middle and went on from its snapshot.
    #[test]
    fn live_and_back_test_are_the_same_bits(seed in any::<u64>(), stop in 0..1_200usize, delay_days in 0..10i64) {
        let transactions = history(seed, 1_200);
        let protocol = Protocol::handbook().with_delay(delay_days);
        let policy = Policy::shipped(Lists::default());
        let mut replay = Replay::new(&transactions, &protocol).unwrap();
        let mut engine = Engine::new(Config::default());
        let mut waiting = transactions.iter().peekable();
        for (place, payment) in transactions.iter().enumerate() {
            if place == stop {
                let stored = serde_json::to_string(&engine.snapshot()).unwrap();
                let snapshot: Snapshot = serde_json::from_str(&stored).unwrap();
                engine = Engine::restore(Config::default(), snapshot).unwrap();
            }
            while let Some(known) = waiting.next_if(|t| t.at_ms + delay_days * DAY_MS <= payment.at_ms && t.id < payment.id) {
                let verdict = if known.fraud { Verdict::Fraud } else { Verdict::Genuine };
                engine.label(&known.attempt(), Label { known_ms: known.at_ms + delay_days * DAY_MS, verdict });
            }
            let attempt = payment.attempt();
            let live = engine.features(&attempt);
            let opinion = MODEL.judge(&live);
            let judged = policy.judge(&attempt, &live, Some(opinion.scored.clone()));
            engine.observe(&attempt, Outcome::Approved);

            let (_, replayed) = replay.next().unwrap();
            prop_assert_eq!(&replayed, &live);
            let again = MODEL.judge(&replayed);
            prop_assert_eq!(again.probability.to_bits(), opinion.probability.to_bits());
            prop_assert_eq!(policy.judge(&attempt, &replayed, Some(again.scored)), judged);
        }
    }
}

#[test]
fn a_label_of_the_future_changes_no_feature() {
    let transactions = history(5, 3_000);
    let lied: Vec<Transaction> = transactions
        .iter()
        .map(|t| Transaction {
            fraud: t.fraud ^ (t.at_ms > START_MS + 20 * DAY_MS),
            ..*t
        })
        .collect();
    let protocol = Protocol::handbook();
    let (mut honest, mut lying) = (
        Replay::new(&transactions, &protocol).unwrap(),
        Replay::new(&lied, &protocol).unwrap(),
    );
    let mut seen = 0;
    while let (Some((place, a)), Some((_, b))) = (honest.next(), lying.next()) {
        if honest.day(place) < 27 {
            assert_eq!(a, b, "{place}");
            assert_eq!(honest.known(place), None);
            seen += 1;
        }
    }
    assert!(seen > 2_500);
}

#[test]
fn a_model_finds_the_fraud_and_says_why() {
    let transactions = history(2, 6_000);
    let protocol = Protocol::handbook();
    let mut replay = Replay::new(&transactions, &protocol).unwrap();
    let (mut large, mut usual) = (Vec::new(), Vec::new());
    while let Some((place, features)) = replay.next() {
        if replay.day(place) < 20 {
            continue;
        }
        let payment = replay.transaction(place);
        let opinion = MODEL.judge(&features);
        assert_eq!(MODEL.score(&features), (opinion.scored.score, opinion.probability));
        let shapley: f64 = MODEL.shapley(&features).iter().map(|(_, value)| value).sum();
        let (trees, calibration) = (&MODEL.body().trees, MODEL.body().calibration);
        let again = calibration.probability(trees.expected() + shapley);
        assert!(
            (again - opinion.probability).abs() < 1e-5,
            "{again} {}",
            opinion.probability
        );
        if payment.amount_minor > 6_000 {
            large.push(opinion)
        } else if payment.terminal != 3 {
            usual.push(opinion)
        }
    }
    let mean = |all: &[anomaly::model::Opinion]| all.iter().map(|o| o.scored.score).sum::<f64>() / all.len() as f64;
    assert!(mean(&large) > mean(&usual) + 30.0, "{} {}", mean(&large), mean(&usual));
    let reasons = large.iter().flat_map(|opinion| &opinion.scored.reasons);
    for reason in reasons.clone() {
        assert!(
            !reason.message.is_empty() && FEATURES.iter().any(|line| line.name == reason.feature),
            "{reason:?}"
        );
    }
    assert!(reasons.filter(|reason| &*reason.code == "amount_unusual").count() * 2 > large.len());
    assert!(MODEL.body().metrics.auc > 0.8 && !MODEL.body().curve.is_empty());
}

#[test]
fn a_file_that_is_not_the_trained_model_is_refused() {
    let file = Model::write(&BODY).unwrap();
    assert_eq!(Model::read(&file).unwrap().body(), &*BODY);
    assert_eq!(
        Model::read(&file.replacen("depth", "dept ", 1)).unwrap_err(),
        Unfit::Hash
    );
    assert!(matches!(Model::read("{}").unwrap_err(), Unfit::Form(_)));
    assert!(matches!(
        Model::read(&file[..file.len() / 2]).unwrap_err(),
        Unfit::Form(_)
    ));
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value = serde_json::to_value(&*BODY).unwrap();
        change(&mut value);
        let body: Body = serde_json::from_value(value).unwrap();
        Model::read(&Model::write(&body).unwrap()).unwrap_err()
    };
    assert_eq!(refused(&|body| body["features"][3] = "another".into()), Unfit::Features);
    assert_eq!(
        refused(&|body| body["reference"]["columns"][0]["name"] = "another".into()),
        Unfit::Features
    );
    for (pointer, value) in [
        ("/trees/roots/0", 1_000_000.into()),
        ("/trees/nodes/0/left", 999_999.into()),
        ("/trees/nodes/0/feature", 60_000.into()),
        ("/thresholds/review", 1.5.into()),
        ("/calibration/slope", (-1.0).into()),
    ] {
        let refusal = refused(&|body| *body.pointer_mut(pointer).unwrap() = serde_json::Value::clone(&value));
        assert!(matches!(refusal, Unfit::Content(_)), "{pointer}: {refusal:?}");
    }
    assert!(matches!(refused(&|body| body["format"] = 7.into()), Unfit::Form(_)));
}

#[test]
fn training_is_the_same_every_time_and_says_when_there_is_nothing_to_learn() {
    let settings = Settings {
        trees: 5,
        ..Settings::default()
    };
    let train = |transactions: &[Transaction]| train_model(transactions, 20, 7, &settings, Costs::default(), |_| ());
    let transactions = history(3, 1_500);
    assert_eq!(train(&transactions), train(&transactions));
    let genuine: Vec<_> = transactions
        .iter()
        .map(|t| Transaction { fraud: false, ..*t })
        .collect();
    assert!(train(&genuine).unwrap_err().contains("teach nothing"));
    assert!(train(&[]).is_err());
    let mut unordered = transactions;
    unordered.swap(3, 900);
    assert!(train(&unordered).unwrap_err().contains("earlier"));
}

#[test]
fn the_online_regression_gets_better_with_labels() {
    let transactions = history(4, 6_000);
    let protocol = Protocol::handbook();
    let mut replay = Replay::new(&transactions, &protocol).unwrap();
    let mut model = Logistic::default();
    let mut seen: Vec<Features> = Vec::new();
    let (mut early, mut late) = (Vec::new(), Vec::new());
    while let Some((place, features)) = replay.next() {
        let known: Vec<usize> = replay.delivered().collect();
        known
            .iter()
            .for_each(|known| model.learn(&seen[*known], transactions[*known].fraud));
        let scored = (model.margin(&features), transactions[place].fraud);
        if replay.day(place) < 9 {
            early.push(scored)
        } else if replay.day(place) > 22 {
            late.push(scored)
        }
        seen.push(features);
    }
    let auc = |scored: &[(f64, bool)]| anomaly::metrics::auc(scored).unwrap();
    assert!(auc(&late) > auc(&early).max(0.6), "{} {}", auc(&early), auc(&late));
}
