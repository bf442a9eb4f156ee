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
use tracing_subscriber::EnvFilter;

/// Writes to standard error.
pub(super) fn to_stderr(filter: &str) -> Result<()> {
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .log_internal_errors(false);
    let subscriber = subscriber
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(std::io::stderr);
    subscriber.try_init().map_err(anyhow::Error::from_boxed)?;
    log_panics();
    Ok(())
}

/// Appends to a file that only we can read.
pub(super) fn to_file(path: &Path, filter: &str) -> Result<()> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("opening the log {}", path.display()))?;
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .log_internal_errors(false);
    let subscriber = subscriber
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(Mutex::new(file));
    subscriber.try_init().map_err(anyhow::Error::from_boxed)?;
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
