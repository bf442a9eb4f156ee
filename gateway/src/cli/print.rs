//! What a command says on standard output. A reader that went away (`| head`, a closed terminal) is no reason to panic in the
//! middle of stopping a database.

use std::fmt::Display;
use std::io::Write;

/// Writes as it is.
pub(super) fn text(text: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

/// Writes and ends the line.
pub(super) fn line(line: impl Display) {
    text(format_args!("{line}\n"));
}
