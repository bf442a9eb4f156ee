//! Every metric of the service, in one table: name, unit, labels, when it is shown, and what it means.
//!
//! A metric can only be made by its name here, so `/metrics`, the alert rules, the dashboards and `docs/metrics.md` speak of the same
//! ones; tests hold all four to this table. A label has few values, known to us: it must never be a merchant, a customer, a path as
//! it was sent, or anything else that a stranger can make more of.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows; a restart begins at zero.
    Counter,
    /// A level.
    Gauge,
    /// A distribution.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// As Prometheus names it.
    pub name: &'static str,
    /// What it counts.
    pub kind: Kind,
    /// Of its value: `1` for things that are counted.
    pub unit: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// `always`, or since when it is on the page.
    pub shown: &'static str,
    /// What it says; also its help text.
    pub meaning: &'static str,
}

macro_rules! metrics {
    ($($kind:ident $name:literal $unit:literal [$($label:literal),*] $shown:literal $meaning:literal;)+) => {
        /// All of them, by what they are about.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name, kind: Kind::$kind, unit: $unit, labels: &[$($label),*], shown: $shown, meaning: $meaning,
        },)+];
    };
}

#[rustfmt::skip]
metrics! {
    // ---- requests
    Counter   "counterfoil_requests_total" "1" ["class", "method", "route", "status"] "after the first request" "Answers of the API. class is payments (what moves a payer's money), writes, reads or other; route is the line of the route table";
    Histogram "counterfoil_request_duration_seconds" "s" ["class"] "always" "From a whole request to its answer, the acquirer's time included";
    Histogram "counterfoil_request_own_duration_seconds" "s" ["class"] "always" "The same without the time spent waiting for acquirers: what this service itself takes";
    Counter   "counterfoil_edge_events_total" "1" ["listener", "event"] "always" "What happened at a listener, by kind";
    Gauge     "counterfoil_edge_connections_open" "1" ["listener"] "always" "Connections now being served";
    Gauge     "counterfoil_certificate_expiry_timestamp_seconds" "s since 1970" ["listener"] "always" "When a listener's certificate expires";
    // ---- payments
    Counter   "counterfoil_assessments_total" "1" ["decision"] "always" "What the scorer decided about attempts: allow, challenge, review or block";
    Counter   "counterfoil_connector_authorizations_total" "1" ["connector", "outcome"] "after the first authorization" "Authorizations by acquirer and outcome";
    Gauge     "counterfoil_connector_breaker_open" "1" ["connector"] "after the first authorization" "1 while the acquirer's circuit breaker is open";
    Gauge     "counterfoil_outcomes_unknown" "1" ["kind", "stage"] "always" "Attempts, captures, voids and refunds whose outcome at the acquirer is not known; overdue: asked about for longer than 13 minutes";
    Gauge     "counterfoil_reviews_open" "1" [] "always" "Payments that wait for a person";
    Gauge     "counterfoil_disputes_waiting" "1" ["due"] "always" "Disputes that wait for the merchant's answer, by the time that is left: overdue, day, three_days or later";
    Gauge     "counterfoil_risk_signals_open" "1" [] "always" "Signals about merchants that nobody has acknowledged";
    // ---- committing
    Gauge     "counterfoil_commit_queue" "1" [] "always" "Units that wait for a writer; at 4096 callers are answered 503";
    Counter   "counterfoil_commit_total" "1" ["event"] "always" "What the committer did: transactions, units, rejections (queue full), retries, careful";
    Histogram "counterfoil_commit_batch_units" "1" [] "always" "Units per transaction";
    Histogram "counterfoil_commit_wait_seconds" "s" [] "always" "From handing in a unit until a writer takes it";
    Histogram "counterfoil_commit_duration_seconds" "s" [] "always" "From BEGIN to the answer of COMMIT";
    // ---- the database
    Gauge     "counterfoil_database_connections" "1" ["state"] "always" "Reading connections of this process: open, idle, and callers that wait for one";
    Gauge     "counterfoil_database_bytes" "B" [] "always" "Size of the database on its disk";
    Gauge     "counterfoil_database_clock_offset_seconds" "s" [] "always" "This machine's clock less the database's";
    Gauge     "counterfoil_replicas_streaming" "1" ["state"] "always" "Replicas that follow the primary: sync (a commit waits for them) or async";
    Gauge     "counterfoil_replicas_wanted" "1" [] "always" "Replicas that the setting database.replicas asks for";
    Gauge     "counterfoil_replication_lag_bytes" "B" [] "always" "Write-ahead log that the slowest of them has not yet on disk";
    Gauge     "counterfoil_wal_archived_timestamp_seconds" "s since 1970" [] "always" "When a segment of the write-ahead log was last archived; 0: never, or archiving is off";
    Gauge     "counterfoil_wal_archive_failing" "1" [] "always" "1 while the newest attempt to archive has failed";
    Gauge     "counterfoil_vitals_read_timestamp_seconds" "s since 1970" [] "always" "When the figures that are read from the database were last read";
    // ---- the books and their seal
    Gauge     "counterfoil_suspense_accounts" "1" [] "always" "Accounts with money that nobody could assign: suspense, and clearing between books that does not come to nothing";
    Gauge     "counterfoil_sealed_journals" "1" [] "always" "Rows under the newest head of the seal";
    Gauge     "counterfoil_sealed_audit_events" "1" [] "always" "Rows under the newest head of the seal of the audit log";
    Gauge     "counterfoil_seal_last_round_timestamp_seconds" "s since 1970" [] "always" "When a round of sealing last went well, here or in another process";
    Gauge     "counterfoil_audit_seal_last_round_timestamp_seconds" "s since 1970" [] "always" "The same of the audit log";
    Counter   "counterfoil_seal_failures_total" "1" [] "always" "Rounds of sealing that failed, and heads that could not be exported";
    Counter   "counterfoil_audit_seal_failures_total" "1" [] "always" "The same of the audit log";
    Gauge     "counterfoil_seal_pushed_pages" "1" ["target"] "with seal.push_urls" "Pages under the head that a target took last";
    Gauge     "counterfoil_seal_push_last_timestamp_seconds" "s since 1970" ["target"] "with seal.push_urls" "When a target last took a head";
    Counter   "counterfoil_seal_push_failures_total" "1" ["target"] "with seal.push_urls" "Heads that a target did not take at once; they are sent again";
    Gauge     "counterfoil_audit_seal_pushed_pages" "1" ["target"] "with seal.push_urls" "Pages under the audit log's head that a target took last";
    Gauge     "counterfoil_audit_seal_push_last_timestamp_seconds" "s since 1970" ["target"] "with seal.push_urls" "When a target last took a head of the audit log";
    Counter   "counterfoil_audit_seal_push_failures_total" "1" ["target"] "with seal.push_urls" "Heads of the audit log that a target did not take at once";
    // ---- what is told to others
    Gauge     "counterfoil_deliveries_waiting" "1" [] "always" "Webhooks that are due and not delivered; counted up to 100,000";
    Gauge     "counterfoil_delivery_lag_seconds" "s" [] "always" "How long the oldest of them has been due";
    Gauge     "counterfoil_callbacks_waiting" "1" [] "always" "Callbacks of acquirers that are stored and not processed";
    Gauge     "counterfoil_callback_lag_seconds" "s" [] "always" "How long the oldest of them has been due";
    Counter   "counterfoil_alert_attempts_total" "1" ["result"] "after the first alarm" "Alarms told to receivers, by result";
    Gauge     "counterfoil_alert_lag_seconds" "s" [] "always" "How long the oldest alarm has waited for a receiver that takes it";
    // ---- the gate and the scorer
    Counter   "counterfoil_security_events_total" "1" ["kind"] "always" "Refusals at the gate, and what was found to be wrong, by kind";
    Counter   "counterfoil_scorer_history_rows_total" "1" [] "always" "Rows of the scorer's history read";
    Gauge     "counterfoil_scorer_history_timestamp_seconds" "s since 1970" [] "always" "When the scorer's history was read to its end last";
    Gauge     "counterfoil_scorer_drift_psi" "1" ["feature"] "with a trained model" "Population stability index against the model's training, by feature and of the score";
    Gauge     "counterfoil_scorer_model_loaded" "1" ["role", "model"] "with a trained model" "Whether a model is in force, by role and model";
    Gauge     "counterfoil_scorer_online_labels" "1" [] "always" "Labels that the online regression has learned from";
    // ---- the process
    Gauge     "counterfoil_build_info" "1" ["version"] "always" "1, with the program's version";
    Counter   "counterfoil_otlp_exports_total" "1" ["signal", "result"] "with telemetry.endpoint" "Sendings of traces and metrics by OTLP: ok, failed, or dropped because the receiver is slower than we are";
    Counter   "process_cpu_seconds_total" "s" [] "always" "Processor time of the process, user and system";
    Gauge     "process_open_fds" "1" [] "always" "Open file descriptors";
    Gauge     "process_max_fds" "1" [] "always" "Most file descriptors that it may open";
    Gauge     "process_resident_memory_bytes" "B" [] "always" "Memory in use";
    Gauge     "process_start_time_seconds" "s since 1970" [] "always" "When the process began";
}

/// The metric of this name.
///
/// # Panics
/// When it is not in the table: the names in the code are constants, and a test makes every one of them.
pub fn metric(name: &str) -> &'static Metric {
    let found = METRICS.iter().find(|metric| metric.name == name);
    found.unwrap_or_else(|| panic!("{name} is not in the table of metrics"))
}

fn opts(name: &str, kind: Kind) -> (Opts, &'static [&'static str]) {
    let metric = metric(name);
    assert_eq!(metric.kind, kind, "{name} is of another kind");
    (Opts::new(metric.name, metric.meaning), metric.labels)
}

macro_rules! makers {
    ($($one:ident $many:ident $kind:ident $single:ident $vector:ident;)+) => {
        $(
            #[doc = concat!("A metric of the table without labels, as `", stringify!($single), "`.")]
            pub fn $one(name: &str) -> $single {
                let (opts, labels) = opts(name, Kind::$kind);
                assert!(labels.is_empty(), "{name} has labels");
                $single::with_opts(opts).expect("the table's names are valid")
            }

            #[doc = concat!("A metric of the table with its labels, as `", stringify!($vector), "`.")]
            pub fn $many(name: &str) -> $vector {
                let (opts, labels) = opts(name, Kind::$kind);
                $vector::new(opts, labels).expect("the table's names are valid")
            }
        )+
    };
}

makers! {
    counter counters Counter IntCounter IntCounterVec;
    gauge gauges Gauge IntGauge IntGaugeVec;
    level levels Gauge Gauge GaugeVec;
}

/// What a counter of the table is made from, where it counts in fractions.
pub fn counter_opts(name: &str) -> Opts {
    opts(name, Kind::Counter).0
}

/// A distribution of the table with its labels. Seconds from half a millisecond to a minute.
pub fn histograms(name: &str) -> HistogramVec {
    let (opts, labels) = opts(name, Kind::Histogram);
    HistogramVec::new(HistogramOpts::from(opts).buckets(SECONDS.to_vec()), labels).expect("the table's names are valid")
}

/// A distribution without labels.
pub fn histogram(name: &str) -> Histogram {
    let (opts, _) = opts(name, Kind::Histogram);
    Histogram::with_opts(HistogramOpts::from(opts).buckets(SECONDS.to_vec())).expect("the table's names are valid")
}

/// Upper bounds of times: the objectives (50 ms, 250 ms, 1 s) are among them.
pub const SECONDS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0,
];

/// The table as the page `docs/metrics.md` has it.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         What `/metrics` on the operations listener shows, and what is sent by OTLP when `[telemetry] endpoint` is set. This page is made from \
         the program's own table (`gateway/src/telemetry/table.rs`); a test holds the two and the page itself together. Figures that are read from \
         the database are the same in every process: take the `max` of them, not the sum.\n\n\
         | metric | kind | unit | labels | shown | meaning |\n|---|---|---|---|---|---|\n",
    );
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        page.push_str(&format!(
            "| `{}` | {kind} | {} | {} | {} | {} |\n",
            metric.name,
            metric.unit,
            metric.labels.join(", "),
            metric.shown,
            metric.meaning
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_metric_is_named_once_as_prometheus_wants_it_and_can_be_made() {
        let mut seen = HashSet::new();
        for metric in METRICS {
            let name = metric.name;
            assert!(seen.insert(name), "{name} twice");
            assert_eq!(metric.kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(metric.unit == "B", name.ends_with("_bytes"), "{name}");
            assert_eq!(
                metric.unit == "s since 1970",
                name.ends_with("time_seconds") || name.ends_with("timestamp_seconds"),
                "{name}"
            );
            assert!(!metric.meaning.is_empty() && !metric.meaning.contains('|'), "{name}");
            match metric.kind {
                Kind::Counter => drop(counters(name)),
                Kind::Gauge => drop(levels(name)),
                Kind::Histogram => drop(histograms(name)),
            }
        }
    }
}
