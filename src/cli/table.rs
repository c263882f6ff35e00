//! Plain tables for people.

use comfy_table::{ContentArrangement, Table, presets};

pub(super) use crate::ops::words::{cell, instant, seconds};

/// A table with these column heads.
pub(super) fn table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(heads);
    table
}
