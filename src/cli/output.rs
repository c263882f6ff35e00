//! Standard output: documents and tables. A reader that goes away (`ems-sync status | head -1`) is no failure.

use std::io::{self, Write as _};

use serde::Serialize;

use super::bar;

/// Whoever read our output has gone; there is nothing left to do.
#[derive(Debug, thiserror::Error)]
#[error("Standard output is closed")]
pub(super) struct OutputClosed;

/// Writes text to standard output, with a line end if it has none.
pub(super) fn text(text: &str) -> anyhow::Result<()> {
    bar::clear();
    let mut out = io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(OutputClosed.into()),
        Err(error) => Err(anyhow::Error::new(error).context("Standard output can't be written")),
    }
}

/// Writes one JSON document on one line.
pub(super) fn json<T: Serialize>(document: &T) -> anyhow::Result<()> {
    text(&serde_json::to_string(document)?)
}
