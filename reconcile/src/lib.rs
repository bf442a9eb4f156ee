//! Reconciliation without I/O: what acquirers and banks send is read into one model of a line, proven, and compared with the books.
//!
//! Three steps, each a module. [`read`] turns a file of any [`Format`] into [`Line`]s and [`Statement`]s, streaming, and proves it:
//! control totals, opening balance + entries = closing balance, one account and one currency; what is wrong is [`Refused`] whole, with
//! the line and the reason. [`cluster`] compares the lines and the journals that an exact reference brings together.
//! [`rules`] compares what no reference brought together: amount, currency, dates, text.
//!
//! Pure, so that the same input has the same result: no clock, no database, no order but that of the input. Memory does not grow with
//! the file. It must never guess: an amount that cannot be read is a refusal, not zero; what is ambiguous is suggested, not decided.

mod amount;
pub mod cluster;
mod format;
mod line;
pub mod rules;
mod scan;
mod when;

pub use format::generic::{Mapping, MappingError, Unit};
pub use format::{Format, Options, UnknownFormat, read};
pub use line::{Item, Kind, Line, Refused, Statement, key, words};
