//! What people read, as it comes, and one line of JSON at the end, to compare runs.

use std::io::{self, Write as _};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::args::Section;

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    json: Map<String, Value>,
}

impl Report {
    pub(crate) fn note(&mut self, text: &str) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        Ok(out.flush()?)
    }

    /// Prints a table: the first column is text, the others are figures.
    pub(crate) fn table(
        &mut self,
        title: &str,
        head: &[&str],
        rows: &[Vec<String>],
    ) -> anyhow::Result<()> {
        let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
        let width = |column: usize| {
            let cells = rows.iter().chain([&head]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let mut text = format!("\n{title}\n");
        for row in [&head].into_iter().chain(rows) {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let padded = if column == 0 {
                    format!("  {cell:<width$}")
                } else {
                    format!("  {cell:>width$}")
                };
                text.push_str(&padded);
            }
            text.push('\n');
        }
        self.note(text.trim_end())
    }

    pub(crate) fn record(&mut self, name: &str, value: Value) {
        self.json.insert(name.to_owned(), value);
    }

    /// How long a section took, and how busy the whole machine was meanwhile.
    pub(crate) fn section_ended(
        &mut self,
        section: Section,
        took: Duration,
        busy: Duration,
    ) -> anyhow::Result<()> {
        let cores = busy.as_secs_f64() / took.as_secs_f64();
        self.note(&format!(
            "  ({}: {:.0} s; the machine, everything on it counted, used {cores:.2} cores)",
            section.name(),
            took.as_secs_f64()
        ))?;
        let name = format!("{}_seconds", section.name());
        self.record(&name, json!(took.as_secs_f64().round()));
        Ok(())
    }

    /// Prints the line of JSON.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        let line = Value::Object(std::mem::take(&mut self.json)).to_string();
        self.note(&format!("\n{line}"))
    }
}

/// Three digits after the point say nothing here.
pub(crate) fn rounded(value: f64) -> Value {
    json!((value * 1000.0).round() / 1000.0)
}

/// Says on standard error why nothing could be measured.
pub(crate) fn complain(text: &str) {
    writeln!(io::stderr().lock(), "bench: {text}").ok();
}
