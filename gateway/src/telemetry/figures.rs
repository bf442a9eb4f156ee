//! The figures that are counted while requests run, and those that are read from the database now and then.

use super::table;
use super::vitals::{self, Vitals};
use crate::app::App;
use prometheus::{Gauge, GaugeVec, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use std::sync::Arc;
use std::time::Duration;

/// What kind of request it is; objectives differ by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// it moves a payer's money, or gives it back
    Payments,
    /// it changes anything else
    Writes,
    /// it looks
    Reads,
    /// callbacks of acquirers, pages for payers, and what is no route
    Other,
}

impl Class {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Payments, Self::Writes, Self::Reads, Self::Other];

    /// Of a request, by its method and its line of the route table.
    #[must_use]
    pub fn of(method: &str, route: Option<&str>) -> Self {
        let Some(route) = route.and_then(|route| route.strip_prefix("/v1/")) else {
            return Self::Other;
        };
        match (method, route.split('/').next().unwrap_or_default()) {
            ("GET", _) => Self::Reads,
            (_, "payment_intents" | "refunds" | "setup_intents") => Self::Payments,
            _ => Self::Writes,
        }
    }

    /// The word of the label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Payments => "payments",
            Self::Writes => "writes",
            Self::Reads => "reads",
            Self::Other => "other",
        }
    }
}

/// All of them; a part of [`App`].
#[derive(Debug)]
pub struct Figures {
    requests: IntCounterVec,
    durations: HistogramVec,
    own_durations: HistogramVec,
    assessments: IntCounterVec,
    unknown: IntGaugeVec,
    reviews: IntGauge,
    disputes: IntGaugeVec,
    signals: IntGauge,
    connections: IntGaugeVec,
    database_bytes: IntGauge,
    clock_offset: Gauge,
    replicas: IntGaugeVec,
    replicas_wanted: IntGauge,
    replication_lag: IntGauge,
    archived_at: IntGauge,
    archive_failing: IntGauge,
    suspense: IntGauge,
    deliveries: IntGauge,
    delivery_lag: Gauge,
    callbacks: IntGauge,
    callback_lag: Gauge,
    alarm_lag: Gauge,
    read_at: IntGauge,
    build: GaugeVec,
}

impl Default for Figures {
    fn default() -> Self {
        let figures = Self {
            requests: table::counters("counterfoil_requests_total"),
            durations: table::histograms("counterfoil_request_duration_seconds"),
            own_durations: table::histograms("counterfoil_request_own_duration_seconds"),
            assessments: table::counters("counterfoil_assessments_total"),
            unknown: table::gauges("counterfoil_outcomes_unknown"),
            reviews: table::gauge("counterfoil_reviews_open"),
            disputes: table::gauges("counterfoil_disputes_waiting"),
            signals: table::gauge("counterfoil_risk_signals_open"),
            connections: table::gauges("counterfoil_database_connections"),
            database_bytes: table::gauge("counterfoil_database_bytes"),
            clock_offset: table::level("counterfoil_database_clock_offset_seconds"),
            replicas: table::gauges("counterfoil_replicas_streaming"),
            replicas_wanted: table::gauge("counterfoil_replicas_wanted"),
            replication_lag: table::gauge("counterfoil_replication_lag_bytes"),
            archived_at: table::gauge("counterfoil_wal_archived_timestamp_seconds"),
            archive_failing: table::gauge("counterfoil_wal_archive_failing"),
            suspense: table::gauge("counterfoil_suspense_accounts"),
            deliveries: table::gauge("counterfoil_deliveries_waiting"),
            delivery_lag: table::level("counterfoil_delivery_lag_seconds"),
            callbacks: table::gauge("counterfoil_callbacks_waiting"),
            callback_lag: table::level("counterfoil_callback_lag_seconds"),
            alarm_lag: table::level("counterfoil_alert_lag_seconds"),
            read_at: table::gauge("counterfoil_vitals_read_timestamp_seconds"),
            build: table::levels("counterfoil_build_info"),
        };
        // What has not happened yet is a zero, not an absence: a rate over an absent series alarms nobody.
        for class in Class::ALL {
            figures.durations.with_label_values(&[class.as_str()]);
            figures.own_durations.with_label_values(&[class.as_str()]);
        }
        for decision in ["allow", "challenge", "review", "block"] {
            figures.assessments.with_label_values(&[decision]);
        }
        figures.build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        figures.show(&Vitals::default());
        figures
    }
}

impl Figures {
    /// Shows them.
    ///
    /// # Errors
    /// When they are shown already.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        macro_rules! register {
            ($($figure:ident)+) => { $(registry.register(Box::new(self.$figure.clone()))?;)+ };
        }
        register! {
            requests durations own_durations assessments unknown reviews disputes signals connections database_bytes clock_offset replicas
            replicas_wanted replication_lag archived_at archive_failing suspense deliveries delivery_lag callbacks callback_lag alarm_lag
            read_at build
        }
        Ok(())
    }

    /// One answer of the API: what was asked, how it ended, and how long it took, in all and without the acquirer.
    pub fn answered(&self, method: &str, route: Option<&str>, status: u16, took: Duration, own: Duration) {
        let class = Class::of(method, route);
        let mut digits = [0; 3];
        let status = three_digits(status, &mut digits);
        let route = route.unwrap_or("none");
        self.requests
            .with_label_values(&[class.as_str(), known_method(method), route, status])
            .inc();
        self.durations
            .with_label_values(&[class.as_str()])
            .observe(took.as_secs_f64());
        self.own_durations
            .with_label_values(&[class.as_str()])
            .observe(own.as_secs_f64());
    }

    /// What the scorer decided about an attempt.
    pub fn assessed(&self, decision: &str) {
        self.assessments.with_label_values(&[decision]).inc();
    }

    /// How many replicas there should be.
    pub fn want_replicas(&self, wanted: u32) {
        self.replicas_wanted.set(wanted.into());
    }

    fn show(&self, vitals: &Vitals) {
        for kind in ["payment", "refund", "setup"] {
            let found = vitals.unknown.iter().find(|unknown| unknown.kind == kind);
            let (fresh, overdue) = found.map_or((0, 0), |unknown| (unknown.fresh, unknown.overdue));
            self.unknown.with_label_values(&[kind, "fresh"]).set(fresh);
            self.unknown.with_label_values(&[kind, "overdue"]).set(overdue);
        }
        for (due, count) in [
            ("overdue", vitals.disputes.overdue),
            ("day", vitals.disputes.day),
            ("three_days", vitals.disputes.three_days),
            ("later", vitals.disputes.later),
        ] {
            self.disputes.with_label_values(&[due]).set(count);
        }
        for (state, count) in [("sync", vitals.replication.sync), ("async", vitals.replication.r#async)] {
            self.replicas.with_label_values(&[state]).set(count);
        }
        self.connections.with_label_values(&["open"]);
        self.connections.with_label_values(&["idle"]);
        self.connections.with_label_values(&["waiting"]);
        self.reviews.set(vitals.reviews_open);
        self.signals.set(vitals.signals_open);
        self.database_bytes.set(vitals.database_bytes);
        self.clock_offset.set(vitals.clock_offset);
        self.replication_lag.set(vitals.replication.lag_bytes);
        self.archived_at.set(vitals.archive.archived_at);
        self.archive_failing.set(i64::from(vitals.archive.failing));
        self.suspense.set(vitals.suspense_accounts);
        self.deliveries.set(vitals.deliveries.waiting);
        self.delivery_lag.set(vitals.deliveries.lag);
        self.callbacks.set(vitals.callbacks.waiting);
        self.callback_lag.set(vitals.callbacks.lag);
        self.alarm_lag.set(vitals.alarms.lag);
    }
}

/// Looks at the database until told to stop. While it cannot be read the old figures stay, and their age tells.
pub async fn run(app: Arc<App>, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    loop {
        let look = async {
            let client = app.reads.get().await?;
            anyhow::Ok(vitals::read(&**client).await?)
        };
        let figures = &app.figures;
        match look.await {
            Ok(vitals) => {
                figures.show(&vitals);
                figures.read_at.set(app.clock.now().as_second());
            }
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "the service's vital signs cannot be read; trying again"
            ),
        }
        let pool = app.reads.status();
        for (state, count) in [("open", pool.size), ("idle", pool.available), ("waiting", pool.waiting)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            figures.connections.with_label_values(&[state]).set(count);
        }
        tokio::select! {
            () = tokio::time::sleep(vitals::EVERY) => {}
            () = &mut stop => return,
        }
    }
}

/// A stranger can send any word as a method.
fn known_method(method: &str) -> &str {
    match method {
        "GET" | "POST" | "DELETE" => method,
        _ => "other",
    }
}

fn three_digits(status: u16, digits: &mut [u8; 3]) -> &str {
    for (digit, power) in digits.iter_mut().zip([100, 10, 1]) {
        *digit = b'0' + u8::try_from(status / power % 10).unwrap_or_default();
    }
    std::str::from_utf8(digits).unwrap_or_default()
}
