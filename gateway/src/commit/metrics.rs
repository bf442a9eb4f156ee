//! The committer's figures as Prometheus metrics: queue, batch size, wait, commit time, rejections. Read when scraped.

use super::Committer;
use ledger::group::Histogram;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, Opts};
use std::sync::Arc;

/// Reads one committer.
pub struct CommitMetrics {
    app: Arc<crate::app::App>,
    descriptions: Vec<Desc>,
}

impl CommitMetrics {
    /// A collector for this application's committer.
    ///
    /// # Errors
    /// Only for a name that Prometheus does not accept.
    pub fn new(app: Arc<crate::app::App>) -> Result<Self, prometheus::Error> {
        let (queue, counts, sizes) = read(&app.committer)?;
        let parts: [&dyn Collector; 3] = [&queue, &counts, &sizes];
        let descriptions = parts.iter().flat_map(|part| part.desc().into_iter().cloned()).collect();
        Ok(Self { app, descriptions })
    }
}

impl Collector for CommitMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        match read(&self.app.committer) {
            Ok((queue, counts, sizes)) => [queue.collect(), counts.collect(), sizes.collect()].concat(),
            Err(error) => {
                tracing::error!(%error, "metrics of the committer");
                Vec::new()
            }
        }
    }
}

/// Histograms are kept by the committer in powers of two; they are shown as cumulative counts by upper bound.
fn read(committer: &Committer) -> Result<(IntGauge, IntCounterVec, IntCounterVec), prometheus::Error> {
    let now = committer.metrics();
    let queue = IntGauge::new("counterfoil_commit_queue", "Units that wait for a writer")?;
    queue.set(i64::try_from(now.queued).unwrap_or(i64::MAX));
    let counts = IntCounterVec::new(
        Opts::new("counterfoil_commit_total", "What the committer did, by kind"),
        &["event"],
    )?;
    for (event, value) in [
        ("transactions", now.batches),
        ("units", now.units),
        ("rejections", now.rejections),
        ("retries", now.retries),
        ("careful", now.careful),
    ] {
        counts.with_label_values(&[event]).inc_by(value);
    }
    let sizes = IntCounterVec::new(
        Opts::new(
            "counterfoil_commit_distribution",
            "Cumulative counts below an upper bound: units per transaction, microseconds of wait and commit",
        ),
        &["of", "le"],
    )?;
    let show = |of: &str, histogram: &Histogram| {
        let mut below = 0;
        for (index, count) in histogram.buckets.iter().enumerate() {
            below += count;
            let bound = Histogram::upper_bound(index).map_or("+Inf".to_owned(), |bound| bound.to_string());
            sizes.with_label_values(&[of, &bound]).inc_by(below);
        }
    };
    show("batch_units", &now.batch_size);
    show("wait_us", &now.wait_us);
    show("commit_us", &now.commit_us);
    Ok((queue, counts, sizes))
}
