//! How long a race is, out of RunSignup's free text (contract, section 4b), where it can be read beyond doubt. Pure.

/// No race is longer, in thousandths of its unit.
const MILLI_MAX: i64 = 10_000_000;

/// The metres of a text that is a distance and nothing else; `None` of any other. A bare `m` may be miles or metres.
pub(super) fn metres(text: &str) -> Option<i64> {
    let text = text.trim().to_lowercase();
    match text.as_str() {
        "marathon" => return Some(42_195),
        "half marathon" | "half-marathon" => return Some(21_098),
        _ => {}
    }
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at_checked(digits)?;
    let millimetres: i64 = match unit.trim_start() {
        "k" | "km" | "kms" | "kilometer" | "kilometers" | "kilometre" | "kilometres" => 1_000_000,
        "mi" | "mile" | "miles" => 1_609_344,
        "meter" | "meters" | "metre" | "metres" => 1_000,
        _ => return None,
    };
    let micrometres = milli(number)?.checked_mul(millimetres)?;
    let metres = micrometres.checked_add(500_000)? / 1_000_000;
    (metres > 0).then_some(metres)
}

/// A decimal number in thousandths.
fn milli(number: &str) -> Option<i64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 3 {
        return None;
    }
    let part: i64 = format!("{part:0<3}").parse().ok()?;
    let all = whole.parse::<i64>().ok()?.checked_mul(1_000)?.checked_add(part)?;
    (all <= MILLI_MAX).then_some(all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_a_distance_beyond_doubt_is_read() {
        for (text, expected) in [
            ("5K", 5_000),
            (" 10 km ", 10_000),
            ("21.1 Kilometres", 21_100),
            ("3.1 Miles", 4_989),
            ("100 mi", 160_934),
            ("400 meters", 400),
            ("Marathon", 42_195),
            ("Half Marathon", 21_098),
        ] {
            assert_eq!(metres(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "10",
            "10 m",
            "5K run",
            "Fun Run",
            "1/2 mile",
            "2x5 km",
            "10,5 km",
            "0 km",
            "1.2345 km",
            ".5 km",
            "99999999999999999999 km",
            "20000 km",
        ] {
            assert_eq!(metres(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_text_is_read_or_not(text in "\\PC{0,9}|[0-9.]{0,30} ?(k|mi|meters)") {
            prop_assert!(metres(&text).is_none_or(|metres| metres > 0));
        }
    }
}
