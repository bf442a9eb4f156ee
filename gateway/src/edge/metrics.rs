//! The edge's counters as Prometheus metrics. Read when scraped; nothing is updated in between.

use std::sync::Arc;

use prometheus::core::Desc;
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounterVec, IntGaugeVec};

use super::{Reloadable, Stats};
use crate::telemetry::table;

/// What several listeners count, each under its own `listener` label.
pub struct Collector {
    listeners: Vec<Listener>,
    descriptions: Vec<Desc>,
}

struct Listener {
    name: &'static str,
    stats: Arc<Stats>,
    tls: Option<Arc<Reloadable>>,
}

impl Collector {
    /// A collector of these listeners: name, counters and certificate of each.
    pub fn new(listeners: impl IntoIterator<Item = (&'static str, Arc<Stats>, Option<Arc<Reloadable>>)>) -> Self {
        let listeners = listeners
            .into_iter()
            .map(|(name, stats, tls)| Listener { name, stats, tls })
            .collect();
        let mut collector = Self {
            listeners,
            descriptions: Vec::new(),
        };
        let (events, open, expiry) = collector.read();
        for metric in [&events as &dyn prometheus::core::Collector, &open, &expiry] {
            collector.descriptions.extend(metric.desc().into_iter().cloned());
        }
        collector
    }

    fn read(&self) -> (IntCounterVec, IntGaugeVec, prometheus::GaugeVec) {
        let events = table::counters("counterfoil_edge_events_total");
        let open = table::gauges("counterfoil_edge_connections_open");
        let expiry = table::levels("counterfoil_certificate_expiry_timestamp_seconds");
        for listener in &self.listeners {
            for (event, value) in listener.stats.read() {
                match event {
                    "connections_open" => {
                        open.with_label_values(&[listener.name])
                            .set(i64::try_from(value).unwrap_or(i64::MAX));
                    }
                    _ => events.with_label_values(&[listener.name, event]).inc_by(value),
                }
            }
            if let Some(tls) = &listener.tls {
                let gauge: Gauge = expiry.with_label_values(&[listener.name]);
                #[allow(clippy::cast_precision_loss)] // Unix seconds are exact in a double for 285 million years
                gauge.set(tls.expires() as f64);
            }
        }
        (events, open, expiry)
    }
}

impl prometheus::core::Collector for Collector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (events, open, expiry) = self.read();
        let parts = [&events as &dyn prometheus::core::Collector, &open, &expiry];
        parts
            .into_iter()
            .flat_map(prometheus::core::Collector::collect)
            .collect()
    }
}
