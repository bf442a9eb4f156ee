//! Traces: a request from the edge through scorer, acquirer and commit; a group commit linked to the requests in it.
//!
//! Spans for traces are at the level `debug`, which costs a comparison while nobody takes them. A caller's `traceparent` is continued,
//! but it does not decide whether its trace is kept: the share of the settings does. Log lines never become part of a span.

use super::otlp::{self, Config, Exporter};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanProcessor};
use prometheus::IntCounterVec;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

/// Traces that are to be made, and the way for them out of the process.
pub struct Tracing {
    provider: SdkTracerProvider,
    /// to be run beside the service
    pub exporter: Exporter,
}

impl Tracing {
    /// As configured.
    ///
    /// # Errors
    /// When the authorities of the collector cannot be read.
    pub fn new(config: Config) -> anyhow::Result<Self> {
        let (spans, queue) = mpsc::channel(QUEUE);
        let sent = otlp::sent();
        let share = f64::from(config.traces_per_million) / 1e6;
        let provider = SdkTracerProvider::builder()
            // Of the trace's id alone: all spans of a trace agree, and no caller can ask for more.
            .with_sampler(Sampler::TraceIdRatioBased(share))
            .with_span_processor(Queue {
                spans,
                sent: sent.clone(),
            })
            .build();
        Ok(Self {
            provider,
            exporter: Exporter::new(config, queue, sent)?,
        })
    }

    /// What turns spans into traces.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + 'static
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let ours = tracing_subscriber::filter::filter_fn(|meta| {
            let target = meta.target();
            meta.is_span() && (target.starts_with("gateway") || target.starts_with("ledger"))
        });
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("counterfoil"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(ours)
    }
}

/// Makes the span of a request a part of its caller's trace, and writes the trace's id on it for the log. Nothing when nobody traces.
pub fn continue_from(span: &tracing::Span, headers: &http::HeaderMap) {
    let caller = TraceContextPropagator::new().extract(&Headers(headers));
    if caller.has_active_span() {
        let _ = span.set_parent(caller); // fails when there is no layer that makes traces
    }
    let context = span.context();
    let traced = context.span().span_context().clone();
    if traced.is_sampled() {
        span.record("trace_id", tracing::field::display(traced.trace_id()));
    }
}

struct Headers<'a>(&'a http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// Where spans go when they end: a bounded queue, and over its end nowhere.
#[derive(Debug)]
struct Queue {
    spans: mpsc::Sender<SpanData>,
    sent: IntCounterVec,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.spans.try_send(span).is_err() {
            self.sent.with_label_values(&["traces", "dropped"]).inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Spans that wait: some megabytes.
const QUEUE: usize = 8192;
