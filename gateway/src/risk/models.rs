//! The trained models in force: a champion that decides, a challenger that is only asked, both read from files and swapped
//! while payments go on.
//!
//! A file that appears or changes is read within seconds, checked (hash, features, content) and put in force whole; one
//! that is not a model changes nothing and is said loudly. What a model said is kept with the attempt, by the model's id.
//! Features and scores are compared with those of its training; when they have drifted, the operator gets an alarm. It must never
//! wait for a file in the path of a payment.

use super::online::{self, Learner};
use crate::app::App;
use crate::clock::Clock;
use crate::security::{self, Kind, Source};
use crate::telemetry::table;
use anomaly::model::Model;
use anomaly::model::drift::{Drift, DriftLevel};
use anomaly::model::logistic::Logistic;
use anomaly::{FEATURES, Features};
use arc_swap::{ArcSwap, ArcSwapOption};
use prometheus::{GaugeVec, IntGauge, IntGaugeVec, Registry};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);
/// Payments between two reports of drift; in tests nobody waits for so many.
const DRIFT_PAYMENTS: u64 = 10_000;
const DRIFT_PAYMENTS_IN_TESTS: u64 = 1_000;
/// Features whose share in a score a person is shown.
const SHAPLEY_MAX: usize = 10;

/// What the models said of an attempt, as it is stored with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Said {
    /// the champion's id
    pub model: String,
    pub score: f64,
    pub probability: f64,
    pub novelty: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenger: Option<Challenged>,
}

/// What the challenger said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Challenged {
    pub model: String,
    pub score: f64,
    pub probability: f64,
}

/// The models of this process.
pub struct Models {
    champion: Slot,
    challenger: Slot,
    online: ArcSwap<Logistic>,
    drift: Mutex<Option<(Arc<str>, Drift)>>,
    drift_payments: u64,
    security: Arc<security::Events>,
    clock: Clock,
    psi: GaugeVec,
    labels: IntGauge,
    loaded: IntGaugeVec,
}

struct Slot {
    role: &'static str,
    file: Option<PathBuf>,
    model: ArcSwapOption<Model>,
    seen: Mutex<Option<Stamp>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl Models {
    /// The models in these files, as far as they are there.
    pub fn new(
        champion: Option<PathBuf>,
        challenger: Option<PathBuf>,
        test_mode: bool,
        security: Arc<security::Events>,
        clock: Clock,
    ) -> Self {
        let slot = |role, file: Option<PathBuf>| Slot {
            role,
            file: file.filter(|file| !file.as_os_str().is_empty()),
            model: ArcSwapOption::empty(),
            seen: Mutex::default(),
        };
        let models = Self {
            champion: slot("champion", champion),
            challenger: slot("challenger", challenger),
            online: ArcSwap::default(),
            drift: Mutex::default(),
            drift_payments: if test_mode {
                DRIFT_PAYMENTS_IN_TESTS
            } else {
                DRIFT_PAYMENTS
            },
            security,
            clock,
            labels: table::gauge("counterfoil_scorer_online_labels"),
            psi: table::levels("counterfoil_scorer_drift_psi"),
            loaded: table::gauges("counterfoil_scorer_model_loaded"),
        };
        models.refresh();
        models
    }

    /// Shows its figures.
    ///
    /// # Errors
    /// When they are shown already.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.psi.clone()))?;
        registry.register(Box::new(self.labels.clone()))?;
        registry.register(Box::new(self.loaded.clone()))
    }

    /// What the models say of an attempt; none without a champion.
    pub fn judge(&self, features: &Features) -> Option<(Said, anomaly::Scored)> {
        let champion = self.champion.model.load_full()?;
        let opinion = champion.judge(features);
        let challenger = self.challenger.model.load_full().map(|model| {
            let (score, probability) = model.score(features);
            Challenged {
                model: model.id().to_string(),
                score,
                probability,
            }
        });
        let said = Said {
            model: champion.id().to_string(),
            score: opinion.scored.score,
            probability: opinion.probability,
            novelty: opinion.novelty,
            challenger,
        };
        self.count(&champion, features, opinion.scored.score);
        Some((said, opinion.scored))
    }

    /// The champion's score alone, and nothing kept of it: for trials on history.
    pub(super) fn score(&self, features: &Features) -> Option<f64> {
        let champion = self.champion.model.load_full()?;
        Some(champion.score(features).0)
    }

    /// What the online regression says of an attempt: a probability of fraud, which decides nothing. None before it has learned enough.
    pub fn online(&self, features: &Features) -> Option<f64> {
        online::probability(&self.online.load(), features)
    }

    /// What the regression has learned is what is asked from here on.
    pub(super) fn publish(&self, learner: &mut Learner) {
        if let Some(logistic) = learner.news() {
            self.labels.set(i64::try_from(logistic.labels()).unwrap_or(i64::MAX));
            self.online.store(Arc::new(logistic.clone()));
        }
    }

    /// The features that moved the champion's score most, for a person who looks at the case: exact Shapley values in log-odds.
    /// Empty without a champion.
    pub fn shapley(&self, features: &Features) -> Vec<Value> {
        let Some(champion) = self.champion.model.load_full() else {
            return Vec::new();
        };
        let values = champion.shapley(features);
        let told = values.iter().take(SHAPLEY_MAX).map(|(feature, log_odds)| {
            let line = &FEATURES[*feature as usize];
            json!({"feature": line.name, "meaning": line.meaning, "value": features.value(*feature), "log_odds": log_odds})
        });
        told.collect()
    }

    fn count(&self, model: &Model, features: &Features, score: f64) {
        let reference = &model.body().reference;
        let mut drift = self.drift.lock().unwrap_or_else(PoisonError::into_inner);
        if drift.as_ref().is_none_or(|(id, _)| id != model.id()) {
            *drift = Some((model.id().clone(), Drift::new(reference)));
        }
        let Some((_, counted)) = drift.as_mut() else { return };
        counted.add(reference, features, score);
        if counted.payments() < self.drift_payments {
            return;
        }
        let report = counted.report(reference);
        *drift = None;
        drop(drift);
        self.psi.reset();
        for one in &report {
            self.psi.with_label_values(&[one.name.as_str()]).set(one.psi);
        }
        let drifted: Vec<&str> = report
            .iter()
            .filter(|one| one.level == DriftLevel::Drifted)
            .map(|one| one.name.as_str())
            .collect();
        if !drifted.is_empty() {
            tracing::error!(
                model = &**model.id(),
                ?drifted,
                "what the model sees is not what it was trained on: look, and train it again"
            );
            let detail = format!("model {}: {}", model.id(), drifted.join(", "));
            self.security
                .record(Kind::ModelDrifted, &Source::found(&detail), "", self.clock.now());
        }
    }

    fn refresh(&self) {
        for slot in [&self.champion, &self.challenger] {
            if slot.refresh() {
                let _ = self.loaded.remove_label_values(&[slot.role, ""]);
                self.loaded.reset();
            }
        }
        for slot in [&self.champion, &self.challenger] {
            if let Some(model) = &*slot.model.load() {
                self.loaded.with_label_values(&[slot.role, model.id()]).set(1);
            }
        }
    }

    /// Looks at the files for as long as the service runs.
    pub async fn run(app: Arc<App>, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let app = app.clone();
            // reading and checking a model takes milliseconds of computing
            let _ = tokio::task::spawn_blocking(move || app.models.refresh()).await;
        }
    }
}

impl Slot {
    /// Reads the file if it has changed; returns whether another model is in force.
    fn refresh(&self) -> bool {
        let Some(file) = &self.file else { return false };
        let stamp = stamp(file);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == stamp {
            return false;
        }
        *seen = stamp;
        if stamp.is_none() {
            let had = self.model.swap(None).is_some();
            if had {
                tracing::warn!(role = self.role, "the model's file is gone: no model is in force");
            }
            return had;
        }
        let read = std::fs::read_to_string(file)
            .map_err(|error| error.to_string())
            .and_then(|text| Model::read(&text).map_err(|error| error.to_string()));
        match read {
            Ok(model) => {
                tracing::info!(role = self.role, model = &**model.id(), "a model is in force");
                self.model.store(Some(Arc::new(model)));
                true
            }
            Err(error) => {
                tracing::error!(
                    role = self.role,
                    error,
                    "the file is not a model that can be used; what was in force stays"
                );
                false
            }
        }
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(file).ok()?;
    Some(Stamp {
        modified: metadata.modified().ok(),
        length: metadata.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anomaly::backtest::{Protocol, Replay, Transaction, train_model};
    use anomaly::model::cost::Costs;
    use anomaly::model::train::Settings;
    use anomaly::{Attempt, Config, Engine};

    const DAY_MS: i64 = 86_400_000;

    /// Fifty payments a day for thirty days, of which a twentieth is large, and fraud. `turn` makes one differ from the next.
    fn history(turn: i64) -> Vec<Transaction> {
        (0..1_500)
            .map(|n: i64| {
                let large = n % 20 == turn;
                Transaction {
                    id: n.unsigned_abs(),
                    at_ms: n * 30 * DAY_MS / 1_500,
                    customer: (n % 40).unsigned_abs(),
                    terminal: (n % 23).unsigned_abs(),
                    amount_minor: 500 + n % 900 + if large { 50_000 } else { 0 },
                    fraud: large,
                    scenario: 0,
                }
            })
            .collect()
    }

    /// A small model.
    fn trained(turn: i64) -> String {
        let transactions = history(turn);
        let settings = Settings {
            trees: 5,
            ..Settings::default()
        };
        let body = train_model(&transactions, 20, 7, &settings, Costs::default(), |_| ()).unwrap();
        Model::write(&body).unwrap()
    }

    #[test]
    fn models_are_swapped_while_in_force_and_a_broken_file_changes_nothing() {
        let folder = std::env::temp_dir().join(format!("counterfoil-models-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&folder).unwrap();
        let (file, beside) = (folder.join("model.json"), folder.join("challenger.json"));
        let models = Models::new(
            Some(file.clone()),
            Some(beside.clone()),
            true,
            Arc::default(),
            Clock::default(),
        );
        let context = crate::payment::rows::RiskContext::default();
        let at = jiff::Timestamp::UNIX_EPOCH;
        let attempt = super::super::facts(at, 1, 50_600, "usd", "print", "424242", &context);
        let features = Engine::new(Config::default()).features(&attempt);
        assert_eq!(models.judge(&features), None, "no file, no model");

        let (first, second) = (trained(3), trained(4));
        std::fs::write(&file, &first).unwrap();
        models.refresh();
        let (said, _) = models.judge(&features).expect("a champion");
        let champion = said.model.clone();
        assert_eq!((said.challenger, champion.len()), (None, 12));

        std::fs::write(&beside, &second).unwrap();
        models.refresh();
        let (said, scored) = models.judge(&features).expect("both");
        let challenger = said.challenger.expect("a challenger").model;
        assert_eq!(
            (&said.model, said.score),
            (&champion, scored.score),
            "the champion decides"
        );
        assert_ne!(champion, challenger);

        std::fs::write(&file, first.replacen("0.", "1.", 1) + " ").unwrap();
        models.refresh();
        assert_eq!(
            models.judge(&features).expect("still").0.model,
            champion,
            "what is broken changes nothing"
        );
        std::fs::write(&file, &second).unwrap();
        std::fs::remove_file(&beside).unwrap();
        models.refresh();
        let (said, _) = models.judge(&features).expect("the other");
        assert_eq!((said.model, said.challenger), (challenger, None));
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// A thousand payments as in training, and nobody is told; a thousand others, and there is an alarm with what has moved.
    #[test]
    fn drift_is_an_alarm_with_what_has_moved() {
        let folder = std::env::temp_dir().join(format!("counterfoil-drift-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("model.json");
        std::fs::write(&file, trained(3)).unwrap();
        let security: Arc<security::Events> = Arc::default();
        let models = Models::new(Some(file), None, true, security.clone(), Clock::default());
        let alarms = || security.metric.with_label_values(&["model_drifted"]).get();
        let (transactions, protocol) = (history(3), Protocol::handbook());
        let mut replay = Replay::new(&transactions, &protocol).unwrap();
        let mut seen = 0;
        while let Some((place, features)) = replay.next() {
            // the days that it was trained on
            if (3..=23).contains(&replay.day(place)) && seen < DRIFT_PAYMENTS_IN_TESTS {
                models.judge(&features).expect("a model");
                seen += 1;
            }
        }
        assert_eq!((seen, alarms()), (DRIFT_PAYMENTS_IN_TESTS, 0));
        let strange = Engine::new(Config::default()).features(&Attempt {
            amount_minor: 10_000_000,
            ..transactions[0].attempt()
        });
        (0..DRIFT_PAYMENTS_IN_TESTS).for_each(|_| drop(models.judge(&strange)));
        assert_eq!(alarms(), 1);
        assert!(models.psi.with_label_values(&["amount"]).get() >= 0.25);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
