//! The way to a collector: OTLP over HTTP, protobuf, the same for metrics and traces.
//!
//! Metrics are the registry as it is, translated; nothing is counted twice. Spans come through a bounded queue, and what does not fit is
//! dropped and counted. A collector that is slow or away costs nothing but its own data: it must never hold up what it describes.

use super::table;
use crate::egress;
use anyhow::Context;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::trace::SpanData;
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{IntCounterVec, Registry};
use prost::Message;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;

/// Where to, and how much.
#[derive(Clone, Debug)]
pub struct Config {
    /// scheme, host, port and perhaps a path; `/v1/metrics` and `/v1/traces` are added
    pub endpoint: String,
    /// sent with everything, a collector's key for example
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// PEM file of the authorities of its certificate
    pub authorities: Option<PathBuf>,
    /// between two sendings of metrics
    pub every: Duration,
    /// of a million requests, so many are traced
    pub traces_per_million: u32,
}

/// Sends until the service stops.
pub struct Exporter {
    config: Config,
    spans: mpsc::Receiver<SpanData>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    instance: String,
    sent: IntCounterVec,
}

/// How often what was sent is counted, shared with the queue of spans.
pub(super) fn sent() -> IntCounterVec {
    let sent = table::counters("counterfoil_otlp_exports_total");
    for signal in ["metrics", "traces"] {
        for result in ["ok", "failed", "dropped"] {
            sent.with_label_values(&[signal, result]);
        }
    }
    sent
}

impl Exporter {
    /// The way to the collector, with the spans that go there.
    ///
    /// # Errors
    /// When the authorities cannot be read.
    pub(super) fn new(config: Config, spans: mpsc::Receiver<SpanData>, sent: IntCounterVec) -> anyhow::Result<Self> {
        let roots = egress::roots_or_none(config.authorities.as_deref()).map_err(anyhow::Error::msg)?;
        let http = egress::connector(HttpConnector::new(), PATIENCE, &roots, true);
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(http),
            instance: hex::encode(rand::random::<[u8; 8]>()),
            config,
            spans,
            sent,
        })
    }

    /// Shows its own figure.
    ///
    /// # Errors
    /// When it is shown already.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.sent.clone()))
    }

    /// Sends until told to stop, and then what is left.
    pub async fn run(mut self, registry: Registry, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut metrics = tokio::time::interval(self.config.every);
        metrics.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let began = Timestamp::now();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = metrics.tick() => self.send_metrics(&registry, began).await,
                // An error means that nothing is traced any more; metrics go on.
                read = self.spans.recv_many(&mut batch, BATCH), if !self.spans.is_closed() || !self.spans.is_empty() => {
                    if read > 0 {
                        self.send_spans(std::mem::take(&mut batch)).await;
                        tokio::time::sleep(GATHER).await; // so that a quiet service does not send each span by itself
                    }
                }
            }
        }
        self.spans.close();
        while self.spans.recv_many(&mut batch, BATCH).await > 0 {
            self.send_spans(std::mem::take(&mut batch)).await;
        }
        self.send_metrics(&registry, began).await;
    }

    async fn send_metrics(&self, registry: &Registry, began: Timestamp) {
        let families = registry.gather();
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(self.resource()),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(scope()),
                    metrics: families.iter().map(|family| translate(family, began)).collect(),
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        };
        self.send("metrics", "/v1/metrics", request.encode_to_vec()).await;
    }

    async fn send_spans(&self, spans: Vec<SpanData>) {
        let attributes = self
            .attributes()
            .into_iter()
            .map(|(key, value)| opentelemetry::KeyValue::new(key, value));
        let resource = opentelemetry_sdk::Resource::builder_empty()
            .with_attributes(attributes)
            .build();
        let request = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(spans, &ResourceAttributesWithSchema::from(&resource)),
        };
        self.send("traces", "/v1/traces", request.encode_to_vec()).await;
    }

    /// Once and no more: the next sending of metrics has it all, and spans are samples anyway.
    async fn send(&self, signal: &str, path: &str, body: Vec<u8>) {
        let sent = tokio::time::timeout(PATIENCE, self.post(path, body)).await;
        let outcome = sent.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", PATIENCE.as_secs())));
        let result = match &outcome {
            Ok(()) => "ok",
            Err(error) => {
                tracing::warn!(
                    signal,
                    error = format!("{error:#}"),
                    "the collector did not take what was sent"
                );
                "failed"
            }
        };
        self.sent.with_label_values(&[signal, result]).inc();
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> anyhow::Result<()> {
        let url = format!("{}{path}", self.config.endpoint.trim_end_matches('/'));
        let mut request = http::Request::post(url).header(CONTENT_TYPE, "application/x-protobuf");
        for (name, value) in &self.config.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let answer = self
            .client
            .request(request)
            .await
            .map_err(|error| anyhow::anyhow!(egress::describe(&error)))?;
        let status = answer.status();
        // Read to its end, so that the connection can be used again; what it says is not ours to log.
        Limited::new(answer.into_body(), ANSWER_MAX)
            .collect()
            .await
            .map_err(|_| anyhow::anyhow!("its answer breaks off"))?;
        anyhow::ensure!(status.is_success(), "it answers {status}");
        Ok(())
    }

    fn attributes(&self) -> [(&'static str, String); 3] {
        [
            ("service.name", "counterfoil".to_owned()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id", self.instance.clone()),
        ]
    }

    fn resource(&self) -> Resource {
        Resource {
            attributes: self
                .attributes()
                .into_iter()
                .map(|(key, value)| attribute(key, value))
                .collect(),
            ..Resource::default()
        }
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "counterfoil".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..InstrumentationScope::default()
    }
}

fn attribute(key: &str, value: impl Into<String>) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.into())),
        }),
        ..KeyValue::default()
    }
}

/// A family of the registry as OTLP has it: counters are cumulative sums since the process began.
fn translate(family: &MetricFamily, began: Timestamp) -> Metric {
    let (start, now) = (nanos(began), nanos(Timestamp::now()));
    let labels = |metric: &prometheus::proto::Metric| {
        let pairs = metric.get_label().iter();
        pairs
            .map(|pair| attribute(pair.name(), pair.value()))
            .collect::<Vec<_>>()
    };
    let number = |metric: &prometheus::proto::Metric, value: f64| NumberDataPoint {
        attributes: labels(metric),
        start_time_unix_nano: start,
        time_unix_nano: now,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    };
    let cumulative = AggregationTemporality::Cumulative as i32;
    let metrics = family.get_metric();
    let data = match family.get_field_type() {
        MetricType::COUNTER => Data::Sum(Sum {
            data_points: metrics.iter().map(|m| number(m, m.get_counter().get_value())).collect(),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        MetricType::HISTOGRAM => Data::Histogram(Histogram {
            data_points: metrics
                .iter()
                .map(|metric| {
                    let histogram = metric.get_histogram();
                    let (bounds, counts) = distribution(histogram);
                    HistogramDataPoint {
                        attributes: labels(metric),
                        start_time_unix_nano: start,
                        time_unix_nano: now,
                        count: histogram.get_sample_count(),
                        sum: Some(histogram.get_sample_sum()),
                        bucket_counts: counts,
                        explicit_bounds: bounds,
                        ..HistogramDataPoint::default()
                    }
                })
                .collect(),
            aggregation_temporality: cumulative,
        }),
        // The table has no other kinds.
        _ => Data::Gauge(Gauge {
            data_points: metrics.iter().map(|m| number(m, m.get_gauge().get_value())).collect(),
        }),
    };
    let unit = table::METRICS
        .iter()
        .find(|metric| metric.name == family.name())
        .map_or("1", |metric| match metric.unit {
            "B" => "By",
            "s since 1970" => "s",
            unit => unit,
        });
    Metric {
        name: family.name().to_owned(),
        description: family.help().to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

/// Bounds, and a count for each bucket by itself, the last one without a bound.
fn distribution(histogram: &prometheus::proto::Histogram) -> (Vec<f64>, Vec<u64>) {
    let (mut bounds, mut counts, mut below) = (Vec::new(), Vec::new(), 0);
    for bucket in histogram
        .get_bucket()
        .iter()
        .filter(|bucket| bucket.upper_bound().is_finite())
    {
        bounds.push(bucket.upper_bound());
        counts.push(bucket.cumulative_count().saturating_sub(below));
        below = bucket.cumulative_count();
    }
    counts.push(histogram.get_sample_count().saturating_sub(below));
    (bounds, counts)
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or_default()
}

/// Reads `name: value` lines, one header each; blank lines and lines that begin with `#` are skipped.
///
/// # Errors
/// Names the line that is no header, and never shows it.
pub fn headers(text: &str) -> anyhow::Result<Vec<(HeaderName, HeaderValue)>> {
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| {
            let (name, value) = line
                .split_once(':')
                .with_context(|| format!("line {} has no colon", number + 1))?;
            let name = HeaderName::try_from(name.trim())
                .map_err(|_| anyhow::anyhow!("line {} has no header's name", number + 1))?;
            let mut value = HeaderValue::try_from(value.trim())
                .map_err(|_| anyhow::anyhow!("line {} has no header's value", number + 1))?;
            value.set_sensitive(true);
            Ok((name, value))
        })
        .collect()
}

/// Spans in one sending.
const BATCH: usize = 512;
/// From one sending of spans to the next at least.
const GATHER: Duration = Duration::from_millis(500);
/// For one sending.
const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_counts_each_value_once() {
        let histogram = table::histogram("counterfoil_commit_wait_seconds");
        for value in [0.0001, 0.002, 0.002, 0.3, 1e6] {
            histogram.observe(value);
        }
        let registry = Registry::new();
        registry.register(Box::new(histogram)).unwrap();
        let metric = translate(&registry.gather()[0], Timestamp::now());
        let Some(Data::Histogram(Histogram { data_points, .. })) = metric.data else {
            panic!("{metric:?}")
        };
        let point = &data_points[0];
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!((point.bucket_counts.iter().sum::<u64>(), point.count), (5, 5));
        assert_eq!(
            (point.bucket_counts.first(), point.bucket_counts.last()),
            (Some(&1), Some(&1))
        );
        assert_eq!(metric.unit, "s");
    }

    #[test]
    fn headers_are_read_and_a_wrong_line_is_named_and_not_shown() {
        let read = headers("# for the collector\nauthorization: Bearer abc\n\nx-tenant: 1\n").unwrap();
        assert_eq!(read[0].1, "Bearer abc");
        assert!(read.iter().all(|(_, value)| value.is_sensitive()) && read.len() == 2);
        let error = headers("x-tenant: 1\nsecret").unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("secret"), "{error}");
    }
}
