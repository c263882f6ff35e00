//! Plain tables for people.

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;

/// A table with these column heads.
pub(super) fn table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(heads);
    table
}

/// Text that can't move a terminal's cursor; `-` for none.
pub(super) fn cell(text: Option<&str>) -> String {
    let text: String = text.unwrap_or("-").chars().filter(|c| !c.is_control()).collect();
    if text.is_empty() { "-".to_owned() } else { text }
}

/// An instant to the second, in UTC.
pub(super) fn instant(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// A number of seconds in the largest unit that says enough.
pub(super) fn seconds(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else { return "-".to_owned() };
    if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else if seconds < 7_200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else if seconds < 172_800.0 {
        format!("{:.0} h", seconds / 3_600.0)
    } else {
        format!("{:.0} d", seconds / 86_400.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_moves_the_cursor() {
        assert_eq!(cell(Some("a\u{1b}[2Jb\r\n")), "a[2Jb");
        assert_eq!(cell(Some("\n")), "-");
        assert_eq!(cell(None), "-");
    }

    #[test]
    fn a_time_is_shown_in_the_unit_that_says_enough() {
        let shown: Vec<_> =
            [0.04, 119.9, 120.0, 7_200.0, 172_800.0].map(|s| seconds(Some(s))).into();
        assert_eq!(shown, ["0.0 s", "119.9 s", "2 min", "2 h", "2 d"]);
        assert_eq!(instant(Timestamp::from_second(0).ok()), "1970-01-01 00:00:00Z");
    }
}
