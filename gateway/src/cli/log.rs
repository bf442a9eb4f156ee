//! Logs: one JSON object per line. Never a request's path, header or body, and never what a panic said: an `expect` on a
//! parse error would print the card number that did not parse.
//!
//! A line that cannot be written is lost without a word. The library would report it on standard error, holding the writer's
//! lock: on a full disk that report fails too, its panic is logged, and the logging waits for the lock for ever.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, Result};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::telemetry::Tracing;

/// Writes to standard error.
pub(super) fn to_stderr(filter: &str, tracing: Option<&Tracing>) -> Result<()> {
    begin(std::io::stderr, filter, tracing)
}

/// Appends to a file that only we can read.
pub(super) fn to_file(path: &Path, filter: &str) -> Result<()> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("opening the log {}", path.display()))?;
    begin(Mutex::new(file), filter, None)
}

/// Lines by the filter; traces, where somebody takes them, by their own.
fn begin<W>(writer: W, filter: &str, tracing: Option<&Tracing>) -> Result<()>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .log_internal_errors(false)
        .with_writer(writer)
        .with_filter(EnvFilter::try_new(filter)?);
    let traces = tracing.map(Tracing::layer);
    tracing_subscriber::registry().with(traces).with(lines).try_init()?;
    log_panics();
    Ok(())
}

fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        let trace = Backtrace::capture(); // names of functions only, and only with RUST_BACKTRACE
        let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
        tracing::error!(at, trace, "panic");
    }));
}
