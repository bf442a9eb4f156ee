//! What the service tells of itself: metrics at `/metrics` and by OTLP, traces by OTLP.
//!
//! Metrics are counted once, in one registry, whose names are the [`table`]; both ways out read that registry. It must never hold up
//! a payment, fail one, or hold a parameter, a name or a secret: a span has an id, a route and a time.

mod figures;
mod otlp;
mod process;
pub mod table;
mod trace;
pub mod vitals;

pub use figures::{Class, Figures, run};
pub use otlp::{Config, Exporter, headers};
pub use process::Process;
pub use trace::{Tracing, continue_from};
