//! Instants, ages and texts as people read them, in a terminal and on a page.

use jiff::Timestamp;

/// Text that can't move a terminal's cursor; `-` for none.
#[must_use]
pub fn cell(text: Option<&str>) -> String {
    let text: String = text.unwrap_or("-").chars().filter(|c| !c.is_control()).collect();
    if text.is_empty() { "-".to_owned() } else { text }
}

/// An instant to the second, in UTC.
#[must_use]
pub fn instant(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// A number of seconds in the largest unit that says enough.
#[must_use]
pub fn seconds(seconds: Option<f64>) -> String {
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

/// How far an instant is from now, in the largest unit that says enough.
#[must_use]
pub fn from_now(at: Timestamp, now: Timestamp) -> String {
    let away = at.duration_since(now).as_secs_f64();
    // Clocks differ: what is a few seconds ahead has just happened.
    if away.abs() < 5.0 {
        "just now".to_owned()
    } else if away > 0.0 {
        format!("in {}", whole_seconds(away))
    } else {
        format!("{} ago", whole_seconds(-away))
    }
}

fn whole_seconds(away: f64) -> String {
    if away < 120.0 { format!("{away:.0} s") } else { seconds(Some(away)) }
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

    #[test]
    fn an_instant_is_told_from_now_in_both_directions() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let told =
            [-7_200, -90, -3, 4, 30, 600].map(|away| from_now(at(10_000 + away), at(10_000)));
        assert_eq!(told, ["2 h ago", "90 s ago", "just now", "just now", "in 30 s", "in 10 min"]);
    }
}
