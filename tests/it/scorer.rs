//! The scorer over a generated population: how good it is against the textbook's models, that it is not better than anybody
//! can be, and the commands around it.

use anomaly::backtest::{self, LEAK_BOUND, Protocol, Report, Transaction};
use anomaly::model::train::Settings;
use serde_json::Value;
use simulator::transactions::Population;
use std::process::{Command, Output};
use tests::{TestApp, binary, ensure_built};

fn history(seed: u64) -> Vec<Transaction> {
    let population = Population {
        seed,
        customers: 1_000,
        terminals: 2_000,
        days: 157,
        ..Population::default()
    };
    let payments = population.transactions().into_iter().enumerate();
    payments
        .map(|(id, payment)| Transaction {
            id: id as u64,
            at_ms: payment.at_s * 1_000,
            customer: payment.customer.into(),
            terminal: payment.terminal.into(),
            amount_minor: payment.amount_cents,
            fraud: payment.scenario > 0,
            scenario: payment.scenario,
        })
        .collect()
}

fn test(history: &[Transaction], protocol: &Protocol) -> Report {
    let settings = Settings {
        trees: 60,
        learning_rate: 0.2,
        ..Settings::default()
    };
    backtest::run(history, protocol, &settings, |_| ()).expect("a history that is long enough")
}

/// With labels a week late nothing beats the bound; without the delay, which is what a leak is, the same models do.
#[test]
fn an_honest_back_test_stays_below_what_a_leak_would_give() {
    let history = history(11);
    let honest = test(&history, &Protocol::handbook());
    let means = honest.means();
    println!("{means:?}");
    let of = |name: &str| {
        means
            .iter()
            .find(|(model, _)| *model == name)
            .expect("a model")
            .1
            .average_precision
    };
    let (trees, regressions) = (of("boosted_trees"), [of("logistic_regression"), of("online_logistic")]);
    assert!((0.6..=LEAK_BOUND).contains(&trees), "{means:?}");
    for regression in regressions {
        assert!(
            trees > regression && regression > of("isolation_forest").max(of("novelty")),
            "{means:?}"
        );
    }
    assert!(means[0].1.auc > 0.85, "{means:?}");
    assert!(!honest.leak_suspected());

    let mut leaking = test(&history, &Protocol::handbook().with_delay(0));
    leaking.protocol.label_delay_days = 7; // what a leak claims
    assert!(
        leaking.leak_suspected(),
        "the bound finds no leak: {:?}",
        leaking.means()
    );
}

fn run(arguments: &[&str]) -> Output {
    ensure_built();
    Command::new(binary())
        .arg("risk")
        .args(arguments)
        .output()
        .expect("it runs")
}

fn told(output: &Output) -> Value {
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}");
    serde_json::from_slice(&output.stdout).expect("one JSON value")
}

#[test]
fn the_commands_make_train_score_and_test() {
    let folder = std::env::temp_dir().join(format!("counterfoil-scorer-{}", uuid::Uuid::now_v7().simple()));
    std::fs::create_dir(&folder).expect("a folder");
    let path = |name: &str| folder.join(name).display().to_string();
    let (data, model) = (path("history.csv.gz"), path("model.json"));
    let made = run(&[
        "generate",
        "--seed",
        "3",
        "--customers",
        "80",
        "--terminals",
        "160",
        "--days",
        "157",
        "--out",
        &data,
    ]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let report = told(&run(&["backtest", "--data", &data, "--protocol", "handbook", "--json"]));
    assert_eq!(report["folds"].as_array().map(Vec::len), Some(4));
    for figure in ["auc", "average_precision", "card_precision_100"] {
        assert!(
            report["mean"][figure].is_f64() && report["folds"][3][figure].is_f64(),
            "{report}"
        );
    }

    let trained = run(&["train", "--data", &data, "--out", &model, "--trees", "20"]);
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let shown = told(&run(&["show", "--model", &model, "--json"]));
    assert!(shown["thresholds"]["block"].is_f64() && shown["curve"].is_array());
    let scored = told(&run(&[
        "score",
        "--model",
        &model,
        "--data",
        &data,
        "--transaction",
        "20000",
        "--json",
    ]));
    assert_eq!(
        (&scored["transaction_id"], &scored["model"]),
        (&20_000.into(), &shown["id"])
    );
    assert!(scored["shapley"].is_object() && scored["score"].as_u64().is_some_and(|score| score <= 99));

    // what is wrong is said, and nothing is made of it
    let text = std::fs::read_to_string(&model).expect("a text");
    std::fs::write(&model, text.replacen("0.", "1.", 1)).expect("written");
    let edited = run(&["show", "--model", &model]);
    assert!(!edited.status.success() && String::from_utf8_lossy(&edited.stderr).contains("damaged or edited"));
    let broken = path("broken.csv");
    let heading = "transaction_id,datetime,customer_id,terminal_id,amount,fraud,scenario\n";
    for (line, says) in [
        ("0,2025-04-01T00:00:57Z,491,187,96.091,0,0", "two decimals"),
        ("0,2025-04-01T00:00:57Z,491,187,-1,0,0", "negative"),
        ("0,2025-04-01T00:00:57Z,491,187,96.09,2,0", "fraud is 0 or 1"),
        ("0,yesterday,491,187,96.09,0,0", "line 2"),
        ("0,2025-04-01T00:00:57Z,491", "line 2"),
        (
            "0,2025-04-01T00:00:57Z,491,187,96.09,0,0",
            "the protocol needs 157 days",
        ),
    ] {
        std::fs::write(&broken, format!("{heading}{line}\n")).expect("written");
        let refused = run(&["backtest", "--data", &broken]);
        let message = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && message.contains(says), "{line}: {message}");
    }
    let _ = std::fs::remove_dir_all(&folder);
}

/// The service's own log is read and replayed; in a log with hardly any fraud there may be nothing to learn, and that is said.
#[tokio::test]
async fn a_model_is_trained_from_the_log_of_the_service() {
    let app = TestApp::shared().await;
    let paid = app
        .post("/v1/payment_intents")
        .form("amount=2500&currency=usd&confirm=true&payment_method=pm_card_visa")
        .send()
        .await;
    assert_eq!(paid.status, 200, "{paid}");
    let out = app.dir().join("model.json").display().to_string();
    let trained = app
        .counterfoil(&["risk", "train", "--label-delay-days", "0", "--out", &out])
        .await;
    let said = tests::said(&trained);
    let learned = trained.status.success() && said.contains("trained on");
    let nothing = !trained.status.success() && said.contains("teach nothing") && !said.contains(" 0 payments");
    assert!(learned || nothing, "{said}");
}
