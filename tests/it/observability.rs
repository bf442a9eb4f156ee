//! What operators see: the metrics are those of the table, rules and dashboards name only metrics that exist, every alert fires and has a
//! page, traces and metrics arrive at a collector that decodes them, and the self-check finds what is wrong.

use crate::gate_serve::{Second, client, send};
use gateway::telemetry::table::{self, Kind, METRICS};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use tests::{TestApp, eventually, said, workspace};
use tokio::net::TcpListener;

/// Names of the families on the page, without the suffixes of histograms.
fn families(page: &str) -> BTreeMap<String, String> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

#[tokio::test]
async fn the_metrics_page_shows_the_table_and_nothing_else() {
    let app = TestApp::shared().await;
    let paid = json!({ "amount": 900, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true });
    app.post("/v1/payment_intents").params(paid).send().await.ok();
    let page = app.ops("GET", "/metrics").send().await.to_string();
    let shown = families(&page);
    for (name, kind) in &shown {
        let metric = METRICS.iter().find(|metric| metric.name == name);
        let metric = metric.unwrap_or_else(|| panic!("{name} is on the page and not in the table"));
        let wanted = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        assert_eq!(kind, wanted, "{name}");
    }
    let owed = METRICS.iter().filter(|metric| {
        metric.shown == "always"
            || metric.shown.contains("first request")
            || metric.shown.contains("first authorization")
    });
    for metric in owed {
        assert!(
            shown.contains_key(metric.name),
            "{} is in the table and not on the page",
            metric.name
        );
    }
    // What is counted is what happened, and nobody who it happened to is named.
    assert!(
        page.contains(
            r#"counterfoil_requests_total{class="payments",method="POST",route="/v1/payment_intents",status="200"}"#
        ),
        "{page}"
    );
    for name in ["acct_", "pi_", "cus_", "sk_test", "pm_card"] {
        assert!(!page.contains(name), "{name} is on the metrics page");
    }
}

#[test]
fn the_page_about_metrics_is_the_table() {
    let file = workspace().join("docs/metrics.md");
    if std::env::var_os("UPDATE_PAGES").is_some() {
        fs::write(&file, table::page()).expect("written");
    }
    let page = fs::read_to_string(&file).expect("docs/metrics.md");
    assert_eq!(
        page,
        table::page(),
        "UPDATE_PAGES=1 cargo test -p tests the_page_about_metrics writes it"
    );
}

/// Every word of an expression that could be a metric of ours.
fn named(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    words.filter(|word| word.starts_with("counterfoil") || word.starts_with("process_"))
}

fn exists(name: &str, recorded: &BTreeSet<String>) -> bool {
    let known = |name: &str, kind: Option<Kind>| {
        METRICS
            .iter()
            .any(|metric| metric.name == name && (kind.is_none() || kind == Some(metric.kind)))
    };
    let of_histogram = ["_bucket", "_sum", "_count"]
        .iter()
        .filter_map(|suffix| name.strip_suffix(suffix))
        .any(|name| known(name, Some(Kind::Histogram)));
    // a word in a label: job="counterfoil"
    name == "counterfoil"
        || recorded.contains(name)
        || of_histogram
        || known(name, None) && !METRICS.iter().any(|m| m.name == name && m.kind == Kind::Histogram)
}

/// Lines `key: value` of a rule file, by key; these files have no deeper structure that matters here.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let marked = text.lines().map(|line| line.trim_start().trim_start_matches("- "));
    marked
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
        .map(|value| value.trim_matches('\''))
        .collect()
}

fn rule_files() -> String {
    let read = |name: &str| fs::read_to_string(workspace().join("deploy/prometheus").join(name)).expect(name);
    read("alerts.yml") + &read("slo.yml")
}

#[test]
fn rules_and_dashboards_name_metrics_that_exist() {
    let rules = rule_files();
    let recorded: BTreeSet<String> = values(&rules, "record").into_iter().map(str::to_owned).collect();
    assert!(recorded.len() >= 10, "{recorded:?}");
    let mut seen = BTreeSet::new();
    let mut look = |place: &str, expression: &str| {
        for name in named(expression) {
            assert!(exists(name, &recorded), "{place}: no metric {name}");
            seen.insert(name.to_owned());
        }
    };
    for line in rules
        .lines()
        .filter(|line| !line.trim_start().starts_with('#') && !line.contains("runbook") && !line.contains("name:"))
    {
        look("rules", line);
    }
    for entry in fs::read_dir(workspace().join("deploy/grafana/dashboards")).expect("dashboards") {
        let path = entry.expect("an entry").path();
        let dashboard: Value = serde_json::from_slice(&fs::read(&path).expect("a file")).expect("JSON");
        let panels = dashboard["panels"].as_array().expect("panels");
        assert!(panels.len() > 10, "{}", path.display());
        let mut ids = BTreeSet::new();
        for panel in panels {
            assert!(
                ids.insert(panel["id"].as_i64().expect("an id")),
                "{}: an id twice",
                path.display()
            );
            for target in panel["targets"].as_array().into_iter().flatten() {
                look(
                    &path.display().to_string(),
                    target["expr"].as_str().expect("an expression"),
                );
            }
        }
    }
    assert!(seen.len() > 30, "these are not all: {seen:?}");
}

#[test]
fn every_alert_has_a_page_and_a_test_that_makes_it_fire() {
    let rules = rule_files();
    let alerts = values(&rules, "alert");
    let pages: Vec<&str> = values(&rules, "runbook");
    assert!(
        alerts.len() > 30 && alerts.len() == pages.len(),
        "{} alerts, {} pages",
        alerts.len(),
        pages.len()
    );
    let fired = fs::read_to_string(workspace().join("deploy/prometheus/alerts_test.yml")).expect("alerts_test.yml");
    for (alert, page) in alerts.iter().zip(&pages) {
        let text = fs::read_to_string(workspace().join(page)).unwrap_or_else(|_| panic!("{alert} has no page {page}"));
        for part in [
            "## What it means",
            "## What payers and merchants notice",
            "## Look",
            "## Do",
            "## Afterwards",
        ] {
            assert!(text.contains(part), "{page} has no {part}");
        }
        let (_, of_it) = fired
            .split_once(&format!("alertname: {alert}\n"))
            .unwrap_or_else(|| panic!("{alert} is in no test"));
        assert!(
            of_it.trim_start().starts_with("exp_alerts:\n"),
            "{alert} never fires in its test"
        );
    }
    let written: BTreeSet<String> = fs::read_dir(workspace().join("docs/runbooks"))
        .expect("runbooks")
        .map(|entry| {
            format!(
                "docs/runbooks/{}",
                entry.expect("an entry").file_name().to_string_lossy()
            )
        })
        .filter(|name| !name.ends_with("README.md"))
        .collect();
    assert_eq!(
        written,
        pages.iter().map(|page| (*page).to_owned()).collect(),
        "pages without an alert"
    );
}

#[test]
fn promtool_takes_the_rules_and_makes_each_alert_fire() {
    let folder = workspace().join("deploy/prometheus");
    for arguments in [
        &["check", "rules", "alerts.yml", "slo.yml"][..],
        &["check", "config", "--syntax-only", "prometheus.yml"],
        &["test", "rules", "alerts_test.yml"],
    ] {
        let output = Command::new("promtool").args(arguments).current_dir(&folder).output();
        let output = output.expect("promtool is installed: scripts/bootstrap.sh test");
        assert!(output.status.success(), "promtool {arguments:?}: {}", said(&output));
    }
}

/// A collector as small as one can be: it takes what OTLP sends and decodes it.
#[derive(Clone, Default)]
struct Collected {
    spans: Arc<Mutex<Vec<Span>>>,
    metrics: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
    keys: Arc<Mutex<BTreeSet<String>>>,
}

async fn collector() -> (String, Collected) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let collected = Collected::default();
    let keep = collected.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let keep = keep.clone();
            let service = service_fn(move |request: http::Request<Incoming>| {
                let keep = keep.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.expect("a body").to_bytes();
                    assert_eq!(head.headers["content-type"], "application/x-protobuf");
                    if let Some(key) = head.headers.get("x-collector-key") {
                        keep.keys
                            .lock()
                            .expect("kept")
                            .insert(key.to_str().expect("text").to_owned());
                    }
                    match head.uri.path() {
                        "/v1/traces" => {
                            let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
                            let scopes = request
                                .resource_spans
                                .into_iter()
                                .flat_map(|resource| resource.scope_spans);
                            keep.spans
                                .lock()
                                .expect("kept")
                                .extend(scopes.flat_map(|scope| scope.spans));
                        }
                        "/v1/metrics" => {
                            let request = ExportMetricsServiceRequest::decode(body).expect("OTLP");
                            keep.metrics.lock().expect("kept").push(request);
                        }
                        other => panic!("{other}"),
                    }
                    Ok::<_, Infallible>(http::Response::new(Full::new(bytes::Bytes::new())))
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service));
        }
    });
    (url, collected)
}

/// One payment from the caller's own trace through edge, scorer, acquirer and both commits; each group commit is linked to its members.
#[tokio::test]
async fn a_payment_is_a_trace_and_the_metrics_arrive_at_the_collector() {
    let app = TestApp::shared().await;
    let (url, collected) = collector().await;
    let headers = app.dir().join("otlp-headers");
    fs::write(&headers, "# a comment\nx-collector-key: k-1\n").expect("written");
    let settings = format!(
        "require_signatures = false\n[telemetry]\nendpoint = {url:?}\nheaders_file = {headers:?}\nauthorities = \"\"\n\
         metrics_every_ms = 500\ntraces_per_million = 1000000"
    );
    let second = Second::start(app, "traced", &settings, Path::new("")).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let card = json!({ "type": "card", "card": { "number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123" } });
    let method = app.post("/v1/payment_methods").params(card).send().await.ok();
    let method = method["id"].as_str().expect("an id");
    let path = format!("/v1/payment_intents?amount=1700&currency=usd&confirm=true&payment_method={method}");
    let sent = [
        (
            "authorization".to_owned(),
            format!("Bearer {}", app.told("/secret_key")),
        ),
        ("traceparent".to_owned(), format!("00-{trace}-00f067aa0ba902b7-01")),
    ];
    let (status, paid) = send(&client(app, None), "POST", &format!("{}{path}", second.url), &sent)
        .await
        .expect("an answer");
    assert_eq!((status, &paid["status"]), (200, &json!("succeeded")), "{paid}");

    let of_ours = |spans: &[Span]| -> Vec<Span> {
        spans
            .iter()
            .filter(|span| hex::encode(&span.trace_id) == trace)
            .cloned()
            .collect()
    };
    let spans = eventually("the whole trace", || async {
        let spans = collected.spans.lock().expect("kept").clone();
        let names: BTreeSet<String> = of_ours(&spans).into_iter().map(|span| span.name).collect();
        let all = ["request", "/v1/payment_intents", "assess", "acquirer", "commit", "unit"]
            .iter()
            .all(|name| names.contains(*name));
        (all && spans.iter().any(|span| span.name == "group_commit")).then_some(spans)
    })
    .await;
    let ours = of_ours(&spans);
    let find = |name: &str| {
        ours.iter()
            .find(|span| span.name == name)
            .unwrap_or_else(|| panic!("no {name}"))
    };
    assert_eq!(
        hex::encode(&find("request").parent_span_id),
        "00f067aa0ba902b7",
        "the caller's span is the parent"
    );
    assert_eq!(find("/v1/payment_intents").parent_span_id, find("request").span_id);
    assert!(
        ours.iter().filter(|span| span.name == "commit").count() >= 2,
        "commit A and commit B"
    );
    // A unit's transaction is shared, so it has no parent: it is linked.
    let units: BTreeSet<&[u8]> = ours
        .iter()
        .filter(|span| span.name == "unit")
        .map(|span| &span.span_id[..])
        .collect();
    let linked: BTreeSet<&[u8]> = spans
        .iter()
        .filter(|span| span.name == "group_commit")
        .flat_map(|span| span.links.iter().map(|link| &link.span_id[..]))
        .collect();
    assert!(units.is_subset(&linked), "{units:?} {linked:?}");
    // No span says more than ids, routes and numbers.
    let told = format!("{ours:?}");
    for secret in ["4242424242424242", "sk_test", "1700"] {
        assert!(!told.contains(secret), "{secret} is in a trace");
    }

    let families = eventually("metrics", || async {
        let requests = collected.metrics.lock().expect("kept").clone();
        let last = requests
            .last()?
            .resource_metrics
            .first()?
            .scope_metrics
            .first()?
            .metrics
            .clone();
        (!last.is_empty()).then_some(last)
    })
    .await;
    for metric in &families {
        let known = METRICS.iter().find(|known| known.name == metric.name);
        let known = known.unwrap_or_else(|| panic!("{} is sent and not in the table", metric.name));
        let kind = match metric.data {
            Some(Data::Sum(ref sum)) => {
                assert!(sum.is_monotonic);
                Kind::Counter
            }
            Some(Data::Histogram(_)) => Kind::Histogram,
            _ => Kind::Gauge,
        };
        assert_eq!(kind, known.kind, "{}", metric.name);
    }
    assert!(families.len() > 30, "{}", families.len());
    assert_eq!(
        *collected.keys.lock().expect("kept"),
        BTreeSet::from(["k-1".to_owned()]),
        "the headers of the file"
    );
}

#[tokio::test]
async fn the_self_check_is_good_on_a_sound_service_and_fails_on_each_damage() {
    let app = TestApp::start().await;
    let paid = json!({ "amount": 900, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true });
    app.post("/v1/payment_intents").params(paid).send().await.ok();
    let check = async |arguments: &[&str]| {
        let output = app.counterfoil(&[&["selfcheck", "--json"], arguments].concat()).await;
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        assert_eq!(output.status.success(), told["ok"] == true, "{}", said(&output));
        assert_eq!(
            told["checks"]
                .as_array()
                .map(|checks| checks.iter().all(|check| check["result"] != "failed")),
            told["ok"].as_bool()
        );
        let results = told["checks"].as_array().expect("checks").iter();
        let failed: BTreeSet<String> = results
            // how full the disk of this machine is, is not the service's doing
            .filter(|check| check["result"] == "failed" && check["check"] != "disk")
            .map(|check| check["check"].as_str().expect("a name").to_owned())
            .collect();
        failed
    };
    let sound = check(&[]).await;
    assert!(sound.is_empty(), "{sound:?}");

    let sql = app.sql().await;
    let damage = async |statement: &str| {
        sql.batch_execute(statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"))
    };
    damage("UPDATE gateway.callback SET due_at = now() - interval '1 hour'; INSERT INTO gateway.callback (connector, id, type, payload, received_at, due_at)
            VALUES ('stripe', 'evt_selfcheck', 'x', '{}', now() - interval '2 hours', now() - interval '1 hour')").await;
    damage("UPDATE gateway.payment SET operation = 'void', operation_amount = 1; UPDATE gateway.charge SET swept = 20, check_at = now() + interval '5 minutes'").await;
    damage("DELETE FROM gateway_schema_history WHERE version = 90").await;
    let quick = check(&["--quick"]).await;
    for name in ["unknown outcomes", "schemas"] {
        assert!(quick.contains(name), "{name} is not found: {quick:?}");
    }
    // What is changed before it is sealed is sealed as changed.
    let unsealed = "SELECT (SELECT count(*) FROM ledger.journal) - coalesce((SELECT total FROM ledger.seal ORDER BY page DESC LIMIT 1), 0)";
    eventually("every journal is sealed", || async {
        let left: i64 = sql.query_one(unsealed, &[]).await.expect("counts").get(0);
        (left == 0).then_some(())
    })
    .await;
    damage("ALTER TABLE ledger.journal DISABLE TRIGGER ALL; UPDATE ledger.journal SET memo = '{}'").await;
    eventually("the changed journal is found", || async {
        check(&[]).await.contains("sealed books").then_some(())
    })
    .await;
}
