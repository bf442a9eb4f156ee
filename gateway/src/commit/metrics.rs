//! The committer's figures as Prometheus metrics: queue, batch size, wait, commit time, rejections. Read when scraped.

use super::Committer;
use crate::telemetry::table;
use ledger::group::Histogram;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Metric, MetricFamily, MetricType};
use std::sync::Arc;

/// Reads one committer.
pub struct CommitMetrics {
    app: Arc<crate::app::App>,
    descriptions: Vec<Desc>,
}

impl CommitMetrics {
    /// A collector for this application's committer.
    pub fn new(app: Arc<crate::app::App>) -> Self {
        let (queue, events) = (table::gauge(QUEUE), table::counters(EVENTS));
        let histograms = [BATCH, WAIT, COMMIT].map(table::histogram);
        let counted = [queue.desc(), events.desc()].concat().into_iter();
        let descriptions = counted
            .chain(histograms.iter().flat_map(Collector::desc))
            .cloned()
            .collect();
        Self { app, descriptions }
    }
}

impl Collector for CommitMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        read(&self.app.committer)
    }
}

fn read(committer: &Committer) -> Vec<MetricFamily> {
    let now = committer.metrics();
    let queue = table::gauge(QUEUE);
    queue.set(i64::try_from(now.queued).unwrap_or(i64::MAX));
    let counts = table::counters(EVENTS);
    for (event, value) in [
        ("transactions", now.batches),
        ("units", now.units),
        ("rejections", now.rejections),
        ("retries", now.retries),
        ("careful", now.careful),
    ] {
        counts.with_label_values(&[event]).inc_by(value);
    }
    let mut families = [queue.collect(), counts.collect()].concat();
    families.push(shown(BATCH, &now.batch_size, 1.0));
    families.push(shown(WAIT, &now.wait_us, MICROSECOND));
    families.push(shown(COMMIT, &now.commit_us, MICROSECOND));
    families
}

/// The committer counts in powers of two; what is above the longest time that anybody waits is in the last bucket.
fn shown(name: &str, histogram: &Histogram, unit: f64) -> MetricFamily {
    let (mut below, mut buckets) = (0, Vec::new());
    for (index, count) in histogram.buckets.iter().enumerate().take(SHOWN) {
        below += count;
        if let Some(bound) = Histogram::upper_bound(index) {
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(below);
            bucket.set_upper_bound(bound as f64 * unit);
            buckets.push(bucket);
        }
    }
    let mut inner = prometheus::proto::Histogram::default();
    inner.set_sample_count(histogram.count());
    inner.set_sample_sum(histogram.sum as f64 * unit);
    inner.set_bucket(buckets);
    let mut metric = Metric::default();
    metric.set_histogram(inner);
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(table::metric(name).meaning.to_owned());
    family.set_field_type(MetricType::HISTOGRAM);
    family.set_metric(vec![metric]);
    family
}

const QUEUE: &str = "counterfoil_commit_queue";
const EVENTS: &str = "counterfoil_commit_total";
const BATCH: &str = "counterfoil_commit_batch_units";
const WAIT: &str = "counterfoil_commit_wait_seconds";
const COMMIT: &str = "counterfoil_commit_duration_seconds";
const MICROSECOND: f64 = 1e-6;
/// Up to 2^26 microseconds: a minute.
const SHOWN: usize = 27;
